"""Wrong repeating wrappers I: pictures and points.

All are `Repeats`, a right one, with one method exchanged.
"""

from __future__ import annotations

import gymnasium
import numpy as np

from dqn_ref.course.catalogue.judging import WrongVersions

wrong = WrongVersions()


class Repeats(gymnasium.Wrapper):
    """A right wrapper whose parts can be exchanged."""

    def __init__(self, env, repeat=4):
        super().__init__(env)
        self.repeat, self.newest = repeat, None

    def reset(self, *, seed=None, options=None):
        observation, info = self.env.reset(seed=seed, options=options)
        self.newest = self.kept(observation)
        return self.handed_out(np.array(observation)), info

    def step(self, action):
        frames, rewards, infos = [self.newest], [], []
        for turn in range(self.times()):
            taken = self.env.step(self.played(action, turn))
            observation, reward, terminated, truncated, info = taken
            frames.append(self.kept(observation))
            rewards.append(float(reward))
            infos.append(info)
            if self.over(terminated, truncated, info):
                break
        self.newest = frames[-1]
        flags = self.flags(terminated, truncated)
        told = self.told(infos, terminated or truncated)
        return self.handed_out(self.shown(frames)), self.points(rewards), *flags, told

    def times(self):
        return self.repeat

    def played(self, action, turn):
        return action

    def kept(self, observation):
        return np.array(observation)

    def over(self, terminated, truncated, info):
        return terminated or truncated

    def flags(self, terminated, truncated):
        return terminated, truncated

    def points(self, rewards):
        return sum(rewards)

    def shown(self, frames):
        """Of the frame before the decision, and those of the decision."""
        return np.maximum(frames[-2], frames[-1])

    def handed_out(self, picture):
        return picture

    def told(self, infos, ended):
        if "life_lost" not in infos[-1]:
            return infos[-1]
        return {**infos[-1], "life_lost": any(i["life_lost"] for i in infos) and not ended}


@wrong(
    "last reward only",
    1,
    "Your wrapper equals one that returns the reward of the last frame. A brick that breaks on "
    "one of the frames before it would bring no points.",
)
class LastReward(Repeats):
    def points(self, rewards):
        return rewards[-1]


@wrong(
    "clips each frame's reward",
    1,
    "Your wrapper equals one that clips each frame's reward to -1 … 1 before it adds them up. "
    "A score needs the points as they are; clipping comes later, and for learning alone.",
)
class ClipsEach(Repeats):
    def points(self, rewards):
        return sum(max(-1.0, min(1.0, reward)) for reward in rewards)


@wrong(
    "maximum of all frames",
    1,
    "Your wrapper equals one that takes the maximum of all frames of a decision. Whatever moves "
    "leaves a trail of `repeat` places; against flicker, the last two are enough.",
)
class MaximumOfAll(Repeats):
    def shown(self, frames):
        return np.max(frames[1:], axis=0)


@wrong(
    "maximum of all frames and the one before",
    1,
    "Your wrapper equals one that takes the maximum of all frames of a decision and of the frame "
    "before it. Only the last two count: what moves would leave a trail.",
)
class MaximumOfAllAndBefore(Repeats):
    def shown(self, frames):
        return np.max(frames, axis=0)


@wrong(
    "first and last frame",
    1,
    "Your wrapper equals one that takes the maximum of the first and the last frame of a decision. "
    "Flicker is mended by two frames that follow each other.",
)
class FirstAndLast(Repeats):
    def shown(self, frames):
        return np.maximum(frames[1], frames[-1])


@wrong(
    "last frames of two decisions",
    1,
    "Your wrapper equals one that takes the maximum of the last frames of this decision and of the "
    "decision before: everything that moves is seen twice.",
)
class TwoDecisions(Repeats):
    def shown(self, frames):
        return np.maximum(frames[0], frames[-1])


@wrong(
    "last frame only",
    1,
    "Your wrapper equals one without a maximum. A sprite that is drawn on every second frame may "
    "never be seen.",
)
class LastFrame(Repeats):
    def shown(self, frames):
        return frames[-1]


@wrong(
    "last frame but one",
    1,
    "Your wrapper equals one that shows the frame before the last, without a maximum: the picture "
    "is late, and a sprite that flickers may never be seen.",
)
class LastButOne(Repeats):
    def shown(self, frames):
        return frames[-2]


@wrong(
    "mean of the last two",
    1,
    "Your wrapper equals one that shows the mean of the last two frames. A sprite that is lit in "
    "one of them comes out half as bright.",
)
class MeanOfTwo(Repeats):
    def shown(self, frames):
        return np.mean(frames[-2:], axis=0).astype(np.uint8)


@wrong(
    "keeps the frame of the reset",
    3,
    "Your wrapper equals one that keeps a frame in `reset` and never renews it: with `repeat=1`, "
    "every picture of a game is laid over its first one. The frame to keep is the latest.",
)
class KeepsFirst(Repeats):
    def step(self, action):
        first = self.newest
        result = super().step(action)
        self.newest = first
        return result


@wrong(
    "keeps the maximum",
    3,
    "Your wrapper equals one that keeps the picture it has shown, and takes the next maximum with "
    "it: with `repeat=1`, whatever moves leaves a trail. The frame to keep is the latest.",
)
class KeepsMaximum(Repeats):
    def shown(self, frames):
        self.maximum = super().shown(frames)
        return self.maximum

    def step(self, action):
        result = super().step(action)
        self.newest = self.maximum
        return result


@wrong(
    "keeps no copy",
    2,
    "Your wrapper equals one that keeps the frame without copying it. Where the environment writes "
    "each frame into the same array, both frames of the maximum are the last one.",
)
class NoCopy(Repeats):
    def kept(self, observation):
        return observation


@wrong(
    "one picture for all",
    2,
    "Your wrapper equals one that writes every picture into the same array. A picture that was "
    "handed out, and perhaps stored, turns into the newest one.",
)
class OnePicture(Repeats):
    array = None

    def handed_out(self, picture):
        if self.array is None:
            self.array = np.empty_like(picture)
        self.array[...] = picture
        return self.array
