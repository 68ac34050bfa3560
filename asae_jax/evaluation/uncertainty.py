"""Uncertainty estimates: fitted on a run's validation images, kept in its folder, applied to new images.

A temperature calibrates the probabilities, a threshold leaves uncertain images to a person, conformal sets
name the classes that cannot be excluded, an outlier score tells images unlike the training images.
`uncertainty_report` measures them and writes them after training; `predict` and `export` read them.
"""

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from asae_jax.config import CONFIG_FILE, copy_with, read_run_config
from asae_jax.errors import UserError, quoted
from asae_jax.evaluation.abstention import Abstention, choose_abstention, fewest_images
from asae_jax.evaluation.arrays import read_checked_arrays, write_arrays
from asae_jax.evaluation.calibration import Temperature, fit_temperature, soften
from asae_jax.evaluation.conformal import Conformal, fit_conformal
from asae_jax.evaluation.outliers import (
    METHODS,
    ClassGaussians,
    Neighbours,
    Outliers,
    fit_outliers,
    fit_reference,
)
from asae_jax.files import together
from asae_jax.input.nucleus_sizes import NucleusSizes
from asae_jax.json_files import read_json, read_object, typed, write_sealed_json
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


class Part(NamedTuple):
    """A scored part of the data.

    Attributes:
      logits: float32 `[N, classes]`.
      features: float32 `[N, channels]`, pooled from the last stage.
      labels: int32 `[N]`.
    """

    logits: np.ndarray
    features: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What the estimates say about N images.

    Attributes:
      probabilities: float64 `[N, classes]`, calibrated; the most probable class is the network's own.
      abstain: bool `[N]`, the most probable class is not probable enough.
      outlier_score: float64 `[N]`, higher farther from the training images (the unit depends on the method);
        None where it is not known.
      is_outlier: bool `[N]`, the score is above the threshold; None where it is not known.
      sets: bool `[N, classes]`, the conformal set of each image.
    """

    probabilities: np.ndarray
    abstain: np.ndarray
    outlier_score: np.ndarray | None
    is_outlier: np.ndarray | None
    sets: np.ndarray

    @property
    def for_a_person(self) -> np.ndarray:
        """bool `[N]`: not probable enough, or an outlier."""
        return self.abstain if self.is_outlier is None else self.abstain | self.is_outlier


@dataclasses.dataclass(frozen=True)
class Uncertainty:
    """All estimates fitted on a run's validation images.

    Attributes:
      class_names: of the scores, in their order.
      num_examples: number of validation images.
      conditions: settings under which the scores were computed (checkpoint step, test mode); scores
        computed otherwise must not be judged by it.
      temperature: calibrates the probabilities.
      abstention: which images are left to a person.
      conformal: which classes cannot be excluded.
      outliers: which images are unlike the training images.
      nuclei: of training images, to tell crops of another scale; None where they were not measured.
      removed: classes that `adapt --only` left out, which the network never gives: they are in no set.
    """

    class_names: tuple[str, ...]
    num_examples: int
    conditions: Mapping[str, Any]
    temperature: Temperature
    abstention: Abstention
    conformal: Conformal
    outliers: Outliers
    nuclei: NucleusSizes | None = None
    removed: tuple[str, ...] = ()

    def nothing_labelled(self) -> str:
        """Why no threshold was found below which images could be labelled, as a clause."""
        target = f"{100 * self.abstention.target_error:.3g} %"
        fewest = fewest_images(self.abstention.target_error, self.abstention.certainty)
        if self.num_examples < fewest:
            return (
                f"to promise at most {target} errors takes at least {fewest} images with labels, all of them "
                f"right, and there were {self.num_examples}"
            )
        return f"no certainty kept the errors among the images with labels to {target}"

    def apply(self, scores: np.ndarray, features: np.ndarray | None = None) -> Judgement:
        """Judges images by their scores and features.

        Args:
          scores: logits or log-probabilities `[N, classes]`, finite.
          features: `[N, channels]`, the pooled features of the last stage (`score_and_pool_step`); without
            them distances give no outlier score. (The energy needs none, but logits.)

        Raises:
          ValueError: another number of classes than the run has.
        """
        if np.ndim(scores) != 2 or np.shape(scores)[1] != len(self.class_names):
            raise ValueError(f"need scores [N, {len(self.class_names)}], got {np.shape(scores)}")
        probabilities = np.exp(soften(scores, self.temperature.value))
        return self.judge(probabilities, self.outliers.score(scores, features))

    def judge(self, probabilities: np.ndarray, outlier_score: np.ndarray | None = None) -> Judgement:
        """Judges images by probabilities that are calibrated already, such as a mean over several views.

        Args:
          probabilities: `[N, classes]`.
          outlier_score: `[N]`, from `outliers.score`, or None.
        """
        return Judgement(
            probabilities,
            probabilities.max(1) < self.abstention.threshold,
            outlier_score,
            None if outlier_score is None else outlier_score > self.outliers.threshold,
            self._sets(probabilities),
        )

    def _sets(self, probabilities: np.ndarray) -> np.ndarray:
        """The conformal sets without removed classes; the most probable one may be given by another run."""
        sets = self.conformal.sets(probabilities)
        best = np.arange(sets.shape[1]) == probabilities.argmax(1)[:, None]
        return sets & (best | ~np.isin(self.class_names, self.removed))

    def to_json(self) -> dict[str, Any]:
        """Plain Python for JSON; the arrays of `outliers.reference` are not in it."""
        return {
            "class_names": list(self.class_names),
            "num_validation_images": self.num_examples,
            "conditions": dict(self.conditions),
            "temperature": dataclasses.asdict(self.temperature),
            "abstention": dataclasses.asdict(self.abstention),
            "conformal": dataclasses.asdict(self.conformal),
            "outliers": {
                field: getattr(self.outliers, field) for field in ("method", "quantile", "threshold")
            },
            "nuclei": None if self.nuclei is None else dataclasses.asdict(self.nuclei),
        }

    @classmethod
    def from_json(
        cls, content: Mapping[str, Any], reference: Neighbours | ClassGaussians | None = None
    ) -> "Uncertainty":
        """The object that `to_json` wrote; what else `content` holds is ignored.

        Args:
          content: of the file.
          reference: the arrays that are kept beside it, where there are any.
        """
        abstention, nuclei = content["abstention"], content.get("nuclei")
        return cls(
            tuple(map(str, content["class_names"])),
            int(content["num_validation_images"]),
            dict(content["conditions"]),
            typed(Temperature, content["temperature"]),
            typed(Abstention, abstention | {"error_interval": tuple(abstention["error_interval"])}),
            typed(Conformal, content["conformal"]),
            dataclasses.replace(typed(Outliers, content["outliers"]), reference=reference),
            None if nuclei is None else typed(NucleusSizes, dict(nuclei)),
        )


def fit_uncertainty(
    settings: ConfigDict,
    class_names: tuple[str, ...],
    parts: Mapping[str, Part],
    measured_under: Mapping[str, Any],
) -> Uncertainty:
    """Fits every estimate on the validation part.

    Args:
      settings: the section `uncertainty` of a configuration.
      class_names: of the scores, in their order.
      parts: "validation", not trained on, and "train", whose features outliers are compared with: at least
        one image of every class.
      measured_under: what `conditions` says of the scores.
    """
    train, validation = parts["train"], parts["validation"]
    temperature = fit_temperature(validation.logits, validation.labels).if_needed()
    probabilities = np.exp(soften(validation.logits, temperature.value))
    return Uncertainty(
        class_names=class_names,
        num_examples=len(validation.labels),
        conditions=measured_under,
        temperature=temperature,
        abstention=choose_abstention(
            probabilities.max(1),
            probabilities.argmax(1) == validation.labels,
            target_error=settings.target_error,
            certainty=settings.certainty,
        ),
        conformal=fit_conformal(
            probabilities, validation.labels, error=settings.conformal_error, method=settings.conformal
        ),
        outliers=fit_outliers(
            validation.logits,
            validation.features,
            fit_reference(train.features, train.labels, len(class_names), method=settings.outliers),
            method=settings.outliers,
            quantile=settings.outlier_quantile,
        ),
    )


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
        "batch_statistics": run.config.eval.batch_statistics,
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
    return run.test_mode, run.config.eval.checkpoint, run.config.eval.batch_statistics


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
