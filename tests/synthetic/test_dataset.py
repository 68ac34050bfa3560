"""The built-in data set: purity, counts, slides, and the morphology that its classes promise."""

import hashlib
import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from asae_jax.synthetic import (
    CLASS_COUNTS,
    CLASS_NAMES,
    FULL_SIZE,
    cell_masks,
    describe,
    labels,
    render,
    slides,
)
from asae_jax.synthetic.classes import LINEAGES, PLACE, TYPICAL

LABELS = labels(FULL_SIZE)


def indices_of(class_name: str, count: int) -> np.ndarray:
    return np.flatnonzero(CLASS_NAMES.index(class_name) == LABELS)[:count]


def digest(*indices: int) -> str:
    return hashlib.sha256(b"".join(render(7, index, size=48).tobytes() for index in indices)).hexdigest()


def test_images_are_uint8_rgb_of_the_asked_size():
    for size in (8, 33, 64, 224):
        image = render(0, 5, size=size)
        assert image.shape == (size, size, 3)
        assert image.dtype == np.uint8
        assert image.std() > 5  # something is on it


def test_an_image_depends_on_seed_and_index_alone():
    alone = render(3, 11, size=64)
    for other in (4, 900, 2):
        assert not np.array_equal(alone, render(3, other, size=64))
    np.testing.assert_array_equal(alone, render(3, 11, size=64))
    assert not np.array_equal(alone, render(4, 11, size=64))


def test_a_fresh_process_and_threads_draw_the_same_bytes():
    code = (
        "import hashlib; from asae_jax.synthetic import render;"
        "late = render(7, 40, size=48).tobytes(); early = render(7, 3, size=48).tobytes();"
        "print(hashlib.sha256(early + late).hexdigest())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == digest(3, 40)
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(digest, range(20)))
    assert threaded == [digest(index) for index in range(20)]


def test_every_size_shows_the_same_cell():
    correlations = []
    for index in range(40):
        small = render(0, index, size=64).astype(float)
        shrunk = cv2.resize(render(0, index, size=128), (64, 64), interpolation=cv2.INTER_AREA)
        correlations.append(np.corrcoef(small.ravel(), shrunk.ravel())[0, 1])
    assert min(correlations) > 0.95
    other = render(0, 1, size=64).ravel()
    assert np.corrcoef(render(0, 0, size=64).ravel(), other)[0, 1] < 0.9


def test_full_set_has_the_papers_size_and_the_documented_counts():
    assert FULL_SIZE == len(LABELS) == 15_252
    counts = np.bincount(LABELS, minlength=14)
    assert dict(zip(CLASS_NAMES, counts.tolist(), strict=True)) == CLASS_COUNTS
    assert counts.max() > 12 * counts.min()
    assert CLASS_NAMES[counts.argmin()] == "MONO"


@pytest.mark.parametrize("num_examples", [14, 70, 500, 3000])
def test_smaller_sets_are_beginnings_of_the_full_one_with_every_class(num_examples):
    np.testing.assert_array_equal(labels(num_examples), LABELS[:num_examples])
    counts = np.bincount(labels(num_examples), minlength=14)
    assert counts.min() >= min(5, num_examples // 14)
    shares = np.array([CLASS_COUNTS[name] for name in CLASS_NAMES]) / FULL_SIZE
    assert np.all(np.abs(counts - shares * num_examples) <= 6)


def test_descriptions_agree_with_labels_and_slides():
    assert labels(200).dtype == np.int32
    description = describe(5, 123)
    assert slides(5, 200)[123] == description.slide
    assert CLASS_NAMES[labels(200)[123]] == description.class_name


def test_slides_are_shared_among_classes():
    slide_of = slides(0, 4000)
    sizes = np.unique(slide_of, return_counts=True)[1]
    assert len(sizes) == 48
    assert sizes.min() > 0.6 * sizes.mean()
    for slide in np.unique(slide_of):
        assert len(set(labels(4000)[slide_of == slide])) >= 9


def test_slide_and_class_are_independent():
    groups = np.unique(slides(0, FULL_SIZE), return_inverse=True)[1]
    counts = np.zeros((14, 48))
    np.add.at(counts, (LABELS, groups), 1)
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
    ratio = np.sum((counts - expected) ** 2 / expected, axis=1) / 47  # chi-square over its mean, per class
    assert np.all(ratio < 1.8)  # 1 +- 0.2 for independent ones


def test_slides_differ_in_colour_more_than_images_of_one_slide():
    slide_of = slides(0, 480)
    chroma = []
    for index in range(480):
        background = np.percentile(render(0, index, size=16).reshape(-1, 3), 90, axis=0)
        chroma.append(np.log(background[2] / background[0]))
    chroma = np.array(chroma)
    within = np.mean([chroma[slide_of == slide].std() for slide in np.unique(slide_of)])
    between = np.std([chroma[slide_of == slide].mean() for slide in np.unique(slide_of)])
    assert between > within


def measured_nuclear_fraction(class_name: str) -> float:
    fractions = []
    for index in indices_of(class_name, 40):
        cell, nucleus = cell_masks(0, int(index), size=96)
        assert not np.any(nucleus & ~cell)
        fractions.append(nucleus.sum() / cell.sum())
    return float(np.mean(fractions))


@pytest.fixture(scope="module")
def fractions():
    return {name: measured_nuclear_fraction(name) for name in CLASS_NAMES}


@pytest.mark.parametrize("chain", ["OTHN POLN ORTN", "PRIL MATL PLAS", "MYEB PROM MYEL METM STAG SEGG"])
def test_nuclear_share_falls_along_each_lineage(fractions, chain):
    shares = [fractions[name] for name in chain.split()]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("class_name", CLASS_NAMES)
def test_masks_have_the_nuclear_share_that_describe_tells(fractions, class_name):
    drawn = [describe(0, int(index)).nuclear_fraction for index in indices_of(class_name, 40)]
    assert fractions[class_name] == pytest.approx(np.mean(drawn), rel=0.15)


def solidity(class_name: str) -> float:
    """Mean of area / area of the convex hull of the nucleus: 1 for an oval, less the more it is cut into."""
    values = []
    for index in indices_of(class_name, 40):
        _, nucleus = cell_masks(0, int(index), size=128)
        points = np.argwhere(nucleus).astype(np.int32)
        values.append(len(points) / cv2.contourArea(cv2.convexHull(points)))
    return float(np.mean(values))


def test_nucleus_goes_from_round_over_kidney_to_band_and_lobes():
    myeb, myel, metm, stag = (solidity(name) for name in ("MYEB", "MYEL", "METM", "STAG"))
    assert myeb > myel - 0.02 > metm > stag
    assert solidity("SEGG") < metm
    lobes = [describe(0, int(index)).lobes for index in indices_of("SEGG", 200)]
    assert np.mean(np.isin(lobes, [2, 3, 4, 5])) > 0.9
    assert 2.5 < np.mean(lobes) < 4
    assert all(describe(0, int(index)).lobes == 1 for index in indices_of("MYEL", 50))


def test_neighbours_in_maturity_overlap_and_others_do_not():
    for chain in LINEAGES.values():
        if chain == LINEAGES["monocytic"]:
            continue  # the blasts of this chain are drawn in the myeloid one
        places = {name: maturities(name) for name in chain}
        for place, (young, old) in enumerate(itertools.pairwise(chain)):
            crossed = np.mean(places[young] > place + 0.5) + np.mean(places[old] < place + 0.5)
            assert 0.04 < crossed / 2 < 0.12
        for young, old in zip(chain, chain[2:], strict=False):
            assert np.mean(places[young]) + 1.5 < np.mean(places[old])
            assert np.quantile(places[young], 0.95) < np.quantile(places[old], 0.05)


def maturities(class_name: str) -> np.ndarray:
    descriptions = [describe(0, int(index)) for index in indices_of(class_name, 250)]
    assert {d.lineage for d in descriptions} == {PLACE[class_name][0]}
    return np.array([d.maturity for d in descriptions])


def test_immature_cells_have_nucleoli_and_mature_ones_none():
    nucleoli = {
        name: np.mean([describe(0, int(index)).nucleoli for index in indices_of(name, 80)])
        for name in ("MYEB", "PRIL", "PROM", "SEGG", "ORTN")
    }
    assert nucleoli["MYEB"] > 2
    assert nucleoli["PRIL"] > 0.7
    assert nucleoli["PROM"] > 0.7
    assert nucleoli["SEGG"] == nucleoli["ORTN"] == 0


def cytoplasm(class_name: str) -> np.ndarray:
    """Median colour of the cytoplasm over the background's, averaged over cells and so over slides."""
    colours = []
    for index in indices_of(class_name, 40):
        cell, nucleus = cell_masks(0, int(index), size=64)
        image = render(0, int(index), size=64).astype(float)
        background = np.percentile(image.reshape(-1, 3), 95, axis=0)
        colours.append(np.median(image[cell & ~nucleus], axis=0) / background)
    return np.mean(colours, axis=0)


def test_cytoplasm_is_blue_where_there_is_rna_and_pink_or_orange_where_there_is_none():
    redness = {
        name: cytoplasm(name) @ [1, 0, -1] for name in ("PLAS", "OTHN", "POLN", "ORTN", "SEGG", "OTHG")
    }
    assert redness["OTHN"] < redness["POLN"] < redness["ORTN"]
    assert redness["PLAS"] < -0.15
    assert redness["SEGG"] > -0.15
    assert redness["OTHG"] > redness["SEGG"]


def test_mean_colour_does_not_separate_the_classes():
    colours = np.array([render(0, index, size=8).reshape(-1, 3).mean(axis=0) for index in range(1000)])
    first, second = slice(0, 700), slice(700, None)
    centres = np.array([colours[first][LABELS[:1000][first] == label].mean(axis=0) for label in range(14)])
    distances = np.linalg.norm(colours[second][:, None] - centres[None], axis=-1)
    assert np.mean(distances.argmin(axis=1) == LABELS[:1000][second]) < 0.2


def test_every_class_has_a_number_of_images_and_a_place():
    assert set(PLACE) == set(CLASS_COUNTS) == set(CLASS_NAMES)
    assert set(TYPICAL) == set(CLASS_NAMES) - {"OTHG"}
