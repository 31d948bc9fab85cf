"""What is read from the memories of several lanes, and how a difference is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import Difference, Fact, words
from dqn_ref.replay import Batch

# Counts of two right pieces differ by more about once in a thousand million comparisons.
_SIGMAS = 6.5


def counted(what: str, number: Any) -> Fact:
    """A length; hint 4 is about it."""
    return Fact(what, number, hint=4)


@dataclass(frozen=True)
class Heard(Fact):
    """What every lane's memory was told in a turn: a tuple of calls for each."""

    turn: str = ""  # one letter for each lane, see lane_scenes
    names: dict[bytes, str] = field(default_factory=dict, repr=False)

    def difference(self, expected: Heard) -> Difference:
        pairs = enumerate(zip(self.value, expected.value, strict=True))
        lane, (mine, its) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
        what = {"s": "its game starts", "b": "all games begin", "c": "its game is cut off"}
        why = what.get(self.turn[lane], "it makes a step")
        sentence = (
            f"in {self.what}, lane {lane} ({why}): its memory is told {self._calls(mine)}, "
            f"expected {self._calls(its)}"
        )
        foreign = any(isinstance(part, str) and "due" in part for call in mine for part in call)
        return Difference(sentence, 2 if foreign else 1)

    def _calls(self, calls: tuple) -> str:
        return " and ".join(map(self._call, calls)) or "nothing"

    def _call(self, call: tuple) -> str:
        kind, *facts, frame = call
        told = [*map(self._fact, range(len(facts)), facts), self._frame(frame)]
        return f"`{kind}({', '.join(told)})`"

    @staticmethod
    def _fact(place: int, fact: Any) -> str:
        """Action and reward are numbers, the other two are flags."""
        flag = place > 1 and isinstance(fact, float)
        return words(bool(fact)) if flag else words(fact)

    def _frame(self, frame: bytes | str) -> str:
        return frame if isinstance(frame, str) else self.names.get(frame, "a frame of no lane")


@dataclass(frozen=True)
class Contents(Fact):
    """What a large batch holds: the steps that never came, and the fields that were mixed up.

    `value` is a pair: names of the steps that are missing, and names of the fields of a row that
    do not belong to the step of its state.
    """

    example: str = ""  # of a row that is mixed up

    @classmethod
    def of(cls, batch: Batch, held: Sequence[tuple[str, tuple]]) -> Contents:
        """Read a batch, knowing the steps that can be drawn."""
        fields = [np.ascontiguousarray(column) for column in batch]
        places = _different_rows(fields)
        known = {step[0].tobytes(): (name, step) for name, step in held}
        missing, mixed, example = {name for name, _ in held}, set(), ""
        for row in zip(*(column[places] for column in fields), strict=True):
            name, step = known.get(row[0].tobytes(), ("", None))
            if step is None:
                mixed.add("states")
                example = example or "the state of a row is in no lane's memory"
                continue
            unlike = [
                name_of_field
                for name_of_field, mine, its in zip(Batch._fields, row, step, strict=True)
                if not np.array_equal(mine, np.asarray(its, np.asarray(mine).dtype))
            ]
            mixed.update(unlike)
            missing.discard(name)
            if unlike and not example:
                example = f"a row with the state of {name} has other {', '.join(unlike)} than it"
        return cls(
            "a batch of 1,000", (tuple(sorted(missing)), tuple(sorted(mixed))), "", 4, example
        )

    def difference(self, expected: Contents) -> Difference:
        missing, mixed = self.value
        if mixed:
            return Difference(self.example, 4)
        steps = f"{missing[0]} and {len(missing) - 1} more" if missing[1:] else missing[0]
        return Difference(f"a batch of 1,000 does not hold {steps}", 3)


@dataclass(frozen=True)
class Shares(Fact):
    """How often each step was drawn; `value` are counts, `(steps,)` int64, lane after lane.

    Two pieces are alike if the same probabilities may lie behind their counts.
    """

    names: tuple[str, ...] = ()
    size: int = 0  # rows of a batch

    @classmethod
    def of(cls, size: int, rewards: np.ndarray, held: Sequence[tuple[str, tuple]]) -> Shares:
        """Count what batches of one size hold; every step is known by its reward."""
        place = {step[2]: number for number, (_, step) in enumerate(held)}
        found = [place[reward] for reward in rewards.tolist() if reward in place]
        counts = np.bincount(found, minlength=len(held))
        names = tuple(name for name, _ in held)
        return cls(f"shares in batches of {size}", counts, "", 3, names, size)

    def same(self, other: Fact) -> bool:
        if not isinstance(other, Shares) or self.what != other.what:
            return False
        return _alike(self.value, other.value) and _alike(*(s.by_lane for s in (self, other)))

    @property
    def lanes(self) -> np.ndarray:
        return np.array([int(name.split("'")[0].removeprefix("lane ")) for name in self.names])

    @property
    def by_lane(self) -> np.ndarray:
        return np.bincount(self.lanes, weights=self.value).astype(np.int64)

    def difference(self, expected: Shares) -> Difference:
        held = np.bincount(self.lanes)
        if not _alike(self.by_lane, expected.by_lane):
            mine, total = self.by_lane, max(self.by_lane.sum(), 1)
            parts = [
                f"{share:.0%} of the draws from lane {lane} ({steps} of {held.sum()} steps)"
                for lane, (share, steps) in enumerate(zip(mine / total, held, strict=True))
            ]
            drawn = f"in batches of {self.size}, {', '.join(parts)}"
            return Difference(f"{drawn}; each step should be drawn as often", 3)
        place = int(np.abs(self.value - expected.value).argmax())
        total = int(self.value.sum())
        return Difference(
            f"in batches of {self.size}, {self.names[place]} is drawn {self.value[place]} times in "
            f"{total:,}, expected "
            f"about {total / len(self.value):.0f}: each step should be drawn as often",
            3,
        )


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether counts of as many draws may have the same probabilities behind them."""
    return bool((np.abs(one - other) <= _SIGMAS * np.sqrt(np.maximum(one + other, 1))).all())


def _different_rows(fields: Sequence[np.ndarray]) -> np.ndarray:
    """Where rows stand of which none is another's copy."""
    numbers = [column.reshape(len(column), -1).view(np.uint8) for column in fields]
    return np.sort(np.unique(np.concatenate(numbers, axis=1), axis=0, return_index=True)[1])


_DTYPES = Batch("uint8", "int64", "float32", "float32", "bool", "uint8")


def made_of(result: Any, size: int, stack: tuple[int, ...]) -> Fact:
    """Whether it is a `Batch` of `size` rows, of arrays or tensors of the right dtypes."""
    what = f"the make-up of a batch of {size}"
    if not isinstance(result, Batch):
        kind = type(result).__name__
        return Fact(what, kind, f"`sample({size}, rng)` returns a {kind}, expected a `Batch`", 4)
    for name, value, dtype in zip(Batch._fields, result, _DTYPES, strict=True):
        if not isinstance(value, (np.ndarray, torch.Tensor)):
            kind = type(value).__name__
            tell = f"`{name}` of a batch is a {kind}, expected an array or a tensor"
            return Fact(what, (name, kind), tell, 4)
        shape = (size, *stack) if "states" in name else (size,)
        if tuple(value.shape) != shape:
            tell = f"`{name}` of a batch of {size} has shape {tuple(value.shape)}, expected {shape}"
            # Whole rows that are too many or too few were asked for so: that is the draw.
            draw = tuple(value.shape[1:]) == shape[1:] and value.ndim > 0
            return Fact(what, (name, str(tuple(value.shape))), tell, 3 if draw else 4)
        found = str(value.dtype).removeprefix("torch.")
        if found != dtype:
            tell = f"`{name}` of a batch are {found}, expected {dtype}"
            return Fact(what, (name, found), tell, 4)
    return Fact(what, "well made")
