# %% [markdown]
# # 03 · The environment
#
# Between the console and the agent stand a few dozen lines that nobody looks at:
# they decide how long an action lasts, how a game begins, what a lost life is and what
# a point. In this chapter you write them, and prove them equal, bit by bit, to the
# environment that this course trains in.
#
# **Goals**: say how many frames lie between two decisions, whatever a paper calls them ·
# write the wrappers of DQN: repeat with maximum, random starts, lost lives, clipped
# rewards, stacks · tell v0, v4 and v5 apart, and sticky actions from obedient ones · see
# what each of these settings does to a game · compare your environment with ALE's own.
#
# **Prerequisites**: chapters 00 and 02 (the loop, luminance, resizing, the maximum of two
# frames). Python classes that inherit; a first look at PyTorch's tensors.
#
# A heading that ends in *(aside)* marks what can wait: the asides take about 45 minutes
# more, two of the exercises among them. Run their cells all the same, since later cells
# use some of what they make. After exercise 3.3 is a good place to pause.
#
# **Minutes**: 75

# %%
import time
from collections import Counter

import ale_py
import gymnasium as gym
import numpy as np
import torch
from ale_py.vector_env import AtariVectorEnv

from dqn_ref.course import begin, check, compare, progress
from dqn_ref.course.figures import BLUE, VERMILION, figure, show, show_frames
from dqn_ref.environments import make_lanes
from dqn_ref.frames import luminance, resize
from dqn_ref.recipes import get_recipe

# %%
MODE = begin("03").mode
TRIES = {"smoke": 40, "normal": 1_000, "full": 10_000}[MODE]  # of sticky buttons
CHASED = {"smoke": 120, "normal": 6_000, "full": 18_000}[MODE]  # frames of a game
IDLE = {"smoke": 600, "normal": 66_000, "full": 108_000}[MODE]  # frames of waiting
DECISIONS = {"smoke": 90, "normal": 2_000, "full": 20_000}[MODE]  # random ones

# %% [markdown]
# ## Sixty frames a second
#
# Chapter 00 asked for `frameskip=4` and left it at that. With `frameskip=1` the emulator
# shows every frame of the console, and a second of play has sixty of them. (No seed is
# needed: Breakout has no dice of its own, as you will see.)


# %%
def raw_game(game="Breakout", frameskip=1, sticky=0.0):
    """The console itself: no repetition but `frameskip`, no stickiness but `sticky`."""
    return gym.make(
        f"ALE/{game}-v5",
        frameskip=frameskip,
        repeat_action_probability=sticky,
        disable_env_checker=True,
    )


ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # no banner
gym.register_envs(ale_py)
NOOP, FIRE, RIGHT, LEFT = range(4)

# %%
env = raw_game()
env.reset()
screens = [env.step(action)[0] for action in [FIRE] + [NOOP] * 69]
later = (0, 1, 4, 16)
show_frames(
    [screens[20 + frames][93:197, 8:152] for frames in later],
    ["now", "1 frame later", "4 frames later", "16 frames later"],
    alt="The field below the bricks four times: the ball in the middle, then a pixel, "
    "four pixels and sixteen pixels further down and to the left.",
    height=2.0,
)

# %% [markdown]
# How far did it fly? The ball and the paddle are found by looking: between the bricks
# and the paddle nothing else is lit.


# %%
def ball(screen):
    """Row and column of the ball's middle, None if it is not below the bricks."""
    rows, columns = np.nonzero(screen[93:189, 8:152].any(axis=2))
    return (float(rows.mean()) + 93, float(columns.mean()) + 8) if len(rows) else None


def paddle(screen):
    """Column of the paddle's middle."""
    return float(np.nonzero(screen[190, 8:152].any(axis=1))[0].mean()) + 8


# %%
# NBVAL_CHECK_OUTPUT
for frames in later:
    print(f"{frames:2} frames later:", ball(screens[20 + frames]))
flight = sum(ball(screen) is not None for screen in screens)
print("the ball is in sight for", flight, "frames")

# %% [markdown]
# One pixel down and one to the left in every frame. From the serve to the bottom it takes
# 67 frames, a little over a second, and nothing that happens in a single frame is worth a
# decision. Mnih et al. (2015, Methods) note that ten times a second is about the
# fastest that a human player can press `FIRE`; that is every sixth frame.
#
# So DQN decides on every fourth frame, and holds the button in between. A decision is
# dear, because the network has to be asked, and a frame of the emulator is cheap: with one
# decision per four frames the agent plays about four times as many games in the same time.
# That was the reason given by Mnih et al. (2013).
#
# Four frames per decision are not a law. They are a choice, and somebody has to carry
# it out.
#
# ## A game inside a game
#
# A *wrapper* is an environment that has another one inside. What it does not define
# itself, it passes on. This one exchanges left and right:


# %%
class Mirror(gym.Wrapper):
    def step(self, action):
        exchanged = {LEFT: RIGHT, RIGHT: LEFT}.get(action, action)
        return self.env.step(exchanged)


# %%
# NBVAL_CHECK_OUTPUT
for game in (raw_game(), Mirror(raw_game())):
    before, info = game.reset()
    for _ in range(10):
        after, reward, terminated, truncated, info = game.step(RIGHT)
    print(f"the paddle went from {paddle(before)} to {paddle(after)}")

# %% [markdown]
# `reset`, the spaces and everything else come from the game inside, `self.env`. Wrappers
# can be put around wrappers, and each does one thing: so the whole environment of DQN is
# made, and so it can be checked, one wrapper after the other.

# %% [markdown]
# ### Exercise 3.1 · RepeatMax · ●●○ · 15 minutes
#
# One step of this wrapper is one decision: several frames with the same button. What is
# shown is the maximum of the last two of them, which brings back what flickers (chapter
# 02); what is paid is the sum of all.
#
# ```text
#     frame     …  8 │  9  10  11  12 │ 13  14  15  16 │
#     action         │  a   a   a   a │  b   b   b   b │
#     shown        max(7, 8)    max(11, 12)      max(15, 16)
#     points         │ r9 + … + r12   │ r13 + … + r16  │
# ```
#
# - `step(action)` plays the action `repeat` times, and stops early when the game has
#   ended, for either reason. It returns the pixel-wise maximum of the last two frames
#   that the game has shown; the sum of the points, a float; `terminated`, `truncated` and
#   `info` of the last frame.
# - Some decisions have a single frame: with `repeat=1` all of them, otherwise those in
#   whose first frame the game ends. Then the other of the last two is the frame before,
#   from the decision before. (The single frame alone is accepted, too.)
# - If `info` has an entry `"life_lost"` (you will put it there in exercise 3.4), it
#   becomes true when *any* of the frames had it and the game goes on.
# - `reset` is written for you: it keeps the game's first frame in `self.latest` and hands
#   on what the game inside returns. Observations are uint8 of any shape.
#
# Some emulators write every screen into the same array. A frame that you want to keep is
# a frame that you have to copy.


# %%
class RepeatMax(gym.Wrapper):
    """One step is `repeat` frames; shows the maximum of the last two, sums the points.

    Source: Mnih et al. 2015, Methods, "Preprocessing" and "Training details".
    """

    def __init__(self, env: gym.Env, repeat: int = 4):
        super().__init__(env)
        self.repeat = repeat

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        screen, info = self.env.reset(seed=seed, options=options)
        self.latest = np.array(screen)  # a copy
        return self.latest, info

    def step(self, action):
        # 1. Play `repeat` frames. 2. Stop at an end. 3. Points, picture, life_lost.
        ### BEGIN SOLUTION
        points, lost = 0.0, False
        for _ in range(self.repeat):
            before = self.latest
            screen, reward, terminated, truncated, info = self.env.step(action)
            self.latest = np.array(screen)
            points, lost = points + float(reward), lost or info.get("life_lost", False)
            if terminated or truncated:
                break
        if "life_lost" in info:
            info = {**info, "life_lost": lost and not (terminated or truncated)}
        return np.maximum(before, self.latest), points, terminated, truncated, info
        ### END SOLUTION


# %%
RepeatMax = check(RepeatMax)

# %% [markdown]
# **What you should see:** four frames per step, and in the end a decision that was cut
# short.

# %%
# NBVAL_CHECK_OUTPUT
env, rng = RepeatMax(raw_game()), np.random.default_rng(0)
frame, over, held = env.reset()[1]["episode_frame_number"], False, Counter()
while not over:
    screen, points, terminated, truncated, info = env.step(rng.integers(4))
    held[info["episode_frame_number"] - frame] += 1
    frame, over = info["episode_frame_number"], terminated or truncated
for length, times in held.items():
    print(f"decisions of length {length}: {times}")
print("the game ended after frame", frame)

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>A loop over the frames of a decision. In it,
# three things are carried along: the sum of the points, the latest frame, and the one
# before it. The maximum is taken once, after the loop, of two frames and not of
# four.</details>
# <details><summary>Hint 2: the call</summary><code>self.env.step(action)</code> plays one
# frame, <code>np.maximum(a, b)</code> compares pixel by pixel, and
# <code>np.array(screen)</code> makes a copy. (<code>np.max([a, b])</code> is the one
# largest pixel of both.)</details>
# <details><summary>Hint 3: the end, and the frame before</summary>A game that is over must
# not be stepped: leave the loop at once. At the top of the loop, <code>self.latest</code> is
# the frame before the one you are about to play, across decisions, too, if you renew it
# with every frame: with the frame as the game showed it, not with a maximum.</details>
# <details><summary>Hint 4: a lost life</summary><code>info</code> is that of the last
# frame, but a life may have been lost in an earlier one. Remember it while you
# loop. <code>{**info, "life_lost": …}</code> is the same info with this entry.</details>
# <details><summary>"KeyError: 'life_lost'"</summary>The raw game tells no lost lives:
# the entry is there only if a wrapper inside puts it there.
# <code>info.get("life_lost", False)</code> reads it either way.</details>
#
# **Think:** of the four frames of a decision the first two are never shown. Does the agent
# lose points that are made in them?
# <details><summary>Answer</summary>No: points are added over all four. What it loses is
# the sight of the moment. A brick that breaks in the first frame pays in this decision,
# and in the picture the ball is already on its way down.</details>
#
# ## Sixteen frames a decision (aside)
#
# This course grew out of two older notebooks. Both teach a DQN agent to play Breakout,
# with keras-rl, a library of ready-made agents, and neither can be run any more. The first
# one plays a game called `BreakoutDeterministic-v4`. That game holds each action for four
# frames. keras-rl is told `action_repetition=4`, and holds each action for four steps of
# the game. Both are sensible. **Before you scroll on, write down** how many decisions the
# ball's flight of 67 frames leaves to such an agent.

# %%
# NBVAL_CHECK_OUTPUT
once = RepeatMax(raw_game(), repeat=4)
twice = RepeatMax(raw_game(frameskip=4), repeat=4)  # the first old notebook
for name, env in (("once", once), ("twice", twice)):
    env.reset()
    env.step(FIRE)
    decisions = 1
    while ball(env.step(NOOP)[0]) is not None:
        decisions += 1
    print(f"repeated {name}: {flight} frames of flight are {decisions} decisions")

# %% [markdown]
# The second row is what this agent has for one ball. Here is all that it sees of it,
# with one picture per decision laid over another.

# %%
holds = (4, 8, 16)
trails = [np.max(screens[hold - 1 : flight : hold], axis=0) for hold in holds]
show_frames(
    [trail[93:197, 8:152] for trail in trails],
    [f"every {hold} frames" for hold in holds],
    alt="The ball's way from the serve to the bottom as a row of dots: sixteen that "
    "almost touch, eight with gaps, four far apart.",
    height=2.6,
)

# %% [markdown]
# Sixteen places of the ball, eight, or four. (The seventeenth decision above is the one
# after whose last frame the ball is gone.) With sixteen frames a button that is pressed
# at one dot stays pressed until the next. What that costs is measured below, when games
# begin at random. First: how does somebody skip twice without noticing?
#
# ## What a name means
#
# Breakout has many names in `gymnasium`, and some of them hold a button by themselves.
# Every entry of gymnasium's register says what its name stands for.


# %%
# NBVAL_CHECK_OUTPUT
def entry(name):
    spec = gym.registry.get(name)
    if spec is None:
        return "not registered any more"
    frames, sticky = spec.kwargs["frameskip"], spec.kwargs["repeat_action_probability"]
    return f"frames per step {frames!s:6}  sticky {sticky:<4}  {spec.max_episode_steps}"


old = ("Breakout-v0", "Breakout-v4", "BreakoutDeterministic-v0")
old += ("BreakoutDeterministic-v4", "BreakoutNoFrameskip-v0", "BreakoutNoFrameskip-v4")
for name in (*old, "ALE/Breakout-v5"):
    print(f"{name:25} {entry(name)}")

# %% [markdown]
# The parts of a name, one by one:
#
# | part | what it says |
# | --- | --- |
# | `v0` | *sticky*: with probability 0.25 the console ignores the button (see below) |
# | `v4` | obedient: probability 0 |
# | nothing before the `v` | each step lasts 2, 3 or 4 frames, at random: `range(2, 5)` |
# | `Deterministic` | each step lasts 4 frames (in Space Invaders 3) |
# | `NoFrameskip` | each step is one frame |
# | `ALE/…-v5` | sticky 0.25 *and* 4 frames, unless you say otherwise |
#
# So `v5` is not a better `v4`: it is another game. An agent that is trained on `v4` and
# tested on `v5` without a word meets a console that does not always listen. The names with
# `Deterministic` left ale-py with version 0.11.1; what they stood for can still be said,
# as `nearest` does below.
#
# `None` says that no limit of steps is set any more. In the gym of that time, `v0` had one
# of 10,000 steps.
#
# Two habits follow. Say `frameskip` and `repeat_action_probability` yourself, as
# `raw_game` does. And count.

# %%
# NBVAL_CHECK_OUTPUT
def frames_of_a_decision(env, decisions=200):
    numbers = [env.reset()[1]["episode_frame_number"]]
    rng = np.random.default_rng(0)
    while len(numbers) <= decisions:
        numbers.append(env.step(rng.integers(4))[4]["episode_frame_number"])
    return sorted({int(length) for length in np.diff(numbers)})


nearest = raw_game(frameskip=4, sticky=0.0)  # to BreakoutDeterministic-v4
print("frames per step, four skipped:", frames_of_a_decision(nearest, 100))
print("with a repetition of 4 on top:", frames_of_a_decision(twice, 40))

# %% [markdown]
# ### A decision of random length (aside)
#
# The second of the two older notebooks plays `Breakout-v0`, which repeats two to four
# times at random, and repeats each action twice on top.
#
# All settings of an agent are a *recipe* in this course, and both notebooks are kept as
# recipes. `make_lanes(recipe, 1)` makes the environment of one: a single game, or several
# side by side, called *lanes*, so everything that goes in or comes out is an array with
# one entry per lane. `reset(seed)` begins, `send(actions)` hands in a decision, `recv()`
# returns what came of it, among other things `emulator_frames`, the number of the
# console's frame, and `reset_row`, true where a new game began and the action was ignored.

# %%
lanes, rng = make_lanes(get_recipe("notebook_b"), 1), np.random.default_rng(0)
rows, frames_per_decision = [lanes.reset(seed=0)], Counter()
for _ in range(min(DECISIONS, 1_000)):
    lanes.send(rng.integers(4, size=1))
    rows.append(lanes.recv())
    if not rows[-1].reset_row[0]:
        frames = rows[-1].emulator_frames[0] - rows[-2].emulator_frames[0]  # of one
        frames_per_decision[int(frames)] += 1
print("decisions by length:", {n: frames_per_decision[n] for n in range(4, 9)})
print("shorter, at the end of a game:", sum(frames_per_decision[n] for n in (1, 2, 3)))

# %% [markdown]
# Four to eight frames, most often six: the sum of two throws of a die with the faces 2,
# 3 and 4. The agent never knows how long its button will be held.
#
# ## Four clocks (aside)
#
# Frames of the console, seconds of play, decisions, updates: papers count in all four, and
# call most of them frames or steps. (An *update* is one step of learning, in which the
# agent's network changes a little. DQN makes one after every fourth decision; chapter 07.)
# Only the first two mean the same everywhere. So bring everything to frames of the console
# before you compare.

# %% [markdown]
# ### Exercise 3.2 · How long is that? · ●○○ · 5 minutes
#
# Turn an amount of anything into frames of the console.


# %%
def in_frames(
    amount: float,
    unit: str,
    frames_per_decision: int = 4,
    decisions_per_update: int = 4,
) -> float:
    """How many frames of the console pass.

    Args:
        amount: of `unit`.
        unit: "frames", "seconds" of play, "decisions" or "updates" of the network.
        frames_per_decision, decisions_per_update: both are 4 in the Nature paper.
    Raises:
        ValueError: for another unit.
    """
    # 1. How many frames is one of each? 2. Refuse what you do not know. 3. Multiply.
    ### BEGIN SOLUTION
    update = frames_per_decision * decisions_per_update
    each = {"frames": 1, "seconds": 60, "decisions": frames_per_decision}
    each["updates"] = update
    if unit not in each:
        raise ValueError(f"unknown unit {unit!r}; choose from {', '.join(each)}")
    return amount * each[unit]
    ### END SOLUTION


# %%
def beside(question: str, expected, function, *arguments) -> bool:
    """Print what is expected beside what your function returns: is it that?"""
    try:
        answer = function(*arguments)
        mark = "✅" if np.array_equal(answer, expected) else "❌"
    except NotImplementedError:
        mark, answer = "◻", "not attempted yet"
    except Exception as error:
        mark, answer = "❌", f"{type(error).__name__}: {error}"
        mark = "✅" if isinstance(error, ValueError) and expected == "refused" else mark
    expected, answer = (
        f"{value:,}" if isinstance(value, int | float) else str(value)[:60]
        for value in (expected, answer)
    )
    print(f"{mark} {question}: expected {expected}, yours: {answer}")
    return mark == "✅"


# %%
# NBVAL_CHECK_OUTPUT
beside("a frame", 1, in_frames, 1, "frames")
beside("a decision", 4, in_frames, 1, "decisions")
beside("five minutes of play", 18_000, in_frames, 300, "seconds")
beside("10,000 updates", 160_000, in_frames, 10_000, "updates")
beside("first old notebook, in all", 8_000_000, in_frames, 500_000, "decisions", 16)
beside("its 500,000 updates", 8_000_000, in_frames, 500_000, "updates", 16, 1)
_ = beside("four epochs", "refused", in_frames, 4, "epochs")

# %% [markdown]
# **What you should see:** seven times ✅. `beside` stands for the check here, as in every
# exercise that is not a piece of the agent.
#
# <details><summary>Hint 1: the idea</summary>An update comes after so many decisions, and
# a decision lasts so many frames: two of the four units are products.</details>
# <details><summary>Hint 2: the call</summary>A dictionary from the unit's name to its frames
# needs no <code>if</code> per unit, and <code>unit not in …</code> finds the
# unknown.</details>
# <details><summary>"KeyError: 'epochs'"</summary>Nearly: the dictionary refuses, but with
# an error of its own. <code>raise ValueError(…)</code> before you look it up.</details>
#
# **Think:** the first old notebook trains on 500,000 decisions of 16 frames, the second on
# 1,750,000 of 6 on average. Which has seen more of Breakout, and which has thought more
# often?
# <details><summary>Answer</summary>8 million frames against 10.5 million: nearly the same
# play, 37 hours and 49. But the second decided three and a half times as often, on
# decisions of which each mattered less. "Steps" alone say neither.</details>
#
# ### Which number does this paper mean? (aside)
#
# Mnih et al. (2015, Methods) trained "for a total of 50 million frames (that is, around
# 38 days of game experience in total)". Ask your function which clock that is.

# %%
# NBVAL_CHECK_OUTPUT
beside("38 days of play", 196_992_000, in_frames, 38 * 24 * 60 * 60, "seconds")
beside("50 million frames", 50_000_000, in_frames, 50_000_000, "frames")
beside("50 million decisions", 200_000_000, in_frames, 50_000_000, "decisions")
beside("10,000 updates", 160_000, in_frames, 10_000, "updates")
_ = beside("10,000 decisions", 40_000, in_frames, 10_000, "decisions")

# %% [markdown]
# Decisions: what the paper calls a frame is one picture that the agent sees. The same
# training is called "200 million frames" in later papers, which count the console's.
#
# **Think:** Extended Data Table 1 says "target network update frequency" 10,000, "measured
# in the number of parameter updates". The published code does it every 10,000 decisions.
# DQN Zoo, DeepMind's later reimplementation, writes 40,000. Which two agree?
# <details><summary>Answer</summary>The code and DQN Zoo, which counts frames of the console:
# 10,000 decisions are 40,000 frames. The paper's words would be four times as
# much.</details>
#
# **Think:** a blog says "my agent reaches 300 points in Breakout after 10M steps, with
# `ALE/Breakout-v5`". What do you ask?
# <details><summary>Answer</summary>Whether a step is a decision or a frame; whether
# <code>frameskip</code> was 4, or 4 times 4 with a wrapper on top; whether the actions were
# sticky, as they are in v5 unless one says otherwise; and whether 300 is clipped, per life
# or per game.</details>

# %% [markdown]
# ## Does the game do as it is told?
#
# `repeat_action_probability=0.25`: in a quarter of the cases the console does not look at
# the buttons and goes on with the action before. How does one see that? Press `FIRE` for
# a single frame, let go, and look whether there is a ball. `clone_state` and
# `restore_state` put the console back to where it was, and leave its dice alone.


# %%
def balls_served(frames_held: int) -> float:
    """Share of the tries in which holding FIRE for so many frames served a ball."""
    env, served = raw_game(sticky=0.25), 0
    env.reset(seed=0)
    start = env.unwrapped.clone_state()
    for _ in range(TRIES):
        env.unwrapped.restore_state(start)
        for action in [FIRE] * frames_held + [NOOP] * 4:
            screen = env.step(action)[0]
        served += ball(screen) is not None
    return served / TRIES


for frames_held in (1, 2, 4):
    expected = 1 - 0.25**frames_held
    share = balls_served(frames_held)
    print(f"held for {frames_held}: {share:.3f} of the time, expected {expected:.3f}")

# %% [markdown]
# In normal mode 0.762, 0.941 and 0.998; a thousand tries leave the first uncertain by 0.014.
#
# The dice are thrown at every *frame*, not at every decision. A button that is held for
# four frames is ignored in all four of them only once in 256 times. What remains is a
# delay: a quarter of the decisions come late by a frame or more, a sixteenth by two or
# more. What does that do to a game?

# %%
buttons = np.random.default_rng(1).integers(4, size=60)
tracks = {sticky: [] for sticky in (0.0, 0.25)}
for sticky, seen in tracks.items():
    env = RepeatMax(raw_game(sticky=sticky))
    for game in range(5):
        env.reset(seed=None if game else 0)  # the dice roll on
        seen.append([paddle(env.step(button)[0]) for button in buttons])

# %%
drawing, axes = figure(columns=2, sharey=True)
for ax, (sticky, seen) in zip(axes, tracks.items(), strict=True):
    ax.plot(np.transpose(seen), linewidth=1.5)
    ax.set(xlabel="decision", title=f"five games, sticky with probability {sticky}")
axes[0].set_ylabel("column of the paddle")
show(
    drawing,
    "Column of the paddle over sixty decisions. Left five lines on top of each "
    "other, which look like one. Right five lines that part after a few decisions, "
    "meet at the left wall around decision 30, and part again.",
)

# %% [markdown]
# Five games with the same sixty buttons. Without stickiness the five lines lie upon each
# other, and you see one: Breakout has no chance of its own. With it, five games. (From
# decision 28 to 37 they are together once more. Before that, `LEFT` has pushed every
# paddle against the wall, and there it does not matter who came late.)
#
# That is its purpose. Machado et al. (2018) proposed it, because in a console without
# chance an agent may learn a list of buttons by heart instead of a game. The Nature
# paper had no sticky actions. Scores from the one kind of game do not belong beside
# scores from the other.
#
# ## The same game again and again
#
# The Nature paper had another remedy: each game begins with up to 30 frames of `NOOP`, a
# random number of them. **Write down your guess:** after 0, 1, 2, … 30 no-ops, how many
# different screens of Breakout are there? And if `FIRE` is pressed then, how many different
# games?

# %%
# NBVAL_CHECK_OUTPUT
env, waiting, served, trails = raw_game(), [], [], []
for noops in range(31):
    screen, info = env.reset()
    for _ in range(noops):
        screen = env.step(NOOP)[0]
    waiting.append(screen)
    flown = [env.step(button)[0] for button in [FIRE] + [NOOP] * 20]
    served.append(flown[-1])
    trails.append(np.max(flown[::5], axis=0))  # five moments in one picture
print("screens before FIRE:", len({screen.tobytes() for screen in waiting}))
print("screens 20 frames after FIRE:", len({screen.tobytes() for screen in served}))

# %%
show_frames(
    [trail[93:197, 8:152] for trail in trails[:4]],
    [f"{noops}, {noops + 4}, {noops + 8}, … no-ops" for noops in range(4)],
    alt="Four serves, each a slanting row of five dots. Downwards they lead from the "
    "middle to the left, from the middle to the right, from the right to the left, and "
    "from the left edge to the right.",
    height=2.0,
)

# %% [markdown]
# One screen, and four games: each panel shows the ball at five moments of its fall.
# Where it is served, and in which direction, depends on the number of frames modulo four.
# Thirty-one starts are four, and every fourth no-op leads to the same one again. Other
# games do better. Here is Pong, with the same random decisions after each start.


# %%
def different_games(game: str, decisions: int = 100) -> int:
    """How many different games 0 to 30 no-ops make, if the buttons are the same."""
    env, games = raw_game(game), set()
    buttons = np.random.default_rng(0).integers(env.action_space.n, size=decisions)
    for noops in range(31):
        env.reset()
        for _ in range(noops):
            env.step(NOOP)
        games.add(b"".join(env.step(b)[0].tobytes() for b in np.repeat(buttons, 4)))
    return len(games)


print("different games of Pong:", different_games("Pong", TRIES // 20))

# %% [markdown]
# Pong keeps all 31 apart (in normal mode; a few decisions are not enough to tell).
#
# ### Exercise 3.3 · RandomStart · ●●○ · 10 minutes
#
# Begin each game with a random number of no-ops. They are played inside `reset`: the agent
# does not see them, and what they bring is not part of its score.


# %%
class RandomStart(gym.Wrapper):
    """Begin each game with 0 to `noops_max` no-ops, each count equally likely.

    A no-op is one step of the game inside with action 0. The count is drawn anew in
    every reset, by any generator; with `self.np_random`, which `reset(seed=…)` seeds,
    a run can be repeated. A game that ends during its no-ops, for either reason, is
    reset; the rest of them may follow or not. `reset` returns what came last.

    Source: Mnih et al. 2015, Methods, "Evaluation procedure".
    """

    def __init__(self, env: gym.Env, noops_max: int = 30):
        super().__init__(env)
        self.noops_max = noops_max

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        # 1. Reset the game inside. 2. Draw a count. 3. Play so many no-ops.
        ### BEGIN SOLUTION
        screen, info = self.env.reset(seed=seed, options=options)
        for _ in range(self.np_random.integers(self.noops_max + 1)):
            screen, _, terminated, truncated, info = self.env.step(0)
            if terminated or truncated:
                screen, info = self.env.reset()
        return screen, info
        ### END SOLUTION


# %%
RandomStart = check(RandomStart)

# %% [markdown]
# **What you should see:** nearly every number from 0 to 30, and none beyond.

# %%
# NBVAL_CHECK_OUTPUT
env = RandomStart(raw_game())
env.reset(seed=0)
noops = [env.reset()[1]["episode_frame_number"] for _ in range(60)]
print(f"{min(noops)} to {max(noops)} no-ops, {len(set(noops))} different counts")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>Draw a count, both ends possible. Play
# action 0 so many times. Hand out the screen and info that came last: with a count of 0,
# those of the reset itself.</details>
# <details><summary>Hint 2: the call</summary><code>self.np_random.integers(n)</code> draws
# from 0 to n − 1. <code>np_random</code> is the generator that
# <code>self.env.reset(seed=seed, options=options)</code> has seeded.</details>
# <details><summary>Hint 3: the end</summary>Look at <code>terminated</code> and
# <code>truncated</code> of each no-op. If one is true, <code>self.env.reset()</code>, and
# take its screen and info. Better without the seed: with it, the same game would begin
# once more.</details>
# <details><summary>"TypeError: reset() got an unexpected keyword argument
# 'seed'"</summary>Keep the signature as it is, and pass both arguments on by name.</details>
#
# **Think:** in Breakout no-ops make four games. Where does an agent's variety come from,
# then, when it is trained?
# <details><summary>Answer</summary>From its own dice. Some of its actions are random, nearly
# all of them in the beginning, and the first that falls differently makes another game. An
# agent without random actions that is tested on a hundred games of obedient Breakout is
# tested on four.</details>

# %% [markdown]
# *Here is the place to pause.*
#
# ## The price of a long decision (aside)
#
# Four games are few enough to play them all. Here is a player of a few lines that looks
# at the ball: it keeps the paddle under it, and presses `FIRE` when there is none. It
# learns nothing and cannot be surprised, so its score tells of one thing only, how often it
# may decide.


# %%
def chase(screen) -> int:
    at = ball(screen)
    if at is None:
        return FIRE
    distance = at[1] - paddle(screen)
    return NOOP if abs(distance) <= 4 else RIGHT if distance > 0 else LEFT


def reset_at(env, frame: int):
    """Reset until the dice say so many no-ops."""
    screen, info = env.reset()
    while info["episode_frame_number"] != frame:
        screen, info = env.reset()
    return screen, info


# %%
def chased(env, start: int) -> tuple[list[float], bool]:
    """Points of every decision; did the game end within `CHASED` frames?"""
    screen, info = reset_at(env, start)
    rewards, over = [], False
    while not over and info["episode_frame_number"] < CHASED:
        screen, points, terminated, truncated, info = env.step(chase(screen))
        rewards.append(points)
        over = terminated or truncated
    return rewards, over


games, inside = {}, RandomStart(raw_game(), noops_max=3)
for hold in (1, 4, 8, 16):
    env = RepeatMax(inside, repeat=hold) if hold > 1 else inside
    games[hold] = [chased(env, start) for start in range(4)]

# %%
scores = {hold: [sum(game) for game, _ in four] for hold, four in games.items()}
for hold, four in games.items():
    cut_off = sum(not ended for _, ended in four)
    print(f"every {hold:2} frames: {scores[hold]}, mean {np.mean(scores[hold]):.0f}")
    if cut_off:
        print(f"                 {cut_off} of 4 cut off after {CHASED:,} frames")

# %%
drawing, ax = figure(height=2.8)
for hold, four in games.items():
    for score, (_, ended) in zip(scores[hold], four, strict=True):
        ax.plot(hold, score, "o" if ended else "^", color=BLUE, alpha=0.6)
    ax.plot(hold, np.mean(scores[hold]), "_", color=VERMILION, markersize=30, mew=3)
ax.set(xlabel="frames per decision", ylabel="points", xticks=list(games), ylim=0)
ax.set_title(f"triangles: cut off after {CHASED:,} frames")
show(
    drawing,
    "Points of four games each, and their mean as a bar, for decisions of 1, 4, 8 and "
    "16 frames. Games that were cut off are triangles, finished ones are dots.",
)

# %% [markdown]
# In normal mode 171, 38, 19 and 5 points on average, and the first is too low: none of its
# four games was over when it was cut off. At sixteen frames, most balls are gone before the
# player can turn round.
#
# The first old notebook played like this: four times four. The last two games in its log made
# 14 and 13 points, more than any of our four. To play like that one has to aim at where
# the ball will be, which our player cannot.
#
# The second one begins its games otherwise. It draws a number from 0 to 29, and plays so
# many *random* actions, which are neither stored nor scored.

# %%
lanes = make_lanes(get_recipe("notebook_b"), 1)
begun = [lanes.reset(seed=seed) for seed in range(min(TRIES // 16, 50))]
before = [int(rows.emulator_frames[0]) for rows in begun]
print("frames before the first decision:", before[:8])
print(len({rows.frames.tobytes() for rows in begun}), "different of", len(begun))

# %% [markdown]
# Nearly every start is another one, and often the ball is in the air: some action was
# `FIRE`. These starts make more games than no-ops do. They are also games that a better
# player would not have begun in this way, with the ball already lost in some of them.
#
# ## The game that waits
#
# Chapter 00 pressed nothing for 400 frames, and nothing came: Breakout waits for `FIRE`, at
# the start and after each lost life. An agent that has not learnt this for every
# situation, and plays without random actions, waits as well.
#
# There are three remedies, and they are not the same game. Press `FIRE` for the agent when
# a game begins, and after each lost life: this course does so when it trains on a
# processor, and many implementations do. Or leave it to the agent, as Nature did, let one
# action in twenty be random even in tests, and it will be `FIRE` before long. And in each
# case: limit the frames of a game. The limit of Nature's tests is five minutes, 18,000
# frames.
#
# ### For how long? (aside)
#
# How long would Breakout wait? Press nothing, sixteen frames at a time, until the screen
# is no longer what it was.

# %%
env = raw_game(frameskip=16)
first, info = env.reset()
screen = first
while np.array_equal(screen, first) and info["episode_frame_number"] < IDLE:
    screen, _, terminated, truncated, info = env.step(NOOP)
    assert not terminated and not truncated
waited = info["episode_frame_number"]
print(f"{np.any(screen != first, axis=2).sum():,} pixels changed at frame {waited:,}")

# %%
asleep = env.unwrapped.clone_state()


def afterwards(button: int) -> np.ndarray:
    env.unwrapped.restore_state(asleep)
    return [env.step(button)[0] for _ in range(50)][-1]


reacts = not np.array_equal(afterwards(FIRE), afterwards(NOOP))
print("the game reacts to FIRE:", reacts)
show_frames(
    [first, screen, afterwards(FIRE)],
    ["frame 0", f"frame {waited:,}", f"after {50 * 16} frames of FIRE"],
    alt="Breakout's first screen, the same after waiting, and the same after FIRE. In "
    "normal mode the second has lost digits of its counters and the third its colours.",
    height=2.6,
)

# %% [markdown]
# In normal mode it waits for 65,536 frames, 18 minutes: 2 to the power of 16. Then the
# counters at the top change, the colours begin to wander, and `FIRE` changes nothing any
# more: the agent that waits too long waits for ever. (It was reported in 2018, in issue 833 of
# `openai/gym`.)
#
# The agent of the second old notebook waited like this in its tests. Three of ten games
# ended at the limit of 10,000 steps that `Breakout-v0` had at the time. The recipe has it
# still.

# %%
limit = min(IDLE, 10_000)
lanes = make_lanes(get_recipe("notebook_b", max_env_steps_per_game=limit), 1)
rows, decisions = lanes.reset(seed=0), 0
while not (rows.truncated[0] or rows.game_over[0]):
    lanes.send(np.array([NOOP]))
    rows, decisions = lanes.recv(), decisions + 1
print(f"cut off after {decisions:,} decisions, {rows.emulator_frames[0]:,} frames")

# %% [markdown]
# In normal mode after 4,988 decisions: 10,000 steps, two per decision, and 24 random ones at
# the start. That is more than eight minutes of one screen.
#
# ## A life
#
# A lost ball costs nothing at once: no point is taken away, and there are four more. For
# the learner that is bad news, for what it is to avoid does not show in the rewards. So the
# Nature paper's code tells it: when a life is lost, the episode counts as over, and no
# value is taken from what comes after (chapter 07). The *game* goes on, with the wall as it
# is. So this is a signal, not a reset.

# %% [markdown]
# ### Exercise 3.4 · LifeLoss · ●●○ · 10 minutes
#
# Say in `info["life_lost"]` that a life was lost and the game goes on. Change nothing else.


# %%
class LifeLoss(gym.Wrapper):
    """Tell in `info["life_lost"]` (bool) that a life was lost and the game goes on.

    A life is lost when `info["lives"]` is smaller than it was after the step before.
    Games without lives lose none. The last one does not count: that is the game's end,
    as is `truncated`. `reset` says False. Everything else in info stays as it is.

    Source: the published code of Mnih et al. 2015 (`GameEnvironment.lua`).
    """

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        # 1. Reset the game inside, and note its lives.
        ### BEGIN SOLUTION
        screen, info = self.env.reset(seed=seed, options=options)
        self.lives = info.get("lives", 0)
        return screen, {**info, "life_lost": False}
        ### END SOLUTION

    def step(self, action):
        # 2. Step. Fewer lives than before, and the game goes on? 3. Note the lives.
        ### BEGIN SOLUTION
        screen, reward, terminated, truncated, info = self.env.step(action)
        lives = info.get("lives", 0)
        lost = lives < self.lives and not (terminated or truncated)
        self.lives = lives
        return screen, reward, terminated, truncated, {**info, "life_lost": lost}
        ### END SOLUTION


# %%
LifeLoss = check(LifeLoss)

# %% [markdown]
# **What you should see:** four lost lives, and the end. `RepeatMax` stands around it:
# the life is lost in one frame of four, and told in the decision.

# %%
# NBVAL_CHECK_OUTPUT
env, rng = RepeatMax(LifeLoss(raw_game())), np.random.default_rng(0)
env.reset()
over, decision = False, 0
while not over:
    *_, terminated, truncated, info = env.step(rng.integers(4))
    over, decision = terminated or truncated, decision + 1
    if info["life_lost"] or over:
        print(f"decision {decision:3}: life_lost {info['life_lost']!s:5} over {over}")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>Compare with the step before: fewer lives
# than then, and the game is neither terminated nor truncated. Nothing is reset and
# <code>terminated</code> stays what it is.</details>
# <details><summary>Hint 2: the call</summary><code>info.get("lives", 0)</code> is 0 where a
# game has no lives. <code>{**info, "life_lost": lost}</code> is info with one entry more, a
# bool. <code>reset</code> returns an info, too: there the entry is
# <code>False</code>.</details>
# <details><summary>Hint 3: what has to be kept</summary>The lives, in <code>self</code>, noted
# by <code>reset</code> and after <em>every</em> step. Some games give a life back; the one
# after that is lost like any other.</details>
# <details><summary>"KeyError: 'lives'"</summary>Not every game tells its lives.
# <code>info["lives"]</code> asks for an entry that may be missing;
# <code>info.get("lives", 0)</code> does not mind.</details>
#
# **Think:** `lives < self.lives` in one frame of four, and `RepeatMax` outside. Could they
# stand the other way round, `LifeLoss(RepeatMax(…))`?
# <details><summary>Answer</summary>In Breakout, yes: it compares once per decision, and
# finds the same. A game that takes a life and gives one within the same four frames would
# fool it.</details>
#
# ### The flag that restarts the game (aside)
#
# ALE's own vector environment, which you will meet below, plays many games at once. It has a
# flag `episodic_life`, which sounds like this wrapper. Play the same random actions
# with and without.


# %%
def around_a_life(**flags):
    """Screens and facts before and after the first life that is lost with points."""
    settings = {"stack_num": 1, "noop_max": 1, "use_fire_reset": False}
    lanes = AtariVectorEnv("breakout", 1, reward_clipping=False, **settings, **flags)
    screen, facts = lanes.reset(seed=0)
    buttons, score, seen = np.random.default_rng(35).integers(4, size=400), 0, []
    for button in buttons:
        before, lives = screen, int(facts["lives"][0])
        screen, points, *_, facts = lanes.step(np.array([button]))
        score += int(points[0])
        if (score and facts["lives"][0] < lives) or seen:
            seen.append((int(facts["lives"][0]), int(facts["episode_frame_number"][0])))
        if len(seen) == 3:
            return seen, before[0, 0], screen[0, 0]


# %%
# NBVAL_CHECK_OUTPUT
going_on, restarted = around_a_life(), around_a_life(episodic_life=True)
for name, (facts, *_) in (("without", going_on), ("with", restarted)):
    print(f"{name:7} episodic_life: (lives, frame) at three decisions in a row {facts}")

# %%
show_frames(
    [going_on[2], restarted[2]],
    ["without: the game goes on", "with: another game"],
    alt="Two grey screens two decisions after a lost life. Left the wall has two "
    "holes and the counter says 002, four lives; right everything is new.",
    height=3.0,
)

# %% [markdown]
# A life is lost with 2 points on the counter, in both. Without the flag four lives are left,
# the clock runs on to the fourth frame of the decision, 412, and the wall keeps its two
# holes. With it, the decision breaks off in the frame that took the life, 411; the next
# screen has five lives and frame 0, and the whole game was restarted. Such an agent only
# ever plays the first ball, against a full wall. What comes after, it meets untrained.
# Gymnasium's `AtariPreprocessing(terminal_on_life_loss=True)` ends the episode at each life
# in the same way. This course reads the lives, as you did.
#
# ### Lives that are added up (aside)
#
# The second old notebook's log has a column for the lives: 5.4 to 5.9 on average, in a
# game of five. Its library repeats each action twice and adds up everything that the
# game says, points and lives alike.

# %%
env, rng = raw_game(frameskip=(2, 5), sticky=0.25), np.random.default_rng(0)
added, true, over = [], [], True
for _ in range(2 * DECISIONS):
    if over:
        env.reset(seed=0 if not added else None)
    action, lives = rng.integers(4), []
    for _ in range(2):
        *_, terminated, truncated, info = env.step(action)
        lives.append(info["lives"])
        if over := terminated or truncated:
            break
    added.append(sum(lives))
    true.append(lives[-1])
print(f"as logged {np.mean(added):.2f}, true {np.mean(true):.2f}")

# %% [markdown]
# In normal mode 5.92 as logged, 2.95 in truth. The log's 5.4 to 5.9 are twice a number of
# lives. Nothing was trained on it, so it did no harm, except to whoever read it. Whoever
# adds up what happens in several frames has to ask of each number whether it can be added.
#
# ## A point
#
# Breakout's bricks are worth 1, 4 or 7 points, by their row. This is what the player of a few
# lines found, when it decided on every frame.

# %%
worths = Counter(int(points) for game, _ in games[1] for points in game if points)
print("bricks by worth:", dict(sorted(worths.items())))

# %% [markdown]
# Other games pay 10 or 400. A network that is to learn all of them with one learning rate
# should not see the difference, so Mnih et al. (2015, Methods) clip rewards to −1 … 1, and
# say what it costs: the agent cannot tell a good reward from a better one.
#
# Only the learner sees the clipped reward. A *score* is in the game's own points.

# %% [markdown]
# ### Exercise 3.5 · clip_reward · ●○○ · 5 minutes
#
# One function for the rewards of many games at once. `limit` is a setting: the two older
# notebooks that this course grew out of clipped nothing, which is a limit of infinity.


# %%
def clip_reward(rewards: np.ndarray, limit: float = 1.0) -> np.ndarray:
    """Rewards as the learner sees them; the score keeps the raw ones.

    Args:
        rewards: `(L,)` float32, each the sum over the repeated frames of one step. They
            are not changed: the caller adds them up as the score.
        limit: largest size of a reward; inf leaves them as they are.
    Returns:
        `(L,)` float32, a new array.
    Source: Mnih et al. 2015, Methods, "Training details".
    """
    # What is larger than the limit becomes the limit, on either side.
    ### BEGIN SOLUTION
    return np.clip(rewards, -limit, limit).astype(np.float32)
    ### END SOLUTION


# %%
clip_reward = check(clip_reward)

# %%
# NBVAL_CHECK_OUTPUT
raw = np.array([0, 1, 4, 7, 11, -1, -20, 0.5], np.float32)
print("raw    ", raw)
print("clipped", clip_reward(raw))
print("signs  ", np.sign(raw))
print("notebooks", clip_reward(raw, get_recipe("notebook_a").reward_clip))

# %% [markdown]
# **What you should see:** a decision that brought 11 points, 4 and 7, is worth as much to the
# learner as one that brought 1. Clipping comes after adding up. (Clipping and taking signs
# differ by the half point: there is no such thing in Breakout, but there is in games of your
# own.)
#
# <details><summary>Hint 1: the idea</summary>Three cases: above the limit, below its
# negative, and between, where nothing happens.</details>
# <details><summary>Hint 2: the call</summary><code>np.clip(rewards, low, high)</code>
# makes a new array; <code>.astype(np.float32)</code> fixes its type.</details>
# <details><summary>"ValueError: The truth value of an array with more than one element is
# ambiguous"</summary><code>min</code> and <code>max</code> of Python compare whole arrays.
# <code>np.minimum</code> and <code>np.maximum</code>, or <code>np.clip</code>, compare
# element by element.</details>
#
# **Think:** the player above found bricks of all three worths. An agent that learns from
# clipped rewards has the choice between a brick of 1 and one of 7. Which does it take?
# <details><summary>Answer</summary>The one that comes sooner. To it they are the same.
# That such agents dig a tunnel to the upper rows has another reason: behind the wall the
# ball breaks many bricks in a row without ever being in danger.</details>

# %% [markdown]
# What would be lost if the score were clipped, too?

# %%
for hold, four in games.items():
    raw = np.mean(scores[hold])
    arrays = [np.array(game, np.float32) for game, _ in four]
    clipped = np.mean([clip_reward(array).sum() for array in arrays])
    print(f"every {hold:2} frames: {raw:5.1f} points, clipped {clipped:5.1f}")

# %% [markdown]
# In normal mode 171 points become 63, 38 become 24, and 5 stay 5. The better the player, the
# higher up it hits, and the more of it a clipped score hides.
#
# Clip late, and keep the raw numbers. ALE's vector environment clips unless you say
# `reward_clipping=False`, and then the true score is nowhere to be found.
#
# ## A state
#
# Look at this screen. Where does the ball go?

# %%
env, greys = RepeatMax(raw_game()), []
screen, info = env.reset()
for _ in range(32):
    screen = env.step(chase(screen))[0]
    greys.append(resize(luminance(screen), 84, 84, method="area"))
show_frames([greys[25][20:80]], ["one frame"], "One ball in the field.", height=2.2)

# %%
show_frames(
    [greys[number][20:80] for number in range(22, 26)],
    ["3 before", "2 before", "1 before", "the same as above"],
    alt="Four screens in a row: the ball leaves the paddle and flies up to the right.",
    height=2.0,
)

# %% [markdown]
# Up, and to the right. No player can tell it from one screen. So the *state* that the
# network gets is a stack: the four most recent frames, one per decision, the oldest
# first. Both old notebooks did the same. A stack is moved on with each decision: the
# oldest frame drops out, the newest comes in at the end.
#
# ```text
#     frame            1     2     3     4     5     6 │  7     8
#     stack         ~~~1  ~~12  ~123  1234  2345  3456 │ ~~~7  ~~78      ~ black
#                                           a game begins
# ```
#
# At a start there is nothing before, and the three older places are black. Games begin, and
# in training so does each life: behind a lost ball lies another episode, and its state
# should not show the paddle of the one before.

# %% [markdown]
# ### Exercise 3.6 · FrameStack · ●●● · 15 minutes
#
# Write the stack for several games at once, in tensors, since the network will read them.
# Each call of `push` brings one frame per game, a *lane*, and says which of them starts
# anew. It will serve training, evaluation and films, and in chapter 04 your memory has to
# rebuild, bit by bit, what this class has shown. The black beginning is written for you.


# %%
class FrameStack:
    """The last `stack_frames` frames of each lane: the state that the agent acts on.

    `current` is `(lanes, stack_frames, H, W)` uint8 on `device`, oldest frame first,
    newest last; zeros before the first push.
    """

    def __init__(
        self,
        lanes: int,
        stack_frames: int = 4,
        frame_shape: tuple[int, int] = (84, 84),
        device: str | torch.device = "cpu",
    ):
        shape = (lanes, stack_frames, *frame_shape)
        self.current = torch.zeros(shape, dtype=torch.uint8, device=device)

    def push(self, frames: torch.Tensor, starts: np.ndarray) -> torch.Tensor:
        """Append one frame per lane; the new `current`, a fresh tensor.

        Args:
            frames: `(lanes, H, W)` uint8. They are not changed, nor are earlier stacks.
            starts: `(lanes,)` bool, True where this frame begins a new stack.
        """
        # 1. What stays: all but the oldest; in lanes that start, black.
        # 2. Put the newest behind it.
        ### BEGIN SOLUTION
        older = self.current[:, 1:].clone()
        older[torch.from_numpy(np.asarray(starts))] = 0
        self.current = torch.cat([older, frames[:, None]], dim=1)
        return self.current
        ### END SOLUTION


# %%
FrameStack = check(FrameStack)

# %% [markdown]
# **What you should see:** two lanes with frames of a single pixel. The first lane starts
# once, the second again at its fourth frame.

# %%
# NBVAL_CHECK_OUTPUT
stack = FrameStack(2, frame_shape=(1, 1))
for number in range(1, 7):
    pixels = torch.tensor([10 + number, 20 + number], dtype=torch.uint8)
    starts = np.array([number == 1, number in (1, 4)])
    shown = stack.push(pixels[:, None, None], starts)
    print(number, shown[0].flatten().tolist(), shown[1].flatten().tolist())

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>Drop the oldest frame, make what is left black
# in the lanes that start, and put the newest frame at the end. Black is zero.</details>
# <details><summary>Hint 2: the call</summary><code>self.current[:, 1:]</code> leaves the
# oldest out, <code>frames[:, None]</code> makes <code>(lanes, 1, H, W)</code>, and
# <code>torch.cat([…], dim=1)</code> joins them. All of it is uint8 and stays so; a factor of
# <code>1.0</code> or a <code>torch.zeros</code> without
# <code>dtype=torch.uint8</code> makes floats of it.</details>
# <details><summary>Hint 3: who starts</summary><code>starts</code> has one entry per lane,
# and so has the first axis: <code>older[torch.from_numpy(starts)] = 0</code> blackens
# those lanes and leaves the others. The newest frame is never black, so do it before you
# join.</details>
# <details><summary>Hint 4: whose memory</summary>A slice is a view: writing into
# <code>self.current</code> or into <code>self.current[:, 1:]</code> writes into a stack that
# was handed out and that somebody may still hold. Take a <code>.clone()</code> first.
# <code>torch.cat</code> makes a new tensor.</details>
# <details><summary>"RuntimeError: Tensors must have same number of dimensions"</summary>
# The stack has four axes, the frames have three. <code>frames[:, None]</code> has
# four.</details>
#
# **Think:** from each picture of a stack to the next pass four frames of the console. How
# far back does the agent see, and what can it not know?
# <details><summary>Answer</summary>From the oldest to the newest are three decisions, 12
# frames, a fifth of a second: enough for the ball's direction and speed. What was longer ago
# is lost, for example how often the ball has been hit, after which it flies
# faster.</details>
#
# ## Beside ours

# %%
compare("RepeatMax")

# %%
compare("FrameStack")

# %% [markdown]
# ## All together
#
# A console frame passes through three wrappers, two functions of chapter 02 and a stack.

# %% [markdown]
# ### Exercise 3.7 · In which order? · ●●○ · 5 minutes
#
# Put the three wrappers around the raw game, such that no-ops are frames (half a second at
# most, as in the Nature paper), and a decision tells of a life that was lost in any of its
# frames, even if one was given back in the next. To see that, it is tried on a game of two
# lives: its second frame takes one, its third gives it back.


# %%
def wrapped(env: gym.Env, noops_max: int = 30) -> gym.Env:
    """The raw game inside RandomStart, LifeLoss and RepeatMax, in a suitable order."""
    ### BEGIN SOLUTION
    return RepeatMax(LifeLoss(RandomStart(env, noops_max)))
    ### END SOLUTION


# %%
class TakesAndGives(gym.Env):
    """Its second frame takes one of two lives, its third gives it back."""

    action_space = gym.spaces.Discrete(4)
    observation_space = gym.spaces.Box(0, 255, (1, 1, 3), np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.frame = 0
        return np.zeros((1, 1, 3), np.uint8), {"lives": 2, "frame": 0}

    def step(self, action):
        self.frame += 1
        info = {"lives": 1 if self.frame == 2 else 2, "frame": self.frame}
        return np.zeros((1, 1, 3), np.uint8), 0.0, False, False, info


# %%
# NBVAL_CHECK_OUTPUT
def first_frames(noops_max):
    env = wrapped(TakesAndGives(), noops_max)
    first = [env.reset()[1]["frame"] for _ in range(1_000)]
    return f"{min(first)} to {max(first)}"


def first_decision(entry):
    env = wrapped(TakesAndGives(), 0)
    while env.reset()[1]["frame"] > 0:
        pass  # until it begins without no-ops
    return str(env.step(NOOP)[4].get(entry))


right = [
    beside("frames before the first decision", "0 to 30", first_frames, 30),
    beside("the same with noops_max=3", "0 to 3", first_frames, 3),
    beside("frame after the first decision", "4", first_decision, "frame"),
    beside("life_lost, one taken and given back", "True", first_decision, "life_lost"),
]

# %% [markdown]
# **What you should see:** four times ✅.
#
# <details><summary>Hint 1: the idea</summary>Whatever stands inside <code>RepeatMax</code>
# counts in frames, whatever stands around it counts in decisions.</details>
# <details><summary>Hint 2: the call</summary>A wrapper takes the environment inside
# as its first argument, so the innermost stands next to <code>env</code>. The longest
# start is the second argument of <code>RandomStart</code>.</details>
# <details><summary>"expected 0 to 30, yours: 0 to 120"</summary>Your no-ops are
# decisions: each lasts four frames. In the second line, "yours: 0 to 30" says that
# <code>noops_max</code> was not handed on.</details>
# <details><summary>"expected True, yours: False"</summary>Your <code>LifeLoss</code>
# compares once per decision, and misses what happens in between.</details>
#
# **Think:** and a start of 0 to 30 *decisions* of no-op instead, up to two seconds: what
# would it do to Breakout's four games?
# <details><summary>Answer</summary>Make one of them. The starts would lie 4 frames apart, and
# Breakout's serve depends on the frame modulo four.</details>

# %%
if not all(right):  # go on with ours

    def wrapped(env, noops_max=30):
        return RepeatMax(LifeLoss(RandomStart(env, noops_max)))


# %% [markdown]
# ## Bit by bit
#
# This course trains on `AtariVectorEnv`, ALE's own vector environment. It is written in
# C++, runs on as many threads as there are cores, and does all that you have written:
# random starts, repetition, maximum, luminance, resizing, stacks. Nobody should train on
# it without knowing that it does the same. Two environments, the same random actions,
# every bit compared.
#
# Each throws its own dice for the no-ops. So let ALE throw, and throw ours until they fall
# alike: that is what `reset_at` was for.


# %%
class Yours:
    """Your environment, as the network sees it: one lane, `(1, 4, 84, 84)` uint8."""

    def __init__(self, game="Breakout", noops_max=30):
        self.env, self.stack = wrapped(raw_game(game), noops_max), FrameStack(1)
        self.env.reset(seed=0)

    def begin(self, frame: int):
        screen, info = reset_at(self.env, frame)
        return self.seen(screen, True), (0.0, False, info["lives"], frame)

    def step(self, action: int):
        screen, points, terminated, _, info = self.env.step(action)
        facts = (points, terminated, info["lives"], info["episode_frame_number"])
        return self.seen(screen, False), facts

    def seen(self, screen, start: bool):
        grey = resize(luminance(screen), 84, 84, method="area")
        return self.stack.push(torch.from_numpy(grey)[None], np.array([start])).numpy()


# %%
class Theirs:
    """ALE's vector environment with one lane, every setting spelled out."""

    def __init__(self, game="breakout", noops_max=30, lanes=1):
        self.env = AtariVectorEnv(
            game,
            lanes,
            noop_max=noops_max + 1,  # it draws from 0 to noop_max - 1
            use_fire_reset=False,
            reward_clipping=False,
            episodic_life=False,
        )

    def begin(self):
        stacks, info = self.env.reset(seed=0)
        return stacks, int(info["episode_frame_number"][0])

    def step(self, action: int):
        stacks, points, ended, _, info = self.env.step(np.array([action]))
        numbers = (info["lives"][0], info["episode_frame_number"][0])
        return stacks, (float(points[0]), bool(ended[0]), *map(int, numbers))


# %% [markdown]
# After a game's last decision ALE begins the next one by itself, and ignores the action
# that comes with that call. It is not a decision, and ours begins its next game there.


# %%
def play_both(yours: Yours, theirs: Theirs, decisions: int):
    """For each decision: are all facts equal, the end, theirs, and both stacks."""
    rng, ended = np.random.default_rng(0), False
    their_stack, frame = theirs.begin()
    your_stack, _ = yours.begin(frame)
    for _ in range(decisions):
        action = int(rng.integers(yours.env.action_space.n))
        their_stack, facts = theirs.step(action)
        if ended:  # that action was ignored
            your_stack, your_facts = yours.begin(facts[-1])
        else:
            your_stack, your_facts = yours.step(action)
        ended = facts[1]
        yield your_facts == facts, ended, facts, your_stack, their_stack


# %%
rows = list(play_both(Yours(), Theirs(), DECISIONS))
same_facts = [same for same, *_ in rows]
different = [not np.array_equal(yours, theirs) for *_, yours, theirs in rows]
ends = [ended for _, ended, *_ in rows]
score = sum(facts[0] for _, _, facts, *_ in rows)
print(f"{len(rows):,} decisions, {sum(ends)} games ended, {score:.0f} points")
print("points, ends, lives, frames equal:", sum(same_facts))
print("stacks that differ:", sum(different))
print("of which at the end of a game:", sum(np.logical_and(different, ends)))

# %% [markdown]
# In normal mode: 2,000 decisions, ten games, and every number equal in all of them. The
# stacks, 28,224 bytes each, are equal bit by bit in all but 5, and these 5 are ends of
# games.
#
# ### The row at the end (aside)

# %%
short = np.diff([facts[-1] for _, _, facts, *_ in rows]) < 4
inside = sum(np.logical_and(short, ends[1:]))
print(f"{inside} of {sum(ends)} games ended inside a decision")

# %%
last = [row for row, odd in zip(rows, different, strict=True) if odd][:1]
pictures = [stack[0, 3] for _, _, _, *stacks in last for stack in stacks]
pictures = pictures or [rows[-1][3][0, 3], rows[-1][4][0, 3]]
frames_apart = np.abs(pictures[0].astype(int) - pictures[1])
show_frames(
    [*pictures, (frames_apart > 0).astype(np.uint8) * 255],
    ["yours", "ALE's", "where they differ"],
    alt="One screen as both environments show it, and white on black the pixels in "
    "which they differ: few, or none in smoke mode.",
    height=2.6,
)

# %% [markdown]
# In normal mode all ten end inside a decision, before its fourth frame. Yours shows the
# very last frame; ALE takes no new picture then and shows an older one. Where something moved
# in between, they differ. Neither is wrong, and it does not matter: it is
# the picture after the end, from which no value is taken. But whoever compares two
# environments has to know about this row, and leave it out.
#
# ### Another game (aside)
#
# Breakout alone proves little: it has few things in it that move. Compare on Pong.

# %%
pong = list(play_both(Yours("Pong", 0), Theirs("pong", 0), min(DECISIONS, 300)))
apart = [np.abs(yours.astype(int) - theirs).max() for *_, yours, theirs in pong]
print("facts equal:", sum(same for same, *_ in pong), "of", len(pong))
print("stacks that differ:", np.count_nonzero(apart), "by", max(apart), "grey levels")

# %% [markdown]
# The facts are equal, most stacks are not. Yours takes the maximum colour by colour, as
# Mnih et al. (2015) describe it, and then the luminance. ALE takes the luminance of each
# frame first. Green over brown is the difference: the maximum of both colours is a third
# one. In Breakout things move on black, where the order does not matter.
#
# So few grey levels will not hurt an agent. Two orders in one agent might: so the course
# has a setting for it, `max_over`, which is `rgb` or `luminance`, and each training keeps
# to one.
#
# ## One name, four games (aside)
#
# All of these have been called "DQN on Breakout": the Nature paper, what this course
# trains on a processor, and the two older notebooks.

# %%
# NBVAL_CHECK_OUTPUT
print("recipe      frames  sticky  maximum     clip  life ends  FIRE")
for name in ("mnih2015", "laptop", "notebook_a", "notebook_b"):
    recipe = get_recipe(name)
    most = recipe.repeat_frames * recipe.repeat_actions
    least = (recipe.repeat_frames_min or recipe.repeat_frames) * recipe.repeat_actions
    length = f"{least} to {most}" if least < most else f"{most}"
    game = f"{length:6}  {recipe.sticky_probability:<6}  {recipe.max_over:9}"
    told = f"{recipe.reward_clip:5}  {recipe.terminal_on_life_loss!s:9}"
    print(f"{name:11} {game} {told}  {recipe.fire_at_start}")

# %% [markdown]
# Between the first row and the last two lies all of this chapter: neither notebook took a
# maximum, clipped a reward (a limit of `inf` clips nothing) or heard of a lost life.
#
# ## What it costs (aside)
#
# The same work, in Python and in C++, and the bare console for comparison.


# %%
def decisions_per_second(step, decisions: int = DECISIONS // 3) -> float:
    started = time.perf_counter()
    for _ in range(decisions):
        step()
    return decisions / (time.perf_counter() - started)


console, yours = raw_game(frameskip=4), Yours(noops_max=0)
theirs, fires = Theirs(noops_max=0, lanes=4), np.full(4, FIRE)
console.reset(), yours.begin(0), theirs.env.reset()


def step_yours():
    if yours.step(FIRE)[1][1]:
        yours.begin(0)


print("decisions a second:")
print(f"console {decisions_per_second(lambda: console.step(NOOP)):,.0f}")
print(f"yours   {decisions_per_second(step_yours):,.0f}")
ales = 4 * decisions_per_second(lambda: theirs.env.step(fires))
print(f"ALE's   {ales:,.0f} in four games")

# %% [markdown]
# Your numbers depend on your machine, and on what else it does. C++ is less of a gain than
# one expects, and the first row says why: a good part of a decision is four frames of the
# console, and both need them. What ALE has is threads. It plays as many games at once as
# there are cores, and while they play, Python is free to train the network. Chapters 08 and
# 10 live on that.
#
# ## Summary
#
# > - A decision of DQN lasts four frames of the console: points are added up, the last two
# >   frames are shown as one. Count them: two skips on top of each other make sixteen.
# > - v4 obeys, v0 and v5 ignore the button in a quarter of the frames. Say `frameskip` and
# >   `repeat_action_probability` yourself.
# > - No-ops make games differ; in Breakout they make four. Without `FIRE` there is none.
# > - A lost life is a signal to the learner. The game goes on; a flag that restarts it
# >   makes another game.
# > - Rewards are clipped for the learner, never for the score.
# > - A state is the four newest frames; before a start it is black.
#
# All five pieces are parts of the agent: once a wrapper of yours is in `my_dqn`, an agent
# of your pieces plays Atari through the three of them.

# %%
progress()

# %% [markdown]
# ## Quiz
#
# 1. (After the aside on waiting.) The second old notebook reports the lengths of its ten
# test games: 414, 4997, 5000, 4994, 693, 448, 365, 390, 507 and 307 decisions. Three games
# ran into the limit of 10,000 steps of the game, two per decision. Why are these three not equal?
# <details><summary>Answer</summary>The random actions at the start are steps of the game, too,
# and count against the limit. 4,997 decisions leave 6 or 7 for the start, 5,000 leave none
# or one, 4,994 leave 12 or 13.</details>
#
# 2. An agent was trained in the environment of this chapter. The same weights score far less
# when they are tested on `ALE/Breakout-v5`, with nothing else said, and `RepeatMax` around
# it. Name two things that changed.
# <details><summary>Answer</summary>The game skips four frames by itself, so a decision now
# lasts sixteen; and it is sticky. The first you can see in the frame numbers: they
# rise by 16 per decision.</details>
#
# 3. Someone trains with ALE's `episodic_life=True`. The scores in his training log are far
# below those of his tests, in which whole games are played. Is something wrong with the
# tests?
# <details><summary>Answer</summary>No. Each lost life starts a new game, so a "game" in the
# log is one life against a full wall. What is wrong is the training: states that come after
# the first life, with few bricks left, are rare in it. The agent sees them only if it gets
# there with its first ball.</details>
#
# 4. A reward of −1 for a lost life is put into the environment, "to help". Why is the score
# of the next run 5 points lower, and is the agent worse?
# <details><summary>Answer</summary>The score is the sum of what the environment pays, and a
# game has five lives. What is for the learner only must be added where the learner reads
# it, after the score has been counted, as <code>clip_reward</code> is applied.</details>
#
# Your environment hands out 7,056 new bytes with every decision, and DQN wants to keep a
# million of them. Chapter 04 builds the memory for that.
