"""The evaluation of chapter 09: its scenes, known mistakes, and evaluations of other make.

Contract: `dqn_ref.pieces.CONTRACTS["evaluate"]`. In words: reset the lanes with the seed; until
each lane's first game is over or cut off, push the rows' frames into the stack, send what the
policy answers, add up points and steps of rows that are no reset rows; return an `Evaluation` in
the order of lanes. A stack starts at reset rows, and at a lost life if `breaks_at_life`.

What may vary: what a lane is shown and sent after its game has ended, and whether it plays on.
Numbers may be NumPy's.
"""

from __future__ import annotations

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import Entry, Probe, RightVersion
from dqn_ref.course.catalogue.watch_lanes import SHAPE, Scene, ScriptedLanes
from dqn_ref.course.catalogue.watch_wrong_games import wrong
from dqn_ref.evaluation import Evaluation, GameTracker, decisions, evaluate
from dqn_ref.frames import FrameStack

HINTS = {
    1: "the idea: two sums and a flag per lane; which rows count, and when a lane is ready",
    2: "the call: reset(seed), then send and recv by turns; tolist() for the result",
    3: "the order of a turn: push the newest rows, ask, send, receive, count",
    4: "where a stack starts: reset_row, and life_lost if breaks_at_life",
}

MIXED = ("b..l.f..l..o", "b.o", "b..l..l.f.l.f.....l....o", "b....ob..c")
CUT = ("b..l...c", "b...o", "b.lF", "b.........o", "b..fc")


def _random(seed: int, lanes: int) -> tuple[str, ...]:
    rng = np.random.default_rng([9, seed])

    def script() -> str:
        rows = rng.choice(list(".....lf"), size=int(rng.integers(2, 25)))
        return "b" + "".join(rows) + str(rng.choice(list("ooocF")))

    return tuple("".join(script() for _ in range(3)) for _ in range(lanes))


SCENES = (
    Probe("one game of six decisions", Scene(("b.....o",), seed=3).observe),
    Probe("four games side by side, with lives lost", Scene(MIXED, True, seed=4).observe),
    Probe("the same four games, stacks going on at a lost life", Scene(MIXED, seed=4).observe),
    Probe("five games of which three are cut off", Scene(CUT, True, seed=5).observe),
    Probe("two games that are both cut off", Scene(("b......c", "b....c"), seed=6).observe),
    *(
        Probe(f"{lanes} games of all lengths", Scene(_random(seed, lanes), breaks, seed).observe)
        for seed, lanes, breaks in ((21, 6, True), (22, 3, False))
    ),
)


# --- right versions -------------------------------------------------------------------------------


def _with_the_tracker(lanes, stack, policy, breaks_at_life, seed):
    tracker, games = GameTracker(lanes.lanes), {}
    for rows in decisions(lanes, stack, policy, breaks_at_life, seed):
        for game in tracker.update(rows):
            games.setdefault(game.lane, game)
        if len(games) == lanes.lanes:
            played = [games[lane] for lane in sorted(games)]
            return Evaluation(
                [game.score for game in played],
                [game.steps for game in played],
                len([game for game in played if game.truncated]),
            )


def _lane_by_lane(lanes, stack, policy, breaks_at_life, seed):
    count = lanes.lanes
    scores, steps, done, cut = [0.0] * count, [0] * count, [False] * count, 0
    rows = lanes.reset(seed=seed)
    starts = [True] * count
    while not all(done):
        frames = torch.tensor(rows.frames)
        lanes.send(policy(stack.push(frames, np.array(starts))))
        rows = lanes.recv()
        for lane in range(count):
            starts[lane] = bool(rows.reset_row[lane])
            if rows.life_lost[lane] and breaks_at_life:
                starts[lane] = True
            if done[lane]:
                continue
            if not rows.reset_row[lane]:
                scores[lane] += rows.rewards[lane]
                steps[lane] += 1
            if rows.truncated[lane]:
                cut += 1
            if rows.truncated[lane] or rows.game_over[lane]:
                done[lane] = True
    return Evaluation(scores, steps, cut)


def _from_a_record(lanes, stack, policy, breaks_at_life, seed):
    """Keeps all rows, and works the scores out afterwards; asks for one turn more than needed."""
    record = [lanes.reset(seed)]
    starts = record[0].reset_row
    ended = np.zeros(lanes.lanes, bool)
    last_turn = False
    while not last_turn:
        last_turn = bool(ended.all())
        states = stack.push(torch.as_tensor(record[-1].frames), starts)
        lanes.send(policy(states))
        record.append(lanes.recv())
        ended |= record[-1].game_over | record[-1].truncated
        lost = record[-1].life_lost if breaks_at_life else np.zeros_like(ended)
        starts = np.logical_or(record[-1].reset_row, lost)
    points, over, cut, reset = (
        np.stack([getattr(rows, name) for rows in record])
        for name in ("rewards", "game_over", "truncated", "reset_row")
    )
    ends = (over | cut).argmax(axis=0)
    until = np.arange(len(record))[:, None] <= ends
    scores = (points.astype(float) * (until & ~reset)).sum(axis=0)
    return Evaluation(
        list(scores), list((until & ~reset).sum(axis=0)), cut[ends, range(lanes.lanes)].sum()
    )


RIGHT = (
    RightVersion("the course's tracker of games", _with_the_tracker),
    RightVersion("lists, lane by lane", _lane_by_lane),
    RightVersion("a record of all rows, NumPy's numbers", _from_a_record),
)

_LONG = Scene(("b" + "......l" * 12 + "o", "b" + "....l.f." * 8 + "o") * 4, True, 31)


def _workload(piece):
    def play() -> None:
        lanes = ScriptedLanes(_LONG)
        stack = FrameStack(lanes.lanes, 4, SHAPE)
        piece(lanes, stack, lambda states: np.zeros(len(states), np.int64), True, 0)

    return play


ENTRY = Entry(
    name="evaluate",
    probes=SCENES,
    wrong=wrong,
    right=RIGHT,
    hints=HINTS,
    model=evaluate,
    reference=evaluate,
    workload=_workload,
)
