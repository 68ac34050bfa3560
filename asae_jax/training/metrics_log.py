"""Writes a run's metrics as they come: `metrics.jsonl` always, TensorBoard where it is installed.

Which numbers a line holds is decided by `progress.Meter` (training) and `loop` (validation).
"""

import importlib.util
import json
import os
import sys
import time
import types
from collections.abc import Mapping
from pathlib import Path

from asae_jax.files import write_text
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
        path = workdir / METRICS_FILE if is_first else Path(os.devnull)
        if is_first and path.exists():
            _keep_until(path, start_step)
        self._file = path.open("a", encoding="utf-8")
        has_events = is_first and _tensorboard_is_installed()
        self._events = _Events(workdir / "tensorboard", start_step) if has_events else None

    def write(self, kind: str, step: int, scalars: Mapping[str, float]) -> None:
        """Records `scalars` of `kind` ("train", "validation") after `step` steps."""
        self._file.write(json.dumps({"kind": kind, "step": step, **scalars}) + "\n")
        self._file.flush()
        if self._events:
            self._events.write({f"{kind}/{name}": value for name, value in scalars.items()}, step)

    def close(self) -> None:
        """Flushes and closes both outputs."""
        self._file.close()
        if self._events:
            self._events.close()


class _Events:
    """TensorBoard event files through the `tensorboard` package alone: TensorFlow is not loaded."""

    def __init__(self, folder: Path, start_step: int):
        # The name by which TensorBoard is told to do without TensorFlow, which takes seconds to load.
        sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = event_pb2, summary_pb2
        self._writer = EventFileWriter(str(folder))
        # Tells TensorBoard to forget what a crashed run wrote after the step we start from.
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._writer.add_event(event_pb2.Event(step=start_step + 1, wall_time=time.time(), session_log=start))

    def write(self, scalars: Mapping[str, float], step: int) -> None:
        values = [self._summary.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        summary = self._summary.Summary(value=values)
        self._writer.add_event(self._event.Event(step=step, wall_time=time.time(), summary=summary))

    def close(self) -> None:
        self._writer.close()


def _tensorboard_is_installed() -> bool:
    return importlib.util.find_spec("tensorboard") is not None


def _keep_until(path: Path, step: int) -> None:
    write_text(path, "".join(line + "\n" for line, record in records(path) if record["step"] <= step))
