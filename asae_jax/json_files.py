"""JSON files: written atomically, with a checksum where a change would matter, and read with checks."""

import hashlib
import json
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from asae_jax.errors import UserError
from asae_jax.files import MOST_TEXT, read_bounded, write_text

Made = TypeVar("Made")


def write_json(path: Path, content: Any, *, indent: int = 2) -> None:
    """Writes `content` as JSON to `path` atomically; NaN and infinity are refused, as JSON has neither.

    Bytes of file names that are not UTF-8 are written as escapes, so that the file is UTF-8.
    """
    text = json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False)
    write_text(path, re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


CHECKSUM = "sha256_of_the_rest"
"""The entry of a JSON file by which `read_json` sees that another one has changed."""


def write_sealed_json(path: Path, content: dict[str, Any], *, indent: int = 2) -> None:
    """As `write_json`, with a checksum: what has changed since is refused by `read_json`."""
    write_json(path, content | {CHECKSUM: _checksum(content)}, indent=indent)


def _checksum(content: dict[str, Any]) -> str:
    """SHA-256 of what JSON makes of `content`, whatever its order and spaces."""
    parsed = json.loads(json.dumps(content, allow_nan=False))
    return hashlib.sha256(json.dumps(parsed, sort_keys=True).encode()).hexdigest()


def parse_json(text: str) -> Any:
    """The content of JSON text.

    Raises:
      ValueError: it is not JSON, has NaN or infinity, which JSON does not allow, a number that no program
        could take, or lists within lists without end.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("too many lists or objects within each other") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def read_json(path: Path, *, remedy: str) -> Any:
    """The content of a JSON file, without its checksum where it has one.

    Args:
      path: of the file.
      remedy: what the user can do when it cannot be read, as a clause: "train the run again".

    Raises:
      UserError: the file is missing, cannot be read, is too large, is not JSON, or has changed since
        `write_sealed_json`.
    """
    try:
        content = parse_json(read_bounded(path, most=MOST_TEXT).decode("utf-8", errors="surrogateescape"))
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror or error}): {remedy}.") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged, it is not JSON ({error}): {remedy}.") from error
    if isinstance(content, dict) and CHECKSUM in content:
        recorded = content.pop(CHECKSUM)
        if recorded != _checksum(content):
            raise UserError(
                f"{path} has changed since it was written: {remedy}; where the change is yours, delete its "
                f"entry {CHECKSUM!r}."
            )
    return content


def read_object(path: Path, *, remedy: str, kinds: Mapping[str, type] | None = None) -> dict[str, Any]:
    """The content of a JSON file that holds one object.

    Args:
      path: of the file.
      remedy: as of `read_json`.
      kinds: field -> type of those that must be there.

    Raises:
      UserError: as `read_json`, or the content is something else.
    """
    content = read_json(path, remedy=remedy)
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged, it holds no object with named fields: {remedy}.")
    for name, kind in (kinds or {}).items():
        if not isinstance(content.get(name), kind):
            raise UserError(f"{path} is damaged, its field {name!r} is missing or of another type: {remedy}.")
    return content


def typed(kind: type[Made], values: Mapping[str, Any]) -> Made:
    """The object of a data class that JSON describes.

    Args:
      kind: a data class whose fields are numbers, text, None or one of these, or pairs of numbers.
      values: by the names of its fields.

    Raises:
      TypeError: a field is missing or unknown, or its value of another type.
    """
    made = kind(**values)
    for name, hint in get_type_hints(kind).items():
        alternatives = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        if name in values and not any(_is_of(values[name], one) for one in alternatives):
            raise TypeError(f"{name} is {values[name]!r:.60}")
    return made


def _is_of(value: Any, kind: Any) -> bool:
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_is_of, value, kinds))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


_LARGEST = 1e300  # larger whole numbers become infinite, or no floats at all
