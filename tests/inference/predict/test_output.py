"""Predictions as files: the contract other programs rely on."""

import csv
import dataclasses
import json

import pytest

from asae_jax.errors import UserError
from asae_jax.inference.inputs import group_column_of, read_input
from asae_jax.inference.predict.output import open_output
from tests.inference.predict.made import record

NAMES = ("a", "b", "c, with comma")


def _write(path, records, **options):
    options = {"group": "", "uncertainty": False} | options
    with open_output(path, NAMES, **options) as write:
        for one in records:
            write(one)


def _read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_columns_begin_with_the_contract(tmp_path):
    _write(tmp_path / "new" / "p.csv", [record(1, path="x, y.png"), record(None, path="bad.png")])
    first, second = _read(tmp_path / "new" / "p.csv")
    assert list(first) == [
        "path",
        "label",
        "probability",
        "p_a",
        "p_b",
        "p_c, with comma",
        "error",
        "for_person",
    ]
    assert (first["path"], first["label"], first["probability"]) == ("x, y.png", "b", "0.900000")
    assert float(first["p_a"]) == pytest.approx(0.05)
    assert first["error"] == ""
    assert second == {
        **dict.fromkeys(first, ""), "path": "bad.png", "error": "empty file", "for_person": "yes"
    }  # fmt: skip


def test_group_and_uncertainty_come_last(tmp_path):
    records = [
        record(2, group="p1", is_outlier=True, sets=(2, 0)),
        record(0, group="p2", sets=()),
        record(None),
    ]
    _write(tmp_path / "p.csv", records, group="group", uncertainty=True)
    rows = _read(tmp_path / "p.csv")
    assert list(rows[0])[-6:] == [
        "group",
        "abstain",
        "outlier_score",
        "outlier",
        "conformal_set",
        "for_person",
    ]
    assert [row["outlier"] for row in rows] == ["yes", "no", ""]
    assert rows[0]["outlier_score"] == "1.250000"
    assert [row["conformal_set"] for row in rows] == ["c, with comma|a", "", ""]


@pytest.mark.parametrize("positions", [False, True])
@pytest.mark.parametrize("column", ["group", "slide", "smear"])
def test_predictions_that_are_predicted_again_have_the_same_groups(tmp_path, column, positions):
    """Fields do not become patients."""
    header, place = (",slide,x,y", ",F 1,{0},2") if positions else ("", "")
    if column == "slide":
        lines = [f"{n}.png{place.format(n) or ',F 1'}" for n in range(2)] + [f"2.png,{',,' * positions}"]
        text = "\n".join([f"path{header or ',slide'}", *lines])
    else:
        lines = [f"{n}.png,p{n}{place.format(n)}" for n in range(3)]
        text = "\n".join([f"path,{column}{header}", *lines])
    (tmp_path / "list.csv").write_text(text)
    items = read_input(str(tmp_path / "list.csv"))
    assert any(item.of_slide for item in items) == (column != "group")
    records = [
        dataclasses.replace(record(0, path=item.path, group=item.group), position=item.position)
        for item in items
    ]
    _write(tmp_path / "p.csv", records, group=group_column_of(items), positions=positions)
    again = read_input(str(tmp_path / "p.csv"))
    assert again == items


def test_one_column_says_what_is_left_to_a_person_as_the_page_does(tmp_path):
    records = [
        record(0, probability=0.99999, is_outlier=True),
        record(0, abstain=True),
        record(0, abstain=True, is_outlier=True),
        record(0),
        record(None),
    ]
    _write(tmp_path / "p.csv", records, uncertainty=True)
    rows = _read(tmp_path / "p.csv")
    assert [row["abstain"] for row in rows] == ["no", "yes", "yes", "no", ""]
    assert [row["for_person"] for row in rows] == ["yes", "yes", "yes", "no", "yes"]
    assert [row["for_person"] == "yes" for row in rows[:4]] == [one.left_to_person for one in records[:4]]


def test_without_estimates_only_an_unreadable_image_is_known_to_be_for_a_person(tmp_path):
    one = dataclasses.replace(record(1), uncertainty=None)
    _write(tmp_path / "p.csv", [one, record(None)])
    assert [row["for_person"] for row in _read(tmp_path / "p.csv")] == ["", "yes"]


def test_json_lines_have_the_same_fields_with_types(tmp_path):
    _write(tmp_path / "p.jsonl", [record(1, sets=(1,)), record(None)], uncertainty=True)
    first, second = map(json.loads, (tmp_path / "p.jsonl").read_text().splitlines())
    assert list(first) == list(second)
    assert first["label"] == "b"
    assert first["p_b"] == pytest.approx(0.9)
    assert first["abstain"] is False
    assert first["for_person"] is False
    assert first["conformal_set"] == ["b"]
    assert second["label"] is None
    assert second["error"] == "empty file"
    assert second["for_person"] is True


def test_a_file_name_that_is_not_utf8_survives(tmp_path):
    _write(tmp_path / "p.csv", [record(0, path="caf\udce9.png")])
    assert b"caf\xe9.png" in (tmp_path / "p.csv").read_bytes()


def test_an_interrupted_file_does_not_bear_the_name(tmp_path):
    path = tmp_path / "p.csv"

    def interrupted():
        with open_output(path, NAMES, group="", uncertainty=False) as write:
            write(record(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not path.exists()


def test_no_place_to_write_to_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*choose another --output"):
        _write(tmp_path / "file" / "p.csv", [])
