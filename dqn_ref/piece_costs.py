"""What a learner's replay memory costs, measured before a run begins: time and bytes.

The reference's keeps a frame once and says what it takes. A memory of another make may keep each
frame eight times, or as floats: then a run would end hours later, when the machine has no memory
left. So it is tried with a thousand transitions first.
"""

from __future__ import annotations

import gc
import sys
import time
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from dqn_ref.hardware import memory_bytes
from dqn_ref.pieces import REFERENCE
from dqn_ref.settings import Recipe

_TRANSITIONS, _EPISODE, _FRAMES = 1_000, 100, 64
_DRAWS = 20
_SECONDS = 1.0  # for adding, and for drawing, if the memory is slow
_SHARED = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)


class MemoryCost(NamedTuple):
    """Of one replay memory, with `_TRANSITIONS` in it."""

    add_seconds: float  # per transition
    sample_seconds: float  # per minibatch
    bytes: float  # per transition


def memory_cost(make: Callable[..., Any], recipe: Recipe) -> MemoryCost:
    """Try a replay memory; whatever error it raises is its own.

    Args:
        make: the piece `ReplayMemory`.
        recipe: for the sizes of frames, stacks and minibatches.
    """
    rng = np.random.default_rng(0)
    frames = rng.integers(256, size=(_FRAMES, *recipe.frame_shape), dtype=np.uint8)
    # Room for the last frame of each episode, and for a stack before the oldest transition.
    capacity = _TRANSITIONS + _TRANSITIONS // _EPISODE + recipe.stack_frames + 1
    memory = make(capacity, recipe.frame_shape, recipe.stack_frames, recipe.discount)
    begun = time.perf_counter()
    added = _fill(memory, frames)
    add_seconds = (time.perf_counter() - begun) / added
    draws = [_seconds(memory.sample, recipe.batch_size, rng)]
    while len(draws) < _DRAWS and sum(draws) < _SECONDS:
        draws.append(_seconds(memory.sample, recipe.batch_size, rng))
    return MemoryCost(add_seconds, float(np.median(draws)), held_bytes(memory) / added)


def beside_reference(own: MemoryCost, recipe: Recipe) -> str:
    """What a learner's memory costs beside the reference's, in a sentence."""
    reference = memory_cost(REFERENCE.ReplayMemory, recipe)
    per_frame = memory_bytes(recipe) / recipe.memory_frames
    return (
        f"your ReplayMemory (the reference's): {own.add_seconds * 1e6:,.0f} µs "
        f"({reference.add_seconds * 1e6:,.0f}) to add a transition, "
        f"{own.sample_seconds * 1e3:,.1f} ms ({reference.sample_seconds * 1e3:,.1f}) to draw "
        f"{recipe.batch_size}, {own.bytes:,.0f} bytes ({per_frame:,.0f}) for each transition"
    )


def _fill(memory: Any, frames: np.ndarray) -> int:
    """Add transitions in episodes; how many, if there is not the time for all."""
    deadline = time.perf_counter() + _SECONDS
    for count in range(_TRANSITIONS):
        # Copies: each frame of a game is an array of its own, too.
        if count % _EPISODE == 0:
            memory.begin(frames[count % _FRAMES].copy())
        last = count % _EPISODE == _EPISODE - 1
        memory.add(count % 2, 0.0, last, False, frames[(count + 1) % _FRAMES].copy())
        if time.perf_counter() > deadline:
            break
    return count + 1


def _seconds(call: Callable, *arguments) -> float:
    begun = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - begun


def held_bytes(thing: Any) -> int:
    """Bytes of an object and all that it refers to, data of arrays and tensors included.

    Each is counted once, and data of which only a view is kept as a whole: it stays as well.
    """
    seen: set[Any] = set()
    total, waiting = 0, [thing]
    while waiting:
        found = waiting.pop()
        if isinstance(found, _SHARED) or id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, torch.Tensor):
            storage = found.untyped_storage()
            key = ("storage", storage.data_ptr())
            total += 0 if key in seen else storage.nbytes()
            seen.add(key)
        elif isinstance(found, np.ndarray) and found.base is not None:
            waiting.append(found.base)
        else:
            total += sys.getsizeof(found)  # the data of an array that owns it included
            waiting += gc.get_referents(found)
    return total
