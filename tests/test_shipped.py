"""Where the shipped agents are found."""

import pytest

from dqn_ref.agents import load_agent
from dqn_ref.course import shipped
from dqn_ref.course.home import CourseError


def test_a_shipped_run_can_play():
    """Bug: a folder that does not move with the checkout."""
    recipe, _ = load_agent(shipped.shipped_run("breakout-laptop-seed-0"), precision="fp32")
    assert recipe.game == "breakout"


def test_an_unknown_run_is_one_sentence(monkeypatch, tmp_path):
    with pytest.raises(CourseError, match="choose from .*breakout-laptop-seed-0"):
        shipped.shipped_run("breakout")
    monkeypatch.setattr(shipped, "RESULTS", tmp_path)
    with pytest.raises(CourseError, match="clone the course again"):
        shipped.shipped_run("breakout-laptop-seed-0")
