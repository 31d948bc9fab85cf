"""The training step of chapter 08: its updates, and steps of other make.

Contract: `dqn_ref.pieces.CONTRACTS["training_step"]`. In words: targets from the target network's
values of the next states (with Double the online network's beside them), no gradient into them;
Q(s, a) of the actions taken, the loss of each by `parts.huber_loss`, their mean or sum as
`parts.loss_reduction` says; one step of the optimiser. The report: mean loss and mean Q(s, a), both
before the step, 0-d tensors. Both formulas get float32.

Open is the order of equal operations, when gradients are cleared, and whether there are
`diagnostics`. The wrong versions are in `loop_wrong_*`.
"""

from __future__ import annotations

import math

import torch

from dqn_ref.course.catalogue.judging import Entry, Probe, RightVersion
from dqn_ref.course.catalogue.learning_facts import LeftOpen
from dqn_ref.course.catalogue.loop_updates import Descent, OneLayer, Updates
from dqn_ref.course.catalogue.loop_wrong_arguments import wrong as wrong_arguments
from dqn_ref.course.catalogue.loop_wrong_reports import wrong as wrong_reports
from dqn_ref.course.catalogue.loop_wrong_targets import wrong as wrong_targets
from dqn_ref.course.catalogue.loop_wrong_updates import wrong as wrong_updates
from dqn_ref.learner import LearnerParts, Metrics, huber_loss, td_targets, training_step
from dqn_ref.replay import Batch

HINTS = {
    1: "the idea: targets first, from the next states, as plain numbers; then Q(s, a) of the "
    "actions taken, a loss of each, one number, its gradient, one step",
    2: "the calls: td_targets, gather, huber_loss; zero_grad, backward, step in this order",
    3: "who says what: which network values and which chooses, delta and reduction of the parts",
    4: "what is reported: mean loss and mean Q(s, a) before the step, 0-d tensors, detached",
    5: "half precision: .float() behind each network's answer",
}

_SUM = {"loss_reduction": "sum", "huber_delta": 2.0}
_DOUBLE = {"double": True, "huber_delta": 0.75}
_LARGE = {"loss_reduction": "sum", "huber_delta": math.inf, "diagnostics": True}

SCENES = (
    Probe("three updates of four transitions each", Updates(1, {"huber_delta": 0.5}).observe),
    Probe('three updates with loss_reduction="sum"', Updates(2, _SUM, size=5).observe),
    Probe("three updates with double=True", Updates(3, _DOUBLE, size=7, frozen=False).observe),
    Probe("three updates whose online network is the target network, too",
          Updates(4, {}, size=5, shared=True).observe),
    Probe("two updates with huber_delta=inf and rewards in the hundreds",
          Updates(5, _LARGE, 2, scale=300.0, lr=1e-4).observe),
    Probe("an update of networks that answer in bfloat16",
          LeftOpen("half precision", Updates(6, _DOUBLE, 1, dtype=torch.bfloat16)).observe),
)  # fmt: skip


# --- right versions -------------------------------------------------------------------------------


def _indexed(parts, batch):
    rows = torch.arange(len(batch.actions))
    value = parts.online(batch.states).float()[rows, batch.actions]
    with torch.no_grad():
        online_next = parts.online(batch.next_states).float() if parts.double else None
        target = parts.td_targets(
            rewards=batch.rewards,
            discounts=batch.discounts,
            terminated=batch.terminated,
            next_q_target=parts.target(batch.next_states).float(),
            next_q_online=online_next,
        )
    loss = parts.huber_loss(predicted=value, target=target, delta=parts.huber_delta)
    reported = Metrics(loss=loss.mean().detach(), q_mean=value.mean().detach())
    (loss.sum() if parts.loss_reduction == "sum" else loss.mean()).backward()
    parts.optimizer.step()
    parts.optimizer.zero_grad()
    return reported


def _one_hot(parts, batch):
    parts.online.zero_grad()
    chosen = torch.nn.functional.one_hot(batch.actions, parts.online(batch.states).shape[1])
    arguments = [parts.target(batch.next_states).float().detach()]
    if parts.double:
        arguments.append(parts.online(batch.next_states).detach().float())
    nothing_follows = batch.discounts.masked_fill(batch.terminated, 0.0)
    targets = parts.td_targets(batch.rewards, nothing_follows, batch.terminated, *arguments)
    q = (parts.online(batch.states).float() * chosen).sum(1)
    losses = parts.huber_loss(q, targets, parts.huber_delta)
    weight = 1 if parts.loss_reduction == "sum" else 1 / len(losses)
    (losses * weight).sum().backward()
    parts.optimizer.step()
    return Metrics(torch.tensor(losses.mean().item()), torch.tensor(q.mean().item()))


def _row_by_row(parts, batch):
    parts.optimizer.zero_grad(set_to_none=False)
    losses, values, count = [], [], len(batch.actions)
    for i in range(count):
        row = Batch(*(values[i : i + 1] for values in batch))
        with torch.no_grad():
            following = [parts.target(row.next_states).float()]
            following += [parts.online(row.next_states).float()] if parts.double else []
            y = parts.td_targets(row.rewards, row.discounts, row.terminated, *following)
        value = parts.online(row.states).float()[0, int(row.actions)]
        loss = parts.huber_loss(value, y[0], parts.huber_delta)
        (loss if parts.loss_reduction == "sum" else loss / count).backward()
        losses.append(loss.detach())
        values.append(value.detach())
    parts.optimizer.step()
    return Metrics(torch.stack(losses).mean(), torch.stack(values).mean())


def _own_gradients(parts, batch):
    both = torch.cat([batch.states, batch.next_states])
    answers = parts.online(both).float()
    now, then = answers[: len(batch.states)], answers[len(batch.states) :]
    column = now.gather(1, batch.actions.unsqueeze(1))
    following = parts.target(batch.next_states).float()
    y = parts.td_targets(
        batch.rewards, batch.discounts, batch.terminated, following, then if parts.double else None
    ).detach()
    losses = parts.huber_loss(column, y.unsqueeze(1), parts.huber_delta)
    reduce = {"sum": torch.sum, "mean": torch.mean}[parts.loss_reduction]
    parameters = list(parts.online.parameters())
    gradients = torch.autograd.grad(reduce(losses), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    parts.optimizer.step()
    with torch.no_grad():
        again = parts.huber_loss(column, y.unsqueeze(1), parts.huber_delta)
        return Metrics(again.mean(), column.mean())


RIGHT = (
    RightVersion("indexed by rows, names for all arguments, cleared at the end", _indexed),
    RightVersion("one-hot actions, detached targets, discounts of 0 at an end", _one_hot),
    RightVersion("row by row, gradients added up", _row_by_row),
    RightVersion("one pass over both states, gradients written down", _own_gradients),
)


def _workload(piece):
    """Updates of small networks: what a step does beside their arithmetic is what differs."""
    online, target = OneLayer(1), OneLayer(2).requires_grad_(False)
    parts = LearnerParts(
        online, target, Descent(online, 1e-5), td_targets, huber_loss, 1.0, "mean", double=True
    )
    batch = Updates(7, {}, size=32).batch(0)

    def job():
        piece(parts, batch)

    return job


ENTRY = Entry(
    name="training_step",
    probes=SCENES,
    wrong=(*wrong_targets, *wrong_arguments, *wrong_updates, *wrong_reports),
    right=RIGHT,
    hints=HINTS,
    model=training_step,
    reference=training_step,
    workload=_workload,
)
