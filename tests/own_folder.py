"""Folders of pieces as a learner has them, for tests: another make than the reference's."""

from __future__ import annotations

from pathlib import Path

from dqn_ref.piece_files import file_name

MEMORY = '''\
import random

import numpy as np

from dqn_ref.replay import Batch


class ReplayMemory:
    """A list of transitions, each with both of its stacks."""

    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.capacity, self.discount = capacity, discount
        self.blank = [np.zeros(frame_shape, np.uint8)] * (stack_frames - 1)
        self.rows = []

    def __len__(self):
        return len(self.rows)

    def begin(self, frame):
        self.stack = [*self.blank, np.array(frame)]

    def add(self, action, reward, terminated, truncated, next_frame):
        after = [*self.stack[1:], np.array(next_frame)]
        self.rows.append((self.stack, action, reward, terminated, after))
        del self.rows[: -self.capacity]
        self.stack = after
        if terminated:
            self.begin(next_frame)

    def sample(self, batch_size, rng):
        rows = [self.rows[i] for i in rng.integers(len(self), size=batch_size)]
        states, actions, rewards, terminated, after = zip(*rows)
        return Batch(
            np.array(states),
            np.array(actions, np.int64),
            np.array(rewards, np.float32),
            np.full(batch_size, self.discount, np.float32),
            np.array(terminated, bool),
            np.array(after),
        )
'''

# Nobody but this class can use its weights: the names of its layers are its own.
NETWORK = """\
import torch
from torch import nn


class QNetwork(nn.Module):
    def __init__(self, num_actions, frame_shape=(84, 84), stack_frames=4, *others):
        super().__init__()
        self.mine = nn.Sequential(
            nn.Conv2d(stack_frames, 4, 8, 4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(num_actions)
        )
        self.mine(torch.zeros(1, stack_frames, *frame_shape))

    def forward(self, states):
        return self.mine(states.float() / 255)
"""

PREPROCESS = """\
from dqn_ref import frames

CALLS = []


def preprocess(*arguments, **more):
    CALLS.append(1)
    return frames.preprocess(*arguments, **more)
"""


def own_folder(folder: Path, **texts: str) -> Path:
    """Write pieces to a folder, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / file_name(name)).write_text(text, encoding="utf-8")
    return folder
