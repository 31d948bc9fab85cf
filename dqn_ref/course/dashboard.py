"""A training in its own process, and the panel that shows it: start, stop, resume, watch.

    panel = dashboard("breakout", recipe="laptop", pieces="my_dqn", total_steps=200_000)

The training outlives the notebook; the panel reads its folder (`dqn_ref.course.glance`) and nothing
else, so after a restart of the kernel the same line shows the same run again.
"""

from __future__ import annotations

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

_REFRESH_SECONDS = 3.0
_PLAY_SECONDS = 20.0  # between two looks at the agent; each takes about a second of a core
WEIGHTS_FILE = "weights.safetensors"


def dashboard(name: str, **settings) -> Dashboard:
    """A panel for the run of that name among the learner's runs, `my_course/runs`.

    Nothing is trained before somebody presses the button, or calls `start`.

    Args:
        name: of the run, a plain word.
        settings: flags of `python -m dqn_ref train` for a new run, with underscores: recipe,
            pieces, total_steps, seed … A run that exists goes on as it was begun.
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
        self._arguments = _flags(settings or {})
        self._go = ipywidgets.Button(icon="play", button_style="success")
        self._halt = ipywidgets.Button(description="Stop", icon="stop")
        self._line, self._curves, self._play = (ipywidgets.HTML() for _ in range(3))
        self._problem = ""  # of the last thing that a button was to do
        self._played = (0.0, 0.0)  # time of the weights that were seen, and when they were
        self._busy = threading.Lock()  # one start, stop or refresh at a time
        self._closed = threading.Event()
        self._go.on_click(lambda _: self._in_background(self.start))
        self._halt.on_click(lambda _: self._in_background(self.stop))
        buttons = ipywidgets.HBox([self._go, self._halt])
        super().__init__([buttons, self._line, self._curves, self._play])
        self.refresh()
        if self._is_running():
            self._follow()

    def start(self) -> None:
        """Begin the training, or let it go on, and wait for its first step.

        What goes wrong is said in the panel.
        """
        with self._busy:
            self._say("starting …")
            self._attempt(self._resume if self._is_run() else self._begin)
        self.refresh()
        if self._is_running():
            self._follow()

    def stop(self) -> None:
        """Let the training stop after its step, with a checkpoint, and wait until it has."""
        with self._busy:
            folder, name = self.run_dir.parent, self.run_dir.name
            self._attempt(lambda: run_folders.stop(folder, name, tell=self._say))
        self.refresh()

    def refresh(self) -> None:
        """Read the folder and draw what it says."""
        with self._busy:
            running = over = False
            if self._is_run():
                seen = glance(self.run_dir)
                running = seen.run.state == run_folders.RUNNING
                self._say(seen.line)
                if seen.log is not None:
                    self._curves.value = curves(seen).data
                self._look_at_play()
                over = seen.run.state in (run_folders.FINISHED, RECORDED)
            else:
                self._say("not started yet")
            self._go.description = "Go on" if self._is_run() else "Train"
            self._go.disabled, self._halt.disabled = running or over, not running

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

    def _begin(self) -> None:
        course = current()
        if course.solution and self.run_dir.is_relative_to(course.home):
            raise RunError(
                "this is the solution, whose folder goes when its kernel ends; press the button in "
                "the chapter"
            )
        arguments = ["train", *self._arguments, "--quiet", "--run-dir", str(self.run_dir)]
        started = processes.start_detached(arguments, self.run_dir)
        if not started.wait(run_folders.START_SECONDS):
            raise RunError(
                f"no step within {run_folders.START_SECONDS:g} seconds; look again later"
            )

    def _resume(self) -> None:
        run_folders.resume(self.run_dir.parent, self.run_dir.name, tell=lambda text: None)

    def _attempt(self, action: Callable[[], object]) -> None:
        """Do it; a reason why it cannot be done becomes the panel's line."""
        self._problem = ""
        try:
            action()
        except (RunError, OSError) as error:
            self._problem = str(error)

    def _say(self, text: str) -> None:
        problem = f"<br>❌ {html.escape(self._problem)}" if self._problem else ""
        name = html.escape(self.run_dir.name)
        self._line.value = f"<b>{name}</b> · {html.escape(text)}{problem}"

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
            while not self._closed.wait(_REFRESH_SECONDS) and self._is_running():
                self.refresh()
            if not self._closed.is_set():
                self.refresh()

        self._in_background(follow)

    @staticmethod
    def _in_background(job: Callable[[], None]) -> None:
        threading.Thread(target=job, daemon=True).start()


def _flags(settings: dict[str, object]) -> list[str]:
    """Keyword arguments as flags of the command line: total_steps=5 is --total-steps 5."""
    words = {True: "yes", False: "no"}
    flags = []
    for name, value in settings.items():
        text = words[value] if isinstance(value, bool) else str(value)
        flags += [f"--{name.replace('_', '-')}", text]
    return flags
