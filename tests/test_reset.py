"""`python -m dqn_ref reset`: the original comes back, and what the learner wrote is never lost.

Every test works in a course of its own.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest

import dqn_ref
from dqn_ref.__main__ import main
from dqn_ref.course import notebooks, reset
from dqn_ref.course.reset import reset_chapter
from dqn_ref.errors import RunError

SOURCE = '''\
# %% [markdown]
# # {number} · A chapter

# %%
# NBVAL_CHECK_OUTPUT
print({number})


# %%
def add(a: int, b: int) -> int:
    """The sum."""
    ### BEGIN SOLUTION
    return a + b
    ### END SOLUTION
'''


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A course of two chapters, in a folder without git."""
    monkeypatch.setattr(notebooks, "ROOT", tmp_path / "course")
    monkeypatch.delenv("DQN_COURSE_HOME", raising=False)
    for name, number in (("03_frames", 3), ("04_replay_memory", 4)):
        source = tmp_path / "course" / "solutions" / f"{name}.py"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(SOURCE.format(number=number), encoding="utf-8")
        chapter = notebooks.chapter_notebook(notebooks.read_source(source))
        notebooks.write(chapter, tmp_path / "course" / "chapters" / f"{name}.ipynb")
    return tmp_path / "course"


def chapter_of(root):
    return root / "chapters" / "04_replay_memory.ipynb"


def archive_of(root):
    return sorted((root / "my_course" / "archive").glob("*"))


def solve(path, text="return a + b  # mine"):
    """Work in a notebook as JupyterLab saves it: another cell text, outputs, a kernel's version."""
    notebook = nbformat.read(path, 4)
    cell = notebook.cells[2]
    cell.source = cell.source.replace("raise NotImplementedError", text)
    cell.execution_count = 7
    cell.outputs = [nbformat.v4.new_output("stream", text="hello\n")]
    notebook.metadata.language_info.version = "3.11.7"
    nbformat.write(notebook, path)
    return path.read_bytes()


def files_of(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def command(*arguments):
    try:
        return main([str(argument) for argument in arguments])
    except SystemExit as error:
        return error.code


@pytest.mark.parametrize(
    "name", ["04", "4", "04_replay_memory", "chapters/04_replay_memory.ipynb", " 4 "]
)
def test_the_original_comes_back_and_the_edit_is_archived(root, capsys, name):
    """Catches an archive that is not the learner's file, and an original that git calls changed."""
    before = files_of(root)
    path = chapter_of(root)
    edit = solve(path)
    assert command("reset", name) == 0
    (archived,) = archive_of(root)
    assert archived.read_bytes() == edit
    assert archived.name.startswith("04_replay_memory-") and archived.suffix == ".ipynb"
    said = capsys.readouterr().out
    assert str(archived) in said and "Reload Notebook" in said
    assert {p: text for p, text in files_of(root).items() if p != archived} == before


def test_a_real_chapter_comes_back_byte_by_byte(root):
    """Catches an original that differs from the one `make notebooks` writes."""
    source = Path(dqn_ref.__file__).parents[1] / "solutions" / "00_hello_atari.py"
    copied = shutil.copy(source, root / "solutions")
    path = root / "chapters" / "00_hello_atari.ipynb"
    notebooks.write(notebooks.chapter_notebook(notebooks.read_source(Path(copied))), path)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"raise NotImplementedError", b"pass"))
    assert reset_chapter("0").changed and path.read_bytes() == whole


def test_a_chapter_that_was_only_run_is_left_alone(root, capsys):
    """Catches an archive full of copies of nothing."""
    solve(chapter_of(root), "raise NotImplementedError")
    before = files_of(root)
    assert command("reset", "04") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert files_of(root) == before and archive_of(root) == []


def test_a_missing_chapter_is_written(root, capsys):
    """Catches a traceback where the learner has deleted a chapter to begin anew."""
    before = files_of(root)
    chapter_of(root).unlink()
    assert command("reset", "4") == 0
    assert "was missing" in capsys.readouterr().out and files_of(root) == before


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[]", b'{"cells": 3}', b"null"])
def test_a_damaged_chapter_is_archived_as_it_is(root, content):
    """Catches a reset that fails just where it is needed most."""
    whole = chapter_of(root).read_bytes()
    chapter_of(root).write_bytes(content)
    reset_chapter("4")
    assert [path.read_bytes() for path in archive_of(root)] == [content]
    assert chapter_of(root).read_bytes() == whole


@pytest.mark.parametrize("name", ["5", "99", "replay", "", "..", "-1", "4.5", "../05", "0x4", "०४"])
def test_an_unknown_chapter_is_one_sentence_that_names_those_there_are(root, capsys, name):
    """Catches a traceback, and a guess at another chapter."""
    edit = solve(chapter_of(root))
    assert command("reset", "--", name) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "03_frames, 04_replay_memory" in error
    assert chapter_of(root).read_bytes() == edit and archive_of(root) == []


def test_without_sources_the_sentence_says_how_to_get_them(root, capsys):
    """Catches an installation that is no checkout and ends in a riddle."""
    shutil.rmtree(root / "solutions")
    assert command("reset", "04") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "pip install" in error


def test_without_jupytext_the_sentence_says_how_to_get_it(root, capsys, monkeypatch):
    """Catches a traceback where the course was installed without its extra."""
    edit = solve(chapter_of(root))
    monkeypatch.setitem(sys.modules, "jupytext", None)
    assert command("reset", "04") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "jupytext" in error and "pip install" in error
    assert chapter_of(root).read_bytes() == edit


def test_two_resets_within_a_second_keep_both_versions(root, monkeypatch):
    """Catches an archive that overwrites itself."""
    monkeypatch.setattr(reset, "_now", lambda: "20250101-000000")
    edits = []
    for number in range(3):
        edits.append(solve(chapter_of(root), f"return {number}"))
        reset_chapter("4")
    assert {path.read_bytes() for path in archive_of(root)} == set(edits)
    assert len(archive_of(root)) == 3


def test_resets_at_once_lose_nothing(root, monkeypatch):
    """Catches two processes that take the same name in the archive."""
    monkeypatch.setattr(reset, "_now", lambda: "20250101-000000")
    contents = [str(number).encode() for number in range(8)]
    threads = [threading.Thread(target=reset._archive, args=(c, "04_x")) for c in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.read_bytes() for path in archive_of(root)) == contents


def test_the_home_may_be_elsewhere(root, tmp_path, monkeypatch):
    """Catches an archive in the checkout although the learner keeps the work elsewhere."""
    monkeypatch.setenv("DQN_COURSE_HOME", str(tmp_path / "a home"))
    edit = solve(chapter_of(root))
    archived = reset_chapter("4").archive
    assert archived.parent == tmp_path / "a home" / "archive" and archived.read_bytes() == edit
    assert not (root / "my_course").exists()


def check_untouched(root, edit):
    """The edit stands where it stood, and nothing half-written beside it."""
    assert chapter_of(root).read_bytes() == edit
    assert {path.suffix for path in (root / "chapters").iterdir()} == {".ipynb"}


def test_a_home_that_cannot_be_written_to_leaves_the_chapter_as_it_is(
    root, tmp_path, capsys, monkeypatch
):
    """Catches a chapter that is replaced although its archive failed."""
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("DQN_COURSE_HOME", str(tmp_path / "file"))
    edit = solve(chapter_of(root))
    assert command("reset", "04") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "DQN_COURSE_HOME" in error
    check_untouched(root, edit)


def test_an_archive_that_reads_back_otherwise_leaves_the_chapter_as_it_is(root, monkeypatch):
    """Catches trust in a disk that did not keep what it was given."""
    edit = solve(chapter_of(root))
    read = Path.read_bytes

    def forgetful(path):
        return read(path)[:-1] if path.parent.name == "archive" else read(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", forgetful)
        with pytest.raises(RunError, match="not what was written"):
            reset_chapter("4")
    check_untouched(root, edit)


def test_a_kill_before_the_replacement_leaves_the_chapter_and_its_archive(root, monkeypatch):
    """Catches a chapter that is written in its place, torn by a power cut."""
    edit = solve(chapter_of(root))

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(reset.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            reset_chapter("4")
    check_untouched(root, edit)
    assert [path.read_bytes() for path in archive_of(root)] == [edit]


def test_the_archive_is_on_the_disk_before_the_chapter_is_replaced(root, monkeypatch):
    """Catches an archive that a power cut takes although the chapter is replaced already."""
    solve(chapter_of(root))
    done = []
    sync, replace = os.fsync, os.replace

    def synced(handle):
        done.append("sync")
        sync(handle)

    def replaced(*args):
        done.append("replace")
        replace(*args)

    monkeypatch.setattr(reset.os, "fsync", synced)
    monkeypatch.setattr(reset.os, "replace", replaced)
    reset_chapter("4")
    # The archive, its folder (but on Windows), the original beside its place; then it moves.
    assert done == ["sync"] * (2 if os.name == "nt" else 3) + ["replace"]


def test_a_save_in_the_midst_of_a_reset_is_not_lost(root, monkeypatch):
    """Catches work that JupyterLab saved between the archive and the replacement."""
    path = chapter_of(root)
    solve(path)
    archive, newer = reset._archive, []

    def saved_meanwhile(*args):
        archived = archive(*args)
        newer.append(solve_again(path))
        return archived

    monkeypatch.setattr(reset, "_archive", saved_meanwhile)
    with pytest.raises(RunError, match="reset it again"):
        reset_chapter("4")
    check_untouched(root, newer[0])


def solve_again(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    notebook["cells"][1]["source"] = "print('a later thought')"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path.read_bytes()


def test_the_agent_never_loads_the_course():
    """Catches an import at the head of a module that makes the agent depend on notebooks."""
    code = "import sys; from dqn_ref import __main__, processes, run_folders\n"
    code += "__main__.build_parser()\n"
    code += "sys.exit(str([name for name in sys.modules if name.startswith('dqn_ref.course')]))"
    source = str(Path(dqn_ref.__file__).parents[1])
    child = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": source},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert child.stderr.strip() == "[]"
