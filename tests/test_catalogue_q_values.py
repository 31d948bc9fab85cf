"""The checks of chapter 01: no untrue name, the right fact, and room for every right make."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from dqn_ref.bellman import discounted_return, q_learning_update
from dqn_ref.course.catalogue import entry, judge
from dqn_ref.course.catalogue.judging import Trace, observe
from dqn_ref.course.catalogue.q_update_wrong import update_with

RETURN, UPDATE = entry("discounted_return"), entry("q_learning_update")

# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [RETURN, UPDATE], ids=lambda known: known.name)
def test_no_two_mistakes_look_alike(known):
    """Of two that answer alike in every scene, the second would always get the first one's name."""
    for one, other in itertools.combinations(known.wrong, 2):
        traces = [Trace(tuple(observe(probe, one.piece, None))) for probe in known.probes]
        pairs = zip(known.probes, traces, strict=True)
        alike = all(t.equals(observe(probe, other.piece, t)) for probe, t in pairs)
        assert not alike, (one.slug, other.slug)


FOLLOWING = {
    "bootstraps at the end": lambda q, s, a, n, over: q[n].max(),
    "mean": lambda q, s, a, n, over: 0.0 if over else q[n].mean(),
    "number": lambda q, s, a, n, over: 0.0 if over else float(q[n].argmax()),
    "this state": lambda q, s, a, n, over: 0.0 if over else q[s].max(),
}
TARGET = {
    "no discount": lambda r, g, v, over, rate: r + v,
    "reward discounted": lambda r, g, v, over, rate: g * (r + v),
    "no reward": lambda r, g, v, over, rate: g * v,
}


def sets(q, s, a, n, target, rate):
    q[s, a] = target


def moves_the_row(q, s, a, n, target, rate):
    q[s] += rate * (target - q[s])


MOVE = {"sets": sets, "whole row": moves_the_row}


def pairs_of_parts():
    parts = [("following", FOLLOWING), ("target", TARGET), ("move", MOVE)]
    for (one, ones), (other, others) in itertools.combinations(parts, 2):
        for (first, f), (second, s) in itertools.product(ones.items(), others.items()):
            yield pytest.param({one: f, other: s}, id=f"{first}, {second}")


@pytest.mark.parametrize("parts", list(pairs_of_parts()))
def test_two_mistakes_in_an_update_have_no_name(parts):
    """A learner who mends the one that was named would be told the other only then."""
    verdict = judge("q_learning_update", update_with(**parts))
    assert not verdict.passed and verdict.wrong is None, verdict.message


def weighing(weight):
    return lambda rewards, discount: float(
        sum(weight(discount, t, len(rewards)) * reward for t, reward in enumerate(rewards))
    )


@pytest.mark.parametrize(
    "piece",
    [
        weighing(lambda g, t, n: g ** (t + 1) / n),
        weighing(lambda g, t, n: g ** (n - t)),
        weighing(lambda g, t, n: 0.99 ** (t + 1)),
        weighing(lambda g, t, n: g ** (t + 1) * (t < n - 1)),
        weighing(lambda g, t, n: g ** min(t, 10)),
        weighing(lambda g, t, n: 1 / (1 + t)),
        lambda rewards, discount: round(discounted_return(rewards, discount), 2),
        lambda rewards, discount: abs(discounted_return(rewards, discount)),
        lambda rewards, discount: discounted_return(rewards[:1000], discount),
        lambda rewards, discount: discounted_return([np.sign(r) for r in rewards], discount),
    ],
)
def test_wrong_returns_outside_the_catalogue_have_no_name(piece):
    """Two mistakes at once, and some that nobody listed."""
    verdict = judge("discounted_return", piece)
    assert not verdict.passed and verdict.attempted and verdict.wrong is None, verdict.message


def returns_in_the_loop(rewards, discount):
    total = 0.0
    for t, reward in enumerate(rewards):
        total += discount**t * reward
        return total


def mean_by_numpy(rewards, discount):
    return np.mean(np.asarray(rewards) * discount ** np.arange(len(rewards)))


def leaves_at_the_end(q, state, action, reward, next_state, terminated, discount, rate):
    if terminated:
        return
    q_learning_update(q, state, action, reward, next_state, False, discount, rate)


def sets_at_the_end(q, state, action, reward, next_state, terminated, discount, rate):
    if terminated:
        q[state, action] = reward
    else:
        q_learning_update(q, state, action, reward, next_state, False, discount, rate)


@pytest.mark.parametrize(
    "name, piece, slug",
    [
        ("discounted_return", returns_in_the_loop, "return inside the loop"),
        ("discounted_return", mean_by_numpy, "mean of an array"),
        ("q_learning_update", leaves_at_the_end, "end not learnt"),
        ("q_learning_update", sets_at_the_end, "sets at the end"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_mistake_has_its_name_as_learners_write_it(name, piece, slug):
    """A catalogue's version returns 0 for no rewards, the learner's None, and the name is lost."""
    verdict = judge(name, piece)
    assert verdict.wrong == slug, verdict.message


def test_only_a_table_that_never_changes_is_called_a_copy():
    """An update that skips the end changes the table in all other steps."""
    assert "copy" not in judge("q_learning_update", leaves_at_the_end).message
    verdict = judge("q_learning_update", lambda q, *step: q_learning_update(q.copy(), *step))
    assert "a copy, and so is `q_table.copy()`" in verdict.message and verdict.hint == 2


# --- facts ----------------------------------------------------------------------------------------


def array_of_returns(rewards, discount):
    returns, following = np.zeros(len(rewards)), 0.0
    for t in reversed(range(len(rewards))):
        following = returns[t] = rewards[t] + discount * following
    return returns


def emptied(rewards, discount):
    total, waiting = 0.0, rewards if isinstance(rewards, list) else list(rewards)
    while waiting:
        total = waiting.pop() + discount * total
    return total


def recursive(rewards, discount):
    if len(rewards) == 0:
        return 0.0
    return rewards[0] + discount * recursive(rewards[1:], discount)


def nothing_returned(rewards, discount):
    sum(rewards)


def cleared(rewards, discount):
    return discounted_return(rewards, discount) if len(rewards) else None


def truth_of_an_array(rewards, discount):
    return discounted_return(rewards, discount) if rewards else 0.0


@pytest.mark.parametrize(
    "piece, told",
    [
        (array_of_returns, "the result is an array of shape (3,), expected one number"),
        (lambda r, g: list(r), "the result is a list of 3 values, expected one number"),
        (lambda r, g: torch.tensor(1.0), "of type Tensor"),
        (nothing_returned, "the result is None (is a `return` missing?)"),
        (cleared, "in a game without rewards, an empty list, the result is None"),
        (emptied, "changes the rewards that it was handed: afterwards they are none"),
        (recursive, "in a game of 3,000 decisions, an array of float32, `recursive` raises "
         "RecursionError"),
        (truth_of_an_array, "in a game with rewards 0, 3, 0, 5, an array of integers, and "
         "discount 0.5, `truth_of_an_array` raises ValueError"),
        (lambda r, g: sum(r), "in a game with rewards 0, 0, 1 and discount 0.5, the return is 1, "
         "expected 0.25"),
    ],
)  # fmt: skip
def test_the_first_fact_about_a_return(piece, told):
    """A wrong number without the rewards it came from cannot be checked by hand."""
    verdict = judge("discounted_return", piece)
    assert not verdict.passed and told in verdict.message, verdict.message


def on_a_copy(q, state, action, reward, next_state, terminated, discount, rate):
    q = q.copy()
    q_learning_update(q, state, action, reward, next_state, terminated, discount, rate)
    return q


def on_a_number(q, state, action, reward, next_state, terminated, discount, rate):
    entry = q[state, action]
    entry += rate * (reward - entry)


def also_next(q, state, action, reward, next_state, terminated, discount, rate):
    q_learning_update(q, state, action, reward, next_state, terminated, discount, rate)
    q[next_state, action] += 0.1


def tilde(q, state, action, reward, next_state, terminated, discount, rate):
    following = (~np.bool_(terminated)) * q[next_state].max() if reward else 0.0
    q[state, action] += rate * (reward + discount * following - q[state, action])


@pytest.mark.parametrize(
    "piece, told",
    [
        (on_a_copy, "nothing in the table changes; the entry of state 0, action 1 should go from "
         "0.5 to 0.595"),
        (on_a_number, "from 0.5 to 0.595 (a number taken out of an array is a copy"),
        (also_next, "the entry of state 1, action 1 changes from 0.2 to 0.3, and only the entry "
         "of state 0, action 1 should move"),
        (tilde, "in a step without reward to a state with values -1 and -2, the entry of state 0, "
         "action 0 goes from 0.5 to 0.25, expected -0.2"),
    ],
)  # fmt: skip
def test_the_first_fact_about_an_update(piece, told):
    """ "Your table is wrong" leaves a learner with 24 numbers to compare."""
    verdict = judge("q_learning_update", piece)
    assert not verdict.passed and told in verdict.message, verdict.message


# --- what the contract leaves open ----------------------------------------------------------------


def whole_number_for_nothing(rewards, discount):
    return sum(discount**t * reward for t, reward in enumerate(rewards))  # 0, an int, for none


def numpy_number(rewards, discount):
    return np.float32(discounted_return(np.asarray(rewards, np.float64), np.float64(discount)))


@pytest.mark.parametrize("piece", [whole_number_for_nothing, numpy_number])
def test_any_number_is_a_return(piece):
    """A check that asks for Python's float refuses half of all right returns."""
    verdict = judge("discounted_return", piece)
    assert verdict.passed, verdict.message


def test_an_update_may_return_what_it_likes():
    """The loop never reads it."""

    def chatty(q, *step):
        q_learning_update(q, *step)
        return q, step

    verdict = judge("q_learning_update", chatty)
    assert verdict.passed, verdict.message
