"""`python -m dqn_ref reset 04`: a chapter as it was; the learner's version goes to an archive.

    chapters/04_replay_memory.ipynb ── copied to ── my_course/archive/04_replay_memory-<time>.ipynb
                                    ── replaced by what solutions/04_replay_memory.py generates

The copy is on the disk and compared before the chapter is touched. The original is generated, so
it does not take git.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import nbformat

from dqn_ref.course import notebooks
from dqn_ref.course.home import course_home
from dqn_ref.errors import RunError


class Reset(NamedTuple):
    """What a reset did: the chapter, and where the learner's version is now, if there was one."""

    chapter: Path
    archive: Path | None
    changed: bool

    def __str__(self) -> str:
        name = f"{self.chapter.parent.name}/{self.chapter.name}"
        if not self.changed:
            return f"{name} was not edited; there is nothing to do"
        if self.archive is None:
            return f"{name} was missing and is there again"
        return (
            f"{name} is the original again; your version is {self.archive}\n"
            "if it is open in JupyterLab, choose File, Reload Notebook from Disk"
        )


def reset_chapter(chapter: str) -> Reset:
    """Put a chapter's original back, and keep what was there.

    A chapter that was run but not edited is left as it is.

    Args:
        chapter: its number or its name, such as "4", "04" or "04_replay_memory".
    Raises:
        RunError: if there is no such chapter, or its archive cannot be trusted; the chapter is
            then as it was.
    """
    source = _find(chapter)
    original = _original(source)
    path = notebooks.ROOT / "chapters" / f"{source.stem}.ipynb"
    edited = _read(path)
    if edited is not None and _same_cells(edited, original):
        return Reset(path, None, changed=False)
    archive = None if edited is None else _archive(edited, path.stem)
    _replace(path, edited, nbformat.writes(original) + "\n")
    return Reset(path, archive, changed=True)


def _find(chapter: str) -> Path:
    """The source of a chapter.

    Raises:
        RunError: if there is none, naming those there are.
    """
    sources = notebooks.sources(notebooks.ROOT)
    wanted = Path(chapter.strip()).name.removesuffix(".ipynb")
    if wanted.isdigit():
        wanted = wanted.lstrip("0").zfill(2)
    for source in sources:
        if wanted in (source.stem, source.stem[:2]):
            return source
    if not sources:
        raise RunError(
            f"{notebooks.ROOT} holds no chapters; install the course from its checkout with: "
            'pip install -c constraints.txt -e ".[dev]"'
        )
    there = ", ".join(source.stem for source in sources)
    raise RunError(f"there is no chapter {chapter!r}; choose from {there}")


def _original(source: Path) -> nbformat.NotebookNode:
    try:
        return notebooks.chapter_notebook(notebooks.read_source(source))
    except ImportError as error:  # jupytext belongs to the extra "dev"
        raise RunError(
            f"{error.name} is missing, which makes the chapters; install it with: "
            'pip install -c constraints.txt -e ".[dev]"'
        ) from None
    except notebooks.NotebookError as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"{source} is damaged ({reason}); mend it first") from None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _same_cells(content: bytes, original: nbformat.NotebookNode) -> bool:
    """Whether a file holds the original's cells, outputs apart. What is no notebook does not."""
    try:
        found = nbformat.reads(content.decode("utf-8"), as_version=4)
        return notebooks.cells_digest(found) == notebooks.cells_digest(original)
    except Exception:  # whatever nbformat makes of a damaged file: it is kept, and replaced
        return False


def _archive(content: bytes, stem: str) -> Path:
    """Write the learner's version to a new file of the archive, and be sure that it is there.

    Raises:
        RunError: if it cannot be written, or is not what was written.
    """
    folder = course_home(notebooks.ROOT) / "archive"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path, file = _new_file(folder, f"{stem}-{_now()}")
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(folder)
        whole = path.read_bytes() == content
    except OSError as error:
        raise RunError(
            f"cannot write to {folder}: {error.strerror}; free some space or set DQN_COURSE_HOME "
            "to another folder, the chapter is untouched"
        ) from None
    if not whole:
        raise RunError(f"{path} is not what was written to it; the chapter is untouched")
    return path


def _now() -> str:
    return time.strftime("%Y%m%d-%H%M%S")


def _new_file(folder: Path, name: str):
    """A file of that name, or with the first free number behind it; never one that exists."""
    number = 1
    while True:
        path = folder / (f"{name}.ipynb" if number == 1 else f"{name}-{number}.ipynb")
        try:
            return path, open(path, "xb")
        except FileExistsError:
            number += 1


def _sync_folder(folder: Path) -> None:
    """Bring a new name to the disk; Windows opens no folder, and does it by itself."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace(path: Path, archived: bytes | None, text: str) -> None:
    """Put the original in the place of what was archived, whole or not at all.

    Raises:
        RunError: if the chapter is no longer what was archived.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if _read(path) != archived:
            raise RunError(f"{path} was saved in this very moment; reset it again")
        os.replace(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
