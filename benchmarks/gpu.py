"""Everything a CUDA GPU is needed for, in one command.

    python -m benchmarks.gpu

    machine      what all of it depends on
    equality     captured updates are the updates                     gpu_equality.py
    ladder       what each step from the plain loop to the GPU brings  gpu_ladder.py
    training     recipe `gpu`, 10,000,000 steps of Breakout            gpu_training.py
    evaluation   30 games, and a folder as in `results/`

Everything goes to `--out`. `report.json` is written anew, whole, whenever there is something to
add; the same command called again goes on where the last one ended.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu_report import Refusal, Report, commit_of_checkout, describe, machine_in_words
from dqn_ref.errors import CheckpointError, RunError
from dqn_ref.recipes import Recipe, RecipeError, get_recipe

STAGES = ("equality", "ladder", "training", "evaluation")
PACKAGES = {  # module: package
    "torch": "torch",
    "gymnasium": "gymnasium",
    "ale_py": "ale-py",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "psutil": "psutil",
    "safetensors": "safetensors",
    "tqdm": "tqdm",
    "tensorboard": "tensorboard",  # a run writes its events
}
QUICK = dict(
    lanes=4, frame_height=36, frame_width=36, architecture="mnih2013", batch_size=8,
    updates_at_once=2, memory_frames=2_000, learning_starts=100, epsilon_decay_steps=200,
    target_every_steps=64, log_every_steps=50, checkpoint_every_steps=100, total_steps=300,
)  # fmt: skip


class Clock:
    """Says when the time of this call is over.

    Args:
        minutes: of this call; None for no limit.
    """

    def __init__(self, minutes: float | None):
        self._end = None if minutes is None else time.monotonic() + 60 * minutes

    def over(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end


# ---------------------------------------------------------------------------------------------
# The stages in their order


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The recipe of the training, which the other stages take their settings from."""
    changes = {"seed": options.seed, "device": options.device} | (QUICK if options.quick else {})
    given = {
        "total_steps": options.steps,
        "lanes": options.lanes,
        "memory_frames": options.memory_frames,
    }
    return get_recipe("gpu", **changes | {k: v for k, v in given.items() if v is not None})


def run(options: argparse.Namespace) -> int:
    """Run the stages that are asked for and not done; the exit status."""
    recipe, clock = recipe_of(options), Clock(options.minutes)
    refuse_without(options.device)
    refuse_memory(recipe)
    settings = {
        "steps": recipe.total_steps, "lanes": recipe.lanes, "seed": recipe.seed,
        "memory_frames": recipe.memory_frames, "device": options.device, "quick": options.quick,
    }  # fmt: skip
    report = Report(options.out, settings)
    since = time.perf_counter()
    call = describe(options.device, options.commit or commit_of_checkout())
    call["date"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    call["seconds"] = round(time.perf_counter() - since, 1)
    report.content["calls"].append(call)
    report.save()
    say(f"machine ({call['seconds']:.1f} s): {machine_in_words(call)}")
    if options.device == "cpu":
        say("no GPU: this only tries the program out, every update is eager")
    for name in STAGES:
        if name in options.stages and not skipped(name, report, clock):
            run_stage(name, options, recipe, report, clock)
    return conclude(options, report)


def skipped(name: str, report: Report, clock: Clock) -> bool:
    """Whether a stage has no turn; says why."""
    reason = None
    if report.done(name):
        reason = "done before, its figures are in the report"
    elif name == "evaluation" and not report.stage("training").get("complete"):
        reason = "waits for the end of the training"
    elif name != "training" and clock.over():
        reason = "the time is over"
    if reason:
        say(f"{name}: {reason}")
    return reason is not None


def run_stage(
    name: str, options: argparse.Namespace, recipe: Recipe, report: Report, clock: Clock
) -> None:
    """One stage; a failure that nobody foresaw goes into the report, and the next has its turn."""
    from benchmarks.gpu_ladder import release

    before, since = report.stage(name), time.perf_counter()
    seconds_before = before.get("seconds", 0.0) if name == "training" else 0.0

    def record(result: dict[str, Any]) -> None:
        seconds = round(seconds_before + time.perf_counter() - since, 1)
        report.put(name, result | {"seconds": seconds})

    say(f"{name}:")
    try:
        stage_of(name, options, recipe, report, clock)(record)
    except (RecipeError, RunError, CheckpointError, OSError):
        raise
    except Exception as error:  # an illegal address on the device, say
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        record(report.stage(name) | {"problems": [text], "complete": False})
    finally:
        release()  # a memory of seven gigabytes: the next stage wants the room
    say(f"  {report.stage(name)['seconds']:.0f} s")


def stage_of(
    name: str, options: argparse.Namespace, recipe: Recipe, report: Report, clock: Clock
) -> Callable[[Callable[[dict], None]], None]:
    """A stage as a function of where it records."""
    from benchmarks import gpu_equality, gpu_ladder, gpu_training

    run_dir, target = options.out / "run", options.out / "breakout-gpu"
    if name == "equality":
        steps, count = (100, 2) if options.quick else (5_000, gpu_equality.COUNT)
        return lambda record: gpu_equality.run(recipe, steps, record, count)
    if name == "ladder":
        plan = gpu_ladder.Plan()
        if options.quick:
            plan = gpu_ladder.Plan(40, 0.0, 2, 0.05, 10.0, lanes_divisor=64)
        return lambda record: gpu_ladder.run(recipe, plan, clock, record)
    if name == "training":
        before = report.stage(name)
        return lambda record: gpu_training.train(recipe, run_dir, clock, record, before)
    machines = dict.fromkeys(machine_in_words(call) for call in report.content["calls"])
    about = {
        "command": f"python -m benchmarks.gpu, which runs: {train_command(recipe)}",
        "machine": "; then ".join(machines),
        "commit": report.content["calls"][-1]["commit"],
    }
    games = 2 if options.quick else gpu_training.GAMES
    return lambda record: gpu_training.evaluate(run_dir, target, about, record, games)


def train_command(recipe: Recipe) -> str:
    """The command that trains the same agent by itself (`--quick` changes more than it says)."""
    words = ["python -m dqn_ref train --recipe gpu --run-dir runs/gpu"]
    plain = get_recipe("gpu")
    for name in ("lanes", "memory_frames"):
        if getattr(recipe, name) != getattr(plain, name):
            words.append(f"--{name.replace('_', '-')} {getattr(recipe, name)}")
    return " ".join([*words, f"--seed {recipe.seed} --total-steps {recipe.total_steps}"])


def conclude(options: argparse.Namespace, report: Report) -> int:
    """Say how it stands; the exit status."""
    found = report.problems()
    for text in found:
        say(f"PROBLEM, {text}")
    missing = [name for name in STAGES if name in options.stages and not report.done(name)]
    if missing and not found:
        say(f"not done: {', '.join(missing)}; the same command goes on from here")
    say(f"{report.path} holds all figures" + (" (--quick: they mean nothing)" * options.quick))
    return 1 if found else 0


# ---------------------------------------------------------------------------------------------
# Command line


def say(text: str) -> None:
    print(text, flush=True)


def refuse_without(device: str) -> None:
    """Refuse to begin without a package or the device.

    Raises:
        Refusal: with the remedy.
    """
    missing = [name for name, found in _found_packages().items() if not found]
    if missing:
        raise Refusal(f"{', '.join(missing)} not installed: run pip install {' '.join(missing)}")
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise Refusal(
            "PyTorch sees no CUDA GPU here: install NVIDIA's driver and a PyTorch with CUDA, "
            "or try the program out with --device cpu --quick"
        )


def refuse_memory(recipe: Recipe) -> None:
    """Refuse a replay memory that would not fit, before anything is written.

    Raises:
        RecipeError: naming the --memory-frames that would.
    """
    import torch

    from dqn_ref.hardware import refuse_if_too_large

    refuse_if_too_large(recipe, torch.device(recipe.device))


def _found_packages() -> dict[str, bool]:
    return {
        package: importlib.util.find_spec(module) is not None
        for module, package in PACKAGES.items()
    }


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0]
    )

    def at_least(low: int, kind: type = int) -> Callable[[str], Any]:
        def number(text: str):
            value = kind(text)
            if not value >= low:
                raise argparse.ArgumentTypeError(f"must be at least {low}")
            return value

        return number

    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/gpu"), metavar="DIR", help="(default: %(default)s)")
    add("--stages", nargs="+", choices=STAGES, default=STAGES, metavar="NAME",
        help=f"which (default: {' '.join(STAGES)})")  # fmt: skip
    add("--steps", type=at_least(1), metavar="N", help="of the training (default: the recipe's)")
    add("--minutes", type=at_least(0, float), metavar="X",
        help="of this call: training stops with a checkpoint, nothing else begins")  # fmt: skip
    add("--lanes", type=at_least(1), metavar="N", help="of the training (default: the recipe's)")
    add("--memory-frames", type=at_least(1), metavar="N",
        help="of the training's replay memory (default: the recipe's)")  # fmt: skip
    add("--seed", type=at_least(0), default=0, metavar="N", help="(default: %(default)s)")
    add("--device", choices=("cuda", "cpu"), default="cuda",
        help="cpu: only to try the program out, without graphs (default: %(default)s)")  # fmt: skip
    add("--commit", metavar="TEXT", help="of the code (default: what git says)")
    add("--quick", action="store_true", help="tiny counts everywhere, figures mean nothing")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(arguments)
    try:
        return run(options)
    except (Refusal, RecipeError, RunError, CheckpointError) as error:
        print(f"benchmarks.gpu: {error}", file=sys.stderr)
    except OSError as error:  # no rights, no space
        name = f" {error.filename}" if error.filename else ""
        print(
            f"benchmarks.gpu: cannot read or write{name}: {error.strerror or error}",
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        print("benchmarks.gpu: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 2


if __name__ == "__main__":
    sys.exit(main())
