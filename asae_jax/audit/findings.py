"""Everything the audit found, as the dictionary that `audit.json` holds and the page shows."""

import dataclasses
from typing import Any

import numpy as np

import asae_jax
from asae_jax.audit import NOTICE
from asae_jax.audit.distributions import balance, count_examples, describe_quantities, groups_across_split
from asae_jax.audit.duplicates import Group
from asae_jax.audit.oddities import find_odd
from asae_jax.audit.scan import Scan
from asae_jax.audit.sentences import faults, warnings
from asae_jax.audit.shortcut import Shortcut, border_shortcut
from asae_jax.input.table import Skipped, Table

SCHEMA = 1
"""Version of the layout of `audit.json`."""


def collect(
    table: Table, splits: np.ndarray, scan: Scan, groups: list[Group], *, batch_size: int
) -> dict[str, Any]:
    """The findings.

    Args:
      table: the examples.
      splits: str `[N]`.
      scan: of all examples.
      groups: of duplicates, the worst first.
      batch_size: of training.

    Returns:
      What JSON can hold. `faults` are sentences on what would make scores untrue, `warnings` on what else
      a person should know before training.
    """
    counts = count_examples(table, scan.facts.readable, splits)
    readable = scan.facts.readable
    shortcut = border_shortcut(scan.facts.border[readable], table.labels[readable], table.class_names)
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
        "files": _files(table, scan),
        "duplicates": _duplicates(table, splits, groups),
        "distributions": describe_quantities(table, scan.facts),
        "border_shortcut": _shortcut(shortcut),
        "balance": balance({name: c["train"] for name, c in counts["per_class"].items()}, batch_size),
    }
    return found | {"faults": faults(found), "warnings": warnings(found)}


def _files(table: Table, scan: Scan) -> dict[str, list]:
    odd = find_odd(scan.facts)
    listed = {kind: [_odd(table, scan, int(row)) for row in rows] for kind, rows in odd.items()}
    return {"skipped": _reasons(table.skipped), "unreadable": _reasons(scan.unreadable)} | listed


def _odd(table: Table, scan: Scan, row: int) -> dict[str, Any]:
    height, width = scan.facts.size[row].tolist()
    return {"row": row, "name": str(table.names[row]), "width": width, "height": height}


def _reasons(listed: Skipped) -> list[dict[str, str]]:
    return [{"name": str(name), "reason": reason} for name, reason in listed]


def _duplicates(table: Table, splits: np.ndarray, groups: list[Group]) -> dict[str, Any]:
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
