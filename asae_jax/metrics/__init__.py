"""Metrics: mergeable sums for the training loop, the full report for evaluation."""

from asae_jax.metrics.confusion import PerClass, confusion_matrix, per_class_scores, summarise
from asae_jax.metrics.evaluate import evaluate_scores
from asae_jax.metrics.sums import Sums

__all__ = ["PerClass", "Sums", "confusion_matrix", "evaluate_scores", "per_class_scores", "summarise"]
