# %% [markdown]
# # 01 · From rewards to Q-values
#
# A game pays points, now and then, and says nothing about the moves in between. In this
# chapter you turn points into a number for every single action: by hand, by arithmetic,
# and by trial and error. A table of such numbers learns a small game to perfection.
# Then you count why no table will ever hold Breakout. (The section marked (aside) can
# wait; it takes 15 minutes more.)
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
import numbers
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
# Four of the six exercises have no check of their own. For them, this function prints
# what is expected beside what yours gives. There is nothing in it to learn; run it and
# go on.


# %%
def beside(*lines: tuple, says: str = "expected") -> None:
    """For each (question, expected, function, *arguments) print both answers.

    It never raises: an error is printed, and ends the list.
    """
    for question, expected, function, *arguments in lines:
        try:
            right = expected(*arguments) if callable(expected) else expected
            answer = function(*arguments)
        except NotImplementedError:
            return print(f"◻ {question}: not attempted yet")
        except Exception as error:
            return print(f"❌ {question}: {type(error).__name__}: {error}")
        mark = "✅" if agrees(answer, right) else "❌"
        print(f"{mark} {question}: {says} {short(right)}, yours: {short(answer)}")


def agrees(answer, right) -> bool:
    if isinstance(right, float):
        return isinstance(answer, numbers.Real) and abs(answer - right) < 6e-4
    return isinstance(answer, (type(right), np.integer)) and answer == right


def short(value) -> str:
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) < 10**18 else "more than 10^18"
    return f"{value:.3f}" if isinstance(value, numbers.Real) else f"{value!r:.60}"


# %% [markdown]
# ## One point soon, or two points late?
#
# The random player of chapter 00 again. This time keep every reward, one for each
# decision. Two games of sixty were picked by hand, because together they ask a
# question.


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


early, late = rewards_of_a_game(13), rewards_of_a_game(19)

# %%
# NBVAL_CHECK_OUTPUT
for rewards in (early, late):
    decisions = 1 + np.flatnonzero(rewards)
    print(f"{len(rewards)} decisions, score {sum(rewards):.0f}: points at {decisions}")

# %%
drawing, ax = figure(height=2.0)
for line, (rewards, colour) in enumerate([(early, BLUE), (late, VERMILION)]):
    ax.plot([0, len(rewards) / 15], [line, line], color=colour)
    points = (1 + np.flatnonzero(rewards)) / 15
    ax.plot(points, [line] * len(points), "o", color=colour, markersize=12)
ax.set(xlabel="seconds of play", yticks=[0, 1], yticklabels=["early", "late"])
ax.set(ylim=(1.6, -0.6))
show(
    drawing,
    "Two lines of 12 and 13 seconds. On the first there is a point after 3 seconds, on "
    "the second there are two, after 9 and 12.",
)

# %% [markdown]
# One point soon, or two points late? The score prefers `late`, 2 to 1. But you stand at
# the first screen and have to choose an action. The point of `early` is 39 decisions
# away, the first one of `late` 142: behind so many other decisions, and perhaps behind a
# lost ball. **Choose one before you read on**, and say how much sooner a point has to
# come to be worth two.
#
# The usual way to put this into one number is to let a point weigh less, the later it
# comes: each decision takes the same share off. What is left of 1 after one decision is
# the *discount* γ (gamma), and the weighted sum is the **return** of a game:
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
            It must not be changed.
        discount: γ.
    Returns:
        One number; 0 for an episode without rewards.
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
# 0.683 and 0.406.

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
# reads lists, tuples and arrays backwards and changes none of them. The
# <code>return</code> belongs behind the loop: inside of it, it ends the loop with the
# first reward that it meets.</details>
# <details><summary>"ValueError: The truth value of an array with more than one element
# is ambiguous"</summary><code>if not rewards</code> asks an array whether it is true,
# and an array has as many answers as values. <code>len(rewards) == 0</code> works for
# all three kinds; a loop over nothing needs no question at all.</details>
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
# remembering. The networks of later chapters are shown rewards of at most 1, so a value
# above 100 in a log is a mistake, however well the agent plays.</details>
#
# ## What a discount sees (aside)
#
# With γ = 0.99 the one point soon is worth more, 0.99³⁸ = 0.683, than both late ones
# together. Is that the answer? A return can be asked for at every moment of a game: what
# are the rewards *from here on* worth? Your function says it, given the rest of the list.

# %%
DISCOUNTS = [0.5, 0.8, 0.9, 0.95, 0.99, 0.995, 0.999]


def returns_of_both(position):
    """Both games, as seen from each of their moments with one of the discounts."""
    discount = DISCOUNTS[position]
    drawing, ax = figure(height=3.0)
    for name, rewards, colour in (("early", early, BLUE), ("late", late, VERMILION)):
        steps = range(len(rewards))
        ahead = [discounted_return(rewards[step:], discount) for step in steps]
        label = f"{name}: {ahead[0]:.3f} at first"
        ax.plot(np.array(steps) / 15, ahead, color=colour, label=label)
    ax.set(xlabel="seconds of play", ylabel="return from here on", ylim=(0, 2.05))
    ax.set_title(f"discount {discount}")
    ax.legend(loc="upper right")
    return show(
        drawing,
        f"Two curves for a discount of {discount}, blue for the early game, orange-red "
        "for the late one. Each rises towards a point, falls as it is paid, and is 0 "
        "after the last one.",
    )


slide(returns_of_both, len(DISCOUNTS), "discount", start=4)

# %% [markdown]
# The picture starts at γ = 0.99. A return swells as a point comes nearer and falls by
# one when it is paid. Move the slider, and look at the first moment: between 0.99 and
# 0.995 the two games change places. So the discount is the answer to the question
# above. At 0.5 a point is invisible until it is a few decisions away, and whatever led
# to it goes unrewarded. At 0.999 the curves are nearly flat between the points, so they
# count the points to come and hardly care when. Then every point of the next minute is
# credited to this one decision, whether or not it had a part in it.
#
# "A few decisions" deserves a number. A decision of Breakout holds its action for four
# frames of a console that draws sixty in a second. After how many seconds has a point
# lost half its weight?

# %% [markdown]
# ### Exercise 1.2 · Half-life · ●○○ · 5 minutes
#
# Turn a discount into seconds. You need the number n for which γⁿ is one half.


# %%
def half_life(discount: float, frames_per_decision: float) -> float:
    """Seconds until a reward weighs half; the console draws 60 frames in each."""
    # 1. The number of decisions n with discount**n = 0.5; it need not be whole.
    # 2. In seconds.
    ### BEGIN SOLUTION
    decisions = math.log(0.5) / math.log(discount)
    return decisions * frames_per_decision / 60
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
beside(
    ("0.9, two decisions a second", 3.289, half_life, 0.9, 30),
    ("0.99, four frames a decision", 4.598, half_life, 0.99, 4),
    ("0.99, six frames a decision", 6.897, half_life, 0.99, 6),
    ("0.99, sixteen frames a decision", 18.391, half_life, 0.99, 16),
)

# %% [markdown]
# **What you should see:** four times ✅. With γ = 0.99 a point weighs half after 4.6
# seconds of Breakout, which are 69 decisions.
#
# <details><summary>Hint 1: the idea</summary>γⁿ = 0.5 says that n · log γ = log 0.5.
# Any logarithm will do.</details>
# <details><summary>Hint 2: the call</summary><code>math.log(discount)</code>. Frames
# divided by 60 are seconds.</details>
# <details><summary>"mine is 4.600, or 3.500"</summary>Those are whole decisions, 69 and
# 7. After 69 of them the weight is a little below one half.</details>
# <details><summary>"mine is negative"</summary>Both logarithms are below 0. Their
# quotient is not.</details>
# <details><summary>"TypeError: half_life() missing 1 required positional
# argument"</summary>The second argument has no default: how long a decision lasts is
# part of the question.</details>
#
# Who chose 0.99? The settings of an agent are a *recipe* in this course, and
# `get_recipe` looks one up. Here are those of the Nature paper (Mnih et al. 2015,
# Extended Data Table 1) and of the two notebooks that this course grew out of. The
# second of these writes its discount down; the first leaves it to its library.

# %%
# NBVAL_CHECK_OUTPUT
for name in ("mnih2015", "notebook_a", "notebook_b"):
    recipe, discount = get_recipe(name), get_recipe(name).discount
    most = recipe.repeat_frames * recipe.repeat_actions
    least = (recipe.repeat_frames_min or recipe.repeat_frames) * recipe.repeat_actions
    span = f"{least} to {most}" if least < most else most
    print(f"{name:10} discount {discount}, a decision holds for {span} frames")

# %% [markdown]
# **Think:** all three have the same discount. Do their agents see equally far?
# <details><summary>Answer</summary>In decisions, yes; in the game, no. The half-life is
# 4.6 seconds at four frames, 6.9 at six, the middle of four to eight, and 18.4 at
# sixteen. A discount says something about seconds only together with the length of a
# decision. Whoever copies one of the two numbers without the other has copied
# nothing.</details>

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
# A target moves one column with each step, to and fro between the walls of a room of
# eight columns. The gun stands below column 3. A shot takes two steps to arrive, so one
# has to aim ahead. A game is one shot: it pays 1 for a hit and 0 for a miss, and is
# over. A player who has not shot within forty decisions gets nothing. A game starts at
# one of twelve places from which an immediate shot would miss.
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
# more. In d a shot is half-way: it hits with the next step, whatever you do, and pays
# 1. c is the moment before: to shoot in c leads to d. To wait in c leads to another
# screen, e, on which the target has gone past. It has to be met on its way back, and
# the best action in e is worth 0.9⁸ = 0.430.


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
# of your eight numbers the next cell computes the right side *from your other numbers*,
# by the rules of the game. A ❌ says that two neighbours disagree, and not which of them
# is wrong: mend the one that is nearer to the hit first.

# %%
# NBVAL_CHECK_OUTPUT
OTHERS = Gallery.optimal_q(0.9).max(axis=1)  # what all other states are worth, e too


def left_side(name: str, action: int) -> float:
    return float(by_hand()[name][action])


def right_side(name: str, action: int) -> float:
    after, reward, ends = Gallery.transition(SITUATIONS[name], action)
    if ends:
        return reward
    mine = [letter for letter, state in SITUATIONS.items() if state == after]
    return reward + 0.9 * float(max(by_hand()[mine[0]]) if mine else OTHERS[after])


beside(
    *((f"{s}, wait ", right_side, left_side, s, WAIT) for s in SITUATIONS),
    *((f"{s}, shoot", right_side, left_side, s, SHOOT) for s in SITUATIONS),
    says="by the equation",
)

# %% [markdown]
# **What you should see:** eight times ✅, with 1 in both places of d and smaller
# numbers, the further away the hit is. Once all eight agree they are right, because d
# and e do not depend on you.
#
# <details><summary>Hint 1: the idea</summary>Work backwards. The best of d is 1. To
# shoot in c leads to d and pays nothing itself: 0 + 0.9 · 1. To wait in b leads to c,
# and to wait in a leads to b.</details>
# <details><summary>Hint 2: the call</summary>A shot from a or b arrives where the
# target is not, and everything after it is worth 0. To wait in c pays nothing and leads
# to e, so it is worth 0 + 0.9 · 0.430.</details>
# <details><summary>"KeyError: 'b'"</summary>The dictionary needs all four letters, each
# with a list of two numbers.</details>
#
# **Think:** in c shooting is worth 0.9 and waiting 0.387. With γ = 1, what would the
# two be worth, and what would that do to an agent?
# <details><summary>Answer</summary>1 and 1. A target that was missed comes back, so
# with γ = 1 there is no reason ever to shoot now rather than later, and an agent that
# always waits is, by its own numbers, without fault. A discount is also what makes it
# hurry.</details>

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
        q: `(S, A)` float64, values so far; it must not be changed.
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
Q = np.array([[1.0, 5.0], [3.0, 2.0]])  # two states, two actions, small numbers
AFTER = np.array([[1, 1], [0, 1]])
PAID = np.array([[0.0, 4.0], [0.0, 10.0]])
OVER = np.array([[False, False], [False, True]])


def small() -> np.ndarray:
    return bellman_sweep(Q.copy(), AFTER, PAID, OVER, 0.5)


def entry(state: int, action: int) -> float:
    return float(small()[state, action])


def table_after_the_call() -> list:
    mine = Q.copy()
    bellman_sweep(mine, AFTER, PAID, OVER, 0.5)
    return mine.tolist()


def swept(times: int) -> np.ndarray:
    """The gallery's table after so many sweeps."""
    q = np.zeros((48, 2))
    for _ in range(times):
        q = bellman_sweep(q, LEADS_TO, PAYS, ENDS, 0.99)
    return q


exact = Gallery.optimal_q(0.99)

# %%
# NBVAL_CHECK_OUTPUT
beside(
    ("shape of a small table", (2, 2), lambda: np.shape(small())),
    ("pays 0, leads to the values 3 and 2; γ = 0.5", 1.5, entry, 0, 0),
    ("pays 4, leads to the values 3 and 2", 5.5, entry, 0, 1),
    ("pays 0, leads to the values 1 and 5", 2.5, entry, 1, 0),
    ("pays 10 and ends the game", 10.0, entry, 1, 1),
    ("the table q after the call", Q.tolist(), table_after_the_call),
    ("gallery: values above 0 after 1 sweep", 4, lambda: int((swept(1) > 0).sum())),
    ("after 2 sweeps", 6, lambda: int((swept(2) > 0).sum())),
    ("after 10 sweeps", 22, lambda: int((swept(10) > 0).sum())),
    ("then off by", 0.0, lambda: float(np.abs(swept(10) - exact).max())),
)

# %% [markdown]
# **What you should see:** ten times ✅. After ten sweeps the table is off by nothing: it
# is the exact one.
#
# <details><summary>Hint 1: the idea</summary>Take the largest value of each row first:
# that is one number for each state. The table <code>next_states</code> says whose
# number is needed in each place.</details>
# <details><summary>Hint 2: the call</summary><code>q.max(axis=1)</code> has shape
# <code>(S,)</code>, and indexed by <code>next_states</code> it has shape <code>(S,
# A)</code>. <code>np.where(over, 0.0, …)</code> takes 0 where the game ends.</details>
# <details><summary>"the shape is right, the numbers are not"</summary>
# <code>q[next_states]</code> has shape <code>(S, A, A)</code>: the state, the action
# taken there, and the action taken afterwards. The best is to be taken over the last
# of the three. <code>max(axis=1)</code> takes it over the middle one.</details>
# <details><summary>"ValueError: operands could not be broadcast together", or a shape of
# (2, 2, 2)</summary><code>q[next_states]</code> has one axis more than
# <code>rewards</code>: a whole row for each place. Take the largest of each
# row.</details>
# <details><summary>"TypeError: 'NoneType' object is not subscriptable", and a shape of
# ()</summary>Your function returns None. A sweep makes a new table and has to
# <code>return</code> it.</details>
# <details><summary>"TypeError: The numpy boolean negative, the `-` operator, is not
# supported"</summary><code>~over</code> turns true and false round;
# <code>-over</code> is not defined.</details>
#
# Now watch it happen. The picture shows the fourteen places and ways of the target, in
# the order in which it passes through them, and what each action is worth there. In the
# third row a shot is already half-way. Both actions are worth the same then, and one
# number stands for both. A field without a number means that `bellman_sweep` returned
# no table of the right shape.

# %%
CYCLE = [Gallery.encode(0, column, +1) for column in range(7)]
CYCLE += [Gallery.encode(0, column, -1) for column in range(7, 0, -1)]
PLACES = [f"{c}→" for c in range(7)] + [f"{c}←" for c in range(7, 0, -1)]


def draw_table(q: np.ndarray, title: str):
    """The values of a table of 48 states, in the order of the target's swing."""
    flying = q[np.array(CYCLE) + 16].max(axis=1)  # same places, a shot half-way
    values = np.stack([q[CYCLE, WAIT], q[CYCLE, SHOOT], flying])
    drawing, ax = figure(height=2.5)
    ax.set_facecolor("#bbbbbb")
    ax.imshow(values, vmin=0, vmax=1, cmap="Blues", aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        ink = "white" if value > 0.6 else "black"
        text = "" if np.isnan(value) else f"{value:.2f}"
        ax.text(column, row, text, ha="center", va="center", color=ink, fontsize=11)
    ax.set(xticks=range(14), xticklabels=PLACES, xlabel="column and way of the target")
    names = ["wait", "shoot", "(shot half-way)"]
    ax.set(yticks=range(3), yticklabels=names, title=title)
    ax.grid(False)
    return show(drawing, f"A table {title}. {in_words(names, values)}")


def in_words(names: list[str], values: np.ndarray) -> str:
    """For those who cannot see the table: its numbers, but for the zeros."""
    rows = []
    for name, row in zip(names, values, strict=True):
        there = [f"{p} {v:.2f}" for p, v in zip(PLACES, row, strict=True) if v >= 0.005]
        rows.append(f"{name}: {', '.join(there) or 'no value above 0'}")
    return "; ".join(rows) + "."


# %%
def sweep_or_grey(times: int) -> np.ndarray:
    """Your table after so many sweeps, or empty fields; `beside` has said why."""
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
# its lowest value, 0.91, at 1→: that is what is left when the moment is missed there,
# and the next one is eight steps away.
#
# **Think:** a sweep moves a value one step back. In the game `early` the point came with
# decision 39. After how many sweeps would the first decision of that game hear of it?
# And what does this method need that Breakout does not offer?
# <details><summary>Answer</summary>After 39, which is little work. What is missing are
# the three tables: for each state and each action, what comes next and what it pays.
# Nobody has written them down for Breakout, and to write them one would need a list of
# all its states. The next section does without the rules; the last section of this
# chapter asks how long that list would be.</details>
#
# ## Learning without the rules
#
# Suppose the rules are not known. Then play. Every step shows one entry of those three
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
# **Think:** the target is made of a reward and a value, and the value is read from the
# table that is being corrected. In the beginning this table is full of zeros. How can
# it come right, if it learns from itself?
# <details><summary>Answer</summary>Because rewards are facts. The last step before the
# end has a target without any table in it, so it comes right first, then the step
# before it, and so on: the wave of exercise 1.4. (With a network in place of the table,
# moving one value moves others as well, the target among them. Chapter 07 is about
# that.)</details>
#
# ## A table learns to shoot
#
# The loop around it is that of chapter 00, with two changes. The action is not thrown
# by dice, or seldom: with probability epsilon (ε) it is random, otherwise the best of
# the row. (Why anybody would play at random now and then is the subject of chapter 06.)
# And after each step one entry is moved. Which row of the table belongs to a screen is
# left to a function, `look`. It is handed the observation before (None at the start of
# a game) and the present one, and returns the number of a row. At first that is the
# present observation itself, the number of the state.


# %%
def learn(look, rows: int, epsilon=0.05, seed=0, rate=0.1):
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
                table, row, action, reward, next_row, terminated, 0.99, rate
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
show(
    drawing,
    "A curve over a thousand games that climbs above 0.8 within the first hundred and "
    "stays between 0.8 and 1.",
)

# %%
waits = np.mean([math.log(exact[s].max(), 0.99) - 1 for s in Gallery.start_states])
print(f"the last 500 games: {scores[-500:].mean():.2f} hits per game")
print(f"the best play waits {waits:.1f} times, then shoots")
print(f"as many right decisions in a row: {(39 / 40) ** waits:.2f}")

# %% [markdown]
# The curve is the score in training, the mean of fifty games. Why does it stay below 1?
# Five decisions in a hundred are random, and half of those would have been right
# anyway: one in forty is wrong. A wrong one while the player should wait is a shot that
# misses. A game has 3.6 such moments on average, so about 0.91 of the games get past
# them. Without dice the table hits twelve times of twelve.
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
# Four hits, then one, four again, none. Is there anything better to be found? A player
# who sees one picture and throws no dice has a rule: in which of the eight columns to
# shoot. There are 2⁸ = 256 rules, so try them all.

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
# Four of twelve is the most that any such rule can reach. The table had found it, twice,
# and did not keep it. To see why, follow one of its entries: what is a shot worth with
# the target in column 5?

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
    "For states one curve climbs to 0.99 within 200 games and one stays at 0. For "
    "pictures a single curve goes up and down between 0.1 and 0.5, with flat "
    "stretches, and has not settled after a thousand games.",
)

# %% [markdown]
# In the table of states there are two entries, and both come to rest: 0.99 where the
# target is coming, 0 where it is going. In the table of pictures one entry stands for
# both. It hears of hits and of misses and averages over the latest of them, and how
# many there are of each depends on the player. While the entry is high, the player
# shoots at the first sight of column 5, coming or going; misses are mixed in, the entry
# sinks, and the player stops shooting there. The curve is flat then, until a random
# action tries again.
#
# Perhaps the learning rate is to blame, 0.1 so far. **Choose before you scroll:** would
# you take a larger one or a smaller one?

# %%
for rate in (0.02, 0.1, 0.5):
    runs = [learn(one_picture, 24, seed=n, rate=rate)[1] for n in range(TRAININGS)]
    print(f"rate {rate:4}: hits {[hits(run[-1], one_picture) for run in runs]}")

# %% [markdown]
# One number for each training. With 0.02 the entries hardly move any more, so each table
# keeps what its first hits suggested: four hits in some trainings, one in others. With
# 0.5 a miss or two wipe out what was found, and most end with nothing. None has more
# than four, as the 256 rules foretold: a rate decides how long an average remembers, and
# not what it averages.
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
ax.legend(loc="center right", bbox_to_anchor=(1, 0.63))
show(
    drawing,
    "Hits of twelve against games, the mean of all trainings. The state and two "
    "pictures reach twelve within 100 games; one picture stays below a dotted line at "
    "four, the best rule.",
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
    """Decimal digits, a whole number, of how many pictures there are.

    Args:
        shades: that one pixel can have.
        pixels: of one picture.
    """
    ### BEGIN SOLUTION
    return math.floor(pixels * math.log10(shades)) + 1
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
beside(
    ("ten shades, two pixels: 100 pictures", 3, digits, 10, 2),
    ("two shades, ten pixels: 1,024 pictures", 4, digits, 2, 10),
    ("nine pixels of 256 shades", 22, digits, 256, 9),
    ("four screens", 67_971, digits, 256, 84 * 84 * 4),
)

# %% [markdown]
# **What you should see:** four times ✅. That of the atoms has 81 digits, that of the
# stacks 67,971.
#
# <details><summary>Hint 1: the idea</summary>Pixels are independent, so the number of
# pictures is a power. 10² has three digits, and so has everything up to 999.</details>
# <details><summary>Hint 2: the call</summary><code>math.log10</code> of a number,
# rounded down, is its number of digits, less one. The logarithm of a power is a
# product.</details>
# <details><summary>"ValueError: Exceeds the limit (4300 digits) for integer string
# conversion"</summary>Python refuses to turn such numbers into text, because that takes
# long. A logarithm needs no text.</details>
# <details><summary>"TypeError: loop of ufunc does not support argument 0 of type int
# which has no callable log10 method"</summary><code>np.log10</code> was handed a whole
# number that is too large for NumPy. Take the logarithm of the shades, not of the
# power.</details>
# <details><summary>"OverflowError: int too large to convert to float"</summary>The same:
# the power is too large for a float.</details>
# <details><summary>"mine is 3.000"</summary>A number of digits is a whole number, an
# <code>int</code>. <code>math.floor</code> returns one, <code>np.floor</code> does
# not.</details>
#
# **Think:** most of these pictures are noise that no console ever showed. Breakout has
# a wall of 6 rows of 18 bricks, and each of them is there or not. How many walls are
# that, and does a table fit now?
# <details><summary>Answer</summary>2¹⁰⁸, a number of 33 digits, before the first ball,
# paddle or counter is drawn. At 8 bytes per value and four actions that makes 10³⁴
# bytes. Not all of them can be reached, but no counting will bring that down to a
# disk.</details>

# %% [markdown]
# That is what could be. What really comes? A table learns about a state by coming there
# again and again. So play Breakout with dice, and with the trained agent of chapter 00,
# and ask of each stack whether it was ever seen before, in this game or an earlier one.


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
recipe, agent = agents.load_agent(run, precision="fp32")  # in plain 32-bit numbers

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
# In `normal` mode 98 of 100 stacks are new, for the dice and for the agent alike. Now
# the gallery beside them, with dice, for as many steps as the agent took.


# %%
visited, length = [], sum(map(len, trained))


def noting(before, seen):
    visited.append(seen)
    return seen


for seed in range(100):
    if len(visited) < length:
        learn(noting, 48, epsilon=1.0, seed=seed)
gallery = [visited[:length]]

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
    "The line of the gallery is flat, close to 0, from its beginning on.",
)

# %%
new = np.flatnonzero(new_ones(gallery))
print(f"gallery: {len(new)} different states, the last of them at visit {1 + new[-1]}")

# %% [markdown]
# In `normal` mode the gallery has shown all it has after 156 visits: 42 of its 48
# states. The other six cannot occur. At a wall the target has already turned round, so
# it never stands in column 0 going left or in column 7 going right, be there no shot,
# one half-way or one that has arrived. Breakout has hardly begun, and a table, asked
# for its advice, would nearly always find a row of zeros.
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
# > - One picture hides motion: without dice 4 hits of 12 at best, with two pictures 12.
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
# 4. Another gallery: its target stops now and then for a step, at random, and then goes
# on the way it went before. Are two pictures still enough?
# <details><summary>Answer</summary>No. Where the two are alike, the target has just
# stopped, and they do not say which way it will go on. Three pictures would do if it
# never stops for longer than a step. How many pictures make a state is a question about
# the game, not about the agent.</details>
#
# Before a network can see anything, somebody has to decide what it is shown. Chapter 02
# turns a screen of 210 × 160 coloured pixels into 84 × 84 grey ones, and finds out
# which of the ways to do that lose the ball.
