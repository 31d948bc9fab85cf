"""The learner's folder: where it is, and a record of progress that nothing can destroy."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dqn_ref.course import home, worker
from dqn_ref.course.home import CourseError, read_progress, record


@pytest.fixture(autouse=True)
def own_state(monkeypatch):
    """No test starts a worker, or inherits a chapter that another one began."""
    monkeypatch.setattr(home, "_current", None)
    monkeypatch.setattr(worker.Worker, "warm", lambda self: None)
    for name in ("DQN_COURSE_HOME", "DQN_COURSE_MODE", "DQN_COURSE_STRICT"):
        monkeypatch.delenv(name, raising=False)


def content(folder):
    return json.loads((folder / "progress.json").read_text(encoding="utf-8"))


def aside(folder):
    return sorted(folder.glob("progress-damaged-*.json"))


# --- where ----------------------------------------------------------------------------------------


def test_the_home_is_beside_the_chapters_wherever_the_notebook_runs(monkeypatch, tmp_path):
    """Catches a home that depends on the working directory: work would seem lost."""
    monkeypatch.chdir(tmp_path)
    checkout = Path(__file__).resolve().parents[1]
    assert home.course_home() == checkout / "my_course"
    home.begin("04")
    assert home.current() == home.Course("04", "normal", False, checkout / "my_course")


def test_the_home_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("DQN_COURSE_HOME", str(tmp_path / "a home"))
    home.begin("0")
    assert home.current().home == tmp_path / "a home" and home.current().chapter == "00"


def test_a_solution_keeps_its_state_apart_however_often_it_begins(monkeypatch, tmp_path):
    """Catches a solution that writes over the learner's pieces."""
    monkeypatch.setenv("DQN_COURSE_HOME", str(tmp_path))
    home.begin("04", solution=True)
    first = home.current()
    home.begin("04", solution=True)
    assert first.solution and first.home == home.current().home and first.home.is_dir()
    assert tmp_path not in (first.home, *first.home.parents)
    record(first.home, "ReplayMemory", True, "class ReplayMemory: ...")
    assert list(tmp_path.iterdir()) == []
    home.begin("04")
    assert home.current().home == tmp_path


def test_the_folder_of_a_solution_goes_when_python_ends(tmp_path):
    """Catches temporary folders that pile up with each run of a solution."""
    code = "from dqn_ref.course import home; print(home._scratch_home())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() and not Path(done.stdout.strip()).exists()


def test_begin_warms_the_worker_and_shows_no_path(monkeypatch, tmp_path):
    """Catches a first check that waits for PyTorch, and a path of the machine in an output."""
    warmed = []
    monkeypatch.setattr(worker.Worker, "warm", lambda self: warmed.append(self))
    monkeypatch.setenv("DQN_COURSE_HOME", str(tmp_path))
    shown = repr(home.begin("04"))
    assert shown == "Course(chapter='04', mode='normal', solution=False)"
    assert warmed == [worker.shared()]


@pytest.mark.parametrize("mode", home.MODES)
def test_modes(monkeypatch, mode):
    monkeypatch.setenv("DQN_COURSE_MODE", mode)
    assert home.begin("04").mode == home.current().mode == mode


def test_wrong_settings_are_named(monkeypatch):
    """Catches a misspelt mode that silently runs for hours, and a chapter that does not exist."""
    with pytest.raises(CourseError, match="number, such as begin"):
        home.begin("replay")
    monkeypatch.setenv("DQN_COURSE_MODE", "fast")
    with pytest.raises(CourseError, match="'fast'; choose from smoke, normal, full"):
        home.begin("04")


@pytest.mark.parametrize("value, strict", [(None, False), ("", False), ("0", False), ("1", True)])
def test_strict(monkeypatch, value, strict):
    if value is not None:
        monkeypatch.setenv("DQN_COURSE_STRICT", value)
    assert home.is_strict() is strict


# --- progress -------------------------------------------------------------------------------------


def test_an_outcome_is_recorded(tmp_path):
    place = tmp_path / "new" / "folder"
    assert read_progress(place).pieces == {} and not place.exists()
    record(place, "ReplayMemory", False, "one")
    entry = read_progress(place).pieces["ReplayMemory"]
    assert (entry["status"], entry["attempts"], entry["last_source"]) == ("failing", 1, "one")
    assert "first_passed" not in entry and entry["last_checked"].endswith("+00:00")
    assert content(place)["version"] == 1


def test_a_failure_after_a_pass_keeps_the_pass(tmp_path):
    """Catches a record in which a piece in my_dqn never passed."""
    record(tmp_path, "ReplayMemory", True, "one")
    passed = content(tmp_path)["pieces"]["ReplayMemory"]["first_passed"]
    entry = record(tmp_path, "ReplayMemory", False, "two").pieces["ReplayMemory"]
    assert (entry["status"], entry["attempts"], entry["first_passed"]) == ("failing", 2, passed)


def test_a_cell_run_twice_is_one_attempt(tmp_path):
    """Catches a count that goes up whenever a notebook is run again."""
    for source in ("one", "one", "two", "two", "one"):
        record(tmp_path, "ReplayMemory", False, source)
    assert read_progress(tmp_path).pieces["ReplayMemory"]["attempts"] == 3


def test_pieces_do_not_disturb_each_other(tmp_path):
    record(tmp_path, "ReplayMemory", True, "größer ✅")
    record(tmp_path, "luminance", False, "two")
    pieces = read_progress(tmp_path).pieces
    assert [pieces[n]["last_source"] for n in ("ReplayMemory", "luminance")] == ["größer ✅", "two"]


SOUND = {"status": "passed", "last_checked": "now", "attempts": 1, "last_source": "x"}


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe\x00",
        b'{"version": 1, "pieces": {"Repl',
        b"[]",
        b"null",
        b'{"pieces": {}}',
        b'{"version": "1", "pieces": {}}',
        b'{"version": 1, "pieces": []}',
        b"[" * 100_000,
    ],
    ids=["empty", "bytes", "cut", "list", "null", "no version", "text", "no pieces", "deep"],
)
def test_a_damaged_file_is_set_aside_and_named(tmp_path, damage):
    """Catches progress that is overwritten because a power cut or an editor damaged it."""
    (tmp_path / "progress.json").write_bytes(damage)
    progress = record(tmp_path, "ReplayMemory", True, "one")
    (kept,) = aside(tmp_path)
    assert kept.read_bytes() == damage
    assert kept.name in progress.notice and "\n" not in progress.notice
    assert set(content(tmp_path)["pieces"]) == {"ReplayMemory"}
    assert read_progress(tmp_path).notice is None


@pytest.mark.parametrize(
    "broken",
    [
        None,
        {},
        {**SOUND, "attempts": "many"},
        {**SOUND, "status": "great"},
        {**SOUND, "attempts": True},
    ],
)
def test_what_is_sound_in_a_damaged_file_goes_on(tmp_path, broken):
    """Catches one bad entry that takes all others with it, also when the file is only read."""
    whole = json.dumps({"version": 1, "pieces": {"luminance": SOUND, "resize": broken}})
    (tmp_path / "progress.json").write_text(whole)
    progress = read_progress(tmp_path)
    assert progress.pieces == {"luminance": SOUND} and "luminance" in progress.notice
    assert [path.read_text() for path in aside(tmp_path)] == [whole]
    assert content(tmp_path)["pieces"] == {"luminance": SOUND}


def test_two_damaged_files_within_a_second_are_both_kept(tmp_path, monkeypatch):
    """Catches a file set aside over another one."""
    monkeypatch.setattr(home.time, "strftime", lambda form: "20250101-000000")
    for damage in ("one", "two", "three"):
        (tmp_path / "progress.json").write_text(damage)
        record(tmp_path, "ReplayMemory", True, "x")
    assert {path.read_text() for path in aside(tmp_path)} == {"one", "two", "three"}


def test_a_file_of_a_newer_course_is_left_alone(tmp_path):
    """Catches an older checkout that destroys what a newer one wrote."""
    newer = '{"version": 2, "pieces": {"ReplayMemory": 17}}'
    (tmp_path / "progress.json").write_text(newer)
    for use in (lambda: record(tmp_path, "x", True, ""), lambda: read_progress(tmp_path)):
        with pytest.raises(CourseError, match="newer version"):
            use()
    assert (tmp_path / "progress.json").read_text() == newer and not aside(tmp_path)


def test_a_home_that_cannot_be_used_is_one_sentence(tmp_path):
    """Catches a traceback where a folder was mistyped."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CourseError, match="set DQN_COURSE_HOME to a folder of yours"):
        record(tmp_path / "file", "ReplayMemory", True, "x")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    """Catches a write in place: a full disk would take all progress."""
    record(tmp_path, "ReplayMemory", True, "one")
    before = (tmp_path / "progress.json").read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(home.os, "fsync", full)
    with pytest.raises(CourseError, match="No space left on device"):
        record(tmp_path, "ReplayMemory", False, "two")
    assert (tmp_path / "progress.json").read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))


WRITER = """
import sys
from pathlib import Path
from dqn_ref.course import home
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    home.record(Path(sys.argv[1]), f"{sys.argv[2]}_{number}", True, "x" * 1000)
"""


def test_two_processes_that_write_at_once_lose_nothing(tmp_path):
    """Catches a read and a write without a lock: two open notebooks would lose entries."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in ("a", "b")
    ]
    for writer in writers:
        assert writer.stdout.readline().strip() == b"ready"
    for writer in writers:
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    for writer in writers:
        writer.stdin.close()
        writer.stdout.close()
    expected = {f"{name}_{number}" for name in "ab" for number in range(40)}
    assert set(read_progress(tmp_path).pieces) == expected
    assert not aside(tmp_path) and not list(tmp_path.glob("*.partial"))


def test_two_threads_that_write_at_once_lose_nothing(tmp_path):
    """Catches a lock that holds between processes only, and partial files of one name."""
    threads = [
        threading.Thread(
            target=lambda n=n: [record(tmp_path, f"{n}_{i}", True, "x") for i in range(20)]
        )
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_progress(tmp_path).pieces) == 80


def test_a_lock_that_nobody_gives_back_ends_in_a_sentence(tmp_path, monkeypatch):
    """Catches a notebook that waits for ever for another one."""
    record(tmp_path, "ReplayMemory", True, "x")
    monkeypatch.setattr(home, "_LOCK_SECONDS", 0.1)
    with home._locked(tmp_path), pytest.raises(CourseError, match="another program has kept"):
        record(tmp_path, "ReplayMemory", False, "y")
    assert content(tmp_path)["pieces"]["ReplayMemory"]["last_source"] == "x"
    assert os.path.exists(tmp_path / "progress.json")
