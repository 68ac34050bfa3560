"""Where cells lie, what is hidden, and where else the same shape goes."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax.inference.alignment import Grid, grid_of
from asae_jax.inference.explain import hiding
from asae_jax.inference.explain.maps import layer_maps
from asae_jax.inference.explain.placement import placed_regions
from asae_jax.models import create_model
from asae_jax.models.asae import asae_maps
from configs import default
from tests.inference.explain.made import random_variables


@pytest.mark.parametrize(("name", "expected"), [("resnet18", -1.5), ("vgg16", 0.0)])
def test_cells_lie_where_what_they_depend_on_has_its_middle(name, expected):
    """The middle cells of layer2, where the stride is 4, by their gradients.

    All weights are positive, so that everything in reach counts and chance moves the middle little.
    """
    network = create_model(name, 3, stem="no_pool", width=8)
    images = jax.random.uniform(jax.random.key(0), (8, 32, 32, 3))
    variables = jax.tree.map(np.abs, random_variables(network, 32))

    def middle(x):
        features = network.apply(variables, x, train=False, return_endpoints=True)[1]["layer2"]
        return features[:, 3:5, 3:5].sum()

    weights = np.asarray(jax.jit(jax.grad(middle))(images)).sum((0, 3))
    places = np.arange(32) - 15.5
    for side in (weights.sum(0), weights.sum(1)):
        assert abs(side @ places / side.sum() - expected) < 0.3
    assert grid_of(network.backbone, 8, 32).displacement == expected


def test_tiles_repeat_cells_and_displaced_ones_move_by_whole_pixels():
    values = np.arange(16).reshape(4, 4)
    np.testing.assert_array_equal(Grid(4, 8).on_image(values, 8), values.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(Grid(4, 8, -1.0).nearest(8), [0, 1, 1, 2, 2, 3, 3, 3])
    np.testing.assert_array_equal(Grid(3, 7).nearest(7), [0, 0, 1, 1, 1, 2, 2])
    assert Grid(4, 8, -1.0).middle_of_image == 2.5


def test_interpolation_is_exact_for_a_plane_between_the_cells():
    coarse, fine = Grid(4, 32, -3.0), Grid(8, 32, -1.0)
    rows, cols = np.meshgrid(coarse.middles, coarse.middles, indexing="ij")
    inside = slice(1, 7)  # beyond the outermost middles the map is constant
    expected = np.add.outer(2 * fine.middles, 3 * fine.middles)[inside, inside]
    np.testing.assert_allclose(coarse.on_grid(2 * rows + 3 * cols, fine)[inside, inside], expected, atol=0.3)


def test_ranks_and_regions_are_the_layers():
    settings = default.get_config().asae
    settings.window, settings.area = 3, 9.0
    features = jax.random.normal(jax.random.key(0), (3, 7, 7, 4))
    maps, own = jax.jit(
        lambda f: (layer_maps(f, settings), asae_maps(None, f, window=3, ratio=0.8, area=9.0))
    )(features)
    np.testing.assert_array_equal(maps.cells[:, 0], np.stack([own.rows, own.cols], 1))
    np.testing.assert_array_equal(maps.regions[:, 0], own.mask == 0)
    for number in range(3):
        rows, cols = np.asarray(maps.cells[number, : int(maps.num_peaks[number])]).T
        values = np.asarray(maps.attention[number])[rows, cols]
        assert np.all(np.diff(values) <= 0)
        assert np.asarray(own.peaks[number])[rows, cols].all()
    np.testing.assert_array_equal(maps.num_peaks, np.minimum(np.asarray(own.peaks).sum((1, 2)), 5))


def test_the_same_shape_goes_where_it_is_wanted():
    region = np.zeros((6, 6), bool)
    region[0, 0] = region[1, :2] = True  # an L in the corner
    cam = np.zeros((6, 6))
    cam[4, 3] = cam[5, 3:5] = 1
    cam[0, 5] = 2
    placed = placed_regions(region, cam, np.random.default_rng(0), 200, middle=3.0)
    np.testing.assert_array_equal(placed[0], region)
    np.testing.assert_array_equal(placed[1], cam == 1)
    assert set(zip(*np.nonzero(placed[2]), strict=True)) == {(2, 2), (3, 2), (3, 3)}
    assert set(placed.sum((1, 2))) == {3}
    corners = {tuple(np.argwhere(one)[0]) for one in placed[3:]}
    assert corners == {(row, col) for row in range(5) for col in range(5)}


def test_fills():
    images = np.random.default_rng(0).normal(size=(2, 20, 20, 3)).astype(np.float32)
    region = np.zeros((2, 2, 2), bool)
    region[:, 0, 1] = True
    ring = np.ones((20, 20), bool)
    ring[1:-1, 1:-1] = False
    expected = {"border": images[:, ring].mean(1), "mean": images.mean((1, 2))}
    for fill, colour in expected.items():
        out = np.array(hiding.hide(jnp.asarray(images), jnp.asarray(region), Grid(2, 20), fill=fill))
        np.testing.assert_allclose(
            out[:, :10, 10:], np.broadcast_to(colour[:, None, None], (2, 10, 10, 3)), atol=1e-6
        )
        out[:, :10, 10:] = images[:, :10, 10:]
        np.testing.assert_array_equal(out, images)
    blurred = np.asarray(hiding.FILLS["blur"](jnp.asarray(images)))
    oracle = cv2.GaussianBlur(images[0], (17, 17), 2, borderType=cv2.BORDER_CONSTANT)
    weight = cv2.GaussianBlur(np.ones((20, 20), np.float32), (17, 17), 2, borderType=cv2.BORDER_CONSTANT)
    np.testing.assert_allclose(blurred[0], oracle / weight[..., None], atol=2e-3)
