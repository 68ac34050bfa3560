"""Weight files of strangers: safetensors with false headers, pickles with code, what reserves memory."""

import io
import json
import pathlib
import pickle
import random
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import safetensors.numpy

from asae_jax.models.weights import read_tensors
from benchmarks.hostile.pool import MARKER, refusing

PATIENCE = 1.0


def prepare(folder: pathlib.Path) -> None:
    """Makes those that are written by hand; code in them would leave a marker file in `folder`."""
    marker = folder / MARKER
    _made[:] = [*_safetensors(), *_pickles(marker), *_archives(marker)]


_made: list[bytes] = []


def attempt(number: int, seed: int, folder: pathlib.Path) -> Callable[[], None]:
    """Reads weight file `number`."""
    path = folder / "weights.pth"
    path.write_bytes(_content(number, seed))
    return lambda: refusing(read_tensors, path)


def _content(number: int, seed: int) -> bytes:
    if number < len(_made):
        return _made[number]
    rng = random.Random(f"weights {seed} {number}")
    data = bytearray(rng.choice((_sound_safetensors(), *_made[-3:], _stream(_dict()))))
    for _ in range(rng.choice((1, 2, 4))):
        if len(data) < 2:
            break
        place, how = rng.randrange(min(len(data), 900)), rng.randrange(4)
        if how == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif how == 1:
            data[place : place + 4] = struct.pack("<I", rng.choice((0, 1, 2**31 - 1, 2**32 - 1, 10**9)))
        elif how == 2:
            del data[place : place + rng.randrange(1, 50)]
        else:
            data[place:place] = rng.choice(
                (b"c", b"R", b"b", b"r\xff\xff\xff\x7f", b"\x8a\x04\xff\xff\xff\x7f", b".")
            )
    return bytes(data)


def _sound_safetensors() -> bytes:
    return safetensors.numpy.save(
        {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(2, np.int64)}
    )


def _header(entries: object, data: bytes = bytes(64), length: int | None = None) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def _entry(shape: list[object], begin: object, end: object, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def _safetensors() -> list[bytes]:
    return [
        _sound_safetensors(),
        *(_header({}, length=n) for n in (0, 1, 2**33, 2**63, 2**64 - 1, 100_000_001)),
        _header(b"{" * 100_000),
        _header(b'{"a":' * 100_000),
        _header(b"[" * 5_000_000),
        _header(b"{" + b" " * 9_000_000 + b"}"),
        _header({"a": _entry([2, 3], 0, 24), "b": _entry([2, 3], 12, 36)}, bytes(36)),
        _header({"a": _entry([2, 3], 0, 24), "b": _entry([2, 3], 100, 124)}, bytes(124)),
        _header({"a": _entry([2, 3], 24, 0)}, bytes(24)),
        _header({"a": _entry([2, 3], 0, 2**40)}),
        _header({"a": _entry([2**40, 2**40], 0, 64)}),
        _header({"a": _entry([2**32, 2**32], 0, 0)}, b""),
        _header({"a": _entry([0, 2**62], 0, 0)}, b""),
        _header({"a": _entry([-2, -3], 0, 24)}, bytes(24)),
        _header({"a": _entry([2.5, 3], 0, 24)}, bytes(24)),
        _header({"a": _entry([6] + [1] * 100_000, 0, 24)}, bytes(24)),
        _header({"a": _entry([2, 3], 0, 24, "F8_E4M3")}, bytes(24)),
        _header({"a": _entry([2, 3], 0, 24, "X" * 10_000)}, bytes(24)),
        _header(
            b'{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"a":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}',
            bytes(24),
        ),
        _header({"\x1b[2J\n\u202e": _entry([2, 3], 0, 12)}, bytes(24)),
        _header({"__metadata__": {"a": "x" * 1_000_000}, "a": _entry([6], 0, 24)}, bytes(24)),
        _header({"__metadata__": {"a": {"b": 1}}, "a": _entry([6], 0, 24)}, bytes(24)),
        _header({f"a{n}": _entry([0], 0, 0) for n in range(30_000)}, b""),
    ]


def _reduce(module: str, name: str, argument: str) -> bytes:
    """The operations that call `module.name(argument)`."""
    return f"c{module}\n{name}\n(V{argument}\ntR".encode()


def _calls(marker: pathlib.Path) -> list[bytes]:
    quoted = str(marker)
    touch = f"touch {quoted}".encode()
    return [
        _reduce("os", "system", f"touch {quoted}"),
        _reduce("posix", "system", f"touch {quoted}"),
        _reduce("subprocess", "getoutput", f"touch {quoted}"),
        _reduce("builtins", "eval", f"open({quoted!r}, 'w')"),
        _reduce("builtins", "exec", f"open({quoted!r}, 'w')"),
        _reduce("pathlib", "Path", quoted) + b"p1\n0" + _reduce("operator", "attrgetter", "touch"),
        _reduce("torch", "load", quoted),
        _reduce("torch.hub", "load", quoted),
        _reduce("torch.jit", "load", quoted),
        _reduce("numpy", "load", quoted),
        _reduce("numpy.core.multiarray", "_reconstruct", quoted),
        _reduce("importlib", "import_module", "antigravity"),
        _reduce("asae_jax.files", "write_text", quoted),
        _reduce("collections", "OrderedDict.fromkeys", quoted),
        _reduce("torch._utils", "_rebuild_tensor_v2.__globals__", quoted),
        _reduce("torch", "Size.__class__", quoted),
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c" + bytes([len(touch)]) + touch + b"\x85R",
        b"(i" + b"os\nsystem\n",
        b"ctorch\nSize\n}(V__code__\nV1\nub",
        b"ccollections\nOrderedDict\n)R}(V__class__\nNub",
        b"\x82\x01.",
    ]  # fmt: skip


_PROLOGUE = (
    pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
)


def _stream(content: bytes) -> bytes:
    """The format before PyTorch 1.6 around a pickled object."""
    return _PROLOGUE + content + pickle.dumps([], 2)


def _pickles(marker: pathlib.Path) -> list[bytes]:
    bodies = [b"\x80\x02" + call + b"." for call in _calls(marker)]
    bodies += [
        b"\x80\x02" + b"]" * 2_000_000 + b".",
        b"\x80\x02" + b"(" * 2_000_000 + b".",
        b"\x80\x02" + b"]" + b"(h\0a" * 1000 + b".",
        b"\x80\x02K\x01r\xff\xff\xff\x7f.",
        b"\x80\x02K\x01r\xff\xff\xff\x3f.",
        b"\x80\x02K\x01p2147483646\n.",
        b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x.",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
        b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"x.",
        b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"x.",
        b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
        b"\x80\x02\x8b" + struct.pack("<i", 5_000_000) + b"\x7f" * 5_000_000 + b".",
        b"\x80\x02I" + b"9" * 3_000_000 + b"\n.",
        b"\x80\x02L" + b"9" * 3_000_000 + b"L\n.",
        b"\x80\x02F" + b"9" * 3_000_000 + b"\n.",
        b"\x80\x02" + b"]q\0(" + b"h\0" * 3_000_000 + b"e.",
        b"\x80\x02}q\0(h\0h\0u.",
        b"\x80\x02P" + b"x" * 1000 + b"\n.",
    ]
    return [*map(_stream, bodies), *bodies]


def _tensor(key: str, offset: int, shape: str, strides: str) -> bytes:
    storage = f"(Vstorage\nctorch\nFloatStorage\nV{key}\nVcpu\nI6\ntQ".encode()
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + f"I{offset}\n({shape}t({strides}tI00\n}}tR".encode()
    )


def _ints(*values: int) -> str:
    return "".join(f"I{value}\n" for value in values)


def _dict(*tensors: bytes) -> bytes:
    found = tensors or (_tensor("0", 0, _ints(2, 3), _ints(3, 1)),)
    return b"\x80\x02}(" + b"".join(b"Vw%d\n" % n + tensor for n, tensor in enumerate(found)) + b"u."


def _archive(content: bytes, files: Mapping[str, bytes] | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        archive.writestr("a/data.pkl", content)
        for name, data in ({"a/data/0": bytes(24)} if files is None else files).items():
            archive.writestr(name, data)
    return file.getvalue()


def _overlapping(count: int) -> bytes:
    """Many entries of the directory for one stored megabyte."""
    tensors = [_tensor(str(n), 0, _ints(2, 3), _ints(3, 1)) for n in range(count)]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", _dict(*tensors))
        archive.writestr("a/data/0", bytes(1_000_000))
        first = archive.getinfo("a/data/0")
        for number in range(1, count):
            copy = zipfile.ZipInfo(f"a/data/{number}")
            copy.header_offset, copy.file_size = first.header_offset, first.file_size
            copy.compress_size, copy.CRC = first.compress_size, first.CRC
            archive.filelist.append(copy)
    return file.getvalue()


def _archives(marker: pathlib.Path) -> list[bytes]:
    tensor = _tensor
    return [
        *(_archive(b"\x80\x02" + call + b".") for call in _calls(marker)),
        _archive(_dict(tensor("0", 0, _ints(10**6, 10**6), _ints(0, 0)))),
        _archive(_dict(tensor("0", 0, _ints(10**6, 10**6), _ints(1, 1)))),
        _archive(_dict(tensor("0", -1, _ints(2, 3), _ints(3, 1)))),
        _archive(_dict(tensor("0", 0, _ints(-2, -3), _ints(3, 1)))),
        _archive(_dict(tensor("0", 0, _ints(2, 3), _ints(-3, -1)))),
        _archive(_dict(tensor("0", 2**62, _ints(2, 3), _ints(3, 1)))),
        _archive(_dict(tensor("0", 0, _ints(0, 2**62), _ints(1, 1)))),
        _archive(_dict(tensor("0", 0, _ints(*[1] * 100_000), _ints(*[1] * 100_000)))),
        _archive(_dict(tensor("0", 0, _ints(2, 3), _ints(3)))),
        _archive(_dict(tensor("../../../etc/passwd", 0, _ints(2, 3), _ints(3, 1)))),
        _archive(_dict(), compression=zipfile.ZIP_DEFLATED),
        _archive(_dict(), {"a/data/0": bytes(300_000_000)}, compression=zipfile.ZIP_DEFLATED),
        _archive(_dict(), {"a/byteorder": b"big", "a/data/0": bytes(24)}),
        _archive(_dict(), {f"a/data/{n}": b"" for n in range(60_000)}),
        _overlapping(3000),
        b"PK\x05\x06" + bytes(18),
        _archive(_dict()),
        _archive(_dict(*[tensor("0", n % 3, _ints(3), _ints(1)) for n in range(50)])),
    ]


COUNT = 600
