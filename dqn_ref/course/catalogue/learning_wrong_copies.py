"""Updates of a target network that are wrong in one way each."""

from __future__ import annotations

from collections.abc import Callable

import torch

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.course.catalogue.learning_facts import leaves_open
from dqn_ref.learner import update_target

wrong = WrongVersions()


def moving(
    rule: Callable, chosen: Callable[[list], list] = lambda pairs: pairs, online_too: bool = False
) -> Callable:
    """A piece that writes `rule(θ⁻, θ, tau)` into some of the target network's parameters.

    Args:
        chosen: the pairs of (name, θ⁻, θ) that are written.
        online_too: whether the online network gets the same numbers.
    """

    @torch.no_grad()
    def update_target(online, target, tau=1.0):
        pairs = [
            (name, p, q)
            for (name, p), q in zip(target.named_parameters(), online.parameters(), strict=True)
        ]
        for _, mine, its in chosen(pairs):
            mine.copy_(rule(mine, its, tau))
            if online_too:
                its.copy_(mine)

    return update_target


def _wrong(slug: str, hint: int, says: str, rule: Callable, **options) -> None:
    wrong(slug, hint, says)(moving(rule, **options))


def mix(mine, its, tau):
    return (1 - tau) * mine + tau * its


# --- the rule -------------------------------------------------------------------------------------

_wrong(
    "tau the other way round",
    1,
    "Your update equals one with tau and 1 - tau swapped. A copy then changes nothing, and a soft "
    "update with 0.01 is nearly a copy.",
    lambda mine, its, tau: tau * mine + (1 - tau) * its,
)
_wrong(
    "always a copy",
    1,
    "Your update equals one that copies, whatever `tau` says: the targets move with every update, "
    "as if there were no second network.",
    lambda mine, its, tau: its,
)
_wrong(
    "copy or nothing",
    1,
    "Your update equals one that copies where tau is 1 and does nothing otherwise. A soft update "
    "never comes about.",
    lambda mine, its, tau: its if tau == 1 else mine,
)
_wrong(
    "half way",
    1,
    "Your update equals one that goes half way for every tau but 1.",
    lambda mine, its, tau: its if tau == 1 else (mine + its) / 2,
)
_wrong(
    "nothing kept of the old",
    1,
    "Your update equals tau times the online network. The old target has to stay in it with the "
    "share 1 - tau; without it, weights shrink towards 0.",
    lambda mine, its, tau: tau * its,
)
_wrong(
    "old kept whole",
    1,
    "Your update equals one that adds tau times the online network to the target and takes nothing "
    "away. Weights grow with each update.",
    lambda mine, its, tau: mine + tau * its,
)
_wrong(
    "away from the online network",
    1,
    "Your update equals one that moves the target network away from the online network: a sign is "
    "the wrong way round.",
    lambda mine, its, tau: mine - tau * (its - mine),
)
_wrong(
    "tau squared",
    1,
    "Your update equals one that multiplies by tau twice: with 0.01 the target moves by a "
    "ten-thousandth.",
    lambda mine, its, tau: mix(mine, its, tau * tau),
)
_wrong(
    "two steps at once",
    1,
    "Your update equals two soft updates in a row: each parameter is moved twice in a call.",
    lambda mine, its, tau: mix(mix(mine, its, tau), its, tau),
)
_wrong(
    "online network added whole",
    1,
    "Your update equals one that shrinks the old target by 1 - tau and adds the whole online "
    "network.",
    lambda mine, its, tau: (1 - tau) * mine + its,
)
_wrong(
    "everything shrunk",
    1,
    "Your update equals one that adds tau times the online network first and then multiplies all "
    "of it by 1 - tau. A copy leaves zeros. Shrink the old part first, then add.",
    lambda mine, its, tau: (1 - tau) * (mine + tau * its),
)

# --- which parameters -----------------------------------------------------------------------------

_wrong(
    "weights alone",
    2,
    "Your update equals one that moves what is called `weight` and nothing else. Biases, and "
    "parameters with names of their own, stay as they were at birth.",
    mix,
    chosen=lambda pairs: [pair for pair in pairs if pair[0].endswith("weight")],
)
_wrong(
    "weights and biases of layers alone",
    2,
    "Your update equals one that moves what is called `weight` or `bias`. A network may have other "
    "parameters; `parameters()` gives all of them.",
    mix,
    chosen=lambda pairs: [pair for pair in pairs if pair[0].endswith(("weight", "bias"))],
)
_wrong(
    "tables alone",
    2,
    "Your update equals one that moves parameters of two and more dimensions, and leaves biases "
    "behind.",
    mix,
    chosen=lambda pairs: [pair for pair in pairs if pair[1].dim() > 1],
)
_wrong(
    "first parameter alone",
    2,
    "Your update equals one that moves the first parameter and none behind it, as a `return` or "
    "`break` inside the loop does.",
    mix,
    chosen=lambda pairs: pairs[:1],
)
_wrong(
    "last parameter alone",
    2,
    "Your update equals one that moves the last parameter alone, as a line does that should stand "
    "inside the loop and stands behind it.",
    mix,
    chosen=lambda pairs: pairs[-1:],
)

# --- whose numbers --------------------------------------------------------------------------------


@wrong(
    "online moves",
    1,
    "Your update equals one that moves the online network towards the target network. What was "
    "learnt since the last update is undone.",
)
def _other_way(online, target, tau=1.0):
    update_target(target, online, tau)


_wrong(
    "both move",
    1,
    "Your update equals one after which both networks hold the mixture. The online network is "
    "dragged back; it has to stay as it is.",
    mix,
    online_too=True,
)


@wrong(
    "shares the tensors",
    2,
    "Your update equals one that copies by handing the online network's tensors to the target "
    "network. From then on both are one: each training step moves the targets, too.",
)
def _shares(online, target, tau=1.0):
    if tau != 1:
        return update_target(online, target, tau)
    for mine, its in zip(target.parameters(), online.parameters(), strict=True):
        mine.data = its.data


@wrong(
    "new tensors",
    2,
    "Your update equals one that puts new tensors into the parameters, as `p.data = ...` does. "
    "The numbers are right, and whoever holds on to the old tensors keeps old numbers: copy_, "
    "lerp_ and mul_ write in place.",
)
def _new_tensors(online, target, tau=1.0):
    for mine, its in zip(target.parameters(), online.parameters(), strict=True):
        mine.data = mix(mine.data, its.data, tau)


@wrong(
    "new parameters",
    2,
    "Your update equals one that gives the target network new parameters. The numbers are right, "
    "and whoever holds on to the old ones keeps old numbers: write into what is there.",
)
def _new_parameters(online, target, tau=1.0):
    pairs = zip(list(target.named_parameters()), online.parameters(), strict=True)
    for (name, mine), its in pairs:
        owner, _, short = name.rpartition(".")
        mixed = mix(mine.detach(), its.detach(), tau)
        new = torch.nn.Parameter(mixed, requires_grad=mine.requires_grad)
        setattr(target.get_submodule(owner), short, new)


# --- gradients ------------------------------------------------------------------------------------


@wrong(
    "recorded for gradients",
    3,
    "Your update equals one without torch.no_grad(). A frozen target network begins to depend on "
    "the online network, its history grows until memory is full, and a target network that asks "
    "for gradients refuses.",
)
@leaves_open("not frozen")
def _recorded(online, target, tau=1.0):
    for mine, its in zip(target.parameters(), online.parameters(), strict=True):
        if mine.is_leaf and mine.requires_grad:  # PyTorch would refuse
            mine, its = mine.detach(), its.detach()
        mine.mul_(1 - tau).add_(tau * its)


@wrong(
    "freezes the online network",
    3,
    "Your update equals one that is right and switches the online network's gradients off. It "
    "never learns again.",
)
def _freezes(online, target, tau=1.0):
    update_target(online.requires_grad_(False), target, tau)


@wrong(
    "thaws the target network",
    3,
    "Your update equals one that is right and switches the target network's gradients on. Nobody "
    "uses them; they cost time and memory.",
)
def _thaws(online, target, tau=1.0):
    update_target(online, target, tau)
    target.requires_grad_(True)
