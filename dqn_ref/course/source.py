"""The source of a piece, taken out of a notebook: a module that stands by itself.

    cells of the notebook ─┐
    its live variables ────┴─ extract("ReplayMemory") ─→ imports
                                                         constants, by value
                                                         helpers, each before it is used
                                                         class ReplayMemory

A cell can be run many times and in any order, so the live variables decide: a helper is the version
that would be called now, found by the cell that its code came from. What can be neither imported,
copied nor defined again (an array, an environment, a network) is refused by name.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dqn_ref.course import cells as notebook_cells
from dqn_ref.course.scopes import FUTURE, constant, names_taken

# Set by Python in every module.
_MODULE_NAMES = {"__name__", "__doc__", "__file__", "__builtins__", "__builtin__", "__spec__"}
_NOTEBOOK_BUILTINS = ("display", "get_ipython")  # IPython puts them among the builtins
_KINDS_BY_ASSIGNMENT = (  # values that mean what the line says that made them
    type,
    types.FunctionType,
    types.GenericAlias,
    types.UnionType,
    functools.partial,
    typing.TypeVar,
    # Learners write the older forms, which are of other types than `int | None` and `list[int]`.
    type(typing.Optional[int]),  # noqa: UP045
    type(typing.List[int]),  # noqa: UP006
    type(typing.Callable[[int], int]),  # noqa: UP006
)


class SourceError(ValueError):
    """A piece that cannot be taken out of its notebook; one sentence says why and what to do."""


@dataclass(frozen=True)
class PieceSource:
    """A piece as text."""

    name: str
    text: str  # a complete module that defines the piece and all it needs
    line: int = 1  # where the definition begins in its cell, so that errors name the cell's lines


def extract(
    name: str, cells: Sequence[str], namespace: Mapping[str, Any], piece: Any = None
) -> PieceSource:
    """Take a piece and all it needs out of a notebook.

    Args:
        name: of the function or class.
        cells: the texts of all cells that were run, oldest first, as IPython keeps them in `In`.
        namespace: the notebook's variables as they are now.
        piece: the function or class itself, if it is not what `namespace` holds under that name.
    Raises:
        SourceError: if its source cannot be found, or it uses a variable that cannot be copied.
    """
    piece = namespace.get(name) if piece is None else piece
    module = getattr(piece, "__module__", None)
    if module != namespace.get("__name__", "__main__"):
        raise SourceError(f"`{name}` comes from {module}; write it in a cell of this notebook")
    collected = _Collection(name, cells, namespace)
    if not collected.define(name, piece):
        raise SourceError(
            f"the cell that defines `{name}` cannot be found; run it, and then the check"
        )
    return PieceSource(name, collected.text(), collected.lines[name])


class _Definition(NamedTuple):
    text: str
    early: list[str]  # names that must be there before it
    late: list[str]  # names that must be there when it is called


class _Collection:
    """What a piece needs, gathered name by name."""

    def __init__(self, piece: str, cells: Sequence[str], namespace: Mapping[str, Any]):
        self._piece, self._namespace = piece, namespace
        self._module = namespace.get("__name__", "__main__")
        self._cells = [cell for text in cells for cell in notebook_cells.read(text)]
        self._future = any(FUTURE in cell.future_imports for cell in self._cells)
        self.lines: dict[str, int] = {}  # name -> line of its cell
        self._done: dict[str, Any] = {}  # name -> the value it stands for
        self._imports: dict[str, None] = {}  # lines, each once
        self._constants: dict[str, str] = {}
        self._definitions: dict[str, _Definition] = {}  # in the order found

    def text(self) -> str:
        """The module."""
        constants = [f"{name} = {value}" for name, value in self._constants.items()]
        head = [[FUTURE] if self._future else [], sorted(self._imports), constants]
        parts = ["\n".join(lines) for lines in head if lines]
        body = "\n\n\n".join(self._definitions[name].text for name in self._in_order())
        return "\n\n".join(parts) + ("\n\n\n" if parts else "") + body + "\n"

    def _in_order(self) -> list[str]:
        """Names of the definitions, each behind what it needs early, late ones before if it can."""
        order: list[str] = []
        begun: set[str] = set()

        def needs_early(name: str, seen: set[str]) -> bool:
            """Whether a definition has to wait for one that is begun and not placed."""
            if name in seen or name not in self._definitions:
                return False
            seen.add(name)
            waits = name in begun and name not in order
            return waits or any(needs_early(n, seen) for n in self._definitions[name].early)

        def place(name: str) -> None:
            if name in begun or name not in self._definitions:
                return
            begun.add(name)
            for needed in self._definitions[name].early:
                place(needed)
            for needed in self._definitions[name].late:
                if not needs_early(needed, set()):
                    place(needed)
            order.append(name)

        for name in self._definitions:
            place(name)
        return order

    def define(self, name: str, value: Any) -> bool:
        """Gather the definition of a function or class; False if no cell is found."""
        if name in self._done:
            self._is_same(name, value)
            return True
        found = notebook_cells.definition(value, self._cells)
        if found is None:
            return False
        added = notebook_cells.added_attributes(value, found, self._module)
        if added:
            raise SourceError(
                f"`{name}.{added[0]}` was put into the class from outside; "
                "write it inside the class"
            )
        self.lines[name] = found.line
        self._add_definition(name, value, found.text)
        return True

    def _add_definition(self, name: str, value: Any, text: str) -> None:
        """Gather a definition and everything that it needs."""
        self._done[name] = value
        names = names_taken(text, self._future)
        self._definitions[name] = _Definition(text, names.early, names.late)
        for needed in (*names.early, *names.late):
            self._need(needed, name)
        for needed in names.optional:
            before = self._state()
            try:
                self._need(needed, name)
            except SourceError:  # a reader would like it, the piece runs without it
                self._done, self._imports, self._constants, self._definitions = before

    def _state(self) -> tuple[dict, ...]:
        parts = (self._done, self._imports, self._constants, self._definitions)
        return tuple(dict(part) for part in parts)

    def _is_same(self, name: str, value: Any) -> None:
        if self._done[name] is not value:
            raise SourceError(
                f"your piece uses two versions of `{name}`; run your cells again from the top"
            )

    def _need(self, name: str, user: str) -> None:
        """Gather what a name stands for; `user` is the definition that reads it."""
        if name in _MODULE_NAMES or name == user:
            return
        if name in self._namespace:
            value = self._namespace[name]
        elif name in _NOTEBOOK_BUILTINS and hasattr(builtins, name):
            value = getattr(builtins, name)
        else:
            return  # a builtin, or nothing at all: then the piece will say so itself
        if name in self._done:
            if name != self._piece:  # whose name stands for the checked version, whatever happens
                self._is_same(name, value)
            return
        lines = self._imports_of(name, value, self._definitions[user].text)
        copied = constant(value)
        if lines:
            self._done[name] = value
            self._imports |= dict.fromkeys(lines)
        elif copied is not None:
            self._done[name] = value
            self._imports |= dict.fromkeys(f"import {module}" for module in copied.modules)
            self._constants[name] = copied.text
        elif not self._define_helper(name, value):
            whose = "your piece" if user == self._piece else f"your helper `{user}`"
            raise SourceError(
                f"{whose} uses the notebook variable `{name}`; pass it as an argument"
            )

    def _imports_of(self, name: str, value: Any, text: str) -> list[str]:
        """Import statements that give `value` its name; none if nothing can be imported."""
        bound = [entry for cell in self._cells for entry in cell.imports if entry.binds(name)]
        lines = [e.statement(name) for e in bound if e.value(name) is value and value is not None]
        line = lines[-1] if lines else self._import_by_name(name, value)
        if line is None:
            return []
        # `import torch` does not load torch.utils.data; `import torch.utils.data` does.
        return [line, *(e.statement(name) for e in bound if e.is_submodule and e.module in text)]

    def _import_by_name(self, name: str, value: Any) -> str | None:
        """An import for a module, or for what knows where it is from, as `Array = np.ndarray`."""
        if isinstance(value, types.ModuleType):
            known_as = value.__name__
            if sys.modules.get(known_as) is not value:
                return None
            return f"import {known_as}" if known_as == name else f"import {known_as} as {name}"
        module, own_name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
        if not isinstance(module, str) or not isinstance(own_name, str) or module == self._module:
            return None
        if not own_name.isidentifier():
            return None
        if getattr(sys.modules.get(module), own_name, None) is not value:
            return None
        return f"from {module} import {own_name}" + ("" if own_name == name else f" as {name}")

    def _define_helper(self, name: str, value: Any) -> bool:
        own_name = getattr(inspect.unwrap(value), "__name__", "") if callable(value) else ""
        if own_name.isidentifier() and self.define(own_name, value):
            if own_name != name:  # another name for it
                self._done[name] = value
                self._definitions[name] = _Definition(f"{name} = {own_name}", [own_name], [])
            return True
        if not isinstance(value, _KINDS_BY_ASSIGNMENT) and not hasattr(value, "__wrapped__"):
            return False
        statement = notebook_cells.assignment(name, self._cells)
        if statement is None:
            return False
        self._add_definition(name, value, statement)
        return True
