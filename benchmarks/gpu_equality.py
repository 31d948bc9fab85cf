"""Stage `equality` of `benchmarks.gpu`: a captured update is the update, at any place in memory.

The same 64 updates from the same weights on the same transitions of Breakout, made by

    eager      `Learner.update`, one kernel launched after the other
    captured   `GroupOfUpdates`, one CUDA graph per 16 updates

must leave the same weights. The target network is copied after every 32, outside the graph.
Without CUDA there is no graph: `GroupOfUpdates` makes its updates one by one, and the comparison
is only tried out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from dqn_ref import runs
from dqn_ref.captured import GroupOfUpdates
from dqn_ref.hardware import choose_precision, to_device
from dqn_ref.learner import Learner, Metrics
from dqn_ref.recipes import Recipe
from dqn_ref.replay import FrameRing
from dqn_ref.training import LoopParts, training_loop

COUNT = 16  # updates in a group, four groups to 64
# One letter per group: E is eager, C is captured. The second begins and is interrupted as a run
# is where updates and copies of the target do not fall together: the graph is recorded when the
# optimiser has a state already, and eager updates replace the gradients that it knows.
PLANS = {"captured": "CCCC", "captured between eager": "ECCECC"}
ACTIONS = 4  # of Breakout
LIMIT = 1e-5  # of relative differences in fp32
BF16_LIMIT = 0.01  # of relative differences of the mean loss: bf16 has eight bits


def run(
    recipe: Recipe, warm_steps: int, record: Callable[[dict], None], count: int = COUNT
) -> None:
    """Compare, say and record.

    Args:
        recipe: of the training.
        warm_steps: steps of random play that the transitions come from.
        record: takes what is to stand in the report.
        count: updates in a group.
    """
    device = torch.device(recipe.device)
    parts = warmed(small(recipe, count, warm_steps), warm_steps)
    memory, resolved = parts.memory, parts.recipe
    result: dict[str, Any] = {"graph": device.type == "cuda", "updates_per_group": count}
    if not result["graph"]:
        print("  no CUDA: both sides are eager, this only tries the comparison out", flush=True)
    with exact_arithmetic():
        result["fp32"] = {
            name: compare_plan(memory, resolved, plan) for name, plan in PLANS.items()
        }
        result["eager, repeated"] = compare_plan(memory, resolved, "EEEE")
        bf16 = choose_precision("auto", device) == "bf16"
        result["bf16"] = compare_precisions(memory, resolved) if bf16 else None
    result["memory"] = check_memory(recipe)
    result["problems"] = problems(result)
    result["complete"] = True
    for line in lines(result):
        print(f"  {line}", flush=True)
    record(result)


def exact_arithmetic():
    """Context in which convolutions are computed in full fp32 and add up in a fixed order.

    Products of matrices are exact by PyTorch's default.
    """
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )


def warmed(recipe: Recipe, steps: int) -> LoopParts:
    """An agent that has played at random and learnt nothing; its games are closed.

    Args:
        recipe: random and without updates for so many steps; precision may be "auto".
        steps: to play, over all lanes; so many transitions are in the memory.
    """
    parts = runs.build(runs.resolve(recipe))
    try:
        training_loop(parts, steps, lambda parts, rows: False)
    finally:
        parts.lanes.close()
    return parts


def small(recipe: Recipe, count: int, warm_steps: int) -> Recipe:
    """The training's recipe in fp32, few games, `count` updates in a group, two groups per copy."""
    return dataclasses.replace(
        recipe,
        lanes=min(recipe.lanes, 16),
        memory_frames=min(recipe.memory_frames, 50_000),
        learning_starts=warm_steps,
        epsilon_delay_steps=warm_steps,
        precision="fp32",
        updates_at_once=count,
        target_every_steps=2 * count * recipe.train_every_steps,
    )


class EagerGroup:
    """What `GroupOfUpdates` does, without a graph and without its code."""

    def __init__(self, memory: FrameRing, learner: Learner, count: int, batch_size: int):
        self.memory, self.learner = memory, learner
        self.count, self.batch_size = count, batch_size

    def __call__(self, rng: np.random.Generator) -> list[Metrics]:
        slots = to_device(self.memory.draw(self.count * self.batch_size, rng), self.memory.device)
        batches = [self.memory.gather_slots(part) for part in slots.split(self.batch_size)]
        metrics = self.learner.update(batches)
        columns = zip(*(each[:2] for each in metrics), strict=True)
        return [Metrics(*(torch.stack(values).mean() for values in columns))]


class Outcome(NamedTuple):
    """What some groups of updates left."""

    start: torch.Tensor  # all weights before them, float64 on the host
    end: torch.Tensor  # and after
    losses: torch.Tensor  # (groups,) mean loss of each


def train_by_plan(
    memory: FrameRing, recipe: Recipe, plan: str, captured: Callable = GroupOfUpdates
) -> Outcome:
    """Fresh weights from the recipe's seed, and the plan's groups of updates.

    Args:
        memory: where minibatches come from, drawn alike in every call.
        recipe: resolved.
        plan: see `PLANS`.
        captured: what "C" stands for.
    """
    torch.manual_seed(recipe.seed)
    learner = Learner(recipe, runs.build_network(recipe, ACTIONS), recipe.precision)
    kinds = {
        letter: kind(memory, learner, recipe.updates_at_once, recipe.batch_size)
        for letter, kind in (("E", EagerGroup), ("C", captured))
    }
    rng = np.random.default_rng(recipe.seed)
    start = _weights(learner)
    losses = [kinds[letter](rng)[0].loss for letter in plan]
    return Outcome(start, _weights(learner), torch.stack(losses).double().cpu())


def _weights(learner: Learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in learner.online.parameters()]).double().cpu()


def relative_difference(expected: torch.Tensor, found: torch.Tensor) -> float:
    """Euclidean length of the difference over that of what was expected."""
    return float((expected - found).norm() / expected.norm())


def compare_plan(
    memory: FrameRing, recipe: Recipe, plan: str, captured: Callable = GroupOfUpdates
) -> dict[str, float]:
    """Relative differences between a plan and as many eager groups; see `differences`."""
    expected = train_by_plan(memory, recipe, "E" * len(plan))
    return differences(expected, train_by_plan(memory, recipe, plan, captured))


def differences(expected: Outcome, found: Outcome) -> dict[str, float]:
    """Relative: `weights` in the end, `change` of the weights, `loss` of the worst group."""
    return {
        "weights": relative_difference(expected.end, found.end),
        "change": relative_difference(expected.end - expected.start, found.end - found.start),
        "loss": float(((expected.losses - found.losses) / expected.losses).abs().max()),
    }


def compare_precisions(memory: FrameRing, recipe: Recipe) -> dict[str, Any]:
    """Mean loss of captured updates in bf16 and in fp32, and bf16 captured beside eager."""
    in_bf16 = dataclasses.replace(recipe, precision="bf16")
    fp32, bf16 = (train_by_plan(memory, r, "CCCC") for r in (recipe, in_bf16))
    loss_fp32, loss_bf16 = (float(outcome.losses.mean()) for outcome in (fp32, bf16))
    return {
        "loss_fp32": loss_fp32,
        "loss_bf16": loss_bf16,
        "difference": abs(loss_bf16 - loss_fp32) / loss_fp32,
        "captured_beside_eager": differences(train_by_plan(memory, in_bf16, "EEEE"), bf16),
    }


def check_memory(recipe: Recipe) -> dict[str, Any]:
    """Whether a full memory of the training's size gives back what was written, wherever it is.

    Its frames lie up to seven billion bytes apart, beyond what 32 bits can count. Each frame is
    filled with one number that says when it was written.
    """
    ring = FrameRing(
        recipe.memory_frames, recipe.lanes, recipe.frame_shape, recipe.stack_frames,
        recipe.discount, recipe.device, recipe.n_step,
    )  # fmt: skip
    lanes, turns = recipe.lanes, ring.time_rows + recipe.stack_frames  # turns over once
    no = np.zeros(lanes, dtype=bool)
    nothing, points = np.zeros(lanes, dtype=np.int64), np.zeros(lanes, dtype=np.float32)

    def frames(time: int) -> torch.Tensor:
        shape = (lanes, *recipe.frame_shape)
        return torch.full(shape, time % 251, dtype=torch.uint8, device=recipe.device)

    ring.begin(frames(0))
    for time in range(1, turns):
        ring.add(nothing, points, no, no, no, frames(time))
    positions = torch.linspace(0, len(ring) - 1, 1_000, dtype=torch.float64).long()
    batch = ring.gather(positions.to(recipe.device))
    # The newest transition ends at the frame written last.
    first = turns - recipe.n_step - len(ring) // lanes
    lags = torch.arange(recipe.stack_frames) - recipe.stack_frames + 1
    times = (first + (positions // lanes)[:, None] + lags)[:, :, None, None]
    states, next_states = (stack.cpu() for stack in (batch.states, batch.next_states))
    right = (states == times % 251).all()
    right &= (next_states == (times + recipe.n_step) % 251).all()
    return {"frames": len(ring.frames), "bytes": ring.nbytes, "right": bool(right)}


def problems(result: dict[str, Any]) -> list[str]:
    """What is not as it must be, a sentence each. Not-a-number is never within a limit."""
    found = []
    for name, differences in result["fp32"].items():
        for what in ("weights", "loss"):
            if not differences[what] <= LIMIT:
                found.append(
                    f"{name} updates differ from eager ones: {what} by {differences[what]:.1e}, "
                    f"and at most {LIMIT:.0e} is rounding"
                )
    if result["bf16"]:
        in_fp32, in_eager = result["bf16"]["difference"], result["bf16"]["captured_beside_eager"]
        for other, difference in (("in fp32", in_fp32), ("of eager updates", in_eager["loss"])):
            if not difference <= BF16_LIMIT:
                found.append(
                    f"the loss of captured updates in bf16 is {difference:.1%} off that {other}, "
                    f"and at most {BF16_LIMIT:.0%} is rounding"
                )
    if not result["memory"]["right"]:
        found.append("a full replay memory gives back other frames than were written")
    return found


def lines(result: dict[str, Any]) -> list[str]:
    """The result for people."""
    rows = [*result["fp32"].items(), ("eager, repeated", result["eager, repeated"])]
    text = [
        f"fp32, {name}: weights differ by {d['weights']:.1e}, their change by {d['change']:.1e}, "
        f"the loss by {d['loss']:.1e}"
        for name, d in rows
    ]
    bf16 = result["bf16"]
    if bf16:
        text += [
            f"bf16, captured: loss {bf16['loss_bf16']:.6f} beside {bf16['loss_fp32']:.6f} in fp32 "
            f"({bf16['difference']:.1%})",
            f"bf16, captured beside eager: weights differ by "
            f"{bf16['captured_beside_eager']['weights']:.1e}, "
            f"the loss by {bf16['captured_beside_eager']['loss']:.1e}",
        ]
    else:
        text.append("bf16: this device computes in fp32, nothing to compare")
    memory = result["memory"]
    verdict = "right" if memory["right"] else "WRONG"
    return [*text, f"memory of {memory['frames']:,} frames, full: {verdict}"]
