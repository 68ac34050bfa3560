"""Model folders: what a trained run becomes when it travels, and how it becomes a run folder again.

A model folder is a run folder of a few megabytes, without images, checkpoints and optimiser:
`weights.safetensors`, `config.json`, `run.json`, the uncertainty estimates, the scores of the test part, a
card (`README.md`) and licences. `export --formats=model` writes one. To be used it is copied to a run folder,
where the results go. Which model it is, the SHA-256 of its weights tells, which `run.json` records.

Nothing here loads JAX.
"""

import contextlib
import hashlib
import shutil
from pathlib import Path

from asae_jax.config import CONFIG_FILE, RUN_FILE
from asae_jax.errors import UserError, did_you_mean, quoted
from asae_jax.files import (
    MOST_TEXT,
    check_bounded,
    disk_errors,
    irreplaceable,
    name_beside,
    read_bounded,
    user_path,
)
from asae_jax.json_files import read_json
from asae_jax.run.adaptation import FILE as ADAPTATION
from asae_jax.shipped import WEIGHTS_FILE, models

CARD = "README.md"
SCORES = "evaluation/test.json"
SCORES_TTA = "evaluation/test-tta.json"
"""As `SCORES`, by the mean over views of each image (`eval.tta`)."""
UNCERTAINTY_TTA = "uncertainty-tta"
"""Name of the estimates for such scores."""
DIGEST = "weights_sha256"
"""The field of `run.json` that tells which model it is."""

_MAKES_A_VERSION = (
    CONFIG_FILE,
    "uncertainty.json",
    f"{UNCERTAINTY_TTA}.json",
    ADAPTATION,
    "classes.csv",
    SCORES,
    SCORES_TTA,
)
"""What else than the weights decides about results: settings, thresholds, what labels told of the mixture of
classes, what the classes are, and the scores shown."""
_TRAVELS = (
    *_MAKES_A_VERSION,
    RUN_FILE,
    CARD,
    "uncertainty/*",
    f"{UNCERTAINTY_TTA}/*",
    "LICENSE*",
)
"""By name: where a model is used as it lies, results with paths of the machine come to lie beside."""
_MOST_BYTES = 20_000_000_000
"""Of weights. A file can be said to be larger than any disk, and be full of holes."""
_SHOWN = 8  # digits of a digest in messages


def holds_model(folder: Path) -> bool:
    """Whether a folder has the weights of a model instead of checkpoints."""
    return (folder / WEIGHTS_FILE).is_file()


def find(given: str) -> Path:
    """The folder of a model.

    Args:
      given: the name of an included model, or a model folder.

    Raises:
      UserError: neither, or empty; the nearest names are given.
    """
    if not given:
        raise UserError("--model= names no model: give NAME|FOLDER behind it, or leave it out.")
    folder = models().get(given, user_path(given))
    if holds_model(folder):
        return folder
    if (folder / CONFIG_FILE).exists():
        raise UserError(
            f"{given} is a run, not a model folder: use it by --workdir={quoted(given)}, or make it one by "
            f"`asae export --workdir={quoted(given)} --formats=model`."
        )
    if folder.is_dir():
        raise UserError(f"{given} is no model folder: it has no {WEIGHTS_FILE}.")
    names = list(models())
    known = f"the names are {', '.join(names)}" if names else "none is included in this version"
    raise UserError(
        f"no model {given!r}.{did_you_mean(given, names)} Give the name of one that is included ({known}) or "
        "a model folder."
    )


def title(folder: Path) -> str:
    """The name of a model, by the first heading of its card; empty where it has none.

    Raises:
      UserError: the card cannot be read.
    """
    card = folder / CARD
    if not (holds_model(folder) and card.exists()):
        return ""
    with disk_errors(f"read {card}", remedy="mend or delete it"):
        lines = read_bounded(card).decode("utf-8", errors="replace").splitlines()
    return next((line.removeprefix("# ").strip() for line in lines if line.startswith("# ")), "")


def checked_digest(folder: Path) -> str:
    """Which model `folder` holds: the SHA-256 of its weights, which agrees with the record.

    Raises:
      UserError: weights or record are missing or damaged.
    """
    path, found = folder / WEIGHTS_FILE, weights_digest(folder)
    if found != recorded_digest(folder):
        raise UserError(
            f"{path} is damaged or of another model: its SHA-256 is not the one in {RUN_FILE}; get the model "
            "folder again (where it is a copy, delete it and start again)."
        )
    return found


def weights_digest(folder: Path) -> str:
    """The SHA-256 of the weights in `folder`, as they are.

    Raises:
      UserError: they cannot be read.
    """
    path = folder / WEIGHTS_FILE
    try:
        check_bounded(path, most=_MOST_BYTES)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read the weights {path} ({error.strerror}).") from error


def recorded_digest(folder: Path) -> str:
    """Which model `folder` holds, as `run.json` says; empty where it says nothing.

    Raises:
      UserError: the record is missing or damaged.
    """
    record = read_json(folder / RUN_FILE, remedy="get the model folder again")
    return str(record.get(DIGEST, "")) if isinstance(record, dict) else ""


def unpack(model: Path, workdir: Path) -> None:
    """Makes `workdir` a run folder of the model; the same model that is there already is kept.

    The folder appears at once and complete, or not at all.

    Args:
      model: a model folder, see `find`.
      workdir: the run folder: new, empty, or of the same model.

    Raises:
      UserError: the model is damaged, `workdir` holds something else, cannot be replaced (the folder that
        the user works in, a mount point, a link) or cannot be written.
    """
    digest = checked_digest(model)
    if _is_there(model, digest, workdir):
        return
    if what := irreplaceable(workdir):
        raise UserError(f"--workdir={workdir} {what}: give a new folder for the model, in it for instance.")
    part = name_beside(workdir)
    try:
        with disk_errors(f"copy the model to {workdir}", remedy="choose another --workdir=DIR"):
            copy(model, part)
            try:
                if workdir.is_dir():
                    workdir.rmdir()
                part.rename(workdir)
            except OSError:
                if not _is_there(model, digest, workdir):  # or another process was faster
                    raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def copy(model: Path, folder: Path) -> None:
    """Copies the files that belong to a model, its weights last: without them a folder holds no model."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {file for pattern in _TRAVELS for file in model.glob(pattern) if file.is_file()}
    for file in (*sorted(files), model / WEIGHTS_FILE):
        target = folder / file.relative_to(model)
        target.parent.mkdir(exist_ok=True)
        check_bounded(file, most=_MOST_BYTES if file.name == WEIGHTS_FILE else MOST_TEXT)
        shutil.copyfile(file, target)


def _is_there(model: Path, digest: str, workdir: Path) -> bool:
    """Whether `workdir` holds that model, whose weights have that digest; False where it is new or empty.

    Raises:
      UserError: it holds anything else.
    """
    if not workdir.exists():
        return False
    if holds_model(workdir):
        there = recorded_digest(workdir)
        differs = [name for name in _MAKES_A_VERSION if _content(model / name) != _content(workdir / name)]
        if there == digest and not differs:
            return True
        what = f"its {differs[0]} differs" if there == digest else f"{there[:_SHOWN]}, not {digest[:_SHOWN]}"
        raise UserError(
            f"{workdir} holds another model or another version of it ({what}): give another --workdir=DIR, "
            "or delete it."
        )
    with contextlib.suppress(NotADirectoryError):
        if not any(workdir.iterdir()):
            return False
    holds = "holds another run" if (workdir / CONFIG_FILE).exists() else "is not empty"
    raise UserError(f"{workdir} {holds}: give another --workdir=DIR for the model.")


def _content(path: Path) -> bytes | None:
    """None where there is no such file."""
    return read_bounded(path, most=MOST_TEXT) if path.is_file() else None
