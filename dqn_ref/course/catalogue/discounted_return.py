"""The return of chapter 01: its scenes, known mistakes, and returns of other make.

Contract: `dqn_ref.pieces.CONTRACTS["discounted_return"]`. In words: the rewards of an episode, in
a list, a tuple or an array of any length, each weighed by the discount to the power of the number
of rewards before it; one number, 0 for no rewards. What was handed in stays as it was.

What may vary: forwards or backwards, loop or array, and so the last digits.
"""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dqn_ref.bellman import discounted_return
from dqn_ref.course.catalogue.judging import Entry, Fact, Probe, RightVersion, Trace, words
from dqn_ref.course.catalogue.return_wrong import wrong

HINTS = {
    1: "the weights are 1, discount, discount ** 2 and so on; backwards: what a game is worth from "
    "some step on is its reward plus the discount times what it is worth from the next step on",
    2: "enumerate counts from 0, discount ** 0 is 1; reversed reads lists, tuples and arrays "
    "backwards and changes none of them; the return belongs behind the loop",
}


# --- scenes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Return(Fact):
    """A number; equal up to the order of operations and float32."""

    def same(self, other: Fact) -> bool:
        if not isinstance(other, Return) or self.what != other.what:
            return False
        if math.isnan(self.value) or math.isnan(other.value):
            return math.isnan(self.value) and math.isnan(other.value)
        return math.isclose(self.value, other.value, rel_tol=1e-4, abs_tol=1e-6)


@dataclass(frozen=True)
class Episode:
    """The rewards of one episode, made anew for each piece."""

    rewards: tuple[float, ...]
    discount: float
    make: type | str = list  # list, tuple, or a dtype of an array

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        given = self._given()
        with warnings.catch_warnings():
            if not self.rewards:  # NumPy's mean of nothing warns of an empty slice
                warnings.simplefilter("ignore", RuntimeWarning)
            result = piece(given, self.discount)
        is_number = isinstance(result, numbers.Real) and not isinstance(result, (bool, np.bool_))
        kind = "a number" if is_number else _kind(result)
        yield Fact("the result", kind, f"the result is {kind}, expected one number", 1)
        if is_number:
            yield Return("the return", float(result), hint=1)
        yield _after_the_call(given, self._given())

    def _given(self):
        if isinstance(self.make, str):
            return np.array(self.rewards, self.make)
        return self.make(self.rewards)


def _kind(result) -> str:
    if result is None:
        return "None (is a `return` missing?)"
    if isinstance(result, np.ndarray):
        return f"an array of shape {result.shape}"
    if isinstance(result, (list, tuple)):
        return f"a {type(result).__name__} of {len(result)} values"
    return f"of type {type(result).__name__}"


def _after_the_call(given, before) -> Fact:
    what = "the rewards after the call"
    if len(given) == len(before) and all(a == b for a, b in zip(given, before, strict=True)):
        return Fact(what, "as before")
    shown = ", ".join(words(reward) for reward in given[:6]) or "none"
    told = "your function changes the rewards that it was handed: afterwards they are"
    return Fact(what, shown, f"{told} {shown}", 2)


def _random(length: int, seed: int, share: float = 1.0) -> tuple[float, ...]:
    """Rewards of both signs; only that share of them is not 0."""
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=length) * (rng.random(length) < share)
    return tuple(float(reward) for reward in drawn)


SCENES = (
    Probe("a game with rewards 0, 0, 1 and discount 0.5", Episode((0, 0, 1), 0.5).observe),
    Probe("a game with rewards 1, 2, 4 and discount 0.5", Episode((1.0, 2.0, 4.0), 0.5).observe),
    Probe(
        "a game with rewards 0, 3, 0, 5, an array of integers, and discount 0.5",
        Episode((0, 3, 0, 5), 0.5, "int64").observe,
    ),
    Probe("a game with the tuple (1.0, -2.0, 4.0) and discount 1",
          Episode((1.0, -2.0, 4.0), 1.0, tuple).observe),
    Probe("a game with rewards 3, 1, 2 and discount 0", Episode((3.0, 1.0, 2.0), 0.0).observe),
    Probe("a game with the one reward 2.5", Episode((2.5,), 0.9).observe),
    Probe("a game without rewards, an empty list", Episode((), 0.9).observe),
    Probe("a game without rewards, an empty array", Episode((), 0.9, "float64").observe),
    Probe("a game of 20 decisions", Episode(_random(20, 1), 0.9).observe),
    Probe("a game of 30 decisions, an array", Episode(_random(30, 2), 0.8, "float64").observe),
    Probe(
        "a game of 3,000 decisions, an array of float32",
        Episode(_random(3_000, 3, 0.05), 0.999, "float32").observe,
    ),
)  # fmt: skip


# --- right versions -------------------------------------------------------------------------------


def _forwards(rewards, discount):
    total, weight = 0, 1
    for reward in rewards:
        total += weight * reward
        weight *= discount
    return total


def _dot_product(rewards, discount):
    rewards = np.asarray(rewards, dtype=np.float64)
    return np.dot(rewards, discount ** np.arange(len(rewards)))


def _polynomial(rewards, discount):
    """A return is a polynomial of the discount (Horner's rule)."""
    return np.polynomial.Polynomial([*rewards, 0.0])(discount)


def _list_of_returns(rewards, discount):
    returns = [0.0]
    for reward in list(rewards)[::-1]:
        returns.append(float(reward) + discount * returns[-1])
    return returns[-1]


def _in_float32(rewards, discount):
    weights = np.float32(discount) ** np.arange(len(rewards), dtype=np.float32)
    return (np.asarray(rewards, np.float32) * weights).sum()


RIGHT = (
    RightVersion("forwards, numbers of any kind", _forwards),
    RightVersion("dot product", _dot_product),
    RightVersion("polynomial", _polynomial),
    RightVersion("the returns of all steps, backwards", _list_of_returns),
    RightVersion("float32 throughout", _in_float32),
)


def _workload(piece):
    rewards = list(_random(5_000, 4, 0.05))
    return lambda: piece(rewards, 0.99)


ENTRY = Entry(
    name="discounted_return",
    probes=SCENES,
    wrong=tuple(wrong),
    right=RIGHT,
    hints=HINTS,
    model=discounted_return,
    reference=discounted_return,
    workload=_workload,
)
