# %% [markdown]
# # 10 · The full GPU training loop
#
# Your loop of chapter 08 is right. In this chapter you make it fast, rung by rung, up to
# the loop that the course itself trains with. You say first what a rung will bring, then
# you measure, and where a rung claims to compute the same you see that it does.
# Five rungs are for a processor, one of them only if it has instructions for bf16. The
# last ones belong to a GPU, and nobody has measured them yet: the section "On a GPU" says
# what follows from what, and one cell in it is for your GPU.
# Sections marked (aside) can wait; they take ten minutes more.
#
# **Goals**: write the bill of a step and the floor under it · predict a speed-up before
# you build it · let sixteen games share a network, a memory and the updates that are due
# · say what bf16 loses, and why it may · prove that a faster loop is the same loop · mend
# a run that does not fit into memory.
#
# **Prerequisites**: chapters 04 (the memory), 05 (what a layer costs) and 08 (the loop).
#
# **Minutes**: 130

# %%
import dataclasses
import gc
import inspect
import json
import math
import time
from collections import Counter
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import psutil
import torch
from IPython.display import Markdown
from torch.utils._python_dispatch import TorchDispatchMode

from dqn_ref import captured, hardware, piece_costs, replay
from dqn_ref.course import begin, check, compare, progress, shipped_run
from dqn_ref.course.dashboard import dashboard
from dqn_ref.course.figures import BLUE, GREEN, GREY, ORANGE, VERMILION, figure, show
from dqn_ref.course.home import ROOT, current
from dqn_ref.environments import make_lanes
from dqn_ref.learner import Learner, training_step
from dqn_ref.network import QNetwork
from dqn_ref.own_pieces import load_pieces
from dqn_ref.pieces import REFERENCE, Pieces
from dqn_ref.recipes import RecipeError, get_recipe
from dqn_ref.replay import Batch, FrameRing
from dqn_ref.reporting import RunError, history
from dqn_ref.runs import build, build_network, resolve

# %%
MODE = begin("10").mode
STEPS = {"smoke": 8, "normal": 160, "full": 640}[MODE]  # of an agent, in a block
BLOCKS = {"smoke": 1, "normal": 3, "full": 9}[MODE]  # of each agent, by turns
CALLS = {"smoke": 2, "normal": 20, "full": 100}[MODE]  # of something shorter
GAMES = {"smoke": 2, "normal": 16, "full": 16}[MODE]  # at once, on the ladder
RATE_SECONDS = {"smoke": 0.1, "normal": 1.5, "full": 3.0}[MODE]  # for the floor
GPU_SECONDS = {"smoke": 0.1, "normal": 2.0, "full": 4.0}[MODE]  # for a block on a GPU

# %% [markdown]
# ## The bill of a step
#
# Where does the time go? Here is an agent as chapters 02 to 08 build it, before anybody
# thought of speed: one game in Python, a network that turns each batch into floats,
# PyTorch's Adam as it comes, one update after the other.


# %%
class PlainNetwork(QNetwork):
    """The forward pass of chapter 05."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.head(self.convolutions(states.float() / 255).flatten(1))


class PlainLearner(Learner):
    """The step of chapter 08 for each batch, and PyTorch's own Adam."""

    def __init__(self, recipe, network):
        super().__init__(recipe, network)
        self.optimizer = torch.optim.Adam(
            network.parameters(), lr=recipe.learning_rate, eps=recipe.optimizer_epsilon
        )
        self.parts = dataclasses.replace(self.parts, optimizer=self.optimizer)

    def update_between_copies(self, batches):
        return [training_step(self.parts, batch) for batch in batches]


# %% [markdown]
# The memory is yours, if it passed its check in chapter 04.


# %%
def my_pieces() -> Pieces:
    """What the checks have saved in `my_dqn`, and the reference's for the rest."""
    try:
        return load_pieces(current().home / "my_dqn")
    except RunError:
        return REFERENCE


MyMemory = my_pieces().ReplayMemory
whose = "the reference's" if MyMemory is REFERENCE.ReplayMemory else "yours"
print("ReplayMemory:", whose)


# %% [markdown]
# The recipe is `laptop`, with epsilon at 0.1 from the start, so that the network is asked
# at every step. Four settings will be turned on the way up: `lanes`, how many games are
# played side by side; `updates_at_once`, how many updates are made in one go; `door`, who
# runs the emulator, Python (`"gym"`) or ALE's own threads (`"ale"`); `precision`. And
# `n_step=1`: one reward in each target, as in chapter 07.
#
# PyTorch gets one thread. The clock counts *seconds of computing* by this program, of all
# its threads together; what other programs do meanwhile does not count.
#
# The next four cells are tools: run them, and come back when you want to know how
# something was measured.


# %%
def recipe_of(lanes: int, **changes):
    settings = dict(
        lanes=lanes, updates_at_once=max(1, lanes // 4), n_step=1, device="cpu",
        memory_frames=8_000, learning_starts=32, precision="fp32", threads=1,
        epsilon_start=0.1, epsilon_end=0.1,
    )
    return resolve(get_recipe("laptop", **(settings | changes)))


def turn(parts) -> None:
    """The loop of chapter 08, once round."""
    actions = parts.act()
    parts.lanes.send(actions)
    parts.learn()
    rows = parts.lanes.recv()
    parts.remember(actions, rows)


# %%
def agent(lanes: int, plain: bool, memories: Callable | None = None, **changes):
    """A loop's parts with some updates behind them; it plays Breakout.

    Args:
        lanes: games at once.
        plain: whether it learns by `PlainLearner`.
        memories: makes one memory of several; None for the course's own.
    """
    recipe = recipe_of(lanes, **changes)
    parts = build(recipe)
    if memories is not None:
        capacity = recipe.memory_frames // lanes
        parts.memory = memories([MyMemory(capacity) for _ in range(lanes)])
    if plain:
        torch.manual_seed(recipe.seed)
        parts.learner = PlainLearner(recipe, PlainNetwork(4))
    parts.start()
    while parts.counters.updates < 4:
        turn(parts)
    return parts


# %%
coarse = time.get_clock_info("process_time").resolution > 1e-4  # on Windows
clock = time.perf_counter if coarse else time.process_time


def timed(name: str, call: Callable, spent: Counter) -> Callable:
    """The same call; the time that it takes is added to `spent`."""

    def measured(*arguments):
        begun = clock()
        result = call(*arguments)
        spent[name] += clock() - begun
        return result

    return measured


# %%
COLOURS = dict(emulate=GREEN, act=BLUE, remember=GREY, draw=VERMILION, update=ORANGE)


def bill(parts, steps: int) -> dict[str, float]:
    """Milliseconds per step in each part of the loop."""
    spent, goal = Counter(), parts.counters.steps + steps
    calls = {
        "act": (parts, "act"), "send": (parts.lanes, "send"), "learn": (parts, "learn"),
        "recv": (parts.lanes, "recv"), "draw": (parts.memory, "sample"),
        "remember": (parts, "remember"),
    }
    for name, (owner, method) in calls.items():
        setattr(owner, method, timed(name, getattr(owner, method), spent))
    while parts.counters.steps < goal:
        turn(parts)
    for owner, method in calls.values():
        delattr(owner, method)
    spent["emulate"] = spent.pop("send") + spent.pop("recv")
    spent["update"] = spent.pop("learn") - spent["draw"]
    return {name: 1e3 * spent[name] / steps for name in COLOURS}


# %% [markdown]
# An update is made at every fourth step, so its time counts a quarter. **Before you
# scroll on, write down a number:** of the time of a step, how many per cent are updates?
# (The next cell takes five seconds of computing; on a busy machine the clock on the wall
# says more.)

# %%
first = agent(1, plain=True, memories=replay.LaneMemories, door="gym")
costs = bill(first, STEPS)
whole = sum(costs.values())
for part, ms in costs.items():
    print(f"{part:9} {ms:6.2f} ms  {ms / whole:4.0%}")
print(f"a step    {whole:6.2f} ms, {1e3 / whole:.0f} steps a second")

# %%
drawing, ax = figure(height=1.6)
left = 0.0
for part, ms in costs.items():
    ax.barh("chapter 08", ms, left=left, color=COLOURS[part], label=part, height=0.6)
    left += ms
ax.set(xlabel="milliseconds per step")
ax.legend(ncols=5, loc="lower left", bbox_to_anchor=(0, 1), columnspacing=1)
show(drawing, "One bar of five parts. The update is by far the longest, drawing can "
     "hardly be seen; emulator, acting and remembering share the rest.")

# %% [markdown]
# About four fifths are updates. On the machine on which this page was made (one PyTorch
# thread of an AMD EPYC, as in every cell that measures) acting is about a tenth, and
# emulator and memory share the rest. Whoever makes the emulator ten times faster hardly
# notices.
#
# ## The floor
#
# How fast could an update be? An ideal machine would spend time on arithmetic alone.
# Chapter 05 counted it: a state takes 9,345,024 multiplications on its way forward, and
# as many additions. One of either is a *floating-point operation*, FLOP.

# %%
# NBVAL_CHECK_OUTPUT
multiplications = [3_276_800, 2_654_208, 1_806_336, 1_605_632, 2_048]  # per layer
forward = [2 * 32 * count for count in multiplications]  # FLOP for a batch of 32
print("one forward pass:", f"{sum(forward):,} FLOP")

# %% [markdown]
# An update has more than one pass. The target network goes forward on the next states,
# the online network on the states. Then comes the backward pass, and it has two jobs at
# each layer: the gradient of the weights, and the gradient of what came in, which the
# layer before needs. Each is as many products as the layer had on its way forward.

# %% [markdown]
# ### Exercise 10.1 · What an update costs · ●○○ · 10 minutes
#
# Add it up. One gradient of the backward pass is wanted by nobody: find it.


# %%
def update_flop(forward: list[int]) -> int:
    """FLOP of one update without Double.

    Args:
        forward: FLOP of each layer in one forward pass of the whole batch, the layer
            that sees the pixels first.
    """
    # 1. Two networks go forward. 2. Gradients of all weights.
    # 3. Gradients of what came into each layer, as far as somebody needs them.
    ### BEGIN SOLUTION
    passes = sum(forward) + sum(forward)
    weight_gradients = sum(forward)
    input_gradients = sum(forward[1:])
    return passes + weight_gradients + input_gradients
    ### END SOLUTION


# %% [markdown]
# Small exercises have no check of their own. This function prints what is expected
# beside what yours gives.


# %%
def beside(question: str, expected, function: Callable, *arguments) -> None:
    """Print what is expected beside what your function returns; never raises."""
    try:
        answer = function(*arguments)
    except NotImplementedError:
        mark, told = "◻", "not attempted yet"
    except Exception as error:
        mark, told = "❌", f"{type(error).__name__}: {error}"[:90]
    else:
        mark, told = judge(answer, expected)
    print(f"{mark} {question}: expected {say(expected)}, yours: {told}")


def judge(answer, expected) -> tuple[str, str]:
    whole = all(type(value) is int for value in np.atleast_1d(expected).tolist())
    try:
        close = np.allclose(answer, expected, rtol=1e-6, atol=0)
        floats = whole and np.asarray(answer).dtype.kind == "f"
    except (TypeError, ValueError):  # None, a text, a pair that is none
        return "❌", say(answer)
    told = f"{answer}, with a float where an int is due" if floats else say(answer)
    return "✅" if close and not floats else "❌", told


def say(value) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if type(value) is int else str(value)


# %%
# NBVAL_CHECK_OUTPUT
beside("one layer of 10", 30, update_flop, [10])
beside("two layers of 10", 70, update_flop, [10, 10])
beside("a wide first layer", 380, update_flop, [100, 10, 10])
beside("a wide last layer", 470, update_flop, [10, 10, 100])
beside("this network", 2_182_610_944, update_flop, forward)

# %% [markdown]
# **What you should see:** five times ✅. An update of batch 32 is 2.18 GFLOP. (`yours:
# None` means that nothing was returned.)
#
# <details><summary>Hint 1: the idea</summary>Four times the forward pass: online
# forward, target forward, gradients of weights, gradients of inputs. But what comes into
# the first layer are pixels, and nobody learns pixels.</details>
# <details><summary>Hint 2: the call</summary><code>forward[1:]</code> are all layers but
# the first.</details>
# <details><summary>"TypeError: unsupported operand type(s) for +: 'int' and 'list'", or
# "can only concatenate list (not "int") to list"</summary><code>forward</code> is a list;
# <code>sum(forward)</code> is a number. A list times 3 is a longer list.</details>
#
# **Think:** the optimiser is not in this sum. Adam reads and writes some numbers for each
# of the 1.7 million weights, and does about ten operations with them. Is it right to leave
# that out?
# <details><summary>Answer</summary>As arithmetic yes: 17 million operations are under 1 %
# of 2.18 billion. As time perhaps not. It is work of memory, and memory moves fewer
# numbers in a second than a processor multiplies. You will see it below.</details>
#
# What can this machine do? The product of two large matrices is the best case of
# arithmetic: the same numbers are used again and again, and nothing is waited for.


# %%
def matrix_rate(dtype: torch.dtype, size: int = 1024) -> float:
    """FLOP per second of the fastest product of two square matrices."""
    one, other = (torch.ones(size, size, dtype=dtype) for _ in range(2))
    best, deadline = math.inf, time.perf_counter() + RATE_SECONDS
    while best == math.inf or time.perf_counter() < deadline:
        begun = clock()
        one @ other
        best = min(best, clock() - begun)
    return 2 * size**3 / max(best, 1e-9)


FLOP = 2_182_610_944  # of an update, as you have found
rate = matrix_rate(torch.float32)
floor = 1e3 * FLOP / rate
print(f"{rate / 1e9:.0f} GFLOP/s in fp32: an update takes {floor:.0f} ms at least")
takes = 4 * costs["update"]
print(f"it takes {takes:.0f} ms, {takes / floor:.1f} times that")

# %% [markdown]
# A network of small layers does not come down to the floor of one large product. But the
# floor says two things: something is to be had, and a factor of ten is not, as long as
# the same numbers are computed on the same machine.
#
# ## Predict before you build
#
# The bill gives more. If a part that takes the share s of the time gets k times faster,
# the whole takes 1 − s + s/k of its time. That is Amdahl's law (1967), and it is the
# cheapest tool of this chapter.

# %% [markdown]
# ### Exercise 10.2 · Amdahl's law · ●○○ · 5 minutes
#
# The formula above has one part that gets faster. Now every part has a factor of its own.


# %%
def speed_up(times: list[float], factors: list[float]) -> float:
    """How many times faster the whole gets.

    Args:
        times: of the parts, in any unit.
        factors: how many times faster each part gets; 1 leaves it, inf makes it free,
            0.5 makes it take twice as long.
    """
    # 1. The time before. 2. The time after. 3. How many times the one is the other.
    ### BEGIN SOLUTION
    after = sum(time / factor for time, factor in zip(times, factors, strict=True))
    return sum(times) / after
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
beside("all three times faster", 3.0, speed_up, [2.0, 1.0], [3, 3])
beside("half of it twice as fast", 4 / 3, speed_up, [5.0, 5.0], [2, 1])
beside("a fifth of it for free", 1.25, speed_up, [8.0, 2.0], [1, math.inf])
beside("four fifths, 4 times", 2.5, speed_up, [8.0, 2.0], [4, 1])
beside("one faster, one slower", 5 / 7, speed_up, [2.0, 3.0], [2, 0.5])

# %% [markdown]
# **What you should see:** five times ✅.
#
# <details><summary>Hint 1: the idea</summary>Times add up, speeds do not. A part that
# gets k times faster takes its time divided by k.</details>
# <details><summary>Hint 2: the call</summary><code>zip(times, factors)</code> goes
# through both lists at once. In Python a number divided by <code>math.inf</code> is
# 0.</details>
# <details><summary>"TypeError: unsupported operand type(s) for /: 'list' and
# 'list'"</summary>Lists cannot be divided. Divide their items, one by one, and add
# up.</details>
#
# **Think:** somebody makes acting, emulating and remembering free, all three. Take the
# bill from the top: how much faster can the agent be at most? And suppose that updates got
# twenty times faster: which part is then the largest?
# <details><summary>Answer</summary>If four fifths are updates, 1 / 0.8 = 1.25 times at
# most. With updates at a twentieth, what was a fifth is five times what is left of them:
# then emulator, acting and memory are what counts, and by the bill of this page acting is
# the largest. Which rung is worth its trouble depends on the machine.</details>
#
# A prediction that can be tried at once, with nothing built. The first old notebook makes
# an update at every step, the second at every fourth. What does that cost? By the bill,
# updates and draws get four times as long. (Five seconds.)

# %%
factors = {"update": 0.25, "draw": 0.25}
longer = sum(ms / factors.get(part, 1) for part, ms in costs.items())
alike = dict(lanes=1, plain=True, memories=replay.LaneMemories, door="gym")
every = agent(**alike, train_every_steps=1)
measured = sum(bill(every, max(8, STEPS // 2)).values())
print(f"predicted {longer / whole:.1f} times as long, measured {measured / whole:.1f}")

# %% [markdown]
# Three to four times as long. It buys 32 looks at each step instead of 8, and chapter 11
# will ask what those are worth.
#
# ## Rung 1: many games
#
# From one game to sixteen, played side by side. Each is a *lane*: a game with a place of
# its own in every array. One forward pass then chooses sixteen actions. **Predict:** a
# state alone takes most of what *act* takes in the bill. How much will each of 16 take, and
# each of 64?

# %%
def laps(jobs: dict[str, Callable], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each job, measured by turns, after a first call."""
    times = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, job in jobs.items():
            begun = clock()
            job()
            if number:
                times[name].append(1e3 * (clock() - begun))
    return times


# %%
def by_turns(jobs: dict[str, Callable], rounds: int) -> dict[str, float]:
    """The medians of `laps`."""
    return {name: float(np.median(taken)) for name, taken in laps(jobs, rounds).items()}


# %%
plain = PlainNetwork(4).requires_grad_(False)
pixels = torch.randint(0, 256, (64, 4, 84, 84), dtype=torch.uint8)
sizes = (1, 2, 4, 8, 16, 32, 64)
jobs = {str(size): lambda size=size: plain(pixels[:size]) for size in sizes}
acting = by_turns(jobs, CALLS)
for size in (1, 4, 16, 64):
    print(f"{size:2} states: {acting[str(size)] / size:.2f} ms each")

# %%
drawing, ax = figure(height=2.6)
ax.plot(sizes, [acting[str(n)] / n for n in sizes], "o-", color=BLUE, label="measured")
ax.axhline(floor * sum(forward) / FLOP / 32, color=GREY, linestyle="--", label="floor")
ax.set(xscale="log", xticks=sizes, xticklabels=sizes, ylim=0)
ax.set(xlabel="states in a forward pass", ylabel="ms per state")
ax.minorticks_off()
ax.legend(loc="upper right")
show(drawing, "A curve that falls steeply from 1 state to 4, less up to 16 and little "
     "after that, above the floor.")

# %% [markdown]
# One state is a bad customer. Every layer has costs that do not depend on the number of
# states, and the 1.6 million weights of the hidden layer are fetched from memory and used
# once. Sixteen states fetch them once and use them sixteen times. Beyond that little is
# gained: the rest is arithmetic.
#
# The games can run side by side, too, and not in Python: `door="ale"` is ALE's own vector
# environment, threads of C++ that emulate, take the maximum and resize.

# %%
def random_play(lanes: int, door: str, steps: int):
    """Milliseconds of computing per step; the actions, and what they brought."""
    games = make_lanes(recipe_of(lanes, door=door), lanes)
    actions = np.random.default_rng(0).integers(4, size=(steps // lanes, lanes))
    rows = [games.reset(seed=0)]
    begun = clock()
    for chosen in actions:
        games.send(chosen)
        rows.append(games.recv())
    spent = clock() - begun
    games.close()
    return 1e3 * spent / steps, actions, rows


in_python, *_ = random_play(1, "gym", 320)
in_threads, actions, rows = random_play(16, "ale", 1_600)
print(f"one game, in Python      {in_python:.2f} ms of computing per step")
print(f"sixteen, in C++ threads  {in_threads:.2f} ms")

# %% [markdown]
# Less computing, and that is the smaller gain. The larger one this clock cannot show, since
# it adds up all threads: those of ALE work on other cores than the one that learns, and at
# the same time. Rung 5 comes back to it.
#
# ### What must not change
#
# 32 transitions are learnt from for every four steps, whether one game is played or a
# hundred. The commonest mistake of this rung is a loop that makes one update per *turn*.
# With sixteen lanes that is a quarter of the updates, and by the fourth row of exercise
# 10.2 it runs 2.5 times as fast. It also learns a quarter as much from each step, and
# nothing in its log says so but one number.
#
# ### Exercise 10.3 · Updates that are owed · ●●○ · 10 minutes
#
# A turn of sixteen lanes makes up to sixteen steps, fewer when games start anew. So keep
# a debt: each step adds one to it, and each update pays `train_every` of it. Updates are
# made in groups of `at_once`; what does not fill a group stays owed.


# %%
def updates_due(owed: int, train_every: int, at_once: int) -> tuple[int, int]:
    """Updates to make now, and steps still owed after them.

    Args:
        owed: steps that no update has answered yet.
        train_every: steps for each update.
        at_once: updates in a group; only whole groups are made.
    """
    # 1. How many steps does a group pay for? 2. Whole groups, and what is left.
    ### BEGIN SOLUTION
    groups, rest = divmod(owed, train_every * at_once)
    return groups * at_once, rest
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
def updates_of(rule: Callable, lanes: int, at_once: int, steps: int = 96_000) -> int:
    """Updates of a run whose turns make `lanes` steps, one fewer in every third."""
    owed = made = done = number = 0
    while done < steps:
        number += 1
        turn_steps = min(lanes - (number % 3 == 0 and lanes > 1), steps - done)
        updates, owed = rule(owed + turn_steps, 4, at_once)
        made, done = made + updates, done + turn_steps
    return made


beside("3 steps owed", (0, 3), updates_due, 3, 4, 1)
beside("18 owed, one at a time", (4, 2), updates_due, 18, 4, 1)
beside("18 owed, groups of 4", (4, 2), updates_due, 18, 4, 4)
beside("15 owed, groups of 4", (0, 15), updates_due, 15, 4, 4)
beside("33 owed, groups of 4", (8, 1), updates_due, 33, 4, 4)
for size in ((1, 1), (16, 4), (128, 32)):
    question = f"{size[0]} lane{'s' * (size[0] > 1)}, 96,000 steps"
    beside(question, 24_000, updates_of, updates_due, *size)

# %% [markdown]
# **What you should see:** eight times ✅. Whatever the number of lanes, 96,000 steps
# bring 24,000 updates.
#
# <details><summary>Hint 1: the idea</summary>A group of n updates pays for n times
# <code>train_every</code> steps. How many whole groups are in the debt, and what is
# left?</details>
# <details><summary>Hint 2: the call</summary><code>divmod(a, b)</code> gives both, the
# whole times and the rest. Count updates, not groups.</details>
# <details><summary>"TypeError: cannot unpack non-iterable int object"</summary>The
# result is a pair: <code>return updates, rest</code>.</details>
#
# **Think:** something does change with sixteen lanes. On which weights does the agent
# act?
# <details><summary>Answer</summary>On older ones. With one lane it acts on the newest
# there are. With sixteen, one set of weights chooses sixteen actions, and with 128
# lanes and groups of 32 the weights are up to two turns, nearly 64 updates, old. Of
# hundreds of thousands that is little: the three shipped agents of 25 minutes were
# trained with sixteen lanes. It is a change all the same, and belongs into a
# recipe.</details>
#
# ## Rung 2: one memory for all
#
# Your memory of chapter 04 has one lane, and it cannot have more: which frames follow
# one another is what it lives on. Sixteen games in a row through one such memory would
# stack sixteen games on top of each other. So every lane gets a memory of its own, and
# something must make them look like one.
#
# What comes in is one array for each fact, with a place for every lane. `starts` says
# where the frame is the first of a game: that lane's action was ignored, so its row is no
# step; its game begins.

# %%
# NBVAL_CHECK_OUTPUT
print("        lane 0       lane 1       lane 2")
print("row 7   step         step, over   step")
print("row 8   step         starts       step")
print("then    add          begin        add")

# %% [markdown]
# Lanes do not hold the same number of steps: one that has started more games has fewer.
# *Uniform* still means each step of all lanes is drawn as often as any other. In the
# picture below, lanes hold 900, 300 and 600 steps. What share of a batch should come
# from the second?

# %%
held = np.array([900, 300, 600])
drawing, axes = figure(height=2.6, columns=2, sharey=True)
bars = {
    "each lane as often": np.full(3, 1 / 3),
    "each step as often": held / held.sum(),
}
for ax, (title, share) in zip(axes, bars.items(), strict=True):
    colour = GREEN if "step" in title else VERMILION
    ax.bar(["lane 0", "lane 1", "lane 2"], 1e4 * share / held, color=colour)
    ax.set(title=title, ylim=0)
axes[0].set_ylabel("draws of a step\nin 10,000")
show(drawing, "Two pictures of how often a step of each lane is drawn. Lanes drawn "
     "equally often: a step of lane 1 three times as often as one of lane 0. Steps "
     "drawn equally often: three bars of one height.")

# %% [markdown]
# ### Exercise 10.4 · LaneMemories · ●●○ · 40 minutes
#
# The second lane's share is 300 of 1,800, a sixth. Now write it: memories in, one memory
# out. It has the interface that the loop knows, with arrays where your memory has numbers.
#
# - `begin(frames)`: a game starts in every lane. `(L, H, W)` uint8, a tensor on whatever
#   device the network is on; your memories take arrays.
# - `add(actions, rewards, terminated, truncated, starts, next_frames)`: a row of the
#   loop, `(L,)` arrays and a tensor like that of `begin`.
# - `len`: steps of all lanes that can be drawn.
# - `sample(batch_size, rng)`: a `Batch`, each row a step of any lane, all steps equally
#   likely. Only `rng` decides. `ValueError` if there is none. With one lane the batch is
#   that memory's own, so a run with one lane stays the run it was. A `Batch` has six
#   fields, `states, actions, rewards, discounts, terminated, next_states`, arrays or
#   tensors, wherever your memories keep them: the loop takes them to the network's device.


# %%
class LaneMemories:
    """One memory of chapter 04 for each lane, used as it is; its contract is above."""

    def __init__(self, memories: list):
        ### BEGIN SOLUTION
        self.memories = memories
        ### END SOLUTION

    def __len__(self) -> int:  # 1. of all lanes
        ### BEGIN SOLUTION
        return sum(map(len, self.memories))
        ### END SOLUTION

    def begin(self, frames):  # 2. lane by lane
        ### BEGIN SOLUTION
        for memory, frame in zip(self.memories, frames.cpu().numpy(), strict=True):
            memory.begin(frame)
        ### END SOLUTION

    def add(self, actions, rewards, terminated, truncated, starts, next_frames):
        # 3. A lane whose game starts begins; every other lane adds its step.
        ### BEGIN SOLUTION
        frames = next_frames.cpu().numpy()
        steps = zip(actions, rewards, terminated, truncated, frames, strict=True)
        for memory, start, step in zip(self.memories, starts, steps, strict=True):
            memory.begin(step[-1]) if start else memory.add(*step)
        ### END SOLUTION

    def sample(self, batch_size: int, rng: np.random.Generator) -> Batch:
        # 4. How many rows from which lane? 5. Ask those. 6. Join, field by field.
        ### BEGIN SOLUTION
        lengths = np.array([len(memory) for memory in self.memories])
        if not lengths.any():
            raise ValueError("nothing to draw from: add steps before you sample")
        counts = rng.multinomial(batch_size, lengths / lengths.sum())
        lanes = zip(self.memories, counts, strict=True)
        drawn = [memory.sample(int(n), rng) for memory, n in lanes if n]
        fields = zip(*drawn, strict=True)
        return Batch(*(torch.cat([*map(torch.as_tensor, f)]) for f in fields))
        ### END SOLUTION


# %%
LaneMemories = check(LaneMemories)

# %% [markdown]
# **What you should see:** a badge that says `passes`. As ever, the notebook goes on with
# the reference's otherwise.
#
# <details><summary>Hint 1: the idea, lane by lane</summary>Place i of every array belongs
# to memory i. Where <code>starts</code> is true the frame begins a game in that lane
# alone, and the row's action, reward and flags are nothing. Everywhere else the row is a
# step, also if the game is over with it: the start comes with the next row.</details>
# <details><summary>Hint 2: the call, arrays</summary><code>frames.cpu().numpy()</code>
# fetches a tensor from wherever it is. <code>zip(self.memories, actions, …,
# strict=True)</code> hands out one place of each, and complains if one is
# shorter.</details>
# <details><summary>Hint 3: the draw</summary>A lane's share of the draws is its share of
# the steps. <code>rng.multinomial(batch_size, lengths / lengths.sum())</code> throws
# <code>batch_size</code> dice with such faces and says how often each lane came up. Give
# all lanes the same <code>rng</code>, and ask only those that came up. With one lane
# <code>multinomial</code> has nothing to throw and leaves <code>rng</code> as it was;
# <code>rng.choice</code> and <code>rng.integers</code> throw all the same, and the memory
# then draws another batch. If you use those, let a lane that is alone draw all rows,
# first of all.</details>
# <details><summary>Hint 4: the batch</summary><code>zip(*drawn)</code> turns a list of
# batches into a list of six fields, each a tuple with one part from every lane. Memories
# may hand out arrays or tensors: <code>torch.as_tensor</code> takes both, and
# <code>torch.cat</code> joins tensors. Rows must stay together: whatever you do to the
# order of one field, do to all. <code>len</code> is a sum.</details>
# <details><summary>"TypeError: can't convert cuda:0 device type tensor to
# numpy"</summary>The frames are on a GPU, or pretend to be: <code>.cpu()</code>
# first.</details>
# <details><summary>"TypeError: expected Tensor as element 0 in argument 0, but got
# numpy.ndarray"</summary><code>torch.cat</code> wants tensors, and a memory may hand out
# arrays. <code>torch.as_tensor</code> each.</details>
#
# **Think:** `[ReplayMemory(8_000)] * 16` makes a list of sixteen memories in one line.
# What goes wrong with it?
# <details><summary>Answer</summary>It is one memory, sixteen times in a list. All lanes
# write into it, and its stacks are made of four different games. A list comprehension
# makes sixteen: <code>[ReplayMemory(500) for _ in range(16)]</code>, each with a
# sixteenth of the capacity.</details>

# %%
compare("LaneMemories")

# %% [markdown]
# ### Then one array
#
# Sixteen memories keep what one would keep. But a batch of 32 now is up to sixteen small
# draws, each with its own calls, and a turn is sixteen calls of `add`. Lanes step
# together, so their frames can lie in *one* array, `[time, lane]`, with a list of the
# places where a drawable step begins. Then a batch is one draw and one gather, and a turn
# is one row.
#
# The course's `FrameRing` is that array. **Predict**: how many times faster is a draw?
# First, do they hold the same? The games from above go into both. To read a memory out,
# `contents` asks for as many rows as it holds, with dice that count 0, 1, 2, … instead of
# rolling, so that every step comes once; you need not follow how.


# %%
def fill(memory) -> None:
    """The random play of sixteen games from rung 1."""
    memory.begin(torch.from_numpy(rows[0].frames))
    for chosen, row in zip(actions, rows[1:], strict=True):
        ended = row.life_lost | row.game_over
        facts = chosen, row.rewards, ended, row.truncated, row.reset_row
        memory.add(*facts, torch.from_numpy(row.frames))


memories = [MyMemory(500) for _ in range(16)]
lanes, ring = LaneMemories(memories), FrameRing(8_000, lanes=16)
fill(lanes)
fill(ring)


# %%
class InOrder(np.random.Generator):
    """Dice that are not random: 0, 1, 2 and so on, however they are asked for."""

    def __init__(self):
        super().__init__(np.random.PCG64(0))
        self.next = 0

    def integers(self, low, high=None, size=None, **named):
        first, self.next = self.next, self.next + (1 if size is None else size)
        drawn = np.arange(first, self.next) % (high or low)
        return int(drawn[0]) if size is None else drawn

    def choice(self, a, size=None, **named):
        return self.integers(a, size=size)


def contents(*memories) -> Counter:
    """All steps of some memories, as bytes; what follows an end does not count."""
    steps = Counter()
    for memory in memories:
        batch = memory.sample(len(memory), InOrder())
        for *step, after in zip(*map(np.asarray, batch), strict=True):
            kept = step if step[-1] else [*step, after]
            steps[b"".join(field.tobytes() for field in kept)] += 1
    return steps


# %%
# NBVAL_CHECK_OUTPUT
same = contents(*memories) == contents(ring)
print(f"{len(lanes):,} steps in sixteen memories, {len(ring):,} in the ring")
print("✅ the same steps" if same else "❌ other steps")

# %%
rng, frames, no = np.random.default_rng(0), torch.zeros(16, 84, 84).byte(), [False] * 16
facts = np.zeros(16, np.int64), np.zeros(16, np.float32), *3 * (np.array(no),)
jobs = {
    f"{task}, {name}": call
    for name, memory in (("16 memories", lanes), ("one array", ring))
    for task, call in (
        ("draw 32", lambda memory=memory: memory.sample(32, rng)),
        ("add 16", lambda memory=memory: memory.add(*facts, frames)),
    )
}
memory_times = by_turns(jobs, 5 * CALLS)
for name, ms in memory_times.items():
    print(f"{name:21} {ms:5.2f} ms")

# %% [markdown]
# With the course's own memory in each of the lanes the ring draws five to seven times
# faster and adds eight to nine times faster on the machine of this page. A draw counts a
# quarter per step: beside the whole bill neither is much, as Amdahl would have told you.
# But the ring has another merit: one array of fixed shape can lie on a GPU.
#
# ## Rung 3: the same update, faster
#
# Now the four fifths. One saving is in them already: memory and network deal in bytes. A
# batch has 32 states and 32 next states. How much is that?

# %%
# NBVAL_CHECK_OUTPUT
stacks = 2 * 32 * 4 * 84 * 84
print(f"states and next states, float32: {4 * stacks:,} bytes")
print(f"uint8:                           {stacks:,} bytes")
print(f"uint8, five frames for a step:   {5 * stacks // 8:,} bytes")

# %% [markdown]
# A quarter of the bytes go to the device, and the network divides by 255 there. The ring
# reads fewer still: a state and its next state are eight frames, but only five different
# ones.
#
# Three changes are to come. They leave every number as it is, but for the last digits,
# since sums are added up in another order.
#
# 1. **Layout.** A batch of maps has four axes, and memory has one. PyTorch's habit keeps
# each map together; `channels_last` keeps the channels of each pixel together, and those
# are what a convolution multiplies. (The course's network also divides the pixels by 255
# in place. That is timed with it.)
# 2. **Adam in one go.** 1.7 million weights. For each, weight, gradient and two moments are
# read, weight and moments written: seven numbers of four bytes. PyTorch's Adam is a dozen
# operations, each of which goes through memory from end to end; `fused=True` goes once.
# 3. **One pass for the targets.** Between two copies the target network stays as it is. So
# the targets of four minibatches can come from one pass with 128 states, and larger
# batches are better customers. With Double the online network chooses, which changes with
# each update: there it would not be the same.


# %%
class OneByOne(Learner):
    """The course's learner without the shared pass."""

    def update_between_copies(self, batches):
        return [training_step(self.parts, batch) for batch in batches]


def makers(recipe) -> dict[str, Callable]:
    """Learners with the same weights, each with one thing more."""

    def seeded(kind, network):
        def make():
            torch.manual_seed(0)
            return kind(recipe, network())

        return make

    def fast():
        return build_network(recipe, 4)

    return {
        "chapter 08": seeded(PlainLearner, lambda: PlainNetwork(4)),
        "+ channels last": seeded(PlainLearner, fast),
        "+ fused Adam": seeded(OneByOne, fast),
        "+ one target pass": seeded(Learner, fast),
    }


# %% [markdown]
# Equal first: four updates on the same minibatches, from the same weights. What is
# compared is how the weights have *changed*, as the length of the difference over the
# length of the change. (Adam divides a gradient by its size plus epsilon. Where the
# gradient is nothing but rounding error, so would be the whole step; with the epsilon of
# 1e-4 that is used here such steps are small.)

# %%
batches = [ring.sample(32, np.random.default_rng(seed)) for seed in range(4)]


def weights(learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in learner.online.parameters()])


def change(make: Callable) -> torch.Tensor:
    """What four updates do to the weights."""
    learner = make()
    before = weights(learner)
    learner.update(batches)
    return weights(learner) - before


# %%
# NBVAL_CHECK_OUTPUT
changes = {
    name: change(make)
    for name, make in makers(recipe_of(16, optimizer_epsilon=1e-4)).items()
}
expected = changes["chapter 08"]
for name, found in changes.items():
    apart = float((found - expected).norm() / expected.norm())
    print("✅" if apart < 1e-4 else "❌", f"{name}: the same update")

# %% [markdown]
# **Predict** before you scroll on: how many per cent will each of the three bring? For two
# of them you have a hint. Adam's seven numbers of four bytes, for 1.7 million weights, are
# 47 MB. And the curve of rung 1 says what larger batches are worth here. (Half of the calls
# lie in the range in brackets; seven seconds of computing.)

# %%
big, other = torch.zeros(5_900_000), torch.zeros(5_900_000)  # 23.6 MB to read and write
moved = by_turns({"47 MB": lambda: other.copy_(big)}, CALLS)["47 MB"]
learners = {name: make() for name, make in makers(recipe_of(16)).items()}
jobs = {name: lambda made=made: made.update(batches) for name, made in learners.items()}
taken = {name: np.divide(ms, 4) for name, ms in laps(jobs, CALLS // 2).items()}
updating = {name: float(np.median(ms)) for name, ms in taken.items()}
print(f"47 MB through memory: {moved:.1f} ms")
for name, ms in updating.items():
    low, high = np.percentile(taken[name], (25, 75))
    print(f"{name:18} {ms:5.1f} ms per update ({low:.1f} to {high:.1f}),", end=" ")
    print(f"{ms / floor:.1f} times the floor")

# %% [markdown]
# On the machine of this page the layout brings six to twelve per cent from run to run,
# and Adam nine to thirteen. Adam saves more than the time that 47 MB take: the plain
# one goes through memory again and again. The shared pass does not make it faster here:
# it took between six per cent more and one per cent less. The curve of rung 1 had
# promised little: from 16 states on it is nearly flat, and a batch has 32. The pass is
# shared for the GPU's sake, where each one has to be ordered.
#
# The last update still takes half as long again as the floor, or a little more. That is
# small layers, and data that is moved from one order into another.
#
# ## Rung 4: fewer digits
#
# The floor itself can be lowered, if a number is allowed to be shorter. **bf16** has 16
# bits, as many for the exponent as float32 and 7 for the digits: it reaches as far, and
# sees less. A processor with instructions for it multiplies twice as many at once.

# %%
# NBVAL_CHECK_OUTPUT
print("        sign  exponent  digits")
print("fp32       1         8      23")
print("bf16       1         8       7")
for number in (1.0, 1.003, 3.14159, 0.05, 0.0501, 255.0, 1e-30):
    print(f"{number:8g} is kept as {torch.tensor(number).bfloat16().item():.8g}")

# %% [markdown]
# ### Exercise 10.5 · The gap · ●●○ · 10 minutes
#
# How far is a number from the next one that bf16 can write? Between 1 and 2 there are 2⁷
# steps, between 2 and 4 as many, between ½ and 1 as many.


# %%
def bf16_gap(value: float) -> float:
    """Distance from a number to the next larger one in bf16; `value` is positive."""
    # 1. Which power of two is the largest that is not above the value? 2. 2⁷ steps fill
    # the way from it to the next power.
    ### BEGIN SOLUTION
    exponent = math.floor(math.log2(value))
    return 2.0 ** (exponent - 7)
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
beside("at 1", 0.0078125, bf16_gap, 1.0)
beside("at 1.9", 0.0078125, bf16_gap, 1.9)
beside("at 3.41, a Q-value", 0.015625, bf16_gap, 3.41)
beside("at 255, a pixel", 1.0, bf16_gap, 255.0)
beside("at 0.05, a weight", 0.000244140625, bf16_gap, 0.05)

# %% [markdown]
# **What you should see:** five times ✅. Pixels are whole numbers up to 255, where the gap
# is 1: bf16 keeps every one of them.
#
# <details><summary>Hint 1: the idea</summary>A number is a power of two times something
# between 1 and 2, and the 7 digits cut that something into 128 steps. So the gap is the
# power of two divided by 128.</details>
# <details><summary>Hint 2: the call</summary><code>math.floor(math.log2(value))</code> is
# the exponent, also below 1, where it is negative. <code>int</code> would round towards
# zero.</details>
# <details><summary>"ValueError: math domain error"</summary>Zero and negative numbers have
# no logarithm. The question is about positive ones.</details>
#
# **Think:** a weight of 0.05 is to be moved by 0.0001 at each of a thousand updates. What
# becomes of it in bf16?
# <details><summary>Answer</summary>Nothing. The gap at 0.05 is 0.00024; a step of less
# than half of it is rounded away, a thousand times. In fp32 it arrives at 0.15.</details>

# %%
# NBVAL_CHECK_OUTPUT
dtypes = torch.float32, torch.bfloat16
weight = {dtype: torch.tensor(0.05, dtype=dtype) for dtype in dtypes}
for _ in range(1_000):
    for number in weight.values():
        number += 0.0001
for dtype, number in weight.items():
    print(f"{str(dtype).split('.')[1]:9} after a thousand steps: {number.item():.4f}")

# %% [markdown]
# So weights cannot live in bf16. The cure (Micikevicius et al. 2018) is a copy: weights,
# moments and everything that is saved stay fp32, a copy in bf16 goes forward and backward,
# its gradients move the fp32 weights, and the copy is made anew.
#
# Is it faster? That depends on the processor. One without instructions for bf16 *emulates*
# them, and then an update can be many times slower. So a run asks first, with a product
# that is too small to hurt:

# %%
choice = hardware.precision_choice("auto", torch.device("cpu"))
print(f"{choice.precision}: {choice.reason}")

# %%
if choice.precision == "bf16":
    torch.manual_seed(0)
    recipe = recipe_of(16, precision="bf16")
    learners["+ bf16"] = Learner(recipe, build_network(recipe, 4), "bf16")
    job = {"+ bf16": lambda: learners["+ bf16"].update(batches)}
    updating["+ bf16"] = by_turns(job, CALLS // 2)["+ bf16"] / 4
    bf16_floor = 1e3 * FLOP / matrix_rate(torch.bfloat16)
    print(f"{updating['+ one target pass']:.1f} ms in fp32,", end=" ")
    print(f"{updating['+ bf16']:.1f} in bf16; the floor is {bf16_floor:.1f} ms there")
else:
    print("this processor has no fast bf16: the rung is left out, as train would do")

# %% [markdown]
# On the machine of this page an update in bf16 takes rather more than half of the time
# in fp32, a little less than the floor there, and still twice its own, lower one. (Part
# of it is another layout of the first convolution, which the network uses in bf16
# alone.) It is the largest single step of the ladder on a processor that has it, and
# none on one that has not.
#
# This rung is not *equal*, and no assertion will say so. What can be asked is that it
# *learns* alike: the long tests of the course train the small game with three seeds in each
# precision, and the last hundred games in bf16 have to be won as often as in fp32, within
# the spread of its seeds.
#
# ## Rung 5: two things at once
#
# Chapter 08 put `learn` between `send` and `recv`, and its aside saw the time that a
# turn spends on the emulators fall from some six milliseconds to a part of that. Now
# you can say what that is worth: instead of the sum of two times, the larger of them.
# And you can see that it is the same loop. `learn` looks at the memory as the turn
# before left it, whether the emulators work meanwhile or not.


# %%
def one_after_the_other(parts) -> None:
    actions = parts.act()
    parts.learn()
    parts.lanes.send(actions)
    parts.remember(actions, parts.lanes.recv())


def losses_of(go_round: Callable, turns: int = 12) -> list[float]:
    """The losses of the first updates of an agent with eight shooting galleries."""
    small = dict(lanes=8, learning_starts=32, precision="fp32", device="cpu", threads=1)
    parts = build(resolve(get_recipe("gallery", **small)))
    parts.start()
    losses = []
    for _ in range(turns):
        go_round(parts)
        losses += [float(metrics.loss) for metrics in parts.metrics]
    parts.lanes.close()
    return losses


# %%
# NBVAL_CHECK_OUTPUT
side_by_side, in_a_row = losses_of(turn), losses_of(one_after_the_other)
print(len(side_by_side), "updates")
print("✅ the same losses, bit by bit" if side_by_side == in_a_row else "❌ other losses")

# %% [markdown]
# **Predict** the gain here. Per step, emulating takes what you measured in rung 1, and
# learning a quarter of an update of rung 3. If emulating is a twentieth of learning, hiding
# it wins a twentieth at most: on a CPU overlap is a detail. Were updates twenty times
# faster, the two would take as long as each other, and it would be worth a factor of two.
#
# Learning *after* `remember`, on the newest transitions too, would forbid it. The price
# is small: of thousands of steps, updates see the last sixteen one turn later.
#
# ## The ladder
#
# Rungs 1 to 4, one on top of the other, on the whole loop. (Rung 5 saves waiting, which
# this clock does not count.) Each agent plays and learns some
# steps, by turns with the others; the medians are below. (Fifteen seconds of
# computing, and thirty-five in the cell after that.)

# %%
rungs = {
    "chapter 08": agent(1, plain=True, memories=replay.LaneMemories, door="gym"),
    "many games": agent(GAMES, plain=True, memories=LaneMemories),
    "one array": agent(GAMES, plain=True),
    "the same update": agent(GAMES, plain=False),
}
if choice.precision == "bf16":
    rungs["bf16"] = agent(GAMES, plain=False, precision="bf16")


def play_on(parts) -> Callable:
    def some_steps() -> None:
        goal = parts.counters.steps + STEPS
        while parts.counters.steps < goal:
            turn(parts)

    return some_steps


# %%
blocks = laps({name: play_on(parts) for name, parts in rungs.items()}, BLOCKS)
ladder = {name: float(np.median(taken)) / STEPS for name, taken in blocks.items()}
for name, ms in ladder.items():
    low, high = min(blocks[name]) / STEPS, max(blocks[name]) / STEPS
    gain = ladder["chapter 08"] / ms
    print(f"{name:16} {ms:5.2f} ms per step ({low:.2f} to {high:.2f}),", end=" ")
    print(f"{gain:.1f} times the first")

# %%
# NBVAL_CHECK_OUTPUT
paid = [4 * p.counters.updates + p.counters.steps_owed for p in rungs.values()]
steps = [p.counters.steps - 32 for p in rungs.values()]  # 32 before learning began
print("✅ an update per four steps" if paid == steps else "❌ updates are missing")

# %%
drawing, ax = figure(height=0.9 + 0.45 * len(ladder))
ax.barh(list(ladder), ladder.values(), color=BLUE, height=0.6)
ax.axvline(floor / 4, color=GREY, linestyle="--", label="the update's floor in fp32")
ax.set(xlabel="milliseconds of computing per step")
ax.invert_yaxis()
ax.legend(loc="lower right")
longest, shortest = (pick(ladder, key=ladder.get) for pick in (max, min))
show(drawing, "A bar for each rung, beside a dashed line at the floor of a quarter of "
     f"an update. The longest is {longest!r}, the shortest {shortest!r}.")

# %% [markdown]
# In brackets are the fastest and the slowest block. Many games take a few per cent off,
# one array a few more, and from run to run it is not the same few. (Nor is the first
# bar the bill at the top: the speed of a machine changes within minutes. Agents that
# take turns share such changes.) On the machine of this page the loop takes half of the
# computing in the end, or a little less, and most of that comes from two rungs: the
# update's layout and optimiser, and bf16. Without bf16 the ladder ends one rung
# earlier, at about 1.4 times the first. Acting, games and memory together were less
# than a fifth of the bill, and Amdahl told you so before anything was built.
#
# ### Beside other agents (aside)
#
# The page's numbers are one thread's, in seconds of computing. What an idle machine does
# with *two* threads, in seconds of the wall clock, is recorded in `benchmarks/results.json`,
# for this agent and two others by turns: Stable-Baselines3, and a plain loop like that of
# chapter 08, written for the comparison.

# %%
# NBVAL_CHECK_OUTPUT
BENCHMARKS = ROOT / "benchmarks"
recorded = json.loads((BENCHMARKS / "results.json").read_text(encoding="utf-8"))
machine = recorded["machine"]
print(f"{machine['cores_usable']} cores of an {machine['cpu_model']}, no GPU,", end=" ")
print(recorded["date"][:10])
names = {"sb3": "Stable-Baselines3", "single": "plain loop", "dqn_ref": "this course"}
for limit, measurement in recorded["measurements"].items():
    for contender, entry in measurement["contenders"].items():
        speed, precision = entry["steps_per_second"], entry["precision"]
        print(f"{limit:7} {names[contender]:18} {speed:4.0f} steps/s {precision}")

# %% [markdown]
# `native` has instructions for bf16, `AVX2` stands for an ordinary laptop's processor, which
# has none: there the last rung is missing. All draw 32 transitions per four steps.
#
# ## On a GPU
#
# **What is measured here, and what is not.** This page was made on a machine without a GPU,
# and the course has not measured one yet. Measured are the number of operations in an
# update, what it costs to order one on a CPU, and that a group of updates is the same four
# updates. What follows for a GPU is an expectation, until the rungs below have run on yours.
#
# It is this: a GPU multiplies so much faster that the arithmetic of an update shrinks to
# next to nothing, and two things are left. One is the fifth of the bill that was no update.
# The other is *ordering*: each operation is ordered by the **host**, the processor beside
# the GPU, which takes it some microseconds however small the operation is. How many are
# there in an update, and what does ordering them cost?


# %%
class Operations(TorchDispatchMode):
    """Counts what PyTorch is asked to do."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        self.count += 1
        return function(*arguments, **(named or {}))


# %%
learner, one = learners["+ one target pass"], torch.zeros(1)
with Operations() as operations:
    learner.update(batches[:1])
tiny = by_turns({"tiny": lambda: [one.add_(1) for _ in range(1_000)]}, CALLS)["tiny"]
print(f"{operations.count} operations in an update, {tiny:.1f} µs for one that")
print(f"has nothing to do: {operations.count * tiny / 1e3:.2f} ms of orders at least")

# %% [markdown]
# More than a hundred orders. (Some only look at a tensor otherwise, and are no work for a
# GPU; another version of PyTorch may count otherwise.) A third of a millisecond goes by in
# ordering alone, on this CPU. The recipe `gpu` is made for it, in five ways:
#
# - **The memory lies on the GPU.** A million frames are 7 GB. A batch is gathered where it
#   is used; from the host come 32 numbers, the positions.
# - **Nobody waits.** `loss.item()` asks for a number, and the host stands still until the
#   device has caught up. So losses stay tensors until the log wants them, and frames travel
#   from *page-locked* memory, which the system has promised to leave where it is, so that
#   the GPU fetches from it by itself while the host goes on.
# - **More lanes**, 128 of them, and 32 updates in a group: a pass takes the same orders for
#   128 states as for one.
# - **One CUDA graph.** The orders of a whole group are recorded once, and from then on the
#   host gives a single one: play the recording. A graph knows addresses, not names:
#   everything must stay where it is, in fixed shapes. The opposite is *eager*: one operation
#   after the other, as PyTorch works when nobody asks for anything else.
# - **Overlap.** The cores emulate while the GPU learns.
#
# This function is what a graph records. Without CUDA it runs as it is, so what can be shown
# anywhere is that a group is the same four updates as those of the loop:

# %%
print(inspect.getsource(captured.GroupOfUpdates.run))


# %%
def group_of_four(grouped: bool) -> torch.Tensor:
    """Weights after two groups of four updates from the ring."""
    recipe, rng = recipe_of(16), np.random.default_rng(1)
    torch.manual_seed(0)
    learner = Learner(recipe, build_network(recipe, 4))
    group = captured.GroupOfUpdates(ring, learner, count=4, batch_size=32)
    for _ in range(2):
        if grouped:
            group(rng)
        else:
            learner.update([ring.sample(32, rng) for _ in range(4)])
    return weights(learner)


# %%
# NBVAL_CHECK_OUTPUT
same = torch.allclose(group_of_four(True), group_of_four(False), atol=1e-5)
print("✅ the same weights" if same else "❌ other weights")

# %% [markdown]
# Now the rungs, on your GPU, if you have one. **Predict** first: which of the five
# changes from rung to rung brings most, and which nothing? One limit you can compute.
# No agent makes more steps in a second than its processor's cores can emulate:

# %%
cores = psutil.cpu_count()
print(f"{cores} cores emulate at most {1e3 * cores / in_threads:,.0f} steps a second")

# %% [markdown]
# With few cores the last rungs should therefore end at one speed: the GPU waits for games.
# Each rung builds an agent and is timed in three blocks of two seconds; count on two or
# three minutes for all six, though no GPU has timed it yet. The memory has 50,000 frames
# here, a third of a GB on the device. A rung that fails says why, and the next one runs.

# %%
FP32, EAGER = dict(precision="fp32"), dict(cuda_graph=False)
ON_GPU = {
    "1 lane, fp32": dict(lanes=1, updates_at_once=1, **FP32, **EAGER),
    "16 lanes": dict(lanes=16, updates_at_once=4, **FP32, **EAGER),
    "128 lanes": dict(lanes=128, **FP32, **EAGER),
    "+ bf16": dict(lanes=128, **EAGER),
    "+ CUDA graph": dict(lanes=128),
    "256 lanes": dict(lanes=256),
}


# %%
def speed(parts) -> float:
    """Steps per second in a block, which ends when the device has done its work."""
    begun, before = time.perf_counter(), parts.counters.steps
    while time.perf_counter() - begun < GPU_SECONDS:
        turn(parts)
    torch.cuda.synchronize()
    return (parts.counters.steps - before) / (time.perf_counter() - begun)


# %%
def speeds_of(**changes) -> list[float]:
    """Of three blocks of the recipe `gpu`, after two groups of updates."""
    small = dict(memory_frames=50_000, learning_starts=2_000, epsilon_start=0.1)
    parts = build(resolve(get_recipe("gpu", **(dict(device="cuda") | small | changes))))
    try:
        parts.start()
        while parts.counters.updates < 64:
            turn(parts)
        torch.cuda.synchronize()
        return sorted(speed(parts) for _ in range(3))
    finally:
        parts.lanes.close()


def climb(name: str, changes: dict) -> None:
    """Print a rung's speed, or in a sentence why it has none."""
    try:
        low, median, high = speeds_of(**changes)
        print(f"{name:14} {median:8,.0f} steps/s ({low:,.0f} to {high:,.0f})")
    except Exception as error:
        why = str(error).partition("\n")[0][:90]
        print(f"{name:14} not measured, {type(error).__name__}: {why}")
    gc.collect()  # gives back what the rung held
    torch.cuda.empty_cache()


# %%
if torch.cuda.is_available():
    print(torch.cuda.get_device_name())
    for name, changes in ON_GPU.items():
        climb(name, changes)
elif torch.version.cuda is None and torch.version.hip is None:
    print("not measured: this build of PyTorch has no CUDA and sees no GPU. If you")
    print("have one, 'PyTorch for your machine' in README.md says what to install.")
else:
    print("not measured: PyTorch has CUDA and finds no GPU; python -m dqn_ref doctor")

# %% [markdown]
# What the course has recorded so far, from `benchmarks/README.md`:

# %%
text = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
_, _, table = text.partition("\n| rung |")
Markdown("| rung |" + table.partition("\n\n")[0])

# %% [markdown]
# *Not measured yet* means: on no GPU. The whole measurement is `python -m benchmarks.gpu`,
# from the folder of the course, planned for 25 minutes on a large GPU. Its first stage is
# the ✅ that this page cannot give, that graphs on the device make the same updates (alone
# with `--stages equality`); plan and flags stand in `benchmarks/README.md`. The training is
#
# ```sh
# python -m dqn_ref train --recipe gpu --run-dir runs/gpu
# ```
#
# ## A run that does not fit
#
# The recipe `gpu` asks for a million frames. Chapter 04 showed that a memory grows page by
# page, as it is written. When it outgrows the machine the system may end the process, some
# time into a run and without a word from Python. So `train` does the sum before it starts. Ask for
# three times as much as the system has available:

# %%
now = psutil.virtual_memory()  # kept: other programs change it from moment to moment
frames = 3 * now.available // 7_068
greedy = get_recipe("laptop", memory_frames=frames, device="cpu", precision="fp32")
print(f"available: {now.available / 1e9:.1f} GB", end=", ")
print(f"85 % of it: {0.85 * now.available / 1e9:.1f} GB")
try:
    with patch("psutil.virtual_memory", return_value=now):
        resolve(greedy)
except RecipeError as error:
    print(error)

# %% [markdown]
# One sentence, exit status 2 on the command line, and a number that would fit. The rule:
# a memory may take 85 % of what is *available*. (On a CPU the system says how much that is,
# on a GPU the driver.) The rest is left to networks, emulators and everybody else. Now
# compute the number that it offers.

# %% [markdown]
# ### Exercise 10.6 · What fits · ●○○ · 10 minutes
#
# A frame takes its pixels and 12 bytes of facts in the course's ring: 7,068 at 84 × 84.
# Take the share, divide, and round down to a thousand.


# %%
def fit_capacity(available: int, bytes_per_frame: float, share: float = 0.85) -> int:
    """Frames, in whole thousands, of a memory that takes at most the share.

    Args:
        available: bytes that the machine, or the GPU, has to give.
        bytes_per_frame: of the memory in use.
        share: of the available bytes that may be taken.
    """
    # 1. Bytes that may be taken. 2. Frames in them. 3. Whole thousands, rounded down.
    ### BEGIN SOLUTION
    frames = int(available * share / bytes_per_frame)
    return frames // 1_000 * 1_000
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
giga = 10**9
beside("16 GB available, the ring", 1_924_000, fit_capacity, 16 * giga, 7_068)
beside("8 GB available, the ring", 962_000, fit_capacity, 8 * giga, 7_068)
beside("8 GB, all of it", 1_131_000, fit_capacity, 8 * giga, 7_068, 1.0)
beside("8 GB, whole stacks", 120_000, fit_capacity, 8 * giga, 56_448)
beside("4 GB, first old notebook", 404_000, fit_capacity, 4 * giga, 105 * 80 + 12)

# %% [markdown]
# Now mend the run from above with your function. `train` must accept its answer, and refuse
# a thousand frames more: anything smaller is memory that you paid for and do not use.


# %%
def refusal(recipe, frames) -> str:
    """Why `train` refuses so many frames; "" if it does not."""
    try:
        with patch("psutil.virtual_memory", return_value=now):
            resolve(dataclasses.replace(recipe, memory_frames=frames))
    except RecipeError as error:
        return str(error)
    return ""


def mend(recipe, fit: Callable) -> None:
    """Ask again, with the capacity that `fit` names for what was available above."""
    try:
        frames = fit(now.available, 7_068)
        if why := refusal(recipe, frames):
            print("❌ refused:", why)
        elif refusal(recipe, frames + 1_000):
            print(f"✅ {frames:,} frames are accepted, a thousand more would not be")
        else:
            print(f"❌ {frames:,} frames are accepted, and so would be a thousand more")
    except NotImplementedError:
        print("◻ not attempted yet: the run is refused as before")
    except Exception as error:
        print(f"❌ {type(error).__name__}: {error}")


# %%
mend(greedy, fit_capacity)

# %% [markdown]
# **What you should see:** five times ✅, then ✅ for the mended run, with the number of the
# sentence above. A laptop with 8 GB available holds 962,000 frames; kept as whole stacks it
# would be 120,000.
#
# <details><summary>Hint 1: the idea</summary>Bytes that may be taken, divided by bytes per
# frame. Round down, never up: what does not fit does not fit.</details>
# <details><summary>Hint 2: the call</summary><code>frames // 1_000 * 1_000</code> cuts off
# what is below a thousand.</details>
# <details><summary>"962000.0, with a float where an int is due"</summary>A capacity is a
# whole number. <code>//</code> with a float gives a float: <code>int(…)</code>
# first.</details>
#
# **Think:** the million frames of `gpu` do not fit, and half a million do. What does the
# agent lose by it?
# <details><summary>Answer</summary>Age. It draws from the last half million steps and
# forgets sooner what it has done before. How much that costs is an experiment: the shipped
# agents have 200,000. A larger memory is not always a better one.</details>
#
# ### What your memory costs (aside)
#
# A memory of your own make may be dearer than the ring. `train` tries it with a thousand
# steps before it begins, and says what it found:

# %%
cost = piece_costs.memory_cost(MyMemory, recipe_of(1))
print(piece_costs.beside_reference(cost, recipe_of(1)))

# %% [markdown]
# ## The long run
#
# All of it together is `python -m dqn_ref train`. What do hours bring? The runs that come
# with the course:

# %%
drawing, ax = figure(height=3.2)
runs = [("breakout-laptop", ORANGE, "a million steps, an early recipe")]
runs += [(f"breakout-laptop-seed-{seed}", BLUE, "25 minutes") for seed in range(3)]
for number, (name, colour, label) in enumerate(runs):
    log = history(shipped_run(name))
    label = label if number < 2 else None
    ax.plot(log.agent_steps / 1e3, log.score_mean, color=colour, label=label)
ax.set(xlabel="steps (thousands)", ylabel="mean of the last 100 games")
ax.legend(loc="lower right")
show(drawing, "Three blue curves that reach 33 to 39 points within 340,000 steps, and "
     "an orange one that climbs more slowly, to over 80, and ends at 76 at a million.")

# %%
# NBVAL_CHECK_OUTPUT
for name, _, _ in runs:
    last = history(shipped_run(name)).iloc[-1]
    print(f"{name:23} {last.agent_steps:9,.0f} steps,", end=" ")
    minutes, most = last.wall_seconds / 60, history(shipped_run(name)).score_mean.max()
    print(f"{last.updates:7,.0f} updates in {minutes:2.0f} min:", end=" ")
    print(f"{last.score_mean:.1f}, at most {most:.1f}")

# %% [markdown]
# After 25 minutes the training games of three seeds stand at 33 to 39 points. The
# orange run had one-step returns, eight games at once and one thread on a busy machine,
# and took 82 minutes for its million steps. The mean of its last hundred training games
# rose to 84 and ended at 76.2. Its last weights alone played worse than that, 33.1 in
# thirty games, and other snapshots near by 50 to 72 (all in `results/README.md`):
# chapter 09 says why one snapshot is not an agent.
#
# So here is the run that chapter 00 promised, with your pieces. It starts when you press
# the button, in a process of its own, and goes on when this notebook is closed.

# %%
panel = dashboard("long", recipe="laptop", pieces="my_dqn", total_steps=1_000_000)
panel

# %% [markdown]
# What it does with your pieces:
#
# - with your `ReplayMemory` or your `LaneMemories` it has one memory for each of its sixteen
#   lanes behind one `LaneMemories`, as in rung 2, and one-step returns;
# - with your `preprocess` or one of your wrappers (`RepeatMax`, `RandomStart`, `LifeLoss`)
#   the games run in Python (`door=gym`), as in the first bar of the ladder;
# - your `NatureRMSProp` is called where the recipe asks for it: `mnih2015` does, `laptop`
#   and `gpu` take Adam;
# - with your `training_step` every minibatch gets a target pass of its own;
# - with that, or with your memory, `QNetwork`, `td_targets`, `huber_loss` or
#   `NatureRMSProp`, there is no CUDA graph: the course cannot know what a foreign piece
#   would do inside one;
# - your `write_video` makes its films, when you `watch` it.
#
# It says so when it begins. `--recipe gpu` instead of `laptop` is the same for a GPU, and
# without `--pieces` you get the course's speed. But for the one-step returns that come with
# your memory both are the same agent, and that is what the ✅ on this page were for.
#
# ## Summary
#
# > - Write the bill first. A part's share says what making it faster can bring.
# > - An update of batch 32 is 2.18 GFLOP. Divided by what a matrix product reaches, that is
# >   the floor.
# > - With more lanes the updates per step stay: keep a debt, and pay it in groups.
# > - One memory per lane draws from each lane by what it holds; one array does it at once.
# > - Layout, fused Adam and a shared target pass change the last digits; bf16 changes more,
# >   so weights stay fp32 and learning is what must be compared.
# > - On a GPU the orders should be what costs: memory on the device, nobody waits, one graph.

# %%
progress()

# %% [markdown]
# ## Quiz
#
# 1. After switching to 32 lanes a colleague's agent makes 600 steps a second instead of
# 200, on the same two cores, in fp32. Its score is poor. Which number do you ask for?
# <details><summary>Answer</summary>Updates divided by steps. On two cores updates are most
# of the bill, and lanes do not make them faster. One update per turn of 32 lanes is one per
# 32 steps instead of one per four; if four fifths of the bill were updates, losing seven of
# eight makes it 1 / (0.2 + 0.8 / 8) = 3.3 times as fast.</details>
#
# 2. Your GPU is idle half of the time, the processor's cores are not. Will bf16 help?
# <details><summary>Answer</summary>Hardly. It makes the GPU's arithmetic faster, which is
# not what anybody waits for. Look at emulation and at the number of orders: more cores or
# a graph.</details>
#
# 3. Why is the equality of two learners tested in fp32, and with the change of the weights
# instead of the weights?
# <details><summary>Answer</summary>In bf16 rounding is as large as many faults. And weights
# hardly move in four updates: a learner that does nothing at all would agree with the
# other in nearly all of its weights' digits. But its change is zero.</details>
#
# 4. A lane's memory holds 100 steps, fifteen others hold 10,000 each. A batch takes two
# rows from each lane. How much more often is a step of the first lane drawn?
# <details><summary>Answer</summary>A hundred times: 2 of 32 draws go to 100 steps there, and
# to 10,000 elsewhere.</details>
#
# Fast enough to ask questions that take a run each. What does Double bring, or a memory
# that prefers surprises, or a reward for something else? Chapter 11 will ask them, with more
# than one seed.
