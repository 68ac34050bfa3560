"""What the runs of all folds say together: each image judged by the network that was not trained on it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asae_jax.errors import UserError, quoted
from asae_jax.evaluation.bootstrap import interval_unit, numbers_of_groups
from asae_jax.evaluation.metrics import counted_share, evaluate_scores
from asae_jax.evaluation.predictions import Predictions, predictions_of
from asae_jax.evaluation.uncertainty_files import uncertainty_file
from asae_jax.experiments.crossval.folds import FoldRun
from asae_jax.experiments.grid import run_folder, scores_file
from asae_jax.experiments.results import run_scores
from asae_jax.input.index import DataIndex
from asae_jax.json_files import read_object
from asae_jax.pages import NOTICE
from asae_jax.run.folder import check_same_data, read_record

PART = "cross-validated"
"""What the pooled scores call their part of the data."""

METRICS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro-F1"}
"""The scores that are given of each fold -> what they are called."""

_JUDGED = (
    "labelled",
    "error_of_labelled",
    "labelled_without_a_person",
    "error_without_a_person",
    "sets_with_the_true_class",
    "outliers",
)
_SETTINGS = {
    "target_error": ("abstention", "target_error"),
    "certainty": ("abstention", "certainty"),
    "conformal": ("conformal", "method"),
    "conformal_error": ("conformal", "error"),
    "outliers": ("outliers", "method"),
    "outlier_quantile": ("outliers", "quantile"),
}
"""Settings `uncertainty` that these follow -> where the estimates' file records them."""

_LEAST = 5e-7  # probabilities are kept to six decimals: half of the last


class Pooled(NamedTuple):
    """Predictions of N images, in the order of the data-set index.

    Attributes:
      predictions: each by the run of the fold that the image is in.
      rows: int64 `[N]`, of the index.
      folds: int64 `[N]`.
      scores: of each fold, content of its `evaluation/test.json`.
      runs: folder of each fold's run.
    """

    predictions: Predictions
    rows: np.ndarray
    folds: np.ndarray
    scores: tuple[Mapping[str, Any], ...]
    runs: tuple[Path, ...]


def pool(runs: Sequence[FoldRun], workdir: Path, index: DataIndex) -> Pooled:
    """The predictions of all folds together.

    Args:
      runs: all finished, fold by fold.
      workdir: folder of the cross-validation.
      index: of the images.

    Raises:
      UserError: files that cannot be read or are of something else, runs on other images, or an image that
        two folds test.
    """
    for run in runs:  # one that was trained before the images changed has nothing to say of the others'
        check_same_data(run_folder(workdir, run.name), index)
    scores = tuple(run_scores(workdir, run, "test") for run in runs)
    files = (scores_file(workdir, run.name) for run in runs)
    parts = [predictions_of(file, of_fold) for file, of_fold in zip(files, scores, strict=True)]
    row_of = {name: row for row, name in enumerate(index.names.tolist())}
    rows = np.array([row_of[name] for part in parts for name in part.names.tolist()], np.int64)
    if len(np.unique(rows)) < len(rows):
        raise UserError(
            f"two folds in {workdir} test the same images: they are of different splits. Use another "
            "--workdir=DIR."
        )
    order = np.argsort(rows)
    folds = np.repeat(np.arange(len(parts)), [len(part.labels) for part in parts])
    joined = Predictions(*(np.concatenate(column)[order] for column in zip(*parts, strict=True)))
    folders = tuple(run_folder(workdir, run.name) for run in runs)
    return Pooled(joined, rows[order], folds[order], scores, folders)


def pooled_scores(pooled: Pooled, index: DataIndex, *, bootstrap: int, seed: int) -> dict[str, Any]:
    """All metrics of the pooled predictions, as `evaluate_scores` gives them, and those of each fold.

    `nll` is the folds' mean over images and has no interval, as the kept probabilities have six decimals.
    Intervals are by bootstrap over images, or over groups where they are known, of the pooled predictions:
    they take the networks as given. The standard deviation over folds is no interval of their mean, as any
    two of the networks share most of their training images (Bengio and Grandvalet 2004, JMLR 5:1089).

    Args:
      pooled: the predictions.
      index: of the images.
      bootstrap: number of resamples behind the intervals.
      seed: of the resampling.

    Returns:
      Beside those of `evaluate_scores`: `split`, `intervals_over`, `num_groups` and `effective_groups` where
      groups are known, `num_never_tested`: readable or not, images that no fold tests; `num_left_out`: listed
      ones that are no images of these data; `num_trained_on`: images of which the network that tests them has
      seen copies (None where a fold does not say); `num_groups_trained_on`: groups tested by a fold and
      trained on too; `folds`: for each its name, number of images and `METRICS`; `over_folds`: metric ->
      `mean` and `standard_deviation`; `judged`, see there; `class_means_over` and `notice`.
    """
    predictions = pooled.predictions
    groups = None if index.groups is None else index.groups[pooled.rows]
    scores = evaluate_scores(
        np.log(np.maximum(predictions.probabilities, _LEAST)),
        predictions.labels,
        index.class_names,
        groups=groups,
        bootstrap=bootstrap,
        seed=seed,
    )
    scores["intervals"].pop("nll", None)
    scores |= {
        "nll": _mean_over_images(pooled.scores, "nll"),
        "split": PART,
        "intervals_over": interval_unit(groups, bootstrap),
        "num_never_tested": len(index) - len(pooled.rows),
        "num_left_out": len(index.skipped),
        "num_trained_on": _trained_on(pooled.scores),
        "folds": [_of_fold(run, one) for run, one in zip(pooled.runs, pooled.scores, strict=True)],
        "over_folds": {name: _spread([one[name] for one in pooled.scores]) for name in METRICS},
        "judged": judged(pooled.runs),
        "class_means_over": pooled.scores[0].get("class_means_over", ""),
        "notice": NOTICE,
    }
    if groups is not None:
        scores |= numbers_of_groups(groups)
        scores["num_groups_trained_on"] = _groups_trained_on(pooled, index)
    return scores


def _mean_over_images(scores: Sequence[Mapping[str, Any]], name: str) -> float:
    weights = [one["num_examples"] for one in scores]
    return float(np.average([one[name] for one in scores], weights=weights))


def _trained_on(scores: Sequence[Mapping[str, Any]]) -> int | None:
    counts = [one.get("num_trained_on") for one in scores]
    return None if None in counts else sum(count for count in counts if count is not None)


def _groups_trained_on(pooled: Pooled, index: DataIndex) -> int:
    """Of how many groups a fold tests an image, and has another one that it can read in its other parts."""
    assert index.groups is not None
    found: set[str] = set()
    for fold, run in enumerate(pooled.runs):
        tested = pooled.rows[pooled.folds == fold]
        unreadable = read_record(run).unreadable or ()  # None: by an earlier version
        others = ~np.isin(index.names, np.array(unreadable, np.str_))
        others[tested] = False
        found |= set(np.intersect1d(index.groups[tested], index.groups[others]).tolist())
    return len(found)


def _of_fold(run: Path, scores: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": run.name, "num_examples": scores["num_examples"]} | {m: scores[m] for m in METRICS}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "standard_deviation": float(np.std(values, ddof=1))}


def judged(folders: Sequence[Path]) -> dict[str, Any] | None:
    """How the uncertainty estimates of the folds do on their test images, counted together.

    Each fold judges by its own temperature and thresholds, fitted on its own validation images.

    Returns:
      `target_error`; `promised_by`, in how many folds a threshold keeps to it; and those of `labelled` and
      `error_of_labelled` (of the thresholds alone), `labelled_without_a_person`, `error_without_a_person`,
      `sets_with_the_true_class` and `outliers` that all folds have: each `count`, `of`, `share` (None of
      nothing) and its 95 % Wilson `interval`. None where a fold has no estimates.

    Raises:
      UserError: folds whose estimates were set otherwise.
    """
    contents = [*_estimates(folders)]
    if len(contents) < len(folders):
        return None
    _check_set_alike(folders[0].parent, contents)
    tested = [content["measured"]["test"] for content in contents]
    found: dict[str, Any] = {
        "target_error": contents[0]["abstention"]["target_error"],
        "promised_by": sum(content["abstention"]["coverage"] > 0 for content in contents),
    }
    for name in _JUDGED:
        counted = [one.get(name) for one in tested]  # files of earlier versions lack some
        if all(one is not None for one in counted):
            found[name] = counted_share(*(sum(one[field] for one in counted) for field in ("count", "of")))
    return found


def _check_set_alike(place: Path, contents: Sequence[Mapping[str, Any]]) -> None:
    """Refuses folds in `place` whose estimates follow different settings: their counts are of no one rule."""
    for option, (part, field) in _SETTINGS.items():
        values = {content.get(part, {}).get(field) for content in contents} - {None}
        if len(values) > 1:  # files of earlier versions lack some
            raise UserError(
                f"the folds in {place} are set for a different {option} "
                f"({' and '.join(map(str, sorted(values)))}): give all of them one by `asae evaluate "
                f"--workdir=RUN --config.uncertainty.{option}=VALUE`."
            )


def _estimates(folders: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for folder in folders:
        path = uncertainty_file(folder)
        if path.exists():
            content = read_object(path, remedy=f"asae evaluate --workdir={quoted(folder)}")
            if "test" in content.get("measured", {}):
                yield content
