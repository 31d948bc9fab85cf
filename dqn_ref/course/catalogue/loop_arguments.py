"""What the two formulas of an update accept, and how a call that they cannot take is told.

The formulas themselves would raise an error about their own insides: about a `masked_fill_` that
the learner has never written.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from dqn_ref.course.catalogue.loop_known import Known

_COLUMNS = ("rewards", "discounts", "terminated")


class Misused(BaseException):
    """Ends an update whose formulas cannot be computed; no `except Exception` keeps it."""

    def __init__(self, sentence: str, hint: int):
        super().__init__(sentence)
        self.sentence, self.hint = sentence, hint


def bound(formula: Callable, given: tuple, named: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by their names.

    Raises:
        TypeError: if the formula takes no such arguments; it says which it takes.
    """
    signature = inspect.signature(formula)
    try:
        call = signature.bind(*given, **named)
    except TypeError as error:
        takes = ", ".join(signature.parameters)
        raise TypeError(f"{formula.__name__} takes ({takes}): {error}") from None
    call.apply_defaults()
    return call.arguments


def check_targets(given: dict[str, Any], known: Known, actions: int) -> None:
    """Whether `td_targets` can do anything with these.

    Raises:
        Misused: about the first argument with which it cannot.
    """
    for name in _COLUMNS:
        value, right = given[name], f"`batch.{name}` as it is"
        fits = isinstance(value, torch.Tensor) and value.ndim == 1
        if not fits or (value.dtype == torch.bool) != (name == "terminated"):
            raise Misused(_told("td_targets", name, value, known, right), 2)
    rows = len(given["rewards"])
    for name in ("next_q_target", "next_q_online"):
        value = given[name]
        if value is None and name == "next_q_online":
            continue
        if not isinstance(value, torch.Tensor) or value.shape != (rows, actions):
            right = f"Q of all actions in the next states, shape ({rows}, {actions})"
            raise Misused(_told("td_targets", name, value, known, right), 2)


def check_loss(given: dict[str, Any], known: Known) -> None:
    """Whether `huber_loss` has a target for each prediction.

    Raises:
        Misused: if not.
    """
    predicted, target = given["predicted"], given["target"]
    for name, value in (("predicted", predicted), ("target", target)):
        if not isinstance(value, torch.Tensor):
            right = "a number for each transition"
            raise Misused(_told("huber_loss", name, value, known, right), 2)
    if predicted.shape != target.shape:
        both = f"{_words(predicted, known)} as `predicted` and {_words(target, known)} as `target`"
        raise Misused(f"`huber_loss` is given {both}, expected one shape for both", 2)


def _told(formula: str, name: str, value: Any, known: Known, right: str) -> str:
    return f"`{formula}` is given {_words(value, known)} as `{name}`, expected {right}"


def _words(value: Any, known: Known) -> str:
    if isinstance(value, torch.Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{known.words(value)} ({dtype}, shape {tuple(value.shape)})"
    if isinstance(value, tuple) and hasattr(value, "values"):
        return "a pair of values and indices"
    plain = isinstance(value, (int, float)) or value is None
    return str(value) if plain else f"a value of type {type(value).__name__}"
