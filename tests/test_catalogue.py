"""What the checks say. A refused right piece, a passed wrong one and an untrue name are all bugs.

`tests/outside/` holds wrong pieces by somebody who had not seen the catalogue.
"""

from __future__ import annotations

import base64
import importlib.util
import inspect
import io
import itertools
import json
import random
import re
import sys
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dqn_ref.course import notebooks
from dqn_ref.course.catalogue import entry, game_scenes, judge, names
from dqn_ref.course.catalogue.judging import Probe, Raised, Trace, observe, wrong_version
from dqn_ref.course.catalogue.memory_makes import DequeOfDicts, ListsOfFrames, RingOfFrames
from dqn_ref.course.catalogue.memory_scenes import Play, Recorded, games_of_all_lengths, play
from dqn_ref.course.catalogue.play_random_game import _loop
from dqn_ref.pieces import CONTRACTS
from dqn_ref.replay import Batch, ReplayMemory

ENTRIES = [entry(name) for name in names()]
WRONG = [(e, version) for e in ENTRIES for version in e.wrong]
RIGHT = [(e, version) for e in ENTRIES for version in e.right]
MEMORY = entry("ReplayMemory")
SMALL = {
    "play_random_game", "discounted_return", "q_learning_update", "luminance", "max_over_frames",
    "resize", "clip_reward",
}  # fmt: skip

wrong_versions = pytest.mark.parametrize(
    "known, version", WRONG, ids=[f"{e.name}: {version.slug}" for e, version in WRONG]
)


def name_of(known, piece) -> str | None:
    """The name that a failing piece gets, without the rest of a verdict."""
    traces = [Trace(tuple(observe(probe, piece, None))) for probe in known.probes]
    version = wrong_version(known, traces)
    return version and version.slug


# --- every entry ----------------------------------------------------------------------------------


def test_the_first_two_checks_are_there():
    """A file whose name does not fit its piece would be passed over in silence."""
    assert {"play_random_game", "ReplayMemory"} <= set(names())
    for known in ENTRIES:
        assert known.name in CONTRACTS and known.reference is CONTRACTS[known.name].reference


def test_a_piece_without_a_check_is_a_key_error():
    with pytest.raises(KeyError, match="no entry for sing"):
        judge("sing", print)


@pytest.mark.parametrize("known", ENTRIES, ids=lambda e: e.name)
def test_the_reference_passes_as_fast_as_itself(known):
    verdict = judge(known.name, known.reference)
    assert verdict.passed and verdict.message == "", verdict
    assert 1 / 3 < verdict.ratio < 3  # both ran the same code, on a machine with other work


@pytest.mark.parametrize("known, version", RIGHT, ids=[f"{e.name}: {v.make}" for e, v in RIGHT])
def test_right_pieces_of_other_make_pass(known, version):
    """A check that asks for the reference's storage, style or types refuses these."""
    verdict = judge(known.name, version.piece)
    assert verdict.passed, verdict.message
    assert verdict.wrong is None and verdict.hint is None


@pytest.mark.parametrize(
    "known, piece",
    [(e, e.reference) for e in ENTRIES] + [(e, v.piece) for e, v in RIGHT],
    ids=[f"{e.name}: reference" for e in ENTRIES] + [f"{e.name}: {v.make}" for e, v in RIGHT],
)
def test_every_scene_is_played_to_its_end(known, piece):
    """An error in the probe itself: every piece raises it, so every piece would pass."""
    for probe in known.probes:
        facts = list(observe(probe, piece, None))
        assert facts and not any(isinstance(fact, Raised) for fact in facts), (probe.scene, facts)


@wrong_versions
def test_wrong_versions_fail_by_their_own_name(known, version):
    """A mistake that no scene brings to light passes; one that equals another has its name."""
    verdict = judge(known.name, version.piece)
    assert not verdict.passed and verdict.attempted
    assert (verdict.wrong, verdict.hint) == (version.slug, version.hint), verdict.message
    assert verdict.message.endswith(version.says)


@pytest.mark.parametrize("known", ENTRIES, ids=lambda e: e.name)
def test_there_are_enough_versions_with_names_hints_and_sentences(known):
    """A hint that the chapter does not have, and a sentence in another voice, help nobody."""
    assert len(known.wrong) >= (3 if known.name in SMALL else 6) and len(known.right) >= 2
    assert len({version.slug for version in known.wrong}) == len(known.wrong)
    for version in known.wrong:
        assert version.hint in known.hints
        assert version.says.endswith(".") and len(version.says) < 300
        assert version.says.startswith("Your ")
        assert not re.search(r"!|\b(simply|just|obviously|of course)\b", version.says)


def exercise(name: str) -> str:
    """The prose of the exercise in which a piece is written; "" if its chapter is to come."""
    for source in notebooks.sources():
        if source.name[:2] == CONTRACTS[name].chapter:
            cells = notebooks.read_cells(notebooks.read_source(source))
            code = rf"^(def|class) {name}\b"
            stub = next(i for i, cell in enumerate(cells) if re.search(code, cell.source, re.M))
            prose = [cell.source if cell.kind == "markdown" else "" for cell in cells[stub:]]
            return re.split(r"^#{2,3} ", "\n".join(prose), flags=re.M)[0]
    return ""


@pytest.mark.parametrize("known", ENTRIES, ids=lambda e: e.name)
def test_the_hints_are_those_of_the_exercise(known):
    """See hint 3, where the chapter has two."""
    prose = exercise(known.name)
    missing = [n for n in known.hints if f"<summary>Hint {n}:" not in prose]
    assert not (prose and missing), missing


@pytest.mark.parametrize("known", ENTRIES, ids=lambda e: e.name)
def test_a_check_is_quick(known):
    """Half a second of the processor: the badge is promised within a second.

    On a busy machine a second of the processor does less; one of five attempts is enough.
    """
    for piece in (known.reference, known.wrong[-1].piece):
        taken = []
        while not taken or (min(taken) >= 0.5 and len(taken) < 5):
            start = time.process_time()
            judge(known.name, piece)
            taken.append(time.process_time() - start)
        assert min(taken) < 0.5, (piece, taken)


def test_verdicts_travel_as_json():
    """The worker sends them so; a numpy number or an array would stop it."""
    for piece in (ReplayMemory, MEMORY.wrong[0].piece, DequeOfDicts):
        verdict = judge("ReplayMemory", piece)
        assert type(verdict)(**json.loads(json.dumps(asdict(verdict)))) == verdict


# --- not attempted, and errors --------------------------------------------------------------------


class Stub:
    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        raise NotImplementedError


class StubWithParent(list):
    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        """Given: the call of the parent."""
        super().__init__()
        raise NotImplementedError


class HalfWritten(DequeOfDicts):
    def sample(self, batch_size, rng):
        raise NotImplementedError


def stub(env, rng, max_steps=10_000):
    raise NotImplementedError


@pytest.mark.parametrize(
    "name, piece, function",
    [("ReplayMemory", Stub, "__init__"), ("ReplayMemory", StubWithParent, "__init__"),
     ("ReplayMemory", HalfWritten, "sample"),
     ("play_random_game", stub, "stub")],
)  # fmt: skip
def test_a_stub_is_not_attempted(name, piece, function):
    """Nobody is told of a failure before the first line is written."""
    verdict = judge(name, piece)
    assert not verdict.passed and not verdict.attempted
    assert verdict.message == f"`{function}` still raises NotImplementedError"


class NotImplementedElsewhere(DequeOfDicts):
    def sample(self, batch_size, rng):
        return torch.nn.Module()(3)  # its `forward` raises NotImplementedError


def test_an_error_of_a_library_is_an_attempt():
    """PyTorch raises NotImplementedError as well, where the learner has written plenty."""
    verdict = judge("ReplayMemory", NotImplementedElsewhere)
    assert verdict.attempted and "NotImplementedError" in verdict.message


class Forgetful(DequeOfDicts):
    def add(self, action, reward, terminated, truncated, next_frame):
        self.steps[0] = action


class Leaving(DequeOfDicts):
    def begin(self, frame):
        sys.exit("enough")


class Interrupted(DequeOfDicts):
    def begin(self, frame):
        raise KeyboardInterrupt


def test_an_error_is_told_with_its_line():
    """A learner who reads only "failed" has to guess which of three methods it was."""
    verdict = judge("ReplayMemory", Forgetful)
    line = inspect.getsourcelines(Forgetful.add)[1] + 1
    assert verdict.message == (
        f"in a game of six steps, `add` raises AttributeError (line {line}, "
        "`self.steps[0] = action`): 'Forgetful' object has no attribute 'steps'."
    )
    assert verdict.hint is None and verdict.wrong is None


def test_a_stub_raise_that_was_left_at_the_end_is_named():
    """Somebody who has written the whole loop is told that nothing was attempted."""
    for body in (stub_at_the_end, StubAtTheEnd):
        verdict = judge("ReplayMemory" if inspect.isclass(body) else "play_random_game", body)
        assert verdict.attempted and not verdict.passed and verdict.wrong is None
        assert (
            "comes to the `raise NotImplementedError` that the stub ended with" in verdict.message
        )


def stub_at_the_end(env, rng, max_steps=10_000):
    """With a docstring, as the stub has one."""
    env.reset(seed=int(rng.integers(2**31)))
    raise NotImplementedError


class StubAtTheEnd(DequeOfDicts):
    def sample(self, batch_size, rng):
        """With a docstring."""
        rng.integers(len(self), size=batch_size)
        raise NotImplementedError


class NothingWhenEmpty(DequeOfDicts):
    def sample(self, batch_size, rng):
        return super().sample(batch_size, rng) if len(self) else None


class NothingWhenShort(DequeOfDicts):
    def sample(self, batch_size, rng):
        if 0 < len(self) < batch_size:
            return None
        return super().sample(batch_size, rng)


@pytest.mark.parametrize(
    "piece, told",
    [(NothingWhenEmpty, "answers `sample` with a NoneType"), (NothingWhenShort, "None")],
)
def test_a_memory_that_says_nothing_when_asked_too_early(piece, told):
    """The commonest guard of all, after which the training loop falls over somewhere else."""
    verdict = judge("ReplayMemory", piece)
    assert not verdict.passed and verdict.wrong is None and told in verdict.message
    assert "a batch of six" in verdict.message


class Late:
    """Lists of frames and steps; the frame's number or the stack's age may be taken too late."""

    late_frame = late_age = False

    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.frames, self.steps, self.age = [], deque(maxlen=capacity), 0
        self.stack_frames, self.discount = stack_frames, discount

    def begin(self, frame):
        self.frames.append(frame.copy())
        self.age = 0

    def add(self, action, reward, terminated, truncated, next_frame):
        self.frames.append(next_frame.copy())
        newest = len(self.frames) - 1 - (not self.late_frame)
        after = 0 if terminated else self.age + 1
        age = after if self.late_age else self.age
        self.steps.append((newest, age, action, reward, terminated))
        self.age = after

    def __len__(self):
        return len(self.steps)

    def stack(self, newest, age):
        frames = [self.frames[min(newest - back, len(self.frames) - 1)] * (back <= age)
                  for back in range(self.stack_frames)]  # fmt: skip
        return np.stack(frames[::-1])

    def sample(self, batch_size, rng):
        drawn = [self.steps[i] for i in rng.integers(len(self), size=batch_size)]
        return Batch(
            np.stack([self.stack(newest, age) for newest, age, *_ in drawn]),
            np.array([step[2] for step in drawn]),
            np.array([step[3] for step in drawn], np.float32),
            np.full(batch_size, self.discount, np.float32),
            np.array([step[4] for step in drawn]),
            np.stack([self.stack(newest + 1, age + 1) for newest, age, *_ in drawn]),
        )


@pytest.mark.parametrize("late, hint", [("late_frame", 1), ("late_age", 3)])
def test_the_hint_is_the_one_that_helps(late, hint):
    """A learner whose frame is one late is sent to read about where stacks begin."""
    verdict = judge("ReplayMemory", type("ReplayMemory", (Late,), {late: True}))
    assert not verdict.passed and verdict.hint == hint, verdict.message


def test_exit_is_told_and_ctrl_c_goes_through():
    assert "`begin` raises SystemExit" in judge("ReplayMemory", Leaving).message
    with pytest.raises(KeyboardInterrupt):
        judge("ReplayMemory", Interrupted)


@pytest.mark.parametrize("piece", [lambda: None, lambda *a: None, lambda *a: [], int, object])
@pytest.mark.parametrize("name", names())
def test_nonsense_is_told_and_not_named(name, piece):
    """The judge itself must not fall over what is no piece at all."""
    verdict = judge(name, piece)
    assert not verdict.passed and verdict.attempted and verdict.wrong is None
    assert verdict.message.endswith(".")


# --- no untrue name -------------------------------------------------------------------------------


def other_scenes() -> list[Probe]:
    """Longer games than the check's own, from other seeds, with other sizes."""
    reads = tuple(range(3, 500, 37))
    letters = [games_of_all_lengths(seed, 500) for seed in (90, 91, 92)]
    plays = [
        Play(play(90, letters[0]), reads, (50, (3, 4))),
        Play(play(91, letters[1], (4, 3)), reads, (64, (4, 3), 3, 0.8)),
        Play(play(92, letters[2]), reads, (700, (3, 4)), numpy_scalars=True),
        Play(play(93, letters[0][:200]), reads[:6], (99, (3, 4)), one_array=True),
        Play(play(94, "b" + 500 * "."), reads, (31, (3, 4))),
    ]
    return [Probe("another scene", play.observe) for play in plays]


OTHER_SCENES = other_scenes()


def same_everywhere(piece, version) -> bool:
    """Whether two memories answer alike in scenes that the check does not use."""
    for scene in OTHER_SCENES:
        mine = Trace(tuple(observe(scene, piece, None)))
        if not mine.equals(observe(scene, version, mine)):
            return False
    return True


def outside_memories():
    path = Path(__file__).parent / "outside" / "replay_memory_wrong.py"
    spec = importlib.util.spec_from_file_location("outside_replay_memory_wrong", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return [v for k, v in vars(module).items() if re.fullmatch(r"(?i)wrong_?\d+", k)]


OUTSIDE = outside_memories()


def test_there_are_ten_outside_memories():
    assert len(OUTSIDE) >= 10


@pytest.mark.parametrize("piece", OUTSIDE, ids=lambda piece: piece.__name__)
def test_outside_memories_fail_without_an_untrue_name(piece):
    """The catalogue was not fitted to these: here a loose comparison would show."""
    verdict = judge("ReplayMemory", piece)
    assert not verdict.passed and verdict.attempted
    if verdict.wrong:
        (version,) = (v for v in MEMORY.wrong if v.slug == verdict.wrong)
        assert same_everywhere(piece, version.piece), verdict.message


def test_the_longer_plays_tell_all_wrong_versions_apart():
    """Otherwise the test above would accept any name."""
    for one, other in itertools.pairwise(MEMORY.wrong):
        assert not same_everywhere(one.piece, other.piece), (one.slug, other.slug)
    assert all(same_everywhere(v.piece, v.piece) for v in MEMORY.wrong[::6])


def test_two_mistakes_at_once_have_no_name():
    """Unless one of them hides the other, so that the name is true all the same."""
    pairs = list(itertools.combinations(MEMORY.wrong, 2))
    unnamed = 0
    for one, other in random.Random(5).sample(pairs, 30):
        if issubclass(one.piece, other.piece) or issubclass(other.piece, one.piece):
            continue
        both = type("Both", (one.piece, other.piece), {})
        slug = name_of(MEMORY, both)
        if slug is None:
            unnamed += 1
            continue
        (version,) = (v for v in MEMORY.wrong if v.slug == slug)
        assert same_everywhere(both, version.piece), (one.slug, other.slug, slug)
    assert unnamed > 20


def with_a_rare_fault(piece):
    """The same memory, but the action of every thirtieth step is wrong."""

    def add(self, action, *rest):
        self.added = getattr(self, "added", 0) + 1
        piece.add(self, action + (self.added % 30 == 0), *rest)

    return type(f"Rarely{piece.__name__}", (piece,), {"add": add})


@pytest.mark.parametrize("known", ENTRIES, ids=lambda e: e.name)
def test_wrong_versions_run_to_the_end_of_every_scene(known):
    """An error ends a scene: a name would rest on the few facts before it."""
    for version in known.wrong:
        for probe in known.probes:
            # Who draws without replacement cannot draw six of two, and that belongs to the name.
            if version.slug == "without replacement" and "batch of six" in probe.scene:
                continue
            assert not any(isinstance(f, Raised) for f in observe(probe, version.piece, None))


def test_a_wrong_version_with_a_rare_fault_more_has_no_name():
    """Comparing the first few draws only would name it."""
    for version in MEMORY.wrong:
        slug = name_of(MEMORY, with_a_rare_fault(version.piece))
        assert slug is None, (version.slug, slug)


@pytest.mark.parametrize(
    "changes",
    [
        {"over": lambda terminated, truncated: terminated, "seed": lambda rng: 0},
        {"total": lambda score, reward: reward, "result": lambda s, steps, r: (s, steps + 1)},
        {"draw": lambda rng, n, before: int(rng.integers(n - 1)), "seed": lambda rng: 0},
        {"draw": lambda rng, n, before: min(int(rng.integers(n + 1)), n - 1)},
        {"draw": lambda rng, n, before: 0 if before is None else (before + 1) % n},
        {"within": lambda steps, limit: steps < 100},
        {"total": lambda score, reward: score + abs(reward)},
        {"seed": lambda rng: None},
        {"seed": lambda rng: 42},
        {"seed": lambda rng: int(np.random.default_rng().integers(2**31))},
    ],
)  # fmt: skip
def test_wrong_loops_outside_the_catalogue_have_no_name(changes):
    verdict = judge("play_random_game", _loop(**changes))
    assert not verdict.passed and verdict.attempted and verdict.wrong is None, verdict.message


def test_even_draws_are_called_even():
    """A limit set too low would refuse one right loop in a thousand."""
    rng = np.random.default_rng(8)
    for actions in (3, 5):
        for _ in range(300):
            games = rng.integers(actions, size=(3, 400)).tolist()
            assert game_scenes._even(games, actions)
        loaded = rng.choice(actions, p=[0.5, *[0.5 / (actions - 1)] * (actions - 1)], size=(3, 400))
        assert not game_scenes._even(loaded.tolist(), actions)


# --- what beginners write -------------------------------------------------------------------------


class RandomSample(DequeOfDicts):
    def sample(self, batch_size, rng):
        class Elsewhere:
            def integers(self, low, high, size):
                return [random.randrange(low, high) for _ in range(size)]

        return super().sample(batch_size, Elsewhere())


class Changed(Recorded):
    """A right memory whose batch goes through `change`."""

    change = staticmethod(lambda batch: batch)

    def batch(self, numbers):
        return type(self).change(super().batch(numbers))


def changed(change):
    return type("Changed", (Changed,), {"change": staticmethod(change)})


class RolledStack(DequeOfDicts):
    """`np.roll` moves the stack, and the new frame lands where the oldest was: off by one."""

    def add(self, action, reward, terminated, truncated, next_frame):
        after = np.roll(self.s, -1, axis=0)
        after[0] = next_frame
        self.d.append({"s": self.s, "a": action, "r": reward, "end": terminated, "s2": after})
        self.s = after


class ShortAges(RingOfFrames):
    """The age of a stack is kept in a byte, and a long game seems to begin anew."""

    def _write(self, frame, age):
        super()._write(frame, age % 256)


class OffByOne(RingOfFrames):
    def _stack(self, frame_number):
        return super()._stack(frame_number - 1)


class HalfOfIt(DequeOfDicts):
    def __init__(self, capacity, *rest):
        super().__init__(capacity // 2, *rest)


class KeepsFramesAlive(DequeOfDicts):
    def begin(self, frame):
        self.all = [*getattr(self, "all", ()), frame]
        super().begin(frame)

    def add(self, action, reward, terminated, truncated, next_frame):
        self.all.append(next_frame)
        super().add(action, reward, terminated, truncated, next_frame)


@pytest.mark.parametrize(
    "piece, fact",
    [
        (RandomSample, "something other than `rng` decides what is drawn"),
        (changed(list), "`sample` returns a list, expected a `Batch`"),
        (changed(tuple), "`sample` returns a tuple, expected a `Batch`"),
        (changed(lambda b: b._replace(states=list(b.states))), "`states` of a batch is a list"),
        (changed(lambda b: b._replace(rewards=b.rewards.astype(float))), "are float64, expected f"),
        (changed(lambda b: b._replace(states=b.states / 255)), "`states` of a batch are float64"),
        (changed(lambda b: b._replace(actions=b.actions[:, None])), "`actions` of a batch has sh"),
        (changed(lambda b: b._replace(states=b.states // 2)), "a frame that never came in, of val"),
        (
            changed(lambda b: b._replace(states=b.states - (b.states > 0))),
            "? is frame 0, changed by up to 1 gr",
        ),
        (changed(lambda b: b._replace(discounts=0 * b.discounts)), "discount is 0, expected 0.99"),
        (RolledStack, "the state shows frames"),
        (ShortAges, "in a game of 300 steps and a memory of 20 frames, for the step from frame"),
        (OffByOne, "the state shows frames zeros, zeros, 0, 1; expected zeros, 0, 1, 2"),
        (HalfOfIt, "is 10, expected 12"),
        (KeepsFramesAlive, "times as many bytes after 300 steps as after 100"),
    ],
)
def test_wrong_memories_outside_the_catalogue_get_the_first_fact(piece, fact):
    """What is true and useful can be said of wrong code that nobody has foreseen, too."""
    verdict = judge("ReplayMemory", piece)
    assert not verdict.passed and verdict.attempted
    assert fact in verdict.message, verdict.message
    assert verdict.wrong is None and verdict.hint in MEMORY.hints


# --- what may vary, and no more -------------------------------------------------------------------


def holding(change: int):
    class Holding(ListsOfFrames):
        def __init__(self, capacity, *rest):
            super().__init__(capacity + change, *rest)

    return Holding


@pytest.mark.parametrize("change, right", [(2, True), (-3, True), (7, False), (-8, False)])
def test_the_capacity_may_be_missed_by_the_length_of_a_stack(change, right):
    verdict = judge("ReplayMemory", holding(change))
    assert verdict.passed == right, verdict.message
    assert right or verdict.hint == 4


def test_where_a_step_is_terminated_only_what_nobody_reads_may_vary():
    """There the next state may begin the next stack, and the discount may be 0."""

    def change(batch, everywhere):
        fresh, discounts = batch.next_states.copy(), batch.discounts.copy()
        rows = batch.terminated | everywhere
        fresh[rows, :-1] = 0
        discounts[rows] = 0
        return batch._replace(next_states=fresh, discounts=discounts)

    assert judge("ReplayMemory", changed(lambda b: change(b, False))).passed
    assert not judge("ReplayMemory", changed(lambda b: change(b, True))).passed
    black = changed(
        lambda b: b._replace(next_states=b.next_states * ~b.terminated[:, None, None, None])
    )
    assert not judge("ReplayMemory", black).passed


# --- beside the verdict ---------------------------------------------------------------------------


def test_the_picture_shows_yours_and_the_expected_frames():
    verdict = judge("ReplayMemory", MEMORY.wrong[0].piece)
    kind, data = verdict.picture.split(",")
    assert kind == "data:image/png;base64" and len(data) < 10_000
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
    assert tuple(picture[0, 0]) == (255, 255, 255), "the ground must be white on dark pages, too"
    orange = (picture == (0xD5, 0x5E, 0x00)).all(axis=2)
    upper, lower = np.array_split(orange, 2)
    assert upper.any() and not lower[-50:].any(), "only wrong tiles of the learner's row are framed"
    assert verdict.picture_alt.startswith("Frames of state and next state. yours: 2, 1, 0, zeros,")
    assert judge("ReplayMemory", holding(9)).picture is None


def test_a_memory_of_whole_stacks_passes_with_a_remark():
    """Storage may vary; that a million steps then fill the computer, the learner should know."""
    verdict = judge("ReplayMemory", DequeOfDicts)
    assert verdict.passed
    assert re.fullmatch(
        r"Each step takes 29,\d{3} bytes in your memory, and a frame is 7,056: a million steps "
        r"need 29 GB, where single frames need 7.",
        verdict.message,
    )
