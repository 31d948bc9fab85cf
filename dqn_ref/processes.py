"""Which process trains a run, and trainings in processes of their own.

    runs/<name>/process.json   who trains here; gone when the training has ended in any orderly way
                stop.request   somebody asks the training to stop after its step
                output.log     what trainings printed that were started in the background

A process is known by its number, its host and the time it was created: numbers are used again.
This module loads neither PyTorch nor ALE.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from dqn_ref.errors import RunError

PROCESS_FILE = "process.json"
STOP_FILE = "stop.request"
OUTPUT_FILE = "output.log"
# A folder that holds nothing else is free for a new run.
_NO_RUN = {PROCESS_FILE, PROCESS_FILE + ".partial", STOP_FILE, OUTPUT_FILE}
# A training killed in its first moments has copied a learner's pieces and written no recipe yet.
_NO_RUN |= {"pieces", "pieces.json", "pieces.json.partial"}
# Clocks are set while a machine runs, and boot times are rounded to a second.
_CLOCK_SECONDS = 2.0
# Claiming a folder takes milliseconds; one that takes longer than this was killed in the midst.
_CLAIM_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Process:
    """The process that trains a run, as `process.json` names it."""

    pid: int
    create_time: float  # seconds since 1970, of the system's clock
    host: str
    boot_time: float = math.nan  # likewise, of the machine
    training: bool = False  # it has taken its first step

    @classmethod
    def this(cls) -> Process:
        """The process that runs this code."""
        created = psutil.Process().create_time()
        return cls(os.getpid(), created, platform.node(), psutil.boot_time())

    @property
    def is_elsewhere(self) -> bool:
        """Whether it ran on another host, so that nobody here can know whether it still does."""
        return self.host != platform.node()

    def is_alive(self) -> bool:
        """Whether it still runs. Ask only for processes of this host.

        A process that ended and whose parent has not looked (a zombie) is none, and neither is
        another one that was given the same number.
        """
        try:
            found = psutil.Process(self.pid)
            if found.status() == psutil.STATUS_ZOMBIE:
                return False
            created = found.create_time()
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:  # somebody is there: do not guess who
            return True
        if abs(created - self.create_time) < _CLOCK_SECONDS:
            return True
        # On Linux both times jump when the clock is set, their difference does not.
        since_boot = self.create_time - self.boot_time
        return abs(created - psutil.boot_time() - since_boot) < _CLOCK_SECONDS

    def is_same(self, other: Process | None) -> bool:
        """Whether both name one process."""
        mine = (self.pid, self.create_time, self.host)
        return other is not None and mine == (other.pid, other.create_time, other.host)


def read_process(run_dir: Path) -> Process | None:
    """Who trains in a folder, or did until it was killed; None if nobody did.

    Raises:
        RunError: if the file is damaged, or somebody else's.
    """
    path = run_dir / PROCESS_FILE
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fields = json.loads(text)
        process = Process(
            int(fields["pid"]),
            float(fields["create_time"]),
            str(fields["host"]),
            float(fields.get("boot_time", math.nan)),
            bool(fields.get("training", False)),
        )
        if not 0 < process.pid < 2**31:
            raise ValueError("no number of a process")
    except (KeyError, TypeError, ValueError, OverflowError):
        raise RunError(
            f"{path} is damaged or no training wrote it; choose another folder, or move that file "
            "away if nothing trains there"
        ) from None
    return process


def running_process(run_dir: Path) -> Process | None:
    """Who trains in a folder now; None if nobody does.

    Raises:
        RunError: if that cannot be known, because the training was started on another host or
            the file is damaged.
    """
    process = read_process(run_dir)
    if process is not None and process.is_elsewhere:
        raise RunError(
            f"{run_dir} was being trained on {process.host} (process {process.pid}), which cannot "
            f"be seen from {platform.node()}; if nothing trains there any more, delete "
            f"{run_dir / PROCESS_FILE}"
        )
    return process if process is not None and process.is_alive() else None


def is_free(run_dir: Path) -> bool:
    """Whether a folder is missing, or holds nothing that a new run would overwrite."""
    return not run_dir.exists() or all(path.name in _NO_RUN for path in run_dir.iterdir())


# The training's side


class Claim:
    """A folder that this process trains in."""

    def __init__(self, run_dir: Path, process: Process):
        self._run_dir, self._process = run_dir, process
        self._stop = False
        self._next_look = -math.inf

    def asked_to_stop(self) -> bool:
        """Whether somebody wants the training to stop. Ask after every step.

        The disk is looked at once a second at most; the first call notes that steps are taken.
        """
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_SECONDS
            self._stop = self._stop or os.path.exists(self._run_dir / STOP_FILE)
            if not self._process.training:
                self._process = replace(self._process, training=True)
                self._note()
        return self._stop

    def _note(self) -> None:
        path = self._run_dir / PROCESS_FILE
        partial = path.with_name(f"{path.name}.{self._process.pid}.partial")
        with suppress(OSError):  # a full disk has ended no training yet: the next row will tell
            partial.write_text(_as_text(self._process))
            partial.replace(path)

    def release(self) -> None:
        """Take back what names this process; nothing if somebody has put another file there."""
        with suppress(OSError, RunError):
            if self._process.is_same(read_process(self._run_dir)):
                (self._run_dir / STOP_FILE).unlink(missing_ok=True)
                (self._run_dir / PROCESS_FILE).unlink()


@contextmanager
def claim(run_dir: Path) -> Iterator[Claim]:
    """Keep a folder, made if need be, for a training of this process and for no other one.

    A folder that was made for nothing, because the training was refused, is gone afterwards.

    Raises:
        RunError: if a training of the folder runs already or cannot be ruled out, or if nothing
            can be written there.
    """
    made: list[Path] = []
    try:
        try:
            made = [path for path in (run_dir, *run_dir.parents) if not path.exists()]
            run_dir.mkdir(parents=True, exist_ok=True)
            held = Claim(run_dir, _take(run_dir))
        except OSError as error:
            raise RunError(f"cannot write to {run_dir}: {error.strerror}; choose another") from None
        try:
            yield held
        finally:
            held.release()
    finally:
        with suppress(OSError):  # raised by the first one that is not empty
            for path in made:
                path.rmdir()


def _take(run_dir: Path) -> Process:
    """Put this process's name into a folder where nobody trains.

    The file is written beside its place. As only one process can make it there, that also keeps
    two from replacing a dead one's name at the same moment.
    """
    path, mine = run_dir / PROCESS_FILE, Process.this()
    partial = path.with_name(path.name + ".partial")
    _refuse_if_running(run_dir)
    file = _open_alone(partial)
    try:
        with file:
            _refuse_if_running(run_dir)
            file.write(_as_text(mine))
            file.flush()
            os.fsync(file.fileno())
        (run_dir / STOP_FILE).unlink(missing_ok=True)  # was meant for a training that is gone
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return mine


def _open_alone(path: Path):
    """A new file, as soon as no other process has it."""
    deadline = time.monotonic() + _CLAIM_SECONDS
    while True:
        try:
            return open(path, "x", encoding="utf-8")
        except FileExistsError:
            if time.monotonic() < deadline:
                time.sleep(0.02)
            else:
                path.unlink(missing_ok=True)


def _refuse_if_running(run_dir: Path) -> None:
    process = running_process(run_dir)
    if process is not None:
        raise RunError(
            f"{run_dir} is being trained already, by process {process.pid}; wait until it has "
            "ended, or stop it with: python -m dqn_ref runs stop"
        )


def _as_text(process: Process) -> str:
    return json.dumps(asdict(process)) + "\n"


# Everybody else's side


def request_stop(run_dir: Path) -> None:
    """Ask the training of a folder to stop after its step, with a checkpoint.

    A file and no signal: it works on every system, and a training in a notebook does not take the
    kernel with it.
    """
    (run_dir / STOP_FILE).touch()


class Detached:
    """A training in a process of its own, as `start_detached` returns it."""

    def __init__(self, process: subprocess.Popen, run_dir: Path, begin: int):
        self.log = run_dir / OUTPUT_FILE
        self._process, self._run_dir = process, run_dir
        self._begin = begin  # of what this process says in the log, in bytes

    def said(self) -> str:
        """What it has printed so far."""
        with open(self.log, "rb") as file:
            file.seek(self._begin)
            return file.read().decode("utf-8", errors="replace")

    def wait(self, seconds: float) -> bool:
        """Wait until it has taken its first step, or has ended well.

        Returns:
            False if neither has happened within the time.
        Raises:
            RunError: if it has failed, with the sentence it failed with.
        """
        deadline = time.monotonic() + seconds
        while True:
            status = self._process.poll()
            if status is not None:
                if status:
                    raise RunError(self._last_words(status))
                return True
            with suppress(RunError):
                # Whose name stands there is not compared: on Windows the Python of a virtual
                # environment starts another one.
                process = running_process(self._run_dir)
                if process is not None and process.training:
                    return True
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)

    def _last_words(self, status: int) -> str:
        lines = [line.strip() for line in self.said().splitlines() if line.strip()]
        if not lines:
            return f"the training ended with status {status} and said nothing; start it again"
        if any(line.startswith("Traceback") for line in lines):
            return f"the training failed; {self.log} says why, and ends with: {lines[-1]}"
        return lines[-1].removeprefix("dqn_ref: ")


def start_detached(arguments: Sequence[str], run_dir: Path) -> Detached:
    """Run `python -m dqn_ref ARGUMENTS` in the background, where it outlives this process.

    It gets a session of its own, so that neither Ctrl-C nor the end of a terminal or of a
    notebook's kernel reaches it. What it prints is added to `output.log` in the run's folder.

    Args:
        arguments: of the command line, `train` and its flags for this folder.
        run_dir: the run's folder, made if need be.
    Raises:
        OSError: if the folder cannot be written to.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "dqn_ref", *arguments]
    if os.name == "nt":
        # A console that nobody sees; without any, each program it starts would open a window.
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
        apart = {"creationflags": flags}
    else:
        apart = {"start_new_session": True}
    with open(run_dir / OUTPUT_FILE, "ab") as log:
        log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(arguments)}\n".encode())
        log.flush()
        begin = log.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Or what it prints would come with its end, and after a kill not at all.
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            **apart,
        )
    return Detached(process, run_dir, begin)
