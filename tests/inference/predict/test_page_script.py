"""The parts of the page's script that compute, run by Node.js where it is installed."""

import importlib.resources
import json
import shutil
import subprocess

import pytest

from asae_jax.inference.predict.intervals import percent, ratio, ratio_text, share
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
    """1 of 16 is 6.25 % and 1:8 is 0.125: what lies in the middle is rounded alike."""
    shares = [(0, 7), (7, 7), (1, 3), (356, 623), (1234, 56789), (0, 0), (1, 16)]
    ratios = [(93, 30), (0, 4), (4, 0), (0, 0), (1645, 152), (1, 8), (1, 16)]
    expression = (
        f"[{json.dumps(shares)}.map((pair) => percent(...pair)), "
        f"{json.dumps(ratios)}.map((pair) => [ratioText(...pair), ratioText(...pair, {{ per: 100 }})])]"
    )
    found = _run(["numbers"], expression)
    assert found == [
        [percent(share(*pair)) for pair in shares],
        [[ratio_text(ratio(*pair)), ratio_text(ratio(*pair, per=100))] for pair in ratios],
    ]


def _row(file, label, group="", predicted="BLA", seen=True, content=""):
    row = {"file": str(file), "label": label, "group": group, "predicted": predicted, "seen": seen}
    return row | {"content": content}


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
    assert _csv([_row("/a.png", "EBO", content="0a"), _row("/b.png", "BLA", seen=False)]) == (
        "path,label,predicted,seen,content\r\n/a.png,EBO,BLA,yes,0a\r\n/b.png,BLA,BLA,no,\r\n"
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
    assert _csv(rows).splitlines() == ["path,label,predicted,seen,content", "/twice.png,BLA,BLA,yes,"]


def test_the_whole_script_is_one_that_can_be_read(tmp_path):
    file = tmp_path / "page.js"
    file.write_text(page_script(), encoding="utf-8")
    subprocess.run([NODE, "--check", file], check=True)


_BROWSER = """
const elements = {};
const byId = (id) => (elements[id] ??= { hidden: true, textContent: "" });
const kept = STORED;
const localStorage = {
  getItem: (key) => kept[key] ?? null,
  setItem: (key, text) => (kept[key] = text),
  removeItem: (key) => delete kept[key],
};
const classes = [];
const addClass = (name) => name && !classes.includes(name) && classes.push(name);
const CELLS = DATA.cells;
"""
"""What `labels.js` needs of a browser and of the other parts."""


def _open(stored, cells, *, network="net", act=""):
    """What a page shows that is opened with `stored` in the browser, after `act`.

    Args:
      stored: content of the browser's store.
      cells: file -> content of its picture.
      network: that predicted.
      act: JavaScript, a label by hand.
    """
    data = {"page": "p", "network": network, "cells": [
        {"file": file, "content": content, "predicted": "BLA"} for file, content in cells.items()
    ]}  # fmt: skip
    browser = _BROWSER.replace("STORED", json.dumps(stored))
    setting = f"const DATA = {json.dumps(data)};{browser}"
    result = """(() => { recall(); ACT; store(); return {
        shown: Object.fromEntries(CELLS.map((cell) => [cell.file, labels.get(cell.content) ?? null])),
        states: CELLS.map(stateOf), kept,
        aside: elements.aside.hidden ? "" : elements["aside-text"].textContent }; })()""".replace("ACT", act)
    source = "\n".join((WEB / f"{part}.js").read_text(encoding="utf-8") for part in ("numbers", "labels"))
    program = f'"use strict";{setting}\n{source}\nconsole.log(JSON.stringify({result}))'
    done = subprocess.run(
        [NODE, "-"], input=program, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    return json.loads(done.stdout)


FIRST, SECOND = {"1.png": "aa", "2.png": "bb"}, {"1.png": "cc", "2.png": "dd"}
BY_HAND = 'say([CELLS[0]], () => "EBO"); say([CELLS[1]], () => "")'


def test_labels_do_not_pass_to_other_pictures_of_the_same_names():
    first = _open({}, FIRST, act=BY_HAND)
    assert first["shown"] == {"1.png": "EBO", "2.png": ""}
    second = _open(first["kept"], SECOND)
    assert second["shown"] == {"1.png": None, "2.png": None}
    assert second["states"] == ["open", "open"]
    assert second["aside"].startswith("2 labels were given on this page to other pictures")
    assert "left aside: not shown, not counted, not in the file" in second["aside"]


def test_labels_come_back_with_their_pictures():
    """Also under other names, and after another patient's pictures were labelled in between."""
    first = _open({}, FIRST, act=BY_HAND)
    second = _open(first["kept"], SECOND, act='say([CELLS[0]], () => "MYB")')
    assert second["shown"] == {"1.png": "MYB", "2.png": None}
    again = _open(second["kept"], {"new name.png": "aa", "2.png": "bb", "3.png": "ee"})
    assert again["shown"] == {"new name.png": "EBO", "2.png": "", "3.png": None}
    assert again["aside"].startswith("1 label was given")
    both = _open(again["kept"], FIRST | {"3.png": "cc"})
    assert both["shown"] == {"1.png": "EBO", "2.png": "", "3.png": "MYB"}
    assert both["aside"] == ""


def test_labels_of_another_network_are_left_aside():
    first = _open({}, FIRST, act=BY_HAND)
    retrained = _open(first["kept"], FIRST, network="another", act='say([CELLS[0]], () => "PMO")')
    assert retrained["shown"] == {"1.png": "PMO", "2.png": None}
    assert retrained["aside"].startswith("2 labels were")
    assert _open(retrained["kept"], FIRST)["shown"] == {"1.png": "EBO", "2.png": ""}


def test_labels_set_aside_can_be_deleted():
    first = _open({}, FIRST, act=BY_HAND)
    second = _open(first["kept"], SECOND, act='say([CELLS[0]], () => "MYB"); forgetAside()')
    assert second["aside"] == ""
    assert second["shown"] == {"1.png": "MYB", "2.png": None}
    assert json.loads(second["kept"]["asae-predict p"]) == [["cc", "MYB", "net"]]
    assert _open(second["kept"], FIRST)["shown"] == {"1.png": None, "2.png": None}
    assert _open(first["kept"], SECOND, act="forgetAside()")["kept"] == {}


def test_labels_of_pages_made_before_are_left_aside():
    """They were kept under the file's name."""
    stored = {"asae-predict p": json.dumps([["1.png", "EBO"], ["2.png", "BLA"]])}
    page = _open(stored, FIRST)
    assert page["shown"] == {"1.png": None, "2.png": None}
    assert page["aside"].startswith("2 labels were")
    assert json.loads(page["kept"]["asae-predict p"]) == [["1.png", "EBO"], ["2.png", "BLA"]]


def test_labels_taken_back_leave_nothing_behind():
    page = _open({}, FIRST, act=f"{BY_HAND}; undo(); undo()")
    assert page["shown"] == {"1.png": None, "2.png": None}
    assert page["kept"] == {}
    assert page["aside"] == ""


def test_one_picture_under_two_names_has_one_label():
    page = _open({}, {"a.png": "aa", "copy.png": "aa", "b.png": "bb"}, act='say([CELLS[1]], () => "EBO")')
    assert page["states"] == ["changed", "changed", "open"]
