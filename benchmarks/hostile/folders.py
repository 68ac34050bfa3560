"""Model folders and run folders of strangers, with one file changed: read as every command reads them."""

import functools
import io
import json
import os
import pathlib
import random
import shutil
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from asae_jax import config as settings
from asae_jax import shipped
from asae_jax.evaluation.predictions import read_predictions
from asae_jax.evaluation.uncertainty_files import matching_file, read_matching_uncertainty
from asae_jax.inference.class_prior import run_prior
from asae_jax.inference.predict.similar import kept_cells
from asae_jax.input.run_split import read_records
from asae_jax.run import build, model_folder
from asae_jax.run.metrics_file import read_metrics
from asae_jax.run.run import Run, open_run
from benchmarks.hostile.pool import refusing

COUNT = 3000
PATIENCE = 3.0

_BASE = "base"
HOSTILE: tuple[Any, ...] = (
    None, True, -1, 0, 3, 1.5, -0.0, 1e308, 10**400, 2**31, 2**63, "", "x", "x" * 100_000, [], {}, [None],
    [[]], {"a": 1}, "<script>alert(1)</script>", "</script><img src=x onerror=alert(1)>",
    "\x1b[2J\x1b]0;owned\x07", "a\nb", "\u202ecod.exe", "\ud800", "../../../../tmp/x", "/etc/passwd",
    "=cmd|' /C calc'!A0", ["a"] * 100_000, [f"c{n}" for n in range(100_000)], [1, "a", None],
    {f"k{n}": n for n in range(100_000)}, functools.reduce(lambda inner, _: [inner], range(500), 0),
    functools.reduce(lambda inner, _: {"a": inner}, range(900), 0),
)  # fmt: skip


def prepare(folder: pathlib.Path) -> None:
    """Copies an included model, and writes the files beside it that a trained run has."""
    base = folder / _BASE
    if base.exists():
        return
    shutil.copytree(shipped.models()["marrow8"], base)
    names = json.loads((base / "run.json").read_text())["class_names"]
    rows = "".join(f"a/{n}.png,{name},{('train', 'test')[n % 2]},\n" for n, name in enumerate(names))
    (base / "splits.csv").write_text(f"name,label,split,content\n{rows}")
    line = '{"kind": "train", "step": 1, "loss": 2.0, "images_per_second": 3}\n'
    (base / "metrics.jsonl").write_text(line * 3)
    (base / "digests.json").write_text('{"files": {}, "checkpoints": {}}')
    (base / "classes.csv").write_text("class,name\n" + "".join(f"{name},full {name}\n" for name in names))


def attempt(number: int, seed: int, folder: pathlib.Path) -> Callable[[], None]:
    """Opens a folder of which one file is changed."""
    rng = random.Random(f"json {seed} {number}")
    base, place = folder.parent / _BASE, folder / "run"
    files = sorted(str(f.relative_to(base)) for f in base.rglob("*") if f.is_file() and f.suffix != ".md")
    chosen = rng.choice([f for f in files if not f.startswith("LICENSE") and not f.endswith(".safetensors")])
    for name in files:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        if name != chosen:
            os.link(base / name, place / name)
    content = (base / chosen).read_bytes()
    (place / chosen).write_bytes(_changed(rng, chosen, content))
    return lambda: refusing(_use, place)


def _use(place: pathlib.Path) -> None:
    """What predict, evaluate, explain and export read of a run before they compute anything."""
    model_folder.checked_digest(model_folder.find(str(place)).resolve())
    run = open_run(place, settings.read_run_config(place))
    settings.check(run.config)
    _ = run.classes, run.preparation, build.variable_shapes(run.config, run.num_classes)
    estimates = read_matching_uncertainty(run)
    _judge(run, estimates)
    kept_cells(run), matching_file(run)
    read_metrics(place, "train"), read_records(place / "splits.csv")
    run_prior(run)
    for path in place.glob("evaluation/*.csv"):
        read_predictions(path, run.class_names)


def _judge(run: Run, estimates: Any) -> None:
    if estimates is None:
        return
    logits = np.random.default_rng(0).normal(size=(5, run.num_classes)).astype(np.float32)
    channels = 512
    if (reference := estimates.outliers.reference) is not None:
        channels = reference[0].shape[1]
    estimates.judge(logits, np.ones((5, channels), np.float32))


def _changed(rng: random.Random, name: str, content: bytes) -> bytes:
    if name.endswith(".npz"):
        return rng.choice((_damaged, _other_arrays))(rng, content)
    if rng.random() < 0.3:
        return _damaged(rng, content)
    if name.endswith(".json"):
        return changed_json(rng, content)
    if name.endswith(".jsonl"):
        return rng.choice(
            (
                content[:-20],
                content + b'{"kind": 1, "step": "a"}\n',
                b"[" * 10**6,
                b'{"step": 1, "kind": "train"}\n' * 10,
            )
        )
    text = content.decode()
    cell = rng.choice(
        ("x" * 200_000, '"', "\0", "\n", "=cmd|' /C calc'!A0", "<script>", "\x1b[2J", ",", "a,b,c", "")
    )
    place = rng.randrange(len(text))
    return (text[:place] + cell + text[place:]).encode("utf-8", "surrogatepass")


def changed_json(rng: random.Random, content: bytes) -> bytes:
    """JSON with another value at a random place, or one taken out."""
    tree = json.loads(content)
    if rng.random() < 0.05:
        return json.dumps(rng.choice(HOSTILE)).encode()
    if rng.random() < 0.05:
        return content.replace(
            b":", rng.choice((b': NaN, "a":', b": Infinity,", b": [[[[[[", b": " + b"[" * 100_000)), 1
        )
    places = list(_places(tree))
    holder, key = rng.choice(places)
    if rng.random() < 0.15:
        del holder[key]
    else:
        holder[key] = rng.choice(HOSTILE)
    return json.dumps(tree).encode()


def _places(tree: Any) -> Any:
    keys = tree.keys() if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def _damaged(rng: random.Random, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 5))):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: rng.randrange(len(data))] if rng.random() < 0.3 else data)


def _other_arrays(rng: random.Random, content: bytes) -> bytes:
    with np.load(io.BytesIO(content)) as file:
        arrays = dict(file)
    name = rng.choice([*arrays])
    old = arrays[name]
    arrays[name] = rng.choice(
        (np.zeros((0, 3)), np.zeros((3, 7)), old[:1], old.T, old.astype("U8"), np.full(old.shape, np.nan),
         old.astype(complex), np.zeros(()), np.array(["a"]), old.astype(np.int64), np.array([2**62]),
         -np.ones(old.shape, np.int64))
    )  # fmt: skip
    if rng.random() < 0.1:
        del arrays[name]
    file = io.BytesIO()
    np.savez(file, **arrays)
    if rng.random() < 0.2:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for key in arrays:
                archive.writestr(f"{key}.npy", _enormous_array())
    return file.getvalue()


def _enormous_array() -> bytes:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (200000, 1000), }".ljust(117) + b"\n"
    return b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header + bytes(30_000_000)
