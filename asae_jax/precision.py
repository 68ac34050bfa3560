"""How precise a sum or a statistic is."""

import jax
import jax.numpy as jnp


def at_least_float32(x: jax.Array) -> jax.Array:
    """bfloat16 becomes float32; float32 stays as it is, and so does float64, by which tests compare."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
