"""`evaluate`: scores a trained run again, from its folder alone, on its own data or on others."""

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from asae_jax import terminal
from asae_jax.config import check, copy_with
from asae_jax.errors import UserError
from asae_jax.evaluation import evaluate
from asae_jax.evaluation.page.write import PAGE, write_evaluation_page, write_run_page
from asae_jax.evaluation.provenance import (
    FOLDER,
    check_name,
    free_name,
    own_name,
    provenance,
    source_record,
)
from asae_jax.evaluation.scoring import SCORING, led_by_first
from asae_jax.evaluation.uncertainty_report import measure_uncertainty, num_scored
from asae_jax.files import user_path
from asae_jax.input.class_map import alike_names, relabel
from asae_jax.input.description import describe
from asae_jax.input.index import DataIndex
from asae_jax.input.sources import configured_index, named_class_map, source_of
from asae_jax.pages import NOTICE
from asae_jax.run.data import Data, check_same_on_all_hosts, prepare_index, write_skipped
from asae_jax.run.run import Run, open_run

_OTHER = "other"


def evaluate_run(config: ConfigDict, workdir: Path) -> int:
    """Scores the run in `workdir` and prints the main scores and the uncertainty estimates.

    With `eval.source`, or an `eval.path` that tells its source, every readable image of that source is scored
    instead of a part of the run's own (see `load_other`), and what was left out is listed in
    `evaluation/<name>_skipped.csv`. Without a name such files are called `other`, and where those are of
    another source, `other-2` and so on.

    Args:
      config: settings of this evaluation (`eval`, and where the data lie now); everything else must be
        as in the run.
      workdir: the folder of a run.

    Returns:
      The exit status, 0.

    Raises:
      UserError: no run or no checkpoint there, other settings, other data, an `eval.path` or
        `eval.class_map` that would not be used, or a name whose file holds scores of something else.
    """
    config = _with_source(config)
    run = open_run(workdir, config, trains=True)
    data, record = load_other(run) if config.eval.source else (run.data, None)
    led_by_first(lambda: _evaluate(run, data, record), run, data)
    return 0


def _evaluate(run: Run, data: Data, record: Mapping[str, Any] | None) -> None:
    """Scores `data` and writes what comes of it.

    Args:
      run: whose weights are used.
      data: the run's own or others.
      record: of others, as `load_other` gives it; None for the run's own.
    """
    folder, split = run.workdir / FOLDER, run.config.eval.split
    if record is not None:
        name = _name(run, data, "all", record)
        scores = evaluate.evaluate(run, data, split="all", name=name, other=record)
        print(evaluate.summary(scores))
        write_skipped(data, folder / f"{name}_skipped.csv")
        write_evaluation_page(run, data, name, scores)
        page = folder / f"{name}.html"
    else:
        name = _name(run, data, split)
        images = len(data.indices(split)) + sum(num_scored(run.config, data))
        with terminal.plan(terminal.Forecast({SCORING: terminal.Part(images)})):
            scores = evaluate.evaluate(run, data, split=split, name=name)
            print(evaluate.summary(scores))
            measure_uncertainty(run)
        page = _write_pages(run, name, scores)
    where = f"; to be read in a browser: {page}" if page.exists() else ""
    print(f"written to {folder / name}.json and beside it{where}. {NOTICE}")


def _write_pages(run: Run, name: str, scores: Mapping[str, Any]) -> Path:
    """The run's page, and one of these scores where that does not show them; returns which does."""
    shown = write_run_page(run)
    if shown is None or name in shown:
        return run.workdir / PAGE
    write_evaluation_page(run, run.data, name, scores)
    return run.workdir / FOLDER / f"{name}.html"


def _with_source(config: ConfigDict) -> ConfigDict:
    """`config` with the source that `eval.path` is of, where it names a path and no source."""
    given = config.eval
    if given.source:
        if given.split != "test":
            print(
                f"all images of the other source are scored: --split={given.split} is of the run's own data"
            )
        return config
    if given.path:
        source = source_of(given.path)
        if not source:
            missing = "" if user_path(given.path).exists() else ", which does not exist"
            raise UserError(
                f"--path={given.path}{missing}: name what it is by --source=folder, csv or npz, or "
                "leave it out to score the run's own images"
            )
        print(f"scoring other images than the run's own: {given.path} (--source={source})")
        config = copy_with(config, {"eval.source": source})
        check(config)  # what else is given must fit what the path is
        return config
    for name in ("class_map", "groups"):
        if given[name]:
            raise UserError(
                f"--{name}={given[name]} is for other images than the run's own: add --source= and "
                "--path=, or leave it out"
            )
    return config


def _name(run: Run, data: Data, split: str, other: Mapping[str, Any] | None = None) -> str:
    """The name of the files, by which none is lost that holds scores of something else."""
    folder, now = run.workdir / FOLDER, provenance(run, data, split, other)
    if other is not None and not run.config.eval.name:
        return free_name(folder, _OTHER, now)
    name = run.config.eval.name or own_name(folder, split, now)
    check_name(folder, name, now)
    return name


def load_other(run: Run) -> tuple[Data, dict[str, Any]]:
    """All images of the source that `config.eval` names, under the classes of a run.

    Labels go through `eval.class_map`. Images of a class that the run does not know are left out: no answer
    to them could be right. Images are prepared as the run's are.

    Args:
      run: with `eval.source`, `eval.path`, `eval.class_map`, and how patients are known, in its settings.

    Returns:
      The images, none of them for training, and what to record with their scores: `path`; `class_map`;
      `unknown_classes`, class -> number of images left out because the run does not know it;
      `absent_classes`, those of the run that these data lack.

    Raises:
      UserError: data that cannot be found or used, no image of a class that the run knows, or batch
        statistics to be taken again.
    """
    config = run.config
    if config.eval.batch_statistics == "reestimate":
        raise UserError(
            "config.eval.batch_statistics='reestimate' cannot be used with config.eval.source: it takes "
            "training batches, and another source has none; use 'running'."
        )
    index = _table(config)
    known, unknown = _align(index, run.class_names)
    present = np.bincount(known.labels, minlength=known.num_classes)
    record = {
        **source_record(run, named_class_map(config.eval.class_map) if config.eval.class_map else {}),
        "unknown_classes": unknown,
        "absent_classes": [name for name, count in zip(run.class_names, present, strict=True) if not count],
    }
    print(describe(known))
    _say(record, run.class_names)
    data = Data(known, prepare_index(config, run.workdir, known), np.full(len(known), "test"))
    check_same_on_all_hosts(data)
    return data, record


def _table(config: ConfigDict) -> DataIndex:
    """The index of the other source; labels that nobody has looked at are no truth to score by."""
    own, other = config.data, config.eval
    settings = own.copy_and_resolve_references()
    settings.update(source=other.source, path=other.path, class_map=other.class_map, unseen=False)
    same = other.source == own.source
    settings.groups = other.groups or (own.groups if same else "given")
    settings.group_feature = other.group_feature or (own.group_feature if same else "")
    return configured_index(settings, options="--")


def _align(index: DataIndex, class_names: tuple[str, ...]) -> tuple[DataIndex, dict[str, int]]:
    """`index` under the classes `class_names`, and how many images of each other class were left out."""
    numbers = {name: number for number, name in enumerate(class_names)}
    new = np.array([numbers.get(name, -1) for name in index.class_names])
    counts = np.bincount(index.labels, minlength=index.num_classes)
    unknown = {
        name: int(count)
        for name, count in zip(index.class_names, counts, strict=True)
        if name not in numbers and count
    }
    if sum(unknown.values()) == len(index):
        raise UserError(
            f"the run knows none of the classes of these data ({', '.join(index.class_names)}): map them to "
            f"the run's ({', '.join(class_names)}) by a CSV file from,to (--config.eval.class_map=FILE)"
        )
    return relabel(index, class_names, new, "the run does not know class {}"), unknown


def _say(record: dict[str, Any], class_names: Collection[str]) -> None:
    if unknown := record["unknown_classes"]:
        counts = ", ".join(f"{name} ({count})" for name, count in unknown.items())
        alike = "; ".join(" and ".join(map(repr, names)) for names in alike_names([*unknown, *class_names]))
        hint = f"; the same but for case or spaces: {alike} (map them by --class_map=FILE)" if alike else ""
        warnings.warn(f"left out, of classes that the run does not know: {counts} images{hint}", stacklevel=3)
    if record["absent_classes"]:
        print(f"classes of the run that these data lack: {', '.join(record['absent_classes'])}")
