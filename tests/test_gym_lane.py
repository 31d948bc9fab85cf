"""One game played frame by frame: repetition, random starts, limits, what can be saved.

The game writes down every action it gets, so that what was played can be compared with the rules
word for word.
"""

import itertools

import gymnasium
import numpy as np
import pytest

from dqn_ref.environments import GymLanes, make_lanes
from dqn_ref.frames import preprocess
from dqn_ref.gym_lane import NOOP, GymLane
from dqn_ref.recipes import RecipeError, get_recipe

PLAIN = dict(
    door="gym", start_noops_max=0, fire_at_start=False, fire_after_life=False, max_over="none",
    lanes=1,
)  # fmt: skip


class Tape(gymnasium.Env):
    """Notes each action and each new game; the game is over after `length` frames.

    Frame n of a game is a picture of n, a point comes with every frame, and a life is lost every
    hundred frames. A new game is noted as None.
    """

    def __init__(self, length=10_000):
        self.action_space = gymnasium.spaces.Discrete(6)
        self.observation_space = gymnasium.spaces.Box(0, 255, (210, 160, 3), np.uint8)
        self.length, self.actions = length, []

    def get_action_meanings(self):
        return ["NOOP", "FIRE", "UP", "RIGHT", "LEFT", "DOWN"]

    def reset(self, *, seed=None, options=None):
        self.frame = 0
        self.actions.append(None)
        return self._observe(), {"lives": 5}

    def step(self, action):
        self.frame += 1
        self.actions.append(int(action))
        lives = 5 - self.frame // 100
        return self._observe(), 1.0, self.frame >= self.length, False, {"lives": lives}

    def _observe(self):
        return np.full((210, 160, 3), self.frame % 256, np.uint8)


def lane_of(env, max_frames=108_000, **changes):
    recipe = get_recipe("laptop", **(PLAIN | changes))
    return GymLane(env, recipe, max_frames, None, preprocess)


def test_an_action_is_repeated_for_two_to_four_frames_and_that_twice():
    """Bugs: one number of frames for both repetitions, 4 never drawn (the end of a range),
    uneven odds."""
    env = Tape()
    lane = lane_of(env, repeat_frames=4, repeat_frames_min=2, repeat_actions=2)
    lane.start(seed=3)
    totals = []
    for decision in range(1200):
        before = len(env.actions)
        points = lane.step(decision % 6)
        played = env.actions[before:]
        assert set(played) == {decision % 6} and points == len(played)
        totals.append(len(played))
    # The sum of two of {2, 3, 4}: 4, 5, 6, 7, 8 in 1, 2, 3, 2, 1 of nine cases.
    counts = np.bincount(totals, minlength=9)[4:]
    expected = 1200 * np.array([1, 2, 3, 2, 1]) / 9
    assert counts.sum() == 1200
    assert ((counts - expected) ** 2 / expected).sum() < 18.5  # chi-square, 4 degrees, p 0.001


def test_four_frames_four_times_are_sixteen():
    env = Tape()
    lane = lane_of(env, repeat_frames=4, repeat_actions=4)
    lane.start(seed=0)
    assert lane.step(3) == 16 and env.actions == [None] + [3] * 16
    assert lane.frame()[0, 0] == 16 and lane.environment_steps == 4


def test_random_starts_are_actions_of_all_kinds_that_nobody_counts():
    """0 to 29 of them, each an environment step of two to four frames. Bugs: no-ops instead,
    30 of them, points that count, one action for all."""
    counts, actions = [], set()
    for seed in range(400):
        env = Tape()
        lane = lane_of(env, start_random_actions_max=29, repeat_frames=2)
        lane.start(seed)
        played = env.actions[1:]
        pairs = list(zip(played[::2], played[1::2], strict=True))
        assert all(one == two for one, two in pairs)
        counts.append(len(pairs))
        actions |= set(played)
        assert lane.environment_steps == len(pairs)
    assert actions == set(range(6))
    assert min(counts) == 0 and max(counts) == 29 and 13 < np.mean(counts) < 16


def test_points_of_a_random_start_belong_to_nobody():
    lanes = GymLanes(Tape, get_recipe("laptop", **PLAIN, start_random_actions_max=29), 1)
    rows = lanes.reset(1)
    assert rows.rewards[0] == 0 and rows.emulator_frames[0] > 0
    lanes.send(np.array([2]))
    assert lanes.recv().rewards[0] == 4


def test_a_random_start_that_ends_a_game_begins_another():
    env = Tape(length=3)
    lane = lane_of(env, start_random_actions_max=29, repeat_frames=4)
    for seed in range(30):
        lane.start(seed)
        assert not lane.ended and lane.frames < 3


def decisions_until_cut(**changes):
    """Decisions of a game, its environment steps at the start, and how it ended."""
    lane = lane_of(Tape(), **changes)
    lane.start(seed=5)
    begun = lane.environment_steps
    for decision in itertools.count(1):
        lane.step(NOOP)
        if lane.ended:
            return decision, begun, lane


def test_the_limit_counts_environment_steps_random_start_included():
    """Bugs: decisions or frames are counted; the start is free; the game counts as over."""
    settings = dict(repeat_frames=4, repeat_frames_min=2, repeat_actions=2)
    decisions, begun, lane = decisions_until_cut(**settings, max_env_steps_per_game=100)
    assert (decisions, begun) == (50, 0) and lane.truncated and not lane.game_over
    decisions, begun, lane = decisions_until_cut(
        **settings, max_env_steps_per_game=100, start_random_actions_max=29
    )
    assert 0 < begun < 30 and decisions == -(-(100 - begun) // 2)
    assert lane.environment_steps == 100  # an odd start: the last decision is cut in half


def test_a_game_over_at_the_limit_is_over_and_not_cut_off():
    lane = lane_of(Tape(length=8), repeat_frames=4, max_env_steps_per_game=2)
    lane.start(seed=0)
    lane.step(NOOP), lane.step(NOOP)
    assert lane.game_over and not lane.truncated


def test_the_frame_limit_holds_beside_it():
    decisions, _, lane = decisions_until_cut(max_env_steps_per_game=1_000, max_frames=40)
    assert decisions == 10 and lane.truncated


def test_rows_are_cut_off_above_and_below():
    """110 rows, of which 84 from row 18 on. Bugs: cut before the resize, from the bottom."""

    class Ramp(Tape):
        def _observe(self):
            rows = np.arange(210, dtype=np.uint8)[:, None, None]
            return np.broadcast_to(rows, (210, 160, 3)).copy()

    lane = lane_of(Ramp(), resize_height=110, crop_top=18, resize="bilinear")
    lane.start(seed=0)
    seen = lane.frame().astype(int)
    assert seen.shape == (84, 84)
    assert seen[0, 0] == pytest.approx((18 + 0.5) * 210 / 110 - 0.5, abs=1)
    assert seen[-1, 0] == pytest.approx((101 + 0.5) * 210 / 110 - 0.5, abs=1)


def test_frames_that_cannot_be_made_are_refused_before_the_first_game():
    """Bug: a traceback from the middle of a run that was asked for 84x84 by striding."""
    with pytest.raises(RecipeError, match="no stride makes 84x84.*105x80"):
        make_lanes(get_recipe("laptop", door="gym", resize="stride"), 1)
    with pytest.raises(RecipeError, match="must fit into resize_height"):
        get_recipe("laptop", door="gym", resize_height=90, crop_top=18)
    with pytest.raises(RecipeError, match="repeat_frames_min"):
        get_recipe("laptop", door="gym", repeat_frames_min=5)


@pytest.mark.parametrize(
    "changes",
    [
        dict(repeat_frames_min=2), dict(start_random_actions_max=5), dict(resize_height=110),
        dict(max_env_steps_per_game=10), dict(grey="mean"), dict(resize="stride"),
    ],
)  # fmt: skip
def test_ales_door_refuses_what_only_the_other_can_do(changes):
    """Bug: a setting is silently ignored."""
    with pytest.raises(RecipeError, match=f"cannot do {next(iter(changes))}.*door=gym"):
        make_lanes(get_recipe("laptop", **changes), 1)


@pytest.mark.parametrize("name", ["mnih2013", "notebook_a", "notebook_b"])
def test_recipes_of_others_play(name):
    """Each door, frame and limit works together on the real game."""
    recipe = get_recipe(name)
    lanes = make_lanes(recipe, 1)
    rows = lanes.reset(recipe.seed)
    points = 0
    rng = np.random.default_rng(0)
    frames = [int(rows.emulator_frames[0])]
    for _ in range(60):
        lanes.send(rng.integers(4, size=1))
        rows = lanes.recv()
        assert rows.frames.shape == (1, *recipe.frame_shape) and rows.frames.max() > 50
        points += rows.rewards[0]
        frames.append(int(rows.emulator_frames[0]))
        if rows.game_over[0]:
            break
    lanes.close()
    gone = set(np.diff(frames)[:-1])
    assert gone <= {"mnih2013": {4}, "notebook_a": {16}}.get(name, {4, 5, 6, 7, 8})
    assert rows.lives.dtype == np.int32 and 0 <= rows.lives[0] <= 5


# ---- saving games --------------------------------------------------------------------------------


def plays(lanes, actions):
    rows = []
    for action in actions:
        lanes.send(np.array(action))
        rows.append(lanes.recv())
    return rows


@pytest.mark.parametrize("game", ["chain", "gallery"])
@pytest.mark.parametrize("steps", [0, 1, 17])
def test_saved_games_go_on_exactly(game, steps):
    """Bugs: the next game's start is drawn anew; a game that has just ended goes on; frames or
    lanes are exchanged."""
    recipe = get_recipe("gallery", game=game, lanes=3, start_random_actions_max=3, repeat_frames=2)
    rng = np.random.default_rng(0)
    actions = rng.integers(2, size=(60, 3))
    lanes = make_lanes(recipe, 3)
    lanes.reset(11)
    plays(lanes, actions[:steps])
    tensors, numbers = lanes.state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    expected = plays(lanes, actions[steps:])
    again = make_lanes(recipe, 3)
    again.set_state(tensors, numbers)
    for mine, theirs in zip(plays(again, actions[steps:]), expected, strict=True):
        for one, two in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(one, two)
    assert any(row.game_over.any() or row.truncated.any() for row in expected)


def test_ataris_games_say_that_they_cannot_be_saved():
    lanes = make_lanes(get_recipe("laptop", door="gym"), 1)
    lanes.reset(0)
    assert lanes.state() is None
    lanes.close()
