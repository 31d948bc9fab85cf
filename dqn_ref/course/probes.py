"""The probe ladder: five games of seconds, each of which asks one question of an agent's pieces.

    1 one screen       the value becomes the reward         loss, gradient, optimiser
    2 two screens      the value depends on the picture     the network sees
    3 one step later   the value comes from the next state  discount, mask, target network
    4 two actions      the value depends on the action      the action's value, epsilon-greedy
    5 motion           only the stack tells                 stack and memory agree

A probe leaves out what the later ones are about: the first two have discount 0, so there is no
next state to go wrong; the first three have one action; all but the last have stacks of one frame.
So the first probe that fails says where to look. Each game is also a table, and what must come out
is computed from it. The games go through the door, memory and loop of Breakout, on one core.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from dqn_ref import games
from dqn_ref.environments import Rows
from dqn_ref.pieces import REFERENCE, Pieces
from dqn_ref.recipes import Recipe, get_recipe
from dqn_ref.runs import build, resolve
from dqn_ref.training import LoopParts

TOLERANCE = 0.05  # of a value whose rewards are 1
_LAST_GAMES = 100  # how the agent plays in the end
_WELL = 0.85  # of them are won at least, with one action in ten at random
_SECONDS = 60.0  # a loop that does not end; a probe takes one or two


class _Screens(games.PixelGame):
    """A game whose pictures show nothing but a bright block, at one of three places."""

    places: tuple[int, ...]  # of the block, for each state

    def __init__(self) -> None:
        super().__init__(max_steps=10)

    @classmethod
    def draw(cls, state: int) -> np.ndarray:
        frame = np.zeros(games.FRAME_SHAPE, np.uint8)
        left = 8 + 52 * cls.places[state]
        frame[70:140, left : left + 40] = (236, 236, 120)
        return frame


class OneScreen(_Screens):
    """One picture, one button, one point, and the game is over."""

    num_states, num_actions, start_states, places = 1, 1, (0,), (1,)

    @classmethod
    def transition(cls, state: int, action: int) -> tuple[int, float, bool]:
        return state, 1.0, True


class TwoScreens(_Screens):
    """One of two pictures. One is worth a point, the other nothing."""

    num_states, num_actions, start_states, places = 2, 1, (0, 1), (0, 2)

    @classmethod
    def transition(cls, state: int, action: int) -> tuple[int, float, bool]:
        return state, float(state == 1), True


class OneStepLater(_Screens):
    """Two pictures in a row; the point comes with the second."""

    num_states, num_actions, start_states, places = 2, 1, (0,), (0, 2)

    @classmethod
    def transition(cls, state: int, action: int) -> tuple[int, float, bool]:
        return 1, float(state == 1), state == 1


class TwoActions(_Screens):
    """One picture, two buttons; the second wins a point."""

    num_states, num_actions, start_states, places = 1, 2, (0,), (1,)

    @classmethod
    def transition(cls, state: int, action: int) -> tuple[int, float, bool]:
        return state, float(action == 1), True


class Motion(_Screens):
    """A block comes from the left or from the right; in the middle, press where it is going.

    States: left, right, in the middle from the left, in the middle from the right.
    """

    num_states, num_actions, start_states, places = 4, 2, (0, 1), (0, 2, 1, 1)

    @classmethod
    def transition(cls, state: int, action: int) -> tuple[int, float, bool]:
        if state < 2:
            return state + 2, 0.0, False
        return state, float(action == (state == 2)), True


@dataclass(frozen=True)
class Probe:
    """One rung of the ladder."""

    number: int
    title: str
    asks: str
    game: type[_Screens]
    steps: int
    reads: Callable[[np.ndarray, float], str]  # values and share of games won, to a sentence
    look_at: tuple[str, ...]  # the pieces in question if it is the first that fails
    discount: float = 0.0
    stack_frames: int = 1
    told_from: int = 0  # the first state whose values are told

    @property
    def recipe(self) -> Recipe:
        """Small frames, the small network of 2013, an update at every step."""
        return get_recipe(
            "gallery", lanes=1, frame_height=20, frame_width=20, architecture="mnih2013",
            discount=self.discount, stack_frames=self.stack_frames, memory_frames=5_000,
            learning_starts=50, train_every_steps=1, target_every_steps=20, epsilon_end=0.1,
            epsilon_decay_steps=self.steps // 2, learning_rate=1e-3, total_steps=self.steps,
            device="cpu", precision="fp32", threads=1,
        )  # fmt: skip

    @property
    def truth(self) -> np.ndarray:
        """Exact values, `(states, actions)`."""
        return self.game.optimal_q(self.discount)


def _reads_one(values: np.ndarray, won: float) -> str:
    near = abs(values[0, 0]) < 0.5
    return "nothing is learnt, or no reward arrives" if near else "something else is learnt"


def _reads_two(values: np.ndarray, won: float) -> str:
    alike = abs(values[1, 0] - values[0, 0]) < 0.3
    return "all screens are worth the same" if alike else "the values belong to other screens"


def _reads_later(values: np.ndarray, won: float) -> str:
    first, second = values[:, 0]
    if second > 1 + TOLERANCE:
        return "more than the one point that there is: the value does not end with the game"
    if abs(first) < 0.45:
        return "nothing comes from the next state"
    return "the first value is not 0.9 times the second"


def _reads_actions(values: np.ndarray, won: float) -> str:
    if np.abs(values - TwoActions.optimal_q(0.9)).max() <= TOLERANCE:
        return "the values are right, and it plays by something else"
    return "a value is not that of the action taken"


def _reads_motion(values: np.ndarray, won: float) -> str:
    if np.abs(values - Motion.optimal_q(0.9)).max() <= TOLERANCE:
        return "the values are right, but the stack at play is another one"
    reading = "what is learnt of a stack is not said of it at play"
    # Two wrong values have an order, too.
    return f"{reading}, though it wins by luck" if won >= _WELL else reading


PROBES = (
    Probe(1, "one screen", "does a value become the reward?", OneScreen, 200, _reads_one,
          ("training_step", "training_loop", "huber_loss", "clip_reward", "ReplayMemory")),
    Probe(2, "two screens", "does the network see?", TwoScreens, 240, _reads_two,
          ("QNetwork", "preprocess", "training_step", "ReplayMemory")),
    Probe(3, "one step later", "does the next state count?", OneStepLater, 320, _reads_later,
          ("td_targets", "update_target", "ReplayMemory", "training_step"), discount=0.9),
    Probe(4, "two actions", "does the action count?", TwoActions, 320, _reads_actions,
          ("training_step", "epsilon_greedy", "linear_schedule", "training_loop"), discount=0.9),
    Probe(5, "motion", "do stack and memory agree?", Motion, 600, _reads_motion,
          ("FrameStack", "ReplayMemory"), discount=0.9, stack_frames=4, told_from=2),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a probe found."""

    probe: Probe
    values: np.ndarray | None = None  # (states, actions), as the agent has learnt them
    won: float = math.nan  # share of the last games
    error: str = ""  # of a piece that raised one

    @property
    def passed(self) -> bool:
        if self.values is None:
            return False
        right = np.abs(self.values - self.probe.truth).max() <= TOLERANCE  # False for nan
        return bool(right and (self.probe.game.num_actions == 1 or self.won >= _WELL))

    @property
    def found(self) -> str:
        """In words: each value beside what it should be."""
        if self.values is None:
            return self.error
        shown = (table[self.probe.told_from :].ravel() for table in (self.values, self.probe.truth))
        pairs = zip(*shown, strict=True)
        said = "  ".join(f"{found:.2f} ({true:.2f})" for found, true in pairs)
        if self.probe.game.num_actions > 1:
            said += f"  {100 * self.won:.0f} of the last {_LAST_GAMES} games won"
        return said.replace("-0.00", "0.00")

    @property
    def reading(self) -> str:
        """What a failure says, in a sentence."""
        if self.values is None:
            return "a piece, or what calls it, raises an error"
        if not np.isfinite(self.values).all():
            return "a value is no finite number"
        return self.probe.reads(self.values, self.won)

    def __str__(self) -> str:
        mark = "✅" if self.passed else "❌"
        line = f"{mark} {self.probe.number} {self.probe.title:14} {self.found}"
        if self.passed:
            return line
        return f"{line}\n     {self.reading}; look at {', '.join(self.probe.look_at)}"


def run_probes(
    pieces: Pieces = REFERENCE, probes: Sequence[Probe] = PROBES, tell: Callable = print
) -> list[Outcome]:
    """Climb the ladder: train on each probe and tell what was found.

    All of them are tried; where several fail, the first is the one to mend.

    Args:
        pieces: the learner's, as `load_pieces` returns them, or some of each.
        probes: some rungs only.
        tell: called with each outcome as soon as it is known.
    """
    outcomes = []
    with _threads_kept():
        for probe in probes:
            outcomes.append(run_probe(probe, pieces))
            tell(outcomes[-1])
    return outcomes


def run_probe(probe: Probe, pieces: Pieces = REFERENCE) -> Outcome:
    """Train on one probe. An error of a piece is an outcome, too."""
    recipe = resolve(probe.recipe)
    try:
        parts = build(recipe, pieces, make_env=probe.game)
        try:
            watch = _Watch(recipe.total_steps)
            pieces.training_loop(parts, recipe.total_steps, watch)
            values = _values(probe, parts, pieces)
        finally:
            parts.lanes.close()
    except Exception as error:
        return Outcome(probe, error=f"{type(error).__name__}: {error}"[:200])
    return Outcome(probe, values, watch.won)


@dataclass
class _Watch:
    """Notes who wins, and ends a loop that does not end by itself."""

    total_steps: int
    scores: list[float] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def __call__(self, parts: LoopParts, rows: Rows) -> bool:
        self.scores += [game.score for game in parts.finished]
        if parts.counters.steps > self.total_steps + 10:
            raise RuntimeError(f"the loop goes on after its {self.total_steps:,} steps")
        if time.monotonic() - self.started > _SECONDS:
            raise RuntimeError(f"not done after {_SECONDS:.0f} seconds")
        return False

    @property
    def won(self) -> float:
        return float(np.mean(self.scores[-_LAST_GAMES:])) if self.scores else math.nan


def _values(probe: Probe, parts: LoopParts, pieces: Pieces) -> np.ndarray:
    """What the network says of each state, shown to it as an agent at play sees it."""
    states = [_as_seen(probe, state, pieces) for state in range(probe.game.num_states)]
    return parts.learner.q_values(torch.cat(states)).numpy()


def _as_seen(probe: Probe, state: int, pieces: Pieces) -> torch.Tensor:
    """The stack of a state, made by the pieces at play: `(1, stack, H, W)`."""
    recipe, game = probe.recipe, probe.game
    stack = pieces.FrameStack(1, recipe.stack_frames, recipe.frame_shape)
    for number, each in enumerate(_way_to(game, state)):
        picture = game.draw(each)
        frame = pieces.preprocess(
            picture, picture, *recipe.frame_shape, recipe.resize, recipe.max_over, recipe.grey
        )
        seen = torch.as_tensor(np.ascontiguousarray(frame))[None]
        states = stack.push(seen, np.array([number == 0]))
    return torch.as_tensor(states)


def _way_to(game: type[_Screens], state: int) -> list[int]:
    """The states from the start of a game to this one."""
    if state in game.start_states:
        return [state]
    before = next(s for s in game.start_states if game.transition(s, 0)[0] == state)
    return [before, state]


@contextmanager
def _threads_kept() -> Iterator[None]:
    """PyTorch's threads are as many afterwards as before: probes take one."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
