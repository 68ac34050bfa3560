"""Two rounds of training on the demonstration set, for docs/second_round.md.

    python -m data.demo.two_rounds begin FOLDER
    python -m data.demo.two_rounds label FOLDER PREDICTIONS.csv

`begin` writes FOLDER/first.csv, the demonstration set with `KEPT` training images of each class, and
FOLDER/new_cells.csv, the other training images without their labels. `label` stands for a person at the
review page: it writes FOLDER/labels.csv as the page saves it, with the true labels of the cells that the
network leaves to a person. The others are as nobody has looked at them.
"""

import csv
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from asae_jax import shipped
from asae_jax.errors import UserError
from asae_jax.files import atomic_text, disk_errors, open_text
from asae_jax.input.content import image_content
from asae_jax.input.csv_rows import fault, read_rows
from asae_jax.input.decode import read_image

KEPT = 20
"""Training images of each class in the first round."""
_REVIEWED = "2026-01-15T10:00:00Z"


def begin(folder: Path) -> tuple[int, int]:
    """Writes the list of the first round and that of the new cells; returns the number of images of each."""
    rows = _rows(shipped.demo_cells())
    place = {row["path"]: number for label in _labels(rows) for number, row in enumerate(_of(rows, label))}
    first = [row for row in rows if row["split"] != "train" or place[row["path"]] < KEPT]
    later = [row for row in rows if row not in first]
    _write(folder / "first.csv", [{**row, "path": _path(row)} for row in first])
    _write(folder / "new_cells.csv", [{"path": _path(row)} for row in later])
    return len(first), len(later)


def label(folder: Path, predictions: Path) -> tuple[int, int]:
    """Writes the labels; returns the numbers of cells that were looked at and of all.

    Raises:
      UserError: predictions that cannot be read, or that are not those of the new cells.
    """
    truth = {_path(row): row["label"] for row in _rows(shipped.demo_cells())}
    rows = [
        {
            "path": path,
            "label": truth[path] if row["for_person"] == "yes" else row["label"],
            "predicted": row["label"],
            "seen": row["for_person"],
            "content": image_content(read_image(path)),
            "reviewer": "demo" if row["for_person"] == "yes" else "",
            "reviewed": _REVIEWED if row["for_person"] == "yes" else "",
        }
        for path, row in _predicted(folder, predictions, truth)
    ]
    _write(folder / "labels.csv", rows)
    return sum(row["seen"] == "yes" for row in rows), len(rows)


def _predicted(
    folder: Path, predictions: Path, truth: Mapping[str, str]
) -> list[tuple[str, Mapping[str, str]]]:
    """The absolute path of each new cell, and the row that `predict` wrote of it."""
    _, rows = read_rows(predictions, required=("path", "label", "for_person"))
    found = []
    for line, row in rows:
        path = os.path.abspath(folder / row["path"])
        if path not in truth:
            what = f"{row['path']} is no cell of the demonstration set"
            raise fault(predictions, line, what, "give the predictions of new_cells.csv")
        found.append((path, row))
    if not found:
        raise UserError(f"{predictions} holds no predictions: give those of new_cells.csv")
    return found


def _rows(file: Path) -> list[dict[str, str]]:
    with open_text(file, "r") as opened:
        return list(csv.DictReader(opened))


def _labels(rows: Sequence[Mapping[str, str]]) -> list[str]:
    return sorted({row["label"] for row in rows})


def _of(rows: Sequence[Mapping[str, str]], label: str) -> list[Mapping[str, str]]:
    """The training images of a class."""
    return [row for row in rows if row["label"] == label and row["split"] == "train"]


def _path(row: Mapping[str, str]) -> str:
    return os.path.abspath(shipped.demo_cells().parent / row["path"])


def _write(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    with disk_errors(f"write {path}", remedy="choose another FOLDER"), atomic_text(path) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def main(arguments: Sequence[str]) -> int:
    """Runs the command line and returns the exit status."""
    try:
        match list(arguments):
            case ["begin", folder]:
                print("{} images for the first round, {} new cells".format(*begin(Path(folder))))
            case ["label", folder, predictions]:
                print("{} of {} cells looked at".format(*label(Path(folder), Path(predictions))))
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
