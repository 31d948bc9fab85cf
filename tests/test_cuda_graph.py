"""Pitfall 38: a training step captured in a CUDA graph goes on being the training step.

The comparison itself is proven on the CPU, with a right and a broken way to repeat a step; only
the capture needs a GPU.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from dqn_ref.learner import LearnerParts, huber_loss, make_optimizer, td_targets, training_step
from dqn_ref.network import QNetwork
from dqn_ref.recipes import get_recipe
from dqn_ref.replay import Batch

RECIPE = get_recipe("mnih2015")  # its optimiser is ours, and keeps no counter on the host


def make_parts(device: str) -> LearnerParts:
    torch.manual_seed(0)
    online, target = (QNetwork(4, (36, 36)).to(device) for _ in range(2))
    optimizer = make_optimizer(RECIPE, online.parameters())
    return LearnerParts(
        online, target, optimizer, td_targets, huber_loss, 1.0, RECIPE.loss_reduction, False
    )


def make_batches(device: str, count: int = 50) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)

    def frames() -> torch.Tensor:
        return torch.randint(0, 256, (32, 4, 36, 36), generator=generator, dtype=torch.uint8)

    return [
        Batch(
            frames(),
            torch.randint(0, 4, (32,), generator=generator),
            torch.randn(32, generator=generator),
            torch.full((32,), 0.99),
            torch.rand(32, generator=generator) < 0.1,
            frames(),
        ).to(device)
        for _ in range(count)
    ]


class Plain:
    """Repeats a step by calling the function again."""

    def __init__(self, parts: LearnerParts, batch: Batch):
        self.parts = parts

    def __call__(self, batch: Batch) -> None:
        training_step(self.parts, batch)


class Stale(Plain):
    """Broken: repeats the step on the batch it first saw, as a graph without new inputs does."""

    def __init__(self, parts: LearnerParts, batch: Batch):
        super().__init__(parts, batch)
        self.batch = batch

    def __call__(self, batch: Batch) -> None:
        super().__call__(self.batch)


class Captured:
    """Repeats a step by replaying one capture of it on new inputs."""

    def __init__(self, parts: LearnerParts, batch: Batch):
        self.batch = Batch(*(field.clone() for field in batch))
        weights = [p.detach().clone() for p in parts.online.parameters()]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # warm up, as capture demands
            for _ in range(3):
                training_step(parts, self.batch)
        torch.cuda.current_stream().wait_stream(side)
        parts.optimizer.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            training_step(parts, self.batch)
        with torch.no_grad():  # forget the warm-up, in place: the graph knows these addresses
            for parameter, before in zip(parts.online.parameters(), weights, strict=True):
                parameter.copy_(before)
            for state in parts.optimizer.state.values():
                for tensor in state.values():
                    tensor.zero_()

    def __call__(self, batch: Batch) -> None:
        for mine, new in zip(self.batch, batch, strict=True):
            mine.copy_(new)
        self.graph.replay()


def assert_repeats_the_step(repeater: Callable, device: str) -> None:
    """Fifty repeated steps leave the weights that fifty eager ones leave."""
    batches = make_batches(device)
    eager, repeated = make_parts(device), make_parts(device)
    repeat = repeater(repeated, batches[0])
    for batch in batches:
        training_step(eager, batch)
        repeat(batch)
    for expected, found in zip(
        eager.online.parameters(), repeated.online.parameters(), strict=True
    ):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_38_the_comparison_accepts_the_step_itself():
    assert_repeats_the_step(Plain, "cpu")


def test_38_the_comparison_rejects_a_stale_batch():
    with pytest.raises(AssertionError):
        assert_repeats_the_step(Stale, "cpu")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_38_a_captured_step_equals_the_eager_one(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    assert_repeats_the_step(Captured, "cuda")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_38_captured_draws_differ_from_replay_to_replay():
    positions = torch.zeros(32, dtype=torch.int64, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        positions.copy_(torch.randint(0, 1_000_000, (32,), device="cuda"))
    draws = []
    for _ in range(2):
        graph.replay()
        draws.append(positions.clone())
    assert not torch.equal(*draws)
