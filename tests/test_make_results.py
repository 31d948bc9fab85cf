"""`make results`: what the front page shows is what the files in results/ say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from results import make

ROOT = Path(__file__).parents[1]


def test_the_table_on_the_front_page_is_made_of_the_files_here():
    """A score that was typed, or one of a run that is gone."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert make.with_table(page, make.table()) == page
    assert make.with_table(page, "other") != page
    for name, about in make.runs().items():
        assert f"[{name}](results/{name}/about.json)" in page
        assert f"{about['evaluations'][0]['mean']:.1f} ± " in page


def test_every_run_in_the_table_says_how_it_was_scored():
    """A score without its protocol."""
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in make.table().splitlines()]
    assert {len(row) for row in rows} == {len(make.HEAD)}
    ours = [row for row in rows if row[2] == "last" and row[6] == "18,000"]
    assert len(ours) == 2 * len(make.runs())
    assert {row[5] for row in ours} == {"0.05", "0.001"}


def test_a_page_keeps_what_stands_around_its_table():
    page = f"before\n{make.BEGIN}\n\nold\n\n{make.END}\nafter\n"
    assert make.with_table(page, "new") == f"before\n{make.BEGIN}\n\nnew\n\n{make.END}\nafter\n"


def test_the_moving_mean_is_that_of_the_log(tmp_path):
    """Bug: a mean over other games than the 100 that the text names."""
    path = tmp_path / "games.csv"
    rows = "".join(f"{10 * n},{n},{n % 7}\n" for n in range(300))
    path.write_text("agent_steps,wall_seconds,score\n" + rows)
    at, means = make.moving_mean(path, "agent_steps")
    assert at[-1] == 2990 and means[-1] == pytest.approx(np.mean([n % 7 for n in range(200, 300)]))
    assert np.isnan(means[:9]).all() and means[9] == np.mean([n % 7 for n in range(10)])


def test_what_the_front_page_shows_is_there_and_light():
    gif = make.FIGURES / "agent.gif"
    assert gif.stat().st_size <= 3_000_000
    with Image.open(gif) as film:
        assert film.n_frames == make.DECISIONS and film.info["loop"] == 0
    assert (make.FIGURES / "learning.png").stat().st_size < 300_000
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(results/figures/agent.gif)" in page and "(results/figures/learning.png)" in page
