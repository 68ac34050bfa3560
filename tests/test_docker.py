"""The Dockerfile, which needs a daemon to be run: what it copies is there, its user, and its commands."""

import fnmatch
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from asae_jax import cli

ROOT = Path(__file__).resolve().parent.parent
LINES = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
STEPS = [line.split(maxsplit=1) for line in LINES if line and not line.startswith("#")]
PAGE = (ROOT / "docs" / "docker.md").read_text(encoding="utf-8")


def _of(instruction):
    return [words for name, words in STEPS if name == instruction]


def _ignored(path):
    """By .dockerignore: of all patterns that fit the path or a folder above it the last decides."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        places = [path, *(str(parent) for parent in Path(path).parents)]
        deep = pattern.removeprefix("**/")
        if any(fnmatch.fnmatch(place, pattern) for place in places) or (
            deep != pattern and deep in Path(path).parts
        ):
            ignored = not line.startswith("!")
    return ignored


def test_what_the_wheel_is_made_from_goes_in_and_nothing_else():
    given = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if given.returncode:
        pytest.skip("no clone")
    needed = {"pyproject.toml", "setup.py", "requirements.txt", "MANIFEST.in", "README.md", "LICENSE"}
    folders = ("asae_jax/", "configs/", "data/")
    for path in given.stdout.splitlines():
        if path.startswith(folders) or path in needed:
            assert not _ignored(path), path
    for path in ("runs/mine/config.json", "cells/BLA/1.jpg", "cache/x.u8", ".git/HEAD", ".venv/bin/python",
                 "patients.csv", "asae_jax/__pycache__/cli.pyc", "tests/test_cli.py"):  # fmt: skip
        assert _ignored(path), path


def test_the_last_stage_has_the_wheel_alone_and_no_root():
    stages = _of("FROM")
    assert len(stages) == 2
    assert stages[0].endswith(" AS wheel")
    assert _of("COPY") == [". .", "--from=wheel /wheels /wheels"]
    names = [name for name, _ in STEPS]
    assert names[names.index("USER") :] == ["USER", "WORKDIR", "VOLUME", "ENTRYPOINT", "CMD"]
    assert _of("USER") == ["asae"]
    assert _of("WORKDIR")[-1] == _of("VOLUME")[0] == "/data"
    assert _of("ENTRYPOINT") == ['["asae"]']


def test_the_image_s_python_and_extra_are_those_that_the_package_knows():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ((least, above),) = re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', project)
    (version,) = (words for words in _of("ARG") if words.startswith("PYTHON="))
    assert int(least) <= int(version.rpartition(".")[2]) < int(above)
    (extras,) = re.findall(r"\$\{wheel\}\[([\w,]+)\]", " ".join(_of("RUN")))
    assert extras == "onnx,fields"
    for extra in extras.split(","):
        assert re.search(rf"^{extra} = ", project, flags=re.MULTILINE)


def test_the_page_s_commands_are_understood():
    blocks = "".join(re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)).replace("\\\n", " ")
    commands = [shlex.split(line, comments=True) for line in blocks.splitlines()]
    arguments = {words.partition("=")[0] for words in _of("ARG")}
    runs = [words for words in commands if words[:2] == ["docker", "run"]]
    assert len(runs) == 2
    for words in commands:
        given = [words[place + 1] for place, word in enumerate(words) if word == "--build-arg"]
        assert {value.partition("=")[0] for value in given} <= arguments
    for words in runs:
        (image,) = (place for place, word in enumerate(words) if word in ("asae", "asae:gpu"))
        assert cli.parse(words[image + 1 :]).name in ("predict", "train")
