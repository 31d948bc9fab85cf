"""Evaluation: one contract for every score this course states.

Full games, all lives, the game's own points (unclipped). A game starts as in training with 0 to
30 no-ops and is cut off after 18,000 frames, five minutes of play, so that even an agent that
does nothing comes to an end. Actions are epsilon-greedy.

Source: Mnih et al. 2015, Methods, "Evaluation procedure".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from dqn_ref.environments import Lanes, Rows, make_lanes
from dqn_ref.exploration import epsilon_greedy
from dqn_ref.frames import FrameStack
from dqn_ref.settings import Recipe

EVALUATION_FRAMES = 18_000
EVALUATION_EPSILON = 0.05

Policy = Callable[[torch.Tensor], np.ndarray]  # (L, stack, H, W) uint8 -> (L,) int64


class GameTracker:
    """Adds up the points of each lane's game; `finished` are the games that ended now.

    A game spans all lives. Points of start actions do not count, nor do they as steps.
    """

    def __init__(self, lanes: int):
        self._score = np.zeros(lanes)
        self._steps = np.zeros(lanes, dtype=np.int64)

    def update(self, rows: Rows) -> list[Game]:
        """Take in one decision; the games that it ended, in the order of lanes."""
        counts = ~rows.reset_row
        self._score += np.where(counts, rows.rewards, 0.0)
        self._steps += counts
        ended = np.flatnonzero(rows.game_over | rows.truncated)
        finished = [
            Game(
                int(lane),
                float(self._score[lane]),
                int(self._steps[lane]),
                int(rows.emulator_frames[lane]),
                bool(rows.truncated[lane]),
            )
            for lane in ended
        ]
        self._score[ended] = 0.0
        self._steps[ended] = 0
        return finished

    def state(self) -> dict[str, list]:
        """Points and steps of the games under way, JSON-able."""
        return {"score": self._score.tolist(), "steps": self._steps.tolist()}

    def set_state(self, state: dict[str, list]) -> None:
        """Go on where `state` was called."""
        self._score = np.array(state["score"])
        self._steps = np.array(state["steps"], dtype=np.int64)


@dataclass(frozen=True)
class Game:
    """One full game."""

    lane: int
    score: float  # points, unclipped
    steps: int  # decisions
    frames: int  # emulator frames, start actions included
    truncated: bool  # cut off by the limit


@dataclass(frozen=True)
class Evaluation:
    """Scores of several games under one protocol."""

    scores: list[float]
    steps: list[int]
    truncated: int  # games cut off by the limit

    @property
    def mean(self) -> float:
        return float(np.mean(self.scores))

    @property
    def median(self) -> float:
        return float(np.median(self.scores))

    @property
    def std(self) -> float:
        """Standard deviation over games (population, as NumPy has it)."""
        return float(np.std(self.scores))

    def summary(self) -> str:
        games = len(self.scores)
        cut = f", {self.truncated} cut off at the frame limit" if self.truncated else ""
        return (
            f"{games} games: mean {self.mean:.1f}, median {self.median:.1f}, "
            f"std {self.std:.1f}, min {min(self.scores):.0f}, max {max(self.scores):.0f}{cut}"
        )


def decisions(
    lanes: Lanes, stack: FrameStack, policy: Policy, breaks_at_life: bool, seed: int
) -> Iterator[Rows]:
    """Play on and on; yields what each decision brought. Arguments as for `evaluate`."""
    rows = lanes.reset(seed)
    starts = rows.reset_row
    while True:
        states = stack.push(torch.from_numpy(rows.frames).to(stack.current.device), starts)
        lanes.send(policy(states))
        rows = lanes.recv()
        starts = rows.reset_row | (rows.life_lost & breaks_at_life)
        yield rows


def evaluate(
    lanes: Lanes, stack: FrameStack, policy: Policy, breaks_at_life: bool, seed: int
) -> Evaluation:
    """Play one full game in each lane.

    Every lane plays exactly one game, so that short games are not counted more often than long
    ones, as they would be among the first n games to finish.

    Args:
        lanes: the games; their frame limit bounds the evaluation.
        stack: an empty stack for these lanes.
        policy: states `(L, stack, H, W)` uint8 to actions `(L,)` int64; epsilon is its own.
        breaks_at_life: whether a lost life begins a new stack, as it does in training where it
            ends the episode.
        seed: of the games.
    Returns:
        Evaluation, scores in the order of lanes.
    Source: Mnih et al. 2015, Methods, "Evaluation procedure".
    """
    tracker, games = GameTracker(lanes.lanes), {}
    for rows in decisions(lanes, stack, policy, breaks_at_life, seed):
        for game in tracker.update(rows):
            games.setdefault(game.lane, game)
        if len(games) == lanes.lanes:
            break
    played = [games[lane] for lane in range(lanes.lanes)]
    return Evaluation(
        [game.score for game in played],
        [game.steps for game in played],
        sum(game.truncated for game in played),
    )


def greedy_policy(
    q_values: Callable[[torch.Tensor], torch.Tensor],
    epsilon: float,
    rng: np.random.Generator,
    choose: Callable = epsilon_greedy,
) -> Policy:
    """Epsilon-greedy policy over a Q-function.

    Args:
        q_values: states to `(L, A)` float32 on the host.
        epsilon: probability of a random action.
        rng: source of the draws.
        choose: the piece `epsilon_greedy`.
    """
    return lambda states: choose(q_values(states).numpy(), epsilon, rng)


def evaluate_network(
    recipe: Recipe,
    q_values: Callable[[torch.Tensor], torch.Tensor],
    games: int = 30,
    epsilon: float = EVALUATION_EPSILON,
    seed: int = 0,
    max_frames: int = EVALUATION_FRAMES,
    device: str | torch.device = "cpu",
    play: Callable = evaluate,
    choose: Callable = epsilon_greedy,
    make_stack: Callable = FrameStack,
    open_lanes: Callable[..., Lanes] = make_lanes,
) -> Evaluation:
    """Score a Q-function under the evaluation contract, all games at once.

    Args:
        recipe: what it was trained with.
        q_values: states to `(L, A)` float32 on the host.
        games: full games to play.
        epsilon: probability of a random action.
        seed: of games and draws; the games differ from those of training.
        max_frames: limit per game in emulator frames.
        device: where the states shall be.
        play, choose, make_stack: the pieces `evaluate`, `epsilon_greedy` and `FrameStack`.
        open_lanes: called as `make_lanes(recipe, games, max_frames=…)`.
    """
    lanes = open_lanes(recipe, games, max_frames=max_frames)
    try:
        stack = make_stack(games, recipe.stack_frames, recipe.frame_shape, device)
        rng = np.random.default_rng([seed, 0xE7A1])
        policy = greedy_policy(q_values, epsilon, rng, choose)
        return play(lanes, stack, policy, recipe.terminal_on_life_loss, seed + 10_000)
    finally:
        lanes.close()


def play_random_game(env, rng: np.random.Generator, max_steps: int = 10_000) -> tuple[float, int]:
    """Play one game of a gymnasium environment with random actions.

    Args:
        env: any environment with discrete actions, not yet reset.
        rng: chooses the actions and the environment's seed.
        max_steps: give up after this many steps.
    Returns:
        Score (sum of rewards) and steps played.
    """
    env.reset(seed=int(rng.integers(2**31)))
    score, steps, over = 0.0, 0, False
    while not over and steps < max_steps:
        action = int(rng.integers(env.action_space.n))
        _, reward, terminated, truncated, _ = env.step(action)
        score += float(reward)
        steps += 1
        over = terminated or truncated
    return score, steps
