"""What the check of the training step sets up: small networks, batches, and a record of all calls.

Both formulas are the reference's and note what they are given; the optimiser is plain gradient
descent and notes what it finds. Everything that a learner can read is the effect of the calls:
targets, predictions, the gradient at the optimiser's step, both networks afterwards, the report.
How they are made is not looked at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from dqn_ref.course.catalogue.judging import Fact, Trace
from dqn_ref.course.catalogue.learning_facts import flat
from dqn_ref.course.catalogue.loop_arguments import Misused, bound, check_loss, check_targets
from dqn_ref.course.catalogue.loop_known import Known
from dqn_ref.course.catalogue.loop_update_facts import targets_facts, update_facts
from dqn_ref.learner import LearnerParts, huber_loss, td_targets
from dqn_ref.replay import Batch

ACTIONS = 3
_SHAPE = (2, 2, 3)  # of a state


class OneLayer(nn.Module):
    """Bytes in and divided by 255 inside, as in the Q-network; one layer is all there is."""

    def __init__(self, seed: int, dtype: torch.dtype = torch.float32):
        super().__init__()
        generator, pixels = torch.Generator().manual_seed(seed), int(np.prod(_SHAPE))
        self.weights = nn.Parameter(torch.randn(ACTIONS, pixels, generator=generator))
        self.biases = nn.Parameter(torch.randn(ACTIONS, generator=generator))
        self.dtype = dtype  # of the answer

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        found = getattr(states, "shape", type(states).__name__)
        if found[1:] != _SHAPE:
            found = found if isinstance(found, str) else tuple(found)
            raise ValueError(f"a network here takes states of shape (B, 2, 2, 3), given: {found}")
        pixels = states.flatten(1).float() / 255
        return (pixels @ self.weights.T + self.biases).to(self.dtype)


@dataclass
class Record:
    """What one update asked of its parts, in order."""

    calls: list[str] = field(default_factory=list)  # zero_grad, backward, step
    targets: list[dict[str, torch.Tensor | None]] = field(default_factory=list)  # of td_targets
    losses: list[dict[str, Any]] = field(default_factory=list)  # of huber_loss before the step
    gradient: np.ndarray | None = None  # at the first step
    known: Known | None = None

    def note(self, call: str) -> None:
        if call != "backward" or self.calls[-1:] != ["backward"]:  # row by row is fine
            self.calls.append(call)

    def td_targets(self, *given: Any, **named: Any) -> torch.Tensor:
        call = bound(td_targets, given, named)
        check_targets(call, self.known, ACTIONS)
        result = td_targets(**call)
        kept = {k: v if v is None else v.detach().clone() for k, v in call.items()}
        self.targets.append({**kept, "result": flat(result)})
        return result

    def huber_loss(self, *given: Any, **named: Any) -> torch.Tensor:
        call = bound(huber_loss, given, named)
        check_loss(call, self.known)
        result = huber_loss(**call)
        if "step" not in self.calls:
            kept = {key: call[key].detach().clone() for key in ("predicted", "target")}
            self.losses.append({**kept, "delta": float(call["delta"])})
        return result


class Descent:
    """Plain gradient descent that notes when it is asked for what.

    No subclass of PyTorch's optimisers: the first of these loads a second's worth of modules.
    """

    def __init__(self, network: nn.Module, lr: float):
        self.param_groups = [{"params": list(network.parameters()), "lr": lr}]
        self.record = Record()

    def listen(self, parameter: nn.Parameter) -> None:
        """Note when a gradient comes by; one parameter is enough to hear it."""
        parameter.register_hook(lambda gradient: self.record.note("backward"))

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.record.note("zero_grad")
        for p in self.param_groups[0]["params"]:
            if set_to_none or p.grad is None:
                p.grad = None
            else:
                p.grad = torch.zeros_like(p)

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> None:
        params = self.param_groups[0]["params"]
        if "step" not in self.record.calls and all(p.grad is not None for p in params):
            self.record.gradient = np.concatenate([flat(p.grad) for p in params])
        self.record.note("step")
        for p in params:
            if p.grad is not None:
                p -= self.param_groups[0]["lr"] * p.grad


# Errors show these names.
OneLayer.__name__, OneLayer.forward.__qualname__ = "QNetwork", "QNetwork.forward"
Descent.__name__ = "Optimizer"
for _method in (Descent.step, Descent.zero_grad):
    _method.__qualname__ = f"Optimizer.{_method.__name__}"


@dataclass(frozen=True)
class Updates:
    """One scene: some updates with one set of parts, each on a batch of its own."""

    seed: int
    settings: dict[str, Any]  # of LearnerParts
    updates: int = 3
    size: int = 4  # of a batch
    scale: float = 1.0  # of the rewards
    lr: float = 0.05
    frozen: bool = True  # the target network, as the learner keeps it
    shared: bool = False  # one network is online and target
    dtype: torch.dtype = torch.float32  # of the networks' answers

    def observe(self, piece: Callable, seen: Trace | None) -> Iterator[Fact]:
        online = OneLayer(self.seed, self.dtype)
        target = online if self.shared else OneLayer(self.seed + 50, self.dtype)
        if not self.shared:
            target.requires_grad_(not self.frozen)
        optimizer, before = Descent(online, self.lr), None
        optimizer.listen(online.biases)
        for number in range(self.updates):
            batch = self.batch(number)
            given = Batch(*(values.clone() for values in batch))
            record = optimizer.record = Record()
            parts = self.parts(online, target, optimizer)
            record.known = known = Known(parts, batch)
            called = Fact("how the formulas are called", "so that they can be computed")
            try:
                result = piece(parts, given)
            except Misused as error:
                told = {"value": error.sentence, "tell": error.sentence, "hint": error.hint}
                yield dataclasses.replace(called, **told)
                yield from targets_facts(f"update {number + 1}", record, known, self.size)
                return
            yield called
            yield from update_facts(number + 1, parts, record, known, result, given, before)
            before = record.gradient

    def parts(self, online: nn.Module, target: nn.Module, optimizer: Descent) -> LearnerParts:
        settings = {"huber_delta": 1.0, "loss_reduction": "mean", "double": False, **self.settings}
        record = optimizer.record
        return LearnerParts(
            online, target, optimizer, record.td_targets, record.huber_loss, **settings
        )

    def batch(self, number: int) -> Batch:
        """Transitions with random contents; some terminate, and discounts differ."""
        rng = np.random.default_rng([self.seed, number])
        states = torch.from_numpy(rng.integers(0, 256, (2, self.size, *_SHAPE), dtype=np.uint8))
        rewards = torch.from_numpy(rng.integers(-16, 17, self.size) / 8 * self.scale).float()
        terminated = torch.from_numpy(rng.permutation(self.size) < 1 + number % 2)
        discounts = torch.from_numpy(rng.choice([0.99, 0.9, 0.75, 0.5], self.size)).float()
        actions = torch.from_numpy(rng.permutation(np.arange(self.size) % ACTIONS))
        return Batch(states[0], actions, rewards, discounts, terminated, states[1])
