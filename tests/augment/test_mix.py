"""mixup and CutMix beside the authors' recipes, and their draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from asae_jax.augment import cutmix, mixup
from asae_jax.augment.mix import symmetric_beta

KEYS = jax.random.split(jax.random.key(0), 2000)


many_shares = jax.jit(jax.vmap(symmetric_beta, in_axes=(0, None)))


def images(seed):
    return np.random.default_rng(seed).normal(size=(3, 7, 10, 3)).astype(np.float32)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 3.0])
def test_shares_are_drawn_from_beta(alpha):
    drawn = np.asarray(many_shares(KEYS, alpha), np.float64)
    assert 0 <= drawn.min() < drawn.max() <= 1
    low = drawn[drawn < 0.5]  # near 1 a float32 is coarse: of Beta(0.05, 0.05) every fifth draw is 1 itself
    assert abs(len(low) - 1000) < 75  # scatters by 22
    assert stats.kstest(low, lambda x: 2 * stats.beta(alpha, alpha).cdf(x)).pvalue > 1e-3
    high = drawn[(drawn >= 0.5) & (drawn < 0.999)]
    end = stats.beta(alpha, alpha).cdf(0.999) - 0.5
    assert stats.kstest(high, lambda x: (stats.beta(alpha, alpha).cdf(x) - 0.5) / end).pvalue > 1e-3


def test_mixup_is_the_weighted_mean():
    a, b = images(0), images(1)
    mixed, share = jax.jit(mixup)(KEYS[0], a, b)
    np.testing.assert_allclose(mixed, share * a + (1 - share) * b, atol=1e-6)
    np.testing.assert_allclose(share, many_shares(KEYS, 0.2)[0], rtol=1e-5)


def test_cutmix_pastes_one_rectangle_for_all_images_and_channels():
    a, b = images(0), images(1)
    mixed, share = jax.jit(cutmix)(KEYS[3], a, b)
    own, other = mixed == a, mixed == b
    assert (own | other).all()
    assert (other == other[:1, :, :, :1]).all()
    assert 0 < share < 1
    np.testing.assert_allclose(share, own.mean(), atol=1e-6)


def drawn_rectangles(key, height, width):
    """What CutMix replaces in one image, bool `[height, width]`, its share, and what it drew."""
    own, other = jnp.zeros((1, height, width, 1)), jnp.ones((1, height, width, 1))
    mixed, share = cutmix(key, own, other, alpha=0.7)
    share_key, row_key, column_key = jax.random.split(key, 3)
    row, column = jax.random.randint(row_key, (), 0, height), jax.random.randint(column_key, (), 0, width)
    return mixed[0, :, :, 0] == 1, share, jnp.sqrt(1 - symmetric_beta(share_key, 0.7)), row, column


def test_cutmix_draws_its_rectangle_as_the_authors_do():
    """A side of 2 * (int(length * sqrt(1 - share)) // 2) around any cell, cut off at the border."""
    height, width = 9, 14
    drawn = jax.jit(jax.vmap(lambda key: drawn_rectangles(key, height, width)))(KEYS)
    for box, share, cut, row, column in zip(*map(np.asarray, drawn), strict=True):
        expected = np.zeros((height, width), bool)
        rows, columns = int(height * cut) // 2, int(width * cut) // 2
        expected[max(row - rows, 0) : row + rows, max(column - columns, 0) : column + columns] = True
        np.testing.assert_array_equal(box, expected)
        assert share == pytest.approx(1 - expected.mean(), abs=1e-6)
