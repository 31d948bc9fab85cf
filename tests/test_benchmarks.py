"""The throughput benchmark: its statistics, its refusals, and one tiny real run.

`test_benchmarks_floor.py` has the arithmetic of the floor, `test_benchmarks_single_loop.py` the
contender that is written out in this repository.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks import blocks, throughput
from benchmarks.blocks import Block
from benchmarks.machine import is_x86
from benchmarks.peers import CONTENDERS, Settings
from benchmarks.tables import format_report
from benchmarks.workers import UNCHANGED, BenchmarkError, Worker

ROOT = Path(__file__).resolve().parents[1]
AVAILABLE = [name for name in CONTENDERS if not throughput.missing_packages([name])]


def run_python(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300
    )


# --- statistics on made-up numbers ------------------------------------------------------------


def test_blocks_alternate_between_contenders():
    assert blocks.alternate(["a", "b"], 3) == ["a", "b", "a", "b", "a", "b"]
    assert blocks.alternate(["a", "b", "c"], 2) == ["a", "b", "c", "a", "b", "c"]


@pytest.mark.parametrize(("total", "count"), [(10_000, 5), (10_000, 3), (20_000, 7), (1, 1)])
def test_blocks_add_up_to_at_least_the_steps_asked_for(total, count):
    steps = blocks.block_steps(total, count)
    assert steps % blocks.BLOCK_MULTIPLE == 0
    assert total <= steps * count < total + count * blocks.BLOCK_MULTIPLE


def test_median_is_over_blocks_and_one_slow_block_does_not_move_it():
    even = [Block(100, 25, 1.0), Block(100, 25, 2.0)]
    assert blocks.median_speed(even) == 75.0
    disturbed = [Block(100, 25, 1.0), Block(100, 25, 50.0), Block(110, 27, 1.0)]
    assert blocks.median_speed(disturbed) == 100.0


def test_better_takes_the_higher_median_not_the_fastest_block():
    steady = [Block(100, 25, 1.0)] * 3
    lucky_once = [Block(100, 25, 0.1), Block(100, 25, 2.0), Block(100, 25, 2.0)]
    assert blocks.better({1: steady, 2: lucky_once}) == 1
    assert blocks.better({1: lucky_once, 2: steady}) == 2


def test_ratio_is_of_the_medians_and_round_by_round():
    fast = [Block(400, 100, 1.0), Block(300, 75, 1.0), Block(500, 125, 1.0)]
    slow = [Block(100, 25, 1.0), Block(100, 25, 1.0), Block(200, 50, 1.0)]
    ratio = blocks.speed_ratio(fast, slow)
    assert ratio["of_medians"] == 4.0
    assert ratio["by_round"] == [4.0, 3.0, 2.5]
    with pytest.raises(ValueError):
        blocks.speed_ratio(fast, slow[:2])


@pytest.mark.parametrize(
    ("updates", "fine"), [([25, 25], True), ([24, 26], True), ([21, 29], False), ([20, 20], False)]
)
def test_updates_must_be_one_per_four_steps_within_a_turn(updates, fine):
    made = [Block(100, count, 1.0) for count in updates]
    assert (blocks.check_updates(made, 4, steps_per_turn=8) is None) == fine


def test_what_does_not_fill_a_group_of_updates_may_wait():
    """A loop that makes two at a time can owe one more than a loop that makes one."""
    made = [Block(100, 21, 1.0), Block(100, 29, 1.0)]
    assert blocks.check_updates(made, 4, steps_per_turn=8) is not None
    assert blocks.check_updates(made, 4, steps_per_turn=8, updates_at_once=2) is None


def test_updates_that_go_missing_a_little_in_every_block_are_noticed():
    made = [Block(100, 23, 1.0)] * 5
    assert blocks.check_updates(made[:1], 4, steps_per_turn=8) is None
    assert "115 updates in 500 steps" in blocks.check_updates(made, 4, steps_per_turn=8)


# --- the order of events, with workers that only pretend --------------------------------------

FACTS = {
    "precision": "fp32",
    "epsilon": 0.1,
    "steps_per_turn": 4,
    "updates_at_once": 1,
    "network_parameters": 10,
    "resident_mib": 100.0,
    "bytes_per_transition": 7.0,
    "memory_capacity": 1_000,
    "transitions_stored": 500,
}
# Two layers, one update per 10 ms of which acting takes 1; 1 FLOP per nanosecond.
DISSECTION = {
    "profile": {"steps": 40, "updates": 10, "seconds": {"act": 0.01, "rest": 0.09}},
    "forward_flop": [1_000_000, 2_000_000],
    "matrix": {"matrix_size": 2048, "gflop_per_second": 1.0, "median_gflop_per_second": 0.9},
}


class PretendWorker:
    """Speeds by (contender, threads); half of that under a limit of the instructions."""

    SPEEDS = {("sb3", 1): 100, ("sb3", 2): 50, ("dqn_ref", 1): 300, ("dqn_ref", 2): 400}
    changes: dict = {}
    log: list = []

    def __init__(self, name, settings, threads, environment):
        self.name, self.threads = name, threads
        self.limited = environment == throughput.AVX2
        assert self.limited or environment == UNCHANGED

    def start(self):
        self.log.append(("start", self.name, self.threads))
        return self.facts()

    def run_block(self, steps):
        self.log.append((steps, self.name, self.threads))
        speed = self.SPEEDS[self.name, self.threads] / (2 if self.limited else 1)
        return Block(steps, steps // 4, steps / speed)

    def facts(self):
        instructions = {"cpu_capability": "AVX2" if self.limited else "AVX512"}
        own = {"threads": self.threads} | instructions
        return FACTS | own | self.changes.get(self.name, {})

    def dissect(self, steps, seconds):
        self.log.append(("dissect", self.name, self.threads))
        return DISSECTION

    def stop(self):
        self.log.append(("stop", self.name, self.threads))


@pytest.fixture
def pretend(monkeypatch):
    monkeypatch.setattr(PretendWorker, "log", [])
    monkeypatch.setattr(PretendWorker, "changes", {})
    monkeypatch.setattr(throughput, "Worker", PretendWorker)
    monkeypatch.setattr(throughput, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(throughput, "is_x86", lambda: True)
    return PretendWorker


def options(*arguments: str):
    return throughput.parse(
        ["--contenders", "sb3", "dqn_ref", "--threads", "1", "2", "--quick", *arguments]
    )


def test_each_contender_is_measured_with_its_better_number_of_threads(pretend):
    measured = throughput.measure(options())["measurements"]["native"]
    entries = measured["contenders"]
    assert (entries["sb3"]["threads"], entries["dqn_ref"]["threads"]) == (1, 2)
    assert entries["sb3"]["thread_trial_steps_per_second"] == {"1": 100.0, "2": 50.0}
    assert entries["dqn_ref"]["ratio"]["of_medians"] == pytest.approx(4.0)
    assert measured["order"] == ["sb3", "dqn_ref", "sb3", "dqn_ref"]
    trial = [(name, threads) for what, name, threads in pretend.log if what == 32]
    assert trial == [("sb3", 1), ("sb3", 2), ("dqn_ref", 1), ("dqn_ref", 2)]
    in_blocks = [(name, threads) for what, name, threads in pretend.log if what == 64]
    assert in_blocks == [("sb3", 1), ("dqn_ref", 2)] * 2
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
    assert report["measurements"]["native"]["contenders"]["dqn_ref"]["ratio"] is None
    assert "dqn_ref" in format_report(report)


def test_timers_and_matrices_come_after_the_last_measured_block(pretend):
    """A dissection between the blocks would train the agent on and warm the machine for it."""
    throughput.measure(options())
    at = pretend.log.index(("dissect", "dqn_ref", 2))
    assert 64 not in [what for what, *_ in pretend.log[at:]]
    assert ("stop", "dqn_ref", 2) in pretend.log[at:]


def test_avx2_is_measured_a_second_time_with_its_own_ratios_and_floor(pretend):
    """Ratios across the two would compare processors; a process of the first must not go on."""
    report = throughput.measure(options("--also-avx2"))
    native, avx2 = report["measurements"]["native"], report["measurements"]["AVX2"]
    assert (native["environment"], avx2["environment"]) == ({}, throughput.AVX2)
    assert native["contenders"]["dqn_ref"]["steps_per_second"] == pytest.approx(400)
    assert avx2["contenders"]["dqn_ref"]["steps_per_second"] == pytest.approx(200)
    assert avx2["contenders"]["dqn_ref"]["ratio"]["of_medians"] == pytest.approx(4.0)
    # 4 steps per update: 10 ms at 400 steps/s, 20 ms at 200.
    assert native["floors"]["dqn_ref"]["measured_ms_per_update"] == pytest.approx(10)
    assert avx2["floors"]["dqn_ref"]["measured_ms_per_update"] == pytest.approx(20)
    starts = [i for i, (what, *_) in enumerate(pretend.log) if what == "start"]
    assert len(starts) == 8
    assert {("stop", "sb3", 1), ("stop", "dqn_ref", 2)} <= set(pretend.log[: starts[4]])


def test_a_limit_of_instructions_that_does_nothing_is_refused(pretend):
    """Set after torch's import, the variables are ignored, and the row would be a second native."""
    pretend.changes["dqn_ref"] = {"cpu_capability": "AVX512"}
    with pytest.raises(BenchmarkError, match="dqn_ref computes with AVX512 although .* to AVX2"):
        throughput.measure(options("--also-avx2"))


def test_report_shows_both_processors_and_the_floor(pretend):
    """A row without its instructions, or figures that stand in the JSON file alone."""
    text = format_report(throughput.measure(options("--also-avx2")))
    rows = [line.split()[:3] for line in text.splitlines() if line.startswith(("sb3", "dqn_ref"))]
    assert rows == [
        ["sb3", "AVX512", "100.0"],
        ["dqn_ref", "AVX512", "400.0"],
        ["sb3", "AVX2", "50.0"],
        ["dqn_ref", "AVX2", "200.0"],
    ]
    assert "rows AVX2: ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_" in text
    assert (
        "Floor of dqn_ref (AVX512, fp32, 2 thread(s)): 0.01 GFLOP per update at 1 GFLOP/s" in text
    )
    # Forward, forward, all gradients of weights, and inputs' gradients but for the first layer.
    assert "floor      11.00 ms per update, 364 steps/s" in text
    assert "profiled   10.00 ms per update: act 1.00, rest 9.00" in text


def test_table_says_so_when_the_machine_was_busy(pretend):
    report = throughput.measure(options())
    assert "measure again" not in format_report(report)
    report["measurements"]["native"]["contenders"]["sb3"]["busy_elsewhere_by_block"] = [0.0, 0.4]
    assert "40% of the machine" in format_report(report)


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


def test_avx2_is_refused_where_it_means_nothing(monkeypatch, capsys):
    """On an ARM laptop the second measurement would repeat the first under a wrong name."""
    monkeypatch.setattr(throughput, "is_x86", lambda: False)
    with pytest.raises(SystemExit):
        throughput.main(["--also-avx2"])
    assert "needs an x86 processor" in capsys.readouterr().err


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


def test_the_parent_process_imports_no_torch():
    """What the parent imports its spawned workers import first, before they limit anything."""
    result = run_python("-c", "import benchmarks.throughput, sys; print('torch' in sys.modules)")
    assert result.stdout == "False\n", result.stderr


def test_a_worker_limits_the_instructions_before_it_imports_torch():
    """Too late, and the agent would measure bf16 instructions and choose bf16."""
    settings = Settings(warm_transitions=64, settle_steps=16)
    worker = Worker("dqn_ref", settings, threads=1, environment=throughput.AVX2)
    try:
        facts = worker.start()
        assert (facts["cpu_capability"], facts["precision"]) == ("AVX2", "fp32") or not is_x86()
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
        "benchmark", "date", "machine", "versions", "settings", "reference", "measurements",
    }  # fmt: skip
    assert report["machine"]["cpu_model"] and report["machine"]["cores_usable"] >= 1
    assert {"torch", "numpy", "gymnasium", "ale-py"} <= set(report["versions"])
    assert list(report["measurements"]) == ["native"]
    measured = report["measurements"]["native"]
    assert measured["order"] == AVAILABLE * 2
    entries = measured["contenders"]
    assert list(entries) == AVAILABLE
    for name, entry in entries.items():
        assert name in result.stdout
        assert len(entry["steps_per_second_by_block"]) == 2
        assert entry["steps_per_second"] == pytest.approx(
            sum(entry["steps_per_second_by_block"]) / 2  # the median of two
        )
        assert entry["steps"] >= 128
        owed = entry["steps_per_turn"] / 4 + entry["updates_at_once"]
        assert abs(entry["updates"] - entry["steps"] / 4) <= owed
        assert entry["threads"] == 1
        assert entry["precision"] in ("fp32", "bf16")
        assert 0 < entry["epsilon"] <= 0.1
        assert entry["network_parameters"] == 1_686_180  # Nature's, for four actions
        assert entry["resident_mib"] > 100
        assert entry["memory_capacity"] == 100_000
    assert entries["dqn_ref"]["bytes_per_transition"] <= 84 * 84 + 14
    if "sb3" in entries:
        # Two stacks of four frames, action int64, and three float32; `single` keeps one stack.
        assert entries["sb3"]["bytes_per_transition"] == 2 * 4 * 84 * 84 + 8 + 3 * 4
        assert entries["single"]["bytes_per_transition"] == 4 * 84 * 84 + 8 + 3 * 4
        for name in ("sb3", "single"):
            assert entries[name]["steps"] == 4 * entries[name]["updates"]
        assert entries["sb3"]["ratio"]["of_medians"] == 1.0
        assert entries["dqn_ref"]["ratio"]["of_medians"] > 0
    floor = measured["floors"]["dqn_ref"]
    assert floor["flop_per_update"] == 2_182_610_944  # see test_benchmarks_floor.py
    assert 0 < floor["floor_ms_per_update"] < floor["measured_ms_per_update"]
    parts = floor["profile_ms_per_update"]
    assert list(parts) == ["act", "send+recv", "learn", "remember", "rest"]
    # A loop that fetched its methods once, before they were wrapped, would show 0.
    assert all(milliseconds > 0 for milliseconds in parts.values())
