"""The check of the Q-network: no untrue name, useful facts, and the contract's open choices."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch
from torch import nn

from dqn_ref.course.catalogue import entry, judge
from dqn_ref.course.catalogue.judging import Probe, Raised, Trace, observe, wrong_version
from dqn_ref.course.catalogue.network_makes import DryRun, NamedLayers
from dqn_ref.course.catalogue.network_scenes import Values, fill
from dqn_ref.course.catalogue.network_wrong import Plain
from dqn_ref.network import QNetwork

KNOWN = entry("QNetwork")


@pytest.fixture(autouse=True)
def one_thread_and_one_seed():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def name_of(piece) -> str | None:
    traces = [Trace(tuple(observe(probe, piece, None))) for probe in KNOWN.probes]
    version = wrong_version(KNOWN, traces)
    return version and version.slug


# --- no untrue name -------------------------------------------------------------------------------

OTHER_SCENES = [
    Probe("other frames", Values((5, (61, 92), 2), (64, 3, 7)).observe),
    Probe("one frame", Values((2, (40, 40), 1), as_trained=True).observe),
    Probe("2013", Values((4, (53, 36)), (32, 5, 3), 256, {"architecture": "mnih2013"}).observe),
    Probe("padded", Values((4, (45, 43)), (64, 2, 1), keywords={"conv1_padding": 1}).observe),
]


def same_everywhere(piece, version) -> bool:
    """Whether two networks answer alike in scenes that the check does not use."""
    for scene in OTHER_SCENES:
        mine = Trace(tuple(observe(scene, piece, None)))
        if not mine.equals(observe(scene, version, mine)):
            return False
    return True


def test_two_mistakes_at_once_have_no_untrue_name():
    """A name is given for all that was seen, or a learner mends one mistake and is told nothing
    of the other. A pair may have a name if one of the two hides the other."""
    pairs = list(itertools.combinations(KNOWN.wrong, 2))
    unnamed = 0
    for one, other in random.Random(3).sample(pairs, 30):
        both = type("Both", (one.piece, other.piece), {})
        slug = name_of(both)
        if slug is None:
            unnamed += 1
            continue
        (version,) = (v for v in KNOWN.wrong if v.slug == slug)
        assert same_everywhere(both, version.piece), (one.slug, other.slug, slug)
    assert unnamed > 18


def test_the_other_scenes_tell_wrong_versions_apart():
    """Otherwise the test above would accept any name."""
    about_values = [v for v in KNOWN.wrong if v.hint in (1, 4)]
    for one, other in itertools.pairwise(about_values):
        assert not same_everywhere(one.piece, other.piece), (one.slug, other.slug)
    assert all(same_everywhere(v.piece, v.piece) for v in KNOWN.wrong[:3])


def test_no_scene_ends_with_an_error_of_a_wrong_version():
    """What an error cuts off is not compared, and a name would rest on the few facts before."""
    for version in KNOWN.wrong:
        for probe in KNOWN.probes:
            facts = tuple(observe(probe, version.piece, None))
            assert not any(isinstance(fact, Raised) for fact in facts), (version.slug, probe.scene)


# --- facts ----------------------------------------------------------------------------------------


class Elu(Plain):
    def meddle(self, given):
        self.with_other(nn.ELU)


class DividesBy250(Plain):
    def scaled(self, states):
        return states.float() / 250


class FewerFilters(Plain):
    """The third convolution has 32."""

    def meddle(self, given):
        place = [i for i, layer in enumerate(self.convolutions) if isinstance(layer, nn.Conv2d)][-1]
        self.convolutions[place] = nn.Conv2d(self.convolutions[place].in_channels, 32, 3)
        self.head[0] = nn.Linear(self.head[0].in_features // 2, self.head[0].out_features)


class LayersInAList(QNetwork):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.layers = [self.convolutions, self.head]
        del self.convolutions, self.head

    def forward(self, states):
        return self.layers[1](self.layers[0](states / 255).flatten(1))


class Lazy(nn.Module):
    def __init__(self, num_actions, *rest, **more):
        super().__init__()
        self.layer = nn.LazyLinear(num_actions)

    def forward(self, states):
        return self.layer(states.flatten(1) / 255)


class ViewsItsMaps(Plain):
    def forward(self, states):
        maps = self.convolutions(states / 255)
        return self.head(maps.view(len(maps), -1))


class FeedsBytes(Plain):
    def scaled(self, states):
        return states


class DropsTheBatch(Plain):
    def forward(self, states):
        return super().forward(states).squeeze(0)


class FlattensTheBatch(Plain):
    def forward(self, states):
        return self.head(self.convolutions(self.scaled(states)).flatten())


class UsualBatchNorm(Plain):
    """As tutorials have it; a single state in training mode is an error of PyTorch's own."""

    def meddle(self, given):
        for place, layer in enumerate(self.convolutions):
            if isinstance(layer, nn.Conv2d):
                norm = nn.BatchNorm2d(layer.out_channels)
                self.convolutions[place] = nn.Sequential(layer, norm)


class PadsTheLayerOnly(Plain):
    """The count of what comes out of the convolutions knows of no padding."""

    def instead(self, given):
        return {"conv1_padding": 0}

    def meddle(self, given):
        self.convolutions[0].padding = (given["conv1_padding"],) * 2


class PadsOneSide(Plain):
    """The layer pads both sides, the count one: 43 pixels instead of 44 leave 9 places, not 10."""

    def __init__(self, num_actions, frame_shape=(84, 84), *rest, **more):
        padding = more.get("conv1_padding", 0)
        super().__init__(num_actions, tuple(n + padding for n in frame_shape), *rest,
                         **more | {"conv1_padding": 0})  # fmt: skip
        self.convolutions[0].padding = (padding, padding)


class ShuffledFrames(Plain):
    def scaled(self, states):
        return states.roll(1, dims=1).float() / 255


class FirstLayerDetached(Plain):
    def forward(self, states):
        first = self.convolutions[0](self.scaled(states)).detach()
        return self.head(self.convolutions[1:](first).flatten(1))


class Doubles(Plain):
    def forward(self, states):
        return super().forward(states).double()


class Arrays(Plain):
    def forward(self, states):
        return super().forward(states).detach().numpy()


class Tuples(Plain):
    def forward(self, states):
        return super().forward(states), None


class Blackens(Plain):
    def forward(self, states):
        values = super().forward(states)
        states[:, 0] = 0
        return values


class MeanOfTheBatch(Plain):
    """The mean of the batch is taken off."""

    def scaled(self, states):
        return states.float() / 255 - states.float().mean() / 255


class KeyErrorForNames(NamedLayers):
    def __init__(self, num_actions, frame_shape=(84, 84), stack_frames=4, architecture="mnih2015",
                 *rest, **more):  # fmt: skip
        {"mnih2013": 0, "mnih2015": 0, "channels_trap": 0}[architecture]
        super().__init__(num_actions, frame_shape, stack_frames, architecture, *rest, **more)


class NoMinimum(QNetwork):
    """Frames that are too small are somehow accepted."""

    def __init__(self, num_actions, frame_shape=(84, 84), *rest, **more):
        shape = tuple(max(side, 36) for side in frame_shape)
        super().__init__(num_actions, shape, *rest, **more)


class NormalWeights(Plain):
    def meddle(self, given):
        if given["initialisation"] == "pytorch":
            for parameter in self.parameters():
                nn.init.normal_(parameter, 0, 0.02)


class HidesACorner(Plain):
    def scaled(self, states):
        scaled = states.float() / 255
        scaled[:, :, :4, :4] = 0
        return scaled


@pytest.mark.parametrize(
    "piece, fact, hint",
    [
        (Elu, "the Q-values of a black state are", 1),
        (DividesBy250, "the Q-values of a white state are", 4),
        (FewerFilters, "have 32 numbers, not 64; 16,384 numbers, not 32,768; 18,432 num", 3),
        (LayersInAList, "has 0 parameters, expected 113,316; layers are found in attributes", 3),
        (Lazy, "a lazy layer has no weights before the first batch", 3),
        (ViewsItsMaps, "raises RuntimeError (line ", None),
        (FeedsBytes, "raises RuntimeError", None),
        (DropsTheBatch, "a batch of one have shape (4,), expected (1, 4): the batch is lost", 2),
        (
            FlattensTheBatch,
            "(4,), expected (1, 4): the batch is lost on the way, as `flatten()`",
            2,
        ),
        (UsualBatchNorm, "the network has a layer of kind BatchNorm2d, which neither paper's", 1),
        (PadsTheLayerOnly, "has 32,768 numbers, not 65,536", 5),
        (PadsOneSide, "has 32,768 numbers, not 65,536", 5),
        (ShuffledFrames, "the Q-values of a random state are", 3),
        (FirstLayerDetached, "2 of 10 weights and biases get no gradient, and would never", 2),
        (Doubles, "Q-values are float64, expected float32", 4),
        (Arrays, "`forward` returns a ndarray, expected a tensor", 2),
        (Tuples, "`forward` returns a tuple, expected a tensor", 2),
        (Blackens, "`forward` changes the states that it is given", 4),
        (MeanOfTheBatch, "the Q-values of a black state are", 1),
        (KeyErrorForNames, '`architecture="mnih1987"` raises KeyError, expected ValueError', 5),
        (NoMinimum, "`frame_shape=(35, 84)` is accepted, expected ValueError", 5),
        (NormalWeights, "standard deviation of 0.02", 5),
        (HidesACorner, "the Q-values of a white state are", 4),
        (lambda *a, **k: torch.nn.functional.relu, "expected an nn.Module", 2),
    ],
)
def test_wrong_networks_outside_the_catalogue_get_the_first_fact(piece, fact, hint):
    """What is true and useful can be said of wrong code that nobody has foreseen, too."""
    verdict = judge("QNetwork", piece)
    assert not verdict.passed and verdict.attempted
    assert fact in verdict.message, verdict.message
    assert verdict.wrong is None and verdict.hint == hint


def test_the_parameters_that_differ_are_told():
    """A bare total does not tell which layer to look at."""
    (version,) = (v for v in KNOWN.wrong if v.slug == "newest frame alone")
    message = judge("QNetwork", version.piece).message
    assert "One of its weights or biases has 2,048 numbers, not 8,192." in message


class OnlyTheDefaults(Plain):
    """Right for 84 × 84 alone: the hidden layer has 3,136 inputs whatever comes."""

    def meddle(self, given):
        self.head[0] = nn.Linear(3_136, 512)


def test_a_network_for_one_size_of_frames_is_refused():
    """Most tutorials write 3,136 into the code; other frames would stop a training there."""
    verdict = judge("QNetwork", OnlyTheDefaults)
    assert not verdict.passed and "has 1,605,632 numbers, not 32,768" in verdict.message


class OwnFrames(NamedLayers):
    """A network of other make, whose input is changed by `before`."""

    before = staticmethod(lambda states: states)

    def forward(self, states):
        return super().forward(type(self).before(states))


def _black_but_newest(states):
    kept = states.clone()
    kept[:, :-1] = 0
    return kept


@pytest.mark.parametrize(
    "before, slug, hint",
    [
        (lambda states: states[:, -1:].repeat(1, states.shape[1], 1, 1),
         "newest frame in every place", 3),
        (_black_but_newest, "older frames are black", 3),
        (lambda states: torch.flip(states, [1]), "stack reversed", 3),
        (lambda states: states if states.max() > 1 else states * 255.0,
         "divided where it is bright", 4),
    ],
)  # fmt: skip
def test_mistakes_with_frames_are_named_in_networks_of_other_make(before, slug, hint):
    """They train and play, worse: a bare list of Q-values would send the learner elsewhere."""
    verdict = judge("QNetwork", type("Own", (OwnFrames,), {"before": staticmethod(before)}))
    assert (verdict.wrong, verdict.hint) == (slug, hint), verdict.message


def test_a_forward_without_gradients_is_named():
    """Its values are right, and its training never begins."""

    class Asks(NamedLayers):
        @torch.no_grad()
        def forward(self, states):
            return super().forward(states)

    verdict = judge("QNetwork", Asks)
    assert verdict.wrong == "nothing learns" and "torch.no_grad()" in verdict.message


def test_no_warning_of_pytorchs_stands_beside_the_verdict(recwarn):
    """Frames that are too small leave a layer without inputs, and PyTorch warns, with a path."""

    class Accepts(Plain):
        def __init__(self, num_actions, frame_shape=(84, 84), *rest, **more):
            small = min(frame_shape) < 36
            super().__init__(num_actions, (36, 36) if small else frame_shape, *rest, **more)
            if small:
                self.head[0] = nn.Linear(0, 512)

    assert "is accepted, expected ValueError" in judge("QNetwork", Accepts).message
    assert not recwarn.list


# --- what may vary, and no more -------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
def test_maps_may_be_flattened_in_the_usual_orders(order):
    """Behind them stands a layer of their own weights: no order is better than another. The two
    that no layout has may fail, but none of them may be named."""

    class Turned(Plain):
        def forward(self, states):
            maps = self.convolutions(self.scaled(states))
            return self.head(maps.permute(0, *order).flatten(1))

    verdict = judge("QNetwork", Turned)
    usual = order in [(1, 2, 3), (2, 3, 1), (1, 3, 2), (3, 2, 1)]
    assert verdict.passed == usual and verdict.wrong is None, verdict.message


def test_another_order_does_not_hide_a_mistake():
    """The order that fits is looked for; a wrong network must fit in none."""

    class TurnedAndUndivided(DryRun):
        def forward(self, states):
            return self.body(self.features(states.float()))

    verdict = judge("QNetwork", TurnedAndUndivided)
    assert not verdict.passed and verdict.wrong == "not divided"


def test_the_trap_may_be_refused_or_built_and_nothing_else():
    """A network that is another one than its name says is the trap again."""

    class IgnoresTheTrap(Plain):
        def instead(self, given):
            trap = given["architecture"] == "channels_trap"
            return {"architecture": "mnih2015"} if trap else {}

    assert judge("QNetwork", NamedLayers).passed and judge("QNetwork", QNetwork).passed
    verdict = judge("QNetwork", IgnoresTheTrap)
    assert not verdict.passed and "channels_trap" in verdict.message and verdict.hint == 5


def test_floats_and_training_mode_are_nobodys_business():
    """A network may take scaled floats as well, and may sit in any mode."""

    class TakesBoth(Plain):
        def scaled(self, states):
            return states / 255 if states.dtype == torch.uint8 else states

    assert judge("QNetwork", TakesBoth).passed
    assert judge("QNetwork", type("Evaluating", (Plain,), {"meddle": lambda s, g: s.eval()})).passed


def test_weights_go_by_their_number_alone():
    """The same layers under other names, in another order and upright have the same values."""
    one, other = QNetwork(3, (44, 36)), NamedLayers(3, (44, 36))
    fill(one)
    fill(other)
    states = torch.from_numpy(
        np.random.default_rng(0).integers(256, size=(2, 4, 44, 36), dtype=np.uint8)
    )
    torch.testing.assert_close(one(states), other(states), atol=1e-5, rtol=1e-4)
    weight, lying = nn.Parameter(torch.empty(6, 40)), nn.Parameter(torch.empty(40, 6))
    fill(nn.ParameterList([weight, lying]))
    assert torch.equal(weight, lying.T) and weight.std() > 0


@pytest.mark.parametrize("seed", range(6))
def test_chance_refuses_no_right_network(seed):
    """Fresh weights are random: a spread that is compared too closely refuses one in ten."""
    torch.manual_seed(100 + seed)
    verdict = judge("QNetwork", NamedLayers)
    assert verdict.passed, verdict.message
