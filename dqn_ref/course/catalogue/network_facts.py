"""What is read from a Q-network, and how a difference is told."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedTensorMixin

from dqn_ref.course.catalogue.judging import Difference, Fact

NUMBER_OF_STATES = 6  # of a batch: black, white, grey, and three random ones
_CLOSE = 1e-4  # of the largest Q-value: another order of operations, and no mistake


@dataclass(frozen=True)
class Outputs(Fact):
    """Q-values with known weights: one array for each order of flattening, the usual one first.

    The reference and the wrong versions flatten in the usual order. Rows are the states of
    `network_scenes.random_states`, and behind them those of bytes 0 and 1.
    """

    def same(self, other: Fact) -> bool:
        if not isinstance(other, Outputs) or self.what != other.what:
            return False
        return any(_close(found, other.value[0]) for found in self.value)

    def difference(self, expected: Fact) -> Difference:
        mine, its = self.value[0], expected.value[0]
        rows = [row for row in range(len(its)) if not _close(mine[row], its[row], its)]
        row = rows[0] if rows else 0
        # Black is 0 however it is scaled: only what follows can be wrong about it. Who answers
        # rightly to one shade in all places scales rightly, and mixes up frames or places.
        name, hint = {
            0: ("a black state", 1),
            1: ("a white state", 4),
            2: ("a state of one grey", 4),
            NUMBER_OF_STATES: ("a state of bytes 0 and 1", 4),
        }.get(row, ("a random state", 3))
        sentence = (
            f"with weights that the check writes into the network, the Q-values of "
            f"{name} are {_numbers(mine[row])}, expected {_numbers(its[row])}"
        )
        if row == NUMBER_OF_STATES:
            sentence += "; all others are right. A byte of 1 is nearly black, and not white"
        return Difference(sentence, self.hint or hint)


@dataclass(frozen=True)
class Optional(Outputs):
    """Q-values of an architecture that a network may refuse: `value` is then empty."""

    def same(self, other: Fact) -> bool:
        if not isinstance(other, Optional) or not self.value or not other.value:
            return isinstance(other, Optional)
        return super().same(other)


@dataclass(frozen=True)
class Sizes(Fact):
    """How many numbers each parameter has, in the order of size; their sum is what counts."""

    def same(self, other: Fact) -> bool:
        return isinstance(other, Sizes) and sum(self.value) == sum(other.value)

    def difference(self, expected: Fact) -> Difference:
        more = sorted((Counter(self.value) - Counter(expected.value)).elements())
        less = sorted((Counter(expected.value) - Counter(self.value)).elements())
        sentence = f"the network has {sum(self.value):,} parameters, expected {expected.words()}"
        if not self.value:
            sentence += "; layers are found in attributes, nn.Sequential and nn.ModuleList only"
        elif len(more) + len(less) <= 6:
            sentence += f". {_other_sizes(more, less)}"
        return Difference(sentence, self.hint)

    def words(self) -> str:
        return f"{sum(self.value):,}"


@dataclass(frozen=True)
class Spread(Fact):
    """How far fresh weights spread: `value` is their standard deviation and the largest."""

    def same(self, other: Fact) -> bool:
        if not isinstance(other, Spread) or self.what != other.what:
            return False
        (mine, largest), (its, its_largest) = self.value, other.value
        # Even draws from an interval go up to 1.7 standard deviations, normal ones to 3 and more.
        even = largest < 2.2 * mine, its_largest < 2.2 * its
        return math.isclose(mine, its, rel_tol=0.08) and even[0] == even[1]

    def difference(self, expected: Fact) -> Difference:
        (mine, largest), (its, its_largest) = self.value, expected.value
        return Difference(
            f"{self.what} have a standard deviation of {mine:.4f} and go up to {largest:.3f}, "
            f"expected {its:.4f} and up to {its_largest:.3f}",
            self.hint,
        )


def made_of(network) -> Fact | None:
    """What keeps a network from being asked anything; None if nothing does."""
    if not isinstance(network, nn.Module):
        kind = type(network).__name__
        return Fact("the network", kind, f"the network is a {kind}, expected an nn.Module", 2)
    if any(isinstance(p, UninitializedTensorMixin) for p in network.parameters()):
        tell = "a lazy layer has no weights before the first batch; the optimiser is made earlier"
        return Fact("the network", "lazy", tell, 3)
    return None


def normalisation(network: nn.Module) -> Fact:
    """Which layers of a network normalise what goes through them."""
    kinds = {type(m) for m in network.modules() if type(m).__module__.startswith("torch.")}
    names = sorted(kind.__name__ for kind in kinds if "Norm" in kind.__name__)
    tell = f"the network has a layer of kind {_join(names)}, which neither paper's network has"
    if any(name.startswith("BatchNorm") for name in names):
        tell += ". A state's values then depend on what else is in the batch"
    return Fact("normalisation", _join(names), tell, 1)


def sizes_fact(network: nn.Module, hint: int) -> Fact:
    sizes = sorted(p.numel() for p in network.parameters() if p.requires_grad)
    return Sizes("parameters", tuple(sizes), hint=hint)


def first_weights(network: nn.Module, layers) -> Iterator[Fact]:
    """One fact for the weights and one for the biases of each layer, found by their number.

    Args:
        layers: number of weights, number of biases (0: another layer's stand for them), inputs.
    """
    for weights, biases, inputs in layers:
        for count, name in ((weights, "weights"), (biases, "biases")):
            numbers = _all_of_size(network, count)
            what = f"the {count:,} fresh {name} behind {inputs:,} inputs"
            if numbers is None:
                yield Fact(what, "not found")
            elif name == "weights":
                spread = float(numbers.std()), float(numbers.abs().max())
                yield Spread(what, spread, hint=5)
            else:
                yield _first_biases(what, float(numbers.abs().max()), 1 / math.sqrt(inputs))


def _first_biases(what: str, largest: float, bound: float) -> Fact:
    kind = "zero" if largest == 0 else "small" if largest < 2.5 * bound else "large"
    return Fact(what, kind, f"{what} go up to {largest:.3f}; see what `initialisation` asks for", 5)


def _all_of_size(network: nn.Module, count: int) -> torch.Tensor | None:
    found = [p.detach().flatten() for p in network.parameters() if p.numel() == count]
    return torch.cat(found) if found else None


def _other_sizes(more: list[int], less: list[int]) -> str:
    """Which parameters have other sizes than expected, in a sentence without a full stop."""
    if len(more) == len(less):
        pairs = [f"{has:,} numbers, not {due:,}" for has, due in zip(more, less, strict=True)]
        one = "One of its weights or biases has" if len(pairs) == 1 else "Weights or biases have"
        return f"{one} {'; '.join(pairs)}"
    told = [
        f"{word} {' and '.join(f'{size:,}' for size in sizes)} numbers"
        for word, sizes in (("too many: those of", more), ("missing: those of", less))
        if sizes
    ]
    return f"Weights or biases that are {'; '.join(told)}"


def _close(one: np.ndarray, other: np.ndarray, scale: np.ndarray | None = None) -> bool:
    scale = other if scale is None else scale
    return bool(np.allclose(one, other, rtol=0, atol=_CLOSE * max(np.abs(scale).max(), 1e-6)))


def _numbers(row: np.ndarray) -> str:
    return _join(f"{number:.4g}" for number in row)


def _join(words) -> str:
    return ", ".join(words)
