"""The images a run was trained, chosen and tested on, as rows that a list can hold."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from asae_jax.errors import UserError
from asae_jax.input.manifest import ASIDE, read_entries
from asae_jax.input.run_split import SPLITS_FILE, read_splits
from asae_jax.input.sources import configured_index
from asae_jax.review.labels import read_contents
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
      group: patient or slide; empty where it is not known.
      split: "train", "validation", "test", or `manifest.ASIDE` for an image of an earlier second test.
      content: what the image holds, see `image_content`; empty where it cannot be read.
      provenance: columns of `manifest.PROVENANCE` that are not empty.
    """

    file: str
    label: str
    group: str
    split: str
    content: str
    provenance: Mapping[str, str] = dataclasses.field(default_factory=dict)


def known_images(run: Run) -> tuple[list[Known], bool]:
    """Every image of a run in the order of its data, and whether groups are known of all of them.

    Images that an earlier `merge` set aside are the last. All files are read, for what they hold.

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
    groups = [""] * len(index) if index.groups is None else index.groups.tolist()
    listed, origin = _provenance(run), {"origin": run.workdir.name}
    rows = [
        Known(
            file,
            index.class_names[label],
            group or was.get("known_group", ""),
            str(split),
            content,
            origin | dict(was),
        )
        for file, label, group, split, (content, _), was in zip(
            files,
            index.labels,
            groups,
            splits,
            contents,
            [listed.get(n, {}) for n in index.names],
            strict=True,
        )
    ]
    return [*rows, *_aside(run)], index.groups is not None


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


def _provenance(run: Run) -> dict[str, Mapping[str, str]]:
    """Name -> where its label comes from, of the images of a list."""
    file = data_list(run.config)
    entries = read_entries(file, unseen=True)[2] if file is not None else []
    return {entry.name: entry.provenance for entry in entries if entry.provenance}


def _aside(run: Run) -> list[Known]:
    """The images that earlier rounds set aside for a second test."""
    file = data_list(run.config)
    entries = [e for e in read_entries(file, unseen=True)[2] if e.split == ASIDE] if file is not None else []
    assert file is not None or not entries
    paths = [os.path.abspath(file.parent / entry.name) for entry in entries] if file is not None else []
    contents = read_contents(paths, "reading the second test")
    return [
        Known(
            path,
            e.label,
            e.group or e.provenance.get("known_group", ""),
            ASIDE,
            e.content or content,
            e.provenance,
        )
        for path, e, (content, _) in zip(paths, entries, contents, strict=True)
    ]
