"""Wrong versions of `preprocess` I: which frames it is made of, and how they become grey.

All are the right one with other frames, other settings, or something done to the result.
"""

from __future__ import annotations

import numpy as np

from dqn_ref.course.catalogue.judging import WrongVersion
from dqn_ref.course.catalogue.picture_scenes import leaves_open
from dqn_ref.frames import preprocess

MAXIMA, GREYS = ("rgb", "luminance", "none"), ("luminance", "mean", "luminance_last")


def exchanged(
    slug: str,
    hint: int,
    says: str,
    *,
    frames=lambda previous, current, max_over: (previous, current),
    after=lambda picture: picture,
    **taken_for,
) -> WrongVersion:
    """A right `preprocess` with something exchanged.

    Args:
        frames: the two frames and max_over to the two frames that are used instead.
        after: the right picture to the one that is returned.
        taken_for: method, max_over or grey to the values that are taken for others.
    """

    @leaves_open("errors")
    def wrong(
        previous, current, height=84, width=84, method="area", max_over="luminance",
        grey="luminance",
    ):  # fmt: skip
        names = {"method": method, "max_over": max_over, "grey": grey}
        for name, others in taken_for.items():
            names[name] = others.get(names[name], names[name])
        pair = frames(previous, current, max_over)
        return after(preprocess(*pair, height, width, **names))

    return WrongVersion(slug, wrong, says, hint)


def _joined(join):
    """Instead of the maximum, what `join` makes of both frames."""

    def frames(previous, current, max_over):
        return (previous, current) if max_over == "none" else (join(previous, current),) * 2

    return frames


def each(change):
    """The same change to both frames."""
    return lambda previous, current, max_over: (change(previous), change(current))


def _one_channel(number: int):
    return each(lambda rgb: rgb[..., [number] * 3].copy())


def _wide(frame: np.ndarray) -> np.ndarray:
    return frame.astype(np.int16)


def always(value: str, names) -> dict[str, str]:
    return dict.fromkeys(names, value)


wrong_frames = (
    exchanged(
        "current only", 2,
        "Your frame is made of `current` alone, whatever max_over says. Where a game draws a "
        "sprite on every other frame, the network may never see it.",
        max_over=always("none", MAXIMA),
    ),
    exchanged(
        "previous only", 2,
        "Your frame is made of `previous` alone, whatever max_over says: one emulator frame late, "
        "and without what is lit in `current` only.",
        frames=lambda previous, current, max_over: (previous, previous),
    ),
    exchanged(
        "previous for none", 2,
        'Your frame is made of `previous` where max_over is "none". The newest frame is `current`.',
        frames=lambda previous, current, max_over: (
            previous, previous if max_over == "none" else current),
    ),
    exchanged(
        "mean of both frames", 2,
        "Your frame is made of the mean of the two frames: a sprite that is lit in one of them "
        "comes out half as bright above the ground.",
        frames=_joined(lambda a, b: ((_wide(a) + b) // 2).astype(np.uint8)),
    ),
    exchanged(
        "minimum of both frames", 2,
        "Your frame is made of the smaller values of the two frames: what flickers is gone for "
        "certain.",
        frames=_joined(np.minimum),
    ),
    exchanged(
        "sum of both frames", 2,
        "Your frame is made of the sum of the two frames, cut off at 255: all that stands still "
        "becomes twice as bright.",
        frames=_joined(lambda a, b: np.minimum(_wide(a) + b, 255).astype(np.uint8)),
    ),
    exchanged(
        "difference of the frames", 2,
        "Your frame is made of the difference of the two frames, without its sign: only what moves "
        "is left, and the bricks are gone.",
        frames=_joined(lambda a, b: np.abs(_wide(a) - b).astype(np.uint8)),
    ),
    exchanged(
        "always the maximum of greys", 2,
        'Your frame takes the maximum of the grey pictures for "rgb", too. There it comes before: '
        "a red and a green pixel make a yellow one, brighter than both.",
        max_over={"rgb": "luminance"},
    ),
    exchanged(
        "always the maximum of colours", 2,
        'Your frame takes the maximum of the colours for "luminance", too. There it comes after: '
        "both frames are made grey, and the brighter grey is kept.",
        max_over={"luminance": "rgb"},
    ),
    exchanged(
        "rgb and luminance exchanged", 2,
        'Your frame equals one with "rgb" and "luminance" exchanged. "rgb" takes the maximum of '
        'the colours and then the luminance; "luminance" the other way round.',
        max_over={"luminance": "rgb", "rgb": "luminance"},
    ),
    exchanged(
        "max_over ignored, greys", 2,
        "Your frame takes the maximum of the grey pictures, whatever max_over says.",
        max_over=always("luminance", MAXIMA),
    ),
    exchanged(
        "max_over ignored, colours", 2,
        "Your frame takes the maximum of the colours and then the luminance, whatever max_over "
        "says.",
        max_over=always("rgb", MAXIMA),
    ),
    exchanged(
        "a maximum for none", 2,
        'Your frame takes a maximum where max_over is "none", too. There `current` is used alone.',
        max_over={"none": "luminance"},
    ),
    exchanged(
        "a maximum of colours for none", 2,
        'Your frame takes the maximum of the colours where max_over is "none". There `current` is '
        "used alone.",
        max_over={"none": "rgb"},
    ),
)  # fmt: skip


wrong_grey = (
    exchanged(
        "mean for luminance", 1,
        "Your grey is the plain mean of the three colours where the luminance is asked for. To the "
        "eye green is brighter than blue; the mean gives both the same grey.",
        grey={"luminance": "mean"},
    ),
    exchanged(
        "always the mean", 1,
        "Your grey is the plain mean of the three colours, whatever `grey` says.",
        grey=always("mean", GREYS),
    ),
    exchanged(
        "always the luminance", 3,
        "Your grey is the luminance of the full picture, whatever `grey` says.",
        grey=always("luminance", GREYS),
    ),
    exchanged(
        "luminance for mean", 3,
        'Your grey is the luminance where `grey` is "mean".',
        grey={"mean": "luminance"},
    ),
    exchanged(
        "luminance_last like luminance", 1,
        'Your frame is made grey before it is resized where `grey` is "luminance_last", too. '
        "There each picture is resized in colour first, so that the maximum sees small pictures.",
        grey={"luminance_last": "luminance"},
    ),
    exchanged(
        "blue first", 1,
        "Your grey takes the channels as blue, green, red, as OpenCV's `COLOR_BGR2GRAY` does. The "
        "emulator's pictures have red first: red things come out too dark.",
        frames=each(lambda rgb: rgb[..., ::-1].copy()),
    ),
    exchanged(
        "red channel only", 1,
        "Your grey is the red channel alone: what is green or blue disappears.",
        frames=_one_channel(0),
    ),
    exchanged(
        "green channel only", 1,
        "Your grey is the green channel alone: what is red or blue disappears.",
        frames=_one_channel(1),
    ),
    exchanged(
        "blue channel only", 1,
        "Your grey is the blue channel alone: what is red or green disappears.",
        frames=_one_channel(2),
    ),
    exchanged(
        "0 to 1 as uint8", 1,
        "Your frame is divided by 255 before it becomes uint8: next to nothing is left. Dividing "
        "is the network's business, in floats.",
        after=lambda picture: picture // 255,
    ),
    exchanged(
        "black and white", 1,
        "Your frame knows black and white only: whatever is not 0 becomes 255. Bricks, walls and "
        "ball all look alike.",
        after=lambda picture: np.where(picture > 0, 255, 0).astype(np.uint8),
    ),
    exchanged(
        "inverted", 1,
        "Your frame is the negative: dark where the picture is bright.",
        after=lambda picture: 255 - picture,
    ),
)  # fmt: skip
