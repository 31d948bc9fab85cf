"""TD targets of chapter 07: their batches, and versions of other make.

Contract: `dqn_ref.pieces.CONTRACTS["td_targets"]`. In words: reward, plus discount times the value
of the next state: the target network's largest, or with `next_q_online` what the target network
says of the online network's best action. After a terminated step, the reward alone. `(B,)` float32.

Open is whether a gradient would flow through, and how the future is taken away. Multiplying it by 0
passes; a remark then says that 0 · inf is nan. The wrong versions are in `learning_wrong_targets`
and `learning_wrong_next_values`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import Entry, Fact, Probe, RightVersion, Trace
from dqn_ref.course.catalogue.learning_facts import (
    LeftOpen,
    Numbers,
    flat,
    makeup,
    number,
    numbers,
    unchanged,
)
from dqn_ref.course.catalogue.learning_wrong_next_values import wrong
from dqn_ref.learner import td_targets

HINTS = {
    1: "the idea: the best next value of each row, over its actions; nothing where it terminated, "
    "times the step's own discount, plus the reward, which is never masked",
    2: "the calls: max(dim=1).values, and masked_fill(terminated, 0.0)",
    3: "Double: the online network's argmax names the action, gather looks up the target network's "
    "value of it",
    4: "the shape: (B,) float32; arguments stay as they are",
}

_NAMES = ("rewards", "discounts", "terminated", "next_q_target", "next_q_online")


@dataclass(frozen=True)
class Batch:
    """One call, or two in a row."""

    rewards: torch.Tensor
    discounts: torch.Tensor
    terminated: torch.Tensor
    next_q_target: torch.Tensor
    next_q_online: torch.Tensor | None = None
    says_none: bool = False  # whether `next_q_online` is handed over as None, or left out

    def observe(self, piece: Callable, seen: Trace | None) -> Iterator[Fact]:
        kept = {name: getattr(self, name) for name in _NAMES if getattr(self, name) is not None}
        given = {name: tensor.clone() for name, tensor in kept.items()}
        found = piece(*given.values(), *([None] if self.says_none else []))
        made = makeup(found, (len(self.rewards),), "targets", 4)
        yield made
        if made.value == "well made":
            values = flat(found)
            hint = 1 if self.next_q_online is None else 3
            yield Numbers("targets", values, hint=hint, about=self._about)
            yield unchanged(given, kept, 4)
            piece(*(tensor.flip(0) for tensor in kept.values()))
            same = np.array_equal(values, flat(found), equal_nan=True)
            tell = "the targets of one batch hold other numbers once those of the next are made"
            yield Fact("an array of its own", same, tell, 4)

    def _about(self, row: int) -> str:
        """How the sentence on one row begins."""
        online = self.next_q_online
        ended = "a terminated step of " if self.terminated[row] else ""
        reward, discount = number(self.rewards[row].item()), number(self.discounts[row].item())
        values = f"next values {numbers(self.next_q_target[row].tolist())}"
        if online is not None:
            values += f" (online network: {numbers(online[row].tolist())})"
        return f"for {ended}reward {reward}, discount {discount} and {values} the target"


def _batch(rewards, discounts, terminated, target, online=None) -> Batch:
    floats = [torch.tensor(row) for row in (rewards, discounts)]
    online = None if online is None else torch.tensor(online)
    return Batch(*floats, torch.tensor(terminated), torch.tensor(target), online)


def _by_dice(seed: int, steps: int, actions: int, double: bool, ends: float = 0.3) -> Batch:
    """A batch with numbers of two digits: rewards of unclipped games, discounts of all sizes."""
    rng = np.random.default_rng([7, seed])
    rewards = rng.choice([-4.0, -1.0, 0.0, 0.0, 1.0, 4.0, 7.0], steps)
    discounts = rng.choice([0.99, 0.99, 0.9703, 0.5, 0.25, 1.0, 0.0], steps)
    target, online = (np.round(rng.normal(0, 3, (steps, actions)), 2) for _ in range(2))
    ended = torch.from_numpy(rng.random(steps) < ends)
    rewards, discounts, target, online = (
        torch.from_numpy(numbers).float() for numbers in (rewards, discounts, target, online)
    )
    return Batch(rewards, discounts, ended, target, online if double else None, not double)


def _seen(batch: Batch) -> Callable:
    """The observation of a batch, with what some names say nothing about.

    That is Double, and, where axes of different lengths are mixed up, an error that is no news.
    """
    scene = batch if batch.next_q_online is None else LeftOpen("Double", batch)
    steps, actions = batch.next_q_target.shape
    return (scene if steps == actions else LeftOpen("not square", scene)).observe


_THREE = ([1.0, 0.0, 2.0], [0.5, 0.5, 0.5], [False, False, True])
_NEXT = [[1.0, 4.0, 2.0, 0.0], [-4.0, -1.0, -2.0, -6.0], [6.0, 8.0, 3.0, 7.0]]
_NEXT_ONLINE = [[7.0, 3.0, 5.0, 4.0], [-5.0, -6.0, -3.0, -7.0], [2.0, 1.0, 9.0, 3.0]]

SCENES = (
    Probe("a batch of three steps", _seen(_batch(*_THREE, _NEXT))),
    Probe("a batch of three steps with Double", _seen(_batch(*_THREE, _NEXT, _NEXT_ONLINE))),
    Probe("a batch of 32 steps", _seen(_by_dice(1, 32, 4, False))),
    Probe("a batch of 32 steps with Double", _seen(_by_dice(2, 32, 6, True))),
    Probe("a batch in which nothing ended", _seen(_by_dice(3, 18, 18, False, ends=0))),
    Probe("a batch in which nothing ended, with Double", _seen(_by_dice(4, 18, 18, True, 0))),
    Probe("a batch in which everything ended", _seen(_by_dice(9, 5, 5, False, ends=1))),
    Probe("a batch of one step", _seen(_batch([1.0], [0.5], [False], [[-4.0, -1.0, -2.0, -6.0]]))),
    Probe("a batch of one step with Double", _seen(_by_dice(6, 1, 4, True))),
)


def _remark(piece: Callable) -> str:
    """What multiplying by 0 does to a network that has gone astray."""
    ended, endless = torch.tensor([True]), torch.tensor([[float("inf"), 0.0]])
    if not piece(torch.ones(1), torch.ones(1), ended, endless).isnan().any():
        return ""
    return (
        "if a terminated step's next values are infinite, your target is nan, since 0 · inf is; "
        "masked_fill or torch.where would leave the reward"
    )


# --- right versions -------------------------------------------------------------------------------


def _with_loops(rewards, discounts, terminated, next_q_target, next_q_online=None):
    targets = []
    for i in range(len(rewards)):
        target = float(rewards[i])
        if not terminated[i]:
            row = next_q_target[i].tolist()
            judges = row if next_q_online is None else next_q_online[i].tolist()
            target += float(discounts[i]) * row[judges.index(max(judges))]
        targets.append(target)
    return torch.tensor(targets, dtype=torch.float32)


def _with_where(rewards, discounts, terminated, next_q_target, next_q_online=None):
    chooser = next_q_target if next_q_online is None else next_q_online
    rows = torch.arange(chooser.shape[0])
    future = next_q_target[rows, chooser.argmax(-1)]
    return torch.where(terminated, rewards, rewards + discounts * future).detach()


def _with_products(rewards, discounts, terminated, next_q_target, next_q_online=None):
    if next_q_online is not None:
        picked = torch.nn.functional.one_hot(next_q_online.argmax(1), next_q_online.size(1))
        best = (picked * next_q_target).sum(dim=1)
    else:
        best, _ = torch.max(next_q_target, 1)
    return rewards + discounts * best * (1 - terminated.float())


def _with_numpy(rewards, discounts, terminated, next_q_target, next_q_online=None):
    values = next_q_target.numpy()
    chooser = values if next_q_online is None else next_q_online.numpy()
    best = np.take_along_axis(values, np.argmax(chooser, axis=1)[:, np.newaxis], axis=1)[:, 0]
    future = np.where(terminated.numpy(), np.float32(0), best)
    return torch.from_numpy(rewards.numpy() + discounts.numpy() * future)


def _filled_in(rewards, discounts, terminated, next_q_target, next_q_online=None):
    targets, on = rewards.clone(), ~terminated
    if next_q_online is None:
        best = next_q_target.amax(1)
    else:
        best = next_q_target.gather(1, next_q_online.max(1, keepdim=True).indices).reshape(-1)
    targets[on] += discounts[on] * best[on]
    return targets


RIGHT = (
    RightVersion("loops over rows", _with_loops),
    RightVersion("where, indexed by rows", _with_where),
    RightVersion("products with zeros and ones", _with_products),
    RightVersion("NumPy", _with_numpy),
    RightVersion("a copy of the rewards, filled in", _filled_in),
)


def _workload(piece):
    plain, double = _by_dice(7, 32, 4, False), _by_dice(8, 32, 4, True)
    calls = [[getattr(batch, name) for name in _NAMES] for batch in (plain, double)]

    def job():
        for _ in range(10):
            for arguments in calls:
                piece(*arguments)

    return job


ENTRY = Entry(
    name="td_targets",
    probes=SCENES,
    wrong=wrong,
    right=RIGHT,
    hints=HINTS,
    model=td_targets,
    reference=td_targets,
    workload=_workload,
    remark=_remark,
)
