"""The report of `benchmarks.gpu`: one JSON file, and what it says about the machine."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any


class Refusal(Exception):
    """What cannot be done, and the remedy, in one sentence."""


class Report:
    """`report.json`: settings, calls, and what each stage found so far.

    Args:
        out: folder of the report.
        settings: what every call that adds to the report must share.
    Raises:
        Refusal: if the folder holds something else.
    """

    def __init__(self, out: Path, settings: dict[str, Any]):
        self.path = out / "report.json"
        self.content = {"benchmark": "gpu", "settings": settings, "calls": [], "stages": {}}
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            self.content = self._read(settings)
        out.mkdir(parents=True, exist_ok=True)

    def _read(self, settings: dict[str, Any]) -> dict[str, Any]:
        out, other = self.path.parent, "choose another --out"
        try:
            content = json.loads(self.path.read_text())
            found = content["settings"]
            _ = content["calls"], content["stages"]
        except (OSError, ValueError, KeyError, TypeError):
            raise Refusal(
                f"{out} holds something else than a report of this program; {other}"
            ) from None
        for name, value in settings.items():
            if found.get(name) != value:
                raise Refusal(f"{out} was made with {name} {found.get(name)}, not {value}; {other}")
        return content

    def stage(self, name: str) -> dict[str, Any]:
        """What is known of a stage; empty before it began."""
        return self.content["stages"].get(name, {})

    def done(self, name: str) -> bool:
        """Whether a stage is complete and found nothing wrong."""
        stage = self.stage(name)
        return bool(stage.get("complete")) and not stage.get("problems")

    def problems(self) -> list[str]:
        """What was found wrong, over all stages."""
        stages = self.content["stages"].items()
        return [f"{name}: {text}" for name, stage in stages for text in stage["problems"]]

    def put(self, name: str, result: dict[str, Any]) -> None:
        """Take in what a stage found and write the file."""
        self.content["stages"][name] = result
        self.save()

    def save(self) -> None:
        """Write the file, atomically."""
        partial = self.path.with_name(self.path.name + ".partial")
        with open(partial, "w") as file:
            json.dump(self.content, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)


def describe(device: str, commit: str) -> dict[str, Any]:
    """What the figures depend on besides the settings."""
    import torch

    from benchmarks.machine import describe_machine, installed_versions

    return {
        "gpu": describe_gpu() if device == "cuda" else None,
        "machine": describe_machine(),
        "versions": installed_versions() | {"torch": torch.__version__},
        "commit": commit,
    }


def describe_gpu() -> dict[str, Any]:
    """Name, memory in GiB, and the versions that CUDA consists of."""
    import torch

    properties = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info(0)
    return {
        "name": properties.name,
        "memory_gib": round(total / 2**30, 1),
        "memory_free_gib": round(free / 2**30, 1),  # less than all: others use it
        "multiprocessors": properties.multi_processor_count,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "driver": _answer("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def _answer(*command: str) -> str | None:
    """The first line a program prints; None if there is no such program, or it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=30, cwd=Path(__file__).parent
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().split("\n")[0] if done.returncode == 0 else None


def commit_of_checkout() -> str:
    """The commit of this code, marked if it was changed since."""
    commit = _answer("git", "rev-parse", "--short", "HEAD")
    if commit is None:
        return "unknown"
    return f"{commit}, changed" if _answer("git", "status", "--porcelain", "-uno") else commit


def machine_in_words(call: dict[str, Any]) -> str:
    """One line about the machine of a call."""
    gpu, machine, versions = call["gpu"], call["machine"], call["versions"]
    words = f"{machine['cores_usable']} cores of {machine['cpu_model']}"
    if gpu:
        words = f"{gpu['name']}, {gpu['memory_gib']} GiB, driver {gpu['driver']}; {words}"
    return f"{words}; Python {machine['python']}, torch {versions['torch']}"
