# %% [markdown]
# # 00 · Hello, Atari
#
# A paddle, a ball, six rows of bricks. In this chapter you meet the game, write the
# loop that plays it, and find out what chance alone is worth: every later score
# stands beside that number.
#
# **Goals**: name what the environment takes and what it returns · write the
# interaction loop · measure the score of random play · film a game and see it in the
# notebook · meet the agent that this course ends with · shrink a screen to the picture
# that a network gets.
#
# **Prerequisites**: Python and NumPy arrays. No reinforcement learning yet.
#
# **Minutes**: 35

# %%
import tempfile
from pathlib import Path

import ale_py
import gymnasium as gym
import numpy as np

from dqn_ref import agents, doctor, frames, video
from dqn_ref.course import begin, check, compare, progress, shipped_run
from dqn_ref.course.figures import BLUE, figure, show, show_frames
from dqn_ref.course.widgets import slide

# %% [markdown]
# A chapter comes in three lengths. `normal` is meant for you; `smoke` does the same
# with smaller counts, so that a machine can test the course; `full` takes its time.

# %%
MODE = begin("00").mode  # or one of the other two words
GAMES = {"smoke": 5, "normal": 30, "full": 200}[MODE]
SECONDS = {"smoke": 4, "normal": 60, "full": 300}[MODE]  # of a film, at most

# %% [markdown]
# ## Is this machine ready?
#
# The doctor tries every part of the course for real. It plays a few steps, encodes a
# film and trains a network for a second.

# %%
findings = doctor.run_doctor()

# %% [markdown]
# Every line should begin with `[ok]`. A line with `[fix]` names the command that
# mends it.
#
# ## The screen
#
# The emulator is ALE, the Arcade Learning Environment; `gymnasium` is the interface
# to it. `frameskip=4` holds each action for four frames of the game, a fifteenth of a
# second. `repeat_action_probability=0` says that every action is carried out; otherwise
# the emulator repeats the one before it now and then. `disable_env_checker=True` skips
# a self-test that is meant for authors of environments.

# %%
ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # no banner
gym.register_envs(ale_py)
env = gym.make(
    "ALE/Breakout-v5",
    frameskip=4,
    repeat_action_probability=0,
    disable_env_checker=True,
)

# %%
screen, info = env.reset(seed=0)
show_frames(
    [screen],
    ["210 × 160 pixels"],
    alt="The first screen of Breakout: score 000, five lives, six rows of coloured "
    "bricks, a red paddle right of the middle, and no ball.",
)

# %% [markdown]
# Six rows of bricks, a paddle, a score of 000, beside it five lives, and the number of
# the player, 1. There is no ball. Before looking for it: what did `reset` hand over?

# %%
# NBVAL_CHECK_OUTPUT
print(env.observation_space)
print(f"{screen.nbytes:,} bytes, {len(np.unique(screen))} different values in them")
print("lives:", info["lives"])

# %% [markdown]
# A screen is an array of 210 rows, 160 columns and 3 colours, one byte each: 100,800
# bytes. Apart from points and lives, this is all that an agent learns of the game.
# Nobody tells it what a ball is, or where.
#
# What can it do?

# %%
# NBVAL_CHECK_OUTPUT
print(env.action_space)
print(env.unwrapped.get_action_meanings())

# %% [markdown]
# Four buttons, numbered 0 to 3. `NOOP` is none of them pressed.
#
# ## Where is the ball?
#
# Perhaps it takes a while. Press nothing a hundred times, which is 400 frames or
# almost seven seconds, and count the pixels that change.

# %%
# NBVAL_CHECK_OUTPUT
NOOP, FIRE, RIGHT, LEFT = range(4)
env.reset(seed=0)
for _ in range(100):
    later, reward, terminated, truncated, info = env.step(NOOP)
print("frames:", info["frame_number"])
print("pixels that changed:", np.any(later != screen, axis=2).sum())

# %% [markdown]
# Not one. Breakout waits until somebody presses `FIRE`, and so it does again after
# each lost life. Keep this in mind: an agent that has not learnt that button can wait
# for ever.

# %%
# NBVAL_CHECK_OUTPUT
env.reset(seed=0)
fired, reward, terminated, truncated, info = env.step(FIRE)
rows, columns = np.nonzero(np.any(fired != screen, axis=2))
print("pixels that changed:", len(rows))
print(f"rows {rows.min()} to {rows.max()}, columns {columns.min()} to {columns.max()}")
print(reward, terminated, truncated, info["lives"])

# %% [markdown]
# Eight pixels, four rows of two: that is the ball. The other four things that `step`
# returned are the points won by this step (0.0), whether the game is over
# (`terminated`), whether somebody cut it off for another reason, such as a limit of
# time (`truncated`), and a dictionary on the side.
#
# ## The loop
#
# Everything in this course happens inside one loop.
#
# ```text
#              action
#     agent ───────────▶ game
#       ▲                  │
#       └──────────────────┘
#      screen, reward, over?
# ```
#
# The agent sees a screen and chooses an action. The game answers with the next screen
# and a reward. They go on until the game is over. You write this loop now, with the
# humblest agent there is: one that throws dice and never looks at the screen.

# %% [markdown]
# ### Exercise 0.1 · The interaction loop · ●○○ · 10 minutes
#
# Play one game with random actions, and return its score and its length. Draw the
# random numbers as the stub says, in that order: then your game is the same as
# everybody's, step by step.

# %%
def play_random_game(
    env: gym.Env, rng: np.random.Generator, max_steps: int = 10_000
) -> tuple[float, int]:
    """Play one game with random actions.

    Args:
        env: any environment with a `Discrete` action space, not yet reset.
        rng: first `rng.integers(2**31)`, once: the seed of the game. Then, before
            each step, `rng.integers(env.action_space.n)`: the action. No other draws.
        max_steps: give up after so many steps.
    Returns:
        The score, which is the sum of all rewards, and the number of steps played.
    """
    # 1. Reset the environment with its seed.
    # 2. Draw an action, step, add up the reward, count the step.
    # 3. Stop when the game is over, for either reason, or after `max_steps`.
    ### BEGIN SOLUTION
    env.reset(seed=int(rng.integers(2**31)))
    score, steps, over = 0.0, 0, False
    while not over and steps < max_steps:
        action = int(rng.integers(env.action_space.n))
        _, reward, terminated, truncated, _ = env.step(action)
        score, steps = score + float(reward), steps + 1
        over = terminated or truncated
    return score, steps
    ### END SOLUTION


# %%
play_random_game = check(play_random_game)

# %% [markdown]
# The check played your loop in small scripted games of its own, not in Breakout.
# Whatever it answered, the notebook goes on: with your loop if it passes, with the
# reference's if not. A loop that passes is a *piece* of yours; it is saved to the
# folder `my_course/my_dqn`.
#
# **What you should see:** a score of 1.0 after 183 steps, from your loop or, until
# yours passes, from the reference's.

# %%
# NBVAL_CHECK_OUTPUT
score, steps = play_random_game(env, np.random.default_rng(0))
print(f"score {score}, {steps} steps")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>Two things end the loop: the game is
# over, or <code>max_steps</code> steps are played. Two things are added up inside it:
# the reward and the step.</details>
# <details><summary>Hint 2: the call</summary><code>env.reset(seed=…)</code> begins a
# game, <code>env.step(action)</code> plays a step of it, and
# <code>rng.integers(n)</code> draws a number from 0 to n − 1.</details>
# <details><summary>"Error: Seed must be a python integer"</summary>NumPy draws its own
# kind of integer. <code>int(…)</code> makes a plain one.</details>
# <details><summary>"ValueError: too many values to unpack"</summary>
# <code>env.step</code> returns five values: screen, reward, terminated, truncated,
# info. Older tutorials show four.</details>
# <details><summary>"My game has another length"</summary>Count the draws. The seed of
# the game comes first, once; then one action per step, and no draw more.</details>
# <details><summary>"KeyError: 'lives'"</summary>The games of the check have no lives,
# and neither has every environment. <code>terminated</code> and
# <code>truncated</code> say that a game is over.</details>
#
# **Think:** the agent pressed a button 183 times in this game. How long did the game
# last on a television, which shows 60 frames a second?
# <details><summary>Answer</summary>Each action is held for four frames: 183 × 4 / 60
# is about 12 seconds, with 15 decisions in each.</details>

# %% [markdown]
# ## What is chance worth?
#
# One game says little. Play several. (The seeds alone would not make them differ: with
# `repeat_action_probability=0` Breakout has no chance of its own, and the same actions
# lead to the same screens. It is the dice of the player that differ. Other
# environments need the seed.)

# %%
rng = np.random.default_rng(1)
games = [play_random_game(env, rng) for _ in range(GAMES)]
scores = np.array([score for score, _ in games])
print(f"{GAMES} games, {sum(steps for _, steps in games):,} steps")
error = scores.std() / np.sqrt(GAMES)
print(f"mean {scores.mean():.2f} ± {error:.2f}, best {scores.max():.0f}")

# %%
drawing, ax = figure(height=2.8)
points, counts = np.unique(scores, return_counts=True)
ax.bar(points, counts, width=0.6, color=BLUE)
ax.set(xlabel="score of a game (points)", ylabel="games", xticks=points)
show(drawing, f"Bars: how many of {GAMES} random games ended with each score.")

# %% [markdown]
# In `normal` mode thirty games give a mean of 0.90 ± 0.14 points, and none is above
# 2. A brick of the two lowest rows is worth one point, so chance hits about one brick
# in five lives. The `±` is the standard error: thirty other games would move the mean
# by about that much. The 200 games of `full` mode give 1.08 ± 0.07.
#
# The paper that this course rebuilds (Mnih et al. 2015, Extended Data Table 2)
# reports 1.7 points for random play, 31.8 for a professional tester of games, and
# 401.2 for its network. Its random player chose ten times a second, yours chooses
# fifteen times: such details are why a score is worth nothing without the rules it
# was measured by.
#
# ## Beside ours
#
# Your loop stands on the left, the one of this course on the right. There are many
# right answers, and this is one of them.

# %%
compare("play_random_game")

# %% [markdown]
# ## The first film
#
# A number is not a game. The next function plays another random game and hands out
# each screen, with the step and the button written on it.

# %%
def film_random_game(env, rng):
    names = env.unwrapped.get_action_meanings()
    env.reset(seed=int(rng.integers(2**31)))
    over, step = False, 0
    while not over:
        action = int(rng.integers(env.action_space.n))
        screen, _, terminated, truncated, _ = env.step(action)
        over, step = terminated or truncated, step + 1
        yield video.annotate(screen, f"{step} {names[action]}")


# %% [markdown]
# Each step is a fifteenth of a second, so 15 pictures a second show the game as fast
# as it was. The film is kept inside the notebook: it needs no file beside it and no
# network.

# %%
with tempfile.TemporaryDirectory() as folder:
    film = video.write_video(
        film_random_game(env, np.random.default_rng(2)),
        f"{folder}/random.mp4",
        fps=15,
        scale=2,
    )
    print(f"{film.stat().st_size / 1000:.0f} kB")
    shown = video.show_video(film)
shown

# %% [markdown]
# The paddle wanders as the dice fall: from step 70 to step 111 it hangs at the right
# wall, wherever the ball may be. When a ball is lost, the next one waits until the
# dice say `FIRE`, one time in four. After 213 steps the score is 2.
#
# ## The finish line
#
# This is where the course goes. The next agent looked at 338,810 screens and the
# points that followed, and at nothing else. That took 25 minutes on two processor
# cores without a graphics card; its run is in `results/breakout-laptop-seed-0`. One
# action in twenty is still thrown by dice, so that no game is like another.

# %%
with tempfile.TemporaryDirectory() as folder:
    film = Path(folder) / "trained.mp4"
    run = shipped_run("breakout-laptop-seed-0")
    game = agents.film_run(
        run, film, epsilon=0.05, seed=0, precision="fp32", seconds=SECONDS
    )
    print(f"{game.score:.0f} points in {game.seconds:.0f} seconds")
    shown = video.show_video(film)
shown

# %% [markdown]
# 28 points in 43 seconds, where dice make one. It is not a good player yet: chapter 10
# trains for longer. But nobody told it that there is a ball. In thirty such games it
# scored 37.1 on average.
#
# ## What the network will see
#
# Colour tells the rows of bricks apart, and is no help in hitting a ball. The
# networks of this course see shades of grey, on 84 × 84 pixels.

# %%
# NBVAL_CHECK_OUTPUT
grey = frames.luminance(fired)
small = frames.resize(grey, 84, 84, method="area")
print(fired.shape, "→", grey.shape, "→", small.shape)
print(f"{fired.nbytes:,} → {grey.nbytes:,} → {small.nbytes:,} bytes")

# %%
env.reset(seed=0)
screens = [env.step(FIRE)[0] for _ in range(16)]


def both_views(step):
    small = frames.resize(frames.luminance(screens[step]), 84, 84, method="area")
    return show_frames(
        [screens[step], small],
        ["yours: 210 × 160 × 3", "the network's: 84 × 84"],
        alt=f"Step {step} of Breakout twice: in colour, and in grey on a grid so "
        "coarse that the ball is a faint dot.",
    )


slide(both_views, len(screens), "step")

# %% [markdown]
# Move the slider and follow the ball in both pictures, down to the bottom. The right
# one has 7,056 bytes instead of 100,800: a fourteenth. The bricks, the paddle and the
# walls are all there, and so is the ball, but how bright?

# %%
# NBVAL_CHECK_OUTPUT
without = frames.resize(frames.luminance(screen), 84, 84, method="area")
print("pixels of the ball:", np.count_nonzero(small != without))
print("brightest of them:", small[small != without].max(), "of 255")
print("in the full picture:", grey[grey != frames.luminance(screen)].max())

# %% [markdown]
# Four pixels, the brightest of them 69, where the full picture has 110: a ball of two
# columns falls on parts of several large pixels and shares each of them with the
# black behind it. Faint, but not lost.
#
# ## Summary
#
# > - An environment takes an action and returns five things: screen, reward,
# >   `terminated`, `truncated` and a dictionary.
# > - A screen of Breakout is `(210, 160, 3)` uint8, 100,800 bytes; the network gets
# >   `(84, 84)`, 7,056 bytes.
# > - There are four actions, and without `FIRE` there is no ball.
# > - Random play is worth about one point. That is the floor under every later score.
#
# Where you are in the course. (This loop is a tool; the parts of the agent itself come
# from chapter 02 on.)

# %%
progress()

# %% [markdown]
# ## Quiz
#
# 1. An agent that has learnt to return the ball perfectly, but never presses `FIRE`:
# what does it score?
# <details><summary>Answer</summary>Nothing, and its game never ends by itself: you
# saw 400 frames without one changed pixel. An evaluation needs a limit of
# time.</details>
#
# 2. You see a single screen with the ball in the middle of the field. Which action is
# right?
# <details><summary>Answer</summary>Nobody can say: one picture does not tell where
# the ball is going. Several pictures in a row do, and that is what the network will
# be given.</details>
#
# 3. A colleague's random player scored 1.4 in ten games, yours 0.9 in thirty. Is his
# better?
# <details><summary>Answer</summary>Nobody can tell. With a spread of about 0.8
# between games, ten games leave an error of 0.8 / √10 = 0.25, yours 0.14; the
# difference of 0.5 is less than twice the error of both together, √(0.25² + 0.14²) =
# 0.29. And did both play by the same rules?</details>
