"""Normalisation for features `[..., batch, height, width, channels]`; leading axes count branches.

`make_norm` returns a constructor; what it makes is called as `norm(features, train=...)` and keeps the
features' dtype. Statistics are always float32.
"""

import math
from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from asae_jax.models.choices import check_choice
from asae_jax.precision import at_least_float32
from asae_jax.types import Features

NORMS = ("batch", "frozen_batch", "group")
BRANCH_STATISTICS = ("separate", "joint")

Norm = Callable[..., nn.Module]


class BatchNorm(nn.Module):
    """Batch normalisation as torch has it, for several branches and devices at once.

    In training, features are normalised by the biased variance of the batch, and the running variance
    takes the unbiased one. Over devices mean and mean square are averaged, so that the result equals that
    of one large batch.

    Attributes:
      momentum: share of the old running statistics that is kept (0.9 is torch's 0.1).
      epsilon: added to the variance.
      branch_statistics: "separate": every branch by its own statistics, the running ones updated once per
        branch in order, as that many calls of a shared network would; "joint": one set over all branches.
      running_branch: with several branches, the one whose statistics the running ones follow; None: all of
        them. With the plain branch they are those of what the network sees at test.
      axis_name: device axis to synchronise over; only used in training.
      frozen: always use the running statistics and never update them; scale and bias are still learnt.
      scale_init: initialiser of the scale.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    branch_statistics: str = "separate"
    running_branch: int | None = None
    axis_name: str | None = None
    frozen: bool = False
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> Features:
        """Normalise; in training also update the running statistics (collection "batch_stats")."""
        shape = (x.shape[-1],)
        scale, bias = _scale_and_bias(self, shape, self.scale_init)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        if self.frozen or not train:
            return _normalise(x, running_mean.value, running_var.value, scale, bias, self.epsilon)
        mean, var, count = self._batch_statistics(x)
        if not self.is_initializing():
            running_mean.value = self._updated(running_mean.value, mean)
            running_var.value = self._updated(running_var.value, var * (count / max(count - 1, 1)))
        return _normalise(x, mean, var, scale, bias, self.epsilon)

    def _batch_statistics(self, x: Features) -> tuple[jax.Array, jax.Array, int]:
        """Mean and biased variance, `[..., 1, 1, 1, channels]`, and from how many values each was made."""
        first_axis = 0 if self.branch_statistics == "joint" else x.ndim - 4
        axes = tuple(range(first_axis, x.ndim - 1))
        count = math.prod(x.shape[axis] for axis in axes)
        x = at_least_float32(x)
        mean = jnp.mean(x, axes, keepdims=True)
        square = jnp.mean(jnp.square(x), axes, keepdims=True)
        if self.axis_name is not None and not self.is_initializing():
            mean, square = lax.pmean((mean, square), self.axis_name)
            count *= lax.psum(1, self.axis_name)
        return mean, jnp.maximum(square - jnp.square(mean), 0.0), count

    def _updated(self, running: jax.Array, batch: jax.Array) -> jax.Array:
        branches = lax.stop_gradient(batch).reshape(-1, running.shape[0])
        if self.running_branch is not None and len(branches) > 1:
            branches = branches[self.running_branch][None]
        for branch in branches:
            running = self.momentum * running + (1 - self.momentum) * branch
        return running


class GroupNorm(nn.Module):
    """Group normalisation: statistics per image, so neither the batch nor another laboratory changes it.

    Attributes:
      groups: number of groups; where it does not divide the channels, the greatest common divisor is taken.
      epsilon: added to the variance.
      scale_init: initialiser of the scale.
    """

    groups: int = 32
    epsilon: float = 1e-5
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> Features:
        """Normalise; training and test are the same."""
        channels = x.shape[-1]
        scale, bias = _scale_and_bias(self, (channels,), self.scale_init)
        groups = math.gcd(self.groups, channels)
        grouped = at_least_float32(x).reshape(*x.shape[:-1], groups, channels // groups)
        mean = jnp.mean(grouped, (-4, -3, -1), keepdims=True)
        var = jnp.var(grouped, (-4, -3, -1), keepdims=True)
        normal = ((grouped - mean) * lax.rsqrt(var + self.epsilon)).reshape(x.shape)
        return (normal * _aligned(scale, x.ndim) + _aligned(bias, x.ndim)).astype(x.dtype)


def make_norm(
    kind: str,
    *,
    branch_statistics: str = "separate",
    running_branch: int | None = None,
    axis_name: str | None = None,
) -> Norm:
    """Constructor of a normalisation layer.

    Args:
      kind: "batch", "frozen_batch" (running statistics always, for fine-tuning) or "group" (32 groups).
      branch_statistics: "separate" or "joint"; only for "batch".
      running_branch: see `BatchNorm`; only for "batch" with separate statistics.
      axis_name: device axis to synchronise over; only for "batch".

    Raises:
      UserError: an unknown name.
    """
    check_choice("norm", kind, NORMS)
    check_choice("branch_statistics", branch_statistics, BRANCH_STATISTICS)
    if kind == "group":
        return GroupNorm
    return partial(
        BatchNorm,
        branch_statistics=branch_statistics,
        running_branch=running_branch,
        axis_name=axis_name,
        frozen=kind == "frozen_batch",
    )


def _scale_and_bias(
    module: nn.Module, shape: tuple[int], scale_init: nn.initializers.Initializer
) -> tuple[jax.Array, jax.Array]:
    return module.param("scale", scale_init, shape), module.param("bias", nn.initializers.zeros, shape)


def _aligned(vector: jax.Array, ndim: int) -> jax.Array:
    """A vector over the channels with the rank of the features (implicit rank promotion is an error)."""
    return vector.reshape((1,) * (ndim - 1) + vector.shape[-1:]) if vector.ndim == 1 else vector


def _normalise(
    x: Features, mean: jax.Array, var: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> Features:
    mean, var, scale, bias = (_aligned(v, x.ndim) for v in (mean, var, scale, bias))
    return ((at_least_float32(x) - mean) * (lax.rsqrt(var + epsilon) * scale) + bias).astype(x.dtype)
