"""Known mistakes in `q_learning_update`, and what the check says about them."""

from __future__ import annotations

from dqn_ref.bellman import q_learning_update
from dqn_ref.course.catalogue.judging import WrongVersion


def _best(q, state, action, next_state, terminated):
    return 0.0 if terminated else q[next_state].max()


def _target(reward, discount, following, terminated, rate):
    return reward + discount * following


def _move(q, state, action, next_state, target, rate):
    q[state, action] += rate * (target - q[state, action])


def update_with(*, following=_best, target=_target, move=_move):
    """The update with one part exchanged."""

    def q_learning_update(
        q_table, state, action, reward, next_state, terminated, discount, learning_rate
    ):
        value = following(q_table, state, action, next_state, terminated)
        goal = target(reward, discount, value, terminated, learning_rate)
        move(q_table, state, action, next_state, goal, learning_rate)

    return q_learning_update


def _unless_over(value):
    """The value of the next state, read in another way; the end is minded."""
    return lambda q, s, a, n, over: 0.0 if over else value(q, s, a, n)


def _end_not_learnt(q, state, action, reward, next_state, terminated, discount, rate):
    if not terminated:
        q_learning_update(q, state, action, reward, next_state, False, discount, rate)


def _sets_at_the_end(q, state, action, reward, next_state, terminated, discount, rate):
    q_learning_update(q, state, action, reward, next_state, terminated, discount, rate)
    if terminated:
        q[state, action] = reward


def _adds_at_the_end(q, state, action, reward, next_state, terminated, discount, rate):
    if terminated:
        q[state, action] += rate * reward
    else:
        q_learning_update(q, state, action, reward, next_state, False, discount, rate)


def _swapped(q, state, action, reward, next_state, terminated, discount, rate):
    q_learning_update(q, state, action, reward, next_state, terminated, rate, discount)


def _part_of_the_target(q, state, action, reward, next_state, terminated, discount, rate):
    following = discount * _best(q, state, action, next_state, terminated)
    q[state, action] = (1 - rate) * q[state, action] + rate * reward + following


def _set(q, s, a, n, target, rate):
    q[s, a] = target


def _away(q, s, a, n, target, rate):
    q[s, a] -= rate * (target - q[s, a])


def _added(q, s, a, n, target, rate):
    q[s, a] += rate * target


def _shares_swapped(q, s, a, n, target, rate):
    q[s, a] = rate * q[s, a] + (1 - rate) * target


def _whole_row(q, s, a, n, target, rate):
    q[s] += rate * (target - q[s])


def _whole_column(q, s, a, n, target, rate):
    q[:, a] += rate * (target - q[:, a])


def _by_one_difference(q, s, a, n, target, rate):
    q[s] += rate * (target - q[s, a])


def _next_entry(q, s, a, n, target, rate):
    q[n, a] += rate * (target - q[n, a])


def _best_entry(q, s, a, n, target, rate):
    best = q[s].argmax()
    q[s, best] += rate * (target - q[s, best])


def _beside_the_best(q, s, a, n, target, rate):
    q[s, a] += rate * (target - q[s].max())


_WRONG = (
    ("bootstraps at the end", 1, {"following": lambda q, s, a, n, over: q[n].max()},
     "one that ignores `terminated`: it adds the value of a state in which nothing can be won any "
     "more. The learner hopes for points after the game."),
    ("bootstraps only at the end", 1,
     {"following": lambda q, s, a, n, over: q[n].max() if over else 0.0},
     "one that takes `terminated` the wrong way round: the next state counts only if the game is "
     "over. Values could never travel back from a hit."),
    ("next state never counts", 1, {"following": lambda q, s, a, n, over: 0.0},
     "one whose target is the reward alone. Actions that lead to a hit later would never be worth "
     "anything."),
    ("first action of the next state", 1, {"following": _unless_over(lambda q, s, a, n: q[n, 0])},
     "one that takes the value of action 0 in the next state. Asked for is the best action there."),
    ("same action in the next state", 1, {"following": _unless_over(lambda q, s, a, n: q[n, a])},
     "one that takes the value of the same action in the next state. There the player is free to "
     "choose the best."),
    ("mean of the next state", 1, {"following": _unless_over(lambda q, s, a, n: q[n].mean())},
     "one that takes the mean of the next state's row. That is what the state is worth to dice; "
     "Q-learning asks for the best action."),
    ("worst of the next state", 1, {"following": _unless_over(lambda q, s, a, n: q[n].min())},
     "one that takes the smallest value of the next state, as if an enemy chose there."),
    ("number of the best action", 1,
     {"following": _unless_over(lambda q, s, a, n: float(q[n].argmax()))},
     "one that takes `argmax`: the number of the best action, where its value is needed."),
    ("best of the whole table", 1, {"following": _unless_over(lambda q, s, a, n: q.max())},
     "one that takes the largest value of the whole table. Only the next state's row can be "
     "reached from here."),
    ("best of this state", 1, {"following": _unless_over(lambda q, s, a, n: q[s].max())},
     "one that takes the best value of `state`. The reward is followed by `next_state`."),
    ("best is at least 0", 1, {"following": _unless_over(lambda q, s, a, n: max(0.0, q[n].max()))},
     "one whose search for the largest value begins at 0. Where all values are negative, it finds "
     "a hope that is not there."),
    ("no discount", 1, {"target": lambda r, g, v, over, rate: r + v},
     "one that leaves out the discount: a hit would be worth as much in an hour as now."),
    ("reward discounted", 1, {"target": lambda r, g, v, over, rate: g * (r + v)},
     "one that discounts the reward as well. It is paid at once and counts in full."),
    ("no reward", 1, {"target": lambda r, g, v, over, rate: g * v},
     "one that leaves out the reward. It is the only fact in the target; without it a table of "
     "zeros stays one."),
    ("no reward at the end", 1, {"target": lambda r, g, v, over, rate: 0.0 if over else r + g * v},
     "one whose target is 0 when the game is over. The last reward is paid all the same, and in "
     "this chapter's game it is the only one."),
    ("reward at the end only", 1, {"target": lambda r, g, v, over, rate: r if over else g * v},
     "one that counts the reward only when the game is over. Breakout pays in the midst of it."),
    ("discount of its own", 1, {"target": lambda r, g, v, over, rate: r + 0.99 * v},
     "one that takes 0.99, whatever `discount` it is handed."),
    ("sets", 2, {"move": _set},
     "one that replaces the entry by its target. One lucky shot would wipe out all earlier "
     "experience; the learning rate says how far to go."),
    ("moves away", 2, {"move": _away},
     "one that moves the entry away from its target: the sign of the difference is turned round, "
     "and values run off to infinity."),
    ("adds the target", 2, {"move": _added},
     "one that adds a share of the target, and forgets to take the entry off first. Values grow "
     "with every visit."),
    ("shares swapped", 2, {"move": _shares_swapped},
     "one that keeps the share `learning_rate` of the old entry and takes the rest from the "
     "target. It is the other way round: a small rate moves little."),
    ("whole row", 2, {"move": _whole_row},
     "one that moves every action of the state towards the target. Nothing was learnt about the "
     "actions that were not taken."),
    ("row by one difference", 2, {"move": _by_one_difference},
     "one that moves the whole row of the state by the same amount, as `q_table[state] += ...` "
     "does. The action belongs into the brackets."),
    ("whole column", 2, {"move": _whole_column},
     "one that moves this action in every state. Something was learnt about one of them."),
    ("entry of the next state", 2, {"move": _next_entry},
     "one that moves the entry of `next_state`. What happened speaks about `state` and what was "
     "done there."),
    ("entry of the best action", 2, {"move": _best_entry},
     "one that moves the entry of the state's best action. The one that was taken may be another, "
     "and it is the one whose outcome was seen."),
    ("difference to the best", 2, {"move": _beside_the_best},
     "one that compares the target with the best value of the state. The difference to the entry "
     "itself is to be made up."),
)  # fmt: skip

_WHOLE = (
    ("end not learnt", 1, _end_not_learnt,
     "one that does nothing when the game is over. The last step is where learning begins: its "
     "target is the reward, a fact."),
    ("sets at the end", 2, _sets_at_the_end,
     "one that replaces the entry by the reward when the game is over. The target is right; the "
     "entry moves towards it by a share here as everywhere, since one game might be an accident."),
    ("adds at the end", 2, _adds_at_the_end,
     "one that adds a share of the reward when the game is over, and forgets to take the entry "
     "off first: `learning_rate * (reward - entry)`."),
    ("discount and rate swapped", 1, _swapped,
     "one that takes the discount for the learning rate and the learning rate for the discount."),
    ("rate on the reward only", 2, _part_of_the_target,
     "one that adds the whole discounted next value, and only a share of the reward. Both "
     "are the target, and the entry goes a share of the way to it."),
)  # fmt: skip

WRONG = tuple(
    WrongVersion(slug, piece, f"Your update equals {says}", hint)
    for slug, hint, piece, says in (
        *((slug, hint, update_with(**parts), says) for slug, hint, parts, says in _WRONG),
        *_WHOLE,
    )
)
