"""The training cells of the most similar features, for the review page to show beside each cell."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from asae_jax.errors import UserError
from asae_jax.evaluation.training_cells import TrainingCells, read_training_cells
from asae_jax.evaluation.uncertainty_files import usable_file
from asae_jax.inference.classifiers import nearest_rows
from asae_jax.inference.records import Record
from asae_jax.run.run import Run


@dataclasses.dataclass(frozen=True, eq=False)
class Similar:
    """Training cells, and which of them each record is like.

    Attributes:
      labels: of each training cell that is named, a position in the run's class names.
      pictures: JPEG of each of them.
      of: of each record (cell, cosine of the angle between the features -1..1), nearest first.
    """

    labels: Sequence[int]
    pictures: Sequence[bytes]
    of: Sequence[Sequence[tuple[int, float]]]


def kept_cells(run: Run) -> TrainingCells | None:
    """The training cells kept with the estimates of the run's checkpoint and way of testing.

    None where there are none.

    Raises:
      UserError: files that cannot be read.
    """
    estimates = usable_file(run)
    cells = None if estimates is None else read_training_cells(estimates)
    if cells is not None and not ((cells.labels >= 0) & (cells.labels < run.num_classes)).all():
        raise UserError(f"the training cells kept beside {estimates} are of other classes: delete them.")
    return cells


def find_similar(cells: TrainingCells, records: Sequence[Record], count: int) -> Similar:
    """The `count` training cells nearest by angle to each of `records`; one without features has none."""
    known = {n: record.features for n, record in enumerate(records) if record.features is not None}
    if not known:
        return Similar((), (), [()] * len(records))
    queries = np.stack(list(known.values()))
    rows, cosines = nearest_rows(cells.features, queries, count)
    used, numbers = np.unique(rows, return_inverse=True)
    near = np.asarray(numbers).reshape(rows.shape)
    of: list[Sequence[tuple[int, float]]] = [()] * len(records)
    for row, place in enumerate(known):
        of[place] = list(zip(near[row].tolist(), cosines[row].tolist(), strict=True))
    return Similar(cells.labels[used].tolist(), [cells.pictures[row] for row in used], of)
