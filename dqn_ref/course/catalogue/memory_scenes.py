"""What the check of the replay memory plays and reads; the mistakes stand in `replay_memory`.

`Play` is a probe: it feeds a memory with games whose frames are all different, so that each frame
of a batch tells which one it is, and reads it at several moments. `Recorded` is a memory that
forgets nothing and can show as many transitions as another memory holds: what the contract leaves
open (which of the oldest are dropped) is settled by asking the learner's memory.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from dqn_ref.course.catalogue.judging import Fact, Trace
from dqn_ref.course.catalogue.memory_facts import Length, batch_facts, count, growth, repeats
from dqn_ref.piece_costs import held_bytes
from dqn_ref.replay import Batch


class Event(NamedTuple):
    """One `add`, or one `begin` where `action` is None."""

    action: int | None
    reward: float
    terminated: bool
    truncated: bool
    frame: np.ndarray


def play(seed: int, ends: str, shape: tuple[int, int] = (3, 4)) -> tuple[Event, ...]:
    """Games with random contents.

    Args:
        seed: of frames, actions and rewards.
        ends: one letter per call: `b` begin, `.` a step, `o` a step that ends the game, `c` a
            step at which it is cut off, `l` a step that loses a life (the game goes on), `x` a
            step that ends the game and reaches the limit at once.
        shape: height and width of a frame.
    """
    rng = np.random.default_rng(seed)
    events = []
    for letter in ends:
        frame = rng.integers(1, 256, size=shape, dtype=np.uint8)
        reward = float(rng.integers(-20, 21) * rng.choice([1, 50])) / 8
        action = None if letter == "b" else int(rng.integers(18))
        events.append(Event(action, reward, letter in "olx", letter in "cx", frame))
    return tuple(events)


def games_of_all_lengths(seed: int, calls: int) -> str:
    """Letters for `play`: short and long games, games begun anew, lost lives."""
    rng = np.random.default_rng(seed)
    letters = "b"
    while len(letters) < calls:
        weights = rng.dirichlet([8, 1, 1, 1, 0.3, 0.3])
        for letter in rng.choice(list(".oclxb"), size=int(rng.integers(2, 30)), p=weights):
            letters += str(letter)
            if letter in "ocx":
                letters += "b"
    return letters


class Step(NamedTuple):
    row: int  # number of the state's newest frame
    start: int  # number of the frame at which its stack begins
    action: int
    reward: float
    terminated: bool


class Recorded:
    """A right memory that keeps everything and shows the newest `shown` transitions."""

    grows = False  # what is said of it; it does grow

    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.capacity, self.stack_frames, self.discount = capacity, stack_frames, discount
        self.shown = capacity
        self.frames: list[np.ndarray] = []
        self.steps: list[Step] = []
        self.starts: list[int] = []
        self.empty = np.zeros(frame_shape, np.uint8)

    def begin(self, frame) -> None:
        self.keep(frame)
        self.starts.append(len(self.frames) - 1)

    def add(self, action, reward, terminated, truncated, next_frame) -> None:
        self.steps.append(
            Step(len(self.frames) - 1, self.start, int(action), float(reward), bool(terminated))
        )
        self.keep(next_frame)
        if terminated:
            self.starts.append(len(self.frames) - 1)

    @property
    def start(self) -> int:
        return self.starts[-1]

    def keep(self, frame) -> None:
        self.frames.append(frame.copy())

    def __len__(self) -> int:
        return min(len(self.steps), self.shown)

    def sample(self, batch_size, rng) -> Batch:
        return self.batch(self.positions(batch_size, rng) + len(self.steps) - len(self))

    def positions(self, batch_size, rng) -> np.ndarray:
        return rng.integers(len(self), size=batch_size)

    def batch(self, numbers: np.ndarray) -> Batch:
        """The steps of these numbers, 0 the first that was ever added."""
        steps = [self.steps[number] for number in numbers]
        rows, starts = (np.array([s[i] for s in steps]) for i in (0, 1))
        pixels = np.array([*self.frames, self.empty])
        return Batch(
            pixels[self.stack_rows(rows, starts)],
            np.array([s.action for s in steps], np.int64),
            np.array([s.reward for s in steps], np.float32),
            np.full(len(steps), self.discount, np.float32),
            np.array([s.terminated for s in steps], bool),
            pixels[self.stack_rows(rows + 1, starts)],
        )

    def frozen(self) -> Recorded:
        """What it holds now, untouched by what is added later."""
        now = copy.copy(self)
        now.frames, now.steps, now.starts = self.frames[:], self.steps[:], self.starts[:]
        return now

    def stack_rows(self, newest: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Numbers of the frames in these stacks, `(B, stack)`, oldest first; -1 is empty."""
        rows = newest[:, None] + np.arange(1 - self.stack_frames, 1)
        return np.where(rows < starts[:, None], -1, rows)


@dataclass(frozen=True)
class Play:
    """One scene: what is played to a memory, and when it is read."""

    events: tuple[Event, ...]
    reads: tuple[int, ...]  # after which events, 0 is the first
    arguments: tuple  # capacity, and more of the constructor's
    numpy_scalars: bool = False  # numbers come as the training loop gives them
    one_array: bool = False  # the caller writes every frame into the same array
    weighed: tuple[int, int] = (-1, -1)  # after which events its bytes are compared

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        memory = piece(*self.arguments)
        lengths = iter([f for f in seen.facts if isinstance(f, Length)] if seen else ())
        buffer, weights = np.zeros_like(self.events[0].frame), []
        for number, event in enumerate(self.events):
            buffer[...] = event.frame
            self._feed(memory, event, buffer if self.one_array else event.frame.copy())
            if number in self.reads:
                yield from self._read(memory, number, next(lengths, None))
            if number in self.weighed:
                weights.append(held_bytes(memory))
        if weights:
            grows = weights[1] > 1.5 * weights[0]
            said = memory.grows if isinstance(memory, Recorded) else grows
            yield growth(said, self.weighed, weights)

    def _feed(self, memory, event: Event, frame: np.ndarray) -> None:
        action, reward, terminated, truncated, _ = event
        if action is None:
            memory.begin(frame)
        elif self.numpy_scalars:
            flags = np.bool_(terminated), np.bool_(truncated)
            memory.add(np.int64(action), np.float32(reward), *flags, frame)
        else:
            memory.add(action, reward, terminated, truncated, frame)

    def _read(self, memory, number: int, seen: Length | None) -> Iterator[Fact]:
        truth, bounds = self._truths[number]
        if isinstance(memory, Recorded):
            memory.shown = seen.value if seen and seen.within else memory.capacity
        made = len(truth.steps)
        what = f"len(memory) after {count(made, 'step')}"
        length = Length(what, len(memory), bounds=bounds)
        yield length
        if made < 2 or length.value < 1:
            return
        rng = np.random.default_rng(number)
        # What is expected at each place follows from the length that the memory itself states.
        reach = min(length.value, made)
        drawn = np.random.default_rng(number)
        # No batch is larger than the memory: who draws without replacement is heard to the end.
        for size in (min(5, reach), *5 * (reach,)):
            positions = drawn.integers(reach, size=size)
            result = memory.sample(size, rng)
            if size < reach:
                again = memory.sample(size, np.random.default_rng(number))
                yield repeats(result, again)
            yield from batch_facts(result, truth, reach, positions)

    @cached_property
    def _truths(self) -> dict[int, tuple[Recorded, tuple[int, int]]]:
        """At each reading: everything that happened, and the lengths that are right."""
        truths, truth = {}, Recorded(*self.arguments)
        for number, event in enumerate(self.events):
            self._feed(truth, event, event.frame)
            if number in self.reads:
                truths[number] = truth.frozen(), right_lengths(truth)
        return truths


@dataclass(frozen=True)
class Edges:
    """A memory without a step, and a batch that is larger than the memory."""

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        memory, truth = piece(10, (3, 4)), Recorded(10, (3, 4))
        yield _empty(memory)
        for action, *rest in play(31, "b.."):
            for one in (memory, truth):
                if action is None:
                    one.begin(rest[-1].copy())
                else:
                    one.add(action, *rest[:-1], rest[-1].copy())
        positions = np.random.default_rng(1).integers(2, size=6)
        yield from batch_facts(memory.sample(6, np.random.default_rng(1)), truth, 2, positions)


def _empty(memory) -> Fact:
    """What a memory does that is asked for a batch before its first step."""
    what, answer = "a batch from an empty memory", "an error"
    try:
        result = memory.sample(2, np.random.default_rng(0))
    except NotImplementedError:
        raise
    except Exception:  # every kind of error is right
        return Fact(what, answer)
    tell = (
        f"a memory without a step answers `sample` with a {type(result).__name__}; whoever asks "
        "too early should get an error, as `rng.integers(0)` raises one"
    )
    return Fact(what, type(result).__name__, tell, 2)


def right_lengths(truth: Recorded) -> tuple[int, int]:
    """Fewest and most transitions that a right memory may hold.

    The oldest may be dropped earlier or later by the length of a stack, and a memory may spend up
    to a stack's frames on each new beginning (zeros written before it).
    """
    stack, made = truth.stack_frames, len(truth.steps)
    rows = np.array([step.row for step in truth.steps], np.int64)
    beginnings = np.searchsorted(truth.starts, [*rows, len(truth.frames) - 1], side="right")
    places = np.array([*rows, len(truth.frames) - 1]) + stack * beginnings
    fewest = np.count_nonzero(places[-1] - places[:-1] < truth.capacity - stack)
    return int(fewest), min(made, truth.capacity + stack)
