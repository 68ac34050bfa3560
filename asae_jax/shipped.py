"""What travels with the package: trained models, recipes, class maps, what is known about public data sets.

In a checkout these are the folders `configs/` and `data/` beside the package; in an installed package they
lie inside of it, as `asae_jax/recipes` and `asae_jax/datasets`.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from asae_jax.errors import UserError, did_you_mean

WEIGHTS_FILE = "weights.safetensors"
"""The file that makes a folder a model folder."""

_PACKAGE = Path(__file__).resolve().parent


def models() -> Mapping[str, Path]:
    """Name -> folder of every trained model."""
    files = sorted((data_folder() / "models").glob(f"*/{WEIGHTS_FILE}"))
    return {file.parent.name: file.parent for file in files}


def recipes() -> Mapping[str, Path]:
    """Name -> file of every recipe."""
    files = sorted(_folder("configs", "recipes").glob("*.py"))
    return {file.stem: file for file in files if file.stem != "__init__"}


def class_maps() -> Mapping[str, Path]:
    """Name -> file of every class map, such as "stages/bm_cytomorphology"."""
    root = data_folder() / "class_maps"
    return {file.relative_to(root).with_suffix("").as_posix(): file for file in sorted(root.rglob("*.csv"))}


def data_sets() -> Mapping[str, Path]:
    """Name -> folder of every public data set that has a card."""
    cards = sorted(data_folder().glob("*/README.md"))
    return {card.parent.name: card.parent for card in cards if (card.parent / "CITATIONS.bib").exists()}


def demo_cells() -> Path:
    """The CSV file `path,label,split` of the built-in real cells."""
    return data_folder() / "demo" / "cells.csv"


def data_folder() -> Path:
    """The folder `data/`."""
    return _folder("data", "datasets")


def _folder(in_checkout: str, installed: str) -> Path:
    inside = _PACKAGE / installed
    return inside if inside.is_dir() else _PACKAGE.parent / in_checkout


def without_place(given: str, others: Collection[str] = ()) -> str:
    """`given` without the folders of this machine: the name of something included, or a path's last name.

    A path whose last name is that of something included stays a path, as ./NAME.

    Args:
      given: a name or a path.
      others: further names of what is included.
    """
    included = {*class_maps(), *models(), *others}
    if given in included:
        return given
    last = re.split(r"[/\\]", given.rstrip("/\\"))[-1]
    return f"./{last}" if last in included else last


def one_of(files: Mapping[str, Path], name: str, kind: str) -> Path:
    """The file called `name`.

    Args:
      files: name -> file.
      name: of one of them.
      kind: what they are, for the message: "recipe".

    Raises:
      UserError: there is none; the nearest names are given.
    """
    if name not in files:
        raise UserError(f"no {kind} {name!r}.{did_you_mean(name, files)} `asae list` shows all.")
    return files[name]
