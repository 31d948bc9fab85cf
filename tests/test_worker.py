"""The worker: whatever a piece does, the notebook stays as it is and the learner gets a verdict.

The pieces here are functions without arguments, which a small judge calls; what the catalogue makes
of real pieces is tested in `test_checking.py`.
"""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest

from dqn_ref.course import worker
from dqn_ref.course.source import PieceSource
from dqn_ref.course.worker import Worker, WorkerError

JUDGE = '''
from dqn_ref.course.catalogue import Verdict

def judge(name, piece):
    """Passes what comes back without an error, and says what it was."""
    if name == "broken":
        raise KeyError("the catalogue's own mistake")
    try:
        return Verdict(passed=True, attempted=True, message=repr(piece()), ratio=1.5)
    except (Exception, SystemExit) as error:
        attempted = not isinstance(error, NotImplementedError)
        return Verdict(False, attempted, f"it raises {type(error).__name__}: {error}.", hint=2)
'''
ON_LINUX = sys.platform == "linux"


@pytest.fixture(scope="module")
def judge_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("judge") / "judge.py"
    path.write_text(JUDGE)
    return path


@pytest.fixture(scope="module")
def make(judge_file):
    """Workers that start in a moment, because they load NumPy alone."""
    made = []

    def make(**options):
        options = {"judge": f"{judge_file}:judge", "loads": ["numpy"], **options}
        made.append(Worker(**options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def one(make):
    return make(time_limit_s=1.0)


def piece(body, before="", name="f", line=1):
    text = f"{before}\ndef {name}():\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"
    return PieceSource(name, text, line)


def judged(some, body, before="", **options):
    return some.judge(piece(body, before, **options))


def assert_goes_on(some):
    """The next piece is judged as if nothing had been."""
    verdict = judged(some, "return 'fine'")
    assert verdict.passed and verdict.message == "'fine'" and verdict.output == ""


# --- what an honest piece gets --------------------------------------------------------------------


def test_a_verdict_comes_back_whole(one):
    verdict = judged(one, "return 'ä', 3")
    assert (verdict.passed, verdict.attempted, verdict.message) == (True, True, "('ä', 3)")
    assert (verdict.ratio, verdict.hint, verdict.output) == (1.5, None, "")
    verdict = judged(one, "raise ValueError('no')")
    assert (verdict.passed, verdict.hint) == (False, 2)
    assert verdict.message == "it raises ValueError: no."
    assert judged(one, "raise NotImplementedError").attempted is False


def test_pieces_share_one_worker_that_is_quick_once_warm(one):
    """Catches a process that is started for each piece: seconds for every check."""
    judged(one, "return 1")
    pid, begun = one.pid, time.monotonic()
    for _ in range(3):
        judged(one, "return 1")
    assert one.pid == pid and time.monotonic() - begun < 3
    one.warm()
    assert one.pid == pid


def test_pieces_do_not_see_each_other(one):
    """Catches a check that depends on what was checked before it."""
    assert judged(one, "return 1", before="helper = 3").passed
    assert "NameError" in judged(one, "return helper").message
    first = judged(one, "import random, numpy; return random.random(), numpy.random.rand()")
    again = judged(one, "import random, numpy; return random.random(), numpy.random.rand()")
    assert first.message == again.message


SPOILS = {
    "library": "import numpy; numpy.zeros = None",
    "builtin": "import builtins; builtins.len = builtins.any = builtins.id = lambda x: 3",
    "errors": "import numpy; numpy.seterr(all='raise')",
    "folder": "import os; os.chdir('/')",
    "environment": "import os; os.environ['SPOILT'] = '1'",
    "thread": "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()",
    "output": "import sys; sys.stdout = None",
}


@pytest.mark.parametrize("body", SPOILS.values(), ids=SPOILS)
def test_a_worker_that_a_piece_spoilt_is_replaced(one, body):
    """Catches a right piece that is refused because an earlier one changed NumPy under it."""
    judged(one, "return 1")
    pid = one.pid
    assert judged(one, body).passed
    assert one.pid != pid
    assert_goes_on(one)


def test_the_piece_runs_apart_from_the_notebook(one, monkeypatch, tmp_path):
    """Catches a piece that sees a GPU, or a library replaced by a file beside the notebook."""
    (tmp_path / "random.py").write_text("raise RuntimeError('not the library')")
    (tmp_path / "mine.py").write_text("x = 3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    one.close()
    body = "import mine, os, random; return mine.x, os.environ['CUDA_VISIBLE_DEVICES'], os.getpid()"
    assert judged(one, body).message == f"(3, '', {one.pid})"
    assert one.pid != os.getpid()


def test_an_optimiser_does_not_spoil_the_worker(make):
    """Catches a new process, two seconds, for each check of a piece that makes an optimiser."""
    some = make(loads=Worker()._loads)
    some.expect_optimisers()
    body = "import torch; torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)"
    assert judged(some, body).passed
    pid = some.pid
    assert judged(some, body).passed and some.pid == pid


def test_the_kernel_and_its_worker_load_what_the_catalogue_needs():
    """Catches a first check that loads PyTorch while the learner waits."""
    some = Worker()
    assert some._loads == ("torch", "dqn_ref.pieces")
    some.expect_optimisers()
    some.expect_optimisers()  # a cell may run twice
    assert some._loads == ("torch", "dqn_ref.pieces", "torch._dynamo")
    assert worker.JUDGE.endswith(":judge")
    assert worker.TIME_LIMIT_S == 10 and worker.MEMORY_LIMIT_BYTES == 2**31


# --- sources that do not run ----------------------------------------------------------------------


def test_a_syntax_error_in_the_source_is_a_verdict(one):
    verdict = one.judge(PieceSource("f", "def f(:\n    return 1\n"))
    assert not verdict.passed and verdict.attempted
    assert verdict.message.startswith("its source is no valid Python: invalid syntax")
    assert_goes_on(one)


def test_a_cell_that_raises_is_a_verdict_with_its_line(one):
    verdict = judged(one, "return 1", before="x = 1 / 0")
    expected = "its cell raises ZeroDivisionError: division by zero, in `x = 1 / 0`."
    assert verdict.message == expected
    verdict = one.judge(PieceSource("f", "class f:\n    size = undefined\n", line=5))
    assert "NameError" in verdict.message and "`size = undefined`" in verdict.message
    assert "SystemExit" in judged(one, "return 1", before="raise SystemExit(3)").message
    assert not judged(one, "return 1", before="raise NotImplementedError").attempted
    assert one.judge(PieceSource("f", "g = 1\n")).message == "its cell does not define it."


def test_dataclasses_and_future_annotations_work_in_the_worker(one):
    """Catches a module that is not where dataclasses look, or that loses its future imports."""
    source = """\
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Row:
    x: Unknown = 1

def f() -> Missing:
    return Row()
"""
    assert one.judge(PieceSource("f", source)).message == "Row(x=1)"


def test_errors_name_the_line_of_the_cell(one):
    """Catches line numbers of a module that the learner never sees."""
    body = """
    import traceback
    try:
        1 / 0
    except ZeroDivisionError as error:
        place = traceback.extract_tb(error.__traceback__)[0]
        return place.filename, place.lineno, place.line
    """
    verdict = judged(one, body, before="import math\n\n\n\nx = 3", line=7)
    assert verdict.message == "('<your cell>', 10, '1 / 0')"


# --- pieces that do harm --------------------------------------------------------------------------


def test_an_endless_loop_ends_and_is_told_with_its_place(one):
    """Catches a notebook that hangs, and a verdict that leaves the learner to look for the loop."""
    judged(one, "return 1")
    pid, begun = one.pid, time.monotonic()
    verdict = judged(
        one, "print('here')\nx = 1\nwhile True:\n    x = -x", before="import math", line=3
    )
    assert time.monotonic() - begun < 2.5
    assert re.fullmatch(
        r"it was still running after 1 second, in line (6 of its cell \(`while True:`\)|"
        r"7 of its cell \(`x = -x`\))\. Does every loop in it come to an end\?",
        verdict.message,
    )
    assert verdict.attempted and not verdict.passed and verdict.output == "here\n"
    assert one.pid != pid and not psutil.pid_exists(pid)
    assert_goes_on(one)


def test_an_endless_loop_outside_the_piece_or_deaf_to_errors_ends_too(one):
    """Catches a time limit made of an exception, which the piece can swallow."""
    body = """
    import time
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
    """
    assert "still running after 1 second" in judged(one, body).message
    assert "still running after" in judged(one, "return 1", before="while True: pass").message
    assert_goes_on(one)


@pytest.mark.skipif(not ON_LINUX, reason="only Linux limits a process's addresses")
def test_six_gigabytes_are_refused(make):
    """Catches a limit that is not set: the machine itself would grant these 6 GB."""
    some = make()
    for body in (
        "import numpy; return len(numpy.zeros(6 * 10**9, dtype='u1'))",
        "return len(bytes(6 * 10**9))",
        "rows = []\nwhile True: rows.append(bytes(10**8))",
    ):
        verdict = judged(some, body)
        assert not verdict.passed and "MemoryError" in verdict.message
        assert verdict.message.endswith("A check grants 2 GiB.")
    assert judged(some, "import numpy; return len(numpy.zeros(10**9, dtype='u1'))").passed
    assert_goes_on(some)


@pytest.mark.skipif(not ON_LINUX, reason="only Linux limits a process's addresses")
def test_memory_is_counted_from_what_the_worker_has(make):
    """Catches limits that shrink with each piece, and one that stays when the piece is gone."""
    some = make(memory_limit_bytes=2**28)
    body = "import numpy; return len(numpy.ones(2**27, dtype='u1'))"
    assert [judged(some, body).passed for _ in range(4)] == [True] * 4


def test_memory_is_watched_where_the_system_sets_no_limit(make):
    """Catches a machine without such a limit that a piece brings to a halt."""
    some = make(memory_limit_bytes=2**28, watch_memory=True)
    body = "import numpy, time\nx = numpy.ones({}, dtype='u1')\ntime.sleep(0.5)\nreturn len(x)"
    verdict = judged(some, body.format(2**30))
    assert verdict.message == "it needs too much memory. A check grants 0.25 GiB."
    assert judged(some, body.format(2**26)).passed


def test_sys_exit_does_not_end_the_worker(one):
    judged(one, "return 1")
    pid = one.pid
    assert judged(one, "import sys; sys.exit(3)").message == "it raises SystemExit: 3."
    assert one.pid == pid


def test_os_exit_ends_the_worker_alone(one):
    """Catches a verdict that blames time or the course, and prints that are lost."""
    verdict = judged(one, "import os\nprint('last words')\nos._exit(3)")
    assert verdict.message == (
        "it ended the Python that ran it (exit status 3), as `os._exit` does; "
        "let it return or raise instead."
    )
    assert verdict.output == "last words\n" and not verdict.passed
    assert_goes_on(one)


def test_a_status_of_one_is_not_taken_for_a_time_out(one):
    verdict = judged(one, "import os\nprint('Timeout (for sure)')\nos._exit(1)")
    assert "exit status 1" in verdict.message and verdict.output == "Timeout (for sure)\n"


def test_a_piece_that_writes_to_the_pipe_of_the_answers_is_a_verdict(one):
    """Catches a reader that dies in silence and a piece that is blamed for its time."""
    body = "import os\nfor i in range(3, 30):\n    try: os.write(i, b'\\0\\0\\0\\3xyz')\n"
    verdict = judged(one, body + "    except OSError: pass\nwhile True: pass")
    assert not verdict.passed and "Python that ran it" in verdict.message
    assert_goes_on(one)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_crash_is_told(one):
    verdict = judged(one, "import ctypes\nctypes.string_at(0)")
    assert verdict.message == "it crashed the Python that ran it (SIGSEGV)."
    assert_goes_on(one)


def test_a_flood_of_prints_is_capped_and_garbles_nothing(one):
    """Catches a notebook of megabytes, and a protocol that shares its pipe with prints."""
    flood = (
        "import os, sys\nfor i in range(20_000):\n    print(i)\n    print('x', file=sys.stderr)\n"
    )
    verdict = judged(one, flood + "return 'done'")
    assert verdict.passed and verdict.message == "'done'"
    assert verdict.output.startswith("0\nx\n1\nx\n") and verdict.output.endswith(" …")
    assert len(verdict.output) == worker.SHOWN_CHARACTERS + 2
    flood = "import os\nfor i in range(200): os.write(1, b'y' * 100_000)\nreturn 'done'"
    verdict = judged(one, flood)
    assert verdict.message == "'done'" and set(verdict.output) == {"y", " ", "…"}
    assert_goes_on(one)


def test_a_flood_without_an_end_is_capped_and_ends(one):
    verdict = judged(one, "while True: print('spam ' * 100)")
    assert "still running" in verdict.message and "`while True:" in verdict.message
    assert len(verdict.output) == worker.SHOWN_CHARACTERS + 2
    assert_goes_on(one)


def test_output_is_shown_as_it_was_written(one):
    """Catches an encoding that breaks on other letters, and a cap in the midst of one."""
    assert judged(one, "print('größer ✅ \\udc80', end='')").output == "größer ✅ \\udc80"
    exactly = judged(one, f"print('✅' * {worker.SHOWN_CHARACTERS}, end='')").output
    assert exactly == "✅" * worker.SHOWN_CHARACTERS
    assert judged(one, "import sys; sys.stdout.buffer.write(b'raw')").output == "raw"


@pytest.fixture
def interruptible():
    """SIGINT as a kernel takes it: tests that a shell started in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_comes_through_and_ends_the_worker(make, interruptible):
    """Catches a Ctrl-C that is swallowed, or that waits for the time limit."""
    some = make(time_limit_s=30)
    judged(some, "return 1")
    pid = some.pid
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        judged(some, "while True: pass")
    assert time.monotonic() - begun < 5 and not psutil.pid_exists(pid)
    assert_goes_on(some)


@pytest.mark.skipif(os.name == "nt", reason="process groups")
def test_ctrl_c_for_the_notebook_does_not_reach_a_warm_worker(make):
    """Catches a worker that is gone after any interrupt: Jupyter sends it to the whole group."""
    some = make()
    judged(some, "return 1")
    assert os.getpgid(some.pid) != os.getpgid(0)


def test_the_worker_goes_with_the_notebook(judge_file):
    """Catches processes that pile up: a kernel that was killed cannot end its worker."""
    code = f"""
import os
from dqn_ref.course.source import PieceSource
from dqn_ref.course.worker import Worker
some = Worker({f"{judge_file}:judge"!r}, time_limit_s=1, loads=[])
some.judge(PieceSource("f", "def f(): return 1"))
print(some.pid, flush=True)
some._process.send({{"name": "f", "text": "def f():\\n  while True: pass", "line": 1, "seconds": 1,
                    "memory_bytes": 2**31, "limit_memory": False}})
os.kill(os.getpid(), 9)
"""
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    pid = int(done.stdout)
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() - begun < 30
        time.sleep(0.1)


def test_a_worker_that_was_killed_between_pieces_is_replaced(make):
    some = make()
    judged(some, "return 1")
    psutil.Process(some.pid).kill()
    psutil.Process(some.pid).wait(10)
    assert_goes_on(some)


# --- what is not the piece's fault ----------------------------------------------------------------


def test_a_mistake_of_the_catalogue_is_not_blamed_on_the_piece(one):
    with pytest.raises(WorkerError, match='KeyError: "the catalogue\'s own mistake"'):
        judged(one, "return 1", name="broken")
    assert_goes_on(one)


def test_a_worker_that_cannot_start_says_why(make):
    """Catches a check that waits for ever where PyTorch is broken."""
    some = make(loads=["no_such_module"])
    with pytest.raises(WorkerError, match="ModuleNotFoundError.*doctor` says what is missing"):
        judged(some, "return 1")
