"""Two runs of one small network and a folder of images, one of them damaged."""

import numpy as np
import pytest
from PIL import Image

from tests.made_runs import untrained_run
from tests.training.tiny import shallow, tiny_config

CLASS_NAMES = ("BLA", "EBO", "NGS")
SIZE = 20
"""Stored pixels; the network sees the middle 16."""


@pytest.fixture(scope="module", autouse=True)
def _shallow():
    with shallow():
        yield


def _untrained(workdir, seed):
    """A run folder as training leaves it, with the weights it would start from."""
    config = tiny_config(data__stored_size=SIZE, augment__size=16, data__hue="none", model__width=4)
    config.eval.batch_size = 8
    config.seed = seed
    return untrained_run(workdir, config, CLASS_NAMES)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    with shallow():
        return [_untrained(folder / f"seed{seed}", seed) for seed in (0, 1)]


@pytest.fixture(scope="session")
def images():
    """uint8 `[11, SIZE, SIZE, 3]`, smooth, so that an untrained network tells them apart."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (11, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)


@pytest.fixture(scope="session")
def folder(tmp_path_factory, images):
    """Eleven good images in two subfolders, and one that is no image, in the middle of the order."""
    root = tmp_path_factory.mktemp("cells")
    for number, image in enumerate(images):
        path = root / ("slide_a" if number < 5 else "slide_b") / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    (root / "slide_a" / "02x.jpg").write_bytes(b"not an image")
    (root / "notes.txt").write_text("no image by its name")
    return root
