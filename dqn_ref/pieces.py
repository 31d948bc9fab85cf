"""The pieces: every function and class a learner writes, with its contract.

Learner's version, solution and reference obey the same contract and can be exchanged one by
one: `train` takes everything in `Pieces` and asks nobody who wrote it. The table `CONTRACTS`
says for each piece in which chapter it is written, how it is called, by whom, and what may vary.

Six pieces have a contract and no field in `Pieces`: they serve a chapter or a figure
(`play_random_game`, `discounted_return`, `q_learning_update`), or stand inside another piece
(`luminance`, `max_over_frames` and `resize` in `preprocess`).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass

from dqn_ref import (
    bellman,
    environments,
    evaluation,
    exploration,
    frames,
    learner,
    network,
    replay,
    training,
    video,
    wrappers,
)
from dqn_ref.wrapped_lane import Wrappers


@dataclass(frozen=True)
class Contract:
    """What a piece promises."""

    name: str
    chapter: str
    shapes: str  # arguments -> result, with dtypes
    called_by: str
    may_vary: str
    reference: Callable

    @property
    def signature(self) -> str:
        """Exact signature, as the stub shows it."""
        target = self.reference.__init__ if inspect.isclass(self.reference) else self.reference
        text = f"{self.name}{inspect.signature(target)}".replace("(self, ", "(")
        return re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)  # annotations come quoted


def _contract(chapter: str, reference: Callable, shapes: str, called_by: str, may_vary: str):
    return Contract(reference.__name__, chapter, shapes, called_by, may_vary, reference)


_ORDERED = (
    _contract(
        "00",
        evaluation.play_random_game,
        "gymnasium environment, Generator, steps -> (score float, steps int)",
        "the first measurement of every game; the random line in figures",
        "nothing but style: the draws and their order are those of the docstring",
    ),
    _contract(
        "01",
        bellman.discounted_return,
        "rewards of one episode (T,) -> float",
        "figures of chapter 01; the known value of a start state",
        "forwards or backwards, loop or array",
    ),
    _contract(
        "01",
        bellman.q_learning_update,
        "table (S, A) float64, one transition -> None; the table changes in place",
        "tabular learning on the small game's twin",
        "nothing but style",
    ),
    _contract(
        "02",
        frames.luminance,
        "(H, W, 3) uint8 -> (H, W) uint8",
        "preprocess",
        "which way a half is rounded",
    ),
    _contract(
        "02",
        frames.max_over_frames,
        "two uint8 arrays of one shape -> uint8 of that shape",
        "preprocess; RepeatMax",
        "nothing but style",
    ),
    _contract(
        "02",
        frames.resize,
        "(H, W) or (H, W, 3) uint8, height, width, method -> that size, uint8",
        "preprocess",
        "the library, if its filter is the same one",
    ),
    _contract(
        "02",
        frames.preprocess,
        "two (210, 160, 3) uint8 -> (height, width) uint8",
        "GymLanes, once per step and lane; the environment wrappers",
        "at most 1 grey level (2 with bicubic) where a filter rounds otherwise",
    ),
    _contract(
        "03",
        wrappers.RepeatMax,
        "gymnasium wrapper: one step is `repeat` emulator frames; observation is their maximum",
        "the lanes of Atari, when one of the three wrappers is the learner's",
        "which frame is returned when the game ends inside a repetition; whether the frame of the "
        "decision before joins in with `repeat=1`; whether `info` is copied",
    ),
    _contract(
        "03",
        wrappers.RandomStart,
        "gymnasium wrapper: 0 to noops_max no-ops after reset",
        "the lanes of Atari, when one of the three wrappers is the learner's",
        "the generator and its seed, if every count is equally likely; what follows a game that "
        "ended during the no-ops: the rest of them, none, or new ones",
    ),
    _contract(
        "03",
        wrappers.LifeLoss,
        'gymnasium wrapper: info["life_lost"] bool; the game goes on',
        "the lanes of Atari, when one of the three wrappers is the learner's",
        "whether `info` is copied",
    ),
    _contract(
        "03",
        training.clip_reward,
        "(L,) float32, limit -> (L,) float32",
        "the training loop, on what the memory stores; never on the score",
        "nothing but style",
    ),
    _contract(
        "03",
        frames.FrameStack,
        "push((L, H, W) uint8, starts (L,) bool) -> (L, stack, H, W) uint8, oldest first; "
        "current: the last result, zeros before the first",
        "training loop, evaluation, video",
        "how frames are kept; zeros before a start are part of the contract",
    ),
    _contract(
        "04",
        replay.ReplayMemory,
        "begin(frame), add(action, reward, terminated, truncated, next_frame), len, "
        "sample(B, rng) -> Batch",
        "the training loop, one memory per environment",
        "storage; arrays or tensors in the batch; which of the oldest transitions are dropped "
        "within a stack's length of the capacity; of a terminated transition, whether its next "
        "state goes on or is the new stack, and whether its discount is 0",
    ),
    _contract(
        "05",
        network.QNetwork,
        "(B, stack, H, W) uint8 -> (B, A) float",
        "acting, the training step, evaluation",
        "names and order of layers; the order in which maps are flattened; whether the "
        "architecture `channels_trap` is known",
    ),
    _contract(
        "06",
        exploration.linear_schedule,
        "step int or (L,) -> float or (L,) float64",
        "the training loop, once per step of every lane",
        "nothing but style",
    ),
    _contract(
        "06",
        exploration.epsilon_greedy,
        "(L, A) float, epsilon float or (L,), Generator -> (L,) int64",
        "training loop, evaluation, video",
        "which of two equal best actions is taken",
    ),
    _contract(
        "07",
        learner.td_targets,
        "rewards (B,) f32, discounts (B,) f32, terminated (B,) bool, next_q (B, A) f32 "
        "[, next_q_online (B, A) f32] -> (B,) f32",
        "the training step, without gradient",
        "nothing but style",
    ),
    _contract(
        "07",
        learner.huber_loss,
        "two f32 of one shape, delta -> f32 of that shape",
        "the training step",
        "the formula, if value and gradient agree",
    ),
    _contract(
        "07",
        learner.update_target,
        "two networks, tau -> None; the second changes in place",
        "the learner, when the copy is due",
        "state_dict or parameters",
    ),
    _contract(
        "07",
        learner.NatureRMSProp,
        "torch optimiser: params, lr, gradient_momentum, squared_gradient_momentum, eps",
        "the learner, in the recipe mnih2015",
        "the order of equal operations",
    ),
    _contract(
        "08",
        learner.training_step,
        "LearnerParts, Batch of tensors -> Metrics(loss, q_mean), 0-d tensors",
        "the learner, once per update",
        "the order of equal operations",
    ),
    _contract(
        "08",
        training.training_loop,
        "LoopParts, total_steps, on_step(parts, rows) -> bool -> None",
        "train",
        "anything that calls act, learn and remember of its parts in a working order",
    ),
    _contract(
        "09",
        evaluation.evaluate,
        "Lanes, FrameStack, policy, breaks_at_life, seed -> Evaluation",
        "evaluate on the command line, evaluation while training",
        "nothing but style",
    ),
    _contract(
        "09",
        video.write_video,
        "frames (H, W, 3) uint8, path, fps -> Path of an mp4",
        "watch, for an mp4; every video of the course",
        "the encoder's settings",
    ),
    _contract(
        "10",
        replay.LaneMemories,
        "begin((L, H, W)), add(one array per field), len, sample(B, rng) -> Batch",
        "the training loop, when it or ReplayMemory is the learner's",
        "how a batch is spread over the lanes, if draws are uniform",
    ),
)

CONTRACTS: dict[str, Contract] = {contract.name: contract for contract in _ORDERED}


@dataclass(frozen=True)
class Pieces:
    """The callables an agent is made of; every default is the reference's."""

    preprocess: Callable = frames.preprocess
    RepeatMax: Callable = wrappers.RepeatMax
    RandomStart: Callable = wrappers.RandomStart
    LifeLoss: Callable = wrappers.LifeLoss
    clip_reward: Callable = training.clip_reward
    FrameStack: Callable = frames.FrameStack
    ReplayMemory: Callable = replay.ReplayMemory
    LaneMemories: Callable = replay.LaneMemories
    QNetwork: Callable = network.QNetwork
    linear_schedule: Callable = exploration.linear_schedule
    epsilon_greedy: Callable = exploration.epsilon_greedy
    td_targets: Callable = learner.td_targets
    huber_loss: Callable = learner.huber_loss
    update_target: Callable = learner.update_target
    NatureRMSProp: Callable = learner.NatureRMSProp
    training_step: Callable = learner.training_step
    training_loop: Callable = training.training_loop
    evaluate: Callable = evaluation.evaluate
    write_video: Callable = video.write_video

    def is_reference(self, name: str) -> bool:
        """Whether the piece called `name` is the reference's own."""
        return getattr(self, name) is CONTRACTS[name].reference

    @property
    def own_memory(self) -> bool:
        """Whether each lane has a memory of its own, in place of the reference's one for all."""
        return not (self.is_reference("ReplayMemory") and self.is_reference("LaneMemories"))

    @property
    def own_wrappers(self) -> bool:
        """Whether an Atari game is made of wrappers, in place of the door's own rules."""
        return not all(self.is_reference(name) for name in Wrappers._fields)

    def make_lanes(self, recipe, lanes: int, **more) -> environments.Lanes:
        """`dqn_ref.environments.make_lanes`, with these pieces."""
        made_of = Wrappers(self.RepeatMax, self.RandomStart, self.LifeLoss)
        return environments.make_lanes(
            recipe,
            lanes,
            preprocess=self.preprocess,
            wrappers=made_of if self.own_wrappers else None,
            **more,
        )


REFERENCE = Pieces()
