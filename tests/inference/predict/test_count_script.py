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
    "coloured": (
        CellClass("LY", lineage="lymphoid", place=0),
        CellClass("HAIRY", place=1, colour="#123456"),
        CellClass("ODD", place=2, name="odd cell"),
    ),
    "full names": cell_classes(
        ("artefact", "band neutrophil", "lymphocyte", "proerythroblast", "segmented neutrophil")
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
def test_what_becomes_of_red_cells_is_what_the_python_side_says(name, specimen):
    classes = CLASSES[name]
    cells = f"new Map({json.dumps([[one.code, 0] for one in classes])})"
    source = (WEB / "counts.js").read_text(encoding="utf-8")
    function = source[source.index("function redCellNote") :].split("\n}\n")[0] + "\n}"
    told = f"(() => {{ {function} return redCellNote({cells}, DATA.specimens[{json.dumps(specimen)}]); }})()"
    assert _run(classes, told) == Counter(classes, SPECIMENS[specimen]).differential().specimen_notes()[0]


@pytest.mark.parametrize("name", CLASSES)
def test_unknown_classes_are_named_as_on_the_python_side_and_typed_ones_too(name):
    classes = CLASSES[name]
    source = (WEB / "counts.js").read_text(encoding="utf-8")
    function = source[source.index("function unknownNote") :].split("\n}\n")[0] + "\n}"
    codes = [one.code for one in classes]
    said = "No lineage is known for: {} they count as white cells, and not as blasts."
    for typed in ([], ["strange"], ["lymphoblast", "Megakaryocyte"]):
        found = _run(classes, f"(() => {{ {function} return unknownNote({json.dumps(codes + typed)}); }})()")
        names = [one.code for one in classes if not (one.lineage or one.blast)] + [
            one for one in typed if one == "strange"
        ]
        assert found == (said.format(", ".join(names) + ";") if names else "")
        if not typed and names:
            notes = Counter(classes).differential().notes
            assert said.format(", ".join(names) + " (--classes=FILE);") in notes


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


def test_codes_of_the_run_that_its_own_table_lacks_are_not_known_on_the_page_either(tmp_path):
    """The table of `docs/own_cells.md`: it replaces the built-in one, which knows ART, LY and MO."""
    own = tmp_path / "own.csv"
    own.write_text(
        "class,name,lineage,blast,colour\nMBL,myeloblast,myeloid,yes,#d11f8a\n"
        "NRBC,nucleated red cell,erythroid,,#b91c1c\nSMU,smudge cell,none,,#9ca3af\n"
    )
    cells = {"ART": 40, "LY": 20, "MBL": 10, "MO": 60, "NRBC": 30}
    classes = cell_classes([*cells], own)
    found = {row["name"]: row["cells"][0] for row in _rows(classes, [cells], "marrow")}
    assert found["M:E ratio"]["text"].startswith("0.33 [")
    assert found["M:E ratio"]["text"].endswith("(10:30)")
    assert found["nucleated cells counted"]["number"] == "160"
    counted = shares(dict(enumerate(cells.values())), classes, SPECIMENS["marrow"])
    assert (counted.counted, counted.myeloid_erythroid.above) == (160, 10)


def test_classes_called_by_their_full_names_are_counted_by_lineage():
    cells = dict.fromkeys((one.code for one in CLASSES["full names"]), 40)
    found = {row["name"]: row["cells"][0] for row in _rows(CLASSES["full names"], [cells], "marrow")}
    assert found["M:E ratio"]["text"].endswith("(80:40)")
    assert found["nucleated cells counted"]["number"] == "160", "all but the artefacts"


def test_a_typed_class_follows_those_of_a_table_of_the_run(tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("class,lineage\nz1,myeloid\nz2,myeloid\n")
    found = _run(cell_classes(("z1", "z2"), own), 'inOrder(["BLA", "z2", "z1"]).map(({ code }) => code)')
    assert found == ["z1", "z2", "BLA"]


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
    assert [kind["place"] is None for kind in kinds] == [False, False, False, True, True]  # behind all others


def test_a_typed_class_does_not_change_what_the_network_counted():
    before = dict.fromkeys(BLOOD11, 10)
    alone = _rows(CLASSES["blood11"], [before], "blood")
    beside = _rows(CLASSES["blood11"], [before, before | {"blast": 3}], "blood")
    first = {row["name"]: row["cells"][0]["text"] for row in beside}
    for row in alone:
        assert first[row["name"]] == row["cells"][0]["text"]
