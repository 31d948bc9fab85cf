"""What the checks know: one file per piece, found by the piece's name.

    judge("ReplayMemory", piece) ── entry("ReplayMemory") ── catalogue/replay_memory.py
                                 └─ judging.examine: probes, wrong versions, picture, timing

`judge` runs a piece in this very process and trusts it; `dqn_ref.course.worker` gives it a process
of its own, with limits of time and memory.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dqn_ref.course.catalogue.judging import Entry


@dataclass(frozen=True)
class Verdict:
    """What `judge` found out about a piece. `dataclasses.asdict` gives JSON.

    Three states: passed; attempted and failing; not attempted.
    """

    passed: bool
    attempted: bool  # False: the piece raises the stub's NotImplementedError
    message: str  # failing: sentences on what the result is; passed: a remark, mostly empty
    hint: int | None = None  # number of the hint to open; `message` does not name it
    wrong: str | None = None  # slug of the wrong version whose every observation the piece shares
    picture: str | None = None  # PNG as a data URI: yours beside the expected one
    picture_alt: str = ""  # the picture in words
    ratio: float | None = None  # passed: time beside the reference's, above 1 is slower
    output: str = ""  # what the piece printed; filled by the worker


def judge(name: str, piece: Callable) -> Verdict:
    """Compare a learner's piece with the reference, and a failing one with known wrong versions.

    Args:
        name: of the piece, as in `dqn_ref.pieces.CONTRACTS`.
        piece: function or class, to be run here and now.
    Raises:
        KeyError: if no file of the catalogue stands for that name.
        KeyboardInterrupt: nothing else that the piece raises comes through.
    """
    from dqn_ref.course.catalogue.judging import examine

    return examine(entry(name), piece)


def entry(name: str) -> Entry:
    """What the catalogue holds about one piece.

    Raises:
        KeyError: if no file of the catalogue stands for that name.
    """
    if name not in names():
        raise KeyError(f"the catalogue has no entry for {name}")
    return importlib.import_module(f"{__name__}.{_module(name)}").ENTRY


def names() -> tuple[str, ...]:
    """Pieces that can be judged, in the order of the course."""
    from dqn_ref.pieces import CONTRACTS

    folder = Path(__file__).parent
    return tuple(name for name in CONTRACTS if (folder / f"{_module(name)}.py").exists())


def _module(name: str) -> str:
    """ReplayMemory -> replay_memory, QNetwork -> q_network, td_targets -> td_targets."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
