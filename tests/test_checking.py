"""`check` in a notebook: the badge, what it hands back, what it keeps, and that it never raises.

A real IPython shell runs the cells, the real worker asks the real catalogue. Saving, which starts a
Python of its own, is real where its name says so.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from dqn_ref import replay
from dqn_ref.course import badges, checking, home, notebooks, saved, worker
from dqn_ref.course.badges import Badge
from dqn_ref.course.catalogue import Verdict
from dqn_ref.course.checking import CheckFailed

HELPERS = """\
from collections import deque
import numpy as np
from dqn_ref.replay import Batch

BEFORE_START = 0

def stacked(rows, number):
    return np.stack([np.stack(row[number]) for row in rows])
"""
MEMORY = """\
class ReplayMemory:
    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        self.rows, self.discount = deque(maxlen=capacity), discount
        self.blank = [np.full(frame_shape, BEFORE_START, np.uint8)] * (stack_frames - 1)

    def __len__(self):
        return len(self.rows)

    def begin(self, frame):
        self.stack = [*self.blank, np.array(frame)]

    def add(self, action, reward, terminated, truncated, next_frame):
        after = [*self.stack[1:], np.array(next_frame)]
        self.rows.append((self.stack, action, reward, terminated, after))
        self.stack = after
        if terminated:
            self.begin(next_frame)

    def sample(self, batch_size, rng):
        if not self.rows:
            raise ValueError("the memory is empty")
        rows = [self.rows[i] for i in rng.integers(len(self), size=batch_size)]
        return Batch(
            stacked(rows, 0),
            np.array([row[1] for row in rows], dtype=np.int64),
            np.array([row[2] for row in rows], dtype=np.float32),
            np.full(batch_size, self.discount, dtype=np.float32),
            np.array([row[3] for row in rows]),
            stacked(rows, 4),
        )
"""
REVERSED = MEMORY.replace("stacked(rows, 0)", "stacked(rows, 0)[:, ::-1]").replace(
    "stacked(rows, 4)", "stacked(rows, 4)[:, ::-1]"
)
STUB = """\
class ReplayMemory:
    def __init__(self, capacity, frame_shape=(84, 84), stack_frames=4, discount=0.99):
        raise NotImplementedError
"""
CHECK = "mine = ReplayMemory\nReplayMemory = check(ReplayMemory)"
OWN_FIRST = "run your own cell first, and mend it if it shows an error."
GOES_ON = "  The notebook goes on with the reference's."


class Notebook:
    """Cells of a chapter, run in this process."""

    def __init__(self, shell, capsys):
        self.shell, self._capsys = shell, capsys
        self.run("from dqn_ref.course import begin, check")

    def __getitem__(self, name):
        return self.shell.user_ns[name]

    def run(self, *cells):
        """Run cells, none of which may raise; what they printed."""
        for cell in cells:
            self.shell.run_cell(cell, store_history=True).raise_error()
        return self._capsys.readouterr().out

    @property
    def goes_on_with_mine(self):
        return self["ReplayMemory"] is self["mine"]

    @property
    def goes_on_with_the_reference(self):
        return self["ReplayMemory"] is replay.ReplayMemory


@pytest.fixture(scope="module")
def warm():
    """One worker for all tests of this file."""
    yield worker.shared()
    worker.shared().close()


@pytest.fixture
def place(monkeypatch, tmp_path):
    """The learner's folder."""
    monkeypatch.setenv("DQN_COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DQN_COURSE_STRICT", raising=False)
    monkeypatch.setattr(home, "_current", None)
    return tmp_path / "home"


@pytest.fixture
def notebook(warm, place, capsys):
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False
    shell.showtraceback = lambda *arguments, **options: None
    yield Notebook(shell, capsys)
    shell.history_manager.end_session()
    shell.restore_sys_module_state()
    InteractiveShell.clear_instance()


@pytest.fixture
def saves(monkeypatch):
    """What was saved, and where to: without the Python that tries a real one."""
    done = []

    def save_piece(source, folder):
        path = saved.piece_path(folder, source.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source.text)
        done.append((source, folder))
        return path

    monkeypatch.setattr(saved, "save_piece", save_piece)
    return done


def judges(monkeypatch, answer):
    """Let the worker answer so."""

    def judge(self, source):
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(worker.Worker, "judge", judge)


def progress(place):
    path = place / "progress.json"
    return json.loads(path.read_text())["pieces"] if path.exists() else {}


# --- the outcomes ---------------------------------------------------------------------------------


def test_a_right_piece_with_a_helper_of_another_cell_passes(notebook, saves, place):
    """Catches a right piece that is refused, and a notebook that goes on with another one."""
    told = notebook.run("MODE = begin('04').mode", HELPERS, MEMORY, CHECK)
    line = r"✅ `ReplayMemory` passes · \d+\.\d× the reference's time\n"
    assert re.match(line, told) and told.endswith("\n  saved to my_dqn\n")
    assert notebook.goes_on_with_mine
    ((source, folder),) = saves
    assert folder == place and "def stacked" in source.text and "BEFORE_START = 0" in source.text
    entry = progress(place)["ReplayMemory"]
    assert (entry["status"], entry["attempts"]) == ("passed", 1)
    assert entry["last_source"] == source.text


def test_a_wrong_piece_is_told_what_it_is(notebook, saves, place):
    """Catches a badge without diagnosis, and a notebook that goes on with a wrong piece."""
    told = notebook.run("MODE = begin('04').mode", HELPERS, REVERSED, CHECK)
    assert told.startswith("❌ `ReplayMemory`: in ") and "newest frame first" in told
    assert re.search(r"\. See hint \d\.\n" + GOES_ON, told) and told.count("\n") == 2
    assert notebook.goes_on_with_the_reference and saves == []
    assert progress(place)["ReplayMemory"]["status"] == "failing"


def test_a_stub_is_not_attempted(notebook, saves, place):
    """Catches a stub that counts as a failure."""
    told = notebook.run("MODE = begin('04').mode", STUB, CHECK)
    expected = "◻ `ReplayMemory` is not attempted yet; the notebook goes on with the reference's.\n"
    assert told == expected
    assert notebook.goes_on_with_the_reference and not progress(place)


def test_half_a_piece_is_told_what_is_left(notebook, saves):
    half = re.sub(
        r"(    def sample.*?:\n).*", r"\1        raise NotImplementedError\n", MEMORY, flags=re.S
    )
    told = notebook.run(HELPERS, half, CHECK)
    assert told.startswith("◻ `ReplayMemory` is not finished yet; ")
    assert told.endswith("\n  `sample` still raises NotImplementedError.\n")


def test_a_helper_of_another_cell_that_is_not_written_is_named(notebook, saves):
    """Catches a badge that looks for the fault in the class, when an earlier exercise is open."""
    helpers = re.sub(r"    return np.stack.*", "    raise NotImplementedError", HELPERS)
    told = notebook.run(helpers, MEMORY, CHECK)
    assert told.startswith("◻ `ReplayMemory` is not finished yet; ")
    assert told.endswith("\n  `stacked` still raises NotImplementedError.\n")


def test_an_error_in_a_helper_shows_its_line(notebook, saves):
    """Catches a line number that belongs to no cell of the notebook."""
    told = notebook.run(HELPERS.replace("np.stack(row[number])", "row[7]"), MEMORY, CHECK)
    assert "raises IndexError, `return np.stack([row[7] for row in rows])`: " in told
    assert not re.search(r"line \d", told)


def test_a_cell_with_an_error_leaves_the_reference(notebook, saves):
    """Catches a NameError in every cell below a slip of the pen."""
    notebook.run("_ = begin('04')")
    told = notebook.run("ReplayMemory = check(ReplayMemory)")
    assert f"is the reference's; {OWN_FIRST}" in told
    assert notebook["ReplayMemory"] is replay.ReplayMemory
    notebook.run(HELPERS, MEMORY, "mine = ReplayMemory", "_ = begin('04')")
    assert notebook.goes_on_with_mine  # begun again: what the learner wrote stays


def test_a_check_run_again_on_the_reference_records_nothing(notebook, saves, place):
    """Catches a learner who is credited with the reference's work."""
    notebook.run(HELPERS, REVERSED, CHECK)
    before = (place / "progress.json").read_bytes()
    told = notebook.run("ReplayMemory = check(ReplayMemory)")
    assert told == f"◻ `ReplayMemory` is the reference's; {OWN_FIRST}\n"
    assert notebook.goes_on_with_the_reference and saves == []
    assert (place / "progress.json").read_bytes() == before


def test_a_failure_after_a_pass_keeps_what_passed(notebook, saves, place):
    """Catches a badge that leaves the learner in fear for the version that worked."""
    notebook.run(HELPERS, MEMORY, CHECK)
    told = notebook.run(REVERSED, CHECK)
    note = "The notebook goes on with the reference's; the version that passed stays in my_dqn.\n"
    assert told.endswith(f"\n  {note}")
    assert len(saves) == 1 and notebook.goes_on_with_the_reference
    entry = progress(place)["ReplayMemory"]
    assert entry["status"] == "failing" and entry["first_passed"] and entry["attempts"] == 2
    told = notebook.run(STUB, CHECK)
    assert told.endswith("\n  The version that passed stays in my_dqn.\n")
    saved.piece_path(place, "ReplayMemory").unlink()
    assert "stays in my_dqn" not in notebook.run(REVERSED, CHECK), "nothing is there to stay"


def test_a_notebook_variable_is_refused_by_name(notebook, saves, place):
    notebook.run("import numpy as np\nframes = np.zeros(3)")
    told = notebook.run("class ReplayMemory:\n    def __len__(self): return len(frames)", CHECK)
    sentence = "your piece uses the notebook variable `frames`; pass it as an argument."
    assert told == f"❌ `ReplayMemory`: {sentence}\n{GOES_ON}\n"
    assert notebook.goes_on_with_the_reference and not progress(place)


def test_every_cell_run_twice_changes_nothing(notebook, saves, place):
    """Catches a check that keeps a count of runs, or judges what another check handed back."""
    cells = ["MODE = begin('04').mode", HELPERS, MEMORY, "ReplayMemory = check(ReplayMemory)"]
    told = [notebook.run(cell, cell) for cell in cells]
    assert [text.count("✅") for text in told] == [0, 0, 0, 2]
    entry = progress(place)["ReplayMemory"]
    assert (entry["status"], entry["attempts"]) == ("passed", 1)
    assert saves[0] == saves[1]
    notebook.run(*cells)
    assert progress(place)["ReplayMemory"]["attempts"] == 1


def test_a_solution_leaves_the_learners_folder_alone(notebook, saves, place):
    """Catches a solution, opened out of curiosity, that fills in the learner's record."""
    told = notebook.run("MODE = begin('04', solution=True).mode", HELPERS, MEMORY, CHECK)
    assert "saved to my_dqn" in told and not place.exists()
    assert saves[0][1] == home.current().home != place


def test_an_endless_loop_gets_a_badge_and_the_next_check_works(notebook, saves, warm, monkeypatch):
    """Catches a notebook that hangs, or whose later checks do."""
    monkeypatch.setattr(warm, "time_limit_s", 1.0)
    loop = MEMORY.replace(
        "        self.rows.append", "        while True: pass\n        self.rows.append"
    )
    told = notebook.run(HELPERS, loop, CHECK)
    line = loop[: loop.index("while True")].count("\n") + 1
    sentence = (
        f"it was still running after 1 second, in line {line} of its cell (`while True: pass`)"
    )
    assert told.startswith(f"❌ `ReplayMemory`: {sentence}.")
    monkeypatch.setattr(warm, "time_limit_s", 10.0)
    assert "✅" in notebook.run(MEMORY, CHECK)


def test_an_exit_of_the_piece_leaves_the_notebook_alive(notebook, saves):
    leaves = MEMORY.replace(
        "        self.rows.append", "        import sys; sys.exit(7)\n        self.rows"
    )
    told = notebook.run(HELPERS, leaves, CHECK)
    assert told.startswith("❌ `ReplayMemory`: in ") and "SystemExit" in told
    assert "`import sys; sys.exit(7)`" in told


def test_the_worker_is_warm_for_the_next_piece(notebook, saves, warm):
    """Catches a catalogue or a right piece after which every check has to wait."""
    notebook.run(HELPERS, MEMORY, CHECK)
    pid = warm.pid
    notebook.run(REVERSED, CHECK, MEMORY, CHECK)
    assert warm.pid == pid
    game = """
def play_random_game(env, rng, max_steps=10_000):
    env.reset(seed=int(rng.integers(2**31)))
    score, steps, over = 0.0, 0, False
    while not over and steps < max_steps:
        _, reward, terminated, truncated, _ = env.step(int(rng.integers(env.action_space.n)))
        score, steps, over = score + float(reward), steps + 1, terminated or truncated
    return score, steps
"""
    for _ in range(2):
        assert "✅" in notebook.run(game, "play_random_game = check(play_random_game)")
    assert warm.pid == pid


# --- it never raises ------------------------------------------------------------------------------


NO_PIECES = {
    "3": "`check` takes a function or a class, not an int.",
    "None": "`check` takes a function or a class, not a NoneType.",
    "sys": "`check` takes a function or a class, not a module.",
    "lambda x: x": "`check` cannot tell which piece a lambda is; write it with `def` and the "
    "piece's name.",
    "ReplayMemory(100)": "`ReplayMemory`: this is an instance of it; pass the class itself, "
    "check(ReplayMemory).",
    "ReplyMemory": "`ReplyMemory` is none of the course's pieces; did you mean `ReplayMemory`?",
    "xyz": "`xyz` is none of the course's pieces; it has to keep the name in the stub.",
    "print": "`print` is none of the course's pieces; it has to keep the name in the stub.",
    "functools.partial(print)": "`check` takes a function or a class, not a partial.",
    "ReplayMemory": f"`ReplayMemory` is the reference's; {OWN_FIRST}",
}


@pytest.mark.parametrize("text", NO_PIECES)
def test_what_is_no_piece_gets_one_sentence(notebook, saves, place, text):
    notebook.run(
        "import functools, sys\nfrom dqn_ref.replay import ReplayMemory",
        "class ReplyMemory: pass\ndef xyz(): pass",
    )
    told = notebook.run(f"given = {text}\nback = check(given)")
    assert told == f"◻ {NO_PIECES[text]}\n"
    is_instance = text == "ReplayMemory(100)"
    assert notebook["back"] is (replay.ReplayMemory if is_instance else notebook["given"])
    assert not place.exists() and saves == []


def test_a_piece_without_a_check_is_handed_back(notebook, saves, monkeypatch):
    """Catches a chapter that goes on without the learner's piece because nobody can judge it."""
    from dqn_ref.course import catalogue

    monkeypatch.setattr(catalogue, "names", lambda: ("play_random_game",))
    told = notebook.run(HELPERS, MEMORY, CHECK)
    assert told == "◻ `ReplayMemory` has no check yet; the notebook goes on with yours.\n"
    assert notebook.goes_on_with_mine


@pytest.mark.parametrize(
    "error, text",
    [
        (worker.WorkerError("it did not start"), "it did not start"),
        (RuntimeError("a bug of ours"), "RuntimeError: a bug of ours"),
    ],
)
def test_a_check_that_fails_itself_says_so(notebook, saves, place, monkeypatch, error, text):
    """Catches our own mistakes that stop the notebook, or are called the learner's."""
    judges(monkeypatch, error)
    told = notebook.run(HELPERS, MEMORY, CHECK)
    assert told == f"◻ `ReplayMemory` could not be checked: {text}\n{GOES_ON}\n"
    assert notebook.goes_on_with_the_reference and not progress(place)


def test_ctrl_c_comes_through(notebook, saves, place, monkeypatch):
    """Catches a check that swallows Ctrl-C along with everything else."""
    judges(monkeypatch, KeyboardInterrupt())
    notebook.run(HELPERS, MEMORY)
    with pytest.raises(KeyboardInterrupt):
        notebook.run(CHECK)
    assert not progress(place)


PASS = Verdict(passed=True, attempted=True, message="")


@pytest.mark.parametrize(
    "error, text",
    [
        (saved.SaveError("the disk is full; free some space"), "the disk is full; free some space"),
        (RuntimeError("a bug of ours"), "RuntimeError: a bug of ours"),
    ],
)
def test_a_piece_that_cannot_be_saved_passes_all_the_same(
    notebook, monkeypatch, place, error, text
):
    """Catches "saved" without a file, and a pass that is lost because the disk is full."""

    def save_piece(source, folder):
        raise error

    judges(monkeypatch, PASS)
    monkeypatch.setattr(saved, "save_piece", save_piece)
    told = notebook.run(HELPERS, MEMORY, CHECK)
    assert told == f"✅ `ReplayMemory` passes\n  Not saved: {text}.\n"
    assert notebook.goes_on_with_mine and progress(place)["ReplayMemory"]["status"] == "passed"


def test_the_badge_comes_before_saving_begins(notebook, monkeypatch, capsys):
    """Catches a learner who waits for a second Python before hearing about the piece."""
    shown = []
    judges(monkeypatch, PASS)
    monkeypatch.setattr(saved, "save_piece", lambda *_: shown.append(capsys.readouterr().out))
    assert notebook.run(HELPERS, MEMORY, CHECK) == "  saved to my_dqn\n"
    assert shown == ["✅ `ReplayMemory` passes\n"]


def test_a_damaged_record_is_named_in_the_badge(notebook, saves, place, monkeypatch):
    judges(monkeypatch, Verdict(passed=False, attempted=True, message="it is wrong."))
    place.mkdir()
    (place / "progress.json").write_text("{")
    told = notebook.run(HELPERS, MEMORY, CHECK)
    assert re.search(
        r"\n  The record progress.json was damaged and is kept as progress-damaged-\S+ in ", told
    )
    assert len(list(place.glob("progress-damaged-*"))) == 1


def test_a_home_that_cannot_be_used_is_named_in_the_badge(notebook, saves, place, monkeypatch):
    judges(monkeypatch, Verdict(passed=False, attempted=True, message="it is wrong."))
    place.write_text("a file")
    told = notebook.run(HELPERS, MEMORY, CHECK)
    assert told.startswith("❌ `ReplayMemory`: it is wrong.\n") and "\n  Not recorded: " in told
    assert "set DQN_COURSE_HOME to a folder of yours." in told


# --- strict ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell", [STUB, "from dqn_ref.replay import ReplayMemory", "ReplayMemory = 3"]
)
def test_strict_raises_for_anything_but_a_pass(notebook, saves, monkeypatch, cell):
    """Catches a solution that its own check refuses, unnoticed."""
    monkeypatch.setenv("DQN_COURSE_STRICT", "1")
    notebook.run(cell)
    with pytest.raises(CheckFailed, match="◻ `"):
        notebook.run(CHECK)


def test_strict_raises_for_a_failure_and_a_piece_that_is_not_saved(notebook, saves, monkeypatch):
    monkeypatch.setenv("DQN_COURSE_STRICT", "1")
    assert "saved to my_dqn" in notebook.run(HELPERS, MEMORY, CHECK)
    judges(monkeypatch, Verdict(passed=False, attempted=True, message="it is wrong."))
    with pytest.raises(CheckFailed, match="it is wrong"):
        notebook.run(MEMORY, CHECK)
    judges(monkeypatch, PASS)
    monkeypatch.setattr(
        saved, "save_piece", lambda *_: (_ for _ in ()).throw(saved.SaveError("no"))
    )
    with pytest.raises(CheckFailed, match="Not saved: no"):
        notebook.run(MEMORY, CHECK)


# --- how it looks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ratio, text",
    [(0.04, "less than 0.1×"), (0.1, "0.1×"), (1.08, "1.1×"), (9.94, "9.9×"), (41.7, "42×")],
)
def test_times(ratio, text):
    assert checking._times(ratio) == text


FULL = Badge(
    badges.FAILING,
    "td_targets",
    ": your `a < b` equals the *mean*, not 2 * 3 * 4.",
    ("A note & more.",),
    "data:image/png;base64,AAAA",
    'yours "left"',
    "<b>printed</b>\n",
)


def test_a_badge_in_html():
    """Catches markup of the learner's that becomes markup of the page."""
    html = FULL.html
    for part in (
        "❌ <code>td_targets</code>: your <code>a &lt; b</code> equals the <em>mean</em>, "
        "not 2 * 3 * 4.",
        ">A note &amp; more.</div>",
        'alt="yours &quot;left&quot;" src="data:image/png;base64,AAAA"',
        "<pre>&lt;b&gt;printed&lt;/b&gt;\n</pre>",
    ):
        assert part in html
    nested = [tag for tag in re.findall(r"</?(\w+)", html) if tag not in ("img", "br")]
    assert all(nested.count(tag) % 2 == 0 for tag in set(nested))


def test_a_badge_takes_its_letters_from_the_theme():
    """Catches dark letters on a dark page: only the bar at the side may have a colour."""
    for mark in (badges.PASSED, badges.FAILING, badges.OPEN):
        html = Badge(mark, "x", " y", ("note",), output="z").html
        assert len(re.findall(r"#[0-9A-Fa-f]{6}", html)) == 1 and "border-left: 4px solid #" in html
        assert not re.search(r"(?<![-\w])color:|background", html)


def test_a_badge_in_plain_text():
    assert FULL.text == (
        "❌ `td_targets`: your `a < b` equals the *mean*, not 2 * 3 * 4.\n"
        "  A note & more.\n  It printed:\n      <b>printed</b>"
    )


# --- end to end -----------------------------------------------------------------------------------


def test_a_notebook_in_jupyters_kernel(place, tmp_path):
    """Really saved, in a kernel: one output per check, which says "saved" only at the end."""
    cells = ["from dqn_ref.course import begin, check\nMODE = begin('04').mode", HELPERS, MEMORY]
    cells += ["ReplayMemory = check(ReplayMemory)"] * 2
    cells += [REVERSED.replace("    def begin", "    print('here')\n    def begin")]
    cells += ["ReplayMemory = check(ReplayMemory)", "print(ReplayMemory)"]
    written = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    executed = notebooks.execute(written, tmp_path, mode="smoke")
    outputs = [cell.outputs for cell in executed.cells]
    assert outputs[:3] == [[], [], []]
    for shown in outputs[3:5]:
        (output,) = shown
        assert output.output_type == "display_data"
        assert output.data["text/plain"].split("\n")[0].endswith("time · saved to my_dqn")
        assert "✅ <code>ReplayMemory</code> passes" in output.data["text/html"]
    (failed,) = outputs[6]
    assert failed.data["text/plain"].startswith("❌ `ReplayMemory`: in ")
    assert failed.data["text/plain"].endswith("  It printed:\n      here")
    assert "stays in my_dqn" in failed.data["text/html"]
    assert outputs[7][0].text == "<class 'dqn_ref.replay.ReplayMemory'>\n"
    assert progress(place)["ReplayMemory"]["status"] == "failing"
    assert "class ReplayMemory" in saved.piece_path(place, "ReplayMemory").read_text()


def test_a_script_is_a_notebook_of_one_cell(tmp_path, monkeypatch):
    """Catches a chapter's source that runs as a notebook only."""
    from dqn_ref.course import cells, source

    path = tmp_path / "a_chapter_as_script.py"
    path.write_text(f"{HELPERS}\n{MEMORY}\nrng = np.random.default_rng(0)\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__("a_chapter_as_script")
    monkeypatch.delitem(sys.modules, "a_chapter_as_script")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    taken = source.extract("ReplayMemory", *cells.in_module(module.__name__))
    assert taken.line == 10 and Path(module.__file__).read_text().split("\n")[9] in taken.text
    assert "default_rng" not in taken.text


def test_importing_the_course_loads_neither_torch_nor_ipython():
    """Catches a command line that waits for PyTorch in order to reset a chapter."""
    code = (
        "import sys, dqn_ref.course as c\n"
        "assert all(callable(getattr(c, name)) for name in c.__all__), c.__all__\n"
        "import dqn_ref.course.compare, dqn_ref.course.progress\n"
        "assert callable(c.compare) and callable(c.progress)\n"
        "print({'torch', 'numpy', 'IPython', 'gymnasium'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
