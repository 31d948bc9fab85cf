"""Which names a piece of source takes from around it, and constants written as source."""

from __future__ import annotations

import ast
import enum
import math
import symtable
import sys
from typing import Any, NamedTuple

FUTURE = "from __future__ import annotations"
MAX_CONSTANT_CHARACTERS = 10_000
_COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")


class Names(NamedTuple):
    """Names that a definition finds in its module, in the order of the alphabet."""

    early: list[str]  # when it is defined: decorators, bases, defaults, what a class body reads
    late: list[str]  # when it is called
    optional: list[str]  # read only by people, type checkers, or in a class body that sets it too


def names_taken(text: str, future_annotations: bool) -> Names:
    """The names that a definition or an assignment takes from the module around it.

    Builtins are among them. What the text binds itself is not, at its top level or in the scopes
    inside it.

    Args:
        text: source of a statement.
        future_annotations: whether annotations stay text, as `from __future__ import annotations`
            has it; their names are optional then.
    """
    prefix = FUTURE + "\n" if future_annotations else ""
    module = symtable.symtable(prefix + text, "<piece>", "exec")
    own = {symbol.get_name() for symbol in module.get_symbols() if symbol.is_assigned()}
    early = {symbol.get_name() for symbol in module.get_symbols() if symbol.is_referenced()}
    late, optional = set(), set()
    for table, is_early in _inside(module):
        for symbol in table.get_symbols():
            if symbol.is_referenced() and symbol.is_global():
                (early if is_early else late).add(symbol.get_name())
            elif symbol.is_referenced() and table.get_type() == "class" and symbol.is_local():
                optional.add(symbol.get_name())  # `size = size` finds the module's, once
    tree = ast.parse(text)
    late |= _changed_globals(tree)
    optional |= _annotated_with(tree)
    return Names(
        sorted(early - own), sorted(late - early - own), sorted(optional - late - early - own)
    )


def _inside(table: symtable.SymbolTable, is_early: bool = True):
    """The scopes inside one, each with whether it is run as soon as it is defined."""
    for child in table.get_children():
        # Comprehensions have names of their own; a lambda or a function waits for its call.
        runs = child.get_type() != "function" or child.get_name() in _COMPREHENSIONS
        yield child, is_early and runs
        yield from _inside(child, is_early and runs)


def _changed_globals(tree: ast.AST) -> set[str]:
    """Names of `global counter; counter += 1`: the symbol table calls them set, but not read."""
    nodes = list(ast.walk(tree))
    declared = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
    changed = {
        node.target.id
        for node in nodes
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
    }
    return declared & changed


def _annotated_with(tree: ast.AST) -> set[str]:
    """Names in annotations, those in quotes included."""
    found = set()
    for node in ast.walk(tree):
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(annotation, ast.AST):
                found |= _names_in(annotation)
    return found


def _names_in(annotation: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(annotation):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                found |= _names_in(ast.parse(node.value, mode="eval"))
            except SyntaxError:  # text, as in Literal["two words"]
                continue
    return found


class Constant(NamedTuple):
    """A value as source."""

    text: str
    modules: frozenset[str]  # what the text needs imported


def constant(value: Any) -> Constant | None:
    """A value as source, if it is of a kind that is copied; None if it is not.

    Copied are numbers, text, bytes, bools, None, tuples, lists, sets and dicts of those, members
    of a module's enumerations, NumPy's scalars and dtypes, PyTorch's dtypes and devices.
    """
    modules: set[str] = set()
    text = _written(value, modules, depth=0)
    if text is None or len(text) > MAX_CONSTANT_CHARACTERS:
        return None
    return Constant(text, frozenset(modules))


def _written(value: Any, modules: set[str], depth: int) -> str | None:
    kind = type(value)  # exactly: a subclass means something else
    if kind in (int, str, bytes, bool, type(None)):
        return repr(value)
    if kind is float:
        return repr(value) if math.isfinite(value) else f"float({str(value)!r})"
    if kind is complex:
        parts = (_written(part, modules, depth) for part in (value.real, value.imag))
        return f"complex({', '.join(parts)})"
    if kind in (tuple, list, set, frozenset, dict) and depth < 20:
        return _written_container(value, modules, depth + 1)
    if isinstance(value, enum.Enum):
        return _written_member(value, modules)
    return _written_numeric(value, modules)


def _written_container(value: Any, modules: set[str], depth: int) -> str | None:
    if len(value) > MAX_CONSTANT_CHARACTERS:
        return None
    members = [m for pair in value.items() for m in pair] if type(value) is dict else list(value)
    texts = [_written(member, modules, depth) for member in members]
    if None in texts:
        return None
    if type(value) is dict:
        pairs = zip(texts[::2], texts[1::2], strict=True)
        return "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}"
    inside = ", ".join(texts)
    if type(value) is tuple:
        return f"({inside},)" if len(texts) == 1 else f"({inside})"
    if type(value) is list:
        return f"[{inside}]"
    return f"{type(value).__name__}([{inside}])"


def _written_member(value: enum.Enum, modules: set[str]) -> str | None:
    """A member such as PIL.Image.Resampling.BICUBIC; none of a notebook's own enumeration."""
    kind = type(value)
    module = sys.modules.get(kind.__module__)
    if getattr(module, kind.__qualname__, None) is not kind or kind.__module__ == "__main__":
        return None
    if value.name is None or not value.name.isidentifier():  # several flags at once
        return None
    modules.add(kind.__module__)
    return f"{kind.__module__}.{kind.__qualname__}.{value.name}"


def _written_numeric(value: Any, modules: set[str]) -> str | None:
    """NumPy and PyTorch are asked only if the notebook has loaded them."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and isinstance(value, numpy.dtype):
        described = value.str if value.names is None else value.descr
        text = f"numpy.dtype({described!r})"
        modules.add("numpy")
    elif numpy is not None and type(value) in (numpy.bool_, *numpy.sctypeDict.values()):
        plain = _written(value.item(), modules, depth=0)
        if plain is None or type(value.item()) is type(value):  # long double, void, dates
            return None
        text = f"numpy.{type(value).__name__}({plain})"
        modules.add("numpy")
    elif torch is not None and isinstance(value, torch.dtype):
        text = repr(value)
        modules.add("torch")
    elif torch is not None and isinstance(value, torch.device):
        text = f"torch.device({str(value)!r})"
        modules.add("torch")
    else:
        return None
    return text
