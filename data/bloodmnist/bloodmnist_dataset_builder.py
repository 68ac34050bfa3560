"""BloodMNIST: the Acevedo cells cropped, shrunk and split by MedMNIST."""

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from asae_jax.errors import UserError
from asae_jax.input.npz import BLOODMNIST

from ..builder import CellBuilder, Example, manual_folder, png
from ..files import warn_of_counts
from .arrays import rows

SIZES = (28, 64, 128, 224)
"""Pixels; one file each."""
DOCUMENTED = {"train": 11959, "validation": 1712, "test": 3421}
"""Images of each split."""
_PARTS = {"train": "train", "validation": "val", "test": "test"}


class Builder(CellBuilder):
    """Splits `train`, `validation`, `test`, as MedMNIST draws them; one configuration a size."""

    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name=str(size), description=f"{size} px") for size in SIZES
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """\
    Download bloodmnist.npz (28 px), bloodmnist_64.npz, bloodmnist_128.npz or bloodmnist_224.npz (CC BY 4.0)
    from https://doi.org/10.5281/zenodo.10519652: the folder given here is the one that holds the file."""
    CLASSES: ClassVar = {name: name for name in BLOODMNIST}
    HOMEPAGE = "https://medmnist.com/"
    LICENSE = "CC BY 4.0"

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        path = manual_folder(dl_manager) / _file_name(self.builder_config.name)
        if not path.is_file():
            raise UserError(
                f"{path} does not exist: download it from https://doi.org/10.5281/zenodo.10519652"
            )
        found = Counter(
            {split: sum(1 for _ in rows(path, f"{part}_labels")) for split, part in _PARTS.items()}
        )
        warn_of_counts(self.name, DOCUMENTED, found)
        return {split: _examples(path, part) for split, part in _PARTS.items()}


def _examples(path: Path, part: str) -> Iterator[tuple[str, Example]]:
    labels = (int(row.reshape(())) for row in rows(path, f"{part}_labels"))
    images = rows(path, f"{part}_images")
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        name = f"{part}/{number:05d}"
        yield name, {"image": io.BytesIO(png(image)), "label": label, "name": name}


def _file_name(size: str) -> str:
    return "bloodmnist.npz" if size == "28" else f"bloodmnist_{size}.npz"
