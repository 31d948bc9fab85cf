"""Stage `ladder` of `benchmarks.gpu`: what each step from the plain loop to the GPU's brings.

A rung is the training loop on real Breakout with one more thing switched on, timed in blocks
when the memory is warm. Every rung draws 32 transitions per 4 steps, and its updates are counted.
Log files and checkpoints are not in it: the stage `training` has those.
"""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import psutil
import torch

from benchmarks.blocks import Block, median_speed
from benchmarks.gpu_equality import warmed
from dqn_ref import runs
from dqn_ref.captured import GroupOfUpdates
from dqn_ref.environments import make_lanes
from dqn_ref.recipes import Recipe
from dqn_ref.training import LoopParts, training_loop


class Plan(NamedTuple):
    """How long a rung takes."""

    warm_steps: int = 5_000  # of random play before the first update
    settle_seconds: float = 3.0  # of training before anything is timed
    blocks: int = 3
    block_seconds: float = 4.0
    budget_seconds: float = 20.0  # until the first block; what is slower gets no figure
    lanes_divisor: int = 1  # takes games away, for a quick look


class Rung(NamedTuple):
    """One step of the ladder; its figures begin with these words."""

    name: str
    lanes: int
    updates_at_once: int
    precision: str = "fp32"
    cuda_graph: bool = False


# A loop with few lanes makes the updates of one turn at once; 128 and 256 as the recipe has it.
RUNGS = (
    Rung("1 lane, fp32, eager", 1, 1),
    Rung("16 lanes", 16, 4),
    Rung("128 lanes", 128, 32),
    Rung("+ bf16", 128, 32, "auto"),  # fp32 again on a GPU that has no bf16
    Rung("+ CUDA graph", 128, 32, "auto", True),
    Rung("256 lanes", 256, 32, "auto", True),
)
EMULATION_LANES = (128, 256)
MEMORY_FRAMES = 100_000


def run(recipe: Recipe, plan: Plan, clock: Any, record: Callable[[dict], None]) -> None:
    """Measure rung after rung; record after each.

    Args:
        recipe: of the training; game, network and learning are its own.
        plan: durations.
        clock: `clock.over()` ends the ladder between two rungs.
        record: takes what is to stand in the report.
    """
    result: dict[str, Any] = {"rungs": [], "problems": [], "complete": False}
    record(result)
    for measure in _measurements(recipe, plan):
        if clock.over():
            print("  the time is over: the ladder is incomplete", flush=True)
            return
        entry = measure()
        release()
        result["rungs"].append(entry)
        if entry.get("problem"):
            result["problems"].append(f"{entry['name']}: {entry['problem']}")
        print(f"  {entry['name']}: {_speed(entry)}", flush=True)
        record(result)
    add_ratios(result["rungs"])
    record(result | {"complete": True})
    print("\n".join(table(result["rungs"])), flush=True)


def release() -> None:
    """Give back the device memory of agents that nobody uses any more, graphs included."""
    if torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def _measurements(recipe: Recipe, plan: Plan) -> Iterator[Callable[[], dict[str, Any]]]:
    for rung in RUNGS:
        yield lambda rung=rung: _survive(rung.name, lambda: climb(rung, recipe, plan))
    for count in EMULATION_LANES:
        name = f"emulation alone, {count} lanes"
        yield lambda name=name, count=count: _survive(name, lambda: emulate(count, recipe, plan))
    name = "learning alone, 128 lanes' memory"
    yield lambda: _survive(name, lambda: learn(recipe, plan))


def _survive(name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A rung that fails is a finding: the others are measured all the same."""
    try:
        return {"name": name} | measure()
    except RuntimeError as error:  # PyTorch's, CUDA's among them
        return {"name": name, "problem": f"{type(error).__name__}: {error}"}


def recipe_of_rung(rung: Rung, recipe: Recipe, plan: Plan) -> Recipe:
    """The training's recipe, played as the rung says."""
    return dataclasses.replace(
        recipe,
        lanes=max(1, rung.lanes // plan.lanes_divisor),
        updates_at_once=min(rung.updates_at_once, max(2, 32 // plan.lanes_divisor)),
        precision=rung.precision,
        cuda_graph=rung.cuda_graph,
        memory_frames=min(recipe.memory_frames, MEMORY_FRAMES),
        learning_starts=plan.warm_steps,
        # Random while the memory fills, then the recipe's last epsilon at once.
        epsilon_delay_steps=plan.warm_steps,
        epsilon_decay_steps=0,
    )


def climb(rung: Rung, recipe: Recipe, plan: Plan) -> dict[str, Any]:
    """One rung's figures."""
    parts = runs.build(runs.resolve(recipe_of_rung(rung, recipe, plan)))
    meter = Meter(plan, parts.learner.device)
    try:
        training_loop(parts, 10**12, meter)
    finally:
        parts.lanes.close()
    recipe, counters = parts.recipe, parts.counters
    return summary(meter.blocks) | {
        "lanes": recipe.lanes,
        "updates_at_once": recipe.updates_at_once,
        "precision": recipe.precision,
        "graph": parts.captured is not None,
        "cpu_busy": meter.cpu_busy,
        "steps": counters.steps,
        "updates": counters.updates,
        "problem": check_update_count(recipe, counters.steps, counters.updates),
    }


def check_update_count(recipe: Recipe, steps: int, updates: int) -> str | None:
    """What is wrong with the number of updates of an uninterrupted run, or None.

    One is due per `train_every_steps` after `learning_starts`. Never are there more; as many as
    the last turn brought and as do not fill a group may still be owed.
    """
    due = max(0, steps - recipe.learning_starts) / recipe.train_every_steps
    owed = recipe.lanes / recipe.train_every_steps + recipe.updates_at_once
    if 0 <= due - updates <= owed:
        return None
    return (
        f"{updates:,} updates in {steps:,} steps are not one per {recipe.train_every_steps} steps "
        f"after {recipe.learning_starts:,}"
    )


class Meter:
    """Called after every turn of the loop; true when everything is timed.

    A block ends when the device has done what the loop gave it to do.
    """

    def __init__(self, plan: Plan, device: torch.device):
        self.plan, self.device = plan, device
        self.blocks: list[Block] = []
        self.cpu_busy: float | None = None  # share of all cores during the blocks, per cent
        self._give_up = time.perf_counter() + plan.budget_seconds
        self._learning_since: float | None = None
        self._block: tuple[int, int, float] | None = None  # steps, updates, seconds at its start

    def __call__(self, parts: LoopParts, rows: Any = None) -> bool:
        now, counters = time.perf_counter(), parts.counters
        if self._block is None:
            if self._settled(counters.updates, now):
                psutil.cpu_percent()  # from here on
                self._block = (counters.steps, counters.updates, self._finished())
            return now > self._give_up
        steps, updates, since = self._block
        if now - since < self.plan.block_seconds:
            return False
        now = self._finished()
        self.blocks.append(Block(counters.steps - steps, counters.updates - updates, now - since))
        self._block = (counters.steps, counters.updates, now)
        if len(self.blocks) < self.plan.blocks:
            return False
        self.cpu_busy = psutil.cpu_percent()
        return True

    def _settled(self, updates: int, now: float) -> bool:
        if not updates:
            return False
        if self._learning_since is None:
            self._learning_since = now
        return now - self._learning_since >= self.plan.settle_seconds

    def _finished(self) -> float:
        """Seconds of the clock when the device has nothing left to do."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def summary(blocks: list[Block]) -> dict[str, Any]:
    """Median speed over blocks, and each block; no figures without blocks."""
    if not blocks:
        return {"steps_per_second": None, "note": "not warm within its time: no figure"}
    updates = sum(block.updates for block in blocks) / sum(block.seconds for block in blocks)
    return {
        "steps_per_second": round(median_speed(blocks), 1),
        "steps_per_second_by_block": [round(block.steps_per_second, 1) for block in blocks],
        "updates_per_second": round(updates, 1),
    }


def timed_blocks(plan: Plan, device: torch.device, turn: Callable[[], tuple[int, int]]) -> list:
    """Blocks of a loop of its own; `turn` says how many steps and updates it made."""
    blocks, deadline = [], time.perf_counter() + plan.settle_seconds
    turn()  # records the graph
    while time.perf_counter() < deadline:
        turn()
    for _ in range(plan.blocks):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        since, steps, updates = time.perf_counter(), 0, 0
        while time.perf_counter() - since < plan.block_seconds:
            more_steps, more_updates = turn()
            steps, updates = steps + more_steps, updates + more_updates
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        blocks.append(Block(steps, updates, time.perf_counter() - since))
    return blocks


def emulate(count: int, recipe: Recipe, plan: Plan) -> dict[str, Any]:
    """The games alone, with random actions: no loop with so many lanes can be faster."""
    count = max(1, count // plan.lanes_divisor)
    lanes, rng = make_lanes(recipe, count), np.random.default_rng(recipe.seed)

    def turn() -> tuple[int, int]:
        lanes.send(rng.integers(len(lanes.action_names), size=count))
        return int((~lanes.recv().reset_row).sum()), 0

    try:
        lanes.reset(recipe.seed)
        psutil.cpu_percent()
        blocks = timed_blocks(plan, torch.device("cpu"), turn)
        return summary(blocks) | {"lanes": count, "cpu_busy": psutil.cpu_percent()}
    finally:
        lanes.close()


def learn(recipe: Recipe, plan: Plan) -> dict[str, Any]:
    """Groups of updates without games: 4 steps per update are what it would keep up with."""
    rung = next(rung for rung in RUNGS if rung.cuda_graph)
    parts = warmed(recipe_of_rung(rung, recipe, plan), plan.warm_steps)
    recipe, memory, learner = parts.recipe, parts.memory, parts.learner
    group = parts.captured or GroupOfUpdates(
        memory, learner, recipe.updates_at_once, recipe.batch_size
    )
    rng, count = np.random.default_rng(recipe.seed), recipe.updates_at_once

    def turn() -> tuple[int, int]:
        loss = group(rng)[0].loss
        loss.item()  # as acting does in every turn of the loop: the host never runs far ahead
        return count * recipe.train_every_steps, count

    return summary(timed_blocks(plan, learner.device, turn)) | {
        "updates_at_once": count,
        "precision": recipe.precision,
        "graph": parts.captured is not None,
    }


def add_ratios(entries: list[dict[str, Any]]) -> None:
    """`ratio` of each rung of the loop to the rung before; None where one has no figure."""
    for before, entry in zip([None, *entries], entries[: len(RUNGS)], strict=False):
        speeds = [e.get("steps_per_second") if e else None for e in (before, entry)]
        entry["ratio"] = round(speeds[1] / speeds[0], 2) if all(speeds) else None


def _speed(entry: dict[str, Any]) -> str:
    if entry.get("steps_per_second") is None:
        return entry.get("problem") or entry["note"]
    problem = f" ({entry['problem']})" if entry.get("problem") else ""
    return f"{entry['steps_per_second']:,.0f} steps/s{problem}"


def table(entries: list[dict[str, Any]]) -> list[str]:
    """The ladder for people, as lines."""
    rows = [
        ("rung", "lanes", "precision", "graph", "steps/s", "blocks", "ratio", "updates/s", "CPU")
    ]
    for entry in entries:
        blocks = entry.get("steps_per_second_by_block")
        busy = entry.get("cpu_busy")
        rows.append(
            (
                entry["name"],
                str(entry.get("lanes", "-")),
                entry.get("precision", "-"),
                {True: "yes", False: "no", None: "-"}[entry.get("graph")],
                f"{entry['steps_per_second']:,.0f}" if blocks else "-",
                f"{min(blocks):,.0f}-{max(blocks):,.0f}" if blocks else "-",
                f"{entry['ratio']:.2f}" if entry.get("ratio") else "-",
                f"{entry['updates_per_second']:,.0f}" if entry.get("updates_per_second") else "-",
                f"{busy:.0f} %" if busy is not None else "-",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
