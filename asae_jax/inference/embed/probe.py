"""A probe: how well simple classifiers tell labelled images apart by a run's features alone.

Scored by cross-validation: every image is classified by a classifier that has seen none of its fold.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from asae_jax.errors import UserError
from asae_jax.evaluation.bootstrap import bootstrap_intervals
from asae_jax.evaluation.metrics import confusion_matrix, summarise, weighted_confusion, with_wilson
from asae_jax.evaluation.provenance import CANNOT_BE_TOLD
from asae_jax.inference.embed.classifiers import (
    NEIGHBOURS,
    LogisticRegression,
    choose_penalty,
    fold_masks,
    nearest_labels,
)

SCORES = ("accuracy", "balanced_accuracy", "macro_f1")

_BY_IMAGE = (
    "Split by image, as the input tells no patients or slides for all of these images: images of one patient "
    "may be on both sides, and scores on new patients are probably lower."
)
_TRAINED_ON = (
    "{count:,} of these images are among those the run was trained on. Their features were fitted to their "
    "labels, so the scores are too high: probe images that were kept aside."
)
_NOT_KNOWN = f"{CANNOT_BE_TOLD} If it was, the scores are too high."


@dataclasses.dataclass(frozen=True, eq=False)
class Labelled:
    """Images to probe with.

    Attributes:
      features: float `[N, channels]`, finite.
      labels: str `[N]`, none empty.
      groups: str `[N]`, slide or patient of each; None where not all are known.
      border: float `[N, 12]`, the colours along each image's border.
      predicted: str `[N]`, the run's own most probable class.
      trained_on: bool `[N]`, which of them the run was trained on; None where that cannot be told.
    """

    features: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None
    border: np.ndarray
    predicted: np.ndarray
    trained_on: np.ndarray | None

    def of(self, rows: np.ndarray) -> "Labelled":
        """Those of `rows`, bool `[N]`."""
        groups = None if self.groups is None else self.groups[rows]
        return dataclasses.replace(
            self,
            features=self.features[rows],
            labels=self.labels[rows],
            groups=groups,
            border=self.border[rows],
            predicted=self.predicted[rows],
            trained_on=None if self.trained_on is None else self.trained_on[rows],
        )


def compared_classes(labels: Sequence[str], groups: Sequence[str] | None, *, folds: int) -> list[str]:
    """Names of the classes that have an image in every fold, sorted, or of two groups where groups are given.

    Args:
      labels: of each image; empty where not known.
      groups: of each image; None: images are divided.
      folds: of the cross-validation.

    Raises:
      UserError: there are fewer than two.
    """
    counts = collections.Counter(label for label in labels if label)
    sides: dict[str, set[str]] = {label: set() for label in counts}
    for label, group in zip(labels, groups or (), strict=bool(groups)):
        if label:
            sides[label].add(group)
    found = [
        name for name in sorted(counts) if counts[name] >= folds and (not groups or len(sides[name]) > 1)
    ]
    if len(found) < 2:
        have = ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "no image"
        each = f"{folds} labelled images" + (" in two groups" if groups else "")
        raise UserError(
            f"--probe needs two classes of at least {each} each, and there are: {have}; give a CSV file with "
            "a column label, or a folder of class folders (--folders=classes where the run does not know "
            "their names)."
        )
    return found


def probe(
    given: Labelled, class_names: Sequence[str], *, folds: int, resamples: int, seed: int
) -> dict[str, Any]:
    """Scores of classifiers on features, and of what they must beat.

    Args:
      given: the images.
      class_names: classes of the run, with which its own predictions are scored where it knows all labels.
      folds: parts of the cross-validation, at least 2.
      resamples: behind the 95 % intervals; 0: no intervals.
      seed: of folds and resamples.

    Returns:
      Content for JSON: `images`, `classes` and `left_out` (name -> images), `folds`, `split`, `caveats`, and
      `classifiers`: name -> `accuracy`, `balanced_accuracy`, `macro_f1`, `intervals`, `confusion_matrix`
      (rows true, `class_names`), and `penalties` where some were chosen.

    Raises:
      UserError: fewer than two classes to compare.
    """
    groups = None if given.groups is None else given.groups.tolist()
    names = compared_classes(given.labels.tolist(), groups, folds=folds)
    kept = given.of(np.isin(given.labels, names))
    labels = np.searchsorted(names, kept.labels)
    masks = fold_masks(labels, groups=kept.groups, folds=folds, seed=seed)
    tested = np.any(masks, axis=0)  # the last group of a class is trained on only
    predictions, notes = _predictions(kept, labels, masks, seed)
    every = [*names, *sorted(set(kept.predicted.tolist()) - set(names))]
    if set(names) <= set(class_names):
        predictions["the run itself"] = np.array([every.index(name) for name in kept.predicted])
    tested_groups = None if kept.groups is None else kept.groups[tested]
    score = _scorer(labels[tested], tested_groups, every, resamples, seed)
    return {
        "images": int(tested.sum()),
        "classes": _counts(kept.labels[tested]),
        "left_out": _counts(given.labels[~np.isin(given.labels, names)]),
        "folds": len(masks),
        "split": "by image" if kept.groups is None else f"by group ({len(np.unique(kept.groups))} groups)",
        "caveats": _caveats(kept),
        "classifiers": {
            name: score(found[tested]) | notes.get(name, {}) for name, found in predictions.items()
        },
    }


def _predictions(
    kept: Labelled, labels: np.ndarray, masks: Sequence[np.ndarray], seed: int
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
    """Of each classifier the predicted classes, int `[N]`, 0 where not tested; and what else to say."""
    features = kept.features.astype(np.float64)
    logistic, neighbours = "logistic regression", f"{NEIGHBOURS} nearest neighbours"
    border, largest = "border colours alone", "largest class"
    found = {name: np.zeros(len(labels), np.int64) for name in (logistic, neighbours, border, largest)}
    penalties: dict[str, list[float]] = {logistic: [], border: []}
    for test in masks:
        train, groups = ~test, None if kept.groups is None else kept.groups[~test]
        for name, inputs in ((logistic, features), (border, kept.border.astype(np.float64))):
            classes = int(labels.max()) + 1
            penalty = choose_penalty(inputs[train], labels[train], classes, groups=groups, seed=seed)
            model = LogisticRegression(penalty).fit(inputs[train], labels[train], classes)
            found[name][test] = model.predict(inputs[test])
            penalties[name].append(penalty)
        found[neighbours][test] = nearest_labels(features[train], labels[train], features[test])
        found[largest][test] = np.bincount(labels[train]).argmax()
    return found, {name: {"penalties": chosen} for name, chosen in penalties.items()}


def _scorer(
    labels: np.ndarray, groups: np.ndarray | None, names: Sequence[str], resamples: int, seed: int
) -> Callable[[np.ndarray], dict[str, Any]]:
    """Predictions -> scores with intervals; all from the same resamples."""

    def score(predictions: np.ndarray) -> dict[str, Any]:
        def statistics(weights: np.ndarray) -> Mapping[str, np.ndarray]:
            confusion = weighted_confusion(labels, predictions, weights, len(names))
            # A class that only the run knows would add an F1 of 0 to the mean.
            found = summarise(confusion, means_over_labels=True)
            return {name: found[name] for name in SCORES}

        intervals = bootstrap_intervals(
            statistics, len(labels), groups=groups, resamples=resamples, seed=seed
        )
        own = statistics(np.ones((1, len(labels))))
        confusion = confusion_matrix(labels, predictions, len(names))
        if resamples and groups is None:
            intervals = with_wilson(intervals, confusion)
        return {
            **{name: float(value[0]) for name, value in own.items()},
            "intervals": intervals,
            "confusion_matrix": confusion.tolist(),
            "class_names": list(names),
        }

    return score


def _caveats(given: Labelled) -> list[str]:
    found = [_BY_IMAGE] if given.groups is None else []
    if given.trained_on is None:
        return [*found, _NOT_KNOWN]
    count = int(given.trained_on.sum())
    return found + [_TRAINED_ON.format(count=count)] * bool(count)


def _counts(labels: np.ndarray) -> dict[str, int]:
    return dict(sorted(collections.Counter(labels.tolist()).items()))


def probe_table(found: Mapping[str, Any]) -> str:
    """The result of `probe` for the terminal."""
    width = max(map(len, found["classifiers"]))
    head = f"{'':{width}}  " + "  ".join(f"{name.replace('_', ' '):<21}" for name in SCORES)
    lines = [
        f"{name:{width}}  " + "  ".join(f"{_percent(scores, score):<21}" for score in SCORES)
        for name, scores in found["classifiers"].items()
    ]
    left = ", ".join(f"{name} {count}" for name, count in found["left_out"].items())
    return "\n".join(
        [
            f"probe: {found['images']:,} labelled images of {len(found['classes'])} classes, "
            f"{found['folds']}-fold cross-validation {found['split']}; percent, 95 % intervals",
            head.rstrip(),
            *map(str.rstrip, lines),
            *([f"note: too few images to compare: {left}"] if left else []),
            *(f"note: {caveat}" for caveat in found["caveats"]),
        ]
    )


def _percent(scores: Mapping[str, Any], name: str) -> str:
    text = f"{100 * scores[name]:.1f}"
    if name not in scores["intervals"]:
        return text
    low, high = scores["intervals"][name]
    return f"{text} [{100 * low:.1f}, {100 * high:.1f}]"
