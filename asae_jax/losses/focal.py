"""Focal loss (Lin et al. 2017, arXiv:1708.02002, eq. 4), for several classes."""

import jax
import jax.numpy as jnp

from asae_jax.losses.cross_entropy import label_margins
from asae_jax.types import Labels, Scores


def focal(scores: Scores, labels: Labels, *, gamma: float = 2.0) -> jax.Array:
    """Cross entropy that fades for examples already right: `-(1 - p)^gamma log p`, p of the label.

    The source writes it for two classes; here p is the softmax probability of the label, as is usual
    for several. The source's class weight alpha is left out: weights of classes are `class_balanced`'s.

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
