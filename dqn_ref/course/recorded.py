"""A game, recorded with what the agent thought at each decision.

    game = record_game(recipe, agent.q_values, epsilon=0.05, seed=0)
    game.values, game.points, game.life_lost, game.random

`dqn_ref.course.xray` draws it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch

from dqn_ref.environments import Lanes, make_lanes
from dqn_ref.evaluation import EVALUATION_FRAMES, greedy_policy
from dqn_ref.recipes import Recipe
from dqn_ref.watching import START, Moment, moments


@dataclass(frozen=True)
class Decision:
    """One decision, and what came of it."""

    screen: np.ndarray  # (H, W, 3) or (H, W) uint8, on which it was taken
    seen: np.ndarray  # (h, w) uint8, the newest frame of its state
    q: np.ndarray  # (A,) float32, the value of each action
    action: str
    points: float  # of the game, that it brought
    lives: int  # left when it is over
    frame: int  # of the game, on which it was taken


@dataclass(frozen=True)
class RecordedGame:
    """A game from its first decision to its end, or to where the record was cut off."""

    actions: tuple[str, ...]
    decisions: tuple[Decision, ...]

    @property
    def values(self) -> np.ndarray:
        """`(T,)`, the largest Q-value of each decision."""
        return np.array([decision.q.max() for decision in self.decisions])

    @property
    def points(self) -> np.ndarray:
        """`(T,)`, what each decision brought."""
        return np.array([decision.points for decision in self.decisions])

    @property
    def random(self) -> np.ndarray:
        """`(T,)` bool, not the best action: only dice take another one.

        Dice that fall on the best action are not seen.
        """
        names = [self.actions[int(decision.q.argmax())] for decision in self.decisions]
        return np.array([n != d.action for n, d in zip(names, self.decisions, strict=True)])

    @property
    def life_lost(self) -> np.ndarray:
        """`(T,)` bool; the last life counts, too."""
        lives = np.array([decision.lives for decision in self.decisions])
        return np.diff(lives, prepend=lives[:1]) < 0


def record_game(
    recipe: Recipe,
    q_values: Callable[[torch.Tensor], torch.Tensor],
    epsilon: float = 0.05,
    seed: int = 0,
    max_frames: int = EVALUATION_FRAMES,
    open_lanes: Callable[..., Lanes] = make_lanes,
) -> RecordedGame:
    """Play one game and keep every decision.

    Args:
        recipe: what the agent was trained with.
        q_values: states `(1, stack, H, W)` uint8 to `(1, A)` float32 on the host.
        epsilon: probability of a random action.
        seed: of the game and of the draws; the game differs from those of training.
        max_frames: the record ends there, in emulator frames, if the game does not end before.
        open_lanes: see `dqn_ref.watching.moments`.
    """
    said: list[torch.Tensor] = []
    names: list[str] = []

    def opened(*args, **options) -> Lanes:
        lanes = open_lanes(*args, **options)
        names.extend(lanes.action_names)
        return lanes

    def noted(states: torch.Tensor) -> torch.Tensor:
        said.append(q_values(states))
        return said[-1]

    policy = greedy_policy(noted, epsilon, np.random.default_rng([seed, 0xF11]))
    game = moments(recipe, policy, seed + 10_000, max_frames, opened)
    taken: list[tuple[Moment, np.ndarray, Moment]] = []  # the moment before, values, the last one
    before: Moment | None = None
    with closing(game):
        for moment in game:
            if moment.action != START and moment.step > len(taken):
                taken.append((before, said[-1][0].numpy(), moment))
            elif moment.action != START:
                taken[-1] = (*taken[-1][:2], moment)
            before = moment
            if moment.end:
                break
    return RecordedGame(tuple(names), tuple(_decisions(taken)))


def _decisions(taken) -> Iterator[Decision]:
    score = 0.0
    for before, q, last in taken:
        yield Decision(
            before.screen, last.seen, q, last.action, last.score - score, last.lives, before.frame
        )
        score = last.score
