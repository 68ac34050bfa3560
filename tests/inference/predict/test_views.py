"""The eight views of a square."""

import jax
import numpy as np

from asae_jax.inference.predict import views


def test_views_are_the_symmetries_of_a_square():
    images = np.arange(2 * 3 * 3).reshape(2, 3, 3, 1)
    found = np.stack([jax.jit(views.turn)(images, view) for view in range(views.NUM_VIEWS)])
    square = images[..., 0]
    turned = [np.rot90(start, k, axes=(1, 2)) for start in (square, square[:, :, ::-1]) for k in range(4)]
    np.testing.assert_array_equal(found[..., 0], turned)
    assert len({view.tobytes() for view in found}) == 8
