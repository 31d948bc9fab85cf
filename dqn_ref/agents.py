"""A trained agent at play: bring it back from its run, score it, film it."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from dqn_ref.checkpoints import load_weights
from dqn_ref.errors import CheckpointError, RunError
from dqn_ref.evaluation import (
    EVALUATION_FRAMES,
    Evaluation,
    Policy,
    evaluate_network,
    greedy_policy,
)
from dqn_ref.hardware import choose_precision
from dqn_ref.learner import Learner
from dqn_ref.own_pieces import kept_pieces
from dqn_ref.pieces import Pieces
from dqn_ref.runs import RECIPE_FILE, WEIGHTS_FILE, build_learner, build_network
from dqn_ref.settings import Recipe
from dqn_ref.video import write_gif
from dqn_ref.watching import Moment, game_fps, moments, picture


def load_agent(
    run_dir: Path,
    weights: Path | None = None,
    precision: str | None = None,
    device: str = "cpu",
    pieces: Pieces | None = None,
) -> tuple[Recipe, Learner]:
    """A trained agent, by default on the CPU.

    Args:
        run_dir: a run, for its recipe and last weights.
        weights: other weights of the same network.
        precision: "fp32", "bf16" or "auto" instead of the run's own; bf16 is very slow on a CPU
            without instructions for it.
        device: where it computes.
        pieces: what it is made of; None for the pieces that the run has kept.
    Raises:
        RecipeError, RunError, CheckpointError: in one sentence.
    """
    pieces = pieces or kept_pieces(run_dir)
    recipe = dataclasses.replace(Recipe.load(run_dir / RECIPE_FILE), device=device, lanes=1)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    lanes = pieces.make_lanes(recipe, 1)
    num_actions = len(lanes.action_names)
    lanes.close()
    network = build_network(recipe, num_actions, pieces)
    path = weights or run_dir / WEIGHTS_FILE
    if weights is None and not path.exists():
        raise CheckpointError(f"{run_dir} has no weights yet; wait for its first checkpoint")
    load_weights(path, network)
    chosen = choose_precision(precision or recipe.precision, torch.device(device))
    return recipe, build_learner(recipe, network, chosen, pieces)


def evaluate_run(
    run_dir: Path,
    games: int,
    epsilon: float,
    seed: int,
    weights: Path | None = None,
    precision: str | None = None,
    device: str = "cpu",
    max_frames: int = EVALUATION_FRAMES,
) -> Evaluation:
    """Score a run's last weights under the evaluation contract.

    `max_frames` is the limit per game in emulator frames; 0 leaves the recipe's own.
    """
    pieces = kept_pieces(run_dir)
    recipe, learner = load_agent(run_dir, weights, precision, device, pieces)
    return evaluate_network(
        recipe,
        learner.q_values,
        games,
        epsilon,
        seed,
        max_frames=max_frames,
        device=device,
        play=pieces.evaluate,
        choose=pieces.epsilon_greedy,
        make_stack=pieces.FrameStack,
        open_lanes=pieces.make_lanes,
    )


def play_run(
    run_dir: Path,
    epsilon: float,
    seed: int,
    weights: Path | None = None,
    precision: str | None = None,
    policy: Policy | None = None,
    pieces: Pieces | None = None,
) -> tuple[Generator[Moment, None, None], Recipe]:
    """Game after game of a run's last weights, every emulator frame of them; and its recipe.

    Args:
        run_dir, weights, precision: see `load_agent`.
        epsilon: probability of a random action.
        seed: of the games and of the draws.
        policy: see `dqn_ref.watching.moments`; None for the run's own network.
        pieces: see `load_agent`.
    """
    pieces = pieces or kept_pieces(run_dir)
    recipe, learner = load_agent(run_dir, weights, precision, pieces=pieces)
    rng = np.random.default_rng([seed, 0xF11])
    policy = policy or greedy_policy(learner.q_values, epsilon, rng, pieces.epsilon_greedy)
    game = moments(
        recipe,
        policy,
        seed + 10_000,
        EVALUATION_FRAMES,
        open_lanes=pieces.make_lanes,
        make_stack=pieces.FrameStack,
    )
    return game, recipe


class Film(NamedTuple):
    """What was filmed."""

    score: float  # points of the game up to the film's end
    frames: int  # of the emulator, the one after the reset included
    seconds: float  # how long they take to play
    end: str  # how the game ended, "over" or "cut off"; "" if the film ends before it


def film_run(
    run_dir: Path,
    video: Path,
    epsilon: float,
    seed: int,
    weights: Path | None = None,
    precision: str | None = None,
    view: str = "colour",
    label: bool = False,
    seconds: float | None = None,
    overwrite: bool = False,
) -> Film:
    """Film a game of a run's last weights.

    An mp4 keeps every emulator frame, at 60 frames per second: the speed of the console, and the
    eye mends the sprites that flicker. A GIF cannot be that fast and keeps every third frame, at
    the same speed; sprites drawn in every second frame are in every second picture then.

    Args:
        run_dir, weights, precision: see `load_agent`.
        video: the file to write, `.mp4` or `.gif`.
        epsilon: probability of a random action.
        seed: of the game and of the draws.
        view, label: see `dqn_ref.watching.picture`.
        seconds: length of the film; None for the whole game, which is cut off at 18,000 frames.
        overwrite: replace a file that has this name already, once the new film is complete.
    Raises:
        RunError, RecipeError, CheckpointError: in one sentence; no file is changed.
    """
    _refuse_place(video, overwrite)
    pieces = kept_pieces(run_dir)
    game, recipe = play_run(run_dir, epsilon, seed, weights, precision, pieces=pieces)
    fps = game_fps(recipe)
    is_gif = video.suffix == ".gif"
    # Hundredths of a second are a GIF's unit, and browsers slow down frames of less than two.
    every = 3 if is_gif and fps > 50 else 1
    length = sys.maxsize if seconds is None else max(1, round(min(seconds, 1e9) * fps))
    last: Moment | None = None
    frames = 0

    def pictures() -> Iterator[np.ndarray]:
        """Drawn as they are played: a long game never stands in memory as a whole."""
        nonlocal last, frames
        for last in islice(game, length):
            if frames % every == 0:
                yield picture(last, view, label)
            frames += 1
            if last.end:
                return

    with closing(game):
        (write_gif if is_gif else pieces.write_video)(pictures(), video, fps=fps / every)
    return Film(last.score, frames, frames / fps, last.end)


def _refuse_place(video: Path, overwrite: bool) -> None:
    """Raise RunError where a film cannot or may not be written."""
    if video.suffix not in (".mp4", ".gif"):
        raise RunError(f"the video's name must end in .mp4 or .gif, not {video.name!r}")
    if video.is_dir():
        raise RunError(f"{video} is a folder; choose another name for the video")
    if os.path.lexists(video) and not overwrite:
        raise RunError(f"{video} exists already; choose another name or give --overwrite")
