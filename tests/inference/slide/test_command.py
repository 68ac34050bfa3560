"""`slide`: labels of a list, or of a review, onto the slides."""

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

from asae_jax import cli
from asae_jax.input.content import image_content
from asae_jax.input.tiff import ORIENTATION
from tests.inference.qupath import read


@pytest.fixture
def cells(tmp_path):
    """A list of three cells of one field, and their pictures."""
    rng = np.random.default_rng(0)
    (tmp_path / "cells").mkdir()
    pictures = rng.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    lines = ["path,slide,x,y,width,height,label"]
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / "cells" / f"{number}.png")
        lines.append(f"cells/{number}.png,f 1,{10 * number},20,40,40,LY")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    return tmp_path, [image_content(picture) for picture in pictures]


def _slide(folder, *options):
    return cli.main(["slide", f"--input={folder / 'list.csv'}", *options])


def _labels(folder, *rows):
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "seen", "content"], *rows])
    return f"--labels={folder / 'labels.csv'}"


def test_labels_of_a_list_are_somebody_s_own(cells):
    folder, _ = cells
    assert _slide(folder) == 0
    found = read(folder / "list_on_slide.geojson")
    assert [(one[0], one[2]) for one in found] == [("annotation", "LY")] * 3


def test_labels_of_predictions_are_a_network_s(cells):
    folder, _ = cells
    text = (folder / "list.csv").read_text().replace("label", "label,probability").replace("LY", "LY,0.5")
    (folder / "list.csv").write_text(text)
    assert _slide(folder, f"--output={folder / 'q.geojson'}") == 0
    assert [one[0] for one in read(folder / "q.geojson")] == ["detection"] * 3


def test_of_a_review_that_is_the_list_only_labels_that_were_looked_at_are_a_person_s(cells):
    folder, _ = cells
    lines = (folder / "list.csv").read_text().splitlines()
    more = [",predicted,seen,reviewer", ",LY,yes,AB", ",LY,no,", ",LY,no,AB"]
    text = "\n".join(line + end for line, end in zip(lines, more, strict=True))
    (folder / "list.csv").write_text(text)
    assert _slide(folder, f"--output={folder / 'q.geojson'}") == 0
    found = read(folder / "q.geojson")
    assert [one[0] for one in found] == ["annotation", "detection", "detection"]
    assert found[0][6]["reviewer"] == "AB"


def test_seen_is_yes_or_no(cells, capsys):
    folder, _ = cells
    assert _slide(folder, _labels(folder, ["cells/0.png", "BNE", "nein", ""])) == 2
    assert "line 2: seen is 'nein'" in capsys.readouterr().err


def test_what_an_earlier_version_made_is_refused_by_that_name_and_the_remedies_hold(cells, capsys):
    """It did not say for which list the labels were."""
    folder, _ = cells
    labels = _labels(folder, *([f"cells/{number}.png", "BNE", "yes", ""] for number in range(3)))
    assert _slide(folder, labels) == 0
    made = folder / "labels_on_slide.geojson"
    text = made.read_text()
    made.write_text(text.replace(f" for {folder / 'list.csv'}", ""))
    assert made.read_text() != text
    assert _slide(folder, labels) == 2
    assert f"{made} was made from another input, by another program or an earlier" in capsys.readouterr().err
    assert _slide(folder, labels, f"--output={folder / 'other'}") == 0
    made.rename(folder / "away.geojson")
    assert _slide(folder, labels) == 0
    assert made.read_text() == text


@pytest.mark.parametrize("output", [".", "..", "/", "../.."])
def test_an_output_without_a_name_is_refused_in_a_line(cells, capsys, output):
    folder, _ = cells
    assert _slide(folder, f"--output={output}") == 2
    assert "is a folder: name a file in it (--output=" in capsys.readouterr().err


def test_a_review_may_spell_the_folder_otherwise(cells):
    folder, contents = cells
    link = folder.parent / f"{folder.name}_link"
    link.symlink_to(folder)
    rows = [[link / "cells" / f"{n}.png", "BNE", "yes", content] for n, content in enumerate(contents)]
    assert _slide(folder, _labels(folder, *rows)) == 0
    assert [one[2] for one in read(folder / "labels_on_slide.geojson")] == ["BNE"] * 3


def test_a_review_goes_before_the_list_and_another_picture_is_left_out(cells, capsys):
    folder, contents = cells
    labels = _labels(
        folder,
        [folder / "cells" / "0.png", "BNE", "yes", contents[0]],
        [folder / "cells" / "1.png", "BNE", "yes", contents[0]],
        ["cells/2.png", "SNE", "no", ""],
    )
    assert _slide(folder, labels) == 0
    found = read(folder / "labels_on_slide.geojson")
    assert [(one[0], one[2]) for one in found] == [("annotation", "BNE"), ("detection", "SNE")]
    shown = capsys.readouterr().out
    assert "left out: 1 labels of" in shown
    assert "1.png" in shown
    assert "not a diagnosis" in shown


def test_where_all_labelled_pictures_have_changed_that_is_said(cells, capsys):
    folder, contents = cells
    rows = [[f"cells/{number}.png", "BNE", "yes", contents[0]] for number in (1, 2)]
    assert _slide(folder, _labels(folder, *rows)) == 2
    error = capsys.readouterr().err
    assert "none of the 2 labels of" in error
    assert "hold another picture than the one that was labelled" in error
    assert "no path of" not in error


def test_labels_whose_pictures_have_changed_are_named_once(cells, capsys):
    """The list itself has no labels."""
    folder, contents = cells
    text = (folder / "list.csv").read_text().replace(",label", "").replace(",LY", "")
    (folder / "list.csv").write_text(text)
    rows = [[f"cells/{number}.png", "BNE", "yes", contents[0]] for number in (0, 1)]
    assert _slide(folder, _labels(folder, *rows)) == 0
    left_out = [line for line in capsys.readouterr().out.splitlines() if line.startswith("left out:")]
    assert len(left_out) == 2
    assert "1 labels of" in left_out[0]
    assert left_out[1] == "left out: 1 cells without a label"


def test_what_a_person_left_out_is_not_put_on_the_slide(cells, capsys):
    folder, _ = cells
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ["path", "label", "predicted", "seen", "content", "reviewer", "reviewed", "reason"],
                ["cells/0.png", "", "LY", "yes", "", "AB", "2026-01-02", "artefact"],
                ["cells/1.png", "BNE", "LY", "yes", "", "AB", "2026-01-02", ""],
            ]
        )
    assert _slide(folder, f"--labels={folder / 'labels.csv'}") == 0
    first, second = read(folder / "labels_on_slide.geojson")
    assert (first[0], first[2], second[0], second[2]) == ("annotation", "BNE", "detection", "LY")
    assert first[6] == {
        "path": "cells/1.png", "predicted": "LY", "reviewer": "AB", "reviewed": "2026-01-02",
    }  # fmt: skip
    assert "left out: 1 cells that a person left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["/elsewhere/a.png", "LY", "yes", ""]], "no path of .*labels.csv is in .*list.csv"),
        (
            [["cells/0.png", "LY", "yes", ""], ["./cells/0.png", "BNE", "yes", ""]],
            "line 3: .* listed already in line 2",
        ),
    ],
)
def test_reviews_that_do_not_fit_are_refused(cells, capsys, rows, message):
    folder, _ = cells
    assert _slide(folder, _labels(folder, *rows)) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert re.search(message, error)
    assert not list(folder.glob("*.geojson"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,slide,x\na.png,S,1\n", "column 'y' is missing"),
        ("path,slide,x,y\na.png,S,1,2\n", "has a label"),
        ("path,slide,x,y,label\na.png,,,,LY\n", "has a position"),
        ("path,slide,x,y,label\na.png,S,1,2,LY\n./a.png,S,3,2,LY\n", "listed already in line 2"),
    ],
)
def test_lists_that_cannot_be_used_are_refused(tmp_path, capsys, text, message):
    (tmp_path / "list.csv").write_text(text)
    assert _slide(tmp_path) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["list.csv"]


def test_nothing_given_is_said(capsys):
    assert cli.main(["slide"]) == 2
    assert "give --input=CELLS.csv" in capsys.readouterr().err


def test_fields_are_tasks_with_rectangles(cells):
    folder, contents = cells
    (folder / "photos").mkdir()
    Image.new("RGB", (200, 100)).save(folder / "photos" / "f 1.png")
    labels = _labels(folder, [folder / "cells" / "0.png", "BNE", "yes", contents[0]])
    options = (labels, f"--label_studio={folder}", f"--images={folder / 'photos'}")
    assert _slide(folder, *options) == 0
    (task,) = json.loads((folder / "labels_on_slide_label_studio.json").read_text())
    assert task["data"] == {"slide": "f 1", "image": "/data/local-files/?d=photos/f%201.png"}
    (by_person,) = task["annotations"][0]["result"]
    assert by_person["value"] == {
        "x": 0, "y": 20, "width": 20, "height": 40, "rotation": 0, "rectanglelabels": ["BNE"],
    }  # fmt: skip
    assert len(task["predictions"][0]["result"]) == 2
    assert "RectangleLabels" in (folder / "labels_on_slide_label_studio.xml").read_text()


def _turned_field(folder, name):
    """A photograph of 200 x 100 pixels that says it is to be turned by 90 degrees clockwise."""
    (folder / "photos").mkdir()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.new("RGB", (200, 100), "white").save(folder / "photos" / name, exif=exif)
    return _slide(folder, f"--label_studio={folder}", f"--images={folder / 'photos'}")


def test_rectangles_follow_a_photograph_that_browsers_turn(cells):
    folder, _ = cells
    assert _turned_field(folder, "f 1.jpg") == 0
    (task,) = json.loads((folder / "list_on_slide_label_studio.json").read_text())
    first, *_ = task["annotations"][0]["result"]
    assert (first["original_width"], first["original_height"]) == (100, 200)
    value = first["value"]  # of x 0, y 20, 40 x 40 pixels, as stored
    assert [value[key] for key in ("x", "y", "width", "height")] == [40, 0, 40, 20]


def test_photographs_that_some_browsers_turn_are_refused(cells, capsys):
    folder, _ = cells
    assert _turned_field(folder, "f 1.png") == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "(orientation 6), which of its kind only some browsers do" in error
    assert not list(folder.glob("*_on_slide*"))


def test_a_file_of_another_program_is_not_replaced(cells, capsys):
    folder, _ = cells
    tasks = folder / "list_on_slide_label_studio.json"
    tasks.write_text("an export")
    assert _slide(folder, f"--label_studio={folder}") == 2
    assert f"{tasks} was made from another input or by another program" in capsys.readouterr().err
    assert tasks.read_text() == "an export"
    tasks.unlink()
    for _ in range(2):
        assert _slide(folder, f"--label_studio={folder}") == 0
    assert len(json.loads(tasks.read_text())) == 3


def test_a_list_does_not_take_the_files_of_another_with_the_same_labels(cells, capsys):
    """Every list of `cut` is called cells.csv, and its labels cells_labels.csv."""
    folder, contents = cells
    labels = _labels(folder, *([f"cells/{n}.png", "EO", "yes", contents[n]] for n in range(3)))
    assert _slide(folder, labels) == 0
    (written,) = folder.glob("*.geojson")
    before = written.read_bytes()
    (folder / "other.csv").write_text((folder / "list.csv").read_text())
    assert cli.main(["slide", f"--input={folder / 'other.csv'}", labels]) == 2
    assert f"{written} was made from another input" in capsys.readouterr().err
    assert written.read_bytes() == before
    assert _slide(folder, labels) == 0


def test_tasks_of_an_earlier_call_do_not_stay_beside_new_labels(cells):
    folder, _ = cells
    tasks = [folder / f"list_on_slide_label_studio.{ending}" for ending in ("json", "xml")]
    assert _slide(folder, f"--label_studio={folder}") == 0
    assert all(path.exists() for path in tasks)
    assert _slide(folder) == 0
    assert not any(path.exists() for path in tasks)


def test_tasks_of_another_program_stay(cells):
    folder, _ = cells
    tasks = folder / "list_on_slide_label_studio.json"
    tasks.write_text("an export")
    assert _slide(folder) == 0
    assert tasks.read_text() == "an export"


def test_the_interface_offers_what_was_proposed_and_all_classes_of_a_table(cells):
    folder, _ = cells
    (folder / "labels.csv").write_text("path,label,predicted\ncells/0.png,sne,BNE\n")
    (folder / "own.csv").write_text("class,lineage\nSNE,myeloid\nMO,myeloid\n")
    options = (f"--labels={folder / 'labels.csv'}", f"--label_studio={folder}")
    interface = folder / "labels_on_slide_label_studio.xml"
    for more, names in (((), {"sne", "BNE", "LY"}), (("own",), {"sne", "BNE", "LY", "MO"})):
        assert _slide(folder, *options, *(f"--classes={folder / name}.csv" for name in more)) == 0
        assert set(re.findall('Choice value="(.*?)"', interface.read_text())) == names


@pytest.mark.parametrize(
    ("size", "name", "message"),
    [((200, 100), "g.png", "no image of slide f 1"), ((15, 15), "f 1.png", "lies outside of")],
)
def test_fields_that_do_not_fit_are_refused(cells, capsys, size, name, message):
    folder, _ = cells
    (folder / "photos").mkdir()
    Image.new("RGB", size).save(folder / "photos" / name)
    assert _slide(folder, f"--label_studio={folder}", f"--images={folder / 'photos'}") == 2
    assert message in capsys.readouterr().err
    assert not list(folder.glob("*_on_slide*"))
