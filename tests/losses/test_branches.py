import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from asae_jax.losses import branch_disagreement, cross_entropy, mean_branch_log_probs, mean_branch_loss

IN_FLOAT64 = pytest.mark.usefixtures("float64")


def branches(count, scale=3.0):
    return np.random.default_rng(count).normal(scale=scale, size=(count, 6, 14))


@IN_FLOAT64
@pytest.mark.parametrize("count", [1, 2, 3])
def test_is_the_log_of_the_mean_probability(count):
    logits = branches(count)
    expected = np.log(softmax(logits, axis=-1).mean(0))
    np.testing.assert_allclose(mean_branch_log_probs(jnp.asarray(logits)), expected, rtol=1e-12)


@IN_FLOAT64
def test_two_branches_equal_the_logaddexp_form():
    a, b = logits = branches(2)
    expected = np.logaddexp(log_softmax(a, -1), log_softmax(b, -1)) - np.log(2)
    np.testing.assert_allclose(mean_branch_log_probs(jnp.asarray(logits)), expected, rtol=1e-12)


@IN_FLOAT64
def test_is_a_distribution():
    found = mean_branch_log_probs(jnp.asarray(branches(2)))
    np.testing.assert_allclose(np.exp(found).sum(-1), 1.0, rtol=1e-12)


def test_extreme_logits():
    logits = jnp.array([[[1e4, -1e4, 0.0]], [[-1e4, 1e4, 0.0]]])
    found = mean_branch_log_probs(logits)
    np.testing.assert_allclose(found, [[-np.log(2), -np.log(2), -1e4 - np.log(2) + np.log(2)]], rtol=1e-6)
    slope = jax.grad(lambda x: mean_branch_log_probs(x).sum())(logits)
    assert np.isfinite(slope).all()


def test_bfloat16_is_computed_in_float32():
    logits = jnp.asarray(branches(2), jnp.bfloat16)
    found = mean_branch_log_probs(logits)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, mean_branch_log_probs(logits.astype(jnp.float32)))


@pytest.mark.parametrize("shape", [(4, 3), (0, 4, 3), (1, 2, 4, 3)])
def test_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="branches, batch, classes"):
        mean_branch_log_probs(jnp.zeros(shape))


@IN_FLOAT64
def test_mean_branch_loss_is_the_mean_of_each_branch_by_itself():
    logits, labels = branches(3), np.arange(6) % 14
    probabilities = softmax(logits, axis=-1)
    expected = -np.log(probabilities[:, np.arange(6), labels]).mean(0)
    found = mean_branch_loss(cross_entropy, jnp.asarray(logits), jnp.asarray(labels))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@IN_FLOAT64
@pytest.mark.parametrize("count", [1, 2, 3])
def test_disagreement_is_the_entropy_of_the_mean_less_the_mean_entropy(count):
    logits = branches(count)
    probabilities = softmax(logits, axis=-1)
    expected = entropy(probabilities.mean(0), axis=-1) - entropy(probabilities, axis=-1).mean(0)
    found = branch_disagreement(jnp.asarray(logits))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@IN_FLOAT64
def test_disagreement_is_nothing_where_all_agree_and_at_most_the_log_of_the_branches():
    one = branches(1)
    np.testing.assert_allclose(
        branch_disagreement(jnp.asarray(np.concatenate([one, one]))), 0, rtol=0, atol=1e-14
    )
    apart = jnp.array([[[1e4, 0.0, 0.0]], [[0.0, 1e4, 0.0]], [[0.0, 0.0, 1e4]]])
    np.testing.assert_allclose(branch_disagreement(apart), np.log(3), rtol=1e-12)
    assert np.isfinite(jax.grad(lambda x: branch_disagreement(x).sum())(apart)).all()


@IN_FLOAT64
def test_disagreement_has_the_slope_of_finite_differences():
    jax.test_util.check_grads(branch_disagreement, (jnp.asarray(branches(3)),), order=1)


def test_a_step_down_the_disagreement_brings_the_branches_together():
    logits = jnp.asarray(branches(2))
    slope = jax.grad(lambda x: branch_disagreement(x).sum())(logits)
    assert np.all(branch_disagreement(logits - 0.1 * slope) < branch_disagreement(logits))
