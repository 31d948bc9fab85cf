"""Recipes: each field alone changes what an agent does; Nature's numbers; refusals.

`PROBES` holds, for every field, a changed value and a probe that builds the part concerned from
a recipe and returns what it was seen to do. Base and changed recipe must be seen to differ: a
field that nobody honours is found here.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import io
import itertools
import json
import math

import gymnasium
import numpy as np
import pytest
import torch

from dqn_ref import agents, checkpoints, runs
from dqn_ref.__main__ import build_parser
from dqn_ref.environments import make_lanes
from dqn_ref.exploration import epsilon_greedy
from dqn_ref.learner import Learner, make_optimizer, training_step, update_target
from dqn_ref.pieces import Pieces
from dqn_ref.recipes import RECIPE_NOTES, RECIPES, Recipe, RecipeError, get_recipe
from dqn_ref.replay import Batch
from dqn_ref.reporting import read_rows
from dqn_ref.training import training_loop

# A run that is over in a moment: a small game, small frames, the smaller network.
SMALL = dict(
    game="gallery", door="gym", repeat_frames=1, max_over="none", start_noops_max=0,
    frame_height=20, frame_width=20, architecture="mnih2013", lanes=2, batch_size=8,
    memory_frames=2_000, learning_starts=20, total_steps=120, log_every_steps=30,
    checkpoint_every_steps=40, device="cpu", precision="fp32", threads=1,
    target_every_steps=40, epsilon_decay_steps=100, updates_at_once=1,
    n_step=1,
)  # fmt: skip
ATARI = dict(SMALL, game="breakout", door="ale", repeat_frames=4, max_over="luminance")


def digest(*arrays):
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


# ---- probes of the environment -------------------------------------------------------------------


class Flicker(gymnasium.Env):
    """Loses a life every 20 frames and ends after 100; sprites show on odd frames only."""

    def __init__(self):
        self.action_space = gymnasium.spaces.Discrete(3)
        self.observation_space = gymnasium.spaces.Box(0, 255, (210, 160, 3), np.uint8)
        self.actions = []

    def get_action_meanings(self):
        return ["NOOP", "FIRE", "LEFT"]

    def reset(self, *, seed=None, options=None):
        self.frame = 0
        return self._observe(), {"lives": 5}

    def step(self, action):
        self.actions.append(int(action))
        self.frame += 1
        info = {"lives": 5 - self.frame // 20}
        return self._observe(), 7.0, self.frame >= 100, False, info

    def _observe(self):
        # Something in each colour channel that depends on where and when.
        y, x = np.mgrid[0:210, 0:160]
        shown = self.frame % 2
        red, green, blue = (x * 3 + self.frame * 7) % 256, (y * 5) % 256, (x * y) % 256
        return np.stack([red * shown, green, blue * (1 - shown)], axis=2).astype(np.uint8)


def played(recipe, steps=30):
    """Emulator actions and rows of a scripted agent in the scripted game."""
    env = Flicker()
    lanes = make_lanes(dataclasses.replace(recipe, lanes=1), 1, make_env=lambda: env)
    rows = [lanes.reset(1)]
    for step in range(steps):
        lanes.send(np.array([2 if step % 3 else 0]))
        rows.append(lanes.recv())
    return env.actions, rows


def emulator_actions(recipe):
    return played(recipe)[0]


def pictures(recipe):
    return digest(*(rows.frames for rows in played(recipe, 6)[1]))


def cut_off(recipe):
    return [bool(rows.truncated[0]) for rows in played(recipe)[1]]


def atari_rows(recipe, steps=25):
    """Frames, rewards and frame numbers of an emulator under fixed actions."""
    lanes = make_lanes(recipe, recipe.lanes)
    count = len(lanes.action_names)
    rows = [lanes.reset(recipe.seed + 1)]
    for step in range(steps):
        lanes.send((np.arange(recipe.lanes) + step) % count)
        rows.append(lanes.recv())
    lanes.close()
    return rows


def atari_pictures(recipe):
    rows = atari_rows(recipe)
    return digest(*(r.frames for r in rows)), digest(*(r.emulator_frames for r in rows))


def door_behaviour(recipe):
    """What only one door can do is refused by the other."""
    try:
        make_lanes(dataclasses.replace(recipe, life_noops_max=3), 1).close()
    except RecipeError:
        return "refused", atari_pictures(recipe)
    return "played", atari_pictures(recipe)


def start_frames(recipe):
    return [rows.emulator_frames.tolist() for rows in atari_rows(recipe, 0)]


def first_pictures(recipe):
    """What an agent built from the recipe sees first, in several lanes."""
    parts = runs.build(recipe)
    parts.start()
    parts.lanes.close()
    return digest(parts.stack.current.numpy())


def shape_of_frames(recipe):
    return atari_rows(recipe, 1)[0].frames.shape


def number_of_values(recipe):
    parts = runs.build(recipe)
    parts.start()
    shape = tuple(parts.learner.q_values(parts.stack.current).shape)
    parts.lanes.close()
    return shape


# ---- probes of loop, memory, learner -------------------------------------------------------------


def loop_of(recipe, make_env=None, **pieces):
    """A run of the loop without files: its parts, and what was acted and when was learnt."""
    actions, updates = [], []
    parts = runs.build(runs.resolve(recipe), Pieces(**pieces), make_env)
    send = parts.lanes.send

    def note(chosen):
        actions.append(np.array(chosen))
        send(chosen)

    parts.lanes.send = note

    def on_step(parts, rows):
        updates.append(parts.counters.updates)
        return False

    training_loop(parts, recipe.total_steps, on_step)
    parts.lanes.close()
    return parts, actions, updates


def actions_taken(recipe):
    """Without updates, so that nothing but exploration can differ."""
    still = dataclasses.replace(recipe, learning_starts=1_000)
    return digest(*loop_of(still)[1])


def when_updates_come(recipe):
    return loop_of(recipe)[2]


def sizes_of_groups(recipe):
    """How many updates a turn makes."""
    updates = [0, *when_updates_come(recipe)]
    return {after - before for before, after in itertools.pairwise(updates)}


def becomes_a_graph(recipe):
    return runs._can_capture(recipe, Pieces())


def stored(recipe):
    """Rewards, ends, discounts and the size of what the memory gives back."""
    parts, _, _ = loop_of(recipe, make_env=Flicker)
    batch = parts.memory.gather(torch.arange(len(parts.memory)))
    return (
        len(batch.actions),
        sorted(set(batch.rewards.tolist())),
        int(batch.terminated.sum()),
        set(batch.discounts.tolist()),
        tuple(batch.states.shape[1:]),
    )


def sizes_of_minibatches(recipe):
    sizes = set()

    def spy(parts, batch):
        sizes.add(len(batch.actions))
        return training_step(parts, batch)

    loop_of(recipe, training_step=spy)
    return sizes


def fixed_batches(recipe, count=5):
    rng = np.random.default_rng(0)

    def states():
        shape = (16, recipe.stack_frames, *recipe.frame_shape)
        return torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8))

    return [
        Batch(
            states(),
            torch.from_numpy(rng.integers(0, 2, 16)),
            torch.from_numpy(rng.normal(0, 3, 16).astype(np.float32)),
            torch.full((16,), recipe.discount),
            torch.zeros(16, dtype=torch.bool),
            states(),
        )
        for _ in range(count)
    ]


def learnt(recipe):
    """Weights after a few updates on fixed minibatches, and when the target moved."""
    torch.manual_seed(0)
    copies = []

    def note(online, target, tau):
        copies.append(learner.updates)
        update_target(online, target, tau)

    learner = Learner(recipe, runs.build_network(recipe, 2), recipe.precision, copy_target=note)
    for batch in fixed_batches(recipe):
        learner.update([batch])
    networks = [learner.online, learner.target]
    return copies, *(
        digest(*(p.detach().contiguous() for p in net.parameters())) for net in networks
    )


def online_weights(recipe):
    return learnt(recipe)[1]


def target_weights(recipe):
    """With the online network the same, so that the target alone differs."""
    copies, online, target = learnt(recipe)
    return copies, target


def fresh_values(recipe):
    """Q-values of a fresh network in fp32 or bf16."""
    torch.manual_seed(recipe.seed)
    network = runs.build_network(recipe, 2)
    learner = Learner(recipe, network, recipe.precision)
    return digest(learner.q_values(fixed_batches(recipe)[0].states))


# ---- probes of a run's files ---------------------------------------------------------------------


def run_of(recipe, folder, **pieces):
    folder = folder / f"run{len(list(folder.iterdir()))}"
    saved = []
    real = checkpoints.save_checkpoint

    def note(path, parts, seconds):
        saved.append(parts.counters.steps)
        real(path, parts, seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "save_checkpoint", note)
        parts = runs.train(recipe, folder, Pieces(**pieces), show_bar=False)
    return folder, parts, saved


def log_rows(recipe, folder):
    return [int(row["agent_steps"]) for row in read_rows(run_of(recipe, folder)[0] / "log.csv")]


def steps_taken(recipe, folder):
    return run_of(recipe, folder)[1].counters.steps


def checkpoints_written(recipe, folder):
    return run_of(recipe, folder)[2]


def memory_in_the_checkpoint(recipe, folder):
    tensors, about = checkpoints.load_tensors(run_of(recipe, folder)[0] / runs.CHECKPOINT_FILE)
    return "memory.frames" in tensors, about["memory"] is None


def evaluations(recipe, folder):
    """Epsilons of evaluations and the number of decisions under them, and the best network."""
    calls = {}

    def spy(q_values, epsilon, rng):
        if np.ndim(epsilon) == 0:  # training passes one epsilon per lane
            calls[epsilon] = calls.get(epsilon, 0) + len(q_values)
        return epsilon_greedy(q_values, epsilon, rng)

    run, _, _ = run_of(recipe, folder, epsilon_greedy=spy)
    best = run / runs.BEST_FILE
    games = checkpoints.load_tensors(best)[1]["games"] if best.exists() else None
    return calls, games


def weights_written(recipe, folder):
    """Steps at which weights.safetensors was written."""
    steps, real = [], checkpoints.save_weights

    def note(path, network, about):
        if path.name == runs.WEIGHTS_FILE:
            steps.append(about["steps"])
        real(path, network, about)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "save_weights", note)
        run_of(recipe, folder)
    return steps


def snapshots_kept(recipe, folder):
    """Steps of the weights that stay, by their names and by what they say."""
    kept = sorted((run_of(recipe, folder)[0] / runs.SNAPSHOT_FOLDER).glob("*.safetensors"))
    return [(int(path.stem), checkpoints.load_tensors(path)[1]["steps"]) for path in kept]


def logs_written(recipe, folder):
    return sorted(path.name for path in run_of(recipe, folder)[0].glob("*.csv"))


def lines_printed(recipe, folder):
    """What a run tells in the terminal, but for the machine and the times."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        runs.train(recipe, folder / f"run{len(list(folder.iterdir()))}", show_bar=True)
    return [line for line in out.getvalue().splitlines() if line.startswith("Interval")]


def threads_used(recipe):
    before = torch.get_num_threads()
    try:
        runs.resolve(recipe)
        return torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def threads_of_an_evaluation(recipe, folder):
    run = run_of(recipe, folder)[0]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        agents.load_agent(run)
        return torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def device_of_the_agent(recipe):
    try:
        resolved = runs.resolve(recipe)
    except RecipeError as error:
        return str(error)
    return str(next(runs.build_network(resolved, 2).parameters()).device)


# ---- the table -----------------------------------------------------------------------------------

NATURE_OPTIMIZER = dict(SMALL, optimizer="nature_rmsprop", optimizer_epsilon=0.01,
                        learning_rate=1e-3)  # fmt: skip
EVALUATING = dict(SMALL, eval_every_steps=60, eval_steps=20)
SCRIPTED = dict(SMALL, learning_starts=100, total_steps=60, fire_at_start=False,
                fire_after_life=False)  # fmt: skip

# field: (settings of the base recipe, changed value, probe)
PROBES = {
    "game": (SMALL, "chain", atari_pictures),
    "door": (ATARI, "gym", door_behaviour),
    "lanes": (SMALL, 3, shape_of_frames),
    "repeat_frames": (SCRIPTED, 4, emulator_actions),
    "repeat_frames_min": (SCRIPTED | dict(repeat_frames=4), 1, emulator_actions),
    "repeat_actions": (SCRIPTED, 3, emulator_actions),
    "start_random_actions_max": (SCRIPTED, 9, emulator_actions),
    "max_env_steps_per_game": (SCRIPTED, 11, cut_off),
    "resize_height": (SCRIPTED, 30, pictures),
    "crop_top": (SCRIPTED | dict(resize_height=30), 7, pictures),
    "grey": (SCRIPTED, "mean", pictures),
    "truncation_is_terminal": (SCRIPTED | dict(max_frames_per_game=11), True, stored),
    "weights_every_steps": (SMALL, 30, weights_written),
    "snapshot_every_steps": (SMALL, 30, snapshots_kept),
    "print_log": (SMALL, "interval", logs_written),
    "print_artefacts": (SMALL | dict(print_log="interval"), True, lines_printed),
    "sticky_probability": (ATARI, 0.9, atari_pictures),
    "full_action_space": (ATARI, True, number_of_values),
    "start_noops_max": (dict(ATARI, start_noops_max=30, lanes=8), 0, start_frames),
    "life_noops_max": (SCRIPTED, 9, emulator_actions),
    "fire_at_start": (SCRIPTED, True, emulator_actions),
    "fire_after_life": (SCRIPTED, True, emulator_actions),
    "max_frames_per_game": (SCRIPTED, 11, cut_off),
    "frame_height": (SMALL, 24, shape_of_frames),
    "frame_width": (SMALL, 24, shape_of_frames),
    "resize": (SCRIPTED, "bilinear", pictures),
    "max_over": (SCRIPTED | dict(repeat_frames=2), "rgb", pictures),
    "stack_frames": (SCRIPTED, 2, stored),
    "reward_clip": (SCRIPTED, 2.5, stored),
    "terminal_on_life_loss": (SCRIPTED, False, stored),
    "discount": (SCRIPTED, 0.9, stored),
    "architecture": (dict(SMALL, frame_height=36, frame_width=36), "mnih2015", fresh_values),
    "conv1_padding": (SMALL, 1, fresh_values),
    "initialisation": (SMALL, "glorot", fresh_values),
    "memory_frames": (SCRIPTED | dict(learning_starts=9), 30, stored),
    "learning_starts": (SMALL, 60, when_updates_come),
    "batch_size": (SMALL, 12, sizes_of_minibatches),
    "train_every_steps": (SMALL, 8, when_updates_come),
    "updates_at_once": (SMALL, 3, sizes_of_groups),
    "epsilon_start": (SMALL, 0.5, actions_taken),
    "epsilon_end": (SMALL, 0.9, actions_taken),
    "epsilon_decay_steps": (SMALL, 30, actions_taken),
    "epsilon_delay_steps": (SMALL, 60, actions_taken),
    "optimizer": (SMALL, "rmsprop", online_weights),
    "learning_rate": (SMALL, 1e-3, online_weights),
    "optimizer_epsilon": (SMALL, 1e-3, online_weights),
    "gradient_momentum": (NATURE_OPTIMIZER, 0.5, online_weights),
    "squared_gradient_momentum": (NATURE_OPTIMIZER, 0.5, online_weights),
    "huber_delta": (SMALL, math.inf, online_weights),
    "loss_reduction": (NATURE_OPTIMIZER, "sum", online_weights),
    "n_step": (SCRIPTED, 3, stored),
    "double": (dict(SMALL, learning_rate=0.01), True, online_weights),
    "target_every_steps": (dict(SMALL, target_every_steps=8), 12, target_weights),
    "target_tau": (SMALL, 0.5, target_weights),
    "eval_every_steps": (EVALUATING, 0, evaluations),
    "eval_steps": (EVALUATING, 900, evaluations),
    "eval_epsilon": (EVALUATING, 0.5, evaluations),
    "total_steps": (SMALL, 60, steps_taken),
    "seed": (SMALL, 1, fresh_values),
    "device": (SMALL, "cuda", device_of_the_agent),
    "precision": (SMALL, "bf16", fresh_values),
    "cuda_graph": (dict(SMALL, device="cuda"), False, becomes_a_graph),
    "threads": (SMALL, 2, threads_used),
    "log_every_steps": (SMALL, 20, log_rows),
    "checkpoint_every_steps": (SMALL, 20, checkpoints_written),
    "checkpoint_memory": (SMALL, True, memory_in_the_checkpoint),
}
NEEDS_A_FOLDER = (
    log_rows, steps_taken, checkpoints_written, memory_in_the_checkpoint, evaluations,
    threads_of_an_evaluation, weights_written, snapshots_kept, logs_written, lines_printed,
)  # fmt: skip
# More than one value, or more than one part of the agent, depends on these.
ALSO = [
    ("repeat_frames", ATARI, 2, atari_pictures),
    ("max_over", ATARI, "none", atari_pictures),
    ("max_over", SCRIPTED | dict(repeat_frames=2, max_over="rgb"), "luminance", pictures),
    ("max_frames_per_game", ATARI, 24, lambda r: [x.truncated.any() for x in atari_rows(r)]),
    ("sticky_probability", dict(ATARI, door="gym"), 0.9, atari_pictures),
    ("full_action_space", dict(ATARI, door="gym"), True, number_of_values),
    ("fire_at_start", ATARI, False, atari_pictures),
    ("start_noops_max", dict(ATARI, start_noops_max=30, lanes=3, door="gym"), 0, start_frames),
    ("frame_height", ATARI, 24, shape_of_frames),
    ("frame_width", ATARI, 24, shape_of_frames),
    ("resize", SCRIPTED, "nearest", pictures),
    ("resize", SCRIPTED, "bicubic", pictures),
    *(("resize", SCRIPTED, f"pil_{name}", pictures) for name in ("nearest", "bilinear", "bicubic")),
    ("resize", SCRIPTED | dict(frame_height=21, frame_width=16), "stride", pictures),
    ("grey", SCRIPTED, "luminance_last", pictures),
    ("repeat_actions", ATARI, 2, atari_pictures),
    ("optimizer", SMALL, "keras_adam", online_weights),
    ("optimizer_epsilon", SMALL | dict(optimizer="keras_adam"), 1e-3, online_weights),
    ("architecture", SMALL | dict(frame_height=84, frame_width=84, architecture="mnih2015"),
     "channels_trap", fresh_values),
    ("print_log", SMALL, "episode", logs_written),
    ("print_log", dict(SMALL, device="cuda"), "episode", becomes_a_graph),
    ("optimizer", dict(SMALL, device="cuda"), "keras_adam", becomes_a_graph),
    ("lanes", ATARI, 3, shape_of_frames),
    ("seed", SMALL, 1, actions_taken),
    ("seed", dict(ATARI, start_noops_max=30), 1, first_pictures),
    ("seed", dict(ATARI, start_noops_max=30, door="gym"), 1, first_pictures),
    ("stack_frames", ATARI, 1, lambda r: tuple(p.shape for p in
                                               runs.build_network(r, 4).parameters())),
    ("optimizer", SMALL, "nature_rmsprop", online_weights),
    ("optimizer_epsilon", dict(SMALL, optimizer="rmsprop"), 0.1, online_weights),
    ("optimizer_epsilon", NATURE_OPTIMIZER, 0.1, online_weights),
    ("squared_gradient_momentum", dict(SMALL, optimizer="rmsprop"), 0.5, online_weights),
    ("learning_rate", dict(SMALL, optimizer="rmsprop"), 1e-3, online_weights),
    ("learning_rate", NATURE_OPTIMIZER, 1e-2, online_weights),
    ("huber_delta", SMALL, 0.1, online_weights),
    ("updates_at_once", dict(SMALL, lanes=4, train_every_steps=1), 3, when_updates_come),
    ("threads", SMALL, 0, threads_of_an_evaluation),
]  # fmt: skip


def check_field_is_honoured(field, base, value, probe, folder):
    base = get_recipe("laptop", **base)
    changed = dataclasses.replace(base, **{field: value})
    names = [s.name for s in dataclasses.fields(Recipe)]
    assert [n for n in names if getattr(base, n) != getattr(changed, n)] == [field]
    extra = (folder,) if probe in NEEDS_A_FOLDER else ()
    seen = probe(base, *extra)
    assert seen == probe(base, *extra), "the probe itself is unsteady"
    assert seen != probe(changed, *extra), f"nobody honours {field}"


def test_the_table_holds_every_field():
    assert set(PROBES) == {setting.name for setting in dataclasses.fields(Recipe)}


@pytest.mark.parametrize("field", PROBES)
def test_each_field_alone_changes_what_the_agent_does(field, tmp_path):
    check_field_is_honoured(field, *PROBES[field], tmp_path)


@pytest.mark.parametrize("field, base, value, probe", ALSO)
def test_fields_are_honoured_in_other_places_too(field, base, value, probe, tmp_path):
    check_field_is_honoured(field, base, value, probe, tmp_path)


def test_a_field_that_nobody_honours_is_found(tmp_path, monkeypatch):
    """The broken variants: an optimiser that forgets epsilon, a loop that forgets its length."""
    from dqn_ref import learner

    monkeypatch.setattr(
        learner, "make_optimizer",
        lambda recipe, p, piece: make_optimizer(
            dataclasses.replace(recipe, optimizer_epsilon=1e-8), p, piece
        ),
    )  # fmt: skip
    for field in ("optimizer_epsilon",):
        with pytest.raises(AssertionError, match="nobody honours"):
            check_field_is_honoured(field, *PROBES[field], tmp_path)
    with pytest.raises(AssertionError, match="nobody honours"):  # a probe that looks elsewhere
        check_field_is_honoured("discount", SCRIPTED, 0.9, pictures, tmp_path)


# ---- what fields do, exactly ---------------------------------------------------------------------


def test_start_actions_are_those_of_the_recipe():
    """FIRE at the start and after each life; Nature: neither, but no-ops after a life."""

    def recipe(**changes):
        return get_recipe("laptop", **(SCRIPTED | changes))

    plain = emulator_actions(recipe())
    assert 1 not in plain
    both = emulator_actions(recipe(fire_at_start=True, fire_after_life=True))
    assert both[0] == 1 and both[20] == 1 and both.count(1) == 2
    noops = emulator_actions(recipe(life_noops_max=9))
    run = len(noops) - len(plain)
    assert 0 <= run <= 8 and noops != plain  # 1 to 9 no-ops in the place of one decision


# ---- Nature's numbers ----------------------------------------------------------------------------

NATURE = {
    # what its code does, in agent steps of four frames
    "epsilon_start": 1.0,
    "epsilon_end": 0.1,
    "epsilon_decay_steps": 1_000_000,
    "epsilon_delay_steps": 50_000,
    "learning_starts": 50_000,
    "target_every_steps": 10_000,
    "train_every_steps": 4,
    "updates_at_once": 1,
    "n_step": 1,
    "batch_size": 32,
    "learning_rate": 0.00025,
    "optimizer": "nature_rmsprop",
    "gradient_momentum": 0.95,
    "squared_gradient_momentum": 0.95,
    "optimizer_epsilon": 0.01,
    "loss_reduction": "sum",
    "huber_delta": 1.0,
    "discount": 0.99,
    "double": False,
    "target_tau": 1.0,
    "architecture": "mnih2015",
    "conv1_padding": 1,
    "initialisation": "pytorch",
    "frame_height": 84,
    "frame_width": 84,
    "stack_frames": 4,
    "repeat_frames": 4,
    "max_over": "rgb",
    "resize": "bilinear",
    "reward_clip": 1.0,
    "terminal_on_life_loss": True,
    "life_noops_max": 31,
    "start_noops_max": 30,
    "fire_at_start": False,
    "fire_after_life": False,
    "sticky_probability": 0.0,
    "full_action_space": False,
    "memory_frames": 1_000_000,
    "lanes": 1,
    "eval_every_steps": 250_000,
    "eval_steps": 125_000,
    "eval_epsilon": 0.05,
    "total_steps": 50_000_000,
}


def check_nature(recipe):
    for name, value in NATURE.items():
        assert getattr(recipe, name) == value, name
    assert recipe.target_every_updates == 2_500
    assert recipe.batch_size / recipe.train_every_steps == 8


def test_mnih2015_has_natures_numbers():
    check_nature(get_recipe("mnih2015"))
    broken = (
        dict(epsilon_decay_steps=250_000),  # the paper's frames taken for frames
        dict(target_every_steps=40_000),  # updates taken for steps
        dict(optimizer_epsilon=0.01 / 32**2),
        dict(fire_after_life=True),
    )
    for changes in broken:
        with pytest.raises(AssertionError):
            check_nature(get_recipe("mnih2015", **changes))


# What the papers and the two old notebooks say, in agent steps; what is not named here is a choice.
MNIH2013 = dict(
    architecture="mnih2013", resize_height=110, frame_height=84, frame_width=84, batch_size=32,
    optimizer="rmsprop", epsilon_start=1.0, epsilon_end=0.1, epsilon_decay_steps=1_000_000,
    memory_frames=1_000_000, total_steps=10_000_000, reward_clip=1.0, repeat_frames=4,
    stack_frames=4, target_every_updates=1, target_tau=1.0, huber_delta=math.inf, double=False,
    n_step=1, terminal_on_life_loss=False, max_over="none",
)  # fmt: skip
NOTEBOOK_A = dict(
    repeat_frames=4, repeat_actions=4, repeat_frames_min=0, sticky_probability=0.0,
    frame_shape=(105, 80), resize="stride", grey="mean", max_over="none", stack_frames=4,
    architecture="channels_trap", initialisation="glorot", double=True, optimizer="rmsprop",
    learning_rate=0.00025, squared_gradient_momentum=0.95, optimizer_epsilon=0.01,
    huber_delta=math.inf, loss_reduction="mean", discount=0.99, batch_size=32,
    memory_frames=500_000, learning_starts=50, train_every_steps=1, target_tau=0.01,
    epsilon_start=1.0, epsilon_end=0.1, epsilon_decay_steps=100_000, epsilon_delay_steps=0,
    start_noops_max=0, start_random_actions_max=0, reward_clip=math.inf, n_step=1, lanes=1,
    terminal_on_life_loss=False, truncation_is_terminal=True, seed=123, total_steps=500_000,
    weights_every_steps=500, print_log="episode", fire_at_start=False, fire_after_life=False,
)  # fmt: skip
NOTEBOOK_B = dict(
    repeat_frames_min=2, repeat_frames=4, repeat_actions=2, sticky_probability=0.25,
    max_env_steps_per_game=10_000, frame_shape=(84, 84), resize="pil_nearest",
    grey="luminance_last", max_over="none", stack_frames=4, architecture="mnih2015",
    initialisation="glorot", double=True, optimizer="keras_adam", learning_rate=0.00025,
    optimizer_epsilon=1e-7, huber_delta=1.0, loss_reduction="mean", discount=0.99, batch_size=32,
    memory_frames=1_000_000, learning_starts=10_000, train_every_steps=4, target_tau=0.01,
    epsilon_start=0.99, epsilon_end=0.05, epsilon_decay_steps=1_250_000, epsilon_delay_steps=0,
    start_noops_max=0, start_random_actions_max=29, reward_clip=math.inf, n_step=1, lanes=1,
    terminal_on_life_loss=False, truncation_is_terminal=True, total_steps=1_750_000,
    print_log="interval", log_every_steps=10_000, fire_at_start=False, fire_after_life=False,
)  # fmt: skip


@pytest.mark.parametrize(
    "name, numbers",
    [("mnih2013", MNIH2013), ("notebook_a", NOTEBOOK_A), ("notebook_b", NOTEBOOK_B)],
)
def test_recipes_of_others_have_their_numbers(name, numbers):
    """Bug: a default of `laptop` (3 steps, FIRE, clipping …) slips into somebody else's recipe."""
    recipe = get_recipe(name)
    assert {key: getattr(recipe, key) for key in numbers} == numbers


def test_atari_recipes_learn_from_eight_samples_per_step():
    for name in ("laptop", "mnih2015", "gpu"):
        recipe = RECIPES[name]
        assert recipe.batch_size / recipe.train_every_steps == 8, name
    assert set(RECIPE_NOTES) == set(RECIPES)  # each is explained on the command line


def test_recipes_play_as_many_games_as_their_machine_likes():
    """A group is a turn's worth of updates, and no copy of the target falls into its midst."""
    games = {name: (recipe.lanes, recipe.updates_at_once) for name, recipe in RECIPES.items()}
    assert games == {
        "laptop": (16, 4), "gpu": (128, 32), "mnih2015": (1, 1), "gallery": (4, 1),
        "mnih2013": (1, 1), "notebook_a": (1, 1), "notebook_b": (1, 1),
    }  # fmt: skip
    for name in ("laptop", "gpu", "gallery"):
        recipe = RECIPES[name]
        assert recipe.updates_at_once * recipe.train_every_steps == recipe.lanes
    # A group that held a copy would be made without the graph.
    assert RECIPES["gpu"].target_every_updates % RECIPES["gpu"].updates_at_once == 0


@pytest.mark.parametrize(
    "piece", ["ReplayMemory", "QNetwork", "training_step", "td_targets", "huber_loss"]
)
def test_only_the_references_own_updates_become_a_graph(piece):
    """A learner's piece may read a value back, which no graph can hold."""
    recipe = get_recipe("laptop", device="cuda")
    assert runs._can_capture(recipe, Pieces())
    assert runs._can_capture(recipe, Pieces(update_target=None, epsilon_greedy=None))
    assert not runs._can_capture(recipe, Pieces(**{piece: object()}))
    for device in ("cpu", "mps"):
        assert not runs._can_capture(get_recipe("laptop", device=device), Pieces())


# ---- refusals ------------------------------------------------------------------------------------


def check_refused(changes, word):
    try:
        get_recipe("laptop", **changes)
    except RecipeError as error:
        assert "\n" not in str(error) and word in str(error), str(error)
        return
    raise AssertionError(f"{changes} was not refused")


@pytest.mark.parametrize(
    "changes, word",
    [
        (dict(total_steps=-1), "total_steps"),
        (dict(total_steps=0), "total_steps"),
        (dict(epsilon_end=1.5), "epsilon_end"),
        (dict(epsilon_start=-0.1), "epsilon_start"),
        (dict(learning_rate=math.nan), "learning_rate"),
        (dict(learning_rate=-1.0), "learning_rate"),
        (dict(learning_rate=math.inf), "learning_rate"),
        (dict(optimizer_epsilon=math.inf), "optimizer_epsilon"),
        (dict(reward_clip=-1.0), "reward_clip"),
        (dict(lanes=0), "lanes"),
        (dict(lanes=2.5), "lanes"),
        (dict(lanes=True), "lanes"),
        (dict(double=1), "double"),
        (dict(game=3), "game"),
        (dict(stack_frames=300), "stack_frames"),
        (dict(seed=-1), "seed"),
        (dict(seed=2**64), "seed"),
        (dict(threads=10**6), "threads"),
        (dict(frame_height=4), "frame_height"),
        (dict(resize="lanczos"), "bicubic"),
        (dict(optimizer="sgd"), "nature_rmsprop"),
        (dict(target_every_steps=10), "multiple"),
        (dict(learning_starts=200_000), "memory_frames"),
        (dict(lanes=8, n_step=1, memory_frames=40, learning_starts=9), "at least 48"),
        (dict(lanes=8, n_step=3, memory_frames=48, learning_starts=9), "at least 64"),
        (dict(updates_at_once=0), "updates_at_once"),
        (dict(cuda_graph="yes"), "cuda_graph"),
        (dict(discuont=0.9), "discuont"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_sentence(changes, word):
    check_refused(changes, word)


@pytest.mark.parametrize(
    "text, said",
    [("", "Expecting value"), ("[]", "names no settings"), ('{"game": 3}', "game must be a word"),
     ('{"lanes": 0}', "lanes must be"), ('{"discuont": 1}', "discuont")],
)  # fmt: skip
def test_a_damaged_recipe_is_named(tmp_path, text, said):
    """A setting that the user never gave is refused, and no word of the file it stands in."""
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(RecipeError) as error:
        Recipe.load(path)
    message = str(error.value)
    assert message.startswith(f"{path} is not a recipe of this version: ")
    assert said in message and "\n" not in message


def test_settings_that_work_are_not_refused():
    for changes in (
        dict(huber_delta=math.inf), dict(reward_clip=math.inf), dict(learning_rate=1),
        dict(epsilon_decay_steps=0), dict(lanes=8, n_step=1, memory_frames=48, learning_starts=9),
        dict(discount=0.0), dict(updates_at_once=1_000),
    ):  # fmt: skip
        with pytest.raises(AssertionError, match="not refused"):
            check_refused(changes, "")
    with pytest.raises(RecipeError, match="laptop"):
        get_recipe("desktop")


def test_a_recipe_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_recipe("laptop").lanes = 3


# ---- files and flags -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_back_from_its_file(name, tmp_path):
    recipe = get_recipe(name, huber_delta=math.inf)
    recipe.save(tmp_path / "recipe.json")
    assert Recipe.load(tmp_path / "recipe.json") == recipe
    assert set(json.loads((tmp_path / "recipe.json").read_text())) == set(PROBES)
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.json"]


def train_parser():
    parser = build_parser()
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return commands.choices["train"]


def test_every_field_is_a_flag_with_a_description():
    actions = {action.dest: action for action in train_parser()._actions}
    for setting in dataclasses.fields(Recipe):
        action = actions[setting.name]
        assert action.option_strings == ["--" + setting.name.replace("_", "-")]
        assert setting.metadata["doc"] and action.help
        assert action.default is None  # or the recipe's own value would be lost


def as_text(value):
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("field", PROBES)
def test_a_flag_gives_the_value_of_its_type(field):
    value = PROBES[field][1]
    flag = "--" + field.replace("_", "-")
    found = train_parser().parse_args(["--run-dir", "x", flag, as_text(value)])
    assert getattr(found, field) == value
    assert type(getattr(found, field)) is type(getattr(Recipe(), field))


def test_learning_cannot_start_before_there_is_anything_to_learn_from():
    """Catches: a training that ends after its first steps, with a traceback about its memory."""
    with pytest.raises(RecipeError, match="learning_starts .31. must be at least 32"):
        get_recipe("laptop", learning_starts=31)
    assert get_recipe("laptop", learning_starts=32).learning_starts == 32
    assert get_recipe("laptop", learning_starts=0, n_step=1).learning_starts == 0
