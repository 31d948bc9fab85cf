"""What stands in the cells of a notebook: imports, definitions and assignments, by `ast`.

IPython runs each cell as a file of its own and keeps its text, so a function can be asked which
text it came from, and a class can ask its methods. (`inspect.getsource` of a class raises in a
kernel before Python 3.13.) What has no code of its own, such as a NamedTuple, is looked for in the
cells that were run, last first.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import linecache
import sys
import textwrap
import types
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_RUN_HERE = ("time", "capture", "prun")  # magics whose cells run in the notebook's own namespace


@dataclass(frozen=True)
class Import:
    """One name of an import statement."""

    module: str
    member: str | None  # None: `import module`; "*": all there is
    name: str | None  # behind `as`

    def binds(self, name: str) -> bool:
        if self.member == "*":
            return hasattr(sys.modules.get(self.module), name)
        return name == (self.name or self.member or self.module.split(".")[0])

    @property
    def is_submodule(self) -> bool:
        """Whether it is of the form `import a.b`, which binds `a`."""
        return self.member is None and self.name is None and "." in self.module

    def value(self, name: str) -> Any:
        """What the statement gives that name, as far as it is loaded; None if it is not."""
        if self.member is None:
            return sys.modules.get(name if self.name is None else self.module)
        member = name if self.member == "*" else self.member
        submodule = sys.modules.get(f"{self.module}.{member}")
        return getattr(sys.modules.get(self.module), member, submodule)

    def statement(self, name: str) -> str:
        alias = f" as {self.name}" if self.name else ""
        if self.member is None:
            return f"import {self.module}{alias}"
        return f"from {self.module} import {name if self.member == '*' else self.member}{alias}"


@dataclass(frozen=True)
class Cell:
    """A cell that can be read as Python."""

    text: str
    statements: tuple[ast.stmt, ...]  # of the top level, those inside `if`, `try` and so on too

    @property
    def imports(self) -> Iterator[Import]:
        for node in self.statements:
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, None, alias.asname) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                if node.module != "__future__":
                    yield from (Import(node.module, a.name, a.asname) for a in node.names)

    @property
    def future_imports(self) -> list[str]:
        return [
            f"from __future__ import {alias.name}"
            for node in self.statements
            if isinstance(node, ast.ImportFrom) and node.module == "__future__"
            for alias in node.names
        ]

    @property
    def definitions(self) -> list[_Definition]:
        return [node for node in self.statements if isinstance(node, _Definition)]

    def segment(self, node: _Definition) -> str:
        """A definition's own lines, decorators included."""
        lines = self.text.split("\n")[_first_line(node) - 1 : node.end_lineno]
        return textwrap.dedent("\n".join(lines)).rstrip()


@dataclass(frozen=True)
class Found:
    """A definition in a cell."""

    text: str
    node: _Definition

    @property
    def line(self) -> int:
        """Where it begins in its cell, decorators included."""
        return _first_line(self.node)


def read(text: str) -> tuple[Cell, ...]:
    """A cell's text as cells: none if it is not Python, one otherwise."""
    return _read(text) if isinstance(text, str) else ()


@functools.lru_cache(maxsize=1024)
def _read(text: str) -> tuple[Cell, ...]:
    text = text.replace("\r\n", "\n")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the notebook has shown them
            tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return ()
    inner = _magic_body(tree)
    if inner is not None:
        return _read(inner)
    return (Cell(text, tuple(_statements(tree.body))),)


def _magic_body(tree: ast.Module) -> str | None:
    """The text under a `%%time`: IPython makes one call of it, with the cell as its argument."""
    match tree.body:
        case [
            ast.Expr(
                ast.Call(
                    func=ast.Attribute(attr="run_cell_magic"),
                    args=[ast.Constant(magic), _, ast.Constant(str(body))],
                )
            )
        ] if magic in _RUN_HERE:
            return body
    return None


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, _Definition):
            continue
        for field in ("body", "orelse", "handlers", "finalbody"):
            inner = getattr(node, field, [])
            for part in inner if isinstance(inner, list) else []:
                yield from _statements(part.body if isinstance(part, ast.ExceptHandler) else [part])


def definition(value: Any, cells: Sequence[Cell]) -> Found | None:
    """Where a function or class was defined: the text and the node; None if it is not found."""
    name = getattr(inspect.unwrap(value), "__qualname__", None) if callable(value) else None
    if not isinstance(name, str) or not name.isidentifier():
        return None
    code = _code_of(value)
    if code is not None:
        for cell in read("".join(linecache.getlines(code.co_filename))):
            for node in cell.definitions:
                if (
                    node.name == name
                    and _first_line(node) <= code.co_firstlineno <= node.end_lineno
                ):
                    return Found(cell.segment(node), node)
    for cell in reversed(cells):
        for node in reversed(cell.definitions):
            if node.name == name and _may_have_made(node, value):
                return Found(cell.segment(node), node)
    return None


def _first_line(node: _Definition) -> int:
    return min(part.lineno for part in (node, *node.decorator_list))


def _code_of(value: Any) -> types.CodeType | None:
    """The code of a function, or of a method written in a class's own body."""
    if not inspect.isclass(value):
        return getattr(inspect.unwrap(value), "__code__", None)
    for function in _functions_of(value).values():
        if function.__qualname__ == f"{value.__qualname__}.{function.__name__}":
            if function.__code__.co_filename != "<string>":  # made by dataclass
                return function.__code__
    return None


def _functions_of(cls: type) -> dict[str, types.FunctionType]:
    """The Python functions among a class's own attributes."""
    found = {}
    for name, attribute in vars(cls).items():
        attribute = getattr(attribute, "fget", attribute)  # property
        attribute = getattr(attribute, "__func__", attribute)  # staticmethod, classmethod
        attribute = inspect.unwrap(attribute) if callable(attribute) else attribute
        if isinstance(attribute, types.FunctionType):
            found[name] = attribute
    return found


def _may_have_made(node: _Definition, value: Any) -> bool:
    """Whether what a definition says agrees with what is there; its cell may have failed midway."""
    if isinstance(node, ast.ClassDef):
        if not inspect.isclass(value):
            return False
        there = set(vars(value)) | set(vars(value).get("__annotations__", {}))
        return {name for name in _bound_in(node) if not name.startswith("__")} <= there
    code = _code_of(value)
    if code is None or inspect.isclass(value):
        return False
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    count = code.co_argcount + code.co_kwonlyargcount
    return tuple(a.arg for a in arguments) == code.co_varnames[:count]


def _bound_in(node: ast.ClassDef) -> set[str]:
    """Names that the statements of a class body bind."""
    bound = set()
    for statement in _statements(node.body):
        if isinstance(statement, _Definition):
            bound.add(statement.name)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = getattr(statement, "targets", None) or [statement.target]
            bound |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return bound


def added_attributes(value: Any, found: Found, module: str | None) -> list[str]:
    """Functions of the notebook that a class has, but not from its own cell."""
    if not isinstance(found.node, ast.ClassDef):
        return []
    bound = _bound_in(found.node)
    return [
        name
        for name, function in _functions_of(value).items()
        if name not in bound
        and function.__module__ == module
        and not function.__code__.co_filename.startswith("<string>")
    ]


def assignment(name: str, cells: Sequence[Cell]) -> str | None:
    """The last statement of the form `name = …` in the cells."""
    for cell in reversed(cells):
        for node in reversed(cell.statements):
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                continue
            if len(targets) == 1 and isinstance(targets[0], ast.Name) and targets[0].id == name:
                return ast.get_source_segment(cell.text, node)
    return None


def in_notebook() -> tuple[list[str], dict[str, Any]] | None:
    """Cells and variables of the IPython this runs in; None outside of one."""
    if "IPython" not in sys.modules:
        return None
    shell = importlib.import_module("IPython").get_ipython()
    if shell is None:
        return None
    return list(shell.user_ns.get("In", [])), shell.user_ns


def in_module(name: str) -> tuple[list[str], dict[str, Any]]:
    """Source and variables of a module, a script say, as if it was a notebook of one cell."""
    module = sys.modules[name]
    try:
        return [inspect.getsource(module)], vars(module)
    except (OSError, TypeError):  # python -c, or typed at a prompt
        return [], vars(module)
