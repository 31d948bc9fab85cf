"""The training loop of chapter 08: its games, and loops of other make.

Contract: `dqn_ref.pieces.CONTRACTS["training_loop"]`. In words: `start` once; then turns of act,
send, recv, remember and on_step, as long as `parts.counters.steps` is below `total_steps` and
`on_step` has not answered True; `learn` once a turn, anywhere in it, and until the first update
is due not even that. `remember` gets the actions that were sent and the rows that followed, and
moves the counter.

Between `act` and `remember` all places of `learn` give the same run to the last bit. At the others,
Algorithm 1's among them, the network that acts next is one turn newer: another run, and as good.
But between `send` and `recv` everywhere the emulators wait. A pass has a remark of both.

Where nothing is left to do, `start` may be called or not. The wrong versions are in
`loop_wrong_turns`, `loop_wrong_calls` and `loop_wrong_ends`.
"""

from __future__ import annotations

from dqn_ref.course.catalogue.judging import Entry, Probe, RightVersion
from dqn_ref.course.catalogue.loop_turn_facts import TURN, places_of_learn
from dqn_ref.course.catalogue.loop_turns import Loop, ScriptedParts
from dqn_ref.course.catalogue.loop_wrong_calls import wrong as wrong_calls
from dqn_ref.course.catalogue.loop_wrong_ends import wrong as wrong_ends
from dqn_ref.course.catalogue.loop_wrong_turns import wrong as wrong_turns
from dqn_ref.training import training_loop

HINTS = {
    1: "the idea: start once, then turns: act, send, learn, recv, remember, ask on_step",
    2: "the calls: whose methods they are and what each is given",
    3: "when it ends: parts.counters.steps, which remember moves and a resume brings back; a true "
    "answer of on_step",
    4: "the order: learn between send and recv; remember after recv with the actions sent; "
    "on_step after remember",
}

_ONE, _TWO = (".",), ("..",)
_ENDING = (".o.", ".r.", "ooo", "rrr", "o.c", "r.r", "...")  # steps: 3 2 3 0 3 1 3

SCENES = (
    Probe("a loop of one lane and six steps", Loop(_ONE, 6).observe),
    Probe("a loop of two lanes and six steps", Loop(_TWO, 6).observe),
    Probe("a loop of three lanes and 12 steps, in which games end", Loop(_ENDING, 12).observe),
    Probe("a loop of two lanes that is cut off after one step", Loop(("c.", "r."), 5).observe),
    Probe("a loop that is resumed at step 1,000,000 of 1,000,007",
          Loop((".o", ".r"), 1_000_007, steps=1_000_000).observe),
    Probe("a loop of 100 steps whose `on_step` answers True in turn 3",
          Loop(_TWO, 100, ends_at=3).observe),
    Probe("a loop of 100 steps whose `on_step` answers True in turn 1",
          Loop(_TWO, 100, ends_at=1).observe),
    Probe("a loop that is resumed at step 20 of 20", Loop(_TWO, 20, steps=20).observe),
    Probe("a loop that is resumed at step 21 of 20", Loop(_TWO, 20, steps=21).observe),
)  # fmt: skip


# --- right versions -------------------------------------------------------------------------------


def _learns_before_it_sends(parts, total_steps, on_step):
    parts.start()
    stop = False
    while not stop and total_steps > parts.counters.steps:
        chosen = parts.act()
        parts.learn()
        parts.lanes.send(chosen.copy())
        came = parts.lanes.recv()
        parts.remember(chosen, came)
        stop = on_step(parts, came)


def _looks_at_the_end(parts, total_steps, on_step):
    if parts.counters.steps >= total_steps:
        return
    parts.start()
    while True:
        actions = parts.act()
        parts.lanes.send(actions=actions)
        parts.learn()
        rows = parts.lanes.recv()
        parts.remember(actions=actions, rows=rows)
        if on_step(parts, rows) or parts.counters.steps >= total_steps:
            return


def _turn(parts):
    actions = parts.act()
    parts.lanes.send(actions)
    rows = parts.lanes.recv()
    parts.learn()
    parts.remember(actions, rows)
    yield rows


def _with_a_generator(parts, total_steps, on_step):
    parts.start()
    while parts.counters.steps < total_steps:
        for rows in _turn(parts):
            if on_step(parts, rows):
                return


def _in_a_long_range(parts, total_steps, on_step):
    """A turn may make no step at all, so the range is longer than it need be."""
    parts.start()
    lanes, counters = parts.lanes, parts.counters
    for _ in range(10 * total_steps + 10):
        if counters.steps >= total_steps:
            break
        actions = parts.act()
        lanes.send(actions)
        if counters.steps >= parts.recipe.learning_starts:
            parts.learn()
        rows = lanes.recv()
        parts.remember(actions, rows)
        done = on_step(parts, rows)
        if done:
            break


def _waits_for_a_batch(parts, total_steps, on_step):
    parts.start()
    while parts.counters.steps < total_steps:
        actions = parts.act()
        parts.lanes.send(actions)
        if len(parts.memory) > parts.recipe.batch_size:
            parts.learn()
        rows = parts.lanes.recv()
        parts.remember(actions, rows)
        if on_step(parts, rows):
            break


def _a_function_for_a_turn(parts, total_steps, on_step):
    parts.start()

    def turn() -> bool:
        actions = parts.act()
        parts.lanes.send(actions)
        parts.learn()
        rows = parts.lanes.recv()
        parts.remember(actions, rows)
        return bool(on_step(parts, rows))

    while parts.counters.steps < total_steps and not turn():
        pass


def _as_algorithm_1(parts, total_steps, on_step):
    parts.start()
    stop = False
    while parts.counters.steps < total_steps and not stop:
        actions = parts.act()
        parts.lanes.send(actions)
        rows = parts.lanes.recv()
        parts.remember(actions, rows)
        parts.learn()
        stop = on_step(parts, rows)


def _learns_first(parts, total_steps, on_step):
    parts.start()
    while parts.counters.steps < total_steps:
        parts.learn()
        actions = parts.act()
        parts.lanes.send(actions)
        rows = parts.lanes.recv()
        parts.remember(actions, rows)
        if on_step(parts, rows):
            return


RIGHT = (
    RightVersion("learns after it remembers, as Algorithm 1", _as_algorithm_1),
    RightVersion("learns first in a turn", _learns_first),
    RightVersion("learns before it sends", _learns_before_it_sends),
    RightVersion("asks at the end, starts only if it has to", _looks_at_the_end),
    RightVersion("learns after recv, turns from a generator", _with_a_generator),
    RightVersion("a range that is long enough, learns when it may", _in_a_long_range),
    RightVersion("learns as soon as there is a batch", _waits_for_a_batch),
    RightVersion("a function for a turn", _a_function_for_a_turn),
)


def _remark(piece):
    """What an order costs that learns the same."""
    parts = ScriptedParts(_TWO, 0)
    piece(parts, 8, lambda parts, rows: False)
    waiting = next((p for p, _ in places_of_learn(parts.diary.calls) if p != "send"), "")
    if not waiting:
        return ""
    if waiting in TURN[:3]:
        following = TURN[TURN.index(waiting) + 1]
        where, losses = f"between `{waiting}` and `{following}`", "the losses are the same"
    else:
        where = "after `remember`" if waiting == "remember" else "between two turns"
        losses = (
            "there the network that acts is one turn older than yours, so your losses are as good "
            "as the reference's and not equal to them"
        )
    return (
        f"`learn` stands {where}, where the emulators wait for it. Between `send` and `recv` they "
        f"work while the network learns; {losses}."
    )


def _workload(piece):
    def job():
        piece(ScriptedParts(_TWO, 0), 8, lambda parts, rows: False)

    return job


ENTRY = Entry(
    name="training_loop",
    probes=SCENES,
    wrong=(*wrong_turns, *wrong_calls, *wrong_ends),
    right=RIGHT,
    hints=HINTS,
    model=training_loop,
    reference=training_loop,
    workload=_workload,
    remark=_remark,
)
