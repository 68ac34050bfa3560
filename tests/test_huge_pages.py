"""The program starts itself again with the setting, once, and only where that is of use."""

import subprocess
import sys

import pytest

from asae_jax.commands import COMMANDS
from asae_jax.huge_pages import TRAINING, VARIABLE, with_huge_pages

ASKED = "always [madvise] never"
SETTING = "glibc.malloc.hugetlb=1"


@pytest.mark.parametrize(
    ("given", "setting"),
    [({}, SETTING), ({VARIABLE: "glibc.malloc.check=3"}, f"glibc.malloc.check=3:{SETTING}")],
)
def test_the_setting_is_added_to_what_is_given(given, setting):
    found = with_huge_pages({"HOME": "/home/a", **given}, ASKED)
    assert found == {"HOME": "/home/a", VARIABLE: setting}
    assert with_huge_pages(found, ASKED) is None


@pytest.mark.parametrize("kernel", ["[always] madvise never", "always madvise [never]", ""])
def test_nothing_is_asked_of_a_kernel_that_decides_by_itself(kernel):
    assert with_huge_pages({}, kernel) is None


def test_whoever_does_not_want_them_has_none():
    assert with_huge_pages({VARIABLE: "glibc.malloc.hugetlb=0"}, ASKED) is None


def test_what_trains_is_a_command():
    assert set(TRAINING) < set(COMMANDS)


_PROGRAM = """
import os, pathlib, sys
from asae_jax import huge_pages
huge_pages._KERNEL = pathlib.Path("PLACE")
print(os.getpid(), os.environ.get(huge_pages.VARIABLE), sys.argv[1:], flush=True)
huge_pages.start_again_with_huge_pages()
print("goes on")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has them")
@pytest.mark.parametrize(
    ("kernel", "arguments", "again"),
    [
        (ASKED, ["--c=$d", "a b"], True),
        (ASKED, [], True),
        (ASKED, ["crossval", "--c=$d"], True),
        (ASKED, ["train", "--help"], False),
        (ASKED, ["predict", "--c=$d"], False),
        ("always madvise [never]", ["train"], False),
        (None, ["train"], False),
    ],
)
def test_the_same_command_starts_again_once(tmp_path, monkeypatch, kernel, arguments, again):
    monkeypatch.delenv(VARIABLE, raising=False)
    if kernel is not None:
        (tmp_path / "enabled").write_text(kernel)
    command = [sys.executable, "-c", _PROGRAM.replace("PLACE", str(tmp_path / "enabled")), *arguments]
    *starts, end = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert end == "goes on"
    number = starts[0].split()[0]
    settings = ("None", *[SETTING] * again)
    assert starts == [f"{number} {setting} {arguments}" for setting in settings]
