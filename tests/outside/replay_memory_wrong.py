"""Ten honest attempts at the replay memory, each with a mistake.

The catalogue of wrong versions does not know these. The check must refuse them all, and must not
give one a name that belongs to another mistake. Each works, returns the right shapes and types,
and is right but for what the comment above it says.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from dqn_ref.replay import Batch


class Transition(NamedTuple):
    state: np.ndarray
    action: int
    reward: float
    discount: float
    terminated: bool
    next_state: np.ndarray


# Where the game was cut off, the discount is 0: the next state loses its value all the same.
class Wrong01:
    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.transitions = deque(maxlen=capacity)
        self.discount = discount
        self.blank = np.zeros((stack_frames, *frame_shape), dtype=np.uint8)
        self.state = self.blank

    def __len__(self):
        return len(self.transitions)

    def _push(self, state, frame):
        return np.concatenate([state[1:], np.asarray(frame)[None]])

    def begin(self, frame):
        self.state = self._push(self.blank, frame)

    def add(self, action, reward, terminated, truncated, next_frame):
        next_state = self._push(self.state, next_frame)
        discount = 0.0 if truncated else self.discount
        self.transitions.append(
            Transition(self.state, action, reward, discount, terminated, next_state)
        )
        self.state = self._push(self.blank, next_frame) if terminated else next_state

    def sample(self, batch_size, rng):
        positions = rng.integers(len(self), size=batch_size)
        drawn = Transition(*zip(*(self.transitions[i] for i in positions), strict=True))
        return Batch(
            states=np.stack(drawn.state),
            actions=np.array(drawn.action, dtype=np.int64),
            rewards=np.array(drawn.reward, dtype=np.float32),
            discounts=np.array(drawn.discount, dtype=np.float32),
            terminated=np.array(drawn.terminated, dtype=bool),
            next_states=np.stack(drawn.next_state),
        )


# Once full, counts from one past the write head: the oldest transition comes last, as the newest.
class Wrong02:
    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.capacity = capacity
        self.stack_frames = stack_frames
        self.states = np.zeros((capacity, stack_frames, *frame_shape), dtype=np.uint8)
        self.next_states = np.zeros_like(self.states)
        self.actions = np.zeros(capacity, dtype=np.int64)
        self.rewards = np.zeros(capacity, dtype=np.float32)
        self.discounts = np.full(capacity, discount, dtype=np.float32)
        self.terminated = np.zeros(capacity, dtype=bool)
        self.current = np.zeros((stack_frames, *frame_shape), dtype=np.uint8)
        self.head = 0
        self.full = False

    def __len__(self):
        return self.capacity if self.full else self.head

    def begin(self, frame):
        self.current[:-1] = 0
        self.current[-1] = frame

    def add(self, action, reward, terminated, truncated, next_frame):
        i = self.head
        self.states[i] = self.current
        self.actions[i] = action
        self.rewards[i] = reward
        self.terminated[i] = terminated
        self.current[:-1] = self.current[1:].copy()
        self.current[-1] = next_frame
        self.next_states[i] = self.current
        if terminated:
            self.current[:-1] = 0
        self.head += 1
        if self.head == self.capacity:
            self.head = 0
            self.full = True

    def sample(self, batch_size, rng):
        i = rng.integers(len(self), size=batch_size)
        if self.full:
            i = (self.head + 1 + i) % self.capacity
        return Batch(
            self.states[i],
            self.actions[i],
            self.rewards[i],
            self.discounts[i],
            self.terminated[i],
            self.next_states[i],
        )


# The mark of a game's first frame stays on its slot and, a lap later, cuts another game's stacks.
class Wrong03:
    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.capacity, self.stack_frames, self.discount = capacity, stack_frames, discount
        self.frames = np.zeros((capacity, *frame_shape), np.uint8)
        self.is_first = np.zeros(capacity, bool)
        self.actions = np.zeros(capacity, np.int64)
        self.rewards = np.zeros(capacity, np.float32)
        self.dones = np.zeros(capacity, bool)
        self.written = 0  # frames, ever
        self.drawable = deque()  # numbers of the frames that an action followed

    def __len__(self):
        return len(self.drawable)

    def _write(self, frame):
        self.frames[self.written % self.capacity] = frame
        self.written += 1
        # A transition goes when the oldest frame that its state may need has been overwritten.
        oldest = self.written - self.capacity
        while self.drawable and self.drawable[0] - self.stack_frames + 1 < oldest:
            self.drawable.popleft()
        return (self.written - 1) % self.capacity

    def begin(self, frame):
        self.is_first[self._write(frame)] = True

    def add(self, action, reward, terminated, truncated, next_frame):
        number = self.written - 1
        slot = number % self.capacity
        self.actions[slot], self.rewards[slot], self.dones[slot] = action, reward, terminated
        self.drawable.append(number)
        following = self._write(next_frame)
        if terminated:
            self.is_first[following] = True

    def _state(self, number):
        state = np.zeros((self.stack_frames, *self.frames.shape[1:]), np.uint8)
        for place in reversed(range(self.stack_frames)):
            slot = number % self.capacity
            state[place] = self.frames[slot]
            if self.is_first[slot]:
                break
            number -= 1
        return state

    def sample(self, batch_size, rng):
        picks = [self.drawable[p] for p in rng.integers(len(self), size=batch_size)]
        slots = np.array(picks) % self.capacity
        states = np.stack([self._state(n) for n in picks])
        newest = self.frames[(slots + 1) % self.capacity]
        next_states = np.concatenate([states[:, 1:], newest[:, None]], axis=1)
        discounts = np.full(batch_size, self.discount, np.float32)
        return Batch(
            states,
            self.actions[slots],
            self.rewards[slots],
            discounts,
            self.dones[slots],
            next_states,
        )


@dataclass
class Life:
    frames: list = field(default_factory=list)
    actions: list = field(default_factory=list)
    rewards: list = field(default_factory=list)
    lost: bool = False
    forgotten: int = 0  # transitions at its beginning that are no longer drawn

    def __len__(self):
        return len(self.actions) - self.forgotten


# Over capacity the whole oldest life is forgotten at once: after a long one little is left.
class Wrong04:
    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.capacity = capacity
        self.frame_shape = tuple(frame_shape)
        self.stack_frames = stack_frames
        self.discount = discount
        self.lives: list[Life] = []

    def __len__(self):
        return sum(len(life) for life in self.lives)

    def begin(self, frame):
        self.lives.append(Life(frames=[np.array(frame)]))

    def add(self, action, reward, terminated, truncated, next_frame):
        life = self.lives[-1]
        life.actions.append(action)
        life.rewards.append(reward)
        life.frames.append(np.array(next_frame))
        while len(self) > self.capacity:
            if len(self.lives) > 1:
                self.lives.pop(0)
            else:
                life.forgotten += 1
        if terminated:
            life.lost = True
            self.begin(next_frame)

    def _find(self, position):
        for life in self.lives:
            if position < len(life):
                return life, life.forgotten + position
            position -= len(life)
        raise IndexError(position)

    def _stack(self, life, newest):
        seen = life.frames[max(0, newest + 1 - self.stack_frames) : newest + 1]
        blank = [np.zeros(self.frame_shape, dtype=np.uint8)] * (self.stack_frames - len(seen))
        return np.stack(blank + seen)

    def sample(self, batch_size, rng):
        found = [self._find(p) for p in rng.integers(len(self), size=batch_size)]
        ends = [life.lost and at == len(life.actions) - 1 for life, at in found]
        return Batch(
            states=np.stack([self._stack(life, at) for life, at in found]),
            actions=np.array([life.actions[at] for life, at in found], dtype=np.int64),
            rewards=np.array([life.rewards[at] for life, at in found], dtype=np.float32),
            discounts=np.full(batch_size, self.discount, dtype=np.float32),
            terminated=np.array(ends, dtype=bool),
            next_states=np.stack([self._stack(life, at + 1) for life, at in found]),
        )


# Two mistakes: no more than three earlier frames whatever the stack; the discount is always 0.99.
class Wrong05:
    GAMMA = 0.99
    HISTORY = 3

    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.capacity = capacity
        self.shape = (stack_frames, *frame_shape)
        self.stack_frames = stack_frames
        self.frames = []
        self.dropped = 0  # frames gone from the front of the list
        self.steps = []  # (frame number, earlier frames of the same life, action, reward, over)
        self.age = 0

    def __len__(self):
        return len(self.steps)

    def begin(self, frame):
        self.frames.append(np.copy(frame))
        self.age = 0

    def add(self, action, reward, terminated, truncated, next_frame):
        number = self.dropped + len(self.frames) - 1
        self.steps.append((number, self.age, action, reward, terminated))
        self.frames.append(np.copy(next_frame))
        self.age = 0 if terminated else min(self.age + 1, self.HISTORY)
        if len(self.steps) > self.capacity:
            self.steps.pop(0)
            unused = self.steps[0][0] - self.stack_frames + 1 - self.dropped
            if unused > 0:
                del self.frames[:unused]
                self.dropped += unused

    def _stack(self, number, age):
        out = np.zeros(self.shape, np.uint8)
        for back in range(min(age, self.stack_frames - 1) + 1):
            out[-1 - back] = self.frames[number - self.dropped - back]
        return out

    def sample(self, batch_size, rng):
        chosen = [self.steps[i] for i in rng.integers(len(self.steps), size=batch_size)]
        numbers, ages, actions, rewards, over = zip(*chosen, strict=True)
        return Batch(
            np.array([self._stack(n, a) for n, a in zip(numbers, ages, strict=True)]),
            np.array(actions, np.int64),
            np.array(rewards, np.float32),
            np.full(batch_size, self.GAMMA, np.float32),
            np.array(over, bool),
            np.array(
                [
                    self._stack(n + 1, min(a + 1, self.HISTORY))
                    for n, a in zip(numbers, ages, strict=True)
                ]
            ),
        )


# Keeps channels last, then swaps the wrong axes: pictures lie on their side, or are scrambled.
class Wrong06:
    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        height, width = frame_shape
        self.capacity = capacity
        self.states = torch.zeros(capacity, height, width, stack_frames, dtype=torch.uint8)
        self.next_states = torch.zeros_like(self.states)
        self.actions = torch.zeros(capacity, dtype=torch.int64)
        self.rewards = torch.zeros(capacity)
        self.discounts = torch.full((capacity,), float(discount))
        self.terminated = torch.zeros(capacity, dtype=torch.bool)
        self.current = torch.zeros(height, width, stack_frames, dtype=torch.uint8)
        self.added = 0

    def __len__(self):
        return min(self.added, self.capacity)

    def begin(self, frame):
        self.current = torch.zeros_like(self.current)
        self.current[..., -1] = torch.as_tensor(frame)

    def add(self, action, reward, terminated, truncated, next_frame):
        slot = self.added % self.capacity
        self.states[slot] = self.current
        self.current = torch.roll(self.current, -1, dims=-1)
        self.current[..., -1] = torch.as_tensor(next_frame)
        self.next_states[slot] = self.current
        self.actions[slot] = int(action)
        self.rewards[slot] = float(reward)
        self.terminated[slot] = bool(terminated)
        self.added += 1
        if terminated:
            self.begin(next_frame)

    @staticmethod
    def _channels_first(pictures):
        batch, height, width, channels = pictures.shape
        return pictures.swapaxes(1, 3).reshape(batch, channels, height, width)

    def sample(self, batch_size, rng):
        oldest = self.added - len(self)
        positions = rng.integers(len(self), size=batch_size)
        slots = torch.as_tensor((oldest + positions) % self.capacity)
        return Batch(
            self._channels_first(self.states[slots]),
            self.actions[slots],
            self.rewards[slots],
            self.discounts[slots],
            self.terminated[slots],
            self._channels_first(self.next_states[slots]),
        )


# Finds action, reward and end by the frame's slot, in a shorter ring: wrong after the first lap.
class Wrong07:
    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.capacity = capacity
        self.stack_frames = stack_frames
        self.discount = discount
        # Room for the history of the oldest state.
        self.slots = capacity + stack_frames
        self.frames = np.zeros((self.slots, *frame_shape), dtype=np.uint8)
        self.ages = np.zeros(self.slots, dtype=np.int64)
        self.actions = np.zeros(capacity, dtype=np.int64)
        self.rewards = np.zeros(capacity, dtype=np.float32)
        self.terminated = np.zeros(capacity, dtype=bool)
        self.numbers = np.zeros(0, dtype=np.int64)
        self.last = -1

    def __len__(self):
        return len(self.numbers)

    def _append(self, frame, age):
        self.last += 1
        self.frames[self.last % self.slots] = frame
        self.ages[self.last % self.slots] = age
        self.numbers = self.numbers[self.numbers > self.last - self.capacity]

    def begin(self, frame):
        self._append(frame, 0)

    def add(self, action, reward, terminated, truncated, next_frame):
        at = self.last % self.capacity
        self.actions[at] = action
        self.rewards[at] = reward
        self.terminated[at] = terminated
        self.numbers = np.append(self.numbers, self.last)
        age = self.ages[self.last % self.slots]
        self._append(next_frame, 0 if terminated else age + 1)

    def _gather(self, numbers, ages):
        back = np.arange(self.stack_frames)[::-1]
        stacks = self.frames[(numbers[:, None] - back) % self.slots]
        stacks[back > ages[:, None]] = 0
        return stacks

    def sample(self, batch_size, rng):
        numbers = self.numbers[rng.integers(len(self), size=batch_size)]
        slots = numbers % self.slots
        ages = self.ages[slots]
        at = slots % self.capacity
        return Batch(
            self._gather(numbers, ages),
            self.actions[at],
            self.rewards[at],
            np.full(batch_size, self.discount, dtype=np.float32),
            self.terminated[at],
            self._gather(numbers + 1, ages + 1),
        )


@dataclass
class Step:
    state: np.ndarray
    action: Any = None  # None: a game's last picture, or the newest one
    reward: float = 0.0
    terminated: bool = False
    next_state: Any = None


# A draw that hits a game's last picture takes the step before: drawn twice, and newer ones never.
class Wrong08:
    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.capacity = capacity
        self.frame_shape = frame_shape
        self.stack_frames = stack_frames
        self.discount = discount
        self.steps: deque[Step] = deque()
        self.complete = 0

    def __len__(self):
        return self.complete

    def _fresh(self, frame):
        state = np.zeros((self.stack_frames, *self.frame_shape), np.uint8)
        state[-1] = frame
        return state

    def _append(self, state):
        self.steps.append(Step(state))
        while len(self.steps) > 1 and (
            len(self.steps) > self.capacity or self.steps[0].action is None
        ):
            if self.steps.popleft().action is not None:
                self.complete -= 1

    def begin(self, frame):
        self._append(self._fresh(frame))

    def add(self, action, reward, terminated, truncated, next_frame):
        step = self.steps[-1]
        step.action, step.reward, step.terminated = action, reward, terminated
        step.next_state = np.vstack([step.state[1:], np.asarray(next_frame)[None]])
        self.complete += 1
        self._append(self._fresh(next_frame) if terminated else step.next_state)

    def sample(self, batch_size, rng):
        chosen = []
        for index in rng.integers(len(self), size=batch_size):
            while self.steps[index].action is None:
                index -= 1
            chosen.append(self.steps[index])
        return Batch(
            np.stack([s.state for s in chosen]),
            np.asarray([s.action for s in chosen], dtype=np.int64),
            np.asarray([s.reward for s in chosen], dtype=np.float32),
            np.asarray([self.discount] * batch_size, dtype=np.float32),
            np.asarray([s.terminated for s in chosen], dtype=bool),
            np.stack([s.next_state for s in chosen]),
        )


# Copies the first frame of a game only: the others change when the caller reuses the array.
class Wrong09:
    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.blank = [np.zeros(frame_shape, dtype=np.uint8) for _ in range(stack_frames - 1)]
        self.memory = deque(maxlen=capacity)
        self.discount = discount

    def __len__(self):
        return len(self.memory)

    def begin(self, frame):
        self.stack = [*self.blank, np.array(frame, dtype=np.uint8, copy=True)]

    def add(self, action, reward, terminated, truncated, next_frame):
        next_frame = np.asarray(next_frame, dtype=np.uint8)
        following = [*self.stack[1:], next_frame]
        self.memory.append((self.stack, action, reward, terminated, following))
        self.stack = [*self.blank, next_frame] if terminated else following

    def sample(self, batch_size, rng):
        positions = rng.integers(len(self.memory), size=batch_size)
        drawn = [self.memory[position] for position in positions]
        states, actions, rewards, terminated, next_states = zip(*drawn, strict=True)
        return Batch(
            torch.from_numpy(np.array(states)),
            torch.tensor(actions, dtype=torch.int64),
            torch.tensor(rewards, dtype=torch.float32),
            torch.full((batch_size,), self.discount, dtype=torch.float32),
            torch.tensor(terminated, dtype=torch.bool),
            torch.from_numpy(np.array(next_states)),
        )


# After a lost life the stack is emptied one step late: not at the new frame, but at the one after.
class Wrong10:
    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.capacity = capacity
        self.discount = discount
        self.stack = torch.zeros(stack_frames, *frame_shape, dtype=torch.uint8)
        self.life_lost = False
        self.items = []

    def __len__(self):
        return len(self.items)

    def _shift_in(self, frame):
        frame = torch.as_tensor(frame, dtype=torch.uint8)
        self.stack = torch.cat([self.stack[1:], frame.unsqueeze(0)])

    def begin(self, frame):
        self.stack = torch.zeros_like(self.stack)
        self.life_lost = False
        self._shift_in(frame)

    def add(self, action, reward, terminated, truncated, next_frame):
        state = self.stack
        if self.life_lost:
            self.stack = torch.zeros_like(self.stack)
        self._shift_in(next_frame)
        self.life_lost = bool(terminated)
        self.items.append((state, int(action), float(reward), bool(terminated), self.stack))
        if len(self.items) > self.capacity:
            self.items = self.items[1:]

    def sample(self, batch_size, rng):
        items = [self.items[i] for i in rng.integers(len(self.items), size=batch_size).tolist()]
        return Batch(
            states=torch.stack([item[0] for item in items]),
            actions=torch.tensor([item[1] for item in items]),
            rewards=torch.tensor([item[2] for item in items], dtype=torch.float32),
            discounts=torch.full((batch_size,), self.discount),
            terminated=torch.tensor([item[3] for item in items]),
            next_states=torch.stack([item[4] for item in items]),
        )
