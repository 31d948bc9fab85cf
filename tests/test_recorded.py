"""A recorded game: each decision with what it was taken on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dqn_ref.course.recorded import RecordedGame, record_game
from dqn_ref.environments import make_lanes
from dqn_ref.evaluation import decisions, greedy_policy
from dqn_ref.frames import FrameStack
from dqn_ref.recipes import get_recipe

RECIPE = get_recipe("laptop", door="gym")


def by_the_screen(states: torch.Tensor) -> torch.Tensor:
    """Values that depend on the newest frame, so that a value from another state is noticed."""
    paddle = states[:, -1, 75:80].float().mean(dim=(1, 2))
    return torch.stack([paddle, paddle * 0 + 9, 20 - paddle, paddle / 2], dim=1)


@pytest.fixture(scope="module")
def game() -> RecordedGame:
    return record_game(RECIPE, by_the_screen, epsilon=0.3, seed=1, max_frames=1_200)


def test_every_decision_has_the_state_and_the_values_it_was_taken_on(game):
    """Bug: values, screens or points that are one decision late."""
    lanes, asked = make_lanes(RECIPE, 1, max_frames=1_200), []

    def policy(states):
        asked.append((states[0, -1].numpy(), by_the_screen(states)[0].numpy()))
        return chosen(states)

    chosen = greedy_policy(by_the_screen, 0.3, np.random.default_rng([1, 0xF11]))
    taken = []
    stack = FrameStack(1)
    for rows in decisions(lanes, stack, policy, RECIPE.terminal_on_life_loss, 10_001):
        if not rows.reset_row[0]:
            taken.append((*asked[-1], float(rows.rewards[0]), int(rows.lives[0])))
        if rows.game_over[0] or rows.truncated[0]:
            break
    lanes.close()
    assert len(game.decisions) == len(taken) > 100
    for decision, (seen, q, points, lives) in zip(game.decisions, taken, strict=True):
        assert np.array_equal(decision.seen, seen) and np.array_equal(decision.q, q)
        assert (decision.points, decision.lives) == (points, lives)
    assert game.life_lost.sum() == 5 - game.decisions[-1].lives > 0
    assert game.points.sum() == sum(points for _, _, points, _ in taken) > 0
    assert np.array_equal(game.values, [q.max() for _, q, _, _ in taken])


def test_the_screen_is_the_one_on_which_was_chosen(game):
    """Bug: the screen after the action: the bars then belong to another picture."""
    for decision in game.decisions[5:60:7]:
        grey = decision.screen[:, :, 0].astype(int)
        paddle = grey[190:193, 8:152].max(axis=0) > 100
        small = decision.seen[76:79, 5:79].max(axis=0) > 40
        places = np.flatnonzero(paddle).mean() + 8, np.flatnonzero(small).mean() + 5
        assert abs(places[0] / 160 - places[1] / 84) < 0.03, places


def test_a_choice_that_is_not_the_best_is_called_random(game):
    """Bug: every choice, or the best ones, marked as an accident."""
    for decision, random in zip(game.decisions, game.random, strict=True):
        assert random == (game.actions[int(np.argmax(decision.q))] != decision.action)
    share = game.random.mean()  # epsilon 0.3, and of four actions one is the best
    assert 0.15 < share < 0.3
    quiet = record_game(RECIPE, by_the_screen, epsilon=0.0, seed=1, max_frames=200)
    assert not quiet.random.any()


def test_a_small_game_is_recorded():
    recipe = get_recipe("gallery")
    values = torch.tensor([[0.1, 0.2, 0.9]])
    game = record_game(recipe, lambda states: values[:, : len(game_actions)], 0.0, 0)
    assert len(game.decisions) >= 1 and game.actions == tuple(game_actions)
    assert not game.life_lost.any()


game_actions = make_lanes(get_recipe("gallery"), 1).action_names
