"""What a run tells: log.csv, games.csv, TensorBoard, the curve; and that it stops at a NaN.

Each rule is a function that a broken variant must fail.
"""

import csv
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dqn_ref.evaluation import Game
from dqn_ref.learner import Metrics
from dqn_ref.reporting import (
    GAME_COLUMNS,
    LOG_COLUMNS,
    CsvLog,
    Reporter,
    RunError,
    history,
    plot_run,
    read_rows,
)
from dqn_ref.training import Counters

COLUMNS = ("agent_steps", "value")
PROMISED = (
    "agent_steps", "wall_seconds", "updates", "episodes", "score_mean", "epsilon", "loss", "q_mean"
)  # fmt: skip


def parts_at(steps, losses=(), games=(), epsilon=0.5):
    return SimpleNamespace(
        counters=Counters(steps=steps, updates=steps // 4, games=steps // 10),
        metrics=[Metrics(torch.tensor(x), torch.tensor(2 * x)) for x in losses],
        finished=[Game(0, score, 30, 120, False) for score in games],
        epsilon=lambda: np.array([epsilon]),
    )


def reporter_in(folder, **changes):
    settings = dict(total_steps=1_000, log_every_steps=100, show_bar=False)
    return Reporter(folder, **(settings | changes))


# ---- CSV files -----------------------------------------------------------------------------------


def write_rows(path, rows, tail=""):
    path.write_text("agent_steps,value\r\n" + "".join(f"{a},{b}\r\n" for a, b in rows) + tail)


def check_later_rows_are_dropped(make, path):
    # A kill tore the last row.
    write_rows(path, [(100, 1), (200, 2), (201, 3), (300, 4)], tail="40")
    log = make(path, COLUMNS, 200)
    log.write(agent_steps=250, value=9)
    log.close()
    steps = [int(row["agent_steps"]) for row in read_rows(path)]
    assert steps == [100, 200, 250]


class KeepsEverything(CsvLog):
    def __init__(self, path, columns, keep_to_step):
        super().__init__(path, columns, 10**12)


class BeginsAnew(CsvLog):
    def __init__(self, path, columns, keep_to_step):
        super().__init__(path, columns, -1)


def test_rows_beyond_the_checkpoint_are_dropped_on_resume(tmp_path):
    check_later_rows_are_dropped(CsvLog, tmp_path / "log.csv")
    for broken in (KeepsEverything, BeginsAnew):
        with pytest.raises(AssertionError):
            check_later_rows_are_dropped(broken, tmp_path / "log.csv")


def test_a_row_is_on_disk_when_write_returns(tmp_path):
    log = CsvLog(tmp_path / "x.csv", COLUMNS, 0)
    log.write(agent_steps=1, value=2)
    assert read_rows(tmp_path / "x.csv") == [{"agent_steps": "1", "value": "2"}]
    log.close()


@pytest.mark.parametrize("tail", ["4", "400", "400,", "400,7", '"400'])
def test_a_torn_last_row_is_left_out(tmp_path, tail):
    """Even one that looks complete: its last digits may be missing."""

    def check(read):
        assert [row["agent_steps"] for row in read(tmp_path / "x.csv")] == ["100", "200"]

    write_rows(tmp_path / "x.csv", [(100, 1), (200, 2)], tail)
    check(read_rows)
    with pytest.raises(AssertionError):
        check(lambda path: list(csv.DictReader(path.open())))
    assert read_rows(tmp_path / "none.csv") == []


def test_a_damaged_log_is_one_sentence(tmp_path):
    path = tmp_path / "log.csv"
    for text in ("agent_steps,value\nabc,1\n", "other,value\n1,2\n"):
        path.write_text(text)
        with pytest.raises(RunError, match="damaged") as error:
            CsvLog(path, COLUMNS, 100)
        assert "\n" not in str(error.value)
        assert path.read_text() == text  # nothing overwritten


# ---- the reporter --------------------------------------------------------------------------------


def test_the_log_has_the_promised_columns():
    assert set(PROMISED) <= set(LOG_COLUMNS)
    assert {"agent_steps", "score", "steps"} <= set(GAME_COLUMNS)


def check_rows(kind, folder):
    folder.mkdir()
    reporter = kind(folder, 1_000, 100, show_bar=False)
    for steps in range(8, 337, 8):
        reporter.on_step(parts_at(steps, losses=[steps / 100.0]))
    reporter.finish(parts_at(336))
    reporter.close()
    rows = read_rows(folder / "log.csv")
    # One row per hundred steps, at the first turn that reaches it, and one for the rest.
    assert [int(row["agent_steps"]) for row in rows] == [104, 200, 304, 336]
    means = [np.mean([s / 100 for s in range(a, b + 1, 8)])
             for a, b in ((8, 104), (112, 200), (208, 304), (312, 336))]  # fmt: skip
    assert [float(row["loss"]) for row in rows] == pytest.approx(means, rel=1e-4)
    assert [float(row["q_mean"]) for row in rows] == pytest.approx([2 * m for m in means], rel=1e-4)
    assert [int(row["updates"]) for row in rows] == [26, 50, 76, 84]


class KeepsOldLosses(Reporter):
    def _mean_metrics(self):
        kept = list(self._metrics)
        found = super()._mean_metrics()
        self._metrics = kept
        return found


class ForgetsTheRest(Reporter):
    def finish(self, parts):
        pass


class RowPerTurn(Reporter):
    def on_step(self, parts):
        self._next_row = 0
        super().on_step(parts)


def test_rows_come_every_so_many_steps_and_average_since_the_last(tmp_path):
    check_rows(Reporter, tmp_path / "right")
    for broken in (KeepsOldLosses, ForgetsTheRest, RowPerTurn):
        with pytest.raises(AssertionError):
            check_rows(broken, tmp_path / broken.__name__)


def test_a_run_without_updates_and_games_logs_nan(tmp_path):
    reporter = reporter_in(tmp_path)
    reporter.on_step(parts_at(100))
    reporter.close()
    row = read_rows(tmp_path / "log.csv")[0]
    assert all(math.isnan(float(row[name])) for name in ("loss", "q_mean", "score_mean"))
    assert float(row["epsilon"]) == 0.5


def check_score_mean(kind, folder):
    """Over the last hundred full games, also across a resume."""
    folder.mkdir()
    reporter = kind(folder, 10_000, 100, show_bar=False)
    for game in range(90):
        reporter.on_step(parts_at(game + 1, games=[float(game)]))
    reporter.on_step(parts_at(100))
    reporter.close()
    reporter = kind(folder, 10_000, 100, from_step=100, show_bar=False)
    assert reporter.score_mean == pytest.approx(44.5)
    for game in range(90, 120):
        reporter.on_step(parts_at(game + 20, games=[float(game)]))
    reporter.on_step(parts_at(200))
    reporter.close()
    row = read_rows(folder / "log.csv")[-1]
    assert float(row["score_mean"]) == pytest.approx(np.mean(range(20, 120)))
    assert (float(row["score_min"]), float(row["score_max"])) == (20, 119)
    games = read_rows(folder / "games.csv")
    assert [float(game["score"]) for game in games] == list(range(120))


class ForgetsGamesOnResume(Reporter):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._scores.clear()


def test_the_score_is_a_mean_over_the_last_hundred_games(tmp_path):
    check_score_mean(Reporter, tmp_path / "right")
    with pytest.raises(AssertionError):
        check_score_mean(ForgetsGamesOnResume, tmp_path / "broken")


def test_seconds_go_on_after_a_resume(tmp_path):
    reporter = reporter_in(tmp_path, from_step=500, wall_seconds=3_600.0)
    assert 3_600 <= reporter.wall_seconds < 3_660
    reporter.close()


def check_nan_stops_the_run(kind, folder, losses):
    folder.mkdir()
    reporter = kind(folder, 1_000, 100, show_bar=False)
    try:
        reporter.on_step(parts_at(50, losses=losses))
        reporter.refuse_nan()  # before a checkpoint is written
    except RunError as error:
        assert "\n" not in str(error) and "--learning-rate" in str(error)
        return
    finally:
        reporter.close()
    raise AssertionError("a run without a loss goes on")


class LooksAtTheMean(Reporter):
    """Infinities of both signs are seen, but only when a row is due."""

    def refuse_nan(self):
        pass


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run(tmp_path, bad):
    check_nan_stops_the_run(Reporter, tmp_path / "right", [0.5, bad, 0.25])
    with pytest.raises(AssertionError):
        check_nan_stops_the_run(LooksAtTheMean, tmp_path / "broken", [0.5, bad, 0.25])
    with pytest.raises(AssertionError):  # and the rule does not fire on numbers
        check_nan_stops_the_run(Reporter, tmp_path / "numbers", [0.5, 1e30])
    reporter = reporter_in(tmp_path)
    with pytest.raises(RunError):  # at a row as well
        reporter.on_step(parts_at(100, losses=[bad]))
    reporter.close()


def test_tensorboard_reads_what_was_written(tmp_path):
    reporter = reporter_in(tmp_path)
    reporter.on_step(parts_at(100, losses=[0.25], games=[7.0]))
    reporter.close()
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    assert {"train/loss", "train/epsilon", "game/score"} <= set(board.Tags()["scalars"])
    assert [(e.step, e.value) for e in board.Scalars("train/loss")] == [(100, 0.25)]
    assert [(e.step, e.value) for e in board.Scalars("game/score")] == [(100, 7.0)]


def test_the_bar_shows_steps_and_score(tmp_path, capsys):
    reporter = reporter_in(tmp_path, show_bar=True)
    reporter.on_step(parts_at(100, games=[7.0]))
    reporter.close()
    shown = capsys.readouterr().err
    assert "100/1000" in shown and "score 7.0" in shown


# ---- the curve -----------------------------------------------------------------------------------


def finished_run(folder):
    reporter = reporter_in(folder)
    for steps in range(20, 401, 20):
        reporter.on_step(parts_at(steps, losses=[0.1], games=[steps / 10]))
    reporter.close()


def test_the_curve_is_drawn(tmp_path):
    finished_run(tmp_path)
    path = plot_run(tmp_path, tmp_path / "curve.png")
    assert path.read_bytes()[:4] == b"\x89PNG" and path.stat().st_size > 5_000


@pytest.mark.parametrize("name", ["folder", "curve", "curve.xyz"])
def test_a_name_no_picture_can_have_is_one_sentence(tmp_path, name):
    """`folder.png` written where a folder was named, and `folder` reported as the picture."""
    finished_run(tmp_path)
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunError, match=name) as error:
        plot_run(tmp_path, tmp_path / name)
    assert "\n" not in str(error.value) and sorted(tmp_path.rglob("*")) == before


def check_history_ignores_a_torn_row(read, folder):
    log = folder / "log.csv"
    whole = log.read_bytes()
    log.write_bytes(whole + b"50")
    try:
        assert read(folder)["agent_steps"].tolist() == [100, 200, 300, 400]
    finally:
        log.write_bytes(whole)


def test_a_torn_row_is_not_drawn(tmp_path):
    import pandas

    finished_run(tmp_path)
    check_history_ignores_a_torn_row(history, tmp_path)
    with pytest.raises(AssertionError):
        check_history_ignores_a_torn_row(lambda f: pandas.read_csv(f / "log.csv"), tmp_path)


@pytest.mark.parametrize("text", [None, "", "agent_steps", "agent_steps,loss\n", "\x00\n\x00\n"])
def test_a_log_with_nothing_to_draw_is_one_sentence(tmp_path, text):
    if text is not None:
        (tmp_path / "log.csv").write_text(text)
    with pytest.raises(RunError) as error:
        plot_run(tmp_path, tmp_path / "curve.png")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "curve.png").exists()
