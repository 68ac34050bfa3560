"""Raabin-WBC: normal white blood cells, two microscopes and cameras, double-labelled crops."""

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from ..builder import CellBuilder, manual_folder
from ..files import folder_with, images_by_class, warn_of_counts

TEST_FOLDERS = {"test_a": "TestA", "test_b": "TestB"}
"""Configuration -> folder of its split `test`."""
DOCUMENTED = {
    "Train": {"Basophil": 212, "Eosinophil": 744, "Lymphocyte": 2427, "Monocyte": 561, "Neutrophil": 6231},
    "TestA": {"Basophil": 89, "Eosinophil": 322, "Lymphocyte": 1034, "Monocyte": 234, "Neutrophil": 2660},
}
"""Images of each class; none known to us for TestB."""


class Builder(CellBuilder):
    """Splits `train` and `test`: TestA or TestB. Labels are numbered as in Train, whatever TestB lacks."""

    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name="test_a", description="TestA: microscope and camera of Train"),
        tfds.core.BuilderConfig(name="test_b", description="TestB: another microscope and camera"),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Download the double-labelled cropped cells (Train, TestA, TestB) from https://raabindata.com/free-data/
    (terms: on that page) and unpack them: the folder given here is the one that holds Train, TestA and
    TestB, or one above it."""
    CLASSES: ClassVar = {
        "Basophil": "basophil",
        "Eosinophil": "eosinophil",
        "Lymphocyte": "lymphocyte",
        "Monocyte": "monocyte",
        "Neutrophil": "neutrophil, band or segmented",
    }
    HOMEPAGE = "https://raabindata.com/free-data/"
    LICENSE = "as stated at https://raabindata.com/free-data/"

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        test_folder = TEST_FOLDERS[self.builder_config.name]
        root = folder_with(manual_folder(dl_manager), ("Train", test_folder))
        return {"train": self._split(root / "Train"), "test": self._split(root / test_folder)}

    def _split(self, folder: Path) -> Any:
        title = f"{self.name} {folder.name}"
        inner = folder_with(folder, self.CLASSES)  # unpackers make Train/Train of Train.rar
        files = images_by_class(inner, self.CLASSES, title=title)
        warn_of_counts(title, DOCUMENTED.get(folder.name, {}), Counter(file.folder for file in files))
        return self._generate_examples(files, lambda file: {"label": file.folder})
