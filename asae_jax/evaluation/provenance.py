"""What scores were computed from: written with them, compared before they are replaced or read.

A file is known by what it says of itself, not by its name: `test.json` is whatever somebody wrote there.
"""

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from asae_jax.errors import UserError
from asae_jax.evaluation.uncertainty_files import conditions
from asae_jax.files import user_path
from asae_jax.input.exact_duplicates import is_among, recorded_contents
from asae_jax.input.run_split import SPLITS_FILE
from asae_jax.json_files import read_json
from asae_jax.run import build, digests
from asae_jax.run.data import Data
from asae_jax.run.folder import Record, read_record
from asae_jax.run.run import Run
from asae_jax.run.test_time_augmentation import TTA_SUFFIX

FOLDER = "evaluation"
"""Of a run, where the scores are."""

_ANOTHER_SOURCE = "class_map"  # stands in the files of other sources, of all versions
_COMPARED = ("split", "source", "data_fingerprint", "checkpoint", "test_mode", "batch_statistics")
_COMPARED_ELSEWHERE = ("path", "class_map")
_UNREADABLE = "delete it and evaluate the run again"  # a file that cannot be read is not replaced


def provenance(run: Run, data: Data, split: str, other: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the scores of a split are computed from, as the file of scores says it.

    Args:
      run: whose weights are used.
      data: of which the part `split` is scored.
      split: "test", "validation", "train" or "all".
      other: what there is to say of another source, see `source_record`; None: the data are the run's own.
    """
    return {
        "split": split,
        "step": run.step,
        "source": data.index.source,
        "path": _absolute(run.config.data.path),
        "data_fingerprint": _fingerprint(run, data, is_own=other is None),
        "checkpoint": run.config.eval.checkpoint,
        "test_mode": run.test_mode,
        "batch_statistics": build.statistics_as(run.config),
        **(other or {}),
    }


def _fingerprint(run: Run, data: Data, *, is_own: bool) -> str:
    """Of images; of the run's own, which were compared with it (`check_same_data`), what the run recorded."""
    return read_record(run.workdir).data_fingerprint if is_own else data.index.fingerprint(modified=False)


def source_record(run: Run, class_map: Mapping[str, str]) -> dict[str, Any]:
    """What tells the source that `eval` names from the run's own: its path and its class map."""
    return {"path": _absolute(run.config.eval.path), _ANOTHER_SOURCE: dict(class_map)}


CANNOT_BE_TOLD = (
    "Whether the run was trained on some of these images cannot be told: a model folder, an adapted run and "
    "a run of an earlier version hold no list of what they were trained on, and files cannot be compared "
    "with pixels of an .npz file."
)
"""Where `among_trained_on` gives None."""


def among_trained_on(run: Run, contents: np.ndarray, *, pixels: bool) -> np.ndarray | None:
    """Which images of another source are among those that the run was trained on, bool `[N]`.

    None where that cannot be told: in a model folder, in a run of a version that recorded no contents, or
    where the ones are files and the others pixels of an `.npz` file, which have nothing to be compared by.

    Args:
      run: with its split.
      contents: what each image holds, `[N]`, as of `DataIndex.contents`.
      pixels: whether they come from an `.npz` file.

    Raises:
      UserError: a split that has changed since training.
    """
    digests.check_unchanged(run.workdir, SPLITS_FILE)
    known = recorded_contents(run.workdir / SPLITS_FILE, "train")
    if not len(known) or (run.config.data.source == "npz") != pixels:
        return None
    return is_among(contents, known)


def own_scores(run: Run, data: Data, split: str) -> tuple[str, dict[str, Any]] | None:
    """Name and content of the file of a run's scores on its own part, by the settings and weights of `run`.

    None where there is none: scores of an earlier checkpoint are others. The file named after the part comes
    first; others hold such scores where that name was taken.
    """
    wanted = {
        "split": split,
        "source": data.index.source,
        "data_fingerprint": _fingerprint(run, data, is_own=True),
        "checkpoint": run.config.eval.checkpoint,
        "test_mode": run.test_mode,
        "batch_statistics": build.statistics_as(run.config),
    }
    folder = run.workdir / FOLDER
    for path in (folder / f"{split}.json", *sorted(folder.glob("*.json"))):
        content = _content(path) if path.exists() else None
        if not isinstance(content, dict) or _difference(content, wanted):
            continue
        if content.get("step", run.step) == run.step:  # files of earlier versions lack it
            return path.stem, content
    return None


def read_scores(run: Run, *, tta: bool | None = None) -> Mapping[str, Any] | None:
    """Scores of the test part by this checkpoint and way of testing; None where they were not measured.

    Args:
      run: with its settings.
      tta: as in `uncertainty_files.conditions`.

    Raises:
      UserError: a file that cannot be read.
    """
    found = find_scores(run, tta=tta)
    return None if found is None else found[1]


def find_scores(run: Run, *, tta: bool | None = None) -> tuple[Path, Mapping[str, Any]] | None:
    """The file of `read_scores` and its content; None where they were not measured.

    Any file of the evaluations may hold them, and `test.json` something else: what it says of itself counts.
    Unlike `own_scores` this needs no data.

    Raises:
      UserError: a file that cannot be read.
    """
    record, wanted = read_record(run.workdir), conditions(run, tta=tta)
    folder = run.workdir / FOLDER
    for path in (folder / "test.json", *sorted(folder.glob("*.json"))):
        if path.exists():
            scores = read_json(path, remedy=_UNREADABLE)
            if not foreign(scores, record, split="test") and wanted.items() <= scores.items():
                return path, scores
    return None


def free_name(folder: Path, name: str, now: Mapping[str, Any]) -> str:
    """`name`, or `name-2` and so on where a file of that name was computed from something else.

    Args:
      folder: of the files.
      name: wanted.
      now: what the scores will be computed from.
    """
    names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    return next(name for name in names if _may_be_written(folder / f"{name}.json", now))


def own_name(folder: Path, split: str, now: Mapping[str, Any]) -> str:
    """The name of a file of scores of a run's own part, where none is given: that of the part.

    Where that holds means over views and these are of one, or the other way round, "test-one-view" or
    "test-tta".
    """
    then = _content(folder / f"{split}.json")
    before = str(then.get("test_mode", "")) if isinstance(then, Mapping) else now["test_mode"]
    if before.endswith(TTA_SUFFIX) == now["test_mode"].endswith(TTA_SUFFIX):
        return split
    return f"{split}{TTA_SUFFIX}" if now["test_mode"].endswith(TTA_SUFFIX) else f"{split}-one-view"


def check_name(folder: Path, name: str, now: Mapping[str, Any]) -> None:
    """Raises a UserError where the file `name` holds scores that were computed from something else."""
    path = folder / f"{name}.json"
    if not _may_be_written(path, now):
        raise UserError(
            f"{path} holds scores of something else ({_difference(_content(path), now)}) and would be lost: "
            "choose another name (--name=NAME), or move it away."
        )


def foreign(scores: Any, record: Record, *, split: str) -> str:
    """Why scores are not those of a run on its own part `split`, in a few words; empty where they are.

    Args:
      scores: content of a file of scores, of any version.
      record: of the run.
      split: "test", "validation" or "train".
    """
    if not isinstance(scores, Mapping) or "split" not in scores:
        return "they do not say of which part they are"
    if _ANOTHER_SOURCE in scores:
        return "they are of another source"
    if scores["split"] != split:
        return f"they are of the part {scores['split']}"
    if list(scores.get("class_names", ())) != list(record.class_names):
        return "they are of other classes"
    if scores.get("data_fingerprint", record.data_fingerprint) != record.data_fingerprint:
        return "they are of other images"
    return ""


def are_of_groups(scores: Mapping[str, Any]) -> bool:
    """Whether slides or patients of the images are known; files of earlier versions may lack their number."""
    return "num_groups" in scores or scores.get("intervals_over") == "groups"


def _may_be_written(path: Path, now: Mapping[str, Any]) -> bool:
    return not path.exists() or not _difference(_content(path), now)


def _content(path: Path) -> Any:
    try:
        return read_json(path, remedy=_UNREADABLE)
    except UserError:
        return None


def _difference(then: Any, now: Mapping[str, Any]) -> str:
    """What scores were computed from that differs, in a few words; empty where nothing does.

    Files of earlier versions lack some of it: of the run's own data that is not taken for a difference.
    """
    if not isinstance(then, Mapping) or "split" not in then:
        return "it does not say of what"
    elsewhere = _ANOTHER_SOURCE in now
    if elsewhere and "path" not in then:
        return f"of the source {then.get('source')}, without a path"
    if elsewhere != (_ANOTHER_SOURCE in then):
        return (
            f"of the {'run itself' if elsewhere else 'source ' + then.get('path', 'of another laboratory')}"
        )
    for name in (*_COMPARED, *(_COMPARED_ELSEWHERE if elsewhere else ())):
        if then.get(name, now[name]) != now[name]:
            return f"{name} {then[name]!r}, not {now[name]!r}"
    return ""


def _absolute(path: str) -> str:
    return os.path.realpath(user_path(path)) if path else ""
