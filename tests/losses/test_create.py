import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax.errors import UserError
from asae_jax.losses import (
    class_balanced,
    create_loss,
    cross_entropy,
    focal,
    gce,
    gmmce,
    logit_adjusted,
)

SCORES = jnp.asarray(np.random.default_rng(0).normal(size=(5, 14)), jnp.float32)
LABELS = jnp.arange(5)
COUNTS = np.arange(1, 15)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("ce", {"label_smoothing": 0.1}, cross_entropy(SCORES, LABELS, label_smoothing=0.1)),
        ("gce", {"k_high": 2}, gce(SCORES, LABELS, k_high=2)),
        ("gce", {"k_high": 2, "k_low": 0}, gce(SCORES, LABELS, k_high=2)),
        ("gmmce", {"k_high": 2, "k_low": 4}, gmmce(SCORES, LABELS, k_high=2, k_low=4)),
        ("focal", {"gamma": 3.0}, focal(SCORES, LABELS, gamma=3.0)),
        (
            "class_balanced",
            {"class_counts": COUNTS, "beta": 0.9},
            class_balanced(SCORES, LABELS, class_counts=COUNTS, beta=0.9),
        ),
        (
            "logit_adjusted",
            {"class_counts": COUNTS, "tau": 0.5},
            logit_adjusted(SCORES, LABELS, class_counts=COUNTS, tau=0.5),
        ),
    ],
)
def test_fills_in_the_options(name, options, expected):
    loss = create_loss(name, num_classes=14, **options)
    np.testing.assert_array_equal(loss(SCORES, LABELS), expected)


@pytest.mark.parametrize(("name", "num_classes"), [("gmmce", 7), ("gmmce", 2), ("gce", 4)])
def test_warns_when_the_loss_is_cross_entropy(name, num_classes):
    with pytest.warns(UserWarning, match="same as cross entropy"):
        create_loss(name, num_classes=num_classes)


@pytest.mark.parametrize(("name", "num_classes"), [("gmmce", 8), ("gce", 5), ("ce", 2), ("focal", 2)])
def test_is_silent_when_it_is_not(name, num_classes):
    create_loss(name, num_classes=num_classes)  # a warning would be an error here


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gmce", {}, "choose one of ce, gce, gmmce"),
        ("gce", {"k_high": 0}, "k_high = 0 must be at least 1"),
        ("gmmce", {"k_low": 0}, "k_low = 0 must be at least 1"),
        ("ce", {"label_smoothing": 1.0}, "below 1"),
        ("gmmce", {"label_smoothing": 0.1}, "no effect on gmmce"),
        ("focal", {"label_smoothing": 0.1}, "no effect on focal"),
        ("focal", {"gamma": -1.0}, "gamma = -1.0 must be at least 0"),
        ("class_balanced", {"class_counts": COUNTS, "beta": 1.0}, "beta = 1.0 must be .* below 1"),
        ("logit_adjusted", {"class_counts": COUNTS, "tau": -1.0}, "tau = -1.0 must be at least 0"),
    ],
)
def test_refuses_what_it_cannot_mean(name, options, message):
    with pytest.raises(UserError, match=message):
        create_loss(name, num_classes=14, **options)


@pytest.mark.parametrize("name", ["class_balanced", "logit_adjusted"])
def test_asks_for_class_counts_where_they_are_needed(name):
    with pytest.raises(ValueError, match=f"{name} needs class_counts"):
        create_loss(name, num_classes=14)
