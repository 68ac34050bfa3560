"""Compiled programs kept on disk: the second start of a command need not compile again (JAX's own cache).

They lie in `asae-jax/compiled` of the user's cache folder (`$XDG_CACHE_HOME` or `~/.cache`; on macOS
`~/Library/Caches`, on Windows `%LOCALAPPDATA%`), a folder for each kind of processor. JAX's own variables
overrule that: `JAX_ENABLE_COMPILATION_CACHE=0` keeps nothing; `JAX_COMPILATION_CACHE_DIR=DIR` is another
folder, which is then JAX's matter alone.

What cannot be read or written is compiled, without a word. JAX's own bound on the size is not used: an
entry that was cut by a kill, without its time of use, ends all further writing there.
"""

import contextlib
import glob
import hashlib
import os
import platform
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import jax

from asae_jax.run import hosts

MEGABYTES = 500
"""Above this, whenever a command starts, what has not been used for longest is deleted down to half of it."""

_PARTS = ("model name", "flags", "Features", "CPU implementer", "CPU part", "CPU variant")
"""Of /proc/cpuinfo: what decides which instructions are used."""


def switch_on() -> None:
    """Keeps compiled programs from now on, and removes old ones; does nothing where JAX has a cache already.

    Nor on several hosts: on GPUs they tune a program together, and one that had it already would not come.
    To be called before JAX compiles.
    """
    if hosts.count() > 1:
        return
    if _option("jax_compilation_cache_dir") or not _option("jax_enable_compilation_cache"):
        return
    folder = default_folder()
    if folder is None or not _can_write(folder):
        return
    with contextlib.suppress(OSError):
        shrink(folder.parent, MEGABYTES * 10**6)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # All of them: there are few, and many that take a tenth of a second take as long as one that takes more.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    _hear_of_faults(folder)


def _option(name: str) -> Any:
    return getattr(jax.config, name)


def default_folder() -> Path | None:
    """Where programs for this processor are kept; None where the user has no home."""
    try:
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return base / "asae-jax" / "compiled" / processor()


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """12 hexadecimal digits that differ between processors with different instructions.

    A home may be shared by machines, and a program of one be an illegal instruction on another. JAX's key has
    the processor's features too, but what is loaded is not checked against them.

    Args:
      cpuinfo: what Linux says of the processors; missing elsewhere.
    """
    facts = {"machine": platform.machine(), "processor": platform.processor()}
    with contextlib.suppress(OSError):
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
        lines = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
        facts |= {name.strip(): value.strip() for name, _, value in lines if name.strip() in _PARTS}
    return hashlib.blake2b(repr(sorted(facts.items())).encode(), digest_size=6).hexdigest()


def shrink(folder: Path, most: int) -> None:
    """Where the files below `folder` have more than `most` bytes: deletes the least recently used half."""
    files = [(path, path.stat()) for path in folder.rglob("*") if path.is_file()]
    size = sum(status.st_size for _, status in files)
    if size <= most:
        return
    for path, status in sorted(files, key=lambda entry: max(entry[1].st_atime, entry[1].st_mtime)):
        if size <= most // 2:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        size -= status.st_size


def _can_write(folder: Path) -> bool:
    """Makes the folder if it is missing, for its owner alone: who writes there has his programs run by us.

    So one that others own or can write to is not used: `$XDG_CACHE_HOME` may lead to a place for all.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
            return False
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"1")
    except OSError:
        return False
    return True


_FAULT = re.compile(r"Error (?:reading|writing) persistent compilation cache entry for '([^']*)'")


def _hear_of_faults(folder: Path) -> None:
    """Instead of JAX's warning about an entry that cannot be read or written, the entry is deleted.

    JAX itself would leave it as it is, and warn at every start.
    """
    show = warnings.showwarning

    def heard(message: Warning | str, *where: Any, **options: Any) -> None:
        if not (fault := _FAULT.match(str(message))):
            return show(message, *where, **options)
        for entry in folder.glob(f"{glob.escape(fault[1])}-*"):
            with contextlib.suppress(OSError):
                entry.unlink()
        return None

    warnings.filterwarnings("always", _FAULT.pattern)
    warnings.showwarning = heard
