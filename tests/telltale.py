"""A game whose pictures tell their own number and the action that brought them."""

from __future__ import annotations

import gymnasium
import numpy as np

from dqn_ref.environments import GymLanes

NAMES = ["NOOP", "FIRE", "LEFT"]


class Telltale(gymnasium.Env):
    """Red is the number of the frame, green 40 · (action + 1), 0 after a reset.

    Each frame is worth a point. A life of three is lost every `life_frames`; the game ends with
    `length` frames.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, length=60, life_frames=25, names=NAMES, render_mode=None, vector=False):
        self.length, self.life_frames, self.names = length, life_frames, names
        self.render_mode, self.vector = render_mode, vector
        self.action_space = gymnasium.spaces.Discrete(len(names))
        shape = (3,) if vector else (210, 160, 3)
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)
        self.frame, self.code, self.renders, self.resets, self.closes = 0, 0, 0, 0, 0

    def get_action_meanings(self):
        return self.names

    def reset(self, *, seed=None, options=None):
        self.frame, self.code = 0, 0
        self.resets += 1
        return self._observe(), {"lives": 3}

    def step(self, action):
        self.frame, self.code = self.frame + 1, 40 * (int(action) + 1)
        info = {"lives": max(0, 3 - self.frame // self.life_frames)}
        return self._observe(), 1.0, self.frame >= self.length, False, info

    def render(self):
        self.renders += 1
        return self._picture()

    def close(self):
        self.closes += 1

    def _observe(self):
        return np.array([self.frame, self.code, 0], np.uint8) if self.vector else self._picture()

    def _picture(self):
        return np.full((210, 160, 3), [self.frame, self.code, 0], np.uint8)


def telltale_lanes(env=Telltale):
    """A stand-in for `make_lanes` that plays Telltale whatever the recipe's game is."""

    def open_lanes(recipe, lanes, max_frames=None, on_frame=None, **pieces):
        return GymLanes(env, recipe, lanes, max_frames, on_frame)

    return open_lanes
