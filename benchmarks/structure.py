"""How the package is built: modules, lines, functions and imports of each part, now and at another revision.

    python -m benchmarks.structure [--against=REVISION]

Lines are all lines of a module; an import line belongs to an import statement; a function's length counts
from `def` to its last line.
"""

import argparse
import ast
import statistics
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "asae_jax"


def _now() -> dict[str, str]:
    files = sorted((ROOT / PACKAGE).rglob("*.py"))
    return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}


def _at(revision: str) -> dict[str, str]:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout

    names = git("ls-tree", "-r", "--name-only", revision, PACKAGE).splitlines()
    return {name: git("show", f"{revision}:{name}") for name in names if name.endswith(".py")}


def _span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _walk(source: str) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(source))


def _describe(title: str, sources: Mapping[str, str]) -> None:
    print(f"{title}\n{'part':22}{'modules':>8}{'lines':>8}{'imports':>9}{'longest function':>18}")
    parts: dict[str, list[str]] = {}
    for name, source in sources.items():
        pieces = Path(name).parts[1:]
        parts.setdefault(pieces[0] if len(pieces) > 1 else "(top)", []).append(source)
    for part, texts in sorted(parts.items()):
        print(_row(part, texts))
    texts = list(sources.values())
    print(_row("all", texts))
    lengths = sorted(len(text.splitlines()) for text in texts)
    print(
        f"module lines: median {statistics.median(lengths):.0f}, 90 % {lengths[int(0.9 * len(lengths))]}, "
        f"longest {lengths[-1]}; under 60 lines: {sum(length < 60 for length in lengths)}\n"
    )


def _row(part: str, texts: list[str]) -> str:
    nodes = [node for text in texts for node in _walk(text)]
    imports = sum(_span(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))
    functions = [_span(node) for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lines = sum(len(text.splitlines()) for text in texts)
    share = 100 * imports / max(lines, 1)
    return f"{part:22}{len(texts):8}{lines:8}{share:8.1f}%{max(functions, default=0):18}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--against", metavar="REVISION", help="a git revision to compare with")
    against = parser.parse_args().against
    if against:
        _describe(f"at {against}", _at(against))
    _describe("now", _now())


if __name__ == "__main__":
    main()
