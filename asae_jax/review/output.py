"""What `merge` writes and prints: the list for the next run, what became of every label, and how to go on."""

import collections
import csv
import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from asae_jax.csv_cells import CsvWriter
from asae_jax.errors import UserError
from asae_jax.files import canonical_path, disk_errors, read_bounded, remove, sha256, together, write_text
from asae_jax.input.groups import NO_GROUP
from asae_jax.input.manifest import ASIDE, PROVENANCE
from asae_jax.json_files import read_json, write_json
from asae_jax.pages import NOTICE
from asae_jax.review.joining import Joined
from asae_jax.review.labels import Label
from asae_jax.review.run_images import Known

MADE_FROM = "made_from"
"""Field of the record that tells what the list was made from."""

DIGESTS = "sha256"
"""Field in it: the SHA-256 of each file of labels."""

LIST_DIGEST = "list_sha256"
"""Field of the record: the SHA-256 of the list beside it, which a person may have edited since."""

_OUT = "(left out)"
_MOST_REASONS = 8


class Place:
    """The files of one merge: NAME.csv and others beside it.

    Attributes:
      list: of the images of the next run.
      new_test: of the images of the second test.
      changed: labels that others contradict.
      left_out: labels that are not used.
      record: what all of it was made from.
    """

    def __init__(self, path: Path) -> None:
        """The files beside `path`, a name with or without .csv.

        Raises:
          UserError: a path that names a folder.
        """
        if path.name in ("", ".."):
            raise UserError(f"{path} is a folder: name a file in it (--output={path / 'FILE.csv'})")
        stem = path.with_suffix("") if path.suffix.lower() == ".csv" else path
        self.list = stem.with_name(f"{stem.name}.csv")
        self.new_test = stem.with_name(f"{stem.name}_new_test.csv")
        self.changed = stem.with_name(f"{stem.name}_changed.csv")
        self.left_out = stem.with_name(f"{stem.name}_left_out.csv")
        self.record = stem.with_name(f"{stem.name}.json")

    @property
    def every(self) -> tuple[Path, ...]:
        """All files that may be written."""
        return self.list, self.new_test, self.changed, self.left_out, self.record

    def check(self, made_from: Mapping[str, Any], inputs: Iterable[Path]) -> None:
        """Refuses to replace what is not of a merge of the same run and labels, or what was edited since.

        The list of an earlier merge may be what a run was trained on: it must not become another one because
        there are more labels under the same name.

        Args:
          made_from: the run, the files of labels and what these hold.
          inputs: files that are read.

        Raises:
          UserError: naming the file that would be lost.
        """
        there = [path for path in self.every if os.path.lexists(path)]
        for path in there:
            if any(other.exists() and path.exists() and path.samefile(other) for other in inputs):
                raise UserError(
                    f"{path} is read by this command and would be lost: choose another --output=FILE"
                )
        recorded = self._recorded()
        if there and _files_of(recorded) != {name: made_from[name] for name in ("run", "reviewed")}:
            raise UserError(
                f"{there[0]} was not made from this run and these labels, and would be lost: choose another "
                "--output=FILE, or move it away"
            )
        if there and (changed := self._changed(recorded, made_from)):
            raise UserError(
                f"{changed} has changed since {self.list} was made, which a run may have been trained on: "
                "choose another --output=FILE"
            )

    def check_same(self, text: str) -> None:
        """Refuses to change rows of a list that is there, as other options or another class map would.

        Rows may be added, as where `--images` finds what was missing.

        Args:
          text: the new list.

        Raises:
          UserError: a row of the list there is another now, or is no more; of lists by this version.
        """
        recorded = self._recorded()
        if not (isinstance(recorded, dict) and LIST_DIGEST in recorded and self.list.is_file()):
            return
        changed = _what_is_trained_on(read_bounded(self.list).decode(errors="surrogateescape"))
        changed -= _what_is_trained_on(text)
        if changed:
            raise UserError(
                f"{len(changed):,} rows of {self.list} would change or go, as options, class map or images "
                "are others now, and a run may have been trained on it: choose another --output=FILE, or "
                "delete it"
            )

    def _recorded(self) -> Any:
        try:
            return read_json(self.record, remedy="")
        except UserError:
            return None

    def _changed(self, recorded: Mapping[str, Any], made_from: Mapping[str, Any]) -> Path | None:
        """The first file of labels, or the list, that is another than recorded; None where that is not known.

        Earlier versions recorded no digests.
        """
        digests = made_from[DIGESTS]
        before = recorded[MADE_FROM].get(DIGESTS, digests)
        if before != digests:
            same = [digest in before for digest in digests] if isinstance(before, list) else [False]
            return Path(made_from["reviewed"][same.index(False) if False in same else 0])
        return self.list if is_changed(self.list, recorded) else None


def _files_of(recorded: Any) -> Any:
    """The run and the files of labels that a list was made from; None where that is not recorded."""
    try:
        made_from = recorded[MADE_FROM]
        # Earlier versions recorded paths as they were spelled.
        files = [canonical_path(file) for file in made_from["reviewed"]]
        return {"run": canonical_path(made_from["run"]), "reviewed": files}
    except (LookupError, TypeError, ValueError):
        return None


def write(
    place: Place, joined: Joined, made_from: Mapping[str, Any], *, grouped: bool, group: str = "group"
) -> None:
    """Writes every file of a merge; those that have nothing to say are removed.

    Args:
      place: of the files.
      joined: what to write.
      made_from: the run and the files of labels.
      grouped: whether the old data name groups; images of none are then of `NO_GROUP`.
      group: how the column of groups is called.

    Raises:
      UserError: a path of the old data that a CSV file cannot hold, or a disk that cannot be written to.
    """
    folder = _without_dots(place.list.parent)
    rows = list(_rows(joined.rows, folder, grouped=grouped))
    with disk_errors(f"write {place.list}", remedy="choose another --output=FILE"), together():
        text = table(rows, group)
        place.check_same(text)
        # Takes its name first: whatever stops the others, the same command may write over them.
        made = {MADE_FROM: dict(made_from), LIST_DIGEST: digest(text)}
        record = made | numbers(joined) | {"notice": NOTICE}
        write_json(place.record, record)
        second = [row for row in rows if row["split"] == ASIDE]
        write_or_remove(place.new_test, table(list(_of_a_test(second)), group))
        write_or_remove(place.changed, table(list(_changes(joined))))
        write_or_remove(place.left_out, table(list(_left_out(joined))))
        write_text(place.list, text)


def numbers(joined: Joined) -> dict[str, Any]:
    """How many labels became what; the reasons for those left out."""
    return {
        "images": dict(collections.Counter(row.split for row in joined.rows)),
        "added": dict(collections.Counter(label.label for label in joined.added)),
        "second_test": dict(collections.Counter(label.label for label in joined.aside)),
        "changed": len(joined.changed),
        "confirmed": len(joined.confirmed),
        "left_out": dict(_reasons(joined)),
        "contradictions": len(joined.contradictions),
        "taken_out": len(joined.removed),
        "notes": joined.notes,
    }


def summary(joined: Joined, labels: Sequence[Label], place: Place) -> str:
    """What became of the labels, in a few lines."""
    split = collections.Counter(row.split for row in joined.rows)
    lines = [
        f"labels: {len(labels):,} rows of {', '.join(dict.fromkeys(label.origin for label in labels))}",
        f"  added to training: {_by_class(joined.added)}",
        f"  labels changed in training: {_changed(joined)}",
        f"  known already, the same label: {len(joined.confirmed):,}",
    ]
    if joined.aside:
        lines.append(
            f"  set aside as a second test: {_by_class(joined.aside)}{_by_group(joined.aside)} "
            f"({place.new_test})"
        )
    lines.append(f"  left out: {len(joined.left_out):,}" + _listed_in(place.left_out, joined.left_out))
    reasons = _reasons(joined).most_common()
    lines += [f"    {count:,} {reason}" for reason, count in reasons[:_MOST_REASONS]]
    if others := sum(count for _, count in reasons[_MOST_REASONS:]):
        lines.append(f"    {others:,} for other reasons")
    if joined.contradictions:
        removed = f"; {len(joined.removed):,} old images taken out" if joined.removed else ""
        lines.append(
            f"  contradicting labels: {len(joined.contradictions):,}, by rule"
            f"{_listed_in(place.changed, joined.contradictions)}{removed}"
        )
    lines += [f"note: {note}" for note in joined.notes]
    lines.append(
        f"written: {place.list}: {split['train']:,} training, {split['validation']:,} validation and "
        f"{split['test']:,} test images; validation and test are those of the old run, in its order"
    )
    return "\n".join(lines)


def _by_class(labels: Sequence[Label]) -> str:
    counts = collections.Counter(label.label for label in labels)
    named = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    return f"{len(labels):,}" + (f" ({named})" if named else "")


def _by_group(labels: Sequence[Label]) -> str:
    counts = [
        (kind, len({label.group for label in labels if label.group and label.of_slide == of_slide}))
        for kind, of_slide in (("patient", False), ("slide", True))
    ]
    return "".join(f", {count:,} {kind}{'s' * (count > 1)}" for kind, count in counts if count)


def _changed(joined: Joined) -> str:
    changed = set(joined.changed)
    pairs = collections.Counter(
        f"{change.other} to {change.used}" for change in joined.contradictions if change.given in changed
    )
    named = ", ".join(f"{pair} {count:,}" for pair, count in pairs.most_common())
    return f"{len(joined.changed):,}" + (f" ({named})" if named else "")


def _listed_in(path: Path, rows: Sequence[Any]) -> str:
    return f", listed in {path.name}" if rows else ""


def _reasons(joined: Joined) -> collections.Counter[str]:
    """Reasons for leaving labels out; names of patients and classes differ from row to row."""
    return collections.Counter(_plain(reason) for _, reason in joined.left_out)


def _plain(reason: str) -> str:
    if reason.startswith("of patient "):
        return "of patients who are " + reason.partition(", who is ")[2]
    if reason.startswith("labelled "):
        return "labelled in contradicting ways"
    return reason


def _rows(rows: Iterable[Known], folder: Path, *, grouped: bool) -> Iterator[dict[str, str]]:
    for row in rows:
        # What a label told stands in known_group: the column of the old images stays as it was.
        told = "known_group" in row.provenance
        group = {"group": NO_GROUP if told or not row.group else row.group} if grouped else {}
        provenance = {name: row.provenance.get(name, "") for name in PROVENANCE}
        yield {
            "path": listed_path(row.file, folder),
            "label": row.label,
            **group,
            "split": row.split,
            "content": row.content,
            **provenance,
        }


def _of_a_test(rows: Sequence[Mapping[str, str]]) -> Iterator[dict[str, str]]:
    """The rows of the second test's own file, which has no other part.

    Its patients are its groups where all are known: a list with a column for groups needs one in every row.
    """
    groups = [row["known_group"] or row.get("group", "") for row in rows]
    column = "group" if all(groups) else "known_group"
    for row, group in zip(rows, groups, strict=True):
        others = {name: row[name] for name in row if name not in (*_FIRST, "group", "known_group")}
        yield {"path": row["path"], "label": row["label"], column: group} | others


_FIRST = ("path", "label", "split")


def _without_dots(folder: Path) -> Path:
    """A folder, absolute and without "..", as images' paths are; links stay unless ".." follows one."""
    plain, real = os.path.abspath(folder), os.path.realpath(folder)
    return Path(plain if os.path.realpath(plain) == real else real)


def listed_path(file: str, folder: Path) -> str:
    """How a list in `folder` names a file: relative, with `/`, where it lies below, else absolute.

    Raises:
      UserError: a name that a CSV file cannot hold.
    """
    below = Path(file).is_relative_to(folder)
    path = os.path.relpath(file, folder).replace(os.sep, "/") if below else file
    if path != path.strip() or re.search("[\0\r\n\ud800-\udfff]", path):
        raise UserError(
            f"{file!r} cannot be listed in a CSV file (bytes that are not UTF-8, line breaks, or spaces at "
            "an end of the "
            "name): rename it"
        )
    return path


def _changes(joined: Joined) -> Iterator[dict[str, str]]:
    for change in joined.contradictions:
        yield {
            "path": change.given.file,
            "given": change.given.label or _OUT,
            "other": change.other or _OUT,
            "used": change.used or _OUT,
            "why": change.why,
            **_who(change.given),
        }


def _left_out(joined: Joined) -> Iterator[dict[str, str]]:
    for label, reason in joined.left_out:
        yield {"path": label.file, "label": label.label, "reason": reason, **_who(label)}


def _who(label: Label) -> dict[str, str]:
    given = label.provenance
    return {
        "reviewer": given.get("reviewer", ""),
        "reviewed": given.get("reviewed", ""),
        "file": label.origin,
        "line": str(label.line),
    }


def write_or_remove(path: Path, text: str) -> None:
    """Writes `text` to `path`, or removes the file where that is empty.

    Raises:
      OSError: it cannot be written or removed.
    """
    if text:
        write_text(path, text)
    else:
        remove(path)


def is_changed(path: Path, recorded: Mapping[str, Any]) -> bool:
    """Whether the list `path` is there and another than recorded (`LIST_DIGEST`).

    Earlier versions recorded none.
    """
    before = recorded.get(LIST_DIGEST)
    with disk_errors(f"read {path}", remedy="choose another --output"):
        return before is not None and path.is_file() and sha256(path) != before


def digest(text: str) -> str:
    """The SHA-256 of the file that `write_text` makes of `text`."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def table(rows: Sequence[Mapping[str, str]], group: str = "group") -> str:
    """Rows as CSV, without columns that are empty throughout; empty where there are none.

    Args:
      rows: columns by name, the same in each row; path, label and split are never left out.
      group: what the column "group" is called.
    """
    if not rows:
        return ""
    names = [name for name in rows[0] if name in _FIRST or any(row[name] for row in rows)]
    text = io.StringIO(newline="")
    writer = CsvWriter(text)
    writer.writerow([group if name == "group" else name for name in names])
    writer.writerows([[row[name] for name in names] for row in rows])
    return text.getvalue()


def _what_is_trained_on(text: str) -> set[tuple[str, ...]]:
    """Path, label and part of every row of a list."""
    return {tuple(row[name] for name in _FIRST) for row in csv.DictReader(io.StringIO(text, newline=""))}
