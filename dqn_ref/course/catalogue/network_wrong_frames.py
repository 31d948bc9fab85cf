"""Wrong Q-networks: frames that are lost or mixed up on the way in; see `network_wrong`."""

from __future__ import annotations

import torch
from torch import nn

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.course.catalogue.network_wrong import Plain

wrong = WrongVersions()

_BLIND = "One frame does not tell where the ball is going."


@wrong(
    "newest frame alone",
    3,
    f"Your network equals one that looks at the newest frame only. {_BLIND}",
)
class NewestFrameAlone(Plain):
    def meddle(self, given):
        first = self.convolutions[0]
        self.convolutions[0] = nn.Conv2d(
            1, first.out_channels, first.kernel_size, first.stride, first.padding
        )

    def scaled(self, states):
        return states[:, -1:].float() / 255


@wrong(
    "mean of the frames",
    3,
    "Your network equals one that takes the mean of the frames first. A ball then leaves a trail, "
    "and nobody can tell at which end of it the ball is.",
)
class MeanOfTheFrames(NewestFrameAlone):
    def scaled(self, states):
        return states.float().mean(dim=1, keepdim=True) / 255


@wrong(
    "newest frame in every place",
    3,
    f"Your network equals one that sees the newest frame four times, in the place of all. {_BLIND}",
)
class NewestEverywhere(Plain):
    def scaled(self, states):
        return states[:, -1:].expand_as(states).float() / 255


@wrong(
    "older frames are black",
    3,
    f"Your network equals one that sees black in the place of all frames but the newest. {_BLIND}",
)
class OlderAreBlack(Plain):
    def scaled(self, states):
        scaled = torch.zeros(states.shape)
        scaled[:, -1] = states[:, -1].float() / 255
        return scaled


@wrong(
    "stack reversed",
    3,
    "Your network equals one that turns the stack round, the newest frame first. It can learn like "
    "that; with weights that were trained on the usual order it takes rising for falling.",
)
class StackReversed(Plain):
    def scaled(self, states):
        return states.flip(1).float() / 255
