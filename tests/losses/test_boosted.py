"""GCE and GMMCE beside an independent reference, and the paper's claims about them."""

from functools import partial

import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asae_jax.losses import cross_entropy, gce, gmmce
from tests.reference import losses as reference

LOSSES = {"ce": cross_entropy, "gce": gce, "gmmce": gmmce}
CLASSES = 14
IN_FLOAT64 = pytest.mark.usefixtures("float64")


def options(name, k_high, k_low):
    return {"ce": {}, "gce": {"k_high": k_high}, "gmmce": {"k_high": k_high, "k_low": k_low}}[name]


@partial(jax.jit, static_argnums=0, static_argnames=("k_high", "k_low"))
def gradient(name, scores, labels, **kwargs):
    return jax.grad(lambda s: LOSSES[name](s, labels, **kwargs).sum())(scores)


@partial(jax.jit, static_argnums=0, static_argnames=("k_high", "k_low"))
def value(name, scores, labels, **kwargs):
    return LOSSES[name](scores, labels, **kwargs)


def examples(num_classes, batch=24, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    scores = rng.normal(scale=3.0, size=(batch, num_classes))
    return np.round(scores) if ties else scores, rng.integers(num_classes, size=batch)


# exp(s) = 1, 2, 3, 4, 10 with label 0: 10 and 4 are the two highest negatives, 2 the lowest.
LITERAL = np.log([[1.0, 2.0, 3.0, 4.0, 10.0]])


@IN_FLOAT64
def test_gce_by_hand():
    np.testing.assert_allclose(
        gce(jnp.asarray(LITERAL), jnp.array([0]), k_high=2), [np.log(15.0)], rtol=1e-12
    )
    np.testing.assert_allclose(
        gce(jnp.asarray(LITERAL), jnp.array([4]), k_high=1), [np.log(14 / 10)], rtol=1e-12
    )


@IN_FLOAT64
def test_gmmce_by_hand():
    loss = gmmce(jnp.asarray(LITERAL), jnp.array([0]), k_high=1, k_low=1)
    np.testing.assert_allclose(loss, [np.log(1.0 + 10.0 + 2.0)], rtol=1e-12)


@IN_FLOAT64
def test_gmmce_gradient_by_hand():
    found = gradient("gmmce", LITERAL, jnp.array([0]), k_high=1, k_low=1)
    np.testing.assert_allclose(found, [[1 / 13 - 1, 2 / 13, 0, 0, 10 / 13]], rtol=0, atol=1e-12)


@IN_FLOAT64
def test_ties_at_a_threshold_are_all_kept():
    scores = jnp.log(jnp.array([[1.0, 5.0, 5.0, 3.0, 2.0, 2.0]]))
    label = jnp.array([0])
    np.testing.assert_allclose(gce(scores, label, k_high=1), [np.log(1 + 5 + 5)], rtol=1e-12)
    both = gmmce(scores, label, k_high=1, k_low=1)
    np.testing.assert_allclose(both, [np.log(1 + 5 + 5 + 2 + 2)], rtol=1e-12)


@IN_FLOAT64
def test_a_class_in_both_sets_counts_once():
    scores = jnp.log(jnp.array([[1.0, 2.0, 3.0, 4.0]]))
    loss = gmmce(scores, jnp.array([0]), k_high=2, k_low=2)  # {4, 3} and {2, 3}
    np.testing.assert_allclose(loss, [np.log(1 + 2 + 3 + 4)], rtol=1e-12)


@IN_FLOAT64
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("num_classes", [2, 8, 14, 40])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("k_high", "k_low"), [(3, 3), (1, 4), (50, 1)])
def test_equals_the_reference(name, num_classes, ties, k_high, k_low):
    scores, labels = examples(num_classes, ties=ties)
    found = value(name, jnp.asarray(scores), jnp.asarray(labels), **options(name, k_high, k_low))
    expected = [
        reference.loss(name, row, label, k_high, k_low) for row, label in zip(scores, labels, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


@IN_FLOAT64
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("ties", [False, True])
def test_gradient_equals_finite_differences(name, ties):
    scores, labels = examples(CLASSES, ties=ties)
    found = gradient(name, jnp.asarray(scores), jnp.asarray(labels))
    expected = [
        reference.finite_difference(name, row, label) for row, label in zip(scores, labels, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)  # what the differences can tell


def test_the_printed_numerator_of_eq_9_is_wrong():
    """For a kept negative c the gradient is exp(s_c) / Z; eq. (9) prints exp(s_l) / Z."""
    scores, label = np.log([1.0, 2.0, 3.0, 4.0, 10.0]), 0
    true_gradient = reference.finite_difference("gmmce", scores, label, 1, 1)
    for c in (1, 4):
        np.testing.assert_allclose(true_gradient[c], np.exp(scores[c]) / 13, rtol=0, atol=1e-8)
        assert abs(true_gradient[c] - np.exp(scores[label]) / 13) > 0.05
    np.testing.assert_allclose(true_gradient[label], np.exp(scores[label]) / 13 - 1, rtol=0, atol=1e-8)


scores_and_label = st.tuples(
    hnp.arrays(float, CLASSES, elements=st.floats(-8, 8, width=16)), st.integers(0, CLASSES - 1)
)


@given(scores_and_label)
@settings(max_examples=150, deadline=None)
def test_eq_10_and_the_order_of_the_losses(example):
    """Signed gradients fall from GCE over GMMCE to CE, for the label and for J'_>; so do their magnitudes
    for J'_>, but for the label they rise."""
    scores, label = example
    with jax.enable_x64():  # not the fixture, which would serve all examples together
        labels = jnp.array([label])
        row = jnp.asarray(scores)[None]
        g = {name: np.asarray(gradient(name, row, labels))[0] for name in LOSSES}
        losses = [float(value(name, row, labels)[0]) for name in ("gce", "gmmce", "ce")]
    slack = 1e-12
    for c in {label} | reference.confusing(scores, label, 3):
        assert g["gce"][c] >= g["gmmce"][c] - slack
        assert g["gmmce"][c] >= g["ce"][c] - slack
    assert -slack <= abs(g["gmmce"][label]) - abs(g["gce"][label])
    assert -slack <= abs(g["ce"][label]) - abs(g["gmmce"][label])
    assert losses[0] <= losses[1] + slack
    assert losses[1] <= losses[2] + slack


def test_eq_10_is_strict_where_the_sets_differ():
    scores = jnp.linspace(-1.0, 1.0, CLASSES)[None]
    label = jnp.array([5])
    g = {name: np.asarray(gradient(name, scores, label))[0] for name in LOSSES}
    for c in (5, 11, 12, 13):
        assert g["gce"][c] > g["gmmce"][c] + 1e-3
        assert g["gmmce"][c] > g["ce"][c] + 1e-3
    assert abs(g["gce"][5]) < abs(g["gmmce"][5]) < abs(g["ce"][5])


@IN_FLOAT64
@pytest.mark.parametrize("num_classes", [2, 5, 7])
def test_gmmce_is_cross_entropy_when_every_negative_is_kept(num_classes):
    scores, labels = map(jnp.asarray, examples(num_classes))
    np.testing.assert_allclose(value("gmmce", scores, labels), value("ce", scores, labels), rtol=1e-12)


def test_gmmce_is_not_cross_entropy_with_one_class_more():
    scores, labels = map(jnp.asarray, examples(8))
    assert (gmmce(scores, labels) < cross_entropy(scores, labels)).all()


EXTREME = {
    "label far ahead": [1e4, -1e4, 0.0, 5.0, -5.0, 1e4 - 1, 3.0, 2.0],
    "label far behind": [-1e4, 1e4, 1e4, 1e4, 9e3, 0.0, 1.0, 2.0],
    "all equal": [0.0] * 8,
    "all 1e4": [1e4] * 8,
    "all -1e4": [-1e4] * 8,
    "two classes": [1e4, -1e4],
    "two classes, wrong": [-1e4, 1e4],
    "an impossible class": [0.0, -np.inf, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("case", EXTREME)
def test_extreme_scores_stay_finite(name, case):
    scores = np.array(EXTREME[case], np.float32)
    found = value(name, jnp.asarray(scores)[None], jnp.array([0]))
    np.testing.assert_allclose(found, [stable_reference(name, scores)], rtol=1e-6)
    slope = gradient(name, jnp.asarray(scores)[None], jnp.array([0]))
    assert np.isfinite(slope).all()
    np.testing.assert_allclose(slope.sum(), 0.0, atol=1e-6)


def stable_reference(name, scores, label=0):
    kept = sorted(reference.kept_classes(name, scores, label, 3, 3) | {label})
    return np.logaddexp.reduce(scores[kept].astype(np.float64)) - scores[label]


@pytest.mark.parametrize("name", LOSSES)
def test_bfloat16_scores_are_computed_in_float32(name):
    scores, labels = examples(CLASSES)
    coarse = jnp.asarray(scores, jnp.bfloat16)
    found = value(name, coarse, jnp.asarray(labels))
    assert found.dtype == jnp.float32
    expected = value(name, coarse.astype(jnp.float32), jnp.asarray(labels))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("where", [0, 1, 2, 7])
def test_a_nan_is_never_hidden(name, where):
    scores = jnp.arange(14.0).at[where].set(jnp.nan)[None]
    assert np.isnan(value(name, scores, jnp.array([0]))).all()


@IN_FLOAT64
@pytest.mark.parametrize("name", LOSSES)
def test_more_leading_axes(name):
    scores, labels = map(jnp.asarray, examples(CLASSES))
    folded = value(name, scores.reshape(4, 6, CLASSES), labels.reshape(4, 6))
    np.testing.assert_allclose(folded.reshape(-1), value(name, scores, labels), rtol=1e-12)


def test_refuses_an_empty_selection():
    scores, labels = jnp.zeros((1, 9)), jnp.zeros(1, int)
    with pytest.raises(ValueError, match="at least one class"):
        gce(scores, labels, k_high=0)
    with pytest.raises(ValueError, match="at least one class"):
        gmmce(scores, labels, k_low=0)
