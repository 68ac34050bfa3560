"""Prepares a downloaded set for `--config.data.source=tfds:NAME`; see data/README.md.

python -m data NAME --manual_dir=FOLDER --data_dir=FOLDER

Where the package is installed without a checkout: `python -m asae_jax.datasets`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from asae_jax.cli import Once
from asae_jax.errors import UserError
from asae_jax.files import disk_errors

from . import BUILDERS, builder_class


def prepare(name: str, manual_dir: Path, data_dir: Path) -> str:
    """Writes the set below `data_dir`, unless it is there, and says what is in it, and whether it was there.

    Args:
      name: of the set, and of a configuration where it has several: "bloodmnist/64".
      manual_dir: the folder the archive was unpacked to.
      data_dir: where prepared sets are kept, all of them in one place.

    Raises:
      UserError: no such set or configuration, the folder is missing or is not the set, it is empty, or
        `data_dir` cannot be written to.
    """
    import tensorflow_datasets as tfds

    name, _, config = name.partition("/")
    if name not in BUILDERS:
        raise UserError(f"no data set {name!r} here: take one of {', '.join(BUILDERS)}")
    builder_type = builder_class(name)
    configs = [choice.name for choice in builder_type.BUILDER_CONFIGS]
    if config and config not in configs:
        raise UserError(f"{name} has no configuration {config!r}: take one of {', '.join(configs) or 'none'}")
    if not manual_dir.is_dir():
        instructions = " ".join(builder_type.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
        raise UserError(f"folder {manual_dir} does not exist (--manual_dir). {instructions}")
    remedy = "see that it can be written to, or choose another --data_dir=FOLDER"
    with disk_errors(f"prepare {name} in {data_dir}", remedy=remedy):
        builder = builder_type(data_dir=data_dir, config=config or None)
        was_there = builder.data_path.exists()
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=manual_dir),
            download_dir=data_dir / "downloads",
        )
    counts = ", ".join(f"{split.num_examples} {name}" for name, split in builder.info.splits.items())
    said = f"{builder.info.full_name}: {counts} images in {builder.data_path}"
    return said + ", made before: delete that folder to make it of what lies there now" * was_there


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}", description=(__doc__ or "").partition("\n")[0], allow_abbrev=False
    )
    parser.add_argument("name", help=f"NAME or NAME/CONFIGURATION; NAME is one of {', '.join(BUILDERS)}")
    parser.add_argument(
        "--manual_dir", type=Path, required=True, action=Once, help="where the archive was unpacked"
    )
    parser.add_argument(
        "--data_dir", type=Path, required=True, action=Once, help="where prepared sets are kept"
    )
    chosen = parser.parse_args(arguments)
    try:
        print(prepare(chosen.name, chosen.manual_dir.expanduser(), chosen.data_dir.expanduser()))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
