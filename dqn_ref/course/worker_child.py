"""The process that runs pieces: asks for no trust, and gives none back to the notebook.

    standard input    ── requests ──┐
    standard output   ── answers ───┴ frames: four bytes of length, then JSON
    standard error    ── whatever the piece prints, on either of its streams

Started by `dqn_ref.course.worker`. It loads PyTorch once and then judges piece after piece. Random
generators and PyTorch's settings are reset before each. What a piece did to the process that cannot
be undone makes the answer `dirty`; the parent takes another process then.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import faulthandler
import functools
import importlib
import importlib.util
import io
import json
import linecache
import os
import random
import struct
import sys
import threading
import types
from pathlib import Path
from typing import Any

CELL, HELPERS = "<your cell>", "<your other cells>"  # file names in tracebacks
MODULE = "piece_of_the_notebook"
SHOWN_CHARACTERS = 2_000  # of what a piece prints
_LENGTH = struct.Struct(">I")
_STARTED = "ready"
_BUILTINS = {**vars(builtins)}


def write_frame(stream, data: Any) -> None:
    """Send one JSON value."""
    content = json.dumps(data).encode("utf-8")
    stream.write(_LENGTH.pack(len(content)) + content)
    stream.flush()


def read_frame(stream) -> Any:
    """The next JSON value; None at the end of the stream, also in the midst of a frame."""
    head = _read_all(stream, _LENGTH.size)
    if head is None:
        return None
    content = _read_all(stream, _LENGTH.unpack(head)[0])
    return None if content is None else json.loads(content)


def _read_all(stream, count: int) -> bytes | None:
    parts = []
    while count:
        part = stream.read(count)
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class CappedOutput(io.TextIOBase):
    """Standard output and error of the piece: what comes first is passed on, a flood is not."""

    encoding = "utf-8"

    def __init__(self, descriptor: int):
        self._raw = open(descriptor, "wb", buffering=0, closefd=False)
        self.buffer = self._raw
        self._left = SHOWN_CHARACTERS + 1  # one more, so that the parent sees that there was more

    def reset(self) -> None:
        self._left = SHOWN_CHARACTERS + 1

    def write(self, text: str) -> int:
        if self._left > 0:
            self._raw.write(text[: self._left].encode("utf-8", "backslashreplace"))
            self._left -= len(text)
        return len(text)

    def fileno(self) -> int:
        return self._raw.fileno()

    def writable(self) -> bool:
        return True


def main(judge_name: str, *modules: str) -> None:
    """Load what pieces need, then answer requests until the parent closes its end."""
    requests = open(os.dup(0), "rb", buffering=0)
    answers = open(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)  # what C code prints goes where Python's prints go
    output = sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = CappedOutput(2)
    sys.path.append(os.getcwd())  # last: a random.py beside a chapter is not the library's
    judge = _load(judge_name)
    for module in modules:
        importlib.import_module(module)
    write_frame(answers, _STARTED)
    while (request := read_frame(requests)) is not None:
        output.reset()
        answer = _answer(judge, request)
        # The parent knows by this line that it has read all that was printed before.
        os.write(2, request["end_of_output"].encode())
        write_frame(answers, answer)


def _load(name: str):
    """A function as `module:function` or `path/to/file.py:function`."""
    place, _, function = name.rpartition(":")
    if place.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(place)
    return getattr(module, function)


def _answer(judge, request: dict[str, Any]) -> dict[str, Any]:
    """Run a piece under its limits; the verdict as JSON, or what went wrong with the check."""
    before = _surroundings()
    _reset_generators()
    old_limit = _limit_memory(request["memory_bytes"]) if request["limit_memory"] else None
    # A thread of C code, which no endless loop can keep from its work. It ends the process and
    # says where the piece was.
    faulthandler.dump_traceback_later(request["seconds"], exit=True, file=2)
    try:
        piece = run_source(request["name"], request["text"], request["line"])
        answer = {"verdict": dataclasses.asdict(judge(request["name"], piece))}
    except PieceFailed as error:
        answer = {"failed": str(error), "attempted": error.attempted}
    except MemoryError:
        answer = {"failed": "it raises MemoryError.", "attempted": True}
    except BaseException as error:  # the catalogue's own mistake, or a piece that broke it
        answer = {"error": f"{type(error).__name__}: {error}"}
    finally:
        faulthandler.cancel_dump_traceback_later()
        builtins_after = {**vars(builtins)}
        vars(builtins).update(_BUILTINS)  # the answer itself needs them
        if old_limit is not None:
            _set_memory_limit(old_limit)
    sys.modules.pop(MODULE, None)
    changed = any(builtins_after.get(name) is not value for name, value in _BUILTINS.items())
    return {**answer, "dirty": changed or _surroundings() != before}


class PieceFailed(Exception):
    """The piece's own source cannot be run."""

    def __init__(self, message: str, attempted: bool = True):
        super().__init__(message)
        self.attempted = attempted


def run_source(name: str, text: str, line: int) -> Any:
    """Run a piece's module, statement by statement, so that each has the line numbers of its cell.

    Raises:
        PieceFailed: if the source is no Python, or raises, or does not define the piece.
    """
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module  # dataclasses look there
    try:
        tree = ast.parse(text)
        offset = line_offset(tree, name, line)
        _remember_lines(CELL, "\n" * max(offset, 0) + _from_line(text, -offset))
        _remember_lines(HELPERS, text)
        flags = _future_flags(tree)
        for node in tree.body:
            is_piece = getattr(node, "name", None) == name
            if is_piece:
                ast.increment_lineno(node, offset)
            statement = ast.Module([node], type_ignores=[])
            place = CELL if is_piece else HELPERS
            exec(compile(statement, place, "exec", flags, dont_inherit=True), vars(module))
    except SyntaxError as error:
        raise PieceFailed(f"its source is no valid Python: {error}.") from None
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, NotImplementedError):
            raise PieceFailed("it raises NotImplementedError", attempted=False) from None
        raise PieceFailed(_raised_in_cell(error)) from None
    if name not in vars(module):
        raise PieceFailed("its cell does not define it.")
    return vars(module)[name]


def line_offset(tree: ast.Module, name: str, line: int) -> int:
    """What is added to a line number of the module to get that of the piece's cell."""
    for node in tree.body:
        if getattr(node, "name", None) == name:
            return line - min(n.lineno for n in (node, *node.decorator_list))
    return 0


def _from_line(text: str, skipped: int) -> str:
    return "\n".join(text.split("\n")[max(skipped, 0) :])


def _future_flags(tree: ast.Module) -> int:
    """What `from __future__ import …` at the top means for the statements below it."""
    import __future__

    names = [a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names]
    found = [getattr(__future__, name, None) for name in names]
    return sum({getattr(feature, "compiler_flag", 0) for feature in found})


def _remember_lines(file: str, text: str) -> None:
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)


def _raised_in_cell(error: BaseException) -> str:
    """What to say of an error that the definition itself raises."""
    traceback, where = error.__traceback__, ""
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if file in (CELL, HELPERS):
            line = linecache.getline(file, traceback.tb_lineno).strip()
            where = f", in `{line}`"
        traceback = traceback.tb_next
    return f"its cell raises {type(error).__name__}: {error}{where}."


def _reset_generators() -> None:
    """Every piece finds the same random numbers."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@functools.cache
def _watched() -> dict[str, tuple[str, ...]]:
    """Names of the modules that pieces share; what they load later, when asked, is no harm."""
    names = ["random", "numpy", "numpy.random", "torch", "torch.nn.functional"]
    names += [name for name in sys.modules if name.startswith("dqn_ref.")]
    return {name: tuple(vars(sys.modules[name])) for name in names if name in sys.modules}


def _surroundings() -> tuple:
    """What a piece shares with the next one, as far as it can be seen."""
    modules = [
        id(vars(sys.modules[module]).get(name))
        for module in _watched()
        for name in _watched()[module]
    ]
    place = (os.getcwd(), dict(os.environ), list(sys.path), threading.active_count())
    settings: list[Any] = [sys.getrecursionlimit(), id(sys.stdout), id(sys.stderr)]
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if "numpy" in _watched():
        settings += [numpy.geterr()]
    if "torch" in _watched():
        settings += [torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()]
    return modules, place, settings


def _limit_memory(count: int) -> tuple[int, int]:
    """Allow so many bytes beyond what this process has; the limit there was."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft = pages * resource.getpagesize() + count
    ceilings = [limit for limit in before if limit != resource.RLIM_INFINITY]
    _set_memory_limit((min([soft, *ceilings]), before[1]))
    return before


def _set_memory_limit(limit: tuple[int, int]) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, limit)


if __name__ == "__main__":
    main(*sys.argv[1:])
