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

from dqn_ref.course.bands import Band, beside_band, shipped_band
from dqn_ref.course.cards import image_tag
from dqn_ref.course.figures import BLUE, GREEN, GREY, ORANGE, VERMILION, figure, show
from dqn_ref.errors import CheckpointError, RunError
from dqn_ref.processes import PROCESS_FILE
from dqn_ref.recipes import Recipe, RecipeError
from dqn_ref.run_folders import (
    CHECKPOINT_FILE,
    INTERRUPTED,
    RECIPE_FILE,
    RUNNING,
    RunFolder,
    look,
)

RECORDED = "recorded"  # kept to be looked at, such as those in results/: it cannot go on

_PICTURES = 4  # of the agent at play
_FIRST = 5  # of its frames that is shown: the network has seen none before its first decision
_EPSILON = 0.05  # of its actions are random
_SECONDS = 4.0  # of play between the first picture and the last


@dataclass(frozen=True)
class Glance:
    """What a run's folder says at one moment."""

    run: RunFolder
    log: object  # pandas.DataFrame of log.csv; None before its first row
    warm_up: int = 0  # steps that fill a new memory before anything is learnt
    since: int = 0  # rows before this step are of an earlier process, and say nothing of its speed
    recipe: Recipe | None = None

    @property
    def band(self) -> Band | None:
        """What the course's own trainings of this game reached, if there are any."""
        return shipped_band(self.recipe.game) if self.recipe else None

    @property
    def beside(self) -> str:
        """How the scores stand to the band; "" without one."""
        if self.band is None or self.log is None:
            return ""
        return beside_band(self.band, self.recipe, self.log["agent_steps"], self.log["score_mean"])

    @property
    def learns(self) -> bool:
        """Whether the last interval of the log was one of learning, from its beginning on."""
        if self.log is None:
            return False
        made = list(self.log["updates"][self.log["agent_steps"] >= self.since].iloc[-3:])
        return len(made) == 3 and made[0] < made[1] < made[2]

    @property
    def seconds_left(self) -> float | None:
        """Of a training that runs and learns, at the speed of the last interval.

        A warm-up is some ten times faster: its speed says nothing about the time to go.
        """
        run = self.run
        if not self.learns or run.state != RUNNING or None in (run.steps, run.total_steps):
            return None
        return max(0, run.total_steps - run.steps) / float(self.log["steps_per_second"].iloc[-1])

    @property
    def line(self) -> str:
        """State, steps, speed, time to go, score and epsilon, as far as they are known."""
        run = self.run
        parts = [run.problem or run.state]
        if run.steps is not None:
            parts.append(f"{run.steps:,} steps" if run.state == RECORDED else run.standing)
        if run.state == RUNNING:
            parts += self._pace()
        if run.score_mean is not None:
            parts.append(f"score {run.score_mean:.1f} (mean of the last 100 games)")
        if self.log is not None:
            parts.append(f"epsilon {self.log['epsilon'].iloc[-1]:.2f}")
        return " · ".join(parts)

    def _pace(self) -> list[str]:
        """Of a training that runs: speed and time to go, or why they are not known yet."""
        if self.seconds_left is not None:
            speed = self.log["steps_per_second"].iloc[-1]
            return [f"{speed:,.0f} steps/s", f"{duration(self.seconds_left)} to go"]
        if self.log is None:
            return ["filling the memory"]
        made, steps = self.log["updates"], self.log["agent_steps"]
        if steps.iloc[-1] > self.since and len(made) > 1 and made.iloc[-1] > made.iloc[-2]:
            return ["learning begins"]
        # Since when: the first of the last rows that have the same number of updates.
        since = steps[made == made.iloc[-1]].iloc[0] if made.iloc[-1] else 0
        every = steps.iloc[-1] - steps.iloc[-2] if len(steps) > 1 else steps.iloc[-1]
        if steps.iloc[-1] - since <= self.warm_up + every:
            return ["filling the memory"]
        return [f"no updates since step {since:,}" if since else "no updates yet"]


def glance(run_dir: Path, since: int = 0) -> Glance:
    """Look at a run; one that has written nothing yet, or is damaged, can be looked at, too.

    Args:
        run_dir: the run.
        since: step at which its process took it up, if that is known.
    """
    from dqn_ref.reporting import history  # loads PyTorch

    try:
        log = history(run_dir)
    except RunError:  # no row yet; `look` tells what is damaged
        log = None
    if log is None or log.empty:
        return Glance(look(run_dir), None)
    run = _as_record(run_dir, look(run_dir), log)
    path = run_dir / RECIPE_FILE
    recipe = Recipe.load(path) if path.exists() and not run.problem else None
    return Glance(run, log, recipe.learning_starts if recipe else 0, since, recipe)


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
    _draw_score(axes[0], steps, log)
    if seen.band is not None:
        _draw_band(axes[0], seen.band, float(log["agent_steps"].iloc[-1]))
    of_what = {
        "q_mean": ("mean Q(s, a)", VERMILION),
        "loss": ("loss", GREEN),
        "epsilon": ("epsilon", ORANGE),
    }
    for ax, (column, (label, colour)) in zip(axes[1:], of_what.items(), strict=True):
        ax.plot(steps, log[column], color=colour, marker=_dots(log))
        ax.set_title(label)
    axes[3].set_ylim(0, 1.05)
    for ax in axes:
        ax.set_xlabel("steps (thousands)")
    last = log.iloc[-1]
    return show(
        drawing,
        f"Four curves up to step {last['agent_steps']:,.0f}: score {last['score_mean']:.1f}, "
        f"mean Q {last['q_mean']:.2f}, loss {last['loss']:.4f}, epsilon {last['epsilon']:.2f}. "
        "The grey area goes from the worst to the best of the last hundred games."
        + (f" Green: the band. The mean is {seen.beside}." if seen.beside else ""),
    )


def _draw_score(ax, steps, log) -> None:
    """The mean of the last hundred games over thousands of steps, within worst and best."""
    ax.plot(steps, log["score_mean"], color=BLUE, marker=_dots(log))
    ax.fill_between(steps, log["score_min"], log["score_max"], color=GREY, alpha=0.2)
    ax.set_title("score (points)")


def _draw_band(ax, band: Band, last_step: float) -> None:
    """Where the course's own trainings went, as far as this one has come."""
    so_far = band.steps <= last_step
    ax.fill_between(
        band.steps[so_far] / 1000, band.low[so_far], band.high[so_far], color=GREEN, alpha=0.35,
        linewidth=0,
    )  # fmt: skip


def _dots(log) -> str:
    """A line of few rows needs marks: one row alone is no line."""
    return "." if len(log) < 20 else ""


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
        some = list(islice(game, _FIRST, _FIRST + 1 + (_PICTURES - 1) * every, every))
    return " ".join(map(_picture, some))


def _picture(moment) -> str:
    from dqn_ref.watching import picture

    text = f"Frame {moment.frame:,}, action {moment.action}, score {moment.score:g}."
    return image_tag(picture(moment, "both", label=True), text, width=310)
