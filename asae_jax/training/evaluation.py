"""Scores of a network on a set of examples, and the files that an evaluation leaves."""

import csv
import functools
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from asae_jax.errors import UserError
from asae_jax.metrics import evaluate_scores
from asae_jax.models.norm import BatchNorm
from asae_jax.training import build, figures, parallel, step
from asae_jax.training.data import Data

FOLDER = "evaluation"
NOTICE = figures.NOTICE


class Scorer:
    """Scores of examples under given weights; compiles once."""

    def __init__(self, config: ConfigDict, data: Data):
        self._config, self._data = config, data
        parts: dict[str, Any] = {
            "network": build.create_network(config, data.table.num_classes),
            "preprocess": build.create_preprocess(config),
        }
        self._score = parallel.parallel_score(functools.partial(step.score_step, **parts))
        self._score_and_pool = parallel.parallel_score(functools.partial(step.score_and_pool_step, **parts))

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

        See `step.score_and_pool_step`. With a `title` a progress bar is shown.

        Raises:
          UserError: scores that are not finite.
        """
        results = zip(*self._run(self._score_and_pool, variables, indices, title), strict=True)
        logits, features = (np.concatenate(parts) for parts in results)
        _check_finite(logits)
        return logits, features

    def _run(
        self, score: Callable, variables: Mapping[str, Any], indices: np.ndarray, title: str
    ) -> Iterator[Any]:
        """What `score` gives for the examples of each batch, without padding, on the host."""
        size = parallel.round_up_to_devices(min(self._config.eval.batch_size, len(indices)))
        with tqdm(total=len(indices), desc=title, unit="image", disable=not title) as bar:
            for batch in self._data.batches(self._config, indices, size):
                mask = batch["mask"] > 0
                stacked = score(variables, parallel.split({"image": batch["image"]}))
                yield jax.tree.map(lambda array, mask=mask: parallel.join(array)[mask], stacked)
                bar.update(int(mask.sum()))


def _check_finite(scores: np.ndarray) -> None:
    broken = int((~np.isfinite(scores)).any(1).sum())
    if broken:
        raise UserError(
            f"the network's scores are not finite for {broken} of {len(scores)} images: the training "
            "has diverged. Lower --config.optimizer.learning_rate, with another --workdir=DIR."
        )


def tested_variables(config: ConfigDict, data: Data, variables: Mapping[str, Any]) -> Mapping[str, Any]:
    """`variables` with the batch statistics that `eval.batch_statistics` asks for."""
    if config.eval.batch_statistics == "reestimate" and config.model.norm == "batch":
        return reestimate_statistics(config, data, variables)
    return variables


def mode_at_test(config: ConfigDict) -> str:
    """What the layer does at test: `eval.test_mode`, and "skip" where there is no layer."""
    return config.eval.test_mode if config.model.branching == "asae" else "skip"


def reestimate_statistics(config: ConfigDict, data: Data, variables: Mapping[str, Any]) -> dict[str, Any]:
    """`variables` with batch statistics taken again on what the network sees at test.

    In training the later stages saw masked and scaled features; here training batches, drawn and
    augmented as in training (a different class balance would shift the statistics), pass the branches
    of `eval.test_mode`, and their statistics are averaged over `eval.reestimate_batches` batches.
    """
    network = build.create_test_network(config, data.table.num_classes, axis_name=parallel.AXIS)
    measure = parallel.parallel_statistics(
        functools.partial(
            step.statistics_step,
            network=network,
            augment=build.create_augment(config),
            seed=config.seed,
            axis_name=parallel.AXIS,
            momentum=BatchNorm.momentum,
        )
    )
    count = config.eval.reestimate_batches
    total = None
    for number, batch in enumerate(itertools.islice(data.training_batches(config), count)):
        statistics = measure(variables, parallel.split(batch), jnp.int32(number))
        total = statistics if total is None else jax.tree.map(jnp.add, total, statistics)
        # One batch at a time: virtual CPU devices share the threads in which a collective waits.
        jax.block_until_ready(total)
    return {"params": variables["params"], "batch_stats": jax.tree.map(lambda t: t / count, total)}


def evaluate(
    config: ConfigDict,
    data: Data,
    variables: Mapping[str, Any],
    workdir: Path,
    *,
    split: str,
    provenance: Mapping[str, Any],
    name: str = "",
) -> dict[str, Any]:
    """Scores `split` and writes `evaluation/<name>.json`, its predictions as CSV and two figures.

    Args:
      config: of the run.
      data: the run's data; every readable image of `split` is scored once.
      variables: `params` and `batch_stats`.
      workdir: the run folder.
      split: "test", "validation", "train" or "all".
      provenance: what to record beside the scores, such as the checkpoint's step.
      name: of the files; the split's where empty.

    Returns:
      The content of the JSON file (see `asae_jax.metrics.evaluate_scores`).

    Raises:
      UserError: when the split is empty.
    """
    indices = data.indices(split)
    if not len(indices):
        raise UserError(
            f"the {split} part of {workdir} is empty; choose another --config.eval.split, "
            "or train with a share for it."
        )
    variables = tested_variables(config, data, variables)
    log_probs = Scorer(config, data)(variables, indices, title=f"evaluating {split}")
    groups = None if data.table.groups is None else data.table.groups[indices]
    scores = evaluate_scores(
        log_probs,
        data.labels(indices),
        data.table.class_names,
        groups=groups,
        bootstrap=config.eval.bootstrap,
        seed=config.seed,
    )
    scores |= {"split": split, **provenance, **_conditions(config, data), "notice": NOTICE}
    folder, name = workdir / FOLDER, name or split
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    _write_predictions(folder / f"{name}_predictions.csv", data, indices, log_probs)
    title = f"{split}: accuracy {scores['accuracy']:.3f}, macro-F1 {scores['macro_f1']:.3f}"
    figures.plot_confusion(scores, folder / f"{name}_confusion.png", title=title)
    figures.plot_per_class(scores, folder / f"{name}_per_class.png", title=title)
    return scores


def summary(scores: Mapping[str, Any]) -> str:
    """One line of an evaluation's main scores with their 95 % intervals."""
    parts = []
    for field in ("accuracy", "balanced_accuracy", "macro_f1"):
        low, high = scores["intervals"].get(field, (None, None))
        interval = "" if low is None else f" [{low:.3f}, {high:.3f}]"
        parts.append(f"{field} {scores[field]:.3f}{interval}")
    return f"{scores['split']} ({scores['num_examples']} images): " + ", ".join(parts)


def _conditions(config: ConfigDict, data: Data) -> dict[str, Any]:
    return {
        "source": data.table.source,
        "test_mode": mode_at_test(config),
        "batch_statistics": config.eval.batch_statistics,
        "intervals_over": "images" if data.table.groups is None else "groups",
        "num_unreadable": len(data.prepared.bad),
    }


def _write_predictions(path: Path, data: Data, indices: np.ndarray, log_probs: np.ndarray) -> None:
    names = data.table.class_names
    probabilities = np.exp(log_probs)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "true", "label", "probability", *(f"p_{name}" for name in names)])
        for row, p in zip(indices, probabilities, strict=True):
            best = int(p.argmax())
            writer.writerow(
                [data.table.names[row], names[data.table.labels[row]], names[best], f"{p[best]:.6f}"]
                + [f"{value:.6f}" for value in p]
            )
