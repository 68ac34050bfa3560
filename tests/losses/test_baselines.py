"""Focal, class-balanced and logit-adjusted cross entropy beside their formulas in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from asae_jax.losses import class_balanced, cross_entropy, effective_number_weights, focal, logit_adjusted
from tests.reference import losses as reference

COUNTS = [1, 2, 5, 10, 40, 100, 300, 1000, 2500]
CLASSES = len(COUNTS)
CASES = [
    pytest.param(partial(focal, gamma=2.0), partial(reference.focal, gamma=2.0), id="focal"),
    pytest.param(partial(focal, gamma=0.5), partial(reference.focal, gamma=0.5), id="focal, flat"),
    pytest.param(
        partial(class_balanced, class_counts=COUNTS, beta=0.99),
        partial(reference.class_balanced, class_counts=COUNTS, beta=0.99),
        id="class-balanced",
    ),
    pytest.param(
        partial(logit_adjusted, class_counts=COUNTS, tau=1.5),
        partial(reference.logit_adjusted, class_counts=COUNTS, tau=1.5),
        id="logit-adjusted",
    ),
]
OURS = [pytest.param(case.values[0], id=case.id) for case in CASES]


def examples(batch=24):
    rng = np.random.default_rng(0)
    scores = rng.normal(scale=3.0, size=(batch, CLASSES))
    return scores, rng.integers(CLASSES, size=batch)


@partial(jax.jit, static_argnums=0)
def value_and_gradient(loss, scores, labels):
    return loss(scores, labels), jax.grad(lambda s: loss(s, labels).sum())(scores)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("ours", "theirs"), CASES)
def test_equals_the_reference_with_its_gradient(ours, theirs):
    scores, labels = examples()
    expected = [theirs(row, label) for row, label in zip(scores, labels, strict=True)]
    found, gradient = value_and_gradient(ours, scores, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    step = 1e-5 * np.eye(CLASSES)
    slopes = [
        [(theirs(row + d, label) - theirs(row - d, label)) / 2e-5 for d in step]
        for row, label in zip(scores, labels, strict=True)
    ]
    np.testing.assert_allclose(gradient, slopes, rtol=0, atol=1e-8)  # what the differences can tell


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "loss",
    [
        partial(focal, gamma=0.0),
        partial(class_balanced, class_counts=COUNTS, beta=0.0),
        partial(class_balanced, class_counts=[7] * CLASSES, beta=0.9),
        partial(logit_adjusted, class_counts=COUNTS, tau=0.0),
        partial(logit_adjusted, class_counts=[7] * CLASSES),
    ],
)
def test_is_cross_entropy_where_nothing_is_asked_of_it(loss):
    found, expected = (value_and_gradient(each, *examples()) for each in (loss, cross_entropy))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=1e-12)


@pytest.mark.usefixtures("float64")
def test_equal_torch():
    scores, labels = examples()
    theirs, targets = torch.tensor(scores), torch.tensor(labels)
    weights = effective_number_weights(COUNTS, beta=0.999)
    weighted = torch.nn.functional.cross_entropy(
        theirs, targets, weight=torch.tensor(weights), reduction="none"
    )
    found, _ = value_and_gradient(partial(class_balanced, class_counts=COUNTS), scores, labels)
    np.testing.assert_allclose(found, weighted, rtol=1e-11)
    priors = torch.tensor(COUNTS, dtype=torch.float64) / sum(COUNTS)
    adjusted = torch.nn.functional.cross_entropy(theirs + priors.log(), targets, reduction="none")
    found, _ = value_and_gradient(partial(logit_adjusted, class_counts=COUNTS), scores, labels)
    np.testing.assert_allclose(found, adjusted, rtol=1e-11, atol=1e-12)


def test_weights_go_from_equal_to_inverse_frequency():
    np.testing.assert_array_equal(effective_number_weights(COUNTS, beta=0.0), np.ones(CLASSES))
    inverse = 1 / np.array(COUNTS)
    nearly = effective_number_weights(COUNTS, beta=1 - 1e-9)
    np.testing.assert_allclose(nearly, inverse / inverse.mean(), rtol=1e-5)
    some = effective_number_weights(COUNTS, beta=0.99)
    assert some.mean() == pytest.approx(1)
    assert (np.diff(some) < 0).all()
    assert some[-2] == pytest.approx(some[-1], rel=1e-3)  # beyond 1 / (1 - beta) images more add nothing


@pytest.mark.usefixtures("float64")
def test_focal_loss_by_hand():
    """p = 1/4 and 1/2."""
    scores = jnp.log(jnp.array([[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]]))
    expected = [9 / 16 * np.log(4), 1 / 4 * np.log(2)]
    np.testing.assert_allclose(focal(scores, jnp.array([0, 1])), expected, rtol=1e-12)


@pytest.mark.usefixtures("float64")
def test_the_adjusted_optimum_is_the_balanced_classifier():
    """Scores whose adjusted softmax is the posterior are the posterior divided by the priors."""
    priors, likelihood = np.array([0.9, 0.1]), np.array([0.3, 0.6])  # p(class), p(x | class)
    posterior = priors * likelihood / (priors * likelihood).sum()
    assert posterior[0] > posterior[1]

    @jax.jit
    @jax.grad
    def slope_of_risk(scores):
        losses = logit_adjusted(jnp.stack([scores, scores]), jnp.arange(2), class_counts=[90, 10])
        return jnp.sum(posterior * losses)

    np.testing.assert_allclose(slope_of_risk(np.log(likelihood)), 0, rtol=0, atol=1e-12)


EXTREME = [
    [1e4, -1e4, 0.0, 5.0, -5.0, 9999.0, 3.0, 2.0, 1.0],  # label far ahead
    [-1e4, 1e4, 1e4, 1e4, 9e3, 0.0, 1.0, 2.0, 3.0],  # label far behind
    [100.0] + [0.0] * 8,
    [0.0] * 9,
    [1e4] * 9,
]


@pytest.mark.parametrize("loss", OURS)
def test_extreme_scores_stay_finite(loss):
    found, gradient = value_and_gradient(loss, np.array(EXTREME, np.float32), np.zeros(5, int))
    assert np.isfinite(found).all()
    assert np.isfinite(gradient).all()


def test_precision_is_kept_at_large_scores():
    scores = jnp.array([[1e4, 1e4 - 5.0]])
    odds = np.exp(-5.0) * 3
    found = logit_adjusted(scores, jnp.array([0]), class_counts=[10, 30])
    np.testing.assert_allclose(found, np.log1p(odds), rtol=1e-5)
    p = 1 / (1 + np.exp(-5.0))
    np.testing.assert_allclose(focal(scores, jnp.array([0])), -((1 - p) ** 2) * np.log(p), rtol=1e-5)


@pytest.mark.parametrize("loss", OURS)
def test_a_nan_and_an_unknown_label_are_never_hidden(loss):
    scores, labels = examples()
    scores[0, 3], labels[1] = np.nan, CLASSES
    found, _ = value_and_gradient(loss, scores, labels)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(found)), [0, 1])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("loss", OURS)
def test_more_axes_and_bfloat16_give_float32_losses(loss, dtype):
    scores = jax.ShapeDtypeStruct((4, 6, CLASSES), dtype)
    found = jax.eval_shape(loss, scores, jax.ShapeDtypeStruct((4, 6), jnp.int32))
    assert (found.shape, found.dtype) == ((4, 6), jnp.float32)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (partial(focal, gamma=-0.1), "gamma"),
        (partial(focal, gamma=float("nan")), "gamma"),
        (partial(class_balanced, class_counts=[1, 2, 3], beta=1.0), "beta"),
        (partial(class_balanced, class_counts=[1, 2]), "3 numbers"),
        (partial(class_balanced, class_counts=[1, 0, 3]), "at least 1"),
        (partial(logit_adjusted, class_counts=[1, 0, 3]), "at least 1"),
        (partial(logit_adjusted, class_counts=[1, 2, 3], tau=-1.0), "tau"),
    ],
)
def test_refuses_what_it_cannot_mean(loss, message):
    with pytest.raises(ValueError, match=message):
        loss(jnp.zeros((1, 3)), jnp.zeros(1, int))
