"""Cross entropy, eq. (1) of the paper, and the margins that every loss here is built on."""

import jax
import jax.numpy as jnp

from asae_jax.types import Labels, Losses, Scores, at_least_float32


def label_margins(scores: Scores, labels: Labels) -> Scores:
    """How far each class is above the label: `scores - scores[label]`, at least float32, 0 at the label.

    The losses depend on the scores only through these differences. Taken first, they keep their
    precision where the scores are large: the log-sum-exp of scores near 1e4 has a resolution of 1e-3
    in float32.

    Args:
      scores: logits or log-probabilities `[..., classes]`, at least two classes.
      labels: int `[...]`, 0..classes-1; a label beyond the classes gives NaN.

    Raises:
      ValueError: shapes that do not belong together, or fewer than two classes.
    """
    if scores.ndim < 1 or scores.shape[-1] < 2 or labels.shape != scores.shape[:-1]:
        raise ValueError(
            "scores must be [..., classes] with at least two classes and labels [...]; "
            f"got {scores.shape} and {labels.shape}"
        )
    scores = at_least_float32(scores)
    return scores - jnp.take_along_axis(scores, labels[..., None], axis=-1)


def cross_entropy(scores: Scores, labels: Labels, *, label_smoothing: float = 0.0) -> Losses:
    """Cross entropy of each example: `-log(exp(s_l) / sum_i exp(s_i))`, eq. (1).

    With `label_smoothing = e` the target is `1 - e + e / classes` at the label and `e / classes`
    elsewhere (Szegedy et al., arXiv:1512.00567; the same rule as torch's).

    Args:
      scores: logits or log-probabilities `[..., classes]`.
      labels: int `[...]`, 0..classes-1.
      label_smoothing: share of the target spread evenly over all classes, 0 <= e < 1.

    Returns:
      Losses `[...]`, float32 (not reduced), finite for scores of +-1e4.

    Raises:
      ValueError: wrong shapes, or a share outside its range.
    """
    if not 0.0 <= label_smoothing < 1.0:
        raise ValueError(f"label_smoothing must be at least 0 and below 1, got {label_smoothing}")
    margins = label_margins(scores, labels)
    loss = jax.nn.logsumexp(margins, axis=-1)
    if label_smoothing:
        loss -= label_smoothing * jnp.mean(margins, axis=-1)
    return loss
