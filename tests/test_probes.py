"""The probe ladder: right pieces climb it, and each broken piece falls off at its own rung."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dqn_ref.course import probes
from dqn_ref.course.probe_faults import FIVE, MORE, PATIENTS, SICK
from dqn_ref.course.probes import PROBES, Outcome, run_probe, run_probes
from dqn_ref.network import QNetwork
from dqn_ref.pieces import REFERENCE, Pieces
from dqn_ref.training import training_loop


def up_to(fault):
    """Outcomes of a broken agent, from the first probe to the one that it should fail."""
    return [run_probe(probe, fault.pieces) for probe in PROBES[: fault.first_to_fail]]


def test_the_reference_climbs_the_ladder():
    """A probe that right pieces do not pass; and one that is met too closely to be trusted."""
    told = []
    outcomes = run_probes(REFERENCE, tell=told.append)
    assert all(outcome.passed for outcome in outcomes) and told == outcomes
    for outcome in outcomes:
        error = np.abs(outcome.values - outcome.probe.truth).max()
        assert error < probes.TOLERANCE / 2, outcome
        assert outcome.probe.game.num_actions == 1 or outcome.won > 0.88, outcome
    assert "\n".join(str(outcome).split("  ")[0] for outcome in outcomes).count("✅") == 5


@pytest.mark.parametrize("fault", FIVE, ids=lambda fault: fault.what)
def test_each_probe_fails_for_its_own_broken_piece(fault):
    """A rung that nothing falls off, or one that also fails for what a later one is about."""
    *before, last = up_to(fault)
    assert all(outcome.passed for outcome in before) and not last.passed
    assert last.probe.number == FIVE.index(fault) + 1
    assert fault.piece in last.probe.look_at and last.reading in str(last)


SURE = ("column", "learn is never called", "the target is never copied", "dice the wrong")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(f, id=f.what, marks=() if f.what.startswith(SURE) else pytest.mark.long)
        for f in MORE
    ],
)
def test_other_faults_are_found_where_the_table_says(fault):
    """A sentence that sends the learner to the wrong piece."""
    *before, last = up_to(fault)
    assert all(outcome.passed for outcome in before) and not last.passed
    assert fault.piece in last.probe.look_at


READINGS = {
    "zero_grad after backward": "nothing is learnt",
    "pixels // 255": "all screens are worth the same",
    "no terminal mask": "more than the one point",
    "max Q instead of Q(s, a)": "not that of the action taken",
    "stacks newest first": "not said of it at play",
    "the target is never copied": "nothing comes from the next state",
    "dice the wrong way round": "the values are right",
}


READ = [fault for fault in FIVE + MORE if fault.what in READINGS]


@pytest.mark.parametrize("fault", READ, ids=lambda fault: fault.what)
def test_a_failure_is_read(fault):
    """A diagnosis that does not fit what was found."""
    outcome = run_probe(PROBES[fault.first_to_fail - 1], fault.pieces)
    assert READINGS[fault.what] in outcome.reading, outcome


def culprits(patient) -> list[str]:
    """Pieces whose exchange heals a patient, as exercise 8.4 asks."""
    agent, probe = patient.among_own, patient.probe
    healed = {name: replace(agent, **{name: getattr(REFERENCE, name)}) for name in probe.look_at}
    return [name for name, pieces in healed.items() if run_probe(probe, pieces).passed]


@pytest.mark.parametrize(
    "letter", ["P", *(pytest.param(letter, marks=pytest.mark.long) for letter in "QR")]
)
def test_a_patient_has_one_culprit_that_only_the_experiment_tells(letter):
    """An exercise without an answer, with two, or with one that `is not` finds."""
    patient = PATIENTS[letter]
    own = [n for n in patient.probe.look_at if not patient.among_own.is_reference(n)]
    assert own == list(patient.probe.look_at)
    assert culprits(patient) == [patient.piece]


def test_agents_whose_curves_are_read_differ_in_their_piece():
    """Two letters with one answer; an agent that the fourth probe knows nothing of."""
    assert [SICK[name].piece for name in "ABC"] == ["td_targets", "linear_schedule", "clip_reward"]
    assert len(SICK) == 3 and all(fault.first_to_fail <= 4 for fault in SICK.values())


def test_winning_by_luck_is_no_pass():
    """95 of 100 games won with wrong values, and a reading that leaves one wondering."""
    values = np.array([[0.6, 0.6], [0.6, 0.6], [0.63, 0.64], [0.73, 0.62]])
    outcome = Outcome(PROBES[4], values, won=0.95)
    assert not outcome.passed and outcome.reading.endswith("though it wins by luck")
    assert "luck" not in Outcome(PROBES[4], values, won=0.5).reading


# ---- what else may happen ------------------------------------------------------------------------


def test_an_error_of_a_piece_is_told():
    """A traceback that ends the notebook, or an error that is called a wrong value."""

    def broken(parts, batch):
        raise IndexError("no such column")

    outcome = run_probe(PROBES[0], Pieces(training_step=broken))
    assert not outcome.passed and "IndexError: no such column" in str(outcome)


def test_values_that_are_no_numbers_do_not_pass():
    """nan is not larger than any tolerance."""
    outcome = Outcome(PROBES[0], np.array([[np.nan]]))
    assert not outcome.passed and "no finite number" in str(outcome)


def test_a_loop_that_does_not_end_is_ended():
    """A kernel that hangs."""

    def endless(parts, total_steps, on_step):
        training_loop(parts, 10**9, lambda parts, rows: on_step(parts, rows) and False)

    outcome = run_probe(PROBES[0], Pieces(training_loop=endless))
    assert "the loop goes on after its 200 steps" in str(outcome)


def test_what_must_come_out_is_what_the_rules_say():
    """A table computed from another game than the one that is played."""
    one, two, later, actions, motion = (probe.truth.round(2).tolist() for probe in PROBES)
    assert (one, two, later, actions) == ([[1]], [[0], [1]], [[0.9], [1]], [[0, 1]])
    assert motion == [[0.9, 0.9], [0.9, 0.9], [0, 1], [1, 0]]


def test_the_middle_of_motion_is_one_picture():
    """A probe of stacks that a single frame gives away."""
    from_left, from_right = (probes.Motion.draw(state) for state in (2, 3))
    assert (from_left == from_right).all()


def test_a_seed_gives_the_same_outcome_again():
    """A ladder that says something else the next time."""
    one, two = (run_probe(PROBES[3]) for _ in range(2))
    assert one.found == two.found and (one.values == two.values).all()


def test_the_notebook_keeps_its_threads():
    """Everything after the ladder on one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run_probes(REFERENCE, PROBES[:1], tell=lambda outcome: None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_pieces_of_another_make_pass():
    """A probe that asks for more than the contracts do."""

    class Copying(QNetwork):
        def forward(self, states):
            return super().forward(states.clone())

    def loop(parts, total_steps, on_step):
        parts.start()
        over = False
        while not over and parts.counters.steps < total_steps:
            parts.learn()
            actions = parts.act()
            parts.lanes.send(actions)
            rows = parts.lanes.recv()
            parts.remember(actions, rows)
            over = bool(on_step(parts, rows))

    outcomes = run_probes(
        Pieces(QNetwork=Copying, training_loop=loop), (PROBES[1], PROBES[4]), tell=lambda _: None
    )
    assert all(outcome.passed for outcome in outcomes), outcomes
