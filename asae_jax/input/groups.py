"""Groups of images, patients or slides, and the images that belong to none among others that do.

Nobody knows which of these images belong together. In a data-set index each is a group of its own, so that a
split need not keep them together; as patients or slides they do not count.
"""

import numpy as np

from asae_jax.input.unicode_form import composed

NO_GROUP = "no group"
"""What the review page of `predict` writes beside images that have a group, where one has none."""

_ALONE = f"{NO_GROUP}: "


def one_by_one(groups: np.ndarray, names: np.ndarray) -> np.ndarray | None:
    """Groups of an index: images of `NO_GROUP` are groups of their own; None where all are.

    A patient whose name comes in two Unicode forms is one.

    Args:
      groups: str `[N]`, as a list of images has them; "" is none too.
      names: str `[N]`, unique.
    """
    alone = (groups == NO_GROUP) | (groups == "")
    return None if alone.all() else np.where(alone, np.char.add(_ALONE, names), in_one_form(groups))


def in_one_form(groups: np.ndarray) -> np.ndarray:
    """`groups`, any values `[N]`, with names that differ in their Unicode form alone as one, composed.

    Where there are none such the names stay, and so does the split that is drawn in their order.
    """
    if groups.dtype.kind != "U":
        return groups
    names, group_of = np.unique(groups, return_inverse=True)
    forms = np.array([composed(name) for name in names.tolist()])
    return groups if len(np.unique(forms)) == len(names) else forms[group_of]


def as_listed(groups: np.ndarray) -> np.ndarray:
    """The opposite: groups `[N]` as the list of images has them."""
    alone = _alone(groups)
    return np.where(alone, NO_GROUP, groups) if alone.any() else groups


def known_groups(groups: np.ndarray) -> np.ndarray:
    """The different patients or slides among `groups`, any values `[N]`, sorted: `[n]`."""
    return np.unique(groups[~_alone(groups)])


def counted_groups(groups: np.ndarray) -> str:
    """ "4 groups and 20 images of none", of the groups `[N]` of an index."""
    count, alone = len(known_groups(groups)), int(_alone(groups).sum())
    without = f" and {alone:,} image{'s' * (alone > 1)} of none" if alone else ""
    return f"{count:,} group{'s' * (count != 1)}{without}"


def _alone(groups: np.ndarray) -> np.ndarray:
    return np.char.startswith(groups.astype(np.str_), _ALONE)
