"""Tensors out of PyTorch's `.pth`, `.pt` and `.bin` files, without PyTorch and without running them.

Such a file is a pickle, and a pickle may call any function of the machine that loads it. Here the only
things it can call are those in `_CONSTRUCTORS`; every other name in the file stands for an empty `Unread`.
Both of torch's formats are understood: the zip archive (since 1.6) and the stream of pickles before it.
"""

import io
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
"""First object of a file in the format before 1.6."""

_DTYPES: dict[str, Any] = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


class DamagedFile(Exception):
    """The file is not what it says it is; the message is the reason."""


class Unread:
    """Stands for an object that is not a tensor: takes what the pickle gives it and keeps nothing."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, *_: Any) -> None: ...

    def append(self, _: Any) -> None:
        """What pickles of lists call."""

    def extend(self, _: Any) -> None:
        """What pickles of lists call."""

    def add(self, _: Any) -> None:
        """What pickles of sets call."""


class _NumberType(NamedTuple):
    """What a storage's class says: the type of its numbers."""

    dtype: Any


class _Storage(NamedTuple):
    """A stretch of numbers that tensors are views of; in the old format its bytes come after the pickle."""

    key: str
    dtype: np.dtype


class _View(NamedTuple):
    """A tensor: where it lies in its storage, in numbers, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_pickled(file: BinaryIO) -> Any:
    """The object in `file`, its tensors as arrays.

    Args:
      file: open for reading, at its start.

    Returns:
      Dicts, lists and tuples as they were; tensors as `np.ndarray`; objects of other classes as `Unread`.

    Raises:
      DamagedFile: not a file of torch's, cut short, or inconsistent.
    """
    try:
        content, data = _read_zip(file) if zipfile.is_zipfile(file) else _read_stream(file)
        return _with_arrays(content, data)
    except DamagedFile:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise DamagedFile(f"{type(error).__name__}: {error}") from error


def _read_zip(file: BinaryIO) -> tuple[Any, Callable[[_Storage], bytes]]:
    archive = zipfile.ZipFile(file)
    names = archive.namelist()
    pickles = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    if not pickles:
        raise DamagedFile("a zip archive without data.pkl")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
        raise DamagedFile("written by a big-endian machine")
    content = _Unpickler(io.BytesIO(archive.read(pickles[0]))).load()
    return content, lambda storage: archive.read(f"{folder}data/{storage.key}")


def _read_stream(file: BinaryIO) -> tuple[Any, Callable[[_Storage], bytes]]:
    """Magic number, protocol, machine, the object, the storages' keys, then their bytes in that order."""
    file.seek(0)
    if _Unpickler(file).load() != _MAGIC:
        raise DamagedFile("a pickle, but none of PyTorch's")
    protocol, machine = _Unpickler(file).load(), _Unpickler(file).load()
    if protocol != 1001 or not machine["little_endian"]:
        raise DamagedFile("written by a big-endian machine or an unknown version of PyTorch")
    unpickler = _Unpickler(file)
    content = unpickler.load()
    data = {}
    for key in _Unpickler(file).load():
        (count,) = struct.unpack("<q", file.read(8))
        data[key] = file.read(count * unpickler.storages[key].dtype.itemsize)
    return content, lambda storage: data[storage.key]


class _Unpickler(pickle.Unpickler):
    """Builds nothing but plain containers, `_View`s of `_Storage`s, and `Unread`s."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """A new object for every name: a pickle may write to what it is given, but not to this module's."""
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return _NumberType(np.dtype(_DTYPES[name]))
        if (module, name) in _CONSTRUCTORS:
            return lambda *args: _CONSTRUCTORS[module, name](*args)
        return type(name, (Unread,), {})

    def persistent_load(self, pid: Any) -> _Storage:
        """`("storage", type, key, device, count)`, in the old format with a sixth part: None, or a view."""
        _, numbers, key, _, _, *view = pid
        if not isinstance(numbers, _NumberType):
            raise DamagedFile(f"the storage {key} holds numbers of an unknown type")
        if any(view):
            raise DamagedFile(f"the storage {key} is a view of another one")
        return self.storages.setdefault(key, _Storage(key, numbers.dtype))


def _tensor(storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> _View:
    return _View(storage, offset, tuple(size), tuple(stride))


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _subclassed(rebuild: Callable, _: Any, args: Any, *__: Any) -> Any:
    """A tensor with attributes of its own, or of a subclass, as the plain tensor."""
    return rebuild(*args)


_CONSTRUCTORS: dict[tuple[str, str], Callable] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _subclassed,
}


def _with_arrays(content: Any, data: Callable[[_Storage], bytes]) -> Any:
    """`content` with its views replaced by arrays, dicts by plain ones."""
    if isinstance(content, _View):
        return _array(content, data)
    if isinstance(content, dict):
        return {key: _with_arrays(value, data) for key, value in content.items()}
    if type(content) in (list, tuple):
        return type(content)(_with_arrays(value, data) for value in content)
    return content


def _array(view: _View, data: Callable[[_Storage], bytes]) -> np.ndarray:
    """A copy of the view; one that would reach outside of its storage is refused before it is read."""
    storage, offset, shape, strides = view
    if math.prod(shape) == 0:
        return np.zeros(shape, storage.dtype)
    size = storage.dtype.itemsize
    end = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) + 1
    raw = data(storage)
    if min((offset, *shape, *strides)) < 0 or end * size > len(raw):
        raise DamagedFile(f"a tensor {list(shape)} reaches beyond the end of its numbers: cut short?")
    numbers = np.frombuffer(raw, storage.dtype, end - offset, offset * size)
    return np.lib.stride_tricks.as_strided(numbers, shape, [stride * size for stride in strides]).copy()
