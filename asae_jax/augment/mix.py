"""Two images in one, for two labels at once: mixup and CutMix.

Rivals of the layer rather than parts of the paper: they too keep a network from resting on one place of
the image. Each draws one share per batch, as the authors' code does. The loss that belongs to them is
`share * loss(scores, labels) + (1 - share) * loss(scores, labels of the partners)`.
"""

import jax
import jax.numpy as jnp

from asae_jax.augment.beta import symmetric_beta
from asae_jax.types import Images, Key


def mixup(key: Key, images: Images, partners: Images, *, alpha: float = 0.2) -> tuple[Images, jax.Array]:
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


def cutmix(key: Key, images: Images, partners: Images, *, alpha: float = 1.0) -> tuple[Images, jax.Array]:
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


def _span(key: Key, length: int, part: jax.Array) -> jax.Array:
    """Which of `length` cells lie within `part` of the length around a random one: bool `[length]`."""
    centre = jax.random.randint(key, (), 0, length)
    half = jnp.floor(part * length).astype(jnp.int32) // 2
    cells = jnp.arange(length)
    return (cells >= centre - half) & (cells < centre + half)
