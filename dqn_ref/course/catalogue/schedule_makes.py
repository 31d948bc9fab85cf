"""Schedules of epsilon that are wrong in one way each, and right ones of other make.

Where `decay_steps` is 0 a wrong version answers as the reference does, unless that is its mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import RightVersion, WrongVersion


@dataclass(frozen=True)
class Steps:
    """What every version knows: the step, and the four settings."""

    step: np.ndarray
    start: float
    end: float
    decay: int
    delay: int
    share: np.ndarray = field(init=False)  # of the line, 0 to 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "share", self.part(self.step - self.delay, self.decay))

    def part(self, done: np.ndarray, length: float, low: float = 0, high: float = 1):
        """`done / length` within bounds; 0 and then 1 where the length is 0 or less."""
        if length <= 0:
            return (np.asarray(done) >= 0).astype(np.float64)
        return np.clip(np.asarray(done) / length, low, high)


def line(value: Callable[[Steps], Any] | None = None, **parts: Callable[[Steps], Any]) -> Callable:
    """A schedule with parts exchanged: the share of the line, its two ends, or the whole value."""

    def linear_schedule(step, start, end, decay_steps, delay_steps=0):
        s = Steps(np.asarray(step, np.float64), start, end, decay_steps, delay_steps)
        if value:
            found = value(s)
        else:
            share = parts["share"](s) if "share" in parts else s.share
            first = parts["first"](s) if "first" in parts else s.start
            last = parts["last"](s) if "last" in parts else s.end
            found = first + (last - first) * share
        found = np.broadcast_to(np.asarray(found, np.float64), np.shape(step))
        return found.copy() if np.ndim(step) else float(found)

    return linear_schedule


WRONG = (
    WrongVersion(
        "never stops",
        line(share=lambda s: s.part(s.step - s.delay, s.decay, high=np.inf)),
        "Your schedule equals one whose line goes on below `end`. Soon epsilon is negative, "
        "and from there on no action is random.",
        1,
    ),
    WrongVersion(
        "stops at 0 only",
        line(
            lambda s: np.maximum(
                0, s.start + (s.end - s.start) * s.part(s.step - s.delay, s.decay, high=np.inf)
            )
        ),
        "Your schedule equals one that goes on below `end` and stops at 0: late in a training "
        "nothing is tried any more.",
        1,
    ),
    WrongVersion(
        "above start before the delay",
        line(share=lambda s: s.part(s.step - s.delay, s.decay, low=-np.inf)),
        "Your schedule equals one whose line also reaches back in front of `delay_steps`: "
        "there it lies above `start`.",
        1,
    ),
    WrongVersion(
        "ignores the delay",
        line(share=lambda s: s.part(s.step, s.decay)),
        "Your schedule equals one that ignores `delay_steps`: the line begins at step 0, and "
        "is over too early by the delay.",
        1,
    ),
    WrongVersion(
        "delay counted in the decay",
        line(share=lambda s: s.part(s.step - s.delay, s.decay - s.delay)),
        "Your schedule equals one that ends at `decay_steps`, the delay included. "
        "`decay_steps` is the length of the line alone.",
        1,
    ),
    WrongVersion(
        "jumps after the delay",
        line(share=lambda s: np.where(s.step > s.delay, s.part(s.step, s.decay), 0)),
        "Your schedule equals one that waits for the delay and then jumps onto a line that "
        "began at step 0. Count the steps of the line from the delay on.",
        1,
    ),
    WrongVersion(
        "from end to start",
        line(first=lambda s: s.end, last=lambda s: s.start),
        "Your schedule equals one that runs from `end` to `start`: an agent that explores "
        "least while it knows least.",
        1,
    ),
    WrongVersion(
        "end at once",
        line(lambda s: s.end),
        "Your schedule equals one that is `end` from the first step on. A published training "
        "script has this mistake, and runs without an error.",
        1,
    ),
    WrongVersion(
        "start for ever",
        line(lambda s: s.start),
        "Your schedule equals one that stays at `start`: the agent plays dice to the last step.",
        1,
    ),
    WrongVersion(
        "whole division",
        line(share=lambda s: np.floor(s.share)),
        "Your schedule equals one that divides steps without a remainder: it stays at `start` "
        "until the line should be over, and jumps to `end`. `//` drops what you need; use "
        "`/`.",
        1,
    ),
    WrongVersion(
        "one step late",
        line(share=lambda s: s.part(s.step - s.delay - 1, s.decay)),
        "Your schedule equals one whose line begins one step late, and so ends one step late.",
        1,
    ),
    WrongVersion(
        "a line one step too long",
        line(share=lambda s: s.part(s.step - s.delay, s.decay + (s.decay > 0))),
        "Your schedule equals one whose line takes `decay_steps` + 1 steps.",
        1,
    ),
    WrongVersion(
        "a line one step too short",
        line(share=lambda s: s.part(s.step - s.delay, s.decay - 1)),
        "Your schedule equals one whose line takes `decay_steps` - 1 steps, as "
        "`np.linspace(start, end, decay_steps)` does: its last entry stands one step too "
        "early.",
        1,
    ),
    WrongVersion(
        "falls by ratios",
        line(lambda s: s.start * (s.end / s.start) ** s.share),
        "Your schedule equals one that falls exponentially: each step multiplies. A straight "
        "line takes away the same amount at each step.",
        1,
    ),
    WrongVersion(
        "line to zero",
        line(lambda s: np.maximum(s.end, s.start * (1 - s.share))),
        "Your schedule equals one whose line aims at 0 and is held up at `end`. It is at "
        "`end` before `decay_steps` are over. Aim at `end`.",
        1,
    ),
    WrongVersion(
        "slope of one",
        line(lambda s: np.maximum(s.end, s.start - s.share)),
        "Your schedule equals one that takes the share of the line from `start`, however long "
        "the way to `end` is. The way is `end - start`.",
        1,
    ),
    WrongVersion(
        "begins at 1",
        line(first=lambda s: 1.0),
        "Your schedule equals one that begins at 1, whatever `start` says.",
        1,
    ),
    WrongVersion(
        "counts frames",
        line(share=lambda s: s.part(4 * s.step - s.delay, s.decay)),
        "Your schedule equals one that multiplies steps by 4, as if it counted frames. Both "
        "`step` and the lengths are in agent steps.",
        1,
    ),
    WrongVersion(
        "no line, no end",
        line(lambda s: s.start + (s.end - s.start) * (s.share if s.decay else 0)),
        "Your schedule equals one that stays at `start` where `decay_steps` is 0. A line "
        "without length is over at once: the value is `end`.",
        3,
    ),
    WrongVersion(
        "no line, no delay",
        line(share=lambda s: s.share if s.decay else 1.0),
        "Your schedule equals one that forgets the delay where `decay_steps` is 0. The value is "
        "`start` before `delay_steps`, and `end` from there on.",
        3,
    ),
    WrongVersion(
        "one step for all",
        line(lambda s: s.start + (s.end - s.start) * np.ravel(s.share)[0]),
        "Your schedule equals one that takes the first step of an array for all of them. Each "
        "environment has a step of its own, and so an epsilon of its own.",
        2,
    ),
)


# --- right versions -------------------------------------------------------------------------------


def _with_ifs(step, start, end, decay_steps, delay_steps=0):
    if isinstance(step, np.ndarray):
        return np.array([_with_ifs(s, start, end, decay_steps, delay_steps) for s in step])
    if step >= delay_steps + decay_steps:
        return end
    if step <= delay_steps:
        return start
    return end + (start - end) * (delay_steps + decay_steps - step) / decay_steps


def _interpolated(step, start, end, decay_steps, delay_steps=0):
    return np.interp(step, [delay_steps, delay_steps + decay_steps], [start, end])


def _held_from_both_sides(step, start, end, decay_steps, delay_steps=0):
    slope = (start - end) / max(decay_steps, 1e-9)
    fallen = start - slope * np.maximum(0, step - delay_steps)
    value = np.maximum(end, fallen) if decay_steps else np.where(step < delay_steps, start, end)
    return float(value) if np.ndim(step) == 0 else value


def _in_tensors(step, start, end, decay_steps, delay_steps=0):
    steps = torch.as_tensor(step, dtype=torch.float64) - delay_steps
    done = (steps / decay_steps).clamp(0, 1) if decay_steps else (steps >= 0).double()
    value = torch.lerp(torch.full_like(done, start), torch.full_like(done, end), done)
    return value.numpy() if value.ndim else value.item()


RIGHT = (
    RightVersion("conditions, one step at a time", _with_ifs),
    RightVersion("numpy's interpolation", _interpolated),
    RightVersion("a slope, held from both sides", _held_from_both_sides),
    RightVersion("tensors", _in_tensors),
)
