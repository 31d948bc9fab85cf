"""`make lab`: which Python it takes, what it passes on, and what a learner then sees."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import lab
import pytest
from lab import run_make

from dqn_ref.course import notebooks

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def checkout(tmp_path):
    """A fresh checkout: what `make` looks at before anything is installed."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def fake_python(folder: Path, version: tuple[int, int], name: str = "python3") -> Path:
    """A program that answers `-c` as a Python of that version would."""
    path = folder / name
    path.write_text(
        "#!/bin/sh\n"
        f'exec python3 -c "import sys; sys.version_info = ({version[0]}, {version[1]}, 0); $2"\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize("version", [(3, 10), (3, 14), (2, 7)])
def test_an_unsupported_python_is_refused_in_one_sentence(checkout, version):
    python = fake_python(checkout, version, "old-python")
    made = run_make(checkout, "lab", f"PYTHON={python}")
    assert made.returncode != 0
    sentence, *rest = made.stderr.splitlines()
    assert sentence.startswith("This course needs Python 3.11, 3.12 or 3.13, but")
    assert str(python) in sentence and "make lab PYTHON=/path/to/python3.12" in sentence
    assert len(rest) == 1 and rest[0].startswith("make")  # make's own line
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_a_supported_python_is_taken(checkout, version):
    python = fake_python(checkout, version, "new-python")
    made = run_make(checkout, "lab", "--dry-run", f"PYTHON={python}")
    assert made.returncode == 0 and f"{python} -m venv .venv" in made.stdout


def test_no_python_at_all(checkout):
    made = run_make(checkout, "lab", "PYTHON=")
    assert made.returncode != 0
    assert "but none of them is on the PATH: install one" in made.stderr


def test_lab_arguments_are_passed_on():
    command = lab.make_command("lab", "LAB_ARGS=--port=9999 --ip=0.0.0.0")
    assert command[1:3] == ["-m", "jupyterlab"]
    assert {"--port=9999", "--ip=0.0.0.0", "README.md"} < set(command)
    assert "--allow-root" not in command


@pytest.mark.parametrize(("display", "expected"), [("", True), (":0", False)])
def test_a_machine_without_a_screen_gets_the_address(checkout, display, expected):
    made = run_make(checkout, "--dry-run", "lab", DISPLAY=display, WAYLAND_DISPLAY="")
    assert ("--no-browser" in made.stdout) == expected


def test_a_fresh_checkout_installs_before_it_tests(checkout):
    lines = run_make(checkout, "--dry-run", "test").stdout.splitlines()
    venv, install, run = (
        next(index for index, line in enumerate(lines) if part in line)
        for part in ("-m venv .venv", "pip install", "-m pytest -n 2 --dist loadscope")
    )
    assert venv < install < run
    assert "-c constraints.txt torch==2.13.0 -e" in lines[install]


def test_installing_is_done_once_and_again_when_versions_change(checkout):
    stamp = checkout / ".venv" / ".installed"
    stamp.parent.mkdir()
    stamp.touch()
    assert "pip install" not in run_make(checkout, "--dry-run", "lab").stdout
    for name in ("pyproject.toml", "constraints.txt"):
        os.utime(stamp, (1, 1))
        os.utime(checkout / name, (2, 2))
        assert "pip install" in run_make(checkout, "--dry-run", "lab").stdout


@pytest.fixture
def copy(tmp_path):
    """The course as a learner gets it, and an empty home."""
    folder, home = tmp_path / "course", tmp_path / "home"
    home.mkdir()
    shutil.copytree(ROOT / "solutions", folder / "solutions")
    shutil.copy(ROOT / "README.md", folder)
    for source in notebooks.sources():
        chapter = notebooks.chapter_notebook(notebooks.read_source(source))
        notebooks.write(chapter, folder / "chapters" / f"{source.stem}.ipynb")
    return folder, home


VIDEOS = """() => [...document.querySelectorAll('.jp-OutputArea video')].map(video =>
    ({ready: video.readyState, width: video.videoWidth, seconds: video.duration}))"""
PICTURES = """() => [...document.querySelectorAll('.jp-OutputArea img')].map(picture =>
    ({width: picture.naturalWidth, alt: picture.alt}))"""


def assert_undisturbed(page) -> None:
    """No dialog asks for a kernel, no pop-up for news."""
    page.wait_for_timeout(2000)  # the question about news comes late
    assert page.locator(".jp-Dialog").count() == 0
    assert page.locator(".Toastify__toast").count() == 0


def assert_films_and_pictures(page) -> None:
    page.wait_for_selector(".jp-OutputArea video", state="attached", timeout=30_000)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.jp-OutputArea video')]"
        ".every(video => video.readyState >= 2)",
        timeout=30_000,
    )
    assert all(film["width"] > 0 and film["seconds"] > 1 for film in page.evaluate(VIDEOS))
    pictures = page.evaluate(PICTURES)
    assert pictures and all(picture["width"] > 0 and picture["alt"] for picture in pictures)


def assert_films_play(page) -> None:
    """The data are there and time goes on, as after a click on the button."""
    for film in page.locator(".jp-OutputArea video").all():
        film.evaluate("film => { film.muted = true; return film.play(); }")
        page.wait_for_timeout(300)
        before = film.evaluate("film => film.currentTime")
        page.wait_for_timeout(500)
        assert film.evaluate("film => film.currentTime") > before > 0


def assert_slider_moves(page) -> None:
    picture = page.locator(".jp-OutputArea .widget-html img")
    before = picture.get_attribute("alt")
    handle = page.locator(".jp-OutputArea .noUi-handle").first
    handle.scroll_into_view_if_needed()
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "before => document.querySelector('.jp-OutputArea .widget-html img').alt != before",
        arg=before,
        timeout=10_000,
    )
    assert before.startswith("Step 0 ") and picture.get_attribute("alt").startswith("Step 1 ")


def solution_of(name: str) -> str:
    """The solved cell of chapter 00 that defines `name`."""
    cells = notebooks.read_cells(notebooks.read_source(notebooks.sources()[0]))
    return next(cell.solved for cell in cells if f"def {name}(" in cell.solved)


def assert_badge_turns(page) -> None:
    """A wrong attempt and then a right one, typed into the exercise by a learner."""
    stub, check = (
        page.locator(".jp-CodeCell").filter(has_text=text).first
        for text in ("def play_random_game(", "play_random_game = check(")
    )
    for last_line, mark in (("return steps, score", "❌"), ("return score, steps", "✅")):
        body = solution_of("play_random_game").removesuffix("return score, steps")
        editor = stub.locator(".cm-content")
        editor.scroll_into_view_if_needed()
        editor.click()
        page.keyboard.press("Control+a")
        page.keyboard.press("Delete")
        page.keyboard.insert_text(body)
        page.keyboard.type(last_line)
        page.keyboard.press("Shift+Enter")
        check.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        page.wait_for_function(
            "([cell, mark]) => cell.querySelector('.jp-OutputArea')?.textContent.includes(mark)",
            arg=[check.element_handle(), mark],
            timeout=20_000,
        )
    page.wait_for_function(
        "cell => cell.querySelector('.jp-OutputArea').textContent.includes('saved to my_dqn')",
        arg=check.element_handle(),
        timeout=20_000,
    )


@pytest.mark.browser
def test_jupyterlab_in_a_browser(copy):
    """README is a page; an untrusted solution shows its film; a chapter runs to its end."""
    with lab.jupyterlab(*copy) as address, lab.browser() as page:
        lab.open_file(page, address, "README.md")
        page.wait_for_selector(".jp-MarkdownViewer h1", timeout=30_000)
        assert_undisturbed(page)

        lab.open_file(page, address, "solutions/00_hello_atari.ipynb")
        assert_films_and_pictures(page)  # nobody ran it here, so nothing in it is trusted
        assert_undisturbed(page)

        lab.open_file(page, address, "chapters/00_hello_atari.ipynb")
        assert lab.run_all(page) > 10
        assert_films_and_pictures(page)
        assert page.locator(".jp-OutputArea [data-mime-type*=error]").count() == 0
        assert "not attempted yet" in page.locator(".jp-Notebook").text_content()
        assert_films_play(page)
        assert_slider_moves(page)
        assert_badge_turns(page)
        assert_undisturbed(page)
    saved = copy[1] / "my_course" / "my_dqn" / "play_random_game.py"
    assert "def play_random_game" in saved.read_text(encoding="utf-8")
