"""`docs/old_notebooks.md` says where everything that the old notebooks did runs in this course.

A place is a chapter that is still to come ("08"), or a chapter and a piece of code that stands in
one code cell of it ("03 `RandomStart(env, 30)`"), several with semicolons between them.
"""

import re
from pathlib import Path

import pytest

from dqn_ref.course import notebooks

PAGE = Path(__file__).resolve().parents[1] / "docs" / "old_notebooks.md"
LAST_CHAPTER = 13
PLACE = re.compile(r"(\d\d)(?: `([^`]+)`)?")


def rows(text: str) -> dict[str, str]:
    """First and last column of every table line."""
    lines = [line.strip().strip("|").split(" | ") for line in text.splitlines() if line[:1] == "|"]
    cells = [[cell.strip() for cell in line] for line in lines]
    return {line[0]: line[-1] for line in cells if line[0] and not set(line[0]) <= set("-| ")}


def chapter_code(number: str) -> list[str] | None:
    """The code cells of a chapter, solved; None if it is not written yet."""
    for source in notebooks.sources():
        if source.name.startswith(f"{number}_"):
            cells = notebooks.read_cells(notebooks.read_source(source))
            return [cell.solved for cell in cells if cell.kind == "code"]
    return None


def place_problem(place: str, code_of=chapter_code) -> str | None:
    """What is wrong with one place of the last column."""
    found = PLACE.fullmatch(place)
    if not found or int(found[1]) > LAST_CHAPTER:
        return f"not a place: {place}"
    number, code = found.groups()
    cells = code_of(number)
    if cells is None:
        return f"chapter {number} is to come, so it has no {code!r} yet" if code else None
    if code is None:
        return f"chapter {number} is written: name the code that does it"
    holding = [cell for cell in cells if code in cell]
    return None if len(holding) == 1 else f"{len(holding)} cells of chapter {number} have {code!r}"


TABLE = rows(PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", TABLE)
def test_every_row_runs_in_a_cell(row):
    """A cell that was rewritten and lost what it stood for; a chapter that landed without it."""
    problems = [place_problem(place) for place in TABLE[row].split("; ")]
    assert problems and not any(problems), problems


def test_no_row_is_missing():
    """A row deleted from the page takes its test along."""
    assert len(TABLE) == 28 + 11
    traps = [name for name in TABLE if name.startswith("trap ")]
    assert traps == [f"trap {number}" for number in range(1, 12)]


@pytest.mark.parametrize(
    "place, fine",
    [("01 `a = 1`", True), ("02", True), ("01", False), ("01 `b = 2`", False), ("01 `x`", False),
     ("02 `a = 1`", False), ("14", False), ("somewhere", False)],
)  # fmt: skip
def test_a_wrong_place_is_noticed(place, fine):
    written = {"01": ["a = 1", "x = 5", "x = 6"]}
    assert (place_problem(place, written.get) is None) == fine
