"""What needs no randomness: centre crop and normalisation."""

import jax
import jax.numpy as jnp

from asae_jax.types import Images

MEAN = (0.485, 0.456, 0.406)
"""ImageNet's mean of red, green and blue, in units of 0..1."""
STD = (0.229, 0.224, 0.225)
"""ImageNet's standard deviations, in units of 0..1."""


def preprocess(
    images: jax.Array,
    *,
    size: int,
    mean: tuple[float, float, float] = MEAN,
    std: tuple[float, float, float] = STD,
) -> Images:
    """What testing sees: the centre crop, normalised. uint8 `[batch, height, width, 3]` in, float32 out.

    Raises:
      ValueError: not a batch of uint8 RGB images, or a size above theirs.
    """
    return normalize(center_crop(images, size=size), mean=mean, std=std)


def center_crop(images: jax.Array, *, size: int) -> jax.Array:
    """The middle `size` x `size` pixels of uint8 `[batch, height, width, 3]`.

    Where the margin is odd, the smaller half is above and to the left.

    Raises:
      ValueError: not a batch of uint8 RGB images, or a size above theirs.
    """
    check_images(images, size)
    top, left = (images.shape[1] - size) // 2, (images.shape[2] - size) // 2
    return images[:, top : top + size, left : left + size]


def normalize(
    images: jax.Array,
    *,
    mean: tuple[float, float, float] = MEAN,
    std: tuple[float, float, float] = STD,
) -> Images:
    """uint8 `[..., 3]` as float32 `(image / 255 - mean) / std`; mean and std in units of 0..1."""
    return standardise(images.astype(jnp.float32) / 255, mean, std)


def standardise(images: jax.Array, mean: tuple[float, ...], std: tuple[float, ...]) -> Images:
    """`(image - mean) / std` per channel of float `[..., 3]`."""
    shape = (1,) * (images.ndim - 1) + (3,)
    mean_row, std_row = (jnp.asarray(values, jnp.float32).reshape(shape) for values in (mean, std))
    return (images - mean_row) / std_row


def check_images(images: jax.Array, size: int) -> None:
    """Raise a ValueError unless these are uint8 images that a square of `size` pixels can be cut from."""
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != jnp.uint8:
        raise ValueError(f"images must be uint8 [batch, height, width, 3], got {images.dtype} {images.shape}")
    if not 1 <= size <= min(images.shape[1:3]):
        raise ValueError(f"size must lie between 1 and the images' {images.shape[1:3]}, got {size}")
