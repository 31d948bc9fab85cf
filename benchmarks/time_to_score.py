"""How long until Breakout is played at a given score: wall time, one agent after another.

    python -m benchmarks.time_to_score --minutes 25 --seeds 0 1 2 --out runs/time-to-score

Each run has the machine to itself, a process of its own, and the same number of minutes: recipe
`laptop` for every seed, then Stable-Baselines3 once. What counts is the mean over the last 100
training games: full games, all lives, unclipped points, with training's own random actions.

The clock of a run starts when its first game does and stands for everything that a run does,
logs and checkpoints included. A run that is complete is not made again, so a measurement that was
interrupted goes on with the next.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import describe_machine, installed_versions

SCORE_GAMES = 100
DONE_FILE = "done.json"
PEER = "sb3"


class Game(NamedTuple):
    """A game that ended in training."""

    agent_steps: int
    wall_seconds: float
    score: float


class Reached(NamedTuple):
    """When the mean score was first there."""

    agent_steps: int
    wall_seconds: float


def read_games(path: Path) -> list[Game]:
    """Games of a `games.csv`, in the order they ended."""
    with open(path, newline="") as file:
        return [
            Game(int(row["agent_steps"]), float(row["wall_seconds"]), float(row["score"]))
            for row in csv.DictReader(file)
        ]


def first_reached(games: Sequence[Game], score: float) -> Reached | None:
    """The first game after which the mean of the last 100 was at least `score`."""
    last: deque[float] = deque(maxlen=SCORE_GAMES)
    for game in games:
        last.append(game.score)
        if len(last) == SCORE_GAMES and sum(last) / SCORE_GAMES >= score:
            return Reached(game.agent_steps, game.wall_seconds)
    return None


def mean_of_last(games: Sequence[Game]) -> float | None:
    """Mean score of the last 100 games; none if there were fewer."""
    if len(games) < SCORE_GAMES:
        return None
    return sum(game.score for game in games[-SCORE_GAMES:]) / SCORE_GAMES


def summary(run_dir: Path, score: float) -> dict:
    """One run's line in the table."""
    games = read_games(run_dir / "games.csv")
    reached = first_reached(games, score)
    return {
        **json.loads((run_dir / DONE_FILE).read_text()),
        "games": len(games),
        "score": score,
        "reached_at_steps": reached.agent_steps if reached else None,
        "reached_after_seconds": reached.wall_seconds if reached else None,
        "mean_of_last_100": mean_of_last(games),
    }


# ---------------------------------------------------------------------------------------------
# The runs, each in a process of its own


def train_dqn_ref(run_dir: Path, seed: int, seconds: float, threads: int) -> dict:
    """Recipe `laptop` until the time is over."""
    from dqn_ref.recipes import get_recipe
    from dqn_ref.runs import train

    # More steps than anybody makes in the time: it is the clock that ends the run.
    recipe = get_recipe("laptop", seed=seed, threads=threads, total_steps=10**8)
    deadline: list[float] = []

    def time_is_over(parts) -> bool:
        if not deadline:
            deadline.append(time.perf_counter() + seconds)
        return time.perf_counter() >= deadline[0]

    parts = train(recipe, run_dir, show_bar=False, on_step=time_is_over)
    return {"agent_steps": parts.counters.steps, "updates": parts.counters.updates}


def train_sb3(run_dir: Path, seed: int, seconds: float, threads: int) -> dict:
    """Stable-Baselines3's DQN, with the settings that README.md lists, until the time is over."""
    import ale_py
    import gymnasium
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import VecFrameStack

    if threads:
        torch.set_num_threads(threads)
    gymnasium.register_envs(ale_py)
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    run_dir.mkdir(parents=True)
    total_steps = 10**8
    env = make_atari_env("BreakoutNoFrameskip-v4", n_envs=1, seed=seed)
    model = DQN(
        "CnnPolicy",
        VecFrameStack(env, n_stack=4),
        learning_rate=1e-4,
        buffer_size=100_000,
        learning_starts=10_000,
        batch_size=32,
        train_freq=4,
        gradient_steps=1,
        target_update_interval=1_000,
        exploration_initial_eps=1.0,
        exploration_final_eps=0.02,
        exploration_fraction=200_000 / total_steps,
        seed=seed,
        device="cpu",
    )

    class Log(BaseCallback):
        """Writes full games, as the monitor below the life wrapper sees them."""

        def _on_training_start(self) -> None:
            self.file = open(run_dir / "games.csv", "w", newline="")  # closed below
            self.writer = csv.writer(self.file)
            self.writer.writerow(Game._fields)
            self.start = time.perf_counter()

        def _on_step(self) -> bool:
            passed = time.perf_counter() - self.start
            for info in self.locals["infos"]:
                if "episode" in info:
                    self.writer.writerow(
                        [self.num_timesteps, f"{passed:.1f}", info["episode"]["r"]]
                    )
            return passed < seconds

        def _on_training_end(self) -> None:
            self.file.close()

    model.learn(total_steps, callback=Log())
    env.close()
    return {"agent_steps": model.num_timesteps, "updates": model._n_updates}


TRAINERS = {"dqn_ref": train_dqn_ref, PEER: train_sb3}


def work(options: argparse.Namespace) -> None:
    """Make one run; what it amounted to goes to a file that says that it is complete."""
    run_dir, seed = run_folder(options.out, options.worker, options.seeds[0]), options.seeds[0]
    facts = TRAINERS[options.worker](run_dir, seed, options.minutes * 60, options.threads)
    about = {
        "agent": options.worker,
        "seed": seed,
        "minutes": options.minutes,
        **facts,
        "machine": describe_machine(),
        "versions": installed_versions(),
    }
    (run_dir / DONE_FILE).write_text(json.dumps(about, indent=2) + "\n")


def run_folder(out: Path, agent: str, seed: int) -> Path:
    """Where a run lives."""
    return out / f"{agent}-seed-{seed}"


# ---------------------------------------------------------------------------------------------
# Command line


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.time_to_score",
        description="Wall time until the mean of 100 games of Breakout is at a score.",
    )
    parser.add_argument("--minutes", type=float, default=25.0, help="per run (default 25)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of laptop")
    parser.add_argument("--peer-seeds", type=int, nargs="*", default=[0], help=f"of {PEER}")
    parser.add_argument("--score", type=float, default=16.0, help="(default 16)")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch; 0: its own choice")
    parser.add_argument("--out", type=Path, default=Path("runs/time-to-score"))
    parser.add_argument("--worker", choices=list(TRAINERS), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    if options.worker:
        work(options)
        return 0
    runs = [("dqn_ref", seed) for seed in options.seeds]
    runs += [(PEER, seed) for seed in options.peer_seeds]
    lines = []
    for agent, seed in runs:
        folder = run_folder(options.out, agent, seed)
        if not (folder / DONE_FILE).exists():
            if folder.exists():
                print(f"{folder} was interrupted; delete it and start again.", file=sys.stderr)
                return 2
            print(f"{agent}, seed {seed}: {options.minutes:g} minutes", flush=True)
            status = start(agent, seed, options)
            if status:
                print(f"{agent}, seed {seed} ended with status {status}.", file=sys.stderr)
                return 1
        lines.append(summary(folder, options.score))
        print(describe(lines[-1]), flush=True)
    (options.out / "report.json").write_text(json.dumps(lines, indent=2) + "\n")
    return 0


def start(agent: str, seed: int, options: argparse.Namespace) -> int:
    """Make one run in a new process; its exit status."""
    flags = ["--worker", agent, "--seeds", str(seed), "--minutes", str(options.minutes)]
    flags += ["--threads", str(options.threads), "--out", str(options.out)]
    return subprocess.run([sys.executable, "-m", "benchmarks.time_to_score", *flags]).returncode


def describe(line: dict) -> str:
    """A run in one sentence."""
    if line["reached_after_seconds"] is None:
        when = f"mean {line['score']:g} not reached"
    else:
        minutes = line["reached_after_seconds"] / 60
        steps = line["reached_at_steps"]
        when = f"mean {line['score']:g} after {minutes:.1f} minutes, {steps:,} steps"
    last = line["mean_of_last_100"]
    end = "fewer than 100 games" if last is None else f"last 100 games {last:.1f}"
    return (
        f"{line['agent']}, seed {line['seed']}: {when}; at the end {line['agent_steps']:,} steps, "
        f"{line['updates']:,} updates, {end}"
    )


if __name__ == "__main__":
    sys.exit(main())
