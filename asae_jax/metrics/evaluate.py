"""The report of an evaluation, as plain Python for JSON."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from asae_jax.metrics.bootstrap import bootstrap_intervals
from asae_jax.metrics.confusion import confusion_matrix, per_class_scores
from asae_jax.metrics.scored import Scored


def evaluate_scores(
    log_probs: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    *,
    groups: np.ndarray | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """All metrics of scored examples.

    Args:
      log_probs: log-probabilities `[N, classes]`, nats, finite.
      labels: int `[N]`, 0..classes-1.
      class_names: a different name for each class, in the order of the columns.
      groups: values `[N]`; given, the intervals come from drawing whole groups.
      bootstrap: number of resamples for the intervals; 0 for no intervals.
      seed: of the resampling.

    Returns:
      `num_examples`; `accuracy`, `balanced_accuracy`, `macro_f1`, `weighted_f1` (0..1, defined in
      `confusion.summarise`); `per_class`: name -> `precision`, `recall`, `f1` (0 where undefined) and
      `support`; `confusion_matrix`: rows true; `class_names`; `ece`: expected calibration error of the
      most probable class, 15 equal-width bins; `nll`: mean negative log-likelihood in nats;
      `intervals`: metric -> `[low, high]`, 95 % percentile bootstrap. Plain Python, ready for JSON.

    Raises:
      ValueError: no examples, shapes or names that do not fit, scores that are not finite.
    """
    scored = Scored.of(log_probs, labels)
    names = [str(name) for name in class_names]
    if len(set(names)) != scored.num_classes or len(names) != scored.num_classes:
        raise ValueError(f"need {scored.num_classes} different class names, got {names}")
    if groups is not None and len(groups) != scored.labels.size:
        raise ValueError(f"need a group for each of {scored.labels.size} examples, got {len(groups)}")
    confusion = confusion_matrix(scored.labels, scored.predictions, scored.num_classes)
    overall = scored.overall(np.ones((1, scored.labels.size)))
    return {
        "num_examples": int(scored.labels.size),
        **{name: float(value[0]) for name, value in overall.items()},
        "per_class": _per_class(confusion, names),
        "confusion_matrix": confusion.tolist(),
        "class_names": names,
        "intervals": bootstrap_intervals(scored, groups=groups, resamples=bootstrap, seed=seed)
        if bootstrap
        else {},
    }


def _per_class(confusion: np.ndarray, names: list[str]) -> dict[str, dict[str, float | int]]:
    columns = per_class_scores(confusion)
    return {
        name: {field: values[i].item() for field, values in columns._asdict().items()}
        for i, name in enumerate(names)
    }
