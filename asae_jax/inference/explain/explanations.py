"""What is found out about the images in one pass: explanations to show, class averages, faithfulness."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from asae_jax.augment import centre_crop
from asae_jax.evaluation.calibration import soften
from asae_jax.inference.alignment import Alignment
from asae_jax.inference.explain.examples import UNKNOWN, Batch, Examples
from asae_jax.inference.explain.explainer import Explainer, Outputs
from asae_jax.inference.explain.faithfulness import Faithfulness
from asae_jax.run import parallel
from asae_jax.terminal import Bar

EXPLAINING = "explaining"
"""The part of the command's plan that counts images."""


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """One image with its scores and maps.

    Attributes:
      name: as the user knows it.
      image: uint8 `[size, size, 3]`, prepared and cropped: what the network saw.
      label: the true class; -1 where unknown.
      probabilities: float `[classes]`, calibrated where the run has a temperature.
      attention: float `[height, width]`.
      enhancement: float `[height, width]`.
      peaks: int `[peaks, 2]`, row and column, best first.
      regions: bool `[peaks, height, width]`, what each peak would suppress.
      grad_cams: stage -> float `[2, h, w]`, of the predicted and of the true class, before the ReLU.
      alignments: stage -> how its maps lie on the image; the first is that of the layer's maps.
    """

    name: str
    image: np.ndarray
    label: int
    probabilities: np.ndarray
    attention: np.ndarray
    enhancement: np.ndarray
    peaks: np.ndarray
    regions: np.ndarray
    grad_cams: Mapping[str, np.ndarray]
    alignments: Mapping[str, Alignment]

    @property
    def alignment(self) -> Alignment:
        """How the layer's maps, all but Grad-CAM, lie on the image."""
        return next(iter(self.alignments.values()))

    @property
    def predicted(self) -> int:
        """The most probable class."""
        return int(self.probabilities.argmax())

    @property
    def known(self) -> bool:
        """Whether the true class is known."""
        return self.label >= 0


@dataclasses.dataclass(frozen=True, eq=False)
class ClassMaps:
    """Means over the images of one class.

    Attributes:
      count: number of images.
      image: float64 `[size, size, 3]`, 0..255.
      attention: float64 `[height, width]`.
      top_peak: float64 `[height, width]`, share of the images whose highest peak is there; sums to 1.
      grad_cam: float64 `[h, w]` of the last stage, each map divided by its maximum first, 0..1.
    """

    count: int
    image: np.ndarray
    attention: np.ndarray
    top_peak: np.ndarray
    grad_cam: np.ndarray


class Averages:
    """Sums over images, class by class."""

    def __init__(self) -> None:
        self._sums: dict[int, list[Any]] = {}

    def add(
        self,
        label: int,
        image: np.ndarray,
        attention: np.ndarray,
        peak: np.ndarray,
        grad_cam: np.ndarray,
    ) -> None:
        """Adds one image.

        Args:
          label: its class.
          image: uint8 `[size, size, 3]`.
          attention: `[height, width]`.
          peak: row and column of its highest peak.
          grad_cam: `[h, w]` of that class, before the ReLU.
        """
        top = np.zeros(attention.shape)
        top[tuple(peak)] = 1
        new = [1, image.astype(np.float64), attention.astype(np.float64), top, positive_share(grad_cam)]
        old = self._sums.get(label)
        self._sums[label] = new if old is None else [a + b for a, b in zip(old, new, strict=True)]

    def means(self) -> Mapping[int, ClassMaps]:
        """Means of every class that has an image, in the order of the classes."""
        return {
            label: ClassMaps(count, *(total / count for total in totals))
            for label, (count, *totals) in sorted(self._sums.items())
        }


def positive_share(grad_cam: np.ndarray) -> np.ndarray:
    """The ReLU of a map divided by its maximum, float64, 0..1; 0 where nothing is positive."""
    positive = np.maximum(grad_cam.astype(np.float64), 0)
    return positive / max(positive.max(), 1e-30)


class Collector:
    """Explains images batch after batch and keeps what is to be written.

    Attributes:
      explanations: row -> explanation, of the images to show that could be read.
      averages: over all images, by true class, or by predicted class where that is unknown.
      faithfulness: of the images it was to be measured on.
      bad: (name, reason) of the images that could not be read.
      temperature: by which the probabilities are calibrated; None: as trained.
    """

    def __init__(
        self,
        explainer: Explainer,
        examples: Examples,
        *,
        image_size: int,
        draws: int,
        seed: int,
        temperature: float | None,
    ):
        """Takes the network, the images and the settings of the faithfulness test.

        Args:
          explainer: the network.
          examples: the images.
          image_size: side of the network's input in pixels.
          draws: random places for each image, see `Faithfulness`.
          seed: of these places.
          temperature: by which the probabilities beside images are calibrated, as in `predict`; None: as
            trained, as those of the faithfulness test always are.
        """
        self._explainer, self._examples, self._image_size = explainer, examples, image_size
        self.temperature = temperature
        self.explanations: dict[int, Explanation] = {}
        self.averages = Averages()
        self.faithfulness = Faithfulness(
            explainer.alignments[explainer.stages[0]],
            explainer.alignments[explainer.stages[-1]],
            draws=draws,
            seed=seed,
        )
        self.bad: list[tuple[str, str]] = []

    def __call__(self, show: np.ndarray, measure: np.ndarray, *, batch_size: int) -> None:
        """Explains all images of `show` and `measure`, in batches of one size.

        Args:
          show: int `[n]`, rows to keep explanations of.
          measure: int `[m]`, rows to test faithfulness on; images of unknown class are left out.
          batch_size: at most; rounded up to a multiple of the devices.
        """
        others = np.setdiff1d(show, measure)
        size = parallel.round_up_to_devices(min(batch_size, max(len(measure), len(others))))
        with Bar(EXPLAINING, len(measure) + len(others), "image", part=EXPLAINING, compiles=1) as bar:
            for batch, measured in self._batches(measure, others, size):
                self._explain(batch, set(show.tolist()), measured)
                bar.update(len(batch.rows))

    def _batches(self, measure: np.ndarray, others: np.ndarray, size: int) -> Iterator[tuple[Batch, bool]]:
        for rows, measured in ((measure, True), (others, False)):
            if len(rows):
                yield from ((batch, measured) for batch in self._examples.batches(rows, size))

    def _explain(self, batch: Batch, show: set[int], measured: bool) -> None:
        good = np.array([not error for error in batch.errors])
        names = self._examples.names
        self.bad += [(names[r], e) for r, e in zip(batch.rows, batch.errors, strict=True) if e]
        rows, labels = self._padded(batch, good)
        outputs = self._explainer.explain(batch.images, labels)
        for place in np.flatnonzero(good):
            self._keep(batch, int(place), labels[place], outputs, show)
        if measured and (labels != UNKNOWN).any():
            self.faithfulness.add(
                self._explainer.occlude,
                batch.images,
                rows,
                labels,
                np.asarray(outputs.log_probs),
                np.asarray(outputs.maps.regions[:, 0]),
                np.asarray(outputs.grad_cams[self._explainer.stages[-1]][:, 1]),
            )

    def _padded(self, batch: Batch, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and labels for the whole batch; unknown where an image is bad or padding."""
        rows = np.full(len(batch.images), -1)
        labels = np.full(len(batch.images), UNKNOWN, np.int32)
        rows[: len(batch.rows)] = batch.rows
        labels[: len(batch.rows)] = np.where(good, self._examples.labels[batch.rows], UNKNOWN)
        return rows, labels

    def _keep(self, batch: Batch, place: int, label: int, outputs: Outputs, show: set[int]) -> None:
        own: Any = jax.tree.map(lambda array: array[place], outputs)
        (image,) = centre_crop(batch.images[place][None], size=self._image_size)
        peaks = own.maps.peaks[: int(own.maps.num_peaks)]
        of_class = int(own.log_probs.argmax()) if label == UNKNOWN else int(label)
        cam = own.grad_cams[self._explainer.stages[-1]][1]
        self.averages.add(of_class, image, own.maps.attention, peaks[0], cam)
        if (row := int(batch.rows[place])) in show:
            self.explanations[row] = Explanation(
                self._examples.names[row],
                image,
                int(label),
                np.exp(soften(own.log_probs, self.temperature or 1.0)),
                own.maps.attention,
                own.maps.enhancement,
                peaks,
                own.maps.regions[: len(peaks)],
                {stage: own.grad_cams[stage] for stage in self._explainer.stages},
                self._explainer.alignments,
            )
