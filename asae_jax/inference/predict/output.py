"""What `predict` writes besides its page: predictions, the differential count, a summary for the terminal.

Predictions are CSV or JSON lines, written as they come. Columns, the first three and `p_<class>` being what
other programs rely on: `path,label,probability`, one `p_<class>` per class in the run's order, `error`;
then `group` where the input has groups (`slide` or `smear` in its place where these are slides or fields, see
`inputs.group_column_of`), `slide,x,y,width,height` where it has positions, and
`abstain`, `outlier_score`, `outlier` and `conformal_set` (classes separated by `|`) where the run has
uncertainty estimates; last `for_person`: whether the cell is left to a person, be it uncertain, unlike the
training cells or unreadable. Without estimates that is known of unreadable images only, and else empty.
"""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from asae_jax.csv_cells import CsvWriter
from asae_jax.evaluation.shares import fixed
from asae_jax.files import atomic_text, disk_errors
from asae_jax.inference.label_studio import CONFIGURATION, TASKS
from asae_jax.inference.output_files import FileKinds
from asae_jax.inference.positions import COLUMNS as POSITION_COLUMNS
from asae_jax.inference.predict.count.differential import Count, Differential, sections
from asae_jax.inference.predict.count.intervals import Ratio, Share
from asae_jax.inference.predict.count.table import rows, text_table
from asae_jax.inference.records import Record
from asae_jax.input.cell_classes import CellClass
from asae_jax.json_files import write_json
from asae_jax.pages import NOTICE

JSON_LINES = ".jsonl"
DIFFERENTIAL = "_differential.json"
"""How the name of the differential count's JSON file ends."""

PREDICTIONS = FileKinds(
    "predictions",
    (".csv", DIFFERENTIAL, "_differential.csv", ".html", ".geojson", TASKS, CONFIGURATION),
    DIFFERENTIAL,
    (".csv", JSON_LINES),
    "cells.csv",
)
"""What `predict` writes."""

_NUMBERS = ("count", "of", "value", "low", "high")
_DIFFERENTIAL_COLUMNS = (
    *("group", "what", "lineage"),
    *_NUMBERS,
    *(f"{name}_with_unsure" for name in _NUMBERS),
    "full_name",
)
_ALL = "all images"


@contextlib.contextmanager
def open_output(
    path: Path,
    class_names: tuple[str, ...],
    *,
    group: str,
    uncertainty: bool,
    positions: bool = False,
) -> Iterator[Callable[[Record], None]]:
    """A function that writes one record after another to `path`.

    The file takes the name `path` only when it is complete.

    Args:
      path: CSV, or JSON lines where it ends with .jsonl; its folder is made if missing.
      class_names: of the run.
      group: the column of the group, see `inputs.group_column_of`; empty to leave it out.
      uncertainty: whether to write uncertainty estimates.
      positions: whether to write where each cell lies on its slide.

    Raises:
      UserError: the file cannot be written.
    """
    with disk_errors(f"write {path}", remedy="choose another --output=FILE"), atomic_text(path) as file:
        columns = _columns(class_names, group=group, uncertainty=uncertainty, positions=positions)
        start = _json_lines if path.suffix.lower() == JSON_LINES else _csv
        write = start(file, columns)
        yield lambda record: write(_row(record, class_names, group))


def _columns(class_names: tuple[str, ...], *, group: str, uncertainty: bool, positions: bool) -> list[str]:
    return [
        *("path", "label", "probability"),
        *(f"p_{name}" for name in class_names),
        "error",
        *([group] if group and not (positions and group in POSITION_COLUMNS) else []),
        *(POSITION_COLUMNS if positions else []),
        *(["abstain", "outlier_score", "outlier", "conformal_set"] if uncertainty else []),
        "for_person",
    ]


def _row(record: Record, class_names: tuple[str, ...], group: str) -> dict[str, Any]:
    """Column -> value, None where there is none."""
    row: dict[str, Any] = {"path": record.path, "error": record.error or None}
    row |= {group: record.group or None} if group else {}
    row |= {} if record.position is None else record.position.columns()
    if record.label is None or record.probabilities is None:
        return row | {"for_person": True}
    row |= {"label": class_names[record.label], "probability": _rounded(record.probabilities.max())}
    row |= {f"p_{name}": _rounded(p) for name, p in zip(class_names, record.probabilities, strict=True)}
    if (estimate := record.uncertainty) is not None:
        row |= {
            "abstain": estimate.abstain,
            "outlier": estimate.is_outlier,
            "for_person": record.left_to_person,
        }
        row["outlier_score"] = None if estimate.outlier_score is None else _rounded(estimate.outlier_score)
        if estimate.conformal_set is not None:
            row["conformal_set"] = [class_names[number] for number in estimate.conformal_set]
    return row


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _csv(file: IO[str], columns: list[str]) -> Callable[[dict[str, Any]], None]:
    writer = CsvWriter(file)
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


def write_differential(differential: Differential, stem: Path, record: Mapping[str, Any]) -> None:
    """Writes `<stem>_differential.json` and `<stem>_differential.csv`.

    In the CSV file classes come in the order to show, `value`, `low` and `high` are percent, in the row "M:E"
    a ratio and in "nucleated red cells per 100 white cells" what it says; they are empty where there is no
    such number. The total is called "all images", and where a group has that name "all images (total)".
    Columns `..._with_unsure` count all cells, the others those that are not left to a person.
    The JSON file has the classes in the run's order.

    Args:
      differential: the counts.
      stem: folder and beginning of the names.
      record: what else the JSON file says.
    """
    path = stem.with_name(f"{stem.name}{DIFFERENTIAL}")
    content = dataclasses.asdict(differential) | {"specimen": differential.specimen.name}
    del content["classes"]  # every count has them
    write_json(path, content | {"notice": NOTICE, **record}, indent=1)
    with atomic_text(path.with_suffix(".csv")) as file:
        writer = CsvWriter(file)
        writer.writerow(_DIFFERENTIAL_COLUMNS)
        whole = _ALL
        while whole in {count.group for count in differential.groups}:
            whole += " (total)"
        for count in (differential.overall, *differential.groups):
            writer.writerows(_differential_rows(count, count.group or whole, differential.classes))
        writer.writerow([NOTICE])


def _differential_rows(count: Count, group: str, classes: Sequence[CellClass]) -> Iterator[list[object]]:
    sure, everything = count.sure, count.everything
    for section, numbers in sections(classes).items():
        for number in numbers:
            one, of_all = sure.classes[number], everything.classes[number]
            yield _row_of_shares([group, one.name, one.lineage], one.cells, of_all.cells, one.full_name)
        if section in ("myeloid", "erythroid", "lymphoid"):
            yield _row_of_shares(
                [group, f"all {section}", section], sure.sections[section], everything.sections[section]
            )
    if sure.blasts is not None and everything.blasts is not None:
        yield _row_of_shares([group, "blasts", ""], sure.blasts, everything.blasts)
    for name, one_ratio, of_all_ratio in (
        ("M:E", sure.myeloid_erythroid, everything.myeloid_erythroid),
        ("nucleated red cells per 100 white cells", sure.red_per_100, everything.red_per_100),
    ):
        if one_ratio is not None and of_all_ratio is not None:
            yield [group, name, "", *_ratio_numbers(one_ratio), *_ratio_numbers(of_all_ratio), ""]
    for what in ("nucleated", "white"):
        yield [group, f"{what} cells", "", getattr(sure, what), *[""] * 4, getattr(everything, what)]
    yield [group, "left to a person", "", count.left_to_person, count.images]
    yield [group, "unlike the training cells", "", count.outliers, count.images]
    yield [group, "unreadable", "", count.unreadable, count.images]


def _row_of_shares(start: list[object], sure: Share, everything: Share, full_name: str = "") -> list[object]:
    return [*start, *_percent_numbers(sure), *_percent_numbers(everything), full_name]


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
    return "" if value is None else fixed(value * factor, 2)


def summary(differential: Differential) -> str:
    """Counts of all images with their 95 % intervals, and the notes; groups are in the files only."""
    notes = (f"note: {note}" for note in differential.notes)
    return "\n".join([*_count_lines(differential), *notes])


def _count_lines(differential: Differential) -> Iterator[str]:
    count, specimen = differential.overall, differential.specimen
    yield (
        f"{count.images:,} images: {count.left_to_person:,} left to a person "
        f"({count.outliers:,} of them unlike the training cells), "
        + (f"and {count.unreadable:,} unreadable besides" if count.unreadable else "none unreadable")
    )
    yield (
        f"{specimen.name or 'blood or marrow not known'}: cells and percent of the {specimen.whole} "
        "[95 % interval]"
    )
    columns = [count.everything]
    heads = [f"all {count.everything.counted:,}, by their most probable class"]
    if count.left_to_person:
        columns.insert(0, count.sure)
        heads.insert(0, f"the {count.sure.counted:,} the run is sure of")
    yield from text_table(heads, rows(columns, differential.classes, specimen))
