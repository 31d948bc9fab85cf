"""What a cell shows beside pictures: a card in HTML, and the same in plain text.

Styles stand on the elements themselves, so that the card survives where scripts and style sheets
do not: in a notebook that nobody has trusted yet. Letters take the colour of the notebook's theme;
lines and grey letters have a colour that is seen on light and on dark ground.
"""

from __future__ import annotations

import base64
import html
import io
import keyword
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

GREY, LINE = "#767676", "#8886"
_CODE = (
    "font-family: monospace; font-size: 85%; line-height: 1.4; white-space: pre-wrap; "
    "word-break: normal; overflow-wrap: break-word; "
    "margin: 0; padding: 0.4em 0; background: transparent; color: inherit"
)
_CHARACTER = 0.6  # width of one in a monospaced font, in em
_HANGING = 4  # characters by which the rest of a line is indented that is too long


@dataclass(frozen=True)
class Card:
    """Shown as the last value of a cell, or by `IPython.display.display`."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return f'<div style="max-width: 100%; margin: 0.3em 0">{self.html}</div>'

    def __repr__(self) -> str:
        return self.text


def image_tag(picture, alt: str, width: int | None = None) -> str:
    """A picture inside the page itself: no file, no script.

    Args:
        picture: `(H, W, 3)` or `(H, W)` uint8.
        alt: what it shows, in words.
        width: on the page, in pixels; None for its own.
    """
    from PIL import Image  # here, so that the command line need not load it and NumPy

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    rows, columns = picture.shape[:2]
    shown = width or columns
    # With its size on the tag, the page does not jump while the next picture is decoded.
    return (
        f'<img width="{shown}" height="{round(rows * shown / columns)}" '
        f'alt="{html.escape(alt, quote=True)}" src="data:image/png;base64,{data}">'
    )


def sentence(text: str) -> Card:
    """A card of one sentence, whose full stop may be missing."""
    text += "" if text.endswith((".", "?")) else "."
    return Card(html.escape(text), text)


def heading(text: str) -> str:
    """A title in HTML."""
    return f'<div style="font-weight: bold; margin: 0.2em 0 0.4em">{html.escape(text)}</div>'


def code(source: str) -> str:
    """Python in HTML: names of the language bold, comments and texts grey.

    A line that is too long goes on below, indented further than it began.
    """
    lines = [[]]
    for text, style in _styled(source):
        first, *others = text.split("\n")
        lines[-1].append(_span(first, style))
        lines += [[_span(other, style)] for other in others]
    starts = [len(line) - len(line.lstrip(" ")) for line in source.split("\n")]
    body = "".join(_line("".join(parts), n) for parts, n in zip(lines, starts, strict=True))
    return f'<pre style="{_CODE}">{body}</pre>'


def _line(text: str, start: int) -> str:
    indent = f"{(start + _HANGING) * _CHARACTER:.1f}em"
    return f'<div style="padding-left: {indent}; text-indent: -{indent}">{text or "<br>"}</div>'


def _span(text: str, style: str) -> str:
    escaped = html.escape(text)
    return f'<span style="{style}">{escaped}</span>' if style and text else escaped


def _styled(source: str) -> Iterator[tuple[str, str]]:
    """The source in pieces, each with its style."""
    done = 0
    for begin, end, style in _spans(source):
        yield source[done:begin], ""
        yield source[begin:end], style
        done = end
    yield source[done:], ""


def _spans(source: str) -> Iterator[tuple[int, int, str]]:
    """Where something is not written in the letters of the rest, in characters."""
    starts = [0]
    for line in source.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            style = None
            if token.type in (tokenize.COMMENT, tokenize.STRING):
                style = f"color: {GREY}"
            elif token.type == tokenize.NAME and keyword.iskeyword(token.string):
                style = "font-weight: bold"
            if style:
                (row, column), (last_row, last_column) = token.start, token.end
                yield starts[row - 1] + column, starts[last_row - 1] + last_column, style
    except (tokenize.TokenError, SyntaxError):  # an attempt need not be Python
        return
