"""The classes that can occur in the other laboratory: `adapt.only`, and what an earlier adaptation left."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from asae_jax.errors import UserError, did_you_mean
from asae_jax.inference.adapt.labels import Given
from asae_jax.input.unicode_form import composed
from asae_jax.run.adaptation import classes_given, made_from


def removed_before(
    before: Mapping[str, Any] | None, class_names: Sequence[str], settings: ConfigDict, given: Sequence[Given]
) -> np.ndarray:
    """The classes that an earlier adaptation removed, and that the model cannot give again, bool `[K]`.

    Args:
      before: record of that adaptation; None where there was none.
      class_names: of the run, K of them.
      settings: the section `adapt`.
      given: the labels that are trained on.

    Raises:
      UserError: `adapt.only` or a label names one of them.
    """
    kept = classes_given(before, class_names)
    gone = [name for name in class_names if name not in kept]
    named = {*_named(settings.only, class_names), *(one.label for one in given)}
    if before is not None and (wanted := [name for name in gone if name in named]):
        raise UserError(
            f"{', '.join(wanted)}: removed by --only when this model was made from {made_from(before)}: "
            f"adapt {made_from(before)} instead, or leave them out of --only and --labels."
        )
    return np.isin(class_names, gone)


def absent(text: str, class_names: Sequence[str]) -> np.ndarray:
    """The classes that do not occur, bool `[K]`.

    Args:
      text: those that do, `adapt.only`; empty: all.
      class_names: of the run, K of them.

    Raises:
      UserError: a name that is no class of the run, or one class alone.
    """
    named = _named(text, class_names)
    for name in named:
        if name not in class_names:
            raise UserError(
                f"--only names {name!r}, which is no class of the run.{did_you_mean(name, class_names)} The "
                f"classes are {', '.join(class_names)}."
            )
    if len(set(named)) == 1:
        raise UserError(f"--only={text}: one class alone is not told from anything; name two or more.")
    return np.array([bool(named) and name not in named for name in class_names])


def _named(text: str, class_names: Sequence[str]) -> list[str]:
    """The names between commas, as the run writes them where it knows them: in either Unicode form.

    A name may hold commas: the longest one that is a class is taken.
    """
    known = {composed(name): name for name in class_names}
    parts, found = text.split(","), []
    while parts:
        lengths = range(len(parts), 0, -1)
        joined = ((length, composed(",".join(parts[:length]).strip())) for length in lengths)
        length, name = next((pair for pair in joined if pair[1] in known), (1, composed(parts[0].strip())))
        found.append(known.get(name, name))
        parts = parts[length:]
    return [name for name in found if name]
