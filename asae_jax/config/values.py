"""The configuration: every setting of the table with its value, read and set by name, copied with changes."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from asae_jax.config.fields import BY_NAME, FIELDS, find_field
from asae_jax.errors import UserError

RENAMED_SECTIONS = {"trust": "uncertainty"}
"""Sections of run folders of version 0.1 -> their present name."""


def base_config() -> ConfigDict:
    """A configuration with every setting at its default."""
    config = ConfigDict()
    for field in FIELDS:
        if field.section and field.section not in config:
            config[field.section] = ConfigDict()
        put(config, field.name, field.default)
    return config


def completed(given: Mapping[str, Any]) -> ConfigDict:
    """The settings of a run, as its folder has them, with the defaults of what has been added since.

    Sections that have been renamed are taken over under their new name; settings that no longer exist are
    left out.
    """
    values = by_present_names(given)
    config = base_config()
    for name, value in values.items():
        if name in BY_NAME:
            set_field(config, name, value)
    follows = config.model.branching == "asae" or config.eval.test_mode == "second_look"
    if "asae.attention" not in values and follows and config.model.name.startswith(SIGNED):
        config.asae.attention = "mean"  # as these runs were trained or tested
    return config


def by_present_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """`section.field` -> value of every setting of `given`, renamed sections under their present name."""
    return flatten({RENAMED_SECTIONS.get(name, name): value for name, value in given.items()})


SIGNED = ("efficientnet", "tf_efficientnet", "convnext", "vit_")
"""Beginnings of the names of networks whose features have both signs: "auto" is "magnitude" there."""


def set_field(config: ConfigDict, name: str, value: Any) -> None:
    """Sets `section.field`; a whole number is taken for a float.

    Raises:
      UserError: no such setting, or a value of another type.
    """
    field = find_field(name)
    if isinstance(field.default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < _LARGEST_FLOAT else math.inf
    if type(value) is not type(field.default):
        raise UserError(
            f"config.{name}={value!r} cannot be used: it must be of type {type(field.default).__name__}."
        )
    put(config, name, value)


_LARGEST_FLOAT = 10**300


def flatten(config: ConfigDict | Mapping[str, Any]) -> dict[str, Any]:
    """`section.field` -> value of every setting."""
    return dict(_leaves(config.to_dict() if isinstance(config, ConfigDict) else config, ""))


def copy_with(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
    """A copy of `config` in which each `section.field` of `changes` has its value.

    Raises:
      UserError: no such setting, or a value of another type.
    """
    copy = completed(config.to_dict())
    for name, value in changes.items():
        set_field(copy, name, value)
    return copy


def branch_names(config: ConfigDict) -> tuple[str, ...]:
    """The names in `asae.branches`."""
    return tuple(name.strip() for name in config.asae.branches.split(","))


def colour_of(text: str) -> tuple[float, ...]:
    """Red, green and blue, 0..255, of "255,230,207"; nothing of an empty text.

    Raises:
      ValueError: it is neither.
    """
    values = tuple(float(part) for part in text.split(",")) if text.strip() else ()
    if values and not (len(values) == 3 and all(0 < value <= 255 for value in values)):
        raise ValueError(f"{text!r} is no colour")
    return values


def value_of(config: ConfigDict, name: str) -> Any:
    """The value of `section.field`."""
    section, _, field = name.rpartition(".")
    return config[section][field] if section else config[field]


def put(config: ConfigDict, name: str, value: Any) -> None:
    """Sets `section.field`, whatever the value: see `set_field`."""
    section, _, field = name.rpartition(".")
    (config[section] if section else config)[field] = value


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
