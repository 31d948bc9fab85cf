"""The Q-network: a stack of frames in, one value per action out."""

from __future__ import annotations

import math

import torch
from torch import nn

# (filters, kernel size, stride) of each convolution, then the width of the hidden layer.
ARCHITECTURES = {
    "mnih2015": (((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512),
    "mnih2013": (((16, 8, 4), (32, 4, 2)), 256),
    "channels_trap": (((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512),
}
INITIALISATIONS = ("pytorch", "glorot")


class QNetwork(nn.Module):
    """Convolutional Q-network of the DQN papers.

    Shapes at 84x84, `mnih2015`: (4, 84, 84) -> (32, 20, 20) -> (64, 9, 9) -> (64, 7, 7)
    -> 3,136 -> 512 -> actions.

    Args:
        num_actions: size of the output.
        frame_shape: height and width in pixels.
        stack_frames: input channels.
        architecture: "mnih2015" (Nature), "mnih2013" (the workshop paper), or "channels_trap": the
            first old notebook's, whose first layer was told that channels come first and whose
            others were not. They take the 32 maps for rows, rows for columns, and columns for
            channels: (4, 105, 80) -> (32, 25, 19), read as (19, 32, 25) -> (64, 15, 11)
            -> (64, 13, 9) -> 7,488 -> 512 -> actions.
        conv1_padding: zero padding of the first convolution; Nature's code has 1 (the map stays
            20x20), its paper is silent.
        initialisation: "pytorch" (uniform within 1/sqrt(fan-in), which is also Torch7's) or
            "glorot" (Keras's default: Glorot uniform, zero bias).
    Raises:
        ValueError: for unknown names, or frames too small for the convolutions.
    Source: Mnih et al. 2015, Methods, "Model architecture"; Mnih et al. 2013, section 4.1.
    """

    def __init__(
        self,
        num_actions: int,
        frame_shape: tuple[int, int] = (84, 84),
        stack_frames: int = 4,
        architecture: str = "mnih2015",
        conv1_padding: int = 0,
        initialisation: str = "pytorch",
    ):
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ValueError(f"unknown architecture {architecture!r}: {sorted(ARCHITECTURES)}")
        if initialisation not in INITIALISATIONS:
            raise ValueError(f"unknown initialisation {initialisation!r}: {INITIALISATIONS}")
        convolutions, hidden = ARCHITECTURES[architecture]
        layers: list[nn.Module] = []
        channels, (height, width), padding = stack_frames, frame_shape, conv1_padding
        for index, (filters, kernel, stride) in enumerate(convolutions):
            if architecture == "channels_trap" and index == 1:
                layers.append(_MistakenAxes())
                channels, height, width = width, channels, height
            layers += [nn.Conv2d(channels, filters, kernel, stride, padding), nn.ReLU()]
            height = (height + 2 * padding - kernel) // stride + 1
            width = (width + 2 * padding - kernel) // stride + 1
            channels, padding = filters, 0
        if min(height, width) < 1:
            raise ValueError(f"frames of {frame_shape} are too small for {architecture}")
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(channels * height * width, hidden), nn.ReLU(), nn.Linear(hidden, num_actions)
        )
        if initialisation == "glorot":
            self.apply(_glorot)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Q-values of each state.

        Args:
            states: `(B, stack_frames, H, W)` uint8, 0 to 255. The division by 255 happens in
                this module and nowhere else.
        Returns:
            `(B, num_actions)`.
        """
        if states.dtype != torch.uint8:
            raise TypeError(f"states are uint8, 0 to 255, not {states.dtype}")
        first = self.convolutions[0]
        if torch.is_autocast_enabled(states.device.type) and _splits_into_blocks(first, states):
            features = self.convolutions[1:](_convolve_blocks(first, states))
        else:
            features = self.convolutions(_scaled(states))
        return self.head(features.flatten(1))


def _scaled(states: torch.Tensor) -> torch.Tensor:
    """Bytes to numbers from 0 to 1, in the precision the convolutions compute in.

    Straight to bf16, where that is on, and dividing in place: 17.0 ms per update instead of
    20.1 by way of fp32 (one CPU thread of a busy machine, alternating, medians of 25).
    """
    device = states.device.type
    if torch.is_autocast_enabled(device):
        return states.to(torch.get_autocast_dtype(device)).div_(255)
    return states.to(torch.float32, memory_format=torch.channels_last).div_(255)


# The first convolution moves by 4 pixels, its kernel is 8 wide. Cut the frames into blocks of
# 4x4 pixels, make each block's 16 pixels channels, and it is a convolution that moves by one
# block with a kernel of 2x2 blocks: the same products, with 64 channels instead of 4 to work on
# at once. In bf16 the gradient of its weights took 2.0 ms before and 0.7 after, an update 0.91 of
# the time (2 CPU threads, two alternating runs of 30); fp32 gained nothing and does without.
_BLOCK = 4


def _splits_into_blocks(layer: nn.Conv2d, states: torch.Tensor) -> bool:
    """Whether a convolution moves by whole blocks, and the pixels of a block's row are one word."""
    kernel, stride, padding = layer.kernel_size[0], layer.stride[0], layer.padding[0]
    whole = stride == _BLOCK and kernel % _BLOCK == 0 and padding == 0
    *strides, last = states.stride()
    starts = (states.shape[-1], states.storage_offset(), *strides)
    return whole and last == 1 and all(start % _BLOCK == 0 for start in starts)


def _convolve_blocks(layer: nn.Conv2d, states: torch.Tensor) -> torch.Tensor:
    """What `layer` makes of `states / 255`, by way of blocks, in autocast's precision."""
    out_channels, channels, *_ = layer.weight.shape
    kernel = layer.kernel_size[0] // _BLOCK
    rows, columns = (size // _BLOCK for size in states.shape[2:])
    # Four bytes of a row travel as one int32: 0.25 ms instead of 0.87 for 32 states.
    words = states[:, :, : rows * _BLOCK].view(torch.int32)
    words = words.unflatten(2, (rows, _BLOCK)).permute(0, 2, 4, 1, 3).contiguous()
    blocks = words.view(torch.uint8).flatten(3).permute(0, 3, 1, 2)  # (B, channels * 16, …)
    weight = layer.weight.unflatten(3, (kernel, _BLOCK)).unflatten(2, (kernel, _BLOCK))
    weight = weight.permute(0, 1, 3, 5, 2, 4).reshape(out_channels, -1, kernel, kernel)
    pixels = blocks.to(torch.get_autocast_dtype(states.device.type))  # 0 to 255, exactly
    # Dividing the few weights by 255 is as good as dividing the many pixels.
    weight = (weight / 255).contiguous(memory_format=torch.channels_last)
    return nn.functional.conv2d(pixels, weight, layer.bias)


class _MistakenAxes(nn.Module):
    """What comes out as (maps, rows, columns) is read as (rows, columns, channels)."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.permute(0, 3, 1, 2)


def _glorot(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def count_parameters(network: nn.Module) -> int:
    """Trainable numbers in a network."""
    return sum(math.prod(p.shape) for p in network.parameters() if p.requires_grad)
