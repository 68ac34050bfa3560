"""What a model says of how it was adapted to another laboratory: `adaptation.json`, which `adapt` writes.

It travels with the model. Nothing here loads JAX.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asae_jax.json_files import read_object

FILE = "adaptation.json"


def read_adaptation(workdir: Path) -> Mapping[str, Any] | None:
    """The record of the model in `workdir`; None where it was not adapted.

    Raises:
      UserError: a damaged file.
    """
    path = workdir / FILE
    return read_object(path, remedy="adapt the run again", kinds={"notes": list}) if path.exists() else None


def classes_given(record: Mapping[str, Any] | None, class_names: Sequence[str]) -> tuple[str, ...]:
    """Those of the classes that the model ever gives: all, or the ones that `adapt --only` named."""
    source = (record or {}).get("source")
    only = source.get("only") if isinstance(source, Mapping) else None
    return tuple(name for name in class_names if not only or name in only)


def notes(record: Mapping[str, Any] | None) -> list[str]:
    """What a reader of an adapted model's results must know, a sentence each."""
    return [str(note) for note in (record or {"notes": []})["notes"]]
