"""Optimisers that are Nature's RMSProp but for one thing: the step, its bookkeeping, gradients.

Roots and running means are in `learning_wrong_roots`.
"""

from __future__ import annotations

import torch

from dqn_ref.course.catalogue.learning_wrong_roots import Nature, named, wrong

# --- the step -------------------------------------------------------------------------------------


@named(
    "nothing moves",
    2,
    "Your step equals one that moves no parameter. `p = p - ...` makes a new tensor that nobody "
    "knows; `p -= ...` and `p.addcdiv_(...)` write into the parameter.",
)
class NothingMoves(Nature):
    def move(self, p, grad, state, group):
        self.average(grad, state, group["rho1"], group["rho2"])


@named(
    "along the mean",
    1,
    "Your step equals one along the running mean of the gradient. That is momentum; Nature's "
    "RMSProp goes along the gradient itself.",
)
class AlongMean(Nature):
    def along(self, grad, state):
        return state["g"]


@named(
    "with momentum",
    1,
    "Your step equals one that keeps a velocity with ρ₁, as `momentum` of PyTorch's RMSprop does. "
    'The paper\'s "gradient momentum" is the ρ of a running mean.',
)
class Velocity(Nature):
    def move(self, p, grad, state, group):
        self.average(grad, state, group["rho1"], group["rho2"])
        pull = grad / self.root(state, group["eps"])
        state["velocity"] = group["rho1"] * state.get("velocity", 0.0) + pull
        p -= group["lr"] * state["velocity"]


@named(
    "uphill",
    1,
    "Your step equals one that adds where it has to subtract: it climbs, and the loss grows.",
)
class Uphill(Nature):
    def along(self, grad, state):
        return -grad


@named(
    "no lr",
    1,
    "Your step equals one without the learning rate: with the paper's 0.00025 it is 4,000 times "
    "too long.",
)
class NoLearningRate(Nature):
    def move(self, p, grad, state, group):
        super().move(p, grad, state, group | {"lr": 1.0})


@named(
    "plain gradient descent",
    1,
    "Your step equals lr times the gradient: plain gradient descent, whatever the means are.",
)
class Plain(Nature):
    def root(self, state, eps):
        return torch.ones(())


@named(
    "sign of the gradient",
    1,
    "Your step equals lr times the sign of the gradient: all steps have one length.",
)
class Sign(Nature):
    def along(self, grad, state):
        return grad.sign()

    def root(self, state, eps):
        return torch.ones(())


# --- PyTorch's own --------------------------------------------------------------------------------


@named(
    "PyTorch's centred RMSprop",
    3,
    "Your step equals PyTorch's RMSprop with centered=True: ε stands outside the root, and both "
    "means have ρ₂.",
)
class PyTorchs(torch.optim.RMSprop):
    def __init__(
        self,
        params,
        lr=2.5e-4,
        gradient_momentum=0.95,
        squared_gradient_momentum=0.95,
        eps=0.01,
        **more,
    ):
        super().__init__(params, lr, squared_gradient_momentum, eps, centered=True, **more)


@named(
    "PyTorch's centred RMSprop with momentum",
    3,
    "Your step equals PyTorch's RMSprop with centered=True and momentum=ρ₁. The paper's \"gradient "
    'momentum" is the ρ of a running mean, and its ε stands inside the root.',
)
class PyTorchsWithMomentum(PyTorchs):
    def __init__(
        self,
        params,
        lr=2.5e-4,
        gradient_momentum=0.95,
        squared_gradient_momentum=0.95,
        eps=0.01,
    ):
        rhos = gradient_momentum, squared_gradient_momentum
        super().__init__(params, lr, *rhos, eps, momentum=gradient_momentum)


# --- state and groups -----------------------------------------------------------------------------


@named(
    "means outside state",
    2,
    "Your step equals one that keeps its means outside self.state. A checkpoint does not hold "
    "them: after loading they begin at 0 again.",
)
class OutsideState(Nature):
    def __init__(self, *settings, **named_settings):
        super().__init__(*settings, **named_settings)
        self.kept = {}

    def state_of(self, p):
        empty = {"g": torch.zeros_like(p), "gg": torch.zeros_like(p), "time": 0}
        return self.kept.setdefault(p, empty)


@named(
    "one mean for all",
    2,
    "Your step equals one in which all parameters share the same two means. Each needs its own: "
    "self.state[p].",
    "shapes",
)
class OneForAll(Nature):
    def __init__(self, *settings, **named_settings):
        super().__init__(*settings, **named_settings)
        self.shared = {}

    def state_of(self, p):
        return self.shared.setdefault(p.shape, {"g": 0.0, "gg": 0.0, "time": 0})


@named(
    "one tensor for both means",
    2,
    "Your step equals one whose two means are one tensor: what is written into the one is written "
    "into the other. Each needs a torch.zeros_like(p) of its own.",
)
class OneTensor(Nature):
    def state_of(self, p):
        state = self.state[p]
        if not state:
            zeros = torch.zeros_like(p)
            state.update(g=zeros, gg=zeros, time=0)
        return state

    def average(self, grad, state, rho1, rho2):
        state["g"].mul_(rho1).add_(grad, alpha=1 - rho1)
        state["gg"].mul_(rho2).add_(grad**2, alpha=1 - rho2)


@named(
    "settings of the first group",
    4,
    "Your step equals one that takes the first group's settings for all groups. Each group has "
    "its own.",
)
class FirstGroup(Nature):
    def move(self, p, grad, state, group):
        super().move(p, grad, state, self.param_groups[0])


@named(
    "first group alone",
    4,
    "Your step equals one that moves the parameters of the first group alone.",
)
class FirstGroupAlone(Nature):
    def move(self, p, grad, state, group):
        if group is self.param_groups[0]:
            super().move(p, grad, state, group)


@named(
    "settings of the constructor",
    4,
    "Your step equals one that takes its settings from the constructor and never looks into its "
    "groups: nobody can change the learning rate on the way.",
)
class OfConstructor(Nature):
    def move(self, p, grad, state, group):
        super().move(p, grad, state, self.defaults)


@named(
    "settings at the beginning",
    4,
    "Your step equals one that reads each group's settings once, when it is made. What is changed "
    "in `param_groups` later has no effect.",
)
class AtTheBeginning(Nature):
    def __init__(self, *settings, **named_settings):
        super().__init__(*settings, **named_settings)
        self.first = [dict(group) for group in self.param_groups]

    def load_state_dict(self, saved):
        super().load_state_dict(saved)
        self.first = [dict(group) for group in self.param_groups]

    def move(self, p, grad, state, group):
        place = next(n for n, other in enumerate(self.param_groups) if other is group)
        super().move(p, grad, state, self.first[place])


@wrong(
    "no gradient counts as zero",
    4,
    "Your step equals one that takes a missing gradient for a gradient of 0: the means fade while "
    "a parameter is not used. It has to be left out.",
)
class MissingIsZero(Nature):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                grad = torch.zeros_like(p) if p.grad is None else p.grad
                self.move(p, grad, self.state_of(p), group)


@wrong(
    "stops at a missing gradient",
    4,
    "Your step equals one that stops at the first parameter without a gradient: those behind it "
    "do not move. Leave that one out and go on (`continue`).",
)
class StopsAtMissing(Nature):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    return
                self.move(p, p.grad, self.state_of(p), group)


# --- gradients ------------------------------------------------------------------------------------


@named(
    "gradients cleared",
    4,
    "Your step equals one that clears the gradients when it is done. The caller calls zero_grad, "
    "and may want to look at them before.",
)
class Clears(Nature):
    def step(self, closure=None):
        super().step()
        self.zero_grad()


@named(
    "gradients divided in place",
    4,
    "Your step equals one that works inside p.grad: afterwards the gradients hold the steps.",
)
class InsideGradients(Nature):
    def move(self, p, grad, state, group):
        self.average(grad, state, group["rho1"], group["rho2"])
        p -= group["lr"] * grad.div_(self.root(state, group["eps"]))
