"""Fills the disk under every command, at one write after the other, and says what becomes of it.

    python -m benchmarks.full_disk [--commands=train,predict] [--cases=4] [--folder=DIR]

Two ways. Errors: the n-th opening for writing, renaming, making of a folder, write by position or wait for
the disk in the folder of the runs and their cache raises ENOSPC or EDQUOT, and so does each one after it, or
EIO, once. As root on Linux also a disk in memory (tmpfs) that is really full, at a size between what was
there and what the command needs, in bytes and in files: that reaches what libraries write without Python. Of
both, `--cases` places a command are drawn evenly (0: every one for errors).

Each time the command must end with one line and status 2, or with its result whole; what it leaves must be
complete files; and the same command must go on when there is room.
"""

import errno
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from absl import app, flags
from PIL import Image

from benchmarks import tiny_runs

_COMMANDS = flags.DEFINE_list("commands", [], "Names of commands as this script prints them; empty: all.")
_CASES = flags.DEFINE_integer("cases", 4, "How many places a command and a way; 0: every n-th write.")
_FOLDER = flags.DEFINE_string("folder", "", "Where the runs go, and stay to be used again; empty: nowhere.")
_NAMES = {number: errno.errorcode[number] for number in (errno.ENOSPC, errno.EDQUOT, errno.EIO)}
_GOOD = ("one line", "finished")


class Faults:
    """Errors at the n-th writing access below a folder, by an audit hook and three functions of `os`."""

    def __init__(self, folder: pathlib.Path):
        self._below = f"{folder}/"
        self._at = self._error = 0
        self.count = 0
        sys.addaudithook(self._hook)
        for name in ("pwrite", "fsync", "ftruncate"):
            setattr(os, name, self._failing(getattr(os, name)))

    def start(self, at: int = 0, error: int = 0) -> None:
        """Counts from 0; the `at`-th access fails with `error`, and those after it unless it is EIO."""
        self.count, self._at, self._error = 0, at, error

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, bits = arguments
            if (isinstance(mode, str) and set(mode) & set("wax+")) or bits & (os.O_WRONLY | os.O_RDWR):
                self._access(path)
        elif event in ("os.rename", "os.mkdir"):
            self._access(arguments[event == "os.rename"])

    def _failing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def failing(file: int, *arguments: Any) -> Any:
            self._access(os.readlink(f"/proc/self/fd/{file}") if os.path.exists("/proc/self/fd") else file)
            return function(file, *arguments)

        return failing

    def _access(self, path: Any) -> None:
        if isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(self._below):
            self.count += 1
            later = self.count > self._at and self._error != errno.EIO
            if self._at and (self.count == self._at or later):
                raise OSError(self._error, os.strerror(self._error), os.fspath(path))


class Disk:
    """A disk in memory at a folder, of a size that can be changed; else the folder itself."""

    def __init__(self, folder: pathlib.Path):
        folder.mkdir(exist_ok=True)
        self._folder = folder
        made = ["mount", "-t", "tmpfs", "-o", "size=2g", "none", str(folder)]
        can = sys.platform == "linux" and shutil.which("mount") is not None
        self.is_real = can and subprocess.run(made, check=False, capture_output=True).returncode == 0

    def used(self) -> tuple[int, int]:
        """Bytes and files."""
        status = os.statvfs(self._folder)
        return (status.f_blocks - status.f_bfree) * status.f_frsize, status.f_files - status.f_ffree

    def limit(self, size: int = 2**31, files: int = 100_000) -> None:
        """Makes it of `size` bytes and `files` files."""
        wanted = f"remount,size={size},nr_inodes={files}"
        subprocess.run(["mount", "-o", wanted, str(self._folder)], check=True)

    def close(self) -> None:
        """Takes it away."""
        if self.is_real:
            subprocess.run(["umount", "-l", str(self._folder)], check=True)


def torn(folder: pathlib.Path) -> list[str]:
    """Names of files below `folder` that are not complete ones of their kind, or left of a write."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.name.endswith(".part") or (path.is_file() and not _is_complete(path)):
            found.append(str(path.relative_to(folder)))
    return found


def _is_complete(path: pathlib.Path) -> bool:
    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".html":
            return "</html>" in path.read_text(encoding="utf-8", errors="surrogateescape")
        elif path.suffix == ".csv":
            return path.read_bytes().endswith(b"\n")
        elif path.suffix in (".png", ".jpg"):
            with Image.open(path) as picture:
                picture.load()
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                dict(arrays.items())
    except Exception:
        return False
    return True


def _places(most: int) -> list[int]:
    """Numbers from 1 to `most`, all or so many as the flag says."""
    if not _CASES.value or most <= _CASES.value:
        return list(range(1, most + 1))
    return sorted({round(x) for x in np.linspace(1, most, _CASES.value)})


class Trial:
    """One command in a folder that is made anew for each case."""

    def __init__(self, name: str, arguments: list[str], template: pathlib.Path, place: Disk, faults: Faults):
        self._name, self._arguments, self._template = name, arguments, template
        self._disk, self._faults = place, faults
        self._folder = place._folder
        tiny_runs.refill(template, self._folder)
        before = place.used()
        faults.start()
        outcome = tiny_runs.call(arguments)
        if outcome.kind != "finished":
            raise SystemExit(f"{name}, undisturbed: {outcome.kind}\n{outcome.output}")
        self._accesses, self._made = faults.count, self._names()
        self._needed = [after - then for after, then in zip(place.used(), before, strict=True)]

    def outcomes(self) -> Iterator[tuple[str, str]]:
        """(case, outcome)."""
        for number, at in enumerate(_places(self._accesses)):
            error = list(_NAMES)[number % len(_NAMES)]
            case = f"{_NAMES[error]} at access {at} of {self._accesses}"
            yield case, self._one(lambda at=at, error=error: self._faults.start(at, error))
        if self._disk.is_real:
            for share in np.linspace(0, 0.95, _CASES.value or 20):
                yield (
                    f"room for {share:.0%} of the bytes",
                    self._one(lambda share=share: self._fill(share, 0)),
                )
            for share in np.linspace(0, 0.9, _CASES.value or 20):
                yield (
                    f"room for {share:.0%} of the files",
                    self._one(lambda share=share: self._fill(0, share)),
                )

    def _fill(self, size: float, files: float) -> None:
        used = self._disk.used()
        page = os.sysconf("SC_PAGE_SIZE")
        if files:
            self._disk.limit(files=used[1] + round(files * self._needed[1]))
        else:
            self._disk.limit(size=used[0] + round(size * self._needed[0]) // page * page + page)

    def _one(self, disturb: Callable[[], None]) -> str:
        tiny_runs.refill(self._template, self._folder)
        disturb()
        outcome = tiny_runs.call(self._arguments)
        self._faults.start()
        if self._disk.is_real:
            self._disk.limit()
        said = outcome.kind
        left, missing = torn(self._folder), self._made - self._names()
        again = tiny_runs.call(self._arguments)
        lost = self._made - self._names()
        if left:
            said += f", left {left[0]} torn"
        told = re.search("warning|failed: ", outcome.output.lower()) is not None
        if outcome.kind == "finished" and missing and not told:
            said += " without a word"
        refused = outcome.kind == "finished" and "exists: name a new folder" in again.line
        if again.kind != "finished" and not refused:
            said += f", did not go on ({again.line})"
        elif lost:
            said += f", lost {sorted(lost)[0]}"
        if outcome.kind not in _GOOD:
            said += f": {outcome.line}"
            print(outcome.output)
        else:
            print(f"    {outcome.line[:160]}")
        return said

    def _names(self) -> set[str]:
        """Of all files but those named after moments and weights' digests."""
        names = (path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*"))
        return {name for name in names if not any(part in name for part in ("tfevents", "ocdbt", "/d/"))}


def main(_: list[str]) -> None:
    tiny_runs.set_up()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(_FOLDER.value or temporary).resolve()
        template = tiny_runs.template(folder)
        disk = Disk(folder / "disk")
        faults = Faults(folder / "disk")
        outcomes = []
        try:
            for name, arguments in tiny_runs.commands(folder).items():
                if _COMMANDS.value and name not in _COMMANDS.value:
                    continue
                print(name, flush=True)
                for case, outcome in Trial(name, arguments, template, disk, faults).outcomes():
                    outcomes.append(outcome)
                    print(f"  {case}: {outcome}", flush=True)
        finally:
            disk.close()
    print(f"{len(outcomes)} cases")
    tiny_runs.tally([outcome.split(":")[0] for outcome in outcomes])
    if bad := [outcome for outcome in outcomes if outcome not in _GOOD]:
        raise SystemExit(f"{len(bad)} are not as they should be")


if __name__ == "__main__":
    app.run(main)
