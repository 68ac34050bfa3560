"""The map: principal components equal to scikit-learn's, and what is said of them."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from asae_jax.errors import UserError
from asae_jax.inference.embed import projection
from asae_jax.inference.embed.projection import pca, project, require_library


def _features(count, channels, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, channels)) * np.geomspace(3, 0.1, channels)).astype(np.float32) + 5


@pytest.mark.parametrize("shape", [(40, 12), (12, 40)])
def test_equals_scikit_learn_but_for_the_signs(shape):
    features = _features(*shape)
    found, oracle = pca(features), PCA(2).fit(features.astype(np.float64))
    signs = np.sign([row[np.abs(row).argmax()] for row in oracle.components_])
    np.testing.assert_allclose(found.places, oracle.transform(features) * signs, atol=1e-4)
    np.testing.assert_allclose(found.explained, oracle.explained_variance_ratio_, rtol=1e-6)


def test_signs_do_not_depend_on_the_order_of_images():
    features, order = _features(30, 8), np.random.default_rng(1).permutation(30)
    np.testing.assert_allclose(pca(features).places[order], pca(features[order]).places, atol=1e-5)


@pytest.mark.parametrize(
    ("features", "explained"),
    [
        (np.ones((3, 4)), (0, 0)),
        (np.ones((1, 4)), (0, 0)),
        (np.array([[1.0], [2.0], [4.0]]), (1, 0)),
        (np.outer([1.0, 2.0, 5.0], [1.0, 1.0, 0.0]), (1, 0)),
    ],
)
def test_features_of_fewer_than_two_dimensions_have_places_too(features, explained):
    found = pca(features)
    assert found.places.shape == (len(features), 2)
    np.testing.assert_allclose(found.explained, explained, atol=1e-12)
    np.testing.assert_allclose(found.places[:, 1], 0, atol=1e-6)


@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
@pytest.mark.parametrize("noise", [0, 1e-7])
def test_features_that_are_the_same_but_for_rounding_lie_in_one_place(method, noise):
    """t-SNE made a map of the noise, or ended the process where there was none."""
    base = np.random.default_rng(0).uniform(0, 3, 16)
    rounding = noise * base * np.random.default_rng(1).uniform(-1, 1, (12, 16))
    found = project((base + rounding).astype(np.float32), method, seed=0)
    assert found.method == "pca"
    assert np.array_equal(found.places, np.zeros((12, 2)))
    assert "all lie in one place" in found.sentence()


def test_features_that_differ_by_little_have_a_map():
    rng = np.random.default_rng(0)
    found = pca((5 + rng.normal(0, 1e-4, (40, 2)) * [2, 1]).astype(np.float32))
    assert sum(found.explained) == pytest.approx(1)
    assert found.explained[0] > found.explained[1] > 0
    assert np.ptp(found.places, axis=0).min() > 1e-4


def test_shares_of_variance_are_named():
    corners = np.array([[3.0, 1.0], [3.0, -1.0], [-3.0, 1.0], [-3.0, -1.0]])
    assert "first explains 90.0 % of the variance, the second 10.0 %" in pca(corners).sentence()


def test_clusters_stay_together_under_t_sne():
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(centre, 0.1, (15, 6)) for centre in (0, 10)])
    found = project(features, "tsne", seed=0)
    first, second = found.places[:15], found.places[15:]
    within = max(np.ptp(first, axis=0).max(), np.ptp(second, axis=0).max())
    assert np.linalg.norm(first.mean(0) - second.mean(0)) > within
    assert found.explained is None
    assert "no share of variance" in found.sentence()


def test_a_missing_library_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr(projection.importlib.util, "find_spec", lambda name: None)
    require_library("pca")
    for method, package in (("umap", "umap-learn"), ("tsne", "scikit-learn")):
        with pytest.raises(UserError, match=f"pip install {package}"):
            require_library(method)


@pytest.mark.parametrize("count", [2, 30])
def test_an_unknown_projection_is_refused(count):
    with pytest.raises(ValueError, match="unknown projection 'pacmap'; known: pca, tsne, umap"):
        project(_features(count, 8), "pacmap", seed=0)
