"""Figures that stay legible in a light and in a dark notebook, and tell their content in words too.

Every figure has a white ground of its own, so its dark letters never stand on a dark page. The
colours are those of Okabe and Ito, which people with any colour vision tell apart; the online and
the target network keep theirs throughout the course. `show` asks for a text that says in words
what the picture shows.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
VERMILION, PURPLE, SKY, GREY = "#D55E00", "#CC79A7", "#56B4E9", "#767676"

ONLINE, TARGET = BLUE, VERMILION  # the two networks, in every figure of the course

_STYLE = {
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": mpl.cycler(color=[BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, GREY]),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 13,
    "font.size": 13,
    "grid.color": "#dddddd",
    "legend.frameon": False,
}
_DOTS_PER_INCH = 144  # sharp on screens of double density; shown at half that size


def figure(width: float = 9.0, height: float = 3.2, columns: int = 1, **subplots):
    """An empty figure in the course's style.

    Args:
        width, height: inches, of the whole figure.
        columns: plots side by side.
        subplots: passed on to matplotlib, for example `width_ratios`, `sharey`.
    Returns:
        The figure and its axes: one, or an array of `columns`.
    """
    with mpl.rc_context(_STYLE):
        drawing = Figure(figsize=(width, height), facecolor="white", layout="constrained")
        return drawing, drawing.subplots(1, columns, **subplots)


def show(drawing: Figure, alt: str):
    """Display a figure in a notebook.

    Args:
        drawing: from `figure`.
        alt: one or two sentences for those who cannot see it.
    Returns:
        An IPython object that holds the picture itself.
    """
    from IPython.display import HTML

    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    picture = base64.b64encode(buffer.getvalue()).decode("ascii")
    width = round(drawing.get_figwidth() * _DOTS_PER_INCH / 2)
    text = html.escape(alt, quote=True)
    return HTML(f'<img width="{width}" alt="{text}" src="data:image/png;base64,{picture}">')


def show_frames(frames: Sequence[np.ndarray], titles: Sequence[str], alt: str, height: float = 4.0):
    """Display game screens side by side, all of one height, every pixel as a sharp rectangle.

    Args:
        frames: `(H, W, 3)` or `(H, W)` uint8; sizes may differ.
        titles: one line under each.
        alt: one or two sentences for those who cannot see it.
        height: inches.
    """
    widths = [height * frame.shape[1] / frame.shape[0] for frame in frames]
    drawing, axes = figure(
        sum(widths) + 0.3 * len(frames), height + 0.4, len(frames), width_ratios=widths
    )
    for ax, frame, title in zip(np.atleast_1d(axes), frames, titles, strict=True):
        ax.imshow(frame, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        ax.set(xticks=[], yticks=[], xlabel=title)
        ax.spines[:].set_visible(False)
        ax.grid(False)
    return show(drawing, alt)
