"""Runs that are still to be done: one command at a time in a folder, and it goes on where it was stopped."""

import contextlib
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from asae_jax.config import CONFIG_FILE
from asae_jax.errors import UserError
from asae_jax.experiments.grid import PlannedRun, is_finished, prepare, run_folder
from asae_jax.experiments.runner import Progress, TrainProcess, run_all
from asae_jax.experiments.slots import choose_slots
from asae_jax.files import disk_errors
from asae_jax.run.folder import VALIDATED, check_same_config, with_chosen
from asae_jax.training import interruption

EXIT_FAILED = 1
"""Exit status when a run failed."""

POLL_SECONDS = 0.2
"""Between two looks at the processes."""

_LOCK = "reproduce.lock"  # one for all commands: two of them would start the same runs


def check_to_the_end(config: ConfigDict, command: str) -> None:
    """Refuses settings by which training stops before its end: such a run has no scores to compare.

    Args:
      config: what all runs share.
      command: its name, for the error.
    """
    if config.train.max_steps:
        raise UserError(
            f"config.train.max_steps={config.train.max_steps} cannot be used: `{command}` compares runs that "
            "are trained to their end. Leave it out; for shorter runs set --config.train.epochs=N."
        )


def check_same_run(workdir: Path, run: PlannedRun, *, also: Collection[str] = ()) -> None:
    """Refuses a run of other settings where this one's would be.

    Args:
      workdir: folder of the runs.
      run: what is planned; of a batch size and epochs that it leaves to be chosen the run's count.
      also: further settings that must be the same, and do not decide the weights.
    """
    folder = run_folder(workdir, run.name)
    if not (folder / CONFIG_FILE).exists():
        return
    tested = [*VALIDATED, "eval.batch_statistics", "eval.checkpoint"]
    if run.config.eval.batch_statistics != "running":
        tested.append("eval.reestimate_batches")
    # Finished runs are read without their images, which would tell what another class map makes of them.
    check_same_config(folder, with_chosen(folder, run.config), also=("data.class_map", *tested, *also))


@contextlib.contextmanager
def only_one(workdir: Path, command: str) -> Iterator[tuple[int, ...]]:
    """Keeps a second command out of `workdir`, also after this process was killed and its runs still go on.

    The lock belongs to the open file, whose descriptor is given: the runs inherit it, and the lock ends with
    the last of them. Windows has no such locks, nor do its processes inherit descriptors: none is given.

    Args:
      workdir: folder of the runs.
      command: its name, for the error.

    Raises:
      UserError: `workdir` is taken or cannot be written to.
    """
    with disk_errors(f"write to {workdir}", remedy="choose another --workdir=DIR"):
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / _LOCK).open("w")
    with file:
        kept_open: tuple[int, ...] = (file.fileno(),)
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            kept_open = ()
        except OSError as error:
            raise UserError(
                f"another `{command}`, or a run that one has left behind, is at work in {workdir}: wait "
                "until it has ended, or use another --workdir=DIR."
            ) from error
        yield kept_open


def run_unfinished(
    runs: Sequence[PlannedRun], jobs: int, workdir: Path, *, command: str, kept_open: tuple[int, ...]
) -> int:
    """Does those of `runs` that are not finished, each in a process of its own; returns the exit status.

    Args:
      runs: all of them.
      jobs: how many side by side, see `choose_slots`.
      workdir: folder of the runs.
      command: its name, for the progress bar.
      kept_open: file descriptors that the processes inherit.

    Returns:
      0, `EXIT_FAILED`, or 128 + signal when the command was interrupted.

    Raises:
      UserError: data that cannot be used, or that have changed since a run was begun; or a disk that is full.
    """
    waiting = [run for run in runs if not is_finished(workdir, run.name)]
    if not waiting:
        return 0
    prepare(waiting, workdir, begun=runs)
    progress = Progress(
        runs,
        len(runs) - len(waiting),
        workdir,
        title=command,
        refresh_seconds=2.0 if sys.stderr.isatty() else 60.0,
    )
    with (
        contextlib.closing(progress),
        interruption.watch() as stop,
        disk_errors(f"go on in {workdir}", remedy="mend that, then give the same command to go on"),
    ):
        run_all(
            waiting,
            choose_slots(jobs),
            workdir,
            start=lambda run, slot: TrainProcess(run, workdir, slot, kept_open=kept_open),
            stop=stop,
            progress=progress,
            poll_seconds=POLL_SECONDS,
        )
    if stop.requested:
        print("interrupted; the same command goes on from there.")
        return stop.exit_status
    return 0 if all(is_finished(workdir, run.name) for run in runs) else EXIT_FAILED
