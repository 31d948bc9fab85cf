"""The slider over pictures."""

from types import SimpleNamespace

import pytest

from dqn_ref.course.widgets import slide


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
