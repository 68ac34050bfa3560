"""Does the ASAE layer help a pretrained network? The runs of `results/protocol.md`, and their differences.

    python -m benchmarks.layer_gain choose --blood=blood.csv --marrow=marrow.csv \\
      --start_of_blood=RUN --start_of_marrow=RUN --results=layer_gain.jsonl
    python -m benchmarks.layer_gain test ... --rows=P2,A3,A3-random [--look]
    python -m benchmarks.layer_gain report --results=layer_gain.jsonl [--figure=layer_gain.png]
    python -m benchmarks.layer_gain report --part=test --results=layer_gain.jsonl
    python -m benchmarks.layer_gain choose --regime=paper --marrow=marrow.csv --start_of_marrow=RUN \\
      --rows=P1,P2,A1,A3 --results=layer_gain_paper.jsonl

`choose` trains every row with seeds 0 to 4 on lists that hold training and validation images alone, and keeps
the validation scores of the last step. `test` trains the named rows with seeds 10 to 14 and scores the test
images, once (`--look`: with a second look, where the chosen row has one); its report adds a paired bootstrap
over the test images, from what the runs answered. A run that is already in RESULTS is left out, so both go on
where they stopped.
"""

import argparse
import csv
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from asae_jax.evaluation.bootstrap import percentile_interval
from asae_jax.evaluation.metrics import summarise
from asae_jax.experiments.statistics import MIN_SEEDS, bootstrap_confusions, t_estimate

_MAIN = Path(__file__).resolve().parent.parent / "main.py"

PER_CLASS = 200
TARGETS = ("blood", "marrow")
BATCHES = {"small": {"blood": 66, "marrow": 64}, "paper": {"blood": 88, "marrow": 88}}
"""Regime -> target -> batch size, a multiple of its classes; the paper's is 84."""

_SHARED = {
    "model.width": 16,
    "augment.size": 112, "augment.scale_min": 0.65, "augment.scale_max": 0.9,
    "loss.label_smoothing": 0.0,
    "data.sampler": "balanced",
    "optimizer.learning_rate": 0.02, "optimizer.ema_decay": 0.99,
    "train.epochs": 8, "train.validate_every": 1000,
    "eval.checkpoint": "last", "eval.bootstrap": 0,
    "uncertainty.keep_cells": False, "uncertainty.images_per_class": 20,
}  # fmt: skip

_PAPER = {
    "data.source": "csv",
    "model.dtype": "bfloat16",
    "train.epochs": 60,
} | {name: value for name, value in _SHARED.items() if name.startswith(("eval.", "uncertainty.", "train.v"))}
"""The paper's network, image size, preparation, rate and schedule, those of `configs/resnet50_asae.py`."""

REGIMES = {"small": ("shipped", _SHARED), "paper": ("resnet50_asae", _PAPER)}
"""Regime -> recipe, and what all of its rows set on top."""

_A1 = {"model.branching": "asae", "loss.name": "gmmce", "asae.area": 0.18}
_A2 = _A1 | {"asae.enhancement": "sigmoid_mean1"}
_A3 = _A2 | {"asae.branches": "plain,suppress,enhance", "model.running_statistics": "plain"}
_B5 = _A3 | {
    "model.branch_affine": "separate", "asae.ramp_epochs": 8, "asae.enhancement": "residual",
    "asae.rescale": True,
}  # fmt: skip

ROWS = {
    "P1": {"model.branching": "none", "loss.name": "ce"},
    "P2": {"model.branching": "none", "loss.name": "gmmce"},
    "A1": _A1,
    "A2": _A2,
    "A3": _A3,
    "B5": _B5,
    "C2": _B5 | {"asae.place": "random"},
}
"""Row of the protocol -> settings, on top of its regime's. `-random` behind one: random place."""

LOOKED_AT_TWICE = ("P1", "P2", "A3", "B5")
"""Rows that are also scored with a second look, as `ROW+look`."""

_SCORED_AS = {"validation": "validation", "test": "aside"}
"""Part -> name of its scores in a run folder, whose own data have no test part."""

_CANDIDATES = ("A1", "A2", "A3", "B5", "A3+look", "B5+look")
_SCORES = ("macro_f1", "accuracy", "nll")


def settings_of(row: str, regime: str = "small") -> dict[str, object]:
    """The settings of `ROW` or `ROW-random`."""
    name, _, place = row.partition("-")
    return REGIMES[regime][1] | ROWS[name] | ({"asae.place": "random"} if place == "random" else {})


def first_of_each_class(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The training rows, the first `PER_CLASS` of each label, and all validation rows; no test rows."""
    seen: dict[str, int] = defaultdict(int)
    kept = []
    for row in rows:
        seen[row["label"]] += row["split"] == "train"
        if row["split"] == "validation" or (row["split"] == "train" and seen[row["label"]] <= PER_CLASS):
            kept.append(row)
    return kept


def run_rows(args: argparse.Namespace) -> None:
    """Every row, target and seed that is not in the results; one seed of all rows before the next."""
    done = {
        (r["row"], r["target"], r["seed"])
        for r in read_results(args.results)
        if r["part"] == args.part and r.get("regime", "small") == args.regime
    }
    args.folder.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        for target in [target for target in TARGETS if getattr(args, target)]:
            for row in args.rows:
                if (row, target, seed) not in done:
                    _run(args, row, target, seed)


def _run(args, row: str, target: str, seed: int) -> None:
    with open(getattr(args, target), newline="", encoding="utf-8") as file:
        images = list(csv.DictReader(file))
    trained = _written(args.folder / f"{target}.csv", first_of_each_class(images))
    workdir = args.folder / f"{'' if args.regime == 'small' else f'{args.regime}-'}{row}-{target}-{seed}"
    settings = settings_of(row, args.regime) | {
        "data.path": trained, "init.pretrained": getattr(args, f"start_of_{target}"),
        "train.batch_size": BATCHES[args.regime][target], "seed": seed,
    }  # fmt: skip
    start = time.perf_counter()
    _call(
        f"--config={REGIMES[args.regime][0]}",
        f"--workdir={workdir}",
        *(f"--config.{k}={v}" for k, v in settings.items()),
    )
    seconds = round(time.perf_counter() - start)
    what = ["--split=validation"]  # without a second look it is scored at the end of training
    if args.part == "test":
        own = _written(args.folder / f"{target}-test.csv", [r for r in images if r["split"] == "test"])
        what = ["--source=csv", f"--path={own}"]
    found = []
    for look in looks(args, row):
        name = _SCORED_AS[args.part] + ("-look" if look else "")
        if name != "validation":
            _call("evaluate", f"--workdir={workdir}", f"--test_mode={'second_look' if look else 'skip'}",
                  f"--name={name}", *what)  # fmt: skip
        scores = json.loads((workdir / "evaluation" / f"{name}.json").read_text(encoding="utf-8"))
        line = {"part": args.part, "regime": args.regime, "row": row, "look": look,
                "target": target, "seed": seed,
                "trained_on": sum(r["split"] == "train" for r in first_of_each_class(images)),
                "seconds": seconds}  # fmt: skip
        found.append(json.dumps(line | {score: scores[score] for score in _SCORES}) + "\n")
    with open(args.results, "a", encoding="utf-8") as file:
        file.writelines(found)  # of all ways of looking at once: a run is there or not


def looks(args: argparse.Namespace, row: str) -> list[bool]:
    """Whether the run is scored without and with a second look: in the test in one of both ways alone."""
    if args.part == "test":
        return [args.look]
    return [False, True] if row in LOOKED_AT_TWICE and args.regime == "small" else [False]


def _call(*arguments: str) -> None:
    subprocess.run([sys.executable, str(_MAIN), *arguments], check=True)


def _written(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["path", "label", "split"])
        writer.writeheader()
        writer.writerows(rows)
    return path


def read_results(path: Path) -> list[dict]:
    """One entry of `path`, JSON lines, for every run and way of looking."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def report(args: argparse.Namespace) -> None:
    """Means of each target, and differences over all pairs: to the plain network, and to a random place."""
    scores = {
        (r["row"] + "+look" * r["look"], r["target"], r["seed"]): r
        for r in read_results(args.results)
        if r["part"] == args.part and r.get("regime", "small") == args.regime
    }
    rows = list(dict.fromkeys(row for row, _, _ in scores))
    plain = [row for row in ("P1", "P2") if row in rows]
    if not plain or (args.part == "test" and len(plain) > 1):
        raise SystemExit(
            f"{args.results} needs a plain row of the part {args.part}, and of the test only one"
        )
    targets = [target for target in TARGETS if any(target == of for _, of, _ in scores)]
    better = max(plain, key=lambda row: _mean(scores, row, targets))
    print(f"The better plain network: {better}.\n")
    print(f"| row | {' | '.join(targets)} | against | macro-F1 | accuracy | NLL |")
    print(f"|---|{'---|' * (len(targets) + 4)}")
    compared = [pair for pair in references(rows, better) if pair[1] in rows]
    for row in rows:
        means = [f"{100 * np.mean(list(_values(scores, row, target))):.1f}" for target in targets]
        for reference in [against for one, against in compared if one == row] or [""]:
            gains = [_difference(scores, row, reference, score) if reference else "" for score in _SCORES]
            print(f"| {row} | {' | '.join(means)} | {reference} | {' | '.join(gains)} |")
    candidates = [pair for pair in compared if pair[0] in _CANDIDATES]
    if candidates and args.part == "validation":
        best = max(candidates, key=lambda pair: pairs(scores, *pair).mean())
        print(f"\nHighest mean difference of the candidates: {best[0]} to {best[1]}.")
    if args.part == "test" and args.folder.is_dir():
        _report_over_images(args.folder, scores, compared)
    elif args.part == "test":
        print(f"\n{args.folder} is not there: no intervals over test images")
    if args.figure:
        _draw(scores, compared, args.figure)


def _report_over_images(folder: Path, scores: dict, compared: Sequence[tuple[str, str]]) -> None:
    for target in TARGETS:
        for row, reference in compared:
            seeds = [seed for of, seed in shared(scores, row, reference) if of == target]
            if seeds:
                low, high = percentile_interval(resampled_gains(folder, row, reference, target, seeds))
                print(f"{target}, {row} minus {reference}, over images: [{100 * low:.1f}, {100 * high:.1f}]")


def references(rows: Sequence[str], plain: str) -> list[tuple[str, str]]:
    """What each row is compared with: the plain network looked at as often, and the row at a random place."""
    found = [(row, plain + "+look" * row.endswith("+look")) for row in rows if row[0] != "P"]
    return found + [(row.replace("-random", ""), row) for row in rows if "-random" in row]


def resampled_gains(folder: Path, row: str, reference: str, target: str, seeds: Sequence[int]) -> np.ndarray:
    """Differences in macro-F1, mean over the seeds, of 10,000 samples of the test images with replacement."""
    found = []
    for name in (row, reference):
        name, _, look = name.partition("+")
        file = f"{_SCORED_AS['test']}{'-look' if look else ''}_predictions.csv"
        runs = [folder / f"{name}-{target}-{seed}" for seed in seeds]
        found.append([_answers(run / "evaluation" / file) for run in runs])
    true = found[0][0][0]
    assert all((one[0] == true).all() for answers in found for one in answers)
    given = np.stack([labels for answers in found for _, labels in answers])
    names, numbers = np.unique(np.concatenate([true[None], given]), return_inverse=True)
    numbers = numbers.reshape(-1, len(true))
    confusions = bootstrap_confusions(numbers[0], numbers[1:], len(names), resamples=10_000)
    scores = summarise(confusions)["macro_f1"]
    return scores[: len(found[0])].mean(axis=0) - scores[len(found[0]) :].mean(axis=0)


def _answers(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """True and given labels of the test images, in the order of their names."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["path"])
    return np.array([row["true"] for row in rows]), np.array([row["label"] for row in rows])


def _values(scores: dict, row: str, target: str = "") -> Iterator[float]:
    return (r["macro_f1"] for (name, of, _), r in scores.items() if name == row and target in ("", of))


def _mean(scores: dict, row: str, targets: Sequence[str]) -> float:
    return float(np.mean([np.mean(list(_values(scores, row, target))) for target in targets]))


def pairs(scores: dict, row: str, reference: str, score: str = "macro_f1") -> np.ndarray:
    """Differences of `row` to `reference` of every target and seed that both have."""
    both = shared(scores, row, reference)
    return np.array([scores[row, t, s][score] - scores[reference, t, s][score] for t, s in both])


def shared(scores: dict, row: str, reference: str) -> list[tuple[str, int]]:
    """Target and seed of the runs that both rows have."""
    return sorted((t, s) for name, t, s in scores if name == row and (reference, t, s) in scores)


def _difference(scores: dict, row: str, reference: str, score: str) -> str:
    scale, digits = (1, 3) if score == "nll" else (100, 1)
    values = scale * pairs(scores, row, reference, score)
    if not len(values):
        return ""
    mean, low, high = t_estimate(values)
    interval = "" if low is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{mean:+.{digits}f}{interval} ({len(values)})"


def _draw(scores: dict, compared: Sequence[tuple[str, str]], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
    shown = [pair for pair in compared if len(pairs(scores, *pair)) >= MIN_SEEDS][::-1]
    for height, pair in enumerate(shown):
        values = 100 * pairs(scores, *pair)
        mean, low, high = t_estimate(values)
        axes.plot(values, [height] * len(values), ".", color="0.6")
        axes.plot([low, high], [height, height], "-", color="C0", linewidth=2)
        axes.plot(mean, height, "o", color="C0")
    axes.axvline(0, color="0.3", linewidth=1)
    names = [f"{row} - {reference}" for row, reference in shown]
    axes.set(
        yticks=range(len(shown)), yticklabels=names, xlabel="difference in macro-F1, points; pairs and mean"
    )
    figure.savefig(path, dpi=150)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for part, name, seeds in (("validation", "choose", "0,1,2,3,4"), ("test", "test", "10,11,12,13,14")):
        command = commands.add_parser(name)
        command.add_argument("--results", type=Path, required=True)
        for target in TARGETS:
            command.add_argument(f"--{target}", type=Path)
            command.add_argument(f"--start_of_{target}", type=Path)
        command.add_argument("--regime", choices=list(REGIMES), default="small")
        command.add_argument("--folder", type=Path, default=Path("runs/layer_gain"))
        command.add_argument("--seeds", type=lambda text: [int(n) for n in text.split(",")],
                             default=[int(n) for n in seeds.split(",")])  # fmt: skip
        command.add_argument("--rows", type=lambda text: text.split(","), required=part == "test",
                             default=list(ROWS))  # fmt: skip
        command.set_defaults(call=run_rows, part=part)
        if part == "test":
            command.add_argument("--look", action="store_true", help="score with a second look")
    shown = commands.add_parser("report")
    shown.add_argument("--results", type=Path, required=True)
    shown.add_argument("--part", choices=("validation", "test"), default="validation")
    shown.add_argument("--folder", type=Path, default=Path("runs/layer_gain"))
    shown.add_argument("--regime", choices=list(REGIMES), default="small")
    shown.add_argument("--figure", type=Path)
    shown.set_defaults(call=report)
    args = parser.parse_args(arguments)
    if args.call is run_rows:
        given = [target for target in TARGETS if getattr(args, target)]
        if not given or not all(getattr(args, f"start_of_{target}") for target in given):
            parser.error("give --blood and --start_of_blood, or --marrow and --start_of_marrow, or all four")
    args.call(args)


if __name__ == "__main__":
    main()
