"""The parent's side of a worker: one process, its frames in and out, and what it prints.

Two threads read its pipes, so nothing that a piece prints or answers makes anybody wait.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from dqn_ref.course.worker_child import SHOWN_CHARACTERS, read_frame, write_frame

START_LIMIT_S = 120.0
GRACE_S = 2.0  # for what a process is about to do by itself
POLL_S = 0.05
_KEPT_BYTES = 4 * SHOWN_CHARACTERS + 4  # UTF-8 takes up to four bytes
_TAIL_BYTES = 16_384  # enough for where a piece was when its time ran out


class WorkerError(RuntimeError):
    """A piece could not be checked, through no fault of its own."""


class Output(NamedTuple):
    """What a piece printed."""

    first: str  # the beginning
    last: str  # the end, with whatever Python said when it ended


class WorkerProcess:
    """One worker process: its frames in, its frames out, and what it prints."""

    def __init__(self, arguments: Sequence[str]):
        self._popen = subprocess.Popen(
            # -P: the folder of the notebook comes last on the path, not first.
            [sys.executable, "-P", "-m", "dqn_ref.course.worker_child", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            **_own_group(),
        )
        self.frames: queue.Queue = queue.Queue()
        self._ready = False
        self._printed = threading.Condition()
        self._first, self._last, self._closed = b"", b"", False
        for work in (self._read_frames, self._read_output):
            threading.Thread(target=work, daemon=True).start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def has_ended(self) -> bool:
        return self._popen.poll() is not None

    def exit_status(self) -> int | None:
        """The status it ended with; it has to end by itself within moments."""
        with suppress(subprocess.TimeoutExpired):
            return self._popen.wait(timeout=GRACE_S)
        self.end()
        return None

    def wait_until_ready(self) -> None:
        """Wait until it has loaded what pieces need.

        Raises:
            WorkerError: if it does not.
        """
        deadline = time.monotonic() + START_LIMIT_S
        while not self._ready:
            with suppress(queue.Empty):
                self._ready = self.frames.get(timeout=POLL_S) is not None
                if not self._ready:
                    break
            if time.monotonic() > deadline:
                break
        if not self._ready:
            self.end()
            lines = self.output(None).last.strip().splitlines() or ["it said nothing"]
            raise WorkerError(
                f"the process that runs pieces did not start ({lines[-1]}); "
                "`python -m dqn_ref doctor` says what is missing"
            )

    def send(self, request: dict[str, Any]) -> bytes:
        """Send a piece; what will stand behind its output."""
        ending = f"\0{uuid.uuid4().hex}\0"
        with self._printed:
            self._first, self._last = b"", b""
        with suppress(BrokenPipeError):  # it died meanwhile: the end of its frames says so
            write_frame(self._popen.stdin, {**request, "end_of_output": ending})
        return ending.encode()

    def output(self, ending: bytes | None) -> Output:
        """What was printed, up to its ending or the end of the process."""
        with self._printed:
            self._printed.wait_for(
                lambda: self._closed or (ending is not None and ending in self._last), timeout=1.0
            )
            first = self._first.partition(ending)[0] if ending else self._first
            return Output(*(part.decode("utf-8", "replace") for part in (first, self._last)))

    def resident_bytes(self) -> int:
        import psutil

        try:
            return psutil.Process(self.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return 0

    def end(self) -> None:
        self._popen.kill()
        self._popen.wait()
        with suppress(BrokenPipeError):
            self._popen.stdin.close()

    def _read_frames(self) -> None:
        try:
            with self._popen.stdout as stream:
                while (frame := read_frame(stream)) is not None:
                    self.frames.put(frame)
        except ValueError:  # no JSON: something else wrote to the worker's own pipe
            self._popen.kill()
        self.frames.put(None)

    def _read_output(self) -> None:
        with self._popen.stderr as stream:
            while part := os.read(stream.fileno(), 65_536):
                with self._printed:
                    self._first += part[: _KEPT_BYTES - len(self._first)]
                    self._last = (self._last + part)[-_TAIL_BYTES:]
                    self._printed.notify_all()
        with self._printed:
            self._closed = True
            self._printed.notify_all()


def _environment() -> dict[str, str]:
    """The notebook's environment, but no GPU, one thread, and this very course."""
    paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONINSPECT"},
        "CUDA_VISIBLE_DEVICES": "",
        "MPLBACKEND": "agg",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
    }


def _own_group() -> dict[str, Any]:
    """A Ctrl-C that the notebook gets is not meant for the worker."""
    if os.name == "nt":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return {"creationflags": flags}
    return {"start_new_session": True}
