import io

import cv2
import numpy as np
import pytest
from PIL import Image

from asae_jax.audit import duplicates as audit_duplicates
from asae_jax.audit.duplicates import (
    BITS,
    MIN_CORRELATION,
    SYMMETRIES,
    best_correlation,
    find_duplicates,
    low_frequencies,
    perceptual_hashes,
    similar_pairs,
    symmetries,
    symmetries_of_coefficients,
)
from asae_jax.audit.scan import scan
from asae_jax.input.implausible_images import grey_square
from tests.audit.tables import all_train, cells, table_of


def encoded(image, quality):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def resized(image, side):
    return cv2.resize(
        image, (side, side), interpolation=cv2.INTER_AREA if side < len(image) else cv2.INTER_CUBIC
    )


def brighter(image):
    return np.clip(image * 0.9 + 20, 0, 255).astype(np.uint8)


VERSIONS = {
    "turned": lambda image: np.rot90(image),
    "upside down": lambda image: np.rot90(image, 2),
    "mirrored": lambda image: image[:, ::-1],
    "transposed": lambda image: image.transpose(1, 0, 2),
    "re-encoded": lambda image: encoded(image, 60),
    "smaller": lambda image: resized(image, 48),
    "larger": lambda image: resized(image, 100),
    "brighter": brighter,
    "grey": lambda image: np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2),
    "mirrored, turned, smaller, re-encoded": lambda image: encoded(
        resized(np.rot90(image[::-1]).copy(), 50), 75
    ),
}


def duplicates(images, labels=None, splits=None):
    table = table_of([np.ascontiguousarray(image) if image is not None else None for image in images], labels)
    facts = scan(table, workers=2, progress=False).facts
    return find_duplicates(table, facts, all_train(table) if splits is None else np.array(splits), workers=2)


def test_copies_are_found_once_per_image():
    images = cells(12)
    groups = duplicates([*images, images[3], images[3], images[7]])
    assert sorted(group.rows.tolist() for group in groups) == [[3, 12, 13], [7, 14]]
    assert all(group.exact and group.similarity == 1 for group in groups)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_of_an_image_is_found(version):
    images = cells(14)
    groups = duplicates([*images, *(VERSIONS[version](image) for image in images)])
    assert sorted(group.rows.tolist() for group in groups) == [[row, row + 14] for row in range(14)]
    assert not any(group.exact for group in groups)
    assert all(0.95 <= group.similarity <= 1.0001 for group in groups)


def test_all_versions_of_an_image_are_one_group():
    images = cells(10)
    groups = duplicates([*images, images[4], *(make(images[4]) for make in VERSIONS.values())])
    assert [group.rows.tolist() for group in groups] == [[4, *range(10, 11 + len(VERSIONS))]]
    assert not groups[0].exact


def test_different_cells_are_not_taken_for_the_same():
    """600 cells are 179,700 pairs in eight orientations each: not one may be called the same."""
    assert duplicates(cells(600)) == []


def test_the_worst_come_first():
    images = cells(8)
    order = [*images, *images[:5]]
    labels = [0] * 8 + [0, 1, 0, 1, 0]
    splits = ["train"] * 8 + ["train", "train", "test", "validation", "train"]
    groups = duplicates(order, labels, splits)
    firsts = [int(group.rows[0]) for group in groups]
    assert firsts[:3] == [3, 2, 1]
    assert set(firsts[3:]) == {0, 4}
    flags = [(group.across_split, group.labels_differ) for group in groups]
    assert flags == [(True, True), (True, False), (False, True), (False, False), (False, False)]


def test_blank_images_are_no_versions_of_each_other():
    blank = [np.full((64, 64, 3), level, np.uint8) for level in (100, 150, 200)]
    assert duplicates([*cells(3), *blank]) == []
    assert [g.rows.tolist() for g in duplicates([*blank, blank[1].copy()])] == [[1, 3]]


def test_unreadable_images_take_no_part():
    images = cells(4)
    groups = duplicates([None, *images, None, images[0]])
    assert [group.rows.tolist() for group in groups] == [[1, 6]]
    assert duplicates([None, None]) == []


def test_similar_at_first_sight_is_looked_at_again():
    """The same at 16 x 16 pixels, another image at 64 x 64."""
    image = resized(cells(1)[0], 128)
    checks = np.indices((128, 128)).sum(axis=0) // 2 % 2 * 120 - 60
    other = np.clip(image.astype(int) * 0.4 + 75 + checks[..., None], 0, 255).astype(np.uint8)
    plain = np.clip(image.astype(int) * 0.4 + 75, 0, 255).astype(np.uint8)
    assert duplicates([plain, other, *cells(6, seed=5)]) == []
    assert len(duplicates([plain, brighter(plain), *cells(6, seed=5)])) == 1


@pytest.mark.parametrize(("strength", "same"), [(12, True), (40, False)])
def test_the_images_themselves_decide(strength, same):
    """Stripes that no thumbnail shows: alike by 0.97 they are the same image, by 0.8 another one."""
    image = resized(cells(1)[0], 128)
    checks = (np.indices((128, 128)).sum(axis=0) // 2 % 2 * 2 - 1) * strength
    plain = np.clip(image.astype(int) * 0.4 + 75, 0, 255).astype(np.uint8)
    other = np.clip(plain.astype(int) + checks[..., None], 0, 255).astype(np.uint8)
    seen, measured = (
        float(best_correlation(*(grey_square(one, side)[None] for one in (plain, other)))[0])
        for side in (16, 64)
    )
    assert seen > 0.995
    assert (0.95 < measured < 0.98) if same else (0.7 < measured < 0.95)
    groups = duplicates([plain, other, *cells(6, seed=5)])
    assert [group.rows.tolist() for group in groups] == [[0, 1]] * same
    assert [group.similarity for group in groups] == [pytest.approx(measured, abs=1e-6)] * same


def smooth(count, seed=0):
    """Different smooth thumbnails, uint8 `[count, 16, 16]`."""
    noise = np.random.default_rng(seed).uniform(0, 255, (count, 16, 16)).astype(np.float32)
    blurred = np.stack([cv2.GaussianBlur(image, (0, 0), 1.5) for image in noise])
    return cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def distance(first, second):
    return np.bitwise_count(first ^ second)


def test_the_eight_symmetries_are_all_there_and_different():
    square = np.arange(16).reshape(4, 4)
    views = {view.tobytes() for view in map(np.ascontiguousarray, symmetries(square))}
    expected = {np.ascontiguousarray(np.rot90(v, k)).tobytes() for v in (square, square.T) for k in range(4)}
    assert views == expected
    assert len(views) == SYMMETRIES
    np.testing.assert_array_equal(symmetries(square)[0], square)


def test_coefficients_are_those_of_opencv():
    image = smooth(1)[0]
    expected = cv2.dct(image.astype(np.float64))[:8, :8]
    np.testing.assert_allclose(low_frequencies(image[None])[0], expected, atol=1e-9)


def test_turned_coefficients_are_those_of_the_turned_image():
    images = smooth(5)
    derived = symmetries_of_coefficients(low_frequencies(images))
    for number, view in enumerate(symmetries(images)):
        np.testing.assert_allclose(derived[number], low_frequencies(view), atol=1e-9)


def test_hashes_of_turned_images_are_among_the_hashes_of_the_image():
    images = smooth(40)
    for view in symmetries(images):
        both = perceptual_hashes(np.concatenate([images, view]))
        assert (distance(both[:, :40], both[0, 40:]).min(axis=0) <= 1).all()


def test_bits_are_balanced_although_all_cells_are_dark_in_the_middle():
    thumbnails = np.stack([grey_square(image, 16) for image in cells(150)])
    bits = perceptual_hashes(thumbnails)[0][:, None] >> np.arange(BITS, dtype=np.uint64) & 1
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.3


def test_every_pair_of_hashes_within_five_bits_is_found():
    """Against all pairs: the tables of block pairs may not miss one, whichever bits differ."""
    base = smooth(60)
    noisy = np.clip(base + np.random.default_rng(1).normal(0, 4, base.shape), 0, 255).astype(np.uint8)
    turned = np.stack([np.rot90(image, k % 4) for k, image in enumerate(noisy)])
    images = np.concatenate([base, turned])
    pairs, correlation = similar_pairs(images)
    found = set(map(tuple, pairs.tolist()))
    all_hashes = perceptual_hashes(images)
    nearest = distance(all_hashes[:, :, None], all_hashes[0][None, None]).min(axis=0)
    for i, j in np.argwhere(np.triu(nearest <= 5, 1)).tolist():
        if best_correlation(images[i : i + 1], images[j : j + 1])[0] >= MIN_CORRELATION + 1e-6:
            assert (i, j) in found
    assert found <= {(i, i + 60) for i in range(60)}
    assert len(found) > 55
    assert (np.diff(correlation) <= 0).all()
    assert correlation.min() >= MIN_CORRELATION


def test_a_crowd_of_the_same_image_is_chained_together_without_all_its_pairs(monkeypatch):
    monkeypatch.setattr(audit_duplicates, "MAX_BUCKET", 8)
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
        max(np.corrcoef(a.ravel(), view.ravel())[0, 1] for view in symmetries(b))
        for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(best_correlation(first, second), expected, atol=1e-5)
