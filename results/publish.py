"""Put a finished run into `results/`: half-precision weights, log, evaluation, curve.

    python results/publish.py RUN_DIR results/NAME --command "…" --machine "…" --commit … \\
        --stages 100000 500000 1000000

The weights that are evaluated are those that are shipped. Stages are the run's own snapshots, the
first at or after each of these steps; the name of such a file tells its step and its score. What
is written is itself a run folder, as far as `evaluate`, `watch` and `plot` of `python -m dqn_ref`
are concerned.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from dqn_ref.agents import evaluate_run, load_agent
from dqn_ref.checkpoints import load_tensors, save_weights
from dqn_ref.evaluation import EVALUATION_FRAMES
from dqn_ref.recipes import Recipe
from dqn_ref.reporting import plot_run, read_rows
from dqn_ref.runs import CHECKPOINT_FILE, RECIPE_FILE, SNAPSHOT_FOLDER, WEIGHTS_FILE

GAMES, SEED = 30, 0
STAGES_FOLDER = "stages"
EPSILONS = (0.05, 0.001)


def publish(
    run_dir: Path,
    target: Path,
    command: str,
    machine: str,
    commit: str,
    device: str = "cpu",
    games: int = GAMES,
    stages: Sequence[int] = (),
) -> dict:
    """Copy, shrink, evaluate (on `device`) and describe a run; the description.

    Raises:
        SystemExit: in one sentence, before anything is written, if a stage has no snapshot.
    """
    snapshots = [snapshot_of(run_dir, step) for step in stages]
    target.mkdir(parents=True)
    trained = Recipe.load(run_dir / RECIPE_FILE)
    _, learner = load_agent(run_dir)
    # Another machine makes its own choice of precision and threads.
    dataclasses.replace(trained, precision="auto", threads=0).save(target / RECIPE_FILE)
    for name in ("log.csv", "games.csv"):
        shutil.copy(run_dir / name, target / name)
    _, checkpoint = load_tensors(run_dir / CHECKPOINT_FILE)
    steps = checkpoint["counters"]["steps"]
    save_weights(target / WEIGHTS_FILE, learner.online, {"steps": steps}, half=True)
    try:
        plot_run(target, target / "curve.png")
    except ModuleNotFoundError as error:  # a server that only trains
        print(
            f"no learning curve, {error.name} is not installed: draw it elsewhere, with "
            "python -m dqn_ref plot"
        )
    score = float(read_rows(target / "log.csv")[-1]["score_mean"])  # nan: no game has ended
    description = {
        "command": command,
        "machine": machine,
        "commit": commit,
        "seed": trained.seed,
        "precision": trained.precision,
        "agent_steps": steps,
        "updates": checkpoint["counters"]["updates"],
        "wall_seconds": round(checkpoint["wall_seconds"]),
        "training_score_mean_of_100": None if math.isnan(score) else score,
        "evaluations": [evaluation(target, epsilon, device, games) for epsilon in EPSILONS],
        "stages": [keep_stage(path, target, device, games) for path in snapshots],
    }
    (target / "about.json").write_text(json.dumps(description, indent=2) + "\n")
    return description


def snapshot_of(run_dir: Path, step: int) -> Path:
    """The first of a run's snapshots at or after a step."""
    there = sorted((run_dir / SNAPSHOT_FOLDER).glob("*.safetensors"))
    later = [path for path in there if int(path.stem) >= step]
    if not later:
        raise SystemExit(f"{run_dir} has no snapshot at or after step {step:,}")
    return later[0]


def keep_stage(snapshot: Path, target: Path, device: str, games: int) -> dict:
    """Put a snapshot beside the last weights, in half precision, and evaluate what is there now."""
    folder, steps = target / STAGES_FOLDER, int(snapshot.stem)
    folder.mkdir(exist_ok=True)
    _, learner = load_agent(target, snapshot)
    new = folder / "new.safetensors"
    save_weights(new, learner.online, {"steps": steps}, half=True)
    described = evaluation(target, EPSILONS[0], device, games, new)
    name = f"{steps:07d}-score-{described['mean']:.0f}.safetensors"
    new.rename(folder / name)
    return {"weights": f"{STAGES_FOLDER}/{name}", "agent_steps": steps, **described}


def evaluation(
    run_dir: Path, epsilon: float, device: str, games: int, weights: Path | None = None
) -> dict:
    """The evaluation contract's numbers for the shipped weights, the last ones by default."""
    result = evaluate_run(run_dir, games, epsilon, SEED, weights, device=device)
    return {
        "epsilon": epsilon,
        "games": games,
        "seed": SEED,
        "max_frames_per_game": EVALUATION_FRAMES,
        "mean": round(result.mean, 2),
        "median": result.median,
        "std": round(result.std, 2),
        "truncated": result.truncated,
        "scores": result.scores,
    }


def main(publish: Callable[..., dict], description: str, stages: bool = False) -> None:
    """The command line of this script and of `publish_notebook.py`, which keeps no stages."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--command", required=True, help="that trained it")
    parser.add_argument("--machine", required=True, help="that it was trained on, and how busy")
    parser.add_argument("--commit", required=True, help="of the code that trained it")
    if stages:
        parser.add_argument("--stages", type=int, nargs="*", default=[], help="steps to keep")
    options = parser.parse_args()
    about = publish(**vars(options))
    print(json.dumps(about, indent=2))


if __name__ == "__main__":
    main(publish, __doc__.splitlines()[0], stages=True)
