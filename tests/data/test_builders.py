"""What holds for every builder."""

import subprocess
import sys
from pathlib import Path

import pytest

from data import BUILDERS, builder_class

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", BUILDERS)
def test_is_found_by_its_name(name):
    import tensorflow_datasets as tfds

    builder_type = builder_class(name)
    assert builder_type.name == name
    assert tfds.core.registered._DATASET_REGISTRY[name] is builder_type


@pytest.mark.parametrize("name", BUILDERS)
def test_documented_counts_are_of_its_classes_which_are_sorted(name):
    builder_type = builder_class(name)
    module = sys.modules[builder_type.__module__]
    assert list(builder_type.CLASSES) == sorted(builder_type.CLASSES)
    documented = getattr(module, "DOCUMENTED", {})
    if name not in ("bloodmnist", "raabin_wbc"):  # by split
        assert set(documented) <= set(builder_type.CLASSES)


@pytest.mark.parametrize(
    ("name", "total"), [("bm_cytomorphology", 171374), ("mll23", 41621), ("aml_cytomorphology_lmu", 18365)]
)
def test_documented_counts_sum_to_the_documented_total(name, total):
    assert sum(sys.modules[builder_class(name).__module__].DOCUMENTED.values()) == total


def test_raabin_counts_sum_to_the_documented_totals():
    documented = sys.modules[builder_class("raabin_wbc").__module__].DOCUMENTED
    assert {folder: sum(counts.values()) for folder, counts in documented.items()} == {
        "Train": 10175,
        "TestA": 4339,
    }


def test_the_package_loads_without_tensorflow_datasets():
    code = "import sys; sys.modules['tensorflow_datasets'] = None; import data; print(len(data.BUILDERS))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("name", BUILDERS)
def test_has_a_card(name):
    folder = ROOT / "data" / name
    card = (folder / "README.md").read_text(encoding="utf-8")
    builder_type = builder_class(name)
    for text in ("For research, not a diagnosis.", f"tfds:{name}", f"python -m data {name}", "## Traps"):
        assert text in card
    for code, full_name in builder_type.CLASSES.items():
        assert f"| {code} |" in card, f"{code} is not in the card's table"
        assert full_name.partition(",")[0].partition(":")[0] in card
    assert (folder / "CITATIONS.bib").read_text(encoding="utf-8").startswith("@")
