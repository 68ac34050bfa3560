"""The parts of the page's script that compute, run by Node.js where it is installed."""

import importlib.resources
import json
import shutil
import subprocess

import pytest

from asae_jax.inference.predict.differential import ratio, share
from asae_jax.inference.predict.output import percent, ratio_text
from asae_jax.inference.predict.page import page_script
from asae_jax.input.manifest import manifest_index

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")

WEB = importlib.resources.files("asae_jax.inference.predict") / "web"


def _run(parts, expression):
    """The value of a JavaScript expression with these parts of the script before it."""
    source = "\n".join((WEB / f"{part}.js").read_text(encoding="utf-8") for part in parts)
    program = f'"use strict";{source}\nconsole.log(JSON.stringify({expression}))'
    done = subprocess.run(
        [NODE, "-"], input=program, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    return json.loads(done.stdout)


def test_intervals_are_those_of_the_python_side():
    shares = [(0, 7), (7, 7), (1, 3), (356, 623), (1234, 56789), (0, 0)]
    ratios = [(93, 30), (0, 4), (4, 0), (0, 0), (1645, 152)]
    expression = (
        f"[{json.dumps(shares)}.map((pair) => percent(...pair)), "
        f"{json.dumps(ratios)}.map((pair) => ratioText(...pair))]"
    )
    found = _run(["numbers"], expression)
    assert found == [
        [percent(share(*pair)) for pair in shares],
        [ratio_text(ratio(*pair)) for pair in ratios],
    ]


def _row(file, label, group="", predicted="BLA", seen=True):
    return {"file": str(file), "label": label, "group": group, "predicted": predicted, "seen": seen}


def _csv(rows):
    return _run(["csv"], f"csvText({json.dumps(rows)})")


def test_labels_are_read_by_training(tmp_path):
    names = ["plain.png", 'with, comma and "quotes".png', "Zelle mit ü.png", "=1+1.png"]
    for name in names:
        (tmp_path / name).write_bytes(b"an image")
    rows = [
        _row(tmp_path / names[0], "BLA", "p1"),
        _row(tmp_path / names[1], 'EBO, "late"', "p2"),
        _row(tmp_path / names[2], "ü <b>", ""),
        _row(tmp_path / names[3], "BLA", "line\nbreak"),
    ]
    path = tmp_path / "labels.csv"
    path.write_text(_csv(rows), encoding="utf-8", newline="")
    table = manifest_index(path)
    assert table.names.tolist() == [str(tmp_path / name) for name in names]
    assert [table.class_names[label] for label in table.labels] == ["BLA", 'EBO, "late"', "ü <b>", "BLA"]
    assert table.groups.tolist() == ["p1", "p2", "no group", "line\ufffdbreak"]
    assert table.skipped == ()


def test_columns():
    assert _csv([_row("/a.png", "EBO", seen=True), _row("/b.png", "BLA", seen=False)]) == (
        "path,label,predicted,seen\r\n/a.png,EBO,BLA,yes\r\n/b.png,BLA,BLA,no\r\n"
    )


def test_what_cannot_be_trained_on_is_not_written():
    rows = [
        _row("/left_out.png", ""),
        _row("/caf\udce9.png", "BLA"),
        _row("/two\nlines.png", "BLA"),
        _row("/space.png ", "BLA"),
        _row("", "BLA"),
        _row("/twice.png", "BLA"),
        _row("/twice.png", "BLA"),
    ]
    assert _csv(rows).splitlines() == ["path,label,predicted,seen", "/twice.png,BLA,BLA,yes"]


def test_the_whole_script_is_one_that_can_be_read(tmp_path):
    file = tmp_path / "page.js"
    file.write_text(page_script(), encoding="utf-8")
    subprocess.run([NODE, "--check", file], check=True)
