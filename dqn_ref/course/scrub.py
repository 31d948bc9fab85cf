"""A game, recorded with what the agent thought, and a slider to go through it.

    game = record_game(recipe, agent.q_values, epsilon=0.05, seed=0)
    scrub(game)              screen, what the network saw, its Q-values, their maximum over the game

A decision is shown as it was taken: the screen on which the agent chose, and the value of each
choice. Without widgets, in a saved notebook or on a printed page, one picture stands there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch

from dqn_ref.course.figures import BLUE, GREEN, GREY, ORANGE, SKY, VERMILION, figure, show
from dqn_ref.course.widgets import Controlled, slide
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


def scrub(game: RecordedGame, start: int = 0) -> Controlled:
    """A slider over a recorded game; see `draw_decision`."""
    return slide(lambda number: draw_decision(game, number), len(game.decisions), "decision", start)


_WINDOW = 90  # decisions before and after that are drawn, six seconds each way


def draw_decision(game: RecordedGame, number: int):
    """Screen, what the network saw, the Q-values as bars, and the value before and after."""
    decision, width = game.decisions[number], game.decisions[0].screen.shape[1]
    ratios = [2.1 * width / game.decisions[0].screen.shape[0] + 0.3, 2.2, 2.6, 5.0]
    drawing, (screen, seen, bars, curve) = figure(12.0, 3.1, 4, width_ratios=ratios)
    pictures = ((screen, decision.screen, "the screen"), (seen, decision.seen, "seen"))
    for ax, frame, title in pictures:
        ax.imshow(frame, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        ax.set(xticks=[], yticks=[], xlabel=title)
        ax.spines[:].set_visible(False)
        ax.grid(False)
    _draw_bars(bars, game, decision)
    _draw_curve(curve, game, number)
    said = zip(game.actions, decision.q, strict=True)
    return show(
        drawing,
        f"Decision {number}, frame {decision.frame:,}: {decision.action} was chosen. Q-values: "
        f"{', '.join(f'{action} {value:.2f}' for action, value in said)}. Beside them, their "
        "maximum over the decisions before and after, with bricks and lost balls.",
    )


def _draw_bars(ax, game: RecordedGame, decision: Decision) -> None:
    colours = [ORANGE if name == decision.action else SKY for name in game.actions]
    ax.barh(game.actions, decision.q, color=colours)
    low, high = min(0.0, *(d.q.min() for d in game.decisions)), game.values.max()
    ax.set(xlabel="Q(s, a); chosen: orange", xlim=(low, high))
    ax.invert_yaxis()


def _draw_curve(ax, game: RecordedGame, number: int) -> None:
    shown = np.arange(max(0, number - _WINDOW), min(len(game.decisions), number + _WINDOW + 1))
    values = game.values[shown]
    ax.plot(shown, values, color=BLUE)
    bricks, lost = game.points[shown] > 0, game.life_lost[shown]
    ax.plot(shown[bricks], values[bricks], "o", color=GREEN, label="points")
    for place in shown[lost]:
        ax.axvline(place, color=VERMILION, linestyle="--", label="the ball is lost")
    ax.axvline(number, color=GREY, linewidth=1)
    ax.plot(number, game.values[number], "D", color="black")
    ax.set(xlabel="decision", ylabel="max Q", ylim=(min(0.0, game.values.min()), None))
    ax.set_ylim(top=1.3 * game.values.max())  # room for the legend
    labelled = dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    if labelled:
        ax.legend(labelled.values(), labelled.keys(), loc="upper left", ncols=2, fontsize=11)
