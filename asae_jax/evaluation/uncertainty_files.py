"""Files of uncertainty estimates in a run folder, and which of them fits a checkpoint and way of testing."""

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from asae_jax.config import CONFIG_FILE, copy_with, read_run_config
from asae_jax.errors import UserError, quoted
from asae_jax.evaluation.arrays import read_checked_arrays, write_arrays
from asae_jax.evaluation.outliers import METHODS
from asae_jax.evaluation.uncertainty import Uncertainty
from asae_jax.files import together
from asae_jax.json_files import read_json, read_object, write_sealed_json
from asae_jax.run import build
from asae_jax.run.adaptation import FILE as ADAPTATION
from asae_jax.run.adaptation import classes_given, read_adaptation
from asae_jax.run.run import Run

FILE = "uncertainty.json"
FOLDER = "uncertainty"

_ARRAYS = "features.npz"
_DIGEST = "features_sha256"
_ARRAYS_OF = "features_of"
"""The file of other estimates of the same network, whose features of training images are those of these."""
_OLD_FILE = "trust.json"  # the name in run folders made before; its folder is trust/


def conditions(run: Run, *, tta: bool | None = None) -> dict[str, Any]:
    """What scores depend on besides the run: the checkpoint, and how the network is tested.

    Args:
      run: with its settings.
      tta: whether scores are means over views; None: as `eval.tta` says.
    """
    settings = run.config if tta is None else copy_with(run.config, {"eval.tta": tta})
    return {
        "step": run.step,
        "test_mode": build.tested_as(settings),
        "batch_statistics": build.statistics_as(run.config),
    }


def uncertainty_name(run: Run) -> str:
    """What the estimates' file and folder are called: "uncertainty", by the settings that the run records.

    Under other settings what distinguishes them is added, "uncertainty-enhance", so that what `predict` uses
    by itself is never replaced by it.
    """
    if not (run.workdir / CONFIG_FILE).exists():
        return FOLDER
    recorded = Run(run.workdir, read_run_config(run.workdir), run.class_names)
    pairs = zip(_tested_under(run), _tested_under(recorded), strict=True)
    return "-".join([FOLDER, *(now for now, then in pairs if now != then)])


def _tested_under(run: Run) -> tuple[str, str, str]:
    statistics = build.statistics_as(run.config).replace(" ", "-")  # the name of a file
    return run.test_mode, run.config.eval.checkpoint, statistics


def write_uncertainty(
    estimates: Uncertainty,
    workdir: Path,
    record: Mapping[str, Any],
    *,
    compact: bool = False,
    name: str = FOLDER,
    arrays_of: str = "",
) -> None:
    """Writes `uncertainty.json`, and what is kept of the training images to `uncertainty/features.npz`.

    Args:
      estimates: what was fitted.
      workdir: the run folder.
      record: further content of the file for its readers: measured scores, warnings.
      compact: compress the arrays, directions of features to half precision: an error of 1e-5 in a cosine.
      name: of file and folder, see `uncertainty_name`.
      arrays_of: name of other estimates there, by the same network and training images, whose arrays serve
        these too; empty: they have their own.
    """
    arrays = workdir / name / _ARRAYS
    content = estimates.to_json() | dict(record) | {_DIGEST: "", _ARRAYS_OF: arrays_of}
    with together():
        if arrays_of:
            content[_DIGEST] = read_object(workdir / f"{arrays_of}.json", remedy="write it anew")[_DIGEST]
        elif estimates.outliers.reference is None:
            arrays.unlink(missing_ok=True)
        else:
            kept = estimates.outliers.reference._asdict()
            if compact and "directions" in kept:
                kept["directions"] = kept["directions"].astype(np.float16)
            content[_DIGEST] = write_arrays(arrays, kept, compressed=compact)
        write_sealed_json(workdir / f"{name}.json", content)


def uncertainty_file(workdir: Path) -> Path:
    """The file of the estimates of the run in `workdir`, under its old name where only that exists."""
    path, old = workdir / FILE, workdir / _OLD_FILE
    return old if old.exists() and not path.exists() else path


def read_uncertainty(workdir: Path, path: Path | None = None) -> Uncertainty | None:
    """The estimates of the run in `workdir`; None where none were fitted.

    Args:
      workdir: the run folder.
      path: of the file; None: those under the run's own settings.

    Raises:
      UserError: files that cannot be read.
    """
    path = path or uncertainty_file(workdir)
    if not path.exists():
        return None
    remedy = f"`evaluate --workdir={quoted(workdir)}` writes it anew"
    content = read_object(path, remedy=remedy)
    try:
        method = METHODS.get(content["outliers"]["method"])
        kind = method and method.reference
        if kind is None:
            return _without_removed(Uncertainty.from_json(content), workdir)
        kept = path.with_name(content.get(_ARRAYS_OF) or path.stem) / _ARRAYS
        arrays = read_checked_arrays(kept, content.get(_DIGEST, ""))
        reference = kind(**{name: array.astype(np.float32) for name, array in arrays.items()})
        if reference[0].ndim != 2 or not all(np.isfinite(array).all() for array in reference):
            raise ValueError("its features of training images are no table of numbers")
        return _without_removed(Uncertainty.from_json(content, reference), workdir)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(f"{path} cannot be used ({error}); {remedy}.") from error


def _without_removed(estimates: Uncertainty, workdir: Path) -> Uncertainty:
    """The estimates, with the classes that the model's adaptation says are never given."""
    given = classes_given(read_adaptation(workdir), estimates.class_names)
    return dataclasses.replace(
        estimates, removed=tuple(name for name in estimates.class_names if name not in given)
    )


def read_matching_uncertainty(run: Run) -> Uncertainty | None:
    """The estimates for the run's checkpoint and way of testing; None, with a warning, where there are none.

    See `usable_file` for scores that are means over views.

    Raises:
      UserError: files that cannot be read.
    """
    path, wanted = usable_file(run), conditions(run)
    if path is not None:
        return read_uncertainty(run.workdir, path)
    own = uncertainty_file(run.workdir)
    found = read_uncertainty(run.workdir)
    if found is None and (run.workdir / ADAPTATION).exists():
        warnings.warn(
            f"probabilities are not calibrated and nothing is flagged: {run.workdir} was adapted to another "
            "laboratory without labels, where the run's own thresholds do not hold; adapt it with "
            "--labels=FILE.",
            stacklevel=2,
        )
        return None
    reason = f"{own} is missing"
    if found is not None:
        reason = f"{own} is of {_listed(found.conditions)}, not of {_listed(wanted)}"
    warnings.warn(
        f"probabilities are not calibrated and nothing is flagged: {reason}; "
        f"`evaluate --workdir={quoted(run.workdir)}` with the same --config.eval settings measures it.",
        stacklevel=2,
    )
    return None


def uncertainty_without_layer(run: Run) -> Uncertainty | None:
    """The estimates for the run's checkpoint tested without the branching layer; None where there are none.

    Raises:
      UserError: files that cannot be read.
    """
    path = _file_of(run, conditions(run) | {"test_mode": "skip"})
    return None if path is None else read_uncertainty(run.workdir, path)


def matching_file(run: Run, *, tta: bool | None = None) -> Path | None:
    """The file of the estimates for the run's checkpoint and way of testing; None where there is none.

    Args:
      run: with its settings.
      tta: as in `conditions`.

    Raises:
      UserError: a file that cannot be read.
    """
    return _file_of(run, conditions(run, tta=tta))


def usable_file(run: Run) -> Path | None:
    """`matching_file`; for means over views the one for one view where there is no other (`of_one_view`).

    Raises:
      UserError: a file that cannot be read.
    """
    return matching_file(run) or matching_file(run, tta=False)


def of_one_view(run: Run, estimates: Uncertainty | None) -> bool:
    """Whether the run's scores are means over views, and `estimates` were fitted to scores of one view."""
    if estimates is None or not run.config.eval.tta:
        return False
    return estimates.conditions.get("test_mode") != run.test_mode


def _file_of(run: Run, wanted: Mapping[str, Any]) -> Path | None:
    """The file of the estimates whose `conditions` are `wanted`."""
    remedy = f"`evaluate --workdir={quoted(run.workdir)}` writes it anew"
    for path in (uncertainty_file(run.workdir), *sorted(run.workdir.glob(f"{FOLDER}-*.json"))):
        if path.exists():
            content = read_json(path, remedy=remedy)
            if isinstance(content, Mapping) and content.get("conditions") == wanted:
                return path
    return None


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
