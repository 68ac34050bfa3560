"""Which images cannot be crops of stained cells."""

import cv2
import numpy as np
import pytest

from asae_jax.input.decode import read_image
from asae_jax.input.implausible_images import why_implausible
from asae_jax.shipped import data_folder

CELLS = sorted((data_folder() / "demo").rglob("*.jpg"))[::40]


def _grey(image):
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def test_real_cells_may_be_cells():
    assert len(CELLS) > 20
    assert {why_implausible(read_image(path)) for path in CELLS} == {""}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_grey, "without colour"),
        (lambda image: np.full_like(image, 250), "blank"),
        (lambda image: cv2.resize(image, (20, 20)), "a side under 24 pixels"),
        (lambda image: cv2.resize(image, (300, 90)), "a narrow strip"),
        (lambda image: cv2.resize(image, (180, 90)), ""),
    ],
)
def test_what_cannot_be_one_is_told(change, said):
    assert why_implausible(change(read_image(CELLS[0]))) == said
