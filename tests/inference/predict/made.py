"""Records made by hand."""

import numpy as np

from asae_jax.inference.records import PredictionUncertainty, Record


def record(
    label, *, of=3, probability=0.9, path="x.png", group="", abstain=False, is_outlier=False, sets=None
):
    """A prediction of class `label` of `of`; None is an unreadable image."""
    if label is None:
        return Record(path, path, group, "empty file")
    probabilities = np.full(of, (1 - probability) / (of - 1), np.float32)
    probabilities[label] = probability
    uncertainty = PredictionUncertainty(abstain, 1.25, is_outlier, sets)
    content = f"pixels of {path}"
    return Record(path, path, group, content=content, probabilities=probabilities, uncertainty=uncertainty)
