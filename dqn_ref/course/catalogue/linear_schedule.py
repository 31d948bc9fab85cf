"""The schedule of chapter 06: its scenes, known mistakes, and schedules of other make.

Contract: `dqn_ref.pieces.CONTRACTS["linear_schedule"]`. In words: `start` up to `delay_steps`,
`end` from `delay_steps + decay_steps` on, a straight line in between; a float for one step, a
float64 array for an array of steps.

Where the line has no length, the value is `start` before `delay_steps` and `end` from there on.
Left open: what rises instead of falling. Nobody is asked for it.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dqn_ref.course.catalogue.judging import (
    Difference,
    Entry,
    Fact,
    Probe,
    Trace,
    words,
)
from dqn_ref.course.catalogue.schedule_makes import RIGHT, WRONG
from dqn_ref.exploration import linear_schedule

HINTS = {
    1: "which share of the line is done: 0 up to the delay, 1 at its end and ever after; the value "
    "is start plus that share of the way to end",
    2: "np.clip(x, 0, 1) takes a number as well as an array; float(...) makes a plain number",
    3: "a line without length: nothing may be divided by 0; start before the delay, end from it on",
}

TOLERANCE = 1e-6


@dataclass(frozen=True)
class Values(Fact):
    """What a schedule returned for some steps: numbers, or what stood in a number's place."""

    steps: tuple[int, ...] = ()

    def same(self, other: Fact) -> bool:
        if type(self) is not type(other) or self.what != other.what:
            return False
        return len(self.value) == len(other.value) and all(map(_alike, self.value, other.value))

    def difference(self, expected: Fact) -> Difference:
        pairs = zip(self.steps, self.value, expected.value, strict=True)
        step, mine, its = next(pair for pair in pairs if not _alike(pair[1], pair[2]))
        if isinstance(mine, str):
            return Difference(f"step {step:,} gives {mine}, expected the number {its:g}", 2)
        sentence = f"{self.what} at step {step:,} is {_number(mine)}, expected {_number(its)}"
        return Difference(sentence, self.hint)


def _alike(mine: Any, its: Any) -> bool:
    if isinstance(mine, str) or isinstance(its, str):
        return mine == its
    if not (math.isfinite(mine) and math.isfinite(its)):
        return str(mine) == str(its)
    return abs(mine - its) <= TOLERANCE


def _number(value: float) -> str:
    return words(round(value, 7) + 0.0) if math.isfinite(value) else str(value)


def _answer(value: Any) -> Any:
    """A number as a float, anything else in words."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return "an array without dimensions"
    if isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_)):
        return float(value)
    shape = f" of shape {tuple(value.shape)}" if isinstance(value, np.ndarray) else ""
    return f"a value of type {type(value).__name__}{shape}"


@dataclass(frozen=True)
class Line:
    """One setting of the schedule, asked for at some steps, one by one and all at once."""

    start: float
    end: float
    decay_steps: int
    delay_steps: int | None  # None: left out
    steps: tuple[int, ...]
    hint: int | None = 1

    def observe(self, piece: Callable, seen: Trace | None) -> Iterator[Fact]:
        delay = () if self.delay_steps is None else (self.delay_steps,)
        rest = (self.start, self.end, self.decay_steps, *delay)
        with np.errstate(all="ignore"):
            singly = tuple(_answer(piece(step, *rest)) for step in self.steps)
            yield Values("the value", singly, hint=self.hint, steps=self.steps)
            numpy_step = _answer(piece(np.int64(self.steps[-1]), *rest))
            yield Values("the value", (numpy_step,), hint=self.hint, steps=(self.steps[-1],))
            given = np.array(self.steps)
            found = piece(given, *rest)
        shaped = _shaped(found, given.shape)
        yield Fact("what an array of steps gives", shaped, _tell(shaped), 2)
        at_once = tuple(found.tolist()) if shaped == "well made" else (shaped,)
        yield Values("in an array of steps the value", at_once, hint=2, steps=self.steps)
        tell = "the array of steps that it was given holds other numbers afterwards"
        yield Fact("the given steps", given.tolist() == list(self.steps), tell, 2)


def _shaped(found: Any, shape: tuple[int, ...]) -> str:
    if not isinstance(found, np.ndarray):
        return f"a value of type {type(found).__name__}"
    if found.shape != shape:
        return f"an array of shape {found.shape}"
    return "well made" if found.dtype == np.float64 else f"an array of {found.dtype}"


def _tell(shaped: str) -> str:
    return f"an array of steps gives {shaped}, expected a float64 array with one value per step"


SCENES = (
    Probe("a line from 1 to 0.2 over 10 steps",
          Line(1.0, 0.2, 10, None, (0, 1, 4, 5, 9, 10, 11, 12, 40)).observe),
    Probe("a line from 0.9 to 0.3 over 20 steps after a delay of 8",
          Line(0.9, 0.3, 20, 8, (0, 1, 7, 8, 9, 10, 12, 19, 20, 21, 26, 27, 28, 29, 300)).observe),
    Probe("the second old notebook's line, from 0.99 to 0.05 over 1,250,000 steps",
          Line(0.99, 0.05, 1_250_000, 0, (0, 15_000, 312_500, 1_000_000, 1_250_000, 1_750_000)
               ).observe),
    Probe("the line of Nature's code, from 1 to 0.1 over 1,000,000 steps after 50,000",
          Line(1.0, 0.1, 1_000_000, 50_000, (0, 50_000, 300_000, 550_000, 1_050_000, 50_000_000)
               ).observe),
    Probe("a line that ends at 0, over 4 steps", Line(0.5, 0.0, 4, 0, (0, 1, 3, 4, 5, 99)).observe),
    Probe("a line with decay_steps=0", Line(1.0, 0.25, 0, 0, (0, 1, 50), hint=3).observe),
    Probe("a line with decay_steps=0 after a delay of 8",
          Line(1.0, 0.25, 0, 8, (0, 7, 8, 9, 50), hint=3).observe),
)  # fmt: skip


def _workload(piece):
    steps = np.arange(16)

    def job():
        for turn in range(0, 800, 16):
            piece(turn + steps, 1.0, 0.02, 500, 100)

    return job


ENTRY = Entry(
    name="linear_schedule",
    probes=SCENES,
    wrong=WRONG,
    right=RIGHT,
    hints=HINTS,
    model=linear_schedule,
    reference=linear_schedule,
    workload=_workload,
)
