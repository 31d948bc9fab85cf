"""JupyterLab as `make lab` starts it, on a copy of the course, seen by a headless Chromium."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOKEN = "course"
CHROMIUM_FLAGS = [
    # A container's root needs the first; the others keep Chromium from calling home.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def run_make(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess:
    """Run make as from a shell of its own, also where the tests themselves were started by make."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    command = ["make", *words]
    return subprocess.run(
        command, cwd=folder, env={**own, **environment}, capture_output=True, text=True
    )


def make_command(*words: str) -> list[str]:
    """The words of the last command that `make <words>` would run."""
    return shlex.split(run_make(ROOT, "--dry-run", *words).stdout.strip().splitlines()[-1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def jupyterlab(folder: Path, home: Path, mode: str = "smoke") -> Iterator[str]:
    """Start JupyterLab in `folder` for a user who has never used it; the address of its server.

    The command is the Makefile's, run by the Python that runs the tests.
    """
    port = free_port()
    options = f"--port={port} --ServerApp.port_retries=0 --IdentityProvider.token={TOKEN}"
    command = make_command("lab", f"LAB_ARGS={options} --allow-root --no-browser")
    command[0] = sys.executable
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")},
        "HOME": str(home),
        "DQN_COURSE_HOME": str(home / "my_course"),
        "DQN_COURSE_MODE": mode,
    }
    with open(home / "jupyterlab.log", "w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, server, home / "jupyterlab.log")
        yield address
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_for(address: str, server: subprocess.Popen, log: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"JupyterLab ended at once:\n{log.read_text()[-3000:]}")
        try:
            urllib.request.urlopen(f"{address}/api?token={TOKEN}", timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not answer in {seconds} s:\n{log.read_text()[-3000:]}")


def end_kernels(address: str) -> None:
    """Shut down every kernel of a server: each keeps PyTorch in memory."""
    listing = urllib.request.urlopen(f"{address}/api/kernels?token={TOKEN}", timeout=10)
    for kernel in json.load(listing):
        request = urllib.request.Request(
            f"{address}/api/kernels/{kernel['id']}?token={TOKEN}", method="DELETE"
        )
        urllib.request.urlopen(request, timeout=20).close()


@contextmanager
def browser() -> Iterator:
    """A page in the system's Chromium."""
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        raise RuntimeError("no Chromium on the PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        try:
            yield chromium.new_page(viewport={"width": 1400, "height": 1000})
        finally:
            chromium.close()


def open_file(page, address: str, path: str) -> None:
    """Open a file of the course and wait until JupyterLab has restored itself."""
    page.goto(f"{address}/lab/tree/{path}?token={TOKEN}&reset")
    page.wait_for_selector(".jp-LabShell", timeout=60_000)
    page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=60_000)


def run_all(page, seconds: float = 120) -> int:
    """Run > Run All Cells; the number of code cells run, once all have ended."""
    idle = page.get_by_text(re.compile(r"\| Idle$"))
    idle.first.wait_for(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(
        """() => {
            const cells = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
            return cells.length > 0 && cells.every(cell => /^\\[\\d+\\]:$/.test(cell.textContent));
        }""",
        timeout=1000 * seconds,
    )
    return page.locator(".jp-CodeCell .jp-InputPrompt").count()
