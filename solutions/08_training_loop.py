# %% [markdown]
# # 08 · The training loop
#
# The parts are there: a game, a memory, a network, dice, a learning step made of four
# formulas. In this chapter you put them into a loop, find out within seconds whether it
# learns, watch it learn a small game while you wait, and send it off to play Breakout
# by itself.
#
# **Goals**: write the training step and the loop around it · say what stands in which
# order, and why · find a broken piece with probes of seconds · read a run's logs,
# curves and checkpoints · start, stop and resume a training that outlives the notebook.
#
# **Prerequisites**: chapters 03 (steps, lives), 04 (the memory), 05 (the network), 06
# (exploration) and 07 (the learning step).
#
# **Minutes**: 110
#
# Sections marked *(aside)* can wait: run their cells and read them another day. They
# take 25 minutes more. In `normal` mode the cells of the chapter compute for about two
# minutes in all, twice that on a busy machine; the long ones say so before.

# %%
import dataclasses
import inspect
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from IPython.display import display
from matplotlib.patches import Rectangle
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dqn_ref import learner, runs, training
from dqn_ref.checkpoints import load_tensors
from dqn_ref.course import begin, check, compare, figures, progress, shipped_run
from dqn_ref.course.bands import beside_band, shipped_band
from dqn_ref.course.dashboard import Dashboard, dashboard
from dqn_ref.course.figures import BLUE, GREEN, GREY, ORANGE, VERMILION, figure, show

# %%
from dqn_ref.course.home import current
from dqn_ref.course.live import show_live
from dqn_ref.course.probe_faults import FIVE, PATIENTS, SICK
from dqn_ref.course.probes import PROBES, Probe, run_probe, run_probes
from dqn_ref.environments import Rows, make_gym_env, make_lanes
from dqn_ref.errors import RunError
from dqn_ref.evaluation import evaluate_network
from dqn_ref.learner import LearnerParts, Metrics
from dqn_ref.own_pieces import load_pieces
from dqn_ref.pieces import REFERENCE, Pieces
from dqn_ref.recipes import get_recipe
from dqn_ref.replay import Batch
from dqn_ref.reporting import history
from dqn_ref.training import LoopParts

# %%
MODE = begin("08").mode
ROUNDS = {"smoke": 2, "normal": 7, "full": 20}[MODE]  # of five turns that are timed
LANES = {"smoke": 4, "normal": 16, "full": 16}[MODE]  # their games
PLAYED = {"smoke": 50, "normal": 800, "full": 2_500}[MODE]  # steps of four games
BROKEN = {"smoke": 1, "normal": 5, "full": 5}[MODE]  # agents on the ladder
RUNGS = {"smoke": 2, "normal": 5, "full": 5}[MODE]  # of the ladder
TRAINED = {"smoke": 300, "normal": 13_000, "full": 13_000}[MODE]  # steps of the gallery
DRAWN = {"smoke": 3, "normal": 13, "full": 26}[MODE]  # pictures of its curve
GAMES = {"smoke": 8, "normal": 96, "full": 96}[MODE]  # to see what was learnt
LOOKED = {"smoke": 70, "normal": 120, "full": 1_000}[MODE]  # steps of an old notebook
HALF = {"smoke": 150, "normal": 400, "full": 2_000}[MODE]  # steps, twice
READ = {"smoke": 1, "normal": 3, "full": 3}[MODE]  # agents whose curves are read

# %% [markdown]
# ## Twenty-five minutes of a loop
#
# Here is a whole training at once: the run that comes with this course, seen through
# the panel in which you will see your own at the end of this chapter.

# %%
record = shipped_run("breakout-laptop-seed-0")
Dashboard(record)

# %% [markdown]
# Four curves. The **score** stays at random play's level for the first 20,000 steps,
# then climbs to 34.9. **Q-values** rise nearly all the time. The **loss** does not
# fall, it rises: a loop that learns cannot be told by its loss. **Epsilon** is the line
# of chapter 06. Below, the last network plays, in colour and as it sees the game. The
# buttons are off: this run is over.
#
# What has a loop to do for that? The log counts it.

# %%
# NBVAL_CHECK_OUTPUT
log = history(record)
last = log.iloc[-1]
print(f"{last.agent_steps:,.0f} steps, {last.episodes:.0f} games,", end=" ")
print(f"{last.updates:,.0f} updates in {last.wall_seconds / 60:.0f} minutes")
print(f"{last.agent_steps / last.wall_seconds:.0f} steps a second,", end=" ")
print(f"{last.updates / last.wall_seconds:.0f} updates a second, of 32 steps each")
print(f"each step is learnt from {32 * last.updates / last.agent_steps:.1f} times")

# %% [markdown]
# Play a step, remember it, learn now and then from what is remembered, copy the target
# network now and then, and tell what happens. Mnih et al. (2015) wrote it down as
# Algorithm 1. Here it is as boxes, with the chapters in which you made them.

# %%
BOXES = (
    ("act", "05 and 06"), ("send", "03"), ("learn", "07: now and then"),
    ("recv", "03"), ("remember", "03 and 04"), ("on_step", "log, stop?"),
)
drawing, ax = figure(height=2.1)
for place, (name, made_in) in enumerate(BOXES):
    colour = ORANGE if name == "learn" else figures.SKY
    ax.add_patch(Rectangle((1.5 * place, 0), 1.2, 0.8, facecolor=colour, alpha=0.6))
    ax.text(1.5 * place + 0.6, 0.52, name, ha="center", va="center", weight="bold")
    ax.text(1.5 * place + 0.6, 0.2, made_in, ha="center", va="center", fontsize=9)
for place in range(5):
    ends = (1.5 * place + 1.5, 0.4), (1.5 * place + 1.2, 0.4)
    ax.annotate("", *ends, arrowprops={"arrowstyle": "->"})
ax.annotate("", (0.6, 0.8), (8.1, 0.8), arrowprops={
    "arrowstyle": "->", "connectionstyle": "arc3,rad=0.12", "color": GREY})
ax.text(4.35, 1.42, "until total_steps", ha="center", color=GREY)
ax.set(xlim=(-0.1, 8.8), ylim=(-0.1, 1.6))
ax.set_axis_off()
show(drawing, "Six boxes in a row: act, send, learn, recv, remember, on_step; an arrow "
     "leads from the last back to the first until total_steps.")

# %% [markdown]
# `send` and `recv` are the two halves of a step: the actions go to the emulators, and
# later what they brought comes back. Keep the gap between them in mind.
#
# How often is *now and then*? **Write down a guess**: how many updates does Nature's
# agent make in its 50 million steps, and the first old notebook in 500,000?

# %% [markdown]
# ### Exercise 8.1 · How many updates? · ●○○ · 5 minutes
#
# A recipe waits for `learning_starts` steps, and then makes an update every
# `train_every` steps. It is a line of arithmetic, and the first thing to check in any
# log: updates that do not come are the commonest reason for an agent that learns
# nothing.


# %%
def updates_made(steps: int, learning_starts: int, train_every: int) -> int:
    """Updates that are due after so many steps.

    Args:
        steps: decisions so far.
        learning_starts: steps before the first one that counts.
        train_every: steps for each update.
    """
    # 1. Steps since learning began, never less than none. 2. Whole updates of them.
    ### BEGIN SOLUTION
    return max(0, steps - learning_starts) // train_every
    ### END SOLUTION


# %% [markdown]
# Small exercises have no check of their own. This function prints what is expected
# beside what yours gives.


# %%
def beside(question: str, expected, function, *arguments, told: bool = True) -> None:
    """Print what is expected beside what your function returns; never raises."""
    try:
        answer = function(*arguments)
        mark = "✅" if answer == expected else "❌"
    except NotImplementedError:
        mark, answer = "◻", "not attempted yet"
    except Exception as error:
        mark, answer = "❌", f"{type(error).__name__}: {error}"[:90]
    wanted = f"expected {say(expected)}, " if told else ""
    print(f"{mark} {question}: {wanted}yours: {say(answer)}")


def say(value) -> str:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return f"{value:,}" if whole else str(value)


# %%
# NBVAL_CHECK_OUTPUT
beside("laptop, too early", 0, updates_made, 4_005, 5_000, 4)
beside("laptop, the log above", 83_452, updates_made, 338_810, 5_000, 4)
beside("laptop, 3 steps before", 83_451, updates_made, 338_807, 5_000, 4)
beside("Nature", 12_487_500, updates_made, 50_000_000, 50_000, 4)
beside("first old notebook", 499_950, updates_made, 500_000, 50, 1)
beside("second old notebook", 435_000, updates_made, 1_750_000, 10_000, 4)

# %% [markdown]
# **What you should see:** six times ✅. The log above has 83,448 updates, four fewer
# than 83,452: `laptop` makes its updates in groups of four, and the last group fell due
# with the last turn. In a turn, learning comes before the new steps are counted, so that
# group would have been made in the next one.
#
# <details><summary>Hint 1: the idea</summary>Steps since learning began, divided by the
# steps for each update, rounded down. Before learning begins there are none, not fewer
# than none.</details>
# <details><summary>Hint 2: the call</summary><code>max(0, …)</code> and the division
# that rounds down, <code>//</code>.</details>
# <details><summary>"mine is 83452.5"</summary><code>/</code> divides, <code>//</code>
# divides and rounds down.</details>
#
# **Think:** both old notebooks draw 32 transitions for an update. The first makes an
# update at every step, the second at every fourth. What follows for how often one
# transition is looked at, and for the time that a training takes?
# <details><summary>Answer</summary>32 looks for each step in the first, 8 in the second
# and in Nature. More looks teach more from the same steps, and cost time: with an
# update at every step there are four times as many, and a run that spends its time on
# updates takes nearly four times as long. Chapter 10 measures it.</details>
#
# Here is how the recipes differ in the settings that belong to the loop.

# %%
# NBVAL_CHECK_OUTPUT
print("            warm-up  every        steps  looks per step  seed")
for name in ("notebook_a", "notebook_b", "mnih2015", "laptop"):
    old = get_recipe(name)
    looks = old.batch_size // old.train_every_steps
    print(f"{name:11} {old.learning_starts:7,}  {old.train_every_steps:5}", end=" ")
    print(f"{old.total_steps:12,}  {looks:14}  {old.seed:4}")

# %% [markdown]
# The second old notebook set no seed; the 0 in its line is this course's. A seed makes
# a run repeatable on one machine, it does not make one run stand for all. We come back
# to the two warm-ups, 50 and 10,000.
#
# ## The step
#
# The orange box first. It takes a batch from the memory and makes one update of the
# network. Chapter 07 had its formulas and used the reference's lines between them. What
# it works with comes in one object:

# %%
# NBVAL_CHECK_OUTPUT
for part in dataclasses.fields(LearnerParts)[:8]:
    print(f"parts.{part.name:15} {str(part.type).split('[')[0]}")
print()
for formula in (learner.td_targets, learner.huber_loss):
    print(f"{formula.__name__}({', '.join(inspect.signature(formula).parameters)})")
print("Batch:  ", ", ".join(Batch._fields))
print("Metrics:", ", ".join(Metrics._fields[:2]))

# %% [markdown]
# | | shape | |
# | --- | --- | --- |
# | `batch.states`, `batch.next_states` | `(B, stack, H, W)` | uint8, as networks take them |
# | `batch.actions` | `(B,)` | int64 |
# | `batch.rewards`, `batch.discounts` | `(B,)` | float32 |
# | `batch.terminated` | `(B,)` | bool |
# | `next_q_target`, `next_q_online` | `(B, A)` | float32, all actions; None if not Double |
# | what `td_targets` returns | `(B,)` | float32 |
# | `predicted`, `target` of `huber_loss` | `(B,)` | float32; so is what it returns |
#
# ### Exercise 8.2 · training_step · ●●○ · 20 minutes
#
# Three of the four formulas meet: target (with its mask, in `td_targets`), loss,
# optimiser. Nothing of the recipe is written in here: the threshold, sum or mean,
# Double or not come with `parts`, and so do the two formulas, yours of chapter 07 where
# a run has them. The target network is moved elsewhere, by the learner, which counts
# updates.


# %%
def training_step(parts: LearnerParts, batch: Batch) -> Metrics:
    """One update on one minibatch: targets, loss, gradient, optimiser.

    Args:
        parts: networks, optimiser and the two formulas. `online(states)` gives
            `(B, A)`, perhaps in half precision; targets and losses are float32. With
            `double` the online network looks at the next states too: its answer is
            `td_targets`' fifth argument.
        batch: `B` transitions as tensors on the networks' device.
    Returns:
        Metrics(loss, q_mean): means over the minibatch, of the losses (whatever
        `loss_reduction` says) and of Q(s, a) before the update; 0-d tensors without
        gradient.
    Source: Mnih et al. 2015, Algorithm 1, from "Sample random minibatch" on.
    """
    # 1. Targets, without gradient. 2. Q(s, a) of the actions taken. 3. Losses, and
    # their sum or mean. 4. Gradients from zero, and one step. 5. What to report.
    ### BEGIN SOLUTION
    with torch.no_grad():
        next_q = parts.target(batch.next_states).float()
        choosing = parts.online(batch.next_states).float() if parts.double else None
        facts = (batch.rewards, batch.discounts, batch.terminated)
        targets = parts.td_targets(*facts, next_q, choosing)
    q_values = parts.online(batch.states).float()
    predicted = q_values.gather(1, batch.actions[:, None]).squeeze(1)
    losses = parts.huber_loss(predicted, targets, parts.huber_delta)
    parts.optimizer.zero_grad()
    (losses.sum() if parts.loss_reduction == "sum" else losses.mean()).backward()
    parts.optimizer.step()
    return Metrics(losses.detach().mean(), predicted.detach().mean())
    ### END SOLUTION


# %%
training_step = check(training_step)

# %% [markdown]
# **What you should see:** a badge that says `passes`, and below it a network that
# learnt the same from one batch, number by number, as the reference's did. The batch is
# random numbers; for the third recipe its frames are blank.


# %%
def dice_batch(count: int = 32) -> Batch:
    rng = np.random.default_rng(0)
    states, after = rng.integers(256, size=(2, count, 4, 84, 84), dtype=np.uint8)
    rewards = rng.integers(2, size=count).astype(np.float32)
    actions, ends = rng.integers(4, size=count), rng.random(count) < 0.1
    discounts = np.full(count, 0.99, np.float32)
    return Batch(states, actions, rewards, discounts, ends, after).to("cpu")


def fresh_learner(name: str) -> learner.Learner:
    recipe = get_recipe(name, device="cpu", precision="fp32")
    torch.manual_seed(0)
    return learner.Learner(recipe, runs.build_network(recipe, 4))


# %%
# NBVAL_CHECK_OUTPUT
batch = dice_batch()
for name in ("laptop", "mnih2015", "notebook_a"):
    if name == "notebook_a":  # its frames have another shape
        batch = Batch(*batch)._replace(states=torch.zeros((32, 4, 105, 80)).byte(),
                                       next_states=torch.ones((32, 4, 105, 80)).byte())
    ours, theirs = fresh_learner(name), fresh_learner(name)
    mine = training_step(ours.parts, batch)
    reference = learner.training_step(theirs.parts, batch)
    pairs = zip(ours.online.parameters(), theirs.online.parameters(), strict=True)
    weights = all(torch.allclose(a, b, rtol=1e-5, atol=1e-8) for a, b in pairs)
    print(f"{name:10} loss {torch.allclose(mine.loss, reference.loss)},", end=" ")
    print(f"q_mean {torch.allclose(mine.q_mean, reference.q_mean)}, weights {weights}")

# %% [markdown]
# Three recipes: the mean of Huber losses with Adam; the sum with Nature's optimiser;
# half the squared error with Double.
#
# <details><summary>Hint 1: the idea</summary>Targets first, from the next states, and
# they are numbers: no gradient flows into them. Then Q(s, a) of the actions that were
# taken, the loss of each, one number, its gradient, one step of the
# optimiser.</details>
# <details><summary>Hint 2: the call</summary><code>parts.td_targets(batch.rewards,
# batch.discounts, batch.terminated, next_q)</code>, where <code>next_q</code> is all of
# <code>(B, A)</code>; <code>gather(1, batch.actions[:, None])</code> gives <code>(B,
# 1)</code>, <code>.squeeze(1)</code> makes <code>(B,)</code> of it;
# <code>parts.huber_loss(predicted, targets, parts.huber_delta)</code>. Then
# <code>zero_grad()</code>, <code>backward()</code>, <code>step()</code>, in this order.
# Networks take bytes and divide by 255 themselves.</details>
# <details><summary>Hint 3: who says what</summary><code>parts.target</code> values the
# next states. Only if <code>parts.double</code> the online network looks at them too.
# <code>parts.huber_delta</code> and <code>parts.loss_reduction</code>, "sum" or "mean",
# come from the recipe: no number of them is written in here.</details>
# <details><summary>Hint 4: what is reported</summary>Two tensors of shape
# <code>()</code>, <code>.detach().mean()</code>: the mean of the losses, also where
# their sum is learnt from, and the mean of Q(s, a) before the step. No
# <code>.item()</code>: on a GPU it would make the loop wait.</details>
# <details><summary>Hint 5: half precision</summary><code>.float()</code> behind each
# network's answer: networks may compute in 16 bits, targets and losses do
# not.</details>
# <details><summary>"RuntimeError: element 0 of tensors does not require grad and does
# not have a grad_fn"</summary>Q(s, a) was computed inside <code>torch.no_grad()</code>.
# Only the target belongs there.</details>
# <details><summary>"RuntimeError: grad can be implicitly created only for scalar
# outputs"</summary><code>backward()</code> starts from one number: the losses' sum or
# mean.</details>
# <details><summary>"RuntimeError: Index tensor must have the same number of
# dimensions"</summary><code>gather</code> wants an index of shape <code>(B, 1)</code>:
# <code>batch.actions[:, None]</code>.</details>
#
# **Think:** `zero_grad()` can stand before `backward()`, between `backward()` and
# `step()`, after `step()`, or nowhere. What does the network learn in each case?
# <details><summary>Answer</summary>Before and after are the same: an update begins with
# gradients of zero. Between, they are erased before they are used, and nothing is
# learnt. Nowhere, each update goes along the sum of all gradients since the beginning:
# it never forgets a batch, and the steps go on in a direction that has long been
# wrong.</details>

# %%
compare("training_step")

# %% [markdown]
# ## The loop
#
# Now the boxes around it. Everything that a loop works with comes in one object again,
# and the boxes are its methods:

# %%
# NBVAL_CHECK_OUTPUT
for method in (LoopParts.start, LoopParts.act, LoopParts.learn, LoopParts.remember):
    print(f"parts.{method.__name__:9} {method.__doc__.splitlines()[0]}")
counted = [field.name for field in dataclasses.fields(training.Counters)][:3]
print("parts.counters ", ", ".join(counted))
print("parts.lanes     send(actions), recv() -> rows")

# %% [markdown]
# `learn` knows by itself whether an update is due, and calls your `training_step`;
# `remember` moves the stacks, feeds the memory and counts. *Lanes* are the games that
# are played side by side (chapter 03): one in the old notebooks, sixteen in `laptop`.
# What is left to you is the order of the calls, and when to stop.
#
# ### Exercise 8.3 · training_loop · ●●○ · 10 minutes
#
# In a turn each lane makes one step; where its game has just ended it begins the next
# one instead, and that counts as none. `learn` stands between `send` and `recv`: while
# the network learns, the emulators emulate. It learns from what was remembered up to
# the turn before: one turn less, in a memory of 200,000 steps.


# %%
def training_loop(
    parts: LoopParts, total_steps: int, on_step: Callable[[LoopParts, Rows], bool]
) -> None:
    """Train until `total_steps` have been taken.

    Args:
        parts: environments, stack, memory, learner and counters.
        total_steps: steps of the whole run, those before a resume included: the loop
            begins with `parts.counters.steps`, which `parts.remember` moves on.
        on_step: called with `parts` and the rows at the end of each turn; a true answer
            ends the loop.
    Source: Mnih et al. 2015, Algorithm 1.
    """
    # 1. Start the games, once. 2. As long as there are steps to do: act, send, learn,
    # receive, remember, ask on_step.
    ### BEGIN SOLUTION
    parts.start()
    over = False
    while not over and parts.counters.steps < total_steps:
        actions = parts.act()
        parts.lanes.send(actions)
        parts.learn()
        rows = parts.lanes.recv()
        parts.remember(actions, rows)
        over = on_step(parts, rows)
    ### END SOLUTION


# %%
training_loop = check(training_loop)

# %% [markdown]
# **What you should see:** a badge, and below it what a loop with your step and your
# loop did in 400 steps of the small game of chapter 04, beside the reference's. A loop
# that never ends is stopped by the check, after ten seconds at most.

# %%
# NBVAL_CHECK_OUTPUT
SMALL = get_recipe(
    "gallery", lanes=2, frame_height=20, frame_width=20, architecture="mnih2013",
    learning_starts=100, memory_frames=2_000, total_steps=400, device="cpu",
    precision="fp32", threads=1,
)
step_and_loop = Pieces(training_step=training_step, training_loop=training_loop)
found = []
for pieces in (step_and_loop, REFERENCE):
    parts, seen = runs.build(runs.resolve(SMALL), pieces), []

    def note(parts: LoopParts, rows: Rows, seen: list = seen) -> None:
        seen.extend(parts.metrics)

    pieces.training_loop(parts, 400, note)
    found.append(torch.stack([metrics.loss for metrics in seen]))
    print(f"{parts.counters.steps} steps, {len(seen)} updates")
same = len(found[0]) == len(found[1])
print("equal losses:", same and torch.allclose(*found, rtol=1e-4, atol=1e-7))

# %% [markdown]
# By the formula of exercise 8.1, 75 updates are due after 400 steps. The 75th fell due
# with the last turn, after its `learn`.
#
# <details><summary>Hint 1: the idea</summary><code>parts.start()</code> once, then one
# turn after another as long as <code>parts.counters.steps</code> is below
# <code>total_steps</code>. A turn: act, send, learn, recv, remember, ask
# <code>on_step</code>.</details>
# <details><summary>Hint 2: the call</summary><code>actions = parts.act()</code>,
# <code>parts.lanes.send(actions)</code>, <code>parts.learn()</code>, <code>rows =
# parts.lanes.recv()</code>, <code>parts.remember(actions, rows)</code> (actions first),
# <code>on_step(parts, rows)</code>.</details>
# <details><summary>Hint 3: when it ends</summary>The counter is
# <code>parts.counters.steps</code>. <code>remember</code> moves it by as many steps as
# the lanes made, and after a resume it begins where the run was left: a counter of your
# own trains too long or too short. A true answer of <code>on_step</code> ends the loop
# after its turn, which has been remembered.</details>
# <details><summary>Hint 4: the order</summary><code>learn</code> between
# <code>send</code> and <code>recv</code>; <code>remember</code> after
# <code>recv</code>, with the actions that were sent; <code>on_step</code> after
# <code>remember</code>. Algorithm 1 learns after <code>remember</code>. That is right,
# too, but the network that acts next is then a turn newer, and the run is another one
# than the reference's: <code>equal losses: False</code> is right then.</details>
# <details><summary>"mine never ends"</summary>The counter moves in
# <code>remember</code>. Is it called in every turn, and does the condition read
# <code>parts.counters.steps</code> anew each time?</details>
#
# **Think:** a run is stopped after 300,000 steps and resumed for 300,000 more, with
# `total_steps` = 600,000. What does a loop `for step in range(total_steps)` do?
# <details><summary>Answer</summary>600,000 more turns, of up to sixteen steps each in
# <code>laptop</code>: more than nine million steps, with an epsilon that has long
# arrived at its end. Nothing is raised.</details>

# %% [markdown]
# ### Who waits for whom (aside)
#
# Why `learn` between `send` and `recv`? Take the time that each turn spends on the
# emulators, inside `send` and `recv`, for sixteen games of Breakout (four in `smoke`):
# in this order, and in the order that comes to mind first, learning when the step is
# over. The two orders alternate, five turns of the loop each, so that whatever else the
# machine does befalls both alike; ten seconds in all.


# %%
def learns_last(parts, total_steps, on_step):
    parts.start()
    while parts.counters.steps < total_steps:
        actions = parts.act()
        parts.lanes.send(actions)
        rows = parts.lanes.recv()
        parts.remember(actions, rows)
        parts.learn()
        on_step(parts, rows)


spent = {"send": [], "recv": [], "learn": []}  # milliseconds of each call


def put_clock_on(owner, name: str) -> None:
    call = getattr(owner, name)

    def timed(*arguments):
        begun = time.perf_counter()
        result = call(*arguments)
        spent[name].append(1e3 * (time.perf_counter() - begun))
        return result

    setattr(owner, name, timed)


# %%
recipe = get_recipe(
    "laptop", lanes=LANES, train_every_steps=LANES, updates_at_once=1,
    target_every_steps=100 * LANES, learning_starts=4 * LANES, memory_frames=20_000,
    device="cpu", precision="fp32", threads=1,
)
parts = runs.build(runs.resolve(recipe))
for owner, name in ((parts.lanes, "send"), (parts.lanes, "recv"), (parts, "learn")):
    put_clock_on(owner, name)
loops = {"learn between": REFERENCE.training_loop, "learn last": learns_last}
waited, updates = {order: [] for order in loops}, []
for number in range(ROUNDS):
    for order, loop in loops.items():
        spent.update(send=[], recv=[], learn=[])
        loop(parts, parts.counters.steps + 5 * LANES, lambda parts, rows: False)
        parts.games_restored = True  # the next loop goes on with these games
        if number > 0:  # in the first round nothing is learnt
            waited[order] += np.add(spent["send"], spent["recv"]).tolist()
            updates += spent["learn"]
parts.lanes.close()
for order, times in waited.items():
    print(f"{order:13} a turn spends {np.median(times):.1f} ms on the emulators")
print(f"an update takes {np.median(updates):.0f} ms; a turn of laptop makes four")

# %%
drawing, ax = figure(height=1.9)
dice = np.random.default_rng(0)
for place, (times, colour) in enumerate(
    zip(waited.values(), (BLUE, VERMILION), strict=True)
):
    ax.plot(times, place + dice.uniform(-0.18, 0.18, len(times)), ".", color=colour)
    ax.plot([np.median(times)] * 2, [place - 0.32, place + 0.32], color="black", lw=2)
ax.set(yticks=(0, 1), yticklabels=list(waited), ylim=(1.6, -0.6))
ax.set(xlabel="milliseconds of a turn spent on the emulators", xlim=(0, None))
show(drawing, "Two rows of dots, one for each turn, and their medians. Learning in "
     "between, turns spend less time on the emulators than learning last.")

# %% [markdown]
# Learning in between, the emulators are often ready when `recv` asks: the dots at the
# left edge are turns that spend some tenths of a millisecond on them. Learning last,
# each turn waits for all of their work. (Other programs at work push both rows to the
# right.) Beside the four updates of a turn that is a few parts in a hundred, on a CPU.
# The faster updates become, the more it is; chapter 10 goes there.
#
# keras-rl, the library of the two old notebooks, learns last: its `fit` chooses an
# action, lets the environment make a step, stores it and trains (keras-rl 0.4,
# `rl/core.py`).
#
# ### A counter that wraps (aside)
#
# One line of that library does matter. Its step counter is a 16-bit number, `np.int16`.
# Under NumPy 1 adding 1 to it made a wider number. NumPy 2 keeps the type. **What comes
# after step 32,767?**

# %%
# NBVAL_CHECK_OUTPUT
step, warm_up = np.int16(32_766), get_recipe("notebook_b").learning_starts
with np.errstate(over="ignore"):
    for _ in range(3):
        step = step + 1
        print(f"step {step:6}, is it after the warm-up? {step > warm_up}")

# %% [markdown]
# −32,768. The condition "later than the warm-up", 10,000 steps in the second notebook,
# is false again, for 42,769 steps; then it is true for 22,767, and so on: an agent that
# learns a third of its time, with an epsilon that goes back to its start and beyond.
# There is no error, at best a warning that scrolls away. The counters of this course
# are Python's integers, which cannot wrap.
#
# ## The first updates (aside)
#
# The first old notebook begins to learn after 50 steps, the second after 10,000. What
# is in the memory then? Play as the first notebook did, sixteen frames for each
# decision, at random, in four games at once (five seconds). Chapter 04 had a measure
# for a batch: the number of independent frames that it is worth, judged by how close
# its mean comes to the mean of all.

# %%
no_fire = dict(fire_at_start=False, fire_after_life=False)
recipe = get_recipe("laptop", repeat_actions=4, **no_fire)
lanes, rng = make_lanes(recipe, 4), np.random.default_rng(0)
seen = [lanes.reset(seed=0).frames]
for _ in range(PLAYED):
    lanes.send(rng.integers(4, size=4))
    seen.append(lanes.recv().frames)
lanes.close()
pixels = np.stack(seen).reshape(len(seen), 4, -1).astype(np.float32)
rest = pixels - pixels.mean(axis=(0, 1))  # (steps, games, pixels)


# %%
def worth(first: int, games: Sequence[int]) -> float:
    """Independent frames that 32 of the first so many steps of some games are worth."""
    errors = []
    for _ in range(40):
        batch = rest[rng.integers(first, size=32), rng.choice(games, size=32)]
        errors.append(np.square(batch.mean(axis=0)).sum())
    return np.square(rest).sum(axis=-1).mean() / np.mean(errors)


sizes = [size for size in (32, 50, 100, 200, 400, 800) if size <= PLAYED]
for size in sizes:
    each = [1 / worth(size, [game]) for game in range(4)]
    print(f"32 of the first {size:5,} steps are worth {1 / np.mean(each):4.1f}")
print(f"32 of all {len(rest) * 4:,} frames are worth {worth(len(rest), range(4)):.1f}")

# %% [markdown]
# A batch of 32 from the first 32 or 50 steps is worth about 4 frames, from 400 steps
# about 21, and from all the games all its 32. (Each number comes from random batches,
# forty of them or forty of each game, and is a few parts in a hundred off: 33.5 is 32,
# and 4.2 is no less than 4.4.) So the first updates of
# that notebook see little more than one situation, a first game in which hardly
# anything has happened. And they see it often: while the memory holds n steps, each of
# them is drawn 32 / n times at every update.

# %%
# NBVAL_CHECK_OUTPUT
for name in ("notebook_a", "notebook_b"):
    old = get_recipe(name)
    start, end = old.learning_starts, min(old.total_steps, old.memory_frames)
    looks = old.batch_size / old.train_every_steps
    print(f"{name}: the first step is drawn {looks * math.log(end / start):.0f} times,")
    print(f"   {looks * math.log(2):.0f} times until the memory has doubled,", end=" ")
    print(f"after {start:,} steps more")

# %% [markdown]
# In the 500,000 steps of the first notebook's recipe the first step is drawn 295 times,
# 22 of them within the next 50 steps, by a network that knows nothing else. It did
# recover: after 110,000 steps its last two known games had 14 and 13 points. What the
# first updates cost it, nobody knows, since nobody ran it with another warm-up;
# `--recipe notebook_a --learning-starts 10000` would. Waiting costs nothing but some
# random play.
#
# ## Five probes
#
# Will the loop learn? You could start Breakout and look again after half an hour. If
# the score is 1 then, is it too early, or is a piece wrong, and which? Ask smaller
# questions: games of two or three seconds, each of which needs one thing more than the
# one before.

# %%
titles = [f"{probe.number} {probe.title}" for probe in PROBES]
ways = [(0,), (0, 1), (0, 1), (0,), (0, 2)]
figures.show_grid(
    [[probe.game.draw(way[min(place, len(way) - 1)]) for probe, way in
      zip(PROBES, ways, strict=True)] for place in (0, 1)],
    ["a screen", "another, or\nthe next"],
    titles,
    alt="Black screens with one bright block, at the left, in the middle or at the "
    "right. In the fifth probe the block moves from the left to the middle.",
    height=1.5,
)

# %% [markdown]
# | | the game | what must come out | what it asks |
# | --- | --- | --- | --- |
# | 1 | one screen, one button, one point, over | 1 | does a value become the reward? |
# | 2 | one of two screens; one is worth a point | 0 and 1 | does the network see? |
# | 3 | two screens in a row, the point comes last | 0.9 and 1 | next state, mask, target |
# | 4 | one screen, two buttons, one wins | 0 and 1, and played | Q of the action |
# | 5 | a block from left or right: press where it goes | 0 and 1, and played | the stack |
#
# What a probe is not about is left out of it. The first two have discount 0, so there
# is no next state to go wrong; the first three have a single action; only the last has
# a stack of more than one frame. So **the first probe that fails says where to look**.
# They are small environments, played and learnt by the loop of Breakout, with frames of
# 20 × 20 pixels and the network of 2013. The idea and the first four rungs are those of
# Andy Jones ("Debugging RL, Without the Agonizing Pain", 2021), with pictures in place
# of numbers; the fifth asks for stacks instead.
#
# Let your own pieces climb (ten to fifteen seconds). Those that passed their checks lie
# in `my_dqn`, those of this chapter among them; the reference's stand in for the
# others.


# %%
def my_pieces() -> Pieces:
    """What the checks have saved in `my_dqn`, and the reference's for the rest."""
    folder = current().home / "my_dqn"
    try:
        return load_pieces(folder)
    except RunError as error:
        print("the reference's pieces:", str(error).replace(str(folder), "my_dqn"))
        return REFERENCE


mine = my_pieces()
print("yours:", ", ".join(getattr(mine, "yours", [])) or "none yet")

# %%
outcomes = run_probes(mine, PROBES[:RUNGS])

# %% [markdown]
# In brackets is what must come out. You know now that values become rewards, that the
# network sees, that the future counts and ends, that actions are told apart and motion
# is seen. What does it look like if not? Here are five agents with one broken piece
# each.

# %%
# NBVAL_CHECK_OUTPUT
for fault in FIVE:
    print(f"{fault.piece:14} {fault.what}")

# %% [markdown]
# Each of them climbs until it falls. That takes 20 seconds, twice as long on a busy
# machine; a line comes as soon as one has fallen. **Write down meanwhile** on which
# probe each will fall.

# %%
heights = []
for fault in FIVE[:BROKEN]:
    outcomes = (run_probe(probe, fault.pieces) for probe in PROBES[:RUNGS])
    fallen = next(outcome for outcome in outcomes if not outcome.passed)
    heights.append(fallen.probe.number)
    print(fallen)

# %%
drawing, ax = figure(height=1.0 + 0.5 * BROKEN)
for row, fell_at in enumerate(heights):
    for place in range(fell_at):
        fails = place == fell_at - 1
        colour = VERMILION if fails else figures.SKY
        ax.add_patch(Rectangle((place, row), 0.94, 0.9, facecolor=colour, alpha=0.7))
        text = "fails" if fails else "passes"
        ax.text(place + 0.47, row + 0.45, text, ha="center", va="center")
names = [title.replace(" ", "\n", 1) for title in titles]
ax.set(xlim=(0, 5), ylim=(BROKEN, 0), xticks=np.arange(5) + 0.47, xticklabels=names)
ax.set(yticks=np.arange(BROKEN) + 0.45, yticklabels=[f.what for f in FIVE[:BROKEN]])
ax.xaxis.tick_top()
ax.tick_params(length=0)
ax.spines[:].set_visible(False)
ax.grid(False)
show(drawing, "A staircase. Each broken agent passes the probes before its own and "
     "fails that one: the first the first probe, the second the second, and so on.")

# %% [markdown]
# Where an agent has fallen, what lies higher says nothing about it. The lines above
# also tell what was found: with no mask, values above all that there is to win; with
# stacks the wrong way round, values between 0 and 1 that fit neither. That agent wins
# nearly every game all the same: two values that are both wrong still have an order,
# and here it happens to be the right one. A score alone would have passed it.
#
# ### Exercise 8.4 · Which piece is it? · ●●○ · 10 minutes
#
# A failed probe leaves two to five suspects. One more experiment finds the culprit:
# take the reference's piece in place of the suspect, run the probe again, and see
# whether it passes now. Write it down as a program. Three patients wait. Every suspect
# of theirs is somebody's own, as yours are, and all but one are right: only the
# experiment tells. `Pieces` is a dataclass, and `dataclasses.replace(patient,
# td_targets=other)` gives the same pieces but one; for a name that is in a variable
# write `**{name: other}`.


# %%
def find_piece(patient: Pieces, probe: Probe) -> list[str]:
    """Names of the pieces that heal the patient if the reference's takes their place.

    Args:
        patient: pieces of an agent that fails the probe.
        probe: has `look_at`, the names of the suspects; `run_probe(probe, pieces)`
            gives an outcome that has `passed`.
    """
    # For each suspect: the patient with the reference's piece. Does it pass?
    ### BEGIN SOLUTION
    culprits = []
    for name in probe.look_at:
        healed = dataclasses.replace(patient, **{name: getattr(REFERENCE, name)})
        if run_probe(probe, healed).passed:
            culprits.append(name)
    return culprits
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
def ask_about(name: str) -> None:
    patient = PATIENTS[name]
    question = f"patient {name} fails probe {patient.probe.number}"
    wanted, agent = [patient.piece], patient.among_own
    beside(question, wanted, find_piece, agent, patient.probe, told=False)


ask_about("P")

# %% [markdown]
# And two more (none in `smoke`), for ten to twenty seconds.

# %%
for name in "QR"[: BROKEN - 1]:
    ask_about(name)

# %% [markdown]
# **What you should see:** ✅, in `normal` mode three times, and no patient has more than
# one culprit.
#
# <details><summary>Hint 1: the idea</summary>One suspect at a time, all other pieces
# stay the patient's: begin each time with <code>patient</code>, not with what the turn
# before made of it. The one whose exchange makes the probe pass is it.</details>
# <details><summary>Hint 2: the call</summary><code>getattr(REFERENCE, name)</code> is
# the reference's piece of that name, and <code>run_probe(probe, healed).passed</code>
# is true or false.</details>
# <details><summary>"TypeError: Pieces.__init__() got an unexpected keyword argument
# 'name'"</summary><code>replace(patient, name=piece)</code> looks for a piece that is
# called "name". <code>**{name: piece}</code> takes what stands in the
# variable.</details>
# <details><summary>"TypeError: replace() takes 1 positional argument but 2 were
# given"</summary>The two stars are missing before <code>{name: piece}</code>.</details>
# <details><summary>"mine names them all"</summary>In an <code>if</code> every outcome
# counts as true, a failed one too: ask for its <code>.passed</code>.</details>
#
# **Think:** the function returns an empty list for an agent. Is every piece right?
# <details><summary>Answer</summary>No. It says only that no single suspect heals it.
# Two pieces may be broken at once, or the culprit may stand outside the list of
# suspects. Begin then with the reference and put in one piece of yours after
# another.</details>
#
# ## A game in a minute
#
# Now a game that needs all of it: the shooting gallery of chapter 04. A target swings
# above a gun, the shot takes two steps to arrive, and a hit is a point. Who plays at
# random hits once in twelve; the best there is, is 1 from every start. Your pieces,
# from `my_dqn`, and a curve that grows while they learn: for half a minute, or more
# than a whole one on a busy machine. The light blue *band* is made of five trainings that
# came with the course: 95 of 100 further ones are expected inside it at any one step.


# %%
band = shipped_band("gallery")


def compared_with(ax) -> None:
    """What is drawn beside the curve."""
    edges = band.steps, band.low, band.high
    ax.fill_between(*edges, color=figures.SKY, alpha=0.3, label="the band")
    ax.axhline(1, color=GREEN, linestyle="--", label="the best there is")
    ax.axhline(1 / 12, color=GREY, linestyle="--", label="random play")


# %%
class LiveCurve:
    """Draws the share of the last 100 games that were won, again and again."""

    def __init__(self, every: int):
        self.every, self.due, self.handle = every, every, None
        self.scores, self.points = [], []

    def __call__(self, parts: LoopParts, rows: Rows) -> bool:
        self.scores += [game.score for game in parts.finished]
        if parts.counters.steps >= self.due:
            self.due += self.every
            self.points.append((parts.counters.steps, np.mean(self.scores[-100:])))
            self.draw()
        return False

    def draw(self) -> None:
        drawing, ax = figure(height=2.8)
        ax.plot(*zip(*self.points, strict=True), color=BLUE, marker=".", label="yours")
        compared_with(ax)
        ax.set(xlabel="steps", ylabel="points per game", ylim=(0, 1.05))
        ax.set_xlim(0, TRAINED)
        ax.legend(loc="center right")
        step, score = self.points[-1]
        picture = show(drawing, f"After {step:,} steps {score:.2f} points per game.")
        if self.handle is None:
            self.handle = display(picture, display_id=True)
        else:
            self.handle.update(picture)


# %%
gallery = get_recipe(
    "gallery", total_steps=TRAINED, learning_starts=min(1_000, TRAINED // 2),
    device="cpu", precision="fp32", threads=1,
)
parts, curve = runs.build(runs.resolve(gallery), mine), LiveCurve(TRAINED // DRAWN)
started = time.perf_counter()
mine.training_loop(parts, gallery.total_steps, curve)
seconds = time.perf_counter() - started
print(f"{parts.counters.updates:,} updates, {len(curve.scores):,} games,", end=" ")
print(f"{seconds:.0f} seconds")
print("Your training is", beside_band(band, gallery, *zip(*curve.points, strict=True)))

# %%
result = evaluate_network(gallery, parts.learner.q_values, GAMES, epsilon=0.0, seed=0)
print(f"without random actions: {result.mean:.2f} points, of {GAMES} games")

# %% [markdown]
# In `normal` mode it ends near 0.9 in training, where one action in twenty is random,
# and at 1.00 without: the network hits from every start. (The 300 steps of
# `smoke` teach it nothing.) On a game whose best score is known, there is no arguing
# whether an agent has learnt. Nor about how fast: a training that stays below the band is
# slower than luck explains, and three points in a row outside are called a trend.
#
# The same on the command line, with the run kept in a folder. Commands of this page are
# typed in the course's folder, the one that holds `README.md` and `my_course`; `my_dqn`
# is found in `my_course`.
#
# ```sh
# python -m dqn_ref train --recipe gallery --pieces my_dqn --run-dir my_course/runs/gallery
# ```
#
# ## What a run leaves behind
#
# `train` is your loop and an `on_step` that writes. To see all of it, run the first old
# notebook as it was for a few steps: seed 123, a line in the log for each game, weights
# every 500 steps (every 50 here), and a live picture. The old notebook could show it in
# colour or as the network sees it, with the frame's number and the action; here is
# both, for ten to twenty seconds: this agent learns at every step.

# %%
desk = tempfile.TemporaryDirectory()
folder = Path(desk.name)


def fresh(name: str) -> Path:
    """A folder for a run; what an earlier run of the cell left there goes."""
    shutil.rmtree(folder / name, ignore_errors=True)
    return folder / name


old_a = get_recipe(
    "notebook_a", total_steps=LOOKED, weights_every_steps=50, memory_frames=5_000,
    device="cpu", precision="fp32", threads=1,
)


def every_second_pixel(screen: np.ndarray) -> np.ndarray:
    return screen[::2, ::2].mean(axis=2).astype(np.uint8)


def watched():
    return show_live(make_gym_env(old_a), view="both", sees=every_second_pixel)


my_loop = Pieces(training_loop=training_loop)
parts = runs.train(old_a, fresh("old_a"), my_loop, make_env=watched)

# %% [markdown]
# A line per game: steps so far, the game's number, its length, its reward, the mean
# action, the mean grey level, loss, errors, Q and epsilon, in keras-rl's order. (The
# loop is yours. The step is the reference's here: for these lines it reports errors,
# too, which nobody asked of yours.) The second old notebook logged a line per interval
# of 10,000 steps, fewer here, and with a warm-up of 40. (`ale_lives`, its last number,
# is the mean of the lives that were left. The old log has twice that, as chapter 03
# found.)

# %%
old_b = get_recipe(
    "notebook_b", total_steps=2 * LOOKED, log_every_steps=LOOKED, learning_starts=40,
    memory_frames=5_000, device="cpu", precision="fp32", threads=1,
)
parts = runs.train(old_b, fresh("old_b"), my_loop)

# %%
# NBVAL_CHECK_OUTPUT
print(*sorted(path.name for path in (folder / "old_a").iterdir()), sep="\n")

# %% [markdown]
# | file | what is in it |
# | --- | --- |
# | `recipe.json` | every setting, so that the run can be told from others and resumed |
# | `machines.jsonl` | what it ran on |
# | `log.csv` | a row per interval: steps, seconds, score, epsilon, loss, Q, steps/s |
# | `games.csv` | a row per game |
# | `episodes.csv`, `intervals.csv` | the lines above, for programs |
# | `tensorboard` | the same numbers for TensorBoard |
# | `weights.safetensors` | the online network |
# | `checkpoint.safetensors` | all that a resume needs |
#
# Files are appended or replaced whole, so a run can be killed at any moment. The
# history opens in pandas:

# %%
columns = "agent_steps updates episodes score_mean epsilon loss q_mean".split()
history(record)[columns].iloc[[1, 4, 16, 48, -1]].round(3)

# %% [markdown]
# TensorBoard shows the same curves in a browser, and several runs in one picture. It
# needs no internet: `tensorboard --logdir my_course/runs` in the course's folder, and
# open the address that it prints. (In a notebook: `%load_ext tensorboard`, then
# `%tensorboard --logdir …`.) Its files can be read by a program, too:

# %%
# NBVAL_CHECK_OUTPUT
events = EventAccumulator(str(folder / "old_b" / "tensorboard"))
events.Reload()
print(sorted(events.Tags()["scalars"]))
print("rows of train/loss:", len(events.Scalars("train/loss")))

# %% [markdown]
# ### Exercise 8.5 · Questions to a log · ●○○ · 5 minutes
#
# A curve is looked at, a table is asked. After how many steps was the score first at
# 16, about what the second old notebook's last known lines have?


# %%
def first_step_at(log: pd.DataFrame, score: float) -> int | None:
    """Steps in the first row whose mean score is at least so high; None if never.

    Args:
        log: as `history` returns it: `agent_steps`, `score_mean` and more.
        score: points, mean of the last 100 games.
    """
    # 1. The rows that are high enough. 2. The first one's steps, if there is one.
    ### BEGIN SOLUTION
    high = log[log["score_mean"] >= score]
    return None if high.empty else int(high["agent_steps"].iloc[0])
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
tiny = pd.DataFrame({"agent_steps": [10, 20, 30], "score_mean": [1.0, 3.0, 2.0]})
beside("3 points in a log of three rows", 20, first_step_at, tiny, 3.0)
beside("16 points", 100_002, first_step_at, log, 16.0)
beside("30 points", 226_009, first_step_at, log, 30.0)
beside("100 points", None, first_step_at, log, 100.0)

# %% [markdown]
# **What you should see:** four times ✅.
#
# <details><summary>Hint 1: the idea</summary>A column compared with a number is a
# column of true and false, and a table takes such a column as an index.</details>
# <details><summary>Hint 2: the call</summary><code>log[log["score_mean"] &gt;=
# score]</code>, then <code>.iloc[0]</code> for its first row; <code>.empty</code> says
# whether it has none.</details>
# <details><summary>"IndexError: single positional indexer is
# out-of-bounds"</summary>There is no such row: that is the case in which
# <code>None</code> is asked for.</details>
# <details><summary>"ValueError: The truth value of a Series is ambiguous"</summary>You
# gave back a whole column. One number of it is asked for:
# <code>.iloc[0]</code>.</details>
#
# **Think:** the games' own table says that the mean of the last 100 games was first at
# 16 after 99,144 steps. Why is the log later?
# <details><summary>Answer</summary>It has one row per 2,000 steps, and says how things
# stood at that moment. It can also miss a peak between two rows
# altogether.</details>
#
# Three more questions, of the sort that one asks on the day after:

# %%
best = log.loc[log["score_mean"].idxmax()]
print(f"best interval: {best.score_mean:.1f} points at step {best.agent_steps:,.0f}")
slow = log[log["updates"] > 0].nsmallest(3, "steps_per_second")
for row in slow.itertuples():
    print(f"slow: {row.steps_per_second:.0f} steps/s up to step {row.agent_steps:,}")
looks = 32 * log["updates"].diff().sum() / log["agent_steps"].diff().sum()
print(f"looks per step, from the first row to the last: {looks:.2f}")

# %% [markdown]
# ### What a checkpoint holds
#
# Train the small gallery for twice 400 steps (twice 150 in `smoke`): once in one go,
# once with a stop in the middle, resumed from its checkpoint. Same seed. Are the two
# networks equal?

# %%
halves = dataclasses.replace(
    SMALL, total_steps=2 * HALF, checkpoint_memory=True, checkpoint_every_steps=HALF
)
straight = runs.train(halves, fresh("straight"), step_and_loop, show_bar=False)
first = dataclasses.replace(halves, total_steps=HALF)
runs.train(first, fresh("halves"), step_and_loop, show_bar=False)
longer = runs.resume_recipe(folder / "halves", total_steps=2 * HALF)
resumed = runs.train(
    longer, folder / "halves", step_and_loop, resume=True, show_bar=False
)

# %%
# NBVAL_CHECK_OUTPUT
networks = straight.learner.online.parameters(), resumed.learner.online.parameters()
pairs = list(zip(*networks, strict=True))
print("equal, bit for bit:", all(torch.equal(one, two) for one, two in pairs))
print("games:", straight.counters.games == resumed.counters.games)

# %% [markdown]
# k steps and k steps are 2k steps. What has to be in a file for that?

# %%
tensors, about = load_tensors(folder / "halves" / "checkpoint.safetensors")
sizes = pd.Series({name: tensor.nbytes for name, tensor in tensors.items()})
print(sizes.groupby(sizes.index.str.split(".").str[0]).sum().map("{:,} bytes".format))

# %%
# NBVAL_CHECK_OUTPUT
print(", ".join(sorted(about)))

# %% [markdown]
# Both networks, for the target is the online network of some time ago; what the
# optimiser remembers; the memory; the stacks; the games themselves; every generator of
# random numbers; the counters. If one of them is missing, the two runs need not stay
# equal.
#
# Two things are usually not in it. The *memory* is 1.4 GB for `laptop`, so it is
# written only with `--checkpoint-memory yes`; without it a resumed run plays until a
# new memory has `learning_starts` steps, with the epsilon that it had, and then learns
# on. And *ALE's games* cannot be saved through its vector environment: they begin anew.
# A resumed Breakout is as good as an uninterrupted one, not equal to it.
#
# ## The old logs (aside)
#
# The second old notebook printed a line per 10,000 steps. Some of its lines are known
# (`results/notebooks/notebook_b_original.csv`, where `steps_before` is the step at
# which an interval begins), and this course ran the same recipe again with the log that
# you have just seen.

# %%
notebooks = record.parent / "notebooks"
old_log = pd.read_csv(notebooks / "notebook_b_original.csv")
rerun = pd.read_csv(notebooks / "notebook_b" / "intervals.csv")
both = old_log.merge(rerun, on="steps_before", suffixes=("_then", "_now"))
both[["steps_before", "episodes_then", "episodes_now", "reward_mean_then",
      "reward_mean_now", "mean_q_then", "mean_q_now"]].round(2)

# %%
drawing, axes = figure(height=3.2, columns=2)
for ax, column, label in zip(
    axes, ("reward_mean", "mean_q"), ("points per game", "mean of max Q"), strict=True
):
    ax.plot(old_log.steps_before / 1e6, old_log[column], "o", color="black",
            label="old notebook")
    ax.plot(rerun.steps_before / 1e6, rerun[column], color=BLUE, label="this course")
    ax.set(xlabel="steps (millions)", ylabel=label, ylim=0)
axes[0].legend(loc="upper left")
show(drawing, "Left: the old notebook's points per game, six groups of dots, rise from "
     "1.5 to 18 and end at 13; our shorter run begins on the first and ends at 2.2. "
     "Right: its Q-values rise to 2 along our curve, are at 4, then at 3.4, and end at "
     "4.5. Our curve goes to 4.3 and ends at 4.1.")

# %% [markdown]
# Six intervals stand in both logs, to step 60,000: nearly as many games, scores alike,
# and Q-values (known in four of them) that rise together. So far the rerun, on another
# library and with other versions, looks like the same agent; of what comes after
# step 60,000 the two logs share nothing.
#
# Read the old curve as you would your own. Here are the means of its six groups.

# %%
group = (old_log["interval"].diff() != 1).cumsum()
columns = ["steps_before", "mean_eps", "reward_mean", "mean_q"]
old_log.groupby(group)[columns].mean().round(2)

# %% [markdown]
# The score rises as long as epsilon falls, to 1.25 million steps, and not after.
# Q-values fall from 3.93 to 3.39 while the score more than doubles, and at last rise
# from 3.85 to 4.44 while it goes down a little. Neither of the two curves alone says
# how the agent plays.
#
# The first old notebook's log was cut off after 110,460 of its 500,000 steps, and two
# games at each end are known (`results/README.md`): 4 and 3 points in the first two,
# 14 and 13 in the last two.

# %%
games_a = pd.read_csv(notebooks / "notebook_a" / "episodes.csv")
columns = ["agent_steps", "episode_steps", "episode_reward", "mean_eps"]
print(games_a[columns].iloc[[0, 1, -2, -1]].round(3))
print(f"mean of its last 100 games: {games_a.episode_reward.tail(100).mean():.2f}")

# %% [markdown]
# Now 1 and 2 points at first, then 13 and 14 at the end, after about as many steps. A log
# also settles what a comment says. One in the second old notebook has it that the
# learning "kicks in at interval 6". In its log the loss begins here:

# %%
# NBVAL_CHECK_OUTPUT
began = old_log.dropna(subset="loss").iloc[0]
print(f"interval {began.interval:.0f}, from step {began.steps_before:,.0f}")

# %% [markdown]
# In interval 2, right after the warm-up. (Another says that it trains at every fourth
# step since a state has four frames. The two fours have nothing to do with each other.)

# %% [markdown]
# ## Breakout
#
# Now the real thing. A training of hours does not belong in a notebook: restart the
# kernel, and it is gone. So the button below starts a process of its own, which trains
# with *your* pieces and writes into `my_course/runs/breakout`. The panel only reads
# that folder.

# %%
panel = dashboard("breakout", recipe="laptop", pieces="my_dqn", total_steps=300_000)
panel

# %% [markdown]
# Press **Train**. After 5 to 20 seconds the line says `running`, with the steps so far
# and `filling the memory`: 5,000 steps without learning, which go fast. Once it learns,
# the line has steps per second and the time to go. Curves come with the first rows of
# the log, the agent at play with its first weights. What you can rely on:
#
# - **Restart the kernel**, then run two cells: the chapter's first, with the imports,
#   and the one above. The panel finds the run and follows it. Nothing is lost, since
#   nothing was in the notebook.
# - **Stop** lets the step finish, writes a checkpoint, and ends the process. **Go on**
#   resumes from there, with the pieces the run began with; change `my_dqn` meanwhile,
#   and it is for the next run.
# - Switch the machine off, and the panel says `interrupted` the next time. Press **Go
#   on**: the run goes on from its last checkpoint, at most 20,000 steps back, and rows
#   of the log beyond it are dropped.
# - **To train longer**, write a larger `total_steps` into the cell, run it, and press
#   Go on. All other settings stay as the run was begun, and the panel says so where the
#   cell asks for others.
# - The same from a terminal, in the course's folder: `python -m dqn_ref runs --folder
#   my_course/runs` lists what there is; `python -m dqn_ref runs stop breakout --folder
#   my_course/runs` and `… resume breakout …` do what the buttons do.
#
# Green behind your score is the band of the course's three trainings with this recipe.
# They have three-step returns (`n_step=3`, chapter 11), which a `ReplayMemory` of single
# steps cannot give; so you may well be below it; the panel then names the difference.
#
# How long? The run from the top made 226 steps a second on two cores of a server. A
# `ReplayMemory` or wrappers of your own may be slower; the line tells, once learning
# has begun. What to expect when, in that run:

# %%
# NBVAL_CHECK_OUTPUT
for steps in (10_000, 34_000, 58_000, 100_000, 200_000, 300_000):
    row = log[log["agent_steps"] >= steps].iloc[0]
    print(f"{steps:7,} steps, {row.wall_seconds / 60:2.0f} min: score", end=" ")
    print(f"{row.score_mean:4.1f},", end=" ")
    print(f"mean Q {row.q_mean:.2f}, loss {row.loss:.3f}, epsilon {row.epsilon:.2f}")

# %% [markdown]
# ## When it does not learn
#
# Look in this order (`docs/troubleshooting.md` has it with commands). Is it *too
# early*? Is *epsilon* still high? Do *updates* come? Do the *probes* pass? Does the
# *gallery*? What do *score, Q and loss* say together? Only then change a setting.
#
# ### Exercise 8.6 · Read three curves · ●●○ · 5 minutes
#
# Three agents, each with one broken piece, on the fourth probe (one in `smoke`). You
# get what a dashboard would show: score, mean Q and loss. The best score is 1, the
# right button is worth 1, the other nothing, and a random player wins every second
# game.


# %%
def curves_of(pieces: Pieces) -> pd.DataFrame:
    """Score, mean Q and loss of a training on the fourth probe, every 10 steps."""
    probe, rows, scores, found = PROBES[3], [], [], []
    parts = runs.build(runs.resolve(probe.recipe), pieces, make_env=probe.game)

    def note(parts: LoopParts, _) -> bool:
        scores.extend(game.score for game in parts.finished)
        found.extend(parts.metrics)
        new = not rows or rows[-1][0] != parts.counters.steps
        if parts.counters.steps % 10 == 0 and found and new:
            loss, q_mean = (np.mean([float(m[i]) for m in found]) for i in (0, 1))
            rows.append((parts.counters.steps, np.mean(scores[-50:]), q_mean, loss))
            found.clear()
        return False

    pieces.training_loop(parts, probe.steps, note)
    return pd.DataFrame(rows, columns=["steps", "score", "mean Q", "loss"])


# %%
sick = {name: SICK[name] for name in "ABC"[:READ]}
tables = {"right": curves_of(REFERENCE)}
tables |= {name: curves_of(fault.pieces) for name, fault in sick.items()}

# %%
drawing, axes = figure(11.0, 2.9, columns=3)
pens = dict(right=(GREY, "-", 6), A=(VERMILION, "--", 2), B=(BLUE, "-.", 2))
pens["C"] = (GREEN, ":", 2)
for ax, column in zip(axes, ("score", "mean Q", "loss"), strict=True):
    for name, table in tables.items():
        colour, style, width = pens[name]
        line = dict(color=colour, lw=width, label=name)
        ax.plot(table["steps"], table[column], style, **line)
    ax.set(xlabel="steps", title=column)
axes[2].set_yscale("log")
axes[1].legend(loc="upper left", fontsize=11)
show(drawing, "Three plots. Agent A wins like the right one while its Q-values climb "
     "far above 1. B's values are nearly the right one's, its score stays at a half. "
     "C's values and its loss fall to nothing, and its score stays at a half.")

# %% [markdown]
# Which piece is broken in each? There are four suspects, one of them innocent:
# `clip_reward`, `QNetwork`, `td_targets`, `linear_schedule`. Say why before you write.


# %%
def diagnosis() -> dict[str, str]:
    """The broken piece of A, B and C."""
    ### BEGIN SOLUTION
    return {"A": "td_targets", "B": "linear_schedule", "C": "clip_reward"}
    ### END SOLUTION


def healed_by_diagnosis(name: str) -> bool:
    """Whether the agent passes with the piece that you named exchanged."""
    piece = diagnosis()[name]
    exchanged = {piece: getattr(REFERENCE, piece)}
    patient = dataclasses.replace(sick[name].pieces, **exchanged)
    return run_probe(PROBES[3], patient).passed


# %%
for name in sick:
    beside(f"agent {name} is healed", True, healed_by_diagnosis, name)

# %% [markdown]
# **What you should see:** three times ✅: a diagnosis is tried, not believed.
#
# <details><summary>Hint 1: the idea</summary>Values that climb beyond what there is to
# win: the future does not end. Values that are right and a score that is not: what is
# known is not played. Values that go to nothing: nothing is ever won, as far as the
# memory knows.</details>
# <details><summary>Hint 2: the call</summary><code>return {"A": "…", "B": "…", "C":
# "…"}</code>, each with one of the four names.</details>
# <details><summary>"KeyError: 'A'"</summary>The dictionary has no entry for that agent:
# its keys are "A", "B" and "C".</details>
# <details><summary>"AttributeError: … has no attribute …"</summary>The name of the piece
# is not spelt as in the text.</details>
#
# **Think:** agent C has the smallest loss nearly all the time. Somebody compares
# settings by their loss, and keeps the best. What will be kept?
# <details><summary>Answer</summary>Whatever makes all targets alike: rewards that are
# lost on the way, a network that sees nothing, a discount of 0. The loss compares the
# network with targets that it made itself, and agrees with itself best where there is
# nothing to learn.</details>
#
# ## Summary
#
# > - A turn: act, send, learn, receive, remember, tell. Between `send` and `recv` the
# >   emulators work while the network learns.
# > - The step takes all from its parts: formulas, threshold, sum or mean, Double.
# > - The first probe that fails says where to look; exchanging a piece says which.
# > - 50 steps of warm-up are one situation, learnt again and again.
# > - Judge by the score, then by Q-values beside what can be won; never by the loss.
# > - What is in the folder survives; what is in the notebook does not. A checkpoint
# >   without memory and games is enough to go on, not to be equal.

# %%
progress()

# %% [markdown]
# ## Quiz
#
# 1. A log says: 60,000 steps, 0 updates, score 1.1, loss nan. `learning_starts` is
# 50,000, and the memory has a capacity of 40,000 frames. What happened?
# <details><summary>Answer</summary>A loop that waits until the memory <em>holds</em>
# 50,000 steps waits for ever. This course's recipes refuse such a pair of numbers, and
# count steps played since the memory was empty, not its length.</details>
#
# 2. Your agent passes all five probes and the gallery, and after 20,000 steps of
# Breakout the score is 1.2. What do you do?
# <details><summary>Answer</summary>Wait. In the run from the top it stayed at random
# play's level for the first 20,000 steps, too, and was 7.2 after 58,000.</details>
#
# 3. A loop remembers, with each step, the action of the turn before. Which probe fails
# first, and why none before it?
# <details><summary>Answer</summary>The fourth. In the first three there is a single
# action, so a wrong one cannot be stored. In the fourth each reward is credited to
# whatever was pressed before, and the two values mix.</details>
#
# 4. A run with `--checkpoint-memory no` is resumed every hour. What does it cost?
# <details><summary>Answer</summary>Every hour the memory begins empty: 5,000 steps of
# play without learning in <code>laptop</code>, then batches from a few thousand recent
# steps. At 226 steps a second the memory has 200,000 again after a quarter of an hour.
# Until then it is the warm-up's problem, every hour anew.</details>
#
# The agent trains. How good is it? A score during training has random actions in it,
# and a network that changes from game to game. Chapter 09 asks properly, and films the
# answer.
