"""A training in its own process, and the panel that shows it: start, stop, resume, watch.

    panel = dashboard("breakout", recipe="laptop", pieces="my_dqn", total_steps=200_000)

The training outlives the notebook; the panel reads its folder (`dqn_ref.course.glance`) and nothing
else, so after a restart of the kernel the same line shows the same run again.
"""

from __future__ import annotations

import dataclasses
import html
import threading
import time
from collections.abc import Callable
from pathlib import Path

import ipywidgets

from dqn_ref import processes, run_folders
from dqn_ref.course.glance import RECORDED, at_play, curves, glance
from dqn_ref.course.home import CourseError, current
from dqn_ref.errors import RunError
from dqn_ref.recipes import Recipe, RecipeError, get_recipe
from dqn_ref.run_folders import RunFolder

_REFRESH_SECONDS = 3.0
_PLAY_SECONDS = 20.0  # between two looks at the agent; each takes about a second of a core
_STARTING = "starting … (the first step takes some 5 to 20 seconds)"
_STOPPING = "stopping after its step, with a checkpoint …"
# A run writes down what its machine and its pieces have made of these.
_FITTED = {"device", "precision", "threads", "cuda_graph", "door", "n_step"}
WEIGHTS_FILE = "weights.safetensors"


def dashboard(name: str, **settings) -> Dashboard:
    """A panel for the run of that name among the learner's runs, `my_course/runs`.

    Nothing is trained before somebody presses the button, or calls `start`.

    Args:
        name: of the run, a plain word.
        settings: flags of `python -m dqn_ref train` for a new run, with underscores: recipe,
            pieces, total_steps, seed … A run that exists goes on as it was begun, but for
            `total_steps`: a larger one is how a run is trained longer.
    Raises:
        CourseError: for a name that is none.
    """
    if not name or Path(name).name != name:
        raise CourseError(f"a run's name is a plain word such as 'breakout', not {name!r}")
    return Dashboard(current().home / "runs" / name, settings)


class Dashboard(ipywidgets.VBox):
    """Two buttons, a line of figures, four curves, and the agent at play.

    A run of results/ can be looked at, too; it has no checkpoint and no use for the buttons. Where
    widgets are not shown, what they showed last stands there as a picture.
    """

    def __init__(self, run_dir: Path, settings: dict[str, object] | None = None):
        self.run_dir = run_dir
        self._settings = settings or {}
        self._go = ipywidgets.Button(icon="play", button_style="success")
        self._halt = ipywidgets.Button(description="Stop", icon="stop")
        self._line, self._curves, self._play = (ipywidgets.HTML() for _ in range(3))
        self._problem = ("", None)  # of the last thing a button was to do, and the state after it
        self._played = (0.0, 0.0)  # time of the weights that were seen, and when they were
        self._resumed_at = 0  # step at which this panel has let the run go on
        self._doing = False  # whether a training is being started or stopped
        self._panel = threading.Lock()  # whoever reads or changes that, and the buttons with it
        self._drawing = threading.Lock()  # one refresh at a time
        self._followed = threading.Lock()  # by one thread at a time
        self._closed = threading.Event()
        self._go.on_click(lambda go: self._press(go, self._begin_or_resume, _STARTING))
        self._halt.on_click(lambda halt: self._press(halt, self._end, _STOPPING))
        buttons = ipywidgets.HBox([self._go, self._halt])
        super().__init__([buttons, self._line, self._curves, self._play])
        self.refresh()
        if self._is_running():
            self._follow()

    def start(self) -> None:
        """Begin the training, or let it go on, and wait for its first step.

        What goes wrong is said in the panel. Nothing happens while another start or stop is
        under way.
        """
        if self._take(_STARTING):
            self._do(self._begin_or_resume)

    def stop(self) -> None:
        """Let the training stop after its step, with a checkpoint, and wait until it has."""
        if self._take(_STOPPING):
            self._do(self._end)

    def refresh(self) -> None:
        """Read the folder and draw what it says."""
        with self._drawing:
            if not self._is_run():
                self._show("not started yet", "Train", go=True, halt=False)
                return
            seen = glance(self.run_dir, self._resumed_at)
            state = seen.run.state
            if state != self._problem[1]:
                self._problem = ("", None)
            longer = wanted_steps(seen.run, self._settings)
            running = state == run_folders.RUNNING
            over = state == RECORDED or (state == run_folders.FINISHED and longer is None)
            beside = [f"Green: the score is {seen.beside}."] if seen.beside else []
            told = [
                seen.line,
                *beside,
                *_advice(seen.run, longer),
                *_unlike(self.run_dir, self._settings),
            ]
            self._show(
                "<br>".join(map(html.escape, told)), "Go on", not running and not over, running
            )
            if seen.log is not None:
                self._curves.value = curves(seen).data
            self._look_at_play()

    def _show(self, text: str, label: str, go: bool, halt: bool) -> None:
        """What the folder says, and which buttons make sense; none while something is going on."""
        with self._panel:
            self._go.description = label
            if not self._doing:
                self._go.disabled, self._halt.disabled = not go, not halt
                self._say(text)

    # What buttons do

    def _press(self, button, action: Callable[[], object], text: str) -> None:
        # Here, not in the background: a second click finds the buttons off, and does nothing.
        if not button.disabled and self._take(text):
            self._in_background(lambda: self._do(action))

    def _take(self, text: str) -> bool:
        """Begin to do something, unless something is being done."""
        with self._panel:
            if self._doing:
                return False
            self._doing = True
            self._problem = ("", None)
            self._go.disabled = self._halt.disabled = True
            self._say(text)
        return True

    def _do(self, action: Callable[[], object]) -> None:
        """Do it; a reason why it cannot be done is shown until the run's state is another one."""
        try:
            action()
        except (RunError, RecipeError, OSError) as error:
            state = run_folders.look(self.run_dir).state if self._is_run() else None
            self._problem = (str(error), state)
        finally:
            self._doing = False
        self.refresh()
        if self._is_running():
            self._follow()

    def _begin_or_resume(self) -> None:
        if not self._is_run():
            self._begin()
            return
        if self._is_running():  # started elsewhere since the panel was drawn: it is as wished
            return
        run = run_folders.look(self.run_dir)
        self._resumed_at = run.steps or 0
        longer = wanted_steps(run, self._settings)
        if longer is None:
            run_folders.resume(self.run_dir.parent, self.run_dir.name, tell=lambda text: None)
        else:
            self._launch(["--resume", "--total-steps", str(longer)])

    def _begin(self) -> None:
        course = current()
        if course.solution and self.run_dir.is_relative_to(course.home):
            raise RunError(
                "this is the solution, whose folder goes when its kernel ends; press the button in "
                "the chapter"
            )
        self._launch(_flags(self._settings))

    def _launch(self, flags: list[str]) -> None:
        arguments = ["train", *flags, "--quiet", "--run-dir", str(self.run_dir)]
        started = processes.start_detached(arguments, self.run_dir)
        if not started.wait(run_folders.START_SECONDS):
            raise RunError(
                f"no step within {run_folders.START_SECONDS:g} seconds; look again later"
            )

    def _end(self) -> None:
        if self._is_run() and not self._is_running():  # it has ended since the panel was drawn
            return
        run_folders.stop(self.run_dir.parent, self.run_dir.name, tell=lambda text: None)

    def close(self) -> None:
        """Take the panel away. The training goes on."""
        self._closed.set()
        super().close()

    def _repr_mimebundle_(self, **formats):
        # An untrusted notebook shows no widgets, and takes the next best form.
        shown = "<br>".join(part.value for part in (self._line, self._curves, self._play))
        return {**super()._repr_mimebundle_(**formats), "text/html": shown}

    def _is_run(self) -> bool:
        return (self.run_dir / run_folders.RECIPE_FILE).exists()

    def _is_running(self) -> bool:
        return self._is_run() and run_folders.look(self.run_dir).state == run_folders.RUNNING

    def _say(self, text: str) -> None:
        """A line of HTML, behind the run's name."""
        problem = f"<br>❌ {html.escape(self._problem[0])}" if self._problem[0] else ""
        self._line.value = f"<b>{html.escape(self.run_dir.name)}</b> · {text}{problem}"

    def _look_at_play(self) -> None:
        """Show the agent when there are new weights; not too often, for it costs a second."""
        path = self.run_dir / WEIGHTS_FILE
        written = path.stat().st_mtime if path.exists() else 0.0
        seen, at = self._played
        if written != seen and time.monotonic() - at > (_PLAY_SECONDS if seen else 0.0):
            self._play.value = at_play(self.run_dir)
            self._played = (written, time.monotonic())

    def _follow(self) -> None:
        """Refresh in the background for as long as the training runs."""

        def follow() -> None:
            if not self._followed.acquire(blocking=False):
                return
            try:
                while not self._closed.wait(_REFRESH_SECONDS) and self._is_running():
                    self.refresh()
            finally:
                self._followed.release()
            if not self._closed.is_set():
                self.refresh()

        self._in_background(follow)

    @staticmethod
    def _in_background(job: Callable[[], None]) -> None:
        threading.Thread(target=job, daemon=True).start()


def wanted_steps(run: RunFolder, settings: dict[str, object]) -> int | None:
    """How far a cell wants a run trained, if that is farther than the run was meant to go."""
    wanted = settings.get("total_steps")
    known = isinstance(wanted, int) and run.total_steps is not None
    return wanted if known and run.state != RECORDED and wanted > run.total_steps else None


def _advice(run: RunFolder, longer: int | None) -> list[str]:
    """What a button would do now, where that is not plain from its name."""
    told = []
    if run.state == run_folders.INTERRUPTED:
        where = f"from its checkpoint at step {run.steps:,}" if run.steps else "from the beginning"
        told.append(
            f"Its process is gone; {processes.OUTPUT_FILE} in its folder may say why. Press Go on, "
            f"and it goes on {where}."
        )
    if longer is not None:
        when = "When it has stopped, " if run.state == run_folders.RUNNING else ""
        told.append(
            f"{when}{'p' if when else 'P'}ress Go on to train it up to {longer:,} steps instead of "
            f"{run.total_steps:,}."
        )
    return told


def _unlike(run_dir: Path, settings: dict[str, object]) -> list[str]:
    """A sentence about settings of the cell that the run does not have."""
    asked = {name: value for name, value in settings.items() if name not in ("recipe", "pieces")}
    try:
        has = Recipe.load(run_dir / run_folders.RECIPE_FILE)
        base = get_recipe(str(settings["recipe"])) if "recipe" in settings else has
        wants = dataclasses.replace(base, **asked)
    except (RecipeError, TypeError):  # a damaged run says so itself; a new one, when it begins
        return []
    names = [field.name for field in dataclasses.fields(Recipe) if field.name not in _FITTED]
    if "total_steps" not in asked or wants.total_steps > has.total_steps:
        names.remove("total_steps")
    pairs = [(name, getattr(has, name), getattr(wants, name)) for name in names]
    other = [
        f"{name} {_shown(is_)}, not {_shown(want)}" for name, is_, want in pairs if is_ != want
    ]
    if not other:
        return []
    more = f", and {len(other) - 3} more" if len(other) > 3 else ""
    return [
        f"It has {'; '.join(other[:3])} as in this cell{more}, and goes on so. For other settings "
        "give the panel another name."
    ]


def _shown(value: object) -> str:
    return f"{value:,}" if type(value) is int else str(value)


def _flags(settings: dict[str, object]) -> list[str]:
    """Keyword arguments as flags of the command line: total_steps=5 is --total-steps 5."""
    words = {True: "yes", False: "no"}
    flags = []
    for name, value in settings.items():
        text = words[value] if isinstance(value, bool) else str(value)
        flags += [f"--{name.replace('_', '-')}", text]
    return flags
