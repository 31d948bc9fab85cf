"""Put a finished run into `results/`: half-precision weights, log, evaluation, curve.

    python results/publish.py RUN_DIR results/NAME --command "…" --machine "…"

The weights that are evaluated are those that are shipped. What is written is itself a run
folder, as far as `evaluate`, `watch` and `plot` of `python -m dqn_ref` are concerned.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from pathlib import Path

from dqn_ref.agents import evaluate_run
from dqn_ref.checkpoints import load_tensors, save_tensors
from dqn_ref.reporting import history, plot_run
from dqn_ref.runs import CHECKPOINT_FILE, RECIPE_FILE, WEIGHTS_FILE

GAMES, SEED = 30, 0
EPSILONS = (0.05, 0.001)


def publish(run_dir: Path, target: Path, command: str, machine: str, commit: str) -> dict:
    """Copy, shrink, evaluate and describe a run; the description."""
    target.mkdir(parents=True)
    for name in (RECIPE_FILE, "log.csv", "games.csv"):
        shutil.copy(run_dir / name, target / name)
    weights, about = load_tensors(run_dir / WEIGHTS_FILE)
    save_tensors(target / WEIGHTS_FILE, {n: w.half() for n, w in weights.items()}, about)
    plot_run(target, target / "curve.png")
    last = history(target).iloc[-1]
    _, checkpoint = load_tensors(run_dir / CHECKPOINT_FILE)
    description = {
        "command": command,
        "machine": machine,
        "commit": commit,
        "seed": json.loads((target / RECIPE_FILE).read_text())["seed"],
        "agent_steps": checkpoint["counters"]["steps"],
        "updates": checkpoint["counters"]["updates"],
        "wall_seconds": round(checkpoint["wall_seconds"]),
        "training_score": {"mean_of_last_100_games": float(last["score_mean"])},
        "evaluations": [evaluation(target, epsilon) for epsilon in EPSILONS],
    }
    (target / "about.json").write_text(json.dumps(description, indent=2) + "\n")
    return description


def evaluation(run_dir: Path, epsilon: float) -> dict:
    """The evaluation contract's numbers for the shipped weights."""
    result = evaluate_run(run_dir, GAMES, epsilon, SEED)
    return {
        "epsilon": epsilon,
        "games": GAMES,
        "seed": SEED,
        "max_frames_per_game": 18_000,
        "mean": round(result.mean, 2),
        "median": result.median,
        "std": round(result.std, 2),
        "truncated": result.truncated,
        "scores": result.scores,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--command", required=True, help="that trained it")
    parser.add_argument("--machine", required=True, help="that it was trained on, and how busy")
    parser.add_argument("--commit", help="of the code that trained it; default: the present one")
    options = parser.parse_args()
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    commit = options.commit or head.stdout.strip()
    about = publish(options.run_dir, options.target, options.command, options.machine, commit)
    print(json.dumps(about, indent=2))


if __name__ == "__main__":
    main()
