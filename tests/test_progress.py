"""`progress` and `provenance`: what is true of the learner's files, in HTML and in text."""

import re
import sys

import pytest
from own_folder import MEMORY, NETWORK, own_folder
from test_compare import check_survives_the_sanitizer, without_tags

from dqn_ref import runs
from dqn_ref.course import home
from dqn_ref.course.compare import solution_sources
from dqn_ref.course.progress import progress, provenance
from dqn_ref.own_pieces import load_pieces
from dqn_ref.recipes import get_recipe

NAME = "play_random_game"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DQN_COURSE_HOME", str(tmp_path))
    monkeypatch.setattr(home, "_current", None)
    return tmp_path


def line(card, word):
    """The one line about something, in the text; the HTML says the same in its own order."""
    found = [text for text in repr(card).splitlines() if word in text]
    assert len(found) == 1, repr(card)
    said = without_tags(card.html)
    assert all(part in said for part in re.split(r"\s{2,}|[()]", found[0].strip()))
    check_survives_the_sanitizer(card._repr_html_())
    return found[0]


def test_the_map_of_a_beginner(monkeypatch):
    """Pieces called attempted that nobody has touched; chapters that are not here."""
    card = progress()
    assert "◻ play_random_game" in line(card, NAME) and "Hello, Atari" in line(card, NAME)
    assert "0 of " in repr(card).splitlines()[0] and "✅" not in repr(card)
    assert "0 of the agent's 19 parts are yours" in repr(card)
    assert 'href="00_hello_atari.ipynb"' in card.html and "update_target" in repr(card)
    first = [path for path in solution_sources() if path.name[:2] == "00"]
    module = sys.modules["dqn_ref.course.progress"]  # the package gives its function that name
    monkeypatch.setattr(module, "solution_sources", lambda: first)
    assert NAME in repr(progress()) and "update_target" not in repr(progress())


def test_every_standing_has_its_mark(place):
    """A piece that failed shown as passed, or the other way round; a pass that was never saved."""
    home.record(place, NAME, False, "first")
    home.record(place, NAME, False, "second")
    assert "❌ play_random_game (2 attempts)" in line(progress(), NAME)
    home.record(place, NAME, True, "third")
    assert "✅ play_random_game (not in my_dqn; run its check again)" in line(progress(), NAME)
    own_folder(place / "my_dqn", play_random_game="x = 1")
    assert line(progress(), NAME).endswith("✅ play_random_game")
    assert re.match(r"The course: 1 of \d+ pieces? passed", repr(progress()))
    home.record(place, NAME, False, "fourth")
    told = line(progress(), NAME)
    assert "✅ play_random_game (in my_dqn; the last attempt does not pass)" in told
    assert re.match(r"The course: 1 of \d+ pieces? passed", repr(progress()))
    assert "<code>play_random_game</code>" in progress().html


def test_the_map_counts_parts_and_tells_of_damage(place):
    """A damaged progress.json, or a lost file, that nobody hears of."""
    folder = own_folder(place / "my_dqn", ReplayMemory=MEMORY, play_random_game="x = 1")
    assert "1 of the agent's 19 parts is yours" in repr(progress())
    (folder / "__init__.py").write_text("from .huber_loss import huber_loss\n")
    assert "huber_loss.py is missing" in repr(progress()) and "huber_loss.py" in progress().html
    (place / "progress.json").write_text("{")
    card = progress()
    assert "progress.json was damaged and is kept as" in repr(card)
    assert "progress.json was damaged" in card.html
    (place / "progress.json").write_text('{"version": 99, "pieces": {}}')
    assert "newer version" in repr(progress())


def test_the_card_says_whose_the_parts_are(place):
    """The learner's memory called the reference's, or an exercise's piece a part of the agent."""
    own_folder(place / "my_dqn", ReplayMemory=MEMORY, play_random_game="x = 1")
    card = provenance()
    assert repr(card).splitlines()[0] == "The agent: 1 of 19 parts is yours"
    assert line(card, "ReplayMemory").split() == ["✅", "ReplayMemory", "chapter", "04", "yours"]
    assert "the reference's" in line(card, "QNetwork") and "◻" in line(card, "QNetwork")
    assert NAME not in repr(card)
    (place / "my_dqn" / "__init__.py").write_text("from .huber_loss import huber_loss\n")
    assert "huber_loss.py is missing" in repr(provenance())
    check_survives_the_sanitizer(provenance()._repr_html_())


def test_a_run_has_a_card_of_its_own(place):
    """A run of last week shown with the pieces of today."""
    pieces = load_pieces(own_folder(place / "my_dqn", QNetwork=NETWORK))
    recipe = get_recipe("gallery", total_steps=20, threads=1, precision="fp32")
    runs.train(recipe, place / "run", pieces, show_bar=False)
    own_folder(place / "my_dqn", ReplayMemory=MEMORY)
    card = provenance(place / "run")
    assert "1 of 19 parts is yours" in repr(card).splitlines()[0]
    assert "yours" in line(card, "QNetwork") and "reference's" in line(card, "ReplayMemory")
    assert "is no run" in repr(provenance(place / "none"))
    (place / "run" / "pieces.json").write_text("{")
    assert "damaged" in repr(provenance(place / "run"))
