"""The mixture of classes that a run's probabilities are of."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special

from asae_jax.config import base_config, copy_with
from asae_jax.errors import UserError
from asae_jax.inference.mixture import mixture_basis, training_mixture
from asae_jax.losses import create_loss
from asae_jax.run.adaptation import FILE

COUNTS = np.array([400, 90, 10])
SETTINGS = {"loss.beta": 0.99, "loss.tau": 0.5}


def _blind(loss, drawn):
    """What a network learns that sees nothing in the images: the shares of least loss."""
    loss = create_loss(loss, num_classes=3, class_counts=COUNTS, beta=0.99, tau=0.5)

    def total(scores):
        return drawn @ loss(jnp.broadcast_to(scores, (3, 3)), jnp.arange(3)) / drawn.sum()

    step = jax.jit(jax.value_and_grad(total))
    found = optimize.minimize(lambda x: tuple(map(np.float64, step(jnp.float32(x)))), np.zeros(3), jac=True)
    return special.softmax(found.x)


@pytest.mark.parametrize("loss", ["ce", "class_balanced", "logit_adjusted"])
@pytest.mark.parametrize("sampler", ["shuffled", "balanced", "weighted"])
def test_the_mixture_is_what_a_network_that_sees_nothing_would_answer(sampler, loss):
    config = copy_with(base_config(), SETTINGS | {"data.sampler": sampler, "loss.name": loss})
    drawn = COUNTS if sampler == "shuffled" else np.ones(3)
    np.testing.assert_allclose(training_mixture(config, COUNTS), _blind(loss, drawn), atol=2e-3)


@pytest.mark.parametrize(
    ("sampler", "loss", "known"),
    [("shuffled", "ce", False), ("balanced", "ce", True), ("weighted", "logit_adjusted", False)],
)
def test_without_the_numbers_of_images_it_is_known_of_equal_draws_only(sampler, loss, known):
    config = copy_with(base_config(), {"data.sampler": sampler, "loss.name": loss})
    found = training_mixture(config, np.zeros(3))
    assert found is None if not known else found.tolist() == [1 / 3] * 3


@pytest.mark.parametrize(
    "damage",
    [
        {"notes": 3},
        {"prior": {"A": 1.0}},
        {"prior": [0.5, 0.5]},
        {"prior": {"A": 1.0, "B": 0.0}},
        {"confusion_matrix": None},
        {"confusion_matrix": [[1, 2, 3], [4, 5, 6]]},
        {"confusion_matrix": [[1, 2], [3, -4]]},
    ],
    ids=str,
)
def test_a_damaged_record_of_labels_is_named(tmp_path, damage):
    run = SimpleNamespace(workdir=tmp_path, class_names=("A", "B"))
    content = {"prior": {"A": 0.75, "B": 0.25}, "confusion_matrix": [[5, 1], [2, 7]], "notes": []}
    (tmp_path / FILE).write_text(json.dumps(content))
    assert mixture_basis(run).prior.tolist() == [0.75, 0.25]
    (tmp_path / FILE).write_text(json.dumps(content | damage))
    with pytest.raises(UserError, match=rf"{FILE} is damaged"):
        mixture_basis(run)
