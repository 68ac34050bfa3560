"""Names for the arrays that travel between modules, with their shapes and ranges.

They are plain aliases: a signature that says `AttentionMap` tells the reader the layout, and costs
nothing at run time.
"""

import jax
import numpy as np

# On the host.
HostImage = np.ndarray
"""uint8 RGB `[height, width, 3]`, 0..255."""
HostBatch = dict[str, np.ndarray]
"""`image` uint8 `[batch, size, size, 3]`, `label` int32 `[batch]`, `index` int32 `[batch]` (row of the
table), and in evaluation `mask` float32 `[batch]`: 1 for an example, 0 for padding."""

# On the device.
Images = jax.Array
"""Normalised float images `[batch, height, width, 3]`."""
Features = jax.Array
"""Feature maps `[..., batch, height, width, channels]` (NHWC); a leading axis, where there is one,
counts branches."""
AttentionMap = jax.Array
"""Channel means `[batch, height, width]`, float32."""
Scores = jax.Array
"""Logits or log-probabilities `[batch, classes]`, float32."""
BranchScores = jax.Array
"""Logits of every branch `[branches, batch, classes]`, float32."""
Labels = jax.Array
"""Class numbers `[batch]`, int32, 0..classes-1."""
Key = jax.Array
"""A typed PRNG key, scalar unless said otherwise."""
