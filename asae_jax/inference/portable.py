"""What of a run's settings and record belongs to a model that travels: no path, and no name of an image."""

import dataclasses
from pathlib import Path

from ml_collections import ConfigDict

from asae_jax import shipped
from asae_jax.config import BY_NAME, copy_with, decides_weights, flatten
from asae_jax.models.pretrained import PACKAGES
from asae_jax.run import folder
from asae_jax.run.model_folder import weights_digest
from asae_jax.run.run import Run

_TRAVELLING_SECTIONS = ("eval", "uncertainty")
_ABOUT_OTHER_DATA = (
    "eval.source",
    "eval.path",
    "eval.class_map",
    "eval.groups",
    "eval.group_feature",
    "eval.name",
    "eval.split",
)
_ABOUT_THE_CELLS = ("data.specimen",)
"""Settings that do not change the weights and yet belong to a model."""
_NAMED_FILES = ("data.class_map", "init.pretrained")
"""Settings that may be paths, and of which the file's name is worth knowing."""


def portable(config: ConfigDict) -> ConfigDict:
    """The settings that belong to a trained model; the others have their defaults.

    Kept is what decides the weights, how the network is tested, and how uncertainty was measured. Of paths
    the last name is kept.
    """
    changes = {
        name: BY_NAME[name].default
        for name in flatten(config)
        if name in _ABOUT_OTHER_DATA
        or not (_belongs_to_a_model(name) or BY_NAME[name].section in _TRAVELLING_SECTIONS)
    }
    names = {name: shipped.without_place(flatten(config)[name], PACKAGES) for name in _NAMED_FILES}
    return copy_with(config, changes | names)


def _belongs_to_a_model(name: str) -> bool:
    return name in _ABOUT_THE_CELLS or decides_weights(name)


def model_record(run: Run, path: Path) -> folder.Record:
    """The run's record with what tells the model, and the sizes of the parts of its data."""
    images: dict[str, dict[str, int]] = {}
    for (label, part), count in sorted(folder.read_counts(run.workdir).items()):
        images.setdefault(label, {})[part] = count
    record = folder.read_record(run.workdir)
    return dataclasses.replace(record, images=images, weights_sha256=weights_digest(path), unreadable=None)
