"""What is read from a replay memory, and how a difference is told.

A learner reads in the words of the games that were played: frames have numbers, and a stack that
should show frames 1, 2, 3, 4 shows something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import Difference, Fact, words
from dqn_ref.course.catalogue.pictures import strips
from dqn_ref.replay import Batch


@dataclass(frozen=True)
class Length(Fact):
    """`len(memory)`; all lengths that the contract allows count as one."""

    bounds: tuple[int, int] = (0, 0)

    @property
    def within(self) -> bool:
        return self.bounds[0] <= self.value <= self.bounds[1]

    def same(self, other: Fact) -> bool:
        if not isinstance(other, Length) or self.what != other.what:
            return False
        return self.value == other.value or (self.within and other.within)

    def difference(self, expected: Fact) -> Difference:
        low, high = self.bounds
        right = words(low)
        if low != high:
            right = f"between {low} and {high} (a few of the oldest may go earlier or later)"
        return Difference(f"{self.what} is {words(self.value)}, expected {right}", 4)


@dataclass(frozen=True)
class Rows(Fact):
    """The contents of a batch as arrays: `value` is a `Batch`."""

    truth: Any = None  # a memory_scenes.Recorded: everything that happened
    numbers: Any = None  # (B,) int64: the steps that the draw means, 0 the first of all
    reach: int = 0  # the length that the memory states

    def same(self, other: Fact) -> bool:
        if not isinstance(other, Rows) or self.what != other.what:
            return False
        if len(self.numbers) != len(other.numbers):
            return False
        return not any(self._unequal(other, name).any() for name in Batch._fields)

    def _unequal(self, other: Rows, name: str) -> np.ndarray:
        """Where a field differs from the other's, `(B,)` bool.

        Of a terminated transition nobody reads the next state: it may be the state moved by one
        frame, or the stack that starts at the new frame. Its discount may be 0.
        """
        mine, its = getattr(self.value, name), getattr(other.value, name)
        unequal = _rows_differ(mine, its)
        if name == "next_states":
            fresh = its.copy()
            fresh[:, :-1] = 0
            unequal &= ~other.value.terminated | _rows_differ(mine, fresh)
        if name == "discounts":
            unequal &= ~other.value.terminated | (mine != 0)
        return unequal

    def difference(self, expected: Rows) -> Difference:
        order = ("states", "next_states", "actions", "rewards", "terminated", "discounts")
        name = next(n for n in order if self._unequal(expected, n).any())
        place = int(np.flatnonzero(self._unequal(expected, name))[0])
        other = self._step_in(place)
        step = self.truth.steps[self.numbers[place]]
        if other is not None and other != self.numbers[place]:
            return self._wrong_draw(place, other)
        if name in ("states", "next_states"):
            return self._wrong_frames(expected, name, place, step)
        mine, its = (getattr(rows.value, name)[place] for rows in (self, expected))
        what = name if name == "terminated" else name.removesuffix("s")
        return Difference(
            f"for {self._step_words(step)}, {what} is {words(mine)}, expected {words(its)}",
            2 if name == "discounts" else 1,
        )

    def _step_in(self, place: int) -> int | None:
        """Which step a row holds, if it holds one completely; the newest of several."""
        everything = self.truth.batch(np.arange(len(self.truth.steps)))
        whole = np.ones(len(self.truth.steps), bool)
        for name in ("states", "actions", "rewards", "terminated"):
            whole &= ~_rows_differ(getattr(everything, name), getattr(self.value, name)[place])
        found = np.flatnonzero(whole)
        return int(found[-1]) if len(found) else None

    def _wrong_draw(self, place: int, other: int) -> Difference:
        size, oldest = len(self.numbers), len(self.truth.steps) - self.reach
        meant = self.numbers[place]
        where = f"at position {other - oldest}" if other >= oldest else "among those dropped"
        return Difference(
            f"row {place} of a batch holds {self._step_words(self.truth.steps[other])}, {where}; "
            f"`rng.integers({self.reach}, size={size})` drew position {meant - oldest}, "
            f"{self._step_words(self.truth.steps[meant])} (position 0 is the oldest step)",
            2,
        )

    def _wrong_frames(self, expected: Rows, name: str, place: int, step: Any) -> Difference:
        shown = {
            title: [self._frame_words(frame) for frame in getattr(rows.value, name)[place]]
            for title, rows in (("yours", self), ("expected", expected))
        }
        mine, its = (", ".join(text or "zeros" for text in row) for row in shown.values())
        what = name.removesuffix("s").replace("_", " ")
        sentence = (
            f"for {self._step_words(step)}, the {what} shows frames {mine}; expected {its} "
            "(numbered from 0 as they came in)"
        )
        if "?" in mine:
            sentence += self._stranger(getattr(self.value, name)[place])
        if step.row - step.start < self.truth.stack_frames:
            sentence += f"; a stack begins at frame {step.start}"
        return Difference(
            sentence, self._frames_hint(*shown.values(), step), self._drawing(expected, place)
        )

    def _frames_hint(self, mine: list[str], its: list[str], step: Any) -> int:
        """Hints of the chapter: 1 the step's frame, 3 a stack's start, 4 the ring, 5 copies."""
        if "?" in mine:
            return 5
        turned = len(self.truth.frames) > self.truth.capacity
        if turned and any(text and int(text) > step.row + 1 for text in mine):
            return 4
        if mine[-1] != its[-1]:
            return 4 if turned else 1
        return 3

    def _drawing(self, expected: Rows, place: int):
        def draw() -> tuple[str, str]:
            tiles = {
                title: [
                    self._frame_words(frame)
                    for name in ("states", "next_states")
                    for frame in getattr(rows.value, name)[place]
                ]
                for title, rows in (("yours", self), ("expected", expected))
            }
            heads = {0: "state", self.truth.stack_frames: "next state"}
            texts = [f"{t}: {', '.join(x or 'zeros' for x in row)}" for t, row in tiles.items()]
            return strips(tiles, heads), "Frames of state and next state. " + "; ".join(texts) + "."

        return draw

    def _frame_words(self, frame: np.ndarray) -> str:
        """Number of a frame, "" for zeros, "?" for one that never came in."""
        if not frame.any():
            return ""
        known = [number for number, f in enumerate(self.truth.frames) if np.array_equal(f, frame)]
        return str(known[-1]) if known else "?"

    def _stranger(self, stack: np.ndarray) -> str:
        """What a frame that never came in is like."""
        frame = next(f for f in stack if self._frame_words(f) == "?")
        given = np.array(self.truth.frames).astype(int)
        away = np.abs(given - frame).max(axis=(1, 2))
        if away.min() > 3:
            return f"; ? is a frame that never came in, of values {frame.min()} to {frame.max()}"
        levels = count(int(away.min()), "grey level")
        return f"; ? is frame {away.argmin()}, changed by up to {levels}"

    def _step_words(self, step: Any) -> str:
        return f"the step from frame {step.row} to frame {step.row + 1}"


def growth(grows: bool, steps: tuple[int, int], weights: list[int]) -> Fact:
    """Whether a memory that has long been full still grows, and by how much."""
    times = weights[1] / max(weights[0], 1)
    tell = (
        f"the memory holds {times:.1f} times as many bytes after {steps[1]} steps as after "
        f"{steps[0]}: what it no longer shows is still kept, and a long run fills the computer"
    )
    return Fact("growth", grows, tell, 4)


def repeats(one: Any, other: Any) -> Fact:
    """Whether two equal generators draw the same."""
    same = True
    if _is_batch(one) and _is_batch(other):
        pairs = zip(one, other, strict=True)
        same = all(np.array_equal(_array(mine), _array(its)) for mine, its in pairs)
    tell = "two calls of `sample` with equally seeded generators return different batches: "
    return Fact("draws repeat", same, tell + "something other than `rng` decides what is drawn", 2)


def _is_batch(result: Any) -> bool:
    """Whether it is a `Batch` of arrays or tensors, whatever their shapes and dtypes."""
    return isinstance(result, Batch) and all(
        isinstance(field, (np.ndarray, torch.Tensor)) for field in result
    )


def _array(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


_DTYPES = Batch("uint8", "int64", "float32", "float32", "bool", "uint8")


def batch_facts(result: Any, truth: Any, reach: int, positions) -> Iterator[Fact]:
    """Two facts: what the batch is made of, and what it holds."""
    numbers = positions + len(truth.steps) - reach
    stacks = len(positions), truth.stack_frames, *truth.empty.shape
    made_of = _make_up(result, stacks)
    yield made_of
    what = f"a batch after {count(len(truth.steps), 'step')}"
    contents = tuple(_array(field).copy() for field in result) if _is_batch(result) else object()
    if made_of.value == "well made":
        yield Rows(what, Batch(*contents), truth=truth, numbers=numbers, reach=reach)
    else:
        yield Fact(what, contents)


def _make_up(result: Any, stacks: tuple[int, ...]) -> Fact:
    """Whether it is a `Batch` of arrays or tensors of the right dtypes and shapes.

    Args:
        stacks: the shape of the states.
    """
    what = "the make-up of a batch"
    if not isinstance(result, Batch):
        kind = type(result).__name__
        tell = f"`sample` returns {_article(kind)}, expected a `Batch`"
        return Fact(what, kind, tell, 2)
    for name, dtype in zip(Batch._fields, _DTYPES, strict=True):
        value, shape = getattr(result, name), stacks if "states" in name else stacks[:1]
        if not isinstance(value, (np.ndarray, torch.Tensor)):
            kind = type(value).__name__
            tell = f"`{name}` of a batch is {_article(kind)}, expected an array or a tensor"
            return Fact(what, (name, kind), tell, 2)
        if tuple(value.shape) != shape:
            tell = f"`{name}` of a batch has shape {tuple(value.shape)}, expected {shape}"
            return Fact(what, (name, str(tuple(value.shape))), tell, 2)
        found = str(value.dtype).removeprefix("torch.")
        if found != dtype:
            tell = f"`{name}` of a batch are {found}, expected {dtype}"
            return Fact(what, (name, found), tell, 5 if "states" in name else 2)
    return Fact(what, "well made")


def _rows_differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`(B,)` bool."""
    unequal = one != other
    return unequal.reshape(len(unequal), -1).any(axis=1)


def count(number: int, thing: str) -> str:
    """1 step, 2 steps, 1,000 steps."""
    return f"{number} {thing}" if number == 1 else f"{number:,} {thing}s"


def _article(kind: str) -> str:
    return "None" if kind == "NoneType" else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
