"""The interaction loop of chapter 00: its scenes, known mistakes, and loops of other make.

Contract: `dqn_ref.pieces.CONTRACTS["play_random_game"]`. In words: reset the environment with a
seed drawn from `rng`, play uniformly random actions drawn from `rng` until the game is over, for
either reason, or `max_steps` are played; return the sum of all rewards and the number of steps.

The draws are part of the contract, so that everybody's game is the same one. The scenes use games
whose rewards and length do not depend on the actions, and look at the draws apart from them.
"""

from __future__ import annotations

import numpy as np

from dqn_ref.course.catalogue.game_scenes import Draws, Game, ScriptedGame
from dqn_ref.course.catalogue.judging import Entry, Probe, RightVersion, WrongVersion
from dqn_ref.evaluation import play_random_game

HINTS = {
    1: "two things end the loop: the game is over, for either reason, or max_steps are played; two "
    "things are added up inside it: the reward and the step",
    2: "env.reset(seed=...) and rng.integers(n), which draws from 0 to n - 1; one draw for the "
    "seed, and one for every action",
}


SCENES = (
    Probe("a scripted game that ends after five steps",
          Game((0.0, 1.0, 0.5, 4.0, 2.0), "terminated").observe),
    Probe("a scripted game that is cut off after four steps",
          Game((1.0, -2.0, 0.0, 7.0), "truncated").observe),
    Probe("a scripted game of six steps and max_steps=3",
          Game((1.0, 2.0, 4.0, 8.0, 16.0, 32.0), "terminated", 3).observe),
    Probe("scripted games with three actions", Draws(3).observe),
    Probe("scripted games with five actions", Draws(5).observe),
    Probe("scripted games that end after 300 steps", Draws(4, last=300).observe),
    Probe("a scripted game without an end and max_steps left out", Game((1.0,), "never").observe),
)  # fmt: skip


# --- wrong versions -------------------------------------------------------------------------------


def _loop(
    *,
    seed=lambda rng: int(rng.integers(2**31)),
    draw=lambda rng, n, before: int(rng.integers(n)),
    over=lambda terminated, truncated: terminated or truncated,
    within=lambda steps, limit: steps < limit,
    total=lambda score, reward: score + reward,
    result=lambda score, steps, last: (score, steps),
):
    """The loop with one part exchanged."""

    def play_random_game(env, rng, max_steps=10_000):
        env.reset(seed=seed(rng))
        score, steps, action, reward, done = 0.0, 0, None, 0.0, False
        while not done and within(steps, max_steps):
            action = draw(rng, int(env.action_space.n), action)
            _, reward, terminated, truncated, _ = env.step(action)
            score, steps = total(score, float(reward)), steps + 1
            done = over(terminated, truncated)
        return result(score, steps, reward)

    return play_random_game


def _all_drawn_at_once(env, rng, max_steps=10_000):
    env.reset(seed=int(rng.integers(2**31)))
    score, steps = 0.0, 0
    for action in rng.integers(env.action_space.n, size=max_steps):
        _, reward, terminated, truncated, _ = env.step(int(action))
        score, steps = score + float(reward), steps + 1
        if terminated or truncated:
            break
    return score, steps


WRONG = (
    WrongVersion(
        "ignores truncated",
        _loop(over=lambda terminated, truncated: terminated),
        "Your loop equals one that stops at `terminated` only. A game that was cut off goes "
        "on, and what is paid after its end is added to the score.",
        1,
    ),
    WrongVersion(
        "ignores terminated",
        _loop(over=lambda terminated, truncated: truncated),
        "Your loop equals one that stops at `truncated` only: it goes on playing after the game "
        "is over.",
        1,
    ),
    WrongVersion(
        "ends only for both reasons",
        _loop(over=lambda terminated, truncated: terminated and truncated),
        "Your loop equals one that stops when `terminated` and `truncated` are both true. One of "
        "them is enough; both at once hardly ever happen.",
        1,
    ),
    WrongVersion(
        "ignores max_steps",
        _loop(within=lambda steps, limit: True),
        "Your loop equals one that ignores `max_steps`. In Breakout, an agent that never presses "
        "FIRE would play for ever.",
        1,
    ),
    WrongVersion(
        "one step too many",
        _loop(within=lambda steps, limit: steps <= limit),
        "Your loop equals one that plays one step more than `max_steps`.",
        1,
    ),
    WrongVersion(
        "last reward only",
        _loop(total=lambda score, reward: reward),
        "Your loop equals one that returns the last reward. A score is the sum of all of them.",
        1,
    ),
    WrongVersion(
        "last reward lost",
        _loop(result=lambda score, steps, last: (score - last, steps)),
        "Your loop equals one that leaves before it adds the last reward: the point that ends a "
        "game is missing from its score.",
        1,
    ),
    WrongVersion(
        "sign of rewards",
        _loop(total=lambda score, reward: score + float(np.sign(reward))),
        "Your loop equals one that adds up the signs of the rewards. Learning may clip them; a "
        "score is in the game's own points.",
        1,
    ),
    WrongVersion(
        "last step not counted",
        _loop(result=lambda score, steps, last: (score, steps - 1)),
        "Your loop equals one that does not count the last step.",
        1,
    ),
    WrongVersion(
        "steps before score",
        _loop(result=lambda score, steps, last: (steps, score)),
        "Your loop equals one that returns the steps first. Whoever calls it would take the length "
        "of a game for its score.",
        1,
    ),
    WrongVersion(
        "same game every time",
        _loop(seed=lambda rng: 0),
        "Your loop equals one whose seed is always 0. Where an environment has chance of its own, "
        "all its games would throw the same dice.",
        2,
    ),
    WrongVersion(
        "leaves before it counts",
        _loop(result=lambda score, steps, last: (score - last, steps - 1)),
        "Your loop equals one that leaves before it counts the last step and adds its reward.",
        1,
    ),
    WrongVersion(
        "one step only",
        _loop(over=lambda terminated, truncated: True),
        "Your loop equals one that ends after its first step, as a `return` inside the loop does.",
        1,
    ),
    WrongVersion(
        "bricks, not points",
        _loop(total=lambda score, reward: score + (reward > 0)),
        "Your loop equals one that counts the steps with a reward above 0. A score is the sum of "
        "the rewards: some bricks are worth more than others.",
        1,
    ),
    WrongVersion(
        "all actions at once",
        _all_drawn_at_once,
        "Your loop equals one that draws `max_steps` actions at once. A game needs fewer, and the "
        "next one begins with what is left of the dice: draw an action before each step.",
        2,
    ),
    WrongVersion(
        "last action never drawn",
        _loop(draw=lambda rng, n, before: int(rng.integers(n - 1))),
        "Your loop equals one that draws `rng.integers(n - 1)`. The upper end is left out already: "
        "`rng.integers(n)` draws from 0 to n - 1.",
        2,
    ),
    WrongVersion(
        "first action never drawn",
        _loop(draw=lambda rng, n, before: int(rng.integers(1, n))),
        "Your loop equals one that draws `rng.integers(1, n)`. Actions count from 0.",
        2,
    ),
    WrongVersion(
        "one action a game",
        _loop(draw=lambda rng, n, before: int(rng.integers(n)) if before is None else before),
        "Your loop equals one that draws an action once, before the loop, and repeats it until the "
        "game is over.",
        2,
    ),
)


# --- right versions -------------------------------------------------------------------------------


def _with_a_for_loop(env, rng, max_steps=10_000):
    env.reset(seed=int(rng.integers(2**31)))
    rewards = []
    for _ in range(max_steps):
        _, reward, *over, _ = env.step(rng.choice(env.action_space.n))
        rewards.append(reward)
        if any(over):
            break
    return sum(rewards), len(rewards)


def _with_a_return_inside(env, rng, max_steps=10_000):
    env.reset(seed=rng.integers(0, 2**31).item())
    points, count = np.float64(0), np.int64(0)
    while True:
        action = rng.integers(low=0, high=env.action_space.n)
        observation, reward, terminated, truncated, info = env.step(int(action))
        points += reward
        count += 1
        if terminated or truncated or count >= max_steps:
            return points, count


def _with_one_test_at_the_top(env, rng, max_steps=10_000):
    number_of_actions = env.action_space.n
    env.reset(seed=int(rng.integers(2**31)))
    total, played = 0, 0
    terminated = truncated = False
    while not (terminated | truncated or played == max_steps):
        action = rng.integers(number_of_actions, size=1)[0]
        _, reward, terminated, truncated, _ = env.step(action)
        total, played = total + reward, played + 1
    return float(total), played


RIGHT = (
    RightVersion("for loop, numpy's choice", _with_a_for_loop),
    RightVersion("endless loop with a return, numpy numbers", _with_a_return_inside),
    RightVersion("one condition at the top, arrays of one draw", _with_one_test_at_the_top),
)


def _workload(piece):
    env, rng = ScriptedGame((0.0,) * 200, "terminated"), np.random.default_rng(3)
    return lambda: piece(env, rng)


ENTRY = Entry(
    name="play_random_game",
    probes=SCENES,
    wrong=WRONG,
    right=RIGHT,
    hints=HINTS,
    model=play_random_game,
    reference=play_random_game,
    workload=_workload,
)
