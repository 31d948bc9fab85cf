"""What the check of the interaction loop plays and reads; the mistakes: `play_random_game`."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Iterator
from dataclasses import dataclass

import gymnasium
import numpy as np

from dqn_ref.course.catalogue.judging import Fact, Trace, words


class ScriptedGame(gymnasium.Env):
    """A game that pays the rewards of a list whatever is done, and writes down what is done.

    After its end it goes on paying, 64 points a step, for those who do not stop, and releases
    them at step number `last`.
    """

    observation_space = gymnasium.spaces.Discrete(1)

    def __init__(self, rewards=(), end: str = "never", actions: int = 4, last: int = 200):
        self.rewards, self.end, self.last = rewards, end, last
        self.action_space = gymnasium.spaces.Discrete(actions)
        self.seeds: list[int | None] = []
        self.played: list[int] = []  # since the last reset
        self._running = False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.played, self._running = [], True
        return 0, {}

    def step(self, action):
        if not self._running:
            text = "Cannot call env.step() before calling env.reset()"
            raise gymnasium.error.ResetNeeded(text)
        if not self.action_space.contains(action):
            raise ValueError(f"action {action!r} is not one of 0 to {self.action_space.n - 1}")
        number = len(self.played)
        self.played.append(int(action))
        reward = self.rewards[number] if number < len(self.rewards) else 64.0
        over = number + 1 == len(self.rewards)
        released = number + 1 == self.last
        terminated = (over and self.end == "terminated") or released
        truncated = (over and self.end == "truncated") or released
        return 0, reward, terminated, truncated, {}


@dataclass(frozen=True)
class Game:
    """One scripted game: what is returned, and how the environment was treated."""

    rewards: tuple[float, ...]
    end: str
    max_steps: int | None = None

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        last = 10_100 if self.end == "never" else 200
        env = ScriptedGame(self.rewards, self.end, last=last)
        limit = () if self.max_steps is None else (self.max_steps,)
        result = piece(env, np.random.default_rng(1), *limit)
        yield Fact("the number of calls of `env.reset`", len(env.seeds), hint=2)
        yield Fact("the number of steps played", len(env.played), hint=1)
        score, steps = yield from _pair(result)
        yield Fact("the returned score", score, hint=1)
        yield Fact("the returned number of steps", steps, hint=1)


def _pair(result) -> Iterator[Fact]:
    """One fact, about the type; generator's value: score and steps, as they can be compared."""
    what = "the result"
    if not isinstance(result, tuple) or len(result) != 2:
        kind = "None (is a `return` missing?)" if result is None else ""
        kind = kind or f"of type {type(result).__name__}"
        kind += f" with {len(result)} values" if isinstance(result, tuple) else ""
        yield Fact(what, kind, f"{what} is {kind}, expected a tuple of two, score and steps", 1)
        return "none", "none"
    for name, value, right, kind in (
        ("score", result[0], numbers.Real, "a number"),
        ("number of steps", result[1], numbers.Integral, "an integer"),
    ):
        if not isinstance(value, right) or isinstance(value, (bool, np.bool_)):
            got = f"{words(value)}, a {type(value).__name__}"
            yield Fact(what, (name, got), f"the returned {name} is {got}, expected {kind}", 1)
            break
    else:
        yield Fact(what, "two numbers")
    return tuple(v if isinstance(v, numbers.Real) else type(v).__name__ for v in result)


_STEPS = 400  # of each game in which draws are counted


@dataclass(frozen=True)
class Draws:
    """Long games of so many actions: where seeds and actions come from, and how they spread."""

    actions: int
    last: int = _STEPS + 99  # step that ends a game; most are left at step `_STEPS`

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        env, rng = ScriptedGame(actions=self.actions, last=self.last), np.random.default_rng(2)
        games = [_draws(piece, env, rng) for _ in range(3)]
        fresh = ScriptedGame(actions=self.actions, last=self.last)
        again = _draws(piece, fresh, np.random.default_rng(2))
        seeds = tuple(seed for seed, _ in games)
        yield Fact(
            "seeds", seeds if None in seeds else "given",
            "`env.reset` is called without a seed, so no game can be played again", 2,
        )  # fmt: skip
        yield Fact(
            "repetition", again == games[0],
            "two calls with equally seeded generators play different games: something other than "
            "`rng` decides what is played", 2,
        )  # fmt: skip
        yield Fact(
            "different seeds", seeds if len(set(seeds)) < len(seeds) else "yes",
            f"three games in a row begin with the seeds {', '.join(map(str, seeds))}, though the "
            "`rng` that is handed in goes on from game to game", 2,
        )  # fmt: skip
        played = [actions for _, actions in games]
        never = [a for a in range(self.actions) if a not in itertools.chain(*played)]
        listed = " and ".join(map(str, never))
        yield Fact(
            "actions never drawn", listed,
            f"action{'s' * (len(never) > 1)} {listed} never came in {3 * _STEPS:,} steps", 2,
        )  # fmt: skip
        # Where draws are not even, all of them are the fact: a name needs the very same ones.
        yield Fact("evenness", "even" if _even(played, self.actions) else str(played),
                   _unevenness(played, self.actions), 2)  # fmt: skip
        stated = _as_the_stub_says(self.actions, np.random.default_rng(2), games)
        yield Fact("draws", "as stated" if games == stated else str(games),
                   _other_draw(games, stated), 2)  # fmt: skip


def _as_the_stub_says(actions: int, rng, games):
    """What seeds and actions become if `rng` draws the seed first and then each action."""
    return [
        (int(rng.integers(2**31)), tuple(int(rng.integers(actions)) for _ in played))
        for _, played in games
    ]


def _other_draw(games, stated) -> str:
    """The first number that another draw made."""
    for number, ((seed, played), (right_seed, right)) in enumerate(
        zip(games, stated, strict=True), start=1
    ):
        if seed != right_seed:
            what, got, expected = "the seed", seed, right_seed
        elif played != right:
            step = next(
                i for i, pair in enumerate(zip(played, right, strict=True)) if len(set(pair)) > 1
            )
            what, got, expected = f"the action of step {step + 1}", played[step], right[step]
        else:
            continue
        return (
            f"{what} in game {number} is {got}, and {expected} if `rng` draws `integers(2**31)` "
            "once for the seed, then `integers(env.action_space.n)` before each step, and no more"
        )
    return ""


def _draws(piece, env: ScriptedGame, rng) -> tuple[int | None, tuple[int, ...]]:
    """Seed and actions of one game."""
    piece(env, rng, _STEPS)
    return env.seeds[-1] if env.seeds else None, tuple(env.played[:_STEPS])


def _even(games, actions: int) -> bool:
    """Whether actions, and pairs of neighbours, are as frequent as even draws make them.

    By chi-squared, with a limit that even draws exceed less than once in a million times.
    """
    singles, pairs = np.zeros(actions), np.zeros((actions, actions))
    for played in games:
        np.add.at(singles, list(played), 1)
        np.add.at(pairs, (list(played[:-1]), list(played[1:])), 1)
    return all(_deviations(counts.ravel()) < 5.2 for counts in (singles, pairs))


def _deviations(counts: np.ndarray) -> float:
    """Chi-squared as standard deviations of a normal number (Wilson and Hilferty 1931)."""
    if not counts.sum():
        return np.inf
    expected, free = counts.mean(), counts.size - 1
    ratio = ((counts - expected) ** 2 / expected).sum() / free
    return (np.cbrt(ratio) - 1 + 2 / (9 * free)) / np.sqrt(2 / (9 * free))


def _unevenness(games, actions: int) -> str:
    counts = np.bincount(list(itertools.chain(*games)), minlength=actions)
    first = ", ".join(str(action) for action in games[0][:8])
    shares = ", ".join(map(str, counts))
    return (
        f"actions are not drawn evenly and independently: of 0 to {actions - 1} there came "
        f"{shares}, and a game begins {first}"
    )
