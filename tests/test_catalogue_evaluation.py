"""What the checks of chapter 09 say about pieces that are not in their catalogue.

`test_catalogue.py` runs every entry's own versions. Here: right pieces that choose what the
contract leaves open, wrong ones with their first fact, and two mistakes at once, without a name.
"""

from __future__ import annotations

import itertools
import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from dqn_ref.course.catalogue import entry, judge
from dqn_ref.course.catalogue import watch_films as films
from dqn_ref.course.catalogue import watch_wrong_bytes as wrong_bytes
from dqn_ref.course.catalogue import watch_wrong_films as wrong_films
from dqn_ref.course.catalogue import watch_wrong_games as wrong_games
from dqn_ref.course.catalogue.judging import Trace, observe, wrong_version
from dqn_ref.course.catalogue.watch_wrong_films import Camera
from dqn_ref.course.catalogue.watch_wrong_games import Play
from dqn_ref.evaluation import Evaluation, evaluate
from dqn_ref.video import write_video

EVALUATE, FILM = entry("evaluate"), entry("write_video")


def kinds(module, base: type) -> list[type]:
    """The classes of a module that make one mistake each."""
    found = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, base)]
    return [kind for kind in found if kind is not base and vars(kind).keys() - {"__module__"}]


def name_of(known, piece) -> str | None:
    """The name that a failing piece gets, without the rest of a verdict."""
    traces = [Trace(tuple(observe(probe, piece, None))) for probe in known.probes]
    version = wrong_version(known, traces)
    return version and version.slug


# --- evaluate: what may vary ----------------------------------------------------------------------


class ForgetsFinished(Play):
    """Sends 0 for lanes whose game is over, and shows the policy black in their place."""

    def states(self, stack, rows, starts):
        states = super().states(stack, rows, starts).clone()
        states[torch.from_numpy(~self.playing)] = 0
        return states


class LongDouble(Play):
    def result(self):
        steps = [np.int32(n) for n in self.steps]
        return Evaluation(list(self.score.astype(np.longdouble)), steps, self.cut.sum())


@pytest.mark.parametrize("kind", [Play, ForgetsFinished, LongDouble])
def test_what_the_contract_of_evaluate_leaves_open_may_be_chosen(kind):
    """A check that looks at finished lanes, or at the kind of a number, refuses these."""
    verdict = judge("evaluate", lambda *arguments: kind()(*arguments))
    assert verdict.passed, verdict.message


# --- evaluate: first facts ------------------------------------------------------------------------


def never_ends(lanes, stack, policy, breaks_at_life, seed):
    rows = lanes.reset(seed)
    while True:
        lanes.send(policy(stack.push(torch.from_numpy(rows.frames), rows.reset_row)))
        rows = lanes.recv()


def with_result(change):
    return lambda *arguments: change(evaluate(*arguments))


def no_frames_to_tensor(lanes, stack, policy, breaks_at_life, seed):
    rows = lanes.reset(seed)
    stack.push(rows.frames, rows.reset_row)


class OwnActions(Play):
    """Sends something other than the policy said."""

    def __call__(self, lanes, stack, policy, breaks_at_life, seed):
        def other(states):
            return (policy(states) + 1) % 4

        return super().__call__(lanes, stack, other, breaks_at_life, seed)


@pytest.mark.parametrize(
    "piece, fact",
    [
        (never_ends, "still plays when every lane has long ended"),
        (with_result(lambda r: r.scores), "it returns a list, expected an `Evaluation`"),
        (with_result(lambda r: r.mean), "it returns a float"),
        (with_result(lambda r: None), "it returns None"),
        (with_result(lambda r: Evaluation(np.array(r.scores), r.steps, 0)), "a ndarray, expected"),
        (with_result(lambda r: Evaluation(r.scores, r.steps, True)), "`truncated` is a bool"),
        (with_result(lambda r: Evaluation(r.scores[:1], r.steps, 0)), "`scores` has 1 entries"),
        (with_result(lambda r: Evaluation([[s] for s in r.scores], r.steps, 0)), "other than num"),
        (no_frames_to_tensor, "raises TypeError"),
        (OwnActions(), "is not what the policy has just answered"),
        (lambda lanes, *rest: evaluate(lanes, *rest[:-1], rest[-1] + 1), "gets the seed 4, expect"),
    ],
)
def test_wrong_evaluations_outside_the_catalogue_get_the_first_fact(piece, fact):
    """A fact of a later probe, or a name, hides what the learner should look at first."""
    verdict = judge("evaluate", piece)
    assert not verdict.passed and verdict.attempted
    assert fact in verdict.message, verdict.message
    assert verdict.wrong is None


def test_an_endless_evaluation_ends_at_once():
    """Without a bound in the scripted lanes a learner waits ten seconds for a dead worker."""
    assert judge("evaluate", never_ends).hint == 1


# --- evaluate: two mistakes -----------------------------------------------------------------------


def pairs(module, base: type, count: int) -> list[tuple[type, type]]:
    chosen = list(itertools.combinations(kinds(module, base), 2))
    return random.Random(7).sample(chosen, count)


def both(one: type, other: type, base: type) -> type | None:
    """A class with the changes of two; None where they change the same part."""
    parts = [{k for k in vars(kind) if not k.startswith("__")} for kind in (one, other)]
    if parts[0] & parts[1]:
        return None
    try:
        return type("Both", (one, other), {})
    except TypeError:
        return None


@pytest.mark.parametrize("one, other", pairs(wrong_games, Play, 80))
def test_two_mistakes_of_an_evaluation_get_no_untrue_name(one, other):
    """A name that stands for half of what is wrong sends the learner to mend the wrong half."""
    kind = both(one, other, Play)
    if kind is None:
        return
    named = name_of(EVALUATE, lambda *arguments: kind()(*arguments))
    if named is not None:  # then the other mistake must change nothing at all
        version = next(v for v in EVALUATE.wrong if v.slug == named)
        for probe in OTHER_GAMES:
            mine = Trace(tuple(observe(probe, lambda *a: kind()(*a), None)))
            assert mine.equals(observe(probe, version.piece, mine)), named


def other_games():
    """Longer games than the check's own, from other seeds."""
    from dqn_ref.course.catalogue.evaluate import _random
    from dqn_ref.course.catalogue.judging import Probe
    from dqn_ref.course.catalogue.watch_lanes import Scene

    return [
        Probe("others", Scene(_random(seed, 5), breaks, seed).observe)
        for seed, breaks in itertools.product(range(60, 66), (True, False))
    ]


OTHER_GAMES = other_games()


# --- write_video ----------------------------------------------------------------------------------


@pytest.mark.parametrize("height, width", [(16, 24), (15, 23), (15, 24), (27, 36)])
def test_a_real_film_is_read_as_what_was_written(height, width):
    """A loose comparison of pictures calls every film right, a strict one none."""
    frames = films.pictures(5, height, width, seed=9)
    with tempfile.TemporaryDirectory() as folder:
        film = films.read(write_video(frames, Path(folder) / "film.mp4", 12.5))
    assert film.kind == films.H264 and film.fps == 12.5
    assert film.size == (height + height % 2, width + width % 2)
    assert films.names_of(film.pictures, frames) == [f"frame {n}" for n in range(5)]


def test_pictures_of_a_film_are_called_by_what_was_done_to_them():
    """A picture that is called by another's name sends the learner to another mistake."""
    frames = films.pictures(4, seed=3)
    shown = [frames[2][:, :, ::-1], frames[1][::-1], 255 - frames[0]]
    assert films.names_of(shown, frames) == [
        "frame 2 with red and blue exchanged",
        "frame 1 upside down",
        "something else",
    ]


def test_a_pretended_film_is_only_for_comparisons():
    """Were the learner's film pretended as well, a broken encoder would pass."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        wrong_films.right(films.pictures(2), path, 10)
        assert path.read_bytes()[4:8] == b"ftyp"
        with films._pretence(True):
            wrong_films.right(films.pictures(2), path, 10)
        assert path.read_bytes()[4:8] != b"ftyp" and not films._pretending


class InCapitals(Camera):
    """Takes its part in a folder beside; a Path of its own kind."""

    def save(self, prepared, path, fps, kind):
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = Path(folder) / "part.mp4"
            films.write(part, prepared, fps, kind)
            part.replace(path)


def test_the_part_of_a_film_may_stand_anywhere():
    """A check that looks for a part beside the film refuses a folder of its own."""
    verdict = judge("write_video", lambda *a, **k: InCapitals()(*a, **k))
    assert verdict.passed, verdict.message


class Tall(Camera):
    """Four black rows above, so that both sides are even and the size is wrong."""

    def change(self, frame):
        return np.pad(frame, ((4, 0), (0, 0), (0, 0)))


class EightBytes(Camera):
    """Frames as float64: eight times as many bytes as the encoder expects."""

    def save(self, prepared, path, fps, kind):
        floats = (frame.astype(float) for frame in prepared)
        super().save(wrong_bytes._cut(floats, (16, 24)), path, fps, kind)


class PartOfAnotherKind(Camera):
    """What most people write first: the other name ends in `.tmp`."""

    def save(self, prepared, path, fps, kind):
        part = path.with_suffix(".tmp")
        for _ in prepared:  # the encoder finds no format for this suffix and writes nothing
            pass
        part.replace(path)


class Halves(Camera):
    def change(self, frame):
        return frame // 2


class Backwards(Camera):
    def all(self, first, stream):
        return reversed([first, *stream])


def silent_about_the_path(frames, path, fps, scale=1):
    write_video(frames, path, fps, scale)
    return Path("film.mp4")


def elsewhere(frames, path, fps, scale=1):
    path = Path(path)
    return write_video(frames, path.with_name("other.mp4"), fps, scale)


@pytest.mark.parametrize(
    "piece, fact",
    [
        (lambda *a, **k: Tall()(*a, **k), "the film has 20 × 24 pixels, expected 16 × 24"),
        (lambda *a, **k: EightBytes()(*a, **k), "48 pictures, expected 6, and picture 0 is none"),
        (lambda *a, **k: PartOfAnotherKind()(*a, **k), "the encoder goes by the suffix, knows no "),
        (lambda *a, **k: Halves()(*a, **k), "picture 0 of the film shows something else"),
        (lambda *a, **k: Backwards()(*a, **k), "picture 0 of the film shows frame 5, expected fr"),
        (silent_about_the_path, "it returns the path of 'film.mp4'"),
        (elsewhere, "it returns the path of 'other.mp4'"),
        (lambda frames, path, fps, scale=1: Path(path), "the older film of that name is still th"),
        (lambda frames, path, fps: write_video(frames, path, fps), "unexpected keyword argument"),
    ],
)
def test_wrong_writers_outside_the_catalogue_get_the_first_fact(piece, fact):
    """A fact of a later probe, or a name, hides what the learner should look at first."""
    verdict = judge("write_video", piece)
    assert not verdict.passed and verdict.attempted
    assert fact in verdict.message, verdict.message
    assert verdict.wrong is None


@pytest.mark.parametrize(
    "kind", [k for k in kinds(wrong_bytes, Camera) if k.__module__ == wrong_bytes.__name__]
)
def test_what_the_encoder_makes_of_bytes_of_another_size_is_foretold(kind, monkeypatch):
    """A version that is pretended otherwise than ffmpeg cuts would name another mistake."""
    if slug_of(kind) is None:  # the base of the others
        return
    found = {}
    for pretended in (False, True):
        monkeypatch.setattr(films, "_pretending", pretended)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "film.mp4"
            kind()(films.pictures(12, 15, 23, seed=2), path, 10, 1)
            film = films.read(path)
            found[pretended] = film.kind, film.size, len(film.pictures)
    assert found[False] == found[True]


def test_a_film_that_got_less_than_one_picture_is_not_called_one_of_another_codec():
    """The writer used libx264; a learner who is told of the codec looks in the wrong line."""
    verdict = judge("write_video", lambda *a, **k: wrong_bytes.FramesWithoutScale()(*a, **k))
    assert "no picture in the film" in verdict.message and verdict.hint == 4


def test_the_stop_button_has_to_leave_the_folder_as_it_was():
    """With `except Exception` in place of `finally` a stopped film leaves its part for good."""
    verdict = judge("write_video", lambda *a, **k: wrong_bytes.StopLeavesPart()(*a, **k))
    assert verdict.wrong == "the stop button leaves a part", verdict.message


@pytest.mark.parametrize(
    "one, other", pairs(wrong_films, Camera, 16) + pairs(wrong_bytes, Camera, 8)
)
def test_two_mistakes_of_a_writer_get_no_untrue_name(one, other):
    """A name that stands for half of what is wrong sends the learner to mend the wrong half."""
    kind, slugs = both(one, other, Camera), {slug_of(one), slug_of(other)}
    if kind is None or None in slugs:  # the base of others is no mistake
        return
    assert name_of(FILM, lambda *a, **k: kind()(*a, **k)) not in slugs


def slug_of(kind: type) -> str | None:
    """The name of the mistake that a class makes."""
    versions = [v for v in FILM.wrong if v.piece.__closure__[0].cell_contents is kind]
    return versions[0].slug if versions else None
