"""What is read from an update, and how a difference is told.

A learner reads what the formulas were given in words: not "2.31, expected 1.07" but "what the
online network says of the next states".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import Difference, Fact
from dqn_ref.course.catalogue.learning_facts import Numbers, flat, number, numbers, unchanged
from dqn_ref.course.catalogue.loop_known import Known, atol_of, parameters
from dqn_ref.course.catalogue.loop_report_facts import report_facts
from dqn_ref.learner import LearnerParts
from dqn_ref.replay import Batch


def update_facts(
    update: int,
    parts: LearnerParts,
    record: Any,
    known: Known,
    result: Any,
    given: Batch,
    before: np.ndarray | None,
) -> Iterator[Fact]:
    """The facts of one update.

    Args:
        update: its number, from 1.
        record: what was asked of the parts, a `loop_updates.Record`.
        result: what the piece returned.
        given: the batch that it worked on.
        before: the gradient of the update before.
    """
    name, size = f"update {update}", len(given.actions)
    yield from targets_facts(name, record, known, size)
    yield from _losses(name, record, known, size, parts.huber_delta)
    yield _order(name, record.calls)
    gradient = np.zeros(0) if record.gradient is None else record.gradient
    yield Gradient(f"gradient of {name}", gradient, "", 2, before=before, size=size,
                   reduction=parts.loss_reduction, atol=atol_of(gradient))  # fmt: skip
    after = parameters(parts.online)
    about = f"after {name} a parameter of the online network"
    yield Numbers(f"online network after {name}", after, "", 2, lambda i: about,
                  atol=atol_of(after))  # fmt: skip
    yield from _target_network(name, parts, known)
    kept = known.batch._asdict()
    yield unchanged(given._asdict(), kept, 2)
    yield from report_facts(name, result, known, parts)


# --- what the formulas are given ------------------------------------------------------------------

_NEXT = ("next_q_target", "next_q_online")
_ARGUMENTS = (*_NEXT, "rewards", "discounts", "terminated")


@dataclass(frozen=True)
class Targets(Numbers):
    """The targets, told by what they were made of."""

    given: dict[str, torch.Tensor | None] = field(default_factory=dict)
    known: Known | None = None

    def difference(self, expected: Targets) -> Difference:
        for name in _ARGUMENTS:
            mine, its = self.given[name], expected.given[name]
            if not _alike(mine, its):
                found, right = self.known.words(mine), self.known.words(its)
                hint = 2 if name not in _NEXT else 1 if found.endswith(" `states`") else 3
                return Difference(
                    f"`td_targets` is given {found} as `{name}`, expected {right}", hint
                )
        return super().difference(expected)


def _alike(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.shape == other.shape and np.allclose(flat(one), flat(other), 1e-4, 1e-4)


def targets_facts(name: str, record: Any, known: Known, size: int) -> Iterator[Fact]:
    """The facts about `td_targets` in one update, of `size` transitions."""
    called = bool(record.targets)
    tell = "`parts.td_targets` is not called: which targets an agent learns is for its parts to say"
    yield Fact(f"td_targets in {name}", called, tell, 2)
    if not called:
        return
    given = {key: _rows([call[key] for call in record.targets], size) for key in _ARGUMENTS}
    results = _rows([torch.from_numpy(call["result"]) for call in record.targets], size)
    yield _dtypes(f"td_targets in {name}", "td_targets", {key: given[key] for key in _NEXT})
    yield Targets(f"targets of {name}", flat(results), "", 2,
                  lambda i: f"target {i} of {name}", given=given, known=known)  # fmt: skip


@dataclass(frozen=True)
class Argument(Numbers):
    """An argument of `huber_loss`, told by its name."""

    name: str = ""
    known: Known | None = None

    def difference(self, expected: Argument) -> Difference:
        mine, its = (self.known.words(torch.from_numpy(fact.value)) for fact in (self, expected))
        if mine == its:
            return super().difference(expected)
        return Difference(f"`huber_loss` is given {mine} as `{self.name}`, expected {its}", 1)


def _losses(name: str, record: Any, known: Known, size: int, delta: float) -> Iterator[Fact]:
    called = bool(record.losses)
    tell = "`parts.huber_loss` is not called in front of the step; the parts say how errors count"
    yield Fact(f"huber_loss in {name}", called, tell, 2)
    if not called:
        return
    pairs = {key: _rows([call[key] for call in record.losses], size)
             for key in ("predicted", "target")}  # fmt: skip
    yield _dtypes(f"huber_loss in {name}", "huber_loss", pairs)
    for key, values in pairs.items():
        yield Argument(f"{key} in {name}", flat(values), "", 2,
                       lambda i, key=key: f"`{key}` of transition {i} in {name}",
                       name=key, known=known, atol=atol_of(flat(values)))  # fmt: skip
    deltas = tuple(sorted({call["delta"] for call in record.losses}))
    told = f"`parts.huber_delta` is {number(delta)}"
    tell = f"`huber_loss` is given {numbers(deltas)} as `delta`, and {told}"
    yield Fact(f"delta in {name}", deltas, tell, 3)


def _rows(calls: list[torch.Tensor | None], size: int) -> torch.Tensor | None:
    """All rows that the calls were about; who asks twice for the same ones is taken once."""
    if any(values is None for values in calls):
        return None
    rows = torch.cat([v.reshape(1) if v.ndim == 0 else v for v in calls])
    turns = rows.split(size)
    same = all(turn.shape == turns[0].shape and torch.equal(turn, turns[0]) for turn in turns)
    return turns[0] if same else rows


def _dtypes(what: str, function: str, given: dict[str, torch.Tensor | None]) -> Fact:
    dtypes = {k: str(v.dtype).removeprefix("torch.") for k, v in given.items() if v is not None}
    odd = tuple((key, dtype) for key, dtype in dtypes.items() if dtype != "float32")
    tell = ""
    if odd:
        tell = f"`{function}` is given `{odd[0][0]}` in {odd[0][1]}, expected float32"
    return Fact(f"dtypes for {what}", odd, tell, 5)


# --- gradient and networks ------------------------------------------------------------------------


def _order(name: str, calls: list[str]) -> Fact:
    """The calls around the step; when the gradients are cleared is open, if they are still there.

    Whether they are cleared at all shows in the gradient of the next update.
    """
    rest = [call for call in calls if call != "zero_grad"]
    step = calls.index("step") if "step" in calls else 0
    in_order = rest == ["backward", "step"] and calls[step - 1] == "backward"
    what = f"the calls of {name}"
    if in_order:
        return Fact(what, "in order")
    order = ", ".join(calls)
    tell = f"the calls of {name} come as {order}; expected zero_grad, backward, step"
    if "backward" not in calls:
        tell = f"no gradient is computed in {name}: `loss.backward()` is missing"
    elif "step" not in calls:
        tell = f"`parts.optimizer.step()` is not called in {name}: the gradient is there, unused"
    return Fact(what, order, tell, 2)


@dataclass(frozen=True)
class Gradient(Numbers):
    """The gradient that the optimiser finds at its step."""

    before: np.ndarray | None = None
    size: int = 0
    reduction: str = ""

    def difference(self, expected: Gradient) -> Difference:
        mine, its, before = self.value, expected.value, self.before
        start = "the gradient that `optimizer.step` finds is"
        if mine.shape != its.shape:
            return Difference("`optimizer.step` finds no gradient", 2)
        if before is not None and np.allclose(mine, its + before, 1e-3, 10 * self.atol):
            text = f"{start} the sum of this update's and the one before: nobody has cleared it"
            return Difference(text, 2)
        largest = int(np.abs(its).argmax())
        factor = mine[largest] / its[largest]
        if np.allclose(mine, factor * its, 1e-3, 10 * self.atol):
            text = f"{start} {number(factor)} times the expected one"
            about = f' (`parts.loss_reduction` is "{self.reduction}", the batch has {self.size})'
            scaled = any(np.isclose(factor, f, 1e-3) for f in (self.size, 1 / self.size))
            return Difference(text + about * scaled, 3 if scaled else 2)
        found, right = number(mine[largest]), number(its[largest])
        text = f"in the gradient that `optimizer.step` finds, a number is {found}, expected {right}"
        return Difference(text, 1)


def _target_network(name: str, parts: LearnerParts, known: Known) -> Iterator[Fact]:
    if parts.target is parts.online:
        return
    after = parameters(parts.target)
    about = (
        f"the target network moves in {name}, and the copy is for the learner to make when it is "
        "due: one of its parameters"
    )
    yield Numbers(f"target network after {name}", after, "", 1, lambda i: about)
    flowed = any(p.grad is not None for p in parts.target.parameters())
    tell = (
        "a gradient has reached the target network, so the targets are no plain numbers: "
        "make them under `torch.no_grad()`"
    )
    yield Fact(f"gradients in the target network after {name}", flowed, tell, 1)
