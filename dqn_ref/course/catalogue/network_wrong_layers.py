"""Wrong Q-networks: other layers, and arguments that are not heeded; see `network_wrong`."""

from __future__ import annotations

import torch
from torch import nn

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.course.catalogue.network_wrong import Plain
from dqn_ref.network import ARCHITECTURES

wrong = WrongVersions()


# --- the layers -----------------------------------------------------------------------------------


@wrong(
    "half the hidden layer",
    1,
    "Your network equals one with half as many hidden units as the table says.",
)
class HalfTheHidden(Plain):
    def meddle(self, given):
        inner, outer = self.head[0], self.head[2]
        half = inner.out_features // 2
        self.head[0] = nn.Linear(inner.in_features, half)
        self.head[2] = nn.Linear(half, outer.out_features)


@wrong(
    "no hidden layer",
    1,
    "Your network equals one that goes from the last convolution to the actions at once. The "
    "hidden layer is missing, and most of the parameters with it.",
)
class NoHidden(Plain):
    def meddle(self, given):
        self.head = nn.Linear(self.head[0].in_features, self.head[2].out_features)


@wrong(
    "no biases",
    2,
    "Your network equals one whose convolutions have no biases.",
)
class NoBiases(Plain):
    def meddle(self, given):
        for layer in self.convolutions:
            if isinstance(layer, nn.Conv2d):
                layer.bias = None


@wrong(
    "batch norm",
    1,
    "Your network equals one with batch normalisation behind each convolution. A state's values "
    "then depend on what else is in the batch; when it acts, that is nothing.",
)
class BatchNorm(Plain):
    def meddle(self, given):
        for place, layer in enumerate(self.convolutions):
            if isinstance(layer, nn.Conv2d):
                norm = nn.BatchNorm2d(layer.out_channels)
                self.convolutions[place] = nn.Sequential(layer, norm)

    def forward(self, states):
        if len(states) == 1:  # a single value has no spread to divide by
            self.eval()
        values = super().forward(states)
        self.train()
        return values


@wrong(
    "dropout",
    1,
    "Your network equals one with dropout. The same state then has another value at every look, "
    "and the target network throws dice, too.",
)
class Dropout(Plain):
    def meddle(self, given):
        self.head[1] = nn.Sequential(nn.ReLU(), nn.Dropout(0.5))


@wrong(
    "convolutions do not learn",
    2,
    "Your network equals one that lets no gradient into its convolutions: its eyes stay as they "
    "were at birth.",
)
class NoGradient(Plain):
    def forward(self, states):
        with torch.no_grad():
            features = self.convolutions(self.scaled(states)).flatten(1)
        return self.head(features)


@wrong(
    "nothing learns",
    2,
    "Your network equals one whose `forward` runs under `torch.no_grad()`: no gradient finds its "
    "way back, and nothing learns. Leave that to those who only ask.",
)
class NothingLearns(Plain):
    def forward(self, states):
        with torch.no_grad():
            return super().forward(states)


# --- the arguments --------------------------------------------------------------------------------


@wrong(
    "pools to 7 × 7",
    3,
    "Your network equals one that pools its maps to 7 × 7, whatever the frames measure. On other "
    "frames than 84 × 84 it has another number of parameters, and places are blurred.",
)
class PoolsTo7(Plain):
    def meddle(self, given):
        self.convolutions.append(nn.AdaptiveAvgPool2d(7))
        maps = [layer for layer in self.convolutions if isinstance(layer, nn.Conv2d)][-1]
        self.head[0] = nn.Linear(49 * maps.out_channels, self.head[0].out_features)


@wrong(
    "always 2015",
    5,
    "Your network equals one that is the network of 2015 whatever `architecture` says.",
)
class Always2015(Plain):
    def instead(self, given):
        known = given["architecture"] in ARCHITECTURES
        return {"architecture": "mnih2015"} if known else {}


@wrong(
    "conv1_padding ignored",
    5,
    "Your network equals one that ignores `conv1_padding`. At 84 × 84 the map keeps its size, so "
    "nothing complains; recipes that ask for Nature's code get the paper's network.",
)
class PaddingIgnored(Plain):
    def instead(self, given):
        return {"conv1_padding": 0}


@wrong(
    "always padded",
    5,
    "Your network equals one whose first convolution is always padded by 1. The default is 0.",
)
class AlwaysPadded(Plain):
    def instead(self, given):
        return {"conv1_padding": 1}


@wrong(
    "initialisation ignored",
    5,
    "Your network equals one that ignores `initialisation`: asked for Glorot's first weights, it "
    "has PyTorch's.",
)
class InitialisationIgnored(Plain):
    def meddle(self, given):
        fresh(self)


def fresh(network):
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.reset_parameters()


@wrong(
    "Glorot without zero biases",
    5,
    "Your network equals one that leaves the biases as PyTorch made them when Glorot's first "
    "weights are asked for. In Keras they begin at 0.",
)
class GlorotWithBiases(Plain):
    def meddle(self, given):
        weights = {n: p.detach().clone() for n, p in self.named_parameters() if p.dim() > 1}
        fresh(self)
        self.load_state_dict(weights, strict=False)


@wrong(
    "Glorot from a normal distribution",
    5,
    "Your network equals one that draws Glorot's first weights from a normal distribution. Keras "
    "draws them evenly from an interval: xavier_uniform_.",
)
class GlorotNormal(Plain):
    def meddle(self, given):
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear) and given["initialisation"] == "glorot":
                nn.init.xavier_normal_(layer.weight)


@wrong(
    "always Glorot",
    5,
    "Your network equals one that begins with Glorot's weights and zero biases always. The default "
    'is "pytorch": leave the layers as PyTorch makes them.',
)
class AlwaysGlorot(Plain):
    def instead(self, given):
        known = given["initialisation"] == "pytorch"
        return {"initialisation": "glorot"} if known else {}


@wrong(
    "every name is accepted",
    5,
    "Your network equals one that takes the network of 2015 for a name that it does not know. A "
    "recipe with a misspelt name would train it for hours under another's name.",
)
class EveryName(Plain):
    def instead(self, given):
        known = given["architecture"] in ARCHITECTURES
        return {} if known else {"architecture": "mnih2015"}


@wrong(
    "same weights every time",
    5,
    "Your network equals one that seeds PyTorch's generator when it is made: all networks begin "
    "with the same weights, and repeating a training with another seed is no repetition.",
)
class SameWeights(Plain):
    def __init__(self, *arguments, **keywords):
        torch.manual_seed(0)
        super().__init__(*arguments, **keywords)
