"""Two runs that fill one cache at the same time, one of them killed half-way: equal to runs without company?

    python -m benchmarks.shared_cache [--into=DIR]

Four trainings of a small network on drawn cells: `a` and `b` of two seeds side by side with one cache, of
which `b` is killed while it fills the cache and started again, and the same two alone, each with a cache of
its own. Compared are every array of the newest checkpoints, metrics, predictions and scores.
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from absl import app, flags, logging

from benchmarks.kills import compare
from benchmarks.tiny_runs import QUICK_FLAGS, options

_FOLDER = flags.DEFINE_string("into", "", "Where the runs go; empty: a temporary folder.")

_MAIN = pathlib.Path(__file__).resolve().parent.parent / "main.py"
_SETTINGS = {
    "data.num_examples": 700, "data.stored_size": 36, "augment.size": 32, "data.workers": 1,
    "model.name": "resnet18", "model.width": 4, "model.branching": "none", "loss.name": "ce",
    "train.batch_size": 56, "train.epochs": 1, "train.log_every": 1, "eval.bootstrap": 0,
}  # fmt: skip


def _start(workdir: pathlib.Path, cache: pathlib.Path, seed: int) -> subprocess.Popen:
    settings = _SETTINGS | {"seed": seed, "data.cache_dir": cache}
    environment = os.environ | {"XLA_FLAGS": QUICK_FLAGS}
    with workdir.with_suffix(".txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, str(_MAIN), "--config=default", f"--workdir={workdir}", *options(settings)],
            env=environment, stdout=log, stderr=log,
        )  # fmt: skip


def _end(process: subprocess.Popen, workdir: pathlib.Path) -> None:
    if process.wait():
        raise SystemExit(workdir.with_suffix(".txt").read_text())


def _kill_while_filling(process: subprocess.Popen, cache: pathlib.Path) -> int:
    """Kills it when the cache has grown; returns how many bytes of the images were on the disk then."""
    while process.poll() is None:
        size = sum(file.stat().st_blocks * 512 for file in cache.glob("*/images.u8"))
        if size > 2**19:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return size
        time.sleep(0.01)
    raise SystemExit("the cache was filled before the run could be killed")


def main(_: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(_FOLDER.value or temporary).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        shared = folder / "shared"
        a, b = (_start(folder / name, shared, seed) for seed, name in enumerate("ab"))
        size = _kill_while_filling(b, shared)
        print(f"killed b when {size:,} bytes of the cache were filled; a goes on, b starts again")
        _end(_start(folder / "b", shared, 1), folder / "b")
        _end(a, folder / "a")
        equal = True
        for seed, name in enumerate("ab"):
            alone = folder / f"{name}_alone"
            _end(_start(alone, folder / f"cache_{name}", seed), alone)
            equal &= compare(alone, folder / name)
    if not equal:
        raise SystemExit("the runs differ")


if __name__ == "__main__":
    app.run(main)
