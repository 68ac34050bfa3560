"""Reads images ahead of the network, in batches of one size; a bad image does not stop the others."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from asae_jax.inference.inputs import Item
from asae_jax.input.content import image_content
from asae_jax.input.decode import BadImage, read_image, read_reduced
from asae_jax.input.implausible_images import why_implausible
from asae_jax.input.preparation import Preparation
from asae_jax.input.workers import bounded, default_workers, thread_pool
from asae_jax.pages import encode_jpeg
from asae_jax.types import HostImage

THUMBNAIL_SIZE = 112
"""Pixels: about three kilobytes each, so that a page of 5,000 cells is one of 20 MB."""

_JPEG_QUALITY = 80
_PICTURE_QUALITY = 88  # granules and chromatin are to be judged on it
_THUMBNAIL = Preparation(THUMBNAIL_SIZE, hue="none")
_AHEAD = 2  # batches


@dataclasses.dataclass(frozen=True, eq=False)
class ReadBatch:
    """Images read and prepared.

    Attributes:
      items: the images asked for, `n` of them.
      errors: for each item why it cannot be used; empty where it can.
      contents: what tells the pixels of each item from all others; empty where it is bad.
      implausible: why each item is no crop of a stained cell, see `input.implausible_images`; empty where it
        may be one.
      images: for every preparation uint8 `[batch size, stored, stored, 3]`; black where an image is bad
        and from `n` on.
      pictures: of each item; None where it is bad or none was asked for.
    """

    items: Sequence[Item]
    errors: Sequence[str]
    contents: Sequence[str]
    implausible: Sequence[str]
    images: Sequence[np.ndarray]
    pictures: Sequence["Pictures | None"]


class Pictures(NamedTuple):
    """An image as the page shows it.

    Attributes:
      thumbnail: JPEG of the centre square, `THUMBNAIL_SIZE` pixels wide.
      whole: JPEG of the whole image, in its own resolution up to a side (see `read_batches`); None where none
        was asked for.
      size: width and height of the image in pixels.
    """

    thumbnail: bytes
    whole: bytes | None
    size: tuple[int, int]


def read_batches(
    items: Sequence[Item],
    preparations: Sequence[Preparation],
    batch_size: int,
    *,
    thumbnails: bool,
    picture_side: int = 0,
    workers: int | None = None,
) -> Iterator[ReadBatch]:
    """Every item once, in order, in batches of one shape; `_AHEAD` of them are read ahead.

    Args:
      items: the images to read.
      preparations: applied to each image, which is decoded once for all of them.
      batch_size: images per batch, the last one filled up with black.
      thumbnails: whether to make pictures of each.
      picture_side: pixels of the longer side of a picture of the whole image, at most; larger images are made
        smaller. 0: small pictures only.
      workers: threads; by default one per processor.
    """
    side = picture_side if thumbnails else None
    chunks = (items[first : first + batch_size] for first in range(0, len(items), batch_size))
    with thread_pool(workers or default_workers()) as pool:

        def start(chunk: Sequence[Item]) -> tuple:
            images = [np.zeros((batch_size, p.stored_size, p.stored_size, 3), np.uint8) for p in preparations]
            tasks = [
                pool.submit(_read, item, preparations, [array[place] for array in images], side)
                for place, item in enumerate(chunk)
            ]
            return chunk, images, tasks

        for chunk, images, tasks in bounded(start, chunks, _AHEAD):
            results = [task.result() for task in tasks]
            errors, contents, implausible, pictures = zip(*results, strict=True)
            yield ReadBatch(chunk, errors, contents, implausible, images, pictures)


def _read(
    item: Item, preparations: Sequence[Preparation], places: Sequence[np.ndarray], side: int | None
) -> tuple[str, str, str, Pictures | None]:
    """Fills `places` with the image under each preparation; (error, content, why implausible, pictures)."""
    if item.fault:
        return item.fault, "", "", None
    try:
        raw = read_image(item.file)
        for place, prepare in zip(places, preparations, strict=True):
            smaller = prepare.reduction(*raw.shape[:2]) > 1  # read again, as in training
            place[...] = prepare(read_reduced(item.file, prepare.reduction) if smaller else raw)
    except BadImage as error:
        return error.reason, "", "", None
    return "", image_content(raw), why_implausible(raw), None if side is None else pictures_of(raw, side)


def pictures_of(raw: HostImage, side: int) -> Pictures:
    """Small and large JPEG of an image; the longer side of the large one has at most `side` pixels.

    With `side` 0 there is no large one.
    """
    height, width = raw.shape[:2]
    thumbnail = encode_jpeg(_THUMBNAIL(raw), quality=_JPEG_QUALITY)
    if not side:
        return Pictures(thumbnail, None, (width, height))
    share = min(1.0, side / max(height, width))
    smaller = (max(1, round(width * share)), max(1, round(height * share)))
    whole = cv2.resize(raw, smaller, interpolation=cv2.INTER_AREA) if share < 1 else raw
    return Pictures(thumbnail, encode_jpeg(whole, quality=_PICTURE_QUALITY), (width, height))
