"""A trained agent at play: bring it back from its run, score it, film it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from dqn_ref.checkpoints import load_weights
from dqn_ref.environments import make_lanes
from dqn_ref.errors import CheckpointError, RunError
from dqn_ref.evaluation import (
    EVALUATION_FRAMES,
    Evaluation,
    Game,
    GameTracker,
    decisions,
    evaluate_network,
    greedy_policy,
)
from dqn_ref.frames import FrameStack
from dqn_ref.hardware import choose_precision
from dqn_ref.learner import Learner
from dqn_ref.recipes import Recipe
from dqn_ref.runs import RECIPE_FILE, WEIGHTS_FILE, build_network
from dqn_ref.video import write_video


def load_agent(
    run_dir: Path,
    weights: Path | None = None,
    precision: str | None = None,
    device: str = "cpu",
) -> tuple[Recipe, Learner]:
    """A trained agent, by default on the CPU.

    Args:
        run_dir: a run, for its recipe and last weights.
        weights: other weights of the same network.
        precision: "fp32", "bf16" or "auto" instead of the run's own; bf16 is very slow on a CPU
            without instructions for it.
        device: where it computes.
    Raises:
        RecipeError, CheckpointError: in one sentence.
    """
    recipe = dataclasses.replace(Recipe.load(run_dir / RECIPE_FILE), device=device, lanes=1)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    lanes = make_lanes(recipe, 1)
    num_actions = len(lanes.action_names)
    lanes.close()
    network = build_network(recipe, num_actions)
    path = weights or run_dir / WEIGHTS_FILE
    if weights is None and not path.exists():
        raise CheckpointError(f"{run_dir} has no weights yet; wait for its first checkpoint")
    load_weights(path, network)
    chosen = choose_precision(precision or recipe.precision, torch.device(device))
    return recipe, Learner(recipe, network, chosen)


def evaluate_run(
    run_dir: Path,
    games: int,
    epsilon: float,
    seed: int,
    weights: Path | None = None,
    precision: str | None = None,
    device: str = "cpu",
) -> Evaluation:
    """Score a run's last weights under the evaluation contract."""
    recipe, learner = load_agent(run_dir, weights, precision, device)
    return evaluate_network(recipe, learner.q_values, games, epsilon, seed, device=device)


def film_run(
    run_dir: Path,
    video: Path,
    epsilon: float,
    seed: int,
    weights: Path | None = None,
    precision: str | None = None,
) -> float:
    """Film one full game of a run's last weights in full colour.

    Every emulator frame is kept, at 60 frames per second: the speed of the console, and the eye
    mends the sprites that flicker.

    Returns:
        The score of the filmed game.
    """
    if video.suffix != ".mp4":
        raise RunError(f"the video's name must end in .mp4, not {video.name!r}")
    recipe, learner = load_agent(run_dir, weights, precision)
    frames: list[np.ndarray] = []
    lanes = make_lanes(recipe, 1, max_frames=EVALUATION_FRAMES, on_frame=frames.append)
    stack = FrameStack(1, recipe.stack_frames, recipe.frame_shape)
    policy = greedy_policy(learner.q_values, epsilon, np.random.default_rng([seed, 0xF11]))
    games: list[Game] = []

    def film() -> Iterator[np.ndarray]:
        """The frames as they are played: a long game never stands in memory as a whole."""
        tracker = GameTracker(1)
        for rows in decisions(lanes, stack, policy, recipe.terminal_on_life_loss, seed + 10_000):
            yield from frames
            frames.clear()
            games.extend(tracker.update(rows))
            if games:
                return

    try:
        write_video(film(), video, fps=60)
    finally:
        lanes.close()
    return games[0].score
