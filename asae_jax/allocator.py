"""The C library's allocator, told to keep memory and to take it in huge pages: the program starts once more.

A step of training on a CPU asks for its memory anew, hundreds of megabytes, and XLA keeps none of it. In
pages of 4 KB that is up to a fifth of a ResNet-50's step (docs/performance.md). The C library of Linux (glibc
2.35 or later) keeps memory, and takes it in pages of 2 MB, where `GLIBC_TUNABLES` says so, which it reads
once, before any code of a program runs. Huge pages that are not kept are no remedy: a virtual machine may
have given them back to its host by the next step.
"""

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "GLIBC_TUNABLES"
_HUGE = "glibc.malloc.hugetlb=1"
_KEPT = "glibc.malloc.mmap_max=0", "glibc.malloc.trim_threshold=1000000000000", "glibc.malloc.arena_max=1"
_KERNEL = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_SHORT = frozenset({"-h", "--help", "help", "list"})
"""Arguments of commands that end at once."""


def with_kept_memory(variables: Mapping[str, str], kernel: str) -> dict[str, str] | None:
    """The environment of a program that keeps its memory, in huge pages; None where it is not to be changed.

    Args:
      variables: of the environment. Whoever has settings of malloc in `GLIBC_TUNABLES` keeps them.
      kernel: what the kernel says of huge pages, the used one of its words in brackets. Where it never gives
        any, nothing is changed: kept memory in small pages is slower for some networks.
    """
    given = variables.get(VARIABLE, "")
    if not ("[madvise]" in kernel or "[always]" in kernel) or "glibc.malloc." in given:
        return None
    return {**variables, VARIABLE: ":".join(filter(None, (given, _HUGE, *_KEPT)))}


def here() -> dict[str, str] | None:
    """`with_kept_memory` of this process and kernel; None too where the kernel says nothing of huge pages."""
    try:
        return with_kept_memory(os.environ, _KERNEL.read_text())
    except OSError:
        return None


def start_again_with_kept_memory() -> None:
    """Replaces this process by the same command with the setting, where that is of use.

    To be called before anything is loaded or read. The process keeps its number, files and terminal. Nothing
    happens on other systems than Linux, under a debugger, for commands that end at once, and where
    `with_kept_memory` says so.
    """
    if not sys.platform.startswith("linux") or not sys.executable or sys.gettrace() is not None:
        return
    environment = None if _SHORT & set(sys.argv[1:]) else here()
    if environment is not None:
        with contextlib.suppress(OSError):  # not allowed to: slower, but as right
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
