"""Every chapter runs to its end half solved; in `make test-long` with each of its cells twice."""

import copy

import nbformat
import pytest
from notebook_runs import run_nbval

from dqn_ref.course import notebooks


@pytest.mark.parametrize("source", notebooks.sources(), ids=lambda source: source.stem)
def test_half_solved(source, tmp_path):
    """Bug: a cell that asks for all exercises or none."""
    run_half_solved(source, tmp_path, times=1)


@pytest.mark.long
@pytest.mark.parametrize("source", notebooks.sources(), ids=lambda source: source.stem)
def test_every_cell_may_be_run_twice(source, tmp_path):
    """Bug: a cell that changes what it needs itself."""
    run_half_solved(source, tmp_path, times=2)


def run_half_solved(source, tmp_path, times):
    text = notebooks.read_source(source)
    chapter, cells, solved = notebooks.chapter_notebook(text), notebooks.read_cells(text), 0
    for cell, origin in zip(chapter.cells, cells, strict=True):
        if origin.solution_lines:
            solved += 1
            if solved % 2:
                cell.source = origin.solved
    if times == 2:
        chapter.cells = [again for cell in chapter.cells for again in twice(cell)]
    path = tmp_path / f"{source.stem}.ipynb"
    nbformat.write(chapter, path)
    run = run_nbval(path)
    assert solved and run.returncode == 0, run.output


def twice(cell):
    """A code cell and the same once more; another cell alone."""
    if cell.cell_type != "code":
        return [cell]
    again = copy.deepcopy(cell)
    again.id = f"{cell.id}-again"
    return [cell, again]
