"""The program starts itself again with the allocator's setting, once, and only where that is of use."""

import subprocess
import sys

import pytest

from asae_jax.allocator import VARIABLE, with_kept_memory

ASKED = "always [madvise] never"
SETTING = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1000000000000:"
    "glibc.malloc.arena_max=1"
)


@pytest.mark.parametrize("kernel", [ASKED, "[always] madvise never"])
@pytest.mark.parametrize(
    ("given", "setting"), [({}, SETTING), ({VARIABLE: "glibc.cpu.x=3"}, f"glibc.cpu.x=3:{SETTING}")]
)
def test_the_setting_is_added_to_what_is_given(kernel, given, setting):
    found = with_kept_memory({"HOME": "/home/a", **given}, kernel)
    assert found == {"HOME": "/home/a", VARIABLE: setting}
    assert with_kept_memory(found, kernel) is None


@pytest.mark.parametrize("kernel", ["always madvise [never]", ""])
def test_without_huge_pages_nothing_is_changed(kernel):
    assert with_kept_memory({}, kernel) is None


def test_whoever_has_settings_of_malloc_keeps_them():
    assert with_kept_memory({VARIABLE: "glibc.malloc.hugetlb=0"}, ASKED) is None


_PROGRAM = """
import os, pathlib, sys
from asae_jax import allocator
allocator._KERNEL = pathlib.Path(sys.argv[1])
print(os.getpid(), os.environ.get(allocator.VARIABLE), sys.argv[2:], flush=True)
allocator.start_again_with_kept_memory()
print("goes on")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has them")
@pytest.mark.parametrize(
    ("kernel", "option", "again"),
    [
        (ASKED, "--c=$d", True),
        (ASKED, "--help", False),
        ("always madvise [never]", "x", False),
        (None, "x", False),
    ],
)
def test_the_same_command_starts_again_once(tmp_path, monkeypatch, kernel, option, again):
    monkeypatch.delenv(VARIABLE, raising=False)
    if kernel is not None:
        (tmp_path / "enabled").write_text(kernel)
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path / "enabled"), "a b", option]
    *starts, end = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert end == "goes on"
    number = starts[0].split()[0]
    settings = ("None", *[SETTING] * again)
    assert starts == [f"{number} {setting} {['a b', option]}" for setting in settings]
