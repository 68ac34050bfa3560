"""From a list with positions through `predict` and a review to QuPath and Label Studio, as a user goes."""

import csv
import dataclasses
import json

import pytest

from asae_jax import cli
from asae_jax.inference.embed.embedding import Embedding
from asae_jax.inference.inputs import Item
from asae_jax.inference.positions import Position
from asae_jax.inference.predict.interchange import Interchange
from asae_jax.inference.predict.output import open_output
from asae_jax.input.cell_classes import cell_classes
from asae_jax.input.content import image_content
from asae_jax.input.decode import read_image
from tests.inference.predict.made import record
from tests.inference.qupath import read

pytestmark = pytest.mark.filterwarnings("ignore:probabilities are not calibrated")


def _rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def listed(folder, tmp_path):
    """Three cells of two slides, one of them unreadable, and one without a position."""
    path = tmp_path / "list.csv"
    path.write_text(
        "path,slide,x,y,width,height\n"
        f"{folder}/slide_a/00.png,S 1,10,20,96,90\n"
        f"{folder}/slide_a/02x.jpg,S 1,200,20,96,90\n"
        f"{folder}/slide_b/10.png,S 2,300.5,40,,\n"
        f"{folder}/slide_b/09.png,S 2,,,,\n"
    )
    return path


def _predict(run, listed, output, *options):
    return cli.main(
        ["predict", f"--workdir={run}", f"--input={listed}", f"--output={output}", *options, "--page_cells=9"]
    )


def test_positions_come_out_in_every_file(runs, folder, listed, tmp_path, capsys):
    output = tmp_path / "p.csv"
    assert _predict(runs[0], listed, output, f"--label_studio={folder}") == 0
    rows = _rows(output)
    assert [[row[name] for name in ("slide", "x", "y", "width", "height")] for row in rows] == [
        ["S 1", "10", "20", "96", "90"],
        ["S 1", "200", "20", "96", "90"],
        ["S 2", "300.500000", "40", "", ""],
        ["S 2", "", "", "", ""],
    ]
    assert "group" not in rows[0]
    (good, bad), (point,) = read(tmp_path / "p_S_1.geojson"), read(tmp_path / "p_S_2.geojson")
    assert good[:3] == ("detection", rows[0]["path"], rows[0]["label"])
    assert good[4] == (10, 20, 106, 110)
    assert {f"{name}": f"{value:.6f}" for name, value in good[5].items()} == {
        name: rows[0][name] for name in ("probability", "p_BLA", "p_EBO", "p_NGS")
    }
    assert (bad[2], bad[6]["error"]) == ("", rows[1]["error"])
    assert point[4] == (300.5, 40)
    tasks = json.loads((tmp_path / "p_label_studio.json").read_text())
    assert [task["data"]["path"] for task in tasks] == [row["path"] for row in rows if row["label"]]
    assert tasks[0]["predictions"][0]["result"][0]["value"]["choices"] == [rows[0]["label"]]
    page = (tmp_path / "p.html").read_text()
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert [cell.get("at") for cell in data["cells"]] == [
        "x 10, y 20 of slide S 1", "x 300.5, y 40 of slide S 2", None,
    ]  # fmt: skip
    assert "for QuPath: " in capsys.readouterr().out


def test_a_number_has_one_name_in_every_file(tmp_path):
    """Of a cell with estimates: what QuPath measures, the page shows and `embed` lists is in the columns."""
    cell = dataclasses.replace(record(0, of=2), position=Position("S", 1, 2))
    with open_output(tmp_path / "p.csv", ("a", "b"), group="", uncertainty=True) as write:
        write(cell)
    (row,) = _rows(tmp_path / "p.csv")
    item = Item("x.png", "x.png", "", position=cell.position)
    others = Interchange(tmp_path / "p", [item], cell_classes(("a", "b")), source="s", storage="")
    others.add(cell)
    (file,) = others.write("network")
    (measured,) = (one[5] for one in read(file))
    assert set(measured) <= set(row)
    assert (measured["outlier_score"], row["outlier_score"]) == (1.25, "1.250000")
    assert "outlier_score" in {field.name for field in dataclasses.fields(Embedding)}


def test_json_lines_have_numbers(runs, listed, tmp_path):
    assert _predict(runs[0], listed, tmp_path / "p.jsonl", "--nopage") == 0
    first, *_, last = map(json.loads, (tmp_path / "p.jsonl").read_text().splitlines())
    assert [first[name] for name in ("slide", "x", "width")] == ["S 1", 10, 96]
    assert [last[name] for name in ("slide", "x", "width")] == ["S 2", None, None]


def test_without_positions_nothing_is_added(runs, folder, tmp_path):
    output = tmp_path / "p.csv"
    assert _predict(runs[0], folder / "slide_b", output) == 0
    assert "slide" not in _rows(output)[0]
    assert not [*tmp_path.glob("*.geojson"), *tmp_path.glob("*label_studio*")]


def test_a_file_in_the_way_is_refused_before_anything_is_predicted(runs, listed, tmp_path, capsys):
    (tmp_path / "p_S_2.geojson").write_text("mine")
    assert _predict(runs[0], listed, tmp_path / "p.csv") == 2
    assert "p_S_2.geojson was made from another input" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.csv", "p_S_2.geojson"]


def test_images_that_label_studio_does_not_serve_are_refused_before(runs, listed, tmp_path, capsys):
    assert _predict(runs[0], listed, tmp_path / "p.csv", f"--label_studio={tmp_path}") == 2
    assert "is not below" in capsys.readouterr().err
    assert not (tmp_path / "p.csv").exists()


def test_reviewed_labels_go_back_to_the_slides(runs, folder, listed, tmp_path, capsys):
    """The review page's file names images by their absolute path, and holds what was looked at."""
    assert _predict(runs[0], listed, tmp_path / "p.csv", "--nopage") == 0
    files = [folder / "slide_a" / "00.png", folder / "slide_b" / "10.png", folder / "slide_b" / "09.png"]
    contents = [image_content(read_image(file)) for file in files]
    (tmp_path / "labels.csv").write_text(
        "path,label,predicted,seen,content\n"
        f"{files[0]},EBO,BLA,yes,{contents[0]}\n{files[1]},NGS,NGS,no,{contents[1]}\n"
        f"{files[2]},NGS,NGS,yes,{contents[2]}\n"
    )
    call = ["slide", f"--input={listed}", f"--labels={tmp_path / 'labels.csv'}"]
    assert cli.main(call) == 0
    (first,), (second,) = (read(tmp_path / f"labels_on_slide_S_{n}.geojson") for n in (1, 2))
    assert (first[0], first[2], first[4]) == ("annotation", "EBO", (10, 20, 106, 110))
    assert (second[0], second[2], second[4]) == ("annotation", "NGS", (300.5, 40))  # a point
    shown = capsys.readouterr().out
    assert "slide S 1: 1 cells, 1 labelled by a person" in shown
    assert "slide S 2: 1 cells, 0 labelled by a person" in shown
    assert "left out: 1 labels" in shown  # the cell without a position
    before = [path.read_bytes() for path in sorted(tmp_path.glob("p_*.geojson"))]
    assert cli.main(call) == 0
    assert _predict(runs[0], listed, tmp_path / "p.csv", "--nopage") == 0
    assert [path.read_bytes() for path in sorted(tmp_path.glob("p_*.geojson"))] == before
    assert (tmp_path / "labels_on_slide_S_1.geojson").exists()
