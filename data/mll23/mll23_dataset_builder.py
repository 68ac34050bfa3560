"""MLL23: peripheral-blood cells in 18 classes (Munich Leukemia Laboratory)."""

from collections import Counter
from typing import Any, ClassVar

from ..builder import CellBuilder, manual_folder
from ..files import folder_with, images_by_class, warn_of_counts

DOCUMENTED = {
    "basophil": 616, "eosinophil": 2448, "hairy_cell": 3265, "lymphocyte": 5532,
    "lymphocyte_large_granular": 1849, "lymphocyte_neoplastic": 180, "lymphocyte_reactive": 33,
    "metamyelocyte": 483, "monocyte": 2510, "myeloblast": 8606, "myelocyte": 747,
    "neutrophil_band": 687, "neutrophil_segmented": 7170, "normoblast": 2071, "plasma_cell": 1658,
    "promyelocyte": 745, "promyelocyte_atypical": 2033, "smudge_cell": 988,
}  # fmt: skip
"""Images of each class, from `labels_MLL23.csv` of the authors' repository."""


class Builder(CellBuilder):
    """One split, `train`."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Download the class archives of MLL23 from https://doi.org/10.5281/zenodo.14277609 (licence: on that
    page) and unpack each: the folder given here is the one that holds the 18 folders basophil ...
    smudge_cell, or one above it."""
    CLASSES: ClassVar = {
        "basophil": "basophil granulocyte",
        "eosinophil": "eosinophil granulocyte",
        "hairy_cell": "hairy cell",
        "lymphocyte": "typical lymphocyte",
        "lymphocyte_large_granular": "large granular lymphocyte",
        "lymphocyte_neoplastic": "other neoplastic lymphocyte",
        "lymphocyte_reactive": "reactive lymphocyte",
        "metamyelocyte": "metamyelocyte",
        "monocyte": "monocyte",
        "myeloblast": "myeloblast",
        "myelocyte": "myelocyte",
        "neutrophil_band": "band neutrophil granulocyte",
        "neutrophil_segmented": "segmented neutrophil granulocyte",
        "normoblast": "normoblast",
        "plasma_cell": "plasma cell",
        "promyelocyte": "promyelocyte",
        "promyelocyte_atypical": "atypical promyelocyte",
        "smudge_cell": "smudge cell",
    }
    HOMEPAGE = "https://doi.org/10.5281/zenodo.14277609"
    LICENSE = "as stated at https://doi.org/10.5281/zenodo.14277609"

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        root = folder_with(manual_folder(dl_manager), self.CLASSES)
        files = images_by_class(root, self.CLASSES, title=self.name)
        warn_of_counts(self.name, DOCUMENTED, Counter(file.folder for file in files))
        return {"train": self._generate_examples(files, lambda file: {"label": file.folder})}
