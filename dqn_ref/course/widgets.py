"""Things to move in a notebook: a slider, and the picture that follows it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import ipywidgets


class Slide(ipywidgets.VBox):
    """A slider over a picture; where widgets are not shown, the picture alone."""

    def __init__(self, draw: Callable[[int], str], count: int, label: str, start: int):
        slider = ipywidgets.IntSlider(
            value=start,
            min=0,
            max=count - 1,
            description=label,
            layout=ipywidgets.Layout(width="480px"),
        )
        shown = ipywidgets.HTML(draw(start))
        slider.observe(lambda change: setattr(shown, "value", draw(change.new)), names="value")
        super().__init__([slider, shown])

    def _repr_mimebundle_(self, **formats):
        # An untrusted notebook shows no widgets, and takes the next best form.
        return {**super()._repr_mimebundle_(**formats), "text/html": self.children[1].value}


def slide(draw: Callable[[int], object], count: int, label: str, start: int = 0) -> Slide:
    """A slider from 0 to `count` - 1 above the picture that belongs to its position.

    Pictures are drawn as they are asked for, and kept, so that going back costs nothing. A
    notebook that was saved shows a picture, whether or not it is trusted.

    Args:
        draw: position to picture, as `figures.show` and `figures.show_frames` return it.
        count: number of positions.
        label: what is counted, in a word.
        start: position at first.
    """
    return Slide(cache(lambda position: draw(position).data), count, label, start)
