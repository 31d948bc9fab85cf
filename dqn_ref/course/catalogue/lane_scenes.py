"""What the check of LaneMemories plays: lanes that step together, with memories that take notes.

A turn is a string with one letter per lane::

    .  a step                o  a step that ends the episode
    c  a step that is cut off    s  a game starts: the action was ignored, nothing was a step

Every frame of a scene is another one and every reward, too, so that a note and a row of a batch
tell which lane and which turn they come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import Fact, Trace
from dqn_ref.course.catalogue.lane_facts import Contents, Heard, Shares, counted, made_of
from dqn_ref.replay import Batch

_SHAPE, _STACK = (2, 3), 2
_READ = 1_000  # rows: that one of forty steps is missing happens once in two thousand million


class OnGpu(torch.Tensor):
    """A tensor that has to be fetched before NumPy can read it, as one on a GPU has."""

    is_cuda = property(lambda self: True)
    device = property(lambda self: torch.device("cuda", 0))

    def cpu(self, *arguments, **named):
        return self.as_subclass(torch.Tensor)

    def to(self, *arguments, **named):
        return self.cpu() if "cpu" in map(str, [*arguments, *named.values()]) else self

    def numpy(self, *arguments, **named):
        raise TypeError("can't convert cuda:0 device type tensor to numpy; use Tensor.cpu() first")

    def __array__(self, *arguments, **named):
        return self.numpy()


class NotedMemory:
    """A right memory of one lane, which notes what it hears and which positions it draws.

    It is as strict as a memory of chapter 04 may be: it hands out nothing when it is empty, and no
    batch of nothing.
    """

    def __init__(self, capacity: int = 1_000, tensors: bool = False):
        self.capacity, self.tensors = capacity, tensors
        self.heard: list[tuple] = []
        self.drawn: list[int] = []
        self.steps: list[tuple] = []
        self._columns: list[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.steps)

    def begin(self, frame) -> None:
        self.heard.append(("begin", _frame(frame)))
        self.state = np.stack([np.zeros(_SHAPE, np.uint8), _pixels(frame)])

    def add(self, action, reward, terminated, truncated, next_frame) -> None:
        facts = [_plain(fact) for fact in (action, reward, terminated, truncated)]
        self.heard.append(("add", *facts, _frame(next_frame)))
        after = np.stack([self.state[1], _pixels(next_frame)])
        facts = [fact if isinstance(fact, float) else 0.0 for fact in facts]
        step = (self.state, facts[0], facts[1], 0.99, facts[2], after)
        self.steps = [*self.steps, step][-self.capacity :]
        self.state = np.stack([0 * after[1], after[1]]) if facts[2] else after
        self._columns = None

    def sample(self, batch_size, rng) -> Batch:
        if not self.steps:
            raise ValueError("this lane's memory is empty, nothing can be drawn from it")
        if batch_size < 1:
            raise ValueError(f"a lane's memory was asked for a batch of {batch_size}")
        positions = rng.integers(len(self.steps), size=batch_size)
        self.drawn += positions.tolist()
        if self._columns is None:
            dtypes = (np.uint8, np.int64, np.float32, np.float32, bool, np.uint8)
            columns = zip(*self.steps, strict=True)
            self._columns = [np.array(c, d) for c, d in zip(columns, dtypes, strict=True)]
        fields = [column[positions] for column in self._columns]
        return Batch(*(torch.from_numpy(f) if self.tensors else f for f in fields))


def _plain(fact: Any) -> float | str:
    """One number, or what came in its place, in words."""
    return float(fact) if np.ndim(fact) == 0 else f"an array of shape {np.shape(fact)}"


def _frame(frame: Any) -> bytes | str:
    """A frame as the notes keep it: its bytes, or what came in its place, in words."""
    if not isinstance(frame, np.ndarray):
        kind = "tensor on the GPU" if isinstance(frame, OnGpu) else type(frame).__name__
        return f"a {kind} where an array is due"
    if (frame.shape, frame.dtype) != (_SHAPE, np.uint8):
        return f"an array of shape {frame.shape}, {frame.dtype}"
    return frame.tobytes()


def _pixels(frame: Any) -> np.ndarray:
    pixels = frame.cpu() if isinstance(frame, torch.Tensor) else frame
    pixels = np.asarray(pixels, np.uint8)
    return pixels if pixels.shape == _SHAPE else np.zeros(_SHAPE, np.uint8)


@dataclass(frozen=True)
class Turn:
    """What came for all lanes at once. At a `begin` there are frames only."""

    letters: str
    frames: np.ndarray  # (L, H, W) uint8
    actions: np.ndarray  # (L,) int64
    rewards: np.ndarray  # (L,) float32

    def flags(self, letter: str) -> np.ndarray:
        return np.array([found == letter for found in self.letters])


def turns_of(seed: int, lines: Sequence[str]) -> list[Turn]:
    """Turns with random contents; a line of `b` begins all games."""
    rng, lanes = np.random.default_rng(seed), len(lines[0])
    # Numbered in the first two pixels: all frames differ.
    frames = rng.integers(1, 256, size=(len(lines), lanes, *_SHAPE), dtype=np.uint8)
    frames[:, :, 0, 0] = np.arange(len(lines))[:, None]
    frames[:, :, 0, 1] = np.arange(lanes) + 1
    rewards = rng.permutation(len(lines) * lanes).reshape(-1, lanes).astype(np.float32) - 7.5
    actions = rng.integers(18, size=rewards.shape)
    columns = zip(lines, frames, actions, rewards, strict=True)
    return [Turn(*column) for column in columns]


@dataclass(frozen=True)
class Scene:
    """Some turns, after which the memories' notes and a large batch are read."""

    seed: int
    lines: tuple[str, ...]
    tensors: bool = False  # in the batches of the lanes' memories
    on_gpu: bool = False
    capacity: int = 1_000

    @cached_property
    def turns(self) -> list[Turn]:
        return turns_of(self.seed, self.lines)

    @cached_property
    def names(self) -> dict[bytes, str]:
        """The frames' names in words, by their bytes."""
        return {
            frame.tobytes(): f"lane {lane}'s frame {number}"
            for number, turn in enumerate(self.turns)
            for lane, frame in enumerate(turn.frames)
        }

    def play(self, piece) -> Iterator[tuple[Any, list[NotedMemory], int]]:
        """The piece and its lanes' memories after every turn."""
        noted = [NotedMemory(self.capacity, self.tensors) for _ in self.lines[0]]
        lanes = piece(list(noted))
        for number, turn in enumerate(self.turns):
            frames = torch.from_numpy(turn.frames.copy())
            frames = frames.as_subclass(OnGpu) if self.on_gpu else frames
            if turn.letters[0] == "b":
                lanes.begin(frames)
            else:
                terminated, truncated = turn.flags("o"), turn.flags("c")
                facts = turn.actions.copy(), turn.rewards.copy(), terminated, truncated
                lanes.add(*facts, turn.flags("s"), frames)
            yield lanes, noted, number

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        for lanes, noted, number in self.play(piece):
            turn = self.turns[number].letters
            yield Heard(f"turn {number}", _notes(noted), turn=turn, names=self.names)
            yield counted(f"`len` after turn {number}", len(lanes))
        try:
            batch = lanes.sample(_READ, np.random.default_rng(self.seed))
        except ValueError as error:
            yield _refusal(error)
            return
        made = made_of(batch, _READ, (_STACK, *_SHAPE))
        yield made
        if made.value == "well made":
            yield Contents.of(batch, self.held())

    def held(self) -> list[tuple[str, tuple]]:
        """All steps that can be drawn at the end: their names, and what a row of them holds."""
        noted = [NotedMemory(self.capacity) for _ in self.lines[0]]
        for turn in self.turns:
            for lane, (memory, letter) in enumerate(zip(noted, turn.letters, strict=True)):
                if letter in "bs":
                    memory.begin(turn.frames[lane])
                else:
                    facts = turn.actions[lane], turn.rewards[lane], letter == "o", letter == "c"
                    memory.add(*facts, turn.frames[lane])
        return [
            (f"lane {lane}'s step to frame {step[-1][1, 0, 0]}", step)
            for lane, memory in enumerate(noted)
            for step in memory.steps
        ]


def _refusal(error: ValueError) -> Fact:
    """A memory that has nothing to give raises it, and so does a batch taken apart wrongly."""
    tell, hint = f"`sample` raises ValueError: {error}", 3
    if "to unpack" in str(error):
        tell, hint = f"{tell}; a `Batch` has {len(Batch._fields)} fields", 4
    return Fact("sampled", "a ValueError", tell, hint)


def _notes(noted: list[NotedMemory]) -> tuple:
    """What every lane's memory heard since the last time."""
    notes = tuple(tuple(memory.heard) for memory in noted)
    for memory in noted:
        memory.heard.clear()
    return notes


def _last(scene: Scene, piece) -> tuple[Any, list[NotedMemory]]:
    """The piece and its lanes' memories when all turns are played."""
    lanes, noted, _ = list(scene.play(piece))[-1]
    return lanes, noted


def batches_of_many_sizes(piece, seen: Trace | None) -> Iterator[Fact]:
    """Sizes that no number of lanes divides, and one that is below it."""
    lanes, _ = _last(UNEVEN, piece)
    yield counted("`len`", len(lanes))
    for size in (1, 2, 7, 32):
        yield made_of(lanes.sample(size, np.random.default_rng(size)), size, (_STACK, *_SHAPE))


def fair_shares(piece, seen: Trace | None) -> Iterator[Fact]:
    """Whether each step is drawn as often as any other, and whether `rng` alone decides."""
    lanes, _ = _last(UNEVEN, piece)
    one, other = (lanes.sample(20, np.random.default_rng(5)) for _ in range(2))
    pairs = zip(one, other, strict=True)
    same = all(np.array_equal(np.asarray(mine), np.asarray(its)) for mine, its in pairs)
    tell = "two calls of `sample` with equally seeded generators return different batches: "
    yield Fact("draws repeat", same, tell + "something other than `rng` decides", 3)
    rng = np.random.default_rng(6)
    # One row at a time shows who gets what a rounded share leaves over.
    for size, batches in ((1, 400), (200, 60)):
        rewards = [np.asarray(lanes.sample(size, rng).rewards) for _ in range(batches)]
        yield Shares.of(size, np.concatenate(rewards), UNEVEN.held())


def lanes_of_one_length(piece, seen: Trace | None) -> Iterator[Fact]:
    """Whether two lanes that hold as much are drawn from independently of each other."""
    lanes, noted = _last(EVEN, piece)
    rng, alike, both = np.random.default_rng(7), True, True
    for _ in range(3):
        for memory in noted:
            memory.drawn.clear()
        lanes.sample(60, rng)
        pairs = list(zip(*(memory.drawn for memory in noted), strict=False))
        both &= bool(pairs)
        alike &= bool(pairs) and all(one == other for one, other in pairs)
    tell = "all rows of a batch of 60 come from one of the two lanes"
    yield Fact("lanes in a batch", both, tell, 3)
    tell = "in each batch the same positions are drawn from both lanes"
    yield Fact("lanes alike", alike, tell, 3)


def one_lane(piece, seen: Trace | None) -> Iterator[Fact]:
    """One lane is what one memory is."""
    lanes, (memory,) = _last(ALONE, piece)
    mine = lanes.sample(12, np.random.default_rng(8))
    made = made_of(mine, 12, (_STACK, *_SHAPE))
    yield made
    if made.value == "well made":
        its = memory.sample(12, np.random.default_rng(8))
        same = _rows(mine) == _rows(its)
        tell = (
            "`sample(12, rng)` gives another batch than that lane's memory gives with an equally "
            "seeded generator, if it is asked for all 12 rows before anything else uses `rng`"
        )
        yield Fact("the memory's own batch", same, tell, 3)


def _rows(batch: Batch) -> list[bytes]:
    """The rows of a batch, in no particular order."""
    rows = zip(*map(np.asarray, batch), strict=True)
    return sorted(b"".join(value.tobytes() for value in row) for row in rows)


def nothing_yet(piece, seen: Trace | None) -> Iterator[Fact]:
    """An empty memory says so, and does not hand out something else."""
    lanes, _ = _last(EMPTY, piece)
    yield counted("`len`", len(lanes))
    try:
        answer = lanes.sample(4, np.random.default_rng(9))
    except ValueError:
        said = "a ValueError"
    else:
        said = f"a {type(answer).__name__}"
    yield Fact("sampled", said, f"it answers `sample` with {said}, expected a ValueError", 3)


def _uneven_lines() -> tuple[str, ...]:
    """Lanes of 3, 15 and 30 steps, of which the third's memory keeps 20."""
    rare = {5, 14, 22}
    return tuple(
        f"{'.' if turn in rare else 's'}{'.' if turn % 2 else 's'}{'o' if turn % 9 == 0 else '.'}"
        for turn in range(1, 31)
    )


THREE = Scene(
    1, ("bbb", "...", "o..", "s.c", "..s", ".oo", ".ss", "c..", "s..", "bbb", "..o", "..s")
)
GPU = Scene(2, ("bb", "..", "o.", "sc", ".s", ".."), tensors=True, on_gpu=True)
LATE = Scene(3, ("bbbb", ".s..", "..s."), tensors=True)
STILL_EMPTY = Scene(11, ("bbb", ".s.", ".so"))
UNEVEN = Scene(4, ("bbb", *_uneven_lines()), capacity=20)
EVEN = Scene(5, ("bb", *["..", "..", "o."] * 10), tensors=True)
ALONE = Scene(6, ("b", *[".", "o", "s", "c", "s"] * 5))
EMPTY = Scene(7, ("bb", "ss"))
