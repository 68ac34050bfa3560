"""The differential count as JSON for programs, and as CSV for a spreadsheet."""

import csv
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from asae_jax.inference.predict.records import Count, Differential, Ratio, Share
from asae_jax.training.figures import NOTICE

_NUMBERS = ("count", "of", "value", "low", "high")
_COLUMNS = ("group", "what", "lineage", *_NUMBERS, *(f"{name}_with_unsure" for name in _NUMBERS))
_ALL = "all images"


def write_differential(differential: Differential, stem: Path) -> None:
    """Writes `<stem>_differential.json` and `<stem>_differential.csv`.

    In the CSV file `value`, `low` and `high` are percent, of the row "M:E" the ratio; what cannot be said
    is empty. Columns `..._with_unsure` are those of all cells, the others of the cells that are not left to
    a person.
    """
    content = dataclasses.asdict(differential) | {"notice": NOTICE}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    stem.with_name(f"{stem.name}_differential.json").write_text(
        text + "\n", encoding="utf-8", errors="surrogateescape"
    )
    path = stem.with_name(f"{stem.name}_differential.csv")
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for count in (differential.overall, *differential.groups):
            writer.writerows(_rows(count))
        writer.writerow([NOTICE])


def _rows(count: Count) -> Iterator[list[object]]:
    group, sure, everything = count.group or _ALL, count.sure, count.everything
    for line, of_all in zip(sure.classes, everything.classes, strict=True):
        yield [group, line.name, line.lineage, *_percent(line.cells), *_percent(of_all.cells)]
    if sure.blasts is not None and everything.blasts is not None:
        yield [group, "blasts", "", *_percent(sure.blasts), *_percent(everything.blasts)]
    if sure.myeloid_erythroid is not None and everything.myeloid_erythroid is not None:
        yield [group, "M:E", "", *_ratio(sure.myeloid_erythroid), *_ratio(everything.myeloid_erythroid)]
    yield [group, "left to a person", "", count.left_to_person, count.images]
    yield [group, "unlike the training images", "", count.out_of_distribution, count.images]
    yield [group, "unreadable", "", count.unreadable, count.images]


def _percent(share: Share) -> list[object]:
    whole = "" if share.share is None else share.total
    return [share.count, whole, *(_text(value, 100) for value in (share.share, share.low, share.high))]


def _ratio(ratio: Ratio) -> list[object]:
    return [ratio.above, ratio.below, *(_text(value, 1) for value in (ratio.value, ratio.low, ratio.high))]


def _text(value: float | None, factor: int) -> str:
    return "" if value is None else f"{value * factor:.2f}"
