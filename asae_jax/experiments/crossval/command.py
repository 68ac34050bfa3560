"""`crossval`: trains a network for each fold, and says what all together make of every image."""

from pathlib import Path

from ml_collections import ConfigDict

from asae_jax.config import BY_NAME
from asae_jax.evaluation.page.write import PAGE
from asae_jax.experiments.crossval.folds import FoldRun, plan_folds
from asae_jax.experiments.crossval.pooled import pool, pooled_scores
from asae_jax.experiments.crossval.report import NAME, summary, write_results
from asae_jax.experiments.grid import is_finished, run_folder
from asae_jax.experiments.unfinished import check_same_run, check_to_the_end, only_one, run_unfinished
from asae_jax.files import disk_errors
from asae_jax.run.data import load_index
from asae_jax.run.folder import check_apart, refuse_linked_files
from asae_jax.run.run import Run

_COMMAND = "crossval"
_UNCERTAINTY = tuple(name for name in BY_NAME if name.startswith("uncertainty."))
"""Settings of the folds' thresholds, which are counted together."""


def crossval(config: ConfigDict, workdir: Path) -> int:
    """Trains the run of each fold and writes what they say together; goes on where it was stopped.

    Each run is an ordinary training run in `runs/fold<N>`, in a process of its own, with its output in
    `logs/`. Finished runs are not repeated, failed ones are tried again. Nothing is pooled before all are
    finished.

    Args:
      config: what is trained, and the section `crossval`.
      workdir: folder of the cross-validation.

    Returns:
      The exit status: 0, `unfinished.EXIT_FAILED`, or 128 + signal when it was interrupted.

    Raises:
      UserError: settings or data that cannot be used, runs of other settings in `workdir`, or another
        command at work there.
    """
    check_to_the_end(config, _COMMAND)
    check_apart(workdir, config)  # before the lock makes a folder among the images
    refuse_linked_files(workdir)
    runs = plan_folds(config, workdir)
    for run in runs:
        check_same_run(workdir, run, also=_UNCERTAINTY)
    with only_one(workdir, _COMMAND) as kept_open:
        finished = sum(is_finished(workdir, run.name) for run in runs)
        print(f"{len(runs)} folds, {finished} finished; {workdir}")
        jobs = config.crossval.jobs
        status = run_unfinished(runs, jobs, workdir, command=_COMMAND, kept_open=kept_open)
        if status:
            return status
        _pool(runs, config, workdir)
    return 0


def _pool(runs: tuple[FoldRun, ...], config: ConfigDict, workdir: Path) -> None:
    index = load_index(runs[0].config)
    pooled = pool(runs, workdir, index)
    scores = pooled_scores(pooled, index, bootstrap=config.eval.bootstrap, seed=config.seed)
    first = Run(run_folder(workdir, runs[0].name), runs[0].config, index.class_names)
    with disk_errors(f"write to {workdir}", remedy="mend that and give the same command again"):
        write_results(workdir, pooled, scores, index, first.classes)
    print(summary(scores))
    print(
        f"written to {workdir / NAME}.json and beside it; to be read in a browser: {workdir / PAGE}. "
        f"{scores['notice']}"
    )
