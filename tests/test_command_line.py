"""`python -m dqn_ref` as a user meets it: real Breakout, and one sentence for each mistake.

Every refusal is checked by one rule (`check_one_sentence`): exit status 2, one line on standard
error, no traceback, no file changed.
"""

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import dqn_ref
from dqn_ref import agents, checkpoints, reporting, runs
from dqn_ref.__main__ import main
from dqn_ref.network import QNetwork
from dqn_ref.recipes import Recipe
from dqn_ref.reporting import read_rows

# Real Breakout; a network of the 2013 paper on small frames keeps it short.
BREAKOUT = [
    "--recipe", "laptop", "--total-steps", "1500", "--learning-starts", "500",
    "--memory-frames", "5000", "--log-every-steps", "500", "--checkpoint-every-steps", "1000",
    "--frame-height", "44", "--frame-width", "44", "--architecture", "mnih2013",
    "--batch-size", "8", "--device", "cpu", "--precision", "fp32", "--threads", "1",
    "--lanes", "8", "--updates-at-once", "2",
]  # fmt: skip
GALLERY = [
    "--game", "gallery", "--door", "gym", "--repeat-frames", "1", "--max-over", "none",
    "--start-noops-max", "0", "--frame-height", "20", "--frame-width", "20", "--architecture",
    "mnih2013", "--lanes", "2", "--batch-size", "8", "--memory-frames", "2000",
    "--learning-starts", "50", "--total-steps", "200", "--log-every-steps", "50",
    "--checkpoint-every-steps", "50", "--device", "cpu", "--precision", "fp32", "--threads", "1",
]  # fmt: skip
PROMISED = {
    "agent_steps", "wall_seconds", "updates", "episodes", "score_mean", "epsilon", "loss", "q_mean"
}  # fmt: skip


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def command(*arguments):
    """Run in this process; the exit status."""
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as error:
        return error.code


def environment():
    source = str(Path(dqn_ref.__file__).parents[1])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def in_a_process(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "dqn_ref", *map(str, arguments)], env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def files_of(folder):
    # A picture or a film may be written anew; nothing else may.
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# ---- what works ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def breakout(tmp_path_factory):
    """A short run on real Breakout, trained by the command line."""
    before = torch.get_num_threads()
    folder = tmp_path_factory.mktemp("breakout") / "first"
    assert command("train", *BREAKOUT, "--run-dir", folder) == 0
    torch.set_num_threads(before)
    return folder


def test_training_writes_what_is_promised(breakout):
    rows = read_rows(breakout / "log.csv")
    assert PROMISED <= set(rows[0])
    assert [int(row["agent_steps"]) // 500 for row in rows] == [1, 2, 3]
    first, _, last = rows
    assert int(first["updates"]) == 0 and int(last["updates"]) > 200
    assert float(last["loss"]) >= 0
    assert float(last["q_mean"]) == float(last["q_mean"])  # not nan
    assert int(last["episodes"]) == len(read_rows(breakout / "games.csv")) > 0
    recipe = Recipe.load(breakout / "recipe.json")
    assert recipe.total_steps == 1500 and recipe.fire_after_life  # the recipe's own, kept
    decayed = 1_500 / recipe.epsilon_decay_steps * (1 - recipe.epsilon_end)
    assert float(last["epsilon"]) == pytest.approx(1 - decayed, abs=1e-3) and 0.01 < decayed < 0.1
    recipe, learner = agents.load_agent(breakout)
    assert sum(p.numel() for p in learner.online.parameters()) > 10_000
    board = EventAccumulator(str(breakout / "tensorboard"))
    board.Reload()
    assert [event.step for event in board.Scalars("train/loss")] == [
        int(row["agent_steps"]) for row in rows[1:]
    ]


def test_evaluation_tells_protocol_and_scores(breakout, capsys):
    arguments = ["--run-dir", breakout, "--games", 2, "--epsilon", 1, "--seed", 3]
    assert command("evaluate", *arguments) == 0
    first = capsys.readouterr().out
    assert "2 games: mean" in first and "epsilon 1" in first and "18,000" in first
    scores = [float(x) for x in first.split("scores:")[1].split()]
    assert len(scores) == 2 and all(score >= 0 and score == int(score) for score in scores)
    command("evaluate", *arguments)
    assert capsys.readouterr().out == first  # a seed fixes it


def test_watching_makes_a_film(breakout, tmp_path, capsys):
    film = tmp_path / "new" / "out.mp4"
    assert command("watch", "--run-dir", breakout, "--video", film, "--epsilon", 1) == 0
    assert b"ftyp" in film.read_bytes()[:32]
    assert re.search(r"one game, \d+ points", capsys.readouterr().out)


def test_the_limit_of_an_evaluation_is_the_users(breakout, capsys):
    """A limit that is printed but not kept, or kept but not printed; 0 taken for no frames."""
    arguments = ["--run-dir", breakout, "--games", 1, "--epsilon", 1]
    assert command("evaluate", *arguments, "--max-frames", 100) == 0
    told = capsys.readouterr().out
    assert "at most 100 frames a game" in told and "1 cut off at the frame limit" in told
    assert command("evaluate", *arguments, "--max-frames", 0) == 0
    told = capsys.readouterr().out
    assert "at most 108,000 frames a game" in told and "cut off" not in told


def test_watching_in_other_ways(breakout, tmp_path, capsys):
    """Flags that the command line takes and loses on the way to the film."""
    film = tmp_path / "out.gif"
    arguments = ["--run-dir", breakout, "--video", film, "--epsilon", 1, "--seconds", "0.5"]
    assert command("watch", *arguments, "--view", "both", "--label", "yes") == 0
    assert f"{film}: the first 0.5 s of a game, 0 points so far" in capsys.readouterr().out
    with Image.open(film) as gif:
        # A frame of 44 × 44 is enlarged nine times beside the screen; the label stands above.
        assert (gif.size, gif.n_frames) == ((320 + 8 + 396, 32 + 420), 10)
    before = film.read_bytes()
    assert "--overwrite" in check_one_sentence(capsys, "watch", *arguments)
    assert film.read_bytes() == before
    assert command("watch", *arguments, "--overwrite") == 0
    with Image.open(film) as gif:
        assert gif.size == (160, 210)


def test_plotting_draws_the_curve(breakout, tmp_path):
    assert command("plot", "--run-dir", breakout) == 0
    assert (breakout / "curve.png").read_bytes()[:4] == b"\x89PNG"
    assert command("plot", "--run-dir", breakout, "--output", tmp_path / "x.svg") == 0
    assert (tmp_path / "x.svg").read_text().lstrip().startswith("<?xml")


def test_a_run_is_resumed_with_more_steps(tmp_path, capsys):
    run = tmp_path / "run"
    assert command("train", *GALLERY, "--run-dir", run) == 0
    assert command("train", "--resume", "--run-dir", run, "--total-steps", 400, "--quiet") == 0
    assert "400 steps" in capsys.readouterr().out.replace("401", "400")
    steps = [int(row["agent_steps"]) for row in read_rows(run / "log.csv")]
    assert steps == sorted(set(steps)) and [step // 50 for step in steps] == list(range(1, 9))
    assert Recipe.load(run / "recipe.json").game == "gallery"  # not the default recipe's


def test_the_bar_shows_progress_and_quiet_hides_it(tmp_path, capsys):
    command("train", *GALLERY, "--run-dir", tmp_path / "a")
    shown = capsys.readouterr().err
    assert "100%" in shown and "200/200" in shown and "steps/s" in shown and "score" in shown
    command("train", *GALLERY, "--run-dir", tmp_path / "b", "--quiet")
    assert capsys.readouterr().err == ""


def test_help_names_every_command_and_recipe(capsys):
    assert command("--help") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("train", "evaluate", "watch", "plot", "doctor"))
    assert command("train", "--help") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("laptop", "mnih2015", "--epsilon-decay-steps"))


# ---- what does not -------------------------------------------------------------------------------


def check_text(status, out, err):
    assert status == 2, f"exit status {status}"
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    assert "Traceback" not in err and "Error(" not in err and len(err) < 450
    return err


def check_one_sentence(capsys, *arguments):
    capsys.readouterr()
    status = command(*arguments)
    return check_text(status, *capsys.readouterr())


def test_the_rule_rejects_tracebacks_and_success():
    check_text(2, "", "dqn_ref: there is no game\n")
    for broken in (
        (0, "", "dqn_ref: there is no game\n"),
        (1, "", "Traceback (most recent call last):\n  File\nValueError: x\n"),
        (2, "", "usage: a\n\nerror: b\n"),
        (2, "", ""),
        (2, "there is no game", ""),
    ):
        with pytest.raises(AssertionError):
            check_text(*broken)


TRAIN_MISTAKES = [
    (["--game", "breakuot"], "breakuot"),
    (["--game", ""], "game"),
    (["--recipe", "desktop"], "desktop"),
    (["--no-such-flag", "1"], "no-such-flag"),
    (["--total-steps", "-5"], "total_steps"),
    (["--total-steps", "many"], "total-steps"),
    (["--total-steps", "1e6"], "total-steps"),
    (["--epsilon-end", "1.5"], "epsilon_end"),
    (["--epsilon-start", "nan"], "epsilon_start"),
    (["--learning-rate", "-1"], "learning_rate"),
    (["--double", "perhaps"], "double"),
    (["--optimizer", "sgd"], "optimizer"),
    (["--memory-frames", "99999999999"], "memory-frames"),
    (["--memory-frames", "20", "--learning-starts", "5"], "at least"),
    (["--learning-starts", "300000"], "memory_frames"),
    (["--target-every-steps", "6"], "multiple"),
    (["--frame-height", "20"], "too small"),
    (["--frame-height", "1000"], "frame_height"),
    (["--lanes", "0"], "lanes"),
    (["--seed", "-1"], "seed"),
    (["--seed", "99999999999999999999999"], "seed"),
    (["--threads", "99999999999"], "threads"),
    (["--stack-frames", "1000"], "stack_frames"),
    (["--device", "gpu"], "device"),
    (["--device", "cpu:x"], "device"),
    (["--device", "cuda:99"], "device"),
    (["--precision", "fp8"], "precision"),
    (["--resize", "bilinear"], "door=gym"),
    (["--life-noops-max", "5"], "door=gym"),
]


@pytest.mark.parametrize("arguments, word", TRAIN_MISTAKES, ids=lambda x: " ".join(x)[:40])
def test_a_mistake_in_training_is_one_sentence(arguments, word, tmp_path, capsys):
    run = tmp_path / "run"
    error = check_one_sentence(capsys, "train", "--run-dir", run, "--quiet", *arguments)
    assert word in error
    assert not run.exists()


def test_commands_without_their_arguments(capsys):
    for arguments in ((), ("fly",), ("train",), ("evaluate",), ("watch", "--run-dir", "x"),
                      ("plot",)):  # fmt: skip
        check_one_sentence(capsys, *arguments)


def test_no_command_in_a_process_of_its_own():
    child = in_a_process()
    out, err = child.communicate(timeout=120)
    assert "command" in check_text(child.returncode, out, err)


def test_an_existing_run_is_not_overwritten(breakout, capsys):
    before = files_of(breakout)
    error = check_one_sentence(capsys, "train", *BREAKOUT, "--run-dir", breakout)
    assert "--resume" in error and files_of(breakout) == before


def test_a_missing_run_is_one_sentence(tmp_path, capsys):
    gone = tmp_path / "gone"
    for arguments in (
        ("train", "--resume"), ("evaluate",), ("watch", "--video", tmp_path / "x.mp4"), ("plot",)
    ):  # fmt: skip
        check_one_sentence(capsys, *arguments, "--run-dir", gone)
    assert not gone.exists() and not (tmp_path / "x.mp4").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "--games", "0"), ("evaluate", "--games", "-3"), ("evaluate", "--games", "x"),
        ("evaluate", "--epsilon", "1.5"), ("evaluate", "--epsilon", "nan"),
        ("evaluate", "--epsilon", "much"), ("evaluate", "--seed", "-1"),
        ("evaluate", "--weights", "nowhere.safetensors"), ("watch", "--video", "film.avi"),
        ("evaluate", "--max-frames", "-1"), ("evaluate", "--max-frames", "many"),
        ("evaluate", "--max-frames", "99999999999"), ("watch", "--video", "film"),
        ("watch", "--video", "x.gif", "--view", "grey"),
        ("watch", "--video", "x.gif", "--label", "perhaps"),
        ("watch", "--video", "x.gif", "--seconds", "0"),
        ("watch", "--video", "x.gif", "--seconds", "nan"),
        ("watch", "--video", "x.gif", "--seconds", "inf"),
        ("plot", "--output", "no/such/folder/x.png"), ("plot", "--output", "curve.nonsense"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_mistake_after_training_is_one_sentence(arguments, breakout, capsys, monkeypatch,
                                                  tmp_path):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = files_of(breakout)
    check_one_sentence(capsys, *arguments, "--run-dir", breakout)
    assert files_of(breakout) == before and not files_of(tmp_path)


def test_files_that_cannot_be_used_are_one_sentence(tmp_path, capsys):
    run = tmp_path / "run"
    command("train", *GALLERY, "--run-dir", run, "--quiet")
    torch.manual_seed(0)
    other = tmp_path / "other.safetensors"
    checkpoints.save_weights(other, QNetwork(4), {})
    assert "another network" in check_one_sentence(
        capsys, "evaluate", "--run-dir", run, "--weights", other
    )
    torch.save({}, tmp_path / "x.pt")
    check_one_sentence(capsys, "evaluate", "--run-dir", run, "--weights", tmp_path / "x.pt")
    resume = ("train", "--resume", "--quiet", "--run-dir", run, "--total-steps", 300)
    more = ("evaluate", "--run-dir", run)
    watch = ("watch", "--run-dir", run, "--video", tmp_path / "x.mp4")
    cases = [
        (runs.CHECKPOINT_FILE, b"\x08" * 50, [resume]),
        (runs.WEIGHTS_FILE, b"", [more, watch]),
        (runs.RECIPE_FILE, b'{"lanes": ', [resume, more]),
        (runs.RECIPE_FILE, b'{"lanes": -1}', [resume, more]),
        ("log.csv", b"agent_steps\nx\n", [resume, ("plot", "--run-dir", run)]),
        ("log.csv", b"\xff\xfe\x00\n", [resume, ("plot", "--run-dir", run)]),
        ("games.csv", b"agent_steps\nx\n", [resume]),
    ]  # fmt: skip
    for name, content, commands in cases:
        whole = (run / name).read_bytes()
        (run / name).write_bytes(content)
        for arguments in commands:
            check_one_sentence(capsys, *arguments)
            assert (run / name).read_bytes() == content
        (run / name).write_bytes(whole)
    # A torn last row is no damage.
    with open(run / "log.csv", "ab") as file:
        file.write(b"201,3.")
    assert command("plot", "--run-dir", run) == 0
    assert command(*resume) == 0
    steps = [int(row["agent_steps"]) for row in read_rows(run / "log.csv")]
    assert steps == sorted(set(steps)) and steps[-1] in (300, 301)


def test_a_file_in_place_of_the_folder_is_one_sentence(tmp_path, capsys):
    """What no right to write looks like, also to root."""
    (tmp_path / "file").write_text("mine")
    for run in (tmp_path / "file", tmp_path / "file" / "run"):
        check_one_sentence(capsys, "train", *GALLERY, "--quiet", "--run-dir", run)
    check_one_sentence(capsys, "train", "--resume", "--quiet", "--run-dir", tmp_path / "file")
    check_one_sentence(capsys, "plot", "--run-dir", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_fills_up_is_one_sentence(tmp_path, capsys, monkeypatch):
    def full(self, **row):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(reporting.CsvLog, "write", full)
    error = check_one_sentence(capsys, "train", *GALLERY, "--quiet", "--run-dir", tmp_path / "a")
    assert "No space left" in error


def test_a_loss_that_is_no_number_is_one_sentence(tmp_path, capsys):
    error = check_one_sentence(
        capsys, "train", *GALLERY, "--quiet", "--run-dir", tmp_path / "run", "--learning-rate",
        "1e30", "--huber-delta", "inf", "--optimizer", "rmsprop",
    )  # fmt: skip
    assert "--learning-rate" in error


def test_an_interrupt_outside_training_is_one_sentence(breakout, capsys, monkeypatch):
    def interrupted(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(agents, "evaluate_run", interrupted)
    assert command("evaluate", "--run-dir", breakout) == 130
    assert capsys.readouterr().err.strip().count("\n") == 0


# ---- Ctrl-C --------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_ends_training_with_a_checkpoint_and_a_sentence(tmp_path):
    run = tmp_path / "run"
    endless = ["--total-steps", "1000000000", "--checkpoint-every-steps", "1000000000"]
    child = in_a_process("train", *GALLERY, *endless, "--run-dir", run, "--quiet")
    watchdog = threading.Timer(120, child.kill)
    watchdog.start()
    try:
        while not read_rows(run / "log.csv") and child.poll() is None:
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate()
    finally:
        watchdog.cancel()
        child.kill()
    assert child.returncode == 0 and err == ""
    steps = checkpoints.load_tensors(run / runs.CHECKPOINT_FILE)[1]["counters"]["steps"]
    assert f"{steps:,} steps" in out
    assert f"stopped early; go on with: train --resume --run-dir {run}" in out
    assert int(read_rows(run / "log.csv")[-1]["agent_steps"]) == steps
