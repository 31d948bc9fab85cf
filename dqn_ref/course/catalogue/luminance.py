"""Luminance of chapter 02: its pictures, known mistakes, and versions of other make.

Contract: `dqn_ref.pieces.CONTRACTS["luminance"]`. In words: 0.299 R + 0.587 G + 0.114 B of an
`(H, W, 3)` uint8 picture as `(H, W)` uint8; anything else is refused by a ValueError.

What may vary: which way a half is rounded, with a hair for fixed-point sums such as OpenCV's. A
fraction that is cut off is a mistake: the last pictures of the chapter would not equal ALE's.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from PIL import Image

from dqn_ref.course.catalogue.judging import Entry, Probe, RightVersion
from dqn_ref.course.catalogue.picture_scenes import (
    Call,
    Refusal,
    Refusals,
    TwoCalls,
    breakout_screen,
    colour_blocks,
    noise,
)
from dqn_ref.course.catalogue.picture_wrong_greys import WEIGHTS, WRONG, bounded
from dqn_ref.frames import luminance

HINTS = {
    1: "each channel has its own weight, and the weights add up to 1: sum in numbers with a "
    "fraction, then round, then back to uint8",
    2: "the call: rgb @ weights, np.rint, astype; or cv2.cvtColor with COLOR_RGB2GRAY",
    3: "what is refused, before any arithmetic: ndim, shape[2], dtype",
}


def _colours_at(given, place) -> str:
    red, green, blue = given["picture"][place]
    exact = given["picture"][place] @ WEIGHTS
    return f"red {red}, green {green}, blue {blue}: {exact:.2f} before it is rounded"


def _picture(rgb: np.ndarray) -> Call:
    return Call({"picture": rgb}, rgb.shape[:2], hint=1, within=0, about=_colours_at)


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


# --- right versions -------------------------------------------------------------------------------


def _refuse(rgb) -> None:
    if rgb.dtype != np.uint8 or rgb.shape[2:] != (3,):
        raise ValueError("no colour picture")


def _with_numpy(rgb):
    _refuse(rgb)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    return (0.299 * red + 0.587 * green + 0.114 * blue + 0.5).astype(np.uint8)


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
    RightVersion("float64, a half added and cut off", _with_numpy),
    RightVersion("torch, float32", _with_torch),
    RightVersion("Pillow's L", _with_pillow),
    RightVersion("whole thousandths", _with_integers),
    RightVersion("loops over pixels", _with_loops),
    RightVersion("OpenCV, the Y of YUV as a view", _with_opencv),
)


def _model(rgb):
    return luminance(rgb)


def _workload(piece):
    pictures = [colour_blocks(seed) for seed in range(2)]
    return lambda: [piece(picture) for picture in pictures]


ENTRY = Entry(
    name="luminance",
    probes=SCENES,
    wrong=WRONG,
    right=RIGHT,
    hints=HINTS,
    model=bounded(_model, 0.5, 0.5),
    reference=luminance,
    workload=_workload,
)
