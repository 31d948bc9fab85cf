"""The repeating wrapper of chapter 03: its scenes, known mistakes, and wrappers of other make.

Contract: `dqn_ref.pieces.CONTRACTS["RepeatMax"]`. In words: a step plays the action for `repeat`
frames, or until the game is over or cut off; the reward is the sum, the observation the maximum of
the last two frames, `info` that of the last frame; `info["life_lost"]`, if there is one below, is
True when any of the frames had it and the game goes on. An environment may write all frames into
one array.

What may vary: the picture when a game ends inside a repetition. With `repeat=1`, it is the frame
alone, or its maximum with the frame before.
"""

from __future__ import annotations

from collections import deque

import gymnasium
import numpy as np
import torch

from dqn_ref.course.catalogue.judging import Entry, Probe, RightVersion
from dqn_ref.course.catalogue.wrapper_games import ATARI, NumberedGame, Script
from dqn_ref.course.catalogue.wrapper_repeats import GAMES, LIVES, ONE, ONE_ARRAY, THREE, TWO
from dqn_ref.course.catalogue.wrapper_wrong_pictures import wrong as wrong_pictures
from dqn_ref.course.catalogue.wrapper_wrong_repeats import wrong as wrong_repeats
from dqn_ref.wrappers import RepeatMax

HINTS = {
    1: "the action is played `repeat` times; points are a sum; the picture is the maximum of the "
    "last two frames that were played",
    2: "self.env.step(action) in a loop; np.maximum, not np.max; np.array copies what the "
    "emulator hands out",
    3: "the end: leave the loop as soon as the game is terminated or truncated; self.latest is "
    "renewed with every frame",
    4: "life_lost: True if any of the repeated frames had it and the game goes on",
}

SCENES = (
    Probe("scripted games of 210 × 160 pixels with repeat left out", GAMES.observe),
    Probe("scripted games of 6 × 5 pixels that tell lost lives", LIVES.observe),
    Probe("a game that writes every frame into one array", ONE_ARRAY.observe),
    Probe("scripted games of 6 × 5 pixels with repeat=3", THREE.observe),
    Probe("a scripted game of 6 × 5 pixels with repeat=2", TWO.observe),
    Probe("scripted games of 6 × 5 pixels with repeat=1", ONE.observe),
)


# --- right versions -------------------------------------------------------------------------------


class ListOfFrames(gymnasium.Wrapper):
    """Keeps all frames of a decision; does without a `reset` of its own."""

    def __init__(self, env, repeat=4):
        gymnasium.Wrapper.__init__(self, env)
        self.n = repeat

    def step(self, action):
        frames, total, lost = [], 0, False
        while len(frames) < self.n:
            obs, reward, terminated, truncated, info = self.env.step(action)
            frames.append(obs.copy())
            total += reward
            lost = lost or info.get("life_lost", False)
            if terminated or truncated:
                lost = False
                break
        info["life_lost"] = lost
        return np.stack(frames[-2:]).max(axis=0), total, terminated, truncated, info


class BufferOfTwo(gymnasium.Wrapper):
    """Fills a buffer on the last two turns; where a game ends before, it shows older frames."""

    def __init__(self, env, repeat=4):
        super().__init__(env)
        self.buffer = np.zeros((2, *env.observation_space.shape), dtype=np.uint8)
        self.repeat = repeat

    def step(self, action):
        total, any_lost = np.float32(0), []
        for i in range(self.repeat):
            obs, reward, terminated, truncated, info = self.env.step(action)
            if i >= self.repeat - 2:
                self.buffer[i - self.repeat + 2] = obs
            total = total + np.float32(reward)
            any_lost.append(info.get("life_lost"))
            if done := terminated or truncated:
                break
        if "life_lost" in info:
            info = dict(info, life_lost=not done and any(any_lost))
        return self.buffer.max(axis=0), total, terminated, truncated, info


class DequeOfTensors(gymnasium.Wrapper):
    """The last two frames in a deque that `reset` empties, the maximum by PyTorch."""

    def __init__(self, env, repeat=4):
        super().__init__(env)
        self.repeat, self.last_two = repeat, deque(maxlen=2)

    def reset(self, **kwargs):
        self.last_two.clear()
        obs, info = self.env.reset(**kwargs)
        self.last_two.append(torch.tensor(obs))
        return obs, info

    def step(self, action):
        results = []
        done = False
        while not done and len(results) < self.repeat:
            results.append(self.env.step(action))
            self.last_two.append(torch.tensor(results[-1][0]))
            done = any(results[-1][2:4])
        _, rewards, _, _, infos = zip(*results, strict=True)
        info = dict(infos[-1])
        if "life_lost" in info:
            info["life_lost"] = int(not done and any(i["life_lost"] for i in infos))
        picture = torch.stack(list(self.last_two)).amax(dim=0).numpy()
        return picture, sum(rewards), *results[-1][2:4], info


RIGHT = (
    RightVersion("a list of frames, no reset of its own", ListOfFrames),
    RightVersion("a buffer filled on the last two turns", BufferOfTwo),
    RightVersion("a deque of tensors", DequeOfTensors),
)


def _workload(make):
    env = make(NumberedGame(Script(), shape=ATARI))

    def work() -> None:
        env.reset()
        for action in range(8):
            env.step(action % 4)

    return work


ENTRY = Entry(
    name="RepeatMax",
    probes=SCENES,
    wrong=(*wrong_pictures, *wrong_repeats),
    right=RIGHT,
    hints=HINTS,
    model=RepeatMax,
    reference=RepeatMax,
    workload=_workload,
)
