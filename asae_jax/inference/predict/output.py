"""What `predict` writes besides its page: predictions, the differential count, a summary for the terminal.

Predictions are CSV or JSON lines, written as they come. Columns, the first three and `p_<class>` being what
other programs rely on: `path,label,probability`, one `p_<class>` per class in the run's order, `error`;
then `group` where the input has groups, `slide,x,y,width,height` where it has positions, and `abstain`,
`ood_score`, `ood` and `conformal_set` (classes separated by `|`) where the run has uncertainty estimates;
last `for_person`: whether the cell is left to a person, be it uncertain, unlike the training images or
unreadable. Without estimates that is known of unreadable images only, and else empty.
"""

import contextlib
import csv
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from asae_jax.files import atomic_text, disk_errors, write_json
from asae_jax.inference.positions import COLUMNS as POSITION_COLUMNS
from asae_jax.inference.predict.differential import Count, Differential, Ratio, Share, Shares
from asae_jax.inference.predict.records import Record
from asae_jax.pages import NOTICE

JSON_LINES = ".jsonl"
DIFFERENTIAL = "_differential.json"
"""How the name of the differential count's JSON file ends."""

_NUMBERS = ("count", "of", "value", "low", "high")
_DIFFERENTIAL_COLUMNS = ("group", "what", "lineage", *_NUMBERS, *(f"{name}_with_unsure" for name in _NUMBERS))
_ALL = "all images"


@contextlib.contextmanager
def open_output(
    path: Path, class_names: tuple[str, ...], *, groups: bool, uncertainty: bool, positions: bool = False
) -> Iterator[Callable[[Record], None]]:
    """A function that writes one record after another to `path`.

    The file takes the name `path` only when it is complete.

    Args:
      path: CSV, or JSON lines where it ends with .jsonl; its folder is made if missing.
      class_names: of the run.
      groups: whether to write the group.
      uncertainty: whether to write uncertainty estimates.
      positions: whether to write where each cell lies on its slide.

    Raises:
      UserError: the file cannot be written.
    """
    with disk_errors(f"write {path}", remedy="choose another --output=FILE"), atomic_text(path) as file:
        columns = _columns(class_names, groups=groups, uncertainty=uncertainty, positions=positions)
        start = _json_lines if path.suffix.lower() == JSON_LINES else _csv
        write = start(file, columns)
        yield lambda record: write(_row(record, class_names))


def _columns(class_names: tuple[str, ...], *, groups: bool, uncertainty: bool, positions: bool) -> list[str]:
    return [
        *("path", "label", "probability"),
        *(f"p_{name}" for name in class_names),
        "error",
        *(["group"] if groups else []),
        *(POSITION_COLUMNS if positions else []),
        *(["abstain", "ood_score", "ood", "conformal_set"] if uncertainty else []),
        "for_person",
    ]


def _row(record: Record, class_names: tuple[str, ...]) -> dict[str, Any]:
    """Column -> value, None where there is none."""
    row: dict[str, Any] = {"path": record.path, "error": record.error or None, "group": record.group}
    row |= {} if record.position is None else record.position.columns()
    if record.label is None or record.probabilities is None:
        return row | {"for_person": True}
    row |= {"label": class_names[record.label], "probability": _rounded(record.probabilities.max())}
    row |= {f"p_{name}": _rounded(p) for name, p in zip(class_names, record.probabilities, strict=True)}
    if (estimate := record.uncertainty) is not None:
        row |= {"abstain": estimate.abstain, "ood": estimate.ood, "for_person": record.left_to_person}
        row["ood_score"] = None if estimate.ood_score is None else _rounded(estimate.ood_score)
        if estimate.conformal_set is not None:
            row["conformal_set"] = [class_names[number] for number in estimate.conformal_set]
    return row


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _csv(file: IO[str], columns: list[str]) -> Callable[[dict[str, Any]], None]:
    writer = csv.writer(file)
    writer.writerow(columns)
    return lambda row: writer.writerow([_csv_value(row.get(column)) for column in columns])


def _csv_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6f}"
    return "|".join(value) if isinstance(value, list) else str(value)


def _json_lines(file: IO[str], columns: list[str]) -> Callable[[dict[str, Any]], None]:
    def write(row: dict[str, Any]) -> None:
        line = json.dumps({column: row.get(column) for column in columns}, ensure_ascii=False)
        file.write(line + "\n")

    return write


def differential_json(stem: Path) -> Path:
    """The JSON file of the differential count beside other files that begin with `stem`."""
    return stem.with_name(f"{stem.name}{DIFFERENTIAL}")


def write_differential(differential: Differential, stem: Path, record: Mapping[str, Any]) -> None:
    """Writes `<stem>_differential.json` and `<stem>_differential.csv`.

    In the CSV file `value`, `low` and `high` are percent, in the row "M:E" a ratio; they are empty where
    there is no such number. Columns `..._with_unsure` count all cells, the others those that are not left to
    a person.

    Args:
      differential: the counts.
      stem: folder and beginning of the names.
      record: what else the JSON file says.
    """
    content = dataclasses.asdict(differential) | {"notice": NOTICE, **record}
    write_json(differential_json(stem), content, indent=1)
    with atomic_text(differential_json(stem).with_suffix(".csv")) as file:
        writer = csv.writer(file)
        writer.writerow(_DIFFERENTIAL_COLUMNS)
        for count in (differential.overall, *differential.groups):
            writer.writerows(_differential_rows(count))
        writer.writerow([NOTICE])


def _differential_rows(count: Count) -> Iterator[list[object]]:
    group, sure, everything = count.group or _ALL, count.sure, count.everything
    for line, of_all in zip(sure.classes, everything.classes, strict=True):
        yield [group, line.name, line.lineage, *_percent_numbers(line.cells), *_percent_numbers(of_all.cells)]
    if sure.blasts is not None and everything.blasts is not None:
        yield [group, "blasts", "", *_percent_numbers(sure.blasts), *_percent_numbers(everything.blasts)]
    if sure.myeloid_erythroid is not None and everything.myeloid_erythroid is not None:
        yield [
            group,
            "M:E",
            "",
            *_ratio_numbers(sure.myeloid_erythroid),
            *_ratio_numbers(everything.myeloid_erythroid),
        ]
    yield [group, "left to a person", "", count.left_to_person, count.images]
    yield [group, "unlike the training images", "", count.out_of_distribution, count.images]
    yield [group, "unreadable", "", count.unreadable, count.images]


def _percent_numbers(share: Share) -> list[object]:
    whole = "" if share.share is None else share.total
    return [share.count, whole, *(_decimals(value, 100) for value in (share.share, share.low, share.high))]


def _ratio_numbers(ratio: Ratio) -> list[object]:
    return [
        ratio.above,
        ratio.below,
        *(_decimals(value, 1) for value in (ratio.value, ratio.low, ratio.high)),
    ]


def _decimals(value: float | None, factor: int) -> str:
    return "" if value is None else f"{value * factor:.2f}"


def summary(differential: Differential) -> str:
    """Counts of all images with their 95 % intervals, and the notes; groups are in the files only."""
    notes = (f"note: {note}" for note in differential.notes)
    return "\n".join([*_count_lines(differential.overall), *notes])


def _count_lines(count: Count) -> Iterator[str]:
    yield (
        f"{count.images:,} images: {count.left_to_person:,} left to a person "
        f"({count.out_of_distribution:,} of them unlike the training images), {count.unreadable:,} unreadable"
    )
    if count.left_to_person:
        yield f"of the {count.sure.counted:,} cells the run is sure of:"
        yield from _share_lines(count.sure)
    yield f"of all {count.everything.counted:,} cells by their most probable class:"
    yield from _share_lines(count.everything)


def _share_lines(shares: Shares) -> Iterator[str]:
    width = max(len(line.name) for line in shares.classes)
    for line in shares.classes:
        yield f"  {line.name:{width}} {line.cells.count:7,}  {percent(line.cells)}".rstrip()
    if shares.blasts is not None:
        yield f"  blasts: {percent(shares.blasts) or 'no cell counted'}"
    if shares.myeloid_erythroid is not None:
        yield f"  M:E ratio: {ratio_text(shares.myeloid_erythroid)}"


def percent(share: Share) -> str:
    """ "12.3 % [10.0, 14.9]"; empty where there is no share."""
    if share.share is None or share.low is None or share.high is None:
        return ""
    return f"{share.share:.1%} [{100 * share.low:.1f}, {100 * share.high:.1f}]".replace("%", " %")


def ratio_text(ratio: Ratio) -> str:
    """ "3.10 [2.20, 4.40] (93:30)", with words for what is infinite or unknown."""
    if ratio.low is None:
        return "no cell of either lineage"
    value = "no erythroid cell" if ratio.value is None else f"{ratio.value:.2f}"
    high = "no upper bound" if ratio.high is None else f"{ratio.high:.2f}"
    return f"{value} [{ratio.low:.2f}, {high}] ({ratio.above:,}:{ratio.below:,})"
