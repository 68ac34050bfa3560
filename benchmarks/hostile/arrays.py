"""NumPy archives: bombs, pickles, false headers, other types, damaged at random."""

import io
import pathlib
import pickle
import random
import struct
import zipfile
from collections.abc import Callable

import numpy as np

from asae_jax.input.npz import npz_index, read_arrays
from benchmarks.hostile.pool import MARKER, refusing

COUNT = 2000
PATIENCE = 1.0

_marker: list[str] = []


def prepare(folder: pathlib.Path) -> None:
    """Notes where code in a pickle would leave a marker."""
    _marker[:] = [str(folder / MARKER)]


def attempt(number: int, seed: int, folder: pathlib.Path) -> Callable[[], None]:
    """Reads archive `number` as a data source, and as one of ours."""
    path = folder / "arrays.npz"
    rng = random.Random(f"arrays {seed} {number}")
    path.write_bytes(_WHOLE[number]() if number < len(_WHOLE) else _damaged(rng))
    return lambda: _use(path)


def _use(path: pathlib.Path) -> None:
    try:
        arrays = read_arrays(path)
        assert all(array.dtype.kind in "biuf" for array in arrays.values())
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and not error.strerror:
            raise
    refusing(_train, path)


def _train(path: pathlib.Path) -> None:
    index = npz_index(path)
    for row in range(min(3, len(index))):
        index.read(row)


def _sound(compressed: bool = False) -> bytes:
    rng = np.random.default_rng(0)
    arrays = {
        f"{part}_{what}": rng.integers(0, 200, (6, 12, 10, 3), np.uint8)
        if what == "images"
        else np.arange(6)[:, None] % 3
        for part in ("train", "test")
        for what in ("images", "labels")
    }
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def _damaged(rng: random.Random) -> bytes:
    data = bytearray(_sound(rng.random() < 0.5))
    for _ in range(rng.choice((1, 1, 3))):
        place = rng.choice((rng.randrange(len(data)), rng.randrange(200), -1 - rng.randrange(400)))
        how = rng.randrange(5)
        if how < 2:
            data[place] ^= 1 << rng.randrange(8)
        elif how == 2:
            data[place : place + 4] = struct.pack("<I", rng.choice((0, 1, 2**31 - 1, 2**32 - 1)))
        elif how == 3:
            del data[place : place + rng.randrange(1, 60)]
        else:
            data = data[: rng.randrange(len(data)) + 1]
        data = data or bytearray(1)
    return bytes(data)


def _npy(header: str, body: bytes = b"", version: bytes = b"\x01\0") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    size = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + version + size + text + body


def _archive(images: bytes, labels: bytes | None = None, how: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        archive.writestr("train_images.npy", images)
        archive.writestr("train_labels.npy", labels or _npy(_head("(6,)", "<i8"), bytes(48)))
    return file.getvalue()


def _head(shape: str, descr: str = "|u1", order: str = "False") -> str:
    return f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"


class _Code:
    def __reduce__(self) -> tuple:
        return exec, (f"open({_marker[0]!r}, 'w')",)


_SHAPES = (
    "(0,)", "()", "(10**9,)", "(1000000000, 0, 5)", "(0, 1000000000, 1000000000)", "(-1, 12, 10)",
    "(6, 12.5, 10)", "(True, 12, 10)", "(9223372036854775807, 12, 10)", "(99999999999999999999999, 12, 10)",
    "(100000000000, 12, 10)", "(6, 12, 10, 3)", "(6, 100000, 100000)", "(6, 12, 10, 100000000)",
    "[6, 12, 10]", "6", "'6'", "(6, 12, 10" + ", 1" * 70 + ")",
    "(" * 150 + ")" * 150, "(6, __import__('os').system('true'), 10)",
)  # fmt: skip

_TYPES = (
    "|O",
    "<f8",
    "<c16",
    "|S1000000000",
    "<U100000000",
    "|V0",
    "|b1",
    ">i2",
    "<M8[s]",
    "|u1,|u1",
    "x",
    "<i99",
)


def _pair(
    images: tuple[str, str] = ("(6, 12, 10)", "|u1"), labels: tuple[str, str] = ("(6,)", "<i8")
) -> bytes:
    return _archive(_npy(_head(*images), bytes(720)), _npy(_head(*labels), bytes(48)))


def _bomb(how: int, shape: str = "(400, 1000, 1000)") -> bytes:
    return _archive(_npy(_head(shape), bytes(400_000_000)), how=how)


_WHOLE: tuple[Callable[[], bytes], ...] = (
    _sound,
    lambda: _sound(True),
    *(lambda s=shape: _archive(_npy(_head(s), bytes(2160))) for shape in _SHAPES),
    *(lambda s=shape: _archive(_npy(_head(s), bytes(2160)), how=zipfile.ZIP_DEFLATED) for shape in _SHAPES),
    *(lambda s=shape: _pair(labels=(s, "<i8")) for shape in _SHAPES),
    *(lambda t=kind: _archive(_npy(_head("(6, 12, 10)", t), bytes(5760))) for kind in _TYPES),
    *(lambda t=kind: _pair(labels=("(6,)", t)) for kind in _TYPES),
    lambda: _archive(_npy(_head("(6,)", "|O"), pickle.dumps(_Code()))),
    lambda: _archive(pickle.dumps(_Code())),
    lambda: pickle.dumps(_Code()),
    lambda: _npy(_head("(6,)", "|O"), pickle.dumps(_Code())),
    lambda: _archive(_npy(_head("(6, 12, 10)"), bytes(720), b"\x02\0")),
    lambda: _archive(_npy(_head("(6, 12, 10)"), bytes(720), b"\x03\0")),
    lambda: _archive(_npy(_head("(6, 12, 10)"), bytes(720), b"\x09\0")),
    lambda: _archive(_npy(_head("(6, 12, 10)", order="True"), bytes(720))),
    lambda: _archive(_npy("{" + "'a': 1, " * 5000 + "}", bytes(720))),
    lambda: _bomb(zipfile.ZIP_DEFLATED, "(3000, 1000, 1000)"),
    lambda: _bomb(zipfile.ZIP_DEFLATED),
    lambda: _bomb(zipfile.ZIP_LZMA),
    lambda: b"PK\x05\x06" + bytes(18),
    lambda: b"",
)  # fmt: skip
