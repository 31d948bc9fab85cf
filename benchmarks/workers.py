"""Workers: one process per contender and number of threads, told over a pipe what to do."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from types import MappingProxyType
from typing import Any

import psutil

from benchmarks.blocks import Block
from benchmarks.peers import CONTENDERS, Settings

UNCHANGED: Mapping[str, str] = MappingProxyType({})  # environment variables: none are set


class BenchmarkError(Exception):
    """Something the user should read in one sentence."""


def _serve(
    connection: Connection,
    name: str,
    settings: Settings,
    threads: int,
    environment: dict[str, str],
) -> None:
    """A worker's process: build the contender, then answer until told to stop."""
    # Before the first import of torch: it and the libraries below it read these once.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    os.environ.update(environment)
    contender: Any = None
    try:
        while True:
            command, *arguments = connection.recv()
            if command == "stop":
                return
            if command == "start":
                contender = CONTENDERS[name].load()(settings, threads)
                contender.warm_up()
                answer: Any = contender.facts()
            elif command == "run_block":
                started = time.perf_counter()
                steps, updates = contender.run_block(*arguments)
                seconds = time.perf_counter() - started
                answer = Block(steps, updates, seconds)
            else:  # "facts", "dissect"
                answer = getattr(contender, command)(*arguments)
            connection.send(("ok", answer))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return  # the parent has ended, or both were interrupted
    except BaseException as error:
        connection.send(("error", f"{type(error).__name__}: {error}"))
        raise
    finally:
        if contender is not None:
            contender.close()


class Worker:
    """The parent's end of a contender's process.

    Args:
        name: of the contender.
        settings: what all contenders share.
        threads: of torch.
        environment: variables that the process sets before it imports torch.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        threads: int,
        environment: Mapping[str, str] = UNCHANGED,
    ):
        self.name, self.threads = name, threads
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, name, settings, threads, dict(environment)), daemon=True
        )
        self._process.start()
        theirs.close()

    def start(self) -> dict[str, Any]:
        """Build the contender and fill its memory; its facts."""
        return self._call("start")

    def run_block(self, steps: int) -> Block:
        """Let the contender train; how long that took, and who else was at work."""
        before = self._busy_seconds()
        block = self._call("run_block", steps)
        others, wall = (b - a for a, b in zip(before, self._busy_seconds(), strict=True))
        return block._replace(busy_elsewhere=max(0.0, others / (wall * (os.cpu_count() or 1))))

    def _busy_seconds(self) -> tuple[float, float]:
        """CPU seconds of everything but this worker, and the clock."""
        everything, own = psutil.cpu_times(), psutil.Process(self._process.pid).cpu_times()
        busy = sum(everything) - everything.idle - getattr(everything, "iowait", 0.0)
        # Linux counts the time of guests within "user" as well.
        busy -= getattr(everything, "guest", 0.0) + getattr(everything, "guest_nice", 0.0)
        return busy - own.user - own.system, time.perf_counter()

    def facts(self) -> dict[str, Any]:
        """See `benchmarks.peers.common_facts`."""
        return self._call("facts")

    def dissect(self, steps: int, seconds: float) -> dict[str, Any]:
        """Where an update's time goes; see `benchmarks.peers.DqnRefWorker.dissect`."""
        return self._call("dissect", steps, seconds)

    def stop(self) -> None:
        if self._process.is_alive():
            try:
                self._connection.send(("stop",))
            except OSError:
                pass  # it has just ended by itself
            self._process.join(timeout=10)
            if self._process.is_alive():
                self._process.terminate()
                self._process.join()
        self._connection.close()

    def _call(self, *message: Any) -> Any:
        try:
            self._connection.send(message)
            state, answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(timeout=10)
            raise BenchmarkError(
                f"the process of {self.name} ended with status {self._process.exitcode} while "
                f"it was busy with {message[0]!r}; is there enough memory?"
            ) from None
        if state == "error":
            raise BenchmarkError(f"{self.name} failed: {answer}")
        return answer
