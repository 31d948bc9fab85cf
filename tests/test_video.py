"""Films: what is written can be read again, plays in a browser, and a failure leaves no file."""

from __future__ import annotations

import base64
import re
import sys
import weakref

import numpy as np
import psutil
import pytest
from PIL import Image, ImageSequence

from dqn_ref.video import annotate, show_gif, show_video, video_html, write_gif, write_video

WRITERS = pytest.mark.parametrize(
    ("write", "name"), [(write_video, "film.mp4"), (write_gif, "film.gif")]
)


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


def breakout(count: int):
    """Every second frame of random play."""
    import ale_py
    import gymnasium

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    gymnasium.register_envs(ale_py)
    env = gymnasium.make("ALE/Breakout-v5", frameskip=2)
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(count):
        screen, _, over, _, _ = env.step(env.action_space.sample())
        if over:
            env.reset()
        yield screen


def test_twenty_seconds_of_breakout_are_small(tmp_path):
    path = write_video(breakout(600), tmp_path / "breakout.mp4", fps=30, scale=2)
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
    write_gif(moving_square(5), tmp_path / "film.gif", fps=15)
    assert capfd.readouterr() == ("", "")


@WRITERS
@pytest.mark.parametrize(
    ("frames", "options", "sentence"),
    [
        ([], {}, "at least one frame"),
        ([np.zeros((4, 4, 3), np.float32)], {}, "not float32"),
        ([[0, 1]], {}, "not list"),
        ([np.zeros((4, 4, 4), np.uint8)], {}, "shape (H, W, 3)"),
        ([np.zeros((4, 4), np.uint8), np.zeros((4, 6), np.uint8)], {}, "share a size"),
        ([np.zeros((4, 4), np.uint8)], {"fps": 0}, "fps"),
        ([np.zeros((4, 4), np.uint8)], {"fps": 0.004}, "fps"),
        ([np.zeros((4, 4), np.uint8)], {"fps": float("nan")}, "fps"),
        ([np.zeros((4, 4), np.uint8)], {"fps": float("inf")}, "fps"),
        ([np.zeros((4, 4), np.uint8)], {"scale": 1.5}, "scale"),
        ([np.zeros((4, 4), np.uint8)], {"scale": 0}, "scale"),
    ],
)
def test_wrong_input_is_one_sentence_and_leaves_nothing(
    tmp_path, write, name, frames, options, sentence
):
    path = tmp_path / name
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


@WRITERS
def test_frames_that_fail_half_way_leave_nothing(tmp_path, write, name):
    def broken():
        yield from moving_square(3)
        raise OSError("the game broke")

    with pytest.raises(OSError, match="^the game broke$"):
        write(broken(), tmp_path / name, fps=10)
    assert list(tmp_path.iterdir()) == []


@WRITERS
@pytest.mark.parametrize("taken", [-1, 10])
def test_an_encoder_that_fails_leaves_nothing(tmp_path, monkeypatch, write, name, taken):
    """A disk that is full at the end, or among the frames: half a film, or "Broken pipe"."""
    from moviepy.video.io import ffmpeg_writer

    script = tmp_path / "ffmpeg"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.stdin.buffer.read({taken})\n"
        "sys.exit('[out#0/gif @ 0x1] Error muxing\\n[out#0/gif @ 0x1] No space left on device')\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(ffmpeg_writer, "FFMPEG_BINARY", str(script))
    sentence = rf"^the encoder could not write {name}: No space left on device$"
    with pytest.raises(OSError, match=sentence):
        write(moving_square(20), tmp_path / name, fps=10)
    assert [found.name for found in tmp_path.iterdir()] == ["ffmpeg"]


def delays_and_pictures(path) -> tuple[list[int], list[np.ndarray]]:
    """Milliseconds and RGB arrays of a GIF's pictures."""
    with Image.open(path) as gif:
        shown = [
            (f.info["duration"], np.array(f.convert("RGB"))) for f in ImageSequence.Iterator(gif)
        ]
    return [delay for delay, _ in shown], [picture for _, picture in shown]


def test_a_gif_of_breakout_has_the_games_colours(tmp_path):
    """Colours dithered, or taken from one palette that suits another picture."""
    screens = list(breakout(90))
    path = write_gif(iter(screens), tmp_path / "film.gif", fps=30, scale=2)
    delays, shown = delays_and_pictures(path)
    assert len(shown) == 90 and sum(delays) == 3000
    assert all(np.array_equal(a[::2, ::2], b) for a, b in zip(shown, screens, strict=True))
    assert path.stat().st_size <= 60_000
    with Image.open(path) as gif:
        assert gif.info["loop"] == 0, "it does not repeat for ever"


def test_a_gif_keeps_as_many_colours_as_promised(tmp_path):
    """A second picture in the first one's colours, or greys of the network's view merged."""
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (255, 3), np.uint8)[rng.integers(255, size=(60, 80))]]
    frames.append(rng.integers(0, 256, (255, 3), np.uint8)[rng.integers(255, size=(60, 80))])
    frames.append(np.arange(4800, dtype=np.uint16).reshape(60, 80, 1).repeat(3, 2) % 255)
    frames[2] = frames[2].astype(np.uint8)
    _, shown = delays_and_pictures(write_gif(iter(frames), tmp_path / "film.gif", fps=10))
    for picture, frame in zip(shown, frames, strict=True):
        assert np.abs(picture.astype(int) - frame).max() <= 1


@pytest.mark.parametrize("fps", [0.01, 7, 20, 24, 30, 50, 60, 1000])
def test_a_gif_lasts_as_long_as_the_film(tmp_path, fps):
    """Rounding that adds up (30 a second played at 33), or times a browser takes for a mistake."""
    delays, _ = delays_and_pictures(write_gif(moving_square(60), tmp_path / "film.gif", fps))
    assert sum(delays) == pytest.approx(60_000 / fps, abs=20)
    assert min(delays) >= 20 and max(delays) - min(delays) <= 10


def test_a_gif_of_a_still_picture_keeps_its_time(tmp_path):
    """Equal frames merged without their time."""
    first, second = moving_square(2)
    still = [first] * 3 + [second] + [first] * 2
    delays, _ = delays_and_pictures(write_gif(still, tmp_path / "film.gif", fps=10))
    assert sum(delays) == 600
    delays, _ = delays_and_pictures(write_gif([first], tmp_path / "one.gif", fps=10))
    assert delays == [100]


@WRITERS
def test_a_film_is_not_kept_in_memory(tmp_path, write, name):
    """A whole game in memory, here or in the encoder: 18,000 frames of 100 kB and more."""
    references, most, encoder = [], 0, []

    def playing():
        nonlocal most
        for index in range(400):
            frame = moving_square(1)[0] + np.uint8(index % 200)
            references.append(weakref.ref(frame))
            most = max(most, sum(reference() is not None for reference in references))
            if index in (200, 399):
                children = psutil.Process().children()
                encoder.append(sum(child.memory_info().rss for child in children))
            yield frame

    write(playing(), tmp_path / name, fps=10, scale=2)
    assert most <= 4
    # 200 pictures take 80 MB at three bytes a pixel.
    assert encoder[0] > 0 and encoder[1] - encoder[0] < 40e6


@WRITERS
def test_a_film_drawn_into_one_array(tmp_path, write, name):
    """Frames looked at later than they are given: a generator that reuses its array."""
    canvas = np.zeros((20, 30, 3), np.uint8)

    def drawing():
        for index in range(5):
            canvas[:] = 50 * index
            yield canvas

    path = write(drawing(), tmp_path / name, fps=10)
    shown = read(path)[2] if write is write_video else delays_and_pictures(path)[1]
    greys = [int(picture[5, 5, 0]) for picture in shown]
    assert greys == pytest.approx([0, 50, 100, 150, 200], abs=4)


def test_html_holds_the_film_on_the_tag_itself(tmp_path):
    path = write_video(moving_square(5), tmp_path / "film.mp4", fps=15)
    html = video_html(path, width=240)
    match = re.fullmatch(
        r'<video controls width="240" style="max-width: 100%" '
        r'src="data:video/mp4;base64,([A-Za-z0-9+/=]+)"></video>',
        html,
    )
    assert match and base64.b64decode(match[1]) == path.read_bytes()
    assert video_html(path.read_bytes(), width=240) == html
    assert show_video(path, width=240).data == html


def test_a_gif_has_words_that_cannot_break_its_tag(tmp_path):
    """A quote in the text that ends it; the film's width instead of the page's."""
    path = write_gif(moving_square(3), tmp_path / "film.gif", fps=10)
    tag = show_gif(path, 'the "ball" < paddle', width=99).data
    assert tag == show_gif(path.read_bytes(), 'the "ball" < paddle', width=99).data
    assert 'width="99"' in tag and 'alt="the &quot;ball&quot; &lt; paddle"' in tag
    data = re.search(r'src="data:image/gif;base64,([A-Za-z0-9+/=]+)"', tag)[1]
    assert base64.b64decode(data) == path.read_bytes()


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
