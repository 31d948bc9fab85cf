"""The maximum over two frames of chapter 02: its pictures, known mistakes, versions of other make.

Contract: `dqn_ref.pieces.CONTRACTS["max_over_frames"]`. In words: the larger value at each place
of two uint8 arrays of one shape, as a new array; two shapes are refused by a ValueError, also where
NumPy would stretch one of them to the other. Nothing but style may vary.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import cv2
import numpy as np
import torch
from PIL import Image, ImageChops

from dqn_ref.course.catalogue.judging import Entry, Probe, RightVersion, WrongVersion
from dqn_ref.course.catalogue.picture_scenes import (
    Call,
    Refusal,
    Refusals,
    TwoCalls,
    colour_blocks,
    flickering,
    leaves_open,
    noise,
)
from dqn_ref.frames import max_over_frames

HINTS = {
    1: "which of two numbers shows the sprite, if it is brighter than the ground: the larger one, "
    "at each pixel, each channel for itself; a new array, both frames untouched",
    2: "the call: np.maximum compares element by element",
    3: "what is refused: compare the shapes first; NumPy stretches some of them to each other",
}


def _both_at(given, place) -> str:
    return "; ".join(f"`{name}` has {_value(picture[place])}" for name, picture in given.items())


def _value(value) -> str:
    return f"({', '.join(map(str, value))})" if np.ndim(value) else str(value)


def _frames(pair: Mapping[str, np.ndarray]) -> Call:
    shape = pair["current"].shape
    aside = "" if len(shape) == 3 else "grey"
    return Call(pair, shape, hint=1, within=0, about=_both_at, shape_hint=1, aside=aside)


def _pair(one: np.ndarray, other: np.ndarray) -> dict[str, np.ndarray]:
    return {"previous": one, "current": other}


SCENES = (
    Probe("two frames with sprites that flicker", _frames(flickering()).observe),
    Probe("two frames of random colours",
          _frames(_pair(colour_blocks(10, block=17), colour_blocks(11, block=19))).observe),
    Probe("two frames of 9 × 14 pixels, drawn by dice",
          _frames(_pair(noise(12, 9, 14, 3), noise(13, 9, 14, 3))).observe),
    Probe("two grey frames of 12 × 7 pixels, drawn by dice",
          _frames(_pair(noise(14, 12, 7), noise(15, 12, 7))).observe),
    Probe("two calls in a row",
          TwoCalls((noise(16, 6, 5, 3), noise(17, 6, 5, 3)),
                   (noise(18, 6, 5, 3), noise(19, 6, 5, 3))).observe),
    Probe(
        "calls that the docstring refuses",
        Refusals(
            (
                Refusal("a pair of shapes (6, 5, 3) and (1, 5, 3)",
                        (noise(12, 6, 5, 3), noise(13, 1, 5, 3)), 3),
                Refusal("a pair of shapes (5, 3) and (6, 5, 3)",
                        (noise(12, 5, 3), noise(13, 6, 5, 3)), 3),
                Refusal("a pair of shapes (6, 5, 3) and (6, 5, 1)",
                        (noise(12, 6, 5, 3), noise(13, 6, 5, 1)), 3),
                Refusal("a pair of shapes (6, 5, 3) and (5, 6, 3)",
                        (noise(12, 6, 5, 3), noise(13, 5, 6, 3)), 3),
            )
        ).observe,
    ),
)  # fmt: skip


# --- wrong versions -------------------------------------------------------------------------------


def _wide(frame: np.ndarray) -> np.ndarray:
    return frame.astype(np.int16)


_BRIGHTER = {
    "has the larger sum": lambda rgb: rgb.sum(axis=2, keepdims=True),
    "has the larger luminance": lambda rgb: rgb @ np.array([[0.299], [0.587], [0.114]]),
    "has the largest of all six values": lambda rgb: rgb.max(axis=2, keepdims=True),
}


def _whole_pixel(which: str, brightness) -> WrongVersion:
    """At each pixel, all three channels of one of the two frames; of equals, either."""

    def joined(previous, current):
        if previous.ndim < 3:
            return np.maximum(previous, current)
        return np.where(brightness(previous) > brightness(current), previous, current)

    def bounds(previous, current):
        if previous.ndim < 3:
            return (np.maximum(previous, current),) * 2
        one, other = (np.rint(brightness(frame)) for frame in (previous, current))
        both = np.where(one > other, previous, current), np.where(one < other, current, previous)
        return np.minimum(*both), np.maximum(*both)

    version = _wrong(
        f"whole pixel that {which}",
        joined,
        f"Your frame equals one that takes whole pixels: all three channels of the one that "
        f"{which}. Each channel is compared for itself: a red and a green pixel make a yellow one.",
        1,
        "grey",
    )
    version.piece.bounds = bounds
    return version


def _any_larger(previous, current):
    if previous.ndim < 3:
        return np.maximum(previous, current)
    return np.where((current > previous).any(axis=2, keepdims=True), current, previous)


def _brighter_frame(previous, current):
    return max(previous, current, key=np.sum).copy()


def _into_previous(previous, current):
    return np.maximum(previous, current, out=previous)


def _into_current(previous, current):
    return np.maximum(previous, current, out=current)


def _wrong(slug: str, of_two, says: str, hint: int = 1, *more: str) -> WrongVersion:
    def max_over_frames(previous, current):
        return of_two(previous, current)

    return WrongVersion(slug, leaves_open("errors", *more)(max_over_frames), says, hint)


WRONG = (
    _wrong(
        "mean",
        lambda a, b: ((_wide(a) + b) // 2).astype(np.uint8),
        "Your frame equals the mean of the two: a sprite that is lit in one of them comes out half "
        "as bright above the ground.",
    ),
    _wrong(
        "mean, rounded up",
        lambda a, b: ((_wide(a) + b + 1) // 2).astype(np.uint8),
        "Your frame equals the mean of the two, rounded up: a sprite that is lit in one of them "
        "comes out half as bright above the ground.",
    ),
    _wrong(
        "mean of a sum that wraps round",
        lambda a, b: (a + b) // np.uint8(2),
        "Your frame equals half the sum, and the sum begins again at 0 after 255: bright things in "
        "both frames come out dark. And a mean dims what is lit once.",
    ),
    _wrong(
        "minimum",
        np.minimum,
        "Your frame equals the smaller value at each place: what flickers is gone for certain.",
    ),
    _wrong(
        "current only",
        lambda a, b: b.copy(),
        "Your frame equals `current`: a sprite that is lit in `previous` only stays invisible.",
    ),
    _wrong(
        "previous only",
        lambda a, b: a.copy(),
        "Your frame equals `previous`: it is one frame late, and what is lit in `current` only "
        "stays invisible.",
    ),
    _wrong(
        "sum, cut off at 255",
        lambda a, b: np.minimum(_wide(a) + b, 255).astype(np.uint8),
        "Your frame equals the sum, cut off at 255: all that stands still becomes twice as bright.",
    ),
    _wrong(
        "sum that wraps round",
        np.add,
        "Your frame equals the sum in uint8, which begins again at 0 after 255: 142 and 142 "
        "becomes 28.",
    ),
    _wrong(
        "absolute difference",
        lambda a, b: np.abs(_wide(a) - b).astype(np.uint8),
        "Your frame equals the difference of the two, without its sign: all that stands still "
        "turns black.",
    ),
    _wrong(
        "difference that wraps round",
        lambda a, b: b - a,
        "Your frame equals `current - previous` in uint8: what stands still turns black, and what "
        "got darker begins again at 255.",
    ),
    _wrong(
        "bits of both",
        np.bitwise_or,
        "Your frame equals `previous | current`, which joins the bits of two numbers: 72 and 142 "
        "becomes 206, brighter than either.",
    ),
    _wrong(
        "current where it is lit",
        lambda a, b: np.where(b > 0, b, a),
        "Your frame equals `current` wherever that is not 0, and `previous` elsewhere. A ground "
        "that is not black hides the sprites of `previous`.",
    ),
    *(_whole_pixel(which, brightness) for which, brightness in _BRIGHTER.items()),
    _wrong(
        "whole pixel of current if any channel is larger",
        _any_larger,
        "Your frame equals one that takes whole pixels: all of `current` where any of its three "
        "channels is larger. Each channel is compared for itself: a red and a green pixel make a "
        "yellow one.",
        1,
        "grey",
    ),
    _wrong(
        "brighter frame as a whole",
        _brighter_frame,
        "Your frame equals the one of the two that is brighter in all. The larger value is wanted "
        "at each pixel, from either frame.",
    ),
    _wrong(
        "writes into previous",
        _into_previous,
        "Your frame is right, and `previous` was overwritten with it. Whoever handed it in still "
        "believes it to be one screen.",
        1,
    ),
    _wrong(
        "writes into current",
        _into_current,
        "Your frame is right, and `current` was overwritten with it: at the next decision it is "
        "`previous`, and what was seen once never fades.",
        1,
    ),
    WrongVersion(
        "refuses too little",
        lambda a, b: np.maximum(a, b),
        "Your frame is right, and it does not refuse all frames of different shapes: NumPy "
        "repeats the smaller one, and a wrong screen goes unnoticed.",
        3,
    ),
)


# --- right versions -------------------------------------------------------------------------------


def _refuse(previous, current) -> None:
    if previous.shape != current.shape:
        raise ValueError("two shapes")


def _with_where(previous, current):
    _refuse(previous, current)
    return np.where(current > previous, current, previous)


def _with_a_mask(previous, current):
    _refuse(previous, current)
    result = previous.copy()
    mask = current > result
    result[mask] = current[mask]
    return result


def _with_torch(previous, current):
    _refuse(previous, current)
    return torch.maximum(torch.tensor(previous), torch.tensor(current)).numpy()


def _with_a_stack(previous, current):
    return np.stack([previous, current]).max(axis=0)  # np.stack refuses by itself


def _with_opencv(previous, current):
    _refuse(previous, current)
    return cv2.max(previous, current)


def _with_pillow(previous, current):
    _refuse(previous, current)
    pictures = (Image.fromarray(previous), Image.fromarray(current))
    return np.asarray(ImageChops.lighter(*pictures))


def _with_loops(previous, current):
    _refuse(previous, current)
    pairs = zip(previous.ravel().tolist(), current.ravel().tolist(), strict=True)
    return np.array([max(pair) for pair in pairs], np.uint8).reshape(previous.shape)


RIGHT = (
    RightVersion("np.where", _with_where),
    RightVersion("a copy and a mask", _with_a_mask),
    RightVersion("torch", _with_torch),
    RightVersion("a stack and its largest", _with_a_stack),
    RightVersion("OpenCV", _with_opencv),
    RightVersion("Pillow's lighter, read-only", _with_pillow),
    RightVersion("loop over values", _with_loops),
)


def _workload(piece):
    frames = [colour_blocks(seed) for seed in range(4)]
    pairs = list(itertools.permutations(frames, 2))
    return lambda: [piece(previous, current) for previous, current in pairs]


ENTRY = Entry(
    name="max_over_frames",
    probes=SCENES,
    wrong=WRONG,
    right=RIGHT,
    hints=HINTS,
    model=max_over_frames,
    reference=max_over_frames,
    workload=_workload,
)
