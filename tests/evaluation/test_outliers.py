import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from scipy.special import log_softmax
from sklearn import covariance
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from asae_jax.evaluation import outliers


@pytest.fixture(scope="module")
def classes():
    """Three classes in ten channels, correlated; (features, labels)."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=240)
    centres, mixing = 4 * rng.normal(size=(3, 10)), rng.normal(size=(10, 10))
    return centres[labels] + rng.normal(size=(240, 10)) @ mixing, labels


@pytest.mark.parametrize("examples", [15, 240])
def test_the_covariance_is_scikit_learns_also_with_few_examples(classes, examples):
    centred = classes[0][:examples] - classes[0][:examples].mean(0)
    ours, shrinkage = outliers.ledoit_wolf(centred)
    theirs, expected = covariance.ledoit_wolf(centred, assume_centered=True)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    assert shrinkage == pytest.approx(expected)


def test_distances_are_mahalanobis_to_the_nearest_mean(classes):
    features, labels = classes
    gaussians = outliers.fit_class_gaussians(features, labels, 3)
    means = np.stack([features[labels == c].mean(0) for c in range(3)])
    inverse = np.linalg.inv(outliers.ledoit_wolf(features - means[labels])[0])
    new = np.random.default_rng(1).normal(size=(130, 10)) * 5
    expected = [min(mahalanobis(x, mean, inverse) for mean in means) for x in new]
    np.testing.assert_allclose(outliers.class_distances(gaussians, new), expected, rtol=1e-5)


def test_a_rescaled_channel_changes_nothing_when_examples_abound(classes):
    """Without shrinkage the distance does not depend on the unit of a channel."""
    features, labels = (np.tile(part, (50, 1) if part.ndim == 2 else 50) for part in classes)
    scaled = features * np.array([3.0] + [1.0] * 9)
    plain = outliers.class_distances(outliers.fit_class_gaussians(features, labels, 3), features[:20])
    other = outliers.class_distances(outliers.fit_class_gaussians(scaled, labels, 3), scaled[:20])
    np.testing.assert_allclose(plain, other, rtol=0.01)


def test_dead_channels_and_single_examples_stay_finite():
    features = np.array([[1.0, 0, 0], [3.0, 0, 0], [9.0, 0, 0]])
    gaussians = outliers.fit_class_gaussians(features, np.array([0, 0, 1]), 2)
    assert np.isfinite(outliers.class_distances(gaussians, features + np.array([0, 1, 0]))).all()
    lone = outliers.fit_class_gaussians(features[[0, 2]], np.array([0, 1]), 2)
    assert np.isfinite(outliers.class_distances(lone, features)).all()


def test_energy_is_minus_logsumexp_and_zero_for_log_probabilities():
    logits = np.array([[1000.0, 999.0], [-5.0, 3.0]])
    expected = [-1000 - np.log1p(np.exp(-1)), -3 - np.log1p(np.exp(-8))]
    np.testing.assert_allclose(outliers.energies(logits), expected)
    np.testing.assert_allclose(outliers.energies(log_softmax(logits, axis=1)), 0, atol=1e-12)


def test_one_image_of_energy_zero_among_logits_makes_them_no_log_probabilities():
    logits = np.array([[0.0, -1000.0, -1000.0], [8.0, 0.0, 0.0]])
    rule = outliers.Outliers("energy", 0.95, 0.0)
    np.testing.assert_allclose(rule.score(logits, None), [0, -8 - np.log1p(2 * np.exp(-8))], atol=1e-9)
    assert rule.score(log_softmax(logits, axis=1), None) is None


@pytest.mark.parametrize("method", outliers.METHODS)
def test_the_threshold_leaves_the_wanted_share_unflagged(classes, method):
    features, labels = classes
    reference = outliers.fit_reference(features[:140], labels[:140], 3, method=method)
    logits = features[140:, :3]
    rule = outliers.fit_outliers(logits, features[140:], reference, method=method, quantile=0.95)
    flagged = rule.score(logits, features[140:]) > rule.threshold
    assert flagged.sum() == 4  # of 100: the 96th of them is the first with at least 95 % at or below
    far = rule.score(np.full((1, 3), -60.0), -10 * features[140:].mean(0, keepdims=True))
    assert far[0] > rule.threshold


def test_without_features_there_is_no_distance(classes):
    for method in (name for name, one in outliers.METHODS.items() if one.reference):
        rule = outliers.Outliers(method, 0.9, 1.0, outliers.fit_reference(*classes, 3, method=method))
        assert rule.score(np.zeros((2, 3)), None) is None
        assert rule.score(np.zeros((0, 3)), np.zeros((0, 10))).shape == (0,)


def test_a_method_without_its_reference_is_refused():
    with pytest.raises(ValueError, match="reference"):
        outliers.fit_outliers(np.zeros((2, 3)), np.zeros((2, 4)), None, method="distance", quantile=0.9)


@pytest.mark.parametrize("examples", [4, 240])
def test_neighbours_are_scikit_learns(classes, examples):
    """Of directions; with fewer than ten training images the farthest counts."""
    known, new = classes[0][:examples], np.random.default_rng(2).normal(size=(300, 10))
    search = NearestNeighbors(n_neighbors=min(10, examples)).fit(normalize(known))
    expected = search.kneighbors(normalize(new))[0][:, -1]
    found = outliers.neighbour_distances(outliers.fit_neighbours(known), new)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_length_of_features_does_not_matter_and_zero_features_are_no_mistake(classes):
    fitted = outliers.fit_neighbours(classes[0])
    plain, longer = (outliers.neighbour_distances(fitted, scale * classes[0][:5]) for scale in (1, 7))
    np.testing.assert_allclose(plain, longer, atol=1e-5)
    np.testing.assert_allclose(outliers.neighbour_distances(fitted, np.zeros((1, 10))), np.sqrt(2))
