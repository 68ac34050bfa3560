"""Scores of a run on a set of examples, and the files that an evaluation leaves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from asae_jax.errors import UserError
from asae_jax.evaluation import figures, other_laboratory
from asae_jax.evaluation.bootstrap import (
    MIN_GROUPS,
    few_groups,
    few_resamples,
    interval_unit,
    numbers_of_groups,
)
from asae_jax.evaluation.calibration import soften
from asae_jax.evaluation.metrics import evaluate_scores
from asae_jax.evaluation.predictions import PREDICTIONS_SHA256, write_predictions
from asae_jax.evaluation.provenance import FOLDER, among_trained_on, provenance
from asae_jax.evaluation.scoring import Scorer, tested_variables
from asae_jax.evaluation.shares import score_text
from asae_jax.evaluation.uncertainty import Part
from asae_jax.evaluation.uncertainty_files import matching_file, read_uncertainty
from asae_jax.files import disk_errors, together
from asae_jax.input.cell_classes import display_order
from asae_jax.input.exact_duplicates import is_among
from asae_jax.json_files import write_sealed_json
from asae_jax.pages import NOTICE
from asae_jax.run.adaptation import read_adaptation
from asae_jax.run.data import Data
from asae_jax.run.run import Run

_ECE_INTERVAL = "of the ECE that test sets of this size give on average; above 0 for a calibrated network too"
_OVER_LABELS = "macro_f1 and balanced_accuracy: classes with images here"
_OVER_ALL = "macro_f1: classes among labels or predictions; balanced_accuracy: classes among labels"


def evaluate(
    run: Run, data: Data, *, split: str, name: str, other: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Scores `split` and writes `evaluation/<name>.json`, its predictions as CSV and two figures.

    Args:
      run: whose weights are used.
      data: every readable image of its part `split` is scored once.
      split: "test", "validation", "train" or "all".
      name: of the files, which are replaced (see `provenance.check_name`).
      other: what to record of another source, see `provenance`; None: the data are the run's own. Others may
        lack classes, and all means over classes are then over those with images (`summarise`).

    Returns:
      The content of the JSON file (see `asae_jax.evaluation.metrics.evaluate_scores`).

    Raises:
      UserError: when the split is empty.
    """
    indices = data.indices(split)
    if not len(indices):
        raise UserError(
            f"the {split} part of {run.workdir} is empty; choose another --config.eval.split, "
            "or train with a share for it."
        )
    log_probs, judged = _scored(run, data, indices, title=f"evaluating {split}", is_own=other is None)
    scores = _measured(run, data, indices, log_probs, is_own=other is None) | judged
    scores |= provenance(run, data, split, other)
    scores |= {
        "num_unreadable": data.num_unreadable(split),
        "num_trained_on": _trained_on(run, data, indices, is_own=other is None),
        "notice": NOTICE,
    }
    folder = run.workdir / FOLDER
    remedy = "free some space or mend its permissions, then run `evaluate`"
    with disk_errors(f"write the evaluation to {folder}", remedy=remedy), together():
        scores[PREDICTIONS_SHA256] = write_predictions(
            folder / f"{name}_predictions.csv",
            data.index.names[indices],
            data.labels(indices),
            log_probs,
            data.index.class_names,
        )
        write_sealed_json(folder / f"{name}.json", scores)
        title = f"{split}: accuracy {scores['accuracy']:.3f}, macro-F1 {scores['macro_f1']:.3f}"
        order = display_order(run.classes)
        figures.plot_confusion(scores, order, folder / f"{name}_confusion.png", title=title)
        figures.plot_per_class(scores, order, folder / f"{name}_per_class.png", title=title)
    return scores


def _scored(
    run: Run, data: Data, indices: np.ndarray, *, title: str, is_own: bool
) -> tuple[np.ndarray, dict[str, Any]]:
    """Log-probabilities, and of another source how the run's uncertainty estimates do on it.

    Of the run's own data `measure_uncertainty` says that.
    """
    scorer, variables = Scorer(run, data), tested_variables(run)
    path = None if is_own else matching_file(run)
    estimates = None if path is None else read_uncertainty(run.workdir, path)
    if estimates is None:
        if not is_own:
            print(f"{run.workdir} has no uncertainty estimates for these settings: none are measured here")
        return scorer(variables, indices, title=title), {}
    logits, features = scorer.with_features(variables, indices, title=title)
    part = Part(logits, features, data.labels(indices))
    adapted = read_adaptation(run.workdir) is not None
    return soften(logits, 1.0), {"uncertainty": other_laboratory.measure(estimates, part, adapted=adapted)}


def _measured(
    run: Run, data: Data, indices: np.ndarray, log_probs: np.ndarray, *, is_own: bool
) -> dict[str, Any]:
    """The scores, and what their means and intervals are of."""
    groups = None if data.index.groups is None else data.index.groups[indices]
    scores = evaluate_scores(
        log_probs,
        data.labels(indices),
        data.index.class_names,
        groups=groups,
        bootstrap=run.config.eval.bootstrap,
        seed=run.config.seed,
        means_over_labels=not is_own,
    )
    scores["intervals_over"] = interval_unit(groups, run.config.eval.bootstrap)
    scores["class_means_over"] = _OVER_ALL if is_own else _OVER_LABELS
    scores["ece_interval"] = _ECE_INTERVAL
    if groups is not None:
        scores |= numbers_of_groups(groups)
        if is_own:
            scores["num_groups_trained_on"] = _groups_trained_on(data, indices)
    return scores


def _groups_trained_on(data: Data, indices: np.ndarray) -> int:
    """Of the groups of those scored images that were not trained on, how many have training images too."""
    groups = data.index.groups
    assert groups is not None
    rows = indices[data.splits[indices] != "train"]
    return len(np.intersect1d(groups[rows], groups[data.indices("train")]))


def _trained_on(run: Run, data: Data, indices: np.ndarray, *, is_own: bool) -> int | None:
    """How many of the scored images are among those that the run was trained on; None where not known."""
    contents = data.index.contents
    if is_own:
        copies = is_among(contents[indices], contents[data.indices("train")])
        return int(np.count_nonzero(copies | (data.splits[indices] == "train")))
    found = among_trained_on(run, contents[indices], pixels=data.index.source == "npz")
    return None if found is None else int(found.sum())


def summary(scores: Mapping[str, Any]) -> str:
    """An evaluation in a few lines: how many are right, the main scores, the most frequent mistakes."""
    count, right = scores["num_examples"], int(np.trace(scores["confusion_matrix"]))
    note = " (95 % intervals in brackets)" * bool(scores["intervals"])
    if (groups := scores.get("num_groups")) is not None and (scores["intervals"] or groups < MIN_GROUPS):
        # Files of earlier versions lack what they are worth.
        told = few_groups(groups, scores.get("effective_groups", groups))
        note += f"; {told}" * bool(told)
    if scores["intervals"] and (told := few_resamples(scores.get("resamples", 0))):
        note += f"; {told}"
    if shared := scores.get("num_groups_trained_on"):
        note += f"; {shared} of the groups have training images too: cells of new ones are harder"
    if scores.get("num_trained_on", 0) is None:
        note += "; whether the run was trained on some of them cannot be told"
    if trained := scores.get("num_trained_on"):
        note += f"; {trained} of the images are among those trained on: no measure of new images"
    lines = [
        f"{scores['split']}: {right} of {count} images right, {score_text(scores, 'accuracy')}; mean over "
        f"the classes {score_text(scores, 'balanced_accuracy')}; macro-F1 "
        f"{score_text(scores, 'macro_f1')}{note}"
    ]
    if mistakes := frequent_mistakes(scores["confusion_matrix"], scores["class_names"]):
        lines.append(f"  most frequent mistakes: {', '.join(mistakes)}")
    if found := scores.get("uncertainty"):
        lines += [f"  {sentence}" for sentence in other_laboratory.sentences(found)]
    return "\n".join(lines)


def frequent_mistakes(
    confusion: Sequence[Sequence[int]], class_names: Sequence[str], *, most: int = 5
) -> list[str]:
    """ "MMY for MY 12 times": the most frequent mistakes, as the predicted class for the true one.

    Args:
      confusion: counts `[classes, classes]`, rows true.
      class_names: of the classes.
      most: how many at most; mistakes that happened once are not named.
    """
    counts = np.array(confusion)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:most]
    places = [divmod(int(place), len(class_names)) for place in order]
    return [
        f"{class_names[predicted]} for {class_names[true]} {counts[true, predicted]} times"
        for true, predicted in places
        if counts[true, predicted] > 1
    ]
