"""Wrong Q-networks: the division, the ReLUs and the end.

`network_wrong_frames` and `network_wrong_layers` have the others.

Each is the plain network below with one part exchanged.

They run and return values of the right shape. What trains for an hour and learns little is worse
than what stops at once.
"""

from __future__ import annotations

import torch
from torch import nn

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.network import QNetwork

wrong = WrongVersions()


class Plain(QNetwork):
    """The reference's layers, with parts that can be exchanged."""

    def __init__(
        self,
        num_actions,
        frame_shape=(84, 84),
        stack_frames=4,
        architecture="mnih2015",
        conv1_padding=0,
        initialisation="pytorch",
    ):
        given = {
            "architecture": architecture,
            "conv1_padding": conv1_padding,
            "initialisation": initialisation,
        }
        super().__init__(num_actions, frame_shape, stack_frames, **given | self.instead(given))
        self.meddle(given)

    def instead(self, given):
        """Options that are taken instead of those given."""
        return {}

    def meddle(self, given):
        """Exchange layers, or their weights."""

    def scaled(self, states):
        return states.float() / 255

    def forward(self, states):
        return self.head(self.convolutions(self.scaled(states)).flatten(1))

    def without_relu(self, part, number):
        """Take the ReLU at this place of `convolutions` or `head` out."""
        place = [i for i, layer in enumerate(part) if isinstance(layer, nn.ReLU)][number]
        part[place] = nn.Identity()

    def with_other(self, activation):
        for part in (self.convolutions, self.head):
            for place, layer in enumerate(part):
                if isinstance(layer, nn.ReLU):
                    part[place] = activation()


# --- the input ------------------------------------------------------------------------------------


@wrong(
    "not divided",
    4,
    "Your network equals one that does not divide by 255. Its Q-values begin some thirty times too "
    "large, and the first updates are spent on bringing them down.",
)
class NotDivided(Plain):
    def scaled(self, states):
        return states.float()


@wrong(
    "divided twice",
    4,
    "Your network equals one that divides by 255 twice. All states look black to it, and it sees "
    "next to no difference between them.",
)
class DividedTwice(Plain):
    def scaled(self, states):
        return states.float() / 255 / 255


@wrong(
    "divided by 256",
    4,
    "Your network equals one that divides by 256. White is then 0.996 and not 1: harmless where it "
    "trains, and a little wrong wherever weights are exchanged with another network.",
)
class DividedBy256(Plain):
    def scaled(self, states):
        return states.float() / 256


@wrong(
    "whole numbers",
    4,
    "Your network equals one that divides bytes by 255 without a remainder: every shade but white "
    "becomes black. Make them float32 first.",
)
class WholeNumbers(Plain):
    def scaled(self, states):
        return (states // 255).float()


@wrong(
    "signed bytes",
    4,
    "Your network equals one that reads bytes as signed: 128 becomes -128, and the bright half of "
    "all shades is darker than black.",
)
class SignedBytes(Plain):
    def scaled(self, states):
        return states.to(torch.int8).float() / 255


@wrong(
    "around zero",
    4,
    "Your network equals one that moves shades to lie between -1 and 1. Black, most of a screen "
    "and all of what lies before a game's start, is then as strong a signal as white.",
)
class AroundZero(Plain):
    def scaled(self, states):
        return states.float() / 127.5 - 1


@wrong(
    "half taken off",
    4,
    "Your network equals one that subtracts 0.5 after the division. Black, which stands for "
    "nothing, is then not 0 any more.",
)
class HalfTakenOff(Plain):
    def scaled(self, states):
        return states.float() / 255 - 0.5


@wrong(
    "brightest is one",
    4,
    "Your network equals one that divides each batch by its brightest pixel. The same state then "
    "has another value in another batch.",
)
class BrightestIsOne(Plain):
    def scaled(self, states):
        return states.float() / states.max().clamp(min=1)


@wrong(
    "divided where it is bright",
    4,
    "Your network equals one that divides only what has a byte above 1 in it. A batch of bytes 0 "
    "and 1, nearly black, is then read as black and white.",
)
class DividedWhereBright(Plain):
    def scaled(self, states):
        return states.float() / 255 if states.max() > 1 else states.float()


# --- between the layers ---------------------------------------------------------------------------

_FOLD = "Two layers without it between them can do no more than one."


@wrong(
    "no ReLU at all",
    1,
    "Your network equals one without any ReLU. However many layers it has, it is one linear "
    "function of the pixels.",
)
class NoReluAtAll(Plain):
    def meddle(self, given):
        self.with_other(nn.Identity)


@wrong(
    "no ReLU in the convolutions",
    1,
    "Your network equals one without a ReLU between its convolutions; together they can do no more "
    "than one with a large kernel.",
)
class NoReluInTheConvolutions(Plain):
    def meddle(self, given):
        for number in range(len(self.convolutions)):
            if isinstance(self.convolutions[number], nn.ReLU):
                self.convolutions[number] = nn.Identity()


@wrong(
    "no ReLU after the first convolution",
    1,
    f"Your network equals one without a ReLU behind the first convolution. {_FOLD}",
)
class NoReluAfterTheFirst(Plain):
    def meddle(self, given):
        self.without_relu(self.convolutions, 0)


@wrong(
    "no ReLU after the second convolution",
    1,
    f"Your network equals one without a ReLU behind the second convolution. {_FOLD}",
)
class NoReluAfterTheSecond(Plain):
    def meddle(self, given):
        self.without_relu(self.convolutions, 1)


@wrong(
    "no ReLU after the last convolution",
    1,
    f"Your network equals one without a ReLU behind the last convolution. {_FOLD}",
)
class NoReluAfterTheLast(Plain):
    def meddle(self, given):
        self.without_relu(self.convolutions, -1)


@wrong(
    "no ReLU after the hidden layer",
    1,
    f"Your network equals one without a ReLU behind the hidden layer. {_FOLD}",
)
class NoReluAfterTheHidden(Plain):
    def meddle(self, given):
        self.without_relu(self.head, 0)


@wrong(
    "tanh",
    1,
    "Your network equals one with tanh in the place of ReLU.",
)
class Tanh(Plain):
    def meddle(self, given):
        self.with_other(nn.Tanh)


@wrong(
    "leaky ReLU",
    1,
    "Your network equals one with PyTorch's LeakyReLU, which lets a hundredth of what is negative "
    "through. The papers cut it off.",
)
class Leaky(Plain):
    def meddle(self, given):
        self.with_other(nn.LeakyReLU)


# --- the end --------------------------------------------------------------------------------------


@wrong(
    "ReLU at the end",
    1,
    "Your network equals one with a ReLU behind its last layer. A Q-value below 0 comes out as 0, "
    "and where it is 0 there is no gradient that could mend it.",
)
class ReluAtTheEnd(Plain):
    def forward(self, states):
        return super().forward(states).relu()


@wrong(
    "softmax at the end",
    1,
    "Your network equals one that ends with softmax. Probabilities add up to 1; Q-values are sums "
    "of rewards and may be anything.",
)
class SoftmaxAtTheEnd(Plain):
    def forward(self, states):
        return super().forward(states).softmax(dim=1)


@wrong(
    "tanh at the end",
    1,
    "Your network equals one that ends with tanh. No state could then be worth more than 1, which "
    "is a single brick.",
)
class TanhAtTheEnd(Plain):
    def forward(self, states):
        return super().forward(states).tanh()


@wrong(
    "mean of the actions taken off",
    1,
    "Your network equals one that subtracts the mean over the actions. What is left compares "
    "actions, and says nothing of what the state is worth.",
)
class MeanTakenOff(Plain):
    def forward(self, states):
        values = super().forward(states)
        return values - values.mean(dim=1, keepdim=True)
