"""Saved pieces: whole or not at all, importable by a stranger, and no work lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dqn_ref import piece_files
from dqn_ref.course import saved
from dqn_ref.course.saved import SaveError, save_piece, saved_text
from dqn_ref.course.source import PieceSource
from dqn_ref.errors import RunError
from dqn_ref.pieces import CONTRACTS

RIGHT = "import math\n\nHALF = 0.5\n\n\ndef luminance(rgb):\n    return math.floor(HALF * rgb)\n"
OTHER = RIGHT.replace("floor", "trunc")


def source(text=RIGHT, name="luminance"):
    return PieceSource(name, text)


def files(folder: Path) -> dict[str, bytes]:
    there = (p for p in sorted(folder.rglob("*")) if p.is_file() and "__pycache__" not in p.parts)
    return {str(p.relative_to(folder)): p.read_bytes() for p in there}


def archived(home: Path) -> list[str]:
    return sorted(p.read_text() for p in (home / "archive").glob("luminance-*.py"))


def test_a_saved_piece_serves_a_stranger(tmp_path):
    """A module that needs the notebook, or an index that does not name it."""
    path = save_piece(source(), tmp_path)
    assert path == tmp_path / "my_dqn" / "luminance.py"
    assert RIGHT in path.read_text() and path.read_text().startswith("# luminance")
    save_piece(source("def resize(image):\n    return image\n", "resize"), tmp_path)
    words = "from my_dqn import luminance, resize; print(luminance(9), resize(3))"
    told = subprocess.run(
        [sys.executable, "-c", words], cwd=tmp_path, capture_output=True, text=True
    )
    assert told.stdout == "4 3\n", told.stderr


def test_what_was_written_comes_back_without_the_courses_lines(tmp_path):
    """`compare` that shows the header as the learner's, or loses their own comments."""
    text = "# my own comment\n\nfrom __future__ import annotations\n\n" + RIGHT
    assert saved_text(tmp_path, "luminance") is None
    path = save_piece(source(text), tmp_path)
    assert saved_text(tmp_path, "luminance") == text
    path.write_text("# by hand\n" + RIGHT)
    assert saved_text(tmp_path, "luminance") == "# by hand\n" + RIGHT


BROKEN = {
    "needs the notebook": ("import a_module_of_the_notebook\n" + RIGHT, "a_module_of_the_notebook"),
    "uses a lost variable": ("frames.shape\n" + RIGHT, "name 'frames' is not defined"),
    "no Python": ("def luminance(:\n", "line 5: invalid syntax"),
    "another name": (RIGHT.replace("luminance", "brightness"), "does not define luminance"),
    "a number": ("luminance = 3\n", "of type int"),
    "ends Python": ("import sys\nsys.exit()\n" + RIGHT, "SystemExit"),
    "kills Python": ("import os\nos._exit(0)\n" + RIGHT, "status 0"),
    "never ends": ("while True: pass\n" + RIGHT, "longer than"),
}


@pytest.mark.parametrize("text, reason", BROKEN.values(), ids=BROKEN)
def test_a_version_that_a_stranger_cannot_import_is_not_saved(tmp_path, text, reason, monkeypatch):
    """What is called saved and fails on the next day; the passing version overwritten by it."""
    monkeypatch.setattr(saved, "_SECONDS", 3.0)
    save_piece(source(), tmp_path)
    before = files(tmp_path)
    with pytest.raises(SaveError, match=reason) as caught:
        save_piece(source(text), tmp_path)
    assert files(tmp_path) == before
    told = str(caught.value)
    assert "\n" not in told and "Traceback" not in told and "partial" not in told


def test_the_first_version_that_fails_leaves_nothing(tmp_path):
    """A folder of pieces with an index that names a piece which never came."""
    with pytest.raises(SaveError):
        save_piece(source("1 / 0\n"), tmp_path)
    assert files(tmp_path) == {}


def test_what_is_replaced_goes_to_the_archive(tmp_path):
    """Work by hand overwritten by a pass; two versions of one second in one file."""
    path = save_piece(source(), tmp_path)
    by_hand = path.read_text() + "\n# an evening's work\n"
    path.write_text(by_hand)
    for text in (OTHER, RIGHT, OTHER):
        save_piece(source(text), tmp_path)
    assert OTHER in path.read_text()
    texts = archived(tmp_path)
    assert len(texts) == 3 and by_hand in texts
    assert any(OTHER in text for text in texts) and any(RIGHT in text for text in texts)


def test_the_same_version_again_costs_nothing(tmp_path, monkeypatch):
    """A cell run twice that fills the archive, or waits for a fresh Python again."""
    save_piece(source(), tmp_path)
    before = files(tmp_path)
    monkeypatch.setattr(saved.subprocess, "run", lambda *_, **__: pytest.fail("tried again"))
    save_piece(source(), tmp_path)
    assert files(tmp_path) == before


def test_two_notebooks_that_save_at_once_are_both_in_the_index(tmp_path, monkeypatch):
    """The index of the slower one, written from what it had seen before the other one saved."""
    folder = tmp_path / "my_dqn"
    replace, others = os.replace, [(folder / "resize.py", "def resize(image): ...\n")]

    def replace_late(partial, path):
        if Path(path).name == "__init__.py" and others:
            other, text = others.pop()
            other.write_text(text)
        replace(partial, path)

    monkeypatch.setattr(saved.os, "replace", replace_late)
    save_piece(source(), tmp_path)
    assert not others
    assert piece_files._indexed(folder / "__init__.py") == ["luminance", "resize"]


def test_no_room_and_no_rights_are_told_in_one_sentence(tmp_path, monkeypatch):
    """An OSError's traceback in the middle of a lesson."""
    (tmp_path / "home").write_text("a file where the folder should be")
    with pytest.raises(SaveError, match="DQN_COURSE_HOME") as caught:
        save_piece(source(), tmp_path / "home")
    assert "\n" not in str(caught.value)
    save_piece(source(), tmp_path / "other")
    before = files(tmp_path / "other")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved.os, "fsync", full)
    with pytest.raises(SaveError, match="No space left"):
        save_piece(source(OTHER), tmp_path / "other")
    assert files(tmp_path / "other") == before


def test_every_piece_has_a_file_of_its_own():
    """Two pieces that overwrite each other, on a disk that does not tell A from a, too."""
    names = [piece_files.file_name(name) for name in CONTRACTS]
    assert len({name.lower() for name in names}) == len(names)
    assert all(name.removesuffix(".py").isidentifier() for name in names)
    assert piece_files.file_name("ReplayMemory") == "replay_memory.py"
    assert piece_files.file_name("QNetwork") == "q_network.py"
    assert piece_files.file_name("td_targets") == "td_targets.py"


def test_the_learners_pieces_are_found_at_home(tmp_path, monkeypatch):
    """Pieces looked for in the working directory."""
    monkeypatch.setenv("DQN_COURSE_HOME", str(tmp_path))
    with pytest.raises(RunError, match="does not exist"):
        saved.load_pieces()
    save_piece(
        source("def clip_reward(rewards, limit=1.0):\n    return rewards\n", "clip_reward"),
        tmp_path,
    )
    assert saved.load_pieces().yours == ["clip_reward"]
