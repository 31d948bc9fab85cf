"""What the check of LaneMemories says: no untrue name, the right fact, nothing refused wrongly.

`tests/test_catalogue.py` runs over every wrong and right version; here are the pieces beside them.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from dqn_ref.course.catalogue import entry, judge, lane_facts
from dqn_ref.course.catalogue.judging import Trace, observe, wrong_version
from dqn_ref.course.catalogue.lane_makes import CountedLanes, OneRowAtATime, WithMask
from dqn_ref.course.catalogue.lane_wrong import LaneByLane
from dqn_ref.replay import Batch, LaneMemories, ReplayMemory

LANES = entry("LaneMemories")


def verdict_of(piece):
    return judge("LaneMemories", piece)


def named(slug: str) -> type:
    return next(version.piece for version in LANES.wrong if version.slug == slug)


# --- no untrue name -------------------------------------------------------------------------------

TELLING = ("starts are steps", "starts are skipped", "all begin when one does", "flags exchanged",
           "cut off is terminated", "every end is terminated", "begins after an end",
           "one lane's frames")  # fmt: skip
DRAWING = ("first lane only", "lanes equally often", "the rest from the first lane",
           "the rest from the last lane", "one lane per batch", "the same dice in every lane",
           "dice of its own", "fields shuffled apart", "length of one lane")  # fmt: skip


# Where all lanes hold as many steps at all times, to draw from each equally often is right.
HIDDEN = [(telling, "lanes equally often") for telling in (TELLING[0], TELLING[2])]
PAIRS = [pair for pair in itertools.product(TELLING, DRAWING) if pair not in HIDDEN]


@pytest.mark.parametrize("telling, drawing", PAIRS)
def test_two_mistakes_at_once_have_no_name(telling, drawing):
    """Stopping at the memories' notes, or at the draws, would name one of the two."""
    both = type("LaneMemories", (named(telling), named(drawing)), {})
    verdict = verdict_of(both)
    assert not verdict.passed and verdict.wrong is None, verdict.message


def test_a_rare_fault_beside_a_mistake_takes_its_name_away():
    """A few turns, or a few rows of a batch, would name what is more than that mistake."""
    for version in LANES.wrong:

        def tell(self, memory, start, action, reward, *rest, piece=version.piece):
            piece.tell(self, memory, start, action, reward + (reward == 6.5), *rest)

        rarely = type("LaneMemories", (version.piece,), {"tell": tell})
        traces = [Trace(tuple(observe(probe, rarely, None))) for probe in LANES.probes]
        assert wrong_version(LANES, traces) is None, version.slug


# --- what beginners write -------------------------------------------------------------------------


class GivesTensors(LaneByLane):
    def add(self, actions, rewards, terminated, truncated, starts, next_frames):
        rows = zip(actions, rewards, terminated, truncated, next_frames, strict=True)
        for memory, start, row in zip(self.memories, starts, rows, strict=True):
            self.tell(memory, bool(start), *row)


class ForgetsTheGpu(LaneByLane):
    def begin(self, frames):
        for memory, frame in zip(self.memories, frames.numpy(), strict=True):
            memory.begin(frame)


class WholeColumns(LaneByLane):
    def add(self, actions, rewards, terminated, truncated, starts, next_frames):
        for memory, frame in zip(self.memories, next_frames.cpu().numpy(), strict=True):
            memory.add(actions, rewards, terminated, truncated, frame)


class ListOfBatches(LaneByLane):
    def join(self, drawn, rng):
        return drawn


class Divides(LaneByLane):
    def shares(self, lengths, batch_size, rng):
        return np.full(len(lengths), batch_size // len(lengths))


class RestToTheMiddle(LaneByLane):
    def shares(self, lengths, batch_size, rng):
        counts = batch_size * lengths // lengths.sum()
        counts[len(counts) // 2] += batch_size - counts.sum()
        return counts


class StacksBatches(LaneByLane):
    def join(self, drawn, rng):
        batch = super().join(drawn, rng)
        return batch if len(drawn) > 1 else Batch(*(field[None] for field in batch))


class FiveFields(LaneByLane):
    def join(self, drawn, rng):
        states, actions, rewards, terminated, after = zip(*drawn, strict=True)
        return super().join(drawn, rng)


class AsksForNothing(LaneByLane):
    def sample(self, batch_size, rng):
        lengths = np.array([len(memory) for memory in self.memories])
        if not lengths.any():
            raise ValueError("empty")
        counts = self.shares(lengths, batch_size, rng)
        return self.join(
            [m.sample(n, rng) for m, n in zip(self.memories, counts, strict=True)], rng
        )


class CatOfArrays(LaneByLane):
    def join(self, drawn, rng):
        return Batch(*(torch.cat(field) for field in zip(*drawn, strict=True)))


class FloatFrames(LaneByLane):
    def join(self, drawn, rng):
        batch = super().join(drawn, rng)
        return batch._replace(states=batch.states / 255)


class DiceForOneLane(LaneByLane):
    def shares(self, lengths, batch_size, rng):
        lanes = rng.choice(len(lengths), size=batch_size, p=lengths / lengths.sum())
        return np.bincount(lanes, minlength=len(lengths))


class NeverTheNewest(LaneByLane):
    def draw(self, memory, count, rng):
        if len(self.memories) == 1 or len(memory) == 1:
            return memory.sample(count, rng)
        positions = rng.integers(len(memory) - 1, size=count)
        drawer = type("Drawer", (), {"integers": lambda self, high, size: positions})
        return memory.sample(count, drawer())


class CountsForItself(LaneByLane):
    def __init__(self, memories):
        super().__init__(memories)
        self.count = 0

    def __len__(self):
        return self.count

    def tell(self, memory, start, *row):
        super().tell(memory, start, *row)
        self.count += not start


class NothingWhenEmpty(LaneByLane):
    def sample(self, batch_size, rng):
        return super().sample(batch_size, rng) if len(self) else None


@pytest.mark.parametrize(
    "piece, fact, hint",
    [
        (GivesTensors, "a Tensor where an array is due", 2),
        (ForgetsTheGpu, "use Tensor.cpu() first", None),
        (WholeColumns, "an array of shape (3,)", 1),
        (ListOfBatches, "returns a list, expected a `Batch`", 4),
        (Divides, "`states` of a batch of 1000 has shape (999, 2, 2, 3), expected (1000", 3),
        (RestToTheMiddle, "in batches of 1, 0% of the draws from lane 0 (3 of 38 steps), 100%", 3),
        (StacksBatches, "`states` of a batch of 1 has shape (1, 1, 2, 2, 3)", 4),
        (FiveFields, "too many values to unpack (expected 5); a `Batch` has 6 fields", 4),
        (AsksForNothing, "one of which has made no step yet, `sample` raises ValueError: this", 3),
        (CatOfArrays, "raises TypeError", None),
        (FloatFrames, "`states` of a batch are float32, expected uint8", 4),
        (DiceForOneLane, "asked for all 12 rows before anything else uses `rng`", 3),
        (NeverTheNewest, "a batch of 1,000 does not hold lane", 3),
        (NothingWhenEmpty, "it answers `sample` with a NoneType, expected a ValueError", 3),
    ],
)
def test_wrong_pieces_outside_the_catalogue_get_the_first_fact(piece, fact, hint):
    """What is true and useful can be said of wrong code that nobody has foreseen, too."""
    verdict = verdict_of(piece)
    assert not verdict.passed and verdict.attempted and verdict.wrong is None
    assert fact in verdict.message, verdict.message
    assert verdict.hint == hint


def test_a_count_of_its_own_is_refused_once_a_memory_forgets():
    """Memories drop their oldest steps: who counts what was added counts too many."""
    lanes = CountsForItself([ReplayMemory(16, (2, 3)) for _ in range(2)])
    no, frames = np.zeros(2, bool), torch.zeros(2, 2, 3, dtype=torch.uint8)
    lanes.begin(frames)
    for _ in range(40):
        lanes.add(np.zeros(2, int), np.zeros(2, np.float32), no, no, no, frames)
    assert len(lanes) > len(LaneByLane(lanes.memories))
    assert not verdict_of(CountsForItself).passed


# --- what may vary, and no more -------------------------------------------------------------------


class LastLaneFirst(LaneByLane):
    """Draws from the lanes in another order, so every number differs."""

    def __init__(self, memories):
        super().__init__(memories)
        self.told = memories
        self.memories = memories[::-1]

    def begin(self, frames):
        super().begin(frames.flip(0))

    def add(self, *fields):
        super().add(*(field[::-1] for field in fields[:-1]), fields[-1].cpu().flip(0))


class SeedsALaneEach(LaneByLane):
    """A generator for each lane, all from the one that is given."""

    def draw(self, memory, count, rng):
        if len(self.memories) == 1:
            return memory.sample(count, rng)
        return memory.sample(count, np.random.default_rng(int(rng.integers(2**62))))


class ShufflesRows(LaneByLane):
    def join(self, drawn, rng):
        batch = super().join(drawn, rng)
        order = torch.arange(len(batch.actions) - 1, -1, -1)
        return Batch(*(field[order] for field in batch))


@pytest.mark.parametrize("piece", [LaneByLane, LastLaneFirst, SeedsALaneEach, ShufflesRows])
def test_open_choices_are_accepted(piece):
    """Order of rows, order of lanes, and whose generator a lane has, are the learner's business."""
    verdict = verdict_of(piece)
    assert verdict.passed, verdict.message


def test_right_draws_are_seldom_called_unfair():
    """Two counts of as many draws, from one chance: how often do they lie too far apart?"""
    for draws in (400, 12_000):
        steps, lanes = (
            38 * _refusal(draws, 1 / 38),
            3 * max(_refusal(draws, n / 38) for n in (3, 15, 20)),
        )
        assert steps + lanes < 1e-7


def _refusal(draws: int, p: float) -> float:
    """Chance that two independent binomial counts differ by more than the check allows."""
    spread = 10 * math.sqrt(draws * p * (1 - p)) + 10  # nothing happens beyond
    counts = np.arange(max(0, int(draws * p - spread)), min(draws, int(draws * p + spread)) + 1)
    logs = [
        math.lgamma(draws + 1) - math.lgamma(k + 1) - math.lgamma(draws - k + 1)
        + k * math.log(p) + (draws - k) * math.log1p(-p)
        for k in counts
    ]  # fmt: skip
    chance = np.exp(logs)
    one, other = counts[:, None], counts[None, :]
    apart = np.abs(one - other) > lane_facts._SIGMAS * np.sqrt(np.maximum(one + other, 1))
    return float((chance[:, None] * chance[None, :] * apart).sum())


def test_shares_that_are_unfair_are_seen():
    """The limit above must not be so wide that a doubled share passes."""

    class Twice(LaneByLane):
        def shares(self, lengths, batch_size, rng):
            weights = lengths * np.arange(1, len(lengths) + 1)
            return rng.multinomial(batch_size, weights / weights.sum())

    verdict = verdict_of(Twice)
    assert not verdict.passed and verdict.hint == 3
    assert "each step should be drawn as often" in verdict.message


# --- the piece at work ----------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [LaneMemories, LaneByLane, CountedLanes, OneRowAtATime, WithMask])
def test_right_pieces_serve_the_memories_of_chapter_04(piece):
    """The notes of the check's own memories are one thing, a real memory's batch another."""
    rng = np.random.default_rng(0)
    lanes, no = piece([ReplayMemory(50, (2, 3)) for _ in range(3)]), np.zeros(3, bool)
    lanes.begin(torch.from_numpy(rng.integers(1, 256, (3, 2, 3), dtype=np.uint8)))
    for turn in range(12):
        frames = torch.from_numpy(rng.integers(1, 256, (3, 2, 3), dtype=np.uint8))
        rewards = np.arange(3, dtype=np.float32) + 10 * turn
        lanes.add(np.arange(3), rewards, no, no, np.arange(3) == turn - 4, frames)
    assert len(lanes) == 33
    batch = lanes.sample(400, rng)
    assert {float(r) % 10 for r in batch.rewards} == {0.0, 1.0, 2.0}
    assert np.array_equal(np.asarray(batch.actions), np.asarray(batch.rewards) % 10)
