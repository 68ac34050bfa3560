import pytest

from data.pbc_acevedo.pbc_acevedo_dataset_builder import (
    DOCUMENTED_PREFIXES,
    DOCUMENTED_TYPES,
    STAGES,
    UNSTAGED,
)

FILES = {
    "neutrophil/SNE_1.jpg": "SNE",
    "neutrophil/BNE_2.jpg": "BNE",
    "neutrophil/NEUTROPHIL_3.jpg": "NEUTROPHIL",
    "ig/MMY_4.jpg": "MMY",
    "ig/IG_5.jpg": "IG",
    "platelet/PLATELET_6.jpg": "PLATELET",
    "basophil/odd_7.jpg": "ODD",
}


@pytest.fixture
def archive(made):
    for name in FILES:
        made.jpeg(f"PBC_dataset_normal_DIB/{name}")
    made.jpeg("PBC_dataset_normal_DIB/neutrophil/.DS_169665.jpg")  # the stray image of the real archive


@pytest.mark.usefixtures("archive")
def test_types_are_the_folders(prepare, examples):
    found = examples(prepare("pbc_acevedo"))  # the default configuration
    assert {name: example["prefix"].decode() for name, example in found.items()} == FILES
    assert all(example["label"] == name.partition("/")[0] for name, example in found.items())


@pytest.mark.usefixtures("archive")
def test_maturity_is_the_prefix_where_it_states_one(prepare, examples, caplog):
    builder = prepare("pbc_acevedo", "maturity")
    assert {name: example["label"] for name, example in examples(builder).items()} == {
        name: prefix for name, prefix in FILES.items() if prefix not in ("NEUTROPHIL", "IG", "ODD")
    }
    assert builder.info.features["label"].num_classes == 11
    assert "pbc_acevedo: left out 1 (unknown file prefix), first basophil/odd_7.jpg" in caplog.messages


def test_documented_counts_agree_with_each_other():
    assert sum(DOCUMENTED_TYPES.values()) == sum(DOCUMENTED_PREFIXES.values()) == 17092
    assert set(DOCUMENTED_PREFIXES) == {*STAGES, *UNSTAGED}
    of = DOCUMENTED_PREFIXES
    assert DOCUMENTED_TYPES["neutrophil"] == of["SNE"] + of["BNE"] + of["NEUTROPHIL"]
    assert DOCUMENTED_TYPES["ig"] == of["PMY"] + of["MY"] + of["MMY"] + of["IG"]
