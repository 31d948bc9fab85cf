"""Returns and the tabular Q-learning update: the ideas before the network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def discounted_return(rewards: Sequence[float], discount: float) -> float:
    """Return of an episode as seen from its first step: r₁ + γ r₂ + γ² r₃ + …

    Args:
        rewards: of one episode, in order; none at all are worth 0. They stay as they are.
        discount: γ.
    Source: Sutton and Barto 2018, equation 3.8.
    """
    total = 0.0
    for reward in reversed(rewards):
        total = reward + discount * total
    return float(total)


def q_learning_update(
    q_table: np.ndarray,
    state: int,
    action: int,
    reward: float,
    next_state: int,
    terminated: bool,
    discount: float,
    learning_rate: float,
) -> None:
    """Move one entry of a Q-table towards its target, in place.

    Args:
        q_table: `(S, A)` float64.
        state, action: the entry.
        reward, next_state, terminated: what followed.
        discount: γ.
        learning_rate: share of the difference that is made up.
    Source: Watkins 1989; Sutton and Barto 2018, equation 6.8.
    """
    next_value = 0.0 if terminated else q_table[next_state].max()
    target = reward + discount * next_value
    q_table[state, action] += learning_rate * (target - q_table[state, action])
