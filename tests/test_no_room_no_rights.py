"""A full disk, and folders that somebody else owns: one sentence, and nothing is lost.

`/dev/full` takes no byte and says so: put where a file is to be written, it is a full disk for
real. Rights are tried as another user, for root has them all.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import dqn_ref
from dqn_ref import __main__, checkpoints, runs
from dqn_ref.recipes import get_recipe

TINY = dict(
    frame_height=20, frame_width=20, architecture="mnih2013", lanes=2, batch_size=8,
    memory_frames=400, learning_starts=20, total_steps=60, log_every_steps=20,
    checkpoint_every_steps=20, device="cpu", precision="fp32", threads=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of a few steps."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    runs.train(get_recipe("gallery", **TINY), folder, show_bar=False)
    return folder


def copy_of(run, target):
    target.mkdir(parents=True)
    for path in run.rglob("*"):
        if path.is_file():
            place = target / path.relative_to(run)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    return target


def contents(folder):
    """Every regular file but TensorBoard's, which only ever gets more of them."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and "tensorboard" not in path.parts
    }


def check_one_sentence(status, err):
    lines = [line for line in err.splitlines() if line.strip()]
    assert status == 2, err
    assert len(lines) == 1 and lines[0].startswith("dqn_ref: "), err
    return lines[0]


# ---- a full disk ---------------------------------------------------------------------------------

needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has /dev/full")


@needs_dev_full
@pytest.mark.parametrize(
    "name",
    ["recipe.json.partial", "log.csv.partial", "games.csv.partial"],
)
def test_a_resume_on_a_full_disk_loses_nothing(name, finished, tmp_path, capsys):
    """Bugs: an old file is cut to nothing before the new one is whole; a traceback."""
    run = copy_of(finished, tmp_path / "run")
    before = contents(run)
    (run / name).symlink_to("/dev/full")
    status = __main__.main(
        ["train", "--resume", "--quiet", "--run-dir", str(run), "--total-steps", "300"]
    )
    check_one_sentence(status, capsys.readouterr().err)
    (run / name).unlink(missing_ok=True)
    check_nothing_lost(before, run)


def check_nothing_lost(before, run, but=()):
    """Learner and weights stand as they were, and with room again the run goes on."""
    after = contents(run)
    for path in {"checkpoint.safetensors", "weights.safetensors"} - set(but):
        assert after[Path(path)] == before[Path(path)], path
    more = ["train", "--resume", "--quiet", "--run-dir", str(run), "--total-steps", "100"]
    assert __main__.main(more) == 0
    assert not [path for path in run.iterdir() if "partial" in path.name or ".tmp" in path.name]


@contextlib.contextmanager
def files_up_to(size):
    """No file of this process may become longer: the next byte is refused, as on a full disk."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize("name", ["checkpoint", "weights"])
def test_a_checkpoint_that_finds_no_room_loses_nothing(
    name, finished, tmp_path, capsys, monkeypatch
):
    """Bugs: an old checkpoint is cut to nothing before the new one is whole; a traceback."""
    run = copy_of(finished, tmp_path / "run")
    before = contents(run)
    real = getattr(checkpoints, f"save_{name}")

    def without_room(path, *rest):
        with files_up_to(path.stat().st_size - 100):
            real(path, *rest)

    monkeypatch.setattr(checkpoints, f"save_{name}", without_room)
    status = __main__.main(
        ["train", "--resume", "--quiet", "--run-dir", str(run), "--total-steps", "300"]
    )
    assert "space" in check_one_sentence(status, capsys.readouterr().err)
    monkeypatch.undo()
    # The checkpoint is written first: it is the newer one when the weights find no room.
    check_nothing_lost(before, run, but={"checkpoint.safetensors"} if name == "weights" else ())


@needs_dev_full
def test_a_picture_on_a_full_disk_is_one_sentence(finished, tmp_path, capsys):
    (tmp_path / "curve.png").symlink_to("/dev/full")
    status = __main__.main(
        ["plot", "--run-dir", str(finished), "--output", str(tmp_path / "curve.png")]
    )
    assert "space" in check_one_sentence(status, capsys.readouterr().err)


# ---- no rights -----------------------------------------------------------------------------------

# Everything is imported before root's rights are given up: the course may be installed where
# nobody else may look.
AS_NOBODY = """
import json, os, sys
import gymnasium, torch, torch._dynamo, pandas, imageio_ffmpeg
import matplotlib.figure, matplotlib.backends.backend_agg
import moviepy.video.io.ffmpeg_writer, cv2, tqdm.auto
from torch.utils.tensorboard import SummaryWriter
from dqn_ref import __main__, agents, evaluation, run_folders, runs, video
torch.set_num_threads(1)
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)  # nobody
    os.setuid(65534)
for line in sys.stdin:
    status = __main__.main(json.loads(line))
    print("status", status, flush=True)
    print("end of errors", file=sys.stderr, flush=True)
"""


def as_nobody(commands, folder):
    """Exit status and errors of each command line, as a user who may read and not write."""
    source = str(Path(dqn_ref.__file__).parents[1])
    found = subprocess.run(
        [sys.executable, "-c", AS_NOBODY],
        input="".join(json.dumps([str(word) for word in words]) + "\n" for words in commands),
        capture_output=True,
        text=True,
        timeout=240,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1"},
    )
    statuses = [
        int(line.split()[1]) for line in found.stdout.splitlines() if line.startswith("status")
    ]
    errors = found.stderr.split("end of errors\n")[:-1]
    assert len(statuses) == len(errors) == len(commands), found.stderr
    return list(zip(statuses, errors, strict=True))


@pytest.fixture
def public():
    """A folder that everybody may look into; pytest closes the way to its own ones."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="users and modes of POSIX")
def test_a_folder_of_somebody_else(finished, public):
    """Bugs: a traceback; a run that seems to train and cannot be saved; half a file left."""
    run, theirs = copy_of(finished, public / "run"), public / "theirs"
    theirs.mkdir()
    commands = [
        ["train", "--recipe", "gallery", "--quiet", "--run-dir", theirs / "new"],
        ["train", "--resume", "--quiet", "--run-dir", run, "--total-steps", 300],
        ["plot", "--run-dir", run],
        ["watch", "--run-dir", run, "--video", theirs / "film.mp4"],
        ["runs", "clean", "--folder", public, "run", "--yes"],
        ["evaluate", "--run-dir", run, "--games", 2],
    ]
    before = contents(run)
    with read_only(run, theirs):
        answers = as_nobody(commands, run)
        assert contents(run) == before and not list(theirs.iterdir())
    for status, errors in answers[:-1]:
        check_one_sentence(status, errors)
    assert answers[-1] == (0, "")  # reading is enough for an evaluation


@contextlib.contextmanager
def read_only(*folders):
    """Nobody but root may write there; afterwards everybody who could may again."""
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    modes = {path: path.stat().st_mode for path in paths}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222 | 0o444 | (0o111 if path.is_dir() else 0))
    try:
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
