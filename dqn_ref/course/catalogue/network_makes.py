"""Right Q-networks of other make than the reference's: each must pass its check.

They share no code with the reference or with each other, and differ in how layers are kept, how
their sizes are found, in which order the maps are flattened, and in which way matrices lie.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from dqn_ref.course.catalogue.judging import RightVersion


class NamedLayers(nn.Module):
    """The way of the tutorials: a name for each layer, and a loop nowhere. Knows no trap."""

    def __init__(
        self,
        num_actions,
        frame_shape=(84, 84),
        stack_frames=4,
        architecture="mnih2015",
        conv1_padding=0,
        initialisation="pytorch",
    ):
        super().__init__()
        if architecture not in ("mnih2013", "mnih2015"):
            raise ValueError(architecture)
        if initialisation not in ("pytorch", "glorot"):
            raise ValueError(initialisation)
        small = architecture == "mnih2013"
        a, b, hidden = (16, 32, 256) if small else (32, 64, 512)
        self.fc2, self.conv2 = nn.Linear(hidden, num_actions), nn.Conv2d(a, b, 4, 2)
        self.conv1 = nn.Conv2d(stack_frames, a, 8, 4, padding=conv1_padding)
        self.conv3 = None if small else nn.Conv2d(b, b, 3)
        h, w = (self._size(n + 2 * conv1_padding, small) for n in frame_shape)
        if h < 1 or w < 1:
            raise ValueError("frames are too small")
        self.fc1 = nn.Linear(h * w * b, hidden)
        if initialisation == "glorot":
            for p in self.parameters():
                torch.nn.init.xavier_uniform_(p) if p.dim() > 1 else torch.nn.init.zeros_(p)

    @staticmethod
    def _size(n, small):
        n = ((n - 8) // 4 + 1 - 4) // 2 + 1
        return n if small else n - 2

    def forward(self, x):
        x = F.relu(self.conv1(x / 255.0))
        x = F.relu(self.conv2(x))
        if self.conv3 is not None:
            x = F.relu(self.conv3(x))
        x = torch.flatten(x, start_dim=1)
        return self.fc2(F.relu(self.fc1(x)))


class DryRun(nn.Module):
    """A list of layers; a black frame tells how many numbers come out of them. Channels last."""

    def __init__(self, num_actions, frame_shape=(84, 84), stack_frames=4, architecture="mnih2015",
                 conv1_padding=0, initialisation="pytorch"):  # fmt: skip
        super().__init__()
        table = {
            "mnih2015": [(32, 8, 4), (64, 4, 2), (64, 3, 1), 512],
            "mnih2013": [(16, 8, 4), (32, 4, 2), 256],
        }
        if architecture not in table or initialisation not in ("glorot", "pytorch"):
            raise ValueError("unknown name")
        *convolutions, hidden = table[architecture]
        self.convs, channels = nn.ModuleList(), stack_frames
        for n, (filters, kernel, stride) in enumerate(convolutions):
            padding = conv1_padding if n == 0 else 0
            self.convs.append(nn.Conv2d(channels, filters, kernel, stride, padding))
            channels = filters
        try:
            with torch.no_grad():
                size = self.features(torch.zeros(1, stack_frames, *frame_shape)).shape[1]
        except RuntimeError as error:
            raise ValueError("too small") from error
        self.body = nn.Sequential(
            nn.Linear(size, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, num_actions)
        )
        if initialisation == "glorot":
            for layer in [*self.convs, self.body[0], self.body[2]]:
                nn.init.xavier_uniform_(layer.weight)
                layer.bias.data.fill_(0)

    def features(self, x):
        for layer in self.convs:
            x = torch.clamp(layer(x), min=0)
        return x.permute(0, 2, 3, 1).reshape(len(x), -1)

    def forward(self, states):
        return self.body(self.features(states.to(torch.float32).mul(1 / 255)))


class BareParameters(nn.Module):
    """No layers at all: kernels and matrices as parameters, the matrices upright."""

    def __init__(self, num_actions, frame_shape=(84, 84), stack_frames=4, architecture="mnih2015",
                 conv1_padding=0, initialisation="pytorch"):  # fmt: skip
        super().__init__()
        if initialisation not in {"pytorch", "glorot"}:
            raise ValueError("initialisation")
        self.glorot, self.padding = initialisation == "glorot", conv1_padding
        self.w, self.b = nn.ParameterList(), nn.ParameterList()
        if architecture == "mnih2015":
            self.strides, sizes, hidden = (4, 2, 1), ((32, 8), (64, 4), (64, 3)), 512
        elif architecture == "mnih2013":
            self.strides, sizes, hidden = (4, 2), ((16, 8), (32, 4)), 256
        else:
            raise ValueError(f"no such architecture: {architecture}")
        c, (h, w), extra = stack_frames, frame_shape, 2 * conv1_padding
        for (filters, k), stride in zip(sizes, self.strides, strict=True):
            self._add((filters, c, k, k), c * k * k, filters * k * k, filters)
            c, h, w, extra = filters, (h + extra - k) // stride, (w + extra - k) // stride, 0
            h, w = h + 1, w + 1
        if h <= 0 or w <= 0:
            raise ValueError("nothing is left of the frames")
        self._add((c * h * w, hidden), c * h * w, hidden, hidden)
        self._add((hidden, num_actions), hidden, num_actions, num_actions)

    def _add(self, shape, fan_in, fan_out, biases):
        bound = math.sqrt(6 / (fan_in + fan_out)) if self.glorot else fan_in**-0.5
        around = 0.0 if self.glorot else bound
        self.w.append(nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))
        self.b.append(nn.Parameter(torch.empty(biases).uniform_(-around, around)))

    def forward(self, states):
        x, padding = states.float() / 255, self.padding
        for weight, bias, stride in zip(self.w, self.b, self.strides, strict=False):
            x = F.conv2d(x, weight, bias, stride, padding)
            x, padding = torch.maximum(x, torch.zeros_like(x)), 0
        x = x.flatten(1) @ self.w[-2] + self.b[-2]
        return x.relu() @ self.w[-1] + self.b[-1]


class Unfolded(nn.Module):
    """Convolutions as products of matrices, on patches that are cut out one beside the other."""

    def __init__(self, num_actions, frame_shape=(84, 84), stack_frames=4, architecture="mnih2015",
                 conv1_padding=0, initialisation="pytorch"):  # fmt: skip
        super().__init__()
        shapes = {
            "mnih2013": ((8, 4, 16), (4, 2, 32), (256,)),
            "mnih2015": ((8, 4, 32), (4, 2, 64), (3, 1, 64), (512,)),
        }.get(architecture)
        if shapes is None or initialisation not in ("pytorch", "glorot"):
            raise ValueError("architecture or initialisation")
        self.cut, self.linear = [], nn.ModuleList()
        channels, size, padding = stack_frames, list(frame_shape), conv1_padding
        for kernel, stride, filters in shapes[:-1]:
            size = [(n + 2 * padding - kernel) // stride + 1 for n in size]
            if min(size) < 1:
                raise ValueError("frames are too small for these kernels")
            layer = nn.Linear(channels * kernel**2, filters)
            self._begin(layer, filters * kernel**2, initialisation)
            self.cut.append((nn.Unfold(kernel, stride=stride, padding=padding), tuple(size)))
            self.linear.append(layer)
            channels, padding = filters, 0
        hidden = shapes[-1][0]
        for n, m in ((channels * math.prod(size), hidden), (hidden, num_actions)):
            self.linear.append(nn.Linear(n, m))
            self._begin(self.linear[-1], m, initialisation)

    @staticmethod
    def _begin(layer, fan_out, initialisation):
        if initialisation == "glorot":
            bound = math.sqrt(6 / (layer.in_features + fan_out))
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)

    def forward(self, states):
        x = states.float().div(255)
        for (unfold, size), layer in zip(self.cut, self.linear, strict=False):
            x = layer(unfold(x).transpose(1, 2)).relu().transpose(1, 2)
            x = x.reshape(len(x), -1, *size)
        return self.linear[-1](self.linear[-2](x.flatten(1)).relu())


RIGHT = (
    RightVersion("named layers, sizes by a formula, the head made first", NamedLayers),
    RightVersion("a list of layers, sizes from a black frame, channels last", DryRun),
    RightVersion("bare parameters, matrices upright", BareParameters),
    RightVersion("convolutions as products of matrices", Unfolded),
)
