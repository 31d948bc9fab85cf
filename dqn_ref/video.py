"""From frames to a film: mp4 and GIF files, and an HTML tag that plays in any JupyterLab.

    frames (H, W, 3) uint8 ─ annotate ─┬─ write_video ─ film.mp4 ─ show_video ─ in the notebook
                                       └─ write_gif ─── film.gif

Frames are taken one at a time from any iterable, so that a generator of a long game never stands in
memory as a whole.
"""

from __future__ import annotations

import base64
import html
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont


def write_video(frames: Iterable[np.ndarray], path: str | Path, fps: float, scale: int = 1) -> Path:
    """Write frames as an H.264 mp4 that every browser plays.

    Args:
        frames: `(H, W, 3)` uint8 RGB or `(H, W)` uint8 grey, all of one shape.
        path: where the film goes; the suffix must be `.mp4`, the folder is created. Until the last
            frame is written nothing stands there, and an older film of that name stays.
        fps: frames per second of the film (not of the emulator), at least 0.01.
        scale: whole number; each pixel becomes a block of `scale` × `scale`.
    Returns:
        The path. Its picture is `(scale·H, scale·W)`, plus one black row or column where that is
        odd (H.264 with 4:2:0 colour needs even sizes).
    Raises:
        ValueError: no frames, wrong dtype or shape, frames of several shapes, bad `fps`, `scale`
            or suffix.
        OSError: the encoder failed, for example on a full disk.
    """
    # crf 23 is visually lossless on flat sprites; faststart puts the index first, for browsers.
    options = ["-crf", "23", "-tune", "animation", "-movflags", "+faststart"]
    stream = map(_even, _checked(frames, fps, scale))
    return _encode(stream, path, fps, ".mp4", "libx264", options)


def write_gif(frames: Iterable[np.ndarray], path: str | Path, fps: float, scale: int = 1) -> Path:
    """Write frames as an endlessly repeating GIF, for places that play no video.

    Arguments and errors are those of `write_video`, the suffix is `.gif`. Each picture has its own
    palette: up to 255 colours are kept, each value to within 1. Browsers slow down pictures that
    last less than a fiftieth of a second; above 50 frames per second some are left out instead, so
    that the film is as fast as asked for.
    """
    slowed = f"fps={_GIF_FPS}," if fps > _GIF_FPS else ""
    # With one palette for the whole film the encoder would keep all of it in memory.
    palettes = "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=none"
    options = ["-filter_complex", slowed + palettes, "-loop", "0"]
    return _encode(_checked(frames, fps, scale), path, fps, ".gif", "gif", options)


_GIF_FPS = 50


def _encode(
    stream: Iterator[np.ndarray],
    path: str | Path,
    fps: float,
    suffix: str,
    codec: str,
    options: list[str],
) -> Path:
    """Give the frames to ffmpeg one at a time.

    Args:
        stream: `(H, W, 3)` uint8, checked.
        path, fps: see `write_video`.
        suffix: what `path` must end in.
        codec, options: ffmpeg's name for the format, and its flags for it.
    """
    from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

    first = next(stream)
    height, width = first.shape[:2]
    with _replace_when_done(path, suffix) as part:
        writer = FFMPEG_VideoWriter(
            str(part), (width, height), fps, codec=codec, ffmpeg_params=options
        )
        encoder = writer.proc
        try:
            for frame in chain([first], stream):
                try:
                    writer.write_frame(frame)
                except OSError as error:
                    raise _encoder_failed(path, str(error)) from error
            encoder.stdin.close()
            said = encoder.stderr.read().decode(errors="replace")
        finally:
            writer.close()
        if encoder.returncode != 0:
            raise _encoder_failed(path, said)
    return Path(path)


def _encoder_failed(path: str | Path, said: str) -> OSError:
    """One sentence from what ffmpeg wrote; its last line names the cause, behind its own places."""
    last = re.sub(r"^(\[.*?\]\s*)+", "", (said.strip().splitlines() or [""])[-1])
    return OSError(f"the encoder could not write {Path(path).name}: {last or 'is the disk full?'}")


def video_html(video: str | Path | bytes, width: int = 320) -> str:
    """The `<video>` tag that holds the film itself, so that a notebook needs no file beside it.

    The data stands on the tag's own `src`: JupyterLab takes the `src` off a `<source>` inside it in
    any notebook that it does not trust.

    Args:
        video: an mp4, as a path or as its bytes.
        width: pixels on the page, or as many as there is room for; the height follows.
    """
    data = video if isinstance(video, bytes) else Path(video).read_bytes()
    encoded = base64.b64encode(data).decode("ascii")
    return (
        f'<video controls width="{width}" style="max-width: 100%" '
        f'src="data:video/mp4;base64,{encoded}"></video>'
    )


def show_video(video: str | Path | bytes, width: int = 320):
    """Display a film in a notebook: `video_html` as an IPython object."""
    from IPython.display import HTML

    return HTML(video_html(video, width))


def show_gif(gif: str | Path | bytes, alt: str, width: int = 320):
    """Display a GIF in a notebook, with words for those who do not see it.

    IPython's own `Image` has an `alt` too, which JupyterLab does not show.

    Args:
        gif: as a path or as its bytes.
        alt: what is to be seen.
        width: see `video_html`.
    """
    from IPython.display import HTML

    data = gif if isinstance(gif, bytes) else Path(gif).read_bytes()
    encoded = base64.b64encode(data).decode("ascii")
    return HTML(
        f'<img width="{width}" style="max-width: 100%" alt="{html.escape(alt)}" '
        f'src="data:image/gif;base64,{encoded}">'
    )


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
    if not 0.01 <= fps < math.inf:  # moviepy hands on two decimals
        raise ValueError(f"fps counts frames per second and must be 0.01 or more, not {fps}")
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
