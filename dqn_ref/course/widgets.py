"""Things to move in a notebook: sliders and choices, and the picture that follows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import ipywidgets

_WIDE = ipywidgets.Layout(width="480px")
_NAMED = {"description_width": "140px"}


class Controlled(ipywidgets.VBox):
    """Controls over a picture; where widgets are not shown, the picture alone."""

    def __init__(self, draw: Callable[..., str], *controls: ipywidgets.ValueWidget):
        def drawn() -> str:
            return draw(*(control.value for control in controls))

        self._shown = ipywidgets.HTML(drawn())
        for control in controls:
            control.observe(lambda change: setattr(self._shown, "value", drawn()), names="value")
        super().__init__([*controls, self._shown])

    def _repr_mimebundle_(self, **formats):
        # An untrusted notebook shows no widgets, and takes the next best form.
        return {**super()._repr_mimebundle_(**formats), "text/html": self._shown.value}


def slide(draw: Callable[[int], object], count: int, label: str, start: int = 0) -> Controlled:
    """A slider from 0 to `count` - 1 above the picture that belongs to its position.

    Pictures are drawn as they are asked for, and kept, so that going back costs nothing. A
    notebook that was saved shows a picture, whether or not it is trusted.

    Args:
        draw: position to picture, as `figures.show` and `figures.show_frames` return it.
        count: number of positions.
        label: what is counted, in a word.
        start: position at first.
    """
    slider = ipywidgets.IntSlider(
        value=start, min=0, max=count - 1, description=label, layout=_WIDE
    )
    return Controlled(cache(lambda position: draw(position).data), slider)


def panel(
    draw: Callable[..., object], start: Mapping[str, object], **choices: Sequence
) -> Controlled:
    """Several controls above one picture: a slider for numbers, a list for words.

    As with `slide`, pictures are kept, and a saved notebook shows the first of them.

    Args:
        draw: called with one value per control, by name, as in `draw(size=84, filter="area")`;
            returns a picture, as `figures.show` does.
        start: the values at first, by name.
        choices: the values of each control, by name. An underscore is shown as a space.
    """

    def control(name: str) -> ipywidgets.ValueWidget:
        values = list(choices[name])
        kind = ipywidgets.Dropdown if isinstance(values[0], str) else ipywidgets.SelectionSlider
        label = name.replace("_", " ")
        return kind(
            options=values, value=start[name], description=label, layout=_WIDE, style=_NAMED
        )

    names = list(choices)
    drawn = cache(lambda *values: draw(**dict(zip(names, values, strict=True))).data)
    return Controlled(drawn, *(control(name) for name in names))
