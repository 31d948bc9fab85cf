"""What is read from a training loop's diary, and how a difference is told.

Open is where in a turn the call of `learn` stands: DQN it is at any place. So it is taken out of
the order of calls and looked at by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dqn_ref.course.catalogue.judging import Difference, Fact

TURN = ("act", "send", "recv", "remember", "on_step")


def loop_facts(diary: Any, total_steps: int, ends_at: int | None, steps: int) -> Iterator[Fact]:
    """The facts of one loop.

    Args:
        diary: a `loop_turns.Diary`.
        total_steps: what the loop was told.
        ends_at: the turn after which `on_step` answers True.
        steps: what the counter says in the end.
    """
    yield _starts(diary.calls)
    yield _counter(diary.tampered)
    rest = [i for i, (call, _) in enumerate(diary.calls) if call not in ("start", "learn")]
    calls = tuple(diary.calls[i] for i in rest)
    made = tuple(diary.steps[i] for i in rest)
    yield Order("calls", calls, made=(*made, steps), total=total_steps, ends_at=ends_at)
    yield _learning(diary)


def _counter(tampered: list[tuple[int, int]]) -> Fact:
    tell = ""
    if tampered:
        found, left = tampered[0]
        tell = (
            f"`parts.counters.steps` is {found:,} where `remember` has left it at {left:,}; nobody "
            "else is to move it"
        )
    return Fact("the counter of steps", tuple(tampered), tell, 3)


def _starts(calls: list[tuple[str, str]]) -> Fact:
    """Whether `start` comes once, before everything else; of a loop without a turn that is open."""
    names = [call for call, _ in calls]
    turns = [name for name in names if name in TURN]
    if names.count("start") == 1 and names[0] == "start" or not names:
        return Fact("start", "once, first")
    before = tuple(_turn_at(names, i) for i, name in enumerate(names) if name == "start")
    if not before:
        tell = (
            "`parts.start()` is not called: no game is begun, and the stack is empty at the first "
            "`act`"
        )
        return Fact("start", "never" if turns else "once, first", tell, 1)
    again = before[1] if len(before) > 1 else before[0]
    tell = (
        f"`parts.start()` is called {len(before)} times, once more before turn {again}; it begins "
        "all games anew, and belongs in front of the loop"
    )
    if len(before) == 1:
        tell = f"`parts.start()` comes after `{names[0]}`, expected before everything else"
    return Fact("start", before, tell, 1)


def _turn_at(names: list[str], place: int) -> int:
    return 1 + names[:place].count("remember")


def _learning(diary: Any) -> Fact:
    """How often `learn` is called in each turn: from one `remember` to the next.

    Until the first update is due it may be left out, as by a loop that waits for a full memory.
    Later a turn without it leaves the last turn's metrics lying about.
    """
    counts, due = [0], []
    for (call, _), is_due in zip(diary.calls, diary.due, strict=True):
        if call == "remember":
            due.append(is_due)
            counts.append(0)
        elif call == "learn":
            counts[-1] += 1
    missing = [i for i, d in enumerate(due) if counts[i] == 0 and (d or any(counts[:i]))]
    odd = sorted([*missing, *(i for i, count in enumerate(counts) if count > 1)])
    if not odd:
        return Fact("learn", "once a turn")
    turn, count = odd[0] + 1, counts[odd[0]]
    tell = f"`parts.learn()` is not called in turn {turn}"
    if not any(counts):
        tell = "`parts.learn()` is never called; it knows by itself when learning begins"
    elif any(counts[: odd[0]]):
        tell += ": nothing clears `parts.metrics`, and the log reads the last turn's once more"
    else:
        tell += ", when an update is due"
    if count:
        tell = (
            f"`parts.learn()` is called {count} times in turn {turn}, expected once: the second "
            "call finds nothing due, and the log nothing of the first"
        )
    return Fact("learn", tuple(counts), tell, 4 if count else 1)


def places_of_learn(calls: list[tuple[str, str]]) -> list[tuple[str, int]]:
    """After which other call each `learn` comes, "start" for none of a turn, and in which turn."""
    found, last, turn = [], "start", 0
    for call, _ in calls:
        if call == "learn":
            found.append((last, max(1, turn)))
        elif call in TURN:
            last, turn = call, turn + (call == "act")
    return found


@dataclass(frozen=True)
class Order(Fact):
    """All calls but `start` and `learn`, and what each was given."""

    made: tuple[int, ...] = ()  # steps at each call, and in the end
    total: int = 0
    ends_at: int | None = None

    def difference(self, expected: Order) -> Difference:
        mine, its = self.value, expected.value
        pairs = enumerate(zip(mine, its, strict=False))
        place = next((i for i, (a, b) in pairs if a != b), min(len(mine), len(its)))
        turn = place // len(TURN) + 1
        if place == len(mine):
            return self._ends_early(place, turn, its)
        call, given = mine[place]
        if place == len(its):
            return self._goes_on(place, turn, call, its)
        right, right_given = its[place]
        if call == right:
            text = f"in turn {turn}, `{call}` is given {given}, expected {right_given}"
            return Difference(text, 4 if call == "remember" else 2)
        return self._other_call(place, turn, right)

    def _ends_early(self, place: int, turn: int, its: tuple) -> Difference:
        if place % len(TURN):
            last, right = self.value[-1][0], its[place][0]
            text = f"turn {turn} ends the loop with `{last}`, expected `{right}`"
            return Difference(text, 1)
        made = f"{self.made[-1]:,} of {self.total:,} steps are made"
        text = f"the loop ends after turn {turn - 1}, when {made}"
        if not place:
            text = f"the loop does not take a turn, and {made}"
        return Difference(text + " and `on_step` has not answered True", 3)

    def _goes_on(self, place: int, turn: int, call: str, its: tuple) -> Difference:
        if call not in TURN:
            return Difference(f"`{call}` is called at the end; {_OTHER[call]}", 2)
        why = f"{self.made[place]:,} of {self.total:,} steps were made"
        if self.ends_at is not None and turn - 1 == self.ends_at:
            why = "`on_step` has answered True"
        after = f"after turn {turn - 1}" if its else "all the same"
        return Difference(f"the loop goes on {after} with `{call}`, when {why}", 3)

    def _other_call(self, place: int, turn: int, right: str) -> Difference:
        names = [call for call, _ in self.value]
        call, given = self.value[place]
        if given.endswith("which was not called"):
            return Difference(f"in turn {turn}, `{call}` is given {given}", 2)
        if call not in TURN:
            return Difference(f"in turn {turn}, `{call}` is called; {_OTHER[call]}", 1)
        if place and call == names[place - 1]:
            text = f"in turn {(place - 1) // len(TURN) + 1}, `{call}` is called twice"
            return Difference(f"{text}; after the first, `{right}` is due", 1)
        before = f"after `{names[place - 1]}`" if place % len(TURN) else "first"
        text = f"in turn {turn}, `{call}` comes {before}, expected `{right}`"
        comes = right in names[place : place + 4]
        return Difference(text if comes else f"{text}, which is missing", 4 if comes else 1)


_OTHER = {
    "lanes.reset": "the lanes begin a new game by themselves where one has ended",
    "lanes.close": "the lanes belong to the caller, who still needs them",
}
