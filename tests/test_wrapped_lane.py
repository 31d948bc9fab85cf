"""Games made of chapter 03's wrappers: the door's own games, and really the wrappers'."""

import numpy as np
import pytest
from test_environments import QUIET, SCRIPT, Script, play

from dqn_ref import wrappers
from dqn_ref.environments import GymLanes, make_lanes
from dqn_ref.gym_lane import GymLane
from dqn_ref.pieces import REFERENCE, Pieces
from dqn_ref.recipes import get_recipe
from dqn_ref.wrapped_lane import WrappedLane, Wrappers, why_not

OURS = Wrappers(wrappers.RepeatMax, wrappers.RandomStart, wrappers.LifeLoss)
# The order in which wrappers work: the maximum in colour, the grey picture afterwards.
BREAKOUT = get_recipe("laptop", door="gym", start_noops_max=0, max_over="rgb")


class ThreeFrames(wrappers.RepeatMax):
    def __init__(self, env, repeat=4):
        super().__init__(env, 3)


class LastFrame(wrappers.RepeatMax):
    """Shows its newest frame, not the maximum."""

    def step(self, action):
        _, *row = super().step(action)
        return self._current, *row


class Immortal(wrappers.LifeLoss):
    def step(self, action):
        *row, info = super().step(action)
        return *row, {**info, "life_lost": False}


class Late(wrappers.LifeLoss):
    """Says that a life was lost one frame late, when the lives have long fallen."""

    def step(self, action):
        late = getattr(self, "late", False)
        *row, info = super().step(action)
        self.late = info["life_lost"]
        return *row, {**info, "life_lost": late}


def assert_same_games(made_of: Wrappers):
    own = play(make_lanes(BREAKOUT, 2, wrappers=made_of), 300, seed=3)
    door = play(make_lanes(BREAKOUT, 2), 300, seed=3)
    assert sum(row.life_lost.sum() for row in door) > 4 and any(r.game_over.any() for r in door)
    for ours, theirs in zip(own, door, strict=True):
        for name in set(ours._fields) - {"frames"}:
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), name)
        goes_on = ~theirs.game_over  # which frame a game ends with may vary
        np.testing.assert_array_equal(ours.frames[goes_on], theirs.frames[goes_on])


def test_games_of_wrappers_are_the_doors_own_bit_for_bit():
    """FIRE forgotten or pressed twice, frames counted wrongly, a life told in the wrong row."""
    assert_same_games(OURS)


@pytest.mark.parametrize(
    "change",
    [{"RepeatMax": ThreeFrames}, {"LifeLoss": Immortal}, {"LifeLoss": Late}],
    ids=["three frames", "immortal", "late"],
)
def test_same_games_rejects(change):
    """A lane that goes round the wrappers it was given."""
    with pytest.raises(AssertionError):
        assert_same_games(OURS._replace(**change))


def test_the_picture_is_the_wrappers():
    """A maximum taken by the lane itself. (In Asteroids most frames lack the rocks.)"""
    recipe = get_recipe("laptop", door="gym", game="asteroids", start_noops_max=0)
    both = play(make_lanes(recipe, 1, wrappers=OURS), 20)
    newest = play(make_lanes(recipe, 1, wrappers=OURS._replace(RepeatMax=LastFrame)), 20)
    assert any((a.frames != b.frames).any() for a, b in zip(both, newest, strict=True))
    assert all((a.frames >= b.frames).all() for a, b in zip(both, newest, strict=True))


def script_lane(env: Script, **changes) -> GymLanes:
    recipe = get_recipe("laptop", **{**SCRIPT, **changes})
    return GymLanes(lambda: env, recipe, 1, wrappers=OURS)


def test_a_game_begins_with_fire_and_then_no_ops():
    """No-ops played before the ball is there, or their number the same in each game."""
    env = Script(over_at=60)
    play(script_lane(env, fire_at_start=True, start_noops_max=5), 400, policy=lambda step: 2)
    assert all(log[0] == 1 for log in env.log)
    counts = {log.index(2) - 1 for log in env.log[:-1]}
    assert counts == {0, 1, 2, 3, 4, 5}


def test_a_frame_in_one_buffer_is_kept():
    """An environment that writes each picture into the last one's memory."""
    rows = [play(script_lane(Script(one_buffer=each)), 30) for each in (False, True)]
    for apart, shared in zip(*rows, strict=True):
        np.testing.assert_array_equal(apart.frames, shared.frames)


def test_a_game_is_cut_off_at_its_limit():
    """A policy that never ends a game, for hours; start actions that count."""
    changes = {"start_noops_max": 3, "max_frames_per_game": 40, "fire_at_start": True}
    rows = play(script_lane(Script(), **changes), 40)
    assert [int(r.truncated[0]) for r in rows[:12]] == [0] * 10 + [1, 0]
    assert not any(row.game_over.any() for row in rows)


def test_a_film_sees_every_frame():
    """A film in which three frames of four are missing."""
    seen = []
    recipe = get_recipe("laptop", door="gym")
    lanes = make_lanes(recipe, 1, on_frame=seen.append, wrappers=OURS)
    rows = play(lanes, 20)
    assert len(seen) == rows[-1].emulator_frames[0] + 1
    assert seen[0].shape == (210, 160, 3) and len({id(frame) for frame in seen}) == len(seen)


REFUSED = {
    "repeat_frames_min": 2,
    "life_noops_max": 30,
    "start_random_actions_max": 3,
    "max_env_steps_per_game": 100,
    "max_over": "none",
}


@pytest.mark.parametrize("field", REFUSED)
def test_a_rule_that_the_wrappers_do_not_know_keeps_them_out(field):
    """A recipe's rule that silently goes unplayed because the learner's wrappers are in use."""
    assert why_not(BREAKOUT) == ""
    recipe = get_recipe("laptop", door="gym", **{field: REFUSED[field]})
    assert why_not(recipe) == f"{field}={REFUSED[field]}"
    for each, kind in ((recipe, GymLane), (BREAKOUT, WrappedLane)):
        lanes = make_lanes(each, 1, wrappers=OURS)
        lanes.close()
        assert type(lanes._games[0]) is kind


def test_one_own_wrapper_is_enough():
    """A learner's wrapper that is used only once all three are there; the reference's always."""
    recipe = get_recipe("laptop", door="gym", **QUIET)
    for name in Wrappers._fields:
        own = type(f"My{name}", (getattr(wrappers, name),), {})
        lanes = Pieces(**{name: own}).make_lanes(recipe, 1)
        chain, found = lanes._games[0].env, []
        while chain is not chain.unwrapped:
            found.append(type(chain))
            chain = chain.env
        lanes.close()
        assert own in found and set(OURS) - {getattr(wrappers, name)} <= set(found)
    assert type(REFERENCE.make_lanes(recipe, 1)._games[0]) is GymLane
