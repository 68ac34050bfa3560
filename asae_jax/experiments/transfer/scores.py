"""Scores of a run in another laboratory: a row for each set of remedies, without and with labels."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from asae_jax.errors import UserError
from asae_jax.evaluation.bootstrap import bootstrap_intervals
from asae_jax.evaluation.calibration import measure_reliability, soften
from asae_jax.evaluation.label_shift import em_shares, estimate_mixture, total_variation
from asae_jax.evaluation.uncertainty import Uncertainty
from asae_jax.evaluation.uncertainty_files import read_matching_uncertainty
from asae_jax.experiments.transfer.cells import Listed
from asae_jax.experiments.transfer.networks import APPEARANCES, Network, Part, networks
from asae_jax.inference.adapt.all_layers import cross_fit_all
from asae_jax.inference.adapt.cells import scorer
from asae_jax.inference.adapt.labels import groups_of
from asae_jax.inference.adapt.last_layer import Layer, cross_fit, find_layer, without_classes
from asae_jax.inference.adapt.learning import cross_fitted_estimates, distances_of_folds, learn_all
from asae_jax.inference.adapt.proposals import propose
from asae_jax.inference.class_prior import run_prior
from asae_jax.run.run import Run

Row = dict[str, Any]
"""`name` of the remedies, `accuracy`, `balanced_accuracy`, `ece`, the share `left` to a person and `wrong`
among the rest (not there where no threshold is in use), `intervals` of some of them, and `right`: of each
test image, the share of draws of labels in which it was right."""

LABELS = (20, 50, 100, 200)
_PROPOSED = 100
_RESAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class Trial:
    """What is tried.

    Attributes:
      appearances: which of `APPEARANCES`.
      labels: how many labels.
      draws: of every number of labels.
      seed: of all that is drawn.
      all_layers: with how many labels all layers are trained too, which takes minutes for each draw.
      certain: whether calibration and thresholds are made for these: `adapt.folds` trainings more each.
    """

    appearances: tuple[str, ...] = tuple(APPEARANCES)
    labels: tuple[int, ...] = LABELS
    draws: int = 5
    seed: int = 0
    all_layers: tuple[int, ...] = ()
    certain: bool = True


def measure(
    run: Run, listed: Listed, trial: Trial, *, name: str, after: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Everything measured of one run, ready for JSON.

    Args:
      run: trained elsewhere.
      listed: cells of the other laboratory.
      trial: what is tried.
      name: of the run in tables.
      after: called with what there is after each network, with its `rows` at the end.

    Returns:
      What pages show; `left_out` says of remedies that could not be tried why.

    Raises:
      UserError: nothing could be tried, see `networks`.
    """
    found, score = _about(run, listed, name), scorer(run)
    for appearance in trial.appearances:
        try:
            for network in networks(run, listed, appearance, score, seed=trial.seed):
                found["rows"] += _rows(run, network, listed, trial, score)
                found["distance_of_mixtures"][network.name] = _counts(run, network)
                after(found)
        except UserError as error:
            found["left_out"][appearance] = str(error)
            if appearance == trial.appearances[-1] and not found["rows"]:
                raise
    return found


def _about(run: Run, listed: Listed, name: str) -> dict[str, Any]:
    """What is measured, and nothing measured yet."""
    test = listed.labels["test"]
    return {
        "run": name,
        "trained_on": Path(run.config.data.path).name,
        "tested_on": listed.source,
        "step": run.step,
        "classes": list(run.class_names),
        "images": {part: len(items) for part, items in listed.items.items()},
        "guesses": listed.guesses,
        "shared_groups": listed.shared_groups,
        "test_of_class": {run.class_names[c]: int((test == c).sum()) for c in np.unique(test)},
        "digest": listed.digest,
        "test_labels": test.tolist(),
        "test_groups": None if listed.groups is None else listed.groups.tolist(),
        "seed": run.config.seed,
        "rows": [],
        "left_out": {},
        "distance_of_mixtures": {},
    }


def _rows(run: Run, network: Network, listed: Listed, trial: Trial, score: Callable) -> Iterator[Row]:
    yield from _without_labels(run, network, listed)
    for only in (False, True) if network.gets_labels else ():
        yield from _with_labels(run, network, listed, trial, only=only)
    for count in trial.all_layers if network.gets_labels else ():
        rows = [_all_layers(run, network, listed, trial, score, count, draw) for draw in range(trial.draws)]
        yield _mean(f"{network.name}; {count} labels at random, all layers", rows)


def _without_labels(run: Run, network: Network, listed: Listed) -> Iterator[Row]:
    """As it is; with the mixture of classes by EM; with the classes that occur named."""
    prior, test = run_prior(run), network.test
    yield _row(network.name, test.logits, test, read_matching_uncertainty(run), listed)
    shares = em_shares(special.softmax(network.train.logits, axis=1), prior.shares)
    shifted = with_mixture(test.logits, shares, prior.shares)
    yield _row(f"{network.name}; mixture by EM", shifted, test, None, listed)
    layer = _layer(network, only=True)
    count = len(np.unique(test.labels))
    name = f"{network.name}; only the {count} classes"
    yield _row(name, layer.logits(test.features), test, None, listed)


def _layer(network: Network, *, only: bool) -> Layer:
    """The last layer; with `only` it never names classes that do not occur in the test part."""
    test = network.test
    layer = find_layer(network.variables, test.features, test.logits)
    if only:
        layer = without_classes(layer, np.bincount(test.labels, minlength=test.logits.shape[1]) == 0)
    return layer


def _with_labels(run: Run, network: Network, listed: Listed, trial: Trial, *, only: bool) -> Iterator[Row]:
    """The last layer trained on labels, and calibration and thresholds made of them."""
    train, old = network.train, _layer(network, only=only)
    known = np.flatnonzero(np.isin(train.labels, network.test.labels) if only else train.labels >= 0)
    which = ", only these classes" * only
    tried = [("at random", count) for count in trial.labels] + [("proposed", _PROPOSED)]
    for how, count in tried:
        if count > len(known) or (how == "proposed" and count not in trial.labels):
            continue
        found = []
        for draw in range(trial.draws):
            rows = _chosen(how, count, draw, known, train)
            groups = groups_of([listed.items["train"][row] for row in rows])
            fitted = cross_fit(old, train.features[rows], train.labels[rows], groups=groups, seed=draw)
            estimates = cross_fitted_estimates(
                run.config.uncertainty, run.class_names, fitted.logits, train.features[rows],
                train.labels[rows], distances_of_folds(train.features[rows], fitted.folds), {},
            )  # fmt: skip
            logits = fitted.layer.logits(network.test.features)
            found.append(_row("", logits, network.test, estimates, listed))
        yield _mean(f"{network.name}{which}; {count} labels {how}", found)


def _all_layers(
    run: Run, network: Network, listed: Listed, trial: Trial, score: Callable, count: int, draw: int
) -> Row:
    """All layers trained on the labels that the last layer gets in this draw."""
    train, variables = network.train, network.variables
    rows = _chosen("at random", count, draw, np.flatnonzero(train.labels >= 0), train)
    images, labels = network.images["train"][rows], train.labels[rows]
    if trial.certain:
        groups = groups_of([listed.items["train"][row] for row in rows])
        learned = learn_all(run, variables, images, train.logits[rows], labels, groups, score)
        variables, estimates = learned.variables, learned.estimates
    else:
        variables, _, _ = cross_fit_all(run, variables, images, labels, score, folds=[])
        estimates = None
    logits, features = score(variables, network.images["test"])
    return _row("", logits, Part(logits, features, network.test.labels), estimates, listed)


def _chosen(how: str, count: int, draw: int, known: np.ndarray, train: Part) -> np.ndarray:
    """Rows of the training part that are labelled."""
    if how == "at random":
        return np.random.default_rng([draw, count]).permutation(known)[:count]
    probabilities = special.softmax(train.logits[known], axis=1)
    return known[propose(train.features[known], probabilities, count, seed=draw)]


def accuracies(right: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Weights `[R, N]` -> accuracy and balanced accuracy `[R]`, for `bootstrap_intervals`.

    A class that a resample misses is left out of its mean, as in the scores of `evaluate`.

    Args:
      right: how far each image is right, `[N]`; or a difference of two such.
      labels: their classes, `[N]`.
    """
    of_class = labels[:, None] == np.unique(labels)

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        counts, hits = weights @ of_class, (weights * right) @ of_class
        recalls = np.divide(hits, counts, out=np.zeros_like(counts), where=counts > 0)
        return {
            "accuracy": weights @ right / weights.sum(1),
            "balanced_accuracy": recalls.sum(1) / (counts > 0).sum(1),
        }

    return statistics


def estimated(
    right: np.ndarray, labels: np.ndarray, groups: np.ndarray | None
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Accuracy and balanced accuracy, and their 95 % intervals by bootstrap over images or groups."""
    statistics = accuracies(right, labels)
    own = {key: float(value[0]) for key, value in statistics(np.ones((1, len(labels)))).items()}
    return own, bootstrap_intervals(statistics, len(labels), groups=groups, resamples=_RESAMPLES, seed=0)


def _row(name: str, logits: np.ndarray, part: Part, estimates: Uncertainty | None, listed: Listed) -> Row:
    """Scores of one set of logits."""
    labels, temperature = part.labels, 1.0 if estimates is None else estimates.temperature.value
    log_probs = soften(logits, temperature)
    right = (log_probs.argmax(1) == labels).astype(float)
    own, intervals = estimated(right, labels, listed.groups)
    ece = measure_reliability(log_probs, labels).ece
    found = {"name": name, **own, "ece": ece, "intervals": intervals, "right": right.tolist()}
    if estimates is not None:
        judged = estimates.apply(logits, part.features).for_a_person
        found |= {"left": float(judged.mean()), "kept": int((~judged).sum())}
        found["wrong"] = float(1 - right[~judged].mean()) if (~judged).any() else None
    return found


def _mean(name: str, rows: Sequence[Row]) -> Row:
    """The mean over draws of labels, with the smallest and largest in the place of intervals."""
    right = np.mean([one["right"] for one in rows], axis=0)
    result: Row = {"name": name, "draws": len(rows), "intervals": {}, "right": right.tolist()}
    keys = ("accuracy", "balanced_accuracy", "ece", "left", "wrong")
    for key in [key for key in keys if key in rows[0]]:
        values = [one[key] for one in rows if one[key] is not None]
        result[key] = float(np.mean(values)) if values else None
        if values:
            result["intervals"][key] = [min(values), max(values)]
    kept = sum(one.get("kept", 0) for one in rows)
    if kept:  # over the cells of all draws
        result["wrong"] = sum(one["kept"] * (one["wrong"] or 0) for one in rows) / kept
    return result


def with_mixture(logits: np.ndarray, shares: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Log-probabilities under another mixture of classes (Saerens et al. 2002, eq. 2.4)."""
    return soften(logits + np.log(np.maximum(shares, 1e-12)) - np.log(prior), 1.0)


def _counts(run: Run, network: Network) -> dict[str, Any]:
    """How far counted and corrected mixtures of the test part are from the true one, 0..1."""
    prior, test = run_prior(run), network.test
    true = np.bincount(test.labels, minlength=run.num_classes) / len(test.labels)
    counted = np.bincount(test.logits.argmax(1), minlength=run.num_classes) / len(test.labels)
    found = estimate_mixture(
        special.softmax(test.logits, axis=1),
        prior.shares,
        confusion=prior.confusion,
        possible=prior.possible,
    )
    by_confusion = found.by_confusion
    return {
        "counted": total_variation(counted, true),
        "em": total_variation(found.shares, true),
        "confusion": None if by_confusion is None else total_variation(by_confusion, true),
        "misfit": found.misfit,
    }
