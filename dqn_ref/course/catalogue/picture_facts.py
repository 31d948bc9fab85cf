"""What is seen in the picture that a piece returns, and how a difference is told.

A learner reads a place and its values: "the grey at row 57, column 8 is 114, expected 111 (red 200,
green 72, blue 72)", and sees both pictures with that place framed.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dqn_ref.course.catalogue.judging import Difference, Fact, words
from dqn_ref.course.catalogue.picture_drawing import panels


@dataclass(frozen=True)
class Pixels(Fact):
    """A picture of the right shape and dtype; a few grey levels of difference may be rounding."""

    within: int = 1
    # Lowest and highest value that equals this one, where rounding may go either way.
    bounds: tuple[np.ndarray, np.ndarray] | None = None
    given: Mapping[str, np.ndarray] = field(default_factory=dict)  # what the piece made it of
    about: Callable[[Mapping[str, np.ndarray], tuple[int, ...]], str] | None = None

    def same(self, other: Fact) -> bool:
        if not isinstance(other, Pixels) or self.what != other.what:
            return False
        return self.value.shape == other.value.shape and not self._unequal(other).any()

    def difference(self, expected: Pixels) -> Difference:
        unequal = self._unequal(expected)
        pixels = unequal if unequal.ndim == 2 else unequal.any(axis=2)
        row, column = (int(number) for number in np.argwhere(pixels)[0])
        kind = "grey" if unequal.ndim == 2 else "colour"
        mine, its = (_pixel_words(picture.value[row, column]) for picture in (self, expected))
        told = self.about(self.given, (row, column)) if self.about else ""
        sentence = (
            f"the {kind} at row {row}, column {column} is {mine}, expected {its}"
            f"{f' ({told})' if told else ''}; {self._how_many(pixels)}"
        )
        return Difference(sentence, self.hint, self._drawing(expected, (row, column)))

    def _unequal(self, other: Pixels) -> np.ndarray:
        """Where the pictures differ by more than rounding, of their shape, bool."""
        if other.bounds is not None:
            lowest, highest = other.bounds
            return (self.value < lowest) | (self.value > highest)
        return np.abs(self.value.astype(np.int16) - other.value) > other.within

    def _how_many(self, pixels: np.ndarray) -> str:
        than = f" by more than {words(self.within)}" if self.within else ""
        count, all_of_them = np.count_nonzero(pixels), pixels.size
        verb = "differs" if count == 1 else "differ"
        return f"{words(count)} of {words(all_of_them)} pixels {verb}{than}"

    def _drawing(self, expected: Pixels, place: tuple[int, int]):
        def draw() -> tuple[str, str]:
            named = {"yours": self.value, "expected": expected.value}
            marked = dict.fromkeys(named, place)
            alt = (
                f"{', '.join([*self.given, *named])}, side by side; an orange frame marks row "
                f"{place[0]}, column {place[1]} in the last two."
            )
            return panels({**self.given, **named}, marked), alt[0].upper() + alt[1:]

        return draw


def _pixel_words(value: Any) -> str:
    return words(value) if np.ndim(value) == 0 else f"({', '.join(map(str, value))})"


def make_up(result: Any, shape: tuple[int, ...], hint: int, advice: str = "") -> Fact:
    """Whether the result is an array of uint8 of the right shape. `advice` is about the shape."""
    what = "the make-up of the result"
    if not isinstance(result, np.ndarray):
        return Fact(what, type(result).__name__, f"it returns {_no_array(result)}", hint)
    if result.shape != shape:
        tell = f"the result has shape {result.shape}, expected {shape}"
        told = tell + (_why_that_shape(result.shape, shape) or advice)
        return Fact(what, str(result.shape), told, hint)
    if result.dtype != np.uint8:
        tell = f"the result is {result.dtype}{_range(result)}, expected uint8, 0 to 255"
        return Fact(what, str(result.dtype), tell, hint)
    return Fact(what, "well made")


def _no_array(result: Any) -> str:
    if result is None:
        return "None (is a `return` missing?), expected an array"
    if isinstance(result, numbers.Number):
        return f"a single number, {words(result)}, expected an array"
    kind = f"{type(result).__module__.split('.')[0]}.{type(result).__name__}"
    advice = {"PIL": "np.array(...) makes one of it", "torch": ".numpy() makes one of it"}
    told = advice.get(kind.split(".")[0], "")
    kind = kind.removeprefix("builtins.")
    return f"a result of type {kind}, expected a NumPy array{f' ({told})' if told else ''}"


def _why_that_shape(found: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """What the commonest wrong shapes come from."""
    if found[:2] == shape[1::-1] and found[2:] == shape[2:]:
        return (
            ": height and width are swapped (a shape is (height, width), cv2 and Pillow take "
            "(width, height))"
        )
    if found == (*shape, 1):
        return ": an axis of length 1 is left over"
    if len(shape) == 2 and found == (*shape, 3):
        return ": it still has three colours"
    return ""


def _range(result: np.ndarray) -> str:
    if not result.size or result.dtype.kind not in "fiu":
        return ""
    return f" with values {words(result.min())} to {words(result.max())}"
