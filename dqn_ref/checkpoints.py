"""Checkpoints: everything a run needs to go on, in files that hold numbers and nothing else.

Weights and checkpoints are safetensors files: tensors and one JSON text, nothing that runs code
when it is read. Every file is written beside its place and then moved there, so that a kill at
any moment leaves the old file or the new one.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from dqn_ref.errors import CheckpointError
from dqn_ref.training import Counters, LoopParts


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor], about: dict[str, Any]) -> None:
    """Write tensors and a JSON-able description to one file, atomically.

    Raises:
        CheckpointError: if the file cannot be written.
    """
    plain = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    partial = path.with_name(path.name + ".partial")
    try:
        save_file(plain, partial, metadata={"about": json.dumps(about)})
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise CheckpointError(f"cannot write {path}: {error}; free some space or rights") from None


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote.

    Raises:
        CheckpointError: if the file is missing or damaged.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; name the file of weights in it")
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; check the path")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["about"])
            return {name: file.get_tensor(name) for name in file.keys()}, about
    except (SafetensorError, KeyError, json.JSONDecodeError):
        raise CheckpointError(
            f"{path} is damaged or was not written by this course; use another file"
        ) from None


def save_weights(path: Path, network: nn.Module, about: dict[str, Any], half: bool = False) -> None:
    """Write a network's weights; `half` stores them in 16 bits."""
    weights = network.state_dict()
    if half:
        weights = {name: tensor.half() for name, tensor in weights.items()}
    save_tensors(path, weights, about)


def load_weights(path: Path, network: nn.Module) -> dict[str, Any]:
    """Read weights into a network.

    Returns:
        The description stored with them.
    Raises:
        CheckpointError: if the file is damaged or belongs to another network.
    """
    tensors, about = load_tensors(path)
    load_state(network, tensors, str(path))
    return about


def load_state(network: nn.Module, tensors: Mapping[str, torch.Tensor], source: str) -> None:
    """Copy tensors into a network whose layers they fit.

    Raises:
        CheckpointError: if they belong to another network.
    """
    wanted = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in tensors.items()}
    if wanted != found:
        different = sorted(set(wanted.items()) ^ set(found.items()))
        raise CheckpointError(
            f"{source} holds the weights of another network (first difference: "
            f"{different[0][0]} {different[0][1]}); use the recipe they were trained with"
        )
    network.load_state_dict(tensors)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """An optimiser's state as named tensors, one per parameter and quantity."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, quantities in state.items()
        for name, value in quantities.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Read what `optimizer_tensors` gave back into an optimiser of the same kind.

    Files hold tensors row by row. The fused Adam walks through memory and does not look at
    strides, so each tensor gets the layout of its parameter (channels-last) back.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:
            tensor = torch.empty_like(parameter).copy_(tensor)
        else:
            tensor = tensor.clone()  # what is read from a file is a view of the mapped file
        state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def generator_state(rng: np.random.Generator) -> dict[str, Any]:
    """State of a NumPy generator as JSON-able integers."""
    return rng.bit_generator.state


def with_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names with `prefix.` in front."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with `prefix.`, without it."""
    start = prefix + "."
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


def save_checkpoint(path: Path, parts: LoopParts, wall_seconds: float) -> None:
    """Write networks, optimiser, counters and generators, and the memory if asked to."""
    learner = parts.learner
    tensors = {
        **with_prefix("online", learner.online.state_dict()),
        **with_prefix("target", learner.target.state_dict()),
        **with_prefix("optimizer", optimizer_tensors(learner.optimizer)),
        "torch_rng": torch.get_rng_state(),
    }
    about = {
        "counters": dataclasses.asdict(parts.counters),
        "wall_seconds": wall_seconds,
        "exploration_rng": generator_state(parts.exploration_rng),
        "sampling_rng": generator_state(parts.sampling_rng),
        "memory": None,
        "optimizer": parts.recipe.optimizer,
    }
    if parts.recipe.checkpoint_memory and hasattr(parts.memory, "state"):
        memory_tensors, about["memory"] = parts.memory.state()
        tensors |= with_prefix("memory", memory_tensors)
        games = _games_state(parts)
        if games is not None:
            game_tensors, about["games"] = games
            tensors |= game_tensors
    save_tensors(path, tensors, about)


def _games_state(parts: LoopParts) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """Games, stacks and scores under way; None if the games or the stacks cannot be saved."""
    if not (hasattr(parts.lanes, "state") and hasattr(parts.stack, "state")):
        return None
    lanes = parts.lanes.state()
    if lanes is None:
        return None
    stack_tensors, stack = parts.stack.state()
    tensors = {**with_prefix("lanes", lanes[0]), **with_prefix("stack", stack_tensors)}
    return tensors, {"lanes": lanes[1], "stack": stack, "tracker": parts.tracker.state()}


def _restore_games(
    parts: LoopParts, tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]
) -> None:
    parts.lanes.set_state(without_prefix("lanes", tensors), about["lanes"])
    parts.stack.set_state(without_prefix("stack", tensors), about["stack"])
    parts.tracker.set_state(about["tracker"])
    parts.games_restored = True


def load_checkpoint(path: Path, parts: LoopParts) -> float:
    """Bring an agent to where a checkpoint left it.

    Networks, optimiser, counters and generators are exact, and the memory if the checkpoint holds
    it; without it, learning pauses until `learning_starts` steps have filled a new one. Games
    that can be saved (the small ones) go on with the memory; Atari's start anew.

    Returns:
        Seconds of training before.
    Raises:
        CheckpointError: if the file is damaged or belongs to another recipe.
    """
    tensors, about = load_tensors(path)
    learner = parts.learner
    for name, network in (("online", learner.online), ("target", learner.target)):
        load_state(network, without_prefix(name, tensors), str(path))
    learner.refresh()
    optimizer = about.get("optimizer", parts.recipe.optimizer)
    if optimizer != parts.recipe.optimizer:
        raise CheckpointError(f"{path} holds the state of {optimizer}; resume with that optimizer")
    load_optimizer(learner.optimizer, without_prefix("optimizer", tensors))
    torch.set_rng_state(tensors["torch_rng"])
    parts.exploration_rng.bit_generator.state = about["exploration_rng"]
    parts.sampling_rng.bit_generator.state = about["sampling_rng"]
    counters = Counters(**about["counters"])
    if about["memory"] is not None and hasattr(parts.memory, "load_state"):
        try:
            memory_tensors = without_prefix("memory", tensors)
            parts.memory.load_state(memory_tensors, about["memory"])
        except ValueError as error:
            raise CheckpointError(f"{path} holds {error}") from None
    else:
        counters.memory_steps = counters.steps_owed = 0
    parts.counters = counters
    learner.updates = counters.updates
    if about.get("games") is not None and about["memory"] is not None:
        _restore_games(parts, tensors, about["games"])
    # Games after a resume differ from those before it.
    parts.start_seed = (parts.start_seed + 7919 * counters.steps) % 2**30
    return about["wall_seconds"]
