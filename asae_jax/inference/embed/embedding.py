"""Features of images with what is known of each, in the order of the input, and the files that hold them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asae_jax.csv_cells import CsvWriter
from asae_jax.files import atomic_binary, atomic_text
from asae_jax.inference.records import Record

_COLUMNS = ("path", "label", "group", "predicted", "probability", "outlier_score", "x", "y", "error")


@dataclasses.dataclass(frozen=True, eq=False)
class Embedding:
    """Row i is image i of the input; an image that cannot be used has an error, NaN and empty texts.

    Attributes:
      features: float32 `[N, channels]`, the last stage's averaged over its map.
      paths: str `[N]`, as the input names each image.
      labels: str `[N]`, the true class where it is known, else empty.
      groups: str `[N]`, slide, patient or folder where known, else empty.
      predicted: str `[N]`, the run's most probable class.
      probability: float32 `[N]`, of `predicted`, calibrated where the run is.
      outlier_score: float32 `[N]`, higher farther from the training images; NaN where the run has none.
      errors: str `[N]`, why there are no features; empty where there are.
    """

    features: np.ndarray
    paths: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    predicted: np.ndarray
    probability: np.ndarray
    outlier_score: np.ndarray
    errors: np.ndarray

    @property
    def usable(self) -> np.ndarray:
        """bool `[N]`: the rows with features."""
        return self.errors == ""


def gather(
    records: Sequence[Record],
    labels: Sequence[str],
    groups: Sequence[str],
    class_names: Sequence[str],
) -> Embedding:
    """Records, each with its features unless it has an error, as arrays.

    Args:
      records: in the order of the input, at least one of them with features.
      labels: of each; empty where not known.
      groups: of each; empty where not known.
      class_names: of the run.
    """
    nothing = np.full_like(next(r.features for r in records if r.features is not None), np.nan)
    features = [nothing if record.features is None else record.features for record in records]
    estimates = [record.uncertainty for record in records]
    scores = [None if estimate is None else estimate.outlier_score for estimate in estimates]
    return Embedding(
        features=np.stack(features).astype(np.float32),
        paths=np.array([record.path for record in records]),
        labels=np.array(labels),
        groups=np.array(groups),
        predicted=np.array(["" if record.label is None else class_names[record.label] for record in records]),
        probability=np.array([_number(record.probability) for record in records], np.float32),
        outlier_score=np.array([_number(score) for score in scores], np.float32),
        errors=np.array([record.error for record in records]),
    )


def spread_places(embedding: Embedding, places: np.ndarray) -> np.ndarray:
    """Places `[n, 2]` of the usable rows as float32 `[N, 2]` of all rows, NaN for the others."""
    spread = np.full((len(embedding.paths), 2), np.nan, np.float32)
    spread[embedding.usable] = places
    return spread


def write_npz(path: Path, embedding: Embedding, places: np.ndarray, class_names: Sequence[str]) -> None:
    """Writes the arrays of the embedding, `map` and `class_names`, for `numpy.load(path)`.

    Args:
      path: of the `.npz` file.
      embedding: of N images.
      places: float `[N, 2]`, where each image lies on the map.
      class_names: in the order of the probabilities.
    """
    with atomic_binary(path) as file:
        np.savez(
            file,
            **{field.name: getattr(embedding, field.name) for field in dataclasses.fields(embedding)},
            map=places,
            class_names=np.array(class_names),
        )


def write_csv(path: Path, embedding: Embedding, places: np.ndarray) -> None:
    """Writes a row for each image: `_COLUMNS`, then the features f0, f1, ...; numbers that are NaN are empty.

    Args:
      path: of the file.
      embedding: what to write.
      places: float32 `[N, 2]` on the map.
    """
    with atomic_text(path) as file:
        writer = CsvWriter(file)
        writer.writerow([*_COLUMNS, *(f"f{channel}" for channel in range(embedding.features.shape[1]))])
        texts = embedding.paths, embedding.labels, embedding.groups, embedding.predicted
        for row in range(len(embedding.paths)):
            numbers = (embedding.probability[row], embedding.outlier_score[row], *places[row])
            writer.writerow(
                [
                    *(column[row] for column in texts),
                    *map(_text, numbers),
                    embedding.errors[row],
                    *map(_text, embedding.features[row].tolist()),
                ]
            )


def _text(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.7g}"


def _number(value: float | None) -> float:
    return np.nan if value is None else value
