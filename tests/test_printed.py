"""The old notebooks' logs: what is summed over which steps, mended numbers and artefacts."""

import csv
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dqn_ref import learner as learner_module
from dqn_ref import printed, runs
from dqn_ref.environments import Rows
from dqn_ref.evaluation import Game
from dqn_ref.learner import Diagnostics, LearnerParts, Metrics, huber_loss, td_targets
from dqn_ref.recipes import get_recipe
from dqn_ref.replay import Batch

SMALL = dict(
    game="gallery", door="gym", repeat_frames=1, max_over="none", start_noops_max=0,
    frame_height=20, frame_width=20, architecture="mnih2013", lanes=2, batch_size=8,
    memory_frames=2_000, learning_starts=20, total_steps=120, log_every_steps=30,
    checkpoint_every_steps=60, device="cpu", precision="fp32", threads=1,
    target_every_steps=40, epsilon_decay_steps=100, updates_at_once=1, n_step=1,
)  # fmt: skip


def rows_of(recipe, lives, resets, rewards=0.0, grey=0):
    lanes = recipe.lanes
    no = np.zeros(lanes, bool)
    return Rows(
        np.full((lanes, 2, 2), grey, np.uint8), np.full(lanes, rewards, np.float32), no, no, no,
        np.array(resets), np.zeros(lanes, np.int32), np.array(lives, np.int32),
    )  # fmt: skip


def parts_of(steps, epsilon, finished=(), metrics=(), actions=(0, 0)):
    return SimpleNamespace(
        counters=SimpleNamespace(steps=steps), finished=list(finished), metrics=list(metrics),
        epsilon=lambda: np.array(epsilon), actions=np.array(actions),
    )  # fmt: skip


def update(loss, *diagnostics):
    return Metrics(
        torch.tensor(loss), torch.tensor(0.0), Diagnostics(*map(torch.tensor, diagnostics))
    )


def rows_in(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_an_interval_sums_what_happened_in_it_and_nothing_else(tmp_path):
    """Bugs: rows a door ignored are counted; the last interval's games stay; one update counts
    for the whole; lives are summed over repetitions."""
    recipe = get_recipe("notebook_b", lanes=2, log_every_steps=4)
    lines = []
    log = printed.open_printed_log(tmp_path, recipe, 0, lines.append)
    game = Game(0, 7.0, 3, 12, False)
    better = Game(1, 2.0, 3, 12, False)
    log.on_step(
        parts_of(2, (0.9, 0.7), [game, better], [update(1.0, 10.0, 0.5, 9.0, 8.0, 7.0)]),
        rows_of(recipe, (5, 4), (False, False)),
    )
    log.on_step(
        parts_of(3, (0.5, 99.0), metrics=[update(3.0, 20.0, 1.5, 9.0, 10.0, 7.0)]),
        rows_of(recipe, (3, 99), (False, True)),
    )
    assert not lines
    log.on_step(parts_of(5, (0.3, 0.1)), rows_of(recipe, (3, 3), (False, False)))
    log.on_step(parts_of(7, (0.2, 0.2)), rows_of(recipe, (1, 1), (False, False)))
    log.on_step(parts_of(9, (0.2, 0.2)), rows_of(recipe, (2, 2), (False, False)))
    log.close()
    first, second = rows_in(tmp_path / "intervals.csv")
    wanted = dict(
        agent_steps=5, interval=1, steps_before=0, episodes=2, reward_mean=4.5, reward_min=2,
        reward_max=7, loss=2, mean_absolute_error=1, mean_q=15, mean_eps=0.5, ale_lives=3.6,
        mean_absolute_artefact=9, ale_lives_artefact=7.2,
    )  # fmt: skip
    assert {name: float(value) for name, value in first.items()} == wanted
    assert second["episodes"] == "0" and second["reward_mean"] == second["loss"] == ""
    assert float(second["mean_eps"]) == 0.2 and float(second["ale_lives"]) == 1.5
    assert second["interval"] == "2" and second["steps_before"] == "4"
    assert lines[0] == (
        "Interval 1 (0 steps performed): 2 episodes - episode_reward: 4.500 [2.000, 7.000] - "
        "loss: 2.000 - mean_absolute_error: 1.000 - mean_q: 15.000 - mean_eps: 0.500 - "
        "ale_lives: 3.600"
    )
    assert lines[1] == (
        "Interval 2 (4 steps performed): 0 episodes - mean_eps: 0.200 - ale_lives: 1.500"
    )


def test_artefacts_are_printed_on_request_only(tmp_path):
    """Bug: the old numbers stand in the line under the true ones' names."""
    recipe = get_recipe("notebook_b", log_every_steps=2, print_artefacts=True)
    lines = []
    log = printed.open_printed_log(tmp_path, recipe, 0, lines.append)
    log.on_step(
        parts_of(2, (0.9,), metrics=[update(1.0, 10.0, 0.5, 9.0, 8.0, 7.0)]),
        rows_of(recipe, (5,), (False,)),
    )
    log.close()
    assert lines[0].endswith(
        "ale_lives: 5.000 - mean_absolute_artefact: 8.000 - ale_lives_artefact: 10.000"
    )


def test_a_game_has_the_spans_of_its_own_lane(tmp_path):
    """Bugs: lanes are mixed; a game begins with the last one's actions; reset rows count."""
    recipe = get_recipe("notebook_a", lanes=2)
    lines = []
    log = printed.open_printed_log(tmp_path, recipe, 0, lines.append)
    none = (False, False)
    log.on_step(parts_of(2, (1.0, 1.0), actions=(3, 0)), rows_of(recipe, (5, 5), none, 4.0, 10))
    log.on_step(
        parts_of(4, (0.5, 0.5), [Game(0, 4.0, 2, 8, False)],
                 [update(6.0, 2.0, 1.0, 12.0, 0.0, 34.0)], (1, 0)),
        rows_of(recipe, (5, 5), none, 0.0, 30),
    )  # fmt: skip
    log.on_step(
        parts_of(5, (0.5, 0.5), actions=(2, 2)),
        rows_of(recipe, (5, 5), (True, False), 9.0, 200),
    )
    log.on_step(
        parts_of(7, (0.5, 0.5), [Game(0, 1.0, 1, 8, False), Game(1, 0.0, 4, 8, True)],
                 actions=(1, 1)),
        rows_of(recipe, (5, 5), none, 0.0, 40),
    )  # fmt: skip
    log.close()
    first, second, third = rows_in(tmp_path / "episodes.csv")
    wanted = dict(
        agent_steps=4, episode=1, episode_steps=2, episode_reward=4, reward_mean=2, reward_min=0,
        reward_max=4, action_mean=2, action_min=1, action_max=3, observation_mean=20,
        observation_min=10, observation_max=30, loss=6, mean_squared_error=12, mean_q=2,
        mean_eps=0.75, mean_squared_artefact=34,
    )  # fmt: skip
    found = {name: float(value) for name, value in first.items() if name in wanted}
    assert found == wanted
    assert float(second["observation_mean"]) == 40 and float(second["action_mean"]) == 1
    assert float(third["observation_mean"]) == (10 + 30 + 200 + 40) / 4
    assert (second["episode"], third["episode"]) == ("2", "3") and second["loss"] == ""
    assert lines[0].startswith("4/500000: episode: 1, duration: ")
    assert "mean action: 2.000 [1.000, 3.000], mean observation: 20.000" in lines[0]


def test_no_log_without_a_wish(tmp_path):
    assert printed.open_printed_log(tmp_path, get_recipe("laptop"), 0, print) is None
    assert not list(tmp_path.iterdir())


# ---- diagnostics of an update --------------------------------------------------------------------


class Table(torch.nn.Module):
    """Q-values that are what the states say."""

    def __init__(self, values):
        super().__init__()
        self.values = torch.nn.Parameter(values)

    def forward(self, states):
        return self.values[states[:, 0]]


def diagnosed(diagnose=True):
    rng = np.random.default_rng(0)
    q, rewards = rng.normal(size=(6, 4)).astype(np.float32), rng.normal(size=6).astype(np.float32)
    actions = rng.integers(4, size=6)
    network = Table(torch.tensor(q))
    batch = Batch(
        torch.arange(6)[:, None], torch.from_numpy(actions), torch.from_numpy(rewards),
        torch.full((6,), 0.9), torch.ones(6, dtype=torch.bool), torch.arange(6)[:, None],
    )  # fmt: skip
    parts = LearnerParts(
        network, network, torch.optim.SGD(network.parameters(), lr=0.1), td_targets, huber_loss,
        math.inf, "mean", False, diagnose,
    )  # fmt: skip
    return q, actions, rewards, learner_module.training_step(parts, batch)


def test_errors_are_true_and_artefacts_are_keras_rls():
    """By hand, in NumPy: keras-rl subtracts from all values a table of targets that is zero but
    for the action taken, and takes the mean over all of it."""
    q, actions, rewards, metrics = diagnosed()
    found = metrics.diagnostics
    taken = q[np.arange(6), actions] - rewards  # every state is terminal: the reward is the target
    table = np.zeros((6, 4), np.float32)
    table[np.arange(6), actions] = rewards
    assert found.q_max.item() == pytest.approx(q.max(axis=1).mean(), rel=1e-6)
    assert found.absolute_error.item() == pytest.approx(np.abs(taken).mean(), rel=1e-6)
    assert found.squared_error.item() == pytest.approx((taken**2).mean(), rel=1e-6)
    assert found.absolute_artefact.item() == pytest.approx(np.abs(q - table).mean(), rel=1e-6)
    assert found.squared_artefact.item() == pytest.approx(((q - table) ** 2).mean(), rel=1e-6)
    assert metrics.loss.item() == pytest.approx(0.5 * (taken**2).mean(), rel=1e-6)


def test_nothing_is_diagnosed_without_a_wish():
    """Bug: every update of every run pays for five numbers that nobody reads."""
    assert diagnosed(diagnose=False)[-1].diagnostics is None


# ---- in a run ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, file", [("interval", "intervals"), ("episode", "episodes")])
def test_a_resumed_run_goes_on_with_its_log(tmp_path, capsys, kind, file):
    """Bugs: a resume begins at interval 1 again, or writes a row twice."""
    recipe = get_recipe("laptop", **SMALL, print_log=kind)
    runs.train(recipe, tmp_path / "run")
    longer = runs.resume_recipe(tmp_path / "run", total_steps=240)
    runs.train(longer, tmp_path / "run", resume=True)
    rows = rows_in(tmp_path / "run" / f"{file}.csv")
    numbers = [int(row[kind]) for row in rows]
    assert numbers == list(range(1, len(rows) + 1))
    steps = [int(row["agent_steps"]) for row in rows]
    assert steps == sorted(steps) and steps[-1] > 200
    out = capsys.readouterr().out
    pattern = r"^Interval \d+ \(" if kind == "interval" else r"^\d+/\d+: episode: \d+, duration"
    assert len(re.findall(pattern, out, re.MULTILINE)) == len(rows)


def test_a_quiet_run_keeps_the_log_and_prints_nothing(tmp_path, capsys):
    recipe = get_recipe("laptop", **SMALL, print_log="interval")
    runs.train(recipe, tmp_path / "run", show_bar=False)
    assert capsys.readouterr().out == ""
    rows = rows_in(tmp_path / "run" / "intervals.csv")
    assert len(rows) == 4 and float(rows[-1]["loss"]) > 0 and float(rows[-1]["mean_q"]) != 0
