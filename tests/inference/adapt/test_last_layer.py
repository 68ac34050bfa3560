"""The last layer on a few labels, and scores of images by layers that have not seen them."""

import functools

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from sklearn.linear_model import LogisticRegression

from asae_jax.errors import UserError
from asae_jax.evaluation.calibration import LIMITS, fit_temperature, soften
from asae_jax.evaluation.label_shift import em_shares, learnt_mixture, total_variation
from asae_jax.inference.adapt import last_layer
from asae_jax.inference.adapt.last_layer import (
    Layer,
    choose_strength,
    cross_fit,
    find_layer,
    fit_layer,
    read_layer,
    with_layer,
    without_classes,
)
from asae_jax.inference.adapt.learning import cross_fitted_estimates, distances_of_folds
from asae_jax.inference.adapt.proposals import propose
from asae_jax.models import create_model
from tests.inference.explain.made import random_variables

SETTINGS = ConfigDict(
    {
        "target_error": 0.1,
        "certainty": 0.0,
        "conformal_error": 0.1,
        "conformal": "lac",
        "outlier_quantile": 0.95,
    }
)


def _task(count=90, seed=0, noise=1.0):
    """Features `[count, 4]` of three classes, labels, and a layer that was trained where features lay
    elsewhere."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    features = 2 * np.eye(3, 4)[labels] + noise * rng.normal(size=(count, 4)) + np.array([5, 0, 0, 1.0])
    old = Layer(2 * np.eye(4, 3), np.array([0.5, 0, 0]))
    return features, labels, old


def _log_loss(layer, features, labels):
    logits = layer.logits(features)
    logits -= logits.max(1, keepdims=True)
    return -np.mean(logits[np.arange(len(labels)), labels] - np.log(np.exp(logits).sum(1)))


def test_without_an_old_layer_it_is_scikit_learn_s_regression():
    features, labels, _ = _task()
    nothing = Layer(np.zeros((4, 3)), np.zeros(3))
    standardised = (features - features.mean(0)) / features.std(0)
    # Its biases are free: a column of ones beside the features is drawn to 0 as ours are.
    inputs = np.hstack([standardised, np.ones((len(labels), 1))])
    oracle = LogisticRegression(C=1 / (0.1 * len(labels)), fit_intercept=False, tol=1e-8, max_iter=5000)
    oracle.fit(inputs, labels)
    ours = fit_layer(nothing, features, labels, 0.1).logits(features)
    theirs = oracle.decision_function(inputs)
    np.testing.assert_allclose(
        ours - ours.mean(1, keepdims=True), theirs - theirs.mean(1, keepdims=True), atol=2e-3
    )


def test_a_strong_penalty_keeps_the_old_layer_and_a_weak_one_follows_the_labels():
    features, labels, old = _task()
    kept = fit_layer(old, features, labels, 1e6)
    np.testing.assert_allclose(kept.kernel, old.kernel, atol=1e-4)
    assert fit_layer(old, features, labels, np.inf) is old
    losses = [_log_loss(fit_layer(old, features, labels, s), features, labels) for s in (10, 1, 0.1, 0.01)]
    assert losses == sorted(losses, reverse=True)


def test_an_old_layer_that_fits_is_not_given_up_for_noise():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(40, 20))
    old = Layer(rng.normal(size=(20, 3)) * 3, np.zeros(3))
    labels = old.logits(features).argmax(1)
    found = cross_fit(old, features, labels)
    assert (found.logits.argmax(1) == labels).mean() > 0.9


def test_a_label_that_no_fold_tests_does_not_count_against_the_old_layer():
    """The old layer is right of all but a class of one image, which new layers are never tested on."""
    labels = np.array([0] * 9 + [1] * 9 + [2])
    features = np.eye(3)[labels]
    old = Layer(np.array([[99.0, 0, 0], [0, 99.0, 0], [99.0, 0, 0]]), np.zeros(3))
    assert choose_strength(old, features, labels, groups=None, seed=0) == np.inf


def test_labels_make_it_better_on_new_images():
    features, labels, old = _task(120)
    new, true, _ = _task(2000, seed=5)
    before, after = (
        (one.logits(new).argmax(1) == true).mean() for one in (old, cross_fit(old, features, labels).layer)
    )
    assert after > 0.8 > 0.6 > before


def test_a_label_has_no_part_in_its_own_score():
    features, labels, old = _task(60)
    first = cross_fit(old, features, labels, folds=5, seed=3)
    flipped = labels.copy()
    flipped[7] = (labels[7] + 1) % 3
    second = cross_fit(old, features, flipped, folds=5, seed=3)
    own_fold = next(fold for fold in first.folds if fold[7])
    np.testing.assert_array_equal(first.logits[own_fold], second.logits[own_fold])
    assert np.abs(first.logits[~own_fold] - second.logits[~own_fold]).max() > 1e-4


def test_groups_are_not_divided():
    features, labels, old = _task(60)
    groups = np.repeat(np.arange(12), 5)
    for fold in cross_fit(old, features, labels, groups=groups).folds:
        assert not set(groups[fold]) & set(groups[~fold])


def test_labels_of_patients_who_alone_have_a_class_are_used_all_the_same():
    features, labels, old = _task(120)
    far = Layer(old.kernel, np.array([0.0, 40.0, 0.0]))  # it takes nearly all for the second class
    assert (far.logits(features).argmax(1) == labels).mean() < 0.5
    fitted = cross_fit(far, features, labels, groups=np.where(labels == 0, 0, labels), folds=3)
    assert np.isfinite(fitted.strength)
    assert (fitted.layer.logits(features).argmax(1) == labels).mean() > 0.7


def test_cross_fitted_estimates_do_not_flatter():
    """More channels than images: the layer is right about all it has seen, and its scores must not say so."""
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 60)
    features = rng.normal(size=(60, 80)) + 0.6 * np.eye(3, 80)[labels]
    old = Layer(np.zeros((80, 3)), np.zeros(3))
    found = cross_fit(old, features, labels)
    seen = fit_layer(old, features, labels, 0.001)
    assert (seen.logits(features).argmax(1) == labels).mean() > 0.95
    assert (found.logits.argmax(1) == labels).mean() < 0.75
    estimates = cross_fitted_estimates(
        SETTINGS,
        ("A", "B", "C"),
        found.logits,
        features,
        labels,
        distances_of_folds(features, found.folds),
        {},
    )
    assert estimates.abstention.coverage < 0.7
    # An image compared with itself would be no outlier at any distance.
    assert estimates.outliers.threshold > 0.5


def test_the_outlier_threshold_is_a_quantile_of_the_distances_to_other_folds():
    rng = np.random.default_rng(0)
    logits, features, labels = rng.normal(size=(20, 3)), rng.normal(size=(20, 4)), np.arange(20) % 3
    distances = rng.permutation(20) / 10
    estimates = cross_fitted_estimates(SETTINGS, ("A", "B", "C"), logits, features, labels, distances, {})
    assert estimates.outliers.threshold == 1.9  # the smallest that 95 of 100 do not exceed, or the next


def test_classes_that_do_not_occur_are_never_named_and_the_others_stay_as_they_were():
    features, _, old = _task()
    only = without_classes(old, np.array([False, True, False])).logits(features)
    np.testing.assert_array_equal(only[:, [0, 2]], old.logits(features)[:, [0, 2]])
    assert (only.argmax(1) != 1).all()
    assert (np.exp(only[:, 1] - only.max(1)) < 1e-9).all()


def test_what_a_removed_class_knew_does_not_bring_it_back():
    """Its weights are replaced by the mean of the others', however large they were."""
    layer = Layer(np.array([[1.0, 900.0, 3.0], [2.0, -900.0, 0.0]]), np.array([0.5, 700.0, 1.5]))
    found = without_classes(layer, np.array([False, True, False]))
    np.testing.assert_allclose(found.kernel, [[1, 2, 3], [2, 1, 0]])
    np.testing.assert_allclose(found.bias, [0.5, 1 - 30 * LIMITS[1], 1.5])


def _network(layer):
    head = {"kernel": layer.kernel, "bias": layer.bias}
    other = {"kernel": np.ones((4, 3)), "bias": np.ones(3)}
    return {"params": {"backbone": {"other": other, "head": head}}, "batch_stats": {}}


def test_the_layer_is_found_by_what_it_computes():
    features, _, old = _task()
    variables = _network(old)
    layer = find_layer(variables, features, old.logits(features))
    changed = with_layer(variables, Layer(layer.kernel + 1, layer.bias))["params"]["backbone"]
    np.testing.assert_allclose(changed["head"]["kernel"], old.kernel + 1)
    np.testing.assert_array_equal(changed["other"]["kernel"], np.ones((4, 3)))
    with pytest.raises(UserError, match=r"does not act on its pooled features.*--layers=all"):
        find_layer(variables, features, old.logits(features) + 1)


def test_removed_classes_do_not_hide_that_a_layer_does_not_act_on_the_features():
    """Their logits are far below all others, and say nothing about how large differences may be."""
    features, _, old = _task()
    only = without_classes(old, np.array([False, True, False]))
    assert find_layer(_network(only), features, only.logits(features)).bias[1] < -500
    with pytest.raises(UserError, match="does not act on its pooled features"):
        find_layer(_network(only), features, only.logits(features) + 0.3)


def test_a_class_that_does_not_occur_stays_improbable_at_every_temperature():
    """8.7 was fitted on real cells: then a bias of -30 is a probability of 1 %."""
    features, labels, old = _task()
    only = without_classes(old, np.array([False, True, False])).logits(features)
    for temperature in (1.0, 8.7, LIMITS[1]):
        assert np.exp(soften(only, temperature))[:, 1].max() < 1e-12
    assert fit_temperature(only[labels != 1], labels[labels != 1]).value == pytest.approx(
        fit_temperature(old.logits(features)[labels != 1][:, [0, 2]], labels[labels != 1] // 2).value
    )


def test_a_class_is_removed_from_a_network_with_a_norm_in_front_of_its_last_layer():
    network = create_model("convnext_tiny", 3, stem="small", width=8, stage_sizes=(1, 1, 1, 1))
    images = np.random.default_rng(0).normal(size=(4, 16, 16, 3)).astype(np.float32)
    variables = random_variables(network, 16)
    only = with_layer(variables, without_classes(read_layer(variables), np.array([True, False, False])))
    apply = jax.jit(functools.partial(network.apply, train=False))
    before, after = (np.asarray(apply(one, images)) for one in (variables, only))
    np.testing.assert_allclose(after[:, 1:], before[:, 1:], rtol=1e-5)
    assert np.exp(soften(after, LIMITS[1]))[:, 0].max() < 1e-12


def test_proposals_are_of_every_cluster_and_near_its_boundary():
    rng = np.random.default_rng(0)
    centres = 10 * np.eye(6)
    cluster = np.repeat(np.arange(6), [200, 200, 50, 20, 20, 10])
    features = centres[cluster] + rng.normal(size=(500, 6))
    sure = rng.uniform(0.5, 1, 500)
    chosen = propose(features, np.stack([sure, 1 - sure], 1), 6, seed=0)
    assert sorted(cluster[chosen]) == list(range(6))
    margins = 2 * sure - 1
    assert (np.diff(margins[chosen]) >= 0).all()
    for row in chosen:
        assert margins[row] <= np.median(margins[cluster == cluster[row]])
    assert len(set(propose(features, np.stack([sure, 1 - sure], 1), 40, seed=0))) == 40
    assert len(propose(features[:5], np.ones((5, 2)) / 2, 9, seed=0)) == 5


def test_proposals_are_typical_of_their_cluster():
    """Of the half that is nearest the centre, 8 degrees and 188, the least certain; the odd ones are none."""
    angles = np.radians([0, 1, 2, 30, 180, 181, 182, 210])
    margins = np.array([0.5, 0.4, 0.6, 0.1, 0.9, 0.8, 0.7, 0.0])
    probabilities = np.stack([1 + margins, 1 - margins], 1) / 2
    chosen = propose(np.stack([np.cos(angles), np.sin(angles)], 1), probabilities, 2, seed=0)
    assert chosen.tolist() == [1, 6]


def test_where_proposals_are_more_than_clusters_the_least_certain_follow():
    features = np.repeat(np.eye(2), 5, axis=0)  # two directions, so two clusters
    margins = np.array([0.9, 0.3, 0.8, 0.6, 0.7, 0.2, 0.95, 0.5, 0.85, 0.75])
    probabilities = np.stack([1 + margins, 1 - margins], 1) / 2
    assert propose(features, probabilities, 4, seed=0).tolist() == [5, 1, 7, 3]
    assert propose(features, probabilities, 99, seed=0).tolist() == np.argsort(margins).tolist()


def _shares_far_off(world):
    """How far counts, and EM with two priors, are from the true mixture of 500 cells, 0..1.

    Eight overlapping classes, a layer of another laboratory, and a hundred labels of another mixture.
    """
    rng = np.random.default_rng(world)
    means = rng.normal(size=(8, 16)) * rng.uniform(0.45, 0.8)
    before = (rng.dirichlet(np.full(8, 3.0)) + 0.02) / 1.16
    old = Layer(means.T.copy(), np.log(before) - 0.5 * (means**2).sum(1))
    places = means + 0.3 * (world % 3) * (rng.normal(size=means.shape) + rng.normal(size=16))

    def cells(count):
        mixture = (rng.dirichlet(np.full(8, 2.0)) + 0.03) / 1.24
        labels = np.concatenate([np.arange(8), rng.choice(8, count - 8, p=mixture)])
        return places[labels] + rng.normal(size=(count, 16)), labels

    features, labels = cells(100)
    fitted = cross_fit(old, features, labels)
    temperature = fit_temperature(fitted.logits, labels).if_needed().value
    learnt = learnt_mixture(np.exp(soften(fitted.logits, temperature)), labels, before)
    others, truth = cells(500)
    probabilities = np.exp(soften(fitted.layer.logits(others), temperature))
    true = np.bincount(truth, minlength=8) / 500
    counted = np.bincount(probabilities.argmax(1), minlength=8) / 500
    of_labels = np.bincount(labels, minlength=8) / 100
    found = (counted, em_shares(probabilities, learnt), em_shares(probabilities, of_labels))
    return [total_variation(one, true) for one in found]


def test_the_mixture_learnt_from_labels_is_nearer_than_the_shares_of_the_labels():
    counted, corrected, by_shares_of_labels = np.mean([_shares_far_off(world) for world in range(30)], axis=0)
    assert by_shares_of_labels > corrected + 0.02
    assert corrected < counted + 0.02


def test_the_strength_is_chosen_by_whole_patients_too(monkeypatch):
    features, labels, old = _task(60)
    patients = np.repeat(np.arange(12), 5)
    asked = []
    record = lambda old, features, labels, *, groups, seed: asked.append((len(labels), groups)) or 1.0  # noqa: E731
    monkeypatch.setattr(last_layer, "choose_strength", record)
    fitted = cross_fit(old, features, labels, groups=patients, folds=3)
    expected = [patients[~fold] for fold in fitted.folds] + [patients]
    assert [count for count, _ in asked] == [len(of_whom) for of_whom in expected]
    for (_, given), of_whom in zip(asked, expected, strict=True):
        np.testing.assert_array_equal(given, of_whom)


def test_distances_are_to_the_images_of_other_folds():
    """Alike within a fold, at right angles to the others: within all of them every distance were 0."""
    features = np.repeat(np.eye(2), 12, axis=0)
    folds = [np.arange(24) < 12, np.arange(24) >= 12]
    np.testing.assert_allclose(distances_of_folds(features, folds), np.sqrt(2), rtol=1e-6)
