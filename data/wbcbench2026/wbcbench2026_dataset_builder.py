"""WBCBench 2026: white blood cells in 13 classes, pristine (phase 1) and degraded (phase 2)."""

from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from asae_jax.errors import UserError

from ..builder import CellBuilder, manual_folder
from ..files import ImageFile, folder_with, warn_left_out
from .labels import read_labels

SPLITS = {
    "phase1": {"train": ("phase1", "phase1_label.csv")},
    "phase2": {
        "train": ("phase2/train", "phase2_train.csv"),
        "validation": ("phase2/eval", "phase2_eval.csv"),
        "test": ("phase2/test", "phase2_test.csv"),
    },
}
"""Configuration -> split -> (folder of images, file of labels)."""
UNLABELLED = -1


class Builder(CellBuilder):
    """The splits of a phase whose file of labels is there. Label -1 where the challenge gives none."""

    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name="phase1", description="pristine images"),
        tfds.core.BuilderConfig(name="phase2", description="degraded images, split by the challenge"),
    ]

    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Join https://www.kaggle.com/competitions/wbc-bench-2026, accept its rules, download its data and unpack
    it: the folder given here is the one that holds phase1, phase2 and the four CSV files, or one above
    it."""
    CLASSES: ClassVar = {
        "BA": "basophil",
        "BL": "blast",
        "BNE": "band neutrophil",
        "EO": "eosinophil",
        "LY": "lymphocyte",
        "MMY": "metamyelocyte",
        "MO": "monocyte",
        "MY": "myelocyte",
        "PC": "plasma cell",
        "PLY": "prolymphocyte",
        "PMY": "promyelocyte",
        "SNE": "segmented neutrophil",
        "VLY": "variant (atypical) lymphocyte",
    }
    HOMEPAGE = "https://xudong-ma.github.io/WBCBench2026-Robust-White-Blood-Cell-Classification/"
    LICENSE = "CC BY-NC 4.0 and the challenge's rules"

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        splits = SPLITS[self.builder_config.name]
        root = folder_with(manual_folder(dl_manager), (self.builder_config.name,))
        present = {split: places for split, places in splits.items() if (root / places[1]).is_file()}
        absent = [labels_file for _, labels_file in splits.values() if not (root / labels_file).is_file()]
        if not present:
            raise UserError(f"{root} lacks {absent[0]}: unpack the whole archive of the challenge")
        warn_left_out(self.name, "split without its file of labels", absent)
        return {split: self._split(root, *places) for split, places in present.items()}

    def _split(self, root: Path, folder: str, labels_file: str) -> Any:
        rows = list(read_labels(root / labels_file))
        labels = dict(rows)
        title = f"{self.name} {folder}"
        absent = [name for name in labels if not (root / folder / name).is_file()]
        warn_left_out(title, "in the file of labels, not in the folder", absent)
        unknown = [name for name, code in labels.items() if code and code not in self.CLASSES]
        warn_left_out(title, "unknown class", [f"{name}: {labels[name]}" for name in unknown])
        contradicting = sorted({name for name, code in rows if code != labels[name]})
        warn_left_out(title, "listed with two classes", contradicting)
        files = [
            ImageFile(root / folder / name, f"{folder}/{name}", folder)
            for name in sorted(set(labels).difference(absent, unknown, contradicting))
        ]
        label_of = {f"{folder}/{name}": code for name, code in labels.items()}
        return self._generate_examples(files, lambda file: {"label": label_of[file.name] or UNLABELLED})
