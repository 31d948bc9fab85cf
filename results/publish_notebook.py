"""Put a run of an old notebook's recipe into `results/notebooks/`: its log, drawn over the old one.

    python results/publish_notebook.py RUN_DIR results/notebooks/NAME --command "…" --machine "…" \\
        --commit …

What the second notebook printed stands in `results/notebooks/notebook_b_original.csv`: 37 of its
intervals. Of the first one four games are known. Weights are not kept: they show nothing yet after
so few steps.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from publish import main

from dqn_ref.checkpoints import load_tensors
from dqn_ref.recipes import Recipe
from dqn_ref.reporting import history
from dqn_ref.runs import CHECKPOINT_FILE, MACHINES_FILE, RECIPE_FILE

ORIGINAL_B = Path(__file__).parent / "notebooks" / "notebook_b_original.csv"
# Of the first notebook, which was cut off after 110,460 steps: episode and its score.
ORIGINAL_A = ((1, 4), (2, 3), (1480, 14), (1481, 13))
LOGS = {"interval": "intervals.csv", "episode": "episodes.csv"}
THEIRS, OURS = "#d55e00", "#0072b2"
GAMES = 100  # in a moving mean
_FURTHER = 100_000  # steps


def publish(run_dir: Path, target: Path, command: str, machine: str, commit: str) -> dict:
    """Copy the logs, draw them, and describe the run; the description.

    Nothing may stand at `target` yet.
    """
    recipe = Recipe.load(run_dir / RECIPE_FILE)
    _, checkpoint = load_tensors(run_dir / CHECKPOINT_FILE)
    target.mkdir(parents=True)
    for name in (RECIPE_FILE, MACHINES_FILE, "log.csv", LOGS[recipe.print_log]):
        shutil.copy(run_dir / name, target / name)
    figure = draw(target, recipe)
    figure.savefig(target / "comparison.png", dpi=120)
    log = history(target)
    description = {
        "command": command,
        "machine": machine,
        "commit": commit,
        "seed": recipe.seed,
        "precision": recipe.precision,
        "agent_steps": checkpoint["counters"]["steps"],
        "updates": checkpoint["counters"]["updates"],
        "games": checkpoint["counters"]["games"],
        "wall_seconds": round(checkpoint["wall_seconds"]),
        "score_mean_of_100": float(log["score_mean"].iloc[-1]),
    }
    (target / "about.json").write_text(json.dumps(description, indent=2) + "\n")
    return description


def draw(folder: Path, recipe: Recipe) -> Figure:
    """A published run over what is known of its notebook."""
    figure = Figure(figsize=(8, 6), layout="constrained", facecolor="white")
    score_axes, q_axes = figure.subplots(2, sharex=True)
    (draw_intervals if recipe.print_log == "interval" else draw_episodes)(
        folder, score_axes, q_axes
    )
    q_axes.set_xlabel("agent steps (thousands)")
    q_axes.set_ylabel("mean of max Q")
    score_axes.set_ylabel("score of a full game (points)")
    score_axes.legend(loc="upper left")
    for axes in (score_axes, q_axes):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_intervals(folder: Path, score_axes: Axes, q_axes: Axes) -> None:
    """Both logs of `notebook_b`, the old one a bit further than this run has come."""
    ours = pandas.read_csv(folder / LOGS["interval"])
    theirs = pandas.read_csv(ORIGINAL_B)
    theirs = theirs[theirs["steps_before"] < ours["agent_steps"].max() + _FURTHER]
    for log, color, style, name in (
        (theirs, THEIRS, "o", "the notebook's log, the intervals that are known"),
        (ours, OURS, "-", "this course, the same settings"),
    ):
        steps = (log["steps_before"] + 5_000) / 1000  # the middle of the interval
        score_axes.plot(steps, log["reward_mean"], style, color=color, label=name)
        q_axes.plot(steps, log["mean_q"], style, color=color)
    score_axes.set_title("notebook_b: mean of the games that ended in 10,000 steps")


def draw_episodes(folder: Path, score_axes: Axes, q_axes: Axes) -> None:
    """The games of `notebook_a`, and the four that are known of the notebook's."""
    ours = pandas.read_csv(folder / LOGS["episode"])
    steps = ours["agent_steps"] / 1000
    score_axes.plot(steps, ours["episode_reward"], ".", color="#999999", markersize=2)
    moving = ours["episode_reward"].rolling(GAMES).mean()
    score_axes.plot(steps, moving, color=OURS, label=f"this course, mean of {GAMES} games")
    episodes, scores = np.array(ORIGINAL_A).T
    # The notebook's first games were at its start, its last ones at step 110,460.
    where = np.where(episodes < 100, 0, 110.46)
    score_axes.plot(where, scores, "o", color=THEIRS, label="four games of the notebook's log")
    q_axes.plot(steps, ours["mean_q"], color=OURS, linewidth=0.5)
    score_axes.set_title("notebook_a, as written")


if __name__ == "__main__":
    main(publish, __doc__.splitlines()[0])
