"""The Huber loss of chapter 07: its errors, and versions of other make.

Contract: `dqn_ref.pieces.CONTRACTS["huber_loss"]`. In words: half the square of the error up to
`delta` and a line of slope `delta` beyond, for each element; with delta=inf half the square
everywhere; shapes that differ are refused by a ValueError.

Value and gradient count, not the formula. No error here is exactly delta: where a line does not
meet the square, `<` and `<=` would be two mistakes. Open is whether a gradient also flows into the
target, and what is made of nan. The wrong versions are in `learning_wrong_losses`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from dqn_ref.course.catalogue.judging import Entry, Fact, Probe, RightVersion, Trace
from dqn_ref.course.catalogue.learning_facts import (
    LeftOpen,
    Numbers,
    Refusals,
    flat,
    makeup,
    number,
    unchanged,
)
from dqn_ref.course.catalogue.learning_wrong_losses import wrong
from dqn_ref.learner import huber_loss

HINTS = {
    1: "the idea: two branches that meet at delta in value and in slope; the gradient is clipped "
    "and not the error",
    2: "the calls: abs, torch.where or clamp; one loss for each element",
    3: "delta = inf: inf · 0 and inf - inf are nan, so it is a case by itself",
    4: "shapes: refuse before anything is subtracted",
}


@dataclass(frozen=True)
class Errors:
    """One call: losses of some errors, and their gradients, each weighed by a number of its own."""

    errors: tuple[float, ...]
    delta: float | None = None  # None: left out
    shape: tuple[int, ...] | None = None

    def observe(self, piece: Callable, seen: Trace | None) -> Iterator[Fact]:
        # Whole numbers of fourths: both sides and their difference are exact.
        target = torch.tensor(self.errors).sin().mul(8).round().div(4)
        shape = self.shape or target.shape
        kept = {"predicted": (target + torch.tensor(self.errors)).reshape(shape),
                "target": target.reshape(shape)}  # fmt: skip
        leaf = kept["predicted"].clone().requires_grad_()
        given = {"predicted": leaf.clone(), "target": kept["target"].clone()}
        losses = piece(*given.values(), *(() if self.delta is None else (self.delta,)))
        hint = 3 if self.delta == math.inf else 1
        made = makeup(losses, tuple(shape), "losses", 2)
        yield made
        if made.value != "well made":
            return
        yield Numbers("losses", flat(losses), "", hint, lambda i: self._about(i, "loss"),
                      nan_hint=3 if hint == 3 else 2)  # fmt: skip
        yield unchanged(given, kept, 2)
        tell = (
            "no gradient flows from the losses to `predicted`, so `backward` raises: something "
            "on the way (detach, no_grad, item, NumPy) cuts it off"
        )
        yield Fact("a gradient", losses.requires_grad, tell, 1)
        if losses.requires_grad:
            gradients = _gradients(losses, leaf)
            yield Numbers("gradients", gradients, "", hint, lambda i: self._about(i, "gradient"),
                          rtol=1e-4, nan_hint=3 if hint == 3 else 2)  # fmt: skip

    def _about(self, place: int, what: str) -> str:
        delta = 1 if self.delta is None else self.delta
        return f"for an error of {number(self.errors[place])} and delta {number(delta)} the {what}"


def _gradients(losses: torch.Tensor, leaf: torch.Tensor) -> np.ndarray:
    """How each loss moves with its own prediction; what else moves it shows as another number."""
    weights = torch.linspace(1, 2, losses.numel()).reshape(losses.shape)
    (gradients,) = torch.autograd.grad(losses, leaf, weights, allow_unused=True)
    return flat(torch.zeros_like(leaf) if gradients is None else gradients / weights)


def _by_dice(seed: int, count: int, largest: float) -> tuple[float, ...]:
    rng = np.random.default_rng([17, seed])
    return tuple(((np.round(4 * largest * rng.uniform(-1, 1, count)) + 0.5) / 4).tolist())


def _of_shapes(shapes: tuple[tuple, tuple]) -> tuple[str, tuple]:
    one, other = shapes
    return f"shapes {one} and {other}", (torch.zeros(one), torch.ones(other))


_DIFFERENT = ((4, 1), (4,)), ((4,), (4, 1)), ((4,), (1,)), ((4,), ()), ((2, 3), (3, 2))
_SMALL_AND_LARGE = (0.5, -0.25, 4.0, -3.0, 0.75, -1.5, 0.0, 1.25, -7.0)

SCENES = (
    Probe("a batch of nine errors", Errors(_SMALL_AND_LARGE).observe),
    Probe("a batch with delta=4", Errors((0.5, -3.5, 4.5, -3.75, 7.0, -20.0), 4.0).observe),
    Probe("a batch with delta=0.5", Errors((0.25, -0.25, 0.75, 2.0, -8.0), 0.5).observe),
    Probe("a batch with delta=inf",
          LeftOpen("inf", Errors((0.5, -3.0, 0.0, 100.0, -1.0), math.inf)).observe),
    Probe("a batch of shape (3, 4) with delta=2",
          Errors(_by_dice(1, 12, 6), 2, shape=(3, 4)).observe),
    Probe("a batch of 32 with delta=0.75", Errors(_by_dice(2, 32, 3), 0.75).observe),
    Probe("a batch of 32 with delta=10", Errors(_by_dice(3, 32, 30), 10.0).observe),
    Probe("calls that the docstring refuses",
          LeftOpen("refusals", Refusals(tuple(map(_of_shapes, _DIFFERENT)), hint=4)).observe),
)  # fmt: skip


# --- right versions -------------------------------------------------------------------------------


def _refuse(predicted, target) -> None:
    if predicted.size() != target.size():
        raise ValueError("shapes differ")


def _of_pytorch(predicted, target, delta=1.0):
    _refuse(predicted, target)
    return functional.huber_loss(predicted, target, reduction="none", delta=delta)


def _with_where(predicted, target, delta=1.0):
    _refuse(predicted, target)
    error = target.detach() - predicted
    if math.isinf(delta):
        return error.pow(2) / 2
    line = delta * (error.abs() - delta / 2)
    return torch.where(error.abs() < delta, error.pow(2) / 2, line)


def _by_masks(predicted, target, delta=1.0):
    _refuse(predicted, target)
    size = torch.abs(predicted - target)
    losses, near = torch.empty_like(size), size <= delta
    losses[near] = 0.5 * size[near] * size[near]
    losses[~near] = delta * size[~near] - (0.5 * delta**2 if (~near).any() else 0)
    return losses


def _smooth_l1(predicted, target, delta=1.0):
    _refuse(predicted, target)
    if delta == np.inf:
        return 0.5 * functional.mse_loss(predicted, target, reduction="none")
    return delta * functional.smooth_l1_loss(predicted, target, reduction="none", beta=delta)


def _with_loops(predicted, target, delta=1.0):
    _refuse(predicted, target)
    losses = []
    for p, t in zip(predicted.flatten(), target.flatten(), strict=True):
        e = abs(p - t)
        losses.append(e * e / 2 if e <= delta else delta * e - delta * delta / 2)
    return torch.stack(losses).reshape(predicted.shape)


class _Clipping(torch.autograd.Function):
    """Value and gradient written down separately."""

    @staticmethod
    def forward(ctx, error, delta):
        ctx.save_for_backward(error.clamp(-delta, delta))
        size = error.abs().numpy()
        near = np.minimum(size, delta)
        rest = np.where(size > near, size - near, 0)
        rest = np.multiply(rest, delta, where=rest > 0, out=np.zeros_like(rest))
        return torch.from_numpy((near**2 / 2 + rest).astype(np.float32))

    @staticmethod
    def backward(ctx, gradient):
        (clipped,) = ctx.saved_tensors
        return gradient * clipped, None


def _own_gradient(predicted, target, delta=1.0):
    _refuse(predicted, target)
    return _Clipping.apply(predicted - target, delta)


RIGHT = (
    RightVersion("PyTorch's own", _of_pytorch),
    RightVersion("where, target cut off", _with_where),
    RightVersion("masks", _by_masks),
    RightVersion("PyTorch's smooth_l1_loss times delta", _smooth_l1),
    RightVersion("a loop over elements", _with_loops),
    RightVersion("a gradient of its own, values by NumPy", _own_gradient),
)


def _workload(piece):
    predicted = torch.linspace(-3, 3, 32).requires_grad_()
    target = torch.zeros(32)

    def job():
        for _ in range(10):
            piece(predicted, target, 1.0).sum().backward()

    return job


ENTRY = Entry(
    name="huber_loss",
    probes=SCENES,
    wrong=wrong,
    right=RIGHT,
    hints=HINTS,
    model=huber_loss,
    reference=huber_loss,
    workload=_workload,
)
