"""The page of `predict` as a file: what it holds, and that names cannot become a part of it."""

import base64
import dataclasses
import hashlib
import html.parser
import json
import re
from pathlib import Path

import numpy as np
import pytest

from asae_jax.inference.predict.count.differential import Counter
from asae_jax.inference.predict.page import ReviewPage, page_key, page_script, write_page
from asae_jax.inference.predict.pictures import PER_BLOCK, WHOLES_PER_BLOCK
from asae_jax.inference.predict.similar import Similar
from asae_jax.inference.uncertainty import Thresholds
from asae_jax.input.cell_classes import CellClass
from asae_jax.pages import NOTICE
from tests.inference.predict.made import record

NASTY = """</script><img src=x onerror="alert('1')">&amp;{{ 7 * 6 }}"""
NOT_UTF8 = "slide/caf\udce9.png"
NAMES = ("BLA", "EBO", f"NGS {NASTY}")
CLASSES = (
    CellClass(NAMES[0], "blast", lineage="myeloid", blast=True, place=7),
    CellClass(NAMES[1], "erythroblast", lineage="erythroid", place=3),
    CellClass(NAMES[2], lineage="none"),
)


class _Page(html.parser.HTMLParser):
    """Tags with their attributes, and the text within each kind of tag."""

    VOID = ("meta", "img", "input", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.scripts = [], [], []
        self._open = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self._open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attributes), ""))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data
        elif self._open and self._open[-1] != "style":
            self.texts.append(data.strip())

    def script(self, kind):
        return [text for attributes, text in self.scripts if attributes.get("type") == kind]


def _blocks(page, kind):
    return [text for attributes, text in page.scripts if attributes.get("class") == kind]


def _with_pictures(one, number):
    return dataclasses.replace(
        one,
        attention=np.full((3, 5), number, np.uint8),
        thumbnail=b"\xff\xd8" + bytes([number]),
        picture=b"\xff\xd8 large" + bytes([number]) if number != 1 else None,
        size=(300, 200 + number),
    )


def _records():
    return [
        _with_pictures(record(0, path="a.png", group="p1"), 0),
        record(None, path=f"bad {NASTY}", group="p1"),
        _with_pictures(record(2, path=NASTY, group=f"p2 {NASTY}", abstain=True, sets=(2, 0)), 1),
        _with_pictures(record(1, path=NOT_UTF8, is_outlier=True), 2),
        record(None, path=NOT_UTF8),
    ]


def _write(path, records, confidence=0.9, **changes):
    counter = Counter(CLASSES)
    for one in records:
        counter.add(one)
    differential = dataclasses.replace(counter.differential([f"note {NASTY}"]), **changes)
    similar = Similar([2, 0], [b"first", b"second"], [[(1, 0.98765), (0, 0.5)], *([()] * (len(records) - 1))])
    page = ReviewPage(
        records,
        NAMES,
        differential,
        title=f"title {NASTY}",
        network="n",
        attention_extent=0.875,
        thresholds=Thresholds(0.91, 1.05, confidence) if any(one.uncertainty for one in records) else None,
        similar=similar,
        megabytes=48,
    )
    write_page(path, page)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return _write(tmp_path_factory.mktemp("page") / "page.html", _records())


@pytest.fixture(scope="module")
def page(text):
    return _Page(text)


@pytest.fixture(scope="module")
def data(page):
    return json.loads(page.script("application/json")[0])


def test_other_pictures_are_told_from_these_and_the_order_of_the_same_is_not(tmp_path, data):
    def contents(records):
        page = _Page(_write(tmp_path / "other.html", records))
        return json.loads(page.script("application/json")[0])["contents"]

    assert contents(_records()[::-1]) == data["contents"]
    assert contents(_records()[1:]) != data["contents"]


def test_cells_come_back_as_they_went_in(data):
    first, second, third = data["cells"]
    assert first == {
        "path": "a.png", "file": "a.png", "content": "pixels of a.png", "size": [300, 200], "group": 1,
        "p": [0.9, 0.05, 0.05], "label": 0, "unsure": False, "unlike": False, "outlier_score": 1.25,
        "near": [[1, 0.988], [0, 0.5]],
    }  # fmt: skip
    assert (second["path"], second["unsure"], second["set"], second["group"]) == (NASTY, True, [2, 0], 2)
    assert (third["path"], third["unlike"], third["group"]) == (NOT_UTF8, True, 0)
    assert data["classes"] == list(NAMES)
    assert data["order"] == [2, 1, 0], "by their places 0, 3 and 7"
    assert [data["known"][name][1:3] for name in ("bla", "ebo")] == [["myeloid", True], ["erythroid", False]]
    assert data["extent"] == 0.875
    assert data["thresholds"] == {"certainty": 0.91, "outlier": 1.05, "confidence": 0.9}
    assert data["training"] == [2, 0]
    assert second["near"] == []
    assert data["network"] == "n"


def test_counts_are_those_of_the_differential(data):
    everyone, p1, p2 = data["counts"]
    assert (everyone["images"], everyone["left"], everyone["unlike"], everyone["unreadable"]) == (5, 2, 1, 2)
    assert (p1["group"], p1["images"]) == ("p1", 2)
    assert p2["group"] == f"p2 {NASTY}"
    assert (everyone["cells"], everyone["sure"]) == ([1, 1, 1], [1, 0, 0])


def test_the_count_can_be_read_without_the_script(page):
    words = " ".join(page.texts)
    for expected in (
        NOTICE,
        "50.0 % [9.5, 90.5]",
        "M:E ratio, if this is marrow",
        "blasts",
        "cells the run is sure of",
        "p1",
    ):
        assert expected in words, expected


def test_bad_images_are_listed_with_their_reason(page):
    assert f"bad {NASTY}" in page.texts
    assert "slide/caf\ufffd.png" in page.texts
    assert page.texts.count("empty file") == 2


def test_pictures_belong_to_their_cells(page):
    (block,) = _blocks(page, "pictures")
    for number, line in enumerate(block.split("\n")):
        jpeg, height, width, attention = line.split(" ")
        assert base64.b64decode(jpeg) == b"\xff\xd8" + bytes([number])
        assert (height, width) == ("3", "5")
        assert base64.b64decode(attention) == bytes([number]) * 15


def test_pictures_are_cut_into_blocks(tmp_path):
    many = [record(0, path=f"{n}.png") for n in range(PER_BLOCK + 1)]
    page = _Page(_write(tmp_path / "many.html", many))
    blocks = _blocks(page, "pictures")
    assert [len(block.split("\n")) for block in blocks] == [PER_BLOCK, 1]
    assert blocks[1] == "- 0 0 -"
    wholes = _blocks(page, "wholes")
    assert sum(len(block.split("\n")) for block in wholes) == PER_BLOCK + 1
    assert len(wholes[0].split("\n")) == WHOLES_PER_BLOCK


def test_large_pictures_belong_to_their_cells_and_lacking_ones_are_told(page):
    lines = "\n".join(_blocks(page, "wholes")).split("\n")
    assert [line if line == "-" else base64.b64decode(line) for line in lines] == [
        b"\xff\xd8 large\x00", "-", b"\xff\xd8 large\x02",
    ]  # fmt: skip
    assert "1 of 3 cells have a small picture only: the page holds up to 48 MB" in " ".join(page.texts)


def test_similar_training_cells_have_their_pictures(page):
    (block,) = (text for attributes, text in page.scripts if attributes.get("id") == "training")
    assert [base64.b64decode(line) for line in block.split("\n")] == [b"first", b"second"]


def test_names_stay_text(page):
    assert f"title {NASTY}" in page.texts
    assert f"note {NASTY}" in page.texts
    assert NAMES[2] in page.texts
    assert not [attributes for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert [attributes for tag, attributes in page.tags if tag == "img" and "src" in attributes] == []


def test_the_only_script_that_runs_is_ours(page):
    (script,) = (text for attributes, text in page.scripts if "type" not in attributes)
    assert script == page_script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_nothing_is_asked_of_another_place(text):
    assert not re.search(r"https?:|@import|url\(", text)


def test_every_element_that_the_script_names_is_there(page):
    there = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert set(re.findall(r'byId\("([a-z-]+)"\)', page_script())) <= there


def test_every_field_has_a_name(page):
    labels = 0
    for tag, attributes in page.tags:
        labels += tag == "label"
        if tag in ("select", "input"):
            labels -= "aria-label" not in attributes
    assert labels == 0


@pytest.mark.parametrize("confidence", [0.9, None])
def test_how_often_sets_are_right_is_said_where_it_is_known(tmp_path, confidence):
    text = _write(tmp_path / "page.html", _records(), confidence)
    assert ("the true one is among them for 90 % of cells like those" in text) == (confidence is not None)
    assert ("how often the true one is among them is not known" in text) == (confidence is None)


def test_without_uncertainty_estimates_nothing_is_said_of_them(tmp_path):
    plain = [dataclasses.replace(record(0, path="a.png"), uncertainty=None)]
    page = _Page(_write(tmp_path / "plain.html", plain))
    words = " ".join(page.texts)
    assert "sure of" not in words
    assert "left to a person" not in words
    assert "without a prediction" not in words
    assert "unsure" not in json.loads(page.script("application/json")[0])["cells"][0]


def test_a_page_that_holds_a_part_says_so(tmp_path):
    records = [record(0, path=f"{number}.png") for number in range(3)]
    counter = Counter(CLASSES)
    for one in records:
        counter.add(one)
    path = tmp_path / "part.html"
    page = ReviewPage(records[:2], NAMES, counter.differential(), "part", network="n", attention_extent=1.0)
    write_page(path, page)
    assert "The page holds 2 of 3 cells" in " ".join(_Page(path.read_text()).texts)


def test_a_page_written_again_finds_what_a_person_said(tmp_path):
    def identifier(name):
        page = _Page(_write(tmp_path / name, _records()))
        return json.loads(page.script("application/json")[0])["page"]

    assert identifier("a.html") == identifier("a.html") != identifier("b.html")


def test_the_next_page_of_a_path_is_another_one(tmp_path):
    """The one before may have been moved away, and has its labels in the same browser."""
    path, records = tmp_path / "a.html", _records()
    key = page_key(path, "n", records)
    assert page_key(path, "n", records[::-1]) == key
    assert len({key, page_key(path, "another", records), page_key(path, "n", records[1:])}) == 3


def test_a_page_is_the_same_however_its_path_is_spelled(tmp_path, monkeypatch):
    def identifiers(path):
        data = json.loads(_Page(_write(Path(path), _records())).script("application/json")[0])
        return data["page"], data["former"]

    folder = tmp_path / "runs" / "mine"
    folder.mkdir(parents=True)
    (tmp_path / "latest").symlink_to(folder)
    plain, former = identifiers(folder / "a.html")
    assert former == [_digest(folder / "a.html")] != [plain], "the path's own, of earlier versions"
    monkeypatch.chdir(folder)
    spelled = tmp_path / "runs" / ".." / "latest" / "a.html"
    for path in ("a.html", "../mine/a.html", spelled):
        assert identifiers(path)[0] == plain
    assert identifiers(spelled)[1] == [*former, _digest(spelled)]


def _digest(path):
    return hashlib.sha256(bytes(path)).hexdigest()[:16]
