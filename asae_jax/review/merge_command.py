"""`merge`: labels that people gave, joined with the data of a run, for the next one."""

import dataclasses
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from asae_jax.errors import UserError, quoted
from asae_jax.files import canonical_path, disk_errors, sha256, user_path
from asae_jax.input.class_map import mapped_to
from asae_jax.input.csv_rows import files_of_labels
from asae_jax.input.manifest import CORRECTED, SLIDE_COLUMNS, UNSEEN
from asae_jax.input.sources import named_class_map
from asae_jax.pages import NOTICE
from asae_jax.review import output
from asae_jax.review.joining import OUTVOTED, Joined, Rules, join
from asae_jax.review.labels import Images, Label, group_name, read_labels
from asae_jax.review.people import told_apart
from asae_jax.review.run_images import known_images
from asae_jax.run.data import data_list
from asae_jax.run.folder import CLASSES_FILE
from asae_jax.run.run import Run, open_run

OUTPUT = "merged.csv"
"""The list for the next run, in the folder of the old one, where `merge.output` names none."""


def merge(config: ConfigDict, workdir: Path) -> int:
    """Writes the list of images for the next run: those of the run in `workdir`, and what people labelled.

    The run folder stays as it is but for the list, where `merge.output` names no other place.

    Args:
      config: settings of the run, and `merge`.
      workdir: the folder of a run, with its images where its settings say.

    Returns:
      The exit status, 0.

    Raises:
      UserError: no run, data that are not files or are not those of the run, labels that cannot be read, no
        label that can be used, or an output that was made from something else.
    """
    given = config.merge
    files = files_of_labels(given.reviewed, "--reviewed")
    images = Images(user_path(given.images), files) if given.images else None
    rules = Rules(
        given.prefer, given.new_classes, given.shared_groups, given.new_test, config.data.split_seed
    )
    run = open_run(workdir, config)
    place = output.Place(user_path(given.output) if given.output else workdir / OUTPUT)
    made_from = _made_from(run, files)
    list_of_run = data_list(run.config)
    place.check(made_from, [*files, *([list_of_run] if list_of_run else [])])
    known, grouped, notes = known_images(run)
    labels = _named([label for file in files for label in read_labels(file, images=images)])
    labels = _mapped(labels, run, given.class_map)
    slides = grouped in SLIDE_COLUMNS
    joined = join(known, labels, run.class_names, rules, grouped=bool(grouped), slides=slides)
    joined.notes[:0] = notes
    _refuse_nothing(joined, labels)
    group = group_name(labels) if not grouped or slides else "group"
    output.write(place, joined, made_from, grouped=bool(grouped), group=group)
    print(output.summary(joined, labels, place))
    print("\n".join(_next_steps(run, place, joined)))
    print(NOTICE)
    return 0


def _named(labels: Sequence[Label]) -> list[Label]:
    """`labels` with as much of the path of their file as tells it from others that are called alike."""
    ends = told_apart({label.listed_in for label in labels})
    return [dataclasses.replace(label, origin=ends[label.listed_in].as_posix()) for label in labels]


def _made_from(run: Run, files: Sequence[Path]) -> dict[str, Any]:
    """What tells this merge from others, and from one of the same files with other labels in them."""
    with disk_errors("read the labels", remedy="name files that can be read (--reviewed=FILE)"):
        digests = [sha256(file) for file in files]
    reviewed = [canonical_path(file) for file in files]
    return {"run": canonical_path(run.workdir), "reviewed": reviewed, output.DIGESTS: digests}


def _mapped(labels: Sequence[Label], run: Run, class_map: str) -> list[Label]:
    """Labels under the classes of the run: by the given map, and by the run's own where they need it."""
    own = named_class_map(run.config.data.class_map) if run.config.data.class_map else {}
    given = named_class_map(class_map) if class_map else {}
    return [_renamed(label, _target(label.label, given, own, run.class_names)) for label in labels]


def _target(name: str, given: Mapping[str, str], own: Mapping[str, str], class_names: Sequence[str]) -> str:
    found = mapped_to(name, given)
    if found is None and name not in class_names:
        found = mapped_to(name, own)
    return name if found is None else found


def _renamed(label: Label, name: str) -> Label:
    if name == label.label or label.fault or not label.label:
        return label
    if not name:
        return dataclasses.replace(label, dropped=f"class {label.label} is dropped by the class map")
    return dataclasses.replace(label, label=name)


def _refuse_nothing(joined: Joined, labels: Sequence[Label]) -> None:
    """Raises a UserError where not one label can be used, or is known already."""
    if joined.added or joined.aside or joined.changed or joined.confirmed or joined.removed:
        return
    if not labels:
        raise UserError("the files of labels have no rows: label cells on the review page, save the CSV file")
    # An outvoted label is not used whatever becomes of the one that counts: that one's reason tells more.
    counts = (one for one in joined.left_out if not one[1].startswith(OUTVOTED))
    label, reason = next(counts, joined.left_out[0])
    remedy = _DROPPED if label.dropped and reason == label.dropped else ""
    if label.fault:
        remedy = f"Label them: {CORRECTED}" if reason == UNSEEN else _MOVED
    raise UserError(
        f"none of the {len(labels):,} labels can be used; the first, {label.origin}, line {label.line}, "
        f"{label.file}: {reason}" + (f". {remedy}" if remedy else "")
    )


_DROPPED = (
    "Map it to a class of the run by a CSV file from,to (--class_map=FILE), or take it as a new class "
    "(--new_classes=add)"
)

_MOVED = "Where images have been moved, give their folder (--images=DIR)"


def _next_steps(run: Run, place: output.Place, joined: Joined) -> Iterator[str]:
    """Commands that go on from here."""
    data, folder = run.config.data, run.workdir
    second = _free_folder(folder)
    options = [
        f"--config={folder / 'config.json'}",
        f"--workdir={second}",
        "--config.data.source=csv",
        f"--config.data.path={place.list}",
    ]
    options += ["--config.data.class_map="] * bool(data.class_map)
    options += ["--config.data.folds=0", "--config.data.fold=0"] * bool(data.folds)
    options += [f"--config.data.classes={folder / CLASSES_FILE}"] * (folder / CLASSES_FILE).exists()
    options += ["--config.data.groups=given"] * (data.groups != "given")
    names = {row.label for row in joined.rows if row.split == "train"}
    if len(names) != run.num_classes:  # batches hold equally many images of each class
        options += ["--config.train.batch_size=0"]
    arguments = " ".join(map(quoted, options))
    yield "look at it, then train on it with the old settings:"
    yield f"  asae audit {arguments}"
    yield f"  asae {arguments}"
    yield f"to start from the old run's weights, add --config.init.pretrained={quoted(folder)}"
    if tuple(sorted(names)) != tuple(run.class_names):
        yield "  the last layer then starts at random, as classes differ or have another order"
    yield f"both runs are scored on the same test images: evaluation/test.json of {folder} and of {second}"
    if joined.aside or place.new_test.exists():
        for one in (folder, second):
            options = [f"--workdir={one}", "--source=csv", f"--path={place.new_test}", "--name=new_test"]
            yield f"  asae evaluate {' '.join(map(quoted, options))}"


def _free_folder(folder: Path) -> Path:
    """A name for the next run: round1, round2; mine, mine-2."""
    if folder.name in ("", ".."):  # "." has no name
        folder = Path(os.path.abspath(folder))
    name, number = re.fullmatch(r"(.*?)(\d*)", folder.name, re.DOTALL).groups()  # type: ignore[union-attr]
    name = name if number else f"{name}-"
    others = (folder.with_name(f"{name}{later}") for later in itertools.count(int(number or 1) + 1))
    return next(other for other in others if not other.exists())
