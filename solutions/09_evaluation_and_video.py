# %% [markdown]
# # 09 · Evaluation and video
#
# How good is it? A training prints a number, another program prints another one, and a
# paper a third. In this chapter you write the evaluation that every score of this
# course comes from, and the writer of every film. Then you let your own agent play
# ten games and watch it, and ask the agent that comes with the course what it expects.
#
# **Goals**: state a score with its protocol · evaluate several games at once without
# favouring short ones · say how sure a mean is, and whether two differ · catch an agent
# that waits for ever · write a film that plays in any browser · hold Q-values against
# what was really earned · see through "the best of".
#
# **Prerequisites**: chapters 03 (rows, lives, stacks), 06 (epsilon), 08 (a training).
#
# **Minutes**: 120
#
# (The three asides take 10 more. With `normal` counts the cells need two minutes of a
# processor; the long ones say so before.)

# %%
import contextlib
import dataclasses
import io
import json
import math
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

# %%
from dqn_ref import agents, reporting, runs, video
from dqn_ref.bellman import discounted_return
from dqn_ref.course import begin, check, compare, progress, shipped_run
from dqn_ref.course.figures import BLUE, GREY, VERMILION, figure, show
from dqn_ref.course.recorded import record_game
from dqn_ref.course.xray import scrub, xray_film
from dqn_ref.environments import Lanes, Rows
from dqn_ref.errors import RunError
from dqn_ref.evaluation import Evaluation, greedy_policy
from dqn_ref.frames import FrameStack
from dqn_ref.own_pieces import AGENT_PIECES, kept_names, kept_pieces, load_pieces
from dqn_ref.pieces import Pieces
from dqn_ref.recipes import get_recipe
from dqn_ref.watching import picture

# %%
course = begin("09")
MODE = course.mode
GAMES = {"smoke": 2, "normal": 10, "full": 30}[MODE]
LIMIT = {"smoke": 600, "normal": 18_000, "full": 18_000}[MODE]  # frames of a game
WAITED = {"smoke": 400, "normal": 7_200, "full": 18_000}[MODE]  # frames, at most
YOUNG = {"smoke": 120, "normal": 4_000, "full": 60_000}[MODE]  # steps of a training
PONG = {"smoke": 60, "normal": 1_000, "full": 30_000}[MODE]  # steps of the other one
LANES = {"smoke": 2, "normal": 16, "full": 16}[MODE]  # of that training
SECONDS = {"smoke": 1, "normal": 8, "full": 10}[MODE]  # of a film

# %% [markdown]
# ## One agent, several scores
#
# The agent that comes with this course has three numbers in its record.

# %%
# NBVAL_CHECK_OUTPUT
shipped = shipped_run("breakout-laptop-seed-0")
about = json.loads((shipped / "about.json").read_text())
print(f"training, the last 100 games: {about['training_score_mean_of_100']:.1f}")
for one in about["evaluations"]:
    print(f"{one['games']} games, epsilon {one['epsilon']}: {one['mean']:.1f}")

# %% [markdown]
# 34.9, 37.1, 39.3. Nothing about the agent differs between the last two lines, not one
# weight. Here is a fourth opinion: one game, recorded decision by decision.

# %%
torch.set_num_threads(1)  # sums in one order: the same games in every run
recipe, agent = agents.load_agent(shipped, precision="fp32")
game = record_game(recipe, agent.q_values, epsilon=0.05, seed=0, max_frames=LIMIT)
print(f"{len(game.decisions)} decisions, {game.life_lost.sum()} lost balls")
print(f"points of the game:   {game.points.sum():.0f}")
print(f"points of a life:     {game.points.sum() / max(1, game.life_lost.sum()):.1f}")
print(f"bricks, clipped to 1: {np.clip(game.points, -1, 1).sum():.0f}")

# %% [markdown]
# 28 points, or 5.6, or 16; and the learner of chapter 08 has yet another number, since
# it clips rewards and takes each life for an episode: 16 / 5 = 3.2. All of them have been
# called "the score" by somebody. A number without the rules that it came from says
# nothing, so before any more numbers, the rules.
#
# ## The contract
#
# | | in this course | what goes wrong otherwise |
# | --- | --- | --- |
# | a game | all lives | per life, a fifth of the score |
# | points | the game's own | clipped, a brick of seven points counts one |
# | start | 0 to 30 no-ops, drawn by lot | without chance every game is the same game |
# | actions | epsilon 0.05 random (or 0.001, or 0: said with the score) | see below |
# | end | game over, or 18,000 frames, five minutes | whoever does nothing plays for ever |
# | games | fixed beforehand, one in each lane | short games are counted more often |
# | told | mean, median, standard deviation, every single score | a mean hides the rest |
# | weights | the last | the best of many is flattered |
#
# No-ops, epsilon 0.05 and five minutes are those of Mnih et al. (2015, Methods). Whoever
# changes a line may do so, and says it.
#
# One of these lines looks harmless. Games are played in parallel, a lane each, and a
# lane whose game is over begins the next one. You want thirty games. Why not take the
# first thirty that end?


# %%
def first_to_end(lengths: np.ndarray, lanes: int, rng: np.random.Generator):
    """Numbers of the games of `lengths` that end first, as many as there are lanes."""
    drawn = rng.integers(len(lengths), size=(lanes, lanes))  # a row of games per lane
    ends = np.cumsum(lengths[drawn], axis=1)  # when each of them ends
    earliest = np.argsort(ends.ravel())[:lanes]
    return drawn.ravel()[earliest]


# %% [markdown]
# A game of Breakout is long because points are made. Take an agent of which one half of
# the games brings 10 points in 200 decisions and the other half 60 points in 1,000. Its
# mean is 35. **Write down your guess**: what do the first ten of ten lanes say?

# %%
# NBVAL_CHECK_OUTPUT
points, lengths = np.array([10, 60]), np.array([200, 1_000])
rng = np.random.default_rng(2)
for lanes in (1, 10, 100):
    means = [points[first_to_end(lengths, lanes, rng)].mean() for _ in range(1_000)]
    print(f"{lanes:3} lanes: mean of the first {lanes:3} games {np.mean(means):.1f}")

# %% [markdown]
# Not 35 but 18.5, and 14.0 with a hundred lanes: the short games end first, their lanes
# begin again, and the next short ones end before the long ones have. More games in more
# lanes make it worse. It goes away when every lane plays its quota, here one game, and
# everybody waits for the last.

# %% [markdown]
# ### Exercise 9.1 · evaluate · ●●● · 35 minutes
#
# Write the evaluation. `lanes` are those of chapter 03: `lanes.reset(seed)` gives the
# first `Rows`, `lanes.send(actions)` and `lanes.recv()` the next. `Rows` are arrays with an
# entry for each lane: `frames`, `rewards` (the points of the decision that led here,
# unclipped), and the flags `life_lost`, `game_over`, `truncated` (cut off) and `reset_row`.
# Where `reset_row` is set nothing was decided: a game begins, or the environment has
# pressed `FIRE` in the agent's place.


# %%
def evaluate(
    lanes: Lanes, stack: FrameStack, policy: Callable, breaks_at_life: bool, seed: int
) -> Evaluation:
    """Play one full game in each lane; points are unclipped, epsilon is the policy's.

    Args:
        lanes: `lanes.lanes` games, with a limit of frames. They stay open.
        stack: empty; `push((L, H, W) uint8, starts (L,) bool)`.
        policy: states `(L, stack, H, W)` uint8 to actions `(L,)` int64.
        breaks_at_life: whether a lost life starts a stack, as a reset row does.
        seed: of `lanes.reset`.
    Returns:
        Evaluation(scores: list[float], steps: list[int], truncated: int), in the order
        of lanes. Reset rows count for nothing; `truncated` games were cut off.
    """
    # 1. As long as a lane plays: push the frames, ask, send, receive, count.
    # 2. Of a lane whose first game is over nothing more counts.
    ### BEGIN SOLUTION
    rows, playing = lanes.reset(seed), np.ones(lanes.lanes, bool)
    scores, steps, cut = np.zeros((3, lanes.lanes))
    starts = rows.reset_row
    while playing.any():
        lanes.send(policy(stack.push(torch.from_numpy(rows.frames), starts)))
        rows = lanes.recv()
        starts = rows.reset_row | (rows.life_lost & breaks_at_life)
        counts = playing & ~rows.reset_row
        scores, steps = scores + counts * rows.rewards, steps + counts
        cut += playing & rows.truncated
        playing &= ~(rows.game_over | rows.truncated)
    return Evaluation(scores.tolist(), steps.astype(int).tolist(), int(cut.sum()))
    ### END SOLUTION


# %%
evaluate = check(evaluate)

# %% [markdown]
# **What you should see:** a badge that says `passes`. The check plays scripted games
# whose points are known; until yours passes, the reference's plays the games below.
#
# <details><summary>Hint 1: the idea</summary>Per lane, two sums and a flag
# <code>playing</code>. A row counts if its lane still plays and it is no reset row. The
# row that ends a game counts, too; then the flag falls, for <code>game_over</code> and
# for <code>truncated</code>. The loop ends when nobody plays.</details>
# <details><summary>Hint 2: the call</summary><code>rows = lanes.reset(seed)</code> once;
# then <code>lanes.send(actions)</code> and <code>rows = lanes.recv()</code> by turns.
# <code>scores.tolist()</code> makes a list of an array; the number of games that were cut
# off is one <code>int</code>. Leave the lanes open: they are the caller's.</details>
# <details><summary>Hint 3: the order of a turn</summary>Push the frames of the newest
# rows, the first of which came from <code>reset</code>. Ask the policy about what
# <code>push</code> returned, send its answer as it is, receive, count. No row is pushed
# twice, none is left out.</details>
# <details><summary>Hint 4: where a stack starts</summary>At each row with
# <code>reset_row</code>, and, only if <code>breaks_at_life</code>, at each row with
# <code>life_lost</code>. The flags belong to the frames of the same row.</details>
# <details><summary>"TypeError: expected Tensor as element 1 in argument 0, but got
# numpy.ndarray"</summary>Rows hold NumPy arrays and a stack wants tensors:
# <code>torch.from_numpy(rows.frames)</code>.</details>
# <details><summary>"it still plays when every lane has long ended its
# game"</summary>The loop has no end: the flags of the lanes never fall, or nobody asks
# them.</details>
# <details><summary>"UFuncTypeError: Cannot cast … to dtype('int64')"</summary>Points are
# floats, and your sums are an array of whole numbers:
# <code>np.zeros(lanes.lanes)</code>.</details>
#
# **Think:** three of four lanes have finished, one plays on for a thousand decisions.
# Their states still go to the network and their actions to the emulator. Why not leave
# them out?
# <details><summary>Answer</summary>One could. On a CPU it saves time, since ten states
# take longer than one; on a GPU less so, since it works on a small batch side by side.
# The price would be that lane 3 is row 0 of a smaller batch from then on, which is how
# points come to the wrong game.</details>

# %%
compare("evaluate")

# %% [markdown]
# ## Ten games
#
# Your function at work (ten games take about 15 seconds). Around it stands a recorder:
# lanes that keep every row they hand out, and a policy that keeps what the network said.


# %%
class Recorder:
    """Lanes that keep their rows, and the actions they were sent."""

    def __init__(self, lanes: Lanes):
        self._lanes, self.lanes, self.rows, self.sent = lanes, lanes.lanes, [], []

    def reset(self, seed: int) -> Rows:
        self.rows.append(self._lanes.reset(seed))
        return self.rows[-1]

    def send(self, actions: np.ndarray) -> None:
        self.sent.append(actions)
        self._lanes.send(actions)

    def recv(self) -> Rows:
        self.rows.append(self._lanes.recv())
        return self.rows[-1]


# %%
def play(
    recipe, q_values, games=GAMES, epsilon=0.05, max_frames=LIMIT, seed=0, pieces=None
):
    """Play under the contract: the evaluation, the recorder, and Q `(T, games, A)`."""
    pieces, said = pieces or Pieces(), []  # None: the environment is the reference's
    lanes = pieces.make_lanes(recipe, games, max_frames=max_frames)

    def noted(states):
        said.append(q_values(states))
        return said[-1]

    shape = recipe.stack_frames, recipe.frame_shape
    rng = np.random.default_rng(seed)
    policy = greedy_policy(noted, epsilon, rng, pieces.epsilon_greedy)
    recorder, stack = Recorder(lanes), pieces.FrameStack(games, *shape)
    breaks = recipe.terminal_on_life_loss
    result = evaluate(recorder, stack, policy, breaks, seed + 10_000)
    lanes.close()
    return result, recorder, torch.stack(said).numpy()


# %%
ours, record, said = play(recipe, agent.q_values)
print(ours.summary())
print("points:   ", *(f"{score:.0f}" for score in ours.scores))
print("decisions:", *ours.steps)

# %% [markdown]
# A mean of 33.7 this time, where the record says 37.1. Is something broken? The games
# went from 20 to 52 points, and there were ten. First, would the first ten to end have had
# another mean? Take lanes that draw their games from these ten, a thousand times.

# %%
lengths, points = np.array(ours.steps), np.array(ours.scores)
rng = np.random.default_rng(0)
means = [points[first_to_end(lengths, 10, rng)].mean() for _ in range(1_000)]
print(f"the first ten to end, of ten lanes: {np.mean(means):.1f}")
print(f"the shortest game: {min(lengths)} decisions, the longest: {max(lengths)}")

# %% [markdown]
# No difference but the luck of the draw, this time. The longest game lasted less than twice
# as long as the shortest, so no lane can end a second game before all have ended their
# first. The effect takes games of very different lengths. You will meet some below.
#
# And the luck of the draw? Chapter 00 had a word for it, the *standard error*: the
# deviation between games, divided by √n. It is how far the mean of n games is off,
# typically.

# %% [markdown]
# ### Exercise 9.2 · How sure is a mean? · ●○○ · 10 minutes
#
# Two formulas, one of them read backwards. For so few games it matters that the mean was
# estimated from the same games: divide the sum of squares by n − 1, not by n.
#
# They are tried on three sets of scores. Two come from the notebooks that this course
# grew out of, which earlier chapters have quoted (`docs/old_notebooks.md`): the first
# shows the last games of a training, the second ten test games.


# %%
def standard_error(scores: list[float]) -> float:
    """Standard error of the mean of some games, in points."""
    ### BEGIN SOLUTION
    return float(np.std(scores, ddof=1) / math.sqrt(len(scores)))
    ### END SOLUTION


def games_needed(scores: list[float], error: float) -> int:
    """How many games like these bring the standard error down to `error` points."""
    ### BEGIN SOLUTION
    return math.ceil(np.var(scores, ddof=1) / error**2)
    ### END SOLUTION


# %%
def beside(question: str, expected, function, *arguments) -> None:
    """Print what is expected beside what yours gives; never raises."""
    try:
        answer = np.asarray(function(*arguments))
        is_float = answer.dtype.kind == "f"
        answer = (answer.round(2) + 0.0 if is_float else answer).tolist()
        mark = "✅" if np.allclose(answer, expected, atol=0.011) else "❌"
    except NotImplementedError:
        mark, answer = "◻", "not attempted yet"
    except Exception as error:
        mark, answer = "❌", f"{type(error).__name__}: {error}"[:90]
    print(f"{mark} {question}: expected {expected}, yours: {answer}")


# %%
# NBVAL_CHECK_OUTPUT
thirty = about["evaluations"][0]["scores"]
old_tests = [14, 20, 5, 10, 36, 15, 24, 12, 21, 14]  # of the second old notebook
beside("the shipped agent, 30 games", 2.32, standard_error, thirty)
beside("the second old notebook, 10 games", 2.74, standard_error, old_tests)
beside("the first old notebook, its last 2 games", 0.5, standard_error, [14, 13])
beside("the shipped agent to ±2", 41, games_needed, thirty, 2.0)
beside("the shipped agent to ±1", 162, games_needed, thirty, 1.0)

# %% [markdown]
# **What you should see:** five times ✅. The shipped agent scores 37.1 ± 2.3, and half
# the error costs four times the games. (An error of ± 0.5 from two games is itself a
# matter of luck.)
#
# <details><summary>Hint 1: the idea</summary>The error of a mean is s / √n. To get
# from an error back to n, solve s / √n = e: n = (s / e)², rounded up.</details>
# <details><summary>Hint 2: the call</summary><code>np.std(scores, ddof=1)</code> divides
# by n − 1; <code>np.var</code> is its square; <code>math.ceil</code> rounds
# up.</details>
# <details><summary>"mine is 2.28 and 2.60"</summary>You divided by n, which is what
# <code>np.std</code> does unless it is told <code>ddof=1</code>.</details>
# <details><summary>"TypeError: unsupported operand type(s) for /: 'list' and
# 'float'"</summary>A list has no arithmetic. Give it to a function of NumPy
# first.</details>
#
# **Think:** with seed 0 this recipe scored 37.1 ± 2.3, with seed 1 33.3 ± 1.9
# (`results/README.md`). Is the first agent better?
# <details><summary>Answer</summary>The difference is 3.8, and its own error √(2.3² + 1.9²)
# = 3.0. A difference of 1.3 errors or more comes up once in five times between two
# agents that are equally good. Nobody knows. And if they did differ, it would be news about
# two files of weights, not about the recipe: for that, train more seeds.</details>

# %% [markdown]
# Ten games more or less are no detail: the mean of ten is uncertain by 3 or 4 points, and
# so 33.7 and 37.1 do not contradict each other. Standard errors also assume that games are
# drawn independently. Breakout has no chance of its own, and an agent with next to none
# meets the same games again. Here are both evaluations of the record:

# %%
drawing, axes = figure(height=2.8, columns=2, sharey=True)
for ax, one in zip(axes, about["evaluations"], strict=True):
    scores, counts = np.unique(one["scores"], return_counts=True)
    ax.vlines(scores, 0, counts, color=BLUE, linewidth=2)
    ax.set(xlabel="points", title=f"epsilon {one['epsilon']}", xlim=(0, 95))
    error = np.std(one["scores"], ddof=1) / math.sqrt(30)
    most = sorted(zip(counts.tolist(), scores.tolist(), strict=True))[:-3:-1]
    print(f"epsilon {one['epsilon']}: {one['mean']:.1f} ± {error:.1f}", end=", ")
    print(f"{len(scores)} different scores in 30 games, often", end=" ")
    print(*(f"{score:.0f} ({count} games)" for count, score in most))
axes[0].set(ylabel="games")
show(drawing, "Two panels of thirty scores each; on the right fewer, higher lines.")

# %% [markdown]
# With epsilon 0.001 nine of thirty games end with 31 points and seven with 62: it looks
# as if two games had been played nine and seven times. The mean of 39.3 is as honest as
# the other one, but its error of ± 2.7 is not, since it counts copies as if they were
# news. This is what epsilon 0.05 is for. It makes the games different; what it costs the
# agent is too little for thirty games to show.
#
# ## The agent that waits
#
# The second old notebook ends with ten test games, filmed and shown. Its author wrote
# down their points and lengths:

# %%
# NBVAL_CHECK_OUTPUT
old_lengths = [414, 4997, 5000, 4994, 693, 448, 365, 390, 507, 307]
print("points of the ten test games:", *old_tests)
print("decisions:                   ", *old_lengths)
print(f"mean {np.mean(old_tests):.1f}, median {np.median(old_tests):.0f}")
lengths, points = np.array(old_lengths), np.array(old_tests)
rng = np.random.default_rng(0)
means = [points[first_to_end(lengths, 10, rng)].mean() for _ in range(1_000)]
print(f"the first ten to end, of ten lanes, would have had {np.mean(means):.1f}")

# %% [markdown]
# Seven games last 300 to 700 decisions. Three last 5,000, which is that game's limit,
# and bring no more than the others. (Two of them say 4,997 and 4,994: random actions at
# the start, which do not count, are part of the limit.) Had the games been played in
# lanes, and the first ten to end been taken, the long ones would hardly count, and the
# mean would be 18.9.
#
# What happens in there? The notebook's last paragraph tells: the agent lets the ball
# fall, has not learnt that `FIRE` brings the next one, and waits.
#
# It had meant to prevent that. An epsilon of 0.05 was set for tests, but, as chapter 06
# told, `keras-rl` never reads it: its tests are greedy. Does that matter so much? This
# course's environment presses `FIRE` by itself. Take this help away, and let the shipped
# agent play greedily, then with epsilon 0.05.
#
# **Predict** how the second one goes: of twenty decisions one is random, and one of the
# four actions is `FIRE`. How long does it wait for a ball? (The cell takes about 20
# seconds.)

# %%
alone = dataclasses.replace(recipe, fire_at_start=False, fire_after_life=False)
waits = {
    epsilon: play(alone, agent.q_values, min(GAMES, 6), epsilon, WAITED)
    for epsilon in (0.0, 0.05)
}

# %%
for epsilon, (result, *_) in waits.items():
    print(f"epsilon {epsilon}: {result.summary()}")

# %% [markdown]
# All six greedy games are cut off, after two minutes here instead of five, to spare you
# the wait. With epsilon 0.05 none is, and the same weights score 34.0 instead of 18.7. When
# does the wait begin, and how long does it last? The recorder knows.


# %%
def last_points(recorder: Recorder) -> list[int]:
    """The decision of each lane that brought its last point."""
    points = np.array([rows.rewards for rows in recorder.rows])
    return [int(np.flatnonzero(lane).max(initial=0)) for lane in points.T]


def waits_for_fire(recorder: Recorder, q: np.ndarray, fire: int = 1) -> dict[str, list]:
    """Decisions from each lost ball to the next FIRE, by who pressed it."""
    pressed, found = np.array(recorder.sent) == fire, {"the network": [], "dice": []}
    for row, lane in np.argwhere([rows.life_lost for rows in recorder.rows[:-1]]):
        until = np.flatnonzero(pressed[row:, lane])[:1]
        for wait in until:
            who = "the network" if q[row + wait, lane].argmax() == fire else "dice"
            found[who].append(int(wait))
    return found


# %%
print("greedy, the last point at decision", *last_points(waits[0.0][1]))
for who, waited in waits_for_fire(*waits[0.05][1:]).items():
    mean = f", after {np.mean(waited):.0f} decisions on average" if waited else ""
    print(f"epsilon 0.05, served by {who}: {len(waited)} balls{mean}")

# %% [markdown]
# The greedy games make their last point at decision 144, 724 or 896 and then stand
# still: three different games, each of them played twice. With epsilon 0.05, the
# network itself served 14 of the 24 balls that followed a lost one, after 10 decisions
# on average. The other ten came by dice, after 69. You should have predicted 80: one
# decision in twenty is random and one random action in four is `FIRE`, which is one in
# eighty, five seconds of play.
#
# This network was never asked for a serve: in its training the environment pressed
# `FIRE`, the ball was always there, and what it says of a field without a ball is chance.

# %%
drawing, ax = figure(height=3.0)
ax.plot(old_lengths, old_tests, "D", color=VERMILION, label="second old notebook")
ax.axvline(5_000, color=VERMILION, linestyle="--", linewidth=1)
for (epsilon, (result, *_)), colour in zip(waits.items(), (GREY, BLUE), strict=True):
    label = f"shipped agent, epsilon {epsilon}"
    ax.plot(result.steps, result.scores, "o", color=colour, label=label)
ax.axvline(WAITED / 4, color=GREY, linestyle="--", linewidth=1)
ax.set(xlabel="length (decisions)", ylabel="points", ylim=0)
ax.legend(loc="upper center")
show(
    drawing,
    "Points against length. Three games of the old notebook stand at its limit, all "
    "greedy games of the shipped agent at theirs, those with epsilon 0.05 left of it.",
)

# %% [markdown]
# The diamonds at 5,000 and the grey dots at 1,800 (three for six games, since each was
# played twice) are the same story. Whoever reads the mean of 17.1 and nothing else does
# not learn of it. The limit is what makes such an evaluation end at all; the number of
# games that were cut off, which your `evaluate` returns, is what gives it away.
#
# ## From frames to a film
#
# A score does not say what happened. A film does, if it plays wherever the notebook is
# opened. That means an `mp4` with H.264 inside, which has whims:
#
# - it wants its frames one after the other, all of one size, and says little if they
#   are not;
# - colour is stored at half the resolution (4:2:0, the only form that all browsers
#   play), so height and width must be even. A screen of Breakout is 210 × 160; a network's
#   frame is 84 × 84; a crop may be anything;
# - a film that breaks off has no index at its end, and no player opens it. If it had
#   the name of last week's film, that one is gone as well.
#
# And films are long. A game of five minutes is 18,000 frames of 100,800 bytes: 1.8 GB as
# a list, nothing as a generator.

# %% [markdown]
# ### Exercise 9.3 · The size of a picture · ●○○ · 10 minutes
#
# First what happens to a single frame: refuse it if it is not like the first one, enlarge
# it, and make its sides even, with black.


# %%
def in_size(frame: np.ndarray, first: np.ndarray, scale: int = 1) -> np.ndarray:
    """A frame as the encoder gets it.

    Args:
        frame: `(H, W, 3)` uint8.
        first: the first frame of the film.
        scale: each pixel becomes a block of `scale` × `scale`.
    Returns:
        `(scale·H, scale·W, 3)`, uint8 as well, with one black row below and one black
        column to the right where that is odd.
    Raises:
        ValueError: if the frame is not uint8, or its shape is not that of the first.
    """
    ### BEGIN SOLUTION
    if frame.shape != first.shape or frame.dtype != np.uint8:
        raise ValueError(f"{frame.dtype} {frame.shape} after {first.shape}")
    large = frame.repeat(scale, axis=0).repeat(scale, axis=1)
    return np.pad(large, ((0, large.shape[0] % 2), (0, large.shape[1] % 2), (0, 0)))
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
def refused(frame, first) -> bool:
    try:
        in_size(frame, first)
    except ValueError:
        return True
    return False


tile = np.arange(1, 10, dtype=np.uint8).reshape(3, 1, 3)  # a column of three pixels
beside("3 × 1 becomes", (4, 2, 3), lambda: in_size(tile, tile).shape)
beside("with scale=2", (6, 2, 3), lambda: in_size(tile, tile, 2).shape)
red = [[1, 0], [4, 0], [7, 0], [0, 0]]
beside("its red values", red, lambda: in_size(tile, tile)[:, :, 0])
beside("scale=2, a block", [[1, 1], [1, 1]], lambda: in_size(tile, tile, 2)[:2, :2, 0])
beside("it stays uint8", True, lambda: in_size(tile, tile, 2).dtype == np.uint8)
beside("two shapes are refused", True, refused, np.zeros((4, 1, 3), np.uint8), tile)
beside("floats are refused", True, refused, tile / 255, tile / 255)

# %% [markdown]
# **What you should see:** seven times ✅.
#
# <details><summary>Hint 1: the idea</summary>Blocks first, then the sides: three times
# scale two is even, three times scale one is not.</details>
# <details><summary>Hint 2: the call</summary><code>frame.repeat(scale, axis=0)</code>
# repeats rows. <code>np.pad(frame, ((0, below), (0, right), (0, 0)))</code> adds zeros, and
# <code>side % 2</code> is 1 for odd sides.</details>
# <details><summary>"ValueError: operands could not be broadcast together with
# …"</summary><code>np.pad</code> wants a pair for each of the three axes, the colours
# included.</details>
#
# **Think:** why repeat pixels, instead of leaving the enlarging to the browser?
# <details><summary>Answer</summary>A browser smooths, and so does an encoder: of a ball of
# two pixels a grey smudge would be left. Blocks of four or nine pixels survive both. The
# price is a file that is larger, but far less than four or nine times: blocks are easy to
# pack.</details>

# %% [markdown]
# ### Exercise 9.4 · write_video · ●●● · 30 minutes
#
# Now the film. `moviepy`, which brings ffmpeg along, takes frames one at a time:
#
# ```python
# with FFMPEG_VideoWriter(str(name), (width, height), fps, "libx264") as film:
#     film.write_frame(frame)
# ```
#
# It takes each frame's bytes as they come and cuts them into pictures of width × height,
# without a word if they do not fit. What kind of file it writes it tells from the suffix
# of `name`.
#
# - `frames` is any iterable, a generator of 18,000 frames included: one at a time stands
#   in memory.
# - The suffix of `path` is `.mp4`; the folder is created if it is not there, and those
#   above it.
# - `ValueError` for no frames, for what `in_size` refuses, for another suffix. An error
#   that `frames` raises itself comes through.
# - Until the film is complete nothing of it stands at `path`, and an older film of that
#   name stays: write under another name in the same folder, one that ends in `.mp4`, too.
#   No other file is left there, whatever happens; the stop button counts as well.


# %%
def write_video(
    frames: Iterable[np.ndarray], path: str | Path, fps: float, scale: int = 1
) -> Path:
    """Write `(H, W, 3)` uint8 RGB frames as an H.264 mp4 that every browser plays.

    `fps` are frames per second, `scale` is that of `in_size`. Returns the path.
    """
    # 1. Refuse what is no film. 2. Write under another name, frame by frame.
    # 3. Complete: give it its name. Not complete: remove it.
    ### BEGIN SOLUTION
    path, stream = Path(path), iter(frames)
    first = next(stream, None)
    if path.suffix != ".mp4" or first is None:
        raise ValueError(f"{path.name}: a film ends in .mp4 and has a frame")
    height, width, _ = in_size(first, first, scale).shape
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}-part.mp4")
    try:
        with FFMPEG_VideoWriter(str(part), (width, height), fps, "libx264") as film:
            for frame in chain([first], stream):
                film.write_frame(in_size(frame, first, scale))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path
    ### END SOLUTION


# %%
write_video = check(write_video)

# %% [markdown]
# **What you should see:** a badge that says `passes`, after a second or two: the check
# really encodes some tiny films, and looks into the files.
#
# <details><summary>Hint 1: the idea</summary>The size of the film is that of its first
# frame, so the first one has to be taken out of the stream, and written all the same, once.
# <code>list(frames)</code> would answer every question and fill the memory.</details>
# <details><summary>Hint 2: the call</summary><code>stream = iter(frames)</code>,
# <code>first = next(stream, None)</code>, and <code>chain([first], stream)</code> is all of
# them again. The writer wants a text as its name, and <em>width before height</em>; frames
# are RGB as they are. <code>fps</code> is passed on; a <code>Path</code> is
# returned.</details>
# <details><summary>Hint 3: a film that fails</summary>Write to a neighbour,
# <code>path.with_name(".part.mp4")</code>, and <code>part.replace(path)</code> when the
# writer is closed, after its <code>with</code>. <code>try … finally:
# part.unlink(missing_ok=True)</code> tidies up in every case; <code>except
# Exception</code> would miss the stop button. Check for no frames and for the suffix before
# anything is written.</details>
# <details><summary>Hint 4: sizes</summary>Every frame goes through <code>in_size</code>, and
# the film's width and height are those of what comes out of it, not of what goes
# in.</details>
# <details><summary>"FileNotFoundError: … No such file or directory"</summary>From
# <code>replace</code>: the encoder has written nothing under the other name. Does that
# end in <code>.mp4</code>, is the folder there, and is the writer closed before the
# film gets its name?</details>
# <details><summary>"AttributeError: 'PosixPath' object has no attribute
# 'split'"</summary>The writer wants the name as a text:
# <code>str(part)</code>.</details>
# <details><summary>"TypeError: 'generator' object is not subscriptable"</summary>
# <code>frames[0]</code> works for lists. <code>stream = iter(frames)</code> works for
# everything, <code>next(stream)</code> is its first frame; go on with
# <code>stream</code>, not with <code>frames</code>, where a list would begin
# again.</details>
#
# **Think:** the film of a game at 60 frames a second holds each frame of the console.
# Somebody writes the same frames with `fps=15`. What does he see, and what if he had kept
# every fourth frame?
# <details><summary>Answer</summary>Slow motion, four times as long. With every fourth
# frame the speed is right and the film has a quarter of the frames. In games that draw
# a sprite in every second frame only, every fourth frame would show it always or
# never.</details>

# %%
compare("write_video")

# %% [markdown]
# It is a part of your agent now: what you train from here on is filmed with it, by
# `python -m dqn_ref watch` as well.
#
# ## Your agent
#
# Chapter 08 had a button that trains your pieces on Breakout, in a process of its own. Its
# runs are in `my_course/runs`. The next cell takes the newest of them that plays Breakout
# and can be read. If there is none, it trains an agent here, with whatever pieces of yours
# have passed.
#
# Whose agent is it, then? It has nineteen parts, and its run keeps a list of those that
# were yours. Whoever shows a score should say so.


# %%
def steps_of(run: Path) -> int:
    """Decisions that a run has behind it, by its log; 0 if that is not known."""
    try:
        return int(reporting.history(run)["agent_steps"].max())
    except (RunError, ValueError):  # no log, or no row in it
        return 0


def usable(run: Path, game: str) -> bool:
    """Whether a run plays `game` and can be loaded; tells why if it cannot."""
    try:
        if json.loads((run / "recipe.json").read_text())["game"] != game:
            return False
        agents.load_agent(run, precision="fp32")
    except Exception as error:
        said = f"{type(error).__name__}: {error}".replace(str(run), run.name)
        print(textwrap.fill(f"{run.name} is left out. {said}", 88))
        return False
    return True


def newest_run(game: str) -> Path | None:
    """The run of chapter 08 that plays `game` and saved its weights last."""
    weights = (course.home / "runs").glob("*/weights.safetensors")
    by_age = sorted(weights, key=lambda path: path.stat().st_mtime, reverse=True)
    return next((path.parent for path in by_age if usable(path.parent, game)), None)


# %%
def trained_here(game: str, steps: int) -> Path:
    """A young agent, trained by this notebook; anew when your pieces have changed."""
    run, pieces = course.home / "chapter_09" / f"{game}-{steps}", Pieces()
    try:
        pieces = load_pieces(course.home / "my_dqn")
    except RunError as error:  # none has passed yet, or a file is damaged
        said = str(error).replace(str(course.home), "my_course")
        print(textwrap.fill(f"Without pieces of yours: {said}", 88))
    kept = {path.name: path.read_bytes() for path in (run / "pieces").glob("*.py")}
    same = kept == getattr(pieces, "sources", {})
    if same and steps_of(run) >= steps and usable(run, game):
        return run
    shutil.rmtree(run, ignore_errors=True)  # of other pieces, or not complete
    screen, due = sys.stdout, [steps * tenth // 10 for tenth in range(10, 0, -1)]

    def tell(parts) -> bool:
        while due and parts.counters.steps >= due[-1]:
            print(f"{due.pop():,}", end=" ", file=screen, flush=True)
        return False

    few = {"memory_frames": 20_000, "learning_starts": min(1_000, steps // 2)}
    few |= {"precision": "fp32", "threads": 1, "total_steps": steps, "lanes": LANES}
    recipe = get_recipe("laptop", game=game, **few)
    print(f"{game}, step", end=" ")
    with contextlib.redirect_stdout(io.StringIO()):  # paths of this machine
        runs.train(recipe, run, pieces, show_bar=False, on_step=tell)
    print()
    return run


# %%
def whose(run: Path) -> str:
    """What an agent is, in a sentence that belongs beside everything it does."""
    here = run.parent == course.home / "chapter_09"
    by = "trained by this notebook" if here else f"your run {run.name}"
    steps = f"{steps_of(run):,} steps" if steps_of(run) else "no word of its steps"
    yours, count = kept_names(run), len(AGENT_PIECES)
    parts = f"{len(yours)} of {count} parts are yours: {', '.join(yours)}"
    parts = parts if yours else f"all {count} parts are the reference's"
    return textwrap.fill(f"The young agent: {by}, {steps}; {parts}.", 88)


# %% [markdown]
# If it has to train, that takes about 35 seconds, and more if your pieces are slower than
# the reference's; you see the steps pass. Ten games of this agent and ten of dice, in
# the cell after it, take another 10.

# %%
young = newest_run("breakout") or trained_here("breakout", YOUNG)
print(whose(young))

# %%
young_recipe, young_agent = agents.load_agent(young, precision="fp32")
its = kept_pieces(young)
theirs, young_record, _ = play(young_recipe, young_agent.q_values, pieces=its)
dice, *_ = play(recipe, agent.q_values, epsilon=1.0, seed=1)
table = {"dice": dice, "young": theirs, "shipped": ours}
print(whose(young))
for name, result in table.items():
    error = np.std(result.scores, ddof=1) / math.sqrt(len(result.scores))
    scores = " ".join(f"{score:.0f}" for score in sorted(result.scores))
    print(f"{name:8} {result.mean:5.1f} ± {error:3.1f}   {scores}")

# %%
drawing, ax = figure(height=2.2)
for row, result in enumerate(table.values()):
    ax.plot(result.scores, np.full(len(result.scores), row), "o", color=BLUE, alpha=0.5)
    ax.plot(result.mean, row, "|", color=VERMILION, markersize=30, markeredgewidth=3)
ax.set(xlabel="points", yticks=range(3), yticklabels=table, ylim=(-0.6, 2.6))
ax.set_title(whose(young), fontsize=8, loc="left")
show(drawing, f"The scores of each agent as dots, means as strokes. {whose(young)}")

# %% [markdown]
# In the solution, 17 of 19 parts are the reference's; the two that are not, `evaluate` and
# `write_video`, measure and film, and have no share in what it learns. Its 4,012 steps
# score 3.1 ± 0.7, where dice have 1.1 ± 0.3 and the shipped agent, after 84 times
# the steps, 33.7 ± 3.3. The difference to the dice is 2.0, with an error of
# √(0.7² + 0.3²) = 0.8. So has it learnt to play? **Write down your answer** before you see
# the film.
#
# If yours is from chapter 08, compare it with its own training score, too: which of the
# two is higher, and which line of the contract makes the difference?
#
# Now watch both, side by side: every frame of the console, with what was done.
# `agents.play_run`, in the next cell, never ends, so `islice` takes the first seconds.
# (About 5 seconds of work.)


# %%
def screens(run: Path, seed: int = 1, label: bool = True):
    """The frames of a run at play, without end."""
    game, _ = agents.play_run(run, epsilon=0.05, seed=seed, precision="fp32")
    return (picture(moment, label=label) for moment in game)


def side_by_side(left, right):
    for one, other in zip(left, right, strict=True):
        gap = np.zeros((len(one), 8, 3), np.uint8)
        yield np.concatenate([one, gap, other], axis=1)


# %%
folder = Path(tempfile.mkdtemp())
both = side_by_side(screens(young), screens(shipped))
film = write_video(islice(both, 60 * SECONDS), folder / "both.mp4", fps=60)
print(f"On the left the young agent, on the right the shipped one.\n{whose(young)}")
video.show_video(film, width=600)

# %% [markdown]
# In the solution's film the left paddle runs to the right wall within half a second and
# stays there for the rest of the film; four of five balls are lost, without a point. The
# right one goes where the ball comes down, and has three points and all its lives. The
# score was no lie: whoever stands in that corner meets more balls than dice do, and ends with
# five points in five of ten games. Only the film says that this is all there is to it.
#
# ### A film inside a notebook (aside)
#
# `show_video` packs the file's bytes into letters (*base64*, four letters for three
# bytes) and writes them into the `<video>` itself, so the film travels with the
# notebook and plays offline. (In a notebook that JupyterLab does not trust, it takes
# them off a `<source>` inside the tag.) A GIF plays even where no `<video>` does, in
# 256 colours and at most 50 pictures a second. The first old notebook ended with one.
# Here is every third frame:

# %%
every_third = islice(screens(shipped, label=False), 0, 30 * SECONDS, 3)
gif = video.write_gif(every_third, folder / "play.gif", fps=20)
print(f"{gif.stat().st_size / 1000:.0f} kB")
video.show_gif(gif, "The shipped agent plays Breakout.")

# %% [markdown]
# ### Ten test games
#
# The second old notebook showed its ten test games as ten films. The recorder has kept
# what the network saw in the ten games above, so they can all be watched at once. A
# lane is dimmed when its game is over.


# %%
def all_lanes(recorder: Recorder, columns: int = 5, decisions: int = 15 * 2 * SECONDS):
    """The lanes of a record as one picture for each decision, `(H, W, 3)`."""
    over = np.zeros(recorder.lanes, bool)
    for rows in recorder.rows[:decisions]:
        tiles = np.where(over[:, None, None], rows.frames // 3, rows.frames)
        over |= rows.game_over | rows.truncated
        starts = range(0, len(tiles), columns)
        lines = [np.hstack(tiles[start : start + columns]) for start in starts]
        width = max(line.shape[1] for line in lines)
        whole = [np.pad(line, ((0, 0), (0, width - line.shape[1]))) for line in lines]
        yield np.repeat(np.vstack(whole)[:, :, None], 3, axis=2)


# %%
film = write_video(all_lanes(young_record), folder / "ten.mp4", fps=15)
print(f"{GAMES} games, what the network sees of each.\n{whose(young)}")
video.show_video(film, width=640)

# %% [markdown]
# Two rows of five games. The balls stand in seven different places in the first picture,
# since each game began with a number of no-ops drawn by lot. The paddles do not: in the
# solution all ten stand at the right wall within two seconds. Four games are over, and
# dim, before the film is.
#
# ## What it expects
#
# An agent that can be watched can be asked. For every decision of the game that was
# recorded at the top, its network said four numbers. Move the slider: the screen, what
# the network saw of it last, the values of the four actions, and below their maximum
# before and after. An action that was not the best one came from the dice, and is red.

# %%
apart = np.array([np.ptp(decision.q) for decision in game.decisions])
print(f"best and worst action are {np.median(apart):.2f} apart in the median,", end=" ")
print(f"and more than 0.5 in {(apart > 0.5).sum()} of {len(apart)} decisions")
lost = np.flatnonzero(game.life_lost)
scrub(game, start=int(lost[0]) - 7 if len(lost) else 0)

# %% [markdown]
# The ball comes down at decision 122, and for once the bars differ: `RIGHT` 2.71, `LEFT`
# 1.87. `RIGHT` it is, and once more. The paddle, which stood below the ball's path,
# goes past it, and the ball falls on its left. Four decisions on, all values are below 0.5:
# the network knows. The highest bar was the blunder. (A replay with `LEFT`, the lowest
# one, at 122 and the agent's own choices from there hits this ball; it is not shown here.)
#
# Go left, to the green dot: the value climbs towards a brick and drops with it, the
# saw of chapter 07. On the way the four bars are nearly alike (the line above the
# slider has counted): most of the time it hardly matters what the agent does, and the
# network has to tell the few moments in which it does.
#
# The same as a film, of the seconds around the loss of that ball:

# %%
first = max(0, (int(lost[0]) if len(lost) else 0) - 12 * SECONDS)
film = xray_film(game, folder / "xray.mp4", first, 15 * SECONDS, write=write_video)
print(f"decisions {first} to {first + 15 * SECONDS - 1},", end=" ")
print(f"{film.stat().st_size / 1000:.0f} kB")
video.show_video(film, width=720)

# %% [markdown]
# The screen and the network's picture of it, the bars of the four values, and the line of
# their maximum with a cursor that runs. Crosses are actions of chance. Look at the line:
# it climbs to each green dot, which is a brick, and it falls in the seven decisions before
# the ball is lost, not after.
#
# ### Exercise 9.5 · What was really earned · ●●○ · 10 minutes
#
# max Q(s, ·) is a prediction: of the clipped rewards from here to the end of the life,
# discounted. The game has been played, so the truth is known. Work it out for every
# decision: chapter 01's return, with ends in the middle.


# %%
def earned(rewards: np.ndarray, ends: np.ndarray, discount: float) -> np.ndarray:
    """The discounted return from each decision to the end of its episode.

    Args:
        rewards: `(T,)`, of each decision.
        ends: `(T,)` bool, whether an episode ended with it.
        discount: γ.
    Returns:
        `(T,)` float64. The last episode may end with the record.
    """
    ### BEGIN SOLUTION
    returns, later = np.zeros(len(rewards)), 0.0
    for t in reversed(range(len(rewards))):
        later = rewards[t] + discount * later * (not ends[t])
        returns[t] = later
    return returns
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
no_end, ends = np.zeros(3, bool), np.array([False, True, False])
one, two = np.array([0.0, 0.0, 1.0]), np.array([1.0, 2.0, 4.0])
beside("a point two steps away", [0.81, 0.9, 1.0], earned, one, no_end, 0.9)
beside("three rewards", [3.0, 4.0, 4.0], earned, two, no_end, 0.5)
beside("an end after the second", [2.0, 2.0, 4.0], earned, two, ends, 0.5)
beside("nothing", [0.0, 0.0, 0.0], earned, np.zeros(3), ends, 0.99)

# %% [markdown]
# **What you should see:** four times ✅.
#
# <details><summary>Hint 1: the idea</summary>Backwards: what is earned from here is this
# reward and, unless an episode ends here, γ times what is earned from the next decision
# on.</details>
# <details><summary>Hint 2: the call</summary><code>for t in
# reversed(range(len(rewards)))</code>, with one number that is carried
# along.</details>
# <details><summary>"mine is [1.0, 2.0, 4.0]"</summary>Your returns end after every
# decision: <code>ends</code> is negated the wrong way.</details>
# <details><summary>"mine is [1.0, 4.0, 4.0]"</summary>Going backwards, <code>ends[t]</code>
# cuts off what came <em>before</em> in your loop, so ask it before you add this
# reward.</details>
#
# **Think:** predictions are of the best actions; one action in twenty was thrown by
# dice. On which side should the truth lie, even for a perfect network?
# <details><summary>Answer</summary>Below. Q-learning values the future of somebody who
# always takes the best action. Whoever plays with epsilon 0.05 loses some balls that this
# one would have hit.</details>

# %% [markdown]
# Put all decisions of the shipped agent's games together, lane by lane, up to the end of
# its game, without the rows in which nothing was decided. Until your function is written,
# chapter 01's stands in, which is called anew for every decision.


# %%
def truly_earned(rewards: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """What `earned` says; as long as it says nothing, what chapter 01 says."""
    try:
        answer = np.asarray(earned(rewards, ends, recipe.discount), float)
    except Exception:  # `beside` has said what
        answer = np.empty(0)
    if answer.shape == rewards.shape:
        return answer
    last = np.append(ends[:-1], True)
    until = [t + 1 + int(last[t:].argmax()) for t in range(len(last))]
    pieces = (rewards[t:end] for t, end in enumerate(until))
    return np.array([discounted_return(part, recipe.discount) for part in pieces])


# %%
def predicted_and_earned(recorder: Recorder, q: np.ndarray) -> np.ndarray:
    """`(2, N)`: max Q of each decision, and the return that followed."""
    columns = (np.stack(column) for column in zip(*recorder.rows[1:], strict=True))
    rows, pairs = Rows(*columns), []
    for lane in range(recorder.lanes):
        last = int((rows.game_over | rows.truncated)[:, lane].argmax()) + 1
        kept = np.flatnonzero(~rows.reset_row[:last, lane])
        ends = (rows.life_lost | rows.game_over)[kept, lane]
        clipped = np.clip(rows.rewards[kept, lane], -1, 1)
        pairs.append((q[kept, lane].max(axis=1), truly_earned(clipped, ends)))
    return np.concatenate(pairs, axis=1)


# %%
predicted, truth = predicted_and_earned(record, said)
print(f"{len(truth):,} decisions")
print(f"predicted {predicted.mean():.2f}, earned {truth.mean():.2f} on average")

# %%
drawing, ax = figure(width=7.0, height=3.6)
ax.plot(predicted[::10], truth[::10], ".", color=BLUE, alpha=0.4, markersize=3)
edges = np.linspace(0, max(predicted.max(), 0.1), 11)
tenth = np.digitize(predicted, edges[1:-1])
groups = [truth[tenth == k] for k in range(10)]
means = [group.mean() if len(group) > 20 else np.nan for group in groups]
middles = edges[:-1] + edges[1] / 2
ax.plot(middles, means, "o-", color=VERMILION, label="mean of a tenth of the range")
ax.plot(edges, edges, color=GREY, linestyle="--", label="predicted = earned")
ax.set(xlabel="predicted: max Q(s, ·)", ylabel="earned")
ax.legend(loc="upper left")
show(
    drawing,
    "A cloud of decisions, and the means of tenths of its range below the diagonal.",
)

# %% [markdown]
# (One decision in ten is drawn. The range from 0 to the highest prediction has ten
# parts; the few below 0 are in the first; a part with 20 decisions or fewer has no
# mean.) 2.46 predicted, 1.68 earned: this network promises half as much again as it
# holds. Where it promises next to nothing, it is right, for a ball that is lost is easy
# to see. Where it promises 3, it gets 2. Part of the gap is due to the dice (see
# above), part to the maximum over noisy guesses of chapter 07, against which this
# agent's recipe has no Double. And it plays well all the same: an action is chosen by
# the order of four values, and what is too large in all of them by the same amount
# changes nothing.
#
# ## The best of eight
#
# Another agent of this course's results was evaluated eight times within 60,000 steps
# of training, 30 games each, by the same protocol.

# %%
# NBVAL_CHECK_OUTPUT
eight = [33.0, 58.9, 67.6, 49.7, 67.1, 51.7, 71.9, 56.5]  # results/README.md
print(f"last {eight[-1]}, best {max(eight)}, mean {np.mean(eight):.1f}")

# %% [markdown]
# Which of the three goes into the paper? Say that the eight were equally good, and only the
# luck of thirty games made the difference, with a standard error of 4 points. **Guess
# first**: by how much would the best of them flatter?

# %% [markdown]
# ### Exercise 9.6 · Flattery · ●○○ · 5 minutes
#
# Chapter 07 drew four guesses and took the best one. Here are n evaluations, all of the
# same agent.


# %%
def flattery(n: int, error: float, trials: int = 100_000) -> float:
    """By how much the best of `n` evaluations exceeds the truth, on average.

    Args:
        n: evaluations of agents that are equally good.
        error: standard error of each; take a normal distribution.
        trials: how often to draw the n of them, with `np.random.default_rng(0)`.
    """
    ### BEGIN SOLUTION
    draws = np.random.default_rng(0).normal(0, error, size=(trials, n))
    return float(draws.max(axis=1).mean())
    ### END SOLUTION


# %%
# NBVAL_CHECK_OUTPUT
def near(n: int, expected: float) -> float:
    """`expected` if yours is within 0.1 of it: draws differ."""
    mine = flattery(n, 4.0, 20_000)
    return expected if abs(mine - expected) < 0.1 else round(mine, 1)


for n, expected in ((1, 0.0), (2, 2.3), (8, 5.7), (200, 11.0)):
    beside(f"the best of {n}", expected, near, n, expected)

# %% [markdown]
# **What you should see:** four times ✅.
#
# <details><summary>Hint 1: the idea</summary>A table of draws, a row for each trial, a
# column for each evaluation. The best of each row; the mean of these.</details>
# <details><summary>Hint 2: the call</summary><code>rng.normal(0, error, size=(trials,
# n))</code> and <code>.max(axis=1).mean()</code>.</details>
# <details><summary>"numpy.exceptions.AxisError: axis 1 is out of bounds"</summary>The draws
# have one axis. <code>size</code> takes a pair.</details>
#
# **Think:** how could one choose the best of eight and still report an honest number?
# <details><summary>Answer</summary>Choose by one set of games, and report another: evaluate
# the chosen one again, with a new seed. Its luck does not come along. (The choice itself is
# then part of the method, and costs the games of the choice.)</details>

# %% [markdown]
# The best of eight equal agents would look 5.7 points better than it is. The eight from
# above spread much wider than luck, though, from 33.0 to 71.9: a network really differs
# from what it was 7,500 steps before. A snapshot is a draw, too. This is why training
# curves, which average over many of them, look so calm, and why this course's rule is the
# last weights, chosen before anybody looked.
#
# ## Scores and their protocols (aside)
#
# As the paper and the projects report them. *Sticky* means that a quarter of the actions is
# replaced by the one before.
#
# | whose | score | steps | which network | games | epsilon |
# | --- | --- | --- | --- | --- | --- |
# | Mnih et al. 2015 | 401.2 | 50 million | best | 30, five minutes | 0.05 |
# | PFRL | 352.5 | 50 million | best | 30, five minutes | 0.05 |
# | CleanRL | 366.9 | 10 million | as it trains | training games | 0.01 |
# | Stable-Baselines3's zoo | 358.3 | 10 million | last, one run | 55 | not told |
# | Dopamine, JAX | 186.1 | 50 million | as it trains | training games, sticky | 0.01 |
# | this course, `laptop` | 37.1 | 0.34 million | last | 30, five minutes | 0.05 |
#
# All of them are "DQN on Breakout", and hardly two may be compared. Dopamine's game has
# sticky actions and nobody presses `FIRE` in it; its optimiser and loss differ, too, so
# nobody can tell from this table what each of them costs. The first two rows share a
# protocol. The last row shares the games, the limit and epsilon, but takes the last
# network, and `FIRE` is pressed for it; put it beside them only with that said, and its
# steps.
#
# ## Another game (aside)
#
# None of the functions that you wrote knows Breakout. Change one word, and wait about 15
# seconds.

# %%
pong = trained_here("pong", PONG)
pong_recipe, pong_agent = agents.load_agent(pong, precision="fp32")
its = kept_pieces(pong)
result, *_ = play(pong_recipe, pong_agent.q_values, 2, pieces=its)
print(whose(pong))
print("pong:", result.summary())

# %% [markdown]
# Above it said `"breakout"`; the environment, six actions instead of four, network,
# training and evaluation follow from it. The score is what 1,000 steps are worth in Pong,
# nothing: a game goes to 21, and −21 is the worst there is. (Mnih et al. 2015 report 18.9,
# after 50 million.)
#
# ## Summary
#
# > - A score is a number with its protocol: which games, which points, which start, which
# >   epsilon, which limit, whose weights.
# > - Every lane plays its quota. The first games to end are the short ones.
# > - A mean of n games is off by about s / √n; believe that two agents differ only if
# >   their difference is more than two errors of the difference.
# > - A greedy agent that does not press `FIRE` waits until the limit. A little chance
# >   ends the wait, and a limit ends the game.
# > - A film is written frame by frame, under another name until it is complete, and
# >   plays from within the notebook.
# > - The best of many evaluations flatters; evaluate the chosen one again.
#
# Which parts of the agent are yours by now:

# %%
progress()

# %% [markdown]
# ## Quiz
#
# 1. A colleague evaluates 100 games in 10 lanes and counts the first 100 that end. His
# agent makes most of its points in long games. Is his score too high or too low, and would
# 1,000 games help?
# <details><summary>Answer</summary>Too low. When the hundredth game ends, nine others are
# under way and do not count, and these are long ones more often than short ones. With
# 1,000 games in 10 lanes those nine weigh less: the error shrinks with the number of
# games per lane. In 1,000 lanes it would not.</details>
#
# 2. Two agents score 352 and 401, with 30 games each and a standard deviation of 100. Is
# the second one better?
# <details><summary>Answer</summary>Each mean has an error of 100 / √30 = 18, their
# difference one of 26. 49 is 1.9 of these: quite likely, not certain. If one of the two was
# chosen as the best of many networks, less than that.</details>
#
# 3. An agent's Q-values are three times as large as what it earns. It plays well. How can
# that be?
# <details><summary>Answer</summary>It acts by the order of the four values, not by their
# size. If all are too large by about as much, the order stays. That ends where some are
# too large by more than others, which is what Double DQN is for.</details>
#
# 4. Your film plays in VLC and shows an empty box in the notebook. Name two causes.
# <details><summary>Answer</summary>The codec (MPEG-4 Part 2 under the name mp4, or colour
# in 4:4:4 because a side is odd), or the way it was embedded: a <code>&lt;source&gt;</code>
# in a notebook that is not trusted, or a path to a file that did not come
# along.</details>
#
# Your agent can be measured now, and measured honestly it is young. In chapter 10 it gets
# the speed to grow up.
