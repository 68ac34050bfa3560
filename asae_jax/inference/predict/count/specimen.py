"""Blood or marrow: what a differential count refers to, and which ratio belongs to it.

- Marrow: percentages are of all nucleated cells, with the M:E ratio (Lee et al. 2008, ICSH guidelines for
  bone marrow specimens and reports).
- Blood: percentages are of the white cells, which are all cells counted but the nucleated red ones; these are
  given per 100 white cells, and an M:E ratio means nothing.

Platelets, smudge cells and artefacts belong to neither whole. Where it is not known which of the two the
cells are, percentages are of all nucleated cells, and both ratios are given, each with the word "if".
"""

import dataclasses
from collections.abc import Iterable

from ml_collections import ConfigDict

REMEDY = "Say --specimen=blood or --specimen=marrow, or choose on the page"


@dataclasses.dataclass(frozen=True)
class Specimen:
    """What the cells were taken from.

    Attributes:
      name: "blood", "marrow", or empty where it is not known.
      whole: what percentages refer to, in words.
      red_cells_counted: whether nucleated red cells are part of that whole.
      myeloid_erythroid: whether the M:E ratio is given.
      red_per_100: whether nucleated red cells are given per 100 white cells.
      recommended: how many cells of the whole should be counted at least; 0 where that is not known.
      recommendation: who says so, in words.
    """

    name: str
    whole: str
    red_cells_counted: bool
    myeloid_erythroid: bool
    red_per_100: bool
    recommended: int
    recommendation: str


UNKNOWN = Specimen("", "nucleated cells", True, True, True, 0, "")
BLOOD = Specimen(
    "blood", "white cells", False, False, True, 200,
    "the WHO classification asks for 200 white cells of blood, a routine differential for 100",
)  # fmt: skip
MARROW = Specimen(
    "marrow", "nucleated cells", True, True, False, 500,
    "ICSH and the WHO classification ask for 500 nucleated cells of marrow",
)  # fmt: skip
SPECIMENS = {specimen.name: specimen for specimen in (UNKNOWN, BLOOD, MARROW)}


def specimen_of(configs: Iterable[ConfigDict]) -> Specimen:
    """Of the runs that predict together: what the command says, else what the runs say where they agree.

    Args:
      configs: the settings of each run, the command's own first.
    """
    first, *others = configs
    if first.predict.specimen:
        return SPECIMENS[first.predict.specimen]
    said = {config.data.specimen for config in (first, *others)} - {""}
    return SPECIMENS[said.pop()] if len(said) == 1 else UNKNOWN
