"""Every chapter, unsolved and freshly generated, runs to its end within its budget."""

import nbformat
import pytest
from notebook_runs import run_nbval

from dqn_ref.course import notebooks

SECONDS_PER_NOTEBOOK = 45


@pytest.mark.parametrize("source", notebooks.sources(), ids=lambda source: source.stem)
def test_unsolved_chapter_runs(source, tmp_path):
    chapter = notebooks.chapter_notebook(notebooks.read_source(source))
    path = tmp_path / f"{source.stem}.ipynb"
    nbformat.write(chapter, path)
    run = run_nbval(path)
    assert run.returncode == 0, run.output
    assert run.cells == sum(cell.cell_type == "code" for cell in chapter.cells)
    assert run.seconds <= SECONDS_PER_NOTEBOOK
