"""The learning step: targets, loss, optimisers, and the copy into the target network.

    target y = r + discount * max_a Q(s', a; θ⁻)      (nothing after a terminal state)
    loss     = Huber(Q(s, a; θ) - y)

Source: Mnih et al. 2015, Methods, "Algorithm" and "Training algorithm for deep Q-networks".
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from dqn_ref.hardware import autocast
from dqn_ref.precision import CopyingOptimizer, WorkingCopy
from dqn_ref.replay import Batch
from dqn_ref.settings import Recipe


def td_targets(
    rewards: torch.Tensor,
    discounts: torch.Tensor,
    terminated: torch.Tensor,
    next_q_target: torch.Tensor,
    next_q_online: torch.Tensor | None = None,
) -> torch.Tensor:
    """What Q(s, a) should have been, by the Bellman equation.

    Args:
        rewards: `(B,)` float32.
        discounts: `(B,)` float32.
        terminated: `(B,)` bool; the target is then the reward alone. A truncated game is not
            terminated: its next state keeps its value.
        next_q_target: `(B, A)` float32, target network on the next states.
        next_q_online: `(B, A)` float32, online network on the next states: if given, it chooses
            the action and the target network values it (Double DQN).
    Returns:
        `(B,)` float32.
    Source: Mnih et al. 2015; van Hasselt et al. 2016, equation 4.
    """
    if next_q_online is None:
        next_values = next_q_target.max(dim=1).values
    else:
        best = next_q_online.argmax(dim=1, keepdim=True)
        next_values = next_q_target.gather(1, best).squeeze(1)
    return rewards + discounts * next_values.masked_fill(terminated, 0.0)


def huber_loss(predicted: torch.Tensor, target: torch.Tensor, delta: float = 1.0) -> torch.Tensor:
    """Half the squared error near zero, linear beyond `delta`: clips the gradient of an error.

    Args:
        predicted, target: float32 of one shape.
        delta: where the line begins; inf gives half the squared error everywhere.
    Returns:
        The loss of each element, float32 of that shape.
    Raises:
        ValueError: if the shapes differ; (32, 1) against (32,) would broadcast to (32, 32).
    Source: Huber 1964. Nature clips the error term to [-1, 1], which is this loss's gradient.
    """
    if predicted.shape != target.shape:
        raise ValueError(f"shapes differ: {tuple(predicted.shape)} and {tuple(target.shape)}")
    error = (predicted - target).abs()
    if delta == float("inf"):
        return 0.5 * error**2
    quadratic = error.clamp(max=delta)
    return 0.5 * quadratic**2 + delta * (error - quadratic)


def update_target(online: nn.Module, target: nn.Module, tau: float = 1.0) -> None:
    """Move the target network towards the online network, in place.

    Args:
        online, target: networks of one architecture.
        tau: 1 copies (hard update), less mixes: θ⁻ ← (1 - tau) θ⁻ + tau θ (soft update).
    Source: Mnih et al. 2015 (hard); Lillicrap et al. 2016, section 3 (soft).
    """
    with torch.no_grad():
        for theta_minus, theta in zip(target.parameters(), online.parameters(), strict=True):
            theta_minus.lerp_(theta, tau)


class NatureRMSProp(torch.optim.Optimizer):
    """RMSProp as the published DQN code has it: centred, epsilon inside the root, no momentum.

        m ← ρ₁ m + (1 - ρ₁) g       the running mean of the gradient g
        v ← ρ₂ v + (1 - ρ₂) g²      that of its square
        θ ← θ - lr g / sqrt(v - m² + ε)

    Args:
        params: as for any optimiser.
        lr: step size.
        gradient_momentum: ρ₁.
        squared_gradient_momentum: ρ₂.
        eps: ε; 0.01 for gradients summed over a minibatch of 32.
    Source: Mnih et al. 2015, Extended Data Table 1, and `NeuralQLearner.lua` of its code.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 2.5e-4,
        gradient_momentum: float = 0.95,
        squared_gradient_momentum: float = 0.95,
        eps: float = 0.01,
    ):
        super().__init__(
            params,
            {"lr": lr, "rho1": gradient_momentum, "rho2": squared_gradient_momentum, "eps": eps},
        )

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> None:
        """Apply the gradients once. `closure` is not supported."""
        for group in self.param_groups:
            rho1, rho2 = group["rho1"], group["rho2"]
            params = [p for p in group["params"] if p.grad is not None]
            grads = [p.grad for p in params]
            for p in params:
                if not self.state[p]:
                    self.state[p]["mean"] = torch.zeros_like(p)
                    self.state[p]["mean_square"] = torch.zeros_like(p)
            means = [self.state[p]["mean"] for p in params]
            squares = [self.state[p]["mean_square"] for p in params]
            # The list versions launch one kernel per line instead of one per layer.
            torch._foreach_lerp_(means, grads, 1 - rho1)
            torch._foreach_mul_(squares, rho2)
            torch._foreach_addcmul_(squares, grads, grads, 1 - rho2)
            roots = torch._foreach_addcmul(squares, means, means, -1.0)
            torch._foreach_add_(roots, group["eps"])
            torch._foreach_sqrt_(roots)
            torch._foreach_addcdiv_(params, grads, roots, -group["lr"])


class KerasAdam(torch.optim.Adam):
    """Adam as Keras has it: epsilon is added before the mean square is corrected for its bias.

        θ ← θ - lr √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε)

    The same as PyTorch's Adam with ε / √(1 - β₂ᵗ): 32 times ε at the first update, 1.26 ε after
    a thousand.

    Source: Kingma and Ba 2015, the end of section 2 (ε there is "ε hat"); Keras 2.
    """

    def __init__(self, params: Iterable, lr: float, eps: float, fused: bool = True):
        super().__init__(params, lr=lr, eps=eps, fused=fused)
        self._keras_eps = eps

    def step(self, closure: Callable | None = None) -> None:
        """Apply the gradients once. `closure` is not supported."""
        for group in self.param_groups:
            states = [self.state[p] for p in group["params"] if self.state.get(p)]
            time = 1 + (int(states[0]["step"]) if states else 0)
            group["eps"] = self._keras_eps / math.sqrt(1 - group["betas"][1] ** time)
        super().step()


def make_optimizer(
    recipe: Recipe, parameters: Iterable, nature_rms_prop: Callable = NatureRMSProp
) -> torch.optim.Optimizer:
    """The optimiser a recipe names; `nature_rms_prop` is the piece."""
    parameters = list(parameters)
    lr, eps = recipe.learning_rate, recipe.optimizer_epsilon
    on_gpu = parameters[0].is_cuda  # "capturable": a CUDA graph may hold the step
    if recipe.optimizer == "adam":
        # fused: one pass over the weights, 1.2 ms instead of 5.8 (one CPU thread, busy machine).
        return torch.optim.Adam(parameters, lr=lr, eps=eps, fused=True, capturable=on_gpu)
    if recipe.optimizer == "keras_adam":
        return KerasAdam(parameters, lr, eps)
    if recipe.optimizer == "rmsprop":
        decay = recipe.squared_gradient_momentum
        return torch.optim.RMSprop(parameters, lr=lr, alpha=decay, eps=eps, capturable=on_gpu)
    return nature_rms_prop(
        parameters, lr, recipe.gradient_momentum, recipe.squared_gradient_momentum, eps
    )


class Diagnostics(NamedTuple):
    """More about one update, for the printed logs; means over the minibatch, 0-d tensors."""

    q_max: torch.Tensor  # of max Q(s, ·)
    absolute_error: torch.Tensor  # of |Q(s, a) - y|
    squared_error: torch.Tensor
    # The same two as keras-rl printed them: over all actions, those not taken with a target of 0.
    absolute_artefact: torch.Tensor
    squared_artefact: torch.Tensor


class Metrics(NamedTuple):
    """What an update reports; 0-d tensors, so that nobody waits for the device."""

    loss: torch.Tensor  # of the minibatch
    q_mean: torch.Tensor  # mean Q(s, a) of the minibatch
    diagnostics: Diagnostics | None = None  # if the learner's parts ask for them


@dataclass(frozen=True)
class LearnerParts:
    """What a training step works with."""

    online: nn.Module
    target: nn.Module
    optimizer: torch.optim.Optimizer
    td_targets: Callable[..., torch.Tensor]
    huber_loss: Callable[..., torch.Tensor]
    huber_delta: float
    loss_reduction: str
    double: bool
    diagnostics: bool = False  # whether updates report them


def targets_of(parts: LearnerParts, batch: Batch) -> torch.Tensor:
    """Targets of a batch, `(B,)` float32; no gradient flows into them."""
    with torch.no_grad():
        next_q_target = parts.target(batch.next_states).float()
        next_q_online = parts.online(batch.next_states).float() if parts.double else None
        return parts.td_targets(
            batch.rewards, batch.discounts, batch.terminated, next_q_target, next_q_online
        )


def fit_targets(parts: LearnerParts, batch: Batch, targets: torch.Tensor) -> Metrics:
    """One gradient step that moves Q(s, a) of a batch towards its targets."""
    q_values = parts.online(batch.states).float()
    predicted = q_values.gather(1, batch.actions[:, None]).squeeze(1)
    losses = parts.huber_loss(predicted, targets, parts.huber_delta)
    loss = losses.sum() if parts.loss_reduction == "sum" else losses.mean()
    parts.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    parts.optimizer.step()
    more = _diagnose(q_values.detach(), batch.actions, targets) if parts.diagnostics else None
    return Metrics(losses.detach().mean(), predicted.detach().mean(), more)


def _diagnose(q_values: torch.Tensor, actions: torch.Tensor, targets: torch.Tensor) -> Diagnostics:
    """Diagnostics of an update: `q_values` `(B, A)` before it, `actions` and `targets` `(B,)`."""
    errors = q_values.gather(1, actions[:, None]).squeeze(1) - targets
    artefacts = q_values.scatter(1, actions[:, None], errors[:, None])
    return Diagnostics(
        q_values.max(dim=1).values.mean(),
        errors.abs().mean(),
        errors.square().mean(),
        artefacts.abs().mean(),
        artefacts.square().mean(),
    )


def training_step(parts: LearnerParts, batch: Batch) -> Metrics:
    """One update on one minibatch: targets, loss, gradient, optimiser.

    Args:
        parts: networks, optimiser and the two formulas.
        batch: `B` transitions as tensors on the networks' device.
    Returns:
        Loss and mean Q-value of the minibatch.
    Source: Mnih et al. 2015, Algorithm 1, the lines from "Sample random minibatch" on.
    """
    return fit_targets(parts, batch, targets_of(parts, batch))


class Learner:
    """Online and target network with their optimiser; counts updates.

    `online` and `target` are the fp32 weights; whoever writes into them calls `refresh`.

    Args:
        recipe: its learning fields are honoured.
        online: the network to train, on its device.
        precision: "fp32" or "bf16", of the arithmetic.
        step, targets, loss, copy_target, nature_rms_prop: the pieces; by default the reference's.
    """

    def __init__(
        self,
        recipe: Recipe,
        online: nn.Module,
        precision: str = "fp32",
        step: Callable = training_step,
        targets: Callable = td_targets,
        loss: Callable = huber_loss,
        copy_target: Callable = update_target,
        nature_rms_prop: Callable = NatureRMSProp,
    ):
        self.recipe = recipe
        self.device = next(online.parameters()).device
        self.precision = precision
        self.online = online
        self.target = copy.deepcopy(online).requires_grad_(False)
        self.optimizer = make_optimizer(recipe, online.parameters(), nature_rms_prop)
        self.updates = 0
        self._step, self._copy_target = step, copy_target
        self._online = WorkingCopy(self.online, precision)
        self._target = WorkingCopy(self.target, precision)
        copies = self._online.network is not self.online
        self.parts = LearnerParts(
            self._online.network,
            self._target.network,
            CopyingOptimizer(self.optimizer, self._online) if copies else self.optimizer,
            targets,
            loss,
            recipe.huber_delta,
            recipe.loss_reduction,
            recipe.double,
            diagnostics=recipe.print_log != "none",
        )

    def refresh(self) -> None:
        """Make the arithmetic follow `online` and `target` after they were written to."""
        self._online.refresh()
        self._target.refresh()

    @torch.no_grad()
    def q_values(self, states: torch.Tensor) -> torch.Tensor:
        """`(L, A)` float32 of the online network, on the host."""
        with autocast(self.precision, self.device):
            return self._online.network(states).float().cpu()

    def update(self, batches: Sequence[Batch]) -> list[Metrics]:
        """One update per batch, in order; the target network moves when its time comes."""
        metrics: list[Metrics] = []
        while len(metrics) < len(batches):
            count = min(len(batches) - len(metrics), self.updates_before_copy())
            chunk = [b.to(self.device) for b in batches[len(metrics) : len(metrics) + count]]
            metrics += self.update_between_copies(chunk)
            self.count(count)
        return metrics

    def update_between_copies(self, batches: Sequence[Batch]) -> list[Metrics]:
        """Updates between which the target network stays put; call `count` afterwards.

        Their targets do not depend on the updates in between, so all come from one forward
        pass. Double's choice of action does depend on them, and a learner's own step knows
        nothing of this. Everything in here can be captured in a CUDA graph.
        """
        with autocast(self.precision, self.device):
            if len(batches) == 1 or self.recipe.double or self._step is not training_step:
                return [self._step(self.parts, batch) for batch in batches]
            rest = list(zip(*batches, strict=True))[2:]  # targets need neither states nor actions
            together = Batch(None, None, *(torch.cat(fields) for fields in rest))
            targets = targets_of(self.parts, together).split([len(b.actions) for b in batches])
            pairs = zip(batches, targets, strict=True)
            return [fit_targets(self.parts, batch, target) for batch, target in pairs]

    def count(self, updates: int) -> None:
        """Note that so many updates were made, and move the target network if it is time."""
        self.updates += updates
        self._move_target()

    def _move_target(self) -> None:
        tau = self.recipe.target_tau
        if tau < 1 or self.updates % self.recipe.target_every_updates == 0:
            self._copy_target(self.online, self.target, tau)
            self._target.refresh()

    def updates_before_copy(self) -> int:
        """Updates until the target network moves, this many included: 1 or more."""
        if self.recipe.target_tau < 1:
            return 1
        every = self.recipe.target_every_updates
        return every - self.updates % every
