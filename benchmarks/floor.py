"""The floor of an update: what its arithmetic alone would take on this machine.

    FLOP of an update            from the network's layers, `update_flop`
    / FLOP per second            of a large matrix product, `matrix_rate`
    = floor, seconds per update

The rate is measured in the contender's own process: same precision, threads and instruction
sets. What an update really takes is compared with the floor, and `timed_methods` tells in which
part of the training loop the difference is spent.

torch is imported where it is used: the parent process, which prints the result, needs none.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

SMALLEST_MATRIX, LARGEST_MATRIX = 256, 2048  # rows and columns


# ---------------------------------------------------------------------------------------------
# FLOP


def forward_flop(network: Any, states: Any) -> list[int]:
    """FLOP of each layer with weights, in order, in one forward pass.

    A multiplication and an addition are two FLOP. Each number that a convolution or a linear
    layer puts out is a sum over as many products as one of its filters has weights. Biases,
    ReLUs and the division by 255 are left out: under 1 %.

    Args:
        network: `torch.nn.Module`.
        states: what it takes, a whole batch.
    """
    import torch

    counts: list[int] = []

    def count(layer: Any, inputs: Any, outputs: Any) -> None:
        counts.append(2 * outputs.numel() * layer.weight[0].numel())

    kinds = torch.nn.Conv2d | torch.nn.Linear
    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, kinds)]
    try:
        with torch.no_grad():
            network(states)
    finally:
        for hook in hooks:
            hook.remove()
    return counts


def update_flop(forward: Sequence[int]) -> int:
    """FLOP of one update without Double.

    Args:
        forward: of each layer for the whole batch, from `forward_flop`.
    """
    online_forward = target_forward = sum(forward)
    weight_gradients = sum(forward)  # as many products as the forward pass has
    input_gradients = sum(forward[1:])  # as many again, but nobody asks for the pixels' gradient
    return online_forward + target_forward + weight_gradients + input_gradients


# ---------------------------------------------------------------------------------------------
# FLOP per second


def matrix_rate(precision: str, seconds: float) -> dict[str, float]:
    """The rate of a large square matrix product, with this process's threads.

    The matrices begin small and grow as long as there is time: without bf16 instructions one
    product of the largest ones in bf16 takes minutes.

    Args:
        precision: "fp32" or "bf16".
        seconds: how long to measure, about.
    Returns:
        `matrix_size` (rows), `gflop_per_second` (of the fastest product: a floor has to be one)
        and `median_gflop_per_second`.
    """
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    deadline = time.perf_counter() + seconds
    size = SMALLEST_MATRIX
    product = _product(size, dtype)
    product()  # starts threads, compiles kernels
    while size < LARGEST_MATRIX and 8 * _seconds(product) < (deadline - time.perf_counter()) / 4:
        size *= 2
        product = _product(size, dtype)
        product()
    times = [_seconds(product)]
    while time.perf_counter() < deadline:
        times.append(_seconds(product))
    gflop = 2 * size**3 / 1e9
    return {
        "matrix_size": size,
        "gflop_per_second": gflop / min(times),
        "median_gflop_per_second": gflop / statistics.median(times),
    }


def _product(size: int, dtype: Any) -> Callable[[], Any]:
    import torch

    a, b = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    out = torch.empty(size, size, dtype=dtype)  # no time goes into finding memory
    return lambda: torch.mm(a, b, out=out)


def _seconds(function: Callable[[], Any]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


# ---------------------------------------------------------------------------------------------
# Where the time goes


class Method(NamedTuple):
    """A method that is to be timed."""

    part: str  # of the loop: what its time is booked under
    owner: Any
    name: str


@contextlib.contextmanager
def timed_methods(methods: Sequence[Method]) -> Iterator[dict[str, float]]:
    """Time methods of objects as long as the context lasts; yields seconds by part.

    The timer is set on the object, where it hides the class's method; other objects of the
    class are not timed.
    """
    seconds = dict.fromkeys((method.part for method in methods), 0.0)

    def timed(part: str, function: Callable) -> Callable:
        def call(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                seconds[part] += time.perf_counter() - started

        return call

    for method in methods:
        setattr(method.owner, method.name, timed(method.part, getattr(method.owner, method.name)))
    try:
        yield seconds
    finally:
        for method in methods:
            delattr(method.owner, method.name)


# ---------------------------------------------------------------------------------------------
# The result


def compare_with_floor(
    dissection: dict[str, Any], entry: dict[str, Any], train_every_steps: int
) -> dict[str, Any]:
    """The floor and what was measured, per update.

    Args:
        dissection: from the contender's worker, see `benchmarks.peers.DqnRefWorker.dissect`.
        entry: the same contender's entry in the report.
        train_every_steps: agent steps per update.
    """
    matrix, profile = dissection["matrix"], dissection["profile"]
    flop = update_flop(dissection["forward_flop"])
    floor_ms = flop / matrix["gflop_per_second"] / 1e6
    measured_ms = 1e3 * train_every_steps / entry["steps_per_second"]
    return {
        "precision": entry["precision"],
        "threads": entry["threads"],
        "cpu_capability": entry["cpu_capability"],
        "forward_flop_by_layer": dissection["forward_flop"],
        "flop_per_update": flop,
        **matrix,
        "floor_ms_per_update": floor_ms,
        "floor_steps_per_second": 1e3 * train_every_steps / floor_ms,
        "measured_ms_per_update": measured_ms,
        "measured_over_floor": measured_ms / floor_ms,
        "profile_steps": profile["steps"],
        "profile_ms_per_update": {
            part: 1e3 * seconds / profile["updates"] for part, seconds in profile["seconds"].items()
        },
    }


def format_floor(name: str, floor: dict[str, Any]) -> list[str]:
    """The comparison as lines for people."""
    parts = floor["profile_ms_per_update"]
    return [
        f"Floor of {name} ({floor['cpu_capability']}, {floor['precision']}, "
        f"{floor['threads']} thread(s)): {floor['flop_per_update'] / 1e9:.2f} GFLOP per update at "
        f"{floor['gflop_per_second']:.0f} GFLOP/s "
        f"(product of {floor['matrix_size']}x{floor['matrix_size']} matrices)",
        f"  floor     {floor['floor_ms_per_update']:6.2f} ms per update, "
        f"{floor['floor_steps_per_second']:.0f} steps/s",
        f"  measured  {floor['measured_ms_per_update']:6.2f} ms per update, "
        f"{floor['measured_over_floor']:.1f} times the floor",
        f"  profiled  {sum(parts.values()):6.2f} ms per update: "
        + ", ".join(f"{part} {ms:.2f}" for part, ms in parts.items()),
    ]
