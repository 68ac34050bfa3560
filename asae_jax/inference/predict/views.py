"""The eight flips and quarter turns of a square image: under the microscope none is the right way up."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from asae_jax.types import Images

NUM_VIEWS = 8


def turn(images: Images, view: jax.Array | int) -> Images:
    """View `view` of square images `[batch, size, size, channels]`: pixels change places, no value changes.

    Args:
      images: any dtype.
      view: 0..7, may be traced. `view % 4` quarter turns, mirrored first where `view` >= 4; 0 is the image
        itself.
    """
    return jax.lax.switch(view, [_view(number) for number in range(NUM_VIEWS)], images)


def _view(number: int) -> Callable[[Images], Images]:
    def apply(images: Images) -> Images:
        mirrored = images[:, :, ::-1] if number >= 4 else images
        return jnp.rot90(mirrored, number % 4, axes=(1, 2))

    return apply
