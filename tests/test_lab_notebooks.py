"""Every solution from top to bottom in JupyterLab, and its controls moved: `make browser`.

CI runs two of them and the others are `long`: a notebook takes half a minute. That cells run, and
what they print, the tests of the notebooks say; here it is about what a learner sees.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import lab
import nbformat
import pytest

from dqn_ref.course import notebooks

ROOT = Path(__file__).resolve().parents[1]
IN_CI = ("05_q_network", "09_evaluation_and_video")  # a slider over pictures, one over a game
NAMES = [source.stem for source in notebooks.sources()]

# A cell that is out of sight may not be drawn, so each is looked at where it stands.
SEEN = """cell => ({
    errors: [...cell.querySelectorAll('[data-mime-type*="error"], [data-mime-type*="stderr"]')]
        .map(output => output.textContent),
    text: cell.querySelector('.jp-OutputArea')?.textContent ?? '',
    unseen: [...cell.querySelectorAll('.jp-OutputArea img')]
        .filter(picture => !picture.naturalWidth || !picture.alt).length,
    films: [...cell.querySelectorAll('.jp-OutputArea video')].map(video => video.readyState),
    wide: cell.querySelector('.jp-OutputArea-output')?.scrollWidth
        - cell.querySelector('.jp-OutputArea-output')?.clientWidth,
})"""
NOT_SHOWN = ("Error displaying widget", "Loading widget", "Javascript Error", "model not found")


def problems_of(cell) -> list[str]:
    """What a learner would have to wonder about in a cell that has run."""
    cell.scroll_into_view_if_needed()
    if cell.locator(".jp-OutputArea video").count():
        cell.page.wait_for_timeout(1000)
    seen = cell.evaluate(SEEN)
    found = [f"error: {text[:300]}" for text in seen["errors"]]
    found += [text for text in NOT_SHOWN if text in seen["text"]]
    found += ["a picture that is not there or has no alt text"] * seen["unseen"]
    found += [f"a film in state {state}" for state in seen["films"] if state < 2]
    return found


def move(cell) -> int:
    """Move every control of a cell by one; how many there are. Each must change the picture."""
    shown = cell.locator(".jp-OutputArea .widget-html").first
    sliders, lists = cell.locator(".noUi-handle"), cell.locator(".widget-dropdown select")
    for control in [*sliders.all(), *lists.all()]:
        before = shown.inner_html()
        control.scroll_into_view_if_needed()
        control.focus()
        at_end = control.get_attribute("aria-valuenow") == control.get_attribute("aria-valuemax")
        if control.evaluate("control => control.tagName") == "SELECT":
            options = control.locator("option").count()
            chosen = control.evaluate("list => list.selectedIndex")
            control.select_option(index=(chosen + 1) % options)
        else:
            cell.page.keyboard.press(
                "ArrowLeft" if at_end and control.get_attribute("aria-valuemax") else "ArrowRight"
            )
        cell.page.wait_for_function(
            "([shown, before]) => shown.innerHTML != before",
            arg=[shown.element_handle(), before],
            timeout=10_000,
        )
    return sliders.count() + lists.count()


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """JupyterLab on the course's solutions as a learner gets them: its address, and a page."""
    folder, home = tmp_path_factory.mktemp("course"), tmp_path_factory.mktemp("home")
    shutil.copytree(ROOT / "solutions", folder / "solutions")
    shutil.copy(ROOT / "README.md", folder)
    with lab.jupyterlab(folder, home) as address, lab.browser() as page:
        yield address, page


@pytest.fixture
def no_kernel_stays(opened):
    yield
    lab.end_kernels(opened[0])


# Chapters with something to move, and how much of it.
CONTROLS = {
    "00_hello_atari": 1, "01_returns_and_q_values": 3, "02_preprocessing": 5, "05_q_network": 1,
    "06_exploration": 4, "09_evaluation_and_video": 1,
}  # fmt: skip


@pytest.mark.browser
@pytest.mark.parametrize(
    "name", [n if n in IN_CI else pytest.param(n, marks=pytest.mark.long) for n in NAMES]
)
def test_a_solution_runs_in_a_browser(name, opened, no_kernel_stays):
    """A warning above a figure, a film that is black, a slider that moves nothing."""
    (address, page), path = opened, f"solutions/{name}.ipynb"
    cells = nbformat.read(ROOT / path, 4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    lab.open_file(page, address, path)
    assert lab.run_all(page, seconds=300) == len(code)
    shown = page.locator(".jp-CodeCell")
    problems = {i: found for i in range(len(code)) if (found := problems_of(shown.nth(i)))}
    assert not problems
    assert sum(move(shown.nth(i)) for i in range(len(code))) == CONTROLS.get(name, 0)
    assert page.locator(".jp-Dialog, .Toastify__toast").count() == 0


PANEL = """\
from dqn_ref.course.dashboard import dashboard
panel = dashboard(
    "small", recipe="gallery", precision="fp32", threads=1, total_steps=1_000_000,
    learning_starts=200, log_every_steps=200, checkpoint_every_steps=1_000,
)
panel"""


def wait_for_line(page, pattern: str, seconds: float = 60) -> str:
    """Wait until the panel's line says so; the line."""
    page.wait_for_function(
        "pattern => new RegExp(pattern).test("
        "document.querySelector('.jp-OutputArea .widget-html')?.textContent ?? '')",
        arg=pattern,
        timeout=1000 * seconds,
    )
    return page.locator(".jp-OutputArea .widget-html").first.text_content()


def steps_in(line: str) -> int:
    return int(re.search(r"([\d,]+) of 1,000,000 steps", line)[1].replace(",", ""))


@pytest.mark.browser
@pytest.mark.long
def test_a_training_outlives_the_kernel_that_started_it(tmp_path):
    """A button that does nothing in a browser; a panel that has lost its run."""
    folder, home = tmp_path / "course", tmp_path / "home"
    for made in (folder, home):
        made.mkdir()
    shutil.copy(ROOT / "README.md", folder)
    cell = nbformat.v4.new_code_cell(PANEL)
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata=notebooks.KERNEL)
    nbformat.write(notebook, folder / "panel.ipynb")
    with lab.jupyterlab(folder, home) as address, lab.browser() as page:
        lab.open_file(page, address, "panel.ipynb")
        assert lab.run_all(page) == 1
        button = page.locator(".jp-OutputArea button")
        wait_for_line(page, "not started yet")
        button.filter(has_text="Train").click()
        begun = steps_in(wait_for_line(page, "running · [\\d,]+ of"))

        page.get_by_role("menuitem", name="Kernel", exact=True).click()
        page.get_by_role("menuitem", name="Restart Kernel and Run All Cells…").click()
        page.locator(".jp-Dialog .jp-mod-accept").click()
        page.wait_for_timeout(5_000)
        line = wait_for_line(page, "running · [\\d,]+ of .* steps/s")
        assert steps_in(line) > begun
        assert page.locator(".jp-OutputArea img").count() >= 1  # curves, and the agent at play

        button.filter(has_text="Stop").click()
        stopped = steps_in(wait_for_line(page, "stopped early · [\\d,]+ of"))
        button.filter(has_text="Go on").click()
        assert steps_in(wait_for_line(page, "running · [\\d,]+ of")) >= stopped
        button.filter(has_text="Stop").click()
        wait_for_line(page, "stopped early · [\\d,]+ of")
