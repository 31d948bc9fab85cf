"""How a piece is judged: what it answers, beside what the reference and known mistakes answer.

A probe puts a piece into one small scene and yields *facts*: a length, a shape, a batch. All facts
of all probes are the piece's fingerprint.

    fingerprint equal to the reference's         passes
    fingerprint equal to a wrong version's       that version's diagnosis
    any other                                    the first fact that differs, and no name

Where a contract leaves something open ("may vary"), facts are compared without it: by `Fact.same`,
or by a probe that lets the reference follow what the piece chose (`seen`). So a name is given only
when every observation fits it, and two mistakes at once never get the name of one.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import linecache
import numbers
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dqn_ref.course.catalogue import Verdict
from dqn_ref.course.worker_child import HELPERS


@dataclass(frozen=True)
class Difference:
    """How one fact differs from the expected one, in words."""

    sentence: str  # without the scene in front and the full stop behind
    hint: int | None = None
    draw: Callable[[], tuple[str, str]] | None = None  # a picture as a data URI, and its alt text


@dataclass(frozen=True)
class Fact:
    """One observation. Subclasses compare and tell in their own way."""

    what: str  # what was observed; the same for every piece
    value: Any  # numbers, texts, arrays, tuples of those
    tell: str = ""  # the sentence for a wrong value; without it, both values are named
    hint: int | None = None

    def same(self, other: Fact) -> bool:
        """Whether two pieces answered alike. `other` is the reference's or a wrong version's."""
        if type(self) is not type(other) or self.what != other.what:
            return False
        return _equal(self.value, other.value)

    def difference(self, expected: Fact) -> Difference:
        """What to tell the learner about this fact, where `same(expected)` is False."""
        sentence = self.tell or f"{self.what} is {words(self.value)}, expected {expected.words()}"
        return Difference(sentence, self.hint)

    def words(self) -> str:
        return words(self.value)


@dataclass(frozen=True)
class Raised(Fact):
    """The piece raised an error; it ends the probe. `value` is its type's name and its text."""


@dataclass(frozen=True)
class Unwritten(Fact):
    """The piece raised the stub's NotImplementedError. `value` is the function that did."""


@dataclass(frozen=True)
class Trace:
    """All facts of one piece in one probe."""

    facts: tuple[Fact, ...]

    @property
    def unwritten(self) -> str:
        """Name of the function that is still a stub, or ""."""
        last = self.facts[-1] if self.facts else None
        return last.value if isinstance(last, Unwritten) else ""

    def equals(self, facts: Iterable[Fact]) -> bool:
        """Whether another piece's facts are the same; asks for no more than the first other one."""
        pairs = itertools.zip_longest(self.facts, facts)
        return all(mine and its and mine.same(its) for mine, its in pairs)

    def first_difference(self, expected: Iterable[Fact]) -> Difference | None:
        # An error ends a probe early, and is itself a fact that differs from the expected one.
        for mine, its in zip(self.facts, expected, strict=False):
            if not mine.same(its):
                return mine.difference(its)
        return None


@dataclass(frozen=True)
class Probe:
    """One scene.

    `observe(piece, seen)` yields facts. `seen` is None for the learner's piece; for the reference
    and for wrong versions it is the learner's trace, so that they can follow where the contract
    leaves a choice. What a wrong piece answers must never keep a probe from going on.
    """

    scene: str  # begins the sentence: "In a game of six steps, ..."
    observe: Callable[[Callable, Trace | None], Iterator[Fact]]


@dataclass(frozen=True)
class WrongVersion:
    """A mistake with a name."""

    slug: str
    piece: Callable
    says: str  # whole sentences: what the result is, what would follow from it
    hint: int


class WrongVersions(list[WrongVersion]):
    """The wrong versions of a piece. `@wrong(slug, hint, says)` puts a function or class on it."""

    def __call__(self, slug: str, hint: int, says: str) -> Callable[[Callable], Callable]:
        def enlist(piece: Callable) -> Callable:
            self.append(WrongVersion(slug, piece, says, hint))
            return piece

        return enlist


@dataclass(frozen=True)
class RightVersion:
    """A piece of another make that must pass; only the tests run it."""

    make: str
    piece: Callable


@dataclass(frozen=True)
class Entry:
    """All that is known about one piece."""

    name: str
    probes: Sequence[Probe]
    wrong: Sequence[WrongVersion]
    right: Sequence[RightVersion]
    hints: Mapping[int, str]  # what each hint of the chapter is about
    model: Callable  # answers what is expected: the reference, or one that can follow
    reference: Callable  # whose time is the measure
    workload: Callable[[Callable], Callable[[], Any]] | None = None  # piece -> what to time
    remark: Callable[[Callable], str] | None = None  # piece -> a sentence beside a pass, or ""


def examine(entry: Entry, piece: Callable) -> Verdict:
    """Judge a piece; see `dqn_ref.course.catalogue.judge`."""
    traces = [Trace(tuple(observe(p, piece, None))) for p in entry.probes]
    for trace in traces:
        if trace.unwritten:
            text = f"`{trace.unwritten}` still raises NotImplementedError"
            return Verdict(passed=False, attempted=False, message=text)
    for place, (probe, trace) in enumerate(zip(entry.probes, traces, strict=True)):
        difference = trace.first_difference(observe(probe, entry.model, trace))
        if difference:
            return _failing(entry, traces, place, difference)
    return _passing(entry, piece)


def observe(probe: Probe, piece: Callable, seen: Trace | None) -> Iterator[Fact]:
    """The facts of one probe, to its end or to the first error of the piece."""
    try:
        yield from probe.observe(piece, seen)
    except (Exception, SystemExit) as error:
        yield _raised(error, piece)


def wrong_version(entry: Entry, traces: Sequence[Trace], place: int = 0) -> WrongVersion | None:
    """The wrong version that answers as the traces say, in every probe; None if there is none.

    It begins with the probe at `place`. The first one in which the piece is wrong rules out most
    versions at once: a network's check took 0.46 s before, and 0.28 since.
    """
    pairs = list(zip(entry.probes, traces, strict=True))
    pairs.insert(0, pairs.pop(place))
    for version in entry.wrong:
        if all(trace.equals(observe(probe, version.piece, trace)) for probe, trace in pairs):
            return version
    return None


def _failing(entry: Entry, traces: Sequence[Trace], place: int, found: Difference) -> Verdict:
    version = wrong_version(entry, traces, place)
    message = f"in {entry.probes[place].scene}, {found.sentence.rstrip('.')}."
    picture, alt = found.draw() if found.draw else (None, "")
    return Verdict(
        passed=False,
        attempted=True,
        message=f"{message} {version.says}" if version else message,
        hint=version.hint if version else found.hint,
        wrong=version.slug if version else None,
        picture=picture,
        picture_alt=alt,
    )


def _passing(entry: Entry, piece: Callable) -> Verdict:
    remark = entry.remark(piece) if entry.remark else ""
    ratio = _time_ratio(entry, piece) if entry.workload else None
    return Verdict(passed=True, attempted=True, message=remark, ratio=ratio)


def _time_ratio(entry: Entry, piece: Callable, budget_s: float = 0.08) -> float:
    """The piece's time divided by the reference's: the best of several turns, taken by turns."""
    jobs = [entry.workload(piece), entry.workload(entry.reference)]
    best = [float("inf"), float("inf")]
    for job in jobs:
        job()  # first calls are slow
    begun = time.perf_counter()
    for turn in range(50):
        for number, job in enumerate(jobs):
            start = time.perf_counter()
            job()
            best[number] = min(best[number], time.perf_counter() - start)
        if turn >= 2 and time.perf_counter() - begun > budget_s:
            break
    return best[0] / best[1]


# --- errors of the piece --------------------------------------------------------------------------


def _raised(error: BaseException, piece: Callable) -> Fact:
    """What to tell about an error: its type and text, and the innermost line of the learner's."""
    kind, text = type(error).__name__, " ".join(str(error).split())[:200]
    own, frames = _files(piece) | {HELPERS}, traceback.extract_tb(error.__traceback__)
    place = next((frame for frame in reversed(frames) if frame.filename in own), None)
    if isinstance(error, NotImplementedError) and place and place is frames[-1]:
        if _is_stub(place):
            return Unwritten("error", place.name)
        line = f"`{place.name}` comes to the `raise NotImplementedError` that the stub ended with"
        return Raised("error", (kind, text), f"{line}; put what it returns in its place")
    tell = f"it raises {kind}"
    if place:
        # A comprehension has a frame of its own, whose name no learner has written.
        named = (f.name for f in reversed(frames) if f.filename in own and f.name[0] != "<")
        name = "" if place.name == "<lambda>" else next(named, "")
        function = f"`{name}` " if name else ""
        line = f", `{place.line}`" if place.line else ""
        line = f" (line {place.lineno}{line})" if place.filename != HELPERS else line
        tell = f"{function}raises {kind}{line}"
    return Raised("error", (kind, text), f"{tell}: {text}" if text else tell)


def _is_stub(place: traceback.FrameSummary) -> bool:
    """Whether only what a stub is given stands in front of the line that raised.

    That is a docstring, and in a class a call of `super().__init__`.
    """
    try:
        tree = ast.parse("".join(linecache.getlines(place.filename)))
    except SyntaxError:  # the text of a part of a cell
        return True
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == place.name:
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if body and ast.unparse(body[0]).startswith("super().__init__("):
                body = body[1:]
            if body and body[0].lineno <= place.lineno <= node.end_lineno:
                return body[0].lineno == place.lineno
    return True


def _files(piece: Callable) -> set[str]:
    """Where the piece's code comes from: one file, or one name of a compiled text."""
    functions = list(vars(piece).values()) if inspect.isclass(piece) else [piece]
    functions = [inspect.unwrap(function) for function in functions if callable(function)]
    return {f.__code__.co_filename for f in functions if hasattr(f, "__code__")}


# --- values ---------------------------------------------------------------------------------------


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        one, other = np.asarray(one), np.asarray(other)
        return one.dtype == other.dtype and np.array_equal(one, other)
    return bool(one == other)


def words(value: Any) -> str:
    """A value as a sentence shows it."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    if isinstance(value, numbers.Real):
        return f"{float(value):g}"
    return value if isinstance(value, str) else repr(value)
