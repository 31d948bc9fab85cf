"""Exploration: the schedule of epsilon and the draws of epsilon-greedy.

Numbers in docstrings are those of the project's list of pitfalls. Each rule is a function that a
broken variant must fail.
"""

import math

import numpy as np
import pytest

from dqn_ref.exploration import epsilon_greedy, linear_schedule
from dqn_ref.recipes import get_recipe

# ---- the schedule --------------------------------------------------------------------------------


def check_natures_schedule(schedule):
    recipe = get_recipe("mnih2015")

    def epsilon(step):
        return schedule(
            step, recipe.epsilon_start, recipe.epsilon_end, recipe.epsilon_decay_steps,
            recipe.epsilon_delay_steps,
        )  # fmt: skip

    for step in (0, 1, 49_999, 50_000):
        assert epsilon(step) == 1.0
    assert epsilon(50_001) < 1.0
    assert epsilon(300_000) == pytest.approx(0.775)
    assert epsilon(550_000) == pytest.approx(0.55)
    assert epsilon(1_049_999) > 0.1
    for step in (1_050_000, 1_050_001, 50_000_000, 10**12):
        assert epsilon(step) == pytest.approx(0.1, abs=1e-12)


def clamps_at_the_wrong_end(step, start, end, decay, delay=0):
    """As published in one fast implementation: constant from the first step on."""
    return min((start - end) / decay * (step - delay), end)


def begins_at_once(step, start, end, decay, delay=0):
    return linear_schedule(step, start, end, decay)


def decay_includes_the_delay(step, start, end, decay, delay=0):
    return linear_schedule(step, start, end, decay - delay, delay)


def counts_frames(step, start, end, decay, delay=0):
    return linear_schedule(4 * step, start, end, decay, delay)


def never_stops(step, start, end, decay, delay=0):
    return start if step <= delay else start + (end - start) * (step - delay) / decay


def multiplies(step, start, end, decay, delay=0):
    return max(end, start * (end / start) ** (max(0, step - delay) / decay))


def test_epsilon_is_natures():
    """35: 1 during 50,000 steps, 0.55 at 550,000, 0.1 from 1,050,000 on."""
    check_natures_schedule(linear_schedule)
    for broken in (
        clamps_at_the_wrong_end, begins_at_once, decay_includes_the_delay, counts_frames,
        never_stops, multiplies,
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            check_natures_schedule(broken)


def check_arrays(schedule):
    steps = np.array([0, 40, 99, 150, 10_000])
    found = schedule(steps, 1.0, 0.02, 100, 50)
    assert isinstance(found, np.ndarray) and found.shape == (5,)
    assert found.tolist() == [schedule(int(step), 1.0, 0.02, 100, 50) for step in steps]
    assert isinstance(schedule(3, 1.0, 0.02, 100, 50), float)


def test_the_schedule_takes_one_step_or_many():
    """35: each lane has its own step."""
    check_arrays(linear_schedule)
    with pytest.raises(AssertionError):
        check_arrays(lambda step, *rest: linear_schedule(np.max(step), *rest))


def check_extremes(schedule):
    assert schedule(0, 1.0, 0.1, 0) == pytest.approx(0.1)  # no decay: the end at once
    assert schedule(9, 1.0, 0.1, 0, 10) == 1.0
    assert schedule(10, 1.0, 0.1, 0, 10) == pytest.approx(0.1)
    assert schedule(5, 0.2, 0.8, 10) == pytest.approx(0.5)  # upwards, too
    assert schedule(20, 0.2, 0.8, 10) == pytest.approx(0.8)


def test_a_schedule_without_decay_and_one_that_rises():
    check_extremes(linear_schedule)

    def maximum(step, start, end, decay, delay=0):
        return max(end, start - (start - end) * max(0, step - delay) / max(decay, 1e-9))

    with pytest.raises(AssertionError):
        check_extremes(maximum)


# ---- epsilon-greedy ------------------------------------------------------------------------------

LANES, ACTIONS, TRIALS = 8, 4, 4_000


def explored(choose, epsilon, seed=0):
    """(trials, lanes): where the action is not the best one; a random one is in 3 of 4 cases."""
    rng = np.random.default_rng(seed)
    q_values = np.zeros((LANES, ACTIONS), np.float32)
    q_values[:, 2] = 1.0
    actions = np.stack([choose(q_values, epsilon, rng) for _ in range(TRIALS)])
    return actions != 2


def check_lanes_draw_independently(choose):
    """How many of eight lanes leave the best action is binomial."""
    p = 0.5 * 3 / 4
    counts = np.bincount(explored(choose, 0.5).sum(1), minlength=LANES + 1)
    expected = [
        TRIALS * math.comb(LANES, k) * p**k * (1 - p) ** (LANES - k) for k in range(LANES + 1)
    ]
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 26.1  # p = 0.001 at 8 degrees of freedom


def one_draw_for_all(q_values, epsilon, rng):
    """Stable-Baselines3's `predict`: all lanes explore or none does."""
    if rng.random() < epsilon:
        return rng.integers(q_values.shape[1], size=len(q_values))
    return q_values.argmax(1)


def one_action_for_all(q_values, epsilon, rng):
    explore = rng.random(len(q_values)) < epsilon
    return np.where(explore, rng.integers(q_values.shape[1]), q_values.argmax(1))


def test_each_lane_explores_on_its_own():
    """35: with one draw for all, all lanes explore together with probability epsilon."""
    check_lanes_draw_independently(epsilon_greedy)
    with pytest.raises(AssertionError):
        check_lanes_draw_independently(one_draw_for_all)


def check_lanes_draw_their_own_action(choose):
    rng = np.random.default_rng(0)
    drawn = np.stack([choose(np.zeros((LANES, ACTIONS)), 1.0, rng) for _ in range(500)])
    pairs = np.histogram2d(drawn[:, 0], drawn[:, 1], bins=[ACTIONS, ACTIONS])[0]
    assert pairs.min() > 500 / 16 / 3  # each of the 16 combinations turns up
    assert set(np.unique(drawn)) == set(range(ACTIONS))


def never_the_last(q_values, epsilon, rng):
    explore = rng.random(len(q_values)) < epsilon
    others = rng.integers(q_values.shape[1] - 1, size=len(q_values))
    return np.where(explore, others, q_values.argmax(1))


def test_each_lane_draws_its_own_action_from_all_of_them():
    """35."""
    check_lanes_draw_their_own_action(epsilon_greedy)
    for broken in (one_action_for_all, never_the_last):
        with pytest.raises(AssertionError):
            check_lanes_draw_their_own_action(broken)


def check_rate(choose):
    for epsilon in (0.0, 0.1, 1.0):
        rate = explored(choose, epsilon, seed=1).mean()
        assert rate == pytest.approx(epsilon * 3 / 4, abs=0.015)
    by_lane = explored(choose, np.array([0.0] * 4 + [1.0] * 4)).mean(0)
    assert (by_lane[:4] == 0).all() and by_lane[4:] == pytest.approx(0.75, abs=0.04)


def test_epsilon_is_the_share_of_random_actions():
    check_rate(epsilon_greedy)
    with pytest.raises(AssertionError):  # the other way round
        check_rate(lambda q, epsilon, rng: epsilon_greedy(q, 1 - np.asarray(epsilon), rng))
    with pytest.raises(AssertionError):  # one epsilon for all lanes
        check_rate(lambda q, epsilon, rng: epsilon_greedy(q, float(np.max(epsilon)), rng))


class Script:
    """A generator whose draws are known, and which notes what was asked of it."""

    def __init__(self):
        self.calls = []

    def random(self, size):
        self.calls.append(("random", size))
        return np.array([0.0, 0.3, 0.999][:size])

    def integers(self, high, size):
        self.calls.append(("integers", high, size))
        return np.array([3, 1, 0][:size])


def check_draws(choose):
    for epsilon in (0.0, 0.5, 1.0):  # whether they are needed or not
        rng = Script()
        choose(np.zeros((3, 4)), epsilon, rng)
        assert rng.calls == [("random", 3), ("integers", 4, 3)]
    q_values = np.array([[0, 0, 9, 0]] * 3)
    assert choose(q_values, 0.3, Script()).tolist() == [3, 2, 2]  # 0.3 < 0.3 is false
    assert choose(q_values, 0.0, Script()).tolist() == [2, 2, 2]


def draws_as_needed(q_values, epsilon, rng):
    explore = rng.random(len(q_values)) < epsilon
    actions = q_values.argmax(1)
    if explore.any():
        actions[explore] = rng.integers(q_values.shape[1], size=len(q_values))[explore]
    return actions


def draws_actions_first(q_values, epsilon, rng):
    others = rng.integers(q_values.shape[1], size=len(q_values))
    return np.where(rng.random(len(q_values)) < epsilon, others, q_values.argmax(1))


def test_draws_are_made_in_a_fixed_order_whether_needed_or_not():
    """35: random(L), then integers(L), so that versions agree on a seed."""
    check_draws(epsilon_greedy)
    for broken in (draws_as_needed, draws_actions_first, one_draw_for_all):
        with pytest.raises((AssertionError, TypeError)):
            check_draws(broken)


def test_actions_are_int64_one_per_lane():
    rng = np.random.default_rng(0)
    for lanes in (1, 5):
        actions = epsilon_greedy(np.zeros((lanes, 6), np.float32), 0.5, rng)
        assert actions.shape == (lanes,) and actions.dtype == np.int64
