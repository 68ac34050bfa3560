import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import cross_val_predict

from asae_jax.audit.scan import scan
from asae_jax.audit.shortcut import MARGIN, border_shortcut
from asae_jax.input.border import BORDER_FEATURES
from tests.audit.tables import cells, table_of


def drawn(count, classes, shift, seed=0):
    """Features of which one differs between neighbouring classes by `shift` deviations."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    features = rng.normal(0, 1, (count, BORDER_FEATURES))
    features[:, 4] += shift * labels
    return features, labels


def names(count):
    return tuple(f"class{number}" for number in range(count))


def test_nothing_to_learn_gives_chance_and_no_warning():
    found = border_shortcut(*drawn(2000, 5, 0.0), names(5))
    assert found.chance == 0.2
    assert abs(found.balanced_accuracy - 0.2) < 4 * found.standard_error
    assert not found.warns
    assert found.threshold == pytest.approx(0.2 + MARGIN)


def test_a_planted_shortcut_is_found():
    found = border_shortcut(*drawn(2000, 5, 3.0), names(5))
    assert found.balanced_accuracy > 0.8
    assert found.warns
    assert set(found.recall) == set(names(5))


def test_it_is_near_to_scikit_learns():
    features, labels = drawn(1500, 4, 1.0)
    model = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.25] * 4)
    predicted = cross_val_predict(model, features, labels, cv=5)
    expected = np.mean([(predicted[labels == c] == c).mean() for c in range(4)])
    found = border_shortcut(features, labels, names(4))
    assert found.balanced_accuracy == pytest.approx(expected, abs=0.02)


def test_rare_classes_count_as_much_as_common_ones():
    features, labels = drawn(3000, 2, 1.0)
    kept = (labels == 0) | (np.arange(3000) % 30 == 0)
    found = border_shortcut(features[kept], labels[kept], names(2))
    assert min(found.recall.values()) > 0.5


def test_few_images_raise_the_threshold_and_very_few_are_left_out():
    features, labels = drawn(24, 2, 0.0)
    labels[:3] = 2
    found = border_shortcut(features, labels, names(4))
    assert found.threshold == pytest.approx(found.chance + 3 * found.standard_error)
    assert found.left_out == ("class2",)
    assert border_shortcut(features[:4], labels[:4], names(4)) is None


def test_constant_features_are_no_fault():
    features, labels = drawn(100, 2, 0.0)
    found = border_shortcut(np.ones_like(features), labels, names(2))
    assert 0 <= found.balanced_accuracy <= 1


@pytest.mark.parametrize("shortcut", [False, True])
def test_on_images(shortcut):
    """One class photographed on a slightly darker background, or not."""
    images = cells(80)
    labels = np.arange(80) % 2
    if shortcut:
        images = [
            np.where(label, image * 0.8, image).astype(np.uint8)
            for label, image in zip(labels, images, strict=True)
        ]
    facts = scan(table_of(images, labels), progress=False).facts
    assert border_shortcut(facts.border, labels, ("A", "B")).warns == shortcut
