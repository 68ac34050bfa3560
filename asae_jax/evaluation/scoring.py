"""A run's network applied to its images: scores and features, each image once."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from asae_jax import terminal
from asae_jax.errors import UserError
from asae_jax.run import build, hosts, parallel
from asae_jax.run import test_time_augmentation as tta
from asae_jax.run.data import Data
from asae_jax.run.devices import STATISTICS, within_memory
from asae_jax.run.run import Run

SCORING = "scoring"
"""The part of a command's plan that counts scored images."""

COMPILED = 1 / 3
"""What compiling a step that only scores takes, beside the training step."""


class Scorer:
    """Scores of examples under given weights; compiles once.

    Of several hosts each scores its part of every batch, and all have the scores of all examples: they must
    all ask for the same, or be `led_by_first`.
    """

    def __init__(self, run: Run, data: Data | None = None):
        """Scores images of `data`; None: the run's own."""
        self._run_of_it, self._config, self._data = run, run.config, run.data if data is None else data
        self._score = build.compiled_score_step(run.config, run.num_classes)
        self._score_and_pool = build.compiled_score_step(run.config, run.num_classes, with_features=True)
        self._compiled: set[tuple[bool, int]] = set()

    def __call__(self, variables: Mapping[str, Any], indices: np.ndarray, *, title: str = "") -> np.ndarray:
        """Log-probabilities, float32 `[len(indices), classes]`, in the order of `indices`.

        With a `title` a progress bar is shown.

        Raises:
          UserError: scores that are not finite.
        """
        log_probs = np.concatenate([*self._run(self._score, variables, indices, title)])
        _check_finite(log_probs)
        return log_probs

    def with_features(
        self, variables: Mapping[str, Any], indices: np.ndarray, *, title: str = ""
    ) -> tuple[np.ndarray, np.ndarray]:
        """Logits `[len(indices), classes]` and pooled features `[len(indices), channels]`, float32.

        See `steps.score_and_pool_step`. With a `title` a progress bar is shown.

        Raises:
          UserError: scores that are not finite.
        """
        results = zip(*self._run(self._score_and_pool, variables, indices, title), strict=True)
        logits, features = (np.concatenate(parts) for parts in results)
        _check_finite(logits)
        return logits, features

    def follow(self, task: Mapping[str, Any]) -> None:
        """Computes this host's part of what the first host scores."""
        score = self._score_and_pool if task["with_features"] else self._score
        for _ in self._run(score, None, np.array(task["rows"]), ""):
            pass

    def _run(
        self, score: Callable, variables: Mapping[str, Any] | None, indices: np.ndarray, title: str
    ) -> Iterator[Any]:
        """What `score` gives for the examples of each batch, without padding, on the host."""
        task = {"with_features": score is self._score_and_pool, "rows": indices.tolist()}
        variables = _on_all_hosts(self._run_of_it, task, variables)
        size = parallel.round_up_to_devices(min(self._config.eval.batch_size, len(indices)))
        kind = (score is self._score, size)
        compiles = 0.0 if kind in self._compiled else COMPILED
        self._compiled.add(kind)
        with terminal.Bar(title, len(indices), "image", part=SCORING, compiles=compiles) as bar:
            for first, batch in enumerate(self._data.batches(self._config, indices, size)):
                count = min(size, len(indices) - first * size)
                yield jax.tree.map(
                    lambda array, count=count: array[:count], self._of_views(score, variables, batch["image"])
                )
                bar.update(count)

    def _of_views(self, score: Callable, variables: Mapping[str, Any], images: np.ndarray) -> Any:
        """What `score` gives for a batch: the mean of the scores of its views, the features of the first."""
        found = [
            jax.tree.map(parallel.join, score(variables, parallel.split(batch)))  # one after the other
            for batch in tta.batches(images, tta.num_views(self._config))
        ]
        if score is self._score:
            return tta.mean_logits(found)
        logits, features = zip(*found, strict=True)
        return tta.mean_logits(logits), features[0]


def led_by_first(work: Callable[[], None], run: Run, data: Data | None = None) -> None:
    """Does `work`; of several hosts the first does it, and the others compute their part of what it scores.

    Args:
      work: scores images of `run` or `data` and writes what comes of it.
      run: the same on all hosts; only the first needs its folder.
      data: as in `Scorer`.
    """
    if hosts.is_first():
        with hosts.lead():
            work()
        return
    scorer = Scorer(run, data)
    while (task := hosts.next_task()) is not None:
        if "rows" in task:
            scorer.follow(task)
        else:
            reestimate_statistics(run)


def _on_all_hosts(run: Run, task: Mapping[str, Any], variables: Mapping[str, Any] | None) -> Any:
    """`variables` of the first host, after the hosts that it leads have heard what to do with them."""
    if hosts.leading():
        hosts.tell(task)
    elif variables is not None:  # one host, or all ask for the same
        return variables
    return parallel.place(parallel.shared(variables, build.variable_shapes(run.config, run.num_classes)))


def _check_finite(scores: np.ndarray) -> None:
    broken = int((~np.isfinite(scores)).any(1).sum())
    if broken:
        raise UserError(
            f"the network's scores are not finite for {broken} of {len(scores)} images: the training "
            "has diverged. Lower --config.optimizer.learning_rate, with another --workdir=DIR."
        )


def tested_variables(run: Run) -> Mapping[str, Any]:
    """The run's variables, with the batch statistics that `eval.batch_statistics` asks for.

    Raises:
      UserError: statistics to be taken again that the network does not have.
    """
    if run.config.eval.batch_statistics == "running":
        return run.variables
    build.check_reestimated(run.config, run.variables["batch_stats"])
    return reestimate_statistics(run)


@within_memory(STATISTICS)
def reestimate_statistics(run: Run) -> dict[str, Any]:
    """The run's variables with batch statistics estimated again on what the network sees at test.

    In training the later stages saw masked and scaled features; here training batches, drawn and
    augmented as in training (a different class balance would shift the statistics), pass the branches
    of `eval.test_mode`, and their statistics are averaged over `eval.reestimate_batches` batches.
    """
    measure = build.compiled_statistics_step(run.config, run.num_classes)
    count = run.config.eval.reestimate_batches
    variables = _on_all_hosts(run, {}, run.variables if hosts.is_first() else None)
    total = None
    for number, batch in enumerate(itertools.islice(run.data.training_batches(run.config), count)):
        statistics = measure(variables, parallel.split(batch), jnp.int32(number))
        total = statistics if total is None else jax.tree.map(jnp.add, total, statistics)
        # One batch at a time: virtual CPU devices share the threads in which a collective waits.
        jax.block_until_ready(total)
    return {"params": variables["params"], "batch_stats": jax.tree.map(lambda t: t / count, total)}
