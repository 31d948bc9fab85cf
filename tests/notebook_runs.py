"""Run a notebook under nbval as a learner's Jupyter would, and measure it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


@dataclass(frozen=True)
class Run:
    """How one notebook ran."""

    returncode: int
    cells: int
    seconds: float
    cpu_seconds: float  # of its processes; on Windows, where they are not known, those above
    output: str


# jsonschema, with which nbformat looks at notebooks, tries to load a grammar of web addresses: a
# second of the processor, 33 times, for something that no notebook here has.
_QUICK_PYTEST = """
import sys
sys.modules["rfc3987_syntax"] = None
import pytest
sys.exit(pytest.main())
"""


def run_nbval(notebook: Path, mode: str = "smoke", strict: bool = False) -> Run:
    """Run every cell in this interpreter; compare outputs of cells marked NBVAL_CHECK_OUTPUT.

    With `strict`, a check that does not pass is an error.
    """
    report = notebook.with_suffix(".xml")
    command = [sys.executable, "-c", _QUICK_PYTEST, "-p", "nbval.plugin", "--nbval-lax", "-q"]
    command += ["--nbval-current-env", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += [notebook.name]
    environment = {
        **os.environ,
        "DQN_COURSE_MODE": mode,
        "DQN_COURSE_STRICT": str(int(strict)),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    before = _children_cpu_seconds()
    finished = subprocess.run(
        command, cwd=notebook.parent, env=environment, capture_output=True, text=True
    )
    cpu_seconds = _children_cpu_seconds() - before
    output = re.sub(r"\x1b\[[0-9;]*m", "", finished.stdout + finished.stderr)
    suite = ElementTree.parse(report).getroot().find("testsuite")
    seconds = float(suite.get("time"))
    cells = int(suite.get("tests"))
    return Run(finished.returncode, cells, seconds, cpu_seconds or seconds, output)


def _children_cpu_seconds() -> float:
    """Of all processes that this one has started and seen the end of."""
    times = os.times()
    return times.children_user + times.children_system
