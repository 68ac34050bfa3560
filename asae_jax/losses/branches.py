"""From the logits of several branches to the scores of one prediction (section 3.1 of the paper)."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from asae_jax.types import BranchScores, Labels, Losses, Scores, at_least_float32


def mean_branch_log_probs(logits: BranchScores) -> Scores:
    """Logarithm of the branches' mean probability.

    "Two new features are sent to the latter part to gain two probability distributions. We average them
    to gain the final probability." (section 3.1). The logarithm of that average is what the losses
    take: probabilities as scores would keep the cross entropy of 14 classes above 1.7 however good the
    network. For two branches it is `logaddexp(log_softmax(a), log_softmax(b)) - log 2`; for one, its
    log_softmax. It is computed without leaving the logarithm, so no probability underflows to zero.

    Args:
      logits: `[branches, batch, classes]`, any float type.

    Returns:
      Log-probabilities `[batch, classes]`, float32, finite for logits of +-1e4.

    Raises:
      ValueError: not three axes, or no branch.
    """
    if logits.ndim != 3 or logits.shape[0] < 1:
        raise ValueError(f"logits must be [branches, batch, classes], got {logits.shape}")
    logits = at_least_float32(logits)
    return jax.nn.logsumexp(jax.nn.log_softmax(logits), axis=0) - math.log(logits.shape[0])


def mean_branch_loss(
    loss: Callable[[Scores, Labels], Losses], logits: BranchScores, labels: Labels
) -> Losses:
    """Mean over the branches of each one's own loss.

    Not the paper's: the loss of the mean probability lets one branch rest on another; here each has to
    classify by itself, so that the one that is used at test is trained as hard as if it were alone.

    Args:
      loss: per-example loss `([batch, classes], [batch]) -> [batch]`.
      logits: `[branches, batch, classes]`.
      labels: int `[batch]`, 0..classes-1.

    Returns:
      Losses `[batch]`, float32.
    """
    return jnp.mean(jax.vmap(loss, in_axes=(0, None))(logits, labels), axis=0)


def branch_disagreement(logits: BranchScores) -> Losses:
    """How far the branches' predictions lie apart: their generalised Jensen-Shannon divergence.

    The mean over the branches of KL(branch || mean of the branches): 0 where all agree, log(branches)
    where each is sure of another class. Not the paper's: added to the loss it asks for the same answer with
    and without the hidden region, as R-Drop (Liang et al. 2021) asks of two passes through dropout.
    Gradients flow into all branches.

    Args:
      logits: `[branches, batch, classes]`, any float type.

    Returns:
      `[batch]`, float32.
    """
    mean = mean_branch_log_probs(logits)
    log_probs = jax.nn.log_softmax(logits.astype(mean.dtype))
    return jnp.mean(jnp.sum(jnp.exp(log_probs) * (log_probs - mean[None]), axis=-1), axis=0)
