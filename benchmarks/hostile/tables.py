"""CSV files of every kind that is read: lists of images, of labels, of cells on slides, class maps."""

import pathlib
import random
from collections.abc import Callable, Sequence

from asae_jax.inference.inputs import read_input
from asae_jax.inference.labels import input_labels
from asae_jax.input import class_map
from asae_jax.input.cell_classes import known_classes
from asae_jax.input.description import describe
from asae_jax.input.manifest import manifest_index
from asae_jax.review.labels import read_labels
from benchmarks.hostile.images import sound_files
from benchmarks.hostile.pool import Refused, refusing

COUNT = 2000
PATIENCE = 4.0  # five readers, one after another

_CELLS: tuple[Callable[[random.Random], str], ...] = (
    lambda rng: "x" * rng.choice((300, 5_000, 100_000, 140_000)),
    lambda rng: '"' + "y" * 50_000,
    lambda rng: '"a\nb\nc"',
    lambda rng: '""""',
    lambda rng: "\0",
    lambda rng: "\x1b[2J\x1b]0;owned\x07",
    lambda rng: "\u202efdp.exe",
    lambda rng: "=cmd|' /C calc'!A0",
    lambda rng: "@SUM(1+1)*cmd|' /C calc'!A0",
    lambda rng: "<script>alert(1)</script>",
    lambda rng: "../" * rng.randrange(1, 3000) + "etc/passwd",
    lambda rng: "/dev/zero",
    lambda rng: "/proc/self/mem",
    lambda rng: "//host/share/x.png",
    lambda rng: "file:///etc/passwd",
    lambda rng: "-rf",
    lambda rng: "CON",
    lambda rng: "1e999",
    lambda rng: "-1e400",
    lambda rng: "9" * 5000,
    lambda rng: "nan",
    lambda rng: "",
    lambda rng: " " * 10_000,
    lambda rng: "\ud800",
    lambda rng: "e\u0301" * 100,
    lambda rng: "0" * 100_000 + "1",
    lambda rng: "a_ " * 30_000,
    lambda rng: "٣",
    lambda rng: "2026-13-45T99:99",
    lambda rng: "0001-01-01T00:00+14:00",
    lambda rng: "9999-12-31T23:59",
)

_HEADERS = (
    "path,label", "path,label,group,split", "path,label,seen,content,reviewer,reviewed,run,reason",
    "path,slide,x,y", "path,slide,x,y,width,height,label", "from,to", "class,name,lineage,blast,colour",
)  # fmt: skip


def prepare(folder: pathlib.Path) -> None:
    """Nothing is made ahead."""


def attempt(number: int, seed: int, folder: pathlib.Path) -> Callable[[], None]:
    """Reads table `number`, as all do that read one with its columns, each in turn."""
    rng = random.Random(f"tables {seed} {number}")
    for name in ("a.png", "b.png", "c.png"):
        (folder / name).write_bytes(sound_files()[5][1] + name.encode())
    path = folder / "table.csv"
    if number < len(_WHOLE):
        with path.open("wb") as file:
            file.writelines(_WHOLE[number]())
    else:
        path.write_bytes(_table(rng))
    start = path.read_bytes()[:30]
    readers = [class_map.read_class_map, known_classes]
    if b"from" in start or b"class," in start:
        readers = readers[b"class," in start :][:1]
    elif b"path" in start:
        readers = [_predict, _merge, _train]
    return lambda: _all(readers, path)


def _all(readers: Sequence[Callable[[pathlib.Path], object]], path: pathlib.Path) -> None:
    """Calls each; the first refusal is what is told, after all have been tried."""
    refused: list[str] = []
    for reader in readers:
        try:
            refusing(reader, path)
        except Refused as error:
            refused.append(str(error))
    if refused:
        raise Refused(refused[0])


def _train(path: pathlib.Path) -> None:
    index = manifest_index(path)
    describe(index)
    index.fingerprint()


def _predict(path: pathlib.Path) -> None:
    items = read_input(str(path))
    input_labels(str(path), items, ("A", "B"))


def _merge(path: pathlib.Path) -> None:
    read_labels(path)


def _table(rng: random.Random) -> bytes:
    header = rng.choice(_HEADERS)
    columns = header.split(",")
    values = {"split": ("train", "test"), "seen": ("yes", "no"), "x": "12", "y": "34", "width": "5",
              "height": "6", "lineage": ("myeloid", ""), "blast": ("yes", "no", "")}  # fmt: skip
    rows = []
    for row in range(3):
        cells = [str(rng.choice(values.get(name, "AB"))) for name in columns]
        if columns[0] == "path":
            cells[0] = "abc"[row] + ".png"
        rows.append(cells)
    for _ in range(rng.choice((1, 1, 2, 4))):
        rng.choice(rows)[rng.randrange(len(columns))] = rng.choice(_CELLS)(rng)
    ends = rng.choice(("\n", "\r\n", "\r"))
    text = ends.join([header, *(",".join(cells) for cells in rows)])
    data = bytearray(text.encode(rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16")), "surrogatepass"))
    if rng.random() < 0.3:
        for _ in range(3):
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _row(line: bytes, count: int, header: bytes = b"path,label\n") -> Callable[[], list[bytes]]:
    return lambda: [header, *[line] * count]


_WHOLE: tuple[Callable[[], Sequence[bytes]], ...] = (
    lambda: [b"path,label\n", *(b"a%d.png,class %d\n" % (n, n) for n in range(100_000))],
    lambda: [b"path,label\na.png,A\n", *(b"a%d.png,class %d\n" % (n, n) for n in range(100_000))],
    lambda: [b"path,label,group\na.png,A,1\n", *(b"a%d.png,A,patient %d\n" % (n, n) for n in range(100_000))],
    lambda: [b"from,to\n", *(b"a%d,class %d\n" % (n, n) for n in range(100_000))],
    lambda: [b"class,name\n", *(b"a%d,class %d\n" % (n, n) for n in range(100_000))],
    lambda: [b"path,label" + b",c" * 1_000_000 + b"\n", b"a.png,A" + b",1" * 1_000_000],
    lambda: [b"path,label\na.png,A" + b",1" * 3_000_000],
    lambda: [b"path,label\n" + b"," * 50_000_000],
    lambda: [b"path,label\n" + b"\n" * 50_000_000],
    lambda: [b'path,label\n"' + b"x" * 50_000_000],
    lambda: [b"path,label\n" + b'"",' * 10_000_000],
    lambda: [b'path,label\na.png,A\n"b.png', *[b",B\n"] * 1_000_000],
    lambda: [b"path,label\n" + b"\0" * 20_000_000],
    lambda: [b"\xff" * 20_000_000],
    lambda: [b""],
    lambda: [b"\n"],
    lambda: [b"path"],
    lambda: [b"path,path,label,label\na.png,a.png,A,A\n"],
    _row(b"a.png,A\n", 100_000),
    _row(b"./a.png,A\n", 10),
    _row(b"nothing.png,A\n", 100_000),
    _row(b"a.png,s,1,1\n", 100_000, b"path,slide,x,y\n"),
    lambda: [b"path,label\na.png,A\n", *(b"b.png" + b"/." * n + b",A\n" for n in range(2000))],
)
