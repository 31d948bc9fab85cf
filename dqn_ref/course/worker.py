"""A warm process that runs pieces, so that no piece can hurt the notebook.

    notebook ── PieceSource ──→ worker_child: catalogue.judge ──→ Verdict ── notebook

A piece has ten seconds and 2 GiB of memory, no GPU, and random generators of its own. An endless
loop, too much memory, `os._exit` or a crash ends the worker and becomes a verdict; the next worker
is warmed at once, in the background. Ctrl-C ends the worker too and comes through.
"""

from __future__ import annotations

import ast
import atexit
import queue
import re
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from dqn_ref.course.catalogue import Verdict
from dqn_ref.course.source import PieceSource
from dqn_ref.course.worker_child import CELL, SHOWN_CHARACTERS, line_offset
from dqn_ref.course.worker_process import GRACE_S, POLL_S, Output, WorkerError, WorkerProcess

JUDGE = "dqn_ref.course.catalogue:judge"
TIME_LIMIT_S = 10.0
MEMORY_LIMIT_BYTES = 2 * 2**30
# What faulthandler writes; a piece that prints until its time is up may cut it short.
_TIME_IS_UP = re.compile(r"Timeout \(\d+:\d\d:\d\d[.\d]*\)!\n")


_OPTIMISER = "torch._dynamo"


class Worker:
    """Runs pieces in a process of its own, one at a time.

    Args:
        judge: what to call with name and piece, as `module:function` or `file.py:function`.
        time_limit_s: for one piece.
        memory_limit_bytes: for one piece, beyond what the warm worker has.
        loads: modules that the worker imports before the first piece comes.
        watch_memory: look at the worker's resident size instead of asking the system for a limit
            on its addresses, which only Linux enforces.
    """

    def __init__(
        self,
        judge: str = JUDGE,
        time_limit_s: float = TIME_LIMIT_S,
        memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
        loads: Sequence[str] = ("torch", "dqn_ref.pieces"),
        watch_memory: bool = sys.platform != "linux",
    ):
        self._judge = judge
        self.time_limit_s, self.memory_limit_bytes = time_limit_s, memory_limit_bytes
        self._loads, self._watch_memory = tuple(loads), watch_memory
        self._process: WorkerProcess | None = None

    @property
    def pid(self) -> int | None:
        """The number of the worker's process, if there is one."""
        return self._process.pid if self._process else None

    def expect_optimisers(self) -> None:
        """Let the worker import what the first optimiser of a process does.

        That is `torch._dynamo`, two seconds, and it changes the environment's variables: otherwise
        each check of a piece that makes an optimiser would cost a process.
        """
        if _OPTIMISER not in self._loads:
            self._loads = (*self._loads, _OPTIMISER)
            self.close()

    def warm(self) -> None:
        """Start the worker, if there is none; it loads PyTorch while you go on."""
        if self._process is None or self._process.has_ended:
            self.close()
            self._process = WorkerProcess([self._judge, *self._loads])

    def close(self) -> None:
        """End the worker; the next piece gets another one."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def judge(self, source: PieceSource) -> Verdict:
        """Run a piece and judge it.

        Raises:
            WorkerError: if the piece could not be judged, and that is not the piece's fault.
            KeyboardInterrupt: on Ctrl-C.
        """
        self.warm()
        process = self._process
        process.wait_until_ready()
        baseline = process.resident_bytes() if self._watch_memory else 0
        try:
            ending = process.send(
                {
                    "name": source.name,
                    "text": source.text,
                    "line": source.line,
                    "seconds": self.time_limit_s,
                    "memory_bytes": self.memory_limit_bytes,
                    "limit_memory": not self._watch_memory,
                }
            )
            answer = self._wait(process, baseline)
            output = process.output(ending)
        except BaseException:  # Ctrl-C above all: whatever the worker does now, nobody waits for it
            self.close()
            self.warm()
            raise
        if answer is None:
            verdict = self._verdict_of_death(source, process, output)
        elif isinstance(answer, str):  # ended by us
            verdict = _failing(answer)
        else:
            verdict = self._verdict(answer)
        if not isinstance(answer, dict) or answer["dirty"]:
            self.close()
            self.warm()
        return replace(verdict, output=_shown(output.first))

    def _wait(self, process: WorkerProcess, baseline: int) -> dict[str, Any] | str | None:
        """The answer; None if the worker died; a sentence if it had to be ended."""
        deadline = time.monotonic() + self.time_limit_s + GRACE_S
        while time.monotonic() < deadline:
            with suppress(queue.Empty):
                return process.frames.get(timeout=POLL_S)
            if self._watch_memory:
                if process.resident_bytes() - baseline > self.memory_limit_bytes:
                    process.end()
                    return f"it needs too much memory. {self._memory_rule()}"
        process.end()
        return self._time_rule()

    def _verdict(self, answer: dict[str, Any]) -> Verdict:
        if "error" in answer:
            raise WorkerError(answer["error"])
        if "failed" in answer:
            verdict = Verdict(False, answer["attempted"], answer["failed"])
        else:
            verdict = Verdict(**answer["verdict"])
        if re.search(r"MemoryError|can't allocate memory", verdict.message) and not verdict.passed:
            verdict = replace(verdict, message=f"{verdict.message} {self._memory_rule()}")
        return verdict

    def _verdict_of_death(
        self, source: PieceSource, process: WorkerProcess, output: Output
    ) -> Verdict:
        status = process.exit_status()
        if _TIME_IS_UP.search(output.last):
            return _failing(self._time_rule(_last_place(source, output.last)))
        if status is None or not 0 <= status <= 255:  # Windows has large numbers for crashes
            return _failing(f"it crashed the Python that ran it{_signal_name(status)}.")
        return _failing(
            f"it ended the Python that ran it (exit status {status}), as `os._exit` does; "
            "let it return or raise instead."
        )

    def _time_rule(self, place: str = "") -> str:
        seconds = f"{self.time_limit_s:g} second{'' if self.time_limit_s == 1 else 's'}"
        return f"it was still running after {seconds}{place}. Does every loop in it come to an end?"

    def _memory_rule(self) -> str:
        return f"A check grants {self.memory_limit_bytes / 2**30:g} GiB."


def _signal_name(status: int | None) -> str:
    known = {-each: each.name for each in signal.Signals}
    return f" ({known[status]})" if status in known else ""


def _failing(message: str) -> Verdict:
    return Verdict(passed=False, attempted=True, message=message)


def _shown(text: str) -> str:
    """The beginning of what was printed, without what Python says when time is up."""
    text = _TIME_IS_UP.split(text)[0]
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " …"


def _last_place(source: PieceSource, traceback: str) -> str:
    """Where in the piece's cell it was, from what `faulthandler` wrote; "" if it was elsewhere."""
    found = re.search(rf'File "{CELL}", line (\d+)', _TIME_IS_UP.split(traceback)[-1])
    if not found:
        return ""
    number = int(found[1])
    offset = line_offset(ast.parse(source.text), source.name, source.line)
    line = source.text.split("\n")[number - offset - 1].strip()
    return f", in line {number} of its cell (`{line}`)"


_shared: Worker | None = None


def shared() -> Worker:
    """The worker of this notebook."""
    global _shared
    if _shared is None:
        _shared = Worker()
        atexit.register(_shared.close)
    return _shared
