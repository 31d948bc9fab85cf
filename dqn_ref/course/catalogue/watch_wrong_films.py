"""Film writers with one mistake each."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from dqn_ref.course.catalogue.judging import WrongVersions
from dqn_ref.course.catalogue.watch_films import H264, H264_444, write

wrong = WrongVersions()


class Camera:
    """A right `write_video` in small parts, so that a mistake is one part exchanged."""

    kind = H264

    def __call__(self, frames, path, fps, scale=1):
        path = Path(path)
        self.refuse_name(path)
        stream = self.stream(frames)
        first = next(stream, None)
        if first is None:
            return self.no_frames(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.shape = first.shape
        prepared = (self.prepare(frame, scale) for frame in self.all(first, stream))
        self.save(prepared, path, self.rate(fps), self.kind_of(first, scale))
        return self.answer(path)

    def refuse_name(self, path):
        if path.suffix != ".mp4":
            raise ValueError("the name of a film ends in .mp4")

    def stream(self, frames):
        return iter(frames)

    def no_frames(self, path):
        raise ValueError("no frames")

    def all(self, first, stream):
        return chain([first], stream)

    def prepare(self, frame, scale):
        self.refuse(frame)
        return self.even(self.enlarge(self.change(frame), scale))

    def refuse(self, frame):
        if frame.shape != self.shape:
            raise ValueError("frames of several shapes")
        if frame.dtype != np.uint8:
            raise ValueError("frames are uint8")

    def change(self, frame):
        return frame

    def enlarge(self, frame, scale):
        return frame.repeat(scale, axis=0).repeat(scale, axis=1)

    def even(self, frame):
        return np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)))

    def rate(self, fps):
        return fps

    def kind_of(self, first, scale):
        return self.kind

    def save(self, prepared, path, fps, kind):
        part = path.with_name(f"{path.stem}-part.mp4")
        try:
            write(part, prepared, fps, kind)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def answer(self, path):
        return path


def right(frames, path, fps, scale=1):
    """Without a mistake."""
    return Camera()(frames, path, fps, scale)


def mistake(slug: str, hint: int, says: str):
    """Put a subclass of `Camera` on the list, as a function."""

    def enlist(kind: type[Camera]) -> type[Camera]:
        def write_video(frames, path, fps, scale=1):
            return kind()(frames, path, fps, scale)

        wrong(slug, hint, says)(write_video)
        return kind

    return enlist


# --- pictures -------------------------------------------------------------------------------------


@mistake("red and blue exchanged", 2,
         "Your writer equals one that hands the encoder blue, green, red. Breakout's red bricks "
         "would be blue; OpenCV wants that order, moviepy and ffmpeg's rgb24 do not.")  # fmt: skip
class Bgr(Camera):
    def change(self, frame):
        return np.ascontiguousarray(frame[:, :, ::-1])


@mistake("upside down", 2,
         "Your writer equals one that turns each frame upside down. Row 0 of an array is the "
         "upper edge of the picture.")  # fmt: skip
class UpsideDown(Camera):
    def change(self, frame):
        return np.ascontiguousarray(frame[::-1])


@mistake("grey", 2,
         "Your writer equals one that films in grey. The frames are in colour, and the film "
         "should be.")  # fmt: skip
class Grey(Camera):
    def change(self, frame):
        return frame.mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8)


@mistake("first frame lost", 1,
         "Your writer equals one whose film begins with the second frame. Whoever takes the first "
         "one out of the stream, to see its size, has to write it, too.")  # fmt: skip
class FirstLost(Camera):
    def stream(self, frames):
        stream = super().stream(frames)
        next(stream, None)
        return stream


@mistake("first frame twice", 1,
         "Your writer equals one that writes the first frame twice. It was taken out of the stream "
         "to see its size, and comes again.")  # fmt: skip
class FirstTwice(Camera):
    def all(self, first, stream):
        return chain([first, first], stream)


@mistake("last frame lost", 1,
         "Your writer equals one that leaves out the last frame, the one in which the game "
         "ends.")  # fmt: skip
class LastLost(Camera):
    def all(self, first, stream):
        waiting = first
        for frame in stream:
            yield waiting
            waiting = frame


@mistake("one picture for ever", 1,
         "Your writer equals one that writes the first frame again and again: a film in which "
         "nothing moves.")  # fmt: skip
class Frozen(Camera):
    def all(self, first, stream):
        return chain([first], (first for _ in stream))


@mistake("every second frame", 1,
         "Your writer equals one that keeps every second frame. On the Atari, sprites that are "
         "drawn in every second frame would vanish.")  # fmt: skip
class EverySecond(Camera):
    def all(self, first, stream):
        kept = super().all(first, stream)
        return (frame for number, frame in enumerate(kept) if number % 2 == 0)


@mistake("fps ignored", 2,
         "Your writer equals one that films at 30 frames per second whatever is asked for. A game "
         "at 15 would run at double speed.")  # fmt: skip
class Thirty(Camera):
    def rate(self, fps):
        return 30


# --- sizes ----------------------------------------------------------------------------------------


@mistake("scale ignored", 4,
         "Your writer equals one that ignores `scale`: the film is as small as the frames "
         "are.")  # fmt: skip
class ScaleIgnored(Camera):
    def enlarge(self, frame, scale):
        return frame


@mistake("odd sizes stay odd", 4,
         "Your writer equals one that leaves odd sizes as they are. The encoder then stores colour "
         "at full size (4:4:4), which many browsers refuse to play.")  # fmt: skip
class StaysOdd(Camera):
    def even(self, frame):
        return frame

    def kind_of(self, first, scale):
        sizes = [side * scale % 2 for side in first.shape[:2]]
        return H264_444 if any(sizes) else H264


@mistake("odd sizes are cut", 4,
         "Your writer equals one that cuts a row or a column off where the size is odd. A pixel "
         "of the game is lost; a black row more loses nothing.")  # fmt: skip
class CutEven(Camera):
    def even(self, frame):
        height, width = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2
        return np.ascontiguousarray(frame[:height, :width])


@mistake("black row above", 4,
         "Your writer equals one that puts the black row above the picture and the black column "
         "to its left. They belong below and to the right, so that pixels keep their "
         "places.")  # fmt: skip
class BlackAbove(Camera):
    def even(self, frame):
        return np.pad(frame, ((frame.shape[0] % 2, 0), (frame.shape[1] % 2, 0), (0, 0)))


@mistake("everything in multiples of 16", 4,
         "Your writer equals one that stretches the picture to a multiple of 16 pixels, as "
         "imageio does unless `macro_block_size` says 1. The game's pixels are squares no "
         "more.")  # fmt: skip
class Sixteen(Camera):
    def even(self, frame):
        height, width = (-(-side // 16) * 16 for side in frame.shape[:2])
        return cv2.resize(frame, (width, height))


# --- files ----------------------------------------------------------------------------------------


@mistake("a GIF called mp4", 2,
         "Your writer equals one that writes a GIF and calls it mp4. A browser's player, which "
         "goes by what is in the file, shows nothing.")  # fmt: skip
class GifInside(Camera):
    kind = "a GIF"


@mistake("an AVI called mp4", 2,
         "Your writer equals one that writes an AVI and calls it mp4. No browser plays "
         "it.")  # fmt: skip
class AviInside(Camera):
    kind = "an AVI"


@mistake("mp4v", 2,
         "Your writer equals one that encodes with `mp4v`, OpenCV's usual choice. It is MPEG-4 "
         "Part 2, of 1999, and browsers do not play it; H.264 is `libx264`.")  # fmt: skip
class Mp4v(Camera):
    kind = "an mp4 of MPEG-4 Part 2"


@mistake("returns a text", 2,
         "Your writer equals one that returns the path as a text. Callers ask it for its size, as "
         "in `film.stat()`, and only a `Path` answers.")  # fmt: skip
class Text(Camera):
    def answer(self, path):
        return str(path)


@mistake("returns nothing", 2,
         "Your writer equals one that returns None. The film is right, and nobody is told where "
         "it is.")  # fmt: skip
class Nothing(Camera):
    def answer(self, path):
        return None


@mistake("all frames at once", 1,
         "Your writer equals one that makes a list of the frames first. A game of five minutes "
         "has 18,000 frames of 100,800 bytes: 1.8 GB.")  # fmt: skip
class ListFirst(Camera):
    def stream(self, frames):
        self.kept = list(frames)
        return iter(self.kept)


# --- films that fail ------------------------------------------------------------------------------


@mistake("a failed film destroys the old one", 3,
         "Your writer equals one that writes to the path itself. If the game breaks off, the older "
         "film is gone and half a film has its name.")  # fmt: skip
class Destroys(Camera):
    def save(self, prepared, path, fps, kind):
        write(path, prepared, fps, kind)


@mistake("a failed film stays as a part", 3,
         "Your writer equals one that leaves its unfinished file behind when the frames break "
         "off.")  # fmt: skip
class LeavesPart(Camera):
    def save(self, prepared, path, fps, kind):
        part = path.with_name(f"{path.stem}-part.mp4")
        write(part, prepared, fps, kind)
        part.replace(path)


@mistake("errors are swallowed", 3,
         "Your writer equals one that ends the film where the frames raise an error, and says "
         "nothing. Half a game passes for a whole one.")  # fmt: skip
class Swallows(Camera):
    def all(self, first, stream):
        try:
            yield first
            yield from stream
        except Exception:
            return


@mistake("no frames, no word", 3,
         "Your writer equals one that returns without a film and without an error when there are "
         "no frames.")  # fmt: skip
class Silent(Camera):
    def no_frames(self, path):
        return path


@mistake("any frame is taken", 3,
         "Your writer equals one that asks no frame for its shape. Frames of another shape are "
         "bytes to the encoder, and come out as a slanted mess, or not at all.")  # fmt: skip
class AnyFrame(Camera):
    def refuse(self, frame):
        if frame.dtype != np.uint8:
            raise ValueError("frames are uint8")

    def prepare(self, frame, scale):
        frame = super().prepare(frame, scale)
        height, width = (side * scale + side * scale % 2 for side in self.shape[:2])
        return np.resize(frame, (height, width, 3))


@mistake("any number is a colour", 3,
         "Your writer equals one that takes frames of any dtype and turns them into uint8. Floats "
         "from 0 to 1 become a black film.")  # fmt: skip
class AnyDtype(Camera):
    def refuse(self, frame):
        if frame.shape != self.shape:
            raise ValueError("frames of several shapes")

    def change(self, frame):
        return frame.astype(np.uint8)


@mistake("any name will do", 3,
         "Your writer equals one that does not look at the name. An mp4 under the name of another "
         "kind of file is opened by the wrong program.")  # fmt: skip
class AnyName(Camera):
    def refuse_name(self, path):
        pass


@mistake("keeps the older film", 3,
         "Your writer equals one that keeps an older film of that name and throws the new one "
         "away. Every film would be the first one.")  # fmt: skip
class KeepsOlder(Camera):
    def save(self, prepared, path, fps, kind):
        if path.exists():
            for _ in prepared:
                pass
            return
        super().save(prepared, path, fps, kind)
