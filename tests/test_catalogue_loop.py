"""What the checks of chapter 08 say: no untrue name, the right fact, nothing refused that may vary.

`tests/test_catalogue.py` runs over every wrong and right version; here are the pieces beside them.
"""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

from dqn_ref import runs
from dqn_ref.course.catalogue import entry, judge, loop_wrong_turns
from dqn_ref.course.catalogue.loop_turns import Loop, ScriptedParts
from dqn_ref.course.catalogue.loop_wrong_arguments import wrong as wrong_arguments
from dqn_ref.course.catalogue.loop_wrong_targets import descend, online, step, taken, target
from dqn_ref.course.catalogue.loop_wrong_turns import (
    act,
    ask,
    learn,
    loop,
    recv,
    remember,
    send,
)
from dqn_ref.learner import Diagnostics, Metrics, training_step
from dqn_ref.pieces import Pieces
from dqn_ref.recipes import get_recipe
from dqn_ref.training import LoopParts, training_loop

STEP = entry("training_step")


# --- no untrue name -------------------------------------------------------------------------------

MADE_OF = {
    "online values": {"next_target": lambda parts, batch: online(parts, batch.next_states)},
    "states": {"next_target": lambda parts, batch: target(parts, batch.states)},
    "no Double": {"next_online": lambda parts, batch: None},
    "nothing ends": {"seen": lambda b: b._replace(terminated=torch.zeros_like(b.terminated))},
    "largest Q": {"predict": lambda q_values, batch: q_values.max(dim=1).values},
    "no detach": {"numbers": lambda targets: targets},
}


def uncleared(parts, loss):
    loss.backward()
    parts.optimizer.step()


LEARNT = {
    "uncleared": {"learn": uncleared},
    "delta ignored": {"errors": lambda parts, p, t: parts.huber_loss(p, t)},
    "always the mean": {"reduce": lambda parts, losses: losses.mean()},
    "Python numbers": {"report": lambda d: Metrics(d.losses.mean().item(), 0.0)},
    "targets reported": {"report": lambda d: Metrics(d.losses.detach().mean(), d.targets.mean())},
}


@pytest.mark.parametrize("made_of, learnt", list(itertools.product(MADE_OF, LEARNT)))
def test_a_step_with_two_mistakes_has_no_name(made_of, learnt):
    """A scene that stops at the first mistake would tell it as if it were the only one."""
    verdict = judge("training_step", step(**MADE_OF[made_of], **LEARNT[learnt]))
    assert not verdict.passed and verdict.wrong is None, verdict.message


TURNS = {
    "learns twice": (act, send, learn, learn, recv, remember, ask),
    "no learning": (act, send, recv, remember, ask),
    "asks early": (act, send, learn, recv, ask, remember),
    "does not listen": (act, send, learn, recv, remember, lambda now: ask(now) and None),
    "acts again": (
        act, send, learn, recv, lambda now: now.parts.remember(now.parts.act(), now.rows), ask,
    ),
}  # fmt: skip
ENDS = {
    "one more": {"goes_on": lambda now: now.steps <= now.total},
    "at least one": {"goes_on": lambda now: now.turns == 0 or now.steps < now.total},
    "turns": {"goes_on": lambda now: now.turns < now.total},
    "no start": {"begin": lambda now: None},
    "closed": {"end": lambda now: now.parts.lanes.close()},
}


@pytest.mark.parametrize("turn, end", list(itertools.product(TURNS, ENDS)))
def test_a_loop_with_two_mistakes_has_no_name(turn, end):
    """A loop that does one thing wrong in a turn often ends wrongly, too."""
    verdict = judge("training_loop", loop(TURNS[turn], **ENDS[end]))
    assert not verdict.passed and verdict.wrong is None, verdict.message


def test_a_rare_fault_beside_a_mistake_takes_its_name_away():
    """Few updates or turns would name a piece by its first ones.

    A formula that cannot be computed ends the first update already, and nothing comes later.
    """
    ending = {v.slug for v in wrong_arguments} - {"discounts before rewards"}
    for version in [v for v in STEP.wrong if v.slug not in ending][::5]:

        def in_large_batches(parts, batch, piece=version.piece):
            metrics = piece(parts, batch)
            if len(batch.actions) == 5:
                with torch.no_grad():
                    parts.online.biases += 0.01
            return metrics

        assert judge("training_step", in_large_batches).wrong != version.slug, version.slug


def test_forgotten_float32_does_not_hide_the_name_of_another_mistake():
    """Most first attempts have no `.float()`; they would all be told nothing but a number."""

    def always_the_mean(parts, batch):
        with torch.no_grad():
            following = [parts.target(batch.next_states)]
            following += [parts.online(batch.next_states)] if parts.double else []
            y = parts.td_targets(batch.rewards, batch.discounts, batch.terminated, *following)
        value = taken(parts.online(batch.states), batch)
        losses = parts.huber_loss(value, y, parts.huber_delta)
        descend(parts, losses.mean())
        return Metrics(losses.mean().detach(), value.mean().detach())

    verdict = judge("training_step", always_the_mean)
    assert verdict.wrong == "always the mean" and verdict.hint == 3


# --- the right fact -------------------------------------------------------------------------------


def shortened(parts, loss):
    parts.optimizer.zero_grad()
    loss.backward()
    clip_grad_norm_(parts.online.parameters(), 3)
    parts.optimizer.step()


def decayed(parts, loss):
    parts.optimizer.zero_grad()
    loss.backward()
    for p in parts.online.parameters():
        p.grad.add_(p.detach(), alpha=0.01)
    parts.optimizer.step()


def own_optimiser(parts, loss):
    optimizer = torch.optim.Adam(parts.online.parameters(), 1e-3)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def all_over_again(parts, loss):
    descend(parts, loss)
    parts.optimizer.zero_grad()
    online(parts, torch.zeros(1, 2, 2, 3, dtype=torch.uint8)).sum().backward()
    parts.optimizer.step()


@pytest.mark.parametrize(
    "changed, told, hint",
    [
        ({"learn": shortened}, "times the expected one", 2),
        ({"learn": decayed}, "in the gradient that `optimizer.step` finds, a number is", 1),
        ({"learn": own_optimiser}, "`parts.optimizer.step()` is not called in update 1", 2),
        ({"learn": lambda parts, loss: parts.optimizer.step()}, "`loss.backward()` is missing", 2),
        ({"report": lambda d: d.losses.mean().item()}, "a value of type float, expected Metr", 4),
        ({"report": lambda d: None}, "a value of type NoneType, expected Metrics(loss, q_mean)", 4),
        ({"report": lambda d: (d.losses.mean(), d.predicted.mean())}, "a plain tuple", 4),
        ({"report": lambda d: Metrics(d.losses.detach().mean(), d.batch.rewards.mean())},
         "it is the mean reward", 4),
        ({"learn": all_over_again}, "come as zero_grad, backward, step, zero_grad, backward, s", 2),
        ({"states": lambda b: b.states.flip(1)}, "expected Q of the actions taken", 1),
        ({"seen": lambda b: b._replace(rewards=b.discounts)},
         "is given `batch.discounts` as `rewards`, expected `batch.rewards`", 2),
        ({"next_target": lambda parts, b: online(parts, b.states)},
         "is given what the online network says of `states` as `next_q_target`", 1),
        ({"errors": lambda parts, p, t: parts.huber_loss(p, t, 3 * parts.huber_delta)},
         "`huber_loss` is given 1.5 as `delta`, and `parts.huber_delta` is 0.5", 3),
        ({"reduce": lambda parts, losses: losses.sum() / 4}, "0.25 times the expected one", 2),
        ({"afterwards": lambda parts: parts.target.biases.data.add_(1)},
         "the target network moves in update 1", 1),
        ({"afterwards": lambda parts: parts.online.biases.data.clamp_(-0.1, 0.1)},
         "after update 1 a parameter of the online network is", 2),
    ],
)  # fmt: skip
def test_what_is_told_about_other_steps(changed, told, hint):
    """A sentence about the wrong thing sends the learner looking in the wrong place."""
    verdict = judge("training_step", step(**changed))
    assert not verdict.passed and verdict.wrong is None
    assert told in verdict.message and verdict.hint == hint, verdict.message


@pytest.mark.parametrize(
    "changed, told, hint",
    [
        ({"seen": lambda b: b._replace(terminated=b.terminated.float())},
         "given `batch.terminated` (float32, shape (4,)) as `terminated`, expected `batch.term", 2),
        ({"seen": lambda b: b._replace(discounts=0.99)},
         "`td_targets` is given 0.99 as `discounts`, expected `batch.discounts` as it is", 2),
        ({"next_target": lambda parts, b: target(parts, b.next_states).max(1)},
         "given a pair of values and indices as `next_q_target`, expected Q of all actions", 2),
        ({"combine": lambda parts, r, d, t, *q: parts.td_targets(q[0], r, d, t)},
         "is given what the target network says of `next_states` (float32, shape (4, 3)) as `rew",
         2),
        ({"predict": lambda q, b: taken(q, b).detach().numpy()},
         "`huber_loss` is given a value of type ndarray as `predicted`, expected a number for", 2),
    ],
)  # fmt: skip
def test_what_is_told_where_a_formula_cannot_be_computed(changed, told, hint):
    """Its own error would be about a line that the learner has not written."""
    verdict = judge("training_step", step(**changed))
    assert not verdict.passed and verdict.wrong is None
    assert told in verdict.message and verdict.hint == hint, verdict.message


def columns(q_values, batch):
    return q_values.gather(1, batch.actions[:, None])


@pytest.mark.parametrize("made_of", ["online values", "states", "no Double", "nothing ends"])
def test_a_column_beside_other_targets_has_no_name(made_of):
    """The update ends at the column, and its name would say that nothing else is wrong."""
    verdict = judge("training_step", step(predict=columns, **MADE_OF[made_of]))
    assert verdict.wrong is None and "expected one shape for both" in verdict.message


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"combine": lambda parts, *a: parts.td_targets(*a[:3], next_q=a[3])},
         "td_targets takes (rewards, discounts, terminated, next_q_target, next_q_online): "),
        ({"errors": lambda parts, p, t: parts.huber_loss(p, t, parts.huber_delta, "mean")},
         "huber_loss takes (predicted, target, delta): too many positional arguments"),
        ({"states": lambda b: b.rewards}, "takes states of shape (B, 2, 2, 3), given: (4,)"),
        ({"states": lambda b: b}, "takes states of shape (B, 2, 2, 3), given: Batch"),
        ({"next_target": lambda parts, b: parts.target(b.states, b.actions)},
         "QNetwork.forward() takes 2 positional arguments but 3 were given"),
        ({"learn": lambda parts, loss: parts.optimizer.minimize(loss)},
         "'Optimizer' object has no attribute 'minimize'"),
    ],
)  # fmt: skip
def test_errors_show_names_that_a_learner_knows(changed, told):
    """ "Record.td_targets()" is a name from nowhere."""
    message = judge("training_step", step(**changed)).message
    assert told in message and "Record" not in message, message


@pytest.mark.parametrize(
    "turn, told",
    [
        ((act, send, learn, recv, lambda now: now.parts.remember(now.rows), ask),
         "LoopParts.remember() missing 1 required positional argument: 'rows'"),
        ((act, send, learn, recv, remember, lambda now: now.asks()),
         "on_step() missing 2 required positional arguments"),
        ((act, lambda now: now.parts.send(now.actions)), "'LoopParts' object has no attribute"),
    ],
)  # fmt: skip
def test_errors_of_a_loop_show_names_that_a_learner_knows(turn, told):
    """The scripted parts are called as the real ones."""
    assert told in judge("training_loop", loop(turn)).message


def halves(parts, batch):
    """Forgets float32 for the online network alone, in front of the loss."""
    with torch.no_grad():
        double = online(parts, batch.next_states) if parts.double else None
        y = parts.td_targets(
            batch.rewards, batch.discounts, batch.terminated,
            target(parts, batch.next_states), double,
        )  # fmt: skip
    value = taken(parts.online(batch.states), batch)
    losses = parts.huber_loss(value, y, parts.huber_delta)
    descend(parts, losses.sum() if parts.loss_reduction == "sum" else losses.mean())
    return Metrics(losses.mean().detach(), value.float().mean().detach())


def test_half_precision_is_asked_of_each_network():
    verdict = judge("training_step", halves)
    assert "`huber_loss` is given `predicted` in bfloat16, expected float32" in verdict.message
    assert verdict.hint == 5 and verdict.wrong is None


def no_rows(now):
    now.parts.remember(now.actions, None)


def frames_alone(now):
    now.parts.remember(now.actions, now.rows.frames)


def uncalled_recv(now):
    now.rows = now.parts.lanes.recv


def own_actions(now):
    now.actions = now.actions + 1


def resets_counter(now):
    now.parts.start()
    now.parts.counters.steps = 0


def late_start(now):
    if now.turns == 1:
        now.parts.start()


@pytest.mark.parametrize(
    "turn, others, told, hint",
    [
        ((act, send, learn, recv, no_rows, ask), {},
         "`remember` is given the actions of turn 1 and None, expected the actions of turn", 4),
        ((act, send, learn, recv, frames_alone, ask), {},
         "`remember` is given the actions of turn 1 and `rows.frames` of turn 1, expected the", 4),
        ((act, send, learn, uncalled_recv, remember, ask), {},
         "`remember` is given the actions of turn 1 and `recv` itself, which was not called", 2),
        ((act, own_actions, send, learn, recv, remember, ask), {},
         "in turn 1, `send` is given actions that no `act` has chosen, expected the actions of", 2),
        ((act, send, learn, recv, remember, lambda now: now.asks(now.parts, None)), {},
         "`on_step` is given the parts and None, expected the parts and the rows of turn 1", 2),
        ((act, send, recv, remember, ask), {}, "`parts.learn()` is never called", 1),
        ((act, send, send, learn, recv, remember, ask), {}, "in turn 1, `send` is called twice", 1),
        ((act, send, learn, recv, remember, remember, ask), {}, "`remember` is called twice", 1),
        ((act, late_start, send, learn, recv, remember, ask), {"begin": lambda now: None},
         "`parts.start()` comes after `act`, expected before everything else", 1),
        (loop_wrong_turns.USUAL, {"begin": resets_counter},
         "`parts.counters.steps` is 0 where `remember` has left it at 1,000,000", 3),
        (loop_wrong_turns.USUAL, {"goes_on": lambda now: now.steps < now.total // 2},
         "the loop ends after turn 3, when 3 of 6 steps are made", 3),
        (loop_wrong_turns.USUAL, {"goes_on": lambda now: now.steps < now.total + 1},
         "the loop goes on after turn 6 with `act`, when 6 of 6 steps were made", 3),
        (loop_wrong_turns.USUAL, {"goes_on": lambda now: False},
         "the loop does not take a turn, and 0 of 6 steps are made", 3),
        ((act, send, learn, recv, lambda now: True), {}, "turn 1 ends the loop with `recv`", 1),
    ],
)  # fmt: skip
def test_what_is_told_about_other_loops(turn, others, told, hint):
    """Turns have numbers, calls have names, and what was given is told in words."""
    verdict = judge("training_loop", loop(turn, **others))
    assert not verdict.passed, verdict.message
    assert told in verdict.message and verdict.hint == hint, verdict.message


def hard_coded_warm_up(now):
    if now.steps > 5_000:
        now.parts.learn()


def test_a_warm_up_of_its_own_is_not_called_no_learning():
    """It learns in a long run, so the name would be untrue."""
    verdict = judge("training_loop", loop((act, send, hard_coded_warm_up, recv, remember, ask)))
    assert not verdict.passed and verdict.wrong is None
    assert "never called; it knows by itself when learning begins" in verdict.message


# --- what may vary --------------------------------------------------------------------------------


def test_diagnostics_may_be_there_or_not():
    """The stub speaks of loss and q_mean; the printed logs live without the rest."""

    def without(parts, batch):
        return training_step(dataclasses.replace(parts, diagnostics=False), batch)

    def always(parts, batch):
        return training_step(dataclasses.replace(parts, diagnostics=True), batch)

    def half(parts, batch):
        return training_step(parts, batch)._replace(diagnostics=torch.zeros(()))

    assert judge("training_step", without).passed and judge("training_step", always).passed
    assert Diagnostics._fields  # the logs read them by name
    assert "`diagnostics` is neither None nor" in judge("training_step", half).message


REST = (act, send, recv, remember, ask)


def with_learn_at(place):
    return loop((*REST[:place], learn, *REST[place:]))


@pytest.mark.parametrize(
    "place, where",
    [
        (0, "between two turns"),
        (1, "`learn` stands between `act` and `send`"),
        (2, ""),
        (3, "between `recv` and `remember`"),
        (4, "after `remember`"),
        (5, "after `remember`"),
    ],
)
def test_learn_may_stand_anywhere_in_a_turn_and_its_place_is_told(place, where):
    """Algorithm 1's order refused; a silent pass that hides half of the speed, or other losses."""
    verdict = judge("training_loop", with_learn_at(place))
    assert verdict.passed and where in verdict.message and bool(verdict.message) == bool(where)
    assert ("the losses are the same" in verdict.message) == (place in (1, 3))
    assert ("not equal to them" in verdict.message) == (place in (0, 4, 5))


def trained(place):
    """Losses, actions, counters and draws of a short run with the real parts."""
    recipe = get_recipe(
        "gallery", lanes=2, frame_height=20, frame_width=20, architecture="mnih2013",
        learning_starts=32, memory_frames=500, total_steps=160, device="cpu", precision="fp32",
        threads=1, epsilon_start=0.05, epsilon_end=0.05, learning_rate=0.01,
    )  # fmt: skip
    parts, losses, actions = runs.build(runs.resolve(recipe), Pieces()), [], []

    def note(parts, rows):
        losses.extend(float(metrics.loss) for metrics in parts.metrics)
        actions.append(parts.actions.tolist())

    with_learn_at(place)(parts, recipe.total_steps, note)
    parts.lanes.close()
    return losses, actions, parts.counters, parts.sampling_rng.bit_generator.state


def test_which_orders_make_the_same_run():
    """What the remark beside a pass says is measured here, with the real parts."""
    usual = trained(2)
    assert len(usual[0]) > 25
    assert [trained(place) == usual for place in (0, 1, 3, 4, 5)] == [False, True, True] + 2 * [
        False
    ]


def test_modes_and_keywords_are_free():
    def careful(parts, batch):
        parts.online.train()
        parts.target.eval()
        return training_step(parts=parts, batch=batch)

    def by_name(parts, total_steps, on_step):
        def asks(parts, rows):
            return on_step(parts=parts, rows=rows)

        training_loop(parts, total_steps, asks)

    assert judge("training_step", careful).passed and judge("training_loop", by_name).passed


def test_a_complete_run_may_be_started_or_not():
    """The reference starts it; a loop that looks first makes no step either."""

    def looks_first(parts, total_steps, on_step):
        if parts.counters.steps < total_steps:
            training_loop(parts, total_steps, on_step)

    assert judge("training_loop", looks_first).passed


# --- the scene itself -----------------------------------------------------------------------------


def test_the_scripted_parts_count_as_the_real_ones():
    """A script that the real `remember` would count otherwise teaches a wrong end."""
    parts = ScriptedParts((".o.", ".r.", "rrr"), 0)
    turns = []
    training_loop(parts, 9, lambda parts, rows: turns.append(parts.counters.steps))
    assert turns == [3, 5, 5, 8, 10] and len(parts.memory) == 10
    assert isinstance(parts, LoopParts) and parts.counters.games == 2
    assert parts.learner.updates == parts.counters.updates == 2


def test_a_loop_without_end_comes_to_one():
    """Otherwise its learner waits ten seconds, and hears that some loop does not end."""
    endless = loop(goes_on=lambda now: True)
    facts = list(Loop(("..",), 6).observe(endless, None))
    assert len(facts) == 4 and len(facts[2].value) < 200
