"""The panel of a training: what it says, and that its buttons do what they say."""

import html
import json
import re
import shutil
import socket
from dataclasses import replace
from types import SimpleNamespace

import pandas
import pytest

from dqn_ref import processes, run_folders
from dqn_ref.__main__ import main
from dqn_ref.course import dashboard as panel
from dqn_ref.course.glance import Glance, at_play, duration, glance
from dqn_ref.course.home import CourseError
from dqn_ref.course.shipped import shipped_run
from dqn_ref.errors import RunError
from dqn_ref.recipes import Recipe, get_recipe
from dqn_ref.reporting import history
from dqn_ref.run_folders import RunFolder
from dqn_ref.runs import train


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mine"
    recipe = get_recipe(
        "gallery", lanes=2, total_steps=300, learning_starts=100, memory_frames=500, threads=1,
        log_every_steps=100, frame_height=20, frame_width=20, architecture="mnih2013", seed=1,
        precision="fp32",
    )  # fmt: skip
    train(recipe, folder, show_bar=False)
    return folder


@pytest.fixture
def now(monkeypatch):
    """Background jobs run at once, nothing is followed, nothing is started."""
    started = []
    monkeypatch.setattr(panel.Dashboard, "_in_background", staticmethod(lambda job: job()))
    monkeypatch.setattr(panel.Dashboard, "_follow", lambda self: started.append("follow"))

    def start(arguments, run_dir):
        started.append(arguments)
        return SimpleNamespace(wait=lambda seconds: True)

    monkeypatch.setattr(processes, "start_detached", start)
    return started


def text(box) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", box._line.value))


def log(**columns):
    return pandas.DataFrame(columns)


# ---- what a folder says --------------------------------------------------------------------------


def test_a_finished_run_in_one_line(finished_run):
    seen = glance(finished_run)
    assert re.fullmatch(
        r"finished · 300 of 300 steps · score \d+\.\d \(mean of the last 100 games\) · "
        r"epsilon 0\.9\d",
        seen.line,
    ), seen.line
    assert seen.seconds_left is None  # nothing is to come


def running(updates, speeds=None, warm_up=5_000, every=2_000) -> str:
    """The line of a training whose log has a row per number of updates."""
    steps = [every * (row + 1) for row in range(len(updates))]
    speeds = speeds or [100.0] * len(updates)
    rows = log(
        agent_steps=steps, updates=updates, steps_per_second=speeds, epsilon=[0.5] * len(updates)
    )
    run = RunFolder("mine", run_folders.RUNNING, 40_000, 1_000_000, 12, 3.25)
    return Glance(run, rows, warm_up).line


def test_a_running_one_has_a_speed_and_an_end():
    """Hours for minutes; the time since the beginning instead of the time to go."""
    line = running([100, 600, 1_100], [50.0, 90.0, 200.0])
    assert "200 steps/s · 80 min to go · score 3.2" in line and line.startswith("running · 40,000")
    assert line.endswith("epsilon 0.50")


@pytest.mark.parametrize(
    "updates, said",
    [
        ([0], "filling the memory"),
        ([0, 0], "filling the memory"),
        ([0, 0, 248], "learning begins"),
        ([0, 0, 248, 748], "100 steps/s · 2 h 40 min to go"),
        ([248, 748, 1_248, 1_248, 1_248], "filling the memory"),  # resumed without its memory
        ([0] * 5, "no updates yet"),
        ([500] * 6, "no updates since step 2,000"),
    ],
)
def test_a_warm_up_promises_no_end(updates, said):
    """A time to go at the warm-up's speed, ten times too short; a loop that never learns."""
    assert f"1,000,000 steps · {said} · score" in running(updates)


def test_a_resumed_training_has_no_speed_yet():
    """The speed of the process before, for one that fills a new memory."""
    steps, made = [2_000, 4_000, 6_000, 8_000], [500, 1_000, 1_500, 2_000]
    rows = log(agent_steps=steps, updates=made, steps_per_second=[9.0] * 4, epsilon=[0.5] * 4)
    run = RunFolder("mine", run_folders.RUNNING, 8_000, 20_000, 12, 3.25)
    assert "9 steps/s" in Glance(run, rows, 5_000).line
    assert "· filling the memory ·" in Glance(run, rows, 5_000, since=8_000).line
    assert "· learning begins ·" in Glance(run, rows, 5_000, since=6_000).line
    assert "9 steps/s" in Glance(run, rows, 5_000, since=4_000).line


def test_before_its_first_row_a_training_fills_its_memory():
    """The speed of no interval at all."""
    run = RunFolder("mine", run_folders.RUNNING, 0, 300, 0, None)
    assert Glance(run, None).line == "running · 0 of 300 steps · filling the memory"


@pytest.mark.parametrize(
    "seconds, said",
    [(7, "7 s"), (99, "99 s"), (100, "2 min"), (4_800, "80 min"), (7_500, "2 h 5 min")],
)
def test_durations(seconds, said):
    assert duration(seconds) == said


def test_a_folder_without_rows_is_no_error(tmp_path):
    """A training that has just begun, looked at by an impatient person."""
    get_recipe("gallery").save(tmp_path / "recipe.json")
    seen = glance(tmp_path)
    assert seen.log is None and seen.line.startswith("interrupted")
    assert "no weights yet" in at_play(tmp_path)


def test_a_damaged_folder_says_what_is_wrong(tmp_path):
    (tmp_path / "recipe.json").write_text("{")
    assert "recipe.json" in glance(tmp_path).line


# ---- the panel -----------------------------------------------------------------------------------


def test_the_panel_of_a_finished_run(finished_run, now):
    """It has no use for a button, shows curves and the agent, and keeps them without widgets."""
    box = panel.Dashboard(finished_run)
    assert "mine" in text(box) and "finished · 300 of 300 steps" in text(box)
    assert box._go.disabled and box._halt.disabled
    assert "Four curves up to step 300" in box._curves.value
    assert box._play.value.count("<img") == 4 and "alt=" in box._play.value
    shown = box._repr_mimebundle_()["text/html"]
    assert "finished" in shown and shown.count("<img") == 5
    assert now == []


def test_the_panel_says_how_the_score_stands_to_the_courses_own(finished_run, now, tmp_path):
    """A learner who cannot tell a slow training from a broken one."""
    box = panel.Dashboard(shipped_run("breakout-laptop-seed-0"))
    assert "Green: the score is inside the course's band of 3 seeds." in text(box)
    assert "The mean is inside the course's band" in html.unescape(box._curves.value)
    early = panel.Dashboard(shipped_run("breakout-laptop"))
    assert "below the course's band of 3 seeds since step 40,007; unlike theirs" in text(early)
    assert "lanes=8" in text(early) and "n_step" not in text(early)
    pong = shutil.copytree(shipped_run("breakout-laptop-seed-0"), tmp_path / "pong")
    settings = json.loads((pong / "recipe.json").read_text()) | {"game": "pong"}
    (pong / "recipe.json").write_text(json.dumps(settings))
    assert "band" not in text(panel.Dashboard(pong))


def test_a_published_run_can_be_looked_at_only(now):
    """A button that trains on in results/, or a finished run that is called interrupted."""
    box = panel.Dashboard(shipped_run("breakout-laptop-seed-0"))
    assert "recorded · 338,810 steps · score 34.9" in text(box)
    assert box._go.disabled and box._halt.disabled and now == []


def test_a_run_that_was_killed_early_can_go_on(finished_run, tmp_path, now):
    """A training without its first checkpoint taken for a published record."""
    folder = tmp_path / "killed"
    shutil.copytree(finished_run, folder)
    (folder / "checkpoint.safetensors").unlink()
    dead = {"pid": 2**30, "create_time": 1.0, "host": socket.gethostname(), "training": True}
    (folder / "process.json").write_text(json.dumps(dead))
    box = panel.Dashboard(folder)
    assert "interrupted" in text(box) and not box._go.disabled
    assert "Press Go on, and it goes on from the beginning" in text(box)
    shutil.copy(finished_run / "checkpoint.safetensors", folder)
    recipe = replace(Recipe.load(folder / "recipe.json"), total_steps=900)
    recipe.save(folder / "recipe.json")
    box.refresh()
    assert "it goes on from its checkpoint at step 300" in text(box)


def test_a_new_run_is_begun_with_its_flags(tmp_path, now):
    """A flag that is lost, written with underscores, or True where the parser asks for yes."""
    box = panel.Dashboard(tmp_path / "new", {"recipe": "gallery", "double": True, "lanes": 3})
    assert box._go.description == "Train" and not box._go.disabled and box._halt.disabled
    box._go.click()
    assert now == [
        ["train", "--recipe", "gallery", "--double", "yes", "--lanes", "3", "--quiet",
         "--run-dir", str(tmp_path / "new")],
    ]  # fmt: skip


def test_the_flags_are_those_of_the_command_line():
    """Keyword arguments that `train` would refuse."""
    from dqn_ref.__main__ import build_parser

    flags = panel._flags({"recipe": "gallery", "double": False, "total_steps": 5})
    assert build_parser().parse_args(["train", *flags, "--run-dir", "x"]).total_steps == 5


def test_a_run_that_exists_goes_on(finished_run, tmp_path, now, monkeypatch):
    """A second training over the first one's folder."""
    asked = []
    monkeypatch.setattr(
        run_folders, "resume", lambda folder, name, tell: asked.append((folder, name))
    )
    box = panel.Dashboard(finished_run, {"recipe": "gallery"})
    box.start()
    assert asked == [(finished_run.parent, "mine")] and now == []


def test_a_larger_total_trains_a_finished_run_on(finished_run, tmp_path, now, monkeypatch):
    """A cell that is changed to train longer, and a button that stays off."""
    folder = tmp_path / "mine"
    shutil.copytree(finished_run, folder)

    def here(arguments, run_dir):
        assert main(arguments) == 0
        return SimpleNamespace(wait=lambda seconds: True)

    monkeypatch.setattr(processes, "start_detached", here)
    box = panel.Dashboard(folder, {"recipe": "gallery", "total_steps": 400})
    assert "Press Go on to train it up to 400 steps instead of 300" in text(box)
    assert not box._go.disabled and box._halt.disabled
    box._go.click()
    assert "finished · 400 of 400 steps" in text(box) and box._go.disabled, text(box)
    assert "Press" not in text(box)
    assert list(history(folder)["agent_steps"]) == [100, 200, 300, 400]


def test_other_settings_than_the_runs_are_told(finished_run, now):
    """A cell that asks for one thing and silently gets another."""
    asked = {"pieces": "my_dqn", "total_steps": 200, "batch_size": 64, "seed": 1}
    said = text(panel.Dashboard(finished_run, asked))
    assert "total_steps 300, not 200" in said and "batch_size 32, not 64" in said, said
    assert "seed 1" not in said and "pieces" not in said
    assert "another name" in said
    said = text(panel.Dashboard(finished_run, {"recipe": "laptop"}))
    assert "game gallery, not breakout" in said and "more" in said


def test_the_runs_own_settings_are_not_told(finished_run, now):
    """What "auto" has become on this machine taken for another wish."""
    kept = Recipe.load(finished_run / "recipe.json")
    begun = {"recipe": "gallery"} | {
        name: getattr(kept, name)
        for name in ("lanes", "total_steps", "learning_starts", "memory_frames", "architecture",
                     "log_every_steps", "frame_height", "frame_width", "seed")
    }  # fmt: skip
    for settings in (begun, {"total_steps": 300}, {}, {"recipe": "none such"}, {"colour": "red"}):
        assert "as in this cell" not in text(panel.Dashboard(finished_run, settings))


def test_what_goes_wrong_is_said_and_the_button_stays(tmp_path, now, monkeypatch):
    """A traceback in a thread, which nobody sees, and a panel that says "starting" for ever."""

    def refuse(arguments, run_dir):
        raise RunError("there is no recipe <i>")

    monkeypatch.setattr(processes, "start_detached", refuse)
    box = panel.Dashboard(tmp_path / "new")
    box._go.click()
    assert "❌ there is no recipe &lt;i&gt;" in box._line.value and not box._go.disabled
    box.stop()
    assert "❌" in text(box) and "no recipe" not in text(box)


def test_a_second_click_does_nothing(finished_run, tmp_path, now, monkeypatch):
    """Two trainings, or "is running already" as an answer to nobody's question."""
    jobs = []
    monkeypatch.setattr(panel.Dashboard, "_in_background", staticmethod(jobs.append))
    box = panel.Dashboard(tmp_path / "new")
    box._go.click()
    assert box._go.disabled and box._halt.disabled and "starting …" in text(box)
    box._go.click()
    box._halt.click()
    box.start()
    assert len(jobs) == 1 and now == [] and "❌" not in text(box)
    box.refresh()  # as the panel's own thread does meanwhile
    assert box._go.disabled and "starting …" in text(box)
    jobs.pop()()
    assert len(now) == 1 and not box._go.disabled


def test_a_click_on_a_button_that_is_off_does_nothing(finished_run, now):
    """A message of why, to nobody's question."""
    box = panel.Dashboard(finished_run)
    box._go.click()
    box._halt.click()
    assert now == [] and "❌" not in text(box)


def test_what_has_happened_meanwhile_is_no_error(finished_run, tmp_path, now, monkeypatch):
    """A click on a panel that is three seconds old: the run has begun, or ended, elsewhere."""
    box = panel.Dashboard(finished_run)
    box.stop()
    assert "❌" not in text(box) and "finished" in text(box)
    run = RunFolder("mine", run_folders.RUNNING, 200, 300, 12, 3.25)
    monkeypatch.setattr(run_folders, "look", lambda path: run)
    monkeypatch.setattr("dqn_ref.course.glance.look", lambda path: run)
    box.start()
    assert "❌" not in text(box) and now == ["follow"] and not box._halt.disabled


def test_an_error_goes_when_things_have_changed(finished_run, now, monkeypatch):
    """A sentence about a run that would not stop, above one that has stopped long ago."""
    runs = {True: RunFolder("mine", run_folders.RUNNING, 200, 300, 12, 3.25)}
    monkeypatch.setattr(run_folders, "look", lambda path: runs[True])
    monkeypatch.setattr("dqn_ref.course.glance.look", lambda path: runs[True])

    def patient(folder, name, tell):
        raise RunError("mine has not stopped within 60 seconds")

    monkeypatch.setattr(run_folders, "stop", patient)
    box = panel.Dashboard(finished_run)
    box.stop()
    assert "❌ mine has not stopped" in text(box)
    box.refresh()
    assert "❌ mine has not stopped" in text(box)
    runs[True] = RunFolder("mine", run_folders.STOPPED, 250, 300, 12, 3.25)
    box.refresh()
    assert "❌" not in text(box) and "stopped early" in text(box)


def test_a_running_training_is_found_and_followed(finished_run, now, monkeypatch):
    """After a restart of the kernel the panel shows a run that stands still."""
    run = RunFolder("mine", run_folders.RUNNING, 200, 300, 12, 3.25)
    monkeypatch.setattr(run_folders, "look", lambda path: run)
    monkeypatch.setattr("dqn_ref.course.glance.look", lambda path: run)
    box = panel.Dashboard(finished_run)
    assert now == ["follow"]
    assert box._go.disabled and not box._halt.disabled and "running · 200 of 300" in text(box)


def test_names_are_plain_words():
    """A run outside the folder of the learner's runs."""
    for name in ("", "../elsewhere", "a/b"):
        with pytest.raises(CourseError, match="plain word"):
            panel.dashboard(name)


def test_runs_live_in_the_learners_home(monkeypatch, tmp_path, now):
    monkeypatch.setattr(panel, "current", lambda: SimpleNamespace(home=tmp_path))
    assert panel.dashboard("mine").run_dir == tmp_path / "runs" / "mine"


def test_a_solutions_button_starts_nothing(monkeypatch, tmp_path, now):
    """A training that outlives the temporary folder it writes into."""
    course = SimpleNamespace(home=tmp_path, solution=True)
    monkeypatch.setattr(panel, "current", lambda: course)
    box = panel.dashboard("mine", pieces="my_dqn")
    box.start()
    assert now == [] and "press the button in the chapter" in text(box)
