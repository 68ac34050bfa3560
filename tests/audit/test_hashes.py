import cv2
import numpy as np

from asae_jax.audit import candidates, hashes
from asae_jax.audit.candidates import MIN_CORRELATION, SURE_DISTANCE, best_correlation, similar_pairs
from asae_jax.audit.facts import grey_square
from tests.audit.tables import cells


def smooth(count, seed=0):
    """Different smooth thumbnails, uint8 `[count, 16, 16]`."""
    noise = np.random.default_rng(seed).uniform(0, 255, (count, 16, 16)).astype(np.float32)
    blurred = np.stack([cv2.GaussianBlur(image, (0, 0), 1.5) for image in noise])
    return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def distance(first, second):
    return np.bitwise_count(first ^ second)


def test_the_eight_symmetries_are_all_there_and_different():
    square = np.arange(16).reshape(4, 4)
    views = {view.tobytes() for view in map(np.ascontiguousarray, hashes.symmetries(square))}
    expected = {np.ascontiguousarray(np.rot90(v, k)).tobytes() for v in (square, square.T) for k in range(4)}
    assert views == expected
    assert len(views) == hashes.SYMMETRIES
    np.testing.assert_array_equal(hashes.symmetries(square)[0], square)


def test_coefficients_are_those_of_opencv():
    image = smooth(1)[0]
    expected = cv2.dct(image.astype(np.float64))[:8, :8]
    np.testing.assert_allclose(hashes._coefficients(image[None])[0], expected, atol=1e-9)


def test_turned_coefficients_are_those_of_the_turned_image():
    images = smooth(5)
    derived = hashes.symmetries_of_coefficients(hashes._coefficients(images))
    for number, view in enumerate(hashes.symmetries(images)):
        np.testing.assert_allclose(derived[number], hashes._coefficients(view), atol=1e-9)


def test_hashes_of_turned_images_are_among_the_hashes_of_the_image():
    images = smooth(40)
    for view in hashes.symmetries(images):
        both = hashes.perceptual_hashes(np.concatenate([images, view]))
        assert (distance(both[:, :40], both[0, 40:]).min(axis=0) <= 1).all()


def test_bits_are_balanced_although_all_cells_are_dark_in_the_middle():
    thumbnails = np.stack([grey_square(image, 16) for image in cells(150)])
    bits = hashes.perceptual_hashes(thumbnails)[0][:, None] >> np.arange(hashes.BITS, dtype=np.uint64) & 1
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.3


def test_every_pair_within_the_sure_distance_is_found():
    """Against all pairs: the tables of block pairs may not miss one, whichever bits differ."""
    base = smooth(60)
    noisy = np.clip(base + np.random.default_rng(1).normal(0, 4, base.shape), 0, 255).astype(np.uint8)
    turned = np.stack([np.rot90(image, k % 4) for k, image in enumerate(noisy)])
    images = np.concatenate([base, turned])
    pairs, correlation = similar_pairs(images)
    found = set(map(tuple, pairs.tolist()))
    all_hashes = hashes.perceptual_hashes(images)
    nearest = distance(all_hashes[:, :, None], all_hashes[0][None, None]).min(axis=0)
    for i, j in np.argwhere(np.triu(nearest <= SURE_DISTANCE, 1)).tolist():
        if best_correlation(images[i : i + 1], images[j : j + 1])[0] >= MIN_CORRELATION + 1e-6:
            assert (i, j) in found
    assert found <= {(i, i + 60) for i in range(60)}
    assert len(found) > 55
    assert (np.diff(correlation) <= 0).all()
    assert correlation.min() >= MIN_CORRELATION


def test_a_crowd_of_the_same_image_is_chained_together_without_all_its_pairs(monkeypatch):
    monkeypatch.setattr(candidates, "_MAX_BUCKET", 8)
    crowd = np.repeat(smooth(1), 100, axis=0)
    pairs, _ = similar_pairs(crowd)
    assert len(pairs) < 100 * 10
    assert set(pairs.ravel().tolist()) == set(range(100))


def test_no_images_and_one_image():
    for count in (0, 1):
        pairs, correlation = similar_pairs(smooth(3)[:count])
        assert pairs.shape == (0, 2)
        assert correlation.shape == (0,)


def test_best_correlation_is_numpys():
    first, second = smooth(6, seed=3), smooth(6, seed=4)
    expected = [
        max(np.corrcoef(a.ravel(), view.ravel())[0, 1] for view in hashes.symmetries(b))
        for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(best_correlation(first, second), expected, atol=1e-5)
