"""`cut` as a user calls it: squares, list and outlines, on drawn fields."""

import csv
import math
import shutil
import sys

import numpy as np
import pytest
import skimage  # noqa: F401, so that this file is left out where it is not installed
from PIL import Image

from asae_jax import cli
from asae_jax.errors import UserError
from asae_jax.inference.cut.cells import crop, outlined, squares
from asae_jax.inference.cut.nuclei import Nucleus
from asae_jax.inference.inputs import group_column_of, read_input
from asae_jax.input.decode import read_image
from tests.inference.cut.drawn import draw_field


def _rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Two fields of two patients and a file that is none; and the fields as drawn."""
    folder, fields = tmp_path_factory.mktemp("photographs"), {}
    for name, seed in (("p1/a b.png", 60), ("p2/a b.jpg", 61)):
        fields[name] = draw_field(seed, size=700, singles=6)
        (folder / name).parent.mkdir()
        Image.fromarray(fields[name].image).save(folder / name, quality=95)
    (folder / "p2" / "broken.png").write_text("x")
    return folder, fields


@pytest.fixture(scope="module")
def output(photographs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("output") / "new"
    assert cli.main(["cut", f"--input={photographs[0]}", f"--output={folder}", "--border=pad"]) == 0
    return folder


def test_squares_are_the_pixels_around_the_cells(photographs, output):
    _, fields = photographs
    rows = _rows(output / "cells.csv")
    assert list(rows[0]) == ["path", "group", "slide", "x", "y", "width", "height", "note"]
    found = 0
    for row in rows:
        left, top, width, height = (int(row[name]) for name in ("x", "y", "width", "height"))
        field, square = fields[row["slide"]], read_image(output / row["path"])
        assert square.shape == (height, width, 3)
        assert row["group"] == row["slide"][:2]
        middle = left + width / 2 - 0.5, top + height / 2 - 0.5
        found += any(math.dist(middle, (c.x, c.y)) <= c.nucleus / 2 + 1 for c in field.cells)
        if row["slide"].endswith(".png") and min(left, top) >= 0 and max(left + width, top + height) <= 700:
            np.testing.assert_array_equal(square, field.image[top : top + height, left : left + width])
    assert found == len(rows) == 12


def test_the_list_is_one_that_predict_takes(output):
    items = read_input(str(output / "cells.csv"))
    assert all(item.position for item in items)
    assert {item.group for item in items} == {"p1", "p2"}
    assert all(read_image(item.file).shape[1] == item.position.width for item in items)


def test_the_folder_is_none_that_is_taken_for_cells(output):
    """Its fields with outlines would be counted, and its folder `cells` be a patient."""
    for folder in (output, output.parent):
        with pytest.raises(UserError, match="give the list of the cells") as refused:
            read_input(str(folder))
        assert f"--input={output / 'cells.csv'}" in str(refused.value)
    assert len(read_input(str(output / "cells"))) == len(read_input(str(output / "cells.csv")))


def test_every_field_is_counted_and_drawn_with_a_legend(output):
    counts = {row["slide"]: row for row in _rows(output / "fields.csv")}
    assert {name: row["cells"] for name, row in counts.items()} == {
        "p1/a b.png": "6", "p2/a b.jpg": "6", "p2/broken.png": "",
    }  # fmt: skip
    assert "not a JPEG" in counts["p2/broken.png"]["error"]
    assert [counts[name]["dark"] for name in counts] == ["0.0", "0.0", ""]
    pictures = sorted((output / "fields").iterdir())
    assert [path.name for path in pictures] == ["p1_a_b.jpg", "p2_a_b.jpg"]
    assert all(read_image(path).shape[0] > 700 for path in pictures)


def test_what_was_found_is_said_to_be_an_estimate(photographs, tmp_path, capsys):
    options = [f"--input={photographs[0] / 'p1'}", f"--output={tmp_path / 'o'}", "--size=64", "--nucleus=70"]
    assert cli.main(["cut", *options]) == 0
    shown = capsys.readouterr().out
    for text in ("70 pixels (as given); squares of 64 pixels", "a b.png: ", "may be several", "an estimate",
                 "not a diagnosis"):  # fmt: skip
        assert text in shown
    assert {row["width"] for row in _rows(tmp_path / "o" / "cells.csv")} == {"64"}
    assert "group" not in _rows(tmp_path / "o" / "cells.csv")[0]


def test_fields_are_called_by_their_path_below_the_folder_that_was_given(photographs, tmp_path):
    shutil.copytree(photographs[0] / "p1", tmp_path / "all" / "p1")
    inputs = {"p1/a b.png": tmp_path / "all", "a b.png": tmp_path / "all" / "p1" / "a b.png"}
    for number, (name, given) in enumerate(inputs.items()):
        output = tmp_path / str(number)
        assert cli.main(["cut", f"--input={given}", f"--output={output}", "--nucleus=70", "--size=64"]) == 0
        assert {row["slide"] for row in _rows(output / "cells.csv")} == {name}


def test_rows_of_a_list_that_name_no_photograph_have_their_error(photographs, tmp_path):
    given, output = tmp_path / "fields.csv", tmp_path / "o"
    first = photographs[0] / "p1" / "a b.png"
    given.write_text(f"path,group\n{first},p1\n,p1\n@eaDir/a.png,p1\n")
    assert cli.main(["cut", f"--input={given}", f"--output={output}", "--size=64"]) == 0
    found = _rows(output / "fields.csv")
    assert [bool(row["error"]) for row in found] == [False, True, True]
    assert found[1]["error"] == "the path is empty"
    assert int(found[0]["cells"]) == len(_rows(output / "cells.csv")) > 0


@pytest.mark.parametrize(
    ("column", "written"), [("slide", "smear"), ("smear_id", "smear"), ("patient", "group")]
)
def test_smears_of_a_list_do_not_become_patients(photographs, tmp_path, column, written):
    given, output = tmp_path / "fields.csv", tmp_path / "o"
    rows = [f"{photographs[0] / name},S1" for name in ("p1/a b.png", "p2/a b.jpg")]
    given.write_text("\n".join([f"path,{column}", *rows]))
    assert cli.main(["cut", f"--input={given}", f"--output={output}", "--size=64"]) == 0
    found = _rows(output / "cells.csv")
    assert {row[written] for row in found} == {"S1"}
    assert {row["slide"] for row in found} == {"p1/a b.png", "p2/a b.jpg"}
    items = read_input(str(output / "cells.csv"))
    assert {(item.group, item.of_slide) for item in items} == {("S1", column != "patient")}
    assert group_column_of(items) == written


def test_a_list_of_patients_and_smears_keeps_both(photographs, tmp_path):
    given, output = tmp_path / "fields.csv", tmp_path / "o"
    given.write_text(f"path,patient,slide\n{photographs[0] / 'p1/a b.png'},p1,S1\n")
    assert cli.main(["cut", f"--input={given}", f"--output={output}", "--size=64"]) == 0
    found = _rows(output / "cells.csv")
    assert {(row["group"], row["smear"], row["slide"]) for row in found} == {("p1", "S1", "a b.png")}
    assert {item.group for item in read_input(str(output / "cells.csv"))} == {"p1"}


def test_a_name_that_the_list_would_not_keep_is_refused(photographs, tmp_path, capsys):
    """Read again, its cells would lie on a field that does not exist, or on another one."""
    (tmp_path / "fields").mkdir()
    for name in (" lead.png", "lead.png"):
        shutil.copy(photographs[0] / "p1" / "a b.png", tmp_path / "fields" / name)
    options = [f"--input={tmp_path / 'fields'}", f"--output={tmp_path / 'o'}", "--size=64"]
    assert cli.main(["cut", *options]) == 2
    assert "' lead.png' begins or ends with a space" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
    (tmp_path / "fields" / " lead.png").unlink()
    assert cli.main(["cut", *options]) == 0
    assert {item.position.slide for item in read_input(str(tmp_path / "o" / "cells.csv"))} == {"lead.png"}


def test_a_field_that_is_named_twice_would_be_counted_twice(photographs, tmp_path, capsys):
    given, field = tmp_path / "fields.csv", photographs[0] / "p1" / "a b.png"
    given.write_text(f"path\n{field}\n{field.parent}/../p1/a b.png\n")
    assert cli.main(["cut", f"--input={given}", f"--output={tmp_path / 'o'}"]) == 2
    assert "twice, also as" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("pattern", "output", "refused"),
    [
        ("**/*.png", "o", True),
        ("p1/**/*.png", "o", False),
        ("p*/**/*.png", "p1/o", True),
        ("*/*/*.png", "o", True),
        ("*/*/*.png", "p1/o", False),
        ("*/*.png", "o", False),
        ("**/*.pn[g]", "o", True),
        ("**/*.bmp", "o", False),
        ("*/*/*.bmp", "o", False),
    ],
)
def test_no_pattern_takes_in_the_cells_the_next_time(photographs, tmp_path, capsys, pattern, output, refused):
    shutil.copytree(photographs[0], tmp_path / "all")
    shutil.copytree(photographs[0] / "p1", tmp_path / "all" / "p1" / "deeper")
    for folder in ("p1", "p1/deeper"):
        with Image.open(photographs[0] / "p1" / "a b.png") as image:
            image.save(tmp_path / "all" / folder / "a b.bmp")
    given, folder = tmp_path / "all" / pattern, tmp_path / "all" / output
    before = {item.file for item in read_input(str(given))}
    status = cli.main(["cut", f"--input={given}", f"--output={folder}", "--nucleus=70"])
    assert status == (2 if refused else 0)
    assert ("lies in the folder of the fields" in capsys.readouterr().err) == refused
    assert {item.file for item in read_input(str(given))} == before


def test_long_names_in_other_scripts_fit_the_disk(photographs, tmp_path):
    long = tmp_path / "fields" / ("骨髓" * 20) / ("血液" * 20 + ".png")
    long.parent.mkdir(parents=True)
    shutil.copy(photographs[0] / "p1" / "a b.png", long)
    output = tmp_path / "o"
    assert cli.main(["cut", f"--input={tmp_path / 'fields'}", f"--output={output}", "--size=64"]) == 0
    assert all((output / row["path"]).is_file() for row in _rows(output / "cells.csv"))


def test_a_long_narrow_field_has_its_picture():
    """Scaled to what a screen shows it would be less than half a pixel high."""
    field = np.full((9, 40_000, 3), 240, np.uint8)
    assert outlined(field, []).shape[1] == 2000


def _nucleus(x, y, radius=20):
    turn = np.linspace(0, 2 * np.pi, 40)
    outline = np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=-1)
    return Nucleus(x, y, 2 * radius, False, (outline,))


def test_at_the_border_a_square_is_filled_up_and_half_a_cell_is_none():
    field = np.full((200, 300, 3), (250, 240, 230), np.uint8)
    field[..., 0] = np.arange(300) % 5 + 246
    found = squares(field, [_nucleus(150, 100), _nucleus(30, 170), _nucleus(15, 100)], 101)
    assert [(one.whole, one.complete) for one in found] == [(True, True), (False, True), (False, False)]
    assert (found[0].left, found[0].top) == (100, 50)
    np.testing.assert_array_equal(crop(field, found[0]), field[50:151, 100:201])
    padded = crop(field, found[1])
    assert (found[1].left, found[1].top) == (-20, 120)
    np.testing.assert_array_equal(padded[:80, 20:], field[120:200, :81])
    np.testing.assert_allclose(
        padded[80:].astype(float), np.array([250, 240, 230]) + np.zeros((21, 101, 3)), atol=2
    )


def test_the_edge_of_a_dark_surround_is_a_border():
    field = np.full((200, 400, 3), (250, 240, 230), np.uint8)
    field[:, :100] = 3
    found = squares(field, [_nucleus(300, 100), _nucleus(140, 100), _nucleus(124, 100)], 101)
    assert [(one.whole, one.complete) for one in found] == [(True, True), (False, True), (False, False)]
    padded = crop(field, found[1])
    assert padded.shape == (101, 101, 3)
    np.testing.assert_allclose(padded.astype(float), np.broadcast_to([250, 240, 230], padded.shape), atol=2)


def test_a_field_says_how_much_of_it_is_dark(photographs, tmp_path, capsys):
    image = read_image(photographs[0] / "p1" / "a b.png").copy()
    image[:, :70] = 3
    Image.fromarray(image).save(tmp_path / "field.png")
    options = [f"--input={tmp_path / 'field.png'}", f"--output={tmp_path / 'o'}", "--nucleus=70"]
    assert cli.main(["cut", *options]) == 0
    assert "11% of the field is dark, and its edge is a border" in capsys.readouterr().out
    (counts,) = _rows(tmp_path / "o" / "fields.csv")
    assert float(counts["dark"]) == pytest.approx(0.11, abs=0.005)


@pytest.mark.parametrize("border", ["skip", "pad"])
def test_a_nucleus_that_the_border_cuts_is_left_out_though_its_square_is_whole(tmp_path, border):
    """A square of 16 pixels has room in what is left of the nucleus."""
    field = draw_field(60, size=700, singles=6)
    first = min(field.cells, key=lambda cell: cell.x)
    edge = round(first.x - 0.2 * first.nucleus)
    assert all(one is first or one.x - one.nucleus > edge for one in field.cells)
    Image.fromarray(field.image[:, edge:]).save(tmp_path / "field.png")
    options = [f"--input={tmp_path / 'field.png'}", f"--output={tmp_path / 'o'}", "--size=16"]
    assert cli.main(["cut", *options, f"--nucleus={first.nucleus}", f"--border={border}"]) == 0
    (counts,) = _rows(tmp_path / "o" / "fields.csv")
    assert (counts["cells"], counts["at_border"]) == ("5", "1")
    assert min(int(row["x"]) for row in _rows(tmp_path / "o" / "cells.csv")) > first.nucleus / 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--input={tmp}"], "give --output=FOLDER"),
        ([], "give --input=FOLDER"),
        (["--input={tmp}", "--output={tmp}"], "is not empty"),
        (["--input={tmp}", "--output={tmp}/empty.png"], "is a file"),
        (["--input={tmp}", "--output={tmp}/new"], "lies in the folder of the fields"),
        (["--input={tmp}/*.png", "--output={tmp}/new"], "no nucleus was found in any field"),
        (["--input={tmp}/bad.png", "--output={tmp}/new"], "none of 1 fields can be read"),
        (["--input={tmp}/bad.png", "--output={tmp}/new", "--nucleus=40"], "none of 1 fields can be read"),
        (["--input={tmp}", "--output={tmp}/new", "--border=mirror"], "cut.border='mirror'"),
    ],
)
def test_mistakes_end_in_one_line_and_nothing_is_written(tmp_path, capsys, options, message):
    Image.new("RGB", (100, 100), (240, 240, 240)).save(tmp_path / "empty.png")
    (tmp_path / "bad.png").write_text("x")
    assert cli.main(["cut", *(option.format(tmp=tmp_path) for option in options)]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert message in error[-1]
    assert not (tmp_path / "new").exists()


def test_without_scikit_image_the_command_that_installs_it_is_given(tmp_path, capsys, monkeypatch):
    for name in ("color", "filters", "feature", "measure", "segmentation"):
        monkeypatch.setitem(sys.modules, f"skimage.{name}", None)
    assert cli.main(["cut", f"--input={tmp_path}", f"--output={tmp_path / 'new'}"]) == 2
    assert "pip install 'scikit-image>=" in capsys.readouterr().err
