"""The trained agents that come with the course."""

from __future__ import annotations

from pathlib import Path

from dqn_ref.course.home import ROOT, CourseError

RESULTS = ROOT / "results"


def shipped_run(name: str) -> Path:
    """The folder of a run in `results/`, with its recipe, log and last weights.

    Args:
        name: such as "breakout-laptop-seed-0".
    Raises:
        CourseError: if it is not there, naming those that are.
    """
    there = sorted(path.parent.name for path in RESULTS.glob("*/weights.safetensors"))
    if name not in there:
        choice = f"choose from {', '.join(there)}" if there else "clone the course again"
        raise CourseError(f"results/ has no run {name!r}; {choice}")
    return RESULTS / name
