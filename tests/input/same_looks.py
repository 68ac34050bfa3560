"""Folders of cells that nothing but their pixels tells apart: equal names, sizes and times."""

import os

import numpy as np
from PIL import Image

TIME = 315_532_800_000_000_000
"""1980, as zip files have it; nanoseconds."""


def uncompressed(path, seed):
    """A BMP file, black but for a cell in the middle."""
    image = np.zeros((96, 96, 3), np.uint8)
    image[32:64, 32:64] = np.random.default_rng(seed).integers(0, 256, 3, np.uint8)
    Image.fromarray(image).save(path)


def noise(path, seed):
    """A BMP file of noise."""
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 24, 3), np.uint8)).save(path)


def put_cells(root, seed, write=None):
    """Three images of each of two classes, `write(path, seed)`, in class folders below `root`; returns it."""
    for number, name in enumerate(["BLA", "EBO"]):
        (root / name).mkdir(parents=True, exist_ok=True)
        for n in range(3):
            path = root / name / f"{n}.bmp"
            (write or noise)(path, 100 * seed + 10 * number + n)
            os.utime(path, ns=(TIME, TIME))
    return root
