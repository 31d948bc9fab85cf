"""The environment, wrapper by wrapper. Numbers are those of the list of known pitfalls.

Each assertion is a function of its subject; the same function must reject a broken subject.
"""

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import AtariPreprocessing

from dqn_ref.environments import GymLanes, make_gym_env, make_lanes
from dqn_ref.frames import preprocess
from dqn_ref.recipes import get_recipe
from dqn_ref.wrappers import LifeLoss, RandomStart, RepeatMax


class Script(gymnasium.Env):
    """A game of numbered frames: sprites that flicker, rewards and ends by number."""

    action_space = gymnasium.spaces.Discrete(4)
    observation_space = gymnasium.spaces.Box(0, 255, (2, 2, 3), np.uint8)

    def __init__(self, rewards=None, lose_at=(), over_at=None, cut_at=None):
        self.rewards, self.lose_at = rewards or {}, lose_at
        self.over_at, self.cut_at = over_at, cut_at
        self.log: list[list[int]] = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        assert options is None or options == {"passed": "on"}
        self.log.append([])
        self.lives = 3
        return self.picture(), {"lives": self.lives}

    def step(self, action):
        game = self.log[-1]
        ended = [at for at in (self.over_at, self.cut_at) if at is not None]
        assert all(len(game) < at for at in ended), "a step after the end"
        game.append(int(action))
        frame = len(game)
        over, cut = frame == self.over_at, frame == self.cut_at
        self.lives = 0 if over else self.lives - (frame in self.lose_at)
        return self.picture(), self.rewards.get(frame, 0), over, cut, {"lives": self.lives}

    def picture(self):
        frame = np.zeros((2, 2, 3), np.uint8)
        number = len(self.log[-1])
        frame[0, 0] = number
        frame[1, 1] = 200 * (number % 2)
        frame[0, 1] = 150 * (number % 4 == 1)
        return frame


# --- RepeatMax ----------------------------------------------------------------------------------


def assert_repeats_and_shows_the_maximum(wrapper):
    env = Script(rewards={1: 1, 2: 2, 4: 4, 5: -8, 9: 16}, over_at=10)
    wrapped = wrapper(env)
    shown, info = wrapped.reset(seed=1, options={"passed": "on"})
    assert shown.max() == 0 and info["lives"] == 3
    results = [wrapped.step(action) for action in (3, 2, 1)]
    assert env.log == [[3] * 4 + [2] * 4 + [1] * 2], "a wrong number of frames"
    assert [points for _, points, *_ in results] == [7.0, -8.0, 16.0]
    assert [shown[0, 0, 0] for shown, *_ in results] == [4, 8, 10]
    # The sprite stands on frames 3, 7 and 9 and not on 4, 8 and 10.
    assert [shown[1, 1, 0] for shown, *_ in results] == [200] * 3, "the sprite flickers"
    # The other one stands on frames 1, 5 and 9: only the last is among the last two.
    assert [shown[0, 1, 0] for shown, *_ in results] == [0, 0, 150]
    assert [over for _, _, over, _, _ in results] == [False, False, True]
    assert not any(cut for *_, cut, _ in results)
    assert all("life_lost" not in info for *_, info in results)
    # A maximum with a frame of the game before would show here.
    assert wrapped.reset()[0].max() == 0
    env.over_at, env.cut_at = None, 1
    shown, points, over, cut, info = wrapped.step(0)
    assert (shown[0, 0, 0], points, over, cut) == (1, 1.0, False, True)


def test_01_03_one_step_is_four_frames_and_shows_the_last_two():
    """Pitfalls 1, 3, 11: rewards add up, flicker is seen, nothing is played after the end."""
    assert_repeats_and_shows_the_maximum(RepeatMax)


class RepeatMaxVariant(gymnasium.Wrapper):
    """RepeatMax with switches for what goes wrong."""

    repeat, maximum, stops, add, first = 4, 2, True, True, False

    def step(self, action):
        total, shown = 0.0, []
        for _ in range(self.repeat):
            observation, reward, over, cut, info = self.env.step(action)
            total = total + reward if self.add else reward
            shown.append(observation)
            if self.stops and (over or cut):
                break
        newest = shown[: self.maximum] if self.first else shown[-self.maximum :]
        return np.max(newest, axis=0), float(total), over, cut, info


@pytest.mark.parametrize(
    "change",
    [{"repeat": 1}, {"repeat": 3}, {"repeat": 16}, {"maximum": 1}, {"maximum": 4, "first": True},
     {"stops": False}, {"add": False}, {"first": True}],
    ids=str,
)  # fmt: skip
def test_01_03_rejects(change):
    broken = type("Broken", (RepeatMaxVariant,), change)
    with pytest.raises(AssertionError):
        assert_repeats_and_shows_the_maximum(broken)


def test_the_variant_itself_is_right():
    """What is rejected above is the change, not the variant."""
    assert_repeats_and_shows_the_maximum(RepeatMaxVariant)


@pytest.mark.parametrize("repeat", [1, 2, 5])
def test_the_number_of_repetitions_is_an_argument(repeat):
    env = Script()
    wrapped = RepeatMax(env, repeat)
    wrapped.reset()
    wrapped.step(2)
    assert env.log == [[2] * repeat]


def assert_lives_are_kept_over_a_skip(wrapper):
    """A life lost on any of the four frames is told once; the end of a game is none."""
    for frame in range(1, 5):
        wrapped = wrapper(LifeLoss(Script(lose_at=(frame,))))
        assert wrapped.reset()[1]["life_lost"] is False
        lost = [wrapped.step(0)[4]["life_lost"] for _ in range(3)]
        assert lost == [True, False, False], frame
    wrapped = wrapper(LifeLoss(Script(lose_at=(1,), over_at=3)))
    wrapped.reset()
    *_, over, _, info = wrapped.step(0)
    assert over and not info["life_lost"]


def test_06_a_lost_life_is_told_once_wherever_it_falls_in_a_skip():
    assert_lives_are_kept_over_a_skip(RepeatMax)
    with pytest.raises(AssertionError):
        assert_lives_are_kept_over_a_skip(RepeatMaxVariant)


# --- LifeLoss -----------------------------------------------------------------------------------


def assert_tells_lost_lives(wrapper):
    env = Script(lose_at=(2, 5), over_at=7, rewards={3: 9})
    wrapped = wrapper(env)
    for _ in range(2):
        _, info = wrapped.reset(seed=1, options={"passed": "on"})
        assert info == {"lives": 3, "life_lost": False}
        results = [wrapped.step(1) for _ in range(7)]
        assert [info["life_lost"] for *_, info in results] == [
            False, True, False, False, True, False, False
        ]  # fmt: skip
        assert [info["lives"] for *_, info in results] == [3, 2, 2, 2, 1, 1, 0]
        assert [over for _, _, over, *_ in results] == [False] * 6 + [True]
        assert [reward for _, reward, *_ in results] == [0, 0, 9, 0, 0, 0, 0]
        assert [shown[0, 0, 0] for shown, *_ in results] == [1, 2, 3, 4, 5, 6, 7]
    assert env.log == [[1] * 7] * 2


def test_06_a_lost_life_resets_nothing():
    """Pitfalls 6 and 7: told in the info, the game goes on, a game over is no lost life."""
    assert_tells_lost_lives(LifeLoss)


class EndsEpisode(LifeLoss):
    def step(self, action):
        *rest, over, cut, info = super().step(action)
        return *rest, over or info["life_lost"], cut, info


class RestartsGame(LifeLoss):
    def step(self, action):
        observation, *rest, info = super().step(action)
        if info["life_lost"]:
            observation, _ = self.env.reset()
        return observation, *rest, info


class TellsGameOver(LifeLoss):
    def step(self, action):
        *rest, over, cut, info = super().step(action)
        return *rest, over, cut, {**info, "life_lost": info["life_lost"] or over}


class NeverForgetsOldLives(LifeLoss):
    def step(self, action):
        *rest, info = super().step(action)
        self._lives = 3
        return *rest, info


class RemembersTheGameBefore(LifeLoss):
    lives_before = 0

    def reset(self, **options):
        observation, info = super().reset(**options)
        return observation, {**info, "life_lost": self._lives > self.lives_before}


@pytest.mark.parametrize(
    "broken",
    [EndsEpisode, RestartsGame, TellsGameOver, NeverForgetsOldLives, RemembersTheGameBefore],
)
def test_06_rejects(broken):
    with pytest.raises(AssertionError):
        assert_tells_lost_lives(broken)


def test_a_game_without_lives_never_loses_one():
    class NoLives(gymnasium.Wrapper):
        def reset(self, **options):
            return self.env.reset(**options)[0], {}

        def step(self, action):
            return *self.env.step(action)[:4], {}

    wrapped = LifeLoss(NoLives(Script(lose_at=(2,))))
    wrapped.reset()
    assert not any(wrapped.step(0)[4]["life_lost"] for _ in range(4))


# --- RandomStart --------------------------------------------------------------------------------


def assert_0_to_30_no_ops(wrapper):
    env = Script()
    wrapped = wrapper(env)
    for seed in range(300):
        observation, _ = wrapped.reset(seed=seed)
        assert observation[0, 0, 0] == len(env.log[-1]), "not the newest frame"
    for _ in range(900):  # later games draw anew without a seed
        wrapped.reset()
    assert all(action == 0 for game in env.log for action in game)
    for games in (env.log[:300], env.log[300:]):
        assert {len(game) for game in games} == set(range(31))
    mean = np.mean([len(game) for game in env.log])
    assert abs(mean - 15) < 1.0
    # A seed decides.
    counts = []
    for _ in range(2):
        wrapped.reset(seed=5)
        wrapped.reset()
        counts.append([len(game) for game in env.log[-2:]])
    assert counts[0] == counts[1]


def test_09_0_to_30_no_ops_all_happen():
    """Pitfall 9: other wrappers play 1 to 30, ALE 0 to 29."""
    assert_0_to_30_no_ops(RandomStart)


class OneToThirty(RandomStart):
    def reset(self, **options):
        observation, info = super().reset(**options)
        while not self.env.log[-1]:
            self.env.log.pop()
            observation, info = super().reset()
        return observation, info


class FirstFrameShown(RandomStart):
    def reset(self, **options):
        super().reset(**options)
        return np.zeros((2, 2, 3), np.uint8), {}


class RandomActions(RandomStart):
    def reset(self, **options):
        super().reset(**options)
        return *self.env.step(3)[:1], {}


class Unseeded(RandomStart):
    rng = np.random.default_rng(0)

    @property
    def np_random(self):
        return self.rng


@pytest.mark.parametrize(
    "broken",
    [OneToThirty, FirstFrameShown, RandomActions, Unseeded, lambda env: RandomStart(env, 29),
     lambda env: RandomStart(env, 31), lambda env: RandomStart(env, 0)],
    ids=["1 to 30", "first frame", "random actions", "unseeded", "29", "31", "none"],
)  # fmt: skip
def test_09_rejects(broken):
    with pytest.raises(AssertionError):
        assert_0_to_30_no_ops(broken)


def test_no_ops_that_end_a_game_begin_another():
    env = Script(over_at=3)
    wrapped = RandomStart(env)
    for seed in range(30):
        env.log.clear()
        observation, info = wrapped.reset(seed=seed)
        assert len(env.log[-1]) < 3
        assert observation[0, 0, 0] == len(env.log[-1])
        assert info["lives"] == 3


# --- together, beside ALE -----------------------------------------------------------------------


def assert_wrappers_agree_with_ale(wrap, steps: int = 400):
    """Frames, rewards and flags of a Breakout agent's steps; a game's last frame is excepted."""
    recipe = get_recipe("laptop", start_noops_max=0, fire_at_start=False, fire_after_life=False)
    lanes = make_lanes(recipe, 1)
    env = wrap(make_gym_env(recipe))
    rng = np.random.default_rng(2)
    rows, (observation, info) = lanes.reset(8), env.reset(seed=8)
    over, lives, games = False, 0, 0
    try:
        for _ in range(steps):
            assert np.array_equal(rows.frames[0], preprocess(observation, observation))
            action = rng.integers(4)
            lanes.send(np.array([action]))
            rows = lanes.recv()
            if over:
                observation, info = env.reset()
                over = False
                continue
            observation, points, over, cut, info = env.step(action)
            assert points == rows.rewards[0]
            assert over == rows.game_over[0] and not cut
            assert info["life_lost"] == rows.life_lost[0]
            lives += info["life_lost"]
            if over:
                observation = np.repeat(rows.frames[0][:, :, None], 3, axis=2)
                games += 1
    finally:
        lanes.close()
        env.close()
    assert lives > 4 and games >= 1


def test_05_the_wrappers_agree_with_ales_pipeline():
    """Pitfall 5: LifeLoss, RepeatMax and preprocess are what runs in C++."""
    assert_wrappers_agree_with_ale(lambda env: RepeatMax(LifeLoss(env)))


@pytest.mark.parametrize(
    "broken",
    [
        lambda env: RepeatMax(LifeLoss(env), repeat=3),
        lambda env: LifeLoss(RepeatMax(RepeatMax(env, 4), 4)),
        lambda env: RepeatMax(EndsEpisode(env)),
        lambda env: RepeatMaxVariant(LifeLoss(env)),
    ],
    ids=["3 frames", "skips twice", "ends at lives", "drops lives"],
)
def test_05_rejects(broken):
    with pytest.raises(AssertionError):
        assert_wrappers_agree_with_ale(broken)


def test_05_the_wrappers_behind_the_flexible_door():
    """A learner's wrapped environment, one step of it a step, gives the rows of the plain one."""
    wrapped = get_recipe(
        "laptop", door="gym", start_noops_max=0, max_over="none", repeat_frames=1,
        fire_at_start=False, fire_after_life=False,
    )  # fmt: skip
    quiet = get_recipe(
        "laptop", door="gym", start_noops_max=0, max_over="rgb", fire_at_start=False,
        fire_after_life=False,
    )  # fmt: skip
    doors = (
        make_lanes(quiet, 1),
        GymLanes(lambda: RepeatMax(LifeLoss(make_gym_env(wrapped))), wrapped, 1),
    )
    rng = np.random.default_rng(3)
    rows = [door.reset(2) for door in doors]
    for _ in range(150):
        action = rng.integers(4, size=1)
        for door in doors:
            door.send(action)
        rows = [door.recv() for door in doors]
        for name in ("frames", "rewards", "life_lost", "game_over", "truncated", "reset_row"):
            assert np.array_equal(*(getattr(row, name) for row in rows)), name
    for door in doors:
        door.close()


@pytest.mark.upstream
def test_03_upstream_a_skip_without_maximum_hides_what_flickers():
    """Pitfall 3: the v5 ids skip four frames and show the last alone."""
    fine = gymnasium.make("ALE/SpaceInvaders-v5", frameskip=1, repeat_action_probability=0.0)
    coarse = gymnasium.make("ALE/SpaceInvaders-v5", frameskip=4, repeat_action_probability=0.0)
    fine.reset(seed=0)
    coarse.reset(seed=0)
    differs = False
    for _ in range(40):
        shown = [fine.step(1)[0] for _ in range(4)]
        last = coarse.step(1)[0]
        assert np.array_equal(last, shown[-1])
        differs |= not np.array_equal(np.maximum(*shown[-2:]), last)
    assert differs
    fine.close()
    coarse.close()


@pytest.mark.upstream
def test_09_upstream_gymnasium_plays_1_to_n_no_ops():
    """Pitfall 9: at least one no-op with gymnasium's wrapper."""
    env = AtariPreprocessing(
        gymnasium.make("ALE/Breakout-v5", frameskip=1, repeat_action_probability=0.0), noop_max=3
    )
    env.reset(seed=0)
    starts = {env.reset()[1]["episode_frame_number"] for _ in range(40)}
    env.close()
    assert starts == {1, 2, 3}
