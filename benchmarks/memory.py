"""Peak memory of the input side and of `audit` against the number of images.

    python -m benchmarks.memory [--images 2000 171000] [--side 64]
    python -m benchmarks.memory --objects [--images 60000]

Draws that many small JPEGs in 14 class folders and, each in a process of its own, (1) checks them all, fills
the cache and reads one epoch from it, (2) audits them. A few minutes for each 100,000 images. `--objects`
says instead how many bytes an image Python holds after and during each step, of empty files and random facts.
"""

import argparse
import contextlib
import functools
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from asae_jax.audit.duplicates import find_duplicates
from asae_jax.audit.findings import collect
from asae_jax.audit.scan import Facts, Scan, empty_facts
from asae_jax.audit.second_test import Compared
from asae_jax.input.cache import prepare_examples
from asae_jax.input.feed import train_batches
from asae_jax.input.folder import folder_index
from asae_jax.input.preparation import Preparation
from asae_jax.input.sampler import BalancedSampler
from asae_jax.input.workers import bounded, default_workers, thread_pool
from benchmarks.growth import folder_of, split_of

Made = TypeVar("Made")
NUM_CLASSES = 14
BATCH_SIZE = 84


def main() -> None:
    options = parse_options()
    if options.measure:
        return print_own_peak(options)
    if options.objects:
        return print_objects(options.images[-1])
    for count in options.images:
        with tempfile.TemporaryDirectory() as scratch:
            draw_folder(Path(scratch) / "cells", count, options.side)
            for what in ("input", "audit"):
                measure(what, count, scratch)
    return None


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[2000, 171000])
    parser.add_argument("--side", type=int, default=64, help="pixels of each image")
    parser.add_argument("--objects", action="store_true", help="bytes an image that Python holds, by step")
    parser.add_argument("--measure", choices=["input", "audit"], help=argparse.SUPPRESS)
    parser.add_argument("--scratch", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(what: str, count: int, scratch: str) -> None:
    """Runs one measurement in a process of its own, whose peak is its own too."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.memory", f"--measure={what}", f"--scratch={scratch}"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    minutes = (time.perf_counter() - start) / 60
    print(
        f"{count:9,} images, {what}: peak {done.stdout.splitlines()[-1]} MiB, {minutes:.1f} min", flush=True
    )


def print_own_peak(options: argparse.Namespace) -> None:
    scratch = Path(options.scratch)
    if options.measure == "input":
        read_one_epoch(scratch)
    else:
        audit_all(scratch)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def read_one_epoch(scratch: Path) -> None:
    prepared = prepare_examples(folder_index(scratch / "cells"), Preparation(48), cache_dir=scratch / "cache")
    sampler = BalancedSampler(prepared.index.labels, BATCH_SIZE, 0)
    rows = np.arange(len(prepared.index))
    batches = train_batches(prepared, rows, prepared.index.labels, sampler=sampler, driver="threads")
    with contextlib.closing(batches):
        for _ in range(sampler.steps_per_epoch):
            next(batches)


def print_objects(count: int) -> dict[str, tuple[float, float]]:
    """Bytes an image that each step keeps, and has at its peak beside what was there before."""
    found: dict[str, tuple[float, float]] = {}

    def traced(step: str, work: Callable[[], Made]) -> Made:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        made = work()
        now, peak = tracemalloc.get_traced_memory()
        found[step] = (now - before) / count, (peak - before) / count
        print(f"{step:24} {found[step][0]:8.0f} kept {found[step][1]:8.0f} at the peak", flush=True)
        return made

    with tempfile.TemporaryDirectory() as scratch:
        folder_of(count, Path(scratch))
        tracemalloc.start()
        table = traced("index of a folder", lambda: folder_index(Path(scratch) / str(count)))
        traced("contents", lambda: table.contents)
        splits = traced("split", lambda: split_of(table.labels))
        facts = traced("facts", lambda: random_facts(count))
        groups = traced("duplicates", lambda: find_duplicates(table, facts, splits))
        traced(
            "findings",
            lambda: collect(
                table,
                Compared(table, splits),
                Scan(facts, ()),
                groups,
                sampler="balanced",
                batch_size=BATCH_SIZE,
            ),
        )
        tracemalloc.stop()
    return found


def random_facts(count: int) -> Facts:
    """Of images that are all different, none of them odd."""
    rng, facts = np.random.default_rng(0), empty_facts(count)
    facts.readable[:], facts.contrast[:], facts.size[:] = True, 20, 200
    facts.digest[:], facts.colour[:] = np.arange(count), 150
    for start in range(0, count, 1000):
        rows = slice(start, start + 1000)
        facts.thumbnail[rows] = rng.integers(0, 256, facts.thumbnail[rows].shape, np.uint8)
        facts.border[rows] = rng.normal(size=facts.border[rows].shape)
    return facts


def audit_all(scratch: Path) -> None:
    from asae_jax.audit.command import audit
    from asae_jax.config import recipe

    config = recipe("own_cells_scratch")
    config.data.source, config.data.path = "folder", str(scratch / "cells")
    config.train.batch_size = BATCH_SIZE
    audit(config, scratch / "run")


def draw_folder(folder: Path, count: int, side: int) -> None:
    """`count` JPEGs of a round spot on a coloured field, no two alike, rarer from class to class."""
    for label in range(NUM_CLASSES):
        (folder / f"C{label:02d}").mkdir(parents=True)
    with thread_pool(default_workers()) as pool:
        draw = functools.partial(draw_one, folder, side=side)
        for task in bounded(functools.partial(pool.submit, draw), range(count), 64):
            task.result()


def draw_one(folder: Path, number: int, *, side: int) -> None:
    rng = np.random.default_rng(number)
    image = cv2.resize(
        rng.integers(60, 256, (6, 6, 3), np.uint8), (side, side), interpolation=cv2.INTER_CUBIC
    )
    centre, radius = rng.integers(side // 3, side - side // 3, 2), int(rng.integers(side // 8, side // 4))
    cv2.circle(image, tuple(map(int, centre)), radius, tuple(map(int, rng.integers(0, 256, 3))), -1)
    label = number if number < NUM_CLASSES else min(NUM_CLASSES, rng.geometric(0.2)) - 1
    cv2.imwrite(str(folder / f"C{label:02d}" / f"{number:06d}.jpg"), image)


if __name__ == "__main__":
    main()
