"""Training steps that are wrong in one way each: what the targets and predictions are made of.

Loss and optimiser are in `loop_wrong_updates`, reports in `loop_wrong_reports`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.course.catalogue.learning_facts import leaves_open
from dqn_ref.learner import LearnerParts, Metrics
from dqn_ref.learner import td_targets as bellman
from dqn_ref.replay import Batch

wrong = WrongVersions()


def online(parts: LearnerParts, states: torch.Tensor) -> torch.Tensor:
    return parts.online(states).float()


def target(parts: LearnerParts, states: torch.Tensor) -> torch.Tensor:
    return parts.target(states).float()


def taken(q_values: torch.Tensor, batch: Batch) -> torch.Tensor:
    return q_values.gather(1, batch.actions[:, None]).squeeze(1)


def reduced(parts: LearnerParts, losses: torch.Tensor) -> torch.Tensor:
    return losses.sum() if parts.loss_reduction == "sum" else losses.mean()


def descend(parts: LearnerParts, loss: torch.Tensor) -> None:
    parts.optimizer.zero_grad()
    loss.backward()
    parts.optimizer.step()


@dataclass(frozen=True)
class Done:
    """What an update can report about."""

    parts: LearnerParts
    batch: Batch
    q_values: torch.Tensor
    predicted: torch.Tensor
    targets: torch.Tensor
    losses: torch.Tensor


def report(done: Done) -> Metrics:
    return Metrics(done.losses.detach().mean(), done.predicted.detach().mean())


@dataclass(frozen=True)
class Step:
    """A training step whose parts can be exchanged one by one."""

    next_target: Callable = lambda parts, batch: target(parts, batch.next_states)
    next_online: Callable = lambda parts, batch: (
        online(parts, batch.next_states) if parts.double else None
    )
    seen: Callable = lambda batch: batch  # what the targets are made of
    combine: Callable = lambda parts, *arguments: parts.td_targets(*arguments)
    numbers: Callable = lambda targets: targets.detach()
    states: Callable = lambda batch: batch.states
    predict: Callable = taken
    errors: Callable = lambda parts, predicted, targets: parts.huber_loss(
        predicted, targets, parts.huber_delta
    )
    reduce: Callable = reduced
    learn: Callable = descend
    report: Callable = report
    afterwards: Callable = lambda parts: None

    def __call__(self, parts: LearnerParts, batch: Batch) -> Metrics:
        told = self.seen(batch)
        values = self.next_target(parts, batch), self.next_online(parts, batch)
        targets = self.combine(parts, told.rewards, told.discounts, told.terminated, *values)
        targets = self.numbers(targets)
        q_values = online(parts, self.states(batch))
        predicted = self.predict(q_values, batch)
        losses = self.errors(parts, predicted, targets)
        self.learn(parts, self.reduce(parts, losses))
        self.afterwards(parts)
        return self.report(Done(parts, batch, q_values, predicted, targets, losses))


def step(**changed: Callable) -> Callable:
    """A piece with some parts of `Step` exchanged."""
    made = Step(**changed)

    def training_step(parts, batch):
        return made(parts, batch)

    return leaves_open("half precision")(training_step)


def _wrong(slug: str, hint: int, says: str, **changed: Callable) -> None:
    wrong(slug, hint, says)(step(**changed))


# --- whose values, of which states ----------------------------------------------------------------

_wrong(
    "no target network",
    3,
    "Your update equals one whose targets come from the online network: it chases a target that "
    "moves with each of its own steps. The next states are valued by `parts.target`.",
    next_target=lambda parts, batch: online(parts, batch.next_states),
)
_wrong(
    "gradient into the targets",
    1,
    "Your update equals one whose targets are no plain numbers: the gradient flows into them as "
    "well, and wherever they depend on the online network it bends them towards the prediction.",
    numbers=lambda targets: targets,
)
_wrong(
    "targets of the states",
    1,
    "Your update equals one whose targets are made of `states` where `next_states` belong: it "
    "never looks at what the action led to.",
    next_target=lambda parts, batch: target(parts, batch.states),
    next_online=lambda parts, batch: online(parts, batch.states) if parts.double else None,
)
_wrong(
    "predictions of the next states",
    1,
    "Your update equals one that predicts from `next_states`: it teaches the network about the "
    "state in which the action has been taken already.",
    states=lambda batch: batch.next_states,
)
_wrong(
    "states swapped",
    1,
    "Your update equals one with `states` and `next_states` swapped: time runs backwards in it.",
    next_target=lambda parts, batch: target(parts, batch.states),
    next_online=lambda parts, batch: online(parts, batch.states) if parts.double else None,
    states=lambda batch: batch.next_states,
)
_wrong(
    "networks swapped with Double",
    3,
    "Your update with Double equals one in which the networks have changed places: the online "
    "network values, the target network chooses. `td_targets` takes the target network's answer "
    "fourth and the online network's fifth.",
    next_target=lambda parts, batch: (online if parts.double else target)(parts, batch.next_states),
    next_online=lambda parts, batch: target(parts, batch.next_states) if parts.double else None,
)
_wrong(
    "Double ignored",
    3,
    "Your update equals one without Double, whatever `parts.double` says: its values flatter as "
    "before.",
    next_online=lambda parts, batch: None,
)
_wrong(
    "always Double",
    3,
    "Your update equals one with Double, whatever `parts.double` says. The recipe of 2015 knows "
    "nothing of it, and no result could be compared with the paper's.",
    next_online=lambda parts, batch: online(parts, batch.next_states),
)
_wrong(
    "Double upside down",
    3,
    "Your update equals one that makes Double targets where `parts.double` is False, and plain "
    "ones where it is True.",
    next_online=lambda parts, batch: None if parts.double else online(parts, batch.next_states),
)

# --- what td_targets is told ----------------------------------------------------------------------

_wrong(
    "terminated forgotten",
    2,
    "Your update equals one in which nothing ever terminates: after a lost ball it counts on the "
    "points of the next one. `td_targets` needs `batch.terminated`.",
    seen=lambda batch: batch._replace(terminated=torch.zeros_like(batch.terminated)),
)
_wrong(
    "terminated upside down",
    2,
    "Your update equals one that says `terminated` where the game went on, and the other way "
    "round.",
    seen=lambda batch: batch._replace(terminated=~batch.terminated),
)
_wrong(
    "always 0.99",
    2,
    "Your update equals one with a discount of 0.99 for every transition. Each has its own in "
    "`batch.discounts`; after several steps of reward it is smaller.",
    seen=lambda batch: batch._replace(discounts=torch.full_like(batch.discounts, 0.99)),
)
_wrong(
    "rewards clipped",
    2,
    "Your update equals one that clips rewards to [-1, 1]. Whether that is done is decided before "
    "they are stored.",
    seen=lambda batch: batch._replace(rewards=batch.rewards.clamp(-1, 1)),
)
_wrong(
    "targets of its own",
    2,
    "Your update equals one that makes its targets by itself: the numbers are right today, and "
    "who gives another `td_targets` to the parts is not heard.",
    combine=lambda parts, *arguments: bellman(*arguments),
)

# --- what is predicted ----------------------------------------------------------------------------

_wrong(
    "largest Q in place of Q(s, a)",
    1,
    "Your update equals one that moves the largest Q(s, ·) of each state. The reward belongs to "
    "the action that was taken, and so does the error.",
    predict=lambda q_values, batch: q_values.max(dim=1).values,
)
_wrong(
    "mean Q in place of Q(s, a)",
    1,
    "Your update equals one that moves the mean of Q(s, ·): all actions are credited with what "
    "one of them has done.",
    predict=lambda q_values, batch: q_values.mean(dim=1),
)
_wrong(
    "sum of Q in place of Q(s, a)",
    1,
    "Your update equals one that moves the sum of Q(s, ·): all actions are credited with what one "
    "of them has done.",
    predict=lambda q_values, batch: q_values.sum(dim=1),
)
_wrong(
    "first action",
    2,
    "Your update equals one that moves Q(s, 0), whichever action was taken.",
    predict=lambda q_values, batch: q_values[:, 0],
)
_wrong(
    "states alone divided twice",
    2,
    "Your update equals one that divides `states` by 255 before the network does so again: it "
    "learns what to do on a screen that is nearly black.",
    states=lambda batch: batch.states / 255,
)
_wrong(
    "next states alone divided twice",
    2,
    "Your update equals one that divides `next_states` by 255 before the network does so again: "
    "its targets are those of a screen that is nearly black.",
    next_target=lambda parts, batch: target(parts, batch.next_states / 255),
    next_online=lambda parts, batch: (
        online(parts, batch.next_states / 255) if parts.double else None
    ),
)
_wrong(
    "states divided twice",
    2,
    "Your update equals one that divides the states by 255 before the network does so again. "
    "Every screen is nearly black to it then.",
    next_target=lambda parts, batch: target(parts, batch.next_states / 255),
    next_online=lambda parts, batch: (
        online(parts, batch.next_states / 255) if parts.double else None
    ),
    states=lambda batch: batch.states / 255,
)
