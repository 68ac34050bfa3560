"""Which images the shipped models and the demonstration set are made of: the list, and how it was drawn.

    python -m data.models.images manifest FOLDER ... --output=cells.csv [--classes=blood|marrow]

finds the images of the list below each FOLDER by their file names, which are those of the two source archives
(`README.md` beside this file), and writes what `--config.data.source=csv --config.data.path=cells.csv` reads,
with the split of the shipped models.

    python -m data.models.images draw FOLDER ... --output=images.csv

draws such a list from class folders. Images that are there more than once (also turned, rescaled, re-encoded)
all go to the training part. The demonstration set is drawn first, and no shipped model is trained, chosen or
tested on it.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asae_jax.audit.duplicates import Group, find_duplicates
from asae_jax.audit.scan import scan
from asae_jax.cli import Once
from asae_jax.errors import UserError
from asae_jax.files import atomic_text, disk_errors
from asae_jax.folders import walk
from asae_jax.input.decode import read_image
from asae_jax.input.index import DataIndex
from asae_jax.input.sampler import permutation

LIST = Path(__file__).with_name("images.csv")
BLOOD = ("BA", "BNE", "EO", "ERB", "LY", "MMY", "MO", "MY", "PLATELET", "PMY", "SNE")
"""Classes of the blood set (Acevedo et al. 2020), as its file names begin; others are of the marrow set."""
DEMO_PER_CLASS = 100
SHARES = {"test": 0.10, "validation": 0.07}
"""Of the images of each class that are neither in the demonstration set nor there more than once."""

Row = tuple[str, str, str]
"""(file name, class, part): part is demo, train, validation or test."""


def draw(folders: Sequence[Path], *, seed: int = 0) -> list[Row]:
    """A list of all images in class folders, sorted by file name.

    Args:
      folders: each holds one folder a class.
      seed: of the random choice.

    Raises:
      UserError: no image, or two of one file name.
    """
    files = sorted(file for folder in folders for file in jpeg_files(folder) if file.parent.parent == folder)
    if not files:
        raise UserError(
            f"{', '.join(map(str, folders))}: no class folder with an image (.jpg) is there: name what holds "
            "the class folders."
        )
    if len({file.name for file in files}) < len(files):
        raise UserError("two images have the same file name, by which the list knows them.")
    repeated = _repeated(files)
    rows = [(file.name, file.parent.name, "train") for file in files if file in repeated]
    for label in sorted({file.parent.name for file in files}):
        single = [file for file in files if file.parent.name == label and file not in repeated]
        order = permutation(len(single), seed, f"models/{label}")
        parts = _parts(len(single), demo=DEMO_PER_CLASS if label in BLOOD else 0)
        rows += [(single[i].name, label, part) for i, part in zip(order, parts, strict=True)]
    return sorted(rows)


def _parts(count: int, *, demo: int) -> list[str]:
    """The part of each of `count` images in random order."""
    sizes = {"demo": demo} | {part: round(share * (count - demo)) for part, share in SHARES.items()}
    taken = [part for part, size in sizes.items() for _ in range(size)]
    return taken + ["train"] * (count - len(taken))


def _repeated(files: Sequence[Path]) -> set[Path]:
    """The files whose image is there more than once."""
    labels = [file.parent.name for file in files]
    class_names, numbers = np.unique(labels, return_inverse=True)
    table = DataIndex(
        source="folder",
        class_names=tuple(map(str, class_names)),
        names=np.array([str(file) for file in files]),
        labels=numbers.astype(np.int32),
        read=lambda row: read_image(files[row]),
    )
    groups = find_duplicates(table, scan(table).facts, np.full(len(files), "train"))
    for group in groups:
        print(_described(group, [files[row] for row in group.rows]))
    return {files[row] for group in groups for row in group.rows}


def _described(group: Group, files: Sequence[Path]) -> str:
    same = "the same pixels" if group.exact else f"correlation {group.similarity:.3f}"
    other = ", under different labels" if group.labels_differ else ""
    return f"more than once ({same}{other}): {', '.join(file.name for file in files)}"


def jpeg_files(folder: Path) -> list[Path]:
    """The files `.jpg` below `folder`; none of those that a network drive keeps under the images' own names.

    Raises:
      UserError: a folder below it cannot be listed. Where `folder` itself is none, there are no files.
    """
    found = walk(folder) if folder.is_dir() else ()
    return [folder / file.name for file in found if file.name.endswith(".jpg")]


def read_list() -> list[Row]:
    """The list that ships."""
    with LIST.open(newline="", encoding="utf-8") as file:
        return [(row["image"], row["class"], row["part"]) for row in csv.DictReader(file)]


def manifest(folders: Sequence[Path], output: Path, *, classes: str = "all") -> int:
    """Writes a CSV file `path,label,split` of the listed images that are found below `folders`.

    Args:
      folders: searched at any depth.
      output: the CSV file.
      classes: "blood", "marrow" or "all".

    Returns:
      The number of images in it, without those of the demonstration set.

    Raises:
      UserError: none was found, or the file cannot be written.
    """
    found = {file.name: file.resolve() for folder in folders for file in jpeg_files(folder)}
    rows = [
        (str(found[image]), label, part)
        for image, label, part in read_list()
        if image in found and part != "demo" and classes in ("all", "blood" if label in BLOOD else "marrow")
    ]
    if not rows:
        raise UserError(f"none of the listed images is below {', '.join(map(str, folders))}.")
    _write(output, [("path", "label", "split"), *rows])
    return len(rows)


def _write(output: Path, rows: Sequence[Row]) -> None:
    with disk_errors(f"write {output}", remedy="choose another --output=FILE"), atomic_text(output) as file:
        csv.writer(file).writerows(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("action", choices=("manifest", "draw"))
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True, action=Once)
    parser.add_argument("--classes", choices=("all", "blood", "marrow"), default="all", action=Once)
    given = parser.parse_args(arguments)
    try:
        if given.action == "manifest":
            count = manifest(given.folders, given.output, classes=given.classes)
        else:
            rows = draw(given.folders)
            count = len(rows)
            _write(given.output, [("image", "class", "part"), *rows])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{count} images in {given.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
