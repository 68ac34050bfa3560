"""The label files of the challenge, which carry columns that mean nothing."""

from collections.abc import Iterator
from pathlib import Path

from asae_jax.input.csv_rows import read_rows


def read_labels(path: Path) -> Iterator[tuple[str, str]]:
    """(file name, code) of each row of a CSV with the columns `ID` and, where labels are public, `labels`.

    Other columns, such as pandas' stray `Unnamed: 2`, are ignored. The code is "" where there is none.

    Raises:
      UserError: as of `asae_jax.input.csv_rows.read_rows`: no column `ID`, not UTF-8.
    """
    _, rows = read_rows(path, required=("id",), optional=("labels",))
    for _, row in rows:
        if name := row["id"]:
            yield _with_extension(name), row.get("labels", "")


def _with_extension(name: str) -> str:
    return name if Path(name).suffix else f"{name}.jpg"
