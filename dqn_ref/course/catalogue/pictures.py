"""Pictures beside a verdict: yours above, expected below, as one small PNG.

Drawn with Pillow: importing matplotlib would take longer than a whole check. The ground is white,
so that the picture stays legible on a dark page.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

_TILE, _GAP, _NAME = 52, 6, 104  # pixels: a tile, between tiles, the column of names
_WHITE, _INK, _PAPER, _WRONG = "#ffffff", "#222222", "#dbe7f0", "#d55e00"
_BLACK = "#000000"


def strips(rows: Mapping[str, Sequence[str]], heads: Mapping[int, str]) -> str:
    """Rows of tiles that stand for frames.

    Args:
        rows: name of the row to the texts of its tiles, equally many in each; "" is a black tile,
            an empty frame. Tiles that differ from those of the last row have an orange border.
        heads: number of a column to the title that begins above it; a gap stands before each.
    Returns:
        A PNG as a data URI.
    """
    expected = list(rows.values())[-1]
    lefts, left = [], _NAME
    for column in range(len(expected)):
        left += 3 * _GAP if column in heads and column else 0
        lefts.append(left)
        left += _TILE + _GAP
    top = 30
    image = Image.new("RGB", (left + _GAP, top + len(rows) * (_TILE + _GAP) + _GAP), _WHITE)
    pen, small, large = ImageDraw.Draw(image), _font(17), _font(20)
    for column, title in heads.items():
        pen.text((lefts[column], top / 2), title, _INK, small, anchor="lm")
    for number, (name, tiles) in enumerate(rows.items()):
        upper = top + number * (_TILE + _GAP)
        pen.text((2 * _GAP, upper + _TILE / 2), name, _INK, small, anchor="lm")
        for left, text, right_text in zip(lefts, tiles, expected, strict=True):
            wrong = text != right_text
            box = (left, upper, left + _TILE, upper + _TILE)
            border, width = (_WRONG, 5) if wrong else (_INK, 1)
            pen.rectangle(box, _PAPER if text else _BLACK, border, width)
            pen.text((left + _TILE / 2, upper + _TILE / 2), text, _INK, large, anchor="mm")
    return _data_uri(image)


def _font(size: int):
    return ImageFont.load_default(size)


def _data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.quantize(32).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
