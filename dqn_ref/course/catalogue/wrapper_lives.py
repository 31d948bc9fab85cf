"""What the check of the life-loss wrapper plays and reads; the mistakes: `life_loss`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dqn_ref.course.catalogue.judging import Fact, Trace, words
from dqn_ref.course.catalogue.wrapper_games import (
    STARTED,
    TAKEN,
    NumberedGame,
    Script,
    answer,
    flag,
    flags_fact,
    info_fact,
    played,
    reward_fact,
    treatment,
    wrapped,
)


@dataclass(frozen=True)
class Games:
    """Scripted games of one environment, each played for so many frames or to its end."""

    scripts: tuple[Script, ...]
    frames: tuple[int, ...]

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        game = NumberedGame(*self.scripts)
        wrapper = piece(game)
        yield from wrapped(wrapper, game)
        for number, frames in enumerate(self.frames):
            if not (yield from self._start(game, wrapper, number)):
                return
            for frame in range(1, frames + 1):
                if not (yield from self._step(game, wrapper, frame)):
                    return
                if game.ended:
                    break

    def _start(self, game, wrapper, number: int) -> Iterator[Fact]:
        """Facts about a reset; generator's value: whether the game can be played."""
        name, start = f"reset {number + 1}", len(game.calls)
        seed, options = (None, None) if number else (11, {"mode": 1})
        result = wrapper.reset() if number else wrapper.reset(seed=seed, options=options)
        calls = game.calls[start:]
        tell = f"{name} of the wrapper plays {played(calls)}, expected one reset of the environment"
        yield Fact(f"calls of {name}", calls, tell, 1)
        yield from treatment(game, seed, options, 2)
        if not (yield from answer(result, STARTED, "reset", 2)):
            return False
        yield _picture(game, result[0], name)
        yield info_fact(name, game, result[1], 2)
        yield _life_lost(game, result[1], "", 2)
        return True

    def _step(self, game, wrapper, frame: int) -> Iterator[Fact]:
        """Facts about a step; generator's value: whether it can be read."""
        name, start = f"frame {frame} of game {game.number + 1}", len(game.calls)
        script, before, action = game.script, game.lives, frame % 4
        result = wrapper.step(action)
        calls = game.calls[start:]
        tell = f"at {name}, `step({action})` plays {played(calls)}, expected action {action} once"
        if "reset" in calls:
            tell = f"at {name}, `step` resets the game; the next life is part of the same game"
        yield Fact(f"calls of {name}", calls, tell, 1)
        if not (yield from answer(result, TAKEN, "step", 1)):
            return False
        yield _picture(game, result[0], name)
        yield reward_fact(name, result[1], script.rewards.get(frame, 0.0), "", 1)
        yield flags_fact(name, game, result, 1, _story(game, before))
        yield info_fact(name, game, result[4], 2)
        yield _life_lost(game, result[4], _story(game, before), 3)
        return True


def _picture(game: NumberedGame, shown, name: str) -> Fact:
    right = isinstance(shown, np.ndarray) and np.array_equal(shown, game.picture(game.frame))
    value = "right" if right else game.name_of(shown)
    tell = f"the observation of {name} is {value}, expected frame {game.frame} as it is"
    return Fact(f"observation of {name}", value, tell, 1)


def _story(game: NumberedGame, before: int) -> str:
    """What happened with a frame, in words."""
    lives = game.lives
    if game.script.lives is None:
        story = "the game tells no lives"
    elif lives < before:
        story = f"lives fall from {before} to {lives}"
    elif lives > before:
        story = f"lives rise from {before} to {lives}"
    else:
        story = f"lives stay at {lives}"
    if game.ended:
        story += " and the game is " + ("over" if game.script.over else "cut off")
    elif lives != before:
        story += " and the game goes on"
    return f"at frame {game.frame} of game {game.number + 1} {story}, and "


def _life_lost(game: NumberedGame, info: dict, story: str, hint: int) -> Fact:
    expected = bool(story) and "fall" in story and not game.ended
    what = f"life_lost of game {game.number + 1}, frame {game.frame}"
    if "life_lost" not in info:
        where = "that `step` returns" if story else "that `reset` returns"
        tell = f'the info {where} has no entry "life_lost"'
        return Fact(what, "missing", tell, 2)
    got = flag(info["life_lost"])
    if game.ended:  # its flags are what was overlooked
        hint = 1
    if isinstance(got, bool) and not isinstance(info["life_lost"], (bool, np.bool_)):
        got = f"{words(info['life_lost'])}, of type {type(info['life_lost']).__name__}"
    if not isinstance(got, bool):
        hint = 2
    story = story or f"after reset {game.number + 1} "
    tell = f'{story}info["life_lost"] is {words(got)}, expected {expected}'
    return Fact(what, got, tell, hint)


# Games that end come first: one that is left hides the rest from who keeps resets back.
SEVERAL = Games(
    (
        Script(over=7, lives={0: 3, 3: 2, 5: 1, 7: 0}, rewards={2: 7, 3: 1, 7: -2}),
        Script(cut=9, lives={0: 3, 4: 2, 9: 1}),
        Script(cut=5, lives={0: 3, 3: 2}),
        Script(over=8, lives={0: 5, 1: 4, 2: 3, 4: 2, 8: 1}),
        Script(lives={0: 5, 3: 4, 7: 3}, rewards={1: 4, 3: 1}),
        Script(over=6, lives={0: 2, 3: 1, 6: 0}),
    ),
    (7, 9, 5, 8, 10, 6),
)
EXTRA = Games(
    (
        Script(lives={0: 3, 2: 4, 4: 3, 5: 2, 6: 3, 8: 4, 9: 3}),
        Script(lives={0: 6, 1: 5, 2: 6, 3: 7, 5: 8, 6: 7}),
    ),
    (11, 8),
)
NONE_LEFT = Games(
    (Script(over=8, lives={0: 2, 2: 1, 5: 0}), Script(cut=5, lives={0: 1, 3: 0})), (8, 5)
)
WITHOUT = Games((Script(over=4, rewards={2: 1}), Script(cut=3)), (4, 3))
