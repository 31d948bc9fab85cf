"""What this machine has: device, precision, memory."""

from __future__ import annotations

import contextlib
import time
from typing import NamedTuple

import numpy as np
import psutil
import torch

from dqn_ref.settings import Recipe, RecipeError

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


class PrecisionChoice(NamedTuple):
    """What the networks compute in, and why, in a few words."""

    precision: str
    reason: str


def choose_precision(name: str, device: torch.device) -> str:
    """ "fp32" or "bf16": see `precision_choice`."""
    return precision_choice(name, device).precision


def precision_choice(name: str, device: torch.device) -> PrecisionChoice:
    """ "fp32" or "bf16": as named, or chosen for "auto".

    CUDA takes bf16 where the GPU has it, MPS takes fp32. On a CPU the choice is measured, by
    multiplying two 256x256 matrices a few times in each precision. That is so small because a
    CPU without bf16 instructions emulates them, very slowly. The memory layout is not measured:
    channels-last was the faster one with AVX-512 and with AVX2 alike.
    """
    if name != "auto":
        return PrecisionChoice(name, "as the recipe says")
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return PrecisionChoice("bf16" if native else "fp32", "what this GPU computes natively")
    if device.type != "cpu":
        return PrecisionChoice("fp32", f"not measured on {device.type}")
    fp32, bf16 = (_multiplication_seconds(dtype) for dtype in (torch.float32, torch.bfloat16))
    size = f"{_MATRIX_SIZE}x{_MATRIX_SIZE}"
    reason = f"a product of {size} takes {fp32 * 1e3:.2f} ms in fp32, {bf16 * 1e3:.2f} in bf16"
    return PrecisionChoice("bf16" if bf16 * _BF16_ADVANTAGE < fp32 else "fp32", reason)


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


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array on `device`; on CUDA the host does not wait for it.

    That takes page-locked memory: from ordinary memory the driver waits until everything
    queued before has run, the updates of this turn among it.
    """
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def flush_denormals() -> None:
    """Let numbers below 1e-38 count as zero, in threads that start from now on, too.

    The moments Adam keeps for weights without gradient shrink until they get there, and a
    processor is many times slower with them: 8 % fewer milliseconds per step after 3,000 steps of
    Breakout (2 CPU threads, medians of 4 runs).
    """
    torch.set_flush_denormal(True)  # false, and nothing happens, where a CPU cannot


def memory_bytes(recipe: Recipe) -> int:
    """Bytes of the replay memory a recipe asks for: H x W + 12 per frame."""
    return recipe.memory_frames * (recipe.frame_height * recipe.frame_width + 12)


def refuse_if_too_large(
    recipe: Recipe, device: torch.device, bytes_per_frame: float | None = None
) -> None:
    """Refuse a replay memory that would not fit.

    Args:
        recipe: asks for so many frames.
        device: where they shall be.
        bytes_per_frame: of another memory than the reference's.
    Raises:
        RecipeError: naming the capacity that would.
    """
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = psutil.virtual_memory().available
    usable = int(free * 0.85)  # the rest is for networks, emulators and the system
    per_frame = bytes_per_frame or memory_bytes(recipe) / recipe.memory_frames
    wanted = per_frame * recipe.memory_frames
    if wanted > usable:
        fits = int(usable / per_frame) // 1000 * 1000
        raise RecipeError(
            f"a memory of {recipe.memory_frames:,} frames takes "
            f"{wanted / 1e9:.1f} GB, and {usable / 1e9:.1f} GB of the {free / 1e9:.1f} GB free on "
            f"{device} may be taken; --memory-frames {fits} would fit"
        )
