"""The throughput benchmark: its statistics, its refusals, and one tiny real run."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks import throughput
from benchmarks.peers import CONTENDERS, Settings
from benchmarks.throughput import BenchmarkError, Block, Worker

ROOT = Path(__file__).resolve().parents[1]
AVAILABLE = [name for name in CONTENDERS if not throughput.missing_packages([name])]


def run_python(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300
    )


# --- statistics on made-up numbers ------------------------------------------------------------


def test_blocks_alternate_between_contenders():
    assert throughput.alternate(["a", "b"], 3) == ["a", "b", "a", "b", "a", "b"]
    assert throughput.alternate(["a", "b", "c"], 2) == ["a", "b", "c", "a", "b", "c"]


@pytest.mark.parametrize(("total", "blocks"), [(10_000, 5), (10_000, 3), (20_000, 7), (1, 1)])
def test_blocks_add_up_to_at_least_the_steps_asked_for(total, blocks):
    steps = throughput.block_steps(total, blocks)
    assert steps % throughput.BLOCK_MULTIPLE == 0
    assert total <= steps * blocks < total + blocks * throughput.BLOCK_MULTIPLE


def test_median_is_over_blocks_and_one_slow_block_does_not_move_it():
    even = [Block(100, 25, 1.0), Block(100, 25, 2.0)]
    assert throughput.median_speed(even) == 75.0
    disturbed = [Block(100, 25, 1.0), Block(100, 25, 50.0), Block(110, 27, 1.0)]
    assert throughput.median_speed(disturbed) == 100.0


def test_better_takes_the_higher_median_not_the_fastest_block():
    steady = [Block(100, 25, 1.0)] * 3
    lucky_once = [Block(100, 25, 0.1), Block(100, 25, 2.0), Block(100, 25, 2.0)]
    assert throughput.better({1: steady, 2: lucky_once}) == 1
    assert throughput.better({1: lucky_once, 2: steady}) == 2


def test_ratio_is_of_the_medians_and_round_by_round():
    fast = [Block(400, 100, 1.0), Block(300, 75, 1.0), Block(500, 125, 1.0)]
    slow = [Block(100, 25, 1.0), Block(100, 25, 1.0), Block(200, 50, 1.0)]
    ratio = throughput.speed_ratio(fast, slow)
    assert ratio["of_medians"] == 4.0
    assert ratio["by_round"] == [4.0, 3.0, 2.5]
    with pytest.raises(ValueError):
        throughput.speed_ratio(fast, slow[:2])


@pytest.mark.parametrize(
    ("updates", "fine"), [([25, 25], True), ([24, 26], True), ([21, 29], False), ([20, 20], False)]
)
def test_updates_must_be_one_per_four_steps_within_a_turn(updates, fine):
    blocks = [Block(100, count, 1.0) for count in updates]
    assert (throughput.check_updates(blocks, 4, steps_per_turn=8) is None) == fine


def test_updates_that_go_missing_a_little_in_every_block_are_noticed():
    blocks = [Block(100, 23, 1.0)] * 5
    assert throughput.check_updates(blocks[:1], 4, steps_per_turn=8) is None
    assert "115 updates in 500 steps" in throughput.check_updates(blocks, 4, steps_per_turn=8)


# --- the order of events, with workers that only pretend --------------------------------------

FACTS = {
    "precision": "fp32",
    "epsilon": 0.1,
    "steps_per_turn": 4,
    "network_parameters": 10,
    "resident_mib": 100.0,
    "bytes_per_transition": 7.0,
    "memory_capacity": 1_000,
    "transitions_stored": 500,
    "cpu_capability": "none",
}


class PretendWorker:
    """Speeds by (contender, threads); the second contender slows down as time goes on."""

    SPEEDS = {("sb3", 1): 100, ("sb3", 2): 50, ("dqn_ref", 1): 300, ("dqn_ref", 2): 400}
    changes: dict = {}
    log: list = []

    def __init__(self, name, settings, threads):
        self.name, self.threads = name, threads

    def start(self):
        self.log.append(("start", self.name, self.threads))

    def run_block(self, steps):
        self.log.append((steps, self.name, self.threads))
        return Block(steps, steps // 4, steps / self.SPEEDS[self.name, self.threads])

    def facts(self):
        return FACTS | {"threads": self.threads} | self.changes.get(self.name, {})

    def stop(self):
        self.log.append(("stop", self.name, self.threads))


@pytest.fixture
def pretend(monkeypatch):
    monkeypatch.setattr(PretendWorker, "log", [])
    monkeypatch.setattr(PretendWorker, "changes", {})
    monkeypatch.setattr(throughput, "Worker", PretendWorker)
    monkeypatch.setattr(throughput, "PAUSE_SECONDS", 0.0)
    return PretendWorker


def options(*arguments: str):
    return throughput.parse(
        ["--contenders", "sb3", "dqn_ref", "--threads", "1", "2", "--quick", *arguments]
    )


def test_each_contender_is_measured_with_its_better_number_of_threads(pretend):
    report = throughput.measure(options())
    entries = report["contenders"]
    assert (entries["sb3"]["threads"], entries["dqn_ref"]["threads"]) == (1, 2)
    assert entries["sb3"]["thread_trial_steps_per_second"] == {"1": 100.0, "2": 50.0}
    assert entries["dqn_ref"]["ratio"]["of_medians"] == pytest.approx(4.0)
    assert report["order"] == ["sb3", "dqn_ref", "sb3", "dqn_ref"]
    trial = [(name, threads) for what, name, threads in pretend.log if what == 32]
    assert trial == [("sb3", 1), ("sb3", 2), ("dqn_ref", 1), ("dqn_ref", 2)]
    measured = [(name, threads) for what, name, threads in pretend.log if what == 64]
    assert measured == [("sb3", 1), ("dqn_ref", 2)] * 2
    # The losers are gone before the first measured block.
    first = pretend.log.index((64, "sb3", 1))
    assert {("stop", "sb3", 2), ("stop", "dqn_ref", 1)} <= set(pretend.log[:first])


@pytest.mark.parametrize(
    ("fact", "value", "complaint"),
    [
        ("epsilon", 0.5, "epsilon is 0.5"),
        ("transitions_stored", 10, "its memory holds 10 transitions"),
        ("network_parameters", 11, "the networks differ"),
    ],
)
def test_unequal_conditions_are_refused(pretend, fact, value, complaint):
    pretend.changes["dqn_ref"] = {fact: value}
    with pytest.raises(BenchmarkError, match=complaint):
        throughput.measure(options())


def test_without_the_reference_there_is_no_ratio(pretend):
    report = throughput.measure(throughput.parse(["--contenders", "dqn_ref", "--quick"]))
    assert report["reference"] is None
    assert report["contenders"]["dqn_ref"]["ratio"] is None
    assert "dqn_ref" in throughput.format_table(report)


def test_table_says_so_when_the_machine_was_busy(pretend):
    report = throughput.measure(options())
    assert "measure again" not in throughput.format_table(report)
    report["contenders"]["sb3"]["busy_elsewhere_by_block"] = [0.0, 0.4]
    assert "40% of the machine" in throughput.format_table(report)


# --- refusals ---------------------------------------------------------------------------------


def test_missing_stable_baselines3_is_one_sentence_and_exit_2(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    assert throughput.main(["--quick"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        'stable-baselines3 is not installed: run pip install -e ".[bench]", '
        "or run with --contenders dqn_ref.\n"
    )


def test_missing_stable_baselines3_ends_the_command_with_status_2():
    hidden = (
        "import runpy, sys; sys.modules['stable_baselines3'] = None; sys.argv = ['throughput']; "
        "runpy.run_module('benchmarks.throughput', run_name='__main__')"
    )
    result = run_python("-c", hidden)
    assert result.returncode == 2
    assert "stable-baselines3 is not installed" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--epsilon", "0.5"], "must lie in 0 to 0.1"),
        (["--steps", "0"], "must be at least 1"),
        (["--contenders", "sb3", "sb3"], "named twice"),
        (["--json", "no/such/folder/figures.json"], "there is no folder"),
        (["--memory-transitions", "100"], "must be larger than --warm-transitions"),
    ],
)
def test_bad_flags_are_refused(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as ending:
        throughput.main(arguments)
    assert ending.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_contender_that_fails_is_named():
    worker = Worker("dqn_ref", Settings(game="no_such_game"), threads=1)
    try:
        with pytest.raises(BenchmarkError, match="dqn_ref failed: .*no_such_game"):
            worker.start()
    finally:
        worker.stop()


def test_a_worker_that_is_killed_is_reported():
    worker = Worker("dqn_ref", Settings(), threads=1)
    worker._process.kill()
    with pytest.raises(BenchmarkError, match="the process of dqn_ref ended"):
        worker.start()
    worker.stop()


# --- for real ---------------------------------------------------------------------------------


def test_a_worker_trains_only_when_told_to():
    worker = Worker("dqn_ref", Settings(warm_transitions=64, settle_steps=16), threads=1)
    try:
        worker.start()
        stored = worker.facts()["transitions_stored"]
        block = worker.run_block(64)
        assert 64 <= block.steps < 64 + 8
        assert worker.facts()["transitions_stored"] == stored + block.steps
        process = psutil.Process(worker._process.pid)
        before = sum(process.cpu_times()[:2])
        time.sleep(0.5)
        assert sum(process.cpu_times()[:2]) - before < 0.1
        assert worker.facts()["transitions_stored"] == stored + block.steps
    finally:
        worker.stop()


def test_quick_run_of_every_contender_that_is_installed(tmp_path):
    assert "dqn_ref" in AVAILABLE
    path = tmp_path / "figures.json"
    # Two threads on a machine that runs other tests would be slow, and figures do not count.
    result = run_python(
        "-m", "benchmarks.throughput", "--quick", "--threads", "1",
        "--contenders", *AVAILABLE, "--json", str(path),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    report = json.loads(path.read_text())
    assert set(report) == {
        "benchmark", "date", "machine", "versions", "settings", "reference", "order", "contenders",
    }  # fmt: skip
    assert report["order"] == AVAILABLE * 2
    assert report["machine"]["cpu_model"] and report["machine"]["cores_usable"] >= 1
    assert {"torch", "numpy", "gymnasium", "ale-py"} <= set(report["versions"])
    entries = report["contenders"]
    assert list(entries) == AVAILABLE
    for name, entry in entries.items():
        assert name in result.stdout
        assert len(entry["steps_per_second_by_block"]) == 2
        assert entry["steps_per_second"] == pytest.approx(
            sum(entry["steps_per_second_by_block"]) / 2  # the median of two
        )
        assert entry["steps"] >= 128
        turn = entry["steps_per_turn"] / 4 + 1
        assert abs(entry["updates"] - entry["steps"] / 4) <= turn
        assert entry["threads"] == 1
        assert entry["precision"] in ("fp32", "bf16")
        assert 0 < entry["epsilon"] <= 0.1
        assert entry["network_parameters"] == 1_686_180  # Nature's, for four actions
        assert entry["resident_mib"] > 100
        assert entry["memory_capacity"] == 100_000
    assert entries["dqn_ref"]["bytes_per_transition"] <= 84 * 84 + 14
    if "sb3" in entries:
        # Two stacks of four frames, action int64, and three float32.
        assert entries["sb3"]["bytes_per_transition"] == 2 * 4 * 84 * 84 + 8 + 3 * 4
        assert entries["sb3"]["steps"] == 4 * entries["sb3"]["updates"]
        assert entries["sb3"]["ratio"]["of_medians"] == 1.0
        assert entries["dqn_ref"]["ratio"]["of_medians"] > 0
