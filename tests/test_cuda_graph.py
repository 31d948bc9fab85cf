"""Pitfall 38: a group of updates captured in a CUDA graph goes on being those updates.

The group and every comparison are proven on the CPU, where the same function runs eagerly, with
right and broken groups; the graph's bookkeeping on a pretended graph. Only the capture itself
needs a GPU.
"""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dqn_ref import captured as captured_module
from dqn_ref import checkpoints, runs
from dqn_ref.captured import GroupOfUpdates, _snapshot
from dqn_ref.environments import Rows
from dqn_ref.hardware import to_device
from dqn_ref.learner import Learner
from dqn_ref.network import QNetwork
from dqn_ref.recipes import get_recipe
from dqn_ref.replay import FrameRing
from dqn_ref.training import training_loop

SHAPE = (36, 36)
OPTIMIZERS = ("adam", "rmsprop", "nature_rmsprop")
on_cuda = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]


def recipe_of(optimizer="adam", **changes):
    """A copy of the target every five groups of four updates."""
    eps = {"adam": 1e-8, "rmsprop": 1e-2, "nature_rmsprop": 1e-2}[optimizer]
    settings = dict(
        optimizer=optimizer, optimizer_epsilon=eps, learning_rate=1e-3, batch_size=8,
        updates_at_once=4, target_every_steps=80, frame_height=36, frame_width=36, n_step=1,
    )  # fmt: skip
    return get_recipe("laptop", **(settings | changes))


def memory_on(device: str, n_step: int) -> FrameRing:
    """Random play of three lanes, in which games start and end."""
    rng = np.random.default_rng(7)
    memory = FrameRing(240, 3, SHAPE, device=device, n_step=n_step)
    frames = rng.integers(0, 256, (101, 3, *SHAPE), dtype=np.uint8)
    memory.begin(to_device(frames[0], memory.device))
    no = np.zeros(3, dtype=bool)
    for frame in frames[1:]:
        rewards = rng.normal(size=3).astype(np.float32)
        ends, starts = rng.random((2, 3)) < 0.1
        actions = rng.integers(0, 4, 3)
        memory.add(actions, rewards, ends, no, starts, to_device(frame, memory.device))
    return memory


def group_on(device: str, kind=GroupOfUpdates, precision="fp32", **changes) -> GroupOfUpdates:
    recipe = recipe_of(**changes)
    torch.manual_seed(0)
    network = QNetwork(4, SHAPE, architecture="mnih2013")
    network.to(device, memory_format=torch.channels_last)
    learner = Learner(recipe, network, precision)
    memory = memory_on(device, recipe.n_step)
    return kind(memory, learner, recipe.updates_at_once, recipe.batch_size)


def weights_of(network) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()]).cpu()


def assert_near(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    difference = (found - expected).norm() / expected.norm()
    assert difference <= tolerance, difference


def assert_equals_the_plain_loop(group, plain, groups=20, tolerance=1e-5) -> None:
    """The same draws, losses and weights, with target copies between the groups."""
    learner, memory = plain.learner, plain.memory
    begin = weights_of(learner.online)
    rngs = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(groups):
        batches = [memory.sample(plain.batch_size, rngs[1]) for _ in range(plain.size)]
        expected = learner.update(batches)
        (found,) = group(rngs[0])
        for name in ("loss", "q_mean"):
            mean = torch.stack([getattr(metrics, name) for metrics in expected]).mean()
            torch.testing.assert_close(getattr(found, name), mean, rtol=1e-4, atol=1e-5)
    assert group.learner.updates == learner.updates == groups * plain.size
    assert rngs[0].bit_generator.state == rngs[1].bit_generator.state
    for name in ("online", "target"):
        found, expected = (weights_of(getattr(x.learner, name)) for x in (group, plain))
        assert_near(found - begin, expected - begin, tolerance)
    assert not torch.equal(weights_of(learner.target), begin), "no copy of the target was made"


class Stale(GroupOfUpdates):
    """Trains on the minibatches it saw first, as a graph without new inputs does."""

    def _gathered(self):
        self.kept = getattr(self, "kept", None) or super()._gathered()
        return self.kept


class NeverCounts(GroupOfUpdates):
    """The target network is never copied."""

    def __call__(self, rng):
        before = self.learner.updates
        metrics = super().__call__(rng)
        self.learner.updates = before
        return metrics


class OneBigBatch(GroupOfUpdates):
    """One update on all transitions of the group."""

    def run(self):
        metrics = self.learner.update_between_copies([self._gathered()])
        return metrics[0].loss, metrics[0].q_mean


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_38_a_group_equals_the_plain_loop(optimizer):
    """Other draws, minibatches cut in other places, a target that is never copied."""
    group, plain = (group_on("cpu", optimizer=optimizer) for _ in range(2))
    assert_equals_the_plain_loop(group, plain)


@pytest.mark.parametrize("changes", [dict(double=True), dict(n_step=3), dict(target_tau=0.1)])
def test_38_other_groups_equal_the_plain_loop(changes):
    """Double's targets come one by one, n-step transitions have next states of their own."""
    if "target_tau" in changes:  # the target moves with every update: groups of one
        changes = changes | dict(updates_at_once=1)
    assert_equals_the_plain_loop(*(group_on("cpu", **changes) for _ in range(2)))


@pytest.mark.parametrize("broken", [Stale, NeverCounts, OneBigBatch])
def test_38_the_comparison_rejects(broken):
    """Inputs that never change, copies that never come, one update in the place of four."""
    with pytest.raises(AssertionError):
        assert_equals_the_plain_loop(group_on("cpu", broken), group_on("cpu"))


def test_38_results_survive_the_next_launch():
    """A graph writes its results to one place; the reporter reads them a thousand steps later."""

    def check(kind):
        group = group_on("cpu", kind)
        place = torch.zeros(2)
        run = group.run

        def like_a_graph():
            place.copy_(torch.stack(run()))
            return place[0], place[1]

        group.run, rng = like_a_graph, np.random.default_rng(0)
        kept = [metrics for _ in range(3) for metrics in group(rng)]
        assert len({float(metrics.loss) for metrics in kept}) == 3

    class HandsOutThePlace(GroupOfUpdates):
        def __call__(self, rng):
            super().__call__(rng)
            return [captured_module.Metrics(*self.run())]

    check(GroupOfUpdates)
    with pytest.raises(AssertionError):
        check(HandsOutThePlace)


# ---- the warm-up leaves no trace -----------------------------------------------------------------


def tensors_that_live_on(learner) -> dict[str, torch.Tensor]:
    tensors = {f"weight {i}": p for i, p in enumerate(learner.online.parameters())}
    for i, p in enumerate(learner.online.parameters()):
        tensors |= {f"{name} {i}": value for name, value in learner.optimizer.state[p].items()}
    return tensors


def check_snapshot(snapshot, optimizer, updates_before, precision="fp32") -> None:
    """Everything has its old value, or zero if it is new, where it was during the warm-up."""
    group = group_on("cpu", optimizer=optimizer, precision=precision)
    learner, rng = group.learner, np.random.default_rng(1)
    for _ in range(updates_before):
        group(rng)
    before = {name: t.detach().clone() for name, t in tensors_that_live_on(learner).items()}
    restore = snapshot(learner)
    group(rng)
    during = tensors_that_live_on(learner)
    places = {name: tensor.data_ptr() for name, tensor in during.items()}
    assert any(not torch.equal(during[name], before[name]) for name in before)
    restore()
    after = tensors_that_live_on(learner)
    assert {name: tensor.data_ptr() for name, tensor in after.items()} == places
    for name, tensor in after.items():
        assert torch.equal(tensor, before.get(name, torch.zeros_like(tensor))), name
    assert (len(after) > len(before)) == (updates_before == 0)
    networks = learner.parts.online.parameters(), learner.online.parameters()
    for copied, weight in zip(*networks, strict=True):
        assert torch.equal(copied, weight.to(copied.dtype)), "the copy computes with the warm-up"


def weights_only(learner):
    before = [p.detach().clone() for p in learner.online.parameters()]

    def restore():
        for parameter, value in zip(learner.online.parameters(), before, strict=True):
            parameter.data.copy_(value)

    return restore


def load_state_dicts(learner):
    """Puts everything back, the optimiser's part elsewhere: a graph would write to the old one."""
    weights = weights_only(learner)
    before = {"state": {}, "param_groups": learner.optimizer.state_dict()["param_groups"]}
    for i, p in enumerate(learner.online.parameters()):
        before["state"][i] = {k: v.clone() for k, v in learner.optimizer.state[p].items()}

    def restore():
        weights()
        learner.optimizer.load_state_dict(before)

    return restore


def without_refresh(learner):
    parts = dict(online=learner.online, optimizer=learner.optimizer)
    return _snapshot(SimpleNamespace(**parts, refresh=lambda: None))


@pytest.mark.parametrize("updates_before", [0, 2])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_38_the_warm_up_is_undone_in_place(optimizer, updates_before):
    """Three updates too many, an optimiser that remembers them, or state where no graph looks."""
    for precision in ("fp32", "bf16"):
        check_snapshot(_snapshot, optimizer, updates_before, precision)
    with pytest.raises(AssertionError):
        check_snapshot(weights_only, optimizer, updates_before)
    with pytest.raises(AssertionError):
        check_snapshot(without_refresh, optimizer, updates_before, "bf16")
    with pytest.raises((AssertionError, KeyError)):
        check_snapshot(load_state_dicts, optimizer, updates_before)


class PretendedGraph:
    """On the CPU: what is recorded is not executed; `replay` executes it, into the same results."""

    def __init__(self, group):
        self.group, self.run = group, group.run
        group.run = self.note

    def note(self):
        self.results = self.run()
        return self.results

    @contextlib.contextmanager
    def recording(self, graph):
        places = tensors_that_live_on(self.group.learner).values()
        before = [place.detach().clone() for place in places]
        yield
        with torch.no_grad():
            for place, value in zip(places, before, strict=True):
                place.copy_(value)
        self.group.learner.refresh()

    def replay(self):
        for place, value in zip(self.results, self.run(), strict=True):
            place.copy_(value)


class NoStream:
    def wait_stream(self, other):
        pass


def pretend_to_record(group, monkeypatch):
    """A group whose first call goes the way of CUDA."""
    graph = PretendedGraph(group)
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "Stream", NoStream)
        patch.setattr(torch.cuda, "current_stream", NoStream)
        patch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
        patch.setattr(torch.cuda, "CUDAGraph", lambda: graph)
        patch.setattr(torch.cuda, "graph", graph.recording)
        group._replay = group._record()
    return group


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_38_a_recorded_group_equals_the_plain_loop(optimizer, monkeypatch):
    """Warm-up and recording add no update; the broken variants forget to undo a part of them."""

    def check():
        group, plain = (group_on("cpu", optimizer=optimizer) for _ in range(2))
        assert_equals_the_plain_loop(pretend_to_record(group, monkeypatch), plain)

    check()
    for forgetful in (weights_only, lambda learner: lambda: None):
        monkeypatch.setattr(captured_module, "_snapshot", forgetful)
        with pytest.raises(AssertionError):
            check()


# ---- in a run ------------------------------------------------------------------------------------

SMALL = dict(
    game="gallery", door="gym", repeat_frames=1, max_over="none", start_noops_max=0,
    fire_at_start=False, frame_height=36, frame_width=36, architecture="mnih2013", lanes=3,
    batch_size=8, updates_at_once=4, target_every_steps=72, memory_frames=2_000,
    learning_starts=60, total_steps=400, epsilon_end=0.5, epsilon_decay_steps=100,
    checkpoint_every_steps=200, log_every_steps=100, device="cpu", precision="fp32", threads=1,
)  # fmt: skip


def small_run(folder, resume=False, **changes):
    recipe = get_recipe("laptop", **(SMALL | changes))
    return runs.train(recipe, folder, resume=resume, show_bar=False)


def test_38_a_run_with_the_group_equals_one_without(tmp_path, monkeypatch):
    """Through `build` and the loop; a copy every 18 updates falls into every second group."""
    plain = small_run(tmp_path / "plain")
    assert plain.captured is None and plain.counters.updates > 70

    def check(folder, kind):
        monkeypatch.setattr(runs, "GroupOfUpdates", kind)
        grouped = small_run(folder)
        assert isinstance(grouped.captured, kind)
        assert grouped.counters == plain.counters
        for name in ("online", "target"):
            found, expected = (weights_of(getattr(x.learner, name)) for x in (grouped, plain))
            assert_near(found, expected, 1e-5)

    monkeypatch.setattr(runs, "_can_capture", lambda recipe, pieces: True)
    check(tmp_path / "group", GroupOfUpdates)
    with pytest.raises(AssertionError):
        check(tmp_path / "stale", Stale)


# ---- on CUDA -------------------------------------------------------------------------------------


@pytest.fixture
def exact_cuda(monkeypatch):
    """fp32 that is fp32, by kernels that add up in one order."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


class Strict:
    """Lanes of zeros; from turn 60 on, waiting for the GPU is an error outside of `act`."""

    def __init__(self, lanes: int, action_names: list[str]):
        self.lanes, self.action_names, self.turn = lanes, action_names, 0

    def reset(self, seed):
        return self.recv()

    def send(self, actions):
        if self.turn > 60:
            torch.cuda.set_sync_debug_mode("error")

    def recv(self):
        self.turn += 1
        no, zeros = np.zeros(self.lanes, dtype=bool), np.zeros(self.lanes, np.float32)
        start = np.full(self.lanes, self.turn == 1)
        frames = np.zeros((self.lanes, *SHAPE), np.uint8)
        numbers = zeros.astype(np.int32)
        return Rows(frames, zeros, no, no, no, start, numbers, numbers)

    def close(self):
        torch.cuda.set_sync_debug_mode("default")


class TestCuda:
    pytestmark = on_cuda

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_38_a_captured_group_equals_the_eager_loop(self, optimizer, exact_cuda):
        group, plain = (group_on("cuda", optimizer=optimizer) for _ in range(2))
        assert_equals_the_plain_loop(group, plain)
        assert group._replay != group.run, "nothing was captured"

    def test_38_captured_n_steps_equal_eager_ones(self, exact_cuda):
        assert_equals_the_plain_loop(*(group_on("cuda", n_step=3) for _ in range(2)))

    def test_38_a_captured_group_in_bf16_follows_the_eager_loop(self, exact_cuda):
        group, plain = (group_on("cuda", precision="bf16") for _ in range(2))
        assert_equals_the_plain_loop(group, plain, groups=6, tolerance=1e-2)

    def test_38_eager_and_captured_groups_can_alternate(self, exact_cuda):
        """As they do where a copy of the target falls into a group."""
        group, plain = (group_on("cuda") for _ in range(2))
        rngs = [np.random.default_rng(3) for _ in range(2)]
        for number in range(8):
            for each, rng in ((group, rngs[0]), (plain, rngs[1])):
                if each is group and number % 2:
                    each(rng)
                else:
                    each.learner.update([each.memory.sample(8, rng) for _ in range(4)])
        assert_near(weights_of(group.learner.online), weights_of(plain.learner.online), 1e-5)

    def test_41_learning_and_remembering_never_wait_for_the_gpu(self, monkeypatch):
        """The broken variant copies frames from memory that is not page-locked."""

        def check():
            recipe = get_recipe("laptop", **(SMALL | dict(device="cuda")))
            parts = runs.build(recipe)
            parts.lanes.close()
            parts.lanes, act = Strict(recipe.lanes, parts.lanes.action_names), parts.act

            def act_and_wait():
                torch.cuda.set_sync_debug_mode("default")
                return act()

            parts.act = act_and_wait
            try:
                training_loop(parts, 400, lambda parts, rows: False)
            finally:
                parts.lanes.close()
            assert parts.counters.updates > 60

        check()
        from dqn_ref import training

        monkeypatch.setattr(training, "to_device", lambda a, device: torch.tensor(a).to(device))
        with pytest.raises(RuntimeError):
            check()

    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_38_the_small_game_is_learnt_on_captured(self, tmp_path, precision):
        parts = small_run(tmp_path, device="cuda", precision=precision)
        assert parts.captured is not None and parts.captured._replay is not None
        assert parts.counters.updates == parts.learner.updates > 70
        assert weights_of(parts.learner.online).isfinite().all()
        pairs = (parts.learner.parts.online, parts.learner.online)
        for copied, weight in zip(*(network.parameters() for network in pairs), strict=True):
            assert torch.equal(copied, weight.to(copied.dtype))
        without = small_run(tmp_path / "eager", device="cuda", cuda_graph=False)
        assert without.captured is None

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_29_a_run_goes_on_on_the_gpu(self, tmp_path, optimizer):
        """The graph is recorded after the checkpoint was read: it knows the new addresses."""
        settings = dict(device="cuda", optimizer=optimizer, checkpoint_memory=True)
        first = small_run(tmp_path, **settings)
        fresh = runs.build(first.recipe)
        checkpoints.load_checkpoint(tmp_path / runs.CHECKPOINT_FILE, fresh)
        old, new = (tensors_that_live_on(parts.learner) for parts in (first, fresh))
        assert old.keys() == new.keys()
        assert all(torch.equal(new[name], tensor) for name, tensor in old.items())
        assert {tensor.device.type for tensor in new.values()} == {"cuda"}
        for parts in (first, fresh):
            parts.captured(parts.sampling_rng)
        fresh.lanes.close()
        assert_near(weights_of(fresh.learner.online), weights_of(first.learner.online), 1e-4)
        resumed = small_run(tmp_path, resume=True, total_steps=600, **settings)
        counters = resumed.counters
        assert counters.updates * 4 + counters.steps_owed == counters.steps - 60
