"""Runs on small images, as training leaves their data behind, without training."""

import csv

import numpy as np
from PIL import Image

from asae_jax.input.content import image_content
from asae_jax.input.decode import read_image
from asae_jax.input.run_split import chosen_split, write_splits
from asae_jax.input.sources import configured_index
from asae_jax.run import folder
from tests.training.tiny import tiny_config

ROW = ("path", "label", "predicted", "seen", "content")


def put(path, seed):
    """An image that no other seed gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (10, 12, 3), np.uint8)).save(path)
    return path


def put_cells(root, names, start=0):
    return [put(root / name, start + number) for number, name in enumerate(names)]


def made_run(workdir, **changes):
    """The folder of a run on the data that `changes` name, but for its weights."""
    config = tiny_config(**changes)
    index = configured_index(config.data)
    workdir.mkdir(parents=True)
    folder.write(workdir, config, folder.record_of(index))
    write_splits(workdir / "splits.csv", index, chosen_split(config.data, None, index))
    return workdir


def content(path):
    return image_content(read_image(path))


def page_rows(files, label, *, predicted="A", seen="yes"):
    """Rows as the page of `predict` saves them."""
    return [dict(zip(ROW, (str(file), label, predicted, seen, content(file)), strict=True)) for file in files]


def write_csv(path, rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="", lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
