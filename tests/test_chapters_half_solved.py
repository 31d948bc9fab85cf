"""Every chapter runs to its end half solved, each of its cells twice."""

import copy

import nbformat
import pytest
from notebook_runs import run_nbval

from dqn_ref.course import notebooks


@pytest.mark.parametrize("source", notebooks.sources(), ids=lambda source: source.stem)
def test_half_solved_and_every_cell_run_twice(source, tmp_path):
    """Bugs: a cell that changes what it needs itself; one that asks for all exercises or none."""
    text = notebooks.read_source(source)
    chapter, cells, solved = notebooks.chapter_notebook(text), notebooks.read_cells(text), 0
    for cell, origin in zip(chapter.cells, cells, strict=True):
        if origin.solution_lines:
            solved += 1
            if solved % 2:
                cell.source = origin.solved
    twice = []
    for cell in chapter.cells:
        again = copy.deepcopy(cell)
        again.id = f"{cell.id}-again"
        twice += [cell, again] if cell.cell_type == "code" else [cell]
    chapter.cells = twice
    path = tmp_path / f"{source.stem}.ipynb"
    nbformat.write(chapter, path)
    run = run_nbval(path)
    assert solved and run.returncode == 0, run.output
