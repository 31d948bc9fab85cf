"""What the check of the training loop sets up: parts that work and keep a diary, games by a script.

The parts are a real `LoopParts` with a real memory and stack, on frames of 8 × 8 pixels; games and
learner follow a script. The diary holds every call with what it was given, in words: "the actions
of turn 2". A turn is one step of all lanes; some of its rows may be reset rows, which are no steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import Fact, Trace
from dqn_ref.course.catalogue.loop_turn_facts import loop_facts
from dqn_ref.environments import Rows
from dqn_ref.exploration import epsilon_greedy, linear_schedule
from dqn_ref.frames import FrameStack
from dqn_ref.learner import Learner, Metrics
from dqn_ref.recipes import get_recipe
from dqn_ref.replay import FrameRing
from dqn_ref.training import Counters, LoopParts, clip_reward

_SHAPE, _STACK = (8, 8), 4
_MOST_CALLS = 150  # of a loop that does not end
_ACTIONS = 100  # actions are numbered, more than all lanes take: each tells whose turn it is of

_RECIPE = dataclasses.replace(
    get_recipe("laptop"), learning_starts=0, train_every_steps=4, updates_at_once=1, n_step=1,
    batch_size=2, memory_frames=600, total_steps=14, frame_height=8, frame_width=8, device="cpu",
    precision="fp32", target_every_steps=400,
)  # fmt: skip


class Enough(BaseException):
    """Ends a loop that goes on for ever, or cannot go on; no `except Exception` keeps it."""


@dataclass
class Diary:
    """All calls of one loop, in order."""

    parts: LoopParts
    calls: list[tuple[str, str]] = field(default_factory=list)  # which, and what it was given
    steps: list[int] = field(default_factory=list)  # made in all, at each of these calls
    due: list[bool] = field(default_factory=list)  # whether an update was
    tampered: list[tuple[int, int]] = field(default_factory=list)  # the counter was, should be
    acted: list[np.ndarray] = field(default_factory=list)
    received: list[Rows] = field(default_factory=list)
    counted: int = 0  # steps as `remember` has counted them

    def note(self, call: str, given: str = "") -> None:
        counters, recipe = self.parts.counters, self.parts.recipe
        steps = counters.steps
        if steps != self.counted:
            self.tampered.append((steps, self.counted))
            self.counted = steps
        if len(self.calls) == _MOST_CALLS:
            raise Enough
        self.calls.append((call, given))
        self.steps.append(steps)
        self.due.append(counters.steps_owed >= recipe.train_every_steps)

    def words(self, value: Any) -> str:
        """What a call was given, whatever it should have been given."""
        if value is None:
            return "None"
        if value is self.parts:
            return "the parts"
        if callable(value):
            return f"`{getattr(value, '__name__', 'a function')}` itself, which was not called"
        if isinstance(value, tuple):
            return self._rows_words(value)
        for turn, mine in enumerate(self.acted, 1):
            if np.array_equal(np.asarray(value), mine):
                return f"the actions of turn {turn}"
        for turn, rows in enumerate(self.received, 1):
            field = next((name for name in Rows._fields if getattr(rows, name) is value), None)
            if field:
                return f"`rows.{field}` of turn {turn}"
        return "actions that no `act` has chosen"

    def _rows_words(self, rows: tuple) -> str:
        for turn, mine in enumerate(self.received, 1):
            if rows is mine or (rows and rows[0] is mine.frames):
                return f"the rows of turn {turn}"
        return "rows that no `recv` has brought"


class Lanes:
    """Games by a script: one text per turn, one letter per lane.

    `.` a step, `o` a step that ends the game, `c` one that cuts it off, `r` a reset row. The script
    begins anew when it ends.
    """

    action_names = ["NOOP", "RIGHT", "LEFT"]

    def __init__(self, script: tuple[str, ...]):
        self.lanes, self._script = len(script[0]), script
        self.parts: ScriptedParts | None = None

    def reset(self, seed: int) -> Rows:
        if not self.parts.starting:
            self.parts.diary.note("lanes.reset")
        return self._rows("r" * self.lanes)

    def send(self, actions: np.ndarray) -> None:
        diary = self.parts.diary
        diary.note("send", diary.words(actions))

    def recv(self) -> Rows:
        diary = self.parts.diary
        diary.note("recv")
        diary.received.append(self._rows(self._script[len(diary.received) % len(self._script)]))
        return diary.received[-1]

    def close(self) -> None:
        self.parts.diary.note("lanes.close")

    def _rows(self, letters: str) -> Rows:
        letters, no = np.array(list(letters)), np.zeros(self.lanes, bool)
        frames = np.full((self.lanes, *_SHAPE), len(self.parts.diary.received) % 200, np.uint8)
        number = np.zeros(self.lanes, np.int32)
        over, cut, reset = (letters == letter for letter in "ocr")
        return Rows(frames, no.astype(np.float32), no, over, cut, reset, number, number)


class ScriptedLearner:
    """A learner that learns nothing."""

    device, updates = torch.device("cpu"), 0

    def q_values(self, states: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(states), 3)

    def update(self, batches: list) -> list[Metrics]:
        self.updates += len(batches)
        return [Metrics(torch.tensor(0.5), torch.tensor(1.0)) for _ in batches]


class ScriptedParts(LoopParts):
    """The real parts, with a diary."""

    def __init__(self, script: tuple[str, ...], steps: int):
        lanes = Lanes(script)
        super().__init__(
            recipe=dataclasses.replace(_RECIPE, lanes=lanes.lanes),
            lanes=lanes,
            stack=FrameStack(lanes.lanes, _STACK, _SHAPE),
            memory=FrameRing(_RECIPE.memory_frames, lanes.lanes, _SHAPE, _STACK),
            learner=ScriptedLearner(),
            epsilon_schedule=linear_schedule,
            epsilon_greedy=epsilon_greedy,
            clip_reward=clip_reward,
            exploration_rng=np.random.default_rng(1),
            sampling_rng=np.random.default_rng(2),
            start_seed=3,
            counters=Counters(steps=steps),
        )
        lanes.parts, self.starting = self, False
        self.diary = Diary(self, counted=steps)

    def start(self) -> None:
        self.diary.note("start")
        self.starting = True
        super().start()
        self.starting = False

    def act(self) -> np.ndarray:
        diary = self.diary
        diary.note("act")
        # The first lanes' numbers differ from turn to turn, and from all other lanes'.
        numbers = len(diary.acted) * self.lanes.lanes + np.arange(self.lanes.lanes)
        diary.acted.append(numbers % _ACTIONS)
        return diary.acted[-1].copy()

    def learn(self) -> None:
        self.diary.note("learn")
        super().learn()

    def remember(self, actions: np.ndarray, rows: Rows) -> None:
        diary = self.diary
        diary.note("remember", f"{diary.words(actions)} and {diary.words(rows)}")
        if not isinstance(rows, Rows) or np.shape(actions) != (self.lanes.lanes,):
            raise Enough  # the diary tells more than the error that would follow
        super().remember(actions, rows)
        diary.counted = self.counters.steps


# Errors show these names.
ScriptedParts.__name__ = LoopParts.__name__
ScriptedLearner.__name__ = Learner.__name__
for _method in (
    ScriptedParts.start,
    ScriptedParts.act,
    ScriptedParts.learn,
    ScriptedParts.remember,
):
    _method.__qualname__ = f"LoopParts.{_method.__name__}"


@dataclass(frozen=True)
class Loop:
    """One scene: a loop over games by a script."""

    script: tuple[str, ...]
    total_steps: int
    steps: int = 0  # made before, where a run is resumed
    ends_at: int | None = None  # the turn after which `on_step` answers True

    def observe(self, piece: Callable, seen: Trace | None) -> Iterator[Fact]:
        own = ScriptedParts(self.script, self.steps)
        diary, turns = own.diary, []

        def on_step(parts: LoopParts, rows: Rows) -> bool:
            diary.note("on_step", f"{diary.words(parts)} and {diary.words(rows)}")
            turns.append(rows)
            return len(turns) == self.ends_at

        on_step.__qualname__ = "on_step"  # a TypeError shows it
        try:
            piece(own, self.total_steps, on_step)
        except Enough:
            pass
        yield from loop_facts(diary, self.total_steps, self.ends_at, own.counters.steps)
