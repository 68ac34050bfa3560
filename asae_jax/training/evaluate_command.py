"""`evaluate`: scores a trained run again, from its folder alone, on its own data or on others."""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from asae_jax.training import build, evaluation, parallel, run_folder, trust
from asae_jax.training.data import Data, load_data, write_skipped
from asae_jax.training.loop import restore_weights
from asae_jax.training.other_source import load_other

_OTHER = "other"


def evaluate_run(config: ConfigDict, workdir: Path) -> int:
    """Scores the run in `workdir` and prints the main scores, and when to believe them.

    With `eval.source` every readable image of that source is scored instead of a part of the run's own
    (see `load_other`), and what was left out is listed in `evaluation/<name>_skipped.csv`.

    Args:
      config: settings of this evaluation (`eval`, and where the data lie now); everything else must be
        as in the run.
      workdir: the folder of a run.

    Returns:
      The exit status, 0.

    Raises:
      UserError: no run or no checkpoint there, other settings, or other data.
    """
    run_folder.check_same_config(workdir, config)
    build.check(config)
    parallel.use_all_cores(config.train.batch_size)
    other = bool(config.eval.source)
    data, record = _other_data(config, workdir) if other else (_own_data(config, workdir), {})
    variables, step = restore_weights(config, data.table.num_classes, workdir)
    name = config.eval.name or (_OTHER if other else config.eval.split)
    scores = evaluation.evaluate(
        config,
        data,
        variables,
        workdir,
        split="all" if other else config.eval.split,
        provenance={"step": step, **record},
        name=name,
    )
    if other:
        write_skipped(data, workdir / evaluation.FOLDER / f"{name}_skipped.csv")
    print(evaluation.summary(scores))
    if not other:
        trust.measure_trust(config, data, variables, workdir, step=step)
    print(f"written to {workdir / evaluation.FOLDER}. {evaluation.NOTICE}")
    return 0


def _own_data(config: ConfigDict, workdir: Path) -> Data:
    data = load_data(config, workdir)
    info = run_folder.describe(data.table.class_names, data.table.fingerprint(modified=False))
    run_folder.check_same_data(workdir, info)
    return data


def _other_data(config: ConfigDict, workdir: Path) -> tuple[Data, dict[str, Any]]:
    return load_other(config, run_folder.read_info(workdir).class_names, workdir)
