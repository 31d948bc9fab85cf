"""Where another training of the same recipe may be expected: the spread of several seeds.

    results/ logs of n seeds ── band ──> mean, low, high over the steps
    your log ── verdict ──> "inside", "below since step 6,000", …

The band is a prediction interval: the mean of the seeds ± t · s · √(1 + 1/n), where s is their
standard deviation and t Student's for n - 1 degrees of freedom. If scores were normally
distributed, 95 of 100 further trainings would lie within it at any one step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from dqn_ref.course.shipped import RESULTS
from dqn_ref.settings import Recipe

# 97.5 % quantiles of Student's t by degrees of freedom, as in any table of it.
_STUDENT = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
_POINTS = 80  # of the band
# Of three seeds s is a poor estimate: its square is averaged over so many points to each side.
_SMOOTH = 10
# So many logged points in a row are a trend; fewer are luck.
_IN_A_ROW = 3
_NAMED = 3  # settings that differ, in a sentence
# What decides neither the game nor how fast it is learnt.
_INDIFFERENT = {
    "door", "seed", "device", "precision", "threads", "cuda_graph", "total_steps",
    "log_every_steps", "checkpoint_every_steps", "weights_every_steps", "snapshot_every_steps",
    "eval_every_steps", "eval_steps", "eval_epsilon", "print_log", "print_artefacts",
    "checkpoint_memory", "updates_at_once",
}  # fmt: skip


@dataclass(frozen=True)
class Band:
    """Mean of the last 100 training games, over the steps; arrays `(P,)` float64."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    recipe: Recipe  # of its trainings
    seeds: tuple[int, ...]

    def differs(self, recipe: Recipe) -> list[str]:
        """Settings that decide what is learnt and that a recipe has otherwise: name=value."""
        return [
            f"{name}={getattr(recipe, name)}"
            for name in (field.name for field in dataclasses.fields(Recipe))
            if name not in _INDIFFERENT and getattr(recipe, name) != getattr(self.recipe, name)
        ]


def make_band(
    logs: Sequence[tuple[np.ndarray, np.ndarray]], recipe: Recipe, seeds: Sequence[int]
) -> Band:
    """The band of several trainings.

    Args:
        logs: of each, steps and mean scores, `(T,)` each; nan before the first game's end.
        recipe: theirs.
        seeds: theirs.
    Raises:
        ValueError: for fewer than three trainings: two say nothing about a spread.
    """
    if len(logs) - 1 not in _STUDENT:
        raise ValueError(f"a band needs 3 to 10 trainings, not {len(logs)}")
    known = [(steps[~np.isnan(scores)], scores[~np.isnan(scores)]) for steps, scores in logs]
    first, last = max(s[0] for s, _ in known), min(s[-1] for s, _ in known)
    steps = np.linspace(first, last, _POINTS)
    scores = np.array([np.interp(steps, *log) for log in known])
    variance = scores.var(axis=0, ddof=1)
    near = [slice(max(0, i - _SMOOTH), i + _SMOOTH + 1) for i in range(_POINTS)]
    spread = np.sqrt([variance[each].mean() for each in near])
    half = _STUDENT[len(logs) - 1] * spread * np.sqrt(1 + 1 / len(logs))
    mean = scores.mean(axis=0)
    # No game here pays less than nothing.
    return Band(steps, mean, np.maximum(mean - half, 0), mean + half, recipe, tuple(seeds))


def shipped_band(game: str) -> Band | None:
    """The band that comes with the course for a game, or None: "gallery", "breakout"."""
    folders = {
        "gallery": sorted((RESULTS / "bands").glob("gallery-seed-*")),
        "breakout": sorted(RESULTS.glob("breakout-laptop-seed-*")),
    }
    return _of_folders(tuple(folders.get(game, ())))


@cache
def _of_folders(folders: tuple[Path, ...]) -> Band | None:
    from dqn_ref.reporting import history  # loads pandas

    if len(folders) - 1 not in _STUDENT:
        return None  # a checkout without results/
    recipes = [Recipe.load(folder / "recipe.json") for folder in folders]
    logs = [history(folder) for folder in folders]
    curves = [(log["agent_steps"].to_numpy(), log["score_mean"].to_numpy()) for log in logs]
    return make_band(curves, recipes[0], [recipe.seed for recipe in recipes])


def verdict(band: Band, steps: Sequence[float], scores: Sequence[float]) -> str:
    """How a training stands to the band, in words.

    Args:
        band: of the same game.
        steps, scores: a log so far; nan where no game has ended yet.
    Returns:
        "inside", "below since step 6,000", "above since step 6,000", "inside since step 6,000,
        below before", or "too early to say".
    """
    steps, scores = np.asarray(steps, float), np.asarray(scores, float)
    covered = (steps >= band.steps[0]) & (steps <= band.steps[-1]) & ~np.isnan(scores)
    steps, scores = steps[covered], scores[covered]
    if len(steps) < _IN_A_ROW:
        return "too early to say"
    low, high = (np.interp(steps, band.steps, edge) for edge in (band.low, band.high))
    sides = _without_luck(
        np.where(scores < low, "below", np.where(scores > high, "above", "inside"))
    )
    changes = np.flatnonzero(sides[1:] != sides[:-1])
    if not len(changes) and sides[-1] == "inside":
        return "inside"
    since = changes[-1] + 1 if len(changes) else 0
    before = f", {sides[since - 1]} before" if sides[-1] == "inside" else ""
    return f"{sides[-1]} since step {steps[since]:,.0f}{before}"


def _without_luck(sides: np.ndarray) -> np.ndarray:
    """The sides at which a log stands, points outside that are too few in a row counted inside."""
    starts = np.flatnonzero(np.append(True, sides[1:] != sides[:-1]))
    kept = sides.copy()
    for start, end in zip(starts, np.append(starts[1:], len(sides)), strict=True):
        if end - start < _IN_A_ROW:
            kept[start:end] = "inside"
    return kept


def beside_band(band: Band, recipe: Recipe, steps: Sequence[float], scores: Sequence[float]) -> str:
    """`verdict` as a sentence without its full stop, with the settings that explain a difference.

    Args:
        band, steps, scores: see `verdict`.
        recipe: of that log.
    """
    whose = f"the course's band of {len(band.seeds)} seeds"
    said = verdict(band, steps, scores)
    side, _, since = said.partition(" ")
    if side == "too":
        sentence = f"too early to compare with {whose}"
    else:
        sentence = " ".join(filter(None, [side, whose, since]))
    other = band.differs(recipe)
    if not other:
        return sentence
    named = ", ".join(other[:_NAMED]) + (" and more" if len(other) > _NAMED else "")
    return f"{sentence}; unlike theirs, this training has {named}"
