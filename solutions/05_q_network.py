# %% [markdown]
# # 05 · The Q-network
#
# Four pictures go in, one number for each action comes out: how many points may be
# hoped for from here. In this chapter you work out every size in that network before
# PyTorch says it, write the network, and look inside one that has learnt to play.
#
# **Goals**: read motion out of four frames with weights written by hand · predict the
# shape behind every layer, its parameters and its work · write the network of the Nature
# paper, bytes in, divided once · see filters, maps and values of a trained network, and
# say what they do not show.
#
# **Prerequisites**: chapters 02 to 04 (frames of 84 × 84, stacks of four, batches of
# bytes). You have met `nn.Module` and `nn.Linear` of PyTorch.
#
# **Minutes**: 90
#
# Two sections are marked *(aside)*: nothing later needs them, they can wait, and they take
# another 35 minutes. The numbers in the text are those of `normal` mode.

# %%
import json
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import dqn_ref.network as reference
from dqn_ref import agents
from dqn_ref.course import begin, check, compare, figures, progress, shipped_run
from dqn_ref.course.figures import BLUE, GREY, VERMILION, figure, show, show_grid
from dqn_ref.course.widgets import slide
from dqn_ref.environments import make_lanes
from dqn_ref.evaluation import decisions, evaluate_network, greedy_policy
from dqn_ref.frames import FrameStack
from dqn_ref.network import ARCHITECTURES, count_parameters
from dqn_ref.pieces import CONTRACTS, Pieces
from dqn_ref.recipes import get_recipe
from dqn_ref.runs import build, resolve
from dqn_ref.training import training_loop

# %%
MODE = begin("05").mode
PLAYED = {"smoke": 120, "normal": 400, "full": 1_000}[MODE]  # decisions of a game
FRESH = {"smoke": 3, "normal": 20, "full": 100}[MODE]  # networks with first weights
TRAINED = {"smoke": 200, "normal": 8_000, "full": 8_000}[MODE]  # steps of a training
GAMES = {"smoke": 8, "normal": 96, "full": 96}[MODE]  # to see what was learnt
STRIDE = {"smoke": 12, "normal": 4, "full": 2}[MODE]  # between covered squares

# %% [markdown]
# ## Four frames, and what moves in them
#
# The trained agent of chapter 00 plays a game again, and this time we keep what it was
# shown: at each decision a stack of four frames, the newest last. (The next two cells play
# that game with parts of chapters 03 and 09. What they return is all that is needed here.)


# %%
def record_states(recipe, policy, count: int) -> torch.Tensor:
    """What a policy is shown in a game: `(count, 4, H, W)` uint8."""
    states = []

    def watched(state):
        states.append(state.clone())
        return policy(state)

    game, stack = make_lanes(recipe, 1), FrameStack(1, 4, recipe.frame_shape)
    play = decisions(game, stack, watched, recipe.terminal_on_life_loss, seed=0)
    for _ in range(count):
        next(play)
    game.close()
    return torch.cat(states)


# %%
run = shipped_run("breakout-laptop-seed-0")
recipe, agent = agents.load_agent(run, precision="fp32")  # numbers of 32 bits
trained = agent.online
policy = greedy_policy(agent.q_values, 0.05, np.random.default_rng(0))
states = record_states(recipe, policy, PLAYED)

# %%
figures.show_frames(
    states[36].numpy(),
    ["oldest", "", "", "newest"],
    alt="Four grey screens of Breakout. The ball is about two pixels lower and to the "
    "right from each to the next.",
    height=2.6,
)

# %% [markdown]
# Is the ball rising or falling? You looked from left to right and saw it. Arithmetic can
# see it, too: subtract an older frame from the newest one.

# %%
newest, older = (states[36, place].numpy().astype(int) for place in (3, 1))
difference = newest - older
figures.show_frames(
    [newest.astype(np.uint8), (128 + difference // 2).astype(np.uint8)],
    ["newest", "newest − two before"],
    alt="Left: the newest screen. Right: all grey, but for a white spot where the ball "
    "is, a black one where it was, and a white and a black bar for the paddle.",
    height=2.6,
)

# %% [markdown]
# Bricks, walls and points are gone: what stands still is 0, drawn in grey. White is where
# something has come, black where something has left. The ball was above and is below; the
# paddle was left and is right.
#
# A subtraction is a sum with weights: +1 for the newest frame, −1 for the older one. A
# sum of pixels with weights, the same weights at each place, is all that a *filter* is.
# This one is 8 × 8 pixels large and four frames deep, and its weights are chosen so that
# a falling ball comes out positive and a rising one negative:

# %%
# NBVAL_CHECK_OUTPUT
falling = np.zeros((4, 8, 8))
falling[3, :4], falling[3, 4:] = -1, +1  # newest: in the lower half
falling[1, :4], falling[1, 4:] = +1, -1  # two before it: in the upper half
print("weights:", falling.size, " their sum:", falling.sum())
print("newest frame, first column:", falling[3, :, 0])

# %% [markdown]
# Where nothing moves, newest and older cancel, brick by brick.

# %% [markdown]
# ### Exercise 5.1 · A filter at work · ●○○ · 15 minutes
#
# Lay the filter over the upper left corner, multiply, add up, and write the sum down.
# Move it by `stride` pixels, and again. What you write down is a *map*. Deep learning
# calls this a convolution. (Mathematics turns the filter round first; here it lies as it
# is written.)


# %%
def convolve(frames: np.ndarray, weights: np.ndarray, stride: int) -> np.ndarray:
    """The map that a filter makes of several frames.

    Args:
        frames: `(C, H, W)`, numbers of any kind.
        weights: `(C, k, k)` float, one square for each frame.
        stride: pixels from one place of the filter to the next, in both directions.
    Returns:
        `(rows, columns)` float64: as many as there are places at which the filter lies
        inside the frames completely.
    """
    # 1. How many places are there, downwards and to the right?
    # 2. At each, the sum of all products of weights and what lies under them.
    ### BEGIN SOLUTION
    size = weights.shape[1]
    rows, columns = ((side - size) // stride + 1 for side in frames.shape[1:])
    out = np.zeros((rows, columns))
    for row in range(rows):
        for column in range(columns):
            y, x = row * stride, column * stride
            out[row, column] = np.sum(frames[:, y : y + size, x : x + size] * weights)
    return out
    ### END SOLUTION


# %% [markdown]
# The piece of this chapter is exercise 5.6; 5.2 and 5.5 make parts of it, the others are
# for looking. They are no pieces, so the following functions stand for the check. They
# print what is expected beside what yours gives, and are strict about numbers: 20.0 is no
# count.


# %%
def beside(question: str, expected, function, *arguments) -> None:
    """Print what is expected beside what your function returns; never raises."""
    try:
        answer = function(*arguments)
        mark, yours = "✅" if equal(answer, expected) else "❌", short(answer)
    except NotImplementedError:
        mark, yours = "◻", "not attempted yet"
    except Exception as error:
        mark, yours = "❌", f"{type(error).__name__}: {error}"[:250]
    print(f"{mark} {question}: expected {short(expected)}, yours: {yours}")


def equal(answer, expected) -> bool:
    """The same numbers, of the same kind: counts, or numbers with a point."""
    if isinstance(expected, tuple):
        whole = isinstance(answer, tuple) and len(answer) == len(expected)
        return whole and all(map(equal, answer, expected))
    mine, its = np.asarray(answer), np.asarray(expected)
    return mine.dtype.kind == its.dtype.kind and np.array_equal(mine, its)


# %%
def short(value) -> str:
    """A value in a few words."""
    if isinstance(value, tuple):
        shown = [short(part) for part in value[:4]] + ["…"] * (len(value) > 4)
        return f"({'; '.join(shown)})"
    if isinstance(value, (float, np.floating)):
        return f"{value}, a float"
    array = np.asarray(value)
    if array.ndim == 0:
        return f"{value:,}" if array.dtype.kind in "iu" else str(value)
    kind = "" if array.dtype.kind == "f" else f", of dtype {array.dtype}"
    if array.size > 12:
        sides = " × ".join(map(str, array.shape))
        return f"{sides} numbers from {array.min():,.0f} to {array.max():,.0f}{kind}"
    written = np.array2string(array, separator=", ", formatter={"float": "{:g}".format})
    return " ".join(written.split()) + kind


# %%
# NBVAL_CHECK_OUTPUT
digits = np.array([[[1, 2, 3, 4], [5, 6, 7, 8], [9, 0, 1, 2]]])  # one frame, 3 × 4
spell = np.array([[[1000.0, 100.0], [10.0, 1.0]]])
spelt = np.array([[1256.0, 2367, 3478], [5690, 6701, 7812]])
beside("digits", spelt, convolve, digits, spell, 1)
beside("stride 2", spelt[::2, ::2], convolve, digits, spell, 2)
two_frames, newer = np.concatenate([digits, digits + 1]), np.stack([-spell, spell])
ones = np.full((2, 3), 1111.0)
beside("two frames", ones, convolve, two_frames, newer[:, 0], 1)

# %%
# NBVAL_CHECK_OUTPUT
stack = np.random.default_rng(0).integers(256, size=(4, 84, 80), dtype=np.uint8)
doubles = [torch.from_numpy(array).double()[None] for array in (stack, falling)]
by_pytorch = functional.conv2d(*doubles, stride=4)[0, 0].numpy()
beside("a stack of bytes", by_pytorch, convolve, stack, falling, 4)
beside("its numbers", "float64", lambda: str(convolve(stack, falling, 4).dtype))

# %% [markdown]
# **What you should see:** five times ✅. With the weights 1000, 100, 10 and 1 a sum spells
# the four digits that lie under the filter. Then come two maps: around a ball that falls
# the map is white in the middle, around one that rises it is black.


# %%
def numbers_of(shape: tuple, function, calls: list[tuple]) -> list[np.ndarray]:
    """What your function returns for each call; zeros where it fails, and why."""
    found, problems = [], set()
    for arguments in calls:
        try:
            answer = np.asarray(function(*arguments), float)
            problem = "" if answer.shape == shape else f"shape {answer.shape}"
        except NotImplementedError:
            problem = "not attempted yet"
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        found.append(np.zeros(shape) if problem else answer)
        problems.add(problem)
    for problem in sorted(problems - {""}):
        print(f"drawn as zeros, since {function.__name__}: {problem}")
    return found


# %%
fields = [states[t, :, 38:74].numpy() for t in (36, 20)]  # bricks to paddle
maps = numbers_of((29, 77), convolve, [(field, falling, 1) for field in fields])
grey = [np.clip(128 + found / 8, 0, 255).astype(np.uint8) for found in maps]
show_grid(
    [[field[3], picture] for field, picture in zip(fields, grey, strict=True)],
    ["ball falls", "ball rises"],
    ["newest frame", "map of the filter"],
    alt="Two rows: a field with the ball, and a grey map with three spots one below "
    "the other where the ball is. The middle spot is white where the ball falls and "
    "black where it rises.",
    height=1.7,
)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>Two loops, over the rows and columns of the
# map. At place (row, column) the filter's upper left corner lies on pixel (row · stride,
# column · stride).</details>
# <details><summary>Hint 2: the call</summary><code>frames[:, y : y + k, x : x + k]</code>
# is what lies under the filter, in all frames at once. <code>np.sum(a * b)</code> adds up
# all products.</details>
# <details><summary>"ValueError: operands could not be broadcast together"</summary>The
# filter hangs over the edge: there are fewer places than pixels. Where does the last one
# begin, if the filter ends at the edge?</details>
#
# **Think:** the map of a stack in which nothing moves is 0. What does this filter answer
# where the paddle moves, and why do the fields above end over the paddle?
# <details><summary>Answer</summary>The pixels that the paddle has won and lost make spots
# of both signs, twice as strong as the ball's (the next cell prints them): it covers more
# pixels. One filter cannot tell a ball from a paddle. That is what more filters are for,
# and layers that combine them.</details>

# %% [markdown]
# PyTorch does the same for many states and many filters at once. It gets the pixels as
# numbers from 0 to 1, as a network does, so its sums are 255 times smaller.

# %%
filters = torch.from_numpy(falling).float()[None]
whole = functional.conv2d(states[36:37].float() / 255, filters)[0, 0]
for name, rows in (("field ", whole[38:67]), ("paddle", whole[67:])):
    print(f"state 36, {name}: from {rows.min():+.1f} to {rows.max():+.1f}")

# %% [markdown]
# Here is the strongest answer in the field, along the first sixty decisions.

# %%
maps = functional.conv2d(states[4:64, :, 38:74].float() / 255, filters).flatten(1)
strongest = maps.gather(1, maps.abs().argmax(dim=1, keepdim=True))[:, 0]

# %%
drawing, ax = figure(height=2.6)
ax.bar(np.arange(4, 64), strongest, width=0.8, color=BLUE)
ax.axhline(0, color=GREY, linewidth=1)
ax.set(xlabel="decision", ylabel="strongest answer")
show(drawing, "Bars above zero, below, above, below; half as high at the turns.")

# %% [markdown]
# The sign is the direction: down at first, up from decision 15 on, down from 30 on, up
# from 47 on. Around the turns, at decisions 11 to 14, 28 and 29, 43 to 46, the bars have
# half the height and either sign: there the ball crosses the edge of the field, or flies
# both ways within the four frames. Nobody has trained anything yet; 256 weights were
# written by hand. In DQN such weights are learnt: 32 filters of this size in the first
# layer, 64 in the second, on top of the maps of the first.
#
# ## What is left of a side
#
# A frame has 84 × 84 pixels, the first layer's filter is 8 × 8 and moves by 4. **Before
# you scroll on, write down:** how large is its map? The second layer's is 4 × 4 and moves
# by 2, the third's is 3 × 3 and moves by 1. What is left at the end?

# %% [markdown]
# ### Exercise 5.2 · What is left of a side · ●○○ · 5 minutes
#
# The first place is at pixel 0. Each further one needs `stride` pixels more, as long as
# the filter does not hang over the edge. *Padding* puts zeros around the picture, on both
# ends of each side.


# %%
def conv_size(side: int, kernel: int, stride: int, padding: int = 0) -> int:
    """Places of a filter along one side of a picture.

    Args:
        side: pixels of the picture.
        kernel: pixels of the filter.
        stride: pixels from one place to the next.
        padding: zeros that are put in front of the picture, and as many behind it.
    """
    ### BEGIN SOLUTION
    return (side + 2 * padding - kernel) // stride + 1
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
beside("84, first layer", 20, conv_size, 84, 8, 4)
beside("20, second layer", 9, conv_size, 20, 4, 2)
beside("9, third layer", 7, conv_size, 9, 3, 1)
beside("105 rows, first layer", 25, conv_size, 105, 8, 4)
beside("80 columns, first layer", 19, conv_size, 80, 8, 4)
beside("84 with padding 1", 20, conv_size, 84, 8, 4, 1)
beside("9 with padding 1, third layer", 9, conv_size, 9, 3, 1, 1)
beside("smaller than the filter", 0, conv_size, 7, 8, 4)

# %% [markdown]
# **What you should see:** eight times ✅. 84 → 20 → 9 → 7, and 64 maps of 7 × 7 are
# 3,136 numbers. For frames of 105 × 80 go on by hand: 25 → 11 → 9 rows, 19 → 8 → 6
# columns, and 64 maps of 9 × 6 are 3,456.
#
# <details><summary>Hint 1: the idea</summary>How far can the filter move until it touches
# the far edge? Count the strides that fit into that, and the first place.</details>
# <details><summary>Hint 2: the call</summary><code>//</code> divides and rounds down, for
# negative numbers as well. Padding makes a side longer by twice its width.</details>
# <details><summary>"mine is 20.0, and a layer of 20.0 units makes no
# sense"</summary><code>/</code> gives a float, and PyTorch refuses it:
# <code>nn.Linear(3136.0, 512)</code> ends with "type must be tuple of ints,but got float".
# <code>//</code> of two whole numbers gives a whole number.</details>
#
# **Think:** 84 is a strange number, and 105 × 80 is as good a picture. What does 84 have
# that 105 and 80 lack?
# <details><summary>Answer</summary>It comes out even: (84 − 8) / 4 = 19 and (20 − 4) / 2 =
# 8, without remainder. With a remainder some pixels at the right or lower edge lie under
# no filter. For 105 × 80 a cell below counts them.</details>

# %% [markdown]
# PyTorch agrees. (`trained.convolutions` is the reference's. What stands between its
# convolutions leaves shapes alone; it comes in exercise 5.5.)

# %%
# NBVAL_CHECK_OUTPUT
features = states[:1].float() / 255
for layer in trained.convolutions:
    features = layer(features)
    if isinstance(layer, nn.Conv2d):
        print(tuple(features.shape[1:]))
print(features.flatten(1).shape[1], "numbers")

# %% [markdown]
# The Nature paper's text does not mention padding, and its published code pads the first
# layer by 1. As you have computed, the map is 20 × 20 either way. The two networks have the
# same shapes and as many weights: no printed shape says which of them you have built. This
# course follows the paper, and makes the padding an argument.
#
# What does it cost that the filters do not fill a side exactly? A pixel that has a part in
# the result has a gradient; the others are never seen.

# %%
# NBVAL_CHECK_OUTPUT
for rows, columns in ((84, 84), (105, 80)):
    picture = torch.zeros(1, 4, rows, columns, requires_grad=True)
    out = picture
    for _, kernel, stride in ARCHITECTURES["mnih2015"][0]:
        ones = torch.ones(1, out.shape[1], kernel, kernel)
        out = functional.conv2d(out, ones, stride=stride)
    out.sum().backward()
    touched = picture.grad[0, 0] > 0
    seen = int(touched.any(dim=1).sum()), int(touched.any(dim=0).sum())
    print(f"{rows} × {columns}: {seen[0]} rows and {seen[1]} columns are seen")

# %% [markdown]
# Of 105 × 80, five rows at the bottom and four columns at the right have no part in any
# result. In Breakout there is black and wall; in another game it might be the player.
#
# ## What one number sees (aside)
#
# A number in the first map has seen 8 × 8 pixels. A number in the second has seen 4 × 4
# numbers of the first, each with its own 8 × 8 pixels, 4 apart.

# %% [markdown]
# ### Exercise 5.3 · What one number sees · ●●○ · 12 minutes
#
# Go through the layers and keep two numbers: how many pixels are seen, and how many
# pixels lie between neighbours of the present map.


# %%
def receptive_field(layers: list[tuple[int, int]]) -> int:
    """Pixels along a side that have a part in one number of the last map.

    Args:
        layers: kernel and stride of each convolution, in order.
    """
    # Before the first layer: one pixel is seen, and neighbours are one pixel apart.
    ### BEGIN SOLUTION
    seen, apart = 1, 1
    for kernel, stride in layers:
        seen += (kernel - 1) * apart
        apart *= stride
    return seen
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
nature = [(8, 4), (4, 2), (3, 1)]
beside("no layer", 1, receptive_field, [])
beside("first layer", 8, receptive_field, nature[:1])
beside("second layer", 20, receptive_field, nature[:2])
beside("third layer", 36, receptive_field, nature)
beside("three of 3 × 3, stride 1", 7, receptive_field, 3 * [(3, 1)])

# %% [markdown]
# **What you should see:** five times ✅. Drawn on a frame:

# %%
drawing, ax = figure(4.2, 4.2)
ax.imshow(states[36, 3], cmap="gray", vmin=0, vmax=255)
for side, colour in ((8, figures.SKY), (20, figures.ORANGE), (36, VERMILION)):
    corner = (5.5, 39.5)
    square = figures.Rectangle(corner, side, side, fill=False, ec=colour, lw=2.5)
    ax.add_patch(square)
    ax.text(side + 7, side + 39, f"{side} × {side}", color=colour, va="bottom")
ax.set(xticks=[], yticks=[])
show(drawing, "A Breakout screen with three squares of 8, 20 and 36 pixels on it.")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>A filter of k numbers in a row reaches from
# the first of them over k − 1 distances to the last.</details>
# <details><summary>Hint 2: the call</summary>In a loop over <code>layers</code>: first
# <code>seen</code> grows by (kernel − 1) times the distance, then the distance is
# multiplied by the stride.</details>
# <details><summary>"TypeError: cannot unpack non-iterable int object"</summary>Each layer
# is a pair: <code>for kernel, stride in layers</code>.</details>
# <details><summary>"mine is 29, 53, 69"</summary>The order of the two lines. A layer's own
# stride is the distance behind it, not in front of it.</details>
# <details><summary>"mine is 9, 25, 49"</summary>From the first of k numbers to the last it
# is k − 1 steps, not k.</details>
# <details><summary>"mine is 24 where 36 is expected"</summary>The distance is not the last
# stride alone: the strides of all layers in front are multiplied.</details>
# <details><summary>"mine is 18 and 20 where 20 and 36 are expected"</summary>The rule seen ·
# stride + kernel − stride is right if you begin with the last layer and go
# back.</details>
#
# **Think:** the ball is right under the bricks, the paddle at the bottom, 40 pixels
# apart. Which layer is the first that can compare their places?
# <details><summary>Answer</summary>The first linear layer. No number of the last map sees
# more than 36 pixels in a row. That layer sees all 3,136 numbers at once, and this is one
# reason for what comes next.</details>

# %% [markdown]
# ## Where the weights are
#
# Behind the maps come a linear layer with 512 units and a last one with a unit for each
# action. Two friends find this network too slow. One halves the hidden layer, 512 to 256;
# the other halves the filters of the first convolution, 32 to 16. **Write down:** who saves
# more memory, and who more time?

# %% [markdown]
# ### Exercise 5.4 · Two bills · ●●○ · 10 minutes
#
# A layer has a bill for memory, its *parameters*, and one for time, the multiplications
# with a weight that one state takes. A linear layer is a convolution of maps of 1 × 1.


# %%
def bills(
    channels: int, kernel: int, filters: int, places: tuple[int, int]
) -> tuple[int, int]:
    """Parameters of a layer, and multiplications for one state.

    Args:
        channels: maps that come in.
        kernel: side of a filter; a filter covers all maps that come in.
        filters: maps that go out; each filter has one bias beside its weights.
        places: rows and columns of a map that goes out.
    Returns:
        Weights and biases; weights times the places at which they are used.
    """
    ### BEGIN SOLUTION
    weights = channels * kernel * kernel * filters
    rows, columns = places
    return weights + filters, weights * rows * columns
    ### END SOLUTION


# %%
def whole_bill(first: int, hidden: int) -> tuple[int, int]:
    """Both bills of a network with so many first filters and hidden units."""
    layers = [
        bills(4, 8, first, (20, 20)),
        bills(first, 4, 64, (9, 9)),
        bills(64, 3, 64, (7, 7)),
        bills(3_136, 1, hidden, (1, 1)),
        bills(hidden, 1, 4, (1, 1)),
    ]
    return sum(bill[0] for bill in layers), sum(bill[1] for bill in layers)


# %%
# NBVAL_CHECK_OUTPUT
beside("first convolution", (8_224, 3_276_800), bills, 4, 8, 32, (20, 20))
beside("not square", (36_928, 1_990_656), bills, 64, 3, 64, (9, 6))
beside("the network", (1_686_180, 9_345_024), whole_bill, 32, 512)
beside("256 hidden units", (882_084, 8_541_184), whole_bill, 32, 256)
beside("16 first filters", (1_665_684, 6_379_520), whole_bill, 16, 512)

# %% [markdown]
# **What you should see:** five times ✅. Whoever halves the hidden layer saves nearly half
# of the memory and 9 % of the work; whoever halves the first filters saves 1 % and 32 %.
#
# <details><summary>Hint 1: the idea</summary>A filter is a block: channels × kernel ×
# kernel weights, and a bias. There are as many blocks as maps that go out. Each weight is
# used once at each place.</details>
# <details><summary>Hint 2: the call</summary><code>rows, columns = places</code> takes the
# pair apart. The result is a pair as well: <code>return parameters, work</code>.</details>
# <details><summary>"mine is (8,224; (20; 20; 20; 20; …))"</summary><code>places</code> is a
# pair of numbers, not their product, and Python repeats a pair that is multiplied by a
# whole number.</details>
#
# **Think:** a third friend wants to see more and takes frames of 168 × 168. What becomes of
# both bills? Work it out with `conv_size` and `bills`.
# <details><summary>Answer</summary>168 → 41 → 19 → 17, and 64 maps of 17 × 17 are 18,496
# numbers. The convolutions keep their 77,984 parameters, the hidden layer has 9,470,464
# instead of 1,606,144: 5.7 times as many in all. The work grows from 9.3 to 45.7 million
# multiplications, 4.9 times.</details>

# %% [markdown]
# Prediction, and measurement: what the layers say of themselves, and how long they take
# for 32 states.


# %%
def seconds_by_layer(network, batch: torch.Tensor, turns: int = 8) -> list[float]:
    """The best time of each layer that has weights, with the ReLU behind it."""
    best = [float("inf")] * 5
    for _ in range(turns):
        x, times = batch.float() / 255, []
        for part in (*network.convolutions, nn.Flatten(), *network.head):
            start = time.perf_counter()
            x = part(x)
            taken = time.perf_counter() - start
            if isinstance(part, nn.Conv2d | nn.Linear):
                times.append(taken)
            else:
                times[-1] += taken
        best = [min(pair) for pair in zip(best, times, strict=True)]
    return best


with torch.no_grad():
    seconds = np.array(seconds_by_layer(trained, states[:32]))

# %%
# NBVAL_CHECK_OUTPUT
layers = [m for m in trained.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
parameters = np.array([count_parameters(layer) for layer in layers])
work = np.array([3_276_800, 2_654_208, 1_806_336, 1_605_632, 2_048])
print(parameters, "in all", f"{parameters.sum():,}")
print("in the convolutions:", f"{parameters[:3].sum() / parameters.sum():.1%}")
print("of the multiplications:", f"{work[:3].sum() / work.sum():.1%}")

# %%
drawing, ax = figure(height=2.6)
names = ["convolution 1", "convolution 2", "convolution 3", "hidden", "last"]
colours = [BLUE, figures.SKY, figures.GREEN, figures.ORANGE, VERMILION]
bars = ["time here", "multiplications", "parameters"]
shares = np.array([bill / bill.sum() for bill in (seconds, work, parameters)]).T
left = np.zeros(3)
for name, colour, share in zip(names, colours, shares, strict=True):
    ax.barh(bars, 100 * share, left=left, color=colour, label=name, height=0.6)
    left += 100 * share
ax.set(xlabel="share (%)", xlim=(0, 100))
ax.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.42, 1), columnspacing=1)
show(
    drawing,
    "Three bars. Parameters: nearly all in the hidden layer. Multiplications and time: "
    "mostly in the convolutions.",
)

# %%
print(f"32 states take {1e3 * seconds.sum():.1f} ms; shares in per cent, by layer:")
print("time           ", np.round(100 * seconds / seconds.sum()).astype(int))
print("multiplications", np.round(100 * work / work.sum()).astype(int))

# %% [markdown]
# 95 % of the parameters sit in one layer, and it does 17 % of the multiplications. A
# filter has few weights and uses each of them at dozens or hundreds of places; the hidden
# layer has 1.6 million and uses each once. Time is a third bill, and depends on the machine:
# in one run it followed the multiplications within five per cent, in another one the
# first convolution alone took 60 %. In neither did it follow the parameters.
#
# ## Two networks
#
# The workshop paper of 2013 had a smaller network than the Nature paper of 2015. Both
# stand in the reference as a table: filters, kernel and stride of each convolution, then
# the width of the hidden layer.

# %%
# NBVAL_CHECK_OUTPUT
for name in ("mnih2013", "mnih2015"):
    print(name, ARCHITECTURES[name])

# %% [markdown]
# Drawn by the networks themselves: a black stack goes through, and each layer notes what
# it did and what came out.


# %%
def drawn(network, frame_shape: tuple[int, int]) -> list:
    """The layers of a network for `show_layers`: what is done, what comes out."""
    found = [("", (4, *frame_shape))]

    def note(layer, inputs, out):
        if isinstance(layer, nn.Conv2d):
            rows, columns = layer.kernel_size
            label = f"{rows} × {columns}, stride {layer.stride[0]}"
        else:
            label = "linear"
            if len(found[-1][1]) == 3:
                found.append(("flatten", (layer.in_features,)))
        found.append((label, tuple(out.shape[1:])))

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    network(torch.zeros(1, 4, *frame_shape, dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    return found


# %%
small = reference.QNetwork(4, architecture="mnih2013")
figures.show_layers(
    [("2015", drawn(trained, (84, 84))), ("2013", drawn(small, (84, 84)))],
    alt="Two rows of layers. 2015: 4 × 84 × 84, 32 × 20 × 20, 64 × 9 × 9, 64 × 7 × 7, "
    "3,136, 512, 4. 2013: 4 × 84 × 84, 16 × 20 × 20, 32 × 9 × 9, 2,592, 256, 4.",
)

# %%
# NBVAL_CHECK_OUTPUT
print(f"2013: {count_parameters(small):,} parameters")
print(f"2015: {count_parameters(trained):,}")

# %% [markdown]
# A ReLU stands behind every convolution and behind the hidden layer, and none behind the
# last layer: a Q-value may be negative.
#
# One more decision is in this picture. The action does not go in: all actions come out.
# One pass answers for all of them, and the best is found by comparing (Mnih et al. 2013,
# section 4.1).
#
# ## Bytes in
#
# A memory hands out bytes, 0 to 255, and a network wants numbers of about 1. Somebody has
# to divide. Of the two notebooks that this course grew out of, the first did so inside its
# network (a `Lambda` layer), the second when it drew a batch.

# %%
# NBVAL_CHECK_OUTPUT
batch = states[:32]
network_of_a = reference.QNetwork(4)  # bytes in, the division inside
as_floats = batch.numpy().astype(np.float32) / 255.0  # the second: for each batch
with torch.no_grad():
    inside = network_of_a(batch)
    maps = network_of_a.convolutions(torch.tensor(as_floats))  # past the division
    outside = network_of_a.head(maps.flatten(1))
print("the same Q-values:", torch.allclose(inside, outside, atol=1e-5))
print(f"a batch: {batch.numpy().nbytes:,} bytes, as float32 {as_floats.nbytes:,}")

# %% [markdown]
# The values are the same. The difference is who may forget it. Whoever divides outside
# must do so in the training loop, in the evaluation and in the film, and in none of them
# twice; and four times as many bytes travel to a GPU. Here it happens inside the network,
# once.

# %% [markdown]
# ### Exercise 5.5 · The convolutions · ●●○ · 15 minutes
#
# Build the front of the network, for frames of any size, and tell how many numbers come
# out of it: the linear layer behind it has to know. Behind each convolution stands a
# *ReLU* (`nn.ReLU()`), which turns what is negative into 0.


# %%
def convolutions(
    table: tuple, channels: int, frame_shape: tuple[int, int], padding: int = 0
) -> tuple[nn.Sequential, int]:
    """Convolutions with a ReLU behind each, and how many numbers come out of the last.

    Args:
        table: (filters, kernel, stride) of each convolution.
        channels: frames in a stack.
        frame_shape: height and width, in pixels.
        padding: of the first convolution; the others have none.
    Raises:
        ValueError: if nothing is left of such frames.
    """
    # 1. Layer by layer: what goes in is what came out of the one before.
    # 2. Keep track of height and width. 3. Refuse frames of which nothing is left.
    ### BEGIN SOLUTION
    layers, (height, width) = [], frame_shape
    for filters, kernel, stride in table:
        layers += [nn.Conv2d(channels, filters, kernel, stride, padding), nn.ReLU()]
        height = conv_size(height, kernel, stride, padding)
        width = conv_size(width, kernel, stride, padding)
        channels, padding = filters, 0
    if height < 1 or width < 1:
        raise ValueError(f"frames of {frame_shape} are too small")
    return nn.Sequential(*layers), channels * height * width
    ### END SOLUTION


# %%
def layers_of(name: str) -> str:
    """What stands behind what."""
    front, _ = convolutions(ARCHITECTURES[name][0], 4, (84, 84))
    parts = [part for part in front.modules() if not list(part.children())]
    return " ".join(type(part).__name__ for part in parts)


def numbers_out(name: str, *arguments) -> str:
    """What is promised, and what comes out of two black stacks."""
    front, count = convolutions(ARCHITECTURES[name][0], *arguments)
    out = front(torch.zeros(2, arguments[0], *arguments[1]))
    return f"{count}, {tuple(out.shape)}"


def refused(*arguments) -> str:
    try:
        convolutions(ARCHITECTURES["mnih2015"][0], *arguments)
    except ValueError:
        return "ValueError"
    return "accepted"


# %%
# NBVAL_CHECK_OUTPUT
three = "Conv2d ReLU Conv2d ReLU Conv2d ReLU"
beside("the layers of 2015", three, layers_of, "mnih2015")
beside("2015", "3136, (2, 64, 7, 7)", numbers_out, "mnih2015", 4, (84, 84))
beside("105 × 80", "3456, (2, 64, 9, 6)", numbers_out, "mnih2015", 4, (105, 80))
beside("2013, six frames", "2592, (2, 32, 9, 9)", numbers_out, "mnih2013", 6, (84, 84))
beside("42 × 37, padded", "128, (2, 64, 2, 1)", numbers_out, "mnih2015", 4, (42, 37), 1)
beside("36 × 36", "64, (2, 64, 1, 1)", numbers_out, "mnih2015", 4, (36, 36))
beside("35 rows", "ValueError", refused, 4, (35, 84))
beside("35 columns", "ValueError", refused, 4, (84, 35))

# %% [markdown]
# **What you should see:** eight times ✅. Without the padding 42 × 37 pixels leave maps of
# 1 × 1 instead of 2 × 1.
#
# <details><summary>Hint 1: the idea</summary>A loop over the table with four things that
# change from layer to layer: the channels that come in, height, width, and the padding,
# which is 0 after the first.</details>
# <details><summary>Hint 2: the call</summary><code>nn.Conv2d(channels, filters, kernel,
# stride, padding)</code>. Collect layers in a list; <code>nn.Sequential(*layers)</code>
# runs one after the other.</details>
# <details><summary>"RuntimeError: Given groups=1, weight of size [64, 4, 4, 4], expected
# input[2, 32, 20, 20] to have 4 channels"</summary>The second convolution expects what
# goes into the first. Set <code>channels = filters</code> at the end of each
# turn.</details>
# <details><summary>"RuntimeError: Calculated padded input size per channel: … Kernel size
# can't be greater than actual input size"</summary>PyTorch says so when the first
# picture comes in, and not when the network is made. Compare <code>height</code> and
# <code>width</code> with 1 and raise your own error.</details>
#
# **Think:** you leave out all ReLUs. What is the largest thing that three convolutions in
# a row can do that one cannot?
# <details><summary>Answer</summary>Nothing. Sums of sums are sums: together they are one
# filter of 36 × 36 pixels that moves by 8. A sum can say "this much of it"; it cannot say
# "this, but only where that is missing".</details>

# %% [markdown]
# ### Exercise 5.6 · QNetwork · ●●● · 25 minutes
#
# Put it together. What is asked of your network:

# %%
# NBVAL_CHECK_OUTPUT
print(CONTRACTS["QNetwork"].signature)
print(CONTRACTS["QNetwork"].shapes)

# %% [markdown]
# | argument | what it says |
# | --- | --- |
# | `num_actions` | how many values come out |
# | `frame_shape` | height and width of a frame, in pixels |
# | `stack_frames` | frames in a state, the channels of the first convolution |
# | `architecture` | `"mnih2015"` or `"mnih2013"`; `"channels_trap"` you may refuse |
# | `conv1_padding` | padding of the first convolution; the others have none |
# | `initialisation` | `"pytorch"`: the layers as they are made; `"glorot"`: as Keras does |
#
# - The network is an `nn.Module`. `ValueError` for unknown names, and for frames that are
#   too small.
# - `forward(states)`: `(B, stack_frames, H, W)` uint8 in, left as they are, and divided by
#   255 here; `(B, num_actions)` float32 out. A ReLU behind each layer but the last.
# - How your layers are called, kept and computed is up to you.
# - The training moves your network to `memory_format=torch.channels_last`, which changes
#   where numbers lie and not what they are. `flatten` and `reshape` do not mind.
#
# Keras draws first weights evenly from ±√(6 / (inputs + outputs)) and sets biases to 0
# (Glorot and Bengio 2010). `network.apply(glorot)` calls the next function for each layer.


# %%
def glorot(layer: nn.Module) -> None:
    """Keras's first weights, where a layer has any."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


# %%
class QNetwork(nn.Module):
    """Q-values of stacks of frames; its contract stands above."""

    def __init__(
        self,
        num_actions: int,
        frame_shape: tuple[int, int] = (84, 84),
        stack_frames: int = 4,
        architecture: str = "mnih2015",
        conv1_padding: int = 0,
        initialisation: str = "pytorch",
    ):
        # 1. `super().__init__()`, which every module needs before it gets a layer.
        # 2. Refuse unknown names. 3. Make the layers. 4. Their first weights.
        ### BEGIN SOLUTION
        super().__init__()
        if architecture not in ("mnih2013", "mnih2015"):
            raise ValueError(f"unknown architecture {architecture!r}")
        if initialisation not in ("pytorch", "glorot"):
            raise ValueError(f"unknown initialisation {initialisation!r}")
        table, hidden = ARCHITECTURES[architecture]
        arguments = (table, stack_frames, frame_shape, conv1_padding)
        self.front, numbers = convolutions(*arguments)
        self.hidden = nn.Linear(numbers, hidden)
        self.last = nn.Linear(hidden, num_actions)
        if initialisation == "glorot":
            self.apply(glorot)
        ### END SOLUTION

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        ### BEGIN SOLUTION
        maps = self.front(states / 255)
        return self.last(self.hidden(maps.flatten(1)).relu())
        ### END SOLUTION


# %%
QNetwork = check(QNetwork)

# %% [markdown]
# **What you should see:** a badge that says `passes`. Fresh weights are random, so the
# check writes weights of its own into your network, and compares what comes out.
#
# <details><summary>Hint 1: the idea, layers and ReLUs</summary>Convolutions with a ReLU
# behind each; all their numbers in one row; a linear layer to the hidden width, a ReLU; a
# linear layer to the actions, and nothing behind it. No dropout, no batch normalisation,
# no softmax.</details>
# <details><summary>Hint 2: the calls</summary><code>maps.flatten(1)</code> puts all maps
# of each state into one row and keeps the batch; <code>flatten()</code> joins the states as
# well. <code>nn.Linear(numbers, hidden)</code>. Layers must be attributes of
# <code>self</code>, or in an <code>nn.Sequential</code> or <code>nn.ModuleList</code>: a
# plain list hides them from the optimiser. No <code>torch.no_grad()</code> and no
# <code>.detach()</code> in <code>forward</code>: the training needs the way
# back.</details>
# <details><summary>Hint 3: frames and sizes</summary>All frames of a stack go in, in the
# order in which they come: the first convolution has as many channels as a stack has
# frames. The hidden layer has as many inputs as <code>convolutions</code> says; 3,136 is
# right for 84 × 84 alone.</details>
# <details><summary>Hint 4: bytes</summary><code>states / 255</code> makes float32 numbers
# from 0 to 1 and leaves <code>states</code> alone. <code>states // 255</code> stays whole,
# and so does what is written back into a tensor of bytes. Divide always: states come as
# bytes, and one that has no byte above 1 is dark, not divided already.</details>
# <details><summary>Hint 5: the options</summary>Compare names with those you know, and
# raise <code>ValueError</code> for any other before a layer is made. The padding goes to
# the first convolution only, and into the count of what comes out of it: 42 × 37 pixels
# padded by 1 leave maps of 2 × 1. <code>self.apply(glorot)</code> comes last, when all layers
# are there.</details>
# <details><summary>"AttributeError: cannot assign module before Module.__init__()
# call"</summary><code>super().__init__()</code> comes first.</details>
# <details><summary>"RuntimeError: mat1 and mat2 shapes cannot be multiplied"</summary>The
# hidden layer expects another count than the maps have. If the first number of the message
# is 1, the states of the batch have been joined: <code>flatten(1)</code>, not
# <code>flatten()</code>. Else print both counts.</details>
# <details><summary>"RuntimeError: view size is not compatible with input tensor's size and
# stride"</summary>The training lays networks out with the channels last in memory, which
# is faster, and <code>view</code> cannot join axes then. <code>flatten(1)</code> and
# <code>reshape</code> can.</details>
# <details><summary>"RuntimeError: Input type (unsigned char) and bias type (float) should
# be the same"</summary>The bytes reached the first convolution undivided.</details>
#
# **Think:** your colleague puts a ReLU behind the last layer as well: "rewards in Breakout
# are never negative." Where does that go wrong?
# <details><summary>Answer</summary>Where a ReLU gives 0 it also gives no gradient. An
# action whose value begins, or falls, below 0 stays at 0 for ever, for all states in which
# that holds. On the small game further down such a network hits nothing.</details>
#
# ## Beside ours
#
# The course's solution, and yours once it passes. (The reference in `dqn_ref/network.py` is
# longer: it takes a faster way through the first layer where it computes in 16 bits.)

# %%
compare("QNetwork")

# %% [markdown]
# ## What a fresh network says
#
# From here on everything runs on what `check` returned. Before training, what are the
# Q-values? **Write down a guess**, for the two kinds of first weights.


# %%
def fresh_values(make) -> torch.Tensor:
    """Q-values of fresh networks for every eighth state, `(networks, states, 4)`."""
    found = []
    for seed in range(FRESH):
        torch.manual_seed(seed)
        with torch.no_grad():
            found.append(make()(states[::8]))
    return torch.stack(found)


def scaled(times: float):
    """A network whose first weights are so many times as large."""
    network = reference.QNetwork(4)
    with torch.no_grad():
        network.convolutions[0].weight.mul_(times)
    return network


kinds = {
    "pytorch": fresh_values(lambda: QNetwork(4)),
    "glorot": fresh_values(lambda: QNetwork(4, initialisation="glorot")),
    "pytorch, never divided": fresh_values(lambda: scaled(255)),
    "pytorch, divided twice": fresh_values(lambda: scaled(1 / 255)),
}

# %% [markdown]
# The third and the fourth are the two mistakes of the division. A network whose first
# weights are 255 times as large answers as one that does not divide. On the left each dot
# is the size of a value; on the right it is how far one action's value moves from state to
# state.

# %%
drawing, axes = figure(height=2.8, columns=2, sharey=True)
axes[0].invert_yaxis()
for line, values in enumerate(kinds.values()):
    for ax, dots in zip(axes, (values[:, ::10].abs(), values.std(dim=1)), strict=True):
        spread = np.random.default_rng(0).uniform(-0.3, 0.3, dots.numel())
        ax.semilogx(dots.flatten(), line + spread, ".", markersize=2, color=BLUE)
axes[0].set(yticks=range(4), yticklabels=kinds, xlim=(1e-4, 10))
axes[0].set(xlabel="size of a Q-value")
axes[1].set(xlabel="spread over states")
show(
    drawing,
    "Left, sizes of values: up to 0.1 as PyTorch makes it and divided twice, 0.2 with "
    "Glorot, 2 never divided. Right, spread over states: around 0.0005, 0.007, 0.1 and "
    "0.000003: divided twice stands alone, far to the left.",
)

# %%
for name, values in kinds.items():
    apart = values.std(dim=1).mean()
    print(f"{name:24} size {values.std():.4f}, between states {apart:.6f}")

# %% [markdown]
# In `normal` mode a fresh network says ±0.03 to everything, ±0.05 with Keras's weights.
# A brick is worth 1. And it says nearly the same to every state: from state to state its
# values move by 0.0006. Without the division they are 27 times as large, and learning
# begins with forgetting them. Divided twice they have the usual size, and that is the trap:
# between states they move by 0.000003. All the network can see is black.
#
# ## Does it learn?
#
# The shooting gallery of chapter 04, with your network in it. The rest of the agent is the
# reference's.


# %%
def gallery(network_class) -> float:
    """Hits per game of an agent that has trained for some seconds."""
    settings = {"precision": "fp32", "device": "cpu", "threads": 1}
    recipe = get_recipe(
        "gallery", total_steps=TRAINED, learning_starts=TRAINED // 8, **settings
    )
    parts = build(resolve(recipe), Pieces(QNetwork=network_class))
    training_loop(parts, TRAINED, on_step=lambda parts, rows: None)
    q_values = parts.learner.q_values
    return evaluate_network(recipe, q_values, GAMES, epsilon=0.0, seed=0).mean


print(f"{TRAINED:,} steps: hits in {GAMES * gallery(QNetwork):.0f} of {GAMES} games")

# %% [markdown]
# In `normal` mode it hits in all of them (the few steps of `smoke` teach it little).
# Networks that were broken on purpose, each trained once by `gallery` for the same 8,000
# steps when this chapter was written; a subclass of your network repeats a line in half a
# minute:
#
# | network | hits in 96 games |
# | --- | --- |
# | ReLU behind the last layer | 0 |
# | no ReLU at all | 0 |
# | newest frame only | 0 |
# | softmax behind the last layer | 33 |
# | not divided by 255 | 96 |
# | divided twice | 96 |
#
# The last two lines are a warning. Adam, the optimiser of this recipe, makes steps of one
# size whatever the scale of a gradient is, and a small game forgives the rest. That a
# training works does not prove that the division is right; the check of your network
# does. Another mistake is not forgiven: to divide while learning, and not while playing.

# %%
with torch.no_grad():
    right = trained(states).argmax(dim=1)
    maps = trained.convolutions(states.float())  # never divided
    same = (right == trained.head(maps.flatten(1)).argmax(dim=1)).float().mean()
print(f"trained, then never divided: the same best action in {same:.0%} of states")

# %% [markdown]
# In `normal` mode 37 %, where dice would agree in 25 %.
#
# ## What training makes of filters
#
# The network of the run had weights like yours once. How long ago?

# %%
# NBVAL_CHECK_OUTPUT
about = json.loads((run / "about.json").read_text("utf-8"))
print(f"{about['updates']:,} updates in {about['wall_seconds'] / 60:.0f} minutes")

# %% [markdown]
# Here are six of its 32 first filters, chosen since something can be recognised in them,
# and those of a fresh network with the same numbers: four squares each, one for each frame,
# the newest on the right. Grey is 0, white positive, black negative.

# %%
torch.manual_seed(0)
untrained = reference.QNetwork(4)


def squares(network, number: int) -> list[np.ndarray]:
    """The four squares of a first filter, as pictures."""
    weights = network.convolutions[0].weight[number].detach().numpy()
    scale = np.abs(weights).max()
    return list(np.uint8(127.5 + 127.5 * weights / scale))


shown = (25, 29, 2, 7, 14, 31)
show_grid(
    [squares(trained, n) + squares(untrained, n) for n in shown],
    [f"filter {n}" for n in shown],
    ["trained", "", "", "newest", "fresh", "", "", "newest"],
    alt="Six rows of eight squares. The trained ones have dark bars and blots, most of "
    "them in the newest frame; the fresh ones look like noise.",
    height=0.85,
)

# %% [markdown]
# On the right is noise. On the left are bars and blots, among noise that is left from the
# beginning. In the other 26 filters there is less to see. Two things can be counted. How alike are
# neighbouring weights? And how strong is each frame?

# %%
for name, network in (("trained", trained), ("fresh", untrained)):
    weights = network.convolutions[0].weight.detach()
    pair = torch.stack([weights[..., :-1].flatten(), weights[..., 1:].flatten()])
    strength = weights.std(dim=(0, 2, 3)).numpy().round(3)
    print(f"{name:8} neighbours {torch.corrcoef(pair)[0, 1]:+.2f}, frames {strength}")

# %% [markdown]
# Neighbours in a trained filter are correlated by 0.57, since the things on the screen
# are wider than a pixel. And the newest frame has the largest weights, the others about
# seven tenths of that: it tells where things are, the others how they got there.
#
# ### Maps
#
# What do these filters make of a state? Choose one. (Where no slider is shown, you see
# number 25.) Each network's largest number is white; brightness goes by the root, so that
# small numbers can be seen.


# %%
def first_maps(network, state: torch.Tensor) -> np.ndarray:
    """The 32 maps of the first layer, behind its ReLU: `(32, 20, 20)`."""
    with torch.no_grad():
        return network.convolutions[:2](state[None].float() / 255)[0].numpy()


def as_picture(maps: np.ndarray, number: int) -> np.ndarray:
    """One of the maps as a picture."""
    return np.uint8(255 * np.sqrt(maps[number] / max(maps.max(), 1e-9)))


def filter_and_map(number: int):
    """A filter of both networks, and what it makes of state 36."""
    rows = []
    for network in (trained, untrained):
        maps = first_maps(network, states[36])
        rows.append([*squares(network, number), as_picture(maps, number)])
    titles = ["oldest", "", "", "newest", "map"]
    words = f"Filter {number} of a trained and of a fresh network, with its maps."
    return show_grid(rows, ["trained", "fresh"], titles, words, height=1.5)


slide(filter_and_map, 32, "filter", start=25)

# %% [markdown]
# Eight maps of the trained network above eight of the fresh one:


# %%
def eight_maps(network) -> list[np.ndarray]:
    """Pictures of maps 24 to 31."""
    maps = first_maps(network, states[36])
    return [as_picture(maps, number) for number in range(24, 32)]


show_grid(
    [eight_maps(trained), eight_maps(untrained)],
    ["trained", "fresh"],
    [f"map {n}" for n in range(24, 32)],
    alt="Above, trained: maps that are mostly black; in some of them are edges of the "
    "bricks, in all some specks around the ball. Map 30 has a dark grey field. Below, "
    "fresh: bricks in every map, walls in most, and four maps with a grey field.",
    height=1.05,
)

# %%
for name, network in (("trained", trained), ("fresh", untrained)):
    lit, maps = [], states.float() / 255
    with torch.no_grad():
        for layer in network.convolutions:
            maps = layer(maps)
            if isinstance(layer, nn.ReLU):
                lit.append(f"{(maps > 0).float().mean():.0%}")
    print(f"{name:8} numbers above 0, layer by layer: {', '.join(lit)}")

# %% [markdown]
# In the fresh network half of all numbers and more are above 0, in the trained one 21 % at
# most. A trained filter is silent nearly everywhere and answers to something.
#
# ## Which pixels matter (aside)
#
# A filter is a picture, and it is tempting to read stories into it. Here is a question
# that can be measured. Cover a small square, in all four frames. How much does the best
# Q-value change?

# %% [markdown]
# ### Exercise 5.7 · Cover a square · ●●○ · 20 minutes
#
# Ask about all places at once: one batch, in which each state has another square covered.
# Black is what a screen is made of where there is nothing, so covering with black takes
# something away and puts nothing there.


# %%
def occlusion(q_values, state: torch.Tensor, size: int, stride: int) -> np.ndarray:
    """How far the best Q-value moves when a square of all frames is blackened.

    Args:
        q_values: a network, `(B, C, H, W)` uint8 to `(B, A)`.
        state: `(C, H, W)` uint8. It is not changed.
        size: pixels along a side of the square.
        stride: pixels from one place of the square to the next.
    Returns:
        `(rows, columns)` float, |best value when covered − best value|, for all places
        at which the square lies inside completely.
    """
    # 1. A copy of the state for each place. 2. Blacken. 3. One call. 4. Compare.
    ### BEGIN SOLUTION
    rows, columns = (conv_size(side, size, stride) for side in state.shape[1:])
    covered = state.repeat(rows * columns, 1, 1, 1)
    for place, copy in enumerate(covered):
        y, x = stride * (place // columns), stride * (place % columns)
        copy[:, y : y + size, x : x + size] = 0
    with torch.no_grad():
        best = q_values(torch.cat([state[None], covered])).max(dim=1).values
    return (best[1:] - best[0]).abs().reshape(rows, columns).numpy()
    ### END SOLUTION


# %% [markdown]
# The network of this check can be worked out by hand. It has one weight, so that gradients
# are kept for it as for any network.


# %%
class Sum(nn.Module):
    """Two values: the sum of all pixels, and 12 minus that."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        total = self.weight * states.float().sum(dim=(1, 2, 3))
        return torch.stack([total, 12 - total], dim=1)


def sum_afterwards() -> int:
    state = torch.ones(4, 6, 8, dtype=torch.uint8)
    occlusion(Sum(), state, 2, 2)
    return int(state.sum())


# %%
# NBVAL_CHECK_OUTPUT
one = torch.tensor([[[1, 2, 0, 0], [0, 0, 0, 3], [0, 0, 0, 4]]], dtype=torch.uint8)
beside("2 × 3 places", np.array([[3.0, 2, 3], [0, 0, 1]]), occlusion, Sum(), one, 2, 1)
ones = torch.ones(2, 2, 4, dtype=torch.uint8)
beside("two frames, stride 2", np.array([[8.0, 8]]), occlusion, Sum(), ones, 2, 2)
beside("all is covered", np.array([[4.0]]), occlusion, Sum(), ones[:, :, :2], 2, 1)
beside("the state afterwards", 192, sum_afterwards)

# %% [markdown]
# **What you should see:** four times ✅. In the first line the last square covers 3 and 4:
# the sum falls from 10 to 3, and the best value from 10 to the other action's 9. Then come
# two networks on four states. Each map has a brightness scale of its own.

# %%
chosen, places = (36, 60, 100, 110), (84 - 8) // STRIDE + 1
both = []
for network in (trained, untrained):
    calls = [(network, states[number].clone(), 8, STRIDE) for number in chosen]
    both.append(numbers_of((places, places), occlusion, calls))

# %%
pictures = [[*states[list(chosen), 3].numpy()]]
for row in both:
    pictures.append([np.uint8(255 * found / max(found.max(), 1e-9)) for found in row])
show_grid(
    pictures,
    ["newest frame", "trained", "fresh"],
    [f"state {t}" for t in chosen],
    alt="Four screens; below each a map of changes. Trained: bright at the bricks; a "
    "spot near the ball, bright in states 60 and 110, dim in 36 and 100. Fresh: bright "
    "at the bricks, dim above them, hardly anything at the ball.",
    height=1.9,
)

# %% [markdown]
# The largest change by a square that lies on the bricks, and by one that lies in the open
# field between bricks and paddle; and what the ball is made of.


# %%
def largest(found: np.ndarray, rows: tuple[int, int]) -> float:
    """The largest change by a square between these rows, and between the walls."""
    y, x = (np.arange(count) * STRIDE for count in found.shape)
    inside = (y >= rows[0]) & (y + 8 <= rows[1])
    across = (x >= 4) & (x + 8 <= 80)
    return round(float(found[inside][:, across].max()), 4)


for name, row in zip(("trained", "fresh"), both, strict=True):
    print(f"{name:8} at the bricks:    ", [largest(found, (20, 40)) for found in row])
    print(f"{name:8} in the open field:", [largest(found, (40, 72)) for found in row])
balls = states[list(chosen), 3, 40:72, 8:76].flatten(1)
print("ball: pixels above 0:", (balls > 0).sum(dim=1).tolist(), end=", ")
print("the brightest:", balls.max(dim=1).values.tolist())

# %% [markdown]
# <details><summary>Hint 1: the idea</summary><code>conv_size</code> tells how many places
# there are along each side. Put the state itself in front of the covered ones: then its
# value comes with the same call.</details>
# <details><summary>Hint 2: the call</summary><code>state.repeat(n, 1, 1, 1)</code> makes n
# copies. <code>values.max(dim=1).values</code> is the best value of each state.</details>
# <details><summary>"RuntimeError: Can't call numpy() on Tensor that requires
# grad"</summary>Nothing is learnt here: compute under <code>with
# torch.no_grad():</code>.</details>
# <details><summary>"mine is [[3, 2, 3], [0, 0, 7]]"</summary>You have followed the action
# that was best before. The best action may be another one when something is
# covered.</details>
# <details><summary>"The state afterwards is smaller than 192"</summary>You have blackened
# the state, or views of it: <code>expand</code> shares memory where <code>repeat</code>
# copies.</details>
#
# **Think:** in states 60 and 110 of the trained network the ball is a bright spot, the
# paddle hardly to be seen. May you say: "the network ignores the paddle"?
# <details><summary>Answer</summary>No. The map shows the <i>best</i> value, and that may
# stay as it is while the order of the actions changes: ask for the difference between
# <code>LEFT</code> and <code>RIGHT</code> instead. And a screen without a paddle never
# came up in training. What a network answers to a state that does not exist says little
# about states that do; the same holds for the hole that covering cuts into the
# bricks.</details>

# %% [markdown]
# In `normal` mode: the fresh network answers to the bricks, which are bright and large. In
# the open field there is nothing but the ball, eight to ten pixels of at most 110, and
# covering it moves the value by less than a tenth of what the strongest square at the
# bricks does. In the trained network it is a quarter in states 36 and 100, and more than
# seven tenths in 60 and 110. Nobody told it what a ball is. This is what the map shows, and
# not more: the value depends on these pixels.
#
# ## Values
#
# What are these values? Eight states at once, as eight games side by side would hand them
# over. A row is a state, a column an action.

# %%
eight = states[[12, 24, 36, 48, 60, 72, 84, 96]]
with torch.no_grad():
    values = trained(eight)
print("NOOP  FIRE  RIGHT  LEFT    best")
names = np.array(["NOOP", "FIRE", "RIGHT", "LEFT"])
for row, best in zip(values.tolist(), names[values.argmax(dim=1)], strict=True):
    print("  ".join(f"{value:.2f}" for value in row), "  ", best)

# %%
with torch.no_grad():
    values = trained(states)
gap = values.max(dim=1).values - values.min(dim=1).values
print(f"best value: {values.max(dim=1).values.mean():.2f} on average")
print(f"best minus worst action: median {gap.median():.2f}")

# %% [markdown]
# In `normal` mode the best action is worth about 2.7: bricks that will still be hit in this
# life, the later the less they count. The worst action is worth hardly less, since a
# fifteenth of a second in the wrong direction can be made good. Play depends on
# differences of less than a tenth
# between numbers around 3, and a network that is roughly right about values may still
# choose badly.
#
# `values.argmax(dim=1)` is the whole greedy policy. Chapter 06 is about when not to follow
# it.
#
# ## A trap: which axis is which
#
# The first old notebook wrote its network in Keras. Its first convolution said
# `channels_first`, because the stack comes first; the second and third said nothing, and
# Keras's default is channels last. There was no error message. What did they read?

# %%
# NBVAL_CHECK_OUTPUT
frames_of_a = torch.zeros(1, 4, 105, 80)
written = nn.Conv2d(4, 32, 8, 4)(frames_of_a)
print("layer 1 writes maps, rows, columns:   ", tuple(written.shape[1:]))
print("layer 2 reads rows, columns, channels:", tuple(written.shape[1:]))
read = written.permute(0, 3, 1, 2)  # the same numbers, in PyTorch's order of axes
second = nn.Conv2d(19, 64, 4, 2)(read)
third = nn.Conv2d(64, 64, 3, 1)(second)
print("in PyTorch's order:", *(tuple(t.shape[1:]) for t in (read, second, third)))
print("flattened:", third.flatten(1).shape[1], "instead of 3456")

# %% [markdown]
# The 32 filters have become rows, the 25 rows columns, the 19 columns channels. The same
# numbers, seen by both:

# %%
recipe_a = get_recipe("notebook_a")
dice = np.random.default_rng(0)
states_a = record_states(recipe_a, lambda state: dice.integers(4, size=1), 12)
torch.manual_seed(0)
network_a = reference.QNetwork(
    4, (105, 80), architecture="channels_trap", initialisation="glorot"
)
maps = first_maps(network_a, states_a[-1])
bright = np.uint8(255 * maps / maps.max())
figures.show_frames(
    [states_a[-1, 3].numpy(), bright[18], bright[:, :, 9]],
    ["newest frame", "a map: rows × columns", "read as one: filters × rows"],
    alt="Left: a Breakout screen. Middle: a small map in which bricks and walls can be "
    "recognised. Right: bright dashes at random heights, without any picture.",
    height=3.0,
)

# %% [markdown]
# A convolution lives from neighbours: next to a pixel lies what is next to it on the
# screen. On the right the neighbour of a row is another *filter*. Filters have no order: in
# the network as it was meant, one could shuffle them, together with the weights behind
# them, and no value would change. And each of the 19 columns of the screen is a channel
# with weights of its own, so that what is learnt about a ball in one column says nothing
# about the next.

# %%
# NBVAL_CHECK_OUTPUT
meant = reference.QNetwork(4, (105, 80))
print(f"as meant: {count_parameters(meant):,} parameters")
print(f"as run:   {count_parameters(network_a):,}")

# %% [markdown]
# Twice as many parameters, and still it learns: the notebook was run again for this course,
# with this mistake in it.

# %%
# NBVAL_CHECK_OUTPUT
log = np.genfromtxt(
    run.parent / "notebooks" / "notebook_a" / "episodes.csv", delimiter=",", names=True
)
steps, scores = log["agent_steps"], log["episode_reward"]
print(f"after {steps[-1]:,.0f} steps, mean of 100 games: {scores[-100:].mean():.2f}")

# %% [markdown]
# A network that learns is no proof that it is the network you meant. Printing shapes is
# one: (64, 13, 9) behind the third convolution, where (64, 9, 6) was meant.
#
# The second old notebook had the same problem and solved it: its first layer was a
# `Permute` that put the channels last, where Keras wanted them, and a diagram of the
# network was printed. In PyTorch the order of the axes stays as it is, and the layout in
# memory is a separate matter:

# %%
# NBVAL_CHECK_OUTPUT
torch.manual_seed(0)
network_b = QNetwork(4, initialisation="glorot")
with torch.no_grad():
    plain = network_b(batch)
    permuted = network_b.to(memory_format=torch.channels_last)(batch)
same = torch.allclose(plain, permuted, atol=1e-5)
print("channels last in memory, the same values:", same)

# %%
as_run = drawn(network_a, (105, 80))
as_run.insert(2, ("axes mixed up", (19, 32, 25)))
figures.show_layers(
    [
        ("second old notebook", drawn(network_b, (84, 84))),
        ("first old notebook, as meant", drawn(meant, (105, 80))),
        ("first old notebook, as run", as_run),
    ],
    alt="Three rows of layers. The second notebook: 32 × 20 × 20, 64 × 9 × 9, "
    "64 × 7 × 7, 3,136, 512, 4. The first as meant: 32 × 25 × 19, 64 × 11 × 8, "
    "64 × 9 × 6, 3,456, 512, 4; as run: 32 × 25 × 19, read as 19 × 32 × 25, "
    "64 × 15 × 11, 64 × 13 × 9, 7,488, 512, 4.",
)

# %% [markdown]
# ## Summary
#
# > - A filter is a sum with weights, the same at each place. Over four frames it can see
# >   motion.
# > - A side of n pixels leaves (n + 2·padding − kernel) // stride + 1 places:
# >   84 → 20 → 9 → 7, and 3,136 numbers behind the last map.
# > - 95 % of the 1,686,180 parameters are in one linear layer, 83 % of the work is in the
# >   convolutions.
# > - Bytes go in and are divided by 255 once, inside; nothing stands behind the last layer.
# > - One pass gives the values of all actions. Most differ by less than a tenth.
# > - Print shapes. Axes that are mixed up learn, too, and nobody hears of it.
#
# Which parts of the agent are yours by now:

# %%
progress()

# %% [markdown]
# ## Quiz
#
# 1. Pong has six actions instead of four. How many parameters more does the network have?
# <details><summary>Answer</summary>1,026: two units in the last layer, each with 512
# weights and a bias. Everything in front of it stays as it is.</details>
#
# 2. You shrink frames to 42 × 42 to save time. What becomes of the network?
# <details><summary>Answer</summary>42 → 9 → 3 → 1: 64 numbers come out of the last
# convolution, and the hidden layer shrinks from 1.6 million weights to 32,768. It runs.
# But of the eight to ten pixels of the ball two or three are left.</details>
#
# 3. A network gives the same four values for every state of the game. Name two causes
# that you have met in this chapter, and how to tell them apart.
# <details><summary>Answer</summary>It may be fresh: its values then move by less than a
# thousandth, with PyTorch's first weights. Or its input is divided twice, and it sees
# black. Print the largest number that goes into the first convolution: it must be 1 for a
# white pixel.</details>
#
# 4. Why does nobody feed the action to the network, together with the state, and ask for
# one value?
# <details><summary>Answer</summary>It would work. To find the best action it would have to
# be asked once for each action, four passes instead of one, for acting and for each target
# alike.</details>
#
# The network says what each action is worth, and at first it knows nothing. If it always
# took the action that it thinks best, it would never see another. How often to try
# something else, and when to stop: chapter 06.
