"""One cell as a process of its own: a clean JAX, its own cores or accelerator, its output in a log."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

from asae_jax.experiments.grid import Cell
from asae_jax.experiments.places import Place
from asae_jax.experiments.records import log_file, run_folder
from asae_jax.experiments.settings import default_file, options

_LOG_TAIL = 8192  # bytes in which the last line of a log is looked for
_MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


class Running(Protocol):
    """A cell at work."""

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""

    def interrupt(self) -> None:
        """Asks it to save and end."""

    def kill(self) -> None:
        """Ends it at once."""

    def seconds(self) -> float:
        """Since it was started."""

    def peak_memory(self) -> int:
        """Largest resident memory in bytes, known once it has ended; else 0."""

    def error(self) -> str:
        """Why it ended with a status that is not 0, in one line."""


class TrainProcess:
    """`main.py train` of one cell.

    Args:
      cell: what to run.
      workdir: of the grid.
      place: the cores or the accelerator it may use.
      kept_open: file descriptors that stay open in the process as long as it lives.
    """

    def __init__(self, cell: Cell, workdir: Path, place: Place, *, kept_open: tuple[int, ...] = ()):
        self._log = log_file(workdir, cell.name)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._started = time.monotonic()
        self._memory = 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command_of(cell, run_folder(workdir, cell.name)),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **place.environment},
                start_new_session=True,  # Ctrl-C reaches the grid, which asks its cells to save
                pass_fds=kept_open,
            )
        place.pin(self._process.pid)

    def poll(self) -> int | None:
        """See `Running`."""
        if self._process.returncode is None and hasattr(os, "wait4"):
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self._memory = usage.ru_maxrss * _MEMORY_UNIT
            return self._process.returncode
        return self._process.poll()

    def interrupt(self) -> None:
        """See `Running`."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """See `Running`."""
        self._process.kill()
        self._process.wait()

    def seconds(self) -> float:
        """See `Running`."""
        return time.monotonic() - self._started

    def peak_memory(self) -> int:
        """See `Running`."""
        return self._memory

    def error(self) -> str:
        """See `Running`."""
        status = self._process.returncode
        if status is not None and status < 0:
            number = -status
            name = signal.Signals(number).name
            remedy = " (out of memory?)" if number == signal.SIGKILL else ""
            return f"ended by {name}{remedy}"
        return last_line(self._log).removeprefix("error: ") or f"exit status {status}"


def command_of(cell: Cell, folder: Path) -> list[str]:
    """The command line that trains `cell` in `folder`: what its user would type, with every setting."""
    default = default_file()
    main = default.parent.parent / "main.py"
    return [sys.executable, str(main), "train", f"--config={default}", f"--workdir={folder}",
            *options(cell.config)]  # fmt: skip


def last_line(path: Path) -> str:
    """The last line of a log that is not empty; of a progress bar its last state."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(file.tell() - _LOG_TAIL, 0))
        text = file.read().decode("utf-8", errors="replace")
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines()]
    return next((line for line in reversed(lines) if line), "")
