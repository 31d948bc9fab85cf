"""Wrong frame stacks: all are `Keeps`, a right one, with one method exchanged."""

from __future__ import annotations

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import WrongVersions

wrong = WrongVersions()


class Keeps:
    """A right frame stack whose parts can be exchanged."""

    def __init__(self, lanes, stack_frames=4, frame_shape=(84, 84), device="cpu"):
        self.kept = torch.zeros((lanes, stack_frames, *frame_shape), dtype=torch.uint8)
        self.k = stack_frames
        self.current = self.kept

    def push(self, frames, starts):
        breaks = torch.from_numpy(np.asarray(self.breaks(starts)))
        older = self.kept[:, 1:].clone()
        self.blacken(older, breaks, frames)
        self.kept = self.joined(older, frames, breaks)
        self.current = self.shown(breaks)
        return self.current

    def breaks(self, starts):
        """Lanes in which a stack breaks."""
        return starts

    def blacken(self, older, breaks, frames):
        older[breaks] = 0

    def joined(self, older, frames, breaks):
        return torch.cat([older, frames[:, None]], dim=1)

    def shown(self, breaks):
        return self.kept


@wrong(
    "newest frame first",
    1,
    "Your stack equals one that puts the newest frame first. Network and replay memory (chapters "
    "04, 05) have it last: to an agent that acts on yours, every ball flies backwards.",
)
class NewestFirst(Keeps):
    def shown(self, breaks):
        return self.kept.flip(1)


@wrong(
    "never breaks",
    3,
    "Your stack equals one that ignores `starts`: the first states of a game show the end of the "
    "game before.",
)
class NeverBreaks(Keeps):
    def breaks(self, starts):
        return starts & False


@wrong(
    "first frame repeated",
    3,
    "Your stack equals one that fills the beginning of a game with its first frame. The replay "
    "memory of chapter 04 fills it with zeros: the agent would act on states it never learns from.",
)
class FirstRepeated(Keeps):
    def blacken(self, older, breaks, frames):
        older[breaks] = frames[breaks][:, None].expand_as(older[breaks])


@wrong(
    "all lanes break",
    3,
    "Your stack equals one that blackens every lane when one starts. The others are in the midst "
    "of a game, and lose sight of where the ball comes from.",
)
class AllBreak(Keeps):
    def breaks(self, starts):
        return starts | starts.any()


@wrong(
    "breaks when all start",
    3,
    "Your stack equals one that breaks only when all lanes start at once, as `starts.all()` asks. "
    "Games end one by one.",
)
class BreaksWhenAll(Keeps):
    def breaks(self, starts):
        return starts & starts.all()


@wrong(
    "first lane decides",
    3,
    "Your stack equals one in which the first lane's flag decides for all lanes.",
)
class FirstDecides(Keeps):
    def breaks(self, starts):
        return starts | True if starts[0] else starts & False


@wrong(
    "first frame lost",
    3,
    "Your stack equals one that blackens a lane after the new frame is put in: the first frame of "
    "a game is lost. Blacken the older ones first.",
)
class FirstFrameLost(Keeps):
    def joined(self, older, frames, breaks):
        joined = super().joined(older, frames, breaks)
        joined[breaks] = 0
        return joined


@wrong(
    "breaks one push late",
    3,
    "Your stack equals one that blackens with the push after a start. The first state of a game "
    "still shows the game before, and the second has lost the first frame.",
)
class BreaksLate(Keeps):
    before = None

    def breaks(self, starts):
        late = starts & False if self.before is None else self.before
        self.before = starts.copy()
        return late


@wrong(
    "breaks for one push only",
    3,
    "Your stack equals one that hides the older frames with the first push of a game and keeps "
    "them: the second state shows the game before again.",
)
class BreaksOnce(Keeps):
    def blacken(self, older, breaks, frames):
        pass

    def shown(self, breaks):
        shown = self.kept.clone()
        shown[breaks, :-1] = 0
        return shown


@wrong(
    "one old frame stays",
    3,
    "Your stack equals one that blackens all older frames but the newest of them: the last frame "
    "of a game stands beside the first of the next.",
)
class OneStays(Keeps):
    def blacken(self, older, breaks, frames):
        older[breaks, :-1] = 0


@wrong(
    "oldest only",
    3,
    "Your stack equals one that blackens a single frame, the oldest, where a lane starts. All "
    "older frames belong to the game before.",
)
class OldestOnly(Keeps):
    def blacken(self, older, breaks, frames):
        older[breaks, :1] = 0


@wrong(
    "one tensor for all",
    4,
    "Your stack equals one that writes every result into the same tensor. A state that was handed "
    "out turns into the newest one.",
)
class OneTensor(Keeps):
    def shown(self, breaks):
        self.current.copy_(self.kept)
        return self.current

    def joined(self, older, frames, breaks):
        joined = super().joined(older, frames, breaks)
        if self.current is self.kept:
            self.current = self.kept.clone()
        return joined


@wrong(
    "blackens the stack before",
    4,
    "Your stack equals one that blackens `self.current[:, 1:]` itself. A slice is a view: the "
    "state that was handed out before changes with it. `.clone()` makes a copy.",
)
class BlackensBefore(Keeps):
    def blacken(self, older, breaks, frames):
        older[breaks] = 0
        self.kept[breaks, 1:] = 0


@wrong(
    "blackens all of the stack before",
    4,
    "Your stack equals one that writes `self.current[starts] = 0` before it joins. That tensor was "
    "handed out with the last push: a game's last state turns black in the hands of its reader.",
)
class BlackensAllBefore(Keeps):
    def blacken(self, older, breaks, frames):
        older[breaks] = 0
        self.kept[breaks] = 0


@wrong(
    "current stays black",
    1,
    "Your stack equals one that returns the new stack and never renews `current`. The training "
    "loop acts on `current`.",
)
class CurrentStays(Keeps):
    def push(self, frames, starts):
        black, result = torch.zeros_like(self.kept), super().push(frames, starts)
        self.current = black
        return result


@wrong(
    "current is one behind",
    1,
    "Your stack equals one whose `current` is the result before the last. The training loop acts "
    "on `current`: every action would come one decision late.",
)
class CurrentBehind(Keeps):
    def push(self, frames, starts):
        before = self.kept
        result = super().push(frames, starts)
        self.current = before
        return result


@wrong(
    "result is one behind",
    1,
    "Your stack equals one that returns the stack as it was before the push: the newest frame is "
    "missing, and every action comes one decision late.",
)
class ResultBehind(Keeps):
    def push(self, frames, starts):
        before = self.kept
        super().push(frames, starts)
        return before


@wrong(
    "one frame short",
    1,
    "Your stack equals one whose oldest frame is always black: it remembers one frame less than "
    "`stack_frames`.",
)
class OneShort(Keeps):
    def blacken(self, older, breaks, frames):
        older[:, :1] = 0
        older[breaks] = 0


@wrong(
    "newest frame twice",
    1,
    "Your stack equals one that shows the newest frame in the last two places: it is put in twice.",
)
class NewestTwice(Keeps):
    def shown(self, breaks):
        shown = self.kept.clone()
        shown[:, -2:] = self.kept[:, -1:]
        return shown


@wrong(
    "fills from the left",
    1,
    "Your stack equals one that fills a new stack from its first place on, with zeros behind. The "
    "newest frame always stands last; zeros stand before a game's first frame.",
)
class FillsFromLeft(Keeps):
    def __init__(self, lanes, *rest, **named):
        super().__init__(lanes, *rest, **named)
        self.age = torch.zeros(lanes, dtype=torch.long)

    def shown(self, breaks):
        self.age = torch.where(breaks, 1, self.age + 1).clamp(max=self.k)
        rows = [lane.roll(int(age), 0) for lane, age in zip(self.kept, self.age, strict=True)]
        return torch.stack(rows)


@wrong(
    "ring not turned",
    1,
    "Your stack equals a ring that is shown as it lies: the newest frame stands in another place "
    "after every push. The network needs the oldest first and the newest last.",
)
class RingNotTurned(Keeps):
    pushes = 0

    def shown(self, breaks):
        self.pushes += 1
        return self.kept.roll(self.pushes % self.k, 1)


@wrong(
    "lanes and frames mixed",
    2,
    "Your stack equals one that reshapes where it should move axes: frames of all lanes are dealt "
    "out like cards. `torch.stack(frames, dim=1)` puts the lanes first.",
)
class LanesMixed(Keeps):
    def shown(self, breaks):
        return self.kept.transpose(0, 1).reshape(self.kept.shape)


@wrong(
    "writes into the caller's frames",
    4,
    "Your stack equals one that blackens the frames it was given where a lane starts. They belong "
    "to the caller, who keeps them for learning (chapter 04).",
)
class BlackensGiven(Keeps):
    def joined(self, older, frames, breaks):
        joined = super().joined(older, frames, breaks)
        frames[breaks] = 0
        return joined
