# %% [markdown]
# # 04 · Replay memory
#
# A network learns from samples that have little to do with each other. A game delivers
# the opposite: each screen is almost the one before. In this chapter you see the
# problem, measure it, and write the memory that cures it, an eighth of the size of the
# first one that comes to mind.
#
# **Goals**: say why an agent learns from memory and not from the present · predict the
# size of a memory and measure it · rebuild a stack from single frames, with nothing in
# it from before its start · write the ring that holds a million frames in 7 GB.
#
# **Prerequisites**: chapter 03 (decisions, lives, stacks of four frames). NumPy's
# indexing by arrays.
#
# **Minutes**: 120

# %%
import reprlib
import time
import tracemalloc

import numpy as np
import psutil
import torch

from dqn_ref.course import begin, check, compare, figures, progress
from dqn_ref.course.figures import BLUE, GREY, VERMILION, figure, show, show_grid
from dqn_ref.environments import Rows, make_lanes
from dqn_ref.evaluation import evaluate_network
from dqn_ref.frames import FrameStack
from dqn_ref.pieces import CONTRACTS, Pieces
from dqn_ref.recipes import get_recipe
from dqn_ref.replay import Batch
from dqn_ref.runs import build, resolve
from dqn_ref.training import training_loop

# %%
MODE = begin("04").mode
LISTED = {"smoke": 100, "normal": 300, "full": 300}[MODE]  # steps, in a list
FILLED = {"smoke": 8_000, "normal": 20_000, "full": 100_000}[MODE]  # frames, in a ring
TRAINED = {"smoke": 600, "normal": 8_000, "full": 13_000}[MODE]  # steps of a training
GAMES = {"smoke": 8, "normal": 96, "full": 96}[MODE]  # to see what was learnt

# %% [markdown]
# ## Thirty-two screens in a row
#
# First, something to remember: a thousand decisions of random play, seen as the
# network sees them. `FIRE` is left to the dice. `Rows` holds what chapter 03's
# environment returns, here with one entry per decision: frames and rewards, whether a
# game begins (`reset_row`), a life was lost, the game is over or was cut off.


# %%
def record_play(decisions: int) -> tuple[Rows, np.ndarray]:
    recipe = get_recipe("laptop", fire_at_start=False, fire_after_life=False)
    lanes, rng = make_lanes(recipe, 1), np.random.default_rng(0)
    rows, actions = [lanes.reset(seed=0)], [0]
    for _ in range(decisions):
        actions.append(int(rng.integers(len(lanes.action_names))))
        lanes.send(np.array(actions[-1:]))
        rows.append(lanes.recv())
    lanes.close()
    columns = zip(*rows, strict=True)
    return Rows(*map(np.concatenate, columns)), np.array(actions)


record, actions = record_play(1_000)

# %%
# NBVAL_CHECK_OUTPUT
frames = record.frames
print(frames.shape, frames.dtype)
print("games that begin at frame", np.flatnonzero(record.reset_row))
print("games over:", record.game_over.sum())
print("lives lost, the game going on:", record.life_lost.sum())

# %% [markdown]
# 1,001 frames of six games, the last of which is not over. Here are four in a row.

# %%
figures.show_frames(
    frames[500:504],
    [f"frame {number}" for number in range(500, 504)],
    alt="Four grey screens of Breakout that differ by the ball's place, about two "
    "pixels up and three to the left from each to the next.",
    height=2.6,
)

# %%
changed = np.count_nonzero(frames[1:] != frames[:-1], axis=(1, 2))
print(f"{changed.mean():.1f} of {frames[0].size:,} pixels differ, on average")

# %% [markdown]
# The ball has moved, and perhaps the paddle: 30 pixels of 7,056. A network that is
# trained on frame 500, then on 501, then on 502 sees one picture again and again.
#
# How far apart must two frames be, to have little to do with each other? Take away
# what all frames share, their mean, and correlate what is left of each frame with what
# is left of the frame so many decisions later.

# %%
pixels = frames.reshape(len(frames), -1).astype(np.float32)
rest = pixels - pixels.mean(axis=0)
unit = rest / np.linalg.norm(rest, axis=1, keepdims=True)
distances = np.arange(1, 129)
correlation = [np.mean((unit[:-d] * unit[d:]).sum(axis=1)) for d in distances]

# %%
drawing, ax = figure(height=2.8)
ax.plot(distances, correlation, color=BLUE)
ax.axhline(0, color=GREY, linewidth=1)
ax.set(xlabel="distance between two frames (decisions)", ylabel="correlation")
show(drawing, "A curve that falls from 0.78 at distance 1 to 0.2 at 32 and 0 near 100.")

# %%
print({int(d): round(float(correlation[d - 1]), 2) for d in (1, 4, 16, 32, 64, 128)})

# %% [markdown]
# 0.78 for neighbours, 0.20 for frames that are 32 decisions apart, two seconds of
# play. Only beyond 64 is there next to nothing left.
#
# A minibatch of DQN has 32 samples. Here are two such batches in one picture each: at
# every pixel the brightest of the 32. On the left are frames 500 to 531 in order, on
# the right 32 frames of the record, thrown by dice.

# %%
rng = np.random.default_rng(0)
thrown = rng.integers(len(frames), size=32)
figures.show_frames(
    [frames[500:532].max(axis=0), frames[thrown].max(axis=0)],
    ["32 in order", "32 at random"],
    alt="Left: the ball's flight as a dotted line, the paddle's places in the left two "
    "thirds. Right: balls scattered over the field, paddles along the whole bottom.",
)

# %% [markdown]
# On the left one flight of the ball, and a paddle that never came to the right side.
# On the right balls from all over the field, every place of the paddle, all six games.
# Which of the two batches says more about Breakout?
#
# It can be counted. A single frame lies at some squared distance from the mean of all
# frames; the mean of n independent frames lies, on average, at 1/n of that. So measure
# how close the mean of a batch comes, and turn the question round: how many independent
# frames is it worth?


# %%
def worth(batches: list[np.ndarray]) -> float:
    """How many independent frames a batch is worth, judged by its mean picture."""
    error = np.mean([np.square(rest[batch].mean(axis=0)).sum() for batch in batches])
    return np.square(rest).sum(axis=1).mean() / error


in_order = [start + np.arange(32) for start in rng.integers(len(rest) - 31, size=200)]
at_random = [rng.integers(len(rest), size=32) for _ in range(200)]
print(f"32 in order are worth {worth(in_order):.1f}, at random {worth(at_random):.1f}")

# %% [markdown]
# Two. By this measure a batch of 32 frames in order says as much as two frames that
# were drawn independently; thrown by dice, it says as much as 31 of them, which is 32
# and the luck of two hundred throws.
#
# ## Learning from memory
#
# Lin (1992) gave the cure its name, *experience replay*: keep what happened, and train
# on it again as if it happened once more. His reason was thrift. An experience that is
# used once and thrown away is wasted, and some are rare, or costly to have again.
#
# Mnih et al. (2015, Methods) keep the last million steps, draw 32 of them at random for
# each update, and give three reasons. Each step is used in many updates. Random
# draws break the correlation of neighbours, so updates vary less. And since what the
# agent does next depends on what it has learnt, training on the present alone can run
# in circles: an agent that prefers left sees the left side only, and learns about
# nothing else. A memory averages over many earlier selves.
#
# What it is worth is in their Extended Data Table 3. Breakout, the best score of a
# training of ten million frames:
#
# | | with target network | without |
# | --- | --- | --- |
# | with replay | 316.8 | 240.7 |
# | without replay | 10.2 | 3.2 |
#
# Chapter 07 is about the columns. This one is about the rows.
#
# ## What is remembered
#
# One decision, complete: a **transition**. It has a *state* (four frames, the newest is
# the one on which the agent chose), the *action*, the *reward* that followed, whether
# the episode *terminated* with it, and the *next state*.

# %%
show_grid(
    [frames[497:502]],
    ["the step from\nframe 500"],
    ["state", "state", "state", "state: 500", "next: 501"],
    alt="Five frames in a row: the first four are the state, the last four the next.",
)

# %% [markdown]
# The first four are the state. The next state is not four other pictures: it is the
# last four of these five. Keep that in mind for later.
#
# The simplest memory is a list. The agent holds a stack in its hands when it acts, so
# append it, and the next one:
#
# ```python
# memory.append((state, action, reward, terminated, next_state))
# ```
#
# It is right, and it is short. **Before you scroll on, write down a number:** how many
# gigabytes is this list when it has a million entries of 84 × 84 pixels?

# %% [markdown]
# ### Exercise 4.1 · The bill · ●○○ · 10 minutes
#
# Work out the price of a memory before you buy it. Only frames count here: action,
# reward and flag are a few bytes.


# %%
def memory_bill(
    steps: int, frames_per_step: int, frame_shape: tuple[int, int], bytes_per_pixel: int
) -> int:
    """Bytes of all frames in a memory.

    Args:
        steps: transitions in the memory.
        frames_per_step: frames that are stored for each of them.
        frame_shape: height and width of a frame, in pixels.
        bytes_per_pixel: 1 for uint8, 4 for float32.
    """
    # 1. Pixels of a frame. 2. Bytes of a step. 3. Bytes of all steps.
    ### BEGIN SOLUTION
    height, width = frame_shape
    return steps * frames_per_step * height * width * bytes_per_pixel
    ### END SOLUTION


# %% [markdown]
# This exercise and the next three are small parts on the way to a piece. The following
# function stands for the check: it prints what is expected beside what yours gives.


# %%
def beside(question: str, expected, function, *arguments) -> None:
    """Print what is expected beside what your function returns; never raises."""
    try:
        answer = function(*arguments)
        mark = "✅" if np.array_equal(answer, expected) else "❌"
    except NotImplementedError:
        mark, answer = "◻", "not attempted yet"
    except Exception as error:
        mark, answer = "❌", f"{type(error).__name__}: {error}"
    print(f"{mark} {question}: expected {short(expected)}, yours: {short(answer)}")


def short(value) -> str:
    """A value in a few words, however large it is."""
    if isinstance(value, (int, np.integer)):
        return f"{value:,}" if abs(value) < 10**18 else "more than 10^18"
    return value[:90] if isinstance(value, str) else reprlib.repr(value)


# %%
# NBVAL_CHECK_OUTPUT
million, atari = 1_000_000, (84, 84)
bill = memory_bill
beside("one step", 32, bill, 1, 8, (2, 2), 1)
beside("two stacks, float32", 225_792_000_000, bill, million, 8, atari, 4)
beside("two stacks, uint8", 56_448_000_000, bill, million, 8, atari, 1)
beside("each frame once, uint8", 7_056_000_000, bill, million, 1, atari, 1)
beside("first old notebook", 4_200_000_000, bill, 500_000, 1, (105, 80), 1)

# %% [markdown]
# **What you should see:** five times ✅. A list of float32 stacks costs 226 GB, of
# uint8 stacks 56 GB, and a memory that keeps each frame once 7 GB. The last line is the
# first of the two notebooks that this course grew out of: 500,000 frames of 105 × 80
# pixels. Both notebooks kept single frames of uint8.
#
# <details><summary>Hint 1: the idea</summary>A product of five numbers. A state has
# four frames and a next state four more: that is how 8 comes about.</details>
# <details><summary>Hint 2: the call</summary><code>height, width =
# frame_shape</code> takes the pair apart.</details>
# <details><summary>"mine is a long row of 2s, or of
# 84s"</summary><code>frame_shape</code> is a pair, and a number times a pair repeats
# the pair. Take it apart before you multiply.</details> <details><summary>"mine is 84
# times too small"</summary>A frame has height times width pixels, 7,056 of
# them.</details>
#
# **Think:** most of a Breakout frame is black. `zlib` packs a frame of our record into
# 275 bytes on average, instead of 7,056. Why not store it packed?
# <details><summary>Answer</summary>Because each minibatch would have to unpack 160
# frames, five for each of 32 steps. At 9 µs a frame, on one core, that is 1.5 ms per
# update, where the ring at the end of this chapter takes 0.1 ms. Memory is paid once, time
# at every update. (It has been done: DQN Zoo, a published implementation, packs its
# stacks.)</details>

# %% [markdown]
# A prediction wants a measurement. `tracemalloc` counts every byte that Python and NumPy
# ask for. Here is the list of transitions, for a few steps of the record.


# %%
def bytes_asked_for(make) -> int:
    """Bytes that Python and NumPy ask for while `make()` runs, its result kept."""
    tracemalloc.start()
    kept = make()
    asked = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return asked if kept is not None else 0


def list_of_stacks(dtype):
    starts = 4 + np.arange(LISTED) % 900
    stacks = [frames[t - 4 : t + 1].astype(dtype) for t in starts]
    return [(five[:4].copy(), five[1:].copy()) for five in stacks]


# %%
measured = {
    "two stacks, float32": bytes_asked_for(lambda: list_of_stacks(np.float32)),
    "two stacks, uint8": bytes_asked_for(lambda: list_of_stacks(np.uint8)),
    "each frame once": bytes_asked_for(lambda: frames[np.arange(LISTED) % 900]),
}
for name, asked in measured.items():
    print(f"{name:20} {asked / LISTED:10,.0f} bytes a step")

# %% [markdown]
# The prediction was 225,792, 56,448 and 7,056. The lists cost some 300 bytes more for
# each step: every array carries a header, and every entry of a list is a pointer.
#
# Drawn to scale, for the million steps of the Nature paper:

# %%
names = list(measured)
predicted = [225.792, 56.448, 7.056]
drawing, ax = figure(height=2.6)
ax.barh(names, predicted, color=BLUE, height=0.5, label="predicted")
found = [asked / LISTED / 1e3 for asked in measured.values()]
ax.plot(found, names, "D", color="black", label="measured")
ax.axvline(16, color=VERMILION, linestyle="--", label="a laptop with 16 GB")
ax.set(xlabel="a million steps (GB)")
ax.invert_yaxis()
ax.legend(loc="lower right")
show(drawing, "Bars of 226, 56 and 7 GB; only the last stays below a line at 16 GB.")

# %% [markdown]
# One of the three fits into a laptop. It is also the only one that stores nothing
# twice: a frame is in four states and in four next states, eight stacks in all, and
# this is the factor of eight between 56 GB and 7.
#
# And float32? It holds the same 256 shades in four bytes each. A batch is converted
# when it is drawn, in the network: 32 steps, not a million.
#
# ## Each frame once
#
# So keep frames in the order in which they came, and cut a stack out when it is
# drawn. The state of the step from frame 500 is frames 497 to 500; with frame 501 its
# next state comes along. You saw these five above.
#
# Frame 648 is the first of a game. What does the same cut give there?

# %%
show_grid(
    [frames[645:650]],
    ["the step from\nframe 648"],
    ["645", "646", "647", "648", "next: 649"],
    alt="Three frames of a game with two points and a hole in the bricks, then two of "
    "a new game with no points and no hole.",
)

# %% [markdown]
# Three frames of a game with 002 points and one life left (the counters at the top
# are points, lives and player), then two of a new game. The paddle jumps from left to
# right, a brick comes back. No agent has ever seen this: when it acted on frame 648,
# chapter 03's `FrameStack` had put black frames in the first three places, because
# nothing came before. A memory must hand out what the agent saw, or the network
# learns about states that do not exist and is never asked about them.
#
# So each stack has a start, and a frame has an *age*: the number of frames that its
# stack had before it. Ages are enough to tell which places are black.
#
# ```text
#     frame            645  646  647 │ 648  649  650  651  652
#     age               24   25   26 │   0    1    2    3    4
#     stack at 648                ■    ■    ■   648
#     stack at 649           ■    ■  648   649             ■ black
#     stack at 651    648  649  650   651
# ```
#
# A stack starts in two places. One is the first frame of a game. The other is the frame
# after a lost life, since this course, like the Nature paper, treats a life as an
# episode: the learner shall not hope for points behind a lost ball.

# %%
starts_stack = record.reset_row | record.life_lost
ages = np.zeros(len(frames), int)
for number in range(1, len(frames)):
    ages[number] = 0 if starts_stack[number] else ages[number - 1] + 1

# %%
# NBVAL_CHECK_OUTPUT
print("frames 645 to 652:", ages[645:653])
print("frames 152 to 157:", ages[152:158], " a life was lost at 154")

# %% [markdown]
# The oracle of the next exercise is what was acted on. Push the record through
# `FrameStack`, frame by frame, and keep every stack.

# %%
stack = FrameStack(1)
acted_on = np.concatenate(
    [
        stack.push(torch.from_numpy(frame)[None], np.array([start])).numpy()
        for frame, start in zip(frames, starts_stack, strict=True)
    ]
)
steps_from = np.flatnonzero(~record.reset_row[1:])  # frames at which a step begins
print(acted_on.shape, acted_on.dtype, "from", len(steps_from), "frames a step begins")

# %% [markdown]
# ### Exercise 4.2 · Stacks from single frames · ●●○ · 15 minutes
#
# Cut out the five frames of several steps at once, and blacken those from before the
# start. No loop is needed. `frames` may be anything that gives frames for an array of
# numbers: an array now, your ring later.


# %%
def rebuild(
    frames, newest: np.ndarray, ages: np.ndarray, stack_frames: int = 4
) -> np.ndarray:
    """States and next states of several steps, which share all frames but one.

    Args:
        frames: `frames[numbers]` are the frames with these numbers, uint8.
        newest: `(B,)` int, the number of each state's newest frame.
        ages: `(B,)` int, how many frames its stack had before that one.
        stack_frames: frames in a state.
    Returns:
        `(B, stack_frames + 1, H, W)` uint8, oldest first: all but the last are the
        state, all but the first the next state; zeros before a stack began.
    """
    # 1. The numbers of the frames, one row for each step, the next state's newest last.
    # 2. All these frames at once.
    # 3. Zeros where a frame lies further back than its stack is old.
    ### BEGIN SOLUTION
    window = frames[newest[:, None] + np.arange(1 - stack_frames, 2)]
    steps_back = stack_frames - 1 - np.arange(stack_frames + 1)
    window[steps_back > ages[:, None]] = 0
    return window
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
def states_as_acted_on():
    windows = rebuild(frames, steps_from, ages[steps_from])
    return int((windows[:, :-1] == acted_on[steps_from]).all(axis=(1, 2, 3)).sum())


def next_frames_that_follow():
    windows = rebuild(frames, steps_from, ages[steps_from])
    return int((windows[:, -1] == frames[steps_from + 1]).all(axis=(1, 2)).sum())


beside("states as they were acted on", 995, states_as_acted_on)
beside("next states that end with the next frame", 995, next_frames_that_follow)
two = np.array([648, 651])
beside("stacks of 2", (2, 3, 84, 84), lambda: rebuild(frames, two, ages[two], 2).shape)

# %% [markdown]
# **What you should see:** three black places at frame 648, two at 649, none at 651.
# The places stay grey until there is something to show.


# %%
def grey_until(shape: tuple, function, *arguments) -> np.ndarray:
    """What your function returns if it has that shape, else grey; never raises."""
    try:
        answer = np.asarray(function(*arguments))
    except Exception:  # `beside` has said what
        answer = np.empty(0)
    return answer if answer.shape == shape else np.full(shape, 128, np.uint8)


shown = np.array([648, 649, 651])
show_grid(
    grey_until((3, 5, 84, 84), rebuild, frames, shown, ages[shown]),
    [f"from {number}" for number in shown],
    ["", "", "", "newest", "next"],
    alt="Three rows of five frames: three black ones first, then two, then none.",
    height=1.3,
)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>A table of numbers, one row per step:
# newest − 3, newest − 2, newest − 1, newest, newest + 1. A frame that lies k steps back
# belongs to the stack if the age is at least k.</details>
# <details><summary>Hint 2: the call</summary><code>newest[:, None] + np.arange(-3,
# 2)</code> adds a column and a row to a table, and an array indexed by a table gives
# a frame for each entry. The comparison with <code>ages[:, None]</code> is a table,
# too, and can stand in square brackets.</details>
# <details><summary>"IndexError: index … is out of bounds"</summary>The first axis is
# time. Index <code>frames</code> with the table alone: <code>frames[table]</code>, not
# <code>frames[:, table]</code>.</details>
# <details><summary>"ValueError: operands could not be broadcast together"</summary>
# <code>newest</code> has shape (B,) and the offsets have shape (5,).
# <code>newest[:, None]</code> has shape (B, 1), and then they fit.</details>
# <details><summary>"Fewer than 995 states"</summary>The mask counts steps back from the
# state's newest frame: 3, 2, 1, 0, and −1 for the next state's. Print it for
# an age of 0: it must hide the first three places and no other.</details>
#
# **Think:** other libraries fill the places before the start with copies of the first
# frame. What would such a stack tell the network that black frames do not?
# <details><summary>Answer</summary>That nothing has moved for four decisions, which also
# happens in the midst of a game, while everybody waits for <code>FIRE</code>. Black
# says: there is no past. Both can be learnt. What cannot is one of them in play and the
# other in the memory.</details>

# %% [markdown]
# ## A ring
#
# A million frames are not enough for ever: `mnih2015` plays fifty million steps. When
# the memory is full, each new frame takes the place of the oldest. No frame is moved;
# the writer goes round.

# %%
figures.show_ring(
    8,
    (3, 8, 9, 12),
    stack_frames=4,
    alt="A ring of eight slots after 3, 8, 9 and 12 writes. Frame n stands in slot n "
    "modulo 8; after 12 writes frames 4 to 11 are left, and steps begin at 7 to 10.",
)

# %% [markdown]
# Frames are numbered from 0 since the beginning of time, and frame n stands in slot n
# modulo 8. Orange is the newest. After 9 writes frame 8 has taken the slot of frame 0.
# What blue means comes after the exercise.

# %% [markdown]
# ### Exercise 4.3 · The ring · ●○○ · 10 minutes
#
# Write an array without end, of which only the newest part exists. It will keep frames,
# and it will keep steps, so the shape and type of an item are its maker's to say.


# %%
class Ring:
    """The newest `capacity` items of an endless row; each keeps its number for ever."""

    def __init__(self, capacity: int, shape: tuple = (), dtype=np.uint8):
        self.items = np.zeros((capacity, *shape), dtype)
        self.count = 0  # items appended since the beginning

    def append(self, item) -> None:
        """Copy an item into the slot of the oldest, and count it."""
        ### BEGIN SOLUTION
        self.items[self.count % len(self.items)] = item
        self.count += 1
        ### END SOLUTION

    def __getitem__(self, numbers):
        """Items by their numbers: an int, or an array of ints of any shape."""
        ### BEGIN SOLUTION
        return self.items[numbers % len(self.items)]
        ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
def ring_of(*items):
    ring = Ring(4, (), np.int64)
    for item in items:
        ring.append(item)
    return ring


def changed_afterwards():
    ring, frame = Ring(4, (2,)), np.array([7, 7], np.uint8)
    ring.append(frame)
    frame[:] = 0
    return ring[0].tolist()


six = (10, 11, 12, 13, 14, 15)
beside("appended", 6, lambda: ring_of(*six).count)
beside("slots", [14, 15, 12, 13], lambda: ring_of(*six).items.tolist())
last = np.arange(2, 6)
beside("numbers 2 to 5", [12, 13, 14, 15], lambda: ring_of(*six)[last].tolist())
beside("number 5", 15, lambda: int(ring_of(*six)[5]))
beside("a frame whose owner changes it", [7, 7], changed_afterwards)

# %% [markdown]
# **What you should see:** five times ✅. The last line is the one that costs people
# days: many emulators write each screen into the same array, and who keeps the array
# instead of its contents has a million copies of the present.
#
# <details><summary>Hint 1: the idea</summary>The slot of an item is its number modulo
# the capacity, and the number of the next item is <code>count</code>.</details>
# <details><summary>Hint 2: the call</summary><code>number % len(self.items)</code> is the
# slot, for an int and for an array alike. Assigning into a slot,
# <code>self.items[slot] = item</code>, copies.</details>
# <details><summary>"AttributeError: 'numpy.ndarray' object has no attribute
# 'append'"</summary>A NumPy array does not grow. All slots are there from the start;
# assign into one.</details>
# <details><summary>"TypeError: unsupported operand type(s) for %: 'list' and
# 'int'"</summary>Numbers come as an int or an array. A list has no modulo;
# <code>np.asarray</code> makes an array of it.</details>
#
# **Think:** `collections.deque(maxlen=1_000_000)` forgets the oldest by itself, in one
# line. What would it cost?
# <details><summary>Answer</summary>A deque is a chain of small blocks, and to reach its
# middle it walks along the chain: 11 µs for the middle of a million, against 0.06 µs for
# an array. A batch needs 32 draws. (keras-rl, the library of the two old notebooks, has
# such a deque in its later versions.)</details>

# %% [markdown]
# ## Behind the writer
#
# Look at the ring again, at the line of 9 writes. Frame 0 is gone. Frames 1, 2 and 3 are
# still there, but a stack that ends with one of them reaches back to frame 0, and in slot
# 0 now stands frame 8: a stack with the present at its beginning and the past at its end.
# So steps from frames 1, 2 and 3 are lost together with frame 0. Blue are the frames from
# which a step begins that is *whole*. The newest frame is not blue: nothing has followed
# it yet.
#
# While nothing has been overwritten, a step from frame 0, 1 or 2 is whole. What would lie
# before frame 0 never existed, and is black by its age.

# %% [markdown]
# ### Exercise 4.4 · What is still whole · ●●○ · 10 minutes
#
# From which frame on are steps whole? This one number keeps the memory honest.


# %%
def first_whole(written: int, capacity: int, stack_frames: int = 4) -> int:
    """The smallest frame number from which on steps have all frames of their stacks.

    Args:
        written: frames written since the beginning.
        capacity: frames that the ring holds.
        stack_frames: frames in a state.
    """
    # 1. How many frames are gone?
    # 2. None: every step is whole. Else leave out those that reach back to them.
    ### BEGIN SOLUTION
    gone = max(0, written - capacity)
    return gone + stack_frames - 1 if gone else 0
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
for written, expected in ((3, 0), (8, 0), (9, 4), (12, 7), (1_000, 995)):
    beside(f"{written} written into 8", expected, first_whole, written, 8)
beside("12 written into 8, stacks of 2", 5, first_whole, 12, 8, 2)

# %% [markdown]
# **What you should see:** six times ✅, and in the picture above the leftmost blue
# numbers: 0, 0, 4 and 7.
#
# <details><summary>Hint 1: the idea</summary>If frames 0 to g − 1 are gone, g is the oldest
# one left. The step from frame g needs frame g − 3.</details>
# <details><summary>Hint 2: the call</summary><code>max(0, written - capacity)</code>
# frames are gone. Without <code>max</code> a ring that is half full has lost a negative
# number of frames.</details>
# <details><summary>"TypeError: '&gt;' not supported between instances of 'NoneType' and
# 'int'"</summary>A branch of yours returns nothing. Both cases need a
# <code>return</code>.</details>
#
# **Think:** a ring of a million frames is full, and the game in it has no end in sight.
# How many steps can be drawn? And how small may a ring be, to give any at all?
# <details><summary>Answer</summary>999,996: four fewer than frames, three that reach back
# to what is gone and the newest, which nothing has followed. By the same count a ring of
# five frames gives one step.</details>

# %% [markdown]
# ## The memory
#
# What is missing is what happened: actions, rewards, ends. There is one step fewer than
# frames in each game, so keep them in a ring of their own. Steps then have numbers of
# their own, which are not those of the frames: each step notes the number of its state's
# newest frame, and that frame's age.

# %%
STEP = np.dtype(
    [
        ("frame", np.int64),  # number of the state's newest frame
        ("age", np.int64),
        ("action", np.int64),
        ("reward", np.float32),
        ("terminated", np.bool_),
    ]
)


def as_batch(windows: np.ndarray, steps: np.ndarray, discount: float) -> Batch:
    """What `sample` returns: `windows` from `rebuild`, and an array of STEP."""
    facts = (steps[name].copy() for name in ("action", "reward"))
    discounts = np.full(len(steps), discount, np.float32)
    ends = steps["terminated"].copy()
    return Batch(windows[:, :-1], *facts, discounts, ends, windows[:, 1:])


# %%
# NBVAL_CHECK_OUTPUT
steps = Ring(8, (), STEP).items
steps[0] = (500, 21, 3, 1.0, False)
print("the first step:", steps["frame"][0], steps["action"][0], steps["reward"][0])
size = 84 * 84 + STEP.itemsize
print(f"{size:,} bytes a step, {size * 1_000_000 / 1e9} GB a million")

# %% [markdown]
# An array of `STEP` has named columns: `steps["age"]` are all ages. A step is 29 bytes
# beside the 7,056 of its frame.
#
# ### How an episode ends
#
# The flags of a step are about what may be hoped for after it.
#
# | what happened | how the memory hears of it | next stack | what comes after counts |
# | --- | --- | --- | --- |
# | play goes on | `add(…, False, False, frame)` | goes on | yes |
# | a life was lost | `add(…, True, False, frame)`, then `add` | starts at `frame` | no |
# | the game is over | `add(…, True, False, frame)`, then `begin` | starts at `begin` | no |
# | the game was cut off | `add(…, False, True, frame)`, then `begin` | starts at `begin` | yes |
#
# The last line is the one that goes wrong most often. A game that a limit of time cut
# off was not lost: its last state is worth what any such state is worth. Stored as
# `terminated` it teaches the network that the world ends there. Both old notebooks did so,
# because their library did. `truncated` itself need not be stored: the line after it is
# what matters, and that is `begin`.

# %%
# NBVAL_CHECK_OUTPUT
print(CONTRACTS["ReplayMemory"].signature)

# %% [markdown]
# - `begin(frame)`: a game starts with `frame`, `(H, W)` uint8, which is copied. No step
#   ends here.
# - `add(action, reward, terminated, truncated, next_frame)`: what followed the newest
#   frame, which are an int, a float, two bools and a `(H, W)` uint8, which is copied. The
#   step can be drawn at once. The reward is stored as it comes. If `terminated`, the next
#   stack starts at `next_frame`.
# - `len(memory)`: steps that can be drawn.
# - `sample(batch_size, rng)`: a `Batch` of the steps at the positions
#   `rng.integers(len(self), size=batch_size)`, where 0 is the oldest step. A step may come
#   twice. `ValueError` if there is none.
#
# | field of `Batch` | shape, type | what it holds |
# | --- | --- | --- |
# | `states` | `(B, stack_frames, H, W)` uint8 | oldest frame first, zeros before the start |
# | `actions` | `(B,)` int64 | |
# | `rewards` | `(B,)` float32 | |
# | `discounts` | `(B,)` float32 | `discount` in every row |
# | `terminated` | `(B,)` bool | |
# | `next_states` | `(B, stack_frames, H, W)` uint8 | the states, moved by one frame |
#
# `capacity` counts frames. Arrays or tensors are both fine. You may forget the oldest
# steps a few frames earlier or later than we do, by the length of a stack.

# %% [markdown]
# ### Exercise 4.5 · ReplayMemory · ●●● · 40 minutes
#
# Put it together. With `Ring`, `rebuild`, `first_whole` and `as_batch` it is some twenty
# lines. What your class calls is checked and saved with it: if it calls `rebuild`, then
# finish exercise 4.2 first. You may as well leave them out and build another memory.


# %%
class ReplayMemory:
    """The newest steps of one environment; its contract stands above."""

    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        ### BEGIN SOLUTION
        self.stack_frames, self.discount = stack_frames, discount
        self.frames, self.steps = Ring(capacity, frame_shape), Ring(capacity, (), STEP)
        self.age, self.first = 0, 0  # of the newest frame; the oldest whole step
        ### END SOLUTION

    def begin(self, frame):  # 1. keep it, start a stack, let old steps go
        ### BEGIN SOLUTION
        self.frames.append(frame)
        self.age = 0
        capacity = len(self.frames.items)
        whole = first_whole(self.frames.count, capacity, self.stack_frames)
        while len(self) and self.steps[self.first]["frame"] < whole:
            self.first += 1
        ### END SOLUTION

    def add(self, action, reward, terminated, truncated, next_frame):  # 2. a whole step
        ### BEGIN SOLUTION
        step = (self.frames.count - 1, self.age, action, reward, terminated)
        self.begin(next_frame)
        self.age = 0 if terminated else step[1] + 1
        self.steps.append(step)
        ### END SOLUTION

    def __len__(self):  # 3. those that can be drawn
        ### BEGIN SOLUTION
        return self.steps.count - self.first
        ### END SOLUTION

    def sample(self, batch_size, rng):  # 4. positions, steps, frames, batch
        ### BEGIN SOLUTION
        drawn = self.steps[self.first + rng.integers(len(self), size=batch_size)]
        windows = rebuild(self.frames, drawn["frame"], drawn["age"], self.stack_frames)
        return as_batch(windows, drawn, self.discount)
        ### END SOLUTION


# %%
ReplayMemory = check(ReplayMemory)

# %% [markdown]
# **What you should see:** a badge that says `passes`. Until then the check tells what
# your memory did in games of its own and, where it can tell, which hint to read. The
# notebook goes on either way, with your memory or with the reference's (which is built for
# many games at once and takes longer for one).
#
# <details><summary>Hint 1: the idea, what belongs to one step</summary>When
# <code>add</code> is called, the newest frame you hold is the one on which the action was
# chosen. It is the state's last frame. Action, reward and flags came with
# <code>next_frame</code>, and they belong to the step that ends with it. So note the number
# of the newest frame before you append the next one.</details>
# <details><summary>Hint 2: the call, the draw and the batch</summary>
# <code>rng.integers(len(self), size=batch_size)</code>, once, gives positions from 0 to
# len − 1; a position plus the number of the oldest step is a step's number, and
# <code>steps[numbers]</code> are the steps. <code>as_batch</code> gives them the types of
# <code>Batch</code>.</details>
# <details><summary>Hint 3: where a stack begins</summary>Keep one number, the age of the
# newest frame. <code>begin</code> makes it 0. <code>add</code> stores it with the step, since
# it says how old the state's stack is, and then it grows by one, or is 0 again
# after a terminated step: there the next stack starts at
# <code>next_frame</code>.</details>
# <details><summary>Hint 4: the ring</summary>Every frame that is written, by
# <code>begin</code> too, may take another one away. After each, ask
# <code>first_whole</code>, and let go of the oldest steps as long as they begin before it.
# <code>len</code> counts the steps that are left. There are fewer than frames.</details>
# <details><summary>Hint 5: what is kept</summary>A copy of the frame, in uint8. Assigning
# into a slot of an array copies; <code>list.append(frame)</code> keeps the caller's own
# array. 256 shades do not fit into anything smaller than a byte, and need nothing
# larger.</details>
# <details><summary>"ValueError: high &lt;= 0"</summary>That is what
# <code>rng.integers(0)</code> says, and it is what the contract asks for: nothing can be
# drawn from an empty memory. If it should not be empty, look at
# <code>len</code>.</details>
# <details><summary>"ValueError: could not broadcast input array from shape …"</summary>
# The ring has frames of another size than the one that came in. Hand
# <code>frame_shape</code> on to it.</details>
# <details><summary>"RecursionError: maximum recursion depth exceeded"</summary>
# <code>len(self)</code> inside <code>__len__</code> calls itself.</details>
#
# **Think:** the memory is full, a million steps, and the network has learnt much
# since the oldest of them were played. They show the moves of a beginner. May Q-learning
# use them?
# <details><summary>Answer</summary>Yes. The target r + γ max Q(s′, a′) asks what the best
# action would bring in the next state, not which action the beginner took there. Such a
# method is called off-policy. It ends with n-step returns: their middle rewards are those
# of the beginner's own moves (chapter 11).</details>
#
# ## Beside ours
#
# There are many right memories. This is one of them, beside yours, once yours passes.

# %%
compare("ReplayMemory")

# %% [markdown]
# ## Your memory at work
#
# From here on everything runs on what `check` returned: your memory, if it passes, the
# reference's, if not. Play the record into it, as the training loop of chapter 08 will.


# %%
def remember(memory, number: int) -> None:
    """What happened between frames `number` - 1 and `number` of the record."""
    if record.reset_row[number]:
        memory.begin(frames[number])
    else:
        ended = record.game_over[number] or record.life_lost[number]
        reward = float(np.clip(record.rewards[number], -1, 1))
        cut_off = record.truncated[number]
        memory.add(actions[number], reward, ended, cut_off, frames[number])


memory = ReplayMemory(capacity=2_000)
for number in range(len(frames)):
    remember(memory, number)

# %%
# NBVAL_CHECK_OUTPUT
print(len(memory), "steps from", len(frames), "frames")
batch = memory.sample(32, np.random.default_rng(0))
for name, values in zip(Batch._fields, batch, strict=True):
    print(f"{name:12} {str(tuple(values.shape)):16}", str(values.dtype).split(".")[-1])

# %% [markdown]
# 995 steps from 1,001 frames: six games, and the first frame of each ends no step.
#
# Dice are bad for looking at one step in particular. A generator that does not throw
# them helps: it hands out the positions that it was given.


# %%
class Chosen:
    """A random generator that is not random."""

    def __init__(self, *positions: int):
        self.positions = np.array(positions)

    def integers(self, high, size):
        return self.positions[:size] % high


# %%
# NBVAL_CHECK_OUTPUT
everything = memory.sample(len(memory), Chosen(*range(len(memory))))
same = (np.asarray(everything.states) == acted_on[steps_from]).all(axis=(1, 2, 3))
print("states as they were acted on:", same.sum(), "of", len(memory))
print("terminated:", np.asarray(everything.terminated).sum())
print("rewards:", np.asarray(everything.rewards).sum())

# %% [markdown]
# Each state, bit by bit, is the one that was acted on. 26 steps are terminal, 21 lost
# lives and 5 ends of games, and random play hit six bricks. Three steps are worth a look.

# %%
chosen = [int(np.flatnonzero(steps_from == number)[0]) for number in (589, 648, 153)]
three = memory.sample(3, Chosen(*chosen))
pictures = zip(three.states, three.next_states, strict=True)
facts = zip(three.rewards, three.terminated, strict=True)
show_grid(
    [[*state, after[-1]] for state, after in pictures],
    [f"reward {reward:.0f}\n{'terminal' * bool(ended)}" for reward, ended in facts],
    ["state", "", "", "newest", "next"],
    alt="Three steps of five frames each. In the first a brick vanishes, in the second "
    "the first three frames are black, in the third the lives fall from 4 to 3.",
    height=1.5,
)

# %% [markdown]
# Above, the step from frame 589: in its last frame a brick is gone and the counter says
# 002 instead of 001, and here stands the reward. In the middle a game begins, with black
# where there was nothing. Below, the step from frame 153: the ball is lost and the lives
# fall from 4 to 3. This step is terminal, and whatever its next state shows, no value will
# be taken from it.
#
# ### Is every step drawn?
#
# Uniform means: each step equally often, the newest and the oldest among them. A hundred
# steps whose reward is their own number, drawn a hundred thousand times:

# %%
tiny = ReplayMemory(capacity=110, frame_shape=(1, 1))
tiny.begin(np.zeros((1, 1), np.uint8))
for number in range(100):
    tiny.add(0, float(number), False, False, np.zeros((1, 1), np.uint8))
drawn = np.asarray(tiny.sample(100_000, np.random.default_rng(0)).rewards)
times = np.bincount(drawn.astype(int), minlength=100)

# %%
drawing, ax = figure(height=2.6)
ax.bar(np.arange(100), times, width=1, color=BLUE)
ax.axhline(1_000, color=VERMILION)
ax.set(xlabel="step (0 is the oldest)", ylabel="times drawn")
show(drawing, "A hundred bars of nearly equal height around a line at 1,000.")

# %%
# NBVAL_CHECK_OUTPUT
print(f"{times.min()} to {times.max()} times, standard deviation {times.std():.1f}")

# %% [markdown]
# Dice alone would make a deviation of √(1,000 × 0.99) = 31.5. No step is favoured, and
# the first and the last bar are as high as the rest.
#
# ### What it really takes
#
# `tracemalloc` counts what was asked for. What the system hands over is another matter:
# an array of zeros gets its memory page by page, as it is written. Fill a memory of real
# size and watch the process grow.


# %%
def resident() -> float:
    """Memory that this process occupies, in MB."""
    return psutil.Process().memory_info().rss / 1e6


large, grown, before = ReplayMemory(FILLED), [], resident()
large.begin(frames[0])
for number in range(5 * FILLED // 4):
    large.add(0, 0.0, False, False, frames[number % len(frames)])
    if number % (FILLED // 50) == 0:
        grown.append((number + 1, resident() - before))
del large

# %%
drawing, ax = figure(height=2.8)
ax.plot(*zip(*grown, strict=True), color=BLUE, linewidth=3, label="measured")
ax.axhline(FILLED * 7_056 / 1e6, color=VERMILION, linestyle="--", label="predicted")
ax.set(xlabel="frames added", ylabel="growth (MB)", ylim=0)
ax.legend(loc="lower right")
show(drawing, "A line that rises to the prediction while the ring fills, and stays.")

# %%
print(f"predicted {FILLED * 7_056 / 1e6:.0f} MB, measured {grown[-1][1]:.0f} MB")

# %% [markdown]
# The line rises while the ring fills and is flat once it is full. For a million frames
# the same line ends at 7 GB, more than an hour into a training. A memory that does not
# fit fails there and not at the start, which is why this course's `train` does the sum
# before it begins, and refuses.
#
# ### Does an agent learn from it?
#
# The shooting gallery is the small game of this course: a target swings to and fro above
# a gun, and the shot takes two steps to arrive. Who shoots at random hits one time in
# twelve. One frame shows where the target is; only a stack shows which way it goes.
#
# Everything else of the agent is the reference's, and comes in later chapters. The memory
# is the one from above.

# %%
recipe = get_recipe(
    "gallery",
    total_steps=TRAINED,
    learning_starts=min(1_000, TRAINED // 2),
    precision="fp32",
    device="cpu",
    threads=1,
)
parts = build(resolve(recipe), Pieces(ReplayMemory=ReplayMemory))
scores = []

# %%
started = time.perf_counter()
training_loop(
    parts,
    recipe.total_steps,
    on_step=lambda parts, rows: scores.extend(game.score for game in parts.finished),
)
seconds = time.perf_counter() - started
print(f"{TRAINED:,} steps, {parts.counters.updates:,} updates, {len(scores):,} games")
print(f"{seconds:.0f} seconds")

# %%
over_games = np.convolve(scores, np.ones(100), mode="valid")
drawing, ax = figure(height=2.8)
ax.plot(100 + np.arange(len(over_games)), over_games, color=BLUE, label="this memory")
ax.axhline(100 / 12, color=GREY, linestyle="--", label="random play")
ax.set(xlabel="games", ylabel="hits in 100 games", ylim=(0, 102))
ax.legend(loc="center right")
show(drawing, "A curve that stays near random play at first and then rises to 100.")

# %%
result = evaluate_network(recipe, parts.learner.q_values, GAMES, epsilon=0.0, seed=0)
print(f"without random actions: {result.mean:.2f} hits per game, of {GAMES} games")

# %% [markdown]
# In `normal` mode it starts at one game in twelve, and after 8,000 steps it hits in
# 96 of 96 games (the 600 steps of `smoke` teach it nothing). The curve ends a little
# lower: in training one action in twenty is still random.
#
# A memory can be wrong without an error message, and this curve knows. The same 8,000
# steps with three memories that were broken on purpose:
#
# | memory | hits in 96 games |
# | --- | --- |
# | rewards one step late | 0 |
# | newest frame first | 0 |
# | next state equal to the state | 0 |
#
# One thing the gallery does not show is the harm of learning in order. With a memory that
# always hands out the newest 32 steps the agent hit in 96 of 96 games as well, after
# 11,000 steps. A game of the gallery lasts four or five steps, so 32 in a row are seven
# games from all sorts of starts. In Breakout they are worth two frames, as you have seen,
# and Nature's table says what comes of it.
#
# ## Beyond uniform
#
# Uniform draws treat a lost ball and a hundred waits for one alike; Mnih et al. (2015,
# Methods) name this as the limit of their memory. *Prioritised replay* (Schaul et al. 2016)
# draws a step more often, the larger the error that the network last made on it, and weighs
# the updates so that the frequent do not count twice; it beat uniform draws on 41 of 49
# games. *n-step returns* (Sutton 1988) let a step carry the next n rewards; this course's
# recipe `laptop` takes three. *Capacity* is a setting as well: Fedus et al. (2020) found
# that a larger memory helps some agents and leaves plain DQN where it is, and that n-step
# returns make the difference. Chapter 11 builds the first two, into the ring that you
# have written.
#
# ## Summary
#
# > - A batch of 32 frames in order says as much about Breakout as two drawn at random.
# > - A step is state, action, reward, terminated, next state. State and next state share
# >   three of four frames, and each frame stands in eight stacks.
# > - A million steps take 226 GB as float32 stacks, 56 GB as uint8 stacks, and 7 GB when
# >   each frame is kept once.
# > - Frame n stands in slot n modulo capacity. With a frame the ring also loses the
# >   steps whose stacks reach back to it.
# > - A stack shows what was seen in play: zeros before its start, nothing from another
# >   game or life.
# > - `terminated` says that nothing follows; a game that was cut off is not terminated.
#
# Which parts of the agent are yours by now:

# %%
progress()

# %% [markdown]
# ## Quiz
#
# 1. The first old notebook begins to train after 50 steps, with batches of 32. What does
# its first batch look like? (Each of its decisions lasts 16 frames of the console.)
# <details><summary>Answer</summary>It comes from thirteen seconds of a single game, as much
# play as 200 frames of our record. Thirty-two random draws from 200 frames in a row are
# worth 6 independent ones, by the measure from above. Random draws help only where there is
# something to draw from. So recipes wait, <code>laptop</code> for 5,000 steps and the Nature
# paper for 50,000.</details>
#
# 2. In your batches `states` and `next_states` are equal. The agent trains without an
# error message. What does it learn?
# <details><summary>Answer</summary>That actions lead nowhere: the target of each step takes
# the value of the very state the step began in. What an action earns at once can still
# be learnt, what it leads to cannot.</details>
#
# 3. A batch of 32 is drawn from a million steps, with replacement. How likely is it that
# some step comes twice?
# <details><summary>Answer</summary>There are 32 · 31 / 2 = 496 pairs, each equal
# with a chance of one in a million: about 0.05 %. To draw without replacement would cost
# more than it brings.</details>
#
# 4. An agent acts on stacks whose newest frame is last, and its memory hands out stacks
# whose newest frame is first. Its loss falls nicely. Why does it play badly?
# <details><summary>Answer</summary>It has learnt a world in which time runs backwards, and is
# asked about one in which it does not: every ball it sees flies the other way. The loss is
# computed on the memory's stacks alone and cannot tell.</details>
