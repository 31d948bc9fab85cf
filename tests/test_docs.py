"""The pages under docs/ name only what exists, and quote only what the code says.

How a page marks what can be checked:

- a fenced block `sh` holds commands, `python` code, `text` lines that our programs print;
- a code span in a `###` heading, and any code span that begins like a message of ours (`MESSAGES`),
  is a message of ours; `…` in it stands for what differs from case to case. Messages of other
  programs stand in quotation marks, without a code span;
- every other code span is a command, a flag, a path, a name, or a piece of Python.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import csv
import functools
import io
import json
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from dqn_ref.__main__ import build_parser
from dqn_ref.recipes import RECIPES, Recipe

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("troubleshooting", "glossary")
MESSAGES = ("dqn_ref: ", "[fix] ", "ValueError: ", "TypeError: ")
PLACES = ("benchmarks", "chapters", "docs", "dqn_ref", "results", "solutions", "tests")
NOT_OURS = ("NotImplementedError", "ModuleNotFoundError")


class Page(NamedTuple):
    blocks: list[tuple[str, str]]  # language and content of each fenced block
    prose: str  # everything else


def split(text: str) -> Page:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.M | re.S)
    return Page(blocks, re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.M | re.S))


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def lines_of(text: str, language: str) -> list[str]:
    blocks = [content for kind, content in split(text).blocks if kind == language]
    return [line for content in blocks for line in content.splitlines() if line.strip()]


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", split(text).prose)


def is_message(span: str) -> bool:
    return span.startswith(MESSAGES)


@functools.cache
def sources(folder: str = "dqn_ref") -> dict[str, str]:
    return {str(p): p.read_text(encoding="utf-8") for p in (ROOT / folder).rglob("*.py")}


@functools.cache
def words() -> frozenset[str]:
    """Every word of the agent's source, strings and comments included."""
    return frozenset(re.findall(r"\w+", " ".join(sources().values())))


# ---- commands ------------------------------------------------------------------------------------


def parses(words: list[str]) -> str | None:
    """What `python -m dqn_ref` says against a command line; nothing is run."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            build_parser().parse_args(words)
    except SystemExit as end:
        return said.getvalue().strip() if end.code else None
    return None


def python_problem(words: list[str]) -> str | None:
    if words[:1] != ["-m"] or len(words) < 2:
        return "only `python -m module` is known"
    module, *rest = words[1:]
    if module == "dqn_ref":
        return parses(rest)
    if module == "pytest":
        missing = [w for w in rest if not w.startswith("-") and not (ROOT / w).exists()]
        return f"missing: {missing}" if missing else None
    if module in ("pip", "ipykernel"):
        return None
    path = ROOT / (module.replace(".", "/") + ".py")
    if not path.is_file():
        return f"there is no module {module}"
    text = path.read_text(encoding="utf-8")
    unknown = [w for w in rest if w.startswith("--") and f'"{w}"' not in text]
    return f"unknown flags {unknown}" if unknown else None


def make_problem(words: list[str]) -> str | None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", text, flags=re.M)[1].split()
    for word in words:
        name, is_variable, _ = word.partition("=")
        if is_variable and not re.search(rf"\b{re.escape(name)}\b", text):
            return f"the Makefile knows no variable {name}"
        if not is_variable and name not in targets:
            return f"the Makefile has no target {name}"
    return None


def command_problem(line: str) -> str | None:
    program, *rest = shlex.split(line, comments=True)
    program = program.removeprefix(".venv/bin/")
    if program == "python":
        return python_problem(rest)
    if program == "make":
        return make_problem(rest)
    if program == "jupyter":
        missing = [w for w in rest[1:] if not (ROOT / w).exists()]
        return f"missing: {missing}" if missing else None
    return None if line == "rm -rf .venv" else f"the program {program} is unknown here"


def command_problems(text: str) -> list[str]:
    inline = [s for s in spans(text) if re.match(r"(\.venv/bin/)?python -|make \w", s)]
    found = [(line, command_problem(line)) for line in [*lines_of(text, "sh"), *inline]]
    return [f"{line}: {problem}" for line, problem in found if problem]


# ---- names ---------------------------------------------------------------------------------------


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return next(a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))


def flag_problem(span: str) -> str | None:
    """A flag of a dqn_ref command and a value it takes; or one that Makefile or README has."""
    flag, *values = span.split()
    takers = [
        name
        for name, sub in subparsers(build_parser()).items()
        if flag in sub._option_string_actions
    ]
    if not takers:
        others = ("Makefile", "README.md")
        known = any(flag in (ROOT / name).read_text(encoding="utf-8") for name in others)
        return None if known else f"no command has {flag}"
    if not values:
        return None
    needed = {"watch": ["--video", "x.mp4"]}
    tried = [
        parses([name, "--run-dir", "x", *needed.get(name, []), flag, *values]) for name in takers
    ]
    return None if None in tried else tried[0]


def name_problem(span: str) -> str | None:
    if span.startswith("--"):
        return flag_problem(span)
    if re.fullmatch(r"[\w.-]+(/[\w.-]+)+/?", span) and span.split("/")[0] in PLACES:
        return None if (ROOT / span).exists() else "there is no such path"
    if re.fullmatch(r"[\w-]+\.(py|md|txt|toml|yml|json|csv|safetensors)", span):
        written = any(f'"{span}"' in text or f"/{span}" in text for text in sources().values())
        exists = (ROOT / span).exists() or any(ROOT.glob(f"*/{span}"))
        return None if written or exists else "no such file is shipped or written"
    if re.fullmatch(r"[A-Za-z]\w*", span) and not span.endswith(NOT_OURS):
        return None if span in words() or span == "make" else "the source does not know this word"
    return None


def name_problems(text: str) -> list[str]:
    found = [(span, name_problem(span)) for span in spans(text) if not is_message(span)]
    missing = [(name, "no recipe") for name in re.findall(r"recipes? `(\w+)`", text)]
    found += [(name, problem) for name, problem in missing if name not in RECIPES]
    return [f"{span}: {problem}" for span, problem in found if problem]


# ---- messages ------------------------------------------------------------------------------------


def template(node: ast.AST) -> str | None:
    """A string as it may appear: what is filled in becomes `…`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(template(v) if isinstance(v, ast.Constant) else "…" for v in node.values)
    return None


@functools.cache
def templates() -> tuple[str, ...]:
    """Every string of the agent's source, and the Makefile's text with its line breaks undone."""
    found = [
        template(node)
        for text in sources().values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant | ast.JoinedStr)
    ]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return (*{t for t in found if t}, re.sub(r'"? *\\\n\s*"?', " ", makefile))


def is_said(message: str) -> bool:
    """Whether one string of ours has all fixed parts of a message, in their order."""
    message = re.sub(r"^(dqn_ref|ValueError|TypeError): |^\[fix\] \w+ ", "", message)
    parts = [part.strip() for part in message.split("…") if part.strip()]
    pattern = re.compile(".*".join(map(re.escape, parts)), flags=re.S)
    return len("".join(parts)) >= 12 and any(pattern.search(text) for text in templates())


def messages(text: str) -> list[str]:
    headings = re.findall(r"^### (.*)$", split(text).prose, flags=re.M)
    in_headings = [s for h in headings for s in re.findall(r"`([^`]+)`", h) if " " in s]
    return [*in_headings, *filter(is_message, spans(text)), *lines_of(text, "text")]


def message_problems(text: str) -> list[str]:
    return [f"nobody says: {message}" for message in messages(text) if not is_said(message)]


# ---- links and code ------------------------------------------------------------------------------


def link_problems(text: str, folder: Path = ROOT / "docs") -> list[str]:
    links = re.findall(r"\]\(([^)\s]+)\)", split(text).prose)
    inside = [link for link in links if not re.match(r"https?://", link)]
    return [f"{link} leads nowhere" for link in inside if not (folder / link).exists()]


def defined_in(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def code_problems(text: str) -> list[str]:
    """Python that does not compile, or takes from the agent what is not there."""
    found = []
    for content in (content for kind, content in split(text).blocks if kind == "python"):
        try:
            tree = ast.parse(content)
        except SyntaxError as error:
            found.append(f"{error}: {content}")
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "dqn_ref":
                path = ROOT / node.module.replace(".", "/")
                there = {p.stem for p in path.glob("*.py")} if path.is_dir() else set()
                if path.with_suffix(".py").is_file():
                    there = defined_in(path.with_suffix(".py"))
                found += [
                    f"{node.module} has no {a.name}" for a in node.names if a.name not in there
                ]
    return found


# ---- the pages -----------------------------------------------------------------------------------

CHECKS = (command_problems, name_problems, message_problems, link_problems, code_problems)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("check", CHECKS)
def test_a_page_names_only_what_exists(check, name):
    """Catches: a command, flag, name, message, link or import that was renamed under the page."""
    assert check(page(name)) == []


BROKEN = [
    (command_problems, "```sh\npython -m dqn_ref train --run-dir x --recipe desktop\n```"),
    (command_problems, "```sh\npython -m dqn_ref evaluate --run-dir x --rounds 30\n```"),
    (command_problems, "```sh\npython -m dqn_ref watch --run-dir x\n```"),  # needs --video
    (command_problems, "```sh\npython -m benchmarks.nothing\n```"),
    (command_problems, "```sh\npython -m pytest tests/test_nothing.py\n```"),
    (command_problems, "```sh\nmake coffee\n```"),
    (command_problems, "```sh\nmake lab LABARGS=1\n```"),
    (command_problems, "```sh\nsudo rm -rf /\n```"),
    (command_problems, "say `python -m dqn_ref cure`"),
    (name_problems, "say `--learn-rate`"),
    (name_problems, "say `--precision fp8`"),
    (name_problems, "say `--games none`"),
    (name_problems, "set `learning_start`"),
    (name_problems, "recipe `desktop`"),
    (name_problems, "in `tests/test_nothing.py`"),
    (name_problems, "in `receipt.json`"),
    (message_problems, "### `dqn_ref: … exists already; choose a different --run-dir`"),
    (message_problems, "### `the checkpoint keeps no replay memory: …`"),
    (message_problems, "it raises `ValueError: shapes are not equal: … and …`"),
    (message_problems, "```text\n… cut short at the frame limit\n```"),
    (message_problems, "### `dqn_ref: …`"),  # fits everything, says nothing
    (link_problems, "[the log](../results/breakout-laptop/logs.csv)"),
    (link_problems, "[the page](glossary.html)"),
    (code_problems, "```python\nfrom dqn_ref.recipes import make_recipe\n```"),
    (code_problems, "```python\nfrom dqn_ref import recipe\n```"),
    (code_problems, "```python\nprint(\n```"),
]  # fmt: skip


@pytest.mark.parametrize("check, text", BROKEN)
def test_a_broken_page_is_noticed(check, text):
    """Catches: a check that passes whatever the page says."""
    assert check(text) != []


def test_commands_and_messages_are_found_at_all():
    """Catches: a fence or a heading written in a way that the checks overlook."""
    text = page("troubleshooting")
    assert len(lines_of(text, "sh")) >= 15 and len(messages(text)) >= 15
    fences = re.findall(r"^```(\w*)$", text, flags=re.M)
    assert set(fences) <= {"sh", "python", "text", ""} and fences.count("") * 2 == len(fences)


# ---- tables --------------------------------------------------------------------------------------

TABLE_RECIPES = ("laptop", "mnih2015", "gpu", "gallery")


def play_time(recipe: Recipe) -> str:
    """How long a console would take for the frames of a training."""
    if recipe.game != "breakout":
        return "–"
    hours = recipe.total_steps * recipe.repeat_frames / 60 / 3600
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"


# Only numbers are taken from the recipe; how they follow from each other is spelled out here.
ROWS = {
    "games at once (lanes)": lambda r: f"{r.lanes}",
    "frames per step": lambda r: f"{r.repeat_frames}",
    "steps": lambda r: f"{r.total_steps:,}",
    "frames = steps × frames per step": lambda r: f"{r.total_steps * r.repeat_frames:,}",
    "play at 60 frames a second": play_time,
    "steps before the first update": lambda r: f"{r.learning_starts:,}",
    "steps per update": lambda r: f"{r.train_every_steps}",
    "updates = (steps − steps before) / steps per update": lambda r: (
        f"{(r.total_steps - r.learning_starts) // r.train_every_steps:,}"
    ),
    "transitions drawn per step = 32 / steps per update": lambda r: (
        f"{r.batch_size / r.train_every_steps:g}"
    ),
    "θ⁻ copied every … steps": lambda r: f"{r.target_every_steps:,}",
    "which is every … updates": lambda r: f"{r.target_every_steps // r.train_every_steps:,}",
    "epsilon": lambda r: f"{r.epsilon_start:g} → {r.epsilon_end:g}",
    "falling from step … to step …": lambda r: (
        f"{r.epsilon_delay_steps:,} → {r.epsilon_delay_steps + r.epsilon_decay_steps:,}"
    ),
    "frames in the replay memory": lambda r: f"{r.memory_frames:,}",
    "its size at 1 byte a pixel + 12 bytes": lambda r: (
        f"{r.memory_frames * (r.frame_height * r.frame_width + 12) / 1e9:.2f} GB"
    ),
    "rewards in a return (n)": lambda r: f"{r.n_step}",
}


def recipe_table() -> str:
    recipes = [RECIPES[name] for name in TABLE_RECIPES]
    return "\n".join(
        f"| {label} | " + " | ".join(cell(recipe) for recipe in recipes) + " |"
        for label, cell in ROWS.items()
    )


def test_the_glossarys_table_is_that_of_the_recipes():
    """Catches: a recipe that was tuned, and a page that still has its old numbers."""
    assert recipe_table() in page("glossary"), f"docs/glossary.md should have\n{recipe_table()}"


def test_every_batch_of_the_table_has_32_transitions():
    """Catches: a batch size that makes the table's "32 / steps per update" untrue."""
    for name in TABLE_RECIPES:
        recipe = RECIPES[name]
        assert recipe.batch_size == 32 and recipe.repeat_actions == 1, name
        assert recipe.target_tau == 1, f"{name} has a soft target: no copy every so many steps"


def table_rows(text: str, first_column: str) -> list[list[str]]:
    """The rows of the table whose first heading is this."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_run_to_compare_with_is_the_shipped_one():
    """Catches: figures of another run, or mistyped, in the table that learners compare with."""
    with open(ROOT / "results/breakout-laptop-seed-0/log.csv", newline="") as file:
        log = {int(row["agent_steps"]): row for row in csv.DictReader(file)}
    rows = table_rows(page("troubleshooting"), "steps")
    assert len(rows) >= 8
    for steps, updates, games, score, epsilon, loss, q_mean in rows:
        logged = log[int(steps.replace(",", ""))]
        assert f"{int(logged['updates']):,}" == updates and f"{int(logged['episodes']):,}" == games
        assert f"{float(logged['score_mean']):.2f}" == score, steps
        assert f"{float(logged['epsilon']):.2f}" == epsilon, steps
        assert f"{float(logged['loss']):.4f}" == loss, steps
        assert f"{float(logged['q_mean']):.2f}" == q_mean, steps


def test_measured_scores_are_those_of_the_results():
    """Catches: scores in the pages that results/ no longer states."""
    about = json.loads((ROOT / "results/breakout-laptop/about.json").read_text())
    means = {e["epsilon"]: f"{e['mean']:.1f}" for e in about["evaluations"]}
    training = f"{about['training_score_mean_of_100']:.1f}"
    notes = page("glossary")
    assert f"Measured: {means[0.05]} with 0.05, {means[0.001]} with 0.001" in notes
    assert f"Measured: {training} in the last 100 training games" in notes
    assert f"{training} in training, {means[0.05]} in 30 evaluation games" in page(
        "troubleshooting"
    )
    greedy = next(e for e in about["evaluations"] if e["epsilon"] == 0.001)["scores"]
    assert (greedy.count(4), greedy.count(30)) == (8, 9)

    results = (ROOT / "results/README.md").read_text(encoding="utf-8")
    snapshots = re.search(r"^\| mean of 30 games \| (.*) \|$", results, flags=re.M)[1].split(" | ")
    assert ", ".join(snapshots) in page("troubleshooting")
    scores = [float(score) for score in snapshots]
    mean = f"{sum(scores) / len(scores):.0f}"
    assert f"gave {min(scores)} to {max(scores)}. Their mean is {mean}" in notes
    assert f"the best is {max(scores) - sum(scores) / len(scores):.0f} above it" in notes


def test_the_longest_game_is_as_long_as_the_glossary_says():
    """Catches: another shipped run, whose games may reach the frame limit."""
    with open(ROOT / "results/breakout-laptop/games.csv", newline="") as file:
        frames = [int(row["frames"]) for row in csv.DictReader(file)]
    sentence = f"The longest of the {len(frames):,} training games took {max(frames):,} frames"
    assert sentence in page("glossary")


def test_environment_ids_are_those_of_the_registry():
    """Catches: an ale-py that drops, adds or redefines an id of Breakout."""
    import ale_py
    import gymnasium

    gymnasium.register_envs(ale_py)
    registered = {i: s.kwargs for i, s in gymnasium.registry.items() if "Breakout" in i}
    stated = {}
    for name, frames, sticky, today in table_rows(page("glossary"), "id"):
        if today == "registered":
            skip = (2, 5) if frames == "2, 3 or 4, at random" else int(frames)
            stated[name.strip("`")] = (skip, float(sticky))
        else:
            assert today == "gone" and name.strip("`") not in registered
    assert stated == {
        name: (kwargs["frameskip"], kwargs["repeat_action_probability"])
        for name, kwargs in registered.items()
    }
    assert {kwargs["max_num_frames_per_episode"] for kwargs in registered.values()} == {108_000}


# ---- how a page reads ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_short_and_plain(name):
    """Catches: lines that a side-by-side view cuts, pages too long to read, words that praise."""
    text = page(name)
    long = [line for line in text.splitlines() if len(line) > 130]
    assert long == []
    prose = split(text).prose
    assert len(prose.split()) <= 3_000
    assert re.findall(r"\b(?:simply|just|obviously|easily|of course)\b|!", prose) == []


def chapter_rows(text: str) -> dict[str, tuple[str, str, str]]:
    """Minutes and the two links of each chapter in the README's table."""
    link = r"\[{}\]\(([^)]+)\)"
    links = f"{link.format('chapter')} \\| {link.format('solution')}"
    pattern = rf"^\| (\d\d) [^|]+\|[^|]+\| (\d+) \| {links} \|$"
    return {found[1]: found.groups()[1:] for found in re.finditer(pattern, text, re.M)}


def test_the_readme_lists_the_chapters_that_are_there():
    """A chapter that nobody finds, a link that leads nowhere, minutes of an earlier version."""
    there = {}
    for source in sorted((ROOT / "solutions").glob("[0-9][0-9]_*.py")):
        minutes = re.search(r"^# \*\*Minutes\*\*: (\d+)$", source.read_text("utf-8"), re.M)
        links = [f"{folder}/{source.stem}.ipynb" for folder in ("chapters", "solutions")]
        there[source.name[:2]] = (minutes[1], *links)
    assert chapter_rows((ROOT / "README.md").read_text(encoding="utf-8")) == there
