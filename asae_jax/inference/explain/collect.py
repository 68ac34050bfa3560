"""One pass over the images: explanations to show, averages per class, and the test of faithfulness."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from asae_jax.inference.explain.averages import Averages
from asae_jax.inference.explain.engine import Explainer, Seen
from asae_jax.inference.explain.examples import UNKNOWN, Batch, Examples
from asae_jax.inference.explain.explanation import Explanation
from asae_jax.inference.explain.faithfulness import Faithfulness
from asae_jax.training import parallel


class Collector:
    """What is found out about the images.

    Attributes:
      explanations: row -> of the images to show that could be read.
      averages: of all images that were looked at, by the true class, or the predicted one where unknown.
      faithfulness: of the images it was to be measured on.
      bad: (name, reason) of the images that could not be read.
    """

    def __init__(self, explainer: Explainer, examples: Examples, *, image_size: int, draws: int, seed: int):
        """Takes the network, the images, and of the test of faithfulness what `Faithfulness` takes.

        Args:
          explainer: the network.
          examples: the images.
          image_size: side of what the network sees, in pixels.
          draws: random places.
          seed: of these.
        """
        self._explainer, self._examples, self._image_size = explainer, examples, image_size
        self.explanations: dict[int, Explanation] = {}
        self.averages = Averages()
        self.faithfulness = Faithfulness(
            explainer.grids[explainer.stages[0]],
            explainer.grids[explainer.stages[-1]],
            draws=draws,
            seed=seed,
        )
        self.bad: list[tuple[str, str]] = []

    def __call__(self, show: np.ndarray, measure: np.ndarray, *, batch_size: int) -> None:
        """Looks at all images of `show` and `measure`, in batches of one size.

        Args:
          show: rows to explain.
          measure: rows to test faithfulness on; those of unknown class are not.
          batch_size: at most; rounded up to the devices.
        """
        others = np.setdiff1d(show, measure)
        size = parallel.round_up_to_devices(min(batch_size, max(len(measure), len(others))))
        with tqdm(total=len(measure) + len(others), desc="explaining", unit="image") as bar:
            for batch, measured in self._batches(measure, others, size):
                self._look(batch, set(show.tolist()), measured)
                bar.update(len(batch.rows))

    def _batches(self, measure: np.ndarray, others: np.ndarray, size: int) -> Iterator[tuple[Batch, bool]]:
        for rows, measured in ((measure, True), (others, False)):
            if len(rows):
                yield from ((batch, measured) for batch in self._examples.batches(rows, size))

    def _look(self, batch: Batch, show: set[int], measured: bool) -> None:
        good = np.array([not error for error in batch.errors])
        names = self._examples.names
        self.bad += [(names[r], e) for r, e in zip(batch.rows, batch.errors, strict=True) if e]
        rows, labels = self._padded(batch, good)
        seen = self._explainer.see(batch.images, labels)
        for place in np.flatnonzero(good):
            self._keep(batch, int(place), labels[place], seen, show)
        if measured and (labels != UNKNOWN).any():
            self.faithfulness.add(
                self._explainer.hide,
                batch.images,
                rows,
                labels,
                np.asarray(seen.log_probs),
                np.asarray(seen.maps.regions[:, 0]),
                np.asarray(seen.grad_cams[self._explainer.stages[-1]][:, 1]),
            )

    def _padded(self, batch: Batch, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and labels for the whole batch; unknown where an image is bad or none is."""
        rows = np.full(len(batch.images), -1)
        labels = np.full(len(batch.images), UNKNOWN, np.int32)
        rows[: len(batch.rows)] = batch.rows
        labels[: len(batch.rows)] = np.where(good, self._examples.labels[batch.rows], UNKNOWN)
        return rows, labels

    def _keep(self, batch: Batch, place: int, label: int, seen: Seen, show: set[int]) -> None:
        own: Any = jax.tree.map(lambda array: array[place], seen)
        image = centre_crop(batch.images[place], self._image_size)
        peaks = own.maps.cells[: int(own.maps.num_peaks)]
        of_class = int(own.log_probs.argmax()) if label == UNKNOWN else int(label)
        cam = own.grad_cams[self._explainer.stages[-1]][1]
        self.averages.add(of_class, image, own.maps.attention, peaks[0], cam)
        if (row := int(batch.rows[place])) in show:
            self.explanations[row] = Explanation(
                self._examples.names[row],
                image,
                int(label),
                np.exp(own.log_probs),
                own.maps.attention,
                own.maps.enhancement,
                peaks,
                own.maps.regions[: len(peaks)],
                {stage: own.grad_cams[stage] for stage in self._explainer.stages},
                self._explainer.grids,
            )


def centre_crop(image: np.ndarray, size: int) -> np.ndarray:
    """What `augment.center_crop` cuts out of one image `[stored, stored, 3]`."""
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[top : top + size, left : left + size]
