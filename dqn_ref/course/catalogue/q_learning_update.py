"""The tabular update of chapter 01: its scenes, known mistakes, and updates of other make.

Contract: `dqn_ref.pieces.CONTRACTS["q_learning_update"]`. In words: one entry of the table moves,
in place, by a share of its distance to the target, which is the reward plus the discounted best
value of the next state, and the reward alone if the game is over.

What may vary: style, the last digits, and what is returned, since nobody reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dqn_ref.bellman import q_learning_update
from dqn_ref.course.catalogue.judging import (
    Difference,
    Entry,
    Fact,
    Probe,
    RightVersion,
    Trace,
    words,
)
from dqn_ref.course.catalogue.q_update_wrong import WRONG

HINTS = {
    1: "the target: the reward plus the discount times the largest value in the next state's row; "
    "the reward alone if the game is over",
    2: "q_table[next_state].max(), and q_table[state, action] += ..., which changes the table",
}


# --- scenes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """The arguments after the table; numpy's scalars if `numpy_scalars`."""

    state: int
    action: int
    reward: float
    next_state: int
    terminated: bool
    discount: float
    learning_rate: float

    def arguments(self, numpy_scalars: bool) -> tuple:
        values = tuple(vars(self).values())
        return tuple(np.asarray(value)[()] for value in values) if numpy_scalars else values


@dataclass(frozen=True)
class Table(Fact):
    """A table after an update; all else is for the words."""

    before: np.ndarray | None = None
    step: Step | None = None
    is_never_changed: bool = False  # by this step nor by others

    def same(self, other: Fact) -> bool:
        if not isinstance(other, Table) or self.what != other.what:
            return False
        return np.allclose(self.value, other.value, rtol=1e-6, atol=1e-9)

    def difference(self, expected: Fact) -> Difference:
        place = (self.step.state, self.step.action)
        wrong = ~np.isclose(self.value, expected.value, rtol=1e-6, atol=1e-9)
        name = "the entry of state {}, action {}".format
        if np.array_equal(self.value, self.before):
            told = f"nothing in the table changes; {name(*place)} should go from "
            told += f"{words(self.before[place])} to {words(expected.value[place])}"
            if self.is_never_changed:
                told += " (a number taken out of an array is a copy, and so is `q_table.copy()`)"
            return Difference(told, 1 if self.step.terminated else 2)
        if wrong[place]:
            told = f"{name(*place)} goes from {words(self.before[place])} to "
            told += f"{words(self.value[place])}, expected {words(expected.value[place])}"
            return Difference(told, 1)
        other = tuple(int(i) for i in np.argwhere(wrong)[0])
        told = f"{name(*other)} changes from {words(self.before[other])} to "
        told += f"{words(self.value[other])}, and only {name(*place)} should move"
        return Difference(told, 2)


@dataclass(frozen=True)
class Updates:
    """A table and what happens to it, step by step."""

    table: tuple[tuple[float, ...], ...]
    steps: tuple[Step, ...]
    numpy_scalars: bool = False

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        right = np.array(self.table, np.float64)
        for number, step in enumerate(self.steps, start=1):
            table, before = right.copy(), right.copy()
            piece(table, *step.arguments(self.numpy_scalars))
            never = np.array_equal(table, before) and _changes_nothing(piece)
            yield Table(
                f"the table after update {number}",
                table,
                before=before,
                step=step,
                is_never_changed=never,
            )
            q_learning_update(right, *step.arguments(False))  # each step begins at the right place

    @classmethod
    def drawn(cls, seed: int, states: int, actions: int, number: int) -> Updates:
        """Random steps in a random table; every third ends a game."""
        rng = np.random.default_rng(seed)
        table = tuple(map(tuple, rng.normal(size=(states, actions)).tolist()))
        steps = tuple(
            Step(
                int(rng.integers(states)), int(rng.integers(actions)), float(rng.normal()),
                int(rng.integers(states)), t % 3 == 2,
                float(rng.uniform(0.3, 0.98)), float(rng.uniform(0.05, 0.9)),
            )
            for t in range(number)
        )  # fmt: skip
        return cls(table, steps, numpy_scalars=True)


def _changes_nothing(piece) -> bool:
    """Whether an update leaves a table as it is, the game going on or over."""
    table = np.array(_SMALL)
    for terminated in (False, True):
        piece(table, 2, 1, 1.0, 0, terminated, 0.9, 0.5)
    return np.array_equal(table, _SMALL)


def _scene(words: str, table: list[list[float]], *step) -> Probe:
    return Probe(words, Updates(tuple(map(tuple, table)), (Step(*step),)).observe)


_SMALL = [[0.0, 0.5], [0.9, 0.2], [0.3, 0.4]]

SCENES = (
    _scene("a step from state 0 to state 1 (values 0.9 and 0.2), reward 1, discount 0.5, learning "
           "rate 0.1", _SMALL, 0, 1, 1.0, 1, False, 0.5, 0.1),
    _scene("the last step of a game, from state 1 to state 2 (values 0.3 and 0.4), reward 2, "
           "discount 0.5, learning rate 0.5", _SMALL, 1, 0, 2.0, 2, True, 0.5, 0.5),
    _scene("a step without reward to a state with values -1 and -2", [[0.5, 0.0], [-1.0, -2.0]],
           0, 0, 0.0, 1, False, 0.9, 0.5),
    _scene("the last step of a game without a reward", _SMALL, 2, 1, 0.0, 0, True, 0.9, 0.25),
    _scene("a step that leads back to its own state", _SMALL, 1, 1, 1.0, 1, False, 0.9, 0.5),
    _scene("a step with learning rate 1", _SMALL, 0, 0, 0.0, 1, False, 0.9, 1.0),
    _scene("a table with one action", [[0.1], [0.7]], 0, 0, 1.0, 1, False, 0.9, 0.5),
    Probe("a random table of 6 states and 4 actions", Updates.drawn(1, 6, 4, 12).observe),
    Probe("a random table of 9 states and 3 actions", Updates.drawn(2, 9, 3, 12).observe),
)  # fmt: skip


# --- right versions -------------------------------------------------------------------------------


def _mixed(q, state, action, reward, next_state, terminated, discount, learning_rate):
    best = max(q[next_state]) if not terminated else 0
    old = q[state][action]
    q[state][action] = (1 - learning_rate) * old + learning_rate * (reward + discount * best)


def _masked(q, state, action, reward, next_state, terminated, discount, learning_rate):
    target = reward + discount * (1 - terminated) * np.max(q[next_state, :])
    error = q[state, action] - target
    q[state, action] -= learning_rate * error


def _with_a_loop(q, state, action, reward, next_state, terminated, discount, learning_rate):
    target = reward
    if not terminated:
        best = -np.inf
        for value in q[next_state].tolist():
            best = value if value > best else best
        target = target + discount * best
    q[state, action] = q[state, action] + learning_rate * (target - q[state, action])
    return q


RIGHT = (
    RightVersion("a mixture of old and new, max of Python", _mixed),
    RightVersion("a mask, and the error taken off", _masked),
    RightVersion("a loop, and the table returned as well", _with_a_loop),
)


def _workload(piece):
    table, rng = np.zeros((48, 2)), np.random.default_rng(3)
    draws = rng.integers((48, 2, 48, 2), size=(200, 4)).tolist()

    def work() -> None:
        for state, action, after, over in draws:
            piece(table, state, action, 0.5, after, bool(over), 0.99, 0.1)

    return work


ENTRY = Entry(
    name="q_learning_update",
    probes=SCENES,
    wrong=WRONG,
    right=RIGHT,
    hints=HINTS,
    model=q_learning_update,
    reference=q_learning_update,
    workload=_workload,
)
