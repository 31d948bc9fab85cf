"""Preprocessing of chapter 02: its pairs of frames, known mistakes, and versions of other make.

Contract: `dqn_ref.pieces.CONTRACTS["preprocess"]`. In words: two `(210, 160, 3)` uint8 frames
become one grey frame `(height, width)`: their maximum, before or after they are made grey, or the
second alone; grey by luminance or by the mean; resized by `method`, before the luminance if
`grey` is "luminance_last". Unknown names and frames of different shapes are refused.

What may vary: what rounding does, one grey level where a filter makes new values (two with bicubic,
whose weights add up to more than 1 in size). Blocks of one colour are changed by no filter: there
grey must be the luminance, rounded to the nearest, or the mean, rounded down. Not asked for:
whether frames of different shapes are refused where the first one is not used.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops

from dqn_ref.course.catalogue import picture_makes as makes
from dqn_ref.course.catalogue.judging import Entry, Probe, RightVersion
from dqn_ref.course.catalogue.picture_scenes import (
    Call,
    Refusal,
    Refusals,
    TwoCalls,
    colour_blocks,
    flat_colours,
    flickering,
    two_breakout_screens,
)
from dqn_ref.course.catalogue.picture_wrong_frames import wrong_frames, wrong_grey
from dqn_ref.course.catalogue.picture_wrong_steps import wrong_refusals, wrong_sizes
from dqn_ref.frames import preprocess

HINTS = {
    1: "three questions in this order: what is made of one picture, of which picture (the maximum "
    "before, after, or not at all), and what is left to resize",
    2: "the call: an inner function for one picture; rgb, luminance and none in terms of it; "
    "method handed on to every resize; the frames stay as they are",
    3: "the plain mean: a sum in uint8 wraps round; // 3 rounds down",
    4: "what is refused: unknown grey, max_over and method; frames of different shapes",
}

_BLOCKS = {"previous": colour_blocks(80, block=17), "current": colour_blocks(81, block=19)}
_DULL = {name: frame // 2 + 60 for name, frame in _BLOCKS.items()}  # nothing to cut off
_TEXTS = {
    "breakout": ("two screens drawn like Breakout's", two_breakout_screens()),
    "flicker": ("two frames with sprites that flicker", flickering()),
    "blocks": ("two frames of random colours", _BLOCKS),
    "dull": ("two frames of random colours", _DULL),
    "flat": ("two frames of 14 × 16 blocks of one colour each", flat_colours()),
}


def _scene(frames: str, *settings, hint: int = 1, **more) -> Probe:
    """A call with so many of height, width, method, max_over and grey, by position."""
    text, pictures = _TEXTS[frames]
    shown = "".join(f', "{s}"' if isinstance(s, str) else f", {s}" for s in settings)
    shape = settings[:2] or (84, 84)
    within = more.pop("within", 1)
    call = Call(pictures, shape, hint, settings, {}, within, max(hint, 2), array_hint=2, **more)
    return Probe(f"`preprocess(previous, current{shown})` of {text}", call.observe)


def _one(frames) -> tuple:
    """Arguments that ask for the second frame alone."""
    return (*frames.values(), 84, 84, "area", "none")


def _by_name(piece, seen):
    """The settings that a wrapper is likely to name."""
    names = {"width": 50, "height": 60, "max_over": "rgb", "method": "bilinear"}
    return Call(_BLOCKS, (60, 50), 2, keywords=names).observe(piece, seen)


def _refusals() -> list[Probe]:
    pair = tuple(two_breakout_screens().values())
    names = Refusals(
        (
            Refusal('method "lanczos"', (*pair, 84, 84, "lanczos", "none"), 4),
            Refusal('max_over "red"', (*pair, 84, 84, "area", "red"), 4),
            Refusal('grey "sepia"', (*pair, 84, 84, "area", "luminance", "sepia"), 4),
            Refusal('max_over "max" and grey "mean"', (*pair, 84, 84, "area", "max", "mean"), 4),
        )
    )
    lower, one_row = pair[0][105:], pair[0][:1]
    settings = (84, 84, "area", "rgb")
    shapes = Refusals(
        (
            Refusal("a pair of shapes (1, 160, 3) and (210, 160, 3)", (one_row, pair[1]), 4),
            Refusal('a pair of shapes (1, 160, 3) and (210, 160, 3), for max_over "rgb",',
                    (one_row, pair[1], *settings), 4),
            Refusal('a pair of shapes (105, 160, 3) and (210, 160, 3), for max_over "rgb",',
                    (lower, pair[1], *settings), 4),
        )
    )  # fmt: skip
    return [
        Probe("calls with unknown names", names.observe),
        Probe("calls with frames of different shapes", shapes.observe),
    ]


SCENES = (
    _scene("breakout"),
    _scene("flicker", 84, 84, "area", "rgb"),
    _scene("flat", 14, 16, "area", "none", within=0),
    _scene("flat", 14, 16, "area", "none", "mean", hint=3, within=0),
    _scene("flat", 14, 16, "area", "luminance", "luminance_last", within=0),
    _scene("blocks"),
    _scene("blocks", 60, 50, "area", "none"),
    _scene("breakout", 84, 84, "area", "none", hint=2),
    _scene("blocks", 84, 84, "area", "none", hint=2),
    _scene("blocks", 84, 84, "area", "rgb", hint=2),
    _scene("breakout", 84, 84, "area", "none", "mean", hint=3),
    _scene("blocks", 84, 84, "area", "luminance", "mean", hint=3),
    _scene("blocks", 84, 84, "area", "rgb", "mean", hint=3),
    _scene("blocks", 84, 84, "area", "none", "luminance_last"),
    _scene("blocks", 84, 84, "area", "luminance", "luminance_last"),
    _scene("blocks", 84, 84, "area", "rgb", "luminance_last"),
    _scene("dull", 84, 84, "bilinear", "none", "luminance_last"),
    # One frame is enough to see the filter; a luminance in loops takes a tenth of a second for it.
    _scene("breakout", 84, 84, "bilinear", "none", "luminance"),
    _scene("blocks", 84, 84, "nearest", "none"),
    _scene("dull", 84, 84, "bicubic", "none", within=2),
    _scene("blocks", 105, 80, "pil_nearest", "none", "luminance_last"),
    _scene("blocks", 84, 84, "pil_bilinear", "none"),
    _scene("dull", 84, 84, "pil_bicubic", "none", within=2),
    _scene("breakout", 105, 80, "stride", "none", "mean", hint=3, aside="stride", within=0),
    _scene("blocks", 105, 80, "stride", "none", aside="stride"),
    Probe(
        '`preprocess(previous, current, width=50, height=60, max_over="rgb", method="bilinear")` '
        "of two frames of random colours",
        _by_name,
    ),
    Probe("two calls in a row", TwoCalls(_one(_BLOCKS), _one(_DULL)).observe),
    *_refusals(),
)


# --- right versions -------------------------------------------------------------------------------

_WEIGHTS = np.array([0.299, 0.587, 0.114])


def _refuse(previous, current, method, max_over, grey) -> None:
    makes.refuse_unknown(method)
    if grey not in ("luminance", "mean", "luminance_last"):
        raise ValueError(f"no grey {grey}")
    if max_over not in ("rgb", "luminance", "none"):
        raise ValueError(f"no max_over {max_over}")
    if previous.shape != current.shape:
        raise ValueError("two shapes")


def _in_floats(
    previous, current, height=84, width=84, method="area", max_over="luminance", grey="luminance"
):
    """float64 from the first step to the last, rounded once (the mean apart, which is cut)."""
    _refuse(previous, current, method, max_over, grey)
    frames = [current.astype(float)] if max_over == "none" else [previous / 1, current / 1]
    if max_over == "rgb":
        frames = [np.stack(frames).max(axis=0)]
    if grey == "luminance_last":
        frames = [makes.filtered(frame, height, width, method) for frame in frames]
    if grey == "mean":
        greys = [np.floor(frame.sum(axis=2) / 3) for frame in frames]
    else:
        greys = [frame @ _WEIGHTS for frame in frames]
    picture = np.stack(greys).max(axis=0)
    if grey != "luminance_last":
        picture = makes.filtered(picture, height, width, method)
    return makes.rounded(picture)


def _with_pillow(
    previous, current, height=84, width=84, method="area", max_over="luminance", grey="luminance"
):
    """Pillow's pictures as long as possible; all the settings in one chain of ifs."""
    _refuse(previous, current, method, max_over, grey)

    def make_grey(frame):
        if grey == "luminance_last":
            frame = makes.with_ifs(frame, height, width, method)
        if grey == "mean":
            return Image.fromarray(frame.mean(axis=2).astype(np.uint8))
        return Image.fromarray(frame).convert("L")

    if max_over == "none":
        picture = make_grey(current)
    elif max_over == "luminance":
        picture = ImageChops.lighter(make_grey(previous), make_grey(current))
    else:
        both = ImageChops.lighter(Image.fromarray(previous), Image.fromarray(current))
        picture = make_grey(np.array(both))
    picture = np.array(picture)
    if grey == "luminance_last":
        return picture
    return makes.with_ifs(picture, height, width, method)


def _with_torch(
    previous, current, height=84, width=84, method="area", max_over="luminance", grey="luminance"
):
    """A half added and the fraction cut off; a table of the maxima."""
    _refuse(previous, current, method, max_over, grey)

    def make_grey(frame):
        if grey == "mean":
            return frame.mean(axis=2).astype(np.uint8)
        return (frame @ _WEIGHTS + 0.5).astype(np.uint8)

    def small(frame):
        return makes.with_torch(frame, height, width, method)

    def seen(frame):
        return make_grey(small(frame)) if grey == "luminance_last" else make_grey(frame)

    picture = {
        "none": lambda: seen(current),
        "rgb": lambda: seen(np.where(previous > current, previous, current)),
        "luminance": lambda: np.max([seen(previous), seen(current)], axis=0),
    }[max_over]()
    return picture if picture.shape == (height, width) else small(picture)


def _with_opencv_floats(
    previous, current, height=84, width=84, method="area", max_over="luminance", grey="luminance"
):
    """`none` as the maximum of one frame with itself; float32 inside the filters."""
    _refuse(previous, current, method, max_over, grey)
    if max_over == "none":
        previous = current
    frames = np.stack([previous, current])
    if max_over == "rgb":
        frames = frames.max(axis=0, keepdims=True)
    if grey == "luminance_last":
        frames = [makes.with_floats(frame, height, width, method) for frame in frames]
    if grey == "mean":
        greys = [frame.astype(int).sum(axis=-1) // 3 for frame in frames]
    else:
        greys = [np.tensordot(frame, _WEIGHTS, 1).round() for frame in frames]
    picture = np.max(greys, axis=0).astype(np.uint8)
    return makes.with_floats(picture, height, width, method)


RIGHT = (
    RightVersion("float64 throughout, rounded once", _in_floats),
    RightVersion("Pillow", _with_pillow),
    RightVersion("torch", _with_torch),
    RightVersion("OpenCV in float32, lists of frames", _with_opencv_floats),
)


def _workload(piece):
    frames = two_breakout_screens()
    return lambda: piece(*frames.values(), 84, 84, "area", "rgb")


ENTRY = Entry(
    name="preprocess",
    probes=SCENES,
    wrong=(*wrong_frames, *wrong_grey, *wrong_sizes, *wrong_refusals),
    right=RIGHT,
    hints=HINTS,
    model=preprocess,
    reference=preprocess,
    workload=_workload,
)
