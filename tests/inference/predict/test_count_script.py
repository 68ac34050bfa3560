"""The count that the page's script makes is that of the Python side, by Node.js where it is installed."""

import dataclasses
import importlib.resources
import json
import shutil
import subprocess

import numpy as np
import pytest

from asae_jax.inference.predict.count.differential import Counter, shares
from asae_jax.inference.predict.count.page import count_data
from asae_jax.inference.predict.count.specimen import SPECIMENS
from asae_jax.inference.predict.count.table import rows, scale
from asae_jax.input.cell_classes import CellClass, cell_classes, known_classes

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")

WEB = importlib.resources.files("asae_jax.inference.predict") / "web"
BLOOD11 = ("BA", "BNE", "EO", "ERB", "LY", "MMY", "MO", "MY", "PLATELET", "PMY", "SNE")
MARROW8 = ("ART", "BLA", "EOS", "LYT", "MON", "NGS", "NIF", "PMO")
ALL = tuple(one.code for one in known_classes().values())
CLASSES = {
    "blood11": cell_classes(BLOOD11),
    "marrow8": cell_classes(MARROW8),
    "all": cell_classes(ALL),
    "own": (
        CellClass("constructor", name="odd", lineage="lymphoid", place=0),
        CellClass("red", lineage="erythroid", place=1),
        CellClass("z", known=False),
        CellClass("a", known=False),
    ),
}


def _data(classes):
    return count_data(Counter(classes).differential())


def _run(classes, expression):
    """The value of a JavaScript expression on the page of a run with these classes."""
    parts = "\n".join((WEB / f"{part}.js").read_text(encoding="utf-8") for part in ("numbers", "tally"))
    data = f"const DATA = {json.dumps(_data(classes))};"
    program = f'"use strict";{data}{parts}\nconsole.log(JSON.stringify({expression}))'
    done = subprocess.run(
        [NODE, "-"], input=program, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    return json.loads(done.stdout)


def _rows(classes, columns, specimen):
    """As `tableRows` of the script, from columns of code -> number."""
    maps = ", ".join(f"new Map({json.dumps(list(column.items()))})" for column in columns)
    return _run(classes, f"tableRows([{maps}], DATA.specimens[{json.dumps(specimen)}])")


@pytest.mark.parametrize("specimen", SPECIMENS)
@pytest.mark.parametrize("name", CLASSES)
def test_rows_are_those_of_the_python_side(name, specimen):
    classes = CLASSES[name]
    rng = np.random.default_rng(len(classes))
    columns = [rng.integers(0, 40, len(classes)).tolist(), [0] * len(classes)]
    found = _rows(
        classes,
        [dict(zip([one.code for one in classes], numbers, strict=True)) for numbers in columns],
        specimen,
    )
    counted = [shares(dict(enumerate(numbers)), classes, SPECIMENS[specimen]) for numbers in columns]
    expected = [dataclasses.asdict(row) for row in rows(counted, classes, SPECIMENS[specimen])]
    assert [(row["kind"], row["name"], row["full"], row["colour"]) for row in found] == [
        (row["kind"], row["name"], row["full_name"], row["colour"]) for row in expected
    ]
    for row, known in zip(found, expected, strict=True):
        assert [(c["number"], c["text"]) for c in row["cells"]] == [
            (c["number"], c["text"]) for c in known["cells"]
        ], row["name"]
        for cell, same in zip(row["cells"], known["cells"], strict=True):
            assert (cell["bar"] is None) == (same["bar"] is None)
            assert cell["bar"] is None or cell["bar"] == pytest.approx(same["bar"])


def test_bars_end_at_the_same_share():
    classes = CLASSES["blood11"]
    for numbers in ([1] * 11, [100] + [1] * 10):
        column = json.dumps(list(zip(BLOOD11, numbers, strict=True)))
        found = _run(classes, f"scaleOf(tableRows([new Map({column})], DATA.specimens.blood))")
        counted = shares(dict(enumerate(numbers)), classes, SPECIMENS["blood"])
        assert found == scale(rows([counted], classes, SPECIMENS["blood"]))


def test_a_class_that_a_person_types_is_known_by_code_or_full_name():
    """The run has no blasts: their line appears with the first."""
    before = dict.fromkeys(BLOOD11, 10)
    found = _rows(
        CLASSES["blood11"], [before, before | {"blast": 3, "Plasma Cell": 2, "unicorn": 1}], "blood"
    )
    by_name = {row["name"]: row["cells"] for row in found}
    assert [cell["number"] for cell in by_name["blasts"]] == ["", "3"]
    assert by_name["blasts"][1]["text"].startswith("3.1 % ["), "of 90 + 3 + 2 + 1"
    assert [cell["number"] for cell in by_name["blast"]] == ["", "3"]
    names = [row["name"] for row in found]
    assert names.index("blasts of no lineage") < names.index("myeloid")
    assert names[names.index("LY") + 1] == "Plasma Cell"
    assert names[names.index("lineage not known") + 1] == "unicorn"


def test_typed_names_are_compared_loosely():
    kinds = _run(CLASSES["blood11"], '["Blast", " MYO", "band neutrophil", "unicorn", ""].map(kindOf)')
    assert [kind["blast"] for kind in kinds] == [True, True, False, False, False]
    assert [kind["lineage"] for kind in kinds] == ["", "myeloid", "myeloid", "", ""]
    assert [kind["known"] for kind in kinds] == [True, True, True, False, False]


def test_a_typed_class_does_not_change_what_the_network_counted():
    before = dict.fromkeys(BLOOD11, 10)
    alone = _rows(CLASSES["blood11"], [before], "blood")
    beside = _rows(CLASSES["blood11"], [before, before | {"blast": 3}], "blood")
    first = {row["name"]: row["cells"][0]["text"] for row in beside}
    for row in alone:
        assert first[row["name"]] == row["cells"][0]["text"]
