"""What the check of the repeating wrapper plays and reads; the mistakes: `repeat_max`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dqn_ref.course.catalogue.judging import Difference, Fact, Trace, words
from dqn_ref.course.catalogue.wrapper_games import (
    ATARI,
    STARTED,
    TAKEN,
    NumberedGame,
    Script,
    answer,
    flag,
    flags_fact,
    info_fact,
    listed,
    played,
    reward_fact,
    treatment,
    wrapped,
)


@dataclass(frozen=True)
class Picture(Fact):
    """What a decision shows: `value` is the array, or "right"; `name` is what it is in words."""

    name: str = ""
    expected: str = ""

    def difference(self, expected: Fact) -> Difference:
        return Difference(f"{self.what} is {self.name}, expected {self.expected}", self.hint)


@dataclass(frozen=True)
class Decisions:
    """Games of one environment, each played with a list of actions."""

    scripts: tuple[Script, ...]
    actions: tuple[tuple[int, ...], ...]  # of each game, as far as it goes
    repeat: int | None = None  # None: left out
    shape: tuple[int, ...] = ATARI
    one_array: bool = False

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        game = NumberedGame(*self.scripts, shape=self.shape, one_array=self.one_array)
        wrapper = piece(game) if self.repeat is None else piece(game, self.repeat)
        yield from wrapped(wrapper, game)
        handed_out: list[tuple[str, Any, Any]] = []
        decision = itertools.count(1)
        for number, actions in enumerate(self.actions):
            if not (yield from self._start(game, wrapper, number, handed_out)):
                return
            for action in actions:
                name = f"decision {next(decision)}"
                if not (yield from self._decide(game, wrapper, action, name, handed_out)):
                    return
                if game.ended:
                    break
        changed = [name for name, now, then in handed_out if not np.array_equal(now, then)]
        tell = (
            f"{listed(changed[:1])} changes when a later one is made: hand out a new array each "
            "time"
        )
        yield Fact("pictures handed out", tuple(changed), tell, 2)

    def _start(self, game, wrapper, number: int, handed_out) -> Iterator[Fact]:
        """Facts about a reset; generator's value: whether the game can be played."""
        before = len(game.calls)
        seed, options = (None, None) if number else (11, {"mode": 1})
        result = wrapper.reset() if number else wrapper.reset(seed=seed, options=options)
        name = f"reset {number + 1}"
        calls = game.calls[before:]
        tell = f"{name} of the wrapper plays {played(calls)}, expected one reset of the environment"
        yield Fact(f"calls of {name}", calls, tell, 1)
        yield from treatment(game, seed, options, 1)
        if not (yield from answer(result, STARTED, "reset", 1)):
            return False
        yield self._picture(game, result[0], f"the observation of {name}", 1)
        yield info_fact(name, game, result[1], 4)
        self._keep(f"the observation of {name}", result[0], handed_out)
        return True

    def _decide(self, game, wrapper, action: int, name: str, handed_out) -> Iterator[Fact]:
        """Facts about a step; generator's value: whether it can be read."""
        start, first, script = len(game.calls), game.frame + 1, game.script
        result = wrapper.step(action)
        calls = game.calls[start:]
        yield self._calls(script, first, name, calls, action)
        if not (yield from answer(result, TAKEN, "step", 1)):
            return False
        last = game.frame
        paid = [words(game.script.rewards.get(n, 0.0)) for n in range(first, last + 1)]
        why = f" (frames {first} to {last} pay {listed(paid)})" if first < last else ""
        total = sum(game.script.rewards.get(n, 0.0) for n in range(first, last + 1))
        yield reward_fact(name, result[1], total, why, 1)
        yield self._picture(game, result[0], f"the picture of {name}", len(calls))
        yield flags_fact(name, game, result, 3)
        yield info_fact(name, game, result[4], 4)
        yield self._life_lost(game, result[4], name, first)
        self._keep(f"the picture of {name}", result[0], handed_out)
        return True

    def _keep(self, what: str, shown, handed_out) -> None:
        """Remember what a picture is now; one that is the environment's own may change."""
        if isinstance(shown, np.ndarray) and not self.one_array:
            handed_out.append((what, shown, shown.copy()))

    def _picture(self, game, shown, what: str, count: int) -> Fact:
        """Where a game ends inside a repetition, any picture is right.

        Of a single frame, it may be the frame alone or its maximum with the one before.
        """
        expected = game.picture(game.frame)
        allowed, text, inside = [expected], f"frame {game.frame}", False
        if game.frame:
            allowed.append(np.maximum(game.picture(game.frame - 1), expected))
            text += f", alone or in the maximum with frame {game.frame - 1}"
            inside = game.ended and count < self._repeat
        if game.frame and count > 1:
            del allowed[0]
            text = f"the maximum of frames {game.frame - 1} and {game.frame}"
        fits = isinstance(shown, np.ndarray) and shown.shape == self.shape
        fits = fits and shown.dtype == np.uint8
        if fits and (inside or any(np.array_equal(shown, right) for right in allowed)):
            return Picture(what, "right", hint=1)
        name = game.name_of(shown)
        if not fits:
            text = f"{' × '.join(map(str, self.shape))} uint8"
        blamed = 3 if self._repeat == 1 else 1
        if not fits or (self.one_array and name == f"frame {game.frame}"):
            blamed = 2
        return Picture(what, shown if fits else name, "", blamed, name, text)

    @property
    def _repeat(self) -> int:
        return 4 if self.repeat is None else self.repeat

    def _calls(self, script: Script, first: int, name: str, calls: list, action: int) -> Fact:
        ends = [n for n in range(first, first + self._repeat) if script.ends_at(n)]
        right = ends[0] - first + 1 if ends else self._repeat
        rest = f", at which the game {'is over' if script.over else 'is cut off'}" if ends else ""
        frames = "frame" if right == 1 else "frames"
        tell = f"{name} plays {played(calls)}, expected action {action} for {right} {frames}{rest}"
        return Fact(f"calls of {name}", calls, tell, 3 if ends else 1)

    def _life_lost(self, game, info: dict, name: str, first: int) -> Fact:
        got = flag(info.get("life_lost", False))
        lost = [n for n in game.script.lost or () if first <= n <= game.frame]
        expected = bool(lost) and not game.ended
        story = f"a life is lost with frame {lost[0]}" if lost else "no life is lost"
        story += f" and frame {game.frame} ends the game" if game.ended else ""
        tell = f'in {name} {story}, and info["life_lost"] is {words(got)}, expected {expected}'
        return Fact(f"life_lost of {name}", got, tell, 4)


_SMALL = (6, 5)

# Enough actions for who plays a frame a decision: an end that is never reached hides mistakes.
_LONG = (3, 2, 1, 1, 2, 3, 1, 3, 2, 1, 3, 2)

GAMES = Decisions(
    (
        Script(over=9, rewards={1: 1, 2: 0.5, 4: 4, 5: -8, 6: 3, 9: 6}, lives={0: 5, 6: 4}),
        Script(cut=6, rewards={4: 7, 6: 2}, lives={0: 3, 2: 2}),
        Script(over=8, rewards={3: 7, 8: 4}, lives={0: 2, 8: 0}),
        Script(rewards={2: 1, 3: 1, 7: 4}, lives={0: 4, 3: 3}),
    ),
    (_LONG, _LONG, _LONG, (1, 2, 0)),
)
LIVES = Decisions(
    (
        Script(lives={0: 5, 2: 4, 12: 3, 13: 2}, lost=(2, 12, 13)),
        Script(over=11, lives={0: 4, 5: 3, 9: 2, 10: 1, 11: 0}, lost=(5, 9, 10)),
        Script(cut=7, lives={0: 3, 6: 2}, lost=(6,)),
        Script(over=8, lives={0: 3, 7: 1, 8: 0}, lost=(7,)),
        Script(cut=4, lives={0: 3, 1: 2, 3: 1}, lost=(1, 3)),
    ),
    ((1, 2, 3, 0, 1), *4 * (_LONG,)),
    shape=_SMALL,
)
ONE_ARRAY = Decisions((Script(over=9), Script()), (_LONG, (2, 0)), shape=(6, 5, 3), one_array=True)
THREE = Decisions((Script(over=11), Script(cut=6)), (_LONG, _LONG), 3, _SMALL)
TWO = Decisions((Script(rewards={1: 2, 2: 1, 5: 1}),), ((1, 2, 3, 0),), 2, _SMALL)
ONE = Decisions((Script(over=3, rewards={2: 4}), Script()), (_LONG, (2, 0)), 1, _SMALL)
