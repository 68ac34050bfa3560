"""From uint8 batches to normalised float images, on the device: augmented for training, plain for testing.

The paper (section 4.2): random crop to 224x224, horizontal flip (by reference to He et al.), vertical
flip, rotation and colour jitter. It gives no amounts; the defaults are those of docs/method.md. All of it
is pure JAX with one key per example, so the result does not depend on the number of devices.
"""

from asae_jax.augment.mix import cutmix, mixup
from asae_jax.augment.pipeline import (
    HOME,
    MEAN,
    NORMALISATIONS,
    STD,
    Colour,
    Laboratory,
    augment,
    centre_crop,
    normalise,
    preprocess,
)

__all__ = [
    "HOME",
    "MEAN",
    "NORMALISATIONS",
    "STD",
    "Colour",
    "Laboratory",
    "augment",
    "centre_crop",
    "cutmix",
    "mixup",
    "normalise",
    "preprocess",
]
