"""Which data source makes the table."""

import os
from collections.abc import Callable

from asae_jax.errors import UserError
from asae_jax.input.class_map import map_classes, read_class_map
from asae_jax.input.folder import folder_table
from asae_jax.input.manifest import manifest_table
from asae_jax.input.npz import npz_table
from asae_jax.input.synthetic import synthetic_table
from asae_jax.input.table import Table
from asae_jax.input.tfds_source import tfds_table

SOURCES = ("synthetic", "folder", "csv", "npz", "tfds:NAME")

_TFDS = "tfds:"
_FILES: dict[str, tuple[str, Callable[[str | os.PathLike], Table]]] = {
    "folder": ("a folder of class folders: add --config.data.path=DIR", folder_table),
    "csv": ("a CSV file path,label[,group][,split]: add --config.data.path=FILE", manifest_table),
    "npz": ("an .npz file: add --config.data.path=FILE", npz_table),
}


def is_source(source: str) -> bool:
    """Whether there is such a source: one of `SOURCES`, with a name for NAME."""
    return source in SOURCES[:-1] or (source.startswith(_TFDS) and len(source) > len(_TFDS))


def load_table(
    source: str,
    *,
    path: str | os.PathLike = "",
    num_examples: int = 15252,
    seed: int = 0,
    size: int = 224,
    group_feature: str = "",
    class_map: str | os.PathLike = "",
) -> Table:
    """The table of a data source.

    Args:
      source: "synthetic" (drawn, needs no files), "folder" (class folders below `path`, or parts of a split
        with class folders), "csv" (a list of images), "npz" (MedMNIST's form), or "tfds:NAME" (a data set
        that TensorFlow Datasets has prepared).
      path: the folder or file; for "tfds:NAME" where it was prepared, or empty for TFDS's own folder.
      num_examples: how many images to draw.
      seed: of the drawn set.
      size: side of the drawn images in pixels.
      group_feature: of "tfds:NAME", the feature that tells slide or patient.
      class_map: a CSV file `from,to` (see `class_map.py`); empty for none.

    Raises:
      UserError: unknown source, no path where one is needed, or what the source or the map finds wrong.
    """
    table = _load(source, path, num_examples, seed, size, group_feature)
    return map_classes(table, read_class_map(class_map)) if class_map else table


def _load(
    source: str, path: str | os.PathLike, num_examples: int, seed: int, size: int, group_feature: str
) -> Table:
    if not is_source(source):
        raise UserError(
            f"unknown data source {source!r}: choose one of {', '.join(SOURCES)} (--config.data.source=)"
        )
    if source == "synthetic":
        return synthetic_table(num_examples=num_examples, seed=seed, size=size)
    if source.startswith(_TFDS):
        return tfds_table(source.removeprefix(_TFDS), data_dir=path, group_feature=group_feature)
    needed, read = _FILES[source]
    if not path:
        raise UserError(f"data source {source} needs {needed}")
    return read(path)
