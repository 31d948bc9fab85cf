"""Right replay memories of other make than the reference's: each must pass its check.

They share no code with the reference or with each other, and differ in storage, in what they drop
when they are full, and in arrays or tensors.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import RightVersion
from dqn_ref.replay import Batch


class DequeOfDicts:
    """A dictionary for each step, both stacks in it; the capacity counts steps."""

    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.d = deque(maxlen=capacity)
        self.blank = np.zeros((stack_frames, *frame_shape), dtype="uint8")
        self.gamma = discount

    def __len__(self):
        return len(self.d)

    def begin(self, frame):
        self.s = np.concatenate([self.blank[1:], frame[None]])

    def add(self, action, reward, terminated, truncated, next_frame):
        s2 = np.concatenate([self.s[1:], next_frame[None]])
        self.d.append({"s": self.s, "a": action, "r": reward, "end": terminated, "s2": s2})
        if terminated:
            self.begin(next_frame)
        else:
            self.s = s2

    def sample(self, batch_size, rng):
        rows = [self.d[i] for i in rng.integers(0, len(self.d), batch_size)]

        def column(key, dtype):
            return np.array([row[key] for row in rows], dtype=dtype)

        return Batch(
            states=column("s", np.uint8),
            actions=column("a", np.int64),
            rewards=column("r", np.float32),
            discounts=np.array([0 if row["end"] else self.gamma for row in rows], np.float32),
            terminated=column("end", bool),
            next_states=column("s2", np.uint8),
        )


class ListsOfFrames:
    """A list of tuples; neighbouring stacks share their frames. Draws one position at a time."""

    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.capacity, self.discount = capacity, discount
        self.zero, self.n = np.zeros(frame_shape, np.uint8), stack_frames
        self.memory = []

    def __len__(self):
        return len(self.memory)

    def begin(self, frame):
        self.recent = [self.zero] * (self.n - 1) + [np.array(frame)]

    def add(self, action, reward, terminated, truncated, next_frame):
        after = self.recent[1:] + [np.array(next_frame)]
        self.memory.append((self.recent, action, reward, terminated, after))
        if len(self.memory) > self.capacity:
            self.memory.pop(0)
        self.recent = [self.zero] * (self.n - 1) + after[-1:] if terminated else after

    def sample(self, batch_size, rng):
        chosen = []
        for _ in range(batch_size):
            chosen.append(self.memory[int(rng.integers(len(self)))])
        before, actions, rewards, ends, after = zip(*chosen, strict=True)
        return Batch(
            torch.from_numpy(np.stack([np.stack(stack) for stack in before])),
            torch.tensor(actions).long(),
            torch.tensor(rewards, dtype=torch.float32),
            torch.full((batch_size,), self.discount),
            torch.tensor(ends, dtype=torch.bool),
            torch.from_numpy(np.stack([np.stack(stack) for stack in after])),
        )


class RingOfFrames:
    """A numpy ring of single frames, and the list of the frames from which a step started.

    The next state of a terminated step is the stack that starts at the new frame.
    """

    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.ring = np.zeros((capacity, *frame_shape), np.uint8)
        self.age = np.zeros(capacity, np.int64)  # frames before it in its stack
        self.action = np.zeros(capacity, np.int32)
        self.reward = np.zeros(capacity, np.float64)
        self.done = np.zeros(capacity, bool)
        self.capacity, self.k, self.discount = capacity, stack_frames, discount
        self.count = 0  # frames written so far
        self.startable = deque()

    def __len__(self):
        return len(self.startable)

    def _write(self, frame, age):
        slot = self.count % self.capacity
        self.ring[slot], self.age[slot] = frame, age
        self.count += 1
        # Whoever needs a frame that is gone now, or goes with the next call, leaves.
        while self.startable and self.startable[0] - self.k < self.count - self.capacity:
            self.startable.popleft()

    def begin(self, frame):
        self._write(frame, 0)

    def add(self, action, reward, terminated, truncated, next_frame):
        last = self.count - 1
        slot = last % self.capacity
        self.action[slot], self.reward[slot], self.done[slot] = action, reward, terminated
        self.startable.append(last)
        self._write(next_frame, 0 if terminated else self.age[slot] + 1)

    def _stack(self, frame_number):
        stack = np.zeros((self.k, *self.ring.shape[1:]), np.uint8)
        known = min(self.k, self.age[frame_number % self.capacity] + 1)
        for back in range(known):
            stack[self.k - 1 - back] = self.ring[(frame_number - back) % self.capacity]
        return stack

    def sample(self, batch_size, rng):
        starts = np.array(self.startable)[rng.integers(len(self), size=batch_size)]
        slots = starts % self.capacity
        return Batch(
            np.stack([self._stack(number) for number in starts]),
            self.action[slots].astype(np.int64),
            self.reward[slots].astype(np.float32),
            np.full(batch_size, self.discount, np.float32),
            self.done[slots],
            np.stack([self._stack(number + 1) for number in starts]),
        )


class PaddedRing:
    """A ring of torch tensors in which zeros are written before each start, so nothing is masked.

    A game of one step takes `stack + 1` rows of it.
    """

    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.rows = torch.zeros((capacity, *frame_shape), dtype=torch.uint8)
        self.facts = torch.zeros((capacity, 3), dtype=torch.float64)
        self.size, self.stack, self.discount = capacity, stack_frames, discount
        self.written, self.usable = 0, []

    def __len__(self):
        return len(self.usable)

    def _push(self, frame):
        self.rows[self.written % self.size] = torch.as_tensor(frame)
        self.written += 1
        oldest = self.written - self.size
        self.usable = [row for row in self.usable if row - self.stack + 1 >= oldest]

    def begin(self, frame):
        for _ in range(self.stack - 1):
            self._push(torch.zeros_like(self.rows[0]))
        self._push(frame)

    def add(self, action, reward, terminated, truncated, next_frame):
        row = self.written - 1
        self.facts[row % self.size] = torch.tensor([float(action), float(reward), terminated])
        self.usable.append(row)
        self._push(next_frame)
        if terminated:
            self.begin(next_frame)

    def sample(self, batch_size, rng):
        rows = torch.tensor(self.usable)[torch.from_numpy(rng.choice(len(self), batch_size))]
        window = rows[:, None] + torch.arange(1 - self.stack, 2)
        frames, facts = self.rows[window % self.size], self.facts[rows % self.size]
        return Batch(
            frames[:, :-1],
            facts[:, 0].long(),
            facts[:, 1].float(),
            torch.full((batch_size,), self.discount),
            facts[:, 2].bool(),
            frames[:, 1:],
        )


RIGHT = (
    RightVersion("deque of dictionaries", DequeOfDicts),
    RightVersion("list of tuples, frames shared, tensors out", ListsOfFrames),
    RightVersion("numpy ring of single frames", RingOfFrames),
    RightVersion("torch ring with zeros written before each start", PaddedRing),
)
