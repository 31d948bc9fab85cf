"""`python -m dqn_ref runs`: what a learner is told about runs, and what may be done to them."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

import dqn_ref
from dqn_ref import processes, run_folders, runs
from dqn_ref.__main__ import main
from dqn_ref.errors import RunError
from dqn_ref.processes import OUTPUT_FILE, PROCESS_FILE, STOP_FILE, Process
from dqn_ref.recipes import Recipe, get_recipe
from dqn_ref.reporting import read_rows

SMALL = dict(
    game="gallery", door="gym", repeat_frames=1, max_over="none", start_noops_max=0,
    frame_height=20, frame_width=20, architecture="mnih2013", lanes=2, batch_size=8,
    memory_frames=2_000, learning_starts=50, total_steps=200, log_every_steps=50,
    checkpoint_every_steps=10**6, device="cpu", precision="fp32", threads=1,
    target_every_steps=40, updates_at_once=1, n_step=1,
)  # fmt: skip
# Long enough to be stopped, and over in minutes if a test leaves it behind.
LONG = 100_000


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run, to be copied."""
    before = torch.get_num_threads()
    run = tmp_path_factory.mktemp("trained") / "run"
    runs.train(get_recipe("laptop", **SMALL), run, show_bar=False)
    torch.set_num_threads(before)
    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for runs; what a failed test would leave running there is ended."""
    source = str(Path(dqn_ref.__file__).parents[1])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "runs").mkdir()
    yield tmp_path / "runs"
    for path in tmp_path.rglob(PROCESS_FILE):
        with suppress(RunError, psutil.Error):
            process = processes.running_process(path.parent)
            if process is not None and process.pid != os.getpid():
                psutil.Process(process.pid).kill()


def copy(trained, path, **changes):
    """A copy of the run, with other settings in its recipe."""
    shutil.copytree(trained, path)
    fields = json.loads((path / "recipe.json").read_text())
    (path / "recipe.json").write_text(json.dumps(fields | changes))
    return path


def write_process(run, **changes):
    (run / PROCESS_FILE).write_text(json.dumps(asdict(replace(Process.this(), **changes))))


def command(*arguments):
    """Run in this process; the exit status."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as error:
        return error.code


def in_a_process(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "dqn_ref", *map(str, arguments)],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip


def check_one_sentence(capsys, *arguments):
    capsys.readouterr()
    status = command(*arguments)
    error = capsys.readouterr().err
    assert status == 2 and error.count("\n") == 1 and "Traceback" not in error, error
    return error


def files_of(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def states(folder):
    return {run.name: run.state for run in run_folders.list_runs(folder)}


# ---- the list ------------------------------------------------------------------------------------


def test_every_state_is_told_from_the_others(trained, folder):
    """Catches a killed run that counts as running or as finished, and a living one as dead."""
    copy(trained, folder / "a-finished")
    copy(trained, folder / "b-stopped", total_steps=400)
    write_process(copy(trained, folder / "c-killed", total_steps=400), create_time=1.0, boot_time=1)
    (copy(trained, folder / "d-no-checkpoint") / runs.CHECKPOINT_FILE).unlink()
    write_process(copy(trained, folder / "e-running", total_steps=400))
    (folder / "f-starting").mkdir()
    write_process(folder / "f-starting")
    write_process(copy(trained, folder / "g-elsewhere", total_steps=400), host="elsewhere")
    write_process(copy(trained, folder / "h-killed-at-its-end"), create_time=1.0, boot_time=1)
    (folder / "films").mkdir()  # not a run
    (folder / "notes.txt").write_text("neither")
    assert states(folder) == {
        "a-finished": "finished", "b-stopped": "stopped early", "c-killed": "interrupted",
        "d-no-checkpoint": "interrupted", "e-running": "running", "f-starting": "running",
        "g-elsewhere": "on another host", "h-killed-at-its-end": "finished",
    }  # fmt: skip


def test_the_numbers_are_those_of_the_run(trained, folder, capsys):
    """Catches columns that are exchanged, and a score over other games than the last 100."""
    copy(trained, folder / "first")
    games = read_rows(trained / "games.csv")
    assert command("runs", "--folder", folder) == 0
    listed = capsys.readouterr().out
    head, line = listed.splitlines()
    assert head.split() == "name state steps games mean of 100 last change".split()
    name, state, steps, of, total, number, score, day, hour = line.split()
    assert (name, state, of, total) == ("first", "finished", "of", "200")
    assert int(steps) in (200, 201) and int(number) == len(games) > 0
    mean = np.mean([float(game["score"]) for game in games[-100:]])
    assert float(score) == pytest.approx(mean, abs=0.051)
    year = day.split("-")[0]
    assert year.isdigit() and int(year) >= 2024 and ":" in hour
    for arguments in (("runs", "list", "--folder", folder), ("runs", "--folder", folder, "list")):
        assert command(*arguments) == 0  # the flag counts before the action, too
        assert capsys.readouterr().out == listed


def test_a_killed_run_is_shown_as_it_will_be_resumed(trained, folder):
    """Catches steps and scores that the kill has undone."""
    run = copy(trained, folder / "first", total_steps=1_000)
    kept = run_folders.look(run)
    with open(run / "log.csv", "a") as log:
        log.write("999,9.9,99,99,77.0,0,99,0.1,0.1,0.1,9.9\n1000,torn")
    assert replace(run_folders.look(run), changed=None) == replace(kept, changed=None)
    write_process(run)  # but a running one has really come that far
    assert run_folders.look(run).steps == 999 and run_folders.look(run).score_mean == 77.0


@pytest.mark.parametrize(
    "name, content",
    [("recipe.json", b"{"), ("recipe.json", b"\xff\xfe"), ("recipe.json", b"[]"),
     ("recipe.json", None), ("checkpoint.safetensors", b""), ("checkpoint.safetensors", b"x" * 99),
     ("checkpoint.safetensors", "weights.safetensors"), ("log.csv", b"agent_steps\nx\n"),
     ("log.csv", b"\xff\xfe\x00\n"), (PROCESS_FILE, b""), (PROCESS_FILE, b"[1]")],
)  # fmt: skip
def test_a_damaged_run_is_shown_as_damaged_and_hides_no_other(
    trained, folder, capsys, name, content
):
    """Catches a list that ends in a traceback because of one bad file."""
    copy(trained, folder / "good")
    bad = copy(trained, folder / "bad")
    if content is None:
        (bad / name).unlink()
    else:
        (bad / name).write_bytes((bad / content).read_bytes() if name and isinstance(content, str)
                                 else content)  # fmt: skip
    before = files_of(folder)
    assert command("runs", "--folder", folder) == 0
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("bad ") and "damaged" in first and name in first
    assert second.startswith("good ") and "finished" in second
    check_one_sentence(capsys, "runs", "resume", "bad", "--folder", folder)
    check_one_sentence(capsys, "runs", "stop", "bad", "--folder", folder)
    assert files_of(folder) == before


def test_no_folder_and_no_runs_are_said_in_a_sentence(folder, capsys):
    """Catches a traceback, or silence, on a learner's first try."""
    assert command("runs", "--folder", folder) == 0
    assert "no run yet" in capsys.readouterr().out
    for arguments in ((), ("list",), ("stop", "x"), ("resume", "x"), ("clean",), ("clean", "x")):
        error = check_one_sentence(capsys, "runs", *arguments, "--folder", folder / "gone")
        assert "train --run-dir" in error
    assert not (folder / "gone").exists()


def test_a_list_does_not_load_pytorch(trained, folder):
    """Catches a list that takes seconds, by an import at the head of a module."""
    copy(trained, folder / "first")
    code = "import sys; from dqn_ref.__main__ import main; main(sys.argv[1:])\n"
    code += "sys.exit(str(sorted({'torch', 'ale_py', 'pandas'} & set(sys.modules))))"
    arguments = [sys.executable, "-c", code, "runs", "--folder", str(folder)]
    listed = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert "finished" in listed.stdout and listed.stderr.strip() == "[]"


# ---- names ---------------------------------------------------------------------------------------


def test_a_name_is_that_of_a_run_in_the_folder(trained, folder, monkeypatch):
    """Catches a name that reaches beyond the folder, above all for `clean`."""
    inside, outside = copy(trained, folder / "first"), copy(trained, folder.parent / "outside")
    monkeypatch.chdir(folder.parent)
    for name in ("first", "first/", "runs/first", str(inside), "./runs/first/"):
        assert run_folders.find(Path("runs"), name).samefile(inside)
    for name in ("", ".", "..", "../outside", "outside", "runs/..", "runs/../outside", "/", "runs",
                 str(outside), "first/..", "first/tensorboard", "nowhere", "no/where"):  # fmt: skip
        with pytest.raises(RunError) as error:
            run_folders.find(Path("runs"), name)
        assert "\n" not in str(error.value)


# ---- stop and resume -----------------------------------------------------------------------------


def test_only_a_running_run_can_be_stopped(trained, folder, capsys):
    """Catches a request that waits in a dead run's folder, and a wait without end."""
    copy(trained, folder / "first")
    error = check_one_sentence(capsys, "runs", "stop", "first", "--folder", folder)
    assert "not running: finished" in error and not (folder / "first" / STOP_FILE).exists()
    write_process(folder / "first", host="elsewhere")
    assert "elsewhere" in check_one_sentence(capsys, "runs", "stop", "first", "--folder", folder)
    assert not (folder / "first" / STOP_FILE).exists()


def test_a_stop_that_takes_too_long_is_said_and_stays_asked_for(trained, folder, monkeypatch):
    """Catches a stop that waits for ever for an evaluation, or takes its request back."""
    monkeypatch.setattr(run_folders, "_SAY_SECONDS", 0.0)
    run, told = copy(trained, folder / "first", total_steps=400), []
    write_process(run)  # this process: it does not look
    with pytest.raises(RunError, match="not stopped within 0.3 seconds"):
        run_folders.stop(folder, "first", 0.3, told.append)
    assert (run / STOP_FILE).exists()
    assert f"process {os.getpid()}" in told[0] and "still running" in told[1]


def test_only_what_can_go_on_is_resumed(trained, folder, capsys):
    """Catches a resume that starts a process to say what is known before."""
    copy(trained, folder / "finished")
    write_process(copy(trained, folder / "running", total_steps=400))
    write_process(copy(trained, folder / "elsewhere", total_steps=400), host="elsewhere")
    before = files_of(folder)
    for name, words in (
        ("finished", "--total-steps"), ("running", "running already"), ("elsewhere", "elsewhere")
    ):  # fmt: skip
        assert words in check_one_sentence(capsys, "runs", "resume", name, "--folder", folder)
    assert files_of(folder) == before


def test_a_run_is_resumed_in_the_background_stopped_killed_and_cleaned(trained, folder, capsys):
    """Catches whatever keeps the commands from working together on a real training.

    Resumed by a process that ends; refused to a second one; stopped; resumed; killed.
    """
    run = copy(trained, folder / "first", total_steps=LONG)
    begun = run_folders.look(run).steps
    resumed = in_a_process("runs", "resume", "first", "--folder", folder)
    assert resumed.returncode == 0 and "running" in resumed.stdout, resumed.stderr
    assert states(folder) == {"first": "running"}
    pid = processes.running_process(run).pid
    for arguments in (
        ("runs", "resume", "first", "--folder", folder),
        ("runs", "clean", "first", "--yes", "--folder", folder),
        ("train", "--resume", "--quiet", "--run-dir", run),
        ("train", "--quiet", "--run-dir", run),
    ):
        assert str(pid) in check_one_sentence(capsys, *arguments)
    assert command("runs", "clean", "--folder", folder) == 0
    assert processes.running_process(run).pid == pid and (run / "recipe.json").exists()

    capsys.readouterr()
    assert command("runs", "stop", "first", "--folder", folder) == 0
    said = capsys.readouterr().out
    assert f"process {pid}" in said and f"runs resume first --folder {folder}" in said
    stopped = run_folders.look(run)
    assert stopped.state == "stopped early" and stopped.steps > begun
    assert f"{stopped.steps:,} of {LONG:,} steps" in said

    told = []
    assert run_folders.resume(folder, "first", tell=told.append).state == "running"
    process = psutil.Process(processes.running_process(run).pid)
    process.kill()
    process.wait(60)
    assert states(folder) == {"first": "interrupted"}
    (run / "checkpoint.safetensors.partial").write_text("torn")
    capsys.readouterr()
    assert command("runs", "clean", "--folder", folder) == 0
    said = capsys.readouterr().out
    assert PROCESS_FILE in said and "checkpoint.safetensors.partial" in said
    assert states(folder) == {"first": "stopped early"}
    assert run_folders.look(run).steps == stopped.steps
    assert (run / OUTPUT_FILE).read_text().count("train --resume") >= 2


def test_a_resume_that_fails_says_why(trained, folder, capsys):
    """Catches a start that is called a success because a process was made."""
    run = copy(trained, folder / "first", total_steps=LONG, game="nowhere")
    error = check_one_sentence(capsys, "runs", "resume", "first", "--folder", folder)
    assert "nowhere" in error
    assert states(folder) == {"first": "stopped early"} and Recipe.load(run / "recipe.json")


# ---- clean ---------------------------------------------------------------------------------------


def test_cleaning_removes_what_holds_nothing_and_nothing_else(trained, folder, capsys):
    """Catches the loss of a file of the learner's, or of one that a living training needs."""
    dead = copy(trained, folder / "dead", total_steps=400)
    write_process(dead, create_time=1.0, boot_time=1)
    leftovers = [PROCESS_FILE, STOP_FILE, "log.csv.partial", "process.json.7.partial"]
    for name in leftovers[1:]:
        (dead / name).write_text("torn")
    (dead / "film.mp4").write_text("the learner's")
    (dead / "folder.partial").mkdir()
    (dead / "folder.partial" / "x").write_text("the learner's")
    write_process(copy(trained, folder / "alive"))
    write_process(copy(trained, folder / "elsewhere"), host="elsewhere")
    (copy(trained, folder / "odd") / PROCESS_FILE).write_text("{")
    for name in ("alive", "elsewhere", "odd"):
        (folder / name / "log.csv.partial").write_text("being written")
    (folder / "films").mkdir()
    (folder / "films" / "a.partial").write_text("not a run's")
    before = files_of(folder)
    assert command("runs", "clean", "--folder", folder) == 0
    gone = {path for path in before if path.parent == dead and path.name in leftovers}
    assert len(gone) == len(leftovers)
    assert files_of(folder) == {p: text for p, text in before.items() if p not in gone}
    said = capsys.readouterr().out
    assert all(f"removed {path}" in said for path in gone) and said.count("left as it is") == 2
    assert command("runs", "clean", "--folder", folder) == 0
    assert "nothing to clean" in capsys.readouterr().out


def test_deleting_shows_asks_and_deletes_what_was_named(trained, folder, capsys, monkeypatch):
    """Catches a deletion without a yes, of more than was named, or through a link."""
    keep = folder.parent / "keep"
    keep.mkdir()
    (keep / "film.mp4").write_text("the learner's")
    for name in ("one", "two", "three"):
        copy(trained, folder / name)
    try:
        (folder / "one" / "films").symlink_to(keep)
    except OSError:
        pytest.skip("links take rights here")
    delete = ("runs", "clean", "one", "two/", "one", "--folder", folder)
    before = files_of(folder)
    assert "--yes" in check_one_sentence(capsys, *delete)  # no terminal to ask on
    monkeypatch.setattr(sys, "stdin", Terminal("n"))
    assert command(*delete) == 0 and "nothing was deleted" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    assert command(*delete) == 0 and files_of(folder) == before
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", Terminal("y"))
    assert command(*delete) == 0
    said = capsys.readouterr().out
    assert "one: finished" in said and "checkpoint.safetensors" in said and " MB" in said
    assert said.count("deleted ") == 2
    assert states(folder) == {"three": "finished"} and files_of(keep)
    monkeypatch.setattr(sys, "stdin", Terminal("n"))
    assert command("runs", "clean", "three", "--yes", "--folder", folder) == 0
    assert list(folder.iterdir()) == []


class Terminal:
    """Somebody at the keyboard."""

    def __init__(self, answer):
        self.answer = answer

    def isatty(self):
        return True

    def readline(self, *args):
        return self.answer and self.answer + "\n"


def test_what_is_no_run_or_still_runs_is_never_deleted(trained, folder, capsys):
    """Catches `clean` on a folder of the learner's, on a link, on a living run; and half a list."""
    copy(trained, folder / "good")
    write_process(copy(trained, folder / "alive"))
    write_process(copy(trained, folder / "elsewhere"), host="elsewhere")
    (copy(trained, folder / "no-recipe") / "recipe.json").unlink()
    (folder / "films").mkdir()
    (folder / "films" / "film.mp4").write_text("the learner's")
    outside = copy(trained, folder.parent / "outside")
    names = ["alive", "elsewhere", "no-recipe", "films", "../outside", str(outside), "..", "gone"]
    try:
        (folder / "link").symlink_to(outside)
        names.append("link")
    except OSError:  # links take rights on Windows
        pass
    before = files_of(folder.parent)
    for name in names:
        check_one_sentence(capsys, "runs", "clean", "good", name, "--yes", "--folder", folder)
    assert files_of(folder.parent) == before
