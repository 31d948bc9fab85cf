"""Training loops that make their calls in the wrong order, with the wrong things, or not at all."""

from __future__ import annotations

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.course.catalogue.loop_wrong_turns import (
    Now,
    act,
    ask,
    learn,
    loop,
    recv,
    remember,
    send,
    turn_with,
)  # fmt: skip

wrong = WrongVersions()


def _wrong(slug: str, hint: int, says: str, **changed) -> None:
    wrong(slug, hint, says)(loop(**changed))


# --- the order ------------------------------------------------------------------------------------


def _remember_old_actions(now: Now) -> None:
    now.parts.remember(now.actions if now.before is None else now.before, now.rows)


def _remember_new_actions(now: Now) -> None:
    now.parts.remember(now.parts.act(), now.rows)


def _remember_exchanged(now: Now) -> None:
    now.parts.remember(now.rows, now.actions)


def _remember_if_all_stepped(now: Now) -> None:
    if not now.rows.reset_row.any():
        remember(now)


def _act_once(now: Now) -> None:
    if now.actions is None:
        act(now)


def _act_ahead(now: Now) -> None:
    """The next actions, chosen before what these ones brought is remembered."""
    now.before, now.actions = now.actions, now.parts.act()


def _remember_before(now: Now) -> None:
    now.parts.remember(now.before, now.rows)


_wrong(
    "recv before send",
    4,
    "Your loop equals one that receives before it has sent: it waits for an answer to a question "
    "that it has not asked.",
    turn=(act, recv, send, learn, remember, ask),
)
_wrong(
    "no send",
    1,
    "Your loop equals one that sends no actions: the lanes are asked for rows, and nobody has told "
    "them what to play.",
    turn=turn_with(send),
)
_wrong(
    "remembers the actions before",
    4,
    "Your loop equals one that remembers the actions of the turn before: each reward is credited "
    "to an action that did not bring it.",
    turn=turn_with(remember, _remember_old_actions),
)
_wrong(
    "acts once more to remember",
    4,
    "Your loop equals one that calls `parts.act()` once more for `remember`. Those actions were "
    "never played; keep the ones that you have sent.",
    turn=turn_with(remember, _remember_new_actions),
)
_wrong(
    "arguments of remember exchanged",
    2,
    "Your loop equals one that gives `remember` the rows first. It takes the actions, then the "
    "rows that followed them.",
    turn=turn_with(remember, _remember_exchanged),
)
_wrong(
    "acts before it remembers",
    4,
    "Your loop equals one that chooses the next actions before it remembers what these have "
    "brought: it plays by a screen that is one step old.",
    begin=lambda now: (now.parts.start(), act(now)),
    turn=(send, learn, recv, _act_ahead, _remember_before, ask),
)
_wrong(
    "acts only once",
    1,
    "Your loop equals one that calls `parts.act()` once and plays these actions for ever: it never "
    "looks at a screen again.",
    turn=turn_with(act, _act_once),
)
_wrong(
    "nothing remembered where a game begins",
    1,
    "Your loop equals one that leaves out `remember` when a row is a reset row. The other lanes' "
    "steps are lost, and the first frame of the new game with them; `remember` knows what to skip.",
    turn=turn_with(remember, _remember_if_all_stepped),
)
_wrong(
    "asks before it remembers",
    4,
    "Your loop equals one that calls `on_step` before `remember`: log and checkpoint are one turn "
    "behind, and the turn that ends the loop is not remembered at all.",
    turn=(act, send, learn, recv, ask, remember),
)

# --- on_step --------------------------------------------------------------------------------------


def _ask_in_vain(now: Now) -> None:
    ask(now)


def _ask_twice(now: Now) -> bool:
    ask(now)
    return ask(now)


_wrong(
    "arguments of on_step exchanged",
    2,
    "Your loop equals one that gives `on_step` the rows first. It takes the parts, then the rows.",
    turn=turn_with(ask, lambda now: now.asks(now.rows, now.parts)),
)
_wrong(
    "on_step never called",
    1,
    "Your loop equals one that never calls `on_step`: no log, no checkpoint, and nobody can stop "
    "it.",
    turn=turn_with(ask),
)
_wrong(
    "answer of on_step ignored",
    3,
    "Your loop equals one that calls `on_step` and does not listen: who asks it to stop waits for "
    "the last step.",
    turn=turn_with(ask, _ask_in_vain),
)
_wrong(
    "ends on False",
    3,
    "Your loop equals one that ends when `on_step` answers False, and goes on at True. It is the "
    "other way round.",
    turn=turn_with(ask, lambda now: not ask(now)),
)
_wrong(
    "asks twice",
    3,
    "Your loop equals one that calls `on_step` twice in a turn: each line of the log is written "
    "twice. Keep its answer.",
    turn=turn_with(ask, _ask_twice),
)
