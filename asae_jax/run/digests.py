"""Digests of what belongs to a trained network: what tells damaged or changed files from whole ones.

Orbax writes a checkpoint under another name first, so a crash leaves none half written. It does not notice
bytes that change afterwards: a disk's fault, a copy cut short, a folder half deleted. Those are found here,
and so are classes or a split that were edited: the weights would give other names, the scores other images.

All are in `digests.json` in the run folder. What has no entry (in a run of an earlier version, or of a
process that was killed right after writing) is taken as it is.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from asae_jax.config import RUN_FILE
from asae_jax.errors import UserError
from asae_jax.files import disk_errors, sha256
from asae_jax.input.run_split import SPLITS_FILE
from asae_jax.json_files import read_object, write_sealed_json

FILE = "digests.json"
_REMEDY = "delete it: the run is then used unchecked"
_RESTORE = "restore it from a copy, or train the run again"
_FIXED = (RUN_FILE, SPLITS_FILE)
"""Files beside the checkpoints that do not change while and after a run is trained."""


def check_unchanged(workdir: Path, name: str, *, missing_ok: bool = False) -> None:
    """Raises a UserError when the file `name` of a run is not as it was when its network was trained."""
    recorded = _read(workdir)["files"].get(name)
    if recorded is None or (missing_ok and not (workdir / name).exists()):
        return
    with disk_errors(f"read {workdir / name}", remedy=_RESTORE):
        if sha256(workdir / name) != recorded:
            raise UserError(f"{workdir / name} is not as training wrote it: {_RESTORE}.")


def check_made_again(workdir: Path, name: str, data: bytes) -> None:
    """Raises a UserError when `data`, for a file that is missing, is not what training wrote to it."""
    recorded = _read(workdir)["files"].get(name)
    if recorded is not None and hashlib.sha256(data).hexdigest() != recorded:
        raise UserError(f"{workdir / name} is missing and cannot be made again as it was: {_RESTORE}.")


def forget(workdir: Path) -> None:
    """To be called where a run is started: what an earlier one in `workdir` has left does not bind it."""
    (workdir / FILE).unlink(missing_ok=True)


class Digests:
    """The digests of the checkpoints in `workdir / folder`, each a folder named after its step."""

    def __init__(self, workdir: Path, folder: str):
        self._workdir = workdir
        self._folder = workdir / folder

    def seal(self, steps: Iterable[int]) -> None:
        """Records the files of every checkpoint that has no entry, and forgets checkpoints that are gone.

        Args:
          steps: of the checkpoints that are there.

        Raises:
          OSError: a file cannot be read or written.
          UserError: the file of digests is damaged.
        """
        before, names = _read(self._workdir), [str(step) for step in steps]
        files, known = before["files"], before["checkpoints"]
        new = [name for name in _FIXED if name not in files and (self._workdir / name).exists()]
        entries = {
            "files": files | {name: sha256(self._workdir / name) for name in new},
            "checkpoints": {name: known.get(name) or _digests(self._folder / name) for name in names},
        }
        if entries != before:
            write_sealed_json(self._workdir / FILE, entries, indent=1)

    def knows(self, step: int) -> bool:
        """Whether the files of the checkpoint of `step` have been recorded."""
        return str(step) in _read(self._workdir)["checkpoints"]

    def fault(self, step: int) -> str:
        """What differs from when the checkpoint of `step` was written; empty where nothing does.

        Raises:
          UserError: the file of digests is damaged.
        """
        recorded = _read(self._workdir)["checkpoints"].get(str(step))
        if recorded is None:
            return ""
        there = _digests(self._folder / str(step))
        for name in sorted(recorded.keys() | there.keys()):
            if name not in there:
                return f"{name} is missing"
            if name not in recorded:
                return f"{name} was added"
            if there[name] != recorded[name]:
                return f"{name} has changed since it was written"
        return ""


def _read(workdir: Path) -> dict[str, dict]:
    if not (workdir / FILE).exists():
        return {"files": {}, "checkpoints": {}}
    content = read_object(workdir / FILE, remedy=_REMEDY, kinds={"files": dict, "checkpoints": dict})
    if len(content) != 2 or not all(isinstance(files, dict) for files in content["checkpoints"].values()):
        raise UserError(f"{workdir / FILE} is damaged: {_REMEDY}.")
    return content


def _digests(folder: Path) -> dict[str, str]:
    """Name relative to `folder` -> SHA-256 of each file below it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}
