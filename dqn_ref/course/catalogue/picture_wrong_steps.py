"""Wrong versions of `preprocess` II: order of steps, sizes and filters; what is accepted."""

from __future__ import annotations

import numpy as np

from dqn_ref.course.catalogue.judging import WrongVersion
from dqn_ref.course.catalogue.picture_makes import METHODS
from dqn_ref.course.catalogue.picture_scenes import leaves_open
from dqn_ref.course.catalogue.picture_wrong_frames import GREYS, MAXIMA, always, exchanged
from dqn_ref.frames import luminance, max_over_frames, mean_of_colours, preprocess, resize


def _in_steps(steps):
    """A version that is written out: `steps` makes the picture of frames, size and settings."""

    @leaves_open("errors", "stride")
    def wrong(
        previous, current, height=84, width=84, method="area", max_over="luminance",
        grey="luminance",
    ):  # fmt: skip
        return steps(previous, current, (height, width), method, max_over, grey)

    return wrong


def _exact(rgb: np.ndarray) -> np.ndarray:
    return rgb @ np.array([0.299, 0.587, 0.114])


def _grey(rgb: np.ndarray, grey: str) -> np.ndarray:
    return mean_of_colours(rgb) if grey == "mean" else luminance(rgb)


def _small_first(previous, current, size, method, max_over, grey):
    """Resizing comes first in every case."""
    if max_over == "none":
        return _grey(resize(current, *size, method), grey)
    previous, current = resize(previous, *size, method), resize(current, *size, method)
    if max_over == "rgb":
        return _grey(max_over_frames(previous, current), grey)
    return max_over_frames(_grey(previous, grey), _grey(current, grey))


def _small_before_maximum(previous, current, size, method, max_over, grey):
    """Resizing comes before the maximum of greys; the rest is right."""
    if max_over == "luminance" and grey != "luminance_last":
        small = [resize(_grey(rgb, grey), *size, method) for rgb in (previous, current)]
        return max_over_frames(*small)
    return preprocess(previous, current, *size, method, max_over, grey)


def _wrapping_mean(previous, current, size, method, max_over, grey):
    if grey != "mean":
        return preprocess(previous, current, *size, method, max_over, grey)

    def mean(rgb):
        return (rgb[..., 0] + rgb[..., 1] + rgb[..., 2]) // np.uint8(3)

    if max_over == "none":
        return resize(mean(current), *size, method)
    if max_over == "rgb":
        return resize(mean(max_over_frames(previous, current)), *size, method)
    return resize(max_over_frames(mean(previous), mean(current)), *size, method)


def _default_method(when_last: bool):
    """The method is not handed on in one of the two places where something is resized."""

    def steps(previous, current, size, method, max_over, grey):
        method = "area" if (grey == "luminance_last") == when_last else method
        return preprocess(previous, current, *size, method, max_over, grey)

    return steps


def _late_maximum_of_colours(previous, current, size, method, max_over, grey):
    """Under "rgb" and "luminance_last", both frames are resized before the maximum."""
    if (max_over, grey) != ("rgb", "luminance_last"):
        return preprocess(previous, current, *size, method, max_over, grey)
    small = (resize(rgb, *size, method) for rgb in (previous, current))
    return luminance(max_over_frames(*small))


def _grey_by(make_grey, which: str):
    """`which` grey made in another way; `make_grey` takes a colour picture."""

    def steps(previous, current, size, method, max_over, grey):
        if grey.split("_")[0] != which:
            return preprocess(previous, current, *size, method, max_over, grey)
        last = grey == "luminance_last"

        def seen(rgb):
            return make_grey(resize(rgb, *size, method) if last else rgb).astype(np.uint8)

        if max_over == "luminance":
            picture = max_over_frames(seen(previous), seen(current))
        else:
            both = max_over_frames(previous, current) if max_over == "rgb" else current
            picture = seen(both)
        return picture if last else resize(picture, *size, method)

    return steps


def _swapped_sizes(back):
    """Made at (width, height), then brought to (height, width) by force."""

    def steps(previous, current, size, method, *settings):
        method = "nearest" if method == "stride" else method  # no stride makes it
        return back(preprocess(previous, current, *size[::-1], method, *settings), size)

    return steps


def _cut_out(previous, current, size, method, max_over, grey):
    picture = preprocess(previous, current, *current.shape[:2], "area", max_over, grey)
    return picture[: size[0], : size[1]].copy()


def _without_score(first: int):
    """160 rows from row `first` on."""

    def steps(previous, current, size, method, *settings):
        frames = (frame[first : first + 160] for frame in (previous, current))
        method = "nearest" if method == "stride" else method  # no stride makes it of so few rows
        return preprocess(*frames, *size, method, *settings)

    return steps


wrong_sizes = (
    WrongVersion(
        "maximum after resizing",
        _in_steps(_small_before_maximum),
        "Your frame takes the maximum of small pictures. Resizing has mixed neighbours by then: a "
        "ball that moved comes out dimmer than in the maximum of the full screens.",
        1,
    ),
    WrongVersion(
        "resizes first",
        _in_steps(_small_first),
        "Your frame is resized before anything else, as if `grey` were always "
        '"luminance_last": the maximum then sees pictures whose neighbours are mixed already.',
        1,
    ),
    WrongVersion(
        "mean of a sum that wraps round",
        _in_steps(_wrapping_mean),
        'Your "mean" is a third of a sum in uint8, which begins again at 0 after 255: white comes '
        "out as 84. Sum in wider numbers.",
        3,
    ),
    WrongVersion(
        "mean rounded to the nearest",
        _in_steps(_grey_by(lambda rgb: np.rint(rgb.sum(axis=2) / 3), "mean")),
        'Your "mean" is rounded to the nearest whole number. The table asks for one that is '
        "rounded down, as the old notebook's conversion to bytes did.",
        3,
    ),
    WrongVersion(
        "luminance cut off",
        _in_steps(_grey_by(lambda rgb: np.floor(_exact(rgb)), "luminance")),
        "Your grey is a luminance whose fraction is cut off instead of rounded: half of all "
        "colours come out one level too dark. Take `luminance` of exercise 2.1.",
        1,
    ),
    WrongVersion(
        "luminance rounded up",
        _in_steps(_grey_by(lambda rgb: np.ceil(_exact(rgb)), "luminance")),
        "Your grey is a luminance that rounds every fraction up: half of all colours come out one "
        "level too bright. Take `luminance` of exercise 2.1.",
        1,
    ),
    WrongVersion(
        "method forgotten in the last resize",
        _in_steps(_default_method(when_last=False)),
        'Your frame is resized by area, whatever `method` says, unless `grey` is "luminance_last": '
        "`method` is not handed on to the last `resize`.",
        2,
    ),
    WrongVersion(
        "method forgotten in colour",
        _in_steps(_default_method(when_last=True)),
        'Your frame is resized by area, whatever `method` says, where `grey` is "luminance_last": '
        "`method` is not handed on to the `resize` in colour.",
        2,
    ),
    WrongVersion(
        "maximum of small colours",
        _in_steps(_late_maximum_of_colours),
        'Your frame resizes both frames before the maximum where max_over is "rgb" and `grey` is '
        '"luminance_last". The maximum of the full frames comes first: resizing has mixed '
        "neighbours by then.",
        1,
    ),
    WrongVersion(
        "transposed",
        _in_steps(_swapped_sizes(lambda picture, size: picture.T)),
        "Your frame is made with height and width swapped and then transposed: rows have become "
        "columns, and the ball falls sideways.",
        1,
    ),
    WrongVersion(
        "reshaped",
        _in_steps(_swapped_sizes(lambda picture, size: picture.reshape(size))),
        "Your frame is made with height and width swapped and then reshaped: its rows are broken "
        "in the wrong places.",
        1,
    ),
    WrongVersion(
        "cut out",
        _in_steps(_cut_out),
        "Your frame is the upper left corner of the screen, cut out. The whole screen is wanted, "
        "with fewer pixels: the paddle is not in yours.",
        1,
    ),
    WrongVersion(
        "without the score",
        _in_steps(_without_score(34)),
        "Your frame is made of rows 34 to 193: score and lower border are cut off. Here the whole "
        "screen is resized; cutting is a setting of the environment.",
        1,
    ),
    WrongVersion(
        "without the score, from row 35",
        _in_steps(_without_score(35)),
        "Your frame is made of rows 35 to 194: score and lower border are cut off. Here the whole "
        "screen is resized; cutting is a setting of the environment.",
        1,
    ),
    exchanged(
        "grey and max_over ignored, colours", 2,
        "Your frame looks at neither max_over nor `grey`: it is always the luminance of the "
        "largest colours.",
        max_over=always("rgb", MAXIMA), grey=always("luminance", GREYS),
    ),
    exchanged(
        "grey and max_over ignored, greys", 2,
        "Your frame looks at neither max_over nor `grey`: it is always the maximum of the two "
        "luminances.",
        max_over=always("luminance", MAXIMA), grey=always("luminance", GREYS),
    ),
    exchanged(
        "grey and max_over ignored, current", 2,
        "Your frame looks at neither max_over nor `grey`: it is always the luminance of `current`, "
        "and what is lit in `previous` only is lost.",
        max_over=always("none", MAXIMA), grey=always("luminance", GREYS),
    ),
    exchanged(
        "all settings ignored, current", 2,
        "Your frame looks at none of method, max_over and `grey`: it is always the luminance of "
        "`current`, resized by area.",
        max_over=always("none", MAXIMA), grey=always("luminance", GREYS),
        method=always("area", METHODS),
    ),
    exchanged(
        "all settings ignored, colours", 2,
        "Your frame looks at none of method, max_over and `grey`: it is always the luminance of "
        "the largest colours, resized by area.",
        max_over=always("rgb", MAXIMA), grey=always("luminance", GREYS),
        method=always("area", METHODS),
    ),
    exchanged(
        "all settings ignored, greys", 2,
        "Your frame looks at none of method, max_over and `grey`: it is always the maximum of the "
        "two luminances, resized by area.",
        max_over=always("luminance", MAXIMA), grey=always("luminance", GREYS),
        method=always("area", METHODS),
    ),
    exchanged(
        "always area", 2,
        "Your frame is resized by area, whatever `method` says.",
        method=always("area", METHODS),
    ),
    exchanged(
        "always bilinear", 2,
        "Your frame is resized by OpenCV's bilinear filter, whatever `method` says; cv2.resize "
        "uses it when nothing is said.",
        method=always("bilinear", METHODS),
    ),
    exchanged(
        "always nearest", 2,
        "Your frame takes the nearest pixel, whatever `method` says: a line that is one pixel wide "
        "may fall between those that are kept.",
        method=always("nearest", METHODS),
    ),
)  # fmt: skip


# --- what is not refused --------------------------------------------------------------------------


def _takes_any_name(
    previous, current, height=84, width=84, method="area", max_over="luminance", grey="luminance"
):
    method = method if method in METHODS else "area"
    max_over = max_over if max_over in MAXIMA else "none"
    grey = grey if grey in GREYS else "luminance"
    return preprocess(previous, current, height, width, method, max_over, grey)


def _takes_two_shapes(previous, current, *settings, **names):
    if previous.shape != current.shape:
        previous = np.broadcast_to(previous[:1], current.shape)
    return preprocess(previous, current, *settings, **names)


wrong_refusals = (
    WrongVersion(
        "unknown names accepted",
        _takes_any_name,
        "Your pictures are right, and an unknown name is not refused: a slip of the pen in a "
        "recipe would train for days on frames that nobody chose.",
        4,
    ),
    WrongVersion(
        "frames of two shapes accepted",
        _takes_two_shapes,
        "Your pictures are right, and frames of different shapes are not refused.",
        4,
    ),
)
