"""Draws from Beta(alpha, alpha) in closed form."""

import math

import jax
import jax.numpy as jnp

from asae_jax.types import Key


def symmetric_beta(key: Key, alpha: float) -> jax.Array:
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
