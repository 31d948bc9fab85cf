"""The source of a piece: all it needs, nothing that belongs to the notebook, each name as it is.

Cells are run by a real IPython shell; what is extracted must define the piece in an empty module.
"""

import textwrap
import types

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from dqn_ref.course import scopes
from dqn_ref.course.source import PieceSource, SourceError, extract


class Notebook:
    """A notebook whose cells run; a cell that fails stays in its history, as in JupyterLab."""

    def __init__(self):
        # No history: a test leaves no thread, and nothing in the user's own files.
        self.shell = InteractiveShell()
        self.shell.history_manager.enabled = False
        self.shell.showtraceback = lambda *arguments, **options: None
        self.shell.showsyntaxerror = self.shell.showtraceback

    @property
    def names(self):
        return self.shell.user_ns

    def run(self, *cells):
        for cell in cells:
            self.shell.run_cell(textwrap.dedent(cell).strip("\n"), store_history=True)
        return self

    def extract(self, name) -> PieceSource:
        return extract(name, self.names["In"], self.names)

    def text(self, name) -> str:
        return self.extract(name).text


@pytest.fixture
def notebook():
    made = Notebook()
    yield made
    made.shell.history_manager.end_session()
    made.shell.restore_sys_module_state()


def rebuilt(source):
    """The piece as an empty module defines it."""
    module = types.ModuleType("rebuilt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "rebuilt", module)  # for dataclasses
        exec(compile(source.text, "<rebuilt>", "exec", dont_inherit=True), vars(module))
    return vars(module)[source.name]


# --- what is found --------------------------------------------------------------------------------


def test_a_function_alone_is_its_own_text(notebook):
    notebook.run("x = 1\ndef double(a):\n    # by addition\n    return a + a\ny = 2")
    source = notebook.extract("double")
    assert source == PieceSource(
        "double", "def double(a):\n    # by addition\n    return a + a\n", line=2
    )


def test_the_last_cell_that_defines_it_counts(notebook):
    """Catches an old version that is judged and saved in place of the one on the screen."""
    notebook.run("def f(): return 1", "def f(): return 2")
    assert rebuilt(notebook.extract("f"))() == 2


def test_a_cell_that_failed_does_not_count(notebook):
    """Catches a source that was never run: the notebook's own version is another one."""
    notebook.run(
        "def f(): return 1",
        "def f() return 2",
        "1 / 0\ndef f(): return 3",
        "from typing import NamedTuple\nclass Pair(NamedTuple):\n    a: int\n    b: int",
        "1 / 0\nclass Pair(NamedTuple):\n    a: int\n    b: int\n    c: int",
        "def g(): return f(), Pair(1, 2)",
    )
    assert rebuilt(notebook.extract("g"))() == (1, (1, 2))


def test_a_cell_that_failed_later_does_count(notebook):
    """Catches a version that is passed over because a line below it raised."""
    notebook.run(
        "class A:\n    def f(self): return 1", "class A:\n    def f(self): return 2\nA().g()"
    )
    assert rebuilt(notebook.extract("A"))().f() == 2


def test_a_cell_that_was_run_again_counts(notebook):
    """Catches the order of the page in place of the order of running."""
    first, second = "def f(): return 1", "def f(): return 2"
    assert rebuilt(notebook.run(first, second, first).extract("f"))() == 1


def test_definitions_under_if_try_and_time_are_found(notebook):
    notebook.run(
        "if True:\n    def f():\n        return 1",
        "try:\n    class A:\n        x = 2\nexcept ImportError:\n    pass",
        "%%time\ndef g():\n    return f() + A.x",
    )
    assert rebuilt(notebook.extract("g"))() == 3


def test_magics_beside_the_piece_do_no_harm(notebook):
    notebook.run("%precision 3\ndef f():\n    return 1\n!true")
    assert rebuilt(notebook.extract("f"))() == 1


def test_a_decorated_piece_keeps_its_decorators(notebook):
    """Catches a source that begins at `def`, and a line number that is not the cell's."""
    notebook.run(
        "import functools, torch",
        "# a remark\n\n"
        "@functools.lru_cache(maxsize=None)\n@torch.no_grad()\ndef f(x):\n    return x",
    )
    source = notebook.extract("f")
    assert source.line == 3 and "@torch.no_grad()\ndef f" in source.text
    assert rebuilt(source)(3) == 3 and rebuilt(source).cache_info().misses == 0


# --- what comes along -----------------------------------------------------------------------------


def test_a_class_with_a_helper_of_another_cell(notebook):
    """Catches a piece that works in the notebook and nowhere else."""
    notebook.run(
        "import numpy as np\nSCALE = 3",
        "def scaled(x):\n    return np.float32(x * SCALE)",
        "def stacked(xs):\n    return np.stack([scaled(x) for x in xs])",
        "class Base:\n    bias = 1.0",
        "class Memory(Base):\n    def f(self):\n        return stacked([1, 2]) + self.bias",
    )
    assert rebuilt(notebook.extract("Memory"))().f().tolist() == [4.0, 7.0]


def test_the_live_version_of_a_helper_comes_along(notebook):
    """Catches a helper as its cell stood first, or last on the page."""
    one, two = "def h(): return 1", "def h(): return 2"
    notebook.run(one, two, "def f(): return h()", one)
    assert rebuilt(notebook.extract("f"))() == 1
    notebook.run("h = lambda: 3")
    assert rebuilt(notebook.extract("f"))() == 3


def test_nothing_else_comes_along(notebook):
    """Catches a saved piece that drags the whole notebook behind it."""
    notebook.run(
        "import os, torch\nimport numpy as np\nN = 4\nM = 5\nframes = np.zeros(3)",
        "def unused(): return frames",
        "def f(x): return np.sum(x) + N",
    )
    text = "import numpy as np\n\nN = 4\n\n\ndef f(x): return np.sum(x) + N\n"
    assert notebook.text("f") == text


def test_every_form_of_import(notebook):
    notebook.run(
        """
        import os.path, json as j
        import xml.etree.ElementTree
        import torch.nn.functional as F
        from collections import deque, OrderedDict as Ordered
        from math import *
        import numpy as np
        Array = np.ndarray
        kind = np.uint8
        sharp = np.maximum
        """,
        """
        def f():
            assert isinstance(np.zeros(2), Array) and kind(3) == 3 and sharp(1, 2) == 2
            tree = xml.etree.ElementTree.fromstring("<a/>")
            return os.path.join("a", "b"), j.dumps(1), F.relu, deque(), Ordered(), sqrt(pi), tree
        """,
    )
    assert rebuilt(notebook.extract("f"))()[1] == "1"
    text = notebook.text("f")
    for line in (
        "import json as j", "import torch.nn.functional as F", "from math import pi",
        "from collections import OrderedDict as Ordered", "import xml.etree.ElementTree",
    ):  # fmt: skip
        assert f"\n{line}\n" in f"\n{text}", line


def test_imports_beside_other_statements_of_the_same_name(notebook):
    """Catches an import statement that was overtaken by an assignment."""
    notebook.run("from math import pi", "pi = 3", "def f(): return pi")
    assert rebuilt(notebook.extract("f"))() == 3


def test_the_reference_of_another_piece_is_imported(notebook):
    """Catches a piece that cannot use what `check` handed back."""
    notebook.run(
        "def luminance(rgb): return 1",
        "from dqn_ref.frames import luminance as theirs\nluminance = theirs",
        "def f(): return luminance",
    )
    from dqn_ref.frames import luminance

    assert rebuilt(notebook.extract("f"))() is luminance


CONSTANTS = {
    "7": 7,
    "-0.5": -0.5,
    "float('inf')": float("inf"),
    "-float('inf')": -float("inf"),
    "1e400j": complex(0, float("inf")),
    "'ä\\n'": "ä\n",
    "b'\\x00'": b"\x00",
    "True": True,
    "None": None,
    "(84, 84)": (84, 84),
    "(1,)": (1,),
    "()": (),
    "{'a': [1, (2.0, None)], 3: {4}}": {"a": [1, (2.0, None)], 3: {4}},
    "set()": set(),
    "frozenset({1})": frozenset({1}),
    "np.float32(0.1)": np.float32(0.1),
    "np.int64(3)": np.int64(3),
    "np.float32('inf')": np.float32("inf"),
    "np.bool_(True)": np.bool_(True),
    "np.float64(0.1)": np.float64(0.1),
    "np.dtype('uint8')": np.dtype("uint8"),
    "np.dtype([('a', 'u1'), ('b', 'f4', (2,))])": np.dtype([("a", "u1"), ("b", "f4", (2,))]),
    "[np.float32(0.5)]": [np.float32(0.5)],
}


@pytest.mark.parametrize("text", CONSTANTS)
def test_constants_are_copied_exactly(notebook, text):
    """Catches a value or a kind of value that changes on its way, such as inf or float32."""
    notebook.run("import numpy as np", f"VALUE = {text}", "def f(): return VALUE")
    value = rebuilt(notebook.extract("f"))()
    assert value == CONSTANTS[text] and type(value) is type(CONSTANTS[text])
    assert repr(value) == repr(CONSTANTS[text])


def test_nan_and_the_constants_of_torch_are_copied(notebook):
    notebook.run(
        "import torch", "A, B, C = float('nan'), torch.float32, torch.device('cpu')",
        "def f(): return A, B, C",
    )  # fmt: skip
    import torch

    value = rebuilt(notebook.extract("f"))()
    assert np.isnan(value[0]) and value[1:] == (torch.float32, torch.device("cpu"))


def test_members_of_enumerations_are_copied(notebook):
    """Catches a table of Pillow's filters that is refused like an array of the notebook's."""
    notebook.run(
        "from PIL import Image\nimport enum",
        "FILTERS = {'nearest': Image.Resampling.NEAREST, 'bicubic': Image.Resampling.BICUBIC}",
        "def f(): return FILTERS",
        "Own = enum.Enum('Own', 'A B')\nOWN = [Own.A]\ndef g(): return OWN",
    )
    from PIL import Image

    found = rebuilt(notebook.extract("f"))()
    assert found == {"nearest": Image.Resampling.NEAREST, "bicubic": Image.Resampling.BICUBIC}
    with pytest.raises(SourceError, match="OWN"):
        notebook.extract("g")


def test_helpers_without_a_def_come_along(notebook):
    """Catches a namedtuple, a lambda, a partial or an alias that is refused like an array."""
    notebook.run(
        "from collections import namedtuple\nimport functools\nfrom typing import NamedTuple",
        "from dataclasses import dataclass\nimport numpy as np",
        "Row = namedtuple('Row', 'a b')\nThing = namedtuple('Other', 'a')",
        "class Pair(NamedTuple):\n    x: int\n    y: int = 2",
        "@dataclass\nclass Box:\n    size: int = 3",
        "twice = lambda x: 2 * x\nadd = functools.partial(lambda a, b: a + b, 1)",
        "def maker(n):\n    return lambda x: x + n",
        "plus_five = maker(5)",
        "Numbers = list[int] | None",
        "def g(): return 9\nalias = g",
        """
        def f(x: Numbers = None):
            return Row(1, 2), Thing(1), Pair(1), Box(), twice(2), add(2), plus_five(1), alias()
        """,
    )
    answer = rebuilt(notebook.extract("f"))()
    assert answer[:3] == ((1, 2), (1,), (1, 2)) and answer[3].size == 3
    assert answer[4:] == (4, 3, 6, 9)


def test_helpers_stand_before_what_needs_them_early(notebook):
    """Catches a module in which a decorator, a base, a default or an annotation comes too late."""
    notebook.run(
        "def factor(): return 3",
        "SIZE = factor()",
        "def default(): return factor()",
        "class Base: pass",
        "def marked(cls):\n    cls.mark = default()\n    return cls",
        "class Thing: pass",
        "@marked\nclass Piece(Base):\n"
        "    sizes = [SIZE * factor() for _ in range(2)]\n"
        "    def f(self, x=default()):\n        return x, describe(self), Other(), again(2)",
        "Other = Piece",
        "def describe(piece: Piece, n=SIZE): return n",
        "def again(n): return n and once_more(n - 1)\ndef once_more(n): return again(n)",
    )
    piece = rebuilt(notebook.extract("Piece"))
    assert piece().f()[:2] == (3, 3) and piece.sizes == [9, 9] and piece.mark == 3


@pytest.mark.parametrize("future", [False, True])
def test_annotations(notebook, future):
    """Catches names in annotations that are missing, or refused though nothing evaluates them."""
    notebook.run(
        "from __future__ import annotations" if future else "pass",
        "import numpy as np\nfrom dataclasses import dataclass\nfrom dqn_ref.replay import Batch",
        "env = object()",
        "@dataclass\nclass Row:\n    frame: np.ndarray\n    action: int = 0",
        "def f(x: np.ndarray, row: 'Row' = None, other: 'env' = None) -> Batch:\n"
        "    y: Batch = x\n    return y",
    )
    text = notebook.text("f")
    assert rebuilt(notebook.extract("f"))(3) == 3
    assert text.startswith("from __future__ import annotations\n") == future
    assert "from dqn_ref.replay import Batch" in text and "class Row" in text
    assert rebuilt(notebook.extract("Row"))(1).action == 0


# --- scopes ---------------------------------------------------------------------------------------


SHADOWED = {
    "argument": "def f(frames): return frames",
    "keyword": "def f(*, frames=1): return frames",
    "star": "def f(*frames, **env): return frames or 1",
    "local": "def f():\n    frames = 1\n    return frames",
    "loop": "def f():\n    for frames in [1]: pass\n    return frames",
    "with": "def f():\n    with memoryview(b'') as frames: return 1",
    "except": "def f():\n    try: 1 / 0\n    except ZeroDivisionError as frames: return 1",
    "comprehension": "def f(): return [frames for frames in [1]][0]",
    "walrus": "def f():\n    if (frames := 1): return frames",
    "lambda": "def f(): return (lambda frames: frames)(1)",
    "nested": "def f():\n    def g(frames): return frames\n    return g(1)",
    "closure": "def f():\n    frames = 1\n    def g(): return frames\n    return g()",
    "nonlocal": "def f():\n    frames = 0\n    def g():\n        nonlocal frames\n"
    "        frames += 1\n        return frames\n    return g()",
    "import": "def f():\n    import os as frames\n    return 1",
    "own attribute": "class f:\n    frames = 1\n    size = frames\n"
    "    def __new__(cls): return cls.size",
    "attribute": "class f:\n    def __new__(cls):\n        cls.frames = 1\n"
    "        return cls.frames",
    "keyword name": "def f(): return dict(frames=1)['frames']",
    "match": "def f():\n    match 1:\n        case frames: return frames",
}


@pytest.mark.parametrize("cell", SHADOWED.values(), ids=SHADOWED)
def test_a_name_of_its_own_is_no_notebook_variable(notebook, cell):
    """Catches a right piece that is refused because the notebook has a variable of that name."""
    notebook.run("import numpy as np\nframes = np.zeros(3)\nenv = object()", cell)
    piece = rebuilt(notebook.extract("f"))
    assert piece(*[1] * ("def f(frames)" in cell)) == 1
    assert "zeros" not in notebook.text("f")


USES = {
    "body": "def f(): return frames",
    "default": "def f(x=frames): return x",
    "decorator": "def mark(x): return lambda g: g\n@mark(frames)\ndef f(): return 1",
    "nested": "def f():\n    def g(): return frames\n    return g",
    "comprehension": "def f(): return [x for x in frames]",
    "lambda": "def f(): return lambda: frames",
    "class body": "class f:\n    size = len(frames)",
    "method": "class f:\n    def g(self): return frames",
    "method beside an attribute": "class f:\n    frames = 1\n    def g(self): return frames",
    "base": "class f(type(frames)): pass",
    "changed": "def f():\n    global frames\n    frames += 1",
    "partial": "import functools\nf_ = functools.partial(print, frames)\ndef f(): return f_",
}


@pytest.mark.parametrize("cell", USES.values(), ids=USES)
def test_a_notebook_variable_is_refused_by_name(notebook, cell):
    """Catches a piece that passes in the notebook and fails wherever else it is used."""
    notebook.run("import numpy as np\nframes = np.zeros(3)", cell)
    with pytest.raises(SourceError) as error:
        notebook.extract("f")
    assert str(error.value).endswith("uses the notebook variable `frames`; pass it as an argument")


@pytest.mark.parametrize(
    "value",
    ["np.zeros(3)", "np.random.default_rng(0)", "gym.Env()", "torch.nn.Linear(2, 2)", "object()",
     "torch.zeros(2)", "[np.zeros(2)]", "list(range(100_000))", "np.random.default_rng(0).random",
     "np.datetime64('2020')", "open(__import__('os').devnull)", "(x for x in [])"],
)  # fmt: skip
def test_what_is_refused(notebook, value):
    notebook.run("import numpy as np, gymnasium as gym, torch", f"frames = {value}")
    notebook.run("def f(): return frames")
    with pytest.raises(SourceError, match="uses the notebook variable"):
        notebook.extract("f")


def test_a_helper_that_uses_a_variable_is_named(notebook):
    """Catches a learner who looks for the variable in the wrong cell."""
    notebook.run("rng = object()", "def h(): return rng", "def f(): return h()")
    with pytest.raises(SourceError) as error:
        notebook.extract("f")
    expected = "your helper `h` uses the notebook variable `rng`; pass it as an argument"
    assert str(error.value) == expected


def test_a_counter_kept_by_global_goes_along(notebook):
    notebook.run("count = 4", "def f():\n    global count\n    count += 1\n    return count")
    assert rebuilt(notebook.extract("f"))() == 5


def test_names_that_exist_nowhere_are_left_to_the_piece(notebook):
    """Catches a misspelt name that is called a notebook variable."""
    notebook.run("def f(): return frmaes, len, __name__")
    with pytest.raises(NameError, match="frmaes"):
        rebuilt(notebook.extract("f"))()


def test_a_shadowed_builtin_is_the_notebooks(notebook):
    notebook.run("max = min", "sum = 3", "def f(): return max(1, 2), sum")
    assert rebuilt(notebook.extract("f"))() == (1, 3)


# --- what cannot be taken out ---------------------------------------------------------------------


def test_a_class_extended_from_outside_is_refused(notebook):
    """Catches a class whose later parts are missing in what is judged and saved."""
    notebook.run(
        "class A:\n    def f(self): return 1",
        "def g(self): return 2\nA.g = g",
    )
    with pytest.raises(SourceError, match="`A.g` was put into the class from outside"):
        notebook.extract("A")


def test_attributes_of_a_class_that_are_functions_of_the_notebook(notebook):
    """Catches the rule above where the class itself took a helper in."""
    notebook.run("def g(self): return 2", "class A:\n    h = g\n    k = staticmethod(lambda: 3)")
    made = rebuilt(notebook.extract("A"))
    assert made().h() == 2 and made.k() == 3


def test_two_versions_of_one_helper_are_refused(notebook):
    """Catches a module in which both versions carry one name."""
    notebook.run("def h(): return 1", "old = h", "def h(): return 2", "def f(): return h() + old()")
    with pytest.raises(SourceError, match="two versions of `h`; run your cells again"):
        notebook.extract("f")


def test_what_does_not_come_from_a_cell_is_refused(notebook):
    notebook.run("from textwrap import dedent", "exec('def f(): return 1')")
    with pytest.raises(SourceError, match="`dedent` comes from textwrap; write it in a cell"):
        notebook.extract("dedent")
    with pytest.raises(SourceError, match="the cell that defines `f` cannot be found"):
        notebook.extract("f")


def test_names_taken_in_one_glance():
    """The analysis by itself: when each name is needed."""
    text = "@a\ndef f(b: c = d, *, e: 'g' = h):\n    i: j = k\n    return [l for m in n]"
    assert scopes.names_taken(text, future_annotations=False) == (
        ["a", "c", "d", "h"], ["j", "k", "l", "n"], ["g"],
    )  # fmt: skip
    assert scopes.names_taken(text, future_annotations=True) == (
        ["a", "d", "h"], ["k", "l", "n"], ["c", "g", "j"],
    )  # fmt: skip
