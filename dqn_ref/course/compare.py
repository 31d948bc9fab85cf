"""`compare("ReplayMemory")`: the learner's source beside the solution's.

The learner's is the saved version; before one has passed it is the last attempt, and both are shown
on request only, since a notebook that is run as a whole would give the solution away. That one is
cut out of the chapter's source, `solutions/NN_name.py`.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dqn_ref.course import cards, home, saved
from dqn_ref.course.cards import Card
from dqn_ref.errors import RunError


def compare(piece: Any, anyway: bool = False) -> Card:
    """Show the learner's version of a piece and the course's, side by side, once it has passed.

    Args:
        piece: its name, or the function or class itself.
        anyway: show them before that, too.
    Returns:
        What a notebook shows as the last value of a cell; print it elsewhere.
    """
    name = piece if isinstance(piece, str) else getattr(piece, "__name__", type(piece).__name__)
    try:
        return _compare(name, anyway)
    except (home.CourseError, RunError) as error:
        return cards.sentence(str(error))


def _compare(name: str, anyway: bool) -> Card:
    there = dict(_solutions())
    if name not in there:
        near = difflib.get_close_matches(name, there, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(there)}"
        raise home.CourseError(f"the chapters here have no piece {name!r}; {advice}")
    place = home.current().home
    yours, title = saved.saved_text(place, name), "yours, as saved in my_dqn"
    if yours is None:
        attempt = home.read_progress(place).pieces.get(name)
        if attempt is None:
            raise home.CourseError(
                f"{name}: there is nothing of yours to compare yet; write it and run its check, "
                "the solution will wait"
            )
        if not anyway:
            raise home.CourseError(
                f"{name}: your version does not pass yet, and the solution waits for it; "
                f'compare("{name}", anyway=True) shows it all the same'
            )
        yours, title = attempt["last_source"], "yours, the last attempt"
    path = there[name]
    theirs = solution_text(path, name)
    return _side_by_side(
        (title, yours.strip("\n")), (f"the course's, from {path.parent.name}/{path.stem}", theirs)
    )


def solution_text(path: Path, name: str) -> str:
    """The definition of a piece in a chapter's source, without the marks around the solution.

    Raises:
        CourseError: if the source is damaged, or does not define it.
    """
    text, definitions = _parsed(path)
    if name not in definitions:
        raise home.CourseError(f"{path} does not define {name}")
    found = definitions[name]
    first = min(node.lineno for node in (found, *found.decorator_list))
    lines = text.splitlines()[first - 1 : found.end_lineno]
    # The last marker stands below the last statement, and so outside; the first one within.
    return "\n".join(line for line in lines if line.strip() not in _MARKERS)


_MARKERS = ("### BEGIN SOLUTION", "### END SOLUTION")


def _solutions() -> Iterator[tuple[str, Path]]:
    """All pieces that a chapter here lets a learner write, and that chapter's source."""
    from dqn_ref.pieces import CONTRACTS  # loads PyTorch

    sources = {path.name[:2]: path for path in solution_sources()}
    definitions = {chapter: _parsed(path)[1] for chapter, path in sources.items()}
    for name, contract in CONTRACTS.items():
        if name in definitions.get(contract.chapter, {}):
            yield name, sources[contract.chapter]


def solution_sources() -> list[Path]:
    """The sources of all chapters that are here, in their order."""
    return sorted((home.ROOT / "solutions").glob("[0-9][0-9]_*.py"))


def _parsed(path: Path) -> tuple[str, dict[str, ast.FunctionDef | ast.ClassDef]]:
    """A chapter's source and the functions and classes that stand in it, by name."""
    try:
        text = path.read_text(encoding="utf-8")
        statements = ast.parse(text).body
    except (OSError, ValueError, SyntaxError) as error:
        raise home.CourseError(f"cannot read {path} ({error}); restore it with git") from None
    kinds = (ast.FunctionDef, ast.ClassDef)
    return text, {s.name: s for s in statements if isinstance(s, kinds)}


def _side_by_side(left: tuple[str, str], right: tuple[str, str]) -> Card:
    """Two titled texts: columns where there is room, below one another in a narrow window."""
    columns = "".join(
        f'<div style="flex: 1 1 26em; min-width: 0; padding: 0 0.8em; '
        f'border-left: 4px solid {cards.LINE}">'
        f"{cards.heading(title)}{cards.code(source)}</div>"
        for title, source in (left, right)
    )
    style = "display: flex; flex-wrap: wrap; gap: 1em; align-items: flex-start"
    texts = (f"{title}\n{'-' * len(title)}\n{source}\n" for title, source in (left, right))
    return Card(f'<div style="{style}">{columns}</div>', "\n".join(texts))
