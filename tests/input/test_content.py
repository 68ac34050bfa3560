"""Images and files are told apart by what they hold."""

import numpy as np
import pytest

from asae_jax.input.content import image_content, sampled_content


def test_an_image_is_known_by_its_pixels_and_their_shape():
    image = np.random.default_rng(0).integers(0, 256, (6, 4, 3), np.uint8)
    other = image.copy()
    other[5, 3, 2] ^= 1
    assert image_content(image) == image_content(np.asfortranarray(image)) != image_content(other)
    assert image_content(image) != image_content(image.reshape(4, 6, 3))
    assert len(image_content(image)) == 32


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cell.bmp"
    path.write_bytes(bytes(100_000))
    return path


@pytest.mark.parametrize("place", [0, 4000, 50_000, 96_000, 99_999])
def test_a_byte_of_the_samples_tells_files_of_one_size_apart(file, place):
    before = sampled_content([file])
    data = bytearray(file.read_bytes())
    data[place] = 1
    file.write_bytes(data)
    assert sampled_content([file]) != before


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 8192, 12_288])
def test_small_files_are_read_whole(file, size):
    file.write_bytes(bytes(size))
    before = sampled_content([file])
    for place in range(0, size, 97):
        data = bytearray(size)
        data[place] = 1
        file.write_bytes(data)
        assert sampled_content([file]) != before
    file.write_bytes(bytes(size + 1))
    assert sampled_content([file]) != before


def test_order_number_and_absence_of_files_count(tmp_path):
    paths = [tmp_path / f"{number}" for number in range(600)]
    for number, path in enumerate(paths):
        path.write_text(f"{number:06}")
    digests = {
        sampled_content(chosen)
        for chosen in (paths, paths[::-1], paths[:-1], [*paths, tmp_path / "none"], [], [tmp_path / "a\0b"])
    }
    assert len(digests) == 6
    assert sampled_content(iter(paths)) == sampled_content(map(str, paths))
