"""Training metrics on their way from the device to the screen and the files."""

import math
import time

import optax
from tqdm import tqdm

from asae_jax.errors import UserError
from asae_jax.metrics import Sums
from asae_jax.training.step import StepMetrics
from asae_jax.training.writer import Writer


class Meter:
    """Collects the steps' metrics and reports them every `log_every` steps.

    Between reports nothing is read from the device, so the steps run ahead of the host.
    """

    def __init__(
        self,
        writer: Writer,
        schedule: optax.Schedule,
        *,
        start_step: int,
        total_steps: int,
        steps_per_epoch: int,
        log_every: int,
    ):
        self._writer, self._schedule = writer, schedule
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
        self._writer.write("train", self._step, scalars)
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
