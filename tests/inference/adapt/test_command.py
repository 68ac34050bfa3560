"""`adapt` as a user calls it."""

import csv
import hashlib
import itertools
import json
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from asae_jax import cli
from asae_jax.config import base_config, copy_with, read_run_config
from asae_jax.errors import UserError
from asae_jax.evaluation.uncertainty_files import read_matching_uncertainty
from asae_jax.inference.adapt import appearance, classes, command, last_layer, report
from asae_jax.inference.adapt.cells import Cells, scorer
from asae_jax.inference.adapt.labels import read_given, with_groups
from asae_jax.inference.adapt.statistics import drawn_rows
from asae_jax.inference.inputs import Item
from asae_jax.input.content import image_content
from asae_jax.input.decode import read_image
from asae_jax.input.nucleus_sizes import NucleusSizes
from asae_jax.run.adaptation import FILE, OLD_LAYER, read_adaptation, source_before_labels
from asae_jax.run.run import open_run
from tests.edited import edited
from tests.inference.predict.conftest import CLASS_NAMES, _shallow, folder, images, runs

__all__ = ["_shallow", "folder", "images", "runs"]

pytestmark = pytest.mark.filterwarnings(
    "ignore:probabilities are not calibrated", "ignore:left out as no images"
)


def _adapt(workdir, *options):
    return cli.main(["adapt", f"--workdir={workdir}", *map(str, options)])


def _state(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def labels(folder, tmp_path_factory):
    """A review page's list: all eleven images labelled, the twelfth not looked at."""
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    files = sorted(folder.glob("*/*.png"))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "seen", "content"])
        for number, image in enumerate(files):
            writer.writerow([image, CLASS_NAMES[number % 2], "yes", image_content(read_image(image))])
    return path


@pytest.fixture(scope="module")
def adapted(runs, folder, tmp_path_factory):
    """Adapted without labels, and the files of the run before."""
    before = _state(runs[0])
    output = tmp_path_factory.mktemp("adapted") / "theirs"
    assert _adapt(runs[0], f"--input={folder}", f"--output={output}", "--propose=4", "--worth=0") == 0
    return output, before


def test_the_run_stays_as_it_is_and_only_batch_statistics_are_new(adapted, runs):
    output, before = adapted
    assert _state(runs[0]) == before
    old, new = open_run(runs[0]).variables, open_run(output).variables
    leaves = lambda tree: np.concatenate([np.ravel(x) for x in _leaves(tree)])  # noqa: E731
    np.testing.assert_allclose(leaves(new["params"]), leaves(old["params"]), atol=1e-3)
    assert np.abs(leaves(new["batch_stats"]) - leaves(old["batch_stats"])).max() > 0.05


def _leaves(tree):
    for _, value in sorted(tree.items()):
        if isinstance(value, dict):
            yield from _leaves(value)
        else:
            yield np.asarray(value, np.float32)


def test_the_card_says_what_was_done_and_names_no_folder(adapted, folder, runs):
    output, _ = adapted
    record = json.loads((output / "adaptation.json").read_text())
    assert record["source"]["name"] == runs[0].name
    assert record["input"] == {"given": folder.name, "images": 11, "unreadable": 1}
    assert record["statistics"]["share_new"] == 1
    card = (output / "README.md").read_text()
    assert "For research, not a diagnosis" in card
    assert "do not hold for these images" in card
    assert str(folder.parent) not in card + (output / "config.json").read_text()
    assert not (output / "uncertainty.json").exists()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"input": "."}, "cells"),
        ({"input": "slides/*.png"}, "slides"),
        ({"input": "one/list.csv", "labels": "a.csv"}, "list"),
        ({"labels": "one/a.csv,b.csv"}, "a.csv, b.csv"),
        ({"labels": "c,d.csv"}, "c,d.csv"),
    ],
)
def test_the_record_names_whatever_was_given(tmp_path, monkeypatch, options, name):
    place = tmp_path / "cells"
    (place / "one").mkdir(parents=True)
    for file in ("c,d.csv", "a.csv", "b.csv", "one/a.csv", "one/list.csv"):
        (place / file).touch()
    monkeypatch.chdir(place)
    settings = copy_with(base_config(), {f"adapt.{key}": value for key, value in options.items()}).adapt
    assert report._given(settings) == name


def test_a_record_that_was_changed_is_refused(adapted, tmp_path):
    text = (adapted[0] / FILE).read_text()
    (tmp_path / FILE).write_text(text.replace('"images": 11', '"images": 12'))
    with pytest.raises(UserError, match=rf"{FILE} has changed"):
        read_adaptation(tmp_path)


def test_predict_says_that_the_old_thresholds_were_left_out(adapted, folder, tmp_path):
    output, _ = adapted
    made = tmp_path / "cells.csv"
    options = [f"--model={output}", f"--workdir={tmp_path / 'work'}", f"--input={folder}", f"--output={made}"]
    assert cli.main(["predict", *options]) == 0
    with pytest.warns(UserWarning, match="adapted to another laboratory without labels"):
        assert read_matching_uncertainty(open_run(output)) is None
    assert "do not hold for these images" in made.with_suffix(".html").read_text()
    with made.open() as file:
        assert "abstain" not in csv.DictReader(file).fieldnames


def test_proposals_are_a_list_that_predict_takes(adapted, tmp_path):
    output, _ = adapted
    with (output / "to_label.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["path"] for row in rows}) == 4
    options = [f"--workdir={output}", f"--input={output / 'to_label.csv'}", f"--output={tmp_path / 'a.csv'}"]
    assert cli.main(["predict", *options, "--nopage"]) == 0


def test_labels_train_the_last_layer_and_make_the_estimates(runs, folder, labels, tmp_path, monkeypatch):
    output = tmp_path / "theirs"
    sizes = NucleusSizes(30, 31.0, 40.0, 52.0)
    monkeypatch.setattr(command, "measure_nuclei", lambda images: sizes if len(images) == 11 else None)
    options = [f"--input={folder}", f"--labels={labels}", f"--output={output}", "--folds=3"]
    assert _adapt(runs[0], *options, "--statistics=keep", "--propose=3") == 0
    record = json.loads((output / "adaptation.json").read_text())
    assert record["labels"]["count"] == 11
    assert record["labels"]["of_class"] == {"BLA": 6, "EBO": 5}
    assert np.sum(record["confusion_matrix"]) == 11
    assert json.loads((output / "uncertainty.json").read_text())["num_validation_images"] == 11
    assert read_matching_uncertainty(open_run(output)).nuclei == sizes
    old, new = open_run(runs[0]).variables["params"], open_run(output).variables["params"]
    differing = [np.abs(a - b).max() > 1e-3 for a, b in zip(_leaves(old), _leaves(new), strict=True)]
    assert sum(differing) <= 2  # kernel and bias of the last layer
    assert not (output / "to_label.csv").exists()  # every image is labelled
    made = tmp_path / "cells.csv"
    assert cli.main(["predict", f"--workdir={output}", f"--input={folder}", f"--output={made}"]) == 0
    with made.open() as file:
        assert "abstain" in csv.DictReader(file).fieldnames
    other = copy_with(read_run_config(output), {"eval.test_mode": "mean"})
    with pytest.warns(UserWarning, match="is of .*, not of"):
        assert read_matching_uncertainty(open_run(output, other)) is None


@pytest.mark.filterwarnings("ignore:labels left out")
@pytest.mark.parametrize(
    ("split", "label", "seen", "reason", "proposed"),
    [
        ("train", "BLA", "no", "", True),
        ("train", "", "yes", "blurred", False),  # a person left it out
        ("test", "BLA", "yes", "", False),
        ("aside", "BLA", "no", "", False),
    ],
)
def test_proposes_what_nobody_looked_at_and_no_test_needs(
    runs, folder, tmp_path, capsys, split, label, seen, reason, proposed
):
    rows = [(path, label_, "train", "yes", "") for path, label_, _ in _rows(folder, 11)]
    last = rows[-1][0]
    rows[-1] = (last, label, split, seen, reason)
    labels = _list(tmp_path / "a.csv", rows, ["path", "label", "split", "seen", "reason"])
    output = tmp_path / "theirs"
    given = [f"--input={folder}", f"--labels={labels}", f"--output={output}", "--statistics=keep"]
    assert _adapt(runs[0], *given, "--folds=2", "--propose=3") == 0
    made = output / "to_label.csv"
    found = [line.split(",")[0] for line in made.read_text().splitlines()[1:]] if made.exists() else []
    assert found == [last] * proposed
    nothing = "note: nothing to propose: all images are labelled, left out or kept for a test\n"
    assert (nothing in capsys.readouterr().out) == (not proposed)


def test_its_evaluation_says_what_its_estimates_were_set_on(runs, labels, tmp_path, blank_pictures, capsys):
    output, cells = tmp_path / "trained", tmp_path / "cells.csv"
    given = [f"--labels={labels}", f"--output={output}", "--folds=3", "--statistics=keep"]
    assert _adapt(runs[0], *given) == 0
    cells.write_text(labels.read_text())
    capsys.readouterr()
    assert cli.main(["evaluate", f"--workdir={output}", f"--path={cells}", "--source=csv"]) == 0
    told = capsys.readouterr().out
    assert "unlike the labelled cells that the model was adapted with" in told
    assert "validation images" not in told
    page = (output / "evaluation" / "other.html").read_text()
    assert "Set on 11 labelled cells that the model was adapted with (cross-fitted), measured on" in page
    assert "validation images of the run" not in page


def test_what_it_labels_by_itself_is_no_outlier(runs, labels, tmp_path):
    """The threshold keeps all eleven; half of the distances, five of eleven, lie above their median."""
    output = tmp_path / "theirs"
    uncertainty = {"target_error": 0.99, "certainty": 0, "outlier_quantile": 0.5}
    options = [f"--config.uncertainty.{name}={value}" for name, value in uncertainty.items()]
    given = [f"--labels={labels}", f"--output={output}", "--folds=3", "--statistics=keep"]
    assert _adapt(runs[0], *given, *options) == 0
    record = json.loads((output / FILE).read_text())
    found = record["labels"]
    assert found["labelled_by_threshold"] == 1
    assert (found["labelled_without_a_person"]["count"], found["labelled_without_a_person"]["of"]) == (6, 11)
    assert found["error_without_a_person"]["of"] == 6
    assert any("By itself it labels 54.5 % [28.0, 78.7] of these cells" in note for note in record["notes"])


def test_labels_train_all_layers(runs, images, labels, tmp_path, capsys):
    output = tmp_path / "theirs"
    options = [f"--labels={labels}", f"--output={output}", "--layers=all", "--epochs=12", "--folds=2"]
    assert _adapt(runs[0], *options, "--statistics=keep") == 0
    record = json.loads((output / FILE).read_text())
    assert (record["labels"]["layers"], np.sum(record["confusion_matrix"])) == ("all", 11)
    assert record["learnt"]["mixture"]["NGS"] == pytest.approx(1 / 3)  # no label says anything else
    assert sum(record["learnt"]["mixture"].values()) == pytest.approx(1)
    assert (record["learnt"]["unlabelled"], record["learnt"]["labels"]) == (["NGS"], 11)
    made = f"--output={tmp_path / 'cells.csv'}"
    assert cli.main(["predict", f"--workdir={output}", f"--input={labels}", made, "--mixture=corrected"]) == 2
    assert "without a label of NGS" in capsys.readouterr().err
    again = tmp_path / "again"  # without labels: what was learnt before is not forgotten
    assert _adapt(output, f"--input={labels}", f"--output={again}", "--statistics=keep", "--scale=0.9") == 0
    assert json.loads((again / FILE).read_text())["learnt"] == record["learnt"]
    assert any("may have been unlearnt" in note for note in record["notes"])
    old, new = open_run(runs[0]).variables["params"], open_run(output).variables["params"]
    assert all(
        np.abs(a - b).max() > 1e-6 for a, b in zip(_leaves(old), _leaves(new), strict=True) if a.ndim == 4
    )
    assert read_matching_uncertainty(open_run(output)).num_examples == 11
    log_probs = [
        special.log_softmax(scorer(r)(r.variables, images)[0], 1) for r in map(open_run, (runs[0], output))
    ]
    before, after = (-one[np.arange(11), np.arange(11) % 2].mean() for one in log_probs)
    assert after < before


def test_scale_and_classes_that_occur(runs, folder, tmp_path):
    output = tmp_path / "theirs"
    options = [
        f"--input={folder}",
        f"--output={output}",
        "--scale=0.8",
        "--statistics=keep",
        "--only=BLA,NGS",
    ]
    assert _adapt(runs[0], *options) == 0
    assert open_run(output).preparation.scale == 0.8
    mixture = json.loads((output / FILE).read_text())["mixture"]
    assert mixture["training"] == {"BLA": 0.5, "NGS": 0.5}  # EBO is known not to occur
    assert sum(mixture["estimated"].values()) == pytest.approx(1, abs=1e-3)
    made = tmp_path / "cells.csv"
    assert (
        cli.main(["predict", f"--workdir={output}", f"--input={folder}", f"--output={made}", "--nopage"]) == 0
    )
    with made.open() as file:
        rows = [row for row in csv.DictReader(file) if row["label"]]
    assert {row["label"] for row in rows} <= {"BLA", "NGS"}
    assert max(float(row["p_EBO"]) for row in rows) < 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--output=DIR is missing"),
        (["--output=new"], "no images are named"),
        (["--output=new", "--input=CELLS", "--only=BLA,NSG"], "no class of the run. Did you mean NGS?"),
        (["--output=new", "--input=CELLS", "--statistics=keep"], "nothing would change"),
        (["--output=new", "--input=CELLS", "--scale=0"], "are not here: give some, --template"),
        (["--output=new", "--labels=absent.csv"], "absent.csv is not there"),
        (["--output=RUN", "--input=CELLS"], "is the run itself"),
        (["--output=CELLS", "--input=CELLS"], "exists: name a new folder"),
        (["--output=.", "--input=CELLS"], "--output=. is the folder that you work in: name a new folder"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    runs, folder, tmp_path, monkeypatch, capsys, options, message
):
    monkeypatch.chdir(tmp_path)
    names = {"CELLS": str(folder), "RUN": str(runs[0])}
    given = [o.replace("CELLS", names["CELLS"]).replace("RUN", names["RUN"]) for o in options]
    assert _adapt(runs[0], *given) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("always:labels left out")
def test_labels_that_cannot_be_used_are_counted(runs, folder, labels, tmp_path, capsys):
    few = tmp_path / "few.csv"
    rows = labels.read_text().splitlines()
    few.write_text("\n".join([*rows[:8], rows[8].replace("EBO", "XYZ").replace("BLA", "XYZ")]) + "\n")
    assert _adapt(runs[0], f"--labels={few}", f"--output={tmp_path / 'new'}") == 2
    said = capsys.readouterr().err
    assert "labels left out: 1 of XYZ, which the run does not know" in said
    assert "7 labels of 2 classes" in said


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("train", ""),
        ("validation", "1 of the list's validation part"),
        ("test", "1 of the list's test part"),
        ("aside", "1 set aside for a second test"),
    ],
)
def test_only_the_training_part_of_a_list_is_trained_on(folder, tmp_path, recwarn, split, said):
    rows = [(path, label, "train") for path, label, _ in _rows(folder, 11)]
    rows[0] = (*rows[0][:2], split)
    found = read_given(
        str(_list(tmp_path / "a.csv", rows, ["path", "label", "split"])), CLASS_NAMES, {}
    ).given
    names = [row[0] for row in rows if row[2] == "train"]
    assert [each.item.path for each in found] == names
    assert [str(warning.message) for warning in recwarn] == [f"labels left out: {said}"] * bool(said)


def test_thumbnails_of_a_system_and_files_that_are_gone_are_no_labelled_images(folder, tmp_path, recwarn):
    rows = [row[:2] for row in _rows(folder, 11)]
    thumbnail = tmp_path / "@eaDir" / "1.png"
    thumbnail.parent.mkdir()
    shutil.copyfile(rows[0][0], thumbnail)
    more = [(str(thumbnail), "BLA"), (str(tmp_path / "gone.png"), "BLA")]
    found = read_given(
        str(_list(tmp_path / "a.csv", [*rows, *more], ["path", "label"])), CLASS_NAMES, {}
    ).given
    assert [each.item.path for each in found] == [path for path, _ in rows]
    assert [str(warning.message) for warning in recwarn] == [
        "labels left out: 1 of thumbnails or notes that a system left; 1 of files that are not there"
    ]


@pytest.mark.filterwarnings("always:1 of 11 labelled images")
def test_another_picture_under_the_name_is_not_what_was_labelled(runs, folder, labels, tmp_path, capsys):
    moved = tmp_path / "cells"
    shutil.copytree(folder, moved)
    text = labels.read_text().replace(str(folder), str(moved))
    (tmp_path / "labels.csv").write_text(text)
    shutil.copyfile(moved / "slide_a" / "00.png", moved / "slide_a" / "01.png")
    options = [f"--labels={tmp_path / 'labels.csv'}", f"--output={tmp_path / 'new'}", "--folds=2"]
    assert _adapt(runs[0], *options, "--statistics=keep") == 0
    assert "1 of 11 labelled images are not used" in capsys.readouterr().err
    assert json.loads((tmp_path / "new" / "adaptation.json").read_text())["labels"]["count"] == 10


def _given(*groups):
    items = [Item(f"{n}.png", f"/{n}.png", group) for n, group in enumerate(groups)]
    return Cells(items, np.zeros((len(items), 4, 4, 3), np.uint8), [""] * len(items), {})


@pytest.mark.parametrize(
    ("groups", "labels", "taken"),
    [
        ("aabb", [0, 0, 1, 1], False),  # folders of classes
        ("aabb", [0, 1, 1, 1], True),
        ("aabc", [0, 0, 1, 1], True),
        ("aaaa", [0, 0, 1, 1], False),
        (["a", "", "b", "b"], [0, 1, 1, 1], False),
        (["a", "", "a", ""], [0, 1, 1, 1], True),  # an image without patient is by itself
        (["", "", "", ""], [0, 1, 1, 1], False),
    ],
)
def test_folders_of_classes_are_no_patients(groups, labels, taken, recwarn):
    found = command._groups(_given(*groups), np.arange(4), np.array(labels))
    assert (found is not None) == taken
    assert len(recwarn) == (len(set(groups)) > 1 and not taken)


def _rows(folder, count):
    files = sorted(folder.glob("*/*.png"))[:count]
    return [(str(file), CLASS_NAMES[n % 2], image_content(read_image(file))) for n, file in enumerate(files)]


def _list(path, rows, columns):
    path.write_text("\n".join([",".join(columns), *(",".join(row[: len(columns)]) for row in rows)]) + "\n")
    return path


def test_a_label_in_a_list_with_contents_and_in_one_without_counts_once(folder, tmp_path):
    rows = _rows(folder, 11)
    one = _list(tmp_path / "one.csv", rows, ["path", "label", "content"])
    two = _list(tmp_path / "two.csv", rows, ["path", "label"])
    again = [shutil.copy(file, tmp_path / f"again_{file.name}") for file in (one, two)]
    for lists in ((one, two), (two, one), (one, two, again[0]), (two, one, again[1])):
        found = read_given(",".join(map(str, lists)), CLASS_NAMES, {}).given
        assert [(Path(each.item.path), each.label, each.content) for each in found] == [
            (Path(path), label, content) for path, label, content in rows
        ]
    two.write_text(two.read_text().replace(",EBO", ",BLA"))
    with pytest.raises(UserError, match="has two labels, EBO and BLA"):
        read_given(f"{one},{two}", CLASS_NAMES, {})
    for lists, said in ((f"{one},{one}", "is named twice"), (",", "no labels are named")):
        with pytest.raises(UserError, match=said):
            read_given(lists, CLASS_NAMES, {})


@pytest.mark.parametrize(
    ("groups", "folds_of", "said"),
    [
        (["p1", "p2", "p3"], "groups", "new slides or patients differ more"),
        (["p1", "p2", "no group"], "images", "may have been on both sides"),
    ],
)
def test_patients_were_kept_apart_only_where_all_are_known(runs, folder, tmp_path, groups, folds_of, said):
    rows = [(*row[:2], groups[n // 4]) for n, row in enumerate(_rows(folder, 11))]
    listed = _list(tmp_path / "labels.csv", rows, ["path", "label", "group"])
    options = [f"--labels={listed}", f"--output={tmp_path / 'new'}", "--statistics=keep"]
    assert _adapt(runs[0], *options) == 0
    record = json.loads((tmp_path / "new" / FILE).read_text())
    assert record["labels"]["folds_of"] == folds_of
    notes = "\n".join(record["notes"])
    assert said in notes
    if record["labels"]["strength"] != OLD_LAYER:
        assert ("nor another of the same slide or patient" in notes) == (folds_of == "groups")


def test_patients_that_merge_knows_of_some_images_are_known(folder, tmp_path):
    known = ["no group", "p1", "p1", *[""] * 8]
    rows = [(*row[:2], group) for row, group in zip(_rows(folder, 11), known, strict=True)]
    listed = _list(tmp_path / "merged.csv", rows, ["path", "label", "known_group"])
    found = [one.item.group for one in read_given(str(listed), CLASS_NAMES, {}).given]
    assert found == ["", "p1", "p1", *[""] * 8]


def test_what_labels_told_of_an_image_of_no_group_is_known(folder, tmp_path):
    """As `merge` lists it."""
    rows = [(*row[:2], "no group", "p7") for row in _rows(folder, 11)]
    listed = _list(tmp_path / "merged.csv", rows, ["path", "label", "patient", "known_group"])
    assert {one.item.group for one in read_given(str(listed), CLASS_NAMES, {}).given} == {"p7"}


@pytest.mark.filterwarnings("always:1 labels are not used")
def test_one_picture_under_two_names_counts_once_and_must_have_one_label(runs, folder, tmp_path, capsys):
    moved = tmp_path / "cells"
    shutil.copytree(folder, moved)
    rows = [row[:2] for row in _rows(moved, 11)]
    shutil.copyfile(rows[0][0], moved / "copy.png")
    options = [f"--output={tmp_path / 'new'}", "--statistics=keep"]
    again = _list(tmp_path / "a.csv", [*rows, (str(moved / "copy.png"), rows[0][1])], ["path", "label"])
    assert _adapt(runs[0], f"--labels={again}", *options) == 0
    assert "1 labels are not used: their picture is labelled already" in capsys.readouterr().err
    assert json.loads((tmp_path / "new" / FILE).read_text())["labels"]["count"] == 11
    other = _list(tmp_path / "b.csv", [*rows, (str(moved / "copy.png"), rows[1][1])], ["path", "label"])
    assert _adapt(runs[0], f"--labels={other}", f"--output={tmp_path / 'b'}") == 2
    assert "one picture with two labels, EBO and BLA" in capsys.readouterr().err


def test_the_mixture_that_is_reported_is_that_before_the_labels(runs, folder, labels, tmp_path):
    found = []
    for name, more in (("without", ["--scale=1.01"]), ("with", ["--scale=1.01", f"--labels={labels}"])):
        options = [f"--input={folder}", f"--output={tmp_path / name}", "--statistics=keep", *more]
        assert _adapt(runs[0], *options) == 0
        found.append(json.loads((tmp_path / name / FILE).read_text())["mixture"])
    assert found[0] == found[1]


def test_images_are_drawn_for_the_classes_that_can_occur(runs, folder, tmp_path, monkeypatch):
    drawn = []

    def recorded(*args, **kwargs):
        drawn.append(kwargs)
        return drawn_rows(*args, **kwargs)

    monkeypatch.setattr(command, "drawn_rows", recorded)
    options = [f"--input={folder}", f"--output={tmp_path / 'new'}", "--balance=predicted", "--only=BLA,EBO"]
    assert _adapt(runs[0], *options) == 0
    assert set(drawn[0]["predicted"].tolist()) <= {0, 1}
    assert drawn[0]["wanted"].tolist() == pytest.approx([0.5, 0.5, 0])


def test_no_scale_is_measured_for_what_was_adapted_before(adapted, folder, tmp_path, capsys):
    """It would be applied twice: the first one is in the settings already."""
    output, _ = adapted
    options = (f"--input={folder}", f"--output={tmp_path / 'again'}", f"--template={folder}")
    assert _adapt(output, *options, "--scale=0") == 2
    assert "was made by `adapt` from seed0" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_what_was_done_before_is_said_still_and_what_was_measured_then_is_not(runs, folder, labels, tmp_path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    only = ",".join(CLASS_NAMES[:2])
    assert _adapt(runs[0], f"--input={folder}", f"--output={first}", "--scale=0.8", f"--only={only}") == 0
    assert _adapt(first, f"--labels={labels}", f"--output={second}", "--statistics=keep") == 0
    assert _adapt(second, f"--input={folder}", f"--output={third}", "--statistics=keep", "--scale=1.5") == 0
    one, two, three = (json.loads((place / FILE).read_text()) for place in (first, second, third))
    assert open_run(third).config.data.scale == pytest.approx(0.8 * 1.5)
    assert one["source"]["only"] == two["source"]["only"] == three["source"]["only"] == [*CLASS_NAMES[:2]]
    said = "\n".join(two["notes"])
    assert "Before that, from seed0: Cells are shown 0.80 times as large." in said
    assert "Before that, from seed0: Batch statistics are averaged" in said
    assert any("probabilities are not calibrated" in note for note in one["notes"])
    assert "not calibrated" not in said  # they are now
    said = "\n".join(three["notes"])
    assert "fitted to 11 labelled cells" not in said  # the old layer was better and stayed
    assert "Before that, from seed0: Cells are shown 0.80 times as large." in said
    assert "By itself it labels" not in said
    # The removed class is no surprise of the mixture, and no class without labels.
    assert two["learnt"]["unlabelled"] == []
    assert two["mixture"]["distance"] == pytest.approx(one["mixture"]["distance"])


def test_removed_classes_are_in_no_set_of_classes_where_every_other_one_is(runs, labels, tmp_path):
    """Eleven labels are too few for sets that miss 1 %, so that all classes that can occur are in each."""
    output, made = tmp_path / "new", tmp_path / "cells.csv"
    options = [f"--labels={labels}", f"--output={output}", f"--only={','.join(CLASS_NAMES[:2])}",
               "--statistics=keep", "--config.uncertainty.conformal_error=0.01"]  # fmt: skip
    assert _adapt(runs[0], *options) == 0
    assert json.loads((output / "uncertainty.json").read_text())["conformal"]["threshold"] == 1
    assert cli.main(["predict", f"--workdir={output}", f"--input={labels}", f"--output={made}"]) == 0
    with made.open() as file:
        rows = list(csv.DictReader(file))
    assert {frozenset(row["conformal_set"].split("|")) for row in rows} == {frozenset(CLASS_NAMES[:2])}
    assert max(float(row[f"p_{CLASS_NAMES[2]}"]) for row in rows) == 0


def test_an_old_layer_that_stays_is_scored_by_itself(runs, folder, labels, tmp_path, monkeypatch):
    """And not by the layers of the folds, which are not delivered."""

    strengths = itertools.cycle([1e-3] * 5 + [np.inf])  # of five folds, then of all labels
    monkeypatch.setattr(last_layer, "choose_strength", lambda *_, **__: next(strengths))
    options = [f"--labels={labels}", f"--output={tmp_path / 'new'}", "--statistics=keep"]
    assert _adapt(runs[0], *options) == 0
    record = json.loads((tmp_path / "new" / FILE).read_text())
    assert record["labels"]["right_cross_fitted"] == record["labels"]["right_before"]
    assert np.trace(record["confusion_matrix"]) == record["labels"]["right_before"]["count"]
    notes = "\n".join(record["notes"])
    assert "which stays" in notes
    assert "before)" not in notes
    assert "fewer than before" not in notes


def test_more_labels_are_asked_for_only_where_they_help():
    for count, said in ((20, "takes at least 32 labels"), (3000, "as the network is wrong too often")):
        told = report._nothing_labelled({"count": count, "target_error": 0.05, "certainty": 0.8})
        assert said in told
        assert ("Label more" in told) == (count == 20)


@pytest.mark.parametrize(("balance", "advised"), [("none", True), ("predicted", False)])
def test_what_was_done_already_is_not_advised(balance, advised):
    content = {"mixture": {"distance": 0.5}, "statistics": {"kept": False, "balance": balance}}
    assert ("--balance=predicted" in next(report._of_mixture(content))) == advised


def test_layers_that_were_fitted_before_are_said():
    labels = {"count": 1200, "layers": "all", "strength": 0.1}
    earlier = {"source": {"name": "seed0"}, "labels": {"count": 30, "layers": "last", "strength": 1.0}}
    found = list(report._done_before({"source": {"name": "first"}, "labels": labels, "before": earlier}))
    assert found == [
        "Before that, from first: all layers were fitted to 1,200 labelled cells.",
        "Before that, from seed0: the last layer was fitted to 30 labelled cells.",
    ]


def test_a_class_that_was_removed_before_does_not_come_back(runs, folder, labels, tmp_path, capsys):
    first = tmp_path / "first"
    only = ",".join(CLASS_NAMES[:2])
    assert _adapt(runs[0], f"--input={folder}", f"--output={first}", f"--only={only}") == 0
    options = (f"--input={folder}", f"--output={tmp_path / 'again'}")
    assert _adapt(first, *options, f"--only={CLASS_NAMES[0]},{CLASS_NAMES[2]}") == 2
    assert (
        f"{CLASS_NAMES[2]}: removed by --only when this model was made from seed0" in capsys.readouterr().err
    )
    assert not (tmp_path / "again").exists()


def test_a_light_that_is_matched_already_is_no_change(runs, folder, tmp_path, capsys):
    own = tmp_path / "own"
    shutil.copytree(runs[0], own)
    with edited(own / "config.json") as config:
        config["data"]["background"] = "255,230,207"
    options = (f"--input={folder}", f"--output={tmp_path / 'a'}", "--statistics=keep")
    assert _adapt(own, *options, "--background=match") == 2
    assert "nothing would change" in capsys.readouterr().err


def test_a_network_that_keeps_its_statistics_has_none_to_estimate(runs, folder, tmp_path, capsys):
    frozen = tmp_path / "frozen"
    shutil.copytree(runs[0], frozen)
    with edited(frozen / "config.json") as config:
        config["model"]["norm"] = "frozen_batch"
    assert _adapt(frozen, f"--input={folder}", f"--output={tmp_path / 'a'}", "--statistics=new") == 2
    assert "this network has no batch statistics" in capsys.readouterr().err
    assert _adapt(frozen, f"--input={folder}", f"--output={tmp_path / 'a'}") == 2
    assert "nothing would change" in capsys.readouterr().err


def test_a_model_that_learnt_labels_learns_no_others(runs, folder, labels, tmp_path, capsys, monkeypatch):
    """It would be scored on cells that it was fitted to. Whoever adapts it without labels is free to."""
    monkeypatch.setattr(last_layer, "choose_strength", lambda *_, **__: 1e-3)
    first, second = tmp_path / "first", tmp_path / "second"
    assert _adapt(runs[0], f"--labels={labels}", f"--output={first}", "--statistics=keep") == 0
    assert _adapt(first, f"--input={folder}", f"--output={second}", "--scale=0.8") == 0
    for model in (first, second):
        assert _adapt(model, f"--labels={labels}", f"--output={tmp_path / 'no'}") == 2
        assert "adapt seed0 with all labels together" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_what_knew_no_labels_is_found_behind_several_adaptations():
    def made(source, strength, before=None):
        labels = None if strength is None else {"strength": strength}
        return {"source": {"name": source}, "labels": labels, "before": before}

    assert source_before_labels(None) is None
    assert source_before_labels(made("run", None)) is None
    assert source_before_labels(made("run", OLD_LAYER)) is None
    learnt = made("scaled", 1.0, made("run", None))
    assert source_before_labels(learnt) == "scaled"
    assert source_before_labels(made("c", 1.0, made("b", None, learnt))) == "scaled"


@pytest.mark.parametrize("columns", [["path", "label"], ["path", "label", "content"]])
@pytest.mark.parametrize("first", [0, 1])
def test_what_one_list_keeps_for_a_test_no_other_list_gives_to_training(folder, tmp_path, columns, first):
    """As the page's list, which knows no parts, does of the images of a list of `merge`."""
    rows = _rows(folder, 11)
    parts = _list(
        tmp_path / "merged.csv", [(*row[:2], "test") for row in rows[:1]], ["path", "label", "split"]
    )
    lists = [parts, _list(tmp_path / "page.csv", rows, columns)]
    with pytest.warns(UserWarning, match="2 of the list's test part"):
        found = read_given(f"{lists[first]},{lists[1 - first]}", CLASS_NAMES, {})
    assert [each.item.path for each in found.given] == [row[0] for row in rows[1:]]
    assert {rows[0][0], rows[0][2]} <= found.kept_apart


@pytest.mark.filterwarnings("always:1 labels are not used", "always:labels left out")
def test_a_copy_of_a_test_image_is_not_trained_on(runs, folder, tmp_path, capsys):
    rows = _rows(folder, 11)
    copy = shutil.copy(rows[0][0], tmp_path / "copy.png")
    listed = [(*rows[0][:2], "test"), *((*row[:2], "train") for row in rows[1:]), (str(copy), "EBO", "train")]
    labels = _list(tmp_path / "a.csv", listed, ["path", "label", "split"])
    output = tmp_path / "new"
    assert _adapt(runs[0], f"--labels={labels}", f"--output={output}", "--statistics=keep") == 0
    assert "1 labels are not used: copies of images kept for a test" in capsys.readouterr().err
    assert json.loads((output / FILE).read_text())["labels"]["count"] == 10


def test_an_image_that_one_labels_and_another_leaves_out_is_refused(folder, tmp_path):
    rows = _rows(folder, 11)
    out = tmp_path / "out.csv"
    out.write_text(f"path,label,seen,reason\n{rows[3][0]},,yes,artefact\n")
    given = _list(tmp_path / "given.csv", rows, ["path", "label"])
    for lists, said in ((f"{out},{given}", f"left out and {rows[3][1]}"), (f"{given},{out}", "and left out")):
        with pytest.raises(UserError, match=said):
            read_given(lists, CLASS_NAMES, {})


@pytest.mark.parametrize("out", [("",), ("", "content")])
@pytest.mark.parametrize("given", [("path", "label"), ("path", "label", "content")])
@pytest.mark.filterwarnings("ignore:labels left out")
def test_nor_is_a_copy_of_what_a_person_left_out_labelled(runs, folder, tmp_path, capsys, out, given):
    """Whichever of the lists says what the images held."""
    rows = _rows(folder, 11)
    copy = shutil.copy(rows[3][0], tmp_path / "copy.png")
    artefact = _list(
        tmp_path / "out.csv", [(str(copy), "", "yes", "artefact", rows[3][2])],
        ["path", "label", "seen", "reason", *out[1:]],
    )  # fmt: skip
    lists = f"{artefact},{_list(tmp_path / 'given.csv', rows, given)}"
    assert _adapt(runs[0], f"--labels={lists}", f"--output={tmp_path / 'new'}", "--statistics=keep") == 2
    said = capsys.readouterr().err
    assert "left out" in said
    assert "keep one" in said


@pytest.mark.filterwarnings("ignore:labels left out")
@pytest.mark.parametrize("label", ["BLA", ""])
def test_an_image_kept_for_a_test_that_is_gone_protects_no_copy_and_that_is_said(folder, tmp_path, label):
    """One that a person left out is read as any other."""
    rows = _rows(folder, 11)
    copy = shutil.copy(rows[0][0], tmp_path / "copy.png")
    listed = [(str(copy), label, "test", "blurred"), *((*row[:2], "train", "") for row in rows)]
    labels = str(_list(tmp_path / "a.csv", listed, ["path", "label", "split", "reason"]))
    assert rows[0][2] in read_given(labels, CLASS_NAMES, {}).kept_apart
    copy.unlink()
    with pytest.warns(UserWarning, match="1 images that are kept for a test cannot be read"):
        assert rows[0][2] not in read_given(labels, CLASS_NAMES, {}).kept_apart


@pytest.mark.filterwarnings("always:1 labels are not used")
def test_labels_of_images_that_the_run_was_trained_on_are_left_out(
    runs, folder, tmp_path, capsys, monkeypatch
):
    labels = _list(tmp_path / "a.csv", _rows(folder, 11), ["path", "label"])
    trained = lambda run, contents, pixels: np.arange(len(contents)) < 1  # noqa: E731
    monkeypatch.setattr(command, "among_trained_on", trained)
    output = tmp_path / "new"
    assert _adapt(runs[0], f"--labels={labels}", f"--output={output}", "--statistics=keep") == 0
    captured = capsys.readouterr()
    assert "1 labels are not used: the run was trained on their images" in captured.err
    record = json.loads((output / FILE).read_text())
    assert (record["labels"]["count"], record["trained_on"]) == (10, 1)
    assert "1 labelled image is left out" in captured.out
    assert "1 labelled image is left out" in (output / "README.md").read_text()
    assert "cannot be told" not in captured.out


def test_a_class_is_known_in_either_unicode_form(folder, tmp_path):
    """Folders of a Mac have accents apart, spreadsheets have not."""
    apart, together = (unicodedata.normalize(form, "Zell\u00e4") for form in ("NFD", "NFC"))
    for known, typed in ((apart, together), (together, apart)):
        rows = [(path, typed if n % 2 else "BLA") for n, (path, *_) in enumerate(_rows(folder, 11))]
        found = read_given(str(_list(tmp_path / "a.csv", rows, ["path", "label"])), ("BLA", known), {})
        assert {each.label for each in found.given} == {"BLA", known}


def test_patients_may_be_named_by_the_input_instead_of_the_labels(runs, folder, tmp_path):
    rows = _rows(folder, 11)
    patients = [(row[0], f"p{number % 4}") for number, row in enumerate(rows)]
    given = _list(tmp_path / "input.csv", patients, ["path", "patient"])
    labels = _list(tmp_path / "labels.csv", rows, ["path", "label"])
    options = [f"--input={given}", f"--labels={labels}", f"--output={tmp_path / 'new'}", "--statistics=keep"]
    assert _adapt(runs[0], *options) == 0
    assert json.loads((tmp_path / "new" / FILE).read_text())["labels"]["folds_of"] == "groups"


def test_a_link_to_a_file_that_is_listed_is_called_so(folder, tmp_path):
    """As a page of a folder with links in it lists it; the file is there."""
    rows = _rows(folder, 11)
    (tmp_path / "link.png").symlink_to(rows[0][0])
    listed = [*rows, (str(tmp_path / "link.png"), *rows[0][1:])]
    labels = _list(tmp_path / "a.csv", listed, ["path", "label", "content"])
    with pytest.warns(UserWarning, match="labels left out: 1 of files listed by another name too"):
        assert len(read_given(str(labels), CLASS_NAMES, {}).given) == 11


def _named(*groups):
    return [Item(str(number), str(number), group) for number, group in enumerate(groups)]


@pytest.mark.parametrize(
    ("listed", "of_input", "expected"),
    [
        # The second image lies in the folder of the first one's patient.
        (["Ann", "", "Bob", ""], ["f1", "f1", "f2", "f3"], ["Ann", "Ann", "Bob", "f3"]),
        # The other images of a folder of two patients stay together, and one patient may have two folders.
        (["Ann", "Bob", "", ""], ["all"] * 4, ["Ann", "Bob", "all", "all"]),
        (["Ann", "Ann", "", ""], ["f1", "f2", "f1", "f2"], ["Ann"] * 4),
        (["Ann", "", ""], ["", "", "Ann"], ["Ann", "", "Ann"]),
        (["", ""], ["f1", ""], ["f1", ""]),
    ],
)
@pytest.mark.filterwarnings("ignore:the slide or patient of 1 labelled images is named by --input alone")
@pytest.mark.filterwarnings("ignore:the lists .* name several slides or patients")
def test_a_patient_has_one_name_though_lists_and_folders_call_him_otherwise(listed, of_input, expected):
    names = {str(number): name for number, name in enumerate(of_input) if name}
    assert [item.group for item in with_groups(_named(*listed), names)] == expected


def test_patients_whom_nothing_tells_to_be_one_are_said():
    with pytest.warns(UserWarning, match="of 1 labelled images is named by --input alone"):
        with_groups(_named("Ann", "", ""), {"0": "f1", "1": "f1", "2": "f3"})
    with pytest.warns(UserWarning, match=r"several slides or patients in all of --input \(Ann, Bob\)"):
        with_groups(_named("Ann", "Bob", ""), {"0": "all", "1": "all", "2": "all"})
    with_groups(_named("Ann", ""), {"0": "f1", "1": "f1"})


def test_lists_and_input_may_spell_a_folder_otherwise(runs, folder, tmp_path, capsys):
    link = tmp_path / "link"
    link.symlink_to(folder)
    labels = _list(tmp_path / "labels.csv", _rows(link, 10), ["path", "label"])
    output = tmp_path / "new"
    options = [f"--input={folder}", f"--labels={labels}", f"--output={output}", "--propose=4"]
    assert _adapt(runs[0], *options, "--statistics=keep") == 0
    record = json.loads((output / FILE).read_text())
    assert (record["input"]["images"], record["labels"]["folds_of"]) == (11, "groups")
    assert len((output / "to_label.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize("settled", [[], [0], [2]])
def test_of_copies_of_a_picture_one_is_proposed_and_none_where_one_is_labelled(runs, tmp_path, settled):
    """The list of labels names a path, not what it holds."""
    items = [Item(str(number), str(tmp_path / str(number))) for number in range(4)]
    cells = Cells(items, np.zeros((4, 1, 1, 3), np.uint8), ["twins", "other", "twins", "twins"], {})
    run = open_run(runs[0], copy_with(read_run_config(runs[0]), {"adapt.propose": 4}))
    named = frozenset(items[place].file for place in settled)
    text = command._proposals(run, cells, named, np.eye(4), np.zeros((4, 3)))
    expected = [items[1].file] if settled else [items[0].file, items[1].file]
    assert sorted(text.split()[1:]) == expected


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("BLA,LYT, small", ["BLA", "LYT, small"]),
        (" LYT, small ,BLA,", ["BLA", "LYT, small"]),
        ("BLA, LYT,LYT, small", ["BLA", "LYT", "LYT, small"]),
        ("Zella\u0308,BLA", ["BLA", "Zell\u00e4"]),
        ("", ["BLA", "LYT", "LYT, small", "Zell\u00e4"]),
    ],
)
def test_classes_that_occur_may_have_commas_and_either_unicode_form(text, kept):
    names = ("BLA", "LYT", "LYT, small", "Zell\u00e4")
    assert [name for name, gone in zip(names, classes.absent(text, names), strict=True) if not gone] == kept
    settings = copy_with(base_config(), {"adapt.only": text}).adapt
    before = {"source": {"name": "first", "only": ["BLA", "LYT"]}}
    if "LYT, small" in kept and text:
        with pytest.raises(UserError, match="LYT, small: removed by --only when"):
            classes.removed_before(before, names[:3], settings, [])


@pytest.mark.filterwarnings("always:labels left out")
def test_a_class_in_another_case_is_named(runs, folder, tmp_path, capsys):
    rows = _rows(folder, 11)
    labels = _list(tmp_path / "a.csv", [(rows[0][0], "ebo"), *rows[1:]], ["path", "label"])
    with pytest.warns(UserWarning, match=r"1 of ebo, which the run does not know \(Did you mean EBO\? --cl"):
        read_given(str(labels), CLASS_NAMES, {})
    given = [f"--input={folder}", f"--output={tmp_path / 'new'}", "--only=bla,NGS"]
    assert _adapt(runs[0], *given) == 2
    assert "no class of the run. Did you mean BLA?" in capsys.readouterr().err


def test_a_second_enlargement_is_refused_by_the_number_that_was_given(runs, folder, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    given = [f"--input={folder}", "--statistics=keep"]
    assert _adapt(runs[0], *given, f"--output={first}", "--scale=3") == 0
    for scale in (2, 0.08):
        assert _adapt(first, *given, f"--output={second}", f"--scale={scale}") == 2
        said = capsys.readouterr().err
        assert f"--scale={scale}: the run enlarges cells 3 times already, and 0.25 to 4 times in all" in said
        assert "give --scale=0.084 to --scale=1.333" in said
    for scale in (0.084, 1.333):  # as was said
        assert 0.25 <= appearance._in_all(scale, 3) <= 4
    assert _adapt(runs[0], *given, f"--output={second}", "--scale=0.1") == 2
    assert "--scale=0.1: 0.25 to 4 times in all can be made" in capsys.readouterr().err
