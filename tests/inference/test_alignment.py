"""Where the positions of a map lie on the image."""

import jax
import numpy as np
import pytest

from asae_jax.inference.alignment import Alignment, alignment_of
from asae_jax.models import create_model
from asae_jax.models.backbones.efficientnet import LITE
from tests.inference.explain.made import random_variables


@pytest.mark.parametrize(
    ("name", "expected", "options"),
    [
        ("resnet18", -1.5, {}),
        ("vgg16", 0.0, {}),
        # Positive weights would leave ReLU6 at six.
        ("efficientnet_lite0", 1.5, {"kind": LITE._replace(activation=jax.nn.relu)}),
    ],
)
def test_positions_lie_at_the_centre_of_their_receptive_field(name, expected, options):
    """The middle positions of layer2, where the stride is 4, by their gradients.

    All weights are positive, so that the whole field counts and chance moves its centre little.
    """
    network = create_model(name, 3, stem="no_pool", width=8, **options)
    images = jax.random.uniform(jax.random.key(0), (8, 32, 32, 3))
    variables = jax.tree.map(np.abs, random_variables(network, 32))

    def middle(x):
        features = network.apply(variables, x, train=False, return_endpoints=True)[1]["layer2"]
        return features[:, 3:5, 3:5].sum()

    weights = np.asarray(jax.jit(jax.grad(middle))(images)).sum((0, 3))
    places = np.arange(32) - 15.5
    for side in (weights.sum(0), weights.sum(1)):
        assert abs(side @ places / side.sum() - expected) < 0.3
    assert alignment_of(network.backbone, 8, 32).displacement == expected


def test_tiles_repeat_positions_and_displaced_ones_move_by_whole_pixels():
    values = np.arange(16).reshape(4, 4)
    np.testing.assert_array_equal(Alignment(4, 8).on_image(values, 8), values.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(Alignment(4, 8, -1.0).nearest(8), [0, 1, 1, 2, 2, 3, 3, 3])
    np.testing.assert_array_equal(Alignment(3, 7).nearest(7), [0, 0, 1, 1, 1, 2, 2])
    assert Alignment(4, 8, -1.0).image_centre == 2.5


def test_interpolation_is_exact_for_a_plane_between_the_positions():
    coarse, fine = Alignment(4, 32, -3.0), Alignment(8, 32, -1.0)
    rows, cols = np.meshgrid(coarse.centres, coarse.centres, indexing="ij")
    inside = slice(1, 7)  # beyond the outermost centres the map is constant
    expected = np.add.outer(2 * fine.centres, 3 * fine.centres)[inside, inside]
    np.testing.assert_allclose(
        coarse.resampled(2 * rows + 3 * cols, fine)[inside, inside], expected, atol=0.3
    )
