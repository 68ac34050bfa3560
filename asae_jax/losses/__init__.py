"""Losses per example, as pure functions of scores and labels; the caller reduces."""

import warnings
from collections.abc import Callable
from functools import partial

from asae_jax.errors import UserError
from asae_jax.losses.baselines import (
    ClassCounts,
    class_balanced,
    effective_number_weights,
    focal,
    logit_adjusted,
)
from asae_jax.losses.boosted import gce, gmmce
from asae_jax.losses.branches import branch_disagreement, mean_branch_log_probs, mean_branch_loss
from asae_jax.losses.cross_entropy import cross_entropy
from asae_jax.types import Labels, Losses, Scores

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

Loss = Callable[[Scores, Labels], Losses]
"""(scores `[batch, classes]`, labels `[batch]`) -> losses `[batch]`."""

NAMES = ("ce", "gce", "gmmce", "focal", "class_balanced", "logit_adjusted")

NEED_CLASS_COUNTS = ("class_balanced", "logit_adjusted")
"""Losses that depend on how many training images each class has."""


def create_loss(
    name: str,
    *,
    num_classes: int,
    class_counts: ClassCounts | None = None,
    k_high: int = 3,
    k_low: int = 3,
    label_smoothing: float = 0.0,
    gamma: float = 2.0,
    beta: float = 0.999,
    tau: float = 1.0,
) -> Loss:
    """The loss called `name`, with its options filled in.

    Args:
      name: one of `NAMES`; "ce" is cross entropy.
      num_classes: number of classes of the scores.
      class_counts: training images of each class `[classes]`, for the names in `NEED_CLASS_COUNTS`.
      k_high: GCE and GMMCE: how many of the highest negatives take part.
      k_low: GMMCE: how many of the lowest negatives take part.
      label_smoothing: cross entropy only, 0 <= e < 1; 0 is off.
      gamma: focal loss: how fast it fades for examples already right, at least 0.
      beta: class-balanced, 0 <= beta < 1: 0 for equal weights, towards 1 for inverse frequency.
      tau: logit-adjusted: strength, at least 0.

    Warns:
      UserWarning: there are so few classes that the loss keeps all of them and equals cross entropy.

    Raises:
      UserError: an unknown name, or options out of range or without effect.
      ValueError: the loss needs class counts and got none.
    """
    _check_options(name, k_high, k_low, label_smoothing)
    _check_ranges(gamma, beta, tau)
    if name in NEED_CLASS_COUNTS:
        return _with_class_counts(name, class_counts, beta, tau)
    if name in ("gce", "gmmce"):
        _warn_where_all_are_kept(name, num_classes, k_high if name == "gce" else k_high + k_low)
    losses: dict[str, Loss] = {
        "ce": partial(cross_entropy, label_smoothing=label_smoothing),
        "gce": partial(gce, k_high=k_high),
        "gmmce": partial(gmmce, k_high=k_high, k_low=k_low),
        "focal": partial(focal, gamma=gamma),
    }
    return losses[name]


def _with_class_counts(name: str, class_counts: ClassCounts | None, beta: float, tau: float) -> Loss:
    if class_counts is None:
        raise ValueError(f"loss {name} needs class_counts")
    losses: dict[str, Loss] = {
        "class_balanced": partial(class_balanced, class_counts=class_counts, beta=beta),
        "logit_adjusted": partial(logit_adjusted, class_counts=class_counts, tau=tau),
    }
    return losses[name]


def _warn_where_all_are_kept(name: str, num_classes: int, kept: int) -> None:
    if num_classes - 1 <= kept:
        warnings.warn(
            f"loss {name} keeps {kept} negative classes and there are only {num_classes - 1}: "
            "it is the same as cross entropy; lower k_high or k_low for an effect",
            stacklevel=3,
        )


def _check_options(name: str, k_high: int, k_low: int, label_smoothing: float) -> None:
    if name not in NAMES:
        raise UserError(f"loss: unknown name {name!r}; choose one of {', '.join(NAMES)}")
    kept = {"gce": {"k_high": k_high}, "gmmce": {"k_high": k_high, "k_low": k_low}}.get(name, {})
    for option, value in kept.items():
        if value < 1:
            raise UserError(f"loss: {option} = {value} must be at least 1")
    if not 0.0 <= label_smoothing < 1.0:
        raise UserError(f"loss: label_smoothing = {label_smoothing} must be at least 0 and below 1")
    if name != "ce" and label_smoothing:
        raise UserError(f"loss: label_smoothing has no effect on {name}; set it to 0 or choose ce")


def _check_ranges(gamma: float, beta: float, tau: float) -> None:
    if not 0 <= beta < 1:
        raise UserError(f"loss: beta = {beta} must be at least 0 and below 1")
    for option, value in (("gamma", gamma), ("tau", tau)):
        if not value >= 0:
            raise UserError(f"loss: {option} = {value} must be at least 0")
