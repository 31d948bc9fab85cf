"""TD targets that are wrong in one way each: the end, the sum, and arguments that are spoilt.

Mistakes about the next value, and with Double, are in `learning_wrong_next_values`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.course.catalogue.learning_facts import leaves_open

wrong = WrongVersions()


@dataclass(frozen=True)
class Given:
    """The arguments of a call; `on` is 1.0 where the game goes on and 0.0 where it terminated."""

    rewards: torch.Tensor
    discounts: torch.Tensor
    terminated: torch.Tensor
    target: torch.Tensor
    online: torch.Tensor | None

    @property
    def on(self) -> torch.Tensor:
        return 1 - self.terminated.float()


def largest(given: Given) -> torch.Tensor:
    return given.target.max(dim=1).values


def doubled(given: Given) -> torch.Tensor:
    return given.target.gather(1, given.online.argmax(dim=1, keepdim=True)).squeeze(1)


def bellman(given: Given, best: torch.Tensor) -> torch.Tensor:
    return given.rewards + given.discounts * given.on * best


def targets(
    plain: Callable = largest, double: Callable = doubled, combine: Callable = bellman
) -> Callable:
    """A piece with parts exchanged: next values without and with Double, and what is made of them.

    Args:
        plain, double: Given -> `(B,)`.
        combine: Given, `(B,)` -> `(B,)`.
    """

    def td_targets(rewards, discounts, terminated, next_q_target, next_q_online=None):
        given = Given(rewards, discounts, terminated, next_q_target, next_q_online)
        return combine(given, plain(given) if next_q_online is None else double(given))

    return td_targets


def listed(slug: str, hint: int, says: str, *open_: str, **parts: Callable) -> None:
    """Put `targets(**parts)` on the list; `open_` is for `leaves_open`."""
    wrong(slug, hint, says)(leaves_open(*open_)(targets(**parts)))


# --- the end of an episode ------------------------------------------------------------------------

listed(
    "no mask",
    1,
    "Your targets equal those of a learner that ignores `terminated`. After a lost ball it counts "
    "on the points of the next one, and values climb far beyond what a game is worth.",
    combine=lambda g, best: g.rewards + g.discounts * best,
)
listed(
    "no mask with Double",
    3,
    "Your targets equal those of a learner that respects `terminated` without Double and forgets "
    "it with Double.",
    combine=lambda g, best: (
        bellman(g, best) if g.online is None else g.rewards + g.discounts * best
    ),
)
listed(
    "no mask without Double",
    1,
    "Your targets equal those of a learner that respects `terminated` with Double and forgets it "
    "without.",
    combine=lambda g, best: (
        g.rewards + g.discounts * best if g.online is None else bellman(g, best)
    ),
)
listed(
    "mask upside down",
    1,
    "Your targets equal those of a learner that has a future only where the episode terminated. "
    "Everywhere else the reward is all there is, so it sees one step ahead.",
    combine=lambda g, best: g.rewards + g.discounts * (1 - g.on) * best,
)
listed(
    "reward masked too",
    1,
    "Your targets equal 0 wherever a step terminated: the reward is masked together with the "
    "future. The last step's reward is paid all the same.",
    combine=lambda g, best: (g.rewards + g.discounts * best) * g.on,
)
listed(
    "reward masked and not the future",
    1,
    "Your targets equal those of a learner that masks the reward and leaves the future as it is. "
    "It is the future that ends.",
    combine=lambda g, best: g.rewards * g.on + g.discounts * best,
)
listed(
    "one end ends all",
    1,
    "Your targets equal those of a learner that drops the future of the whole batch as soon as one "
    "of its steps terminated. `terminated` has an answer for each row.",
    combine=lambda g, best: g.rewards if g.terminated.any() else bellman(g, best),
)
listed(
    "no reward",
    1,
    "Your targets equal the discounted next value alone: the rewards are missing, and with them "
    "everything that is true about a target.",
    combine=lambda g, best: g.discounts * g.on * best,
)

# --- discount and sum -----------------------------------------------------------------------------

listed(
    "no discount",
    1,
    "Your targets equal those with a discount of 1, whatever `discounts` says. In an endless game "
    "values then grow without end.",
    combine=lambda g, best: g.rewards + g.on * best,
)
listed(
    "always 0.99",
    1,
    "Your targets equal those with a discount of 0.99 in every row. Each step has its own in "
    "`discounts`.",
    combine=lambda g, best: g.rewards + 0.99 * g.on * best,
)
listed(
    "discount of the first row",
    1,
    "Your targets equal those with the discount of the first row in every row. Each step has its "
    "own.",
    combine=lambda g, best: g.rewards + g.discounts[0] * g.on * best,
)
listed(
    "one minus discount",
    1,
    "Your targets equal those with 1 - discount in place of the discount: with 0.99 the future "
    "counts one hundredth.",
    combine=lambda g, best: g.rewards + (1 - g.discounts) * g.on * best,
)
listed(
    "discount squared",
    1,
    "Your targets equal those in which the future is discounted twice.",
    combine=lambda g, best: g.rewards + g.discounts**2 * g.on * best,
)
listed(
    "discount added",
    1,
    "Your targets equal reward plus discount plus next value: the discount is added, and should "
    "multiply.",
    combine=lambda g, best: g.rewards + g.on * (g.discounts + best),
)
listed(
    "reward discounted too",
    1,
    "Your targets equal discount times (reward + next value). The reward is paid now and is not "
    "discounted.",
    combine=lambda g, best: g.discounts * (g.rewards + g.on * best),
)
listed(
    "only the reward discounted",
    1,
    "Your targets equal discount times reward, plus the next value. It is the other way round: "
    "the future is discounted.",
    combine=lambda g, best: g.discounts * g.rewards + g.on * best,
)
listed(
    "future subtracted",
    1,
    "Your targets equal reward minus discounted next value: a good future would make a step bad.",
    combine=lambda g, best: g.rewards - g.discounts * g.on * best,
)
listed(
    "rewards clipped",
    1,
    "Your targets equal those with rewards clipped to [-1, 1]. Whether rewards are clipped is "
    "decided before they are stored; here they are taken as they come.",
    combine=lambda g, best: g.rewards.clamp(-1, 1) + g.discounts * g.on * best,
)
listed(
    "targets clipped",
    1,
    "Your targets equal the right ones, clipped to [-1, 1]. A value is a sum of many rewards and "
    "may be far above 1.",
    combine=lambda g, best: bellman(g, best).clamp(-1, 1),
)
listed(
    "no future below zero",
    1,
    "Your targets equal those in which a next value below 0 counts as 0. If all that is left is "
    "bad, the best of it is bad, too.",
    combine=lambda g, best: bellman(g, best.clamp(min=0)),
)

# --- arguments that are written to ----------------------------------------------------------------


@wrong(
    "writes into rewards",
    4,
    "Your targets equal those of a piece that builds them inside `rewards`. The batch then holds "
    "targets where it held rewards, and whoever uses it once more trains on nonsense.",
)
def _into_rewards(rewards, discounts, terminated, next_q_target, next_q_online=None):
    rewards += targets()(
        torch.zeros_like(rewards), discounts, terminated, next_q_target, next_q_online
    )
    return rewards


@wrong(
    "writes zeros into next_q_target",
    4,
    "Your targets equal those of a piece that writes zeros into `next_q_target` where a step "
    "terminated. The numbers are right, and the caller's tensor is spoilt.",
)
def _into_next_q(rewards, discounts, terminated, next_q_target, next_q_online=None):
    next_q_target[terminated] = 0
    return targets()(rewards, discounts, terminated, next_q_target, next_q_online)


@wrong(
    "writes zeros into discounts",
    4,
    "Your targets equal those of a piece that sets `discounts` to 0 where a step terminated. The "
    "numbers are right, and the caller's batch is changed.",
)
def _into_discounts(rewards, discounts, terminated, next_q_target, next_q_online=None):
    discounts *= ~terminated
    return targets()(rewards, discounts, terminated, next_q_target, next_q_online)
