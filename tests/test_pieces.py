"""The table of pieces: contracts that can be trusted, and an agent that really uses each piece."""

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from dqn_ref import learner, pieces, replay
from dqn_ref.own_pieces import fit_recipe, not_called
from dqn_ref.pieces import CONTRACTS, Contract, Pieces
from dqn_ref.recipes import get_recipe
from dqn_ref.runs import build, train
from dqn_ref.wrapped_lane import Wrappers

CHAPTERS = {f"{number:02d}" for number in range(11)}
FIELDS = [field.name for field in fields(Pieces)]


def small_recipe(**changes):
    """200 steps of the smallest game, learning from the 40th on."""
    settings = {
        "game": "chain", "door": "gym", "lanes": 1, "frame_height": 44, "frame_width": 44,
        "repeat_frames": 1, "max_over": "none", "start_noops_max": 0, "fire_at_start": False,
        "fire_after_life": False, "memory_frames": 400, "learning_starts": 40, "batch_size": 8,
        "target_every_steps": 40, "epsilon_decay_steps": 100, "total_steps": 200,
        "eval_every_steps": 100, "eval_steps": 20, "device": "cpu", "precision": "fp32",
        "architecture": "mnih2015", "log_every_steps": 100, "max_frames_per_game": 60,
        "updates_at_once": 1, "n_step": 1,
    }  # fmt: skip
    return get_recipe("laptop", **{**settings, **changes})


# --- the table ----------------------------------------------------------------------------------


def assert_contract_is_sane(contract: Contract):
    assert contract.reference.__name__ == contract.name
    assert contract.reference.__module__.startswith("dqn_ref.")
    assert contract.chapter in CHAPTERS
    assert contract.reference.__doc__ and len(contract.reference.__doc__.strip()) > 20
    for text in (contract.shapes, contract.called_by, contract.may_vary):
        assert text.strip() == text and text
    # What the stub shows is Python, names the parameters of the reference and quotes nothing.
    stub = ast.parse(f"def {contract.signature}: ...").body[0]
    assert isinstance(stub, ast.FunctionDef) and stub.name == contract.name
    arguments = [a.arg for a in (*stub.args.args, *stub.args.kwonlyargs)]
    assert arguments == list(inspect.signature(contract.reference).parameters)
    annotations = [a.annotation for a in stub.args.args] + [stub.returns]
    assert not any(isinstance(a, ast.Constant) and a.value is not None for a in annotations)
    assert " at 0x" not in contract.signature


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_contract_is_sane(name):
    assert_contract_is_sane(CONTRACTS[name])
    assert CONTRACTS[name].name == name


@pytest.mark.parametrize(
    "changes",
    [
        {"chapter": "12"},
        {"name": "luminanz"},
        {"shapes": ""},
        {"reference": lambda rgb: rgb},
        {"reference": np.clip},
    ],
    ids=["chapter", "name", "shapes", "nameless reference", "foreign reference"],
)
def test_contract_rejects(changes):
    right = {f.name: getattr(CONTRACTS["luminance"], f.name) for f in fields(Contract)}
    assert_contract_is_sane(Contract(**right))
    with pytest.raises(AssertionError):
        assert_contract_is_sane(Contract(**{**right, **changes}))


def test_signatures_read_as_the_stub_shows_them():
    assert CONTRACTS["luminance"].signature == "luminance(rgb: np.ndarray) -> np.ndarray"
    assert CONTRACTS["resize"].signature == (
        "resize(image: np.ndarray, height: int, width: int, method: str = 'area') -> np.ndarray"
    )
    assert CONTRACTS["RepeatMax"].signature == "RepeatMax(env: gymnasium.Env, repeat: int = 4)"
    assert CONTRACTS["LaneMemories"].signature == "LaneMemories(memories: list)"


def test_every_chapter_from_00_to_10_has_a_piece_and_they_come_in_order():
    chapters = [contract.chapter for contract in CONTRACTS.values()]
    assert set(chapters) == CHAPTERS
    assert chapters == sorted(chapters)
    assert len(CONTRACTS) == len(pieces._ORDERED), "two pieces of one name"


def test_the_documented_pieces_of_the_course_are_all_there():
    """The big pieces the course promises, by the names a learner meets."""
    promised = {
        "preprocess", "RepeatMax", "RandomStart", "LifeLoss", "ReplayMemory", "QNetwork",
        "linear_schedule", "epsilon_greedy", "td_targets", "huber_loss", "update_target",
        "training_step", "training_loop", "evaluate", "write_video",
    }  # fmt: skip
    assert promised <= set(CONTRACTS)


def test_fields_of_pieces_are_contracts_and_default_to_the_reference():
    assert set(FIELDS) <= set(CONTRACTS)
    for name in FIELDS:
        assert Pieces().is_reference(name)
        assert not Pieces(**{name: lambda: None}).is_reference(name)
        others = [other for other in FIELDS if other != name]
        assert all(Pieces(**{name: lambda: None}).is_reference(other) for other in others)


# --- each piece is used -------------------------------------------------------------------------


def counted(name: str) -> tuple[object, list]:
    """The reference's piece in disguise, and the list of its calls."""
    reference, calls = CONTRACTS[name].reference, []
    method = {
        "RepeatMax": "step", "RandomStart": "reset", "LifeLoss": "step", "FrameStack": "push",
        "ReplayMemory": "add", "LaneMemories": "add", "QNetwork": "forward",
        "NatureRMSProp": "step",
    }.get(name)  # fmt: skip
    if method is None:

        def disguise(*args, **kwargs):
            calls.append(len(args))
            return reference(*args, **kwargs)

        return disguise, calls

    def counting(self, *args, **kwargs):
        calls.append(len(args))
        return getattr(reference, method)(self, *args, **kwargs)

    return type(f"My{name}", (reference,), {method: counting}), calls


AT_LEAST = {
    "preprocess": 200, "clip_reward": 150, "FrameStack": 200, "ReplayMemory": 150,
    "LaneMemories": 150, "QNetwork": 39 + 150,
    "linear_schedule": 200, "epsilon_greedy": 200, "td_targets": 39, "huber_loss": 39,
    "update_target": 3, "NatureRMSProp": 39, "training_step": 39, "training_loop": 1,
    "evaluate": 2,
}  # fmt: skip
# What a recipe must ask for, so that these are needed.
ATARI = {"game": "breakout", "door": "ale", "repeat_frames": 4, "max_over": "luminance"}
NEEDS = dict.fromkeys(Wrappers._fields, ATARI) | {"NatureRMSProp": {"optimizer": "nature_rmsprop"}}


def assert_is_called(name: str, piece, calls: list, run_dir: Path):
    pieces = Pieces(**{name: piece})
    recipe, _ = fit_recipe(small_recipe(**NEEDS.get(name, {})), pieces)
    assert name not in not_called(recipe, [name])
    train(recipe, run_dir, pieces, show_bar=False)
    assert len(calls) >= AT_LEAST[name], f"{name} was called {len(calls)} times"


# Films are written after a training: tests/test_own_pieces.py. Wrappers are seen below.
@pytest.mark.parametrize("name", [n for n in FIELDS if n not in (*Wrappers._fields, "write_video")])
def test_the_agent_uses_each_piece(name, tmp_path):
    piece, calls = counted(name)
    assert_is_called(name, piece, calls, tmp_path)


def test_the_agent_uses_the_wrappers(tmp_path):
    """All three in one training: games in Python are slow."""
    disguised = {name: counted(name) for name in Wrappers._fields}
    pieces = Pieces(**{name: piece for name, (piece, _) in disguised.items()})
    changes = {"eval_every_steps": 0, "total_steps": 120, "architecture": "mnih2013"}
    recipe, _ = fit_recipe(small_recipe(**ATARI, **changes), pieces)
    assert not set(Wrappers._fields) & set(not_called(recipe, Wrappers._fields))
    train(recipe, tmp_path / "run", pieces, show_bar=False)
    calls = {name: len(calls) for name, (_, calls) in disguised.items()}
    assert calls["RepeatMax"] >= 120 and calls["LifeLoss"] >= 4 * 120 and calls["RandomStart"] >= 1


@pytest.mark.parametrize("name", ["preprocess", *NEEDS])
def test_a_piece_that_is_not_needed_is_not_called(name, tmp_path, capsys):
    """A card, and a sentence at the start, that tell of a piece which did nothing."""
    recipe = small_recipe()
    piece, calls = counted(name)
    train(recipe, tmp_path / "run", Pieces(**{name: piece}), show_bar=False)
    told = f"not called in this run: your {name}\n"
    assert (told in capsys.readouterr().out) == (not calls) == (name in not_called(recipe, [name]))
    assert bool(calls) == (name == "preprocess")


def test_use_rejects_a_piece_that_nobody_calls(tmp_path):
    _, calls = counted("td_targets")
    with pytest.raises(AssertionError, match="called 0 times"):
        assert_is_called("td_targets", learner.td_targets, calls, tmp_path)


def losses(pieces: Pieces, run_dir: Path, **changes) -> list[float]:
    """Loss of every update of a run."""
    seen: list[float] = []

    def on_step(parts):
        seen.extend(float(metrics.loss) for metrics in parts.metrics)
        return False

    recipe = small_recipe(eval_every_steps=0, **changes)
    train(recipe, run_dir, pieces, show_bar=False, on_step=on_step)
    # The update that the last steps call for would come with the step after them.
    due = (recipe.total_steps - recipe.learning_starts) // recipe.train_every_steps
    assert len(seen) == due - 1
    return seen


@pytest.fixture(scope="module")
def reference_losses(tmp_path_factory) -> list[float]:
    return losses(Pieces(), tmp_path_factory.mktemp("reference"))


def test_pieces_in_disguise_give_the_losses_of_the_reference(reference_losses, tmp_path):
    """Another memory class, other paths through the learner: the same numbers on one lane."""
    mine = Pieces(**{name: counted(name)[0] for name in FIELDS})
    assert losses(mine, tmp_path / "mine") == pytest.approx(reference_losses, rel=1e-5)
    # In groups the reference's own step shares its targets, a learner's does not.
    groups = [losses(p, tmp_path / str(p is mine), updates_at_once=3) for p in (mine, Pieces())]
    assert groups[0] == pytest.approx(groups[1], rel=1e-5)
    assert groups[0] != pytest.approx(reference_losses, rel=1e-5)


def darker(*args, **kwargs):
    return CONTRACTS["preprocess"].reference(*args, **kwargs) // 2


class MarkedStack(CONTRACTS["FrameStack"].reference):
    def push(self, frames, starts):
        return super().push(frames, starts).fill_(77)


class _DrawsOne:
    def sample(self, batch_size, rng):
        batch = super().sample(batch_size, rng)
        return replay.Batch(*(field[:1].expand(field.shape) for field in batch))


class MemoryOfOne(_DrawsOne, replay.ReplayMemory): ...


class LanesOfOne(_DrawsOne, replay.LaneMemories): ...


class LargerNetwork(CONTRACTS["QNetwork"].reference):
    def forward(self, states):
        return super().forward(states) * 2


def loop_that_learns_nothing(parts, total_steps, on_step):
    parts.learner.update = lambda batches: [
        learner.Metrics(torch.tensor(9.0), torch.tensor(0.0)) for _ in batches
    ]
    CONTRACTS["training_loop"].reference(parts, total_steps, on_step)


BROKEN = {
    "preprocess": darker,
    "clip_reward": lambda rewards, limit: rewards * 0.5,
    "ReplayMemory": MemoryOfOne,
    "LaneMemories": LanesOfOne,
    "QNetwork": LargerNetwork,
    "linear_schedule": lambda step, *_: np.zeros(np.shape(step)),
    "epsilon_greedy": lambda q, epsilon, rng: np.zeros(len(q), dtype=np.int64),
    "td_targets": lambda rewards, *_: rewards,
    "huber_loss": lambda predicted, target, delta: (predicted - target) ** 2,
    "update_target": lambda online, target, tau: None,
    "training_step": lambda parts, batch: learner.training_step(
        parts, batch._replace(discounts=batch.discounts * 0.5)
    ),
    "training_loop": loop_that_learns_nothing,
}


def assert_changes_the_agent(name, piece, reference_losses, run_dir):
    changed = losses(Pieces(**{name: piece}), run_dir)
    assert not np.allclose(changed, reference_losses, rtol=1e-3)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_piece_changes_what_is_learnt(name, reference_losses, tmp_path):
    """The value a piece returns is used, not only asked for."""
    assert_changes_the_agent(name, BROKEN[name], reference_losses, tmp_path)


def test_a_broken_optimiser_changes_what_is_learnt(tmp_path):
    """Nature's recipe, trained by the reference's optimiser instead of the learner's."""
    own = Pieces(
        NatureRMSProp=lambda params, lr, *rest: learner.NatureRMSProp(params, lr / 9, *rest)
    )
    recipe = {"optimizer": "nature_rmsprop", "total_steps": 100}
    theirs, ours = (losses(p, tmp_path / str(p is own), **recipe) for p in (Pieces(), own))
    assert theirs[0] == ours[0] and theirs[5:] != pytest.approx(ours[5:], rel=1e-3)


def test_change_rejects_the_reference_in_disguise(reference_losses, tmp_path):
    with pytest.raises(AssertionError):
        assert_changes_the_agent("td_targets", counted("td_targets")[0], reference_losses, tmp_path)


def assert_acts_on_marked_stacks(pieces: Pieces):
    parts = build(small_recipe(epsilon_start=0.0, epsilon_end=0.0), pieces)
    seen = []
    parts.learner.q_values = lambda states: seen.append(states) or torch.zeros(1, 2)
    parts.start()
    parts.act()
    parts.lanes.close()
    assert torch.all(seen[0] == 77)


def test_the_agent_acts_on_what_the_stack_gives():
    """On the chain one action is best on any picture: losses would not tell."""
    assert_acts_on_marked_stacks(Pieces(FrameStack=MarkedStack))
    with pytest.raises(AssertionError):
        assert_acts_on_marked_stacks(Pieces())


def test_every_field_has_a_broken_version():
    """Those that losses do not tell have theirs above, or in the tests that are named here."""
    elsewhere = {
        "FrameStack", "NatureRMSProp",
        "RepeatMax", "RandomStart", "LifeLoss",  # test_wrapped_lane.py
        "evaluate",  # is called: above
        "write_video",  # test_own_pieces.py
    }  # fmt: skip
    assert set(BROKEN) == set(FIELDS) - elsewhere


def test_build_hands_over_every_piece_it_is_given():
    disguised = {name: counted(name)[0] for name in FIELDS}
    parts = build(small_recipe(lanes=3), Pieces(**disguised))
    assert isinstance(parts.stack, disguised["FrameStack"])
    assert isinstance(parts.learner.online, disguised["QNetwork"])
    assert isinstance(parts.learner.target, disguised["QNetwork"])
    assert [type(memory) for memory in parts.memory.memories] == [disguised["ReplayMemory"]] * 3
    assert parts.clip_reward is disguised["clip_reward"]
    assert parts.epsilon_greedy is disguised["epsilon_greedy"]
    assert parts.epsilon_schedule is disguised["linear_schedule"]
    parts.lanes.close()
    parts = build(small_recipe(lanes=3))
    assert isinstance(parts.memory, replay.FrameRing)
    parts.lanes.close()


def test_capacity_is_shared_by_the_lanes():
    parts = build(small_recipe(lanes=4), Pieces(ReplayMemory=counted("ReplayMemory")[0]))
    rings = [memory._ring for memory in parts.memory.memories]
    assert sum(len(ring.frames) for ring in rings) == 400
    parts.lanes.close()


def test_names_of_pieces_follow_python(name_pattern=re.compile(r"[a-z_]+|[A-Z][A-Za-z]+")):
    for name, contract in CONTRACTS.items():
        assert name_pattern.fullmatch(name)
        assert inspect.isclass(contract.reference) == name[0].isupper()
