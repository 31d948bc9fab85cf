"""Stages `training` and `evaluation` of `benchmarks.gpu`: one full run, and what became of it."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.gpu_ladder import check_update_count
from dqn_ref import runs
from dqn_ref.checkpoints import load_tensors
from dqn_ref.recipes import Recipe
from dqn_ref.reporting import read_rows
from dqn_ref.training import LoopParts
from results.publish import GAMES, publish

SAY_EVERY_SECONDS = 30
SCORES = (16, 30, 50, 100, 200, 300)  # points of which the report says when they were reached


def train(
    recipe: Recipe, run_dir: Path, clock: Any, record: Callable[[dict], None], before: dict
) -> None:
    """Train, or go on training, until the recipe's steps are done or the time is over.

    At least one turn of the loop is made, so that calls without time come to an end, too.

    Args:
        recipe: of the run, if it is yet to begin; a run that exists keeps its own.
        run_dir: of the run.
        clock: `clock.over()` ends the training, with a checkpoint.
        record: takes what is to stand in the report.
        before: what `record` took in earlier calls.
    Raises:
        KeyboardInterrupt: if someone stopped it, after a checkpoint.
    """
    resume = (run_dir / runs.RECIPE_FILE).exists()
    if resume:
        recipe = runs.resume_recipe(run_dir)
    call = {"from_step": checkpoint_about(run_dir)["counters"]["steps"]}
    calls = [*before.get("calls", []), call]
    result = before | {"calls": calls, "problems": [], "complete": False}
    record(result)  # a kill leaves no trace of its own
    if call["from_step"] >= recipe.total_steps:
        record(result | described(run_dir, recipe, calls[:-1]))  # killed just before its report
        return
    watch = Watch(recipe.total_steps, clock)
    parts = runs.train(recipe, run_dir, resume=resume, show_bar=False, on_step=watch)
    call["to_step"] = parts.counters.steps
    call["seconds"] = round(watch.seconds, 1)
    result |= described(run_dir, parts.recipe, calls)
    for line in lines(result):
        print(f"  {line}", flush=True)
    record(result)
    if not (result["complete"] or clock.over()):
        raise KeyboardInterrupt


class Watch:
    """Called after every turn of the loop: ends it in time, and says how far it is."""

    def __init__(self, total_steps: int, clock: Any):
        self.total_steps, self.clock = total_steps, clock
        self._started = self._said = time.perf_counter()
        self._steps_said: int | None = None

    @property
    def seconds(self) -> float:
        """Since training was asked for."""
        return time.perf_counter() - self._started

    def __call__(self, parts: LoopParts) -> bool:
        now, steps = time.perf_counter(), parts.counters.steps
        if self._steps_said is None:  # the first turn: what came before was building
            self._said, self._steps_said = now, steps
        elif now - self._said >= SAY_EVERY_SECONDS:
            speed = (steps - self._steps_said) / (now - self._said)
            print(f"  {steps:,} of {self.total_steps:,} steps, {speed:,.0f} steps/s", flush=True)
            self._said, self._steps_said = now, steps
        return self.clock.over()


def checkpoint_about(run_dir: Path) -> dict[str, Any]:
    """Counters and seconds of a run's checkpoint; zeros if it has none yet."""
    path = run_dir / runs.CHECKPOINT_FILE
    if not path.exists():
        return {"counters": {"steps": 0, "updates": 0, "games": 0}, "wall_seconds": 0.0}
    return load_tensors(path)[1]


def described(run_dir: Path, recipe: Recipe, calls: list[dict]) -> dict[str, Any]:
    """What the report says about a run, from its files."""
    about, rows = checkpoint_about(run_dir), read_rows(run_dir / "log.csv")
    counters = about["counters"]
    steps, updates = counters["steps"], counters["updates"]
    # A resumed run fills a new memory and makes no updates meanwhile.
    whole = all(call["from_step"] == 0 for call in calls)
    problem = check_update_count(recipe, steps, updates) if whole else None
    return {
        "steps": steps,
        "total_steps": recipe.total_steps,
        "updates": updates,
        "games": counters["games"],
        "wall_seconds": round(about["wall_seconds"], 1),
        "steps_per_second": round(steps / about["wall_seconds"], 1),
        "precision": recipe.precision,
        "lanes": recipe.lanes,
        "score_mean_of_100": score(rows[-1]) if rows else None,
        "first_reached": first_reached(rows),
        "calls": calls,
        "problems": [problem] if problem else [],
        "complete": steps >= recipe.total_steps,
    }


def score(row: dict[str, str]) -> float | None:
    """Mean of the last 100 games in a row of log.csv; None before the first game ended."""
    value = float(row["score_mean"])
    return None if math.isnan(value) else value


def first_reached(rows: list[dict[str, str]]) -> dict[str, dict[str, float]]:
    """Steps and seconds of training at the first row with a mean score of so many points."""
    found = {}
    for points in SCORES:
        row = next((row for row in rows if (score(row) or 0.0) >= points), None)
        if row:
            found[str(points)] = {
                "agent_steps": int(row["agent_steps"]),
                "wall_seconds": float(row["wall_seconds"]),
            }
    return found


def lines(result: dict[str, Any]) -> list[str]:
    """The training for people."""
    mean = result["score_mean_of_100"]
    scored = "no game ended yet" if mean is None else f"mean of the last 100 games {mean:.1f}"
    text = [
        f"{result['steps']:,} of {result['total_steps']:,} steps, {result['updates']:,} updates, "
        f"{result['wall_seconds']:,.0f} s of training, {result['steps_per_second']:,.0f} steps/s; "
        f"{scored}"
    ]
    for points, when in result["first_reached"].items():
        steps, seconds = when["agent_steps"], when["wall_seconds"]
        text.append(f"mean of {points} first at {steps:,} steps, {seconds:,.0f} s")
    return text


def evaluate(
    run_dir: Path,
    target: Path,
    about: dict[str, str],
    record: Callable[[dict], None],
    games: int = GAMES,
) -> None:
    """Evaluate the last weights on the run's device, and publish them.

    Args:
        run_dir: a finished run.
        target: folder to make, as `results/publish.py` does.
        about: `command`, `machine` and `commit` for the description.
        record: takes what is to stand in the report.
        games: full games per epsilon.
    """
    if target.exists():  # a call was killed just before its report
        description = json.loads((target / "about.json").read_text())
    else:
        workshop = target.with_name("unfinished")  # target is there when it is whole
        shutil.rmtree(workshop, ignore_errors=True)
        device, made = runs.resume_recipe(run_dir).device, workshop / target.name
        description = publish(run_dir, made, **about, device=device, games=games)
        made.rename(target)
        workshop.rmdir()
    for result in description["evaluations"]:
        print(
            f"  epsilon {result['epsilon']:g}: {result['games']} games, mean {result['mean']}, "
            f"median {result['median']}, std {result['std']}",
            flush=True,
        )
    print(f"  {target} holds weights, log, scores and description", flush=True)
    record({"published": description, "problems": [], "complete": True})
