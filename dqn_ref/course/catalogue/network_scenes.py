"""What the check of the Q-network builds, and what it asks each network.

Fresh weights are random, so nothing that a fresh network answers can be compared. The check writes
weights of its own into it: each parameter gets numbers that depend on how many it has and on
nothing else. Networks with the same parameters then have the same weights, whatever their layers
are called, in whichever order they were made, and whether a matrix stands upright or lies.

What the contract leaves open: names and order of layers, and in which order the maps of the last
convolution are flattened. The weights behind it are written in each order, and one must fit.
"""

from __future__ import annotations

import copy
import functools
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from dqn_ref.course.catalogue.judging import Fact, Trace
from dqn_ref.course.catalogue.network_facts import (
    NUMBER_OF_STATES,
    Optional,
    Outputs,
    first_weights,
    made_of,
    normalisation,
    sizes_fact,
)

_ORDERS = (1, 2, 0), (0, 2, 1), (2, 1, 0)  # of maps (0), rows (1), columns (2); PyTorch's is 0 1 2


@dataclass(frozen=True)
class Values:
    """One network: its parameters, and its Q-values for states of bytes, with known weights.

    `maps` is the shape behind its last convolution and `hidden` the width behind that.
    """

    arguments: tuple
    maps: tuple[int, int, int] = (64, 1, 1)
    hidden: int = 512
    keywords: dict[str, Any] = field(default_factory=dict)
    hint: int | None = None
    as_trained: bool = False  # laid out as the training does, and fed with windows of a memory

    def observe(self, piece: Callable, seen: Trace | None) -> Iterator[Fact]:
        network = build(piece, self.arguments, self.keywords)
        states = self._states()
        wrong = made_of(network)
        if wrong:
            yield wrong
            return
        yield normalisation(network)
        yield sizes_fact(network, self.hint or 3)
        if self.as_trained:
            network = copy.deepcopy(network).to(memory_format=torch.channels_last)
        fill(network)
        kept = states.clone()
        answers = []
        for batch in (states[3:4], states):  # one state first: a lost batch dimension shows there
            answers.append(network(batch))
            makeup = _makeup(answers[-1], (len(batch), self.arguments[0]))
            yield makeup
            if makeup.value != "well made":
                return
        alone, values = answers
        yield _unchanged(torch.equal(states, kept))
        repeats = torch.equal(values, network(states))
        tell = "two calls with the same states give different Q-values, as dropout does"
        yield Fact("calls repeat", repeats, tell, 1)
        if not repeats:  # what it is without its dice
            values = network.eval()(states)
        orders = [torch.cat([values, network(_dark(states))])]
        if seen is None:  # the reference and the wrong versions flatten in the usual order
            orders += self._other_orders(network, states)
        arrays = tuple(found.detach().numpy().copy() for found in orders)
        yield Outputs("Q-values", arrays, hint=self.hint)
        yield from _habits(network, states, alone)

    def _states(self) -> torch.Tensor:
        shape = self.arguments[1] if len(self.arguments) > 1 else (84, 84)
        stack = self.arguments[2] if len(self.arguments) > 2 else 4
        return random_states(stack, *shape)

    def _other_orders(self, network: nn.Module, states: torch.Tensor) -> list[torch.Tensor]:
        """Q-values with the hidden layer's weights written for maps flattened otherwise."""
        flat = math.prod(self.maps)
        weights = [p for p in network.parameters() if p.numel() == flat * self.hidden]
        if self.maps[1:] == (1, 1) or len(weights) != 1:
            return []
        found, usual = [], _numbers((self.hidden, flat)).view(self.hidden, *self.maps)
        for order in _ORDERS:
            turned = usual.permute(0, *(1 + axis for axis in order)).flatten(1)
            with torch.no_grad():
                upright = weights[0].shape == (flat, self.hidden)
                weights[0].copy_(turned.T if upright else turned.reshape(weights[0].shape))
                found.append(torch.cat([network(states), network(_dark(states))]))
        fill(network)
        return found


@dataclass(frozen=True)
class Trap:
    """The architecture that a network may refuse: "channels_trap"."""

    values: Values

    def observe(self, piece: Callable, seen: Trace | None) -> Iterator[Fact]:
        try:
            build(piece, self.values.arguments, self.values.keywords)
        except ValueError:
            yield Optional("Q-values", ())
            return
        for fact in self.values.observe(piece, seen):
            if isinstance(fact, Outputs):
                yield Optional("Q-values", fact.value, hint=fact.hint)


@dataclass(frozen=True)
class Counted:
    """A network of which nothing is asked but its parameters."""

    arguments: tuple

    def observe(self, piece: Callable, seen: Trace | None) -> Iterator[Fact]:
        network = build(piece, self.arguments, {})
        yield made_of(network) or sizes_fact(network, 3)


@dataclass(frozen=True)
class FirstWeights:
    """Fresh networks: how far their weights spread, layer by layer."""

    arguments: tuple
    keywords: dict[str, Any]
    layers: tuple[tuple[int, int, int], ...]  # weights, biases, inputs of each unit

    def observe(self, piece: Callable, seen: Trace | None) -> Iterator[Fact]:
        networks = [build(piece, self.arguments, self.keywords) for _ in range(2)]
        wrong = made_of(networks[0])
        if wrong:
            yield wrong
            return
        yield sizes_fact(networks[0], 3)
        yield from first_weights(networks[0], self.layers)
        pairs = zip(*(network.parameters() for network in networks), strict=True)
        equal = all(torch.equal(one, other) for one, other in pairs)
        tell = (
            "two fresh networks have the same weights: every training, whatever its seed, would "
            "begin at the same place"
        )
        yield Fact("two fresh networks are equal", equal, tell, 5)


@dataclass(frozen=True)
class Refusal:
    """Arguments that a network cannot be built from: ValueError."""

    arguments: tuple
    keywords: dict[str, Any]
    what: str

    def observe(self, piece: Callable, seen: Trace | None) -> Iterator[Fact]:
        try:
            build(piece, self.arguments, self.keywords)
        except (ValueError, NotImplementedError) as error:
            if isinstance(error, NotImplementedError):
                raise
            yield Fact(self.what, "ValueError")
        except Exception as error:
            kind = type(error).__name__
            tell = f"{self.what} raises {kind}, expected ValueError"
            yield Fact(self.what, kind, tell, 5)
        else:
            yield Fact(self.what, "accepted", f"{self.what} is accepted, expected ValueError", 5)


def build(piece: Callable, arguments: tuple, keywords: dict[str, Any]) -> Any:
    """What the piece makes of these arguments.

    PyTorch warns of a layer without inputs, which is what a network of frames too small has; that
    such frames are to be refused is said by the check itself.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        return piece(*arguments, **keywords)


def random_states(stack: int, height: int, width: int) -> torch.Tensor:
    """Six states, `(6, stack, height, width)` uint8: black, white, grey, and three random ones.

    They are cut out of longer windows, as a memory gives them, and do not lie in one piece.
    """
    rng = np.random.default_rng([stack, height, width])
    windows = rng.integers(
        0, 256, size=(NUMBER_OF_STATES, stack + 1, height, width), dtype=np.uint8
    )
    windows[0], windows[1], windows[2] = 0, 255, 200
    windows[3] //= 3
    return torch.from_numpy(windows)[:, 1:]


def _dark(states: torch.Tensor) -> torch.Tensor:
    """A batch of one state of bytes 0 and 1."""
    return (states[-1:] > 127).to(torch.uint8)


@torch.no_grad()
def fill(network: nn.Module) -> None:
    """Write numbers into every parameter that depend on its size alone."""
    for parameter in network.parameters():
        parameter.copy_(_numbers(tuple(parameter.shape)))


@functools.lru_cache(maxsize=64)
def _numbers(shape: tuple[int, ...]) -> torch.Tensor:
    """Weights of this shape. A matrix that stands upright holds what the lying one holds."""
    if len(shape) == 2 and shape[0] > shape[1]:
        return _numbers(shape[::-1]).T
    count = math.prod(shape)
    numbers = torch.randn(count, generator=torch.Generator().manual_seed(count))
    is_bias = count == max(shape, default=1)
    scale = 0.1 if is_bias else math.sqrt(2 * shape[0] / count)
    return (scale * numbers).reshape(shape)


def _makeup(values: Any, shape: tuple[int, int]) -> Fact:
    """Whether the answer to a batch is a tensor of the right shape and dtype."""
    what = "the make-up of the Q-values"
    if not isinstance(values, torch.Tensor):
        kind = type(values).__name__
        return Fact(what, kind, f"`forward` returns a {kind}, expected a tensor", 2)
    if tuple(values.shape) != shape:
        states = "a batch of one" if shape[0] == 1 else f"{shape[0]} states"
        tell = f"Q-values of {states} have shape {tuple(values.shape)}, expected {shape}"
        if values.shape == shape[1:]:
            tell += ": the batch is lost on the way, as `flatten()` and `squeeze()` lose it"
        return Fact(what, str(tuple(values.shape)), tell, 2)
    if values.dtype != torch.float32:
        kind = str(values.dtype).removeprefix("torch.")
        return Fact(what, kind, f"Q-values are {kind}, expected float32", 4)
    return Fact(what, "well made")


def _unchanged(same: bool) -> Fact:
    tell = "`forward` changes the states that it is given; the memory they come from would follow"
    return Fact("states are left alone", same, tell, 4)


def _habits(network: nn.Module, states: torch.Tensor, alone: torch.Tensor) -> Iterator[Fact]:
    """What holds of every call: no look at the neighbours, a gradient for each weight.

    Args:
        alone: what the network said to `states[3:4]`.
    """
    values = network(states)
    away = (alone - values[3:4]).abs().max() / values.abs().max().clamp(min=1e-9)
    tell = "a state has other Q-values alone than in a batch: they depend on its neighbours"
    yield Fact("a state alone", away.item() < 1e-3, tell, 1)
    parameters = list(network.parameters())
    network.zero_grad(set_to_none=True)
    if values.requires_grad:
        (values * torch.linspace(1, 2, values.numel()).view_as(values)).sum().backward()
    bare = sum(p.grad is None or not p.grad.any() for p in parameters)
    tell = (
        f"{bare} of {len(parameters)} weights and biases get no gradient, and would never learn; "
        "`torch.no_grad()` and `.detach()` in `forward` do that, or a layer that is not used"
    )
    yield Fact("parameters without gradient", bare, tell, 2)
