"""The scripted game that the checks of chapter 03's wrappers play, and how their answers are read.

All that happens in a game stands in its `Script`, whatever is played. Frames have numbers, 0 is the
one of `reset`; each frame has a picture of its own, so that a picture tells which one it is.
"""

from __future__ import annotations

import itertools
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import gymnasium
import numpy as np

from dqn_ref.course.catalogue.judging import Fact, words

ATARI = (210, 160, 3)
_PICTURES, _FRAMES_A_GAME = 40, 13  # different ones in all; how far the next game's first is


@dataclass(frozen=True)
class Script:
    """One game."""

    over: int = 0  # number of the frame that ends it; 0: none does
    cut: int = 0  # of the frame at which it is cut off
    rewards: Mapping[int, float] = field(default_factory=dict)
    lives: Mapping[int, int] | None = None  # frame -> lives from there on; None: tells none
    lost: tuple[int, ...] | None = None  # frames with info["life_lost"]; None: no such key

    def lives_at(self, frame: int) -> int:
        return next(lives for at, lives in sorted(self.lives.items(), reverse=True) if at <= frame)

    def ends_at(self, frame: int) -> bool:
        return frame > 0 and frame in (self.over, self.cut)

    def ended_by(self, frame: int) -> bool:
        return any(0 < end <= frame for end in (self.over, self.cut))


@lru_cache
def pictures(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, size=(_PICTURES, *shape), dtype=np.uint8)


class NumberedGame(gymnasium.Env):
    """Plays its scripts one after the other, and writes down how it is treated.

    After a game's end it goes on paying, 64 points a frame, for those who do not stop.
    """

    action_space = gymnasium.spaces.Discrete(4)

    def __init__(self, *scripts: Script, shape: tuple[int, ...] = (2, 2, 3), one_array=False):
        self.scripts, self.shape, self.one_array = scripts or (Script(),), shape, one_array
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)
        self.calls: list[int | str] = []  # actions, and "reset"
        self.seeds: list[Any] = []
        self.options: list[Any] = []
        self.number = self.frame = -1  # of the game, of its newest frame
        self.before = -1  # number of the newest frame of the game before
        self.played_on = {"terminated": 0, "truncated": 0}  # frames after a game's end
        self._array = np.zeros(shape, np.uint8)
        if self.scripts[0].lives:
            self.ale = types.SimpleNamespace(lives=lambda: self.lives)

    @property
    def script(self) -> Script:
        return self.scripts[self.number % len(self.scripts)]

    def get_action_meanings(self) -> list[str]:
        return ["NOOP", "FIRE", "RIGHT", "LEFT"]

    @property
    def ended(self) -> bool:
        return self.script.ended_by(self.frame)

    @property
    def lives(self) -> int:
        """As the newest frame tells them; 0 in a game that tells none."""
        return self.script.lives_at(self.frame) if self.script.lives else 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.calls.append("reset")
        self.seeds.append(seed)
        self.options.append(options)
        self.number, self.before, self.frame = self.number + 1, self.frame, 0
        return self._shown(), self.info()

    def step(self, action):
        if self.number < 0:
            raise gymnasium.error.ResetNeeded("Cannot call env.step() before calling env.reset()")
        if not self.action_space.contains(action):
            raise ValueError(f"action {action!r} is not one of 0 to {self.action_space.n - 1}")
        self.calls.append(int(action))
        script = self.script
        if self.ended:
            self.played_on["truncated" if script.cut else "terminated"] += 1
        self.frame += 1
        ended = script.ended_by(self.frame)
        reward = script.rewards.get(self.frame, 64.0 if ended else 0.0)
        over = self.frame == script.over or self.frame == 300  # frees whoever would go on for ever
        return self._shown(), reward, over, self.frame == script.cut, self.info()

    def info(self) -> dict[str, Any]:
        """What is told with the newest frame."""
        told: dict[str, Any] = {"frame_number": self.frame}
        if self.script.lives is not None:
            told["lives"] = self.lives
        if self.script.lost is not None:
            told["life_lost"] = self.frame in self.script.lost
        return told

    def picture(self, frame: int, number: int | None = None) -> np.ndarray:
        """Of a frame of the present game, or of game `number`."""
        number = self.number if number is None else number
        return pictures(self.shape)[(number * _FRAMES_A_GAME + frame) % _PICTURES]

    def _shown(self) -> np.ndarray:
        if not self.one_array:
            return self.picture(self.frame).copy()
        self._array[...] = self.picture(self.frame)
        return self._array

    def name_of(self, picture: Any) -> str:
        """What a picture is, in words."""
        if isinstance(picture, (np.generic, int, float)):
            return "a single number"
        if not isinstance(picture, np.ndarray):
            return f"of type {type(picture).__name__}"
        if picture.shape != self.shape or picture.dtype != np.uint8:
            return f"{_by(picture.shape)} {picture.dtype}"
        if not picture.any():
            return "black"
        seen = {f"{n}": self.picture(n) for n in range(max(0, self.frame - 9), self.frame + 1)}
        if self.number > 0:
            seen[f"{self.before} of the game before"] = self.picture(self.before, self.number - 1)
        parts = [name for name, frame in seen.items() if (frame <= picture).all()]
        if parts and (np.max([seen[name] for name in parts], axis=0) == picture).all():
            return f"the maximum of frames {listed(parts)}" if parts[1:] else f"frame {parts[0]}"
        if self.frame:
            mean = np.mean([self.picture(self.frame - back) for back in (0, 1)], axis=0)
            if (abs(mean - picture) <= 1).all():
                return f"the mean of frames {self.frame - 1} and {self.frame}"
        return "a picture that is no frame of this game, and no maximum of its last frames"


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "a single number of type"


def listed(parts) -> str:
    """1, 2 and 3; "" for none."""
    *first, last = map(str, parts or [""])
    return f"{', '.join(first)} and {last}" if first else last


# --- answers --------------------------------------------------------------------------------------


def wrapped(wrapper: Any, game: NumberedGame, hint: int = 1) -> Iterator[Fact]:
    """One fact: whether other wrappers can be put around it."""
    fits = isinstance(wrapper, gymnasium.Env) and wrapper.unwrapped is game
    tell = (
        "it is no `gymnasium.Wrapper` around the environment, and no other wrapper fits around it"
    )
    yield Fact("the wrapper", fits, tell, hint)


def answer(result: Any, names: tuple[str, ...], method: str, hint: int) -> Iterator[Fact]:
    """One fact, about the form; generator's value: whether it can be read."""
    kind = "right"
    if not isinstance(result, tuple) or len(result) != len(names):
        kind = f"of type {type(result).__name__}"
        if result is None:
            kind = "None (is a `return` missing?)"
        elif isinstance(result, tuple):
            kind = f"a tuple of {len(result)}"
    elif not isinstance(result[-1], dict):
        kind = f"a tuple whose info is of type {type(result[-1]).__name__}"
    tell = f"the result of `{method}` is {kind}, expected a tuple of {listed(names)}"
    yield Fact(f"the result of {method}", kind, tell, hint)
    return kind == "right"


STARTED = ("observation", "info")
TAKEN = ("observation", "reward", "terminated", "truncated", "info")


def reward_fact(name: str, reward: Any, expected: float, why: str, hint: int) -> Fact:
    got = number(reward)
    tell = f"{name} has reward {words(got)}, expected {words(expected)}{why}"
    return Fact(f"reward of {name}", got, tell, hint)


def number(value: Any) -> float | str:
    """A number as it can be compared and told."""
    if isinstance(value, (bool, np.bool_)):
        return f"{value}, a bool"
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (int, float, np.integer, np.floating)):
        return float(value)
    return f"of type {type(value).__name__}"


def flag(value: Any) -> bool | str:
    """A flag as it can be compared and told; 0 and 1 count as flags."""
    if isinstance(value, (bool, int, float, np.bool_, np.integer)) and value in (0, 1):
        return bool(value)
    shown = f"{words(number(value))}, " if isinstance(value, (int, float, np.number)) else ""
    return f"{shown}of type {type(value).__name__}"


def flags_fact(name: str, game: NumberedGame, result: tuple, hint: int, story: str = "") -> Fact:
    """Whether `terminated` and `truncated` are those of the game's newest frame."""
    script, frame = game.script, game.frame
    got = tuple(map(flag, result[2:4]))
    right = frame == script.over, frame == script.cut
    what = "ends the game" if right[0] else "cuts the game off" if right[1] else "ends nothing"
    told, expected = (
        f"terminated={words(one)}, truncated={words(other)}" for one, other in (got, right)
    )
    story = story or f"frame {frame} of game {game.number + 1} {what}, and "
    tell = f"{story}`step` returns {told}, expected {expected}"
    return Fact(f"flags of {name}", got, tell, hint)


def info_fact(name: str, game: NumberedGame, info: dict, hint: int) -> Fact:
    """Whether info is that of the newest frame, apart from `life_lost`; more keys do no harm."""
    right = {key: value for key, value in game.info().items() if key != "life_lost"}
    missing = [key for key in right if key not in info]
    other = [key for key in right if key not in missing and _unequal(info[key], right[key])]
    got, tell = tuple((key, number(info.get(key, "none"))) for key in missing + other), ""
    if missing:
        tell = f'after {name}, info has lost its entry "{missing[0]}"'
    elif other:
        key = other[0]
        tell = (
            f'after {name}, info["{key}"] is {words(got[0][1])}, expected {words(right[key])}, '
            f"which the environment told with frame {game.frame}"
        )
    return Fact(f"info of {name}", got, tell, hint)


def _unequal(one: Any, other: int) -> bool:
    return number(one) != other


def treatment(game: NumberedGame, seed, options, hint: int) -> Iterator[Fact]:
    """What the environment's last `reset` was given."""
    for name, got, right in (
        ("seed", game.seeds, seed),
        ("options", game.options, options),
    ):
        value = got[-1] if got else "nothing"
        tell = f"`reset({name}={right})` hands {name}={value} to the environment"
        yield Fact(f"{name} handed on", str(value), tell, hint)


def played(calls: list[int | str]) -> str:
    """Calls of an environment in words: action 2 for 3 frames, then reset."""
    runs = [(call, len(list(run))) for call, run in itertools.groupby(calls)]
    parts = [
        call if isinstance(call, str) else f"action {call} for {n} frame{'s' * (n > 1)}"
        for call, n in runs
    ]
    return ", then ".join(parts) or "nothing"
