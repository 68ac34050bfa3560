"""The input side beside what one would write with PyTorch instead: time for one image, and ratios.

    python -m benchmarks.input [--folder=DIR] [--images=1000] [--side=250] [--size=112] [--workers=2]
                               [--rounds=5] [--kinds jpg png tif lzw.tif bmp]

Without a folder of class folders it draws one: JPEGs of the synthetic cells. For the other kinds the
images are saved anew. The ways take turns, round after round, so that whatever else the machine does hits all
of them; a ratio is that of one round, and its median and its 10 and 90 percent are printed. CPU time counts
the processes of PyTorch's loader too (Linux); read it where other programs run.
"""

import argparse
import contextlib
import dataclasses
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import PIL
import torch
from PIL import Image

from asae_jax.input import jpeg
from asae_jax.input.cache import Prepared, prepare_examples
from asae_jax.input.feed import train_batches
from asae_jax.input.folder import folder_index
from asae_jax.input.hue import adjust_hue
from asae_jax.input.preparation import Preparation
from asae_jax.input.sampler import BalancedSampler
from asae_jax.input.sources import synthetic_index
from asae_jax.input.workers import default_workers
from asae_jax.synthetic import CLASS_NAMES

PER_CLASS = 6  # the paper's batch is 84 of 14 classes
WARM_UP = 8  # batches taken before the clock starts: more than any way has read ahead
REST = 0.3  # seconds; nothing is timed before the way before has read ahead what it may, and rests so long
RIVAL = "PyTorch DataLoader, Pillow"
SAVED = {
    "png": ("PNG", {}),
    "tif": ("TIFF", {}),
    "lzw.tif": ("TIFF", {"compression": "tiff_lzw"}),
    "bmp": ("BMP", {}),
}
"""Kind -> Pillow's name of the format and its options."""


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to get images into memory: `take(n)` gets n batches, `batches` of them a round."""

    take: Callable[[int], object]
    batches: int
    batch_size: int
    warm_up: int = WARM_UP


Times = dict[str, np.ndarray]
"""Way -> microseconds an image by the clock and of CPU, float `[rounds, 2]`."""


def main() -> None:
    options = parse_options()
    print(
        f"{options.workers} workers on {os.cpu_count()} cores ({platform.machine()}), load "
        f"{os.getloadavg()[0]:.0f}; stored at {options.size} px; PyTorch {torch.__version__}, Pillow "
        f"{PIL.__version__}, OpenCV {cv2.__version__}, simplejpeg {'yes' if jpeg._FAST else 'no'}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.folder or draw_folder(Path(scratch) / "images", options.images, options.side))
        for kind in options.kinds:
            place = folder if kind == "jpg" else save_folder(folder, Path(scratch) / kind, kind)
            with contextlib.ExitStack() as streams:
                print_table(kind, measure(ways_to_read(place, kind, options, streams), options.rounds))
    print(f"\nload at the end {os.getloadavg()[0]:.0f}")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", help="class folders of JPEGs; default: synthetic ones")
    parser.add_argument("--images", type=int, default=1000, help="how many to draw")
    parser.add_argument("--side", type=int, default=250, help="pixels of those drawn")
    parser.add_argument("--size", type=int, default=112, help="stored size in pixels")
    parser.add_argument("--workers", type=int, default=default_workers())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", nargs="+", choices=("jpg", *SAVED), default=["jpg", "png", "tif"])
    return parser.parse_args()


def draw_folder(folder: Path, count: int, side: int) -> Path:
    """A folder of class folders with `count` JPEGs of synthetic cells, of `side` pixels."""
    table = synthetic_index(num_examples=count, size=side, seed=0)
    for name in CLASS_NAMES:
        (folder / name).mkdir(parents=True)
    for row, label in enumerate(table.labels):
        Image.fromarray(table.read(row)).save(folder / CLASS_NAMES[label] / f"{row:06d}.jpg", quality=90)
    return folder


def save_folder(folder: Path, copy: Path, kind: str) -> Path:
    """The images of `folder` in another format."""
    format_, how = SAVED[kind]
    for name in folder_index(folder).names:
        place = (copy / name).with_suffix(f".{kind}")
        place.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(folder / name) as image:
            image.convert("RGB").save(place, format_, **how)
    return copy


def ways_to_read(
    folder: Path, kind: str, options: argparse.Namespace, streams: contextlib.ExitStack
) -> dict[str, Way]:
    """The rival first; the cached ways for JPEGs only, as a cache does not know what it was made from."""
    table, workers = folder_index(folder), options.workers
    batch_size = PER_CLASS * table.num_classes
    epoch = -(-len(table) // batch_size)
    full, reduced = (Preparation(options.size, decoding=decoding) for decoding in ("full", "reduced"))

    def stream(batches: Iterator, count: int) -> Way:
        return Way(lambda number: [next(batches) for _ in range(number)], count, batch_size)

    def feed(preparation: Preparation, cache_dir: str | None = None, driver: str = "threads") -> Way:
        prepared = prepare_examples(table, preparation, cache_dir=cache_dir, workers=workers, progress=False)
        count = epoch if cache_dir is None else 10 * epoch
        return stream(batches_of(prepared, driver, workers, streams), count)

    def fill(preparation: Preparation) -> Way:
        def take(count: int) -> None:
            for _ in range(count):
                with tempfile.TemporaryDirectory() as cache_dir:
                    prepare_examples(
                        folder_index(folder),
                        preparation,
                        cache_dir=cache_dir,
                        workers=workers,
                        progress=False,
                    )

        return Way(take, 1, len(table), warm_up=0)

    def rival(draft: bool) -> Way:
        paths = [str(folder / name) for name in table.names]
        return stream(torch_batches(PillowImages(paths, options.size, draft), batch_size, workers), epoch)

    ways = {RIVAL: rival(False), "filling the cache": fill(full), "feed without a cache": feed(full)}
    if kind != "jpg":
        return ways
    cache_dir = streams.enter_context(tempfile.TemporaryDirectory())
    return ways | {
        f"{RIVAL}'s draft": rival(True),
        "filling the cache, reduced": fill(reduced),
        "feed without a cache, reduced": feed(reduced),
        "feed from the cache, threads": feed(full, cache_dir),
        "feed from the cache, tf.data": feed(full, cache_dir, "tf.data"),
    }


def batches_of(prepared: Prepared, driver: str, workers: int, streams: contextlib.ExitStack) -> Iterator:
    labels = prepared.index.labels
    sampler = BalancedSampler(labels, PER_CLASS * prepared.index.num_classes, 0)
    rows = np.arange(len(labels))
    batches = train_batches(prepared, rows, labels, sampler=sampler, driver=driver, workers=workers)
    return streams.enter_context(contextlib.closing(batches))


class PillowImages(torch.utils.data.Dataset):
    """The same work in the words of a PyTorch user; hue by the same function, as there is no other."""

    def __init__(self, paths: list[str], size: int, draft: bool):
        self.paths, self.size, self.draft = paths, size, draft

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        size = self.size, self.size
        with Image.open(self.paths[row]) as file:
            if self.draft:
                file.draft("RGB", size)
            image = file.convert("RGB").resize(size, Image.Resampling.BOX)
        return torch.from_numpy(adjust_hue(np.asarray(image)))


class Endless(torch.utils.data.Sampler):
    """Every row, in a fresh order each time, for ever: no pause between epochs."""

    def __init__(self, count: int):
        self.count = count

    def __iter__(self) -> Iterator[int]:
        while True:
            yield from torch.randperm(self.count).tolist()


def torch_batches(images: PillowImages, batch_size: int, workers: int) -> Iterator:
    loader = torch.utils.data.DataLoader(
        images,
        batch_size=batch_size,
        sampler=Endless(len(images)),
        num_workers=workers,
        multiprocessing_context="spawn",  # threads run already: no fork
    )
    return iter(loader)


def measure(ways: dict[str, Way], rounds: int) -> Times:
    """Time of each way in each round, in which they take turns."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            wait_for_rest()
            way.take(way.warm_up)
            start = time.perf_counter(), cpu_seconds()
            way.take(way.batches)
            images = way.batches * way.batch_size / 1e6
            times[name].append(
                ((time.perf_counter() - start[0]) / images, (cpu_seconds() - start[1]) / images)
            )
    return {name: np.array(rows) for name, rows in times.items()}


def wait_for_rest() -> None:
    before = -1.0
    while cpu_seconds() - before > REST / 30:
        before = cpu_seconds()
        time.sleep(REST)


def cpu_seconds() -> float:
    """Of this process and of its children that run; of this one alone where there is no /proc."""
    total = time.process_time()
    for child in multiprocessing.active_children():
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def print_table(kind: str, times: Times) -> None:
    print(f"\n{kind:31} images/s  CPU us  {'PyTorch / this: CPU':>21}  {'wall':>21}")
    for name, taken in times.items():
        wall, cpu = np.median(taken, axis=0)
        low, middle, high = np.percentile(times[RIVAL] / taken, (10, 50, 90), axis=0)
        ratios = [f"{middle[i]:6.2f} ({low[i]:.2f} to {high[i]:.2f})" for i in (1, 0)]
        print(f"{name:31} {1e6 / wall:8,.0f} {cpu:7,.0f}  {ratios[0]:>21}  {ratios[1]:>21}")


if __name__ == "__main__":
    main()
