"""Every rung of speed computes what the plain version computes, in fp32.

A rung changes how long an update takes, and nothing else: on the same samples the targets, the
losses and the change of the weights agree to 1e-5 of their size. Other rungs are tested beside
what they belong to: the row of zeros in test_replay.py, the captured group in test_cuda_graph.py.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from dqn_ref import learner as learner_module
from dqn_ref import network as network_module
from dqn_ref.learner import Learner, fit_targets, make_optimizer, targets_of, td_targets
from dqn_ref.network import QNetwork
from dqn_ref.recipes import get_recipe
from dqn_ref.replay import Batch, FrameRing

SHAPE = (44, 52)
# Adam divides by the size of a gradient: where that is rounding alone, so is the step. An epsilon
# above the rounding keeps the comparison about everything else.
RECIPE = get_recipe(
    "laptop", frame_height=44, frame_width=52, learning_rate=0.01, optimizer_epsilon=1e-4
)


def minibatches(count=3, size=8) -> list[Batch]:
    """Drawn from a memory, so that states are slices of longer windows."""
    rng = np.random.default_rng(0)
    memory, no = FrameRing(200, 2, SHAPE), np.zeros(2, dtype=bool)
    frames = rng.integers(0, 256, (91, 2, *SHAPE), dtype=np.uint8)
    memory.begin(torch.from_numpy(frames[0]))
    for frame in frames[1:]:
        rewards, ends = rng.normal(size=2).astype(np.float32), rng.random(2) < 0.2
        memory.add(rng.integers(0, 4, 2), rewards, ends, no, no, torch.from_numpy(frame))
    return [memory.sample(size, rng) for _ in range(count)]


def network(kind=QNetwork, layout=torch.channels_last) -> QNetwork:
    torch.manual_seed(0)
    return kind(4, SHAPE).to(memory_format=layout)


def weights_of(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def outcome(online: QNetwork, kind=Learner) -> dict[str, torch.Tensor]:
    """Targets, losses and change of the weights of three updates."""
    seen = []

    def noting(*args):
        seen.append(td_targets(*args))
        return seen[-1]

    before, learner = weights_of(online), kind(RECIPE, online, targets=noting)
    metrics = learner.update(minibatches())
    losses = torch.stack([each.loss for each in metrics])
    return dict(targets=torch.cat(seen), losses=losses, change=weights_of(online) - before)


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    for name, value in expected.items():
        difference = (found[name] - value).norm() / value.norm()
        assert difference <= 1e-5, (name, difference)


@pytest.fixture(scope="module")
def plain() -> dict[str, torch.Tensor]:
    """Row by row in memory, no blocks, targets of each minibatch alone, Adam as it is written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner_module, "make_optimizer", written_out_adam)
        return outcome(network(layout=torch.contiguous_format), OneByOne)


class OneByOne(Learner):
    def update_between_copies(self, batches):
        return [fit_targets(self.parts, b, targets_of(self.parts, b)) for b in batches]


def written_out_adam(recipe, parameters, _, kind=torch.optim.Adam):
    lr, eps = recipe.learning_rate, recipe.optimizer_epsilon
    return kind(list(parameters), lr=lr, eps=eps, fused=False, foreach=False)


def test_all_rungs_together_equal_the_plain_version(plain, monkeypatch):
    """Rungs that are right alone and wrong together; each is broken on purpose below."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: True)
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda device: torch.float32)
    assert_same(outcome(network()), plain)


class FlattensAsItLies(QNetwork):
    """Features in the order of memory, which channels-last changes."""

    def forward(self, states):
        features = self.convolutions(states.float() / 255)
        if features.is_contiguous(memory_format=torch.channels_last):
            features = features.permute(0, 2, 3, 1)
        return self.head(features.flatten(1))


def test_channels_last_equals_row_by_row(plain):
    """Whoever reads memory instead of the tensor mixes up the features."""
    assert_same(outcome(network(layout=torch.channels_last), OneByOne), plain)
    with pytest.raises(AssertionError):
        assert_same(outcome(network(FlattensAsItLies), OneByOne), plain)


def test_blocks_equal_the_plain_convolution(plain, monkeypatch):
    """In fp32, since bf16's rounding would hide a fault; broken: another order of the pixels."""
    blocks, used = network_module._convolve_blocks, []

    def noted(layer, states):
        used.append(len(states))
        return blocks(layer, states)

    def upside_down(layer, states):
        return blocks(layer, states.flip(2))

    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: True)
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda device: torch.float32)
    monkeypatch.setattr(network_module, "_convolve_blocks", noted)
    assert_same(outcome(network(), OneByOne), plain)
    assert used == [8] * 6  # states and next states of three minibatches
    monkeypatch.setattr(network_module, "_convolve_blocks", upside_down)
    with pytest.raises(AssertionError):
        assert_same(outcome(network(), OneByOne), plain)


class SharesInReverse(Learner):
    def update_between_copies(self, batches):
        targets = [targets_of(self.parts, batch) for batch in batches]
        shared = zip(batches, reversed(targets), strict=True)
        return [fit_targets(self.parts, batch, target) for batch, target in shared]


def test_shared_targets_equal_separate_ones(plain):
    """One forward pass for the targets of a group, each minibatch its own."""
    assert_same(outcome(network()), plain)
    with pytest.raises(AssertionError):
        assert_same(outcome(network(), SharesInReverse), plain)


class MomentsRowByRow(torch.optim.Adam):
    """Its moments lie otherwise than the weights, as after a careless resume."""

    def step(self, closure=None):
        super().step(closure)
        for state in self.state.values():
            state.update({name: value.contiguous() for name, value in state.items()})


def test_the_fused_adam_equals_the_written_out_one(plain, monkeypatch):
    """It walks through memory and looks at no strides."""
    made = []

    def fused(*arguments):
        made.append(make_optimizer(*arguments))
        return made[-1]

    monkeypatch.setattr(learner_module, "make_optimizer", fused)
    assert_same(outcome(network(), OneByOne), plain)
    assert made[0].defaults["fused"]
    broken = partial(MomentsRowByRow, lr=RECIPE.learning_rate, eps=RECIPE.optimizer_epsilon)
    for make in (
        lambda recipe, parameters, _: broken(list(parameters), fused=True),
        lambda recipe, parameters, _: torch.optim.Adam(list(parameters), lr=0.01, fused=True),
    ):
        monkeypatch.setattr(learner_module, "make_optimizer", make)
        with pytest.raises(AssertionError):
            assert_same(outcome(network(), OneByOne), plain)
