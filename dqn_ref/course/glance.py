"""How a training stands, read from its folder: a line of figures, curves, and the agent at play.

Nothing here talks to the training's process. Whoever opens the folder sees the same: after a
restart of the kernel, from a second notebook, or when the training has long ended.
"""

from __future__ import annotations

import html
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from dqn_ref.course.cards import image_tag
from dqn_ref.course.figures import BLUE, GREEN, GREY, ORANGE, VERMILION, figure, show
from dqn_ref.errors import CheckpointError, RunError
from dqn_ref.processes import PROCESS_FILE
from dqn_ref.recipes import RecipeError
from dqn_ref.run_folders import CHECKPOINT_FILE, INTERRUPTED, RUNNING, RunFolder, look

RECORDED = "recorded"  # kept to be looked at, such as those in results/: it cannot go on

_PICTURES = 4  # of the agent at play
_EPSILON = 0.05  # of its actions are random
_SECONDS = 4.0  # of play between the first picture and the last


@dataclass(frozen=True)
class Glance:
    """What a run's folder says at one moment."""

    run: RunFolder
    log: object  # pandas.DataFrame of log.csv; None before its first row

    @property
    def steps_per_second(self) -> float | None:
        return None if self.log is None else float(self.log["steps_per_second"].iloc[-1])

    @property
    def seconds_left(self) -> float | None:
        """Of a training that runs, at the speed of the last interval."""
        speed, run = self.steps_per_second, self.run
        if run.state != RUNNING or not speed or run.steps is None or run.total_steps is None:
            return None
        return max(0, run.total_steps - run.steps) / speed

    @property
    def line(self) -> str:
        """State, steps, speed, time to go, score and epsilon, as far as they are known."""
        run = self.run
        parts = [run.problem or run.state]
        if run.steps is not None:
            parts.append(f"{run.steps:,} steps" if run.state == RECORDED else run.standing)
        if run.state == RUNNING and self.steps_per_second:
            parts.append(f"{self.steps_per_second:,.0f} steps/s")
        if self.seconds_left is not None:
            parts.append(f"{duration(self.seconds_left)} to go")
        if run.score_mean is not None:
            parts.append(f"score {run.score_mean:.1f} (mean of the last 100 games)")
        if self.log is not None:
            parts.append(f"epsilon {self.log['epsilon'].iloc[-1]:.2f}")
        return " · ".join(parts)


def glance(run_dir: Path) -> Glance:
    """Look at a run; one that has written nothing yet, or is damaged, can be looked at, too."""
    from dqn_ref.reporting import history  # loads PyTorch

    try:
        log = history(run_dir)
    except RunError:  # no row yet; `look` tells what is damaged
        log = None
    if log is None or log.empty:
        return Glance(look(run_dir), None)
    return Glance(_as_record(run_dir, look(run_dir), log), log)


def _as_record(run_dir: Path, run: RunFolder, log) -> RunFolder:
    """The same run; what was published without a checkpoint is no interrupted training."""
    left = any((run_dir / name).exists() for name in (PROCESS_FILE, CHECKPOINT_FILE))
    if left or run.state != INTERRUPTED:
        return run
    last = log.iloc[-1]
    steps, games, score = int(last["agent_steps"]), int(last["episodes"]), float(last["score_mean"])
    return replace(run, state=RECORDED, steps=steps, games=games, score_mean=score)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 40 s, 12 min, 2 h 5 min."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def curves(seen: Glance):
    """Score, Q-value, loss and epsilon over the steps so far, as a picture for a notebook."""
    log, steps = seen.log, seen.log["agent_steps"] / 1000
    drawing, axes = figure(13.0, 2.6, columns=4)
    of_what = {
        "score_mean": ("score (points)", BLUE),
        "q_mean": ("mean Q(s, a)", VERMILION),
        "loss": ("loss", GREEN),
        "epsilon": ("epsilon", ORANGE),
    }
    for ax, (column, (label, colour)) in zip(axes, of_what.items(), strict=True):
        ax.plot(steps, log[column], color=colour, marker="." if len(log) < 20 else "")
        ax.set(xlabel="steps (thousands)", title=label)
    axes[0].fill_between(steps, log["score_min"], log["score_max"], color=GREY, alpha=0.2)
    axes[3].set_ylim(0, 1.05)
    last = log.iloc[-1]
    return show(
        drawing,
        f"Four curves up to step {last['agent_steps']:,.0f}: score {last['score_mean']:.1f}, "
        f"mean Q {last['q_mean']:.2f}, loss {last['loss']:.4f}, epsilon {last['epsilon']:.2f}. "
        "The grey area goes from the worst to the best of the last hundred games.",
    )


def at_play(run_dir: Path, seed: int = 0) -> str:
    """Pictures of the agent's last weights at play, in colour and as the network sees it.

    Args:
        run_dir: a run.
        seed: of the game.
    Returns:
        HTML. Before the first weights are there, a sentence.
    """
    from dqn_ref.agents import play_run
    from dqn_ref.watching import game_fps

    try:
        # bf16 gains nothing at one game, and may be slow elsewhere than where the run began.
        game, recipe = play_run(run_dir, _EPSILON, seed, precision="fp32")
    except (CheckpointError, RecipeError, RunError) as error:
        return html.escape(str(error))
    every = max(1, round(game_fps(recipe) * _SECONDS / (_PICTURES - 1)))
    with closing(game):
        some = list(islice(game, 1, 2 + (_PICTURES - 1) * every, every))
    return " ".join(map(_picture, some))


def _picture(moment) -> str:
    from dqn_ref.watching import picture

    text = f"Frame {moment.frame:,}, action {moment.action}, score {moment.score:g}."
    return image_tag(picture(moment, "both", label=True), text, width=310)
