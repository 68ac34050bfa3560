"""GeoJSON for QuPath: what its reader asks, names of files, and what is not replaced."""

import json

import pytest

from asae_jax.errors import UserError
from asae_jax.inference.geojson import SlideFiles, feature
from asae_jax.inference.positions import Position
from tests.inference.qupath import read

RECTANGLE, POINT = Position("S", 10, 20.5, 96, 94), Position("S", 300, 400.25)


def _written(stem, slides, source="list.csv"):
    files = SlideFiles(stem, slides, source)
    for slide in slides:
        files.add(slide, feature(Position(slide, 1, 2), "LY", "#010203"))
    return files.write()


def test_a_prediction_is_a_detection_and_a_person_s_label_an_annotation(tmp_path):
    files = SlideFiles(tmp_path / "p", ["S"], "list.csv")
    files.add("S", feature(RECTANGLE, "BNE", "#0a0b0c", name="a.png", numbers={"probability": 0.5},
                           notes={"path": "a.png"}))  # fmt: skip
    files.add("S", feature(RECTANGLE, "SNE", "#ffffff", person=True))
    files.add("S", feature(POINT, "LY", "#000000"))
    files.add("S", feature(POINT, "", ""))
    files.write()
    box = (10, 20.5, 106, 114.5)
    assert read(tmp_path / "p.geojson") == [
        ("detection", "a.png", "BNE", (10, 11, 12), box, {"probability": 0.5}, {"path": "a.png"}),
        ("annotation", None, "SNE", (255, 255, 255), box, {}, {}),
        ("annotation", None, "LY", (0, 0, 0), (300, 400.25), {}, {}),
        ("annotation", None, "", (0, 0, 0), (300, 400.25), {}, {}),
    ]
    assert "not a diagnosis" in json.loads((tmp_path / "p.geojson").read_text())["notice"]


def test_a_cell_has_one_identifier_and_every_cell_another():
    ids = [feature(place, "LY", "#000000")["id"] for place in (RECTANGLE, RECTANGLE, POINT)]
    assert ids[0] == ids[1] != ids[2]
    other = feature(Position("T", 10, 20.5, 96, 94), "LY", "#000000")["id"]
    assert other != ids[0]
    assert feature(RECTANGLE, "SNE", "#000000", person=True)["id"] != ids[0]


def test_each_of_several_slides_has_its_file_whatever_it_is_called(tmp_path):
    slides = ["S 1.svs", "s_1.SVS", "../up", "a/b\\c:d*?", "Übersicht", "\udce9", "", "." * 5, "x" * 300]
    paths = _written(tmp_path / "p", slides)
    assert all(path.parent == tmp_path for path in paths)
    assert len({path.name.casefold() for path in paths}) == len(slides) == len(list(tmp_path.iterdir()))
    assert [path.name for path in paths[:3]] == [
        "p_S_1.svs.geojson", "p_s_1.SVS-2.geojson", "p_up.geojson",
    ]  # fmt: skip
    assert all(len(path.name) < 120 for path in paths)
    assert [json.loads(path.read_text())["slide"] for path in paths] == slides


def test_without_a_position_there_is_no_file(tmp_path):
    assert SlideFiles(tmp_path / "p", [], "list.csv").write() == []
    assert not list(tmp_path.iterdir())


def test_the_same_input_replaces_its_files_and_removes_those_of_slides_it_no_longer_has(tmp_path):
    _written(tmp_path / "p", ["A", "B"])
    _written(tmp_path / "p_A2", ["A"])  # of the same input, under another name
    (tmp_path / "p_mine.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    _written(tmp_path / "p", ["A", "C"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "p_A.geojson", "p_A2.geojson", "p_C.geojson", "p_mine.geojson",
    ]  # fmt: skip


def test_files_of_the_same_input_are_replaced_where_that_lay_elsewhere(tmp_path):
    _written(tmp_path / "p", ["A", "B"], source="/before/list.csv")
    files = SlideFiles(tmp_path / "p", ["A", "C"], "/after/list.csv", "/before/list.csv")
    assert [path.name for path in files.write()] == ["p_A.geojson", "p_C.geojson"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p_A.geojson", "p_C.geojson"]


@pytest.mark.parametrize("content", ['{"type": "FeatureCollection", "features": []}', "x", None])
def test_what_others_made_is_not_replaced(tmp_path, content):
    path = tmp_path / "p.geojson"
    if content is None:
        _written(tmp_path / "p", ["A"], source="other.csv")
    else:
        path.write_text(content)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"p\.geojson was made from another input"):
        SlideFiles(tmp_path / "p", ["A"], "list.csv")
    assert path.read_bytes() == before
