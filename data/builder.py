"""What the builders share: features, random-access files, images kept as they are where possible."""

import inspect
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import cv2
import tensorflow_datasets as tfds

from asae_jax.errors import UserError
from asae_jax.input.decode import BadImage, read_image
from asae_jax.types import HostImage

from .files import ImageFile, warn_left_out

Example = dict[str, Any]

_KEPT = frozenset({".jpg", ".jpeg", ".jpe"})


class CellBuilder(tfds.core.GeneratorBasedBuilder):
    """A set of single-cell images that the user has downloaded.

    Examples have `image` (uint8 RGB), `label` (-1 where the set gives none), `name` (path in the set),
    and what `extra_features` adds. Files are written as array records, which can be read in any order:
    balanced batches need that.

    Attributes:
      CLASSES: code -> full name, in the order of the labels. Sorted, as a folder of class folders is.
      HOMEPAGE: where the set is described.
      LICENSE: as the set's source states it.
    """

    VERSION = tfds.core.Version("1.0.0")
    CLASSES: ClassVar[Mapping[str, str]]
    HOMEPAGE: ClassVar[str]
    LICENSE: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        # TFDS 4.9.10 looks for it with importlib_resources, which it requires for Python 3.8 only.
        cls.code_path = Path(inspect.getfile(cls))

    def __init__(self, *, file_format: Any = None, **kwargs: Any):
        super().__init__(file_format=file_format or "array_record", **kwargs)

    @property
    def classes(self) -> Mapping[str, str]:
        """Code -> full name in this configuration."""
        return self.CLASSES

    def extra_features(self) -> dict[str, Any]:
        """Features beside image, label and name."""
        return {}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(),
                    "label": tfds.features.ClassLabel(names=list(self.classes)),
                    "name": tfds.features.Text(),
                    **self.extra_features(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage=self.HOMEPAGE,
            license=self.LICENSE,
            metadata=tfds.core.MetadataDict(full_names=dict(self.classes)),
        )

    def _generate_examples(
        self, files: Iterable[ImageFile], rest: Callable[[ImageFile], Example]
    ) -> Iterator[tuple[str, Example]]:
        """(key, example) of every readable file. `rest` gives what is no image and no name."""
        unreadable = []
        for file in files:
            try:
                image = encoded(file.path)
            except BadImage as error:
                unreadable.append(f"{file.name}: {error.reason}")
                continue
            yield file.name, {"image": image, "name": file.name, **rest(file)}
        warn_left_out(self.name, "cannot be read", unreadable)


def manual_folder(dl_manager: Any) -> Path:
    """The folder the user unpacked the set to.

    Raises:
      UserError: it does not exist.
    """
    try:
        return Path(dl_manager.manual_dir)
    except AssertionError as error:  # its message is the builder's instructions, over many lines
        raise UserError(" ".join(str(error).split())) from error


def encoded(path: Path) -> Any:
    """An image for `tfds.features.Image`: a JPEG's path, so that its bytes are kept, or else RGB as PNG.

    TensorFlow decodes no TIFF, and alpha must go: PNG changes no pixel.

    Raises:
      BadImage: it cannot be read. A JPEG is opened only, not decoded.
    """
    if path.suffix.lower() not in _KEPT:
        return io.BytesIO(png(read_image(path)))
    try:
        with path.open("rb"):
            return str(path)
    except OSError as error:
        raise BadImage(path, error.strerror) from error


def png(image: HostImage) -> bytes:
    """An RGB image `[height, width, 3]`, uint8, as PNG."""
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()
