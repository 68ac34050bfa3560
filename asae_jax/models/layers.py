"""What all backbones are built of: convolution, normalisation, the classifier's head.

All take features `[..., batch, height, width, channels]`; leading axes count branches. Paddings and
initialisation are torch's. `make_norm` returns a constructor; what it makes is called as
`norm(features, train=...)` and keeps the features' dtype. Statistics are always float32.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from asae_jax.errors import UserError
from asae_jax.models.auxiliary_norm import AUXILIARY
from asae_jax.models.convolution import convolve
from asae_jax.models.placement import Window
from asae_jax.types import Array, ClassMaps, Features, Key, Logits, NextFeatures, at_least_float32

NORMS = ("batch", "frozen_batch", "group")
BRANCH_STATISTICS = ("separate", "joint")
BRANCH_AFFINE = ("shared", "separate")

Norm = Callable[..., nn.Module]
"""Constructor of a normalisation layer, as `make_norm` gives it."""


def check_choice(option: str, value: object, choices: Iterable[str]) -> None:
    """Raises a `UserError` that lists the choices unless `value` is one of them."""
    names = list(choices)
    if value not in names:
        raise UserError(f"{option} is {value!r}: choose one of {', '.join(names)}")


def kaiming_normal(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """He et al. 2015 over the outgoing connections, as torchvision initialises ResNet and VGG.

    Drawn as one vector: the same numbers as with the kernel's shape, but XLA compiles it four times faster,
    which is most of the time that initialising a ResNet takes.
    """
    height, width, _, features = shape
    spread = math.sqrt(2 / (height * width * features))
    return spread * jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)


class Conv(nn.Module):
    """Square convolution `[..., height, width, channels]` -> `[..., height', width', features]`.

    Attributes:
      features: channels out.
      size: side of the kernel.
      strides: in both directions.
      padding: zeros on every side, as in torch; or "same", TensorFlow's: as few as give
        `ceil(length / strides)` positions, an odd one below and to the right. At stride 2 an even length is
        padded on that side only.
      use_bias: add a learnt bias, zero at the start.
      groups: parts of the channels that are convolved apart; as many as channels is a depthwise convolution.
      kernel_init: draws the kernel `[size, size, channels / groups, features]`.
      dtype: of the computation and the result; parameters stay float32.
    """

    features: int
    size: int
    strides: int = 1
    padding: int | Literal["same"] = 0
    use_bias: bool = False
    groups: int = 1
    kernel_init: Callable[..., Array] = kaiming_normal
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Features) -> NextFeatures:
        """Convolve the last three axes."""
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        height, width = x.shape[-3:-1]
        window = Window(self.size, self.strides, self.padding)
        zeros = window.zeros(height), window.zeros(width)
        y = convolve(x, kernel, strides=self.strides, zeros=zeros, groups=self.groups)
        if not self.use_bias:
            return y
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return y + bias.astype(self.dtype).reshape((1,) * (y.ndim - 1) + (-1,))


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
      branch_affine: "shared": one scale and bias for all branches; "separate": in training every branch but
        `running_branch` has its own, beside its own statistics: the auxiliary batch normalisation of AdvProp
        (Xie et al., CVPR 2020). Statistics of these branches are not kept, as the test has no use for them.
      axis_name: device axis to synchronise over; only used in training.
      frozen: always use the running statistics and never update them; scale and bias are still learnt.
      scale_init: initialiser of the scale.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    branch_statistics: str = "separate"
    running_branch: int | None = None
    branch_affine: str = "shared"
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
        if self.branch_affine == "separate" and x.ndim > 4:
            scale, bias = self._of_every_branch(scale, bias, len(x))
        return _normalise(x, mean, var, scale, bias, self.epsilon)

    def _of_every_branch(self, scale: Array, bias: Array, branches: int) -> tuple[Array, Array]:
        """Scales and biases `[branches, 1, 1, 1, channels]`, the given ones at `running_branch`."""
        place, shape = self.running_branch, (branches - 1, *scale.shape)
        if place is None:
            raise UserError(
                "a scale and bias for each branch need running_branch: whose are kept for the test"
            )
        auxiliary = (
            self.param(AUXILIARY["scale"], self.scale_init, shape),
            self.param(AUXILIARY["bias"], nn.initializers.zeros, shape),
        )
        every = (
            jnp.concatenate([others[:place], own[None], others[place:]])
            for own, others in zip((scale, bias), auxiliary, strict=True)
        )
        first, second = (vectors.reshape(branches, 1, 1, 1, -1) for vectors in every)
        return first, second

    def _batch_statistics(self, x: Features) -> tuple[Array, Array, int]:
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

    def _updated(self, running: Array, batch: Array) -> Array:
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
    branch_affine: str = "shared",
    axis_name: str | None = None,
) -> Norm:
    """Constructor of a normalisation layer.

    Args:
      kind: "batch", "frozen_batch" (running statistics always, for fine-tuning) or "group" (32 groups).
      branch_statistics: "separate" or "joint"; only for "batch".
      running_branch: see `BatchNorm`; only for "batch" with separate statistics.
      branch_affine: "shared" or "separate"; only for "batch" with separate statistics.
      axis_name: device axis to synchronise over; only for "batch".

    Raises:
      UserError: an unknown name, or a scale and bias for each branch where a branch has no statistics.
    """
    check_choice("norm", kind, NORMS)
    check_choice("branch_statistics", branch_statistics, BRANCH_STATISTICS)
    check_choice("branch_affine", branch_affine, BRANCH_AFFINE)
    if branch_affine == "separate" and (kind, branch_statistics) != ("batch", "separate"):
        raise UserError(
            "a scale and bias for each branch need batch normalisation with separate statistics "
            f"(norm 'batch', branch_statistics 'separate'), not {kind!r} and {branch_statistics!r}"
        )
    if kind == "group":
        return GroupNorm
    return partial(
        BatchNorm,
        branch_statistics=branch_statistics,
        running_branch=running_branch,
        branch_affine=branch_affine,
        axis_name=axis_name,
        frozen=kind == "frozen_batch",
    )


def _scale_and_bias(
    module: nn.Module, shape: tuple[int], scale_init: nn.initializers.Initializer
) -> tuple[Array, Array]:
    return module.param("scale", scale_init, shape), module.param("bias", nn.initializers.zeros, shape)


def _aligned(vector: Array, ndim: int) -> Array:
    """A vector over the channels with the rank of the features (implicit rank promotion is an error)."""
    return vector.reshape((1,) * (ndim - 1) + vector.shape[-1:]) if vector.ndim == 1 else vector


def _normalise(x: Features, mean: Array, var: Array, scale: Array, bias: Array, epsilon: float) -> Features:
    mean, var, scale, bias = (_aligned(v, x.ndim) for v in (mean, var, scale, bias))
    return ((at_least_float32(x) - mean) * (lax.rsqrt(var + epsilon) * scale) + bias).astype(x.dtype)


# Uniform within +-1/sqrt(channels), torch's default for a linear layer.
_torch_linear = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class Head(nn.Module):
    """Global average pooling and a linear layer, in float32 whatever the dtype of the features."""

    num_classes: int

    @nn.compact
    def __call__(self, x: Features, *, pool: bool = True) -> Logits | ClassMaps:
        """`[..., height, width, channels]` -> float32 logits `[..., num_classes]`.

        Without `pool`, class maps `[..., height, width, num_classes]`, whose mean over the
        positions is the logits.
        """
        x = at_least_float32(x)
        x = jnp.mean(x, axis=(-3, -2)) if pool else x
        kernel = self.param("kernel", _torch_linear, (x.shape[-1], self.num_classes))
        bias = self.param("bias", nn.initializers.zeros, (self.num_classes,))
        # Full precision: on TPUs and recent GPUs the default would round the features to fewer bits.
        logits = jnp.matmul(x, kernel, precision="highest")
        return logits + bias.reshape((1,) * (logits.ndim - 1) + (-1,))
