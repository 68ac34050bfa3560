import numpy as np
import pytest
from PIL import Image

from asae_jax.inference.inputs import read_input
from asae_jax.inference.reading import read_batches
from asae_jax.input.cache import prepare_examples
from asae_jax.input.content import image_content
from asae_jax.input.decode import read_image
from asae_jax.input.folder import folder_index
from asae_jax.input.preparation import Preparation
from asae_jax.synthetic import render


@pytest.fixture
def cells(tmp_path):
    """Two JPEGs, one of them four times as large as the other, and a PNG file."""
    for name, side in (("A/0.jpg", 140), ("A/1.jpg", 40), ("B/2.png", 140)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(render(0, 5, size=side)).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("cached", [False, True])
def test_images_are_prepared_as_in_training_however_they_are_decoded(cells, cached, tmp_path):
    ways = [Preparation(30, decoding=decoding) for decoding in ("full", "reduced")]
    (batch,) = read_batches(read_input(str(cells)), ways, 3, thumbnails=False, workers=1)
    index = folder_index(cells)
    places = {}
    for way, images in zip(ways, batch.images, strict=True):
        cache_dir = tmp_path / "cache" if cached else None
        trained = prepare_examples(index, way, cache_dir=cache_dir, progress=False)
        np.testing.assert_array_equal(images, trained.read_batch(np.arange(3)))
        places[way.decoding] = trained.store.directory if cached else None
    differ = [(left != right).any() for left, right in zip(*batch.images, strict=True)]
    assert differ == [True, False, False]
    assert not cached or places["full"] != places["reduced"]


def test_what_an_image_is_does_not_depend_on_how_it_is_decoded(cells):
    items = read_input(str(cells))
    (batch,) = read_batches(items, [Preparation(30, decoding="reduced")], 3, thumbnails=False, workers=1)
    assert list(batch.contents) == [image_content(read_image(item.file)) for item in items]
