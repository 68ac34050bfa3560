import numpy as np
import pytest
from PIL import Image

from asae_jax.errors import UserError
from asae_jax.input.sources import load_table


def test_folder(tmp_path):
    (tmp_path / "a").mkdir()
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "a" / "1.png")
    assert load_table("folder", path=str(tmp_path)).names.tolist() == ["a/1.png"]


def test_synthetic():
    table = load_table("synthetic", num_examples=30, seed=1, size=32)
    assert len(table) == 30
    assert table.source == "synthetic"
    assert table.read(29).shape == (32, 32, 3)


@pytest.mark.parametrize("path", [None, ""])
def test_a_folder_needs_a_path(path):
    with pytest.raises(UserError, match=r"--config\.data\.path=DIR"):
        load_table("folder", path=path)


def test_unknown_sources_are_named_beside_the_known():
    with pytest.raises(UserError, match=r"unknown data source 'csv'.*folder, synthetic"):
        load_table("csv")
