"""`compare`: the right two sources, readable in any notebook, and no solution before an attempt."""

import ast
import re

import pytest

from dqn_ref.course import cards, home, notebooks
from dqn_ref.course.compare import _solutions, compare, solution_text
from dqn_ref.course.saved import save_piece
from dqn_ref.course.source import PieceSource

NAME = "play_random_game"
TEXT = "LIMIT = 3 < 4\n\n\ndef play_random_game(env, rng):\n    return 0.0, 0  # <b>mine</b>\n"
FROM_THE_SOLUTION = "int(rng.integers(env.action_space.n))"
ALLOWED = {"div", "pre", "span", "code", "table", "tbody", "tr", "td", "a", "br", "b"}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DQN_COURSE_HOME", str(tmp_path))
    monkeypatch.setattr(home, "_current", None)
    return tmp_path


def check_survives_the_sanitizer(html):
    """Nothing that JupyterLab takes out of an untrusted notebook, and all tags closed."""
    opened = re.findall(r"<(\w+)", html)
    assert set(opened) <= ALLOWED
    for tag in set(opened) - {"br"}:
        assert opened.count(tag) == len(re.findall(rf"</{tag}>", html)), tag
    assert not re.search(r"<[^>]*\b(class|on\w+|id)=", html)
    # A colour of its own would be lost on the ground of one of the two themes.
    colours = re.findall(r"(?<![-\w])color: ([^;\"]+)", html)
    assert set(colours) <= {cards.GREY, "inherit"}
    assert set(re.findall(r"background: ([^;\"']+)", html)) <= {"transparent"}


def without_tags(html):
    text = re.sub(r"<[^>]+>", "", html.replace("</div>", "\n"))
    return (
        text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", '"')
        .replace("&#x27;", "'")
        .replace("&amp;", "&")
    )


def test_the_saved_version_stands_beside_the_solution(place):
    """A failed attempt, or the reference's source, in place of what is in my_dqn."""
    save_piece(PieceSource(NAME, TEXT), place)
    home.record(place, NAME, False, "def play_random_game(): pass  # a later attempt\n")
    card = compare(NAME)
    for text in (repr(card), without_tags(card._repr_html_())):
        assert TEXT.strip() in text and FROM_THE_SOLUTION in text
        assert "a later attempt" not in text and "BEGIN SOLUTION" not in text
        assert "as saved in my_dqn" in text and "solutions/00_hello_atari" in text
        assert "saved when it passed" not in text
        assert text.index("mine") < text.index(FROM_THE_SOLUTION)
    check_survives_the_sanitizer(card._repr_html_())
    assert "&lt;b&gt;mine" in card.html


def test_without_a_pass_the_last_attempt_is_shown(place):
    """An attempt that is no Python ends the comparison."""
    for attempt in ("def play_random_game(env, rng):\n    return '''\n", "x = 1\n\t  y = (\n"):
        home.record(place, NAME, False, attempt)
        card = compare(NAME, anyway=True)
        assert attempt.strip("\n") in repr(card) and "the last attempt" in repr(card)
        assert attempt.strip("\n") in without_tags(card.html)
        check_survives_the_sanitizer(card._repr_html_())


def test_no_solution_before_an_attempt():
    """`Run All` on a fresh chapter that gives the answer away."""
    card = compare(NAME)
    assert "nothing of yours" in repr(card)
    assert "env.step" not in repr(card) + card._repr_html_()


def test_no_solution_before_a_pass(place):
    """`Run All` after a first wrong attempt that gives the answer away."""
    home.record(place, NAME, False, TEXT)
    card = compare(NAME)
    assert "does not pass yet" in repr(card) and f'compare("{NAME}", anyway=True)' in repr(card)
    assert FROM_THE_SOLUTION not in repr(card) + card._repr_html_()


def test_the_piece_itself_will_do_as_well_as_its_name(place):
    home.record(place, NAME, False, TEXT)

    def play_random_game(): ...

    assert compare(play_random_game, anyway=True) == compare(NAME, anyway=True)


@pytest.mark.parametrize(
    "asked, told",
    [("play_random_gam", "did you mean 'play_random_game'?"), ("zzz", "choose from play_random_g"),
     (3, "no piece 'int'"), (None, "no piece 'NoneType'")],
)  # fmt: skip
def test_a_wrong_name_gets_a_sentence(asked, told):
    """A KeyError's traceback, which stops the notebook."""
    card = compare(asked)
    assert told in repr(card) and "\n" not in repr(card) and not repr(card).endswith("?.")


def test_a_damaged_file_gets_a_sentence(place):
    """A traceback of the codec's in the middle of a chapter."""
    save_piece(PieceSource(NAME, TEXT), place).write_bytes(b"\xff")
    assert "save it as UTF-8" in repr(compare(NAME))


def test_every_piece_of_every_chapter_here_has_its_solution():
    """A solution cut short, or shown with the marks that stand around it."""
    there = dict(_solutions())
    assert NAME in there
    for name, path in there.items():
        text = solution_text(path, name)
        found = ast.parse(text).body
        assert [node.name for node in found] == [name]
        assert "SOLUTION" not in text and "NotImplementedError" not in text
        solved = "\n".join(c.solved for c in notebooks.read_cells(notebooks.read_source(path)))
        assert text in solved


def test_letters_change_and_nothing_else():
    """Colouring that loses a line, or colours what stands behind a text of several lines."""
    source = (
        'def f(x):\n    """Two\n    lines,\f <b>."""\n    return "ä" if x else None  # why & how\n'
    )
    html = cards.code(source)
    assert without_tags(html) == source + "\n"
    assert html.count("font-weight: bold") == 5  # def, return, if, else, None
    assert html.count(cards.GREY) == 4  # the text of two lines, "ä", the comment
