"""Optimisers that are Nature's RMSProp but for one thing each: the root, or the running means.

What they do with parameters without a gradient is what the learner's does: names say nothing about
it. What else goes wrong is in `learning_wrong_steps`.
"""

from __future__ import annotations

import torch

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.course.catalogue.learning_facts import leaves_open

wrong = WrongVersions()


def named(slug: str, hint: int, says: str, *open_: str):
    """Put a class on the list; its name says nothing about parameters without a gradient."""

    def enlist(make: type) -> type:
        return wrong(slug, hint, says)(leaves_open("no gradient", *open_)(make))

    return enlist


class Nature(torch.optim.Optimizer):
    """The right one, with parts that can be exchanged."""

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

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.move(p, p.grad, self.state_of(p), group)

    def state_of(self, p) -> dict:
        state = self.state[p]
        if not state:
            state.update(g=torch.zeros_like(p), gg=torch.zeros_like(p), time=0)
        return state

    def move(self, p, grad, state, group) -> None:
        self.average(grad, state, group["rho1"], group["rho2"])
        p -= group["lr"] * self.along(grad, state) / self.root(state, group["eps"])

    def average(self, grad, state, rho1, rho2) -> None:
        state["time"] += 1
        state["g"] = rho1 * state["g"] + (1 - rho1) * grad
        state["gg"] = rho2 * state["gg"] + (1 - rho2) * grad**2

    def along(self, grad, state):
        return grad

    def root(self, state, eps):
        return (state["gg"] - state["g"] ** 2 + eps).sqrt()


# --- the root -------------------------------------------------------------------------------------


@named(
    "not centred",
    3,
    "Your step equals one that is not centred: the root of mean g² + ε. The square of the mean "
    "has to be taken off, so that what counts is how much a gradient varies.",
)
class NotCentred(Nature):
    def root(self, state, eps):
        return (state["gg"] + eps).sqrt()


@named(
    "epsilon outside",
    3,
    "Your step equals one with ε outside the root, as PyTorch's centred RMSprop has it: 0.01 "
    "outside is worth 0.0001 inside, and small gradients are blown up.",
)
class EpsilonOutside(Nature):
    def root(self, state, eps):
        return (state["gg"] - state["g"] ** 2).clamp(min=0).sqrt() + eps


@named(
    "root of epsilon outside",
    3,
    "Your step equals one with √ε outside the root of the variance. √(variance + ε) is one root of "
    "a sum; two roots added are more, up to 1.4 times as much, and steps are that much shorter.",
)
class RootOfEpsilonOutside(Nature):
    def root(self, state, eps):
        return (state["gg"] - state["g"] ** 2).clamp(min=0).sqrt() + eps**0.5


@named(
    "epsilon always 0.01",
    4,
    "Your step equals one with ε = 0.01, whatever was asked for. Read it from the group.",
)
class EpsilonAlways001(Nature):
    def root(self, state, eps):
        return super().root(state, 0.01)


@named(
    "not centred, epsilon outside",
    3,
    "Your step equals the RMSprop of Keras and of PyTorch's default: not centred, and ε outside "
    "the root. The first old notebook trains with that one.",
)
class Keras(Nature):
    def root(self, state, eps):
        return state["gg"].sqrt() + eps


@named(
    "no root",
    3,
    "Your step equals one that divides by the variance + ε itself. The root is missing, and large "
    "gradients make small steps.",
)
class NoRoot(Nature):
    def root(self, state, eps):
        return super().root(state, eps) ** 2


@named(
    "epsilon squared",
    3,
    "Your step equals one with ε² inside the root: 0.0001 in the place of 0.01.",
)
class EpsilonSquared(Nature):
    def root(self, state, eps):
        return super().root(state, eps * eps)


@named(
    "no epsilon",
    3,
    "Your step equals one without ε. Where a gradient does not vary the root is 0, and the step "
    "has no bound.",
)
class NoEpsilon(Nature):
    def root(self, state, eps):
        return super().root(state, 0.0)


@named(
    "squares added",
    3,
    "Your step equals one that adds the square of the mean where it has to be subtracted: a "
    "steady gradient is slowed down in place of being trusted.",
)
class SquaresAdded(Nature):
    def root(self, state, eps):
        return (state["gg"] + state["g"] ** 2 + eps).sqrt()


@named(
    "mean not squared",
    3,
    "Your step equals one that subtracts the mean of g, and not its square, from the mean of g². "
    "Where that is negative the root is nan.",
)
class MeanNotSquared(Nature):
    def root(self, state, eps):
        return (state["gg"] - state["g"] + eps).sqrt()


# --- the means ------------------------------------------------------------------------------------


@named(
    "rho the other way round",
    1,
    "Your step equals one whose means keep 1 - ρ of the old and take ρ of the new: with 0.95 they "
    "remember hardly more than the last gradient.",
)
class RhoSwapped(Nature):
    def average(self, grad, state, rho1, rho2):
        super().average(grad, state, 1 - rho1, 1 - rho2)


@named(
    "rho1 and rho2 swapped",
    1,
    "Your step equals one with ρ₁ and ρ₂ swapped: ρ₁ is of the gradient, ρ₂ of its square. In the "
    "paper both are 0.95, and nobody would notice.",
)
class RhosExchanged(Nature):
    def average(self, grad, state, rho1, rho2):
        super().average(grad, state, rho2, rho1)


@named(
    "rho1 for both",
    1,
    "Your step equals one with ρ₁ for both means. The mean of the squares has ρ₂.",
)
class Rho1ForBoth(Nature):
    def average(self, grad, state, rho1, rho2):
        super().average(grad, state, rho1, rho1)


@named(
    "rho2 for both",
    1,
    "Your step equals one with ρ₂ for both means. The mean of the gradient has ρ₁.",
)
class Rho2ForBoth(Nature):
    def average(self, grad, state, rho1, rho2):
        super().average(grad, state, rho2, rho2)


@named(
    "rho always 0.95",
    4,
    "Your step equals one with ρ₁ = ρ₂ = 0.95, whatever was asked for. Read them from the group.",
)
class RhoAlways95(Nature):
    def average(self, grad, state, rho1, rho2):
        super().average(grad, state, 0.95, 0.95)


@named(
    "sums in place of means",
    1,
    "Your step equals one whose means take the whole new gradient and not 1 - ρ of it. They grow "
    "to 20 times their size with ρ = 0.95.",
)
class Sums(Nature):
    def average(self, grad, state, rho1, rho2):
        state["g"] = rho1 * state["g"] + grad
        state["gg"] = rho2 * state["gg"] + grad**2


@named(
    "nothing remembered",
    1,
    "Your step equals one whose means begin at 0 at each step. They have to be kept from step to "
    "step, in self.state[p].",
)
class NothingRemembered(Nature):
    def average(self, grad, state, rho1, rho2):
        state["g"], state["gg"] = (1 - rho1) * grad, (1 - rho2) * grad**2


@named(
    "begins with the first gradient",
    1,
    "Your step equals one whose means begin with the first gradient and its square. Here they "
    "begin at 0, so the first steps are other ones.",
)
class FirstGradient(Nature):
    def average(self, grad, state, rho1, rho2):
        if state["time"] == 0:
            state["g"], state["gg"] = grad.clone(), grad**2
        super().average(grad, state, rho1, rho2)


@named(
    "corrected for the start",
    1,
    "Your step equals one that corrects both means for their start at 0, as Adam does. Nature's "
    "RMSProp does not.",
)
class Corrected(Nature):
    rho1 = rho2 = 0.0

    def average(self, grad, state, rho1, rho2):
        super().average(grad, state, rho1, rho2)
        self.rho1, self.rho2 = rho1, rho2

    def root(self, state, eps):
        g = state["g"] / (1 - self.rho1 ** state["time"])
        gg = state["gg"] / (1 - self.rho2 ** state["time"])
        return (gg - g**2 + eps).sqrt()


@named(
    "square of the mean",
    1,
    "Your step equals one that takes the running mean of (mean of g)² in the place of the running "
    "mean of g².",
)
class SquareOfMean(Nature):
    def average(self, grad, state, rho1, rho2):
        super().average(grad, state, rho1, rho2)
        last = (1 - rho2) * grad**2
        state["gg"] = state["gg"] - last + (1 - rho2) * state["g"] ** 2


@named(
    "means without squares",
    1,
    "Your step equals one that takes the size of the gradient, not its square, into the second "
    "mean.",
)
class Sizes(Nature):
    def average(self, grad, state, rho1, rho2):
        state["g"] = rho1 * state["g"] + (1 - rho1) * grad
        state["gg"] = rho2 * state["gg"] + (1 - rho2) * grad.abs()


@named(
    "step first",
    1,
    "Your step equals one that divides by the means as they were before this gradient. Move both "
    "means first; otherwise the first step is divided by √ε alone.",
)
class StepFirst(Nature):
    def move(self, p, grad, state, group):
        p -= group["lr"] * grad / self.root(state, group["eps"])
        self.average(grad, state, group["rho1"], group["rho2"])
