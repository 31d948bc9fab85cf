"""What the check of random starts plays and reads; the mistakes: `random_start`.

Any generator is right, so single numbers of no-ops say nothing; how they spread over many games
does. A right wrapper is refused less than once in a million checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import gymnasium
import numpy as np

from dqn_ref.course.catalogue.judging import Fact, Trace, words
from dqn_ref.course.catalogue.wrapper_games import (
    STARTED,
    TAKEN,
    NumberedGame,
    Script,
    answer,
    listed,
    played,
    wrapped,
)

_OPTIONS = {"mode": 1}
_SEED = 11


@dataclass
class Seen:
    """What many resets of one environment did, put together."""

    counts: list[int] = field(default_factory=list)  # no-ops since the environment's last reset
    resets: list[list] = field(default_factory=list)  # calls of those with other than one reset
    actions: set[int] = field(default_factory=set)
    pictures: dict[str, str] = field(default_factory=dict)  # what is wrong -> an example
    infos: dict[str, str] = field(default_factory=dict)
    ended: int = 0  # number of the frame that ended a game which was handed out
    steps: list[str] = field(default_factory=list)  # what a step plays, if anything else

    def add(self, game: NumberedGame, calls: list, result: tuple) -> None:
        last = max((n for n, call in enumerate(calls) if call == "reset"), default=-1)
        self.counts.append(len(calls) - last - 1)
        self.actions |= {call for call in calls if call != "reset"}
        if calls.count("reset") != 1 or calls[0] != "reset":
            self.resets.append(calls)
        if game.ended:
            self.ended = game.frame
        if not np.array_equal(result[0], game.picture(game.frame)):
            name = game.name_of(result[0])
            kind = "first" if name == "frame 0" else "other"
            self.pictures[kind] = f"{name}, expected frame {game.frame}"
        told = result[1].get("frame_number")
        if told != game.frame:
            kind = "first" if told == 0 else "other"
            self.infos[kind] = f"{told}, expected {game.frame}"


@dataclass(frozen=True)
class FewGames:
    """A few games that do not end: what is played, and what is returned."""

    games: int
    noops_max: int

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        game = NumberedGame()
        wrapper = piece(game, self.noops_max)
        yield from wrapped(wrapper, game)
        found = yield from _many_resets(game, wrapper, self.games)
        if found is None:
            return
        yield from _seeds(game)
        calls = found.resets[0] if found.resets else []
        tell = f"a reset plays {played(calls)}, expected one reset of the environment, then no-ops"
        yield Fact("resets", bool(found.resets), tell, 2)
        yield _actions(found)
        yield from _handed_out(found)
        tell = f"after a reset, `step(3)` {found.steps[0] if found.steps else ''}"
        yield Fact("a step", tuple(found.steps[:1]), tell, 1)


class QuietGame(gymnasium.Env):
    """Counts frames, and is quick about it."""

    action_space = gymnasium.spaces.Discrete(4)
    observation_space = gymnasium.spaces.Box(0, 255, (2, 2, 3), np.uint8)
    frame = 0
    _answer = np.zeros((2, 2, 3), np.uint8), 0.0, False, False

    def get_action_meanings(self) -> list[str]:
        return ["NOOP", "FIRE", "RIGHT", "LEFT"]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.frame = 0
        return self._answer[0], {}

    def step(self, action):
        self.frame += 1
        return *self._answer, {}


@dataclass(frozen=True)
class OneEnvironment:
    """How numbers of no-ops spread over the games of one environment."""

    games: int
    noops_max: int | None = None  # None: left out, which means 30

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        game, counts = QuietGame(), []
        wrapper = piece(game) if self.noops_max is None else piece(game, self.noops_max)
        for number in range(self.games):
            wrapper.reset(seed=None if number else _SEED)
            counts.append(game.frame)
        who = f"{self.games} games of one environment"
        if self.noops_max is None:
            yield _up_to_thirty(who, counts)
        else:
            yield spread(who, counts, self.noops_max)


@dataclass(frozen=True)
class NewEnvironments:
    """How they spread over the first games of many environments."""

    games: int
    noops_max: int

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        counts = []
        for seed in range(self.games):
            game = QuietGame()
            piece(game, self.noops_max).reset(seed=seed)
            counts.append(game.frame)
        who = f"the first games of {self.games} environments, each with a seed of its own,"
        yield spread(who, counts, self.noops_max)


@dataclass(frozen=True)
class ShortGames:
    """Games that may end within the no-ops."""

    script: Script
    games: int
    noops_max: int

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        game = NumberedGame(self.script)
        wrapper = piece(game, self.noops_max)
        found = yield from _many_resets(game, wrapper, self.games)
        if found is None:
            return
        how, end = ("over", self.script.over) if self.script.over else ("cut off", self.script.cut)
        played_on = sum(game.played_on.values()) > 0
        tell = f"a game that is {how} at frame {end} gets no-ops after its end"
        yield Fact("played on", played_on, tell, 3)
        tell = f"a game that is {how} with no-op number {found.ended} is handed out to be played"
        # Whether one that plays on stops right at an end once is a matter of luck.
        yield Fact("handed out", played_on or found.ended, tell, 3)
        yield _actions(found)
        if not played_on:
            yield from _handed_out(found)


def _many_resets(game, wrapper, games: int) -> Iterator[Fact]:
    """A fact for each form of an answer; generator's value: what was seen, None if unreadable."""
    found = Seen()
    for number in range(games):
        start = len(game.calls)
        if number:
            result = wrapper.reset()
        else:
            result = wrapper.reset(seed=_SEED, options=_OPTIONS)
        facts = answer(result, STARTED, "reset", 1)
        fact = next(facts)
        if number == 0 or fact.value != "right":
            yield fact
        if fact.value != "right":
            return None
        found.add(game, game.calls[start:], result)
        if number == 0 and not game.ended:
            if not (yield from _one_step(game, wrapper, found)):
                return None
    return found


def _one_step(game, wrapper, found: Seen) -> Iterator[Fact]:
    """One fact; generator's value: whether the step can be read."""
    start = len(game.calls)
    result = wrapper.step(3)
    if not (yield from answer(result, TAKEN, "step", 1)):
        return False
    calls = game.calls[start:]
    if calls != [3]:
        found.steps.append(f"plays {played(calls)}, expected action 3 for 1 frame")
    elif not np.array_equal(result[0], game.picture(game.frame)):
        found.steps.append(f"shows {game.name_of(result[0])}, expected frame {game.frame}")
    return True


def _seeds(game: NumberedGame) -> Iterator[Fact]:
    """What the environment was given: first a seed and options, later neither."""
    first, later = game.seeds[0] if game.seeds else "nothing", game.seeds[1:]
    tell = f"`reset(seed={_SEED})` hands seed={first} to the environment"
    yield Fact("seed", first, tell, 2)
    again = bool(later) and all(seed == later[0] is not None for seed in later)
    tell = f"`reset()` without a seed hands seed={later[0] if later else None} to the environment"
    yield Fact("later seeds", again, f"{tell}, so that all games throw the same dice", 2)
    got = str(game.options[0]) if game.options else "nothing"
    tell = f"`reset(options={_OPTIONS})` hands options={got} to the environment"
    yield Fact("options", got, tell, 2)


def _actions(found: Seen) -> Fact:
    """Several other actions count as one answer: which ones come is a matter of luck."""
    others = sorted(found.actions - {0})
    value = "several" if others[1:] else others[0] if others else "no-ops"
    kind = "actions" if others[1:] else "action"
    tell = f"`reset` plays {kind} {listed(others or '0')}, expected action 0, the no-op, alone"
    return Fact("actions", value, tell, 1)


def _handed_out(found: Seen) -> Iterator[Fact]:
    """Whether observation and info are those of the newest frame."""
    text = next(iter(found.pictures.values()), "")
    tell = f"`reset` returns the picture of {text}, the newest one"
    yield Fact("pictures", tuple(sorted(found.pictures)), tell, 1)
    text = next(iter(found.infos.values()), "")
    tell = f'`reset` returns an info with "frame_number" {text}, the newest one'
    yield Fact("infos", tuple(sorted(found.infos)), tell, 1)


# --- how numbers spread ---------------------------------------------------------------------------


def spread(who: str, counts: list[int], most: int) -> Fact:
    """Which numbers of no-ops came, and whether each came as often as the others.

    Where they do not come evenly, all of them are the fact: a name needs the very same ones.
    """
    low, high, what = min(counts), max(counts), "numbers of no-ops"
    wanted = f"expected 0 to {most}, each equally often"
    if low == high:
        kind = {0: "none", most: "most"}.get(low, "one number")
        noops = "no no-op" if low == 0 else f"{low} no-op{'s' * (low > 1)}"
        return Fact(what, f"always {kind}", f"all {who} begin with {noops}, {wanted}", 2)
    times = np.bincount(counts, minlength=most + 1)
    tell = f"{who} begin with {low} to {high} no-ops, {wanted}"
    if high > most:
        return Fact(what, (low, "one more") if high == most + 1 else "many more", tell, 2)
    if even(times[low : high + 1]):
        return Fact(what, f"even from {low} to {high}", tell, 2)
    rarest, commonest = int(times.argmin()), int(times.argmax())
    tell = (
        f"{who} do not begin with 0 to {most} no-ops equally often: {commonest} came "
        f"{words(times[commonest])} times and {rarest} {words(times[rarest])} times"
    )
    return Fact(what, str(times.tolist()), tell, 2)


def _up_to_thirty(who: str, counts: list[int]) -> Fact:
    """Whether a few games look like draws from 0 to 30; a first look at the default."""
    low, high = min(counts), max(counts)
    if low < high and 15 <= high <= 30:
        return Fact("numbers of no-ops", "many, up to about 30")
    return spread(who, counts, 30)


def even(times: np.ndarray) -> bool:
    """Whether counts are what even draws make them, by chi-squared; too even is wrong as well."""
    expected, free = times.mean(), times.size - 1
    ratio = ((times - expected) ** 2 / expected).sum() / free
    # As standard deviations of a normal number (Wilson and Hilferty 1931).
    deviations = (np.cbrt(ratio) - 1 + 2 / (9 * free)) / np.sqrt(2 / (9 * free))
    return bool(abs(deviations) < LIMIT)


LIMIT = 6.0  # even draws exceed it less than once in ten million times
