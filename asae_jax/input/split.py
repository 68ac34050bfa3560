"""Which examples are trained on: a seeded split, stratified, by group, or in folds.

A pure function of labels, groups and seed. Without groups each class is divided separately. With groups
(slides, patients) whole groups are assigned, so that none is on both sides of the split.

No assignment of groups gives every class its exact share, and finding the best is a hard problem. The
search here is greedy: groups are assigned in order of size, large ones first, each to the part that
brings the shares of the classes nearest to what they should be; then each group is taken out and assigned
again until none moves. The objective is chi-square over the classes and the whole, each class counting as
much as any other:

    sum over parts p and classes c of (share of c that is in p - intended share of p)^2 / intended share of p
"""

import warnings
from collections.abc import Sequence

import numpy as np

from asae_jax.errors import UserError
from asae_jax.input.groups import in_one_form
from asae_jax.input.sampler import permutation, rows_by_label

SPLITS = ("train", "validation", "test")

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""Name of a part in a data source, in lower case -> its name here."""

_ROUNDS = 8  # of reassigning groups; it converges after two to four


def draw_split(
    labels: np.ndarray,
    *,
    groups: np.ndarray | None,
    test_fraction: float,
    validation_fraction: float,
    folds: int,
    fold: int,
    seed: int,
    class_names: Sequence[str] = (),
) -> np.ndarray:
    """Draws the test images, then the validation images from what is left for training.

    Without groups each part's count of each class is within one image of the exact share, and so is the whole
    part's where two rules allow it: each class keeps a training image, and each of two or more images gets a
    test image. A class of one image is trained on and not tested, with a warning.

    With groups every group is on one side, and the shares are as near as the greedy search gets. The two
    rules then hold for groups instead of images, as far as no other class loses its last training group. One
    group is left for validation where the test part keeps every class without it.
    With folds the test images are one of `folds` disjoint parts, none empty, nearly equal in each class. All
    are tested once, but single images of a class and groups that alone have one, which is warned of.

    Args:
      labels: int `[N]`.
      groups: `[N]`, slide or patient of each image, in any Unicode form, or None to split by image.
      test_fraction: of all images, 0 <= fraction < 1; ignored with folds.
      validation_fraction: of those not used for testing, 0 <= fraction < 1.
      folds, fold: parts of a cross-validation, at least 2 (0: none), and which of them, from 0, is tested.
      seed: any integer.
      class_names: for messages; empty: classes are named by their numbers.

    Returns:
      str `[N]`: "train", "validation" or "test".

    Raises:
      UserError: a fraction or fold out of range, or fewer images or groups to test than folds.
    """
    _check_fraction("test_fraction", test_fraction)
    if folds:
        test = _folds(labels, groups, folds, fold, seed) == fold
    elif groups is None:
        test = _take_images(labels, test_fraction, least=1, seed=seed)
    else:
        test = _take_groups(labels, groups, test_fraction, every_class=True, seed=seed, stream="test")
        test &= ~_left_for_validation(labels, groups, test, validation_fraction)
    if folds or test_fraction:
        _warn_of_single(labels, groups, class_names)
    parts = np.where(test, "test", "train")
    return add_validation(parts, labels, groups=groups, fraction=validation_fraction, seed=seed)


def most_folds(labels: np.ndarray, groups: np.ndarray | None) -> int:
    """How many folds `draw_split` can make: images, or groups, without which every class has others."""
    if groups is None:
        counts = np.unique(labels, return_counts=True)[1]
        return int(counts[counts > 1].sum())
    return int(np.count_nonzero(~_alone(_group_counts(labels, groups)[0])))


def add_validation(
    splits: np.ndarray, labels: np.ndarray, *, groups: np.ndarray | None, fraction: float, seed: int
) -> np.ndarray:
    """Turns a share of the training images into validation images, by the rules of `draw_split`.

    Every class keeps a training image (or group).

    Args:
      splits: str `[N]`; not changed.
      labels: int `[N]`.
      groups: `[N]`, slide or patient of each image, or None to split by image.
      fraction: of the training images, 0 <= fraction < 1.
      seed: any integer.

    Returns:
      str `[N]`.

    Raises:
      UserError: a fraction out of range.
    """
    _check_fraction("validation_fraction", fraction)
    splits = splits.astype("<U10")
    train = splits == "train"
    if groups is None:
        splits[_take_images(labels, fraction, least=0, seed=seed, among=train)] = "validation"
        return splits
    rows = np.flatnonzero(train)
    chosen = _take_groups(
        labels[rows], groups[rows], fraction, every_class=False, seed=seed, stream="validation"
    )
    splits[rows[chosen]] = "validation"
    return splits


def _take_images(
    labels: np.ndarray, fraction: float, *, least: int, seed: int, among: np.ndarray | None = None
) -> np.ndarray:
    """Draws `fraction` of each class's images among those of `among` (bool `[N]`; all): bool `[N]`."""
    among = np.ones(len(labels), bool) if among is None else among
    classes, counts = np.unique(labels[among], return_counts=True)
    chosen = np.zeros(len(labels), bool)
    shares = dict(zip(classes.tolist(), _shares(counts, fraction, least=least), strict=True))
    for label, rows in rows_by_label(labels):
        members = _in_random_order(rows, label, seed)
        chosen[members[among[members]][: shares.get(label, 0)]] = True
    return chosen


def _folds(labels: np.ndarray, groups: np.ndarray | None, folds: int, fold: int, seed: int) -> np.ndarray:
    """The fold that tests each example, int `[N]`; -1 of those that are trained on in every fold."""
    _check_folds(labels, groups, folds, fold)
    if groups is not None:
        return _folds_of_groups(labels, groups, folds, seed=seed)
    parts, placed = np.full(len(labels), -1), 0
    for label, rows in rows_by_label(labels):
        members = _in_random_order(rows, label, seed)
        if len(members) > 1:
            parts[members] = (placed + np.arange(len(members))) % folds
            placed += len(members)  # the next class starts in the fold after: folds of equal size
    return parts


def _in_random_order(rows: np.ndarray, label: int, seed: int) -> np.ndarray:
    """The rows of a class in an order that is the same whatever the other classes are."""
    return rows[permutation(len(rows), seed, "split", label)]


def _shares(counts: np.ndarray, fraction: float, *, least: int) -> np.ndarray:
    """How many of each class to take: at least `least`, at most all but one, and the rest by remainders."""
    exact = counts * fraction
    shares = np.floor(exact + 1e-9).astype(np.int64)  # 0.1 * 30 is 3.0000000000000004, 0.7 * 10 is 7 - 1e-15
    shares = np.clip(shares, least if fraction else 0, None).clip(max=counts - 1)
    missing = int(np.floor(exact.sum() + 0.5)) - shares.sum()
    largest_remainders = np.argsort(shares - exact, kind="stable")
    can_give = largest_remainders[(shares < np.minimum(exact, counts - 1))[largest_remainders]]
    shares[can_give[: max(missing, 0)]] += 1
    return shares


def _warn_of_single(labels: np.ndarray, groups: np.ndarray | None, class_names: Sequence[str]) -> None:
    members = np.arange(len(labels)) if groups is None else in_one_form(groups)
    pairs = {(int(label), member) for label, member in zip(labels, members.tolist(), strict=True)}
    classes, counts = np.unique([label for label, _ in pairs], return_counts=True)
    if (counts == 1).any():
        what = "image" if groups is None else "group"
        single = classes[counts == 1].tolist()
        named = ", ".join(class_names[c] for c in single) if class_names else f"number {single}"
        warnings.warn(f"classes {named} have one {what} each: none to test", stacklevel=3)


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise UserError(f"{name} is {value}: choose 0 <= fraction < 1 (--config.data.{name}=)")


def _check_folds(labels: np.ndarray, groups: np.ndarray | None, folds: int, fold: int) -> None:
    if folds < 2 or not 0 <= fold < folds:
        raise UserError(
            f"fold {fold} of {folds}: choose at least 2 folds and a fold of 0..folds-1 "
            "(--config.data.folds=, --config.data.fold=)"
        )
    if (most := most_folds(labels, groups)) >= folds:
        return
    what = "images" if groups is None else "groups"
    more = len(labels if groups is None else np.unique(in_one_form(groups))) - most
    kept = f" ({more} more alone have a class, and stay in training)" if more else ""
    by_image = "" if groups is None else ", or split by image (--config.data.split_by=image)"
    raise UserError(
        f"{most} {what} cannot make {folds} folds{kept}: choose fewer (--config.data.folds=, of `crossval` "
        f"--folds=){by_image}"
    )


def _take_groups(
    labels: np.ndarray, groups: np.ndarray, fraction: float, *, every_class: bool, seed: int, stream: str
) -> np.ndarray:
    """Takes about `fraction` of each class, in whole groups; every class keeps a group that is not taken.

    Args:
      labels: int `[N]`.
      groups: `[N]`, the group of each.
      fraction: 0 <= fraction < 1.
      every_class: whether to take at least one group of each class, where no class would lose its last;
        else at least one in all.
      seed: any integer.
      stream: name of the draw; separates draws of one seed.

    Returns:
      bool `[N]`: what is taken.
    """
    counts, group_of = _group_counts(labels, groups)
    if not fraction or len(counts) < 2:
        return np.zeros(len(labels), bool)
    taken = _assign(counts, [1 - fraction, fraction], seed, stream) == 1
    _return_last_groups(counts, taken)
    if every_class:
        _reach_every_class(counts, taken)
    elif not taken.any():
        _take_smallest(counts, taken)
    return taken[group_of]


def _folds_of_groups(labels: np.ndarray, groups: np.ndarray, folds: int, *, seed: int) -> np.ndarray:
    """The one of `folds` disjoint parts made of whole groups that tests each example, int `[N]`.

    Together the parts hold every group except those left for training because a class had no other there,
    which are -1 and warned of. A group that alone has a class can be in no part: it takes no other's place.
    """
    counts, group_of = _group_counts(labels, groups)
    free = ~_alone(counts)
    shared = counts[free]
    parts = np.full(len(counts), -1)
    parts[free] = _assign(shared[:, shared.any(0)], [1 / folds] * folds, seed, "folds")
    for number in range(folds):
        taken = parts == number
        _return_last_groups(counts, taken)
        parts[(parts == number) & ~taken] = -1
    if left := np.count_nonzero(parts < 0):
        warnings.warn(
            f"{counts[parts < 0].sum():,} images of {left} groups are tested in no fold: without them a "
            "class would have nothing to train on",
            stacklevel=4,
        )
    return parts[group_of]


def _alone(counts: np.ndarray) -> np.ndarray:
    """Which groups have a class that no other has: bool `[groups]`."""
    return counts[:, (counts > 0).sum(0) == 1].sum(1) > 0


def _group_counts(labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images int64 `[groups, classes]`, and the group's number of each example."""
    names, group_of = np.unique(in_one_form(groups), return_inverse=True)
    classes, class_of = np.unique(labels, return_inverse=True)
    counts = np.bincount(group_of * len(classes) + class_of, minlength=len(names) * len(classes))
    return counts.reshape(len(names), len(classes)), group_of


def _assign(counts: np.ndarray, shares: Sequence[float], seed: int, stream: str) -> np.ndarray:
    """Assigns a part to each group, int64 `[groups]`: part `p` gets about `shares[p]` of each class."""
    amounts = np.column_stack([counts / counts.sum(0), counts.sum(1) / counts.sum()])
    intended = np.array(shares)[:, None]
    excess = np.repeat(-intended, amounts.shape[1], axis=1)  # share of each class in each part - intended
    weights = intended.min() / intended  # 1 / intended but for a factor: the smallest share may be tiny
    parts = np.full(len(counts), -1)
    order = _large_first(amounts, seed, stream)
    for _ in range(_ROUNDS):
        before = parts.copy()
        for group in order:
            amount = amounts[group]
            if parts[group] >= 0:
                excess[parts[group]] -= amount
            growth = ((2 * excess + amount) * amount * weights).sum(1)  # of the chi-square, by part
            parts[group] = growth.argmin()
            excess[parts[group]] += amount
        if (parts == before).all():
            break
    return parts


def _large_first(amounts: np.ndarray, seed: int, stream: str) -> np.ndarray:
    """Groups in order of size, in random order within a factor of two, so that the seed has an effect."""
    size = np.floor(np.log2((amounts**2).sum(1)) / 2)
    random = permutation(len(amounts), seed, stream)
    return random[np.argsort(-size[random], kind="stable")]


def _return_last_groups(counts: np.ndarray, taken: np.ndarray) -> None:
    """Gives back the smallest group of each class whose groups are all taken."""
    for column in range(counts.shape[1]):
        holders = np.flatnonzero(counts[:, column])
        if taken[holders].all():
            taken[holders[counts[holders].sum(1).argmin()]] = False


def _reach_every_class(counts: np.ndarray, taken: np.ndarray) -> None:
    """Takes the smallest group of each class without a taken one, unless a class would lose its last."""
    for column in range(counts.shape[1]):
        holders = np.flatnonzero(counts[:, column])
        if not taken[holders].any():
            _take_smallest(counts, taken, holders)


def _take_smallest(counts: np.ndarray, taken: np.ndarray, among: np.ndarray | None = None) -> None:
    """Takes the smallest group (of those numbered `among`) without which no class would lose its last."""
    spared = _spared(counts, np.flatnonzero(~taken) if among is None else among, ~taken)
    if spared:
        taken[min(spared, key=lambda group: counts[group].sum())] = True


def _spared(counts: np.ndarray, numbers: np.ndarray, there: np.ndarray) -> list[int]:
    """Those of `numbers` without which the groups of `there`, bool `[groups]`, keep all their classes."""
    total = counts[there].sum(0)
    return [int(group) for group in numbers if (total - counts[group] > 0)[counts[group] > 0].all()]


def _left_for_validation(
    labels: np.ndarray, groups: np.ndarray, test: np.ndarray, fraction: float
) -> np.ndarray:
    """The smallest group of `test` that it can spare, where training can spare none: bool `[N]`."""
    counts, group_of = _group_counts(labels, groups)
    taken = np.zeros(len(counts), bool)
    taken[group_of[test]] = True
    left = np.zeros(len(counts), bool)
    given = _spared(counts, np.flatnonzero(taken), taken)
    if fraction and given and not _spared(counts, np.flatnonzero(~taken), ~taken):
        left[min(given, key=lambda group: counts[group].sum())] = True
    return left[group_of]
