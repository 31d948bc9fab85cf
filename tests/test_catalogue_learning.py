"""What the checks of chapter 07 say: no untrue name, the right fact, nothing refused that may vary.

`tests/test_catalogue.py` runs over every wrong and right version; here are the pieces beside them.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from dqn_ref.course.catalogue import entry, judge
from dqn_ref.course.catalogue.judging import Trace, observe, wrong_version
from dqn_ref.course.catalogue.learning_wrong_copies import mix, moving
from dqn_ref.course.catalogue.learning_wrong_losses import loss
from dqn_ref.course.catalogue.learning_wrong_roots import Nature
from dqn_ref.course.catalogue.learning_wrong_targets import bellman, targets
from dqn_ref.learner import NatureRMSProp, huber_loss, td_targets, update_target


def name_of(known, piece) -> str | None:
    """The name that a failing piece gets, without the rest of a verdict."""
    traces = [Trace(tuple(observe(probe, piece, None))) for probe in known.probes]
    version = wrong_version(known, traces)
    return version and version.slug


# --- no untrue name -------------------------------------------------------------------------------

NEXT = {"mean": {"plain": lambda g: g.target.mean(dim=1)},
        "whole batch": {"plain": lambda g: g.target.max()},
        "Double ignored": {"double": lambda g: g.target.max(dim=1).values},
        "online's largest": {"double": lambda g: g.online.max(dim=1).values}}  # fmt: skip
SUMS = {"no mask": lambda g, best: g.rewards + g.discounts * best,
        "upside down": lambda g, best: g.rewards + g.discounts * (1 - g.on) * best,
        "no discount": lambda g, best: g.rewards + g.on * best,
        "reward discounted": lambda g, best: g.discounts * (g.rewards + g.on * best),
        "one ends all": lambda g, best: g.rewards if g.terminated.any() else bellman(g, best),
        "above zero": lambda g, best: bellman(g, best.clamp(min=0))}  # fmt: skip


@pytest.mark.parametrize("taken, combined", list(itertools.product(NEXT, SUMS)))
def test_targets_with_two_mistakes_have_no_name(taken, combined):
    """With few rows, or without Double, one of the two is told as if it were the only one."""
    verdict = judge("td_targets", targets(**NEXT[taken], combine=SUMS[combined]))
    assert not verdict.passed and verdict.wrong is None, verdict.message


NEAR = {"no half": lambda e: e.square, "fourth power": lambda e: 0.5 * e.square**2,
        "size": lambda e: e.size}  # fmt: skip
BEYOND = {"no offset": lambda e: e.line(0), "half a point": lambda e: e.line(0.5),
          "slope of one": lambda e: e.size - e.delta / 2,
          "flat": lambda e: e.delta**2 / 2 + 0 * e.size}  # fmt: skip


@pytest.mark.parametrize(
    "near, beyond", sorted(set(itertools.product(NEAR, BEYOND)) - {("no half", "no offset")})
)
def test_a_loss_with_two_mistakes_has_no_name(near, beyond):
    """One for each branch. No half and no offset make the clipped error times the error."""
    piece = loss(lambda e: torch.where(e.near, NEAR[near](e), BEYOND[beyond](e)))
    verdict = judge("huber_loss", piece)
    assert not verdict.passed and verdict.wrong is None, verdict.message


RULES = {"swapped": lambda mine, its, tau: tau * mine + (1 - tau) * its,
         "added": lambda mine, its, tau: mine + tau * its,
         "squared": lambda mine, its, tau: mix(mine, its, tau**2),
         "half way": lambda mine, its, tau: its if tau == 1 else (mine + its) / 2}  # fmt: skip
CHOSEN = {"weights": {"chosen": lambda pairs: [p for p in pairs if p[0].endswith("weight")]},
          "first": {"chosen": lambda pairs: pairs[:1]},
          "online, too": {"online_too": True}}  # fmt: skip


@pytest.mark.parametrize("rule, chosen", list(itertools.product(RULES, CHOSEN)))
def test_an_update_with_two_mistakes_has_no_name(rule, chosen):
    """A network of one number, by itself, shows the rule and not what was left out."""
    verdict = judge("update_target", moving(RULES[rule], **CHOSEN[chosen]))
    assert not verdict.passed and verdict.wrong is None, verdict.message


class NotCentred(Nature):
    def root(self, state, eps):
        return (state["gg"] + eps).sqrt()


class EpsilonOutside(Nature):
    def root(self, state, eps):
        return (state["gg"] - state["g"] ** 2).clamp(min=0).sqrt() + eps


class RhosExchanged(Nature):
    def average(self, grad, state, rho1, rho2):
        super().average(grad, state, rho2, rho1)


class Uphill(Nature):
    def along(self, grad, state):
        return -grad


class FirstGroup(Nature):
    def move(self, p, grad, state, group):
        super().move(p, grad, state, self.param_groups[0])


@pytest.mark.parametrize(
    "one, other",
    list(itertools.combinations((EpsilonOutside, RhosExchanged, Uphill, FirstGroup), 2)),
)
def test_an_optimiser_with_two_mistakes_has_no_name(one, other):
    """The chapter's table has equal rhos and one group, and would show one of the two."""
    verdict = judge("NatureRMSProp", type("Both", (one, other), {}))
    assert not verdict.passed and verdict.wrong is None, verdict.message


def test_a_rare_fault_beside_a_mistake_takes_its_name_away():
    """Few scenes would name a piece by its first answers."""
    for known in map(entry, ("td_targets", "huber_loss", "update_target")):
        for version in known.wrong:
            rare = {
                "td_targets": rare_target, "huber_loss": rare_loss, "update_target": rare_tau
            }[known.name](version.piece)  # fmt: skip
            assert name_of(known, rare) is None, version.slug


def rare_target(piece):
    def td_targets(rewards, *rest):
        found = piece(rewards, *rest)
        return torch.where(rewards == 7, found - 1, found)

    return td_targets


def rare_loss(piece):
    def huber_loss(predicted, target, delta=1.0):
        found = piece(predicted, target, delta)
        return found + 1 if delta == 10 else found

    return huber_loss


def rare_tau(piece):
    def update_target(online, target, tau=1.0):
        piece(online, target, tau)
        if tau == 0.3:
            next(target.parameters()).data += 1

    return update_target


# --- the right fact -------------------------------------------------------------------------------


def a_column(rewards, discounts, terminated, next_q_target, next_q_online=None):
    best = next_q_target.max(dim=1, keepdim=True).values
    return rewards + discounts * best


def in_double_precision(*given):
    return td_targets(*given).double()


def in_numpy(*given):
    return td_targets(*given).numpy()


def all_chosen_columns(rewards, discounts, terminated, next_q_target, next_q_online=None):
    chosen = (next_q_target if next_q_online is None else next_q_online).argmax(dim=1)
    return rewards + discounts * next_q_target[:, chosen] * ~terminated


def inverted_by_minus(rewards, discounts, terminated, next_q_target, next_q_online=None):
    return rewards + discounts * (1 - terminated) * next_q_target.max(dim=1).values


def one_tensor_for_all(rewards, *rest, kept={}):  # noqa: B006 - one tensor kept is the mistake
    found = td_targets(rewards, *rest)
    return kept.setdefault(len(rewards), torch.zeros_like(found)).copy_(found)


def spoils_what_online_says(rewards, discounts, terminated, target, online=None):
    found = td_targets(rewards, discounts, terminated, target, online)
    if online is not None:
        online -= target
    return found


def off_by_one(*given):
    return td_targets(*given) + 1


@pytest.mark.parametrize(
    "piece, told, hint",
    [
        (a_column, "the result has shape (3, 3), expected (3,): it has a number for every pair", 4),
        (all_chosen_columns, "the result has shape (3, 3), expected (3,): it has a number for", 4),
        (in_double_precision, "the result is float64, expected float32", 4),
        (in_numpy, "it returns a value of type ndarray, expected a tensor", 4),
        (inverted_by_minus, "use the `~` or `logical_not()` operator", None),
        (one_tensor_for_all, "hold other numbers once those of the next are made", 4),
        (spoils_what_online_says, "`next_q_online` holds other numbers after the call", 4),
        (off_by_one, "for reward 1, discount 0.5 and next values 1, 4, 2, 0 the target is 4", 1),
        (lambda *given: td_targets(*given) * (1 + 2 * (len(given) - 4)),
         "(online network: 7, 3, 5, 4) the target is 4.5, expected 1.5", 3),
    ],
)  # fmt: skip
def test_what_is_told_about_other_targets(piece, told, hint):
    """Shapes, types, arguments and numbers are told apart, and each has its own hint."""
    verdict = judge("td_targets", piece)
    assert not verdict.passed and verdict.wrong is None
    assert told in verdict.message and verdict.hint == hint, verdict.message


def with_refusal(value):
    def huber_loss(predicted, target, delta=1.0):
        if predicted.shape != target.shape:
            raise ValueError("shapes differ")
        return value(predicted, target, delta)

    return huber_loss


def asserting(predicted, target, delta=1.0):
    assert predicted.shape == target.shape
    return huber_loss(predicted, target, delta)


def returning_the_error(predicted, target, delta=1.0):
    if predicted.shape != target.shape:
        return ValueError("shapes differ")
    return huber_loss(predicted, target, delta)


def root_of_square(predicted, target, delta):
    size = ((predicted - target) ** 2).sqrt()
    near = size.clamp(max=delta)
    return 0.5 * near**2 + (0 if delta == float("inf") else delta * (size - near))


def in_place(predicted, target, delta):
    predicted -= target
    return huber_loss(predicted, torch.zeros_like(predicted), delta)


def minus_the_mean(predicted, target, delta):
    losses = huber_loss(predicted, target, delta)
    pull = predicted.sum() - predicted.sum().detach()  # a gradient, and no value
    return losses + pull


@pytest.mark.parametrize(
    "piece, told, hint",
    [
        (with_refusal(lambda p, t, d: functional.huber_loss(p, t, delta=d)),
         "the result has shape (), expected (9,)", 2),
        (with_refusal(lambda p, t, d: huber_loss(p.detach(), t, d)), "`backward` raises", 1),
        (with_refusal(root_of_square), "for an error of 0 and delta 1 the gradient is nan", 2),
        (with_refusal(in_place), "`predicted` holds other numbers after the call", 2),
        (with_refusal(minus_the_mean), "and delta 1 the gradient is", 1),
        (with_refusal(lambda p, t, d: torch.zeros_like(p)), "the loss is 0, expected 0.125", 1),
        (asserting, "shapes (4, 1) and (4,) end in AssertionError, expected a ValueError", 4),
        (returning_the_error, "are answered by returning a ValueError, expected a ValueError", 4),
    ],
)  # fmt: skip
def test_what_is_told_about_other_losses(piece, told, hint):
    """A loss with the right values may still teach nothing, or the wrong thing."""
    verdict = judge("huber_loss", piece)
    assert not verdict.passed and verdict.wrong is None
    assert told in verdict.message and verdict.hint == hint, verdict.message


def assigned(online, target, tau=1.0):
    """Hands the online network's own tensors over, wrapped anew."""
    if tau == 1:
        target.load_state_dict(online.state_dict(), assign=True)
    else:
        update_target(online, target, tau)


def returned(online, target, tau=1.0):
    """Makes the right numbers and writes them nowhere."""
    for mine, its in zip(target.parameters(), online.parameters(), strict=True):
        mine = mine.lerp(its, tau)


def out_of_place(online, target, tau=1.0):
    update_target(online, target, tau)
    with torch.no_grad():
        for parameter in online.parameters():
            parameter.zero_()


@pytest.mark.parametrize(
    "piece, told, hint",
    [
        (assigned, "the target network has new parameters after the update", 2),
        (returned, "the update changes neither network; `target = ...`", 2),
        (out_of_place, "the online network's parameters change", 1),
        (lambda online, target, tau=1.0: update_target(online, target, tau / 2),
         "where target holds 2 and online holds 6 (in `weight`), the new number is 2.5, exp", 1),
    ],
)  # fmt: skip
def test_what_is_told_about_other_updates(piece, told, hint):
    """Who holds on to a tensor is told of numbers, where the tensor is another one."""
    verdict = judge("update_target", piece)
    assert not verdict.passed and verdict.wrong is None
    assert told in verdict.message and verdict.hint == hint, verdict.message


class NoGuard(Nature):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                self.move(p, p.grad, self.state_of(p), group)


class Recorded(Nature):
    @torch.enable_grad()
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p -= p.grad


class TwiceAsFar(Nature):
    def along(self, grad, state):
        return 2 * grad


class SavesOneMean(Nature):
    """Only the second mean is in `state`, so that loading brings half of it back."""

    def __init__(self, *settings, **named):
        super().__init__(*settings, **named)
        self.means = {}

    def state_of(self, p):
        state = super().state_of(p)
        state["g"] = self.means.get(p, torch.zeros_like(p))
        return state

    def move(self, p, grad, state, group):
        super().move(p, grad, state, group)
        self.means[p] = state.pop("g")


class NoOptimiser:
    def __init__(self, *settings, **named):
        self.inner = NatureRMSProp(*settings, **named)
        self.param_groups = self.inner.param_groups

    def step(self):
        self.inner.step()


@pytest.mark.parametrize(
    "piece, told, hint",
    [
        (NoGuard, "in updates of parameters without a gradient now and then", None),
        (Recorded, "a leaf Variable that requires grad is being used", None),
        (TwiceAsFar, "after the gradient 1 the last step is -2, expected -1", 3),
        (SavesOneMean, "in update 4, after saving and loading, the step of a number", 2),
        (NoOptimiser, "it makes a NoOptimiser, expected a torch.optim.Optimizer", 2),
    ],
)
def test_what_is_told_about_other_optimisers(piece, told, hint):
    """A checkpoint that forgets, or a missing gradient, shows in none of the first updates."""
    verdict = judge("NatureRMSProp", piece)
    assert not verdict.passed and verdict.wrong is None
    assert told in verdict.message and verdict.hint == hint, verdict.message


# --- what may vary, and what a name says nothing about --------------------------------------------


def test_a_mistake_keeps_its_name_beside_a_forgotten_guard():
    """Nobody remembers the guard at the first attempt, and the name would be lost."""
    without_guard = judge("huber_loss", loss(lambda e: 0.5 * e.clipped**2))
    with_it = judge("huber_loss", with_refusal(lambda p, t, d: 0.5 * (p - t).clamp(-d, d) ** 2))
    assert without_guard.wrong == with_it.wrong == "error clipped, then squared"
    for make in (NotCentred, type("Both", (NotCentred, NoGuard), {})):
        assert judge("NatureRMSProp", make).wrong == "not centred"


def test_errors_of_sizes_do_not_hide_the_axis():
    """Batches with as many steps as actions are rare, and any other raises before a number."""

    def over_the_batch(rewards, discounts, terminated, target, online=None):
        best = target.max(dim=0).values if online is None else None
        if online is not None:
            best = target.gather(1, online.argmax(dim=1, keepdim=True))[:, 0]
        return rewards + discounts * best.masked_fill(terminated, 0)

    assert judge("td_targets", over_the_batch).wrong == "over the batch"


def test_a_mistake_keeps_its_name_where_double_is_not_written_yet():
    """Who writes the plain targets first is told of their mistake, and not of numbers alone."""

    def places(rewards, discounts, terminated, target, online=None):
        return rewards + discounts * target.max(dim=1)[1].masked_fill(terminated, 0)

    verdict = judge("td_targets", places)
    assert (verdict.wrong, verdict.hint) == ("number of the action", 2), verdict.message


def test_what_multiplies_by_zero_passes_with_a_remark():
    """Everybody's code has `(1 - done)`; what it does to inf is worth a word, no more."""

    def multiplied(rewards, discounts, terminated, target, online=None):
        best = target.max(1).values if online is None else bellman_best(target, online)
        return rewards + discounts * (1 - terminated.float()) * best

    verdict = judge("td_targets", multiplied)
    assert verdict.passed and "0 · inf" in verdict.message
    assert judge("td_targets", td_targets).message == ""


def bellman_best(target, online):
    return target[torch.arange(len(target)), online.argmax(1)]


def test_new_tensors_in_a_step_pass_with_a_remark():
    """No docstring forbids them; a target network's, which others hold, is another matter."""

    class NewTensors(Nature):
        def move(self, p, grad, state, group):
            self.average(grad, state, group["rho1"], group["rho2"])
            p.data = p.data - group["lr"] * grad / self.root(state, group["eps"])

    verdict = judge("NatureRMSProp", NewTensors)
    assert verdict.passed and "new tensors" in verdict.message, verdict.message


def test_a_target_network_may_be_frozen_and_returned():
    """Whether somebody also switches its gradients off changes nothing for the learner."""

    def frozen(online, target, tau=1.0):
        update_target(online, target, tau)
        return target.requires_grad_(False).eval()

    assert judge("update_target", frozen).passed


def test_the_scenes_of_double_have_no_ties():
    """With two best actions of the online network the contract would leave two answers."""
    for probe in entry("td_targets").probes:
        scene = probe.observe.__self__
        while hasattr(scene, "scene"):
            scene = scene.scene
        if scene.next_q_online is not None:
            best = np.sort(scene.next_q_online.numpy(), axis=1)
            assert (best[:, -1] > best[:, -2]).all(), probe.scene
