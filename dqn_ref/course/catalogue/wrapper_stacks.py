"""What the check of the frame stack pushes and reads; the mistakes: `frame_stack`.

All frames are different, so that each frame of a stack tells which one it is: frame 3 of lane 1 is
what the third push brought for that lane.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import Difference, Fact, Trace
from dqn_ref.course.catalogue.pictures import strips
from dqn_ref.course.catalogue.wrapper_games import listed


@dataclass(frozen=True)
class Stacks(Fact):
    """What the lanes' stacks hold: `value` is `(L, stack, H, W)` uint8."""

    names: Any = None  # frame, lane -> what it is called
    started: str = ""  # which lanes started with this push

    def difference(self, expected: Stacks) -> Difference:
        unequal = (self.value != expected.value).any(axis=(1, 2, 3))
        lane = int(np.flatnonzero(unequal)[0])
        rows = {
            title: [self.names(frame, lane) for frame in stacks.value[lane]]
            for title, stacks in (("yours", self), ("expected", expected))
        }
        mine, its = (", ".join(text or "zeros" for text in row) for row in rows.values())
        sentence = f"{self.what}{self.started}, lane {lane} shows frames {mine}; expected {its}"

        def draw() -> tuple[str, str]:
            alt = f"The stack of lane {lane}, {self.what}. Yours: {mine}; expected: {its}."
            tiles = {t: [text.replace(" of lane ", "/") for text in row] for t, row in rows.items()}
            return strips(tiles, {0: f"lane {lane}"}), alt

        return Difference(f"{sentence} (numbered by pushes)", self._hint_for(*rows.values()), draw)

    def _hint_for(self, mine: list[str], its: list[str]) -> int:
        """Hints of the chapter: 1 oldest out and newest in, 3 starts."""
        return 3 if mine[-1] == its[-1] else 1


@dataclass(frozen=True)
class Pushes:
    """Frames for some lanes, and what a stack shows after each push."""

    starts: tuple[str, ...]  # of each push, one letter per lane: x starts, . goes on
    stack_frames: int | None = None  # None: left out, like the shape
    shape: tuple[int, int] = (84, 84)
    seed: int = 1
    beside: bool = False  # another stack is made and pushed into as well

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        lanes, count = len(self.starts[0]), self.stack_frames or 4
        stack = self._made(piece, lanes)
        other = self._made(piece, lanes) if self.beside else None
        expected = np.zeros((lanes, count, *self.shape), np.uint8)
        results: list[tuple[str, Any, Any]] = []
        given: list[tuple[str, Any, Any]] = []
        if not (yield from _form(stack.current, expected.shape, "`current` before the first push")):
            return
        yield Fact(
            "current before the first push",
            not stack.current.any(),
            "`current` before the first push is not all zeros",
            1,
        )
        frames = self._frames()
        for number, letters in enumerate(self.starts, start=1):
            starts = np.array([letter == "x" for letter in letters])
            arguments = torch.from_numpy(frames[number - 1].copy()), starts.copy()
            given += [
                (f"the tensor of frames of push {number}", arguments[0], arguments[0].clone()),
                (f"the array `starts` of push {number}", arguments[1], starts),
            ]
            result = stack.push(*arguments)
            if other is not None:
                other.push(torch.from_numpy(255 - frames[number - 1]), ~starts)
            what = f"after push {number}"
            if not (yield from _form(result, expected.shape, f"the result of push {number}")):
                return
            yield self._stacks(result, what, letters)
            results.append((f"the stack that push {number} returned", result, result.clone()))
            yield _current(stack, result, what)
        yield _unchanged("stacks", results, ": return a new tensor each time")
        yield _unchanged("arguments", given, "; it belongs to the caller")

    def _made(self, piece, lanes: int):
        if self.stack_frames is None:
            return piece(lanes)
        return piece(lanes, self.stack_frames, self.shape)

    def _frames(self) -> np.ndarray:
        """`(pushes, lanes, H, W)`; no pixel is black."""
        size = len(self.starts), len(self.starts[0]), *self.shape
        return np.random.default_rng(self.seed).integers(1, 255, size=size, dtype=np.uint8)

    def _stacks(self, result: torch.Tensor, what: str, letters: str) -> Stacks:
        lanes = [str(lane) for lane, letter in enumerate(letters) if letter == "x"]
        started = f", with which lane{'s' * (len(lanes) > 1)} {listed(lanes)} start"
        started += "s" if len(lanes) == 1 else ""
        return Stacks(
            what, result.numpy().copy(), names=self._name, started=started if lanes else ""
        )

    def _name(self, frame: np.ndarray, lane: int) -> str:
        """Number of a frame's push, with its lane if that is another; "" for zeros."""
        if not frame.any():
            return ""
        for push, row in enumerate(self._frames(), start=1):
            for number, known in enumerate(row):
                if np.array_equal(known, frame):
                    return f"{push}" if number == lane else f"{push} of lane {number}"
        return "?"


def _form(result: Any, shape: tuple[int, ...], what: str) -> Iterator[Fact]:
    """One fact, about type, shape and dtype; generator's value: whether it can be read."""
    kind = f"of type {type(result).__name__}"
    if result is None:
        kind = "None (is a `return` missing?)"
    elif callable(result) and not isinstance(result, torch.Tensor):
        kind = "a method; it is read without brackets, as an attribute or a property"
    elif isinstance(result, torch.Tensor):
        kind = f"a tensor {tuple(result.shape)} {str(result.dtype).removeprefix('torch.')}"
    wanted = f"a tensor {shape} uint8"
    yield Fact(what, kind, f"{what} is {kind}, expected {wanted}", 2)
    return kind == wanted


def _current(stack, result: torch.Tensor, what: str) -> Fact:
    current = stack.current
    same = isinstance(current, torch.Tensor) and torch.equal(current, result)
    kind = "the last result"
    if not same:
        kind = "all zeros" if isinstance(current, torch.Tensor) and not current.any() else "another"
    tell = (
        f"{what}, `current` is {kind}{' stack' * (kind == 'another')}, expected what was returned"
    )
    return Fact(f"current {what}", kind, tell, 1)


def _unchanged(what: str, kept: list[tuple[str, Any, Any]], advice: str) -> Fact:
    changed = [name for name, now, then in kept if not np.array_equal(now, then)]
    tell = f"{changed[0] if changed else ''} changes later{advice}"
    return Fact(what, tuple(changed), tell, 4)


ONE_LANE = Pushes(("x", ".", ".", ".", ".", ".", "x", ".", ".", "x", "x", ".", "."), 4, (3, 4))
LANES = Pushes(
    ("xxx", "...", "...", ".x.", "...", "x..", "..x", "...", "...", "...", "x.x", "x..", "...",
     ".x.", "...", "...", "xxx", "..."),
    4, (4, 5), 2,
)  # fmt: skip
BESIDE = Pushes(("xx", "..", "..", ".x", "..", "..", "x.", ".."), 4, (3, 4), 3, beside=True)
NO_START = Pushes(("..", "..", "x.", "..", "..", "..", "..", ".x"), 5, (2, 3), 4)
TWO = Pushes(("xxxx", "....", "..x.", "x...", "....", "x..x"), 2, (5, 2), 5)
ONE = Pushes(("xx", "..", ".x", ".."), 1, (2, 2), 6)
DEFAULTS = Pushes(("xx", "..", "x.", "..", "..", ".."))
