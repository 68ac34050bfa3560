"""A loss by its name in the configuration."""

import warnings
from collections.abc import Callable
from functools import partial

import jax

from asae_jax.errors import UserError
from asae_jax.losses.boosted import gce, gmmce
from asae_jax.losses.cross_entropy import cross_entropy
from asae_jax.types import Labels, Scores

Loss = Callable[[Scores, Labels], jax.Array]
"""(scores `[batch, classes]`, labels `[batch]`) -> losses `[batch]`."""

NAMES = ("ce", "gce", "gmmce")


def create_loss(
    name: str, *, num_classes: int, k_high: int = 3, k_low: int = 3, label_smoothing: float = 0.0
) -> Loss:
    """The loss called `name`, with its options filled in.

    Args:
      name: "ce" (cross entropy), "gce" or "gmmce".
      num_classes: number of classes the scores will have.
      k_high: GCE and GMMCE: how many of the highest negatives take part.
      k_low: GMMCE: how many of the lowest negatives take part.
      label_smoothing: cross entropy only; 0 is off.

    Warns:
      UserWarning: there are so few classes that the loss keeps all of them and equals cross entropy.

    Raises:
      UserError: an unknown name, or options out of range or without effect.
    """
    _check_options(name, k_high, k_low, label_smoothing)
    if name == "ce":
        return partial(cross_entropy, label_smoothing=label_smoothing)
    kept = k_high if name == "gce" else k_high + k_low
    if num_classes - 1 <= kept:
        warnings.warn(
            f"loss {name} keeps {kept} negative classes and there are only {num_classes - 1}: "
            "it is the same as cross entropy; lower k_high or k_low for an effect",
            stacklevel=2,
        )
    return partial(gce, k_high=k_high) if name == "gce" else partial(gmmce, k_high=k_high, k_low=k_low)


def _check_options(name: str, k_high: int, k_low: int, label_smoothing: float) -> None:
    if name not in NAMES:
        raise UserError(f"loss: unknown name {name!r}; choose one of {', '.join(NAMES)}")
    if name != "ce" and min(k_high, k_low) < 1:
        raise UserError(f"loss: k_high = {k_high} and k_low = {k_low} must be at least 1")
    if not 0.0 <= label_smoothing < 1.0:
        raise UserError(f"loss: label_smoothing = {label_smoothing} must be at least 0 and below 1")
    if name != "ce" and label_smoothing:
        raise UserError(f"loss: label_smoothing has no effect on {name}; set it to 0 or choose ce")
