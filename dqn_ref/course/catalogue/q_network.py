"""The Q-network of chapter 05: its scenes, known mistakes, and networks of other make.

Contract: `dqn_ref.pieces.CONTRACTS["QNetwork"]`. In words: an `nn.Module` with the convolutions
and the hidden layer of `dqn_ref.network.ARCHITECTURES`, a ReLU behind each of them and nothing
behind the last layer; bytes in, divided by 255 once, inside; `(B, num_actions)` float32 out.
`conv1_padding` pads the first convolution, `initialisation` chooses the first weights; ValueError
for unknown names and for frames that are too small.

What may vary: names and order of layers, how they are kept and computed, and in which order the
maps are flattened. "channels_trap", the first old notebook's mistake, may be refused.
"""

from __future__ import annotations

import torch

from dqn_ref.course.catalogue.judging import Entry, Probe
from dqn_ref.course.catalogue.network_makes import RIGHT
from dqn_ref.course.catalogue.network_scenes import (
    Counted,
    FirstWeights,
    Refusal,
    Trap,
    Values,
)
from dqn_ref.course.catalogue.network_wrong import wrong as wrong_values
from dqn_ref.course.catalogue.network_wrong_frames import wrong as wrong_frames
from dqn_ref.course.catalogue.network_wrong_layers import wrong as wrong_layers
from dqn_ref.network import QNetwork

HINTS = {
    1: "the idea: the layers of the table and one more, and where a ReLU stands: behind every "
    "layer but the last",
    2: "the calls: flatten(1) keeps the batch, nn.Linear, layers as attributes; no no_grad and no "
    "detach in forward",
    3: "frames and sizes: all frames go in, in their order; channels of the first convolution are "
    "the frames of the stack; the hidden layer has as many inputs as the convolutions put out",
    4: "bytes in: make them float32 and divide by 255, once",
    5: "the options: unknown names and small frames are a ValueError; the padding belongs to the "
    "first convolution; glorot",
}

# Frames of 36 x 36 leave one pixel of each map behind the last convolution: quick, and the order in
# which maps are flattened plays no part.
# Of 42 pixels two are left with the padding, and one if it is forgotten or laid on one side only.
_TINY, _ODD, _TALL = (36, 36), (54, 47), (44, 36)

_LAYERS = ((8192, 32, 256), (32768, 64, 512), (36864, 0, 576), (65536, 512, 128),
                 (2560, 5, 512))  # fmt: skip

SCENES = (
    Probe("a network for 36 × 36 pixels and four actions", Values((4, _TINY)).observe),
    Probe(
        "a network for 54 × 47 pixels, stacks of three frames and six actions",
        Values((6, _ODD, 3), (64, 3, 2), as_trained=True).observe,
    ),
    Probe(
        'a network with architecture="mnih2013" for 44 × 36 pixels',
        Values((3, _TALL), (32, 4, 3), 256, {"architecture": "mnih2013"}, 5).observe,
    ),
    Probe(
        "a network with conv1_padding=1 for 42 × 37 pixels",
        Values(
            (4, (42, 37), 4, "mnih2015"), (64, 2, 1), keywords={"conv1_padding": 1}, hint=5
        ).observe,
    ),
    Probe(
        "a network for 44 × 36 pixels and five actions",
        FirstWeights((5, _TALL), {}, _LAYERS).observe,
    ),
    Probe(
        'a network with initialisation="glorot"',
        FirstWeights((5, _TALL), {"initialisation": "glorot"}, _LAYERS).observe,
    ),
    Probe(
        "a call with an unknown name",
        Refusal((4, _TINY), {"architecture": "mnih1987"}, '`architecture="mnih1987"`').observe,
    ),
    Probe(
        "a call with an unknown name",
        Refusal((4, _TINY), {"initialisation": "he"}, '`initialisation="he"`').observe,
    ),
    Probe(
        "a call with frames that are too small",
        Refusal((4, (35, 84)), {}, "`frame_shape=(35, 84)`").observe,
    ),
    Probe(
        "a call with frames that are too small",
        Refusal((4, (84, 35)), {}, "`frame_shape=(84, 35)`").observe,
    ),
    Probe(
        'a network with architecture="channels_trap"',
        Trap(Values((4, (44, 40)), (64, 13, 2), 512, {"architecture": "channels_trap"}, 5)).observe,
    ),
    Probe(
        "a network for four actions with default arguments",
        Counted((4,)).observe,
    ),
)


def _forward_and_backward(piece):
    """Eight states, through and back, in the layout of a training."""
    network = piece(4).to(memory_format=torch.channels_last)
    states = torch.randint(0, 256, (8, 4, 84, 84), dtype=torch.uint8)

    def work() -> None:
        network(states).sum().backward()

    return work


ENTRY = Entry(
    name="QNetwork",
    probes=SCENES,
    wrong=(*wrong_values, *wrong_frames, *wrong_layers),
    right=RIGHT,
    hints=HINTS,
    model=QNetwork,
    reference=QNetwork,
    workload=_forward_and_backward,
)
