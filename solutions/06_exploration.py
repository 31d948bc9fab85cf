# %% [markdown]
# # 06 · Exploration
#
# An agent that always does what it thinks best learns about nothing else. So it throws
# dice now and then: often while it knows little, rarely later. In this chapter you see
# what happens without dice, write them in, write the line along which they are taken
# back, and find out what other people's lines really were. Sections marked (aside) can
# wait for another evening; they take ten minutes more.
#
# **Goals**: say why a greedy agent can miss the better action for ever · choose actions
# for many games at once, each with dice of its own · write the schedule of epsilon, and
# read it in steps, frames and updates · count the random actions of a training before it
# begins · say what epsilon does to a test.
#
# **Prerequisites**: chapters 01 (Q-learning in a table), 03 (decisions, lanes, FIRE) and
# 05 (the network).
#
# **Minutes**: 90

# %%
from dataclasses import replace

import numpy as np
import torch

from dqn_ref.agents import load_agent
from dqn_ref.bellman import q_learning_update
from dqn_ref.course import begin, check, compare, progress, shipped_run
from dqn_ref.course.figures import BLUE, GREEN, GREY, ORANGE, VERMILION, figure, show
from dqn_ref.course.widgets import panel
from dqn_ref.environments import make_lanes
from dqn_ref.evaluation import evaluate_network
from dqn_ref.frames import FrameStack
from dqn_ref.games import Chain
from dqn_ref.network import QNetwork
from dqn_ref.recipes import get_recipe

# %%
MODE = begin("06").mode
NETWORKS = {"smoke": 3, "normal": 12, "full": 12}[MODE]  # that have learnt nothing
WATCHED = {"smoke": 40, "normal": 300, "full": 300}[MODE]  # decisions of each
THROWN = {"smoke": 2_000, "normal": 10_000, "full": 50_000}[MODE]  # calls for 16 games
GAMES = {"smoke": 2, "normal": 16, "full": 96}[MODE]  # of a trained agent
WAIT = {"smoke": 300, "normal": 6_000, "full": 18_000}[MODE]  # frames, without FIRE
FRAMES = {"smoke": 300, "normal": 18_000, "full": 18_000}[MODE]  # with it

# %% [markdown]
# ## One button for ever
#
# Here are twelve networks as chapter 05 makes them, with fresh weights. None has learnt
# anything. Each plays Breakout and always takes the action with the largest Q-value;
# nobody presses `FIRE` for it. **Before you scroll on, write down two numbers:** how many
# different buttons will one network press in 300 decisions, and how many points will the
# best of the twelve have?


# %%
def watch_new_networks(count: int, decisions: int):
    recipe = get_recipe("laptop", fire_at_start=False, fire_after_life=False)
    lanes, stack = make_lanes(recipe, count), FrameStack(count)
    networks = []
    for seed in range(count):
        torch.manual_seed(seed)
        networks.append(QNetwork(len(lanes.action_names)))
    rows, q_values, points = lanes.reset(seed=0), [], np.zeros(count)
    for _ in range(decisions):
        states = stack.push(torch.from_numpy(rows.frames), rows.reset_row)
        with torch.no_grad():
            each = [networks[i](states[i : i + 1]) for i in range(count)]
        q_values.append(torch.cat(each).numpy())
        lanes.send(np.array([int(row.argmax()) for row in each]))
        rows = lanes.recv()
        points += rows.rewards
    lanes.close()
    return np.stack(q_values, axis=1), points, lanes.action_names


new_values, points, buttons = watch_new_networks(NETWORKS, WATCHED)
pressed = new_values.argmax(axis=2)  # (networks, decisions)

# %%
# NBVAL_CHECK_OUTPUT
print("buttons that a network pressed, at most:", max(len(set(row)) for row in pressed))
print("points of the best:", points.max())

# %%
COLOURS = np.array(["#bbbbbb", VERMILION, BLUE, ORANGE])  # NOOP, FIRE, RIGHT, LEFT
drawing, ax = figure(height=2.9)
for number, row in enumerate(pressed):
    height = np.full(len(row), number)
    ax.scatter(np.arange(len(row)), height, s=12, c=COLOURS[row], marker="s")
for button in np.unique(pressed):
    ax.scatter([], [], s=40, c=COLOURS[button], marker="s", label=buttons[button])
ax.set(xlabel="decision", ylabel="network", yticks=[0, NETWORKS - 1])
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
show(drawing, "One row per network, each of a single colour from end to end.")

# %% [markdown]
# One button each, for twenty seconds of play, and not one point. Why does none of them
# change its mind? Look how much a Q-value moves from screen to screen, and how far the
# values of the four buttons are apart.

# %%
print(f"from screen to screen: {new_values.std(axis=1).mean():.4f}")
print(f"from button to button: {new_values.mean(axis=1).std(axis=1).mean():.4f}")

# %% [markdown]
# 0.0003 beside 0.023, in `normal` mode. The two neighbouring screens that chapter 04
# compared differ in 30 of 7,056 pixels; a new network hardly notices. Its favourite is
# decided by the weights it was born with.
#
# Where nobody presses `FIRE` there is no ball. Where it is pressed at every decision, the
# paddle never moves. And what the memory of chapter 04 gets to hold is of one kind: the
# same action, without a point, a thousand times.
#
# Dice do better: chapter 00 measured about one point a game. But dice do not learn.
# What is wanted lies in between.
#
# ## What is never tried
#
# Perhaps learning helps? Take a game so small that its table can be read. Five places
# stand in a row; a step goes left or right. Who leaves on the right is paid 1, who leaves
# on the left 0.2. A game begins at any of the five.
#
# ```text
#     0.2 ◀── [0] [1] [2] [3] [4] ──▶ 1
# ```
#
# The discount is 0.9, so right is better from every place: even from place 0 it is worth
# 0.9⁴ = 0.66. A greedy agent learns by chapter 01's update. Its table begins with zeros.


# %%
def learn_greedily(games: int, first_value: float = 0.0):
    table, paid = np.full((5, 2), first_value), []
    for game in range(games):
        state, over = game % 5, False
        while not over:
            action = int(table[state].argmax())
            after, reward, over = Chain.transition(state, action)
            q_learning_update(table, state, action, reward, after, over, 0.9, 0.5)
            state = after
        paid.append(reward)
    return table, paid


# %%
# NBVAL_CHECK_OUTPUT
table, paid = learn_greedily(1_000)
print("the last five games:", paid[-5:])
print("left: ", table[:, 0].round(2))
print("right:", table[:, 1].round(2))

# %% [markdown]
# A thousand games, and 0.2 in each. `argmax` takes the first of equals, which is left.
# Left then brings something, right stays at the 0 it began with, and 0 is never the
# larger one again. The left column is exactly right: 0.2, and 0.9 of it at each step
# further away. The right one is wrong, and will be.
#
# Note which mistake lasts. An action that is thought *too good* is taken, and what
# follows corrects it. An action that is thought *too bad* is not taken, and so nothing
# can correct it. Only an action against one's own judgement can.
#
# ## A die beside the judgement
#
# The oldest cure is also DQN's. With probability ε (epsilon) take a random action, each
# equally likely; otherwise the best. This is called *epsilon-greedy*.
#
# The random action may be the best one, by chance. So how often does the agent do what
# it thinks best?

# %% [markdown]
# ### Exercise 6.1 · What epsilon says · ●○○ · 5 minutes
#
# With ε = 0.1 one decision in ten is left to the dice. Work out how often the best action
# is taken, for any ε and any number of actions.


# %%
def chance_of_best(epsilon: float, actions: int) -> float:
    """Probability that an epsilon-greedy agent takes its best action.

    Args:
        epsilon: probability of a random action, which may be any, the best included.
        actions: how many there are.
    """
    ### BEGIN SOLUTION
    return 1 - epsilon + epsilon / actions
    ### END SOLUTION


# %% [markdown]
# This exercise and three others are small steps on the way to a piece. The following
# function stands for the check: it prints what is expected beside what yours gives
# (`None` where a `return` is missing).


# %%
def beside(question: str, expected: float, function, *arguments) -> None:
    """Print what is expected beside what your function returns; never raises."""
    try:
        mark, answer = "❌", function(*arguments)
        if answer is not None:
            mark = "✅" if np.isclose(answer, expected, rtol=1e-4, atol=0) else "❌"
            answer = f"{answer:,.6g}" if abs(answer) < 1_000 else f"{answer:,.0f}"
    except NotImplementedError:
        mark, answer = "◻", "not attempted yet"
    except Exception as error:
        mark, answer = "❌", f"{type(error).__name__}: {error}"
    print(f"{mark} {question}: expected {expected:,}, yours: {answer}")


# %%
# NBVAL_CHECK_OUTPUT
beside("Breakout, ε = 0.1", 0.925, chance_of_best, 0.1, 4)
beside("Breakout, dice only", 0.25, chance_of_best, 1.0, 4)
beside("the five places, ε = 0.5", 0.75, chance_of_best, 0.5, 2)
beside("all 18 buttons, ε = 0.05", 0.952778, chance_of_best, 0.05, 18)

# %% [markdown]
# **What you should see:** four times ✅. In Breakout ε = 0.1 means 7.5 % of actions
# other than the best, not 10 %.
#
# <details><summary>Hint 1: the idea</summary>There are two ways to the best action: the
# dice were not asked, or they were asked and happened to agree.</details>
# <details><summary>Hint 2: the call</summary>The first way has probability 1 − ε, the
# second ε times one in so many actions. Add them.</details>
# <details><summary>"mine is 0.9 where 0.925 is expected"</summary>Then the dice never
# agree with the judgement. They are fair: the best action is one of
# theirs.</details>
# <details><summary>"mine is 0.975 where 0.925 is expected"</summary>1 − ε/A counts one of
# the other actions. There are A − 1 of them, each with probability ε/A.</details>
#
# **Think:** a paper says "ε = 0.1" and another "a random action *other than the best*
# with probability 0.1". Which of the two agents plays more wildly, and by how much in
# Breakout?
# <details><summary>Answer</summary>The second: 10 % against 7.5 % of actions that are not
# the best, a third more. With 18 buttons the difference is small: 10 % against
# 9.4 %.</details>

# %% [markdown]
# ### Exercise 6.2 · Epsilon-greedy · ●●○ · 15 minutes
#
# Choose for many games at once. The Q-values come as a table, one row for each
# environment, and every environment throws its own dice.
#
# The order of the draws is part of the contract: L numbers, then L random actions, in
# every call, whether anybody needs them or not. Two versions of this function then use up
# the same dice, and with one seed everybody plays the same games. Drawing only what is
# needed would be right as well, but the first draw saved would shift all later ones.


# %%
def epsilon_greedy(
    q_values: np.ndarray, epsilon: float | np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """One action per environment: random with probability epsilon, otherwise the best.

    Args:
        q_values: `(L, A)` float, one row per environment. Not to be changed.
        epsilon: probability of a random action, one number or `(L,)`.
        rng: source of the draws: `rng.random(L)`, then `rng.integers(A, size=L)`, in
            every call, and no others.
    Returns:
        `(L,)` int64. Of equal best actions any may be taken.
    Source: Mnih et al. 2015, Algorithm 1.
    """
    # 1. Draw a number from 0 to 1 for each environment: below its epsilon, it explores.
    # 2. Draw a random action for each environment, needed or not.
    # 3. Take that one where the environment explores, elsewhere the best.
    ### BEGIN SOLUTION
    lanes, actions = q_values.shape
    explore = rng.random(lanes) < epsilon
    random_actions = rng.integers(actions, size=lanes)
    return np.where(explore, random_actions, q_values.argmax(axis=1))
    ### END SOLUTION


# %%
epsilon_greedy = check(epsilon_greedy)

# %% [markdown]
# **What you should see:** a badge that says `passes`. Here are eight environments whose
# best action is 2. Three epsilons, and the same seed each time:

# %%
# NBVAL_CHECK_OUTPUT
best_is_2 = np.zeros((8, 4), np.float32)
best_is_2[:, 2] = 1.0
for epsilon in (0.0, 0.5, 1.0):
    rng = np.random.default_rng(7)
    actions = epsilon_greedy(best_is_2, epsilon, rng)
    print(f"epsilon {epsilon}: {actions}   the next number: {rng.random():.4f}")

# %% [markdown]
# With ε = 0 everybody takes action 2. With 0.5 three of the eight explore, and each takes
# what it takes with 1; the others stay. The next number of the generator is the same in
# all three lines, because the same draws were made.
#
# <details><summary>Hint 1: the idea</summary>Two dice for each environment: one that says
# whether it explores, one that says where to. Throw both for all environments first; then
# choose, environment by environment, between the random and the best action. A random
# action may be any, the best included; and each environment may have an ε of its
# own.</details>
# <details><summary>Hint 2: the call</summary><code>rng.random(L)</code> and
# <code>rng.integers(A, size=L)</code> draw for all; <code>argmax(axis=1)</code> finds the
# best of each row; <code>np.where(mask, a, b)</code> takes from <code>a</code> where
# <code>mask</code> is true, and from <code>b</code> elsewhere. All of them make new
# arrays: write nothing into the two that you are given.</details>
# <details><summary>Hint 3: the draws</summary>Count them: with L environments a call uses
# L numbers and then L random actions. A loop that throws both dice of an environment
# before it goes on to the next uses the same number of draws in another order. And all
# come from the <code>rng</code> that you are given, none from
# <code>np.random</code>.</details>
# <details><summary>"ValueError: The truth value of an array is ambiguous"</summary>An
# <code>if</code> asks one question, and <code>draws &lt; epsilon</code> has L answers.
# <code>np.where</code> takes them all.</details>
# <details><summary>"ValueError: operands could not be broadcast together"</summary>
# <code>axis=0</code> finds the best environment of each action. You want the best
# action of each environment.</details>
#
# **Think:** the greedy agent on the five places starts again, with a table full of ones
# instead of zeros. Will it find the right-hand exit, without a single die?
# <details><summary>Answer</summary>Yes: <code>learn_greedily(1_000, 1.0)</code> is paid
# 0.2 in the first game and 1 in all others. Every action is thought too good until it has
# been tried, so each is tried. This is called optimism. A table makes it easy, since every
# entry is changed by itself. What a network is told about one screen changes its
# values on others, too: they would be talked down before anybody has been
# there.</details>

# %% [markdown]
# Now fifty agents, each in its own five places, with your function for all of them. Each
# has a table of its own, and the rows of their present places are the Q-values.


# %%
def learn_in_lanes(epsilon_at, decisions: int = 400, lanes: int = 50) -> np.ndarray:
    """Points of every decision, `(decisions, lanes)`."""
    rng, every = np.random.default_rng(0), np.arange(lanes)
    tables, places = np.zeros((lanes, 5, 2)), rng.integers(5, size=lanes)
    points = np.zeros((decisions, lanes))
    for step in range(decisions):
        actions = epsilon_greedy(tables[every, places], epsilon_at(step), rng)
        for lane, (place, action) in enumerate(zip(places, actions, strict=True)):
            after, points[step, lane], over = Chain.transition(int(place), int(action))
            move = int(place), int(action), points[step, lane], after, over
            q_learning_update(tables[lane], *move, 0.9, 0.5)
            places[lane] = rng.integers(5) if over else after
    return points


constant = {e: learn_in_lanes(lambda step, e=e: e) for e in (0.0, 0.1, 1.0)}

# %%
LINES = {0.0: (GREY, "no dice, ε = 0"), 0.1: (BLUE, "ε = 0.1"), 1.0: (ORANGE, "ε = 1")}


def draw_learning(ax, points, colour, label):
    rate = 100 * points.reshape(-1, 25, points.shape[1]).mean(axis=(1, 2))
    ax.plot(25 * np.arange(len(rate)) + 12, rate, color=colour, label=label)


drawing, ax = figure(height=3.0)
for epsilon, points in constant.items():
    draw_learning(ax, points, *LINES[epsilon])
ax.axhline(100 / 3, color="black", linestyle=":", label="the best there is")
ax.set(xlabel="decision", ylabel="points in 100 decisions", ylim=(0, 36))
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
show(drawing, "No dice: flat near 7. Dice only: flat near 8. Epsilon 0.1: rises to 20.")

# %%
# NBVAL_CHECK_OUTPUT
for epsilon, points in constant.items():
    first, last = 100 * points[:100].mean(), 100 * points[-100:].mean()
    print(f"epsilon {epsilon}: {first:.1f} points at first, {last:.1f} at last")

# %% [markdown]
# The best there is comes to 33: three steps to the right exit on average, from a random
# place. Without dice the agents stay at the small exit. With ε = 1 they learn everything
# and use nothing. With ε = 0.1 they get better, slowly: who is rarely sent to the right
# rarely finds that exit, and four hundred decisions are not enough.
#
# Keep the picture in mind. It will get a fourth line.
#
# ## Dice of one's own
#
# Why should each environment throw for itself? One number for all would be less work,
# and it is done: Stable-Baselines3 throws once for all its environments in
# `DQN.predict`, and then either all of them act at random or none does. From your
# function that version is made in two lines.


# %%
def one_draw_for_all(q_values, epsilon, rng):
    explores = rng.random() < epsilon
    return epsilon_greedy(q_values, float(explores), rng)


# %% [markdown]
# To see who explores, give sixteen environments a thousand buttons: then a random action
# is hardly ever the best one. Black is an environment that acts at random.


# %%
def who_explores(choose, calls: int) -> np.ndarray:
    """`(calls, 16)` bool, with epsilon 0.1; the best of 1,000 actions is the first."""
    rng, q_values = np.random.default_rng(0), np.zeros((16, 1_000), np.float32)
    q_values[:, 0] = 1.0
    return np.array([choose(q_values, 0.1, rng) != 0 for _ in range(calls)])


own, common = (who_explores(f, THROWN) for f in (epsilon_greedy, one_draw_for_all))

# %%
drawing, axes = figure(height=2.9, columns=2, sharey=True)
titles = ("a draw for each", "one draw for all")
for ax, title, explored in zip(axes, titles, (own, common), strict=True):
    ax.imshow(explored[:100].T, cmap="Greys", aspect="auto", interpolation="nearest")
    ax.set(title=title, xlabel="step of all environments", yticks=[0, 5, 10, 15])
    ax.grid(False)
axes[0].set_ylabel("environment")
show(drawing, "Left: black specks all over. Right: black columns from top to bottom.")

# %%
print(f"share of random actions: {own.mean():.3f} and {common.mean():.3f}")

# %% [markdown]
# The share of random actions is the same, but for the luck of the throws. What differs is
# how they lie.

# %% [markdown]
# ### Exercise 6.3 · Alone or all together · ●●○ · 10 minutes
#
# In each step some number of the sixteen environments explores. Its mean is 1.6, either
# way. Work out its standard deviation, for both ways of throwing.


# %%
def explorers_deviation(lanes: int, epsilon: float, one_draw: bool) -> float:
    """Standard deviation of the number of environments that explore in one step.

    Args:
        lanes: environments.
        epsilon: probability that an environment explores.
        one_draw: whether all of them share one draw.
    """
    ### BEGIN SOLUTION
    variance = epsilon * (1 - epsilon)
    return np.sqrt(variance * (lanes**2 if one_draw else lanes))
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
beside("16 environments, a draw for each", 1.2, explorers_deviation, 16, 0.1, False)
beside("16 environments, one draw for all", 4.8, explorers_deviation, 16, 0.1, True)
beside("one environment, its own draw", 0.3, explorers_deviation, 1, 0.1, False)
beside("one environment, one draw for all", 0.3, explorers_deviation, 1, 0.1, True)

# %% [markdown]
# **What you should see:** four times ✅, and the first two numbers again when the throws
# from above are counted:

# %%
for way, explored in (("a draw for each", own), ("one draw for all", common)):
    number, nobody = explored.sum(axis=1), (~explored.any(axis=1)).mean()
    print(f"{way:16}: {number.mean():.2f} ± {number.std():.2f} environments explore,")
    print(f"{'':18}none of them in {nobody:.0%} of the steps")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>One draw that is true with probability ε has
# the variance ε(1 − ε). The variances of independent draws add up. One draw that
# counts L-fold is another matter.</details>
# <details><summary>Hint 2: the call</summary>Independent: L times the variance, then
# <code>np.sqrt</code>. Shared: the number is 0 or L, so its deviation is L times that of
# one draw.</details>
# <details><summary>"mine is 1.44 where 1.2 is expected"</summary>That is the variance. The
# deviation is its square root.</details>
# <details><summary>"mine is 0.3 where 4.8 is expected"</summary>That is the deviation of the
# draw, 0 or 1. The number that explores is 0 or 16.</details>
# <details><summary>"mine are 4.8 and 1.2", the wrong way round</summary>With
# <code>one_draw</code> all of them go together, and the number jumps between 0 and
# 16.</details>
# <details><summary>"mine is 1.195", from dice</summary>The idea is right, and a simulation
# comes near. Here the formula is wanted.</details>
#
# **Think:** one of the sixteen environments looks only at its own row of the picture. Can
# it tell which of the two ways is used?
# <details><summary>Answer</summary>No. Each row by itself has the same statistics: a random
# action in a tenth of the steps, independent of the step before. The difference lies
# between the rows. With one draw the newest steps in memory are all random or all
# greedy, and sixteen environments give the variety of one. What that costs in points
# nobody has told us; it costs nothing to avoid.</details>

# %% [markdown]
# ## The dice are taken back
#
# ε = 1 learns everything and uses nothing, ε = 0.1 takes long to find the far exit. Who
# begins with the one and ends with the other has both. Mnih et al. (2015) let ε fall
# along a straight line and then keep it: this is the *schedule*, and "annealing" is its
# old name.

# %% [markdown]
# ### Exercise 6.4 · The schedule · ●●○ · 15 minutes
#
# Four numbers describe it. Up to `delay_steps` the value is `start`; then it falls in a
# straight line for `decay_steps`; then it is `end`, for ever. The step may be a number or
# an array: sixteen environments in one turn of the loop are at sixteen consecutive
# steps.


# %%
def linear_schedule(
    step: int | np.ndarray,
    start: float,
    end: float,
    decay_steps: int,
    delay_steps: int = 0,
) -> float | np.ndarray:
    """A value that falls in a straight line and then stays.

    Args:
        step: agent steps so far: one number, or an array of them, not to be changed.
        start: value up to `delay_steps`.
        end: value from `delay_steps + decay_steps` on.
        decay_steps: length of the line, in agent steps; 0: `end` from `delay_steps` on.
        delay_steps: agent steps before the line begins.
    Returns:
        A float for a number; for an array a float64 array of its shape.
    Source: Mnih et al. 2015, Methods, "Training details".
    """
    # 1. Which share of the line is done? Before it none, behind it all.
    # 2. Go that share of the way from `start` to `end`.
    # 3. Return a plain float where one step was given.
    ### BEGIN SOLUTION
    if decay_steps > 0:
        share = np.clip((np.asarray(step) - delay_steps) / decay_steps, 0.0, 1.0)
    else:
        share = (np.asarray(step) >= delay_steps).astype(np.float64)
    value = start + (end - start) * share
    return value if np.ndim(step) else float(value)
    ### END SOLUTION


# %%
linear_schedule = check(linear_schedule)

# %% [markdown]
# **What you should see:** a badge that says `passes`, and the line of Nature's published
# code: 1 during 50,000 steps, then down to 0.1 in a million.

# %%
# NBVAL_CHECK_OUTPUT
for step in (0, 50_000, 300_000, 550_000, 1_050_000, 50_000_000):
    value = linear_schedule(step, 1.0, 0.1, 1_000_000, 50_000)
    print(f"step {step:>10,}: epsilon {value:.3f}")

# %% [markdown]
# <details><summary>Hint 1: the idea</summary>The share of the line that is done is (step −
# delay) / decay, but not below 0 and not above 1. The value is <code>start</code> plus that
# share of the way to <code>end</code>.</details>
# <details><summary>Hint 2: the call</summary><code>np.clip(x, 0, 1)</code> takes a number as
# well as an array, and <code>float(…)</code> makes a plain number of what NumPy returns.
# <code>np.ndim(step)</code> is 0 for a number.</details>
# <details><summary>Hint 3: a line without length</summary>With
# <code>decay_steps=0</code> nothing may be divided. The value is <code>start</code>
# before <code>delay_steps</code>, and <code>end</code> from there on.</details>
# <details><summary>"ZeroDivisionError", or nan</summary>See hint 3. Python's numbers raise
# where NumPy's give <code>nan</code>.</details>
# <details><summary>"ValueError: The truth value of an array is ambiguous"</summary>
# <code>min</code>, <code>max</code> and <code>if</code> compare one number.
# <code>np.clip</code>, <code>np.minimum</code> and <code>np.maximum</code> compare each
# entry.</details>
#
# **Think:** ε never reaches 0 in any recipe of this course. Once the agent plays well,
# what is the last bit of chance good for?
# <details><summary>Answer</summary>The mistake that lasts is an action thought too bad. New
# ones of that kind arise as long as the network changes: an update for one screen moves
# the values of others. And the memory forgets; without dice it would soon hold nothing
# but the agent's own habits.</details>

# %% [markdown]
# Back to the five places. From 1 to 0.02 in two hundred decisions, then two hundred
# more:

# %%
falling = learn_in_lanes(lambda step: linear_schedule(step, 1.0, 0.02, 200))

# %%
drawing, ax = figure(height=3.0)
for epsilon, points in constant.items():
    draw_learning(ax, points, *LINES[epsilon])
draw_learning(ax, falling, VERMILION, "ε from 1 to 0.02")
ax.axhline(100 / 3, color="black", linestyle=":", label="the best there is")
ax.set(xlabel="decision", ylabel="points in 100 decisions", ylim=(0, 36))
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
show(drawing, "As before, and a line that begins near 10, dips, and rises to about 33.")

# %%
# NBVAL_CHECK_OUTPUT
print(f"{100 * falling[-100:].mean():.1f} points in the last hundred decisions")

# %% [markdown]
# None of the three constants came near it. In the first fifty decisions the agents are
# hardly better than dice, for dice is nearly all they use. What they find by then they
# live on ever after. (Where the line lies above the best there is, their games happened to
# begin nearer to the exit: 33 is the mean over all places.)
#
# ## Beside ours
#
# Two small functions, and few ways to write them. Our schedule, beside yours;
# `compare("epsilon_greedy")` does the same for the other.

# %%
compare("linear_schedule")

# %% [markdown]
# ## Five lines
#
# What lines have people drawn? The two notebooks that this course grew out of had one
# each, the Nature paper has two, and the recipe `laptop` has its own. A *step* is one
# decision of the agent.


# %%
def line_of(recipe_name: str) -> tuple[float, float, int, int]:
    recipe = get_recipe(recipe_name)
    ends = recipe.epsilon_start, recipe.epsilon_end
    return *ends, recipe.epsilon_decay_steps, recipe.epsilon_delay_steps


lines = {
    "first old notebook": line_of("notebook_a"),
    "second old notebook": line_of("notebook_b"),
    "Nature, in its words": (1.0, 0.1, 250_000, 0),
    "Nature, in its code": line_of("mnih2015"),
    "recipe laptop": line_of("laptop"),
}

# %%
# NBVAL_CHECK_OUTPUT
for name, (start, end, decay, delay) in lines.items():
    after = f" after {delay:,}" if delay else ""
    print(f"{name:20} {start} to {end} in {decay:,} steps{after}")

# %% [markdown]
# A step lasts 4 frames of the console in Nature's agent and in `laptop`, 16 in the first
# notebook, 4 to 8 in the second, 6 on average (chapter 03). So each line has two
# pictures.

# %%
FRAMES_PER_STEP = (16, 6, 4, 4, 4)
STYLES = ((ORANGE, "-"), (GREEN, "-"), (BLUE, "--"), (BLUE, "-"), (VERMILION, "-"))
drawing, axes = figure(width=11.5, height=3.4, columns=2, sharey=True)
for name, length, style in zip(lines, FRAMES_PER_STEP, STYLES, strict=True):
    steps = np.arange(0, max(1_500_000, 8_000_000 // length) + 1, 1_000)
    epsilon = linear_schedule(steps, *lines[name])
    axes[0].plot(steps / 1e6, epsilon, style[1], color=style[0])
    axes[1].plot(steps * length / 1e6, epsilon, style[1], color=style[0], label=name)
axes[0].set(xlabel="steps (millions)", ylabel="epsilon", xlim=(0, 1.5))
axes[1].set(xlabel="frames of the console (millions)", xlim=(0, 8), ylim=(0, 1.02))
axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
show(
    drawing,
    "Five falling lines, over steps and over frames. Over steps those of the first "
    "notebook and of laptop are the shortest, those of the second notebook and of "
    "Nature's code the longest; over frames the first notebook's is the third longest.",
)

# %% [markdown]
# The two blue lines are one paper. It says that ε falls "over the first million frames":
# 250,000 steps, the dashed line. The code published with it counts a million of the
# agent's own steps, after 50,000 without learning (`eps_endt`, `learn_start`): the solid
# one.
#
# In steps the first notebook is nearly as hasty as `laptop`. In frames it is not: its
# 100,000 decisions are 1.6 million frames, more than Nature's first million.
#
# ### What the comment says, and what the code does (aside)
#
# A comment in the second notebook says 1.0 to 0.1 over a million steps, its code 0.99,
# 0.05 and 1,250,000. Which was run? Every 10,000 steps its log prints the mean of ε.

# %%
# NBVAL_CHECK_OUTPUT
LOGGED = {10_000: 0.979, 20_000: 0.971, 40_000: 0.956, 300_000: 0.761, 1_540_000: 0.05}
print("steps from     log   code  comment")
for first, logged in LOGGED.items():
    steps = np.arange(first, first + 10_000)
    code = linear_schedule(steps, *lines["second old notebook"])
    comment = linear_schedule(steps, 1.0, 0.1, 1_000_000)
    print(f"{first:>9,} {logged:>8} {code.mean():6.3f} {comment.mean():6.3f}")

# %% [markdown]
# The code was run, to the last digit of the log. When you compare your run with another,
# compare with what it logged.
#
# Code can be mistaken, too. LeanRL, a collection of fast training scripts, works out the
# slope of the line, (end − start) / duration, in its `dqn_torchcompile.py`, and applies
# the lower bound `end` to the slope instead of the value. What comes out at every step?

# %%
# NBVAL_CHECK_OUTPUT
slope = torch.tensor((0.05 - 1.0) / 250_000)
print([round(slope.clamp_min(0.05).item(), 3) for step in (0, 125_000, 250_000)])
meant = linear_schedule(np.array([0, 125_000, 250_000]), 1.0, 0.05, 250_000)
print(meant.round(3).tolist())

# %% [markdown]
# 0.05 from the first step on, and nothing fails. Three values printed before the start
# would have shown it.
#
# ## In which units?
#
# `laptop` says 60,000, the table of hyperparameters in Mnih et al. (2015) 1,000,000, DQN
# Zoo and Dopamine (two well-kept implementations) 4,000,000, CleanRL 0.1. None of these
# numbers means anything without its unit.

# %% [markdown]
# ### Exercise 6.5 · Everything in steps · ●○○ · 5 minutes
#
# Convert what other people count into the agent's steps. A *turn* is one turn of the
# training loop, in which every environment takes one step.


# %%
def in_steps(
    amount: float,
    unit: str,
    frames_per_step: int = 4,
    steps_per_update: int = 4,
    lanes: int = 1,
) -> float:
    """How many agent steps that is.

    Args:
        amount: how many of the unit.
        unit: "steps", "frames" (of the console), "updates" (of the network) or "turns".
        frames_per_step, lanes: of that agent.
        steps_per_update: those of all its environments together.
    """
    ### BEGIN SOLUTION
    worth = {
        "steps": 1,
        "frames": 1 / frames_per_step,
        "updates": steps_per_update,
        "turns": lanes,
    }
    return amount * worth[unit]
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
million = 1_000_000
beside("Nature, in its words", 250_000, in_steps, million, "frames")
beside("DQN Zoo and Dopamine", million, in_steps, 4 * million, "frames")
beside("CleanRL: 0.1 of ten million", million, in_steps, 0.1 * 10 * million, "steps")
beside("250,000 updates", million, in_steps, 250_000, "updates")
beside("the same, 16 environments", million, in_steps, 250_000, "updates", 4, 4, 16)
beside("62,500 turns, 16 environments", million, in_steps, 62_500, "turns", 4, 4, 16)
beside("first old notebook, in frames", 100_000, in_steps, 1.6 * million, "frames", 16)

# %% [markdown]
# **What you should see:** seven times ✅. Four very different numbers, 4,000,000, 0.1,
# 250,000 and 62,500, are one and the same length of a million steps, that of Nature's
# code. The paper's own words come to a quarter of it, the first old notebook to a tenth.
#
# <details><summary>Hint 1: the idea</summary>How many steps are one frame, one update, one
# turn? A frame is less than a step, the other two are more.</details>
# <details><summary>Hint 2: the call</summary>A dictionary from units to factors, or a chain
# of <code>if</code>. Divide frames by <code>frames_per_step</code>, multiply updates by
# <code>steps_per_update</code> and turns by <code>lanes</code>.</details>
# <details><summary>"mine is 4,000,000 for Nature's frames"</summary>There are four frames
# in a step, so fewer steps than frames.</details>
# <details><summary>"mine is 16,000,000 for the updates of 16 environments"</summary>The
# steps between two updates are counted over all environments. How many there are does
# not matter.</details>
# <details><summary>"mine is 4,000,000 for the turns"</summary>A turn is one step of each
# environment, however often the network is updated.</details>
#
# **Think:** Stable-Baselines3 and CleanRL give the length as a share of the whole
# training, 0.1 unless you say otherwise. You shorten a training from 10,000,000 steps to
# 100,000, to try it out. What else have you changed?
# <details><summary>Answer</summary>The exploration: the line is now 10,000 steps long
# instead of a million. At step 10,000 the long training still has ε = 0.99, the short one
# has ended its line. A short run is not the beginning of a long one.</details>

# %% [markdown]
# Turns are where it goes wrong most easily. `laptop` plays sixteen games at once. Somebody
# who counts turns of the loop and calls them steps stretches the line sixteenfold. The
# shipped agent was trained for 338,810 steps:

# %%
# NBVAL_CHECK_OUTPUT
laptop = lines["recipe laptop"]
print(f"steps counted: {linear_schedule(338_810, *laptop):.2f} at the end")
turns = 338_810 // 16
print(f"{turns:,} turns counted: {linear_schedule(turns, *laptop):.2f} at the end")
one_turn = linear_schedule(30_000 + np.arange(16), *laptop)
print(f"one turn of the loop: {one_turn[0]:.5f} to {one_turn[-1]:.5f}")

# %% [markdown]
# With turns, two decisions in three would still have been left to the dice when the
# training ended. The loop of chapter 08 hands your schedule an array, as in the last
# line: sixteen consecutive steps, one for each environment.
#
# ## A line of your own
#
# Move the four numbers. The shaded area is what is left to the dice; the title counts it
# over a million steps. Begin at 1, and find two lines with 300,000 to 305,000 random
# actions: one without a delay, one with.
#
# <details><summary>Answer</summary>For example to 0.2 over 250,000 steps (301,000), and to
# 0.1 over 250,000 after 100,000 (303,000). As many random actions, but the first line has
# two in ten for ever, the second one in ten.</details>


# %%
def draw_line(first_value, last_value, decay_steps, delay_steps):
    steps = np.arange(0, 1_000_001, 2_000)
    epsilon = linear_schedule(steps, first_value, last_value, decay_steps, delay_steps)
    drawing, ax = figure(width=8, height=2.8)
    ax.fill_between(steps / 1e6, epsilon, color=ORANGE, alpha=0.5, linewidth=0)
    ax.plot(steps / 1e6, epsilon, color=VERMILION)
    thousands = round(epsilon.mean() * 1_000)
    ax.set(title=f"about {thousands},000 random actions in a million steps")
    ax.set(xlabel="steps (millions)", ylabel="epsilon", xlim=(0, 1), ylim=(0, 1.03))
    return show(drawing, f"Epsilon over steps, and {thousands},000 random actions.")


panel(
    draw_line,
    {
        "first_value": 1.0,
        "last_value": 0.1,
        "decay_steps": 250_000,
        "delay_steps": 50_000,
    },
    first_value=[0.0, 0.25, 0.5, 0.75, 0.99, 1.0],
    last_value=[0.0, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5],
    decay_steps=[0, 60_000, 100_000, 250_000, 500_000, 1_000_000, 1_250_000],
    delay_steps=[0, 50_000, 100_000, 250_000, 500_000],
)

# %% [markdown]
# ### Exercise 6.6 · A million steps · ●○○ · 10 minutes
#
# How many random actions does a training hold? **Guess first:** the second old notebook,
# first million steps. You have the schedule, so this is a sum.


# %%
def random_actions(
    steps: int, start: float, end: float, decay_steps: int, delay_steps: int = 0
) -> float:
    """Expected number of random actions in the first `steps` steps (0 to `steps` - 1).

    Args:
        start, end, decay_steps, delay_steps: as for `linear_schedule`.
    """
    ### BEGIN SOLUTION
    every = np.arange(steps)
    return float(linear_schedule(every, start, end, decay_steps, delay_steps).sum())
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
beside("always 0.1", 100_000, random_actions, million, 0.1, 0.1, 0)
beside("first old notebook", 145_000, random_actions, million, *line_of("notebook_a"))
beside("second old notebook", 614_000, random_actions, million, *line_of("notebook_b"))
beside("Nature, in its words", 212_500, random_actions, million, 1.0, 0.1, 250_000)
beside("Nature, in its code", 593_875, random_actions, million, *line_of("mnih2015"))
beside("recipe laptop", 49_400, random_actions, million, *line_of("laptop"))

# %% [markdown]
# **What you should see:** six times ✅. An agent of Nature's code has played most of its
# first million steps at random; one of `laptop` a twentieth.
#
# <details><summary>Hint 1: the idea</summary>A step adds its ε to the expected number: ten
# steps with ε = 0.1 hold one random action, on average.</details>
# <details><summary>Hint 2: the call</summary><code>linear_schedule</code> takes
# <code>np.arange(steps)</code>, and an array has a <code>sum</code>. Or add areas: the
# rectangle before the line, the trapezium under it, the rectangle behind
# it.</details>
# <details><summary>"mine is a little off"</summary>The areas may miss by half a step, which
# passes. If you are off by more, look whether the line still falls at the last of
# the steps: then its trapezium is cut off.</details>
#
# **Think:** the memory holds a million steps, and this million is the first. What share of
# a minibatch is random play when the second old notebook has taken 1,000,000 steps, and
# when Nature's code has taken 10,000,000?
# <details><summary>Answer</summary>61 % of the one, and 10 % of the other: by then the
# memory holds the steps from 9,000,000 on, all with ε = 0.1. Exploration reaches the
# learner late, through the memory, and stays in it as long as the memory is.</details>

# %% [markdown]
# An expected number wants a count. A million decisions in one call of your function, each
# with its own ε; best is always action 2:

# %%
# NBVAL_CHECK_OUTPUT
best_is_2 = np.zeros((million, 4), np.float32)
best_is_2[:, 2] = 1.0
for name, line in lines.items():
    epsilon = linear_schedule(np.arange(million), *line)
    others = (epsilon_greedy(best_is_2, epsilon, np.random.default_rng(0)) != 2).sum()
    print(f"{name:20} {others:>7,} others than the best, {others / 0.75:>7,.0f} random")

# %% [markdown]
# Only three random actions in four can be told from the best one, so the count is divided
# by 0.75; it agrees with the sums to within three in a thousand.
#
# ## The epsilon of a test
#
# A trained agent is tested: with which ε? Mnih et al. (2015) tested with 0.05. The second
# old notebook meant to do the same. In its library, keras-rl, a *policy* is the object
# that picks an action from the Q-values; an agent has one for training and another one
# for tests. The notebook wrote 0.05 into the first, as its value for tests. Here is that
# part of the library, in our own words.


# %%
def greedy(training: bool) -> float:
    return 0.0


def annealed(training: bool, step: int = 1_750_000) -> float:
    return linear_schedule(step, 0.99, 0.05, 1_250_000) if training else 0.05


class AgentOfKerasRl:
    def __init__(self, policy, test_policy=greedy):
        self.policy, self.test_policy = policy, test_policy

    def act(self, q_values, rng, training: bool):
        policy = self.policy if training else self.test_policy
        return epsilon_greedy(q_values, policy(training), rng)


# %%
# NBVAL_CHECK_OUTPUT
as_written = AgentOfKerasRl(annealed)
mended = AgentOfKerasRl(annealed, test_policy=annealed)
for name, agent in (("as written", as_written), ("mended", mended)):
    actions = agent.act(best_is_2[:10_000], np.random.default_rng(0), training=False)
    print(f"{name}: {(actions != 2).sum()} of 10,000 test actions are not the best")

# %% [markdown]
# The value for tests belongs to a policy that never acts in a test. No error, no warning:
# the 0.05 is dead code, and the ten test games were played greedily.
#
# What did it cost? That notebook prints its ten test games with their lengths. Three
# ran into their limit of 5,000 decisions, with 20, 5 and 10 points: the ball was lost,
# and the agent waited for the next one, for ever.
# Let our trained agent play as that one had to. Nobody presses `FIRE` for it, and a game
# is cut off after 6,000 frames, a hundred seconds.

# %%
recipe, learner = load_agent(shipped_run("breakout-laptop-seed-0"), precision="fp32")
alone = replace(recipe, fire_at_start=False, fire_after_life=False)
for epsilon in (0.0, 0.05):
    result = evaluate_network(
        alone, learner.q_values, GAMES // 2, epsilon, seed=0, max_frames=WAIT
    )
    scores = sorted(map(int, result.scores))
    print(f"epsilon {epsilon}: {scores}, {result.truncated} games cut off")

# %% [markdown]
# Greedy, in `normal` mode, eight games out of eight end in waiting: with 4, 24 or 28 points,
# where there was `FIRE` among the agent's best actions for a life or more, and then came a
# still screen on which it was not. A greedy agent in front of a still picture does the same
# at every step. With ε = 0.05 the dice press `FIRE` in one decision out of eighty, after
# five seconds on average, and the same agent has 26 to 67 points. Do not compare these
# with the games further down, where `FIRE` is pressed for it: eight games have an error
# of some five points, and cannot tell.
#
# This agent never had to learn the button. In its training `FIRE` was pressed for it, at
# the start and after each life, and so it is in its evaluations. Chapter 09 comes back to
# the agent that waits.
#
# ### How many games are thirty games?
#
# Now with `FIRE` pressed, by the rules of this course's evaluations: full games, 0 to 30
# no-ops at the start. **Write down a guess** before you scroll: how much will each of
# 0.05 and 0.2 cost, beside no dice at all?

# %%
results = {
    epsilon: evaluate_network(
        recipe, learner.q_values, GAMES, epsilon, seed=0, max_frames=FRAMES
    )
    for epsilon in (0.0, 0.001, 0.05, 0.2)
}
for epsilon, result in results.items():
    error = result.std / np.sqrt(GAMES)
    print(f"epsilon {epsilon:<5}: mean {result.mean:.1f} ± {error:.1f}, ", end="")
    print(f"{len(set(result.scores))} different scores in {GAMES} games")

# %%
drawing, axes = figure(width=10, height=2.7, columns=4, sharey=True, sharex=True)
for ax, (epsilon, result) in zip(axes, results.items(), strict=True):
    points, counts = np.unique(result.scores, return_counts=True)
    ax.bar(points, counts, width=1.2, color=BLUE)
    ax.axvline(result.mean, color=VERMILION, linestyle="--")
    ax.set(title=f"ε = {epsilon:g}", xlabel="score (points)")
axes[0].set_ylabel("games")
show(drawing, "Four histograms: few high bars with little chance, many low with more.")

# %% [markdown]
# In `normal` mode the sixteen greedy games have four different scores, and nine of them
# end with 35 points. Breakout has no chance of its own and a greedy agent has none; the
# no-ops at the start are all that differs, and after them much the same is played again.
# So the ± of 0.8 is an illusion: it takes them for sixteen independent games. With 0.001 it
# is hardly better. With 0.05 the games differ, and the error of 2.0 is an honest one.
#
# That is what a little chance is good for in a test: nobody shall be praised for one game
# learnt by heart. Mnih et al. (2015, Methods) give the same reason for their 0.05 and their
# no-ops.
#
# By their means, 0, 0.001 and 0.05 cannot be told apart. Thirty games of each of three
# agents that come with the course say the same (`results/README.md`): neither column wins
# in all rows.
#
# | seed of the training | ε = 0.05 | ε = 0.001 |
# | --- | --- | --- |
# | 0 | 37.1 ± 2.3 | 39.3 ± 2.7 |
# | 1 | 33.3 ± 1.9 | 37.6 ± 1.4 |
# | 2 | 38.0 ± 2.0 | 35.4 ± 1.6 |
#
# ### What a random action costs (aside)
#
# 0.2 costs ten points, the cost of 0.05 cannot be seen. How can that be? Count what the
# dice do in a game.

# %%
for epsilon in (0.05, 0.2):
    result = results[epsilon]
    decisions, others = np.mean(result.steps), 0.75 * epsilon
    untouched = (1 - others) ** (decisions / result.mean)
    print(f"epsilon {epsilon}: {decisions:,.0f} decisions a game,", end=" ")
    print(f"{others * decisions:.0f} of them other than the best;")
    print(f"{decisions / result.mean:.0f} decisions a point, all the agent's", end=" ")
    print(f"own with probability {untouched:.2f}")

# %% [markdown]
# With ε = 0.05 some 38 decisions of a game are against the agent's judgement, and two points
# in three are made with at least one of them on the way. Yet the score hardly shows it.
# Most such decisions can be mended: while the ball is far, the next one moves the paddle
# back. With 0.2 one decision in seven is foreign, and more often two or three come close
# together when there is no time left.
#
# In training the price is paid for something. At the end of its line `laptop` plays with
# ε = 0.02: 1.5 % of its actions are not the best, and each of them may find out that it is.
#
# Two things that look like exploration are none. Sticky actions (chapter 03) are chance
# in the game: they repeat the last action, in training and test alike, and never propose
# a new one. And the no-ops at the start only vary where a game begins.
#
# Dice have their limits, too. To press one button ten times in a row, dice with four
# buttons need about 4¹⁰ attempts, a million. Where the first point lies many right actions
# away they do not get there: in Montezuma's Revenge Nature's agent scored 0
# (Mnih et al. 2015, Extended Data Table 2). Breakout is kind: dice alone find a brick or
# so in every game.
#
# ## Summary
#
# > - An action that is thought too bad is never taken again, and never corrected. Dice
# >   take it all the same.
# > - Epsilon-greedy: random with probability ε, else the best. The best action comes with
# >   probability 1 − ε + ε/A.
# > - Each environment throws its own dice, in a fixed order, needed or not.
# > - The schedule is a line with a start, an end, a length and a delay. Its numbers mean
# >   nothing without a unit: steps, frames, updates, turns.
# > - The first million steps hold 49,400 random actions in `laptop`, 594,000 in Nature's
# >   code.
# > - Test with a little chance: a greedy agent plays the same few games again, or waits.
#
# Which parts of the agent are yours by now:

# %%
progress()

# %% [markdown]
# ## Quiz
#
# 1. A training of 200,000 steps uses Nature's schedule, as its code has it. What did its
# agent do in the last hundred decisions?
# <details><summary>Answer</summary>Mostly throw dice: at step 200,000 ε is still
# 1 − 0.9 × 150,000 / 1,000,000 = 0.865. A schedule belongs to a length of training. The
# scores of its games say little about what the network has learnt by then; an
# evaluation would.</details>
#
# 2. Your training log says ε = 0.02, and in the last 10,000 decisions 1.5 % of actions were
# not the best. Is something wrong?
# <details><summary>Answer</summary>No. With four actions a random one is the best in one
# case out of four: 0.02 × 0.75 = 0.015.</details>
#
# 3. A colleague evaluates without dice: thirty games, mean 35.2, standard error 0.6. What
# do you ask before you believe the 0.6?
# <details><summary>Answer</summary>How many of the thirty games are different. If the game
# has no chance of its own, thirty greedy games may be four, and the error of a mean of four
# is larger.</details>
#
# 4. You go from 1 game to 64 games at once and leave everything else as it was. In the log
# ε falls 64 times more slowly per step, and the agent learns nothing. Where do you look?
# <details><summary>Answer</summary>At what is handed to the schedule as
# <code>step</code>. It counts turns of the loop. In each turn 64 steps are
# taken.</details>
#
# You can choose an action now, and you know how much of a training is chance. Chapter 07
# makes the judgement better against which the dice are thrown: one learning step, from a
# minibatch to new weights.
