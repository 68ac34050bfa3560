"""What JPEG compression leaves of an image: 8 x 8 blocks whose cosine coefficients are rounded."""

import jax
import jax.numpy as jnp
import jaxtyping as jt
import numpy as np

from asae_jax.types import Array, ExampleKeys, Images

PerExample = jt.Float[Array, "batch"]
"""One number per example, float32."""

LUMINANCE = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56], [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip
"""Steps of the coefficients of brightness at quality 50 (ITU-T T.81, table K.1)."""
CHROMINANCE = np.full((8, 8), 99)
"""The same of both colour channels (table K.2)."""
CHROMINANCE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

Steps = jt.Float[Array, "batch 3 8 8"]
"""What coefficients are rounded to multiples of: for each example and channel, `[vertical, horizontal]`."""

_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_JPEG = 4  # folded into an example's key


def cosines() -> np.ndarray:
    """The orthonormal discrete cosine transform of 8 values, float64 `[frequency, place]`."""
    frequency, place = np.indices((8, 8))
    waves = np.cos(np.pi * frequency * (2 * place + 1) / 16) / 2
    return np.where(frequency == 0, np.sqrt(1 / 8), waves)


def draw_quality(example_keys: ExampleKeys, lowest: float) -> PerExample:
    """Qualities uniform in lowest..100: float32 `[batch]`; drawn apart from `transforms.draw`, as blur is."""
    own_keys = jax.vmap(lambda key: jax.random.fold_in(key, _JPEG))(example_keys)
    return jax.vmap(lambda key: jax.random.uniform(key, minval=lowest, maxval=100.0))(own_keys)


def compress(images: Images, quality: PerExample) -> Images:
    """Each image compressed and read again, without thinning out of the colour channels (4:4:4).

    The steps are libjpeg's for its quality. Blocks begin at the upper left; the last ones are filled up by
    the border pixels.

    Args:
      images: float32 `[batch, height, width, 3]`, 0..1.
      quality: 1..100, `[batch]`.

    Returns:
      float32 of the same shape, 0..1.
    """
    batch, height, width, _ = images.shape
    around = ((0, 0), (0, -height % 8), (0, -width % 8), (0, 0))
    padded = jnp.pad(images, around, mode="edge")
    y, cb, cr = (_weighted(padded, 255 * weights) for weights in _YCC)
    channels = jnp.round(jnp.stack([y - 128, cb, cr], axis=1))
    rows, columns = padded.shape[1] // 8, padded.shape[2] // 8
    # Rows and columns of blocks are r and s, places within them j and k, frequencies i and l.
    blocks = channels.reshape(batch, 3, rows, 8, columns, 8)
    waves = cosines().astype(np.float32)
    steps = _steps(quality)[:, :, None, :, None, :]
    coefficients = jnp.einsum("ij,bcrjsk,lk->bcrisl", waves, blocks, waves, precision="highest")
    rounded = jnp.round(coefficients / steps) * steps
    read = jnp.einsum("ij,bcrisl,lk->bcrjsk", waves, rounded, waves, precision="highest")
    result = jnp.moveaxis(read.reshape(batch, 3, rows * 8, columns * 8), 1, -1)[:, :height, :width]
    colours = jnp.stack([_weighted(result, weights) for weights in np.linalg.inv(_YCC)], axis=-1)
    return jnp.clip((colours + 128) / 255, 0, 1)


def _weighted(images: Images, weights: np.ndarray) -> jax.Array:
    """The sum of the channels of `[batch, height, width, 3]` times `weights` `[3]`."""
    parts = [images[..., channel] * np.float32(weight) for channel, weight in enumerate(weights)]
    return parts[0] + parts[1] + parts[2]


def _steps(quality: PerExample) -> Steps:
    """The steps of the three channels' coefficients at each quality, as libjpeg scales them."""
    percent = jnp.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    tables = jnp.asarray(np.stack([LUMINANCE, CHROMINANCE, CHROMINANCE]), jnp.float32)
    scaled = jnp.floor((tables[None] * percent[:, None, None, None] + 50) / 100)
    return jnp.clip(scaled, 1, 255)
