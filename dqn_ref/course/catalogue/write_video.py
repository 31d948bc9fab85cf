"""The film writer of chapter 09: its scenes, known mistakes, and writers of other make.

Contract: `dqn_ref.pieces.CONTRACTS["write_video"]`. In words: frames `(H, W, 3)` uint8, taken one
at a time, become an H.264 mp4 at `path` with `fps` frames per second. Each pixel is a block of
`scale` × `scale`, and where a side is then odd there is one black row or column more. The folder is
created. `ValueError` for no frames, another dtype, several shapes or another suffix. Until the film
is complete nothing of it stands at `path`, and an older film of that name stays.

What may vary: the encoder and its settings, if every browser plays what comes out.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from itertools import chain
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from dqn_ref.course.catalogue.judging import Entry, Probe, RightVersion
from dqn_ref.course.catalogue.watch_films import Filmed, Refused, pictures, stopped, torn
from dqn_ref.course.catalogue.watch_wrong_bytes import wrong
from dqn_ref.course.catalogue.watch_wrong_films import right
from dqn_ref.video import write_video

HINTS = {
    1: "the idea: one frame at a time; the first, which tells the size, belongs to the film",
    2: "the call: FFMPEG_VideoWriter(name, (width, height), fps, codec='libx264'), write_frame, "
    "close; a Path is returned",
    3: "a film that fails: another name until it is complete; what raises ValueError",
    4: "sizes: blocks first, then a row and a column more where it is odd",
}


def _two_shapes():
    return [*pictures(2), *pictures(1, 12, 24)]


def _floats():
    return [frame / 255 for frame in pictures(2)]


SCENES = (
    Probe("a film of six frames", Filmed(tuple(pictures(6)), 10, older=True).observe),
    Probe(
        "a film of 15 × 23 pixels, its frames from a generator",
        Filmed(
            tuple(pictures(12, 15, 23, seed=2)), 25, place="new/er/one.mp4", as_text=True,
            one_at_a_time=True,
        ).observe,
    ),
    Probe(
        "a film of 9 × 12 pixels with scale=3",
        Filmed(tuple(pictures(3, 9, 12, seed=3)), 50, scale=3).observe,
    ),
    Probe("a film without frames", Refused(lambda: iter(()), "ValueError", "no frames").observe),
    Probe(
        "a film whose name ends in .avi",
        Refused(lambda: pictures(2), "ValueError", "the suffix is .mp4", "film.avi").observe,
    ),
    Probe(
        "a film of float frames", Refused(_floats, "ValueError", "frames are uint8").observe
    ),
    Probe(
        "a film whose frames have two sizes",
        Refused(_two_shapes, "ValueError", "frames share one shape").observe,
    ),
    Probe(
        "a film whose fourth frame raises Torn",
        Refused(torn, "Torn", "the error belongs to the caller").observe,
    ),
    Probe(
        "a film whose fourth frame raises KeyboardInterrupt, as the stop button does",
        Refused(stopped, "KeyboardInterrupt", "the error belongs to the caller").observe,
    ),
)  # fmt: skip


# --- right versions -------------------------------------------------------------------------------


def _checked(frames, path, scale):
    """Frames of even size, one at a time, and the shape of the first."""
    if Path(path).suffix != ".mp4":
        raise ValueError("not an mp4")
    stream = iter(frames)
    try:
        first = next(stream)
    except StopIteration:
        raise ValueError("no frames") from None
    height, width, _ = first.shape
    canvas_shape = (height * scale + height * scale % 2, width * scale + width * scale % 2, 3)

    def prepared(frame):
        if frame.shape != first.shape or frame.dtype != np.uint8:
            raise ValueError("a frame of another kind")
        canvas = np.zeros(canvas_shape, np.uint8)
        block = np.ones((scale, scale, 1), np.uint8)
        canvas[: height * scale, : width * scale] = np.kron(frame, block)
        return canvas

    return canvas_shape, map(prepared, chain((first,), stream))


def _with_imageio(frames, path, fps, scale=1):
    (height, width, _), stream = _checked(frames, path, scale)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    first = next(stream)
    with tempfile.TemporaryDirectory() as folder:
        part = os.path.join(folder, "part.mp4")
        writer = imageio_ffmpeg.write_frames(part, (width, height), fps=fps, macro_block_size=1)
        try:
            writer.send(None)
            for frame in chain([first], stream):
                writer.send(np.ascontiguousarray(frame))
        finally:
            writer.close()
        path.write_bytes(Path(part).read_bytes())
    return path


def _with_a_pipe(frames, path, fps, scale=1):
    (height, width, _), stream = _checked(frames, path, scale)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = f"{path}.part"
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-f", "rawvideo",
        "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "-",
        "-c:v", "libx264", "-pix_fmt", "yuv420p", "-threads", "1", "-f", "mp4", part,
    ]  # fmt: skip
    encoder = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        for frame in stream:
            encoder.stdin.write(frame.tobytes())
        encoder.communicate()
        os.replace(part, path)
    finally:
        encoder.kill()
        encoder.communicate()
        Path(part).unlink(missing_ok=True)
    return Path(path)


RIGHT = (
    RightVersion("moviepy's writer, a part beside the film", right),
    RightVersion("imageio's generator in a folder of its own", _with_imageio),
    RightVersion("a pipe to ffmpeg", _with_a_pipe),
)

_TIMED = pictures(30, 48, 48, seed=4)


def _workload(piece):
    folder = tempfile.TemporaryDirectory()

    def film(folder=folder) -> None:
        piece(_TIMED, Path(folder.name) / "film.mp4", 30)

    return film


ENTRY = Entry(
    name="write_video",
    probes=SCENES,
    wrong=wrong,
    right=RIGHT,
    hints=HINTS,
    model=right,
    reference=write_video,
    workload=_workload,
)
