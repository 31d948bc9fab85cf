"""Luminance of chapter 02: its pictures, known mistakes, and versions of other make.

Contract: `dqn_ref.pieces.CONTRACTS["luminance"]`. In words: 0.299 R + 0.587 G + 0.114 B of an
`(H, W, 3)` uint8 picture as `(H, W)` uint8; anything else is refused by a ValueError.

What may vary: one grey level, from rounding. Cutting the fraction off stays within it.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from PIL import Image

from dqn_ref.course.catalogue.judging import Entry, Probe, RightVersion, WrongVersion
from dqn_ref.course.catalogue.picture_scenes import (
    Call,
    Refusal,
    Refusals,
    TwoCalls,
    breakout_screen,
    colour_blocks,
    leaves_open,
    noise,
)
from dqn_ref.frames import luminance

HINTS = {
    1: "each channel has its own weight, and the weights add up to 1: sum in numbers with a "
    "fraction, then round, then back to uint8",
    2: "the call: rgb @ weights, np.rint, astype; or cv2.cvtColor with COLOR_RGB2GRAY",
    3: "what is refused, before any arithmetic: ndim, shape[2], dtype",
}


def _colours_at(given, place) -> str:
    red, green, blue = given["picture"][place]
    return f"red {red}, green {green}, blue {blue}"


def _picture(rgb: np.ndarray) -> Call:
    return Call({"picture": rgb}, rgb.shape[:2], hint=1, about=_colours_at)


def _all_corners() -> np.ndarray:
    """Every mixture of eight levels of red, green and blue."""
    levels = np.array([0, 1, 36, 85, 128, 170, 254, 255], np.uint8)
    mixed = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    return mixed.reshape(32, 16, 3)


SCENES = (
    Probe("a screen drawn like Breakout's", _picture(breakout_screen()).observe),
    Probe("a picture of random colours", _picture(colour_blocks(1, (60, 45, 3), 5)).observe),
    Probe("a picture with all mixtures of eight levels", _picture(_all_corners()).observe),
    Probe("a picture of 9 × 14 pixels, each drawn by dice", _picture(noise(2, 9, 14, 3)).observe),
    Probe("two pictures in a row", TwoCalls((noise(3, 6, 5, 3),), (noise(4, 6, 5, 3),)).observe),
    Probe(
        "calls that the docstring refuses",
        Refusals(
            (
                Refusal("a grey picture of shape (6, 3)", (noise(5, 6, 3),), 3),
                Refusal("a picture of shape (6, 5, 4)", (noise(5, 6, 5, 4),), 3),
                Refusal("a picture of shape (6, 5, 1)", (noise(5, 6, 5, 1),), 3),
                Refusal(
                    "a float32 picture with values 0 to 1",
                    (np.linspace(0, 1, 90, dtype=np.float32).reshape(6, 5, 3),),
                    3,
                ),
                Refusal("an int64 picture", (noise(5, 6, 5, 3).astype(np.int64),), 3),
            )
        ).observe,
    ),
)


# --- wrong versions -------------------------------------------------------------------------------

_WEIGHTS = np.array([0.299, 0.587, 0.114])


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

    return WrongVersion(slug, leaves_open("errors")(luminance), says, hint)


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
        _weighed(*_WEIGHTS[::-1]),
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
        lambda rgb: (rgb * _WEIGHTS).astype(np.uint8).sum(axis=2).astype(np.uint8),
        "Your grey equals one that cuts the fraction off each weighed colour before it adds them. "
        "Three fractions are lost, up to two grey levels: add first, then round once.",
    ),
    _wrong(
        "weights of two digits, cut off",
        lambda rgb: (rgb @ np.array([0.3, 0.59, 0.11])).astype(np.uint8),
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
        _weighed(*_WEIGHTS),
        "Your grey is right, and something that the docstring refuses goes through: it comes out "
        "as a grey picture like any other, and nobody hears of the mistake.",
        3,
    ),
)  # fmt: skip


# --- right versions -------------------------------------------------------------------------------


def _refuse(rgb) -> None:
    if rgb.dtype != np.uint8 or rgb.shape[2:] != (3,):
        raise ValueError("no colour picture")


def _with_numpy(rgb):
    _refuse(rgb)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    return (0.299 * red + 0.587 * green + 0.114 * blue).astype(np.uint8)


def _with_torch(rgb):
    _refuse(rgb)
    weights = torch.tensor([0.299, 0.587, 0.114])
    return torch.from_numpy(rgb.copy()).float().matmul(weights).round().byte().numpy()


def _with_pillow(rgb):
    _refuse(rgb)
    return np.asarray(Image.fromarray(rgb).convert("L"))


def _with_integers(rgb):
    _refuse(rgb)
    wide = rgb.astype(np.uint32)
    thousands = 299 * wide[:, :, 0] + 587 * wide[:, :, 1] + 114 * wide[:, :, 2]
    return ((thousands + 500) // 1000).astype("uint8")


def _with_loops(rgb):
    _refuse(rgb)
    rows = [[round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in row] for row in rgb.tolist()]
    return np.array(rows, dtype=np.uint8)


def _with_opencv(rgb):
    _refuse(rgb)
    return cv2.cvtColor(rgb[..., ::-1].copy(), cv2.COLOR_BGR2YUV)[..., 0]


RIGHT = (
    RightVersion("float64, fraction cut off", _with_numpy),
    RightVersion("torch, float32", _with_torch),
    RightVersion("Pillow's L", _with_pillow),
    RightVersion("whole thousandths", _with_integers),
    RightVersion("loops over pixels", _with_loops),
    RightVersion("OpenCV, the Y of YUV as a view", _with_opencv),
)


def _workload(piece):
    pictures = [colour_blocks(seed) for seed in range(2)]
    return lambda: [piece(picture) for picture in pictures]


ENTRY = Entry(
    name="luminance",
    probes=SCENES,
    wrong=WRONG,
    right=RIGHT,
    hints=HINTS,
    model=luminance,
    reference=luminance,
    workload=_workload,
)
