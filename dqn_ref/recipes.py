"""Recipes: named sets of settings. Each docstring says what it is and where it departs from it.

The first line of a docstring is what `train --help` shows.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from dqn_ref.settings import Recipe, RecipeError

__all__ = ["RECIPES", "RECIPE_NOTES", "Recipe", "RecipeError", "get_recipe"]


def laptop() -> Recipe:
    """made for a few CPU cores: sixteen games at once, Adam, 3-step returns"""
    return Recipe()


def gpu() -> Recipe:
    """one GPU: 128 games at once, 32 transitions per 4 steps as in Nature"""
    return dataclasses.replace(
        laptop(),
        lanes=128,
        updates_at_once=32,
        memory_frames=1_000_000,
        learning_starts=50_000,
        epsilon_end=0.01,
        epsilon_decay_steps=1_000_000,
        learning_rate=1e-4,
        target_every_steps=2_048,  # 16 groups of updates
        total_steps=10_000_000,
        log_every_steps=50_000,
        checkpoint_every_steps=500_000,
    )


def gallery() -> Recipe:
    """the shooting gallery of dqn_ref/games.py, a game of pixels learnt in a minute"""
    return dataclasses.replace(
        laptop(),
        game="gallery",
        door="gym",
        lanes=4,
        updates_at_once=1,
        repeat_frames=1,
        max_over="none",
        start_noops_max=0,
        fire_at_start=False,
        fire_after_life=False,
        frame_height=36,
        frame_width=36,
        discount=0.9,
        memory_frames=30_000,
        learning_starts=1_000,
        epsilon_end=0.05,
        epsilon_decay_steps=5_000,
        learning_rate=5e-4,
        n_step=1,
        target_every_steps=400,
        total_steps=13_000,
        log_every_steps=500,
        checkpoint_every_steps=5_000,
    )


def mnih2015() -> Recipe:
    """Nature's published code, one game at a time, slow and exact

    Left out: Nature's minibatches come from a buffer of 512 transitions drawn beforehand (up to
    16 updates old). Its optimiser works on the gradient of the clipped error, which equals the
    Huber gradient used here.

    Source: Mnih et al. 2015, Extended Data Table 1, and the code published with it.
    """
    return Recipe(
        door="gym",
        lanes=1,
        updates_at_once=1,
        start_noops_max=30,
        life_noops_max=31,
        fire_at_start=False,
        fire_after_life=False,
        max_frames_per_game=108_000,
        resize="bilinear",
        max_over="rgb",
        conv1_padding=1,
        memory_frames=1_000_000,
        learning_starts=50_000,
        epsilon_end=0.1,
        epsilon_decay_steps=1_000_000,
        epsilon_delay_steps=50_000,
        optimizer="nature_rmsprop",
        learning_rate=2.5e-4,
        optimizer_epsilon=0.01,
        loss_reduction="sum",
        n_step=1,
        target_every_steps=10_000,
        eval_every_steps=250_000,
        total_steps=50_000_000,
        log_every_steps=10_000,
        checkpoint_every_steps=250_000,
    )


def mnih2013() -> Recipe:
    """the workshop paper: two convolutions, no target network, an update at every step

    Published: convolutions of 16 filters 8x8/4 and 32 filters 4x4/2, 256 units; 110x84 pixels, of
    which 84x84 "roughly" show the playing area; four frames per action; rewards as their signs;
    RMSProp, minibatches of 32; epsilon from 1 to 0.1 over a million frames; a memory of a million
    frames; ten million frames of training; the squared error.

    Not published, and chosen here: the learning rate 2.5e-4, RMSProp's decay 0.95 and epsilon
    0.01 (Nature's, uncentred); the discount 0.99; 18 rows cut off at the top, 8 at the bottom,
    and the bilinear filter; PyTorch's initial weights; a warm-up of 50,000 steps. Random play at
    the start of a game, FIRE and an end at each life are not mentioned, and not done. "Frames"
    of memory, exploration and training are read as the agent's: one per step.

    No target network: here the copy is renewed at every update, which is the same. Rewards are
    clipped to plus and minus 1, the same as signs where points are whole numbers.

    Source: Mnih et al. 2013, sections 4 and 5.
    """
    return dataclasses.replace(
        mnih2015(),
        life_noops_max=0,
        start_noops_max=0,
        max_over="none",
        resize_height=110,
        crop_top=18,
        terminal_on_life_loss=False,
        architecture="mnih2013",
        conv1_padding=0,
        train_every_steps=1,
        target_every_steps=1,
        epsilon_delay_steps=0,
        optimizer="rmsprop",
        loss_reduction="mean",
        huber_delta=float("inf"),
        eval_every_steps=0,
        total_steps=10_000_000,
    )


def notebook_a() -> Recipe:
    """the first old notebook (Keras, keras-rl), as written, its mistakes included

    One decision per 16 frames, every second pixel, the plain mean of the colours, the squared
    error although it promised Huber's, a warm-up of 50 steps, convolutions over mistaken axes,
    an update at every step. Mend any of it by a flag: `--architecture mnih2015`, `--huber-delta
    1`, `--learning-starts 10000`, `--repeat-actions 1`, `--truncation-is-terminal no`,
    `--reward-clip 1`, `--terminal-on-life-loss yes`, `--double no`.

    Where it departs from the notebook:
    - BreakoutDeterministic-v4 left ale-py with 0.11.1. Its rules (four frames, no sticky actions,
      at most 100,000 environment steps) are played in ALE/Breakout-v5.
    - Double DQN is on, as in every keras-rl release on PyPI of the time.
    - keras-rl lets the agent see a game's last frame once more and then trains once more; not so
      here.
    - Scores, frames and the mean absolute error are true; `--print-artefacts yes` adds what
      keras-rl printed.
    - The seed is 123 as there, but it seeds other generators.
    - One file of weights every 500 steps, as there; the log and the history are CSV files.
    """
    return Recipe(
        door="gym",
        lanes=1,
        repeat_frames=4,
        repeat_actions=4,
        start_noops_max=0,
        fire_at_start=False,
        fire_after_life=False,
        max_frames_per_game=400_000,
        max_env_steps_per_game=100_000,
        frame_height=105,
        frame_width=80,
        resize="stride",
        grey="mean",
        max_over="none",
        reward_clip=float("inf"),
        terminal_on_life_loss=False,
        truncation_is_terminal=True,
        architecture="channels_trap",
        initialisation="glorot",
        memory_frames=500_000,
        learning_starts=50,
        train_every_steps=1,
        updates_at_once=1,
        epsilon_start=1.0,
        epsilon_end=0.1,
        epsilon_decay_steps=100_000,
        optimizer="rmsprop",
        learning_rate=2.5e-4,
        optimizer_epsilon=0.01,
        squared_gradient_momentum=0.95,
        huber_delta=float("inf"),
        n_step=1,
        double=True,
        target_tau=0.01,
        total_steps=500_000,
        seed=123,
        log_every_steps=2_000,
        weights_every_steps=500,
        print_log="episode",
    )


def notebook_b() -> Recipe:
    """the second old notebook (Keras, keras-rl), as written; 1,750,000 steps of a sticky game

    Its game repeats an action for two to four frames, at random, and the emulator keeps the
    previous action with probability 0.25 at each of them; the notebook does that twice per
    decision. So its score cannot be compared with one from a game without these. Mend by a flag:
    `--repeat-actions 1`, `--repeat-frames-min 0`, `--sticky-probability 0`,
    `--truncation-is-terminal no`, `--reward-clip 1`, `--terminal-on-life-loss yes`,
    `--max-over rgb`, `--double no`.

    Where it departs from the notebook:
    - Breakout-v0's old limit of 10,000 environment steps, 5,000 decisions, is the recipe's; the
      game is played in ALE/Breakout-v5.
    - The resize filter of `Image.resize` was nearest before Pillow 7 (January 2020) and is
      bicubic since; taken is `pil_nearest`, the one of its time.
    - The luminance is rounded as OpenCV does it, not as Pillow: at most 1 grey level apart.
    - Double DQN is on, as in every keras-rl release on PyPI of the time.
    - keras-rl lets the agent see a game's last frame once more and then trains once more; not so
      here.
    - Lives and the mean absolute error are true; `--print-artefacts yes` adds what keras-rl
      printed. Epsilon's mean is that of all steps; keras-rl's that of steps with an update.
    - The notebook set no seed, and its test epsilon of 0.05 never came to act.
    """
    return Recipe(
        door="gym",
        lanes=1,
        repeat_frames_min=2,
        repeat_frames=4,
        repeat_actions=2,
        sticky_probability=0.25,
        start_noops_max=0,
        start_random_actions_max=29,
        fire_at_start=False,
        fire_after_life=False,
        max_env_steps_per_game=10_000,
        resize="pil_nearest",
        grey="luminance_last",
        max_over="none",
        reward_clip=float("inf"),
        terminal_on_life_loss=False,
        truncation_is_terminal=True,
        initialisation="glorot",
        memory_frames=1_000_000,
        learning_starts=10_000,
        updates_at_once=1,
        epsilon_start=0.99,
        epsilon_end=0.05,
        epsilon_decay_steps=1_250_000,
        optimizer="keras_adam",
        learning_rate=2.5e-4,
        optimizer_epsilon=1e-7,
        n_step=1,
        double=True,
        target_tau=0.01,
        total_steps=1_750_000,
        log_every_steps=10_000,
        print_log="interval",
    )


_MAKERS = (laptop, gpu, gallery, mnih2015, mnih2013, notebook_a, notebook_b)
RECIPES: dict[str, Recipe] = {make.__name__: make() for make in _MAKERS}
RECIPE_NOTES: dict[str, str] = {make.__name__: make.__doc__.splitlines()[0] for make in _MAKERS}


def get_recipe(name: str, **changes: Any) -> Recipe:
    """A recipe by name, with some fields changed.

    Raises:
        RecipeError: for an unknown name, field or value.
    """
    if name not in RECIPES:
        raise RecipeError(f"there is no recipe {name!r}; choose from {', '.join(RECIPES)}")
    unknown = set(changes) - {setting.name for setting in dataclasses.fields(Recipe)}
    if unknown:
        raise RecipeError(f"a recipe has no field {', '.join(sorted(unknown))}")
    return dataclasses.replace(RECIPES[name], **changes)
