"""Wrong replay memories II: what is counted and drawn, and the numbers beside the frames.

All are `Recorded`, a right memory, with one method exchanged.
"""

from __future__ import annotations

import numpy as np

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.course.catalogue.memory_scenes import Recorded
from dqn_ref.course.catalogue.memory_wrong_frames import IgnoresLives

wrong = WrongVersions()


@wrong(
    "never forgets",
    4,
    "Your memory equals one that ignores `capacity`: it grows until the computer has no room "
    "left, at 84 × 84 pixels and a million steps after at least 7 GB.",
)
class NeverForgets(Recorded):
    grows = True

    def __len__(self):
        return len(self.steps)


@wrong(
    "newest never drawn",
    2,
    "Your memory equals one that draws below `len(memory) - 1`. `rng.integers(n)` already "
    "stops at n - 1, so the newest step is never drawn.",
)
class NewestNeverDrawn(Recorded):
    def positions(self, batch_size, rng):
        return rng.integers(len(self) - 1, size=batch_size)


@wrong(
    "newest not counted",
    4,
    "Your memory equals one that holds a step back until the next call of `add`. `add` brings "
    "the next frame along, so the step is complete and can be drawn at once.",
)
class NewestNotCounted(Recorded):
    def __len__(self):
        return min(max(len(self.steps) - 1, 0), self.shown)

    def positions(self, batch_size, rng):
        return super().positions(batch_size, rng) - 1


@wrong(
    "counts frames",
    4,
    "Your memory equals one whose `len` counts frames. A game of six steps has seven frames, "
    "and `len` says how many steps can be drawn.",
)
class CountsFrames(Recorded):
    def __len__(self):
        return min(len(self.frames), self.capacity)

    def positions(self, batch_size, rng):
        held = min(len(self.steps), self.capacity)
        return rng.integers(held, size=batch_size) + len(self) - held


@wrong(
    "newest at position 0",
    2,
    "Your memory equals one that counts positions from the newest step back. Draws are as "
    "uniform, but they are others than everybody's: losses could no longer be compared.",
)
class NewestFirst(Recorded):
    def positions(self, batch_size, rng):
        return len(self) - 1 - super().positions(batch_size, rng)


@wrong(
    "positions are slots",
    4,
    "Your memory equals one that takes the drawn positions as slots of the ring. Once the ring "
    "has turned, slot 0 no longer holds the oldest step: draws are as uniform, but they are "
    "others than everybody's, and losses could no longer be compared.",
)
class SlotOrder(Recorded):
    def positions(self, batch_size, rng):
        oldest = len(self.steps) - len(self)
        return (super().positions(batch_size, rng) - oldest) % len(self)


@wrong(
    "without replacement",
    2,
    "Your memory equals one that draws without replacement, `rng.choice(..., replace=False)`. "
    "The contract draws `rng.integers(len(memory), size=batch_size)`, in which a step may come "
    "twice, and which takes no longer when the memory is large.",
)
class WithoutReplacement(Recorded):
    def positions(self, batch_size, rng):
        return rng.choice(len(self), size=batch_size, replace=False)


@wrong(
    "rewards late",
    1,
    "Your memory equals one that stores each reward one step late: an action would be praised "
    "for what the action before it has won.",
)
class LateRewards(Recorded):
    before = 0.0

    def begin(self, frame):
        super().begin(frame)
        self.before = 0.0

    def add(self, action, reward, terminated, truncated, next_frame):
        super().add(action, self.before, terminated, truncated, next_frame)
        self.before = reward


@wrong(
    "row of the next frame",
    1,
    "Your memory equals one that keeps action, reward and flag in the row of the frame that "
    "followed, and reads them in the row of the state: all three come one step late.",
)
class AllLate(Recorded):
    """Action, reward and flag stand in the row of the frame that followed."""

    before = 0, 0.0, False

    def begin(self, frame):
        super().begin(frame)
        self.before = 0, 0.0, False

    def add(self, action, reward, terminated, truncated, next_frame):
        super().add(action, reward, terminated, truncated, next_frame)
        row, start, *_ = self.steps[-1]
        self.steps[-1] = type(self.steps[-1])(row, start, *self.before)
        self.before = int(action), float(reward), bool(terminated)


@wrong(
    "terminated lost",
    1,
    "Your memory equals one whose `terminated` is always False: a lost ball would be worth "
    "what the next game is worth, and losing would cost nothing.",
)
class TerminatedLost(Recorded):
    def batch(self, numbers):
        batch = super().batch(numbers)
        return batch._replace(terminated=np.zeros_like(batch.terminated))


@wrong(
    "terminated ignored",
    1,
    "Your memory equals one in which `terminated` does nothing: it is False in every batch, "
    "so that losing costs nothing, and after a lost life the stack goes on.",
)
class TerminatedIgnored(TerminatedLost, IgnoresLives):
    pass


@wrong(
    "truncated taken for terminated",
    1,
    "Your memory equals one that stores `terminated or truncated`. A game that was cut off "
    "would have gone on: its last state keeps its value.",
)
class TruncatedIsTerminated(Recorded):
    def add(self, action, reward, terminated, truncated, next_frame):
        super().add(action, reward, terminated or truncated, truncated, next_frame)


@wrong(
    "last step lost",
    1,
    "Your memory equals one that leaves out the terminated step, the only one that tells the "
    "agent how a game or a life is lost.",
)
class LastStepLost(Recorded):
    def add(self, action, reward, terminated, truncated, next_frame):
        super().add(action, reward, terminated, truncated, next_frame)
        if terminated:
            self.steps.pop()


@wrong(
    "steps between games",
    4,
    "Your memory equals one that draws a step from the last frame of a game to the first of "
    "the next. No action led there, and none was stored: such rows must never be drawn.",
)
class DrawsResetRows(Recorded):
    def begin(self, frame):
        if self.frames:
            self.add(0, 0.0, False, False, frame)
            self.starts.append(len(self.frames) - 1)
        else:
            super().begin(frame)


@wrong(
    "whole rewards",
    1,
    "Your memory equals one that keeps rewards as whole numbers: half a point becomes none.",
)
class WholeRewards(Recorded):
    def add(self, action, reward, *rest):
        super().add(action, int(reward), *rest)


@wrong(
    "sign of rewards",
    1,
    "Your memory equals one that clips rewards to their sign. They come clipped as the recipe "
    "says, and some recipes do not clip: the memory stores what it is given.",
)
class SignOfRewards(Recorded):
    def add(self, action, reward, *rest):
        super().add(action, np.sign(reward), *rest)


@wrong(
    "own discount",
    2,
    "Your memory equals one that ignores `discount` and writes 0.99 into every batch.",
)
class OwnDiscount(Recorded):
    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        super().__init__(capacity, frame_shape, stack_frames)
