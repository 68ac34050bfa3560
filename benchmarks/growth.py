"""How cost grows with batch, image size, classes, devices and the number of images.

    python -m benchmarks.growth [--parts step devices head classes images] [--output=JSON] [--plot=PNG]

Each sweep runs its sizes in turn, round after round, so that whatever else the machine does hits all of
them. Printed are medians of processor and of wall-clock time, the slope of processor time over the whole
range, in logarithms (1: in proportion), that between the last two sizes, and where it bends: the first size
at which the local slope changes by more than `BEND`. Below 1 a fixed cost still weighs; above 1 something
grows faster than its input. Networks have a quarter of the usual width: read the growth, not the speed.

`step` is the training step with ASAE and GMMCE on one device; `devices` the same batch on several virtual
CPU devices; `head` the last layer and the loss alone, as a run takes at most 1,000 classes; `classes` and
`images` are what has no network: index, split, sampler, duplicates, border classifier, scores.
"""

import argparse
import functools
import itertools
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from asae_jax.audit.duplicates import similar_pairs
from asae_jax.audit.shortcut import border_shortcut
from asae_jax.evaluation.metrics import evaluate_scores
from asae_jax.input.border import BORDER_FEATURES
from asae_jax.input.folder import folder_index
from asae_jax.input.index import DataIndex
from asae_jax.input.sampler import BalancedSampler
from asae_jax.input.split import draw_split
from asae_jax.losses import cross_entropy, gmmce
from asae_jax.run import compile_cache
from benchmarks import cpu_devices

BEND = 0.25
"""Change of the local slope that counts as a bend."""
PARTS = ("step", "devices", "head", "classes", "images")
DEVICES = (1, 2, 4, 8)
BATCH_SIZE, SIZE, CLASSES, WIDTH = 16, 32, 10, 16
FEATURES = 8 * WIDTH
"""Of the last layer of a ResNet-18 of that width."""
ROWS, MANY = 20_000, 171_000
"""Images of the sweep over classes; the largest set."""

Setup = Callable[[int, Path], Callable[[], Any]]
"""(size, an empty folder) -> the work of that size, which is timed; whatever comes before it is not."""


class Sweep(NamedTuple):
    """One line of the table.

    Attributes:
      part: of `PARTS`.
      over: what grows.
      name: what is done.
      sizes: how large.
      setup: makes the work of one size.
      each: what a work does so many times.
    """

    part: str
    over: str
    name: str
    sizes: tuple[int, ...]
    setup: Setup
    each: int = 1


class Measured(NamedTuple):
    """Seconds of one sweep, by size."""

    cpu: list[float]
    wall: list[float]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    options = parse_options(arguments)
    compile_cache.switch_on()  # a second run need not compile again
    if {"step", "devices"} & set(options.parts):
        jax.config.update("jax_num_cpu_devices", max(DEVICES))
    machine = f"{platform.processor() or platform.machine()}, {cpu_devices.default_workers()} cores"
    print(f"{machine}, jax {jax.__version__}, numpy {np.__version__}, {options.rounds} rounds", flush=True)
    print("| what | range | CPU ms at each size (wall ms) | slope | at the end | bend |")
    print("|---|---|---|---|---|---|")
    rows = []
    for sweep in sweeps(options.parts, options.scale):
        row = described(sweep, measure(sweep, options.rounds))
        rows.append(row)
        print_row(row)
    found = {"machine": machine, "load": os.getloadavg()[0], "rounds": options.rounds, "sweeps": rows}
    print(f"load at the end {found['load']:.1f}")
    if options.output:
        Path(options.output).write_text(json.dumps(found, indent=1) + "\n")
    if options.plot:
        plot(rows, Path(options.plot))
    return found


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=3, help="of all sizes of a sweep, in turn")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes but those of devices")
    parser.add_argument("--output", help="JSON file")
    parser.add_argument("--plot", help="picture of all sweeps")
    return parser.parse_args(arguments)


def sweeps(parts: Sequence[str], scale: float = 1.0) -> Iterator[Sweep]:
    """The sweeps of `parts`, with sizes times `scale`."""
    every = [*step_sweeps(), *head_sweeps(), *class_sweeps(), *image_sweeps()]
    for sweep in every:
        if sweep.part in parts:
            least = 8 if sweep.over == "pixels" else 2
            sizes = (
                sweep.sizes
                if sweep.part == "devices"
                else {max(least, round(s * scale)) for s in sweep.sizes}
            )
            yield sweep._replace(sizes=tuple(sorted(sizes)))


def step_sweeps() -> list[Sweep]:
    step = functools.partial(Sweep, "step", name="training step")
    return [
        step(over="batch", sizes=(4, 8, 16, 32, 64), setup=lambda n, _: step_of(batch_size=n)),
        step(over="pixels", sizes=(32, 48, 64, 96), setup=lambda n, _: step_of(size=n)),
        step(over="classes", sizes=(10, 100, 1000), setup=lambda n, _: step_of(classes=n)),
        Sweep("devices", "devices", "training step", DEVICES, lambda n, _: step_of(devices=n)),
    ]


@functools.cache  # sweeps share a size, and to compile takes longer than to measure
def step_of(
    *, batch_size: int = BATCH_SIZE, size: int = SIZE, classes: int = CLASSES, devices: int = 1
) -> Callable[[], None]:
    """One compiled training step that has run."""
    options = cpu_devices.parse_options([f"--batch_size={batch_size}", f"--size={size}", f"--width={WIDTH}"])
    return cpu_devices.compiled(options, devices, classes)


def head_sweeps() -> list[Sweep]:
    sizes = (10, 100, 1000, 10_000)
    losses = {"cross entropy": cross_entropy, "GMMCE": gmmce}
    return [
        Sweep("head", "classes", f"last layer and {name}", sizes, functools.partial(head_of, loss), each=5)
        for name, loss in losses.items()
    ]


def head_of(loss: Callable, classes: int, _: Path) -> Callable[[], None]:
    """Last layer, loss and their gradients for a batch of 64."""
    rng = np.random.default_rng(0)
    features = jnp.asarray(rng.normal(size=(64, FEATURES)), jnp.float32)
    weights = jnp.asarray(rng.normal(size=(FEATURES, classes)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, classes, 64), jnp.int32)
    gradient = jax.jit(jax.value_and_grad(lambda w, f: loss(f @ w, labels).mean(), argnums=(0, 1)))
    jax.block_until_ready(gradient(weights, features))
    return lambda: jax.block_until_ready(gradient(weights, features))


def class_sweeps() -> list[Sweep]:
    sweep = functools.partial(Sweep, "classes", "classes", sizes=(10, 30, 100, 300, 1000))
    return [
        sweep(name="split", setup=lambda n, _: lambda: split_of(labels_of(ROWS, n))),
        sweep(name="sampler: start", setup=lambda n, _: sampler_start(labels_of(ROWS, n))),
        sweep(name="sampler: a batch of 1,000", setup=lambda n, _: batches_of(ROWS, n, 1000), each=20),
        sweep(name="border classifier", setup=lambda n, _: border_of(ROWS, n)),
        sweep(name="scores, 20 resamples", setup=scores_of),
    ]


def image_sweeps() -> list[Sweep]:
    sweep = functools.partial(Sweep, "images", "images", sizes=(2000, 6000, 20_000, 60_000, MANY))
    return [
        sweep(name="index of a folder", setup=folder_of),
        sweep(name="fingerprint", setup=lambda n, _: index_of(n).fingerprint),
        sweep(name="split by image", setup=lambda n, _: lambda: split_of(labels_of(n, 14))),
        sweep(
            name="split by patient",
            setup=lambda n, _: lambda: split_of(labels_of(n, 14), np.arange(n) // 100),
        ),
        sweep(name="sampler: start", setup=lambda n, _: sampler_start(labels_of(n, 14))),
        sweep(name="sampler: a batch of 84", setup=lambda n, _: batches_of(n, 14, 84), each=200),
        sweep(name="near-duplicate search", setup=lambda n, _: functools.partial(similar_pairs, spots(n))),
        sweep(name="border classifier", setup=lambda n, _: border_of(n, 14)),
    ]


def labels_of(rows: int, classes: int) -> np.ndarray:
    """int32 `[rows]`; the first classes are the largest, and none is empty."""
    share = np.random.default_rng(0).uniform(size=rows) ** 2
    labels = np.minimum((share * classes).astype(np.int32), classes - 1)
    labels[: min(rows, classes)] = np.arange(min(rows, classes))
    return labels


def split_of(labels: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    return draw_split(
        labels, groups=groups, test_fraction=0.2, validation_fraction=0.1, folds=0, fold=0, seed=0
    )


def sampler_start(labels: np.ndarray) -> Callable[[], Any]:
    """A sampler made, and its first batch, for which every class is put into order."""
    size = 2 * len(np.unique(labels))
    return lambda: BalancedSampler(labels, size, 0).batch(0)


def batches_of(rows: int, classes: int, size: int) -> Callable[[], None]:
    labels = labels_of(rows, classes)
    classes = len(np.unique(labels))
    sampler, step = BalancedSampler(labels, size // classes * classes or classes, 0), iter(range(1 << 60))
    return lambda: sampler.batch(next(step))


def border_of(rows: int, classes: int) -> Callable[[], Any]:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(rows, BORDER_FEATURES)).astype(np.float32)
    names = tuple(f"C{number}" for number in range(classes))
    return lambda: border_shortcut(features, labels_of(rows, classes), names)


def scores_of(classes: int, _: Path) -> Callable[[], Any]:
    rng, labels = np.random.default_rng(0), labels_of(ROWS // 10, classes)
    log_probs = np.log(rng.dirichlet(np.ones(classes), len(labels)) + 1e-9)
    names = [f"C{number}" for number in range(classes)]
    return lambda: evaluate_scores(log_probs, labels, names, bootstrap=20)


def index_of(rows: int) -> DataIndex:
    names = np.array([f"C{number % 14:02d}/{number:06d}.jpg" for number in range(rows)])
    return DataIndex(
        source="made", class_names=tuple(f"C{number:02d}" for number in range(14)), names=names,
        labels=labels_of(rows, 14), read=lambda row: np.zeros((8, 8, 3), np.uint8),
    )  # fmt: skip


def folder_of(rows: int, scratch: Path) -> Callable[[], Any]:
    """A folder of so many empty files, which an index does not open."""
    folder = scratch / str(rows)
    for number in range(min(rows, 14)):
        (folder / f"C{number:02d}").mkdir(parents=True)
    for name in index_of(rows).names:
        (folder / name).touch()
    return lambda: folder_index(folder)


def spots(rows: int) -> np.ndarray:
    """Thumbnails as of cells: a dark middle, uint8 `[rows, 16, 16]`."""
    rng = np.random.default_rng(0)
    away = np.hypot(*(np.indices((16, 16)) - 7.5))
    spot, coarse = np.where(away < 5, -80, 0), rng.normal(0, 25, (rows, 8, 8)).astype(np.float32)
    fine = coarse.repeat(2, axis=1).repeat(2, axis=2)
    return np.clip(200 + spot + fine, 0, 255).astype(np.uint8)


def measure(sweep: Sweep, rounds: int) -> Measured:
    """Medians over the rounds, in each of which all sizes take their turn."""
    cpu, wall = (np.zeros((rounds, len(sweep.sizes))) for _ in range(2))
    with tempfile.TemporaryDirectory() as scratch:
        works = [sweep.setup(size, Path(scratch)) for size in sweep.sizes]
        for work in works:
            work()
        for number in range(rounds):
            for place, work in enumerate(works):
                begin = time.process_time(), time.perf_counter()
                for _ in range(sweep.each):
                    work()
                cpu[number, place] = (time.process_time() - begin[0]) / sweep.each
                wall[number, place] = (time.perf_counter() - begin[1]) / sweep.each
    return Measured(np.median(cpu, axis=0).tolist(), np.median(wall, axis=0).tolist())


def described(sweep: Sweep, measured: Measured) -> dict[str, Any]:
    """A row of the table, as JSON holds it."""
    slopes = local_slopes(sweep.sizes, measured.cpu)
    return {
        **{name: getattr(sweep, name) for name in ("part", "over", "name", "sizes")},
        **measured._asdict(),
        "slope": slope(sweep.sizes, measured.cpu),
        "last_slope": slopes[-1] if slopes else float("nan"),
        "bend": bend(sweep.sizes, slopes),
    }


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Of the straight line through the logarithms (least squares); NaN for a single size."""
    if len(sizes) < 2:
        return float("nan")
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-9)), 1)[0])


def local_slopes(sizes: Sequence[float], values: Sequence[float]) -> list[float]:
    """From each size to the next."""
    logs = np.diff(np.log(np.maximum(values, 1e-9)))
    return (logs / np.diff(np.log(sizes))).tolist()


def bend(sizes: Sequence[int], slopes: Sequence[float]) -> int | None:
    """The first size at which the local slope changes by more than `BEND`; None where it does not."""
    changed = [abs(after - before) > BEND for before, after in itertools.pairwise(slopes)]
    return sizes[changed.index(True) + 1] if True in changed else None


def print_row(row: Mapping[str, Any]) -> None:
    """As a row of a table in Markdown; milliseconds of the processor, those of the clock in brackets."""
    ends = f"{row['sizes'][0]:,} to {row['sizes'][-1]:,} {row['over']}"
    times = ", ".join(f"{number(1000 * value)}" for value in row["cpu"])
    clock = f"{number(1000 * row['wall'][0])} to {number(1000 * row['wall'][-1])}"
    bent = f"{row['bend']:,}" if row["bend"] else "none"
    columns = (
        row["name"],
        ends,
        f"{times} ({clock})",
        f"{row['slope']:.2f}",
        f"{row['last_slope']:.2f}",
        bent,
    )
    print(f"| {' | '.join(columns)} |", flush=True)


def number(value: float) -> str:
    """Two digits, and no exponent."""
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """One panel for everything that grows and its part: processor time of each size, on logarithmic axes."""
    from asae_jax.evaluation.figures import pyplot
    from asae_jax.pages import colours

    panels = list(dict.fromkeys((row["part"], row["over"]) for row in rows))
    plt = pyplot()
    figure, axes = plt.subplots(
        2,
        -(-len(panels) // 2),
        figsize=(3.4 * -(-len(panels) // 2), 6.4),
        layout="constrained",
        squeeze=False,
    )
    palette = [colours()[name] for name in ("first", "second", "third")]
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, panel in zip(axes.flat, panels, strict=False):
        for number, row in enumerate(row for row in rows if (row["part"], row["over"]) == panel):
            style = {"color": palette[number % 3], "linestyle": ("-", "--", ":")[number // 3]}
            axis.loglog(row["sizes"], np.multiply(row["cpu"], 1000), marker=".", label=row["name"], **style)
        axis.set_xlabel(panel[1])
        axis.set_ylabel("processor time, ms")
        axis.legend(fontsize=6.5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=90)
    plt.close(figure)


if __name__ == "__main__":
    main()
