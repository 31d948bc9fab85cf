"""bf16: the same learning step with coarser arithmetic, not another one."""

import dataclasses

import numpy as np
import pytest
import torch

from dqn_ref import learner as learner_module
from dqn_ref.hardware import autocast, choose_precision
from dqn_ref.learner import Learner
from dqn_ref.network import QNetwork
from dqn_ref.precision import CopyingOptimizer
from dqn_ref.recipes import get_recipe
from dqn_ref.replay import Batch

RECIPE = get_recipe("laptop", frame_height=36, frame_width=36, learning_rate=1e-2)


def make_batches(count: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    shape = (32, 4, 36, 36)

    def frames() -> torch.Tensor:
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)

    return [
        Batch(
            frames(),
            torch.randint(0, 3, (32,), generator=generator),
            torch.randn(32, generator=generator),
            torch.full((32,), 0.9),
            torch.rand(32, generator=generator) < 0.3,
            frames(),
        )
        for _ in range(count)
    ]


def weights_after(batches: list[list[Batch]], precision: str = "bf16") -> torch.Tensor:
    """All weights after the given calls of `update`."""
    torch.manual_seed(0)
    learner = Learner(RECIPE, QNetwork(3, (36, 36)), precision)
    for group in batches:
        learner.update(group)
    return torch.cat([p.detach().flatten() for p in learner.online.parameters()])


def assert_second_update_sees_the_first() -> None:
    first, second = make_batches(2)
    together = weights_after([[first, second]])
    one_by_one = weights_after([[first], [second]])
    change = (one_by_one - weights_after([])).abs().mean()
    # Only the shared target pass may differ, by bf16 rounding.
    assert (together - one_by_one).abs().mean() < 0.02 * change


def test_two_updates_in_one_call_equal_two_calls():
    assert_second_update_sees_the_first()


def test_that_notices_a_copy_refreshed_once_per_call(monkeypatch):
    def step_without_refresh(self):
        self._working.pass_gradients()
        self._optimizer.step()

    def update_and_refresh(self, batches):
        metrics = update(self, batches)
        self.refresh()
        return metrics

    update = Learner.update
    monkeypatch.setattr(CopyingOptimizer, "step", step_without_refresh)
    monkeypatch.setattr(Learner, "update", update_and_refresh)
    with pytest.raises(AssertionError):
        assert_second_update_sees_the_first()


def test_bf16_moves_the_weights_as_fp32_does():
    batches = make_batches(1)
    before = weights_after([])
    fp32 = weights_after([batches], "fp32") - before
    bf16 = weights_after([batches]) - before
    assert torch.nn.functional.cosine_similarity(fp32, bf16, dim=0) > 0.9
    assert not torch.equal(fp32, bf16)


def test_weights_and_optimiser_stay_fp32():
    learner = Learner(RECIPE, QNetwork(3, (36, 36)), "bf16")
    learner.update(make_batches(1))
    tensors = [*learner.online.parameters(), *learner.target.parameters()]
    tensors += [v for s in learner.optimizer.state.values() for v in s.values()]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}
    assert learner.q_values(make_batches(1)[0].states).dtype == torch.float32


def test_autocast_computes_in_the_precision_it_names():
    layer = torch.nn.Linear(4, 4)
    cpu = torch.device("cpu")
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(precision, cpu):
            assert layer(torch.ones(1, 4)).dtype == dtype


def test_a_named_precision_is_taken_and_auto_measures(monkeypatch):
    cpu = torch.device("cpu")
    assert choose_precision("fp32", cpu) == "fp32"
    assert choose_precision("bf16", cpu) == "bf16"
    from dqn_ref import hardware

    for bf16_seconds, chosen in ((0.1, "bf16"), (0.9, "fp32"), (100.0, "fp32")):
        seconds = {torch.float32: 1.0, torch.bfloat16: bf16_seconds}
        monkeypatch.setattr(hardware, "_multiplication_seconds", seconds.get)
        assert choose_precision("auto", cpu) == chosen


def test_shared_targets_equal_separate_ones_in_fp32():
    batches = make_batches(3)
    together = weights_after([batches], "fp32")
    apart = weights_after([[batch] for batch in batches], "fp32")
    assert torch.allclose(together, apart, rtol=1e-5, atol=1e-6)
    assert not np.allclose(together, weights_after([batches[:2]], "fp32"), atol=1e-4)


def test_targets_are_not_shared_across_a_copy():
    recipe = dataclasses.replace(RECIPE, target_every_steps=8)  # a copy every two updates
    calls = []

    def copying(online, target, tau):
        calls.append(learner.updates)
        learner_module.update_target(online, target, tau)

    learner = Learner(recipe, QNetwork(3, (36, 36)), copy_target=copying)
    learner.update(make_batches(5))
    assert calls == [2, 4]
    assert learner.updates == 5
