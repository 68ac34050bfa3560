"""Counts, sizes and colours by class, by part of the split, and by group."""

import math
from typing import Any

import numpy as np

from asae_jax.audit.facts import Facts
from asae_jax.input.split import SPLITS
from asae_jax.input.table import Table

QUANTILES = (5, 25, 50, 75, 95)
"""Percentiles by which a distribution is described."""


def count_examples(table: Table, readable: np.ndarray, splits: np.ndarray) -> dict[str, Any]:
    """Readable images per part of the split, per class, and per group with its parts."""
    per_class = {
        name: _per_split(splits[readable & (table.labels == label)])
        for label, name in enumerate(table.class_names)
    }
    groups = None
    if table.groups is not None:
        groups = {str(group): _per_split(splits[rows]) for group, rows in _by_group(table.groups, readable)}
    return {"per_split": _per_split(splits[readable]), "per_class": per_class, "per_group": groups}


def describe_quantities(table: Table, facts: Facts) -> dict[str, Any]:
    """Percentiles of shorter side, hue, saturation and brightness, per class and per group."""
    quantities = _quantities(facts)
    rows = {name: facts.readable & (table.labels == label) for label, name in enumerate(table.class_names)}
    per_group = None
    if table.groups is not None:
        per_group = {str(g): _describe(quantities, r) for g, r in _by_group(table.groups, facts.readable)}
    return {
        "percentiles": list(QUANTILES),
        "all": _describe(quantities, facts.readable),
        "per_class": {name: _describe(quantities, chosen) for name, chosen in rows.items()},
        "per_group": per_group,
    }


def balance(training_counts: dict[str, int], batch_size: int) -> dict[str, Any]:
    """How uneven the training part is, and how often an epoch of balanced batches shows each image.

    An epoch is ceil(images / batch size) batches, which hold equally many images of each class.

    Args:
      training_counts: class name -> training images.
      batch_size: of the training step.
    """
    present = {name: count for name, count in training_counts.items() if count}
    draws = 0.0
    if present:
        draws = math.ceil(sum(present.values()) / batch_size) * batch_size / len(present)
    return {
        "largest_to_smallest": max(present.values()) / min(present.values()) if present else None,
        "batch_size": batch_size,
        "draws_per_class_and_epoch": draws,
        "times_seen_per_epoch": {name: draws / count for name, count in present.items()},
    }


def groups_across_split(counts: dict[str, dict[str, int]] | None) -> list[str]:
    """Names of the groups with images in more than one part of the split."""
    return [name for name, parts in (counts or {}).items() if sum(parts[s] > 0 for s in SPLITS) > 1]


def _per_split(splits: np.ndarray) -> dict[str, int]:
    return {split: int((splits == split).sum()) for split in SPLITS} | {"total": len(splits)}


def _by_group(groups: np.ndarray, readable: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """(group, rows of its readable images), the largest group first."""
    rows = np.flatnonzero(readable)
    names, number = np.unique(groups[rows], return_inverse=True)
    order = rows[np.argsort(number, kind="stable")]
    parts = np.split(order, np.cumsum(np.bincount(number, minlength=len(names)))[:-1]) if len(rows) else []
    return sorted(zip(names.tolist(), parts, strict=True), key=lambda pair: (-len(pair[1]), pair[0]))


def _quantities(facts: Facts) -> dict[str, np.ndarray]:
    hue, saturation, brightness = facts.colour.T
    shorter = facts.size.min(axis=1).astype(np.float64)
    return {"shorter side": shorter, "hue": hue, "saturation": saturation, "brightness": brightness}


def _describe(quantities: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, list[float] | None]:
    """Percentiles of each quantity over `rows`; None where no row has a value."""
    described: dict[str, list[float] | None] = {}
    for name, values in quantities.items():
        known = values[rows][~np.isnan(values[rows])]
        described[name] = np.percentile(known, QUANTILES).round(2).tolist() if len(known) else None
    return described
