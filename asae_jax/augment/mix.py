"""Two images in one, for two labels at once: mixup and CutMix.

Baselines, not parts of the paper: like the ASAE layer they keep a network from resting on one place of the
image. Each draws one share per batch, as the authors' code does. The loss that belongs to them is
`share * loss(scores, labels) + (1 - share) * loss(scores, labels of the partners)`.
"""

import math

import jax
import jax.numpy as jnp
import jaxtyping as jt

from asae_jax.types import Array, ImageFeatures, Key, Number, Scalar

Span = jt.Bool[Array, "length"]
"""Which rows or columns of an image."""


def mixup(
    key: Key, images: ImageFeatures, partners: ImageFeatures, *, alpha: Number = 0.2
) -> tuple[ImageFeatures, Scalar]:
    """`share * images + (1 - share) * partners` (Zhang et al. 2018, arXiv:1710.09412).

    Args:
      key: of the training step.
      images: float `[batch, height, width, channels]`.
      partners: what each is mixed with, of the same shape.
      alpha: the share is drawn from Beta(alpha, alpha), alpha > 0; the source's is 0.2 on ImageNet.

    Returns:
      The mixed images and the share, a scalar in 0..1.
    """
    share = symmetric_beta(key, alpha)
    return share * images + (1 - share) * partners, share


def cutmix(
    key: Key, images: ImageFeatures, partners: ImageFeatures, *, alpha: Number = 1.0
) -> tuple[ImageFeatures, Scalar]:
    """The partner's pixels inside of a random rectangle (Yun et al. 2019, arXiv:1905.04899).

    The rectangle has the image's proportions and covers `1 - share` of it, the share drawn from
    Beta(alpha, alpha); its centre is any pixel, and what lies outside is cut off. It is the same for
    the whole batch.

    Args:
      key: of the training step.
      images: float `[batch, height, width, channels]`.
      partners: what each is mixed with, of the same shape.
      alpha: > 0; the source's is 1.

    Returns:
      The mixed images and the share of their own pixels, a scalar in 0..1: counted, not as drawn.
    """
    share_key, row_key, column_key = jax.random.split(key, 3)
    side = jnp.sqrt(1 - symmetric_beta(share_key, alpha))
    height, width = images.shape[1:3]
    rows, columns = _span(row_key, height, side), _span(column_key, width, side)
    inside = rows[:, None] & columns[None, :]
    return jnp.where(inside[None, :, :, None], partners, images), 1 - jnp.mean(inside)


def _span(key: Key, length: int, part: Scalar) -> Span:
    """Which of `length` pixels lie within `part` of the length around a random one: bool `[length]`."""
    centre = jax.random.randint(key, (), 0, length)
    half = jnp.floor(part * length).astype(jnp.int32) // 2
    pixels = jnp.arange(length)
    return (pixels >= centre - half) & (pixels < centre + half)


def symmetric_beta(key: Key, alpha: Number) -> Scalar:
    """One draw from Beta(alpha, alpha), alpha > 0: a scalar in 0..1.

    It is `(1 + s) / 2` with `s = t / sqrt(2 alpha + t^2)` for a Student t of 2 alpha degrees of freedom,
    which Bailey's polar method (1994, Math. Comp. 62, p. 779) makes of two uniforms. `jax.random.beta`
    rejects in loops, which took ten times as long to compile.
    """
    radius, turn = jax.random.uniform(key, (2,))
    near, cosine = radius ** (1 / alpha), jnp.cos(2 * math.pi * turn)
    rest = near / (near + (1 - near) * cosine**2)  # 1 - s^2: small draws keep their precision
    smaller = rest / (2 * (1 + jnp.sqrt(1 - rest)))
    return jnp.where(cosine < 0, smaller, 1 - smaller)
