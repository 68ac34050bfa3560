"""Checkpoints of a run: the newest, the one before it, and the best, written by Orbax.

This is the one place that knows Orbax's (v0) interface.
"""

import contextlib
import errno
import json
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from asae_jax.errors import UserError
from asae_jax.files import disk_errors, read_bounded
from asae_jax.models.auxiliary_norm import without_auxiliary
from asae_jax.run import hosts
from asae_jax.run.digests import Digests
from asae_jax.run.state import TrainState
from asae_jax.run.weights_file import check_fits

FOLDER = "checkpoints"
DAMAGED = "damaged_checkpoints"
"""Where checkpoints go that cannot be used, so that the run can go on from the one before."""

_REMEDY = "free some space, then start the same command again: it goes on from the last checkpoint"


class DamagedCheckpoint(UserError):
    """A checkpoint that cannot be read, or whose files are not as they were written; `fault` says which."""

    def __init__(self, workdir: Path, step: int, fault: str):
        others = [entry.name for entry in _entries(workdir) if entry.name != str(step)]
        instead = f"checkpoint {others[-1]}" if others else "the beginning"
        super().__init__(
            f"checkpoint {workdir / FOLDER / str(step)} is damaged ({fault}): restore it from a copy, or "
            f"start the training command again, which puts it aside and goes on from {instead}."
        )
        self.fault = fault


def any_in(workdir: Path) -> bool:
    """Whether there is a complete checkpoint in `workdir/checkpoints`."""
    return bool(_entries(workdir))


def read_variables(
    workdir: Path, which: str, like: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], int]:
    """`Checkpoints.restore_variables` of one checkpoint, and its step; nothing is written.

    Args:
      workdir: of the run.
      which: "best" or "last".
      like: as of `restore_variables`.

    Raises:
      UserError: no checkpoint yet, a damaged one, or one of another network.
    """
    if not any_in(workdir):
        raise UserError(
            f"{workdir} has no checkpoint yet: start its training command again, for an epoch at least."
        )
    checkpoints = Checkpoints(workdir)
    try:
        step = checkpoints.best if which == "best" else checkpoints.newest
        assert step is not None
        return checkpoints.restore_variables(step, like), step
    finally:
        checkpoints.close()


class NoCheckpoints:
    """What every host but the first has: that one saves."""

    def is_best(self, score: float | None) -> bool:
        """Nothing is to be saved here."""
        return False

    def save(self, state: TrainState, *, score: float | None = None) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


class Checkpoints:
    """The checkpoints in `workdir/checkpoints`.

    Kept are the newest two, to go on from, and the one with the highest `score`, to use; a checkpoint saved
    without a score (an interruption between validations) is never the best.
    """

    def __init__(self, workdir: Path):
        """Opens the folder, which is made if missing.

        Raises:
          DamagedCheckpoint: a folder in it is no checkpoint.
        """
        self._workdir = workdir
        self._folder = (workdir / FOLDER).absolute()
        self._digests = Digests(workdir, FOLDER)
        self._has_written = False
        self._manager = self._open()

    @classmethod
    def to_go_on(cls, workdir: Path) -> "Checkpoints":
        """As `Checkpoints(workdir)`; checkpoints that are not whole are put aside first, with a line each."""
        for entry in _entries(workdir):
            if fault := _incomplete(entry) or Digests(workdir, FOLDER).fault(int(entry.name)):
                _put_aside(workdir, int(entry.name), fault)
        return cls(workdir)

    def _open(self) -> ocp.CheckpointManager:
        for entry in _entries(self._workdir):
            if fault := _incomplete(entry):
                raise DamagedCheckpoint(self._workdir, int(entry.name), fault)
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            return self._listed()
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            if not (entries := _entries(self._workdir)):
                raise
            fault = f"it cannot be listed: {_first_line(error)}"
            raise DamagedCheckpoint(self._workdir, int(entries[-1].name), fault) from error

    def _listed(self) -> ocp.CheckpointManager:
        return ocp.CheckpointManager(
            self._folder,
            item_handlers=ocp.StandardCheckpointHandler(multiprocessing_options=_this_host()),
            options=ocp.CheckpointManagerOptions(
                create=False,
                multiprocessing_options=_this_host(),
                # `best_fn` with `max_to_keep` would drop the newest when the score falls.
                preservation_policy=preservation_policy.AnyPreservationPolicy(
                    [
                        preservation_policy.LatestN(2),  # should the newest be damaged
                        preservation_policy.BestN(
                            n=1, get_metric_fn=_score, keep_checkpoints_without_metrics=False
                        ),
                    ]
                ),
                best_fn=_score,
                best_mode="max",
            ),
        )

    def save(self, state: TrainState, *, score: float | None = None) -> None:
        """Writes `state` under its step, in the background; a step already there is left as it is."""
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        # A copy on the host: the next step donates these buffers while Orbax still writes.
        state = jax.tree.map(np.array, state)
        with disk_errors(f"write a checkpoint to {self._manager.directory}", remedy=_REMEDY):
            self._manager.wait_until_finished()
            self._digests.seal(int(entry.name) for entry in _entries(self._workdir))
            _check_room(Path(self._manager.directory), sum(x.nbytes for x in jax.tree.leaves(state)))
            self._manager.save(
                step,
                args=ocp.args.StandardSave(state),
                metrics=None if score is None else {"score": score},
            )
        self._has_written = True

    def is_best(self, score: float | None) -> bool:
        """Whether no checkpoint has a higher score; False without a score."""
        if score is None:
            return False
        self.wait()  # a score is read from disk
        best = self._manager.best_step()
        return best is None or score >= _score(self._manager.metrics(best))

    def wait(self) -> None:
        """Returns when everything saved is on disk."""
        with disk_errors(f"write a checkpoint to {self._manager.directory}", remedy=_REMEDY):
            self._manager.wait_until_finished()
            if self._has_written:  # whoever reads alone may be in a folder that cannot be written
                self._digests.seal(int(entry.name) for entry in _entries(self._workdir))

    def close(self) -> None:
        """Waits, then ends Orbax's threads."""
        self.wait()
        self._manager.close()

    @property
    def newest(self) -> int | None:
        """Step of the newest checkpoint, or None."""
        return self._manager.latest_step()

    @property
    def best(self) -> int | None:
        """Step of the checkpoint with the highest score; the newest where none has a score."""
        best = self._manager.best_step()
        return self.newest if best is None else best

    def restore(self, like: TrainState, step: int) -> TrainState:
        """The state saved at `step`.

        Args:
          like: a state of the same structure, shapes and types; its arrays may be `jax.ShapeDtypeStruct`.
          step: of the checkpoint.

        Raises:
          DamagedCheckpoint: it cannot be read, or is not as it was written.
          UserError: when the checkpoint belongs to another network or optimiser; it names the first array
            that differs.
        """
        self._check_fits(like, self._saved(step), step)
        with self._reading(step):
            return self._manager.restore(step, args=ocp.args.StandardRestore(_on_one_device(like)))

    def restore_newest(self, like: TrainState) -> TrainState | None:
        """The newest state that can be read; None where nothing was saved. The others are put aside.

        Raises:
          UserError: none can be read, or one belongs to another network or optimiser.
        """
        while (step := self.newest) is not None:
            try:
                return self.restore(like, step)
            except DamagedCheckpoint as error:
                self._manager.close()
                _put_aside(self._workdir, step, error.fault)
                self._manager = self._open()
        if (self._workdir / DAMAGED).is_dir():
            raise UserError(
                f"no checkpoint of {self._workdir} is whole (see {self._workdir / DAMAGED}): delete the run "
                "folder, and start the same command again to train from the beginning."
            )
        return None

    def restore_variables(self, step: int, like: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """`params` and `batch_stats` saved at `step`, or their moving average where the run kept one.

        Nothing else of the checkpoint is read, and of these not what training alone uses.

        Args:
          step: of the checkpoint.
          like: trees of arrays or `jax.ShapeDtypeStruct` that the result must fit; None: whatever is there.

        Raises:
          DamagedCheckpoint: it cannot be read, or is not as it was written.
          UserError: when the checkpoint belongs to another network; it names the first array that differs.
        """
        saved = self._saved(step)
        averaged = bool(saved.get("average"))
        weights = saved["average"] if averaged else {name: saved[name] for name in ("params", "batch_stats")}
        weights = without_auxiliary(weights)
        if like is not None:
            self._check_fits(dict(like), weights, step)
        target = _on_one_device({"average": weights} if averaged else weights)
        handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=_this_host())
        checkpointer = ocp.Checkpointer(handler, multiprocessing_options=_this_host())
        with self._reading(step), checkpointer:
            restored = checkpointer.restore(
                self._manager.directory / str(step) / _ITEM,
                args=ocp.args.PyTreeRestore(
                    item=target,
                    restore_args=ocp.checkpoint_utils.construct_restore_args(target),
                    partial_restore=True,
                ),
            )
        return restored["average"] if averaged else restored

    def read(self, step: int) -> dict[str, Any]:
        """Everything saved at `step`, on the host, under the names of `TrainState`'s fields."""
        saved = self._saved(step)
        with self._reading(step):
            state = self._manager.restore(step, args=ocp.args.StandardRestore(_on_one_device(saved)))
        return jax.tree.map(np.asarray, state)

    def _saved(self, step: int) -> dict[str, Any]:
        """What was saved at `step`, as shapes and types."""
        if fault := self._digests.fault(step):
            raise DamagedCheckpoint(self._workdir, step, fault)
        with self._reading(step):
            tree = self._manager.item_metadata(step).tree
            if not isinstance(tree, dict) or not {"params", "batch_stats"} <= tree.keys():
                raise TypeError("it lists no weights")
            return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        """Orbax says in many ways that a file is not what it should be.

        Where digests say that the files are as they were written, the fault lies elsewhere: in memory, in a
        drive that is not there for a moment.
        """
        try:
            yield
        except (UserError, MemoryError, jax.errors.JaxRuntimeError):
            raise
        except Exception as error:
            if self._digests.knows(step):
                raise
            raise DamagedCheckpoint(self._workdir, step, _first_line(error)) from error

    def _check_fits(self, like: Any, saved: Any, step: int) -> None:
        check_fits(f"the checkpoint {self._manager.directory}/{step}", saved, like)


def _entries(workdir: Path) -> list[Path]:
    """The folders of the checkpoints, oldest first."""
    folder = workdir / FOLDER
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted((entry for entry in entries if entry.name.isdigit()), key=lambda entry: int(entry.name))


def _incomplete(entry: Path) -> str:
    """Why Orbax could not even list the folder of a checkpoint; empty where it can."""
    if not (entry / _ITEM / "_METADATA").is_file():
        return "it is incomplete"
    score = entry / "metrics" / "metrics"
    try:
        if score.exists() and not isinstance(_json(score)["score"], int | float):
            return "its score is no number"
    except (OSError, ValueError, LookupError, TypeError):
        return "its score cannot be read"
    with contextlib.suppress(OSError, ValueError):  # without it Orbax goes on
        found = _json(entry / "_CHECKPOINT_METADATA")
        kinds = _METADATA.items() if isinstance(found, dict) else ()
        if not kinds or any(found.get(name) and not isinstance(found[name], kind) for name, kind in kinds):
            return "_CHECKPOINT_METADATA holds something other than what Orbax writes"
    return ""


_METADATA = {
    "item_handlers": dict,
    "metrics": dict,
    "performance_metrics": dict,
    "custom_metadata": dict,
    "init_timestamp_nsecs": int,
    "commit_timestamp_nsecs": int,
}


def _json(path: Path) -> Any:
    try:
        return json.loads(read_bounded(path))  # a score may be NaN
    except RecursionError as error:
        raise ValueError(str(error)) from error


def _first_line(error: Exception) -> str:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return textwrap.shorten(reason[0].split(" [tensorstore_spec")[0], 200, placeholder=" ...")


def _put_aside(workdir: Path, step: int, fault: str) -> None:
    target = workdir / DAMAGED
    with disk_errors(f"move the damaged checkpoint {step} to {target}", remedy="delete it"):
        target.mkdir(exist_ok=True)
        number = sum(entry.name.split("-")[0] == str(step) for entry in target.iterdir())
        place = target / (f"{step}-{number + 1}" if number else str(step))
        (workdir / FOLDER / str(step)).rename(place)
    print(f"checkpoint {step} is damaged ({fault}) and not used; it was moved to {place}")


def _check_room(directory: Path, needed: int) -> None:
    """Before Orbax starts to write: its threads tell of a full disk each with a traceback of their own."""
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed:,} bytes needed, {free:,} free")


_ITEM = "default"
"""The folder that Orbax's manager puts a checkpoint's only item into."""


def _score(metrics: dict[str, Any]) -> float:
    return metrics["score"]


def _this_host() -> ocp.options.MultiprocessingOptions:
    """On several hosts the one that calls works alone: Orbax else waits for the others at every turn."""
    if hosts.count() == 1:
        return ocp.options.MultiprocessingOptions()
    return ocp.options.MultiprocessingOptions(
        primary_host=hosts.index(), active_processes={hosts.index()}, barrier_sync_key_prefix="asae"
    )


def _on_one_device(tree: Any) -> Any:
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), tree)
