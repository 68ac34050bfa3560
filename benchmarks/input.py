"""Images per second of the input side, and of what one would write with PyTorch instead.

    python -m benchmarks.input [--folder=DIR] [--images=1000] [--size=112] [--workers=2] [--rounds=5]

Without a folder of class folders it draws one: 250x250 JPEGs of the synthetic cells. The candidates take
turns, round after round, so that whatever else the machine does hits all of them; the median counts.
"""

import argparse
import contextlib
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from asae_jax.input.cache import Prepared, prepare_examples
from asae_jax.input.feed import train_batches
from asae_jax.input.folder import folder_index
from asae_jax.input.hue import adjust_hue
from asae_jax.input.index import DataIndex
from asae_jax.input.preparation import Preparation
from asae_jax.input.sampler import BalancedSampler
from asae_jax.input.sources import synthetic_index
from asae_jax.input.workers import bounded, default_workers, thread_pool
from asae_jax.synthetic import CLASS_NAMES

PER_CLASS = 6  # the paper's batch is 84 of 14 classes
WARM_UP = 8  # batches taken before the clock starts: more than any candidate has read ahead


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to get images into memory: `take(n)` gets n batches, `batches` of them a round."""

    take: Callable[[int], object]
    batches: int
    batch_size: int
    warm_up: int = WARM_UP


def main() -> None:
    options = parse_options()
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as streams:
        folder = options.folder or draw_folder(Path(scratch) / "images", options.images)
        ways = ways_to_read(folder, Path(scratch) / "cache", options, streams)
        rates = median_rates(ways, options.rounds)
    print(f"{options.workers} workers, stored at {options.size} px\n")
    for name, rate in rates.items():
        print(f"{name:28} {rate:10,.0f} images/s {rate / rates['decode']:8.2f} x decode")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", help="class folders; default: synthetic JPEGs of 250x250")
    parser.add_argument("--images", type=int, default=1000, help="how many to draw")
    parser.add_argument("--size", type=int, default=112, help="stored size in pixels")
    parser.add_argument("--workers", type=int, default=default_workers())
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def draw_folder(folder: Path, count: int) -> Path:
    """A folder of class folders with `count` 250x250 JPEGs of synthetic cells."""
    table = synthetic_index(num_examples=count, size=250, seed=0)
    for name in CLASS_NAMES:
        (folder / name).mkdir(parents=True)
    for row, label in enumerate(table.labels):
        Image.fromarray(table.read(row)).save(folder / CLASS_NAMES[label] / f"{row:06d}.jpg", quality=90)
    return folder


def ways_to_read(
    folder: Path, cache_dir: Path, options: argparse.Namespace, streams: contextlib.ExitStack
) -> dict[str, Way]:
    table, preparation, workers = folder_index(folder), Preparation(options.size), options.workers
    cached = prepare_examples(table, preparation, cache_dir=cache_dir, workers=workers)
    pool = streams.enter_context(thread_pool(workers))
    batch_size = PER_CLASS * table.num_classes
    epoch = -(-len(table) // batch_size)

    def each(function: Callable[[int], object]) -> Way:
        def take(count: int) -> None:
            rows = (row % len(table) for row in range(count))
            for task in bounded(lambda row: pool.submit(function, row), rows, 8 * workers):
                task.result()

        return Way(take, len(table), 1)

    def stream(batches: Iterator, count: int) -> Way:
        return Way(lambda number: [next(batches) for _ in range(number)], count, batch_size)

    def first_epoch(with_cache: bool) -> Way:
        def take(count: int) -> None:
            for _ in range(count):
                run_first_epoch(table, preparation, with_cache, batch_size, workers)

        return Way(take, 1, epoch * batch_size, warm_up=0)

    paths = [str(Path(folder) / name) for name in table.names]
    return {
        "decode": each(table.read),
        "decode + resize + hue": each(lambda row: preparation(table.read(row))),
        "cache, threads": stream(cache_batches(cached, "threads", workers, streams), 20 * epoch),
        "cache, tf.data": stream(cache_batches(cached, "tf.data", workers, streams), 20 * epoch),
        "first epoch, cache filling": first_epoch(True),
        "first epoch, no cache": first_epoch(False),
        "PyTorch DataLoader, Pillow": stream(torch_batches(paths, options.size, batch_size, workers), epoch),
    }


def run_first_epoch(
    table: DataIndex, preparation: Preparation, with_cache: bool, batch_size: int, workers: int
) -> None:
    """What a run does until its first epoch is over, without the network: check all images, read them."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as streams:
        cache_dir = scratch if with_cache else None
        prepared = prepare_examples(table, preparation, cache_dir=cache_dir, workers=workers, progress=False)
        batches = cache_batches(prepared, "threads", workers, streams)
        for _ in range(-(-len(table) // batch_size)):
            next(batches)


def cache_batches(prepared: Prepared, driver: str, workers: int, streams: contextlib.ExitStack) -> Iterator:
    labels = prepared.index.labels
    sampler = BalancedSampler(labels, PER_CLASS * prepared.index.num_classes, 0)
    rows = np.arange(len(labels))
    batches = train_batches(prepared, rows, labels, sampler=sampler, driver=driver, workers=workers)
    return streams.enter_context(contextlib.closing(batches))


class PillowImages(torch.utils.data.Dataset):
    """The same work in the words of a PyTorch user; hue by the same function, as there is no other."""

    def __init__(self, paths: list[str], size: int):
        self.paths, self.size = paths, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        with Image.open(self.paths[row]) as file:
            image = file.convert("RGB").resize((self.size, self.size), Image.Resampling.BOX)
        return torch.from_numpy(adjust_hue(np.asarray(image)))


class Endless(torch.utils.data.Sampler):
    """Every row, in a fresh order each time, for ever: no pause between epochs."""

    def __init__(self, count: int):
        self.count = count

    def __iter__(self) -> Iterator[int]:
        while True:
            yield from torch.randperm(self.count).tolist()


def torch_batches(paths: list[str], size: int, batch_size: int, workers: int) -> Iterator:
    loader = torch.utils.data.DataLoader(
        PillowImages(paths, size),
        batch_size=batch_size,
        sampler=Endless(len(paths)),
        num_workers=workers,
        multiprocessing_context="spawn",  # threads run already: no fork
    )
    return iter(loader)


def median_rates(ways: dict[str, Way], rounds: int) -> dict[str, float]:
    """Images per second of each, the median of rounds in which they take turns."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            way.take(way.warm_up)
            start = time.perf_counter()
            way.take(way.batches)
            rates[name].append(way.batches * way.batch_size / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in rates.items()}


if __name__ == "__main__":
    main()
