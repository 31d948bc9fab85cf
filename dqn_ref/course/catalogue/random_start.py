"""The random starts of chapter 03: their scenes, known mistakes, and wrappers of other make.

Contract: `dqn_ref.pieces.CONTRACTS["RandomStart"]`. In words: `reset` hands seed and options to the
environment, plays 0 to `noops_max` no-ops (action 0), each number equally likely, and returns the
observation and info of the newest frame. A game that ends on the way is reset.

What may vary: the generator, its seed too (then a remark says that runs cannot be repeated); and
after a game that ended on the way, whether the rest of the no-ops, new ones or none are played.
"""

from __future__ import annotations

import random

import gymnasium
import numpy as np

from dqn_ref.course.catalogue.judging import Entry, Probe, RightVersion
from dqn_ref.course.catalogue.wrapper_games import Script
from dqn_ref.course.catalogue.wrapper_starts import (
    FewGames,
    NewEnvironments,
    OneEnvironment,
    QuietGame,
    ShortGames,
)
from dqn_ref.course.catalogue.wrapper_wrong_starts import wrong
from dqn_ref.wrappers import RandomStart

HINTS = {
    1: "in reset: draw a number from 0 to noops_max, play that many no-ops (action 0), return the "
    "last observation and info",
    2: "self.np_random.integers(self.noops_max + 1), the upper end is left out; seed and options "
    "go to self.env.reset",
    3: "a game may end during the no-ops: reset it, without a seed, and go on",
}

SCENES = (
    Probe("a scripted game with noops_max=12", FewGames(10, 12).observe),
    Probe("games with noops_max=12", OneEnvironment(250, 12).observe),
    Probe("games with noops_max=12", NewEnvironments(220, 12).observe),
    Probe("games of three frames with noops_max=6", ShortGames(Script(over=3), 60, 6).observe),
    Probe("games of one frame with noops_max=6", ShortGames(Script(over=1), 20, 6).observe),
    Probe("games cut off at frame 4 with noops_max=6", ShortGames(Script(cut=4), 60, 6).observe),
    Probe("games with noops_max=3", OneEnvironment(800, 3).observe),
    Probe("games with noops_max left out", OneEnvironment(60).observe),
)


class GlobalDice(gymnasium.Wrapper):
    """Draws from NumPy's global generator, and begins anew with other no-ops where a game ends."""

    def __init__(self, env, noops_max=30):
        gymnasium.Wrapper.__init__(self, env)
        self.noops_max = noops_max

    def reset(self, **kwargs):
        obs, info = self.env.reset(**kwargs)
        for _ in range(np.random.randint(0, self.noops_max + 1)):
            obs, reward, terminated, truncated, info = self.env.step(0)
            if terminated or truncated:
                return self.reset(**kwargs)
        return obs, info


class OwnGenerator(gymnasium.Wrapper):
    """Seeds a generator of its own; a game that ends is reset, and gets no more no-ops."""

    def __init__(self, env, noops_max=30):
        super().__init__(env)
        self.noops_max, self.rng = noops_max, np.random.default_rng()

    def reset(self, seed=None, options=None):
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        result = super().reset(seed=seed, options=options)
        left = self.rng.integers(0, self.noops_max, endpoint=True)
        while left > 0:
            obs, _, terminated, truncated, info = super().step(0)
            result, left = (obs, info), left - 1
            if terminated or truncated:
                result, left = self.env.reset(), 0
        return result


class PythonsRandom(gymnasium.Wrapper):
    """Python's `random`; the seed is handed on with every reset of the environment."""

    def __init__(self, env, noops_max=30):
        super().__init__(env)
        self.choices, self.dice = list(range(noops_max + 1)), random.Random()

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.dice.seed(seed)
        obs, info = self.env.reset(seed=seed, options=options)
        for _ in range(self.dice.choice(self.choices)):
            obs, _, *ended, info = self.env.step(0)
            if any(ended):
                obs, info = self.env.reset(seed=seed, options=options)
        return obs, info


RIGHT = (
    RightVersion("NumPy's global generator, anew after an end", GlobalDice),
    RightVersion("a generator of its own, no more no-ops after an end", OwnGenerator),
    RightVersion("Python's random, the seed with every reset", PythonsRandom),
)


def _repeats_remark(make) -> str:
    """A sentence for wrappers that begin otherwise where the seed is the same."""
    begins = []
    for _ in range(2):
        game = QuietGame()
        make(game, 1000).reset(seed=5)
        begins.append(game.frame)
    if begins[0] == begins[1]:
        return ""
    return (
        "Two resets with the same seed begin with different numbers of no-ops: a run with your "
        "wrapper cannot be repeated. `self.np_random` is seeded by `reset(seed=...)`."
    )


def _workload(make):
    env = make(QuietGame())

    def work() -> None:
        env.reset(seed=1)
        for _ in range(60):
            env.reset()

    return work


ENTRY = Entry(
    name="RandomStart",
    probes=SCENES,
    wrong=wrong,
    right=RIGHT,
    hints=HINTS,
    model=RandomStart,
    reference=RandomStart,
    workload=_workload,
    remark=_repeats_remark,
)
