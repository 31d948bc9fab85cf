"""Frames: from the emulator's colour picture to the stack the network sees.

The stages of one decision, with the literal stream (one letter per emulator frame,
four frames per decision, `|` marks a decision)::

    emulator (210, 160, 3)   A B C D | E F G H | I J K L
    max of the last two           CD |      GH |      KL
    luminance, resize (84,84)      1 |       2 |       3
    stack of four, oldest first ~~~1 |    ~~12 |    ~123      (~ is a zero frame)

A stack breaks where a game starts, and where the loss of a life counts as the end of an
episode: everything before the break reads as zeros. `before_start` is the only place that
knows this rule; acting (`FrameStack`) and sampling (`dqn_ref.replay`) both call it.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from PIL import Image

from dqn_ref.hardware import to_device

_OPENCV_FILTERS = {
    "area": cv2.INTER_AREA,
    "bilinear": cv2.INTER_LINEAR,
    "nearest": cv2.INTER_NEAREST,
    "bicubic": cv2.INTER_CUBIC,
}
# Pillow's filters grow with the reduction, OpenCV's (but area) look at the same few pixels always.
_PILLOW_FILTERS = {
    "pil_nearest": Image.Resampling.NEAREST,
    "pil_bilinear": Image.Resampling.BILINEAR,
    "pil_bicubic": Image.Resampling.BICUBIC,
}
RESIZE_METHODS = (*_OPENCV_FILTERS, *_PILLOW_FILTERS, "stride")
GREYS = ("luminance", "mean", "luminance_last")


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Brightness of a colour picture: 0.299 R + 0.587 G + 0.114 B, rounded.

    Args:
        rgb: `(H, W, 3)` uint8.
    Returns:
        `(H, W)` uint8.
    Raises:
        ValueError: if the picture is not `(H, W, 3)` uint8.
    Source: Mnih et al. 2015, Methods, "Preprocessing" (the Y channel); weights of ITU-R BT.601.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"expected an (H, W, 3) uint8 picture, got {rgb.shape} {rgb.dtype}")
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


def max_over_frames(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Pixel-wise maximum of two consecutive frames; brings back sprites that flicker.

    Args:
        previous, current: uint8 arrays of one shape, as the emulator returns them.
    Returns:
        uint8 array of that shape.
    Raises:
        ValueError: if the shapes differ.
    Source: Mnih et al. 2015, Methods, "Preprocessing".
    """
    if previous.shape != current.shape:
        raise ValueError(f"frames differ in shape: {previous.shape} and {current.shape}")
    return np.maximum(previous, current)


def mean_of_colours(rgb: np.ndarray) -> np.ndarray:
    """The plain mean of red, green and blue, rounded down: the first old notebook's grey.

    Args:
        rgb: `(H, W, 3)` uint8.
    Returns:
        `(H, W)` uint8.
    """
    return (rgb.sum(axis=2, dtype=np.uint16) // 3).astype(np.uint8)


def resize(image: np.ndarray, height: int, width: int, method: str = "area") -> np.ndarray:
    """Resize a picture.

    Args:
        image: `(H, W)` or `(H, W, 3)` uint8.
        height, width: of the result, in pixels.
        method: "area" (what ALE's vector environment uses), "bilinear" (Nature's code),
            "nearest" or "bicubic", all OpenCV's; "pil_nearest", "pil_bilinear" or "pil_bicubic",
            Pillow's; "stride" keeps every n-th row and column.
    Returns:
        `(height, width)` or `(height, width, 3)` uint8, an array of its own.
    Raises:
        ValueError: for an unknown method, or sizes that no stride leads to.
    """
    if method not in RESIZE_METHODS:
        raise ValueError(f"unknown resize method {method!r}; choose from {sorted(RESIZE_METHODS)}")
    if image.shape[:2] == (height, width):
        return image.copy()
    if method == "stride":
        return _every_nth(image, height, width)
    if method in _PILLOW_FILTERS:
        picture = Image.fromarray(image).resize((width, height), _PILLOW_FILTERS[method])
        return np.array(picture)
    return cv2.resize(image, (width, height), interpolation=_OPENCV_FILTERS[method])


def _every_nth(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Every n-th row and every m-th column, the first ones among them."""
    by_row, by_column = (
        max(1, -(-size // wanted))  # rounded up: the smallest step that leaves so few
        for size, wanted in zip(image.shape[:2], (height, width), strict=True)
    )
    kept = image[::by_row, ::by_column]
    if kept.shape[:2] != (height, width):
        raise ValueError(
            f"no stride makes {height}x{width} pixels of {image.shape[0]}x{image.shape[1]}; every "
            f"second one gives {-(-image.shape[0] // 2)}x{-(-image.shape[1] // 2)}"
        )
    return kept.copy()


def preprocess(
    previous: np.ndarray,
    current: np.ndarray,
    height: int = 84,
    width: int = 84,
    method: str = "area",
    max_over: str = "luminance",
    grey: str = "luminance",
) -> np.ndarray:
    """Two consecutive colour frames to the one grey frame the network sees.

    Args:
        previous, current: `(210, 160, 3)` uint8, the last two emulator frames of a decision.
        height, width: of the result, in pixels.
        method: resize filter, see `resize`.
        max_over: "rgb" takes the maximum per colour channel and then the luminance (Nature's
            order); "luminance" the other way round (ALE's order: equal on Breakout, up to 16
            grey levels apart on Pong); "none" uses `current` alone.
        grey: "luminance"; "mean" of the three colours; "luminance_last" resizes in colour first.
    Returns:
        `(height, width)` uint8.
    Raises:
        ValueError: for unknown names, or frames of different shapes where both are used.
    Source: Mnih et al. 2015, Methods, "Preprocessing".
    """
    if grey not in GREYS:
        raise ValueError(f"unknown grey {grey!r}; choose from {', '.join(GREYS)}")
    if max_over not in ("rgb", "luminance", "none"):
        raise ValueError(f"unknown max_over {max_over!r}; choose rgb, luminance or none")

    def seen(rgb: np.ndarray) -> np.ndarray:
        if grey == "luminance_last":
            return luminance(resize(rgb, height, width, method))
        return mean_of_colours(rgb) if grey == "mean" else luminance(rgb)

    if max_over == "rgb":
        picture = seen(max_over_frames(previous, current))
    elif max_over == "luminance":
        picture = max_over_frames(seen(previous), seen(current))
    else:
        picture = seen(current)
    return picture if grey == "luminance_last" else resize(picture, height, width, method)


def before_start(ages: torch.Tensor, count: int, stack_frames: int) -> torch.Tensor:
    """Which frames of a window lie before the start of their stack, and so read as zeros.

    Frame `j` lies `stack_frames - 1 - j` rows before the state's newest frame; it belongs to the
    stack if the state is at least that old. A window with one frame more, the next state's
    newest, follows the same rule: that frame is never before the start.

    Args:
        ages: `(N,)` integer, rows since the stack began (0: the state's newest frame began it).
        count: frames in a window, `stack_frames` or more, oldest first.
        stack_frames: frames in a state.
    Returns:
        `(N, count)` bool.
    """
    lags = stack_frames - 1 - torch.arange(count, device=ages.device)
    return lags[None, :] > ages.to(torch.int64)[:, None]


def mask_stacks(frames: torch.Tensor, ages: torch.Tensor, stack_frames: int) -> torch.Tensor:
    """Zero, in place, the frames that lie before the start of their stack.

    Args:
        frames: `(N, M, H, W)` uint8, oldest first; M is `stack_frames` or more.
        ages: `(N,)` integer, see `before_start`.
        stack_frames: frames in a state.
    Returns:
        `frames` itself.
    """
    hidden = before_start(ages, frames.shape[1], stack_frames)
    return frames.masked_fill_(hidden[:, :, None, None], 0)


class FrameStack:
    """The last `stack_frames` frames of each lane: the state the agent acts on.

    `current` is `(lanes, stack_frames, H, W)` uint8, oldest frame first, newest last.
    """

    def __init__(
        self,
        lanes: int,
        stack_frames: int = 4,
        frame_shape: tuple[int, int] = (84, 84),
        device: str | torch.device = "cpu",
    ):
        self.stack_frames = stack_frames
        self.current = torch.zeros(
            (lanes, stack_frames, *frame_shape), dtype=torch.uint8, device=device
        )
        self._ages = np.zeros(lanes, dtype=np.int64)

    def push(self, frames: torch.Tensor, starts: np.ndarray) -> torch.Tensor:
        """Append one frame per lane.

        Args:
            frames: `(lanes, H, W)` uint8.
            starts: `(lanes,)` bool, True where this frame begins a new stack.
        Returns:
            The new `current`, a fresh tensor (earlier ones are never rewritten).
        """
        self._ages = np.where(starts, 0, np.minimum(self._ages + 1, self.stack_frames))
        stacked = torch.cat([self.current[:, 1:], frames[:, None]], dim=1)
        ages = to_device(self._ages, stacked.device)
        self.current = mask_stacks(stacked, ages, self.stack_frames)
        return self.current

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, list]]:
        """What is needed to go on here: named tensors and JSON-able numbers."""
        return {"current": self.current}, {"ages": self._ages.tolist()}

    def set_state(self, tensors: dict[str, torch.Tensor], numbers: dict[str, list]) -> None:
        """Go on where `state` was called, with as many lanes and frames of that size."""
        self.current = tensors["current"].to(self.current.device)
        self._ages = np.array(numbers["ages"], dtype=np.int64)
