"""What a training run says: its greeting, its metrics (`Meter`), and the plan of the whole command."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from asae_jax import terminal
from asae_jax.config import unused
from asae_jax.errors import UserError
from asae_jax.evaluation.abstention import fewest_images, least_error
from asae_jax.evaluation.scoring import COMPILED, SCORING
from asae_jax.evaluation.uncertainty_report import judging_rows, num_scored
from asae_jax.input.sources import BUILT_IN
from asae_jax.input.split import SPLITS
from asae_jax.models.network import SECOND_LOOK
from asae_jax.run.data import SKIPPED_FILE, Data
from asae_jax.run.devices import machine
from asae_jax.run.state import TrainState
from asae_jax.run.steps import StepMetrics
from asae_jax.run.test_time_augmentation import num_views
from asae_jax.run.words import LAYERS, LOSSES
from asae_jax.training.metrics_log import MetricsLog

TRAINING, SAVING = "training", "saving"
"""Parts of the plan: steps and checkpoints."""

_TIMED_STEPS = 3
_FORWARD = 1 / 3  # of a training step's time is the forward pass: the backward one takes twice as long
_SCORES_EXPLAINED = (
    "scores of the validation images, which are not trained on. accuracy: the share that is right; macro-F1: "
    "the mean over the classes, so that rare ones count as much; NLL: 0 if every true class were certain"
)


def greeting(config: ConfigDict, data: Data, state: TrainState, steps_per_epoch: int, workdir: Path) -> str:
    """What will be trained, on what, from where, in a few lines.

    Args:
      config: settings of the run, none left to be chosen.
      data: of the run.
      state: that training starts or goes on with.
      steps_per_epoch: 1 or more.
      workdir: the run folder.
    """
    parameters = sum(x.size for x in jax.tree.leaves(state.params)) / 1e6
    counts = [f"{len(data.indices(split)):,} {split}" for split in SPLITS]
    start = f"going on from step {int(state.step):,}" if int(state.step) else "from the start"
    epochs, size = config.train.epochs, config.augment.size
    lines = [
        f"network: {config.model.name}, {LAYERS[config.model.branching]}, {parameters:.1f} million "
        f"parameters, images of {size} x {size} pixels; loss: {LOSSES[config.loss.name]}",
        f"images: {', '.join(counts)}, of {data.index.num_classes} classes",
        f"training: {epochs} epoch{'s' * (epochs > 1)} (passes over the images) of {steps_per_epoch:,} steps "
        f"of {config.train.batch_size} images, {start}, on {machine()}",
        f"run folder: {workdir}",
    ]
    judging = len(judging_rows(data))
    if judging or data.index.groups is None:  # else it was said when the split was drawn
        lines += filter(None, [_few_to_judge_by(config, judging, len(data.indices("validation")))])
    if built_in := BUILT_IN.get(data.index.source):
        lines.append(f"data: {built_in}; for your own add --config.data.source=folder --config.data.path=DIR")
    if not_used := unused(config):
        lines.append(f"given, but not used in training: {', '.join(not_used)}")
    left_out = len(data.prepared.bad) + len(data.index.skipped)
    if left_out:
        lines.append(f"{left_out} files left out, listed in {workdir / SKIPPED_FILE}")
    return "\n".join(lines)


def _few_to_judge_by(config: ConfigDict, validation: int, of: int) -> str:
    """Says so where there are too few images to judge by for any cell to be labelled; else empty."""
    target, share = config.uncertainty.target_error, config.data.validation_fraction
    fewest = fewest_images(target, config.uncertainty.certainty)
    if validation >= fewest or not share:
        return ""
    remedies = ["more images"]
    wanted = math.ceil(20 * share * 2 * fewest / max(validation, 1)) / 20  # with room for a mistake
    if share < min(wanted, 0.5) and validation * min(wanted, 0.5) >= share * fewest:
        remedies.append(f"--config.data.validation_fraction={min(wanted, 0.5):g} where the split is drawn")
    copies = f" that are no copies, of {of}" if validation < of else ""
    allowed = least_error(validation, config.uncertainty.certainty) if validation else 1.0
    more_errors = (
        "; or allow more errors, without training again: `evaluate "
        f"--config.uncertainty.target_error={allowed:g}`, enough if all {validation} are right"
    ) * (allowed <= _MOST_ERRORS)
    return (
        f"only {validation} validation images{copies}: to promise at most {100 * target:g} % errors takes "
        f"{fewest}, all right. With fewer, predict leaves every cell to a person. Train in another --workdir "
        f"with {' or '.join(remedies)}{more_errors}"
    )


_MOST_ERRORS = 0.5  # that are worth advising


def parts_of_training(
    config: ConfigDict, data: Data, *, start_step: int, last_step: int, steps_per_epoch: int, finishes: bool
) -> Mapping[str, terminal.Part]:
    """The plan of `train`: its steps, validations and checkpoints, then evaluation and uncertainty estimates.

    Until a score has been timed, a pass over an image costs the forward third of its share of a training
    step, and an image takes one for each view, two with a second look.

    Args:
      config: of the run.
      data: of the run.
      start_step: steps that are done.
      last_step: the step that training ends with.
      steps_per_epoch: steps of an epoch.
      finishes: whether evaluation and uncertainty estimates follow.
    """
    train, ends = config.train, range(start_step // steps_per_epoch + 1, last_step // steps_per_epoch + 1)
    validation = len(data.indices("validation"))
    validations = sum(epoch % train.validate_every == 0 or epoch == train.epochs for epoch in ends)
    scored, compilations = validations * validation, int(validations > 0 and validation > 0)
    if finishes:
        final = [number for split in ("validation", "test") if (number := len(data.indices(split)))]
        sampled = num_scored(config, data)
        scored += sum(final) + sum(sampled)
        compilations += len(final) + len(sampled)
    return {
        TRAINING: terminal.Part(last_step - start_step),
        SAVING: terminal.Part(sum(epoch % train.checkpoint_every == 0 for epoch in ends), TRAINING, 1.0),
        SCORING: terminal.Part(scored, TRAINING, _passes(config) * _FORWARD / train.batch_size),
        terminal.COMPILING: terminal.Part((last_step > start_step) + compilations * COMPILED),
    }


def _passes(config: ConfigDict) -> int:
    """How often the network is applied to each scored image."""
    return num_views(config) * (2 if config.eval.test_mode == SECOND_LOOK else 1)


class Meter:
    """Collects the steps' metrics and reports them every `log_every` steps.

    Between reports nothing is read from the device, so the steps run ahead of the host. A report is of the
    steps before the newest, which the device computes meanwhile.
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
        """Shows a bar of the training steps.

        Args:
          log: where reports are written.
          schedule: the learning rate of each step.
          start_step: number of steps done before.
          total_steps: steps at the end of training.
          steps_per_epoch: 1 or more.
          log_every: steps between two reports, 1 or more.
        """
        self._log, self._schedule = log, schedule
        self._steps_per_epoch, self._log_every = steps_per_epoch, log_every
        self._waiting: list[StepMetrics] = []
        self._step, self._reported = start_step, start_step
        self._since = time.perf_counter()
        self._timed = (start_step + 1, start_step + 1 + _TIMED_STEPS)
        self._shown, self._announced, self._explained = start_step, False, False
        self._bar = terminal.Bar(
            "training", total_steps, "step", done=start_step, part=TRAINING, compiles=1, bursts=False
        )

    def add(self, metrics: StepMetrics) -> None:
        """Takes the metrics of the next step; before that, reports when enough have come together."""
        if self._step % self._log_every == 0:
            self.report()
        self._waiting.append(metrics)
        self._step += 1
        if self._step in self._timed:
            jax.block_until_ready(metrics)
            self._advance()

    def report(self) -> None:
        """Writes the mean over the steps since the last report.

        Raises:
          UserError: when a loss or gradient among them is not finite; it names the first such step.
        """
        if not self._waiting:
            return
        fetched = jax.device_get(self._waiting)  # in one go, which takes the host less time
        norm = 0.0
        for offset, metrics in enumerate(fetched):
            norm = float(metrics.gradient_norm)
            if not (math.isfinite(metrics.sums.loss) and math.isfinite(norm)):
                raise UserError(self._not_finite(self._reported + offset + 1))
        total = jax.tree.map(lambda *sums: np.sum(sums, dtype=np.float32), *(step.sums for step in fetched))
        seconds = time.perf_counter() - self._since
        scalars = total.means() | {
            "epoch": self._step / self._steps_per_epoch,
            "learning_rate": float(self._schedule(self._step - 1)),
            "gradient_norm": norm,
            "images_per_second": float(total.count) / seconds,
        }
        self._log.write("train", self._step, scalars)
        self._advance(f"loss {scalars['loss']:.3f}, accuracy {scalars['accuracy']:.3f}")
        self._waiting.clear()
        self._reported = self._step
        self._since = time.perf_counter()

    def pause(self) -> None:
        """Starts the clock anew, after something that was not training."""
        self._since = time.perf_counter()
        self._bar.restart()

    def say(self, line: str) -> None:
        """Prints a line above the progress bar."""
        self._bar.say(line)

    def say_validation(self, epoch: int, scores: Mapping[str, Any]) -> None:
        """Prints the scores after `epoch`, what they are before the first of them, and the time left."""
        if not self._explained:
            self._explained = True
            self.say(_SCORES_EXPLAINED)
        line = (
            f"epoch {epoch:3d}  validation: accuracy {scores['accuracy']:.3f}, "
            f"macro-F1 {scores['macro_f1']:.3f}, NLL {scores['nll']:.3f}"
        )
        self.say(", ".join(filter(None, (line, self._bar.time_left()))))

    def close(self) -> None:
        """Ends the progress bar."""
        self._bar.close()

    def _advance(self, note: str | None = None) -> None:
        """Moves the bar to where the device is, and says the first estimate of the time left."""
        self._bar.update(self._step - self._shown, note)
        self._shown = self._step
        if not self._announced and (left := self._bar.time_left()):
            self._announced = True
            self.say(f"{left}, for training, evaluation and uncertainty estimates together")

    def _not_finite(self, step: int) -> str:
        return (
            f"the loss or its gradient is not finite at step {step} (seen after step {self._step}); the "
            "checkpoints before it are kept. Lower --config.optimizer.learning_rate or set "
            "--config.optimizer.clip_norm=1, with another --workdir=DIR."
        )
