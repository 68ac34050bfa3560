"""The file of annotations: which cells were looked at again, and what was said then."""

import dataclasses
from pathlib import Path

from asae_jax.files import disk_errors, read_bounded
from asae_jax.input.csv_rows import fault

FILE = "annotations.dat"


@dataclasses.dataclass(frozen=True, slots=True)
class Annotation:
    """A cell's code and the codes of the two later annotations; "" where there is none."""

    label: str
    reannotation1: str
    reannotation2: str


def find_annotations(root: Path) -> Path | None:
    """The file beside the class folders or one folder above, as the archive has it."""
    return next((place for folder in (root, root.parent) if (place := folder / FILE).is_file()), None)


def read_annotations(path: Path) -> dict[str, Annotation]:
    """File name -> annotation. Rows are `path label reannotation1 reannotation2`, without a header.

    Fields are divided by spaces; "nan", or nothing, stands for no annotation. The file names are unique
    in the set, and paths are not told from the same root everywhere, so names are the key.

    Raises:
      UserError: the file cannot be read, or is not UTF-8.
    """
    found = {}
    for line in _text(path).splitlines():
        fields = [field if field.lower() != "nan" else "" for field in line.split()] + [""] * 4
        if fields[0]:
            found[fields[0].rsplit("/", 1)[-1]] = Annotation(*fields[1:4])
    return found


def _text(path: Path) -> str:
    remedy = "use the file as the archive gives it"
    with disk_errors(f"read {path}", remedy=remedy):
        content = read_bounded(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise fault(path, line, "not UTF-8", remedy) from error
