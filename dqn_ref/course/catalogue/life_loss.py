"""The life-loss wrapper of chapter 03: its scenes, known mistakes, and wrappers of other make.

Contract: `dqn_ref.pieces.CONTRACTS["LifeLoss"]`. In words: `info["life_lost"]` is a bool, True
where `info["lives"]` is smaller than with the frame before and the game goes on (neither terminated
nor truncated), False in the info of `reset`. Everything else is handed on as it is, and nothing is
reset. A game that tells no lives has none to lose.
"""

from __future__ import annotations

import gymnasium

from dqn_ref.course.catalogue.judging import Entry, Probe, RightVersion
from dqn_ref.course.catalogue.wrapper_games import NumberedGame, Script
from dqn_ref.course.catalogue.wrapper_lives import EXTRA, NONE_LEFT, SEVERAL, WITHOUT
from dqn_ref.course.catalogue.wrapper_wrong_lives import wrong
from dqn_ref.wrappers import LifeLoss

HINTS = {
    1: "lost: fewer lives than before, and neither terminated nor truncated; the game and its "
    "flags stay what they are",
    2: 'info.get("lives", 0); {**info, "life_lost": ...}, a bool; also in reset, with False',
    3: "remember the lives in reset, and after every step",
}

SCENES = (
    Probe("scripted games in which lives are lost", SEVERAL.observe),
    Probe("scripted games that give extra lives", EXTRA.observe),
    Probe("scripted games that go on with 0 lives", NONE_LEFT.observe),
    Probe("scripted games that tell no lives", WITHOUT.observe),
)


# --- right versions -------------------------------------------------------------------------------


class InPlace(gymnasium.Wrapper):
    """Adds its entry to the environment's own dictionary."""

    def __init__(self, env):
        super().__init__(env)
        self.lives = None

    def reset(self, **kwargs):
        obs, info = self.env.reset(**kwargs)
        self.lives = info.get("lives")
        info["life_lost"] = False
        return obs, info

    def step(self, action):
        *result, info = self.env.step(action)
        now = info.get("lives")
        goes_on = not any(result[2:4])
        info["life_lost"] = goes_on and now is not None and now < self.lives
        self.lives = now
        return (*result, info)


class ByCases(gymnasium.Wrapper):
    """Follows the cases one by one."""

    def reset(self, seed=None, options=None):
        obs, info = super().reset(seed=seed, options=options)
        self.previous = info["lives"] if "lives" in info else 0
        return obs, info | {"life_lost": False}

    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        lives = info["lives"] if "lives" in info else 0
        if terminated:
            lost = False
        elif truncated:
            lost = False
        elif lives < self.previous:
            lost = True
        else:
            lost = False
        self.previous = lives
        return obs, reward, terminated, truncated, info | {"life_lost": lost}


class ByDifference(gymnasium.Wrapper):
    """Keeps the whole info of the step before."""

    def reset(self, *args, **kwargs):
        obs, self.info = self.env.reset(*args, **kwargs)
        return obs, dict(self.info, life_lost=False)

    def step(self, action):
        obs, reward, terminated, truncated, info = self.env.step(action)
        fallen = self.info.get("lives", 0) - info.get("lives", 0)
        self.info = info
        return (
            obs,
            reward,
            terminated,
            truncated,
            dict(info, life_lost=fallen > 0 and not terminated and not truncated),
        )


RIGHT = (
    RightVersion("writes into info itself", InPlace),
    RightVersion("one case after the other", ByCases),
    RightVersion("keeps the info of the step before", ByDifference),
)


def _workload(make):
    env = make(NumberedGame(Script(lives={0: 5, 20: 4, 60: 3})))

    def work() -> None:
        env.reset()
        for action in range(80):
            env.step(action % 4)

    return work


ENTRY = Entry(
    name="LifeLoss",
    probes=SCENES,
    wrong=wrong,
    right=RIGHT,
    hints=HINTS,
    model=LifeLoss,
    reference=LifeLoss,
    workload=_workload,
)
