"""`evaluate`: scores a trained run again, from its folder alone."""

from pathlib import Path

from ml_collections import ConfigDict

from asae_jax.training import build, evaluation, run_folder
from asae_jax.training.data import load_data
from asae_jax.training.loop import restore_weights


def evaluate_run(config: ConfigDict | None, workdir: Path) -> int:
    """Scores the run in `workdir` and prints the main scores.

    Args:
      config: settings of this evaluation (`eval`, and where the data lie now); everything else must be
        as in the run. None: all as in the run.
      workdir: the folder of a run.

    Returns:
      The exit status, 0.

    Raises:
      UserError: no run or no checkpoint there, other settings, or other data.
    """
    run_config = run_folder.read_config(workdir)
    if config is not None:
        run_folder.check_same_config(workdir, config)
        run_config = run_folder.with_neutral_settings(run_config, config)
    build.check(run_config)
    data = load_data(run_config, workdir)
    info = run_folder.describe(data.table.class_names, data.table.fingerprint(modified=False))
    run_folder.check_same_data(workdir, info)
    variables, step = restore_weights(run_config, data, workdir)
    scores = evaluation.evaluate(
        run_config,
        data,
        variables,
        workdir,
        split=run_config.eval.split,
        provenance={"step": step},
        name=run_config.eval.name,
    )
    print(evaluation.summary(scores))
    print(f"written to {workdir / evaluation.FOLDER}. {evaluation.NOTICE}")
    return 0
