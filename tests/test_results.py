"""What `results/` ships is what its descriptions say."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from dqn_ref.agents import evaluate_run, load_agent
from dqn_ref.checkpoints import load_tensors
from dqn_ref.recipes import Recipe, get_recipe
from dqn_ref.reporting import history, read_rows
from dqn_ref.runs import train
from results.publish import publish

RESULTS = Path(__file__).parents[1] / "results"
RUNS = sorted(path.parent for path in RESULTS.glob("*/about.json"))


def assert_description_fits(about: dict, recipe: Recipe, log) -> None:
    """The description of a run against its recipe and its log."""
    assert about["seed"] == recipe.seed
    by_the_clock = re.search(r"--minutes (\d+)", about["command"])
    if by_the_clock:  # the steps of the recipe were more than anybody makes in that time
        assert about["wall_seconds"] == pytest.approx(60 * int(by_the_clock[1]), rel=0.02)
        assert about["agent_steps"] < recipe.total_steps
    else:
        assert f"--total-steps {recipe.total_steps}" in about["command"]
    assert about["agent_steps"] >= log["agent_steps"].iloc[-1]
    assert about["updates"] >= log["updates"].iloc[-1]
    owed = (about["agent_steps"] - recipe.learning_starts) / recipe.train_every_steps
    assert abs(about["updates"] - owed) <= recipe.lanes
    for evaluation in about["evaluations"]:
        assert len(evaluation["scores"]) == evaluation["games"] == 30
        assert evaluation["mean"] == pytest.approx(np.mean(evaluation["scores"]), abs=0.01)
        assert evaluation["median"] == np.median(evaluation["scores"])
    assert {evaluation["epsilon"] for evaluation in about["evaluations"]} == {0.05, 0.001}


def read(run: Path):
    return json.loads((run / "about.json").read_text()), Recipe.load(run / "recipe.json")


NOTEBOOK_RUNS = sorted(path.parent for path in RESULTS.glob("notebooks/*/about.json"))
FREE = {"device", "precision", "total_steps", "threads", "seed", "memory_frames",
        "checkpoint_memory", "checkpoint_every_steps"}  # fmt: skip


def assert_as_written(about: dict, recipe: Recipe, log) -> None:
    """A run of an old notebook's recipe: nothing of it was changed, and it came as far as told."""
    name = re.search(r"--recipe (notebook_[ab])", about["command"])[1]
    settings, written = dataclasses.asdict(recipe), dataclasses.asdict(get_recipe(name))
    assert {key for key in settings if settings[key] != written[key]} <= FREE
    assert f"--total-steps {recipe.total_steps}" in about["command"]
    assert about["agent_steps"] == log["agent_steps"].iloc[-1] <= recipe.total_steps
    owed = (about["agent_steps"] - recipe.learning_starts) // recipe.train_every_steps
    assert abs(about["updates"] - owed) <= 1 and about["games"] == log["episodes"].iloc[-1]
    assert about["wall_seconds"] == pytest.approx(log["wall_seconds"].iloc[-1], rel=0.01)


@pytest.mark.parametrize("run", NOTEBOOK_RUNS, ids=lambda run: run.name)
def test_runs_of_the_old_notebooks_are_as_written(run):
    about, recipe = read(run)
    assert_as_written(about, recipe, history(run))
    for field, wrong in (("updates", 7), ("agent_steps", 10), ("wall_seconds", 60)):
        with pytest.raises(AssertionError):
            assert_as_written(about | {field: wrong}, recipe, history(run))
    with pytest.raises(AssertionError):
        assert_as_written(about, dataclasses.replace(recipe, reward_clip=1.0), history(run))
    assert (run / "comparison.png").stat().st_size > 10_000


def test_there_is_a_trained_agent():
    assert RUNS


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
class TestRun:
    def test_description_fits_recipe_and_log(self, run):
        about, recipe = read(run)
        assert_description_fits(about, recipe, history(run))
        faults = [("updates", 7), ("seed", -1), ("agent_steps", 10), ("command", "train")]
        for field, wrong in faults:
            with pytest.raises(AssertionError):
                assert_description_fits(about | {field: wrong}, recipe, history(run))

    def test_log_scores_are_those_of_the_games(self, run):
        last = history(run).iloc[-1]
        games = read_rows(run / "games.csv")
        until = [g for g in games if int(g["agent_steps"]) <= last["agent_steps"]]
        scores = [float(game["score"]) for game in until[-100:]]
        assert last["score_mean"] == pytest.approx(np.mean(scores), abs=0.01)

    def test_weights_are_small_and_fit(self, run):
        assert (run / "weights.safetensors").stat().st_size <= 4_000_000
        load_agent(run, precision="fp32")

    def test_the_agent_plays_as_described(self, run):
        """A few games in fp32: other digits, the same player."""
        about, _ = read(run)
        described = next(e for e in about["evaluations"] if e["epsilon"] == 0.05)
        few = evaluate_run(run, games=4, epsilon=0.05, seed=1, precision="fp32")
        error = 3 * described["std"] / np.sqrt(4)
        assert few.mean == pytest.approx(described["mean"], abs=error)
        assert few.mean > 10  # random play scores about one point


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages") / "run"
    recipe = get_recipe(
        "gallery", lanes=2, total_steps=300, learning_starts=100, memory_frames=500, threads=1,
        log_every_steps=100, frame_height=20, frame_width=20, architecture="mnih2013", seed=1,
        precision="fp32", snapshot_every_steps=100,
    )  # fmt: skip
    train(recipe, folder, show_bar=False)
    return folder


def test_stages_are_the_runs_own_snapshots(small_run, tmp_path):
    """Bugs: the last weights under the name of an early step; a score that is another's."""
    made = tmp_path / "made"
    about = publish(small_run, made, "c", "m", "abc", games=2, stages=(60, 150))
    assert [stage["agent_steps"] for stage in about["stages"]] == [100, 200]
    files = sorted((made / "stages").iterdir())
    assert [file.name.split("-")[0] for file in files] == ["0000100", "0000200"]
    for stage, file in zip(about["stages"], files, strict=True):
        assert made / stage["weights"] == file
        assert file.stem.endswith(f"-score-{stage['mean']:.0f}") and len(stage["scores"]) == 2
        ours = load_tensors(file)[0]
        theirs = load_tensors(small_run / "snapshots" / f"{stage['agent_steps']:010d}.safetensors")[
            0
        ]
        for name, tensor in theirs.items():
            assert torch.equal(ours[name].float(), tensor.half().float())
    assert json.loads((made / "about.json").read_text()) == about


def test_a_stage_that_the_run_did_not_keep_is_refused(small_run, tmp_path):
    with pytest.raises(SystemExit, match="no snapshot at or after step 9,999"):
        publish(small_run, tmp_path / "made", "c", "m", "abc", games=2, stages=(100, 9_999))
    assert not (tmp_path / "made").exists()
