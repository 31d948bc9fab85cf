"""`ReplayMemory = check(ReplayMemory)`: is the learner's piece right, and if not, what is it?

    piece ─ source.extract ─ worker.judge ─→ Verdict ─┬─ passed: recorded, saved, handed back
                                                      └─ else:   the reference's is handed back

A check never raises, so a notebook runs to its end unsolved, half solved and solved. With
`DQN_COURSE_STRICT=1` anything but a pass that is saved raises `CheckFailed`. Ctrl-C always does.
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from dqn_ref.course import badges, cells, home, saved, source, worker
from dqn_ref.course.badges import FAILING, OPEN, PASSED, Badge
from dqn_ref.course.catalogue import Verdict

Piece = TypeVar("Piece")

GOES_ON = "the notebook goes on with the reference's"
STAYS = "the version that passed stays in my_dqn"


class CheckFailed(Exception):
    """A piece did not pass, or was not saved, and DQN_COURSE_STRICT is set."""


class _NoPiece(Exception):
    """Nothing to judge; the message is the badge's sentence, `instead` what check returns."""

    def __init__(self, name: str, sentence: str, instead: Any):
        super().__init__(sentence)
        self.name, self.instead = name, instead


def check(piece: Piece) -> Piece:
    """Check a piece and show a badge.

    Args:
        piece: the function or class that the cell before defines.
    Returns:
        The piece itself if it passes, the reference's otherwise.
    Raises:
        KeyboardInterrupt: on Ctrl-C.
        CheckFailed: for anything but a pass, if DQN_COURSE_STRICT=1.
    """
    shown = badges.Display()
    try:
        badge, result = _check(piece, shown)
    except _NoPiece as error:
        badge, result = Badge(OPEN, error.name, str(error)), error.instead
        shown.show(badge)
    except Exception as error:  # ours, not the learner's: it must not stop the notebook
        name = getattr(piece, "__name__", type(piece).__name__)
        badge, result = _unchecked(name, f"{type(error).__name__}: {error}"), _reference_for(piece)
        shown.show(badge)
    if home.is_strict() and not (badge.mark == PASSED and badge.is_saved):
        raise CheckFailed(badge.text)
    return result


def _check(piece: Any, shown: badges.Display) -> tuple[Badge, Any]:
    """Judge a piece, show the badge as soon as it is known, then save what passed."""
    contract = _contract(piece)
    name, place = contract.name, home.current().home
    try:
        code = _source(name, piece)
        verdict = worker.shared().judge(code)
    except source.SourceError as error:
        code, verdict = None, Verdict(passed=False, attempted=True, message=str(error))
    except worker.WorkerError as error:
        badge = _unchecked(name, str(error))
        shown.show(badge)
        return badge, contract.reference
    notes, is_kept = _record(place, name, code, verdict)
    badge = _badge(name, verdict, notes, is_kept)
    shown.show(badge)
    if not verdict.passed:
        return badge, contract.reference
    badge = _save(code, place, badge)
    shown.update(badge)
    return badge, piece


def _contract(piece: Any):
    """What is expected of a piece.

    Raises:
        _NoPiece: if this is none of the course's pieces, or the reference's own.
    """
    from dqn_ref.course import catalogue
    from dqn_ref.pieces import CONTRACTS

    name = getattr(piece, "__name__", None)
    if not callable(piece) or not isinstance(name, str):
        kind = type(piece).__name__
        if kind in CONTRACTS:
            sentence = f": this is an instance of it; pass the class itself, check({kind})."
            raise _NoPiece(kind, sentence, CONTRACTS[kind].reference)
        raise _NoPiece("check", f" takes a function or a class, not {_a(kind)}.", piece)
    if name == "<lambda>":
        sentence = " cannot tell which piece a lambda is; write it with `def` and the piece's name."
        raise _NoPiece("check", sentence, piece)
    contract = CONTRACTS.get(name)
    if contract is None:
        near = difflib.get_close_matches(name, CONTRACTS, n=1)
        advice = f"did you mean `{near[0]}`?" if near else "it has to keep the name in the stub."
        raise _NoPiece(name, f" is none of the course's pieces; {advice}", piece)
    if piece is contract.reference:
        sentence = " is the reference's; run your own cell first, and mend it if it shows an error."
        raise _NoPiece(name, sentence, piece)
    if name not in catalogue.names():
        raise _NoPiece(name, " has no check yet; the notebook goes on with yours.", piece)
    return contract


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def _source(name: str, piece: Any) -> source.PieceSource:
    notebook = cells.in_notebook() or cells.in_module(piece.__module__)
    return source.extract(name, *notebook, piece)


def _record(
    place: Path, name: str, code: source.PieceSource | None, verdict: Verdict
) -> tuple[list[str], bool]:
    """Note the outcome; what is to be said about that, and whether a version that passed is saved.

    Nothing is noted where nothing was judged: no source was found, or the stub is untouched.
    """
    try:
        if code and verdict.attempted:
            progress = home.record(place, name, verdict.passed, code.text)
        else:
            progress = home.read_progress(place)
    except home.CourseError as error:
        return [_sentence(f"not recorded: {error}")], False
    notes = [_sentence(progress.notice)] if progress.notice else []
    return notes, saved.piece_path(place, name).exists()


def _badge(name: str, verdict: Verdict, notes: list[str], is_kept: bool) -> Badge:
    """The badge of a verdict, before anything is saved."""
    if verdict.passed:
        mark, sentence = PASSED, " passes"
        if verdict.ratio is not None:
            sentence += f" · {_times(verdict.ratio)} the reference's time"
        notes = [verdict.message, *notes] if verdict.message else notes
    elif verdict.attempted:
        mark, sentence = FAILING, f": {_sentence(verdict.message, capital=False)}"
        sentence += f" See hint {verdict.hint}." if verdict.hint is not None else ""
        notes = [_sentence(f"{GOES_ON}; {STAYS}" if is_kept else GOES_ON), *notes]
    else:
        mark, sentence = OPEN, f" is not attempted yet; {GOES_ON}."
        if verdict.message and not any(f"`{n}`" in verdict.message for n in (name, "__init__")):
            sentence = f" is not finished yet; {GOES_ON}."
            notes = [_sentence(verdict.message), *notes]
        notes = [*notes, _sentence(STAYS)] if is_kept else notes
    return Badge(
        mark,
        name,
        sentence,
        tuple(notes),
        verdict.picture,
        verdict.picture_alt,
        verdict.output,
    )


def _save(code: source.PieceSource, place: Path, badge: Badge) -> Badge:
    """Save a piece that passed; the badge with what became of it."""
    try:
        saved.save_piece(code, place)
    except saved.SaveError as error:
        return replace(badge, notes=(*badge.notes, _sentence(f"not saved: {error}")))
    except Exception as error:  # ours: the piece passes all the same
        note = _sentence(f"not saved: {type(error).__name__}: {error}")
        return replace(badge, notes=(*badge.notes, note))
    return replace(badge, sentence=f"{badge.sentence} · saved to my_dqn", is_saved=True)


def _unchecked(name: str, reason: str) -> Badge:
    return Badge(OPEN, name, f" could not be checked: {reason}", (_sentence(GOES_ON),))


def _reference_for(piece: Any) -> Any:
    """The reference's piece of the same name; the piece itself if there is none."""
    from dqn_ref.pieces import CONTRACTS

    contract = CONTRACTS.get(getattr(piece, "__name__", None))
    return contract.reference if contract else piece


def _times(ratio: float) -> str:
    if ratio < 0.1:
        return "less than 0.1×"
    return f"{ratio:.1f}×" if ratio < 9.95 else f"{ratio:.0f}×"


def _sentence(text: str, capital: bool = True) -> str:
    """With a capital letter in front and a full stop behind."""
    text = text.strip()
    text = text[:1].upper() + text[1:] if capital else text
    return text if text.endswith((".", "?", "!")) else f"{text}."
