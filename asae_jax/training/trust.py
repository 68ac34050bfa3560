"""Measures when a run can be believed, on its validation part, and says what that gives on its test part."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from asae_jax import trust
from asae_jax.training import evaluation, figures, trust_figures
from asae_jax.training.data import Data
from asae_jax.training.trust_report import Part, caveats, measured, summary


def measure_trust(
    config: ConfigDict, data: Data, variables: Mapping[str, Any], workdir: Path, *, step: int
) -> None:
    """Fits `config.trust` and writes `trust.json` and the folder `trust/`; prints the main numbers.

    Temperature, abstention threshold, conformal sets and the threshold for outliers come from all validation
    images; the features these are compared with from at most `trust.images_per_class` training images of each
    class, not augmented. Without validation images nothing is written: numbers from images trained on would
    promise too much. (Nor can validation images be compared with themselves: beyond the distances of 132 to
    175 of them to their own class means lay 70 to 100 % of the test images, in three runs.)

    Args:
      config: of the run, with the settings of this evaluation.
      data: the run's own data.
      variables: of the checkpoint `step`.
      workdir: the run folder.
      step: of the checkpoint.
    """
    if not len(data.indices("validation")):
        print("trust: not measured, as there are no validation images (data.validation_fraction).")
        return
    parts = _score_parts(config, data, evaluation.tested_variables(config, data, variables))
    fitted = _fit(config, data.table.class_names, parts, conditions(config, step))
    record = {
        "measured": {name: measured(fitted, part) for name, part in parts.items() if name != "train"},
        "caveats": caveats(
            fitted,
            parts["validation"],
            chosen_on_it=config.eval.checkpoint == "best",
            grouped=data.table.groups is not None,
        ),
        "notice": figures.NOTICE,
    }
    trust.write_trust(fitted, workdir, record)
    trust_figures.plot_reliability(fitted, parts, workdir / trust.FOLDER / "reliability.png")
    trust_figures.plot_risk_coverage(fitted, parts, workdir / trust.FOLDER / "risk_coverage.png")
    print(summary(fitted, record))


def read_matching_trust(workdir: Path, config: ConfigDict, step: int) -> trust.Trust | None:
    """What was measured for this checkpoint and this way of testing; None, with a warning, if nothing was.

    Raises:
      UserError: files that cannot be read.
    """
    found, wanted = trust.read_trust(workdir), conditions(config, step)
    if found is None:
        reason = f"{workdir / trust.FILE} is missing"
    elif dict(found.conditions) != wanted:
        reason = f"{workdir / trust.FILE} is of {_said(found.conditions)}, not of {_said(wanted)}"
    else:
        return found
    warnings.warn(
        f"probabilities are not calibrated and nothing is flagged: {reason}; "
        f"`evaluate --workdir={workdir}` with the same --config.eval settings measures it.",
        stacklevel=2,
    )
    return None


def conditions(config: ConfigDict, step: int) -> dict[str, Any]:
    """What scores of the checkpoint `step` depend on besides the run."""
    return {
        "step": step,
        "test_mode": evaluation.mode_at_test(config),
        "batch_statistics": config.eval.batch_statistics,
    }


def _said(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _score_parts(config: ConfigDict, data: Data, variables: Mapping[str, Any]) -> dict[str, Part]:
    """Scores of the training sample ("train"), "validation" and, where there is one, "test"."""
    indices = {split: data.indices(split) for split in ("train", "validation", "test")}
    indices["train"] = _sample(indices["train"], data, config.trust.images_per_class)
    scorer = evaluation.Scorer(config, data)
    return {
        split: Part(*scorer.with_features(variables, rows, title=f"trust: {split}"), labels=data.labels(rows))
        for split, rows in indices.items()
        if len(rows)
    }


def _sample(indices: np.ndarray, data: Data, per_class: int) -> np.ndarray:
    """Up to `per_class` rows of each class, evenly spaced over the table: over its slides or folders too."""
    labels = data.labels(indices)
    rows = [indices[labels == c] for c in range(data.table.num_classes)]
    spaced = [r[np.linspace(0, len(r) - 1, min(len(r), per_class)).round().astype(int)] for r in rows]
    return np.sort(np.concatenate(spaced))


def _fit(
    config: ConfigDict,
    class_names: tuple[str, ...],
    parts: Mapping[str, Part],
    measured_under: Mapping[str, Any],
) -> trust.Trust:
    settings, train, validation = config.trust, parts["train"], parts["validation"]
    temperature = trust.fit_temperature(validation.logits, validation.labels)
    probabilities = np.exp(trust.soften(validation.logits, temperature.value))
    return trust.Trust(
        class_names=class_names,
        num_examples=len(validation.labels),
        conditions=measured_under,
        temperature=temperature,
        abstention=trust.choose_abstention(
            probabilities.max(1),
            probabilities.argmax(1) == validation.labels,
            target_error=settings.target_error,
            certainty=settings.certainty,
        ),
        conformal=trust.fit_conformal(
            probabilities, validation.labels, error=settings.conformal_error, method=settings.conformal
        ),
        outliers=trust.fit_outliers(
            validation.logits,
            validation.features,
            trust.fit_reference(train.features, train.labels, len(class_names), method=settings.outliers),
            method=settings.outliers,
            quantile=settings.outlier_quantile,
        ),
    )
