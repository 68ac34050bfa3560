"""The parts of the page's script that compute, run by Node.js where it is installed."""

import importlib.resources
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from asae_jax.csv_cells import guarded
from asae_jax.inference.explain.report import percent as probability
from asae_jax.inference.inputs import read_input
from asae_jax.inference.predict.count.intervals import percent, ratio, ratio_text, share
from asae_jax.inference.predict.page import page_script
from asae_jax.input.groups import NO_GROUP, as_listed
from asae_jax.input.manifest import manifest_index
from asae_jax.review.labels import read_labels

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")

WEB = importlib.resources.files("asae_jax.inference.predict") / "web"


def _run(parts, expression):
    """The value of a JavaScript expression with these parts of the script before it."""
    return _value("\n".join((WEB / f"{part}.js").read_text(encoding="utf-8") for part in parts), expression)


def _value(source, expression):
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


def test_probabilities_are_written_as_on_the_page_of_explain():
    """0.995 is not certain, and must not become 100 %; 82.5 % lies in the middle."""
    gallery = (WEB / "gallery.js").read_text(encoding="utf-8")
    (rounded,) = (line for line in gallery.splitlines() if line.startswith("const rounded ="))
    shares = [0.0, 0.004, 0.005, 0.125, 0.825, 0.994, 0.9949, 0.995, 0.9951, 0.9999, 1.0]
    found = _value(rounded, f"{json.dumps(shares)}.map(rounded)")
    assert found == [probability(share) for share in shares]
    assert found[4:8] == [f"{text}\N{NO-BREAK SPACE}%" for text in ("83", "99", "99", ">99")]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        *((name, True) for name in ("ART", "Artefakte & Trümmer", "artéfact", "arte\u0301fact", "Artifacts")),
        *((name, True) for name in ("artefactos", "artefatti", "smear artefact")),
        *((name, False) for name in ("ARTX", "Artery", "NIF", "party")),
    ],
)
def test_the_class_of_artefacts_is_found_as_several_languages_write_it(name, found):
    lines = (WEB / "start.js").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("const OF_ARTEFACTS"))
    source = "\n".join(lines[start : lines.index(");", start) + 1])
    data = f"const DATA = {json.dumps({'classes': ['BLA', name]})}; const fullName = () => 'blast';"
    assert _value(data + source, "ARTEFACT ?? null") == (name if found else None)
    data = f"const DATA = {json.dumps({'classes': ['1']})}; const fullName = () => {json.dumps(name)};"
    begins = found and name != "smear artefact"
    assert _value(data + source, "ARTEFACT ?? null") == ("1" if begins else None)


def _row(file, label, group="", predicted="BLA", seen=True, content=""):
    row = {"file": str(file), "label": label, "group": group, "predicted": predicted, "seen": seen}
    return row | {"content": content, "run": "net"}


def _csv(rows, **options):
    return _run(["csv"], f"csvText({json.dumps(rows)}, {json.dumps(options)})")


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
    assert as_listed(table.groups).tolist() == ["p1", "p2", NO_GROUP, "line\ufffdbreak"]
    assert table.skipped == ()


@pytest.mark.parametrize("slides", [False, True])
def test_groups_are_predicted_again_as_they_were(tmp_path, slides):
    """A cell without a group stays one, and slides or fields do not become patients."""
    groups = ["p1", "", "p2"]
    rows = [_row(tmp_path / f"{number}.png", "BLA", group) for number, group in enumerate(groups)]
    path = tmp_path / "labels.csv"
    path.write_text(_csv(rows, slides=slides), encoding="utf-8", newline="")
    items = read_input(str(path))
    assert [item.group for item in items] == groups
    assert {item.of_slide for item in items} == {slides}
    assert [item.position for item in items] == [None] * 3
    labels = read_labels(path, look=False)
    assert [label.group for label in labels] == groups


@pytest.mark.parametrize(
    "text", ["=1", "-1", "-f(1)", "'=1", "a;=1;.png", "a;'=1", 'a;"=1', "a;\xa0@b", "a; -1", "a;b=1", "CD34+"]
)
def test_formulas_are_guarded_as_the_python_side_does(text):
    assert _run(["csv"], f"guarded({json.dumps(text)})") == guarded(text)


def test_columns():
    decided = {"reviewer": "Kim, A.", "reviewed": "2026-11-26T04:10:00Z", "reason": ""}
    rows = [_row("/a.png", "EBO", content="0a") | decided, _row("/b.png", "BLA", seen=False)]
    assert _csv(rows) == (
        "path,label,predicted,seen,content,reviewer,reviewed,run,reason\r\n"
        '/a.png,EBO,BLA,yes,0a,"Kim, A.",2026-11-26T04:10:00Z,net,\r\n'
        "/b.png,BLA,BLA,no,,,,net,\r\n"
    )


def test_cells_left_out_are_told_and_not_trained_on(tmp_path):
    for name in ("kept.png", "smudge.png"):
        (tmp_path / name).write_bytes(b"an image")
    out = _row(tmp_path / "smudge.png", "") | {"reason": "artefact"}
    path = tmp_path / "labels.csv"
    path.write_text(_csv([_row(tmp_path / "kept.png", "BLA"), out]), encoding="utf-8", newline="")
    table = manifest_index(path)
    assert table.names.tolist() == [str(tmp_path / "kept.png")]
    assert [reason for _, reason in table.skipped] == [
        "a person left it out: artefact (line 3 of labels.csv)"
    ]


def test_what_cannot_be_trained_on_is_not_written():
    rows = [
        _row("/caf\udce9.png", "BLA"),
        _row("/two\nlines.png", "BLA"),
        _row("/space.png ", "BLA"),
        _row("", "BLA"),
        _row("/twice.png", "BLA"),
        _row("/twice.png", "BLA"),
    ]
    assert [line.split(",")[0] for line in _csv(rows).splitlines()] == ["path", "/twice.png"]


def test_the_whole_script_is_one_that_can_be_read(tmp_path):
    file = tmp_path / "page.js"
    file.write_text(page_script(), encoding="utf-8")
    subprocess.run([NODE, "--check", file], check=True)


def test_no_function_replaces_another_part_s():
    """The parts are one script, in which a second function of a name takes the place of the first."""
    names = re.findall(r"^(?:async )?function (\w+)", page_script(), re.MULTILINE)
    assert len(names) > 100
    assert [name for name in set(names) if names.count(name) > 1] == []


_BROWSER = """
const elements = {};
const byId = (id) => (elements[id] ??= { hidden: true, textContent: "" });
const kept = STORED;
const localStorage = {
  get length() { return Object.keys(kept).length; },
  key: (number) => Object.keys(kept)[number],
  getItem: (key) => kept[key] ?? null,
  setItem: (key, text) => {
    const others = Object.entries(kept).filter(([other]) => other !== key).flat().join("").length;
    if (others + key.length + text.length > ROOM) throw new Error("QuotaExceededError");
    kept[key] = text;
  },
  removeItem: (key) => delete kept[key],
};
const classes = [];
const addClass = (name) => name && !classes.includes(name) && classes.push(name);
const addKey = () => {};
const typedClasses = () => [];
const CELLS = DATA.cells;
"""
"""What `labels.js` needs of a browser and of the other parts."""


def _open(stored, cells, *, act="", **page):
    """What a page shows that is opened with `stored` in the browser, after `act`.

    Args:
      stored: content of the browser's store.
      cells: file -> content of its picture.
      act: JavaScript, a label by hand.
      **page: of `_told`.
    """
    result = """(() => { recall(); ACT; store(); return {
        shown: Object.fromEntries(CELLS.map((cell) => [cell.file, labels.get(cell.content) ?? null])),
        states: CELLS.map(stateOf), kept,
        stored, full: elements.full.hidden ? "" : elements["full-text"].textContent,
        roomless: elements["no-room"].hidden ? "" : elements["no-room"].textContent,
        aside: elements.aside.hidden ? "" : elements["aside-text"].textContent }; })()""".replace("ACT", act)
    return _told(stored, cells, result, **page)


def _told(
    stored, cells, expression, *, network="net", predicted="BLA", no_room=(), room=5_000_000, former=None
):
    """The value of a JavaScript expression on such a page, which has recalled nothing yet.

    Args:
      stored: content of the browser's store.
      cells: file -> content of its picture.
      expression: in JavaScript.
      network: that predicted.
      predicted: what it proposes for every cell.
      no_room: contents of cells that did not fit on the page.
      room: characters that the browser's store holds.
      former: what earlier versions called the page, where that differs; one name.
    """
    data = {"page": "p", "former": [former] if former else [], "network": network, "cells": [
        {"file": file, "content": content, "predicted": predicted} for file, content in cells.items()
    ]}  # fmt: skip
    data |= {"without_room": [content[:1] for content in no_room], "content_digits": 1}
    browser = _BROWSER.replace("STORED", json.dumps(stored)).replace("ROOM", str(room))
    setting = f"const DATA = {json.dumps(data)};{browser}"
    source = "\n".join((WEB / f"{part}.js").read_text(encoding="utf-8") for part in ("numbers", "labels"))
    return _value(f"{setting}\n{source}", expression)


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
    assert [entry[:3] for entry in json.loads(second["kept"]["asae-predict p"])] == [["cc", "MYB", "net"]]
    assert _open(second["kept"], FIRST)["shown"] == {"1.png": None, "2.png": None}
    assert _open(first["kept"], SECOND, act="forgetAside()")["kept"] == {}


def test_labels_left_aside_of_pictures_on_the_page_can_be_had_as_they_were_given():
    """The last of each picture, with the network that proposed, and what; not those of other pictures."""
    stored = {"asae-predict p": json.dumps([
        ["aa", "EBO", "old", "", "Kim", "2026-11-26T04:10:00Z", "BLA"],
        ["aa", "MYB", "older", "", "Lee", "2026-11-25T04:10:00Z", "MON"],
        ["bb", "", "old"],
        ["cc", "EBO", "net", "", "Kim", "2026-11-26T04:10:00Z", "BLA"],
        ["1.png", "EBO"],
    ])}  # fmt: skip
    told = "(recall(), [elements.rescue.hidden, asideHere().map(({ cell, said }) => [cell.file, said])])"
    hidden, found = _told(stored, FIRST | {"copy of 1.png": "aa"}, told)
    first = {
        "label": "EBO", "run": "old", "reason": "", "reviewer": "Kim", "reviewed": "2026-11-26T04:10:00Z",
        "predicted": "BLA",
    }  # fmt: skip
    second = {"label": "", "run": "old", "reason": "left out", "predicted": ""}
    assert not hidden
    assert found == [["1.png", first], ["2.png", second], ["copy of 1.png", first]]
    assert _told(stored, {"9.png": "99"}, told) == [True, []]


def test_labels_of_cells_without_room_are_kept_and_said_to_be():
    """The folder grew beyond what the page holds; one picture of before is there no more."""
    cells = {"1.png": "aa", "2.png": "bb", "3.png": "cc"}
    first = _open({}, cells, act='say(CELLS, () => "EBO")')
    second = _open(first["kept"], {"1.png": "aa"}, no_room=["bb", "ee"])
    assert second["roomless"].startswith("1 label was given on this page to cells that it has no room")
    assert "a page of more cells (predict.page_cells)" in second["roomless"]
    assert second["aside"].startswith("1 label was given on this page to other pictures")
    forgotten = _open(second["kept"], {"1.png": "aa"}, no_room=["bb", "ee"], act="forgetAside()")
    assert (forgotten["aside"], forgotten["roomless"]) == ("", second["roomless"])
    again = _open(forgotten["kept"], cells)
    assert again["shown"] == {"1.png": "EBO", "2.png": "EBO", "3.png": None}
    assert (again["aside"], again["roomless"]) == ("", "")


def test_labels_kept_under_the_page_s_former_name_come_over_once():
    """Those of cells of another page that had this name stay there."""
    step = 'say([CELLS[0]], () => "EBO"); say([CELLS[1]], () => "MYB")'
    before = _open({}, FIRST, act=step)["kept"]
    other = _open(before, SECOND, act='say([CELLS[0]], () => "PMO")')["kept"]
    stored = {"asae-predict q": other["asae-predict p"]}
    stored |= {"asae-predict-steps q": before["asae-predict-steps p"]}
    opened = _open(stored, FIRST, former="q")
    assert (opened["shown"], opened["aside"]) == ({"1.png": "EBO", "2.png": "MYB"}, "")
    back = _open(stored, FIRST, former="q", act="undo()")
    assert back["shown"] == {"1.png": "EBO", "2.png": None}
    assert [entry[:2] for entry in json.loads(back["kept"]["asae-predict p"])] == [["aa", "EBO"]]
    assert {name: text for name, text in back["kept"].items() if name.endswith(" q")} == stored
    again = _open(back["kept"], FIRST, former="q")
    assert again["shown"] == back["shown"], "a label taken back does not come back"
    assert _open(back["kept"], SECOND, former="q")["shown"] == {"1.png": "PMO", "2.png": None}


def _kept(**stored):
    """Content of the browser's store: labels of the page `p` or `q`, entries of (content, label, network)."""
    return {f"asae-predict {page}": json.dumps(entries) for page, entries in stored.items()}


def test_another_open_page_of_the_former_name_loses_nothing():
    """It has its own network, and writes after this page has read."""
    stored = _kept(q=[["aa", "BLA", "other"]]) | {"asae-predict-steps q": '["other", []]'}
    later = _kept(q=[["aa", "BLA", "other"], ["bb", "PMO", "other"]])
    writes = f"Object.assign(kept, {json.dumps(later)}); say([CELLS[0]], () => 'EBO')"
    kept = _open(stored, FIRST, former="q", act=writes)["kept"]
    assert {name: text for name, text in kept.items() if name.endswith(" q")} == stored | later
    assert [entry[:2] for entry in json.loads(kept["asae-predict p"])] == [["aa", "EBO"]]


def test_what_a_moved_page_kept_is_not_taken_from_it():
    """It has the same network and cells; what is said there later comes over, too."""
    ours, others, since = ["aa", "BLA", "net"], ["aa", "MYB", "other"], ["bb", "PMO", "net"]
    stored = _kept(q=[ours, others]) | {"asae-predict-steps q": '["net", []]'}
    page = _open(stored, FIRST, former="q", act="say([CELLS[0]], () => 'EBO')")
    assert {name: text for name, text in page["kept"].items() if name.endswith(" q")} == stored
    cleared = _open(page["kept"], FIRST, former="q", act="say([CELLS[0]], () => undefined)")["kept"]
    assert _open(cleared, FIRST, former="q")["shown"] == {"1.png": None, "2.png": None}, "once"
    again = _open(cleared | _kept(q=[ours, others, since]), FIRST, former="q")
    assert again["shown"] == {"1.png": None, "2.png": "PMO"}


def test_what_was_said_under_the_new_name_goes_before_the_former():
    stored = {
        "asae-predict p": json.dumps([["aa", "EBO", "net"]]),
        "asae-predict q": json.dumps([["aa", "BLA", "net"], ["bb", "PMO", "net"]]),
    }
    assert _open(stored, FIRST, former="q")["shown"] == {"1.png": "EBO", "2.png": "PMO"}


def test_labels_that_another_network_s_cells_have_are_not_of_cells_without_room():
    first = _open({}, FIRST, act=BY_HAND)
    other = _open(first["kept"], {}, network="other", no_room=["aa", "bb"])
    assert (other["aside"][:8], other["roomless"]) == ("2 labels", "")


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


def test_a_decision_keeps_who_when_and_why():
    act = """setReviewer(" Kim ");
        say([CELLS[0]], () => "EBO");
        say([CELLS[1]], () => ({ label: "", reason: "artefact" }))"""
    page = _open({}, FIRST, act=act)
    first, second = json.loads(page["kept"]["asae-predict p"])
    assert first[:5] == ["aa", "EBO", "net", "", "Kim"]
    assert second[:5] == ["bb", "", "net", "artefact", "Kim"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", first[5])
    later = _open(page["kept"], FIRST)
    assert json.loads(later["kept"]["asae-predict p"]) == [first, second]


def test_labels_kept_by_pages_made_before_have_no_reviewer():
    stored = {"asae-predict p": json.dumps([["aa", "EBO", "net"], ["bb", "", "net"]])}
    page = _open(stored, FIRST)
    assert page["shown"] == {"1.png": "EBO", "2.png": ""}
    assert json.loads(page["kept"]["asae-predict p"]) == [
        ["aa", "EBO", "net", "", "", ""], ["bb", "", "net", "left out", "", ""],
    ]  # fmt: skip


_ACCEPTED = 'say([CELLS[0]], (cell) => cell.predicted); say([CELLS[1]], () => "EBO")'
_TOLD = "(recall(), [CELLS.map(stateOf), CELLS.map(proposalOf)])"


def test_a_label_is_accepted_or_not_by_what_its_reviewer_saw():
    """The same network, tested otherwise (--tta), proposes EBO for both; BLA was accepted, EBO corrected."""
    before = _open({}, FIRST, act=_ACCEPTED)["kept"]
    assert _told(before, FIRST, _TOLD) == [["kept", "changed"], ["BLA", "BLA"]]
    assert _told(before, FIRST, _TOLD, predicted="EBO") == [["kept", "changed"], ["BLA", "BLA"]]
    kept_on = _open(before, FIRST, act="undo(); redo()", predicted="EBO")
    assert kept_on["states"] == ["kept", "changed"]
    assert _told(kept_on["kept"], FIRST, _TOLD) == [["kept", "changed"], ["BLA", "BLA"]]
    anew = _open(before, FIRST, act='say([CELLS[0]], () => "EBO")', predicted="EBO")["kept"]
    assert _told(anew, FIRST, _TOLD) == [["kept", "changed"], ["EBO", "BLA"]]


def test_of_labels_that_an_earlier_page_kept_what_was_proposed_is_today_s():
    stored = {"asae-predict p": json.dumps([["aa", "EBO", "net", "", "Kim", "2026-01-05T10:00:00Z"]])}
    assert _told(stored, FIRST, _TOLD, predicted="EBO") == [["kept", "open"], ["EBO", "EBO"]]


def test_steps_can_be_taken_back_after_the_page_was_opened_again():
    first = _open({}, FIRST, act=f'{BY_HAND}; say([CELLS[0]], () => "BLA")')
    again = _open(first["kept"], FIRST, act="undo()")
    assert again["shown"] == {"1.png": "EBO", "2.png": ""}
    last = _open(again["kept"], FIRST, act="undo(); undo()")
    assert last["shown"] == {"1.png": None, "2.png": None}
    assert last["kept"] == {}


def test_steps_of_other_pictures_or_networks_are_not_taken_back():
    first = _open({}, FIRST, act=BY_HAND)
    for cells, network in ((SECOND, "net"), (FIRST, "other")):
        page = _open(first["kept"], cells, network=network, act="undo()")
        assert set(page["shown"].values()) == {None}
        assert page["aside"].startswith("2 labels")


def test_only_the_newest_steps_are_kept():
    cells = {f"{number}.png": f"{number:02x}" for number in range(150)}
    page = _open({}, cells, act='for (const cell of CELLS) say([cell], () => "EBO")')
    network, *steps = json.loads(page["kept"]["asae-predict-steps p"])
    assert (network, len(steps)) == ("net", 100)
    assert [step[0][0] for step in steps] == [f"{number:02x}" for number in range(50, 150)]


def test_many_cells_are_one_step():
    many = 'say(CELLS, () => "EBO")'
    assert set(_open({}, FIRST, act=many)["shown"].values()) == {"EBO"}
    assert set(_open({}, FIRST, act=f"{many}; undo()")["shown"].values()) == {None}


def test_another_reviewer_s_decision_is_a_new_one():
    first = _open({}, FIRST, act='setReviewer("Kim"); say([CELLS[0]], () => "EBO")')
    same = 'setReviewer("Lee"); say(CELLS, (cell) => decisions.get(cell.content) ?? cell.predicted)'
    page = _open(first["kept"], FIRST, act=same)
    assert [entry[4] for entry in json.loads(page["kept"]["asae-predict p"])] == ["Kim", "Lee"]
    page = _open(first["kept"], FIRST, act='setReviewer("Lee"); say([CELLS[0]], () => "EBO")')
    assert [entry[4] for entry in json.loads(page["kept"]["asae-predict p"])] == ["Lee"]


FULL = {
    "asae-predict other": "x" * 500,
    "asae-predict-steps other": "x" * 400,
    "asae-predict third": "x" * 500,
    "asae-predict third downloaded": "[1]",
    "asae-predict third specimen": '["blood"]',
    "something else": "x" * 100,
}
"""What other pages, and programs, keep in the browser."""


def _size(kept, *names):
    return sum(len(name) + len(kept[name]) for name in names or kept)


@pytest.mark.parametrize("lacking", ["asae-predict p", "asae-predict-steps p"])
def test_steps_of_other_pages_give_way_where_the_store_is_full(lacking):
    """There is no room for the labels, or for the labels but not for the steps that led to them."""
    own = _open({}, FIRST, act=BY_HAND)["kept"]
    room = _size(FULL) + _size(own, *dict.fromkeys(["asae-predict p", lacking])) - 1
    page = _open(FULL, FIRST, act=BY_HAND, room=room)
    assert page["stored"]
    assert len(json.loads(page["kept"]["asae-predict p"])) == 2
    assert "asae-predict-steps p" in page["kept"], "its own steps are the newer ones"
    assert FULL.keys() - page["kept"].keys() == {"asae-predict-steps other"}


def test_labels_of_other_pages_that_were_downloaded_can_be_deleted_where_the_store_is_full():
    room = _size(FULL) - 350
    page = _open(FULL, FIRST, act=BY_HAND, room=room)
    assert not page["stored"]
    assert "the labels of 1 other page," in page["full"]
    assert FULL.keys() - page["kept"].keys() == {"asae-predict-steps other"}
    page = _open(FULL, FIRST, act=f"{BY_HAND}; makeRoom()", room=room)
    assert page["stored"]
    assert page["full"] == ""
    assert {name for name in FULL if "third" not in name} - page["kept"].keys() == {
        "asae-predict-steps other"
    }
    assert not [name for name in page["kept"] if "third" in name]
    assert len(json.loads(page["kept"]["asae-predict p"])) == 2


def test_a_page_counts_as_downloaded_until_something_is_said_on_it():
    mark = "asae-predict p downloaded"
    page = _open({}, FIRST, act=f"{BY_HAND}; setDownloaded(true)")
    assert mark in page["kept"]
    assert mark in _open(page["kept"], FIRST)["kept"]
    assert mark not in _open(page["kept"], FIRST, act="undo()")["kept"]
    assert mark not in _open(page["kept"], FIRST, act='setReviewer("Kim")')["kept"], "the file names nobody"
    aside = _open(page["kept"], SECOND, act="say(CELLS, () => 'EBO'); setDownloaded(true)")
    assert mark not in aside["kept"], "labels left aside are in no file"


def _specimen(kept, *, specimen="", contents="aa", act="", former=None):
    """The specimen on a page opened with `kept` in the browser, after `act`, and what is kept then."""
    data = {"page": "p", "former": [former] if former else [], "cells": [], "without_room": []}
    data |= {"specimen": specimen, "contents": contents}
    data |= {"specimens": {name: {"name": name} for name in ("", "blood", "marrow")}}
    browser = _BROWSER.replace("STORED", json.dumps(kept)).replace("ROOM", "5000000")
    parts = "\n".join((WEB / f"{part}.js").read_text(encoding="utf-8") for part in ("labels", "counts"))
    shown = f"(() => {{ recallSpecimen(); {act}; return [specimen().name, kept]; }})()"
    return _value(f"const DATA = {json.dumps(data)};{browser}\n{parts}\nshowCount = () => {{}};", shown)


def test_a_specimen_that_was_chosen_holds_for_these_cells_as_they_were_predicted():
    shown, kept = _specimen({}, act='byId("specimen").value = "blood"; saySpecimen()')
    assert shown == "blood"
    assert _specimen(kept)[0] == "blood", "the page opened again"
    former = {name.replace(" p", " q"): text for name, text in kept.items()}
    assert _specimen(former, former="q")[0] == "blood", "kept under the page's former name"
    assert _specimen(kept, contents="bb")[0] == "", "another patient's cells"
    assert _specimen(kept, specimen="marrow")[0] == "marrow", "predicted again with --specimen"
    assert _specimen({"asae-predict p specimen": "blood"})[0] == "", "which an earlier page kept"


def test_a_name_given_late_signs_the_labels_without_one():
    """Those of another name keep it, and a step brings none back without one."""
    stored = [["aa", "EBO", "net", "", "Kim", ""], ["bb", "BLA", "net", "", "", "2026-11-26T04:10:00Z"]]
    before = {"asae-predict p": json.dumps(stored)}
    cells = FIRST | {"3.png": "cc"}
    act = 'say([CELLS[2]], () => "EBO"); say([CELLS[2]], () => "PMO"); undo(); setReviewer("Lee"); '
    page = _open(before, cells, act=act)
    kept = json.loads(page["kept"]["asae-predict p"])
    assert [(entry[0], entry[4]) for entry in kept] == [("aa", "Kim"), ("bb", "Lee"), ("cc", "Lee")]
    assert kept[1][5] == "2026-11-26T04:10:00Z", "when it was said"
    page = _open(before, cells, act=f'{act}redo(); setReviewer("Eve")')
    kept = json.loads(page["kept"]["asae-predict p"])
    assert [(entry[0], entry[1], entry[4]) for entry in kept] == [
        ("aa", "EBO", "Kim"), ("bb", "BLA", "Lee"), ("cc", "PMO", "Lee"),
    ]  # fmt: skip


def test_a_name_known_from_another_page_signs_nothing_until_it_is_given_here():
    """Somebody else may have worked on this page."""
    before = _open({}, FIRST, act=BY_HAND)["kept"] | {"asae-reviewer": "Kim"}

    def signed(act):
        return [entry[4] for entry in json.loads(_open(before, FIRST, act=act)["kept"]["asae-predict p"])]

    assert signed("") == ["", ""]
    assert signed('say([CELLS[0]], () => "PMO")') == ["Kim", ""]
    assert signed('setReviewer("Lee")') == ["Lee", "Lee"]
    assert signed("sign()") == ["Kim", "Kim"]
    told = "(recall(), showUnsigned(), [elements.unsigned.hidden, elements.sign.textContent])"
    assert _told(before, FIRST, told) == [False, "Sign as Kim"]
    assert _told(before | {"asae-reviewer": ""}, FIRST, told)[0], "nobody could sign"
    signed_all = _open(before, FIRST, act="sign()")["kept"]
    assert _told(signed_all, FIRST, told)[0], "nothing to sign"


def _path(values, level, **square):
    height, width = len(values), len(values[0])
    flat = json.dumps([value for row in values for value in row])
    return _run(["contour"], f"contour({flat}, {width}, {height}, {level}, {json.dumps(square)})")


def _points(path):
    return np.array([[float(n) for n in pair.split()] for pair in re.findall(r"[-\d.]+ [-\d.]+", path)])


def test_a_contour_of_a_ramp_is_a_straight_line():
    """Values 0, 1, 2, 3 of columns whose middles are at 10, 30, 50, 70: 1.25 is at 35."""
    points = _points(_path([[0, 1, 2, 3]] * 3, 1.25, side=80))
    assert np.all(points[:, 0] == 35)
    assert {points[0, 1], points[-1, 1]} == {round(80 / 6, 2), round(400 / 6, 2)}


def test_a_contour_of_a_cone_is_a_circle():
    size, radius = 41, 12.0
    middle = (size - 1) / 2
    rows, columns = np.mgrid[:size, :size]
    cone = 100 - np.hypot(rows - middle, columns - middle)
    path = _path(cone.tolist(), 100 - radius, left=5, top=7, side=size)
    assert path.count("M") == 1, "one line"
    assert path.endswith("Z"), "that is closed"
    distance = np.hypot(*(_points(path) - [5 + size / 2, 7 + size / 2]).T)
    np.testing.assert_allclose(distance, radius, atol=0.15)


def test_contours_of_two_peaks_are_two_lines_and_of_none_are_none():
    peaks = np.zeros((5, 9))
    peaks[2, 2] = peaks[2, 6] = 1
    assert _path(peaks.tolist(), 0.5).count("Z") == 2
    assert _path(np.zeros((4, 4)).tolist(), 0.5) == ""


def _sentence(expression, *, thresholds=None):
    page = json.dumps({"thresholds": thresholds, "known": {}})
    browser = 'const byId = () => ({}); const classes = []; const fullName = () => "";'
    browser += "const rounded = (share) => `${Math.round(100 * share)} %`;"
    source = "\n".join((WEB / f"{part}.js").read_text(encoding="utf-8") for part in ("tally", "panel"))
    return _value(f"const DATA = {page};{browser}\n{source}", expression).replace("\xa0", " ")


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("neutrophil", ["neutrophil", "neutrophil_band", "neutrophil_segmented", "no_neutrophil"]),
        ("neutrophil_", ["neutrophil_band", "neutrophil_segmented"]),
        ("neutrophil band", ["neutrophil_band"]),
        ("", ["no_neutrophil", "neutrophil_band", "neutrophil_segmented", "neutrophil"]),
    ],
)
def test_a_class_typed_in_full_comes_before_those_that_begin_with_it(typed, found):
    listed = ["no_neutrophil", "neutrophil_band", "neutrophil_segmented", "neutrophil"]
    names = f"(() => {{ {json.dumps(listed)}.forEach((name) => classes.push(name)); "
    assert _sentence(f"{names} return classesLike({json.dumps(typed)}).join(); }})()").split(",") == found


@pytest.mark.parametrize(
    ("share", "needed", "text"),
    [
        (0.82, 0.91, "82 %, needs 91 %"),
        (0.9064, 0.9081, "90.6 %, needs 90.8 %"),
        (0.9962, 0.998, "99.6 %, needs 99.8 %"),
        (1.0, 0.9, "100 %, needs 90 %"),
        (0.82, 2.0, "82 %; no certainty is enough"),
        (0.82, None, "82 %"),
    ],
)
def test_a_value_stands_beside_what_it_needs(share, needed, text):
    assert _sentence(f"besideNeeded({share}, {json.dumps(needed)})") == text


def test_possible_classes_in_words():
    assert _sentence('possible(["BA", "PMY", "MMY"])') == "Could be BA, PMY or MMY."
    assert _sentence('possible(["BA", "PMY"])') == "Could be BA or PMY."
    assert _sentence("possible([])") == "No class fits well."


def test_the_distance_stands_beside_its_limit():
    found = _sentence("outlierText({ outlier_score: 1.314 })", thresholds={"outlier": 1.05})
    assert found == ": 1.31, limit 1.05"
    assert _sentence("outlierText({})", thresholds={"outlier": 1.05}) == ""


def _inside(box):
    source = (WEB / "selection.js").read_text(encoding="utf-8").split("function inGallery")[0]
    start = source.index("function placesIn")
    rows = [
        {"top": 0, "height": 30, "name": "BLA"},
        {"top": 30, "height": 108, "from": 0, "to": 3},
        {"top": 138, "height": 108, "from": 3, "to": 5},
    ]
    return _value(
        f"const gap = 8;{source[start:]}", f"placesIn({json.dumps(box)}, {json.dumps(rows)}, 3, 316)"
    )


@pytest.mark.parametrize(
    ("box", "places"),
    [
        ((0, 10, 0, 25), []),
        ((0, 10, 0, 35), [0]),
        ((101, 107, 40, 50), []),
        ((99, 109, 40, 50), [0, 1]),
        ((120, 130, 50, 140), [1, 4]),
        ((220, 300, 140, 240), []),
        ((0, 316, 0, 300), [0, 1, 2, 3, 4]),
    ],
)
def test_a_box_takes_the_cells_that_it_touches(box, places):
    """Three columns of 100 pixels, 8 between them; rows of 100 pixels from 30 and from 138."""
    left, right, top, bottom = box
    assert _inside({"left": left, "right": right, "top": top, "bottom": bottom}) == places
