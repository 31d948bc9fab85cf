"""What is read from the report of an update, and how a difference is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import Difference, Fact
from dqn_ref.course.catalogue.learning_facts import Numbers, flat
from dqn_ref.course.catalogue.loop_known import TAKEN, Known, atol_of
from dqn_ref.learner import Diagnostics, LearnerParts, Metrics, huber_loss


def report_facts(name: str, result: Any, known: Known, parts: LearnerParts) -> Iterator[Fact]:
    named = all(hasattr(result, field) for field in Metrics._fields)
    kind = "metrics" if named else type(result).__name__
    tell = f"it returns a value of type {kind}, expected Metrics(loss, q_mean)"
    if kind == "tuple":
        tell = "it returns a plain tuple; expected Metrics(loss, q_mean), whose fields have names"
    yield Fact(f"what {name} returns", kind, tell, 4)
    if not named:
        return
    candidates = _candidates(known, parts)
    for field_name in ("loss", "q_mean"):
        value = getattr(result, field_name)
        yield _makeup(f"`{field_name}` of {name}", value)
        values = flat(value) if isinstance(value, torch.Tensor) else np.array([_number(value)])
        yield Report(f"{field_name} of {name}", values, "", 4, lambda i, n=field_name: f"`{n}`",
                     atol=atol_of(values), candidates=candidates)  # fmt: skip
    diagnostics = result.diagnostics
    fits = diagnostics is None or all(hasattr(diagnostics, f) for f in Diagnostics._fields)
    tell = "`diagnostics` is neither None nor a Diagnostics, so the printed logs cannot read it"
    yield Fact(f"diagnostics of {name}", fits, tell, 4)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float, np.number)) else np.nan


def _makeup(what: str, value: Any) -> Fact:
    """Whether a number of the report is a 0-d tensor without a history."""
    kind, tell = "well made", ""
    if not isinstance(value, torch.Tensor):
        kind = type(value).__name__
        tell = f"{what} is a value of type {kind}, expected a tensor of no dimension"
    elif value.ndim:
        kind = str(tuple(value.shape))
        tell = f"{what} has shape {kind}, expected one number for the batch: a tensor of shape ()"
    elif value.requires_grad:
        kind = "with its history"
        tell = f"{what} asks for a gradient: everything it was computed from is kept with it"
    return Fact(f"the make-up of {what}", kind, tell, 4)


@dataclass(frozen=True)
class Report(Numbers):
    """A number of the report, told by what it is."""

    candidates: dict[str, float] = field(default_factory=dict)

    def difference(self, expected: Report) -> Difference:
        told = super().difference(expected)
        for name, value in self.candidates.items():
            if np.isclose(self.value[0], value, 1e-4):
                return Difference(f"{told.sentence}; it is {name}", 4)
        return told


@torch.no_grad()
def _candidates(known: Known, parts: LearnerParts) -> dict[str, float]:
    """What a learner may report in place of the mean loss and the mean Q(s, a)."""
    after = parts.online(known.batch.states).float()
    taken = after.gather(1, known.batch.actions[:, None]).squeeze(1)
    losses = huber_loss(taken, known.values["the targets"], parts.huber_delta)
    found = {
        "the mean loss": known.losses.mean(),
        "the sum of the losses": known.losses.sum(),
        "the mean loss after the step": losses.mean(),
        "the mean of Q(s, a) after the step": taken.mean(),
    }
    means = {
        "the mean of Q(s, a)": TAKEN,
        "the mean of the largest Q(s, ·)": "the largest Q",
        "the mean over all actions": "what the online network says of `states`",
        "the mean of the targets": "the targets",
        "the mean reward": "`batch.rewards`",
    }
    found |= {name: known.values[key].mean() for name, key in means.items()}
    return {name: float(value) for name, value in found.items()}
