"""Replay memory: a ring of single frames, from which stacks are rebuilt when drawn.

One row per decision and lane. A transition starts at row `t` and needs the frames of rows
`t-3 … t+1`: the state's four and the next state's newest::

    row        t-3 t-2 t-1  t  t+1
    state       1   2   3   4
    next state      2   3   4   5

so each frame is stored once, 7,056 bytes at 84x84, instead of eight times. Everything else
about a transition (action, reward, flags, age of its stack, its place in the list of
drawable rows) takes 12 bytes more.

Which rows can be drawn is kept as a list, oldest first: a row enters it when its successor is
written and leaves it when the write head comes within reach of its oldest frame. A draw is then
one integer below the length of that list: exactly uniform, no rejection, of fixed shape.

With `n_step` above 1 a transition spans up to n rows: it enters the list when n rows have
followed, and ends early where its episode ends or its game is cut off::

    row         t    t+1   t+2   t+3
    reward      r_t  r_t+1 r_t+2              r_t + γ r_t+1 + γ² r_t+2
    next state                   newest       worth γ³ of its value

Source: Mnih et al. 2015, Methods; the layout of rows is that of its published code
(`TransitionTable.lua`), where the last frame of a game occupies a row that is never drawn.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from dqn_ref.frames import before_start
from dqn_ref.hardware import to_device


class Batch(NamedTuple):
    """Transitions drawn from a memory. Arrays or tensors, B of each."""

    states: Any  # (B, stack, H, W) uint8
    actions: Any  # (B,) int64
    rewards: Any  # (B,) float32, as the learner sees them (clipped)
    discounts: Any  # (B,) float32, what the value of the next state is multiplied by
    terminated: Any  # (B,) bool: nothing follows, whatever the discount says
    next_states: Any  # (B, stack, H, W) uint8

    def to(self, device: str | torch.device) -> Batch:
        """The same batch as tensors on `device`, whatever the memory keeps."""
        return Batch(*(torch.as_tensor(field, device=device) for field in self))


_STORED = ("frames", "_actions", "_rewards", "_terminated", "_acted", "_ages")


class FrameRing:
    """Ring of single frames `[time, lane]` for lanes that step together.

    Args:
        memory_frames: rows over all lanes, rounded down to a multiple of `lanes`.
        lanes: environments that step together.
        frame_shape: height and width in pixels.
        stack_frames: frames in a state.
        discount: per step; a batch says what the value of its next states is multiplied by.
        device: where the frames live, and where batches come out.
        n_step: rewards summed before the value of the next state counts (Sutton 1988).
    Raises:
        ValueError: if there is no room for one transition of each lane.
    """

    def __init__(
        self,
        memory_frames: int,
        lanes: int = 1,
        frame_shape: tuple[int, int] = (84, 84),
        stack_frames: int = 4,
        discount: float = 0.99,
        device: str | torch.device = "cpu",
        n_step: int = 1,
    ):
        self.time_rows, self.n_step = memory_frames // lanes, n_step
        if self.time_rows < stack_frames + n_step + 1:
            raise ValueError(
                f"a memory of {memory_frames} frames is too small for {lanes} lanes; "
                f"give it at least {(stack_frames + n_step + 1) * lanes}"
            )
        self.lanes, self.stack_frames, self.discount = lanes, stack_frames, discount
        self.device = torch.device(device)
        rows = self.time_rows * lanes
        # Not initialised: pages are claimed as frames come in, and masks keep what was
        # never written from being read.
        self._storage = torch.empty((rows + 1, *frame_shape), dtype=torch.uint8, device=self.device)
        self._storage[-1] = 0  # what a stack shows before its start
        self.frames = self._storage[:-1]
        self._actions = torch.zeros(rows, dtype=torch.uint8, device=self.device)
        self._rewards = torch.zeros(rows, dtype=torch.float32, device=self.device)
        self._terminated = torch.zeros(rows, dtype=torch.bool, device=self.device)
        self._acted = torch.zeros(rows, dtype=torch.bool, device=self.device)  # a step began here
        self._ages = torch.zeros(rows, dtype=torch.uint8, device=self.device)
        self._drawable = torch.zeros(rows, dtype=torch.int32, device=self.device)
        self._newest_age = np.zeros(lanes, dtype=np.int64)
        self._drawable_per_time = np.zeros(self.time_rows, dtype=np.int64)
        self._written = 0  # time rows written since the beginning
        self._first = 0  # where the oldest drawable row stands in `_drawable`
        self._length = 0
        self._offsets = torch.arange(-(stack_frames - 1), 2, device=self.device)
        # Which lanes made a step in the last few time rows: those not drawable yet, oldest first.
        self._waiting: list[np.ndarray] = []

    def __len__(self) -> int:
        """Transitions that can be drawn."""
        return self._length

    @property
    def nbytes(self) -> int:
        """Bytes of everything that grows with the capacity."""
        return sum(getattr(self, name).nbytes for name in (*_STORED, "_drawable"))

    def begin(self, frames: torch.Tensor) -> None:
        """Write the first frame of a game in every lane: `(lanes, H, W)` uint8."""
        if self._written:  # nothing followed the row that was the newest
            self._note_steps(self._written - 1, np.zeros(self.lanes, dtype=bool))
        self._write(frames, ages=np.zeros(self.lanes, dtype=np.int64))

    def add(
        self,
        actions: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        starts: np.ndarray,
        next_frames: torch.Tensor,
    ) -> None:
        """Append what followed the newest row.

        Args:
            actions: `(lanes,)` int64, taken at the newest row.
            rewards: `(lanes,)` float32, as the learner shall see them.
            terminated: `(lanes,)` bool, the episode ended (game over, or a life that counts).
            truncated: `(lanes,)` bool, the game was cut off: the next state keeps its value.
            starts: `(lanes,)` bool, the new frame is the first of a game; its lane's action was
                ignored and is no transition.
            next_frames: `(lanes, H, W)` uint8.
        """
        newest = self._written - 1
        rows = self._rows_at(newest)
        self._actions[rows] = self._from_host(actions).to(torch.uint8)
        self._rewards[rows] = self._from_host(rewards)
        self._terminated[rows] = self._from_host(terminated)
        # A truncated game is followed by a start; until then its last frame merely ages.
        ages = np.where(starts | terminated, 0, self._newest_age + 1)
        self._write(next_frames, ages)
        self._note_steps(newest, ~starts)

    def sample(self, batch_size: int, rng: np.random.Generator) -> Batch:
        """Draw transitions uniformly, with replacement.

        Args:
            batch_size: transitions to draw.
            rng: its `integers(len(self), size=batch_size)` decides; position 0 is the oldest.
        Raises:
            ValueError: if nothing can be drawn yet.
        """
        return self.gather_slots(self._from_host(self.draw(batch_size, rng)))

    def draw(self, batch_size: int, rng: np.random.Generator) -> np.ndarray:
        """Where a minibatch stands: `(batch_size,)` int64 for `gather_slots`; see `sample`."""
        if not self._length:
            raise ValueError("the memory is empty: add transitions before you sample")
        return (self._first + rng.integers(self._length, size=batch_size)) % len(self._drawable)

    def gather(self, positions: torch.Tensor) -> Batch:
        """The transitions at `positions`, `(B,)` int64, counted from the oldest drawable one."""
        return self.gather_slots((self._first + positions) % len(self._drawable))

    def gather_slots(self, slots: torch.Tensor) -> Batch:
        """The transitions in `slots` of the list of drawable rows, `(B,)` int64.

        Nothing here depends on numbers of the host, so a CUDA graph can hold it.
        """
        rows = self._drawable[slots].to(torch.int64)
        if self.n_step > 1:
            return self._gather_n_steps(rows)
        # All five frames come in one gather: 0.15 ms for 32 transitions instead of 0.81 with a
        # mask afterwards (one CPU thread, medians of 300).
        frames = self._frames_around(rows, self._offsets)
        return Batch(
            states=frames[:, :-1],
            actions=self._actions[rows].to(torch.int64),
            rewards=self._rewards[rows],
            discounts=torch.full((len(rows),), self.discount, device=self.device),
            terminated=self._terminated[rows],
            next_states=frames[:, 1:],
        )

    def _gather_n_steps(self, rows: torch.Tensor) -> Batch:
        """Follow each row for up to `n_step` steps, as far as its episode goes."""
        rewards, terminated = self._rewards[rows], self._terminated[rows]
        discounts = torch.full((len(rows),), self.discount, device=self.device)
        reached = self._rows_after(rows, 1)
        going_on = ~terminated
        for _ in range(self.n_step - 1):
            going_on = going_on & self._acted[reached]  # no: the game was cut off before
            rewards = rewards + going_on * discounts * self._rewards[reached]
            discounts = torch.where(going_on, discounts * self.discount, discounts)
            ends = going_on & self._terminated[reached]
            terminated = terminated | ends
            reached = torch.where(going_on, self._rows_after(reached, 1), reached)
            going_on = going_on & ~ends
        return Batch(
            states=self._frames_around(rows, self._offsets[:-1]),
            actions=self._actions[rows].to(torch.int64),
            rewards=rewards,
            discounts=discounts,
            terminated=terminated,
            next_states=self._frames_around(reached, self._offsets[:-1]),
        )

    def _rows_after(self, rows: torch.Tensor, times: int | torch.Tensor) -> torch.Tensor:
        """The rows of the same lanes, so many times later: rows of a lane lie `lanes` apart."""
        return (rows + times * self.lanes) % len(self._drawable)

    def _frames_around(self, rows: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """`(N, len(offsets), H, W)` uint8; zeros before the start of the stack."""
        window = self._rows_after(rows[:, None], offsets)
        hidden = before_start(self._ages[rows], window.shape[1], self.stack_frames)
        window = window.masked_fill(hidden, len(self._drawable))  # the row of zeros
        return self._storage.index_select(0, window.flatten()).unflatten(0, window.shape)

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Everything needed to restore the memory: named tensors and JSON-able numbers.

        Only rows that were ever written are included.
        """
        rows = min(self._written, self.time_rows) * self.lanes
        tensors = {name: getattr(self, name)[:rows] for name in _STORED}
        tensors["_drawable"] = self._drawable
        numbers = {
            "first": self._first,
            "length": self._length,
            "written": self._written,
            "newest_age": self._newest_age.tolist(),
            "drawable_per_time": self._drawable_per_time.tolist(),
            "n_step": self.n_step,
            "waiting": [lanes.tolist() for lanes in self._waiting],
        }
        return tensors, numbers

    def load_state(self, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> None:
        """Bring back what `state` gave, into a ring of the same size.

        Raises:
            ValueError: if that ring had other sizes.
        """
        sizes = [tensors["_drawable"].shape, tensors["frames"].shape[1:]]
        same = sizes == [self._drawable.shape, self.frames.shape[1:]]
        same = same and numbers.get("n_step") == self.n_step
        if not same or len(numbers["newest_age"]) != self.lanes:
            raise ValueError("a memory of other sizes; keep lanes, frames, capacity and n_step")
        for name in _STORED:
            getattr(self, name)[: len(tensors[name])].copy_(tensors[name])
        self._drawable.copy_(tensors["_drawable"])
        self._first, self._length = numbers["first"], numbers["length"]
        self._written = numbers["written"]
        self._newest_age = np.array(numbers["newest_age"])
        self._drawable_per_time = np.array(numbers["drawable_per_time"])
        self._waiting = [np.array(lanes, dtype=np.int64) for lanes in numbers["waiting"]]

    def _from_host(self, array: np.ndarray) -> torch.Tensor:
        return to_device(array, self.device)

    def _write(self, frames: torch.Tensor, ages: np.ndarray) -> None:
        self._forget_for_next_write()
        rows = self._rows_at(self._written)
        self.frames[rows] = frames
        self._newest_age = np.minimum(ages, 255)
        self._ages[rows] = self._from_host(self._newest_age).to(torch.uint8)
        self._written += 1

    def _forget_for_next_write(self) -> None:
        """Drop the rows whose oldest frame the next write takes away."""
        losing = self._written - self.time_rows + self.stack_frames - 1
        if losing < self.stack_frames - 1:
            return
        # When the ring first turns, rows before `stack_frames - 1` go with the one that does.
        times = range(losing + 1) if losing == self.stack_frames - 1 else (losing,)
        for time in times:
            count = int(self._drawable_per_time[time % self.time_rows])
            self._first = (self._first + count) % len(self._drawable)
            self._length -= count
            self._drawable_per_time[time % self.time_rows] = 0

    def _rows_at(self, written: int) -> slice:
        time = written % self.time_rows
        return slice(time * self.lanes, (time + 1) * self.lanes)

    def _note_steps(self, written: int, acted: np.ndarray) -> None:
        """Which lanes stepped on from time row `written`; n rows before, they become drawable."""
        self._acted[self._rows_at(written)] = self._from_host(acted)
        self._waiting.append(np.flatnonzero(acted))
        if len(self._waiting) == self.n_step:
            oldest = (written - self.n_step + 1) % self.time_rows
            self._append_drawable(oldest, self._waiting.pop(0))

    def _append_drawable(self, time: int, lanes: np.ndarray) -> None:
        count = len(lanes)
        slots = (self._first + self._length + np.arange(count)) % len(self._drawable)
        rows = (time * self.lanes + lanes).astype(np.int32)
        self._drawable[self._from_host(slots)] = self._from_host(rows)
        self._drawable_per_time[time] = count
        self._length += count


class ReplayMemory:
    """Replay memory of one environment: what a learner writes in chapter 04.

    Call `begin(frame)` with the first frame of each game, `add` after every action.

    Args:
        capacity: frames kept.
        frame_shape: height and width in pixels.
        stack_frames: frames in a state.
        discount: written into every batch.
    """

    def __init__(
        self,
        capacity: int,
        frame_shape: tuple[int, int] = (84, 84),
        stack_frames: int = 4,
        discount: float = 0.99,
    ):
        self._ring = FrameRing(capacity, 1, frame_shape, stack_frames, discount)

    def __len__(self) -> int:
        return len(self._ring)

    @property
    def nbytes(self) -> int:
        return self._ring.nbytes

    def begin(self, frame: np.ndarray) -> None:
        """Start a game at `frame`, `(H, W)` uint8."""
        self._ring.begin(torch.as_tensor(frame)[None])

    def add(
        self, action: int, reward: float, terminated: bool, truncated: bool, next_frame: np.ndarray
    ) -> None:
        """Store one transition; it can be drawn at once.

        Args:
            action: taken in the state whose newest frame came last.
            reward: as the learner shall see it.
            terminated: the episode ended; if more is added without `begin`, a new stack starts
                at `next_frame` (a life was lost, the game goes on).
            truncated: the game was cut off; the next state keeps its value.
            next_frame: `(H, W)` uint8.
        """
        self._ring.add(
            np.array([action]),
            np.array([reward], dtype=np.float32),
            np.array([terminated]),
            np.array([truncated]),
            np.array([False]),
            torch.as_tensor(next_frame)[None],
        )

    def sample(self, batch_size: int, rng: np.random.Generator) -> Batch:
        """Draw transitions uniformly, with replacement; see `FrameRing.sample`."""
        return self._ring.sample(batch_size, rng)


class LaneMemories:
    """One single-lane memory per lane, behind the interface of `FrameRing`.

    This is how a learner's `ReplayMemory` serves many environments. Draws are uniform over all
    transitions of all lanes; with one lane they are the memory's own.
    """

    def __init__(self, memories: list):
        self.memories = memories

    def __len__(self) -> int:
        return sum(len(memory) for memory in self.memories)

    def begin(self, frames: torch.Tensor) -> None:
        for memory, frame in zip(self.memories, frames.cpu().numpy(), strict=True):
            memory.begin(frame)

    def add(self, actions, rewards, terminated, truncated, starts, next_frames) -> None:
        frames = next_frames.cpu().numpy()
        columns = zip(actions, rewards, terminated, truncated, frames, strict=True)
        for memory, start, row in zip(self.memories, starts, columns, strict=True):
            if start:
                memory.begin(row[-1])
            else:
                memory.add(*row)

    def sample(self, batch_size: int, rng: np.random.Generator) -> Batch:
        if len(self.memories) == 1:
            return self.memories[0].sample(batch_size, rng)
        lengths = np.array([len(memory) for memory in self.memories])
        if not lengths.any():
            raise ValueError("the memory is empty: add transitions before you sample")
        counts = rng.multinomial(batch_size, lengths / lengths.sum())
        drawn = [
            memory.sample(int(count), rng)
            for memory, count in zip(self.memories, counts, strict=True)
            if count
        ]
        columns = zip(*drawn, strict=True)
        return Batch(*(torch.cat([torch.as_tensor(f) for f in fields]) for fields in columns))
