"""Epsilon-greedy of chapter 06: its scenes. Mistakes and choosers of other make: `greedy_makes`.

Contract: `dqn_ref.pieces.CONTRACTS["epsilon_greedy"]`. In words: each environment throws dice of
its own, `rng.random(L)` and then `rng.integers(A, size=L)`, needed or not; it takes the random
action where the first draw is below its epsilon, and the best action elsewhere.

What counts is the stream of numbers, not the calls: `rng.uniform`, `rng.choice` and one call per
number give the same stream. Open is which of two equal best actions is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from dqn_ref.course.catalogue.greedy_makes import RIGHT, WRONG
from dqn_ref.course.catalogue.judging import Difference, Entry, Fact, Probe, Trace
from dqn_ref.exploration import epsilon_greedy

HINTS = {
    1: "each environment throws its own two dice, whether it will need the second or not; then a "
    "choice per environment between the random and the best action",
    2: "rng.random(L), rng.integers(A, size=L), argmax along the axis of actions, and np.where; "
    "nothing is written into the arguments",
    3: "the draws: L numbers for the decisions first, then L random actions, in every call, all of "
    "them from the given rng",
}


class NotedDice(np.random.Generator):
    """A generator that remembers what was asked of it."""

    def __init__(self, seed: int):
        super().__init__(np.random.PCG64(seed))
        self.calls: list[str] = []

    def _note(self, name: str, arguments: tuple, named: dict) -> None:
        words = [*map(_short, arguments), *(f"{k}={_short(v)}" for k, v in named.items())]
        self.calls.append(f"{name}({', '.join(words)})")

    def random(self, *arguments, **named):
        self._note("random", arguments, named)
        return super().random(*arguments, **named)

    def integers(self, *arguments, **named):
        self._note("integers", arguments, named)
        return super().integers(*arguments, **named)

    def asked(self) -> str:
        if len(self.calls) > 4:
            return f"{', '.join(self.calls[:3])} and {len(self.calls) - 3} more calls"
        return ", ".join(self.calls) or "nothing"


def _short(value) -> str:
    return str(value) if np.ndim(value) == 0 else f"an array of {np.size(value)}"


@dataclass(frozen=True)
class Actions(Fact):
    """The actions of one call, with what is needed to say why another one was due."""

    q_values: np.ndarray = field(default=None, repr=False)
    epsilon: np.ndarray = field(default=None, repr=False)  # (L,)
    draws: np.ndarray = field(default=None, repr=False)  # (L,), the first dice of each lane

    def difference(self, expected: Fact) -> Difference:
        lane = int(np.flatnonzero(self.value != expected.value)[0])
        mine, its = int(self.value[lane]), int(expected.value[lane])
        draw, epsilon = self.draws[lane], self.epsilon[lane]
        taken = f"environment {lane} gets action {mine}, expected {its}"
        if not 0 <= mine < self.q_values.shape[1]:
            return Difference(f"{taken}: there is no action {mine}", 2)
        if draw < epsilon:
            reason = (
                f"its draw {draw:.3f} is below epsilon {epsilon:g}, so the random action is due"
            )
            return Difference(f"{taken}: {reason}", 3)
        best = f"so the best action is due, of value {self.q_values[lane, its]:.2f}"
        reason = f"its draw {draw:.3f} is not below epsilon {epsilon:g}"
        return Difference(f"{taken}: {reason}, {best}", 1)


@dataclass(frozen=True)
class Scene:
    """Some calls in a row with one generator: rows of Q-values, and an epsilon for each call."""

    lanes: int
    actions: int
    epsilons: tuple[float | tuple[float, ...], ...]
    seed: int
    dtype: type = np.float32
    ties: bool = False

    def observe(self, piece: Callable, seen: Trace | None) -> Iterator[Fact]:
        rng, values = NotedDice(self.seed), np.random.default_rng([self.seed, 1])
        for epsilon in self.epsilons:
            q_values = values.normal(size=(self.lanes, self.actions)).astype(self.dtype)
            if self.ties:
                q_values = np.round(q_values)
            yield from self._call(piece, q_values, epsilon, rng)

    def _call(self, piece, q_values, epsilon, rng) -> Iterator[Fact]:
        epsilon = np.array(epsilon) if isinstance(epsilon, tuple) else epsilon
        before = np.random.PCG64()
        before.state = rng.bit_generator.state
        draws = np.random.Generator(before).random(self.lanes)
        given, given_epsilon = q_values.copy(), np.copy(epsilon)
        rng.calls.clear()
        chosen = piece(given, given_epsilon if np.ndim(epsilon) else epsilon, rng)
        made_of = _made_of(chosen, self.lanes)
        tell = f"it returns {made_of}, expected an int64 array of shape ({self.lanes},)"
        yield Fact("what is returned", made_of, tell, 2)
        if made_of == "well made":
            if self.ties:
                best = q_values[np.arange(self.lanes), np.clip(chosen, 0, self.actions - 1)]
                tell = "where the best Q-value stands twice, an action with a smaller one is taken"
                yield Fact("best actions", best == q_values.max(axis=1), tell, 1)
            else:
                every = np.broadcast_to(epsilon, self.lanes)
                yield Actions("actions", np.array(chosen), "", None, q_values, every, draws)
        several = len(set(self.epsilons)) > 1  # else the scene's name says it
        where = f" where epsilon is {_words(epsilon)}" if several else ""
        asked = rng.asked() if rng.calls else "nothing (use the rng that you were given)"
        tell = (
            f"one call asked for {asked}{where}, and the "
            f"generator then stands elsewhere than after random({self.lanes}), "
            f"integers({self.actions}, size={self.lanes})"
        )
        yield Fact("the draws", _next_numbers(rng), tell, 3)
        same = np.array_equal(given, q_values) and np.array_equal(given_epsilon, epsilon)
        tell = "the arrays that it was given hold other numbers afterwards; work on a copy"
        yield Fact("its arguments", same, tell, 2)


def _made_of(chosen, lanes: int) -> str:
    if not isinstance(chosen, np.ndarray):
        return f"a value of type {type(chosen).__name__}"
    if chosen.shape != (lanes,):
        return f"an array of shape {chosen.shape}"
    return "well made" if chosen.dtype == np.int64 else f"an array of {chosen.dtype}"


def _next_numbers(rng: np.random.Generator) -> tuple:
    """What a generator will give next; it is not moved."""
    ahead = np.random.PCG64()
    ahead.state = rng.bit_generator.state
    ahead = np.random.Generator(ahead)
    return float(ahead.random()), int(ahead.integers(1000)), int(ahead.integers(1000))


def _words(epsilon) -> str:
    return f"{epsilon:g}" if np.ndim(epsilon) == 0 else "given for each environment"


SCENES = (
    Probe("four environments and epsilon 0", Scene(4, 3, (0.0, 0.0), seed=3).observe),
    Probe("six environments and epsilon 1", Scene(6, 4, (1.0, 1.0), seed=4).observe),
    Probe("eight environments and epsilon 0.5", Scene(8, 4, (0.5, 0.5), seed=5).observe),
    Probe("one environment and epsilon 0.3, step after step",
          Scene(1, 4, (0.3,) * 12, seed=6).observe),
    Probe("three environments with epsilons of their own",
          Scene(3, 5, ((0.0, 1.0, 0.5), (1.0, 0.0, 0.9), (0.2, 0.6, 0.0)), seed=7).observe),
    Probe("a hundred environments with eighteen actions",
          Scene(100, 18, (0.1, 0.9, 0.0), seed=8, dtype=np.float64).observe),
    Probe("five environments with two actions, epsilon falling",
          Scene(5, 2, (0.9, 0.6, 0.4, 0.2, 0.1, 0.0), seed=9).observe),
    Probe("equal Q-values and epsilon 0", Scene(20, 6, (0.0,), seed=10, ties=True).observe),
)  # fmt: skip


def _workload(piece):
    q_values = np.random.default_rng(11).normal(size=(64, 4)).astype(np.float32)
    epsilon, rng = np.linspace(0.1, 0.2, 64), np.random.default_rng(12)

    def job():
        for _ in range(50):
            piece(q_values, epsilon, rng)

    return job


ENTRY = Entry(
    name="epsilon_greedy",
    probes=SCENES,
    wrong=WRONG,
    right=RIGHT,
    hints=HINTS,
    model=epsilon_greedy,
    reference=epsilon_greedy,
    workload=_workload,
)
