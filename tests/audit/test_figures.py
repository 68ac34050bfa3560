import dataclasses

import numpy as np
import pytest
from PIL import Image

from asae_jax.audit import figures
from asae_jax.audit import samples as audit_samples
from asae_jax.audit.figures import montage
from asae_jax.audit.page import example_uri
from asae_jax.audit.samples import TILE, choose_samples
from asae_jax.input.preparation import Preparation
from asae_jax.input.sources import synthetic_index
from tests.audit.tables import cells, table_of


def draw_figures(table, readable, counts, preparation, folder):
    samples = choose_samples(table, readable, preparation, range(table.num_classes))
    return figures.draw_figures(samples, counts, folder)


def test_a_montage_lays_images_out_on_white():
    images = [np.full((6, 6, 3), level, np.uint8) for level in (10, 20, 30)]
    sheet = montage([images[:2], images[2:]], gap=2)
    assert sheet.shape == (14, 14, 3)
    assert (sheet[:6, :6] == 10).all()
    assert (sheet[:6, 8:] == 20).all()
    assert (sheet[8:, :6] == 30).all()
    assert (sheet[8:, 8:] == 255).all()
    assert (sheet[6:8] == 255).all()


@pytest.mark.parametrize(
    ("options", "caption"),
    [
        ({}, "hue adjustment (paper, 125 to 155)"),
        ({"hue": "robust", "hue_low": 130}, "hue adjustment (robust, 130 to 155)"),
        ({"hue": "none"}, "which is switched off here"),
        ({"hue": "none", "stain": "macenko"}, "stain normalisation (macenko)"),
    ],
)
def test_the_colour_figure_says_what_it_shows(tmp_path, options, caption):
    table = table_of(cells(4), [0, 0, 1, 1])
    captions = draw_figures(table, np.ones(4, bool), {"A": 2, "B": 2}, Preparation(32, **options), tmp_path)
    assert list(captions) == ["fig1_classes.png", "fig4_distribution.png", "fig5_colour.png"]
    assert caption in captions["fig5_colour.png"]
    assert not any("Fig." in text for text in captions.values())


def test_one_column_a_class_and_one_row_before_and_after(tmp_path):
    table = synthetic_index(num_examples=42, size=32, seed=0)
    draw_figures(table, np.ones(42, bool), dict.fromkeys(table.class_names, 3), Preparation(32), tmp_path)
    with Image.open(tmp_path / "fig1_classes.png") as grid:
        assert 14 * TILE < grid.width < 16 * TILE
        assert 4 * TILE < grid.height < 5 * TILE
    with Image.open(tmp_path / "fig5_colour.png") as pair:
        assert 2 * TILE < pair.height < 3 * TILE


def test_the_grid_shows_the_pixels_of_the_images(tmp_path):
    """Not resampled by the plotting: the colour of a known image is there, as many pixels as it has."""
    image = np.full((40, 40, 3), (12, 200, 99), np.uint8)
    draw_figures(table_of([image, *cells(3)], [0, 1, 1, 1]), np.ones(4, bool), {"A": 1, "B": 3},
                 Preparation(32), tmp_path)  # fmt: skip
    with Image.open(tmp_path / "fig1_classes.png") as grid:
        pixels = np.asarray(grid.convert("RGB")).reshape(-1, 3)
    assert abs((pixels == (12, 200, 99)).all(axis=1).sum() - TILE * TILE) < 3 * TILE


def test_samples_are_images_of_their_class():
    colours = [(200, 30, 30), (30, 200, 30)]
    images = [np.full((40, 40, 3), colours[number % 2], np.uint8) for number in range(12)]
    samples = choose_samples(table_of(images, [0, 1] * 6), np.arange(12) > 1, Preparation(32), (1, 0))
    colours.reverse()
    assert samples.class_names == ("B", "A")
    assert [len(chosen) for chosen in samples.of_class] == [4, 4]
    for colour, chosen in zip(colours, samples.of_class, strict=True):
        assert all((image == colour).all() for image in chosen)
    assert [(before == colour).all() for colour, (before, _) in zip(colours, samples.pairs, strict=True)] == [
        True, True]  # fmt: skip
    assert all(image.shape == (TILE, TILE, 3) for pair in samples.pairs for image in pair)


def test_of_very_many_classes_the_largest_are_shown(monkeypatch):
    """A picture of a thousand columns takes gigabytes; the tables have all classes."""
    labels = [0] * 2 + [1] + [2] * 4 + [3] * 3
    table = dataclasses.replace(
        table_of(cells(10)), class_names=("A", "B", "C", "D"), labels=np.array(labels)
    )
    monkeypatch.setattr(audit_samples, "SHOWN_CLASSES", 2)
    samples = choose_samples(table, np.ones(10, bool), Preparation(32), (3, 0, 2, 1))
    assert samples.class_names == ("D", "C")
    assert samples.choice == "The 2 largest of 4 classes."
    monkeypatch.undo()
    assert not choose_samples(table, np.ones(10, bool), Preparation(32), (3, 0, 2, 1)).choice


def test_images_that_vanish_and_long_names_do_not_stop_the_figures(tmp_path):
    table = table_of([None, *cells(3)], [0, 1, 1, 1])
    counts = {"a class with quite a long name": 1, "B": 3}
    assert len(draw_figures(table, np.ones(4, bool), counts, Preparation(32), tmp_path)) == 3
    assert example_uri(table, 0) == ""
    assert example_uri(table, 1).startswith("data:image/jpeg;base64,")


@pytest.mark.filterwarnings("ignore:no installed font")
def test_class_names_of_every_kind_are_drawn(tmp_path):
    names = [r"$\frac{$", b"bl\xe4tt".decode("utf-8", "surrogateescape"), "淋巴细胞", "sehr lang " * 25]
    table = dataclasses.replace(
        table_of(cells(8), [0, 1] * 4), class_names=tuple(names), labels=np.arange(8) % 4
    )
    draw_figures(table, np.ones(8, bool), dict.fromkeys(names, 2), Preparation(32), tmp_path)
    for name in ("fig1_classes.png", "fig4_distribution.png"):
        with Image.open(tmp_path / name) as picture:
            assert max(picture.size) < 1000
