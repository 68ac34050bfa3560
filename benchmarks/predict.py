"""Speed of `predict`, beside PyTorch and ONNX Runtime doing the same work, and where its time goes.

    python -m benchmarks.predict [--model=marrow8] [--images=1024] [--rounds=3] [--profile]

Every way reads a folder of JPEGs, prepares them by the same function, applies the same weights, and writes a
CSV file of labels and probabilities; `predict` writes its count and, but for --nopage, its page too. PyTorch
decodes in the worker processes of a DataLoader and computes in channels-last memory, ONNX Runtime runs what
`export --formats=onnx` writes, and decodes in threads. Each is a process of its own, which predicts
once all images and once a quarter of them; the difference is the time of the images, without the start. The
ways take turns, round after round, and ratios are printed; the machine's load too: above its number of cores
CPU seconds count. Probabilities are compared. With --profile: CPU milliseconds an image of each stage.
"""

import argparse
import csv
import itertools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path

import numpy as np

from asae_jax.config import read_run_config
from asae_jax.folders import is_image_name, walk
from asae_jax.input.decode import read_image
from asae_jax.input.preparation import Preparation
from asae_jax.input.sources import configured_preparation
from asae_jax.input.workers import bounded, default_workers, thread_pool
from asae_jax.run.build import normalisation
from asae_jax.shipped import models

ROOT = Path(__file__).resolve().parent.parent
BATCH = 128
WAYS = ("asae", "asae --nopage", "torch", "onnx")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="marrow8", help="an included model")
    parser.add_argument("--folder", type=Path, default=ROOT / "data" / "demo" / "images", help="of images")
    parser.add_argument("--images", type=int, default=1024, help="how many; those of the folder are repeated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="print the stages instead")
    parser.add_argument("--rival", nargs=4, metavar=("WAY", "RUN", "FOLDER", "CSV"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.rival:
        way, run, folder, output = given.rival
        RIVALS[way](Path(run), Path(folder), Path(output))
        return
    print(f"{platform.processor() or platform.machine()}, {default_workers()} cores, {_versions()}; "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        folders = {n: _repeated(given.folder, Path(place), n) for n in (given.images // 4, given.images)}
        if given.profile:
            _print_profile(Path(place), given.model, folders[given.images])
        else:
            _compare(Path(place), given.model, folders, given.rounds)
    print(f"load at the end: {os.getloadavg()[0]:.1f}")


def _versions() -> str:
    return ", ".join(f"{name} {metadata.version(name)}" for name in ("jax", "torch", "onnxruntime"))


def _repeated(source: Path, place: Path, count: int) -> Path:
    """A folder of `count` files that are the images of `source`, over and over."""
    files = sorted(source / found.name for found in walk(source) if is_image_name(found.name))
    folder = place / f"images-{count}"
    folder.mkdir()
    for number, file in zip(range(count), itertools.cycle(files), strict=False):
        shutil.copyfile(file, folder / f"{number:06d}{file.suffix}")
    return folder


def _compare(place: Path, model: str, folders: dict[int, Path], rounds: int) -> None:
    run, (few, many) = place / "run", sorted(folders)
    subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "export", f"--model={model}", f"--workdir={run}",
         "--formats=onnx,torch"], check=True, capture_output=True,
    )  # fmt: skip
    taken: dict[str, list[np.ndarray]] = {way: [] for way in WAYS}
    for number in range(rounds + 1):
        for way in WAYS:
            times = [_seconds(_command(way, run, folders[n], _output(place, way, n))) for n in (few, many)]
            if number:  # the first round fills caches, ours of compiled programs too
                taken[way].append((np.array(times[1]) - times[0]) / (many - few))
    print(
        f"\n{'ms an image':18}{'wall':>8}{'CPU':>8}   CPU: least to most   ours (--nopage) / this: wall, CPU"
    )
    ours = _medians(taken["asae --nopage"])
    for way, rows in taken.items():
        wall, cpu = 1000 * _medians(rows)
        least, most = 1000 * np.array(rows)[:, 1].min(), 1000 * np.array(rows)[:, 1].max()
        ratios = ours / _medians(rows)
        spread = f"{least:.2f} to {most:.2f}"
        print(f"{way:18}{wall:8.2f}{cpu:8.2f}   {spread:22}{ratios[0]:.2f}, {ratios[1]:.2f}")
    first = _probabilities(_output(place, WAYS[0], many))
    for way in WAYS[1:]:
        largest = np.abs(first - _probabilities(_output(place, way, many))).max()
        print(f"largest difference of probabilities to {way}: {largest:.1e}")


def _output(place: Path, way: str, count: int) -> Path:
    return place / f"{way}-{count}.csv"


def _command(way: str, run: Path, folder: Path, output: Path) -> list[str]:
    if way in RIVALS:
        return [
            sys.executable,
            "-m",
            "benchmarks.predict",
            "--rival",
            way,
            str(run),
            str(folder),
            str(output),
        ]
    page = ["--nopage"] if "nopage" in way else []
    return [
        *(sys.executable, str(ROOT / "main.py"), "predict", f"--workdir={run}"),
        *(f"--input={folder}", f"--output={output}", "--config.data.workers=0"),
        *page,
    ]


def _seconds(command: list[str]) -> tuple[float, float]:
    """Wall-clock and CPU seconds of a process."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, os.times()
    return wall, after[2] + after[3] - before[2] - before[3]


def _medians(rows: list[np.ndarray]) -> np.ndarray:
    return np.array([statistics.median(column) for column in zip(*rows, strict=True)])


def _probabilities(file: Path) -> np.ndarray:
    with file.open(encoding="utf-8", newline="") as text:
        rows = sorted(csv.DictReader(text), key=lambda row: Path(row["path"]).name)
    return np.array([[float(row[name]) for name in row if name.startswith("p_")] for row in rows])


class _Prepared:
    """The rivals' data set: prepared uint8 images by number."""

    def __init__(self, folder: Path, preparation: Preparation):
        self.paths, self._preparation = sorted(map(str, folder.iterdir())), preparation

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> np.ndarray:
        return self._preparation(read_image(self.paths[number]))


def _torch(run: Path, folder: Path, output: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from tests.reference.efficientnet_lite import with_timm_tensors

    config = read_run_config(run)
    names, temperature = _facts(run)
    size, edge = config.augment.size, (config.data.stored_size - config.augment.size) // 2
    tensors = load_file(run / "export" / "model.safetensors")
    network = with_timm_tensors(config.model.name, tensors, num_classes=len(names), image_size=size)
    network = network.to(memory_format=torch.channels_last)
    images = _Prepared(folder, configured_preparation(config.data))
    mean, std = (torch.tensor(value).reshape(1, 3, 1, 1) for value in normalisation(config))
    loader = torch.utils.data.DataLoader(images, batch_size=BATCH, num_workers=default_workers())

    def scores() -> Iterator[np.ndarray]:
        with torch.inference_mode():
            for batch in loader:
                cut = batch[:, edge : edge + size, edge : edge + size].permute(0, 3, 1, 2)
                logits = network((cut.float() / 255 - mean) / std)
                yield (logits / temperature).softmax(-1).numpy()

    _write(output, images.paths, names, scores())


def _onnx(run: Path, folder: Path, output: Path) -> None:
    import onnxruntime

    names, _ = _facts(run)
    images = _Prepared(folder, configured_preparation(read_run_config(run).data))
    session = onnxruntime.InferenceSession(
        str(run / "export" / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    given = session.get_inputs()[0].name

    def scores() -> Iterator[np.ndarray]:
        with thread_pool(default_workers()) as pool:
            ready = bounded(
                lambda number: pool.submit(images.__getitem__, number), range(len(images)), 2 * BATCH
            )
            while batch := [task.result() for task in itertools.islice(ready, BATCH)]:
                yield session.run(["probabilities"], {given: np.stack(batch)})[0]

    _write(output, images.paths, names, scores())


RIVALS = {"torch": _torch, "onnx": _onnx}


def _facts(run: Path) -> tuple[tuple[str, ...], float]:
    """Class names, and the temperature that divides logits."""
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    estimates = json.loads((run / "uncertainty.json").read_text(encoding="utf-8"))
    return tuple(record["class_names"]), estimates["temperature"]["value"]


def _write(output: Path, paths: list[str], names: tuple[str, ...], batches: Iterable[np.ndarray]) -> None:
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "probability", *(f"p_{name}" for name in names)])
        for path, row in zip(paths, itertools.chain.from_iterable(batches), strict=True):
            writer.writerow([path, names[row.argmax()], f"{row.max():.6f}", *(f"{p:.6f}" for p in row)])


def _print_profile(place: Path, model: str, folder: Path) -> None:
    """What `predict` does, stage by stage, each over all images; CPU time of all threads."""
    from asae_jax.evaluation.uncertainty_files import read_matching_uncertainty
    from asae_jax.inference.inputs import read_input
    from asae_jax.inference.predict.count.differential import Counter
    from asae_jax.inference.predict.count.specimen import specimen_of
    from asae_jax.inference.predict.gallery import Gallery
    from asae_jax.inference.predict.output import open_output
    from asae_jax.inference.predict.page import ReviewPage, write_page
    from asae_jax.inference.predictor import Options, Predictor
    from asae_jax.inference.reading import ReadBatch, pictures_of
    from asae_jax.input.content import image_content
    from asae_jax.run.run import open_for_inference

    run, items = open_for_inference(models()[model]), read_input(str(folder))
    settings = run.config.predict

    def stage(name: str, work: Callable[[], list]) -> list:
        start = time.process_time()
        result = work()
        print(f"{name:36}{1000 * (time.process_time() - start) / len(items):8.3f}")
        return result

    print(f"\n{len(items):,} images, CPU ms an image")
    raw = stage("decode", lambda: [read_image(item.file) for item in items])
    prepared = stage("prepare", lambda: [run.preparation(image) for image in raw])
    contents = stage("digest of the pixels", lambda: [image_content(image) for image in raw])
    pictures = stage("pictures (JPEG)", lambda: [pictures_of(image, settings.picture_side) for image in raw])
    options = Options(BATCH, pictures=True, features=True, picture_side=settings.picture_side)
    predictor = Predictor([run], [read_matching_uncertainty(run)], options)

    def batches(last: int) -> Iterator[ReadBatch]:
        for first in range(0, last, BATCH):
            part = slice(first, min(first + BATCH, last))
            images = np.zeros((BATCH, *prepared[0].shape), np.uint8)
            images[: part.stop - first] = prepared[part]
            none = [""] * (part.stop - first)
            yield ReadBatch(items[part], none, contents[part], none, [images], pictures[part])

    list(predictor._score(batches(1)))
    scored = stage("network", lambda: list(predictor._score(batches(len(items)))))
    records = stage(
        "estimates, attention, records", lambda: [r for b in scored for r in predictor._records(b)]
    )
    output = {"group": "", "uncertainty": predictor.uncertainty.available}

    def write() -> list:
        with open_output(place / "p.csv", run.class_names, **output) as write_row:
            return [write_row(record) for record in records]

    stage("CSV", write)
    counter, gallery = Counter(run.classes, specimen_of([run.config])), Gallery(settings.page_cells)
    stage("count", lambda: [counter.add(record) for record in records])
    stage("choice for the page", lambda: [gallery.add(record) for record in records])
    counts = counter.differential(predictor.uncertainty.notes())

    def page() -> ReviewPage:
        return ReviewPage(gallery.records(), run.class_names, counts, "", network="", attention_extent=1.0)

    stage("page", lambda: [write_page(place / "p.html", page())])


if __name__ == "__main__":
    main()
