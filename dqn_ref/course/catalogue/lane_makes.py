"""Right LaneMemories of other make; only the tests run them."""

from __future__ import annotations

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import RightVersion
from dqn_ref.replay import Batch


class CountedLanes:
    """Throws for the lane of each row, and counts; arrays come out, rows shuffled together."""

    def __init__(self, memories):
        self.memories = tuple(memories)

    def __len__(self):
        return int(np.sum([len(m) for m in self.memories]))

    def begin(self, frames):
        for i in range(len(self.memories)):
            self.memories[i].begin(np.asarray(frames[i].cpu()))

    def add(self, actions, rewards, terminated, truncated, starts, next_frames):
        for i, memory in enumerate(self.memories):
            frame = next_frames[i].cpu().numpy()
            if starts[i]:
                memory.begin(frame)
                continue
            row = int(actions[i]), float(rewards[i]), bool(terminated[i]), bool(truncated[i])
            memory.add(*row, next_frame=frame)

    def sample(self, batch_size, rng):
        if len(self.memories) == 1:
            return self.memories[0].sample(batch_size, rng)
        total = len(self)
        if total == 0:
            raise ValueError("empty")
        ends = np.cumsum([len(m) for m in self.memories])
        lanes = np.searchsorted(ends, rng.integers(total, size=batch_size), side="right")
        parts = [self.memories[i].sample(int((lanes == i).sum()), rng) for i in np.unique(lanes)]
        order = rng.permutation(batch_size)
        return Batch(*(np.concatenate(field)[order] for field in zip(*parts, strict=True)))


class Given:
    """A generator that hands out the positions it was given."""

    def __init__(self, positions):
        self.positions = positions

    def integers(self, high, size):
        return self.positions


class OneRowAtATime:
    """One draw over all steps; then each row is fetched from where it stands."""

    def __init__(self, memories):
        self.m = memories

    def __len__(self):
        total = 0
        for memory in self.m:
            total += len(memory)
        return total

    def begin(self, frames):
        [
            memory.begin(frame)
            for memory, frame in zip(self.m, frames.to("cpu").numpy(), strict=True)
        ]

    def add(self, actions, rewards, terminated, truncated, starts, next_frames):
        frames = list(next_frames.detach().cpu().numpy())
        everything = (self.m, actions, rewards, terminated, truncated, starts, frames)
        for m, a, r, over, cut, new, frame in zip(*everything, strict=True):
            m.begin(frame) if new else m.add(a, r, over, cut, frame)

    def sample(self, batch_size, rng):
        rows = []
        for position in rng.integers(0, len(self), batch_size):
            for memory in self.m:
                if position < len(memory):
                    rows.append(memory.sample(1, Given(np.array([position]))))
                    break
                position -= len(memory)
        fields = [[torch.as_tensor(f) for f in field] for field in zip(*rows, strict=True)]
        return Batch(*map(torch.vstack, fields[:1]), *map(torch.hstack, fields[1:5]),
                     torch.vstack(fields[5]))  # fmt: skip


class WithMask:
    """Begins and adds by masks; a share of the batch for every lane, random where it is broken."""

    def __init__(self, memories):
        self.lanes = dict(enumerate(memories))

    def __len__(self):
        return sum(map(len, self.lanes.values()))

    def begin(self, frames):
        self._begin(range(len(self.lanes)), frames)

    def _begin(self, lanes, frames):
        for lane in lanes:
            self.lanes[lane].begin(np.array(frames[lane].tolist(), dtype=np.uint8))

    def add(self, actions, rewards, terminated, truncated, starts, next_frames):
        self._begin(np.flatnonzero(starts), next_frames)
        for lane in np.flatnonzero(~np.asarray(starts)):
            facts = (x[lane] for x in (actions, rewards, terminated, truncated))
            self.lanes[lane].add(*facts, np.array(next_frames[lane].tolist(), dtype=np.uint8))

    def sample(self, batch_size, rng):
        lengths = np.array([len(memory) for memory in self.lanes.values()])
        if lengths.sum() < 1:
            raise ValueError("nothing there")
        counts = batch_size * lengths // lengths.sum()
        rest = batch_size * lengths / lengths.sum() - counts
        if counts.sum() < batch_size:  # as many rows more, by the broken parts
            counts = counts + rng.multinomial(batch_size - counts.sum(), rest / rest.sum())
        parts = [self.lanes[i].sample(int(n), rng) for i, n in enumerate(counts) if n > 0]
        columns = [[np.asarray(part[k]) for part in parts] for k in range(6)]
        return Batch(*(np.concatenate(column) for column in columns))


RIGHT = (
    RightVersion("a lane for each row, counted, rows shuffled together", CountedLanes),
    RightVersion("one row at a time by its position among all", OneRowAtATime),
    RightVersion("shares with a random rest, frames by masks", WithMask),
)
