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
from matplotlib.patches import Rectangle

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


def style():
    """A context in which matplotlib draws as the course does, for figures made by hand."""
    return mpl.rc_context(_STYLE)


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


def show_grid(
    rows: Sequence[Sequence[np.ndarray]],
    row_titles: Sequence[str],
    column_titles: Sequence[str],
    alt: str,
    height: float = 1.7,
):
    """Display rows of game screens below one another, all of one size.

    Args:
        rows: equally long rows of `(H, W)` or `(H, W, 3)` uint8, for example `(R, C, H, W)`.
        row_titles: a few words left of each row.
        column_titles: a few words above each column.
        alt: one or two sentences for those who cannot see it.
        height: inches, of one screen.
    """
    width = height * rows[0][0].shape[1] / rows[0][0].shape[0]
    with mpl.rc_context(_STYLE):
        size = (1.8 + (width + 0.1) * len(column_titles), 0.4 + (height + 0.1) * len(rows))
        drawing = Figure(figsize=size, facecolor="white", layout="constrained")
        axes = drawing.subplots(len(rows), len(column_titles), squeeze=False)
    for row, title, row_axes in zip(rows, row_titles, axes, strict=True):
        for frame, ax in zip(row, row_axes, strict=True):
            ax.imshow(frame, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            ax.grid(False)
        row_axes[0].set_ylabel(title, rotation=0, ha="right", va="center")
    for ax, title in zip(axes[0], column_titles, strict=True):
        ax.set_title(title)
    return show(drawing, alt)


def show_ring(capacity: int, counts: Sequence[int], stack_frames: int, alt: str):
    """Draw what stands in a ring of frames after so many writes: one line of slots per count.

    A slot is grey while nothing stands in it and orange where the last frame was written. Blue
    are the frames at which a step begins that still has all its frames, in a game without end.

    Args:
        capacity: slots.
        counts: frames written since the beginning, one number per line.
        stack_frames: frames in a state.
        alt: one or two sentences for those who cannot see it.
    """
    drawing, ax = figure(1.8 + 0.62 * capacity, 0.6 + 0.62 * len(counts))
    for line, count in enumerate(counts):
        gone = max(0, count - capacity)
        whole_from = gone + stack_frames - 1 if gone else 0
        for slot in range(capacity):
            number = count - 1 - (count - 1 - slot) % capacity
            newest, whole = number == count - 1, whole_from <= number < count - 1
            colour = ORANGE if newest else SKY if whole else "white"
            box = Rectangle(
                (slot, line), 0.92, 0.92, facecolor=colour if number >= 0 else "#dddddd"
            )
            box.set(edgecolor="#444444", linewidth=1)
            ax.add_patch(box)
            if number >= 0:
                ax.text(slot + 0.46, line + 0.48, str(number), ha="center", va="center")
    ax.set(xlim=(-0.05, capacity), ylim=(len(counts), -0.05), aspect="equal")
    ax.set(xticks=np.arange(capacity) + 0.46, xticklabels=range(capacity))
    ax.set(yticks=np.arange(len(counts)) + 0.46, yticklabels=[f"{n} written" for n in counts])
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.grid(False)
    return show(drawing, alt)


def show_tiles(
    frames: Sequence[np.ndarray], titles: Sequence[str], columns: int, alt: str, height: float = 1.6
):
    """Display pictures in lines of `columns`, each with its own title; sizes may differ.

    Args:
        frames: `(H, W, 3)` or `(H, W)` uint8, all of about one shape.
        titles: one line above each.
        columns: pictures in a line.
        alt: one or two sentences for those who cannot see it.
        height: inches, of one picture.
    """
    lines, shape = -(-len(frames) // columns), frames[0].shape
    width = height * shape[1] / shape[0]
    with mpl.rc_context(_STYLE):
        size = (columns * (width + 0.1), lines * (height + 0.45))
        drawing = Figure(figsize=size, facecolor="white", layout="constrained")
        axes = drawing.subplots(lines, columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, frame, title in zip(axes.flat, frames, titles, strict=False):
        ax.imshow(frame, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
        ax.set_title(title)
    return show(drawing, alt)


def show_layers(networks: Sequence[tuple[str, Sequence[tuple[str, tuple[int, ...]]]]], alt: str):
    """Draw networks below one another: sheets for maps, bars for rows of units.

    Small maps are drawn larger than they are: sides go by the root of their length, numbers of
    sheets and lengths of bars by its logarithm.

    Args:
        networks: a title each, and its layers in order: what was done to get there, and the
            shape that came out, `(maps, height, width)` or `(units,)`.
        alt: one or two sentences for those who cannot see it.
    """
    with mpl.rc_context(_STYLE):
        drawing = Figure((11.0, 2.1 * len(networks)), facecolor="white", layout="constrained")
        axes = drawing.subplots(len(networks), 1, squeeze=False)[:, 0]
    places = max(len(layers) for _, layers in networks)
    for ax, (title, layers) in zip(axes, networks, strict=True):
        for place, (label, shape) in enumerate(layers):
            x, is_maps = 2.0 * place, len(shape) == 3
            sheets = int(np.log2(shape[0])) if is_maps else 1
            height = 0.13 * np.sqrt(shape[1]) if is_maps else 0.12 * np.log2(shape[0])
            width = 0.13 * np.sqrt(shape[2]) if is_maps else 0.1
            for shift in 0.06 * np.arange(sheets)[::-1]:
                corner = x - width / 2 + shift, -height / 2 + shift
                colour = SKY if is_maps else ORANGE
                ax.add_patch(Rectangle(corner, width, height, fc=colour, ec="#444444"))
            ax.text(x, -0.85, " × ".join(f"{n:,}" for n in shape), ha="center", va="top")
            if label:
                ax.text(x - 1.0, 0.95, label, ha="center", va="bottom", fontsize=11)
                ax.annotate("", (x - 0.78, 0.85), (x - 1.22, 0.85), arrowprops={"arrowstyle": "->"})
        ax.set(xlim=(-0.9, 2.0 * places - 1.0), ylim=(-1.2, 1.3), aspect="equal")
        ax.set_title(title, loc="left")
        ax.set_axis_off()
    return show(drawing, alt)
