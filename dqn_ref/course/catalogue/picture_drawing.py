"""Pictures side by side as one small PNG: what a piece was given, what it made, what is expected.

Drawn with Pillow on a white ground, as `pictures` does it, so that it is legible on a dark page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_WHITE, _INK, _ORANGE = "#ffffff", "#222222", (0xD5, 0x5E, 0x00)
_COLOURS = 200  # of a PNG; the orange comes on top, so that no grey pushes it aside
_GAP, _TITLE, _HEIGHT = 10, 26, 210  # pixels; small pictures are enlarged to about that height
_LEAST = 76  # width of a panel, so that its title fits


def panels(pictures: Mapping[str, np.ndarray], marked: Mapping[str, tuple[int, int]]) -> str:
    """A row of pictures with their names above.

    Args:
        pictures: name to `(H, W)` or `(H, W, 3)` uint8. Whole pixels are enlarged, none is blended.
        marked: name to the row and column of a pixel that gets an orange frame.
    Returns:
        A PNG as a data URI.
    """
    enlarged = {name: _enlarged(picture) for name, picture in pictures.items()}
    widths = [max(image.width, _LEAST) for image, _ in enlarged.values()]
    height = max(image.height for image, _ in enlarged.values())
    size = (sum(widths) + _GAP * (len(widths) + 1), height + _TITLE + 2 * _GAP)
    sheet = Image.new("RGB", size, _WHITE)
    pen, left, top = ImageDraw.Draw(sheet), _GAP, _GAP + _TITLE
    frames = []
    for (name, (image, scale)), width in zip(enlarged.items(), widths, strict=True):
        pen.text((left, _GAP + _TITLE / 2), name, _INK, ImageFont.load_default(17), anchor="lm")
        sheet.paste(image, (left, top))
        pen.rectangle((left - 1, top - 1, left + image.width, top + image.height), None, _INK)
        if name in marked:
            frames.append(_frame(left, top, marked[name], scale))
        left += width + _GAP
    return _data_uri(sheet, frames)


def _enlarged(picture: np.ndarray) -> tuple[Image.Image, int]:
    """The picture with every pixel as a square, and the side of such a square."""
    scale = max(1, _HEIGHT // picture.shape[0])
    return Image.fromarray(picture.repeat(scale, 0).repeat(scale, 1)).convert("RGB"), scale


def _frame(left: int, top: int, place: tuple[int, int], scale: int) -> tuple[int, ...]:
    """The box around a pixel, large enough to be found."""
    row, column = place
    away = max(4, 8 - scale)
    x, y = left + column * scale, top + row * scale
    return x - away, y - away, x + scale - 1 + away, y + scale - 1 + away


def _data_uri(sheet: Image.Image, frames: list[tuple[int, ...]]) -> str:
    small = sheet.quantize(_COLOURS)
    palette = small.getpalette()[: 3 * _COLOURS]
    small.putpalette([*palette, *[0] * (3 * _COLOURS - len(palette)), *_ORANGE])
    pen = ImageDraw.Draw(small)
    for box in frames:
        pen.rectangle(box, None, _COLOURS, 3)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
