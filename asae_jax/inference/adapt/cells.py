"""The images that a network is adapted to: read once, prepared, kept in memory, scored."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from asae_jax.errors import UserError
from asae_jax.inference.inputs import Item
from asae_jax.inference.reading import read_batches
from asae_jax.input.appearance import appearance, evenly, nucleus_sizes
from asae_jax.input.decode import BadImage, read_image
from asae_jax.input.preparation import Preparation
from asae_jax.run import build, parallel
from asae_jax.run.run import Run
from asae_jax.terminal import Bar
from asae_jax.types import HostImage

MEASURED = 400
"""Crops whose nuclei are measured: their median is then known to about 2 %."""

_READ_AT_ONCE = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """Images that could be read.

    Attributes:
      items: the images, N of them.
      images: uint8 `[N, stored, stored, 3]`, prepared.
      contents: what each holds, see `input.content.image_content`.
      errors: why others could not be read, by their path.
    """

    items: Sequence[Item]
    images: np.ndarray
    contents: Sequence[str]
    errors: Mapping[str, str]


def read_cells(items: Sequence[Item], preparation: Preparation, *, workers: int | None, doing: str) -> Cells:
    """Reads and prepares images; those that cannot be read are left out.

    Args:
      items: the images.
      preparation: what is done to each.
      workers: threads; None: one per processor.
      doing: what a progress bar says.
    """
    good: list[Item] = []
    images: list[np.ndarray] = []
    contents: list[str] = []
    errors: dict[str, str] = {}
    with Bar(doing, len(items), "image") as bar:
        for batch in read_batches(items, [preparation], _READ_AT_ONCE, thumbnails=False, workers=workers):
            for row, item in enumerate(batch.items):
                if batch.errors[row]:
                    errors[item.path] = batch.errors[row]
                    continue
                good.append(item)
                images.append(batch.images[0][row].copy())
                contents.append(batch.contents[row])
            bar.update(len(batch.items))
    side = preparation.stored_size
    stacked = np.stack(images) if images else np.zeros((0, side, side, 3), np.uint8)
    return Cells(good, stacked, contents, errors)


def raw_images(items: Iterable[Item]) -> Iterator[HostImage]:
    """The pixels of images as their files hold them; those that cannot be read, or are none, are left out."""
    for item in items:
        if item.fault:
            continue
        try:
            yield read_image(item.file)
        except BadImage:
            continue


def measured_nuclei(items: Sequence[Item]) -> np.ndarray:
    """Diameters of the nuclei of at most `MEASURED` of the images, percent of the crop's shorter side.

    Raises:
      UserError: none can be measured.
    """
    found = [appearance(pixels) for pixels in raw_images(evenly(items, MEASURED))]
    sizes = nucleus_sizes(np.stack(found)) if found else np.zeros(0)
    if len(sizes) < 2:
        raise UserError(
            f"no nucleus is found in {items[0].path} and the images with it: give the enlargement, "
            "--scale=NUMBER."
        )
    return sizes


def scorer(run: Run) -> Callable[[Mapping[str, Any], np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """`(variables, uint8 [N, stored, stored, 3]) -> logits [N, classes], pooled features [N, channels]`."""
    step = build.compiled_score_step(run.config, run.num_classes, with_features=True)
    size = run.config.eval.batch_size

    def score(variables: Mapping[str, Any], images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        batch = parallel.round_up_to_devices(min(size, len(images)))
        parts = []
        for first in range(0, len(images), batch):
            given = images[first : first + batch]
            padded = np.concatenate([given, np.repeat(given[:1], batch - len(given), axis=0)])
            logits, features = step(variables, parallel.split({"image": padded}))
            parts.append((parallel.join(logits)[: len(given)], parallel.join(features)[: len(given)]))
        logits, features = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        if not np.isfinite(logits).all():
            raise UserError("the network's scores are not finite on these images: it cannot be adapted.")
        return logits, features

    return score
