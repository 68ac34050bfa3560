"""From a list of images to one record for each, in its order."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from asae_jax.inference.alignment import grid_of
from asae_jax.inference.predict import views
from asae_jax.inference.predict.inputs import Item
from asae_jax.inference.predict.reading import read_batches
from asae_jax.inference.predict.records import Record
from asae_jax.inference.predict.scoring import ScoredBatch, Scorer
from asae_jax.inference.predict.trusting import Judge
from asae_jax.inference.trained import Trained
from asae_jax.training import parallel
from asae_jax.trust import Trust


@dataclasses.dataclass(frozen=True)
class Options:
    """How images are predicted.

    Attributes:
      batch_size: images of one step over all devices, if there are as many.
      tta: average over the eight flips and quarter turns of each image.
      pictures: keep thumbnail and attention of each image, for a page.
      workers: decoding threads; None: one per processor.
    """

    batch_size: int
    tta: bool = False
    pictures: bool = False
    workers: int | None = None


class Predictor:
    """One or several trained runs, made ready for any number of images."""

    def __init__(self, runs: Sequence[Trained], trusts: Sequence[Trust | None], options: Options):
        """Takes the runs, what is known about when to trust each, or None, and the options.

        Runs must have the same classes; each gets the images in its own preparation.
        """
        num_views = views.NUM_VIEWS if options.tta else 1
        self._preparations = [run.preparation for run in runs]
        self._score = Scorer(runs, num_views=num_views)
        self._options = options
        self._backbone, self._size = runs[0].network.backbone, runs[0].config.augment.size
        self.judge = Judge(trusts, num_views=num_views)

    def __call__(self, items: Sequence[Item]) -> Iterator[Record]:
        """One record for each item, in order; a bad image has its error and stops nothing."""
        size = parallel.round_up_to_devices(min(self._options.batch_size, len(items)))
        batches = read_batches(
            items,
            self._preparations,
            size,
            thumbnails=self._options.pictures,
            workers=self._options.workers,
        )
        for scored in self._score(batches):
            yield from self._records(scored)

    def _records(self, scored: ScoredBatch) -> Iterator[Record]:
        read, probabilities = scored.read, self.judge.probabilities(scored)
        finite = np.isfinite(probabilities).all(1)
        trusted = self.judge.trusted(scored, probabilities)
        for row, item in enumerate(read.items):
            error = read.errors[row] or ("" if finite[row] else _NOT_FINITE)
            if error:
                yield Record(item.path, item.file, item.group, error)
                continue
            yield Record(
                item.path,
                item.file,
                item.group,
                probabilities=probabilities[row].astype(np.float32),
                trusted=trusted[row],
                attention=self._picture(scored.attention[row]) if self._options.pictures else None,
                thumbnail=read.thumbnails[row],
            )

    def _picture(self, attention: np.ndarray) -> np.ndarray:
        """The map in cells that are tiles of the image, as a page draws them, twice as many along a side."""
        grid = grid_of(self._backbone, len(attention), self._size)
        return _as_bytes(grid.on_image(attention, 2 * len(attention), smooth=True))


_NOT_FINITE = "the network's scores are not finite"


def _as_bytes(attention: np.ndarray) -> np.ndarray:
    """uint8 of the same shape, 0 at the lowest cell and 255 at the highest; 0 where all are equal."""
    low, high = float(attention.min()), float(attention.max())
    return np.round((attention - low) * (255 / max(high - low, 1e-30))).astype(np.uint8)
