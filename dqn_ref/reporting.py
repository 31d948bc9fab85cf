"""What a run tells: progress bar, log.csv, games.csv, TensorBoard, learning curve.

`log.csv` has one row per `log_every_steps`, `games.csv` one row per full game. Scores are the
game's own points, over all lives, with the random actions of training.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections import deque
from pathlib import Path

import torch
from tqdm.auto import tqdm

from dqn_ref.errors import RunError
from dqn_ref.evaluation import Game
from dqn_ref.learner import Metrics
from dqn_ref.training import LoopParts

LOG_COLUMNS = (
    "agent_steps",  # decisions so far
    "wall_seconds",  # of training so far, over all resumes
    "updates",
    "episodes",  # full games finished so far
    "score_mean",  # over the last 100 full games, unclipped
    "score_min",
    "score_max",
    "epsilon",  # of the next step
    "loss",  # mean over the updates since the last row
    "q_mean",  # mean Q(s, a) of the transitions in those updates
    "steps_per_second",  # since the last row
)
GAME_COLUMNS = ("agent_steps", "wall_seconds", "score", "steps", "frames", "truncated")
SCORE_GAMES = 100


class CsvLog:
    """A CSV file that survives kills: rows beyond a checkpoint are dropped on resume."""

    def __init__(self, path: Path, columns: tuple[str, ...], keep_to_step: int):
        try:
            rows = [row for row in read_rows(path) if int(row["agent_steps"]) <= keep_to_step]
        except (KeyError, ValueError):
            raise RunError(f"{path} is damaged; move it away and resume again") from None
        partial = path.with_name(path.name + ".partial")
        with open(partial, "w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(path)
        self.rows = rows
        self._file = open(path, "a", newline="")  # closed by `close`
        self._writer = csv.DictWriter(self._file, columns)

    def write(self, **row) -> None:
        """Append one row; it is on its way to the disk when this returns."""
        self._writer.writerow(row)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_rows(path: Path) -> list[dict[str, str]]:
    """Complete rows of a CSV log; none if there is no file. A torn last row is left out."""
    if not path.is_file():
        return []
    return [row for row in csv.DictReader(_complete_lines(path)) if None not in row.values()]


def _complete_lines(path: Path) -> list[str]:
    text = path.read_text()
    return text[: text.rfind("\n") + 1].splitlines()


class Reporter:
    """Collects what happens in a run and writes it out.

    Args:
        run_dir: the run's folder.
        total_steps: for the bar and the remaining time.
        log_every_steps: steps between rows of log.csv.
        from_step: where the run resumes; later rows of an interrupted run are dropped.
        wall_seconds: of training before the resume.
        show_bar: draw a progress bar.
    """

    def __init__(
        self,
        run_dir: Path,
        total_steps: int,
        log_every_steps: int,
        from_step: int = 0,
        wall_seconds: float = 0.0,
        show_bar: bool = True,
    ):
        # Imported here: it takes a second that `evaluate` and `plot` need not spend.
        from torch.utils.tensorboard import SummaryWriter

        self._log = CsvLog(run_dir / "log.csv", LOG_COLUMNS, from_step)
        self._games = CsvLog(run_dir / "games.csv", GAME_COLUMNS, from_step)
        self._board = SummaryWriter(str(run_dir / "tensorboard"), purge_step=from_step + 1)
        self._scores = deque((float(row["score"]) for row in self._games.rows), SCORE_GAMES)
        self._every = log_every_steps
        self._next_row = (from_step // log_every_steps + 1) * log_every_steps
        self._metrics: list[Metrics] = []
        self._seconds_before = wall_seconds
        self._started = self._row_time = time.perf_counter()
        self._row_step = from_step
        self._bar = tqdm(
            total=total_steps,
            initial=from_step,
            unit=" steps",
            disable=not show_bar,
            dynamic_ncols=True,
            mininterval=0.5,
        )

    @property
    def wall_seconds(self) -> float:
        """Of training so far, over all resumes."""
        return self._seconds_before + time.perf_counter() - self._started

    @property
    def score_mean(self) -> float:
        """Over the last 100 full games; nan before the first one has ended."""
        return sum(self._scores) / len(self._scores) if self._scores else math.nan

    def on_step(self, parts: LoopParts) -> None:
        """Take in one step of the lanes."""
        steps = parts.counters.steps
        self._metrics += parts.metrics
        for game in parts.finished:
            self._on_game(game, steps)
        # Lanes step together: the last turn may go beyond the total, and the bar would fall apart.
        self._bar.update(min(steps, self._bar.total) - self._bar.n)
        if steps >= self._next_row:
            self._next_row = (steps // self._every + 1) * self._every
            self._write_row(parts)

    def _on_game(self, game: Game, steps: int) -> None:
        self._scores.append(game.score)
        self._games.write(
            agent_steps=steps,
            wall_seconds=f"{self.wall_seconds:.1f}",
            score=f"{game.score:g}",
            steps=game.steps,
            frames=game.frames,
            truncated=int(game.truncated),
        )
        self._board.add_scalar("game/score", game.score, steps)
        self._bar.set_postfix_str(f"score {self.score_mean:.1f}", refresh=False)

    def _write_row(self, parts: LoopParts) -> None:
        now, steps = time.perf_counter(), parts.counters.steps
        loss, q_mean = self._mean_metrics()
        row = {
            "agent_steps": steps,
            "wall_seconds": round(self.wall_seconds, 1),
            "updates": parts.counters.updates,
            "episodes": parts.counters.games,
            "score_mean": round(self.score_mean, 3),
            "score_min": min(self._scores, default=math.nan),
            "score_max": max(self._scores, default=math.nan),
            "epsilon": round(float(parts.epsilon()[0]), 5),
            "loss": loss,
            "q_mean": q_mean,
            "steps_per_second": round((steps - self._row_step) / (now - self._row_time), 1),
        }
        self._row_step, self._row_time = steps, now
        self._log.write(**row)
        for name in ("score_mean", "epsilon", "loss", "q_mean", "steps_per_second"):
            if not math.isnan(row[name]):
                self._board.add_scalar(f"train/{name}", row[name], steps)

    def _mean_metrics(self) -> tuple[float, float]:
        """Mean loss and Q since the last row; nan before the first update."""
        self.refuse_nan()
        if not self._metrics:
            return math.nan, math.nan
        loss = torch.stack([metrics.loss for metrics in self._metrics]).mean().item()
        q_mean = torch.stack([metrics.q_mean for metrics in self._metrics]).mean().item()
        self._metrics.clear()
        return float(f"{loss:.6g}"), float(f"{q_mean:.6g}")

    def refuse_nan(self) -> None:
        """Stop a run that has gone wrong, before its weights replace a good checkpoint.

        Raises:
            RunError: if a loss since the last row is not a finite number.
        """
        if self._metrics and not torch.stack([m.loss for m in self._metrics]).isfinite().all():
            raise RunError(
                "the loss is not a finite number any more; resume from the last checkpoint with "
                "a smaller --learning-rate"
            )

    def finish(self, parts: LoopParts) -> None:
        """Write the row of the last, unfinished interval."""
        if parts.counters.steps > self._row_step:
            self._write_row(parts)

    def close(self) -> None:
        self._bar.close()
        self._log.close()
        self._games.close()
        self._board.close()


def history(run_dir: Path):
    """`log.csv` of a run as a pandas DataFrame, one row per interval."""
    import pandas

    path = run_dir / "log.csv"
    if not path.is_file():
        raise RunError(f"{run_dir} holds no log.csv: is it a run?")
    try:
        log = pandas.read_csv(io.StringIO("\n".join(_complete_lines(path))))
    except ValueError:  # pandas' own errors among them
        log = None
    if log is None or not {"agent_steps", "score_mean", "q_mean", "loss"} <= set(log.columns):
        raise RunError(f"{path} is empty or damaged; is {run_dir} a run?")
    return log


def plot_run(run_dir: Path, path: Path) -> Path:
    """Draw a run's learning curve: score, Q-values and loss over steps.

    Args:
        run_dir: a run.
        path: of the picture to write; the ending decides the format.
    Raises:
        RunError: if there is nothing to draw yet, or no picture can have this name.
    """
    if path.is_dir():
        raise RunError(f"{path} is a folder; name a file in it, for example {path / 'curve.png'}")
    if not path.suffix:  # matplotlib would write another file than the one that is named
        raise RunError(f"the picture's name must end in .png, .svg or .pdf, not {path.name!r}")
    from matplotlib.figure import Figure

    log = history(run_dir)
    if log.empty:
        raise RunError(f"{run_dir}/log.csv has no rows yet; wait for the first one")
    steps = log["agent_steps"] / 1000
    figure = Figure(figsize=(8, 7), layout="constrained", facecolor="white")
    score_axes, q_axes, loss_axes = figure.subplots(3, sharex=True)
    games = read_rows(run_dir / "games.csv")
    score_axes.plot(
        [int(game["agent_steps"]) / 1000 for game in games],
        [float(game["score"]) for game in games],
        ".",
        color="#999999",
        markersize=2,
        label="one game",
    )
    score_axes.plot(steps, log["score_mean"], color="#0072b2", label="mean of the last 100")
    score_axes.set_ylabel("score (points)")
    score_axes.legend(loc="upper left")
    q_axes.plot(steps, log["q_mean"], color="#d55e00")
    q_axes.set_ylabel("mean Q(s, a)")
    loss_axes.plot(steps, log["loss"], color="#009e73")
    loss_axes.set_ylabel("loss")
    loss_axes.set_xlabel("agent steps (thousands)")
    score_axes.set_title(run_dir.resolve().name)
    for axes in (score_axes, q_axes, loss_axes):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    try:
        figure.savefig(path, dpi=120)
    except ValueError as error:  # an ending that is no picture's
        raise RunError(f"cannot write {path}: {error}") from None
    return path
