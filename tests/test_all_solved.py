"""After all chapters are solved, `train --pieces my_dqn` runs on nothing but the learner's pieces.

The pieces are the solutions', in a temporary home. What runs is seen by a profiler, so that
nobody's word is taken for it.
"""

import inspect
import sys
from contextlib import contextmanager

import pytest
from own_folder import own_folder
from test_equal_losses import HERE, solved_text

from dqn_ref import agents, replay
from dqn_ref.__main__ import main
from dqn_ref.course import provenance
from dqn_ref.gym_lane import GymLane
from dqn_ref.own_pieces import AGENT_PIECES
from dqn_ref.pieces import CONTRACTS

# One run that needs every piece: Atari, several lanes, Nature's optimiser, games to evaluate.
RUN = [
    "--recipe", "laptop", "--optimizer", "nature_rmsprop", "--lanes", "2", "--total-steps", "120",
    "--frame-height", "44", "--frame-width", "44", "--memory-frames", "400", "--batch-size", "8",
    "--learning-starts", "40", "--target-every-steps", "40", "--updates-at-once", "1",
    "--max-frames-per-game", "200", "--eval-every-steps", "100", "--eval-steps", "20",
    "--device", "cpu", "--precision", "fp32", "--threads", "1", "--quiet",
]  # fmt: skip


def code_of(thing):
    """Code objects of a function, or of all methods of a class."""
    found = vars(thing).values() if inspect.isclass(thing) else [thing]
    plain = (inspect.unwrap(getattr(each, "fget", each)) for each in found)
    return {each.__code__ for each in plain if inspect.isfunction(each)}


REFERENCE = {code: name for name, c in CONTRACTS.items() for code in code_of(c.reference)}
# What stands in for pieces where nobody has written any.
REFERENCE |= {
    code: thing.__name__ for thing in (replay.FrameRing, GymLane) for code in code_of(thing)
}
# A lane of wrappers is a GymLane: it keeps these.
KEPT = {"__init__", "frame", "refuse_impossible_frames", "ended", "starts_life", "state"}


@contextmanager
def watched():
    """Names of the reference's pieces that run meanwhile."""
    ran = set()

    def note(frame, event, argument):
        code = frame.f_code
        if event == "call" and code in REFERENCE:
            if not (REFERENCE[code] == "GymLane" and code.co_name in KEPT):
                ran.add(REFERENCE[code])

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield ran
    finally:
        sys.setprofile(before)


def train_and_play(home, monkeypatch, *names):
    """Everything that a trained agent is for, on these pieces; what ran of the reference."""
    monkeypatch.setenv("DQN_COURSE_HOME", str(home))
    own_folder(home / "my_dqn", **{name: solved_text(HERE[name], name) for name in names})
    run = home / "runs" / "mine"
    with watched() as ran:
        assert main(["train", *RUN, "--pieces", "my_dqn", "--run-dir", str(run)]) == 0
        agents.evaluate_run(run, games=2, epsilon=0.5, seed=0, max_frames=80)
        agents.film_run(run, home / "film.mp4", epsilon=0.5, seed=0, seconds=0.5)
    return ran, repr(provenance(run))


def test_nothing_comes_from_the_reference(tmp_path, monkeypatch):
    """A piece that a learner wrote, checked and saved, and that no agent of theirs ever runs on."""
    assert set(HERE) == set(AGENT_PIECES)
    ran, card = train_and_play(tmp_path, monkeypatch, *AGENT_PIECES)
    assert ran == set()
    count = len(AGENT_PIECES)
    assert card.splitlines()[0].endswith(f"{count} of {count} parts are yours")
    assert "the reference's" not in card and "not called" not in card


# `luminance` and its like stand inside preprocess; a replay memory is one for all lanes.
SHOWS_AS = {
    "preprocess": {"preprocess", "luminance", "resize", "max_over_frames"},
}


@pytest.mark.parametrize(
    "missing", ["preprocess", pytest.param("NatureRMSProp", marks=pytest.mark.long)]
)
def test_watching_finds_the_one_that_is_not_there(missing, tmp_path, monkeypatch):
    """A profiler that sees nothing; a card that counts files and not pieces."""
    rest = [name for name in AGENT_PIECES if name != missing]
    ran, card = train_and_play(tmp_path, monkeypatch, *rest)
    assert ran == SHOWS_AS.get(missing, {missing})
    assert f"{len(rest)} of {len(AGENT_PIECES)} parts" in card.splitlines()[0]
    line = next(line for line in card.splitlines() if f" {missing} " in line)
    assert line.endswith("the reference's")
