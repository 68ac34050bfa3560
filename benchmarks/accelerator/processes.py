"""The two processes that measure, each started when it is first asked, and again after it has ended."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.accelerator.worker import OTHER

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    # Both processes share the memory, and each takes what it needs.
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95",
    "TF_CPP_MIN_LOG_LEVEL": "1",
    "JAX_ENABLE_COMPILATION_CACHE": "0",  # compilation is timed
}


class Failed(Exception):
    """A request that came to nothing: a line that says why, and its `kind` (`worker.MEMORY`, ...)."""

    def __init__(self, reason: str, kind: str = OTHER):
        super().__init__(reason)
        self.kind = kind


class Process:
    """One of the two.

    Args:
      command: what is started.
      log: file that takes what it says; an older one is emptied.
    """

    def __init__(self, command: Sequence[str], log: Path):
        self._command, self._log = list(command), log
        self._running: subprocess.Popen[bytes] | None = None
        self._heard = b""
        log.write_bytes(b"")

    @property
    def is_running(self) -> bool:
        """Whether it has been started and not ended since."""
        return self._running is not None

    def ask(self, seconds: float, request: dict[str, Any]) -> Any:
        """The answer to a request.

        Raises:
          Failed: the request failed, the process ended, or `seconds` were over and it was ended.
        """
        process = self._running = self._running or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = self._line(process, time.monotonic() + seconds)
        except (TimeoutError, OSError, EOFError) as error:
            took_too_long = isinstance(error, TimeoutError)
            self.stop()
            status = f"the process ended (status {process.returncode}), see {self._log.name}"
            raise Failed(f"no answer within {seconds:.0f} s" if took_too_long else status) from None
        reply = json.loads(line)
        if "error" in reply:
            raise Failed(reply["error"], reply["kind"])
        return reply["ok"]

    def stop(self) -> None:
        """Ends the process; nothing where it does not run."""
        if self._running is not None:
            self._running.kill()
            self._running.communicate()
        self._running, self._heard = None, b""

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": "0"} | dict(os.environ),
            )

    def _line(self, process: "subprocess.Popen[bytes]", until: float) -> bytes:
        assert process.stdout is not None
        while b"\n" not in self._heard:
            if not select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError
            heard = os.read(process.stdout.fileno(), 2**16)
            if not heard:
                raise EOFError
            self._heard += heard
        line, _, self._heard = self._heard.partition(b"\n")
        return line


def command(side: str, shallow: bool) -> list[str]:
    """What starts the process of a side, `plan.OURS` or `plan.TWIN`."""
    return [sys.executable, "-m", "benchmarks.accelerator.worker", side, *["--shallow"] * shallow]
