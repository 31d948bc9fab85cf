"""TD targets that take a wrong next value, without Double or with it.

A name of the first kind says nothing about scenes with Double: whoever begins without it has not
written that part yet.
"""

from __future__ import annotations

import torch

from dqn_ref.course.catalogue.learning_wrong_targets import Given, doubled, largest, listed, wrong

__all__ = ["wrong"]

# --- the next value -------------------------------------------------------------------------------


def _of_each_action(values: torch.Tensor, given: Given) -> torch.Tensor:
    """One number for each action, handed out to the steps as if there were as many of them."""
    return values[torch.arange(len(given.rewards)) % len(values)]


listed(
    "mean over actions",
    1,
    "Your targets without Double equal those with the mean over actions in place of the largest: "
    "the value of a player who throws dice from the next step on.",
    "Double",
    plain=lambda g: g.target.mean(dim=1),
)
listed(
    "smallest over actions",
    1,
    "Your targets without Double equal those with the smallest next value: the learner expects to "
    "play as badly as it can.",
    "Double",
    plain=lambda g: g.target.min(dim=1).values,
)
listed(
    "sum over actions",
    1,
    "Your targets without Double equal those with the sum over actions in place of the largest. "
    "One action will be taken, not all of them.",
    "Double",
    plain=lambda g: g.target.sum(dim=1),
)
listed(
    "largest of absolute values",
    1,
    "Your targets without Double equal those with the largest absolute value: a very bad action "
    "counts as a very good one.",
    "Double",
    plain=lambda g: g.target.abs().max(dim=1).values,
)
listed(
    "largest of the batch",
    2,
    "Your targets without Double equal those in which every row has the largest next value of the "
    "whole batch. `max()` without an axis looks at everything: `max(dim=1)`.",
    "Double",
    plain=lambda g: g.target.max(),
)
listed(
    "over the batch",
    2,
    "Your targets without Double equal those with the largest value of each action, over the "
    "batch. Rows are steps and columns are actions: `max(dim=1)`.",
    "not square",
    "Double",
    plain=lambda g: _of_each_action(g.target.max(dim=0).values, g),
)
listed(
    "number of the action",
    2,
    "Your targets without Double equal those with the number of the best action in place of its "
    "value. `argmax` and `.indices` say where the largest is, `.values` what it is.",
    "Double",
    plain=lambda g: g.target.max(dim=1).indices.float(),
)
listed(
    "first action",
    2,
    "Your targets without Double equal those with the value of action 0, whatever the others are "
    "worth.",
    "Double",
    plain=lambda g: g.target[:, 0],
)

# --- Double ---------------------------------------------------------------------------------------

listed(
    "Double ignored",
    3,
    "Your targets equal those without Double: `next_q_online` makes no difference, and the maximum "
    "flatters as before.",
    double=largest,
)
listed(
    "largest of the online network",
    3,
    "Your targets with Double equal those that take the online network's largest value. It should "
    "choose only; what the choice is worth is the target network's to say.",
    double=lambda g: g.online.max(dim=1).values,
)
listed(
    "Double the other way round",
    3,
    "Your targets with Double equal those in which the target network chooses and the online "
    "network values. It is the other way round.",
    double=lambda g: g.online.gather(1, g.target.argmax(dim=1, keepdim=True)).squeeze(1),
)
listed(
    "smaller of the two networks",
    3,
    "Your targets with Double equal those that take the smaller of both networks' values for the "
    "online network's action. That is another algorithm; Double takes the target network's.",
    double=lambda g: torch.minimum(g.online.max(dim=1).values, doubled(g)),
)
listed(
    "mean of the two networks",
    3,
    "Your targets with Double equal those that take the mean of both networks, action by action, "
    "and of that the largest.",
    double=lambda g: ((g.online + g.target) / 2).max(dim=1).values,
)
