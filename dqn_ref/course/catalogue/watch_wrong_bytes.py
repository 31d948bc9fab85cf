"""Film writers that hand the encoder bytes of another size, or the wrong frames of a stream.

The encoder takes bytes as they come, cuts them into pictures of the size that it was opened with,
and drops what does not fill one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from dqn_ref.course.catalogue.watch_films import H264, H264_444, write
from dqn_ref.course.catalogue.watch_wrong_films import Camera, mistake, wrong

__all__ = ["wrong"]


class Misfit(Camera):
    """Opens the encoder with the size of `opened`, whatever the frames have."""

    def opened(self, shape: tuple[int, int], scale: int) -> tuple[int, int]:
        """Rows and columns of the film.

        Args:
            shape: rows and columns of the first frame, as it came.
        """
        return _even(shape, scale)

    def kind_of(self, first, scale):
        self.size = self.opened(first.shape[:2], scale)
        return H264_444 if any(side % 2 for side in self.size) else H264

    def save(self, prepared, path, fps, kind):
        super().save(_cut(prepared, self.size), path, fps, kind)


def _even(shape: tuple[int, int], scale: int) -> tuple[int, int]:
    return tuple(side * scale + side * scale % 2 for side in shape)


def _cut(frames: Iterable[np.ndarray], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Pictures of one size from the bytes of frames of another."""
    length, rest = size[0] * size[1] * 3, b""
    for frame in frames:
        rest += frame.tobytes()
        while len(rest) >= length:
            yield np.frombuffer(rest[:length], np.uint8).reshape(*size, 3)
            rest = rest[length:]


# --- the film has another size than its frames ----------------------------------------------------


@mistake("height and width exchanged", 2,
         "Your writer equals one that exchanges the film's height and width: each row of a picture "
         "ends in the midst of another. The encoder wants the width first, an array has its rows "
         "first.")  # fmt: skip
class Exchanged(Misfit):
    def opened(self, shape, scale):
        return _even(shape, scale)[::-1]


@mistake("the film as large as the first frame", 4,
         "Your writer equals one that opens the film with the size of the first frame as it came. "
         "What is written is larger, by `scale` and by the black that makes it even; the film's "
         "size is that of what `in_size` returns.")  # fmt: skip
class AsItCame(Misfit):
    def opened(self, shape, scale):
        return shape


@mistake("the film's size without black", 4,
         "Your writer equals one that multiplies the size of the first frame by `scale` and opens "
         "the film with it. The frames have a row or a column more, where that is odd; the film's "
         "size is that of what `in_size` returns.")  # fmt: skip
class WithoutBlack(Misfit):
    def opened(self, shape, scale):
        return tuple(side * scale for side in shape)


@mistake("the film's size without scale", 4,
         "Your writer equals one that forgets `scale` where it asks for the size of the film; the "
         "frames that it writes are enlarged.")  # fmt: skip
class SizeWithoutScale(Misfit):
    def opened(self, shape, scale):
        return _even(shape, 1)


@mistake("frames without scale", 4,
         "Your writer equals one that opens the film with the enlarged size and forgets `scale` "
         "where it writes the frames.")  # fmt: skip
class FramesWithoutScale(Misfit):
    def enlarge(self, frame, scale):
        return frame


@mistake("frames as they came", 4,
         "Your writer equals one that asks `in_size` for the size of the film and then writes the "
         "frames as they came. Each of them has to go through `in_size`.")  # fmt: skip
class FramesAsTheyCame(Misfit):
    def kind_of(self, first, scale):
        self.refuse(first)
        return super().kind_of(first, scale)

    def prepare(self, frame, scale):
        return frame


# --- which frames ---------------------------------------------------------------------------------


@mistake("a list begins again", 1,
         "Your writer equals one that takes the first frame out of `iter(frames)` and goes on with "
         "`frames` itself. Of a generator that is the rest; a list begins again, and its first "
         "frame is there twice.")  # fmt: skip
class BeginsAgain(Camera):
    def stream(self, frames):
        self.given = frames
        return iter(frames)

    def all(self, first, stream):
        return chain([first], self.given)


@mistake("a generator has lost its first frame", 1,
         "Your writer equals one that takes the first frame out of `iter(frames)` and then films "
         "`frames`. A list begins again with its first frame; a generator does not, it has handed "
         "it out.")  # fmt: skip
class FirstLostOfAGenerator(BeginsAgain):
    def all(self, first, stream):
        return iter(self.given)


# --- films that fail ------------------------------------------------------------------------------


@mistake("every error is swallowed", 3,
         "Your writer equals one that keeps every error to itself that comes while it writes, "
         "those of `in_size` included. The caller takes a film for granted that is not "
         "there.")  # fmt: skip
class Silences(Camera):
    def save(self, prepared, path, fps, kind):
        try:
            super().save(prepared, path, fps, kind)
        except Exception:
            return


@mistake("the stop button leaves a part", 3,
         "Your writer equals one that tidies up after errors (`except Exception`), but not when "
         "the stop button is pressed: KeyboardInterrupt is no Exception. `finally` is for "
         "every case.")  # fmt: skip
class StopLeavesPart(Camera):
    def save(self, prepared, path, fps, kind):
        part = path.with_name(f"{path.stem}-part.mp4")
        try:
            write(part, prepared, fps, kind)
            part.replace(path)
        except Exception:
            part.unlink(missing_ok=True)
            raise
