"""Huber losses that are wrong in one way each.

With shapes that differ they do as the learner's does, and so with delta=inf where that is not the
mistake: names say nothing about these.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.course.catalogue.learning_facts import leaves_open
from dqn_ref.learner import huber_loss

wrong = WrongVersions()


@dataclass(frozen=True)
class Error:
    """Errors and the threshold."""

    signed: torch.Tensor
    delta: float

    @property
    def size(self) -> torch.Tensor:
        return self.signed.abs()

    @property
    def near(self) -> torch.Tensor:
        return self.size <= self.delta

    @property
    def square(self) -> torch.Tensor:
        return self.signed**2

    @property
    def clipped(self) -> torch.Tensor:
        return self.signed.clamp(-self.delta, self.delta)

    @property
    def right(self) -> torch.Tensor:
        return huber_loss(self.signed, torch.zeros_like(self.signed), self.delta)

    def line(self, half: float | None = None) -> torch.Tensor:
        """The line beyond; `half` is what is taken off the size, by default half of delta."""
        return self.delta * (self.size - (self.delta / 2 if half is None else half))


def loss(value: Callable[[Error], torch.Tensor]) -> Callable:
    """A piece by what it makes of the errors."""

    def huber_loss(predicted, target, delta=1.0):
        return value(Error(predicted - target, delta))

    return huber_loss


def _wrong(
    slug: str,
    hint: int,
    value: Callable[[Error], torch.Tensor],
    says: str,
    open_: tuple[str, ...] = ("refusals", "inf"),
) -> None:
    wrong(slug, hint, says)(leaves_open(*open_)(loss(value)))


# --- one branch only ------------------------------------------------------------------------------

_wrong(
    "half the square everywhere",
    1,
    lambda e: 0.5 * e.square,
    "Your loss equals half the squared error, whatever `delta` is. One large error then shouts "
    "down a whole batch.",
)
_wrong(
    "the square everywhere",
    1,
    lambda e: e.square,
    "Your loss equals the squared error, without the half and without the line beyond `delta`.",
)
_wrong(
    "the size everywhere",
    1,
    lambda e: e.size,
    "Your loss equals the absolute error. Its gradient is 1 however small the error, so it never "
    "comes to rest.",
)
_wrong(
    "the line everywhere",
    1,
    lambda e: e.line(),
    "Your loss equals the line, below `delta` too, where half the square is due. Small errors have "
    "a negative loss, and a gradient as large as that of large ones.",
)
_wrong(
    "branches swapped",
    1,
    lambda e: torch.where(e.near, e.line(), 0.5 * e.square),
    "Your loss equals one with its branches swapped: the line for small errors and the square for "
    "large ones.",
)

# --- what is clipped ------------------------------------------------------------------------------

_wrong(
    "error clipped, then squared",
    1,
    lambda e: 0.5 * e.clipped**2,
    "Your loss equals one that clips the error and then squares it. Beyond `delta` its gradient is "
    "0: the larger the mistake, the less is learnt from it.",
)
_wrong(
    "error clipped, then squared, no half",
    1,
    lambda e: e.clipped**2,
    "Your loss equals one that clips the error and then squares it, without the half. Beyond "
    "`delta` its gradient is 0: the larger the mistake, the less is learnt from it.",
)
_wrong(
    "loss clipped",
    1,
    lambda e: (0.5 * e.square).clamp(max=e.delta),
    "Your loss equals half the square, cut off at `delta`. Where it is cut off the gradient is 0, "
    "and nothing is learnt from large errors.",
)
_wrong(
    "gradient right, value squared",
    1,
    lambda e: 0.5 * e.square + (e.right - 0.5 * e.square) - (e.right - 0.5 * e.square).detach(),
    "Your loss equals half the square with a gradient that is clipped. It teaches what Huber's "
    "teaches, but the logged loss is another.",
)
_wrong(
    "clipped error times error",
    1,
    lambda e: e.clipped.detach() * e.signed,
    "Your loss equals the clipped error, held fixed, times the error. Its gradient is right and "
    "its value is not: twice Huber's near 0, and another line beyond.",
)

_wrong(
    "half of clipped error times error",
    1,
    lambda e: 0.5 * e.clipped * e.signed,
    "Your loss equals half the clipped error times the error. Up to `delta` it is Huber's; beyond, "
    "its line has the slope delta / 2, so value and gradient of large errors are too small.",
)
_wrong(
    "clipped error times error, not held",
    1,
    lambda e: e.clipped * e.signed,
    "Your loss equals the clipped error times the error. Up to `delta` value and gradient are "
    "twice Huber's; beyond, the gradient is right and the line begins too high, at delta².",
)

# --- the branch near zero -------------------------------------------------------------------------

_wrong(
    "no half near zero",
    1,
    lambda e: torch.where(e.near, e.square, e.line()),
    "Your loss equals one without the half in e² / 2. Near 0 its gradient is twice the error, and "
    "at `delta` it jumps.",
)
_wrong(
    "twice Huber",
    1,
    lambda e: 2 * e.right,
    "Your loss equals twice Huber's. The gradient is clipped at 2 · delta, and steps are twice as "
    "long.",
)

# --- the line beyond ------------------------------------------------------------------------------

_wrong(
    "line without its offset",
    1,
    lambda e: torch.where(e.near, 0.5 * e.square, e.line(0)),
    "Your loss equals one whose line is delta · |e|, without the - delta² / 2. The gradient is "
    "right, and the value jumps at `delta`.",
)
_wrong(
    "line with half a point off",
    1,
    lambda e: torch.where(e.near, 0.5 * e.square, e.line(0.5)),
    "Your loss equals one whose line is delta · (|e| - 0.5). That fits delta = 1 only: what is "
    "taken off is delta / 2.",
)
_wrong(
    "offset of delta",
    1,
    lambda e: torch.where(e.near, 0.5 * e.square, e.line(e.delta)),
    "Your loss equals one whose line is delta · (|e| - delta): it begins at 0, where the square "
    "has come to delta² / 2.",
)
_wrong(
    "slope of one",
    1,
    lambda e: torch.where(e.near, 0.5 * e.square, e.size - e.delta / 2),
    "Your loss equals one whose line has the slope 1 for every `delta`: |e| - delta / 2. The slope "
    "has to be what the square has come to, and that is delta.",
)
_wrong(
    "slope of one, half a point off",
    1,
    lambda e: torch.where(e.near, 0.5 * e.square, e.size - 0.5),
    "Your loss equals one whose line is |e| - 0.5, whatever `delta` is. That fits delta = 1 only.",
)
_wrong(
    "delta always one",
    1,
    lambda e: functional.huber_loss(e.signed, torch.zeros_like(e.signed), reduction="none"),
    "Your loss equals Huber's with delta = 1, whatever number `delta` is.",
)
_wrong(
    "threshold of the square",
    1,
    lambda e: torch.where(e.square <= e.delta, 0.5 * e.square, e.line()),
    "Your loss equals one that compares the squared error with `delta`. It is the size of the "
    "error that decides.",
)

# --- signs ----------------------------------------------------------------------------------------

_wrong(
    "negative errors never large",
    2,
    lambda e: torch.where(e.signed <= e.delta, 0.5 * e.square, e.line()),
    "Your loss equals one that compares the error with `delta`, and not its size: every negative "
    "error counts as small and is squared.",
)
_wrong(
    "line with a sign",
    2,
    lambda e: torch.where(e.near, 0.5 * e.square, e.delta * (e.signed - e.delta / 2)),
    "Your loss equals one whose line has the error in it, and not its size: for large negative "
    "errors the loss is negative, and grows as they shrink.",
)
_wrong(
    "negative loss",
    1,
    lambda e: -e.right,
    "Your loss equals Huber's with a minus in front: an optimiser would make all errors larger.",
)

# --- other losses ---------------------------------------------------------------------------------

_wrong(
    "smooth_l1_loss",
    1,
    lambda e: e.right / e.delta,
    "Your loss equals PyTorch's smooth_l1_loss with beta=delta, which is Huber's divided by delta: "
    "the gradient is 1 beyond, and not delta.",
)
_wrong(
    "pseudo-Huber",
    1,
    lambda e: e.delta**2 * ((1 + (e.signed / e.delta) ** 2).sqrt() - 1),
    "Your loss equals the pseudo-Huber loss, which bends smoothly from square to line. It is a "
    "little smaller everywhere, and its gradient reaches delta nowhere.",
)
_wrong(
    "log cosh",
    1,
    lambda e: e.signed.cosh().log(),
    "Your loss equals log cosh of the error, a smooth relative of Huber's for delta = 1.",
)

# --- delta = inf, and shapes ----------------------------------------------------------------------

_wrong(
    "inf times zero",
    3,
    lambda e: 0.5 * e.size.clamp(max=e.delta) ** 2 + e.delta * (e.size - e.size.clamp(max=e.delta)),
    "Your loss equals one that is right for every finite `delta` and nan for delta=inf: the rest "
    "beyond is 0, and inf · 0 is nan. The first old notebook trains with inf.",
    ("refusals",),
)
_wrong(
    "gradient of the branch not taken",
    3,
    lambda e: torch.where(e.near, 0.5 * e.square, e.delta * (e.size - 0.5 * e.delta)),
    "Your loss equals one that is right but for the gradient with delta=inf: torch.where works out "
    "both branches, and hands 0 · inf = nan back from the one that it did not take.",
    ("refusals",),
)
_wrong(
    "zero for inf",
    3,
    lambda e: e.right if e.delta < math.inf else 0 * e.signed,
    "Your loss equals one that is right for every finite `delta` and 0 for delta=inf. Nothing "
    "would be learnt.",
    ("refusals",),
)
wrong(
    "takes every shape",
    4,
    "Your loss is right, and equals one that takes shapes that differ: a column of 32 predictions "
    "against a row of 32 targets makes 1,024 losses, and no error message.",
)(loss(lambda e: e.right))
