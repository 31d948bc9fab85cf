"""Agent steps per second of each contender, measured in one run, in alternation.

    python -m benchmarks.throughput --json throughput.json

Every contender trains DQN on real Breakout on the CPU: the Nature network, batch 32, one update
per 4 steps, Double off. Each lives in a process of its own, fills its replay memory first, and
then waits to be told "run a block of n steps". Blocks alternate, so that a machine that slows
down slows down everybody::

    trial     a with 1 thread, a with 2, b with 1, b with 2, a with 1, ...  the better stays
    measured  a, b, a, b, a, b, ...                                         medians over blocks

`benchmarks/peers.py` says what each contender is, `benchmarks/README.md` what is equal between
them and what is not.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import math
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks.peers import CONTENDERS, Settings

REFERENCE = "sb3"  # the contender that ratios are taken to
BLOCK_MULTIPLE = 32  # agent steps: whole updates, and whole turns of up to 32 lanes
PAUSE_SECONDS = 0.3  # between blocks: threads of the block before stop spinning
MAX_EPSILON = 0.1  # while measured: random actions cost nothing, so more would flatter
BUSY_LIMIT = 0.05  # share of the machine used by others above which the table says so
PACKAGES = (
    "torch",
    "numpy",
    "gymnasium",
    "ale-py",
    "opencv-python-headless",
    "stable-baselines3",
    "dqn-breakout-course",
)


class BenchmarkError(Exception):
    """Something the user should read in one sentence."""


class Block(NamedTuple):
    """What a worker answers to "run a block"."""

    steps: int
    updates: int
    seconds: float
    busy_elsewhere: float = 0.0  # share of the machine that other programs used meanwhile

    @property
    def steps_per_second(self) -> float:
        return self.steps / self.seconds


# ---------------------------------------------------------------------------------------------
# Statistics: pure functions of blocks


def alternate(names: Sequence[str], rounds: int) -> list[str]:
    """The order of the blocks: every name once per round, always in the same order."""
    return [name for _ in range(rounds) for name in names]


def block_steps(total_steps: int, blocks: int) -> int:
    """Steps per block, so that `blocks` of them make at least `total_steps`."""
    return BLOCK_MULTIPLE * math.ceil(total_steps / (blocks * BLOCK_MULTIPLE))


def median_speed(blocks: Sequence[Block]) -> float:
    """Median over blocks of agent steps per second."""
    return statistics.median(block.steps_per_second for block in blocks)


def better(blocks_of: dict[Any, Sequence[Block]]) -> Any:
    """The key whose blocks have the higher median; the first of equals."""
    return max(blocks_of, key=lambda key: median_speed(blocks_of[key]))


def speed_ratio(blocks: Sequence[Block], reference: Sequence[Block]) -> dict[str, Any]:
    """Ratio of two contenders' speeds: of the medians, and round by round."""
    by_round = [
        mine.steps_per_second / theirs.steps_per_second
        for mine, theirs in zip(blocks, reference, strict=True)
    ]
    return {
        "of_medians": median_speed(blocks) / median_speed(reference),
        "by_round": by_round,
    }


def check_updates(
    blocks: Sequence[Block], train_every_steps: int, steps_per_turn: int
) -> str | None:
    """What is wrong with the number of updates, or None.

    Args:
        blocks: consecutive blocks of one contender.
        train_every_steps: agent steps per update.
        steps_per_turn: agent steps that the contender's loop takes at once; what is due for the
            last turn of a block may be paid in the next.
    """
    allowed = steps_per_turn / train_every_steps + 1
    total = Block(sum(b.steps for b in blocks), sum(b.updates for b in blocks), 0.0)
    for block in (*blocks, total):
        if abs(block.updates - block.steps / train_every_steps) > allowed:
            return (
                f"{block.updates} updates in {block.steps} steps are not "
                f"one per {train_every_steps} steps"
            )
    return None


def check_facts(facts: dict[str, Any], settings: Settings) -> str | None:
    """What is wrong with the conditions a contender was measured under, or None."""
    if facts["epsilon"] > MAX_EPSILON:
        return f"epsilon is {facts['epsilon']:g}, not at most {MAX_EPSILON:g}"
    if facts["transitions_stored"] < settings.warm_transitions:
        return (
            f"its memory holds {facts['transitions_stored']} transitions, "
            f"not at least {settings.warm_transitions}"
        )
    return None


# ---------------------------------------------------------------------------------------------
# Workers: one process per contender and number of threads


def _serve(connection: Connection, name: str, settings: Settings, threads: int) -> None:
    """A worker's process: build the contender, then answer until told to stop."""
    # Before the first import of torch: OpenMP reads it once.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    contender = None
    try:
        while True:
            command, *arguments = connection.recv()
            if command == "stop":
                return
            if command == "start":
                contender = CONTENDERS[name].load()(settings, threads)
                contender.warm_up()
                answer: Any = contender.facts()
            elif command == "block":
                started = time.perf_counter()
                steps, updates = contender.run_block(*arguments)
                seconds = time.perf_counter() - started
                answer = Block(steps, updates, seconds)
            else:  # "facts"
                answer = contender.facts()
            connection.send(("ok", answer))
    except (EOFError, KeyboardInterrupt):
        return
    except BaseException as error:
        connection.send(("error", f"{type(error).__name__}: {error}"))
        raise
    finally:
        if contender is not None:
            contender.close()


class Worker:
    """The parent's end of a contender's process."""

    def __init__(self, name: str, settings: Settings, threads: int):
        self.name, self.threads = name, threads
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, name, settings, threads), daemon=True
        )
        self._process.start()
        theirs.close()

    def start(self) -> dict[str, Any]:
        """Build the contender and fill its memory; its facts."""
        return self._call("start")

    def run_block(self, steps: int) -> Block:
        """Let the contender train; how long that took, and who else was at work."""
        before = self._busy_seconds()
        block = self._call("block", steps)
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
        return self._call("facts")

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


# ---------------------------------------------------------------------------------------------
# The measurement


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the whole benchmark; what goes into the JSON file."""
    settings = Settings(
        warm_transitions=options.warm_transitions,
        settle_steps=options.settle_steps,
        memory_transitions=options.memory_transitions,
        epsilon=options.epsilon,
        seed=options.seed,
    )
    report: dict[str, Any] = {
        "benchmark": "throughput",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "versions": installed_versions(),
        "settings": settings._asdict()
        | {"blocks": options.blocks, "block_steps": block_steps(options.steps, options.blocks)},
        "reference": REFERENCE if REFERENCE in options.contenders else None,
        "order": [],
        "contenders": {},
    }
    workers: dict[tuple[str, int], Worker] = {}
    try:
        for name in options.contenders:
            for threads in options.threads:
                say(f"{name}, {threads} thread(s): filling the replay memory")
                worker = workers[name, threads] = Worker(name, settings, threads)
                worker.start()
        trials = _trial(workers, options) if len(options.threads) > 1 else {}
        best: dict[str, Worker] = {}
        for name in options.contenders:
            of_threads = {t: trials[name, t] for t in options.threads if (name, t) in trials}
            chosen = better(of_threads) if of_threads else options.threads[0]
            best[name] = workers[name, chosen]
            for threads in options.threads:
                if threads != chosen:
                    workers[name, threads].stop()

        blocks: dict[str, list[Block]] = {name: [] for name in options.contenders}
        for name in alternate(options.contenders, options.blocks):
            time.sleep(PAUSE_SECONDS)
            block = best[name].run_block(report["settings"]["block_steps"])
            blocks[name].append(block)
            report["order"].append(name)
            say(
                f"block {len(blocks[name])}/{options.blocks} {name}: "
                f"{block.steps_per_second:.0f} steps/s, {block.updates} updates"
            )
        for name, worker in best.items():
            facts = worker.facts()
            problem = check_updates(
                blocks[name], settings.train_every_steps, facts["steps_per_turn"]
            )
            problem = problem or check_facts(facts, settings)
            if problem:
                raise BenchmarkError(f"{name} does not train as agreed: {problem}.")
            report["contenders"][name] = summarise(blocks[name], blocks.get(REFERENCE), facts) | {
                "thread_trial_steps_per_second": {
                    str(t): median_speed(trials[name, t])
                    for t in options.threads
                    if (name, t) in trials
                }
            }
    finally:
        for worker in workers.values():
            worker.stop()
    sizes = {name: entry["network_parameters"] for name, entry in report["contenders"].items()}
    if len(set(sizes.values())) > 1:
        raise BenchmarkError(f"the networks differ in their number of parameters: {sizes}.")
    return report


def _trial(
    workers: dict[tuple[str, int], Worker], options: argparse.Namespace
) -> dict[tuple[str, int], list[Block]]:
    """Short blocks with each number of threads, in alternation."""
    trials: dict[tuple[str, int], list[Block]] = {key: [] for key in workers}
    for _ in range(options.trial_blocks):
        for key, worker in workers.items():
            time.sleep(PAUSE_SECONDS)
            trials[key].append(worker.run_block(block_steps(options.trial_steps, 1)))
    for (name, threads), blocks in trials.items():
        say(f"{name}, {threads} thread(s): {median_speed(blocks):.0f} steps/s in the trial")
    return trials


def summarise(
    blocks: Sequence[Block], reference: Sequence[Block] | None, facts: dict[str, Any]
) -> dict[str, Any]:
    """One contender's entry in the report."""
    return {
        "steps_per_second": median_speed(blocks),
        "steps_per_second_by_block": [block.steps_per_second for block in blocks],
        "seconds_by_block": [block.seconds for block in blocks],
        "busy_elsewhere_by_block": [block.busy_elsewhere for block in blocks],
        "ratio": speed_ratio(blocks, reference) if reference else None,
        "steps": sum(block.steps for block in blocks),
        "updates": sum(block.updates for block in blocks),
        "updates_by_block": [block.updates for block in blocks],
        "steps_by_block": [block.steps for block in blocks],
        **facts,
    }


def describe_machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    return {
        "cpu_model": _cpu_model(),
        "cores_usable": _usable_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "platform": platform.platform(),
        "python": platform.python_version(),
        # Instruction sets may be taken away by these, to stand for an older processor.
        "environment": {
            name: os.environ[name]
            for name in ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
            if name in os.environ
        },
    }


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def installed_versions() -> dict[str, str]:
    """Versions of the packages that matter, those that are installed."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


# ---------------------------------------------------------------------------------------------
# Output and command line


def format_table(report: dict[str, Any]) -> str:
    """The report as a table for people."""
    header = (
        "contender", "steps/s", "slowest-fastest block", "x " + REFERENCE,
        "steps", "updates", "threads", "precision", "resident MiB", "bytes/transition",
    )  # fmt: skip
    rows = [header]
    for name, entry in report["contenders"].items():
        speeds = entry["steps_per_second_by_block"]
        ratio = entry["ratio"]
        rows.append(
            (
                name,
                f"{entry['steps_per_second']:.1f}",
                f"{min(speeds):.1f}-{max(speeds):.1f}",
                f"{ratio['of_medians']:.2f}" if ratio else "-",
                f"{entry['steps']:,}",
                f"{entry['updates']:,}",
                str(entry["threads"]),
                entry["precision"],
                f"{entry['resident_mib']:.0f}",
                f"{entry['bytes_per_transition']:,.0f}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = []
    for row in rows:
        first, *others = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join([row[0].ljust(len(first)), *others]))
    machine = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    lines += [
        "",
        f"{machine['cpu_model']}, {machine['cores_usable']} cores, Python {machine['python']}, "
        f"{report['date']}",
        versions,
    ]
    if machine["environment"]:
        lines.append(" ".join(f"{k}={v}" for k, v in machine["environment"].items()))
    busy = [b for e in report["contenders"].values() for b in e["busy_elsewhere_by_block"]]
    if max(busy) > BUSY_LIMIT:
        lines.append(
            f"Other programs used up to {max(busy):.0%} of the machine during a block: "
            "measure again when it is idle."
        )
    return "\n".join(lines)


def say(text: str) -> None:
    """A line about how far things are, apart from the result."""
    print(text, file=sys.stderr, flush=True)


def missing_packages(names: Sequence[str]) -> dict[str, str]:
    """What each of these contenders lacks: its name to the package's name."""
    return {
        name: CONTENDERS[name].distribution
        for name in names
        if importlib.util.find_spec(CONTENDERS[name].module) is None
    }


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description="Agent steps per second on real Breakout, CPU, beside the peers.",
    )
    defaults = Settings()

    def number(text: str) -> int:
        value = int(text)
        if value < 1:
            raise argparse.ArgumentTypeError("must be at least 1")
        return value

    def low_epsilon(text: str) -> float:
        value = float(text)
        if not 0 <= value <= MAX_EPSILON:
            raise argparse.ArgumentTypeError(
                f"must lie in 0 to {MAX_EPSILON}: random actions cost nothing, more would flatter"
            )
        return value

    parser.add_argument(
        "--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS),
        metavar="NAME", help=f"who takes part (default: {' '.join(CONTENDERS)})",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=number, default=10_000,
        help="measured agent steps per contender, over all blocks (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--blocks", type=number, default=5,
        help="blocks per contender (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=number, nargs="+", default=None, metavar="N",
        help="numbers of torch threads to try; the better is measured "
        "(default: 1 2, or 1 on a single core)",
    )  # fmt: skip
    parser.add_argument(
        "--warm-transitions", type=number, default=defaults.warm_transitions,
        help="transitions in the replay memory before anything is timed (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--memory-transitions", type=number, default=defaults.memory_transitions,
        help="capacity of the replay memory (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--epsilon", type=low_epsilon, default=defaults.epsilon,
        help="probability of a random action while measured, at most 0.1 (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures to a file")
    parser.add_argument(
        "--quick", action="store_true",
        help="tiny counts: shows that everything runs, its figures mean nothing",
    )  # fmt: skip
    return parser


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = build_parser()
    options = parser.parse_args(arguments)
    if len(set(options.contenders)) < len(options.contenders):
        parser.error("a contender is named twice")
    if options.threads is None:
        options.threads = [1, 2] if _usable_cores() > 1 else [1]
    options.threads = sorted(set(options.threads))
    options.trial_blocks, options.trial_steps, options.settle_steps = 3, 600, 400
    if options.quick:
        options.steps, options.blocks, options.warm_transitions = 128, 2, 256
        options.trial_blocks, options.trial_steps, options.settle_steps = 1, 32, 32
    if options.memory_transitions <= options.warm_transitions:
        parser.error("--memory-transitions must be larger than --warm-transitions")
    if options.json and not options.json.parent.is_dir():
        parser.error(f"there is no folder {options.json.parent} to write {options.json.name} to")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    missing = missing_packages(options.contenders)
    if missing:
        present = [name for name in options.contenders if name not in missing]
        leave_out = f", or run with --contenders {' '.join(present)}" if present else ""
        say(
            f"{' and '.join(missing.values())} is not installed: run "
            f'pip install -e ".[bench]"{leave_out}.'
        )
        return 2
    try:
        report = measure(options)
    except BenchmarkError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("stopped; nothing was written.")
        return 130
    print(format_table(report))
    if options.quick:
        print("(--quick: too short to mean anything)")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
