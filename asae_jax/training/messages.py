"""What a training run says about itself: at the start, and once its speed is known."""

import time
from pathlib import Path

import jax
from ml_collections import ConfigDict

from asae_jax.training.data import SKIPPED_FILE, Data
from asae_jax.training.state import TrainState

_TIMED_STEPS = 3
_SECONDS_PER_HOUR = 3600


def greeting(config: ConfigDict, data: Data, state: TrainState, steps_per_epoch: int, workdir: Path) -> str:
    """What will be trained, on what, from where, in a few lines."""
    layer = {"none": "no layer", "asae": "ASAE"}.get(config.model.branching, config.model.branching)
    parameters = sum(x.size for x in jax.tree.leaves(state.params)) / 1e6
    counts = ", ".join(f"{len(data.indices(split))} {split}" for split in ("train", "validation", "test"))
    start = f"from step {int(state.step)}" if int(state.step) else "from the start"
    lines = [
        f"{config.model.name} with {layer}, loss {config.loss.name}, {parameters:.1f} million parameters, "
        f"{config.augment.size} px, {data.table.num_classes} classes, {counts} images",
        f"{steps_per_epoch} steps an epoch, {config.train.epochs} epochs, {start}; run folder {workdir}",
    ]
    if data.table.source == "synthetic":
        lines.append(
            "data: the built-in synthetic cells; for your own add "
            "--config.data.source=folder --config.data.path=DIR"
        )
    left_out = len(data.prepared.bad) + len(data.table.skipped)
    if left_out:
        lines.append(f"{left_out} files left out, listed in {workdir / SKIPPED_FILE}")
    return "\n".join(lines)


class Forecast:
    """Foretells the duration from the first steps, once; the very first, which compiles, is left out."""

    def __init__(self, steps: int):
        self._steps, self._done, self._started = steps, 0, 0.0

    def after_step(self, state: TrainState) -> str | None:
        """To be called after every step with its state; gives the line to print when there is one."""
        self._done += 1
        if self._done not in (1, 1 + _TIMED_STEPS):
            return None
        jax.block_until_ready(state.params)
        if self._done == 1:
            self._started = time.perf_counter()
            return None
        seconds = (time.perf_counter() - self._started) / _TIMED_STEPS
        machine = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
        hours = seconds * (self._steps - self._done) / _SECONDS_PER_HOUR
        return f"{seconds:.2f} s a step on this machine ({machine}): about {_duration(hours)} to go."


def _duration(hours: float) -> str:
    if hours < 1:
        return f"{max(1, round(60 * hours))} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"
