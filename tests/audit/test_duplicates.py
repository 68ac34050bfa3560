import io

import cv2
import numpy as np
import pytest
from PIL import Image

from asae_jax.audit.duplicates import find_duplicates
from asae_jax.audit.scan import scan
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
