"""Losses per example, as pure functions of scores and labels; the caller reduces."""

from asae_jax.losses.boosted import gce, gmmce
from asae_jax.losses.branches import mean_branch_log_probs, mean_branch_loss
from asae_jax.losses.create import Loss, create_loss
from asae_jax.losses.cross_entropy import cross_entropy

__all__ = [
    "Loss",
    "create_loss",
    "cross_entropy",
    "gce",
    "gmmce",
    "mean_branch_log_probs",
    "mean_branch_loss",
]
