"""The grid at work: runs side by side as processes of their own, each on its share of the machine.

What fails is recorded and the rest goes on; what is interrupted saves, and goes on when the grid does.
"""

import collections
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import asae_jax
from asae_jax.config import read_run_config
from asae_jax.experiments.grid import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    PlannedRun,
    Record,
    log_file,
    read_record,
    run_folder,
    scores_file,
    write_record,
)
from asae_jax.experiments.settings import command_of
from asae_jax.experiments.slots import Slot
from asae_jax.run.folder import METRICS_FILE
from asae_jax.terminal import Bar
from asae_jax.training.interruption import Interruption

_LOG_TAIL = 8192  # bytes in which the last line of a log is looked for
_METRICS_TAIL = 4096  # bytes at the end of metrics.jsonl that hold its last lines
_MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


class TrainProcess:
    """The command `train` of one run in a process of its own, its output in a log."""

    def __init__(self, run: PlannedRun, workdir: Path, slot: Slot, *, kept_open: tuple[int, ...] = ()):
        """Starts the process.

        Args:
          run: what to train.
          workdir: of the grid.
          slot: the cores or the accelerator it may use.
          kept_open: file descriptors that stay open in the process as long as it lives.
        """
        self._log = log_file(workdir, run.name)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._started = time.monotonic()
        self._memory = 0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command_of(run.config, run_folder(workdir, run.name)),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": _python_path(), "PYTHONUNBUFFERED": "1", **slot.environment},
                start_new_session=True,  # Ctrl-C reaches the grid, which asks its runs to save
                pass_fds=kept_open,
            )
        slot.pin(self._process.pid)

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        if self._process.returncode is None and hasattr(os, "wait4"):
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self._memory = usage.ru_maxrss * _MEMORY_UNIT
            return self._process.returncode
        return self._process.poll()

    def interrupt(self) -> None:
        """Asks it to save and end."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self._process.wait()

    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self._started

    def peak_memory(self) -> int:
        """Largest resident memory in bytes, known once it has ended; else 0."""
        return self._memory

    def error(self) -> str:
        """Why it ended with a status other than 0, in one line."""
        status = self._process.returncode
        if status is not None and status < 0:
            name = signal.Signals(-status).name
            remedy = " (out of memory?)" if -status == signal.SIGKILL else ""
            return f"ended by {name}{remedy}"
        return last_line(self._log).removeprefix("error: ") or f"exit status {status}"


def _python_path() -> str:
    """Where a process finds this package, from whatever folder the grid was started."""
    package = Path(str(asae_jax.__file__)).resolve().parent.parent
    return os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))


def last_line(path: Path) -> str:
    """The last line of a log that is not empty; of a progress bar its last state."""
    text = _tail(path, _LOG_TAIL).decode("utf-8", errors="replace")
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines()]
    return next((line for line in reversed(lines) if line), "")


def _tail(path: Path, size: int) -> bytes:
    """The last `size` bytes of a file."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(file.tell() - size, 0))
        return file.read()


class Progress:
    """A bar over all runs with the time left, in which epochs count as parts of a run; and a line per run."""

    def __init__(
        self,
        runs: Sequence[PlannedRun],
        num_finished: int,
        workdir: Path,
        *,
        title: str,
        refresh_seconds: float,
    ):
        """Shows the bar, with what earlier starts have done.

        Args:
          runs: all of the grid.
          num_finished: of them, before this start.
          workdir: of the grid.
          title: of the bar.
          refresh_seconds: shortest time between two states of the bar.
        """
        self._runs = {run.name: run for run in runs}
        self._workdir = workdir
        self._refresh_seconds = refresh_seconds
        self._done = float(num_finished)
        self._refreshed = time.monotonic()
        begun = sum(self._share(run.name) for run in runs if not scores_file(workdir, run.name).exists())
        self._shown = float(num_finished + begun)
        self._bar = Bar(title, len(runs), "run", done=self._shown, bursts=False)

    def tick(self, running: Collection[str]) -> None:
        """Moves the bar, unless it was moved just now; `running` are the names of the runs at work."""
        if time.monotonic() - self._refreshed < self._refresh_seconds:
            return
        self._refreshed = time.monotonic()
        done = max(self._shown, self._done + sum(self._share(name) for name in running))
        self._bar.update(done - self._shown, ", ".join(running))
        self._shown = done

    def ended(self, run: PlannedRun, record: Record) -> None:
        """Prints how a run ended."""
        self._done += 1
        minutes = f"{record.seconds / 60:.1f} min"
        if record.status == FINISHED:
            scores = json.loads(scores_file(self._workdir, run.name).read_text(encoding="utf-8"))
            line = f"test accuracy {scores['accuracy']:.3f}, macro-F1 {scores['macro_f1']:.3f}"
        else:
            log = log_file(self._workdir, run.name)
            line = f"{record.status}{': ' + record.error if record.error else ''} (see {log})"
        self._bar.say(f"{run.name}: {line}, {minutes}")

    def close(self) -> None:
        """Ends the bar."""
        self._bar.close()

    def _share(self, name: str) -> float:
        """How much of the run's training is done, 0 to 1."""
        folder, epochs = run_folder(self._workdir, name), self._runs[name].config.train.epochs
        done = _last_epoch(folder / METRICS_FILE)
        if done and not epochs:  # chosen by the run
            epochs = read_run_config(folder).train.epochs
        return min(done / epochs, 1.0) if done else 0.0


def _last_epoch(path: Path) -> float:
    """The epoch of the last whole line; 0 where there is none."""
    if not path.exists():
        return 0.0
    for line in reversed(_tail(path, _METRICS_TAIL).splitlines()):
        try:
            return float(json.loads(line)["epoch"])
        except (ValueError, KeyError):  # cut at the start of what was read, or being written
            continue
    return 0.0


def run_all(
    runs: Sequence[PlannedRun],
    slots: Sequence[Slot],
    workdir: Path,
    *,
    start: Callable[[PlannedRun, Slot], TrainProcess],
    stop: Interruption,
    progress: Progress,
    poll_seconds: float,
) -> None:
    """Does `runs` in their order and writes a record of each that ends.

    When `stop` is requested no run is started any more, and those at work are asked to save and end.

    Args:
      runs: those still to be done.
      slots: each takes one run at a time.
      workdir: of the grid.
      start: starts a run in a slot.
      stop: looked at between polls.
      progress: told which runs are at work, and how each ended.
      poll_seconds: between two looks at the processes.
    """
    waiting, free = collections.deque(runs), list(slots)
    running: dict[str, tuple[PlannedRun, Slot, TrainProcess]] = {}
    asked = False
    try:
        while running or (waiting and not stop.requested):
            while waiting and free and not stop.requested:
                run, slot = waiting.popleft(), free.pop(0)
                running[run.name] = run, slot, start(run, slot)
            if stop.requested and not asked:
                asked = True
                for _, _, process in running.values():
                    process.interrupt()
            for run, slot, process in list(running.values()):
                if (status := process.poll()) is None:
                    continue
                del running[run.name]
                free.append(slot)
                record = _record(workdir, run, process, status, asked, len(slots))
                write_record(workdir, run.name, record)
                progress.ended(run, record)
            progress.tick(running)
            time.sleep(poll_seconds)
    finally:
        for _, _, process in running.values():  # left by an error, or by a second Ctrl-C
            process.kill()


def _record(
    workdir: Path, run: PlannedRun, process: TrainProcess, status: int, asked: bool, jobs: int
) -> Record:
    before = read_record(workdir, run.name)
    if status == 0 and not scores_file(workdir, run.name).exists():
        outcome, error = FAILED, "it ended without scores of the test part"
    elif status == 0:
        outcome, error = FINISHED, ""
    else:
        outcome, error = (INTERRUPTED, "") if asked else (FAILED, process.error())
    return Record(
        status=outcome,
        seconds=process.seconds() + (before.seconds if before else 0.0),
        peak_memory=max(process.peak_memory(), before.peak_memory if before else 0),
        error=error,
        jobs=jobs,
    )
