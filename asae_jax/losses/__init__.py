"""Losses per example, as pure functions of scores and labels; the caller reduces."""

from asae_jax.losses.boosted import gce, gmmce
from asae_jax.losses.branches import branch_disagreement, mean_branch_log_probs, mean_branch_loss
from asae_jax.losses.create import NAMES, NEED_CLASS_COUNTS, Loss, create_loss
from asae_jax.losses.cross_entropy import cross_entropy
from asae_jax.losses.focal import focal
from asae_jax.losses.rebalanced import class_balanced, effective_number_weights, logit_adjusted

__all__ = [
    "NAMES",
    "NEED_CLASS_COUNTS",
    "Loss",
    "branch_disagreement",
    "class_balanced",
    "create_loss",
    "cross_entropy",
    "effective_number_weights",
    "focal",
    "gce",
    "gmmce",
    "logit_adjusted",
    "mean_branch_log_probs",
    "mean_branch_loss",
]
