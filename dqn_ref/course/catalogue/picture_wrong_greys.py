"""Wrong versions of `luminance`: other weights, other sums, other roundings.

A version with `bounds` equals all pictures between them; the others equal what is one grey level
beside them, since a mean that is cut off is the same mistake as one that is rounded.
"""

from __future__ import annotations

import numpy as np

from dqn_ref.course.catalogue.judging import WrongVersion
from dqn_ref.course.catalogue.picture_scenes import leaves_open
from dqn_ref.frames import luminance

WEIGHTS = np.array([0.299, 0.587, 0.114])
_HAIR = 0.02  # OpenCV's and Pillow's sums are up to 0.006 beside the exact one


def _rounded(grey: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def _weighed(*weights: float):
    return lambda rgb: _rounded(rgb @ np.array(weights))


def _of_channels(reduce):
    return lambda rgb: _rounded(reduce(*np.moveaxis(rgb.astype(float), 2, 0)))


def _linear_light(rgb: np.ndarray) -> np.ndarray:
    """sRGB undone, weighed, and done again."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    light = linear @ [0.2126, 0.7152, 0.0722]
    coded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return _rounded(255 * coded)


def _wrong(slug: str, grey, says: str, hint: int = 1) -> WrongVersion:
    def luminance(rgb):
        return grey(rgb)

    luminance.within = 1  # rounded or cut off, it is the same mistake
    return WrongVersion(slug, leaves_open("errors")(luminance), says, hint)


def bounded(piece, down: float, up: float, weights=WEIGHTS):
    """The piece, which equals all that lies so far below and above the exact sum."""

    def bounds(rgb):
        exact = rgb @ weights
        return exact - down - _HAIR, exact + up + _HAIR

    piece.bounds = bounds
    return piece


def _wrongly_rounded(slug: str, weights, how, down: float, up: float, says: str) -> WrongVersion:
    def luminance(rgb):
        return how(rgb @ np.array(weights)).astype(np.uint8)

    piece = bounded(leaves_open("errors")(luminance), down, up, np.array(weights))
    return WrongVersion(slug, piece, says, 2)


def _each_rounded() -> WrongVersion:
    def bounds(rgb):
        return tuple(np.rint(rgb * WEIGHTS + hair).sum(axis=2) for hair in (-1e-4, 1e-4))

    version = _wrong(
        "each colour rounded",
        lambda rgb: np.rint(rgb * WEIGHTS).sum(axis=2).astype(np.uint8),
        "Your grey equals one that rounds each weighed colour before it adds them: three roundings "
        "are up to one level and a half. Add first, then round once.",
    )
    version.piece.bounds = bounds
    return version


WRONG = (
    _wrong(
        "mean",
        _of_channels(lambda r, g, b: (r + g + b) / 3),
        "Your grey equals the plain mean of the three colours. To the eye green is brighter than "
        "blue; the mean gives both the same grey.",
    ),
    _wrong(
        "brightest channel",
        _of_channels(lambda r, g, b: np.maximum(np.maximum(r, g), b)),
        "Your grey equals the largest of the three channels. Pure red, green, blue and white all "
        "come out as 255 and cannot be told apart.",
    ),
    _wrong(
        "darkest channel",
        _of_channels(lambda r, g, b: np.minimum(np.minimum(r, g), b)),
        "Your grey equals the smallest of the three channels. A pure colour comes out black.",
    ),
    _wrong(
        "blue first",
        _weighed(*WEIGHTS[::-1]),
        "Your grey equals one that takes the channels as blue, green, red, as OpenCV's "
        "`COLOR_BGR2GRAY` does. These pictures have red first: red things come out too dark.",
        2,
    ),
    _wrong(
        "green and blue swapped",
        _weighed(0.299, 0.114, 0.587),
        "Your grey equals one with the weights of green and blue swapped.",
    ),
    _wrong(
        "red and green swapped",
        _weighed(0.587, 0.299, 0.114),
        "Your grey equals one with the weights of red and green swapped.",
    ),
    _wrong(
        "weights of HDTV",
        _weighed(0.2126, 0.7152, 0.0722),
        "Your grey equals 0.2126 R + 0.7152 G + 0.0722 B, the luma of HDTV (ITU-R BT.709). The "
        "paper's Y channel has the older weights of BT.601.",
    ),
    _wrong(
        "linear light",
        _linear_light,
        "Your grey equals the luminance of linear light: gamma undone, weighed, gamma done again. "
        "The formula asked for weighs the stored values as they are.",
    ),
    _wrong(
        "middle of brightest and darkest",
        _of_channels(lambda r, g, b: (np.maximum.reduce([r, g, b]) + np.minimum.reduce([r, g, b]))
                     / 2),
        "Your grey equals the middle of the largest and the smallest channel, the lightness of "
        "HSL. Red, green and blue all come out as 128.",
    ),
    _wrong(
        "red only",
        _weighed(1, 0, 0),
        "Your grey equals the red channel alone: what is green or blue disappears.",
    ),
    _wrong(
        "green only",
        _weighed(0, 1, 0),
        "Your grey equals the green channel alone: what is red or blue disappears.",
    ),
    _wrong(
        "blue only",
        _weighed(0, 0, 1),
        "Your grey equals the blue channel alone: what is red or green disappears.",
    ),
    _wrong(
        "sum wraps round, then a third",
        lambda rgb: (rgb[..., 0] + rgb[..., 1] + rgb[..., 2]) // np.uint8(3),
        "Your grey equals a third of a sum in uint8, which begins again at 0 after 255: white "
        "comes out as 84. And a mean is not the luminance.",
    ),
    _wrong(
        "each colour cut off",
        lambda rgb: (rgb * WEIGHTS).astype(np.uint8).sum(axis=2).astype(np.uint8),
        "Your grey equals one that cuts the fraction off each weighed colour before it adds them. "
        "Three fractions are lost, up to two grey levels: add first, then round once.",
    ),
    _each_rounded(),
    _wrongly_rounded(
        "fraction cut off", WEIGHTS, np.floor, 1, 0,
        "Your grey equals one that cuts the fraction off instead of rounding: half of all colours "
        "come out one level too dark. `astype(np.uint8)` alone does that.",
    ),
    _wrongly_rounded(
        "rounded up", WEIGHTS, np.ceil, 0, 1,
        "Your grey equals one that rounds every fraction up: half of all colours come out one "
        "level too bright. The nearest whole number is wanted.",
    ),
    _wrongly_rounded(
        "weights of two digits", (0.3, 0.59, 0.11), np.rint, 0.5, 0.5,
        "Your grey equals one with the weights 0.3, 0.59 and 0.11: up to one grey level beside "
        "those with three digits.",
    ),
    _wrongly_rounded(
        "weights of two digits, cut off", (0.3, 0.59, 0.11), np.floor, 1, 0,
        "Your grey equals one with the weights 0.3, 0.59 and 0.11 that cuts the fraction off. Both "
        "together are up to two grey levels: take the weights with three digits, and round.",
    ),
    _wrong(
        "inverted",
        lambda rgb: 255 - luminance(rgb),
        "Your grey equals the negative: dark where the picture is bright. The maximum over two "
        "frames would then hide what flickers.",
    ),
    _wrong(
        "0 to 1 as uint8",
        lambda rgb: luminance(rgb) // 255,
        "Your grey equals one that is divided by 255 before it becomes uint8: nothing but 0 and 1 "
        "is left. Dividing is the network's business, in floats.",
    ),
    WrongVersion(
        "refuses too little",
        bounded(_weighed(*WEIGHTS), 0.5, 0.5),
        "Your grey is right, and something that the docstring refuses goes through: it comes out "
        "as a grey picture like any other, and nobody hears of the mistake.",
        3,
    ),
)  # fmt: skip
