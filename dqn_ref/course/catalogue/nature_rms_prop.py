"""Nature's RMSProp of chapter 07: its gradients, and optimisers of other make.

Contract: `dqn_ref.pieces.CONTRACTS["NatureRMSProp"]`. In words: a `torch.optim.Optimizer` with two
running means for each parameter, of the gradient and of its square, both from 0; a step along the
gradient, divided by the root of variance plus eps. Parameters without a gradient are left out.

Open is the order of equal operations, and how `state` is laid out. Putting a new tensor into a
parameter passes with a remark. The wrong versions are in `learning_wrong_roots`
and `learning_wrong_steps`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from dqn_ref.course.catalogue.judging import Entry, Fact, Probe, RightVersion, Trace
from dqn_ref.course.catalogue.learning_facts import (
    LeftOpen,
    Numbers,
    flat,
    number,
    numbers,
    unchanged,
)
from dqn_ref.course.catalogue.learning_wrong_steps import wrong
from dqn_ref.learner import NatureRMSProp

HINTS = {
    1: "the idea: two running means for each parameter, from 0; first both means, then a step "
    "along the gradient itself",
    2: "the calls: self.state[p], torch.zeros_like, mul_, add_, addcmul_, addcdiv_; everything in "
    "place",
    3: "the root: mean of the squares minus square of the mean, plus eps, inside",
    4: "groups: settings are read at each step; parameters without a gradient are left out; "
    "gradients stay as they are",
}

_NAMED = {"lr": 0.5, "gradient_momentum": 0.9, "squared_gradient_momentum": 0.6, "eps": 0.04}


@dataclass(frozen=True)
class Steps:
    """Updates of some parameters with gradients drawn by dice, or with those given."""

    shapes: tuple[tuple[int, ...], ...]
    count: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    in_order: tuple[float, ...] = ()  # settings handed over by their places
    gradients: tuple[float, ...] = ()  # of one number; without them: by dice
    sizes: tuple[float, ...] = (1.0,)  # of gradients, taken by turns
    start: float = 2.0
    without: Mapping[int, tuple[int, ...]] = field(default_factory=dict)  # update -> parameters
    groups: tuple[Mapping[str, float], ...] = ()  # one for each parameter
    new_settings: Mapping[int, Mapping[str, float]] = field(default_factory=dict)  # of group 0
    reload_after: int = 0
    hint: int = 1

    def observe(self, piece: Callable, seen: Trace | None) -> Iterator[Fact]:
        rng = np.random.default_rng([27, self.count])
        parameters = [
            nn.Parameter(torch.from_numpy(rng.normal(0, self.start, shape)).float())
            for shape in self.shapes
        ]
        optimizer = piece(self._given(parameters), *self.in_order, **self.settings)
        kind = type(optimizer).__name__
        tell = f"it makes a {kind}, expected a torch.optim.Optimizer"
        yield Fact("an optimiser", isinstance(optimizer, torch.optim.Optimizer), tell, 2)
        scale = self.settings.get("lr", 2.5e-4) if not self.in_order else self.in_order[0]
        for update in range(self.count):
            if update == self.reload_after > 0:
                parameters, optimizer = self._reloaded(piece, parameters, optimizer)
            for key, value in self.new_settings.get(update, {}).items():
                optimizer.param_groups[0][key] = value
            self._put_gradients(parameters, update, rng)
            yield from self._one_update(optimizer, parameters, update, scale)

    def _given(self, parameters: list[nn.Parameter]):
        if not self.groups:
            return iter(parameters)  # as `network.parameters()`: to be gone through once
        return [{"params": [p], **g} for p, g in zip(parameters, self.groups, strict=True)]

    def _reloaded(self, piece, parameters, optimizer):
        """What a checkpoint brings back: parameters, and a new optimiser with the old one's state.

        Their settings come back by it, too.
        """
        saved = copy.deepcopy(optimizer.state_dict())
        parameters = [nn.Parameter(p.detach().clone()) for p in parameters]
        optimizer = piece(self._given(parameters))
        optimizer.load_state_dict(saved)
        return parameters, optimizer

    def _put_gradients(self, parameters, update: int, rng) -> None:
        for place, p in enumerate(parameters):
            drawn = rng.normal(0, self.sizes[update % len(self.sizes)], tuple(p.shape))
            if self.gradients:
                drawn = np.full(tuple(p.shape), self.gradients[update])
            missing = place in self.without.get(update, ())
            p.grad = None if missing else torch.from_numpy(np.asarray(drawn)).float()

    def _one_update(self, optimizer, parameters, update: int, scale: float) -> Iterator[Fact]:
        kept = {f"gradient {n}": p.grad.clone() for n, p in enumerate(parameters)
                if p.grad is not None}  # fmt: skip
        before = [flat(p) for p in parameters]
        optimizer.step()
        after = np.concatenate([flat(p) for p in parameters])
        with np.errstate(invalid="ignore"):  # inf - inf, of a step that went astray
            moves = after - np.concatenate(before)
        # Adding a small step to a large number rounds: some parts in ten millions of the number.
        rounding = 4e-7 * np.nan_to_num(np.abs(np.concatenate(before)), posinf=0).max()
        about = _About(self, update, kept, [p.numel() for p in parameters])
        yield Numbers("the steps", moves, "", self.hint, about, rtol=2e-4,
                      atol=1e-5 * scale + rounding, nan_hint=3)  # fmt: skip
        leaves = all(p.requires_grad and p.is_leaf for p in parameters)
        tell = "after the step a parameter asks for no gradients, or PyTorch has recorded the step"
        yield Fact("parameters can learn on", leaves, tell, 2)
        cleared = sum(p.grad is None for p in parameters) > len(parameters) - len(kept)
        tell = "gradients are gone after the step; zero_grad is the caller's business"
        yield Fact("gradients are there", not cleared, tell, 4)
        if not cleared:
            named = {f"gradient {n}": p.grad for n, p in enumerate(parameters)
                     if f"gradient {n}" in kept}  # fmt: skip
            changed = unchanged(named, kept, 4).value
            tell = "the step changes the gradients; others may still look at them"
            yield Fact("gradients that were changed", changed, tell, 4)


class _About:
    """Begins the sentence on one number's step."""

    def __init__(self, scene: Steps, update: int, gradients: dict, counts: list[int]):
        self.scene, self.update, self.gradients = scene, update, gradients
        self.places = [(n, i) for n, count in enumerate(counts) for i in range(count)]

    def __call__(self, place: int) -> str:
        if self.scene.gradients:
            gradients = numbers(self.scene.gradients[: self.update + 1])
            return f"after the gradient{'s' * (self.update > 0)} {gradients} the last step"
        parameter, inside = self.places[place]
        gradient = self.gradients.get(f"gradient {parameter}")
        has = "no gradient"
        if gradient is not None:
            has = f"a gradient of {number(gradient.flatten()[inside].item())}"
        saved = ", after saving and loading," if 0 < self.scene.reload_after <= self.update else ""
        which = f"a number of parameter {parameter + 1} that has {has}"
        return f"in update {self.update + 1}{saved} the step of {which}"


_VECTOR = (3,)

SCENES = (
    Probe("the two updates of the chapter's table",
          Steps(((1,),), 2, in_order=(1.0, 0.5, 0.5, 0.75), gradients=(1.0, -1.0), start=0.0,
                hint=3).observe),
    Probe("updates with lr=0.5, rho1=0.9, rho2=0.6, eps=0.04",
          Steps((_VECTOR, _VECTOR), 12, _NAMED, sizes=(1.0, 0.2, 5.0)).observe),
    Probe("updates with the default settings",
          Steps(((2, 2),), 9, sizes=(0.01, 1.0, 0.1, 10.0), start=0.0).observe),
    Probe("updates of parameters without a gradient now and then",
          LeftOpen("no gradient",
                   Steps((_VECTOR, _VECTOR, _VECTOR), 6, _NAMED, hint=4,
                         without={0: (0,), 2: (1,), 3: (0, 1), 5: (2,), 1: (2,)})).observe),
    Probe("updates of two groups with an lr and an eps of their own, group 0 changed on the way",
          Steps((_VECTOR, _VECTOR), 7, _NAMED, hint=4,
                groups=({"lr": 0.25}, {"eps": 0.5}),
                new_settings={3: {"lr": 0.05}, 5: {"eps": 1.0}}).observe),
    Probe("updates with the state saved and loaded after the third",
          Steps((_VECTOR, _VECTOR), 6, _NAMED, reload_after=3, hint=2).observe),
    Probe("updates of parameters of several shapes",
          LeftOpen("shapes", Steps(((2, 1, 3, 3), (2,), (), (3, 2)), 4, _NAMED, sizes=(0.3, 2.0))
                   ).observe),
)  # fmt: skip


def _remark(make: Callable) -> str:
    """Whether the step stays in the tensors that are there."""
    parameter = nn.Parameter(torch.zeros(2))
    held = parameter.detach()
    parameter.grad = torch.ones(2)
    make([parameter]).step()
    if held.data_ptr() == parameter.data_ptr():
        return ""
    return (
        "your step puts new tensors into the parameters; whoever holds on to the old ones does "
        "not see it. Operations in place cost less, too"
    )


# --- right versions -------------------------------------------------------------------------------


class _Base(torch.optim.Optimizer):
    def __init__(
        self,
        params,
        lr=2.5e-4,
        gradient_momentum=0.95,
        squared_gradient_momentum=0.95,
        eps=0.01,
    ):
        settings = {"lr": lr, "rho1": gradient_momentum, "rho2": squared_gradient_momentum}
        super().__init__(params, settings | {"eps": eps})


class _Loops(_Base):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                old = self.state[p]
                r1, r2 = group["rho1"], group["rho2"]
                old["m"] = r1 * old.get("m", 0.0) + (1 - r1) * p.grad
                old["v"] = r2 * old.get("v", 0.0) + (1 - r2) * p.grad * p.grad
                p -= group["lr"] * p.grad / torch.sqrt(old["v"] - old["m"] ** 2 + group["eps"])


class _InPlace(_Base):
    def step(self, closure=None):
        for group in self.param_groups:
            for p in filter(lambda q: q.grad is not None, group["params"]):
                if p not in self.state:
                    self.state[p] = {"both": torch.zeros(2, *p.shape)}
                mean, square = self.state[p]["both"]
                gradient = p.grad.detach()
                mean.lerp_(gradient, 1 - group["rho1"])
                square.mul_(group["rho2"]).addcmul_(gradient, gradient, value=1 - group["rho2"])
                variance = square.addcmul(mean, mean, value=-1).clamp_(min=0)
                root = variance.add_(group["eps"]).rsqrt_()
                p.data.addcmul_(gradient, root, value=-group["lr"])


class _ByNumPy(_Base):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, p.grad.numpy().astype(np.float64), group)

    def _move(self, p, g, group):
        state = self.state[p]
        mean = state.get("mean", torch.zeros_like(p)).numpy()
        square = state.get("square", torch.zeros_like(p)).numpy()
        mean = mean + (1 - group["rho1"]) * (g - mean)
        square = square + (1 - group["rho2"]) * (g**2 - square)
        state["mean"], state["square"] = torch.as_tensor(mean), torch.as_tensor(square)
        step = group["lr"] * g / np.sqrt(square - mean * mean + group["eps"])
        p.data = p.data - torch.as_tensor(step).float()


RIGHT = (
    RightVersion("loops, new means at each step", _Loops),
    RightVersion("both means in one tensor, in place", _InPlace),
    RightVersion("NumPy in float64, new tensors", _ByNumPy),
)


def _workload(piece):
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in ((64, 64), (64,)) * 3]
    for p in parameters:
        p.grad = torch.ones_like(p)
    optimizer = piece(parameters)

    def job():
        for _ in range(5):
            optimizer.step()

    return job


ENTRY = Entry(
    name="NatureRMSProp",
    probes=SCENES,
    wrong=wrong,
    right=RIGHT,
    hints=HINTS,
    model=NatureRMSProp,
    reference=NatureRMSProp,
    workload=_workload,
    remark=_remark,
)
