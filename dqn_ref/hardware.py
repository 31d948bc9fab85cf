"""What this machine has: device, precision, memory."""

from __future__ import annotations

import contextlib
import time

import psutil
import torch

from dqn_ref.recipes import Recipe, RecipeError

# bf16 is chosen if it is at least this much faster in the measurement.
_BF16_ADVANTAGE = 1.3
_MATRIX_SIZE = 256


def choose_device(name: str) -> torch.device:
    """The device a recipe names; "auto" takes CUDA if there is any, otherwise the CPU.

    Raises:
        RecipeError: if the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    with contextlib.suppress(RuntimeError):  # raised for what is no device's name
        if available.get(name.split(":")[0], False):
            device = torch.device(name)
            if device.type != "cuda" or (device.index or 0) < torch.cuda.device_count():
                return device
    raise RecipeError(f"device {name!r} is not available here; use --device cpu or auto")


def choose_precision(name: str, device: torch.device) -> str:
    """ "fp32" or "bf16": as named, or chosen for "auto".

    CUDA takes bf16 where the GPU has it, MPS takes fp32. On a CPU the choice is measured, by
    multiplying two 256x256 matrices a few times in each precision. That is so small because a
    CPU without bf16 instructions emulates them, very slowly.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type != "cpu":
        return "fp32"
    fp32, bf16 = (_multiplication_seconds(dtype) for dtype in (torch.float32, torch.bfloat16))
    return "bf16" if bf16 * _BF16_ADVANTAGE < fp32 else "fp32"


def _multiplication_seconds(dtype: torch.dtype) -> float:
    """Shortest of a few timed products, at most about a tenth of a second in all."""
    matrix = torch.ones(_MATRIX_SIZE, _MATRIX_SIZE, dtype=dtype)
    best, deadline = float("inf"), time.perf_counter() + 0.1
    while time.perf_counter() < deadline or best == float("inf"):
        start = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - start)
    return best


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Context in which the networks compute in `precision`; weights stay fp32.

    The cache of converted weights is off: it lives as long as the context, so that a second
    update inside one context would compute with the weights of the first.
    """
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)
    return contextlib.nullcontext()


def memory_bytes(recipe: Recipe) -> int:
    """Bytes of the replay memory a recipe asks for: H x W + 11 per frame."""
    return recipe.memory_frames * (recipe.frame_height * recipe.frame_width + 11)


def refuse_if_too_large(recipe: Recipe, device: torch.device) -> None:
    """Refuse a replay memory that would not fit.

    Raises:
        RecipeError: naming the capacity that would.
    """
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = psutil.virtual_memory().available
    usable = int(free * 0.85)  # the rest is for networks, emulators and the system
    if memory_bytes(recipe) > usable:
        per_frame = memory_bytes(recipe) / recipe.memory_frames
        fits = int(usable / per_frame) // 1000 * 1000
        raise RecipeError(
            f"a memory of {recipe.memory_frames:,} frames takes "
            f"{memory_bytes(recipe) / 1e9:.1f} GB and {usable / 1e9:.1f} GB are free on "
            f"{device}; --memory-frames {fits} would fit"
        )
