"""Films: what is written can be read again, plays in a browser, and a failure leaves no file."""

from __future__ import annotations

import base64
import re
import weakref

import numpy as np
import pytest
from PIL import Image, ImageSequence

from dqn_ref.video import annotate, show_video, video_html, write_gif, write_video


def moving_square(count: int, height: int = 210, width: int = 160) -> list[np.ndarray]:
    """Frames on which a white square goes one pixel to the right at a time."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    for index, frame in enumerate(frames):
        frame[20:40, index : index + 20] = 255
    return list(frames)


def read(path):
    from moviepy import VideoFileClip

    with VideoFileClip(str(path)) as clip:
        return clip.fps, clip.duration, list(clip.iter_frames())


def test_every_frame_comes_back_at_its_time(tmp_path):
    frames = moving_square(45)
    path = write_video(iter(frames), tmp_path / "film.mp4", fps=30)
    fps, duration, decoded = read(path)
    assert (fps, duration, len(decoded)) == (30, 1.5, 45)
    stack = np.stack(frames).astype(int)
    for index, frame in enumerate(decoded):
        # Compression blurs edges, but no frame is closer to a neighbour than to itself.
        assert np.abs(stack - frame).mean(axis=(1, 2, 3)).argmin() == index


def test_a_browser_can_play_it(tmp_path):
    path = write_video(moving_square(5), tmp_path / "film.mp4", fps=15)
    data = path.read_bytes()
    assert b"avc1" in data, "not H.264"
    assert data.index(b"moov") < data.index(b"mdat"), "the index stands behind the pictures"
    assert _stream_line(path).count("yuv420p") == 1


def _stream_line(path) -> str:
    import subprocess

    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)]
    told = subprocess.run(command, capture_output=True, text=True).stderr
    return next(line for line in told.splitlines() if "Video:" in line)


def test_twenty_seconds_of_breakout_are_small(tmp_path):
    import ale_py
    import gymnasium

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    gymnasium.register_envs(ale_py)
    env = gymnasium.make("ALE/Breakout-v5", frameskip=2)
    env.reset(seed=0)
    env.action_space.seed(0)

    def play():
        for _ in range(600):
            screen, _, over, _, _ = env.step(env.action_space.sample())
            if over:
                env.reset()
            yield screen

    path = write_video(play(), tmp_path / "breakout.mp4", fps=30, scale=2)
    fps, duration, frames = read(path)
    assert (duration, frames[0].shape) == (20.0, (420, 320, 3))
    assert path.stat().st_size <= 300_000


@pytest.mark.parametrize(
    ("shape", "scale", "expected"),
    [
        ((105, 80), 1, (106, 80, 3)),
        ((84, 83), 1, (84, 84, 3)),
        ((85, 83), 3, (256, 250, 3)),
        ((84, 84), 2, (168, 168, 3)),
    ],
)
def test_grey_frames_and_odd_sizes(tmp_path, shape, scale, expected):
    frames = [np.full(shape, 200, np.uint8)] * 3
    _, _, decoded = read(write_video(frames, tmp_path / "film.mp4", fps=10, scale=scale))
    assert decoded[0].shape == expected
    inside = decoded[0][: scale * shape[0] - 2, : scale * shape[1] - 2]
    assert np.abs(inside.astype(int) - 200).max() <= 4


def test_scaling_repeats_pixels(tmp_path):
    frame = np.zeros((84, 84, 3), np.uint8)
    frame[10, 10] = 255
    _, _, decoded = read(write_video([frame] * 4, tmp_path / "film.mp4", fps=4, scale=8))
    assert decoded[0][82:86, 82:86].min() > 200
    assert decoded[0][60:70, 60:70].max() < 30


def test_nothing_is_printed(tmp_path, capfd):
    write_video(moving_square(5), tmp_path / "film.mp4", fps=15)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("write", [write_video, write_gif])
@pytest.mark.parametrize(
    ("frames", "options", "sentence"),
    [
        ([], {}, "at least one frame"),
        ([np.zeros((4, 4, 3), np.float32)], {}, "not float32"),
        ([[0, 1]], {}, "not list"),
        ([np.zeros((4, 4, 4), np.uint8)], {}, "shape (H, W, 3)"),
        ([np.zeros((4, 4), np.uint8), np.zeros((4, 6), np.uint8)], {}, "share a size"),
        ([np.zeros((4, 4), np.uint8)], {"fps": 0}, "fps"),
        ([np.zeros((4, 4), np.uint8)], {"scale": 1.5}, "scale"),
        ([np.zeros((4, 4), np.uint8)], {"scale": 0}, "scale"),
    ],
)
def test_wrong_input_is_one_sentence_and_leaves_nothing(tmp_path, write, frames, options, sentence):
    path = tmp_path / ("film.mp4" if write is write_video else "film.gif")
    path.write_bytes(b"an older film")
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        write(frames, path, **{"fps": 10, **options})
    assert "\n" not in str(caught.value)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"an older film"


def test_wrong_suffix(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.mp4, not 'film.avi'"):
        write_video(moving_square(1), tmp_path / "film.avi", fps=10)
    assert list(tmp_path.iterdir()) == []


def test_frames_that_fail_half_way_leave_nothing(tmp_path):
    def broken():
        yield from moving_square(3)
        raise RuntimeError("the game broke")

    with pytest.raises(RuntimeError, match="the game broke"):
        write_video(broken(), tmp_path / "film.mp4", fps=10)
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_fails_leaves_nothing(tmp_path, monkeypatch):
    """An encoder that dies with an error of its own, as on a full disk."""
    import sys

    from moviepy.video.io import ffmpeg_writer

    script = tmp_path / "ffmpeg"
    script.write_text(f"#!{sys.executable}\nimport sys\nsys.stdin.buffer.read()\nsys.exit(1)\n")
    script.chmod(0o755)
    monkeypatch.setattr(ffmpeg_writer, "FFMPEG_BINARY", str(script))
    with pytest.raises(OSError, match=r"could not finish film\.mp4: is the disk full\?"):
        write_video(moving_square(3), tmp_path / "film.mp4", fps=10)
    assert [found.name for found in tmp_path.iterdir()] == ["ffmpeg"]


def test_gif_comes_back(tmp_path):
    path = write_gif(moving_square(12), tmp_path / "film.gif", fps=20, scale=2)
    with Image.open(path) as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"]) == (12, (320, 420), 50)
        gif.seek(11)
        shown = np.array(gif.convert("RGB"))
    assert np.array_equal(shown[::2, ::2], moving_square(12)[11])


def delays_and_pictures(path):
    with Image.open(path) as gif:
        shown = [
            (f.info["duration"], np.array(f.convert("RGB"))) for f in ImageSequence.Iterator(gif)
        ]
    return [delay for delay, _ in shown], [picture for _, picture in shown]


def test_gif_keeps_colours_and_only_what_changed_is_written(tmp_path):
    """Colours merged though 255 fit, or a rectangle of changes in the wrong place."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (200, 3), np.uint8)
    frames = [colours[rng.integers(200, size=(60, 80))]]
    for top, left in ((0, 0), (50, 70), (20, 30), (20, 30)):
        frames.append(frames[-1].copy())
        frames[-1][top : top + 10, left : left + 10] = colours[rng.integers(200, size=(10, 10))]
        frames[-1][top + 5, left + 5] = frames[-2][top + 5, left + 5]  # one inside stays
    path = write_gif(iter(frames), tmp_path / "film.gif", fps=10)
    _, shown = delays_and_pictures(path)
    assert all(np.array_equal(a, b) for a, b in zip(shown, frames, strict=True))
    first = write_gif(frames[:1], tmp_path / "first.gif", fps=10)
    assert path.stat().st_size < 1.5 * first.stat().st_size


@pytest.mark.parametrize(("fps", "expected"), [(30, 1000), (60, 600), (24, 1250), (7, 4290)])
def test_gif_lasts_as_long_as_the_film(tmp_path, fps, expected):
    """Rounding that adds up (30 a second played at 33), or times a browser takes for a mistake.

    Above 50 a second the format cannot follow; a frame lasts 2 hundredths then.
    """
    delays, _ = delays_and_pictures(write_gif(moving_square(30), tmp_path / "film.gif", fps))
    assert sum(delays) == expected and min(delays) >= 20 and max(delays) - min(delays) <= 10


def test_gif_of_a_still_picture_keeps_its_time(tmp_path):
    """Equal frames merged without their time, or a time too long for its 16 bits."""
    first, second = moving_square(2)
    still = [first] * 3 + [second] + [first] * 2
    delays, _ = delays_and_pictures(write_gif(still, tmp_path / "film.gif", fps=10))
    assert delays == [300, 100, 200]
    long = [first[:4, :4]] * 15
    delays, shown = delays_and_pictures(write_gif(long, tmp_path / "long.gif", fps=0.01))
    assert sum(delays) == 1_500_000 and max(delays) <= 655_350
    assert all(np.array_equal(picture, first[:4, :4]) for picture in shown)


@pytest.mark.parametrize("write", [write_video, write_gif])
def test_a_film_is_not_kept_in_memory(tmp_path, write):
    """A whole game in memory: 18,000 frames of 100 kB."""
    references, most = [], 0

    def playing():
        nonlocal most
        for index in range(200):
            frame = np.full((30, 40, 3), index, np.uint8)
            references.append(weakref.ref(frame))
            most = max(most, sum(reference() is not None for reference in references))
            yield frame

    write(playing(), tmp_path / ("film.mp4" if write is write_video else "film.gif"), fps=10)
    assert most <= 4


def test_a_gif_drawn_into_one_array(tmp_path):
    """Frames compared with themselves: a generator that reuses its array gives a still film."""
    canvas = np.zeros((20, 30, 3), np.uint8)

    def drawing():
        for index in range(5):
            canvas[:] = 10 * index
            yield canvas

    _, shown = delays_and_pictures(write_gif(drawing(), tmp_path / "film.gif", fps=10))
    assert [int(picture[0, 0, 0]) for picture in shown] == [0, 10, 20, 30, 40]


def test_html_holds_the_film_on_the_tag_itself(tmp_path):
    path = write_video(moving_square(5), tmp_path / "film.mp4", fps=15)
    html = video_html(path, width=240)
    match = re.fullmatch(
        r'<video controls width="240" src="data:video/mp4;base64,([A-Za-z0-9+/=]+)"></video>', html
    )
    assert match and base64.b64decode(match[1]) == path.read_bytes()
    assert video_html(path.read_bytes(), width=240) == html
    assert show_video(path, width=240).data == html


def test_annotation_leaves_the_game_as_it_is():
    frame = moving_square(1)[0]
    annotated = annotate(frame, "17 FIRE")
    strip = len(annotated) - len(frame)
    assert annotated.dtype == np.uint8 and strip > 0 and strip % 2 == 0
    assert np.array_equal(annotated[strip:], frame)
    assert annotated[:strip].max() > 200
    assert not np.array_equal(annotated, annotate(frame, "18 FIRE"))
    assert annotate(frame[:, :, 0], "17 FIRE").shape == annotated.shape


def test_a_long_annotation_is_written_smaller():
    """The action's name cut off, where the frame's number is long."""
    frame = np.zeros((210, 160, 3), np.uint8)
    long = annotate(frame, "frame 17,999  DOWNRIGHTFIRE")
    assert long.shape == annotate(frame, "frame 1  UP").shape
    assert long[:, -4:].max() == 0 and long[:16, :150].max() > 100
    assert not np.array_equal(long, annotate(frame, "frame 17,999  DOWNRIGHTFIR"))
