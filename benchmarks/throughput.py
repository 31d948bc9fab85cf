"""Agent steps per second of each contender, measured in one run, in alternation.

    python -m benchmarks.throughput --also-avx2 --json throughput.json

Every contender trains DQN on real Breakout on the CPU: the Nature network, batch 32, one update
per 4 steps, Double off. Each lives in a process of its own, fills its replay memory first, and
then waits to be told "run a block of n steps". Blocks alternate, so that a machine that slows
down slows down everybody::

    trial     a with 1 thread, a with 2, b with 1, b with 2, a with 1, ...  the better stays
    measured  a, b, a, b, a, b, ...                                         medians over blocks
    floor     what the arithmetic of an update alone would take here, for this course's agent

`benchmarks/peers.py` says what each contender is, `benchmarks/README.md` what is equal between
them and what is not.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.blocks import (
    Block,
    alternate,
    better,
    block_steps,
    check_updates,
    median_speed,
    summarise,
)
from benchmarks.floor import compare_with_floor
from benchmarks.machine import describe_machine, installed_versions, is_x86, usable_cores
from benchmarks.peers import CONTENDERS, Settings
from benchmarks.tables import format_report
from benchmarks.workers import UNCHANGED, BenchmarkError, Worker

REFERENCE = "sb3"  # the contender that ratios are taken to
DISSECTED = ("dqn_ref",)  # the contenders whose updates are compared with the floor
PAUSE_SECONDS = 0.3  # between blocks: threads of the block before stop spinning
MAX_EPSILON = 0.1  # while measured: random actions cost nothing, so more would flatter

# What a processor without AVX-512 and bf16 has, as most laptops: `AVX2` in the report. One
# variable for each library that chooses its instructions itself: convolutions and bf16 products,
# PyTorch's own kernels, fp32 products.
AVX2 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


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
# The measurement

Workers = dict[tuple[str, int], Worker]  # by contender and number of threads


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the whole benchmark; what goes into the JSON file."""
    settings = Settings(
        warm_transitions=options.warm_transitions,
        settle_steps=options.settle_steps,
        memory_transitions=options.memory_transitions,
        epsilon=options.epsilon,
        seed=options.seed,
    )
    environments = {"native": UNCHANGED} | ({"AVX2": AVX2} if options.also_avx2 else {})
    return {
        "benchmark": "throughput",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "versions": installed_versions(),
        "settings": settings._asdict()
        | {"blocks": options.blocks, "block_steps": block_steps(options.steps, options.blocks)},
        "reference": REFERENCE if REFERENCE in options.contenders else None,
        "measurements": {
            label: measure_in(environment, label, settings, options)
            for label, environment in environments.items()
        },
    }


def measure_in(
    environment: Mapping[str, str], label: str, settings: Settings, options: argparse.Namespace
) -> dict[str, Any]:
    """One measurement of all contenders.

    Args:
        environment: variables that take instruction sets away from the workers.
        label: what the measurement is called: "native", or what `environment` leaves.
        settings: what all contenders share.
        options: the command line.
    Returns:
        `environment`, `order` of the blocks, and by contender `contenders` and `floors`.
    """
    workers: Workers = {}
    try:
        for name in options.contenders:
            for threads in options.threads:
                say(f"{label}: {name}, {threads} thread(s): filling the replay memory")
                worker = workers[name, threads] = Worker(name, settings, threads, environment)
                _refuse_other_instructions(name, worker.start(), label if environment else None)
        trials = _trial(workers, options) if len(options.threads) > 1 else {}
        best = _keep_better(workers, trials, options)
        order = alternate(options.contenders, options.blocks)
        blocks = _run_blocks(best, order, label, options)
        entries = {}
        for name, worker in best.items():
            entries[name] = _entry(blocks[name], blocks.get(REFERENCE), worker, settings)
            entries[name]["thread_trial_steps_per_second"] = {
                str(threads): median_speed(trials[name, threads])
                for threads in options.threads
                if trials
            }
        _refuse_unequal_networks(entries)
        floors = _floors(best, entries, settings, options)
    finally:
        for worker in workers.values():
            worker.stop()
    return {
        "environment": dict(environment),
        "order": order,
        "contenders": entries,
        "floors": floors,
    }


def _trial(workers: Workers, options: argparse.Namespace) -> dict[tuple[str, int], list[Block]]:
    """Short blocks with each number of threads, in alternation."""
    trials: dict[tuple[str, int], list[Block]] = {key: [] for key in workers}
    for _ in range(options.trial_blocks):
        for key, worker in workers.items():
            time.sleep(PAUSE_SECONDS)
            trials[key].append(worker.run_block(block_steps(options.trial_steps, 1)))
    for (name, threads), blocks in trials.items():
        say(f"{name}, {threads} thread(s): {median_speed(blocks):.0f} steps/s in the trial")
    return trials


def _keep_better(
    workers: Workers,
    trials: dict[tuple[str, int], list[Block]],
    options: argparse.Namespace,
) -> dict[str, Worker]:
    """Per contender the worker with the better number of threads; the others are stopped."""
    best = {}
    for name in options.contenders:
        of_threads = {threads: trials[name, threads] for threads in options.threads if trials}
        chosen = better(of_threads) if of_threads else options.threads[0]
        best[name] = workers[name, chosen]
        for threads in options.threads:
            if threads != chosen:
                workers[name, threads].stop()
    return best


def _run_blocks(
    best: dict[str, Worker], order: Sequence[str], label: str, options: argparse.Namespace
) -> dict[str, list[Block]]:
    """The measured blocks of each contender."""
    blocks: dict[str, list[Block]] = {name: [] for name in best}
    for name in order:
        time.sleep(PAUSE_SECONDS)
        block = best[name].run_block(block_steps(options.steps, options.blocks))
        blocks[name].append(block)
        say(
            f"{label}: block {len(blocks[name])}/{options.blocks} {name}: "
            f"{block.steps_per_second:.0f} steps/s, {block.updates} updates"
        )
    return blocks


def _entry(
    blocks: Sequence[Block],
    reference: Sequence[Block] | None,
    worker: Worker,
    settings: Settings,
) -> dict[str, Any]:
    """A contender's entry in the report.

    Raises:
        BenchmarkError: if it did not train as agreed.
    """
    facts = worker.facts()
    problem = check_updates(
        blocks, settings.train_every_steps, facts["steps_per_turn"], facts["updates_at_once"]
    )
    problem = problem or check_facts(facts, settings)
    if problem:
        raise BenchmarkError(f"{worker.name} does not train as agreed: {problem}.")
    return summarise(blocks, reference, facts)


def _floors(
    best: dict[str, Worker],
    entries: dict[str, dict[str, Any]],
    settings: Settings,
    options: argparse.Namespace,
) -> dict[str, dict[str, Any]]:
    """The floor of each contender that can be dissected, after its last measured block."""
    floors = {}
    for name in DISSECTED:
        if name in best:
            time.sleep(PAUSE_SECONDS)
            parts = best[name].dissect(options.profile_steps, options.matrix_seconds)
            floors[name] = compare_with_floor(parts, entries[name], settings.train_every_steps)
    return floors


def _refuse_other_instructions(name: str, facts: dict[str, Any], wanted: str | None) -> None:
    """PyTorch itself says what it was limited to: a variable set too late would do nothing."""
    if wanted and facts["cpu_capability"] != wanted:
        raise BenchmarkError(
            f"{name} computes with {facts['cpu_capability']} although it was limited to {wanted}: "
            "this processor cannot take part in that measurement."
        )


def _refuse_unequal_networks(entries: dict[str, dict[str, Any]]) -> None:
    sizes = {name: entry["network_parameters"] for name, entry in entries.items()}
    if len(set(sizes.values())) > 1:
        raise BenchmarkError(f"the networks differ in their number of parameters: {sizes}.")


# ---------------------------------------------------------------------------------------------
# Command line


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
        "--steps", type=number, default=20_000,
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
    parser.add_argument(
        "--also-avx2", action="store_true",
        help="measure a second time as on a processor without AVX-512 and bf16 instructions",
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
    if options.also_avx2 and not is_x86():
        parser.error("--also-avx2 needs an x86 processor: no other has AVX2")
    if options.threads is None:
        options.threads = [1, 2] if usable_cores() > 1 else [1]
    options.threads = sorted(set(options.threads))
    options.trial_blocks, options.trial_steps, options.settle_steps = 3, 600, 400
    options.profile_steps, options.matrix_seconds = 2_400, 3.0
    if options.quick:
        options.steps, options.blocks, options.warm_transitions = 128, 2, 256
        options.trial_blocks, options.trial_steps, options.settle_steps = 1, 32, 32
        options.profile_steps, options.matrix_seconds = 64, 0.2
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
            f"{' and '.join(dict.fromkeys(missing.values()))} is not installed: run "
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
    print(format_report(report))
    if options.quick:
        print("(--quick: too short to mean anything)")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
