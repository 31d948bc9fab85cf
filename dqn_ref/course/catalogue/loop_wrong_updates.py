"""Training steps that are wrong in one way each: loss, optimiser, networks.

What targets and predictions are made of is in `loop_wrong_targets`, what is reported in
`loop_wrong_reports`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.course.catalogue.loop_wrong_targets import descend, step, taken
from dqn_ref.learner import Metrics, huber_loss, update_target

wrong = WrongVersions()


def _wrong(slug: str, hint: int, says: str, **changed: Callable) -> None:
    wrong(slug, hint, says)(step(**changed))


# --- the loss -------------------------------------------------------------------------------------

_wrong(
    "delta ignored",
    3,
    "Your update equals one with a Huber loss of delta 1, whatever `parts.huber_delta` says.",
    errors=lambda parts, predicted, targets: parts.huber_loss(predicted, targets),
)
_wrong(
    "prediction and target swapped",
    2,
    "Your update equals one that gives `huber_loss` the targets first. A loss that takes its "
    "second argument for plain numbers then has no gradient at all.",
    errors=lambda parts, predicted, targets: parts.huber_loss(
        targets, predicted, parts.huber_delta
    ),
)
_wrong(
    "loss of its own",
    2,
    "Your update equals one with a Huber loss of its own: the numbers are right today, and who "
    "gives another `huber_loss` to the parts is not heard.",
    errors=lambda parts, predicted, targets: huber_loss(predicted, targets, parts.huber_delta),
)
_wrong(
    "PyTorch's loss with its own delta",
    3,
    "Your update equals one with PyTorch's Huber loss of delta 1. The loss and its delta come from "
    "the parts.",
    errors=lambda parts, predicted, targets: functional.huber_loss(
        predicted, targets, reduction="none"
    ),
)
_wrong(
    "squared error",
    3,
    "Your update equals one with the squared error in place of `parts.huber_loss`: one large error "
    "shouts down the batch.",
    errors=lambda parts, predicted, targets: functional.mse_loss(
        predicted, targets, reduction="none"
    ),
)
_wrong(
    "always the mean",
    3,
    'Your update equals one that takes the mean, whatever `parts.loss_reduction` says. With "sum" '
    "a batch of 32 has a gradient 32 times as long.",
    reduce=lambda parts, losses: losses.mean(),
)
_wrong(
    "always the sum",
    3,
    'Your update equals one that takes the sum, whatever `parts.loss_reduction` says. With "mean" '
    "its gradient is as many times too long as the batch has transitions.",
    reduce=lambda parts, losses: losses.sum(),
)

# --- the optimiser --------------------------------------------------------------------------------


def _without_zero_grad(parts, loss):
    loss.backward()
    parts.optimizer.step()


def _without_step(parts, loss):
    parts.optimizer.zero_grad()
    loss.backward()


def _step_first(parts, loss):
    parts.optimizer.zero_grad()
    parts.optimizer.step()
    loss.backward()


def _step_one_late(parts, loss):
    parts.optimizer.step()
    parts.optimizer.zero_grad()
    loss.backward()


def _cleared_too_late(parts, loss):
    loss.backward()
    parts.optimizer.zero_grad()
    parts.optimizer.step()


def _backward_twice(parts, loss):
    parts.optimizer.zero_grad()
    loss.backward(retain_graph=True)
    loss.backward()
    parts.optimizer.step()


def _step_twice(parts, loss):
    descend(parts, loss)
    parts.optimizer.step()


def _uphill(parts, loss):
    descend(parts, -loss)


def _clipping(clip: Callable, limit: float) -> Callable:
    def learn(parts, loss):
        parts.optimizer.zero_grad()
        loss.backward()
        clip(parts.online.parameters(), limit)
        parts.optimizer.step()

    return learn


_wrong(
    "gradients never cleared",
    2,
    "Your update equals one without `zero_grad`: each gradient is the sum of all before it, and "
    "the network runs on long after it should have turned.",
    learn=_without_zero_grad,
)
_wrong(
    "no step",
    2,
    "Your update equals one that computes the gradient and does not use it: without "
    "`optimizer.step()` the network stays as it was born.",
    learn=_without_step,
)
_wrong(
    "step before backward",
    2,
    "Your update equals one whose optimiser steps between `zero_grad` and `backward`: there is no "
    "gradient then, and nothing is learnt.",
    learn=_step_first,
)
_wrong(
    "one update late",
    2,
    "Your update equals one whose optimiser steps before `backward`: it applies the gradient of "
    "the batch before, and the first update does nothing.",
    learn=_step_one_late,
)
_wrong(
    "cleared before the step",
    2,
    "Your update equals one that clears the gradient between `backward` and the step: nothing is "
    "left to learn from.",
    learn=_cleared_too_late,
)
_wrong(
    "backward twice",
    2,
    "Your update equals one that goes back through the loss twice: its gradient is twice as long.",
    learn=_backward_twice,
)
_wrong(
    "two steps",
    2,
    "Your update equals one whose optimiser steps twice for one gradient.",
    learn=_step_twice,
)
_wrong(
    "uphill",
    1,
    "Your update equals one that moves Q(s, a) away from its target: the sign of the loss is "
    "turned.",
    learn=_uphill,
)
for _limit in (1.0, 10.0):
    _wrong(
        f"gradient norm at most {_limit:g}",
        1,
        f"Your update equals one that shortens the gradient to a length of {_limit:g}. Nothing "
        "here asks for it: large errors are clipped one by one, by the delta of the loss.",
        learn=_clipping(clip_grad_norm_, _limit),
    )
for _limit in (1.0, 100.0):
    _wrong(
        f"gradient clipped at {_limit:g}",
        1,
        f"Your update equals one that clips each number of the gradient to ±{_limit:g}. Nothing "
        "here asks for it: large errors are clipped one by one, by the delta of the loss.",
        learn=_clipping(clip_grad_value_, _limit),
    )

# --- the target network and the batch -------------------------------------------------------------

_wrong(
    "target copied each time",
    1,
    "Your update equals one that copies the online network into the target network at its end. "
    "The learner does so when it is due; a target that moves with every update is none.",
    afterwards=lambda parts: update_target(parts.online, parts.target, 1.0),
)
for _tau in (0.005, 0.01):
    _wrong(
        f"target mixed each time, {_tau:g}",
        1,
        f"Your update equals one that mixes {_tau:g} of the online network into the target network "
        "at its end. How and when it follows is for the learner and its recipe to say.",
        afterwards=lambda parts, tau=_tau: update_target(parts.online, parts.target, tau),
    )
_wrong(
    "discounts overwritten",
    2,
    "Your update equals one that writes zeros into `batch.discounts`. The step is right, and the "
    "batch is the caller's.",
    seen=lambda batch: (batch.discounts.mul_(~batch.terminated), batch)[1],
)

# --- half precision -------------------------------------------------------------------------------


@wrong(
    "no float32",
    5,
    "Your update equals one that passes the networks' answers on as they come. In bfloat16 they "
    "have 8 bits of precision: targets and losses are made of float32, by `.float()`.",
)
def _as_they_come(parts, batch):
    with torch.no_grad():
        targets = parts.td_targets(
            batch.rewards,
            batch.discounts,
            batch.terminated,
            parts.target(batch.next_states),
            parts.online(batch.next_states) if parts.double else None,
        )
    predicted = taken(parts.online(batch.states), batch)
    losses = parts.huber_loss(predicted, targets, parts.huber_delta)
    descend(parts, losses.sum() if parts.loss_reduction == "sum" else losses.mean())
    return Metrics(losses.detach().mean(), predicted.detach().mean())
