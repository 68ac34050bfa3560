"""Kills a training run at random moments until it has ended, and compares it with one that nobody disturbed.

    python -m benchmarks.kills [--kills=20] [--seed=0] [--folder=DIR]

Both are small networks on drawn cells, on one device. The undisturbed run compiles its programs; the killed
one reads them from disk as soon as they are there (see `asae_jax.run.compile_cache`), so that equal ends say
too that a program read is the program compiled. Compared are every array of the newest checkpoint (bit for
bit), `metrics.jsonl`, the predictions and the scores. A kill is SIGKILL to the process, at a moment drawn
uniformly from the first third of the time that the undisturbed run took (each start trains some way further);
after `--kills` of them the run is left alone.
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
from absl import app, flags, logging

from asae_jax.json_files import CHECKSUM
from asae_jax.run.checkpoint import FOLDER, Checkpoints

_KILLS = flags.DEFINE_integer("kills", 20, "How often the run is killed.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the moments.")
_FOLDER = flags.DEFINE_string("folder", "", "Where the runs go; empty: a temporary folder.")

_MAIN = pathlib.Path(__file__).resolve().parent.parent / "main.py"
_SETTINGS = {
    "data.num_examples": 420, "data.stored_size": 36, "data.hue": "none", "augment.size": 32,
    "model.name": "resnet18", "model.width": 8, "asae.area": 0.3, "train.batch_size": 28,
    "train.epochs": 150, "train.log_every": 1, "optimizer.ema_decay": 0.9, "eval.bootstrap": 0,
}  # fmt: skip
_FILES = ("metrics.jsonl", "evaluation/test.json", "evaluation/test_predictions.csv", "uncertainty.json")


def _start(workdir: pathlib.Path, compiled: dict[str, str]) -> subprocess.Popen:
    """Starts training; `compiled` are the variables that say where compiled programs are kept."""
    options = [f"--config.{name}={value}" for name, value in _SETTINGS.items()]
    command = [sys.executable, str(_MAIN), "--config=default", f"--workdir={workdir}", *options]
    flags_of_xla = "--xla_force_host_platform_device_count=1"
    with (workdir.parent / "log.txt").open("a") as log:
        environment = os.environ | {"XLA_FLAGS": flags_of_xla} | compiled
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def _undisturbed(workdir: pathlib.Path) -> float:
    start = time.monotonic()
    if _start(workdir, {"JAX_ENABLE_COMPILATION_CACHE": "0"}).wait():
        raise SystemExit(f"the undisturbed run failed, see {workdir.parent / 'log.txt'}")
    return time.monotonic() - start


def _disturbed(workdir: pathlib.Path, seconds: float) -> tuple[int, int]:
    """Kills, and how many of them while a checkpoint was being written."""
    moments = random.Random(_SEED.value)
    kills = while_writing = 0
    begun: set[pathlib.Path] = set()  # a kill leaves what was begun behind
    while True:
        process = _start(workdir, {"XDG_CACHE_HOME": str(workdir.parent / "compiled")})
        if kills < _KILLS.value:
            try:
                process.wait(moments.uniform(0, seconds / 3))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                kills += 1
                left = set((workdir / FOLDER).glob("*tmp*"))
                while_writing += bool(left - begun)
                begun |= left
        status = process.wait()
        if status == 0:
            return kills, while_writing
        if status != -signal.SIGKILL:
            raise SystemExit(
                f"the run ended with {status} after {kills} kills, see {workdir.parent / 'log.txt'}"
            )


def _arrays(workdir: pathlib.Path) -> list[np.ndarray]:
    checkpoints = Checkpoints(workdir)
    state = checkpoints.read(checkpoints.newest)
    checkpoints.close()
    return jax.tree.leaves(state)


def _content(path: pathlib.Path):
    """Of a file of metrics or scores without what differs between folders and moments."""
    if path.suffix == ".jsonl":
        records = [json.loads(line) for line in path.read_text().splitlines()]
        return [
            {name: value for name, value in one.items() if name != "images_per_second"} for one in records
        ]
    if path.suffix != ".json":
        return path.read_bytes()
    content = json.loads(path.read_text())
    return {
        name: value for name, value in content.items() if name not in ("workdir", "made", "time", CHECKSUM)
    }


def compare(a: pathlib.Path, b: pathlib.Path) -> bool:
    """Prints what of two run folders is equal; returns whether all is."""
    pairs = list(zip(_arrays(a), _arrays(b), strict=True))
    same = sum(np.array_equal(x, y, equal_nan=True) and x.dtype == y.dtype for x, y in pairs)
    print(f"arrays of the newest checkpoint: {same} of {len(pairs)} equal bit for bit")
    equal = same == len(pairs)
    for name in _FILES:
        alike = _content(a / name) == _content(b / name)
        print(f"{name}: {'equal' if alike else 'DIFFERENT'}")
        equal &= alike
    return equal


def main(_) -> None:
    logging.set_verbosity(logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(_FOLDER.value or temporary).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        seconds = _undisturbed(folder / "undisturbed")
        print(f"undisturbed: {seconds:.0f} s")
        kills, while_writing = _disturbed(folder / "disturbed", seconds)
        print(f"killed {kills} times, {while_writing} of them while a checkpoint was being written")
        if not compare(folder / "undisturbed", folder / "disturbed"):
            raise SystemExit("the runs differ")


if __name__ == "__main__":
    app.run(main)
