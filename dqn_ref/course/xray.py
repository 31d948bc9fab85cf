"""The X-ray player: a recorded game with what the network saw and thought; a slider and a film.

    game = record_game(recipe, agent.q_values, epsilon=0.05, seed=0)
    scrub(game)                                    a slider over its decisions
    xray_film(game, "xray.mp4", first=100)         the same pictures, one after another

A decision is shown as it was taken: the screen on which the agent chose, the newest frame of the
network's state, the value of each choice, and the largest of them over the game. A choice that was
not the best one was a random action.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dqn_ref.course.figures import BLUE, GREEN, GREY, ORANGE, SKY, VERMILION, show, style
from dqn_ref.course.recorded import RecordedGame
from dqn_ref.course.widgets import Controlled, slide
from dqn_ref.video import write_video

_WIDTH, _HEIGHT, _DPI = 960, 640, 100  # pixels of a film; even, as H.264 wants them
_SCREEN = (14, 184, 336, 420)  # left, bottom, width and height of each part, in pixels
_SEEN = (372, 184, 336, 420)
_BARS = (790, 230, 150, 360)
_CURVE = (66, 52, 876, 84)
_WINDOW = 90  # decisions before and after that are drawn: six seconds each way
ATARI_DECISIONS = 15.0  # a second, at the console's speed and four frames a decision


class XRay:
    """The picture of a game's decisions: made once, then moved from one to the next.

    Drawing each anew takes twice as long.

    Args:
        game: what was recorded.
        window: first and last decision of the curve; None for six seconds before and after.
    """

    def __init__(self, game: RecordedGame, window: tuple[int, int] | None = None):
        self.game, self._window = game, window
        size = (_WIDTH / _DPI, _HEIGHT / _DPI)
        self.figure = Figure(figsize=size, dpi=_DPI, facecolor="white")
        FigureCanvasAgg(self.figure)
        first = game.decisions[0]
        with style():
            self._title = self._say(14, 617, "", size=14, weight="bold")
            self._screen = self._image(_SCREEN, first.screen, "the screen")
            self._seen = self._image(_SEEN, first.seen, "what the network sees: its newest frame")
            self._make_bars(self._axes(_BARS))
            self._make_curve(self._axes(_CURVE))

    def draw(self, number: int) -> None:
        """Show that decision."""
        game, decision = self.game, self.game.decisions[number]
        score = game.points[:number].sum()
        how = "RANDOM: " if game.random[number] else ""
        self._title.set_text(
            f"decision {number}    frame {decision.frame:,}    score {score:g}    "
            f"{how}{decision.action}"
        )
        self._title.set_color(VERMILION if how else "black")
        self._screen.set_data(decision.screen)
        self._seen.set_data(decision.seen)
        for name, bar, value in zip(game.actions, self._bars, decision.q, strict=True):
            bar.set_width(value)
            chosen = name == decision.action
            bar.set_color((VERMILION if how else ORANGE) if chosen else SKY)
        for label, value in zip(self._values, decision.q, strict=True):
            label.set_text(f"{value:.2f}")
        self._cursor.set_xdata([number])
        self._point.set_data([number], [game.values[number]])
        self._curve.set_xlim(*(self._window or (number - _WINDOW, number + _WINDOW)))

    def pixels(self, number: int) -> np.ndarray:
        """That decision as a film's picture, `(640, 960, 3)` uint8."""
        self.draw(number)
        self.figure.canvas.draw()
        return np.asarray(self.figure.canvas.buffer_rgba())[:, :, :3].copy()

    def picture(self, number: int):
        """That decision for a notebook, as `figures.show` returns it."""
        self.draw(number)
        return show(self.figure, self.words(number))

    def words(self, number: int) -> str:
        """That decision in words, for those who do not see it."""
        decision, game = self.game.decisions[number], self.game
        chosen = "came by chance" if game.random[number] else "was chosen"
        said = zip(game.actions, decision.q, strict=True)
        return (
            f"Decision {number}, frame {decision.frame:,}, score {game.points[:number].sum():g}: "
            f"{decision.action} {chosen}. Q-values: "
            f"{', '.join(f'{action} {value:.2f}' for action, value in said)}. Below, their maximum "
            "over the decisions before and after, with points, lost balls and random actions."
        )

    def _axes(self, box: tuple[int, int, int, int]) -> Axes:
        left, bottom, width, height = box
        return self.figure.add_axes(
            (left / _WIDTH, bottom / _HEIGHT, width / _WIDTH, height / _HEIGHT)
        )

    def _say(self, left: int, bottom: int, text: str, **style):
        return self.figure.text(left / _WIDTH, bottom / _HEIGHT, text, **style)

    def _image(self, box: tuple[int, int, int, int], picture: np.ndarray, caption: str):
        """A picture in the middle of its box, each of its pixels a block of whole pixels."""
        left, bottom, width, height = box
        rows, columns = picture.shape[:2]
        factor = max(1, min(width // columns, height // rows))
        corner = left + (width - factor * columns) // 2, bottom + (height - factor * rows) // 2
        ax = self._axes((*corner, factor * columns, factor * rows))
        ax.axis("off")
        self._say(corner[0], corner[1] - 18, caption, size=10)
        return ax.imshow(
            picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto"
        )

    def _make_bars(self, ax: Axes) -> None:
        game = self.game
        self._bars = ax.barh(game.actions, game.decisions[0].q)
        low = min(0.0, *(float(d.q.min()) for d in game.decisions))
        ax.set_xlim(low, max(float(game.values.max()), low + 1e-6))
        ax.invert_yaxis()
        ax.set_title("Q(s, a)", size=11)
        ax.tick_params(labelsize=10)
        places = range(len(game.actions))
        inside = 0.03 * (ax.get_xlim()[1] - low)
        self._values = [ax.text(inside, place, "", va="center", size=10) for place in places]
        self._say(_BARS[0] - 60, _SCREEN[1] - 18, "orange: chosen, red: by chance", size=10)

    def _make_curve(self, ax: Axes) -> None:
        game, numbers = self.game, np.arange(len(self.game.decisions))
        ax.plot(numbers, game.values, color=BLUE)
        floor = min(0.0, float(game.values.min()))
        paid, chance = game.points > 0, game.random
        ax.plot(numbers[paid], game.values[paid], "o", color=GREEN, markersize=5, label="points")
        ax.plot(
            numbers[chance], np.full(chance.sum(), floor), "x", color=VERMILION, markersize=5,
            label="random",
        )  # fmt: skip
        for count, place in enumerate(numbers[game.life_lost]):
            ax.axvline(place, color=GREY, linestyle=":", label=None if count else "ball lost")
        self._cursor = ax.axvline(0, color="black", linewidth=1)
        (self._point,) = ax.plot([0], [game.values[0]], "D", color="black", markersize=5)
        ax.set_ylim(
            floor - 0.1 * np.ptp(game.values) - 0.05,
            max(1.1 * float(game.values.max()), floor + 0.1),
        )
        ax.set_xlabel("decision", size=10)
        ax.set_ylabel("max Q", size=10)
        ax.tick_params(labelsize=9)
        ax.legend(loc="lower left", bbox_to_anchor=(-0.01, 0.96), ncols=3, fontsize=10)
        self._curve = ax


def scrub(game: RecordedGame, start: int = 0) -> Controlled:
    """A slider over a recorded game; without widgets the picture of decision `start`."""
    return slide(XRay(game).picture, len(game.decisions), "decision", start)


def xray_film(
    game: RecordedGame,
    path: str | Path,
    first: int = 0,
    count: int | None = None,
    fps: float = ATARI_DECISIONS,
    write: Callable[..., Path] = write_video,
) -> Path:
    """Write the game's pictures as an mp4, a decision each.

    Args:
        game: what was recorded.
        path: ends in `.mp4`.
        first, count: the film begins with that decision, and has so many; None for all the rest.
        fps: decisions per second.
        write: the piece `write_video`.
    Returns:
        The path. Errors are those of `write_video`.
    """
    last = len(game.decisions) if count is None else min(first + count, len(game.decisions))
    drawing = XRay(game, (first, last - 1))  # a moving curve: 428 kB, not 239

    def pictures() -> Iterator[np.ndarray]:
        yield from map(drawing.pixels, range(first, last))

    return write(pictures(), path, fps)
