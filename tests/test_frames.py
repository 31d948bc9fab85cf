"""Frames: preprocessing and stacks. Numbers are those of the list of known pitfalls.

Each assertion is a function of its subject; the same function must reject a broken subject.
"""

import itertools

import cv2
import numpy as np
import pytest
import torch
from ale_py.vector_env import AtariVectorEnv
from PIL import Image

from dqn_ref.environments import AleLanes
from dqn_ref.frames import (
    RESIZE_METHODS,
    FrameStack,
    before_start,
    luminance,
    mask_stacks,
    max_over_frames,
    preprocess,
    resize,
)
from dqn_ref.recipes import get_recipe

FILTERS = sorted(set(RESIZE_METHODS) - {"stride"})  # those that make any size of any other


def random_picture(seed: int, shape=(210, 160, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)


# --- luminance ----------------------------------------------------------------------------------


def assert_luminance(subject):
    picture = random_picture(0)
    formula = picture.astype(np.float64) @ [0.299, 0.587, 0.114]
    gray = subject(picture)
    assert gray.dtype == np.uint8
    assert gray.shape == (210, 160)
    assert np.abs(gray - formula).max() <= 1.0
    # Rounded, not cut off: a cut loses half a grey level on average.
    assert abs((gray - formula).mean()) < 0.05
    for colour, level in (((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)):
        pure = np.full((5, 5, 3), colour, dtype=np.uint8)
        assert np.all(subject(pure) == level)


def test_04_luminance_has_the_weights_of_the_formula():
    """Pitfall 4: red and blue swapped, a plain mean or a truncation look just as grey."""
    assert_luminance(luminance)


@pytest.mark.parametrize(
    "broken",
    [
        lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_BGR2GRAY),
        lambda rgb: rgb.mean(axis=2).astype(np.uint8),
        lambda rgb: (rgb @ np.array([0.299, 0.587, 0.114])).astype(np.uint8),
        lambda rgb: rgb[:, :, 1],
        lambda rgb: (rgb @ np.array([0.299, 0.587, 0.114])) / 255,
    ],
    ids=["bgr", "mean", "cut off", "green", "float 0 to 1"],
)
def test_04_luminance_rejects(broken):
    with pytest.raises(AssertionError):
        assert_luminance(broken)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((210, 160), np.uint8),
        np.zeros((210, 160, 4), np.uint8),
        np.zeros((210, 160, 3), np.float32),
    ],
    ids=["grey", "four channels", "float"],
)
def test_luminance_refuses_what_is_no_colour_picture(picture):
    with pytest.raises(ValueError, match="uint8 picture"):
        luminance(picture)


# --- the maximum over two frames ----------------------------------------------------------------


def assert_flicker_is_visible(subject):
    """A sprite drawn on every other frame only must be seen at every decision."""
    without = np.zeros((210, 160, 3), dtype=np.uint8)
    with_sprite = without.copy()
    with_sprite[100:120, 60:80] = 200
    shown = [subject(without, with_sprite), subject(with_sprite, without)]
    for frame in shown:
        assert frame.max() == 200, "the sprite is dimmed or gone"
    assert np.array_equal(*shown)


@pytest.mark.parametrize("order", ["rgb", "luminance"])
def test_03_a_flickering_sprite_is_seen_at_every_decision(order):
    """Pitfall 3: skipping four frames without a maximum hides what flickers."""
    assert_flicker_is_visible(lambda a, b: preprocess(a, b, max_over=order))


@pytest.mark.parametrize(
    "broken",
    [
        lambda a, b: preprocess(a, b, max_over="none"),
        lambda a, b: preprocess(b, a, max_over="none"),
        lambda a, b: preprocess(a // 2 + b // 2, a // 2 + b // 2),
    ],
    ids=["last frame", "frame before", "mean"],
)
def test_03_flicker_rejects(broken):
    with pytest.raises(AssertionError):
        assert_flicker_is_visible(broken)


def test_max_over_frames_is_pixelwise_and_leaves_its_arguments_alone():
    one, two = random_picture(1), random_picture(2)
    before = one.copy(), two.copy()
    result = max_over_frames(one, two)
    assert np.array_equal(result, np.where(one > two, one, two))
    assert result.dtype == np.uint8
    assert np.array_equal(one, before[0]) and np.array_equal(two, before[1])
    assert not np.shares_memory(result, one) and not np.shares_memory(result, two)


def test_max_over_frames_refuses_two_shapes():
    with pytest.raises(ValueError, match="differ in shape"):
        max_over_frames(np.zeros((210, 160, 3), np.uint8), np.zeros((160, 3), np.uint8))


def test_the_order_of_maximum_and_luminance_is_a_setting():
    """A red frame then a green one: Nature sees yellow, ALE sees the brighter of the two."""
    red, green = np.zeros((2, 210, 160, 3), dtype=np.uint8)
    red[..., 0], green[..., 1] = 255, 255
    assert np.all(preprocess(red, green, max_over="rgb") == 226)
    assert np.all(preprocess(red, green, max_over="luminance") == 150)
    assert np.all(preprocess(red, green, max_over="none") == 150)
    assert np.all(preprocess(green, red, max_over="none") == 76)


# --- shape and resize ---------------------------------------------------------------------------


def assert_not_transposed(subject):
    """A mark in the top right corner stays there, whatever the size."""
    picture = np.zeros((210, 160, 3), dtype=np.uint8)
    picture[:30, -40:] = 255
    for height, width in ((84, 84), (105, 80), (80, 105)):
        frame = subject(picture, picture, height, width)
        assert frame.shape == (height, width)
        assert frame.dtype == np.uint8
        assert frame[: height // 8, -width // 5 :].min() == 255
        assert frame[height // 4 :].max() == 0
        assert frame[:, : width // 2].max() == 0


@pytest.mark.parametrize("method", FILTERS)
def test_04_frames_are_not_transposed(method):
    """Pitfall 4: at 84x84 a transposed picture has the right shape and learns badly."""
    assert_not_transposed(lambda a, b, height, width: preprocess(a, b, height, width, method))


@pytest.mark.parametrize(
    "broken",
    [
        lambda a, b, height, width: preprocess(a, b, width, height),
        lambda a, b, height, width: preprocess(a, b, width, height).T,
        lambda a, b, height, width: preprocess(a, b, width, height).reshape(height, width),
        lambda a, b, height, width: preprocess(a, b, height, width)[:, ::-1],
        lambda a, b, height, width: preprocess(a, b, height, width) / np.float32(255),
    ],
    ids=["swapped", "transposed", "reshaped", "mirrored", "float"],
)
def test_04_shape_rejects(broken):
    with pytest.raises(AssertionError):
        assert_not_transposed(broken)


def assert_methods_are_what_they_say(subject):
    picture = random_picture(3, (210, 160))
    blocks = picture.reshape(105, 2, 80, 2).mean(axis=(1, 3))
    assert np.abs(subject(picture, 105, 80, "area") - blocks).max() <= 0.5
    nearest = subject(picture, 70, 40, "nearest")
    assert any(
        np.array_equal(nearest, picture[top::3, left::4]) for top in range(3) for left in range(4)
    ), "nearest does not pick pixels"
    # Interpolation at a third of the size looks at the centre of each block alone.
    bilinear = subject(picture, 70, 160, "bilinear")
    assert np.array_equal(bilinear, picture[1::3])
    results = {method: subject(picture, 84, 84, method) for method in FILTERS}
    for one, two in itertools.combinations(results, 2):
        assert not np.array_equal(results[one], results[two]), f"{one} equals {two}"
    # Only the cubic filter overshoots an edge.
    edge = np.repeat(np.array([[50, 200]], dtype=np.uint8), 80, axis=1).repeat(210, axis=0)
    for method in FILTERS:
        shown = subject(edge, 84, 155, method)
        overshoots = shown.min() < 50 or shown.max() > 200
        assert overshoots == (method in ("bicubic", "pil_bicubic")), method
    for name in ("nearest", "bilinear", "bicubic"):  # Pillow's own answer, asked for directly
        theirs = Image.fromarray(picture).resize((84, 84), getattr(Image.Resampling, name.upper()))
        assert np.array_equal(results[f"pil_{name}"], np.array(theirs)), name
    assert np.array_equal(subject(picture, 105, 80, "stride"), picture[::2, ::2])
    assert np.array_equal(subject(picture, 70, 40, "stride"), picture[::3, ::4])
    # 100 / 7 is nearer to 14, which leaves eight rows; 15 leaves seven.
    assert np.array_equal(subject(picture[:100], 7, 160, "stride"), picture[:100:15])


def test_resize_methods_differ():
    """A method that is ignored, or maps to another filter, changes what the network sees."""
    assert_methods_are_what_they_say(resize)


@pytest.mark.parametrize("method", FILTERS)
def test_resize_methods_rejects_one_filter_for_all(method):
    with pytest.raises(AssertionError):
        assert_methods_are_what_they_say(lambda image, h, w, _: resize(image, h, w, method))


def test_preprocess_uses_the_method_it_is_given():
    one, two = random_picture(4), random_picture(5)
    gray = np.maximum(luminance(one), luminance(two))
    for method in FILTERS:
        assert np.array_equal(preprocess(one, two, 60, 50, method), resize(gray, 60, 50, method))


def test_every_second_pixel_is_the_first_of_its_pair():
    """The first old notebook's frame: `frame[::2, ::2]`, 105x80, of the mean rounded down."""
    one, two = random_picture(8), random_picture(9)
    expected = two.astype(float).mean(axis=2).astype(np.uint8)[::2, ::2]
    assert np.array_equal(preprocess(one, two, 105, 80, "stride", "none", "mean"), expected)
    with pytest.raises(ValueError, match="no stride makes 84x84 pixels of 210x160.*105x80"):
        preprocess(one, two, 84, 84, "stride")


def test_the_second_old_notebooks_frame_is_pillows_but_for_rounding():
    """Bug: resized after the luminance, another filter, or red and blue exchanged."""
    for picture in (random_picture(10), random_picture(11)):
        small = Image.fromarray(picture).resize((84, 84), Image.Resampling.NEAREST)
        theirs = np.array(small.convert("L")).astype(int)
        ours = preprocess(picture, picture, 84, 84, "pil_nearest", "none", "luminance_last")
        assert np.abs(ours - theirs).max() <= 1
        for broken in ("pil_bicubic", "nearest"):
            seen = preprocess(picture, picture, 84, 84, broken, "none", "luminance_last")
            assert np.abs(seen.astype(int) - theirs).max() > 50
        swapped = preprocess(
            picture[..., ::-1].copy(), picture[..., ::-1].copy(), 84, 84, "pil_nearest", "none"
        )
        assert np.abs(swapped.astype(int) - theirs).max() > 10


def test_colours_resized_first_differ_from_greys_resized():
    picture = random_picture(12)
    last = preprocess(picture, picture, 84, 84, "area", "none", "luminance_last")
    first = preprocess(picture, picture, 84, 84, "area", "none", "luminance")
    assert last.shape == first.shape == (84, 84) and last.dtype == np.uint8
    assert 0 < np.abs(last.astype(int) - first).max() <= 2  # rounded at another place
    assert np.abs(last.astype(int) - preprocess(picture, picture, grey="mean")).max() > 2


def test_resize_to_the_same_size_copies():
    """Pitfall 27: a frame of the emulator's own buffer would change later."""
    picture = random_picture(6, (84, 84))
    same = resize(picture, 84, 84)
    assert np.array_equal(same, picture)
    assert not np.shares_memory(same, picture)


def test_errors_name_the_choices():
    picture = random_picture(7)
    with pytest.raises(ValueError, match="unknown resize method 'lanczos'.*area.*nearest"):
        preprocess(picture, picture, method="lanczos")
    with pytest.raises(ValueError, match="unknown grey 'blue'.*luminance.*mean"):
        preprocess(picture, picture, grey="blue")
    with pytest.raises(ValueError, match="unknown max_over 'gray'.*rgb.*luminance.*none"):
        preprocess(picture, picture, max_over="gray")
    with pytest.raises(ValueError, match="differ in shape"):
        preprocess(picture, picture[:100])


# --- stacks -------------------------------------------------------------------------------------


def stream(*stacks: torch.Tensor) -> str:
    """Stacks of one-pixel frames in the notation of the docstrings: `~~~1 ~~12`."""
    return " ".join("".join(chr(v) if v else "~" for v in s.flatten().tolist()) for s in stacks)


def pixels(letters: str) -> torch.Tensor:
    """One frame of one pixel per letter, `(len, 1, 1)`."""
    return torch.tensor([ord(c) for c in letters], dtype=torch.uint8)[:, None, None]


def assert_masks_by_age(subject):
    ages = torch.tensor([0, 1, 2, 3, 4, 200], dtype=torch.uint8)
    four = torch.stack([pixels("abcd")] * 6)
    expected = "~~~d ~~cd ~bcd abcd abcd abcd"
    assert stream(*subject(four, ages, 4)) == expected
    # The window of a transition: the fifth frame is the next state's and is always kept.
    five = torch.stack([pixels("abcde")] * 6)
    expected = "~~~de ~~cde ~bcde abcde abcde abcde"
    assert stream(*subject(five, ages, 4)) == expected
    one = torch.stack([pixels("de")] * 6)
    assert stream(*subject(one, ages, 1)) == "de de de de de de"


def test_18_mask_stacks_for_a_state_and_for_a_transition():
    """Pitfall 18: one frame too many or too few of the game before."""
    assert_masks_by_age(mask_stacks)


def masks_with(before_start):
    def subject(frames, ages, stack_frames):
        j = torch.arange(frames.shape[1])[None, :]
        hidden = before_start(j, ages.long()[:, None], stack_frames, frames.shape[1])
        return frames.masked_fill(hidden[:, :, None, None], 0)

    return subject


@pytest.mark.parametrize(
    "broken",
    [
        masks_with(lambda j, age, k, m: k - 1 - j >= age),
        masks_with(lambda j, age, k, m: k - 2 - j > age),
        masks_with(lambda j, age, k, m: m - 1 - j > age),
        masks_with(lambda j, age, k, m: j > age),
        masks_with(lambda j, age, k, m: (j < 0) & (age < 0)),
        # The difference of unsigned numbers wraps round.
        masks_with(lambda j, age, k, m: (age.to(torch.uint8) - (k - 1 - j).to(torch.uint8)) > 99),
    ],
    ids=["one too many", "one too few", "window's length", "newest first", "nothing", "wraps"],
)
def test_18_mask_stacks_rejects(broken):
    with pytest.raises(AssertionError):
        assert_masks_by_age(broken)


def test_18_the_memory_and_the_stack_share_one_rule():
    """What the memory reads as zeros is what `mask_stacks` makes zeros."""
    ages = torch.arange(7)
    for stack_frames in (1, 2, 4):
        for count in (stack_frames, stack_frames + 1):
            ones = torch.ones(7, count, 1, 1, dtype=torch.uint8)
            hidden = before_start(ages, count, stack_frames)
            assert hidden.dtype == torch.bool
            masked = mask_stacks(ones, ages, stack_frames)[:, :, 0, 0] == 0
            assert torch.equal(masked, hidden)


def test_mask_stacks_works_in_place():
    """The memory masks a large batch: a copy would double what a draw costs."""
    frames = torch.stack([pixels("abcd")])
    assert mask_stacks(frames, torch.tensor([1]), 4) is frames
    assert stream(*frames) == "~~cd"


def assert_stacks_of_two_lanes(make_stack):
    stack = make_stack(2, 4, (1, 1))
    seen = []
    starts = [(1, 1), (0, 0), (0, 1), (0, 0), (1, 0), (0, 0), (0, 0), (0, 0), (0, 0), (1, 1)]
    for letters, start in zip("aA bB cC dD eE fF gG hH iI jJ".split(), starts, strict=True):
        current = stack.push(pixels(letters), np.array(start, dtype=bool))
        assert current is stack.current or torch.equal(current, stack.current)
        assert current.shape == (2, 4, 1, 1) and current.dtype == torch.uint8
        seen.append(current.clone())
    first, second = zip(*seen, strict=True)
    assert stream(*first) == "~~~a ~~ab ~abc abcd ~~~e ~~ef ~efg efgh fghi ~~~j"
    assert stream(*second) == "~~~A ~~AB ~~~C ~~CD ~CDE CDEF DEFG EFGH FGHI ~~~J"


def test_18_22_frame_stack_breaks_each_lane_alone_and_keeps_the_newest_last():
    """Pitfalls 18, 20, 22, 23: old frames after a start, mixed lanes, newest frame first."""
    assert_stacks_of_two_lanes(FrameStack)


class NewestFirst(FrameStack):
    def push(self, frames, starts):
        return super().push(frames, starts).flip(1)


class NeverBreaks(FrameStack):
    def push(self, frames, starts):
        return super().push(frames, np.zeros_like(starts))


class BreaksEveryLane(FrameStack):
    def push(self, frames, starts):
        return super().push(frames, np.full_like(starts, starts.any()))


class RepeatsTheFirstFrame(FrameStack):
    def push(self, frames, starts):
        super().push(frames, starts)
        for lane in np.flatnonzero(starts):
            self.current[lane] = frames[lane]
        return self.current


class BreaksOnePushLate(FrameStack):
    def push(self, frames, starts):
        late = getattr(self, "late", np.zeros_like(starts))
        self.late = starts
        return super().push(frames, late)


@pytest.mark.parametrize(
    "broken", [NewestFirst, NeverBreaks, BreaksEveryLane, RepeatsTheFirstFrame, BreaksOnePushLate]
)
def test_18_22_frame_stack_rejects(broken):
    with pytest.raises(AssertionError):
        assert_stacks_of_two_lanes(broken)


def assert_earlier_stacks_stay(make_stack):
    stack = make_stack(1, 4, (1, 1))
    kept = [stack.push(pixels(c), np.array([c in "ad"])) for c in "abcdef"]
    assert stream(*kept) == "~~~a ~~ab ~abc ~~~d ~~de ~def"


def test_27_frame_stack_never_rewrites_what_it_gave():
    """Pitfall 27: states kept for later (a learner's list, a film) must not change."""
    assert_earlier_stacks_stay(FrameStack)


class OneBuffer(FrameStack):
    def push(self, frames, starts):
        before = self.current
        self.current = before.copy_(super().push(frames, starts))
        return before


def test_27_frame_stack_rejects_one_buffer():
    with pytest.raises(AssertionError):
        assert_earlier_stacks_stay(OneBuffer)


def test_an_untouched_frame_stack_is_empty_even_without_a_start():
    stack = FrameStack(1, 4, (1, 1))
    assert stream(*stack.push(pixels("a"), np.array([False]))) == "~~~a"


def assert_pads_as_ale_does(make_stack):
    recipe = get_recipe("laptop", fire_at_start=False, fire_after_life=False)
    lanes = AleLanes(recipe, 2)
    # ALE stacks its own frames: zeros before a game starts, and across lives it does not break.
    ale = AtariVectorEnv("breakout", 2, noop_max=31, use_fire_reset=False, reward_clipping=False)
    stack = make_stack(2)
    rows = lanes.reset(3)
    stacked, _ = ale.reset(seed=3)
    rng, games = np.random.default_rng(1), 0
    try:
        for _ in range(250):
            state = stack.push(torch.from_numpy(rows.frames), rows.reset_row)
            assert np.array_equal(state.numpy(), stacked)
            actions = rng.integers(4, size=2)
            lanes.send(actions)
            ale.send(actions)
            rows, (stacked, *_) = lanes.recv(), ale.recv()
            games += int(rows.game_over.sum())
    finally:
        lanes.close()
        ale.close()
    assert games >= 1


def test_23_zero_frames_at_a_start_match_ales_own_padding():
    """Pitfall 23: the frames before a start are zeros, not copies of the first frame."""
    assert_pads_as_ale_does(FrameStack)


@pytest.mark.parametrize("broken", [RepeatsTheFirstFrame, NeverBreaks])
def test_23_padding_rejects(broken):
    with pytest.raises(AssertionError):
        assert_pads_as_ale_does(broken)
