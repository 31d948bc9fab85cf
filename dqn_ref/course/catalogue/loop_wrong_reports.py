"""Training steps that learn as they should and report something else."""

from __future__ import annotations

from collections.abc import Callable

import torch

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.course.catalogue.loop_wrong_targets import Done, online, step, taken
from dqn_ref.learner import Metrics, huber_loss

wrong = WrongVersions()


def _wrong(slug: str, hint: int, says: str, **changed: Callable) -> None:
    wrong(slug, hint, says)(step(**changed))


def _reporting(loss: Callable | None = None, q_mean: Callable | None = None) -> dict[str, Callable]:
    def report(done: Done) -> Metrics:
        usual = Metrics(done.losses.detach().mean(), done.predicted.detach().mean())
        return Metrics(
            usual.loss if loss is None else loss(done).detach(),
            usual.q_mean if q_mean is None else q_mean(done).detach(),
        )

    return {"report": report}


def _now(done: Done) -> torch.Tensor:
    """Q(s, a) after the step."""
    return taken(online(done.parts, done.batch.states), done.batch)


def _loss_now(done: Done) -> torch.Tensor:
    return huber_loss(_now(done), done.targets, done.parts.huber_delta).mean()


_wrong(
    "reported after the step",
    4,
    "Your report equals one whose loss is that after the step. It should be the one that the step "
    "was made from, and costs nothing then.",
    **_reporting(loss=_loss_now),
)
_wrong(
    "all reported after the step",
    4,
    "Your report equals one made after the step: loss and Q of a network that has seen the "
    "answers. Both belong in front of it.",
    **_reporting(loss=_loss_now, q_mean=lambda done: _now(done).mean()),
)
_wrong(
    "reduced loss reported",
    4,
    'Your report equals one whose loss is the sum where `parts.loss_reduction` is "sum". The log '
    "shows the mean of the batch in every recipe, or curves could not be compared.",
    **_reporting(
        loss=lambda done: (
            done.losses.sum() if done.parts.loss_reduction == "sum" else done.losses.mean()
        )
    ),
)
_wrong(
    "largest Q reported",
    4,
    "Your report equals one whose q_mean is the mean of the largest Q(s, ·). It should be Q(s, a) "
    "of the actions that were taken.",
    **_reporting(q_mean=lambda done: done.q_values.max(dim=1).values.mean()),
)
_wrong(
    "all Q reported",
    4,
    "Your report equals one whose q_mean is the mean over all actions. It should be Q(s, a) of the "
    "actions that were taken.",
    **_reporting(q_mean=lambda done: done.q_values.mean()),
)
_wrong(
    "targets reported",
    4,
    "Your report equals one whose q_mean is the mean of the targets. It should say what the "
    "network thinks, not what it is told.",
    **_reporting(q_mean=lambda done: done.targets.mean()),
)
_wrong(
    "report swapped",
    4,
    "Your report equals one with loss and q_mean in each other's place.",
    **_reporting(lambda done: done.predicted.mean(), lambda done: done.losses.mean()),
)
_wrong(
    "one loss for each transition",
    4,
    "Your report equals one that gives a loss for each transition. The log wants one number for "
    "the batch.",
    **_reporting(loss=lambda done: done.losses),
)
_wrong(
    "history kept",
    4,
    "Your report equals one that is not detached: the log keeps it for hundreds of updates, and "
    "with it everything it was computed from.",
    report=lambda done: Metrics(done.losses.mean(), done.predicted.mean()),
)
_wrong(
    "history of the loss kept",
    4,
    "Your report equals one whose loss is not detached: the log keeps it for hundreds of updates, "
    "and with it everything it was computed from.",
    report=lambda done: Metrics(done.losses.mean(), done.predicted.detach().mean()),
)
_wrong(
    "Python numbers",
    4,
    "Your report equals one of Python numbers. The log stacks tensors, and `item()` makes a GPU "
    "wait at every update.",
    report=lambda done: Metrics(done.losses.mean().item(), done.predicted.mean().item()),
)
