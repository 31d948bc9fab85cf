"""Where a learner's work lives, and what the course remembers of it.

    my_course/                DQN_COURSE_HOME, or beside the chapters
        my_dqn/               the learner's pieces that passed
        progress.json         what was checked, when, and with which source
        archive/              chapters that were reset

A chapter begins with `begin("04")`. A solution begins with `begin("04", solution=True)` and keeps
its state in a temporary folder, so that opening one never touches the learner's work.

`progress.json` is written whole or not at all, under a lock, so two notebooks lose nothing to each
other. A damaged file is set aside under another name, never overwritten.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]  # the checkout

MODES = ("smoke", "normal", "full")
PROGRESS_FILE = "progress.json"
_VERSION = 1
_LOCK_SECONDS = 10.0
_FIELDS = {"status": str, "last_checked": str, "attempts": int, "last_source": str}
_STATUSES = ("passed", "failing")


class CourseError(ValueError):
    """A setting or a file of the course that cannot be used; one sentence says what to do."""


@dataclass(frozen=True)
class Course:
    """What `begin` found out: the chapter at work, how long it runs and where its state goes."""

    chapter: str | None = None  # "04"; None outside a chapter
    mode: str = "normal"  # "smoke", "normal" or "full"
    solution: bool = False
    home: Path = field(default=Path(), repr=False)  # a path of this machine: not for outputs


_current: Course | None = None
_scratch: Path | None = None  # where solutions keep their state, until Python ends


def course_home(root: Path = ROOT) -> Path:
    """The folder of what a learner keeps: DQN_COURSE_HOME, or `my_course` in the checkout."""
    home = os.environ.get("DQN_COURSE_HOME")
    return Path(home).expanduser().absolute() if home else root / "my_course"


def course_mode() -> str:
    """How long chapters run: DQN_COURSE_MODE, or "normal".

    Raises:
        CourseError: for another word than those of `MODES`.
    """
    mode = os.environ.get("DQN_COURSE_MODE") or "normal"
    if mode not in MODES:
        raise CourseError(f"DQN_COURSE_MODE is {mode!r}; choose from {', '.join(MODES)}")
    return mode


def is_strict() -> bool:
    """Whether anything but a pass raises: DQN_COURSE_STRICT=1."""
    return os.environ.get("DQN_COURSE_STRICT", "") not in ("", "0")


def current() -> Course:
    """The chapter at work; outside a chapter the learner's home all the same."""
    return _current or Course(mode=course_mode(), home=course_home())


_OPTIMISER_CHAPTERS = ("07", "08")  # whose checks make optimisers


def begin(chapter: str, solution: bool = False) -> Course:
    """Begin a chapter: choose where its state goes, and warm the process that checks pieces.

    Run it as often as you like; it begins the same chapter again.

    Args:
        chapter: its number, such as "04".
        solution: keep all state in a temporary folder, apart from the learner's.
    Returns:
        What it found out; a notebook reads `mode` from it.
    Raises:
        CourseError: if the chapter is no number, or DQN_COURSE_MODE no mode.
    """
    global _current
    number = str(chapter).zfill(2)
    if not re.fullmatch(r"\d\d", number):
        raise CourseError(f"a chapter begins with its number, such as begin('04'), not {chapter!r}")
    home = _scratch_home() if solution else course_home()
    _current = Course(number, course_mode(), solution, home)

    from dqn_ref.course import worker

    if number in _OPTIMISER_CHAPTERS:
        worker.shared().expect_optimisers()
    worker.shared().warm()
    _offer_references(number)  # loads PyTorch here too, meanwhile
    return _current


def _offer_references(number: str) -> None:
    """The names of the chapter's pieces mean the reference's until the learner's own cell has run.

    So the cells after an exercise work where its cell has an error, too.
    """
    from dqn_ref.pieces import CONTRACTS

    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    for contract in CONTRACTS.values() if shell else ():
        if contract.chapter == number:
            shell.user_ns.setdefault(contract.name, contract.reference)


def _scratch_home() -> Path:
    global _scratch
    if _scratch is None or not _scratch.is_dir():
        _scratch = Path(tempfile.mkdtemp(prefix="dqn-course-"))
        atexit.register(shutil.rmtree, _scratch, ignore_errors=True)
    return _scratch


# Progress


@dataclass(frozen=True)
class Progress:
    """What the course remembers of the pieces, by name; see `record` for an entry's fields."""

    pieces: dict[str, dict[str, Any]]
    notice: str | None = None  # a sentence to show: a damaged file was set aside


def read_progress(home: Path) -> Progress:
    """What was checked so far. A damaged file is set aside first, and named in `notice`.

    Raises:
        CourseError: if the file cannot be read, or belongs to a newer version of the course.
    """
    if not (home / PROGRESS_FILE).exists():
        return Progress({})
    with _errors_in_one_sentence(home), _locked(home):
        return _read(home)


def record(home: Path, name: str, passed: bool, source: str) -> Progress:
    """Note the outcome of a check; what is known of all pieces afterwards.

    An entry holds `status` ("passed" or "failing", of the last check), `first_passed` (only if it
    ever passed), `last_checked` (both in UTC, ISO 8601), `attempts` (how many different sources in
    a row were checked: running a cell twice is one attempt) and `last_source`.

    Raises:
        CourseError: if it cannot be written; the file is then as it was.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with _errors_in_one_sentence(home):
        home.mkdir(parents=True, exist_ok=True)
        with _locked(home):
            progress = _read(home)
            before = progress.pieces.get(name, {})
            again = before.get("last_source") == source
            entry = {
                **before,
                "status": "passed" if passed else "failing",
                "last_checked": now,
                "attempts": before.get("attempts", 0) + (not again),
                "last_source": source,
            }
            if passed:
                entry.setdefault("first_passed", now)
            pieces = {**progress.pieces, name: entry}
            _write(home / PROGRESS_FILE, {"version": _VERSION, "pieces": pieces})
    return Progress(pieces, progress.notice)


def _read(home: Path) -> Progress:
    """The file as it is, whatever it is; call it under the lock."""
    path = home / PROGRESS_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Progress({})
    pieces, whole = _parse(content)
    if whole:
        return Progress(pieces)
    aside = _set_aside(path)
    notice = f"the record {path.name} was damaged and is kept as {aside.name} in {home.name}"
    if not pieces:
        return Progress({}, f"{notice}; a new one begins")
    _write(path, {"version": _VERSION, "pieces": pieces})
    return Progress(pieces, f"{notice}; what could be read goes on ({', '.join(pieces)})")


def _parse(content: bytes) -> tuple[dict[str, dict[str, Any]], bool]:
    """The entries that are sound, and whether everything is.

    Raises:
        CourseError: for a file of a newer version.
    """
    try:
        data = json.loads(content)
        version, pieces = data["version"], data["pieces"]
        entries = {name: entry for name, entry in pieces.items() if _is_entry(entry)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}, False
    if type(version) is int and version > _VERSION:
        raise CourseError(
            f"{PROGRESS_FILE} was written by a newer version of the course; update this one"
        )
    return entries, version == _VERSION and len(entries) == len(pieces)


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and all(type(entry.get(name)) is kind for name, kind in _FIELDS.items())
        and entry["status"] in _STATUSES
        and isinstance(entry.get("first_passed", ""), str)
    )


def _set_aside(path: Path) -> Path:
    """Rename a damaged file to a name that is free."""
    stem = f"{path.stem}-damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    aside, number = path.with_name(f"{stem}.json"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{stem}-{number}.json")
    os.rename(path, aside)
    return aside


def _write(path: Path, data: dict[str, Any]) -> None:
    """Put new content in the place of the old one, whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "w", encoding="utf-8", newline="\n") as file:
            json.dump(data, file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def _errors_in_one_sentence(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CourseError(
            f"cannot use the folder {home}: {error.strerror or error}; free some space, or set "
            "DQN_COURSE_HOME to a folder of yours"
        ) from None


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Nobody else reads or writes meanwhile. The lock goes with the process that holds it.

    Raises:
        OSError: if another process keeps it for `_LOCK_SECONDS`.
    """
    with open(home / f".{PROGRESS_FILE}.lock", "a+b") as file:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _try_lock(file):
            if time.monotonic() > deadline:
                raise OSError(f"another program has kept {file.name} for {_LOCK_SECONDS:.0f} s")
            time.sleep(0.01)
        try:
            yield
        finally:
            _unlock(file)


if os.name == "nt":
    import msvcrt

    def _try_lock(file) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:  # taken
            return False
        return True

    def _unlock(file) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(file) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
