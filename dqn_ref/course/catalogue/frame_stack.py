"""The frame stack of chapter 03: its scenes, known mistakes, and stacks of other make.

Contract: `dqn_ref.pieces.CONTRACTS["FrameStack"]`. In words: `push(frames, starts)` appends a frame
to each lane and returns the last `stack_frames` of each, oldest first; where a lane starts, its
older frames read as zeros. `current` is the last result, zeros before the first. Results are new
tensors that are never rewritten.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import torch

from dqn_ref.course.catalogue.judging import Entry, Probe, RightVersion
from dqn_ref.course.catalogue.wrapper_stacks import (
    BESIDE,
    DEFAULTS,
    LANES,
    NO_START,
    ONE,
    ONE_LANE,
    TWO,
)
from dqn_ref.course.catalogue.wrapper_wrong_stacks import wrong
from dqn_ref.frames import FrameStack

HINTS = {
    1: "drop the oldest, append the newest at the end; in lanes that start, all older are zeros",
    2: "torch.cat([older, frames[:, None]], dim=1); older = self.current[:, 1:]; all of it uint8",
    3: "black the older frames of the lanes that start, before the new frame is put behind them",
    4: "return a new tensor each time; write neither into it later nor into the caller's frames",
}

SCENES = (
    Probe("one lane with stacks of four", ONE_LANE.observe),
    Probe("three lanes with stacks of four", LANES.observe),
    Probe("two lanes beside a second FrameStack", BESIDE.observe),
    Probe("two lanes that go on from nothing, with stacks of five", NO_START.observe),
    Probe("four lanes with stacks of two", TWO.observe),
    Probe("two lanes with stacks of one", ONE.observe),
    Probe("two lanes and default arguments", DEFAULTS.observe),
)


class Deques:
    """A deque of arrays for each lane; `current` is put together when it is asked for."""

    def __init__(self, lanes, stack_frames=4, frame_shape=(84, 84), device="cpu"):
        self.blank = np.zeros(frame_shape, np.uint8)
        self.n, self.device = stack_frames, device
        self.lanes = [self.fresh() for _ in range(lanes)]

    def fresh(self):
        return deque([self.blank] * self.n, maxlen=self.n)

    def push(self, frames, starts):
        for lane, (frame, start) in enumerate(zip(frames.cpu().numpy(), starts, strict=True)):
            if start:
                self.lanes[lane] = self.fresh()
            self.lanes[lane].append(frame)
        return self.current

    @property
    def current(self):
        return torch.tensor(np.array([list(lane) for lane in self.lanes])).to(self.device)


class RolledArray:
    """A NumPy array that is rolled; results are copies."""

    def __init__(self, lanes, stack_frames=4, frame_shape=(84, 84), device="cpu"):
        self.array = np.zeros((lanes, stack_frames) + tuple(frame_shape), dtype=np.uint8)
        self.current = torch.from_numpy(self.array.copy())

    def push(self, frames, starts):
        self.array = np.roll(self.array, -1, axis=1)
        self.array[starts] = 0
        self.array[:, -1] = np.asarray(frames)
        self.current = torch.from_numpy(self.array.copy())
        return self.current


class ListOfPushes:
    """Keeps the last pushes and each lane's age, and builds every stack from them."""

    def __init__(self, lanes, stack_frames=4, frame_shape=(84, 84), device="cpu"):
        empty = torch.zeros((lanes, *frame_shape), dtype=torch.uint8, device=device)
        self.recent = [empty] * stack_frames
        self.age = [0] * lanes
        self.k = stack_frames
        self.current = torch.stack(self.recent, 1)

    def push(self, frames, starts):
        self.recent = [*self.recent[1:], frames]
        self.age = [0 if s else a + 1 for s, a in zip(starts.tolist(), self.age, strict=True)]
        stacks = torch.stack(self.recent, dim=1)
        for lane, age in enumerate(self.age):
            for back in range(age + 1, self.k):
                stacks[lane, self.k - 1 - back] = 0
        self.current = stacks
        return stacks


class Products:
    """Multiplies with 0 where a lane starts."""

    def __init__(self, lanes, stack_frames=4, frame_shape=(84, 84), device="cpu"):
        self.current = torch.zeros(lanes, stack_frames, *frame_shape, device=device).byte()

    def push(self, frames, starts):
        goes_on = torch.as_tensor(~starts).to(torch.uint8).reshape(-1, 1, 1, 1)
        older = self.current[:, 1:] * goes_on.to(frames.device)
        self.current = torch.hstack((older, frames.unsqueeze(1)))
        return self.current


RIGHT = (
    RightVersion("a deque for each lane", Deques),
    RightVersion("a NumPy array that is rolled", RolledArray),
    RightVersion("a list of pushes, and ages", ListOfPushes),
    RightVersion("multiplied with 0 at a start", Products),
)


def _workload(make):
    # One lane: a larger stack would be shared out among threads, and its time is any.
    stack, starts = make(1), np.zeros(1, bool)
    frames = torch.randint(1, 256, (1, 84, 84), dtype=torch.uint8)

    def work() -> None:
        for number in range(40):
            stack.push(frames, starts if number else ~starts)

    return work


ENTRY = Entry(
    name="FrameStack",
    probes=SCENES,
    wrong=wrong,
    right=RIGHT,
    hints=HINTS,
    model=FrameStack,
    reference=FrameStack,
    workload=_workload,
)
