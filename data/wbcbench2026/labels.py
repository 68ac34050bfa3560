"""The label files of the challenge, which carry columns that mean nothing."""

import csv
from collections.abc import Iterator
from pathlib import Path

from asae_jax.errors import UserError


def read_labels(path: Path) -> Iterator[tuple[str, str]]:
    """(file name, code) of each row of a CSV with the columns `ID` and, where labels are public, `labels`.

    Other columns, such as pandas' stray `Unnamed: 2`, are ignored. The code is "" where there is none.

    Raises:
      UserError: no column `ID`.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if "ID" not in (reader.fieldnames or ()):
            raise UserError(f"{path} has no column ID: use the file as the challenge gives it")
        for row in reader:
            name = (row["ID"] or "").strip()
            if name:
                yield _with_extension(name), (row.get("labels") or "").strip()


def _with_extension(name: str) -> str:
    return name if Path(name).suffix else f"{name}.jpg"
