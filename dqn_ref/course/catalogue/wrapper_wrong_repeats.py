"""Wrong repeating wrappers II: how long a decision is, how it ends, and info. All are `Repeats`."""

from __future__ import annotations

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.course.catalogue.wrapper_wrong_pictures import Repeats

wrong = WrongVersions()


@wrong(
    "plays on after the end",
    3,
    "Your wrapper equals one that plays all its frames in any case. A game that is over must not "
    "be stepped: what it pays then belongs to no game.",
)
class PlaysOn(Repeats):
    def over(self, terminated, truncated, info):
        return False


@wrong(
    "plays on, and tells the end",
    3,
    "Your wrapper equals one that remembers the end of a game and plays its other frames all the "
    "same. A game that is over must not be stepped: what it pays then belongs to no game.",
)
class PlaysOnAndTells(PlaysOn):
    def step(self, action):
        self.seen = [False, False]
        observation, points, _, _, info = super().step(action)
        if "life_lost" in info and any(self.seen):
            info = {**info, "life_lost": False}
        return observation, points, *self.seen, info

    def over(self, terminated, truncated, info):
        self.seen = [self.seen[0] or terminated, self.seen[1] or truncated]
        return False


@wrong(
    "ignores truncated",
    3,
    "Your wrapper equals one that leaves the loop at `terminated` only. A game that was cut off is "
    "played on, and what it pays then is added.",
)
class IgnoresTruncated(Repeats):
    def over(self, terminated, truncated, info):
        return terminated


@wrong(
    "ignores terminated",
    3,
    "Your wrapper equals one that leaves the loop at `truncated` only. A game that is over is "
    "played on, and what it pays then is added.",
)
class IgnoresTerminated(Repeats):
    def over(self, terminated, truncated, info):
        return truncated


@wrong(
    "cut off counts as over",
    3,
    "Your wrapper equals one that returns `terminated or truncated` as terminated. A game that was "
    "cut off would have gone on, and learning has to tell the two apart.",
)
class OneFlag(Repeats):
    def flags(self, terminated, truncated):
        return terminated or truncated, False


@wrong(
    "both flags alike",
    3,
    "Your wrapper equals one that returns `terminated or truncated` in both places. The two have "
    "to be handed on apart: a game that was cut off is not over.",
)
class BothFlags(Repeats):
    def flags(self, terminated, truncated):
        return (terminated or truncated,) * 2


@wrong(
    "begins the next game",
    3,
    "Your wrapper equals one that resets a game at its end. Whoever plays it does that, and would "
    "reset it a second time.",
)
class BeginsNext(Repeats):
    def step(self, action):
        result = super().step(action)
        if result[2] or result[3]:
            self.env.reset()
        return result


@wrong(
    "one frame too many",
    1,
    "Your wrapper equals one that plays `repeat + 1` frames: one step too many, perhaps one before "
    "the loop.",
)
class OneMore(Repeats):
    def times(self):
        return self.repeat + 1


@wrong(
    "one frame too few",
    1,
    "Your wrapper equals one that plays `repeat - 1` frames. `range(repeat)` counts from 0 and has "
    "`repeat` turns; `range(1, repeat)` has one less.",
)
class OneLess(Repeats):
    def times(self):
        return max(self.repeat - 1, 1)


@wrong(
    "one frame only",
    1,
    "Your wrapper equals one that plays a single frame, as a `return` inside the loop does.",
)
class OneFrame(Repeats):
    def times(self):
        return 1


@wrong(
    "always four frames",
    1,
    "Your wrapper equals one that plays four frames, whatever `repeat` says.",
)
class AlwaysFour(Repeats):
    def times(self):
        return 4


@wrong(
    "no-ops after the first frame",
    1,
    "Your wrapper equals one that plays the action for one frame and no-ops for the rest: the "
    "paddle moves a quarter as far. All frames of a decision get its action.",
)
class NoOpsAfter(Repeats):
    def played(self, action, turn):
        return action if turn == 0 else 0


@wrong(
    "leaks over reset",
    3,
    "Your wrapper equals one that keeps its last frame over `reset`. When the new game's first "
    "decision is one frame long, the maximum shows the game before.",
)
class LeaksOverReset(Repeats):
    def reset(self, *, seed=None, options=None):
        before = self.newest
        result = super().reset(seed=seed, options=options)
        self.newest = self.newest if before is None else before
        return result


@wrong(
    "life_lost of the last frame",
    4,
    'Your wrapper equals one that hands on the last frame\'s `info["life_lost"]`. A life that is '
    "lost on one of the frames before it is never told.",
)
class LifeLostOfLast(Repeats):
    def told(self, infos, ended):
        return infos[-1]


@wrong(
    "life_lost at the end of a game",
    4,
    'Your wrapper equals one whose `info["life_lost"]` stays True where the game ends within the '
    "same decision. It tells of lost lives after which the game goes on.",
)
class LifeLostAtEnd(Repeats):
    def told(self, infos, ended):
        return super().told(infos, False)


@wrong(
    "lives added up",
    4,
    'Your wrapper equals one that adds up `info["lives"]` over the frames, as the library of the '
    "old notebooks does: five lives become twenty. `info` is the last frame's.",
)
class LivesAddedUp(Repeats):
    def told(self, infos, ended):
        told = super().told(infos, ended)
        return {**told, "lives": sum(info["lives"] for info in infos)} if "lives" in told else told


@wrong(
    "stops at a lost life",
    4,
    "Your wrapper equals one that leaves the loop when a life is lost. The game goes on, and the "
    "decision with it: it is still `repeat` frames long.",
)
class StopsAtLife(Repeats):
    def over(self, terminated, truncated, info):
        return terminated or truncated or info.get("life_lost", False)
