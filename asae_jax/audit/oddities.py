"""Readable images that are unlike the others: far smaller or larger, without colour, without content."""

import numpy as np

from asae_jax.audit.duplicates import FLAT
from asae_jax.audit.facts import Facts

SIZE_FACTOR = 3
"""Tiny: a shorter side below the median's third, or below `TINY`; huge: a longer side above its threefold."""
TINY = 24
"""Pixels. Below, a nucleus has no texture left."""


def find_odd(facts: Facts) -> dict[str, np.ndarray]:
    """Rows of readable images by what is odd: "tiny", "huge", "greyscale" and "blank".

    A set in which most images are of one of these kinds is what it is, and the kind is still listed:
    nothing but grey images is worth knowing before a hue is adjusted.
    """
    size, readable = facts.size, facts.readable
    if not readable.any():
        return {kind: np.zeros(0, np.int64) for kind in ("tiny", "huge", "greyscale", "blank")}
    shorter, longer = size.min(axis=1), size.max(axis=1)
    tiny = (shorter < np.median(shorter[readable]) / SIZE_FACTOR) | (shorter < TINY)
    found = {
        "tiny": tiny,
        "huge": longer > np.median(longer[readable]) * SIZE_FACTOR,
        "greyscale": facts.grey & (facts.contrast >= FLAT),
        "blank": facts.contrast < FLAT,
    }
    return {kind: np.flatnonzero(chosen & readable) for kind, chosen in found.items()}
