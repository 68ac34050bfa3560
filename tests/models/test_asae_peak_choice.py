"""The random choice of a peak: its distribution, and that it does not depend on devices or batching."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from asae_jax.models import asae, create_model
from tests.reference import asae as reference

IMAGES = 20_000

# Compiled as one, which takes less time than the operations one by one.
select_peak = jax.jit(asae.select_peak, static_argnames="num_candidates")


def _map_with_peaks(count):
    """One 13 x 13 map with `count` isolated peaks; the r-th highest is `peaks[r]`."""
    cells = [(6, 6), (0, 12), (12, 0), (12, 12), (0, 6), (6, 0), (6, 12)][:count]
    attention = np.full((13, 13), -5, np.float32)
    for rank, cell in enumerate(cells):
        attention[cell] = 10 - rank
    peaks = np.zeros((13, 13), bool)
    peaks[tuple(np.transpose(cells))] = True
    return attention, peaks, cells


def _rank_counts(count, **options):
    attention, peaks, cells = _map_with_peaks(count)
    many = lambda m: jnp.broadcast_to(m, (IMAGES, *m.shape))  # noqa: E731
    rows, cols = select_peak(jax.random.key(0), many(attention), many(peaks), **options)
    chosen = np.asarray(rows) * 13 + np.asarray(cols)
    ranks = [int(np.sum(chosen == r * 13 + c)) for r, c in cells]
    assert sum(ranks) == IMAGES
    return ranks


@pytest.mark.parametrize(
    ("count", "options", "expected"),
    [
        (7, {}, [0.7] + [0.075] * 4 + [0, 0]),
        (5, {"p_top1": 0.3, "num_candidates": 3}, [0.3, 0.35, 0.35, 0, 0]),
        (3, {}, [0.7, 0.15, 0.15]),  # fewer peaks than candidates
        (2, {}, [0.7, 0.3]),
        (1, {}, [1.0]),
        (4, {"p_top1": 0.0}, [0, 1 / 3, 1 / 3, 1 / 3]),
        (4, {"p_top1": 1.0}, [1, 0, 0, 0]),
        (4, {"num_candidates": 1, "p_top1": 0.0}, [1, 0, 0, 0]),
        (3, {"num_candidates": 1000}, [0.7, 0.15, 0.15]),  # more candidates than cells
    ],
)
def test_the_choice_has_the_papers_distribution(count, options, expected):
    ranks, shares = np.array(_rank_counts(count, **options)), np.array(expected)
    assert not ranks[shares == 0].any()
    possible = shares > 0
    if possible.sum() > 1:
        assert stats.chisquare(ranks[possible], shares[possible] * IMAGES).pvalue > 1e-3


def test_neighbouring_images_choose_independently():
    attention, peaks, _ = _map_with_peaks(2)
    many = lambda m: jnp.broadcast_to(m, (IMAGES, *m.shape))  # noqa: E731
    rows, _ = select_peak(jax.random.key(1), many(attention), many(peaks), p_top1=0.5)
    top = (np.asarray(rows) == 6).reshape(-1, 2)
    table = np.histogram2d(*top.T.astype(int), bins=2)[0]
    assert stats.chi2_contingency(table).pvalue > 1e-3


def test_equal_peaks_rank_in_row_major_order():
    attention = jnp.zeros((1, 1, 13)).at[0, 0, jnp.array([1, 6, 11])].set(1.0)
    peaks = asae.find_peaks(attention)
    assert reference.ranked_peaks(np.asarray(attention[0]), np.asarray(peaks[0])) == [(0, 1), (0, 6), (0, 11)]
    _, cols = select_peak(jax.random.key(0), attention, peaks, p_top1=1.0)
    assert cols.tolist() == [1]


def test_an_image_chooses_the_same_wherever_its_batch_is_cut():
    attention = jax.random.normal(jax.random.key(2), (24, 14, 14))
    peaks = asae.find_peaks(attention)
    whole = select_peak(jax.random.key(3), attention, peaks, p_top1=0.3)
    part = select_peak(jax.random.key(3), attention[9:], peaks[9:], p_top1=0.3, first_example=9)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[9:], b), whole, part)
    other = select_peak(jax.random.key(3), attention[9:], peaks[9:], p_top1=0.3)
    assert (other[0] != part[0]).any()


@pytest.mark.usefixtures("float64")
def test_eight_devices_choose_what_one_device_chooses():
    features = jax.random.normal(jax.random.key(4), (24, 9, 9, 5))
    rngs = {"asae": jax.random.key(5)}
    single = jax.jit(lambda x: asae.ASAE(p_top1=0.2).apply({}, x, rngs=rngs))(features)
    spread = asae.ASAE(p_top1=0.2, axis_name="device")
    step = jax.pmap(lambda x, rngs: spread.apply({}, x, rngs=rngs), axis_name="device", in_axes=(0, None))
    branches = step(features.reshape(8, 3, 9, 9, 5), rngs).swapaxes(0, 1).reshape(single.shape)
    np.testing.assert_array_equal(branches[0], single[0])
    np.testing.assert_allclose(branches[1], single[1], rtol=1e-12)


def test_the_network_hands_its_device_axis_to_the_layer():
    model = create_model("resnet18", 3, width=4, stem="small", branching="asae", axis_name="device")
    assert model.branching.axis_name == "device"
    assert create_model("resnet18", 3, branching="asae").branching.axis_name is None
