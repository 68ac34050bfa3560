"""glibc keeps memory between training steps: asked for in time, and nowhere else."""

import ctypes
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from asae_jax.run import allocator, parallel

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def library(monkeypatch):
    """A C library of glibc's kind, whose `asked` are the options that it was asked for."""
    for name in [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]:
        monkeypatch.delenv(name)
    asked = []
    library = types.SimpleNamespace(
        asked=asked, gnu_get_libc_version=None, mallopt=lambda *option: asked.append(option) or 1
    )
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    return library


def _has_glibc():
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallinfo2")


@pytest.mark.skipif(not _has_glibc(), reason="needs glibc 2.33")
def test_large_pieces_are_kept_and_serve_again():
    """With glibc's own settings 64 MiB come from mmap, and go back to the system when they are freed."""
    code = """
import ctypes, sys
from asae_jax.run import allocator
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]
c = ctypes.CDLL(None)
c.mallinfo2.restype, c.malloc.restype, c.free.argtypes = Info, ctypes.c_void_p, [ctypes.c_void_p]
before = c.mallinfo2().hblkhd
said = allocator.keep_memory()
pointer = c.malloc(ctypes.c_size_t(2**26))
mapped = c.mallinfo2().hblkhd - before
c.free(pointer)
print(said, mapped, c.mallinfo2().fordblks >= 2**26)
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment | {"JAX_PLATFORMS": "cpu"}, cwd=ROOT,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout.split() == ["True", "0", "True"]


def test_it_is_asked_for_before_training_sets_up_jax_and_not_for_prediction(library, monkeypatch):
    monkeypatch.setattr(parallel, "_set_devices", lambda *_: library.asked.append("devices"))
    parallel.use_all_cores(8, trains=True)
    assert library.asked == [(-8, 1), (-4, 0), (-1, -1), "devices"]  # in the words of malloc.h
    del library.asked[:]
    parallel.use_all_cores(8)
    assert library.asked == ["devices"]


@pytest.mark.parametrize("lacking", ["gnu_get_libc_version", "mallopt"])
def test_another_c_library_is_left_alone(library, lacking):
    delattr(library, lacking)
    assert not allocator.keep_memory()
    assert not library.asked


@pytest.mark.parametrize("error", [OSError, TypeError])
def test_where_no_c_library_can_be_opened_nothing_happens(library, monkeypatch, error):
    def refused(_):
        raise error("no")

    monkeypatch.setattr(ctypes, "CDLL", refused)
    assert not allocator.keep_memory()


@pytest.mark.parametrize(
    ("name", "value"), [("MALLOC_ARENA_MAX", "4"), ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")]
)
def test_the_users_own_settings_win(library, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert not allocator.keep_memory()
    assert not library.asked


def test_accelerators_are_not_affected(library, monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "jax_plugins" or None)
    assert not allocator.keep_memory()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert allocator.keep_memory()
