"""The page of `embed` as a file: what it holds, and that names cannot become a part of it."""

import base64
import dataclasses
import hashlib
import json
import re

import numpy as np
import pytest

from asae_jax.inference.embed.embedding import Embedding
from asae_jax.inference.embed.page import page_data, page_script, write_page
from asae_jax.inference.embed.projection import pca
from asae_jax.input.cell_classes import cell_classes
from asae_jax.pages import NOTICE
from tests.inference.predict.test_page import NASTY, NOT_UTF8, _Page


def _embedding():
    features = np.array([[1, 0, 0], [np.nan] * 3, [1, 0.1, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    return Embedding(
        features,
        paths=np.array(["a.png", f"bad {NASTY}", NASTY, NOT_UTF8, "d.png"]),
        labels=np.array(["BLA", "", NASTY, "", "BLA"]),
        groups=np.array(["p1", "p1", f"p2 {NASTY}", "", "p1"]),
        predicted=np.array(["BLA", "", "EBO", "BLA", "EBO"]),
        probability=np.array([0.9, np.nan, 0.8, 0.7, 0.6], np.float32),
        outlier_score=np.array([1.5, np.nan, np.nan, 2.5, 0.5], np.float32),
        errors=np.array(["", f"broken {NASTY}", "", "", ""]),
    )


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    embedding = _embedding()
    pictures = [b"\xff\xd80", None, b"\xff\xd82", None, b"\xff\xd84"]
    write_page(path, embedding, pca(embedding.features[embedding.usable]), pictures, title=f"t {NASTY}")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return _Page(text)


@pytest.fixture(scope="module")
def data(page):
    return json.loads(page.script("application/json")[0])


def test_cells_come_back_as_they_went_in(data):
    assert data["paths"] == ["a.png", NASTY, NOT_UTF8, "d.png"]
    assert data["probability"] == [0.9, 0.8, 0.7, 0.6]
    ways = data["ways"]
    assert ways["label"]["names"] == ways["predicted"]["names"] == sorted({"BLA", "EBO", NASTY})
    names = np.array([*ways["label"]["names"], ""])
    assert names[ways["label"]["of"]].tolist() == ["BLA", NASTY, "", "BLA"]
    assert names[ways["predicted"]["of"]].tolist() == ["BLA", "EBO", "BLA", "EBO"]
    assert dict(zip(ways["group"]["names"], ways["group"]["counts"], strict=True)) == {
        "p1": 2,
        f"p2 {NASTY}": 1,
    }
    assert ways["outlier"]["values"] == [1.5, None, 2.5, 0.5]


def test_classes_are_listed_as_haematologists_think():
    """By lineage and maturity, those that only a label names behind them."""
    run_classes = cell_classes(("SNE", "BNE", "MY", "LY"))
    embedding = dataclasses.replace(
        _embedding(), labels=np.array(["SNE", "", "zzz", "MY", "BNE"]), predicted=np.array([""] * 5)
    )
    data = page_data(embedding, pca(embedding.features[embedding.usable]), np.ones(4, bool), run_classes)
    ways = data["ways"]["label"]
    assert ways["names"] == ["MY", "BNE", "SNE", "zzz"]
    assert [ways["names"][number] for number in ways["of"]] == ["SNE", "zzz", "MY", "BNE"]


def test_pictures_belong_to_their_cells_and_the_most_similar_come_first(page, data):
    lines = page.script("text/plain")[0].split("\n")
    assert [line if line == "-" else base64.b64decode(line)[2:] for line in lines] == [b"0", b"2", "-", b"4"]
    assert data["alike"] == [[1, 3], [0, 3], [], [0, 1]]


def test_what_must_be_said_is_said(page):
    words = " ".join(page.texts)
    for expected in (NOTICE, "4 of 5 images on the map", "of the variance", "pictures of 3 cells"):
        assert expected in words, expected
    assert f"bad {NASTY}" in page.texts
    assert f"broken {NASTY}" in page.texts


def test_names_stay_text(page, text):
    assert f"t {NASTY}" in page.texts
    assert not [attributes for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert [attributes for tag, attributes in page.tags if tag == "img" and "src" in attributes] == []
    assert not re.search(r"https?:|@import|url\(", text)


def test_the_only_script_that_runs_is_ours_and_finds_its_elements(page):
    (script,) = (text for attributes, text in page.scripts if "type" not in attributes)
    assert script == page_script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert f"script-src 'sha256-{digest}'" in policy
    there = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert set(re.findall(r'byId\("([a-z-]+)"\)', page_script())) <= there
