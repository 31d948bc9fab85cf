"""Two cards: the map of the course (`progress`), and whose the agent's parts are (`provenance`)."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dqn_ref import piece_files
from dqn_ref.course import cards, home, saved
from dqn_ref.course.badges import FAILING, OPEN, PASSED
from dqn_ref.course.cards import Card
from dqn_ref.course.compare import solution_sources
from dqn_ref.errors import RunError

_CELL = "text-align: left; vertical-align: top; padding: 0.15em 1.2em 0.15em 0; border: none"


class _Piece(NamedTuple):
    mark: str
    name: str
    note: str = ""


def progress() -> Card:
    """The map of the course: its chapters, their pieces, and how far each is.

    Returns:
        What a notebook shows as the last value of a cell; print it elsewhere.
    """
    place = home.current().home
    try:
        known = home.read_progress(place)
    except home.CourseError as error:
        return cards.sentence(str(error))
    chapters = _chapters(known.pieces)
    there = {name for name in known.pieces if saved.piece_path(place, name).is_file()}
    rows = [
        (number, title, link, [_standing(name, known.pieces.get(name), there) for name in names])
        for number, title, link, names in chapters
    ]
    pieces = [piece for row in rows for piece in row[3]]
    passed = sum(piece.mark == PASSED for piece in pieces)
    title = f"The course: {passed} of {_count(len(pieces), 'piece')} passed"
    below = [_whose(*_agent_of(place))]
    below += [known.notice] if known.notice else []
    return _map(title, rows, below)


def provenance(run_dir: str | Path | None = None) -> Card:
    """Which parts of the agent are the learner's, and which the reference's.

    Args:
        run_dir: of a run, which keeps the pieces it was trained with; None for what would be
            trained now with `--pieces my_dqn`.
    Returns:
        What a notebook shows as the last value of a cell; print it elsewhere.
    """
    from dqn_ref.own_pieces import AGENT_PIECES, kept_names, not_called
    from dqn_ref.settings import Recipe, RecipeError

    try:
        if run_dir is None:
            return _parts_card(*_agent_of(home.current().home))
        _refuse_no_run(Path(run_dir))
        yours, recipe = kept_names(Path(run_dir)), Recipe.load(Path(run_dir) / "recipe.json")
    except (RunError, RecipeError) as error:
        return cards.sentence(str(error))
    return _parts_card(AGENT_PIECES, yours, "", f" of {run_dir}", not_called(recipe, yours))


def _refuse_no_run(run_dir: Path) -> None:
    if not (run_dir / "recipe.json").is_file():
        raise RunError(f"{run_dir} is no run: it holds no recipe.json")


def _chapters(known: dict[str, Any]) -> list[tuple[str, str, str, list[str]]]:
    """Number, title, notebook and pieces of the chapters that are here, in order.

    A chapter that is not, such as one of a newer version, is shown if a piece of it is known.
    """
    from dqn_ref.pieces import CONTRACTS

    here = {path.name[:2]: path for path in solution_sources()}
    pieces: dict[str, list[str]] = {number: [] for number in here}
    for name, contract in CONTRACTS.items():
        if contract.chapter in here or name in known:
            pieces.setdefault(contract.chapter, []).append(name)
    return [
        (number, _title(here[number]), f"{here[number].stem}.ipynb", names)
        if number in here
        else (number, "", "", names)
        for number, names in sorted(pieces.items())
    ]


def _title(source: Path) -> str:
    """What stands behind the number in a chapter's first heading."""
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("# # "):
            return line.removeprefix("# # ").partition(" · ")[2]
    return source.stem[3:].replace("_", " ")


def _standing(name: str, entry: dict[str, Any] | None, there: set[str]) -> _Piece:
    """How far a piece is."""
    if entry is None:
        return _Piece(OPEN, name)
    if entry["status"] == "passed":
        lost = "" if name in there else "not in my_dqn; run its check again"
        return _Piece(PASSED, name, lost)
    if name in there:
        return _Piece(PASSED, name, "in my_dqn; the last attempt does not pass")
    return _Piece(FAILING, name, _count(entry["attempts"], "attempt"))


def _agent_of(place: Path) -> tuple[Sequence[str], list[str], str]:
    """The agent's parts, those that are the learner's now, and what is wrong with them."""
    from dqn_ref.own_pieces import AGENT_PIECES

    folder = place / saved.FOLDER
    try:
        return AGENT_PIECES, piece_files.pieces_in(folder, AGENT_PIECES), ""
    except RunError as error:
        there = [n for n in AGENT_PIECES if (folder / piece_files.file_name(n)).is_file()]
        return AGENT_PIECES, there, f"{error}."


def _whose(parts: Sequence[str], yours: Sequence[str], notice: str) -> str:
    said = f"{len(yours)} of the agent's {len(parts)} parts {'is' if len(yours) == 1 else 'are'}"
    return " ".join(filter(None, [f"{said} yours, the others are the reference's.", notice]))


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _map(title: str, rows, below: list[str]) -> Card:
    width = max((len(chapter[1]) for chapter in rows), default=0)
    lines, cells = [title, ""], []
    for number, name, link, pieces in rows:
        shown = [f"{p.mark} {p.name}{f' ({p.note})' if p.note else ''}" for p in pieces]
        lead = f"{number}  {name:{width}}  "
        lines += [f"{lead if not i else ' ' * len(lead)}{text}" for i, text in enumerate(shown)]
        place = f'<a href="{link}">{html.escape(name)}</a>' if link else html.escape(name)
        pieces_html = "<br>".join(_piece_html(piece) for piece in pieces)
        cells.append([number, place, pieces_html])
    lines += ["", *below]
    notes = "".join(f'<div style="margin-top: 0.4em">{html.escape(note)}</div>' for note in below)
    return Card(cards.heading(title) + _table(cells) + notes, "\n".join(lines))


def _piece_html(piece: _Piece) -> str:
    note = f' <span style="color: {cards.GREY}">{html.escape(piece.note)}</span>'
    name = f"<code>{html.escape(piece.name)}</code>"
    return f"{piece.mark} {name}{note if piece.note else ''}"


def _table(rows: list[list[str]]) -> str:
    """Cells of HTML in rows, without lines."""
    body = "".join(
        "<tr style='background: transparent'>"
        + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in row)
        + "</tr>"
        for row in rows
    )
    return f'<table style="margin: 0; border: none; font-size: 100%"><tbody>{body}</tbody></table>'


def _parts_card(
    parts: Sequence[str],
    yours: Sequence[str],
    notice: str,
    of: str = "",
    idle: Sequence[str] = (),
) -> Card:
    """Which `parts` are the learner's; `idle` are those that the run `of` has no use for."""
    from dqn_ref.pieces import CONTRACTS

    title = f"The agent{of}: {len(yours)} of {len(parts)} parts {_is_are(yours)} yours"
    lines, rows = [title, ""], []
    for name in parts:
        own, contract = name in yours, CONTRACTS[name]
        mark, whose = (PASSED, "yours") if own else (OPEN, "the reference's")
        whose += ", not called in this run" if name in idle else ""
        where = f"chapter {contract.chapter}"
        lines.append(f"{mark} {name:16} {where}  {whose}")
        name_html = f"<code>{name}</code>"
        grey = f'<span style="color: {cards.GREY}">{{}}</span>'
        rows.append(
            [
                f"{mark} {f'<b>{name_html}</b>' if own else name_html}",
                whose if own else grey.format(whose),
                grey.format(f"{where} · used by: {html.escape(contract.called_by)}"),
            ]
        )
    lines += ["", notice] if notice else []
    below = f'<div style="margin-top: 0.4em">{html.escape(notice)}</div>' if notice else ""
    return Card(cards.heading(title) + _table(rows) + below, "\n".join(lines))


def _is_are(things: Sequence) -> str:
    return "is" if len(things) == 1 else "are"
