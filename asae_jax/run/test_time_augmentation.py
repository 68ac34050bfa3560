"""Test-time augmentation (`eval.tta`): flips and quarter turns of an image, and the mean of their scores."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from asae_jax.run import parallel
from asae_jax.types import Images

NUM_VIEWS = 8
"""Flips and quarter turns of a square image: under the microscope none is the right way up."""

TTA_SUFFIX = "-tta"
"""Ends the name of a way of testing (`build.tested_as`) whose scores are means over views."""


def num_views(config: ConfigDict) -> int:
    """How many views of each image are scored: 1, or with `eval.tta` all."""
    return NUM_VIEWS if config.eval.tta else 1


def batches(images: np.ndarray, count: int) -> list[dict[str, np.ndarray]]:
    """The first `count` views of uint8 images `[batch, ...]`: batches to be split over devices and scored."""
    if count == 1:
        return [{"image": images}]
    return [{"image": images, "view": parallel.for_each_device(view)} for view in range(count)]


def prepare_view(batch: Mapping[str, jax.Array], preprocess: Callable[[jax.Array], Images]) -> Images:
    """One device's share of a batch as the network sees it: normalised, and turned where a view is asked for.

    Args:
      batch: `image` uint8 `[batch, stored, stored, 3]`, and `view` int32 `[1]` where `batches` gives it.
      preprocess: from uint8 images to normalised square ones, float32 `[batch, size, size, 3]`.
    """
    images = preprocess(batch["image"])
    return turn(images, batch["view"][0]) if "view" in batch else images


def turn(images: Images, view: jax.Array | int) -> Images:
    """View `view` of square images `[batch, size, size, channels]`: pixels change places, no value changes.

    Args:
      images: any dtype.
      view: 0..7, may be traced. `view % 4` quarter turns, mirrored first where `view` >= 4; 0 is the image
        itself.
    """
    return jax.lax.switch(view, [_view(number) for number in range(NUM_VIEWS)], images)


def _view(number: int) -> Callable[[Images], Images]:
    def apply(images: Images) -> Images:
        mirrored = images[:, :, ::-1] if number >= 4 else images
        return jnp.rot90(mirrored, number % 4, axes=(1, 2))

    return apply


def mean_logits(views: Sequence[np.ndarray]) -> np.ndarray:
    """Logits whose softmax is the mean of the views' probabilities, float32 `[N, classes]`.

    Their energy (the logarithm of the sum of their exponentials) is the mean of the views' energies, so that
    outlier scores by it keep their scale. Of log-probabilities the result is log-probabilities.

    Args:
      views: logits or log-probabilities of each view, `[N, classes]`; one view is given back as it is.
    """
    if len(views) == 1:
        return views[0]
    logits = np.stack(views).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):  # what is not finite is told from the result
        energy = _log_sum_exp(logits, axis=-1)
        mean = _log_sum_exp(logits - energy, axis=0)[0] - np.log(len(views))
    return (mean + energy.mean(0)).astype(np.float32)


def _log_sum_exp(values: np.ndarray, axis: int) -> np.ndarray:
    """SciPy's `logsumexp` with its axis kept, without what loading SciPy costs a start."""
    top = values.max(axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    return np.log(np.exp(values - top).sum(axis, keepdims=True)) + top
