"""The X-ray player: each decision in a picture and in words, as a slider and as a film."""

from __future__ import annotations

import re

import numpy as np
import pytest

from dqn_ref.course.recorded import Decision, RecordedGame
from dqn_ref.course.xray import ATARI_DECISIONS, XRay, scrub, xray_film
from dqn_ref.video import write_video


def decision(number, q=(1.0, 2.0), action="RIGHT", points=0.0, lives=5) -> Decision:
    screen = np.zeros((210, 160, 3), np.uint8)
    screen[number % 210] = 255
    seen = np.full((84, 84), 9 * number % 256, np.uint8)
    return Decision(screen, seen, np.array(q, np.float32), action, points, lives, 4 * number)


@pytest.fixture(scope="module")
def game() -> RecordedGame:
    """Twenty decisions: a point at 5, a lost ball at 9, an accident at 12."""
    told = {5: {"points": 4.0}, 12: {"action": "LEFT"}}
    lives = [5 - (number >= 9) for number in range(20)]
    return RecordedGame(
        ("LEFT", "RIGHT"),
        tuple(decision(n, lives=lives[n], **told.get(n, {})) for n in range(20)),
    )


def test_the_words_are_those_of_the_decision(game):
    """Bugs: points that the decision is yet to bring; an accident called a choice."""
    drawing = XRay(game)
    assert "Decision 5, frame 20, score 0: RIGHT was chosen" in drawing.words(5)
    assert "score 4: RIGHT was chosen. Q-values: LEFT 1.00, RIGHT 2.00." in drawing.words(6)
    assert "LEFT came by chance" in drawing.words(12)


def test_a_picture_does_not_depend_on_what_was_drawn_before(game):
    """Bug: a bar, a colour or a cursor of the decision before stays."""
    one = XRay(game)
    one.pixels(12)
    assert np.array_equal(one.pixels(3), XRay(game).pixels(3))
    seen = [one.pixels(number) for number in (3, 12, 13)]
    assert not any(np.array_equal(a, b) for a, b in ((seen[0], seen[1]), (seen[1], seen[2])))


def test_the_screen_stands_there_pixel_by_pixel(game):
    """Bug: a picture that is scaled to fit, in which a ball of two pixels may have none."""
    picture = XRay(game).pixels(7)
    assert picture.shape == (640, 960, 3) and picture.dtype == np.uint8
    white = np.flatnonzero(
        (picture[40:440, 100] == 255).all(axis=1) & (picture[40:440, 300] == 255).all(axis=1)
    )
    assert len(white) == 2 and np.ptp(white) == 1  # a row of the screen is two of the film


def test_the_slider_shows_each_decision_in_words_too(game):
    handle, picture = scrub(game, start=7).children
    assert handle.max == len(game.decisions) - 1 and handle.value == 7
    assert "Decision 7, frame 28" in picture.value
    handle.value = 8
    assert "Decision 8," in picture.value


def test_without_widgets_there_is_a_picture(game):
    """Bug: a saved notebook shows the name of a class."""
    bundle = scrub(game, start=3)._repr_mimebundle_()
    assert re.match(r'<img [^>]*src="data:image/png;base64,', bundle["text/html"])


def test_a_game_of_another_size_and_without_points_is_drawn():
    """Bugs: a legend of nothing; bars that reach beyond their axis; a small game has no lives."""
    one = Decision(
        np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8),
        np.array([-1.0, -2.0], np.float32), "LEFT", 0.0, 0, 1,
    )  # fmt: skip
    drawing = XRay(RecordedGame(("LEFT", "RIGHT"), (one,)))
    assert drawing.pixels(0).shape == (640, 960, 3)
    assert "LEFT -1.00, RIGHT -2.00" in drawing.picture(0).data


def test_a_film_has_the_decisions_it_was_asked_for(game, tmp_path):
    """Bugs: the whole game for a piece of it; a film beyond the end; another speed."""
    told = []

    def write(frames, path, fps):
        told.append((list(frames), fps))
        return write_video(told[-1][0], path, fps)

    path = xray_film(game, tmp_path / "xray.mp4", first=12, count=30, write=write)
    frames, fps = told[0]
    assert path.stat().st_size > 0 and len(frames) == 8 and fps == ATARI_DECISIONS
    assert np.array_equal(frames[0], XRay(game, (12, 19)).pixels(12))
