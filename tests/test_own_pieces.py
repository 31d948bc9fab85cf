"""`train --pieces`: the learner's pieces really train, stay with the run, and fail in one sentence.

Each refusal is checked by one rule (`check_one_sentence`): exit status 2, one line on standard
error, nothing written.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from own_folder import MEMORY, NETWORK, PREPROCESS, own_folder

import dqn_ref
from dqn_ref import agents, checkpoints, hardware, own_pieces, piece_costs, run_folders, runs
from dqn_ref.__main__ import main
from dqn_ref.environments import AleLanes, GymLanes
from dqn_ref.own_pieces import fit_recipe, keep_pieces, kept_names, kept_pieces, load_pieces
from dqn_ref.pieces import REFERENCE, Pieces
from dqn_ref.recipes import Recipe, RecipeError, get_recipe
from dqn_ref.reporting import RunError
from dqn_ref.watching import game_fps

QUICK = [
    "--frame-height", "36", "--frame-width", "36", "--batch-size", "8", "--memory-frames", "2000",
    "--learning-starts", "50", "--log-every-steps", "50", "--checkpoint-every-steps", "50",
    "--device", "cpu", "--precision", "fp32", "--threads", "1", "--lanes", "2",
    "--updates-at-once", "2", "--target-every-steps", "80", "--architecture", "mnih2013",
]  # fmt: skip
GAMES = {"gallery": ["--recipe", "gallery", *QUICK], "breakout": ["--recipe", "laptop", *QUICK]}


@pytest.fixture
def my_dqn(tmp_path):
    return own_folder(tmp_path / "my_dqn", ReplayMemory=MEMORY, QNetwork=NETWORK)


def command(*words):
    """Run in this process; the exit status."""
    try:
        return main([str(word) for word in words])
    except SystemExit as error:
        return error.code


def counters(run):
    return checkpoints.load_tensors(run / runs.CHECKPOINT_FILE)[1]["counters"]


def files(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# ---- a run from beginning to end -----------------------------------------------------------------


def train_and_kill(run, *words):
    """A training that is killed once it has a checkpoint."""
    source = str(Path(dqn_ref.__file__).parents[1])
    paths = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    words = ["train", *words, "--total-steps", 10**6, "--run-dir", run, "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dqn_ref", *map(str, words)],
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (run / runs.CHECKPOINT_FILE).exists() and time.monotonic() < deadline:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.05)
    finally:
        process.kill()
        said = process.communicate()[0]
    return said


@pytest.mark.parametrize("game", GAMES)
def test_a_run_stays_with_its_pieces(game, my_dqn, tmp_path, capsys):
    """A resume, an evaluation or a film with the reference's pieces, or with tomorrow's.

    The network's weights fit no other class, and tomorrow's pieces cannot even be imported.
    """
    run = tmp_path / "runs" / "first"
    said = train_and_kill(run, *GAMES[game], "--pieces", my_dqn)
    assert f"yours, from {my_dqn}: ReplayMemory, QNetwork; the reference's: 17 others" in said
    own_folder(my_dqn, ReplayMemory="1 / 0", QNetwork="1 / 0")
    before = counters(run)["steps"]
    total = ["--total-steps", before + 300]
    assert command("train", "--resume", *total, "--run-dir", run, "--quiet") == 0
    told = capsys.readouterr().out
    assert f"yours, from {run / 'pieces'}: ReplayMemory, QNetwork" in told and " steps/s;" in told
    after = counters(run)
    assert after["steps"] >= before + 300 and after["updates"] > 30
    assert agents.load_agent(run)[1].online.mine[0].out_channels == 4
    play = ["--run-dir", run, "--epsilon", "1"]
    assert command("evaluate", *play, "--games", 1, "--max-frames", 40) == 0
    assert command("watch", *play, "--video", tmp_path / "film.mp4", "--seconds", "0.5") == 0
    assert command("plot", "--run-dir", run) == 0
    assert (run / "pieces" / "replay_memory.py").read_text() == MEMORY
    if game == "gallery":
        check_it_goes_on_in_the_background(run)


def check_it_goes_on_in_the_background(run):
    before = counters(run)["steps"]
    recipe = runs.resume_recipe(run, total_steps=10**6)
    recipe.save(run / runs.RECIPE_FILE)
    said = []
    run_folders.resume(run.parent, run.name, tell=said.append)
    run_folders.stop(run.parent, run.name, tell=said.append)
    assert counters(run)["steps"] > before
    assert f"yours, from {run / 'pieces'}" in (run / "output.log").read_text()


def test_a_run_rejects_another_network_and_lost_pieces(my_dqn, tmp_path, capsys):
    """What the test above takes for proof: without the copy, nothing can play this run."""
    run = tmp_path / "run"
    words = [*GAMES["gallery"], "--total-steps", 100, "--run-dir", run]
    assert command("train", *words, "--pieces", my_dqn) == 0
    evaluate = ["evaluate", "--run-dir", run, "--games", 1]
    copy = run / "pieces" / "q_network.py"
    index, text = (run / "pieces.json").read_text(), copy.read_text()
    for spoil, path, sentence in (
        (lambda: copy.unlink(), copy, "missing, which the run was trained with"),
        (lambda: copy.write_text("def ("), copy, "belongs to the run"),
        (lambda: (run / "pieces.json").write_text("{"), run / "pieces.json", "is damaged"),
        (lambda: (run / "pieces.json").unlink(), run / "weights.safetensors", "another network"),
    ):
        spoil()
        for words in (evaluate, ["train", "--resume", "--run-dir", run, "--total-steps", 200]):
            if path.name == "weights.safetensors" and words[0] == "train":
                path = run / "checkpoint.safetensors"
            check_one_sentence(words, [str(path), sentence], run, capsys)
        (run / "pieces.json").write_text(index)
        copy.write_text(text)
    assert command(*evaluate, "--max-frames", 20) == 0


# ---- refusals ------------------------------------------------------------------------------------


def check_one_sentence(words, parts, folder, capsys):
    before = files(folder)
    capsys.readouterr()
    assert command(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith("dqn_ref: ") and error.count("\n") == 1 and len(error) < 400, error
    for part in parts:
        assert part in error
    assert files(folder) == before


BROKEN = {
    "no Python": ("def broken(:\n", ["line 1: invalid syntax", "let the chapter's check save it"]),
    "an error": ("x = 1\n\n1 / 0\n", ["line 3: ZeroDivisionError: division by zero", "mend it"]),
    "leaves": ("import sys\nsys.exit(3)\n", ["line 2: SystemExit: 3", "mend it"]),
    "another name": ("class Memory: ...\n", ["does not define ReplayMemory", "mend it"]),
    "a number": ("ReplayMemory = 3\n", ["no function or class but of type int", "mend it"]),
    "null bytes": ("x = '\0'\n", ["null bytes", "mend it"]),
}


@pytest.mark.parametrize("text, parts", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused(tmp_path, text, parts, capsys):
    """A traceback, or a training with the reference's memory under the learner's name."""
    folder = own_folder(tmp_path / "my_dqn", ReplayMemory=text)
    words = ["train", "--run-dir", tmp_path / "run", "--pieces", folder]
    check_one_sentence(words, [str(folder / "replay_memory.py"), *parts], tmp_path, capsys)


def test_a_folder_that_cannot_be_used_is_refused(tmp_path, my_dqn, capsys, monkeypatch):
    """A training with nothing of the learner's in it, without a word."""
    monkeypatch.setenv("DQN_COURSE_HOME", str(tmp_path / "home"))
    words = ["train", "--run-dir", tmp_path / "run", "--pieces"]

    def refused(folder, *parts):
        check_one_sentence([*words, folder], parts, tmp_path, capsys)

    refused("my_dqn", str(tmp_path / "home" / "my_dqn"), "does not exist", "chapter's check")
    refused(tmp_path / "none", "none does not exist", "chapter's check")
    refused(my_dqn / "q_network.py", "is a file, name its folder")
    empty = own_folder(tmp_path / "empty", play_random_game="1 / 0")
    refused(empty, "no piece of the agent (play_random_game", "leave out --pieces")
    (my_dqn / "td_targets.py").write_bytes(b"# \xff\n")
    refused(my_dqn, "td_targets.py is no text in UTF-8", "save it as UTF-8")
    (my_dqn / "td_targets.py").unlink()
    (my_dqn / "__init__.py").write_text("from .huber_loss import huber_loss\n")
    refused(my_dqn, "huber_loss.py is missing", "check save it again", "delete that line")


def test_a_run_cannot_change_its_pieces_and_n_step_needs_the_references(my_dqn, tmp_path, capsys):
    """A run whose first half was trained with something else than its record says."""
    run = tmp_path / "run"
    assert command("train", *GAMES["gallery"], "--total-steps", 60, "--run-dir", run) == 0
    words = ["train", "--run-dir", run, "--total-steps", 100]
    check_one_sentence(
        [*words, "--resume", "--pieces", my_dqn], ["leave out --pieces", "new run"], run, capsys
    )
    words = ["train", "--run-dir", tmp_path / "new", "--pieces", my_dqn, "--n-step", 2]
    check_one_sentence(words, ["single steps; leave out --n-step"], tmp_path, capsys)


def test_a_piece_that_fails_in_training_shows_the_learner_where(tmp_path):
    """A learner's own error dressed up as one of the course."""
    text = MEMORY.replace("after = [", "after = [][0] + [")
    pieces = load_pieces(own_folder(tmp_path / "my_dqn", ReplayMemory=text))
    with pytest.raises(IndexError) as caught:
        runs.train(get_recipe("gallery", total_steps=20), tmp_path / "run", pieces, show_bar=False)
    assert "replay_memory.py" in str(caught.traceback[-1].path)


# ---- reading and keeping -------------------------------------------------------------------------


def test_the_references_fill_the_gaps(my_dqn):
    """A gap filled with a piece of another name, or an exercise's piece in the agent."""
    own_folder(my_dqn, play_random_game="1 / 0", luminance="1 / 0")
    pieces = load_pieces(my_dqn)
    assert pieces.yours == ["ReplayMemory", "QNetwork"]
    assert pieces.ReplayMemory.__name__ == "ReplayMemory" and len(pieces.ReplayMemory(9)) == 0
    others = {name: getattr(pieces, name) for name in own_pieces.AGENT_PIECES[:3]}
    assert others == {name: getattr(REFERENCE, name) for name in others}


def test_a_name_is_found_at_home_and_a_path_comes_first(my_dqn, tmp_path, monkeypatch, capsys):
    """Pieces of the working directory's accident, or none without standing in the right place."""
    monkeypatch.setenv("DQN_COURSE_HOME", str(tmp_path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    words = ["train", *GAMES["gallery"], "--total-steps", 20, "--pieces", "my_dqn", "--run-dir"]
    assert command(*words, "a") == 0
    assert f"from {my_dqn}: ReplayMemory, QNetwork;" in capsys.readouterr().out
    own_folder(elsewhere / "my_dqn", QNetwork=NETWORK)
    assert command(*words, "b") == 0
    assert f"from {elsewhere / 'my_dqn'}: QNetwork;" in capsys.readouterr().out


def test_the_text_is_read_not_a_cache_of_it(tmp_path):
    """Two versions of one length in one second, of which Python's cache gives the first twice."""
    texts = ["def helper():\n    return 1\n", "def helper():\n    return 2\n"]
    piece = "from .helpers import helper\n\n\ndef clip_reward(rewards, limit=1.0):\n    return {}\n"
    for number, text in enumerate(texts, start=1):
        own_folder(tmp_path, clip_reward=piece.format("helper()"), helpers=text)
        for path in tmp_path.glob("*.py"):
            os.utime(path, (10**9, 10**9))
        assert load_pieces(tmp_path).clip_reward([]) == number
    assert not list(tmp_path.rglob("*.pyc"))


def test_dataclasses_and_neighbours_work(tmp_path, my_dqn):
    """A piece that Python cannot find again by its module; a copy without what it imports."""
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "from .helpers import helper\n\n@dataclass\nclass Setting:\n    limit: float = 1.0\n\n\n"
        "def clip_reward(rewards, limit=Setting().limit):\n    return helper(rewards)\n"
    )
    own_folder(my_dqn, clip_reward=text, helpers="def helper(x):\n    return x\n")
    keep_pieces(tmp_path, load_pieces(my_dqn))
    own_folder(my_dqn, helpers="1 / 0")
    assert kept_pieces(tmp_path).clip_reward(5) == 5


def test_a_copy_is_whole_or_none(my_dqn, tmp_path, monkeypatch):
    """A run that was killed while its pieces were copied, and then trains with the reference's."""
    run = tmp_path / "run"
    run.mkdir()
    pieces = load_pieces(my_dqn)
    with monkeypatch.context() as patched:
        patched.setattr(own_pieces.os, "replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            keep_pieces(run, pieces)
    assert kept_names(run) == [] and (run / "pieces").is_dir()
    # No recipe, no run: the next one may begin there, and brings its own.
    recipe = get_recipe("gallery", total_steps=20, threads=1)
    runs.train(recipe, run, load_pieces(own_folder(tmp_path / "b", QNetwork=NETWORK)), False, False)
    assert kept_names(run) == ["QNetwork"]
    assert [path.name for path in (run / "pieces").iterdir()] == ["q_network.py"]
    assert json.loads((run / "pieces.json").read_text())["folder"] == str(tmp_path / "b")


def test_a_resume_in_code_keeps_the_pieces_too(my_dqn, tmp_path):
    """`train(recipe, run, resume=True)` in a notebook that goes on with the reference's."""
    recipe = get_recipe("gallery", total_steps=40, threads=1, precision="fp32")
    runs.train(recipe, tmp_path / "run", load_pieces(my_dqn), show_bar=False)
    recipe = runs.resume_recipe(tmp_path / "run", total_steps=60)
    parts = runs.train(recipe, tmp_path / "run", resume=True, show_bar=False)
    assert hasattr(parts.learner.online, "mine")
    assert "pieces" in type(parts.memory.memories[0]).sample.__code__.co_filename


# ---- what a recipe has to give up ----------------------------------------------------------------


def test_a_recipe_lets_the_pieces_do_their_work(tmp_path, my_dqn):
    """ALE that preprocesses in the learner's stead; 3-step returns of single steps."""
    recipe = get_recipe("laptop")
    assert recipe.n_step > 1 and recipe.door == "ale"
    assert fit_recipe(recipe, REFERENCE) == (recipe, [])
    fitted, told = fit_recipe(recipe, load_pieces(my_dqn))
    assert (fitted.n_step, fitted.door, len(told)) == (1, "ale", 1) and "n_step is 1" in told[0]
    folder = own_folder(tmp_path / "eyes", preprocess=PREPROCESS)
    pieces = load_pieces(folder)
    fitted, told = fit_recipe(recipe, pieces)
    assert (fitted.n_step, fitted.door, len(told)) == (recipe.n_step, "gym", 1)
    calls = pieces.preprocess.__globals__["CALLS"]
    for each, door in ((recipe, AleLanes), (fitted, GymLanes)):
        calls.clear()
        lanes = pieces.make_lanes(each, 1)
        assert isinstance(lanes, door)
        lanes.reset(0)
        lanes.close()
        assert bool(calls) == (door is GymLanes)


def test_a_recipe_says_which_pieces_it_has_no_use_for():
    """Wrappers that give way to a recipe's rules, and nobody is told why."""
    own = Pieces(LifeLoss=type("Mine", (), {}), NatureRMSProp=type("Mine", (), {}))
    fitted, told = fit_recipe(get_recipe("laptop"), own)
    assert fitted.door == "gym" and "not the LifeLoss in use" in told[0]
    assert told[1:] == ["not called in this run: your NatureRMSProp"]
    _, told = fit_recipe(get_recipe("mnih2015"), own)
    assert told == [
        "not called in this run: your LifeLoss; the wrappers know nothing of life_noops_max=31"
    ]


def test_a_film_is_written_by_the_learners_piece(tmp_path):
    """A film of one's own agent by somebody else's hand."""
    text = (
        "from pathlib import Path\n\n\ndef write_video(frames, path, fps, scale=1):\n"
        "    Path(path).write_text(f'{sum(1 for _ in frames)} frames at {fps:g}')\n"
        "    return Path(path)\n"
    )
    pieces = load_pieces(own_folder(tmp_path / "my_dqn", write_video=text))
    recipe = get_recipe("gallery", total_steps=20, threads=1, precision="fp32")
    runs.train(recipe, tmp_path / "run", pieces, show_bar=False)
    film = tmp_path / "film.mp4"
    frames = agents.film_run(tmp_path / "run", film, epsilon=1, seed=0, seconds=0.5).frames
    assert film.read_text() == f"{frames} frames at {game_fps(recipe):g}"
    gif = tmp_path / "film.gif"  # the course asks nobody for GIFs
    agents.film_run(tmp_path / "run", gif, epsilon=1, seed=0, seconds=0.5)
    assert gif.read_bytes()[:3] == b"GIF"


def test_the_run_records_what_changed(my_dqn, tmp_path, capsys):
    """A recipe.json that tells of 3-step returns which never were."""
    recipe = get_recipe("gallery", n_step=3, total_steps=20)
    runs.train(recipe, tmp_path / "run", load_pieces(my_dqn), show_bar=True)
    told = capsys.readouterr().out
    assert "n_step is 1 in this run" in told and "your ReplayMemory (the reference's):" in told
    assert Recipe.load(tmp_path / "run" / "recipe.json").n_step == 1


def test_a_memory_that_would_not_fit_is_refused_before_the_run(my_dqn, tmp_path, monkeypatch):
    """A machine that runs out of memory hours later, because frames are kept many times."""
    recipe = get_recipe("gallery", memory_frames=10_000, total_steps=20)
    room = int(2.5 * hardware.memory_bytes(recipe))
    monkeypatch.setattr(hardware.psutil, "virtual_memory", lambda: SimpleNamespace(available=room))
    runs.train(recipe, tmp_path / "reference", show_bar=False)
    text = MEMORY.replace("np.array(next_frame)", "np.array(next_frame, np.float32)")
    pieces = load_pieces(own_folder(my_dqn, ReplayMemory=text))
    with pytest.raises(RecipeError, match=r"--memory-frames [1-6]000 would fit"):
        runs.train(recipe, tmp_path / "own", pieces, show_bar=False)
    assert not (tmp_path / "own" / "recipe.json").exists()


def test_bytes_are_counted_once_and_all():
    """A view for its few bytes, a shared frame eight times, a tensor for its header."""
    frame = np.zeros(10_000, np.uint8)
    count = piece_costs.held_bytes
    assert 10_000 < count(frame) < 10_500
    assert 10_000 < count(frame[:10]) < 10_500
    assert 10_000 < count([frame, frame, {"again": frame[5:]}]) < 11_000
    assert 20_000 < count((frame, frame.copy())) < 20_500
    assert 40_000 < count(list(torch.zeros(100, 100))) < 50_000

    class Slots:
        __slots__ = ("frames",)

    thing = Slots()
    thing.frames = [bytearray(10_000)]
    assert 10_000 < count(thing) < 11_000


def test_the_cost_of_a_memory_is_its_own(my_dqn):
    """Frames kept as floats that cost no more than bytes; time told of the wrong memory."""
    recipe = get_recipe("gallery")
    frame = recipe.frame_height * recipe.frame_width
    cost = piece_costs.memory_cost(REFERENCE.ReplayMemory, recipe)
    assert frame < cost.bytes < 1.2 * frame and cost.sample_seconds > 0

    class Slow(REFERENCE.ReplayMemory):
        def sample(self, batch_size, rng):
            time.sleep(0.06)
            return super().sample(batch_size, rng)

    assert piece_costs.memory_cost(Slow, recipe).sample_seconds > 0.06 > cost.sample_seconds
    sentence = piece_costs.beside_reference(piece_costs.memory_cost(Slow, recipe), recipe)
    assert "6" in sentence.split("to add a transition, ")[1].split(" ms")[0]


def test_a_run_without_own_pieces_has_no_record(tmp_path):
    """The index of nobody's pieces, which a resume then looks for."""
    runs.train(get_recipe("gallery", total_steps=20), tmp_path / "run", show_bar=False)
    assert kept_names(tmp_path / "run") == [] and kept_pieces(tmp_path / "run") is REFERENCE
    assert not (tmp_path / "run" / "pieces.json").exists()
    for damaged in ("[]", '{"version": 1, "yours": ["Unknown"]}', '{"version": 2, "yours": []}'):
        (tmp_path / "run" / "pieces.json").write_text(damaged)
        with pytest.raises(RunError, match="begin a new run"):
            kept_names(tmp_path / "run")
