"""Docstrings of public functions say what every argument is where there are more than three."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "asae_jax").rglob("*.py"))


def _functions(node, owner=""):
    """Public functions, methods and constructors: name, node, names of the arguments without `self`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from _functions(child, f"{child.name}.")
        elif isinstance(child, ast.FunctionDef) and (child.name == "__init__" or child.name[0] != "_"):
            given = child.args
            names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            names += [f"*{given.vararg.arg}"] if given.vararg else []
            names += [f"**{given.kwarg.arg}"] if given.kwarg else []
            bound = owner and not any(getattr(of, "id", "") == "staticmethod" for of in child.decorator_list)
            yield f"{owner}{child.name}", child, names[1:] if bound else names


def _unnamed(source):
    """The arguments that no line of `Args:` begins with, by function; those of up to three need none."""
    found = {}
    for name, function, names in _functions(ast.parse(source)):
        _, _, arguments = (ast.get_docstring(function) or "").partition("Args:\n")
        lines = re.findall(r"^  (\S[^:]*):", re.split(r"^\S", arguments, flags=re.MULTILINE)[0], re.MULTILINE)
        named = {each for line in lines for each in line.split(", ")}
        if len(names) > 3 and (missing := [each for each in names if each not in named]):
            found[name] = missing
    return found


@pytest.mark.parametrize(
    ("documented", "missing"),
    [
        ("a: 1.\n      b, c: 2.\n      *d: 3.", None),
        ("a: 1.\n      b: 2. `c`: 3.\n      *d: 4.", ["c"]),
        ("a: 1.\n\n    Raises:\n      b: 2.", ["b", "c", "*d"]),
    ],
)
def test_an_argument_is_named_where_a_line_begins_with_it(documented, missing):
    source = (
        f'class A:\n  def of(self, a, b, *d, c):\n    """Does.\n\n    Args:\n      {documented}\n    """\n'
    )
    assert _unnamed(source) == ({"A.of": missing} if missing else {})
    assert _unnamed("def of(a, b, c): pass\ndef _of(a, b, c, d): pass") == {}


def test_more_than_three_arguments_are_each_described():
    unnamed = [
        f"{path.relative_to(ROOT)}: {name} lacks {', '.join(missing)}"
        for path in FILES
        for name, missing in _unnamed(path.read_text(encoding="utf-8")).items()
    ]
    assert not unnamed
