"""A folder of pieces: one Python file for each, named after it.

    my_dqn/
        replay_memory.py    defines ReplayMemory, and everything it needs
        td_targets.py       defines td_targets
        __init__.py         imports them all, so that `from my_dqn import td_targets` works

The course writes such a folder when a piece passes its check; nothing is wrong with editing a file
by hand, or with writing all of them. A file may import a neighbour as `from .neighbour import f`.
Files are compiled from their text each time: a cached version is never taken for a newer one.

`python -m dqn_ref.piece_files FILE NAME` tries one file in a process of its own. This module loads
neither PyTorch nor ALE, so that takes as long as the file's own imports.
"""

from __future__ import annotations

import ast
import itertools
import re
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dqn_ref.errors import RunError

INDEX_FILE = "__init__.py"
IMPORTED = "imported"  # the last thing that a trial prints when all is well
_packages = itertools.count()


def file_name(piece: str) -> str:
    """The file in which a piece stands: `ReplayMemory` is in `replay_memory.py`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", piece)
    return words.lower() + ".py"


def pieces_in(folder: Path, names: Iterable[str]) -> list[str]:
    """Which of the pieces called `names` have a file in a folder, in the order of `names`.

    Raises:
        RunError: if the folder's index names a piece whose file is missing.
    """
    names = list(names)
    there = [name for name in names if (folder / file_name(name)).is_file()]
    for name in _indexed(folder / INDEX_FILE):
        if name in names and name not in there:
            raise RunError(
                f"{folder / file_name(name)} is missing, though {INDEX_FILE} beside it imports it; "
                f"let the chapter's check save it again, or delete that line of {INDEX_FILE}"
            )
    return there


def _indexed(index: Path) -> list[str]:
    """Pieces that an index imports; none where there is no index, or one made by hand."""
    try:
        statements = ast.parse(index.read_text(encoding="utf-8")).body
    except (OSError, ValueError, SyntaxError):  # it only lists what stands beside it
        return []
    imports = [s for s in statements if isinstance(s, ast.ImportFrom) and s.level == 1]
    return [
        alias.name
        for statement in imports
        for alias in statement.names
        if f"{statement.module}.py" == file_name(alias.name)
    ]


def read(path: Path) -> str:
    """The text of a piece's file.

    Raises:
        RunError: if it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RunError(f"{path} is no text in UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from None


def define(piece: str, text: str, path: Path, remedy: str) -> Callable:
    """Run a piece's file; the function or class that it defines.

    Args:
        piece: its name.
        text: of the file.
        path: where it stands, for tracebacks and for neighbours that it imports.
        remedy: end of the sentence when it does not work, such as "mend it".
    Raises:
        RunError: if the file does not run, or does not define the piece.
    """
    module = _module(path)
    try:
        code = compile(text, str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        raise RunError(f"{path}, line {error.lineno}: {error.msg}; {remedy}") from None
    except ValueError as error:  # a null byte, before Python 3.12
        raise RunError(f"{path}: {error}; {remedy}") from None
    try:
        with _no_bytecode():
            exec(code, module.__dict__)
    except (Exception, SystemExit) as error:  # whatever a file may do when it is imported
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise RunError(f"{path}, line {_line(error, path)}: {what}; {remedy}") from None
    found = module.__dict__.get(piece)
    if found is None:
        raise RunError(f"{path} does not define {piece}; {remedy}")
    if not callable(found):
        kind = type(found).__name__
        raise RunError(f"{piece} in {path} is no function or class but of type {kind}; {remedy}")
    return found


def _module(path: Path) -> types.ModuleType:
    """An empty module for a file, in a package of its own that finds the file's neighbours.

    Both are known to Python, as dataclasses and relative imports ask for it.
    """
    package = types.ModuleType(f"_dqn_pieces_{next(_packages)}")
    package.__path__ = [str(path.parent)]
    module = types.ModuleType(f"{package.__name__}.{path.name.split('.')[0]}")
    module.__file__, module.__package__ = str(path), package.__name__
    sys.modules |= {package.__name__: package, module.__name__: module}
    return module


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """A neighbour leaves no cache behind, for which a version of the same second would be taken."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _line(error: BaseException, path: Path) -> int | str:
    """The line of the file in which an error came up."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == str(path)), "?")


def main(path: str, piece: str) -> int:
    """Whether a file can be used by somebody who knows nothing of the notebook it came from."""
    try:
        define(piece, read(Path(path)), Path(path), "nothing was saved")
    except RunError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"\n{IMPORTED}")  # a status of 0 is also that of a file which ends Python itself
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
