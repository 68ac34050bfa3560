"""How the demonstration set was made: listed images, made smaller, with a split.

    python -m data.demo.make FOLDER ...

finds the images that the list of the shipped models names `demo` below each FOLDER, and writes `cells.csv`
and `images/` beside this file.
"""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2

from asae_jax.files import open_text
from asae_jax.input.decode import read_image
from asae_jax.input.sampler import permutation

from ..models.images import jpeg_files, read_list

HERE = Path(__file__).parent
SIDE = 96
QUALITY = 92
SHARES = {"test": 25, "val": 20}
"""Images of each class; the rest is for training."""


def make(folders: Sequence[Path]) -> int:
    """Writes the set; returns the number of its images.

    Args:
      folders: class folders at any depth, of the images as they were published or of smaller copies.
    """
    found = {file.name: file for folder in folders for file in jpeg_files(folder)}
    rows = [(name, label) for name, label, part in read_list() if part == "demo"]
    for name, label in rows:
        _write_smaller(found[name], HERE / "images" / label / name)
    with open_text(HERE / "cells.csv") as file:
        csv.writer(file).writerows([("path", "label", "split"), *_split(rows)])
    return len(rows)


def _write_smaller(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    small = cv2.resize(read_image(source), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(target), small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def _split(rows: Sequence[tuple[str, str]]) -> list[tuple[str, str, str]]:
    split = []
    for label in sorted({label for _, label in rows}):
        names = [name for name, of in rows if of == label]
        parts = [part for part, count in SHARES.items() for _ in range(count)]
        parts += ["train"] * (len(names) - len(parts))
        for place, part in zip(permutation(len(names), 0, f"demo/{label}"), parts, strict=True):
            split.append((f"images/{label}/{names[place]}", label, part))
    return sorted(split)


if __name__ == "__main__":
    print(f"{make([Path(folder) for folder in sys.argv[1:]])} images in {HERE}")
