"""Thousands of tiny training steps: are memory, open files, threads and step time flat?

    python -m benchmarks.soak [--steps=8000] [--drivers=threads,tf.data]

The real command `train`, with cache, a validation every epoch and a checkpoint every 200, in a process of
its own for each driver of the input. Compared are the third and the last tenth of the run (until then it
compiles, and pools of threads fill): memory, open files and threads, ten times a second, and the rate in
`metrics.jsonl`. Of files and threads it is the least of the tenth: a checkpoint that is being written has
some for a moment, and a leak raises the least. On a busy machine the rate is noise: read it beside the rest.

Checkpoints are few because Orbax keeps about 0.07 MiB for each that it has saved, for as long as the process
lives (400 saves of 160 small arrays by Orbax alone: 24 MiB).
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from absl import app, flags

from benchmarks import tiny_runs

_STEPS = flags.DEFINE_integer("steps", 8000, "Of each run.")
_DRIVERS = flags.DEFINE_list("drivers", ["threads", "tf.data"], "Of the input: data.driver.")
_FLAT = {"memory MiB": 1.05, "open files": 1.0, "threads": 1.0}
"""How many times the third tenth's figure the last tenth's may be."""

_MAIN = pathlib.Path(__file__).resolve().parent.parent / "main.py"


def _sampled(process: subprocess.Popen, metrics: pathlib.Path) -> list[dict[str, float]]:
    """Resident memory, open files and threads of a process, from the first line of metrics to the last."""
    samples: list[dict[str, float]] = []
    place = pathlib.Path(f"/proc/{process.pid}")
    while process.poll() is None:
        time.sleep(0.1)
        written = metrics.stat().st_size if metrics.exists() else 0
        if not written:
            continue
        try:
            status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
            resident = int(status["VmRSS"].split()[0]) / 1024
            samples.append(
                {
                    "memory MiB": resident,
                    "open files": len(os.listdir(place / "fd")),
                    "threads": int(status["Threads"]),
                    "written": written,
                }
            )
        except (OSError, KeyError):  # it has just ended
            pass
    return [sample for sample in samples if sample["written"] < samples[-1]["written"]]


def _tenths(values: list[float], of: Callable[[list[float]], float]) -> tuple[float, float]:
    """`of` the third and the last tenth."""
    tenth = max(len(values) // 10, 1)
    return of(values[2 * tenth : 3 * tenth]), of(values[-tenth:])


def _soak(folder: pathlib.Path, cells: pathlib.Path, driver: str) -> bool:
    """Whether a run by that driver is flat."""
    settings = tiny_runs.SETTINGS | {
        "data.path": cells, "data.driver": driver, "train.epochs": 2 * _STEPS.value,
        "train.max_steps": _STEPS.value, "train.checkpoint_every": 200, "train.log_every": 20,
        "optimizer.ema_decay": 0.9,
    }  # fmt: skip
    workdir = folder / driver
    command = [sys.executable, str(_MAIN), "--config=default", f"--workdir={workdir}"]
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
        "JAX_PLATFORMS": "cpu",
    }
    with (folder / f"{driver}.txt").open("wb") as log:
        process = subprocess.Popen(
            [*command, *tiny_runs.options(settings)], env=environment, stdout=log, stderr=log
        )
        samples = _sampled(process, workdir / "metrics.jsonl")
    if process.returncode:
        raise SystemExit((folder / f"{driver}.txt").read_text())
    flat = True
    for name, allowed in _FLAT.items():
        least_or_middle = statistics.median if name == "memory MiB" else min
        early, late = _tenths([sample[name] for sample in samples], least_or_middle)
        flat &= late <= early * allowed
        print(f"{driver:8} {name:12} {early:10.1f} {late:10.1f}  {late / early:.3f}")
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    rates = [record["images_per_second"] for record in records if record["kind"] == "train"]
    early, late = _tenths([1000 * settings["train.batch_size"] / rate for rate in rates], statistics.median)
    print(f"{driver:8} {'ms a step':12} {early:10.1f} {late:10.1f}  {late / early:.3f}")
    return flat


def main(_: list[str]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary).resolve()
        tiny_runs.draw_cells(folder / "cells")
        print(f"{_STEPS.value} steps; driver, figure, third tenth, last tenth, ratio")
        flat = [_soak(folder, folder / "cells", driver) for driver in _DRIVERS.value]
    print("flat" if all(flat) else "NOT flat")
    if not all(flat):
        raise SystemExit(1)


if __name__ == "__main__":
    app.run(main)
