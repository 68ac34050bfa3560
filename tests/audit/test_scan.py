import dataclasses
import tracemalloc

import cv2
import numpy as np
import pytest

from asae_jax.audit.scan import content_digest, empty_facts, find_odd, scan
from asae_jax.input.hue import MIN_SATURATION
from tests.audit.tables import cells, table_of
from tests.screen import Screen


def measured(image):
    facts = empty_facts(1)
    facts.put(0, image)
    return facts


def flat(colour, height=20, width=30):
    return np.full((height, width, 3), colour, np.uint8)


def test_facts_of_one_colour_are_known():
    facts = measured(flat((200, 100, 200)))  # purple: hue 300 degrees
    assert facts.readable[0]
    assert facts.size[0].tolist() == [20, 30]
    np.testing.assert_allclose(facts.colour[0], [150, 127.5, 200], atol=0.51)
    assert facts.contrast[0] == 0
    assert not facts.grey[0]
    lab = cv2.cvtColor(flat((200, 100, 200)), cv2.COLOR_RGB2LAB)[0, 0]
    np.testing.assert_allclose(facts.border[0], [*lab, 0, 0, 0, *lab, *lab], atol=1e-6)


def test_hues_go_on_beyond_red_and_grey_has_none():
    assert measured(flat((220, 40, 40))).colour[0, 0] == pytest.approx(180, abs=0.1)
    assert measured(flat((220, 40, 70))).colour[0, 0] == pytest.approx(175, abs=0.6)
    assert measured(flat((220, 70, 40))).colour[0, 0] == pytest.approx(185, abs=0.6)
    grey = measured(flat((90, 90, 90)))
    assert np.isnan(grey.colour[0, 0])
    assert grey.grey[0]


def test_measures_of_a_cell_are_those_of_plain_formulas():
    """Pixel by pixel, without histograms or partial sorting."""
    image = cells(1)[0]
    facts = measured(image)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float64)
    stained = hsv[..., 0][hsv[..., 1] >= MIN_SATURATION]
    hue = np.rad2deg(np.angle(np.exp(1j * np.deg2rad(2 * stained)).mean())) / 2 % 180
    assert 60 <= facts.colour[0, 0] < 240
    np.testing.assert_allclose(
        facts.colour[0] % (180, 256, 256), [hue, *hsv[..., 1:].mean(axis=(0, 1))], rtol=1e-6
    )
    band = np.ones((64, 64), bool)
    band[2:-2, 2:-2] = False
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[band].astype(np.float64)
    expected = [
        *lab.mean(axis=0),
        *lab.std(axis=0),
        *np.percentile(lab, 10, axis=0),
        *np.percentile(lab, 90, axis=0),
    ]
    np.testing.assert_allclose(facts.border[0], expected, rtol=1e-6)


def test_only_the_border_is_in_the_border_features():
    inside, outside = flat((10, 20, 30), 64, 64), flat((10, 20, 30), 64, 64)
    inside[2:-2, 2:-2] = 255
    outside[:2] = 255
    blank = measured(flat((10, 20, 30), 64, 64)).border
    np.testing.assert_array_equal(measured(inside).border, blank)
    assert np.abs(measured(outside).border - blank).max() > 10


def test_the_digest_is_of_pixels_and_shape():
    image = cells(1)[0]
    assert (content_digest(image) == content_digest(image.copy())).all()
    assert (content_digest(image) == content_digest(np.asfortranarray(image))).all()
    changed = image.copy()
    changed[5, 5, 1] ^= 1
    assert (content_digest(image) != content_digest(changed)).any()
    assert (content_digest(flat(0, 20, 30)) != content_digest(flat(0, 30, 20))).any()


@pytest.mark.parametrize("workers", [1, 3])
def test_the_scan_measures_every_row_and_lists_what_cannot_be_read(workers):
    images = [*cells(9), None, *cells(3, seed=1), None]
    result = scan(table_of(images), workers=workers, progress=False)
    assert result.unreadable == (("0009.png", "empty file"), ("0013.png", "empty file"))
    assert np.flatnonzero(~result.facts.readable).tolist() == [9, 13]
    for row, image in enumerate(images):
        if image is not None:
            np.testing.assert_array_equal(result.facts.digest[row], content_digest(image))


def test_as_many_images_are_counted_as_there_are(monkeypatch):
    monkeypatch.setattr("sys.stderr", screen := Screen())
    scan(table_of(cells(19)), workers=2)
    assert "19 of 19 images" in screen.last()


def test_other_errors_are_not_hidden():
    table = dataclasses.replace(table_of(cells(2)), read=lambda row: 1 / row)
    with pytest.raises(ZeroDivisionError):
        scan(table, progress=False)


def test_facts_are_of_fixed_size():
    facts = empty_facts(1000)
    used = sum(getattr(facts, field.name).nbytes for field in dataclasses.fields(facts))
    assert used == 338_000


def test_memory_grows_by_the_facts_alone():
    """Images of 120 kB each: ten times as many must cost no more than their facts and names."""

    def peak(count):
        table = table_of([None] * count)
        table = dataclasses.replace(table, read=lambda row: np.full((200, 200, 3), row % 251, np.uint8))
        tracemalloc.start()
        scan(table, workers=2, progress=False)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(20)  # what is imported and made once
    few, many = peak(60), peak(600)
    assert few < 25 * 200 * 200 * 3 * 3  # some 18 images on their way, each with its working copies
    assert many - few < 540 * 338 + 300_000


def test_odd_images_are_named():
    grey = np.repeat(cells(1)[0][..., :1], 3, axis=2)
    images = [*cells(5), grey, cells(1)[0][:20, :20], np.full((64, 64, 3), 99, np.uint8), None,
              np.repeat(np.repeat(cells(1)[0], 4, 0), 4, 1)]  # fmt: skip
    odd = find_odd(scan(table_of(images), progress=False).facts)
    assert {kind: rows.tolist() for kind, rows in odd.items()} == {
        "tiny": [6], "huge": [9], "greyscale": [5], "blank": [7],
    }  # fmt: skip
    assert not any(len(rows) for rows in find_odd(empty_facts(3)).values())
