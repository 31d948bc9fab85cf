"""The replay memory of chapter 04: its scenes, known mistakes, and memories of other make.

Contract: `dqn_ref.pieces.CONTRACTS["ReplayMemory"]`. In words: `begin(frame)` starts a game;
`add(action, reward, terminated, truncated, next_frame)` stores the step from the newest frame to
the next one, which can be drawn at once; after a terminated step without `begin` a new stack starts
at the same frame. `sample(batch_size, rng)` draws `rng.integers(len(memory), size=batch_size)`,
position 0 the oldest, and returns a `Batch` of arrays or tensors, dtypes as `Batch` says.

What may vary: the storage; which of the oldest steps are dropped, within a stack's length of the
capacity; and of a terminated step, which nobody values further, the next state may also be the
stack that starts at the new frame, and the discount 0.
"""

from __future__ import annotations

from dqn_ref.course.catalogue.judging import Entry, Probe
from dqn_ref.course.catalogue.memory_cost import bytes_remark, four_steps_and_a_minibatch
from dqn_ref.course.catalogue.memory_makes import RIGHT
from dqn_ref.course.catalogue.memory_scenes import Edges, Play, Recorded, games_of_all_lengths, play
from dqn_ref.course.catalogue.memory_wrong_frames import wrong as wrong_frames
from dqn_ref.course.catalogue.memory_wrong_rows import wrong as wrong_rows
from dqn_ref.replay import ReplayMemory

HINTS = {
    1: "what belongs to one step: the state ends with the frame on which the action was chosen; "
    "action, reward and flags came with the next frame; the next state is moved by one frame",
    2: "the draw and the batch: rng.integers(len(self), size=batch_size), 0 is the oldest; "
    "one array per field with the dtypes of Batch; discount in every row",
    3: "where a stack begins: at every `begin`, and after a terminated step at the same frame; "
    "zeros stand before it, nothing of the game or life before",
    4: "the ring: slot = number % capacity, what the write head takes away, what can be drawn "
    "then, and what `len` counts",
    5: "what is kept: a copy of the frame, as uint8",
}

SCENES = (
    Probe("a game of six steps", Play(play(1, "b......"), (0, 1, 6), (50, (3, 4))).observe),
    Probe(
        "three games, the second cut off, and a lost life",
        Play(play(2, "b....obb..cb...l....b.."), (5, 8, 11, 16, 17, 19, 22), (60, (3, 4))).observe,
    ),
    Probe(
        "a game of 55 steps and a memory of 20 frames",
        Play(
            play(3, "b" + 55 * "."), (12, 16, 18, 19, 20, 21, 22, 24, 25, 40, 55), (20, (3, 4))
        ).observe,
    ),
    Probe(
        "a game of 300 steps and a memory of 20 frames",
        Play(play(8, "b" + 300 * "."), (258, 300), (20, (3, 4)), weighed=(100, 300)).observe,
    ),
    Probe(
        "a game whose caller writes every frame into the same array",
        Play(play(4, "b...l...."), (4, 8), (50, (3, 4)), one_array=True).observe,
    ),
    Probe(
        "games with stacks of two frames of 5 × 2 pixels and a discount of 0.9",
        Play(
            play(5, games_of_all_lengths(5, 80), (5, 2)),
            tuple(range(9, 80, 14)),
            (30, (5, 2), 2, 0.9),
            numpy_scalars=True,
        ).observe,
    ),
    Probe(
        "games of all lengths and a memory of 40 frames",
        Play(
            play(6, games_of_all_lengths(6, 220)),
            tuple(range(11, 220, 31)),
            (40, (3, 4)),
            numpy_scalars=True,
        ).observe,
    ),
    Probe(
        "a game of six steps and a memory with default arguments",
        Play(play(7, "b......", (84, 84)), (6,), (30,)).observe,
    ),
    Probe("a game of two steps and a batch of six", Edges().observe),
)

ENTRY = Entry(
    name="ReplayMemory",
    probes=SCENES,
    wrong=(*wrong_frames, *wrong_rows),
    right=RIGHT,
    hints=HINTS,
    model=Recorded,
    reference=ReplayMemory,
    workload=four_steps_and_a_minibatch,
    remark=bytes_remark,
)
