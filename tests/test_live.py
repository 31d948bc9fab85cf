"""The live view: one output, the right pictures at the right times, and a quiet end."""

from __future__ import annotations

import base64
import io
import re
import time
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import IPython.display
import numpy as np
import pytest
from PIL import Image
from telltale import Telltale
from test_runs import train

from dqn_ref.course import live
from dqn_ref.course.live import show_live, watch_live
from dqn_ref.environments import make_gym_env
from dqn_ref.recipes import get_recipe
from dqn_ref.watching import CONSOLE_FPS, Watched, env_moments, network_frame

ROOT = Path(__file__).resolve().parents[1]


class Notebook:
    """Stands in for the front end, and for time: pauses are noted and take none."""

    def __init__(self):
        self.outputs: list[list[str]] = []
        self.pauses: list[float] = []
        self.now = 100.0

    def display(self, shown, display_id):
        assert display_id is True
        output = [shown.data]
        self.outputs.append(output)
        return SimpleNamespace(update=lambda shown: output.append(shown.data))

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds

    @property
    def tags(self) -> list[str]:
        (only,) = self.outputs
        return only

    @property
    def pictures(self) -> list[np.ndarray]:
        data = [re.search(r'src="data:image/png;base64,([^"]+)"', tag)[1] for tag in self.tags]
        return [np.array(Image.open(io.BytesIO(base64.b64decode(one)))) for one in data]

    @property
    def frames(self) -> list[int]:
        found = [re.search(r"frame ([\d,]+), action", tag)[1] for tag in self.tags]
        return [int(number.replace(",", "")) for number in found]


@pytest.fixture
def notebook(monkeypatch):
    front = Notebook()
    monkeypatch.setattr(live, "_in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", front.display)
    monkeypatch.setattr(
        live, "time", SimpleNamespace(monotonic=lambda: front.now, sleep=front.sleep)
    )
    return front


# ---- an environment ------------------------------------------------------------------------------


def test_one_output_shows_one_picture_after_another(notebook):
    """A new output per picture, the picture of another step, colours in another order."""
    env = Telltale()
    watch_live(env, lambda observation: 2, label=False, max_steps=8)
    assert [tuple(picture[5, 5]) for picture in notebook.pictures] == [
        (0, 0, 0), *((number, 120, 0) for number in range(1, 9))
    ]  # fmt: skip
    assert notebook.pictures[0].shape == (210, 160, 3)
    assert 'width="160" height="210"' in notebook.tags[0]
    assert "frame 8, action LEFT, score 8" in notebook.tags[-1] and 'alt="' in notebook.tags[-1]
    assert env.closes == 0  # it is the user's


def test_the_speed_is_the_games(notebook):
    """Pictures as fast as they can be drawn, or a game slowed down by the thinning."""
    watch_live(Telltale(), max_steps=20)  # ten steps a second
    assert notebook.pauses == pytest.approx([0.1] * 20)
    notebook.pauses.clear()
    notebook.outputs.clear()
    watch_live(Telltale(), seconds=2, fps=5, speed=2)
    # Every fifth step: an even number would always miss what flickers in step.
    assert sum(notebook.pauses) == pytest.approx(0.75)
    assert notebook.frames == [0, 5, 10, 15, 19]


def test_slow_drawing_makes_the_game_slower(notebook, monkeypatch):
    """A view that hurries to catch up after a slow moment."""
    show = live.Screen.show

    def slowly(self, *arguments):
        notebook.now += 1.0 if len(notebook.outputs) == 1 and len(notebook.tags) == 3 else 0.0
        show(self, *arguments)

    monkeypatch.setattr(live.Screen, "show", slowly)
    watch_live(Telltale(), max_steps=6)
    assert notebook.pauses == pytest.approx([0.1] * 5)  # one picture had no pause before it


def test_as_fast_as_it_goes(notebook):
    """A pause, or an error, for an infinite speed."""
    watch_live(Telltale(), max_steps=6, speed=float("inf"))
    assert notebook.pauses == [] and notebook.frames == list(range(7))


def test_it_ends_by_itself_and_goes_on_into_the_next_game(notebook):
    """A view that runs for ever where nobody can press a button, or stops at a game's end."""
    env = Telltale(length=40)
    watch_live(env, seconds=7)
    assert env.resets == 2
    assert notebook.frames == [*range(41), *range(70 - 41)]
    watch_live(env, seconds=1000, max_steps=0)
    assert len(notebook.outputs) == 2 and len(notebook.outputs[1]) == 1


def test_real_atari_steps_of_four_frames(notebook):
    """A label that counts decisions, or steps of four frames shown at sixty a second."""
    env = gymnasium.make("ALE/Breakout-v5", frameskip=4, render_mode="rgb_array")
    watch_live(env, view="both", max_steps=10, seed=3)
    env.close()
    assert notebook.frames == list(range(0, 41, 4))
    assert notebook.pauses == pytest.approx([4 / CONSOLE_FPS] * 10)
    last = notebook.pictures[-1]
    assert last.shape == (32 + 420, 320 + 8 + 420, 3)
    assert last[32 + 2 * 58, 160].tolist() == [200, 72, 72]  # bricks, in colour
    grey = last[32:, 328:]
    assert (grey[..., 0] == grey[..., 2]).all() and grey.max() > 100
    assert len(notebook.tags[-1]) < 30_000  # what a saved notebook keeps


def test_the_network_view_is_what_the_policy_was_given(notebook):
    """The observation after the action instead of the one it was chosen on."""
    grey = gymnasium.wrappers.TransformObservation(
        Telltale(render_mode="rgb_array"),
        lambda observation: observation[::10, ::10, 0],
        gymnasium.spaces.Box(0, 255, (21, 16), np.uint8),
    )
    watch_live(grey, view="network", label=False, max_steps=5)
    assert [int(picture[0, 0, 0]) for picture in notebook.pictures] == [0, 0, 1, 2, 3, 4]
    assert notebook.pictures[0].shape == (420, 320, 3)


def test_environments_whose_observation_is_no_picture(notebook):
    """A game of numbers that cannot be watched though it draws itself."""
    watch_live(Telltale(vector=True, render_mode="rgb_array"), max_steps=2)
    assert len(notebook.pictures) == 3
    for env, view, sentence in (
        (Telltale(vector=True), "colour", "make it with render_mode='rgb_array'"),
        (Telltale(vector=True, render_mode="rgb_array"), "both", "no picture, so there is no"),
    ):
        with pytest.raises(ValueError, match=sentence):
            watch_live(env, view=view, max_steps=2)


def test_random_play_repeats_with_its_seed_and_leaves_the_environments_draws():
    """A random policy that draws from the environment's own series."""

    def actions(seed):
        env = Telltale()
        env.action_space.seed(0)
        expected = Telltale().action_space
        expected.seed(0)
        game = env_moments(env, seed=seed)
        found = [next(game).action for _ in range(30)]
        assert env.action_space.sample() == expected.sample()
        return found

    assert actions(1) == actions(1) != actions(2)


@pytest.mark.parametrize(
    ("observation", "expected"),
    [
        (np.full((10, 8), 7, np.uint8), 7),
        (np.stack([np.full((10, 8), value, np.uint8) for value in (1, 2, 3, 9)]), 9),
        (np.stack([np.full((10, 8), value, np.uint8) for value in (1, 2, 3, 9)], axis=2), 9),
        (np.full((10, 8, 1), 5, np.uint8), 5),
        (np.full((210, 160, 3), 50, np.uint8), 50),
    ],
)
def test_the_grey_picture_in_an_observation(observation, expected):
    """The oldest frame of a stack, or one column of it."""
    found = network_frame(observation)
    assert found.ndim == 2 and (found == expected).all()
    assert network_frame(np.zeros(4, np.float32)) is None and network_frame({"a": 1}) is None
    assert network_frame([[1], [1, 2]]) is None


# ---- an agent ------------------------------------------------------------------------------------


def test_a_run_is_watched_by_its_folder(notebook, tmp_path):
    """The agent's game at sixty decisions a second; its folder changed by looking at it."""
    train(tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    watch_live(str(tmp_path / "run"), view="both", max_steps=10)
    assert notebook.pauses == pytest.approx([0.1] * len(notebook.pauses)) and notebook.pauses
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_recipe_is_watched_at_random_or_with_a_policy(notebook):
    """Atari's sixty frames thinned by an even number, which loses sprites that flicker."""
    recipe = get_recipe("laptop")
    watch_live(recipe, seconds=0.5, seed=1)
    shown = notebook.frames
    assert shown[0] == 0 and {b - a for a, b in zip(shown[:-1], shown[1:-1], strict=False)} == {3}
    assert shown[-1] == 29  # the last one is shown, though it is not its turn
    assert sum(notebook.pauses) == pytest.approx(27 / 60)
    notebook.outputs.clear()
    asked = []
    watch_live(recipe, lambda states: asked.append(states.shape) or np.array([0]), max_steps=4)
    assert asked[0] == (1, 4, 84, 84) and "action NOOP" in notebook.tags[-1]


# ---- the end, and no notebook --------------------------------------------------------------------


def test_an_interrupt_ends_it_without_a_traceback(notebook):
    """Kernel > Interrupt with a traceback, or a last picture that is gone."""
    steps = []

    def policy(observation):
        steps.append(1)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return 0

    watch_live(Telltale(), policy)
    assert notebook.frames == [0, 1, 2, 3, 4]


def test_without_a_notebook_nothing_happens(capsys, monkeypatch):
    """A page of `<IPython.core.display.HTML object>`, a game played for nobody, a pause."""
    monkeypatch.setattr(IPython.display, "display", lambda *_, **__: pytest.fail("displayed"))
    env = Telltale()
    start = time.monotonic()
    watch_live(env)
    assert env.resets == 0 and time.monotonic() - start < 1
    assert capsys.readouterr().out == "There is no notebook here to show the game in.\n"
    shown = show_live(env)
    shown.reset()
    assert shown.step(1)[1] == 1.0 and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"view": "grey"}, "unknown view"), ({"seconds": 0}, "seconds must be above 0"),
        ({"fps": -1}, "fps must be"), ({"speed": float("nan")}, "speed must be"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_one_sentence(options, sentence):
    """Found only in the notebook, after a run was loaded."""
    with pytest.raises(ValueError, match=sentence):
        watch_live(Telltale(), **options)


# ---- while anything plays ------------------------------------------------------------------------


def test_whatever_plays_can_be_seen_and_is_not_slowed_down(notebook):
    """Training that waits for pictures, draws some for nobody, or gets other steps than alone."""
    env = Telltale(render_mode="rgb_array")
    shown, plain = show_live(env, fps=10), Telltale()
    for each in (shown, plain):
        each.reset(seed=0)
    for step in range(30):
        notebook.now += 0.01
        ours, theirs = shown.step(step % 3), plain.step(step % 3)
        assert np.array_equal(ours[0], theirs[0]) and ours[1:] == theirs[1:]
    assert notebook.pauses == []
    assert env.renders == len(notebook.pictures) == 4
    assert notebook.frames == [0, 10, 20, 30]


def test_a_watched_environment_can_be_trained_on(notebook, tmp_path):
    """A wrapper that the training loop's door does not take."""
    from test_runs import small

    recipe = small(total_steps=60, learning_starts=20, lanes=1)
    train(tmp_path / "run", recipe, make_env=lambda: show_live(make_gym_env(recipe)))
    assert notebook.frames[0] == 0


def test_looking_away_makes_no_moment():
    """A picture rendered at every step though nobody looks."""
    env = Telltale(render_mode="rgb_array")
    watched = Watched(env, lambda look: None)
    watched.reset()
    watched.step(0)
    assert env.renders == 0


# ---- a real kernel -------------------------------------------------------------------------------


def test_in_a_real_kernel():
    """A stack of outputs, a notebook that grows with every picture, a traceback on interrupt."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))

    def run(code, until=None):
        """Messages of a cell; interrupted after so many pictures."""
        asked, told, pictures = client.execute(code), [], 0
        while True:
            message = client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return told
            if kind not in ("status", "execute_input"):
                told.append((kind, content))
            pictures += kind == "update_display_data"
            if pictures == until:
                until = None
                manager.interrupt_kernel()

    try:
        setup = run(
            "from dqn_ref.course.live import watch_live\n"
            "from dqn_ref.games import ShootingGallery\n"
            "env = ShootingGallery()"
        )
        assert setup == []
        told = run("watch_live(env, view='both', max_steps=12, speed=float('inf'))")
        assert [kind for kind, _ in told] == ["display_data"] + ["update_display_data"] * (
            len(told) - 1
        )
        assert len(told) >= 13
        assert len({content["transient"]["display_id"] for _, content in told}) == 1
        assert all(len(content["data"]["text/html"]) < 20_000 for _, content in told)
        told = run("watch_live(env, seconds=600); print('went on')", until=3)
        assert {kind for kind, _ in told} == {"display_data", "update_display_data", "stream"}
        assert told[-1][1]["text"] == "went on\n" and len(told) < 30
        # Forty lines of our own code above one sentence.
        for wrong in ("watch_live('nowhere')", "watch_live(get_recipe('desktop'))"):
            told = run("from dqn_ref.recipes import get_recipe\n" + wrong)
            assert [kind for kind, _ in told] == ["error"]
            (line,) = told[0][1]["traceback"]
            assert line.startswith("RecipeError: ") and "\n" not in line
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
