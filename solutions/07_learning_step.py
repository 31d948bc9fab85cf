# %% [markdown]
# # 07 · The learning step
#
# A network says what each action is worth. Then something happens: a brick breaks, a
# ball is lost, nothing. In this chapter the network learns from it. You write the four
# formulas of that step, break each of them in the ways in which people break them, and
# make a first update on transitions of real Breakout.
#
# **Goals**: work out a TD target by hand, and for a batch · say what a missing terminal
# mask and a limit of time do to the values · tell squared error, Huber loss and error
# clipping apart by value and by gradient · keep gradients out of the target, and move
# the target network · write Nature's RMSProp · read a logged error with suspicion.
#
# **Prerequisites**: chapter 01 (returns, Q-learning), 04 (the memory), 05 (the
# network).
#
# **Minutes**: 120
#
# Sections marked (aside) can wait: run their cells, and read them another day. They
# take 35 minutes more. A good place for a pause is marked, after an hour or so.

# %%
import copy
import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
from matplotlib.ticker import NullLocator
from torch import nn

from dqn_ref import agents, learner
from dqn_ref.course import begin, check, compare, figures, progress, shipped_run
from dqn_ref.course.figures import BLUE, GREEN, GREY, ORANGE, VERMILION, figure, show
from dqn_ref.environments import make_lanes
from dqn_ref.evaluation import greedy_policy
from dqn_ref.frames import FrameStack
from dqn_ref.network import QNetwork
from dqn_ref.recipes import get_recipe
from dqn_ref.replay import Batch, ReplayMemory

# %%
MODE = begin("07").mode
DECISIONS = {"smoke": 300, "normal": 2_000, "full": 10_000}[MODE]  # of recorded play
UPDATES = {"smoke": 20, "normal": 300, "full": 2_500}[MODE]  # of two networks
REPEATS = {"smoke": 4, "normal": 100, "full": 400}[MODE]  # on one batch
OTHERS = {"smoke": 32, "normal": 256, "full": 256}[MODE]  # steps that nobody trains on

# %% [markdown]
# ## A brick, and what it was worth
#
# Start from somebody who knows the game: the agent that comes with this course, which
# has watched 338,810 screens (`results/README.md`). Let it play into a memory, as
# chapter 04's record was made, with one action in twenty at random. `make_lanes` runs
# games side by side, here one; `send` hands it an action and `recv` gets the row that
# follows: screen, reward, and what ended. Where `reset_row` is true, that screen is the
# first of a new game and no answer to an action.

# %%
recipe, trained = agents.load_agent(
    shipped_run("breakout-laptop-seed-0"), precision="fp32"
)


def play_into(memory: ReplayMemory, decisions: int) -> None:
    lanes, stack = make_lanes(recipe, 1), FrameStack(1)
    policy = greedy_policy(trained.q_values, 0.05, np.random.default_rng(0))
    rows = lanes.reset(seed=0)
    for _ in range(decisions):
        if rows.reset_row[0]:
            memory.begin(rows.frames[0])
        starts = rows.reset_row | rows.life_lost
        action = policy(stack.push(torch.from_numpy(rows.frames), starts))
        lanes.send(action)
        rows = lanes.recv()
        if not rows.reset_row[0]:
            reward, ended = rows.rewards[0], rows.life_lost[0] or rows.game_over[0]
            facts = (action[0], np.clip(reward, -1, 1), ended, rows.truncated[0])
            memory.add(*facts, rows.frames[0])
    lanes.close()


# %%
class InOrder:
    """A random generator that is not random: positions 0, 1, 2 …"""

    def integers(self, high, size):
        return np.arange(size) % high


memory = ReplayMemory(capacity=DECISIONS + 100)
play_into(memory, DECISIONS)
played = memory.sample(len(memory), InOrder())
print(f"{len(memory):,} steps, {int(played.rewards.sum())} bricks,", end=" ")
print(f"{int(played.terminated.sum())} lost balls")

# %% [markdown]
# Rewards are clipped to 1, and a lost ball ends an episode, as in chapters 03 and 04.
# Ask the network about every state of the record, and about every next state.


# %%
def q_values(states: torch.Tensor) -> torch.Tensor:
    """What the trained network says, 500 states at a time: `(B, 4)`."""
    return torch.cat([trained.q_values(part) for part in states.split(500)])


ACTIONS = ("NOOP", "FIRE", "RIGHT", "LEFT")
q, next_q = q_values(played.states), q_values(played.next_states)  # (steps, 4)
taken = q.gather(1, played.actions[:, None]).squeeze(1)  # (steps,)
brick = int(played.rewards.nonzero()[0])
lost = int(played.terminated.nonzero()[0])

# %%
figures.show_grid(
    [[*played.states[brick], played.next_states[brick][-1]]],
    ["the first\nbrick"],
    ["state", "", "", "newest", "next"],
    alt="Five screens of Breakout in a row. The ball flies up to the bricks; in the "
    "last screen a brick is gone and the counter's last digit changes.",
)

# %%
for when, values in (("before", q[brick]), ("after", next_q[brick])):
    said = zip(ACTIONS, values, strict=True)
    print(f"{when:6}", "  ".join(f"{action} {value:.2f}" for action, value in said))
print("chosen:", ACTIONS[played.actions[brick]])

# %% [markdown]
# (In the last screen the counter's 0 has become a block. A screen is the maximum of
# two frames, as chapter 02 has it: one still shows the 0, and the 1 of the other fills
# its hole.)
#
# Before the brick broke, the network thought that the coming points were worth 3.41, if
# the paddle goes right. Then one point is won, and it thinks that the rest is worth
# 2.49. A point that has been paid is no longer to come. Over a hundred steps and more
# it looks like this.

# %%
shown = np.arange(max(0, lost - 120), lost + 25)
drawing, ax = figure(height=3.0)
ax.plot(shown, q[shown].max(dim=1).values, color=BLUE, label="max Q(s, a)")
hits = shown[played.rewards[shown].numpy() > 0]
ax.plot(hits, q[hits].max(dim=1).values, "o", color=ORANGE, label="a brick breaks")
ax.axvline(lost, color=VERMILION, linestyle="--", label="the ball is lost")
ax.set(xlabel="step", ylabel="value (clipped points)", ylim=0)
ax.legend(loc="lower left")
show(
    drawing,
    "A saw: the value climbs slowly before each brick and drops by about one when it "
    "breaks. Before the ball is lost it falls towards zero; then it begins anew.",
)

# %% [markdown]
# A saw. The nearer the next brick, the higher the value, since what is near is
# discounted less; with the brick it drops by about one. And before a ball is lost?

# %%
last_steps = q[max(0, lost - 10) : lost + 1].max(dim=1).values
print("up to the lost ball:", "  ".join(f"{value:.1f}" for value in last_steps))

# %% [markdown]
# Seven steps before the end, less than half a second, the network begins to understand:
# the value falls from 2.6 to 0.5.
#
# Nobody ever told it these values. Chapter 01 had a table and the rule of Q-learning:
# what Q(s, a) *should have been* is the reward, and what the next state is worth,
# discounted. This number is called the **TD target**, y. TD stands for temporal
# difference: a guess is corrected by a guess made one step later.
#
# > y = r + γ · max Q(s′, ·), and y = r if nothing follows
#
# Take three steps of the record: an ordinary one, the brick, the lost ball. **Before
# you scroll on, work out the three targets** with γ = 0.99, on paper.

# %%
three = {"ordinary": brick - 1, "the brick": brick, "lost ball": lost}
for name, step in three.items():
    reward, ended = played.rewards[step], bool(played.terminated[step])
    best = next_q[step].max()
    print(f"{name:10} r = {reward:.0f}, max Q(s', ·) = {best:.2f}, terminated: {ended}")

# %% [markdown]
# ### Exercise 7.1 · One target · ●○○ · 5 minutes
#
# The rule in Python, for one step and with plain numbers. It is no piece of the agent,
# but the next exercise is the same for thousands of steps at once.


# %%
def one_target(
    reward: float, discount: float, terminated: bool, next_values: list[float]
) -> float:
    """What Q(s, a) should have been.

    Args:
        reward: that followed.
        discount: γ.
        terminated: nothing follows: a ball was lost, or the game is over.
        next_values: Q(s′, a) of each action a.
    """
    # 1. What is the next state worth? 2. Discount it, and add it to the reward.
    ### BEGIN SOLUTION
    future = 0.0 if terminated else max(next_values)
    return reward + discount * future
    ### END SOLUTION


# %% [markdown]
# Small exercises have no check of their own. This function prints what is expected
# beside what yours gives.


# %%
def beside(question: str, expected, function, *arguments) -> None:
    """Print what is expected beside what your function returns; never raises."""
    try:
        found = function(*arguments)
        answer = None if found is None else np.asarray(found, float).round(4).tolist()
        right = found is not None and np.shape(answer) == np.shape(expected)
        mark = "✅" if right and np.allclose(answer, expected, atol=2e-4) else "❌"
    except NotImplementedError:
        mark, answer = "◻", "not attempted yet"
    except Exception as error:
        mark, answer = "❌", f"{type(error).__name__}: {error}"[:90]
    print(f"{mark} {question}: expected {expected}, yours: {answer}")


# %%
# NBVAL_CHECK_OUTPUT
beside("a step", 1.98, one_target, 0.0, 0.99, False, [1.0, 2.0, 0.5, 1.5])
beside("a brick", 2.98, one_target, 1.0, 0.99, False, [1.0, 2.0, 0.5, 1.5])
beside("a lost ball", 0.0, one_target, 0.0, 0.99, True, [1.0, 2.0, 0.5, 1.5])
beside("the last brick", 1.0, one_target, 1.0, 0.99, True, [1.0, 2.0, 0.5, 1.5])
beside("only bad choices", -0.99, one_target, 0.0, 0.99, False, [-3.0, -1.0])

# %% [markdown]
# **What you should see:** five times ✅. In the last line the best choice is a bad one:
# its value is −1, and zero is not on offer.
#
# <details><summary>Hint 1: the idea</summary>The next state is worth what its best
# action is worth. After the end there is no next state, and nothing to come.</details>
# <details><summary>Hint 2: the call</summary><code>max(next_values)</code> is the
# largest number of a list. The end concerns it alone: the reward is paid in any
# case.</details>
# <details><summary>"TypeError: can't multiply sequence by non-int of type
# 'float'"</summary> <code>next_values</code> is a list. Take its largest number before
# you discount.</details>
#
# **Think:** a reward is at most 1 here, and γ = 0.99. What is the largest value that
# any state can have?
# <details><summary>Answer</summary>A point at every step for ever: 1 + 0.99 + 0.99² + …
# = 1 / (1 − 0.99) = 100. A network that says 500 is wrong whatever it sees, which makes
# this number a good alarm.</details>

# %% [markdown]
# ## A maximum of guesses
#
# Before you write it for a batch, look at the `max`. A network's outputs are guesses.
# Say that four actions are each worth exactly 1, and that the guesses are off by 0.5 or
# so, in either direction. What will the maximum of the four be, on average? **Write it
# down.**

# %%
# NBVAL_CHECK_OUTPUT
rng = np.random.default_rng(0)
guesses = 1 + 0.5 * rng.standard_normal((100_000, 4))
others = 1 + 0.5 * rng.standard_normal((100_000, 4))  # of another network
chosen = guesses.argmax(axis=1)
doubled = np.take_along_axis(others, chosen[:, None], axis=1).squeeze(1)
print(f"{guesses.mean():.2f}  a guess")
print(f"{guesses.max(axis=1).mean():.2f}  the best of four guesses")
print(f"{doubled.mean():.2f}  chosen by one network, valued by another")

# %%
drawing, ax = figure(height=2.4)
bins = np.linspace(-1, 3.5, 91)
ax.hist(guesses.max(axis=1), bins, color=VERMILION, alpha=0.7, label="best of four")
ax.hist(doubled, bins, histtype="step", color=BLUE, linewidth=2, label="Double")
ax.axvline(1, color="black", linestyle="--", label="the truth")
ax.set(xlabel="value of the next state", ylabel="trials (of 100,000)")
ax.legend(loc="upper right")
show(
    drawing,
    "Two heaps. That of the best of four guesses stands half a point right of the "
    "truth, that of Double is centred on it.",
)

# %% [markdown]
# Half a point too much, out of nothing: the maximum picks the action whose error is the
# most flattering. Bootstrapping hands it on to the step before, which adds its own.
#
# **Double DQN** (van Hasselt et al. 2016) lets one network choose and another one
# value: the flattery of the chooser is not that of the valuer. A second network is at
# hand, for a reason that comes later ("Two networks"). The one that plays and learns is
# the *online network*, and its weights are called θ (theta); the other is an older copy
# of it, the *target network*, with weights θ⁻. Online chooses, target values. The two
# are relatives, so their errors are not independent as they are here, and the cure is
# partial.
#
# The two Keras notebooks that this course grew out of most likely had Double on,
# without a word about it: it is the default in every release, from 0.3 to 0.4.2, of
# keras-rl, the library of agents that they used. The Nature paper is older than Double.
#
# ### Exercise 7.2 · td_targets · ●●○ · 15 minutes
#
# Now for a batch, with Double as an option. Tensors have one row for each step, and
# what was a maximum of a list becomes an operation along an axis. The networks' answers
# are handed in as numbers: who made them is not your concern here. Discounts are a row,
# too, since the steps of a batch may span different times (chapter 11).


# %%
def td_targets(
    rewards: torch.Tensor,
    discounts: torch.Tensor,
    terminated: torch.Tensor,
    next_q_target: torch.Tensor,
    next_q_online: torch.Tensor | None = None,
) -> torch.Tensor:
    """What Q(s, a) should have been, by the Bellman equation.

    Args:
        rewards, discounts: `(B,)` float32.
        terminated: `(B,)` bool; the target is then the reward alone. A truncated game
            is not terminated: its next state keeps its value.
        next_q_target: `(B, A)` float32, target network on the next states.
        next_q_online: `(B, A)` float32, online network on the next states: if given,
            it chooses the action and the target network values it (Double DQN).
    Returns:
        `(B,)` float32.
    Source: Mnih et al. 2015; van Hasselt et al. 2016, equation 4.
    """
    # 1. The value of each next state: the largest, or that of the chosen action.
    # 2. Nothing after an end. 3. Reward and discounted rest.
    ### BEGIN SOLUTION
    if next_q_online is None:
        next_values = next_q_target.max(dim=1).values
    else:
        chosen = next_q_online.argmax(dim=1, keepdim=True)
        next_values = next_q_target.gather(1, chosen).squeeze(1)
    return rewards + discounts * next_values.masked_fill(terminated, 0.0)
    ### END SOLUTION


# %%
td_targets = check(td_targets)

# %% [markdown]
# **What you should see:** a badge that says `passes`, and below it the three targets
# that you worked out on paper. As ever, the notebook goes on with your piece if it
# passes and with the reference's if not.

# %%
y = td_targets(played.rewards, played.discounts, played.terminated, next_q)
for name, step in three.items():
    error = taken[step] - y[step]
    print(f"{name:10} target {y[step]:.2f}, Q(s, a) was {taken[step]:.2f},", end=" ")
    print(f"error {error:+.2f}")

# %%
# NBVAL_CHECK_OUTPUT
nothing, go_on = torch.zeros(100_000), torch.zeros(100_000, dtype=torch.bool)
of_target, of_online = torch.tensor(others).float(), torch.tensor(guesses).float()
plain = td_targets(nothing, nothing + 1, go_on, of_online)
double = td_targets(nothing, nothing + 1, go_on, of_target, of_online)
print(f"the guesses from above, plain {plain.mean():.2f}, Double {double.mean():.2f}")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>One row for each step. The best next value
# is a maximum over actions, along the second axis. It is nothing where the step
# terminated, it is multiplied by the step's own discount, and the reward is added. The
# reward is never masked.</details>
# <details><summary>Hint 2: the call</summary><code>next_q_target.max(dim=1)</code>
# gives values and places; you want its <code>.values</code>.
# <code>masked_fill(terminated, 0.0)</code> replaces. Multiplying by 0 does not always:
# 0 · inf is nan.</details>
# <details><summary>Hint 3: Double</summary>If <code>next_q_online</code> is given, its
# <code>argmax(dim=1)</code> names an action in each row, and
# <code>next_q_target.gather(1, chosen[:, None]).squeeze(1)</code> looks up what the
# other network says of it.</details>
# <details><summary>Hint 4: the shape</summary>The answer has shape <code>(B,)</code>
# and type float32. If it is <code>(B, B)</code>, a column met a row, or
# <code>[:, chosen]</code> picked all chosen columns of every row: print the shapes of
# what you add. Leave the arguments as they are; operations that end with an
# underscore change them.</details>
# <details><summary>"RuntimeError: Index tensor must have the same number of
# dimensions"</summary><code>gather</code> wants the chosen actions as a column, of
# shape <code>(B, 1)</code>: <code>argmax(dim=1, keepdim=True)</code>.</details>
# <details><summary>"AttributeError: 'torch.return_types.max' object has no attribute
# 'masked_fill'", or "TypeError: only integer tensors of a single element can be
# converted to an index"</summary><code>max(dim=1)</code> returns a pair, values and
# indices. Take <code>.values</code>.</details>
# <details><summary>"RuntimeError: Subtraction, the `-` operator, with a bool tensor is
# not supported"</summary><code>1 - terminated</code> wants numbers.
# <code>~terminated</code> is the opposite of a bool tensor,
# <code>terminated.float()</code> makes numbers of it; or see hint 2.</details>
# <details><summary>"RuntimeError: Boolean value of Tensor with more than one value is
# ambiguous"</summary><code>if terminated:</code> asks one question about the whole
# batch. Each row has its own answer: see hint 2. For Double, ask <code>if next_q_online
# is None</code>.</details>
#
# **Think:** a network is fresh, its weights are random. Which part of its targets is
# true, and how does truth get into the rest?
# <details><summary>Answer</summary>The rewards are true, and the whole target of a step
# that terminated. The rest is discounted noise. Once the states before an end are
# right, their predecessors' targets are right, and so on: truth walks backwards from
# ends and rewards, at best one step each time that targets are made anew.</details>

# %%
compare("td_targets")

# %% [markdown]
# ## Where the future ends
#
# What does the mask do? Take a game of three places in a row. There is one way to go,
# one point for leaving the third place, and with it the episode ends. As in the memory,
# the screen that comes next is the first of the next episode.
#
# ```text
#     place 0 ──▶ place 1 ──▶ place 2 ──▶ end         (the next screen: place 0)
#             0           0           1
# ```
#
# One *sweep* replaces the value of each place by its target. **Guess first**: where
# does place 0 end up with the mask, and where without?


# %%
def sweeps(count: int, terminated: torch.Tensor) -> np.ndarray:
    """Values of the three places after each sweep, `(count + 1, 3)`."""
    rewards, discounts = torch.tensor([0.0, 0.0, 1.0]), torch.full((3,), 0.99)
    values = [torch.zeros(3)]
    for _ in range(count):
        next_q = values[-1][[1, 2, 0], None]  # one action
        values.append(td_targets(rewards, discounts, terminated, next_q))
    return torch.stack(values).numpy()


# %%
# NBVAL_CHECK_OUTPUT
masked = sweeps(1_500, torch.tensor([False, False, True]))
unmasked = sweeps(1_500, torch.tensor([False, False, False]))
for name, values in (("with the mask", masked), ("without", unmasked)):
    print(f"{name:14}", "  ".join(f"{value:5.2f}" for value in values[-1]))

# %%
drawing, axes = figure(height=2.5, columns=2)
for ax, shown in zip(axes, (1_501, 13), strict=True):
    ax.plot(unmasked[:shown, 0], color=VERMILION, label="without the mask")
    ax.plot(masked[:shown, 0], color=BLUE, linewidth=2.5, label="with the mask")
    ax.axhline(1, color="black", linestyle=":", label="all the points there are")
    ax.set(xlabel="sweeps")
axes[0].set(ylabel="value (points)", title="1,500 sweeps", xticks=[0, 500, 1000, 1500])
axes[1].set(title="the first twelve")
axes[0].legend(loc="center right", fontsize=11)
show(
    drawing,
    "Left: without the mask the value climbs for several hundred sweeps to 33. Right, "
    "enlarged: both reach 0.98 in the third sweep; with the mask it stays there, "
    "without it goes on in steps beyond 1.",
)

# %% [markdown]
# 0.98 is γ², the exact value of a point two steps away. Without the mask the place is
# worth 33 points in a game that has one: the learner believes in a game that never
# ends, with a point in every third step, 0.99² / (1 − 0.99³) = 33.0. No error is
# raised, and the loss falls to zero.
#
# In Breakout the numbers would not only be too large. Here are the first balls that
# were lost, with their targets, and the one that is worth most without the mask.

# %%
endless = torch.zeros_like(played.terminated)
hope = td_targets(played.rewards, played.discounts, endless, next_q)
ends = played.terminated.nonzero().squeeze(1)
for name, values in (("with the mask", y), ("without", hope)):
    print(f"{name:14}", "  ".join(f"{value:.2f}" for value in values[ends][:6]))
print(f"mean of max Q over all steps: {q.max(dim=1).values.mean():.2f}")

# %%
worst = int(ends[hope[ends].argmax()])
figures.show_grid(
    [[*played.states[worst], played.next_states[worst][-1]]],
    ["a lost\nball"],
    ["state", "", "", "newest", "next"],
    alt="Four screens in which the ball comes down beside the paddle and is gone, and "
    "the next one, with one life less and a new ball in the air.",
)

# %% [markdown]
# The ball is gone, and in the next screen a new one is already in the air (this agent's
# environment presses `FIRE` by itself). Without the mask a lost ball would be worth
# 2.73 points, more than the average of all states. Why bother to hit it?
#
# ### A limit of time is no end (aside)
#
# There is another way for an episode to stop. A limit cuts the game off, though nothing
# in the game has ended: it is *truncated*, not terminated. Imagine a player who wins a
# point at every step and never fails. Every moment of this game looks like every other,
# and is worth 1 / (1 − 0.99) = 100 points. Cut it off after so many steps, and store
# the last one as terminal, or not:


# %%
def learnt_value(limit: int, truncation_is_terminal: bool) -> float:
    """Value of the one state of an endless game that is cut off after `limit` steps."""
    ends = torch.zeros(limit, dtype=torch.bool)
    ends[-1] = truncation_is_terminal
    rewards, discounts = torch.ones(limit), torch.full((limit,), 0.99)
    value = torch.tensor(0.0)
    for _ in range(1_500):
        value = td_targets(rewards, discounts, ends, value.expand(limit, 1)).mean()
    return float(value)


# %%
# NBVAL_CHECK_OUTPUT
print("limit   goes on   stored as terminal")
for limit in (100, 500, 5_000):
    goes_on, stops = (learnt_value(limit, terminal) for terminal in (False, True))
    print(f"{limit:5}   {goes_on:7.1f}   {stops:18.1f}")

# %% [markdown]
# Stored as terminal, a limit of 100 steps halves the value of every state. The player
# has done nothing wrong, and the screen does not show the clock, so the same state has
# two targets, 1 where the limit falls and 1 + 0.99 · 50.3 = 50.8 everywhere else, and
# 50.3 is their mean: one of the first and 99 of the second.
#
# Both old notebooks stored such games as terminal, because keras-rl did. How bad was
# it? A *recipe* is a set of settings with a name, as in chapter 01:

# %%
# NBVAL_CHECK_OUTPUT
for name in ("notebook_a", "notebook_b", "mnih2015"):
    old = get_recipe(name)
    limit = old.max_env_steps_per_game or old.max_frames_per_game // old.repeat_frames
    limit //= old.repeat_actions
    print(f"{name}: {limit:,} decisions, terminal: {old.truncation_is_terminal}")

# %% [markdown]
# The second notebook's limit of 10,000 environment steps is 5,000 decisions, and at
# 5,000 the table above says 98.1 instead of 100: a small mistake there, and a large one
# with a limit of 100 or 500. Your `td_targets` knows nothing of limits, and need not: a
# step that was cut off is a step like any other, if the memory does not call it
# terminated.
#
# ## Thirty-two errors, or a thousand
#
# Now target and prediction are compared. Take a batch from the memory. `gather` looks
# up Q(s, a), and returns a column.

# %%
batch = memory.sample(32, np.random.default_rng(0))
with torch.no_grad():
    q_batch = trained.online(batch.states)
    next_q_batch = trained.online(batch.next_states)
y_batch = td_targets(batch.rewards, batch.discounts, batch.terminated, next_q_batch)
column = q_batch.gather(1, batch.actions[:, None])

# %%
# NBVAL_CHECK_OUTPUT
print("Q(s, a)", tuple(column.shape), "  y", tuple(y_batch.shape))
print("their difference", tuple((column - y_batch).shape))

# %% [markdown]
# 1,024 differences: every prediction minus every target. NumPy and PyTorch stretch a
# column and a row to a table, which is often what one wants. Here it is a bug without
# an error message, and the mean of the squares is a number like any other.

# %%
print(f"mean square, (32, 1) against (32,): {(column - y_batch).square().mean():.4f}")
row = column.squeeze(1)
print(f"mean square, (32,) against (32,):   {(row - y_batch).square().mean():.4f}")

# %% [markdown]
# 0.49 instead of 0.016, and nobody would wonder. What does a learner learn from the
# table? The gradient says which way each prediction is pulled.

# %%
# NBVAL_CHECK_OUTPUT
predicted = column.clone().requires_grad_()
(predicted - y_batch).square().mean().backward()
towards_mean = 2 / 32 * (column - y_batch.mean())
print("shape of the gradient:", tuple(predicted.grad.shape))
same = torch.allclose(predicted.grad, towards_mean, atol=1e-6)
print("each is pulled to the mean target:", same)

# %% [markdown]
# Each prediction is pulled to the mean of all 32 targets. The network learns that every
# state is worth the same, the loss falls until it has learnt that, and the agent is
# none the wiser. So the loss that you write next refuses shapes that differ.
#
# ## How much an error counts
#
# An error of 0.1 is noise, an error of 4 is news. How hard should each pull? Three
# answers, value on the left and gradient on the right:

# %%
errors = torch.linspace(-4, 4, 401, requires_grad=True)
clipped = errors.clamp(-1, 1)
candidates = {
    "half the square": 0.5 * errors**2,
    "Huber, δ = 1": nn.functional.huber_loss(
        errors, torch.zeros(401), reduction="none"
    ),
    "error clipped, then squared": 0.5 * clipped**2,
}
slopes = {
    name: torch.autograd.grad(loss.sum(), errors, retain_graph=True)[0]
    for name, loss in candidates.items()
}

# %%
drawing, axes = figure(height=2.7, columns=2)
styles = zip(candidates, (VERMILION, BLUE, GREEN), ("--", "-", ":"), strict=True)
for name, color, style in styles:
    pen = dict(color=color, linestyle=style, linewidth=2.5, label=name)
    axes[0].plot(errors.detach(), candidates[name].detach(), **pen)
    axes[1].plot(errors.detach(), slopes[name], **pen)
axes[0].set(xlabel="error Q(s, a) − y (points)", ylabel="loss", ylim=(0, 5))
axes[1].set(xlabel="error Q(s, a) − y (points)", ylabel="gradient", ylim=(-8, 5))
axes[1].legend(loc="lower right", fontsize=11)
show(
    drawing,
    "Left: a parabola, Huber's parabola that goes over into straight lines at 1, and a "
    "parabola that is flat beyond 1. Right: a slope without end, a slope that stays at "
    "plus or minus 1, and a slope that falls to zero beyond 1.",
)

# %% [markdown]
# The square lets one large error shout down a whole batch. The **Huber loss** (Huber
# 1964) is half the square up to δ and a straight line beyond, so that no error pulls
# harder than δ. Its gradient is the error, clipped.
#
# Clipping the *error* and then squaring it, the green line, looks like the same idea,
# and is a much copied bug: beyond 1 the loss does not depend on the prediction any
# more, so the gradient is zero. The larger the mistake, the less is learnt from it.
# Mnih et al. (2015, Methods) write of clipping "the error term from the update";
# several repositories clipped it inside the loss (one of the reports:
# devsisters/DQN-tensorflow, issue 16). Their own code clips what is used as the
# gradient, which is Huber.

# %% [markdown]
# ### Exercise 7.3 · huber_loss · ●●○ · 15 minutes
#
# Write the blue line, for any δ. One loss for each element: whether they are added up
# or averaged is the caller's business. δ = inf stands for "no clipping" and gives half
# the square everywhere.


# %%
def huber_loss(
    predicted: torch.Tensor, target: torch.Tensor, delta: float = 1.0
) -> torch.Tensor:
    """Half the squared error near zero, linear beyond `delta`.

    Args:
        predicted, target: float32 of one shape.
        delta: where the line begins; inf gives half the squared error everywhere.
    Returns:
        The loss of each element, float32 of that shape. Value and slope do not jump
        at `delta`; a gradient is the error, no further than `delta` from zero.
    Raises:
        ValueError: if the shapes differ; (32, 1) against (32,) would broadcast.
    Source: Huber 1964. Nature clips the error term to [-1, 1], this loss's gradient.
    """
    # 1. Refuse shapes that differ. 2. The size of each error.
    # 3. Half its square up to delta, a line of slope delta beyond.
    ### BEGIN SOLUTION
    if predicted.shape != target.shape:
        raise ValueError(f"shapes: {tuple(predicted.shape)}, {tuple(target.shape)}")
    error = (predicted - target).abs()
    if delta == float("inf"):
        return 0.5 * error**2
    near = error.clamp(max=delta)
    return 0.5 * near**2 + delta * (error - near)
    ### END SOLUTION


# %%
huber_loss = check(huber_loss)

# %% [markdown]
# **What you should see:** for errors of 0.5, 1, 4 and 7 losses of 0.125, 0.5, 3.5 and
# 6.5, and with δ = 4 the same up to 1, then 8 and 20. (A brick of Breakout is worth 1,
# 4 or 7 points where nobody clips.)

# %%
# NBVAL_CHECK_OUTPUT
some = torch.tensor([0.5, 1.0, 4.0, 7.0])
print(huber_loss(some, torch.zeros(4)).tolist())
print(huber_loss(some, torch.zeros(4), delta=4.0).tolist())

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>Two branches that meet at δ in value and
# in slope. Up to δ: e² / 2. Beyond: a line of slope δ that begins at δ² / 2, which is δ
# · (|e| − δ / 2). What is clipped is the gradient. Whoever clips the error has the
# green line.</details>
# <details><summary>Hint 2: the call</summary><code>error.abs()</code> and
# <code>torch.where(condition, one, other)</code>, or <code>clamp(max=delta)</code> for
# the part that is squared and the rest for the line. No sum, no mean.</details>
# <details><summary>Hint 3: δ = inf</summary>Written as one formula, δ meets 0 or inf
# somewhere, and inf · 0 and inf − inf are nan. Treat this case by itself.</details>
# <details><summary>Hint 4: shapes</summary>Compare <code>predicted.shape</code> and
# <code>target.shape</code> before you subtract. Afterwards it is too late: the
# difference has one shape whatever went in. <code>raise ValueError(…)</code> refuses;
# <code>return</code> hands the error over as if it were a loss, and
# <code>assert</code> raises another kind.</details>
# <details><summary>"RuntimeError: Boolean value of Tensor with more than one value is
# ambiguous"</summary><code>if error &lt; delta</code> asks one question about many
# numbers. <code>torch.where</code> asks it of each.</details>
# <details><summary>"mine is nan"</summary>Look for inf · 0, and see hint 3. In
# <code>torch.where</code> the branch that is not taken is worked out all the same, and
# its gradient can be nan, too.</details>
#
# **Think:** PyTorch has `smooth_l1_loss(…, beta=δ)`, which is this loss divided by δ. A
# recipe asks for δ = 10 and somebody takes that function. What changes?
# <details><summary>Answer</summary>Its gradient is error / 10 up to 10 and 1 beyond, a
# tenth of Huber's. Adam hardly notices a constant factor. An optimiser whose ε is not
# small, such as Nature's at the end of this chapter, takes smaller steps. At δ = 1 the
# two are the same, and so the mistake stays hidden until somebody changes δ.</details>

# %%
compare("huber_loss")

# %% [markdown]
# ### The Huber loss that was none (aside)
#
# The first old notebook promises the Huber loss in its text. Its library takes a
# threshold, `delta_clip`, the notebook does not give one, and the default is infinite.

# %%
# NBVAL_CHECK_OUTPUT
for name in ("notebook_a", "notebook_b"):
    delta = get_recipe(name).huber_delta
    error = some.clone().requires_grad_()
    losses = huber_loss(error, torch.zeros(4), delta)
    losses.sum().backward()
    print(f"{name}: delta {delta}")
    print("  losses   ", losses.tolist(), " gradients", error.grad.tolist())

# %% [markdown]
# Half the squared error, then, with a gradient of 7 for a brick of the upper rows that
# comes as a surprise, where the second notebook, which did pass 1, has a gradient of 1.
# Neither notebook clipped rewards, so such errors came up. No message says so: a
# default that means "off" is the quietest of bugs.
#
# Where rewards are clipped, as on our record, large errors are rare. Of the trained
# agent's:

# %%
td_errors = taken - y
for bound in (0.1, 0.5, 1.0, 2.0):
    share = (td_errors.abs() > bound).float().mean()
    print(f"beyond {bound}: {100 * share:5.1f} % of the steps")

# %% [markdown]
# ## The error that was none
#
# Whoever trains wants to see the error fall. The second old notebook logged a
# `mean_absolute_error` in each interval of 10,000 steps. Stretches of its log are left;
# here are the four rows of the first and a few of the others, to the last one:

# %%
# NBVAL_CHECK_OUTPUT
results = shipped_run("breakout-laptop-seed-0").parent / "notebooks"
old_log = pd.read_csv(results / "notebook_b_original.csv").dropna()
for row in old_log.iloc[[0, 1, 2, 3, 4, 9, -1]].itertuples():
    print(f"from step {row.steps_before:9,}: error {row.mean_absolute_error}")

# %% [markdown]
# It rises, to thirty times what it was. Was the agent learning at all?
#
# keras-rl worked out the error over all four actions. Only one of them had been
# taken, and has a target. The others were given a target of 0.

# %% [markdown]
# ### Exercise 7.4 · What was logged · ●●○ · 10 minutes
#
# Rebuild the number, so that you can say what it measured. (This is no piece: nobody
# needs it but us.)


# %%
def logged_error(
    q_values: torch.Tensor, actions: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """keras-rl's "mean absolute error": over all actions, those not taken against 0.

    Args:
        q_values: `(B, A)` float32 of the states.
        actions: `(B,)` int64 that were taken.
        targets: `(B,)` float32 of these actions.
    Returns:
        One number, a tensor of shape `()`.
    """
    # 1. A table of targets, (B, A): 0 everywhere. 2. The targets of the actions taken.
    # 3. The mean of all absolute differences.
    ### BEGIN SOLUTION
    table = torch.zeros_like(q_values).scatter(1, actions[:, None], targets[:, None])
    return (q_values - table).abs().mean()
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
right, zeros = torch.tensor([[2.0, 2.0, 2.0, 2.0]]), torch.zeros(1, dtype=torch.int64)
beside("no error at all", 1.5, logged_error, right, zeros, torch.tensor([2.0]))
beside("an error of 1", 1.75, logged_error, right, zeros, torch.tensor([1.0]))
q_three = torch.tensor([[1.0, 3.0], [-1.0, 1.0], [2.0, 0.0]])
chosen, y_three = torch.tensor([1, 0, 1]), torch.tensor([2.0, -3.0, 2.0])
beside("three steps", 1.5, logged_error, q_three, chosen, y_three)

# %% [markdown]
# **What you should see:** three times ✅. In the first line the network is right, and
# the number says 1.5: three quarters of the value of 2.
#
# <details><summary>Hint 1: the idea</summary>The targets are a table like the Q-values,
# with one entry that is not 0 in each row, in the column of the action taken.</details>
# <details><summary>Hint 2: the call</summary><code>scatter(1, actions[:, None],
# targets[:, None])</code> is <code>gather</code> backwards. Or
# <code>table[torch.arange(len(actions)), actions] = targets</code>.</details>
# <details><summary>"RuntimeError: Index tensor must have the same number of
# dimensions"</summary><code>scatter</code> wants actions and targets as columns, of
# shape <code>(B, 1)</code>: <code>[:, None]</code>.</details>
# <details><summary>"three steps" alone is ❌</summary><code>table[:, actions]</code> are
# all the columns of <code>actions</code> in every row. One entry in each row has a
# row's number and a column's: see hint 2.</details>
# <details><summary>"RuntimeError: scatter(): Expected self.dtype to be equal to
# src.dtype"</summary>The table must be float32 like the targets:
# <code>torch.zeros_like(q_values)</code>.</details>
#
# **Think:** the first old notebook logged a mean *squared* error, 34 at the end, with a
# mean of max Q of 6.39. What was it, roughly?
# <details><summary>Answer</summary>By the same rule ¾ · 6.39² = 30.6, and the spread of
# the values adds to it, since a mean of squares is more than the square of a mean. In
# this course's run of that notebook (<code>results/notebooks/notebook_a</code>) it is
# 36 beside a max Q of 6.6; the true mean squared error there was 0.067.</details>
#
# Now on the record of the trained agent:

# %%
mean_q, true_error = float(q.max(dim=1).values.mean()), float(td_errors.abs().mean())
artefact = (q.abs().sum(dim=1) - taken.abs() + td_errors.abs()).mean() / 4
beside("logged", round(float(artefact), 4), logged_error, q, played.actions, y)
print(f"mean of max Q {mean_q:.2f}, true error {true_error:.3f}")
print(f"logged over max Q: {artefact / mean_q:.3f}")

# %% [markdown]
# The network errs by 0.118 on average, and the log would say 1.9626. If actions are
# worth about the same, and in Breakout most of the time they are, three of four
# Q-values are compared with 0, and the result is about ¾ of the Q-values.
#
# Does this explain the old log? This course ran the second notebook's recipe and logged
# both numbers, for 250,000 steps (`results/notebooks/notebook_b`). Of the old log,
# nothing is left between 50,000 and 300,000.

# %%
# NBVAL_CHECK_OUTPUT
rerun = pd.read_csv(results / "notebook_b" / "intervals.csv").dropna()
last, old = rerun.iloc[-1], old_log[old_log.steps_before == 300_000].iloc[0]
print(f"old log, from 300,000: {old.mean_absolute_error} / {old.mean_q}", end=" ")
print(f"= {old.mean_absolute_error / old.mean_q:.3f}")
artefact = last.mean_absolute_artefact
print(f"our run, its last row: {artefact:.3f} / {last.mean_q:.3f}", end=" ")
print(f"= {artefact / last.mean_q:.3f}")
print(f"true error in that row: {last.mean_absolute_error:.3f}")

# %%
drawing, ax = figure(height=3.2)
steps = rerun.agent_steps / 1000
ax.plot(steps, 0.75 * rerun.mean_q, color=GREY, linewidth=5, label="¾ of max Q")
ax.plot(steps, rerun.mean_absolute_artefact, color=VERMILION, label='logged "error"')
ax.plot(steps, rerun.mean_absolute_error, color=BLUE, label="true error")
early = old_log[old_log.steps_before < steps.max() * 1000]
interval_ends = (early.steps_before + 10_000) / 1000  # an interval has 10,000 steps
ax.plot(
    interval_ends, early.mean_absolute_error, "o",
    color="black", label="old notebook's log",
)
ax.set(xlabel="steps (thousands)", ylabel="points")
ax.legend(loc="center right", fontsize=11)
show(
    drawing,
    "The logged error rises to 3 and lies on three quarters of max Q all the way; the "
    "old notebook's first four dots rise with it. The true error stays near 0.1.",
)

# %% [markdown]
# 0.745 then and 0.745 now: the logged "error" is ¾ of the Q-values, wherever one looks.
# It rose because the agent had learnt that points are to come. The true error was
# 0.117. A logged number is worth as much as the line of code that makes it.
#
# **A good place for a pause.** Targets and errors are done; what follows is how a
# network moves by them.
#
# ## The gradient that must not flow
#
# The target is made of a network's output, too. If PyTorch is left to itself, it
# differentiates both sides: to lessen the error it moves Q(s, a), *and the value of the
# next state as well*. Take the trained network and our batch, and look at the gradient
# with the target held fixed, and with the gradient flowing through it. (This cell calls
# the reference's formulas. Yours may cut the gradient off, which is allowed, and then
# there would be nothing to see.)


# %%
def gradient_of(network: nn.Module, flows: bool) -> torch.Tensor:
    """Gradient of the loss of `batch`, all parameters in one row."""
    rewards, discounts, ended = batch.rewards, batch.discounts, batch.terminated
    with torch.set_grad_enabled(flows):
        next_q = network(batch.next_states)
        target = learner.td_targets(rewards, discounts, ended, next_q)
    predicted = network(batch.states).gather(1, batch.actions[:, None]).squeeze(1)
    loss = learner.huber_loss(predicted, target).mean()
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    return torch.cat([gradient.flatten() for gradient in gradients])


# %%
held = gradient_of(trained.online, flows=False)
through = gradient_of(trained.online, flows=True)
cosine = nn.functional.cosine_similarity(held, through, dim=0)
print(f"target held fixed: length {held.norm():.2f}")
print(f"flowing through:   length {through.norm():.2f}")
print(f"angle between them {torch.rad2deg(torch.acos(cosine)):.0f} degrees")

# %% [markdown]
# The two gradients point in directions 66 degrees apart. If Q(s, a) is too low, the
# first raises it. The second raises it and lowers the next state's value. But the two
# states share three of four frames, and what raises the one raises the other, so only
# the little in which they differ can be used. Q-learning wants the first: the target is
# a number that was given. `torch.no_grad()` around the target, or `detach()` behind it,
# says so. Forgotten, it raises no error.
#
# ## Two networks
#
# Hold the target fixed for one update; for the next it is made anew, by a network that
# has changed. So take one transition after another of the batch, move the network a
# little so that Q(s, a) rises, and see what max Q(s′, ·) does, which nobody asked to
# move.


# %%
def moves_along(step: int) -> float:
    """How far max Q(s') moves for each point that Q(s, a) is moved."""
    state, after = batch.states[step : step + 1], batch.next_states[step : step + 1]
    value = trained.online(state)[0, batch.actions[step]]
    gradients = torch.autograd.grad(value, list(trained.online.parameters()))
    size = 0.01 / sum(gradient.square().sum() for gradient in gradients)
    nearby = copy.deepcopy(trained.online)
    with torch.no_grad():
        for weight, gradient in zip(nearby.parameters(), gradients, strict=True):
            weight += size * gradient
        asked = nearby(state)[0, batch.actions[step]] - value
        return float((nearby(after).max() - trained.online(after).max()) / asked)


# %%
along = np.array([moves_along(step) for step in range(len(batch.actions))])
low, middle, high = np.quantile(along, (0.25, 0.5, 0.75))
print(f"median {middle:.2f}, half of them between {low:.2f} and {high:.2f}")

# %% [markdown]
# For each point that the prediction gains, the next state's value gains two thirds of
# one. A network cannot raise one screen and leave alone another that looks almost the
# same. So the target runs ahead of the prediction, and the prediction runs after it.
#
# Mnih et al. (2015) break the loop by a second network: the **target network** θ⁻, an
# older copy of the **online network** θ, makes the targets and stands still meanwhile.
# Chapter 04 has the paper's table of what it is worth on Breakout: 316.8 with it and
# 240.7 without.
#
# How is it renewed? *Hard*: every so many updates θ⁻ becomes a copy of θ. *Soft*
# (Lillicrap et al. 2016): after each update, a share τ of θ is mixed in, θ⁻ ← (1 − τ)
# θ⁻ + τ θ. One function does both, since τ = 1 is a copy.

# %% [markdown]
# ### Exercise 7.5 · update_target · ●○○ · 10 minutes
#
# Move one network towards another. The target network must stay the object it is, and
# its tensors too: the learner holds on to them. PyTorch watches what is done to
# parameters, and here it must not.


# %%
def update_target(online: nn.Module, target: nn.Module, tau: float = 1.0) -> None:
    """Move the target network towards the online network, in place.

    Args:
        online, target: networks of one architecture.
        tau: 1 copies (hard update), less mixes (soft): θ⁻ ← (1 - tau) θ⁻ + tau θ.
    Source: Mnih et al. 2015 (hard); Lillicrap et al. 2016, section 3 (soft).
    """
    # 1. No gradient in here. 2. Each parameter of `target`, with its partner.
    ### BEGIN SOLUTION
    with torch.no_grad():
        pairs = zip(target.parameters(), online.parameters(), strict=True)
        for theta_minus, theta in pairs:
            theta_minus.lerp_(theta, tau)
    ### END SOLUTION


# %%
update_target = check(update_target)

# %% [markdown]
# **What you should see:** the distance between two networks, 1 at first, after soft
# updates with τ = 0.01 while the online network stands still.

# %%
# NBVAL_CHECK_OUTPUT
online, target = nn.Linear(1, 1), nn.Linear(1, 1)
nn.init.ones_(online.weight), nn.init.zeros_(target.weight)
for update in range(1, 301):
    update_target(online, target, tau=0.01)
    if update in (1, 69, 100, 300):
        print(f"after {update:3} updates: {1 - target.weight.item():.2f}")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>Each number of the target network moves by
# the share τ of its distance to the online network's. The online network stays as it
# is. Mind which is which.</details>
# <details><summary>Hint 2: the call</summary><code>zip(target.parameters(),
# online.parameters())</code> gives partners, <code>a.lerp_(b, tau)</code> moves a
# towards b; so do <code>mul_</code> and <code>add_</code>, or <code>copy_</code>. They
# write into the tensor that is there: others hold on to it.</details>
# <details><summary>Hint 3: no gradient</summary>Nothing here is to be differentiated.
# <code>with torch.no_grad():</code> around it all, and <code>requires_grad</code> stays
# what it was.</details>
# <details><summary>"RuntimeError: a leaf Variable that requires grad is being used in
# an in-place operation."</summary>See hint 3: PyTorch refuses to overwrite what it may
# have to differentiate.</details>
#
# **Think:** somebody writes `target = online` where the copy is due. The next thousand
# updates: how old are the weights that make the targets?
# <details><summary>Answer</summary>Not old at all: both names mean one network, and the
# targets come from θ itself. Inside a function it is not even that: the name is local,
# and the caller's target network never changes again.</details>

# %%
compare("update_target")

# %% [markdown]
# Half of the distance is left after 69 updates, 0.37 of it after 100: a soft target
# with τ = 0.01 remembers about 100 updates. Both old notebooks had it so. Nature
# copies: every 10,000 "parameter updates", says its table (Mnih et al. 2015, Extended
# Data Table 1), but its published code counts 10,000 *steps*, and one update comes for
# every 4 of them. That makes 2,500.
#
# To see both at work, train a network for real, on batches from the record, with two
# target networks that follow it: one hard, one soft. Targets come from the hard one.
# The lines in between, from batch to optimiser, are chapter 08's `training_step`; here
# it is the reference's, and it works with your `td_targets` and `huber_loss`.


# %%
def parts_of(online: nn.Module, optimizer, reduction: str = "mean"):
    """What a training step works with; the target network is a copy."""
    return learner.LearnerParts(
        online=online,
        target=copy.deepcopy(online).requires_grad_(False),
        optimizer=optimizer,
        td_targets=td_targets,
        huber_loss=huber_loss,
        huber_delta=1.0,
        loss_reduction=reduction,
        double=False,
    )


torch.manual_seed(0)
online = QNetwork(num_actions=4)
parts = parts_of(online, torch.optim.Adam(online.parameters(), lr=2e-4))
soft = copy.deepcopy(parts.target)

# %%
draws, every = np.random.default_rng(0), max(10, UPDATES // 6)
path = {"online": [], "hard": [], "soft": []}
for update in range(UPDATES):
    learner.training_step(parts, memory.sample(32, draws))
    update_target(online, soft, tau=0.01)
    if (update + 1) % every == 0:
        update_target(online, parts.target)
    for name, network in (("online", online), ("hard", parts.target), ("soft", soft)):
        path[name].append(list(network.parameters())[-1].mean().item())

# %%
drawing, ax = figure(height=2.8)
ax.plot(path["online"], color=figures.ONLINE, label="θ, online")
ax.plot(path["hard"], color=figures.TARGET, label=f"θ⁻, copied every {every} updates")
ax.plot(path["soft"], color=figures.TARGET, linestyle="--", label="θ⁻, soft, τ = 0.01")
ax.set(xlabel="updates", ylabel="mean of the last biases")
ax.legend(loc="upper left")
show(
    drawing,
    "The online network's parameter wanders upwards; the hard target follows in steps, "
    "the soft one as a smooth curve that lags behind.",
)

# %% [markdown]
# The drawn parameter is the mean of the four biases of the last layer. The hard
# target stands still and jumps; the soft one always moves and is always late. Between
# jumps a hard target makes learning an ordinary regression with fixed targets.
#
# ## How far to go
#
# The gradient says which way. How far is the optimiser's business, and the papers and
# the old notebooks differ here more than anywhere. All of them divide the gradient by a
# running measure of its size; the question is which, and where a small ε stands.
#
# | | step along gradient g | ε |
# | --- | --- | --- |
# | Adam, second old notebook | m / (√v + ε) | 1e-7 |
# | Keras's RMSprop, first old notebook | g / (√v + ε) | 0.01 |
# | Nature's RMSProp | g / √(v − m² + ε) | 0.01 |
#
# All times the learning rate, which is 0.00025 in all three. m is a running mean of g,
# m ← ρ m + (1 − ρ) g, and v one of g², v ← ρ v + (1 − ρ) g², with ρ = 0.95 in both
# RMSProps; Adam has 0.9 for m and 0.999 for v, and corrects both at the start. Nature's
# is *centred*: v − m² is the variance of the gradient. Its ε stands *inside* the root.
# Where the variance is nothing, √0.01 = 0.1 is left to divide by, so 0.01 inside does
# what 0.1 would do outside, and 0.01 outside what 0.0001 would do inside. PyTorch's
# `RMSprop(centered=True)` adds ε outside: with the paper's numbers it is another
# optimiser. And Nature's code *adds up* the losses of a batch, where others average:

# %%
# NBVAL_CHECK_OUTPUT
for name in ("notebook_a", "notebook_b", "mnih2015"):
    old = get_recipe(name)
    print(f"{name:10} {old.optimizer:14} lr {old.learning_rate}", end=" ")
    print(f"epsilon {old.optimizer_epsilon}, loss: {old.loss_reduction}")

# %% [markdown]
# Follow Nature's with pencil and paper for two steps, on one number, θ = 0. Take ρ =
# 0.5, ε = 0.75 and a learning rate of 1. Both means begin at 0. The first gradient is
# 1, the second −1.
#
# | step | g | m | v | root of variance + ε | θ |
# | --- | --- | --- | --- | --- | --- |
# | 1 | 1 | 0.5 | 0.5 | √(0.5 − 0.25 + 0.75) = 1 | 0 − 1 / 1 = −1 |
# | 2 | −1 | −0.25 | 0.75 | √(0.75 − 0.0625 + 0.75) = 1.199 | −1 + 1 / 1.199 = −0.1659 |

# %% [markdown]
# ### Exercise 7.6 · NatureRMSProp · ●●● · 20 minutes
#
# A PyTorch optimiser keeps its parameters in `self.param_groups`, a list of
# dictionaries: `group["params"]` are tensors with a `.grad`, and the other keys are
# settings, here `"lr"`, `"rho1"` and `"rho2"` (ρ₁ and ρ₂) and `"eps"`. What it
# remembers of a parameter `p` it keeps in the dictionary `self.state[p]`, which is
# empty at first. The constructor is given; write the step.


# %%
class NatureRMSProp(torch.optim.Optimizer):
    """RMSProp as the published DQN code has it: centred, epsilon inside the root.

    m ← ρ₁ m + (1 - ρ₁) g       the running mean of the gradient g
    v ← ρ₂ v + (1 - ρ₂) g²      that of its square
    θ ← θ - lr g / sqrt(v - m² + ε)            (no momentum, no correction)
    Source: Mnih et al. 2015, Extended Data Table 1, and `NeuralQLearner.lua`.
    """

    def __init__(self, params: Iterable, lr: float = 2.5e-4,
                 gradient_momentum: float = 0.95,
                 squared_gradient_momentum: float = 0.95, eps: float = 0.01):
        settings = {"lr": lr, "rho1": gradient_momentum, "eps": eps}
        super().__init__(params, settings | {"rho2": squared_gradient_momentum})

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> None:
        """Apply the gradients once. `closure` is not supported."""
        # 1. Zeros at first. 2. Both means. 3. The step. No gradient: nothing at all.
        ### BEGIN SOLUTION
        for group in self.param_groups:
            rho1, rho2 = group["rho1"], group["rho2"]
            for p in [p for p in group["params"] if p.grad is not None]:
                state = self.state[p]
                if not state:
                    state.update(m=torch.zeros_like(p), v=torch.zeros_like(p))
                m = state["m"].mul_(rho1).add_(p.grad, alpha=1 - rho1)
                v = state["v"].mul_(rho2).add_(p.grad**2, alpha=1 - rho2)
                root = (v - m**2 + group["eps"]).sqrt()
                p.addcdiv_(p.grad, root, value=-group["lr"])
        ### END SOLUTION


# %%
NatureRMSProp = check(NatureRMSProp)

# %% [markdown]
# **What you should see:** the two steps from the table above, twice. (If the check says
# ❌ or ◻, it is the reference that takes them.)


# %%
# NBVAL_CHECK_OUTPUT
def two_steps() -> list[float]:
    theta, path = nn.Parameter(torch.zeros(1)), []
    optimizer = NatureRMSProp([theta], 1.0, 0.5, 0.5, 0.75)
    for gradient in (1.0, -1.0):
        theta.grad = torch.tensor([gradient])
        optimizer.step()
        path.append(theta.item())
    return path


print("on paper:", -1.0, -0.1659)
print("the optimiser:", *(round(theta, 4) for theta in two_steps()))

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>Two running means for each parameter, of
# its shape, both 0 at first. First move both with the new gradient, then take the step.
# The step is along the gradient itself, not along its mean: that would be momentum, and
# there is none.</details>
# <details><summary>Hint 2: the call</summary><code>torch.zeros_like(p)</code> begins a
# mean, <code>self.state[p]["m"]</code> keeps it, and the other needs zeros of its own.
# <code>mul_</code>, <code>add_</code>, <code>addcmul_</code> and
# <code>addcdiv_</code> write in place, and the parameter must be changed in place:
# <code>p -= …</code> works, <code>p = p - …</code> makes a new tensor that nobody
# knows.</details>
# <details><summary>Hint 3: the root</summary><code>(v - m * m +
# eps).sqrt()</code>: the mean of the squares minus the square of the mean, and ε
# inside.</details>
# <details><summary>Hint 4: groups</summary>Read <code>lr</code>, <code>rho1</code>,
# <code>rho2</code> and <code>eps</code> from each group at each step; they may differ
# and may be changed. A parameter whose <code>grad</code> is <code>None</code> is left
# out. The gradients stay as they are.</details>
# <details><summary>"KeyError: 'm'"</summary>The state of a parameter is empty before
# its first step. Put zeros there if <code>self.state[p]</code> is empty.</details>
# <details><summary>"TypeError: unsupported operand type(s) for *: 'float' and
# 'NoneType'"</summary>A parameter without a gradient: see hint 4.</details>
#
# **Think:** the gradient of a parameter is always 0.001, without noise. How long are
# the steps of Nature's RMSProp after a thousand updates, in units of the learning rate,
# and how long are Adam's?
# <details><summary>Answer</summary>The variance is 0, the root is √0.01 = 0.1, and a
# step is 0.01 learning rates. Adam divides 0.001 by 0.001: one learning rate. With a
# gradient of 10, Nature's goes 100 learning rates and Adam one.</details>

# %%
compare("NatureRMSProp")

# %% [markdown]
# ### Steps, measured (aside)
#
# Let each optimiser work on 49 numbers, whose gradients are of all sizes from a
# millionth to 100. On the left the gradient is the same at every update, on the right
# it is noise around 0 of that size, as late in training. Drawn is the length of a step
# in learning rates, after 400 updates.

# %%
SIZES = torch.logspace(-6, 2, 49)
LABELS = {"notebook_b": "Adam", "notebook_a": "Keras's RMSprop", "mnih2015": "Nature's"}
COLORS = ((GREEN, "-"), (ORANGE, "-."), (figures.PURPLE, "--"))
PENS = dict(zip(LABELS, COLORS, strict=True))


def optimizer_of(name: str, parameters: Iterable, lr: float = 2.5e-4):
    """The optimiser of a recipe; Nature's is yours."""
    if name == "mnih2015":
        return NatureRMSProp(parameters, lr=lr)
    return learner.make_optimizer(get_recipe(name, learning_rate=lr), parameters)


# %%
def step_lengths(name: str, noisy: bool) -> torch.Tensor:
    """Root mean square of the last 100 of 400 steps, for each size of gradient."""
    generator, squares = torch.Generator().manual_seed(0), torch.zeros(49)
    theta = nn.Parameter(torch.zeros(49))
    optimizer = optimizer_of(name, [theta], lr=1.0)
    for update in range(400):
        noise = torch.randn(49, generator=generator) if noisy else torch.ones(49)
        before, theta.grad = theta.detach().clone(), SIZES * noise
        optimizer.step()
        if update >= 300:
            squares += (theta.detach() - before) ** 2
    return (squares / 100).sqrt()


# %%
drawing, axes = figure(height=2.8, columns=2, sharey=True)
for (name, (color, style)), width in zip(PENS.items(), (6, 2.5, 2.5), strict=True):
    pen = dict(color=color, linestyle=style, linewidth=width, label=LABELS[name])
    axes[0].loglog(SIZES, step_lengths(name, noisy=False), **pen)
    axes[1].loglog(SIZES, step_lengths(name, noisy=True), **pen)
axes[0].set(title="always the same", xlabel="gradient", ylabel="step (learning rates)")
axes[1].set(title="noise", xlabel="size of the gradient")
axes[1].legend(loc="lower right", fontsize=11)
show(
    drawing,
    "Adam's steps do not depend on the gradient's size. Those of Keras's RMSprop "
    "shrink below 0.01, Nature's below 0.1; without noise Nature's grow without end.",
)

# %%
print(f"{'noise of size':16}", "  ".join(f"{SIZES[i]:8.2g}" for i in (12, 24, 36)))
for name, label in LABELS.items():
    lengths = step_lengths(name, noisy=True)
    print(f"{label:16}", "  ".join(f"{lengths[i]:8.3f}" for i in (12, 24, 36)))
steady = step_lengths("mnih2015", noisy=False)
for i in (36, 48):
    print(f"Nature's, always {SIZES[i]:.0f}: {steady[i]:.1f} learning rates")

# %% [markdown]
# Adam's steps have one size, whether the gradient is a ten-thousandth or 1: about 0.2
# learning rates in noise, which partly cancels in m, and 1 where the gradient never
# changes. A tiny gradient is blown up. Both RMSProps fall silent below their ε, Keras's
# below 0.01, Nature's below √0.01 = 0.1. (A gradient that is always 100 should take
# Nature's 100 / 0.1 = 1,000 learning rates. It falls short: v and m² are both near
# 10,000 there, float32 has seven digits, and their difference is mostly rounding.)
#
# Which part of the picture are we in? Ask the trained agent, on our batch. With the sum
# of 32 losses, gradients are 32 times those of the mean.

# %%
predicted = trained.online(batch.states).gather(1, batch.actions[:, None]).squeeze(1)
loss = huber_loss(predicted, y_batch).sum()
gradients = torch.autograd.grad(loss, list(trained.online.parameters()))
summed = torch.cat([gradient.flatten() for gradient in gradients]).abs()
summed = summed[summed > 0]
for name, sizes in (("sum", summed), ("mean", summed / 32)):
    low, middle, high = np.quantile(sizes.numpy(), (0.05, 0.5, 0.95))
    print(f"{name:4} median {middle:.0e}, nine in ten from {low:.0e} to {high:.0e}")

# %% [markdown]
# The median of the summed gradients is a hundred times smaller than 0.1. So ε is nearly
# all there is under Nature's root, and a step is lr / 0.1 times the gradient: plain
# gradient descent with a rate of 0.0025, and a brake for the day on which gradients
# grow.
#
# With the mean, gradients are 32 times smaller, and so are the steps. To get the same
# steps back, ε has to shrink as the variance does, by 32², to about 0.00001:

# %%
# NBVAL_CHECK_OUTPUT
def trail(scale: float, eps: float) -> torch.Tensor:
    theta, rng = nn.Parameter(torch.zeros(5)), torch.Generator().manual_seed(0)
    optimizer = NatureRMSProp([theta], lr=1.0, eps=eps)
    for _ in range(50):
        theta.grad = scale * torch.randn(5, generator=rng)
        optimizer.step()
    return theta.detach()


same, other = trail(1 / 32, 0.01 / 32**2), trail(1 / 32, 0.01)
print("mean, epsilon / 32²:", torch.allclose(trail(1.0, 0.01), same, rtol=1e-3))
print("mean, same epsilon: ", torch.allclose(trail(1.0, 0.01), other, rtol=1e-3))

# %% [markdown]
# ## A first update
#
# Everything is there: a fresh network, 32 transitions of Breakout, the formulas, three
# optimisers. One update. **Guess**: by how much does the loss on these 32 fall?


# %%
def fresh_parts(name: str):
    """A network with the same random weights each time, and a recipe's optimiser."""
    torch.manual_seed(0)
    network = QNetwork(num_actions=4)
    optimizer = optimizer_of(name, network.parameters())
    return parts_of(network, optimizer, get_recipe(name).loss_reduction)


def on(parts, some: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Q(s, a) and the target of each transition; nothing is changed."""
    with torch.no_grad():
        values = parts.online(some.states).gather(1, some.actions[:, None]).squeeze(1)
    return values, learner.targets_of(parts, some)


# %%
untouched = fresh_parts("notebook_b")
print(f"{'before':16} loss {huber_loss(*on(untouched, batch)).mean():.4f}")
learning = {name: fresh_parts(name) for name in LABELS}
for name, parts in learning.items():
    learner.training_step(parts, batch)
    print(f"{LABELS[name]:16} loss {huber_loss(*on(parts, batch)).mean():.4f}")

# %% [markdown]
# It has learnt. Adam, which goes its way however faint the gradient, took off a tenth
# at once, the two others about a hundredth.
#
# One batch, one update: that is how the agent of the next chapters learns, with a new
# batch each time. What happens with the same batch again, a hundred times, while the
# target network stands still? And what becomes of 256 other transitions, on which
# nobody trains? The target network is fresh, so a target is a reward and some noise.

# %%
other_steps = memory.sample(OTHERS, np.random.default_rng(1))
stages = {"before": untouched, "1 update": copy.deepcopy(learning["notebook_b"])}
losses = {name: [] for name in LABELS}
for name, parts in learning.items():
    for _ in range(REPEATS):
        losses[name].append(float(learner.training_step(parts, batch).loss))
stages[f"{REPEATS} more, Adam"] = learning["notebook_b"]

# %%
drawing, ax = figure(height=3.0)
for name, (color, style) in PENS.items():
    ax.semilogy(losses[name], style, color=color, linewidth=2.5, label=LABELS[name])
ticks = [0.001, 0.002, 0.005, 0.01, 0.02, 0.04]
ax.set_yticks(ticks, labels=[f"{tick:g}" for tick in ticks])
ax.yaxis.set_minor_locator(NullLocator())
ax.set(xlabel="further updates on one batch", ylabel="loss of that batch")
ax.legend(loc="lower left")
show(
    drawing,
    "Three falling curves on a logarithmic axis: Adam's falls to a fortieth, "
    "those of the two RMSProps by less than a quarter.",
)

# %%
drawing, axes = figure(height=2.9, columns=3, sharex=True, sharey=True)
kinds = ((other_steps, GREY, "others"), (batch, BLUE, "the batch"))
for ax, (title, parts) in zip(axes, stages.items(), strict=True):
    for some, color, label in kinds:
        values, targets = on(parts, some)
        ax.plot(targets, values, ".", color=color, markersize=9, label=label)
    ax.axline((0, 0), slope=1, color=GREEN)
    ax.set(title=title, xlabel="target y")
axes[0].set(ylabel="Q(s, a)")
axes[0].legend(loc="upper left", fontsize=11)
show(
    drawing,
    "Predictions against targets, three times. Before, all predictions are near 0; "
    "after a hundred updates the batch lies on the diagonal, and other steps do not.",
)

# %%
after, targets = on(learning["notebook_b"], other_steps)
bricks = other_steps.rewards == 1
for kind, rows in (("ordinary", ~bricks), ("bricks", bricks)):
    if rows.any():
        aim, most = targets[rows].median(), after[rows].max()
        print(f"others, {kind:8} target {aim:.2f}, after Adam at most {most:.2f}")
print(f"{'':16} the batch   other steps")
for label, parts in ({"before": untouched} | learning).items():
    own, rest = (float(huber_loss(*on(parts, b)).mean()) for b in (batch, other_steps))
    print(f"{LABELS.get(label, label):16} {own:9.4f}   {rest:11.4f}")

# %% [markdown]
# In the pictures there are two sorts of targets: about 0.05 where nothing happened,
# since the fresh target network says so of every state, and 1.05 where a brick broke.
# After a hundred updates the network knows the two bricks of its batch, and none of the
# others, of which it says 0.05 at most; of ordinary steps it says up to 0.68.
#
# Under Adam the loss of the batch falls to a fortieth, and that of the others more than
# doubles: the network knows 32 transitions by heart, and Breakout less than before. The
# RMSProps have gone a shorter way, and the others are a little better off. That says
# nothing about who wins after a million updates; it says that a learning rate means
# nothing without its optimiser, and that a falling loss is no proof of learning. A new
# batch each time, from a memory that is large enough, is what makes the difference.
#
# ### What a NaN does (aside)
#
# One more thing that every learner meets once. Put a single NaN among 32 rewards.

# %%
rewards = batch.rewards.clone()
rewards[7] = float("nan")
spoilt = batch._replace(rewards=rewards)
for delta in (1.0, float("inf")):
    parts = dataclasses.replace(fresh_parts("notebook_b"), huber_delta=delta)
    metrics = learner.training_step(parts, spoilt)
    weights = nn.utils.parameters_to_vector(parts.online.parameters())
    lost_weights = f"{int(weights.isnan().sum()):,} of {len(weights):,}"
    print(f"delta {delta}: loss {metrics.loss.item()}, weights lost: {lost_weights}")

# %%
# NBVAL_CHECK_OUTPUT
with torch.no_grad():
    values = parts.online(batch.states[:1])
print("Q-values:", values.tolist()[0], "→", ACTIONS[values.numpy().argmax()])

# %% [markdown]
# With half the square, one number in 32 and one update cost half of the weights, for
# good (the others belong to units that were silent on this batch). All Q-values are
# NaN, the agent presses `NOOP` for ever, and nothing is raised. With the solution's
# Huber loss at δ = 1 the weights survive, by luck: `clamp` and `abs` hand on no
# gradient where they met a NaN. With `torch.where` they are lost. The loss tells in
# both cases, so look at it: this course's `train` stops when it is not finite.
#
# ## Summary
#
# > - The target is y = r + γ max Q(s′, ·; θ⁻), and r alone where nothing follows. With
# >   Double, θ chooses the action and θ⁻ values it.
# > - Without the mask the learner believes in a game that never ends. A limit of time
# >   is no end.
# > - (32, 1) against (32,) makes 1,024 errors and teaches the mean. Refuse it.
# > - Huber's gradient is the clipped error; a clipped error has no gradient. δ = inf is
# >   half the square.
# > - No gradient flows into the target. θ⁻ is copied now and then, or follows softly.
# > - ε decides which gradients an optimiser hears. Inside or outside the root, with the
# >   sum or the mean of a batch, the same number means another thing.
#
# | sign | what it is | its unit, or how it moves |
# | --- | --- | --- |
# | θ | weights of the online network, which act and learn | at each update |
# | θ⁻ | weights of the target network, which value next states | copied, or mixed in |
# | y | TD target | clipped points, discounted |
# | γ | discount | per step (a decision) |
# | δ | threshold of the Huber loss | points |
# | τ | share of a soft update; 1 is a copy | per update |
# | frame | picture of the console | 60 a second |
# | step | a decision of the agent | 4 frames |
# | update | one batch, one move of the optimiser | one per 4 steps in Nature |

# %% [markdown]
# Four pieces more, all of them parts of the agent. One recipe alone, `mnih2015`, calls for
# `NatureRMSProp`; the others bring PyTorch's optimisers.

# %%
progress()

# %% [markdown]
# ## Quiz
#
# 1. A colleague's loss falls nicely to almost zero, and the agent's Q-values are the
# same for every state. What do you look at first?
# <details><summary>Answer</summary>The shapes. A column of predictions against a row of
# targets pulls every prediction to the mean. (A loss near zero is suspicious, too: the
# targets would have to be all alike, which they become as the values do.)</details>
#
# 2. The Q-values of an agent climb steadily to 60, in a game with at most one point in
# ten steps. Can a forgotten terminal mask do that? What else of this chapter can?
# <details><summary>Answer</summary>A point in ten steps, for ever, is worth at most 1 /
# (1 − 0.99¹⁰) = 10.5. A forgotten mask makes finite games endless, but not more than
# that, and 60 is beyond even an endless game. A maximum that flatters and is handed on
# can do it: half a point too much at each step comes to 0.5 / (1 − 0.99) = 50. So can a
# forgotten γ, which counts points however far away they are, and an update of the
# target network that adds τ θ and takes nothing away.</details>
#
# 3. Two runs differ only in that one averages the loss over the batch and the other
# adds it up. With Adam the curves are nearly equal, with Nature's RMSProp they are not.
# Why?
# <details><summary>Answer</summary>Adam divides by the gradient's own size, and the
# factor of 32 cancels, but for an ε of 1e-7. Nature's ε of 0.01 stands beside a
# variance that grew by 32²: with the mean it outweighs the gradients, and the steps are
# up to 32 times shorter.</details>
#
# 4. Would a target network that is copied after every update, τ = 1, be of any use?
# <details><summary>Answer</summary>It is the online network under another name: the
# workshop paper of 2013 had no other, and the recipe <code>mnih2013</code> says it in
# this way. No gradient flows through it, which is worth something; but the targets move
# with every update.</details>
#
# A step is not a training. Chapter 08 puts it into a loop, with the memory, the network
# and the exploration of the chapters before, and finds out whether all of it learns.
