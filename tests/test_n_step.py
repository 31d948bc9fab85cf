"""n-step transitions: what the ring hands out equals the sum written down step by step."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from dqn_ref.pieces import REFERENCE
from dqn_ref.recipes import RecipeError, get_recipe
from dqn_ref.replay import FrameRing, ReplayMemory
from dqn_ref.runs import build, resolve

DISCOUNT = 0.9


class Story:
    """Random play of several lanes, told to a ring and written down plainly.

    A frame is one pixel-row whose value is unique within a lane, so that states name themselves.
    """

    def __init__(self, ring: FrameRing, lanes: int, steps: int, seed: int, restart_at: int = -1):
        self.rng = np.random.default_rng(seed)
        self.lanes = lanes
        # Per lane and time: value of the frame, reward, terminated, acted.
        self.rows: list[list[dict]] = [[] for _ in range(lanes)]
        self.counter = np.zeros(lanes, dtype=np.int64)
        cut = np.zeros(lanes, dtype=bool)
        over = np.zeros(lanes, dtype=bool)
        ring.begin(self._frames())
        for step in range(steps):
            if step == restart_at:
                ring.begin(self._frames())  # as after a resume
                cut[:] = over[:] = False
            starts = cut | over
            ended = ~starts & (self.rng.random(lanes) < 0.1)
            life = ~starts & ~ended & (self.rng.random(lanes) < 0.1)
            cut = ~starts & ~ended & ~life & (self.rng.random(lanes) < 0.1)
            over = ended
            rewards = self.rng.normal(size=lanes).astype(np.float32)
            terminated = ended | life
            for lane in range(lanes):
                self.rows[lane][-1] |= {
                    "reward": float(rewards[lane]),
                    "terminated": bool(terminated[lane]),
                    "acted": not starts[lane],
                }
            frames = self._frames()
            ring.add(np.zeros(lanes, np.int64), rewards, terminated, cut, starts, frames)

    def _frames(self) -> torch.Tensor:
        self.counter += 1
        for lane in range(self.lanes):
            self.rows[lane].append({"value": int(self.counter[lane] % 256), "acted": False})
        values = torch.from_numpy(self.counter % 256).to(torch.uint8)
        return values[:, None, None].expand(-1, 2, 2)

    def transitions(self, n_step: int) -> list[tuple]:
        """(state's newest, return, discount, terminated, next state's newest), oldest first."""
        told = []
        for time in range(len(self.rows[0]) - n_step):
            for lane in range(self.lanes):
                if self.rows[lane][time]["acted"]:
                    told.append(self._follow(self.rows[lane], time, n_step))
        return told

    @staticmethod
    def _follow(rows: list[dict], time: int, n_step: int) -> tuple:
        total, discount, now = 0.0, 1.0, time
        while now < time + n_step and rows[now]["acted"]:
            total += discount * rows[now]["reward"]
            discount *= DISCOUNT
            now += 1
            if rows[now - 1]["terminated"]:
                return rows[time]["value"], total, None, True, None
        return rows[time]["value"], total, discount, False, rows[now]["value"]


def check_ring(make_ring, n_step: int, lanes: int, restart_at: int = -1) -> None:
    ring = make_ring(10_000, lanes, (2, 2), 4, DISCOUNT, n_step=n_step)
    story = Story(ring, lanes, 200, seed=n_step * 10 + lanes, restart_at=restart_at)
    expected = story.transitions(n_step)
    assert len(ring) == len(expected)
    batch = ring.gather(torch.arange(len(ring)))
    for i, (state, total, discount, terminated, next_state) in enumerate(expected):
        assert int(batch.states[i, -1, 0, 0]) == state
        assert float(batch.rewards[i]) == pytest.approx(total, abs=1e-5)
        assert bool(batch.terminated[i]) == terminated
        if not terminated:
            assert float(batch.discounts[i]) == pytest.approx(discount, rel=1e-5)
            assert int(batch.next_states[i, -1, 0, 0]) == next_state


@pytest.mark.parametrize("n_step", [1, 2, 3, 5])
@pytest.mark.parametrize("lanes", [1, 3])
def test_returns_equal_those_written_down(n_step, lanes):
    check_ring(FrameRing, n_step, lanes)


@pytest.mark.parametrize("n_step", [1, 3])
def test_no_return_crosses_a_restart(n_step):
    """A resume begins new games behind rows nobody followed up."""
    check_ring(FrameRing, n_step, 2, restart_at=100)


class AcrossEnds(FrameRing):
    """Broken: sums on over the end of an episode."""

    def gather_slots(self, slots):
        terminated = self._terminated.clone()
        self._terminated.zero_()
        batch = super().gather_slots(slots)
        self._terminated.copy_(terminated)
        return batch


class AcrossCuts(FrameRing):
    """Broken: sums on over the cut of a game."""

    def gather_slots(self, slots):
        self._acted.fill_(True)
        return super().gather_slots(slots)


class FixedDiscount(FrameRing):
    """Broken: the value of the next state counts as after one step."""

    def gather_slots(self, slots):
        batch = super().gather_slots(slots)
        return batch._replace(discounts=torch.full_like(batch.discounts, self.discount))


class TooEarly(FrameRing):
    """Broken: a row can be drawn before n rows have followed it."""

    def _note_steps(self, written, acted):
        n_step, self.n_step = self.n_step, 1
        super()._note_steps(written, acted)
        self.n_step = n_step


@pytest.mark.parametrize("broken", [AcrossEnds, AcrossCuts, FixedDiscount, TooEarly])
def test_the_comparison_rejects(broken):
    with pytest.raises(AssertionError):
        check_ring(broken, 3, 2)


@pytest.mark.parametrize("n_step", [1, 3])
def test_a_full_ring_forgets_the_oldest_and_keeps_the_rest(n_step):
    """Bug: rows that wait for their successors are overwritten, or drawn after it."""
    ring = FrameRing(9 * 2, 2, (2, 2), 4, DISCOUNT, n_step=n_step)
    story = Story(ring, 2, 150, seed=3)
    batch = ring.gather(torch.arange(len(ring)))
    expected = story.transitions(n_step)[-len(ring) :]
    assert 0 < len(ring) <= 2 * 9
    assert [int(v) for v in batch.states[:, -1, 0, 0]] == [row[0] for row in expected]
    torch.testing.assert_close(batch.rewards, torch.tensor([row[1] for row in expected]))


def test_a_ring_too_small_for_its_steps_is_refused():
    with pytest.raises(ValueError, match="at least 10"):
        FrameRing(9, 1, n_step=5)
    FrameRing(10, 1, n_step=5)
    with pytest.raises(RecipeError, match="at least"):
        get_recipe("gallery", n_step=5, lanes=1, memory_frames=9, learning_starts=1)


def test_a_saved_ring_goes_on_where_it_stood():
    """Bug: rows that were waiting when the ring was saved never become drawable."""
    one = FrameRing(1000, 2, (2, 2), 4, DISCOUNT, n_step=3)
    Story(one, 2, 20, seed=0)
    other = FrameRing(1000, 2, (2, 2), 4, DISCOUNT, n_step=3)
    other.load_state(*one.state())
    for ring in (one, other):
        nothing = np.zeros(2, dtype=bool)
        for _ in range(3):
            frames = torch.zeros(2, 2, 2, dtype=torch.uint8)
            rewards = np.ones(2, np.float32)
            ring.add(np.zeros(2, np.int64), rewards, nothing, nothing, nothing, frames)
    assert len(one) == len(other)
    for mine, theirs in zip(*(r.gather(torch.arange(len(r))) for r in (one, other)), strict=True):
        assert torch.equal(mine, theirs)


def test_a_ring_saved_with_other_steps_is_refused():
    """Bug: rows that wait for three successors are taken for rows that wait for one."""
    saved = FrameRing(1000, 2, (2, 2), 4, DISCOUNT, n_step=3)
    Story(saved, 2, 20, seed=0)
    with pytest.raises(ValueError, match="n_step"):
        FrameRing(1000, 2, (2, 2), 4, DISCOUNT, n_step=1).load_state(*saved.state())


def test_the_recipe_reaches_the_ring_and_a_learners_memory_is_refused():
    recipe = resolve(get_recipe("gallery", n_step=3))
    parts = build(recipe)
    assert parts.memory.n_step == 3
    parts.lanes.close()
    mine = dataclasses.replace(REFERENCE, ReplayMemory=type("Mine", (ReplayMemory,), {}))
    with pytest.raises(RecipeError, match="n_step"):
        build(recipe, mine)
