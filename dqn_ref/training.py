"""The training loop: act, learn while the emulators run, remember.

    step            s      s+1     s+2     s+3     s+4
    act             a      a       a       a       a
    send | recv     s---r  s---r   s---r   s---r   s---r
    learn                                  u               (one update per four steps)

The same loop runs one environment or a thousand, the chain of five states or Breakout, a
learner's pieces or the reference's. What a run writes to disk is `on_step`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dqn_ref.captured import GroupOfUpdates
from dqn_ref.environments import Lanes, Rows
from dqn_ref.evaluation import Game, GameTracker
from dqn_ref.hardware import to_device
from dqn_ref.learner import Learner, Metrics
from dqn_ref.settings import Recipe


def clip_reward(rewards: np.ndarray, limit: float = 1.0) -> np.ndarray:
    """Rewards as the learner sees them; the score keeps the raw ones.

    Args:
        rewards: `(L,)` float32, each the sum over the repeated frames of one step.
        limit: largest size of a reward; inf leaves them as they are.
    Returns:
        `(L,)` float32.
    Source: Mnih et al. 2015, Methods, "Training details".
    """
    return np.clip(rewards, -limit, limit).astype(np.float32)


@dataclass
class Counters:
    """How far a run has come. Python integers: they cannot wrap."""

    steps: int = 0  # decisions, over all lanes
    updates: int = 0
    games: int = 0
    steps_owed: int = 0  # steps since learning began that no update has answered yet
    memory_steps: int = 0  # steps since the memory was empty


@dataclass
class LoopParts:
    """What a training loop works with: everything but its order."""

    recipe: Recipe
    lanes: Lanes
    stack: Any
    memory: Any
    learner: Learner
    epsilon_schedule: Callable
    epsilon_greedy: Callable
    clip_reward: Callable
    exploration_rng: np.random.Generator
    sampling_rng: np.random.Generator
    start_seed: int
    counters: Counters = field(default_factory=Counters)
    actions: np.ndarray | None = None  # of this step, (L,) int64
    finished: list[Game] = field(default_factory=list)  # games that ended in this step
    metrics: list[Metrics] = field(default_factory=list)  # of the updates of this step
    captured: GroupOfUpdates | None = None  # makes them, where a CUDA graph can
    games_restored: bool = False  # a checkpoint brought back games, stacks and memory

    def __post_init__(self) -> None:
        self.tracker = GameTracker(self.lanes.lanes)

    def start(self) -> None:
        """Reset all games, and begin stacks and memory with their first frames.

        Where a checkpoint brought the games back, they go on instead.
        """
        if self.games_restored:
            self.games_restored = False
            return
        rows = self.lanes.reset(self.start_seed)
        self.tracker = GameTracker(self.lanes.lanes)
        frames = to_device(rows.frames, self.learner.device)
        self.stack.push(frames, rows.reset_row)
        self.memory.begin(frames)

    def epsilon(self) -> np.ndarray:
        """Probability of a random action for each lane; lanes take consecutive steps."""
        recipe = self.recipe
        return self.epsilon_schedule(
            self.counters.steps + np.arange(self.lanes.lanes),
            recipe.epsilon_start,
            recipe.epsilon_end,
            recipe.epsilon_decay_steps,
            recipe.epsilon_delay_steps,
        )

    def act(self) -> np.ndarray:
        """Epsilon-greedy actions for the current states, `(L,)` int64."""
        epsilon = self.epsilon()
        if np.min(epsilon) >= 1.0:  # nobody will look at the values
            q_values = np.zeros((self.lanes.lanes, len(self.lanes.action_names)), np.float32)
        else:
            q_values = self.learner.q_values(self.stack.current).numpy()
        return self.epsilon_greedy(q_values, epsilon, self.exploration_rng)

    def learn(self) -> None:
        """The updates that are due: one per `train_every_steps`, never forgotten, never early.

        They are made `updates_at_once`; steps that do not fill a group wait for the next turn.
        """
        recipe, counters = self.recipe, self.counters
        steps_per_group = recipe.train_every_steps * recipe.updates_at_once
        groups, counters.steps_owed = divmod(counters.steps_owed, steps_per_group)
        self.metrics = [metrics for _ in range(groups) for metrics in self._learn_group()]
        counters.updates += groups * recipe.updates_at_once

    def _learn_group(self) -> list[Metrics]:
        count, batch_size = self.recipe.updates_at_once, self.recipe.batch_size
        # A graph cannot copy the target in its midst.
        if self.captured is not None and self.learner.updates_before_copy() >= count:
            return self.captured(self.sampling_rng)
        batches = [self.memory.sample(batch_size, self.sampling_rng) for _ in range(count)]
        return self.learner.update(batches)

    def remember(self, actions: np.ndarray, rows: Rows) -> None:
        """Store what followed the actions, move the stacks on, count."""
        recipe, counters = self.recipe, self.counters
        self.actions = actions
        life_ends = rows.life_lost & recipe.terminal_on_life_loss
        game_ends = rows.game_over | (rows.truncated & recipe.truncation_is_terminal)
        frames = to_device(rows.frames, self.learner.device)
        self.memory.add(
            actions,
            self.clip_reward(rows.rewards, recipe.reward_clip),
            game_ends | life_ends,
            rows.truncated & ~game_ends,
            rows.reset_row,
            frames,
        )
        self.stack.push(frames, rows.reset_row | life_ends)
        self.finished = self.tracker.update(rows)
        stepped = int((~rows.reset_row).sum())
        learning_before = max(counters.memory_steps, recipe.learning_starts)
        counters.steps += stepped
        counters.memory_steps += stepped
        counters.steps_owed += max(0, counters.memory_steps - learning_before)
        counters.games += len(self.finished)


def training_loop(
    parts: LoopParts, total_steps: int, on_step: Callable[[LoopParts, Rows], bool]
) -> None:
    """Train until `total_steps` have been taken.

    Args:
        parts: environments, stack, memory, learner and counters.
        total_steps: steps of the whole run, those before a resume included.
        on_step: called after every step of the lanes; true ends the loop.
    Source: Mnih et al. 2015, Algorithm 1. Learning runs between `send` and `recv`, while the
    emulators work, on transitions up to the previous step.
    """
    parts.start()
    while parts.counters.steps < total_steps:
        actions = parts.act()
        parts.lanes.send(actions)
        parts.learn()
        rows = parts.lanes.recv()
        parts.remember(actions, rows)
        if on_step(parts, rows):
            break
