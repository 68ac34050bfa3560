"""What a training run reports: its greeting, its metrics (`Meter`), the time still to go."""

import math
import time
from pathlib import Path

import jax
import optax
from ml_collections import ConfigDict
from tqdm import tqdm

from asae_jax.config import unused
from asae_jax.errors import UserError
from asae_jax.input.sources import BUILT_IN
from asae_jax.input.split import SPLITS
from asae_jax.run.data import SKIPPED_FILE, Data
from asae_jax.run.state import TrainState
from asae_jax.run.steps import StepMetrics
from asae_jax.run.sums import Sums
from asae_jax.training.metrics_log import MetricsLog

_TIMED_STEPS = 3
_SECONDS_PER_HOUR = 3600


def greeting(config: ConfigDict, data: Data, state: TrainState, steps_per_epoch: int, workdir: Path) -> str:
    """What will be trained, on what, from where, in a few lines."""
    branching = config.model.branching
    layer = {"none": "plain", "asae": "with the ASAE layer"}.get(branching, f"with {branching}")
    parameters = sum(x.size for x in jax.tree.leaves(state.params)) / 1e6
    counts = ", ".join(f"{len(data.indices(split))} {split}" for split in SPLITS)
    start = f"from step {int(state.step)}" if int(state.step) else "from the start"
    lines = [
        f"{config.model.name}, {layer}, trained with the loss {config.loss.name}, {parameters:.1f} million "
        f"parameters, {config.augment.size} px, {data.index.num_classes} classes, {counts} images",
        f"{steps_per_epoch} steps an epoch, {config.train.epochs} epochs, {start}; run folder {workdir}",
    ]
    if built_in := BUILT_IN.get(data.index.source):
        lines.append(f"data: {built_in}; for your own add --config.data.source=folder --config.data.path=DIR")
    if not_used := unused(config):
        lines.append(f"given, but not used: {', '.join(not_used)}")
    left_out = len(data.prepared.bad) + len(data.index.skipped)
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


class Meter:
    """Collects the steps' metrics and reports them every `log_every` steps.

    Between reports nothing is read from the device, so the steps run ahead of the host.
    """

    def __init__(
        self,
        log: MetricsLog,
        schedule: optax.Schedule,
        *,
        start_step: int,
        total_steps: int,
        steps_per_epoch: int,
        log_every: int,
    ):
        self._log, self._schedule = log, schedule
        self._steps_per_epoch, self._log_every = steps_per_epoch, log_every
        self._waiting: list[StepMetrics] = []
        self._step, self._reported = start_step, start_step
        self._since = time.perf_counter()
        self._bar = tqdm(total=total_steps, initial=start_step, desc="training", unit="step", smoothing=0.1)

    def add(self, metrics: StepMetrics) -> None:
        """Takes the metrics of the next step; reports when enough have come together."""
        self._waiting.append(metrics)
        self._step += 1
        if self._step % self._log_every == 0:
            self.report()

    def report(self) -> None:
        """Writes the mean over the steps since the last report.

        Raises:
          UserError: when a loss or gradient among them is not finite; it names the first such step.
        """
        if not self._waiting:
            return
        total = Sums.zero()
        norm = 0.0
        for offset, metrics in enumerate(self._waiting):
            norm = float(metrics.gradient_norm)
            if not (math.isfinite(float(metrics.sums.loss)) and math.isfinite(norm)):
                raise UserError(self._not_finite(self._reported + offset + 1))
            total += metrics.sums
        seconds = time.perf_counter() - self._since
        scalars = total.means() | {
            "epoch": self._step / self._steps_per_epoch,
            "learning_rate": float(self._schedule(self._step - 1)),
            "gradient_norm": norm,
            "images_per_second": float(total.count) / seconds,
        }
        self._log.write("train", self._step, scalars)
        self._bar.update(self._step - self._reported)
        self._bar.set_postfix_str(
            f"loss {scalars['loss']:.3f}, accuracy {scalars['accuracy']:.3f}, "
            f"{scalars['images_per_second']:.0f} images/s"
        )
        self._waiting.clear()
        self._reported = self._step
        self._since = time.perf_counter()

    def pause(self) -> None:
        """Starts the clock anew, after something that was not training."""
        self._since = time.perf_counter()

    def say(self, line: str) -> None:
        """Prints a line above the progress bar."""
        self._bar.write(line)

    def close(self) -> None:
        """Ends the progress bar."""
        self._bar.close()

    def _not_finite(self, step: int) -> str:
        return (
            f"the loss or its gradient is not finite at step {step} (seen after step {self._step}); the last "
            "good checkpoint is kept. Lower --config.optimizer.learning_rate or set "
            "--config.optimizer.clip_norm=1, with another --workdir=DIR."
        )
