"""Evaluation: full games, unclipped, one per lane, with an epsilon and an end of their own.

Numbers in docstrings are those of the project's list of pitfalls. Each rule is a function that a
broken variant must fail.
"""

import numpy as np
import pytest
import torch

from dqn_ref.environments import Rows, make_lanes
from dqn_ref.evaluation import (
    EVALUATION_EPSILON,
    EVALUATION_FRAMES,
    Evaluation,
    GameTracker,
    evaluate,
    evaluate_network,
    greedy_policy,
    play_random_game,
)
from dqn_ref.exploration import epsilon_greedy
from dqn_ref.frames import FrameStack
from dqn_ref.games import ShootingGallery
from dqn_ref.recipes import get_recipe

SHAPE = (6, 6)


class ScriptedLanes:
    """Lane i plays games of lengths[i] steps for points[i] each; every third step loses a life.

    From its second game on a lane gets `later` times the points.

    Frames hold the number of the row in the game, 1 for the first.
    """

    action_names = ["NOOP", "FIRE"]

    def __init__(self, lengths, points, truncated=False, later=1.0):
        self.later = later
        self.lengths, self.points = np.array(lengths), np.array(points, float)
        self.lanes, self.cut = len(self.lengths), truncated

    def reset(self, seed):
        self.seed, self.age = seed, np.zeros(self.lanes, int)
        self.ended = np.zeros(self.lanes, bool)
        self.games = np.zeros(self.lanes, int)
        return self._rows(np.zeros(self.lanes), np.ones(self.lanes, bool))

    def send(self, actions):
        assert actions.shape == (self.lanes,)

    def recv(self):
        reset_row = self.ended
        self.age = np.where(reset_row, 0, self.age + 1)
        self.games += reset_row
        points = np.where(self.games > 0, self.later, 1.0) * self.points
        return self._rows(np.where(reset_row, 0.0, points), reset_row)

    def _rows(self, rewards, reset_row):
        self.ended = self.age >= self.lengths
        life_lost = (self.age % 3 == 0) & ~reset_row & ~self.ended
        frames = np.broadcast_to((self.age + 1)[:, None, None], (self.lanes, *SHAPE))
        no = np.zeros(self.lanes, bool)
        over, truncated = (no, self.ended) if self.cut else (self.ended, no)
        return Rows(
            frames.astype(np.uint8), rewards.astype(np.float32), life_lost, over, truncated,
            reset_row, (4 * self.age).astype(np.int32), np.zeros(self.lanes, np.int32),
        )  # fmt: skip

    def close(self):
        pass


def noop(states):
    return np.zeros(len(states), np.int64)


def stack_for(lanes):
    return FrameStack(lanes.lanes, 4, SHAPE)


# ---- which games count ---------------------------------------------------------------------------


def check_every_lane_counts_one_game(play):
    """Short bad games and long good ones, half and half: the mean is 105, not 10.

    While the long ones last, the short lanes play on, for points that must not count.
    """
    lanes = ScriptedLanes([4] * 5 + [40] * 5, [2.5] * 5 + [5.0] * 5, later=100.0)
    result = play(lanes, stack_for(lanes), noop, False, 0)
    assert result.scores == [10.0] * 5 + [200.0] * 5
    assert result.steps == [4] * 5 + [40] * 5
    assert result.mean == 105.0 and result.median == 105.0 and result.std == 95.0
    assert result.truncated == 0


def first_to_finish(lanes, stack, policy, breaks_at_life, seed):
    """The first n games that end: short ones again and again."""
    rows, tracker, games = lanes.reset(seed), GameTracker(lanes.lanes), []
    states = stack.push(torch.from_numpy(rows.frames), rows.reset_row)
    while len(games) < lanes.lanes:
        lanes.send(policy(states))
        rows = lanes.recv()
        games += tracker.update(rows)
        states = stack.push(torch.from_numpy(rows.frames), rows.reset_row)
    games = games[: lanes.lanes]
    return Evaluation([g.score for g in games], [g.steps for g in games], 0)


def last_games(lanes, stack, policy, breaks_at_life, seed):
    """The latest game of each lane overwrites the first."""
    lanes.reset(seed)
    tracker, games = GameTracker(lanes.lanes), {}
    while len(games) < lanes.lanes:
        lanes.send(np.zeros(lanes.lanes, np.int64))
        for game in tracker.update(lanes.recv()):
            games[game.lane] = game
    played = [games[lane] for lane in sorted(games)]
    return Evaluation([game.score for game in played], [game.steps for game in played], 0)


def test_every_lane_counts_exactly_one_game():
    """The first n games to finish would count short games more often than long ones."""
    check_every_lane_counts_one_game(evaluate)
    for broken in (first_to_finish, last_games):
        with pytest.raises(AssertionError):
            check_every_lane_counts_one_game(broken)


class EndsAtLives(GameTracker):
    """The error of `RecordEpisodeStatistics` behind life-loss terminals."""

    def update(self, rows):
        return super().update(rows._replace(game_over=rows.game_over | rows.life_lost))


class CountsResetRows(GameTracker):
    def update(self, rows):
        return super().update(rows._replace(reset_row=np.zeros_like(rows.reset_row)))


class NeverForgets(GameTracker):
    def update(self, rows):
        score = self._score.copy()
        found = super().update(rows)
        self._score += np.where(rows.game_over, score, 0.0)
        return found


def check_tracker(kind):
    lanes = ScriptedLanes([7, 10], [7.0, 1.0])
    tracker, games = kind(2), []
    lanes.reset(0)
    for _ in range(60):
        lanes.send(np.zeros(2, int))
        games += tracker.update(lanes.recv())
    assert len(games) == 7 + 5
    for game in games:
        assert (game.score, game.steps, game.frames) == ((49.0, 7, 28), (10.0, 10, 40))[game.lane]
        assert type(game.score) is float and type(game.steps) is int


def test_a_game_spans_all_lives_and_the_next_begins_at_zero():
    """12."""
    check_tracker(GameTracker)
    for broken in (EndsAtLives, CountsResetRows, NeverForgets):
        with pytest.raises(AssertionError):
            check_tracker(broken)


def check_scores_are_unclipped(play):
    lanes = ScriptedLanes([10, 10], [7.0, -4.0])
    assert play(lanes, stack_for(lanes), noop, True, 0).scores == [70.0, -40.0]


def test_the_score_of_an_evaluation_is_unclipped():
    """44."""
    check_scores_are_unclipped(evaluate)

    def clipped(lanes, *rest):
        lanes.points = np.clip(lanes.points, -1, 1)
        return evaluate(lanes, *rest)

    with pytest.raises(AssertionError):
        check_scores_are_unclipped(clipped)


def test_points_come_through_the_real_doors_unclipped():
    """44, 11: in Ms Pac-Man a dot is worth ten."""
    recipe = get_recipe("laptop", game="ms_pacman", reward_clip=1.0, frame_height=36,
                        frame_width=36)  # fmt: skip
    lanes = make_lanes(recipe, 2, max_frames=600)
    policy = greedy_policy(lambda states: torch.zeros(len(states), 9), 1.0,
                           np.random.default_rng(0))  # fmt: skip
    try:
        result = evaluate(lanes, FrameStack(2, 4, (36, 36)), policy, True, 0)
    finally:
        lanes.close()
    assert all(score >= 10 and score % 10 == 0 for score in result.scores)
    assert result.mean > max(result.steps) * 0.1  # more points than clipped rewards could bring


# ---- the end -------------------------------------------------------------------------------------


def bounded(policy, decisions):
    count = 0

    def bounded_policy(states):
        nonlocal count
        count += 1
        if count > decisions:
            raise AssertionError(f"still playing after {decisions} decisions")
        return policy(states)

    return bounded_policy


def check_all_noops_come_to_an_end(max_frames):
    """Breakout without FIRE: the ball never starts, no life is ever lost."""
    recipe = get_recipe(
        "laptop", fire_at_start=False, fire_after_life=False, frame_height=36, frame_width=36
    )
    lanes = make_lanes(recipe, 2, max_frames=max_frames)
    try:
        return evaluate(lanes, FrameStack(2, 4, (36, 36)), bounded(noop, 600), True, 0)
    finally:
        lanes.close()


def test_an_all_noop_policy_ends_at_the_frame_limit():
    """15, 8, 13."""
    result = check_all_noops_come_to_an_end(max_frames=2_000)
    assert result.steps == [500, 500] and result.scores == [0.0, 0.0]
    assert result.truncated == 2
    assert "2 cut off" in result.summary()
    with pytest.raises(AssertionError, match="still playing"):
        check_all_noops_come_to_an_end(max_frames=None)  # the recipe's 108,000 for training


def test_the_limit_is_natures_five_minutes():
    """15: 18,000 frames at 60 a second, whatever the recipe trains with."""
    assert EVALUATION_FRAMES == 18_000 == 5 * 60 * 60
    seen = {}

    def open_lanes(recipe, lanes, max_frames):
        seen.update(max_frames=max_frames, lanes=lanes)
        return ScriptedLanes([2] * lanes, [1.0] * lanes)

    result = evaluate_network(
        get_recipe("laptop", max_frames_per_game=77),
        lambda states: torch.zeros(len(states), 2),
        games=3,
        make_stack=lambda lanes, frames, shape, device: FrameStack(lanes, frames, SHAPE),
        open_lanes=open_lanes,
    )
    assert seen == {"max_frames": 18_000, "lanes": 3} and len(result.scores) == 3


def test_the_gym_door_keeps_the_limit_too():
    """15."""
    recipe = get_recipe(
        "laptop", game="gallery", door="gym", repeat_frames=1, max_over="none", frame_height=20,
        frame_width=20, start_noops_max=0,
    )  # fmt: skip
    result = evaluate_network(
        recipe, lambda s: torch.tensor([[1.0, 0.0]]).repeat(len(s), 1), games=2, epsilon=0.0,
        max_frames=9,
    )  # fmt: skip
    assert result.steps == [9, 9] and result.truncated == 2


# ---- epsilon -------------------------------------------------------------------------------------


def check_uses_its_epsilon(make_policy):
    """The best action is 1; of two actions a random one is the other in half of the cases."""

    def q_values(states):
        return torch.tensor([[0.0, 1.0]]).repeat(len(states), 1)

    states = torch.zeros(50, 4, *SHAPE, dtype=torch.uint8)
    for epsilon in (0.0, 0.05, 1.0):
        policy = make_policy(q_values, epsilon, np.random.default_rng(0))
        left = np.mean([policy(states) != 1 for _ in range(100)])
        assert left == pytest.approx(epsilon / 2, abs=0.02)


def test_evaluation_uses_its_own_epsilon():
    """43: keras-rl's test epsilon is never read, and its test policy is greedy."""
    check_uses_its_epsilon(greedy_policy)
    for broken in (
        lambda q, epsilon, rng: greedy_policy(q, 0.0, rng),
        lambda q, epsilon, rng: greedy_policy(q, 0.02, rng),  # that of the end of training
    ):
        with pytest.raises(AssertionError):
            check_uses_its_epsilon(broken)


@pytest.mark.parametrize("given, expected", [({}, 0.05), ({"epsilon": 0.001}, 0.001)])
def test_evaluate_network_passes_epsilon_on(given, expected):
    """43: 0.05 unless told otherwise, and not the recipe's 0.02 of training."""
    assert EVALUATION_EPSILON == 0.05
    recipe = get_recipe(
        "laptop", game="chain", door="gym", repeat_frames=1, max_over="none", frame_height=20,
        frame_width=20,
    )  # fmt: skip
    seen = set()

    def spy(q_values, epsilon, rng):
        seen.add(epsilon)
        return epsilon_greedy(q_values, epsilon, rng)

    right = torch.tensor([[0.0, 1.0]])
    result = evaluate_network(recipe, lambda s: right.repeat(len(s), 1), 3, choose=spy, **given)
    assert seen == {expected} and len(result.scores) == 3


# ---- states and seeds ----------------------------------------------------------------------------


def check_stacks_break_as_in_training(play, breaks):
    lanes, seen = ScriptedLanes([7], [1.0]), []

    def policy(states):
        seen.append(states[0, :, 0, 0].tolist())
        return noop(states)

    play(lanes, stack_for(lanes), policy, breaks, 0)
    whole = [[0, 0, 0, 1], [0, 0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]
    broken = [*whole[:3], [0, 0, 0, 4], [0, 0, 4, 5]]
    assert seen[:5] == (broken if breaks else whole)


def test_stacks_break_at_a_life_where_they_do_in_training():
    """18, 22: the network must not see in evaluation what it never saw in training."""
    for breaks in (True, False):
        check_stacks_break_as_in_training(evaluate, breaks)
        with pytest.raises(AssertionError):
            check_stacks_break_as_in_training(
                lambda lanes, stack, policy, _, seed: evaluate(
                    lanes,
                    stack,
                    policy,
                    not breaks,  # noqa: B023 - called at once
                    seed,
                ),
                breaks,
            )


def test_a_seed_fixes_an_evaluation_and_seeds_differ():
    recipe = get_recipe("laptop", game="ms_pacman", frame_height=36, frame_width=36)

    def scores(seed):
        result = evaluate_network(
            recipe, lambda s: torch.zeros(len(s), 6), 4, epsilon=1.0, seed=seed, max_frames=400
        )
        return result.scores

    assert scores(1) == scores(1)
    assert scores(1) != scores(2)


def test_evaluation_plays_other_games_than_training(monkeypatch):
    seeds = []

    def note(lanes, stack, policy, breaks, seed):
        seeds.append(seed)

    recipe = get_recipe("laptop", game="chain", door="gym", frame_height=20, frame_width=20)
    evaluate_network(recipe, None, 1, seed=recipe.seed, play=note)
    assert seeds[0] != recipe.seed * 1_000_003 % 2**30


def test_play_random_game_plays_one_game_and_gives_up():
    """15."""
    scores = [play_random_game(ShootingGallery(), np.random.default_rng(s)) for s in range(30)]
    assert {score for score, _ in scores} <= {0.0, 1.0}
    assert len({steps for _, steps in scores}) > 2
    assert play_random_game(ShootingGallery(), np.random.default_rng(0), max_steps=1)[1] == 1
