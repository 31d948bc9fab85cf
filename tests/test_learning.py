"""Pitfall 40. Learning is proven, not assumed: exact values on the chain, play on the gallery.

Both games go through the door, frames, memory, network, learner and loop of Breakout. Each
fault that a learner may build in is built in here on purpose, and must be seen: by the score, or
by the value of the start states, which dynamic programming knows.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from dqn_ref.course.bands import shipped_band, verdict
from dqn_ref.evaluation import evaluate_network, play_random_game
from dqn_ref.games import Chain, ShootingGallery
from dqn_ref.learner import Learner, td_targets, training_step
from dqn_ref.pieces import REFERENCE, Pieces
from dqn_ref.precision import WorkingCopy
from dqn_ref.recipes import Recipe, get_recipe
from dqn_ref.runs import build, resolve
from dqn_ref.training import clip_reward, training_loop

BEST_SCORE = 1.0
UPDATES = 2_500
# fp32, so that the result does not depend on what the measurement at start chooses.
GALLERY = get_recipe("gallery", precision="fp32", device="cpu", threads=1)


@dataclass
class Outcome:
    score: float  # mean over games, greedy play
    start_value: float  # mean over start states of max Q
    true_value: float  # the same by dynamic programming
    beside_band: str  # what `bands.verdict` says of the training games


@dataclass
class Curve:
    """What `log.csv` would hold: steps, and the mean of the last 100 training games."""

    steps: list[int] = field(default_factory=list)
    means: list[float] = field(default_factory=list)
    _scores: list[float] = field(default_factory=list)

    def note(self, parts) -> None:
        self._scores += [game.score for game in parts.finished]
        if parts.counters.steps >= 500 * (len(self.steps) + 1):
            self.steps.append(parts.counters.steps)
            self.means.append(float(np.mean(self._scores[-100:])) if self._scores else np.nan)


def train_for(
    recipe: Recipe, updates: int, pieces: Pieces = REFERENCE, curve: Curve | None = None
) -> Learner:
    """Train without writing anything, until `updates` have been made."""
    parts = build(resolve(recipe), pieces)
    total = recipe.learning_starts + recipe.train_every_steps * updates + 8 * recipe.lanes

    def on_step(parts, rows) -> bool:
        if curve is not None:
            curve.note(parts)
        return parts.counters.updates >= updates

    try:
        pieces.training_loop(parts, total, on_step)
    finally:
        parts.lanes.close()
    assert updates <= parts.counters.updates <= updates + recipe.lanes
    return parts.learner


def start_states(recipe: Recipe, game: type) -> torch.Tensor:
    """The stacks of all start states as the recipe shows them, `(S, k, H, W)` uint8."""
    from dqn_ref.frames import preprocess

    stacks = torch.zeros((len(game.start_states), recipe.stack_frames, *recipe.frame_shape))
    for row, state in enumerate(game.start_states):
        picture = game.draw(state)
        frame = preprocess(picture, picture, *recipe.frame_shape, max_over="none")
        stacks[row, -1] = torch.from_numpy(frame)
    return stacks.to(torch.uint8)


def gallery_outcome(seed: int = 0, pieces: Pieces = REFERENCE, **changes) -> Outcome:
    recipe = dataclasses.replace(GALLERY, seed=seed, **changes)
    curve = Curve()
    learner = train_for(recipe, UPDATES, pieces, curve)
    result = evaluate_network(recipe, learner.q_values, games=96, epsilon=0.0, seed=seed)
    values = learner.q_values(start_states(recipe, ShootingGallery)).max(dim=1).values
    truth = ShootingGallery.optimal_return(recipe.discount)
    said = verdict(shipped_band("gallery"), curve.steps, curve.means)
    return Outcome(result.mean, values.mean().item(), truth, said)


def assert_learnt(outcome: Outcome) -> None:
    """Its play, its values, and how fast it came there: beside five seeds in `results/bands`."""
    assert outcome.score >= 0.95 * BEST_SCORE, outcome
    assert abs(outcome.start_value / outcome.true_value - 1) <= 0.2, outcome
    assert outcome.beside_band == "inside", outcome


# --- broken on purpose ------------------------------------------------------------------------


def targets_without_mask(rewards, discounts, terminated, *next_q):
    return td_targets(rewards, discounts, torch.zeros_like(terminated), *next_q)


def step_on_reversed_stacks(parts, batch):
    reversed_stacks = batch._replace(
        states=batch.states.flip(1), next_states=batch.next_states.flip(1)
    )
    return training_step(parts, reversed_stacks)


class LateRewards:
    """Hands the memory each lane's reward one row late."""

    def __init__(self) -> None:
        self._kept = 0.0

    def __call__(self, rewards: np.ndarray, limit: float) -> np.ndarray:
        late, self._kept = self._kept, clip_reward(rewards, limit)
        return np.broadcast_to(late, rewards.shape).astype(np.float32)


BROKEN = {
    "no terminal mask": lambda: Pieces(td_targets=targets_without_mask),
    "stacks reversed in sampling alone": lambda: Pieces(training_step=step_on_reversed_stacks),
    "rewards one row late": lambda: Pieces(clip_reward=LateRewards()),
}


# --- the proofs -------------------------------------------------------------------------------


def test_random_play_scores_at_most_a_fifth_of_the_best():
    rng = np.random.default_rng(0)
    scores = [play_random_game(ShootingGallery(), rng)[0] for _ in range(1000)]
    assert np.mean(scores) <= 0.2 * BEST_SCORE


def test_gallery_is_learnt():
    assert_learnt(gallery_outcome())


@pytest.mark.long
def test_one_frame_is_not_enough():
    outcome = gallery_outcome(stack_frames=1)
    assert outcome.score < 0.7 * BEST_SCORE
    assert outcome.beside_band.startswith("below since step "), outcome


def test_learning_that_became_slower_is_noticed():
    """A canary that falls silent only when nothing is learnt: here all is well, a little later."""
    curve = Curve()
    recipe = dataclasses.replace(GALLERY, learning_rate=GALLERY.learning_rate / 10)
    train_for(recipe, UPDATES // 2, curve=curve)
    said = verdict(shipped_band("gallery"), curve.steps, curve.means)
    assert "below" in said, (said, curve.means)
    assert max(curve.means) > 0.8  # it learns


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 5))
def test_gallery_is_learnt_from_other_seeds(seed):
    assert_learnt(gallery_outcome(seed))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("fault", sorted(BROKEN))
def test_every_broken_agent_is_noticed(fault, seed):
    outcome = gallery_outcome(seed, BROKEN[fault]())
    with pytest.raises(AssertionError):
        assert_learnt(outcome)


@pytest.mark.long
def test_bf16_learns_the_gallery_too():
    assert_learnt(gallery_outcome(precision="bf16"))


def last_games(precision: str, seed: int, games: int = 100) -> float:
    """Mean score of the last games of a training, played with the recipe's last epsilon."""
    recipe = dataclasses.replace(GALLERY, precision=precision, seed=seed)
    parts, scores = build(resolve(recipe)), []

    def on_step(parts, rows) -> bool:
        scores.extend(game.score for game in parts.finished)
        return False

    try:
        training_loop(parts, recipe.total_steps, on_step)
    finally:
        parts.lanes.close()
    assert len(scores) > 3 * games
    return float(np.mean(scores[-games:]))


def assert_within_the_spread(scores: list[float], of: list[float]) -> None:
    # A mean of 100 games of 0 or 1, of which a tenth is lost, is known to 0.03 (standard error):
    # twice that beyond what three seeds happened to show.
    margin = 0.06
    assert min(of) - margin <= np.mean(scores) <= max(of) + margin, (scores, of)


@pytest.mark.long
def test_bf16_learns_the_gallery_as_fp32_does(monkeypatch):
    """The curve's end within the spread of fp32's; broken: a copy that never hears of updates."""
    seeds = range(3)
    fp32 = [last_games("fp32", seed) for seed in seeds]
    assert_within_the_spread([last_games("bf16", seed) for seed in seeds], fp32)
    monkeypatch.setattr(WorkingCopy, "refresh", lambda self: None)
    with pytest.raises(AssertionError):
        assert_within_the_spread([last_games("bf16", 0)], fp32)


CHAIN = dataclasses.replace(
    GALLERY,
    game="chain",
    discount=0.9,
    epsilon_end=0.5,
    epsilon_decay_steps=1,
    learning_rate=5e-4,
)


def chain_values(pieces: Pieces = REFERENCE) -> np.ndarray:
    learner = train_for(CHAIN, 1_000, pieces)
    # In the chain a place is all there is to know, but stacks differ: look at starts.
    return learner.q_values(start_states(CHAIN, Chain)).numpy()


def assert_exact(values: np.ndarray) -> None:
    truth = Chain.optimal_q(CHAIN.discount)
    assert np.abs(values / truth - 1).max() <= 0.02, (values, truth)


def test_chain_values_become_exact():
    assert_exact(chain_values())


def test_chain_notices_a_wrong_discount():
    with pytest.raises(AssertionError):
        assert_exact(Chain.optimal_q(CHAIN.discount - 0.02))
