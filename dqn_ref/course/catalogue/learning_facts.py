"""How the answers of chapter 07's pieces are read and compared: tensors, refusals, arguments."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import Difference, Fact, Trace


@dataclass(frozen=True)
class Numbers(Fact):
    """Numbers that agree up to the rounding of float32 in another order of operations."""

    about: Callable[[int], str] = lambda place: "a number"  # begins the sentence: "... is 2, ..."
    rtol: float = 1e-5
    atol: float = 1e-5
    nan_hint: int | None = None  # hint for a number that is nan or inf and should not be

    def same(self, other: Fact) -> bool:
        if type(self) is not type(other) or self.what != other.what:
            return False
        return self.value.shape == other.value.shape and not self._apart(other).any()

    def difference(self, expected: Fact) -> Difference:
        place = int(np.flatnonzero(self._apart(expected))[0])
        mine, its = float(self.value[place]), float(expected.value[place])
        hint = self.hint if math.isfinite(mine) else self.nan_hint or self.hint
        return Difference(f"{self.about(place)} is {number(mine)}, expected {number(its)}", hint)

    def _apart(self, other: Numbers) -> np.ndarray:
        close = np.isclose(self.value, other.value, self.rtol, self.atol, equal_nan=True)
        return ~close


def number(value: float) -> str:
    """A float32 as a sentence shows it: 0.3 and not 0.30000001, and no -0."""
    return f"{value + 0.0:.5g}"


def numbers(values: Sequence[float]) -> str:
    return ", ".join(map(number, values))


def flat(tensor: torch.Tensor) -> np.ndarray:
    """The numbers of a tensor in one row, float64."""
    return tensor.detach().cpu().double().flatten().numpy().copy()


def makeup(result: Any, shape: tuple[int, ...], name: str, hint: int) -> Fact:
    """Whether a result is a float32 tensor of that shape; its value is then "well made"."""
    what = f"the make-up of {name}"
    if not isinstance(result, torch.Tensor):
        kind = type(result).__name__
        return Fact(what, kind, f"it returns a value of type {kind}, expected a tensor", hint)
    if tuple(result.shape) != shape:
        tell = f"the result has shape {tuple(result.shape)}, expected {shape}"
        if result.numel() == math.prod(shape) ** 2 and math.prod(shape) > 1:
            tell += ": it has a number for every pair, where one for each is due"
        return Fact(what, str(tuple(result.shape)), tell, hint)
    if result.dtype != torch.float32:
        kind = str(result.dtype).removeprefix("torch.")
        return Fact(what, kind, f"the result is {kind}, expected float32", hint)
    return Fact(what, "well made")


def unchanged(given: dict[str, torch.Tensor], kept: dict[str, torch.Tensor], hint: int) -> Fact:
    """Which arguments hold other numbers than before the call."""
    changed = tuple(name for name in given if not _equal(given[name].detach(), kept[name]))
    names = " and ".join(f"`{name}`" for name in changed)
    tell = f"{names} {'hold' if len(changed) > 1 else 'holds'} other numbers after the call"
    return Fact("arguments that were changed", changed, tell, hint)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


# --- what names say nothing about -----------------------------------------------------------------


def leaves_open(*what: str) -> Callable[[Callable], Callable]:
    """Mark a wrong version whose name says nothing about some scenes.

    There it answers as the learner's piece does, so that a forgotten `raise`, say, does not hide
    the name of another mistake.

    Args:
        what: "refusals", "inf" (a loss with delta=inf), "not square" (another number of steps than
            of actions), "Double" (batches with `next_q_online`), "no gradient" (a parameter without
            one), "shapes" (several of them), "not frozen" (a target network that asks for
            gradients).
    """

    def mark(piece: Callable) -> Callable:
        piece.leaves_open = what
        return piece

    return mark


@dataclass(frozen=True)
class LeftOpen:
    """A scene about which some names say nothing."""

    what: str
    scene: Any  # with `observe`

    def observe(self, piece: Callable, seen: Trace | None) -> Iterator[Fact]:
        if seen is not None and self.what in getattr(piece, "leaves_open", ()):
            yield from seen.facts
        else:
            yield from self.scene.observe(piece, seen)


# --- errors that a docstring promises -------------------------------------------------------------


@dataclass(frozen=True)
class Refusals:
    """Arguments for which the docstring promises a ValueError: one fact, about the first miss."""

    cases: tuple[tuple[str, tuple], ...]  # "shapes (4, 1) and (4,)", arguments
    hint: int

    def observe(self, piece: Callable, seen: Trace | None) -> Iterator[Fact]:
        missed = [(words, *found) for words, args in self.cases if (found := _outcome(piece, args))]
        missed.sort(key=lambda miss: miss[1] != "accepted")
        if not missed:
            yield Fact("what is refused", "refused")
            return
        words, kind, told = missed[0]
        yield Fact(
            "what is refused",
            kind,
            f"{words} {told}, expected a ValueError to be raised",
            self.hint,
        )


def _outcome(piece: Callable, arguments: tuple) -> tuple[str, str] | None:
    """What a call came to that is to be refused; None if it was."""
    try:
        with warnings.catch_warnings():  # PyTorch's own losses warn where they should refuse
            warnings.simplefilter("ignore")
            result = piece(*(a.clone() for a in arguments))
    except ValueError:
        return None
    except NotImplementedError:
        raise
    except Exception as error:
        return "another error", f"end in {type(error).__name__}"
    if isinstance(result, BaseException):
        kind = type(result).__name__
        return "returned", f"are answered by returning a {kind}"
    shape = getattr(result, "shape", None)
    told = "" if shape is None else f", with a result of shape {tuple(shape)}"
    return "accepted", f"are accepted{told}"
