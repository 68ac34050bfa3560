"""What `predict` writes for other programs: GeoJSON of cells on their slides, tasks of Label Studio."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from asae_jax.inference.predict.inputs import Item
from asae_jax.inference.predict.records import Record
from asae_jax.inference.slide.geojson import SlideFiles, feature
from asae_jax.inference.slide.label_studio import Guess, Storage, cell_task, write_tasks


class Slides:
    """The cells that have a position, as GeoJSON; keeps their text only."""

    def __init__(self, stem: Path, items: Sequence[Item], colours: Mapping[str, str], source: str):
        """Writes nothing yet.

        Args:
          stem: folder and beginning of the names.
          items: the input.
          colours: of each class of the run, in its order, "#rrggbb".
          source: what tells the input from others.

        Raises:
          UserError: a file is in the way that was made from another input.
        """
        self._colours = colours
        self._names = list(colours)
        self._files = SlideFiles(stem, (item.position.slide for item in items if item.position), source)

    def add(self, record: Record) -> None:
        """Keeps the cell if it has a position."""
        if record.position is None:
            return
        notes = {"path": record.path} | ({"error": record.error} if record.error else {})
        label = "" if record.label is None else self._names[record.label]
        self._files.add(
            record.position.slide,
            feature(
                record.position,
                label,
                self._colours.get(label, ""),
                name=record.path,
                numbers=_numbers(record, self._names),
                notes=notes,
            ),
        )

    def write(self) -> list[Path]:
        """Writes a file for each slide; none without positions.

        Raises:
          OSError: a file cannot be written.
        """
        return self._files.write()


def _numbers(record: Record, names: Sequence[str]) -> dict[str, float]:
    """The measurements of a cell, called as the columns of the predictions; yes is 1 and no is 0."""
    if record.probabilities is None:
        return {}
    values = {"probability": float(record.probabilities.max())}
    values |= {f"p_{name}": float(p) for name, p in zip(names, record.probabilities, strict=True)}
    if record.uncertainty is not None:
        values["for_person"] = float(record.left_to_person)
        if record.uncertainty.ood_score is not None:
            values["ood_score"] = record.uncertainty.ood_score
    return {name: round(float(value), 6) for name, value in values.items()}


class Tasks:
    """Every readable image as a task of Label Studio that begins with the predicted class."""

    def __init__(self, root: str, items: Sequence[Item], colours: Mapping[str, str], model: str):
        """Writes nothing yet.

        Args:
          root: the folder that Label Studio serves files from.
          items: the input.
          colours: of each class of the run, in its order, "#rrggbb".
          model: what predicts, as the tasks name it.

        Raises:
          UserError: no such folder, or an image that is not below it.
        """
        self._storage, self._colours, self._model = Storage(root), colours, model
        self._names = list(colours)
        for item in items:
            if item.file:
                self._storage.address(item.file)
        self._cells: list[tuple[Guess, str, dict[str, str]]] = []

    def add(self, record: Record) -> None:
        """Keeps the image if it could be read."""
        if record.label is None or record.probability is None:
            return
        about = {"path": record.path} | ({"group": record.group} if record.group else {})
        guess = Guess(self._names[record.label], round(record.probability, 6))
        self._cells.append((guess, self._storage.address(record.file), about))

    def write(self, stem: Path, order: Sequence[int]) -> None:
        """Writes tasks and configuration beside other files that begin with `stem`.

        Args:
          stem: folder and beginning of the names.
          order: numbers of the classes as they are to be shown.

        Raises:
          OSError: a file cannot be written.
        """
        colours = {self._names[number]: self._colours[self._names[number]] for number in order}
        write_tasks(stem, self._tasks(), colours, rectangles=False)

    def _tasks(self) -> Iterator[dict]:
        for guess, address, about in self._cells:
            yield cell_task(address, guess, model=self._model, about=about)
