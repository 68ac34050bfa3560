"""Checkpoints of a run: the newest and the best, written by Orbax.

This is the one place that knows Orbax's (v0) interface.
"""

import errno
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from asae_jax.errors import UserError
from asae_jax.files import disk_errors
from asae_jax.models.auxiliary_norm import without_auxiliary
from asae_jax.run.state import TrainState

FOLDER = "checkpoints"

_REMEDY = "free some space, then start the same command again: it goes on from the last checkpoint"


def any_in(workdir: Path) -> bool:
    """Whether there is a complete checkpoint in `workdir/checkpoints`."""
    folder = workdir / FOLDER
    return folder.is_dir() and any(entry.name.isdigit() for entry in folder.iterdir())


class Checkpoints:
    """The checkpoints in `workdir/checkpoints`.

    Kept are the newest, to go on from, and the one with the highest `score`, to use; a checkpoint saved
    without a score (an interruption between validations) is never the best.
    """

    def __init__(self, workdir: Path):
        self._manager = ocp.CheckpointManager(
            (workdir / FOLDER).absolute(),
            item_handlers=ocp.StandardCheckpointHandler(),
            options=ocp.CheckpointManagerOptions(
                # `best_fn` with `max_to_keep` would drop the newest when the score falls.
                preservation_policy=preservation_policy.AnyPreservationPolicy(
                    [
                        preservation_policy.LatestN(1),
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
            _check_room(Path(self._manager.directory), sum(x.nbytes for x in jax.tree.leaves(state)))
            self._manager.save(
                step,
                args=ocp.args.StandardSave(state),
                metrics=None if score is None else {"score": score},
            )

    def wait(self) -> None:
        """Returns when everything saved is on disk."""
        with disk_errors(f"write a checkpoint to {self._manager.directory}", remedy=_REMEDY):
            self._manager.wait_until_finished()

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
          UserError: when the checkpoint belongs to another network or optimiser; it names the first array
            that differs.
        """
        self._check_fits(like, self._saved(step), step)
        return self._manager.restore(step, args=ocp.args.StandardRestore(_on_one_device(like)))

    def restore_variables(self, step: int, like: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """`params` and `batch_stats` saved at `step`, or their moving average where the run kept one.

        Nothing else of the checkpoint is read, and of these not what training alone uses.

        Args:
          step: of the checkpoint.
          like: trees of arrays or `jax.ShapeDtypeStruct` that the result must fit; None: whatever is there.

        Raises:
          UserError: when the checkpoint belongs to another network; it names the first array that differs.
        """
        saved = self._saved(step)
        averaged = bool(saved.get("average"))
        weights = saved["average"] if averaged else {name: saved[name] for name in ("params", "batch_stats")}
        weights = without_auxiliary(weights)
        if like is not None:
            self._check_fits(dict(like), weights, step)
        target = _on_one_device({"average": weights} if averaged else weights)
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
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
        state = self._manager.restore(step, args=ocp.args.StandardRestore(_on_one_device(self._saved(step))))
        return jax.tree.map(np.asarray, state)

    def _saved(self, step: int) -> dict[str, Any]:
        """What was saved at `step`, as shapes and types."""
        return self._manager.item_metadata(step).tree

    def _check_fits(self, like: Any, saved: Any, step: int) -> None:
        there, here = _shapes(saved), _shapes(like)
        for name in sorted(there.keys() | here.keys()):
            if there.get(name) != here.get(name):
                raise UserError(
                    f"the checkpoint {self._manager.directory}/{step} does not fit these settings: "
                    f"{name} is {_said(there.get(name))} there and {_said(here.get(name))} here; "
                    "use the settings it was trained with or another --workdir=DIR."
                )


def _check_room(directory: Path, needed: int) -> None:
    """Before Orbax starts to write: its threads tell of a full disk each with a traceback of their own."""
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed:,} bytes needed, {free:,} free")


_ITEM = "default"
"""The folder that Orbax's manager puts a checkpoint's only item into."""


def _score(metrics: dict[str, Any]) -> float:
    return metrics["score"]


def _on_one_device(tree: Any) -> Any:
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), tree)


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """Dotted path, as Orbax writes it -> shape of each leaf."""
    return {_dotted(path): tuple(x.shape) for path, x in jax.tree_util.tree_leaves_with_path(tree)}


def _dotted(path: tuple[Any, ...]) -> str:
    return ".".join(
        str(getattr(entry, "name", getattr(entry, "key", getattr(entry, "idx", "")))) for entry in path
    )


def _said(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(list(shape))
