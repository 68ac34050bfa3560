"""Where the positions of a map lie on the image."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax.inference.alignment import Alignment, alignment_of
from asae_jax.models import MODELS, create_model
from asae_jax.models.backbones.efficientnet import LITE
from tests.inference.explain.made import random_variables

STAGES = ("layer0", "layer1", "layer2", "layer3", "layer4")
# Positive weights would leave ReLU6 at six.
RELU = {"kind": LITE._replace(activation=jax.nn.relu)}


@pytest.mark.parametrize(
    ("name", "expected", "options"),
    [
        ("resnet18", -1.5, {}),
        ("vgg16", 0.0, {}),
        ("efficientnet_lite0", 1.5, RELU),
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
    np.testing.assert_array_equal(
        alignment_of(network.backbone, "layer2", 32).centres, 4 * np.arange(8) + 2 + expected
    )


def _pooled_blocks(values, size):
    """Means of blocks of `size` positions; what is left over at the end is cut off."""
    count = len(values) // size
    return values[: count * size].reshape(count, size).mean(1)


# What a chain of strides makes of the pixels' places, by its definition: every second place from the first
# one (equal padding), from the second one where their number is even (TensorFlow's), or means of blocks.
def _every_second(values):
    return values[::2]


def _tensorflow(values):
    return values[1 - len(values) % 2 :: 2]


def _blocks(size):
    return functools.partial(_pooled_blocks, size=size)


HALVED = _blocks(2)
CHAINS = [
    ("resnet18", "imagenet", {}, 5 * [_every_second]),
    ("resnet18", "no_pool", {}, 4 * [_every_second]),
    ("efficientnet_b0", "imagenet", {}, 5 * [_every_second]),
    ("efficientnet_lite0", "imagenet", {}, 5 * [_tensorflow]),
    ("efficientnet_lite0", "small", {}, 3 * [_tensorflow]),
    ("vgg16_bn", "imagenet", {}, 5 * [HALVED]),
    ("convnext_tiny", "imagenet", {}, [_blocks(4), *3 * [HALVED]]),
    ("vit_small14", "imagenet", {}, [_blocks(14)]),
    ("vit_small", "no_pool", {}, [_blocks(8)]),
    # Their last stages are the mean over the map.
    ("wbcnet", "no_pool", {}, [*4 * [_every_second], lambda values: values.mean(keepdims=True)]),
    ("cell3net", "imagenet", {}, [_every_second, *3 * [HALVED], lambda values: values.mean(keepdims=True)]),
]


@pytest.mark.parametrize("size", [64, 72, 144, 150, 161, 224])
@pytest.mark.parametrize(("name", "stem", "options", "chain"), CHAINS)
def test_centres_of_the_last_map_on_even_and_odd_sides(name, stem, options, chain, size):
    network = create_model(name, 3, stem=stem, **options)
    expected = np.arange(size) + 0.5
    for step in chain:
        expected = step(expected)
    alignment = alignment_of(network.backbone, "layer4", size)
    np.testing.assert_allclose(alignment.centres, expected, rtol=0, atol=1e-12)


def _centre_taps(path, leaf):
    """Positive weights, of kernels their middle alone: gradients show where a position is centred."""
    leaf = np.abs(leaf)
    if path[-1].key != "kernel" or leaf.ndim != 4 or len(leaf) % 2 == 0:
        return leaf
    middle = (slice(len(leaf) // 2, len(leaf) // 2 + 1),) * 2
    kernel = np.zeros_like(leaf)
    kernel[middle] = leaf[middle]
    return kernel


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("resnet18", {}, [0.5, 32.5, 64.5, 96.5, 128.5]),
        ("efficientnet_lite0", RELU, [15.5, 47.5, 79.5, 111.5, 143.5]),
        ("convnext_tiny", {"stage_sizes": (1, 1, 1, 1)}, [16.0, 48.0, 80.0, 112.0]),
    ],
)
def test_maps_of_images_of_144_pixels_lie_where_gradients_say(name, options, expected):
    """Sides of 72, 36, 18, 9 and 5 or 4 positions: 144 / 5 and 144 / 4 are no strides."""
    network = create_model(name, 3, width=8, **options)
    # Bright where a max-pool behind a stride of 2 has its centres, so that it takes those.
    places = np.arange(144)
    bright = np.where(places % 4 == 0, 1.0, 0.1)
    images = jnp.asarray(np.outer(bright, bright)[None, :, :, None] * [1.0, 0.7, 0.4], jnp.float32)
    variables = jax.tree_util.tree_map_with_path(_centre_taps, random_variables(network, 144))

    def diagonal(x):  # of one channel: norms over all of them make their sum constant
        features = network.apply(variables, x, train=False, return_endpoints=True)[1]["layer4"]
        return jnp.diagonal(features[0, ..., 0])

    weights = np.abs(np.asarray(jax.jit(jax.jacrev(diagonal))(images))).sum((1, 2, 4))
    ends = [places[row > 0][[0, -1]] + 0.5 for row in weights]
    np.testing.assert_array_equal(np.mean(ends, axis=1), expected)
    np.testing.assert_array_equal(alignment_of(network.backbone, "layer4", 144).centres, expected)


@pytest.mark.parametrize("name", MODELS)
def test_every_map_has_as_many_positions_as_are_placed(name):
    images = jax.ShapeDtypeStruct((1, 150, 150, 3), jnp.float32)
    for stem in create_model(name, 3).backbone.stems:
        network = create_model(name, 3, stem=stem, width=8)
        init = functools.partial(network.init_with_output, train=False, return_endpoints=True)
        maps = jax.eval_shape(init, jax.random.key(0), images)[0][1]
        sides = {stage: features.shape[-2] for stage, features in maps.items()}
        assert sides == {stage: alignment_of(network.backbone, stage, 150).positions for stage in STAGES}


def test_tiles_repeat_positions_and_displaced_ones_move_by_whole_pixels():
    values = np.arange(16).reshape(4, 4)
    np.testing.assert_array_equal(Alignment(4, 8, 2, 1).on_image(values, 8), values.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(Alignment(4, 8, 2, 0).nearest(8), [0, 1, 1, 2, 2, 3, 3, 3])
    np.testing.assert_array_equal(Alignment(3, 7, 7 / 3, 7 / 6).nearest(7), [0, 0, 1, 1, 1, 2, 2])
    assert Alignment(4, 8, 2, 0).image_centre == 2.5


def test_where_the_stride_is_not_the_side_divided_pixels_belong_to_the_nearest_centre():
    """Centres on 0.5, 4.5 and 8.5 of ten pixels; and on 2 and 6, beyond which two pixels are cut off."""
    np.testing.assert_array_equal(Alignment(3, 10, 4, 0.5).nearest(10), [0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
    np.testing.assert_array_equal(Alignment(2, 10, 4, 2.0).nearest(10), [0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    assert Alignment(3, 10, 4, 0.5).image_centre == 0.5 + 4.5 / 4


def test_interpolation_is_exact_for_a_plane_between_the_positions():
    coarse, fine = Alignment(4, 32, 8, 1), Alignment(8, 32, 4, 1)
    rows, cols = np.meshgrid(coarse.centres, coarse.centres, indexing="ij")
    inside = slice(1, 7)  # beyond the outermost centres the map is constant
    expected = np.add.outer(2 * fine.centres, 3 * fine.centres)[inside, inside]
    np.testing.assert_allclose(
        coarse.resampled(2 * rows + 3 * cols, fine)[inside, inside], expected, atol=0.3
    )
