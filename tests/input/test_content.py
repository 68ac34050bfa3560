"""Images and files are told apart by what they hold."""

import cv2
import numpy as np
import pytest

from asae_jax.input.content import CONTENT_TYPE, bytes_content, file_contents, image_content, read_contents


def test_an_image_is_known_by_its_pixels_and_their_shape():
    image = np.random.default_rng(0).integers(0, 256, (6, 4, 3), np.uint8)
    other = image.copy()
    other[5, 3, 2] ^= 1
    assert image_content(image) == image_content(np.asfortranarray(image)) != image_content(other)
    assert image_content(image) != image_content(image.reshape(4, 6, 3))
    assert len(image_content(image)) == 32


def test_images_are_read_in_their_order_and_those_that_cannot_be_say_why(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 9, 8, 3), np.uint8)
    paths = [str(tmp_path / f"{number}.png") for number in range(21)]
    for path, image in zip(paths, images, strict=False):
        cv2.imwrite(path, image[..., ::-1])
    *found, (nothing, reason) = read_contents(paths, "reading")
    assert found == [(image_content(image), "") for image in images]
    assert nothing == ""
    assert "No such file" in reason


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "cell.bmp"
    path.write_bytes(bytes(100_000))
    return path


@pytest.mark.parametrize("place", [0, 4000, 50_000, 96_000, 99_999])
def test_a_byte_of_the_samples_tells_files_of_one_size_apart(file, place):
    (before,) = file_contents([file])
    data = bytearray(file.read_bytes())
    data[place] = 1
    file.write_bytes(data)
    assert file_contents([file])[0] != before


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 8192, 12_288])
def test_small_files_are_read_whole(file, size):
    file.write_bytes(bytes(size))
    (before,) = file_contents([file])
    for place in range(0, size, 97):
        data = bytearray(size)
        data[place] = 1
        file.write_bytes(data)
        assert file_contents([file])[0] != before
    file.write_bytes(bytes(size + 1))
    assert file_contents([file])[0] != before


def test_files_are_told_in_their_order_and_what_cannot_be_read_is_empty(tmp_path):
    paths = [tmp_path / f"{number}" for number in range(600)]
    for number, path in enumerate(paths):
        path.write_text(f"{number % 500:06}")
    contents = file_contents([*paths, tmp_path / "none", tmp_path / "a\0b", tmp_path])
    assert contents.dtype == CONTENT_TYPE
    assert contents[600:].tolist() == [b"", b"", b""]
    assert contents[:100].tolist() == contents[500:600].tolist()
    assert len(set(contents[:500].tolist())) == 500
    assert file_contents(map(str, paths)).tolist() == contents[:600].tolist()
    assert file_contents([]).shape == (0,)


@pytest.mark.parametrize("size", [0, 1, 4096, 12_289, 100_000])
def test_bytes_are_known_as_a_file_that_holds_them(file, size):
    data = np.random.default_rng(size).bytes(size)
    file.write_bytes(data)
    assert file_contents([file])[0].decode() == bytes_content(data) == bytes_content(memoryview(data))
