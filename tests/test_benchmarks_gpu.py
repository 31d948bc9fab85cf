"""The GPU program, tried out on the CPU: its checks, its refusals, and that it goes on.

Only the graphs themselves need a GPU; the comparison that judges them is proven here with right
and with broken ways to repeat a group of updates.
"""

import contextlib
import dataclasses
import importlib.util
import io
import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu, gpu_equality, gpu_ladder, gpu_training
from benchmarks.blocks import Block
from dqn_ref import agents
from dqn_ref.captured import GroupOfUpdates
from dqn_ref.recipes import Recipe
from results import publish as publishing

ROOT = Path(__file__).resolve().parents[1]
NEVER, AT_ONCE = gpu.Clock(None), gpu.Clock(0)


def call(*arguments):
    """One call of the program: exit status, what it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        status = gpu.main(["--quick", "--device", "cpu", *map(str, arguments)])
    return status, printed.getvalue()


def report_in(out):
    return json.loads((out / "report.json").read_text())


# --- all of it --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole call, once for all tests that look at it."""
    out = tmp_path_factory.mktemp("gpu") / "out"
    status, printed = call("--out", out, "--commit", "abc")
    return SimpleNamespace(out=out, status=status, printed=printed)


def test_one_command_leaves_everything(finished):
    """A stage forgotten, or a figure that is printed and not recorded."""
    assert finished.status == 0, finished.printed
    report = report_in(finished.out)
    assert set(report) == {"benchmark", "settings", "calls", "stages"}
    (made,) = report["calls"]
    assert made["machine"]["cpu_model"] and made["versions"]["torch"] == torch.__version__
    assert made["gpu"] is None and made["commit"] == "abc"
    stages = report["stages"]
    assert list(stages) == ["equality", "ladder", "training", "evaluation"]
    for stage in stages.values():
        assert stage["complete"] and stage["problems"] == [] and stage["seconds"] >= 0
    assert stages["equality"]["memory"]["right"]
    rungs = stages["ladder"]["rungs"]
    assert len(rungs) == 9 and all(rung["steps_per_second"] > 0 for rung in rungs)
    assert [rung["ratio"] is None for rung in rungs[:6]] == [True] + 5 * [False]
    assert stages["training"]["steps"] >= 300 and stages["training"]["updates"] > 0
    published = finished.out / "breakout-gpu"
    assert {path.name for path in published.iterdir()} == {
        "about.json", "curve.png", "games.csv", "log.csv", "recipe.json", "weights.safetensors",
    }  # fmt: skip
    about = json.loads((published / "about.json").read_text())
    assert stages["evaluation"]["published"] == about
    assert [e["epsilon"] for e in about["evaluations"]] == [0.05, 0.001]
    assert about["commit"] == "abc" and "--total-steps 300" in about["command"]
    assert not (finished.out / "unfinished").exists()
    assert not list(finished.out.glob("*.partial"))
    for words in ("no GPU", "256 lanes", "figures", "mean nothing"):
        assert words in finished.printed


def test_what_is_done_is_not_done_again(finished):
    """A second call would overwrite the first one's figures, or train a finished run on."""
    before = report_in(finished.out)
    status, printed = call("--out", finished.out)
    after = report_in(finished.out)
    assert status == 0 and printed.count("done before") == 4
    assert after["stages"] == before["stages"]
    assert len(after["calls"]) == len(before["calls"]) + 1


def test_training_goes_on_where_the_time_was_over(tmp_path):
    """A call that begins anew, that loses the calls before it, or that never comes to an end."""
    arguments = ("--out", tmp_path / "out", "--stages", "training", "evaluation", "--steps", 60)
    status, printed = call(*arguments, "--minutes", 0)
    first = report_in(tmp_path / "out")["stages"]["training"]
    assert status == 0 and not first["complete"] and 0 < first["steps"] < 60
    assert "waits for the end of the training" in printed and "goes on from here" in printed
    status, _ = call(*arguments, "--minutes", 0)
    status, _ = call(*arguments[:4], "--steps", 60)
    last = report_in(tmp_path / "out")["stages"]["training"]
    assert status == 0 and last["complete"] and last["steps"] >= 60
    began = [made["from_step"] for made in last["calls"]]
    assert began == [0] + [made["to_step"] for made in last["calls"][:-1]]
    assert len(began) == 3 and began[1] == first["steps"]


def test_ctrl_c_in_training_keeps_a_checkpoint(tmp_path, monkeypatch):
    """A stop by hand that reads as a training at its end, or that goes on with the next stage."""
    # `runs.train` answers Ctrl-C as it answers this: it ends after the step, with a checkpoint.
    monkeypatch.setattr(gpu_training.Watch, "__call__", lambda watch, parts: True)
    status, printed = call("--out", tmp_path / "out", "--stages", "training", "evaluation")
    assert status == 130 and "stopped" in printed and "evaluation:" not in printed
    training = report_in(tmp_path / "out")["stages"]["training"]
    assert not training["complete"] and training["steps"] == training["calls"][0]["to_step"] > 0


# --- refusals ---------------------------------------------------------------------------------


def one_sentence(printed):
    return printed.startswith("benchmarks.gpu: ") and printed.count("\n") == 1


def test_without_a_gpu_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    status, printed = call("--device", "cuda", "--out", tmp_path / "out")
    assert status == 2 and one_sentence(printed)
    assert "--device cpu --quick" in printed and not (tmp_path / "out").exists()


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorboard" else found(name)
    )
    status, printed = call("--out", tmp_path / "out")
    assert status == 2 and one_sentence(printed) and "pip install tensorboard" in printed


def test_a_memory_that_does_not_fit_is_refused_before_anything_is_written(tmp_path):
    """Written first, the report would refuse the smaller memory as another setting."""
    status, printed = call("--out", tmp_path / "out", "--memory-frames", 10**10)
    assert status == 2 and one_sentence(printed) and "would fit" in printed
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flag", "value"), [("--seed", 7), ("--steps", 999), ("--lanes", 3), ("--memory-frames", 1_999)]
)
def test_other_settings_are_never_mixed_into_a_report(finished, flag, value):
    before = (finished.out / "report.json").read_bytes()
    status, printed = call("--out", finished.out, flag, value)
    assert status == 2 and one_sentence(printed) and "choose another --out" in printed
    assert str(value) in printed and (finished.out / "report.json").read_bytes() == before


@pytest.mark.parametrize("name", ["report.json", "thesis.txt"])
def test_a_folder_of_something_else_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("{}")
    status, printed = call("--out", tmp_path)
    assert status == 2 and one_sentence(printed)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("flag", [("--minutes", "-1"), ("--minutes", "nan"), ("--stages", "all")])
def test_bad_flags_are_refused(flag):
    with pytest.raises(SystemExit) as ending:
        call(*flag)
    assert ending.value.code == 2


# --- the report -------------------------------------------------------------------------------


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path):
    """Opened for writing and then killed, the file would be empty."""
    report = gpu.Report(tmp_path, {})
    report.put("ladder", {"problems": []})
    before = report.path.read_bytes()
    with pytest.raises(TypeError):
        report.put("training", {"problems": object()})
    assert report.path.read_bytes() == before


def test_a_failure_is_recorded_and_the_next_stage_has_its_turn(tmp_path, monkeypatch):
    """One capture that fails would take everything after it along."""

    def fail(*arguments):
        raise RuntimeError("illegal address\nand a stack")

    monkeypatch.setattr(gpu_equality, "run", fail)
    monkeypatch.setattr(
        gpu_ladder, "run", lambda *a: a[-1]({"problems": [], "complete": True, "rungs": []})
    )
    arguments = ("--out", tmp_path / "out", "--stages", "equality", "ladder")
    status, printed = call(*arguments)
    stages = report_in(tmp_path / "out")["stages"]
    assert status == 1 and "PROBLEM, equality: RuntimeError: illegal address" in printed
    assert stages["equality"]["problems"] == ["RuntimeError: illegal address"]
    assert stages["ladder"]["complete"]
    monkeypatch.setattr(gpu_equality, "run", lambda *a: a[2]({"problems": [], "complete": True}))
    assert call(*arguments)[0] == 0  # what failed is tried again


# --- equality ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def warm():
    """Transitions of Breakout, and a recipe that learns from them."""
    torch.set_num_threads(1)
    recipe = gpu.recipe_of(gpu.build_parser().parse_args(["--quick", "--device", "cpu"]))
    return gpu_equality.warmed(gpu_equality.small(recipe, 4, 100), 100)


class StaleSlots(GroupOfUpdates):
    """Broken: goes on with the transitions it was recorded with."""

    def __call__(self, rng):
        if self._replay is None:
            return super().__call__(rng)
        self.memory.draw(len(self._slots), rng)
        self._replay()
        self.learner.count(self.size)
        return [gpu_equality.Metrics(*self._replay())]


class KeptWarmUp(GroupOfUpdates):
    """Broken: forgets to put the weights back after the warm-up."""

    def __call__(self, rng):
        if self._replay is None:
            self._slots.copy_(torch.from_numpy(self.memory.draw(len(self._slots), rng)))
            self.run()
        return super().__call__(rng)


class StaleTarget(GroupOfUpdates):
    """Broken: the target network never moves."""

    def __call__(self, rng):
        metrics = super().__call__(rng)
        self.learner._copy_target = lambda *networks: None
        return metrics


def test_the_comparison_accepts_the_updates_themselves(warm):
    for plan in gpu_equality.PLANS.values():
        found = gpu_equality.compare_plan(warm.memory, warm.recipe, plan)
        assert max(found.values()) <= gpu_equality.LIMIT
        assert gpu_equality.problems(result_with(found)) == []


@pytest.mark.parametrize("broken", [StaleSlots, KeptWarmUp, StaleTarget])
def test_the_comparison_rejects_broken_updates(warm, broken):
    found = gpu_equality.compare_plan(warm.memory, warm.recipe, "CCCC", broken)
    assert len(gpu_equality.problems(result_with(found))) >= 1


def result_with(differences=None, bf16=None, right=True):
    same = {"weights": 0.0, "change": 0.0, "loss": 0.0}
    return {"fp32": {"captured": differences or same}, "bf16": bf16, "memory": {"right": right}}


def test_not_a_number_is_never_equal():
    nan = float("nan")
    assert gpu_equality.problems(result_with({"weights": nan, "loss": 0.0}))
    assert gpu_equality.problems(result_with({"weights": 0.0, "loss": nan}))
    for found in ({"difference": nan, "loss": 0.0}, {"difference": 0.0, "loss": nan}):
        bf16 = {"difference": found["difference"], "captured_beside_eager": found}
        assert gpu_equality.problems(result_with(bf16=bf16))
    assert not gpu_equality.problems(result_with(bf16=None))
    assert gpu_equality.problems(result_with(right=False))


@pytest.mark.parametrize("n_step", [1, 3])
def test_the_memory_check_sees_frames_of_another_row(warm, monkeypatch, n_step):
    """Row numbers cut to too few bits give other frames, far from the beginning."""
    recipe = dataclasses.replace(warm.recipe, n_step=n_step)
    assert gpu_equality.check_memory(recipe)["right"]

    class Wrapping(gpu_equality.FrameRing):
        def _frames_around(self, rows, offsets):
            return super()._frames_around(rows % 1024, offsets)

    monkeypatch.setattr(gpu_equality, "FrameRing", Wrapping)
    assert not gpu_equality.check_memory(recipe)["right"]


# --- the ladder -------------------------------------------------------------------------------

RECIPE = Recipe(lanes=128, updates_at_once=32, learning_starts=1_000, train_every_steps=4)


@pytest.mark.parametrize("memory_frames", [None, 60_000])
def test_full_size_recipes_are_possible(memory_frames):
    """A warm-up longer than a memory made smaller for a rung: `--quick` would never meet it."""
    words = ["--memory-frames", str(memory_frames)] if memory_frames else []
    recipe = gpu.recipe_of(gpu.build_parser().parse_args(words))
    assert recipe.device == "cuda" and recipe.total_steps == 10_000_000
    assert gpu_equality.small(recipe, gpu_equality.COUNT, 5_000).learning_starts == 5_000
    for rung in gpu_ladder.RUNGS:
        made = gpu_ladder.recipe_of_rung(rung, recipe, gpu_ladder.Plan())
        assert (made.lanes, made.updates_at_once) == (rung.lanes, rung.updates_at_once)
        assert made.batch_size == 32 and made.train_every_steps == 4
        assert made.target_every_updates % made.updates_at_once == 0  # or no graph is replayed


@pytest.mark.parametrize(
    ("steps", "updates", "fine"),
    [
        (9_000, 2_000, True),
        (9_000, 2_000 - 64, True),  # the last turn, and what does not fill a group
        (9_000, 2_000 - 65, False),
        (9_000, 2_001, False),  # made before they were due
        (9_000, 1_000, False),  # every second one
        (9_000, 0, False),
        (500, 0, True),
    ],
)
def test_update_count(steps, updates, fine):
    assert (gpu_ladder.check_update_count(RECIPE, steps, updates) is None) == fine


def test_blocks_begin_when_the_loop_has_settled(monkeypatch):
    """The memory's filling, or the graph's recording, timed with the rest."""
    now = [0.0]
    monkeypatch.setattr(gpu_ladder, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    plan = gpu_ladder.Plan(settle_seconds=3.0, blocks=2, block_seconds=4.0, budget_seconds=20.0)
    meter = gpu_ladder.Meter(plan, torch.device("cpu"))
    counters = SimpleNamespace(steps=0, updates=0)
    parts = SimpleNamespace(counters=counters)
    over = False
    while not over:  # each turn a second; learning begins after the fourth
        now[0] += 1.0
        counters.steps += 100
        counters.updates += 25 if now[0] > 4 else 0
        over = meter(parts)
    assert meter.blocks == [Block(400, 100, 4.0)] * 2
    assert now[0] == 5 + 3 + 2 * 4
    assert gpu_ladder.summary(meter.blocks)["updates_per_second"] == 25


def test_a_memory_that_never_gets_warm_ends_in_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(gpu_ladder, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    meter = gpu_ladder.Meter(gpu_ladder.Plan(budget_seconds=20.0), torch.device("cpu"))
    parts = SimpleNamespace(counters=SimpleNamespace(steps=0, updates=0))
    assert not meter(parts)
    now[0] = 20.5
    assert meter(parts)
    assert gpu_ladder.summary(meter.blocks)["steps_per_second"] is None


@pytest.fixture
def pretend(monkeypatch):
    """Rungs that take no time, each twice as fast as the one before."""
    speeds = (100.0 * 2**rung for rung in range(10))

    def measure(*arguments):
        speed = next(speeds)
        return {"steps_per_second": speed, "steps_per_second_by_block": [speed]}

    for name in ("climb", "emulate", "learn"):
        monkeypatch.setattr(gpu_ladder, name, measure)


def test_ratios_are_to_the_rung_before(pretend, capsys):
    taken = []
    gpu_ladder.run(RECIPE, gpu_ladder.Plan(), NEVER, lambda r: taken.append(json.dumps(r)))
    rungs = json.loads(taken[-1])["rungs"]
    assert [rung.get("ratio") for rung in rungs] == [None] + 5 * [2.0] + 3 * [None]
    assert len(taken) == 1 + 9 + 1  # a kill loses one rung at most
    assert [json.loads(state)["complete"] for state in taken] == [False] * 10 + [True]
    assert "learning alone" in capsys.readouterr().out


def test_a_rung_that_fails_is_a_problem_and_the_others_are_measured(pretend, monkeypatch, capsys):
    def fail(*arguments):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(gpu_ladder, "emulate", fail)
    taken = []
    gpu_ladder.run(RECIPE, gpu_ladder.Plan(), NEVER, taken.append)
    assert len(taken[-1]["problems"]) == 2 and "no such kernel" in taken[-1]["problems"][0]
    assert taken[-1]["rungs"][-1]["steps_per_second"] and taken[-1]["complete"]


def test_the_ladder_stops_between_rungs_when_the_time_is_over(pretend, capsys):
    taken = []
    gpu_ladder.run(RECIPE, gpu_ladder.Plan(), AT_ONCE, taken.append)
    assert taken[-1]["rungs"] == [] and not taken[-1]["complete"]


# --- training and evaluation ------------------------------------------------------------------


def test_first_reached_is_the_first_row_of_a_score():
    scores = ("nan", "15.9", "31.0", "20.0", "51.0")
    rows = [
        {"agent_steps": str(10 * n), "wall_seconds": str(n), "score_mean": score}
        for n, score in enumerate(scores)
    ]
    found = gpu_training.first_reached(rows)
    assert {points: when["agent_steps"] for points, when in found.items()} == {
        "16": 20, "30": 20, "50": 40,
    }  # fmt: skip
    assert gpu_training.score(rows[0]) is None


def test_an_evaluation_that_was_killed_is_made_again(tmp_path, finished, monkeypatch, capsys):
    """Half a folder that stands in the way, or that is taken for a whole one."""
    run, target, taken = finished.out / "run", tmp_path / "breakout-gpu", []
    half = tmp_path / "unfinished" / "breakout-gpu"
    half.mkdir(parents=True)
    (half / "weights.safetensors").write_text("half")

    def publish(run_dir, made, device, games):
        assert device == "cpu"  # the run's
        made.mkdir(parents=True)
        (made / "about.json").write_text('{"evaluations": []}')
        return {"evaluations": []}

    monkeypatch.setattr(gpu_training, "publish", publish)
    gpu_training.evaluate(run, target, {}, taken.append)
    assert [path.name for path in tmp_path.iterdir()] == ["breakout-gpu"]
    assert [path.name for path in target.iterdir()] == ["about.json"]
    # Killed after that, before the report: the folder is whole, its description is taken.
    gpu_training.evaluate(run, target, {}, taken.append)
    assert taken[0] == taken[1]


def test_publishing_without_matplotlib_says_so(tmp_path, finished, monkeypatch, capsys):
    """A server without matplotlib would lose the evaluation at the very end."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(publishing, "evaluation", lambda *arguments: {})
    publishing.publish(finished.out / "run", tmp_path / "made", "c", "m", "abc")
    assert "no learning curve, matplotlib" in capsys.readouterr().out
    made = {path.name for path in (tmp_path / "made").iterdir()}
    assert "about.json" in made and "curve.png" not in made


def test_the_command_line_of_publish_is_still_there(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["publish.py", "--help"])
    with pytest.raises(SystemExit) as ending:
        runpy.run_path(str(ROOT / "results" / "publish.py"), run_name="__main__")
    assert ending.value.code == 0 and "--machine" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*non-meta parameter")
def test_an_agent_is_loaded_where_it_shall_compute(finished):
    """An evaluation that says GPU and computes on the CPU."""
    run = finished.out / "run"
    assert agents.load_agent(run, device="meta")[1].device.type == "meta"
    assert agents.load_agent(run)[1].device.type == "cpu"


# --- for real ---------------------------------------------------------------------------------


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_quick_on_a_gpu(tmp_path):
    status, printed = call("--device", "cuda", "--out", tmp_path / "out")
    assert status == 0, printed
    stages = report_in(tmp_path / "out")["stages"]
    assert stages["equality"]["graph"]
    assert [rung["graph"] for rung in stages["ladder"]["rungs"][:6]] == [False] * 4 + [True] * 2
