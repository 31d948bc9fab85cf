"""Blocks of training and what is calculated from them: pure functions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

BLOCK_MULTIPLE = 32  # agent steps: whole updates, and whole turns of up to 32 lanes


class Block(NamedTuple):
    """What a worker answers to "run a block"."""

    steps: int
    updates: int
    seconds: float
    busy_elsewhere: float = 0.0  # share of the machine that other programs used meanwhile

    @property
    def steps_per_second(self) -> float:
        return self.steps / self.seconds


def alternate(names: Sequence[str], rounds: int) -> list[str]:
    """The order of the blocks: every name once per round, always in the same order."""
    return [name for _ in range(rounds) for name in names]


def block_steps(total_steps: int, blocks: int) -> int:
    """Steps per block, so that `blocks` of them make at least `total_steps`."""
    return BLOCK_MULTIPLE * math.ceil(total_steps / (blocks * BLOCK_MULTIPLE))


def median_speed(blocks: Sequence[Block]) -> float:
    """Median over blocks of agent steps per second."""
    return statistics.median(block.steps_per_second for block in blocks)


def better(blocks_of: dict[Any, Sequence[Block]]) -> Any:
    """The key whose blocks have the higher median; the first of equals."""
    return max(blocks_of, key=lambda key: median_speed(blocks_of[key]))


def speed_ratio(blocks: Sequence[Block], reference: Sequence[Block]) -> dict[str, Any]:
    """Ratio of two contenders' speeds: of the medians, and round by round."""
    by_round = [
        mine.steps_per_second / theirs.steps_per_second
        for mine, theirs in zip(blocks, reference, strict=True)
    ]
    return {
        "of_medians": median_speed(blocks) / median_speed(reference),
        "by_round": by_round,
    }


def check_updates(
    blocks: Sequence[Block],
    train_every_steps: int,
    steps_per_turn: int,
    updates_at_once: int = 1,
) -> str | None:
    """What is wrong with the number of updates, or None.

    Args:
        blocks: consecutive blocks of one contender.
        train_every_steps: agent steps per update.
        steps_per_turn: agent steps that the contender's loop takes at once; what is due for the
            last turn of a block may be paid in the next.
        updates_at_once: updates that the loop makes as a group; what does not fill a group may
            be paid in the next block too.
    """
    allowed = steps_per_turn / train_every_steps + updates_at_once
    total = Block(sum(b.steps for b in blocks), sum(b.updates for b in blocks), 0.0)
    for block in (*blocks, total):
        if abs(block.updates - block.steps / train_every_steps) > allowed:
            return (
                f"{block.updates} updates in {block.steps} steps are not "
                f"one per {train_every_steps} steps"
            )
    return None


def summarise(
    blocks: Sequence[Block], reference: Sequence[Block] | None, facts: dict[str, Any]
) -> dict[str, Any]:
    """One contender's entry in the report.

    Args:
        blocks: the contender's.
        reference: those of the contender that ratios are taken to, if it takes part.
        facts: see `benchmarks.peers.common_facts`.
    """
    return {
        "steps_per_second": median_speed(blocks),
        "steps_per_second_by_block": [block.steps_per_second for block in blocks],
        "seconds_by_block": [block.seconds for block in blocks],
        "busy_elsewhere_by_block": [block.busy_elsewhere for block in blocks],
        "ratio": speed_ratio(blocks, reference) if reference else None,
        "steps": sum(block.steps for block in blocks),
        "updates": sum(block.updates for block in blocks),
        "updates_by_block": [block.updates for block in blocks],
        "steps_by_block": [block.steps for block in blocks],
        **facts,
    }
