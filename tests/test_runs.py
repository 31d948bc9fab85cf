"""Runs: what they leave behind, how they end, and how they go on after a kill at any moment.

Each rule is a function that a broken variant must fail.
"""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import dqn_ref
from dqn_ref import agents, checkpoints, environments, runs
from dqn_ref.checkpoints import CheckpointError
from dqn_ref.environments import make_lanes
from dqn_ref.evaluation import Evaluation
from dqn_ref.hardware import PrecisionChoice, autocast
from dqn_ref.learner import Learner, Metrics, targets_of, training_step
from dqn_ref.pieces import Pieces
from dqn_ref.recipes import Recipe, RecipeError, get_recipe
from dqn_ref.reporting import RunError, read_rows
from dqn_ref.training import training_loop

SMALL = dict(
    game="gallery", door="gym", repeat_frames=1, max_over="none", start_noops_max=0,
    frame_height=20, frame_width=20, architecture="mnih2013", lanes=2, batch_size=8,
    memory_frames=2_000, learning_starts=100, total_steps=400, log_every_steps=50,
    checkpoint_every_steps=100, device="cpu", precision="fp32", threads=1,
    target_every_steps=40, epsilon_decay_steps=200, updates_at_once=1,
    n_step=1,
)  # fmt: skip


def small(**changes):
    return get_recipe("laptop", **(SMALL | changes))


def train(folder, recipe=None, **options):
    return runs.train(recipe or small(), folder, show_bar=False, **options)


def counters_in(folder):
    return checkpoints.load_tensors(folder / runs.CHECKPOINT_FILE)[1]["counters"]


def weights(parts):
    return torch.cat([p.detach().flatten() for p in parts.learner.online.parameters()])


def check_log(folder, total, every=None):
    """Steps rise without repeats, updates and games never fall, nothing lies beyond the end."""
    rows = read_rows(folder / "log.csv")
    steps = [int(row["agent_steps"]) for row in rows]
    assert steps == sorted(set(steps)), steps
    assert steps and steps[-1] <= total
    if every:
        assert {step // every for step in steps} >= set(range(1, total // every + 1))
    for column in ("updates", "episodes", "wall_seconds"):
        values = [float(row[column]) for row in rows]
        assert values == sorted(values), (column, values)
    games = [int(row["agent_steps"]) for row in read_rows(folder / "games.csv")]
    assert games == sorted(games) and all(step <= total for step in games)
    assert int(rows[-1]["episodes"]) <= len(games)
    return rows


# ---- a run and what it leaves --------------------------------------------------------------------


def test_a_run_leaves_recipe_log_checkpoint_and_weights(tmp_path):
    parts = train(tmp_path / "run", small(total_steps=350))
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        "recipe.json", "log.csv", "games.csv", "tensorboard", "checkpoint.safetensors",
        "weights.safetensors", "machines.jsonl",
    }  # fmt: skip
    check_log(tmp_path / "run", 351, every=50)  # two lanes: one step more at most
    assert counters_in(tmp_path / "run") == dataclasses.asdict(parts.counters)
    recipe = Recipe.load(tmp_path / "run" / "recipe.json")
    assert recipe == small(total_steps=350)
    recipe, learner = agents.load_agent(tmp_path / "run")
    kept = torch.cat([p.detach().flatten() for p in learner.online.parameters()])
    assert torch.equal(kept, weights(parts))


def test_what_was_chosen_is_written_down(tmp_path):
    train(tmp_path, small(device="auto", precision="auto", total_steps=4))
    recipe = Recipe.load(tmp_path / "recipe.json")
    assert recipe.device in ("cpu", "cuda") and recipe.precision in ("fp32", "bf16")
    train(tmp_path, runs.resume_recipe(tmp_path, total_steps=8), resume=True)
    lines = (tmp_path / runs.MACHINES_FILE).read_text().splitlines()
    first, again = map(json.loads, lines)  # a line for each time that the run was started
    assert first["device"] == recipe.device and first["precision"] == recipe.precision
    assert first | {"precision_reason": "as the recipe says"} == again


def files_of(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def check_nothing_is_overwritten(action, folder):
    before = files_of(folder)
    try:
        action()
    except (RunError, RecipeError, CheckpointError) as error:
        assert "\n" not in str(error)
    else:
        raise AssertionError("not refused")
    assert files_of(folder) == before


def _same_network(height):
    """Whether a picture of that height leads to weights of the same shapes."""
    shapes = [
        [p.shape for p in runs.build_network(small(frame_height=h), 3).parameters()]
        for h in (small().frame_height, height)
    ]
    return shapes[0] == shapes[1]


def test_what_cannot_be_done_is_refused_and_changes_no_file(tmp_path):
    run = tmp_path / "run"
    train(run)
    check_nothing_is_overwritten(lambda: train(run), run)

    def resume(**changes):
        return lambda: train(run, runs.resume_recipe(run, **changes), resume=True)

    for changes in (
        dict(architecture="mnih2015", frame_height=36, frame_width=36),
        dict(frame_height=28), dict(stack_frames=2), dict(optimizer="rmsprop"),
        dict(game="nowhere"), dict(device="nowhere"), dict(memory_frames=10**12),
    ):  # fmt: skip
        check_nothing_is_overwritten(resume(total_steps=10**6, **changes), run)
    check_nothing_is_overwritten(resume(total_steps=100), run)  # it has 400
    fits = next(height for height in range(21, 40) if _same_network(height))
    check_nothing_is_overwritten(resume(total_steps=10**6, frame_height=fits), run)
    with pytest.raises(AssertionError):
        check_nothing_is_overwritten(resume(total_steps=404), run)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        check_nothing_is_overwritten(lambda: train(path), tmp_path)  # noqa: B023 - called at once
    with pytest.raises(RecipeError):
        runs.resume_recipe(tmp_path / "file")


def test_an_empty_folder_is_taken(tmp_path):
    train(tmp_path, small(total_steps=4))
    assert (tmp_path / "recipe.json").exists()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"lanes": "many"}', b'{"no_such": 1}', b"\xff\xfe\x00"]
)
def test_a_damaged_recipe_is_refused(tmp_path, content):
    (tmp_path / "recipe.json").write_bytes(content)
    check_nothing_is_overwritten(lambda: runs.resume_recipe(tmp_path), tmp_path)
    check_nothing_is_overwritten(lambda: agents.load_agent(tmp_path), tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 300])
def test_a_damaged_checkpoint_or_weights_file_is_refused(tmp_path, content):
    train(tmp_path, small(total_steps=100))
    for name in (runs.CHECKPOINT_FILE, runs.WEIGHTS_FILE):
        (tmp_path / name).write_bytes(content)
    recipe = runs.resume_recipe(tmp_path, total_steps=200)
    check_nothing_is_overwritten(lambda: train(tmp_path, recipe, resume=True), tmp_path)
    check_nothing_is_overwritten(lambda: agents.load_agent(tmp_path), tmp_path)


def test_weights_in_place_of_a_checkpoint_are_refused(tmp_path):
    train(tmp_path, small(total_steps=100))
    (tmp_path / runs.WEIGHTS_FILE).replace(tmp_path / runs.CHECKPOINT_FILE)
    recipe = runs.resume_recipe(tmp_path, total_steps=200)
    check_nothing_is_overwritten(lambda: train(tmp_path, recipe, resume=True), tmp_path)


# ---- going on ------------------------------------------------------------------------------------


def check_resume(folder, load=None):
    """Steps, updates, target and optimiser go on; learning waits for the memory."""
    first = train(folder, small(total_steps=300))
    assert first.counters.updates > 40
    seen = []

    def on_step(parts):
        seen.append((parts.counters.steps, parts.counters.updates, parts.learner.updates))
        return False

    recipe = runs.resume_recipe(folder, total_steps=600)
    parts = train(folder, recipe, resume=True, on_step=on_step)
    assert seen[0][0] - first.counters.steps in (0, 1, 2)  # a turn of two lanes
    assert seen[0][1] == first.counters.updates
    assert all(mine == learners for _, mine, learners in seen)
    refilled = first.counters.steps + 100
    assert all(updates == seen[0][1] for steps, updates, _ in seen if steps < refilled)
    owed = parts.counters.steps_owed
    assert (parts.counters.updates - seen[0][1]) * 4 + owed == parts.counters.steps - refilled
    assert parts.counters.games > first.counters.games
    check_log(folder, 601, every=50)


def test_a_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    check_resume(tmp_path / "right")

    def keeps_the_debt(path, parts):
        seconds = load(path, parts)
        parts.counters.steps_owed = 2
        return seconds

    def forgets_updates(path, parts):
        seconds = load(path, parts)
        parts.counters.updates = 0
        return seconds

    def forgets_everything(path, parts):
        return 0.0

    load = checkpoints.load_checkpoint
    for broken in (keeps_the_debt, forgets_updates, forgets_everything):
        monkeypatch.setattr(checkpoints, "load_checkpoint", broken)
        with pytest.raises(AssertionError):
            check_resume(tmp_path / broken.__name__)


@pytest.mark.parametrize("at_once", [1, 4])
def test_updates_still_owed_at_the_checkpoint_do_not_crash_the_resume(tmp_path, at_once):
    """Eight lanes owe two updates at every checkpoint, and the memory is empty after it."""
    parts = train(tmp_path, small(lanes=8, updates_at_once=at_once))
    assert parts.counters.steps_owed >= 4
    train(tmp_path, runs.resume_recipe(tmp_path, total_steps=600), resume=True)
    check_log(tmp_path, 608)


def check_debt_is_kept(folder):
    """Steps that filled no group before the checkpoint count in the first one after it."""
    first = train(folder, small(updates_at_once=7, checkpoint_memory=True, total_steps=390))
    assert first.counters.steps_owed > 4
    parts = train(folder, runs.resume_recipe(folder, total_steps=500), resume=True)
    counters = parts.counters
    assert counters.updates * 4 + counters.steps_owed == counters.steps - 100
    assert counters.updates % 7 == 0 and counters.updates > first.counters.updates


def test_an_unfinished_group_goes_on_after_a_resume(tmp_path, monkeypatch):
    """Where the memory comes back, too, a checkpoint must cost no update."""
    check_debt_is_kept(tmp_path / "right")
    load = checkpoints.load_checkpoint

    def forgives(path, parts):
        seconds = load(path, parts)
        parts.counters.steps_owed = 0
        return seconds

    monkeypatch.setattr(checkpoints, "load_checkpoint", forgives)
    with pytest.raises(AssertionError):
        check_debt_is_kept(tmp_path / "forgiven")


@pytest.mark.parametrize("recorded, now", [("bf16", "fp32"), ("fp32", "bf16")])
def test_a_resume_computes_in_the_precision_that_was_recorded(tmp_path, recorded, now, monkeypatch):
    """Another machine, or a busy moment, would choose otherwise: one run, two arithmetics."""

    def chosen(name, device):
        return PrecisionChoice(choices.pop() if name == "auto" else name, "pretended")

    def check(**changes):
        recipe = runs.resume_recipe(tmp_path, total_steps=200, **changes)
        parts = train(tmp_path, recipe, resume=True)
        assert parts.learner.precision == recorded
        assert Recipe.load(tmp_path / "recipe.json").precision == recorded

    choices = [now, recorded]
    monkeypatch.setattr(runs, "precision_choice", chosen)
    train(tmp_path, small(precision="auto", total_steps=150))
    check()
    with pytest.raises(AssertionError):
        check(precision="auto")  # as if "auto" itself had been recorded


def check_resumed_run_acts_on_what_it_loaded(folder):
    """In bf16 a copy of the weights computes: it must follow what was read."""
    parts = train(folder, small(precision="bf16", total_steps=300))
    fresh = runs.build(parts.recipe)
    states = parts.memory.gather(torch.arange(16)).states
    before = fresh.learner.q_values(states)
    checkpoints.load_checkpoint(folder / runs.CHECKPOINT_FILE, fresh)
    after = fresh.learner.q_values(states)
    assert not torch.equal(before, after), "the fresh weights act"
    assert torch.equal(after, parts.learner.q_values(states))
    batch = parts.memory.gather(torch.arange(16))
    with autocast("bf16", torch.device("cpu")):
        one, other = (targets_of(agent.learner.parts, batch) for agent in (parts, fresh))
    assert torch.equal(one, other), "targets of another network"


def test_a_run_in_bf16_acts_on_the_weights_it_loaded(tmp_path, monkeypatch):
    """The broken variant loads the weights and leaves the copies as they were."""
    check_resumed_run_acts_on_what_it_loaded(tmp_path / "right")
    monkeypatch.setattr(Learner, "refresh", lambda self: None)
    with pytest.raises(AssertionError):
        check_resumed_run_acts_on_what_it_loaded(tmp_path / "stale")


def test_resuming_a_finished_run_changes_nothing_but_the_files_dates(tmp_path):
    first = train(tmp_path)
    again = train(tmp_path, runs.resume_recipe(tmp_path), resume=True)
    assert torch.equal(weights(first), weights(again))
    assert again.counters.steps == first.counters.steps


def check_memory_comes_back(folder, recipe):
    """29: the next thousand draws are identical."""
    parts = train(folder, recipe)
    fresh = runs.build(recipe)
    checkpoints.load_checkpoint(folder / runs.CHECKPOINT_FILE, fresh)
    assert len(parts.memory) == len(fresh.memory)
    for _ in range(4):
        one = parts.memory.sample(250, parts.sampling_rng)
        other = fresh.memory.sample(250, fresh.sampling_rng)
        for name, a, b in zip(one._fields, one, other, strict=True):
            assert torch.equal(a, b), name
    assert fresh.counters == parts.counters
    assert torch.equal(
        torch.from_numpy(parts.exploration_rng.random(9)),
        torch.from_numpy(fresh.exploration_rng.random(9)),
    )


@pytest.mark.parametrize("n_step", [1, 3])
def test_a_checkpoint_with_its_memory_draws_the_same_transitions(tmp_path, n_step):
    """29; the ring has turned three times."""
    recipe = small(checkpoint_memory=True, memory_frames=150, learning_starts=50, n_step=n_step)
    check_memory_comes_back(tmp_path / "right", recipe)
    with pytest.raises((AssertionError, ValueError)):
        check_memory_comes_back(tmp_path / "without", small(checkpoint_memory=False))


def test_with_its_memory_a_run_learns_on_at_once(tmp_path):
    recipe = small(checkpoint_memory=True)
    first = train(tmp_path, recipe)
    updates = []
    resumed = runs.resume_recipe(tmp_path, total_steps=440)
    train(tmp_path, resumed, resume=True, on_step=lambda p: updates.append(p.counters.updates))
    assert updates[-1] - first.counters.updates == pytest.approx(10, abs=1)


def test_a_memory_of_another_size_is_refused(tmp_path):
    """4 lanes of 250 rows are not 2 of 500, though both are 1,000 frames."""
    train(tmp_path, small(checkpoint_memory=True, memory_frames=1_000))
    for changes in (dict(lanes=4), dict(memory_frames=3_000)):
        recipe = runs.resume_recipe(tmp_path, total_steps=500, **changes)
        check_nothing_is_overwritten(
            lambda: train(tmp_path, recipe, resume=True),  # noqa: B023 - called at once
            tmp_path,
        )


def test_games_after_a_resume_are_other_games(tmp_path):
    train(tmp_path)
    recipe = runs.resume_recipe(tmp_path)
    parts = runs.build(recipe)
    before = parts.start_seed
    checkpoints.load_checkpoint(tmp_path / runs.CHECKPOINT_FILE, parts)
    assert parts.start_seed != before
    parts.lanes.close()


# ---- a kill at any moment ------------------------------------------------------------------------

# Reads a number of steps per line, and lets a fork of itself train or resume that far: a fork is
# there at once, a new Python needs seconds for its imports.
FORKS = """
import json, os, sys
from pathlib import Path
import torch
from torch.utils.tensorboard import SummaryWriter
from dqn_ref import runs
from dqn_ref.recipes import Recipe
torch.set_num_threads(1)
folder, first = Path(sys.argv[1]), []
def on_step(parts):
    if not first:
        first.append(parts.counters.steps)
        print("first", parts.counters.steps, flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        resume = (folder / "recipe.json").exists()
        if resume:
            recipe = runs.resume_recipe(folder, total_steps=int(line))
        else:
            recipe = Recipe(**json.loads(sys.argv[2]) | {"total_steps": int(line)})
        try:
            runs.train(recipe, folder, resume=resume, show_bar=False, on_step=on_step)
        finally:
            os._exit(0)
    print("child", child, flush=True)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""
KILLS = 20


def environment():
    source = str(Path(dqn_ref.__file__).parents[1])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def kill_once(forks, pause):
    """Start a training and kill it `pause` seconds after its first step; the number of that step.

    With `pause` None the kill comes while the games are being opened, before any step.
    """
    forks.stdin.write("1000000000\n")
    forks.stdin.flush()
    child, first = int(forks.stdout.readline().split()[1]), None
    try:
        if pause is None:
            time.sleep(0.02)
        else:
            first = int(forks.stdout.readline().split()[1])
            time.sleep(pause)
    finally:
        os.kill(child, signal.SIGKILL)
    while forks.stdout.readline() != "gone\n":  # it may have taken its first step meanwhile
        pass
    return first


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_a_run_survives_kills_at_any_moment(tmp_path):
    """Twenty kills, at moments drawn anew each time, of a run that writes nearly always."""
    folder, rng = tmp_path / "run", random.Random()
    recipe = json.dumps(SMALL | dict(checkpoint_every_steps=6, log_every_steps=5))
    pauses = [None if kill % 7 == 3 else rng.uniform(0.0, 0.4) for kill in range(KILLS)]
    forks = subprocess.Popen(
        [sys.executable, "-c", FORKS, str(folder), recipe],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    watchdog = threading.Timer(240, forks.kill)
    watchdog.start()
    reached = 0
    try:
        for pause in pauses:
            first = kill_once(forks, pause)
            # Steps go on from the last checkpoint.
            assert first is None or reached <= first <= reached + 2
            Recipe.load(folder / "recipe.json")
            about = {"counters": {"steps": 0}}
            if (folder / runs.CHECKPOINT_FILE).exists():
                about = checkpoints.load_tensors(folder / runs.CHECKPOINT_FILE)[1]
                agents.load_agent(folder)
            assert about["counters"]["steps"] >= reached
            reached = about["counters"]["steps"]
    finally:
        watchdog.cancel()
        forks.kill()
        forks.communicate()
    assert reached > 0
    seen = []
    resumed = runs.resume_recipe(folder, total_steps=reached + 40)
    parts = train(folder, resumed, resume=True, on_step=lambda p: seen.append(p.counters.steps))
    assert reached <= seen[0] <= reached + 2
    rows = check_log(folder, reached + 42)
    assert all(4 * int(row["updates"]) <= int(row["agent_steps"]) for row in rows)
    assert parts.counters.updates == parts.learner.updates == counters_in(folder)["updates"]
    assert not list(folder.glob("recipe.json.partial"))


class Killed(BaseException):
    pass


def check_recipe_survives(save, path, monkeypatch):
    save(small(), path)

    def torn(self, text, *args, **kwargs):
        with open(self, "w") as file:
            file.write(text[:20])
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", torn)
        with pytest.raises(Killed):
            save(small(total_steps=9), path)
    try:
        assert Recipe.load(path) == small()
    except RecipeError as error:
        raise AssertionError("the recipe is gone") from error


def test_a_kill_while_the_recipe_is_written_leaves_the_old_one(tmp_path, monkeypatch):
    check_recipe_survives(Recipe.save, tmp_path / "recipe.json", monkeypatch)

    def in_place(recipe, path):
        path.write_text(json.dumps(dataclasses.asdict(recipe)))

    with pytest.raises(AssertionError):
        check_recipe_survives(in_place, tmp_path / "recipe.json", monkeypatch)


def check_stops_at_a_signal(folder, number, recipe=None):
    """The handler is called in this process; the run ends after its step, with a checkpoint."""

    def on_step(parts):
        if parts.counters.steps >= 150:
            signal.raise_signal(number)
        return parts.counters.steps > 300

    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    parts = train(folder, recipe or small(checkpoint_every_steps=10**6), on_step=on_step)
    assert 150 <= parts.counters.steps <= 154
    assert counters_in(folder) == dataclasses.asdict(parts.counters)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_with_a_checkpoint(tmp_path, number, monkeypatch):
    check_stops_at_a_signal(tmp_path / "right", number)
    monkeypatch.setattr(runs.Stopper, "_on_signal", lambda self, *args: None)
    with pytest.raises(AssertionError):
        check_stops_at_a_signal(tmp_path / "deaf", number)


# ---- a loss that is no number --------------------------------------------------------------------


def nan_after(updates):
    count = 0

    def step(parts, batch):
        nonlocal count
        count += 1
        metrics = training_step(parts, batch)
        if count > updates:
            with torch.no_grad():
                next(parts.online.parameters()).fill_(float("nan"))
            return Metrics(torch.tensor(float("nan")), metrics.q_mean)
        return metrics

    return step


def check_nan_never_reaches_a_checkpoint(folder, recipe):
    with pytest.raises(RunError, match="learning-rate"):
        train(folder, recipe, pieces=Pieces(training_step=nan_after(20)))
    tensors = checkpoints.load_tensors(folder / runs.CHECKPOINT_FILE)[0]
    assert all(t.isfinite().all() for n, t in tensors.items() if n.startswith("online"))
    recipe, _ = agents.load_agent(folder)


def test_a_nan_loss_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    """Also where a checkpoint is due before the next row of the log."""
    recipe = small(log_every_steps=350, checkpoint_every_steps=30)
    check_nan_never_reaches_a_checkpoint(tmp_path / "right", recipe)
    monkeypatch.setattr(runs.Reporter, "refuse_nan", lambda self: None)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check_nan_never_reaches_a_checkpoint(tmp_path / "broken", recipe)


def test_a_learning_rate_that_explodes_is_found(tmp_path):
    recipe = small(learning_rate=1e30, huber_delta=float("inf"), optimizer="rmsprop")
    with pytest.raises(RunError, match="learning-rate"):
        train(tmp_path, recipe)


# ---- evaluation while training -------------------------------------------------------------------


def test_the_best_network_is_kept(tmp_path):
    """Nature evaluates every 250,000 steps and keeps the best network, not the last."""
    scores = iter([1.0, 3.0, 2.0])
    at = []

    def scripted(lanes, stack, policy, breaks, seed):
        at.append(len(at))
        return Evaluation([next(scores)], [10**6], 0)

    recipe = small(eval_every_steps=100, eval_steps=10, total_steps=350)
    train(tmp_path, recipe, pieces=Pieces(evaluate=scripted))
    about = checkpoints.load_tensors(tmp_path / runs.BEST_FILE)[1]
    assert (about["score"], len(at)) == (3.0, 3) and about["steps"] in (200, 201)
    # After a resume a worse network does not replace it.
    worse = Pieces(evaluate=lambda *args: Evaluation([2.5], [10**6], 0))
    resumed = runs.resume_recipe(tmp_path, total_steps=450)
    train(tmp_path, resumed, pieces=worse, resume=True)
    assert checkpoints.load_tensors(tmp_path / runs.BEST_FILE)[1]["score"] == 3.0


def test_an_evaluation_leaves_training_as_it_was(tmp_path):
    plain = train(tmp_path / "plain", small(total_steps=300))
    recipe = small(total_steps=300, eval_every_steps=50, eval_steps=20)
    watched = train(tmp_path / "watched", recipe)
    assert torch.equal(weights(plain), weights(watched))
    assert (tmp_path / "watched" / runs.BEST_FILE).exists()


# ---- pieces and loops ----------------------------------------------------------------------------


def test_a_seed_fixes_a_run_and_seeds_differ(tmp_path):
    one, same, other = (
        weights(train(tmp_path / name, small(seed=seed)))
        for name, seed in (("a", 5), ("b", 5), ("c", 6))
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_log_and_checkpoint_work_with_any_loop(tmp_path):
    """`on_step` owns them: a learner's loop only has to call it."""
    calls = []

    def my_loop(parts, total_steps, on_step):
        calls.append(total_steps)
        training_loop(parts, total_steps, on_step)

    train(tmp_path, pieces=Pieces(training_loop=my_loop))
    assert calls == [400]
    check_log(tmp_path, 401, every=50)


def test_a_learners_memory_without_state_can_be_checkpointed(tmp_path):
    from dqn_ref.replay import ReplayMemory

    class Mine(ReplayMemory):
        pass

    recipe = small(checkpoint_memory=True)
    train(tmp_path, recipe, pieces=Pieces(ReplayMemory=Mine))
    resumed = runs.resume_recipe(tmp_path, total_steps=500)
    train(tmp_path, resumed, pieces=Pieces(ReplayMemory=Mine), resume=True)
    check_log(tmp_path, 502)


def test_a_learners_network_keeps_its_own_error(tmp_path):
    class Mine:
        def __init__(self, *args):
            raise ValueError("my own mistake")

    with pytest.raises(ValueError, match="my own mistake") as error:
        train(tmp_path / "run", pieces=Pieces(QNetwork=Mine))
    assert not isinstance(error.value, RecipeError) and not (tmp_path / "run").exists()


def test_frames_too_small_for_the_network_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(RecipeError, match="too small"):
        train(tmp_path / "run", small(architecture="mnih2015"))
    assert not (tmp_path / "run").exists()


def test_films_must_be_mp4(tmp_path):
    with pytest.raises(RunError, match="mp4"):
        agents.film_run(tmp_path, tmp_path / "film.avi", 0.05, 0)


def test_every_frame_is_filmed(tmp_path, monkeypatch):
    """From the first frame to the last, a small game at the ten frames a second it asks for."""
    played, filmed = [], []

    def counting(recipe, lanes, max_frames=None, on_frame=None, **pieces):
        def note(frame):
            played.append(frame)
            on_frame(frame)

        return make_lanes(recipe, lanes, max_frames, note if on_frame else None)

    train(tmp_path / "run")

    def writing(film, path, fps):
        filmed.extend([fps, *film])

    monkeypatch.setattr(environments, "make_lanes", counting)
    monkeypatch.setattr(agents, "kept_pieces", lambda run: Pieces(write_video=writing))
    agents.film_run(tmp_path / "run", tmp_path / "film.mp4", 1.0, 0)
    assert len(played) > 2
    assert filmed[0] == 10
    assert all(np.array_equal(a, b) for a, b in zip(filmed[1:], played, strict=True))
