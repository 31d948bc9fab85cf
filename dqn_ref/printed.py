"""The two old notebooks' logs: a line per interval, or a line per game.

    Interval 2 (10,000 steps performed): 83 episodes - episode_reward: 1.217 [0.000, 4.000] - …
    60/500000: episode: 2, duration: 2.31s, episode steps: 41, steps per second: 18, …

Names and order are keras-rl's; the numbers are mended. Its mean absolute and mean squared error
compared the value of each action not taken with 0, and its lives were summed over the repetitions
of a step: `print_artefacts` adds these, under names that say so. The same rows go to
`intervals.csv` or `episodes.csv` in the run's folder.

`mean_q` is the mean of max Q(s, ·) over the minibatches, as it was there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from dqn_ref.environments import Rows
from dqn_ref.learner import Diagnostics, Metrics
from dqn_ref.reporting import CsvLog
from dqn_ref.settings import Recipe
from dqn_ref.training import LoopParts

INTERVAL_COLUMNS = (
    "agent_steps",  # at the end of the interval
    "interval",
    "steps_before",
    "episodes",  # full games that ended in it
    "reward_mean",  # of those games, unclipped points
    "reward_min",
    "reward_max",
    "loss",
    "mean_absolute_error",
    "mean_q",
    "mean_eps",
    "ale_lives",  # mean over the steps
    "mean_absolute_artefact",
    "ale_lives_artefact",
)
EPISODE_COLUMNS = (
    "agent_steps",
    "episode",
    "duration",  # seconds
    "episode_steps",
    "steps_per_second",
    "episode_reward",
    "reward_mean",  # per step
    "reward_min",
    "reward_max",
    "action_mean",
    "action_min",
    "action_max",
    "observation_mean",  # grey level of the preprocessed frames
    "observation_min",
    "observation_max",
    "loss",
    "mean_squared_error",
    "mean_q",
    "mean_eps",
    "mean_squared_artefact",
)


def open_printed_log(
    run_dir: Path, recipe: Recipe, from_step: int, write: Callable[[str], None] | None
) -> IntervalLog | EpisodeLog | None:
    """The log a recipe asks for, or None.

    Args:
        run_dir: where its rows go.
        recipe: `print_log` chooses.
        from_step: where the run resumes; later rows of an interrupted run are dropped.
        write: prints a line; None for nobody.
    """
    kinds = {"interval": IntervalLog, "episode": EpisodeLog}
    if recipe.print_log == "none":
        return None
    return kinds[recipe.print_log](run_dir, recipe, from_step, write)


class Span:
    """Smallest, largest and mean of numbers that come one after another."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0
        self.min, self.max = math.inf, -math.inf

    def add(self, values: np.ndarray) -> None:
        """Take in numbers of any shape."""
        if values.size:
            self.total += float(values.sum(dtype=np.float64))
            self.count += values.size
            self.min = min(self.min, float(values.min()))
            self.max = max(self.max, float(values.max()))

    @property
    def mean(self) -> float:
        """nan if there were none."""
        return self.total / self.count if self.count else math.nan

    def columns(self, name: str) -> dict[str, float]:
        """`name_mean`, `name_min` and `name_max`; nan if there were no numbers."""
        low, high = (self.min, self.max) if self.count else (math.nan, math.nan)
        return {f"{name}_mean": self.mean, f"{name}_min": low, f"{name}_max": high}


class Updates:
    """Means over the updates since they were last asked for."""

    def __init__(self) -> None:
        self._metrics: list[Metrics] = []

    def add(self, metrics: list[Metrics]) -> None:
        self._metrics += metrics

    def take(self) -> dict[str, float]:
        """`loss` and the names of `Diagnostics`; nan if there were no updates, or none of these."""
        metrics, self._metrics = self._metrics, []
        found = {"loss": _mean([each.loss for each in metrics])}
        # A learner's own step may report the loss and no more.
        full = [each.diagnostics for each in metrics if each.diagnostics is not None]
        for name in Diagnostics._fields:
            found[name] = _mean([getattr(each, name) for each in full])
        return found


def _mean(values: list[torch.Tensor]) -> float:
    return torch.stack(values).mean().item() if values else math.nan


class IntervalLog:
    """One line every `log_every_steps` steps: the second old notebook's. See `open_printed_log`."""

    def __init__(
        self,
        run_dir: Path,
        recipe: Recipe,
        from_step: int,
        write: Callable[[str], None] | None,
    ):
        self._file = CsvLog(run_dir / "intervals.csv", INTERVAL_COLUMNS, from_step)
        self._recipe, self._write = recipe, write
        self._from_step = from_step
        self._updates = Updates()
        self._begin()

    def _begin(self) -> None:
        self._scores, self._epsilon, self._lives = Span(), Span(), Span()

    def on_step(self, parts: LoopParts, rows: Rows) -> None:
        """Take in one step of the lanes."""
        stepped = ~rows.reset_row
        self._scores.add(np.array([game.score for game in parts.finished]))
        self._epsilon.add(parts.epsilon()[stepped])
        self._lives.add(rows.lives[stepped])
        self._updates.add(parts.metrics)
        steps, every = parts.counters.steps, self._recipe.log_every_steps
        if steps // every > self._from_step // every:
            self._end(steps)

    def _end(self, steps: int) -> None:
        every, updates = self._recipe.log_every_steps, self._updates.take()
        row = {
            "agent_steps": steps,
            "interval": self._from_step // every + 1,
            "steps_before": self._from_step // every * every,
            "episodes": self._scores.count,
            **self._scores.columns("reward"),
            "loss": updates["loss"],
            "mean_absolute_error": updates["absolute_error"],
            "mean_q": updates["q_max"],
            "mean_eps": self._epsilon.mean,
            "ale_lives": self._lives.mean,
            "mean_absolute_artefact": updates["absolute_artefact"],
            "ale_lives_artefact": self._lives.mean * self._recipe.repeat_actions,
        }
        self._file.write(**_rounded(row))
        if self._write is not None:
            self._write(self.line(row))
        self._from_step = steps
        self._begin()

    def line(self, row: dict[str, float]) -> str:
        """A row as it is printed."""
        parts = [
            f"Interval {row['interval']} ({row['steps_before']:,} steps performed): "
            f"{row['episodes']} episodes"
        ]
        if row["episodes"]:
            low, high = row["reward_min"], row["reward_max"]
            parts.append(f"episode_reward: {row['reward_mean']:.3f} [{low:.3f}, {high:.3f}]")
        names = ["loss", "mean_absolute_error", "mean_q", "mean_eps", "ale_lives"]
        if self._recipe.print_artefacts:
            names += ["mean_absolute_artefact", "ale_lives_artefact"]
        return " - ".join(parts + _named(row, names))

    def close(self) -> None:
        self._file.close()


class EpisodeLog:
    """One line per game: the first old notebook's. See `open_printed_log`."""

    def __init__(
        self,
        run_dir: Path,
        recipe: Recipe,
        from_step: int,
        write: Callable[[str], None] | None,
    ):
        self._file = CsvLog(run_dir / "episodes.csv", EPISODE_COLUMNS, from_step)
        self._recipe, self._write = recipe, write
        self._games = len(self._file.rows)
        self._updates = Updates()
        self._epsilon = Span()
        self._lanes = [_LaneSpans() for _ in range(recipe.lanes)]

    def on_step(self, parts: LoopParts, rows: Rows) -> None:
        """Take in one step of the lanes."""
        self._updates.add(parts.metrics)
        self._epsilon.add(parts.epsilon()[~rows.reset_row])
        for lane in np.flatnonzero(~rows.reset_row):
            self._lanes[lane].add(parts.actions[lane], rows.rewards[lane], rows.frames[lane])
        for game in parts.finished:
            self._end(parts.counters.steps, game.lane, game.score, game.steps)

    def _end(self, steps: int, lane: int, score: float, episode_steps: int) -> None:
        self._games += 1
        seen, self._lanes[lane] = self._lanes[lane], _LaneSpans()
        epsilon, self._epsilon = self._epsilon, Span()
        duration = time.perf_counter() - seen.started
        updates = self._updates.take()
        row = {
            "agent_steps": steps,
            "episode": self._games,
            "duration": duration,
            "episode_steps": episode_steps,
            "steps_per_second": episode_steps / duration,
            "episode_reward": score,
            **seen.rewards.columns("reward"),
            **seen.actions.columns("action"),
            **seen.observations.columns("observation"),
            "loss": updates["loss"],
            "mean_squared_error": updates["squared_error"],
            "mean_q": updates["q_max"],
            "mean_eps": epsilon.mean,
            "mean_squared_artefact": updates["squared_artefact"],
        }
        self._file.write(**_rounded(row))
        if self._write is not None:
            self._write(self.line(row))

    def line(self, row: dict[str, float]) -> str:
        """A row as it is printed."""

        def span(name: str) -> str:
            mean, low, high = (row[f"{name}_{which}"] for which in ("mean", "min", "max"))
            return f"mean {name}: {mean:.3f} [{low:.3f}, {high:.3f}]"

        names = ["loss", "mean_squared_error", "mean_q", "mean_eps"]
        if self._recipe.print_artefacts:
            names.append("mean_squared_artefact")
        return ", ".join(
            [
                f"{row['agent_steps']}/{self._recipe.total_steps}: episode: {row['episode']}",
                f"duration: {row['duration']:.3f}s",
                f"episode steps: {row['episode_steps']}",
                f"steps per second: {row['steps_per_second']:.0f}",
                f"episode reward: {row['episode_reward']:.3f}",
                *(span(name) for name in ("reward", "action", "observation")),
                *_named(row, names),
            ]
        )

    def close(self) -> None:
        self._file.close()


class _LaneSpans:
    """What a lane's game has seen so far."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.actions, self.rewards, self.observations = Span(), Span(), Span()

    def add(self, action: np.ndarray, reward: np.ndarray, frame: np.ndarray) -> None:
        self.actions.add(np.asarray(action))
        self.rewards.add(np.asarray(reward))
        self.observations.add(frame)


def _named(row: dict[str, float], names: list[str]) -> list[str]:
    """`name: value` for what is known."""
    return [f"{name}: {row[name]:.3f}" for name in names if not math.isnan(row[name])]


def _rounded(row: dict[str, float]) -> dict[str, float | str]:
    """Six digits; empty where nothing is known."""

    def text(value: float) -> float | str:
        if math.isnan(value):
            return ""
        return value if isinstance(value, int) else float(f"{value:.6g}")

    return {name: text(value) for name, value in row.items()}
