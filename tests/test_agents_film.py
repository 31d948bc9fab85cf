"""Films of a game: which frame, which action, what the network was given, at which speed."""

from __future__ import annotations

from contextlib import closing
from itertools import islice, pairwise

import numpy as np
import pytest
from PIL import Image, ImageSequence
from telltale import NAMES, Telltale, telltale_lanes
from test_runs import small, train

from dqn_ref import agents, environments, watching
from dqn_ref.environments import make_lanes
from dqn_ref.errors import RunError
from dqn_ref.evaluation import evaluate
from dqn_ref.frames import FrameStack, preprocess
from dqn_ref.pieces import Pieces
from dqn_ref.recipes import get_recipe
from dqn_ref.watching import START, Moment, moments, picture

# Four frames a decision, FIRE and up to six no-ops at the start, FIRE after a life.
ATARI_LIKE = small(repeat_frames=4, max_over="luminance", start_noops_max=6)


def play(recipe, count, policy=None, open_lanes=None, **options) -> list[Moment]:
    open_lanes = open_lanes or telltale_lanes()
    with closing(moments(recipe, policy, open_lanes=open_lanes, **options)) as game:
        return list(islice(game, count))


def noting_policy(given: list):
    """Goes through the actions in turn, and notes the newest frame of each state."""

    def policy(states):
        given.append(states[0, -1].numpy().copy())
        return np.array([(2, 0, 2, 1)[len(given) % 4]])

    return policy


# ---- the moments ---------------------------------------------------------------------------------


def test_a_frame_has_its_own_number_and_the_action_that_brought_it():
    """A label one decision late, or numbers that count decisions instead of frames."""
    seen_actions = set()
    for moment in play(ATARI_LIKE, 150, noting_policy([])):
        number, code = moment.screen[0, 0, :2]
        assert moment.frame == number
        if moment.action == START:
            assert code in (0, 40 * (1 + NAMES.index("NOOP")), 40 * (1 + NAMES.index("FIRE")))
        else:
            assert moment.action == NAMES[code // 40 - 1]
        seen_actions.add(moment.action)
    assert seen_actions == {START, *NAMES}


def test_start_actions_are_not_the_agents():
    """The door's no-ops and FIRE, at the start and after a life, shown as the agent's choice."""
    film = play(ATARI_LIKE, 60, noting_policy([]), seed=3)
    decided = [moment.frame for moment in film if moment.action != START]
    first = decided[0]
    assert 2 <= first <= 8 and decided[: 4 * 4] == list(range(first, first + 16))
    life_lost = next(i for i, (a, b) in enumerate(pairwise(film)) if b.lives < a.lives)
    step = film[life_lost + 1].step
    after = [moment for moment in film if moment.step == step and moment.action == START]
    assert len(after) == 4 and {moment.screen[0, 0, 1] for moment in after} == {80}  # FIRE


def test_the_networks_frame_is_the_one_the_decision_was_made_on():
    """The frame of another decision: the one after it, the one before, an older of the stack."""
    given = []
    film = play(ATARI_LIKE, 150, noting_policy(given))
    firsts = [
        index
        for index, (before, moment) in enumerate(pairwise(film), start=1)
        if moment.step == before.step + 1
    ]
    assert len(firsts) > 20
    for index in firsts:
        made = preprocess(film[index - 2].screen, film[index - 1].screen, 20, 20)
        assert np.array_equal(film[index].seen, made)
    # In order, they are what the policy was given; what it was given besides is not shown twice.
    shown = iter(given)
    for index in firsts:
        assert any(np.array_equal(film[index].seen, frame) for frame in shown)


def test_before_the_first_decision_the_network_saw_nothing():
    """The last frame of the game before, shown during the start of the next."""
    film = play(ATARI_LIKE, 200, noting_policy([]))
    starts = [moment for moment in film if moment.step == 0]
    assert sum(moment.frame == 0 for moment in starts) == 4  # games
    assert all(moment.seen.max() == 0 and moment.action == START for moment in starts)
    assert any(moment.seen.max() > 0 for moment in film)


def test_a_game_ends_once_and_the_next_one_counts_from_zero():
    """Numbers, points and decisions that go on into the next game; a film that never ends."""
    film = play(ATARI_LIKE, 200, noting_policy([]))
    ends = [index for index, moment in enumerate(film) if moment.end]
    assert [film[index].frame for index in ends] == [60] * 3 and film[ends[0]].end == "over"
    after = film[ends[0] + 1]
    assert (after.frame, after.step, after.score, after.action) == (0, 0, 0.0, START)
    cut = play(ATARI_LIKE, 40, noting_policy([]), max_frames=8)
    assert next(moment.end for moment in cut if moment.end) == "cut off"


def test_the_score_is_that_of_an_evaluation():
    """Points of start actions that count in the film but not in an evaluation."""
    lanes = telltale_lanes()(ATARI_LIKE, 1)
    stack = FrameStack(1, ATARI_LIKE.stack_frames, ATARI_LIKE.frame_shape)
    told = evaluate(lanes, stack, noting_policy([]), ATARI_LIKE.terminal_on_life_loss, seed=5)
    film = play(ATARI_LIKE, 61, noting_policy([]), seed=5)
    assert [film[-1].score] == told.scores and [film[-1].step] == told.steps
    assert film[-1].score < film[-1].frame  # the start actions' points are not in it


@pytest.mark.parametrize(("name", "shortest", "longest"), [("notebook_a", 16, 16),
                                                           ("notebook_b", 4, 8)])  # fmt: skip
def test_decisions_of_many_frames_and_random_starts(name, shortest, longest):
    """Frames lost between repetitions, or random start actions shown as the agent's."""
    recipe = get_recipe(name, device="cpu")
    lanes = telltale_lanes(lambda: Telltale(length=250, life_frames=1000))
    film = play(recipe, 200, noting_policy([]), lanes, seed=1)
    assert [moment.frame for moment in film] == list(range(200))
    decisions: dict[int, list[Moment]] = {}
    for moment in film:
        decisions.setdefault(moment.step, []).append(moment)
    starting = decisions.pop(0)
    assert all(moment.action == START for moment in starting)
    assert (len(starting) > 1) == (name == "notebook_b")
    decisions.popitem()  # the last was cut short by this test
    assert all(shortest <= len(brought) <= longest for brought in decisions.values())
    assert all(len({moment.action for moment in brought}) == 1 for brought in decisions.values())
    assert starting[0].seen.shape == recipe.frame_shape


def test_small_games():
    """A game without lives, one frame a decision, whose actions have no names."""
    film = play(get_recipe("gallery"), 30, open_lanes=make_lanes)
    assert {moment.lives for moment in film} == {0}
    assert all(moment.frame == moment.step for moment in film)
    assert {moment.action for moment in film} == {START, "0", "1"}
    assert watching.game_fps(get_recipe("gallery")) == 10


def test_real_breakout_through_its_fast_recipe():
    """A recipe of ALE's own door, which hands out no colour frames."""
    film = play(get_recipe("laptop"), 120, open_lanes=make_lanes, seed=2)
    assert [moment.frame for moment in film] == list(range(120))
    assert film[0].screen.shape == (210, 160, 3) and film[-1].seen.shape == (84, 84)
    assert film[0].lives == 5
    assert watching.game_fps(get_recipe("laptop")) == 60
    # The top row of bricks is red, not blue; the network's frame shows bricks as well.
    assert film[-1].screen[58, 80].tolist() == [200, 72, 72]
    assert film[-1].seen[24, 40] > 50


# ---- the picture ---------------------------------------------------------------------------------


def a_moment(**changes) -> Moment:
    rng = np.random.default_rng(0)
    screen = rng.integers(0, 256, (210, 160, 3), np.uint8)
    seen = rng.integers(0, 256, (84, 84), np.uint8)
    return Moment(screen, seen, 1204, "LEFT", 300, 4.0, 5, "")._replace(**changes)


def test_views():
    """Pixels that are blurred, moved or in swapped channels; the two pictures exchanged."""
    moment = a_moment()
    assert np.array_equal(picture(moment), moment.screen)
    network = picture(moment, "network")
    assert network.shape == (420, 420, 3)
    assert np.array_equal(network[::5, ::5], np.repeat(moment.seen[:, :, None], 3, axis=2))
    assert np.array_equal(network[4::5, 4::5], network[::5, ::5])
    both = picture(moment, "both")
    assert both.shape == (420, 320 + 8 + 420, 3)
    assert np.array_equal(both[1::2, :320:2], moment.screen)
    assert np.array_equal(both[:, 328:], network)
    assert both[:, 320:328].max() == 0


@pytest.mark.parametrize("shape", [(105, 80), (36, 36), (20, 20), (210, 8), (8, 210)])
def test_network_frames_of_any_size_fit_beside_the_screen(shape):
    """A frame that is not square, or too wide to enlarge as its height suggests."""
    moment = a_moment(seen=np.full(shape, 200, np.uint8))
    both = picture(moment, "both")
    factor = 420 // max(shape)
    assert both.shape == (420, 328 + factor * shape[1], 3)
    assert (both[:, 328:] == 200).sum() == 3 * factor**2 * shape[0] * shape[1]


def test_the_label_stands_above_every_view(monkeypatch):
    """A label that hides the game, or names something else."""
    texts = []
    annotate = watching.annotate
    monkeypatch.setattr(
        watching, "annotate", lambda f, text: texts.append(text) or annotate(f, text)
    )
    moment = a_moment()
    for view in ("network", "both"):
        labelled = picture(moment, view, label=True)
        plain = picture(moment, view)
        assert np.array_equal(labelled[-len(plain) :], plain)
    colour = picture(moment, "colour", label=True)
    assert np.array_equal(colour[-420::2, ::2], moment.screen)
    assert texts == ["frame 1,204  LEFT"] * 3


def test_a_view_that_cannot_be_drawn_is_refused():
    """A traceback from inside NumPy instead of a sentence."""
    with pytest.raises(ValueError, match="unknown view 'grey'; choose from colour"):
        picture(a_moment(), "grey")
    with pytest.raises(ValueError, match="no picture, so there is no view 'both'"):
        picture(a_moment(seen=None), "both")


# ---- the film ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("film") / "run"
    train(folder)
    return folder


@pytest.fixture
def console(monkeypatch):
    """The run's network plays Telltale at the console's speed."""
    env = Telltale(names=["NOOP", "LEFT"])
    monkeypatch.setattr(environments, "make_lanes", telltale_lanes(lambda: env))
    monkeypatch.setattr(agents, "game_fps", lambda recipe: 60.0)
    return env


def gif_pictures(path) -> tuple[list[np.ndarray], list[int]]:
    with Image.open(path) as gif:
        both = [
            (np.array(f.convert("RGB")), f.info["duration"]) for f in ImageSequence.Iterator(gif)
        ]
    return [shown for shown, _ in both], [duration for _, duration in both]


def test_an_mp4_keeps_every_frame_at_the_consoles_speed(run, console, tmp_path):
    """Half the frames, half the speed, or red and blue exchanged."""
    from moviepy import VideoFileClip

    film = agents.film_run(run, tmp_path / "film.mp4", 0.5, 0)
    assert (film.frames, film.end) == (61, "over") and film.score == 60
    with VideoFileClip(str(tmp_path / "film.mp4")) as clip:
        assert clip.fps == 60
        frames = np.stack(list(clip.iter_frames())).astype(int)
    assert frames.shape == (61, 210, 160, 3)
    middle = frames[:, 100, 80]
    assert np.abs(middle[:, 0] - np.arange(61)).max() <= 12  # 4:2:0 colour is not exact
    assert middle[1:, 1].min() > 25 and middle[:, 2].max() < 15


def test_a_gif_keeps_the_speed_and_the_colours(run, console, tmp_path):
    """A GIF at half speed, in other colours, or with flickering sprites always left out."""
    film = agents.film_run(run, tmp_path / "film.gif", 0.5, 0)
    pictures, durations = gif_pictures(tmp_path / "film.gif")
    assert [int(shown[0, 0, 0]) for shown in pictures] == list(range(0, 61, 3))
    assert all((shown == shown[0, 0]).all() and shown[0, 0, 2] == 0 for shown in pictures)
    assert {int(shown[0, 0, 1]) for shown in pictures[1:]} <= {40, 80}
    assert durations == [50] * 21 and abs(sum(durations) / 1000 - film.seconds) <= 0.05


def test_the_network_view_of_a_film(run, console, tmp_path):
    """The frame after the decision instead of the one before: one frame a decision shows it."""
    agents.film_run(run, tmp_path / "film.gif", 0.5, 0, view="network")
    pictures, _ = gif_pictures(tmp_path / "film.gif")
    assert pictures[0].shape == (420, 420, 3) and pictures[0].max() == 0
    # The second picture stands beside frame 3, which was decided on frame 2: red 2, green 40 or 80.
    greys = [0.299 * 2 + 0.587 * code for code in (40, 80)]
    assert min(abs(int(pictures[1][0, 0, 0]) - grey) for grey in greys) <= 0.5
    assert (pictures[1] == pictures[1][0, 0, 0]).all()


def test_a_film_of_some_seconds(run, console, tmp_path):
    """A limit in seconds that counts decisions or pictures, or a game wrongly called over."""
    film = agents.film_run(run, tmp_path / "film.gif", 0.5, 0, seconds=0.5)
    assert film == agents.Film(29.0, 30, 0.5, "")
    assert sum(gif_pictures(tmp_path / "film.gif")[1]) == 500
    whole = agents.film_run(run, tmp_path / "all.gif", 0.5, 0, seconds=1e300)
    assert whole.end == "over"


def test_a_film_is_written_while_it_is_played(run, console, tmp_path, monkeypatch):
    """A whole game kept in memory before the first picture is written."""
    ahead = []

    def writing(frames, path, fps):
        for index, _ in enumerate(frames):
            ahead.append(console.frame - index)

    monkeypatch.setattr(agents, "kept_pieces", lambda run: Pieces(write_video=writing))
    agents.film_run(run, tmp_path / "film.mp4", 0.5, 0)
    assert len(ahead) == 61 and max(ahead) <= 1
    assert console.closes == 2  # that of the network's size, and that of the film


def test_labels_and_both_views_in_both_formats(run, tmp_path):
    """A view or a label that only one of the formats can write."""
    for name in ("film.mp4", "film.gif"):
        agents.film_run(run, tmp_path / name, 0.5, 0, view="both", label=True, seconds=0.5)
        assert (tmp_path / name).stat().st_size > 1000
    pictures, durations = gif_pictures(tmp_path / "film.gif")
    assert pictures[0].shape == (32 + 420, 320 + 8 + 420, 3) and pictures[0][:32].max() > 200
    # A small game is watched at its own ten frames a second, not at sixty.
    assert set(durations) == {100}


@pytest.mark.parametrize("name", ["film.avi", "film", "film.MP4", ".gif"])
def test_other_suffixes_are_one_sentence(run, tmp_path, name):
    """A film of a format nobody chose, or an error from the encoder's depths."""
    with pytest.raises(RunError, match=r"must end in \.mp4 or \.gif") as error:
        agents.film_run(run, tmp_path / name, 0.05, 0)
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["film.mp4", "film.gif"])
def test_an_older_film_is_kept_unless_it_is_to_be_replaced(run, tmp_path, name, monkeypatch):
    """An older film lost, without a word or because the new one failed half-way."""
    film = tmp_path / name
    film.write_bytes(b"an older film")
    with pytest.raises(RunError, match="--overwrite"):
        agents.film_run(run, film, 0.05, 0)
    assert film.read_bytes() == b"an older film"

    draw, drawn = agents.picture, []

    def breaking(*arguments):
        drawn.append(arguments)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(agents, "picture", breaking)
        with pytest.raises(KeyboardInterrupt):
            agents.film_run(run, film, 0.05, 0, overwrite=True)
    assert film.read_bytes() == b"an older film" and list(tmp_path.iterdir()) == [film]
    agents.film_run(run, film, 0.05, 0, overwrite=True)
    assert film.stat().st_size > 200 and list(tmp_path.iterdir()) == [film]


def test_a_folder_or_a_link_in_the_films_place(run, tmp_path):
    """A folder found only after the game was played; a link to nowhere replaced unasked."""
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(RunError, match="is a folder"):
        agents.film_run(run, tmp_path / "folder.gif", 0.05, 0, overwrite=True)
    (tmp_path / "link.mp4").symlink_to(tmp_path / "nowhere.mp4")
    with pytest.raises(RunError, match="exists already"):
        agents.film_run(run, tmp_path / "link.mp4", 0.05, 0)
