"""The images a run was trained, chosen and tested on, as rows that a list can hold."""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from asae_jax.errors import UserError
from asae_jax.input.class_map import mapped_to
from asae_jax.input.content import read_contents
from asae_jax.input.groups import NO_GROUP, as_listed
from asae_jax.input.manifest import ASIDE, Entry, read_entries
from asae_jax.input.run_split import SPLITS_FILE, read_splits
from asae_jax.input.sources import configured_index, named_class_map
from asae_jax.input.unicode_form import composed
from asae_jax.run import digests, folder
from asae_jax.run.data import data_list, data_root
from asae_jax.run.model_folder import holds_model
from asae_jax.run.run import Run

_NO_FILES = (
    "images of a list are: write them into class folders as image files, train a run on these, then merge"
)

PARTS = {
    "test": "in the old test part",
    ASIDE: "in a second test that was set aside before",
    "validation": "in the old validation part",
}
"""Parts that nothing enters and whose labels stay -> how to say that; the first one is named first."""


@dataclasses.dataclass(frozen=True)
class Known:
    """One image of a run.

    Attributes:
      file: the image, absolute.
      label: the class, as the run calls it.
      group: patient or slide, composed; empty where it is not known, and for an image of no group.
      split: "train", "validation", "test", or `manifest.ASIDE` for an image of an earlier second test.
      content: what the image held that was labelled, see `image_content`; empty where neither a list nor the
        file tells.
      provenance: columns of `manifest.PROVENANCE` that are not empty; `known_group` only where the run's list
        names no group of the image, and a label did.
    """

    file: str
    label: str
    group: str
    split: str
    content: str
    provenance: Mapping[str, str] = dataclasses.field(default_factory=dict)


def known_images(run: Run) -> tuple[list[Known], str, list[str]]:
    """Every image of a run in the order of its data, the column of its groups, and notes.

    The column is called as in the run's list, "group" where it has none, and is empty where the data name no
    groups. Where they do, images may still be of none (`groups.NO_GROUP`).

    Images that an earlier `merge` set aside are the last. All files are read, for what they hold. Where the
    run's list says what was labelled (column `content`), that stays: a file that holds another picture now
    must not be taken for it by the next run either.

    Raises:
      UserError: data that are not files, that cannot be found, or that are not those the run was trained on;
        or no recorded split.
    """
    root = _root(run)
    index = configured_index(run.config.data)
    folder.check_same_data(run.workdir, index)
    if not (run.workdir / SPLITS_FILE).exists():
        raise UserError(
            f"{run.workdir} has no {SPLITS_FILE}, so that nobody can say what it was tested on: restore the "
            "file"
        )
    digests.check_unchanged(run.workdir, SPLITS_FILE)
    splits = read_splits(run.workdir / SPLITS_FILE, index)
    files = [os.path.abspath(root / name) for name in index.names]
    contents = read_contents(files, "reading the run's images")
    groups = [""] * len(index) if index.groups is None else as_listed(index.groups).tolist()
    (grouped, entries), origin = _entries(run), {"origin": run.name}
    listed = {entry.name: entry for entry in entries}
    rows = [
        _known(file, listed.get(name), content, index.class_names[label], group, str(split), origin)
        for file, name, (content, _), label, group, split in zip(
            files, index.names.tolist(), contents, index.labels, groups, splits, strict=True
        )
    ]
    aside, now = _aside(entries, root, run.config.data.class_map)
    rows, held = [*rows, *aside], [content for content, _ in contents] + now
    column = "" if index.groups is None else grouped or "group"
    return rows, column, [*_notes(rows, held), *_notes_on_dropped(aside)]


def _known(
    file: str, entry: Entry | None, held: str, label: str, group: str, split: str, origin: Mapping[str, str]
) -> Known:
    """One image, by the row of the list that names it and by what its file holds now."""
    was = entry.provenance if entry else {}
    content = (entry.content if entry else "") or held
    named = "" if group == NO_GROUP else group
    told = was.get("known_group", "")
    provenance = {name: value for name, value in was.items() if not (named and name == "known_group")}
    # In one Unicode form: a patient typed in another one would pass for a new one.
    return Known(file, label, composed(named or told), split, content, {**origin, **provenance})


def _notes(rows: Sequence[Known], held: Sequence[str]) -> Iterator[str]:
    """Says which files hold no longer what the list of the run says was labelled."""
    changed = [row.file for row, now in zip(rows, held, strict=True) if row.content != now]
    if changed:
        yield (
            f"{len(changed):,} files of the old run's list cannot be read or hold another picture than was "
            f"labelled (column content), the first {changed[0]}: the next run leaves them out until they are "
            "restored"
        )


def _root(run: Run) -> Path:
    """The folder that the names of the run's images are relative to."""
    if holds_model(run.workdir):
        raise UserError(
            f"{run.workdir} holds a model, which travels without the images it was trained on: there is no "
            "test "
            "set to keep. Train on the labels alone (--config.data.source=csv --config.data.path=FILE "
            f"--config.init.pretrained={run.workdir}), or merge them with a run that has its images"
        )
    root = data_root(run.config)
    if root is None:
        source = run.config.data.source
        raise UserError(f"the images of {run.workdir} are not files (data.source={source}), and {_NO_FILES}")
    return root


def _entries(run: Run) -> tuple[str, list[Entry]]:
    """Column of groups and rows of the list that the run was trained on; empty where it has no list."""
    file = data_list(run.config)
    if file is None:
        return "", []
    grouped, _, entries = read_entries(file, unseen=True)
    return grouped, entries


def _aside(entries: Iterable[Entry], root: Path, class_map: str) -> tuple[list[Known], list[str]]:
    """The images that earlier rounds set aside for a second test, and what each file holds now.

    The list names them by the classes that it was made with: the run's class map holds for them as for the
    others. One that it drops has no label, so that nothing lists it, but its patient stays out of training.
    """
    entries = [entry for entry in entries if entry.split == ASIDE]
    files = [os.path.abspath(root / entry.name) for entry in entries]
    held = [content for content, _ in read_contents(files, "reading the second test")]
    mapping = named_class_map(class_map) if class_map else {}
    mapped = [(entry.label, mapped_to(entry.label, mapping)) for entry in entries]
    rows = [
        _known(file, entry, content, label if target is None else target, entry.group, ASIDE, {})
        for file, entry, content, (label, target) in zip(files, entries, held, mapped, strict=True)
    ]
    return rows, held


def _notes_on_dropped(aside: Iterable[Known]) -> Iterator[str]:
    if count := sum(not row.label for row in aside):
        yield f"{count:,} images of the second test are left out: the run's class map drops their classes"
