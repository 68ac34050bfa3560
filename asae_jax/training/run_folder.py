"""What a run folder says about its run, and whether a command fits it.

`config.json` holds every setting, `run.json` the classes, the fingerprint of the data and the versions.
"""

import dataclasses
import importlib
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

import asae_jax
from asae_jax.errors import UserError

CONFIG_FILE = "config.json"
RUN_FILE = "run.json"

NEUTRAL = frozenset(
    {
        "data.path",
        "data.cache",
        "data.cache_dir",
        "data.driver",
        "data.workers",
        "train.log_every",
        "train.max_steps",
    }
)
"""Settings that do not change the result; they may differ when a run goes on. The
images themselves are held by their fingerprint, wherever they lie."""


OF_OTHER_COMMANDS = ("eval", "trust", "predict", "explain", "export", "reproduce")
"""Sections of the configuration that training does not read; they may differ too."""


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """What a checkpoint belongs to."""

    class_names: tuple[str, ...]
    data_fingerprint: str
    versions: dict[str, str]


def describe(class_names: tuple[str, ...], data_fingerprint: str) -> RunInfo:
    """RunInfo with the versions of this process."""
    packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "opencv-python-headless")
    versions = {"asae_jax": asae_jax.__version__, "python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in packages if _installed(name)}
    versions["device"] = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    return RunInfo(class_names, data_fingerprint, versions)


def open_run(workdir: Path, config: ConfigDict, info: RunInfo) -> None:
    """Starts a run folder, or checks that it holds the same run.

    Raises:
      UserError: naming the first settings, classes or data that differ from the run in `workdir`.
    """
    if (workdir / CONFIG_FILE).exists():
        check_same_config(workdir, config)
        check_same_data(workdir, info)
        return
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        _write_json(workdir / RUN_FILE, dataclasses.asdict(info))
        _write_json(workdir / CONFIG_FILE, config.to_dict())
    except OSError as error:
        raise UserError(
            f"cannot write to {workdir} ({error.strerror}); choose another --workdir=DIR."
        ) from error


def read_config(workdir: Path) -> ConfigDict:
    """The configuration of the run in `workdir`.

    Raises:
      UserError: when there is no run.
    """
    path = workdir / CONFIG_FILE
    if not path.exists():
        raise UserError(
            f"no run in {workdir} (no {CONFIG_FILE}); train first, or name the run by --workdir=DIR."
        )
    return ConfigDict(json.loads(path.read_text(encoding="utf-8")))


def complete_config(workdir: Path) -> ConfigDict:
    """As `read_config`; settings that did not exist when the run was made have their default.

    Raises:
      UserError: when there is no run.
    """
    config = importlib.import_module("configs.default").get_config()
    with config.ignore_type():  # a whole number may have been written for a float
        config.update(read_config(workdir))
    return config


def read_info(workdir: Path) -> RunInfo:
    """Classes, fingerprint and versions of the run in `workdir`."""
    fields = json.loads((workdir / RUN_FILE).read_text(encoding="utf-8"))
    return RunInfo(**fields | {"class_names": tuple(fields["class_names"])})


def check_same_config(workdir: Path, config: ConfigDict) -> None:
    """Raises a UserError that names every setting (not neutral) in which `config` differs from the run.

    Settings that did not exist when the run was made are not compared.
    """
    then, now = _flat(read_config(workdir).to_dict()), _flat(config.to_dict())
    fields = sorted(name for name, value in then.items() if value != now.get(name) and _matters(name))
    if fields:
        differences = ", ".join(f"{name}={now.get(name)!r} (there: {then.get(name)!r})" for name in fields)
        raise UserError(
            f"{workdir} holds a run with other settings: {differences}; give the same settings to go on, "
            "or another --workdir=DIR for a new run."
        )


def check_same_data(workdir: Path, info: RunInfo) -> None:
    """Raises a UserError when classes or examples are not those the run was started with."""
    then = read_info(workdir)
    if then.class_names != info.class_names:
        missing = sorted(set(then.class_names) - set(info.class_names)) or "none"
        new = sorted(set(info.class_names) - set(then.class_names)) or "none"
        raise UserError(
            f"{workdir} was trained on {len(then.class_names)} classes, these data have "
            f"{len(info.class_names)} (missing: {missing}, new: {new}); "
            "use the same data or another --workdir=DIR."
        )
    if then.data_fingerprint != info.data_fingerprint:
        raise UserError(
            f"the images are not those that {workdir} was started with "
            f"(fingerprint {info.data_fingerprint[:8]}, there {then.data_fingerprint[:8]}): "
            "files were added, removed or changed; restore them or use another --workdir=DIR."
        )


def _matters(name: str) -> bool:
    return name not in NEUTRAL and name.partition(".")[0] not in OF_OTHER_COMMANDS


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _write_json(path: Path, content: Any) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    part.replace(path)
