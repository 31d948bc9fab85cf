"""What the checks of chapter 06 say: no untrue name, the right fact, nothing refused that may vary.

`tests/test_catalogue.py` runs over every wrong and right version; here are the pieces beside them.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dqn_ref.course.catalogue import entry, judge
from dqn_ref.course.catalogue.greedy_makes import chooser
from dqn_ref.course.catalogue.judging import Trace, observe, wrong_version
from dqn_ref.course.catalogue.schedule_makes import line
from dqn_ref.exploration import epsilon_greedy, linear_schedule

SCHEDULE, GREEDY = entry("linear_schedule"), entry("epsilon_greedy")


def name_of(known, piece) -> str | None:
    """The name that a failing piece gets, without the rest of a verdict."""
    traces = [Trace(tuple(observe(probe, piece, None))) for probe in known.probes]
    version = wrong_version(known, traces)
    return version and version.slug


# --- no untrue name -------------------------------------------------------------------------------

ENDS = {"one step late": lambda s: s.part(s.step - s.delay - 1, s.decay),
        "no delay": lambda s: s.part(s.step, s.decay),
        "one step too short": lambda s: s.part(s.step - s.delay, s.decay - 1),
        "frames": lambda s: s.part(4 * s.step - s.delay, s.decay),
        "squared": lambda s: s.share**2}  # fmt: skip
STARTS = {"begins at 1": {"first": lambda s: 1.0},
          "ends at 0": {"last": lambda s: 0.0},
          "upside down": {"first": lambda s: s.end, "last": lambda s: s.start},
          "ends at 0.1": {"last": lambda s: 0.1}}  # fmt: skip


@pytest.mark.parametrize("share, ends", list(itertools.product(ENDS, STARTS)))
def test_a_schedule_with_two_mistakes_has_no_name(share, ends):
    """A scene too few, and one of the two mistakes is told as if it were the only one."""
    piece = line(share=ENDS[share], **STARTS[ends])
    verdict = judge("linear_schedule", piece)
    assert not verdict.passed and verdict.wrong is None, verdict.message


DRAWS = {
    "one draw": {"draw": lambda rng, lanes: rng.random()},
    "actions first": {"actions_first": True},
    "one action": {"act": lambda rng, lanes, actions: rng.integers(actions)},
    "not the last": {"act": lambda rng, n, actions: rng.integers(actions - 1, size=n)},
}
CHOICES = {"other way round": {"explores": lambda draws, epsilon: draws >= epsilon},
           "worst": {"best": lambda q: q.argmin(axis=1)},
           "first row": {"best": lambda q: np.full(len(q), q[0].argmax())},
           "first epsilon": {"explores": lambda draws, eps: draws < np.ravel(eps)[0]}}  # fmt: skip


@pytest.mark.parametrize("draws, choice", list(itertools.product(DRAWS, CHOICES)))
def test_a_chooser_with_two_mistakes_has_no_name(draws, choice):
    """The stream of dice would fit the one, the actions the other."""
    piece = chooser(**DRAWS[draws], **CHOICES[choice])
    verdict = judge("epsilon_greedy", piece)
    assert not verdict.passed and verdict.wrong is None, verdict.message


def test_a_rare_fault_beside_a_mistake_takes_its_name_away():
    """Few lanes, or few calls, would name a piece by its first actions."""
    for version in GREEDY.wrong:

        def rarely(q_values, epsilon, rng, piece=version.piece):
            actions = piece(q_values, epsilon, rng)
            return np.where(q_values.max(axis=1) > 2.6, 0, actions)

        assert name_of(GREEDY, version.piece) == version.slug
        assert name_of(GREEDY, rarely) is None, version.slug
    for version in SCHEDULE.wrong:

        def from_far(step, *settings, piece=version.piece):
            return piece(step, *settings) - 0.01 * (np.asarray(step) >= 1_000_000)

        assert name_of(SCHEDULE, from_far) is None, version.slug


# --- the right fact -------------------------------------------------------------------------------


def unguarded(step, start, end, decay_steps, delay_steps=0):
    share = min(max((step - delay_steps) / decay_steps, 0), 1)
    return start + share * (end - start)


def for_numbers_only(step, start, end, decay_steps, delay_steps=0):
    if decay_steps == 0:
        return end
    return unguarded(step, start, end, decay_steps, delay_steps)


def from_an_array(step, *settings):
    return np.atleast_1d(linear_schedule(step, *settings))


def in_single_precision(step, *settings):
    value = linear_schedule(step, *settings)
    return value.astype(np.float32) if isinstance(value, np.ndarray) else value


def in_place(step, start, end, decay_steps, delay_steps=0):
    step -= delay_steps
    return linear_schedule(step, start, end, decay_steps, 0)


def a_list(step, *settings):
    value = linear_schedule(step, *settings)
    return value.tolist() if isinstance(value, np.ndarray) else value


def of_the_last(step, *settings):
    return linear_schedule(np.max(step), *settings)


def not_a_number(step, start, end, decay_steps, delay_steps=0):
    share = (np.asarray(step) - delay_steps) / np.float64(decay_steps)
    value = start + (end - start) * np.clip(share, 0, 1)
    return value if np.ndim(step) else float(value)


@pytest.mark.parametrize(
    "piece, told, hint",
    [
        (unguarded, "raises ValueError", None),
        (for_numbers_only, "The truth value of an array", None),
        (from_an_array, "step 0 gives a value of type ndarray of shape (1,)", 2),
        (in_single_precision, "an array of steps gives an array of float32", 2),
        (in_place, "the array of steps that it was given holds other numbers afterwards", 2),
        (a_list, "an array of steps gives a value of type list", 2),
        (of_the_last, "an array of steps gives a value of type float", 2),
        (not_a_number, "in a line with decay_steps=0, the value at step 0 is nan, expected", 3),
        (lambda step, *settings: None, "step 0 gives a value of type NoneType", 2),
        (lambda step, *settings: linear_schedule(step, *settings) ** 2, "step 1 is 0.8464", 1),
    ],
)
def test_what_is_told_about_other_schedules(piece, told, hint):
    """A sentence about the wrong thing sends the learner looking in the wrong place."""
    verdict = judge("linear_schedule", piece)
    assert not verdict.passed and verdict.wrong is None
    assert told in verdict.message and verdict.hint == hint, verdict.message


def without_the_generator(q_values, epsilon, rng):
    return epsilon_greedy(q_values, epsilon, np.random.default_rng(0))


def with_global_dice(q_values, epsilon, rng):
    lanes, actions = q_values.shape
    explore = np.random.rand(lanes) < epsilon
    return np.where(explore, rng.integers(actions, size=lanes), q_values.argmax(axis=1))


def best_of_columns(q_values, epsilon, rng):
    lanes, actions = q_values.shape
    explore, dice = rng.random(lanes) < epsilon, rng.integers(actions, size=lanes)
    return np.where(explore, dice, q_values.argmax(axis=0))


def as_list(q_values, epsilon, rng):
    return epsilon_greedy(q_values, epsilon, rng).tolist()


def small_integers(q_values, epsilon, rng):
    return epsilon_greedy(q_values, epsilon, rng).astype(np.int32)


def a_column(q_values, epsilon, rng):
    return epsilon_greedy(q_values, epsilon, rng)[:, None]


def spoils_the_values(q_values, epsilon, rng):
    actions = epsilon_greedy(q_values, epsilon, rng)
    q_values[:] = 0
    return actions


def a_die_too_many(q_values, epsilon, rng):
    actions = epsilon_greedy(q_values, epsilon, rng)
    rng.random()
    return actions


def a_die_among_equals(q_values, epsilon, rng):
    """Breaks ties by dice, where everybody else's next game has that number."""
    best = [int(rng.choice(np.flatnonzero(row == row.max()))) for row in q_values]
    lanes, actions = q_values.shape
    explore, dice = rng.random(lanes) < epsilon, rng.integers(actions, size=lanes)
    return np.where(explore, dice, best)


@pytest.mark.parametrize(
    "piece, told, hint",
    [
        (without_the_generator, "asked for nothing (use the rng that you were given)", 3),
        (with_global_dice, "asked for integers(3, size=4), and the generator", 3),
        (best_of_columns, "could not be broadcast", None),
        (as_list, "it returns a value of type list, expected an int64 array of shape (4,)", 2),
        (small_integers, "it returns an array of int32", 2),
        (a_column, "it returns an array of shape (4, 1)", 2),
        (spoils_the_values, "hold other numbers afterwards", 2),
        (a_die_too_many, "asked for random(4), integers(3, size=4), random()", 3),
        (a_die_among_equals, "the generator then stands elsewhere", 3),
        (lambda q, epsilon, rng: epsilon_greedy(q, epsilon, rng) + 9, "there is no action 9", 2),
    ],
)
def test_what_is_told_about_other_choosers(piece, told, hint):
    """Dice, types and actions are told apart, and each has its own hint."""
    verdict = judge("epsilon_greedy", piece)
    assert not verdict.passed and verdict.wrong is None
    assert told in verdict.message and verdict.hint == hint, verdict.message


def test_the_reason_for_an_action_is_told_with_its_draw():
    """Without the draw nobody sees whether the dice or the Q-value decided."""
    verdict = judge("epsilon_greedy", chooser(explores=lambda draws, epsilon: draws < 0 * epsilon))
    assert "its draw 0.943 is below epsilon 1, so the random action is due" in verdict.message
    verdict = judge("epsilon_greedy", chooser(best=lambda q: q.argmin(axis=1)))
    assert "is not below epsilon 0, so the best action is due, of value 0.0" in verdict.message


# --- what may vary --------------------------------------------------------------------------------


def up_again(step, start, end, decay_steps, delay_steps=0):
    """Holds by a maximum, so a line that rises would come out wrong; nobody asks for one."""
    if decay_steps == 0:
        value = np.where(step < delay_steps, start, end)
        return value if isinstance(step, np.ndarray) else float(value)
    value = np.clip(start - (start - end) * (step - delay_steps) / decay_steps, end, start)
    return value if isinstance(step, np.ndarray) else float(value)


def test_what_nobody_asks_for_is_free():
    """The contract speaks of falling values: a line that rises would refuse a right piece."""
    assert judge("linear_schedule", up_again).passed


def test_a_line_without_length_still_waits_for_its_delay():
    """The docstring says `end` from `delay_steps` on; a check without that scene passes both."""

    def forgets(step, start, end, decay_steps, delay_steps=0):
        if decay_steps == 0:
            return np.full(step.shape, float(end)) if isinstance(step, np.ndarray) else end
        return linear_schedule(step, start, end, decay_steps, delay_steps)

    verdict = judge("linear_schedule", forgets)
    assert verdict.wrong == "no line, no delay" and verdict.hint == 3, verdict.message


@pytest.mark.parametrize("pick", [np.min, np.max])
def test_any_of_equal_best_actions_may_be_taken(pick):
    """Only the first of them would be what numpy's argmax happens to take."""

    def one_of_the_best(q_values):
        return np.array([pick(np.flatnonzero(row == row.max())) for row in q_values])

    assert judge("epsilon_greedy", chooser(best=one_of_the_best)).passed
