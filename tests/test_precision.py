"""bf16: the same learning step with coarser arithmetic, not another one."""

import dataclasses
import itertools

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


# ---- the copy that computes ----------------------------------------------------------------------


def assert_copies_follow(learner: Learner) -> None:
    for working in (learner._online, learner._target):
        pairs = zip(working.network.parameters(), working.weights.parameters(), strict=True)
        for copied, weight in pairs:
            assert copied.dtype == torch.bfloat16 and weight.dtype == torch.float32
            assert torch.equal(copied, weight.bfloat16())


def check_copies_follow_through_updates() -> None:
    recipe = dataclasses.replace(RECIPE, target_every_steps=8)  # a copy every two updates
    learner = Learner(recipe, QNetwork(3, (36, 36), architecture="mnih2013"), "bf16")
    assert_copies_follow(learner)
    targets = [weights_in(learner.target)]
    for batch in make_batches(5):
        learner.update([batch])
        assert_copies_follow(learner)
        targets.append(weights_in(learner.target))
    moved = [not torch.equal(a, b) for a, b in itertools.pairwise(targets)]
    assert moved == [False, True, False, True, False]


def weights_in(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def test_the_copies_are_the_rounded_weights_after_every_update(monkeypatch):
    """A stale copy acts and learns on with weights of long ago: online, and target."""
    check_copies_follow_through_updates()

    def step_without_refresh(self):
        self._working.pass_gradients()
        self._optimizer.step()

    def move_without_refresh(self):
        if self.updates % self.recipe.target_every_updates == 0:
            self._copy_target(self.online, self.target, 1.0)

    for owner, name, broken in (
        (CopyingOptimizer, "step", step_without_refresh),
        (Learner, "_move_target", move_without_refresh),
    ):
        with monkeypatch.context() as patch, pytest.raises(AssertionError):
            patch.setattr(owner, name, broken)
            check_copies_follow_through_updates()


def test_in_fp32_nothing_is_copied():
    """A copy would cost memory and could go stale for nothing."""
    learner = Learner(RECIPE, QNetwork(3, (36, 36)))
    assert learner.parts.online is learner.online and learner.parts.target is learner.target
    assert learner.parts.optimizer is learner.optimizer


class Linear(torch.nn.Module):
    """Weights that all lie between 0.05 and 0.1, where bf16 shows steps of 2e-4 and more."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4 * 36, 3)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(0.05, 0.1)

    def forward(self, states):
        return self.layer(states[:, :, ::6, ::6].flatten(1).to(self.layer.weight.dtype) / 255)


def assert_small_steps_add_up(make) -> None:
    """200 steps of 1e-5 in one direction are 2e-3, whatever bf16 can show of each."""
    (batch,) = make_batches(1)
    batch = batch._replace(rewards=torch.full((32,), 1_000.0))
    before = weights_in(Linear())
    learner = make(dataclasses.replace(RECIPE, learning_rate=1e-5))
    for _ in range(200):
        learner.update([batch])
    moved = weights_in(learner.online).float() - before
    assert moved.mean() == pytest.approx(2e-3, rel=0.05)


def test_updates_smaller_than_bf16_can_show_add_up():
    """The broken variant keeps its weights in bf16, where every single update rounds to nothing."""
    assert_small_steps_add_up(lambda recipe: Learner(recipe, Linear(), "fp32"))
    assert_small_steps_add_up(lambda recipe: Learner(recipe, Linear(), "bf16"))
    with pytest.raises(AssertionError):
        assert_small_steps_add_up(lambda recipe: Learner(recipe, Linear().bfloat16(), "bf16"))


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
