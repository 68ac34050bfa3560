"""The training loop.

For each step, in this order: batch, step, metrics; at the end of an epoch validation, then checkpoint;
an interruption ends the run after the step in progress, with a checkpoint.
"""

from collections.abc import Mapping
from pathlib import Path

import optax
from ml_collections import ConfigDict

from asae_jax import keys, terminal
from asae_jax.config import read_run_config
from asae_jax.evaluation import evaluate, figures
from asae_jax.evaluation.metrics import evaluate_scores
from asae_jax.evaluation.page.write import PAGE, write_run_page
from asae_jax.evaluation.provenance import FOLDER, free_name, provenance
from asae_jax.evaluation.scoring import Scorer, led_by_first
from asae_jax.evaluation.uncertainty_report import measure_uncertainty
from asae_jax.input.feed import HostBatches
from asae_jax.pages import NOTICE
from asae_jax.run import build, hosts, parallel
from asae_jax.run.checkpoint import Checkpoints, NoCheckpoints
from asae_jax.run.devices import TRAINING, within_memory
from asae_jax.run.folder import VALIDATED, check_same_config
from asae_jax.run.frozen_features import front_features
from asae_jax.run.lock import only_one
from asae_jax.run.metrics_file import read_metrics
from asae_jax.run.run import NewRun, new_run, open_run
from asae_jax.run.state import TrainState, abstract_state, create_state
from asae_jax.training import initial, interruption
from asae_jax.training.metrics_log import MetricsLog
from asae_jax.training.optimizer import create_optimizer, create_schedule
from asae_jax.training.progress import SAVING, Meter, greeting, parts_of_training


def train(config: ConfigDict, workdir: Path) -> int:
    """Trains until `train.epochs` are done, then scores validation and test; goes on where a run stopped.

    Args:
      config: every setting.
      workdir: the run folder, new or of the same run.

    Returns:
      The exit status: 0, or 128 + signal when the run was interrupted (its state is saved).

    Raises:
      UserError: settings, data or a run folder that cannot be used, a loss that is not finite, or too little
        memory.
    """
    run = new_run(config, workdir)
    config = run.config
    if run.is_new:
        hosts.first(lambda: initial.check(config))
    plan = TrainingPlan(run)
    with only_one(workdir):
        checkpoints = _start(run)
        try:
            state = parallel.place(first_state(plan, checkpoints))
            reached = max(int(state.step), plan.last_step)
            print(greeting(config, run.data, state, plan.steps_per_epoch, workdir))
            forecast = terminal.Forecast(plan.parts(int(state.step)))
            with terminal.plan(forecast), within_memory(TRAINING):
                status = train_steps(plan, state, checkpoints)
        finally:
            checkpoints.close()
        if status == 0 and not plan.finishes:
            print(
                f"stopped at step {reached:,} of {plan.all_steps:,} (config.train.max_steps): "
                "without it the same command goes on, and ends with scores"
            )
        elif status == 0:
            with terminal.plan(forecast):
                led_by_first(lambda: _final_scores(run), run)
    return status


def _start(run: NewRun) -> Checkpoints | NoCheckpoints:
    """Writes what a new run needs, and opens its checkpoints; of several hosts the first does both."""
    if not hosts.is_first():
        return NoCheckpoints()
    if run.is_new:
        initial.warn_of_known_images(run.config, run.data)
    run.start()
    return Checkpoints.to_go_on(run.workdir)


class TrainingPlan:
    """How a run is trained: its optimiser, and how many steps there are."""

    def __init__(self, run: NewRun):
        config = run.config
        self.run = run
        self.steps_per_epoch = run.data.sampler(config).steps_per_epoch
        self.all_steps = self.steps_per_epoch * config.train.epochs
        self.last_step = min(self.all_steps, config.train.max_steps or self.all_steps)
        self.schedule: optax.Schedule = create_schedule(
            config.optimizer, steps_per_epoch=self.steps_per_epoch, epochs=config.train.epochs
        )
        self.optimizer = create_optimizer(
            config.optimizer,
            self.schedule,
            frozen=run.network.frozen_stages,
            head_rate=config.init.head_rate,
        )

    @property
    def finishes(self) -> bool:
        """Whether it ends with the last epoch, and so with evaluation and uncertainty estimates."""
        return self.last_step == self.all_steps

    def parts(self, start_step: int) -> Mapping[str, terminal.Part]:
        """What is to be done from `start_step` on, for the time left."""
        return parts_of_training(
            self.run.config,
            self.run.data,
            start_step=min(start_step, self.last_step),
            last_step=self.last_step,
            steps_per_epoch=self.steps_per_epoch,
            finishes=self.finishes,
        )


def first_state(plan: TrainingPlan, checkpoints: Checkpoints | NoCheckpoints) -> TrainState:
    """The state of the newest checkpoint; without one a fresh state with the initial weights.

    Of several hosts the first restores or initialises it for all.

    Raises:
      UserError: no checkpoint can be used, or the scores of those to come could not be compared with its own.
    """
    run, config = plan.run, plan.run.config
    sizes = {
        "image_size": config.augment.size,
        "with_average": config.optimizer.ema_decay > 0,
        "with_auxiliary": build.has_auxiliary(config),
    }
    like = abstract_state(run.network, plan.optimizer, **sizes)
    if isinstance(checkpoints, NoCheckpoints):
        return parallel.shared(None, like)
    state = checkpoints.restore_newest(like)
    if not run.is_new and (0 if state is None else int(state.step)) < plan.last_step:
        _check_comparable(run)
    if state is None:
        fresh = create_state(run.network, plan.optimizer, keys.stream_key(config.seed, "init"), **sizes)
        state, summary = initial.start(fresh, config, run.class_names, run.workdir)
        if summary:
            print(summary)
    return parallel.shared(state, like)


def _check_comparable(run: NewRun) -> None:
    """Raises a UserError where another test would score the checkpoints to come: the best is one of all."""
    if build.tested_as(read_run_config(run.workdir)) != build.tested_as(run.config):
        check_same_config(run.workdir, run.config, also=VALIDATED)


def train_steps(plan: TrainingPlan, state: TrainState, checkpoints: Checkpoints | NoCheckpoints) -> int:
    """Trains from `state` to the plan's last step; returns 0, or 128 + signal when interrupted."""
    run, start, end = plan.run, int(state.step), plan.last_step
    if start >= end:
        return 0
    update = build.compiled_train_step(
        run.config,
        run.num_classes,
        plan.optimizer,
        class_counts=run.data.class_counts,
        steps_per_epoch=plan.steps_per_epoch,
    )
    score = Scorer(run)
    batches = _batches(run, state)
    log = MetricsLog(run.workdir, start_step=start)
    meter = Meter(
        log,
        plan.schedule,
        start_step=start,
        total_steps=end,
        steps_per_epoch=plan.steps_per_epoch,
        log_every=run.config.train.log_every,
    )
    try:
        largest = parallel.Largest()  # whichever host is asked to end, all end after the same step
        with interruption.watch() as stop:
            for number in range(start + 1, end + 1):
                state, metrics = update(state, parallel.split(next(batches)))
                meter.add(metrics)
                stopping = largest(stop.signal_number or 0) > 0
                leaving = stopping or number == end
                epoch = 0 if number % plan.steps_per_epoch else number // plan.steps_per_epoch
                if not (leaving or epoch):
                    continue
                meter.report()
                validation = _validate(run, score, state, log, meter, epoch) if epoch else None
                due = epoch % run.config.train.checkpoint_every == 0
                if leaving or due or checkpoints.is_best(validation):
                    with terminal.timed(SAVING):
                        checkpoints.save(state, score=validation)
                meter.pause()
                if stopping:
                    break
            if asked := largest.now(stop.signal_number or 0):  # also while the last step was saved
                meter.say(f"interrupted after step {number}; the same command goes on from there.")
        return 128 + asked if asked else 0
    finally:
        batches.close()
        meter.close()
        log.close()


def _batches(run: NewRun, state: TrainState) -> HostBatches:
    """Endless training batches from the state's step on: images, or with `init.views` kept features."""
    config, start = run.config, int(state.step)
    if not config.init.views:
        return run.data.training_batches(config, start_step=start)
    weights = {"params": state.params, "batch_stats": state.batch_stats}
    features = front_features(config, run.data, weights, run.workdir)
    return features.training_batches(run.data, config, start_step=start)


def _validate(
    run: NewRun, score: Scorer, state: TrainState, log: MetricsLog, meter: Meter, epoch: int
) -> float | None:
    """Writes the validation scores after `epoch`; returns the one that chooses the best checkpoint."""
    train, indices = run.config.train, run.data.indices("validation")
    if not len(indices) or (epoch % train.validate_every and epoch != train.epochs):
        return None
    log_probs = score(state.variables(), indices)
    scores = evaluate_scores(log_probs, run.data.labels(indices), run.class_names, bootstrap=0)
    fields = ("accuracy", "balanced_accuracy", "macro_f1", "nll", "ece", run.config.eval.select_by)
    log.write("validation", int(state.step), {"epoch": epoch} | {name: scores[name] for name in fields})
    meter.say_validation(epoch, scores)
    return scores[run.config.eval.select_by]


def _final_scores(trained: NewRun) -> None:
    """Scores the chosen checkpoint on validation and test part, fits its uncertainty, draws the curves."""
    run = open_run(trained.workdir, trained.config)
    run.data = trained.data
    scored = [split for split in ("validation", "test") if len(run.data.indices(split))]
    if "validation" not in scored:
        print("no validation images: the last checkpoint is the one that is used")
    for split in scored:
        # Scores of other settings, such as another way of testing, are not replaced.
        name = free_name(run.workdir / FOLDER, split, provenance(run, run.data, split))
        if name != split:
            print(f"{split}.json holds scores of other settings; these are written to {name}.json")
        scores = evaluate.evaluate(run, run.data, split=split, name=name)
        print(evaluate.summary(scores))
    measure_uncertainty(run)
    records = read_metrics(run.workdir, "validation")
    figures.plot_curves(
        read_metrics(run.workdir, "train"),
        records,
        run.workdir / "curves.png",
        score=figures.drawn_score(run.config.eval.select_by, records),
    )
    read = f"to be read in a browser: {run.workdir / PAGE}; " if write_run_page(run) is not None else ""
    where = f"scores and pictures: {run.workdir / FOLDER}" if scored else f"nothing was scored: {run.workdir}"
    print(f"{read}{where}. {NOTICE}")
