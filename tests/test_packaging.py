"""pyproject.toml, constraints.txt and environment.yml are in step."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]

RUNTIME = {
    "numpy", "gymnasium", "ale-py", "torch", "matplotlib", "jupyterlab", "ipywidgets", "moviepy",
    "opencv-python-headless", "pillow", "tqdm", "tensorboard", "pandas", "safetensors", "psutil",
}  # fmt: skip
DEVELOPMENT = {"pytest", "pytest-xdist", "nbval", "jupytext", "ruff", "playwright"}
BENCHMARKS = {"stable-baselines3"}


@pytest.fixture
def files() -> dict[str, str]:
    names = ("pyproject.toml", "constraints.txt", "environment.yml")
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in names}


def requirements(lines: list[str]) -> dict[str, Requirement]:
    parsed = map(Requirement, lines)
    return {canonicalize_name(requirement.name): requirement for requirement in parsed}


def problems(files: dict[str, str]) -> list[str]:
    """Where the three files contradict each other; empty if they are in step."""
    project = tomllib.loads(files["pyproject.toml"])["project"]
    extras = project["optional-dependencies"]
    runtime, development, benchmarks = map(
        requirements, (project["dependencies"], extras["dev"], extras["bench"])
    )
    found = []
    for kind, have, want in (
        ("dependencies", runtime, RUNTIME),
        ("dev", development, DEVELOPMENT),
        ("bench", benchmarks, BENCHMARKS),
    ):
        if set(have) != want:
            found.append(f"{kind}: {sorted(set(have) ^ want)}")

    lines = files["constraints.txt"].splitlines()
    pins = requirements([line for line in lines if line and not line.startswith("#")])
    for pin in pins.values():
        if [clause.operator for clause in pin.specifier] != ["=="] or pin.marker or pin.url:
            found.append(f"constraints.txt: {pin} is not a plain pin")
        elif "+" in str(pin.specifier):
            found.append(f"constraints.txt: {pin} names one machine's build")
    for name, wanted in {**runtime, **development, **benchmarks}.items():
        if name not in pins:
            found.append(f"constraints.txt: {name} is missing")
        elif not wanted.specifier.contains(next(iter(pins[name].specifier)).version):
            found.append(f"constraints.txt: {pins[name]} does not satisfy {wanted}")

    conda = yaml.safe_load(files["environment.yml"])["dependencies"]
    python = next(line for line in conda if str(line).startswith("python="))
    if not SpecifierSet(project["requires-python"]).contains(python.partition("=")[2]):
        found.append(f"environment.yml: {python} is not {project['requires-python']}")
    pip = next(entry["pip"] for entry in conda if isinstance(entry, dict))
    if "-c constraints.txt" not in pip or "-e ." not in pip:
        found.append("environment.yml: pip gets no constraints, or not the course itself")
    listed = requirements([line for line in pip if not line.startswith("-")])
    expected = {**runtime, **development, "torch": pins.get("torch", runtime.get("torch"))}
    for name in sorted(set(listed) | set(expected)):
        if str(listed.get(name)) != str(expected.get(name)):
            found.append(f"environment.yml: {listed.get(name)} instead of {expected.get(name)}")
    return found


def test_files_are_in_step(files):
    assert problems(files) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("pyproject.toml", '"tqdm>=4.66",', "", "dependencies: ['tqdm']"),
        ("pyproject.toml", '"tqdm>=4.66",', '"tqdm>=4.66", "torchvision",', "torchvision"),
        ("pyproject.toml", '"ruff>=0.8",', "", "dev: ['ruff']"),
        ("pyproject.toml", "numpy>=2.1", "numpy>=3", "does not satisfy numpy>=3"),
        ("pyproject.toml", "<3.14", "<3.11", "environment.yml: python=3.11"),
        ("constraints.txt", "psutil==", "psutils==", "psutil is missing"),
        ("constraints.txt", "torch==2.13.0", "torch==2.13.0+cpu", "one machine's build"),
        ("constraints.txt", "torch==2.13.0", "torch>=2.13.0", "is not a plain pin"),
        ("environment.yml", "      - psutil>=6.0\n", "", "None instead of psutil>=6.0"),
        ("environment.yml", "pandas>=2.2", "pandas>=2.1", "pandas>=2.1 instead of"),
        ("environment.yml", "torch==2.13.0", "torch==2.12.0", "torch==2.12.0 instead of"),
        ("environment.yml", "      - -c constraints.txt\n", "", "no constraints"),
    ],
)
def test_files_out_of_step_are_noticed(files, name, old, new, complaint):
    assert old in files[name]
    files[name] = files[name].replace(old, new, 1)
    assert complaint in "\n".join(problems(files))


def test_version_is_stated_once_for_all(files):
    import dqn_ref

    assert tomllib.loads(files["pyproject.toml"])["project"]["version"] == dqn_ref.__version__
