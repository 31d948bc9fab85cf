"""The runs in a folder: what they are, and how to stop, resume and delete them.

    name    state          steps               games  mean of 100  last change
    first   finished       20,000 of 20,000       93          1.4  2025-03-01 10:12
    second  running        48,000 of 1,000,000   260          3.1  2025-03-01 10:58

A state is what the files say: a run is *running* while the process in `process.json` lives,
*finished* when its checkpoint has all steps, *interrupted* when its process was killed or nothing
was kept, *stopped early* otherwise. This module loads neither PyTorch nor ALE, which takes seconds.
"""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from dqn_ref import processes
from dqn_ref.errors import RunError
from dqn_ref.recipes import Recipe, RecipeError

# As `dqn_ref.runs` and `dqn_ref.reporting` write them.
RECIPE_FILE = "recipe.json"
CHECKPOINT_FILE = "checkpoint.safetensors"
LOG_FILE = "log.csv"

RUNNING, ELSEWHERE = "running", "on another host"
FINISHED, STOPPED, INTERRUPTED, DAMAGED = "finished", "stopped early", "interrupted", "damaged"

START_SECONDS = 300.0  # loading PyTorch and a large replay memory from a slow disk
_SAY_SECONDS = 10.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class RunFolder:
    """A run as its files show it. What is not known yet is None."""

    name: str
    state: str
    steps: int | None = None  # of a run that does not run, those in its checkpoint
    total_steps: int | None = None
    games: int | None = None
    score_mean: float | None = None  # of the last 100 games
    changed: float | None = None  # seconds since 1970
    problem: str = ""  # what is damaged, in one sentence

    @property
    def standing(self) -> str:
        """How far it has come."""
        return f"{_count(self.steps)} of {_count(self.total_steps)} steps"


def look(path: Path) -> RunFolder:
    """What a run's folder shows; a damaged one is described, never raised."""
    try:
        return _look(path)
    except (RunError, RecipeError, OSError) as error:
        return RunFolder(path.name, DAMAGED, changed=_last_change(path), problem=str(error))


def _look(path: Path) -> RunFolder:
    process = processes.read_process(path)
    state, kept, recipe = None, None, None
    if process is not None:
        if process.is_elsewhere:
            state = ELSEWHERE
        else:
            state = RUNNING if process.is_alive() else INTERRUPTED
    # A training that has just begun has written none of these yet.
    if state not in (RUNNING, ELSEWHERE) or (path / RECIPE_FILE).exists():
        recipe = Recipe.load(path / RECIPE_FILE)
        kept = _kept_counters(path / CHECKPOINT_FILE)
    total = recipe.total_steps if recipe else None
    if state in (RUNNING, ELSEWHERE):
        steps, games, score = _last_row(path / LOG_FILE, math.inf)
        if kept and kept[0] > (steps or 0):
            steps, games = kept
        return RunFolder(path.name, state, steps, total, games, score, _last_change(path))
    if kept is None:
        return RunFolder(path.name, INTERRUPTED, 0, total, changed=_last_change(path))
    steps, games = kept
    if steps >= recipe.total_steps:
        state = FINISHED
    # Rows beyond the checkpoint are of steps that a kill has undone.
    score = _last_row(path / LOG_FILE, steps)[2]
    return RunFolder(path.name, state or STOPPED, steps, total, games, score, _last_change(path))


def _kept_counters(path: Path) -> tuple[int, int] | None:
    """Steps and games in a checkpoint, read without its tensors; None if there is no checkpoint.

    Raises:
        RunError: if it is damaged.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            counters = json.loads((file.metadata() or {})["about"])["counters"]
        return int(counters["steps"]), int(counters["games"])
    except (SafetensorError, KeyError, TypeError, ValueError):
        raise RunError(
            f"{path} is damaged or was not written by this course; move it away to begin anew"
        ) from None


def _last_row(path: Path, up_to: float) -> tuple[int | None, int | None, float | None]:
    """Steps, games and score in the last complete row of `log.csv` at or before a step.

    (`dqn_ref.reporting` reads the same file, and loads PyTorch.)

    Raises:
        RunError: if the file is damaged.
    """
    if not path.is_file():
        return None, None, None
    try:
        text = path.read_text()
        complete = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
        rows = [
            (int(row["agent_steps"]), int(row["episodes"]), float(row["score_mean"]))
            for row in complete
            if None not in row.values()
        ]
    except (KeyError, ValueError, csv.Error):
        raise RunError(f"{path} is damaged; move it away and resume") from None
    rows = [row for row in rows if row[0] <= up_to]
    if not rows:
        return None, None, None
    steps, games, score = rows[-1]
    return steps, games, None if math.isnan(score) else score


def _last_change(path: Path) -> float | None:
    """When a file of the folder was last written."""
    times = []
    with suppress(OSError):
        for entry in os.scandir(path):
            with suppress(OSError):  # gone in the meantime
                times.append(entry.stat().st_mtime)
    return max(times, default=None)


def _is_run(path: Path) -> bool:
    """Whether a folder holds a run, whole or damaged, or one that is about to begin."""
    names = (RECIPE_FILE, CHECKPOINT_FILE, LOG_FILE, processes.PROCESS_FILE)
    return path.is_dir() and any(os.path.exists(path / name) for name in names)


def list_runs(folder: Path) -> list[RunFolder]:
    """All runs of a folder by name.

    Raises:
        RunError: if there is no such folder.
    """
    return [look(path) for path in _run_dirs(folder)]


def _run_dirs(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise RunError(
            f"there is no folder {folder}; a training makes it: "
            f"python -m dqn_ref train --run-dir {folder / 'first'}"
        )
    return [path for path in sorted(folder.iterdir()) if _is_run(path)]


def table(runs: Sequence[RunFolder]) -> str:
    """One line per run below a line of headings."""
    rows = [("name", "state", "steps", "games", "mean of 100", "last change", "")]
    for run in runs:
        steps = "-" if run.state == DAMAGED else run.standing.removesuffix(" steps")
        score = "-" if run.score_mean is None else f"{run.score_mean:.1f}"
        changed = _time(run.changed)
        rows.append((run.name, run.state, steps, _count(run.games), score, changed, run.problem))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligned = "<<<>><<"  # numbers to the right
    lines = (
        "  ".join(
            f"{cell:{to}{width}}" for cell, to, width in zip(row, aligned, widths, strict=True)
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def find(folder: Path, name: str) -> Path:
    """The folder of a run named on the command line.

    Args:
        folder: of the runs.
        name: the run's; `runs/first` will do for `first`, as a shell completes it.
    Raises:
        RunError: if it is none of the folder's runs.
    """
    given = Path(name)
    if len(given.parts) > 1 and given.parent.resolve() == folder.resolve():
        given = Path(given.name)
    if len(given.parts) != 1 or given.name in ("", ".", ".."):
        raise RunError(f"{name!r} is not the name of a run in {folder}; `runs` lists them")
    path = folder / given
    if not path.is_dir():
        names = ", ".join(run.name for run in _run_dirs(folder)) or "no run"
        raise RunError(f"there is no run {given.name!r} in {folder}; it holds {names}")
    if not _is_run(path):
        raise RunError(f"{path} is not a run: it holds no {RECIPE_FILE}; `runs` lists the runs")
    return path


def stop(
    folder: Path,
    name: str,
    seconds: float = 60,
    tell: Callable[[str], None] = print,
) -> RunFolder:
    """Ask a training to stop after its step, and wait until it has.

    Args:
        folder: of the runs.
        name: of the run.
        seconds: to wait.
        tell: called with each sentence about how it goes on.
    Returns:
        The run as it stands then.
    Raises:
        RunError: if the run is not running, or still is after that time.
    """
    path = find(folder, name)
    process = processes.running_process(path)
    if process is None:
        raise RunError(f"{path.name} is not running: {_described(look(path))}")
    processes.request_stop(path)
    tell(f"{path.name}: process {process.pid} is asked to stop after its step")
    started = said = time.monotonic()
    while process.is_same(processes.running_process(path)):
        now = time.monotonic()
        if now - started > seconds:
            raise RunError(
                f"{path.name} has not stopped within {seconds:g} seconds (at "
                f"{look(path).standing}) but will after its step, evaluation or checkpoint; look "
                "again with: python -m dqn_ref runs"
            )
        if now - said > _SAY_SECONDS:
            said = now
            tell(f"{path.name}: still running after {now - started:.0f} s, {look(path).standing}")
        time.sleep(_POLL_SECONDS)
    run = look(path)
    tell(f"{path.name}: {_described(run)}")
    if run.state in (STOPPED, INTERRUPTED):
        tell(f"go on with: {_command('resume', folder, path.name)}")
    return run


def resume(
    folder: Path,
    name: str,
    seconds: float = START_SECONDS,
    tell: Callable[[str], None] = print,
) -> RunFolder:
    """Let a run go on in the background, and wait until it does.

    Args:
        folder: of the runs.
        name: of the run.
        seconds: to wait for its first step.
        tell: called with each sentence about how it goes on.
    Returns:
        The run as it stands then.
    Raises:
        RunError: if it cannot go on, with the training's own sentence.
    """
    path = find(folder, name)
    run = look(path)
    if run.state == DAMAGED:
        raise RunError(run.problem)
    if process := processes.running_process(path):
        raise RunError(
            f"{path.name} is running already, in process {process.pid}; there is nothing to resume"
        )
    if run.state == FINISHED:
        raise RunError(
            f"{path.name} is finished ({run.standing}); to go on give it more: python -m dqn_ref "
            f"train --resume --run-dir {path} --total-steps {2 * run.total_steps}"
        )
    where = str(path.absolute())
    started = processes.start_detached(["train", "--resume", "--quiet", "--run-dir", where], path)
    tell(f"{path.name}: starting from {run.standing}; what it prints goes to {started.log}")
    ready = started.wait(seconds)
    run = look(path)
    if not ready:
        tell(f"{path.name}: no step within {seconds:g} seconds; look again with `runs`")
        return run
    tell(f"{path.name}: {_described(run)}")
    if run.state == RUNNING:
        tell(f"it goes on in the background; stop it with: {_command('stop', folder, path.name)}")
    return run


def _described(run: RunFolder) -> str:
    return run.problem or f"{run.state}, {run.standing}"


def _command(what: str, folder: Path, name: str) -> str:
    elsewhere = "" if folder == Path("runs") else f" --folder {folder}"
    return f"python -m dqn_ref runs {what} {name}{elsewhere}"


# Cleaning up


def clean(folder: Path, tell: Callable[[str], None] = print) -> list[Path]:
    """Remove what killed trainings left behind and what holds nothing that anybody can use.

    These are files that were never finished (`*.partial`), names of processes that are gone, and
    requests to stop them. Folders in which somebody trains, or may, are left alone.

    Returns:
        The files that were removed.
    Raises:
        RunError: if there is no such folder.
    """
    removed: list[Path] = []
    for run_dir in _run_dirs(folder):
        try:
            if processes.running_process(run_dir) is None:
                removed += _remove_leftovers(run_dir)
        except (RunError, OSError) as error:
            tell(f"left as it is: {error}")
    for path in removed:
        tell(f"removed {path}")
    if not removed:
        tell(f"nothing to clean in {folder}")
    return removed


def _remove_leftovers(run_dir: Path) -> list[Path]:
    found = [path for path in sorted(run_dir.glob("*.partial")) if _is_plain_file(path)]
    names = (processes.PROCESS_FILE, processes.STOP_FILE)
    others = [run_dir / name for name in names if (run_dir / name).is_file()]
    if not found and not others:
        return []
    # No training begins in the meantime, and the claim takes the other two files with it.
    with processes.claim(run_dir):
        for path in found:
            path.unlink(missing_ok=True)
    return found + others


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def delete(
    folder: Path,
    names: Sequence[str],
    confirm: Callable[[str], bool],
    tell: Callable[[str], None] = print,
) -> list[Path]:
    """Delete whole runs after showing what is in them. One that must stay keeps all.

    Args:
        folder: of the runs.
        names: of the runs.
        confirm: called with the question; true deletes them.
        tell: called with each sentence.
    Returns:
        The folders that were deleted.
    Raises:
        RunError: if one of them is running or no run of this folder.
    """
    paths = list(dict.fromkeys(find(folder, name) for name in names))
    for path in paths:
        _refuse_deletion(path)
    for path in paths:
        tell(_contents(path))
    if not confirm(f"delete {', '.join(path.name for path in paths)} for good?"):
        tell("nothing was deleted")
        return []
    for path in paths:
        with processes.claim(path):  # no training begins in the meantime
            shutil.rmtree(path)
        tell(f"deleted {path}")
    return paths


def _refuse_deletion(path: Path) -> None:
    if path.is_symlink():
        raise RunError(f"{path} is a link to {path.resolve()}; remove the link itself by hand")
    if not (path / RECIPE_FILE).is_file():
        raise RunError(f"{path} is not a run: it holds no {RECIPE_FILE}; delete it by hand")
    if process := processes.running_process(path):
        raise RunError(
            f"{path.name} is running in process {process.pid}; stop it first with: "
            f"{_command('stop', path.parent, path.name)}"
        )


def _contents(path: Path) -> str:
    """A run, and the size of everything in its folder."""
    lines = [f"{path}: {_described(look(path))}"]
    for entry in sorted(path.iterdir()):
        name = entry.name + ("/" if entry.is_dir() else "")
        lines.append(f"  {_bytes_in(entry) / 1e6:10,.2f} MB  {name}")
    return "\n".join(lines)


def _bytes_in(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(file.lstat().st_size for file in files)


def ask(question: str) -> bool:
    """Ask on the terminal; anything but y or yes is no.

    Raises:
        RunError: if there is no terminal.
    """
    if not sys.stdin.isatty():
        raise RunError("there is no terminal to ask on; give --yes to delete without a question")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
