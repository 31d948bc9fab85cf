"""One run: build the agent from a recipe and pieces, train it, keep it, bring it back.

runs/<name>/recipe.json        every setting, with the device and precision that were chosen
            machines.jsonl     what it ran on and why in that precision, a line per start
            log.csv games.csv  see dqn_ref.reporting
            tensorboard/
            checkpoint.safetensors   everything a resume needs
            weights.safetensors      the online network, last
            best.safetensors         of the best evaluation, if the recipe evaluates
            snapshots/               weights on the way, if the recipe keeps them
            intervals.csv or episodes.csv   see dqn_ref.printed
            process.json output.log  see dqn_ref.processes
            pieces.json pieces/      the learner's pieces, if any; see dqn_ref.own_pieces
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import gymnasium
import numpy as np
import torch

from dqn_ref import checkpoints, own_pieces, piece_costs
from dqn_ref.captured import GroupOfUpdates
from dqn_ref.evaluation import (
    evaluate_network,
)
from dqn_ref.hardware import (
    choose_device,
    flush_denormals,
    precision_choice,
    refuse_if_too_large,
)
from dqn_ref.learner import Learner
from dqn_ref.pieces import REFERENCE, Pieces
from dqn_ref.printed import open_printed_log
from dqn_ref.processes import Claim, claim, is_free
from dqn_ref.replay import FrameRing
from dqn_ref.reporting import Reporter, RunError
from dqn_ref.settings import Recipe, RecipeError
from dqn_ref.training import LoopParts

RECIPE_FILE = "recipe.json"
CHECKPOINT_FILE = "checkpoint.safetensors"
WEIGHTS_FILE = "weights.safetensors"
MACHINES_FILE = "machines.jsonl"
BEST_FILE = "best.safetensors"
SNAPSHOT_FOLDER = "snapshots"
# The best network is chosen on other games than those that `evaluate` reports on, so many at once.
_BEST_SEED, _BEST_GAMES = 500_000, 8


def resolve(recipe: Recipe, tell: Callable[[dict], None] = lambda machine: None) -> Recipe:
    """The recipe with "auto" replaced by what this machine chose.

    Args:
        recipe: the settings.
        tell: called with what was found, JSON-able, and why it was chosen.
    Raises:
        RecipeError: if the device is missing or the memory would not fit.
    """
    flush_denormals()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    device = choose_device(recipe.device)
    if device.type == "cuda":
        # Shapes never change, so trying the kernels out pays.
        torch.backends.cudnn.benchmark = True
    choice = precision_choice(recipe.precision, device)
    refuse_if_too_large(recipe, device)
    tell(
        {
            "device": str(device),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "precision": choice.precision,
            "precision_reason": choice.reason,
        }
    )
    return dataclasses.replace(recipe, device=str(device), precision=choice.precision)


def _note_machine(run_dir: Path, machine: dict) -> None:
    """Add a line to the run's list of the machines that worked on it."""
    with open(run_dir / MACHINES_FILE, "a") as file:
        file.write(json.dumps(machine) + "\n")


def build_network(recipe: Recipe, num_actions: int, pieces: Pieces = REFERENCE) -> torch.nn.Module:
    """The recipe's network with fresh weights, on its device, laid out channels-last.

    Channels-last brought an fp32 update from 21.9 ms to 13.3 ms (2 cores, median of 40).
    """
    try:
        network = pieces.QNetwork(
            num_actions,
            recipe.frame_shape,
            recipe.stack_frames,
            recipe.architecture,
            recipe.conv1_padding,
            recipe.initialisation,
        )
    except ValueError as error:
        if not pieces.is_reference("QNetwork"):  # a learner's error is the learner's to see
            raise
        raise RecipeError(str(error)) from None
    return network.to(recipe.device, memory_format=torch.channels_last)


def build_learner(
    recipe: Recipe, online: torch.nn.Module, precision: str, pieces: Pieces = REFERENCE
) -> Learner:
    """A learner for a network, in an arithmetic that may differ from the recipe's."""
    return Learner(
        recipe,
        online,
        precision,
        pieces.training_step,
        pieces.td_targets,
        pieces.huber_loss,
        pieces.update_target,
        pieces.NatureRMSProp,
    )


def build(
    recipe: Recipe,
    pieces: Pieces = REFERENCE,
    make_env: Callable[[], gymnasium.Env] | None = None,
) -> LoopParts:
    """Everything a training loop works with, fresh from the recipe's seed.

    Args:
        recipe: as `resolve` returned it.
        pieces: the learner's, the reference's, or some of each.
        make_env: environment of your own instead of the recipe's game.
    """
    torch.manual_seed(recipe.seed)
    lanes = pieces.make_lanes(recipe, recipe.lanes, make_env=make_env)
    online = build_network(recipe, len(lanes.action_names), pieces)
    shape = (recipe.frame_shape, recipe.stack_frames)
    if not pieces.own_memory:
        memory = FrameRing(
            recipe.memory_frames,
            recipe.lanes,
            *shape,
            recipe.discount,
            recipe.device,
            recipe.n_step,
        )
    else:
        if recipe.n_step > 1:
            raise RecipeError("n_step above 1 needs the reference's memory; set n_step=1")
        capacity = recipe.memory_frames // recipe.lanes
        memory = pieces.LaneMemories(
            [pieces.ReplayMemory(capacity, *shape, recipe.discount) for _ in range(recipe.lanes)]
        )
    learner = build_learner(recipe, online, recipe.precision, pieces)
    exploration, sampling = np.random.SeedSequence(recipe.seed).spawn(2)
    return LoopParts(
        recipe=recipe,
        lanes=lanes,
        stack=pieces.FrameStack(
            recipe.lanes, recipe.stack_frames, recipe.frame_shape, recipe.device
        ),
        memory=memory,
        learner=learner,
        epsilon_schedule=pieces.linear_schedule,
        epsilon_greedy=pieces.epsilon_greedy,
        clip_reward=pieces.clip_reward,
        exploration_rng=np.random.default_rng(exploration),
        sampling_rng=np.random.default_rng(sampling),
        start_seed=recipe.seed * 1_000_003 % 2**30,
        captured=(
            GroupOfUpdates(memory, learner, recipe.updates_at_once, recipe.batch_size)
            if _can_capture(recipe, pieces)
            else None
        ),
    )


def _can_capture(recipe: Recipe, pieces: Pieces) -> bool:
    """Whether the updates may become a CUDA graph: a learner's pieces may wait for the device."""
    names = ("QNetwork", "training_step", "td_targets", "huber_loss", "NatureRMSProp")
    own = all(pieces.is_reference(name) for name in names) and not pieces.own_memory
    # The one changes its epsilon from update to update, the other reports more than two numbers.
    plain = recipe.optimizer != "keras_adam" and recipe.print_log == "none"
    return own and plain and recipe.cuda_graph and torch.device(recipe.device).type == "cuda"


class Stopper:
    """Turns Ctrl-C and SIGTERM into "stop after this step", so that a checkpoint is written."""

    def __init__(self) -> None:
        self.stop = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Stopper:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._on_signal)
            except ValueError:  # not the main thread: its owner handles signals
                break
        return self

    def __exit__(self, *exc_info) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number, frame) -> None:
        if self.stop:  # asked twice: now, without a checkpoint
            raise KeyboardInterrupt
        self.stop = True


def train(
    recipe: Recipe,
    run_dir: Path,
    pieces: Pieces | None = None,
    resume: bool = False,
    show_bar: bool = True,
    make_env: Callable[[], gymnasium.Env] | None = None,
    on_step: Callable[[LoopParts], bool] | None = None,
) -> LoopParts:
    """Train an agent and keep everything in `run_dir`.

    Args:
        recipe: the settings; on resume, what `resume_recipe` returned.
        run_dir: a new folder, or on resume an existing run.
        pieces: the callables the agent is made of; None for the reference's, and on resume for
            those that the run was trained with, as far as they came from a folder.
        resume: go on from the last checkpoint.
        show_bar: draw a progress bar.
        make_env: environment of your own instead of the recipe's game.
        on_step: called after every step of the lanes; true ends the run.
    Returns:
        The agent as it stands at the end.
    Raises:
        RecipeError, RunError, CheckpointError: in one sentence, nothing overwritten.
    """
    if run_dir.exists() and not run_dir.is_dir():
        raise RunError(f"{run_dir} is a file; choose another --run-dir")
    with claim(run_dir) as claimed:
        if not resume and not is_free(run_dir):
            raise RunError(f"{run_dir} exists already; choose another --run-dir or give --resume")
        if pieces is None:
            pieces = own_pieces.kept_pieces(run_dir) if resume else REFERENCE
        return _train(recipe, run_dir, pieces, resume, show_bar, make_env, on_step, claimed)


def _train(
    recipe: Recipe,
    run_dir: Path,
    pieces: Pieces,
    resume: bool,
    show_bar: bool,
    make_env: Callable[[], gymnasium.Env] | None,
    on_step: Callable[[LoopParts], bool] | None,
    claimed: Claim,
) -> LoopParts:
    """`train` in a folder that is this process's own."""
    machine: dict = {}
    recipe = resolve(recipe, machine.update)
    recipe = _fit(recipe, pieces, show_bar)
    if show_bar:
        print(f"{recipe.precision} on {recipe.device}: {machine['precision_reason']}")
    parts = build(recipe, pieces, make_env)
    seconds_before = 0.0
    if resume and (run_dir / CHECKPOINT_FILE).exists():
        seconds_before = checkpoints.load_checkpoint(run_dir / CHECKPOINT_FILE, parts)
        _refuse_less_than_done(run_dir, recipe, parts.counters.steps)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        if not resume or isinstance(pieces, own_pieces.OwnPieces):
            own_pieces.keep_pieces(run_dir, pieces)
        recipe.save(run_dir / RECIPE_FILE)  # what makes a folder a run comes last
        _note_machine(run_dir, machine)
    except OSError as error:
        raise RunError(f"cannot write to {run_dir}: {error.strerror}; choose another") from None
    reporter = Reporter(
        run_dir,
        recipe.total_steps,
        recipe.log_every_steps,
        parts.counters.steps,
        seconds_before,
        show_bar and recipe.print_log == "none",
    )
    printed = open_printed_log(
        run_dir, recipe, parts.counters.steps, partial(print, flush=True) if show_bar else None
    )
    open_lanes = partial(pieces.make_lanes, make_env=make_env)
    keeper = _Keeper(run_dir, reporter, pieces, open_lanes, recipe, parts.counters.steps)
    try:
        with Stopper() as stopper:

            def after_step(parts: LoopParts, rows) -> bool:
                reporter.on_step(parts)
                if printed is not None:
                    printed.on_step(parts, rows)
                keeper.on_step(parts)
                stop = stopper.stop or claimed.asked_to_stop()
                return stop or (on_step is not None and on_step(parts))

            pieces.training_loop(parts, recipe.total_steps, after_step)
            reporter.finish(parts)
            keeper.save(parts)
    finally:
        reporter.close()
        if printed is not None:
            printed.close()
        parts.lanes.close()
    return parts


def _refuse_less_than_done(run_dir: Path, recipe: Recipe, steps: int) -> None:
    """A run that is complete may be resumed; nothing happens then. A shorter one is a mistake."""
    if recipe.total_steps + recipe.lanes <= steps:
        raise RunError(
            f"{run_dir} has {steps:,} steps already; to go on, give more than that as --total-steps"
        )


def _fit(recipe: Recipe, pieces: Pieces, tell_costs: bool) -> Recipe:
    """The recipe as it can be trained with these pieces; says what had to change.

    Raises:
        RecipeError: if a learner's replay memory would not fit.
    """
    recipe, changes = own_pieces.fit_recipe(recipe, pieces)
    if isinstance(pieces, own_pieces.OwnPieces):
        print(pieces)
    for sentence in changes:
        print(sentence)
    if not pieces.is_reference("ReplayMemory"):
        cost = piece_costs.memory_cost(pieces.ReplayMemory, recipe)
        if tell_costs:
            print(piece_costs.beside_reference(cost, recipe))
        refuse_if_too_large(recipe, torch.device("cpu"), cost.bytes)
    return recipe


class _Keeper:
    """Writes checkpoints, and keeps the best network where the recipe evaluates."""

    def __init__(
        self,
        run_dir: Path,
        reporter: Reporter,
        pieces: Pieces,
        open_lanes: Callable,
        recipe: Recipe,
        from_step: int,
    ):
        self.run_dir, self.reporter, self.pieces = run_dir, reporter, pieces
        self.open_lanes = open_lanes
        self._snapshot = _Clock(recipe.snapshot_every_steps, from_step)
        self._weights = _Clock(recipe.weights_every_steps, from_step)
        self._checkpoint = _Clock(recipe.checkpoint_every_steps, from_step)
        self._evaluation = _Clock(recipe.eval_every_steps, from_step)

    def on_step(self, parts: LoopParts) -> None:
        steps = parts.counters.steps
        if self._snapshot.due(steps):
            folder = self.run_dir / SNAPSHOT_FOLDER
            folder.mkdir(exist_ok=True)
            self._save_weights(folder / f"{steps:010d}.safetensors", parts)
        if self._weights.due(steps):
            self._save_weights(self.run_dir / WEIGHTS_FILE, parts)
        if self._checkpoint.due(steps):
            self.save(parts)
        if self._evaluation.due(steps):
            self._keep_best(parts)

    def save(self, parts: LoopParts) -> None:
        """Write checkpoint and weights."""
        self.reporter.refuse_nan()
        wall_seconds = self.reporter.wall_seconds
        checkpoints.save_checkpoint(self.run_dir / CHECKPOINT_FILE, parts, wall_seconds)
        self._save_weights(self.run_dir / WEIGHTS_FILE, parts)

    def _save_weights(self, path: Path, parts: LoopParts) -> None:
        self.reporter.refuse_nan()
        about = {
            "steps": parts.counters.steps,
            "score_mean": _json_number(self.reporter.score_mean),
        }
        checkpoints.save_weights(path, parts.learner.online, about)

    def _keep_best(self, parts: LoopParts) -> None:
        """Play full games for at least `eval_steps` steps; keep the network with the best mean.

        Nature plays one game after another for exactly that many steps.
        """
        recipe, path = parts.recipe, self.run_dir / BEST_FILE
        scores: list[float] = []
        steps, seed = 0, _BEST_SEED
        while steps < recipe.eval_steps:
            result = evaluate_network(
                recipe,
                parts.learner.q_values,
                games=_BEST_GAMES,
                epsilon=recipe.eval_epsilon,
                seed=seed,
                device=recipe.device,
                play=self.pieces.evaluate,
                choose=self.pieces.epsilon_greedy,
                make_stack=self.pieces.FrameStack,
                open_lanes=self.open_lanes,
            )
            scores += result.scores
            steps += sum(result.steps)
            seed += _BEST_GAMES
        mean = float(np.mean(scores))
        best = checkpoints.load_tensors(path)[1]["score"] if path.exists() else -np.inf
        if mean > best:
            about = {"steps": parts.counters.steps, "score": mean, "games": len(scores)}
            checkpoints.save_weights(path, parts.learner.online, about)


class _Clock:
    """Says when another `every` steps have passed; with 0 it never does."""

    def __init__(self, every: int, from_step: int):
        self._every, self._last = every, from_step

    def due(self, steps: int) -> bool:
        due = self._every > 0 and steps // self._every > self._last // self._every
        if due:
            self._last = steps
        return due


def _json_number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 3)


# What a network's weights mean depends on these, also where another value happens to fit.
_MADE_FOR = {"game", "frame_height", "frame_width", "stack_frames", "architecture", "conv1_padding"}


def resume_recipe(run_dir: Path, **changes) -> Recipe:
    """The recipe of an existing run, for `train(..., resume=True)`.

    Raises:
        RecipeError: if there is no run, or its network was made for another picture or game.
    """
    recipe = Recipe.load(run_dir / RECIPE_FILE)
    for name in _MADE_FOR & changes.keys():
        if changes[name] != getattr(recipe, name):
            raise RecipeError(
                f"{run_dir} was begun with --{name.replace('_', '-')} {getattr(recipe, name)}, and "
                "its network was made for that; choose another --run-dir for a new run"
            )
    return dataclasses.replace(recipe, **changes)
