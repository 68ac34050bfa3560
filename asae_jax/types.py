"""Names for the arrays that travel between modules: number type, shape, range.

The shapes are jaxtyping's: within one call a name such as `batch` stands for one length wherever it occurs,
and `*leading` for any number of axes. In ordinary runs nothing is checked; the tests check every call in
`models`, `losses` and `augment` (see `tests/conftest.py`).
"""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import jaxtyping as jt
import numpy as np

# Functions called outside of `jit` take NumPy's arrays too, as all of JAX does.
if TYPE_CHECKING:
    Array = jax.Array
else:
    Array = jax.Array | np.ndarray

# On the host.
HostImage = jt.UInt8[np.ndarray, "height width 3"]
"""RGB, 0..255."""
HostBatch = dict[str, np.ndarray]
"""`image` uint8 `[batch, size, size, 3]`, `label` int32 `[batch]`, `index` int32 `[batch]` (row of the
data-set index), and in evaluation `mask` float32 `[batch]`: 1 for an example, 0 for padding."""

# On the device: images and features.
StoredImages = jt.UInt8[Array, "batch height width 3"]
"""RGB, 0..255."""
Images = jt.Float[Array, "batch height width 3"]
"""RGB, normalised, or 0..1 where that is said."""
Features = jt.Float[Array, "*leading height width channels"]
"""Feature maps (NHWC); leading axes are the batch, and in front of it, where there is one, the branches."""
NextFeatures = jt.Float[Array, "*leading next_height next_width next_channels"]
"""What a layer makes of `Features` where it may change everything but the leading axes."""
ImageFeatures = jt.Float[Array, "batch height width channels"]
"""Feature maps, one per image."""
BranchFeatures = jt.Float[Array, "branches batch height width channels"]
"""Feature maps, one per branch and image."""
Logits = jt.Float[Array, "*leading classes"]
"""Logits of a classifier, float32; leading axes as those of `Features`."""
ClassMaps = jt.Float[Array, "*leading height width classes"]
"""Logits at each position of a feature map, float32; their mean over the positions is the logits."""

# Maps of one value per position and image.
AttentionMap = jt.Float[Array, "batch height width"]
"""Means over the channels, or factors 0..1 made of them; float32."""
PositionMask = jt.Bool[Array, "batch height width"]
"""Which positions are meant."""
Positions = jt.Int[Array, "batch"]
"""One row, column or rank per image, int32."""

# Scores and what is computed from them.
Scores = jt.Float[Array, "*batch classes"]
"""Logits or log-probabilities, float32; usually `[batch, classes]`."""
BranchScores = jt.Float[Array, "branches *batch classes"]
"""Logits of every branch, float32."""
Labels = jt.Int[Array, "*batch"]
"""Class numbers, 0..classes-1."""
Losses = jt.Float[Array, "*batch"]
"""One loss per example, float32."""

# Scalars and keys.
Scalar = jt.Float[Array, ""]
"""One number on the device."""
Number = Scalar | float
"""One number, on the device or the host."""
Index = jt.Int[Array, ""] | int
"""One whole number, on the device or the host."""
ExampleNumbers = jt.Int[Array, "batch"] | Index
"""The numbers of some examples within the global batch, or that of the first where they follow each other."""
Key = jt.Key[jax.Array, ""]
"""A typed PRNG key."""
ExampleKeys = jt.Key[jax.Array, "batch"]
"""One key per example."""


def at_least_float32(x: jax.Array) -> jax.Array:
    """bfloat16 becomes float32; float32 stays as it is, and so does float64, by which tests compare."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
