"""Who trains in a folder: one process at a time, known beyond doubt, and asked to stop by a file.

The processes of most tests claim a folder without training in it, which takes a moment.
"""

import json
import math
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

import dqn_ref
from dqn_ref import checkpoints, processes, runs
from dqn_ref.errors import RunError
from dqn_ref.processes import PROCESS_FILE, STOP_FILE, Process, claim, running_process
from dqn_ref.recipes import RecipeError, get_recipe

SMALL = dict(
    game="gallery", door="gym", repeat_frames=1, max_over="none", start_noops_max=0,
    frame_height=20, frame_width=20, architecture="mnih2013", lanes=2, batch_size=8,
    memory_frames=2_000, learning_starts=50, total_steps=200, log_every_steps=50,
    checkpoint_every_steps=10**6, device="cpu", precision="fp32", threads=1,
    target_every_steps=40, updates_at_once=1, n_step=1,
)  # fmt: skip
# Long enough to be stopped, and over in minutes if a test leaves it behind.
DETACHED = [
    "train", "--quiet", "--recipe", "gallery", "--frame-height", "20", "--frame-width", "20",
    "--architecture", "mnih2013", "--memory-frames", "2000", "--batch-size", "8",
    "--learning-starts", "50", "--total-steps", "100000", "--device", "cpu", "--precision",
    "fp32", "--threads", "1",
]  # fmt: skip

CLAIMS = """
import sys, time
from pathlib import Path
from dqn_ref.processes import claim
with claim(Path(sys.argv[1])) as held:
    print("claimed", flush=True)
    while not held.asked_to_stop():
        time.sleep(0.02)
"""


def train(folder, resume=False, on_step=None, **changes):
    recipe = get_recipe("laptop", **(SMALL | changes))
    return runs.train(recipe, folder, resume=resume, show_bar=False, on_step=on_step)


def environment():
    source = str(Path(dqn_ref.__file__).parents[1])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def files_of(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def write_process(folder, process):
    folder.mkdir(exist_ok=True)
    (folder / PROCESS_FILE).write_text(json.dumps(asdict(process)))


@pytest.fixture
def child(tmp_path):
    """A process that claims `tmp_path / "run"` until it is asked to stop."""
    command = [sys.executable, "-c", CLAIMS, str(tmp_path / "run")]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout.readline() == "claimed\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def nothing_left(tmp_path):
    """Ends what a failed test would leave running in the background."""
    yield
    for path in tmp_path.rglob(PROCESS_FILE):
        with suppress(RunError, psutil.Error):
            process = running_process(path.parent)
            if process is not None and process.pid != os.getpid():
                psutil.Process(process.pid).kill()


# ---- one at a time -------------------------------------------------------------------------------


def test_a_second_training_is_refused_while_the_first_is_alive(tmp_path, child):
    """Catches two trainings that write into one folder, and a refusal that touches its files."""
    run = tmp_path / "run"
    wait_for(lambda: processes.read_process(run).training)
    before = files_of(run)
    for resume in (False, True):
        with pytest.raises(RunError, match=f"process {child.pid}") as error:
            train(run, resume=resume)
        assert "\n" not in str(error.value) and files_of(run) == before
    processes.request_stop(run)
    assert child.wait(timeout=60) == 0
    assert list(run.parent.iterdir()) == []  # nothing was trained: the folder is gone, too
    train(run)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no zombies")
def test_a_killed_process_is_dead_even_before_its_parent_has_looked(tmp_path, child):
    """Catches a notebook whose killed training counts as running until the kernel ends."""
    run = tmp_path / "run"
    child.kill()
    wait_for(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    assert running_process(run) is None and (run / PROCESS_FILE).exists()
    with claim(run):
        assert processes.read_process(run).pid == os.getpid()


def test_a_number_that_was_given_to_another_process_is_dead(tmp_path):
    """Catches a run that can never be resumed, because its number belongs to a browser now."""
    mine = Process.this()
    write_process(tmp_path, mine)
    assert running_process(tmp_path) == mine
    for other in (
        replace(mine, create_time=mine.create_time - 100),
        replace(mine, create_time=mine.create_time - 100, boot_time=math.nan),
        replace(mine, create_time=mine.create_time + 100, boot_time=mine.boot_time - 100),
    ):
        write_process(tmp_path, other)
        assert running_process(tmp_path) is None
    with claim(tmp_path):
        pass


def test_a_clock_that_is_set_kills_nobody(tmp_path):
    """Catches a second training beside a living one, after a laptop woke up and set its clock."""
    mine = Process.this()
    hour = replace(mine, create_time=mine.create_time - 3600, boot_time=mine.boot_time - 3600)
    write_process(tmp_path, hour)
    assert running_process(tmp_path) == hour


def test_a_process_nobody_may_look_at_counts_as_alive(tmp_path, monkeypatch):
    """Catches a guess in favour of two trainings where another user runs the first."""

    def denied(pid):
        raise psutil.AccessDenied(pid)

    write_process(tmp_path, Process.this())
    monkeypatch.setattr(processes.psutil, "Process", denied)
    assert running_process(tmp_path) is not None


def test_another_host_is_named_and_not_guessed_about(tmp_path):
    """Catches a shared folder in which the number of another machine's process means nothing."""
    write_process(tmp_path, replace(Process.this(), pid=2**30, host="elsewhere"))
    before = files_of(tmp_path)
    for resume in (False, True):
        with pytest.raises(RunError, match="trained on elsewhere") as error:
            train(tmp_path, resume=resume)
        assert "\n" not in str(error.value) and str(tmp_path / PROCESS_FILE) in str(error.value)
    assert files_of(tmp_path) == before


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"pid": 1}',
     b'{"pid": -1, "create_time": 1, "host": "x"}', b'{"pid": [], "create_time": 1, "host": 1}',
     b'{"pid": Infinity, "create_time": 1, "host": "x"}', b'{"name": "somebody else\'s"}'],
)  # fmt: skip
def test_a_file_that_is_damaged_or_not_ours_is_refused_and_kept(tmp_path, content):
    """Catches a traceback, and the loss of somebody's own `process.json`."""
    (tmp_path / PROCESS_FILE).write_bytes(content)
    with pytest.raises(RunError, match="damaged or no training wrote it") as error:
        with claim(tmp_path):
            pass
    assert "\n" not in str(error.value)
    assert files_of(tmp_path) == {tmp_path / PROCESS_FILE: content}


def test_of_many_that_claim_at_once_one_gets_the_folder(tmp_path):
    """Catches two resumes, started by a double click, that both replace a dead one's name."""
    dead = replace(Process.this(), create_time=1.0, boot_time=math.nan)
    count = 6
    for turn in range(5):
        run = tmp_path / str(turn)
        write_process(run, dead)
        ready, over, won = threading.Barrier(count), threading.Barrier(count), []

        def compete(run=run, ready=ready, over=over, won=won):
            ready.wait(60)
            try:
                with claim(run):
                    won.append(1)
                    over.wait(60)
            except RunError:
                over.wait(60)

        threads = [threading.Thread(target=compete) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1 and not files_of(run)


def test_a_kill_while_a_folder_is_claimed_blocks_nobody(tmp_path, monkeypatch):
    """Catches a half-written claim that keeps everybody out for ever."""
    monkeypatch.setattr(processes, "_CLAIM_SECONDS", 0.1)
    (tmp_path / (PROCESS_FILE + ".partial")).write_text('{"pid"')
    with claim(tmp_path):
        assert processes.read_process(tmp_path).pid == os.getpid()
    assert not files_of(tmp_path)


# ---- afterwards ----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RunError, KeyboardInterrupt, RecipeError])
def test_a_training_that_fails_leaves_neither_its_name_nor_a_folder_made_for_nothing(
    tmp_path, error
):
    """Catches a run that is refused for ever after a mistake in its first settings."""
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(error):
        with claim(tmp_path / "new" / "run"):
            raise error
    with pytest.raises(error):
        with claim(tmp_path):
            raise error
    assert files_of(tmp_path) == {tmp_path / "mine.txt": b"mine"}
    assert list(tmp_path.iterdir()) == [tmp_path / "mine.txt"]


def test_somebody_elses_name_stays(tmp_path):
    """Catches an end that takes away the name of the training that came after."""
    other = replace(Process.this(), pid=1)
    with claim(tmp_path):
        write_process(tmp_path, other)
    assert processes.read_process(tmp_path) == other


def test_a_folder_that_is_deleted_under_a_training_does_no_further_harm(tmp_path):
    """Catches a traceback at the end, and a folder that comes back as a ghost."""
    with claim(tmp_path / "run") as held:
        (tmp_path / "run" / PROCESS_FILE).unlink()
        (tmp_path / "run").rmdir()
        assert not held.asked_to_stop()
    assert not (tmp_path / "run").exists()


def test_a_folder_is_free_until_something_is_trained_there(tmp_path):
    """Catches a first try that failed and blocks its folder, and a run taken for a free folder."""
    assert processes.is_free(tmp_path / "new") and processes.is_free(tmp_path)
    for name in (PROCESS_FILE, STOP_FILE, processes.OUTPUT_FILE):
        (tmp_path / name).touch()
    assert processes.is_free(tmp_path)
    (tmp_path / "notes.txt").touch()
    assert not processes.is_free(tmp_path)


# ---- asking to stop ------------------------------------------------------------------------------


def test_the_disk_is_looked_at_once_a_second(tmp_path, monkeypatch):
    """Catches a look at every step, thousands a second, and a request that is never seen."""
    now = [1000.0]
    with claim(tmp_path) as held:
        monkeypatch.setattr(processes.time, "monotonic", lambda: now[0])
        assert not held.asked_to_stop()
        processes.request_stop(tmp_path)
        now[0] += 0.9
        assert not held.asked_to_stop()
        now[0] += 0.2
        assert held.asked_to_stop()
        monkeypatch.undo()
        assert held.asked_to_stop()
    assert not files_of(tmp_path)


def test_a_request_to_a_dead_training_does_not_stop_the_next(tmp_path):
    """Catches a resume that ends at its first step."""
    processes.request_stop(tmp_path)
    with claim(tmp_path) as held:
        assert not held.asked_to_stop()


def test_a_training_names_its_process_and_stops_when_asked(tmp_path, monkeypatch):
    """Catches a training loop that does not look, and a stop that costs the checkpoint."""
    monkeypatch.setattr(processes, "_LOOK_SECONDS", 0.0)
    seen = []

    def on_step(parts):
        seen.append(processes.read_process(tmp_path))
        if parts.counters.steps >= 100:
            processes.request_stop(tmp_path)
        return False

    parts = train(tmp_path, on_step=on_step)
    assert 100 <= parts.counters.steps <= 104
    kept = checkpoints.load_tensors(tmp_path / runs.CHECKPOINT_FILE)[1]["counters"]
    assert kept["steps"] == parts.counters.steps
    assert all(process.pid == os.getpid() and process.training for process in seen)
    assert not (tmp_path / PROCESS_FILE).exists() and not (tmp_path / STOP_FILE).exists()
    assert not list(tmp_path.glob("*.partial"))


# ---- in the background ---------------------------------------------------------------------------


def test_a_detached_training_outlives_its_parent(tmp_path, nothing_left):
    """Catches a training that ends with the notebook or the terminal that started it."""
    run = tmp_path / "new" / "run"
    code = "import sys; from pathlib import Path; from dqn_ref.processes import start_detached\n"
    code += "start_detached(sys.argv[2:], Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(run), *DETACHED, "--run-dir", str(run)]
    parent = subprocess.run(command, env=environment(), capture_output=True, timeout=120)
    assert (parent.returncode, parent.stdout) == (0, b""), parent.stderr

    def trains():
        process = running_process(run)
        return process is not None and process.training

    wait_for(trains)
    process = running_process(run)
    if os.name != "nt":
        assert os.getsid(process.pid) == process.pid  # a Ctrl-C or a hang-up passes it by
    processes.request_stop(run)
    wait_for(lambda: running_process(run) is None)
    assert (run / runs.CHECKPOINT_FILE).exists() and not (run / PROCESS_FILE).exists()
    wait_for(lambda: "stopped early" in (run / processes.OUTPUT_FILE).read_text())


def test_a_detached_training_that_fails_says_its_sentence_and_leaves_the_folder_free(
    tmp_path, monkeypatch
):
    """Catches a failure that stays in the log, and the words of an earlier start told again."""
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    for word in ("first", "second"):
        started = processes.start_detached(
            ["train", "--run-dir", str(tmp_path / "run"), f"--{word}"], tmp_path / "run"
        )
        with pytest.raises(RunError, match=word) as error:
            started.wait(60)
        assert "\n" not in str(error.value)
        assert started.said().strip() == str(error.value)
    assert "first" in started.log.read_text() and processes.is_free(tmp_path / "run")


@pytest.mark.parametrize(
    "text, words",
    [
        ("a\ndqn_ref: there is no game\n\n", "there is no game"),
        ("Traceback (most recent call last):\n  File\nValueError: x\n", "ends with: ValueError: x"),
        ("", "status 2 and said nothing"),
    ],
)
def test_the_last_words_of_a_training_are_one_sentence(tmp_path, text, words):
    """Catches a traceback that reaches the learner as if it were an explanation."""
    (tmp_path / processes.OUTPUT_FILE).write_text("of before\n" + text)
    ended = SimpleNamespace(poll=lambda: 2)
    started = processes.Detached(ended, tmp_path, len("of before\n"))
    with pytest.raises(RunError, match=words) as error:
        started.wait(0)
    assert "\n" not in str(error.value) and "of before" not in str(error.value)


def test_waiting_ends(tmp_path):
    """Catches a wait without end for a training that hangs."""
    hangs = SimpleNamespace(poll=lambda: None)
    assert processes.Detached(hangs, tmp_path, 0).wait(0.2) is False
