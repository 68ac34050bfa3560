"""Which data source makes the table."""

import os

from asae_jax.errors import UserError
from asae_jax.input.folder import folder_table
from asae_jax.input.synthetic import synthetic_table
from asae_jax.input.table import Table

SOURCES = ("folder", "synthetic")


def load_table(
    source: str,
    *,
    path: str | os.PathLike | None = None,
    num_examples: int = 15252,
    seed: int = 0,
    size: int = 224,
) -> Table:
    """The table of a data source.

    Args:
      source: "folder" (class folders below `path`) or "synthetic" (drawn, needs no files).
      path: the folder.
      num_examples: how many images to draw.
      seed: of the drawn set.
      size: side of the drawn images in pixels.

    Raises:
      UserError: unknown source, no path where one is needed, or what the source finds wrong.
    """
    if source == "folder":
        if not path:
            raise UserError("data source folder needs a folder of class folders: add --config.data.path=DIR")
        return folder_table(path)
    if source == "synthetic":
        return synthetic_table(num_examples=num_examples, seed=seed, size=size)
    raise UserError(
        f"unknown data source {source!r}: choose one of {', '.join(SOURCES)} (--config.data.source=)"
    )
