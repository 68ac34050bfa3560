"""The differential count on the review page: what its script counts from, and the table without it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from asae_jax.inference.predict.count.differential import (
    SECTIONS,
    Count,
    Differential,
    Shares,
    red_cell_note,
)
from asae_jax.inference.predict.count.specimen import SPECIMENS, Specimen
from asae_jax.inference.predict.count.table import SCALES, rows, scale
from asae_jax.input.cell_classes import CellClass, known_classes, plain_name

CODES = "{codes}"
"""Stands in a sentence for the classes of nucleated red cells, of which a person may add one on the page."""


def count_data(differential: Differential) -> dict[str, Any]:
    """What the script counts from, ready for JSON.

    Returns:
      `counts` of all images and then of each group, see `_numbers`; `known`, what the classes are that a
      person may type, see `_known`; `slides`, whether the groups are slides; `sections`, their titles;
      `scales` of bars; `specimen`, the one known or "", and `specimens`, each with its fields and what
      becomes of nucleated red cells: `note_of_red` with `CODES` for their classes, `note_of_none` where there
      is none.
    """
    specimens = {
        name: dataclasses.asdict(one)
        | {"note_of_red": red_cell_note([CODES], one), "note_of_none": red_cell_note([], one)}
        for name, one in SPECIMENS.items()
    }
    return {
        "counts": [_numbers(count) for count in (differential.overall, *differential.groups)],
        "known": _known(differential.classes),
        "slides": differential.slides,
        "sections": dict(SECTIONS),
        "scales": SCALES,
        "specimen": differential.specimen.name,
        "specimens": specimens,
    }


def _numbers(count: Count) -> dict[str, Any]:
    """`group`, `images`, `left`, `unlike`, `unreadable`; `sure` and `cells`: of each class of the run."""
    return {
        "group": count.group,
        "images": count.images,
        "left": count.left_to_person,
        "unlike": count.outliers,
        "unreadable": count.unreadable,
        "sure": [line.cells.count for line in count.sure.classes],
        "cells": [line.cells.count for line in count.everything.classes],
    }


def _known(classes: Sequence[CellClass]) -> dict[str, list[object]]:
    """Plain name -> `[full name, lineage, blast, place, colour]` of the run's classes and the built-in ones.

    Of a class of the run it has what the run's table says, be it nothing. Where that is a table of its own
    the built-in classes that it lacks come after it.
    """
    built_in = known_classes()
    table = {dataclasses.replace(one, code="") for one in built_in.values()}
    given = [dataclasses.replace(one, code="") for one in classes if one.known]
    after = 0 if table.issuperset(given) else 1 + max(one.place for one in given)
    own = {plain_name(one.code): one for one in classes}
    moved = {key: dataclasses.replace(one, place=one.place + after) for key, one in built_in.items()}
    return {
        key: [one.name, one.lineage, one.blast, one.place, one.colour] for key, one in (moved | own).items()
    }


def count_table(differential: Differential, *, uncertainty: bool) -> Mapping[str, Any]:
    """The table of all images, for browsers that run no script.

    Returns:
      `rows`; `scale` of the bars; `notes`, sentences on the specimen; `groups`, see `_side_by_side`.
    """
    overall, specimen = differential.overall, differential.specimen
    table = rows(_columns(overall, uncertainty=uncertainty), differential.classes, specimen)
    return {
        "rows": table,
        "scale": scale(table),
        "notes": differential.specimen_notes(),
        "groups": _side_by_side(differential.groups, differential.classes, specimen),
    }


def _columns(count: Count, *, uncertainty: bool) -> list[Shares]:
    return [count.sure, count.everything] if uncertainty else [count.everything]


def _side_by_side(
    groups: Sequence[Count], classes: Sequence[CellClass], specimen: Specimen
) -> dict[str, list[Any]]:
    """A table with a line for each group, of all cells: the ratios and sums first, then the classes.

    Returns:
      `heads`, rows of the count that are columns here; `lines`, of each group itself and its texts.
    """
    table = rows([one.everything for one in groups], classes, specimen) if groups else []
    heads = [row for kind in ("line", "class") for row in table if row.kind == kind]
    lines = [
        (one, [row.cells[place].text or row.cells[place].number for row in heads])
        for place, one in enumerate(groups)
    ]
    return {"heads": heads, "lines": lines}
