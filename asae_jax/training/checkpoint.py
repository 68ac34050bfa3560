"""Checkpoints of a run: the newest and the best, written by Orbax.

This is the one place that knows Orbax's (v0) interface.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from asae_jax.errors import UserError
from asae_jax.training.state import TrainState

FOLDER = "checkpoints"


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
        try:
            self._manager.save(
                step,
                # A copy on the host: the next step donates these buffers while Orbax still writes.
                args=ocp.args.StandardSave(jax.tree.map(np.array, state)),
                metrics=None if score is None else {"score": score},
            )
        except OSError as error:
            raise _no_room(self._manager.directory, error) from error

    def wait(self) -> None:
        """Returns when everything saved is on disk."""
        try:
            self._manager.wait_until_finished()
        except OSError as error:
            raise _no_room(self._manager.directory, error) from error

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
        """The state saved at `step`, in the structure, shapes and types of `like`.

        Raises:
          UserError: when the checkpoint belongs to another network or optimiser; it names the first array
            that differs.
        """
        self._check_fits(like, step)
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), like)
        return self._manager.restore(step, args=ocp.args.StandardRestore(target))

    def restore_variables(self, step: int) -> dict[str, Any]:
        """`params` and `batch_stats` saved at `step` for any network, on the host; the average where kept."""
        saved = self._manager.item_metadata(step).tree
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), saved)
        state = self._manager.restore(step, args=ocp.args.StandardRestore(target))
        weights = state.get("average") or {name: state[name] for name in ("params", "batch_stats")}
        return jax.tree.map(np.asarray, weights)

    def _check_fits(self, like: TrainState, step: int) -> None:
        saved = {
            array.name: tuple(array.shape)
            for array in jax.tree.leaves(self._manager.item_metadata(step).tree)
        }
        wanted = {_dotted(path): x.shape for path, x in jax.tree_util.tree_leaves_with_path(like)}
        for name in sorted(saved.keys() | wanted.keys()):
            if saved.get(name) != wanted.get(name):
                raise UserError(
                    f"the checkpoint {self._manager.directory}/{step} does not fit these settings: "
                    f"{name} is {_shape(saved.get(name))} there and {_shape(wanted.get(name))} here; "
                    "use the settings it was trained with or another --workdir=DIR."
                )


def _score(metrics: dict[str, Any]) -> float:
    return metrics["score"]


def _no_room(directory: Any, error: OSError) -> UserError:
    return UserError(
        f"cannot write a checkpoint to {directory} ({error.strerror or error}); "
        "free some space, then start the same command again: it goes on from the last checkpoint."
    )


def _dotted(path: tuple[Any, ...]) -> str:
    """A leaf's path as Orbax writes it: attributes, keys and positions joined by dots."""
    return ".".join(
        str(getattr(entry, "name", getattr(entry, "key", getattr(entry, "idx", "")))) for entry in path
    )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(list(shape))
