"""Normal peripheral-blood cells (Hospital Clinic of Barcelona), by type or by maturity."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from ..builder import CellBuilder, manual_folder
from ..files import ImageFile, folder_with, images_by_class, warn_left_out, warn_of_counts

TYPES = {
    "basophil": "basophil",
    "eosinophil": "eosinophil",
    "erythroblast": "erythroblast",
    "ig": "immature granulocyte: promyelocyte, myelocyte or metamyelocyte",
    "lymphocyte": "lymphocyte",
    "monocyte": "monocyte",
    "neutrophil": "neutrophil, band or segmented",
    "platelet": "platelet (thrombocyte)",
}
"""The eight class folders."""
STAGES = {
    "BA": "basophil",
    "BNE": "band neutrophil",
    "EO": "eosinophil",
    "ERB": "erythroblast",
    "LY": "lymphocyte",
    "MMY": "metamyelocyte",
    "MO": "monocyte",
    "MY": "myelocyte",
    "PLATELET": "platelet (thrombocyte)",
    "PMY": "promyelocyte",
    "SNE": "segmented neutrophil",
}
"""The prefixes of file names that name one stage."""
UNSTAGED = ("IG", "NEUTROPHIL")
"""The prefixes that leave the stage open."""
DOCUMENTED_TYPES = {
    "basophil": 1218, "eosinophil": 3117, "erythroblast": 1551, "ig": 2895, "lymphocyte": 1214,
    "monocyte": 1420, "neutrophil": 3329, "platelet": 2348,
}  # fmt: skip
"""Images of each class folder."""
DOCUMENTED_PREFIXES = {
    "BA": 1218, "BNE": 1633, "EO": 3117, "ERB": 1551, "IG": 151, "LY": 1214, "MMY": 1015, "MO": 1420,
    "MY": 1137, "NEUTROPHIL": 50, "PLATELET": 2348, "PMY": 592, "SNE": 1646,
}  # fmt: skip
"""Images of each prefix."""


class Builder(CellBuilder):
    """One split, `train`. In `types` the label is the class folder, in `maturity` the prefix."""

    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name="types", description="8 classes, as the set's folders"),
        tfds.core.BuilderConfig(
            name="maturity", description="11 classes by file prefix; images of no stated stage left out"
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Download PBC_dataset_normal_DIB.zip (CC BY 4.0) from https://doi.org/10.17632/snkd93bnjr.1 and unpack
    it: the folder given here is the one that holds the 8 folders basophil ... platelet, or one above it."""
    CLASSES: ClassVar = TYPES
    HOMEPAGE = "https://doi.org/10.17632/snkd93bnjr.1"
    LICENSE = "CC BY 4.0"

    @property
    def classes(self) -> Mapping[str, str]:
        """Code -> full name in this configuration."""
        return STAGES if self.builder_config.name == "maturity" else TYPES

    def extra_features(self) -> dict[str, Any]:
        """The prefix of the file name in capitals, the finer class."""
        return {"prefix": tfds.features.Text()}

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        root = folder_with(manual_folder(dl_manager), TYPES)
        files = images_by_class(root, TYPES, title=self.name)
        if self.builder_config.name == "maturity":
            return {"train": self._by_prefix(files)}
        warn_of_counts(self.name, DOCUMENTED_TYPES, Counter(file.folder for file in files))
        return {
            "train": self._generate_examples(
                files, lambda file: {"label": file.folder, "prefix": _prefix(file)}
            )
        }

    def _by_prefix(self, files: list[ImageFile]) -> Any:
        warn_of_counts(self.name, DOCUMENTED_PREFIXES, Counter(_prefix(file) for file in files))
        unknown = [file.name for file in files if _prefix(file) not in (*STAGES, *UNSTAGED)]
        warn_left_out(self.name, "unknown file prefix", unknown)
        staged = [file for file in files if _prefix(file) in STAGES]
        return self._generate_examples(staged, lambda file: {"label": _prefix(file), "prefix": _prefix(file)})


def _prefix(file: ImageFile) -> str:
    """ "BNE" of `neutrophil/BNE_495078.jpg`."""
    return file.path.name.partition("_")[0].upper()
