"""What a model says of how it was adapted to another laboratory: `adaptation.json`, which `adapt` writes.

It travels with the model. Nothing here loads JAX.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asae_jax.errors import UserError
from asae_jax.json_files import read_object

FILE = "adaptation.json"

OLD_LAYER = "old layer kept"
"""In place of a strength: no layer that was fitted to the labels was better."""


def read_adaptation(workdir: Path) -> Mapping[str, Any] | None:
    """The record of the model in `workdir`; None where it was not adapted.

    Raises:
      UserError: a damaged file.
    """
    path = workdir / FILE
    if not path.exists():
        return None
    remedy = "adapt the run again"
    record = read_object(path, remedy=remedy, kinds={"notes": list})
    source = record.get("source", {})
    if not isinstance(source, Mapping) or not isinstance(source.get("only", []), list):
        raise UserError(f"{path} is damaged, its field 'source' is of another type: {remedy}.")
    return record


def classes_given(record: Mapping[str, Any] | None, class_names: Sequence[str]) -> tuple[str, ...]:
    """Those of the classes that the model ever gives: all, or the ones that `adapt --only` named."""
    only = (record or {}).get("source", {}).get("only")
    return tuple(name for name in class_names if not only or name in only)


def made_from(record: Mapping[str, Any]) -> str:
    """The name of the run or model that was adapted."""
    return str(record.get("source", {}).get("name", "another run"))


def source_before_labels(record: Mapping[str, Any] | None) -> str | None:
    """The name of what was adapted when labels were learnt first; None where the model has learnt none."""
    source = None
    while record is not None:
        labels = record.get("labels")
        if labels and labels.get("strength") != OLD_LAYER:
            source = made_from(record)
        record = record.get("before")
    return source


def notes(record: Mapping[str, Any] | None) -> list[str]:
    """What a reader of an adapted model's results must know, a sentence each."""
    return [str(note) for note in (record or {"notes": []})["notes"]]
