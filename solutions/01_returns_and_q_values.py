# %% [markdown]
# # 01 · From rewards to Q-values
#
# A game pays points, now and then, and says nothing about the moves in between. In this
# chapter you turn points into a number for every single action: by hand, by arithmetic,
# and by trial and error. A table of such numbers learns a small game to perfection.
# Then you count why no table will ever hold Breakout.
#
# **Goals**: compute the return of an episode, and say how far a discount sees · check
# the Bellman equation by hand · find exact Q-values where the rules are known · learn
# them by Q-learning where they are not · measure what a single picture hides · say what
# a table of screens would cost.
#
# **Prerequisites**: chapter 00 (the environment, the loop, random play). NumPy's
# indexing by arrays. A logarithm or two.
#
# **Minutes**: 75

# %%
import math
from collections.abc import Sequence

import ale_py
import gymnasium as gym
import numpy as np
import torch

from dqn_ref import agents
from dqn_ref.course import begin, check, compare, figures, progress, shipped_run
from dqn_ref.course.figures import BLUE, GREEN, GREY, ORANGE, VERMILION, figure, show
from dqn_ref.course.widgets import slide
from dqn_ref.evaluation import evaluate_network, play_random_game
from dqn_ref.games import ShootingGallery, SymbolicShootingGallery
from dqn_ref.recipes import get_recipe

# %%
MODE = begin("01").mode
TRAININGS = {"smoke": 2, "normal": 10, "full": 50}[MODE]  # of a table
DICE_GAMES = {"smoke": 3, "normal": 10, "full": 100}[MODE]  # of Breakout
AGENT_GAMES = {"smoke": 1, "normal": 4, "full": 20}[MODE]
FRAMES = {"smoke": 1_200, "normal": 18_000, "full": 18_000}[MODE]  # of a game, at most

# %% [markdown]
# ## Two games, one score
#
# The random player of chapter 00 again. This time keep every reward, one for each
# decision, and put two of the games beside each other.


# %%
ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # no banner
gym.register_envs(ale_py)
env = gym.make(
    "ALE/Breakout-v5",
    frameskip=4,
    repeat_action_probability=0,
    disable_env_checker=True,
)


def rewards_of_a_game(seed: int) -> list[float]:
    """One reward for each decision of a random game."""
    rng, rewards, over = np.random.default_rng(seed), [], False
    env.reset(seed=0)
    while not over:
        _, reward, terminated, truncated, _ = env.step(int(rng.integers(4)))
        rewards.append(float(reward))
        over = terminated or truncated
    return rewards


early, late = rewards_of_a_game(1), rewards_of_a_game(19)

# %%
# NBVAL_CHECK_OUTPUT
for rewards in (early, late):
    decisions = 1 + np.flatnonzero(rewards)
    print(f"{len(rewards)} decisions, {sum(rewards):.0f} points, at {decisions}")

# %%
drawing, ax = figure(height=2.0)
for line, (rewards, colour) in enumerate([(early, BLUE), (late, VERMILION)]):
    ax.plot([0, len(rewards) / 15], [line, line], color=colour)
    points = (1 + np.flatnonzero(rewards)) / 15
    ax.plot(points, [line] * len(points), "o", color=colour, markersize=12)
ax.set(xlabel="seconds of play", yticks=[0, 1], yticklabels=["one game", "another"])
ax.set(ylim=(1.6, -0.6))
show(
    drawing,
    "Two lines of 12 and 13 seconds. On the first, points at 2 and 9 seconds, on the "
    "second at 9 and 12.",
)

# %% [markdown]
# Both end with a score of 2. **Choose before you read on:** you may be in one of them,
# at its first screen. Which one?
#
# The score does not care. But a point that is two seconds away has something to do with
# what you do now; one that is twelve seconds away lies behind many other decisions, and
# perhaps behind a lost ball. So let a point weigh less, the later it comes: each
# decision takes the same share off. What is left of 1 after one decision is the
# *discount* γ (gamma), and the weighted sum is the **return** of a game:
#
# $$G = r_1 + \gamma r_2 + \gamma^2 r_3 + \gamma^3 r_4 + \dots$$
#
# With γ = 0.5, rewards of 0, 0, 1 return 0.25, and rewards of 1, 2, 4 return 1 + 1 + 1
# = 3. With γ = 1 the return is the score.

# %% [markdown]
# ### Exercise 1.1 · The return · ●○○ · 10 minutes
#
# Write the sum. It is asked for games of thousands of decisions, and for games that are
# over before anything was paid.


# %%
def discounted_return(rewards: Sequence[float], discount: float) -> float:
    """Return of an episode as seen from its first step: r₁ + γ r₂ + γ² r₃ + …

    Args:
        rewards: of one episode, in order; a list, a tuple or an array, of any length.
            They stay as they are.
        discount: γ.
    Returns:
        One float; 0.0 for an episode without rewards.
    Source: Sutton and Barto 2018, equation 3.8.
    """
    # 1. The first reward counts in full.
    # 2. Each later one weighs γ times as much as the one before it.
    ### BEGIN SOLUTION
    total = 0.0
    for reward in reversed(rewards):
        total = reward + discount * total
    return float(total)
    ### END SOLUTION


# %%
discounted_return = check(discounted_return)

# %% [markdown]
# **What you should see:** a badge that says `passes`, and below, for the two games,
# 0.977 and 0.406.

# %%
# NBVAL_CHECK_OUTPUT
for rewards in (early, late):
    value = discounted_return(rewards, 0.99)
    print(f"score {sum(rewards):.0f}, return {value:.3f}")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>Add up rewards, each times its weight. The
# weights are 1, γ, γ², γ³ and so on. Read backwards it needs no powers: what a game is
# worth from some step on is the reward of this step, plus γ times what it is worth from
# the next step on.</details>
# <details><summary>Hint 2: the call</summary><code>enumerate(rewards)</code> counts the
# rewards from 0, and <code>discount**0</code> is 1. <code>reversed(rewards)</code>
# reads lists, tuples and arrays backwards and changes none of them.</details>
# <details><summary>"RecursionError: maximum recursion depth exceeded"</summary>A
# function that calls itself for each reward comes to about a thousand. Games of
# Breakout are longer; a loop has no such limit.</details>
# <details><summary>"AttributeError: 'tuple' object has no attribute
# 'reverse'"</summary><code>rewards.reverse()</code> exists for lists only, and it turns
# round the list of the one who asked.</details>
#
# **Think:** an endless game pays at most 1 per decision. How large can a return with
# γ = 0.99 be?
# <details><summary>Answer</summary>1 + γ + γ² + … = 1 / (1 − γ) = 100. This is worth
# remembering. The networks of later chapters learn from rewards clipped to 1, so a
# value above 100 in a log is a mistake, however well the agent plays.</details>
#
# ## What a discount sees
#
# A return can be asked for at every moment of a game: what are the rewards *from here
# on* worth? Your function answers it, given the rest of the list.

# %%
DISCOUNTS = [0.5, 0.8, 0.9, 0.95, 0.99, 0.995, 0.999]


def returns_of_both(position):
    """Both games, as seen from each of their moments with one of the discounts."""
    discount = DISCOUNTS[position]
    drawing, ax = figure(height=3.0)
    for rewards, colour in ((early, BLUE), (late, VERMILION)):
        steps = range(len(rewards))
        ahead = [discounted_return(rewards[step:], discount) for step in steps]
        ax.plot(np.array(steps) / 15, ahead, color=colour)
    ax.set(xlabel="seconds of play", ylabel="return from here on", ylim=(0, 2.05))
    ax.set_title(f"discount {discount}")
    return show(
        drawing,
        f"Two curves for a discount of {discount}, a blue and a red one. Each rises "
        "towards a point, falls as the point is paid, and ends at 0.",
    )


slide(returns_of_both, len(DISCOUNTS), "discount", start=4)

# %% [markdown]
# The picture starts at γ = 0.99. A return swells as a point comes nearer and falls by
# about one when it is paid. Move the slider. At 0.5 a point is invisible until it is a
# few decisions away, so whatever led to it goes unrewarded. At 0.999 the curves are
# stairs that count the points still to come; near or far, early or late, it is nearly
# the same, and every reward of the next minute is mixed into what this one decision
# seems to be worth.
#
# "A few decisions" deserves a number. A decision of Breakout holds its action for four
# frames of a console that draws sixty in a second. After how many seconds has a point
# lost half its weight?

# %% [markdown]
# ### Exercise 1.2 · Half-life · ●○○ · 5 minutes
#
# Turn a discount into seconds. You need the number n for which γⁿ is one half, and it
# need not be a whole number.


# %%
def half_life(discount: float, frames_per_decision: float) -> float:
    """Seconds until a reward weighs half; the console draws 60 frames in each."""
    # 1. The number of decisions n with discount**n = 0.5.
    # 2. In seconds.
    ### BEGIN SOLUTION
    decisions = math.log(0.5) / math.log(discount)
    return decisions * frames_per_decision / 60
    ### END SOLUTION


# %% [markdown]
# This exercise and three of the others are no pieces of the agent. The following
# function stands for their check: it prints what is expected beside what yours gives.


# %%
def beside(question: str, expected, function, *arguments) -> None:
    """Print what is expected beside what your function returns; never raises."""
    try:
        answer = function(*arguments)
        right = expected(*arguments) if callable(expected) else expected
        near = answer is not None and math.isclose(answer, right, abs_tol=6e-4)
        words = f"expected {short(right)}, yours: {short(answer)}"
        print(f"{'✅' if near else '❌'} {question}: {words}")
    except NotImplementedError:
        print(f"◻ {question}: not attempted yet")
    except Exception as error:
        print(f"❌ {question}: {type(error).__name__}: {error}")


def short(value) -> str:
    """A number in a few digits."""
    if isinstance(value, (int, np.integer)):
        return f"{value:,}" if abs(value) < 10**18 else "more than 10^18"
    return f"{value:.3f}" if isinstance(value, float) else f"{value!r:.60}"


# %%
# NBVAL_CHECK_OUTPUT
beside("half after each second", 1.0, half_life, 0.5, 60)
beside("0.99, four frames a decision", 4.598, half_life, 0.99, 4)
beside("0.99, sixteen frames a decision", 18.391, half_life, 0.99, 16)
beside("0.999, four frames a decision", 46.187, half_life, 0.999, 4)

# %% [markdown]
# **What you should see:** four times ✅. With γ = 0.99 a point weighs half after 69
# decisions, in Breakout after 4.6 seconds. Is that far? A ball takes 21 decisions from
# the lowest bricks down to the floor, and a point so far ahead keeps 0.99²¹ = 81 % of
# its weight.
#
# <details><summary>Hint 1: the idea</summary>γⁿ = 0.5 says that n · log γ = log 0.5.
# Any logarithm will do.</details>
# <details><summary>Hint 2: the call</summary><code>math.log(discount)</code>. Frames
# divided by 60 are seconds.</details>
# <details><summary>"TypeError: half_life() missing 1 required positional
# argument"</summary>The second argument has no default. Who decides every sixteen
# frames sees four times as far in seconds.</details>
# <details><summary>"mine is negative"</summary>Both logarithms are below 0. Their
# quotient is not.</details>
#
# **Think:** which of these 0.99 is the right one? The two notebooks that this course
# grew out of do not decide every four frames. The first one decides every sixteen, the
# second every four to eight, and neither of them sets a discount: their library's
# default is 0.99.
# <details><summary>Answer</summary>The same number is another eyesight in each: a
# half-life of 4.6 seconds at four frames, 6.9 at six, 18.4 at sixteen. A discount says
# something about seconds only together with the length of a decision. Copying one
# of them without the other copies nothing.</details>
#
# Both notebooks are *recipes* of this course, and so is the agent of the Nature paper
# (Mnih et al. 2015, Extended Data Table 1). On this number all agree.

# %%
# NBVAL_CHECK_OUTPUT
for name in ("notebook_a", "notebook_b", "mnih2015", "laptop"):
    print(f"{name:12}", get_recipe(name).discount)

# %% [markdown]
# ## A smaller game
#
# Returns judge a game that is over. An agent needs a judgement before it acts. To see
# how one comes about, take a game that fits on a page: the shooting gallery.

# %%
Gallery, WAIT, SHOOT = SymbolicShootingGallery, 0, 1
states = [Gallery.encode(0, 2, -1)]
for action in (WAIT, WAIT, WAIT, SHOOT, WAIT):
    states.append(Gallery.transition(states[-1], action)[0])
figures.show_frames(
    [ShootingGallery.draw(state) for state in states],
    ["start", "wait", "wait", "wait", "shoot", "hit"],
    alt="Six screens with a yellow target above and a green gun below. The target goes "
    "two columns to the left and back; a white shot rises, and meets it above the gun.",
    height=1.9,
)

# %% [markdown]
# A target swings to and fro between the walls, one of eight columns a step. The gun
# stands below column 3. A shot takes two steps to arrive, so one has to aim ahead. A
# game is one shot: it pays 1 for a hit and 0 for a miss, and is over. (Who waits forty
# times is sent home.) It starts at one of twelve places from which an immediate shot
# would miss.
#
# Its *symbolic twin* plays by the same rules, and instead of a picture it returns the
# number of its state.

# %%
# NBVAL_CHECK_OUTPUT
game = Gallery()
print(game.observation_space, "states,", game.action_space, "actions")
print("shot, column, direction")
for state in states:
    print(Gallery.decode(state), "is state", state)

# %% [markdown]
# Three facts make a state: how far the shot is (0 is none, 2 has arrived), the column,
# and which way the target goes next. 48 numbers are enough for all of them.

# %%
# NBVAL_CHECK_OUTPUT
rng = np.random.default_rng(0)
scores = [play_random_game(game, rng)[0] for _ in range(6_000)]
print(f"{np.mean(scores):.3f} hits in a random game; one in twelve is {1 / 12:.3f}")

# %% [markdown]
# Dice hit in one game of twelve. The best player always hits. It waits until the target
# is two columns away and coming, shoots, and is paid a step later. In the game above
# that was worth, from the first screen on:

# %%
# NBVAL_CHECK_OUTPUT
print(f"{discounted_return([0, 0, 0, 0, 1], 0.99):.4f} = 0.99 ** 4")

# %% [markdown]
# ## What an action is worth
#
# Now the central idea of this course. **Q(s, a)** is the return of a game that goes on
# from state s, if action a is taken now *and every later decision is the best one*.
# Whoever has these numbers needs no plan: look up the row of the present state and take
# the action with the largest number.
#
# Where do the numbers come from? Look at a return from its second step on: it is a
# return again, $G = r_1 + \gamma\,(r_2 + \gamma r_3 + \dots)$. So an action is worth
# what it pays at once, and γ times what the best action is worth in the state s′ that
# follows:
#
# $$Q(s, a) = r + \gamma \max_{a'} Q(s', a')$$
#
# and Q(s, a) = r if the game is over with it. This is the **Bellman equation**. It says
# nothing about the far future. It says that neighbours must agree.

# %%
SITUATIONS = {
    "a": Gallery.encode(0, 1, -1),
    "b": Gallery.encode(0, 0, +1),
    "c": Gallery.encode(0, 1, +1),
    "d": Gallery.encode(1, 2, +1),
}
figures.show_frames(
    [ShootingGallery.draw(state) for state in SITUATIONS.values()],
    ["a: column 1, ←", "b: column 0, →", "c: column 1, →", "d: column 2, →"],
    alt="Four screens. The target stands in column 1, then 0, then 1 again; in the "
    "fourth it stands in column 2, beside the gun's column, and a shot is half-way up.",
    height=2.2,
)

# %% [markdown]
# Pictures a and c are alike. The target goes left in a and right in c, and only the
# symbolic twin says so. Keep this in mind for later.
#
# ### Exercise 1.3 · Four rows by hand · ●○○ · 10 minutes
#
# Fill in Q(s, wait) and Q(s, shoot) for the four situations. Take γ = 0.9, that shows
# more. In d the shot arrives with the next step, whatever you do, and pays 1. In c the
# shot of d has not been fired yet. Who waits in c sees the target pass, and has to wait
# for its return on the other side: from the next state on, the best is worth 0.9⁸ =
# 0.430.


# %%
def by_hand() -> dict[str, list[float]]:
    """For each situation the values of [wait, shoot], with a discount of 0.9."""
    # Numbers of three digits, or expressions such as 0.9**2. Begin with d.
    ### BEGIN SOLUTION
    return {
        "a": [0.9**3, 0.0],
        "b": [0.9**2, 0.0],
        "c": [0.9**9, 0.9],
        "d": [1.0, 1.0],
    }
    ### END SOLUTION


# %% [markdown]
# Nobody needs to know the answers in order to check them: the equation does. For each
# of your eight numbers the following cell computes the right side, *from your other
# numbers*. A ❌ points to a place where two neighbours disagree.

# %%
# NBVAL_CHECK_OUTPUT
# What follows waiting and shooting: one of the four, a value that is known, or a hit.
FOLLOWS = {"a": ["b", 0.0], "b": ["c", 0.0], "c": [0.9**8, "d"], "d": ["hit", "hit"]}


def right_side(situation: str, action: int) -> float:
    after = FOLLOWS[situation][action]
    if after == "hit":
        return 1.0
    return 0 + 0.9 * (max(by_hand()[after]) if after in FOLLOWS else after)


def left_side(situation: str, action: int) -> float:
    return float(by_hand()[situation][action])


for situation in FOLLOWS:
    beside(f"{situation}, wait ", right_side, left_side, situation, WAIT)
    beside(f"{situation}, shoot", right_side, left_side, situation, SHOOT)

# %% [markdown]
# **What you should see:** eight times ✅, with 1 in both places of d and smaller
# numbers, the further away the hit is.
#
# <details><summary>Hint 1: the idea</summary>Work backwards. The best of d is 1. To
# shoot in c leads to d and pays nothing itself: 0 + 0.9 · 1. To wait in b leads to c,
# and to wait in a leads to b.</details>
# <details><summary>Hint 2: the call</summary>A shot from a or b arrives where the
# target is not, and everything after it is worth 0. To wait in c leads to the value
# that the text names.</details>
# <details><summary>"KeyError: 'b'"</summary>The dictionary needs all four letters, each
# with a list of two numbers.</details>
#
# **Think:** in c shooting is worth 0.9 and waiting 0.387. With γ = 1, what would the
# two be worth, and what would that do to an agent?
# <details><summary>Answer</summary>1 and 1. A target that was missed comes back, so
# with γ = 1 there is no reason ever to shoot now rather than later, and an agent that
# always waits is, by its own numbers, without fault. A discount is also what makes it
# hurry. </details>

# %% [markdown]
# ## All of them at once
#
# Four rows were enough by hand. For all 48 let the equation itself do the work. Here
# are the rules as three tables, one row for each state and one column for each action.

# %%
# NBVAL_CHECK_OUTPUT
rules = [[Gallery.transition(s, a) for a in (WAIT, SHOOT)] for s in range(48)]
LEADS_TO = np.array([[outcome[0] for outcome in row] for row in rules])
PAYS = np.array([[outcome[1] for outcome in row] for row in rules])
ENDS = np.array([[outcome[2] for outcome in row] for row in rules])
for name in ("c", "d"):
    s = SITUATIONS[name]
    print(name, "leads to", LEADS_TO[s], "pays", PAYS[s], "ends:", ENDS[s])

# %% [markdown]
# ### Exercise 1.4 · The equation as a machine · ●●○ · 15 minutes
#
# Begin with a table of zeros. Put it into the right side of the Bellman equation, for
# every state and every action, and what comes out is a better table. Put that in again.
# Write one such *sweep*. With indexing by arrays it is two lines; two loops are fine.


# %%
def bellman_sweep(
    q: np.ndarray,
    next_states: np.ndarray,
    rewards: np.ndarray,
    over: np.ndarray,
    discount: float,
) -> np.ndarray:
    """The right side of the Bellman equation, for all states and actions.

    Args:
        q: `(S, A)` float64, values so far; they stay as they are.
        next_states: `(S, A)` int, the state that follows.
        rewards: `(S, A)` float64, what is paid at once.
        over: `(S, A)` bool, whether the game ends with it.
        discount: γ.
    Returns:
        `(S, A)` float64, a new table.
    """
    # 1. The best value in each state. 2. That of the state that follows; after the end
    # there is none. 3. The right side.
    ### BEGIN SOLUTION
    best = q.max(axis=1)
    return rewards + discount * np.where(over, 0.0, best[next_states])
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
def swept(times: int, start: float = 0.0) -> np.ndarray:
    q = np.full((48, 2), start)
    for _ in range(times):
        q = bellman_sweep(q, LEADS_TO, PAYS, ENDS, 0.99)
    return q


exact = Gallery.optimal_q(0.99)
for times, expected in ((1, 4), (2, 6), (10, 22)):
    question = f"values above 0, number of sweeps {times:2}"
    beside(question, expected, lambda n: int((swept(n) > 0).sum()), times)
beside("shoot in c after 2 sweeps", 0.99, lambda: float(swept(2)[3, SHOOT]))
beside("error after 10 sweeps", 0.0, lambda: float(np.abs(swept(10) - exact).max()))
beside("wait in d, after ones", 1.0, lambda: float(swept(1, start=1.0)[21, WAIT]))

# %% [markdown]
# **What you should see:** six times ✅. (The last line begins with a table of ones. A
# hit pays 1 and ends the game, so nothing is added, whatever the table says about the
# state after it.) And this, sweep by sweep: the fourteen places and directions of the
# target in the order in which it passes through them, and how much each action is worth
# there. The pictures stay grey until there is something to show.

# %%
CYCLE = [Gallery.encode(0, column, +1) for column in range(7)]
CYCLE += [Gallery.encode(0, column, -1) for column in range(7, 0, -1)]
PLACES = [f"{c}→" for c in range(7)] + [f"{c}←" for c in range(7, 0, -1)]


def draw_table(q: np.ndarray, title: str):
    """The values of a table of 48 states, in the order of the target's swing."""
    flying = q[np.array(CYCLE) + 16].max(axis=1)  # the same, with a shot half-way
    values = np.stack([q[CYCLE, WAIT], q[CYCLE, SHOOT], flying])
    drawing, ax = figure(height=2.5)
    ax.set_facecolor("#bbbbbb")
    ax.imshow(values, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        ink = "white" if value > 0.6 else "black"
        text = "" if np.isnan(value) else f"{value:.2f}"
        ax.text(column, row, text, ha="center", va="center", color=ink, fontsize=11)
    ax.set(xticks=range(14), xticklabels=PLACES, xlabel="column and way of the target")
    ax.set(yticks=range(3), yticklabels=["wait", "shoot", "shot half-way"], title=title)
    ax.grid(False)
    alt = "Values of wait, shoot and a shot half-way, for 14 places of the target, "
    return show(drawing, alt + title)


# %%
def sweep_or_grey(times: int) -> np.ndarray:
    """Your table after so many sweeps, or nothing; `beside` has said what is wrong."""
    try:
        table = np.asarray(swept(times), float)
    except Exception:
        table = np.empty(0)
    return table if table.shape == (48, 2) else np.full((48, 2), np.nan)


slide(lambda n: draw_table(sweep_or_grey(n), f"after sweep {n}"), 11, "sweep", start=10)

# %% [markdown]
# Go back to sweep 1 and forward again. First only a shot that is about to hit has a
# value. With sweep 2 the two shots that lead there: 0.99, at 1→ and at 5←. Then a wave
# runs backwards along the swing, from each state to the one before, and becomes 1 %
# weaker with every step. After ten sweeps no number moves any more. The row `wait` has
# its lowest value, 0.91, at 1→: that is what it costs to miss the moment.
#
# <details><summary>Hint 1: the idea</summary>Take the largest value of each row first:
# that is one number for each state. The table <code>next_states</code> says whose
# number is needed in each place.</details>
# <details><summary>Hint 2: the call</summary><code>q.max(axis=1)</code> has shape
# (48,), and indexed by <code>next_states</code> it has shape (48, 2).
# <code>np.where(over, 0.0, …)</code> takes 0 where the game ends.</details>
# <details><summary>"ValueError: operands could not be broadcast together"</summary>
# <code>q[next_states]</code> has shape (48, 2, 2): a whole row for each place. Take the
# largest of the last axis.</details>
# <details><summary>"TypeError: The numpy boolean negative, the `-` operator, is not
# supported"</summary><code>~over</code> turns true and false round;
# <code>-over</code> is not defined.</details>
#
# **Think:** a sweep moves a value one step back. Suppose that a ball takes 21 decisions
# on its way up as well: after how many sweeps does the decision that put the paddle
# below the ball hear of the brick? And what does this method need that Breakout does
# not offer?
# <details><summary>Answer</summary>After 21 or so, which is nothing. What is missing
# are the three tables: for each state and each action, what comes next. Nobody has them
# for Breakout, and nobody has a list of its states. The next section does without the
# rules, the last one speaks about the list.</details>
#
# ## Learning without the rules
#
# Suppose the rules are not known. Then play. Every step shows one line of those three
# tables: in this state, this action paid that and led there. So apply the equation to
# this one entry. Its right side is called the **target**, and since one experience
# might be an accident, the entry is not replaced by it but moved towards it, by a share
# α (alpha), the *learning rate*.
#
# | | |
# | --- | --- |
# | the entry, so far | 0.500 |
# | the target: reward 0, and 0.99 times the best next value, 0.9 | 0.891 |
# | the difference | 0.391 |
# | a tenth of it, with α = 0.1 | 0.0391 |
# | the entry, from now on | 0.5391 |

# %% [markdown]
# ### Exercise 1.5 · One experience · ●○○ · 10 minutes
#
# This is Q-learning (Watkins 1989), all of it. Everything else in this course makes
# it larger, faster or steadier.


# %%
def q_learning_update(
    q_table: np.ndarray,
    state: int,
    action: int,
    reward: float,
    next_state: int,
    terminated: bool,
    discount: float,
    learning_rate: float,
) -> None:
    """Move one entry of a Q-table towards its target, in place.

    Args:
        q_table: `(S, A)` float64.
        state, action: the entry.
        reward, next_state, terminated: what followed.
        discount: γ.
        learning_rate: share of the difference that is made up.
    Source: Watkins 1989; Sutton and Barto 2018, equation 6.8.
    """
    # 1. The target: the right side of the Bellman equation, for this experience.
    # 2. Move the entry. All other entries stay.
    ### BEGIN SOLUTION
    next_value = 0.0 if terminated else q_table[next_state].max()
    target = reward + discount * next_value
    q_table[state, action] += learning_rate * (target - q_table[state, action])
    ### END SOLUTION


# %%
q_learning_update = check(q_learning_update)

# %% [markdown]
# **What you should see:** a badge that says `passes`, and the numbers of the table
# above.

# %%
# NBVAL_CHECK_OUTPUT
tiny = np.array([[0.0, 0.5], [0.9, 0.2]])
q_learning_update(tiny, 0, 1, 0.0, 1, False, 0.99, 0.1)
print(tiny.round(4).tolist())

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>The target is the reward, plus γ times the
# largest value in the row of the next state. If the game is over with this step,
# nothing follows, and the target is the reward alone. The row of the next state must
# not count then, whatever stands in it.</details>
# <details><summary>Hint 2: the call</summary><code>q_table[next_state].max()</code> is
# the best next value. <code>q_table[state, action] += …</code> changes the table
# itself; <code>q = q_table[state, action]</code> followed by <code>q += …</code>
# changes a number that nobody sees again.</details>
# <details><summary>"IndexError: too many indices for
# array"</summary><code>q_table[state]</code> is a row, which has one index left: the
# action.</details>
#
# **Think:** half of the target is read from the same table that is being corrected, and
# in the beginning that is full of zeros. Why does it come right all the same?
# <details><summary>Answer</summary>Because the other half is true: rewards are facts.
# The last step before the end has a target without any table in it, so it comes right
# first, then the step before it, and so on: the wave of exercise 1.4. (With a network
# in place of the table, moving one value moves others as well, the target among them.
# Chapter 07 is about that.)</details>
#
# ## A table learns to shoot
#
# The loop around it is that of chapter 00, with two changes. The action is not thrown
# by dice, or seldom: with probability epsilon (ε) it is random, otherwise the best of
# the row. (Why anybody would play at random now and then is the subject of chapter 06.)
# And after each step one entry is moved. `look` says which row belongs to what was
# seen; it gets the observation and the one before it. At first the row is the state's
# number.


# %%
def learn(look, rows: int, epsilon: float = 0.05, seed: int = 0):
    """A thousand games; the score of each, and the table before and after each."""
    table, rng = np.zeros((rows, 2)), np.random.default_rng(seed)
    scores, tables = [], [table.copy()]
    for _ in range(1_000):
        seen, _ = game.reset(seed=int(rng.integers(2**31)))
        row, done = look(None, seen), False
        while not done:
            dice = rng.random() < epsilon
            action = int(rng.integers(2)) if dice else int(table[row].argmax())
            after, reward, terminated, truncated, _ = game.step(action)
            next_row = look(seen, after)
            q_learning_update(
                table, row, action, reward, next_row, terminated, 0.99, 0.1
            )
            seen, row, done = after, next_row, terminated or truncated
        scores.append(reward)
        tables.append(table.copy())
    return np.array(scores), np.array(tables)


# %%
def the_state(before, seen):
    return seen


scores, tables = learn(the_state, 48)

# %% [markdown]
# What a table has learnt shows best without dice: play from each of the twelve starts,
# and always take the best action.


# %%
def hits(table: np.ndarray, look) -> int:
    """How many of the twelve starts end with a hit."""
    count = 0
    for start in Gallery.start_states:
        seen, _ = game.reset(options={"state": start})
        row, done = look(None, seen), False
        while not done:
            after, reward, terminated, truncated, _ = game.step(table[row].argmax())
            seen, row, done = after, look(seen, after), terminated or truncated
        count += int(reward)
    return count


# %%
# NBVAL_CHECK_OUTPUT
for played in (0, 10, 50, 100, 1_000):
    print(f"after {played:5,} games: {hits(tables[played], the_state)} hits of 12")

# %%
drawing, ax = figure(height=2.8)
over_games = np.convolve(scores, np.ones(50) / 50, mode="valid")
ax.plot(50 + np.arange(len(over_games)), over_games, color=BLUE, label="the table")
ax.axhline(1, color=GREEN, linestyle=":", label="the best there is")
ax.axhline(1 / 12, color=GREY, linestyle="--", label="dice")
ax.set(xlabel="games", ylabel="hits per game", ylim=(0, 1.05))
ax.legend(loc="center right")
show(drawing, "A curve over a thousand games that climbs to about 0.9 within 200.")

# %% [markdown]
# The curve is the score in training, the mean of fifty games. It ends near 0.9 and not
# at 1, because one action in forty is a wrong one: of the five in a hundred that are
# random, half would have been right anyway. Without dice it hits twelve times of
# twelve.
#
# Now look into the table while it learns. The slider goes through the thousand games.

# %%
MOMENTS = [0, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1_000]


def after_games(position):
    played = MOMENTS[position]
    return draw_table(tables[played], f"after {played:,} games")


slide(after_games, len(MOMENTS), "moment", start=6)

# %% [markdown]
# It is the same wave, slower and with gaps: values grow backwards from the hits, and
# where the player seldom comes they lag behind. How far are the values of the best
# actions from the exact ones, in the fourteen places?

# %%
# NBVAL_CHECK_OUTPUT
for played in (100, 300, 1_000):
    best = tables[played][CYCLE].max(axis=1)
    error = np.abs(best - exact[CYCLE].max(axis=1))
    print(f"after {played:5,} games: off by {error.max():.2f} at most")

# %% [markdown]
# After 100 games the table plays without fault, and one of its numbers is off by 0.95.
# To act well, the *order* of two numbers is enough. After 1,000 the numbers are right
# as well.
#
# One more experiment with the same function. Let the dice play *every* action, ε = 1.
# **Write down a number first:** how many of the twelve starts does the table master
# after a thousand games, if the player never once followed it?

# %%
# NBVAL_CHECK_OUTPUT
dice_scores, dice_tables = learn(the_state, 48, epsilon=1.0)
print(f"the player: {dice_scores.mean():.3f} hits per game")
print(f"the table: {hits(dice_tables[-1], the_state)} hits of 12")

# %% [markdown]
# All twelve. The player was as bad as dice are, and the table that watched is perfect.
# The target asks for the *best* next action, not for the one that was taken next. A
# method that can learn about one way of playing from watching another is called
# **off-policy**, and in chapter 04 this will allow an agent to learn from a memory of
# its own bad games.
#
# ## Beside ours

# %%
compare("q_learning_update")

# %% [markdown]
# ## What one picture hides
#
# The symbolic twin gave away which way the target goes. A picture does not: a and c of
# exercise 1.3 look the same. So let the row be what *one picture* shows, the column and
# how far the shot is. Numbers of states come in pairs, left and right, and half of the
# number is the picture.


# %%
def one_picture(before, seen):
    return seen // 2


picture_scores, picture_tables = learn(one_picture, 24)

# %%
# NBVAL_CHECK_OUTPUT
print("pictures of a and c:", [one_picture(None, SITUATIONS[s]) for s in "ac"])
for played in (100, 400, 600, 1_000):
    print(f"after {played:5,} games: {hits(picture_tables[played], one_picture)} of 12")

# %% [markdown]
# That is not slow learning: four hits, then one, four again, none. Is there anything
# better to be found? A player who sees one picture and throws no dice has a rule: in
# which of the eight columns to shoot. There are 2⁸ = 256 rules, so try them all.

# %%
# NBVAL_CHECK_OUTPUT
results = []
for rule in range(256):
    table = np.zeros((24, 2))
    table[:8, SHOOT] = [1 if rule >> column & 1 else -1 for column in range(8)]
    results.append(hits(table, one_picture))
print("hits of the best rule:", max(results), "of 12")
print("rules that never hit:", results.count(0), "of 256")

# %% [markdown]
# Four of twelve is the most that any such rule can reach. (With dice in the right place
# it would be 0.495 hits per game, almost six of twelve.) To see why the table does not
# even keep what it had, follow one of its entries: what is a shot worth with the target
# in column 5?

# %%
drawing, ax = figure(height=3.0)
coming, going = Gallery.encode(0, 5, -1), Gallery.encode(0, 5, +1)
ax.plot(tables[:, coming, SHOOT], color=GREEN, label="states: 5←")
ax.plot(tables[:, going, SHOOT], color=GREY, label="states: 5→")
ax.plot(picture_tables[:, 5, SHOOT], color=VERMILION, label="pictures: 5")
ax.set(xlabel="games", ylabel="value of shooting", ylim=(-0.02, 1.05))
ax.legend(loc="center right")
show(
    drawing,
    "For states one curve climbs to 0.99 and one stays at 0. For pictures a single "
    "curve goes up and down between 0 and 0.5 and never settles.",
)

# %% [markdown]
# In the table of states there are two entries, and both come to rest: 0.99 where the
# target is coming, 0 where it is going. In the table of pictures one entry stands for
# both, gets a hit and a miss in turn, and believes what it heard last. Worse, it
# depends on the player. While the entry is high, the player shoots at the first sight
# of column 5, coming or going; misses pile up, the entry sinks, the player stops
# shooting there, and the curve is flat until a random action tries again. A smaller
# learning rate only slows this down. The number that should be learnt does not exist.
#
# A state is good enough if what happens next depends on it and on the action, and on
# nothing before. That is the *Markov property*, and one picture of a moving thing does
# not have it. Two pictures do:


# %%
def two_pictures(before, seen):
    return seen // 2 + 24 * (0 if before is None else 1 + before // 2)


# %%
LOOKS = {
    "the state": (the_state, 48, GREEN, "-"),
    "two pictures": (two_pictures, 24 * 25, BLUE, "--"),
    "one picture": (one_picture, 24, VERMILION, "-"),
}
every = np.arange(0, 1_001, 50)
mean_hits = {}
for name, (look, rows, _, _) in LOOKS.items():
    runs = [learn(look, rows, seed=seed)[1][every] for seed in range(TRAININGS)]
    found = [[hits(table, look) for table in run] for run in runs]
    mean_hits[name] = np.mean(found, axis=0)

# %%
drawing, ax = figure(height=3.0)
for name, (_, _, colour, style) in LOOKS.items():
    ax.plot(every, mean_hits[name], style, color=colour, linewidth=2.5, label=name)
ax.axhline(4, color=GREY, linestyle=":", label="best rule for one picture")
ax.set(xlabel="games", ylabel="hits of 12 starts", ylim=(0, 12.5))
ax.legend(loc="center right")
show(
    drawing,
    "Hits of twelve against games. The state and two pictures reach twelve within 100 "
    "games; one picture never passes four.",
)

# %%
for name, values in mean_hits.items():
    print(f"{name:13} {values[-1]:4.1f} hits of 12, mean of {TRAININGS} trainings")

# %% [markdown]
# Two pictures are as good as the state itself. This is why the agents of this course
# are given a *stack* of the last four screens: what stands on one of them tells where
# the ball is, and the difference tells where it goes. (In a game's first decision there
# is no second picture. Here that costs nothing, because no start can be hit at once.)
#
# ## Why no table holds Breakout
#
# So the plan seems to be: a row for each stack of four screens, and play long enough.
# How many rows is that? A stack has 84 × 84 × 4 pixels, and each of them one of 256
# shades. **Guess first:** how many digits does the number of possible stacks have? The
# number of atoms in the observable universe, by the usual estimate of 10⁸⁰, has 81.

# %% [markdown]
# ### Exercise 1.6 · A number with many digits · ●○○ · 5 minutes
#
# Count digits. Python computes with whole numbers of any size, so the number itself is
# no problem. To print it is another matter.


# %%
def digits(shades: int, pixels: int) -> int:
    """Decimal digits of the number of pictures with so many shades and pixels."""
    ### BEGIN SOLUTION
    return math.floor(pixels * math.log10(shades)) + 1
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
beside("ten shades, two pixels: 100 pictures", 3, digits, 10, 2)
beside("two shades, ten pixels: 1,024 pictures", 4, digits, 2, 10)
beside("nine pixels of 256 shades", 22, digits, 256, 9)
beside("four screens", 67_971, digits, 256, 84 * 84 * 4)

# %% [markdown]
# **What you should see:** four times ✅. The number of stacks has 67,971 digits: about
# twenty pages of print to write it down, once.
#
# <details><summary>Hint 1: the idea</summary>Pixels are independent, so the number of
# pictures is a power. 10² has three digits, and so has everything up to 999.</details>
# <details><summary>Hint 2: the call</summary><code>math.log10</code> of a number,
# rounded down, is its number of digits, less one. The logarithm of a power is a
# product.</details>
# <details><summary>"ValueError: Exceeds the limit (4300 digits) for integer string
# conversion"</summary>Python refuses to turn such numbers into text, because that takes
# long. A logarithm needs no text.</details>
# <details><summary>"OverflowError: int too large to convert to float"</summary>Take the
# logarithm of the shades, not of the power.</details>
#
# **Think:** most of these pictures are noise that no console ever showed. Breakout has
# a wall of 6 rows of 18 bricks, and each of them is there or not. How many walls are
# that, and does a table fit now?
# <details><summary>Answer</summary>2¹⁰⁸, a number of 33 digits, before the first ball,
# paddle or counter is drawn. At 8 bytes per value and four actions that makes 10³⁴
# bytes. Not all of them can be reached, but no counting will bring that down to a
# disk.</details>

# %% [markdown]
# An upper bound may be unfair. The game's own memory is an upper bound as well, and the
# smallest one that is easily had:

# %%
# NBVAL_CHECK_OUTPUT
memory = env.unwrapped.ale.getRAM()
print(f"{len(memory)} bytes of memory: at most 256 ** {len(memory)} states")
print(f"a number of {math.floor(len(memory) * math.log10(256)) + 1} digits")

# %% [markdown]
# Still a bound, so count what really comes. A table learns about a state by coming
# there again and again. Play Breakout with dice, and with the trained agent of chapter
# 00, and ask of each stack whether it was ever seen before, in this game or an earlier
# one.


# %%
def stacks_of_a_game(q_values, epsilon: float, seed: int) -> list[int]:
    """A fingerprint for each stack on which an action was chosen, in one game."""
    prints = []

    def watched(stacks: torch.Tensor) -> torch.Tensor:
        prints.extend(hash(stack.numpy().tobytes()) for stack in stacks)
        return q_values(stacks)

    evaluate_network(recipe, watched, 1, epsilon, seed, max_frames=FRAMES)
    return prints


run = shipped_run("breakout-laptop-seed-0")
recipe, agent = agents.load_agent(run, precision="fp32")

# %%
dice = [
    stacks_of_a_game(lambda stacks: torch.zeros(len(stacks), 4), 1.0, seed)
    for seed in range(DICE_GAMES)
]
trained = [
    stacks_of_a_game(agent.q_values, 0.05, seed) for seed in range(AGENT_GAMES)
]


# %%
def new_ones(games: list[list]) -> np.ndarray:
    """For each stack of all games in turn: was it never seen before?"""
    seen, new = set(), []
    for stack in (stack for game in games for stack in game):
        new.append(stack not in seen)
        seen.add(stack)
    return np.array(new)


for name, games in (("dice", dice), ("agent", trained)):
    new = new_ones(games)
    print(f"{name:5} {len(games)} games, {len(new):,} stacks, {new.mean():.1%} new")

# %% [markdown]
# In `normal` mode 98 of 100 stacks are new, for the dice and for the agent alike. When
# does something known come back?

# %%
known = set().union(*trained[:-1], *dice)
again = [step for step, stack in enumerate(trained[-1], 1) if stack in known]
print(f"the agent's last game: {len(trained[-1]):,} stacks, {len(again)} of them known")
print("the last of them at decision", max(again, default="none"))

# %%
visited = []


def noting(before, seen):
    visited.append(seen)
    return seen


learn(noting, 48, epsilon=1.0)
gallery = [visited[: len(sum(trained, []))]]

# %%
drawing, ax = figure(height=3.2)
for name, games, colour in (
    ("Breakout, the agent", trained, BLUE),
    ("Breakout, dice", dice, ORANGE),
    ("gallery, dice", gallery, GREEN),
):
    ax.plot(np.cumsum(new_ones(games)), color=colour, linewidth=2.5, label=name)
ax.set(xlabel="states visited", ylabel="different states so far")
ax.legend(loc="center left")
show(
    drawing,
    "Two lines for Breakout along the diagonal: nearly every state is a new one. "
    "The line of the gallery stays flat at a few dozen.",
)

# %%
print(f"the gallery showed {int(new_ones(gallery).sum())} different states in all")

# %% [markdown]
# After a few games the gallery has shown all it has. Breakout has hardly begun. In
# `normal` mode 89 of the last game's 1,051 stacks were known, all of them from its
# first nine seconds. What comes back are openings: two games of one agent go the same
# way until a random action parts them, and these did not meet again. From there on a
# table, asked for its advice, would find a row of zeros.
#
# What would a person do with a screen never seen before? Notice that it is *nearly* one
# of those known: the same ball, the same way, one brick fewer. So in place of a table
# take a function that gives similar screens similar values, and lets each experience
# teach something about thousands of screens at once. Such a function is a network, and
# Q-learning with one is deep Q-learning. It needs screens that show what matters
# (chapter 02), an environment that plays by rules that it can learn from (03),
# experiences that are not all alike (04), and then the function itself (05).
#
# ## Summary
#
# > - The return is the sum of rewards, each weighed by γ to the power of its delay. At
# >   γ = 0.99 a reward loses half its weight in 69 decisions, 4.6 seconds of Breakout.
# > - Q(s, a) is the return of action a now and the best actions ever after. To act,
# >   take the largest of a row.
# > - Bellman: Q(s, a) = r + γ max Q(s′, ·), and r alone at the end. Where rules are
# >   known, sweeps find it exactly.
# > - Q-learning moves one entry towards r + γ max Q(s′, ·) for each experience, whoever
# >   played.
# > - One picture hides motion: 4 of 12 at best, where two pictures reach 12.
# > - A number of 67,971 digits counts the stacks of four screens, and nearly each one
# >   that comes is new.

# %%
progress()

# %% [markdown]
# ## Quiz
#
# 1. An agent is paid 1 for each brick. With γ = 0.99 you compute the return of its best
# game from the first screen and get 12.4. Somebody says that it hit twelve bricks. What
# do you answer?
# <details><summary>Answer</summary>That it hit at least thirteen, and most likely many
# more. A brick counts 1 only if it falls with the very first decision; one that falls
# 69 decisions later counts half. A return is no score, and neither is the mean of
# Q-values in a log.</details>
#
# 2. In `q_learning_update` somebody leaves out the case of a terminated game, and
# nothing crashes. The row of a final state is never updated and stays at 0. Where is
# the harm?
# <details><summary>Answer</summary>In this table there is none, as long as it starts
# with zeros and final states have rows of their own. Start it with ones, and every miss
# is worth 0.99. In Breakout a screen after the end looks like any other, and a network
# gives it a value like any other: then the harm is large.</details>
#
# 3. A game of the gallery is cut off after forty waits, `truncated`, not `terminated`.
# `learn` hands only `terminated` to the update. Why not both?
# <details><summary>Answer</summary>Because the cut says nothing about the state: with
# one more decision a hit would have been possible. If it were treated as an end, the
# value of waiting there would sink towards 0, for a reason that no state
# shows.</details>
#
# 4. You double the learning rate in the table of pictures, then halve it. What changes
# in the curve of column 5, and what does not?
# <details><summary>Answer</summary>A larger rate makes it jump further, a smaller one
# drift more slowly: with 0.02 the table keeps the four hits that it finds, or the
# single one, for all thousand games. More than four it never reaches. It still averages
# over two situations that one picture cannot tell apart, in whatever mixture the player
# produces. More information helps; a better average does not.</details>
#
# Before a network can see anything, somebody has to decide what it is shown. Chapter 02
# turns a screen of 210 × 160 coloured pixels into 84 × 84 grey ones, and finds out
# which of the ways to do that lose the ball.
