"""The generator, and the notebooks that are committed."""

from __future__ import annotations

import json
import subprocess

import nbformat
import pytest

from dqn_ref.course import notebooks
from dqn_ref.course.notebooks import NotebookError

SOURCES = notebooks.sources()
each_chapter = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)

SMALL = '''\
# %% [markdown]
# # 99 · A small chapter
#
# **Goals**: add numbers.
#
# **Prerequisites**: none. **Minutes**: 1

# %%
from dqn_ref.course import begin

begin("99")

# %%
# NBVAL_CHECK_OUTPUT
print(1)

# %%
# NBVAL_CHECK_OUTPUT
print(2)

# %%
# NBVAL_CHECK_OUTPUT
print(3)

# %% [markdown]
# ### Exercise 99.1 · Add · ●○○ · 1 minutes

# %%
def add(a: int, b: int) -> int:
    """The sum."""
    # 1. Add.
    ### BEGIN SOLUTION
    total = a + b
    return total
    ### END SOLUTION

# %% [markdown]
# **What you should see:** 4.
# <details><summary>Hint 1: the idea</summary>Plus.</details>
# <details><summary>Hint 2: the call</summary>None.</details>
# <details><summary>"TypeError"</summary>A string.</details>
#
# **Think:** why?
# <details><summary>Answer</summary>So.</details>

# %% [markdown]
# ## Summary
#
# ## Quiz
# <details><summary>Answer</summary>Yes.</details>
# <details><summary>Answer</summary>No.</details>
'''


@pytest.fixture
def course(tmp_path):
    """A course of one small chapter, in a folder without git."""
    (tmp_path / "solutions").mkdir()
    source = tmp_path / "solutions" / "99_small.py"
    source.write_text(SMALL, encoding="utf-8")
    return source


def on_disk(path) -> list[nbformat.NotebookNode]:
    """The working file, and the committed one where git has one."""
    texts = [path.read_text(encoding="utf-8")] if path.exists() else []
    committed = notebooks.committed_text(path)
    return [nbformat.reads(text, 4) for text in (*texts, committed) if text]


# The committed notebooks. A learner may work in a chapter, so a committed one counts as well.


@each_chapter
def test_notebooks_are_not_stale(source):
    text = notebooks.read_source(source)
    chapter = source.parents[1] / "chapters" / f"{source.stem}.ipynb"
    assert notebooks.chapter_notebook(text) in on_disk(chapter), "run `make notebooks`"
    solutions = map(notebooks.without_outputs, on_disk(source.with_suffix(".ipynb")))
    assert notebooks.solution_notebook(text) in list(solutions), "run `make notebooks`"


@each_chapter
def test_source_is_fit_to_be_a_chapter(source):
    assert notebooks.lint(notebooks.read_source(source)) == []


@each_chapter
def test_chapter_gives_nothing_away(source):
    text = notebooks.read_source(source)
    chapter = notebooks.chapter_notebook(text)
    assert notebooks.leaked_lines(text, chapter) == []
    for cell in chapter.cells:
        assert cell.cell_type == "markdown" or (cell.outputs, cell.execution_count) == ([], None)


@each_chapter
def test_solution_is_executed_and_fit_to_be_handed_on(source):
    solution = on_disk(source.with_suffix(".ipynb"))[-1]
    assert solution.metadata.dqn_course.mode == "normal"
    assert notebooks.output_problems(solution) == []
    code = [cell for cell in solution.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    checked = [cell for cell in code if cell.source.startswith(notebooks.CHECKED)]
    assert len(checked) >= 3 and all(cell.outputs for cell in checked)


@each_chapter
def test_metadata(source):
    text = notebooks.read_source(source)
    for notebook in (notebooks.chapter_notebook(text), notebooks.solution_notebook(text)):
        nbformat.validate(notebook)
        assert notebook.metadata.kernelspec.name == "python3"
        assert "jupytext" not in notebook.metadata
        assert "version" not in notebook.metadata.language_info
        ids = [cell.id for cell in notebook.cells]
        assert len(set(ids)) == len(ids)


def test_every_notebook_has_a_source():
    stems = {source.stem for source in SOURCES}
    for folder in ("chapters", "solutions"):
        found = {path.stem for path in (notebooks.ROOT / folder).glob("*.ipynb")}
        assert found == stems


# The generator


def test_stub_and_solution():
    add = notebooks.read_cells(SMALL)[6]
    assert add.stubbed == (
        "def add(a: int, b: int) -> int:\n"
        '    """The sum."""\n'
        "    # 1. Add.\n"
        "    raise NotImplementedError"
    )
    assert "total = a + b\n    return total" in add.solved
    assert "###" not in add.solved
    assert notebooks.read_cells(SMALL)[2].stubbed == "print(1)"


def test_two_solutions_in_one_cell():
    source = "a()\n### BEGIN SOLUTION\nb()\n### END SOLUTION\nc()\nif d:\n"
    source += "    ### BEGIN SOLUTION\n    e()\n    ### END SOLUTION"
    cell = notebooks.Cell("id", "code", source)
    raised = "raise NotImplementedError"
    assert cell.stubbed == f"a()\n{raised}\nc()\nif d:\n    {raised}"
    assert cell.solved == "a()\nb()\nc()\nif d:\n    e()"


@pytest.mark.parametrize(
    "source",
    [
        "### BEGIN SOLUTION\na()",
        "a()\n### END SOLUTION",
        "### BEGIN SOLUTION\n### BEGIN SOLUTION\na()\n### END SOLUTION",
    ],
)
def test_unmatched_markers_are_refused(source):
    with pytest.raises(NotebookError, match="SOLUTION"):
        _ = notebooks.Cell("id", "code", source).stubbed


def test_ids_outlive_a_new_neighbour():
    before = [cell.id for cell in notebooks.read_cells(SMALL)]
    new = SMALL.replace("# %%\n# NBVAL", "# %%\nprint(0)\n\n# %%\n# NBVAL", 1)
    after = [cell.id for cell in notebooks.read_cells(new)]
    assert [identity for identity in after if identity in before] == before
    twice = notebooks.read_cells("# %%\nprint(0)\n\n# %%\nprint(0)\n")
    assert twice[0].id != twice[1].id


def test_build_writes_both_and_then_nothing(course):
    root = course.parents[1]
    written = ["chapters/99_small.ipynb", "solutions/99_small.ipynb"]
    assert notebooks.build(course, root) == written
    solution = nbformat.read(root / written[1], 4)
    counts = [cell.execution_count for cell in solution.cells if cell.cell_type == "code"]
    assert counts == [1, 2, 3, 4, 5]
    assert solution.cells[2].outputs[0].text == "1\n"
    bytes_before = [(root / name).read_bytes() for name in written]
    assert notebooks.build(course, root) == []
    course.write_text(SMALL.replace("Plus.", "Add."), encoding="utf-8")
    assert notebooks.build(course, root) == written
    course.write_text(SMALL, encoding="utf-8")
    assert notebooks.build(course, root) == written
    assert [(root / name).read_bytes() for name in written] == bytes_before


def test_the_state_of_widgets_makes_no_notebook_stale():
    """Bug: a solution with a slider is executed anew by each `make notebooks`."""
    solution = notebooks.solution_notebook(SMALL)
    executed = nbformat.from_dict(solution)
    executed.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    assert notebooks.without_outputs(executed) == solution != executed


def test_a_changed_source_makes_the_notebooks_stale(course):
    chapter = notebooks.chapter_notebook(SMALL)
    notebooks.write(chapter, course.parents[1] / "chapters" / "99_small.ipynb")
    path = course.parents[1] / "chapters" / "99_small.ipynb"
    assert chapter in on_disk(path)
    assert notebooks.chapter_notebook(SMALL.replace("Plus.", "Add.")) not in on_disk(path)


def test_line_ends_of_windows_change_nothing(course):
    course.write_bytes(SMALL.replace("\n", "\r\n").encode())
    assert notebooks.read_source(course) == SMALL


def solve(path, text="    return a + b  # mine"):
    """Work in a notebook as JupyterLab saves it: another cell text, outputs, a kernel's version."""
    notebook = nbformat.read(path, 4)
    cell = notebook.cells[6]
    cell.source = cell.source.replace("    raise NotImplementedError", text)
    cell.execution_count = 7
    notebook.metadata.language_info.version = "3.11.7"
    nbformat.write(notebook, path)


def test_a_learners_work_is_never_overwritten(course):
    root = course.parents[1]
    notebooks.build(course, root)
    path = root / "chapters" / "99_small.ipynb"
    solve(path)
    course.write_text(SMALL.replace("Plus.", "Add."), encoding="utf-8")
    with pytest.raises(NotebookError, match=r"chapters/99_small\.ipynb was edited"):
        notebooks.build(course, root)
    assert "# mine" in path.read_text(encoding="utf-8")


def test_running_a_chapter_is_no_edit(course):
    root = course.parents[1]
    notebooks.build(course, root)
    path = root / "chapters" / "99_small.ipynb"
    solve(path, "    raise NotImplementedError")
    assert not notebooks.has_local_edits(path)


def test_what_git_keeps_may_be_overwritten(course):
    """A notebook edited by hand and committed is not lost when it is written anew."""
    root = course.parents[1]

    def git(*words):
        name = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *name, *words], cwd=root, check=True, capture_output=True)

    notebooks.build(course, root)
    path = root / "chapters" / "99_small.ipynb"
    solve(path)
    git("init", "-q")
    assert notebooks.has_local_edits(path)
    git("add", ".")
    git("commit", "-qm", "all")
    assert not notebooks.has_local_edits(path)
    assert notebooks.build(course, root) == ["chapters/99_small.ipynb"]


def test_an_unfit_source_writes_nothing(course):
    course.write_text(SMALL.replace("## Quiz", "## Riddles"), encoding="utf-8")
    with pytest.raises(NotebookError, match="Quiz"):
        notebooks.build(course, course.parents[1])
    assert not (course.parents[1] / "chapters").exists()


def test_a_path_in_an_output_stops_the_solution(course):
    course.write_text(SMALL.replace("print(3)", "import os; print(os.getcwd())"), encoding="utf-8")
    with pytest.raises(NotebookError, match="a path of this machine"):
        notebooks.build(course, course.parents[1])
    assert not course.with_suffix(".ipynb").exists()


# What lint, the leak check and the output check find


def test_the_small_chapter_is_fit():
    assert notebooks.lint(SMALL) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("**Goals**", "Goals", "does not state Goals"),
        ("**Prerequisites**", "Prerequisites", "does not state Prerequisites"),
        ("**Minutes**", "Minutes", "does not state Minutes"),
        ("## Summary", "## The end", "no heading '## Summary'"),
        ("<details><summary>Answer</summary>No.</details>", "No.", "fewer than two folded"),
        ("### Exercise", "### Task", "there is no exercise"),
        ("●○○", "easy", "not '### Exercise N.M"),
        ("· 1 minutes", "", "not '### Exercise N.M"),
        ("**What you should see:**", "See:", "no '**What you should see:**'"),
        ("<summary>Hint 1", "<summary>Idea", "Hint 1"),
        ("<summary>Hint 2", "<summary>Call", "Hint 2"),
        ('<summary>"TypeError"', "<summary>TypeError", "no hint for an error message"),
        ("<summary>Answer</summary>So.", "<summary>Because</summary>So.", "no folded answer"),
        ("# NBVAL_CHECK_OUTPUT\nprint(3)", "print(3)", "fewer than 3 cells"),
        ("print(3)", "print(" + "3" * 88 + ")", "over 88 columns"),
        ("print(3)", "\n".join(["print(3)"] * 30), "a cell has 31 lines"),
        ("print(1)", "\n".join(["print(1)"] * 12), None),
    ],
)
def test_lint(old, new, complaint):
    assert old in SMALL
    problems = notebooks.lint(SMALL.replace(old, new, 1))
    if complaint is None:
        assert problems == []
    else:
        assert any(complaint in problem for problem in problems), problems


PIECE = """
# %%
def td_targets(rewards):
    ### BEGIN SOLUTION
    return rewards
    ### END SOLUTION

# %%
td_targets = check(td_targets)

# %%
"""


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("# 99 ·", "# 98 ·", 'begin("NN") with that'),
        ('begin("99")', 'begin("98")', 'begin("NN") with that'),
        ('begin("99")', "print()", 'begin("NN") with that'),
        ("\n# %%\n# NBVAL", PIECE + "# NBVAL", "td_targets is a piece of chapter 07"),
        ("99", "06", "the piece linear_schedule is not written here"),
        ("99", "07", "the piece td_targets is not written here"),
    ],
)
def test_lint_of_pieces(old, new, complaint):
    """Bugs: a piece without its exercise; a chapter that gives another one's number."""
    assert complaint in "\n".join(notebooks.lint(SMALL.replace(old, new)))


@pytest.mark.parametrize(
    "after", ["td_targets = check(huber_loss)", "print(1)", "td_targets = td_targets"]
)
def test_a_piece_is_checked_at_once(after):
    chapter = SMALL.replace("99", "07").replace("\n# %%\n# NBVAL", PIECE + "# NBVAL", 1)
    assert not [problem for problem in notebooks.lint(chapter) if "td_targets" in problem]
    problems = notebooks.lint(chapter.replace("td_targets = check(td_targets)", after))
    assert "the cell after td_targets is not: td_targets = check(td_targets)" in problems


def test_the_solution_says_that_it_is_one():
    """Bug: opening a solution writes into the learner's own folder."""
    solution, chapter = (
        "\n".join(cell.source for cell in make(SMALL).cells)
        for make in (notebooks.solution_notebook, notebooks.chapter_notebook)
    )
    assert 'begin("99", solution=True)' in solution and 'begin("99")' not in solution
    assert 'begin("99")' in chapter and "solution=True" not in chapter


def test_lint_counts_the_median():
    long = SMALL.replace("print(", "\n" * 10 + "print(").replace('"""The', "\n" * 10 + '"""The')
    assert any("median" in problem for problem in notebooks.lint(long))


@pytest.mark.parametrize("line", ["    total = a + b", "total = a + b", "### BEGIN SOLUTION"])
def test_a_leaked_line_is_found(line):
    chapter = notebooks.chapter_notebook(SMALL)
    assert notebooks.leaked_lines(SMALL, chapter) == []
    chapter.cells[-1].source += f"\n{line}\n"
    assert notebooks.leaked_lines(SMALL, chapter) == [line.strip()]


def test_a_solution_line_that_is_shown_elsewhere_is_no_leak():
    text = SMALL + "\n# %%\ntotal = a + b\n"
    assert notebooks.leaked_lines(text, notebooks.chapter_notebook(text)) == []


def with_output(**output):
    new = nbformat.v4
    cell = new.new_code_cell("x", outputs=[new.new_output(**output)])
    return new.new_notebook(cells=[cell])


VIDEO = '<video controls src="data:video/mp4;base64,{}"></video>'


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ({"output_type": "stream", "text": f"in {notebooks.ROOT}/x.py"}, "a path of this machine"),
        ({"output_type": "stream", "text": "Traceback (most recent call last)"}, "Traceback"),
        ({"output_type": "stream", "text": "DeprecationWarning: old"}, "DeprecationWarning"),
        ({"output_type": "stream", "text": "ipykernel_4711"}, "ipykernel_4711"),
        ({"output_type": "stream", "text": "x" * 1_000_001}, "bytes of outputs"),
        ({"output_type": "error", "ename": "ValueError", "evalue": "no"}, "an error: ValueError"),
        (
            {"output_type": "display_data", "data": {"text/html": VIDEO.format("A" * 400_400)}},
            "an embedded video of 300,300 bytes",
        ),
    ],
)
def test_unfit_outputs_are_found(output, complaint):
    problems = notebooks.output_problems(with_output(**output))
    assert any(complaint in problem for problem in problems), problems


def test_fit_outputs_pass():
    html = VIDEO.format("A" * 399_000 + "/".join(["", "tmp", "x"]))  # a path in base64 is none
    output = {"output_type": "display_data", "data": {"text/html": html, "image/png": "/tmp"}}
    assert notebooks.output_problems(with_output(**output)) == []


def test_notebooks_are_written_for_git(course):
    path = course.parents[1] / "chapters" / "99_small.ipynb"
    notebooks.write(notebooks.chapter_notebook(SMALL), path)
    text = path.read_bytes()
    assert text.endswith(b"}\n") and not text.endswith(b"\n\n") and b"\r" not in text
    assert "●○○" in text.decode("utf-8")
    assert json.loads(text)["nbformat_minor"] >= 5
