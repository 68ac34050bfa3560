"""Tasks of Label Studio, against the documented form of pre-annotations."""

import json
import xml.etree.ElementTree as ElementTree
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image, ImageOps

from asae_jax.errors import UserError
from asae_jax.inference.label_studio import (
    Guess,
    Storage,
    cell_task,
    configuration,
    field_task,
    write_tasks,
)
from asae_jax.inference.positions import Position
from asae_jax.input.tiff import ORIENTATION


def test_an_image_is_named_by_its_path_below_the_folder_that_is_served(tmp_path):
    address = Storage(str(tmp_path)).address(str(tmp_path / "day 1" / "a&b#ü.png"))
    parts = urlsplit(address)
    assert parts.path == "/data/local-files/"
    assert parse_qs(parts.query) == {"d": ["day 1/a&b#ü.png"]}
    assert parts.fragment == ""


def test_images_elsewhere_and_a_folder_that_is_none_are_refused(tmp_path):
    with pytest.raises(UserError, match="is not below"):
        Storage(str(tmp_path)).address("/elsewhere/a.png")
    with pytest.raises(UserError, match="is no folder"):
        Storage(str(tmp_path / "none"))


def test_a_cell_is_a_task_with_one_choice():
    task = cell_task("/x", Guess("BNE", 0.75), model="asae 1", about={"path": "a.png"})
    (prediction,) = task["predictions"]
    assert task["data"] == {"path": "a.png", "image": "/x"}
    assert (prediction["model_version"], prediction["score"]) == ("asae 1", 0.75)
    (result,) = prediction["result"]
    assert result.pop("id")
    assert result == {
        "type": "choices", "from_name": "class", "to_name": "image", "value": {"choices": ["BNE"]},
    }  # fmt: skip


def test_rectangles_are_percent_of_the_field_cut_at_its_edges():
    guesses = [
        Guess("BNE", 0.75, position=Position("f", 50, 20, 100, 40)),
        Guess("LY", 0.5, position=Position("f", -10, 90, 30, 20)),
        Guess("SNE", None, person=True, position=Position("f", 0, 0, 200, 100)),
    ]
    task = field_task("/x", (200, 100), guesses, model="m", about={})
    (prediction,), (annotation,) = task["predictions"], task["annotations"]
    assert prediction["score"] == 0.5
    first, second = prediction["result"]
    assert (first["original_width"], first["original_height"], first["type"]) == (200, 100, "rectanglelabels")
    assert first["value"] == {
        "x": 25, "y": 20, "width": 50, "height": 40, "rotation": 0, "rectanglelabels": ["BNE"],
    }  # fmt: skip
    assert [second["value"][key] for key in ("x", "y", "width", "height")] == [0, 90, 10, 10]
    (whole,) = annotation["result"]
    assert [whole["value"][key] for key in ("x", "y", "width", "height")] == [0, 0, 100, 100]
    assert len({first["id"], second["id"], whole["id"]}) == 3


@pytest.mark.parametrize(
    ("rectangles", "control", "option"), [(False, "Choices", "Choice"), (True, "RectangleLabels", "Label")]
)
def test_the_configuration_fits_the_tasks(rectangles, control, option):
    colours = {'a"<b&': "#112233", "LY": "#000000"}
    view = ElementTree.fromstring(configuration(colours, rectangles=rectangles))
    (image,), (labels,) = view.findall("Image"), view.findall(control)
    task = cell_task("/x", Guess("LY"), model="m", about={})
    (result,) = task["predictions"][0]["result"]
    assert image.get("name") == labels.get("toName") == result["to_name"]
    assert labels.get("name") == result["from_name"]
    assert image.get("value") == "$image"
    assert "image" in task["data"]
    assert {one.get("value"): one.get("background") for one in labels.findall(option)} == colours


def test_files_are_a_list_of_tasks_and_the_configuration(tmp_path):
    tasks = [cell_task(f"/{n}", Guess("LY", 0.5), model="m", about={}) for n in range(3)]
    write_tasks(tmp_path / "p", iter(tasks), {"LY": "#000000"}, rectangles=False)
    assert json.loads((tmp_path / "p_label_studio.json").read_text()) == tasks
    ids = [task["predictions"][0]["result"][0]["id"] for task in tasks]
    assert len(set(ids)) == 3
    assert ElementTree.parse(tmp_path / "p_label_studio.xml").getroot().tag == "View"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rectangles_lie_where_a_browser_shows_the_cell(orientation):
    """Pillow turns the image as browsers do."""
    field = Image.new("L", (40, 20))
    field.paste(255, (30, 2, 36, 6))
    field.getexif()[ORIENTATION] = orientation
    shown = ImageOps.exif_transpose(field)
    left, upper, right, lower = shown.getbbox()
    guess = Guess("LY", position=Position("f", 30, 2, 6, 4))
    task = field_task("/x", field.size, [guess], model="m", about={}, orientation=orientation)
    (result,) = task["predictions"][0]["result"]
    assert (result["original_width"], result["original_height"]) == shown.size
    value, (width, height) = result["value"], shown.size
    found = [value["x"] * width, value["y"] * height, value["width"] * width, value["height"] * height]
    assert found == pytest.approx([100 * side for side in (left, upper, right - left, lower - upper)])
