"""Files that a run leaves behind: exact, atomic, and refused in one sentence when they are wrong.

Each rule is a function that a broken variant must fail.
"""

import errno
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dqn_ref import checkpoints
from dqn_ref.checkpoints import (
    CheckpointError,
    load_optimizer,
    load_tensors,
    load_weights,
    optimizer_tensors,
    save_tensors,
    save_weights,
)
from dqn_ref.learner import Learner
from dqn_ref.network import QNetwork
from dqn_ref.recipes import get_recipe
from dqn_ref.replay import Batch

SHAPE = (36, 36)


def network(seed=0, **options):
    torch.manual_seed(seed)
    built = QNetwork(4, SHAPE, architecture="mnih2013", **options)
    return built.to(memory_format=torch.channels_last)


def batches(count, seed):
    rng = np.random.default_rng(seed)

    def states():
        return torch.from_numpy(rng.integers(0, 256, (8, 4, *SHAPE), dtype=np.uint8))

    return [
        Batch(
            states(),
            torch.from_numpy(rng.integers(0, 4, 8)),
            torch.from_numpy(rng.normal(size=8).astype(np.float32)),
            torch.full((8,), 0.99),
            torch.zeros(8, dtype=torch.bool),
            states(),
        )
        for _ in range(count)
    ]


def same_weights(one, other):
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


# ---- what is written can be read -----------------------------------------------------------------


def test_tensors_and_description_come_back_exactly(tmp_path):
    tensors = {
        "a.b": torch.randn(2, 3),
        "bytes": torch.arange(10, dtype=torch.uint8),
        "strided": torch.arange(12.0).reshape(3, 4).T,
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(7, dtype=torch.int64),
    }
    about = {"counters": {"steps": 2**60}, "state": 3**70, "none": None, "name": "Änderung"}
    save_tensors(tmp_path / "x.safetensors", tensors, about)
    found, described = load_tensors(tmp_path / "x.safetensors")
    assert described == about and found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]  # no leftovers


def test_half_precision_weights_are_half_the_size_and_load(tmp_path):
    one, other = network(0), network(1)
    save_weights(tmp_path / "full", one, {})
    save_weights(tmp_path / "half", one, {"score": 3.5}, half=True)
    sizes = [(tmp_path / name).stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.51 * sizes[0]
    assert load_weights(tmp_path / "half", other) == {"score": 3.5}
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-3)
        assert theirs.dtype == torch.float32
    load_weights(tmp_path / "full", other)
    assert same_weights(one, other)


def check_training_goes_on_as_if_nothing_had_been(kind, load, tmp_path):
    """k + k updates equal 2k, bit for bit, through a file."""
    recipe = get_recipe("laptop", optimizer=kind, learning_rate=1e-3, device="cpu")
    straight, before, after = (Learner(recipe, network()) for _ in range(3))
    straight.update(batches(3, 1)), before.update(batches(3, 1))
    path = tmp_path / "optimizer"
    save_tensors(path, optimizer_tensors(before.optimizer), {})
    after.online.load_state_dict(before.online.state_dict())
    after.target.load_state_dict(before.target.state_dict())
    after.updates = before.updates
    load(after.optimizer, load_tensors(path)[0])
    straight.update(batches(3, 2)), after.update(batches(3, 2))
    assert same_weights(straight.online, after.online)


def load_without_layout(optimizer, tensors):
    """Row-major moments beside channels-last weights: the fused Adam mixes up their entries."""
    state = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


@pytest.mark.parametrize("kind", ["adam", "keras_adam", "rmsprop", "nature_rmsprop"])
def test_an_optimizer_comes_back_exactly(kind, tmp_path):
    check_training_goes_on_as_if_nothing_had_been(kind, load_optimizer, tmp_path)
    with pytest.raises(AssertionError):
        check_training_goes_on_as_if_nothing_had_been(kind, lambda o, t: None, tmp_path)


def test_the_moments_of_adam_get_their_layout_back(tmp_path):
    with pytest.raises(AssertionError):
        check_training_goes_on_as_if_nothing_had_been("adam", load_without_layout, tmp_path)


def test_an_optimizer_that_has_done_nothing_can_be_saved(tmp_path):
    recipe = get_recipe("laptop", device="cpu")
    learner = Learner(recipe, network())
    save_tensors(tmp_path / "x", optimizer_tensors(learner.optimizer), {})
    load_optimizer(learner.optimizer, load_tensors(tmp_path / "x")[0])
    learner.update(batches(1, 0))


# ---- a kill at any moment ------------------------------------------------------------------------


class Killed(BaseException):
    """What a kill looks like from inside: nothing after it runs, not even an `except`."""


def check_the_old_file_survives(save, tmp_path, monkeypatch):
    """A kill half-way through the bytes, before the move, and during the move."""
    path = tmp_path / "checkpoint.safetensors"
    save(path, {"x": torch.zeros(1000)}, {"steps": 1})

    def half_written(tensors, filename, metadata=None):
        save_file(tensors, filename, metadata=metadata)
        with open(filename, "rb+") as file:
            file.truncate(500)
        raise Killed

    def killed(*args):
        raise Killed

    for target, name, action in (
        (checkpoints, "save_file", half_written),
        (checkpoints.os, "fsync", killed),
        (checkpoints.os, "replace", killed),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, action)
            try:
                save(path, {"x": torch.ones(1000)}, {"steps": 2})
            except Killed:
                pass
            else:
                raise AssertionError(f"{name} is not called")
        try:
            tensors, about = load_tensors(path)
        except CheckpointError as error:
            raise AssertionError("the old checkpoint is gone") from error
        assert about == {"steps": 1} and not tensors["x"].any()
    save(path, {"x": torch.ones(1000)}, {"steps": 3})  # leftovers do not stand in the way
    assert load_tensors(path)[1] == {"steps": 3}


def save_in_place(path, tensors, about):
    checkpoints.save_file(tensors, path, metadata={"about": json.dumps(about)})
    with open(path, "rb+") as file:
        checkpoints.os.fsync(file.fileno())


def test_a_kill_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    check_the_old_file_survives(save_tensors, tmp_path, monkeypatch)
    with pytest.raises(AssertionError):
        check_the_old_file_survives(save_in_place, tmp_path, monkeypatch)


def test_a_full_disk_is_one_sentence_and_leaves_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.safetensors"
    save_tensors(path, {"x": torch.zeros(3)}, {"steps": 1})

    def full(tensors, filename, metadata=None):
        filename.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(CheckpointError, match="No space left") as error:
        save_tensors(path, {"x": torch.ones(3)}, {"steps": 2})
    assert "\n" not in str(error.value)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert load_tensors(path)[1] == {"steps": 1}


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(CheckpointError) as error:
        save_tensors(tmp_path / "none" / "x", {"x": torch.zeros(1)}, {})
    assert "\n" not in str(error.value)


# ---- files that cannot be used -------------------------------------------------------------------


def check_refused(load, path):
    try:
        load(path)
    except CheckpointError as error:
        assert "\n" not in str(error) and str(path) in str(error)
        return
    raise AssertionError("not refused")


def test_a_folder_is_not_called_missing(tmp_path):
    """A learner who names the run instead of its weights is told that it does not exist."""
    with pytest.raises(CheckpointError, match="is a folder; name the file of weights in it"):
        load_tensors(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        load_tensors(tmp_path / "none")


def test_damaged_files_are_refused(tmp_path):
    good = tmp_path / "good"
    save_tensors(good, {"x": torch.randn(100)}, {"steps": 1})
    data = good.read_bytes()
    path = tmp_path / "bad"
    for content in (b"", b"hello", b"\xff" * 300, data[:7], data[:60], data[:-1], data + b"x"):
        path.write_bytes(content)
        check_refused(load_tensors, path)
    save_file({"x": torch.zeros(1)}, path)  # no description
    check_refused(load_tensors, path)
    save_file({"x": torch.zeros(1)}, path, metadata={"about": "{"})
    check_refused(load_tensors, path)
    path.write_bytes(data)
    load_tensors(path)  # the rule itself: a whole file is not refused
    with pytest.raises(AssertionError):
        check_refused(load_tensors, path)


def test_a_file_that_unpickles_is_refused(tmp_path):
    """Nothing that runs code when it is read."""
    torch.save({"x": torch.zeros(3)}, tmp_path / "model.pt")
    check_refused(load_tensors, tmp_path / "model.pt")


def test_missing_files_and_folders_are_refused(tmp_path):
    check_refused(load_tensors, tmp_path / "none")
    check_refused(load_tensors, tmp_path)


def check_another_network_is_refused(load, tmp_path):
    for other in (
        QNetwork(6, SHAPE, architecture="mnih2013"),
        QNetwork(4, SHAPE, stack_frames=1, architecture="mnih2013"),
        QNetwork(4, SHAPE),
        QNetwork(4, (44, 44), architecture="mnih2013"),
        torch.nn.Linear(3, 3),
    ):
        save_weights(tmp_path / "other", other, {})
        mine = network()
        kept = {name: tensor.clone() for name, tensor in mine.state_dict().items()}
        check_refused(lambda path: load(path, mine), tmp_path / "other")  # noqa: B023 - called at once
        assert all(torch.equal(kept[name], t) for name, t in mine.state_dict().items())


def test_weights_of_another_network_are_refused_and_change_nothing(tmp_path):
    check_another_network_is_refused(load_weights, tmp_path)

    def what_fits(path, into):
        mine = into.state_dict()
        tensors = load_tensors(path)[0]
        mine.update({n: t for n, t in tensors.items() if n in mine and mine[n].shape == t.shape})
        into.load_state_dict(mine)

    with pytest.raises(AssertionError):
        check_another_network_is_refused(what_fits, tmp_path)


def test_a_generator_goes_on_where_it_was(tmp_path):
    """29: through JSON, big integers and all."""

    def check(state_of):
        rng, other = np.random.default_rng(5), np.random.default_rng(6)
        rng.random(17), rng.integers(9, size=5)
        save_tensors(tmp_path / "x", {"x": torch.zeros(1)}, {"rng": state_of(rng)})
        other.bit_generator.state = load_tensors(tmp_path / "x")[1]["rng"]
        assert np.array_equal(rng.integers(10**6, size=1000), other.integers(10**6, size=1000))

    check(checkpoints.generator_state)
    with pytest.raises(AssertionError):
        check(lambda rng: np.random.default_rng(5).bit_generator.state)
