"""Reading and writing at a position gives the same bytes on systems without the calls for it."""

import os

import numpy as np
import pytest

from asae_jax.input.cache import prepare_examples
from asae_jax.input.content import file_contents
from asae_jax.input.npz import npz_index
from asae_jax.input.positioned import open_binary, read_at, read_into, write_at
from asae_jax.input.preparation import Preparation
from tests.input.test_npz import arrays

_LINES = b"a\r\nb\n\x1ac\0" * 700


@pytest.fixture(params=[True, False], ids=["with the calls", "without"])
def system(request, monkeypatch):
    """With `pread`, `preadv` and `pwrite`, and as Windows is, without."""
    if request.param:
        if not hasattr(os, "preadv"):
            pytest.skip("this system has no such calls")
    else:
        for name in ("pread", "preadv", "pwrite"):
            monkeypatch.delattr(os, name, raising=False)


def test_bytes_are_read_and_written_where_they_belong(system, tmp_path):
    file = open_binary(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        assert write_at(file, _LINES, 0) == len(_LINES)
        assert write_at(file, memoryview(b"xyz"), 10) == 3
        assert read_at(file, 5, 8) == _LINES[8:10] + b"xyz"
        assert read_at(file, 100, len(_LINES) - 2) == _LINES[-2:]
        assert read_at(file, 100, len(_LINES) + 2) == b""
        out = np.zeros((2, 3), np.uint8)
        assert read_into(file, out.data, 10) == 6
        assert out.tobytes() == b"xyz" + _LINES[13:16]
        out[:] = 7
        assert read_into(file, out.data, len(_LINES) - 2) == 2
        assert out.tobytes() == _LINES[-2:] + bytes([7] * 4)
    finally:
        os.close(file)
    assert (tmp_path / "file").read_bytes() == _LINES[:10] + b"xyz" + _LINES[13:]


def test_archive_cache_and_contents_work_on_such_a_system(system, tmp_path):
    """In threads, which all move the one position of a file."""
    members = arrays(side=64)
    np.savez(tmp_path / "set.npz", **members)
    index = npz_index(tmp_path / "set.npz")
    options = {"cache_dir": tmp_path / "cache", "workers": 8, "progress": False}
    for _ in range(2):  # filled, then read back
        prepared = prepare_examples(index, Preparation(64, hue="none"), **options)
        assert len(prepared.good) == 28
    want = prepare_examples(index, Preparation(64, hue="none"), **options | {"cache_dir": None})
    np.testing.assert_array_equal(prepared.read_batch(np.arange(28)), [want.read(row) for row in range(28)])
    np.testing.assert_array_equal(index.read(3), members["train_images"][3])
    assert file_contents([tmp_path / "set.npz"])[0]


def test_contents_are_the_same_with_and_without(tmp_path, monkeypatch):
    path = tmp_path / "cell.bmp"
    path.write_bytes(bytes(range(256)) * 400)
    before = file_contents([path]).tolist()
    for name in ("pread", "preadv", "pwrite"):
        monkeypatch.delattr(os, name, raising=False)
    assert file_contents([path]).tolist() == before != [b""]


def test_files_are_opened_as_binary_where_that_is_to_be_said(tmp_path, monkeypatch):
    """Windows would change line ends, and end at byte 26."""
    opened, real = [], os.open
    flag = 1 << 40
    monkeypatch.setattr(os, "O_BINARY", flag, raising=False)
    monkeypatch.setattr(
        os, "open", lambda path, flags, *rest, **more: (
            opened.append(flags & flag), real(path, flags & ~flag, *rest, **more))[1]
    )  # fmt: skip
    np.savez(tmp_path / "set.npz", **arrays())
    index = npz_index(tmp_path / "set.npz")
    opened.clear()
    prepare_examples(index, Preparation(8, hue="none"), cache_dir=tmp_path / "cache", progress=False)
    assert opened.count(flag) == 3  # images, marks and checksums of the cache
    opened.clear()
    file_contents([tmp_path / "set.npz"])
    npz_index(tmp_path / "set.npz")
    assert flag in opened
    assert all(opened)
