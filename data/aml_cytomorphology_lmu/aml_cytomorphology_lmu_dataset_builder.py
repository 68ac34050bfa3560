"""Leukocytes of 100 patients with acute myeloid leukaemia and 100 without (LMU Munich)."""

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from absl import logging

from ..builder import CellBuilder, Example, manual_folder
from ..files import ImageFile, folder_with, images_by_class, warn_of_counts
from .annotations import FILE, Annotation, find_annotations, read_annotations

DOCUMENTED = {
    "BAS": 79, "EBO": 78, "EOS": 424, "KSC": 15, "LYA": 11, "LYT": 3937, "MMZ": 15, "MOB": 26,
    "MON": 1789, "MYB": 42, "MYO": 3268, "NGB": 109, "NGS": 8484, "PMB": 18, "PMO": 70,
}  # fmt: skip
"""Images of each class."""


class Builder(CellBuilder):
    """One split, `train`. The label is the class folder; the later annotations are features."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Download AML-Cytomorphology_LMU (11 GB, licence: on that page) from
    https://doi.org/10.7937/tcia.2019.36f5o9ld and unpack it: the folder given here is the one that holds
    the 15 folders BAS ... PMO, or one above it. Keep annotations.dat beside them or one folder above."""
    CLASSES: ClassVar = {
        "BAS": "basophil",
        "EBO": "erythroblast",
        "EOS": "eosinophil",
        "KSC": "smudge cell",
        "LYA": "atypical lymphocyte",
        "LYT": "typical lymphocyte",
        "MMZ": "metamyelocyte",
        "MOB": "monoblast",
        "MON": "monocyte",
        "MYB": "myelocyte",
        "MYO": "myeloblast",
        "NGB": "band neutrophil",
        "NGS": "segmented neutrophil",
        "PMB": "bilobed promyelocyte",
        "PMO": "promyelocyte",
    }
    HOMEPAGE = "https://doi.org/10.7937/tcia.2019.36f5o9ld"
    LICENSE = "as stated at https://doi.org/10.7937/tcia.2019.36f5o9ld"

    def extra_features(self) -> dict[str, Any]:
        """The codes given at two later annotations, "" where there was none."""
        return {"reannotation1": tfds.features.Text(), "reannotation2": tfds.features.Text()}

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        root = folder_with(manual_folder(dl_manager), self.CLASSES)
        files = images_by_class(root, self.CLASSES, title=self.name)
        warn_of_counts(self.name, DOCUMENTED, Counter(file.folder for file in files))
        annotations = self._annotations(root, files)
        return {"train": self._generate_examples(files, lambda file: _rest(file, annotations))}

    def _annotations(self, root: Path, files: list[ImageFile]) -> dict[str, Annotation]:
        path = find_annotations(root)
        if path is None:
            logging.warning("%s: no %s beside the class folders or above", self.name, FILE)
            return {}
        annotations = read_annotations(path)
        other = [file.name for file in files if _label(file, annotations) not in ("", file.folder)]
        if other:
            logging.warning(
                "%s: %s and the folder disagree on %d images, first %s; the folder counts",
                self.name, FILE, len(other), other[0],
            )  # fmt: skip
        return annotations


_NONE = Annotation("", "", "")


def _label(file: ImageFile, annotations: dict[str, Annotation]) -> str:
    return annotations.get(file.path.name, _NONE).label


def _rest(file: ImageFile, annotations: dict[str, Annotation]) -> Example:
    annotation = annotations.get(file.path.name, _NONE)
    return {
        "label": file.folder,
        "reannotation1": annotation.reannotation1,
        "reannotation2": annotation.reannotation2,
    }
