"""The training loop.

For each step, in this order: batch, step, metrics; at the end of an epoch validation, then checkpoint;
an interruption ends the run after the step in progress, with a checkpoint.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import optax
from ml_collections import ConfigDict

from asae_jax import keys
from asae_jax.errors import UserError
from asae_jax.metrics import evaluate_scores
from asae_jax.training import (
    build,
    evaluation,
    figures,
    initial,
    interruption,
    messages,
    parallel,
    run_folder,
    step,
    trust,
)
from asae_jax.training.checkpoint import Checkpoints
from asae_jax.training.data import Data, load_data, write_data_record
from asae_jax.training.meter import Meter
from asae_jax.training.optimizer import create_optimizer, create_schedule
from asae_jax.training.state import TrainState, create_state
from asae_jax.training.writer import Writer, read_metrics


def train(config: ConfigDict, workdir: Path) -> int:
    """Trains until `train.epochs` are done, then scores validation and test; goes on where a run stopped.

    Args:
      config: every field of `configs/default.py`.
      workdir: the run folder, new or of the same run.

    Returns:
      The exit status: 0, or 128 + signal when the run was interrupted (its state is saved).

    Raises:
      UserError: settings, data or a run folder that cannot be used, or a loss that is not finite.
    """
    build.check(config)
    parallel.use_all_cores(config.train.batch_size)
    run = _prepare(config, workdir)
    checkpoints = Checkpoints(workdir)
    try:
        state = _initial_state(run.config, run.data.table.num_classes, run.optimizer)
        if checkpoints.newest is not None:
            state = checkpoints.restore(state, checkpoints.newest)
        else:
            state, summary = initial.start(state, run.config, run.data.table.class_names, workdir)
            if summary:
                print(summary)
        state = parallel.place(state)
        print(messages.greeting(run.config, run.data, state, run.steps_per_epoch, workdir))
        status = _train_steps(run, state, checkpoints)
    finally:
        checkpoints.close()
    if status == 0 and not _stops_early(run):
        _final_scores(run)
    return status


def restore_weights(config: ConfigDict, num_classes: int, workdir: Path) -> tuple[dict, int]:
    """Variables of the checkpoint that `eval.checkpoint` names, and its step; needs no data.

    Raises:
      UserError: when the run has no checkpoint, or one of another network.
    """
    checkpoints = Checkpoints(workdir)
    try:
        chosen = checkpoints.best if config.eval.checkpoint == "best" else checkpoints.newest
        if chosen is None:
            raise UserError(f"{workdir} has no checkpoint yet; start the training command again.")
        # The number of steps shapes nothing that is restored.
        schedule = create_schedule(config.optimizer, steps_per_epoch=1, epochs=config.train.epochs)
        like = _initial_state(config, num_classes, _optimizer(config, num_classes, schedule))
        return dict(checkpoints.restore(like, chosen).variables()), chosen
    finally:
        checkpoints.close()


@dataclasses.dataclass(frozen=True)
class _Run:
    """What stays the same from the first step to the last."""

    config: ConfigDict
    data: Data
    workdir: Path
    steps_per_epoch: int
    schedule: optax.Schedule
    optimizer: optax.GradientTransformation

    @property
    def all_steps(self) -> int:
        return self.steps_per_epoch * self.config.train.epochs


def _plan(config: ConfigDict, data: Data, workdir: Path) -> _Run:
    steps_per_epoch = data.training_order(config).steps_per_epoch
    schedule = create_schedule(config.optimizer, steps_per_epoch=steps_per_epoch, epochs=config.train.epochs)
    optimizer = _optimizer(config, data.table.num_classes, schedule)
    return _Run(config, data, workdir, steps_per_epoch, schedule, optimizer)


def _prepare(config: ConfigDict, workdir: Path) -> _Run:
    """Data and run folder; what differs from the run in the folder is refused before any work is done."""
    if (workdir / run_folder.CONFIG_FILE).exists():
        run_folder.check_same_config(workdir, config)
    else:
        initial.check(config)
    data = load_data(config, workdir)
    run_folder.open_run(
        workdir, config, run_folder.describe(data.table.class_names, data.table.fingerprint(modified=False))
    )
    write_data_record(data, workdir)
    return _plan(config, data, workdir)


def _optimizer(
    config: ConfigDict, num_classes: int, schedule: optax.Schedule
) -> optax.GradientTransformation:
    frozen = build.create_network(config, num_classes).frozen_stages
    return create_optimizer(config.optimizer, schedule, frozen=frozen, head_rate=config.init.head_rate)


def _initial_state(
    config: ConfigDict, num_classes: int, optimizer: optax.GradientTransformation
) -> TrainState:
    return create_state(
        build.create_network(config, num_classes),
        optimizer,
        keys.stream_key(config.seed, "init"),
        image_size=config.augment.size,
        with_average=config.optimizer.ema_decay > 0,
    )


def _compiled_step(run: _Run) -> Callable:
    config, num_classes = run.config, run.data.table.num_classes
    return parallel.parallel_update(
        functools.partial(
            step.train_step,
            network=build.create_network(config, num_classes, axis_name=parallel.AXIS),
            optimizer=run.optimizer,
            loss=build.create_loss(config, num_classes, class_counts=run.data.class_counts),
            augment=build.create_augment(config),
            mix=build.create_mix(config),
            seed=config.seed,
            axis_name=parallel.AXIS,
            ema_decay=config.optimizer.ema_decay,
            loss_per_branch=config.loss.branches == "mean_loss",
            agreement=config.loss.agreement,
        )
    )


def _train_steps(run: _Run, state: TrainState, checkpoints: Checkpoints) -> int:
    start, end = int(state.step), _last_step(run)
    if start >= end:
        return 0
    update, score = _compiled_step(run), evaluation.Scorer(run.config, run.data)
    writer = Writer(run.workdir, start_step=start)
    meter = Meter(
        writer,
        run.schedule,
        start_step=start,
        total_steps=end,
        steps_per_epoch=run.steps_per_epoch,
        log_every=run.config.train.log_every,
    )
    batches = run.data.training_batches(run.config, start_step=start)
    forecast = messages.Forecast(end - start)
    try:
        with interruption.watch() as stop:
            for number in range(start + 1, end + 1):
                state, metrics = update(state, parallel.split(next(batches)))
                meter.add(metrics)
                if line := forecast.after_step(state):
                    meter.say(line)
                leaving = stop.requested or number == end
                epoch = 0 if number % run.steps_per_epoch else number // run.steps_per_epoch
                if not (leaving or epoch):
                    continue
                meter.report()
                validation = _validate(run, score, state, writer, meter, epoch) if epoch else None
                if leaving or epoch % run.config.train.checkpoint_every == 0:
                    checkpoints.save(state, score=validation)
                meter.pause()
                if stop.requested:
                    meter.say(f"interrupted after step {number}; the same command goes on from there.")
                    break
        return stop.exit_status
    finally:
        batches.close()
        meter.close()
        writer.close()


def _validate(
    run: _Run, score: evaluation.Scorer, state: TrainState, writer: Writer, meter: Meter, epoch: int
) -> float | None:
    """Writes the validation scores after `epoch`; returns the one that chooses the best checkpoint."""
    settings, indices = run.config.train, run.data.indices("validation")
    if not len(indices) or (epoch % settings.validate_every and epoch != settings.epochs):
        return None
    log_probs = score(state.variables(), indices)
    scores = evaluate_scores(log_probs, run.data.labels(indices), run.data.table.class_names, bootstrap=0)
    fields = ("accuracy", "balanced_accuracy", "macro_f1", "nll", "ece")
    writer.write("validation", int(state.step), {"epoch": epoch} | {name: scores[name] for name in fields})
    meter.say(
        f"epoch {epoch:3d}  validation: accuracy {scores['accuracy']:.3f}, "
        f"macro-F1 {scores['macro_f1']:.3f}, NLL {scores['nll']:.3f}"
    )
    return scores[run.config.eval.select_by]


def _final_scores(run: _Run) -> None:
    """Scores the chosen checkpoint on validation and test part, with when to believe it; draws the curves."""
    variables, chosen = restore_weights(run.config, run.data.table.num_classes, run.workdir)
    for split in ("validation", "test"):
        if len(run.data.indices(split)):
            scores = evaluation.evaluate(
                run.config, run.data, variables, run.workdir, split=split, provenance={"step": chosen}
            )
            print(evaluation.summary(scores))
    trust.measure_trust(run.config, run.data, variables, run.workdir, step=chosen)
    figures.plot_curves(
        read_metrics(run.workdir, "train"),
        read_metrics(run.workdir, "validation"),
        run.workdir / "curves.png",
    )
    print(f"scores and pictures: {run.workdir / evaluation.FOLDER}. {figures.NOTICE}")


def _last_step(run: _Run) -> int:
    limit = run.config.train.max_steps
    return min(run.all_steps, limit) if limit else run.all_steps


def _stops_early(run: _Run) -> bool:
    return _last_step(run) < run.all_steps
