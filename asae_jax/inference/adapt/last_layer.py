"""The last layer trained anew on a few labelled images of another laboratory, and honest scores of them.

Softmax regression on the network's pooled features that begins at the trained layer and is drawn to it: what
a hundred labels do not say stays nearly as it was. A class that no label names keeps its weights nearly, but
is given more rarely, as no labelled image was one of it. How strongly the layer is drawn, a cross-validation
among the labels chooses.

Scores are cross-fitted: each labelled image is scored by a layer that was trained, and whose strength was
chosen, without its fold. Calibration and thresholds are made of these scores.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util
from scipy import special

from asae_jax.errors import UserError
from asae_jax.evaluation.calibration import LIMITS
from asae_jax.inference.classifiers import fold_masks
from asae_jax.inference.softmax_regression import fit_softmax_regression

STRENGTHS = (10.0, 2.0, 0.5, 0.1, 0.02, 0.005)
"""Penalties on the distance from the old layer, the strongest first, among which cross-validation chooses."""

_INNER_FOLDS = 3
_OFF = -30.0 * LIMITS[1]
"""Of the bias of a class that does not occur: a probability of 1e-13 or less at any temperature."""
_AGREES = 1e-2  # largest difference between the network's logits and those of its last layer


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """A last layer.

    Attributes:
      kernel: float64 `[channels, classes]`.
      bias: float64 `[classes]`.
    """

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        """float64 `[N, classes]` of features `[N, channels]`."""
        return np.asarray(features, np.float64) @ self.kernel + self.bias


@dataclasses.dataclass(frozen=True, eq=False)
class CrossFitted:
    """What the labels gave.

    Attributes:
      layer: trained on all of them.
      strength: of its penalty; infinite where the old layer was no worse.
      logits: `[N, classes]`, of each labelled image by a layer that has not seen its fold, or by the old one
        where that stays.
      folds: bool `[N]` of each fold.
    """

    layer: Layer
    strength: float
    logits: np.ndarray
    folds: list[np.ndarray]


_HEAD = ("backbone", "head")
"""Where in `params` the last layer is, see `Backbone`."""


def read_layer(variables: Mapping[str, Any]) -> Layer:
    """The last layer, whatever it acts on: in some networks a norm stands behind the pooling.

    Args:
      variables: of the network.
    """
    params = traverse_util.flatten_dict(dict(variables["params"]))
    return Layer(*(np.asarray(params[(*_HEAD, name)], np.float64) for name in ("kernel", "bias")))


def find_layer(variables: Mapping[str, Any], features: np.ndarray, logits: np.ndarray) -> Layer:
    """The last layer, which acts on the pooled features.

    Args:
      variables: of the network.
      features: its pooled features of some images, `[N, channels]`.
      logits: its logits of the same.

    Raises:
      UserError: its logits are no linear function of these features.
    """
    layer = read_layer(variables)
    if len(layer.kernel) == features.shape[1]:
        occur = layer.bias > _OFF / 2  # else the size would be that of classes that were removed
        size = max(float(np.abs(logits[:, occur]).max()), 1.0)
        if np.abs(layer.logits(features) - logits).max() <= _AGREES * size:
            return layer
    raise UserError(
        "the last layer of this network does not act on its pooled features, so that it cannot be trained "
        "alone: train all layers on the labels (adapt --layers=all)."
    )


def with_layer(variables: Mapping[str, Any], layer: Layer) -> dict[str, Any]:
    """The variables with another last layer, float32."""
    params = traverse_util.flatten_dict(dict(variables["params"]))
    for name, values in (("kernel", layer.kernel), ("bias", layer.bias)):
        params[(*_HEAD, name)] = np.asarray(values, np.float32)
    return {**variables, "params": traverse_util.unflatten_dict(params)}


def without_classes(layer: Layer, absent: np.ndarray) -> Layer:
    """The layer that never names the classes `absent`, bool `[classes]`."""
    kernel, bias = layer.kernel.copy(), layer.bias.copy()
    kernel[:, absent] = layer.kernel[:, ~absent].mean(1, keepdims=True)
    bias[absent] = layer.bias[~absent].mean() + _OFF
    return Layer(kernel, bias)


def fit_layer(old: Layer, features: np.ndarray, labels: np.ndarray, strength: float) -> Layer:
    """The layer of least mean cross entropy plus half of `strength` times its squared distance from `old`.

    The distance is measured on standardised features, weights and biases alike.

    Args:
      old: where it begins, and what it is drawn to.
      features: float `[N, channels]`.
      labels: int `[N]`.
      strength: of the penalty, above 0; infinite: `old` itself.
    """
    if not np.isfinite(strength):
        return old
    features = np.asarray(features, np.float64)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-9 * max(float(scale.max()), 1e-30), scale, 1.0)
    inputs = np.hstack([(features - mean) / scale, np.ones((len(features), 1))])
    unchanged = np.zeros((inputs.shape[1], len(old.bias)))
    change = fit_softmax_regression(
        inputs, labels, unchanged, penalty=strength, offset=old.logits(features), free_biases=False
    )
    kernel = change[:-1] / scale[:, None]
    return Layer(old.kernel + kernel, old.bias + change[-1] - mean @ kernel)


def choose_strength(
    old: Layer, features: np.ndarray, labels: np.ndarray, *, groups: np.ndarray | None, seed: int
) -> float:
    """The strength of the least cross entropy in a cross-validation; infinite where none beats `old`.

    Args:
      old: the layer before.
      features: float `[N, channels]`.
      labels: int `[N]`.
      groups: `[N]`, which are not divided; None: images are.
      seed: of the folds.
    """
    if groups is None or len(np.unique(groups)) < 2:
        masks = fold_masks(labels, groups=None, folds=_INNER_FOLDS, seed=seed)
    else:  # a fold may lack a class; so every label is tested, even where a patient alone has one
        masks = even_folds(len(labels), groups, _INNER_FOLDS, seed)
    tested = np.any(masks, axis=0)
    best, chosen = _loss(old, features[tested], labels[tested]), np.inf
    for strength in STRENGTHS:
        total = sum(
            _loss(fit_layer(old, features[~test], labels[~test], strength), features[test], labels[test])
            for test in masks
        )
        if total < best:
            best, chosen = total, strength
        elif np.isfinite(chosen):
            break
    return chosen


def cross_fit(
    old: Layer,
    features: np.ndarray,
    labels: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    folds: int = 5,
    seed: int = 0,
) -> CrossFitted:
    """The layer trained on all labels, and the scores of each image by one that has not seen its fold.

    Args:
      old: the layer before.
      features: float `[N, channels]`.
      labels: int `[N]`.
      groups: slide or patient of each, whole ones are in a fold; None where not known.
      folds: how many, 2 or more.
      seed: of the folds.
    """
    logits = np.zeros((len(labels), len(old.bias)))
    masks = [mask for mask in even_folds(len(labels), groups, folds, seed) if mask.any()]
    for test in masks:
        kept = None if groups is None else groups[~test]
        strength = choose_strength(old, features[~test], labels[~test], groups=kept, seed=seed)
        logits[test] = fit_layer(old, features[~test], labels[~test], strength).logits(features[test])
    strength = choose_strength(old, features, labels, groups=groups, seed=seed)
    if not np.isfinite(strength):  # what is delivered has seen no label at all
        logits = old.logits(features)
    return CrossFitted(fit_layer(old, features, labels, strength), strength, logits, masks)


def even_folds(count: int, groups: np.ndarray | None, folds: int, seed: int) -> list[np.ndarray]:
    """Folds of nearly equal size that do not depend on labels: an image's fold must not tell its label.

    Args:
      count: number of images N, 1 or more.
      groups: `[N]`, what stays in one fold (patients); None: each image by itself.
      folds: 1 or more; at most as many as there are groups, or images, are made.
      seed: any non-negative integer.

    Returns:
      The images of each fold, bool `[N]` each.
    """
    units = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]
    number = int(units.max()) + 1
    order = np.random.default_rng(seed).permutation(number)
    fold_of = np.empty(number, np.int64)
    fold_of[order] = np.arange(number) % min(folds, number)
    return [fold_of[units] == fold for fold in range(min(folds, number))]


def _loss(layer: Layer, features: np.ndarray, labels: np.ndarray) -> float:
    log_probs = special.log_softmax(layer.logits(features), axis=1)
    return -float(log_probs[np.arange(len(labels)), labels].sum())
