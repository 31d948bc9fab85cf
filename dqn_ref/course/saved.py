"""The learner's own package: the pieces that passed, one file each, ready to train with.

    check ── save_piece ──> my_course/my_dqn/replay_memory.py   tried in a process of its own first
                                            __init__.py         imports what is there
                            my_course/archive/replay_memory-20250301-101200.py   what it replaces

    python -m dqn_ref train --pieces my_dqn

What the files look like and how they are read is `dqn_ref.piece_files`' business.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from dqn_ref import piece_files
from dqn_ref.course.home import CourseError, course_home
from dqn_ref.course.source import PieceSource

FOLDER = "my_dqn"
ARCHIVE = "archive"
_SECONDS = 60.0  # for a fresh process to import PyTorch from a slow disk
_HEAD = """\
# {name}: saved when it passed its check.
# Used by: python -m dqn_ref train --pieces my_dqn
"""
_HEAD_END = "# Yours to edit. A later pass goes here, and what it replaces to the archive.\n\n"
_INDEX_HEAD = '''\
"""My own pieces of the agent. Written anew with each piece that passes."""

'''


class SaveError(CourseError):
    """A piece that is not saved; one sentence says why and what to do."""


def piece_path(home: Path, name: str) -> Path:
    """Where a piece is saved."""
    return home / FOLDER / piece_files.file_name(name)


def save_piece(source: PieceSource, home: Path) -> Path:
    """Save a piece that passed, once a fresh process has imported it.

    Until then, and if that fails, the version before stays. It goes to the archive when it is
    replaced: somebody may have worked on the file by hand.

    Args:
        source: the piece with all it needs.
        home: the learner's folder, made if need be.
    Returns:
        The file.
    Raises:
        SaveError: if it cannot be imported or written.
    """
    path = piece_path(home, source.name)
    text = _HEAD.format(name=source.name) + _HEAD_END + source.text.strip("\n") + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _content(path) != text.encode():
            _put(source.name, text, path, home / ARCHIVE)
        _write_index(path.parent)
    except OSError as error:
        raise SaveError(
            f"cannot write to {path.parent}: {error.strerror or error}; free some space, or set "
            "DQN_COURSE_HOME to a folder of yours"
        ) from None
    return path


def saved_text(home: Path, name: str) -> str | None:
    """The source of a saved piece as the learner wrote it; None if there is none.

    Raises:
        RunError: if the file cannot be read.
    """
    path = piece_path(home, name)
    if not path.exists():
        return None
    head, end, text = piece_files.read(path).partition(_HEAD_END)
    return text if end else head


def load_pieces(folder: Path | None = None):
    """The learner's pieces as an agent takes them, the reference's where there is none.

    Args:
        folder: another one than the learner's `my_dqn`.
    Returns:
        `dqn_ref.own_pieces.OwnPieces`, for `dqn_ref.runs.train` and `build`.
    Raises:
        RunError: in one sentence, if there are none or one does not work.
    """
    from dqn_ref import own_pieces  # loads PyTorch

    return own_pieces.load_pieces(folder or course_home() / FOLDER)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _put(name: str, text: str, path: Path, archive: Path) -> None:
    """Bring a new version in the place of the old one, if it can be imported."""
    trial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with open(trial, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        _try_in_a_fresh_process(name, trial, path.name)
        before = _content(path)
        if before is not None:
            _archive(before, path.stem, archive)
        os.replace(trial, path)
    finally:
        with suppress(OSError):
            trial.unlink(missing_ok=True)


def _try_in_a_fresh_process(name: str, trial: Path, file_name: str) -> None:
    """Import a file where no notebook is open, and no other folder is in reach.

    Raises:
        SaveError: if that fails.
    """
    command = [sys.executable, "-P", "-m", "dqn_ref.piece_files", str(trial), name]
    with tempfile.TemporaryDirectory() as elsewhere:
        try:
            done = subprocess.run(
                command,
                cwd=elsewhere,
                env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise SaveError(
                f"importing it took longer than {_SECONDS:.0f} s in a fresh Python; keep long "
                "computations out of what is run on import"
            ) from None
    if done.returncode or done.stdout.split()[-1:] != [piece_files.IMPORTED]:
        said = done.stderr.strip().splitlines() or [f"Python ended with status {done.returncode}"]
        reason = said[-1].replace(str(trial), file_name).removesuffix("; nothing was saved")
        raise SaveError(
            f"a fresh Python, which knows nothing of this notebook, cannot import it ({reason})"
        )


def _archive(content: bytes, stem: str, folder: Path) -> None:
    """Keep an old version under a name that is free."""
    folder.mkdir(parents=True, exist_ok=True)
    name, number = f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}", 1
    while True:
        try:
            with open(folder / f"{name}.py", "xb") as file:
                file.write(content)
            return
        except FileExistsError:
            number += 1
            name = f"{name.removesuffix(f'_{number - 1}')}_{number}"


def _write_index(folder: Path) -> None:
    """Let the package import all pieces that are there.

    Two notebooks may save at once. Whoever writes looks again afterwards, so that the last one to
    write has seen all files.
    """
    from dqn_ref.pieces import CONTRACTS

    index = folder / piece_files.INDEX_FILE
    while True:
        names = [name for name in CONTRACTS if (folder / piece_files.file_name(name)).is_file()]
        lines = [f"from .{piece_files.file_name(n).removesuffix('.py')} import {n}" for n in names]
        content = (_INDEX_HEAD + "\n".join(lines) + "\n").encode()
        if _content(index) == content:
            return
        partial = index.with_name(f"{index.name}.{os.getpid()}.partial")
        partial.write_bytes(content)
        os.replace(partial, index)
