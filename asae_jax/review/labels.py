"""Labels that people gave, as CSV files of the review page or of a spreadsheet list them.

Images are known by what they hold (`input.content.image_content`): files are renamed, moved and copied, and
laboratories number their cells alike.
"""

import collections
import dataclasses
import datetime
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from asae_jax.errors import UserError
from asae_jax.folders import walk
from asae_jax.input.content import read_contents
from asae_jax.input.csv_rows import fault
from asae_jax.input.groups import NO_GROUP
from asae_jax.input.manifest import SLIDE_COLUMNS, UNSEEN, Entry, read_entries
from asae_jax.input.unicode_form import composed

ANOTHER_PICTURE = "another picture has its name now (column content)"
"""Why a row cannot be used: its file does not hold what was labelled."""

_SECONDS = re.compile(r"\D\d\d:?\d\d:?\d\d")
"""The time of day in ISO 8601; at 00:00:00 it is what spreadsheets make of a day."""


@dataclasses.dataclass(frozen=True, eq=False)
class Label:
    """One label that a person gave to one image.

    Attributes:
      file: the image, absolute; where it was found.
      label: the class; empty where the person left the image out, as an artefact for one (column `reason`).
      group: patient or slide, composed; empty where it is not known.
      content: what the image holds, see `image_content`; empty where it cannot be read and nothing tells.
      origin: name of the CSV file; with folders where others are called so.
      line: of the CSV file, from 1.
      listed_in: the CSV file, absolute: every page saves a file of one name.
      time: when the label was given; None where the file does not say.
      provenance: columns of `manifest.PROVENANCE` that are not empty; without `known_group`, which is `group`
        where the file names no other.
      of_slide: whether `group` is a slide or a field, as the file names no patient.
      fault: why the row cannot be used; empty where it can.
      dropped: why images of this class are left out, as rules say; empty where they are not.
    """

    file: str
    label: str
    group: str
    content: str
    origin: str
    line: int
    listed_in: str
    time: datetime.datetime | None = None
    provenance: Mapping[str, str] = dataclasses.field(default_factory=dict)
    of_slide: bool = False
    fault: str = ""
    dropped: str = ""

    @property
    def verdict(self) -> str:
        """The class that the image is to have; empty where it is to be left out, whoever says so."""
        return "" if self.dropped else self.label

    @property
    def reviewer(self) -> str:
        """Who gave the label; empty where the file does not say."""
        return self.provenance.get("reviewer", "")

    @property
    def moment(self) -> datetime.datetime | None:
        """When the label was given, to the second, as the page writes it; None where the file says less.

        Two people label the same image on one day, but hardly ever in the same second.
        """
        found = _SECONDS.search(self.provenance.get("reviewed", ""))
        return self.time if found and set(found[0]) & set("123456789") else None


def read_labels(file: Path, *, images: "Images | None" = None, look: bool = True) -> list[Label]:
    """Every row of a list of labelled images, with what its image holds.

    Args:
      file: CSV `path,label` with, if known, `group`, `seen`, `content` and columns of `PROVENANCE`; paths are
        relative to its folder.
      images: where files are looked for that are not at their paths, or hold another picture.
      look: whether every image must be there and hold what was labelled; else the column `content` is
        believed, and only images without it are read.

    Raises:
      UserError: naming file and line: not such a file, a time that is none, or an image for another part than
        training.
    """
    grouped, _, entries = read_entries(file, unseen=False)
    if look:
        _refuse_parts(file, entries)
    paths = [os.path.abspath(file.parent / entry.name) for entry in entries]
    if not look:
        entries = [
            e if e.fault == UNSEEN or not e.content else dataclasses.replace(e, fault="") for e in entries
        ]
    wanted = [
        path
        for path, entry in zip(paths, entries, strict=True)
        if not (entry.fault and entry.label) and (look or not entry.content)
    ]
    held = dict(zip(wanted, read_contents(wanted, f"reading images of {file.name}"), strict=True))
    found = (
        _label(file, entry, path, held.get(path, (entry.content, "")), images)
        for path, entry in zip(paths, entries, strict=True)
    )
    return [dataclasses.replace(label, of_slide=grouped in SLIDE_COLUMNS) for label in found]


def _refuse_parts(file: Path, entries: Iterable[Entry]) -> None:
    for entry in entries:
        if entry.split != "train":
            remedy = "take the column out, or the line; --new_test=PATIENTS sets new images aside for a test"
            raise fault(file, entry.line, f"split is {entry.split}, but new images are trained on", remedy)


def _label(file: Path, entry: Entry, path: str, held: tuple[str, str], images: "Images | None") -> Label:
    content, problem = held
    if entry.fault == UNSEEN:
        problem = UNSEEN
    elif not entry.label:  # what it is of need not be there: it is not trained on
        content = entry.content or content
        problem = "" if content else f"{entry.fault}, and what it held is not known"
    else:
        problem = entry.fault or problem
    if content and entry.content and content != entry.content:
        problem = ANOTHER_PICTURE
    if problem and problem != UNSEEN and images is not None:
        found = images.find(entry.content, os.path.basename(entry.name.replace("\\", "/")))
        by_name = "" if entry.content else " by a name that is there once, and in the lists once"
        missing = f"{problem}, and not found in {images.folder}{by_name}"
        path, content, problem = found or (path, content, missing)
    told = entry.provenance.get("known_group", "")
    return Label(
        file=path,
        label=entry.label,
        group=composed(told if entry.group in ("", NO_GROUP) else entry.group),
        content=content if not problem else entry.content,
        origin=file.name,
        line=entry.line,
        listed_in=os.path.abspath(file),
        time=_time(file, entry),
        provenance={name: entry.provenance[name] for name in entry.provenance if name != "known_group"},
        fault=problem,
    )


def _time(file: Path, entry: Entry) -> datetime.datetime | None:
    text = entry.provenance.get("reviewed", "")
    if not text:
        return None
    try:
        return read_time(text)
    except ValueError:
        remedy = "write date and time as 2026-01-31T16:45:30, or leave it empty"
        raise fault(file, entry.line, f"reviewed is {text!r}, which is no time", remedy) from None


def read_time(text: str) -> datetime.datetime:
    """A time in ISO 8601, to be compared with others; without a zone it is of this computer's.

    Raises:
      ValueError: `text` is no time, or one that this computer's zone puts outside of the years 1 to 9999.
    """
    try:
        return datetime.datetime.fromisoformat(text).astimezone()
    except (OverflowError, OSError) as error:  # OSError: Windows
        raise ValueError(f"{text} is out of range") from error


class Images:
    """The images below a folder, found by what they hold or, where that is not known, by their name."""

    def __init__(self, folder: Path, lists: Sequence[Path]) -> None:
        """Images of `folder` at any depth; none is read before one is looked for.

        Args:
          folder: where to look.
          lists: the CSV files that name what is looked for.

        Raises:
          UserError: no such folder.
        """
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder: give the one in which the images lie now (--images=DIR)")
        self.folder = folder
        self._lists = lists
        self._held: dict[str, list[tuple[str, str]]] | None = None  # content or name -> (path, content)
        self._listed = collections.Counter[str]()  # name -> images of the lists

    def find(self, content: str, name: str) -> tuple[str, str, str] | None:
        """Path, content and no fault of an image; None where it is not there.

        Args:
          content: what it holds; empty: the only image called `name` is taken, if the lists have that name
            once: laboratories number the cells of every patient alike.
          name: without folders.
        """
        if self._held is None:
            self._held, self._listed = self._read(), self._count()
        found = self._held.get(content or f"/{name}", [])
        if not found or (not content and (len(found) > 1 or self._listed[name] > 1)):
            return None
        return (*min(found, key=lambda one: os.path.basename(one[0]) != name), "")

    def _count(self) -> collections.Counter[str]:
        """How many images of the lists have each name."""
        names = [(file, entry.name) for file in self._lists for entry in read_entries(file, unseen=True)[2]]
        paths = {os.path.abspath(file.parent / name.replace("\\", "/")) for file, name in names}
        return collections.Counter(os.path.basename(path) for path in paths)

    def _read(self) -> dict[str, list[tuple[str, str]]]:
        paths = sorted(str(self.folder.absolute() / f.name) for f in walk(self.folder) if f.is_image)
        held: dict[str, list[tuple[str, str]]] = {}
        for path, (content, _) in zip(paths, read_contents(paths, f"looking in {self.folder}"), strict=True):
            for key in (content, f"/{os.path.basename(path)}") if content else ():
                held.setdefault(key, []).append((path, content))
        return held


def usable(labels: Iterable[Label]) -> list[Label]:
    """Those that have no fault."""
    return [label for label in labels if not label.fault]


def group_name(labels: Iterable[Label]) -> str:
    """What a list should call the column of these labels' groups: patients are not to come of slides."""
    return "slide" if all(label.of_slide for label in labels if label.group) else "group"
