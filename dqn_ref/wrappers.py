"""The environment, wrapper by wrapper: what `GymLanes` and ALE's vector environment do inside.

Stacked on `ALE/…-v5` with `frameskip=1`, from the inside out: `RandomStart`, `LifeLoss`,
`RepeatMax`. Each does one thing, so each can be written, checked and exchanged alone.
"""

from __future__ import annotations

import gymnasium
import numpy as np

from dqn_ref.frames import max_over_frames


class RandomStart(gymnasium.Wrapper):
    """Begin each game with 0 to `noops_max` no-ops, each count equally likely.

    A game that ends during its no-ops is reset, and the rest of them follow (or none, or new ones).
    `np_random` makes the counts repeatable; any other generator is right, too.

    Source: Mnih et al. 2015, Methods, "Evaluation procedure".
    """

    def __init__(self, env: gymnasium.Env, noops_max: int = 30):
        super().__init__(env)
        self.noops_max = noops_max

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        observation, info = self.env.reset(seed=seed, options=options)
        for _ in range(self.np_random.integers(self.noops_max + 1)):
            observation, _, terminated, truncated, info = self.env.step(0)
            if terminated or truncated:
                observation, info = self.env.reset()
        return observation, info


class LifeLoss(gymnasium.Wrapper):
    """Tell in `info["life_lost"]` that a life was lost and the game goes on; reset nothing.

    Source: the published code of Mnih et al. 2015 (`GameEnvironment.lua`).
    """

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        observation, info = self.env.reset(seed=seed, options=options)
        self._lives = info.get("lives", 0)
        return observation, {**info, "life_lost": False}

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        lives = info.get("lives", 0)
        lost = lives < self._lives and not (terminated or truncated)
        self._lives = lives
        return observation, reward, terminated, truncated, {**info, "life_lost": lost}


class RepeatMax(gymnasium.Wrapper):
    """Repeat each action, add up its points, and show the maximum of the last two frames.

    `info["life_lost"]`, if there is one below, is kept when any of the repeated frames had it and
    the game goes on. Where a decision has a single frame, because of `repeat=1` or the game's end,
    the other one is the frame before it, of the decision before; the frame alone is right, too.

    Source: Mnih et al. 2015, Methods, "Preprocessing" and "Training details".
    """

    def __init__(self, env: gymnasium.Env, repeat: int = 4):
        super().__init__(env)
        self.repeat = repeat

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        observation, info = self.env.reset(seed=seed, options=options)
        self._current = np.array(observation)
        return self._current, info

    def step(self, action):
        points, life_lost = 0.0, False
        for _ in range(self.repeat):
            previous = self._current
            observation, reward, terminated, truncated, info = self.env.step(action)
            self._current = np.array(observation)  # some environments write into one buffer
            points += float(reward)
            life_lost |= info.get("life_lost", False)
            if terminated or truncated:
                break
        if "life_lost" in info:
            info = {**info, "life_lost": life_lost and not (terminated or truncated)}
        shown: np.ndarray = max_over_frames(previous, self._current)
        return shown, points, terminated, truncated, info
