"""Reads images ahead of the network, in batches of one size; a bad image does not stop the others."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from asae_jax.inference.predict.inputs import Item
from asae_jax.input.content import image_content
from asae_jax.input.decode import BadImage, read_image
from asae_jax.input.preparation import Preparation
from asae_jax.input.workers import bounded, default_workers, thread_pool
from asae_jax.pages import encode_jpeg

THUMBNAIL_SIZE = 112
"""Pixels: about three kilobytes each, so that a page of 5,000 cells is one of 20 MB."""

_JPEG_QUALITY = 80
_THUMBNAIL = Preparation(THUMBNAIL_SIZE, hue="none")
_AHEAD = 2  # batches


@dataclasses.dataclass(frozen=True, eq=False)
class ReadBatch:
    """Images read and prepared.

    Attributes:
      items: the images asked for, `n` of them.
      errors: for each item why it cannot be used; empty where it can.
      contents: what tells the pixels of each item from all others; empty where it is bad.
      images: for every preparation uint8 `[batch size, stored, stored, 3]`; black where an image is bad
        and from `n` on.
      thumbnails: JPEG of each item; None where it is bad or none was asked for.
    """

    items: Sequence[Item]
    errors: Sequence[str]
    contents: Sequence[str]
    images: Sequence[np.ndarray]
    thumbnails: Sequence[bytes | None]


def read_batches(
    items: Sequence[Item],
    preparations: Sequence[Preparation],
    batch_size: int,
    *,
    thumbnails: bool,
    workers: int | None = None,
) -> Iterator[ReadBatch]:
    """Every item once, in order, in batches of one shape; `_AHEAD` of them are read ahead.

    Args:
      items: the images to read.
      preparations: applied to each image, which is decoded once for all of them.
      batch_size: images per batch, the last one filled up with black.
      thumbnails: whether to make a small JPEG of each.
      workers: threads; by default one per processor.
    """
    chunks = (items[first : first + batch_size] for first in range(0, len(items), batch_size))
    with thread_pool(workers or default_workers()) as pool:

        def start(chunk: Sequence[Item]) -> tuple:
            images = [np.zeros((batch_size, p.stored_size, p.stored_size, 3), np.uint8) for p in preparations]
            tasks = [
                pool.submit(_read, item, preparations, [array[place] for array in images], thumbnails)
                for place, item in enumerate(chunk)
            ]
            return chunk, images, tasks

        for chunk, images, tasks in bounded(start, chunks, _AHEAD):
            results = [task.result() for task in tasks]
            errors, contents, pictures = zip(*results, strict=True)
            yield ReadBatch(chunk, errors, contents, images, pictures)


def _read(
    item: Item, preparations: Sequence[Preparation], places: Sequence[np.ndarray], thumbnail: bool
) -> tuple[str, str, bytes | None]:
    """Fills `places` with the image under each preparation; (error, content, thumbnail)."""
    if item.fault:
        return item.fault, "", None
    try:
        raw = read_image(item.file)
    except BadImage as error:
        return error.reason, "", None
    for place, prepare in zip(places, preparations, strict=True):
        place[...] = prepare(raw)
    picture = encode_jpeg(_THUMBNAIL(raw), quality=_JPEG_QUALITY) if thumbnail else None
    return "", image_content(raw), picture
