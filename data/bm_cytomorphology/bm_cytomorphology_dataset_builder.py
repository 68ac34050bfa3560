"""Bone-marrow cells of 945 patients in 21 classes (Munich Leukemia Laboratory)."""

from collections import Counter
from typing import Any, ClassVar

from ..builder import CellBuilder, manual_folder
from ..files import folder_with, images_by_class, warn_of_counts

DOCUMENTED = {
    "ABE": 8, "ART": 19630, "BAS": 441, "BLA": 11973, "EBO": 27395, "EOS": 5883, "FGC": 47,
    "HAC": 409, "KSC": 42, "LYI": 65, "LYT": 26242, "MMZ": 3055, "MON": 4040, "MYB": 6557,
    "NGB": 9968, "NGS": 29424, "NIF": 3538, "OTH": 294, "PEB": 2740, "PLM": 7629, "PMO": 11994,
}  # fmt: skip
"""Images of each class."""


class Builder(CellBuilder):
    """One split, `train`. Class folders hold images, or folders of a thousand images."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Download Bone-Marrow-Cytomorphology_MLL_Helmholtz_Fraunhofer (6.8 GB, CC BY 4.0) from
    https://doi.org/10.7937/TCIA.AXH3-T579 and unpack it: the folder given here is the one that holds
    the 21 folders ABE ... PMO, or one above it."""
    CLASSES: ClassVar = {
        "ABE": "abnormal eosinophil",
        "ART": "artefact",
        "BAS": "basophil",
        "BLA": "blast",
        "EBO": "erythroblast",
        "EOS": "eosinophil",
        "FGC": "faggot cell",
        "HAC": "hairy cell",
        "KSC": "smudge cell",
        "LYI": "immature lymphocyte",
        "LYT": "lymphocyte",
        "MMZ": "metamyelocyte",
        "MON": "monocyte",
        "MYB": "myelocyte",
        "NGB": "band neutrophil",
        "NGS": "segmented neutrophil",
        "NIF": "not identifiable",
        "OTH": "other cell",
        "PEB": "proerythroblast",
        "PLM": "plasma cell",
        "PMO": "promyelocyte",
    }
    HOMEPAGE = "https://doi.org/10.7937/TCIA.AXH3-T579"
    LICENSE = "CC BY 4.0"

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        root = folder_with(manual_folder(dl_manager), self.CLASSES)
        files = images_by_class(root, self.CLASSES, title=self.name)
        warn_of_counts(self.name, DOCUMENTED, Counter(file.folder for file in files))
        return {"train": self._generate_examples(files, lambda file: {"label": file.folder})}
