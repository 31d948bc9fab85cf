"""Choosers of actions that are wrong in one way each, and right ones of other make."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import RightVersion, WrongVersion


def chooser(
    *,
    draw: Callable = lambda rng, lanes: rng.random(lanes),
    act: Callable = lambda rng, lanes, actions: rng.integers(actions, size=lanes),
    actions_first: bool = False,
    explores: Callable = lambda draws, epsilon: draws < epsilon,
    best: Callable = lambda q_values: q_values.argmax(axis=1),
) -> Callable:
    """Epsilon-greedy with parts exchanged."""

    def epsilon_greedy(q_values, epsilon, rng):
        lanes, actions = q_values.shape
        if actions_first:
            random_actions, draws = act(rng, lanes, actions), draw(rng, lanes)
        else:
            draws, random_actions = draw(rng, lanes), act(rng, lanes, actions)
        chosen = np.where(explores(draws, epsilon), random_actions, best(q_values))
        return chosen.astype(np.int64)

    return epsilon_greedy


def _all_or_none(q_values, epsilon, rng):
    if rng.random() < np.mean(epsilon):
        return rng.integers(q_values.shape[1], size=len(q_values))
    return q_values.argmax(axis=1)


def _when_somebody_explores(q_values, epsilon, rng):
    explore, actions = rng.random(len(q_values)) < epsilon, q_values.argmax(axis=1)
    if explore.any():
        random_actions = rng.integers(q_values.shape[1], size=len(q_values))
        actions[explore] = random_actions[explore]
    return actions


def _for_explorers_only(q_values, epsilon, rng):
    explore, actions = rng.random(len(q_values)) < epsilon, q_values.argmax(axis=1)
    actions[explore] = rng.integers(q_values.shape[1], size=explore.sum())
    return actions


def _lane_by_lane(q_values, epsilon, rng):
    actions = q_values.argmax(axis=1)
    for lane, its_epsilon in enumerate(np.broadcast_to(epsilon, len(q_values))):
        if rng.random() < its_epsilon:
            actions[lane] = rng.integers(q_values.shape[1])
    return actions


def _both_dice_lane_by_lane(q_values, epsilon, rng):
    actions = q_values.argmax(axis=1)
    for lane, its_epsilon in enumerate(np.broadcast_to(epsilon, len(q_values))):
        draw, action = rng.random(), rng.integers(q_values.shape[1])
        if draw < its_epsilon:
            actions[lane] = action
    return actions


def _another_than_the_best(q_values, epsilon, rng):
    lanes, actions = q_values.shape
    explore, best = rng.random(lanes) < epsilon, q_values.argmax(axis=1)
    others = rng.integers(actions - 1, size=lanes)
    return np.where(explore, others + (others >= best), best)


def _moved_off_the_best(q_values, epsilon, rng):
    lanes, actions = q_values.shape
    explore, best = rng.random(lanes) < epsilon, q_values.argmax(axis=1)
    dice = rng.integers(actions, size=lanes)
    return np.where(explore, np.where(dice == best, (dice + 1) % actions, dice), best)


def _by_size_of_values(q_values, epsilon, rng):
    return (q_values + rng.gumbel(size=q_values.shape)).argmax(axis=1)


WRONG = (
    WrongVersion(
        "the other way round",
        chooser(explores=lambda draws, epsilon: draws >= epsilon),
        "Your function equals one that explores with probability 1 - epsilon: it trusts itself "
        "before it has learnt anything. Look at the `<`, and at the order of the last two "
        "arguments of `np.where`.",
        1,
    ),
    WrongVersion(
        "one draw for all",
        chooser(draw=lambda rng, lanes: rng.random()),
        "Your function equals one with a single draw for all environments. All of them "
        "explore at once, or none does. `rng.random(L)` gives each its own.",
        2,
    ),
    WrongVersion(
        "all or none",
        _all_or_none,
        "Your function equals one that throws once, for all environments together, and then makes "
        "all of them explore or none.",
        1,
    ),
    WrongVersion(
        "one random action for all",
        chooser(act=lambda rng, lanes, actions: rng.integers(actions)),
        "Your function equals one that draws one random action, and gives it to all "
        "environments that explore. `size=L` gives each its own.",
        2,
    ),
    WrongVersion(
        "random actions when somebody explores",
        _when_somebody_explores,
        "Your function equals one that draws random actions only in calls where "
        "somebody explores. The draws come in every call, or two agents with one seed part ways.",
        3,
    ),
    WrongVersion(
        "random actions for explorers only",
        _for_explorers_only,
        "Your function equals one that draws random actions only for the "
        "environments that explore. Draw L of them, always: then the same seed gives the same "
        "games.",
        3,
    ),
    WrongVersion(
        "lane by lane, as needed",
        _lane_by_lane,
        "Your function equals a loop in which an environment throws its second dice only if "
        "it explores. Draw L numbers, then L random actions, and choose afterwards.",
        3,
    ),
    WrongVersion(
        "lane by lane",
        _both_dice_lane_by_lane,
        "Your function equals a loop in which an environment throws both its dice before "
        "the next one throws. Draw the numbers of all first, then the random actions of all.",
        3,
    ),
    WrongVersion(
        "actions first",
        chooser(actions_first=True),
        "Your function equals one that draws the random actions before the numbers "
        "that decide. It explores as often, but its dice are not everybody's.",
        3,
    ),
    WrongVersion(
        "another than the best",
        _another_than_the_best,
        "Your function equals one that excludes the best action from the random "
        "ones. Then epsilon 1 would be no fair dice: the best action would never be taken.",
        1,
    ),
    WrongVersion(
        "last action never drawn",
        chooser(act=lambda rng, lanes, actions: rng.integers(actions - 1, size=lanes)),
        "Your function equals one that draws `rng.integers(A - 1, size=L)`. The upper "
        "end is left out already: the last action is never tried.",
        2,
    ),
    WrongVersion(
        "first action never drawn",
        chooser(act=lambda rng, lanes, actions: rng.integers(1, actions, size=lanes)),
        "Your function equals one that draws `rng.integers(1, A, size=L)`. Actions "
        "count from 0, and the first is never tried.",
        2,
    ),
    WrongVersion(
        "the worst",
        chooser(best=lambda q_values: q_values.argmin(axis=1)),
        "Your function equals one that takes the smallest Q-value for the best.",
        1,
    ),
    WrongVersion(
        "moved off the best",
        _moved_off_the_best,
        "Your function equals one that moves a random action on where it is the best one. A random "
        "action may be any, the best included.",
        1,
    ),
    WrongVersion(
        "as many actions as environments",
        chooser(act=lambda rng, lanes, actions: rng.integers(lanes, size=lanes)),
        "Your function equals one that draws random actions below L, the number of environments. "
        "There are A actions: `rng.integers(A, size=L)`.",
        2,
    ),
    WrongVersion(
        "mean epsilon for all",
        chooser(explores=lambda draws, epsilon: draws < np.mean(epsilon)),
        "Your function equals one that takes the mean epsilon for all environments. Where "
        "`epsilon` is an array, each environment has the entry of its own.",
        1,
    ),
    WrongVersion(
        "best of the whole table",
        chooser(best=lambda q_values: np.full(len(q_values), q_values.argmax())),
        "Your function equals one that calls `argmax` without an axis: one place in "
        "the whole table, counted through all rows, instead of one action per row.",
        2,
    ),
    WrongVersion(
        "best of the first row",
        chooser(best=lambda q_values: np.full(len(q_values), q_values[0].argmax())),
        "Your function equals one that gives the first environment's best action to all of them.",
        2,
    ),
    WrongVersion(
        "first epsilon for all",
        chooser(explores=lambda draws, epsilon: draws < np.ravel(epsilon)[0]),
        "Your function equals one that takes the first epsilon for all environments. "
        "`epsilon` may be an array, one entry for each.",
        1,
    ),
    WrongVersion(
        "never explores",
        chooser(explores=lambda draws, epsilon: np.zeros(np.shape(draws), bool)),
        "Your function equals one that is always greedy: epsilon has no effect.",
        1,
    ),
    WrongVersion(
        "always explores",
        chooser(explores=lambda draws, epsilon: np.ones(np.shape(draws), bool)),
        "Your function equals one that never looks at the Q-values.",
        1,
    ),
    WrongVersion(
        "by the size of the values",
        _by_size_of_values,
        "Your function equals one that draws better actions more often (a softmax of the "
        "Q-values). That is another way to explore; here all random actions are equally likely.",
        1,
    ),
)


# --- right versions -------------------------------------------------------------------------------


def _dice_first_then_a_loop(q_values, epsilon, rng):
    number_of_lanes, number_of_actions = q_values.shape
    coins = [rng.random() for _ in range(number_of_lanes)]
    dice = [rng.integers(number_of_actions) for _ in range(number_of_lanes)]
    chosen = []
    for lane in range(number_of_lanes):
        threshold = epsilon[lane] if isinstance(epsilon, np.ndarray) else epsilon
        greedy = max(range(number_of_actions), key=lambda a, row=q_values[lane]: row[a])
        chosen.append(int(dice[lane]) if coins[lane] < threshold else greedy)
    return np.array(chosen, dtype=np.int64)


def _with_a_mask(q_values, epsilon, rng):
    actions = np.argmax(q_values, axis=-1)
    explore = np.less(rng.uniform(size=actions.shape), epsilon)
    random_actions = rng.choice(q_values.shape[-1], size=actions.shape)
    actions[explore] = random_actions[explore]
    return actions


def _in_tensors(q_values, epsilon, rng):
    lanes, actions = q_values.shape
    explore = torch.from_numpy(rng.random((lanes,))) < torch.as_tensor(epsilon)
    dice = torch.from_numpy(rng.integers(0, actions - 1, lanes, endpoint=True))
    return torch.where(explore, dice, torch.from_numpy(q_values).argmax(1)).numpy()


def _last_of_equals(q_values, epsilon, rng):
    lanes, actions = q_values.shape
    stay, dice = rng.random(lanes) >= epsilon, rng.integers(0, actions, size=lanes)
    return stay * (actions - 1 - q_values[:, ::-1].argmax(axis=1)) + (1 - stay) * dice


RIGHT = (
    RightVersion("all dice first, then a loop", _dice_first_then_a_loop),
    RightVersion("a mask, numpy's uniform and choice", _with_a_mask),
    RightVersion("tensors", _in_tensors),
    RightVersion("the last of equal actions, by arithmetic", _last_of_equals),
)
