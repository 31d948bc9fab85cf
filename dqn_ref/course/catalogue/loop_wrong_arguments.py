"""Training steps that give the formulas something in the wrong place or of the wrong shape."""

from __future__ import annotations

from collections.abc import Callable

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.course.catalogue.loop_wrong_targets import online, step, target

wrong = WrongVersions()


def _wrong(slug: str, hint: int, says: str, **changed: Callable) -> None:
    wrong(slug, hint, says)(step(**changed))


def _exchanged(*order: int) -> dict[str, Callable]:
    """`td_targets` with its first three arguments in another order."""

    def combine(parts, *arguments):
        return parts.td_targets(*(arguments[i] for i in order), *arguments[3:])

    return {"combine": combine}


_wrong(
    "terminated before discounts",
    2,
    "Your update equals one that gives `td_targets` `terminated` in front of the discounts: it "
    "takes rewards, discounts, terminated, then Q of the next states.",
    **_exchanged(0, 2, 1),
)
_wrong(
    "discounts before rewards",
    2,
    "Your update equals one that gives `td_targets` the discounts first and the rewards second: "
    "every step seems to bring a reward of nearly 1.",
    **_exchanged(1, 0, 2),
)
_wrong(
    "largest values to td_targets",
    2,
    "Your update equals one that hands `td_targets` the largest Q of each next state. It wants Q "
    "of all actions, (B, A): with Double it does not take the largest one.",
    next_target=lambda parts, batch: target(parts, batch.next_states).max(dim=1).values,
)
_wrong(
    "all largest values to td_targets",
    2,
    "Your update equals one that hands `td_targets` the largest Q of each next state. It wants Q "
    "of all actions, (B, A), and looks for the largest by itself.",
    next_target=lambda parts, batch: target(parts, batch.next_states).amax(1, keepdim=True),
    next_online=lambda parts, batch: (
        online(parts, batch.next_states).amax(1, keepdim=True) if parts.double else None
    ),
)
_wrong(
    "column kept",
    2,
    "Your update equals one that keeps the column which `gather` returns: (B, 1) beside targets of "
    "(B,). Subtracted, they would make a number for every pair. `squeeze(1)` takes the 1 away.",
    predict=lambda q_values, batch: q_values.gather(1, batch.actions[:, None]),
)
_wrong(
    "a column for each action",
    2,
    "Your update equals one that indexes `q[:, actions]`: from every row a number for every action "
    "of the batch, (B, B). From each row one is due, that of its own action: `gather`.",
    predict=lambda q_values, batch: q_values[:, batch.actions],
)
_wrong(
    "all Q predicted",
    2,
    "Your update equals one that gives `huber_loss` Q of all actions. Only one of them was taken "
    "in each state, and only of that one a reward is known: `gather` picks it.",
    predict=lambda q_values, batch: q_values,
)
