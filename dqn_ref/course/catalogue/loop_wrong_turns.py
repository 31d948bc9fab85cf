"""Training loops that start or learn wrongly. See `loop_wrong_calls`, `loop_wrong_ends`, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.environments import Rows
from dqn_ref.training import LoopParts

wrong = WrongVersions()


@dataclass
class Now:
    """Where a loop stands."""

    parts: LoopParts
    total: int
    asks: Callable
    turns: int = 0
    counted: int = 0  # by the loop itself
    actions: np.ndarray | None = None
    before: np.ndarray | None = None  # actions of the turn before
    rows: Rows | None = None

    @property
    def steps(self) -> int:
        return self.parts.counters.steps

    @property
    def stepped(self) -> int:
        return int((~self.rows.reset_row).sum())


def act(now: Now) -> None:
    now.before, now.actions = now.actions, now.parts.act()


def send(now: Now) -> None:
    now.parts.lanes.send(now.actions)


def learn(now: Now) -> None:
    now.parts.learn()


def recv(now: Now) -> None:
    now.rows = now.parts.lanes.recv()


def remember(now: Now) -> None:
    now.parts.remember(now.actions, now.rows)


def ask(now: Now) -> bool:
    return now.asks(now.parts, now.rows)


USUAL = (act, send, learn, recv, remember, ask)


def loop(
    turn: tuple[Callable, ...] = USUAL,
    begin: Callable = lambda now: now.parts.start(),
    goes_on: Callable = lambda now: now.steps < now.total,
    end: Callable = lambda now: None,
) -> Callable:
    """A piece by its turn.

    Args:
        turn: what is done in it; whoever answers true ends the loop.
        begin, end: what is done before and after all turns.
        goes_on: whether there is another turn.
    """

    def training_loop(parts, total_steps, on_step):
        now = Now(parts, total_steps, on_step)
        begin(now)
        while goes_on(now):
            now.turns += 1
            if any(part(now) for part in turn):
                break
        end(now)

    return training_loop


def _wrong(slug: str, hint: int, says: str, **changed) -> None:
    wrong(slug, hint, says)(loop(**changed))


def turn_with(part: Callable, *others: Callable) -> tuple[Callable, ...]:
    """The usual turn with one part replaced by others, or by none."""
    place = USUAL.index(part)
    return (*USUAL[:place], *others, *USUAL[place + 1 :])


# --- the start ------------------------------------------------------------------------------------


def _start_again(now: Now) -> None:
    now.parts.start()


def _start_after_games(now: Now) -> None:
    if (now.rows.game_over | now.rows.truncated).any():
        now.parts.start()


def _start_after_lost_games(now: Now) -> None:
    if now.rows.game_over.any():
        now.parts.start()


def _reset_after_games(now: Now) -> None:
    if (now.rows.game_over | now.rows.truncated).any():
        now.parts.lanes.reset(now.parts.start_seed)


def _reset_after_lost_games(now: Now) -> None:
    if now.rows.game_over.any():
        now.parts.lanes.reset(now.parts.start_seed)


def _nothing(now: Now) -> None:
    pass


_wrong(
    "no start",
    1,
    "Your loop equals one without `parts.start()`: no game is begun, and the memory does not know "
    "the first frame.",
    begin=_nothing,
)
_wrong(
    "a start in each turn",
    1,
    "Your loop equals one that calls `parts.start()` in each turn: all games begin anew, and "
    "nobody ever sees the second step of one.",
    begin=_nothing,
    turn=(_start_again, *USUAL),
)
for _when, _part in (("ends", _start_after_games), ("is over", _start_after_lost_games)):
    _wrong(
        f"a start when a game {_when}",
        1,
        f"Your loop equals one that calls `parts.start()` when a game {_when}. The lanes begin the "
        "next game by themselves; `start` throws the games of all other lanes away.",
        turn=turn_with(remember, remember, _part),
    )
for _when, _part in (("ends", _reset_after_games), ("is over", _reset_after_lost_games)):
    _wrong(
        f"a reset when a game {_when}",
        1,
        f"Your loop equals one that resets the lanes when a game {_when}, as one does with a "
        "single environment. They begin the next game by themselves, and here all of them lose "
        "theirs.",
        turn=turn_with(remember, remember, _part),
    )

# --- learning -------------------------------------------------------------------------------------


def _learn_when_even(now: Now) -> None:
    if now.steps % now.parts.recipe.train_every_steps == 0:
        now.parts.learn()


def _learn_every_few_turns(now: Now) -> None:
    if now.turns % now.parts.recipe.train_every_steps == 0:
        now.parts.learn()


def _learn_per_lane(now: Now) -> None:
    for _ in range(now.parts.lanes.lanes):
        now.parts.learn()


_wrong(
    "no learning",
    1,
    "Your loop equals one that never calls `parts.learn()`: it plays, remembers everything, and "
    "stays a beginner.",
    turn=turn_with(learn),
)
_wrong(
    "learns twice",
    4,
    "Your loop equals one that calls `parts.learn()` twice in a turn. The second call finds "
    "nothing due and empties `parts.metrics`, so the log shows no loss.",
    turn=turn_with(learn, learn, learn),
)
_wrong(
    "learns once for each lane",
    4,
    "Your loop equals one that calls `parts.learn()` once for each lane. One call makes all "
    "updates that are due; the next ones empty `parts.metrics`, so the log shows no loss.",
    turn=turn_with(learn, _learn_per_lane),
)
_wrong(
    "learns when steps divide",
    1,
    "Your loop equals one that calls `parts.learn()` when its steps are a multiple of "
    "`train_every_steps`. Several lanes leap over such numbers; `learn` itself knows what is due.",
    turn=turn_with(learn, _learn_when_even),
)
_wrong(
    "learns every few turns",
    1,
    "Your loop equals one that calls `parts.learn()` every `train_every_steps` turns. A turn moves "
    "every lane; `learn` itself knows what is due.",
    turn=turn_with(learn, _learn_every_few_turns),
)
