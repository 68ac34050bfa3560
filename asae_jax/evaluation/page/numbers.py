"""The numbers of the page's tables: confusion matrix, scores of each class with intervals, counts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from asae_jax.evaluation.metrics import largest_classes, per_class_scores, wilson_interval
from asae_jax.input.groups import known_groups

_SHADE = 50
"""Percent of the colour in a matrix's fullest cell, so that its number stays readable."""


class Share(NamedTuple):
    """A share of 1 with its 95 % interval; None each where nothing was counted."""

    value: float | None
    low: float | None
    high: float | None


class ClassScores(NamedTuple):
    """Scores of one class.

    Attributes:
      name: of the class.
      images: labelled so.
      called: predicted so.
      recall: of the images labelled so, the share that was found.
      precision: of the images predicted so, the share that is.
      f1: the harmonic mean of the two.
    """

    name: str
    images: int
    called: int
    recall: Share
    precision: Share
    f1: Share


def class_scores(scores: Mapping[str, Any], order: Sequence[int]) -> list[ClassScores]:
    """Scores of each class of an evaluation, in the order `order` of positions of classes.

    Recall and precision have Wilson intervals. F1 is 2 F* / (1 + F*) of the share F* of hits among all that
    is labelled or predicted so (Hand, Christen and Kirielle 2021, arXiv:2008.00103); its interval is that
    of F*, transformed. All take the images as independent.
    """
    counts = np.asarray(scores["confusion_matrix"])
    values, called = per_class_scores(counts), counts.sum(0)
    return [
        ClassScores(
            scores["class_names"][c],
            int(values.support[c]),
            int(called[c]),
            _share(counts[c, c], values.support[c], values.recall[c]),
            _share(counts[c, c], called[c], values.precision[c]),
            _f1(counts[c, c], values.support[c], called[c], values.f1[c]),
        )
        for c in order
    ]


def _share(hits: int, total: int, value: float) -> Share:
    return Share(float(value), *wilson_interval(int(hits), int(total))) if total else Share(None, None, None)


def _f1(hits: int, support: int, called: int, value: float) -> Share:
    """None of a class without images: it says nothing but that others were called so."""
    if not support:
        return Share(None, None, None)
    low, high = (2 * end / (1 + end) for end in wilson_interval(int(hits), int(support + called - hits)))
    return Share(float(value), low, high)


class TableCell(NamedTuple):
    """A cell of the confusion matrix: its images, their share of the row, and percent of colour."""

    images: int
    share: float
    shade: int
    right: bool


class Matrix(NamedTuple):
    """A confusion matrix, rows labelled and columns predicted, in the order to show.

    Attributes:
      names: of the classes.
      order: positions of these classes.
      rows: cells of each class.
      labelled: images of each class.
      predicted: images predicted as each class.
      total: all images.
    """

    names: list[str]
    order: list[int]
    rows: list[list[TableCell]]
    labelled: list[int]
    predicted: list[int]
    total: int


def matrix(scores: Mapping[str, Any], order: Sequence[int]) -> Matrix:
    """The confusion matrix of an evaluation in the order `order` of positions of classes.

    Of very many classes the largest are shown (`metrics.largest_classes`); sums are of all.
    """
    whole, shown = np.asarray(scores["confusion_matrix"]), largest_classes(scores, order)
    counts, labelled = whole[np.ix_(shown, shown)], whole.sum(1)[shown]
    shares = counts / np.maximum(labelled[:, None], 1)
    rows = [
        [
            TableCell(int(count), float(share), round(_SHADE * share), r == c)
            for c, (count, share) in enumerate(zip(*pair, strict=True))
        ]
        for r, pair in enumerate(zip(counts, shares, strict=True))
    ]
    return Matrix(
        [scores["class_names"][c] for c in shown],
        shown,
        rows,
        labelled.tolist(),
        whole.sum(0)[shown].tolist(),
        int(whole.sum()),
    )


def counts_by_part(
    labels: np.ndarray, parts: np.ndarray, names: Sequence[str], classes: int
) -> list[list[int]]:
    """Images of each class in each part: `[classes][parts]`.

    Args:
      labels: int `[N]`.
      parts: str `[N]`, the part of each.
      names: of the parts, in the order of the columns.
      classes: number of classes.
    """
    columns = [np.bincount(labels[parts == name], minlength=classes) for name in names]
    return np.stack(columns, axis=1).tolist()


def counts(
    labels: np.ndarray,
    parts: np.ndarray,
    names: Sequence[str],
    order: Sequence[int],
    *,
    classes: int,
    groups: np.ndarray | None,
) -> dict[str, Any]:
    """The table of images and groups of each part, as the page shows it.

    Args:
      labels: int `[N]`.
      parts: str `[N]`, the part of each.
      names: of the parts, in the order of the columns.
      order: positions of the classes in the order of the rows.
      classes: number of classes.
      groups: slide or patient of each, `[N]`; None where they are not known.
    """
    table = counts_by_part(labels, parts, names, classes)
    return {
        "columns": list(names),
        "rows": [(table[c], sum(table[c])) for c in order],
        "totals": [sum(column) for column in zip(*table, strict=True)],
        "total": len(labels),
        "groups": None if groups is None else _groups_of_parts(groups, parts, names),
    }


def _groups_of_parts(groups: np.ndarray, parts: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    sets = [set(known_groups(groups[parts == name]).tolist()) for name in names]
    found = set().union(*sets)
    return {
        "total": len(found),
        "of": [len(one) for one in sets],
        "shared": sum(sum(group in one for one in sets) > 1 for group in found),
    }
