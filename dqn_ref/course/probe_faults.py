"""Agents with one broken piece each, for the probe ladder to find.

`FIVE` has one for each probe: those before it pass, it fails. `MORE` are other faults that people
build in, each with the first probe that fails. `PATIENTS` and `SICK` are those that a learner has
to find, under letters.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from dqn_ref import exploration, learner, network, replay, training
from dqn_ref.course.probes import PROBES, Probe
from dqn_ref.frames import FrameStack
from dqn_ref.pieces import REFERENCE, Pieces


class Fault(NamedTuple):
    """A broken piece."""

    what: str  # in a few words
    piece: str  # its name
    first_to_fail: int  # number of a probe
    make: Callable[[], object]  # a fresh one

    @property
    def pieces(self) -> Pieces:
        """The reference's pieces and this one."""
        return Pieces(**{self.piece: self.make()})

    @property
    def among_own(self) -> Pieces:
        """The same agent, but all pieces that the failed probe suspects are somebody's own.

        So nobody can tell the broken one by its being no piece of the reference's.
        """
        suspects = {name: _copied(getattr(REFERENCE, name)) for name in self.probe.look_at}
        return Pieces(**{**suspects, self.piece: self.make()})

    @property
    def probe(self) -> Probe:
        """The first one that it fails."""
        return PROBES[self.first_to_fail - 1]


def _copied(piece: Callable) -> Callable:
    """Another piece that does the same."""
    if isinstance(piece, type):
        return type(piece.__name__, (piece,), {})

    @functools.wraps(piece)
    def same(*args, **options):
        return piece(*args, **options)

    return same


def _fit(parts: learner.LearnerParts, batch: replay.Batch, losses_of: Callable) -> learner.Metrics:
    """An update with a loss of its own: `losses_of(q_values, targets)`."""
    targets = learner.targets_of(parts, batch)
    losses = losses_of(parts.online(batch.states), targets)
    parts.optimizer.zero_grad()
    losses.mean().backward()
    parts.optimizer.step()
    return learner.Metrics(losses.detach().mean(), targets.mean())


def erases_gradient(parts, batch):
    targets = learner.targets_of(parts, batch)
    q_values = parts.online(batch.states)
    predicted = q_values.gather(1, batch.actions[:, None]).squeeze(1)
    losses = parts.huber_loss(predicted, targets, parts.huber_delta)
    losses.mean().backward()
    parts.optimizer.zero_grad()
    parts.optimizer.step()
    return learner.Metrics(losses.detach().mean(), predicted.detach().mean())


def column_against_row(parts, batch):
    def losses_of(q_values, targets):
        return 0.5 * (q_values.gather(1, batch.actions[:, None]) - targets) ** 2

    return _fit(parts, batch, losses_of)


def fits_largest_value(parts, batch):
    def losses_of(q_values, targets):
        return parts.huber_loss(q_values.max(dim=1).values, targets, parts.huber_delta)

    return _fit(parts, batch, losses_of)


def fits_first_action(parts, batch):
    def losses_of(q_values, targets):
        return parts.huber_loss(q_values[:, 0], targets, parts.huber_delta)

    return _fit(parts, batch, losses_of)


class SeesBlack(network.QNetwork):
    """Divides whole numbers by 255: 0 for all but the brightest."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return super().forward(states // 255)


def without_mask(rewards, discounts, terminated, next_q_target, next_q_online=None):
    nothing_ends = torch.zeros_like(terminated)
    return learner.td_targets(rewards, discounts, nothing_ends, next_q_target, next_q_online)


def without_next_state(rewards, discounts, terminated, next_q_target, next_q_online=None):
    return rewards.clone()


def never_copies(online, target, tau=1.0):
    return None


class NewestFirst(replay.ReplayMemory):
    """Hands out stacks whose newest frame comes first."""

    def sample(self, batch_size, rng):
        batch = super().sample(batch_size, rng)
        return batch._replace(states=batch.states.flip(1), next_states=batch.next_states.flip(1))


class NextIsSame(replay.ReplayMemory):
    """Its next state is the state."""

    def sample(self, batch_size, rng):
        batch = super().sample(batch_size, rng)
        return batch._replace(next_states=batch.states)


class ForgetsToPush(FrameStack):
    """Shows the newest frame alone."""

    def push(self, frames, starts):
        return super().push(frames, np.ones_like(starts))


class LateRewards:
    """Hands on each reward one step late."""

    def __init__(self) -> None:
        self._kept = 0.0

    def __call__(self, rewards: np.ndarray, limit: float = 1.0) -> np.ndarray:
        late, self._kept = self._kept, training.clip_reward(rewards, limit)
        return np.broadcast_to(late, rewards.shape).astype(np.float32)


def dice_swapped(q_values, epsilon, rng):
    return exploration.epsilon_greedy(q_values, 1 - np.asarray(epsilon), rng)


def never_greedy(step, start, end, decay_steps, delay_steps=0):
    return exploration.linear_schedule(np.zeros_like(step), start, end, decay_steps, delay_steps)


def never_learns(parts, total_steps, on_step):
    parts.start()
    while parts.counters.steps < total_steps:
        actions = parts.act()
        parts.lanes.send(actions)
        rows = parts.lanes.recv()
        parts.remember(actions, rows)
        if on_step(parts, rows):
            break


def remembers_action_before(parts, total_steps, on_step):
    parts.start()
    before = np.zeros(parts.lanes.lanes, np.int64)
    while parts.counters.steps < total_steps:
        actions = parts.act()
        parts.lanes.send(actions)
        parts.learn()
        rows = parts.lanes.recv()
        parts.remember(before, rows)
        before = actions
        if on_step(parts, rows):
            break


FIVE = (
    Fault("zero_grad after backward", "training_step", 1, lambda: erases_gradient),
    Fault("pixels // 255", "QNetwork", 2, lambda: SeesBlack),
    Fault("no terminal mask", "td_targets", 3, lambda: without_mask),
    Fault("max Q instead of Q(s, a)", "training_step", 4, lambda: fits_largest_value),
    Fault("stacks newest first", "ReplayMemory", 5, lambda: NewestFirst),
)
MORE = (
    Fault("learn is never called", "training_loop", 1, lambda: never_learns),
    Fault("(32, 1) against (32,)", "training_step", 2, lambda: column_against_row),
    Fault("rewards one step late", "clip_reward", 1, LateRewards),
    Fault("the next state is left out", "td_targets", 3, lambda: without_next_state),
    Fault("the target is never copied", "update_target", 3, lambda: never_copies),
    Fault("next state equal to state", "ReplayMemory", 3, lambda: NextIsSame),
    Fault("dice the wrong way round", "epsilon_greedy", 4, lambda: dice_swapped),
    Fault("epsilon stays at its start", "linear_schedule", 4, lambda: never_greedy),
    Fault("always the first action's value", "training_step", 4, lambda: fits_first_action),
    Fault("the action before is remembered", "training_loop", 4, lambda: remembers_action_before),
    Fault("a stack of one frame", "FrameStack", 5, lambda: ForgetsToPush),
)
_ALL = {fault.what: fault for fault in FIVE + MORE}
PATIENTS = {
    "P": _ALL["learn is never called"],
    "Q": _ALL["the target is never copied"],
    "R": _ALL["a stack of one frame"],
}
SICK = {
    "A": _ALL["no terminal mask"],
    "B": _ALL["epsilon stays at its start"],
    "C": _ALL["rewards one step late"],
}
