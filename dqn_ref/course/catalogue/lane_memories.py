"""The memories of several lanes, of chapter 10.

Contract: `dqn_ref.pieces.CONTRACTS["LaneMemories"]`. In words: lane i of every array belongs to
memory i, and memories take frames as arrays. Where a game starts (`starts`) its frame begins one in
that lane alone, and the row is no step. `len` counts the steps of all lanes. `sample` draws every
row from the steps of all lanes, each equally likely; `rng` alone decides; a memory is never asked
for a batch of nothing. With one lane the batch is the one memory's own.

What may vary: how a batch is spread over the lanes, if each step is as likely and a batch is not
bound to one lane; the order of its rows; arrays or tensors.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from dqn_ref.course.catalogue import lane_scenes as scenes
from dqn_ref.course.catalogue.judging import Entry, Probe
from dqn_ref.course.catalogue.lane_makes import RIGHT
from dqn_ref.course.catalogue.lane_wrong import wrong
from dqn_ref.replay import LaneMemories, ReplayMemory

HINTS = {
    1: "lane by lane: column i belongs to memory i; a start begins a game there, and is no step",
    2: "frames.cpu().numpy(): memories take arrays; zip with strict=True",
    3: "a lane's share of the draws is its share of the steps: rng.multinomial; the same rng for "
    "all; only lanes that have a share are asked; one lane: nothing is thrown before its own draw",
    4: "join field by field, all six fields, rows stay together; len is a sum",
}

PROBES = (
    Probe("three lanes", scenes.THREE.observe),
    Probe("two lanes whose frames lie on a GPU", scenes.GPU.observe),
    Probe("four lanes, two of which have made a step less", scenes.LATE.observe),
    Probe("three lanes, one of which has made no step yet", scenes.STILL_EMPTY.observe),
    Probe("lanes that hold 3, 15 and 20 steps", scenes.batches_of_many_sizes),
    Probe("lanes that hold 3, 15 and 20 steps, drawn from often", scenes.fair_shares),
    Probe("two lanes of 30 steps", scenes.lanes_of_one_length),
    Probe("one lane alone", scenes.one_lane),
    Probe("two lanes without a step", scenes.nothing_yet),
)


def a_turn_and_a_minibatch(piece: Callable) -> Callable[[], None]:
    """Four lanes of small frames: what is timed is the piece, not its memories."""
    memories = [ReplayMemory(64, (8, 8)) for _ in range(4)]
    lanes, rng = piece(memories), np.random.default_rng(0)
    frames, no = torch.zeros(4, 8, 8, dtype=torch.uint8), np.zeros(4, bool)
    facts = np.zeros(4, np.int64), np.zeros(4, np.float32), no, no, no
    lanes.begin(frames)

    def work() -> None:
        lanes.add(*facts, frames)
        lanes.sample(32, rng)

    return work


ENTRY = Entry(
    name="LaneMemories",
    probes=PROBES,
    wrong=wrong,
    right=RIGHT,
    hints=HINTS,
    model=LaneMemories,
    reference=LaneMemories,
    workload=a_turn_and_a_minibatch,
)
