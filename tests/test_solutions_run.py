"""Every solution runs, and its marked cells print what the committed notebook shows."""

import nbformat
import pytest
from notebook_runs import run_nbval

from dqn_ref.course import notebooks

SECONDS_PER_NOTEBOOK = 45


def committed(source) -> nbformat.NotebookNode:
    path = source.with_suffix(".ipynb")
    return nbformat.reads(notebooks.committed_text(path) or path.read_text(encoding="utf-8"), 4)


@pytest.mark.parametrize("source", notebooks.sources(), ids=lambda source: source.stem)
def test_solution_runs(source, tmp_path):
    path = tmp_path / f"{source.stem}.ipynb"
    notebook = committed(source)
    nbformat.write(notebook, path)
    run = run_nbval(path, strict=True)
    assert run.returncode == 0, run.output
    assert run.cells == sum(cell.cell_type == "code" for cell in notebook.cells)
    assert run.seconds <= SECONDS_PER_NOTEBOOK


def test_a_check_that_does_not_pass_is_noticed(tmp_path):
    """Without strictness a solution that its own check refuses would run to its end."""
    source = notebooks.sources()[0]
    chapter = notebooks.chapter_notebook(notebooks.read_source(source))
    end = next(i for i, cell in enumerate(chapter.cells) if "= check(" in cell.source) + 1
    kept = [cell for cell in chapter.cells[:end] if "doctor.run_doctor" not in cell.source]
    path = tmp_path / "unsolved.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=kept, metadata=chapter.metadata), path)
    run = run_nbval(path, strict=True)
    assert run.returncode == 1 and "CheckFailed" in run.output, run.output


def test_a_tampered_output_is_noticed(tmp_path):
    """nbval compares a marked cell, but says nothing of one that was never run.

    That is why `test_notebooks.py` asserts execution counts and outputs.
    """
    new = nbformat.v4
    four, five = (new.new_output("stream", name="stdout", text=text) for text in ("4\n", "5\n"))
    for outputs, count, returncode in (([four], 1, 0), ([five], 1, 1), ([], None, 0)):
        source = "# NBVAL_CHECK_OUTPUT\nprint(2 + 2)"
        cell = new.new_code_cell(source, execution_count=count, outputs=outputs)
        path = tmp_path / "sum.ipynb"
        nbformat.write(new.new_notebook(cells=[cell], metadata=notebooks.KERNEL), path)
        run = run_nbval(path)
        assert run.returncode == returncode, run.output
