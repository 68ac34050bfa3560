import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import torch

from asae_jax.losses import cross_entropy
from tests.unchecked import unchecked


@pytest.mark.usefixtures("float64")
def test_hand_computed():
    # exp: 1, 2, 1 -> p = 1/4, 1/2, 1/4
    scores = jnp.log(jnp.array([[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]]))
    np.testing.assert_allclose(cross_entropy(scores, jnp.array([0, 1])), np.log([4.0, 2.0]), rtol=1e-12)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.9])
def test_equals_torch_with_its_gradient(label_smoothing):
    rng = np.random.default_rng(0)
    scores = rng.normal(scale=4.0, size=(32, 14))
    labels = rng.integers(14, size=32)
    theirs = torch.tensor(scores, requires_grad=True)
    loss = torch.nn.CrossEntropyLoss(reduction="none", label_smoothing=label_smoothing)(
        theirs, torch.tensor(labels)
    )
    loss.sum().backward()

    def ours(s):
        return cross_entropy(s, jnp.asarray(labels), label_smoothing=label_smoothing)

    np.testing.assert_allclose(ours(jnp.asarray(scores)), loss.detach().numpy(), rtol=1e-12, atol=1e-12)
    gradient = jax.grad(lambda s: ours(s).sum())(jnp.asarray(scores))
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=0, atol=1e-12)


def test_keeps_its_precision_at_large_scores():
    scores = jnp.array([[1e4, 1e4 - 5.0]])  # log(1 + e^-5); a log-sum-exp at 1e4 is known to 1e-3 only
    np.testing.assert_allclose(cross_entropy(scores, jnp.array([0])), np.log1p(np.exp(-5.0)), rtol=1e-5)


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.0, float("nan")])
def test_refuses_a_smoothing_out_of_range(label_smoothing):
    with pytest.raises(ValueError, match="label_smoothing"):
        cross_entropy(jnp.zeros((1, 3)), jnp.zeros(1, int), label_smoothing=label_smoothing)


@pytest.mark.parametrize(
    ("scores", "labels"), [((2, 3), (3,)), ((2, 3), (2, 3)), ((2, 1), (2,)), ((), ())], ids=str
)
def test_refuses_shapes_that_do_not_fit(scores, labels):
    with unchecked(), pytest.raises(ValueError, match="scores must be"):
        cross_entropy(jnp.zeros(scores), jnp.zeros(labels, int))


def test_the_tests_check_every_call_against_its_annotations():
    with pytest.raises(jaxtyping.TypeCheckError, match="parameter 'labels'"):
        cross_entropy(jnp.zeros((2, 3)), jnp.zeros(3, int))
    with pytest.raises(jaxtyping.TypeCheckError, match="parameter 'labels'"):
        cross_entropy(jnp.zeros((2, 3)), jnp.zeros(2))


def test_a_label_beyond_the_classes_shows():
    assert np.isnan(cross_entropy(jnp.zeros((1, 3)), jnp.array([3]))).all()
