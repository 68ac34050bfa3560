"""The metrics that training has written to a run folder, read again."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asae_jax.errors import UserError
from asae_jax.files import read_bounded
from asae_jax.run.folder import METRICS_FILE


def read_metrics(workdir: Path, kind: str) -> list[dict[str, Any]]:
    """The records of `kind` ("train", "validation"), in the order they were written; empty without any."""
    return [record for _, record in records(workdir / METRICS_FILE) if record["kind"] == kind]


def records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Line and content of each record of a file, which need not exist.

    Lines that a crash or a fault of the disk has damaged are left out.
    """
    if not path.exists():
        return
    try:
        text = read_bounded(path).decode("utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror or error}): move it away.") from error
    for line in text.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(line)
            if isinstance(record, dict) and isinstance(record.get("step"), int) and "kind" in record:
                yield line, record
