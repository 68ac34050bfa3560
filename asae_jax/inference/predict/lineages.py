"""Which lineage a class belongs to: what the M:E ratio and the share of blasts are counted from.

`lineages.csv`, in this package, has the codes of the public sets that `data/` knows and of the built-in
cells. The choices in it:

- myeloid: granulocytes, monocytes and their precursors, with blasts that are called myeloid;
- erythroid: nucleated red precursors;
- blasts of no lineage (BM_cytomorphology's BLA, WBCBench's BL) count as blasts, and not as myeloid;
- an abnormal promyelocyte counts as a myeloid cell, not as a blast (in acute promyelocytic leukaemia it
  is the equivalent of one: a user's own CSV file can say so);
- none: platelets, smudged cells, artefacts and what cannot be identified are left out of the whole that
  percentages refer to.
"""

import dataclasses
import importlib.resources
from collections.abc import Mapping
from pathlib import Path

from asae_jax.input.manifest import fault, read_rows

LINEAGES = ("myeloid", "erythroid", "lymphoid", "none", "")

_TRUTH = {"": False, "no": False, "yes": True}


@dataclasses.dataclass(frozen=True)
class Lineage:
    """The lineage of one class.

    Attributes:
      name: one of `LINEAGES`; "none" leaves the class out of the count, empty means not known.
      blast: whether its cells are blasts.
      known: whether the file names the class.
    """

    name: str = ""
    blast: bool = False
    known: bool = True


def class_lineages(class_names: tuple[str, ...], path: Path | None = None) -> tuple[Lineage, ...]:
    """The lineage of each class, from a CSV file `class,lineage[,blast]`.

    Names are compared without regard to case, and with spaces and hyphens as underscores.

    Args:
      class_names: of a run.
      path: the file; `lineage` is one of `LINEAGES`, `blast` is yes, no or empty. None: the built-in one.

    Raises:
      UserError: with file and line: not such a file, an unknown lineage, or a class that is there twice.
    """
    if path is None:
        built_in = importlib.resources.files("asae_jax.inference.predict") / "lineages.csv"
        with importlib.resources.as_file(built_in) as file:
            table = _read(file)
    else:
        table = _read(path)
    return tuple(table.get(_plain(name), Lineage(known=False)) for name in class_names)


def _read(path: Path) -> dict[str, Lineage]:
    _, rows = read_rows(path, required=("class", "lineage"), optional=("blast",))
    table: dict[str, Lineage] = {}
    for line, row in rows:
        name = _plain(row["class"])
        if name in table:
            raise fault(path, line, f"class {row['class']} is there twice", "keep one of the lines")
        table[name] = Lineage(
            _one_of(path, line, row, "lineage", LINEAGES),
            _TRUTH[_one_of(path, line, row, "blast", tuple(_TRUTH))],
        )
    return table


def _one_of(path: Path, line: int, row: Mapping[str, str], column: str, choices: tuple[str, ...]) -> str:
    value = row.get(column, "").lower()
    if value not in choices:
        known = ", ".join(choice for choice in choices if choice)
        raise fault(path, line, f"unknown {column} {row[column]!r}", f"use one of {known}, or leave it empty")
    return value


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")
