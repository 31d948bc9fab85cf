"""Resizing of chapter 02: its pictures, known mistakes, and versions of other make.

Contract: `dqn_ref.pieces.CONTRACTS["resize"]`. In words: a picture, grey or in colour, at another
size by one of eight methods, each of them a definite filter; a method that is none of the eight,
and a size that no stride leads to, are refused by a ValueError. The result is an array of its own.

What may vary: the library, if its filter is the same one; so one grey level of rounding. The
scenes keep away from sizes where two libraries choose different neighbours of equal distance, and
from contrasts where Pillow's bicubic cuts off between its two passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from dqn_ref.course.catalogue import picture_makes as makes
from dqn_ref.course.catalogue.judging import Entry, Fact, Probe, RightVersion, Trace
from dqn_ref.course.catalogue.picture_scenes import (
    Call,
    Refusal,
    Refusals,
    TwoCalls,
    breakout_screen,
    follows,
    noise,
)
from dqn_ref.course.catalogue.picture_wrong_sizes import WRONG
from dqn_ref.frames import luminance, resize

HINTS = {
    1: "three families: OpenCV's filters, Pillow's filters, slicing; look the name up in a table",
    2: "the call: cv2.resize and Pillow's resize want the width first; np.array of Pillow's result",
    3: "the stride: each axis has its own n, rounded up; the first row and column; shape; a copy",
    4: "what is refused: unknown methods; and what is nothing to do: a picture of the right size",
}

_OPENCV = ("area", "bilinear", "nearest", "bicubic")


@dataclass(frozen=True)
class Stride:
    """A call with a size that a stride leads to: who refuses it is told which one."""

    call: Call
    size: tuple[int, int]

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        old = self.call.pictures["image"].shape[:2]
        rows, columns = (-(-n // m) for n, m in zip(old, self.size, strict=True))
        advice = f": take {_every(rows)} row and {_every(columns)} column"
        try:
            yield from replace(self.call, advice=advice).observe(piece, seen)
        except ValueError as error:
            size = " × ".join(map(str, self.size))
            tell = f'it raises ValueError ("{str(error)[:80]}"), and {size} can be had{advice}'
            yield Fact("a size that can be had", False, tell, 3)


def _every(n: int) -> str:
    return {2: "every 2nd", 3: "every 3rd"}.get(n, f"every {n}th")


def _scene(text: str, image: np.ndarray, height: int, width: int, *method: str, **more) -> Probe:
    call = ", ".join(["image", str(height), str(width), *(f'"{name}"' for name in method)])
    shape = (height, width, *image.shape[2:])
    hint = more.pop("hint", 3 if method == ("stride",) else 2)
    arguments = (height, width, *method)
    made = Call({"image": image}, shape, hint, arguments, shape_hint=hint, array_hint=3, **more)
    if method == ("stride",) and image.shape[:2] != (height, width):
        made = Stride(made, (height, width))
    return Probe(f"`resize({call})` of {text}", made.observe)


def _screens() -> list[Probe]:
    """A screen that is recognised when it is drawn."""
    text, screen = "a grey screen drawn like Breakout's", luminance(breakout_screen())
    small = [_scene(text, screen, 84, 84, method) for method in (*_OPENCV, "pil_bilinear")]
    others = ("stride", "pil_nearest", "pil_bicubic")
    large = [_scene(text, screen, 105, 80, method) for method in others]
    colour = _scene("a screen drawn like Breakout's", breakout_screen(), 105, 80, "area")
    return [_scene(text, screen, 84, 84), *small, *large, colour]


def _dice() -> list[Probe]:
    """Every method on values drawn by dice, grey and in colour; no side is like another."""
    scenes = []
    for number, method in enumerate(makes.METHODS):
        high = 190 if method == "pil_bicubic" else 256
        low = 256 - high
        old, new = ((37, 26), (19, 9)) if method == "stride" else ((30, 40), (12, 21))
        for seed, channels, text in ((30, (), "a grey picture"), (50, (3,), "a colour picture")):
            picture = noise(seed + number, *old, *channels, low=low, high=high)
            scenes.append(_scene(f"{text} of {old[0]} × {old[1]} pixels", picture, *new, method))
    return scenes


def _strides() -> list[Probe]:
    """Two steps that divide the sides; and two that only rounding up finds."""
    text = "a grey picture of {} × {} pixels".format
    return [
        _scene(text(40, 42), noise(80, 40, 42), 20, 14, "stride"),
        _scene(text(17, 7), noise(81, 17, 7), 5, 3, "stride"),
    ]


def _nothing_to_do(method: str, picture: np.ndarray) -> Probe:
    return _scene("a picture of that size", picture, 12, 21, method, hint=4, aside="right size")


def _own_array(piece, seen: Trace | None) -> Iterator[Fact]:
    """Where a view or the picture itself would do as well, as far as its pixels go."""
    if follows(piece, seen, "own array"):
        yield from seen.facts
        return
    image = noise(78, 8, 6)
    for where, size, method, hint in (
        ('with "stride"', (4, 3), "stride", 3),
        ("where the size is right already,", (8, 6), "area", 4),
    ):
        result = piece(image, *size, method)
        if isinstance(result, np.ndarray) and np.shares_memory(result, image):
            tell = f"{where} it is a view of the picture handed in, expected an array of its own"
            yield Fact("an array of its own", False, tell, hint)
            return
    yield Fact("an array of its own", True)


SCENES = (
    *_screens(),
    *_dice(),
    *_strides(),
    _nothing_to_do("area", noise(70, 12, 21)),
    _nothing_to_do("pil_nearest", noise(71, 12, 21, 3)),
    _nothing_to_do("stride", noise(72, 12, 21)),
    Probe(
        "a call with names, `resize(image=…, height=12, width=21, method=\"nearest\")`",
        lambda piece, seen: Call({"image": noise(73, 30, 40)}, (12, 21), 2).observe(
            lambda image: piece(image=image, height=12, width=21, method="nearest"), seen
        ),
    ),
    Probe(
        "two calls in a row",
        TwoCalls((noise(74, 30, 40), 12, 21), (noise(75, 30, 40), 12, 21)).observe,
    ),
    Probe("what `resize` returns", _own_array),
    Probe(
        "calls with an unknown method",
        Refusals(
            (
                Refusal('method "lanczos"', (noise(76, 30, 40), 12, 21, "lanczos"), 4),
                Refusal('method "pil_lanczos"', (noise(76, 30, 40), 12, 21, "pil_lanczos"), 4),
            )
        ).observe,
    ),
    Probe(
        'calls with "stride" and sizes that it cannot make',
        Refusals(
            tuple(
                Refusal(f"from {old[0]} × {old[1]} to {new[0]} × {new[1]}",
                        (noise(77, *old), *new, "stride"), 3)
                for old, new in (
                    ((210, 160), (84, 84)), ((210, 160), (100, 75)), ((37, 26), (20, 9)),
                    ((37, 26), (19, 10)), ((10, 8), (20, 16)),
                )
            )
        ).observe,
    ),
)  # fmt: skip


# --- right versions -------------------------------------------------------------------------------

RIGHT = (
    RightVersion("matrices of weights, float64", makes.with_matrices),
    RightVersion("torch", makes.with_torch),
    RightVersion("a chain of ifs", makes.with_ifs),
    RightVersion("float32 and whole-number indices", makes.with_floats),
)


def _workload(piece):
    screens = [luminance(breakout_screen((100 + row, 60))) for row in range(6)]
    return lambda: [piece(screen, 84, 84) for screen in screens]


ENTRY = Entry(
    name="resize",
    probes=SCENES,
    wrong=WRONG,
    right=RIGHT,
    hints=HINTS,
    model=resize,
    reference=resize,
    workload=_workload,
)
