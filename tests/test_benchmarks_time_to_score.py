"""The time-to-score benchmark: what counts as reached, and that it loses no run."""

import json

import pytest

from benchmarks.time_to_score import (
    DONE_FILE,
    Game,
    first_reached,
    main,
    mean_of_last,
    run_folder,
    summary,
)


def games(scores):
    return [Game(10 * (i + 1), float(i), score) for i, score in enumerate(scores)]


def test_the_score_is_reached_by_a_hundred_games_not_by_one():
    """Bug: the first lucky games count, because the mean is taken over those there are."""
    assert first_reached(games([100.0] * 99), 16) is None
    assert first_reached(games([100.0] * 100), 16) == (1000, 99.0)
    assert first_reached(games([0.0] * 150 + [16.0] * 100), 16) == (2500, 249.0)


def test_only_the_last_hundred_count():
    """Bug: the mean over the whole run, which early games hold down."""
    played = games([0.0] * 1000 + [20.0] * 100)
    assert mean_of_last(played) == 20.0
    assert first_reached(played, 16).agent_steps == 10 * 1080
    assert mean_of_last(played[:99]) is None


def test_the_first_time_stands_even_if_the_score_falls_again():
    played = games([20.0] * 100 + [0.0] * 100)
    assert first_reached(played, 16).wall_seconds == 99.0
    assert mean_of_last(played) == 0.0


def test_half_a_run_is_neither_reported_nor_deleted(tmp_path, capsys):
    folder = run_folder(tmp_path, "dqn_ref", 5)
    folder.mkdir()
    (folder / "games.csv").write_text("mine")
    assert main(["--seeds", "5", "--peer-seeds", "--out", str(tmp_path)]) == 2
    assert "delete it" in capsys.readouterr().err
    assert (folder / "games.csv").read_text() == "mine"


def test_a_complete_run_is_reported_and_not_made_again(tmp_path, capsys):
    folder = run_folder(tmp_path, "dqn_ref", 5)
    folder.mkdir()
    rows = "\n".join(f"{s},{t},{score}" for s, t, score in games([17.0] * 120))
    (folder / "games.csv").write_text("agent_steps,wall_seconds,score\n" + rows + "\n")
    about = {"agent": "dqn_ref", "seed": 5, "agent_steps": 1200, "updates": 300}
    (folder / DONE_FILE).write_text(json.dumps(about))
    assert main(["--seeds", "5", "--peer-seeds", "--out", str(tmp_path)]) == 0
    assert "after 1.6 minutes, 1,000 steps" in capsys.readouterr().out
    line = json.loads((tmp_path / "report.json").read_text())[0]
    assert line == summary(folder, 16.0)
    assert line["mean_of_last_100"] == 17.0


@pytest.mark.parametrize("agent", ["dqn_ref"])
def test_a_run_ends_by_the_clock(tmp_path, agent):
    """Bug: the limit counts steps, or the run forgets to say that it is complete."""
    flags = ["--worker", agent, "--seeds", "5", "--minutes", "0.02", "--threads", "1"]
    assert main([*flags, "--out", str(tmp_path)]) == 0
    line = summary(run_folder(tmp_path, agent, 5), 16.0)
    assert line["agent_steps"] > 0 and line["reached_at_steps"] is None
