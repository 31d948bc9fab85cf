"""Training loops that end too early, too late, or never."""

from __future__ import annotations

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.course.catalogue.loop_wrong_turns import (
    USUAL,
    Now,
    act,
    ask,
    learn,
    loop,
    recv,
    remember,
    send,
)

wrong = WrongVersions()


def _wrong(slug: str, hint: int, says: str, **changed) -> None:
    wrong(slug, hint, says)(loop(**changed))


def _count_one(now: Now) -> None:
    now.counted += 1


def _count_lanes(now: Now) -> None:
    now.counted += now.parts.lanes.lanes


def _count_steps(now: Now) -> None:
    now.counted += now.stepped


def _counting(count) -> dict:
    """A turn that counts before it asks, and a loop that looks at that count."""
    turn = (act, send, learn, recv, remember, count, ask)
    return {"turn": turn, "goes_on": lambda now: now.counted < now.total}


def _starting_at(now: Now) -> None:
    now.parts.start()
    now.counted = now.steps


# --- counters of its own --------------------------------------------------------------------------

_wrong(
    "counts turns",
    3,
    "Your loop equals one that takes `total_steps` turns, as `for _ in range(total_steps)` does. "
    "In a turn every lane makes a step, unless its game begins: with 16 lanes the run is nearly "
    "16 times too long.",
    **_counting(_count_one),
)
_wrong(
    "counts turns from the counter on",
    3,
    "Your loop equals one that begins at `parts.counters.steps` and then counts turns. In a turn "
    "every lane makes a step, unless its game begins: with 16 lanes the run is nearly 16 times too "
    "long.",
    begin=_starting_at,
    **_counting(_count_one),
)
_wrong(
    "counts lanes",
    3,
    "Your loop equals one that counts all lanes in every turn, from 0. A lane whose game begins "
    "makes no step in that turn, and a resumed run has steps already.",
    **_counting(_count_lanes),
)
_wrong(
    "counts lanes, rounded down",
    3,
    "Your loop equals one that takes `total_steps // lanes` turns. A lane whose game begins makes "
    "no step in that turn, and a resumed run has steps already.",
    goes_on=lambda now: now.turns < now.total // now.parts.lanes.lanes,
)
_wrong(
    "counts lanes from the counter on",
    3,
    "Your loop equals one that counts all lanes in every turn. A lane whose game begins makes no "
    "step in that turn, so the run ends early.",
    begin=_starting_at,
    **_counting(_count_lanes),
)
_wrong(
    "forgets the steps before",
    3,
    "Your loop equals one that takes `total_steps` more steps, those before a resume not included: "
    "its own count begins at 0. They are the steps of the whole run.",
    **_counting(_count_steps),
)


def _move_counter_by_steps(now: Now) -> None:
    now.parts.counters.steps += now.stepped


def _move_counter_by_lanes(now: Now) -> None:
    now.parts.counters.steps += now.parts.lanes.lanes


def _move_counter_by_one(now: Now) -> None:
    now.parts.counters.steps += 1


for _by, _move in (
    ("the steps of the turn", _move_counter_by_steps),
    ("the number of lanes", _move_counter_by_lanes),
    ("one", _move_counter_by_one),
):
    _wrong(
        f"moves the counter by {_by}",
        3,
        f"Your loop equals one that adds {_by} to `parts.counters.steps` in each turn. `remember` "
        "has counted already: epsilon falls too fast, and the run ends too early.",
        turn=(act, send, learn, recv, remember, _move, ask),
    )

# --- the end --------------------------------------------------------------------------------------

_wrong(
    "one turn more",
    3,
    "Your loop equals one that goes on while steps are at most `total_steps` (`<=`): when exactly "
    "so many are made, it takes another turn.",
    goes_on=lambda now: now.steps <= now.total,
)
_wrong(
    "at least one turn",
    3,
    "Your loop equals one that looks at the counter at the end of a turn only: a run that is "
    "complete takes one more each time it is resumed.",
    goes_on=lambda now: now.turns == 0 or now.steps < now.total,
)
_wrong(
    "never beyond the total",
    3,
    "Your loop equals one that ends when the next turn could go beyond `total_steps`. The last "
    "turn may, by fewer steps than there are lanes; without it the run is too short.",
    goes_on=lambda now: now.steps + now.parts.lanes.lanes <= now.total,
)
_wrong(
    "only at the very number",
    3,
    "Your loop equals one that goes on until the counter is exactly `total_steps`. Several "
    "lanes leap over that number, and the loop never ends.",
    goes_on=lambda now: now.steps != now.total,
)
_wrong(
    "no end",
    3,
    "Your loop equals one that ends when `on_step` says so and knows nothing of `total_steps`.",
    goes_on=lambda now: True,
)
_wrong(
    "total of the recipe",
    3,
    "Your loop equals one that goes by `parts.recipe.total_steps`. What counts is the argument "
    "`total_steps`.",
    goes_on=lambda now: now.steps < now.parts.recipe.total_steps,
)
_wrong(
    "one game",
    3,
    "Your loop equals one that ends when a game is over. The lanes begin the next one by "
    "themselves, and the training has only begun.",
    turn=(*USUAL, lambda now: now.rows.game_over.any()),
)
_wrong(
    "one game, also one cut off",
    3,
    "Your loop equals one that ends when a game is over or cut off. The lanes begin the next one "
    "by themselves, and the training has only begun.",
    turn=(*USUAL, lambda now: (now.rows.game_over | now.rows.truncated).any()),
)
_wrong(
    "one turn",
    3,
    "Your loop equals one that ends after its first turn, as a `return` inside the loop makes it.",
    turn=(*USUAL, lambda now: True),
)
_wrong(
    "lanes closed",
    2,
    "Your loop equals one that closes the lanes at its end. They belong to the caller, who may "
    "want to go on.",
    end=lambda now: now.parts.lanes.close(),
)
