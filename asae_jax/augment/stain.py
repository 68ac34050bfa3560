"""Stain and light as they differ between laboratories: random amounts and colours of stains, random light.

Light that passes a stain is absorbed exponentially (Beer-Lambert), so optical densities add up: that of a
pixel is the amounts of the stains there times the density of each (Ruifrok and Johnston 2001, Anal. Quant.
Cytol. Histol. 23, p. 291). Other amounts and other stains are one linear map of the density (stain or "HED"
augmentation: Tellez et al. 2019, Med. Image Anal. 58, 101544). Densities are counted from the light of the
image's own background, which may be yellowish or grey. The constant which those authors add to each amount
would be a change of that light, and is left to `draw_light`.
"""

import jax
import jax.numpy as jnp
import jaxtyping as jt
import numpy as np

from asae_jax.types import Array, ExampleKeys, Images

Colours = jt.Float[Array, "batch 3"]
"""Red, green and blue of each example, 0..1, or a factor of each; float32."""
DensityMaps = jt.Float[Array, "batch 3 3"]
"""One linear map of optical densities per example: `density @ map`, float32."""

GIEMSA = np.array([[0.834750, 0.513556, 0.196330], [0.092789, 0.954111, 0.283111]])
"""Optical density of red, green and blue, of length 1, of methylene blue and of eosin: the stains "Giemsa" of
the ImageJ plugin Colour Deconvolution (G. Landini)."""
VECTOR_SHARE = 0.3
"""How far a stain's colour moves at the largest strength: each density by up to this, at length 1. Between a
blood and a marrow set (Macenko's stains of 300 images each) means differ by 0.03 to 0.20."""

_BLOCK = 8  # pixels
_DARKEST = 1 / 255  # black has no density
_STAIN, _LIGHT = 2, 3  # folded into an example's key


def stain_vectors() -> np.ndarray:
    """The two stains and, at a right angle to both, what they do not explain: float64 `[3, 3]`, length 1."""
    rest = np.cross(*GIEMSA)
    vectors = np.stack([*GIEMSA, rest])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def draw_stain(example_keys: ExampleKeys, strength: float) -> DensityMaps:
    """A random map of optical densities for each example.

    The amount of each stain is multiplied by a factor uniform in 1 -+ strength, and each of its densities is
    moved by up to `VECTOR_SHARE * strength` before its length is made 1 again. What the two stains do not
    explain is treated as a third.

    Args:
      example_keys: `[batch]` keys.
      strength: 0..1; at 0 every map is the identity.
    """
    uniform = _uniform(example_keys, _STAIN, (4, 3))
    amounts = 1 + strength * uniform[:, 0]
    vectors = stain_vectors()
    moved = vectors[None] + VECTOR_SHARE * strength * uniform[:, 1:]
    moved = moved / jnp.linalg.norm(moved, axis=-1, keepdims=True)
    separate = np.linalg.inv(vectors).astype(np.float32)
    return jnp.einsum("ij,bj,bjk->bik", separate, amounts, moved, precision="highest")


def draw_light(example_keys: ExampleKeys, strength: float) -> Colours:
    """Factors of red, green and blue light, uniform in 1 -+ strength (0..1), each by itself: `[batch, 3]`."""
    return 1 + strength * _uniform(example_keys, _LIGHT, (3,))


def _uniform(example_keys: ExampleKeys, purpose: int, shape: tuple[int, ...]) -> Array:
    """Uniform in -1..1, `[batch, *shape]`; drawn apart from `transforms.draw`, as blur is."""
    own_keys = jax.vmap(lambda key: jax.random.fold_in(key, purpose))(example_keys)
    return jax.vmap(lambda key: jax.random.uniform(key, shape, minval=-1.0))(own_keys)


def background(images: Array) -> Colours:
    """The light between the cells, 0..1: of each channel the mean of the brightest 8 x 8 pixels.

    On two real sets it lies 1 to 4 of 255 grey levels from the 98th percentile, which takes a sort.

    Args:
      images: uint8 `[batch, height, width, 3]`.
    """
    batch, height, width, channels = images.shape
    tall, wide = min(_BLOCK, height), min(_BLOCK, width)
    rows, columns = height // tall, width // wide
    whole = images[:, : rows * tall, : columns * wide].astype(jnp.float32)
    blocks = whole.reshape(batch, rows, tall, columns, wide, channels).mean((2, 4))
    return blocks.max((1, 2)) / 255


def restain(images: Images, light: Colours, maps: DensityMaps) -> Images:
    """Each image with its optical densities, counted from `light`, mapped by its own map.

    Args:
      images: float32 `[batch, height, width, 3]`, 0..1; black counts as 1/255.
      light: of the background, 0..1.
      maps: as `draw_stain` makes them.

    Returns:
      float32 of the same shape, 0 and above; the background stays what it is.
    """
    light = jnp.maximum(light, _DARKEST)[:, None, None]
    density = jnp.log(light) - jnp.log(jnp.maximum(images, _DARKEST))
    turned = [density[..., i : i + 1] * maps[:, None, None, i] for i in range(3)]
    return light * jnp.exp(-(turned[0] + turned[1] + turned[2]))


def relight(images: Images, light: Colours, factors: Colours) -> Images:
    """Each channel of each image times its factor, or less, so that the background is not above 1.

    Args:
      images: float32 `[batch, height, width, 3]`, 0..1.
      light: of the background, 0..1.
      factors: as `draw_light` makes them.
    """
    most = 1 / jnp.maximum(light, _DARKEST)
    return images * jnp.minimum(factors, most)[:, None, None]
