"""What `predict` writes for other programs: GeoJSON of cells on their slides, tasks of Label Studio."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from asae_jax.inference.geojson import SlideFiles, feature
from asae_jax.inference.inputs import Item, group_column_of
from asae_jax.inference.label_studio import Guess, Storage, cell_task, write_tasks
from asae_jax.inference.records import Record
from asae_jax.input.cell_classes import CellClass, shown_colours


class Interchange:
    """The cells that have a position as GeoJSON, and all of them as tasks where those are asked for."""

    def __init__(
        self,
        stem: Path,
        items: Sequence[Item],
        classes: Sequence[CellClass],
        *,
        source: str,
        storage: str,
        former: str = "",
    ):
        """Writes nothing yet.

        Args:
          stem: folder and beginning of the names.
          items: the input.
          classes: of the run, in its order.
          source: what tells the input from others.
          former: what it was called when it lay elsewhere; empty: the same.
          storage: the folder that Label Studio serves files from; empty for no tasks.

        Raises:
          UserError: a file is in the way that was made from another input; no such folder, or an image that
            is not below it.
        """
        self._stem = stem
        self._names = [one.code for one in classes]
        self._colours = shown_colours(classes)
        slides = (item.position.slide for item in items if item.position)
        self._files = SlideFiles(stem, slides, source, former)
        self._storage = Storage(storage) if storage else None
        self._group = group_column_of(items)
        self._tasks: list[tuple[Guess, str, dict[str, str]]] = []
        for item in items:
            if self._storage and item.file:
                self._storage.address(item.file)

    def add(self, record: Record) -> None:
        """Keeps the text of what is to be written of a record."""
        label = "" if record.label is None else self._names[record.label]
        if record.position is not None:
            numbers = _numbers(record, self._names)
            notes = {"path": record.path} | ({"error": record.error} if record.error else {})
            colour = self._colours.get(label, "")
            one = feature(record.position, label, colour, name=record.path, numbers=numbers, notes=notes)
            self._files.add(record.position.slide, one)
        if self._storage and record.probability is not None:
            about = {"path": record.path} | ({self._group: record.group} if record.group else {})
            guess = Guess(label, round(record.probability, 6))
            self._tasks.append((guess, self._storage.address(record.file), about))

    def write(self, network: str) -> list[Path]:
        """Writes a file for each slide, tasks and their configuration; the files of slides.

        Args:
          network: identifier of what predicted.

        Raises:
          OSError: a file cannot be written.
        """
        if self._storage:
            write_tasks(self._stem, self._all_tasks(f"asae {network[:12]}"), self._colours, rectangles=False)
        return self._files.write()

    def _all_tasks(self, model: str) -> Iterator[Mapping]:
        for guess, address, about in self._tasks:
            yield cell_task(address, guess, model=model, about=about)


def _numbers(record: Record, names: Sequence[str]) -> dict[str, float]:
    """The measurements of a cell, called as the columns of the predictions; yes is 1 and no is 0."""
    if record.probabilities is None:
        return {}
    values = {"probability": float(record.probabilities.max())}
    values |= {f"p_{name}": float(p) for name, p in zip(names, record.probabilities, strict=True)}
    if record.uncertainty is not None:
        values["for_person"] = float(record.left_to_person)
        if record.uncertainty.outlier_score is not None:
            values["outlier_score"] = record.uncertainty.outlier_score
    return {name: round(float(value), 6) for name, value in values.items()}
