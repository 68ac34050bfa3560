"""The predictions of an evaluation as a CSV file: one row an image, written and read again."""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asae_jax.csv_cells import CsvWriter, csv_records
from asae_jax.errors import UserError
from asae_jax.files import disk_errors, open_text, sha256, write_bytes

PREDICTIONS_SHA256 = "predictions_sha256"
"""The entry of an evaluation's scores by which its predictions are known to belong to them."""

_REMEDY = "evaluate the run again"
_BREAKS_TIES = 1e-9  # far below the six decimals that are kept, and seen in logarithms too


class Predictions(NamedTuple):
    """What a network says of N labelled images.

    Attributes:
      names: str `[N]`, as in the data-set index.
      labels: int64 `[N]`.
      probabilities: float64 `[N, classes]`, as trained: not calibrated.
    """

    names: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """int64 `[N]`, the most probable class."""
        return self.probabilities.argmax(1)


def write_predictions(
    path: Path, names: Sequence[str], labels: np.ndarray, log_probs: np.ndarray, class_names: Sequence[str]
) -> str:
    """Writes `path,true,label,probability` and a column `p_<class>` for each class; returns its SHA-256.

    Args:
      path: of the file.
      names: of the images, `[N]`.
      labels: int `[N]`.
      log_probs: `[N, classes]`.
      class_names: in the order of the columns.
    """
    with io.StringIO(newline="") as file:
        writer = CsvWriter(file)
        writer.writerow(["path", "true", "label", "probability", *(f"p_{name}" for name in class_names)])
        for name, label, row in zip(names, labels, log_probs, strict=True):
            p, best = np.exp(row), int(row.argmax())  # rounding may make the two largest of `p` equal
            writer.writerow(
                [name, class_names[label], class_names[best], f"{p[best]:.6f}"]
                + [f"{value:.6f}" for value in p]
            )
        data = file.getvalue().encode(errors="surrogateescape")
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def predictions_file(file: Path) -> Path:
    """`<name>_predictions.csv` beside a file of scores, `<name>.json`."""
    return file.with_name(f"{file.stem}_predictions.csv")


def predictions_of(file: Path, scores: Mapping[str, Any]) -> Predictions:
    """The predictions that lie beside a file of scores.

    Args:
      file: see `predictions_file`.
      scores: its content.

    Raises:
      UserError: they are not those that the scores were computed from, or as `read_predictions`.
    """
    path = predictions_file(file)
    recorded = scores.get(PREDICTIONS_SHA256)
    with disk_errors(f"read {path}", remedy=_REMEDY):
        if recorded is not None and sha256(path) != recorded:
            raise UserError(f"{path} does not belong to the scores beside it, or has changed: {_REMEDY}.")
    return read_predictions(path, scores["class_names"])


def read_predictions(path: Path, class_names: Sequence[str]) -> Predictions:
    """What `write_predictions` wrote, probabilities to six decimals.

    Where several are the highest when rounded, that of the class in the column `label` is a trifle higher:
    the predicted class is the one that was scored.

    Raises:
      UserError: the file is missing, cannot be read, or is of other classes.
    """
    numbers = {name: number for number, name in enumerate(class_names)}
    try:
        with open_text(path, "r") as file:
            header, *rows = list(csv_records(file)) or [[]]
            names = np.array([row[0] for row in rows], dtype=np.str_)
            labels = np.array([numbers[row[1]] for row in rows], np.int64)
            predicted = np.array([numbers[row[2]] for row in rows], np.int64)
            values = np.array([row[4:] for row in rows], np.float64).reshape(len(rows), len(class_names))
            _break_ties(values, predicted)
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror or error}): {_REMEDY}.") from error
    except (ValueError, KeyError, IndexError, csv.Error) as error:
        raise UserError(f"{path} is damaged or of other classes: {_REMEDY}.") from error
    if header[4:] != [f"p_{name}" for name in class_names]:
        raise UserError(f"{path} is damaged or of other classes: {_REMEDY}.")
    return Predictions(names, labels, values)


def _break_ties(probabilities: np.ndarray, predicted: np.ndarray) -> None:
    """Makes `predicted` `[N]` the most probable classes of rounded `probabilities` `[N, classes]`.

    Raises:
      ValueError: another class is more probable, not by rounding.
    """
    rows = np.flatnonzero(probabilities.argmax(1) != predicted) if len(predicted) else np.zeros(0, int)
    if (probabilities[rows, predicted[rows]] < probabilities[rows].max(1, initial=0)).any():
        raise ValueError("the column label is not the most probable class")
    probabilities[rows, predicted[rows]] += _BREAKS_TIES
