"""The two doors. Numbers are those of the list of known pitfalls.

Each assertion is a function of its subject; the same function must reject a broken subject.
Tests marked `upstream` document what ALE and gymnasium do by themselves: they say why the doors
are built as they are, and turn red when a new version behaves otherwise.
"""

import dataclasses
from functools import partial

import gymnasium
import numpy as np
import pytest
from ale_py import roms
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import AtariPreprocessing

from dqn_ref import environments
from dqn_ref.environments import (
    AleLanes,
    GymLanes,
    Rows,
    atari_action_names,
    gymnasium_id,
    make_gym_env,
    make_lanes,
)
from dqn_ref.evaluation import GameTracker, evaluate
from dqn_ref.frames import FrameStack
from dqn_ref.recipes import RecipeError, get_recipe
from dqn_ref.training import clip_reward
from dqn_ref.video import write_video

DOORS = ("ale", "gym")
QUIET = {"fire_at_start": False, "fire_after_life": False, "start_noops_max": 0}


def open_door(door: str, lanes: int = 1, **changes):
    return make_lanes(get_recipe("laptop", **{"door": door, **changes}), lanes)


def play(lanes, steps: int, seed: int = 0, policy=None) -> list[Rows]:
    """Rows of a reset and `steps` random (or the policy's) decisions; closes the door."""
    rng = np.random.default_rng(seed)
    actions = len(lanes.action_names)
    rows = [lanes.reset(seed)]
    try:
        for step in range(steps):
            chosen = policy(step) if policy else rng.integers(actions, size=lanes.lanes)
            lanes.send(np.broadcast_to(chosen, lanes.lanes))
            rows.append(lanes.recv())
    finally:
        lanes.close()
    return rows


class Script(gymnasium.Env):
    """A game whose every frame is known beforehand: events happen at numbered frames.

    Frames are 16x16 and hold the frame's number within the game; `log` keeps every action.
    """

    metadata = {"render_modes": []}
    action_space = gymnasium.spaces.Discrete(4)
    observation_space = gymnasium.spaces.Box(0, 255, (16, 16, 3), np.uint8)

    def __init__(self, lose_at=(), over_at=10_000, rewards=None, cut_at=None, one_buffer=False):
        self.lose_at, self.over_at, self.cut_at = lose_at, over_at, cut_at
        self.rewards = rewards or {}
        self.log: list[list[int]] = []
        self.buffer = np.zeros((16, 16, 3), np.uint8) if one_buffer else None

    def get_action_meanings(self):
        return ["NOOP", "FIRE", "RIGHT", "LEFT"]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.log.append([])
        self.lives = 3
        return self.picture(), {"lives": self.lives}

    def step(self, action):
        self.log[-1].append(int(action))
        frame = len(self.log[-1])
        over, cut = frame >= self.over_at, self.cut_at is not None and frame >= self.cut_at
        self.lives = 0 if over else self.lives - (frame in self.lose_at)
        return self.picture(), self.rewards.get(frame, 0), over, cut, {"lives": self.lives}

    def picture(self):
        frame = np.zeros((16, 16, 3), np.uint8) if self.buffer is None else self.buffer
        frame[:] = 0
        frame[:, : 1 + len(self.log[-1]) % 16] = 100
        frame[0, 0] = len(self.log[-1]) % 256
        return frame


SCRIPT = {"door": "gym", "frame_height": 16, "frame_width": 16, **QUIET}


def script_lanes(env: Script, lanes: int = 1, max_frames=None, **changes) -> GymLanes:
    recipe = get_recipe("laptop", **{**SCRIPT, **changes})
    return GymLanes(lambda: env, recipe, lanes, max_frames)


# --- frames per step ----------------------------------------------------------------------------


def assert_ten_steps_are_40_frames(lanes, emulator):
    """`emulator()` is ALE's own count, or None where the door hides it."""
    first = lanes.reset(0).emulator_frames.copy()
    own = emulator()
    for _ in range(10):
        lanes.send(np.zeros(lanes.lanes, dtype=np.int64))
        rows = lanes.recv()
        assert rows.emulator_frames.dtype == np.int32
    after = emulator()
    lanes.close()
    assert np.all(rows.emulator_frames - first == 40)
    assert after is None or after - own == 40


def own_count(lanes):
    return lanes._games[0].env.unwrapped.ale.getEpisodeFrameNumber()


@pytest.mark.parametrize("door", DOORS)
def test_01_10_steps_are_40_emulator_frames(door):
    """Pitfall 1: skipping twice (160 frames) or not at all (10)."""
    lanes = open_door(door, **QUIET)
    hidden = partial(own_count, lanes) if door == "gym" else lambda: None
    assert_ten_steps_are_40_frames(lanes, hidden)


def test_01_rejects_a_double_skip_and_none():
    recipe = get_recipe("laptop", door="gym", **QUIET)
    double = GymLanes(lambda: gymnasium.make("ALE/Breakout-v5", frameskip=4), recipe, 1)
    with pytest.raises(AssertionError):
        assert_ten_steps_are_40_frames(double, partial(own_count, double))
    for door in DOORS:
        with pytest.raises(AssertionError):
            lanes = open_door(door, repeat_frames=1, **QUIET)
            assert_ten_steps_are_40_frames(lanes, lambda: None)


# --- sticky actions -----------------------------------------------------------------------------


def assert_sticky_probability_is_honoured(door_with):
    """Without stickiness a seed and actions decide everything; with it the game differs."""
    plain, again, sticky = (play(door_with(p), 60, seed=4) for p in (0.0, 0.0, 0.25))
    assert all(np.array_equal(a.frames, b.frames) for a, b in zip(plain, again, strict=True))
    assert any(not np.array_equal(a.frames, b.frames) for a, b in zip(plain, sticky, strict=True))


@pytest.mark.parametrize("door", DOORS)
def test_02_sticky_actions_are_off_unless_asked_for(door):
    """Pitfall 2: one door of ALE has 0.25 by default, the other 0."""
    assert_sticky_probability_is_honoured(
        lambda p: open_door(door, sticky_probability=p, fire_at_start=True)
    )
    assert get_recipe("laptop").sticky_probability == 0.0


def test_02_rejects_a_door_that_forgets_the_setting():
    with pytest.raises(AssertionError):
        assert_sticky_probability_is_honoured(lambda p: open_door("ale", sticky_probability=0.0))


@pytest.mark.upstream
def test_02_upstream_defaults_of_the_sticky_probability():
    """Pitfall 2: ALE's class has 0, gymnasium's registered ids have 0.25."""
    spec = gymnasium.spec("ALE/Breakout-v5")
    assert spec.kwargs["repeat_action_probability"] == 0.25
    assert gymnasium.spec("BreakoutNoFrameskip-v4").kwargs["repeat_action_probability"] == 0.0
    vector = gymnasium.make_vec("ALE/Breakout-v5", 1)
    assert isinstance(vector.unwrapped, AtariVectorEnv)
    vector.close()


# --- the doors agree ----------------------------------------------------------------------------


def assert_rows_equal(one: list[Rows], two: list[Rows]) -> None:
    """Everything equal, but for the frame of a row that ended a game inside a skip."""
    for step, (a, b) in enumerate(zip(one, two, strict=True)):
        for name in Rows._fields[1:]:
            left, right = getattr(a, name), getattr(b, name)
            assert left.dtype == right.dtype, name
            assert np.array_equal(left, right), (step, name, left, right)
        going_on = ~(a.game_over | a.truncated)
        assert np.array_equal(a.frames[going_on], b.frames[going_on]), (step, "frames")


AGREEMENT = {
    "no fire": QUIET,
    "fire": {"start_noops_max": 0},
    "cut off": {"start_noops_max": 0, "max_frames_per_game": 203},
    "no maximum": {"start_noops_max": 0, "max_over": "none"},
    "skip 1": {"start_noops_max": 0, "repeat_frames": 1},
    "105x80, skip 3": {
        "start_noops_max": 0, "frame_height": 105, "frame_width": 80, "repeat_frames": 3,
    },
}  # fmt: skip


@pytest.mark.parametrize("settings", AGREEMENT.values(), ids=AGREEMENT)
def test_05_the_doors_agree_bit_for_bit(settings):
    """Pitfall 5: the pipeline in Python is the one in C++, frames, rewards and flags alike."""
    long = settings in (AGREEMENT["no fire"], AGREEMENT["fire"])
    steps, lanes = (500, 2) if long else (200, 1)
    ale, gym = (play(open_door(door, lanes, **settings), steps) for door in DOORS)
    assert_rows_equal(ale, gym)
    if long:  # the run must have seen what it compares
        total = [sum(int(getattr(r, f).sum()) for r in ale) for f in ("rewards", "life_lost")]
        assert min(total) > 2
        assert sum(int(r.game_over.sum()) for r in ale) >= 2
    if "max_frames_per_game" in settings:
        assert any(r.truncated.any() for r in ale)


def test_05_agreement_rejects_every_setting_that_differs():
    reference = play(open_door("ale", start_noops_max=0), 80)
    for changes in (
        {"fire_after_life": False},
        {"fire_at_start": False},
        {"max_frames_per_game": 200},
        {"repeat_frames": 3},
        {"resize": "bilinear"},
    ):
        other = play(open_door("gym", **{"start_noops_max": 0, **changes}), 80)
        with pytest.raises(AssertionError):
            assert_rows_equal(reference, other)


def test_05_pong_tells_the_order_of_maximum_and_luminance():
    """Pitfall 5: on Breakout the two orders are equal, so Breakout alone proves nothing."""
    ale = play(open_door("ale", game="pong", **QUIET), 120)
    assert_rows_equal(ale, play(open_door("gym", game="pong", **QUIET), 120))
    with pytest.raises(AssertionError):
        assert_rows_equal(ale, play(open_door("gym", game="pong", max_over="rgb", **QUIET), 120))
    ale = play(open_door("ale", **QUIET), 60)
    assert_rows_equal(ale, play(open_door("gym", max_over="rgb", **QUIET), 60))


# --- a lost life --------------------------------------------------------------------------------

SCORE = slice(2, 6)  # rows of an 84x84 Breakout frame that show score and lives
BRICKS = slice(22, 38)  # and the rows of the wall


def assert_game_goes_on_after_a_life(lanes):
    """Until a wall with a hole has seen a life lost: wall and score stay, the clock runs on."""
    rng = np.random.default_rng(7)
    first = before = lanes.reset(11)
    score = np.zeros(lanes.lanes)
    holes_seen = 0
    try:
        for _ in range(250):
            lanes.send(rng.integers(4, size=lanes.lanes))
            rows = lanes.recv()
            score = np.where(rows.reset_row & ~before.life_lost, 0, score) + rows.rewards
            after_life = before.life_lost & ~rows.game_over
            clock = rows.emulator_frames - before.emulator_frames
            assert np.all(clock[after_life] > 0), "the clock went back"
            for lane in np.flatnonzero(after_life & (score > 0)):
                wall = rows.frames[lane, BRICKS]
                assert not np.array_equal(wall, first.frames[lane, BRICKS]), "a fresh wall"
                if not rows.rewards[lane]:
                    assert np.array_equal(wall, before.frames[lane, BRICKS])
                holes_seen += 1
            assert not np.any(rows.life_lost & (rows.game_over | rows.truncated))
            before = rows
    finally:
        lanes.close()
    assert holes_seen >= 2


@pytest.mark.parametrize("fire", [True, False])
def test_06_a_game_goes_on_after_a_lost_life(fire):
    """Pitfalls 6 and 7: an agent whose game restarts at each life plays the first life only."""
    lanes = open_door("ale", 5, fire_after_life=fire, start_noops_max=0)
    assert_game_goes_on_after_a_life(lanes)


class EpisodicLife(AleLanes):
    """ALE's `episodic_life=True`, with its terminations read as lost lives."""

    def __init__(self, recipe, lanes):
        super().__init__(recipe, lanes)
        self._env.close()
        self._env = AtariVectorEnv(
            "breakout", lanes, stack_num=1, noop_max=1, episodic_life=True, reward_clipping=False
        )

    def recv(self):
        rows = super().recv()
        life = rows.game_over & (self._lives > 0)
        return rows._replace(game_over=rows.game_over & ~life, life_lost=life)


def test_06_rejects_episodic_life():
    recipe = get_recipe("laptop", start_noops_max=0)
    with pytest.raises(AssertionError, match="fresh wall|clock went back"):
        assert_game_goes_on_after_a_life(EpisodicLife(recipe, 5))


@pytest.mark.upstream
def test_06_upstream_what_ale_calls_a_lost_life():
    """Pitfall 6: `episodic_life` restarts the game; `life_loss_info` only calls it terminated."""

    def after_a_life(**options):
        env = AtariVectorEnv("breakout", 1, stack_num=1, noop_max=1, **options)
        env.reset(seed=0)
        rng = np.random.default_rng(0)
        for _ in range(300):
            *_, terminated, _, info = env.step(rng.integers(4, size=1))
            if terminated[0]:
                lives = int(info["lives"][0])
                frames = int(info["episode_frame_number"][0])
                *_, info = env.step(np.zeros(1, np.int64))
                env.close()
                return lives, info["lives"][0], info["episode_frame_number"][0] - frames
        raise AssertionError("no termination")

    lives, then, frames = after_a_life(episodic_life=True)
    assert (lives, then) == (4, 5) and frames < 0
    lives, then, frames = after_a_life(life_loss_info=True)
    assert (lives, then, frames) == (4, 4, 4)


@pytest.mark.upstream
def test_07_upstream_terminal_on_life_loss_needs_a_reset_of_the_whole_game():
    """Pitfall 7: gymnasium's own preprocessing ends the episode, and a reset means a new game."""
    env = AtariPreprocessing(
        gymnasium.make("ALE/Breakout-v5", frameskip=1, repeat_action_probability=0.0),
        noop_max=0,
        terminal_on_life_loss=True,
    )
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    terminated = False
    while not terminated:
        *_, terminated, _, info = env.step(rng.integers(4))
    assert info["lives"] == 4
    _, info = env.reset()
    assert info["lives"] == 5 and info["episode_frame_number"] == 0
    env.close()


def assert_reset_rows_follow_the_rule(rows: list[Rows], fire_after_life: bool):
    """A reset row stands first, after each game's end and, with FIRE, after each lost life."""
    assert rows[0].reset_row.all()
    lives = 0
    for before, row in zip(rows, rows[1:], strict=False):
        expected = before.game_over | before.truncated | (before.life_lost & fire_after_life)
        assert np.array_equal(row.reset_row, expected)
        assert not row.rewards[before.game_over | before.truncated].any()
        lives += int(before.life_lost.sum())
    assert lives > 0


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("fire", [True, False])
def test_08_rows_after_a_life_are_reset_rows_where_fire_is_pressed(door, fire):
    """Pitfalls 8 and 16: the row whose action was replaced is neither a step nor a transition."""
    rows = play(open_door(door, 2, fire_after_life=fire, start_noops_max=0), 150)
    assert_reset_rows_follow_the_rule(rows, fire)
    with pytest.raises(AssertionError):
        assert_reset_rows_follow_the_rule(rows, not fire)


def test_08_fire_replaces_the_agents_action_after_a_life():
    env = Script(lose_at=(6,))
    lanes = script_lanes(env, fire_after_life=True)
    rows = play(lanes, 4, policy=lambda step: 2)
    assert env.log == [[2] * 8 + [1] * 4 + [2] * 4]
    assert [bool(r.life_lost[0]) for r in rows] == [False, False, True, False, False]
    assert [bool(r.reset_row[0]) for r in rows] == [True, False, False, True, False]
    tracker = GameTracker(1)
    for row in rows[1:]:
        tracker.update(row)
    assert tracker._steps[0] == 3


def lives_lost_by_waiting(lanes, steps: int = 450) -> int:
    return sum(int(r.life_lost.sum()) for r in play(lanes, steps, policy=lambda step: 0)[1:])


def assert_the_ball_waits_for_fire(door_with):
    """An agent that does nothing loses exactly the lives for which somebody presses FIRE."""
    assert lives_lost_by_waiting(door_with(False, False), 200) == 0
    assert lives_lost_by_waiting(door_with(True, False), 200) == 1
    rows = play(door_with(True, True), 300, policy=lambda step: 0)
    first_game = rows[: 1 + next(i for i, r in enumerate(rows) if r.game_over[0])]
    assert sum(int(r.life_lost[0]) for r in first_game) == 4  # and the fifth ends the game


@pytest.mark.parametrize("door", DOORS)
def test_08_the_ball_waits_for_fire(door):
    """Pitfall 8: without FIRE nothing happens, for ever."""
    assert_the_ball_waits_for_fire(
        lambda start, life: open_door(
            door, fire_at_start=start, fire_after_life=life, start_noops_max=0
        )
    )


@pytest.mark.parametrize("ignored", ["start", "life"])
def test_08_rejects_a_fire_that_is_not_pressed(ignored):
    with pytest.raises((AssertionError, StopIteration)):
        assert_the_ball_waits_for_fire(
            lambda start, life: open_door(
                "ale",
                fire_at_start=start and ignored != "start",
                fire_after_life=life and ignored != "life",
                start_noops_max=0,
            )
        )


def test_08_no_ops_after_a_life_come_before_fire():
    counts = set()
    for seed in range(60):
        env = Script(lose_at=(4,))
        lanes = script_lanes(env, life_noops_max=5, fire_after_life=True)
        rows = play(lanes, 2, seed=seed, policy=lambda step: 2)
        assert rows[2].reset_row[0]
        start_actions = env.log[0][4:]
        assert start_actions[-4:] == [1] * 4
        assert set(start_actions[:-4]) == {0}
        counts.add(len(start_actions) - 4)
    assert counts == {1, 2, 3, 4, 5}
    env = Script(lose_at=(4,))
    rows = play(script_lanes(env, life_noops_max=1), 2, policy=lambda step: 2)
    assert env.log == [[2] * 4 + [0]] and rows[2].reset_row[0]


def test_16_a_game_that_ends_inside_a_start_row():
    """Pitfall 16: the last life is lost while FIRE is held down; nothing is counted twice."""
    env = Script(lose_at=(4,), over_at=6, rewards={2: 3, 5: 7})
    rows = play(script_lanes(env, fire_after_life=True), 4, policy=lambda step: 2)
    assert [bool(r.life_lost[0]) for r in rows] == [False, True, False, False, True]
    assert [bool(r.game_over[0]) for r in rows] == [False, False, True, False, False]
    assert [bool(r.reset_row[0]) for r in rows] == [True, False, True, True, False]
    assert env.log[0] == [2] * 4 + [1] * 2
    tracker = GameTracker(1)
    finished = [game for row in rows[1:] for game in tracker.update(row)]
    assert len(finished) == 1
    assert (finished[0].score, finished[0].steps, finished[0].frames) == (3.0, 1, 6)


# --- random starts ------------------------------------------------------------------------------


def assert_all_counts_are_hit(frames_at_start: list[int], fire_frames: int):
    counts = np.array(frames_at_start) - fire_frames
    assert set(counts.tolist()) == set(range(31))


@pytest.fixture(scope="module", params=[False, True], ids=["no fire", "fire"])
def ale_starts(request) -> tuple[bool, list[int]]:
    """Frames of the start actions of 300 games, each cut off after one step."""
    lanes = open_door("ale", 4, max_frames_per_game=4, fire_at_start=request.param)
    rows = play(lanes, 150, policy=lambda step: 0)
    return request.param, [int(n) for r in rows for n in r.emulator_frames[r.reset_row]]


def test_09_0_to_30_no_ops_all_happen_at_ales_door(ale_starts):
    """Pitfall 9: off by one at either end; with FIRE, ALE takes one no-op away."""
    fire, starts = ale_starts
    assert_all_counts_are_hit(starts, int(fire))
    for off_by_one in (
        [n - 1 for n in starts if n > fire],
        [n for n in starts if n > fire],
        [n + 1 for n in starts],
        [30 + fire] * len(starts),
    ):
        with pytest.raises(AssertionError):
            assert_all_counts_are_hit(off_by_one, int(fire))


@pytest.mark.parametrize("fire", [False, True])
def test_09_0_to_30_no_ops_all_happen_at_gymnasiums_door(fire):
    env = Script()
    lanes = script_lanes(env, start_noops_max=30, fire_at_start=fire)
    frames = [int(lanes.reset(seed).emulator_frames[0]) for seed in range(400)]
    assert_all_counts_are_hit(frames, int(fire))
    for game, count in zip(env.log, frames, strict=True):
        assert game == [1] * fire + [0] * (count - fire)
    # Games after the first draw anew: a start that repeats its first draw would hide here.
    env = Script(over_at=35)
    lanes = script_lanes(env, start_noops_max=30, fire_at_start=fire)
    rows = play(lanes, 2500, policy=lambda step: 2)
    starts = [int(r.emulator_frames[0]) for r in rows if r.reset_row[0]]
    assert len(starts) > 350
    assert_all_counts_are_hit(starts, int(fire))


@pytest.mark.upstream
def test_09_upstream_noop_max_is_exclusive():
    """Pitfall 9: ALE draws 0 to noop_max - 1, and FIRE takes the place of a no-op."""
    seen = {}
    for fire in (False, True):
        env = AtariVectorEnv(
            "breakout", 2, noop_max=4, use_fire_reset=fire, max_num_frames_per_episode=4
        )
        counts = set(env.reset(seed=0)[1]["episode_frame_number"].tolist())
        for _ in range(25):  # one step, then a reset
            env.step(np.zeros(2, np.int64))
            *_, info = env.step(np.zeros(2, np.int64))
            counts |= set(info["episode_frame_number"].tolist())
        seen[fire] = counts
        env.close()
    assert seen == {False: {0, 1, 2, 3}, True: {1, 2, 3}}


def test_no_ops_that_end_a_game_begin_another():
    env = Script(over_at=3)
    lanes = script_lanes(env, start_noops_max=30)
    for seed in range(20):
        env.log.clear()
        row = lanes.reset(seed)
        assert not row.game_over[0] and not row.truncated[0]
        assert row.emulator_frames[0] == len(env.log[-1]) < 3


# --- actions and rewards ------------------------------------------------------------------------


def assert_action_sets(names):
    assert names("breakout") == ["NOOP", "FIRE", "RIGHT", "LEFT"]
    assert len(names("pong")) == 6
    assert len(names("breakout", True)) == len(names("pong", True)) == 18


def test_10_the_minimal_action_set_is_the_default():
    """Pitfall 10: 18 actions learn more slowly, 6 on Breakout hide a wrong table."""
    assert_action_sets(atari_action_names)
    for full in (False, True):
        names = []
        for door in DOORS:
            lanes = open_door(door, full_action_space=full)
            names.append(lanes.action_names)
            play(lanes, 1, policy=lambda step, full=full: 17 if full else 3)
        assert names[0] == names[1] == atari_action_names("breakout", full)


def test_10_rejects_the_full_set():
    with pytest.raises(AssertionError):
        assert_action_sets(lambda game, full=True: atari_action_names(game, True))


def test_10_actions_count_the_environments_own_space():
    """A wrapper that takes actions away must not leave the network with the old number."""

    class TwoActions(gymnasium.ActionWrapper):
        action_space = gymnasium.spaces.Discrete(2)

        def action(self, action):
            return [2, 3][action]

    recipe = get_recipe("laptop", **{**SCRIPT, "fire_at_start": True})
    env = Script()
    lanes = GymLanes(lambda: TwoActions(env), recipe, 1)
    assert len(lanes.action_names) == 2
    play(lanes, 2, policy=lambda step: 1)
    assert env.log == [[3] * 8], "the first of two actions is no FIRE"


def test_every_game_of_ale_has_gymnasiums_id_or_is_refused():
    """A game's name becomes gymnasium's id; a ROM that ALE cannot load ends the process."""
    missing = {g for g in roms.get_all_rom_ids() if gymnasium_id(g) not in gymnasium.registry}
    assert missing == {"combat", "joust", "maze_craze", "warlords"}  # for two or more players
    for game in missing:
        with pytest.raises(RecipeError, match=f"no game '{game}'"):
            atari_action_names(game)
    assert gymnasium_id("space_invaders") == "ALE/SpaceInvaders-v5"
    assert len(atari_action_names("tic_tac_toe_3d")) > 1


def assert_rewards_are_raw(lanes):
    """Space Invaders pays 5 to 30 points; what the learner sees is clipped later."""
    rows = play(lanes, 150, seed=2)
    points = np.concatenate([r.rewards for r in rows])
    assert points.dtype == np.float32
    assert set(points[points != 0].tolist()) <= {5.0 * n for n in range(1, 60)}
    assert points.max() >= 10


@pytest.mark.parametrize("door", DOORS)
def test_11_rewards_are_raw(door):
    """Pitfall 11: a reward that ALE has clipped cannot give the score back."""
    assert_rewards_are_raw(open_door(door, 2 if door == "gym" else 4, game="space_invaders"))


def test_11_rejects_rewards_that_ale_clipped(monkeypatch):
    def clipping(*args, **options):
        return AtariVectorEnv(*args, **{**options, "reward_clipping": True})

    monkeypatch.setattr(environments, "AtariVectorEnv", clipping)
    with pytest.raises(AssertionError):
        assert_rewards_are_raw(open_door("ale", 4, game="space_invaders"))


def assert_the_sum_of_a_step_is_clipped(seen):
    """`seen(rewards of 4 frames)` is what the learner sees, with a limit of 1."""
    assert seen([0, 7, 0, 0]) == 1.0
    assert seen([0, -7, 0, 0]) == -1.0
    assert seen([1, 1, 1, 1]) == 1.0
    assert seen([5, -5, 0, 0]) == 0.0
    assert seen([7, -1, -1, 0]) == 1.0
    assert seen([0.25, 0.25, 0, 0]) == 0.5


def step_reward(frame_rewards) -> np.ndarray:
    env = Script(rewards=dict(enumerate(frame_rewards, start=1)))
    return play(script_lanes(env), 1, policy=lambda step: 2)[1].rewards


def test_11_clipping_applies_to_the_sum_of_the_repeated_frames():
    """Pitfall 11: keras-rl clips each of the four frames and adds up to 4."""
    assert_the_sum_of_a_step_is_clipped(lambda rewards: clip_reward(step_reward(rewards))[0])
    assert step_reward([0, 7, 0, 0])[0] == 7.0
    assert clip_reward(step_reward([5, 5, 5, 5]), float("inf"))[0] == 20.0
    assert clip_reward(step_reward([5, 5, 5, 5]), 3.0).dtype == np.float32


@pytest.mark.parametrize(
    "broken",
    [
        lambda rewards: sum(np.clip(rewards, -1, 1)),
        lambda rewards: np.clip(rewards, -1, 1).sum().clip(-1, 1),
        lambda rewards: np.sign(sum(rewards)),
        lambda rewards: float(np.clip(rewards[-1], -1, 1)),
    ],
    ids=["per frame", "per frame, then sum", "sign", "last frame"],
)
def test_11_clipping_rejects(broken):
    with pytest.raises(AssertionError):
        assert_the_sum_of_a_step_is_clipped(broken)


# --- the score ----------------------------------------------------------------------------------


def on_screen_score(ram: np.ndarray) -> int:
    """Breakout's score as decimal digits in two bytes."""
    return 100 * (ram[76] & 15) + 10 * (ram[77] >> 4) + (ram[77] & 15)


@pytest.fixture(scope="module")
def one_game():
    """Rows of whole Breakout games in one lane, and the score on the screen at each end."""
    lanes = open_door("gym", start_noops_max=0)
    emulator = lanes._games[0].env.unwrapped.ale
    rng = np.random.default_rng(5)
    rows, scores = [lanes.reset(5)], []
    while len(scores) < 2 or not max(scores[:-1]):
        lanes.send(rng.integers(4, size=1))
        rows.append(lanes.recv())
        if rows[-1].game_over[0]:
            scores.append(int(on_screen_score(emulator.getRAM())))
    lanes.close()
    return rows, scores


def assert_score_is_the_screens(tracker, one_game):
    rows, scores = one_game
    games = [game for row in rows[1:] for game in tracker.update(row)]
    assert [game.score for game in games] == scores
    ends = [int(r.emulator_frames[0]) for r in rows if r.game_over[0]]
    assert [game.frames for game in games] == ends
    steps = sum(not r.reset_row[0] for r in rows)
    assert sum(game.steps for game in games) == steps


def test_12_the_score_of_a_game_is_the_one_on_the_screen(one_game):
    """Pitfall 12: scores per life look five times smaller, clipped ones smaller still."""
    assert_score_is_the_screens(GameTracker(1), one_game)


class PerLife(GameTracker):
    def update(self, rows):
        return super().update(rows._replace(game_over=rows.game_over | rows.life_lost))


class CountsResetRows(GameTracker):
    def update(self, rows):
        return super().update(rows._replace(reset_row=np.zeros_like(rows.reset_row)))


class NeverStartsAnew(GameTracker):
    def update(self, rows):
        score = self._score.copy() + rows.rewards
        games = super().update(rows)
        self._score = score
        return games


@pytest.mark.parametrize("broken", [PerLife, CountsResetRows, NeverStartsAnew])
def test_12_score_rejects(broken, one_game):
    with pytest.raises(AssertionError):
        assert_score_is_the_screens(broken(1), one_game)


def test_12_the_score_is_unclipped():
    env = Script(over_at=8, rewards={2: 7, 5: 4, 6: 4})
    tracker = GameTracker(1)
    rows = play(script_lanes(env), 2, policy=lambda step: 2)
    games = [game for row in rows[1:] for game in tracker.update(row)]
    assert [(g.score, g.steps, g.truncated) for g in games] == [(15.0, 2, False)]


@pytest.mark.upstream
def test_12_upstream_record_episode_statistics_counts_lives():
    """Pitfall 12: gymnasium's wrapper ends its record wherever ALE says terminated."""
    env = gymnasium.wrappers.vector.RecordEpisodeStatistics(
        AtariVectorEnv("breakout", 1, noop_max=1, life_loss_info=True)
    )
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(300):
        *_, info = env.step(rng.integers(4, size=1))
        if "episode" in info:
            break
    env.close()
    assert info["lives"][0] == 4  # an "episode" has ended, the game has not


# --- limits -------------------------------------------------------------------------------------


def assert_cut_games_are_truncated(rows: list[Rows], limit: int, repeat: int = 4):
    """Cut off after `limit` frames that follow the start actions; truncated, not terminated."""
    start, cut = rows[0].emulator_frames.copy(), 0
    for before, row in zip(rows, rows[1:], strict=False):
        first = before.truncated | before.game_over
        start[first] = row.emulator_frames[first]
        assert not np.any(row.truncated & row.game_over)
        played = row.emulator_frames - start
        assert np.array_equal(row.truncated, (played >= limit) & ~row.game_over)
        assert np.all(played < limit + repeat)
        cut += int(row.truncated.sum())
    assert cut >= 2


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("limit", "fire"), [(60, True), (61, False)])
def test_13_the_limit_truncates_and_start_actions_do_not_count(door, limit, fire):
    """Pitfall 13: a cut game that counts as terminated teaches that time is worthless."""
    settings = {"max_frames_per_game": limit, "fire_at_start": fire, "fire_after_life": fire}
    lanes = 2 if door == "ale" else 1
    rows = play(open_door(door, lanes, **settings), 70, seed=1)
    assert len({int(r.emulator_frames[0]) for r in rows if r.truncated[0]}) > 1, "no random start"
    assert_cut_games_are_truncated(rows, limit)
    with pytest.raises(AssertionError):
        assert_cut_games_are_truncated(rows, limit - 4)
    swapped = [r._replace(game_over=r.truncated, truncated=r.game_over) for r in rows]
    with pytest.raises(AssertionError):
        assert_cut_games_are_truncated(swapped, limit)


@pytest.mark.parametrize("fire", [True, False])
def test_13_a_limit_shorter_than_the_random_start(fire):
    """No-ops must not use the limit up before the game begins."""
    env = Script()
    lanes = script_lanes(env, max_frames=8, start_noops_max=30, fire_at_start=fire)
    seen = set()
    for seed in range(30):
        env.log.clear()
        rows = play(lanes, 3, seed=seed, policy=lambda step: 2)
        start = int(rows[0].emulator_frames[0])
        assert not rows[0].truncated[0]
        assert [bool(r.truncated[0]) for r in rows[1:]] == [False, True, False]
        assert env.log[0][start:] == [2] * 8
        seen.add(start)
    assert max(seen) > 8


def test_13_an_environment_that_truncates_by_itself():
    env = Script(cut_at=6)
    rows = play(script_lanes(env), 3, policy=lambda step: 2)
    assert [bool(r.truncated[0]) for r in rows] == [False, False, True, False]
    assert [bool(r.game_over[0]) for r in rows] == [False] * 4
    assert [bool(r.reset_row[0]) for r in rows] == [True, False, False, True]
    assert [len(game) for game in env.log] == [6, 0]


def test_13_the_argument_goes_before_the_recipe():
    for door in DOORS:
        recipe = get_recipe("laptop", door=door, **QUIET)
        rows = play(make_lanes(recipe, 1, max_frames=40), 12, policy=lambda step: 0)
        assert [i for i, r in enumerate(rows) if r.truncated[0]] == [10]


def test_13_gymnasiums_own_limit_is_off():
    env = make_gym_env(get_recipe("laptop"))
    assert env.unwrapped.ale.getInt("max_num_frames_per_episode") == 0
    assert env.spec.max_episode_steps is None
    env.close()


@pytest.mark.upstream
def test_13_upstream_max_num_frames_per_episode_truncates():
    """Pitfall 13: ALE counts frames, not steps, and calls it truncated."""
    env = AtariVectorEnv("breakout", 1, noop_max=1, max_num_frames_per_episode=40)
    env.reset(seed=0)
    flags = [env.step(np.zeros(1, np.int64))[2:4] for _ in range(10)]
    env.close()
    assert [bool(t[0]) for _, t in flags] == [False] * 9 + [True]
    assert not any(t[0] for t, _ in flags)


@pytest.mark.upstream
def test_14_upstream_a_second_frame_skip_is_refused():
    """Pitfall 14: the v5 ids skip four frames by themselves."""
    with pytest.raises(ValueError, match="[Ff]rame.?skip"):
        AtariPreprocessing(gymnasium.make("ALE/Breakout-v5"), frame_skip=4)


class GivesUp:
    """A door that ends the test where an evaluation would hang."""

    def __init__(self, door, most: int):
        self.door, self.left = door, most
        self.lanes, self.reset, self.send = door.lanes, door.reset, door.send

    def recv(self):
        self.left -= 1
        assert self.left >= 0, "the evaluation does not end"
        return self.door.recv()


def assert_evaluation_of_nothing_ends(lanes):
    frame_shape = lanes.reset(0).frames.shape[1:]
    stack = FrameStack(1, frame_shape=frame_shape)
    try:
        result = evaluate(
            GivesUp(lanes, 60), stack, lambda states: np.zeros(1, np.int64), True, seed=0
        )
    finally:
        lanes.close()
    assert (result.scores, result.truncated, result.steps) == ([0.0], 1, [50])


def test_15_an_agent_that_does_nothing_comes_to_an_end():
    """Pitfall 15: without FIRE a greedy agent can wait for ever."""

    def ale(max_frames):
        return make_lanes(get_recipe("laptop", **QUIET), 1, max_frames=max_frames)

    for door in (ale, lambda most: script_lanes(Script(), max_frames=most)):
        assert_evaluation_of_nothing_ends(door(200))
        with pytest.raises(AssertionError, match="does not end"):
            assert_evaluation_of_nothing_ends(door(9_000))


@pytest.mark.upstream
def test_16_upstream_the_row_after_an_end_ignores_its_action():
    """Pitfall 16: NEXT_STEP spends one row per game on the reset."""
    same = []
    for action in (0, 3):
        env = AtariVectorEnv("breakout", 1, noop_max=1, max_num_frames_per_episode=8)
        env.reset(seed=0)
        for _ in range(2):
            env.step(np.zeros(1, np.int64))
        observation, reward, terminated, truncated, info = env.step(np.array([action]))
        assert reward[0] == 0 and not terminated[0] and not truncated[0]
        same.append((observation, info["episode_frame_number"][0]))
        env.close()
    assert np.array_equal(same[0][0], same[1][0]) and same[0][1] == same[1][1]


@pytest.mark.upstream
def test_17_upstream_final_obs_of_same_step():
    """Pitfall 17: SAME_STEP shows the next game already; its last frame hides in the info."""
    env = AtariVectorEnv(
        "breakout", 2, noop_max=1, stack_num=1, autoreset_mode=AutoresetMode.SAME_STEP,
        max_num_frames_per_episode=8,
    )  # fmt: skip
    first, _ = env.reset(seed=np.array([0, 1]))
    fire = np.ones(2, np.int64)
    env.step(fire)
    observation, _, _, truncated, info = env.step(fire)
    env.close()
    assert truncated.all()
    assert np.array_equal(observation, first)
    assert not np.array_equal(info["final_obs"], first)


# --- ownership ----------------------------------------------------------------------------------


def assert_rows_are_never_rewritten(lanes):
    rng = np.random.default_rng(3)
    kept = [lanes.reset(1)]
    copies = [Rows(*(field.copy() for field in kept[0]))]
    for _ in range(100):
        lanes.send(rng.integers(len(lanes.action_names), size=lanes.lanes))
        kept.append(lanes.recv())
        copies.append(Rows(*(field.copy() for field in kept[-1])))
    lanes.close()
    for row, copied in zip(kept, copies, strict=True):
        for name in Rows._fields:
            assert np.array_equal(getattr(row, name), getattr(copied, name)), name
    for one, two in zip(kept, kept[1:], strict=False):
        assert not np.shares_memory(one.frames, two.frames)


@pytest.mark.parametrize("door", DOORS)
def test_27_rows_are_never_rewritten(door):
    """Pitfall 27: a memory that keeps a view of a buffer is filled with the newest frame."""
    assert_rows_are_never_rewritten(open_door(door, 2 if door == "ale" else 1))


class OneBuffer(AleLanes):
    def recv(self):
        rows = super().recv()
        self.buffer = getattr(self, "buffer", rows.frames.copy())
        self.buffer[:] = rows.frames
        return rows._replace(frames=self.buffer)


def test_27_rejects_one_buffer():
    with pytest.raises(AssertionError):
        assert_rows_are_never_rewritten(OneBuffer(get_recipe("laptop"), 2))


@pytest.mark.parametrize("door", DOORS)
def test_27_the_caller_owns_rows_and_actions(door):
    """Writing into what was given, or reusing the array of actions, changes nothing later."""
    clean = play(open_door(door, start_noops_max=0), 60, seed=2)
    lanes = open_door(door, start_noops_max=0)
    rng = np.random.default_rng(2)
    rows = lanes.reset(2)
    seen = [Rows(*(field.copy() for field in rows))]
    for _ in range(60):
        for field in rows:
            field[:] = 1
        actions = rng.integers(4, size=1)
        lanes.send(actions)
        actions[:] = 0
        rows = lanes.recv()
        seen.append(Rows(*(field.copy() for field in rows)))
    lanes.close()
    for one, two in zip(clean, seen, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("repeat", [1, 4])
def test_27_an_environment_that_rewrites_its_own_buffer(repeat):
    """Pitfall 27, one floor below: the frame before must not be overwritten by the last."""
    settings = {"repeat_frames": repeat}
    fresh, reused = (
        play(script_lanes(Script(over_at=50, one_buffer=b), **settings), 30) for b in (False, True)
    )
    for one, two in zip(fresh, reused, strict=True):
        assert np.array_equal(one.frames, two.frames)


# --- what a door refuses, and where it leads ----------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"resize": "bilinear"}, {"max_over": "rgb"}, {"life_noops_max": 31}],
    ids=lambda changes: next(iter(changes)),
)
def test_ales_door_refuses_what_ale_cannot_do(changes):
    with pytest.raises(RecipeError, match=f"{next(iter(changes))}=.*door=gym"):
        open_door("ale", **changes)
    open_door("gym", **changes).close()


@pytest.mark.parametrize("door", DOORS)
def test_an_unknown_game_is_refused_in_one_sentence(door):
    with pytest.raises(RecipeError, match="no game 'Breakout'.*lower case") as error:
        open_door(door, game="Breakout")
    assert "\n" not in str(error.value)


def test_make_lanes_finds_the_door():
    small = get_recipe("laptop", game="chain", **{**QUIET, "repeat_frames": 1, "max_over": "none"})
    for lanes, door in (
        (make_lanes(get_recipe("laptop"), 1), AleLanes),
        (make_lanes(get_recipe("laptop", door="gym"), 1), GymLanes),
        (make_lanes(small, 1), GymLanes),
        (make_lanes(get_recipe("laptop"), 1, on_frame=lambda frame: None), GymLanes),
        (make_lanes(get_recipe("laptop"), 1, make_env=Script), GymLanes),
    ):
        assert type(lanes) is door
        lanes.close()


def test_lanes_have_seeds_of_their_own():
    for door in DOORS:
        lanes = open_door(door, 2, start_noops_max=30)
        starts = {tuple(lanes.reset(seed).emulator_frames.tolist()) for seed in (0, 40)}
        lanes.close()
        assert any(one != two for one, two in starts), door
        assert len(starts) > 1, door


# --- film ---------------------------------------------------------------------------------------


def assert_film_has_the_speed_of_the_console(path, steps: int, repeat: int = 4):
    import cv2

    film = cv2.VideoCapture(str(path))
    frames, fps = film.get(cv2.CAP_PROP_FRAME_COUNT), film.get(cv2.CAP_PROP_FPS)
    ok, picture = film.read()
    film.release()
    assert ok and picture.shape == (210, 160, 3)
    assert frames > 0
    assert abs(frames / fps - steps * repeat / 60) < 1.5 / fps


def test_45_a_film_holds_every_frame_of_the_emulator(tmp_path):
    """Pitfall 45: filming above the frame skip, or at ALE's 30 fps, changes the speed."""
    frames: list[np.ndarray] = []
    recipe = get_recipe("laptop", start_noops_max=0)
    lanes = make_lanes(recipe, 2, on_frame=frames.append)
    rows = play(lanes, 60)
    assert rows[-1].emulator_frames[0] == 241, "choose a seed whose game lasts"
    assert len(frames) == 242  # the first frame, FIRE, 60 steps; of lane 0 alone
    assert {f.shape for f in frames} == {(210, 160, 3)}
    path = write_video(frames[::2], tmp_path / "film.mp4", fps=30)
    assert_film_has_the_speed_of_the_console(path, 60)
    for name, broken in (("skipped", frames[::4]), ("every", frames)):
        path = write_video(broken, tmp_path / f"{name}.mp4", fps=30)
        with pytest.raises(AssertionError):
            assert_film_has_the_speed_of_the_console(path, 60)


def test_45_the_filmed_frames_stay_what_they_were():
    frames: list[np.ndarray] = []
    env = Script(one_buffer=True)
    recipe = get_recipe("laptop", **SCRIPT)
    play(GymLanes(lambda: env, recipe, 1, on_frame=frames.append), 5)
    assert [int(f[0, 0, 0]) for f in frames] == list(range(21))


@pytest.mark.upstream
def test_45_upstream_ales_metadata_says_30_frames_per_second():
    """Pitfall 45: the console runs at 60; `render_fps` is half of that."""
    env = gymnasium.make("ALE/Breakout-v5", frameskip=1)
    assert env.metadata["render_fps"] == 30
    env.close()


def test_every_field_of_a_row_has_the_dtype_of_the_contract():
    for door in DOORS:
        for row in play(open_door(door, 2), 2):
            kinds = {f: getattr(row, f).dtype.name for f in Rows._fields}
            assert kinds == {
                "frames": "uint8", "rewards": "float32", "life_lost": "bool", "game_over": "bool",
                "truncated": "bool", "reset_row": "bool", "emulator_frames": "int32",
                "lives": "int32",
            }  # fmt: skip
            assert row.frames.shape == (2, 84, 84)
            assert all(getattr(row, f).shape == (2,) for f in Rows._fields[1:])
    assert dataclasses.is_dataclass(get_recipe("laptop"))
