"""The Q-network: shapes, parameters, initial weights, the one division by 255.

Numbers in docstrings are those of the project's list of pitfalls. Each rule is a function that a
broken variant must fail.
"""

import math
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from dqn_ref import network as network_module
from dqn_ref.network import QNetwork, count_parameters


@pytest.fixture(autouse=True)
def fixed_weights():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def random_states(count, shape=(4, 84, 84)):
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8)


# ---- shapes and parameters -----------------------------------------------------------------------


def check_natures_size(make):
    # Weights and biases, layer by layer: inputs x kernel x kernel x filters + filters.
    convolutions = (4 * 8 * 8 * 32 + 32) + (32 * 4 * 4 * 64 + 64) + (64 * 3 * 3 * 64 + 64)
    assert convolutions == 8_224 + 32_832 + 36_928
    hidden = 7 * 7 * 64 * 512 + 512
    assert hidden == 1_606_144
    for actions, total in ((4, 1_686_180), (6, 1_687_206), (18, 1_693_362)):
        assert convolutions + hidden + 512 * actions + actions == total
        assert count_parameters(make(actions)) == total


class Mnih2015(nn.Module):
    """The network written once more, without options, to be broken at will."""

    def __init__(self, actions, bias=True, third_kernel=3, maps=49, filters=64):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(4, 32, 8, 4, bias=bias), nn.ReLU(),
            nn.Conv2d(32, filters, 4, 2), nn.ReLU(),
            nn.Conv2d(filters, filters, third_kernel), nn.ReLU(), nn.Flatten(),
            nn.Linear(maps * filters, 512), nn.ReLU(), nn.Linear(512, actions),
        )  # fmt: skip

    def forward(self, states):
        return self.body(states.float() / 255)


def test_natures_network_has_1_686_180_parameters_for_four_actions():
    check_natures_size(QNetwork)
    check_natures_size(Mnih2015)
    for broken in (
        lambda n: Mnih2015(n, bias=False),
        lambda n: Mnih2015(n, third_kernel=1, maps=81),
        lambda n: QNetwork(n, architecture="mnih2013"),
        lambda n: QNetwork(n, stack_frames=1),
    ):
        with pytest.raises(AssertionError):
            check_natures_size(broken)


def check_shapes(network, expected):
    seen = []
    handles = [
        layer.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape[1:])))
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    shape = (first.in_channels, 84, 84)
    assert tuple(network(random_states(2, shape)).shape) == (2, 4)
    for handle in handles:
        handle.remove()
    assert seen == expected


NATURE_SHAPES = [(32, 20, 20), (64, 9, 9), (64, 7, 7), (512,), (4,)]


def test_shapes_of_natures_network():
    check_shapes(QNetwork(4), NATURE_SHAPES)
    check_shapes(QNetwork(4, stack_frames=1), NATURE_SHAPES)
    with pytest.raises(AssertionError):
        check_shapes(QNetwork(4, architecture="mnih2013"), NATURE_SHAPES)


def test_shapes_of_the_workshop_paper():
    """16 filters of 8 with stride 4, 32 of 4 with stride 2, 256 hidden units."""
    expected = [(16, 20, 20), (32, 9, 9), (256,), (4,)]
    check_shapes(QNetwork(4, architecture="mnih2013"), expected)
    total = (4 * 64 * 16 + 16) + (16 * 16 * 32 + 32) + (32 * 81 * 256 + 256) + (256 * 4 + 4)
    assert count_parameters(QNetwork(4, architecture="mnih2013")) == total == 677_172
    with pytest.raises(AssertionError):
        check_shapes(QNetwork(4), expected)


def check_flattened(width, network):
    linear = next(layer for layer in network.modules() if isinstance(layer, nn.Linear))
    assert linear.in_features == width


def test_frames_of_105_by_80_flatten_to_3456():
    """105 -> 25 -> 11 -> 9 rows and 80 -> 19 -> 8 -> 6 columns, times 64."""
    network = QNetwork(4, (105, 80))
    check_flattened(9 * 6 * 64, network)
    assert 9 * 6 * 64 == 3_456
    assert tuple(network(random_states(1, (4, 105, 80))).shape) == (1, 4)
    with pytest.raises(AssertionError):
        check_flattened(3_456, QNetwork(4, (84, 84)))
    with pytest.raises(RuntimeError):  # height and width exchanged: 80 x 105 does not fit
        network(random_states(1, (4, 84, 84)))


def mistaken_by_hand(network, states):
    """The first old notebook's network in plain arrays, in the axes that each layer believed in."""
    weights = {
        name: p.detach().numpy().astype(np.float64) for name, p in network.named_parameters()
    }
    convolutions = [name[:-7] for name in weights if name.endswith("weight") and "conv" in name]

    def convolve(picture, name, stride):
        """`picture` is (rows, columns, channels); so is the result."""
        kernel = weights[f"{name}.weight"].transpose(2, 3, 1, 0)  # rows, columns, in, out
        size = kernel.shape[0]
        rows, columns = ((n - size) // stride + 1 for n in picture.shape[:2])
        out = np.empty((rows, columns, kernel.shape[3]))
        for y in range(rows):
            for x in range(columns):
                patch = picture[y * stride :, x * stride :][:size, :size]
                out[y, x] = np.tensordot(patch, kernel, 3) + weights[f"{name}.bias"]
        return np.maximum(out, 0)

    found = []
    for state in states.numpy() / 255.0:
        first = convolve(state.transpose(1, 2, 0), convolutions[0], 4)
        maps = first.transpose(2, 0, 1)  # channels first, as the first layer was told
        second = convolve(maps, convolutions[1], 2)  # and read as (rows, columns, channels)
        third = convolve(second, convolutions[2], 1)
        hidden = third.transpose(2, 0, 1).ravel()
        hidden = np.maximum(weights["head.0.weight"] @ hidden + weights["head.0.bias"], 0)
        found.append(weights["head.2.weight"] @ hidden + weights["head.2.bias"])
    return np.array(found)


def test_the_channels_trap_is_the_old_notebooks():
    """Its later layers convolve over (map, row) with columns as channels. Bugs: another pair of
    axes is exchanged; the trap is only a transposition that changes nothing."""
    torch.manual_seed(0)
    network = QNetwork(4, (105, 80), architecture="channels_trap")
    states = random_states(2, (4, 105, 80))
    values = network(states).detach().numpy()
    np.testing.assert_allclose(values, mistaken_by_hand(network, states), rtol=1e-3, atol=1e-5)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert [m.weight.shape[1] for m in layers] == [4, 19, 64, 64 * 13 * 9, 512]
    right = QNetwork(4, (105, 80))
    assert count_parameters(network) > 1.9 * count_parameters(right)


def test_padding_keeps_the_map_and_changes_the_values():
    """Nature's code pads the first convolution by one pixel; the map stays 20 x 20."""
    torch.manual_seed(1)
    plain = QNetwork(4)
    torch.manual_seed(1)
    padded = QNetwork(4, conv1_padding=1)
    check_shapes(padded, NATURE_SHAPES)
    assert count_parameters(plain) == count_parameters(padded)
    states = random_states(3)
    assert not torch.allclose(plain(states), padded(states))
    first, second, third = (m for m in padded.modules() if isinstance(m, nn.Conv2d))
    assert [first.padding, second.padding, third.padding] == [(1, 1), (0, 0), (0, 0)]


@pytest.mark.parametrize(
    "options", [{"architecture": "nature"}, {"initialisation": "he"}, {"frame_shape": (35, 84)}]
)
def test_what_cannot_be_built_is_refused(options):
    with pytest.raises(ValueError) as error:
        QNetwork(4, **options)
    assert "\n" not in str(error.value)
    QNetwork(4, frame_shape=(36, 36))  # the smallest there is


# ---- input ---------------------------------------------------------------------------------------


def by_hand(network, states):
    """The network's formula with float input, division written out here."""
    x = states.to(torch.float32) / 255.0
    for layer in network.convolutions:
        x = (
            functional.relu(x)
            if isinstance(layer, nn.ReLU)
            else functional.conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding)
        )
    x = x.flatten(1)
    for layer in network.head:
        x = functional.relu(x) if isinstance(layer, nn.ReLU) else x @ layer.weight.T + layer.bias
    return x


class Wrapped(nn.Module):
    """A network whose input someone has meddled with."""

    def __init__(self, network, before):
        super().__init__()
        self.network, self.before = network, before
        self.convolutions, self.head = network.convolutions, network.head

    def forward(self, states):
        return self.network(self.before(states))


class DoesNotDivide(QNetwork):
    def forward(self, states):
        return self.head(self.convolutions(states.float()).flatten(1))


class DividesTwice(QNetwork):
    def forward(self, states):
        return self.head(self.convolutions(states / 255 / 255).flatten(1))


class ReadsSignedBytes(QNetwork):  # 200 becomes -56
    def forward(self, states):
        return self.head(self.convolutions(states.to(torch.int8) / 255).flatten(1))


def check_divides_once(network):
    states = random_states(4)
    states[0] = 255
    states[1] = 0
    kept = states.clone()
    with torch.no_grad():
        torch.testing.assert_close(network(states), by_hand(network, states), atol=1e-5, rtol=1e-4)
        assert network(states).abs().max() < 1  # sane at fresh weights
    assert torch.equal(states, kept) and states.dtype == torch.uint8


def test_the_division_by_255_happens_once():
    """39: not never, not twice, and not in uint8."""
    network = QNetwork(4)
    check_divides_once(network)
    for broken in (
        DoesNotDivide(4),
        DividesTwice(4),
        ReadsSignedBytes(4),
        Wrapped(network, lambda states: states // 255),
        Wrapped(network, lambda states: states + 1),  # 255 wraps to 0
    ):
        with pytest.raises(AssertionError):
            check_divides_once(broken)


def check_brightest_input_is_one(network):
    seen = []
    handle = network.convolutions[0].register_forward_pre_hook(lambda _, args: seen.extend(args))
    network(torch.full((1, 4, 84, 84), 255, dtype=torch.uint8))
    handle.remove()
    assert seen[0].dtype == torch.float32
    assert seen[0].min() == seen[0].max() == 1.0


def test_the_first_layer_sees_zero_to_one():
    """39."""
    check_brightest_input_is_one(QNetwork(4))
    for broken in (DoesNotDivide(4), DividesTwice(4)):
        with pytest.raises(AssertionError):
            check_brightest_input_is_one(broken)


def test_memory_layout_does_not_change_the_values():
    network, states = QNetwork(4), random_states(3)
    with torch.no_grad():
        expected = network(states)
        found = network.to(memory_format=torch.channels_last)(states)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


# ---- the first convolution in blocks -------------------------------------------------------------


def windows(count, shape):
    """States as a memory gives them: four of the five frames of a window, not contiguous."""
    return random_states(count, (5, *shape))[:, 1:]


def convolved(convolve, layer, states):
    """What a first layer gives, and the gradients of its weights."""
    layer.zero_grad()
    found = convolve(layer, states)
    torch.manual_seed(3)
    (found * torch.randn(found.shape)).sum().backward()
    return found.detach(), layer.weight.grad.clone(), layer.bias.grad.clone()


def plainly(layer, states):
    return functional.conv2d(states.float() / 255, layer.weight, layer.bias, layer.stride)


def check_blocks_equal_the_convolution(convolve, layer, states):
    expected, found = (convolved(f, layer, states) for f in (plainly, convolve))
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert (one - other).norm() <= 1e-5 * other.norm()


def with_weight(change):
    """Blocks, computed with weights that are not the layer's."""

    def convolve(layer, states):
        meddled = types.SimpleNamespace(
            weight=change(layer.weight), bias=layer.bias, kernel_size=layer.kernel_size
        )
        return network_module._convolve_blocks(meddled, states)

    return convolve


BROKEN_BLOCKS = {
    "rows and columns exchanged": with_weight(lambda w: w.transpose(2, 3)),
    "pixels of a block in another order": with_weight(
        lambda w: w.unflatten(3, (2, 4)).flip(4).flatten(3)
    ),
    "blocks of a kernel in another order": with_weight(
        lambda w: w.unflatten(2, (2, 4)).flip(2).flatten(2, 3)
    ),
    "not divided by 255": with_weight(lambda w: w * 255),
    "no gradient": with_weight(lambda w: w.detach() + 0 * w),
}


@pytest.fixture
def blocks_in_fp32(monkeypatch):
    """In bf16 the rounding would hide small faults."""
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda device: torch.float32)


@pytest.mark.parametrize("shape", [(84, 84), (105, 80), (36, 36), (39, 44)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_blocks_equal_the_convolution(shape, layout, blocks_in_fp32):
    """Values and gradients; rows that fill no block are left over, as by the convolution."""
    for layer in (nn.Conv2d(4, 32, 8, 4), nn.Conv2d(3, 5, 4, 4), nn.Conv2d(1, 2, 12, 4)):
        layer.to(memory_format=layout)
        states = windows(3, shape)[:, : layer.in_channels]
        assert network_module._splits_into_blocks(layer, states)
        check_blocks_equal_the_convolution(network_module._convolve_blocks, layer, states)


@pytest.mark.parametrize("fault", BROKEN_BLOCKS)
def test_other_blocks_are_found(fault, blocks_in_fp32):
    with pytest.raises(AssertionError):
        check_blocks_equal_the_convolution(
            BROKEN_BLOCKS[fault], nn.Conv2d(4, 8, 8, 4), windows(2, (36, 36))
        )


def test_what_is_not_made_of_blocks_is_convolved_plainly(monkeypatch):
    """Padding, other strides, a width of no whole blocks, rows whose bytes do not lie together."""

    def never(layer, states):
        raise RuntimeError("blocks")

    monkeypatch.setattr(network_module, "_convolve_blocks", never)
    cases = {
        "width": (QNetwork(4, (84, 82)), windows(2, (84, 82))),
        "padding": (QNetwork(4, conv1_padding=1), windows(2, (84, 84))),
        "columns first": (QNetwork(4), windows(2, (84, 84)).transpose(2, 3)),
        "channels last": (QNetwork(4), random_states(2).to(memory_format=torch.channels_last)),
        "fp32": (QNetwork(4), windows(2, (84, 84))),
    }
    for name, (network, states) in cases.items():
        with torch.no_grad():
            expected = by_hand(network, states)
            with torch.autocast("cpu", torch.bfloat16, enabled=name != "fp32"):
                torch.testing.assert_close(network(states).float(), expected, atol=5e-3, rtol=0)
    stride = nn.Conv2d(4, 8, 8, 2)
    assert not network_module._splits_into_blocks(stride, windows(2, (84, 84)))
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(RuntimeError, match="blocks"):
        QNetwork(4)(windows(2, (84, 84)))  # the rule itself: elsewhere there are blocks


# ---- initial weights -----------------------------------------------------------------------------


def layers_of(network):
    return [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def fans(layer):
    kernel = math.prod(layer.weight.shape[2:])
    return layer.weight.shape[1] * kernel, layer.weight.shape[0] * kernel


def check_glorot(network):
    for layer in layers_of(network):
        fan_in, fan_out = fans(layer)
        bound = math.sqrt(6 / (fan_in + fan_out))
        assert layer.weight.abs().max() <= bound
        assert layer.weight.abs().max() > 0.98 * bound  # uniform: it comes near
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert not layer.bias.any()


def check_torch7(network):
    for layer in layers_of(network):
        bound = 1 / math.sqrt(fans(layer)[0])
        assert 0.98 * bound < layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert layer.bias.abs().max() <= bound and layer.bias.any()


def test_glorot_weights_are_uniform_within_their_bound_and_biases_zero():
    check_glorot(QNetwork(4, initialisation="glorot"))
    with pytest.raises(AssertionError):
        check_glorot(QNetwork(4))
    normal = QNetwork(4, initialisation="glorot")
    for layer in layers_of(normal):
        nn.init.xavier_normal_(layer.weight)
    with pytest.raises(AssertionError):
        check_glorot(normal)


def test_pytorchs_weights_are_torch7s():
    """Uniform within one over the root of the fan-in, biases too: Nature's initial weights."""
    check_torch7(QNetwork(4))
    with pytest.raises(AssertionError):
        check_torch7(QNetwork(4, initialisation="glorot"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_states_that_are_no_bytes_are_refused(dtype):
    """They may be scaled already, and dividing in place would change the caller's tensor."""
    states = torch.ones((2, 4, 84, 84)).to(dtype, memory_format=torch.channels_last)
    with pytest.raises(TypeError, match="uint8"):
        QNetwork(4)(states)
    assert bool((states == 1).all())


@pytest.mark.parametrize("wide, crop", [(88, slice(3, 87)), (86, slice(0, 84)), (88, slice(4, 88))])
def test_a_crop_of_wider_frames_gives_what_a_copy_gives(wide, crop):
    """Bug: rows that do not begin at a multiple of four bytes are read as words, and raise."""
    network = QNetwork(4).bfloat16()
    states = random_states(2, (4, 84, wide))[..., crop]
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = network(states), network(states.contiguous())
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=0)
