"""Predictions as CSV or JSON lines, written as they come.

Columns, the first three and `p_<class>` being what other programs rely on: `path,label,probability`, one
`p_<class>` per class in the run's order, `error`; then `group` where the input has groups, and `abstain`,
`ood_score`, `ood` and `conformal_set` (classes separated by `|`) where the run has measures of trust.
"""

import contextlib
import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from asae_jax.errors import UserError
from asae_jax.inference.predict.records import Record

JSON_LINES = ".jsonl"


@contextlib.contextmanager
def open_output(
    path: Path, class_names: tuple[str, ...], *, groups: bool, trusted: bool
) -> Iterator[Callable[[Record], None]]:
    """A function that writes one record after another to `path`.

    They go to `<path>.part`, which takes the place of `path` at the end: what bears the name is complete.

    Args:
      path: CSV, or JSON lines where it ends with .jsonl; its folder is made if missing.
      class_names: of the run.
      groups: whether to write the group.
      trusted: whether to write how far to trust each prediction.

    Raises:
      UserError: it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A file name need not be UTF-8.
        with part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            columns = _columns(class_names, groups=groups, trusted=trusted)
            start = _json_lines if path.suffix.lower() == JSON_LINES else _csv
            write = start(file, columns)
            yield lambda record: write(_row(record, class_names))
        part.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}): choose another --output=FILE") from error


def _columns(class_names: tuple[str, ...], *, groups: bool, trusted: bool) -> list[str]:
    return [
        *("path", "label", "probability"),
        *(f"p_{name}" for name in class_names),
        "error",
        *(["group"] if groups else []),
        *(["abstain", "ood_score", "ood", "conformal_set"] if trusted else []),
    ]


def _row(record: Record, class_names: tuple[str, ...]) -> dict[str, Any]:
    """Column -> value; what is not there is None."""
    row: dict[str, Any] = {"path": record.path, "error": record.error or None, "group": record.group}
    if record.label is None or record.probabilities is None:
        return row
    row |= {"label": class_names[record.label], "probability": _rounded(record.probabilities.max())}
    row |= {f"p_{name}": _rounded(p) for name, p in zip(class_names, record.probabilities, strict=True)}
    if (trusted := record.trusted) is not None:
        row |= {"abstain": trusted.abstain, "ood": trusted.ood}
        row["ood_score"] = None if trusted.ood_score is None else _rounded(trusted.ood_score)
        if trusted.conformal_set is not None:
            row["conformal_set"] = [class_names[number] for number in trusted.conformal_set]
    return row


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _csv(file: IO[str], columns: list[str]) -> Callable[[dict[str, Any]], None]:
    writer = csv.writer(file)
    writer.writerow(columns)
    return lambda row: writer.writerow([_cell(row.get(column)) for column in columns])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6f}"
    return "|".join(value) if isinstance(value, list) else str(value)


def _json_lines(file: IO[str], columns: list[str]) -> Callable[[dict[str, Any]], None]:
    def write(row: dict[str, Any]) -> None:
        line = json.dumps({column: row.get(column) for column in columns}, ensure_ascii=False)
        file.write(line + "\n")

    return write
