"""Tables of images made on the spot."""

import functools

import numpy as np

from asae_jax.input.decode import BadImage
from asae_jax.input.index import DataIndex
from asae_jax.synthetic import render

SIZE = 64


def cells(count, *, seed=0):
    """`count` different cells, uint8 `[64, 64, 3]` each."""
    return [_cell(seed, index) for index in range(count)]


@functools.cache
def _cell(seed, index):
    image = render(seed, index, size=SIZE)
    image.setflags(write=False)
    return image


def table_of(images, labels=None, **columns):
    """A table of `images`; None stands for a file that cannot be read. Two classes "A" and "B"."""
    names = np.array([f"{index:04d}.png" for index in range(len(images))])

    def read(row):
        if images[row] is None:
            raise BadImage(names[row], "empty file")
        return images[row]

    labels = np.zeros(len(images), np.int32) if labels is None else np.array(labels, np.int32)
    return DataIndex(source="made", class_names=("A", "B"), names=names, labels=labels, read=read, **columns)


def all_train(table):
    return np.full(len(table), "train")
