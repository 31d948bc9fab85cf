"""k + k steps equal 2k, bit for bit, where the game can be saved; and what is exact where not."""

import dataclasses

import numpy as np
import pytest
import torch

from dqn_ref import checkpoints, runs
from dqn_ref.recipes import get_recipe

STEPS = 400


def recipe_of(game, **changes):
    settings = dict(
        game=game, frame_height=20, frame_width=20, architecture="mnih2013", lanes=3,
        batch_size=8, memory_frames=900, learning_starts=50, total_steps=2 * STEPS,
        log_every_steps=100, checkpoint_every_steps=STEPS, device="cpu", precision="fp32",
        threads=1, target_every_steps=40, epsilon_decay_steps=700, checkpoint_memory=True,
        updates_at_once=3, n_step=2,
    )  # fmt: skip
    return get_recipe("gallery", **(settings | changes))


def contents(parts):
    """Everything that an agent consists of, as arrays by name."""
    learner, found = parts.learner, {}
    for name, network in (("online", learner.online), ("target", learner.target)):
        found |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
    found |= checkpoints.optimizer_tensors(learner.optimizer)
    memory, numbers = parts.memory.state()
    found |= {f"memory.{key}": value for key, value in memory.items()}
    found["stack"] = parts.stack.current
    arrays = {name: np.asarray(value.detach()) for name, value in found.items()}
    others = (
        dataclasses.asdict(parts.counters), numbers, parts.tracker.state(),
        parts.exploration_rng.bit_generator.state, parts.sampling_rng.bit_generator.state,
    )  # fmt: skip
    return arrays, others


def check_equal(one, two):
    (arrays, others), (theirs, their_others) = contents(one), contents(two)
    assert others == their_others
    assert arrays.keys() == theirs.keys()
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], theirs[name], err_msg=name)


def straight_and_resumed(recipe, folder):
    straight = runs.train(recipe, folder / "straight", show_bar=False)
    half = dataclasses.replace(recipe, total_steps=STEPS)
    runs.train(half, folder / "halves", show_bar=False)
    torch.manual_seed(99)  # another process begins with other random numbers
    longer = runs.resume_recipe(folder / "halves", total_steps=recipe.total_steps)
    return straight, runs.train(longer, folder / "halves", resume=True, show_bar=False)


@pytest.mark.parametrize(
    "game, changes",
    [
        ("chain", {}),
        ("gallery", {}),
        ("gallery", dict(lanes=1, n_step=1, updates_at_once=1, double=True, target_tau=0.01)),
        ("gallery", dict(optimizer="keras_adam", start_random_actions_max=3)),
    ],
)
def test_two_halves_equal_the_whole(game, changes, tmp_path):
    recipe = recipe_of(game, **changes)
    check_equal(*straight_and_resumed(recipe, tmp_path))


@pytest.mark.parametrize("forgotten", ["games", "stack", "tracker"])
def test_what_is_forgotten_is_found(forgotten, tmp_path, monkeypatch):
    """The broken variants: games start anew, stacks are empty, scores begin at zero."""
    real = checkpoints._restore_games

    def broken(parts, tensors, about):
        if forgotten == "games":
            return
        stack, ages = parts.stack.current.clone(), parts.stack._ages.copy()
        tracker = parts.tracker.state()
        real(parts, tensors, about)
        if forgotten == "stack":
            parts.stack.current, parts.stack._ages = stack, ages
        else:
            parts.tracker.set_state(tracker)

    recipe = recipe_of("gallery", total_steps=STEPS)
    before = runs.train(recipe, tmp_path / "run", show_bar=False)
    check_equal(before, loaded(recipe, tmp_path / "run"))
    monkeypatch.setattr(checkpoints, "_restore_games", broken)
    after = loaded(recipe, tmp_path / "run")
    if forgotten == "games":
        assert not after.games_restored
        after.games_restored = True
    with pytest.raises(AssertionError):
        check_equal(before, after)


def loaded(recipe, run_dir):
    parts = runs.build(runs.resolve(recipe))
    checkpoints.load_checkpoint(run_dir / runs.CHECKPOINT_FILE, parts)
    return parts


def test_without_the_memory_games_start_anew(tmp_path):
    """Bug: games go on beside an empty memory, whose first frame is then in the midst of one."""
    recipe = recipe_of("gallery", checkpoint_memory=False)
    runs.train(dataclasses.replace(recipe, total_steps=STEPS), tmp_path / "run", show_bar=False)
    parts = runs.build(runs.resolve(recipe))
    checkpoints.load_checkpoint(tmp_path / "run" / runs.CHECKPOINT_FILE, parts)
    assert not parts.games_restored and len(parts.memory) == 0


def test_on_atari_everything_but_the_games_is_exact(tmp_path):
    """Learner, memory, counters and generators come back bit for bit; games start anew."""
    recipe = recipe_of(
        "breakout", door="ale", repeat_frames=4, max_over="luminance", lanes=2,
        total_steps=STEPS, memory_frames=600,
    )  # fmt: skip
    before = runs.train(recipe, tmp_path / "run", show_bar=False)
    after = runs.build(runs.resolve(recipe))
    checkpoints.load_checkpoint(tmp_path / "run" / runs.CHECKPOINT_FILE, after)
    (arrays, others), (theirs, their_others) = contents(before), contents(after)
    games = {"stack"}
    for name in arrays.keys() - games:
        np.testing.assert_array_equal(arrays[name], theirs[name], err_msg=name)
    assert others[:2] == their_others[:2] and others[3:] == their_others[3:]
    assert not after.games_restored
    assert after.start_seed != before.start_seed  # or the same games would be played again
    after.lanes.close()
