"""The non-local block (Wang et al., CVPR 2018): every cell looks at all cells of its map.

The embedded Gaussian version as its authors' code has it (facebookresearch/video-nonlocal-net,
`lib/models/nonlocal_helper.py`): half the channels inside, keys and values from a map halved by max-pooling,
similarities scaled by the inner channels' root, and a last norm whose scale starts at zero, so that the
block starts as the identity.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from asae_jax.models.norm import BatchNorm, Norm
from asae_jax.types import Features


class NonLocalBlock(nn.Module):
    """x + norm(out(softmax(theta(x) phi(x)^T / sqrt(inner)) g(x))).

    Attributes:
      norm: what `asae_jax.models.norm.make_norm` gives.
      dtype: of the computation; the similarities and their softmax are float32.
    """

    norm: Norm = BatchNorm
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Features, *, train: bool) -> Features:
        """`[..., height, width, channels]` -> the same shape and dtype."""
        inner = max(1, x.shape[-1] // 2)
        linear = partial(nn.Dense, kernel_init=nn.initializers.normal(0.01), dtype=self.dtype)
        halved = _halve(x)
        queries = _cells(linear(inner, name="theta")(x))
        keys = _cells(linear(inner, name="phi")(halved))
        values = _cells(linear(inner, name="g")(halved))
        precise = jnp.promote_types(queries.dtype, jnp.float32)
        similarity = jnp.einsum("...qc,...kc->...qk", queries, keys, preferred_element_type=precise)
        weights = jax.nn.softmax(similarity * inner**-0.5).astype(values.dtype)
        y = jnp.einsum("...qk,...kc->...qc", weights, values).reshape(*x.shape[:-1], inner)
        y = linear(x.shape[-1], name="out")(y)
        return x + self.norm(name="bn", scale_init=nn.initializers.zeros)(y, train=train)


def _halve(x: Features) -> Features:
    """2 x 2 max-pooling; a map of one row or column stays as it is."""
    return nn.max_pool(x, (2, 2), (2, 2)) if min(x.shape[-3:-1]) > 1 else x


def _cells(x: Features) -> Features:
    """`[..., height, width, channels]` -> `[..., cells, channels]`."""
    return x.reshape(*x.shape[:-3], -1, x.shape[-1])
