"""The checks of chapter 02: luminance, the maximum over two frames, resizing, preprocessing.

`test_catalogue.py` runs over their wrong and right versions. Here: pieces outside the catalogue,
what the contracts leave open, and the pictures beside a verdict.
"""

from __future__ import annotations

import base64
import io
import itertools

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from dqn_ref.course.catalogue import entry, judge, picture_makes
from dqn_ref.course.catalogue.judging import Trace, observe, wrong_version
from dqn_ref.course.catalogue.picture_drawing import panels
from dqn_ref.course.catalogue.picture_scenes import breakout_screen, colour_blocks, noise
from dqn_ref.frames import luminance, max_over_frames, preprocess, resize

WEIGHTS = np.array([0.299, 0.587, 0.114])
ORDERS = list(itertools.permutations(range(3)))


def named(name: str, piece):
    """The wrong version whose name a piece gets, or None."""
    known = entry(name)
    traces = [Trace(tuple(observe(probe, piece, None))) for probe in known.probes]
    return wrong_version(known, traces)


def alike(one, other, calls, within: int) -> bool:
    """Whether two pieces answer alike in calls that the check does not make."""
    return all(np.abs(answer(one, c) - answer(other, c)).max() <= within for c in calls)


def answer(piece, call) -> np.ndarray:
    """The picture, or one number that is no grey level where the call is refused."""
    try:
        return piece(*call).astype(int)
    except ValueError:
        return np.array(-1000)


# --- no untrue name -------------------------------------------------------------------------------


def test_two_mistakes_in_the_luminance_get_no_untrue_name():
    """A tolerance that is too wide would take one pair of mistakes for another single one."""
    calls = [(noise(seed, 40, 30, 3),) for seed in (200, 201)]
    count = 0
    for version in entry("luminance").wrong:
        for order in ORDERS:
            for after in (lambda grey: grey, lambda grey: 255 - grey, lambda grey: grey // 2):

                def piece(rgb, first=version.piece, order=order, after=after):
                    return after(first(rgb[..., list(order)].copy()))

                name = named("luminance", piece)
                assert name is None or alike(piece, name.piece, calls, 1), (version.slug, name.slug)
                count += name is None
    assert count > 10


def test_two_mistakes_in_the_maximum_get_no_untrue_name():
    """Frames in which little overlaps would not tell the sum from the maximum of sums."""
    calls = [(noise(seed, 40, 30, 3), noise(seed + 1, 40, 30, 3)) for seed in (210, 220)]
    versions = [v for v in entry("max_over_frames").wrong if "writes" not in v.slug]
    count = 0
    for one, other in itertools.permutations(versions, 2):

        def piece(previous, current, one=one.piece, other=other.piece):
            return other(one(previous, current), current)

        name = named("max_over_frames", piece)
        assert name is None or alike(piece, name.piece, calls, 0), (one.slug, other.slug, name.slug)
        count += name is None
    assert count > 100


@pytest.mark.parametrize(
    "before, after",
    [
        (lambda a, b: (b, a), lambda picture: picture),
        (lambda a, b: (a[..., ::-1].copy(), b[..., ::-1].copy()), lambda picture: picture),
        (lambda a, b: (a, b), lambda picture: picture // 2),
    ],
    ids=["frames exchanged", "blue first", "half as bright"],
)
def test_two_mistakes_in_preprocess_get_no_untrue_name(before, after):
    """Somebody who mends the mistake that was named would find the picture as wrong as before."""
    frames = (colour_blocks(230, block=11), colour_blocks(231, block=13))
    settings = itertools.product(
        ("area", "bilinear", "nearest"), ("rgb", "luminance", "none"), ("luminance", "mean")
    )
    calls = [(*frames, 63, 71, *setting) for setting in settings]
    calls.append((*frames, 63, 71, "area", "luminance", "luminance_last"))
    count = 0
    for version in entry("preprocess").wrong:
        if version.slug == "frames of two shapes accepted":
            continue

        def piece(previous, current, *sizes, first=version.piece, **names):
            return after(first(*before(previous, current), *sizes, **names))

        name = named("preprocess", piece)
        assert name is None or alike(piece, name.piece, calls, 3), (version.slug, name.slug)
        count += name is None
    assert count > 20


def test_two_mistakes_in_resize_get_no_untrue_name():
    """A filter that is wrong for one method only must not pass for one that is wrong for all."""
    picture = noise(240, 44, 62)
    calls = [(picture, 20, 33, method) for method in picture_makes.METHODS if method != "stride"]
    calls.append((picture, 22, 21, "stride"))
    versions = entry("resize").wrong
    count = 0
    for one, other in itertools.combinations(versions, 2):

        def piece(image, height, width, method="area", one=one.piece, other=other.piece):
            first = method in ("area", "nearest", "pil_bilinear", "stride")
            return (one if first else other)(image, height, width, method)

        name = named("resize", piece)
        assert name is None or alike(piece, name.piece, calls, 1), (one.slug, other.slug, name.slug)
        count += name is None
    assert count > 100


# --- what beginners write -------------------------------------------------------------------------


def as_float(rgb):
    return rgb @ WEIGHTS


def keeps_an_axis(rgb):
    return luminance(rgb)[..., None]


def three_greys(rgb):
    return np.repeat(luminance(rgb)[..., None], 3, axis=2)


def asserts(rgb):
    assert rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.dtype == np.uint8
    return luminance(rgb)


def returns_nothing(rgb):
    luminance(rgb)


def into_the_picture(rgb):
    rgb[..., 0] = luminance(rgb)
    return rgb[..., 0].copy()


class OneBuffer:
    """All results are the same array, as `out=` with a module's buffer makes them."""

    def __call__(self, rgb):
        grey = luminance(rgb)
        if getattr(self, "buffer", np.empty(0)).shape != grey.shape:
            self.buffer = np.empty_like(grey)
        self.buffer[:] = grey
        return self.buffer


@pytest.mark.parametrize(
    "piece, fact, hint",
    [
        (as_float, "the result is float64 with values 0 to 148.32, expected uint8, 0 to 255", 2),
        (lambda rgb: Image.fromarray(luminance(rgb)), "a result of type PIL.Image, expected a", 2),
        (lambda rgb: torch.tensor(luminance(rgb)), "(.numpy() makes one of it)", 2),
        (keeps_an_axis, "shape (210, 160, 1), expected (210, 160): an axis of length 1 is", 2),
        (three_greys, "expected (210, 160): it still has three colours", 2),
        (returns_nothing, "it returns None (is a `return` missing?), expected an array", 2),
        (asserts, "a grey picture of shape (6, 3) ends in AssertionError, expected a V", 3),
        (into_the_picture, "the piece writes into `picture`: what was handed in is changed", 1),
        (OneBuffer(), "the result of the first call changes with the second one", 2),
        (lambda rgb: luminance(rgb) // 2, "row 5, column 36 is 71, expected 142 (red 142, gr", 1),
        (lambda rgb: luminance(rgb).T, "shape (160, 210), expected (210, 160): height and wi", 2),
    ],
)
def test_wrong_luminances_outside_the_catalogue_get_the_first_fact(piece, fact, hint):
    """What is true and useful can be said of wrong code that nobody has foreseen, too."""
    verdict = judge("luminance", piece)
    assert not verdict.passed and verdict.attempted and verdict.wrong is None
    assert fact in verdict.message and verdict.hint == hint, verdict


def swapped(image, height, width, method="area"):
    return cv2.resize(image, (height, width), interpolation=cv2.INTER_AREA)


def key_error(image, height, width, method="area"):
    return {m: lambda m=m: resize(image, height, width, m) for m in picture_makes.METHODS}[method]()


def one_step_for_both(image, height, width, method="area"):
    if method == "stride":
        step = image.shape[0] // height
        return image[::step, ::step]
    return resize(image, height, width, method)


def turned(previous, current, height=84, width=84, *settings, **names):
    return preprocess(previous, current, width, height, *settings, **names)


def floats(image, height, width, method="area"):
    return resize(image, height, width, method) / 255


@pytest.mark.parametrize(
    "name, piece, fact, hint",
    [
        ("resize", swapped, "row 2, column 18 is 14, expected 0; 701 of 7,056 pixels differ", 2),
        ("resize", key_error, 'method "lanczos" ends in KeyError, expected a ValueError', 4),
        (
            "resize",
            one_step_for_both,
            "shape (37, 26), expected (19, 9): take every 2nd row and every 3rd column",
            3,
        ),
        ("resize", floats, "float64 with values 0 to 0.580392, expected uint8, 0 to 255", 2),
        (
            "preprocess",
            turned,
            "shape (16, 14), expected (14, 16): height and width are swapped",
            2,
        ),
        ("max_over_frames", lambda a, b: np.max([a, b]), "a single number, 243, expected an", 1),
        ("max_over_frames", lambda a, b: (a + b) / 2, "is float64 with values 0 to 127", 1),
        ("max_over_frames", lambda a, b: max(a, b), "The truth value of an array with", None),
        ("preprocess", lambda *a: preprocess(*a)[None], "(1, 84, 84), expected (84, 84)", 2),
        ("preprocess", lambda *a: preprocess(*a[:2]), "has shape (84, 84), expected (14, 16)", 2),
    ],
)
def test_wrong_pieces_outside_the_catalogue_get_the_first_fact(name, piece, fact, hint):
    """The same, of the other three."""
    verdict = judge(name, piece)
    assert not verdict.passed and verdict.attempted and verdict.wrong is None
    assert fact in verdict.message and verdict.hint == hint, verdict


def whatever_the_settings(previous, current, height=84, width=84, method="", max_over="", grey=""):
    frame = luminance(np.maximum(previous, current))
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)


def brighter_or_equal_pixel(previous, current):
    brighter = current.sum(axis=2) >= previous.sum(axis=2)
    return np.where(brighter[..., None], current, previous)


def whatever_the_method(image, height, width, method=""):
    return cv2.resize(image, (width, height))


@pytest.mark.parametrize(
    "name, piece, slug",
    [
        ("luminance", lambda rgb: rgb.mean(axis=-1).astype(np.uint8), "mean"),
        ("luminance", lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_BGR2GRAY), "blue first"),
        ("max_over_frames", lambda previous, current: previous, "previous only"),
        ("resize", whatever_the_method, "always bilinear"),
        ("preprocess", whatever_the_settings, "all settings ignored, colours"),
        ("luminance", lambda rgb: (rgb @ WEIGHTS).astype(np.uint8), "fraction cut off"),
        ("max_over_frames", brighter_or_equal_pixel, "whole pixel that has the larger sum"),
    ],
)
def test_a_forgotten_refusal_does_not_hide_the_name(name, piece, slug):
    """One line without a `raise` is what beginners write first; the picture is what is wrong."""
    verdict = judge(name, piece)
    assert not verdict.passed and verdict.wrong == slug, verdict.message


# --- what may vary, and no more -------------------------------------------------------------------


def shifted(levels: int, share: float):
    """The reference's result, so many levels higher in a part of its pixels."""

    def piece(*arguments, **names):
        picture = preprocess(*arguments, **names)
        chosen = np.random.default_rng(0).random(picture.shape) < share
        return np.where(chosen & (picture < 250), picture + levels, picture).astype(np.uint8)

    return piece


def test_a_filter_may_round_otherwise_and_no_more():
    """Two right libraries differ by one level where a filter makes new values."""
    with_filter = ("area", "bilinear", "bicubic", "pil_bilinear", "pil_bicubic")

    def piece(*arguments, **names):
        method = names.get("method", arguments[4] if len(arguments) > 4 else "area")
        flat = arguments[2:4] == (14, 16)  # there a filter has nothing to mix
        shift = shifted(1, 0.3) if method in with_filter and not flat else preprocess
        return shift(*arguments, **names)

    assert judge("preprocess", piece).passed
    verdict = judge("preprocess", shifted(4, 0.01))
    assert not verdict.passed and verdict.wrong is None, "a few wrong pixels are wrong"
    assert not judge("max_over_frames", lambda a, b: max_over_frames(a, b) | 1).passed


@pytest.mark.parametrize(
    "sums",
    [
        lambda rgb: rgb @ WEIGHTS,
        lambda rgb: rgb.astype(np.float32) @ WEIGHTS.astype(np.float32),
        lambda rgb: rgb[..., 0] * 0.299 + rgb[..., 1] * 0.587 + rgb[..., 2] * 0.114,
    ],
    ids=["product", "float32", "three products"],
)
@pytest.mark.parametrize(
    "how, slug",
    [
        (np.trunc, "fraction cut off"),
        (np.ceil, "rounded up"),
        (lambda grey: np.floor(grey + 0.5), None),
        (lambda grey: np.ceil(grey - 0.5), None),
    ],
    ids=["cut off", "up", "half up", "half down"],
)
def test_only_a_half_may_be_rounded_either_way(sums, how, slug):
    """A fraction that is cut off passed, and the chapter's last pictures were not ALE's."""

    def piece(rgb):
        luminance(rgb)  # refuses what is no picture
        return how(sums(rgb)).astype(np.uint8)

    verdict = judge("luminance", piece)
    assert (verdict.passed, verdict.wrong) == (slug is None, slug), verdict.message


def test_each_weighed_colour_rounded_for_itself_is_refused():
    """Three roundings are within a level and a half of the right one."""
    verdict = judge("luminance", lambda rgb: np.rint(rgb * WEIGHTS).sum(axis=2).astype(np.uint8))
    assert verdict.wrong == "each colour rounded"


def strided(step, cut: bool):
    def piece(image, height, width, method="area"):
        if method != "stride":
            return resize(image, height, width, method)
        rows, columns = (
            max(1, step(n, m)) for n, m in zip(image.shape, (height, width), strict=False)
        )
        kept = image[::rows, ::columns].copy()
        if cut:
            return kept[:height, :width].copy()
        if kept.shape[:2] != (height, width):
            raise ValueError("no stride leads there")
        return kept

    return piece


@pytest.mark.parametrize(
    "step, cut, slug, told",
    [
        (lambda n, m: n // m, False, "steps rounded down", "19 × 9 can be had: take every 2nd row"),
        (lambda n, m: round(n / m), False, "steps rounded to the nearest", "5 × 3 can be had"),
        (lambda n, m: n // m, True, "steps rounded down, then cut to size", "row 0, column 1"),
        (lambda n, m: round(n / m), True, "steps rounded to the nearest, then cut to size", "5, 3"),
        (lambda n, m: -(-n // m), True, "any size by stride", "84 × 84 is accepted"),
        (lambda n, m: -(-n // m), False, None, ""),
    ],
)
def test_strides_that_refuse_too_much_or_cut(step, cut, slug, told):
    """A ValueError of the learner's own said nothing of the stride that exists."""
    verdict = judge("resize", strided(step, cut))
    assert (verdict.passed, verdict.wrong) == (slug is None, slug), verdict.message
    assert told in verdict.message and verdict.hint == (slug and 3)


def test_other_layouts_are_accepted():
    """A transposed or strided array holds the same picture; nobody asked for its layout."""
    for name, reference in (
        ("luminance", luminance),
        ("max_over_frames", max_over_frames),
        ("resize", resize),
        ("preprocess", preprocess),
    ):
        verdict = judge(name, lambda *a, f=reference, **names: np.asfortranarray(f(*a, **names)))
        assert verdict.passed, verdict.message


def test_what_the_docstring_leaves_open_is_not_asked():
    """The shape of a frame that is not used may be refused, or not."""

    def piece(previous, current, height=84, width=84, method="area", max_over="luminance",
              grey="luminance"):  # fmt: skip
        max_over_frames(previous, current)
        return preprocess(previous, current, height, width, method, max_over, grey)

    assert judge("preprocess", piece).passed


def test_an_array_of_its_own_is_asked_of_resize():
    """The stub promises one. A name for another mistake must not hang on it."""
    views = {v.slug: v.piece for v in entry("resize").wrong}["a view of the picture"]
    verdict = judge("resize", views)
    assert verdict.message.startswith(
        'in what `resize` returns, with "stride" it is a view of the picture handed in'
    )

    def bilinear_and_views(image, height, width, method="area"):
        return views(image, height, width, "bilinear" if method == "area" else method)

    assert judge("resize", bilinear_and_views).wrong == "area is bilinear"


# --- pictures beside a verdict --------------------------------------------------------------------


def opened(picture: str) -> np.ndarray:
    kind, data = picture.split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_the_picture_shows_both_frames_yours_and_the_expected_one():
    """A frame around the wrong place, or around no place, would send the learner astray."""
    dice = {v.slug: v.piece for v in entry("resize").wrong}["stride is nearest"]
    assert (opened(judge("resize", dice).picture) == (0xD5, 0x5E, 0x00)).all(axis=2).any()
    verdict = judge("preprocess", lambda *a, **names: 255 - preprocess(*a, **names))
    assert verdict.picture_alt == (
        "Previous, current, yours, expected, side by side; an orange frame marks row 0, column 0 "
        "in the last two."
    )
    picture = opened(verdict.picture)
    assert tuple(picture[0, 0]) == (255, 255, 255), "the ground must be white on dark pages, too"
    orange = np.flatnonzero((picture == (0xD5, 0x5E, 0x00)).all(axis=2).any(axis=0))
    assert orange[0] > 320 and (np.diff(orange) > 1).sum() == 1, "two frames, in the last two"


def test_panels_enlarge_whole_pixels_and_mark_the_right_one():
    """A blended enlargement would show greys that are in neither picture."""
    small = np.array([[0, 255], [255, 0]], np.uint8)
    picture = opened(panels({"yours": small, "expected": small}, {"yours": (0, 1)}))
    greys = {tuple(value) for value in picture[45:200, 20:210].reshape(-1, 3)}
    assert {(0, 0, 0), (255, 255, 255)} <= greys
    orange = np.argwhere((picture == (0xD5, 0x5E, 0x00)).all(axis=2))
    rows, columns = orange.min(axis=0), orange.max(axis=0)
    assert rows[0] < 45 < 130 < columns[0] < 160 and 100 < rows[1] < 130 < 210 < columns[1] < 230


@pytest.mark.parametrize("name", ["luminance", "max_over_frames", "resize", "preprocess"])
def test_pictures_are_small(name):
    """A chapter's outputs have a budget of a megabyte; a PNG of noise would eat it up."""
    drawn = [judge(name, version.piece).picture for version in entry(name).wrong]
    sizes = [len(picture) for picture in drawn if picture]
    assert len(sizes) > 10 and max(sizes) < 40_000


def test_the_screen_looks_like_breakouts():
    """The learner should see at a glance what it is: walls, six rows of bricks, ball, paddle."""
    screen = breakout_screen()
    assert screen.shape == (210, 160, 3) and screen.dtype == np.uint8
    assert len(np.unique(screen.reshape(-1, 3), axis=0)) == 8  # black, wall, six rows of bricks
    sprites = (screen == (200, 72, 72)).all(axis=2)
    assert sprites[120:124, 60:62].all() and sprites[189:193, 99:115].all()
    assert sprites[93:].sum() == 4 * 2 + 4 * 16
