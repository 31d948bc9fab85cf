"""The target network's update of chapter 07: its networks, and versions of other make.

Contract: `dqn_ref.pieces.CONTRACTS["update_target"]`. In words: every parameter of the target
network goes the share tau of its way to the online network's, in the tensor that is there; the
online network stays as it is, and nothing of this is recorded for a gradient.

Open is whether parameters or the `state_dict` are walked through (the networks here have no
buffers), what is returned, and whether the target network is frozen on the way. The wrong versions
are in `learning_wrong_copies`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from dqn_ref.course.catalogue.judging import Entry, Fact, Probe, RightVersion, Trace
from dqn_ref.course.catalogue.learning_facts import LeftOpen, Numbers, flat, number
from dqn_ref.course.catalogue.learning_wrong_copies import wrong
from dqn_ref.learner import update_target

HINTS = {
    1: "the idea: each number of the target network moves by the share tau of its distance; the "
    "online network stays; which is which",
    2: "the calls: zip of both parameters(), then copy_, lerp_, mul_ and add_: in the tensors that "
    "are there",
    3: "no gradient: torch.no_grad around it, requires_grad as it was",
}


class Layers(nn.Module):
    """Layers of several kinds, and parameters that belong to none."""

    def __init__(self):
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(()))
        self.convolution = nn.Conv2d(1, 2, 2)
        self.head = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
        self.table = nn.Parameter(torch.zeros(2, 2))


def _one_number() -> nn.Module:
    return nn.Linear(1, 1, bias=False)


@dataclass(frozen=True)
class Updates:
    """Updates in a row; after each of them the online network is trained, as it were."""

    make: Callable[[], nn.Module]
    taus: tuple[float | None, ...]  # None: left out
    frozen: bool = True  # whether the target network asks for no gradients, as the learner's
    numbers: tuple[float, float] | None = None  # all of the target network's and of the online's

    def observe(self, piece: Callable, seen: Trace | None) -> Iterator[Fact]:
        online, target = self.make(), self.make()
        target.requires_grad_(not self.frozen)
        self._fill(online, target)
        held = [(p, p.detach()) for p in target.parameters()]
        for tau in self.taus:
            before, trained = _numbers(target), _numbers(online)
            piece(online, target, *(() if tau is None else (tau,)))
            about = _About(target, before, trained, 1.0 if tau is None else tau)
            moved = not np.array_equal(_numbers(target), before)
            yield _moved(moved, not np.array_equal(_numbers(online), trained), tau)
            yield Numbers("the target network", _numbers(target), "", 1, about)
            yield _stays(np.array_equal(_numbers(online), trained))
            yield _tensors(target, held)
            yield from _gradients(online, target, self.frozen)
            after = _numbers(target)
            with torch.no_grad():
                for parameter in online.parameters():
                    parameter.mul_(-0.5).add_(3.0)
            tell = (
                "when the online network is trained after the update, the target network changes "
                "with it: both hold the same tensors"
            )
            yield Fact("stands still", np.array_equal(_numbers(target), after), tell, 2)

    @torch.no_grad()
    def _fill(self, online: nn.Module, target: nn.Module) -> None:
        rng = np.random.default_rng(5)
        for which, network in enumerate((target, online)):
            for p in network.parameters():
                fourths = rng.integers(-20, 20, size=tuple(p.shape)) / 4
                p.copy_(torch.as_tensor(fourths if not self.numbers else self.numbers[which]))


class _About:
    """Begins the sentence on one number of the target network."""

    def __init__(self, target: nn.Module, before: np.ndarray, online: np.ndarray, tau: float):
        self.names = [n for n, p in target.named_parameters() for _ in range(p.numel())]
        self.before, self.online, self.tau = before, online, tau

    def __call__(self, place: int) -> str:
        mine, its = number(self.before[place]), number(self.online[place])
        return (
            f"with tau = {number(self.tau)}, where target holds {mine} and online holds {its} "
            f"(in `{self.names[place]}`), the new number"
        )


def _numbers(network: nn.Module) -> np.ndarray:
    return np.concatenate([flat(p) for p in network.parameters()])


def _moved(target_moved: bool, online_moved: bool, tau: float | None) -> Fact:
    found, tell = "target", ""
    if not target_moved and online_moved:
        found = "online"
        tell = "the target network is as it was before the update, and the online network is not"
    elif not target_moved:
        found = "neither"
        tell = (
            "the update changes neither network; `target = ...`, `parameter = ...` and `lerp` "
            "without an underscore, for example, write nothing into the tensors that are there"
        )
    return Fact("what moves", "" if tau == 0 else found, tell, 2)


def _stays(same: bool) -> Fact:
    tell = "the online network's parameters change; only the target network is to move"
    return Fact("the online network stays", same, tell, 1)


def _tensors(target: nn.Module, held: list[tuple[nn.Parameter, torch.Tensor]]) -> Fact:
    """Whether somebody who holds the target network's tensors still holds them."""
    now = list(target.parameters())
    if len(now) != len(held) or any(p is not q for p, (q, _) in zip(now, held, strict=False)):
        new = "new parameters"
    else:
        new = "new tensors" if any(p.data_ptr() != t.data_ptr() for p, t in held) else "none"
    tell = (
        f"the target network has {new} after the update, expected the old ones with other numbers"
    )
    return Fact("what is new in the target network", new, tell, 2)


def _gradients(online: nn.Module, target: nn.Module, frozen: bool) -> Iterator[Fact]:
    """Whether the update was recorded, or has switched gradients on or off."""
    recorded = any(p.grad_fn is not None for p in target.parameters())
    tell = (
        "PyTorch has recorded the update: parameters of the target network depend on the online "
        "network's, their history grows with each update, and gradients flow through it"
    )
    yield Fact("recorded", recorded, tell, 3)
    asks = frozen and not recorded and any(p.requires_grad for p in target.parameters())
    tell = "the target network, which was frozen, asks for gradients after the update"
    yield Fact("frozen", asks, tell, 3)
    trains = all(p.requires_grad and p.is_leaf for p in online.parameters())
    tell = (
        "the online network asks for no gradients after the update, so it would never learn again"
    )
    yield Fact("the online network can learn", trains, tell, 3)


SCENES = (
    Probe("two networks of one number", Updates(_one_number, (0.25,), numbers=(2.0, 6.0)).observe),
    Probe("two networks and a copy", Updates(Layers, (1.0, 1.0)).observe),
    Probe("two networks, tau left out", Updates(Layers, (None,)).observe),
    Probe("two networks and soft updates", Updates(Layers, (0.25, 0.01, 0.75, 0.5)).observe),
    Probe("two networks, soft updates and a copy", Updates(Layers, (0.1, 1.0, 0.0, 0.3)).observe),
    Probe(
        "a target network that is not frozen",
        LeftOpen("not frozen", Updates(Layers, (1, 0.2), frozen=False)).observe,
    ),
)


# --- right versions -------------------------------------------------------------------------------


def _state_dicts(online, target, tau=1.0):
    new, old = online.state_dict(), target.state_dict()
    target.load_state_dict({name: tau * new[name] + (1 - tau) * old[name] for name in old})
    return target


def _through_data(online, target, tau=1.0):
    for mine, its in zip(target.parameters(), online.parameters(), strict=True):
        mine.data.copy_(mine.data * (1.0 - tau) + its.data * tau)


@torch.no_grad()
def _by_names(online, target, tau=1.0):
    partners = dict(online.named_parameters())
    for name, parameter in target.named_parameters():
        parameter += tau * (partners[name] - parameter)


def _all_at_once(online, target, tau=1.0):
    with torch.inference_mode():
        mine = [p.detach() for p in target.parameters()]
        its = [p.detach() for p in online.parameters()]
        torch._foreach_mul_(mine, 1 - tau)
        torch._foreach_add_(mine, its, alpha=tau)


def _two_ways(online, target, tau=1.0):
    if tau == 1.0:
        target.load_state_dict(online.state_dict())
        return
    target.requires_grad_(False)
    for key, value in target.state_dict().items():
        value.mul_(1 - tau).add_(online.state_dict()[key], alpha=tau)


RIGHT = (
    RightVersion("state_dict, mixed and loaded", _state_dicts),
    RightVersion("through .data", _through_data),
    RightVersion("by names, a share of the way", _by_names),
    RightVersion("all tensors at once", _all_at_once),
    RightVersion("a copy by load_state_dict, soft by hand, frozen", _two_ways),
)


def _workload(piece):
    online, target = (nn.Sequential(*(nn.Linear(128, 128) for _ in range(8))) for _ in range(2))

    def job():
        for _ in range(5):
            piece(online, target, 0.01)

    return job


ENTRY = Entry(
    name="update_target",
    probes=SCENES,
    wrong=wrong,
    right=RIGHT,
    hints=HINTS,
    model=update_target,
    reference=update_target,
    workload=_workload,
)
