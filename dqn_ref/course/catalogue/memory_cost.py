"""What a replay memory costs: time beside the reference's, and bytes per step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dqn_ref.piece_costs import held_bytes

_CAPACITY = 64
_PLENTY = 2.5  # times a frame: more bytes per step than that are worth a remark
_FRAME = 84 * 84


def _filled(make: Callable):
    """A memory of 84 × 84 frames that is full, and has been for a while."""
    frames = np.random.default_rng(0).integers(1, 256, size=(8, 84, 84), dtype=np.uint8)
    memory = make(_CAPACITY)
    memory.begin(frames[0])
    for number in range(_CAPACITY + 8):
        memory.add(number % 4, 1.0, False, False, frames[number % 8].copy())
    return memory, frames


def four_steps_and_a_minibatch(make: Callable) -> Callable[[], None]:
    """What the Nature recipe asks of a memory for each update."""
    memory, frames = _filled(make)
    rng = np.random.default_rng(1)

    def work() -> None:
        for frame in frames[:4]:
            memory.add(1, 0.0, False, False, frame)
        memory.sample(32, rng)

    return work


def bytes_remark(make: Callable) -> str:
    """A sentence for memories that hold frames several times, or in a large dtype; else ""."""
    memory, _ = _filled(make)
    per_step = held_bytes(memory) / _CAPACITY
    if per_step < _PLENTY * _FRAME:
        return ""
    return (
        f"Each step takes {per_step:,.0f} bytes in your memory, and a frame is {_FRAME:,}: a "
        f"million steps need {per_step / 1000:.0f} GB, where single frames need 7."
    )
