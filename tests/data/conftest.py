"""Sets in their true layout, a few small images each, and what a builder makes of them."""

import cv2
import numpy as np
import pytest
from PIL import Image

from data import builder_class


class Made:
    """A folder that stands for an unpacked archive."""

    def __init__(self, root):
        self.root = root
        self._random = np.random.default_rng(0)

    def pixels(self, *, size=12, channels=3):
        return self._random.integers(0, 256, (size, size, channels), np.uint8)

    def jpeg(self, name):
        """Writes an image and returns its bytes."""
        path = self._path(name)
        Image.fromarray(self.pixels()).save(path, quality=95)
        return path.read_bytes()

    def tiff(self, name, *, channels=4):
        """Writes an image, alpha arbitrary, and returns its RGB pixels."""
        pixels = self.pixels(channels=channels)
        Image.fromarray(pixels).save(self._path(name), format="TIFF")
        return pixels[..., :3]

    def text(self, name, content):
        self._path(name).write_text(content, encoding="utf-8")

    def _path(self, name):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path / "unpacked")


@pytest.fixture
def prepare(made, tmp_path):
    """Prepares the made set as the user does, and gives the builder, read back from disk."""
    import tensorflow_datasets as tfds

    def run(name, config=None):
        data_dir = tmp_path / "prepared"
        builder = builder_class(name)(data_dir=data_dir, config=config)
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=made.root),
            download_dir=data_dir / "downloads",
        )
        return tfds.builder("/".join(filter(None, (name, config))), data_dir=data_dir)

    return run


@pytest.fixture
def examples():
    """Split -> {name: example}, read by position; images as they are stored, labels as codes."""
    import tensorflow_datasets as tfds

    def read(builder, split="train"):
        source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
        codes = builder.info.features["label"].names
        found = {}
        for position in reversed(range(len(source))):
            example = dict(source[position])
            example["label"] = codes[example["label"]] if example["label"] >= 0 else None
            found[example.pop("name").decode()] = example
        assert len(found) == len(source)
        return found

    return read


@pytest.fixture
def decoded():
    """RGB of stored bytes, by another decoder than the builders' encoder."""

    def decode(content):
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]

    return decode
