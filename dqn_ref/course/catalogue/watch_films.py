"""What the check of `write_video` films, and what it finds in it; mistakes: `watch_wrong_films`.

A picture has four blocks of colour, so that after the losses of H.264 it still tells which one it
is, and whether it stands on its head or has red and blue exchanged.

The learner's piece writes real films. Wrong versions write theirs through `write`, which only notes
what would be in the file when they are asked in comparison with a learner's film: encoding takes
30 ms, and there are many of them. That both ways say the same is tested.
"""

from __future__ import annotations

import pickle
import re
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageSequence

from dqn_ref.course.catalogue.judging import Fact, Trace

OLD = b"an older film"
_PRETENCE = b"no film, but what would be in it: "
_pretending = False


@dataclass(frozen=True)
class Film:
    """What is in a file."""

    kind: str  # "an mp4 of H.264", "a GIF", EMPTY …
    size: tuple[int, int] = (0, 0)  # rows, columns
    fps: float = 0.0
    pictures: tuple[np.ndarray, ...] = ()  # RGB


H264, H264_444 = "an mp4 of H.264", "an mp4 of H.264 in 4:4:4, which many browsers cannot play"
EMPTY = "an mp4 without a picture"  # the encoder got less than one


def pictures(count: int, height: int = 16, width: int = 24, seed: int = 0) -> list[np.ndarray]:
    """Frames that can be told from each other, `(height, width, 3)` uint8."""
    rng = np.random.default_rng([17, seed])
    frames = []
    for _ in range(count):
        blocks = rng.choice([0, 70, 140, 210, 250], size=(2, 2, 3))
        blocks[0, 0, 0], blocks[0, 0, 2] = rng.permutation([20, 230])  # red is not blue
        rows = (np.arange(height) * 2 // height)[:, None]
        frames.append(blocks[rows, np.arange(width) * 2 // width].astype(np.uint8))
    return frames


# --- writing --------------------------------------------------------------------------------------


@contextmanager
def _pretence(on: bool) -> Iterator[None]:
    global _pretending
    before, _pretending = _pretending, on
    try:
        yield
    finally:
        _pretending = before


def write(path: Path, frames: Iterable[np.ndarray], fps: float, kind: str = H264) -> None:
    """Write a film of any kind, or note what would be in it."""
    if _pretending:
        stream = iter(frames)
        first = next(stream, None)
        path.write_bytes(b"")  # an encoder begins its file when it has seen a frame
        film = Film(EMPTY)
        if first is not None:
            film = Film(kind, first.shape[:2], fps, (first, *stream))
        path.write_bytes(_PRETENCE + pickle.dumps(film))
    else:
        _WRITERS[kind](path, frames, fps)


def _write_h264(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

    frames = iter(frames)
    first = next(frames, np.zeros((16, 16, 0), np.uint8))
    # The encoder takes 4:2:0, which all browsers play, where the sizes are even.
    with FFMPEG_VideoWriter(str(path), first.shape[1::-1], fps, codec="libx264") as writer:
        writer.write_frame(first)
        for frame in frames:
            writer.write_frame(frame)


def _write_with_opencv(letters: str, suffix: str) -> Callable:
    def write_it(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
        frames = list(frames)
        there = path.with_name(f"{path.name}{suffix}")
        code = cv2.VideoWriter.fourcc(*letters)
        writer = cv2.VideoWriter(str(there), code, fps, frames[0].shape[1::-1])
        for frame in frames:
            writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
        writer.release()
        there.replace(path)

    return write_it


def _write_gif(path: Path, frames: Iterable[np.ndarray], fps: float) -> None:
    first, *others = map(Image.fromarray, frames)
    with open(path, "wb") as file:
        first.save(file, "GIF", save_all=True, append_images=others, duration=1000 / fps)


_WRITERS = {
    H264: _write_h264,
    H264_444: _write_h264,
    "a GIF": _write_gif,
    "an AVI": _write_with_opencv("MJPG", ".avi"),
    "an mp4 of MPEG-4 Part 2": _write_with_opencv("mp4v", ".mp4"),
}


# --- reading --------------------------------------------------------------------------------------


def read(path: Path) -> Film:
    """What is in a file that should be a film."""
    data = path.read_bytes()
    if data.startswith(_PRETENCE):
        return pickle.loads(data.removeprefix(_PRETENCE))
    kind = _kind(data)
    if kind == "a GIF":
        return _read_gif(path)
    if not kind.startswith(("an mp4", "an AVI")):
        return Film(kind)
    film = cv2.VideoCapture(str(path))
    shown = []
    while (answer := film.read())[0]:
        shown.append(answer[1][:, :, ::-1])
    fps = film.get(cv2.CAP_PROP_FPS)
    film.release()
    return Film(kind, shown[0].shape[:2] if shown else (0, 0), fps, tuple(shown))


def _read_gif(path: Path) -> Film:
    with Image.open(path) as film:
        shown = [np.array(one.convert("RGB")) for one in ImageSequence.Iterator(film)]
        return Film("a GIF", shown[0].shape[:2], 1000 / film.info["duration"], tuple(shown))


def _kind(data: bytes) -> str:
    if data[4:8] != b"ftyp":
        names = {b"GIF8": "a GIF", b"RIFF": "an AVI", b"\x1aE\xdf\xa3": "a Matroska film"}
        return "an empty file" if not data else names.get(data[:4], "no film that is known")
    found = re.search(rb"avcC\x01(.)", data, re.DOTALL)
    if found:
        return H264_444 if found[1] == b"\xf4" else H264
    if b"trak" not in data:
        return EMPTY
    return "an mp4 of MPEG-4 Part 2" if b"mp4v" in data else "an mp4 of another codec"


def _below(frame: np.ndarray) -> np.ndarray:
    """A black row below and a black column to the right where the size is odd."""
    return np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)))


_CHANGES = {
    "": _below,
    " with red and blue exchanged": lambda frame: _below(frame[:, :, ::-1]),
    " upside down": lambda frame: _below(frame[::-1]),
    " mirrored": lambda frame: _below(frame[:, ::-1]),
    " in grey": lambda frame: _below(frame.mean(axis=2, keepdims=True).repeat(3, axis=2)),
    " with its black row above": lambda frame: np.roll(
        _below(frame), (frame.shape[0] % 2, frame.shape[1] % 2), axis=(0, 1)
    ),
}


_CLOSE = 25  # grey levels on average: H.264 misses by up to 18 at odd sizes, other frames by 33


def names_of(shown: Sequence[np.ndarray], frames: Sequence[np.ndarray]) -> list[str]:
    """Which frames the pictures of a film are, and what was done to them."""
    names = [f"frame {n}{text}" for text in _CHANGES for n in range(len(frames))]
    known = np.array([change(frame) for change in _CHANGES.values() for frame in frames], np.int16)
    found = []
    for picture in shown:
        best, distance = 0, np.inf
        if picture.shape == known.shape[1:]:
            distances = np.abs(known - picture).mean(axis=(1, 2, 3))
            best, distance = int(distances.argmin()), distances.min()
        found.append(names[best] if distance < _CLOSE else "something else")
    return found


# --- scenes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Filmed:
    """A film that should come out."""

    frames: tuple[np.ndarray, ...]
    fps: float
    scale: int | None = None  # None: left out
    one_at_a_time: bool = False  # a generator, whose frames are let go
    place: str = "film.mp4"
    as_text: bool = False
    older: bool = False  # a file of that name is there already

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        with tempfile.TemporaryDirectory() as folder, _pretence(seen is not None):
            path = Path(folder) / self.place
            if self.older:
                path.write_bytes(OLD)
            given = Given(self.frames) if self.one_at_a_time else list(self.frames)
            options = {} if self.scale is None else {"scale": self.scale}
            place = str(path) if self.as_text else path
            try:
                result = piece(
                    iter(given) if self.one_at_a_time else given, place, self.fps, **options
                )
            except FileNotFoundError as error:
                if not _nameless_part(error):
                    raise
                yield Fact("error", True, _nameless_part(error), 3)
                return
            yield from _returned(result, path)
            yield Fact("there", path.is_file(), f"afterwards there is no {path.name}", 2)
            if not path.is_file():
                return
            yield from self._film(path)
            others = [p.name for p in sorted(path.parent.iterdir()) if p != path]
            yield Fact("others", bool(others), f"it leaves {', '.join(others)} in the folder", 3)
            if self.one_at_a_time:
                yield Fact(
                    "held",
                    given.most > len(self.frames) // 2,
                    f"it holds {given.most} of {len(self.frames)} frames at once; those of a long "
                    "game would fill the memory",
                    1,
                )

    def _film(self, path: Path) -> Iterator[Fact]:
        data = path.read_bytes()
        yield Fact("old", data == OLD, "the older film of that name is still there", 3)
        if data == OLD:
            return
        film, expected = read(path), self._enlarged()
        shape = _below(expected[0]).shape[:2]
        size = " × ".join(map(str, film.size))
        is_film = film.kind in _WRITERS
        if is_film:
            wanted = " × ".join(map(str, shape))
            hint = 2 if film.size == shape[::-1] else 4
            yield Fact("size", film.size, f"the film has {size} pixels, expected {wanted}", hint)
        if film.kind == EMPTY:
            yield Fact("kind", film.kind, _NO_PICTURE, 4)
        yield Fact("kind", film.kind, f"the file is {film.kind}, expected {H264}", 2)
        if not is_film:
            return
        names = names_of(film.pictures, expected)
        yield _count_of(names, len(expected))
        if film.size != shape:
            return
        fps = round(film.fps, 2)
        yield Fact("frames per second of the film", fps, hint=2)
        wrong = next((i for i, name in enumerate(names) if name != f"frame {i}"), 0)
        said = f"picture {wrong} of the film shows {names[wrong] if names else 'nothing'}"
        yield Fact("pictures", tuple(names), f"{said}, expected frame {wrong}", 1 if wrong else 2)

    def _enlarged(self) -> list[np.ndarray]:
        scale = self.scale or 1
        return [frame.repeat(scale, axis=0).repeat(scale, axis=1) for frame in self.frames]


_NO_PICTURE = (
    "there is no picture in the film: nothing was written, or less than one picture of the size "
    "that the film was opened with"
)


def _count_of(names: list[str], expected: int) -> Fact:
    """How many pictures a film has. Bytes that do not fill its pictures change their number."""
    tell = ""
    if "something else" in names and len(names) != expected:
        tell = (
            f"the film has {len(names)} pictures, expected {expected}, and picture "
            f"{names.index('something else')} is none of the frames: what is written has another "
            "size, in bytes, than the pictures that the film was opened for"
        )
    return Fact("number of pictures", len(names), tell, 4 if tell else 1)


def _nameless_part(error: FileNotFoundError) -> str:
    """What to say if a part could not become the film because its suffix is no film's."""
    if not error.filename2 or Path(error.filename).suffix in _SUFFIXES:
        return ""
    part = Path(error.filename)
    return (
        f"there is no file {part.name!r} that could get the film's name: the encoder goes by the "
        f"suffix, knows no {part.suffix or 'file without one'}, and wrote nothing; the other name "
        "has to end in .mp4, too"
    )


_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")


def _returned(result, path: Path) -> Iterator[Fact]:
    kind = "Path" if isinstance(result, Path) else type(result).__name__
    name = "None" if result is None else f"a {kind}"
    yield Fact("returned", kind, f"it returns {name}, expected the `Path` of the film", 2)
    if isinstance(result, Path):
        other = f"it returns the path of {result.name!r}, expected that of {path.name!r}"
        yield Fact("the same path", result == path, other, 2)


class Given:
    """Hands frames out one at a time, and counts how many of them are alive."""

    def __init__(self, frames: Iterable[np.ndarray]):
        self._frames, self.most = frames, 0

    def __iter__(self) -> Iterator[np.ndarray]:
        alive: list[weakref.ref] = []
        for frame in self._frames:
            fresh = frame.copy()
            alive = [ref for ref in alive if ref() is not None] + [weakref.ref(fresh)]
            self.most = max(self.most, len(alive))
            yield fresh
            del fresh


@dataclass(frozen=True)
class Refused:
    """Something of which no film can come; an older film of that name has to stay."""

    frames: Callable[[], Iterable[np.ndarray]]
    error: str  # that should come
    why: str
    place: str = "film.mp4"

    def observe(self, piece, seen: Trace | None) -> Iterator[Fact]:
        with tempfile.TemporaryDirectory() as folder, _pretence(seen is not None):
            path = Path(folder) / self.place
            path.write_bytes(OLD)
            raised = "no error"
            try:
                piece(self.frames(), path, 10)
            except NotImplementedError:
                raise
            except (Exception, KeyboardInterrupt) as error:
                raised = type(error).__name__
            said = f"it raises {raised}" if raised != "no error" else "it raises no error"
            yield Fact("error", raised, f"{said}, expected {self.error}: {self.why}", 3)
            kept = path.is_file() and path.read_bytes() == OLD
            yield Fact("kept", kept, "the older film of that name is gone", 3)
            others = [p.name for p in sorted(Path(folder).iterdir()) if p != path]
            yield Fact("others", bool(others), f"it leaves {', '.join(others)} in the folder", 3)


class Torn(Exception):
    """What the frames of a game raise in its midst."""


def torn() -> Iterator[np.ndarray]:
    yield from pictures(3)
    raise Torn("the game broke off")


def stopped() -> Iterator[np.ndarray]:
    """What the stop button of a notebook raises."""
    yield from pictures(3)
    raise KeyboardInterrupt
