"""Fits a run's uncertainty estimates and reports how good they are: numbers, sentences, figures."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from asae_jax.errors import quoted
from asae_jax.evaluation import figures
from asae_jax.evaluation.abstention import Abstention, fewest_images, risk_coverage
from asae_jax.evaluation.calibration import (
    LIMITS,
    Temperature,
    measure_reliability,
    reliability_bins,
    soften,
)
from asae_jax.evaluation.metrics import counted_share, wilson_interval
from asae_jax.evaluation.scoring import Scorer, tested_variables
from asae_jax.evaluation.shares import percent, share_text
from asae_jax.evaluation.training_cells import (
    CELLS_SHA256,
    TrainingCells,
    training_cells,
    write_training_cells,
)
from asae_jax.evaluation.uncertainty import Judgement, Part, Uncertainty, fit_uncertainty
from asae_jax.evaluation.uncertainty_files import FOLDER, conditions, uncertainty_name, write_uncertainty
from asae_jax.files import disk_errors, together
from asae_jax.input.exact_duplicates import is_among, is_first
from asae_jax.pages import NOTICE
from asae_jax.run.data import Data, training_nuclei
from asae_jax.run.run import Run

FEW = 200
"""Validation images below which a share of 5 % is known to no better than 3 points (95 % interval)."""


_CURVE_POINTS = 200


def measure_uncertainty(run: Run) -> None:
    """Fits the estimates, writes `uncertainty.json` and `uncertainty/`, prints the main numbers.

    Small pictures of the training images compared with are written, too, where `uncertainty.keep_cells` says
    so.

    Temperature, abstention threshold, conformal sets and the threshold for outliers come from all validation
    images; the features these are compared with from at most `uncertainty.images_per_class` training images
    of each class, not augmented. Without validation images nothing is written: estimates from images trained
    on would be too optimistic. (Nor can validation images be compared with themselves: beyond the distances
    of 132 to 175 of them to their own class means lay 70 to 100 % of the test images, in three runs.)

    Raises:
      UserError: the files cannot be written.
    """
    config, data, workdir = run.config, run.data, run.workdir
    if not len(judging_rows(data)):
        print("uncertainty estimates: none, as there are no validation images that are not trained on.")
        return
    parts = score_parts(run)
    estimates = fit_uncertainty(config.uncertainty, run.class_names, parts, conditions(run))
    estimates = dataclasses.replace(estimates, nuclei=training_nuclei(data))
    record = {
        "measured": {name: measured(estimates, part) for name, part in parts.items() if name != "train"},
        "caveats": caveats(
            estimates,
            parts["validation"],
            chosen_on_it=config.eval.checkpoint == "best",
            grouped=data.index.groups is not None,
            copies=len(data.indices("validation")) - len(parts["validation"].labels),
        ),
        "notice": NOTICE,
    }
    remedy = f"make room or check its permissions, then run `evaluate --workdir={quoted(workdir)}`"
    name = uncertainty_name(run)
    with disk_errors(f"write the uncertainty estimates to {workdir}", remedy=remedy), together():
        cells = write_training_cells(_training_cells(run, parts["train"]), workdir / f"{name}.json")
        write_uncertainty(estimates, workdir, record | {CELLS_SHA256: cells}, name=name)
        _draw(estimates, parts, workdir / name)
    print(summary(estimates, record))
    if name != FOLDER:
        print(
            f"written to {name}.json, as these are not the settings that the run records: `predict` uses it "
            f"with the same --config.eval settings only, and {FOLDER}.json else"
        )


def score_parts(run: Run) -> dict[str, Part]:
    """Scores of a sample of "train", of "validation" (`judging_rows`) and, where there is one, of "test"."""
    data, variables = run.data, tested_variables(run)
    per_class = run.config.uncertainty.images_per_class
    indices = {
        "train": sample_per_class(data.indices("train"), data, per_class),
        "validation": judging_rows(data),
        "test": data.indices("test"),
    }
    scorer = Scorer(run)
    return {
        split: Part(
            *scorer.with_features(variables, rows, title=f"uncertainty estimates, {split} images"),
            labels=data.labels(rows),
        )
        for split, rows in indices.items()
        if len(rows)
    }


def judging_rows(data: Data) -> np.ndarray:
    """Rows of the validation images that estimates are fitted to: each picture once, none trained on.

    What has been learnt is nearly always right: copies would promise fewer errors than new images have.
    """
    rows = data.indices("validation")
    contents, trained = data.index.contents, data.index.contents[data.splits == "train"]
    return rows[~is_among(contents[rows], trained) & is_first(contents[rows])]


def _training_cells(run: Run, part: Part) -> TrainingCells | None:
    """Pictures of the training sample, whose scores `part` are; None where they are not to be kept."""
    if not run.config.uncertainty.keep_cells:
        return None
    rows = sample_per_class(run.data.indices("train"), run.data, run.config.uncertainty.images_per_class)
    return training_cells(run.data.index, rows, part.features, workers=run.config.data.workers or None)


def num_scored(config: ConfigDict, data: Data) -> list[int]:
    """Images of each part that `score_parts` scores; none without validation images."""
    judging = len(judging_rows(data))
    if not judging:
        return []
    sampled = sample_per_class(data.indices("train"), data, config.uncertainty.images_per_class)
    return [n for n in (len(sampled), judging, len(data.indices("test"))) if n]


def sample_per_class(indices: np.ndarray, data: Data, per_class: int) -> np.ndarray:
    """Up to `per_class` of `indices` of each class, evenly spaced: so from all its slides or folders."""
    labels = data.labels(indices)
    rows = [indices[labels == c] for c in range(data.index.num_classes)]
    spaced = [r[np.linspace(0, len(r) - 1, min(len(r), per_class)).round().astype(int)] for r in rows]
    return np.sort(np.concatenate(spaced))


def measured(estimates: Uncertainty, part: Part) -> dict[str, Any]:
    """How the estimates do on `part`; shares are 0..1 with their 95 % Wilson intervals over images.

    `labelled` and `error_of_labelled` are of the threshold of the probability alone, which the promise is
    about; `labelled_without_a_person` and `error_without_a_person` are of what `predict` labels by itself:
    it leaves outliers to a person, too.
    """
    judged = estimates.apply(part.logits, part.features)
    right = judged.probabilities.argmax(1) == part.labels
    return {
        "num_images": len(part.labels),
        "reliability": {
            "uncalibrated": _reliability(part, 1.0),
            "calibrated": _reliability(part, estimates.temperature.value),
        },
        "risk_coverage_area": risk_coverage(judged.probabilities.max(1), right).area,
        "error_of_all": _share(~right),
        "labelled": _share(~judged.abstain),
        "error_of_labelled": _share(~right[~judged.abstain]),
        **without_a_person(judged.for_a_person, right),
        "sets_with_the_true_class": _share(judged.sets[np.arange(len(right)), part.labels]),
        "set_size": float(judged.sets.sum(1).mean()),
        "sets_with_the_true_class_of": _per_class(estimates, judged, part.labels),
        "outliers": None if judged.is_outlier is None else _share(judged.is_outlier),
        "reliability_diagram": {
            "uncalibrated": _diagram(part, 1.0),
            "calibrated": _diagram(part, estimates.temperature.value),
        },
        "risk_coverage": _curve(judged.probabilities.max(1), right),
    }


def without_a_person(for_a_person: np.ndarray, right: np.ndarray) -> dict[str, dict[str, Any]]:
    """What is labelled without a person, and the share of it that is wrong, as `measured` names them.

    Args:
      for_a_person: bool `[N]`, which images are left to a person, `Judgement.for_a_person`.
      right: bool `[N]`, whether the predicted class is the true one.
    """
    return {
        "labelled_without_a_person": _share(~for_a_person),
        "error_without_a_person": _share(~right[~for_a_person]),
    }


def _nothing_labelled(abstention: Abstention, count: int) -> str:
    """Why every image is left to a person, and what changes it."""
    target = percent(abstention.target_error)
    fewest = fewest_images(abstention.target_error, abstention.certainty)
    why = f"No threshold keeps errors at {target} with the asked certainty"
    if count < fewest:
        why = f"To promise errors of {target} takes at least {fewest} validation images, all right"
    return (
        f"{why}: every image is left to a person (fewer with a higher --config.uncertainty.target_error, or "
        "more validation images: --config.data.validation_fraction)."
    )


def caveats(
    estimates: Uncertainty, validation: Part, *, chosen_on_it: bool, grouped: bool, copies: int = 0
) -> list[str]:
    """What a reader must know before relying on the numbers, in plain sentences.

    Args:
      estimates: what was fitted on `validation`.
      validation: the validation part.
      chosen_on_it: whether the checkpoint was chosen on `validation`, too.
      grouped: whether several images come from one slide or patient.
      copies: validation images that were left out, as the network has learnt them or one of them is there.
    """
    judged = estimates.apply(validation.logits, validation.features)
    count, found = len(validation.labels), []
    if copies:
        found.append(
            f"{copies:,} validation images are left out of this: copies of training images or of each other."
        )
    if count < FEW:
        found.append(f"Only {count} validation images: read every number with its interval.")
    counts = np.bincount(validation.labels, minlength=len(estimates.class_names))
    if missing := [name for name, n in zip(estimates.class_names, counts, strict=True) if n == 0]:
        found.append(f"No validation image of {', '.join(missing)}: nothing is known of these classes.")
    if (estimates.temperature.low, estimates.temperature.high) == LIMITS:
        found.append(
            "The temperature ended at its limit: these images do not determine it, and it is not applied."
        )
    elif estimates.temperature.low <= 1 <= estimates.temperature.high:
        found.append("A temperature of 1, no calibration, lies within the interval: it is not applied.")
    if estimates.abstention.coverage == 0:
        found.append(_nothing_labelled(estimates.abstention, count))
    if count < (needed := math.ceil(1 / estimates.conformal.error - 1)):
        found.append(f"Sets that miss {percent(estimates.conformal.error)} need at least {needed} images.")
    elif judged.sets.sum(1).max() <= 1:
        wanted = percent(1 - estimates.conformal.error)
        found.append(
            f"No set has more than one class, as that alone is right in {wanted}: for sets that show doubt "
            "ask for fewer misses, --config.uncertainty.conformal_error."
        )
    if judged.is_outlier is not None and not judged.is_outlier.any():
        found.append("The threshold for outliers is the highest score of the validation images itself.")
    if chosen_on_it:
        found.append("The checkpoint was chosen on the same validation images, which flatters them a little.")
    if grouped:
        what = "Intervals and promises" if estimates.abstention.coverage else "Intervals"
        more = ", and new patients may have more errors than promised" * bool(estimates.abstention.coverage)
        found.append(f"{what} take images as independent; those of one slide or patient are not{more}.")
    found.append("Everything holds for images of the same laboratory, stain and camera only.")
    return found


def measured_parts(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What was measured on "validation" and "test", where they were: the last is the one to rely on.

    Args:
      record: the content of a file of estimates; it may name the parts in any order.
    """
    found = record.get("measured", {})
    return {part: found[part] for part in ("validation", "test") if part in found}


def summary(estimates: Uncertainty, record: Mapping[str, Any]) -> str:
    """The main numbers in a few lines, the test part's where it was measured, and the caveats."""
    name, shown = [*measured_parts(record).items()][-1]
    before, after = shown["reliability"]["uncalibrated"], shown["reliability"]["calibrated"]
    lines = [
        f"how far to trust it, set on {estimates.num_examples} validation images, measured on "
        f"{shown['num_images']} {name} images (95 % intervals in brackets):",
        *_labelled(shown, estimates.abstention.target_error),
        f"  it names {shown['set_size']:.1f} possible classes an image on average; the true one is among "
        f"them in {share_text(shown['sets_with_the_true_class'])} (wanted: "
        f"{percent(1 - estimates.conformal.error)})",
        f"  {share_text(shown['outliers'])} look unlike the training images",
        f"  probabilities: calibration error {before['ece']:.3f} -> {after['ece']:.3f} (0: what is given 80 "
        f"% is right 80 times in 100), NLL {before['nll']:.3f} -> {after['nll']:.3f}, "
        f"{_temperature_text(estimates.temperature)}",
    ]
    return "\n".join([*lines, *(f"  {sentence}" for sentence in record["caveats"])])


def _labelled(shown: Mapping[str, Any], target: float) -> list[str]:
    """What is labelled by itself, and what the threshold alone would label; files of earlier versions hold
    only the second."""
    lines = []
    if (itself := shown.get("labelled_without_a_person")) is not None:
        said = "  it labels none of the images by itself, and leaves all to a person"
        if itself["count"]:
            said = (
                f"  it labels {share_text(itself)} of the images by itself, "
                f"{share_text(shown['error_without_a_person'])} of them wrongly, and leaves to a person "
                "what it is not sure of or what looks unlike the training images"
            )
        lines.append(said)
    alone = "none of them"
    if shown["labelled"]["count"]:
        wrong = share_text(shown["error_of_labelled"])
        alone = f"{share_text(shown['labelled'])}, {wrong} of them wrongly"
    return [
        *lines,
        f"  its threshold alone, set for at most {percent(target)} mistakes, would label {alone} "
        f"(labelling all of them: {share_text(shown['error_of_all'])} wrong)",
    ]


def _temperature_text(temperature: Temperature) -> str:
    interval = f"[{temperature.low:.2f}, {temperature.high:.2f}]"
    if temperature.fitted is None:
        return f"temperature {temperature.value:.2f} {interval}"
    return f"temperature 1, not applied, as the interval of {temperature.fitted:.2f} {interval} contains 1"


def _draw(estimates: Uncertainty, parts: Mapping[str, Part], folder: Path) -> None:
    """`reliability.png`, of the test part where there is one, and `risk_coverage.png`."""
    name = "test" if "test" in parts else "validation"
    logits, _, labels = parts[name]
    figures.plot_reliability(
        logits,
        labels,
        estimates.temperature.value,
        folder / "reliability.png",
        title=f"{len(labels)} {name} images; temperature from {estimates.num_examples} validation images",
    )
    figures.plot_risk_coverage(
        {name: _confidence(estimates, parts[name]) for name in ("validation", "test") if name in parts},
        estimates.abstention,
        folder / "risk_coverage.png",
    )


def _confidence(estimates: Uncertainty, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """(calibrated probability of the predicted class, whether it is the true one), `[N]` each."""
    probabilities = np.exp(soften(part.logits, estimates.temperature.value))
    return probabilities.max(1), probabilities.argmax(1) == part.labels


def _reliability(part: Part, temperature: float) -> dict[str, float]:
    return dataclasses.asdict(measure_reliability(soften(part.logits, temperature), part.labels))


def _diagram(part: Part, temperature: float) -> list[dict[str, Any]]:
    """The bins of a reliability diagram that hold images, by rising confidence."""
    probabilities = np.exp(soften(part.logits, temperature))
    right = probabilities.argmax(1) == part.labels
    bins = reliability_bins(probabilities.max(1), right, num_bins=figures.RELIABILITY_BINS)
    return [
        {
            "images": int(images),
            "confidence": float(confidence),
            "accuracy": float(accuracy),
            "interval": list(wilson_interval(round(accuracy * images), int(images))),
        }
        for images, confidence, accuracy in zip(*bins, strict=True)
        if images
    ]


def _curve(confidence: np.ndarray, right: np.ndarray) -> dict[str, list[float]]:
    """The risk-coverage curve at no more than `_CURVE_POINTS` coverages, the last of them 1."""
    curve = risk_coverage(confidence, right)
    wanted = np.linspace(1 / _CURVE_POINTS, 1, _CURVE_POINTS)
    places = np.unique(np.searchsorted(curve.coverage, wanted - 1e-9))
    return {"coverage": curve.coverage[places].tolist(), "risk": curve.risk[places].tolist()}


def _share(chosen: np.ndarray) -> dict[str, Any]:
    return counted_share(int(chosen.sum()), len(chosen))


def _per_class(estimates: Uncertainty, judged: Judgement, labels: np.ndarray) -> dict[str, dict[str, Any]]:
    return {
        name: _share(judged.sets[labels == number, number])
        for number, name in enumerate(estimates.class_names)
    }
