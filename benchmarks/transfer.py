"""What a run is worth in another laboratory: as it is, with each remedy alone, together, and with labels.

    python -m benchmarks.transfer --workdir=RUN --data=CELLS.csv --class_map=MAP.csv --output=transfer

CELLS.csv is `path,label,split` of the other laboratory; MAP.csv `from,to` turns its labels into the run's
classes, the others are cells that the run knows nothing of. The unlabelled images of every remedy, and the
labels, are of the split "train", cells of unknown classes among the former, as in a laboratory; every "
"score is
of the split "test". Nothing is chosen by a test image. It writes OUTPUT.json and OUTPUT.md.
"""

import argparse
import csv
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asae_jax.config import copy_with, read_run_config
from asae_jax.evaluation.bootstrap import bootstrap_intervals
from asae_jax.evaluation.calibration import measure_reliability, soften
from asae_jax.evaluation.label_shift import em_shares, estimate_mixture, total_variation
from asae_jax.evaluation.uncertainty import Uncertainty, read_matching_uncertainty
from asae_jax.inference.adapt.appearance import adapted
from asae_jax.inference.adapt.cells import read_cells, scorer
from asae_jax.inference.adapt.last_layer import cross_fit, find_layer, without_classes
from asae_jax.inference.adapt.learning import cross_fitted_estimates, distances_of_folds
from asae_jax.inference.adapt.proposals import propose
from asae_jax.inference.adapt.statistics import between, drawn_rows, estimated_statistics, share_of_new
from asae_jax.inference.mixture import mixture_basis
from asae_jax.inference.predict.inputs import Item
from asae_jax.input.appearance import evenly
from asae_jax.input.class_map import read_class_map
from asae_jax.pages import NOTICE
from asae_jax.run.run import Run, open_run

LABELS = (20, 50, 100, 200)
APPEARANCES: Mapping[str, Mapping[str, Any]] = {
    "nothing": {},
    "Reinhard, built-in template": {"adapt.stain": "reinhard"},
    "Macenko, built-in template": {"adapt.stain": "macenko"},
    "background": {"adapt.background": "match"},
    "scale": {"adapt.scale": 0.0},
    "scale, background": {"adapt.scale": 0.0, "adapt.background": "match"},
}
BATCH_STATISTICS = ("nothing", "scale", "scale, background")
"""To which of the appearances batch statistics are added."""
LABELLED = (
    "nothing",
    "scale, background",
    "scale, background, batch statistics, 60 % new",
)
"""The networks that labels are added to."""


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Scored images: logits `[N, K]`, pooled features `[N, C]`, and labels `[N]`, -1 where none is known."""

    logits: np.ndarray
    features: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
    """A network with one set of remedies: its scores of the test part and of the training part."""

    name: str
    variables: Mapping[str, Any]
    test: Part
    train: Part


def main() -> None:
    """Measures and writes."""
    given = _arguments()
    config = copy_with(read_run_config(Path(given.workdir)), {"seed": given.seed}).lock()
    run = open_run(Path(given.workdir))
    items, labels = _listed(given, run.class_names)
    rows: list[dict[str, Any]] = []
    mixtures: dict[str, Any] = {}
    for scored in scored_networks(run, config, items, labels, given):
        rows += list(without_labels(run, scored, given))
        print(_line(rows[-1]), flush=True)
        for only in (False, True) if scored.name in LABELLED else ():
            for found in with_labels(run, scored, given, only=only):
                rows.append(found)
                print(_line(found), flush=True)
        mixtures[scored.name] = counts(run, scored)
        _write(given, run, items, labels, rows, mixtures)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--class_map", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--appearances", default=";".join(APPEARANCES), help="which, separated by ;")
    parser.add_argument("--most", type=int, default=1500, help="images of the training part that are read")
    parser.add_argument("--draws", type=int, default=5, help="of every number of labels")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _listed(
    given: argparse.Namespace, class_names: Sequence[str]
) -> tuple[dict[str, list[Item]], dict[str, np.ndarray]]:
    """Images of the parts "train" and "test", and number of the class of each, -1 where the run has none."""
    mapping = read_class_map(given.class_map)
    folder = Path(given.data).parent
    items: dict[str, list[Item]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    with open(given.data, newline="") as file:
        for row in csv.DictReader(file):
            name = mapping.get(row["label"], row["label"])
            number = class_names.index(name) if name in class_names else -1
            if row["split"] in items and (row["split"] == "train" or number >= 0):
                items[row["split"]].append(Item(row["path"], str(folder / row["path"])))
                labels[row["split"]].append(number)
    order = np.random.default_rng(given.seed).permutation(len(items["train"]))[: given.most]
    items["train"] = [items["train"][row] for row in order]
    return items, {
        "train": np.array(labels["train"])[order],
        "test": np.array(labels["test"]),
    }


def scored_networks(
    run: Run, config: Any, items: Mapping[str, Sequence[Item]], labels: Mapping[str, np.ndarray], given: Any
) -> Iterator[Scored]:
    """The network with every set of remedies that changes images or batch statistics."""
    score = scorer(run)
    for name in given.appearances.split(";"):
        changes = APPEARANCES[name]
        wanted = Run(run.workdir, copy_with(run.config, changes).lock(), run.class_names)
        seen, _, _ = adapted(wanted, evenly(items["train"], 400))
        cells = {part: read_cells(items[part], seen.preparation, workers=None, doing="") for part in items}
        images = {part: found.images for part, found in cells.items()}
        if any(found.errors for found in cells.values()):
            sys.exit("images that cannot be read")
        networks = {name: dict(seen.variables)}
        if name in BATCH_STATISTICS and seen.variables["batch_stats"]:
            predicted = score(seen.variables, images["train"])[0].argmax(1)
            for how, wanted_mixture in (("", None), (", balanced", mixture_basis(run).prior)):
                batches = drawn_rows(
                    len(images["train"]), 128, wanted=wanted_mixture, predicted=predicted, seed=given.seed
                )
                new = estimated_statistics(seen, seen.variables, images["train"], batches)
                share = share_of_new(len(images["train"]), 1000.0)
                for part in (share, 1.0):
                    title = f"batch statistics, {100 * part:.0f} % new"
                    networks[f"{name}, {title}{how}"] = dict(seen.variables) | {
                        "batch_stats": between(seen.variables["batch_stats"], new, part)
                    }
        for title, variables in networks.items():
            parts = [Part(*score(variables, images[part]), labels[part]) for part in ("test", "train")]
            yield Scored(title, variables, *parts)


def without_labels(run: Run, scored: Scored, given: Any) -> Iterator[dict[str, Any]]:
    """Rows of a network without labels: as it is, with the classes that occur named, with the mixture
    by EM."""
    home = read_matching_uncertainty(run)
    basis = mixture_basis(run)
    test, train = scored.test, scored.train
    yield row(scored.name, test.logits, test, home, given)
    shifted = with_mixture(test.logits, em_shares(_softmax(train.logits), basis.prior), basis.prior)
    yield row(f"{scored.name}; mixture by EM", shifted, test, None, given)
    absent = np.bincount(test.labels, minlength=run.num_classes) == 0
    _, layer = find_layer(scored.variables, test.features, test.logits)
    only = without_classes(layer, absent)
    yield row(
        f"{scored.name}; only the {int((~absent).sum())} classes",
        only.logits(test.features),
        test,
        None,
        given,
    )


def with_labels(run: Run, scored: Scored, given: Any, *, only: bool) -> Iterator[dict[str, Any]]:
    """Rows with labels: the last layer trained on them, calibration and thresholds made of them.

    With `only` the layer that is trained on knows which classes occur.
    """
    test, train = scored.test, scored.train
    _, old = find_layer(scored.variables, test.features, test.logits)
    if only:
        old = without_classes(old, np.bincount(test.labels, minlength=run.num_classes) == 0)
    known = np.flatnonzero(train.labels >= 0)
    for how in ("at random", "proposed"):
        for count in LABELS:
            if count > len(known) or (how == "proposed" and count != 100):
                continue
            found = []
            for draw in range(given.draws):
                rows = _chosen(how, count, draw, known, train)
                fitted = cross_fit(old, train.features[rows], train.labels[rows], seed=draw)
                estimates = cross_fitted_estimates(
                    run.config.uncertainty, run.class_names, fitted.logits, train.features[rows],
                    train.labels[rows], distances_of_folds(train.features[rows], fitted.folds), {},
                )  # fmt: skip
                logits = fitted.layer.logits(test.features)
                found.append(row("", logits, test, estimates, given))
            which = ", only these classes" * only
            yield _mean(f"{scored.name}{which}; {count} labels {how}", found)


def _chosen(how: str, count: int, draw: int, known: np.ndarray, train: Part) -> np.ndarray:
    """Rows of the training part that are labelled."""
    if how == "at random":
        return np.random.default_rng([draw, count]).permutation(known)[:count]
    rows = propose(train.features[known], _softmax(train.logits[known]), count, seed=draw)
    return known[rows]


def row(
    name: str, logits: np.ndarray, part: Part, estimates: Uncertainty | None, given: Any
) -> dict[str, Any]:
    """Scores of one set of logits."""
    labels, temperature = part.labels, 1.0 if estimates is None else estimates.temperature.value
    log_probs = soften(logits, temperature)
    right = (log_probs.argmax(1) == labels).astype(float)
    present = np.unique(labels)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        of_class = [
            (weights[:, labels == c] @ right[labels == c]) / np.maximum(weights[:, labels == c].sum(1), 1e-9)
            for c in present
        ]
        return {"accuracy": weights @ right / weights.sum(1), "balanced_accuracy": np.mean(of_class, axis=0)}

    own = {key: float(value[0]) for key, value in statistics(np.ones((1, len(labels)))).items()}
    found = {"name": name, **own, "ece": measure_reliability(log_probs, labels).ece}
    found["intervals"] = bootstrap_intervals(statistics, len(labels), groups=None, resamples=1000, seed=0)
    if estimates is not None:
        judged = estimates.apply(logits, part.features).for_a_person
        found |= {"left": float(judged.mean()), "kept": int((~judged).sum())}
        found["wrong"] = float(1 - right[~judged].mean()) if (~judged).any() else None
    return found


def _mean(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean over draws of labels, with the smallest and largest."""
    result: dict[str, Any] = {"name": name, "draws": len(rows), "intervals": {}}
    for key in ("accuracy", "balanced_accuracy", "ece", "left", "wrong"):
        values = [one[key] for one in rows if one[key] is not None]
        result[key] = float(np.mean(values)) if values else None
        if values:
            result["intervals"][key] = [min(values), max(values)]
    kept = sum(one["kept"] for one in rows)
    if kept:  # over the cells of all draws
        result["wrong"] = sum(one["kept"] * (one["wrong"] or 0) for one in rows) / kept
    return result


def with_mixture(logits: np.ndarray, shares: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Log-probabilities under another mixture of classes (Saerens et al. 2002, eq. 2.4)."""
    return soften(logits + np.log(np.maximum(shares, 1e-12)) - np.log(prior), 1.0)


def counts(run: Run, scored: Scored) -> dict[str, Any]:
    """How far counted and corrected mixtures of the test part are from the true one, 0..1."""
    basis, test = mixture_basis(run), scored.test
    true = np.bincount(test.labels, minlength=run.num_classes) / len(test.labels)
    counted = np.bincount(test.logits.argmax(1), minlength=run.num_classes) / len(test.labels)
    found = estimate_mixture(_softmax(test.logits), basis.prior, confusion=basis.confusion)
    return {
        "counted": total_variation(counted, true),
        "em": total_variation(found.shares, true),
        "confusion": None if found.by_confusion is None else total_variation(found.by_confusion, true),
        "misfit": found.misfit,
    }


def _softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(soften(logits, 1.0))


def _line(found: Mapping[str, Any]) -> str:
    low, high = found["intervals"]["accuracy"]
    wide = found["intervals"]["balanced_accuracy"]
    left = "" if found.get("left") is None else f"{100 * found['left']:.0f}"
    wrong = "" if found.get("wrong") is None else f"{100 * found['wrong']:.1f}"
    return (
        f"| {found['name']} | {found['accuracy']:.3f} [{low:.3f}, {high:.3f}] | "
        f"{found['balanced_accuracy']:.3f} [{wide[0]:.3f}, {wide[1]:.3f}] | {found['ece']:.3f} | {left} | "
        f"{wrong} |"
    )


def _write(
    given: argparse.Namespace,
    run: Run,
    items: Mapping[str, Sequence[Item]],
    labels: Mapping[str, np.ndarray],
    rows: Sequence[Mapping[str, Any]],
    mixtures: Mapping[str, Any],
) -> None:
    head = (
        "| remedies | accuracy | balanced accuracy | calibration error | left to a person, % | wrong among "
        "the rest, % |\n|---|---|---|---|---|---|"
    )
    text = "\n".join([head, *map(_line, rows)])
    about = {
        "run": run.workdir.absolute().name,
        "step": run.step,
        "classes": list(run.class_names),
        "images": {part: len(found) for part, found in items.items()},
        "test_of_class": {
            run.class_names[c]: int((labels["test"] == c).sum()) for c in np.unique(labels["test"])
        },
        "seed": given.seed,
        "rows": list(rows),
        "distance_of_mixtures": dict(mixtures),
        "notice": NOTICE,
    }
    Path(f"{given.output}.json").write_text(json.dumps(about, indent=1))
    Path(f"{given.output}.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
