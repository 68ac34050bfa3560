"""Writes a run's metrics as they come: `metrics.jsonl` always, TensorBoard where it is installed.

Which numbers a line holds is decided by `progress.Meter` (training) and `loop` (validation).
"""

import contextlib
import importlib.util
import io
import itertools
import json
import os
import socket
import sys
import time
import types
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from asae_jax.files import disk_errors, write_text
from asae_jax.run import hosts
from asae_jax.run.folder import METRICS_FILE
from asae_jax.run.metrics_file import records


class MetricsLog:
    """Appends one JSON object per call to `workdir/metrics.jsonl`, and scalars to TensorBoard events.

    On resume, lines of steps that will be run again (`step > start_step`) are dropped first, so that
    the file reads like that of an uninterrupted run. Of several hosts the first alone writes.
    """

    def __init__(self, workdir: Path, *, start_step: int = 0):
        is_first = hosts.is_first()
        self._path = workdir / METRICS_FILE if is_first else Path(os.devnull)
        with self._writing():
            if is_first and self._path.exists():
                _keep_until(self._path, start_step)
            # Without a buffer: what could not be written is not tried again when the file is closed.
            self._file = self._path.open("ab", buffering=0)
        self._events: _Events | None = None
        if is_first and _tensorboard_is_installed():
            with self._only_warned():
                self._events = _Events(workdir / "tensorboard", start_step)

    def write(self, kind: str, step: int, scalars: Mapping[str, float]) -> None:
        """Records `scalars` of `kind` ("train", "validation") after `step` steps.

        Raises:
          UserError: `metrics.jsonl` cannot be written. Events for TensorBoard that cannot are a warning.
        """
        line = json.dumps({"kind": kind, "step": step, **scalars}) + "\n"
        with self._writing():
            _write_all(self._file, line.encode())
        if self._events:
            with self._only_warned():
                self._events.write({f"{kind}/{name}": value for name, value in scalars.items()}, step)

    def close(self) -> None:
        """Closes both outputs."""
        self._file.close()
        if self._events:
            self._events.close()

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        remedy = "free some space, then start the same command again: it goes on from the last checkpoint"
        return disk_errors(f"write {self._path}", remedy=remedy)

    @contextlib.contextmanager
    def _only_warned(self) -> Iterator[None]:
        """TensorBoard shows what `metrics.jsonl` has as well: a run goes on without it."""
        try:
            yield
        except OSError as error:
            if self._events:
                self._events.close()
            self._events = None
            warnings.warn(
                f"TensorBoard's events are not written any more ({error.strerror or error}); {self._path} "
                "has the same numbers",
                stacklevel=4,
            )


def _write_all(file: io.FileIO, data: bytes) -> None:
    """A disk that is nearly full takes a part."""
    while data:
        data = data[file.write(data) :]


class _Events:
    """TensorBoard event files through the `tensorboard` package alone: TensorFlow is not loaded.

    Its own writer has a thread, which tells of a full disk with a traceback.
    """

    def __init__(self, folder: Path, start_step: int):
        # The name by which TensorBoard is told to do without TensorFlow, which takes seconds to load.
        sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = event_pb2, summary_pb2
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        name = f"events.out.tfevents.{now:010.0f}.{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}"
        self._file = (folder / name).open("wb", buffering=0)
        self._packed = RecordWriter
        self._add(event_pb2.Event(wall_time=now, file_version="brain.Event:2"))
        # Tells TensorBoard to forget what a crashed run wrote after the step we start from.
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._add(event_pb2.Event(step=start_step + 1, wall_time=now, session_log=start))

    def write(self, scalars: Mapping[str, float], step: int) -> None:
        values = [self._summary.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        summary = self._summary.Summary(value=values)
        self._add(self._event.Event(step=step, wall_time=time.time(), summary=summary))

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what a network drive says of earlier writes
            self._file.close()

    def _add(self, event: Any) -> None:
        with io.BytesIO() as record:
            self._packed(record).write(event.SerializeToString())
            try:
                _write_all(self._file, record.getvalue())
            except OSError:
                self.close()
                raise


_NUMBERS = itertools.count()
"""Two logs of one process in one second are two files."""


def _tensorboard_is_installed() -> bool:
    return importlib.util.find_spec("tensorboard") is not None


def _keep_until(path: Path, step: int) -> None:
    write_text(path, "".join(line + "\n" for line, record in records(path) if record["step"] <= step))
