"""The training loop: what counts as a step, when updates are due, what the memory is told.

Numbers in docstrings are those of the project's list of pitfalls. Each rule is a function that a
broken loop must fail. The games are scripted: they cost nothing and their every row is known.
"""

import numpy as np
import pytest
import torch
from torch import nn

from dqn_ref.captured import GroupOfUpdates
from dqn_ref.environments import Rows
from dqn_ref.exploration import epsilon_greedy, linear_schedule
from dqn_ref.frames import FrameStack
from dqn_ref.learner import Learner, Metrics
from dqn_ref.recipes import get_recipe
from dqn_ref.replay import FrameRing
from dqn_ref.training import Counters, LoopParts, clip_reward, training_loop

SHAPE = (8, 8)


class ScriptedLanes:
    """Games that last `length + lane` steps; frames count rows, rewards tell the action.

    The reward of a step is `points * (1 + action)`. With `lives`, half of each game is a life.
    """

    action_names = ["NOOP", "FIRE", "LEFT"]

    def __init__(self, lanes, length=10**9, points=1.0, truncates=False, lives=False):
        self.lanes, self.points, self.truncates, self.lives = lanes, points, truncates, lives
        self.lengths = length + np.arange(lanes)
        self.sent = []

    def reset(self, seed):
        self.rows = 0
        self.age = np.zeros(self.lanes, dtype=np.int64)
        self.ended = np.zeros(self.lanes, dtype=bool)
        return self._rows(np.zeros(self.lanes), np.ones(self.lanes, dtype=bool))

    def send(self, actions):
        self.sent.append(np.array(actions))

    def recv(self):
        self.rows += 1
        reset_row = self.ended
        self.age = np.where(reset_row, 0, self.age + 1)
        rewards = np.where(reset_row, 0.0, self.points * (1 + self.sent[-1]))
        return self._rows(rewards, reset_row)

    def _rows(self, rewards, reset_row):
        self.ended = ended = self.age >= self.lengths
        life_lost = (self.age == self.lengths // 2) & ~reset_row & self.lives
        frames = np.full((self.lanes, *SHAPE), self.rows % 251, dtype=np.uint8)
        nothing = np.zeros(self.lanes, dtype=bool)
        over, truncated = (nothing, ended) if self.truncates else (ended, nothing)
        frame_numbers = (4 * self.age).astype(np.int32)
        return Rows(
            frames, rewards.astype(np.float32), life_lost, over, truncated, reset_row,
            frame_numbers, np.zeros(self.lanes, np.int32),
        )  # fmt: skip

    def close(self):
        pass


class StubLearner:
    """Counts what it is asked to do."""

    device = torch.device("cpu")

    def __init__(self):
        self.updates, self.calls = 0, []

    def q_values(self, states):
        return torch.zeros(len(states), 3)

    def update(self, batches):
        self.updates += len(batches)
        self.calls.append(len(batches))
        return [Metrics(torch.tensor(0.5), torch.tensor(1.0)) for _ in batches]


class Nothing:
    """Memory and stack of a loop whose counting alone is tested."""

    current = torch.zeros(1, 4, *SHAPE)

    def begin(self, frames):
        pass

    def add(self, *row):
        pass

    def push(self, frames, starts):
        pass

    def sample(self, batch_size, rng):
        return None


def recipe_of(**changes):
    settings = dict(
        device="cpu", precision="fp32", frame_height=8, frame_width=8, memory_frames=4_000,
        learning_starts=0, n_step=1, batch_size=4, epsilon_start=1.0, epsilon_end=1.0,
        updates_at_once=1,
    )  # fmt: skip
    return get_recipe("laptop", **(settings | changes))


def parts_of(lanes, recipe=None, kind=LoopParts, learner=None, memory=None, stack=None, **pieces):
    recipe = recipe or recipe_of(lanes=lanes.lanes)
    settings = dict(
        recipe=recipe,
        lanes=lanes,
        stack=Nothing() if stack is None else stack,
        memory=Nothing() if memory is None else memory,  # an empty memory is falsy
        learner=learner or StubLearner(),
        epsilon_schedule=linear_schedule,
        epsilon_greedy=epsilon_greedy,
        clip_reward=clip_reward,
        exploration_rng=np.random.default_rng(1),
        sampling_rng=np.random.default_rng(2),
        start_seed=3,
    )
    return kind(**(settings | pieces))


def ring(lanes, recipe):
    return FrameRing(recipe.memory_frames, lanes, SHAPE, recipe.stack_frames, recipe.discount)


def go_on(parts, rows):
    return False


# ---- broken loops --------------------------------------------------------------------------------


class ForgetsTheRemainder(LoopParts):
    """So many updates per turn as whole ones fit; what is left is forgotten."""

    def learn(self):
        super().learn()
        self.counters.steps_owed = 0


class OneGroupPerTurn(LoopParts):
    """As if there were one lane: an update when the counter passes a multiple of four."""

    def learn(self):
        before = self.counters.steps_owed
        steps_per_group = self.recipe.train_every_steps * self.recipe.updates_at_once
        self.counters.steps_owed = min(before, steps_per_group)
        super().learn()


class RoundsUp(LoopParts):
    """A whole group as soon as one update is due: updates come before their steps."""

    def learn(self):
        if self.counters.steps_owed >= self.recipe.train_every_steps:
            group = self.recipe.train_every_steps * self.recipe.updates_at_once
            self.counters.steps_owed = -(-self.counters.steps_owed // group) * group
        super().learn()


class CountsTurns(LoopParts):
    """Steps of the vector, not of the games."""

    def remember(self, actions, rows):
        before = self.counters.steps
        owed = self.counters.steps_owed
        super().remember(actions, rows)
        self.counters.steps = before + 1
        self.counters.steps_owed = owed + 1


class CountsResetRows(LoopParts):
    """The row whose action was ignored passes for a step."""

    def remember(self, actions, rows):
        super().remember(actions, rows)
        resets = int(rows.reset_row.sum())
        self.counters.steps += resets
        self.counters.steps_owed += resets


# ---- steps and updates ---------------------------------------------------------------------------


def check_updates_keep_pace(
    lanes, steps=10_000, kind=LoopParts, learning_starts=0, length=10**9, at_once=1
):
    """One update per four steps, exactly, whatever is still owed; reset rows are no steps."""
    recipe = recipe_of(
        lanes=lanes, updates_at_once=at_once, learning_starts=learning_starts,
        memory_frames=100_000,
    )  # fmt: skip
    games = ScriptedLanes(lanes, length)
    parts, real_steps = parts_of(games, recipe, kind), 0

    def on_step(parts, rows):
        nonlocal real_steps
        real_steps += int((~rows.reset_row).sum())
        counters = parts.counters
        assert counters.steps == real_steps
        answered = counters.updates * recipe.train_every_steps + counters.steps_owed
        assert answered == max(0, real_steps - learning_starts)
        assert 0 <= counters.steps_owed < recipe.train_every_steps * at_once + lanes
        assert counters.updates == parts.learner.updates
        return False

    training_loop(parts, steps, on_step)
    assert steps <= parts.counters.steps < steps + lanes
    assert set(parts.learner.calls) == {at_once}  # whole groups only
    return parts.counters


@pytest.mark.parametrize(
    "lanes, at_once",
    [(1, 1), (3, 1), (4, 1), (8, 1), (128, 1), (1, 7), (3, 2), (8, 2), (16, 4), (128, 32)],
)
def test_one_update_per_four_steps(lanes, at_once):
    """32: for any number of lanes, those that divide 10,000 and those that do not."""
    counters = check_updates_keep_pace(lanes, at_once=at_once)
    assert counters.updates + counters.steps_owed / 4 == counters.steps / 4
    if 10_000 % lanes == 0:
        assert counters.updates + counters.steps_owed // 4 == 2_500


def test_loops_that_lose_or_invent_updates_are_found():
    """32."""
    for kind, lanes, at_once in (
        (ForgetsTheRemainder, 3, 1), (OneGroupPerTurn, 8, 1), (CountsTurns, 8, 1),
        (ForgetsTheRemainder, 16, 3), (OneGroupPerTurn, 16, 3), (RoundsUp, 8, 4),
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            check_updates_keep_pace(lanes, 1_000, kind, at_once=at_once)


@pytest.mark.parametrize("lanes", [1, 8])
def test_reset_rows_are_no_steps(lanes):
    """32: with games of eleven steps every twelfth row is one."""
    counters = check_updates_keep_pace(lanes, 2_000, length=11)
    assert counters.games > 100
    for broken in (CountsResetRows, CountsTurns):
        with pytest.raises(AssertionError):
            check_updates_keep_pace(lanes, 2_000, broken, length=11)


def test_updates_begin_after_learning_starts_steps():
    """32: and no backlog from the warm-up is made up for."""
    counters = check_updates_keep_pace(8, 3_000, learning_starts=1_003)
    assert counters.updates == (3_000 - 1_003) // 4 - counters.steps_owed // 4

    class MakesUpForTheWarmUp(LoopParts):
        def remember(self, actions, rows):
            super().remember(actions, rows)
            if self.counters.updates == 0:
                self.counters.steps_owed = self.counters.steps

    with pytest.raises(AssertionError):
        check_updates_keep_pace(8, 3_000, MakesUpForTheWarmUp, learning_starts=1_003)


class NoGames:
    """A tracker that finds no game, where steps and updates alone are counted."""

    def update(self, rows):
        return []


def check_no_drift(lanes, at_once, steps, kind=LoopParts, learning_starts=3_999):
    """Drive `remember` and `learn` alone; a twentieth of the rows, at random, is no step."""

    class Counts(StubLearner):
        def update(self, batches):
            self.updates += len(batches)
            return []

    recipe = recipe_of(
        lanes=lanes, updates_at_once=at_once, learning_starts=learning_starts,
        memory_frames=100_000,
    )  # fmt: skip
    parts = parts_of(ScriptedLanes(lanes), recipe, kind, Counts(), clip_reward=lambda r, limit: r)
    parts.tracker, counters = NoGames(), parts.counters
    actions, nothing = np.zeros(lanes, np.int64), np.zeros(lanes, dtype=bool)
    frames, no_points = np.zeros((lanes, 1, 1), np.uint8), np.zeros(lanes, np.float32)
    resets = np.random.default_rng(lanes).random((997, lanes)) < 0.05
    no, none = nothing, no_points
    rows = [Rows(frames, none, no, no, no, r, none, none) for r in resets]
    real_steps = turn = 0
    stepped = (~resets).sum(axis=1).tolist()
    while real_steps < steps:
        parts.remember(actions, rows[turn % 997])
        real_steps += stepped[turn % 997]
        parts.learn()
        turn += 1
        due = max(0, real_steps - learning_starts) / recipe.train_every_steps
        assert abs(counters.updates - due) < at_once + lanes / recipe.train_every_steps
    assert counters.steps == real_steps and counters.updates == parts.learner.updates
    assert counters.updates * 4 + counters.steps_owed == real_steps - learning_starts


@pytest.mark.parametrize("lanes, at_once", [(1, 1), (8, 2), (16, 4), (128, 32)])
def test_a_million_steps_bring_no_drift(lanes, at_once):
    """32: a debt that is dropped, with each group or each turn, adds up."""
    check_no_drift(lanes, at_once, 1_000_000)
    for broken in (ForgetsTheRemainder, CountsResetRows):
        with pytest.raises(AssertionError):
            check_no_drift(lanes, at_once, 50_000, broken)


def test_train_every_steps_is_honoured():
    for every in (1, 5, 16):
        recipe = recipe_of(lanes=2, train_every_steps=every, target_every_steps=every)
        parts = parts_of(ScriptedLanes(2), recipe)
        training_loop(parts, 1_600, go_on)
        assert parts.counters.updates + parts.counters.steps_owed // every == 1_600 // every


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4 * 64, 3)

    def forward(self, states):
        return self.layer(states.float().flatten(1) / 255)


class NotedGroup(GroupOfUpdates):
    """Notes after how many updates a group was made in one go."""

    def __call__(self, rng):
        self.calls = [*getattr(self, "calls", []), self.learner.updates]
        return super().__call__(rng)


def copies_of(lanes, at_once, captured=False, kind=LoopParts):
    """After which updates the target was copied, in about 800 steps; the group, if there is."""
    copies = []
    recipe = recipe_of(
        lanes=lanes, updates_at_once=at_once, target_every_steps=80, train_every_steps=4
    )

    def note(online, target, tau):
        copies.append(learner.updates)

    learner = Learner(recipe, Linear(), copy_target=note)
    memory, stack = ring(lanes, recipe), FrameStack(lanes, 4, SHAPE)
    group = NotedGroup(memory, learner, at_once, recipe.batch_size) if captured else None
    parts = parts_of(ScriptedLanes(lanes, 50), recipe, kind, learner, memory, stack, captured=group)
    training_loop(parts, 800 + 2 * lanes + 4 * at_once, go_on)
    assert parts.counters.updates == learner.updates
    return copies[:10], group


@pytest.mark.parametrize("lanes, at_once", [(1, 1), (8, 1), (8, 3)])
def test_the_target_network_moves_in_steps_not_in_turns(lanes, at_once):
    """32: with a copy every 80 steps, after 200 updates there were 10."""
    assert copies_of(lanes, at_once)[0] == [20 * n for n in range(1, 11)]


class AlwaysInOneGo(LoopParts):
    def _learn_group(self):
        return self.captured(self.sampling_rng)


def test_a_copy_in_the_midst_of_a_group_takes_the_eager_path():
    """32, 38: a graph cannot copy; made in one go, 20 is no multiple of 3 and no copy comes."""
    copies, group = copies_of(8, 3, captured=True)
    assert copies == [20 * n for n in range(1, 11)]
    updates = range(0, 198, 3)
    whole = [u for u in updates if u % 20 <= 17]  # no copy, or one just after
    assert group.calls[: len(whole)] == whole and len(whole) < len(updates)
    assert copies_of(8, 3, captured=True, kind=AlwaysInOneGo)[0] != copies


# ---- counters ------------------------------------------------------------------------------------


def check_counters_cannot_wrap(counters):
    for name, value in vars(counters).items():
        assert type(value) is int, f"{name} is a {type(value).__name__}"
    parts = parts_of(ScriptedLanes(4, 7))
    parts.counters = counters
    counters.steps = 32_765 * counters.steps.__class__(1)
    training_loop(parts, 32_800, go_on)
    assert parts.counters.steps >= 32_800
    for name, value in vars(parts.counters).items():
        assert type(value) is int, f"{name} became a {type(value).__name__}"


def test_counters_are_python_integers():
    """42: keras-rl's int16 wraps at 32,767."""
    check_counters_cannot_wrap(Counters())
    with pytest.raises(AssertionError):
        check_counters_cannot_wrap(Counters(steps=np.int16(0)))
    with pytest.raises(AssertionError):
        check_counters_cannot_wrap(Counters(steps=np.int64(0)))


def test_games_are_counted_and_handed_out_once():
    """12, 42: in the step in which they end."""
    parts, seen = parts_of(ScriptedLanes(2, 5)), []

    def on_step(parts, rows):
        ended = np.flatnonzero(rows.game_over | rows.truncated).tolist()
        assert [game.lane for game in parts.finished] == ended
        seen.extend(parts.finished)
        return False

    training_loop(parts, 200, on_step)
    assert parts.counters.games == len(seen) > 20
    assert {(game.lane, game.steps) for game in seen} == {(0, 5), (1, 6)}


def test_the_loop_ends_when_asked():
    parts = parts_of(ScriptedLanes(4))
    training_loop(parts, 10**9, lambda parts, rows: parts.counters.steps >= 40)
    assert parts.counters.steps == 40


# ---- exploration in the loop ---------------------------------------------------------------------


def check_epsilon_counts_steps(kind):
    """Lane i of turn t takes step t * L + i; eight lanes anneal as fast as one."""
    recipe = recipe_of(
        lanes=8, epsilon_start=1.0, epsilon_end=0.0, epsilon_decay_steps=800,
        epsilon_delay_steps=80, learning_starts=2_000,
    )  # fmt: skip
    seen = []

    def note(q_values, epsilon, rng):
        seen.append(np.broadcast_to(epsilon, 8).copy())
        return epsilon_greedy(q_values, epsilon, rng)

    parts = parts_of(ScriptedLanes(8), recipe, kind, epsilon_greedy=note)
    training_loop(parts, 1_600, go_on)
    steps = np.arange(1_600)
    expected = np.interp(steps, [80, 880], [1.0, 0.0])
    np.testing.assert_allclose(np.concatenate(seen), expected, atol=1e-9)


class EpsilonPerTurn(LoopParts):
    """Decays once per step of the vector: eight times too slowly."""

    def epsilon(self):
        recipe = self.recipe
        return self.epsilon_schedule(
            np.full(8, self.counters.steps // 8), recipe.epsilon_start, recipe.epsilon_end,
            recipe.epsilon_decay_steps, recipe.epsilon_delay_steps,
        )  # fmt: skip


class OneEpsilonForAll(LoopParts):
    def epsilon(self):
        return np.full(8, super().epsilon()[0])


def test_epsilon_decays_per_step_not_per_turn():
    """35."""
    check_epsilon_counts_steps(LoopParts)
    for broken in (EpsilonPerTurn, OneEpsilonForAll):
        with pytest.raises(AssertionError):
            check_epsilon_counts_steps(broken)


def test_the_network_is_asked_only_when_someone_may_listen():
    """While epsilon is 1 nobody looks at the values; a draw is made all the same."""
    asked = []

    class Asked(StubLearner):
        def q_values(self, states):
            asked.append(parts.counters.steps)
            return super().q_values(states)

    recipe = recipe_of(lanes=4, epsilon_end=0.5, epsilon_decay_steps=100, epsilon_delay_steps=40)
    stack = FrameStack(4, 4, SHAPE)
    parts = parts_of(ScriptedLanes(4), recipe, learner=Asked(), stack=stack)
    training_loop(parts, 100, go_on)
    assert asked == list(range(40, 100, 4))


# ---- what the memory is told ---------------------------------------------------------------------


def check_memory_matches_the_games(loop=training_loop, kind=LoopParts):
    """Row by row: frame shown, action sent there, its reward, what came next."""
    recipe = recipe_of(lanes=2, terminal_on_life_loss=False, reward_clip=2.0, train_every_steps=64,
                       target_every_steps=64)  # fmt: skip
    games, memory = ScriptedLanes(2, 9), ring(2, recipe)
    stack = FrameStack(2, 4, SHAPE)
    parts = parts_of(games, recipe, kind, memory=memory, stack=stack)
    loop(parts, 200, go_on)
    batch = memory.gather(torch.arange(len(memory)))
    position = 0
    ages, lengths = np.zeros(2, int), games.lengths
    for turn, actions in enumerate(games.sent):
        for lane in range(2):
            if ages[lane] == lengths[lane]:  # a reset row: nothing may be stored
                ages[lane] = 0
                continue
            ages[lane] += 1
            assert int(batch.states[position, -1, 0, 0]) == turn
            assert int(batch.next_states[position, -1, 0, 0]) == turn + 1
            assert int(batch.actions[position]) == actions[lane]
            assert float(batch.rewards[position]) == min(2.0, 1.0 + actions[lane])
            assert bool(batch.terminated[position]) == (ages[lane] == lengths[lane])
            position += 1
    assert position == len(memory)


def rewards_one_row_late(parts, total_steps, on_step):
    parts.start()
    late = np.zeros(parts.lanes.lanes, np.float32)
    while parts.counters.steps < total_steps:
        actions = parts.act()
        parts.lanes.send(actions)
        parts.learn()
        rows = parts.lanes.recv()
        parts.remember(actions, rows._replace(rewards=late))
        late = rows.rewards


def actions_one_row_early(parts, total_steps, on_step):
    parts.start()
    actions = parts.act()
    while parts.counters.steps < total_steps:
        parts.lanes.send(actions)
        parts.learn()
        rows = parts.lanes.recv()
        following = parts.act()
        parts.remember(following, rows)
        actions = following


class StoresResetRows(LoopParts):
    def remember(self, actions, rows):
        super().remember(actions, rows._replace(reset_row=np.zeros_like(rows.reset_row)))


class ForgetsGameOver(LoopParts):
    def remember(self, actions, rows):
        super().remember(actions, rows._replace(game_over=np.zeros_like(rows.game_over)))


def test_the_memory_holds_what_happened():
    """24, 16: action, reward and end beside the frame they belong to; no reset rows."""
    check_memory_matches_the_games()
    for loop in (rewards_one_row_late, actions_one_row_early):
        with pytest.raises(AssertionError):
            check_memory_matches_the_games(loop)
    for kind in (StoresResetRows, ForgetsGameOver):
        with pytest.raises(AssertionError):
            check_memory_matches_the_games(kind=kind)


def check_lives(kind, terminal):
    recipe = recipe_of(lanes=1, terminal_on_life_loss=terminal)
    memory, stack = ring(1, recipe), FrameStack(1, 4, SHAPE)
    games = ScriptedLanes(1, 12, lives=True)
    parts, ends = parts_of(games, recipe, kind, memory=memory, stack=stack), []

    def on_step(parts, rows):
        if rows.life_lost[0]:  # does the next stack begin here?
            ends.append(not parts.stack.current[0, :-1].any())
        return False

    training_loop(parts, 36, on_step)
    terminated = memory.gather(torch.arange(len(memory))).terminated
    assert int(terminated.sum()) == (6 if terminal else 3)
    assert ends == [terminal] * 3
    assert parts.counters.games == 3  # a life is no game


class LivesNeverEnd(LoopParts):
    def remember(self, actions, rows):
        super().remember(actions, rows._replace(life_lost=np.zeros_like(rows.life_lost)))


class LivesAlwaysEnd(LoopParts):
    def remember(self, actions, rows):
        super().remember(actions, rows._replace(game_over=rows.game_over | rows.life_lost))


def test_a_lost_life_ends_the_episode_only_where_the_recipe_says_so():
    """6, 18: for memory and stack alike; the game and its score go on."""
    for terminal in (True, False):
        check_lives(LoopParts, terminal)
    with pytest.raises(AssertionError):
        check_lives(LivesNeverEnd, True)
    with pytest.raises(AssertionError):
        check_lives(LivesAlwaysEnd, False)


def test_truncated_games_are_stored_as_not_terminated():
    """28, 13."""
    recipe = recipe_of(lanes=1)

    def terminated(kind):
        memory = ring(1, recipe)
        parts = parts_of(ScriptedLanes(1, 6, truncates=True), recipe, kind, memory=memory)
        training_loop(parts, 60, go_on)
        assert len(memory) == 60
        return int(memory.gather(torch.arange(60)).terminated.sum())

    class TruncationIsTheEnd(LoopParts):
        def remember(self, actions, rows):
            super().remember(actions, rows._replace(game_over=rows.game_over | rows.truncated))

    assert terminated(LoopParts) == 0
    assert terminated(TruncationIsTheEnd) == 10


# ---- rewards and scores --------------------------------------------------------------------------


def check_clipping(clip):
    raw = np.array([-7.0, -1.0, -0.25, 0.0, 0.5, 4.0], np.float32)
    kept = raw.copy()
    assert clip(raw, 1.0).tolist() == [-1.0, -1.0, -0.25, 0.0, 0.5, 1.0]
    assert clip(raw, 2.5).tolist() == [-2.5, -1.0, -0.25, 0.0, 0.5, 2.5]
    assert clip(raw, float("inf")).tolist() == kept.tolist()
    assert clip(raw, 1.0).dtype == np.float32 and np.array_equal(raw, kept)


def test_rewards_are_clipped_not_signed():
    """11."""
    check_clipping(clip_reward)
    for broken in (
        lambda r, limit: np.sign(r),
        lambda r, limit: np.clip(r, -1, 1),
        lambda r, limit: np.clip(r, 0, limit).astype(np.float32),
        lambda r, limit: np.clip(r, -limit, limit, out=r),
    ):
        with pytest.raises(AssertionError):
            check_clipping(broken)


def check_scores_are_the_games_points(kind):
    recipe = recipe_of(lanes=2, reward_clip=1.0)
    games = ScriptedLanes(2, 6, points=7.0)
    memory = ring(2, recipe)
    parts, scores = parts_of(games, recipe, kind, memory=memory), []
    training_loop(parts, 100, lambda parts, rows: scores.extend(parts.finished))
    expected, running = [], np.zeros(2)
    age = np.zeros(2, int)
    for actions in games.sent:
        for lane in range(2):
            if age[lane] == games.lengths[lane]:
                age[lane] = 0
                continue
            age[lane] += 1
            running[lane] += 7.0 * (1 + actions[lane])
            if age[lane] == games.lengths[lane]:
                expected.append((lane, running[lane]))
                running[lane] = 0
    assert [(game.lane, game.score) for game in scores] == expected
    assert memory.gather(torch.arange(len(memory))).rewards.max() == 1.0


class ScoresWhatTheLearnerSees(LoopParts):
    def remember(self, actions, rows):
        super().remember(actions, rows._replace(rewards=np.clip(rows.rewards, -1, 1)))


def test_the_score_is_unclipped_and_the_learner_sees_clipped_rewards():
    """11, 12, 44."""
    check_scores_are_the_games_points(LoopParts)
    with pytest.raises(AssertionError):
        check_scores_are_the_games_points(ScoresWhatTheLearnerSees)


def check_learning_happens_while_the_emulators_run(loop):
    order = []

    class Noted(ScriptedLanes):
        def send(self, actions):
            order.append("send")
            super().send(actions)

        def recv(self):
            order.append("recv")
            return super().recv()

    class NotedLearner(StubLearner):
        def update(self, batches):
            order.append("learn")
            return super().update(batches)

    loop(parts_of(Noted(4), learner=NotedLearner()), 40, go_on)
    # Nothing is due in the first turn.
    assert order == ["send", "recv"] + ["send", "learn", "recv"] * 9


def test_updates_run_between_send_and_recv():
    def learns_afterwards(parts, total_steps, on_step):
        parts.start()
        while parts.counters.steps < total_steps:
            actions = parts.act()
            parts.lanes.send(actions)
            rows = parts.lanes.recv()
            parts.remember(actions, rows)
            parts.learn()

    check_learning_happens_while_the_emulators_run(training_loop)
    with pytest.raises(AssertionError):
        check_learning_happens_while_the_emulators_run(learns_afterwards)


def test_a_seed_fixes_a_run_and_seeds_differ():
    def trace(seed):
        torch.manual_seed(seed)
        recipe = recipe_of(lanes=2, epsilon_end=0.1, epsilon_decay_steps=50)
        learner = Learner(recipe, Linear())
        parts = parts_of(
            ScriptedLanes(2, 9), recipe, learner=learner, memory=ring(2, recipe),
            stack=FrameStack(2, 4, SHAPE), exploration_rng=np.random.default_rng(seed),
            sampling_rng=np.random.default_rng(seed + 1),
        )  # fmt: skip
        losses = []
        training_loop(
            parts, 200, lambda parts, rows: losses.extend(m.loss.item() for m in parts.metrics)
        )
        return losses

    assert trace(0) == trace(0)
    assert trace(0) != trace(1)
