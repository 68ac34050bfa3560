"""Gradient-boosting losses that look at some of the negative classes: GCE and GMMCE.

GCE is eq. (2) of the paper (Sun et al., arXiv:1912.06842), GMMCE its eq. (5), (6) and (8). Both are a
cross entropy over the label and a selected set of negatives; they differ only in the set. The
selection itself is not differentiated.

Deviations. Eq. (8) sums over J'_> and J'_< one after the other, which would count a class in both
sets twice; eq. (7) and the text mean sets, so each class counts once. The gradient is automatic
differentiation of eq. (8): for a kept negative c it is `exp(s_c) / Z`, not the `exp(s_l) / Z` that
eq. (9) prints.
"""

import jax
import jax.numpy as jnp
import jaxtyping as jt

from asae_jax.losses.cross_entropy import label_margins
from asae_jax.types import Array, Labels, Losses, Scores

_FEW = 16
"""Classes that are taken away one by one rather than sorted."""

ClassMask = jt.Bool[Array, "*batch classes"]
"""Which classes take part in each example's loss."""


def gce(scores: Scores, labels: Labels, *, k_high: int = 3) -> Losses:
    """Gradient-boosting cross entropy: cross entropy over the label and the confusing negatives, eq. (2).

    The confusing negatives J'_> are those that score at least as much as the `k_high`-th highest
    negative; ties at that threshold are all kept.

    Args:
      scores: logits or log-probabilities `[..., classes]`.
      labels: int `[...]`, 0..classes-1.
      k_high: how many of the highest negatives, at least 1; more than `classes - 1` means all, which
        is plain cross entropy.

    Returns:
      Losses `[...]`, float32 (not reduced), finite for scores of +-1e4.

    Raises:
      ValueError: wrong shapes, or `k_high` below 1.
    """
    margins = label_margins(scores, labels)
    return _restricted_cross_entropy(margins, labels, _highest(margins, labels, k_high))


def gmmce(scores: Scores, labels: Labels, *, k_high: int = 3, k_low: int = 3) -> Losses:
    """Gradient-boosting maximum-minimum cross entropy, eq. (8).

    Cross entropy over the label, the negatives J'_> that score at least as much as the `k_high`-th
    highest negative (eq. 5), and the negatives J'_< that score at most as much as the `k_low`-th
    lowest (eq. 6). Ties at a threshold are all kept, and a class in both sets counts once. It
    equals cross entropy when `classes - 1 <= k_high + k_low`.

    Its gradient obeys eq. (10), GCE >= GMMCE >= CE, as signed numbers, for the label and for J'_>.
    In magnitude this holds for J'_> only: the label's gradient is negative, so there the order of the
    magnitudes is reversed, and GCE pulls the label up least.

    Args:
      scores: logits or log-probabilities `[..., classes]`.
      labels: int `[...]`, 0..classes-1.
      k_high: how many of the highest negatives (the paper's k+), at least 1.
      k_low: how many of the lowest negatives (the paper's k-), at least 1.

    Returns:
      Losses `[...]`, float32 (not reduced), finite for scores of +-1e4.

    Raises:
      ValueError: wrong shapes, or a k below 1.
    """
    margins = label_margins(scores, labels)
    kept = _highest(margins, labels, k_high) | _highest(-margins, labels, k_low)
    return _restricted_cross_entropy(margins, labels, kept)


def _restricted_cross_entropy(margins: Scores, labels: Labels, kept: ClassMask) -> Losses:
    """Cross entropy in which only the label and the classes of `kept` take part."""
    return jax.nn.logsumexp(margins, axis=-1, where=kept | _is_label(margins, labels))


def _highest(values: Scores, labels: Labels, k: int) -> ClassMask:
    """Where a class is at or above the k-th highest negative: bool `[..., classes]`.

    The label's own entry means nothing. A NaN is never below the threshold and so is kept: a diverged
    network must show in the loss.
    """
    if k < 1:
        raise ValueError(f"at least one class must be kept on each side, got k = {k}")
    values = jax.lax.stop_gradient(values)
    negatives = jnp.where(_is_label(values, labels), -jnp.inf, values)
    return ~(values < _kth_highest(negatives, min(k, values.shape[-1] - 1)))


def _kth_highest(values: Scores, k: int) -> Array:
    """The k-th highest of `[..., classes]`, counting equal values as often as they occur: `[..., 1]`.

    On a CPU XLA sorts all classes for `top_k`: with three of 1,000 on each side, loss and gradient took
    eleven times as long as when the highest is taken away k - 1 times.
    """
    if k > _FEW:
        return jax.lax.top_k(values, k)[0][..., -1:]
    for _ in range(k - 1):
        highest = jax.nn.one_hot(jnp.argmax(values, axis=-1), values.shape[-1], dtype=bool)
        values = jnp.where(highest, -jnp.inf, values)
    return values.max(axis=-1, keepdims=True)


def _is_label(values: Scores, labels: Labels) -> ClassMask:
    return jax.nn.one_hot(labels, values.shape[-1], dtype=bool)
