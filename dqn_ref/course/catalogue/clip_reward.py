"""The clipped reward of chapter 03: its scenes, known mistakes, and functions of other make.

Contract: `dqn_ref.pieces.CONTRACTS["clip_reward"]`. In words: rewards above `limit` become `limit`,
those below `-limit` become `-limit`, all others stay what they are; float32 comes and goes, `limit`
may be infinite. The result is a new array and the argument is not changed: the caller adds it up as
the score.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import (
    Entry,
    Fact,
    Probe,
    RightVersion,
    Trace,
    WrongVersions,
    words,
)
from dqn_ref.training import clip_reward

HINTS = {
    1: "above limit becomes limit, below -limit becomes -limit, the rest stays what it is",
    2: "np.clip(rewards, -limit, limit).astype(np.float32); a new array",
}


@dataclass(frozen=True)
class Rewards:
    """One call with some rewards."""

    rewards: tuple[float, ...]
    limit: float | None = None  # None: left out

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        rewards = np.array(self.rewards, np.float32)
        result = piece(rewards) if self.limit is None else piece(rewards, self.limit)
        form = _form(result)
        expected = f"{(len(self.rewards),)} float32"
        yield Fact("the form", form, f"the result is {form}, expected an array {expected}", 2)
        changed = np.flatnonzero(rewards != np.array(self.rewards, np.float32)).tolist()
        tell = ""
        if changed:
            place = changed[0]
            tell = (
                f"the argument is changed: {words(self.rewards[place])} has become "
                f"{words(rewards[place])} in it, and the score is lost"
            )
        yield Fact("the argument", tuple(words(rewards[place]) for place in changed), tell, 2)
        if form == expected:
            yield self._values(result)
            shared = np.shares_memory(result, rewards)
            tell = "the result is the argument itself, or a view of it; expected a new array"
            yield Fact("a new array", not shared, tell, 2)

    def _values(self, result: np.ndarray) -> Fact:
        limit = 1.0 if self.limit is None else self.limit
        right = [max(-limit, min(limit, reward)) for reward in self.rewards]
        wrong = np.flatnonzero(~np.isclose(result, right, rtol=1e-6, atol=0)).tolist()
        tell = ""
        if wrong:
            place = wrong[0]
            tell = (
                f"a reward of {words(self.rewards[place])} becomes {words(result[place])}, "
                f"expected {words(right[place])}"
            )
        # What is right within the accuracy of float32 counts as one answer.
        return Fact("the rewards", tuple((n, f"{result[n]:.5g}") for n in wrong), tell, 1)


def _form(result: Any) -> str:
    if result is None:
        return "None (is a `return` missing?)"
    if not isinstance(result, np.ndarray):
        return f"of type {type(result).__name__}"
    return f"{result.shape} {result.dtype}"


_SCENES = {
    "a step of six games with limit left out": Rewards((0.0, 1.0, 4.0, -1.0, -7.0, 7.0)),
    "a step with small rewards": Rewards((0.5, -0.25, 0.0, 1.5, -0.75, 0.1)),
    "a step with limit=5": Rewards((7.0, 3.0, -12.0, 0.5, -4.0, 5.0, 1.0), 5.0),
    "a step with limit=0.5": Rewards((1.0, -0.25, -1.0, 0.5, 0.0), 0.5),
    "a step with an infinite limit": Rewards((400.0, -0.5, 0.0, -21.0), float("inf")),
    "a step of one game": Rewards((4.0,)),
    "a step without points": Rewards((0.0, 0.0, 0.0)),
}
SCENES = tuple(Probe(scene, rewards.observe) for scene, rewards in _SCENES.items())


# --- wrong versions -------------------------------------------------------------------------------

wrong = WrongVersions()


@wrong(
    "sign",
    1,
    "Your function equals one that takes the sign of the rewards: half a point becomes a whole "
    "one, and `limit` does nothing. Clipping leaves what lies within the limits as it is.",
)
def _sign(rewards, limit=1.0):
    return np.sign(rewards)


@wrong(
    "sign times the limit",
    1,
    "Your function equals one that makes every reward as large as the limit. Clipping leaves what "
    "lies within the limits as it is: half a point stays half a point.",
)
def _sign_times_limit(rewards, limit=1.0):
    return (np.sign(rewards) * min(limit, 3e38)).astype(np.float32)


@wrong(
    "upper end only",
    1,
    "Your function equals one that clips above and not below. In games that take points away, a "
    "large loss would outweigh all that is won.",
)
def _upper_only(rewards, limit=1.0):
    return np.minimum(rewards, np.float32(limit))


@wrong(
    "lower end only",
    1,
    "Your function equals one that clips below and not above: large rewards stay large.",
)
def _lower_only(rewards, limit=1.0):
    return np.maximum(rewards, np.float32(-limit))


@wrong(
    "nothing below zero",
    1,
    "Your function equals one that clips to 0 … limit. Lost points are gone, and the agent would "
    "never learn to avoid them.",
)
def _nothing_below_zero(rewards, limit=1.0):
    return np.clip(rewards, 0, limit).astype(np.float32)


@wrong(
    "divided by the limit",
    1,
    "Your function equals one that clips and then divides by `limit`. Rewards within the limits "
    "stay what they are.",
)
def _divided(rewards, limit=1.0):
    return (np.clip(rewards, -limit, limit) / limit).astype(np.float32)


@wrong(
    "scaled by the largest",
    1,
    "Your function equals one that divides all rewards by the largest of them. A brick would be "
    "worth less because another game has won more in the same step.",
)
def _scaled(rewards, limit=1.0):
    largest = np.abs(rewards).max()
    if largest <= limit:
        return rewards.copy()
    return (rewards * (limit / largest)).astype(np.float32)


@wrong(
    "large ones dropped",
    1,
    "Your function equals one that makes rewards beyond the limit 0. The dearest bricks would be "
    "worth nothing; they should be worth `limit`.",
)
def _dropped(rewards, limit=1.0):
    return np.where(np.abs(rewards) > limit, 0, rewards).astype(np.float32)


@wrong(
    "in place",
    2,
    "Your function equals one that writes the clipped rewards into its argument. The caller adds "
    "those up as the score, which must stay in the game's own points.",
)
def _in_place(rewards, limit=1.0):
    return np.clip(rewards, -limit, limit, out=rewards)


@wrong(
    "the argument itself at infinity",
    2,
    "Your function equals one that hands back its argument where the limit is infinite. Whoever "
    "changes the learner's rewards then changes the score: return a copy.",
)
def _itself_at_infinity(rewards, limit=1.0):
    return rewards if np.isinf(limit) else np.clip(rewards, -limit, limit).astype(np.float32)


@wrong(
    "the argument itself if nothing is clipped",
    2,
    "Your function equals one that hands back its argument where no reward lies beyond the limit. "
    "Whoever changes the learner's rewards then changes the score: return a copy.",
)
def _itself_if_within(rewards, limit=1.0):
    if (np.abs(rewards) <= limit).all():
        return rewards
    return np.clip(rewards, -limit, limit).astype(np.float32)


@wrong(
    "limit ignored",
    1,
    "Your function equals one that clips to -1 … 1 whatever `limit` says. Some recipes clip "
    "elsewhere, and with an infinite limit nothing is clipped.",
)
def _limit_ignored(rewards, limit=1.0):
    return np.clip(rewards, -1, 1).astype(np.float32)


@wrong(
    "limit ignored, in place",
    2,
    "Your function equals one that writes into its argument, and clips to -1 … 1 whatever `limit` "
    "says. The caller adds the argument up as the score.",
)
def _limit_ignored_in_place(rewards, limit=1.0):
    return np.clip(rewards, -1, 1, out=rewards)


@wrong(
    "not clipped",
    1,
    "Your function equals one that returns the rewards as they are. A game that pays hundreds of "
    "points would make targets, and steps of the network, a hundred times as large.",
)
def _not_clipped(rewards, limit=1.0):
    return rewards.copy()


@wrong(
    "whole numbers",
    2,
    "Your function equals one that makes rewards whole numbers on the way: half a point becomes "
    "none.",
)
def _whole_numbers(rewards, limit=1.0):
    return np.trunc(np.clip(rewards, -limit, limit))


@wrong(
    "sizes only",
    1,
    "Your function equals one that clips the size of a reward and loses its sign: a lost point "
    "would count as a won one.",
)
def _sizes(rewards, limit=1.0):
    return np.minimum(np.abs(rewards), np.float32(limit))


# --- right versions -------------------------------------------------------------------------------


def _one_by_one(rewards, limit=1.0):
    clipped = []
    for reward in rewards:
        if reward > limit:
            reward = limit
        elif reward < -limit:
            reward = -limit
        clipped.append(reward)
    return np.array(clipped, dtype=np.float32)


def _with_masks(rewards, limit=1.0):
    result = rewards.copy()
    result[result > limit] = limit
    result[result < -limit] = -limit
    return result


def _with_torch(rewards, limit=1.0):
    return torch.as_tensor(rewards).clamp(-limit, limit).numpy()


def _by_size(rewards, limit=1.0):
    return np.sign(rewards) * np.minimum(np.abs(rewards), np.float32(limit))


def _in_float64(rewards, limit=1.0):
    return np.maximum(np.minimum(rewards.astype(float), limit), -limit).astype("float32")


RIGHT = (
    RightVersion("one reward after the other", _one_by_one),
    RightVersion("masks on a copy", _with_masks),
    RightVersion("torch", _with_torch),
    RightVersion("the sign times the clipped size", _by_size),
    RightVersion("in float64 on the way", _in_float64),
)


def _workload(piece):
    rewards = np.random.default_rng(1).normal(size=8).astype(np.float32)

    def work() -> None:
        for _ in range(100):
            piece(rewards, 1.0)

    return work


ENTRY = Entry(
    name="clip_reward",
    probes=SCENES,
    wrong=wrong,
    right=RIGHT,
    hints=HINTS,
    model=clip_reward,
    reference=clip_reward,
    workload=_workload,
)
