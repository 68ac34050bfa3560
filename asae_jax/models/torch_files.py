"""Tensors out of what `torch.save` wrote, without PyTorch and without running the file.

Such a file is a pickle, and a pickle can name any function of the machine that loads it and have it called.
The reader here knows the few names that tensors, dicts of them and their storages need (`_CONSTRUCTORS`,
`_DTYPES`), and each stands for a function of this module that does nothing but note its arguments. Any other
name is refused when it is read, before anything is called. Both of torch's formats are understood: the zip
archive (since 1.6) and the stream of pickles before it.
"""

import io
import math
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any, NamedTuple, cast

import jax.numpy as jnp
import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
"""First object of a file in the format before 1.6."""
_PROTOCOL = 1001
"""Its second."""

WITHIN = ("state_dict", "model", "teacher")
"""Where checkpoints keep a state dict, looked at one after the other; the last one in those of DINO and
DinoBloom."""

_MOST_OBJECTS = 1_000_000
"""Of one pickle; those of the largest networks have some ten thousand."""

_NOTES = ("PUT", "BINPUT", "LONG_BINPUT")
"""Operations that keep an object under a number, in an array that is as long as the highest."""

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


class UnreadableFile(Exception):
    """The file is damaged, or none of torch's; the message is the reason."""


class NotTensors(UnreadableFile):
    """The file names functions or classes beyond those of tensors; the message says the first."""


class _NumberType(NamedTuple):
    """What a storage's class says: the type of its numbers.

    No bare dtype, because a pickle can set the state of what it is given.
    """

    dtype: np.dtype


class _Storage(NamedTuple):
    """Numbers that tensors are views of; their bytes lie elsewhere in the file."""

    key: str
    dtype: np.dtype


class _Tensor(NamedTuple):
    """A view of a storage; offset and strides count numbers, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_Bytes = Callable[[_Storage], bytes]


def read_state_dict(file: io.BufferedIOBase) -> dict[str, np.ndarray]:
    """The tensors of a state dict, also of one within a checkpoint (`WITHIN`).

    Args:
      file: open for reading, at its start.

    Returns:
      Arrays by name, in the file's layout and number type. They share the storages' memory.

    Raises:
      NotTensors: it names functions or classes that no tensor needs; nothing of it was called.
      UnreadableFile: not a file of `torch.save`, or a damaged one.
    """
    try:
        content, data = (_read_zip if zipfile.is_zipfile(file) else _read_stream)(file)
        for key in WITHIN:
            content = content.get(key, content)
        tensors = {str(name): value for name, value in content.items() if isinstance(value, _Tensor)}
        arrays = {name: _array(tensor, data) for name, tensor in tensors.items()}
    except UnreadableFile:
        raise
    except Exception as error:  # a damaged pickle can fail in any way
        raise UnreadableFile(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
    if not arrays:
        raise UnreadableFile("no tensors by name")
    return arrays


def _read_zip(file: io.BufferedIOBase) -> tuple[Any, _Bytes]:
    archive = zipfile.ZipFile(file)
    names = archive.namelist()
    if sum(entry.file_size for entry in archive.infolist()) > file.seek(0, io.SEEK_END):
        raise UnreadableFile("its parts are larger than the file, they overlap")
    folder = next((name[:-8] for name in names if name.split("/")[-1] == "data.pkl"), None)
    if folder is None:
        raise UnreadableFile("a zip archive without data.pkl")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
        raise UnreadableFile("a compressed archive, which torch.save does not write")
    if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
        raise UnreadableFile("written by a big-endian machine")
    unpickler = _Unpickler(io.BytesIO(archive.read(f"{folder}data.pkl")))
    content = unpickler.load_checked()
    data = {key: archive.read(f"{folder}data/{key}") for key in unpickler.storages}
    return content, lambda storage: data[storage.key]


def _read_stream(file: io.BufferedIOBase) -> tuple[Any, _Bytes]:
    """Magic number, protocol, machine, the object, the storages' keys, then their bytes in that order."""
    file.seek(0)
    magic, protocol, machine = (_Unpickler(file).load_checked() for _ in range(3))
    if (magic, protocol) != (_MAGIC, _PROTOCOL) or not machine["little_endian"]:
        raise UnreadableFile("a pickle, but not of PyTorch on a little-endian machine")
    unpickler = _Unpickler(file)
    content = unpickler.load_checked()
    data = {}
    for key in _Unpickler(file).load_checked():
        (count,) = struct.unpack("<q", file.read(8))
        if count < 0:
            raise UnreadableFile("a storage of less than no numbers")
        data[key] = file.read(count * unpickler.storages[key].dtype.itemsize)
    return content, lambda storage: data[storage.key]


class _Unpickler(pickle.Unpickler):
    """Builds plain containers and `_Tensor`s, and refuses every name but a few of torch's."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        super().__init__(file, encoding="utf-8")
        self._file = file
        self.storages: dict[str, _Storage] = {}

    def load_checked(self) -> Any:
        """`load`, after a look at what it would reserve: five bytes can ask for a table of 32 GB."""
        start = self._file.tell()
        for count, (code, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], self._file))):
            place = argument if code.name in _NOTES and isinstance(argument, int) else 0
            if count > _MOST_OBJECTS or place > _MOST_OBJECTS:
                raise UnreadableFile("a pickle with more or larger objects than weights need")
        self._file.seek(start)
        return self.load()

    def find_class(self, module: str, name: str) -> Any:
        """A new object for every name: a pickle may write to what it is given, but not to this module's."""
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return _NumberType(np.dtype(_DTYPES[name]))
        if (module, name) in _CONSTRUCTORS:
            return lambda *args: _CONSTRUCTORS[module, name](*args)
        raise NotTensors(f"it names {module}.{name}, and files of torch.save may hold tensors alone")

    def persistent_load(self, pid: Any) -> _Storage:
        """`("storage", type, key, device, count)`, in the old format with a sixth part: None, or a view."""
        _, numbers, key, _, _, *view = pid
        if not isinstance(numbers, _NumberType) or any(view):
            raise UnreadableFile(f"the storage {key} is of an unknown type, or a view of another one")
        return self.storages.setdefault(key, _Storage(key, numbers.dtype))


def _tensor(storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(size), tuple(stride))


def _parameter(data: _Tensor, *_: Any) -> _Tensor:
    return data


_CONSTRUCTORS: dict[tuple[str, str], Callable] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}


def _array(tensor: _Tensor, data: _Bytes) -> np.ndarray:
    """The view; one that would reach outside of its storage is refused before it is read."""
    storage, offset, shape, strides = tensor
    if 0 in shape:
        return np.zeros(shape, storage.dtype)
    size, raw = storage.dtype.itemsize, data(storage)
    end = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) + 1
    if min((offset, *shape, *strides)) < 0 or end * size > len(raw):
        raise UnreadableFile(f"a tensor {list(shape)} reaches beyond the end of its numbers: cut short?")
    if math.prod(shape) * size > len(raw):
        raise UnreadableFile(f"a tensor {list(shape)} repeats numbers, it is larger than its storage")
    numbers = np.frombuffer(raw, storage.dtype, end - offset, offset * size)
    return np.lib.stride_tricks.as_strided(
        numbers, shape, [stride * size for stride in strides], writeable=False
    )
