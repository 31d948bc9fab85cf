"""The doctor tries things for real, and says how to mend what fails."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from dqn_ref import doctor


@pytest.fixture(autouse=True)
def plenty_of_room(monkeypatch):
    """What happens to be free on the machine that runs the tests is not what they are about."""
    monkeypatch.setattr(doctor, "MINIMUM_DISK_GB", 0)
    monkeypatch.setattr(doctor, "MINIMUM_MEMORY_GB", 0)


def test_all_is_well_here(capsys):
    assert doctor.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "All is well."
    assert all(line.startswith("[ok] ") for line in lines[:-1])
    named = {line.split()[1] for line in lines[:-1]}
    packages = {"numpy", "torch", "moviepy", "safetensors"}
    assert (
        packages | {"Python", "ALE", "video", "CPU", "device", "speed", "disk", "memory"} <= named
    )
    speed = next(line for line in lines if " speed " in line)
    assert float(re.search(r"([\d.]+) updates/s", speed)[1]) > 0


def test_as_a_command():
    run = subprocess.run(
        [sys.executable, "-m", "dqn_ref.doctor"], capture_output=True, text=True, timeout=120
    )
    assert "[ok]  ALE" in run.stdout and run.stderr == ""
    assert run.returncode == ("[fix]" in run.stdout)


def findings(check) -> str:
    return "\n".join(map(str, check()))


def test_old_and_missing_packages(monkeypatch):
    def version(name):
        if name == "pandas":
            raise metadata.PackageNotFoundError(name)
        return {"moviepy": "1.0.3"}.get(name, "99")

    monkeypatch.setattr(doctor.metadata, "version", version)
    told = findings(doctor.check_packages)
    assert re.search(r"\[fix\] moviepy +1\.0\.3 is installed, the course needs .*>=2\.1", told)
    assert re.search(r"\[fix\] pandas +missing", told)
    assert f'"{sys.executable}" -m pip install -c constraints.txt' in told
    assert re.search(r"\[ok\]  numpy +99", told)
    assert "pytest" not in told, "development packages are not the learner's"


def test_course_not_installed(monkeypatch):
    monkeypatch.setattr(doctor, "DISTRIBUTION", "no-such-distribution")
    assert re.search(r"\[fix\] packages +the course itself is not", findings(doctor.check_packages))


@pytest.mark.parametrize("version", [(3, 10, 4), (3, 14, 0)])
def test_unsupported_python(monkeypatch, version):
    monkeypatch.setattr(doctor.sys, "version_info", version)
    assert findings(doctor.check_python).startswith("[fix] Python")


def test_no_room(monkeypatch):
    monkeypatch.setattr(doctor, "MINIMUM_DISK_GB", 1e9)
    monkeypatch.setattr(doctor, "MINIMUM_MEMORY_GB", 1e9)
    told = findings(doctor.check_room)
    assert told.count("[fix]") == 2 and "--memory-frames" in told


def test_broken_parts_are_findings_and_stop_nothing(monkeypatch, capsys):
    def broken():
        raise OSError("libx264 is gone\nand more lines")

    monkeypatch.setitem(doctor.CHECKS, "video", (broken, "mend it"))
    monkeypatch.setitem(doctor.CHECKS, "speed", (lambda: [], ""))
    assert doctor.main() == 1
    told = capsys.readouterr().out
    assert re.search(r"\[fix\] video +OSError: libx264 is gone\n +→ mend it\n", told)
    assert "memory" in told and told.endswith("1 to fix: see the arrows above.\n")


def test_unused_nvidia_gpu(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert "[fix] CUDA" in findings(doctor.check_devices)


def test_every_device_is_listed_by_its_name_with_its_memory(monkeypatch):
    """A second GPU left out, memory in another unit, or no word on which one "auto" takes."""
    import torch

    def gpu(index):
        return SimpleNamespace(name=f"GPU {index}", total_memory=(80 + index) * 2**30)

    told = findings(doctor.check_devices)
    assert re.search(r"CPU +cpu: \d+ logical cores, \d+ GiB, PyTorch uses \d+ threads", told)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", gpu)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 12 * 2**30)
    told = findings(doctor.check_devices)
    assert "cuda:0: GPU 0, 80 GiB" in told and "cuda:1: GPU 1, 81 GiB" in told
    assert "mps: Apple's GPU, up to 12 GiB" in told
    assert told.endswith('recipes with device="auto" use cuda') and "[fix]" not in told


def test_what_auto_takes_without_a_gpu(monkeypatch):
    """A listing that promises a GPU which recipes do not take."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert 'recipes with device="auto" use cpu' in findings(doctor.check_devices)


@pytest.mark.parametrize(("package", "check"), [("ale_py", "ALE"), ("torch", "speed")])
def test_the_command_line_finds_a_missing_package(package, check):
    """`doctor` is for broken installations: it must start where ALE or PyTorch is missing."""
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from dqn_ref import doctor, __main__\n"
        f"doctor.CHECKS = {{{check!r}: doctor.CHECKS[{check!r}]}}\n"
        "sys.exit(__main__.main(['doctor']))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 1, ended.stderr
    assert f"[fix] {check}" in ended.stdout and "1 to fix" in ended.stdout
