"""The data-set index: the one form that every data source is brought into."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from asae_jax.errors import UserError, one_line
from asae_jax.input.content import CONTENT_TYPE
from asae_jax.input.groups import as_listed
from asae_jax.input.reduced import Reduced, Reduction
from asae_jax.types import HostImage

MOST_CLASSES = 1000
"""Tables of class by class, and what the network learns of each, grow with it; many more are no classes."""

LONGEST_LABEL = 255
"""Characters of the name of a class, patient or slide: as many as a folder's name may have."""

NO_VALUE = frozenset(
    ("nan", "<na>", "nat", "#n/a", "#nv", "#n/d", "#ref!", "#name?", "#value!", "#div/0!", "#null!", "#num!")
)
"""What programs write where a value is missing or a formula failed, in lower case; #NV and #N/D are #N/A in
German and in Italian, Portuguese or Spanish."""

DATA_OPTIONS = "--config.data."
"""How the command line spells the settings of a run's own images, which are split and trained on."""

Skipped = tuple[tuple[str, str], ...]
"""(name, reason) of every file or record of a source that is not in the index."""


@dataclasses.dataclass(frozen=True, eq=False)
class DataIndex:
    """Where each image is, its label, its group, its split. Row `i` describes example `i`.

    Raises:
      UserError: classes that cannot be worked with, see `check_class_names`.

    Attributes:
      source: the kind of source, "folder", "synthetic", ...
      class_names: the classes; a label is a position in this tuple.
      names: str `[N]`, unique and stable: a path relative to the source's root with `/`, or
        "synthetic/000123".
      labels: int32 `[N]`, 0..classes-1.
      read: row -> the raw image, uint8 RGB `[height, width, 3]`. Thread-safe. Raises
        `asae_jax.input.decode.BadImage`.
      groups: str `[N]`, slide or patient, or None where unknown; an image of none among others that have one
        is a group of its own, see `groups.one_by_one`.
      splits: str `[N]`, "train", "validation" or "test", or None where the source gives none.
      sizes: int64 `[N]`, bytes of each file, or None.
      modified: int64 `[N]`, modification time of each file in ns, or None.
      settings: whatever else decides what `read` returns (a generator's settings), as text.
      skipped: files or records of the source that are not in the index, each with the reason.
      notes: how the source was understood where that is not obvious, in a sentence each.
      content: gives what each example holds as it is stored, see `contents`; None where `settings` tell it.
      reduced: as `read`, a JPEG at the scale that is asked for; None where no example is a JPEG.
    """

    source: str
    class_names: tuple[str, ...]
    names: np.ndarray
    labels: np.ndarray
    read: Callable[[int], HostImage]
    groups: np.ndarray | None = None
    splits: np.ndarray | None = None
    sizes: np.ndarray | None = None
    modified: np.ndarray | None = None
    settings: str = ""
    skipped: Skipped = ()
    notes: tuple[str, ...] = ()
    content: Callable[[], np.ndarray] | None = None
    reduced: Callable[[int, Reduction], Reduced] | None = None

    def __post_init__(self) -> None:
        check_class_names(self.class_names, f"the {self.source} data have")
        for field in _COLUMNS:
            column = getattr(self, field)
            if column is not None and column.shape != (len(self),):
                raise ValueError(f"DataIndex.{field} has shape {column.shape}; expected ({len(self)},)")
        if len(self) and not 0 <= self.labels.min() <= self.labels.max() < len(self.class_names):
            raise ValueError(f"DataIndex.labels must lie in 0..{len(self.class_names) - 1}")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def num_classes(self) -> int:
        """Number of classes, also of those without an example."""
        return len(self.class_names)

    def read_reduced(self, row: int, reduction: Reduction) -> HostImage | Reduced:
        """Example `row` as a preparation of this `reduction` takes it. Thread-safe. Raises BadImage."""
        return self.reduced(row, reduction) if self.reduced else self.read(row)

    @functools.cached_property
    def contents(self) -> np.ndarray:
        """What each example holds as it is stored, `CONTENT_TYPE` `[N]`: equal for the same bytes only.

        Names, places and times tell nothing of it. Empty where it is not known: drawn cells, files that
        cannot be read. Reads a little of every file, once (see `content.file_contents`).
        """
        return self.content() if self.content else np.zeros(len(self), CONTENT_TYPE)

    def select(self, indices: np.ndarray) -> "DataIndex":
        """An index of the rows `indices` (int `[n]`, in any order); classes keep their numbers."""
        indices = np.asarray(indices)
        columns = {field: getattr(self, field) for field in _COLUMNS}
        reduced = self.reduced
        return dataclasses.replace(
            self,
            read=lambda row: self.read(int(indices[row])),
            reduced=(lambda row, reduction: reduced(int(indices[row]), reduction)) if reduced else None,
            content=(lambda: self.contents[indices]) if self.content else None,
            **{field: column[indices] for field, column in columns.items() if column is not None},
        )

    def fingerprint(self, *, modified: bool = True) -> str:
        """32 hexadecimal digits that change when the examples do; what the files hold is in `cache_key`.

        Args:
          modified: whether the files' modification times count. In a run's record they do not, so that a run
            can be resumed on a copied data folder.
        """
        groups = None if self.groups is None else as_listed(self.groups)
        columns = [self.names, self.labels, groups, self.splits, self.sizes]
        texts = (self.source, *self.class_names, self.settings)
        return _digest_of([*columns, self.modified if modified else None], texts).hexdigest()[:32]

    def cache_key(self) -> str:
        """32 hexadecimal digits that change when what `read` returns may do, for any row.

        Labels, groups, splits and the names of the classes are not in it: who corrects a label needs no image
        decoded again. What the files hold is: names, sizes and times of two folders may all be equal, as
        archives and object stores have fixed times.
        """
        digest = _digest_of([self.names, self.sizes, self.modified], (self.source, self.settings))
        digest.update(self.contents.tobytes())
        return digest.hexdigest()[:32]


_COLUMNS = ("names", "labels", "groups", "splits", "sizes", "modified")


def _digest_of(columns: Iterable[np.ndarray | None], texts: Iterable[str]) -> "hashlib._Hash":
    digest = hashlib.sha256()
    for column in (*columns, *(np.array([text]) for text in texts)):
        digest.update(_digest(column))
    return digest


def _digest(column: np.ndarray | None) -> bytes:
    """SHA-256 of a column's values, whatever the width of its dtype."""
    if column is None:
        return hashlib.sha256(b"none").digest()
    digest = hashlib.sha256()
    if column.dtype.kind == "U":
        for value in column:
            digest.update(value.encode("utf-8", "surrogateescape") + b"\0")
    else:
        digest.update(np.ascontiguousarray(column, dtype="<i8").tobytes())
    return digest.digest()


def name_fault(column: str, name: str) -> tuple[str, str] | None:
    """Why `name` cannot be a label or a group, which `column` says, and what to do; None where it can."""
    if len(name) > LONGEST_LABEL:
        what = f"{column} has {len(name):,} characters, more than {LONGEST_LABEL}"
        return f"{what} ({name[:40]}...)", "is a quote missing?"
    if name.lower() in NO_VALUE:
        what = f"{column} is {name}, which programs write for a value that is missing"
        return what, f"write the {column}, or take the line out"
    return None


def check_class_names(names: Sequence[str], where: str) -> None:
    """Refuses names of classes that cannot be worked with, whoever gives them.

    Args:
      names: of the classes.
      where: who has them, as the beginning of a sentence: "the csv data have".

    Raises:
      UserError: too many, one that is too long, or one that would end a line of output or steer a
        terminal.
    """
    if len(names) > MOST_CLASSES:
        raise UserError(
            f"{where} {len(names):,} classes, more than {MOST_CLASSES:,}: is the right column or level of "
            "folders taken for the class?"
        )
    for name in names:
        if len(name) > LONGEST_LABEL:
            raise UserError(
                f"{where} a class whose name has {len(name):,} characters, more than {LONGEST_LABEL} "
                f"({name[:40]}...): shorten it"
            )
        if one_line(name) != name:
            raise UserError(f"{where} a class with unprintable characters in its name, {name!r}: rename it")
