"""Sliders and choices over pictures."""

from types import SimpleNamespace

import ipywidgets
import pytest

from dqn_ref.course.widgets import panel, slide


@pytest.fixture
def drawn():
    return []


@pytest.fixture
def slider(drawn):
    def draw(position):
        drawn.append(position)
        return SimpleNamespace(data=f"<img alt='picture {position}'>")

    return slide(draw, 5, "step", start=2)


def test_the_picture_follows_and_each_is_drawn_once(slider, drawn):
    """Bugs: the picture of the position before; all of them drawn at once; drawn again."""
    handle, picture = slider.children
    assert picture.value == "<img alt='picture 2'>" and drawn == [2]
    for position in (4, 0, 4, 2):
        handle.value = position
        assert picture.value == f"<img alt='picture {position}'>"
    assert drawn == [2, 4, 0]


def test_positions_end_at_the_last_picture(slider):
    """Bug: one position too many, which has no picture."""
    handle = slider.children[0]
    handle.value = 99
    assert (handle.min, handle.value) == (0, 4)
    assert handle.description == "step"


def test_without_widgets_there_is_a_picture(slider):
    """Bug: an untrusted notebook shows the name of a Python class in place of the picture."""
    bundle = slider._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/html"] == "<img alt='picture 2'>"


@pytest.fixture
def panel_of_two(drawn):
    def draw(rows_off_top, filter):
        drawn.append((rows_off_top, filter))
        return SimpleNamespace(data=f"<img alt='{filter} without {rows_off_top}'>")

    start = {"filter": "nearest", "rows_off_top": 16}
    return panel(draw, start, rows_off_top=range(0, 40, 8), filter=("area", "nearest"))


def test_the_picture_follows_every_control_of_a_panel(panel_of_two, drawn):
    """Bugs: only the last control is heard; two values change places; a picture is drawn again."""
    rows, chosen, picture = panel_of_two.children
    assert picture.value == "<img alt='nearest without 16'>"
    chosen.value = "area"
    rows.value = 32
    assert picture.value == "<img alt='area without 32'>"
    chosen.value, rows.value = "nearest", 16
    assert picture.value == "<img alt='nearest without 16'>"
    assert drawn == [(16, "nearest"), (16, "area"), (32, "area"), (32, "nearest")]


def test_a_panel_names_its_controls_and_offers_what_it_was_given(panel_of_two):
    """Bugs: names of Python arguments on the screen; numbers in a list that must be opened."""
    rows, chosen, _ = panel_of_two.children
    assert (rows.description, chosen.description) == ("rows off top", "filter")
    assert isinstance(rows, ipywidgets.SelectionSlider) and rows.options == (0, 8, 16, 24, 32)
    assert isinstance(chosen, ipywidgets.Dropdown) and chosen.options == ("area", "nearest")


def test_a_panel_without_widgets_shows_the_picture_of_its_start(panel_of_two):
    """Bug: an untrusted notebook shows the picture of the first choices, or no picture."""
    bundle = panel_of_two._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/html"] == "<img alt='nearest without 16'>"
