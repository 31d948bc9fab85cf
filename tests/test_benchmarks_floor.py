"""The benchmark's floor: FLOP of an update, the matrix rate, and timers around methods."""

from types import SimpleNamespace

import pytest
import torch

from benchmarks import floor
from benchmarks.floor import Method
from dqn_ref.network import QNetwork

# --- FLOP -------------------------------------------------------------------------------------


def test_flop_of_an_update_of_the_nature_network_by_hand():
    """A padding, a bias or a batch counted wrongly, or a pixel gradient that nobody computes."""
    states = torch.zeros(32, 4, 84, 84, dtype=torch.uint8)
    forward = floor.forward_flop(QNetwork(4), states)
    # Two FLOP per product; outputs x products per output.
    assert forward == [
        32 * 2 * (32 * 20 * 20) * (4 * 8 * 8),
        32 * 2 * (64 * 9 * 9) * (32 * 4 * 4),
        32 * 2 * (64 * 7 * 7) * (64 * 3 * 3),
        32 * 2 * 512 * 3136,
        32 * 2 * 4 * 512,
    ]
    assert sum(forward) == 598_081_536
    # Four passes' worth, less the gradient of the first layer's inputs: 209,715,200.
    assert floor.update_flop(forward) == 4 * 598_081_536 - 209_715_200 == 2_182_610_944


def test_counting_leaves_no_hooks_in_the_network():
    """Hooks left behind would slow the agent down and grow a list for ever."""
    network = QNetwork(4)
    floor.forward_flop(network, torch.zeros(1, 4, 84, 84, dtype=torch.uint8))
    assert not any(module._forward_hooks for module in network.modules())


# --- the matrix rate --------------------------------------------------------------------------


class PretendMachine:
    """A clock, and products that move it: `rate` FLOP per second, each product a little slower."""

    def __init__(self, rate):
        self.rate, self.now, self.products = rate, 0.0, []

    def perf_counter(self):
        return self.now

    def product(self, size, dtype):
        def multiply():
            self.products.append(size)
            self.now += 2 * size**3 / self.rate * (1 + 0.001 * len(self.products))

        return multiply


@pytest.fixture
def machine(monkeypatch):
    def make(rate):
        made = PretendMachine(rate)
        monkeypatch.setattr(floor, "time", made)
        monkeypatch.setattr(floor, "_product", made.product)
        return made

    return make


def test_matrix_rate_is_that_of_the_fastest_large_product(machine):
    """Bytes for FLOP, n cubed without the 2, or a mean that a busy moment pulls down."""
    machine(rate=500e9)
    rate = floor.matrix_rate("fp32", seconds=3.0)
    assert rate["matrix_size"] == 2048
    assert rate["gflop_per_second"] == pytest.approx(500, rel=0.02)
    assert rate["median_gflop_per_second"] < rate["gflop_per_second"]


def test_a_slow_machine_multiplies_smaller_matrices(machine):
    """bf16 without bf16 instructions: one product of 2048 would take minutes."""
    slow = machine(rate=0.2e9)
    rate = floor.matrix_rate("bf16", seconds=3.0)
    assert set(slow.products) == {256}
    assert rate["matrix_size"] == 256
    assert rate["gflop_per_second"] == pytest.approx(0.2, rel=0.02)
    assert slow.now < 2 * 3.0


def test_matrix_rate_for_real():
    rate = floor.matrix_rate("fp32", seconds=0.1)
    assert rate["matrix_size"] >= 256
    assert rate["gflop_per_second"] > 0.1  # a processor of any kind


# --- timers -----------------------------------------------------------------------------------


class Bell:
    def ring(self, times, loud=False):
        if times < 0:
            raise ValueError(times)
        return "DING" * times if loud else "ding" * times


def test_a_timed_method_answers_as_before_and_its_time_is_booked(monkeypatch):
    """Arguments or answers that get lost; time booked under another part, or once per part."""
    ticks = iter(range(100))
    monkeypatch.setattr(floor, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    one, other = Bell(), Bell()
    with floor.timed_methods([Method("a", one, "ring"), Method("b", other, "ring")]) as seconds:
        assert one.ring(2) == "dingding"
        assert one.ring(1, loud=True) == "DING"
        assert other.ring(times=1) == "ding"
    assert seconds == {"a": 2.0, "b": 1.0}


def test_timers_are_taken_off_again():
    """Timers that stay would be measured with the next blocks, and pile up."""
    bell, silent = Bell(), Bell()
    with pytest.raises(ValueError), floor.timed_methods([Method("a", bell, "ring")]) as seconds:
        assert "ring" not in vars(silent)
        bell.ring(-1)
    assert vars(bell) == {}
    assert seconds["a"] > 0  # a call that fails takes time too


# --- the comparison ---------------------------------------------------------------------------


def test_comparison_with_the_floor_on_made_up_numbers():
    """Steps taken for updates, seconds for milliseconds, or the ratio upside down."""
    dissection = {
        "profile": {"steps": 80, "updates": 20, "seconds": {"act": 0.04, "rest": 0.02}},
        "forward_flop": [1_000_000_000, 500_000_000],
        "matrix": {"matrix_size": 2048, "gflop_per_second": 500.0, "median_gflop_per_second": 1.0},
    }
    entry = {
        "precision": "bf16", "threads": 2, "cpu_capability": "AVX512", "steps_per_second": 200.0,
    }  # fmt: skip
    result = floor.compare_with_floor(dissection, entry, train_every_steps=4)
    assert result["flop_per_update"] == 5_000_000_000
    assert result["floor_ms_per_update"] == pytest.approx(10.0)
    assert result["floor_steps_per_second"] == pytest.approx(400.0)
    assert result["measured_ms_per_update"] == pytest.approx(20.0)
    assert result["measured_over_floor"] == pytest.approx(2.0)
    assert result["profile_ms_per_update"] == pytest.approx({"act": 2.0, "rest": 1.0})
