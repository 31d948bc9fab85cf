"""Watching a game: each emulator frame with what the network saw and what was done about it.

    frames   0  1 | 2  3  4  5 | 6  7  8  9 | …     two start actions, then four frames a decision
    action   start|    LEFT    |   NOOP     |       what brought the frame
    seen     black|     f(1)   |    f(5)    |       the newest frame of the state it was chosen in

`moments` plays a recipe's game and `env_moments` any gymnasium environment; films
(`dqn_ref.agents.film_run`) and the live view (`dqn_ref.course.live`) draw what they yield with
`picture`. Both are generators: of a long game, one decision stands in memory.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch

from dqn_ref.environments import SMALL_GAMES, Lanes, env_action_names, make_lanes
from dqn_ref.evaluation import Policy, decisions
from dqn_ref.frames import FrameStack, luminance, resize
from dqn_ref.recipes import Recipe
from dqn_ref.video import annotate

VIEWS = ("colour", "network", "both")
START = "start"  # stands for an action where the game, not the agent, chose it
CONSOLE_FPS = 60.0

_ROWS = 420  # enlarged pictures have up to so many pixel rows: twice Atari's
_GAP = 8  # black columns between the two pictures of the view "both"


class Moment(NamedTuple):
    """One emulator frame, and how it came about."""

    screen: np.ndarray  # (H, W, 3) or (H, W) uint8, the game's picture
    # (h, w) uint8, the newest frame of the state in which the action was chosen: what the network
    # was given. Black before a game's first decision; None where an observation is no picture.
    seen: np.ndarray | None
    frame: int  # emulator frames of this game so far, start actions included; 0: the reset
    action: str  # name of the action that brought this frame, or START
    step: int  # decisions of this game so far, this frame's included
    score: float  # points of this game when the decision is over
    lives: int  # left when the decision is over; 0 in games that know none
    end: str  # "over" or "cut off" on a game's last frame, otherwise ""


def game_fps(recipe: Recipe) -> float:
    """Frames per second at which a recipe's game is watched.

    Atari's are the console's 60. A small game draws one frame per decision, at the rate that it
    names itself: 60 decisions a second are too many for an eye.
    """
    if recipe.game in SMALL_GAMES:
        return float(SMALL_GAMES[recipe.game].metadata["render_fps"])
    return CONSOLE_FPS


def moments(
    recipe: Recipe,
    policy: Policy | None = None,
    seed: int = 0,
    max_frames: int | None = None,
    open_lanes: Callable[..., Lanes] = make_lanes,
    device: str | torch.device = "cpu",
    make_stack: Callable = FrameStack,
) -> Iterator[Moment]:
    """Play game after game of a recipe through the flexible door; every emulator frame.

    Args:
        recipe: its environment fields are honoured.
        policy: states `(1, stack, H, W)` uint8 to actions `(1,)` int64; None plays at random.
        seed: of the games, and of random play.
        max_frames: limit per game in emulator frames instead of the recipe's.
        open_lanes: called as `make_lanes(recipe, 1, max_frames=…, on_frame=…)`.
        device: where the policy wants its states.
        make_stack: the piece `FrameStack`.
    Yields:
        Moments, without end. Close the generator to close the game.
    Raises:
        RecipeError: see `make_lanes`.
    """
    screens: list[np.ndarray] = []  # since the last decision
    lanes = open_lanes(recipe, 1, max_frames=max_frames, on_frame=screens.append)
    if policy is None:
        policy = _random_policy(len(lanes.action_names), seed)
    before, name, seen = 0, START, np.zeros(recipe.frame_shape, np.uint8)

    def asked(states: torch.Tensor) -> np.ndarray:
        """The policy; notes what it was given, what it chose, and after how many frames."""
        nonlocal before, name, seen
        actions = policy(states)
        before, name = len(screens), lanes.action_names[int(actions[0])]
        seen = states[0, -1].cpu().numpy()
        return actions

    black = np.zeros(recipe.frame_shape, np.uint8)
    stack = make_stack(1, recipe.stack_frames, recipe.frame_shape, device)
    step, score, end = 0, 0.0, ""
    try:
        for rows in decisions(lanes, stack, asked, recipe.terminal_on_life_loss, seed):
            if end:  # this row is the start of the next game: all its frames come before a decision
                before, step, score = len(screens), 0, 0.0
            start_row = bool(rows.reset_row[0])  # the door put start actions in place of the choice
            if not start_row:
                step, score = step + 1, score + float(rows.rewards[0])
            end = "over" if rows.game_over[0] else "cut off" if rows.truncated[0] else ""
            last = len(screens) - 1
            for index, screen in enumerate(screens):
                early = index < before
                yield Moment(
                    screen,
                    black if early else seen,
                    # A game that ended among its start actions began again: its frames are 0.
                    max(0, int(rows.emulator_frames[0]) - last + index),
                    START if early or start_row else name,
                    0 if early else step,
                    0.0 if early else score,
                    int(rows.lives[0]),
                    end if index == last else "",
                )
            screens.clear()
    finally:
        lanes.close()


def _random_policy(actions: int, seed: int) -> Policy:
    rng = np.random.default_rng([seed, 0xD1CE])
    return lambda states: rng.integers(actions, size=len(states))


def network_frame(observation: Any) -> np.ndarray | None:
    """The grey picture in an observation: what a network that gets it would see last.

    Args:
        observation: `(H, W)` uint8 is that picture already; of a stack `(S, H, W)` or
            `(H, W, S)` it is the last one; `(H, W, 3)` is made grey and 84 × 84.
    Returns:
        `(h, w)` uint8, or None for any other observation.
    """
    try:
        image = np.asarray(observation)
    except ValueError:  # a ragged thing
        return None
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        return None
    if image.ndim == 2:
        return image
    if image.shape[2] == 3:
        return resize(luminance(image), 84, 84)
    return image[-1] if image.shape[0] < image.shape[2] else image[:, :, -1]


class Watched(gymnasium.Wrapper):
    """An environment that shows its moments; whoever plays it or trains on it notices nothing.

    Args:
        env: either made with `render_mode="rgb_array"`, or its observations are colour pictures.
        watch: called after each reset and step with a function that makes the moment, so that
            looking away costs nothing.
        sees: observation to `(h, w)` uint8, or None: what the player's network makes of it.
    Raises:
        ValueError: when a moment is made, if there is no picture.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        watch: Callable[[Callable[[], Moment]], None],
        sees: Callable[[Any], np.ndarray | None] = network_frame,
    ):
        super().__init__(env)
        self._watch, self._sees = watch, sees
        discrete = isinstance(env.action_space, gymnasium.spaces.Discrete)
        self._names = env_action_names(env) if discrete else None

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        observation, info = self.env.reset(seed=seed, options=options)
        self._step, self._score = 0, 0.0
        # A copy: the environment may write its next observation into the same buffer.
        self._given = copy.deepcopy(observation)
        self._tell(observation, None, START, info, "")
        return observation, info

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._step, self._score = self._step + 1, self._score + float(reward)
        end = "over" if terminated else "cut off" if truncated else ""
        name = self._names[int(action)] if self._names else str(action)
        self._tell(observation, self._given, name, info, end)
        self._given = copy.deepcopy(observation)
        return observation, reward, terminated, truncated, info

    def _tell(self, observation, given, name: str, info: dict, end: str) -> None:
        def look() -> Moment:
            seen = self._sees(observation if given is None else given)
            if given is None and seen is not None:
                seen = np.zeros_like(seen)
            return Moment(
                self._screen(observation),
                seen,
                # ALE counts emulator frames, of which a step may take several.
                int(info.get("episode_frame_number", self._step)),
                name,
                self._step,
                self._score,
                int(info.get("lives", 0)),
                end,
            )

        self._watch(look)

    def _screen(self, observation) -> np.ndarray:
        if self.render_mode == "rgb_array":
            return np.array(self.env.render())
        picture = np.array(observation) if isinstance(observation, np.ndarray) else None
        if picture is None or picture.dtype != np.uint8 or picture.shape[2:] != (3,):
            raise ValueError(
                "this environment gives no colour picture; make it with render_mode='rgb_array'"
            )
        return picture


def env_moments(
    env: gymnasium.Env,
    policy: Callable[[Any], Any] | None = None,
    seed: int = 0,
    sees: Callable[[Any], np.ndarray | None] = network_frame,
) -> Iterator[Moment]:
    """Play game after game of any environment; every step of it is a moment.

    Args:
        env: see `Watched`; it stays open.
        policy: observation to action; None plays at random.
        seed: of the first game, and of random play.
        sees: see `Watched`.
    Yields:
        Moments, without end.
    """
    policy = policy or _sampling_policy(env.action_space, seed)
    caught: list[Moment] = []
    watched = Watched(env, lambda look: caught.append(look()), sees)
    observation, _ = watched.reset(seed=seed)
    while True:
        yield caught.pop()
        observation, _, terminated, truncated, _ = watched.step(policy(observation))
        if terminated or truncated:
            yield caught.pop()
            observation, _ = watched.reset()


def _sampling_policy(actions: gymnasium.Space, seed: int) -> Callable[[Any], Any]:
    actions = copy.deepcopy(actions)  # the environment's own draws stay as they are
    actions.seed(seed)
    return lambda observation: actions.sample()


def picture(moment: Moment, view: str = "colour", label: bool = False) -> np.ndarray:
    """Draw a moment.

    Args:
        moment: what to draw.
        view: "colour", the game's screen; "network", what the network was given, each of its
            pixels a block; "both", side by side.
        label: write the frame's number and the action above it.
    Returns:
        `(H, W, 3)` uint8. The colour view without a label is the screen as it is, the others are
        enlarged by whole numbers, to 420 rows if they can be.
    Raises:
        ValueError: for an unknown view, or where the network's frame is missing.
    """
    if view not in VIEWS:
        raise ValueError(f"unknown view {view!r}; choose from {', '.join(VIEWS)}")
    if view != "colour" and moment.seen is None:
        raise ValueError(f"what the player gets is no picture, so there is no view {view!r}")
    if view == "colour":
        drawn = _enlarged(moment.screen) if label else _rgb(moment.screen)
    elif view == "network":
        drawn = _enlarged(moment.seen)
    else:
        drawn = _side_by_side(_enlarged(moment.screen), _enlarged(moment.seen))
    return annotate(drawn, f"frame {moment.frame:,}  {moment.action}") if label else drawn


def _rgb(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


def _enlarged(image: np.ndarray) -> np.ndarray:
    """Each pixel as a block, as large as fits into a square of `_ROWS`."""
    factor = max(1, _ROWS // max(image.shape[:2]))
    return _rgb(image).repeat(factor, axis=0).repeat(factor, axis=1)


def _side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures on black, at the same height in the middle."""
    height, width = max(len(left), len(right)), left.shape[1] + _GAP + right.shape[1]
    canvas = np.zeros((height, width, 3), np.uint8)
    for image, column in ((left, 0), (right, left.shape[1] + _GAP)):
        top = (height - len(image)) // 2
        canvas[top : top + len(image), column : column + image.shape[1]] = image
    return canvas
