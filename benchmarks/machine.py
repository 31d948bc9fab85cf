"""What the figures depend on besides the code: processor, memory, versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import psutil

PACKAGES = (  # whose versions matter
    "torch",
    "numpy",
    "gymnasium",
    "ale-py",
    "opencv-python-headless",
    "stable-baselines3",
    "dqn-breakout-course",
)

# Environment variables that take instruction sets away, to stand for an older processor.
ISA_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")


def describe_machine() -> dict[str, Any]:
    """Processor, usable cores, memory in GiB, system, and limits set in the environment."""
    return {
        "cpu_model": _cpu_model(),
        "cores_usable": usable_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "environment": {name: os.environ[name] for name in ISA_VARIABLES if name in os.environ},
    }


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_x86() -> bool:
    """Whether AVX2 means anything to the processor."""
    return platform.machine().lower() in ("x86_64", "amd64")


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def installed_versions() -> dict[str, str]:
    """Versions of the packages that matter, those that are installed."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
