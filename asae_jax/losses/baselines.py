"""Losses that GMMCE is compared with: focal, class-balanced and logit-adjusted cross entropy.

The last two correct unequal numbers of training images. They are for batches drawn as the data are
(`data.sampler` "shuffled"); together with balanced batches they correct the same imbalance twice.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from asae_jax.losses.cross_entropy import cross_entropy, label_margins
from asae_jax.types import Labels, Losses, Scores

ClassCounts = Sequence[int] | np.ndarray
"""Training images of each class `[classes]`, at least 1 each; on the host, a constant of the loss."""


def focal(scores: Scores, labels: Labels, *, gamma: float = 2.0) -> Losses:
    """Cross entropy that fades for examples already right: `-(1 - p)^gamma log p`, p of the label.

    Lin et al. 2017, arXiv:1708.02002, eq. 4. The source writes it for two classes; here p is the softmax
    probability of the label, as is usual for several. The source's class weight alpha is left out: weights of
    classes are `class_balanced`'s.

    Args:
      scores: logits or log-probabilities `[..., classes]`.
      labels: int `[...]`, 0..classes-1.
      gamma: how fast it fades, at least 0; 0 is cross entropy.

    Returns:
      Losses `[...]`, float32 (not reduced), finite for scores of +-1e4, with finite gradients.

    Raises:
      ValueError: wrong shapes, or a gamma below 0.
    """
    if not gamma >= 0:
        raise ValueError(f"gamma must be at least 0, got {gamma}")
    margins = label_margins(scores, labels)
    is_label = jax.nn.one_hot(labels, margins.shape[-1], dtype=bool)
    # The log odds against the label: p = sigmoid(-against). Powers are taken in the logarithm, because
    # (1 - p)^gamma has an infinite slope at p = 1 where gamma is below 1.
    against = jax.nn.logsumexp(margins, axis=-1, where=~is_label)
    return jnp.exp(gamma * jax.nn.log_sigmoid(against)) * jax.nn.softplus(against)


def class_balanced(
    scores: Scores, labels: Labels, *, class_counts: ClassCounts, beta: float = 0.999
) -> Losses:
    """Cross entropy times the weight of the label's class (Cui et al. 2019, arXiv:1901.05555, eq. 11).

    Args:
      scores: logits or log-probabilities `[..., classes]`.
      labels: int `[...]`, 0..classes-1.
      class_counts: training images of each class `[classes]`.
      beta: see `effective_number_weights`.

    Returns:
      Losses `[...]`, float32 (not reduced). On unbalanced batches their mean weight is below 1.

    Raises:
      ValueError: wrong shapes, a class without images, or a beta outside its range.
    """
    losses = cross_entropy(scores, labels)
    weights = effective_number_weights(_checked(class_counts, scores.shape[-1]), beta=beta)
    return jnp.asarray(weights, losses.dtype)[labels] * losses


def logit_adjusted(scores: Scores, labels: Labels, *, class_counts: ClassCounts, tau: float = 1.0) -> Losses:
    """Cross entropy of `scores + tau log(prior)` (Menon et al. 2021, arXiv:2007.07314, eq. 10).

    The priors are the classes' shares of the training images. They are added in training only: what
    the network then scores by itself has its optimum at the balanced error.

    Args:
      scores: logits or log-probabilities `[..., classes]`.
      labels: int `[...]`, 0..classes-1.
      class_counts: training images of each class `[classes]`.
      tau: strength, at least 0; 1 is the consistent one, 0 is cross entropy.

    Returns:
      Losses `[...]`, float32 (not reduced), finite for scores of +-1e4.

    Raises:
      ValueError: wrong shapes, a class without images, or a tau below 0.
    """
    if not tau >= 0:
        raise ValueError(f"tau must be at least 0, got {tau}")
    margins = label_margins(scores, labels)
    # Only differences matter, so counts can stand for priors; their own margins keep the precision.
    log_counts = np.log(_checked(class_counts, scores.shape[-1]))
    shifts = label_margins(jnp.broadcast_to(jnp.asarray(log_counts, margins.dtype), margins.shape), labels)
    return jax.nn.logsumexp(margins + tau * shifts, axis=-1)


def effective_number_weights(class_counts: ClassCounts, *, beta: float = 0.999) -> np.ndarray:
    """Weights `(1 - beta) / (1 - beta^n)` for classes of n images, scaled to a mean of 1.

    The divisor is the effective number of images: each new one is worth `beta` of the one before. It
    levels off near `1 / (1 - beta)`. Between equal weights (`beta` 0) and inverse frequency (`beta`
    towards 1).

    Args:
      class_counts: n of each class `[classes]`, at least 1.
      beta: 0 <= beta < 1; the source tries 0.9, 0.99, 0.999 and 0.9999.

    Returns:
      float64 `[classes]`.

    Raises:
      ValueError: a class without images, or a beta outside its range.
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta must be at least 0 and below 1, got {beta}")
    counts = _checked(class_counts, len(class_counts))
    weights = (1 - beta) / (1 - beta**counts)
    return weights / weights.mean()


def _checked(class_counts: ClassCounts, num_classes: int) -> np.ndarray:
    counts = np.asarray(class_counts, np.float64)
    if counts.shape != (num_classes,) or not (counts >= 1).all():
        raise ValueError(f"class_counts must be {num_classes} numbers of at least 1, got {counts.tolist()}")
    return counts
