"""`python -m dqn_ref`: train, evaluate, watch, plot, runs, reset, doctor.

Errors that a user can cause end in one sentence and exit status 2.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import time
from pathlib import Path

from dqn_ref.errors import CheckpointError, RunError
from dqn_ref.recipes import RECIPE_NOTES, RECIPES, Recipe, RecipeError, get_recipe


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message} (--help lists what there is)\n")


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status."""
    arguments = build_parser().parse_args(argv)
    try:
        return arguments.command(arguments) or 0
    except (RecipeError, RunError, CheckpointError) as error:
        print(f"dqn_ref: {error}", file=sys.stderr)
    except OSError as error:  # no rights, no folder, no space
        name = f" {error.filename}" if error.filename else ""
        print(f"dqn_ref: cannot read or write{name}: {error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("dqn_ref: interrupted", file=sys.stderr)
        return 130
    return 2


def build_parser() -> Parser:
    """All commands and flags; those of `train` come from the recipe's fields."""
    parser = Parser(prog="python -m dqn_ref", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_train(commands)
    _add_evaluate(commands)
    _add_watch(commands)
    _add_plot(commands)
    _add_runs(commands)
    _add_reset(commands)
    doctor = commands.add_parser("doctor", help="test every part of the installation for real")
    doctor.set_defaults(command=_doctor)
    return parser


def _add_train(commands) -> None:
    train = commands.add_parser(
        "train",
        usage="%(prog)s --run-dir DIR [--recipe NAME] [--pieces FOLDER] [--resume] [--quiet] "
        "[settings]",
        help="train an agent, or resume a run",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="recipes:\n" + "\n".join(f"  {n:9} {note}" for n, note in RECIPE_NOTES.items()),
    )
    train.add_argument("--recipe", choices=list(RECIPES), help="default: laptop")
    train.add_argument("--run-dir", type=Path, required=True, help="folder of the run")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    train.add_argument(
        "--pieces",
        metavar="FOLDER",
        help="train with your own pieces: my_dqn is what the checks have saved, any other folder "
        "with a file for each piece will do; the reference's fill the gaps. The run keeps a copy "
        "of them, which resume, evaluate and watch use whatever becomes of the folder",
    )
    train.add_argument("--quiet", action="store_true", help="no progress bar")
    settings = train.add_argument_group("settings (default: the recipe's)")
    for setting in dataclasses.fields(Recipe):
        settings.add_argument(
            "--" + setting.name.replace("_", "-"),
            type=_parser_of(type(setting.default)),
            choices=setting.metadata["choices"],
            metavar=None if setting.metadata["choices"] else _METAVARS[type(setting.default)],
            help=setting.metadata["doc"].replace("%", "%%"),
        )
    train.set_defaults(command=_train)


_METAVARS = {int: "N", float: "X", str: "NAME", bool: "yes|no"}


def _parser_of(kind: type):
    if kind is not bool:
        return kind

    def yes_or_no(text: str) -> bool:
        if text.lower() not in ("yes", "no", "true", "false"):
            raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
        return text.lower() in ("yes", "true")

    return yes_or_no


def _add_run(command) -> None:
    command.add_argument("--run-dir", type=Path, required=True, help="folder of the run")


def _add_play(command) -> None:
    _add_run(command)
    command.add_argument("--weights", type=Path, help="other weights of the same network")
    command.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16"),
        help="of the network's arithmetic, default the run's; fp32 runs fast everywhere",
    )
    command.add_argument(
        "--epsilon", type=_probability, default=0.05, help="of a random action, default 0.05"
    )
    command.add_argument("--seed", type=_seed, default=0, help="of games and draws, default 0")


def _add_evaluate(commands) -> None:
    evaluate = commands.add_parser("evaluate", help="score a run: full games, unclipped")
    _add_play(evaluate)
    evaluate.add_argument("--games", type=_games, default=30, help="default 30, at most 1000")
    evaluate.add_argument(
        "--max-frames",
        type=_at_least_zero,
        metavar="N",
        help="a game is cut off after this many emulator frames, default 18000; "
        "0 for the recipe's own limit",
    )
    evaluate.set_defaults(command=_evaluate)


def _add_watch(commands) -> None:
    watch = commands.add_parser("watch", help="film a game of a run")
    _add_play(watch)
    watch.add_argument("--video", type=Path, required=True, help="file to write, .mp4 or .gif")
    watch.add_argument(
        "--view",
        choices=("colour", "network", "both"),
        default="colour",
        help="the game's picture, the grey frame given to the network, or one beside the other",
    )
    watch.add_argument(
        "--label",
        type=_parser_of(bool),
        default=False,
        metavar="yes|no",
        help="write the frame's number and the action on the picture, default no",
    )
    watch.add_argument(
        "--seconds",
        type=_above_zero,
        metavar="X",
        help="length of the film, default the whole game",
    )
    watch.add_argument("--overwrite", action="store_true", help="replace an older film")
    watch.set_defaults(command=_watch)


def _add_plot(commands) -> None:
    plot = commands.add_parser("plot", help="draw a run's learning curve")
    _add_run(plot)
    plot.add_argument("--output", type=Path, help="picture to write, default RUN_DIR/curve.png")
    plot.set_defaults(command=_plot)


def _add_runs(commands) -> None:
    runs = commands.add_parser("runs", help="list runs; stop, resume or delete one")
    folder = {"type": Path, "help": "that holds the runs, default runs"}
    runs.add_argument("--folder", default=Path("runs"), **folder)
    runs.set_defaults(command=_runs_list)
    actions = runs.add_subparsers(metavar="action")
    listing = actions.add_parser("list", help="one line per run (as without an action)")
    stop = actions.add_parser("stop", help="ask a run to stop after its step, and wait")
    stop.add_argument("name", help="of the run")
    stop.add_argument(
        "--wait", type=_at_least_one, default=60, metavar="SECONDS", help="at most, default 60"
    )
    resume = actions.add_parser("resume", help="let a run go on in the background")
    resume.add_argument("name", help="of the run")
    clean = actions.add_parser("clean", help="remove what killed runs left, or whole runs")
    clean.add_argument("names", nargs="*", metavar="NAME", help="run to delete with all it holds")
    clean.add_argument("--yes", action="store_true", help="delete without a question")
    for action, command in (
        (listing, _runs_list),
        (stop, _runs_stop),
        (resume, _runs_resume),
        (clean, _runs_clean),
    ):
        # Without a default of its own: that would replace what stands before the action.
        action.add_argument("--folder", default=argparse.SUPPRESS, **folder)
        action.set_defaults(command=command)


def _add_reset(commands) -> None:
    reset = commands.add_parser(
        "reset", help="put a chapter's original back; your version goes to an archive"
    )
    reset.add_argument("chapter", help="its number or name, such as 04")
    reset.set_defaults(command=_reset)


def _probability(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**30:  # games add to it, and ALE's seeds have 31 bits
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {2**30 - 1}")
    return value


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _games(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 1000:  # they are played side by side
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 1000")
    return value


def _at_least_zero(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**30:  # ALE counts in 31 bits
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and {2**30 - 1}")
    return value


def _above_zero(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


# Modules are imported by the command that needs them: `--help` answers at once.


def _train(arguments) -> None:
    from dqn_ref import runs

    names = [setting.name for setting in dataclasses.fields(Recipe)]
    given = {name: getattr(arguments, name) for name in names}
    changes = {name: value for name, value in given.items() if value is not None}
    if arguments.resume:
        recipe, pieces = _resumed(arguments, changes)
    else:
        recipe = get_recipe(arguments.recipe or "laptop", **changes)
        pieces = _pieces(arguments.pieces)
    if pieces.own_memory and changes.get("n_step", 1) > 1:
        raise RecipeError("your ReplayMemory keeps single steps; leave out --n-step")
    if arguments.resume and (pieces.own_memory or not recipe.checkpoint_memory):
        print(
            "the checkpoint holds no replay memory: learning goes on when "
            f"{recipe.learning_starts:,} steps have filled a new one"
        )
    speed = _Speed()
    parts = runs.train(
        recipe,
        arguments.run_dir,
        pieces,
        resume=arguments.resume,
        show_bar=not arguments.quiet,
        on_step=speed.on_step,
    )
    counters = parts.counters
    print(
        f"{counters.steps:,} steps, {counters.updates:,} updates, {counters.games:,} games"
        f"{speed}; {arguments.run_dir} holds log, weights and checkpoint"
    )
    if counters.steps < recipe.total_steps:
        print(f"stopped early; go on with: train --resume --run-dir {arguments.run_dir}")


def _resumed(arguments, changes: dict) -> tuple:
    """Recipe and pieces of the run that is to go on."""
    from dqn_ref import own_pieces, runs

    if arguments.recipe:
        raise RunError("a resumed run keeps its own recipe; leave out --recipe")
    if arguments.pieces:
        raise RunError(
            "a resumed run keeps the pieces that it began with; leave out --pieces, or begin a "
            "new run with another --run-dir"
        )
    recipe = runs.resume_recipe(arguments.run_dir, **changes)
    return recipe, own_pieces.kept_pieces(arguments.run_dir)


def _pieces(name: str | None):
    """The pieces in a folder: one of that path, or the learner's of that name."""
    from dqn_ref import own_pieces, pieces

    if name is None:
        return pieces.REFERENCE
    folder = Path(name).expanduser()
    if not folder.exists() and len(folder.parts) == 1:
        from dqn_ref.course.home import course_home  # the course's, which the agent never needs

        folder = course_home() / name
    return own_pieces.load_pieces(folder)


class _Speed:
    """Steps per second of this process, from its first step on."""

    def __init__(self) -> None:
        self._begun: tuple[int, float] | None = None
        self._now: tuple[int, float] = (0, 0.0)

    def on_step(self, parts) -> bool:
        self._now = parts.counters.steps, time.monotonic()
        self._begun = self._begun or self._now
        return False

    def __str__(self) -> str:
        if self._begun is None or self._now[1] <= self._begun[1]:
            return ""
        (first, begun), (last, ended) = self._begun, self._now
        return f", {(last - first) / (ended - begun):,.0f} steps/s"


def _evaluate(arguments) -> None:
    from dqn_ref import agents
    from dqn_ref.evaluation import EVALUATION_FRAMES
    from dqn_ref.runs import RECIPE_FILE

    limit = EVALUATION_FRAMES if arguments.max_frames is None else arguments.max_frames
    result = agents.evaluate_run(
        arguments.run_dir,
        arguments.games,
        arguments.epsilon,
        arguments.seed,
        arguments.weights,
        arguments.precision,
        max_frames=limit,
    )
    limit = limit or Recipe.load(arguments.run_dir / RECIPE_FILE).max_frames_per_game
    print(f"epsilon {arguments.epsilon:g}, seed {arguments.seed}, at most {limit:,} frames a game")
    print(result.summary())
    print("scores:", " ".join(f"{score:g}" for score in result.scores))


def _watch(arguments) -> None:
    from dqn_ref import agents

    film = agents.film_run(
        arguments.run_dir,
        arguments.video,
        arguments.epsilon,
        arguments.seed,
        arguments.weights,
        arguments.precision,
        arguments.view,
        arguments.label,
        arguments.seconds,
        arguments.overwrite,
    )
    told = {
        "over": f"one game, {film.score:g} points",
        "cut off": f"one game, cut off by a limit, {film.score:g} points",
        "": f"the first {film.seconds:g} s of a game, {film.score:g} points so far",
    }
    print(f"{arguments.video}: {told[film.end]}")


def _plot(arguments) -> None:
    from dqn_ref import reporting

    output = arguments.output or arguments.run_dir / "curve.png"
    print(reporting.plot_run(arguments.run_dir, output))


def _runs_list(arguments) -> None:
    from dqn_ref import run_folders

    found = run_folders.list_runs(arguments.folder)
    print(run_folders.table(found) if found else f"{arguments.folder} holds no run yet")


def _runs_stop(arguments) -> None:
    from dqn_ref import run_folders

    run_folders.stop(arguments.folder, arguments.name, arguments.wait)


def _runs_resume(arguments) -> None:
    from dqn_ref import run_folders

    run_folders.resume(arguments.folder, arguments.name)


def _runs_clean(arguments) -> None:
    from dqn_ref import run_folders

    if arguments.names:
        confirm = (lambda question: True) if arguments.yes else run_folders.ask
        run_folders.delete(arguments.folder, arguments.names, confirm)
    else:
        run_folders.clean(arguments.folder)


def _reset(arguments) -> None:
    from dqn_ref.course.reset import reset_chapter  # the course's, which the agent never needs

    print(reset_chapter(arguments.chapter))


def _doctor(arguments) -> int:
    from dqn_ref import doctor

    return doctor.main()


if __name__ == "__main__":
    sys.exit(main())
