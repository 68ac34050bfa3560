"""Few labelled images a class: which start and which recipe? Accuracy against the number of images.

    python -m benchmarks.few_labels run --images=marrow.csv --start=RUN --lite_start=RUN --results=few.jsonl
    python -m benchmarks.few_labels report --results=few.jsonl [--width=32] [--figure=few.png]

IMAGES is a list `path,label,split` (`python -m data.models.images manifest`); of its training part the first
N of every class are taken, in an order drawn from the seed, so that all methods of a seed see the same
images. Every run trains for a number of epochs fixed beforehand and is scored at its last step on the whole
validation part, on which methods are compared, and on the test part, which nothing is chosen by. START is a
ResNet that has not seen the laboratory of IMAGES, LITE_START an EfficientNet-Lite0 of this kind, for the
method that needs one. A run that is already in RESULTS is left out, so the command goes on where it stopped.
"""

import argparse
import csv
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from asae_jax.experiments.statistics import t_estimate
from asae_jax.input.sampler import permutation
from benchmarks.layer_gain import read_results

_MAIN = Path(__file__).resolve().parent.parent / "main.py"

EPOCHS = {20: 60, 50: 40, 100: 30, 500: 16}
"""Images of a class -> epochs of a network that starts from a trained one; twice as many from scratch."""

_FROZEN = {"init.views": 8}
_COARSE = {"data.stored_size": 128, "augment.size": 96, "model.width": "{width}"}  # as the start was trained
_FINE = {"data.stored_size": 192, "augment.size": 144}  # ImageNet networks know larger pictures
_LITE = _FINE | {
    "model.name": "efficientnet_lite0", "model.width": 64, "init.pretrained": "efficientnet_lite0",
    "optimizer.name": "adamw", "optimizer.learning_rate": 5e-4, "optimizer.weight_decay": 0.01,
}  # fmt: skip

_STARTED = _COARSE | {"optimizer.learning_rate": 0.01, "init.pretrained": "{start}"}

METHODS = {
    "scratch": _COARSE | {"optimizer.learning_rate": 0.05},
    "blood cells": _STARTED,
    "blood cells, layer0 to layer2 frozen": _STARTED | _FROZEN | {"init.freeze": "layer2"},
    "ImageNet (lite0)": _LITE,
    "ImageNet (lite0), then blood cells": _LITE | {"init.pretrained": "{lite_start}"},
    "ImageNet (lite0), layer0 to layer3 frozen": _LITE | _FROZEN | {"init.freeze": "layer3"},
    "ImageNet (lite0), all frozen": _LITE
    | _FROZEN
    | {"init.freeze": "layer4", "optimizer.learning_rate": 5e-3},
}
"""Name -> settings, on top of `configs/shipped.py`."""

_SHARED = {
    "data.sampler": "balanced",
    "loss.label_smoothing": 0.0,
    "optimizer.ema_decay": 0.98,
    "train.batch_size": 32,
    "train.validate_every": 1000,
    "eval.checkpoint": "last",
}


def few(rows: list[dict[str, str]], per_class: int, seed: int) -> list[dict[str, str]]:
    """`rows` with at most `per_class` training rows of each label; validation and test rows stay."""
    kept = [row for row in rows if row["split"] != "train"]
    for label in sorted({row["label"] for row in rows}):
        own = [row for row in rows if row["split"] == "train" and row["label"] == label]
        order = permutation(len(own), seed, f"few/{label}")
        kept += [own[i] for i in order[:per_class]]
    return kept


def run_all(args: argparse.Namespace) -> None:
    """Every method, number of images and seed that is not in the results."""
    done = {(r["method"], r["per_class"], r["seed"], r["width"]) for r in read_results(args.results)}
    with open(args.images, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for seed in args.seeds:
        for per_class in args.per_class:
            for method in args.methods:
                if (method, per_class, seed, _width(method, args)) not in done:
                    _run(args, rows, method, per_class, seed)


def _width(method: str, args: argparse.Namespace) -> int | None:
    """Width of the method's ResNet; None for an EfficientNet-Lite0, which has one width."""
    return args.width if METHODS[method].get("model.width") == "{width}" else None


def _run(args, rows, method: str, per_class: int, seed: int) -> None:
    width = _width(method, args)
    network = "lite0" if width is None else width
    folder = args.folder / f"{list(METHODS).index(method)}-{network}-{per_class}-{seed}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    images = args.folder / f"images-{per_class}-{seed}.csv"
    chosen = few(rows, per_class, seed)
    with images.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["path", "label", "split"])
        writer.writeheader()
        writer.writerows(chosen)
    epochs = EPOCHS[per_class] * (2 if method == "scratch" else 1)
    settings = _SHARED | METHODS[method] | {"data.path": images, "train.epochs": epochs, "seed": seed}
    options = [f"--config.{name}={value}" for name, value in settings.items()]
    options = [
        option.format(start=args.start, lite_start=args.lite_start, width=args.width) for option in options
    ]
    start = time.perf_counter()
    command = [sys.executable, str(_MAIN), "--config=shipped", f"--workdir={folder}", *options]
    subprocess.run(command, check=True)
    line = {
        "method": method, "per_class": per_class, "seed": seed, "epochs": epochs, "width": width,
        "trained_on": sum(row["split"] == "train" for row in chosen),
        "seconds": round(time.perf_counter() - start),
    }  # fmt: skip
    for part in ("validation", "test"):
        scores = json.loads((folder / "evaluation" / f"{part}.json").read_text())
        line |= {f"{part}_{name}": scores[name] for name in ("accuracy", "macro_f1", "nll")}
    with open(args.results, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def report(args: argparse.Namespace) -> None:
    """Tables and a figure: accuracies, gains over scratch; means over seeds with 95 % Student intervals."""
    results = [result for result in read_results(args.results) if result["width"] in (None, args.width)]
    validation = {(r["method"], r["per_class"], r["seed"]): 100 * r["validation_accuracy"] for r in results}
    test = {(r["method"], r["per_class"], r["seed"]): 100 * r["test_accuracy"] for r in results}
    counts = sorted({per_class for _, per_class, _ in validation})
    _print_table("Validation accuracy, percent", _over_seeds(validation), counts)
    _print_table("Test accuracy, percent", _over_seeds(test), counts)
    gains = {
        (method, count, seed): accuracy - validation["scratch", count, seed]
        for (method, count, seed), accuracy in validation.items()
        if method != "scratch" and ("scratch", count, seed) in validation
    }
    _print_table(
        "Gain over scratch, points of validation accuracy, paired by seed", _over_seeds(gains), counts
    )
    if args.figure:
        _draw(_over_seeds(validation), counts, args.figure)


def _over_seeds(by_run: Mapping[tuple[str, int, int], float]) -> dict[tuple[str, int], list[float]]:
    """(method, images of a class) -> the values of its seeds."""
    values = defaultdict(list)
    for (method, count, _), value in sorted(by_run.items(), key=lambda item: item[0][2]):
        values[method, count].append(value)
    return values


def _print_table(title: str, values: Mapping[tuple[str, int], list[float]], counts: list[int]) -> None:
    print(f"\n{title}:\n")
    print(f"| start | {' | '.join(f'{count} a class' for count in counts)} |")
    print(f"|---|{'---|' * len(counts)}")
    for method in [name for name in METHODS if any(name == method for method, _ in values)]:
        cells = [_mean_with_interval(values.get((method, count), [])) for count in counts]
        print(f"| {method} | {' | '.join(cells)} |")


def _mean_with_interval(values: list[float]) -> str:
    if not values:
        return ""
    mean, low, high = t_estimate(np.array(values))
    interval = "" if low is None else f" [{low:.1f}, {high:.1f}]"
    return f"{mean:.1f}{interval} ({len(values)} seed{'s' * (len(values) > 1)})"


def _draw(accuracies, counts: list[int], path: Path) -> None:
    """Means against the number of images, every run as a dot, 95 % intervals from three seeds on."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    shown = [method for method in METHODS if any(name == method for name, _ in accuracies)]
    for number, method in enumerate(shown):
        known = [count for count in counts if accuracies.get((method, count))]
        places = {count: count * 1.02 ** (number - len(shown) / 2) for count in known}  # beside each other
        means = [np.mean(accuracies[method, count]) for count in known]
        (line,) = axes.plot(list(places.values()), means, marker="o", label=method)
        for count, place in places.items():
            values = np.array(accuracies[method, count])
            axes.plot([place] * len(values), values, ".", color=line.get_color(), alpha=0.6)
            _, low, high = t_estimate(values)
            if low is not None:
                axes.vlines(place, low, high, color=line.get_color(), alpha=0.6)
    axes.set(xscale="log", xlabel="training images of each class", ylabel="validation accuracy, percent")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run")
    run.add_argument("--images", type=Path, required=True)
    run.add_argument("--start", type=Path, required=True)
    run.add_argument("--lite_start", type=Path)
    run.add_argument("--results", type=Path, required=True)
    run.add_argument("--folder", type=Path, default=Path("runs/few_labels"))
    run.add_argument("--per_class", type=_numbers, default=[20, 50, 100, 500])
    run.add_argument("--seeds", type=_numbers, default=[0, 1, 2])
    run.add_argument("--methods", type=lambda text: text.split(";"), default=list(METHODS))
    run.set_defaults(call=run_all)
    shown = commands.add_parser("report")
    shown.add_argument("--results", type=Path, required=True)
    shown.add_argument("--figure", type=Path)
    shown.set_defaults(call=report)
    for command in (run, shown):
        command.add_argument("--width", type=int, default=32, help="of the ResNets, as START has it")
    args = parser.parse_args()
    if args.call is run_all:
        _check(parser, args)
    args.call(args)


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends with a line where a method is not known or lacks its start, before hours of others are run."""
    if unknown := set(args.methods) - set(METHODS):
        parser.error(f"--methods: {'; '.join(sorted(unknown))}: choose from {'; '.join(METHODS)}")
    if args.lite_start is None and (wanted := [name for name in args.methods if _starts_from_lite(name)]):
        parser.error(f"{wanted[0]} needs --lite_start=RUN, or leave it out by --methods")


def _starts_from_lite(method: str) -> bool:
    return METHODS[method].get("init.pretrained") == "{lite_start}"


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
