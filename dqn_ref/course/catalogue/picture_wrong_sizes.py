"""Wrong versions of `resize`: filters that are others than their names say, and sizes mistaken.

All are the right one with other functions for some of the methods.
"""

from __future__ import annotations

import operator

import cv2
import numpy as np
import torch
from PIL import Image

from dqn_ref.course.catalogue import picture_makes as makes
from dqn_ref.course.catalogue.judging import WrongVersion
from dqn_ref.course.catalogue.picture_scenes import leaves_open
from dqn_ref.frames import resize


def _wrong(slug: str, hint: int, says: str, **exchanged) -> WrongVersion:
    """A right `resize` with other functions for some methods.

    Args:
        exchanged: name of a method, or `every`, to a function of image, height and width, or to the
            name of the method that is used instead.
    """

    def wrong(image, height, width, method="area"):
        other = exchanged.get(method, exchanged.get("every", method))
        if callable(other):
            return other(image, height, width)
        return resize(image, height, width, other)

    return WrongVersion(slug, leaves_open("errors", "right size", "own array")(wrong), says, hint)


def _by_torch(mode: str, **options):
    def resized(image, height, width):
        layers = torch.tensor(image.reshape(*image.shape[:2], -1)).permute(2, 0, 1).float()[None]
        layers = torch.nn.functional.interpolate(layers, (height, width), mode=mode, **options)
        result = layers[0].permute(1, 2, 0).numpy().reshape(height, width, *image.shape[2:])
        return makes.rounded(result)

    return resized


def _by_box(image, height, width):
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


def _linspace(image, height, width):
    rows = np.linspace(0, image.shape[0] - 1, height).astype(int)
    columns = np.linspace(0, image.shape[1] - 1, width).astype(int)
    return image[rows][:, columns]


def _wraps_round(image, height, width):
    picture = image.astype(np.float32)
    result = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.rint(result).astype(np.int64).astype(np.uint8)


def _swapped_sizes(method: str, back):
    """The picture at (width, height), then brought to (height, width) by force."""

    def resized(image, height, width):
        return back(resize(image, width, height, method), (height, width, *image.shape[2:]))

    return resized


def _of_all_filters(make) -> dict:
    return {method: make(method) for method in makes.METHODS if method != "stride"}


def _red_and_blue_swapped(method: str):
    def resized(image, height, width):
        result = resize(image, height, width, method)
        return result if image.ndim == 2 else result[..., ::-1].copy()

    return resized


def _strided(step, cut: bool = False):
    """Slices with other steps; with `cut`, what is too large loses its end."""

    def resized(image, height, width):
        rows, columns = (
            max(1, step(n, m)) for n, m in zip(image.shape, (height, width), strict=False)
        )
        kept = image[::rows, ::columns]
        kept = kept[:height, :width].copy() if cut else kept.copy()
        if kept.shape[:2] != (height, width):
            raise ValueError("no stride")
        return kept

    return resized


def _one_step(image, height, width):
    if -(-image.shape[0] // height) != -(-image.shape[1] // width):
        raise ValueError("no stride")
    return resize(image, height, width, "stride")


def _grey_only(image, height, width):
    if image.ndim == 3:
        raise ValueError("no stride")
    return resize(image, height, width, "stride")


_IGNORED = " `method` makes no difference to it."

WRONG = (
    _wrong("always area", 1, "Your result equals area's for every method." + _IGNORED,
           every="area"),
    _wrong("always bilinear", 1,
           "Your result equals OpenCV's bilinear filter, which cv2.resize uses when nothing is "
           "said, for every method." + _IGNORED, every="bilinear"),
    _wrong("always nearest", 1, "Your result equals the nearest pixel's for every method."
           + _IGNORED, every="nearest"),
    _wrong("always bicubic", 1, "Your result equals OpenCV's bicubic filter for every method."
           + _IGNORED, every="bicubic"),
    _wrong("always Pillow's bicubic", 1,
           "Your result equals Pillow's bicubic filter, which its resize uses when nothing is "
           "said, for every method." + _IGNORED, every="pil_bicubic"),
    _wrong("OpenCV's are all bilinear", 2,
           "Your area, nearest and bicubic equal OpenCV's bilinear filter. So they do when the "
           "filter is the third argument of cv2.resize, where it is taken for `dst`. Write "
           "`interpolation=`.", area="bilinear", nearest="bilinear", bicubic="bilinear"),
    _wrong("Pillow's are all bicubic", 2,
           "Your pil_nearest and pil_bilinear equal Pillow's bicubic filter, which its resize uses "
           "when no other is handed in.", pil_nearest="pil_bicubic", pil_bilinear="pil_bicubic"),
    _wrong("cut out", 1,
           "Your result equals the upper left corner of the picture, cut out. The whole picture is "
           "wanted, with fewer pixels.", every=lambda image, h, w: image[:h, :w].copy()),
    _wrong("np.resize", 2,
           "Your result equals np.resize, which fills the new shape with the old values one after "
           "the other and cuts off the rest. It knows nothing of pictures.",
           every=lambda image, h, w: np.resize(image, (h, w, *image.shape[2:]))),
    _wrong("transposed", 2,
           "Your result equals a picture that was made with height and width swapped and then "
           "transposed: rows have become columns. cv2 and Pillow take (width, height).",
           **_of_all_filters(lambda m: _swapped_sizes(m, lambda p, _: np.swapaxes(p, 0, 1)))),
    _wrong("reshaped", 2,
           "Your result equals a picture that was made with height and width swapped and then "
           "reshaped: its rows are broken in the wrong places. cv2 and Pillow take (width, "
           "height).",
           **_of_all_filters(lambda m: _swapped_sizes(m, lambda p, shape: p.reshape(shape)))),
    _wrong("red and blue swapped", 2,
           "Your result is the right one with red and blue swapped. cv2.resize does not care what "
           "a channel means: nothing needs to be converted.",
           **_of_all_filters(_red_and_blue_swapped)),
    _wrong("Pillow's names by OpenCV", 2,
           "Your result equals one that makes the pil_ methods with OpenCV. Pillow's bilinear and "
           "bicubic grow with the reduction; OpenCV's look at the same few pixels always.",
           pil_nearest="nearest", pil_bilinear="bilinear", pil_bicubic="bicubic"),
    _wrong("OpenCV's names by Pillow", 2,
           "Your result equals one that makes bilinear, nearest and bicubic with Pillow, whose "
           "filters are others of the same name. Without pil_ in front they mean OpenCV's.",
           nearest="pil_nearest", bilinear="pil_bilinear", bicubic="pil_bicubic"),
    _wrong("area by adaptive pooling", 2,
           "Your area equals torch's: windows of whole pixels that overlap. OpenCV's weighs the "
           "pixels at the border of a window by the part of them that lies inside.",
           area=_by_torch("area")),
    _wrong("area by Pillow's box", 2,
           "Your area equals Pillow's BOX, which counts a pixel wholly or not at all. OpenCV's "
           "weighs the pixels at the border of a window by the part that lies inside.",
           area=_by_box),
    _wrong("area is bilinear", 2,
           "Your area equals the bilinear filter, which looks at four pixels and skips the rest.",
           area="bilinear"),
    _wrong("bilinear is area", 2,
           "Your bilinear equals the area filter. OpenCV's bilinear looks at four pixels around "
           "each new one's centre, however many it passes over.", bilinear="area"),
    _wrong("bilinear and bicubic exchanged", 2,
           "Your result equals one in which bilinear and bicubic have changed places. INTER_LINEAR "
           "is the bilinear one, INTER_CUBIC the bicubic one.",
           bilinear="bicubic", bicubic="bilinear"),
    _wrong("bicubic is bilinear", 2, "Your bicubic equals the bilinear filter.",
           bicubic="bilinear"),
    _wrong("nearest from the middle", 2,
           "Your nearest takes the pixel under each new one's centre, as Pillow and "
           "INTER_NEAREST_EXACT do. OpenCV's INTER_NEAREST takes the one under its corner.",
           nearest="pil_nearest"),
    _wrong("Pillow's nearest from the corner", 2,
           "Your pil_nearest takes the pixel under each new one's corner, as OpenCV does. Pillow "
           "takes the one under its centre.", pil_nearest="nearest"),
    _wrong("nearest by linspace", 2,
           "Your nearest equals one that spreads its rows and columns evenly from the first to the "
           "last one, as np.linspace does. OpenCV's takes row floor(r · old / new).",
           nearest=_linspace),
    _wrong("bilinear from corner to corner", 2,
           "Your bilinear lays the corners of the new picture on those of the old one, as torch's "
           "`align_corners=True` does. OpenCV lays the edges on each other.",
           bilinear=_by_torch("bilinear", align_corners=True)),
    _wrong("bicubic wraps round", 2,
           "Your bicubic wraps round: beside an edge the filter goes below 0 and above 255, and in "
           "uint8 that begins again at the other end. Clip before you convert.",
           bicubic=_wraps_round),
    _wrong("stride is nearest", 3,
           "Your stride equals the nearest pixel's. They differ where the old size is no multiple "
           "of the new one: a stride keeps every n-th row, with one n for all.",
           stride="nearest"),
    _wrong("steps rounded down", 3,
           "Your stride finds a size only where the old one is a multiple of it, as steps that are "
           "rounded down do. Of 37 rows every second one leaves 19: round 37 / 19 up.",
           stride=_strided(operator.floordiv)),
    _wrong("steps rounded to the nearest", 3,
           "Your stride equals one whose steps are rounded to the nearest. Of 17 rows every 4th "
           "leaves 5, though 17 / 5 is 3.4: round up.", stride=_strided(lambda n, m: round(n / m))),
    _wrong("one step for both axes, or steps exchanged", 3,
           "Your stride equals one with a single step for both axes, or with the two exchanged: it "
           "finds a size only where both steps are alike. Each axis has its own.",
           stride=_one_step),
    _wrong("steps rounded down, then cut to size", 3,
           "Your stride equals one that takes too short a step and cuts to size what it leaves: "
           "the lower and right parts of the picture are gone. Round the step up, and refuse what "
           "does not fit.", stride=_strided(operator.floordiv, cut=True)),
    _wrong("steps rounded to the nearest, then cut to size", 3,
           "Your stride equals one that rounds its steps to the nearest and cuts to size what is "
           "left: rows and columns are missing at the end. What does not fit has to be refused.",
           stride=_strided(lambda n, m: round(n / m), cut=True)),
    _wrong("no stride in colour", 3,
           "Your stride is right for grey pictures and refuses colour. The shape of a picture in "
           "colour has a third number: compare the first two.", stride=_grey_only),
    _wrong("stride is area", 3,
           "Your stride equals area's: it averages. A stride keeps every n-th row and column as "
           "they are and drops the others.", stride="area"),
)  # fmt: skip


def _takes_any_method(image, height, width, method="area"):
    return resize(image, height, width, method if method in makes.METHODS else "area")


def _takes_any_size(image, height, width, method="area"):
    try:
        return resize(image, height, width, method)
    except ValueError:
        if method != "stride":
            raise
        return resize(image, height, width, "nearest")


def _returns_views(image, height, width, method="area"):
    result = resize(image, height, width, method)
    if image.shape[:2] == (height, width):
        return image
    if method == "stride":
        rows, columns = -(-image.shape[0] // height), -(-image.shape[1] // width)
        return image[::rows, ::columns]
    return result


WRONG += (
    WrongVersion(
        "unknown methods accepted",
        _takes_any_method,
        "Your pictures are right, and an unknown method is not refused: a slip of the pen in a "
        "recipe would train for days with a filter that nobody chose.",
        4,
    ),
    WrongVersion(
        "any size by stride",
        _takes_any_size,
        'Your pictures are right, and "stride" does not refuse all sizes that it cannot make: '
        "what comes out instead is another size, or another filter.",
        3,
    ),
    WrongVersion(
        "a view of the picture",
        _returns_views,
        "Your pictures are right, and not all of them are arrays of their own. A view keeps the "
        "whole picture in memory, and changes when the next one is written there: copy it.",
        3,
    ),
)
