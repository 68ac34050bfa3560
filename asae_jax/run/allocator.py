"""Memory that the C library keeps between training steps instead of giving it back to the system (glibc).

XLA asks for its buffers anew in every step. glibc takes the large ones from the system and gives them back
each time, so that every page of them is cleared and mapped anew: 5 to 17 % of the processor time of a
training step on a CPU (`docs/performance.md`). A process that keeps them holds on to its peak of memory.
"""

import ctypes
import importlib.util
import os

_OPTIONS = {-8: 1, -4: 0, -1: -1}
"""Options of mallopt(3): M_ARENA_MAX 1 (what one thread gave back serves all), M_MMAP_MAX 0 (nothing straight
from the system), M_TRIM_THRESHOLD -1 (nothing given back)."""

_ACCELERATORS = ("jax_plugins", "libtpu")
"""Packages without which JAX has no other device than the CPU."""


def keep_memory() -> bool:
    """Has glibc keep what it has got, where JAX computes on the CPU; returns whether it does.

    Nothing happens with another C library, or where the user set up glibc's allocator (`MALLOC_...`,
    `GLIBC_TUNABLES`). To be called before JAX starts its threads, each of which would get memory of its own.
    """
    if _is_set_up_by_the_user() or not _computes_on_cpu():
        return False
    try:
        library = ctypes.CDLL(None)
        _ = library.gnu_get_libc_version  # other libraries may have a mallopt with other options
        mallopt = library.mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    taken = [mallopt(option, value) for option, value in _OPTIONS.items()]
    return all(taken)


def _is_set_up_by_the_user() -> bool:
    variables = any(name.startswith("MALLOC_") for name in os.environ)
    return variables or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")


def _computes_on_cpu() -> bool:
    """By what is asked for and installed: JAX itself would have to start to tell."""
    if asked := os.environ.get("JAX_PLATFORMS"):
        return asked == "cpu"
    return not any(map(importlib.util.find_spec, _ACCELERATORS))
