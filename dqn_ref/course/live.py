"""A moving picture in the notebook: an agent, or anything else, at play.

    watch_live("runs/first", view="both")              the agent of a run
    watch_live(env, lambda screen: 1)                  an environment and what you do in it
    train_on(show_live(env))                           whatever plays, or learns

All pictures stand in one output of the cell, each in place of the one before. The last one stays
when the notebook is saved: one small PNG with a description, which needs no widgets, no trust and
no kernel to be seen. Kernel > Interrupt ends the view without a traceback. Without a notebook
nothing is shown.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from dqn_ref.course.cards import image_tag
from dqn_ref.evaluation import EVALUATION_EPSILON, EVALUATION_FRAMES
from dqn_ref.recipes import Recipe
from dqn_ref.watching import (
    CONSOLE_FPS,
    VIEWS,
    Moment,
    Watched,
    env_moments,
    game_fps,
    moments,
    network_frame,
    picture,
)

_UNKNOWN_FPS = 30.0  # of an environment that does not name its rate


class Screen:
    """One output of a notebook cell that shows one picture after another.

    It belongs to the cell that shows the first picture.
    """

    def __init__(self) -> None:
        self.connected = _in_notebook()
        self.shown_at = -math.inf  # time.monotonic() of the last picture
        self._handle: Any = None

    def show(self, drawing: np.ndarray, alt: str) -> None:
        """Replace the picture; nothing happens without a notebook.

        Args:
            drawing: `(H, W, 3)` or `(H, W)` uint8.
            alt: what it shows, in words.
        """
        if not self.connected:
            return
        from IPython.display import HTML, display

        shown = HTML(image_tag(drawing, alt))
        if self._handle is None:
            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)
        self.shown_at = time.monotonic()


def _in_notebook() -> bool:
    """Whether pictures can be shown: this Python is a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def watch_live(
    player: str | Path | Recipe | gymnasium.Env,
    policy: Callable[[Any], Any] | None = None,
    view: str = "colour",
    label: bool = True,
    seconds: float = 30.0,
    max_steps: int | None = None,
    fps: float = 20.0,
    speed: float = 1.0,
    epsilon: float = EVALUATION_EPSILON,
    seed: int = 0,
    sees: Callable[[Any], np.ndarray | None] = network_frame,
) -> None:
    """Show game after game in the notebook while it is played.

    Args:
        player: the folder of a run, whose last weights play; a recipe, whose game `policy` plays;
            or an environment (see `dqn_ref.watching.Watched`), which is left open.
        policy: for an environment observation to action, otherwise states `(1, stack, H, W)`
            uint8 to actions `(1,)`; None plays at random, or with a run's own network.
        view, label: see `dqn_ref.watching.picture`.
        seconds: of play, at the speed of the game.
        max_steps: stop after so many decisions, if that is earlier.
        fps: pictures per second at most. Atari's 60 frames are thinned by an odd number, so that
            sprites drawn in every second frame are not lost.
        speed: 1 is the console's; 0.1 is slow motion, inf as fast as it goes.
        epsilon: probability of a random action, for the agent of a run.
        seed: of games and draws.
        sees: for an environment, observation to what a network makes of it.
    Raises:
        ValueError: for a wrong argument, or where there is no picture.
        RecipeError, CheckpointError: for a run that cannot be used.
    """
    if view not in VIEWS:
        raise ValueError(f"unknown view {view!r}; choose from {', '.join(VIEWS)}")
    for name, value in {"seconds": seconds, "fps": fps, "speed": speed}.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, not {value}")
    screen = Screen()
    if not screen.connected:
        print("There is no notebook here to show the game in.")
        return
    with contextlib.suppress(KeyboardInterrupt):
        game, game_rate = _open(player, policy, epsilon, seed, sees)
        with contextlib.closing(game):
            some = _first(game, seconds * game_rate, max_steps)
            for moment in _paced(some, game_rate, fps, speed):
                screen.show(picture(moment, view, label), _description(moment))


def show_live(
    env: gymnasium.Env,
    view: str = "colour",
    label: bool = True,
    fps: float = 20.0,
    sees: Callable[[Any], np.ndarray | None] = network_frame,
) -> gymnasium.Env:
    """The same environment, but the notebook shows what happens in it, training included.

    Nothing waits for the pictures: there are at most `fps` a second, and most steps go unseen.

    Args:
        env: see `dqn_ref.watching.Watched`.
        view, label: see `dqn_ref.watching.picture`.
        fps: pictures per second at most.
        sees: observation to what a network makes of it.
    """
    screen = Screen()

    def watch(look: Callable[[], Moment]) -> None:
        if screen.connected and time.monotonic() - screen.shown_at >= 1 / fps:
            moment = look()
            screen.show(picture(moment, view, label), _description(moment))

    return Watched(env, watch, sees)


def _open(player, policy, epsilon: float, seed: int, sees) -> tuple[Iterator[Moment], float]:
    """The game and its frames per second."""
    if isinstance(player, gymnasium.Env):
        is_atari = hasattr(player.unwrapped, "ale")
        fps = CONSOLE_FPS if is_atari else player.metadata.get("render_fps") or _UNKNOWN_FPS
        return env_moments(player, policy, seed, sees), float(fps)
    if isinstance(player, Recipe):
        game = moments(player, policy, seed + 10_000, EVALUATION_FRAMES)
        return game, game_fps(player)
    from dqn_ref.agents import play_run

    game, recipe = play_run(Path(player), epsilon, seed, policy=policy)
    return game, game_fps(recipe)


def _frames_since(before: Moment | None, moment: Moment) -> int:
    """Frames played from one moment to a later one; the first of a game counts one."""
    same_game = before is not None and not before.end and moment.frame > before.frame
    return moment.frame - before.frame if same_game else 1


def _first(game: Iterator[Moment], frames: float, max_steps: int | None) -> Iterator[Moment]:
    """The moments of the first so many frames and so many decisions."""
    played, steps, before = 0, 0, None
    for moment in game:
        played += _frames_since(before, moment)
        steps += moment.step > (0 if before is None or before.end else before.step)
        if played > frames or (max_steps is not None and steps > max_steps):
            return
        yield moment
        before = moment


def _paced(game: Iterator[Moment], game_rate: float, fps: float, speed: float) -> Iterator[Moment]:
    """Some of the moments, each at its time: one of `every` frames, the last of each game.

    Where drawing takes too long the game becomes slower; it never hurries to catch up.
    """
    every = math.ceil(game_rate * (speed if speed < math.inf else 1.0) / fps - 1e-9)
    every += 1 - every % 2
    due, shown, waiting = time.monotonic(), None, None
    for moment in game:
        if shown is not None:
            passed = _frames_since(shown, moment)
            if not moment.end and moment.frame > shown.frame and passed < every:
                waiting = moment
                continue
            due += passed / (game_rate * speed)
            pause = due - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            else:
                due = time.monotonic()
        yield moment
        shown, waiting = moment, None
    if waiting is not None:
        yield waiting


def _description(moment: Moment) -> str:
    """A moment in words, for those who cannot see it."""
    return (
        f"The game at frame {moment.frame:,}, action {moment.action}, score {moment.score:g}: "
        "the last picture of a live view."
    )
