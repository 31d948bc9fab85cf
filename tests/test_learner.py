"""The learning step. Each test states its rule as a function and shows it a broken learner, too.

Numbers in docstrings are those of the project's list of pitfalls.
"""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from dqn_ref import learner as learner_module
from dqn_ref.learner import (
    Learner,
    NatureRMSProp,
    fit_targets,
    huber_loss,
    make_optimizer,
    targets_of,
    td_targets,
    training_step,
    update_target,
)
from dqn_ref.network import QNetwork
from dqn_ref.recipes import get_recipe
from dqn_ref.replay import Batch, FrameRing

cuda = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]
INF = float("inf")


class TinyNetwork(nn.Module):
    """States of 4 x 6 x 6 bytes to three values: an update takes microseconds."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(nn.Linear(144, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, states):
        return self.layers(states.float().flatten(1) / 255)


def recipe_of(**changes):
    settings = dict(
        device="cpu",
        precision="fp32",
        optimizer="nature_rmsprop",
        optimizer_epsilon=0.01,
        learning_rate=0.005,
        loss_reduction="sum",
        target_every_steps=1_000,
    )
    return get_recipe("laptop", **(settings | changes))


def random_batches(count, size=32, shape=(4, 6, 6), actions=3, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)

    def states():
        return torch.from_numpy(rng.integers(0, 256, (size, *shape), dtype=np.uint8))

    return [
        Batch(
            states(),
            torch.from_numpy(rng.integers(0, actions, size)),
            torch.from_numpy(rng.normal(0, scale, size).astype(np.float32)),
            torch.full((size,), 0.99),
            torch.from_numpy(rng.random(size) < 0.2),
            states(),
        )
        for _ in range(count)
    ]


def weights_of(network):
    return torch.cat([p.detach().flatten().cpu() for p in network.parameters()])


# ---- targets -------------------------------------------------------------------------------------


def check_terminal_target_is_the_reward(targets):
    rewards = torch.tensor([0.7, -1.0, 0.0, 0.3])
    terminated = torch.tensor([True, True, True, False])
    found = targets(rewards, torch.full((4,), 0.99), terminated, torch.full((4, 3), 50.0))
    assert torch.equal(found[:3], rewards[:3])  # exactly, not nearly
    assert found[3] == pytest.approx(0.3 + 0.99 * 50)


def ignore_the_end(rewards, discounts, terminated, next_q):
    return rewards + discounts * next_q.max(1).values


def mask_the_reward_too(rewards, discounts, terminated, next_q):
    return (rewards + discounts * next_q.max(1).values) * ~terminated


def test_terminal_target_is_the_reward_exactly():
    """36."""
    check_terminal_target_is_the_reward(td_targets)
    for broken in (ignore_the_end, mask_the_reward_too):
        with pytest.raises(AssertionError):
            check_terminal_target_is_the_reward(broken)


def test_an_infinite_value_behind_the_end_does_not_leak():
    """36: 0 * inf would be nan; the mask must replace, not multiply."""

    def check(targets):
        next_q = torch.tensor([[INF, 1.0]])
        end = torch.tensor([True])
        assert targets(torch.tensor([2.0]), torch.tensor([0.9]), end, next_q).item() == 2.0

    check(td_targets)
    with pytest.raises(AssertionError):
        check(lambda r, d, t, q: r + d * (~t).float() * q.max(1).values)


def check_double(targets):
    next_q_target = torch.tensor([[1.0, 2.0, 9.0], [5.0, 4.0, 3.0]])
    next_q_online = torch.tensor([[0.0, 8.0, 1.0], [0.0, 0.0, 7.0]])
    r, d, t = torch.zeros(2), torch.ones(2), torch.zeros(2, dtype=torch.bool)
    assert targets(r, d, t, next_q_target, next_q_online).tolist() == [2.0, 3.0]
    assert targets(r, d, t, next_q_target).tolist() == [9.0, 5.0]


def test_double_chooses_by_the_online_and_values_by_the_target_network():
    check_double(td_targets)
    with pytest.raises(AssertionError):  # the plain target under Double's name
        check_double(lambda r, d, t, q, online=None: td_targets(r, d, t, q))
    with pytest.raises(AssertionError):  # roles exchanged
        check_double(
            lambda r, d, t, q, online=None: td_targets(
                r, d, t, *((online, q) if online is not None else (q,))
            )
        )


class Constant(nn.Module):
    """Every state is worth 10, whatever is done."""

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(10.0))

    def forward(self, states):
        return self.value.expand(len(states), 3)


def check_truncation_bootstraps(add):
    memory = FrameRing(64, 1, (6, 6), 4, discount=0.5)
    frame = torch.zeros(1, 6, 6, dtype=torch.uint8)
    memory.begin(frame)
    no, yes = np.array([False]), np.array([True])
    action = np.array([1])
    ends = [("goes on", no, no, 1.0), ("terminated", yes, no, 2.0), ("truncated", no, yes, 3.0)]
    for _, terminated, truncated, reward in ends:
        reward = np.array([reward], np.float32)
        add(memory, action, reward, terminated, truncated, no, frame)
        if truncated[0] or terminated[0]:
            memory.add(action, reward, no, no, yes, frame)  # the reset row
    batch = memory.gather(torch.arange(3))
    found = targets_of(Learner(recipe_of(), Constant()).parts, batch)
    assert found.tolist() == [1.0 + 5.0, 2.0, 3.0 + 5.0]


def test_truncation_bootstraps_and_termination_does_not():
    """28, 36: through memory and learner."""

    def add(memory, *row):
        memory.add(*row)

    def forget_the_difference(memory, action, reward, terminated, truncated, start, frame):
        memory.add(action, reward, terminated | truncated, truncated, start, frame)

    def forget_the_end(memory, action, reward, terminated, truncated, start, frame):
        memory.add(action, reward, terminated & False, truncated, start, frame)

    check_truncation_bootstraps(add)
    for broken in (forget_the_difference, forget_the_end):
        with pytest.raises(AssertionError):
            check_truncation_bootstraps(broken)


# ---- the loss ------------------------------------------------------------------------------------

ERRORS = torch.tensor([-300.0, -3.0, -1.01, -1.0, -0.4, 0.0, 0.4, 1.0, 1.01, 3.0, 300.0])


def check_gradient_is_the_clipped_error(loss, delta=1.0):
    target = torch.linspace(-2, 2, len(ERRORS))
    predicted = (target + ERRORS).requires_grad_()
    loss(predicted, target, delta).sum().backward()
    # Written out once more without clamp: the error, no further than delta from zero.
    expected = [max(-delta, min(delta, error)) for error in (predicted.detach() - target).tolist()]
    torch.testing.assert_close(predicted.grad, torch.tensor(expected), atol=1e-5, rtol=0)


def clip_then_square(predicted, target, delta=1.0):
    """Karpathy's find in several repositories: no gradient at all beyond delta."""
    return 0.5 * (predicted - target).clamp(-delta, delta) ** 2


def half_square(predicted, target, delta=1.0):
    return 0.5 * (predicted - target) ** 2


def smooth_l1(predicted, target, delta=1.0):
    """PyTorch's SmoothL1 divides the square by beta: Huber only at 1."""
    return functional.smooth_l1_loss(predicted, target, reduction="none", beta=delta)


def test_huber_gradient_is_the_error_clipped_to_one():
    """30: plus or minus 1 beyond 1, and not 0."""
    check_gradient_is_the_clipped_error(huber_loss)
    for broken in (clip_then_square, half_square):
        with pytest.raises(AssertionError):
            check_gradient_is_the_clipped_error(broken)


@pytest.mark.parametrize("delta", [0.25, 2.0, 50.0])
def test_huber_honours_delta(delta):
    """30, at other thresholds."""
    check_gradient_is_the_clipped_error(huber_loss, delta)
    for broken in (smooth_l1, lambda p, t, d: huber_loss(p, t, 1.0)):
        with pytest.raises(AssertionError):
            check_gradient_is_the_clipped_error(broken, delta)


def check_infinite_delta_is_half_the_square(loss):
    predicted = ERRORS.clone().requires_grad_()
    found = loss(predicted, torch.zeros_like(ERRORS), INF)
    torch.testing.assert_close(found, 0.5 * ERRORS**2)
    found.sum().backward()
    torch.testing.assert_close(predicted.grad, ERRORS)


def test_infinite_delta_is_half_the_square():
    """30."""
    check_infinite_delta_is_half_the_square(huber_loss)
    with pytest.raises(AssertionError):
        check_infinite_delta_is_half_the_square(lambda p, t, d: (p - t) ** 2)
    with pytest.raises(AssertionError):  # without the special case: inf - inf
        check_infinite_delta_is_half_the_square(
            lambda p, t, d: 0.5 * (p - t) ** 2 + d * ((p - t).abs() - (p - t).abs().clamp(max=d))
        )


def check_loss_is_continuous_at_delta(loss, delta):
    at = torch.tensor([delta * (1 - 1e-6), delta, delta * (1 + 1e-6)])
    found = loss(at, torch.zeros(3), delta)
    assert found[1] == pytest.approx(0.5 * delta**2, rel=1e-5)
    assert (found - found[1]).abs().max() < 1e-5 * delta**2 + 1e-6


def test_huber_has_no_jump_where_the_line_begins():
    """30."""
    check_loss_is_continuous_at_delta(huber_loss, 3.0)
    with pytest.raises(AssertionError):

        def jump(p, t, d):
            error = (p - t).abs()
            return torch.where(error < d, 0.5 * error**2, d * error)

        check_loss_is_continuous_at_delta(jump, 3.0)


def check_shapes_must_agree(loss):
    try:
        found = loss(torch.zeros(32, 1), torch.zeros(32))
    except ValueError as error:
        assert "(32, 1)" in str(error) and "(32,)" in str(error)
        return
    raise AssertionError(f"no complaint, but a loss of shape {tuple(found.shape)}")


@pytest.mark.filterwarnings("ignore:Using a target size:UserWarning")
def test_a_column_against_a_row_fails_loudly():
    """31: (32, 1) against (32,) would broadcast to (32, 32)."""
    check_shapes_must_agree(huber_loss)
    with pytest.raises(AssertionError):
        check_shapes_must_agree(lambda p, t: functional.huber_loss(p, t, reduction="none"))
    # and the two meet with one shape in the training step:
    seen = []

    def spy(predicted, target, delta):
        seen.append((tuple(predicted.shape), tuple(target.shape)))
        return huber_loss(predicted, target, delta)

    Learner(recipe_of(), TinyNetwork(), loss=spy).update(random_batches(2))
    assert seen == [((32,), (32,))] * 2


def test_a_network_that_returns_a_column_is_caught():
    """31: a training step that forgets `squeeze` is stopped by the loss."""

    def forgets_to_squeeze(parts, batch):
        q = parts.online(batch.states).gather(1, batch.actions[:, None])
        return parts.huber_loss(q, targets_of(parts, batch), 1.0)

    with pytest.raises(ValueError, match="shapes differ"):
        Learner(recipe_of(), TinyNetwork(), step=forgets_to_squeeze).update(random_batches(1))


# ---- networks and their copies -------------------------------------------------------------------


def check_the_target_network_gets_no_gradient(make):
    learner = make()
    before = weights_of(learner.target)
    learner.update(random_batches(3))
    assert all(p.grad is None for p in learner.target.parameters())
    assert torch.equal(weights_of(learner.target), before)
    assert not torch.equal(weights_of(learner.online), before)


class TargetLearnsToo(Learner):
    """A target that takes part in the gradient: forgotten `no_grad`, shared optimiser."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, step=self.step, **kwargs)
        self.target.requires_grad_(True)

    @staticmethod
    def step(parts, batch):
        next_q = parts.target(batch.next_states)
        y = parts.td_targets(batch.rewards, batch.discounts, batch.terminated, next_q)
        return fit_targets(parts, batch, y)


def test_no_gradient_reaches_the_target_network():
    """32."""
    check_the_target_network_gets_no_gradient(lambda: Learner(recipe_of(), TinyNetwork()))
    check_the_target_network_gets_no_gradient(
        lambda: Learner(recipe_of(double=True), TinyNetwork())
    )
    broken = TargetLearnsToo(recipe_of(), TinyNetwork())
    with pytest.raises(AssertionError):
        check_the_target_network_gets_no_gradient(lambda: broken)


def test_no_gradient_flows_through_the_target_into_the_online_network():
    """32: with Double, the online network chooses the next action but is not trained by it."""

    def check(step):
        learner = Learner(recipe_of(double=True), TinyNetwork(), step=step)
        batch = random_batches(1)[0]
        learner.update([batch])
        found = [p.grad.clone() for p in learner.online.parameters()]
        fresh = Learner(recipe_of(double=True), TinyNetwork())
        y = targets_of(fresh.parts, batch)
        predicted = fresh.online(batch.states).gather(1, batch.actions[:, None])[:, 0]
        huber_loss(predicted, y).sum().backward()
        for one, other in zip(found, fresh.online.parameters(), strict=True):
            torch.testing.assert_close(one, other.grad)

    check(training_step)

    def residual_gradient(parts, batch):
        next_q = parts.online(batch.next_states)
        y = td_targets(batch.rewards, batch.discounts, batch.terminated, next_q)
        return fit_targets(parts, batch, y)

    with pytest.raises(AssertionError):
        check(residual_gradient)


def check_target_moves_only_at(learner, moves_at, updates):
    moved = []
    for update in range(1, updates + 1):
        before = weights_of(learner.target)
        learner.update(random_batches(1, seed=update))
        if not torch.equal(weights_of(learner.target), before):
            moved.append(update)
            assert torch.equal(weights_of(learner.target), weights_of(learner.online))
    assert moved == moves_at
    assert learner.updates == updates


def test_target_changes_only_when_its_steps_have_passed():
    """32: every target_every_steps / train_every_steps updates."""
    recipe = recipe_of(target_every_steps=28, train_every_steps=4)
    check_target_moves_only_at(Learner(recipe, TinyNetwork()), [7, 14], 20)

    class CountsStepsAsUpdates(Learner):
        def _move_target(self):
            if self.updates % self.recipe.target_every_steps == 0:
                self._copy_target(self.online, self.target, 1.0)

    class CopiesAlways(Learner):
        def _move_target(self):
            self._copy_target(self.online, self.target, 1.0)

    for broken in (CountsStepsAsUpdates, CopiesAlways):
        with pytest.raises(AssertionError):
            check_target_moves_only_at(broken(recipe, TinyNetwork()), [7, 14], 20)


def check_hard_copy(copy_target):
    online, target = TinyNetwork(1), TinyNetwork(2)
    kept = weights_of(online)
    copy_target(online, target, 1.0)
    assert torch.equal(weights_of(target), kept) and torch.equal(weights_of(online), kept)
    with torch.no_grad():
        next(online.parameters()).add_(1.0)
    assert torch.equal(weights_of(target), kept)  # a copy, not the same memory


def check_soft_copy(copy_target, tau=0.125):
    online, target = TinyNetwork(1), TinyNetwork(2)
    a, b = weights_of(online), weights_of(target)
    copy_target(online, target, tau)
    torch.testing.assert_close(weights_of(target), (1 - tau) * b + tau * a)
    assert torch.equal(weights_of(online), a)


def exchange_roles(online, target, tau=1.0):
    update_target(target, online, tau)


def share_memory(online, target, tau=1.0):
    for mine, other in zip(target.parameters(), online.parameters(), strict=True):
        mine.data = other.data


def exchange_shares(online, target, tau=1.0):
    update_target(online, target, 1 - tau)


def test_update_target_copies_and_mixes():
    check_hard_copy(update_target)
    check_soft_copy(update_target)
    for broken in (exchange_roles, share_memory, exchange_shares):
        with pytest.raises(AssertionError):
            check_hard_copy(broken)
    for broken in (exchange_roles, exchange_shares, lambda o, t, tau: update_target(o, t)):
        with pytest.raises(AssertionError):
            check_soft_copy(broken)


def check_soft_target_follows_each_update(learner):
    """Targets after each update, recomputed by hand from the online weights seen then."""
    expected = weights_of(learner.target)
    for seed in range(3):
        learner.update(random_batches(1, seed=seed))
        expected = 0.9 * expected + 0.1 * weights_of(learner.online)
        torch.testing.assert_close(weights_of(learner.target), expected)
    learner.update(random_batches(4, seed=9))  # four at once: four mixes
    alone = Learner(learner.recipe, TinyNetwork())
    for seed in range(3):
        alone.update(random_batches(1, seed=seed))
    for batch in random_batches(4, seed=9):
        alone.update([batch])
    torch.testing.assert_close(weights_of(learner.target), weights_of(alone.target))


def test_a_soft_target_moves_at_every_update():
    recipe = recipe_of(target_tau=0.1)
    check_soft_target_follows_each_update(Learner(recipe, TinyNetwork()))

    class MixesOncePerCall(Learner):
        def updates_before_copy(self):
            return 10**9

    class MixesWhenAHardCopyIsDue(Learner):
        def _move_target(self):
            if self.updates % self.recipe.target_every_updates == 0:
                super()._move_target()

    for broken in (MixesOncePerCall, MixesWhenAHardCopyIsDue):
        with pytest.raises(AssertionError):
            check_soft_target_follows_each_update(broken(recipe, TinyNetwork()))


# ---- several minibatches at once -----------------------------------------------------------------


def check_together_equals_one_by_one(make, calls=(5, 1, 4), tolerance=1e-6):
    batches = random_batches(sum(calls), seed=3)
    together, alone = make(), Learner(make().recipe, TinyNetwork())
    metrics, start = [], 0
    for count in calls:
        metrics += together.update(batches[start : start + count])
        start += count
    expected = [alone.update([batch])[0] for batch in batches]
    assert len(metrics) == len(batches) and together.updates == alone.updates == len(batches)
    for one, other in zip(metrics, expected, strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=0)
    for name in ("online", "target"):
        one, other = (weights_of(getattr(each, name)) for each in (together, alone))
        torch.testing.assert_close(one, other, atol=tolerance, rtol=0)


class SharesAcrossCopies(Learner):
    def updates_before_copy(self):
        return 10**9

    def _move_target(self):
        if self.updates // 3 > (self.updates - 1) // 3:
            self._copy_target(self.online, self.target, 1.0)


class SharesUnderDouble(Learner):
    def update_between_copies(self, batches):
        targets = [targets_of(self.parts, batch) for batch in batches]  # all beforehand
        return [fit_targets(self.parts, b, y) for b, y in zip(batches, targets, strict=True)]


def test_updates_with_shared_targets_equal_updates_one_by_one():
    """37: K minibatches in one call, with target copies falling inside them."""
    recipe = recipe_of(target_every_steps=12, learning_rate=0.02)  # a copy every 3 updates
    check_together_equals_one_by_one(lambda: Learner(recipe, TinyNetwork()))
    with pytest.raises(AssertionError):
        check_together_equals_one_by_one(lambda: SharesAcrossCopies(recipe, TinyNetwork()))


def test_double_shares_no_targets():
    """37: Double's argmax depends on the updates in between."""
    recipe = recipe_of(target_every_steps=12, learning_rate=0.02, double=True)
    check_together_equals_one_by_one(lambda: Learner(recipe, TinyNetwork()))
    with pytest.raises(AssertionError):
        check_together_equals_one_by_one(lambda: SharesUnderDouble(recipe, TinyNetwork()))


def test_shared_targets_really_come_from_one_forward_pass():
    """37: the speed that sharing is for, and never across a copy of the target."""
    sizes = []

    def spy(rewards, *rest):
        sizes.append(len(rewards))
        return td_targets(rewards, *rest)

    recipe = recipe_of(target_every_steps=12)
    learner = Learner(recipe, TinyNetwork(), targets=spy)
    learner.update(random_batches(2))
    learner.update(random_batches(6))
    assert sizes == [64, 32, 96, 64]  # copies fall after updates 3 and 6
    sizes.clear()
    Learner(recipe_of(double=True), TinyNetwork(), targets=spy).update(random_batches(3))
    assert sizes == [32] * 3


def test_shared_targets_of_the_real_network():
    """37: in fp32 with convolutions."""
    batches = random_batches(2, shape=(4, 36, 36), actions=4)
    learner = Learner(recipe_of(), QNetwork(4, (36, 36)))
    together = Batch(*(torch.cat(fields) for fields in zip(*batches, strict=True)))
    shared = targets_of(learner.parts, together)
    alone = torch.cat([targets_of(learner.parts, batch) for batch in batches])
    torch.testing.assert_close(shared, alone, atol=1e-6, rtol=0)


def test_a_learners_own_step_gets_each_minibatch():
    seen = []

    def my_step(parts, batch):
        seen.append(len(batch.actions))
        return training_step(parts, batch)

    Learner(recipe_of(), TinyNetwork(), step=my_step).update(random_batches(3))
    assert seen == [32] * 3


def test_nobody_waits_for_the_device():
    """41: metrics stay tensors, one per update; `.item()` is the reporter's business."""
    for metrics in Learner(recipe_of(), TinyNetwork()).update(random_batches(2)):
        assert metrics.loss.shape == metrics.q_mean.shape == ()
        assert not metrics.loss.requires_grad and not metrics.q_mean.requires_grad


# ---- optimisers ----------------------------------------------------------------------------------

GRADIENTS = np.random.default_rng(5).normal(0, 0.02, size=(60, 7))


def follow(make, gradients=GRADIENTS):
    """Where an optimiser takes a parameter that begins at zero."""
    parameter = nn.Parameter(torch.zeros(gradients.shape[1]))
    optimizer = make([parameter])
    path = []
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient, dtype=torch.float32)
        optimizer.step()
        path.append(parameter.detach().double().numpy().copy())
    return np.array(path)


def nature_by_hand(lr, rho1, rho2, eps, gradients=GRADIENTS):
    """NeuralQLearner.lua, one number at a time, in double precision."""
    path = np.zeros_like(gradients)
    for column in range(gradients.shape[1]):
        x = g = g2 = 0.0
        for time, dw in enumerate(gradients[:, column]):
            g = rho1 * g + (1 - rho1) * dw
            g2 = rho2 * g2 + (1 - rho2) * dw * dw
            x -= lr * dw / math.sqrt(g2 - g * g + eps)
            path[time, column] = x
    return path


def check_nature_rmsprop(make, rho1=0.95, rho2=0.95):
    expected = nature_by_hand(0.1, rho1, rho2, 0.01)
    np.testing.assert_allclose(follow(make), expected, atol=1e-6, rtol=1e-5)


def test_nature_rmsprop_follows_the_published_recurrence():
    """33: centred, epsilon inside the root, no momentum, no bias correction."""
    check_nature_rmsprop(lambda p: NatureRMSProp(p, lr=0.1))
    check_nature_rmsprop(
        lambda p: NatureRMSProp(p, 0.1, gradient_momentum=0.5, squared_gradient_momentum=0.9),
        0.5, 0.9,
    )  # fmt: skip
    rmsprop = torch.optim.RMSprop
    for broken in (
        lambda p: rmsprop(p, lr=0.1, alpha=0.95, eps=0.01, centered=True),
        lambda p: rmsprop(p, lr=0.1, alpha=0.95, eps=0.1, centered=True),
        lambda p: rmsprop(p, lr=0.1, alpha=0.95, eps=0.01, centered=True, momentum=0.95),
        lambda p: NatureRMSProp(p, 0.1, squared_gradient_momentum=0.9),
        lambda p: NatureRMSProp(p, 0.1, gradient_momentum=0.0),
    ):
        with pytest.raises(AssertionError):
            check_nature_rmsprop(broken)


def check_far_from_pytorchs(make):
    """With epsilon 0.01 in PyTorch's place, steps are more than twice as long."""
    for centered in (False, True):
        theirs = follow(
            lambda p: torch.optim.RMSprop(p, lr=0.1, alpha=0.95, eps=0.01, centered=centered)  # noqa: B023 - called at once
        )
        ours = follow(make)
        lengths = [np.abs(np.diff(path, axis=0))[20:].mean() for path in (theirs, ours)]
        assert lengths[0] / lengths[1] > 2


def test_nature_rmsprop_is_not_pytorchs_with_the_same_epsilon():
    """33: gradients of size 0.02, as summed over a minibatch late in training."""
    check_far_from_pytorchs(lambda p: NatureRMSProp(p, lr=0.1))
    with pytest.raises(AssertionError):
        check_far_from_pytorchs(lambda p: torch.optim.RMSprop(p, lr=0.1, alpha=0.95, eps=0.01))


def trained_weights(**changes):
    learner = Learner(recipe_of(**changes), TinyNetwork())
    learner.update(random_batches(6, scale=2.0))
    return weights_of(learner.online)


def check_sum_equals_mean(**mean_settings):
    summed = trained_weights(loss_reduction="sum", optimizer_epsilon=0.01)
    mean = trained_weights(loss_reduction="mean", **mean_settings)
    assert (summed - weights_of(TinyNetwork())).abs().max() > 1e-3  # something was learnt
    torch.testing.assert_close(summed, mean, atol=2e-5, rtol=0)


def test_a_summed_loss_equals_a_mean_with_a_smaller_epsilon():
    """34: sum with 0.01 is mean with 0.01 / 32²."""
    check_sum_equals_mean(optimizer_epsilon=0.01 / 32**2)
    for broken in (0.01, 0.01 / 32):
        with pytest.raises(AssertionError):
            check_sum_equals_mean(optimizer_epsilon=broken)
    with pytest.raises(AssertionError):
        check_sum_equals_mean(optimizer_epsilon=0.01, learning_rate=0.005 / 32)


def check_rmsprop_is_uncentred(make):
    expected = np.zeros_like(GRADIENTS)
    for column in range(GRADIENTS.shape[1]):
        x = v = 0.0
        for time, dw in enumerate(GRADIENTS[:, column] + 0.05):
            v = 0.9 * v + 0.1 * dw * dw
            x -= 0.1 * dw / (math.sqrt(v) + 0.03)
            expected[time, column] = x
    np.testing.assert_allclose(follow(make, GRADIENTS + 0.05), expected, rtol=1e-4, atol=1e-6)


def test_recipe_rmsprop_is_uncentred_with_epsilon_outside_the_root():
    recipe = recipe_of(
        optimizer="rmsprop", learning_rate=0.1, optimizer_epsilon=0.03,
        squared_gradient_momentum=0.9,
    )  # fmt: skip
    check_rmsprop_is_uncentred(lambda p: make_optimizer(recipe, p))
    for broken in (
        lambda p: torch.optim.RMSprop(p, lr=0.1, alpha=0.9, eps=0.03, centered=True),
        lambda p: NatureRMSProp(p, 0.1, 0.9, 0.9, 0.03),
        lambda p: make_optimizer(dataclasses.replace(recipe, optimizer_epsilon=1e-8), p),
    ):
        with pytest.raises(AssertionError):
            check_rmsprop_is_uncentred(broken)


def keras_adam_by_hand(lr, eps, beta1=0.9, beta2=0.999):
    """Keras 2: the step size is corrected for the bias, and epsilon added to the bare root."""
    path = np.zeros_like(GRADIENTS)
    for column in range(GRADIENTS.shape[1]):
        x = m = v = 0.0
        for time, dw in enumerate(GRADIENTS[:, column]):
            m = beta1 * m + (1 - beta1) * dw
            v = beta2 * v + (1 - beta2) * dw * dw
            step = lr * math.sqrt(1 - beta2 ** (time + 1)) / (1 - beta1 ** (time + 1))
            x -= step * m / (math.sqrt(v) + eps)
            path[time, column] = x
    return path


@pytest.mark.parametrize("eps", [1e-7, 1e-3])
def test_keras_adam_follows_its_recurrence(eps):
    """Bugs: epsilon inside the correction (PyTorch's), the time off by one."""

    def check(make):
        np.testing.assert_allclose(follow(make), keras_adam_by_hand(0.1, eps), rtol=2e-4, atol=1e-6)

    recipe = recipe_of(optimizer="keras_adam", learning_rate=0.1, optimizer_epsilon=eps)
    check(lambda p: make_optimizer(recipe, p))
    if eps > 1e-5:  # with 1e-7 the two cannot be told apart here
        with pytest.raises(AssertionError):
            check(lambda p: torch.optim.Adam(p, lr=0.1, eps=eps))


def check_adams_epsilon(make):
    """The first step is lr g / (|g| + eps): with g at eps, half of lr."""
    gradient = np.full((1, 2), 1.5e-4)
    assert follow(make, gradient)[0] == pytest.approx([-0.05, -0.05], rel=1e-3)


def test_adam_takes_its_epsilon_from_the_recipe():
    recipe = recipe_of(optimizer="adam", learning_rate=0.1, optimizer_epsilon=1.5e-4)
    check_adams_epsilon(lambda p: make_optimizer(recipe, p))
    with pytest.raises(AssertionError):
        check_adams_epsilon(lambda p: torch.optim.Adam(p, lr=0.1))


def test_parameters_without_gradient_stay():
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = NatureRMSProp([used, unused])
    used.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(unused, torch.ones(2)) and not torch.equal(used, torch.ones(2))


def test_gradients_do_not_add_up_over_updates():
    """A forgotten `zero_grad` trains on the sum of all minibatches so far."""

    def check(step):
        one = Learner(recipe_of(), TinyNetwork(), step=step)
        first, second = random_batches(2)
        one.update([first])
        fresh = copy.deepcopy(one.online)
        fresh.zero_grad(set_to_none=True)
        y = targets_of(one.parts, second)
        predicted = fresh(second.states).gather(1, second.actions[:, None])[:, 0]
        huber_loss(predicted, y).sum().backward()
        one.update([second])
        for mine, other in zip(one.online.parameters(), fresh.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, other.grad)

    check(training_step)

    def keeps_gradients(parts, batch):
        predicted = parts.online(batch.states).gather(1, batch.actions[:, None])[:, 0]
        losses = huber_loss(predicted, targets_of(parts, batch))
        losses.sum().backward()
        parts.optimizer.step()
        return learner_module.Metrics(losses.detach().mean(), predicted.detach().mean())

    with pytest.raises(AssertionError):
        check(keeps_gradients)


# ---- precision and devices -----------------------------------------------------------------------


def test_bf16_keeps_weights_and_targets_in_fp32():
    dtypes = []

    def spy(predicted, target, delta):
        dtypes.extend([predicted.dtype, target.dtype])
        return huber_loss(predicted, target, delta)

    learner = Learner(recipe_of(), TinyNetwork(), "bf16", loss=spy)
    learner.update(random_batches(1))
    assert set(dtypes) == {torch.float32}
    assert {p.dtype for p in learner.online.parameters()} == {torch.float32}
    q_values = learner.q_values(random_batches(1)[0].states)
    assert q_values.dtype == torch.float32 and not q_values.requires_grad


class TestCuda:
    pytestmark = cuda

    def networks(self):
        torch.manual_seed(0)
        cpu = QNetwork(4, (36, 36))
        return cpu, copy.deepcopy(cpu).to("cuda", memory_format=torch.channels_last)

    @pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "nature_rmsprop"])
    def test_an_update_on_cuda_equals_one_on_the_cpu(self, optimizer, monkeypatch):
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
        monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
        cpu, gpu = self.networks()
        batches = random_batches(3, shape=(4, 36, 36), actions=4)
        recipe = recipe_of(optimizer=optimizer, learning_rate=1e-3, target_every_steps=8)
        one, other = Learner(recipe, cpu), Learner(recipe, gpu)
        one.update(batches), other.update(batches)
        for name in ("online", "target"):
            torch.testing.assert_close(
                weights_of(getattr(one, name)), weights_of(getattr(other, name)),
                atol=2e-4, rtol=0,
            )  # fmt: skip

    def test_sampling_and_updating_never_wait_for_the_gpu(self):
        """41: no synchronising call in 100 turns."""
        _, network = self.networks()
        learner = Learner(recipe_of(target_every_steps=40), network)
        memory = FrameRing(400, 2, (36, 36), device="cuda")
        frames = torch.zeros(2, 36, 36, dtype=torch.uint8)
        no, rng = np.zeros(2, dtype=bool), np.random.default_rng(0)
        memory.begin(frames)
        for _ in range(50):
            memory.add(np.zeros(2, np.int64), np.zeros(2, np.float32), no, no, no, frames)
        learner.update([memory.sample(32, rng)])
        torch.cuda.synchronize()

        def turns(after=lambda metrics: None):
            torch.cuda.set_sync_debug_mode("error")
            try:
                for _ in range(100):
                    after(learner.update([memory.sample(32, rng) for _ in range(2)]))
            finally:
                torch.cuda.set_sync_debug_mode("default")

        turns()
        with pytest.raises(RuntimeError):  # the broken variant
            turns(lambda metrics: metrics[0].loss.item())

    def test_the_replay_on_cuda_gives_the_same_batches(self):
        rng = np.random.default_rng(1)
        memories = [FrameRing(200, 2, (8, 8), device=device) for device in ("cpu", "cuda")]
        frames = torch.from_numpy(rng.integers(0, 256, (301, 2, 8, 8), dtype=np.uint8))
        starts = rng.random((300, 2)) < 0.1
        ends = rng.random((300, 2)) < 0.1
        actions = rng.integers(0, 4, (300, 2))
        for memory in memories:
            memory.begin(frames[0])
            for t in range(300):
                rewards = actions[t].astype(np.float32)
                memory.add(actions[t], rewards, ends[t], ends[t] & False, starts[t], frames[t + 1])
        one, other = (memory.sample(500, np.random.default_rng(2)) for memory in memories)
        for name, a, b in zip(Batch._fields, one, other, strict=True):
            assert torch.equal(a, b.cpu()), name
        assert not torch.equal(one.states, memories[1].sample(500, rng).states.cpu())
