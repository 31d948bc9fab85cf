"""The pictures that the checks of chapter 02 hand to a piece, and how they call it.

    breakout_screen   walls, bricks, paddle and ball, as the game's own colours have them
    flickering        two screens, some of whose sprites are lit in one of them only
    colour_blocks     blocks of random colours with scattered bright points: no two rows alike
    flat_colours      twice 224 blocks, each of one colour: a filter changes none of them
    noise             every value drawn for itself; small, because a PNG of noise is large

All are drawn from fixed seeds. The emulator is not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dqn_ref.course.catalogue.judging import Fact, Trace
from dqn_ref.course.catalogue.picture_facts import Pixels, make_up

SCREEN = (210, 160, 3)
_WALL, _SPRITE = (142, 142, 142), (200, 72, 72)
_BRICKS = (
    (200, 72, 72),
    (198, 108, 58),
    (180, 122, 48),
    (162, 162, 42),
    (72, 160, 72),
    (66, 72, 200),
)


def breakout_screen(ball: tuple[int, int] = (120, 60), paddle: int = 99) -> np.ndarray:
    """A screen drawn like Breakout's, `(210, 160, 3)` uint8.

    Args:
        ball: row and column of its upper left corner; it is 4 rows high and 2 columns wide.
        paddle: column of its left end; it is 16 wide.
    """
    screen = np.zeros(SCREEN, np.uint8)
    for column in (36, 100, 132):
        screen[5:15, column : column + 12] = _WALL  # instead of digits
    screen[17:32] = _WALL
    screen[17:196, :8] = screen[17:196, -8:] = _WALL
    for number, colour in enumerate(_BRICKS):
        screen[57 + 6 * number : 63 + 6 * number, 8:-8] = colour
    screen[87:93, 40:56] = screen[81:93, 104:112] = 0  # bricks that are gone
    screen[189:193, paddle : paddle + 16] = _SPRITE
    row, column = ball
    screen[row : row + 4, column : column + 2] = _SPRITE
    return screen


def two_breakout_screens() -> dict[str, np.ndarray]:
    """The last two screens of a decision: ball and paddle have moved."""
    return {
        "previous": breakout_screen((120, 60), 99),
        "current": breakout_screen((123, 58), 104),
    }


def flickering() -> dict[str, np.ndarray]:
    """Dark ground and bright sprites; a third of them in both screens, the others in one."""
    rng = np.random.default_rng(20)
    previous, current = np.full((2, *SCREEN), 12, np.uint8)
    for number in range(18):
        row, column = rng.integers(190), rng.integers(145)
        colour = rng.integers(90, 256, size=3)
        for screen, parity in ((previous, 1), (current, 2)):
            if number % 3 in (0, parity):
                screen[row : row + 12, column : column + 9] = colour
    return {"previous": previous, "current": current}


def colour_blocks(seed: int, shape=SCREEN, block: int = 7) -> np.ndarray:
    """Blocks of random colours, and points of other colours, one pixel each."""
    rng, (height, width, channels) = np.random.default_rng(seed), shape
    coarse = rng.integers(256, size=(-(-height // block), -(-width // block), channels))
    blocks = coarse.repeat(block, axis=0).repeat(block, axis=1)[:height, :width].astype(np.uint8)
    points = height * width // 100
    rows, columns = rng.integers(height, size=points), rng.integers(width, size=points)
    blocks[rows, columns] = rng.integers(256, size=(points, channels))
    return blocks


def flat_colours() -> dict[str, np.ndarray]:
    """Two frames of 14 × 16 blocks of one colour each, 15 × 10 pixels.

    Made 14 × 16 by area, each block becomes one pixel, and what is left of rounding is that of the
    grey alone. Colours whose luminance lies near a half or a whole number, where two right ways of
    adding may round to two numbers, are left out.
    """
    colours = np.random.default_rng(21).integers(256, size=(2000, 3)).astype(np.uint8)
    share = colours @ np.array([0.299, 0.587, 0.114]) % 1
    clear = colours[(np.abs(share - 0.5) > 0.05) & (np.abs(share - 0.5) < 0.45)]
    previous, current = clear[:448].reshape(2, 14, 16, 3).repeat(15, 1).repeat(10, 2)
    return {"previous": previous, "current": current}


def noise(seed: int, *shape: int, low: int = 0, high: int = 256) -> np.ndarray:
    """Every value for itself, from `low` to `high - 1`, uint8."""
    return np.random.default_rng(seed).integers(low, high, size=shape, dtype=np.uint8)


@dataclass(frozen=True)
class Call:
    """One call of a piece: what it returns, and whether the pictures are as before."""

    pictures: Mapping[str, np.ndarray]  # by the names of the arguments, which come in this order
    shape: tuple[int, ...]  # of the result
    hint: int
    arguments: tuple[Any, ...] = ()  # behind the pictures
    keywords: Mapping[str, Any] = field(default_factory=dict)
    within: int = 1  # grey levels that the contract leaves to rounding
    shape_hint: int = 2
    array_hint: int = 1  # the hint that says that the result is a new array
    advice: str = ""  # behind the sentence about a wrong shape
    aside: str = ""  # what the scene is about, if not about every piece: see `leaves_open`
    # The pictures at a place of the result, in words, or "".
    about: Callable[[Mapping[str, np.ndarray], tuple[int, ...]], str] | None = None

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        if follows(piece, seen, self.aside):
            yield from seen.facts
            return
        given = {name: picture.copy() for name, picture in self.pictures.items()}
        result = piece(*given.values(), *self.arguments, **self.keywords)
        made = make_up(result, self.shape, self.shape_hint, self.advice)
        yield made
        if made.value == "well made":
            yield Pixels(
                "the picture",
                np.array(result),
                hint=self.hint,
                within=getattr(piece, "within", self.within),
                bounds=piece.bounds(*given.values()) if hasattr(piece, "bounds") else None,
                given=self.pictures,
                about=self.about,
            )
        for name, picture in given.items():
            tell = f"the piece writes into `{name}`: what was handed in is changed after the call"
            same = bool(np.array_equal(picture, self.pictures[name]))
            yield Fact(name, same, tell, self.array_hint)


@dataclass(frozen=True)
class TwoCalls:
    """Two calls in a row: the first result must outlive the second."""

    first: tuple[Any, ...]
    second: tuple[Any, ...]

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        result = piece(*self.first)
        before = np.array(result)
        piece(*self.second)
        tell = (
            "the result of the first call changes with the second one: both return the same array, "
            "and a memory would hold one picture a million times"
        )
        yield Fact("the first result", bool(np.array_equal(before, np.array(result))), tell, 2)


@dataclass(frozen=True)
class Refusal:
    """Arguments for which the docstring promises a ValueError."""

    words: str  # "a picture of shape (6, 5, 4)"
    arguments: tuple[Any, ...]
    hint: int


@dataclass(frozen=True)
class Refusals:
    """Whether all that must be refused is refused; one fact.

    Its value tells "refused" from "accepted" (some call returned) and "other" (all raised, but not
    all of them a ValueError).
    """

    cases: tuple[Refusal, ...]

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        if follows(piece, seen, "errors"):
            yield from seen.facts
            return
        outcomes = [(case, *_outcome(piece, case)) for case in self.cases]
        for kind in ("accepted", "other"):
            for case, found, told in outcomes:
                if found == kind:
                    tell = f"{case.words} {told}, expected a ValueError"
                    yield Fact("what is refused", kind, tell, case.hint)
                    return
        yield Fact("what is refused", "refused")


def _outcome(piece, case: Refusal) -> tuple[str, str]:
    """What a call came to: the kind, and what is to be said of it."""
    given = [a.copy() if isinstance(a, np.ndarray) else a for a in case.arguments]
    try:
        result = piece(*given)
    except ValueError:
        return "refused", ""
    except Exception as error:
        kind = type(error)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        return "other", f"ends in {module}{kind.__name__}"
    shape = getattr(result, "shape", None)
    return "accepted", f"is accepted{f', with a result of shape {shape}' if shape else ''}"


def leaves_open(*what: str) -> Callable[[Callable], Callable]:
    """Mark a wrong version whose name says nothing about some scenes.

    There it answers as the learner's piece does, so that a forgotten `raise`, say, does not hide
    the name of another mistake.

    Args:
        what: "errors", "right size" (nothing is to be resized), "own array" (whether the result is
            one), "stride" (where the wrong version would need a size that no stride leads to),
            "grey" (frames without a third axis).
    """

    def mark(piece: Callable) -> Callable:
        piece.leaves_open = what
        return piece

    return mark


def follows(piece: Callable, seen: Trace | None, what: str) -> bool:
    """Whether a piece is a wrong version that answers this scene as `seen` does."""
    return seen is not None and what in getattr(piece, "leaves_open", ())
