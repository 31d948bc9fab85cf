"""One source per chapter, two notebooks from it. Run it by `make notebooks`.

    solutions/NN_name.py ─ read_cells ─┬─ chapter_notebook ─────────── chapters/NN_name.ipynb
                                       └─ solution_notebook ─ execute ─ solutions/NN_name.ipynb

The source is Python in the py:percent format (`# %%` begins a code cell, `# %% [markdown]` a text
cell). Lines between `### BEGIN SOLUTION` and `### END SOLUTION` become one `raise
NotImplementedError` in the chapter. A cell that begins with `# NBVAL_CHECK_OUTPUT` prints the same
on every machine and in every mode; the tests compare it with the output kept in the solution.

A chapter is checked before it is written (`lint`), a solution's outputs before they are
(`output_problems`); a notebook that somebody has worked in is never overwritten.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
CHECKED = "# NBVAL_CHECK_OUTPUT"
_BEGIN_CHAPTER = re.compile(r'\bbegin\("(\d\d)"\)')
MODE = "normal"  # what solutions are executed in

MAX_LINE = 88
MAX_CELL_LINES = 30
MAX_MEDIAN_LINES = 10
MIN_CHECKED_CELLS = 3
MAX_OUTPUT_BYTES = 1_000_000
MAX_VIDEO_BYTES = 300_000

KERNEL = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}


class NotebookError(Exception):
    """A notebook that must not be written; the message says why and what to do."""


@dataclass(frozen=True)
class Cell:
    """One cell of the source, solution included."""

    id: str
    kind: str  # "code" or "markdown"
    source: str

    @property
    def solved(self) -> str:
        """The text without the solution markers; the course is told that this is a solution."""
        text = "\n".join(line for line, _ in _marked_lines(self.source))
        if self.kind == "code":
            text = _BEGIN_CHAPTER.sub(r'begin("\1", solution=True)', text)
        return text

    @property
    def stubbed(self) -> str:
        """The text as the learner gets it: each solution is one `raise NotImplementedError`."""
        lines, inside = [], False
        for line, is_solution in _marked_lines(self.source):
            if is_solution and not inside:
                indent = line[: len(line) - len(line.lstrip())]
                lines.append(f"{indent}raise NotImplementedError")
            inside = is_solution
            if not is_solution and line != CHECKED:
                lines.append(line)
        return "\n".join(lines)

    @property
    def solution_lines(self) -> list[str]:
        """The lines that must not be seen in a chapter."""
        return [line for line, is_solution in _marked_lines(self.source) if is_solution]

    @property
    def is_checked(self) -> bool:
        return self.kind == "code" and self.source.startswith(CHECKED)


def _marked_lines(source: str) -> Iterator[tuple[str, bool]]:
    """Each line but the markers, and whether it belongs to a solution."""
    inside = False
    for line in source.split("\n"):
        marker = line.strip()
        if marker in (BEGIN, END):
            if (marker == BEGIN) == inside:
                raise NotebookError(f"{marker!r} without its counterpart in the cell:\n{source}")
            inside = not inside
        else:
            yield line, inside
    if inside:
        raise NotebookError(f"{BEGIN!r} without {END!r} in the cell:\n{source}")


def read_source(path: Path) -> str:
    """A chapter's source with `\\n` line ends, whatever the checkout made of them."""
    return path.read_text(encoding="utf-8")


def read_cells(text: str) -> list[Cell]:
    """The cells of a source. An id comes from the cell's text, so it outlives its neighbours."""
    import jupytext

    seen: Counter[str] = Counter()
    cells = []
    for cell in jupytext.reads(text, fmt="py:percent").cells:
        digest = _digest(f"{cell.cell_type}\n{cell.source}")[:10]
        seen[digest] += 1
        suffix = f"-{seen[digest]}" if seen[digest] > 1 else ""
        cells.append(Cell(f"{digest}{suffix}", cell.cell_type, cell.source))
    return cells


def chapter_notebook(text: str) -> NotebookNode:
    """The notebook the learner works in: stubs, no outputs."""
    return _notebook("chapter", text, lambda cell: cell.stubbed)


def solution_notebook(text: str) -> NotebookNode:
    """The solved notebook, not yet executed."""
    return _notebook("solution", text, lambda cell: cell.solved)


def _notebook(kind: str, text: str, render) -> NotebookNode:
    new = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    cells = [new[cell.kind](render(cell), id=cell.id) for cell in read_cells(text)]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=KERNEL)
    notebook.metadata.dqn_course = {
        "kind": kind,
        "source_sha256": _digest(text),
        "cells_sha256": cells_digest(notebook),
    }
    if kind == "solution":
        notebook.metadata.dqn_course.mode = MODE
    return notebook


def cells_digest(notebook: NotebookNode) -> str:
    """Digest of what a person types into a notebook: kinds and texts of the cells, no outputs."""
    return _digest("\0".join(f"{cell.cell_type}\n{cell.source}" for cell in notebook.cells))


def without_outputs(notebook: NotebookNode) -> NotebookNode:
    """A copy as it was before it was executed."""
    bare = copy.deepcopy(notebook)
    for cell in bare.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    bare.metadata.pop("widgets", None)  # what the kernel knew of sliders and the like
    return bare


def execute(notebook: NotebookNode, folder: Path, mode: str = MODE) -> NotebookNode:
    """Run a notebook from top to bottom with this Python, in `folder`; a copy with the outputs."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    class ThisPython(AsyncKernelManager):
        """Without folders to look in, "python3" is this interpreter and never another one."""

        def _kernel_spec_manager_default(self):
            return KernelSpecManager(kernel_dirs=[], ensure_native_kernel=True)

    executed = copy.deepcopy(notebook)
    client = NotebookClient(
        executed,
        kernel_manager_class=ThisPython,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],
        timeout=1800,
        record_timing=False,
        coalesce_streams=True,
    )
    client.execute(env={**os.environ, "DQN_COURSE_MODE": mode})
    executed.metadata.language_info = KERNEL["language_info"]  # the kernel adds its version
    return executed


# What must hold of a chapter and of outputs. Each function returns sentences, none if all is well.

_EXERCISE = re.compile(r"^### Exercise \d+\.\d+ · .+ · (●○○|●●○|●●●) · \d+ minutes$")
_EXERCISE_PARTS = ("**What you should see:**", "<summary>Hint 1", "<summary>Hint 2", "**Think:**")
_ERROR_HINT = re.compile(r'<summary>("|&quot;|“)')
_DATA_URI = re.compile(r"data:(?P<kind>[\w/+.-]+);base64,(?P<data>[A-Za-z0-9+/=]+)")


def lint(text: str) -> list[str]:
    """What a chapter's source lacks."""
    cells = read_cells(text)
    markdown = "\n".join(cell.source for cell in cells if cell.kind == "markdown")
    code = [cell for cell in cells if cell.kind == "code"]
    problems = []
    for part in ("# ", "**Goals**", "**Prerequisites**", "**Minutes**"):
        if not cells or part not in cells[0].source:
            problems.append(f"the first cell does not state {part.strip('*# ') or 'a title'}")
    for heading in ("## Summary", "## Quiz"):
        if not re.search(rf"^{heading}$", markdown, re.MULTILINE):
            problems.append(f"there is no heading {heading!r}")
    quiz = markdown.partition("## Quiz")[2]
    if quiz.count("<summary>Answer") < 2:
        problems.append("the quiz has fewer than two folded answers")
    problems += _exercise_problems(markdown)
    problems += _piece_problems(cells)
    if sum(cell.is_checked for cell in code) < MIN_CHECKED_CELLS:
        problems.append(f"fewer than {MIN_CHECKED_CELLS} cells begin with {CHECKED}")
    for cell in code:
        lines = cell.solved.split("\n")
        if len(lines) > MAX_CELL_LINES:
            problems.append(f"a cell has {len(lines)} lines: {lines[0]}")
        problems += [f"over {MAX_LINE} columns: {line}" for line in lines if len(line) > MAX_LINE]
    lengths = [len(cell.solved.split("\n")) for cell in code]
    if code and statistics.median(lengths) >= MAX_MEDIAN_LINES:
        problems.append(f"the median code cell has {MAX_MEDIAN_LINES} lines or more")
    return problems


def _exercise_problems(markdown: str) -> list[str]:
    """What the exercise blocks lack. A block goes from its heading to the next `##` heading."""
    blocks = re.split(r"^(?=### Exercise )", markdown, flags=re.MULTILINE)[1:]
    problems = [] if blocks else ["there is no exercise"]
    for block in (re.split(r"^## ", block, flags=re.MULTILINE)[0] for block in blocks):
        heading = block.split("\n")[0]
        if not _EXERCISE.match(heading):
            problems.append(f"not '### Exercise N.M · title · ●○○ · N minutes': {heading}")
        problems += [f"no {part!r} in: {heading}" for part in _EXERCISE_PARTS if part not in block]
        if not _ERROR_HINT.search(block):
            problems.append(f"no hint for an error message in: {heading}")
        if "<summary>Answer" not in block.partition("**Think:**")[2]:
            problems.append(f"no folded answer to the question in: {heading}")
    return problems


def _piece_problems(cells: list[Cell]) -> list[str]:
    """Whether the chapter says who it is, and each of its pieces is written and then checked."""
    from dqn_ref.pieces import CONTRACTS

    title = re.match(r"# (\d\d) · ", cells[0].source if cells else "")
    code = [cell.source for cell in cells if cell.kind == "code"]
    begun = _BEGIN_CHAPTER.findall("\n".join(code))
    if not title or begun != [title[1]]:
        return ['the title has no number, or begin("NN") with that number does not stand once']
    problems = []
    stubs = {name: i for i, source in enumerate(code) for name in _stubbed_names(source)}
    for name, contract in CONTRACTS.items():
        check = f"{name} = check({name})"
        if contract.chapter != title[1]:
            if name in stubs:
                problems.append(f"{name} is a piece of chapter {contract.chapter}")
        elif name not in stubs:
            problems.append(f"the piece {name} is not written here")
        elif code[stubs[name] + 1 : stubs[name] + 2] != [check]:
            problems.append(f"the cell after {name} is not: {check}")
    return problems


def _stubbed_names(source: str) -> list[str]:
    """Functions and classes that a cell defines and leaves, in part, to the learner."""
    if BEGIN not in source:
        return []
    return re.findall(r"^(?:def|class) (\w+)", source, re.MULTILINE)


def leaked_lines(text: str, chapter: NotebookNode) -> list[str]:
    """Solution lines of the source that stand in a chapter notebook, and forgotten markers."""
    cells = read_cells(text)
    # A line that the chapter shows anyway, such as `return score`, gives nothing away.
    public = {line.strip() for cell in cells for line in cell.stubbed.split("\n")}
    secret = {line.strip() for cell in cells for line in cell.solution_lines} - public - {""}
    secret |= {BEGIN, END}
    shown = [line.strip() for cell in chapter.cells for line in cell.source.split("\n")]
    return [line for line in shown if line in secret]


def output_problems(notebook: NotebookNode) -> list[str]:
    """What must not stand in the outputs of a notebook that is handed on."""
    problems, total = [], 0
    paths = {str(Path.home()), str(ROOT), sys.prefix, sys.base_prefix, tempfile.gettempdir()}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            total += len(json.dumps(output))
            if output.output_type == "error":
                problems.append(f"an error: {output.ename}: {output.evalue}")
            for text in _texts(output):
                problems += [
                    f"an embedded video of {len(uri['data']) * 3 // 4:,} bytes"
                    for uri in _DATA_URI.finditer(text)
                    if uri["kind"].startswith("video/")
                    and len(uri["data"]) * 3 // 4 > MAX_VIDEO_BYTES
                ]
                text = _DATA_URI.sub("", text)
                problems += [f"a path of this machine: {path}" for path in paths if path in text]
                for pattern in (r"Traceback \(most recent", r"\b\w+Warning: .*", r"ipykernel_\d+"):
                    problems += [f"in an output: {hit}" for hit in re.findall(pattern, text)]
    if total > MAX_OUTPUT_BYTES:
        problems.append(f"{total:,} bytes of outputs, {MAX_OUTPUT_BYTES:,} are allowed")
    return problems


def _texts(output: NotebookNode) -> Iterator[str]:
    """Everything legible in one output."""
    yield output.get("text", "")
    for mime, data in output.get("data", {}).items():
        if not mime.startswith(("image/", "video/")):
            yield str(data)


# Files


def has_local_edits(path: Path) -> bool:
    """Whether somebody changed the cells of a notebook since it was generated or committed."""
    notebook = nbformat.read(path, as_version=4)
    if notebook.metadata.get("dqn_course", {}).get("cells_sha256") == cells_digest(notebook):
        return False
    committed = committed_text(path)
    return committed is None or cells_digest(nbformat.reads(committed, 4)) != cells_digest(notebook)


def committed_text(path: Path) -> str | None:
    """A file as it stands in git's HEAD; None without git, or if it is not there."""
    command = ["git", "-C", str(path.parent), "show", f"HEAD:./{path.name}"]
    try:
        shown = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return shown.stdout.decode("utf-8")


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a generated notebook unless that would destroy somebody's work.

    Raises:
        NotebookError: the notebook at `path` was edited by hand.
    """
    if path.exists() and has_local_edits(path):
        raise NotebookError(
            f"{path.parent.name}/{path.name} was edited: keep a copy of it elsewhere, "
            f"then `git checkout -- {path.parent.name}/{path.name}` and run this again"
        )
    nbformat.validate(notebook)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = nbformat.writes(notebook) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")


def is_current(path: Path, notebook: NotebookNode) -> bool:
    """Whether the file at `path` is this notebook, outputs apart."""
    return path.exists() and without_outputs(nbformat.read(path, as_version=4)) == notebook


def sources(root: Path = ROOT) -> list[Path]:
    """The chapters' sources in order."""
    return sorted((root / "solutions").glob("[0-9][0-9]_*.py"))


def build(source: Path, root: Path = ROOT) -> list[str]:
    """Bring both notebooks of one source up to date; what was written.

    Raises:
        NotebookError: the chapter, or what its solution prints, is not fit to be handed on.
    """
    text = read_source(source)
    if problems := lint(text):
        raise NotebookError(f"{source.name}: " + "\n  ".join(["", *problems]).strip("\n"))
    written = []
    chapter, path = chapter_notebook(text), root / "chapters" / f"{source.stem}.ipynb"
    if not is_current(path, chapter):
        write(chapter, path)
        written.append(f"chapters/{path.name}")
    solution, path = solution_notebook(text), root / "solutions" / f"{source.stem}.ipynb"
    if not is_current(path, solution):
        executed = execute(solution, source.parent)
        if problems := output_problems(executed):
            raise NotebookError(f"outputs of {source.name}:\n  " + "\n  ".join(problems))
        write(executed, path)
        written.append(f"solutions/{path.name}")
    return written


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the notebooks from solutions/*.py.")
    parser.add_argument("chapters", nargs="*", metavar="NN", help="only these chapters")
    chosen = parser.parse_args(arguments).chapters
    for source in sources():
        if chosen and source.name[:2] not in chosen:
            continue
        try:
            written = build(source)
        except NotebookError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"{source.stem}: {', '.join(written) or 'up to date'}")
    return 0


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
