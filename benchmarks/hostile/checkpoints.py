"""Checkpoints of strangers: Orbax's, OCDBT's and Zarr's files changed, without digests to tell."""

import os
import pathlib
import random
from collections.abc import Callable

import jax
import numpy as np

from asae_jax.run.run import open_run
from benchmarks.hostile.folders import changed_json
from benchmarks.hostile.pool import refusing
from tests.made_runs import untrained_run
from tests.training.tiny import tiny_config

COUNT = 400
PATIENCE = 3.0

_BASE = "base"


def prepare(folder: pathlib.Path) -> None:
    """Makes a run with one checkpoint, and removes its digests."""
    if not (folder / _BASE).exists():
        untrained_run(folder / _BASE, tiny_config(data__hue="none", model__width=2), ("A", "B"), score=0.5)
        (folder / _BASE / "digests.json").unlink()


def attempt(number: int, seed: int, folder: pathlib.Path) -> Callable[[], None]:
    """Restores the weights of a run of which one file of the checkpoint is changed."""
    rng = random.Random(f"checkpoints {seed} {number}")
    base, place = folder.parent / _BASE, folder / "run"
    files = sorted(file for file in base.rglob("*") if file.is_file())
    chosen = rng.choice([file for file in files if "checkpoints" in file.parts])
    small = [file for file in files if "METADATA" in file.name or file.name in ("metrics", ".zarray")]
    if rng.random() < 0.6:
        chosen = rng.choice(small)
    for file in files:
        target = place / file.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file == chosen:
            target.write_bytes(_changed(rng, file.read_bytes()))
        else:
            os.link(file, target)
    return lambda: refusing(_restore, place)


def _restore(place: pathlib.Path) -> None:
    for array in jax.tree.leaves(open_run(place).variables):
        np.asarray(array)


def _changed(rng: random.Random, content: bytes) -> bytes:
    if content[:1] == b"{" and rng.random() < 0.7:
        return changed_json(rng, content)
    data = bytearray(content)
    how = rng.randrange(4)
    if how == 0 or not data:
        return bytes(data[: rng.randrange(len(data) + 1)])
    if how == 1:
        return rng.randbytes(rng.choice((0, 10, 10_000)))
    for _ in range(rng.choice((1, 10))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)
