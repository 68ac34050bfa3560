"""Memory in pages of 2 MB instead of 4 KB: the program starts once more, with a setting of the C library.

A step of training on a CPU asks for its memory anew, hundreds of megabytes, and XLA keeps none of it. Page by
page that is up to a fifth of a ResNet-50's step (docs/performance.md). The C library of Linux (glibc 2.35 or
later) asks for huge pages where `GLIBC_TUNABLES` says so, which it reads once, before any code of a program
runs.
"""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

VARIABLE = "GLIBC_TUNABLES"
TRAINING = ("train", "crossval", "reproduce")
"""Commands that train for long; the others are left as they are."""
_SETTING = "glibc.malloc.hugetlb"
_KERNEL = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_HELP = frozenset({"-h", "--help"})


def with_huge_pages(variables: Mapping[str, str], kernel: str) -> dict[str, str] | None:
    """The environment of a program whose memory is in huge pages; None where that is settled already.

    Args:
      variables: of the environment.
      kernel: what the kernel says of huge pages, the used one of its words in brackets: only "madvise" leaves
        it to programs.
    """
    given = variables.get(VARIABLE, "")
    if "[madvise]" not in kernel or _SETTING in given:
        return None
    return {**variables, VARIABLE: ":".join(filter(None, (given, f"{_SETTING}=1")))}


def here() -> dict[str, str] | None:
    """`with_huge_pages` of this process and kernel; None too where the kernel says nothing of huge pages."""
    try:
        return with_huge_pages(os.environ, _KERNEL.read_text())
    except OSError:
        return None


def start_again_with_huge_pages() -> None:
    """Replaces this process by the same command with the setting, where that is of use.

    To be called before anything is loaded or read. The process keeps its number, files and terminal. Nothing
    happens on other systems than Linux, under a debugger, for commands other than `TRAINING`, and where
    `with_huge_pages` says so.
    """
    if not sys.platform.startswith("linux") or not sys.executable or sys.gettrace() is not None:
        return
    environment = here() if _trains(sys.argv[1:]) else None
    if environment is not None:
        with contextlib.suppress(OSError):  # not allowed to: slower, but as right
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _trains(arguments: Sequence[str]) -> bool:
    """Whether a command line is one of training; without a command it is."""
    name = next(iter(arguments), "train")
    return (name in TRAINING or name.startswith("-")) and not _HELP & set(arguments)
