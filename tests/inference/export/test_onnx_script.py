"""`predict_onnx.py` of an export gives what `predict` gives, without this package."""

import csv
import dataclasses
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asae_jax import cli
from asae_jax.inference.export.onnx_script import FILE, onnx_script
from asae_jax.inference.export.program import drawn_cell
from asae_jax.input.decode import BadImage, read_image, read_reduced
from tests.inference.export import made
from tests.input.tiffs import tiff


def test_the_script_alone_gives_the_probabilities_of_predict(run, exported, tmp_path):
    image = tmp_path / "new" / "cell.png"
    image.parent.mkdir()
    Image.fromarray(drawn_cell(3)).save(image)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    printed = subprocess.run(
        [sys.executable, exported / FILE, image],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    by_script = {name: float(p) for p, name in (line.split(" ", 1) for line in printed.splitlines())}
    output = tmp_path / "new.csv"
    options = (f"--workdir={run}", f"--input={image.parent}", f"--output={output}", "--nopage")
    assert cli.main(["predict", *options]) == 0
    with output.open() as file:
        (row,) = csv.DictReader(file)
    assert by_script == pytest.approx(
        {name.removeprefix("p_"): float(p) for name, p in row.items() if name.startswith("p_")}, abs=2e-5
    )
    assert next(iter(by_script)) == row["label"]


def _fed(script, path, monkeypatch):
    """What the script gives to the network: uint8 `[1, stored, stored, 3]`."""
    fed = []

    class Session:
        def __init__(self, _):
            pass

        def get_modelmeta(self):
            return types.SimpleNamespace(custom_metadata_map={"class_names": '["A"]'})

        def run(self, _, inputs):
            fed.append(inputs["images"])
            return [np.ones((1, 1))]

    monkeypatch.setitem(sys.modules, "onnxruntime", types.SimpleNamespace(InferenceSession=Session))
    monkeypatch.setattr(sys, "argv", [FILE, str(path)])
    exec(compile(script, FILE, "exec"), {"__file__": FILE, "__name__": "__main__"})
    return fed[0]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
@pytest.mark.parametrize("size", [20, 47, 199, 300])
def test_images_are_prepared_as_by_the_run(tmp_path, monkeypatch, mode, size):
    """Larger and smaller than the network's, square or not, of each kind of pixels."""
    Image.fromarray(drawn_cell(1)).convert(mode).save(tmp_path / "cell.png")
    program = made.program(data__hue="none", data__stored_size=size, augment__size=16)
    expected = program.run.preparation(read_image(tmp_path / "cell.png"))
    np.testing.assert_array_equal(_fed(onnx_script(program), tmp_path / "cell.png", monkeypatch)[0], expected)


@pytest.mark.parametrize(
    "colours",
    [
        {"hue": "paper"},
        {"hue": "robust", "hue_low": 130, "hue_high": 140},
        {"hue": "none", "stain": "reinhard"},
        {"hue": "none", "stain": "macenko"},
        {"hue": "none", "scale": 0.7, "background": (255.0, 230.0, 207.0)},
        {"hue": "none", "scale": 1.3, "background": (255.0, 230.0, 207.0), "stain": "reinhard"},
        {"hue": "none", "background": (255.0, 230.0, 207.0), "stain": "macenko"},
        {"hue": "paper", "scale": 1.6},
        {"hue": "paper", "hue_low": 10, "hue_high": 170},
        {"hue": "robust", "background": (255.0, 230.0, 207.0)},
    ],
)
@pytest.mark.parametrize("blank", [False, True])
def test_colours_are_changed_as_by_the_run(tmp_path, monkeypatch, colours, blank):
    raw = np.full((60, 60, 3), (220, 210, 225), np.uint8) if blank else drawn_cell(2)
    Image.fromarray(raw).save(tmp_path / "cell.png")
    program = made.program()
    program.run.preparation = dataclasses.replace(program.run.preparation, stored_size=96, **colours)
    fed = _fed(onnx_script(program), tmp_path / "cell.png", monkeypatch)
    np.testing.assert_array_equal(fed[0], program.run.preparation(raw))


@pytest.mark.parametrize("stored", [20, 50, 96])
@pytest.mark.parametrize("scale", [1.0, 1.3, 0.7])
@pytest.mark.parametrize("kind", ["x.jpg", "x.png", "x.mpo"])
def test_jpegs_are_decoded_at_the_scale_of_the_run(tmp_path, monkeypatch, stored, scale, kind):
    image = Image.fromarray(drawn_cell(2)[:199, :231])
    several = {"save_all": True, "append_images": [image]} if kind == "x.mpo" else {}
    image.save(tmp_path / kind, **several)
    (tmp_path / kind).rename(tmp_path / kind.replace("mpo", "jpg"))  # as cameras name files of two pictures
    kind = kind.replace("mpo", "jpg")
    program = made.program()
    preparation = dataclasses.replace(
        program.run.preparation, stored_size=stored, scale=scale, decoding="reduced"
    )
    program.run.preparation = preparation
    fed = _fed(onnx_script(program), tmp_path / kind, monkeypatch)
    expected = preparation(read_reduced(tmp_path / kind, preparation.reduction))
    np.testing.assert_array_equal(fed[0], expected)


@pytest.mark.parametrize("suffix", ["png", "gif", "webp", "tif"])
def test_animations_and_stacks_are_refused_as_by_predict(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"several.{suffix}"
    first, second = (Image.fromarray(drawn_cell(number)) for number in (1, 2))
    first.save(path, save_all=True, append_images=[second])
    with pytest.raises(BadImage, match=r"a stack|an animation"):
        read_image(path)
    with pytest.raises(SystemExit, match="several images"):
        _fed(onnx_script(made.program()), path, monkeypatch)


@pytest.mark.parametrize(
    ("second", "mark"), [(slice(None, None, 2), {}), (slice(None), {254: 1}), (slice(None), {255: 2})]
)
def test_previews_in_a_tiff_are_ignored_as_by_predict(tmp_path, monkeypatch, second, mark):
    cell, path = drawn_cell(1), tmp_path / "preview.tif"
    path.write_bytes(tiff([(cell, {}), (255 - cell[second, second], mark)]))
    program = made.program(data__hue="none")
    fed = _fed(onnx_script(program), path, monkeypatch)
    np.testing.assert_array_equal(fed[0], program.run.preparation(read_image(path)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["x.tif", "x.png"])
def test_the_orientation_that_a_file_states_is_ignored_as_by_predict(
    tmp_path, monkeypatch, orientation, kind
):
    """The middle square is the same either way; what is in it is not."""
    cell, exif = drawn_cell(1), Image.Exif()
    exif[274] = orientation
    options = {"tiffinfo": {274: orientation}} if kind == "x.tif" else {"exif": exif}
    Image.fromarray(cell).save(tmp_path / kind, **options)
    program = made.program(data__hue="none")
    fed = _fed(onnx_script(program), tmp_path / kind, monkeypatch)
    np.testing.assert_array_equal(fed[0], program.run.preparation(cell))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], r"python predict_onnx.py IMAGE"),
        (["--help"], r"python predict_onnx.py IMAGE"),
        (["a.png", "b.png"], r"python predict_onnx.py IMAGE"),
        (["gone.png"], r"gone.png: it cannot be read \(.*No such file"),
        (["cut.jpg"], r"cut.jpg: it cannot be read \(.*truncated"),
        (["notes.txt"], r"notes.txt: it cannot be read \(cannot identify"),
    ],
)
def test_the_script_ends_in_a_line_where_it_cannot_work(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(drawn_cell(1)).save("whole.jpg")
    Path("cut.jpg").write_bytes(Path("whole.jpg").read_bytes()[:3000])
    Path("notes.txt").write_text("no image")
    monkeypatch.setattr(sys, "argv", [FILE, *arguments])
    with pytest.raises(SystemExit, match=said):
        exec(
            compile(onnx_script(made.program()), FILE, "exec"),
            {"__file__": FILE, "__doc__": "", "__name__": "m"},
        )


def test_pixels_of_16_bits_are_refused(tmp_path, monkeypatch):
    Image.fromarray(np.full((40, 40), 3000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(SystemExit, match="8 bits"):
        _fed(onnx_script(made.program()), tmp_path / "deep.png", monkeypatch)
