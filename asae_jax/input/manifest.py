"""Data-set index of a CSV file that lists images."""

import dataclasses
import os
import stat
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from asae_jax.errors import UserError
from asae_jax.files import user_path
from asae_jax.folders import LEFTOVER, leftover_in
from asae_jax.input.content import file_contents, image_content
from asae_jax.input.csv_rows import Row, fault, other_columns, read_rows
from asae_jax.input.decode import BadImage, read_image, read_reduced
from asae_jax.input.groups import NO_GROUP, one_by_one
from asae_jax.input.index import DATA_OPTIONS, DataIndex, name_fault
from asae_jax.input.reduced import Reduced, Reduction
from asae_jax.input.split import SPLIT_NAMES
from asae_jax.types import HostImage

SMEAR, SLIDE = "smear", "slide"
SLIDE_COLUMNS = (SLIDE, "slide_id", "slideid", SMEAR, "smear_id")
"""Columns that tell the slide or the photograph of a field, of which there may be many of one patient."""

GROUP_COLUMNS = (
    "group", "patient", "patient_id", "patientid", "subject", "subject_id", "subjectid", "donor", "donor_id",
    "person", "individual", "case", "case_id", "caseid", *SLIDE_COLUMNS,
)  # fmt: skip
"""Columns that tell which images belong together, the widest first: of several the first is taken."""

SPLIT_COLUMNS = ("split", "set", "subset", "partition", "part", "fold", "phase", "dataset", "usage")
"""Columns that may tell the part of each image; but for the first only where all their values are parts."""

PROVENANCE = ("predicted", "reviewer", "reviewed", "run", "reason", "origin", "known_group")
"""Columns that say where a label comes from; they travel through `merge`, and training does not use them.

`origin` is the file or run that `merge` took the row from; `known_group` its patient or slide, where other
images have none.
"""

ASIDE = "aside"
"""Value of the column `split`: an image that `merge` set aside for a second test; no run trains on it."""

SET_ASIDE = "set aside as a second test (split aside)"
"""Reason in `DataIndex.skipped`."""

UNSEEN = "nobody looked at its label (seen=no, or predictions without a column seen)"
"""Reason in `DataIndex.skipped`."""

CORRECTED = "a person who corrected a file of predictions adds a column seen with yes"
"""What to do about labels that nobody looked at, as far as one can tell."""

LEFT_OUT = "a person left it out"
"""Reason in `DataIndex.skipped`, followed by that in the column `reason`."""

_LONGEST_PATH = 4096
"""Characters; no system opens longer ones."""

GUESS_COLUMNS = ("seen", "for_person", "true", "probability")
"""Columns that tell whether a label is a network's guess, see `is_guess`."""

_SEEN = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}


def is_guess(file: Path, line: int, row: Mapping[str, str]) -> bool:
    """Whether nobody looked at the label of a row: `seen` says no, or else the file is one of predictions.

    `predict` writes a column `for_person`, `evaluate` the columns `true` and `probability`.

    Raises:
      UserError: naming file and line, where `seen` says neither yes nor no.
    """
    if "seen" not in row:
        return "for_person" in row or {"true", "probability"} <= set(row)
    seen = _SEEN.get(row["seen"].lower())
    if seen is None:
        remedy = "write yes where a person gave the label, and no elsewhere"
        raise fault(file, line, f"seen is {row['seen']!r}", remedy)
    return not seen


def manifest_index(
    path: str | os.PathLike, *, unseen: bool = False, options: str = DATA_OPTIONS
) -> DataIndex:
    """The images that a CSV file `path,label[,group][,split]` lists, in its order.

    Paths are relative to the folder of the CSV file; where there is no such file, a backslash is taken for
    `/`. Classes are the labels, sorted. Missing files are listed in `DataIndex.skipped` with their line; no
    image is opened. `split` is train, val, validation or test, in any case. The group may also be called
    patient, slide, or another of `GROUP_COLUMNS`.

    A review page of `predict` writes more columns. `seen`: where it says no, the label is a network's guess
    that nobody looked at; so are labels that a command wrote (`is_guess`). `reason`: with one, a row
    may lack a label, and is an image that a person left out. `content`: what the picture held that was
    labelled (`content.image_content`); a file that holds another picture now is a bad image. `merge` writes
    the split `aside` for the images of a second test, which are left out.

    Args:
      path: the CSV file, UTF-8 with or without byte order mark.
      unseen: whether labels that nobody looked at are taken; else they are listed in `DataIndex.skipped`.
      options: how the command line spells `unseen`, for messages.

    Raises:
      UserError: with file and line: no such table (see `read_rows`), an empty path, label or group, or one
        with unprintable characters, an unknown split or `seen`, a file listed twice; no file that exists.
    """
    file = user_path(path)
    grouped, split, entries = read_entries(file, unseen=unseen)
    entries = [dataclasses.replace(e, fault=SET_ASIDE) if e.split == ASIDE else e for e in entries]
    present = [entry for entry in entries if not entry.fault]
    if not present:
        raise _nothing(file, entries, options)
    return dataclasses.replace(
        _index(file, present, _class_names(entries), grouped=bool(grouped), split=bool(split)),
        skipped=tuple((e.name, f"{e.fault} (line {e.line} of {file.name})") for e in entries if e.fault),
        notes=tuple(_notes(file, grouped, split, entries, options)),
    )


def second_test_index(path: str | os.PathLike) -> DataIndex | None:
    """The images that a list sets aside for a second test, which `manifest_index` leaves out; None: no such.

    Args:
      path: as `manifest_index` reads it; its classes here are those of these images alone.

    Raises:
      UserError: as `read_entries`.
    """
    file = user_path(path)
    grouped, _, entries = read_entries(file, unseen=True)
    aside = [entry for entry in entries if entry.split == ASIDE and not entry.fault]
    class_names = tuple(sorted({entry.label for entry in aside}))
    return _index(file, aside, class_names, grouped=bool(grouped), split=True) if aside else None


def _index(
    file: Path, present: Sequence["Entry"], class_names: tuple[str, ...], *, grouped: bool, split: bool
) -> DataIndex:
    """Of the rows `present` of a list."""
    numbers = {name: number for number, name in enumerate(class_names)}
    names, labelled = np.array([e.name for e in present]), [e.content for e in present]
    return DataIndex(
        source="csv",
        class_names=class_names,
        names=names,
        labels=np.array([numbers[entry.label] for entry in present], np.int32),
        read=lambda row: _read(file.parent / names[row], labelled[row]),
        reduced=lambda row, reduction: _read_reduced(file.parent / names[row], labelled[row], reduction),
        groups=one_by_one(np.array([entry.group for entry in present]), names) if grouped else None,
        splits=np.array([entry.split for entry in present]) if split else None,
        sizes=np.array([entry.size for entry in present], np.int64),
        modified=np.array([entry.modified for entry in present], np.int64),
        settings=" ".join(labelled) if any(labelled) else "",
        content=lambda: file_contents(file.parent / name for name in names),
    )


def _class_names(entries: Iterable["Entry"]) -> tuple[str, ...]:
    labels = {entry.label for entry in entries if entry.fault not in (UNSEEN, SET_ASIDE)}
    return tuple(sorted(labels - {""}))  # without one is what a person left out


def read_entries(file: Path, *, unseen: bool) -> tuple[str, str, list["Entry"]]:
    """The columns that tell groups and parts, empty where none does, and what each row says.

    Args:
      file: as `manifest_index` reads it.
      unseen: whether labels that nobody looked at are taken; else their rows have the fault `UNSEEN`.

    Raises:
      UserError: as `manifest_index`, but that no file need exist.
    """
    columns, found = read_rows(
        file,
        required=("path", "label"),
        optional=("group", "split"),
        also=(*GROUP_COLUMNS, *SPLIT_COLUMNS, *PROVENANCE, "content", *GUESS_COLUMNS, "x", "y"),
    )
    rows = list(found)
    grouped, split = group_column(columns), _split_column(columns, rows)
    entries = [_entry(file, line, row, grouped, split) for line, row in rows]
    entries = list(_without_repeats(file, entries))
    if not unseen:
        entries = [entry if entry.seen else dataclasses.replace(entry, fault=UNSEEN) for entry in entries]
    return grouped, split, entries


def group_column(columns: Container[str]) -> str:
    """The one of `columns`, in lower case, that tells which images belong together; empty where none does."""
    found = next((name for name in GROUP_COLUMNS if name in columns), "")
    of_fields = found == SLIDE and all(name in columns for name in (SMEAR, "x", "y"))
    return SMEAR if of_fields else found  # as `cut` writes them: `slide` is the field of x and y


def _split_column(columns: Container[str], rows: Sequence[Row]) -> str:
    """The one of `columns` that tells the part of each image; empty where none does."""
    for name in SPLIT_COLUMNS:
        if name in columns and (
            name == "split" or (rows and all(row[name].lower() in SPLIT_NAMES for _, row in rows))
        ):
            return name
    return ""


def _read(path: Path, labelled: str) -> HostImage:
    """The image at `path`, which must hold the picture that was labelled, where that is known.

    Raises:
      BadImage: it cannot be read, or holds another picture.
    """
    pixels = read_image(path)
    if labelled and image_content(pixels) != labelled:
        raise BadImage(path, "not the picture that was labelled (column content): another has its name now")
    return pixels


def _read_reduced(path: Path, labelled: str, reduction: Reduction) -> Reduced:
    """The same, at a reduced scale; what was labelled is known by all of its pixels."""
    if labelled:
        pixels = _read(path, labelled)
        height, width = pixels.shape[:2]
        if reduction(height, width) == 1:
            return Reduced(pixels, 1, (height, width))
    return read_reduced(path, reduction)


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One row of a list of images."""

    line: int
    name: str  # the path, relative to the file's folder or absolute
    label: str
    group: str
    split: str  # train, validation, test or ASIDE
    seen: bool  # whether a person gave the label, as far as the file tells
    size: int
    modified: int
    content: str  # of the picture that was labelled; empty where it is not known
    identity: tuple[int, ...]  # equal for two names of one file; empty where it is not known
    fault: str  # why there is no such image; empty where there is
    provenance: Mapping[str, str]  # those of PROVENANCE that are not empty


def _entry(file: Path, line: int, row: Mapping[str, str], grouped: str, parts: str) -> Entry:
    guess = is_guess(file, line, row)
    of_predictions = guess and "seen" not in row
    for column in filter(None, ("path", "label", grouped)):
        may_be_empty = (column != "path" and of_predictions) or (column == "label" and row.get("reason"))
        if not row[column] and not may_be_empty:
            raise fault(file, line, f"empty {column}", f"every image needs a {column}")
    for column in filter(None, ("label", grouped)):
        if found := name_fault(column, row[column]):
            raise fault(file, line, *found)
        if not row[column].isprintable():
            raise fault(file, line, f"unprintable characters in {column} {row[column]!r}", "remove them")
    part = row[parts].lower() if parts else "train"
    split = ASIDE if part == ASIDE else SPLIT_NAMES.get(part)
    if split is None:
        raise fault(file, line, f"unknown split {row[parts]!r}", f"use one of {', '.join(SPLIT_NAMES)}")
    if len(row["path"]) > _LONGEST_PATH:
        what = f"a path of {len(row['path']):,} characters, more than {_LONGEST_PATH:,}"
        raise fault(file, line, what, "is a quote missing?")
    name, status, missing = _found(file.parent, _plain_path(row["path"]))
    if not row["label"]:
        missing = f"{LEFT_OUT}: {row['reason']}" if row.get("reason") else "no label, as it was not predicted"
    if piece := leftover_in(name):
        missing = f"{LEFTOVER} ({piece})"
    return Entry(
        line=line,
        name=name,
        label=row["label"],
        group=row[grouped] if grouped else "",
        split=split,
        seen=not guess,
        size=status.st_size if status else 0,
        modified=status.st_mtime_ns if status else 0,
        content=row.get("content", "").lower(),
        identity=(status.st_dev, status.st_ino) if status and status.st_ino else (),
        fault=missing,
        provenance={name: row[name] for name in PROVENANCE if row.get(name)},
    )


def _plain_path(path: str) -> str:
    """A path without "." and "..", with `/` on every system: runs record it, and may be copied."""
    return os.path.normpath(path).replace(os.sep, "/")


def _found(folder: Path, name: str) -> tuple[str, os.stat_result | None, str]:
    """The name under which an image file is found, its status, and the reason why there is none."""
    status, missing = _status(folder / name)
    if missing and "\\" in name:  # written on Windows
        other = _plain_path(name.replace("\\", "/"))
        status, still_missing = _status(folder / other)
        if not still_missing:
            return other, status, ""
        missing += ", nor is there one with / for \\"
    return name, status, missing


def _status(path: Path) -> tuple[os.stat_result | None, str]:
    """Status of an image file, or the reason why it has none."""
    try:
        status = path.stat()
    except ValueError:  # a null character
        return None, "not a path"
    except OSError as error:
        return None, f"missing ({error.strerror})"
    return (status, "") if stat.S_ISREG(status.st_mode) else (None, "not a file")


def _without_repeats(file: Path, entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries; a row that repeats a listed file through a link is marked as a fault.

    A review page of a folder with links in it lists such files.

    Raises:
      UserError: a file that is listed twice, also under another spelling of its path, or by a link to it that
        says something else, or not what picture was labelled.
    """
    firsts: dict[object, Entry] = {}
    for entry in entries:
        for key in filter(None, (entry.name, entry.identity)):
            first = firsts.setdefault(key, entry)
            if first is entry:
                continue
            if first.name != entry.name and _says_the_same(first, entry):
                repeated = f"another name of {first.name}, which is listed already in line {first.line}"
                entry = dataclasses.replace(entry, fault=entry.fault or repeated)
                break
            spelled = "" if first.name == entry.name else f" as {first.name}"
            labels = "" if first.label == entry.label else f" (label {first.label}, here {entry.label})"
            what = f"{entry.name} is listed already in line {first.line}{spelled}{labels}"
            raise fault(file, entry.line, what, "list it once")
        yield entry


def _says_the_same(one: Entry, other: Entry) -> bool:
    """Whether both give the same label to the same picture, in the same way."""
    told = [(entry.content, entry.label, entry.seen, entry.split) for entry in (one, other)]
    return bool(one.content) and told[0] == told[1]


def _nothing(file: Path, entries: Sequence[Entry], options: str) -> UserError:
    unseen = sum(entry.fault == UNSEEN for entry in entries)
    if unseen:
        take = f", or take the guesses ({options}unseen=True)" if options == DATA_OPTIONS else ""
        return UserError(
            f"{file} lists {len(entries)} images, and none can be used: nobody looked at the labels of "
            f"{unseen} (seen=no), which are a network's guesses: label them ({CORRECTED}){take}"
        )
    if all(entry.fault.startswith(LEFT_OUT) for entry in entries) and entries:
        return UserError(f"{file} lists {len(entries)} images, and a person left out all of them: label some")
    first = f"; the first, in line {entries[0].line}: {entries[0].fault}" if entries else ""
    return UserError(
        f"{file} lists {len(entries)} images and none can be found{first}: "
        f"list images by their path relative to {file.parent.absolute()}"
    )


_USED = ("path", "label", "content", *GUESS_COLUMNS, *PROVENANCE)


def _notes(file: Path, grouped: str, split: str, entries: Sequence[Entry], options: str) -> Iterator[str]:
    """What of the file is used otherwise than one may think, in sentences."""
    if split and split != "split":
        yield f"the column {split} of {file.name} tells the part of each image"
    yield from _contradictions(file, entries)
    if grouped and grouped != "group":
        yield f"the column {grouped} of {file.name} tells which images belong together"
    if count := sum(entry.group == NO_GROUP and not entry.fault for entry in entries):
        yield (
            f"{count} images of {file.name} belong to {NO_GROUP}: a split takes each by itself, and none "
            "counts as a patient or slide"
        )
    if others := other_columns(file, (*_USED, grouped, split)):
        yield f"columns of {file.name} that are not used: {', '.join(others)}"
    if count := sum(entry.fault == UNSEEN for entry in entries):
        take = f" ({options}unseen=True takes them)" if options == DATA_OPTIONS else ""
        yield (
            f"{count} rows of {file.name} are left out: nobody looked at their labels (seen=no), which are a "
            f"network's guesses{take}"
        )
    if count := sum(entry.fault.startswith(LEFT_OUT) for entry in entries):
        yield f"{count} rows of {file.name} are left out, as a person left these cells out (column reason)"
    if count := sum(not entry.fault and not entry.seen for entry in entries):
        yield f"{count} labels of {file.name} are a network's guesses that nobody looked at (data.unseen)"


def _contradictions(file: Path, entries: Sequence[Entry]) -> Iterator[str]:
    """Where images lie in folders that are named as another class: sorting one column alone does that."""
    classes = {entry.label for entry in entries if entry.label}
    pieces = [[piece for piece in entry.name.split("/")[:-1] if piece in classes] for entry in entries]
    if len({found[-1] for found in pieces if found}) < 2:
        return  # a folder above all of them happens to be called as a class
    odd = [
        entry
        for entry, found in zip(entries, pieces, strict=True)
        if found and entry.label not in ("", found[-1])
    ]
    if odd:
        entry = odd[0]
        yield (
            f"{len(odd)} labels of {file.name} are another class than the image's folder is named as, the "
            f"first in line {entry.line}: {entry.label} for {entry.name}; was one column sorted alone?"
        )
