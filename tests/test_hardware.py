"""What the machine has: device, precision, memory. Refusals are one sentence that helps."""

import contextlib
import subprocess
import sys
import time

import psutil
import pytest
import torch

from dqn_ref import hardware
from dqn_ref.hardware import (
    autocast,
    choose_device,
    choose_precision,
    memory_bytes,
    refuse_if_too_large,
)
from dqn_ref.recipes import RecipeError, get_recipe
from dqn_ref.replay import FrameRing

CPU = torch.device("cpu")


def check_sentence(error):
    text = str(error.value)
    assert "\n" not in text and len(text) < 250
    return text


@pytest.mark.parametrize("name", ["", "gpu", "cpu:x", "cuda:99", "tpu", "cuda:-1", "mps:5:5"])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(RecipeError) as error:
        choose_device(name)
    assert "--device" in check_sentence(error)


def test_auto_takes_cuda_where_there_is_one(monkeypatch):
    assert choose_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(RecipeError):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto").type == "cuda"
    assert choose_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(RecipeError):
        choose_device("cuda:1")


def check_precision_follows_the_measurement(choose, monkeypatch):
    for fp32, bf16, expected in ((1.0, 0.2, "bf16"), (1.0, 0.99, "fp32"), (1.0, 900.0, "fp32")):
        seconds = {torch.float32: fp32, torch.bfloat16: bf16}
        monkeypatch.setattr(hardware, "_multiplication_seconds", seconds.__getitem__)
        assert choose("auto", CPU) == expected
    assert choose("fp32", CPU) == "fp32" and choose("bf16", CPU) == "bf16"


def test_precision_is_measured_only_for_auto(monkeypatch):
    check_precision_follows_the_measurement(choose_precision, monkeypatch)
    for broken in (lambda name, device: "bf16", lambda name, device: "fp32"):
        with pytest.raises(AssertionError):
            check_precision_follows_the_measurement(broken, monkeypatch)


def test_the_measurement_is_short():
    """It runs before every training, also where bf16 is emulated a thousand times slower."""
    start = time.perf_counter()
    assert choose_precision("auto", CPU) in ("fp32", "bf16")
    assert time.perf_counter() - start < 3  # 0.2 on a quiet machine


def test_autocast_of_fp32_changes_nothing():
    assert isinstance(autocast("fp32", CPU), contextlib.nullcontext)
    a = torch.rand(4, 4)
    with autocast("bf16", CPU):
        assert (a @ a).dtype == torch.bfloat16
    with autocast("fp32", CPU):
        assert (a @ a).dtype == torch.float32


def check_bytes(formula):
    recipe = get_recipe("laptop", memory_frames=1_000, learning_starts=16, lanes=8)
    ring = FrameRing(1_000, 8, recipe.frame_shape)
    assert formula(recipe) == ring.nbytes
    assert ring.nbytes / 1_000 <= 84 * 84 + 14  # 26


def test_the_predicted_bytes_are_those_of_the_memory():
    """26."""
    check_bytes(memory_bytes)
    for broken in (
        lambda r: r.memory_frames * 84 * 84,
        lambda r: r.memory_frames * 84 * 84 * 4,
        lambda r: memory_bytes(r) * 4,
    ):
        with pytest.raises(AssertionError):
            check_bytes(broken)


def check_what_is_proposed_fits(refuse, monkeypatch):
    class Free:
        available = 1_000_000_000

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Free)
    refuse(get_recipe("laptop", memory_frames=100_000), CPU)  # 0.7 GB of 0.85
    try:
        refuse(get_recipe("laptop", memory_frames=150_000), CPU)
    except RecipeError as error:
        text = str(error)
    else:
        raise AssertionError("1.06 GB were not refused")
    proposed = int(text.split("--memory-frames ")[1].split()[0])
    assert 100_000 < proposed < 121_000 and "\n" not in text
    refuse(get_recipe("laptop", memory_frames=proposed), CPU)


def test_a_memory_that_would_not_fit_is_refused_with_one_that_would(monkeypatch):
    check_what_is_proposed_fits(refuse_if_too_large, monkeypatch)
    with pytest.raises(AssertionError):
        check_what_is_proposed_fits(lambda recipe, device: None, monkeypatch)


DENORMALS = """
import torch
from dqn_ref.recipes import get_recipe
from dqn_ref.runs import resolve
if {flush}:
    resolve(get_recipe("gallery", device="cpu", precision="fp32", threads=2))
tiny = torch.full((1_000_000,), 71_362, dtype=torch.int32).view(torch.float32)  # 1e-40
print(int((tiny * 1).view(torch.int32).count_nonzero()), torch.set_flush_denormal(True))
"""


def test_a_training_counts_denormals_as_zero_in_all_its_threads():
    """In a process of its own: the mode outlives the call. Without it the numbers stay."""
    for flush in (True, False):
        command = [sys.executable, "-c", DENORMALS.format(flush=flush)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        left, possible = output.split()
        assert int(left) == (0 if flush and possible == "True" else 1_000_000)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_free_memory_is_that_of_the_gpu():
    recipe = get_recipe("laptop", memory_frames=10**9)
    with pytest.raises(RecipeError, match="cuda"):
        refuse_if_too_large(recipe, torch.device("cuda"))
