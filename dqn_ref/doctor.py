"""Is this machine ready for the course? Each part is tried for real, none is only looked up.

    [ok]  ALE        100 steps of Breakout, score 1, screen 210×160
    [fix] moviepy    1.0.3 is installed, the course needs <3,>=2.1
                     → pip install -c constraints.txt -e ".[dev]"

Run it by `python -m dqn_ref doctor`; exit status 0 says that nothing needs fixing.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

DISTRIBUTION = "dqn-breakout-course"
PIP = f'"{sys.executable}" -m pip'  # the Python that was examined, not another one on the PATH
REINSTALL = f'{PIP} install -c constraints.txt -e ".[dev]"'
MINIMUM_DISK_GB = 2.0
MINIMUM_MEMORY_GB = 2.0
_NAME_WIDTH = len("opencv-python-headless")


@dataclass(frozen=True)
class Finding:
    """What one check found; `fix` is the command that mends it, None where all is well."""

    name: str
    detail: str
    fix: str | None = None

    @property
    def ok(self) -> bool:
        return self.fix is None

    def __str__(self) -> str:
        line = f"{'[ok] ' if self.ok else '[fix]'} {self.name:<{_NAME_WIDTH}} {self.detail}"
        return line if self.ok else f"{line}\n{'':<{_NAME_WIDTH + 7}}→ {self.fix}"


def check_python() -> list[Finding]:
    """The interpreter is one the course supports."""
    found = platform.python_version()
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return [Finding("Python", found)]
    detail = f"{found}; the course needs 3.11, 3.12 or 3.13"
    return [Finding("Python", detail, "make lab PYTHON=/path/to/python3.12")]


def check_packages() -> list[Finding]:
    """Every package the course needs is there, in a version that it accepts."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return [Finding("packages", "the course itself is not installed", REINSTALL)]
    findings = []
    for requirement in map(Requirement, lines):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        name, wanted = requirement.name, requirement.specifier
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            findings.append(Finding(name, f"missing, the course needs {wanted}", REINSTALL))
            continue
        if wanted.contains(version, prereleases=True):
            findings.append(Finding(name, version))
        else:
            detail = f"{version} is installed, the course needs {wanted}"
            findings.append(Finding(name, detail, REINSTALL))
    return findings


def check_game() -> list[Finding]:
    """Breakout starts, can be played and draws its screen."""
    import ale_py
    import gymnasium

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    gymnasium.register_envs(ale_py)
    env = gymnasium.make("ALE/Breakout-v5", render_mode="rgb_array")
    try:
        env.reset(seed=0)
        env.action_space.seed(0)
        score = sum(env.step(env.action_space.sample())[1] for _ in range(100))
        screen = env.render()
    finally:
        env.close()
    if screen.shape != (210, 160, 3) or screen.max() == 0:
        return [Finding("ALE", f"draws an empty screen of shape {screen.shape}", REINSTALL)]
    return [Finding("ALE", f"100 steps of Breakout, score {score:.0f}, screen 210×160")]


def check_video() -> list[Finding]:
    """A short film can be encoded as H.264."""
    import numpy as np

    from dqn_ref.video import write_video

    frames = [np.full((210, 160, 3), 8 * index, np.uint8) for index in range(30)]
    with tempfile.TemporaryDirectory() as folder:
        size = write_video(frames, Path(folder) / "film.mp4", fps=30).stat().st_size
    return [Finding("video", f"1 second of H.264 written, {size:,} bytes")]


def check_devices() -> list[Finding]:
    """What PyTorch can compute on, by the names that `--device` takes, and which one "auto" is."""
    import psutil
    import torch

    from dqn_ref.hardware import choose_device

    memory, threads = psutil.virtual_memory().total / 2**30, torch.get_num_threads()
    detail = f"{os.cpu_count()} logical cores, {memory:.0f} GiB, PyTorch uses {threads} threads"
    findings = [Finding("CPU", f"cpu: {detail}")]
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        detail = f"cuda:{index}: {device.name}, {device.total_memory / 2**30:.0f} GiB"
        findings.append(Finding("CUDA", detail))
    if torch.backends.mps.is_available():
        memory = torch.mps.recommended_max_memory() / 2**30
        findings.append(Finding("MPS", f"mps: Apple's GPU, up to {memory:.0f} GiB"))
    if not torch.cuda.is_available() and shutil.which("nvidia-smi"):
        detail = "this machine seems to have an NVIDIA GPU that this build of PyTorch cannot use"
        findings.append(Finding("CUDA", detail, "see 'PyTorch for your machine' in README.md"))
    findings.append(Finding("device", f'recipes with device="auto" use {choose_device("auto")}'))
    return findings


def check_speed(seconds: float = 1.0) -> list[Finding]:
    """Gradient updates per second of the course's network, batch 32, with PyTorch's defaults."""
    import torch

    from dqn_ref.network import QNetwork

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = QNetwork(4).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    states = torch.randint(256, (32, 4, 84, 84), dtype=torch.uint8, device=device)

    def update() -> float:
        loss = network(states).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()  # waits until the device is done

    for _ in range(3):
        update()
    updates, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        update()
        updates += 1
    rate = updates / elapsed
    return [Finding("speed", f"{rate:.0f} updates/s on {device.type} (batch 32)")]


def check_room() -> list[Finding]:
    """Free disk where the course runs, and free memory."""
    import psutil

    disk = shutil.disk_usage(".").free / 1e9
    memory = psutil.virtual_memory()
    free, total = memory.available / 1e9, memory.total / 1e9
    more_disk = f"free at least {MINIMUM_DISK_GB:.0f} GB: films and checkpoints need room"
    more_memory = "close other programs, or train with a smaller --memory-frames"
    return [
        Finding("disk", f"{disk:.1f} GB free", None if disk >= MINIMUM_DISK_GB else more_disk),
        Finding(
            "memory",
            f"{free:.1f} of {total:.1f} GB free",
            None if free >= MINIMUM_MEMORY_GB else more_memory,
        ),
    ]


CHECKS: dict[str, tuple[Callable[[], list[Finding]], str]] = {
    "Python": (check_python, "make lab PYTHON=/path/to/python3.12"),
    "packages": (check_packages, REINSTALL),
    "ALE": (check_game, REINSTALL),
    "video": (check_video, f"{PIP} install --force-reinstall moviepy imageio-ffmpeg"),
    "devices": (check_devices, REINSTALL),
    "speed": (check_speed, REINSTALL),
    "room": (check_room, "look at this machine's disk and memory"),
}


def run_doctor() -> list[Finding]:
    """Run every check, print each finding as it comes, return them all.

    A check that raises becomes a finding with the error in it; none stops the others.
    """
    findings: list[Finding] = []
    for name, (check, fix) in CHECKS.items():
        try:
            found = check()
        except Exception as error:  # whatever is broken here is what the doctor is for
            found = [Finding(name, f"{type(error).__name__}: {error}".splitlines()[0], fix)]
        for finding in found:
            print(finding, flush=True)
        findings += found
    return findings


def main() -> int:
    """Print the findings and a last line; 0 if nothing needs fixing, otherwise 1."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a file on Windows may know no arrows
    ills = sum(not finding.ok for finding in run_doctor())
    print("All is well." if ills == 0 else f"{ills} to fix: see the arrows above.")
    return int(ills > 0)


if __name__ == "__main__":
    sys.exit(main())
