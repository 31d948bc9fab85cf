"""One gymnasium environment, played as DQN plays Atari: a lane of `GymLanes`.

    start    reset | FIRE | no-ops | random actions         (each only if the recipe says so)
    step     repetition, repetition, …                      one decision, `repeat_actions` of them
             = the action for 2, 3 or 4 emulator frames     one environment step
    frame    the last one or two emulator frames, grey, resized, cropped

A game ends when the environment says so, or is cut off by a limit in emulator frames or in
environment steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from dqn_ref import frames
from dqn_ref.frames import resize
from dqn_ref.settings import Recipe, RecipeError

NOOP = 0


def env_action_names(env: gymnasium.Env) -> list[str]:
    """Names of an environment's actions; plain numbers where a wrapper has changed them."""
    names = getattr(env.unwrapped, "get_action_meanings", list)()
    count = int(env.action_space.n)
    return names if len(names) == count else [str(action) for action in range(count)]


class GymLane:
    """One game of the recipe's kind.

    Args:
        env: observations are `(H, W, 3)` or `(H, W)` uint8; one `step` is one emulator frame.
        recipe: its environment fields are honoured.
        max_frames: limit per game in emulator frames after the start actions.
        on_frame: called with every raw frame, `(H, W, 3)` uint8; None for nobody.
        preprocess: the piece that makes two raw frames into one of the network's.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        recipe: Recipe,
        max_frames: int,
        on_frame: Callable[[np.ndarray], None] | None,
        preprocess: Callable[..., np.ndarray],
    ):
        self.env, self.recipe, self.max_frames = env, recipe, max_frames
        self.on_frame, self.preprocess = on_frame, preprocess
        names = env_action_names(env)
        self.fire = names.index("FIRE") if "FIRE" in names else None
        self.lives = 0
        self.life_lost = False  # by the last decision, and the game went on

    def start(self, seed: int | None) -> None:
        """Begin a game; a seed begins new series of random numbers, None goes on with the old."""
        observation, info = self.env.reset(seed=seed)
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self._begin(observation, info)
        recipe = self.recipe
        if recipe.fire_at_start and self.fire is not None:
            self._emulate(self.fire)
        for _ in range(self.rng.integers(recipe.start_noops_max + 1)):
            self._emulate(NOOP)
            self._begin_again_if_ended()
        if recipe.start_random_actions_max:
            for _ in range(self.rng.integers(recipe.start_random_actions_max + 1)):
                self._environment_step(int(self.rng.integers(self.env.action_space.n)))
                self._begin_again_if_ended()
        self.frames_at_start = self.frames

    def step(self, action: int) -> float:
        """One decision; the points it brought."""
        lives, points = self.lives, 0.0
        for _ in range(self.recipe.repeat_actions):
            points += self._environment_step(action)
            if self.ended:
                break
        self.life_lost = self.lives < lives and not self.ended
        return points

    def start_life(self) -> None:
        """The start actions after a life: no-ops as in Nature's code, then FIRE."""
        lives = self.lives
        if self.recipe.life_noops_max:
            for _ in range(1 + self.rng.integers(self.recipe.life_noops_max)):
                if not self.ended:
                    self._emulate(NOOP)
        if self.recipe.fire_after_life and self.fire is not None and not self.ended:
            self.step(self.fire)
        self.life_lost = self.lives < lives and not self.ended

    @property
    def starts_life(self) -> bool:
        """Whether a life begins with actions of its own."""
        fires = self.recipe.fire_after_life and self.fire is not None
        return fires or self.recipe.life_noops_max > 0

    @property
    def ended(self) -> bool:
        """Whether the game is over or was cut off."""
        return self.game_over or self.truncated

    def frame(self) -> np.ndarray:
        """What the network sees now, `frame_shape` uint8."""
        recipe = self.recipe
        top, bottom = recipe.crop_top, recipe.crop_top + recipe.frame_height
        if self.current.ndim == 2:  # a wrapper has made it grey already
            return resize(self.current, *recipe.resized_shape, recipe.resize)[top:bottom]
        # One frame per step: there is no second one to take the maximum with (nor does ALE).
        one = recipe.repeat_frames == recipe.repeat_actions == 1
        seen = self.preprocess(
            self.current if one else self.previous,
            self.current,
            *recipe.resized_shape,
            recipe.resize,
            recipe.max_over,
            recipe.grey,
        )
        return seen[top:bottom]

    def refuse_impossible_frames(self) -> None:
        """Try the frame's settings out before the first game.

        Raises:
            RecipeError: if the recipe asks for frames that cannot be made from this game's.
        """
        self.previous = self.current = np.zeros(self.env.observation_space.shape, np.uint8)
        try:
            self.frame()
        except ValueError as error:
            if self.preprocess is not frames.preprocess:  # a learner's error is theirs to see
                raise
            raise RecipeError(str(error)) from None

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """All that decides how the game goes on, arrays and JSON-able values.

        None if the environment has no `get_state`: ALE's has not, nor has a wrapper.
        """
        if not hasattr(self.env, "get_state"):
            return None
        started = None if self.frames_at_start == math.inf else self.frames_at_start
        numbers = {name: getattr(self, name) for name in _COUNTED}
        numbers |= {
            "frames_at_start": started,
            "rng": self.rng.bit_generator.state,
            "env": self.env.get_state(),
        }
        return {"previous": self.previous, "current": self.current}, numbers

    def set_state(self, arrays: dict[str, np.ndarray], numbers: dict[str, Any]) -> None:
        """Go on exactly where `state` was called."""
        self.env.reset()  # an environment may refuse to be touched before
        self.env.set_state(numbers["env"])
        self.rng = np.random.default_rng()
        self.rng.bit_generator.state = numbers["rng"]
        for name in _COUNTED:
            setattr(self, name, numbers[name])
        started = numbers["frames_at_start"]
        self.frames_at_start = math.inf if started is None else started
        self.previous, self.current = arrays["previous"], arrays["current"]

    def _begin(self, observation: np.ndarray, info: dict) -> None:
        # A copy: the environment may write its next frame into the same buffer.
        self.previous = self.current = np.array(observation)
        self.lives = info.get("lives", 0)
        # Start actions do not count against the limit of frames: `start` sets where it begins.
        self.frames, self.frames_at_start = 0, math.inf
        self.environment_steps = 0
        self.game_over = self.truncated = self.life_lost = False
        self._show()

    def _begin_again_if_ended(self) -> None:
        if self.ended:
            self._begin(*self.env.reset())

    def _environment_step(self, action: int) -> float:
        """Repeat an action for some emulator frames; the points it brought."""
        recipe, points = self.recipe, 0.0
        count = recipe.repeat_frames
        if recipe.repeat_frames_min:
            count = int(self.rng.integers(recipe.repeat_frames_min, count + 1))
        for _ in range(count):
            points += self._emulate(action)
            if self.ended:
                break
        self.environment_steps += 1
        limit = recipe.max_env_steps_per_game
        if limit and self.environment_steps >= limit and not self.game_over:
            self.truncated = True
        return points

    def _emulate(self, action: int) -> float:
        self.previous = self.current
        observation, reward, self.game_over, truncated, info = self.env.step(action)
        self.current = np.array(observation)
        self.frames += 1
        played = self.frames - self.frames_at_start
        self.truncated = not self.game_over and (truncated or played >= self.max_frames)
        self.lives = info.get("lives", 0)
        self._show()
        return float(reward)

    def _show(self) -> None:
        if self.on_frame is not None:
            self.on_frame(self.current)


_COUNTED = ("lives", "frames", "environment_steps", "game_over", "truncated")
