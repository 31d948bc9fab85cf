"""Replay memory. Numbers are those of the list of known pitfalls.

The ring is held against `NaiveMemory`, which keeps every transition with both of its stacks in a
Python list. Each assertion is a function of its subject and must reject broken subjects.
"""

from typing import NamedTuple

import numpy as np
import pytest
import torch

from dqn_ref.environments import Rows, make_lanes
from dqn_ref.exploration import epsilon_greedy, linear_schedule
from dqn_ref.frames import FrameStack, mask_stacks
from dqn_ref.learner import td_targets
from dqn_ref.recipes import get_recipe
from dqn_ref.replay import Batch, FrameRing, LaneMemories, ReplayMemory
from dqn_ref.training import LoopParts, clip_reward, training_loop

# --- random play --------------------------------------------------------------------------------


class Event(NamedTuple):
    """Arguments of one `add`, or of one `begin` where `actions` is None."""

    actions: np.ndarray | None
    rewards: np.ndarray | None
    terminated: np.ndarray | None
    truncated: np.ndarray | None
    starts: np.ndarray | None
    frames: torch.Tensor


FORBIDDEN = 99  # the action on rows whose action is ignored


def random_play(
    seed: int, lanes: int, steps: int, shape=(2, 3), frame=None, restarts: bool = False
) -> list[Event]:
    """What a training loop would send to a memory: games end, are cut off, lives are lost.

    `frame(lane, time, episode)` gives a frame; by default they are random. `episode` counts
    stacks: it rises at each game start and at each life that ends an episode.
    """
    rng = np.random.default_rng(seed)
    p_over, p_cut, p_life, p_fire = rng.choice([0.0, 0.03, 0.12, 0.3], size=4)
    episode = np.arange(lanes) * 1000
    events: list[Event] = []
    ended = np.zeros(lanes, dtype=bool)

    def frames(time):
        if frame is None:
            return torch.from_numpy(rng.integers(256, size=(lanes, *shape), dtype=np.uint8))
        pictures = [frame(lane, time, int(episode[lane])) for lane in range(lanes)]
        return torch.from_numpy(np.stack(pictures))

    events.append(Event(None, None, None, None, None, frames(0)))
    for time in range(1, steps + 1):
        if restarts and rng.random() < 0.02:
            episode += 1
            ended[:] = False
            events.append(Event(None, None, None, None, None, frames(time)))
            continue
        starts = ended | (rng.random(lanes) < p_fire / 3)
        over = (rng.random(lanes) < p_over) & ~ended
        truncated = (rng.random(lanes) < p_cut) & ~over & ~ended
        life = (rng.random(lanes) < p_life) & ~over & ~truncated & ~starts
        terminated = over | life
        actions = np.where(starts, FORBIDDEN, rng.integers(18, size=lanes))
        rewards = np.where(starts, -7.0, rng.normal(size=lanes)).astype(np.float32)
        # The frame of a game's last row belongs to the game; after a life a new stack begins.
        episode = episode + (starts | life)
        events.append(Event(actions, rewards, terminated, truncated, starts, frames(time)))
        ended = over | truncated
    return events


def feed(memory, event: Event) -> None:
    if event.actions is None:
        memory.begin(event.frames)
    else:
        memory.add(*event)


class NaiveMemory:
    """Every transition with its two stacks, in a list; forgets what the ring says it forgets."""

    def __init__(self, memory_frames: int, lanes: int, shape=(2, 3), stack_frames: int = 4):
        self.time_rows, self.lanes, self.k = memory_frames // lanes, lanes, stack_frames
        self.empty = np.zeros(shape, dtype=np.uint8)
        self.transitions: list[tuple] = []
        self.time = -1

    def begin(self, frames):
        self.history = [[frame.numpy()] for frame in frames]
        self._next_time()

    def add(self, actions, rewards, terminated, truncated, starts, frames):
        self._next_time()
        for lane in range(self.lanes):
            new = frames[lane].numpy()
            if starts[lane]:
                self.history[lane] = [new]
                continue
            state = ([self.empty] * self.k + self.history[lane])[-self.k :]
            self.transitions.append(
                (self.time - 1, state, actions[lane], rewards[lane], terminated[lane],
                 [*state[1:], new])
            )  # fmt: skip
            self.history[lane] = [new] if terminated[lane] else [*self.history[lane], new]

    def _next_time(self):
        """A row is lost when its oldest frame is, and at the first turn all before it are, too."""
        self.time += 1
        if self.time >= self.time_rows:
            oldest = self.time - self.time_rows + self.k
            self.transitions = [t for t in self.transitions if t[0] >= oldest]

    def __len__(self):
        return len(self.transitions)

    def batch(self) -> Batch:
        _, states, actions, rewards, terminated, nexts = zip(*self.transitions, strict=True)
        return Batch(
            np.array(states), np.array(actions), np.array(rewards), None, np.array(terminated),
            np.array(nexts),
        )  # fmt: skip


def everything(ring: FrameRing) -> Batch:
    return ring.gather(torch.arange(len(ring)))


def same(tensor: torch.Tensor, array: np.ndarray) -> bool:
    return bool(np.array_equal(tensor.numpy(), array))


def assert_equals_naive(make_ring, seeds, steps: int = 150):
    for seed in seeds:
        rng = np.random.default_rng(1000 + seed)
        lanes, k = int(rng.choice([1, 3, 8])), int(rng.choice([4, 4, 2, 1]))
        frames = lanes * int(rng.integers(k + 2, 60)) + int(rng.integers(lanes))
        ring = make_ring(frames, lanes, (2, 3), k, 0.9)
        naive = NaiveMemory(frames, lanes, (2, 3), k)
        for number, event in enumerate(random_play(seed, lanes, steps, restarts=True)):
            feed(ring, event)
            feed(naive, event)
            assert len(ring) == len(naive), (seed, number)
            if len(naive) and (number % 7 == 0 or number == steps):
                got, expected = everything(ring), naive.batch()
                assert same(got.actions, expected.actions), (seed, number)
                assert same(got.rewards, expected.rewards), (seed, number)
                assert same(got.terminated, expected.terminated), (seed, number)
                assert same(got.states, expected.states), (seed, number)
                assert same(got.next_states, expected.next_states), (seed, number)
                assert torch.all(got.discounts == np.float32(0.9))
                dtypes = [field.dtype for field in got]
                assert dtypes == [
                    torch.uint8, torch.int64, torch.float32, torch.float32, torch.bool,
                    torch.uint8,
                ]  # fmt: skip


@pytest.mark.parametrize("first_seed", [0, 15, 30, 45])
def test_18_to_24_the_ring_equals_a_naive_memory(first_seed):
    """Pitfalls 16 and 18 to 24, all at once: any leak, shift or loss shows as a difference."""
    assert_equals_naive(FrameRing, range(first_seed, first_seed + 15))


class ForgetsOneRowLate(FrameRing):
    """Drops a row when the row itself is overwritten, not its oldest frame."""

    def _forget_for_next_write(self):
        self._written -= self.stack_frames - 1
        super()._forget_for_next_write()
        self._written += self.stack_frames - 1


class NeverBreaks(FrameRing):
    def _write(self, frames, ages):
        super()._write(frames, np.full_like(ages, 255))


class BreaksOneRowLate(FrameRing):
    def _write(self, frames, ages):
        super()._write(frames, ages + 1)


class IgnoresLives(FrameRing):
    def add(self, actions, rewards, terminated, truncated, starts, next_frames):
        super().add(actions, rewards, terminated, truncated, starts, next_frames)
        row = (self._written - 1) % self.time_rows
        ages = np.where(starts, 0, self.stack_frames)
        self._ages[row * self.lanes : (row + 1) * self.lanes] = torch.from_numpy(ages)
        self._newest_age = ages


class DrawsResetRows(FrameRing):
    def _append_drawable(self, time, lanes):
        super()._append_drawable(time, np.arange(self.lanes))


class MixesLanes(FrameRing):
    def _write(self, frames, ages):
        super()._write(frames.roll(self._written, 0), ages)


class BreaksAllLanes(FrameRing):
    def _write(self, frames, ages):
        super()._write(frames, np.full_like(ages, ages.min()))


class LateRewards(FrameRing):
    before = 0.0

    def add(self, actions, rewards, terminated, truncated, starts, next_frames):
        late, self.before = self.before + 0 * rewards, rewards
        super().add(actions, late, terminated, truncated, starts, next_frames)


class LateFlags(FrameRing):
    before = False

    def add(self, actions, rewards, terminated, truncated, starts, next_frames):
        late, self.before = self.before | np.zeros_like(terminated), terminated
        super().add(actions, rewards, late, truncated, starts, next_frames)


class TruncatedIsTerminated(FrameRing):
    def add(self, actions, rewards, terminated, truncated, starts, next_frames):
        super().add(actions, rewards, terminated | truncated, truncated, starts, next_frames)


class NewestFirst(FrameRing):
    def gather_slots(self, slots):
        batch = super().gather_slots(slots)
        return batch._replace(states=batch.states.flip(1), next_states=batch.next_states.flip(1))


class NextIsSame(FrameRing):
    def gather_slots(self, slots):
        batch = super().gather_slots(slots)
        return batch._replace(next_states=batch.states)


class OldestLast(FrameRing):
    def gather(self, positions):
        return super().gather(len(self) - 1 - positions)


BROKEN_RINGS = [
    ForgetsOneRowLate, NeverBreaks, BreaksOneRowLate, IgnoresLives, DrawsResetRows, MixesLanes,
    BreaksAllLanes, LateRewards, LateFlags, TruncatedIsTerminated, NewestFirst, NextIsSame,
    OldestLast,
]  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN_RINGS)
def test_18_to_24_the_naive_memory_rejects(broken):
    with pytest.raises(AssertionError):
        assert_equals_naive(broken, range(15), steps=80)


# --- three memories, one behaviour --------------------------------------------------------------


def ring(capacity, lanes, shape=(2, 3), make=FrameRing):
    return make(capacity, lanes, shape)


def one_per_lane(capacity, lanes, shape=(2, 3), make=ReplayMemory):
    return LaneMemories([make(capacity // lanes, shape) for _ in range(lanes)])


MEMORIES = {"ring": ring, "one per lane": one_per_lane}
both_memories = pytest.mark.parametrize("make", MEMORIES.values(), ids=MEMORIES)


def many(memory, draws: int = 3000, seed: int = 0) -> Batch:
    return memory.sample(draws, np.random.default_rng(seed))


def test_the_doors_of_a_memory_are_equal_with_one_lane():
    """One learner's memory draws what the ring draws: equal losses rest on this."""
    memories = [
        FrameRing(40, 1, (2, 3)), LaneMemories([ReplayMemory(40, (2, 3))]), ReplayMemory(40, (2, 3))
    ]  # fmt: skip
    rng = [np.random.default_rng(9) for _ in memories]
    for event in random_play(3, 1, 130):
        for memory in memories[:2]:
            feed(memory, event)
        if event.actions is None or event.starts[0]:
            memories[2].begin(event.frames[0].numpy())
        else:
            scalars = (field[0].item() for field in event[:4])
            memories[2].add(*scalars, event.frames[0].numpy())
        lengths = {len(memory) for memory in memories}
        assert len(lengths) == 1
        if lengths != {0}:
            one, *others = (m.sample(5, r) for m, r in zip(memories, rng, strict=True))
            for other in others:
                assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def lane_and_episode(lane, time, episode):
    """A frame of four pixels: lane + 1, the stack's number, and the time, never zero."""
    tag = 1 + (episode * 37 + lane) % 251
    return np.array([[lane + 1, tag], [1 + time // 250, 1 + time % 250]], dtype=np.uint8)


def filled(make, lanes=3, capacity=90, steps=330, seed=1):
    """A memory that has turned more than three times, frames telling where they come from."""
    memory = make(capacity, lanes, (2, 2))
    for event in random_play(seed, lanes, steps, frame=lane_and_episode):
        feed(memory, event)
    return memory


def times(stacks) -> np.ndarray:
    pixels = stacks.numpy().astype(int)
    return (pixels[..., 1, 0] - 1) * 250 + pixels[..., 1, 1] - 1


def assert_stacks_are_whole(make):
    seen_short = False
    for seed in range(6):
        batch = many(filled(make, seed=seed))
        for stacks in (batch.states, batch.next_states[~batch.terminated]):
            pixels = stacks.numpy()
            empty = pixels.max(axis=(2, 3)) == 0
            seen_short |= bool(empty.any())
            newest = pixels[:, -1]
            assert not empty[:, -1].any()
            # Zeros stand before the first frame only.
            assert np.all(np.diff(empty.astype(int), axis=1) <= 0)
            same_lane = pixels[:, :, 0, 0] == newest[:, None, 0, 0]
            assert np.all(same_lane | empty), "two lanes in a stack"
            same_episode = pixels[:, :, 0, 1] == newest[:, None, 0, 1]
            assert np.all(same_episode | empty), "two episodes in a stack"
            lag = times(stacks)[:, -1:] - times(stacks)
            assert np.all((lag == np.arange(3, -1, -1)) | empty), "frames are not consecutive"
    assert seen_short


@both_memories
def test_18_19_20_no_stack_crosses_an_episode_the_write_head_or_a_lane(make):
    """Pitfalls 18, 19, 20: numbers of lane, episode and time are written into the pixels."""
    assert_stacks_are_whole(make)


@pytest.mark.parametrize(
    "broken",
    [ForgetsOneRowLate, NeverBreaks, BreaksOneRowLate, IgnoresLives, MixesLanes, NewestFirst],
)
def test_18_19_20_rejects(broken):
    with pytest.raises(AssertionError):
        assert_stacks_are_whole(lambda *size: ring(*size, make=broken))


def assert_next_is_shifted_by_one(make):
    seen = 0
    for seed in range(4):
        batch = many(filled(make, seed=seed), 1000)
        assert torch.equal(batch.states[:, 1:], batch.next_states[:, :-1])
        assert np.all(times(batch.next_states)[:, -1] - times(batch.states)[:, -1] == 1)
        seen += int(batch.terminated.sum())
    assert seen


@both_memories
def test_21_the_next_state_is_the_state_shifted_by_one(make):
    """Pitfall 21: a next state of another row, or of the next game."""
    assert_next_is_shifted_by_one(make)


@pytest.mark.parametrize("broken", [NextIsSame, NewestFirst, DrawsResetRows])
def test_21_rejects(broken):
    def make(*size):
        return ring(*size, make=broken)

    with pytest.raises(AssertionError):
        assert_next_is_shifted_by_one(make)
        assert_reset_rows_are_never_drawn(make)  # what DrawsResetRows breaks


def assert_reset_rows_are_never_drawn(make):
    for seed in range(6):
        batch = many(filled(make, seed=seed), 20_000)
        assert not torch.any(batch.actions == FORBIDDEN)
        assert batch.rewards.min() > -6.9


@both_memories
def test_16_reset_rows_are_never_drawn(make):
    """Pitfall 16: rows whose action was ignored carry action 99."""
    assert_reset_rows_are_never_drawn(make)


def test_16_rejects():
    with pytest.raises(AssertionError):
        assert_reset_rows_are_never_drawn(lambda *size: ring(*size, make=DrawsResetRows))


def assert_zeros_at_the_start(make):
    memory = make(40, 1, (1, 1))
    frame = lambda value: torch.full((1, 1, 1), value, dtype=torch.uint8)  # noqa: E731 - one line
    no, yes = np.array([False]), np.array([True])

    def add(value, terminated=no, truncated=no, starts=no):
        reward = np.zeros(1, np.float32)
        memory.add(np.zeros(1, np.int64), reward, terminated, truncated, starts, frame(value))

    memory.begin(frame(1))
    for value in (2, 3, 4, 5):
        add(value)
    add(6, terminated=yes)  # a life: a new stack begins at 6
    add(7)
    add(8, truncated=yes)
    add(9, starts=yes)  # the next game
    add(10)
    batch = many(memory, 500)
    stacks = {
        tuple(s.flatten().tolist()): (tuple(n.flatten().tolist()), bool(t))
        for s, n, t in zip(batch.states, batch.next_states, batch.terminated, strict=True)
    }
    assert stacks == {
        (0, 0, 0, 1): ((0, 0, 1, 2), False),
        (0, 0, 1, 2): ((0, 1, 2, 3), False),
        (0, 1, 2, 3): ((1, 2, 3, 4), False),
        (1, 2, 3, 4): ((2, 3, 4, 5), False),
        (2, 3, 4, 5): ((3, 4, 5, 6), True),
        (0, 0, 0, 6): ((0, 0, 6, 7), False),
        (0, 0, 6, 7): ((0, 6, 7, 8), False),
        (0, 0, 0, 9): ((0, 0, 9, 10), False),
    }


@both_memories
def test_23_zeros_before_a_start_and_after_a_life(make):
    """Pitfall 23, as a table that can be read."""
    assert_zeros_at_the_start(make)


@pytest.mark.parametrize(
    "broken", [NeverBreaks, BreaksOneRowLate, IgnoresLives, DrawsResetRows, TruncatedIsTerminated]
)
def test_23_rejects(broken):
    with pytest.raises(AssertionError):
        assert_zeros_at_the_start(lambda *size: ring(*size, make=broken))


@both_memories
def test_28_a_truncated_game_keeps_its_value_and_a_terminated_one_does_not(make):
    """Pitfall 28: bootstrap where time ran out, not where the game was over."""

    def assert_bootstraps(make):
        memory = make(60, 2, (2, 3))
        no, zeros = np.zeros(2, dtype=bool), torch.zeros(2, 2, 3, dtype=torch.uint8)
        memory.begin(zeros + 1)
        over, cut = np.array([True, False]), np.array([False, True])
        actions, rewards = np.array([5, 6]), np.ones(2, np.float32)
        memory.add(actions, rewards, over, cut, no, zeros + 2)
        memory.add(actions, rewards, no, no, ~no, zeros + 3)
        batch = many(memory, 64)
        assert set(batch.actions.tolist()) == {5, 6}
        q = torch.full((64, 3), 10.0)
        targets = td_targets(batch.rewards, batch.discounts, batch.terminated, q)
        assert torch.all(targets[batch.actions == 5] == 1.0)
        assert torch.allclose(targets[batch.actions == 6], torch.tensor(10.9))
        # The cut game's next state is its own last frame, not the next game's first.
        assert torch.all(batch.next_states[:, -1] == 2)

    assert_bootstraps(make)
    with pytest.raises(AssertionError):
        assert_bootstraps(lambda *size: ring(*size, make=TruncatedIsTerminated))
    with pytest.raises(AssertionError):
        assert_bootstraps(lambda *size: ring(*size, make=DrawsResetRows))


# --- uniform draws ------------------------------------------------------------------------------


def p_value(counts: np.ndarray) -> float:
    """Probability of counts this uneven if every cell is equally likely (chi square)."""
    expected = counts.sum() / len(counts)
    chi2 = float(((counts - expected) ** 2).sum() / expected)
    freedom = torch.tensor((len(counts) - 1) / 2, dtype=torch.float64)
    return float(torch.special.gammaincc(freedom, torch.tensor(chi2 / 2, dtype=torch.float64)))


def fill_unequal(memory) -> int:
    """Two lanes, the second with many short games, all rewards different; transitions made."""
    no, number = np.zeros(2, dtype=bool), 0
    frames = torch.zeros(2, 2, 3, dtype=torch.uint8)
    memory.begin(frames)
    for time in range(60):
        starts = np.array([False, time % 2 == 1])
        rewards = np.array([number, number + 1], dtype=np.float32)
        rewards[starts] = -1
        number += 2 - int(starts.sum())
        memory.add(np.zeros(2, np.int64), rewards, no, no, starts, frames)
    return number


def assert_draws_are_uniform(make):
    memory = make(400, 2)
    number = fill_unequal(memory)
    assert len(memory) == number
    rewards = many(memory, 200 * number).rewards
    assert rewards.min() >= 0
    counts = np.bincount(rewards.long().numpy(), minlength=number)
    assert len(counts) == number
    assert p_value(counts) > 1e-3


@both_memories
def test_25_draws_are_uniform_over_everything_that_can_be_drawn(make):
    """Pitfall 25: also over lanes of unequal length."""
    assert_draws_are_uniform(make)


class NeverTheNewest(FrameRing):
    def draw(self, batch_size, rng):
        positions = rng.integers(len(self), size=batch_size)
        return (self._first + np.minimum(positions, len(self) - 3)) % len(self._drawable)


class RejectsTwice(FrameRing):
    """Redraws from the row before where the row's successor starts a game."""

    def draw(self, batch_size, rng):
        slots = super().draw(batch_size, rng)
        return np.where(slots % 3 == 0, slots // 3 * 3 + 1, slots)


class LanesFirst(LaneMemories):
    """Draws a lane, then a transition: short lanes too often."""

    def sample(self, batch_size, rng):
        half = batch_size // len(self.memories)
        drawn = [memory.sample(half, rng) for memory in self.memories]
        return Batch(*(torch.cat(fields) for fields in zip(*drawn, strict=True)))


@pytest.mark.parametrize(
    "broken",
    [
        lambda *size: ring(*size, make=NeverTheNewest),
        lambda *size: ring(*size, make=RejectsTwice),
        lambda *size: ring(*size, make=DrawsResetRows),
        lambda *size: LanesFirst(one_per_lane(*size).memories),
    ],
    ids=["never the newest", "prefers some", "unusable rows", "lane first"],
)
def test_25_rejects(broken):
    with pytest.raises(AssertionError):
        assert_draws_are_uniform(broken)


def test_25_still_uniform_after_the_ring_has_turned():
    memory = FrameRing(120, 2, (2, 3))
    for event in random_play(4, 2, 400):
        feed(memory, event)
    rewards = everything(memory).rewards.numpy()
    assert len(set(rewards.tolist())) == len(memory)
    drawn = many(memory, 200 * len(memory)).rewards.numpy()
    counts = np.array([np.sum(drawn == reward) for reward in rewards])
    assert counts.sum() == len(drawn) and p_value(counts) > 1e-3


def turned_ring(make=FrameRing) -> FrameRing:
    """Three lanes with games that start and end; it has turned three times."""
    memory = make(240, 3, (2, 3))
    for event in random_play(11, 3, 290):
        feed(memory, event)
    assert memory._first > 0 and len(memory) < 240 - 3 * 4
    return memory


def check_draws_add_up(memory):
    """Eight draws of 32 are one draw of 256: a group of updates draws as single ones do."""
    rngs = [np.random.default_rng(4) for _ in range(2)]
    apart = np.concatenate([memory.draw(32, rngs[0]) for _ in range(8)])
    together = memory.draw(256, rngs[1])
    assert np.array_equal(apart, together)
    assert rngs[0].bit_generator.state == rngs[1].bit_generator.state


class DrawsWithoutReplacement(FrameRing):
    def draw(self, batch_size, rng):
        return (self._first + rng.permutation(len(self))[:batch_size]) % len(self._drawable)


class DrawsInTwoCalls(FrameRing):
    """The tens, then the ones: the second call of a long draw begins elsewhere."""

    def draw(self, batch_size, rng):
        tens = rng.integers(len(self) // 10, size=batch_size)
        ones = rng.integers(10, size=batch_size)
        return (self._first + 10 * tens + ones) % len(self._drawable)


def test_25_many_draws_are_one_draw():
    """Otherwise a run with groups, or on a GPU, would train on other samples than one without."""
    check_draws_add_up(turned_ring())
    for broken in (DrawsWithoutReplacement, DrawsInTwoCalls):
        with pytest.raises(AssertionError):
            check_draws_add_up(turned_ring(broken))


def check_slots_are_uniform(memory):
    """Every drawable row equally often, nothing else ever; a slot gives the row it stands for."""
    slots = memory.draw(300 * len(memory), np.random.default_rng(12))
    assert slots.dtype == np.int64
    counts = np.bincount(slots, minlength=240)
    drawable = (memory._first + np.arange(len(memory))) % 240
    assert counts.sum() == counts[drawable].sum(), "a slot whose row is gone"
    assert p_value(counts[drawable]) > 1e-3
    rewards = memory.gather_slots(torch.from_numpy(drawable)).rewards
    assert torch.equal(rewards, everything(memory).rewards)
    assert len(set(rewards.tolist())) == len(memory) and rewards.min() > -6.9  # no reset rows


class ForgetsWhereTheOldestStands(FrameRing):
    def draw(self, batch_size, rng):
        return rng.integers(len(self), size=batch_size)


class DrawsAnyRow(FrameRing):
    def draw(self, batch_size, rng):
        return rng.integers(len(self._drawable), size=batch_size)


def test_25_slots_are_uniform_over_all_lanes_after_the_ring_has_turned():
    """Rows that are gone, rows that are never drawn, reset rows."""
    check_slots_are_uniform(turned_ring())
    for broken in (ForgetsWhereTheOldestStands, NeverTheNewest, DrawsAnyRow):
        with pytest.raises(AssertionError):
            check_slots_are_uniform(turned_ring(broken))


def check_row_of_zeros_equals_a_mask(memory):
    """Zeros that are gathered are the zeros that `mask_stacks` writes afterwards."""
    slots = torch.from_numpy(memory.draw(500, np.random.default_rng(2)))
    rows = memory._drawable[slots].long()
    window = (rows[:, None] + torch.arange(-3, 2) * memory.lanes) % 240
    frames = mask_stacks(memory.frames[window], memory._ages[rows], 4)
    batch = memory.gather_slots(slots)
    assert torch.equal(batch.states, frames[:, :-1])
    assert torch.equal(batch.next_states, frames[:, 1:])
    assert not frames[:, 0].flatten(1).any(1).all(), "no stack was short"


class WritesIntoTheZeros(FrameRing):
    """A ring one row too long: its last write lands in the row of zeros."""

    def _write(self, frames, ages):
        super()._write(frames, ages)
        self._storage[-1] = frames[0]


def test_18_the_row_of_zeros_equals_a_mask_afterwards():
    """Whatever is written into that row shows in every short stack."""
    check_row_of_zeros_equals_a_mask(turned_ring())
    with pytest.raises(AssertionError):
        check_row_of_zeros_equals_a_mask(turned_ring(WritesIntoTheZeros))


def test_25_the_draw_is_one_call_of_the_generator():
    """Contract: `rng.integers(len(memory), size=batch_size)`, position 0 the oldest."""
    memory = FrameRing(50, 1, (2, 3))
    for event in random_play(2, 1, 45):
        feed(memory, event)
    positions = np.random.default_rng(6).integers(len(memory), size=32)
    expected = memory.gather(torch.from_numpy(positions))
    drawn = memory.sample(32, np.random.default_rng(6))
    assert all(torch.equal(a, b) for a, b in zip(drawn, expected, strict=True))


def assert_the_newest_transition_is_drawable(make):
    memory = make(40, 1)
    for number, event in enumerate(random_play(17, 1, 30)):
        feed(memory, event)
        if event.actions is not None and not event.starts[0]:
            assert float(event.rewards[0]) in many(memory, 400).rewards.tolist(), number


@both_memories
def test_25_the_newest_transition_can_be_drawn_at_once(make):
    assert_the_newest_transition_is_drawable(make)
    with pytest.raises(AssertionError):
        assert_the_newest_transition_is_drawable(lambda *size: ring(*size, make=NeverTheNewest))


# --- size, errors, state ------------------------------------------------------------------------


def stored_bytes(memory) -> int:
    """Everything the memory holds in arrays, whatever it says itself; views count once."""
    tensors = [v.untyped_storage() for v in vars(memory).values() if isinstance(v, torch.Tensor)]
    arrays = [v for v in vars(memory).values() if isinstance(v, np.ndarray)]
    storages = {storage.data_ptr(): storage.nbytes() for storage in tensors}
    return sum(storages.values()) + sum(array.nbytes for array in arrays)


def assert_size_is_small(memory, capacity: int):
    limit = 84 * 84 + 14
    assert memory.nbytes / capacity <= limit == 7070
    # Beside the rows: one count per time row, and one frame of zeros.
    assert stored_bytes(memory) <= (limit + 8) * capacity + 84 * 84 + 1000
    assert stored_bytes(memory) >= 84 * 84 * capacity
    assert memory.frames.dtype == torch.uint8


def test_26_a_transition_takes_7070_bytes_at_most():
    """Pitfall 26: eight frames per transition, or floats, and a million do not fit."""
    assert_size_is_small(FrameRing(2000, 1), 2000)
    assert_size_is_small(FrameRing(2000, 8), 2000)
    assert ReplayMemory(500).nbytes <= 500 * 7070


class StoresFloats(FrameRing):
    def __init__(self, *args):
        super().__init__(*args)
        self.frames = self.frames.float()


class StoresBothStates(FrameRing):
    def __init__(self, *args):
        super().__init__(*args)
        self.next_frames = torch.empty_like(self.frames)


@pytest.mark.parametrize("broken", [StoresFloats, StoresBothStates])
def test_26_rejects(broken):
    with pytest.raises(AssertionError):
        assert_size_is_small(broken(500, 1), 500)


def test_an_empty_memory_says_so():
    for memory in (FrameRing(20, 2, (2, 3)), ReplayMemory(20, (2, 3))):
        with pytest.raises(ValueError, match="empty"):
            memory.sample(4, np.random.default_rng(0))
    memory = ReplayMemory(20, (2, 3))
    memory.begin(np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match="empty"):
        memory.sample(4, np.random.default_rng(0))


def test_a_memory_without_room_is_refused_with_the_size_that_would_do():
    with pytest.raises(ValueError, match="too small for 3 lanes; give it at least 18"):
        FrameRing(17, 3, (2, 3))
    memory = FrameRing(18, 3, (2, 3))
    for event in random_play(0, 3, 50):
        feed(memory, event)
    assert len(memory) > 0


def test_a_batch_is_a_copy():
    """Pitfall 27: what was drawn must survive the next write."""
    for memory in (ring(18, 3), one_per_lane(18, 3)):
        events = random_play(1, 3, 40)
        for event in events[:20]:
            feed(memory, event)
        batch = many(memory, 50)
        copies = [field.clone() for field in batch]
        for event in events[20:]:
            feed(memory, event)
        assert all(torch.equal(a, b) for a, b in zip(batch, copies, strict=True))


def test_the_memory_keeps_frames_of_its_own():
    """Pitfall 27: the caller may write into its frames and arrays afterwards."""
    for memory in (ring(40, 1), one_per_lane(40, 1)):
        frames = torch.full((1, 2, 3), 5, dtype=torch.uint8)
        memory.begin(frames)
        arrays = [np.array([3]), np.array([1.5], np.float32)] + [np.array([False])] * 3
        memory.add(*arrays, frames)
        frames.zero_()
        arrays[0][:] = 0
        arrays[1][:] = 0
        batch = many(memory, 4)
        assert torch.all(batch.states[:, -1] == 5) and torch.all(batch.next_states[:, -1] == 5)
        assert torch.all(batch.actions == 3) and torch.all(batch.rewards == 1.5)


def roundtrip(memory: FrameRing, forget: tuple[str, ...] = ()) -> FrameRing:
    tensors, numbers = memory.state()
    copied = {name: tensor.clone() for name, tensor in tensors.items()}
    other = FrameRing(memory.time_rows * memory.lanes, memory.lanes, (2, 3))
    before, untouched = other.state()
    copied |= {name: torch.zeros_like(tensors[name]) for name in forget if name in before}
    numbers = {**numbers, **{name: untouched[name] for name in forget if name in untouched}}
    other.load_state(copied, numbers)
    return other


def assert_goes_on_identically(restore):
    for seed, lanes, before in ((0, 1, 20), (1, 3, 60), (2, 3, 7), (3, 8, 200)):
        memory = FrameRing(30 * lanes, lanes, (2, 3))
        events = random_play(seed, lanes, before + 100, restarts=True)
        for event in events[:before]:
            feed(memory, event)
        other = restore(memory)
        assert len(other) == len(memory)
        rng = np.random.default_rng(5), np.random.default_rng(5)
        for event in [None, *events[before:]]:
            if event is not None:
                feed(memory, event)
                feed(other, event)
            if len(memory):
                one, two = memory.sample(10, rng[0]), other.sample(10, rng[1])
                assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_29_a_restored_memory_draws_the_same_next_1000_transitions():
    """Pitfall 29: 100 draws of 10 after a restore, while the ring goes on turning."""
    assert_goes_on_identically(roundtrip)


@pytest.mark.parametrize(
    "forgotten",
    ["frames", "_rewards", "_ages", "_drawable", "first", "written", "newest_age",
     "drawable_per_time"],
)  # fmt: skip
def test_29_rejects_a_state_without(forgotten):
    def restore(memory):
        return roundtrip(memory, (forgotten,))

    with pytest.raises((AssertionError, RuntimeError, ValueError)):
        assert_goes_on_identically(restore)


def test_29_a_state_holds_written_rows_only_and_numbers_that_json_keeps():
    import json

    memory = FrameRing(300, 3, (2, 3))
    for event in random_play(0, 3, 10):
        feed(memory, event)
    tensors, numbers = memory.state()
    assert len(tensors["frames"]) == 11 * 3
    assert json.loads(json.dumps(numbers)) == numbers


# --- the loop: acted on and sampled -------------------------------------------------------------


class ScriptLanes:
    """A door whose frames tell lane, time and stack; rewards and ends are drawn."""

    action_names = [str(n) for n in range(18)]

    def __init__(self, lanes: int, seed: int):
        self.lanes, self.rng = lanes, np.random.default_rng(seed)

    def reset(self, seed):
        self.time, self.no = 0, np.zeros(self.lanes, dtype=bool)
        self.ended, self.fire = self.no, self.no
        return self._rows(np.zeros(self.lanes), self.no, self.no, self.no, ~self.no)

    def send(self, actions):
        self.sent = actions

    def recv(self):
        draw = lambda p: self.rng.random(self.lanes) < p  # noqa: E731 - one line
        self.time += 1
        reset_row = self.ended | self.fire
        over = draw(0.05) & ~self.ended
        cut = draw(0.05) & ~self.ended & ~over
        life = draw(0.1) & ~self.ended & ~over & ~cut
        # The reward repeats action, lane and time, so that a shift by one shows.
        rewards = self.sent * 10_000 + np.arange(self.lanes) * 1000 + self.time
        self.ended, self.fire = over | cut, life & draw(0.5)
        return self._rows(np.where(reset_row, -5, rewards), life, over, cut, reset_row)

    def _rows(self, rewards, life, over, cut, reset_row):
        lane, time = np.arange(self.lanes), np.full(self.lanes, self.time)
        frames = np.stack([lane + 1, time % 256, time // 256 + 1, time % 7], axis=1)
        return Rows(
            frames.reshape(self.lanes, 2, 2).astype(np.uint8), rewards.astype(np.float32),
            life, over, cut, reset_row, time.astype(np.int32) * 4, np.zeros(self.lanes, np.int32),
        )  # fmt: skip


class NoLearner:
    device = torch.device("cpu")

    def update(self, batches):
        assert not batches
        return []


def loop_parts(lanes, shape, memory, stack, **changes) -> LoopParts:
    recipe = get_recipe("laptop", lanes=lanes.lanes, **{"reward_clip": 9e9, **changes})
    rngs = np.random.default_rng(0), np.random.default_rng(1)
    return LoopParts(
        recipe, lanes, stack(lanes.lanes, 4, shape), memory, NoLearner(),
        lambda step, *_: linear_schedule(step, 1.0, 1.0, 0), epsilon_greedy, clip_reward,
        *rngs, start_seed=1,
    )  # fmt: skip


def assert_acted_equals_sampled(parts: LoopParts, steps: int) -> dict[str, int]:
    """After every step: the newest transitions hold the stacks that were acted on."""
    seen = {"lives": 0, "overs": 0, "cuts": 0, "empty": 0}
    acted: list[torch.Tensor] = []
    actions_taken: list[np.ndarray] = []
    act = parts.act

    def recording_act():
        acted.append(parts.stack.current.clone())
        actions_taken.append(act().copy())
        return actions_taken[-1]

    parts.act = recording_act
    life_is_terminal = parts.recipe.terminal_on_life_loss

    def on_step(parts, rows):
        stepped = torch.from_numpy(~rows.reset_row)
        count = int(stepped.sum())
        if count:
            newest = len(parts.memory) - count + torch.arange(count)
            batch = parts.memory.gather(newest)
            assert torch.equal(batch.states, acted[-1][stepped])
            assert same(batch.next_states[:, -1], rows.frames[stepped.numpy()])
            assert same(batch.actions, actions_taken[-1][stepped.numpy()])
            assert same(batch.rewards, rows.rewards[stepped.numpy()])
            terminal = rows.game_over | (rows.life_lost & life_is_terminal)
            assert same(batch.terminated, terminal[stepped.numpy()])
            # Where nothing ended, the next state is what will be acted on.
            going_on = ~(terminal | rows.truncated)[stepped.numpy()]
            following = parts.stack.current[stepped][going_on]
            assert torch.equal(batch.next_states[going_on], following)
        seen["lives"] += int(rows.life_lost.sum())
        seen["overs"] += int(rows.game_over.sum())
        seen["cuts"] += int(rows.truncated.sum())
        seen["empty"] += int((acted[-1].amax(dim=(2, 3)) == 0).sum())
        return False

    training_loop(parts, steps, on_step)
    parts.lanes.close() if hasattr(parts.lanes, "close") else None
    return seen


@pytest.mark.parametrize("lives_end", [True, False])
@pytest.mark.parametrize("lanes", [1, 3])
def test_22_24_acted_on_and_sampled_are_equal_in_scripted_games(lanes, lives_end):
    """Pitfalls 22 and 24: frames, action, reward and flags of one step stay together."""
    for seed in range(3):
        memory = FrameRing(60 * lanes, lanes, (2, 2))
        parts = loop_parts(
            ScriptLanes(lanes, seed), (2, 2), memory, FrameStack, terminal_on_life_loss=lives_end
        )
        seen = assert_acted_equals_sampled(parts, 220 * lanes)
        assert min(seen.values()) > 3


class StackIgnoresStarts(FrameStack):
    def push(self, frames, starts):
        return super().push(frames, np.zeros_like(starts))


class StackRepeatsTheFirstFrame(FrameStack):
    def push(self, frames, starts):
        super().push(frames, starts)
        for lane in np.flatnonzero(starts):
            self.current[lane] = frames[lane]
        return self.current


class LateActions(FrameRing):
    before = 0

    def add(self, actions, *rest):
        late, self.before = self.before + 0 * actions, actions
        super().add(late, *rest)


@pytest.mark.parametrize("stack", [StackIgnoresStarts, StackRepeatsTheFirstFrame])
def test_22_rejects_another_stack(stack):
    parts = loop_parts(ScriptLanes(3, 0), (2, 2), FrameRing(600, 3, (2, 2)), stack)
    with pytest.raises(AssertionError):
        assert_acted_equals_sampled(parts, 600)


@pytest.mark.parametrize(
    "broken",
    [LateActions, LateRewards, LateFlags, NewestFirst, BreaksOneRowLate, IgnoresLives, MixesLanes,
     DrawsResetRows, NeverBreaks],
)  # fmt: skip
def test_24_rejects_another_memory(broken):
    parts = loop_parts(ScriptLanes(3, 0), (2, 2), broken(600, 3, (2, 2)), FrameStack)
    with pytest.raises(AssertionError):
        assert_acted_equals_sampled(parts, 600)


class StoresNextFrameTwice(LoopParts):
    """A loop that stores the stack's frame of the step before."""

    before = None

    def remember(self, actions, rows):
        late = rows if self.before is None else rows._replace(frames=self.before)
        self.before = rows.frames
        super().remember(actions, late)


class MarksLivesInTheStackOnly(LoopParts):
    def remember(self, actions, rows):
        add = self.memory.add
        self.memory.add = lambda a, r, terminated, *rest: add(a, r, rows.game_over, *rest)
        super().remember(actions, rows)
        self.memory.add = add


@pytest.mark.parametrize("broken", [StoresNextFrameTwice, MarksLivesInTheStackOnly])
def test_24_rejects_another_loop(broken):
    parts = loop_parts(ScriptLanes(3, 0), (2, 2), FrameRing(600, 3, (2, 2)), FrameStack)
    parts = broken(**{name: getattr(parts, name) for name in parts.__dataclass_fields__})
    with pytest.raises(AssertionError):
        assert_acted_equals_sampled(parts, 600)


@pytest.mark.parametrize("lives_end", [True, False])
def test_22_acted_on_and_sampled_are_equal_on_breakout(lives_end):
    """Pitfall 22 on the real game: random starts, FIRE, lives, games cut off, ring turned."""
    recipe = get_recipe("laptop", max_frames_per_game=500)
    parts = loop_parts(
        make_lanes(recipe, 3), (84, 84), FrameRing(240, 3), FrameStack,
        terminal_on_life_loss=lives_end,
    )  # fmt: skip
    seen = assert_acted_equals_sampled(parts, 750)
    assert min(seen.values()) > 0


def test_16_start_rows_are_no_steps():
    """A step is a decision on a row that is no reset row: counters and memory agree."""
    lanes = ScriptLanes(3, 5)
    memory = FrameRing(6000, 3, (2, 2))
    parts = loop_parts(lanes, (2, 2), memory, FrameStack)
    stepped = 0

    def on_step(parts, rows):
        nonlocal stepped
        stepped += int((~rows.reset_row).sum())
        assert parts.counters.steps == stepped == len(memory)
        return False

    training_loop(parts, 500, on_step)
    assert 500 <= stepped <= 502
    assert len(memory) < 3 * lanes.time, "no reset row was seen"
