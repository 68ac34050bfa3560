"""What a run folder records about its run, and whether settings and data fit it.

`config.json` holds every setting, `run.json` the classes, the fingerprint of the data and the versions.
"""

import dataclasses
import os
import platform
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

import asae_jax
from asae_jax import config as settings
from asae_jax.errors import UserError
from asae_jax.files import disk_errors, together, user_path
from asae_jax.input.cell_classes import CellClass, write_classes
from asae_jax.input.groups import NO_GROUP
from asae_jax.input.index import DataIndex, check_class_names
from asae_jax.input.run_split import OTHER_IMAGES, SPLITS_FILE, first_differences, read_records
from asae_jax.json_files import read_object, write_sealed_json
from asae_jax.run import digests
from asae_jax.run.model_folder import holds_model

RUN_FILE = settings.RUN_FILE
CLASSES_FILE = "classes.csv"
"""What the run's classes are, where the user has said so; see `input.cell_classes`. It may be edited."""
CHOSEN = ("train.batch_size", "train.epochs")
"""Settings of which 0 leaves the choice to the first start of a run."""
VALIDATED = ("eval.test_mode", "eval.look_threshold", "eval.tta")
"""Settings of a test that the scores of checkpoints depend on."""
METRICS_FILE = "metrics.jsonl"
"""Training and validation metrics, one JSON object a line."""

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "opencv-python-headless")


@dataclasses.dataclass(frozen=True)
class Record:
    """What a checkpoint belongs to: the content of `run.json`.

    Attributes:
      class_names: of the logits, in their order.
      data_fingerprint: of the images.
      versions: of the packages it was trained with, and the device.
      weights_sha256: of a model (`model_folder`) the digest of its weights; empty for any other run.
      images: of a model class -> part -> number of images, as the split stays behind.
      unreadable: names of the images that could not be read when the run was started; None of a model, and
        of runs of earlier versions.
    """

    class_names: tuple[str, ...]
    data_fingerprint: str
    versions: dict[str, str]
    weights_sha256: str = ""
    images: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    unreadable: tuple[str, ...] | None = None


def record_of(index: DataIndex, unreadable: Iterable[str] | None = None) -> Record:
    """The record of a run on the examples of `index`, with the versions of this process.

    Args:
      index: the examples.
      unreadable: names of those that cannot be read; None: it is not recorded.
    """
    names = None if unreadable is None else tuple(map(str, unreadable))
    return Record(index.class_names, index.fingerprint(modified=False), versions_now(), unreadable=names)


def versions_now() -> dict[str, str]:
    """Versions of this package, Python and the packages that results depend on, and the devices."""
    versions = {"asae_jax": asae_jax.__version__, "python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in _PACKAGES if _installed(name)}
    return versions | {"device": f"{jax.device_count()} x {jax.devices()[0].device_kind}"}


def write(workdir: Path, config: ConfigDict, record: Record) -> None:
    """Starts a run folder.

    Raises:
      UserError: it cannot be written.
    """
    fields = dataclasses.asdict(record)
    of_some = ("weights_sha256", "images")
    known = {name: value for name, value in fields.items() if value or name not in of_some}
    if record.unreadable is None:
        del known["unreadable"]
    with disk_errors(f"write to {workdir}", remedy="choose another --workdir=DIR"), together():
        digests.forget(workdir)
        write_sealed_json(workdir / RUN_FILE, known)
        write_sealed_json(workdir / settings.CONFIG_FILE, config.to_dict())


def write_own_classes(workdir: Path, classes: Sequence[CellClass]) -> None:
    """Keeps what the user says the classes are with the run.

    Raises:
      UserError: it cannot be written.
    """
    with disk_errors(f"write to {workdir}", remedy="choose another --workdir=DIR"):
        write_classes(workdir / CLASSES_FILE, classes)


def holds_run(workdir: Path) -> bool:
    """Whether a run has been started in `workdir`: it has settings, and weights or a line of metrics.

    A folder with settings alone holds a start that was refused or that failed before its first result.
    """
    from asae_jax.run import checkpoint  # loads Orbax, which a model folder does not need

    if not (workdir / settings.CONFIG_FILE).exists():
        return False
    metrics = workdir / METRICS_FILE
    return (
        holds_model(workdir)
        or checkpoint.any_in(workdir)
        or (metrics.exists() and metrics.stat().st_size > 0)
    )


def check_settings_are_there(workdir: Path) -> None:
    """Raises a UserError where checkpoints have lost their `config.json`: others would pass for theirs."""
    from asae_jax.run import checkpoint

    if not (workdir / settings.CONFIG_FILE).exists() and checkpoint.any_in(workdir):
        raise UserError(
            f"{workdir} has checkpoints, but no {settings.CONFIG_FILE} that says what they are: restore it "
            "from a copy, or choose another --workdir=DIR for a new run."
        )


def refuse_links(workdir: Path) -> None:
    """Refuses a run folder with a link that leads out of it: what is written there would land elsewhere.

    Whoever sends a run folder decides what is in it. A folder that is itself reached by a link is none such.

    Raises:
      UserError: naming the link.
    """
    for folder, folders, files in os.walk(workdir):
        for name in (*folders, *files):
            _refuse_link(os.path.join(folder, name), workdir)


def refuse_linked_files(workdir: Path) -> None:
    """Refuses a folder of several runs with a file that is a link leading out of it.

    The runs in it may be links, such as to another disk: `refuse_links` looks at each.

    Raises:
      UserError: naming the link.
    """
    for path in sorted(workdir.iterdir()) if workdir.is_dir() else ():
        if not path.is_dir():
            _refuse_link(str(path), workdir)


def _refuse_link(path: str, workdir: Path) -> None:
    if os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(workdir)):
        raise UserError(
            f"{path} is a link that leads out of the run folder, and results would be written there: "
            "put what it leads to in its place (`cp -rL` copies a folder so), or link the whole run "
            "folder."
        )


def read_record(workdir: Path) -> Record:
    """Classes, fingerprint and versions of the run in `workdir`.

    Raises:
      UserError: the file is missing, damaged, or not as training wrote it.
    """
    digests.check_unchanged(workdir, RUN_FILE)
    path, remedy = workdir / RUN_FILE, "restore it, or train the run again"
    fields = read_object(path, remedy=remedy, kinds=_FIELDS)
    known = {field.name for field in dataclasses.fields(Record)}  # a later version may have written more
    record = Record(**{name: value for name, value in fields.items() if name in known})
    if not _has_right_types(record):
        raise UserError(f"{path} is damaged, it holds something other than text and counts: {remedy}.")
    check_class_names(record.class_names, f"{path} has")
    names = None if record.unreadable is None else tuple(record.unreadable)
    return dataclasses.replace(record, class_names=tuple(record.class_names), unreadable=names)


_FIELDS = {"class_names": list, "data_fingerprint": str, "versions": dict}


def _has_right_types(record: Record) -> bool:
    unreadable = [] if record.unreadable is None else record.unreadable
    texts = (*record.class_names, *record.versions.values(), record.weights_sha256)
    counts = record.images.values() if isinstance(record.images, dict) else [None]
    return (
        isinstance(unreadable, list)
        and all(isinstance(text, str) for text in (*texts, *unreadable))
        and len(record.class_names) == len(set(record.class_names)) > 0
        and all(isinstance(of, dict) and all(type(n) is int for n in of.values()) for of in counts)
    )


Counts = Mapping[tuple[str, str], int]
"""(class, part) -> images; empty where the run has no record of its split."""


def read_counts(workdir: Path) -> Counts:
    """Images of each class and part, by the run's split, or as a model's record has them.

    Those that could not be read when the run was started are not counted, where it recorded them.

    Raises:
      UserError: split or record are missing, damaged, or not as training wrote them.
    """
    path = workdir / SPLITS_FILE
    digests.check_unchanged(workdir, SPLITS_FILE)
    if not path.exists():
        images = read_record(workdir).images
        return Counter({(name, part): n for name, parts in images.items() for part, n in parts.items()})
    unreadable = frozenset(read_record(workdir).unreadable or ())  # None: by an earlier version
    return Counter(
        (row.label, row.split) for name, row in read_records(path).items() if name not in unreadable
    )


def check_apart(workdir: Path, config: ConfigDict) -> None:
    """Raises a UserError where a run, or its cache, would lie among the images that it is trained on."""
    if config.data.source != "folder" or not config.data.path:
        return
    images = user_path(config.data.path).resolve()
    cache = config.data.cache_dir if config.data.cache else ""
    for option, given, other in (
        ("--workdir", str(workdir), "runs/mine"),
        ("--config.data.cache_dir", cache, "runs/cache"),
    ):
        place = user_path(given).resolve()
        if given and (images == place or images in place.parents):
            raise UserError(
                f"{option}={given} lies in the folder of the images, {config.data.path}, where its files "
                f"would be taken for classes of cells: choose another, such as {other}."
            )


def with_chosen(workdir: Path, config: ConfigDict) -> ConfigDict:
    """`config` with batch size and epochs of the run in `workdir`, where it leaves them to be chosen."""
    given = settings.flatten(config)
    names = [name for name in CHOSEN if not given[name]]
    if not names:
        return config
    own = settings.flatten(settings.read_run_config(workdir))
    return settings.copy_with(config, {name: own[name] for name in names}).lock()


def check_same_config(workdir: Path, config: ConfigDict, *, also: Collection[str] = ()) -> None:
    """Raises a UserError that names every setting in which `config` would give other weights than the run.

    Settings that did not exist when the run was made are compared with their default. Those of the run that
    this version does not know cannot be compared, and are warned of.

    Args:
      workdir: of the run.
      config: every setting.
      also: settings `section.field` that do not decide the weights, and must be the same too.
    """
    then, now = settings.flatten(settings.read_run_config(workdir)), settings.flatten(config)
    settings.warn_of_unknown(workdir)
    names = [
        name for name in then if (settings.decides_weights(name) or name in also) and then[name] != now[name]
    ]
    if names:
        differences = ", ".join(f"{name}={now[name]!r} (there: {then[name]!r})" for name in names)
        others = any(name in ("data.source", "data.path") for name in names)
        raise UserError(
            f"{workdir} holds a run with other settings: {differences}; give the same settings to go on, "
            f"or another --workdir=DIR for a new run{OTHER_IMAGES * others}."
        )


def check_same_data(workdir: Path, index: DataIndex) -> None:
    """Raises a UserError when classes or examples are not those the run was started with."""
    then, now = read_record(workdir), index.fingerprint(modified=False)
    if then.class_names != index.class_names:
        missing = sorted(set(then.class_names) - set(index.class_names)) or "none"
        new = sorted(set(index.class_names) - set(then.class_names)) or "none"
        raise UserError(
            f"{workdir} was trained on {len(then.class_names)} classes, these data have "
            f"{len(index.class_names)} (missing: {missing}, new: {new}); "
            "use the same data or another --workdir=DIR."
        )
    # Before groups were taken from columns such as `patient`, runs recorded the same images without groups.
    before = dataclasses.replace(index, groups=None).fingerprint(modified=False)
    # And images that are all of no group were those of one.
    together = dataclasses.replace(index, groups=np.full(len(index), NO_GROUP)).fingerprint(modified=False)
    if then.data_fingerprint not in (now, before, *([together] if index.groups is None else [])):
        raise UserError(
            f"the images are not those that {workdir} was started with "
            f"(fingerprint {now[:8]}, there {then.data_fingerprint[:8]}): "
            f"files, labels or groups were added, removed or changed{_which(workdir, index)}; restore them "
            "or use another --workdir=DIR."
        )


def _which(workdir: Path, index: DataIndex) -> str:
    """In parentheses the first images that differ, as far as the split in `workdir` tells; else nothing."""
    try:
        found = first_differences(index, read_records(workdir / SPLITS_FILE))
    except UserError:  # there is none, or it is damaged, which says nothing about the images
        return ""
    return f" ({found})" if found else ""


def left_out_before(workdir: Path, unreadable: Mapping[str, str]) -> list[str]:
    """Names of the images that the run in `workdir` began without, and that can be read now.

    The order of the images, the steps of an epoch, and so the schedule depend on how many there are: a run
    goes on with those that it began with, and is evaluated on them.

    Args:
      workdir: a run.
      unreadable: name of each image that cannot be read now -> reason.
    """
    recorded = read_record(workdir).unreadable or ()  # None: by an earlier version
    if found := sorted(set(recorded) - set(unreadable)):
        print(
            f"note: {found[0]}{_and_more(found)} could not be read when {workdir} was started, and can be "
            "now: left out all the same, as the run is of the images that it began with"
        )
    return found


def check_readable(workdir: Path, unreadable: Mapping[str, str]) -> None:
    """Raises a UserError where an image cannot be read with which the run in `workdir` began.

    Args:
      workdir: a run that is to be trained further.
      unreadable: as of `left_out_before`.
    """
    recorded = read_record(workdir).unreadable
    if recorded is not None and (lost := sorted(set(unreadable) - set(recorded))):
        raise UserError(
            f"{lost[0]}{_and_more(lost)} could be read when {workdir} was started, and cannot be now "
            f"({unreadable[lost[0]]}): training would go on with other images; see that it can be read, and "
            "start the same command again, or use another --workdir=DIR."
        )


def _and_more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1:,} more)" if len(names) > 1 else ""


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
