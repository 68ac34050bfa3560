"""Data sources: from the section `data` of a configuration to the data-set index."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

from asae_jax import shipped, synthetic
from asae_jax.config import SOURCES, colour_of, is_source
from asae_jax.errors import UserError
from asae_jax.files import user_path
from asae_jax.input.class_map import map_classes, read_class_map
from asae_jax.input.folder import folder_index
from asae_jax.input.index import DATA_OPTIONS, DataIndex
from asae_jax.input.manifest import manifest_index
from asae_jax.input.npz import npz_index
from asae_jax.input.preparation import Preparation
from asae_jax.input.tfds_source import tfds_index

_TFDS = "tfds:"
BUILT_IN = {"synthetic": "the built-in drawn cells", "demo": "the built-in real cells"}
"""Sources that travel with the package -> what they are."""
_FILES: dict[str, tuple[str, str, Callable[[ConfigDict, str], DataIndex]]] = {
    "folder": (
        "a folder of class folders",
        "DIR",
        lambda settings, options: folder_index(
            settings.path, options=options, patients=settings.groups == "folders"
        ),
    ),
    "csv": (
        "a CSV file path,label[,group][,split]",
        "FILE",
        lambda settings, options: manifest_index(settings.path, unseen=settings.unseen, options=options),
    ),
    "npz": ("an .npz file", "FILE", lambda settings, _: npz_index(settings.path)),
}


def configured_index(settings: ConfigDict, *, options: str = DATA_OPTIONS) -> DataIndex:
    """The index of the data source that `settings`, the section `data`, describe; its class map applied.

    Args:
      settings: the section `data`.
      options: how the command line spells its settings, for messages: "--config.data.", or "--" for
        `evaluate --source`.

    Raises:
      UserError: unknown source, no path where one is needed, a path that the source does not use, or what
        the source or the class map refuse.
    """
    index = _source_index(settings, options)
    return map_classes(index, named_class_map(settings.class_map)) if settings.class_map else index


def source_of(path: str) -> str:
    """The source that reads what `path` is: "folder", "csv" or "npz"; empty where none does."""
    place = user_path(path)
    if place.is_dir():
        return "folder"
    suffix = place.suffix.lower().removeprefix(".")
    return suffix if suffix in ("csv", "npz") else ""


def named_class_map(name: str) -> dict[str, str]:
    """Class -> new class of a class map: a CSV file `from,to`, or the name of an included one.

    Raises:
      UserError: no such file, or one that is no class map.
    """
    return read_class_map(shipped.class_maps().get(name, name))


def configured_preparation(settings: ConfigDict) -> Preparation:
    """What `settings`, the section `data`, do to each image."""
    return Preparation(
        stored_size=settings.stored_size,
        hue=settings.hue,
        hue_low=settings.hue_low,
        hue_high=settings.hue_high,
        stain=settings.stain,
        scale=settings.scale,
        background=colour_of(settings.background),
        decoding=settings.decoding,
    )


def synthetic_index(*, num_examples: int, seed: int, size: int) -> DataIndex:
    """The built-in set: 14 classes in the paper's order, imbalanced, grouped by slide.

    Args:
      num_examples: 14 or more; from 70 on each class has at least five.
      seed: 0 or above; another seed is another set of cells and slides.
      size: side of the images in pixels, 8..2048. The same cells are shown at any size.

    Raises:
      UserError: a value out of range.
    """
    synthetic.check_settings(num_examples, seed, size)
    return DataIndex(
        source="synthetic",
        class_names=synthetic.CLASS_NAMES,
        names=np.array([f"synthetic/{number:06d}" for number in range(num_examples)]),
        labels=synthetic.labels(num_examples),
        read=functools.partial(synthetic.render, seed, size=size),
        groups=synthetic.slides(seed, num_examples),
        settings=f"version={synthetic.VERSION} seed={seed} size={size}",
    )


def _source_index(settings: ConfigDict, options: str) -> DataIndex:
    source = settings.source
    if not is_source(source):
        raise UserError(
            f"unknown data source {source!r}: choose one of {', '.join(SOURCES)} ({options}source=)"
        )
    if source in BUILT_IN:
        _refuse_path(settings.path, source, options)
    if source == "synthetic":
        return synthetic_index(
            num_examples=settings.num_examples, seed=settings.synthetic_seed, size=settings.stored_size
        )
    if source == "demo":
        return dataclasses.replace(manifest_index(shipped.demo_cells()), source="demo")
    if source.startswith(_TFDS):
        name = source.removeprefix(_TFDS)
        return tfds_index(name, data_dir=settings.path, group_feature=settings.group_feature, options=options)
    needed, what, read = _FILES[source]
    if not settings.path:
        raise UserError(f"data source {source} needs {needed}: add {options}path={what}")
    return read(settings, options)


def _refuse_path(path: str, built_in: str, options: str) -> None:
    """Built-in cells come from no path: whoever gave one means to use what lies there."""
    if not path:
        return
    source = source_of(path)
    remedy = f"add {options}source={source}" if source else f"name what it is by {options}source="
    missing = "" if user_path(path).exists() else f" ({path} does not exist)"
    raise UserError(
        f"{options}path={path} is given{missing}, but the data source is {built_in}, {BUILT_IN[built_in]}: "
        f"{remedy}, or take the path out ({options}path=)"
    )
