# %% [markdown]
# # 02 · Preprocessing
#
# A screen of Breakout has 100,800 bytes. The network will get 7,056 of them, one in
# fourteen. In this chapter you choose which: you throw away colour and pixels, find out
# what is lost with them, and make sure that the ball is not lost. Sections marked
# (aside) can wait for another evening; they take 35 minutes more.
#
# **Goals**: turn colour into grey, and know which colours become one · see a game
# that hides half of its things in every frame, and cure it · say what a resize filter
# does to a ball of eight pixels, before you measure it · write the frame pipeline of
# the Nature paper, with both old notebooks' pipelines as settings of it.
#
# **Prerequisites**: chapter 00 (screens and the loop). NumPy's slices and broadcasting.
#
# **Minutes**: 70

# %%
import math
import textwrap
import timeit

import ale_py
import cv2
import gymnasium as gym
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from PIL import Image

from dqn_ref.course import begin, check, compare, progress
from dqn_ref.course.figures import (
    BLUE,
    GREEN,
    VERMILION,
    figure,
    show,
    show_frames,
    show_tiles,
)
from dqn_ref.course.widgets import panel

# %%
MODE = begin("02").mode
DECISIONS = {"smoke": 60, "normal": 300, "full": 1_000}[MODE]  # beside ALE's pipeline
REPEATS = {"smoke": 20, "normal": 300, "full": 1_000}[MODE]  # of what is timed

# %% [markdown]
# ## What can be thrown away?
#
# You need screens, and this time every frame of the game, sixty a second: `frameskip=1`.
# Dice choose a new action every fourth frame. They are seeded, so your frames have the same
# numbers as the ones in this text.

# %%
ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # no banner
gym.register_envs(ale_py)


def make_game(game: str) -> gym.Env:
    rules = {"frameskip": 1, "repeat_action_probability": 0}
    return gym.make(f"ALE/{game}-v5", disable_env_checker=True, **rules)


def every_frame(game: str, count: int) -> np.ndarray:
    """The first frames of a game played by dice, `(count, 210, 160, 3)` uint8."""
    env, rng = make_game(game), np.random.default_rng(0)
    frames = [env.reset(seed=0)[0]]
    while len(frames) < count:
        if len(frames) % 4 == 1:
            action = int(rng.integers(env.action_space.n))
        frames.append(env.step(action)[0])
    env.close()
    return np.array(frames)


# %%
breakout = every_frame("Breakout", 720)
frame = breakout[690]
show_frames(
    [frame],
    ["frame 690"],
    alt="Breakout in colour: six rows of bricks, a small red ball low on the left, the "
    "red paddle just below it to the right.",
)

# %%
# NBVAL_CHECK_OUTPUT
colours, pixels = np.unique(frame.reshape(-1, 3), axis=0, return_counts=True)
print(f"{frame.nbytes:,} bytes, {len(colours)} colours")
print("black:", f"{pixels[0]:,} of {pixels.sum():,} pixels")
print("ball: ", np.any(frame[93:189, 8:152], axis=2).sum(), "pixels")

# %% [markdown]
# 33,600 pixels of three bytes each, for a picture of nine colours that is black for
# two thirds. Between bricks and paddle the field is empty, so what is lit there (rows 93
# to 188, columns 8 to 151) is the ball: eight pixels, four rows of two. Follow these
# eight through the whole chapter. They are what the agent has to hit.
#
# Two things can go, colour and pixels. And one thing that you have not seen yet has to
# be put in: a frame is not always whole.

# %% [markdown]
# ## From three numbers to one
#
# A grey pixel needs one byte. Which one? Before you choose, look at the six rows of
# bricks above and **write down a guess**: which two neighbouring rows will be
# hardest to tell apart in grey?
#
# The Nature paper takes the *luminance* (Mnih et al. 2015, Methods): how bright a colour
# seems to the eye, which sees green best and blue worst. Televisions use these weights
# (ITU-R BT.601):
#
# > luminance = 0.299 red + 0.587 green + 0.114 blue

# %% [markdown]
# ### Exercise 2.1 · Luminance · ●○○ · 15 minutes
#
# One number per pixel, rounded to the nearest whole one. The formula is the easy part; a
# byte is what goes wrong. At the end of this chapter your greys are held against the
# emulator's own, and one level too few is one too few.


# %%
def luminance(rgb: np.ndarray) -> np.ndarray:
    """Brightness of a colour picture: 0.299 R + 0.587 G + 0.114 B, rounded.

    Args:
        rgb: `(H, W, 3)` uint8; it is not changed.
    Returns:
        `(H, W)` uint8.
    Raises:
        ValueError: if the picture is not `(H, W, 3)` uint8.
    Source: Mnih et al. 2015, Methods, "Preprocessing" (the Y channel); weights of
        ITU-R BT.601.
    """
    # 1. Refuse anything that is not such a picture.
    # 2. Weigh and add the three colours of each pixel.
    # 3. Round to the nearest whole number, then make bytes of them.
    ### BEGIN SOLUTION
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"not an (H, W, 3) uint8 picture: {rgb.shape} {rgb.dtype}")
    return np.rint(rgb @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    ### END SOLUTION


# %%
luminance = check(luminance)

# %% [markdown]
# **What you should see:** a badge that says `passes`, and the grey levels of the six
# rows from top to bottom, 110 129 131 148 124 85, from your function or, until it
# passes, from the reference's.

# %%
# NBVAL_CHECK_OUTPUT
bricks = breakout[0][60:96:6, 100:101]  # one pixel of each row of bricks
print("colours  ", *(tuple(colour.tolist()) for colour in bricks[:, 0]))
print("luminance", *luminance(bricks)[:, 0])
print("mean     ", *(bricks.sum(axis=2) // 3)[:, 0])

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>Each colour has its own weight, and the three
# weights add up to 1, so a pixel that is grey already keeps its number. Add first, in
# numbers with a fraction; round once, to the nearest; then make bytes. That is a new
# array: the picture stays as it is.</details>
# <details><summary>Hint 2: the call</summary><code>rgb @ weights</code> multiplies the last
# axis by three weights and adds, in floats. <code>np.rint</code> rounds to the nearest;
# <code>.astype(np.uint8)</code> alone cuts the fraction off, <code>np.ceil</code> rounds
# up. Or let <code>cv2.cvtColor</code> do it all, with a picture that it is told to be RGB
# and not BGR.</details>
# <details><summary>Hint 3: what is refused</summary><code>rgb.ndim</code>,
# <code>rgb.shape[2]</code> and <code>rgb.dtype</code>, before any arithmetic. A grey
# picture has no third axis; floats between 0 and 1 would come out black.</details>
# <details><summary>"OverflowError: Python integer 299 out of bounds for uint8"</summary>
# <code>299 * rgb[..., 0]</code> is to be a byte, since the picture is of bytes, and a byte
# ends at 255. Weights with a fraction make floats; or widen the picture
# first, <code>rgb.astype(int)</code>.</details>
# <details><summary>"ValueError: matmul: Input operand 1 has a mismatch"</summary>
# The weights meet the last axis of what stands on their left. If that is not the three
# colours, the picture came in another shape than the stub says.</details>
# <details><summary>"IndexError: tuple index out of range"</summary>You asked a grey
# picture for its third axis. Ask for <code>rgb.ndim</code> first; <code>or</code> stops at
# the first thing that is true.</details>
#
# **Think:** the second and the third row come out as 129 and 131. A brick of the second
# row is worth seven points and one of the third only four. Has the agent lost
# something that it needs?
# <details><summary>Answer</summary>Not here: the rows never change places, so the height of
# a brick says all that its colour said. In a game in which the same thing comes in two
# colours, one to be caught and one to be avoided, it would have.</details>
#
# ### The plain mean
#
# The first of the two notebooks that this course grew out of took the mean of the three
# colours. In the last line above you see what that does: all six rows lie between 101
# and 122, where luminance spreads them from 85 to 148. Who takes the mean has to add
# first, and this is where a byte goes wrong.

# %%
# NBVAL_CHECK_OUTPUT
red, green, blue = breakout[0][60, 100]
print("sum of", red, green, blue, "in Python:", int(red) + int(green) + int(blue))
r, g, b = np.moveaxis(breakout[0], 2, 0)
wrapped = (r + g + b) // 3
print("and in bytes:", (r + g + b)[60, 100], "which makes a mean of", wrapped[60, 100])

# %% [markdown]
# A byte ends at 255 and begins again at 0: 344 becomes 344 − 256 = 88. NumPy warns about
# this for single numbers, and not for arrays. Here is the wall, four times.

# %%
mean = (breakout[0].sum(axis=2) // 3).astype(np.uint8)
four = [breakout[0], luminance(breakout[0]), mean, wrapped]
show_frames(
    [picture[50:100] for picture in four],
    ["colour", "luminance", "mean", "a sum in bytes"],
    alt="The six rows of bricks in colour; in six greys; in six greys that differ "
    "little; and almost black, with side walls that are dark as well.",
    height=1.2,
)

# %% [markdown]
# Here is the answer to your guess: in luminance you can hardly tell the second row from
# the third, 129 from 131. In the last picture bricks and walls are dark because their sums
# have passed 255. Nothing raised an error, and an agent would train on it for a night.
#
# ### Two colours, one grey (aside)
#
# Luminance loses something as well: 256 greys cannot hold all colours, so some share a
# grey. This happens in real games. In Up'n Down a car drives on a road:

# %%
up_n_down = every_frame("UpNDown", 162)
road = up_n_down[150]
pictures = [road, luminance(road), (road.sum(axis=2) // 3).astype(np.uint8)]
show_frames(
    [picture[160:195, 15:75] for picture in pictures],
    ["colour", "luminance", "mean"],
    alt="A part of Up'n Down. In colour a grey ramp leads over three dark stripes, "
    "two of one green; in luminance it is gone in those two; in the mean it is whole.",
    height=1.7,
)

# %%
# NBVAL_CHECK_OUTPUT
ramp, stripe = road[190, 40], road[175, 90]
print("ramp:  ", ramp, luminance(ramp[None, None]).item())
print("stripe:", stripe, luminance(stripe[None, None]).item())

# %% [markdown]
# In the grey of luminance the ramp breaks off: its grey and the green of two stripes that
# it crosses are both 74. The mean tells these two apart, and confuses others. A network
# that gets the three colours would not have this problem, and would need three times the
# memory. All agents of this course live with grey, and so did Nature's.
#
# ## A frame is not always whole
#
# The next game is Asteroids: a ship among rocks that break when they are shot. Four
# frames in a row, a fifteenth of a second:

# %%
asteroids = every_frame("Asteroids", 500)
show_frames(
    asteroids[68:72],
    [f"frame {number}" for number in range(68, 72)],
    alt="Four screens of Asteroids. In frames 68 and 70 there is a small ship and "
    "nothing else, in frames 69 and 71 three rocks and no ship.",
    height=2.6,
)

# %% [markdown]
# Frames 68 and 70 have a ship and no rocks, frames 69 and 71 rocks and no ship. Nothing is
# wrong with the emulator: that is the game. The console can draw only a few things in one
# line of the screen, so the game draws one half of them in even frames and the other half
# in odd ones. On a television your eye mends it.
#
# Count the lit pixels below the score, in twelve frames:

# %%
# NBVAL_CHECK_OUTPUT
lit = np.any(asteroids[:, 20:], axis=3).sum(axis=(1, 2))
print("frames 60 to 71:", lit[60:72])

# %% [markdown]
# An agent acts on every fourth frame: 4, 8, 12 and so on. **Write down** how many lit pixels
# it sees at most, in the 124 frames that it looks at in eight seconds.

# %%
# NBVAL_CHECK_OUTPUT
print(len(lit[4::4]), "frames")
print("most that an agent sees on frames 4, 8, 12 … 496:", lit[4::4].max())

# %% [markdown]
# It never sees a rock. None of its frames has more than 28 lit pixels, which are the
# ship's. The rocks, 1,248 pixels of them at first, are always in the frames between.
#
# The cure of the Nature paper is one line of arithmetic: take, pixel by pixel, the larger
# of the last two frames.

# %% [markdown]
# ### Exercise 2.2 · Bring the rocks back · ●○○ · 5 minutes
#
# Write the line, and one before it, for frames that do not fit.


# %%
def max_over_frames(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Pixel-wise maximum of two consecutive frames; brings back sprites that flicker.

    Args:
        previous, current: uint8 arrays of one shape, as the emulator returns them, in
            colour or grey; they are not changed.
    Returns:
        uint8 array of that shape.
    Raises:
        ValueError: if the shapes differ.
    Source: Mnih et al. 2015, Methods, "Preprocessing".
    """
    # 1. Refuse frames of different shapes.
    # 2. Take the larger value at each pixel.
    ### BEGIN SOLUTION
    if previous.shape != current.shape:
        raise ValueError(f"shapes differ: {previous.shape} and {current.shape}")
    return np.maximum(previous, current)
    ### END SOLUTION


# %%
max_over_frames = check(max_over_frames)

# %% [markdown]
# **What you should see:** three rocks and a ship, in every picture. On the right is
# the mean of frames 70 and 71, for comparison.

# %%
cured = [max_over_frames(*asteroids[n - 1 : n + 1]) for n in (69, 70, 71)]
halved = asteroids[70:72].mean(axis=0).astype(np.uint8)
show_frames(
    [*cured, halved],
    ["68 and 69", "69 and 70", "70 and 71", "mean of 70 and 71"],
    alt="Three screens with three rocks and a ship each, and a fourth that has them "
    "all at half the brightness.",
    height=2.6,
)

# %%
# NBVAL_CHECK_OUTPUT
print("brightest pixel, maximum:", luminance(cured[-1]).max())
print("brightest pixel, mean:   ", luminance(halved).max())
pairs = [max_over_frames(*asteroids[n - 1 : n + 1]) for n in range(4, 500, 4)]
seen = np.any(np.array(pairs)[:, 20:], axis=3).sum(axis=(1, 2))
print("least that an agent sees now:", seen.min(), "lit pixels")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>Which of two numbers do you want at a pixel,
# if a thing is brighter than the ground that it stands on, and is drawn in one of the two
# frames only? Ask that for red, green and blue, each for itself: the larger red may be in
# one frame and the larger blue in the other. The answer is a new array: the frames may still
# be needed.</details>
# <details><summary>Hint 2: the call</summary><code>np.maximum</code> compares two arrays
# element by element. <code>np.max</code> is for one array, and its second argument is
# an axis.</details>
# <details><summary>Hint 3: what is refused</summary>NumPy stretches arrays that nearly fit,
# a single row to a whole frame. Compare the shapes before the pixels.</details>
# <details><summary>"ValueError: The truth value of an array with more than one element is
# ambiguous"</summary>Python's <code>max</code> asks whether one array is larger than the
# other, a question with 100,800 answers.</details>
# <details><summary>"TypeError: only integer scalar arrays can be converted"</summary>
# <code>np.max(previous, current)</code> takes the second frame for the number of an
# axis.</details>
#
# **Think:** each decision has four frames. Why the maximum of two of them and not of
# all four? Think of the ball of Breakout.
# <details><summary>Answer</summary>The ball moves on while you look. The maximum of two
# frames shows it in two places, that of four in four: a smear, with the ball somewhere in
# it. Two are enough for things that are drawn in every second frame.</details>
#
# ### What the maximum costs (aside)
#
# It works because things are brighter than the ground. Up'n Down draws its cars in black
# and one more colour, on a ground that is brighter than black; and when cars are close,
# they flicker, too.

# %%
both = up_n_down[158:160]
show_frames(
    [picture[90:140, 30:110] for picture in (*both, max_over_frames(*both))],
    ["frame 158", "frame 159", "the maximum"],
    alt="A black and red car in one frame; a black and blue car and the first one's "
    "wheels in the next; in the maximum both colours are there and most black is gone.",
    height=2.2,
)

# %%
# NBVAL_CHECK_OUTPUT
three = [luminance(picture) for picture in (*both, max_over_frames(*both))]
print("black pixels:", *((grey[100:130, 45:85] < 20).sum() for grey in three))

# %% [markdown]
# 134 black pixels in one frame, 100 in the other, 61 in the maximum: the ground wins
# wherever one of the frames shows it. The minimum would keep the black here, and break
# Asteroids. No line of arithmetic is right for all games.
#
# For Breakout it makes little difference: its ball does not flicker. You keep it because
# the same agent shall play other games.
#
# ## Fewer pixels
#
# From 210 × 160 to 84 × 84. Each new pixel stands for 2.5 old rows and 1.9 old columns, and
# somebody has to decide what becomes of the halves. That is what a *filter* does.
#
# | method | a new pixel is | in which library |
# | --- | --- | --- |
# | `nearest` | one old pixel | OpenCV, `INTER_NEAREST` |
# | `bilinear` | a mixture of the 2 × 2 nearest | OpenCV, `INTER_LINEAR` |
# | `bicubic` | a mixture of the 4 × 4 nearest, some with negative weights | OpenCV, `INTER_CUBIC` |
# | `area` | the mean of the area that it covers | OpenCV, `INTER_AREA` |
# | `pil_nearest` | one old pixel | Pillow, `NEAREST` |
# | `pil_bilinear` | like `bilinear`, in a wider window | Pillow, `BILINEAR` |
# | `pil_bicubic` | like `bicubic`, in a wider window | Pillow, `BICUBIC` |
# | `stride` | one old pixel, the first of every n | a slice, `[::n, ::m]` |
#
# A negative weight subtracts: beside something bright the result becomes darker than
# anything that was there, which makes edges look sharp.
#
# The same word means different things in two libraries. Who shrinks to a third with Pillow
# gets a window three times as wide, and OpenCV's stays as it is. Even `nearest` differs:
# OpenCV takes the old pixel at the upper left corner of the new one, Pillow the one at its
# centre.

# %% [markdown]
# ### Exercise 2.3 · Eight ways to shrink · ●●○ · 15 minutes
#
# No filter is to be written here: the libraries have them, and a name chooses. Mind in
# which order they want height and width.
#
# A stride has a step of its own for rows and for columns: the old size divided by the wanted
# one, rounded up. Of 37 rows every second one leaves 19. Most sizes cannot be had by
# striding, and then it is refused.


# %%
def resize(
    image: np.ndarray, height: int, width: int, method: str = "area"
) -> np.ndarray:
    """Resize a picture by one of the eight methods above.

    Args:
        image: `(H, W)` or `(H, W, 3)` uint8; it is not changed.
        height, width: of the result, in pixels.
        method: its name in the table.
    Returns:
        `(height, width)` or `(height, width, 3)` uint8, an array of its own.
    Raises:
        ValueError: for an unknown method, or sizes that no stride leads to.
    """
    # 1. OpenCV's four. 2. Pillow's three.
    # 3. Every n-th row and m-th column, from the first. Are there as many as wanted?
    ### BEGIN SOLUTION
    opencv = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR}
    opencv |= {"nearest": cv2.INTER_NEAREST, "bicubic": cv2.INTER_CUBIC}
    if method in opencv:
        return cv2.resize(image, (width, height), interpolation=opencv[method])
    if method in ("pil_nearest", "pil_bilinear", "pil_bicubic"):
        filter = Image.Resampling[method.removeprefix("pil_").upper()]
        return np.array(Image.fromarray(image).resize((width, height), filter))
    if method != "stride":
        raise ValueError(f"unknown method {method!r}")
    n, m = math.ceil(image.shape[0] / height), math.ceil(image.shape[1] / width)
    kept = image[::n, ::m].copy()
    if kept.shape[:2] != (height, width):
        raise ValueError(f"no stride makes {height} x {width} of {image.shape[:2]}")
    return kept
    ### END SOLUTION


# %%
resize = check(resize)

# %% [markdown]
# **What you should see:** `passes`, and eight small versions of the corner with ball and
# paddle, all different. (The stride makes 105 × 80 pixels, the others 84 × 84.) Look at the
# paddle, too: `nearest` makes it two rows high, `pil_nearest` one, and `area` three, a dim
# one, a full one and a faint one.

# %%
METHODS = "nearest bilinear bicubic area pil_nearest pil_bilinear pil_bicubic stride"
METHODS = METHODS.split()


def shrunk(picture: np.ndarray, method: str, size: int = 84) -> np.ndarray:
    height, width = (105, 80) if method == "stride" else (size, size)
    return resize(picture, height, width, method)


def corner(picture: np.ndarray) -> np.ndarray:
    """Rows 168 to 200 of 210, columns 0 to 64 of 160, or what has become of them."""
    height, width = picture.shape[:2]
    return picture[round(0.8 * height) : round(0.952 * height), : round(0.4 * width)]


grey = luminance(frame)
show_tiles(
    [corner(grey), *(corner(shrunk(grey, method)) for method in METHODS)],
    ["210 × 160", *METHODS],
    columns=3,
    alt="Nine pictures of the wall, the ball and the paddle. The ball is a sharp "
    "bright bar after nearest, pil_nearest and stride, soft after the others.",
    height=1.25,
)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>Three families, three branches. Within a
# family a name chooses the filter: a dictionary, or <code>if</code>s. There is nothing to
# compute by hand.</details>
# <details><summary>Hint 2: the call</summary><code>cv2.resize(image, (width, height),
# interpolation=cv2.INTER_AREA)</code> and <code>Image.fromarray(image).resize((width,
# height), Image.Resampling.BILINEAR)</code>: both want the width first.
# <code>np.array</code> makes an array of Pillow's picture.</details>
# <details><summary>Hint 3: the stride</summary><code>math.ceil(old / wanted)</code> for
# rows and for columns, and a slice with these two steps. Do not cut what comes out: compare
# its height and width (a picture in colour has a third number in its shape) with what was
# wanted, and refuse what is not that size. A slice is a window on the frame:
# <code>.copy()</code> makes it an array of its own.</details>
# <details><summary>Hint 4: what is refused</summary>A name that is not in the table, and a
# stride that does not lead to the wanted size, as to 84 × 84 from 210 × 160. A picture that
# has its size already is no error: it comes back as a copy.</details>
# <details><summary>"AttributeError: 'numpy.ndarray' object has no attribute
# 'resize'"</summary>Pillow's filters belong to Pillow's pictures.
# <code>Image.fromarray(image)</code> makes one.</details>
# <details><summary>"cv2.error: … Overload resolution failed"</summary>OpenCV wants the
# size as one pair of ints, <code>(width, height)</code>, and the filter by
# name: <code>interpolation=…</code>.</details>
#
# **Think:** the ball is two columns wide, and `stride` keeps every second column. Can it
# lose the ball? Could it lose something else?
# <details><summary>Answer</summary>Of two neighbouring columns one is always even, so the
# ball keeps one column, and two of its four rows. A thing that is one column wide and
# stands on an odd column is gone, for as long as it stands there. You will meet one in a
# few minutes.</details>
#
# ## Which filter loses the ball?
#
# One frame is an anecdote; there are 720. Let the ball be what is there with the ball and
# not there without it: black out the field between bricks and paddle, shrink both
# pictures, and look at what differs.


# %%
def without_ball(grey: np.ndarray) -> np.ndarray:
    emptied = grey.copy()
    emptied[93:189, 8:152] = 0
    return emptied


greys = np.array([luminance(picture) for picture in breakout])
field = greys[:, 93:189, 8:152] > 0
balls = np.flatnonzero(field.sum(axis=(1, 2)) == 8)  # the ball is whole, in the field
print(len(balls), "of", len(greys), "frames")

# %% [markdown]
# 504 frames have the whole ball in the empty field. **Write down** which of the eight
# methods will lose it, and in how many of the 504. Then measure, with a function
# of your own.

# %% [markdown]
# ### Exercise 2.4 · What differs · ●○○ · 5 minutes
#
# By how much do two pictures differ at most? It does not matter which one is brighter.


# %%
def largest_difference(one: np.ndarray, other: np.ndarray) -> int:
    """The largest difference of two pixels in the same place.

    Args:
        one, other: uint8 of one shape.
    """
    # 1. Differences of all pixels. They may be negative, and as large as 255.
    # 2. The largest, without its sign.
    ### BEGIN SOLUTION
    return int(np.abs(one.astype(int) - other).max())
    ### END SOLUTION


# %% [markdown]
# This exercise and the next are parts of a measurement and no pieces of the agent. In place
# of a check, the following function prints what is expected beside what yours gives.


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
    answer = textwrap.shorten(str(answer), 100, placeholder=" …")
    print(f"{mark} {question}: expected {expected}, yours: {answer}")


# %%
# NBVAL_CHECK_OUTPUT
black, ball = np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.uint8)
ball[0, 1] = 110
beside("a ball and none", 110, largest_difference, ball, black)
beside("none and a ball", 110, largest_difference, black, ball)
beside("black and white", 255, largest_difference, black, black + np.uint8(255))
beside("twice the same", 0, largest_difference, ball, ball)
beside("all a little brighter", 12, largest_difference, ball + np.uint8(12), ball)
beside("a ball that moved down", 110, largest_difference, ball, ball[::-1])

# %% [markdown]
# **What you should see:** six times ✅. A subtraction of bytes gets three of them wrong, and
# says 146 or 1.
#
# <details><summary>Hint 1: the idea</summary>Bytes have no minus: 0 − 110 begins again at 256
# and is 146. Take the differences, pixel by pixel, in a type that has a minus.</details>
# <details><summary>Hint 2: the call</summary><code>one.astype(int) - other</code> is
# signed, <code>np.abs</code> drops the sign, <code>.max()</code> is the
# largest.</details>
# <details><summary>"none and a ball: expected 110, yours: 146"</summary>You subtracted bytes,
# and <code>np.abs</code> came too late: the minus was gone by then.</details>
# <details><summary>"a ball that moved down: expected 110, yours: 0"</summary>The brightest
# pixels of both pictures are equal. They are not in the same place.</details>
#
# **Think:** `cv2.absdiff(one, other).max()` gives the same, from bytes, without
# another type. How can it, if bytes have no minus?
# <details><summary>Answer</summary>It takes the smaller from the larger, pixel by pixel, so
# that no difference is ever negative. In NumPy that is <code>np.maximum(one, other) -
# np.minimum(one, other)</code>.</details>
#
# OpenCV has the function ready, as `cv2.absdiff`, and the notebook goes on with that.


# %%
def ball_after(method: str, size: int = 84) -> tuple[np.ndarray, np.ndarray]:
    """What is left of the ball in each frame: its brightest pixel, and its pixels."""
    brightest, count = [], []
    for grey in greys[balls]:
        there, gone = (shrunk(g, method, size) for g in (grey, without_ball(grey)))
        ball = cv2.absdiff(there, gone)
        brightest.append(ball.max())
        count.append(np.count_nonzero(ball))
    return np.array(brightest), np.array(count)


# %%
# NBVAL_CHECK_OUTPUT
print("method        lost   brightest pixel   pixels")
for method in METHODS:
    ball, count = ball_after(method)
    print(
        f"{method:12} {(ball == 0).sum():5}   {ball.min():3} to {ball.max():3}"
        f"        {count.min()} to {count.max()}"
    )

# %% [markdown]
# If you guessed `nearest`, look again: none of the eight loses the ball in any of the
# 504 frames. A ball of four rows and two columns is larger than the gaps. But look at what
# they make of it.
#
# - `nearest` keeps it at 110, its full brightness, and gives it one pixel, or two, or four.
#   As the ball flies, it twinkles.
# - `area` spreads it over four to nine pixels, the brightest of which has 46 to 110.
# - `bicubic` makes a pixel of 144 from a ball of 110: the negative weights overshoot.
# - `pil_bilinear` never shows more than 82, since it mixes in pixels from further away.
#
# The overshoot has a sequel at the dark end. OpenCV computes bicubic values below 0 and
# cuts them off when the picture is of bytes. Who converts to float first, and back to bytes
# at the end, has to cut them off as well, or black turns into almost white:

# %%
# NBVAL_CHECK_OUTPUT
floats = cv2.resize(grey.astype(float), (84, 84), interpolation=cv2.INTER_CUBIC)
print(f"smallest value {floats.min():.0f}, {(floats < -0.5).sum()} pixels below 0")
careless = np.rint(floats).astype(int).astype(np.uint8)
wrong = cv2.absdiff(careless, resize(grey, 84, 84, "bicubic"))
print("pixels that are wrong by more than 200 levels:", (wrong > 200).sum())

# %% [markdown]
# ### Where does 46 come from? (aside)
#
# A number like the 46 of `area` should not be taken on trust. It can be worked out without
# a single frame, and with it you know what this filter does to any thing in any game.

# %% [markdown]
# ### Exercise 2.5 · Areas by hand · ●●○ · 15 minutes
#
# Put `wanted` equal pixels over a line of `size` equal pixels. How much of each new pixel
# does each old one cover? For 5 old and 2 new pixels, a new one is 2.5 old ones wide:
#
# ```text
#     old       0     1     2     3     4
#            |-----|-----|-----|-----|-----|
#     new    |--------------|--------------|
#                   0              1
# ```
#
# Old pixels 0 and 1 cover 1 / 2.5 = 0.4 of the new pixel 0 each, old pixel 2 covers 0.2.


# %%
def overlap(size: int, wanted: int) -> np.ndarray:
    """How much of each new pixel each old pixel covers, on a line.

    Returns:
        `(wanted, size)` float; row i is about new pixel i, and adds up to 1.
    """
    # 1. Where does new pixel i begin and end, counted in old pixels?
    # 2. Old pixel j goes from j to j + 1. What do the two have in common, if anything?
    # 3. That, as a part of the new pixel.
    ### BEGIN SOLUTION
    scale = size / wanted
    old, new = np.arange(size)[None, :], scale * np.arange(wanted)[:, None]
    common = np.minimum(old + 1, new + scale) - np.maximum(old, new)
    return common.clip(min=0) / scale
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
def rounded(size, wanted):
    return np.round(overlap(size, wanted), 3).tolist()


def by_hand():
    averaged = overlap(210, 84) @ grey @ overlap(160, 84).T
    return int(np.abs(averaged - resize(grey, 84, 84, "area")).max().round())


def least_covered():
    rows, columns = overlap(210, 84), overlap(160, 84)
    covered = min(rows[:, r : r + 4].sum(axis=1).max() for r in range(93, 186))
    across = min(columns[:, c : c + 2].sum(axis=1).max() for c in range(8, 151))
    return [round(float(covered), 3), round(float(across), 3)]


beside("4 to 2", [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]], rounded, 4, 2)
beside("5 to 2", [[0.4, 0.4, 0.2, 0, 0], [0, 0, 0.2, 0.4, 0.4]], rounded, 5, 2)
beside("3 to 2", [[0.667, 0.333, 0], [0, 0.333, 0.667]], rounded, 3, 2)
beside("at most 1 level from OpenCV's area", True, lambda: by_hand() <= 1)
beside("4 rows and 2 columns of a ball", [0.8, 0.525], least_covered)
print("the dimmest ball:", f"110 × 0.8 × 0.525 = {110 * 0.8 * 0.525:.1f}")

# %% [markdown]
# **What you should see:** five times ✅. Two small tables, one for the rows and one for the
# columns, are all that there is to `area`: `overlap(210, 84) @ grey @ overlap(160, 84).T` is
# OpenCV's picture, but for the rounding of a few pixels. The last ✅ tries all places where
# a ball can be: some new pixel is always covered by its four rows to 0.8 or more, and by
# its two columns to 0.525 or more. So the dimmest ball has 46.2, and the brightest, with a
# new pixel to itself, 110.
#
# <details><summary>Hint 1: the idea</summary>What two stretches have in common begins at the
# later of the two beginnings and ends at the earlier of the two ends. If that is a negative
# length, they have nothing in common.</details>
# <details><summary>Hint 2: the call</summary><code>np.arange(wanted)[:, None]</code> is a
# column, <code>np.arange(size)[None, :]</code> a row; <code>np.minimum</code> of a column
# and a row is a table. <code>.clip(min=0)</code> drops the negative
# lengths.</details>
# <details><summary>"ValueError: operands could not be broadcast together"</summary>Two lines
# of different length cannot be compared. Make one of them a column.</details>
# <details><summary>"ValueError: matmul: Input operand 1 has a mismatch"</summary>The table
# is turned round. It has one row for each new pixel and one column for each
# old one.</details>
#
# **Think:** a shot of one column and eight rows is as bright as the ball. About how bright
# is what `area` makes of it, at best and at worst? Can it vanish?
# <details><summary>Answer</summary>Eight rows always cover some new pixel in full. A new
# pixel is 1.9 columns wide: one column covers about half of one, or, where the border of
# two new pixels goes nearly through its middle, about a quarter of each. It can get
# faint, but it cannot vanish: the mean of an area leaves nothing out. The next cell tries
# all 160 columns.</details>

# %%
# NBVAL_CHECK_OUTPUT
shots = np.zeros((160, 210, 160), np.uint8)  # one picture for each column
shots[range(160), 100:108, range(160)] = 110
brightest = [resize(shot, 84, 84, "area").max() for shot in shots]
print("after area, the shot of 110 has", min(brightest), "to", max(brightest))

# %% [markdown]
# ### Now lose something
#
# Two changes make the gaps larger than the thing. The first is a smaller picture.

# %%
sizes = (84, 75, 66, 57, 48, 42, 36)
drawing, ax = figure(height=3.0)
colours = {"nearest": VERMILION, "bilinear": BLUE, "area": GREEN}
for (method, colour), marker in zip(colours.items(), "os^", strict=True):
    lost = [100 * np.mean(ball_after(method, size)[0] == 0) for size in sizes]
    ax.plot(sizes, lost, color=colour, marker=marker, label=method)
    parts = zip(sizes, lost, strict=True)
    print(f"{method:9}", *(f"{size}: {part:2.0f} %  " for size, part in parts))
ax.set(xlabel="height and width (pixels)", ylabel="ball lost (% of frames)")
ax.legend()
show(
    drawing,
    "At 84 pixels none of the three loses the ball. Towards 36, nearest loses it in up "
    "to two thirds of the frames, bilinear in almost half of them, area never.",
)

# %% [markdown]
# At 42 × 42 pixels, a quarter of the memory, `nearest` shows no ball in more than half of the
# frames, and `bilinear` in a third: its 2 × 2 nearest pixels are too few when a new pixel
# stands for 5 × 3.8 old ones. `area` always keeps it, if dimly.
#
# The second is a thinner thing. In Space Invaders a shot is one column wide, and it flies
# straight up: what its column loses, it loses for the whole flight. Most flights end after
# a few frames, at a shield right above the gun. (This game flickers as well: your shots are
# in even frames, the bombs of the invaders in odd ones.)

# %%
invaders = every_frame("SpaceInvaders", 400)
shot_in = {}  # column -> frames in which a shot flies there
for number in range(0, 400, 2):
    shot = (invaders[number] == 142).all(axis=2)  # nothing else has this grey
    if shot.any():
        shot_in.setdefault(int(shot.any(axis=0).argmax()), []).append(number)


def shots_lost(numbers: list[int], method: str) -> int:
    """In how many of these frames nothing is left of the shot."""
    lost = 0
    for number in numbers:
        there = invaders[number]
        gone = np.where((there == 142).all(axis=2, keepdims=True), np.uint8(0), there)
        one, other = (shrunk(luminance(picture), method) for picture in (there, gone))
        lost += np.array_equal(one, other)
    return lost


# %%
# NBVAL_CHECK_OUTPUT
print("column   seen in   lost by: nearest  stride  bilinear  area")
for column, numbers in sorted(shot_in.items()):
    lost = [shots_lost(numbers, m) for m in ("nearest", "stride", "bilinear", "area")]
    counts = "{:17} {:7} {:9} {:5}".format(*lost)
    print(f"{column:6} {len(numbers):9}{counts}")

# %% [markdown]
# A shot in an odd column does not exist after striding by two. A shot in columns 44, 46, 48
# or 50 does not exist after `nearest`, which skips them.
#
# So which filter loses the ball? In Breakout at 84 × 84, none. In other games and sizes,
# those that skip pixels do. `area` leaves no pixel out, in any game, at any size, and can
# only make a thing faint. That is why it is the default of this course; it is what ALE's
# own pipeline does. Nature's code used `bilinear`, which kept a trace of every shot here.
#
# ## Three pipelines
#
# The first old notebook took every second row and column, and the plain mean:

# %%
# NBVAL_CHECK_OUTPUT
frame_a = np.mean(frame[::2, ::2], axis=2).astype(np.uint8)
print("first old notebook: ", frame_a.shape, f"{frame_a.nbytes:,} bytes")

# %% [markdown]
# The second one let Pillow resize the picture in colour, then turned it grey (Pillow calls
# luminance "L"). It did not say which filter. Pillow's default was the nearest pixel until
# version 7 of January 2020, and has been bicubic since: the same line of code, two pictures.

# %%
# NBVAL_CHECK_OUTPUT
small = Image.fromarray(frame).resize((84, 84), Image.Resampling.NEAREST)
today = Image.fromarray(frame).resize((84, 84))
frame_b, frame_b_today = np.array(small.convert("L")), np.array(today.convert("L"))
print("second old notebook:", frame_b.shape, f"{frame_b.nbytes:,} bytes")
print("then and now, largest difference:", cv2.absdiff(frame_b, frame_b_today).max())

# %% [markdown]
# The notebook is from about 2019, so this course takes the nearest pixel for what it saw.
# Neither of them took the maximum over two frames. Nature did: in colour, then luminance,
# then 84 × 84, bilinear.

# %%
grey_of_both = luminance(max_over_frames(breakout[689], frame))
nature = resize(grey_of_both, 84, 84, "bilinear")
corners = [corner(picture) for picture in (frame_a, frame_b, frame_b_today, nature)]
show_tiles(
    corners,
    ["first notebook", "second, 2019", "second, today", "Nature"],
    columns=4,
    alt="The corner with ball and paddle, four times. Nature's ball and paddle are "
    "larger, since they come from two frames.",
    height=1.2,
)

# %% [markdown]
# They differ in the filter, in the grey, in whether two frames are joined, and in the
# *order* of the steps.
#
# ### Does the order matter? (aside)
#
# Nature takes the maximum of the colours and then the grey; ALE turns both frames grey and
# takes the maximum of that.


# %%
def orders_apart(frames: np.ndarray) -> int:
    """Largest difference between the two orders, over all neighbouring frames."""
    return max(
        cv2.absdiff(
            luminance(max_over_frames(one, other)),
            max_over_frames(luminance(one), luminance(other)),
        ).max()
        for one, other in zip(frames[:-1], frames[1:], strict=True)
    )


# %%
# NBVAL_CHECK_OUTPUT
for game in ("Breakout", "Pong", "MsPacman"):
    print(f"{game:9}", orders_apart(every_frame(game, 300)), "grey levels")

# %% [markdown]
# In Breakout nothing; in Pong up to 18 grey levels, in Ms. Pac-Man 37. Where a red thing in
# one frame meets a blue one in the next, the maximum of the colours has the red of the one
# and the blue of the other: a purple that neither frame had, and brighter than both. The
# luminance of a maximum is never below the maximum of the luminances.
#
# Neither order is wrong. But who compares scores, or uses one network behind another's
# pipeline, has to know which one it was.

# %% [markdown]
# ### Exercise 2.6 · Preprocess · ●●● · 30 minutes
#
# One function, in which all these pipelines are settings. It is called once for every
# step of every game, with the last two frames of the step, and changes neither.
#
# | setting | value | what it does |
# | --- | --- | --- |
# | `height`, `width` | 84, 84 | size of the result |
# | `method` | a name | the filter, see `resize` |
# | `max_over` | `"luminance"` | the maximum of two grey pictures (ALE) |
# | | `"rgb"` | the maximum of two colour pictures, then grey (Nature) |
# | | `"none"` | `current` alone; `previous` is not looked at |
# | `grey` | `"luminance"` | luminance, then resize |
# | | `"mean"` | the mean of the three colours, rounded down, then resize |
# | | `"luminance_last"` | resize in colour, then luminance |
#
# Apart from `"luminance_last"`, the resize comes last, on a single grey picture. Where
# `"luminance_last"` meets a maximum, the order is:
#
# - with `"luminance"`: resize both frames in colour, turn both grey, then the maximum;
# - with `"rgb"`: the maximum of the two full frames, then resize it in colour, then grey.


# %%
def preprocess(
    previous: np.ndarray,
    current: np.ndarray,
    height: int = 84,
    width: int = 84,
    method: str = "area",
    max_over: str = "luminance",
    grey: str = "luminance",
) -> np.ndarray:
    """Two consecutive colour frames, `(210, 160, 3)` uint8, to the one grey frame the
    network sees, `(height, width)` uint8. ValueError for unknown names, and for frames
    of different shapes where both are used. Source: Mnih et al. 2015, Methods."""
    # 1. Refuse names that are not in the table. 2. How does one picture turn grey?
    # 3. Of which is the maximum ("rgb": the full frames)? 4. Resize what is not small.
    ### BEGIN SOLUTION
    if grey not in ("luminance", "mean", "luminance_last"):
        raise ValueError(f"unknown grey {grey!r}")
    if max_over not in ("luminance", "rgb", "none"):
        raise ValueError(f"unknown max_over {max_over!r}")

    def seen(rgb):
        if grey == "luminance_last":
            return luminance(resize(rgb, height, width, method))
        return luminance(rgb) if grey == "luminance" else np.uint8(rgb.sum(axis=2) // 3)

    if max_over == "luminance":
        one = max_over_frames(seen(previous), seen(current))
    else:
        rgb = max_over_frames(previous, current) if max_over == "rgb" else current
        one = seen(rgb)
    return one if grey == "luminance_last" else resize(one, height, width, method)
    ### END SOLUTION


# %%
preprocess = check(preprocess)

# %% [markdown]
# **What you should see:** `passes`, and every pipeline from above as a line of settings,
# no grey level apart. (A 1 would mean that a filter of your own rounds in another way.)

# %%
# NBVAL_CHECK_OUTPUT
def apart(expected: np.ndarray, **settings) -> int:
    return cv2.absdiff(preprocess(breakout[689], frame, **settings), expected).max()


first = {"height": 105, "width": 80, "method": "stride", "grey": "mean"}
second = {"method": "pil_nearest", "grey": "luminance_last"}
print("first old notebook: ", apart(frame_a, max_over="none", **first))
print("second old notebook:", apart(frame_b, max_over="none", **second))
print("Nature:             ", apart(nature, max_over="rgb", method="bilinear"))

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>Three questions, in this order. How does one
# colour picture become grey (and small, for <code>luminance_last</code>)? Of which pictures
# is the maximum: before that, after that, not at all? What is left to
# resize?</details>
# <details><summary>Hint 2: the call</summary>Write a small function
# <code>seen(rgb)</code> for one picture, inside this one. Then <code>rgb</code> is
# <code>seen(max_over_frames(previous, current))</code>, <code>luminance</code> is
# <code>max_over_frames(seen(previous), seen(current))</code>, and <code>none</code> is
# <code>seen(current)</code>. Two places resize: hand <code>method</code> on in both. The
# caller still needs both frames: do not write into them, as <code>out=</code>
# would.</details>
# <details><summary>Hint 3: the plain mean</summary><code>rgb.sum(axis=2)</code> is wide
# enough: NumPy adds bytes in a larger type there. <code>// 3</code> rounds down, as the old
# notebook's conversion to bytes did, and <code>.astype(np.uint8)</code> makes bytes of
# it.</details>
# <details><summary>Hint 4: what is refused</summary>Look at <code>grey</code> and
# <code>max_over</code> before anything is done: a last <code>else:</code> would take any
# misspelt name. The rest is refused by <code>resize</code> and
# <code>max_over_frames</code>.</details>
# <details><summary>"ValueError", raised in <code>luminance</code></summary>A picture was to
# be turned grey twice. Under <code>rgb</code> the maximum is of colours, so it comes before
# <code>seen</code>.</details>
# <details><summary>"UnboundLocalError: cannot access local variable"</summary>No branch of
# yours was taken. Print <code>max_over</code> and <code>grey</code> to see
# which names came in.</details>
#
# **Think:** without a maximum, "resize in colour, then grey" gives nearly the same picture
# as "grey, then resize", whatever the method. Why, and which one would you take?
# <details><summary>Answer</summary>Both are weighted sums, and sums may be taken in any
# order; only the roundings in between differ. In colour there are three times as many
# numbers to resize. (A maximum is no sum, and so its place does matter.)</details>

# %%
compare("preprocess")

# %% [markdown]
# Your side shows all that your `preprocess` calls; `compare("luminance")`, or another name,
# shows the course's version of that.
#
# ## What to leave out of the picture (aside)
#
# The paper of 2013 did one thing more: it shrank the screen to 110 × 84 and cut out 84 × 84
# pixels that "roughly" hold the playing area (Mnih et al. 2013, section 4). Nature's
# keeps it all. Cutting off rows leaves more pixels for the rest, and something is gone:
# above row 17 stand score and lives.
#
# Try it. What is dark on the left is cut off, the right is what the network gets. Move the
# frame and watch the ball. The paddle is in rows 189 to 192 of 210: which setting loses it?

# %%
def look(frame, rows_off_top, rows_off_bottom, size, filter):
    kept = slice(rows_off_top, 210 - rows_off_bottom)
    seen = resize(greys[frame][kept], size, size, filter)
    empty = resize(without_ball(greys[frame])[kept], size, size, filter)
    screen = breakout[frame] // 4
    screen[kept] = breakout[frame][kept]
    return show_frames(
        [screen, seen],
        [
            f"{kept.stop - kept.start} of 210 rows",
            f"{seen.nbytes:,} bytes, ball {cv2.absdiff(seen, empty).max()} of 110",
        ],
        alt=f"Left: the screen, {rows_off_top} rows dark at the top, {rows_off_bottom} "
        f"at the bottom. Right: the rest in grey, {size} pixels square.",
    )


cropped = {"rows_off_top": 32, "rows_off_bottom": 14}
panel(
    look,
    start={"frame": 690, **cropped, "size": 84, "filter": "area"},
    frame=range(660, 701, 2),
    rows_off_top=(0, 17, 32, 57, 93),
    rows_off_bottom=(0, 14, 17, 21, 25),
    size=(36, 42, 48, 60, 72, 84, 96),
    filter=[method for method in METHODS if method != "stride"],
)

# %%
# NBVAL_CHECK_OUTPUT
for top, bottom in ((0, 210), (32, 196)):
    pairs = [(g[top:bottom], without_ball(g)[top:bottom]) for g in greys[balls]]
    small = [[resize(picture, 84, 84) for picture in pair] for pair in pairs]
    dimmest = min(cv2.absdiff(*pair).max() for pair in small)
    print(f"rows {top:2} to {bottom - 1}: the dimmest ball has {dimmest}")

# %% [markdown]
# Without the 32 rows at the top and the 14 at the bottom the dimmest ball has 58
# instead of 46, at the same 7,056 bytes. The price: lives and score are no longer to be
# seen. With 25 rows off the bottom the paddle is gone as well. That is not made up: the
# library RLlib once cut off the part of the screen that has Breakout's paddle
# (github.com/ray-project/ray/issues/1590). Look at what your network sees, at least
# once.
#
# A crop is also a promise about one game. This course follows Nature: the whole screen, for
# every game the same. The recipe `mnih2013` crops as that paper did.
#
# ## Bit for bit
#
# ALE, the emulator, has a pipeline of its own, in C++, that plays many games at once. It is
# what this course trains on, because it is fast. Does your function see what it sees? Play
# the same random actions in both, and compare.


# %%
def play_both(game: str, name: str) -> list[tuple]:
    """For each decision of a game: its last two frames, and ALE's picture of them."""
    theirs = AtariVectorEnv(game, 1, stack_num=1, noop_max=1, use_fire_reset=False)
    env, rng, decisions = make_game(name), np.random.default_rng(0), []
    env.reset(seed=0)
    theirs.reset(seed=0)
    for _ in range(DECISIONS):
        action = rng.integers(env.action_space.n)
        frames = [env.step(int(action))[0] for _ in range(4)]
        pictures, _, over, *_ = theirs.step(np.array([action]))
        if over[0]:
            break
        decisions.append((frames[2], frames[3], pictures[0, 0]))
    env.close()
    theirs.close()
    return decisions


# %%
settings = ({}, {"max_over": "rgb"}, {"max_over": "none"}, {"method": "bilinear"})
for game, name in {"breakout": "Breakout", "ms_pacman": "MsPacman"}.items():
    decisions = play_both(game, name)
    for setting in settings:
        apart = [
            cv2.absdiff(preprocess(one, other, **setting), theirs).max()
            for one, other, theirs in decisions
        ]
        print(f"{name:9} {apart.count(0):3} of {len(apart)} equal,", end=" ")
        print(f"{max(apart):3} grey levels apart at most", setting or "(default)")

# %% [markdown]
# With the default settings all frames are equal in every pixel. (If your `area` is not
# OpenCV's, it may round a few pixels otherwise, by 1.) The maximum of colours is the same in
# Breakout, and not in Ms. Pac-Man, as it was above. Without a maximum many frames differ,
# with another filter all of them. (With many decisions, Breakout ends first, after 183.)
# Chapter 03 builds the rest of the environment around your function, and holds it to the
# same standard.
#
# ## What it costs (aside)
#
# Before you see it, **guess** the order: to play four frames in the emulator, to turn a
# screen grey, to shrink it by `area`, by `nearest`.

# %%
def microseconds(function, *arguments) -> float:
    repeats = timeit.repeat(lambda: function(*arguments), number=REPEATS, repeat=3)
    return min(repeats) / REPEATS * 1e6


costs = {method: microseconds(shrunk, grey, method) for method in METHODS}
weights = np.array([0.299, 0.587, 0.114])
costs["grey by @"] = microseconds(lambda: np.rint(frame @ weights).astype(np.uint8))
costs["grey by cv2"] = microseconds(cv2.cvtColor, frame, cv2.COLOR_RGB2GRAY)
costs["preprocess"] = microseconds(preprocess, breakout[689], frame)
env = make_game("Breakout")
env.reset(seed=0)
costs["four frames"] = 4 * microseconds(env.step, 0)
env.close()

# %%
for name, cost in sorted(costs.items(), key=lambda item: item[1]):
    print(f"{name:12} {cost:6.0f} µs  {cost / costs['area']:5.1f} times area")

# %% [markdown]
# `nearest` takes next to nothing, and Pillow's bicubic about twice as long as `area`. Grey by
# a product in NumPy (`@`) costs about as much as `area`, by `cv2.cvtColor` about a tenth of
# that. The emulator's own four frames cost several times as much as `area`. So no filter is
# too slow to be used, and none should be chosen because it is fast.
#
# One thing was not done here: divide by 255. The frame stays in bytes, in your hands
# and in the memory, and becomes float in the network. Chapter 05 does it there, once.
#
# ## Summary
#
# > - Luminance weighs green most, blue least; two colours can share a grey. Bytes wrap at
# >   256, in sums and in differences, and say nothing.
# > - Games draw things in every second frame only. The pixel-wise maximum of the last two
# >   brings them back, if they are brighter than the ground.
# > - At 84 × 84 no filter loses Breakout's ball. `nearest` and `stride` lose thinner things;
# >   `area` leaves nothing out: it is a mean, two small tables of overlaps.
# > - The old notebooks: 105 × 80 by striding, mean; 84 × 84 by Pillow in colour, then
# >   luminance. Nature: maximum of colours, luminance, 84 × 84 bilinear.
# > - With the default settings the frame equals that of ALE's own pipeline bit for bit.
#
# Four pieces are done, and one part of the agent: it calls `preprocess` alone, and your
# `luminance`, `max_over_frames` and `resize` work inside that.

# %%
progress()

# %% [markdown]
# ## Quiz
#
# 1. A friend's agent plays Asteroids and dies as if it did not see the rocks. It gets every
# fourth frame. Which two numbers would you print first?
# <details><summary>Answer</summary>The lit pixels of the frames that it gets, and those of
# the frames in between. If the first is near zero and the second is not, no training will
# help: the maximum over two frames is missing.</details>
#
# 2. You take the maximum of frames t − 1 and t, a colleague that of t − 2 and t. Does that
# cure flicker?
# <details><summary>Answer</summary>No: two frames that are both even or both odd show the
# same half of the things. It gives the smear without the cure.</details>
#
# 3. A screen of 210 × 160 is shrunk to 105 × 80 by `area`, and by `stride`. Which of the two
# shows a thing of one pixel, and how bright is it?
# <details><summary>Answer</summary><code>area</code> shows it always, at a quarter of its
# brightness: it is one pixel of four. <code>stride</code> shows it in full
# when its row and its column are both even, in one case of four, and otherwise not at
# all. On average they show the same.</details>
#
# 4. After an update of a library your agent scores less, with the same code and the same
# weights. How would you find out whether the pictures changed?
# <details><summary>Answer</summary>Keep a few frames of the old version and compare pixel by
# pixel, with <code>cv2.absdiff</code>. A default filter that changes, as Pillow's
# did, moved pixels of our frame by up to 80 grey levels and raised no error.</details>
#
# A frame is small now, and whole. But one frame does not say where the ball is going,
# and somebody has to decide how long an action lasts, what counts as a reward and when a
# game ends. Chapter 03 builds the environment.
