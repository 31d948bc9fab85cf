"""Known mistakes in `discounted_return`, and what the check says about them."""

from __future__ import annotations

import numpy as np

from dqn_ref.bellman import discounted_return
from dqn_ref.course.catalogue.judging import WrongVersion, WrongVersions

wrong = WrongVersions()


def _weighing(weight):
    """A return whose reward number t of n, counted from 0, weighs `weight(discount, t, n)`."""

    def discounted_return(rewards, discount):
        n = len(rewards)
        return float(sum(weight(discount, t, n) * reward for t, reward in enumerate(rewards)))

    return discounted_return


for _slug, _weight, _says in (
    (
        "first reward discounted",
        lambda g, t, n: g ** (t + 1),
        "one that discounts the first reward as well. All your returns are too small by one factor "
        "of the discount: a hit that is paid at once would not be worth 1.",
    ),
    (
        "no discount",
        lambda g, t, n: 1.0,
        "one that adds up the rewards as they are. That is the score, and it does not care whether "
        "a point comes now or in an hour.",
    ),
    (
        "last reward in full",
        lambda g, t, n: g ** (n - 1 - t),
        "one that counts the last reward in full and the first one least. Seen from the start it "
        "is the other way round: `total = reward + discount * total` has to run backwards.",
    ),
    (
        "last step's return",
        lambda g, t, n: float(t == n - 1),
        "one that returns the last reward alone, which is the return as seen from the last step. "
        "Asked for is that from the first step.",
    ),
    (
        "first reward only",
        lambda g, t, n: float(t == 0),
        "one that returns the first reward alone. The later ones belong to it, each with less "
        "weight.",
    ),
    (
        "discounted once",
        lambda g, t, n: g if t else 1.0,
        "one that gives every reward after the first the same weight. The weight shrinks with "
        "each step, by a power of the discount.",
    ),
    (
        "discounted twice",
        lambda g, t, n: g ** (2 * t),
        "one that applies the discount twice in every step: your 0.99 works like 0.98.",
    ),
    (
        "score discounted by length",
        lambda g, t, n: g**n,
        "one that multiplies the score by one power of the discount, that of the game's length. "
        "Each reward has its own weight.",
    ),
    (
        "discount times step",
        lambda g, t, n: g * t,
        "one whose weights are the discount times the step. They grow with time; a power of the "
        "discount shrinks.",
    ),
    (
        "mean",
        lambda g, t, n: g**t / n,
        "one that divides by the number of rewards. A return is a sum, and a longer game has more "
        "to add.",
    ),
    (
        "last reward lost",
        lambda g, t, n: g**t * (t < n - 1),
        "one that leaves out the last reward. It is often the only one: the point that ends the "
        "game.",
    ),
    (
        "first reward lost",
        lambda g, t, n: g**t * (t > 0),
        "one that leaves out the first reward.",
    ),
    (
        "from the second step on",
        lambda g, t, n: g ** (t - 1) if t else 0.0,
        "one that begins at the second reward and gives it full weight: the return as seen one "
        "step later.",
    ),
    (
        "discount of its own",
        lambda g, t, n: 0.99**t,
        "one that takes 0.99, whatever `discount` it is handed.",
    ),
):
    wrong.append(WrongVersion(_slug, _weighing(_weight), f"Your return equals {_says}", 1))


@wrong("return inside the loop", 2,
       "Your return equals one whose `return` stands inside the loop: it returns the first reward "
       "alone, and None if there is none. The `return` belongs behind the loop.")  # fmt: skip
def _return_inside_the_loop(rewards, discount):
    for reward in rewards:
        return float(reward)


@wrong("return inside a loop backwards", 2,
       "Your return equals one that reads backwards, with its `return` inside the loop: it "
       "returns the last reward alone, and None if there is none.")  # fmt: skip
def _return_inside_a_loop_backwards(rewards, discount):
    for reward in reversed(rewards):
        return float(reward)


@wrong("mean of an array", 1,
       "Your return equals one that takes the mean, as `np.mean` does, where a sum is asked for. "
       "A longer game has more to add; and a mean of no rewards at all is no number.")  # fmt: skip
def _mean_of_an_array(rewards, discount):
    return discounted_return(rewards, discount) / len(rewards) if len(rewards) else float("nan")


@wrong("zeros skipped", 1,
       "Your return equals one that leaves out the steps without a reward and counts the others. "
       "Waiting would cost nothing: time passes in every step, paid or not.")  # fmt: skip
def _zeros_skipped(rewards, discount):
    paid = [reward for reward in rewards if reward != 0]
    return float(sum(discount**t * reward for t, reward in enumerate(paid)))


@wrong("stops at the first point", 1,
       "Your return equals one that stops at the first reward that is not 0. All later points "
       "belong to it.")  # fmt: skip
def _stops_at_the_first_point(rewards, discount):
    for t, reward in enumerate(rewards):
        if reward != 0:
            return float(discount**t * reward)
    return 0.0


@wrong("whole numbers", 2,
       "Your return equals one that keeps its sums in whole numbers where rewards are whole, as "
       "`np.zeros_like(rewards)` does: half a point becomes 0.")  # fmt: skip
def _whole_numbers(rewards, discount):
    returns = np.zeros_like(rewards)
    following = 0
    for t in reversed(range(len(rewards))):
        returns[t] = rewards[t] + discount * following
        following = returns[t]
    return float(returns[0]) if len(rewards) else 0.0


@wrong("turns the list round", 2,
       "Your function equals one that calls `rewards.reverse()`. The number is right, and whoever "
       "handed you the list finds it turned round.")  # fmt: skip
def _turns_the_list_round(rewards, discount):
    if isinstance(rewards, list):
        rewards.reverse()
        return discounted_return(rewards[::-1], discount)
    return discounted_return(rewards, discount)


@wrong("weighs the array in place", 2,
       "Your function equals one that multiplies the weights into the array it was handed, as "
       "`rewards *= weights` does. The number is right, and the rewards are spoilt for whoever "
       "uses them next.")  # fmt: skip
def _weighs_in_place(rewards, discount):
    value = discounted_return(rewards, discount)
    if isinstance(rewards, np.ndarray) and rewards.dtype.kind == "f":
        rewards *= (discount ** np.arange(len(rewards))).astype(rewards.dtype)
    return value
