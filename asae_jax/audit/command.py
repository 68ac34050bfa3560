"""`audit`: looks at all images of a data set before anything is trained on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from asae_jax.audit.duplicates import find_duplicates
from asae_jax.audit.findings import collect
from asae_jax.audit.other import compare, other_files, sentences
from asae_jax.audit.page import write_page
from asae_jax.audit.samples import choose_samples
from asae_jax.audit.scan import Facts, Scan, scan
from asae_jax.audit.second_test import with_second_test
from asae_jax.config import CONFIG_FILE, check
from asae_jax.errors import UserError
from asae_jax.files import disk_errors, user_path
from asae_jax.input.cell_classes import CellClass, cell_classes, display_order
from asae_jax.input.class_map import check_trainable_classes
from asae_jax.input.description import describe
from asae_jax.input.index import DataIndex
from asae_jax.input.run_split import chosen_split
from asae_jax.input.sources import configured_index, configured_preparation
from asae_jax.input.workers import default_workers
from asae_jax.json_files import write_json
from asae_jax.pages import NOTICE
from asae_jax.run import batch_size, devices
from asae_jax.run.data import batch_unit
from asae_jax.run.folder import CLASSES_FILE, check_apart, refuse_links, with_chosen
from asae_jax.types import HostImage

FOLDER = "audit"
PAGE = "index.html"
RECORD = "audit.json"
EXIT_INVALID_SCORES = 1
"""Exit status when the data invalidate scores."""


def audit(config: ConfigDict, workdir: Path) -> int:
    """Audits the data of `config.data` and writes `audit/` into `workdir`.

    Nothing else in `workdir` is changed; where it holds a run, the split is the run's.

    Args:
      config: of a training run.
      workdir: the run folder, made if missing.

    Returns:
      The exit status: 0, or `EXIT_INVALID_SCORES` for images across the split or under different labels.

    Raises:
      UserError: a setting that cannot work, data that cannot be found, no readable image, or a `workdir` that
        cannot be written to.
    """
    from asae_jax.audit.figures import draw_figures, draw_two_sets  # loads matplotlib

    check(config)
    check_apart(workdir, config)
    refuse_links(folder := workdir / FOLDER)
    files = other_files(config.audit.other) if config.audit.other else []
    preparation = configured_preparation(config.data)
    table = configured_index(config.data)
    check_trainable_classes(table)
    classes = _classes(config, workdir, table)
    splits = chosen_split(config.data, workdir, table)
    print(describe(table, splits))
    workers = config.data.workers or None
    compared = with_second_test(config.data, table, splits)
    of_all = scan(compared.table, workers=workers)
    facts = _facts_of(table, of_all)
    groups = find_duplicates(compared.table, of_all.facts, compared.splits, workers=workers)
    size = _batch_size(config, workdir, table)
    found = collect(table, compared, of_all, groups, sampler=config.data.sampler, batch_size=size)
    sets: list[list[HostImage]] = []
    if files:
        found["other_set"], sets = compare(table, facts, files)
    with disk_errors(f"write the audit to {folder}", remedy="choose another --workdir=DIR"):
        folder.mkdir(parents=True, exist_ok=True)
        samples = choose_samples(table, facts.readable, preparation, display_order(classes))
        totals = {name: found["counts"]["per_class"][name]["total"] for name in samples.class_names}
        found["figures"] = draw_figures(samples, totals, folder)
        if sets:
            found["figures"] |= draw_two_sets(sets, ("this", "other"), folder)
        write_json(folder / RECORD, found, indent=1)
        write_page(folder / PAGE, found, compared.table, samples, classes, sets)
    print(summary(found))
    print(f"written to {folder / PAGE} and {RECORD}. {NOTICE}")
    return EXIT_INVALID_SCORES if found["faults"] else 0


def _facts_of(table: DataIndex, scanned: Scan) -> Facts:
    """What was measured of `table` in a scan that may hold a second test behind it.

    Raises:
      UserError: none of its images can be read.
    """
    facts = scanned.facts.first(len(table))
    if not facts.readable.any():
        first = f", the first because: {scanned.unreadable[0][1]}" if scanned.unreadable else ""
        raise UserError(f"none of the {len(table)} images of the data source can be read{first}")
    return facts


def _batch_size(config: ConfigDict, workdir: Path, table: DataIndex) -> int:
    """As given, as the run in `workdir` has it, or as training would choose it on this machine."""
    if (workdir / CONFIG_FILE).exists():
        config = with_chosen(workdir, config)
    if config.train.batch_size:
        return config.train.batch_size
    try:
        _, count = devices.probe()
    except UserError:  # images are audited where nothing can be trained, too
        count = 1
    return batch_size.choose(batch_unit(config, table), default_workers(), count)


def _classes(config: ConfigDict, workdir: Path, table: DataIndex) -> tuple[CellClass, ...]:
    """What the classes are, by `data.classes`, by the run in `workdir`, or by the built-in table."""
    of_run = workdir / CLASSES_FILE
    given = user_path(config.data.classes) if config.data.classes else of_run if of_run.exists() else None
    return cell_classes(table.class_names, given)


_NAMED = 3  # unreadable images of the second test


def _about_second_test(found: Mapping[str, Any]) -> list[str]:
    """One line where a list sets images aside for a second test; none elsewhere."""
    count, unreadable = found["second_test"], found["second_test_unreadable"]
    if not (count or unreadable):
        return []
    line = f"second test: {count:,} image{'s' * (count != 1)} compared"
    if unreadable:
        named = ", ".join(f"{image['name']}: {image['reason']}" for image in unreadable[:_NAMED])
        more = f", and others, in {RECORD}" if len(unreadable) > _NAMED else ""
        line += f", {len(unreadable):,} cannot be read ({named}{more})"
    return [line]


def summary(found: Mapping[str, Any]) -> str:
    """The findings in a few lines."""
    counts, duplicates = found["counts"]["per_split"], found["duplicates"]
    parts = ", ".join(f"{counts[split]:,} {split}" for split in ("train", "validation", "test"))
    lines = [
        f"{found['num_readable']:,} of {found['num_examples']:,} images readable, "
        f"{len(found['class_names'])} classes ({parts})",
        f"duplicates: {duplicates['num_exact']:,} exact and {duplicates['num_near']:,} near groups",
        *_about_second_test(found),
        *(f"fault: {text}" for text in found["faults"]),
        *(f"note: {text}" for text in found["warnings"]),
    ]
    if other := found.get("other_set"):
        lines += sentences(other)
    return "\n".join(lines)
