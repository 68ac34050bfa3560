"""A probe: how well simple classifiers tell labelled images apart by a run's features alone.

Scored by cross-validation: every image is classified by a classifier that has seen none of its fold.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from asae_jax.errors import UserError
from asae_jax.evaluation.bootstrap import (
    bootstrap_intervals,
    enough_groups,
    few_groups,
    few_resamples,
    interval_unit,
    numbers_of_groups,
)
from asae_jax.evaluation.metrics import confusion_matrix, summarise, weighted_confusion, with_wilson
from asae_jax.evaluation.provenance import CANNOT_BE_TOLD
from asae_jax.evaluation.shares import score_text
from asae_jax.inference.classifiers import (
    NEIGHBOURS,
    LogisticRegression,
    choose_penalty,
    fold_masks,
    nearest_labels,
)
from asae_jax.input.exact_duplicates import is_first

SCORES = ("accuracy", "balanced_accuracy", "macro_f1")

_BY_IMAGE = (
    "Split by image, as the input tells no patients or slides for all of these images: images of one patient "
    "may be on both sides, and scores on new patients are probably lower."
)
_TRAINED_ON = (
    "{count:,} of these images are among those the run was trained on. Their features were fitted to their "
    "labels, so the scores are too high: probe images that were kept aside."
)
_IN_NO_FOLD = (
    "Groups that are tested in no fold, as without them a class would have nothing to train on: {groups}, "
    "with {images:,} images."
)
_NOT_KNOWN = f"{CANNOT_BE_TOLD} If it was, the scores are too high."
_COPIES = (
    "{count:,} images left out: the same file under another name, or one file under two labels. Else copies "
    "would be tested on by what learnt them."
)


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
      copies: how many others were left out by `without_copies`.
    """

    features: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None
    border: np.ndarray
    predicted: np.ndarray
    trained_on: np.ndarray | None
    copies: int = 0

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


def without_copies(contents: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which images to probe with, bool `[N]`: the first of each file, and none of a file under two labels.

    Args:
      contents: what each image's file holds (`file_contents`), `[N]`; empty: not known, equal to nothing.
      labels: str `[N]`.
    """
    names: dict[bytes, set[str]] = {}
    for content, label in zip(contents.tolist(), labels.tolist(), strict=True):
        names.setdefault(content, set()).add(label)
    torn = {content for content, given in names.items() if content and len(given) > 1}
    return is_first(contents) & ~np.isin(contents, list(torn))


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
    few, single = _not_compared(labels, groups, folds)
    found = [name for name in sorted(counts) if name not in (*few, *single)]
    if len(found) < 2:
        have = ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "no image"
        each = f"{folds} labelled images" + (" in two groups" if groups else "")
        raise UserError(
            f"--probe needs two classes of at least {each} each, and there are: {have}; give a CSV file with "
            "a column label, or a folder of class folders (--folders=classes where the run does not know "
            "their names)."
        )
    return found


def _not_compared(
    labels: Sequence[str], groups: Sequence[str] | None, folds: int
) -> tuple[list[str], list[str]]:
    """Names of the classes of fewer than `folds` images, and of those of more but of one group only."""
    counts = collections.Counter(label for label in labels if label)
    sides: dict[str, set[str]] = {label: set() for label in counts}
    for label, group in zip(labels, groups or (), strict=bool(groups)):
        if label:
            sides[label].add(group)
    few = [name for name in sorted(counts) if counts[name] < folds]
    single = [name for name in sorted(counts) if groups and name not in few and len(sides[name]) == 1]
    return few, single


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
      Content for JSON: `images` and `classes` (name -> images), those that are tested; `tested_in_no_fold`
      (number of `images` and `groups`); `left_out` (`too_few_images` and `in_one_group`: name -> images);
      `folds`, `split`, `intervals_over` (`bootstrap.interval_unit`), `caveats`, and `classifiers`: name ->
      `accuracy`, `balanced_accuracy`, `macro_f1`, `intervals`, `confusion_matrix` (rows true,
      `class_names`), and `penalties` where some were chosen.

    Raises:
      UserError: fewer than two classes to compare.
    """
    groups = None if given.groups is None else given.groups.tolist()
    names = compared_classes(given.labels.tolist(), groups, folds=folds)
    kept = given.of(np.isin(given.labels, names))
    labels = np.searchsorted(names, kept.labels)
    masks = fold_masks(labels, groups=kept.groups, folds=folds, seed=seed)
    tested = np.any(masks, axis=0)
    predictions, notes = _predictions(kept, labels, masks, seed)
    every = [*names, *sorted(set(kept.predicted.tolist()) - set(names))]
    if set(names) <= set(class_names):
        predictions["the run itself"] = np.array([every.index(name) for name in kept.predicted])
    tested_groups = None if kept.groups is None else kept.groups[tested]
    num_groups = None if tested_groups is None else len(np.unique(tested_groups))
    in_no_fold = _in_no_fold(kept, tested)
    score = _scorer(labels[tested], tested_groups, every, resamples, seed)
    return {
        "images": int(tested.sum()),
        "classes": _counts(kept.labels[tested]),
        "tested_in_no_fold": in_no_fold,
        "left_out": _left_out(given, folds),
        "folds": len(masks),
        "split": "by image" if tested_groups is None else f"by group ({num_groups} groups)",
        "intervals_over": interval_unit(tested_groups, resamples),
        "caveats": _caveats_of_groups(tested_groups, in_no_fold, resamples) + _caveats(kept),
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


def _in_no_fold(kept: Labelled, tested: np.ndarray) -> dict[str, int]:
    """Images and groups that are trained on only: the last group of a class in a fold is not tested."""
    groups = 0 if kept.groups is None else len(np.unique(kept.groups[~tested]))
    return {"images": int((~tested).sum()), "groups": groups}


def _left_out(given: Labelled, folds: int) -> dict[str, dict[str, int]]:
    """Classes that are not compared, by the reason: name -> images."""
    groups = None if given.groups is None else given.groups.tolist()
    few, single = _not_compared(given.labels.tolist(), groups, folds)
    return {
        reason: _counts(given.labels[np.isin(given.labels, names)])
        for reason, names in (("too_few_images", few), ("in_one_group", single))
    }


def _caveats_of_groups(tested: np.ndarray | None, in_no_fold: Mapping[str, int], resamples: int) -> list[str]:
    """What groups of tested images (None: images are divided) and those never tested say of the scores."""
    found = [_IN_NO_FOLD.format_map(in_no_fold)] if in_no_fold["images"] else []
    remarks = [few_resamples(resamples)] if enough_groups(tested) else []
    if tested is not None and resamples:
        remarks.append(few_groups(*numbers_of_groups(tested).values()))
    return found + [f"{remark.capitalize()}." for remark in remarks if remark]


def _caveats(given: Labelled) -> list[str]:
    found = [_BY_IMAGE] if given.groups is None else []
    found += [_COPIES.format(count=given.copies)] * bool(given.copies)
    if given.trained_on is None:
        return [*found, _NOT_KNOWN]
    count = int(given.trained_on.sum())
    return found + [_TRAINED_ON.format(count=count)] * bool(count)


def _counts(labels: np.ndarray) -> dict[str, int]:
    return dict(sorted(collections.Counter(labels.tolist()).items()))


_NOT_COMPARED = {
    "too_few_images": "too few images to compare",
    "in_one_group": "of one patient or slide only, so not compared",
}


def probe_table(found: Mapping[str, Any]) -> str:
    """The result of `probe` for the terminal."""
    width = max(map(len, found["classifiers"]))
    head = f"{'':{width}}  " + "  ".join(f"{name.replace('_', ' '):<21}" for name in SCORES)
    lines = [
        f"{name:{width}}  " + "  ".join(f"{score_text(scores, score, sign=False):<21}" for score in SCORES)
        for name, scores in found["classifiers"].items()
    ]
    with_intervals = any(scores["intervals"] for scores in found["classifiers"].values())
    return "\n".join(
        [
            f"probe: {found['images']:,} labelled images of {len(found['classes'])} classes, "
            f"{found['folds']}-fold cross-validation {found['split']}; percent"
            + ", 95 % intervals"
            * with_intervals,
            head.rstrip(),
            *map(str.rstrip, lines),
            *(
                f"note: {why}: {', '.join(f'{name} {count}' for name, count in classes.items())}"
                for reason, why in _NOT_COMPARED.items()
                if (classes := found["left_out"][reason])
            ),
            *(f"note: {caveat}" for caveat in found["caveats"]),
        ]
    )
