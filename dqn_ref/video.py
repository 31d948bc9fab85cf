"""From frames to a film: mp4 and GIF files, and an HTML tag that plays in any JupyterLab.

    frames (H, W, 3) uint8 ─ annotate ─┬─ write_video ─ film.mp4 ─ show_video ─ in the notebook
                                       └─ write_gif ─── film.gif

Frames are taken one at a time from any iterable, so that a generator of a long game never stands in
memory as a whole.
"""

from __future__ import annotations

import base64
import io
import os
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont


def write_video(frames: Iterable[np.ndarray], path: str | Path, fps: float, scale: int = 1) -> Path:
    """Write frames as an H.264 mp4 that every browser plays.

    Args:
        frames: `(H, W, 3)` uint8 RGB or `(H, W)` uint8 grey, all of one shape.
        path: where the film goes; the suffix must be `.mp4`, the folder is created. Until the last
            frame is written nothing stands there, and an older film of that name stays.
        fps: frames per second of the film (not of the emulator).
        scale: whole number; each pixel becomes a block of `scale` × `scale`.
    Returns:
        The path. Its picture is `(scale·H, scale·W)`, plus one black row or column where that is
        odd (H.264 with 4:2:0 colour needs even sizes).
    Raises:
        ValueError: no frames, wrong dtype or shape, frames of several shapes, bad `fps`, `scale`
            or suffix.
        OSError: the encoder failed, for example on a full disk.
    """
    from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

    stream = _checked(frames, fps, scale)
    first = _even(next(stream))
    height, width = first.shape[:2]
    with _replace_when_done(path, ".mp4") as part:
        # crf 23 is visually lossless on flat sprites; faststart puts the index first, for browsers.
        writer = FFMPEG_VideoWriter(
            str(part),
            (width, height),
            fps,
            codec="libx264",
            preset="medium",
            ffmpeg_params=["-crf", "23", "-tune", "animation", "-movflags", "+faststart"],
        )
        encoder = writer.proc
        try:
            for frame in chain([first], map(_even, stream)):
                writer.write_frame(frame)
        except OSError as error:
            # moviepy's message runs over many lines; its first says what failed.
            reason = str(error).splitlines()[0]
            raise OSError(f"the encoder could not write {Path(path).name}: {reason}") from error
        finally:
            writer.close()
        if encoder.returncode != 0:
            raise OSError(f"the encoder could not finish {Path(path).name}: is the disk full?")
    return Path(path)


def write_gif(frames: Iterable[np.ndarray], path: str | Path, fps: float, scale: int = 1) -> Path:
    """Write frames as an endlessly repeating GIF, for places that play no video.

    Arguments and errors are those of `write_video`, the suffix is `.gif`. The format counts time in
    hundredths of a second: frame `i` begins at `round(100 · i / fps)`, so that rounding never adds
    up, but lasts at least 2, since browsers slow down anything shorter; above 50 frames per second
    the film is slower than asked for. Each picture has its own palette of up to 255 colours and
    holds only the pixels that changed; where none did, the picture before lasts longer.
    """
    stream = _checked(frames, fps, scale)
    shown = next(stream).copy()  # whoever draws them may draw the next into the same array
    height, width = shown.shape[:2]
    # Pillow could write all of it, but keeps every frame of the film in memory until the end.
    with _replace_when_done(path, ".gif") as part, open(part, "wb") as file:
        file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0x70, 0, 0))
        file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")  # repeat without end
        pending, since, index = _gif_picture(shown, np.ones((height, width), bool)), 0, 0
        for index, frame in enumerate(stream, start=1):
            now = round(100 * index / fps)
            changed = np.any(frame != shown, axis=2)
            if not changed.any():
                if now - since < _LONGEST_DELAY:
                    continue
                changed[0, 0] = True
            file.write(pending.lasting(now - since))
            shown, pending, since = frame.copy(), _gif_picture(frame, changed), now
        file.write(pending.lasting(round(100 * (index + 1) / fps) - since) + b";")
    return Path(path)


_LONGEST_DELAY = 60_000  # hundredths of a second; the format has 16 bits for them


class _GifPicture(NamedTuple):
    """A picture of a GIF, encoded, but for the time it stays."""

    transparent: int  # number of the colour that changes nothing
    data: bytes

    def lasting(self, delay: int) -> bytes:
        """What stands in the file: drawn over the picture before, shown for `delay` / 100 s."""
        leave_and_transparent = 0b0000_0101
        control = (leave_and_transparent, max(2, delay), self.transparent, 0)
        return b"!\xf9\x04" + struct.pack("<BHBB", *control) + self.data


def _gif_picture(frame: np.ndarray, changed: np.ndarray) -> _GifPicture:
    """The smallest rectangle around the pixels that changed; the others in it are transparent.

    Args:
        frame: `(H, W, 3)` uint8.
        changed: `(H, W)` bool, some of them True.
    """
    rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    inside = slice(top, int(rows[-1]) + 1), slice(left, int(columns[-1]) + 1)
    part, new = frame[inside], changed[inside]
    # Black stands for what did not change, so that its colours take no place in the palette.
    drawn = Image.fromarray(np.where(new[:, :, None], part, np.uint8(0)))
    drawn = drawn.quantize(colors=255, dither=Image.Dither.NONE)
    numbers = np.array(drawn)
    transparent = int(numbers.max()) + 1
    numbers[~new] = transparent
    bits = max(1, transparent.bit_length())  # the palette has 2 ** bits colours
    palette = bytes(drawn.getpalette())[: 3 * transparent].ljust(3 << bits, b"\0")
    # Pillow compresses: behind its header, its palette of 256 greys and its descriptor.
    buffer = io.BytesIO()
    Image.fromarray(numbers).save(buffer, "GIF", optimize=False, interlace=False)
    compressed = buffer.getvalue()[13 + 768 + 10 : -1]
    height, width = new.shape
    descriptor = struct.pack("<BHHHHB", 0x2C, left, top, width, height, 0x80 | (bits - 1))
    return _GifPicture(transparent, descriptor + palette + compressed)


def video_html(video: str | Path | bytes, width: int = 320) -> str:
    """The `<video>` tag that holds the film itself, so that a notebook needs no file beside it.

    The data stands on the tag's own `src`: JupyterLab takes the `src` off a `<source>` inside it in
    any notebook that it does not trust.

    Args:
        video: an mp4, as a path or as its bytes.
        width: pixels on the page; the height follows.
    """
    data = video if isinstance(video, bytes) else Path(video).read_bytes()
    encoded = base64.b64encode(data).decode("ascii")
    return f'<video controls width="{width}" src="data:video/mp4;base64,{encoded}"></video>'


def show_video(video: str | Path | bytes, width: int = 320):
    """Display a film in a notebook: `video_html` as an IPython object."""
    from IPython.display import HTML

    return HTML(video_html(video, width))


def annotate(frame: np.ndarray, text: str) -> np.ndarray:
    """The frame under a black strip with one line of text.

    The strip stands above the picture, where it hides nothing of the game and a player's controls
    do not hide it.

    Args:
        frame: `(H, W, 3)` uint8 RGB or `(H, W)` uint8 grey.
        text: the frame's number, the action …; one that is too wide is written smaller, and cut
            off where even half the size is too wide.
    Returns:
        `(H + S, W, 3)` uint8; S is even and about a thirteenth of H, at least 16.
    """
    picture = Image.fromarray(_rgb(frame))
    strip = 2 * max(8, picture.height // 26)
    canvas = Image.new("RGB", (picture.width, picture.height + strip))
    canvas.paste(picture, (0, strip))
    font = _font(text, strip - 5, canvas.width - 8)
    ImageDraw.Draw(canvas).text((4, strip - 5), text, fill="white", font=font, anchor="ls")
    return np.array(canvas)


def _font(text: str, size: int, width: int) -> ImageFont.FreeTypeFont:
    """The font in `size` pixels, or so much smaller, to half of it, that the text fits."""
    fonts = map(_load_font, range(size, size // 2, -1))
    return next((font for font in fonts if font.getlength(text) <= width), _load_font(size // 2))


_load_font = lru_cache(ImageFont.load_default)


def _rgb(frame: np.ndarray) -> np.ndarray:
    """Check one frame and return it as `(H, W, 3)` uint8."""
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8:
        kind = getattr(frame, "dtype", type(frame).__name__)
        raise ValueError(f"a video frame is a uint8 array with values 0 to 255, not {kind}")
    if frame.ndim == 2:
        return np.repeat(frame[:, :, None], 3, axis=2)
    if frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"a video frame has shape (H, W, 3) or (H, W), not {frame.shape}")
    return frame


def _checked(frames: Iterable[np.ndarray], fps: float, scale: int) -> Iterator[np.ndarray]:
    """Frames as RGB, enlarged, each compared with the first (which is checked at once)."""
    if not fps > 0:
        raise ValueError(f"fps counts frames per second and must be above 0, not {fps}")
    if scale != int(scale) or scale < 1:
        raise ValueError(f"scale is a whole number from 1 on, not {scale}")
    stream = iter(frames)
    try:
        first = next(stream)
    except StopIteration:
        raise ValueError("a video needs at least one frame; there were none") from None
    shape = np.shape(first)

    def prepare(frame: np.ndarray) -> np.ndarray:
        frame = _rgb(frame)
        if frame.shape[:2] != shape[:2]:
            raise ValueError(f"frames of one video share a size: {frame.shape} after {shape}")
        return frame.repeat(scale, axis=0).repeat(scale, axis=1) if scale > 1 else frame

    return chain([prepare(first)], map(prepare, stream))


def _even(frame: np.ndarray) -> np.ndarray:
    """Add a black row below and a black column to the right where the size is odd."""
    height, width = frame.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return frame
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)))


@contextmanager
def _replace_when_done(path: str | Path, suffix: str) -> Iterator[Path]:
    """Give a temporary file in the same folder: `path` on success, removed otherwise."""
    path = Path(path)
    if path.suffix != suffix:
        raise ValueError(f"the file name must end in {suffix}, not {path.name!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=suffix, dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        # mkstemp makes files that only their owner can read; give this one the usual rights.
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
