"""`export` as a user runs it, and its files as another program would read them."""

import copy
import csv
import dataclasses
import json
import re
import shutil

import numpy as np
import onnxruntime
import pytest
from jax import export as jax_export
from jaxlib.mlir.dialects import stablehlo
from PIL import Image
from safetensors.numpy import load_file

from asae_jax import cli
from asae_jax.config import copy_with, read_run_config
from asae_jax.errors import UserError
from asae_jax.evaluation.metrics import counted_share
from asae_jax.evaluation.uncertainty_files import write_uncertainty
from asae_jax.inference.export import command, formats
from asae_jax.inference.export.card import hub_card, model_card
from asae_jax.inference.export.program import drawn_cell, load_program
from asae_jax.inference.export.verify import NUM_IMAGES, sample_images
from asae_jax.input.run_split import SPLITS_FILE, write_splits
from asae_jax.input.sources import configured_index, configured_preparation
from tests.edited import unsealed
from tests.inference.export import made
from tests.inference.export.conftest import TEMPERATURE
from tests.training.tiny import shallow


@pytest.fixture(scope="module")
def record(exported):
    return json.loads((exported / "export.json").read_text())


@pytest.fixture(scope="module")
def program(run):
    with shallow():
        return load_program(run, read_run_config(run))


@pytest.fixture
def export_to(program, tmp_path, monkeypatch):
    """Exports the loaded run to a folder of the test: `(formats, program) -> folder`."""

    def call(names, changed=program):
        monkeypatch.setattr(command, "load_program", lambda *_: changed)
        config = read_run_config(program.run.workdir)
        config.export.update(formats=names, output=str(tmp_path / "export"))
        assert command.export(config, changed.run.workdir) == 0
        return tmp_path / "export"

    return call


def _softmax(logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_every_format_is_written_and_was_compared_on_the_runs_images(exported, record):
    assert set(record["formats"]) == set(formats.FORMATS)
    assert record["left_out"] == {}
    assert record["compared_on"] == f"{NUM_IMAGES} test images of the run"
    for entry in record["formats"].values():
        assert (exported / entry["file"]).exists()
        assert entry["bytes"] > 10_000
        assert 0 <= entry["largest_difference"]["logits"] <= entry["allowed_difference"]["logits"]


def test_the_files_alone_compute_what_the_network_does(program, exported, record):
    images = made.images(NUM_IMAGES - 1)
    expected = program.scores(images)
    stablehlo = jax_export.deserialize(bytearray((exported / "model.stablehlo").read_bytes()))
    assert set(stablehlo.platforms) == {"cpu", "cuda", "tpu"}
    session = onnxruntime.InferenceSession(exported / "model.onnx")
    by_onnx = dict(zip(("logits", "probabilities"), session.run(None, {"images": images}), strict=True))
    for scores in (stablehlo.call(images), by_onnx):
        for name, array in expected.items():
            np.testing.assert_allclose(scores[name], array, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(by_onnx["probabilities"], _softmax(by_onnx["logits"] / TEMPERATURE), atol=1e-6)
    assert record["temperature"] == TEMPERATURE


@pytest.mark.filterwarnings("ignore")  # TensorFlow's, of changes to come
def test_tflite_takes_one_image_and_refuses_more(program, exported, record):
    """Five images gave one row, without an error: interpreters resize their input to what they are given."""
    tf = pytest.importorskip("tensorflow")
    path, images = str(exported / "model.tflite"), made.images(5)
    runner = tf.lite.Interpreter(model_path=path).get_signature_runner("serving_default")
    expected = program.scores(images)["logits"]
    for image, row in zip(images, expected, strict=True):
        found = runner(images=image[None])["logits"]
        assert found.shape == (1, len(row))
        np.testing.assert_allclose(found[0], row, rtol=1e-4, atol=1e-5)
    for count in (0, 2, 5):
        runner = tf.lite.Interpreter(model_path=path).get_signature_runner("serving_default")
        with pytest.raises((RuntimeError, ValueError)):
            runner(images=images[:count])
    low = tf.lite.Interpreter(model_path=path)
    low.resize_tensor_input(low.get_input_details()[0]["index"], images.shape)
    with pytest.raises(RuntimeError, match="num_input_elements"):
        low.allocate_tensors()
    said = {name: entry["images_at_a_time"] for name, entry in record["formats"].items()}
    assert said == {name: 1 if name == "tflite" else "any" for name in said}
    assert "one image at a time" in (exported / "MODEL_CARD.md").read_text()
    assert "one at a time" in json.loads((exported / "preprocessing.json").read_text())["input"]["batch"]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_every_other_graph_gives_a_row_for_each_image(program, exported, count):
    images = made.images(count)
    for name in ("stablehlo", "onnx", "savedmodel"):
        form = formats.FORMATS[name]
        scores = form.run(program, exported / form.file, images)
        assert {array.shape for array in scores.values()} == {(count, program.run.num_classes)}


def test_tensorflow_gets_the_oldest_stablehlo_as_it_comes_out_less_often_than_jax(exported):
    oldest = stablehlo.get_version_from_compatibility_requirement(
        stablehlo.StablehloCompatibilityRequirement.MAX
    )
    assert oldest != stablehlo.get_current_version()
    written = (exported / formats.FORMATS["savedmodel"].file / "saved_model.pb").read_bytes()
    assert re.findall(rb"StableHLO_v([0-9.]+)", written) == [oldest.encode()]


def test_classes_and_temperature_travel_along(run, program, exported, record):
    classes = list(program.run.class_names)
    metadata = onnxruntime.InferenceSession(exported / "model.onnx").get_modelmeta().custom_metadata_map
    specification = json.loads((exported / "preprocessing.json").read_text())
    assert record["class_names"] == json.loads(metadata["class_names"]) == classes
    assert specification["outputs"]["classes"] == classes
    assert json.loads(metadata["temperature"]) == TEMPERATURE
    assert (exported / "uncertainty.json").read_text() == (run / "uncertainty.json").read_text()


def test_the_example_shows_the_preparation(run, exported):
    specification = json.loads((exported / "preprocessing.json").read_text())
    raw, prepared = (np.asarray(Image.open(exported / specification["example"][name]))
                     for name in ("raw", "prepared"))  # fmt: skip
    assert raw.shape[0] != raw.shape[1]
    np.testing.assert_array_equal(configured_preparation(read_run_config(run).data)(raw), prepared)
    steps = {step["step"]: step for step in specification["before_the_graph"]}
    assert list(steps) == ["decode", "centre_square", "resize", "hue"]
    assert (steps["resize"]["size"], steps["hue"]["low"], steps["hue"]["high"]) == (made.STORED, 125, 155)


def test_the_card_has_the_scores_the_split_and_the_notice(run, exported):
    card = (exported / "MODEL_CARD.md").read_text()
    scores = json.loads((run / "evaluation" / "test.json").read_text())
    low, high = scores["intervals"]["macro_f1"]
    assert f"| macro-F1 | {scores['macro_f1']:.3f} | {low:.3f} to {high:.3f} |" in card
    assert "| all | 47 | 0 | 23 |" in card
    assert "For research, not a diagnosis." in card
    assert f"temperature of {TEMPERATURE:.2f}" in card
    assert str(run) not in card
    assert "`model.onnx`" in card


def _theirs(scores):
    return scores | {"accuracy": 0.123, "split": "all", "class_map": {}, "unknown_classes": {}}


@pytest.mark.parametrize(
    "change",
    [
        _theirs,
        lambda scores: scores | {"accuracy": 0.123, "split": "validation"},
        lambda scores: scores | {"accuracy": 0.123, "data_fingerprint": "another laboratory"},
        lambda scores: scores | {"accuracy": 0.123, "step": 7},
        lambda scores: scores | {"accuracy": 0.123, "class_names": scores["class_names"][::-1]},
        lambda scores: {name: value for name, value in scores.items() if name != "split"},
    ],
)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_card_takes_no_scores_of_something_else(run, program, record, tmp_path, change, elsewhere):
    """`test.json` is whatever was written there; the scores may stand in another file."""
    scores = unsealed(run / "evaluation" / "test.json")
    copied = copy.copy(program.run)
    copied.workdir = tmp_path / "run"
    (tmp_path / "run" / "evaluation").mkdir(parents=True)
    for name in ("run.json", "splits.csv"):
        shutil.copy(run / name, tmp_path / "run")
    files = {"test": change(scores)} | ({"own": scores} if elsewhere else {})
    for name, content in files.items():
        (tmp_path / "run" / "evaluation" / f"{name}.json").write_text(json.dumps(content))
    card = model_card(dataclasses.replace(program, run=copied), record)
    assert "0.123" not in card
    assert ("Not measured for this checkpoint" not in card) == elsewhere
    assert (f"| accuracy | {scores['accuracy']:.3f} |" in card) == elsewhere


def test_a_run_without_a_test_part_is_compared_on_drawn_cells(program, tmp_path, capsys):
    bare = copy.copy(program.run)
    bare.workdir = tmp_path
    table = configured_index(bare.config.data)
    write_splits(tmp_path / SPLITS_FILE, table, np.resize(["train", "validation"], len(table)))
    assert sample_images(bare).origin == f"{NUM_IMAGES} drawn cells"
    told = capsys.readouterr().out
    assert "the run has no test images, drawn cells take their place" in told
    assert "cannot be read" not in told


def test_few_test_images_are_said_to_be_few(program, tmp_path):
    bare = copy.copy(program.run)
    bare.workdir = tmp_path
    table = configured_index(bare.config.data)
    parts = np.resize(["train", "validation"], len(table)).astype("<U10")
    for few, said in (([1], "1 test image of the run"), ([1, 4, 5], "3 test images of the run")):
        parts[few] = "test"
        write_splits(tmp_path / SPLITS_FILE, table, parts)
        images, origin = sample_images(bare)
        assert (len(images), origin) == (NUM_IMAGES, said)


def test_a_run_without_data_scores_and_estimates_says_so(run, program, export_to, tmp_path, capsys):
    shutil.copy(run / "run.json", tmp_path)
    bare = copy.copy(program.run)
    bare.workdir = tmp_path
    folder = export_to("orbax", dataclasses.replace(program, run=bare, uncertainty=None))
    card, record = (folder / "MODEL_CARD.md").read_text(), json.loads((folder / "export.json").read_text())
    assert "Not measured for this checkpoint" in card
    assert "plain softmax" in card
    assert "no record of its split" in card
    assert not (folder / "uncertainty.json").exists()
    assert (record["calibrated"], record["temperature"]) == (False, 1.0)
    assert record["compared_on"] == f"{NUM_IMAGES} drawn cells"
    assert "cannot be read, drawn cells take their place" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("files", "holds"),
    [
        ({"model.onnx": "mine"}, "holds other files"),
        ({"orbax/weights": "mine"}, "holds other files"),
        ({"export.json": "{}"}, "holds the export of another run"),
        ({"export.json": '{"run": "another"}'}, "holds the export of another run"),
        ({"export.json": "["}, "give an empty folder"),
    ],
)
def test_a_given_folder_with_anything_else_is_refused(export_to, tmp_path, files, holds):
    """A folder `orbax` in it would have been removed."""
    for name, content in files.items():
        path = tmp_path / "export" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    with pytest.raises(UserError, match=holds):
        export_to("orbax")
    for name, content in files.items():
        assert (tmp_path / "export" / name).read_text() == content


def test_the_same_run_is_exported_to_a_given_folder_again(export_to, tmp_path):
    (tmp_path / "export").mkdir()
    for _ in range(2):
        export_to("orbax")
    assert (tmp_path / "export" / "export.json").exists()


def test_nothing_of_an_earlier_export_is_left(program, export_to):
    """Its files would stand beside descriptions of another checkpoint or way of testing."""
    folder = export_to("onnx,orbax")
    assert {"model.onnx", "predict_onnx.py", "orbax", "uncertainty.json"} <= {
        p.name for p in folder.iterdir()
    }
    export_to("stablehlo", dataclasses.replace(program, uncertainty=None))
    assert {path.name for path in folder.iterdir()} == {
        "model.stablehlo", "export.json", "preprocessing.json", "MODEL_CARD.md", "example_raw.png",
        "example_prepared.png",
    }  # fmt: skip
    assert list(json.loads((folder / "export.json").read_text())["formats"]) == ["stablehlo"]


@pytest.mark.parametrize("place", ["MODEL_CARD.md", "model/README.md", "model/predictions/cells.csv"])
def test_what_a_person_wrote_into_an_export_is_not_removed(run, export_to, place):
    folder = export_to("model")
    file = folder / place
    file.parent.mkdir(exist_ok=True)
    with file.open("a") as opened:
        opened.write("stain: May-Grünwald-Giemsa")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    config = copy_with(read_run_config(run), {"export.formats": "model", "export.output": str(folder)})
    with pytest.raises(UserError, match=f"{place} .* would be lost: move it elsewhere"):
        command.export(config, run)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    file.rename(folder.parent / "kept")
    assert command.export(config, run) == 0


def test_notes_of_a_network_drive_in_an_export_are_nobody_s_work(run, export_to):
    folder = export_to("model")
    (folder / "model" / "@eaDir").mkdir()
    (folder / "model" / "@eaDir" / "config.json@SynoEAStream").write_text("")
    config = copy_with(read_run_config(run), {"export.formats": "model", "export.output": str(folder)})
    assert command.export(config, run) == 0


@pytest.mark.parametrize("change", [0.01, np.nan])
def test_a_format_that_computes_something_else_is_removed(export_to, tmp_path, monkeypatch, change):
    form = formats.FORMATS["orbax"]
    export_to("orbax")

    def off_by_a_little(*arguments):
        return {name: array + change for name, array in form.run(*arguments).items()}

    monkeypatch.setitem(formats.FORMATS, "orbax", form._replace(run=off_by_a_little))
    with pytest.raises(UserError, match=r"does not compute .* differ by (1.0e-02|nan)"):
        export_to("orbax")
    left = [path.name for path in (tmp_path / "export").iterdir()]
    assert left == ["export.json"]  # and no description of the earlier one
    monkeypatch.undo()
    export_to("orbax")  # after a failure the folder is still the run's


def test_probabilities_that_alone_differ_are_named(export_to, monkeypatch):
    form = formats.FORMATS["orbax"]

    def off(*arguments):
        scores = form.run(*arguments)
        return scores | {"probabilities": scores["probabilities"] + 0.01}

    monkeypatch.setitem(formats.FORMATS, "orbax", form._replace(run=off))
    said = (
        r"does not compute what the network does \(probabilities differ by 1.0e-02 where 1.0e-04 is allowed\)"
    )
    with pytest.raises(UserError, match=said):
        export_to("orbax")


def test_the_card_promises_what_was_chosen_and_speaks_of_the_files_there(program, record):
    rule = dataclasses.replace(program.uncertainty.abstention, target_error=0.025, threshold=0.75)
    estimates = dataclasses.replace(program.uncertainty, abstention=rule)
    changed = dataclasses.replace(program, uncertainty=estimates)
    for name, words in {
        "onnx": "predict_onnx.py",
        "tflite": "one image at a time",
        "orbax": "`orbax` holds weights only",
        "torch": "`model.safetensors` holds weights only",
        "model": "(`--model=`)",
    }.items():
        forms = dict(record["formats"])
        card = model_card(changed, record)
        assert "To keep errors to at most 2.5 %, leave images" in card
        assert words in card
        del forms[name]
        assert words not in model_card(changed, record | {"formats": forms})


def test_the_card_says_what_is_labelled_by_itself(program, record, run, tmp_path):
    """Files of earlier versions know what the threshold alone would label, which counts outliers."""
    measured = {
        "num_images": 50,
        "labelled": counted_share(45, 50),
        "error_of_labelled": counted_share(3, 45),
        "labelled_without_a_person": counted_share(40, 50),
        "error_without_a_person": counted_share(1, 40),
    }
    shutil.copy(run / "run.json", tmp_path)
    copied = copy.copy(program.run)
    copied.workdir = tmp_path
    of_copy = dataclasses.replace(program, run=copied)
    write_uncertainty(program.uncertainty, tmp_path, {"measured": {"test": measured, "validation": {}}})
    card = model_card(of_copy, record)
    assert "Of 50 test images it labels by itself 80.0 % [" in card
    assert "], 2.5 % [0.4, 12.9] of them wrongly." in card
    del measured["labelled_without_a_person"], measured["error_without_a_person"]
    write_uncertainty(program.uncertainty, tmp_path, {"measured": {"test": measured}})
    card = model_card(of_copy, record)
    assert "Of 50 test images the threshold alone would label 90.0 % [" in card
    assert "by itself" not in card


def _copied(program, run, folder, *, splits=None, scores=None, config=None):
    """The program with a run folder of its own: what the card reads, with what is changed."""
    (folder / "evaluation").mkdir(parents=True)
    shutil.copy(run / "run.json", folder)
    rows = list(csv.reader((run / "splits.csv").read_text().splitlines()))
    for number, row in enumerate(rows[1:]):
        row[2] = row[2] if splits is None else splits[number % len(splits)]
    (folder / "splits.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    if scores is not None:
        content = unsealed(run / "evaluation" / "test.json") | scores
        (folder / "evaluation" / "test.json").write_text(json.dumps(content))
    copied = copy.copy(program.run)
    copied.workdir, copied.config = folder, copy_with(copied.config, config or {})
    return dataclasses.replace(program, run=copied)


@pytest.mark.parametrize(
    ("splits", "scores", "checkpoint", "said"),
    [
        (["train", "validation", "test"], {}, "best", "checkpoint chosen on `validation`, scored on `test`."),
        (["train", "validation", "test"], {}, "last", "last checkpoint taken, scored on `test`."),
        (["train", "test"], {}, "best", "last checkpoint taken, scored on `test`."),
        (["train", "validation"], None, "best", "checkpoint chosen on `validation`."),
        (["train", "validation", "test"], None, "best", "checkpoint chosen on `validation`."),
        (["train"], None, "best", "last checkpoint taken."),
    ],
)
def test_the_card_speaks_of_the_parts_that_were_used(
    program, record, run, tmp_path, splits, scores, checkpoint, said
):
    settings = {"eval.checkpoint": checkpoint}
    made = _copied(program, run, tmp_path, splits=splits, scores=scores, config=settings)
    card = model_card(made, record)
    assert f"Trained on `train`, {said}" in card
    assert ("no image was set aside for the test" in card) == ("test" not in splits)
    assert ("run `evaluate` and export again" in card) == (scores is None and "test" in splits)


def test_without_scores_the_card_says_nothing_of_them(program, record, run, tmp_path):
    """Nor that patients were not known: the run may have kept them apart."""
    card = model_card(_copied(program, run, tmp_path, config={"data.split_by": "group"}), record)
    for claim in ("Slides or patients were not known", "Scores hold", "Their scores are rough"):
        assert claim not in card
    assert "On images of another laboratory networks of this kind have lost" in card


def test_the_card_of_a_model_names_what_training_from_it_needs(program, run, tmp_path):
    card = hub_card(_copied(program, run, tmp_path, config={"augment.normalisation": "lite"}))
    assert "--config.model.width=4 --config.model.norm=batch --config.augment.normalisation=lite`." in card


@pytest.mark.parametrize("trained_on", [0, 3, None])
def test_the_card_says_that_test_images_were_trained_on(program, record, run, tmp_path, trained_on):
    card = model_card(_copied(program, run, tmp_path, scores={"num_trained_on": trained_on}), record)
    said = "3 of the 70 test images are among those trained on: the scores are no measure of new images."
    assert (said in card) == bool(trained_on)


@pytest.fixture
def adaptation():
    labels = {"count": 40}
    return {"notes": ["Cells are shown 0.80 times as large."], "source": {"only": []}, "labels": labels}


def _adapted(program, run, folder, adaptation):
    """A model of the run that is adapted; a file of scores there is of the network before."""
    made = _copied(program, run, folder, splits=["train", "validation", "test"], scores={})
    (folder / "adaptation.json").write_text(json.dumps(adaptation))
    return made


def test_the_card_of_an_adapted_model_says_how_it_was_adapted(program, record, run, tmp_path, adaptation):
    card = model_card(_adapted(program, run, tmp_path, adaptation), record)
    assert "adapted to another laboratory\n" in card.split("**")[0]
    assert "## Adaptation to another laboratory\n\n- Cells are shown 0.80 times as large.\n" in card
    assert "from 70 labelled cells of the other laboratory)" in card
    assert "the data of the run that this model was made from" in card
    assert "checkpoint chosen on `validation`.\n" in card
    assert "\nMeasured on labelled cells only since it was adapted" in card
    assert "It is adapted to one laboratory" in card
    assert "On images of a third laboratory" in card
    wrong = (
        "validation images", "unlike the training images", "scored on `test`", "run `evaluate`",
        "Scores hold", "Slides or patients were not known", "Fewer than",
    )  # fmt: skip
    assert not [words for words in wrong if words in card]


def test_an_adapted_model_without_labels_has_nothing_measured(program, record, run, tmp_path, adaptation):
    made = _adapted(program, run, tmp_path, adaptation | {"labels": None})
    card = model_card(dataclasses.replace(made, uncertainty=None), record)
    assert "## Scores\n\nNot measured since it was adapted" in card
    assert "plain softmax" in card


@pytest.mark.parametrize("only", [False, True])
def test_the_card_names_the_classes_that_an_adapted_model_gives(
    program, record, run, tmp_path, adaptation, only
):
    names = list(program.run.class_names)[1:3] * only
    card = model_card(_adapted(program, run, tmp_path, adaptation | {"source": {"only": names}}), record)
    assert (f"It was adapted to give only {', '.join(names)};" in card) == only
    assert (f"- It gives only {', '.join(names)}. Whatever" in card) == only
    assert ("It knows only the classes above" in card) == (not only)


@pytest.mark.filterwarnings("ignore:probabilities are not calibrated")
def test_an_adapted_run_is_exported_with_its_own_words(run, tmp_path):
    """By the commands, from adaptation to card."""
    cells = tmp_path / "cells"
    cells.mkdir()
    for number in range(6):
        Image.fromarray(drawn_cell(number)).save(cells / f"{number}.png")
    model, to = tmp_path / "theirs", tmp_path / "export"
    assert (
        cli.main(["adapt", f"--workdir={run}", f"--input={cells}", f"--output={model}", "--scale=0.9"]) == 0
    )
    assert cli.main(["export", f"--workdir={model}", f"--output={to}", "--formats=orbax"]) == 0
    card = (to / "MODEL_CARD.md").read_text()
    for note in json.loads((model / "adaptation.json").read_text())["notes"]:
        assert f"\n- {note}\n" in card
    assert "Not measured since it was adapted" in card


def test_a_missing_package_is_named(export_to, tmp_path, monkeypatch):
    form = formats.FORMATS["onnx"]._replace(packages=("onnx", "no_such_package"))
    monkeypatch.setitem(formats.FORMATS, "onnx", form)
    with pytest.raises(UserError, match="export onnx needs no_such_package: pip install no_such_package"):
        export_to("onnx")
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize("change", [{"name": "convnext_tiny"}, {"norm": "group"}])
def test_a_format_that_such_a_network_has_not_is_refused_before_anything_is_removed(
    run, export_to, tmp_path, change
):
    folder = export_to("stablehlo")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    config = copy_with(
        read_run_config(run),
        {f"model.{name}": value for name, value in change.items()}
        | {"export.formats": "stablehlo,torch", "export.output": str(folder)},
    )
    with pytest.raises(UserError, match=r"cannot be exchanged with PyTorch|batch normalisation"):
        command.export(config, run)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_all_leaves_out_what_cannot_be_written(export_to, monkeypatch):
    for name, form in formats.FORMATS.items():
        if name != "orbax":
            monkeypatch.setitem(formats.FORMATS, name, form._replace(packages=(f"no_{name}",)))
    record = json.loads((export_to("all") / "export.json").read_text())
    assert list(record["formats"]) == ["orbax"]
    assert set(record["left_out"]) == set(formats.FORMATS) - {"orbax"}
    assert "pip install no_onnx" in record["left_out"]["onnx"]


def test_the_card_says_what_is_other_about_the_weights_alone(program, record):
    """Of a network that is tested with the layer; the run's estimates are of a test without it."""
    tested = dataclasses.replace(program, network=program.network.clone(test_mode="enhance"))
    assert "without the layer, whose logits have a temperature of their own, 1.50." in model_card(
        tested, record
    )
    assert "without the layer, " not in model_card(program, record)


@pytest.mark.parametrize("text", ["onxx", "", "onnx,tensorrt"])
def test_an_unknown_format_is_refused_before_anything_is_loaded(run, text, capsys):
    assert cli.main(["export", f"--workdir={run}", f"--formats={text}"]) == 2
    assert "name any of orbax, stablehlo, onnx" in capsys.readouterr().err


def test_the_torch_file_has_no_branching_layer_and_its_own_description(exported):
    tensors = load_file(exported / "model.safetensors")
    assert tensors["conv1.weight"].shape == (4, 3, 3, 3)
    assert tensors["fc.weight"].shape == (14, 32)
    assert tensors["bn1.num_batches_tracked"].dtype == np.int64
