"""Environments: several games side by side, through one of two doors.

`AleLanes` is ALE's own vector environment (C++ threads, the fast door). `GymLanes` is any
gymnasium environment, copied (the flexible door: Nature's exact pipeline, the small games,
the two old notebooks, wrappers a learner wrote). Both keep one contract::

    rows = lanes.reset(seed)
    lanes.send(actions)      # int64 (L,); ALE's threads start emulating
    ...                      # the caller learns meanwhile
    rows = lanes.recv()

A *step* is a decision on a row that is not a reset row. After a game's last row, the next row
is a reset row: its action was ignored, and its frame is the first of the next game. A row whose
action the door replaced by a start action (FIRE or no-ops after a life) is a reset row too.

Random starts, action repetition, the maximum over frames, resizing and frame limits live inside
the door. Reward clipping and the meaning of a lost life live in the training loop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import ale_py
import gymnasium
import numpy as np
import torch
from ale_py import roms
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode

from dqn_ref import games
from dqn_ref.frames import preprocess
from dqn_ref.gym_lane import NOOP, GymLane, env_action_names
from dqn_ref.settings import Recipe, RecipeError
from dqn_ref.wrapped_lane import WrappedLane, Wrappers, why_not

gymnasium.register_envs(ale_py)

# Games of this course, by the name a recipe gives them.
SMALL_GAMES = {"chain": games.Chain, "gallery": games.ShootingGallery}


class Rows(NamedTuple):
    """What one decision brought, one row per lane. The caller owns the arrays."""

    frames: np.ndarray  # (L, H, W) uint8
    rewards: np.ndarray  # (L,) float32, raw: the game's own points
    life_lost: np.ndarray  # (L,) bool, a life was lost and the game goes on
    game_over: np.ndarray  # (L,) bool, the game ended
    truncated: np.ndarray  # (L,) bool, the game was cut off by a limit
    reset_row: np.ndarray  # (L,) bool, the action was ignored: neither step nor transition
    emulator_frames: np.ndarray  # (L,) int32, frames of this game so far, start actions included
    lives: np.ndarray  # (L,) int32, left; 0 in games that know none


class Lanes(Protocol):
    """The contract of both doors."""

    lanes: int
    action_names: list[str]

    def reset(self, seed: int) -> Rows: ...
    def send(self, actions: np.ndarray) -> None: ...
    def recv(self) -> Rows: ...
    def close(self) -> None: ...


def gymnasium_id(game: str) -> str:
    """Gymnasium's name of an Atari game: breakout is ALE/Breakout-v5."""
    # `title` also raises the letter after a digit: tic_tac_toe_3d is TicTacToe3D.
    return f"ALE/{game.replace('_', ' ').title().replace(' ', '')}-v5"


def atari_action_names(game: str, full_action_space: bool = False) -> list[str]:
    """Names of a game's actions, in the order of their numbers.

    Args:
        game: ALE's name, such as "breakout" or "space_invaders".
        full_action_space: all 18 instead of those that the game uses.
    Raises:
        RecipeError: if ALE has no such game.
    """
    # ALE lists ROMs for several players that it cannot load: it would end the process.
    if game not in roms.get_all_rom_ids() or gymnasium_id(game) not in gymnasium.registry:
        raise RecipeError(
            f"there is no game {game!r}; ALE's names are lower case with underscores, "
            "for example breakout, pong, space_invaders"
        )
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    emulator = ale_py.ALEInterface()
    emulator.loadROM(roms.get_rom_path(game))
    legal = emulator.getLegalActionSet() if full_action_space else emulator.getMinimalActionSet()
    return [action.name for action in legal]


class AleLanes:
    """ALE's vector environment behind the contract.

    `episodic_life` stays off: it restarts the whole game at each life. Lives are read from
    `info["lives"]`, which falls at each loss; `terminations` then mean game over only.

    Args:
        recipe: its environment fields are honoured; those that ALE cannot do are refused.
        lanes: number of games.
        threads: emulator threads, 0 for ALE's choice.
        max_frames: limit per game in emulator frames after the no-ops; default the recipe's.
    Raises:
        RecipeError: for a setting that only `GymLanes` can honour.
    """

    def __init__(self, recipe: Recipe, lanes: int, threads: int = 0, max_frames: int | None = None):
        refused = {
            "resize": recipe.resize == "area",
            "max_over": recipe.max_over in ("luminance", "none"),
            "life_noops_max": recipe.life_noops_max == 0,
            "repeat_frames_min": recipe.repeat_frames_min == 0,
            "start_random_actions_max": recipe.start_random_actions_max == 0,
            "max_env_steps_per_game": recipe.max_env_steps_per_game == 0,
            "resize_height": recipe.resized_shape == recipe.frame_shape,
            "grey": recipe.grey == "luminance",
        }
        for field, possible in refused.items():
            if not possible:
                raise RecipeError(
                    f"ALE's vector environment cannot do {field}={getattr(recipe, field)!r}; "
                    "set door=gym"
                )
        self.lanes = lanes
        self.action_names = atari_action_names(recipe.game, recipe.full_action_space)
        has_fire = "FIRE" in self.action_names
        self._fire = self.action_names.index("FIRE") if has_fire else NOOP
        self._fire_after_life = recipe.fire_after_life and has_fire
        self._env = AtariVectorEnv(
            recipe.game,
            lanes,
            num_threads=threads,
            max_num_frames_per_episode=max_frames or recipe.max_frames_per_game,
            repeat_action_probability=recipe.sticky_probability,
            full_action_space=recipe.full_action_space,
            autoreset_mode=AutoresetMode.NEXT_STEP,
            img_height=recipe.frame_height,
            img_width=recipe.frame_width,
            stack_num=1,
            frameskip=recipe.repeat_frames * recipe.repeat_actions,
            maxpool=recipe.max_over == "luminance",
            # ALE draws 0 .. noop_max-1, of which FIRE takes one away.
            noop_max=recipe.start_noops_max + 1 + (recipe.fire_at_start and has_fire),
            episodic_life=False,
            life_loss_info=False,
            reward_clipping=False,
            use_fire_reset=recipe.fire_at_start,
        )

    def reset(self, seed: int) -> Rows:
        observations, info = self._env.reset(seed=seed)
        self._lives = info["lives"].copy()  # the rows are the caller's
        self._ended = np.zeros(self.lanes, dtype=bool)
        self._press_fire = np.zeros(self.lanes, dtype=bool)
        no = np.zeros(self.lanes, dtype=bool)
        return Rows(
            observations[:, 0],
            np.zeros(self.lanes, dtype=np.float32),
            no,
            no,
            no,
            np.ones(self.lanes, dtype=bool),
            info["episode_frame_number"],
            info["lives"],
        )

    def send(self, actions: np.ndarray) -> None:
        self._env.send(np.where(self._press_fire, self._fire, actions))

    def recv(self) -> Rows:
        observations, rewards, game_over, truncated, info = self._env.recv()
        first_of_game = self._ended
        self._ended = game_over | truncated
        life_lost = (info["lives"] < self._lives) & ~self._ended & ~first_of_game
        reset_row = first_of_game | self._press_fire
        self._lives = info["lives"].copy()  # the rows are the caller's
        self._press_fire = life_lost & self._fire_after_life
        return Rows(
            observations[:, 0],
            rewards.astype(np.float32),
            life_lost,
            game_over,
            truncated,
            reset_row,
            info["episode_frame_number"],
            info["lives"],
        )

    def close(self) -> None:
        self._env.close()


class GymLanes:
    """Copies of a gymnasium environment behind the contract; steps inside `recv`.

    Args:
        make_env: called once per lane; observations are `(H, W, 3)` or `(H, W)` uint8. One
            `step` of it is one emulator frame: ALE environments need `frameskip=1`.
        recipe: its environment fields are honoured.
        lanes: number of copies.
        max_frames: limit per game in emulator frames after the start actions; default the
            recipe's.
        on_frame: called with every raw frame of lane 0, `(H, W, 3)` uint8, for videos.
        preprocess: the piece that makes two raw frames into one of the network's.
        wrappers: pieces that the games are made of, in place of `GymLane`'s own rules.
    """

    def __init__(
        self,
        make_env: Callable[[], gymnasium.Env],
        recipe: Recipe,
        lanes: int,
        max_frames: int | None = None,
        on_frame: Callable[[np.ndarray], None] | None = None,
        preprocess: Callable[..., np.ndarray] = preprocess,
        wrappers: Wrappers | None = None,
    ):
        self.lanes = lanes
        make = partial(WrappedLane, wrappers=wrappers) if wrappers else GymLane
        limit = max_frames or recipe.max_frames_per_game
        self._games = [
            make(make_env(), recipe, limit, on_frame if lane == 0 else None, preprocess)
            for lane in range(lanes)
        ]
        self._games[0].refuse_impossible_frames()
        self.action_names = env_action_names(self._games[0].env)

    def reset(self, seed: int) -> Rows:
        for lane, game in enumerate(self._games):
            game.start(seed + lane)
        self._start_life = np.zeros(self.lanes, dtype=bool)
        nothing = np.zeros(self.lanes, dtype=bool)
        return self._rows(np.zeros(self.lanes), nothing, np.ones(self.lanes, dtype=bool))

    def send(self, actions: np.ndarray) -> None:
        self._actions = np.array(actions)

    def recv(self) -> Rows:
        points, life_lost = np.zeros(self.lanes), np.zeros(self.lanes, dtype=bool)
        reset_row = np.zeros(self.lanes, dtype=bool)
        for lane, game in enumerate(self._games):
            if game.ended:
                reset_row[lane] = True
                game.start(seed=None)
                continue
            if self._start_life[lane]:
                reset_row[lane] = True
                game.start_life()
            else:
                points[lane] = game.step(int(self._actions[lane]))
            life_lost[lane] = game.life_lost
        starts_life = np.array([game.starts_life for game in self._games])
        self._start_life = life_lost & starts_life
        return self._rows(points, life_lost, reset_row)

    def close(self) -> None:
        for game in self._games:
            game.env.close()

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Everything needed to go on exactly here: named tensors and JSON-able numbers.

        None if an environment cannot be saved, as ALE's cannot: such games start anew.
        """
        states = [game.state() for game in self._games]
        if any(state is None for state in states):
            return None
        names = states[0][0]
        tensors = {
            name: torch.from_numpy(np.stack([arrays[name] for arrays, _ in states]))
            for name in names
        }
        numbers = {
            "games": [numbers for _, numbers in states],
            "start_life": self._start_life.tolist(),
        }
        return tensors, numbers

    def set_state(self, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> None:
        """Go on where `state` was called, with as many lanes of the same game."""
        for lane, (game, saved) in enumerate(zip(self._games, numbers["games"], strict=True)):
            game.set_state({name: t[lane].numpy().copy() for name, t in tensors.items()}, saved)
        self._start_life = np.array(numbers["start_life"])

    def _rows(self, points: np.ndarray, life_lost: np.ndarray, reset_row: np.ndarray) -> Rows:
        return Rows(
            np.stack([game.frame() for game in self._games]),
            points.astype(np.float32),
            life_lost,
            np.array([game.game_over for game in self._games]),
            np.array([game.truncated for game in self._games]),
            reset_row,
            np.array([game.frames for game in self._games], dtype=np.int32),
            np.array([game.lives for game in self._games], dtype=np.int32),
        )


def make_gym_env(recipe: Recipe) -> gymnasium.Env:
    """One environment of the recipe's game that emits every raw frame in colour."""
    if recipe.game in SMALL_GAMES:
        return SMALL_GAMES[recipe.game]()
    atari_action_names(recipe.game)  # refuses unknown names in one sentence
    return gymnasium.make(
        gymnasium_id(recipe.game),
        frameskip=1,
        repeat_action_probability=recipe.sticky_probability,
        full_action_space=recipe.full_action_space,
        max_num_frames_per_episode=0,  # the door keeps the limit itself
    )


def make_lanes(
    recipe: Recipe,
    lanes: int,
    max_frames: int | None = None,
    on_frame: Callable[[np.ndarray], None] | None = None,
    make_env: Callable[[], gymnasium.Env] | None = None,
    preprocess: Callable[..., np.ndarray] = preprocess,
    wrappers: Wrappers | None = None,
) -> Lanes:
    """The door a recipe asks for.

    Args:
        recipe: `door` chooses; the small games have only "gym".
        lanes: number of games.
        max_frames: limit per game instead of the recipe's.
        on_frame: see `GymLanes`; asks for the flexible door.
        make_env: environment of your own instead of the recipe's game.
        preprocess: see `GymLanes`; `AleLanes` preprocesses inside ALE.
        wrappers: see `GymLanes`; used for Atari's games, where the recipe allows (`why_not`).
    Raises:
        RecipeError: for an unknown game or a setting the door cannot honour.
    """
    small_game = recipe.game in SMALL_GAMES
    if recipe.door == "ale" and not (small_game or on_frame or make_env):
        return AleLanes(recipe, lanes, max_frames=max_frames)
    if small_game or make_env or why_not(recipe):
        wrappers = None
    make_env = make_env or (lambda: make_gym_env(recipe))
    return GymLanes(make_env, recipe, lanes, max_frames, on_frame, preprocess, wrappers)
