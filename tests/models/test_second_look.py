"""The second look at test: which square is cropped, how it is resized, and what is averaged."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax.models import create_model
from asae_jax.models import network as network_module
from asae_jax.models.backbones.efficientnet import LITE
from asae_jax.models.placement import Placement
from asae_jax.models.second_look import MARGIN, attended_crop, attended_squares
from tests.inference.explain.made import random_variables

pytestmark = pytest.mark.usefixtures("float64")
CLASSES = 5
IMAGES = np.random.default_rng(0).normal(size=(3, 28, 28, 3))


def _attention(*positions, shape=(10, 10), low=0.0):
    attention = np.full(shape, low)
    for row, col, value in positions:
        attention[row, col] = value
    return attention[None]


def _displaced(pixels):
    """Tiles of 10 pixels, displaced below or to the right."""
    return Placement(10, 10.0, 5.0 + pixels)


@pytest.mark.parametrize(
    ("attention", "square"),
    [
        # Positions are tiles of 10 px, the margin is 10 px: rows 2..4 and column 5 are 20..50 and 50..60.
        (_attention((2, 5, 1.0), (4, 5, 0.4)), (10, 30, 50)),
        (_attention((2, 5, 1.0), (4, 5, 0.2)), (10, 40, 30)),  # below 0.3 of the maximum
        (_attention((0, 0, 1.0)), (0, 0, 20)),  # cut at the border
        (_attention((0, 9, 1.0), (5, 9, 1.0)), (0, 30, 70)),  # moved inside
        (_attention((0, 0, 1.0), (9, 9, 1.0)), (0, 0, 100)),
        (_attention(low=1.0), (0, 0, 100)),
        (_attention((6, 6, -1.0), low=-2.0), (50, 50, 30)),  # of a negative maximum the maximum alone
    ],
)
def test_the_square_holds_the_attended_positions_and_the_margin(attention, square):
    found = attended_squares(attention, 100, 100, threshold=0.3, places=(_displaced(0.0), _displaced(0.0)))
    np.testing.assert_allclose(found, [square], rtol=1e-12, atol=1e-12)
    assert MARGIN == 0.1


@pytest.mark.parametrize(
    ("attention", "displaced", "square"),
    [
        # Rows 2..4 and column 5 are 15.5..45.5 and 53..63; with the margin 50 px high around 58.
        (_attention((2, 5, 1.0), (4, 5, 0.4)), (-4.5, 3.0), (5.5, 33, 50)),
        (_attention((0, 0, 1.0)), (-4.5, -4.5), (0, 0, 15.5)),  # the border's positions reach the border
        (_attention((9, 9, 1.0)), (-4.5, -4.5), (75.5, 75.5, 24.5)),
        (_attention((9, 0, 1.0)), (4.5, 4.5), (75.5, 0, 24.5)),
        (_attention(low=1.0), (-4.5, 4.5), (0, 0, 100)),
    ],
)
def test_the_square_lies_where_the_positions_lie(attention, displaced, square):
    places = tuple(map(_displaced, displaced))
    found = attended_squares(attention, 100, 100, threshold=0.3, places=places)
    np.testing.assert_allclose(found, [square], rtol=1e-12, atol=1e-12)


def test_the_square_lies_where_the_positions_lie_if_their_number_does_not_divide_the_side():
    """Five positions at stride 32 on 144 pixels from 0.5 on: row 2 is 48.5..80.5, the margin 14.4."""
    odd = Placement(5, 32.0, 0.5)
    attention = _attention((2, 3, 1.0), shape=(5, 5))
    found = attended_squares(attention, 144, 144, threshold=0.3, places=(odd, odd))
    np.testing.assert_allclose(found, [(34.1, 66.1, 60.8)], rtol=1e-12)


@pytest.mark.parametrize(
    ("attention", "square"),
    [
        # The mean is 1.06: above 1.06 + 0.3 x (3 - 1.06) = 1.642 is the maximum, and 1.7 where it is there.
        (_attention((2, 5, 3.0), (4, 5, 1.7), low=1.033), (10, 30, 50)),
        (_attention((2, 5, 3.0), (4, 5, 1.5), low=1.035), (10, 40, 30)),
        (_attention(low=1.0), (0, 0, 100)),
        (_attention(), (0, 0, 100)),
    ],
)
def test_of_a_map_without_zeros_the_share_is_of_what_lies_above_its_mean(attention, square):
    given = {"threshold": 0.3, "places": 2 * (_displaced(0.0),)}
    found = attended_squares(attention, 100, 100, above_mean=True, **given)
    np.testing.assert_allclose(found, [square], rtol=1e-12, atol=1e-12)
    whole = attended_squares(attention, 100, 100, **given)  # no position is below 0.3 of the maximum
    np.testing.assert_allclose(whole, [(0, 0, 100)], rtol=1e-12, atol=1e-12)


def _recorded(monkeypatch):
    """A list that fills with the square of each second look at 64 px: top, left and side."""
    seen = []
    monkeypatch.setattr(network_module, "attended_crop", lambda images, attention, **given: (
        seen.append(np.asarray(attended_squares(attention, 64, 64, **given))[0]), images)[1])  # fmt: skip
    return seen


def _disc(centre, radius):
    rows, cols = np.mgrid[:64, :64] + 0.5
    disc = (rows - centre) ** 2 + (cols - centre) ** 2 < radius**2
    return disc[None, ..., None] * np.ones(3)


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_b0"])
def test_networks_crop_around_a_disc_at_the_default_threshold(name, monkeypatch):
    """With random weights and biases: of EfficientNet-B0 the map's minimum is 0.28 of its maximum."""
    network = create_model(name, 3, stem="no_pool", width=16, test_mode="second_look", insert_after="layer2")
    rng = np.random.default_rng(1)
    variables = jax.tree_util.tree_map_with_path(
        lambda path, leaf: rng.normal(0, 0.1, leaf.shape) if path[-1].key == "bias" else leaf,
        random_variables(network, 64),
    )
    seen = _recorded(monkeypatch)
    for centre in (22.0, 26.0, 38.0, 42.0):
        network.apply(variables, 3 * _disc(centre, 6), train=False)
        top, left, side = seen[-1]
        assert side < 40
        assert max(abs(top + side / 2 - centre), abs(left + side / 2 - centre)) < 4


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "vgg16"])
def test_the_crop_is_around_what_the_attention_answers_to(name, monkeypatch):
    """A disc on black: all weights positive and no bias, so that the map is high where the disc is."""
    options = {"kind": LITE._replace(activation=jax.nn.relu)} if name == "efficientnet_lite0" else {}
    network = create_model(name, 3, stem="no_pool", width=8, test_mode="second_look", insert_after="layer2",
                           look_threshold=0.9, **options)  # fmt: skip
    variables = jax.tree.map(np.abs, random_variables(network, 64))
    seen, offsets = _recorded(monkeypatch), []
    for centre in (26.0, 30.0, 34.0, 38.0):  # the mean over the four places of a tile
        network.apply(variables, _disc(centre, 4), train=False)
        top, left, side = seen[-1]
        assert side < 50  # the whole image would be as far from the first places as from the last
        offsets.append((top + side / 2 - centre, left + side / 2 - centre))
    assert np.abs(np.mean(offsets, axis=0)).max() < 1


def _bilinear(image, top, left, side):
    """Pixel by pixel: each pixel of the result at its place in the square, read between pixel centres."""
    size = len(image)
    out = np.empty_like(image)
    for i in range(size):
        for j in range(size):
            y, x = (start + (k + 0.5) * side / size - 0.5 for start, k in ((top, i), (left, j)))
            y, x = (min(max(v, 0), size - 1) for v in (y, x))
            a, b = min(int(y), size - 2), min(int(x), size - 2)
            rows = [image[r, b] * (1 - (x - b)) + image[r, b + 1] * (x - b) for r in (a, a + 1)]
            out[i, j] = rows[0] * (1 - (y - a)) + rows[1] * (y - a)
    return out


def test_the_crop_is_read_bilinearly_and_its_size_is_the_image_s():
    corner, two = _attention((1, 1, 1.0), shape=(7, 7)), _attention((3, 2, 1.0), (6, 5, 0.5), shape=(7, 7))
    attention = np.concatenate([corner, two, _attention(low=1.0, shape=(7, 7))])
    options = {"threshold": 0.3, "places": (Placement(7, 4.0, 0.5), Placement(7, 4.0, 2.5))}
    crops = jax.jit(functools.partial(attended_crop, **options))(IMAGES, attention)
    squares = np.asarray(attended_squares(attention, 28, 28, **options))
    expected = [_bilinear(image, *square) for image, square in zip(IMAGES, squares, strict=True)]
    np.testing.assert_allclose(crops, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(crops[2], IMAGES[2], rtol=0, atol=1e-12)  # all of it: nothing changes


def _model(**options):
    settings = {"width": 8, "stem": "small", "insert_after": "layer2", "dtype": jnp.float64} | options
    return create_model("resnet18", CLASSES, stage_sizes=(1, 1, 1, 1), **settings)


@functools.cache
def _variables():
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda: _model().init(jax.random.key(0), IMAGES, train=False))
    return jax.tree.map(
        lambda leaf: np.abs(rng.normal(0.3, 0.1, leaf.shape)) if leaf.ndim < 2
        else rng.normal(0, np.sqrt(2 / np.prod(leaf.shape[:-1])), leaf.shape),
        dict(shapes),
    )  # fmt: skip


@functools.cache
def _apply(**options):
    return jax.jit(functools.partial(_model(**options).apply, train=False, return_endpoints=True))


@pytest.mark.parametrize("branching", ["asae", None])
def test_probabilities_of_image_and_crop_are_averaged_with_and_without_a_layer(branching):
    once, endpoints = _apply(branching=None)(_variables(), IMAGES)
    attention = np.asarray(endpoints["layer2"]).mean(-1)
    # Of stride 2 behind padded odd convolutions, positions lie half a pixel up and left of their tiles.
    crop = attended_crop(IMAGES, attention, threshold=0.9, places=2 * (Placement(14, 2.0, 0.5),))
    again, _ = _apply(branching=None)(_variables(), crop)
    expected = np.log((jax.nn.softmax(once) + jax.nn.softmax(again)) / 2)
    looked = _apply(branching=branching, test_mode="second_look", look_threshold=0.9)
    log_probs, seen = looked(_variables(), IMAGES)
    np.testing.assert_allclose(log_probs, expected, rtol=1e-10)
    assert np.abs(once - again).max() > 1e-2  # the second look does see something else
    # What is shown is the first look; two programs, so that the last digit may differ.
    np.testing.assert_allclose(seen["layer2"], endpoints["layer2"], rtol=0, atol=1e-12)
    logits_alone = _model(branching=branching, test_mode="second_look", look_threshold=0.9)
    alone = jax.jit(functools.partial(logits_alone.apply, train=False))(_variables(), IMAGES)
    np.testing.assert_allclose(alone, expected, rtol=1e-10)
