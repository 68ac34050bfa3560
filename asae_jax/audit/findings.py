"""Everything the audit found, as the dictionary that `audit.json` holds and the page shows.

Counts, sizes and colours by class, by part of the split and by group; lists of files and duplicates; and
sentences on what invalidates scores and on what to know before training.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import asae_jax
from asae_jax.audit.duplicates import Group
from asae_jax.audit.scan import Facts, Scan, find_odd
from asae_jax.audit.second_test import Compared
from asae_jax.audit.shortcut import Shortcut, border_shortcut
from asae_jax.input.description import count_reasons, said_reasons
from asae_jax.input.groups import known_groups
from asae_jax.input.index import DataIndex, Skipped
from asae_jax.input.manifest import ASIDE
from asae_jax.input.sampler import rows_by_label
from asae_jax.input.split import SPLITS
from asae_jax.pages import NOTICE

SCHEMA = 1
"""Version of the layout of `audit.json`."""
QUANTILES = (5, 25, 50, 75, 95)
"""Percentiles by which a distribution is described."""
FAULTS = ("unreadable", "tiny", "huge", "greyscale", "blank")
"""What may be wrong with a file. Those left out before training (`skipped`) may be good images."""
REPEATED = 10
"""Times per epoch from which on a repeated image is worth a warning."""


def collect(
    table: DataIndex, compared: Compared, scan: Scan, groups: list[Group], *, sampler: str, batch_size: int
) -> dict[str, Any]:
    """The findings.

    Args:
      table: the examples.
      compared: the same and, behind them, images that are set aside for a second test.
      scan: of the images of `compared`.
      groups: of duplicates, the worst first, rows of `compared`.
      sampler: what draws training images, as `data.sampler`.
      batch_size: images per training step, 1 or more.

    Returns:
      A dictionary that JSON can hold. `second_test` is how many of the images set aside can be read, and so
      are compared; `second_test_unreadable` are the others. `verdict` is one word, see `verdict`; `faults`
      are sentences on what invalidates scores, `warnings` on what else to know before training.
    """
    facts = scan.facts.first(len(table))
    unreadable, of_second = _unreadable(table, scan)
    readable = facts.readable
    counts = count_examples(table, readable, compared.splits[: len(table)])
    of_all = count_examples(compared.table, scan.facts.readable, compared.splits)
    counts["per_group"] = of_all["per_group"]
    shortcut = border_shortcut(facts.border[readable], table.labels[readable], table.class_names)
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "notice": NOTICE,
        "version": asae_jax.__version__,
        "source": table.source,
        "fingerprint": table.fingerprint(modified=False),
        "num_examples": len(table),
        "num_readable": int(readable.sum()),
        "class_names": list(table.class_names),
        "counts": counts,
        "groups_across_split": groups_across_split(counts["per_group"]),
        "files": _files(table, Scan(facts, unreadable)),
        "left_out": count_reasons(table.skipped),
        "duplicates": _duplicates(compared, groups),
        "second_test": int(scan.facts.readable[len(table) :].sum()),
        "second_test_unreadable": _reasons(of_second),
        "distributions": describe_quantities(table, facts),
        "border_shortcut": _shortcut(shortcut),
        "balance": balance(
            {name: c["train"] for name, c in counts["per_class"].items()}, sampler, batch_size
        ),
    }
    return found | {"verdict": verdict(found), "faults": faults(found), "warnings": warnings(found)}


def _unreadable(table: DataIndex, scan: Scan) -> tuple[Skipped, Skipped]:
    """The unreadable images of `table`, and those of the second test behind it."""
    own = frozenset(table.names.tolist())  # a list names no file twice, so that none is of both
    named = [(name in own, (name, reason)) for name, reason in scan.unreadable]
    return tuple(one for its, one in named if its), tuple(one for its, one in named if not its)


def _files(table: DataIndex, scan: Scan) -> dict[str, list]:
    odd = find_odd(scan.facts)
    listed = {kind: [_odd(table, scan, int(row)) for row in rows] for kind, rows in odd.items()}
    return {"skipped": _reasons(table.skipped), "unreadable": _reasons(scan.unreadable)} | listed


def _odd(table: DataIndex, scan: Scan, row: int) -> dict[str, Any]:
    height, width = scan.facts.size[row].tolist()
    return {"row": row, "name": str(table.names[row]), "width": width, "height": height}


def _reasons(listed: Skipped) -> list[dict[str, str]]:
    return [{"name": str(name), "reason": reason} for name, reason in listed]


def _duplicates(compared: Compared, groups: list[Group]) -> dict[str, Any]:
    table, splits = compared.table, compared.splits
    listed = [
        {
            "kind": "exact" if group.exact else "near",
            "similarity": round(group.similarity, 4),
            "across_split": group.across_split,
            "labels_differ": group.labels_differ,
            "images": [
                {
                    "row": int(row),
                    "name": str(table.names[row]),
                    "label": table.class_names[table.labels[row]],
                    "split": str(splits[row]),
                }
                for row in group.rows
            ],
        }
        for group in groups
    ]
    return {
        "groups": listed,
        "num_exact": sum(group.exact for group in groups),
        "num_near": sum(not group.exact for group in groups),
        "num_surplus": sum(len(group.rows) - 1 for group in groups),
        "num_across_split": sum(group.across_split for group in groups),
        "num_labels_differ": sum(group.labels_differ for group in groups),
    }


def _shortcut(shortcut: Shortcut | None) -> dict[str, Any] | None:
    return dataclasses.asdict(shortcut) | {"warns": shortcut.warns} if shortcut else None


def count_examples(table: DataIndex, readable: np.ndarray, splits: np.ndarray) -> dict[str, Any]:
    """Numbers of readable images: per part of the split, and of each class and group per part.

    `ASIDE` is counted where there are images of it.
    """
    per_class = {name: _per_split(splits[rows]) for name, rows in _by_class(table, readable).items()}
    groups = None
    if table.groups is not None:
        groups = {str(group): _per_split(splits[rows]) for group, rows in _by_group(table.groups, readable)}
    return {"per_split": _per_split(splits[readable]), "per_class": per_class, "per_group": groups}


def describe_quantities(table: DataIndex, facts: Facts) -> dict[str, Any]:
    """Percentiles of shorter side, hue, saturation and brightness: of all, per class and per group."""
    quantities = _quantities(facts)
    per_group = None
    if table.groups is not None:
        per_group = {str(g): _describe(quantities, r) for g, r in _by_group(table.groups, facts.readable)}
    return {
        "percentiles": list(QUANTILES),
        "all": _describe(quantities, np.flatnonzero(facts.readable)),
        "per_class": {
            name: _describe(quantities, rows) for name, rows in _by_class(table, facts.readable).items()
        },
        "per_group": per_group,
    }


def balance(training_counts: dict[str, int], sampler: str, batch_size: int) -> dict[str, Any]:
    """How unbalanced the training part is, and how often an epoch shows each image of a class.

    An epoch is ceil(images / batch size) batches, which hold equally many images of each class, on average
    where the sampler is "weighted". A "shuffled" one shows every image equally often, and says nothing here.

    Args:
      training_counts: class name -> training images.
      sampler: "balanced", "weighted" or "shuffled".
      batch_size: images per training step, 1 or more.
    """
    present = {name: count for name, count in training_counts.items() if count}
    draws = 0.0
    if present and sampler != "shuffled":
        draws = math.ceil(sum(present.values()) / batch_size) * batch_size / len(present)
    return {
        "largest_to_smallest": max(present.values()) / min(present.values()) if present else None,
        "sampler": sampler,
        "batch_size": batch_size,
        "draws_per_class_and_epoch": draws,
        "times_seen_per_epoch": {name: draws / count for name, count in present.items() if draws},
    }


def groups_across_split(counts: dict[str, dict[str, int]] | None) -> list[str]:
    """Names of the groups with images in more than one part of the split."""
    counted = {n: [parts.get(s, 0) for s in (*SPLITS, ASIDE)] for n, parts in (counts or {}).items()}
    return [name for name, numbers in counted.items() if sum(number > 0 for number in numbers) > 1]


def _per_split(splits: np.ndarray) -> dict[str, int]:
    parts = (*SPLITS, ASIDE) if (splits == ASIDE).any() else SPLITS
    return {split: int((splits == split).sum()) for split in parts} | {"total": len(splits)}


def _by_class(table: DataIndex, readable: np.ndarray) -> dict[str, np.ndarray]:
    """Of every class the rows of its readable images, also where there are none."""
    rows = np.flatnonzero(readable)
    present = {label: rows[places] for label, places in rows_by_label(table.labels[rows])}
    return {name: present.get(label, rows[:0]) for label, name in enumerate(table.class_names)}


def _by_group(groups: np.ndarray, readable: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """(patient or slide, rows of its readable images), the largest first."""
    rows = np.flatnonzero(readable & np.isin(groups, known_groups(groups)))
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
        known = values[rows]
        known = known[~np.isnan(known)]
        described[name] = np.percentile(known, QUANTILES).round(2).tolist() if len(known) else None
    return described


def faults(found: Mapping[str, Any]) -> list[str]:
    """One sentence, with its remedy, for everything in `found` that invalidates scores."""
    across, differ = found["duplicates"]["num_across_split"], found["duplicates"]["num_labels_differ"]
    listed = {
        f"{_images(across)} in more than one part of the split: the score of such an image is that of one "
        "seen in training. Remove all but one, or put all into one part.": across,
        f"{_images(differ)} under more than one label: one of the labels is wrong. Correct it, or remove the "
        "image.": differ,
    }
    return [text for text, count in listed.items() if count]


def verdict(found: Mapping[str, Any]) -> str:
    """ "invalid" with a fault; "doubtful" where groups or border may make scores too good; else "sound"."""
    if faults(found):
        return "invalid"
    doubts = (_about_groups(found), _about_border(found["border_shortcut"]))
    return "doubtful" if any(doubts) else "sound"


def warnings(found: Mapping[str, Any]) -> list[str]:
    """One sentence for everything else in `found` to know before training."""
    left_out = found["left_out"]
    files = ", ".join(f"{len(found['files'][kind]):,} {kind}" for kind in FAULTS if found["files"][kind])
    untrained = [name for name, counts in found["counts"]["per_class"].items() if not counts["train"]]
    surplus = found["duplicates"]["num_surplus"]
    repeated = [name for name, t in found["balance"]["times_seen_per_epoch"].items() if t >= REPEATED]
    candidates = (
        f"Files: {files}." if files else "",
        f"Left out before training: {said_reasons(left_out)}." if left_out else "",
        f"No training image of class {', '.join(untrained)}." if untrained else "",
        f"{surplus:,} surplus copies of images that are there already." if surplus else "",
        _about_groups(found),
        _about_border(found["border_shortcut"]),
        f"Batches with equally many images of each class show each image of {', '.join(repeated)} {REPEATED} "
        "times an epoch or more."
        if repeated
        else "",
    )
    return [text for text in candidates if text]


def _about_groups(found: Mapping[str, Any]) -> str:
    if found["counts"]["per_group"] is None:
        return (
            "No groups (slides, patients) are known: it cannot be told whether one is in more than one part "
            "of the split."
        )
    shared = len(found["groups_across_split"])
    if not shared:
        return ""
    return (
        f"{shared:,} groups (slides, patients) have images in more than one part of the split: scores are "
        "better than they would be on a new one."
    )


def _about_border(shortcut: Mapping[str, Any] | None) -> str:
    if not (shortcut and shortcut["warns"]):
        return ""
    return (
        f"The colour of the border alone names the class with a balanced accuracy of "
        f"{shortcut['balanced_accuracy']:.2f}, where chance gives {shortcut['chance']:.2f}: a network can "
        "learn how a class was photographed instead of its cells."
    )


def _images(count: int) -> str:
    return f"{count:,} image is" if count == 1 else f"{count:,} images are"
