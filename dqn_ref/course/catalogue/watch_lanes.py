"""What the check of `evaluate` plays and looks at; the mistakes: `watch_wrong_games`.

The games are scripts, one row per letter, with points drawn beforehand, so that a score does not
depend on the actions. All frames are different, so that a state tells what the policy was shown.

    b  a game begins             l  a life is lost, the game goes on     o  the game is over
    .  play goes on              f  a start action takes the choice      c  the game is cut off
                                                                         F  … during a start action
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import Difference, Fact, Trace
from dqn_ref.environments import Rows
from dqn_ref.evaluation import Evaluation
from dqn_ref.frames import FrameStack

SHAPE = (3, 4)
ENDS, STARTS = "ocF", "bfF"
_POINTS = (0.0, 0.0, 1.0, 4.0, 7.0, 30.0, -2.0, 0.5)
_NEXT = (
    "b.." + "l.f." + "...o"
)  # games that come after the script's; their points are a hundredfold


class StillPlaying(Exception):
    """More decisions than any game of the script lasts."""


@dataclass(frozen=True)
class Scene:
    """Games side by side, and what `evaluate` is called with."""

    scripts: tuple[str, ...]  # of each lane; the first game is the one that counts
    breaks_at_life: bool = False
    seed: int = 0

    @cached_property
    def rows(self) -> Rows:
        """All rows of all lanes, `(T, L)` each; frames `(T, L, H, W)`."""
        length = max(map(len, self.scripts)) + 60
        letters = np.array([list((text + _NEXT * length)[:length]) for text in self.scripts]).T
        rng = np.random.default_rng([5, self.seed, len(self.scripts)])
        later = np.arange(length)[:, None] >= [self.first_end(lane) + 1 for lane in self.lanes]
        points = rng.choice(_POINTS, size=letters.shape) * np.where(later, 100, 1)
        points = np.where(letters == "b", 0.0, points)
        frames = rng.integers(1, 256, (*letters.shape, *SHAPE), dtype=np.uint8)
        frames[:, :, 0, 0] = np.arange(1, length + 1)[:, None] % 256  # its number
        age = np.zeros(letters.shape, np.int32)
        for row in range(1, length):
            age[row] = np.where(letters[row] == "b", 3, age[row - 1] + 4)
        return Rows(
            frames,
            points.astype(np.float32),
            letters == "l",
            letters == "o",
            np.isin(letters, ("c", "F")),
            np.isin(letters, list(STARTS)),
            age,
            np.full(letters.shape, 3, np.int32),
        )

    @property
    def lanes(self) -> range:
        return range(len(self.scripts))

    def first_end(self, lane: int) -> int:
        """The number of the row that ends a lane's first game."""
        return next(i for i, letter in enumerate(self.scripts[lane]) if letter in ENDS)

    @property
    def decisions(self) -> int:
        """Until the last lane has played one game."""
        return max(map(self.first_end, self.lanes))

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        lanes, asked = ScriptedLanes(self), Asked(self)
        try:
            result = piece(
                lanes,
                FrameStack(len(self.scripts), 4, SHAPE),
                asked,
                self.breaks_at_life,
                self.seed,
            )
        except StillPlaying:
            yield Fact("end", False, "it still plays when every lane has long ended its game", 1)
            return
        yield from _result(result, len(self.scripts))
        seeds = ", ".join(map(str, lanes.seeds))
        asked_for = f"`reset` gets the seed {seeds}, expected {self.seed}, once"
        yield Fact("the seed of `reset`", lanes.seeds, asked_for, 2)
        yield Shown("states", asked.states(self), scene=self)
        yield Fact(
            "what is sent",
            lanes.sent_answers(asked),
            "what is sent to the lanes is not what the policy has just answered",
            3,
        )
        yield Fact("closed", lanes.closed, "the lanes are closed; they belong to the caller", 2)


def _result(result, lanes: int) -> Iterator[Fact]:
    kind = type(result).__name__
    yield Fact("the result", kind, f"it returns {_a(kind)}, expected an `Evaluation`", 2)
    if not isinstance(result, Evaluation):
        return
    for name in ("scores", "steps"):
        values = getattr(result, name)
        kind = type(values).__name__
        yield Fact(f"the type of `{name}`", kind, f"`{name}` is {_a(kind)}, expected a list", 2)
        if not isinstance(values, list):
            return
        sentence = f"`{name}` has {len(values)} entries, expected {lanes}, one for each lane"
        yield Fact(f"length of `{name}`", len(values), sentence, 1)
        yield Fact(f"numbers in `{name}`", all(map(_is_number, values)), _not_numbers(name), 2)
    yield Fact("`scores`", _plain(result.scores), hint=1)
    yield Fact("`steps`", _plain(result.steps), hint=1)
    kind = type(result.truncated).__name__
    is_count = isinstance(result.truncated, (int, np.integer)) and kind not in ("bool", "bool_")
    yield Fact("a number", is_count, f"`truncated` is {_a(kind)}, expected a number of games", 2)
    yield Fact("`truncated`", result.truncated if is_count else None, hint=1)


def _a(kind: str) -> str:
    return "None" if kind == "NoneType" else f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def _not_numbers(name: str) -> str:
    return f"`{name}` holds something other than numbers; `tolist()` makes numbers of an array"


def _is_number(value) -> bool:
    return isinstance(value, (float, int, np.integer, np.floating)) and type(value) is not bool


def _plain(values: list) -> str:
    """A list as a message shows it; the kind of its numbers does not matter."""
    return f"[{', '.join(f'{float(v):g}' if _is_number(v) else '?' for v in values)}]"


class ScriptedLanes:
    """The games of a scene, behind the contract of `dqn_ref.environments.Lanes`."""

    action_names = ["NOOP", "FIRE", "RIGHT", "LEFT"]

    def __init__(self, scene: Scene):
        self.lanes, self._rows, self._last = len(scene.scripts), scene.rows, scene.decisions + 40
        self._scene = scene
        self.seeds: tuple = ()
        self.sent: list[np.ndarray] = []
        self._waiting = self.closed = False
        self._row = 0

    def reset(self, seed: int) -> Rows:
        self.seeds += (int(seed),)
        self._row = 0
        return self._at(0)

    def send(self, actions) -> None:
        actions = np.array(actions)
        if actions.shape != (self.lanes,):
            raise ValueError(f"actions have shape {actions.shape}, expected ({self.lanes},)")
        if not self.seeds or self._waiting:
            raise RuntimeError("`send` comes after `reset`, and once before each `recv`")
        self.sent.append(actions)
        self._waiting = True

    def recv(self) -> Rows:
        if not self._waiting:
            raise RuntimeError("`recv` comes after `send`")
        self._waiting = False
        self._row += 1
        if self._row > self._last:
            raise StillPlaying
        return self._at(self._row)

    def close(self) -> None:
        self.closed = True

    def _at(self, row: int) -> Rows:
        return Rows(*(column[row].copy() for column in self._rows))

    def sent_answers(self, asked: Asked) -> bool:
        """Whether the lanes that still played were sent what the policy had said."""
        pairs = zip(self.sent, asked.answers, strict=False)
        return all(
            np.array_equal(sent[playing], answer[playing])
            for call, (sent, answer) in enumerate(pairs)
            if (playing := self._playing(call)).any()
        )

    def _playing(self, call: int) -> np.ndarray:
        return np.array([call < self._scene.first_end(lane) for lane in self._scene.lanes])


class Asked:
    """A policy that notes which frames it was shown; its answers depend on them."""

    def __init__(self, scene: Scene):
        self._rows = scene.rows.frames[: scene.decisions + 41]
        self._shown: list[list[tuple]] = []
        self.answers: list[np.ndarray] = []

    def __call__(self, states) -> np.ndarray:
        states = np.asarray(torch.as_tensor(states))
        if states.dtype != np.uint8 or states.ndim != 4 or states.shape[1:] != (4, *SHAPE):
            raise ValueError(f"the policy gets states of {states.dtype} and shape {states.shape}")
        self._shown.append([tuple(map(self._name, lane, [i] * 4)) for i, lane in enumerate(states)])
        answer = (states.astype(np.int64).sum(axis=(1, 2, 3)) + len(self.answers)) % 4
        self.answers.append(answer)
        return answer.copy()

    def _name(self, frame: np.ndarray, lane: int) -> str:
        if not frame.any():
            return "black"
        row = int(frame[0, 0]) - 1
        if row < len(self._rows) and np.array_equal(self._rows[row, lane], frame):
            return str(row)
        return "another picture"

    def states(self, scene: Scene) -> tuple:
        """Frames by number, for each call and each lane whose game is not over."""
        return tuple(
            tuple(shown[lane] if call < scene.first_end(lane) else () for lane in scene.lanes)
            for call, shown in enumerate(self._shown[: scene.decisions])
        )


@dataclass(frozen=True)
class Shown(Fact):
    """What the policy was shown, call by call and lane by lane."""

    scene: Scene | None = None

    def difference(self, expected: Shown) -> Difference:
        for call, (mine, its) in enumerate(zip(self.value, expected.value, strict=False)):
            for lane, (a, b) in enumerate(zip(mine, its, strict=True)):
                if a != b:
                    hint = 4 if a[-1] == b[-1] else 3
                    return Difference(
                        f"before decision {call + 1} the policy is shown frames {', '.join(a)} of "
                        f"lane {lane}, expected {', '.join(b)} (frame 0 is that of `reset`)",
                        hint,
                    )
        count = f"{len(self.value)} times, expected {len(expected.value)}"
        return Difference(f"the policy is asked {count}", 3)
