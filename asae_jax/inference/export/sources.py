"""Functions of this package as text that runs without it, with all that they need of their modules."""

import ast
import inspect
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any


def needed(*wanted: Callable[..., Any]) -> dict[str, str]:
    """The source of functions and classes, and of what they name in their own modules.

    What the modules import is not followed.

    Args:
      wanted: functions or classes at the top level of their modules.

    Returns:
      Name -> source of a constant, a function or a class: module by module, in the module's order, so that
      the texts one after the other run.

    Raises:
      ValueError: two modules have something of one name.
    """
    found: dict[str, str] = {}
    for module, names in _by_module(wanted).items():
        texts = _needed_of(module, names)
        if twice := texts.keys() & found.keys():
            raise ValueError(f"{module.__name__}: another module has {', '.join(sorted(twice))} too")
        found |= texts
    return found


def constants(function: Callable[..., Any]) -> dict[str, Any]:
    """Name -> value of the public constants of its module that `function` needs."""
    (module,) = _by_module([function])
    return {name: getattr(module, name) for name in needed(function) if name.isupper() and name[0] != "_"}


def joined(sources: dict[str, str]) -> str:
    """One text of them all: constants on lines of their own, two empty lines around functions and classes."""
    text, after_constant = "", True
    for source in sources.values():
        constant = not source.startswith(("def ", "class ", "@"))
        text += f"{source}\n" if constant and after_constant else f"\n\n{source}\n"
        after_constant = constant
    return text


def _by_module(wanted: Iterable[Callable[..., Any]]) -> dict[ModuleType, list[str]]:
    names: dict[ModuleType, list[str]] = {}
    for one in wanted:
        names.setdefault(sys.modules[one.__module__], []).append(one.__name__)
    return names


def _needed_of(module: ModuleType, names: Iterable[str]) -> dict[str, str]:
    source = inspect.getsource(module)
    defined = {name: node for node in ast.parse(source).body if (name := _defined_by(node))}
    open_ones, taken = set(names), set()
    while open_ones:
        taken |= open_ones
        inside = (part for name in open_ones for part in ast.walk(defined[name]))
        open_ones = {part.id for part in inside if isinstance(part, ast.Name)} & defined.keys() - taken
    lines = source.splitlines()
    return {name: _text(node, lines) for name, node in defined.items() if name in taken}


def _defined_by(node: ast.stmt) -> str:
    """The name of a function, a class or a constant; empty of other statements."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return target.id if isinstance(target, ast.Name) else ""


def _text(node: ast.stmt, lines: list[str]) -> str:
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
    return "\n".join(lines[first - 1 : node.end_lineno])
