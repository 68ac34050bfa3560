"""The runs that predict together."""

from pathlib import Path

from ml_collections import ConfigDict

from asae_jax.errors import UserError
from asae_jax.inference.trained import Trained, load_trained
from asae_jax.training import run_folder


def load_runs(config: ConfigDict, workdir: Path) -> list[Trained]:
    """The run in `workdir`, then those of `predict.ensemble`, each under its own settings.

    Raises:
      UserError: what `load_trained` finds wrong with one of them, or other classes than the first has.
    """
    folders = [Path(name) for part in config.predict.ensemble.split(",") if (name := part.strip())]
    run_folder.check_same_config(workdir, config)
    for folder in folders:
        _check_same_classes(workdir, folder)
    return [load_trained(workdir, config), *map(load_trained, folders)]


def _check_same_classes(first: Path, other: Path) -> None:
    run_folder.read_config(other)  # refuses what is not a run
    names, others = (run_folder.read_info(workdir).class_names for workdir in (first, other))
    if names != others:
        differing = ", ".join(sorted(set(names) ^ set(others))) or "their order"
        raise UserError(
            f"{other} cannot predict together with {first}: their classes differ in {differing}; give runs "
            "of the same classes (--ensemble=DIR,DIR)."
        )
