"""Wrong replay memories I: what a state shows, and how frames are kept.

All are `Recorded`, a right memory, with one method exchanged.
"""

from __future__ import annotations

import numpy as np

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.course.catalogue.memory_scenes import Recorded

wrong = WrongVersions()


@wrong(
    "newest frame first",
    3,
    "Your memory equals one that puts the newest frame first. The agent acts on stacks with the "
    "newest frame last: trained on yours, it would see every ball fly backwards.",
)
class NewestFrameFirst(Recorded):
    def stack_rows(self, newest, starts):
        return super().stack_rows(newest, starts)[:, ::-1]


@wrong(
    "leaks over episodes",
    3,
    "Your memory equals one that never starts a new stack: the first states of a game show the "
    "end of the game before, which the agent never sees when it acts.",
)
class NeverBreaks(Recorded):
    def stack_rows(self, newest, starts):
        return super().stack_rows(newest, np.zeros_like(starts))


@wrong(
    "leaks over lives",
    3,
    "Your memory equals one in which only `begin` starts a new stack. After a terminated step "
    "the game may go on with the next life, and its first states then show the life before.",
)
class IgnoresLives(Recorded):
    def add(self, action, reward, terminated, truncated, next_frame):
        super().add(action, reward, terminated, truncated, next_frame)
        if terminated:
            self.starts.pop()


@wrong(
    "begin starts no stack",
    3,
    "Your memory equals one that starts a new stack after a terminated step, and not at "
    "`begin`: the last frame of a game stands in the first stacks of the next.",
)
class IgnoresBegin(Recorded):
    def begin(self, frame):
        super().begin(frame)
        if len(self.frames) > 1:
            self.starts.pop()


@wrong(
    "first frame repeated",
    3,
    "Your memory equals one that fills the beginning of a stack with the first frame. Acting "
    "fills it with zeros, so the network would be trained on states it never meets.",
)
class RepeatsFirst(Recorded):
    def stack_rows(self, newest, starts):
        return np.maximum(newest[:, None] + np.arange(1 - self.stack_frames, 1), starts[:, None])


@wrong(
    "leaks over the write head",
    4,
    "Your memory equals a ring that still draws steps after their oldest frames were "
    "overwritten: such a state begins with frames of the present and ends in the past.",
)
class OverWriteHead(Recorded):
    """A ring whose oldest states reach for frames that were overwritten by the newest."""

    def stack_rows(self, newest, starts):
        rows, turned = super().stack_rows(newest, starts), len(self.frames) - 1 - self.capacity
        late = (rows >= 0) & (rows <= turned)
        return np.where(late, rows + self.capacity * (1 + (turned - rows) // self.capacity), rows)


@wrong(
    "next state equals state",
    1,
    "Your memory equals one whose next state is the state itself: the target would value the "
    "place the agent was in, and no action could lead anywhere.",
)
class NextIsState(Recorded):
    def batch(self, numbers):
        batch = super().batch(numbers)
        return batch._replace(next_states=batch.states)


@wrong(
    "state equals next state",
    1,
    "Your memory equals one that builds the state after the next frame came in: the action "
    "would stand beside its own outcome, as if the agent had known it.",
)
class StateIsNext(Recorded):
    def batch(self, numbers):
        batch = super().batch(numbers)
        return batch._replace(states=batch.next_states)


@wrong(
    "one stack for all",
    5,
    "Your memory equals one that stores the list of the last frames itself. The list goes on "
    "changing, so all states of a game turn into the latest one.",
)
class OneStack(Recorded):
    """The list of a game's last frames is stored itself, and goes on changing."""

    def stack_rows(self, newest, starts):
        last = {step.start: step.row + 1 for step in self.steps}
        return super().stack_rows(np.array([last[start] for start in starts]), starts)


@wrong(
    "one array for all",
    5,
    "Your memory equals one that stores the array of the current stack itself and writes the "
    "next frames into it: all states are the same array, and show the newest frames.",
)
class OneArray(Recorded):
    """One array is the current stack, and every step holds that very array."""

    def stack_rows(self, newest, starts):
        rows = np.full_like(newest, len(self.frames) - 1)
        return super().stack_rows(rows, np.full_like(starts, self.start))


@wrong(
    "frames by reference",
    5,
    "Your memory equals one that keeps the caller's array and no copy of it. Where the caller "
    "writes the next frame into the same array, every stored frame changes with it.",
)
class ByReference(Recorded):
    def keep(self, frame):
        self.frames.append(frame)


@wrong(
    "stacked from references",
    5,
    "Your memory equals one that keeps the caller's arrays until it stacks them. Where the "
    "caller writes the next frame into the same array, a stack shows that frame everywhere.",
)
class StackedFromReferences(ByReference):
    """Stacks are copies, made when the step is added; the frames they are made of are not."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.stacks = []

    def add(self, *step):
        super().add(*step)
        rows, pixels = self.steps[-1].row + np.arange(2), np.array([*self.frames, self.empty])
        self.stacks.append(pixels[self.stack_rows(rows, np.full(2, self.steps[-1].start))])

    def batch(self, numbers):
        stacks = np.array([self.stacks[number] for number in numbers])
        return super().batch(numbers)._replace(states=stacks[:, 0], next_states=stacks[:, 1])


@wrong(
    "float frames",
    5,
    "Your memory equals one that returns frames divided by 255 as 32-bit floats, four times "
    "the bytes. The network divides by 255 itself; it would see almost black screens.",
)
class FloatFrames(Recorded):
    def batch(self, numbers):
        batch = super().batch(numbers)
        states, nexts = (x.astype(np.float32) / 255 for x in (batch.states, batch.next_states))
        return batch._replace(states=states, next_states=nexts)


@wrong(
    "black frames",
    5,
    "Your memory equals one that divides frames by 255 and keeps them as uint8, which has no "
    "fractions: all but the brightest pixels become 0. Dividing is the network's work.",
)
class BlackFrames(Recorded):
    def keep(self, frame):
        self.frames.append((frame / 255).astype(np.uint8))
