"""Which examples are trained on: a seeded split, stratified, without a group on both sides, or in folds.

A pure function of labels, groups and seed. Without groups each class is shared out by itself; with
groups (slides, patients) whole groups are, see `group_split.py`.
"""

import warnings

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input import group_split
from asae_jax.input.shuffle import permutation

SPLITS = ("train", "validation", "test")

SPLIT_NAMES = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}
"""What a source may call the parts, in lower case, and what they are called here."""


def split_table(
    labels: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.0,
    folds: int = 0,
    fold: int = 0,
    seed: int,
) -> np.ndarray:
    """Draws the test images, then the validation images from what is left for training.

    Without groups the number of each class in each part is within one image of its exact share, and the
    whole part's too where the two rules below allow it. Each class keeps a training image; each class of
    two or more gets a test image. A class of one image is trained on and not tested, with a warning.

    With groups every group is on one side, and the shares are as near as the greedy search of
    `group_split` gets; the two rules hold for groups in place of images, where other classes' training
    images allow it.

    With folds the test images are one of as many parts, near to equal in each class, which together hold
    every image once; a class of one image (or group) is trained on in every fold and never tested.

    Args:
      labels: int `[N]`.
      groups: `[N]`, slide or patient of each, or None.
      test_fraction: of all images, 0 <= fraction < 1; without effect with folds.
      validation_fraction: of those not for testing, 0 <= fraction < 1. It is for choosing a checkpoint,
        which the test images must not do.
      folds: number of parts of a cross-validation, at least 2; 0 for none.
      fold: which part is the test set, 0..folds-1.
      seed: of the draw.

    Returns:
      str `[N]`: "train", "validation" or "test".

    Raises:
      UserError: a fraction or fold out of range, or fewer groups than folds.
    """
    _check_fraction("test_fraction", test_fraction)
    if folds:
        _check_folds(folds, fold)
        test = _fold(labels, groups, folds, fold, seed)
    elif groups is None:
        test = _images(labels, test_fraction, least=1, seed=seed)
    else:
        test = group_split.take(labels, groups, test_fraction, every_class=True, seed=seed, stream="test")
    splits = np.where(test, "test", "train").astype("<U10")
    if folds or test_fraction:
        _warn_of_single(labels, groups)
    return add_validation(splits, labels, groups=groups, fraction=validation_fraction, seed=seed)


def add_validation(
    splits: np.ndarray, labels: np.ndarray, *, groups: np.ndarray | None = None, fraction: float, seed: int
) -> np.ndarray:
    """`splits` (str `[N]`) with a share of the training images turned into validation images.

    Shared out as `split_table` does; every class keeps a training image (or group).

    Raises:
      UserError: a fraction out of range.
    """
    _check_fraction("validation_fraction", fraction)
    splits = splits.astype("<U10")
    train = splits == "train"
    if groups is None:
        splits[_images(labels, fraction, least=0, seed=seed, among=train)] = "validation"
        return splits
    rows = np.flatnonzero(train)
    chosen = group_split.take(
        labels[rows], groups[rows], fraction, every_class=False, seed=seed, stream="validation"
    )
    splits[rows[chosen]] = "validation"
    return splits


def _images(
    labels: np.ndarray, fraction: float, *, least: int, seed: int, among: np.ndarray | None = None
) -> np.ndarray:
    """bool `[N]`: `fraction` of each class's images `among` (bool `[N]`; all), drawn at random."""
    among = np.ones(len(labels), bool) if among is None else among
    classes, counts = np.unique(labels[among], return_counts=True)
    chosen = np.zeros(len(labels), bool)
    for label, share in zip(classes, _shares(counts, fraction, least=least), strict=True):
        members = _members(labels, int(label), seed)
        chosen[members[among[members]][:share]] = True
    return chosen


def _fold(labels: np.ndarray, groups: np.ndarray | None, folds: int, fold: int, seed: int) -> np.ndarray:
    """bool `[N]`: the test images of a fold."""
    if groups is not None:
        return group_split.fold(labels, groups, folds, fold, seed=seed)
    test, dealt = np.zeros(len(labels), bool), 0
    for label in np.unique(labels):
        members = _members(labels, int(label), seed)
        if len(members) > 1:
            test[members[(dealt + np.arange(len(members))) % folds == fold]] = True
            dealt += len(members)  # the next class goes on where this one stopped: folds of equal size
    return test


def _members(labels: np.ndarray, label: int, seed: int) -> np.ndarray:
    """Rows of a class in random order, the same whatever the other classes are."""
    members = np.flatnonzero(labels == label)
    return members[permutation(len(members), seed, "split", label)]


def _shares(counts: np.ndarray, fraction: float, *, least: int) -> np.ndarray:
    """How many of each class to take: largest remainders, then at least `least` and at most all but one."""
    exact = counts * fraction
    shares = np.floor(exact + 1e-9).astype(np.int64)  # 0.1 * 30 is 3.0000000000000004, 0.7 * 10 is 7 - 1e-15
    missing = int(np.floor(exact.sum() + 0.5)) - shares.sum()
    largest_remainders = np.argsort(shares - exact, kind="stable")
    shares[largest_remainders[: max(missing, 0)]] += 1
    return np.clip(shares, min(least, 1 if fraction else 0), None).clip(max=counts - 1)


def _warn_of_single(labels: np.ndarray, groups: np.ndarray | None) -> None:
    members = np.arange(len(labels)) if groups is None else groups
    pairs = {(int(label), member) for label, member in zip(labels, members.tolist(), strict=True)}
    classes, counts = np.unique([label for label, _ in pairs], return_counts=True)
    if (counts == 1).any():
        what = "image" if groups is None else "group"
        single = classes[counts == 1].tolist()
        warnings.warn(f"classes number {single} have one {what} each: none to test", stacklevel=3)


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise UserError(f"{name} is {value}: choose 0 <= fraction < 1 (--config.data.{name}=)")


def _check_folds(folds: int, fold: int) -> None:
    if folds < 2 or not 0 <= fold < folds:
        raise UserError(
            f"fold {fold} of {folds}: choose at least 2 folds and a fold of 0..folds-1 "
            "(--config.data.folds=, --config.data.fold=)"
        )
