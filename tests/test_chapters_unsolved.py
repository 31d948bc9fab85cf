"""Every chapter runs to its end unsolved, within its budget."""

import nbformat
import pytest
from notebook_runs import run_nbval

from dqn_ref.course import notebooks

SECONDS_PER_NOTEBOOK = 45
CPU_SECONDS_ON_AVERAGE = 15  # of the processor: on a busy machine everything takes longer
taken = {}  # by each unsolved chapter


@pytest.mark.parametrize("source", notebooks.sources(), ids=lambda source: source.stem)
def test_unsolved_chapter_runs(source, tmp_path):
    chapter = notebooks.chapter_notebook(notebooks.read_source(source))
    path = tmp_path / f"{source.stem}.ipynb"
    nbformat.write(chapter, path)
    run = run_nbval(path)
    assert run.returncode == 0, run.output
    assert run.cells == sum(cell.cell_type == "code" for cell in chapter.cells)
    taken[source.stem] = run.cpu_seconds
    assert run.seconds <= SECONDS_PER_NOTEBOOK


def test_an_unsolved_chapter_takes_fifteen_seconds_on_average(tmp_path):
    """Chapters that each stay within their limit, and together make the tests a long wait.

    A learner's JupyterLab is running already: what nbval itself takes is no chapter's time.
    """
    assert len(taken) == len(notebooks.sources()), "select the whole file"
    nothing = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("1")], metadata=notebooks.KERNEL
    )
    nbformat.write(nothing, tmp_path / "nothing.ipynb")
    own = run_nbval(tmp_path / "nothing.ipynb").cpu_seconds
    assert 0 < own < 5
    assert sum(taken.values()) / len(taken) - own <= CPU_SECONDS_ON_AVERAGE, (taken, own)
