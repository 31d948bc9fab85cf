"""Exploration: how often the agent acts at random, and how it does."""

from __future__ import annotations

import numpy as np


def linear_schedule(
    step: int | np.ndarray, start: float, end: float, decay_steps: int, delay_steps: int = 0
) -> float | np.ndarray:
    """A value that falls in a straight line and then stays.

    Args:
        step: agent steps so far (one number, or an array of them).
        start: value up to `delay_steps`.
        end: value from `delay_steps + decay_steps` on.
        decay_steps: length of the line, in agent steps; 0: `end` from `delay_steps` on.
        delay_steps: agent steps before the line begins.
    Returns:
        float, or an array of the shape of `step`.
    Source: Mnih et al. 2015, Methods, "Training details": 1 to 0.1 over the first million
    frames; its code anneals over a million agent steps, after 50,000 steps of warm-up.
    """
    if decay_steps > 0:
        fraction = np.clip((np.asarray(step) - delay_steps) / decay_steps, 0.0, 1.0)
    else:
        fraction = (np.asarray(step) >= delay_steps).astype(np.float64)
    value = start + (end - start) * fraction
    return value if np.ndim(step) else float(value)


def epsilon_greedy(
    q_values: np.ndarray, epsilon: float | np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """One action per environment: random with probability epsilon, otherwise the best.

    Each environment has a draw of its own. `rng.random(L)` and then `rng.integers(A, size=L)`
    are drawn whether they are needed or not, so that versions agree on a seed.

    Args:
        q_values: `(L, A)` float, one row per environment.
        epsilon: probability of a random action, one number or `(L,)`.
        rng: source of both draws.
    Returns:
        `(L,)` int64.
    """
    lanes, num_actions = q_values.shape
    explore = rng.random(lanes) < epsilon
    random_actions = rng.integers(num_actions, size=lanes)
    return np.where(explore, random_actions, q_values.argmax(axis=1))
