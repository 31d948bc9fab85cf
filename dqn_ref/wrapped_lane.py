"""A lane whose game is made of chapter 03's wrappers, as soon as one of them is a learner's own.

    Emulator ── RandomStart ── LifeLoss ── RepeatMax ──> one decision
    FIRE,        no-ops         lives       the action repeated,
    counting                                two frames in one

`GymLane` does all of this itself, for every recipe. The wrappers know fewer rules (`why_not`), and
a lane of them is told from a `GymLane` by one thing only: which frame ends a game.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import gymnasium
import numpy as np

from dqn_ref.gym_lane import GymLane
from dqn_ref.settings import Recipe


class Wrappers(NamedTuple):
    """The three pieces of chapter 03 that an environment is made of."""

    RepeatMax: Callable[..., gymnasium.Env]
    RandomStart: Callable[..., gymnasium.Env]
    LifeLoss: Callable[..., gymnasium.Env]


def why_not(recipe: Recipe) -> str:
    """The first setting of an Atari recipe that the wrappers know nothing of; "" if they fit."""
    fits = {
        "repeat_frames_min": recipe.repeat_frames_min == 0,
        "life_noops_max": recipe.life_noops_max == 0,
        "start_random_actions_max": recipe.start_random_actions_max == 0,
        "max_env_steps_per_game": recipe.max_env_steps_per_game == 0,
        "max_over": recipe.max_over != "none",
    }
    return next((f"{name}={getattr(recipe, name)}" for name, fit in fits.items() if not fit), "")


class Emulator(gymnasium.Wrapper):
    """The game itself: presses FIRE when it begins, counts and shows every frame.

    Args:
        env: one `step` is one emulator frame.
        fire: the action that starts a game, None for none.
        on_frame: called with every frame, `(H, W, 3)` uint8; None for nobody.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        fire: int | None,
        on_frame: Callable[[np.ndarray], None] | None,
    ):
        super().__init__(env)
        self._fire, self._on_frame = fire, on_frame
        self.frames = 0  # of this game, start actions included

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        observation, info = self.env.reset(seed=seed, options=options)
        self.frames = 0
        self._show(observation)
        if self._fire is not None:
            observation, _, _, _, info = self.step(self._fire)
        return observation, info

    def step(self, action):
        row = self.env.step(action)
        self.frames += 1
        self._show(row[0])
        return row

    def _show(self, observation: np.ndarray) -> None:
        if self._on_frame is not None:
            self._on_frame(np.array(observation))


class WrappedLane(GymLane):
    """One game through the wrappers; see `GymLane` for what each part is.

    Args:
        env, recipe, max_frames, on_frame, preprocess: see `GymLane`; `why_not` finds nothing
            against the recipe.
        wrappers: the pieces.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        recipe: Recipe,
        max_frames: int,
        on_frame: Callable[[np.ndarray], None] | None,
        preprocess: Callable[..., np.ndarray],
        wrappers: Wrappers,
    ):
        super().__init__(env, recipe, max_frames, on_frame, preprocess)
        self._emulator = Emulator(env, self.fire if recipe.fire_at_start else None, on_frame)
        started = wrappers.RandomStart(self._emulator, recipe.start_noops_max)
        self.env = wrappers.RepeatMax(wrappers.LifeLoss(started), recipe.repeat_frames)

    def start(self, seed: int | None) -> None:
        observation, info = self.env.reset(seed=seed)
        self.game_over = self.truncated = self.life_lost = False
        self._note(observation, info)
        self.frames_at_start = self.frames

    def step(self, action: int) -> float:
        points, life_lost = 0.0, False
        for _ in range(self.recipe.repeat_actions):
            observation, reward, self.game_over, truncated, info = self.env.step(action)
            points += float(reward)
            life_lost |= bool(info.get("life_lost", False))
            self._note(observation, info)
            played = self.frames - self.frames_at_start
            self.truncated = not self.game_over and (truncated or played >= self.max_frames)
            if self.ended:
                break
        self.life_lost = life_lost and not self.ended
        return points

    def start_life(self) -> None:
        self.step(self.fire)

    def _note(self, observation: np.ndarray, info: dict) -> None:
        # The maximum over two frames is taken already; with itself it stays what it is.
        self.previous = self.current = np.array(observation)
        self.lives = info.get("lives", 0)
        self.frames = self._emulator.frames
