"""The command as a user meets it, on a folder with everything wrong that the audit is there to find."""

import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asae_jax import cli
from asae_jax.audit import command
from asae_jax.audit.command import EXIT_INVALID_SCORES, audit
from asae_jax.config import base_config, copy_with
from asae_jax.errors import UserError
from asae_jax.json_files import write_sealed_json
from asae_jax.run.folder import check_apart
from tests.audit.tables import cells

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("BLA", "LYT & <co>")


def write(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)


@pytest.fixture
def clean(tmp_path):
    """20 different cells of each of two classes."""
    for index, image in enumerate(cells(40)):
        write(tmp_path / "cells" / CLASSES[index % 2] / f"{index:03d}.png", image)
    return tmp_path / "cells"


def config_for(path, **data):
    config = base_config()
    config.data.update({"source": "folder", "path": str(path), "workers": 2} | data)
    config.train.batch_size = 8
    return config


def run(path, workdir, **data):
    status = audit(config_for(path, **data), workdir)
    folder = workdir / "audit"
    return status, json.loads((folder / "audit.json").read_text()), (folder / "index.html").read_text()


def dirty(folder):
    """Adds one of each fault to the folder."""
    images, first, second = cells(40), folder / CLASSES[0], folder / CLASSES[1]
    write(first / "copy.png", images[0])
    write(second / "relabelled.jpg", np.rot90(images[2]).copy(), quality=80)
    write(first / "grey.png", np.repeat(cells(1, seed=9)[0][..., :1], 3, axis=2))
    write(first / "tiny.png", cells(2, seed=9)[1][:20, :20])
    write(first / "huge.png", np.repeat(np.repeat(cells(3, seed=9)[2], 4, 0), 4, 1))
    write(first / "blank.png", np.full((64, 64, 3), 200, np.uint8))
    (first / "empty.jpg").write_bytes(b"")
    (first / "page.jpg").write_text("<html>")
    (first / "cut.png").write_bytes((first / "000.png").read_bytes()[:900])
    (first / "notes.txt").write_text("seen on Monday")


def test_a_clean_folder_passes(clean, tmp_path, capsys):
    status, found, page = run(clean, tmp_path / "run")
    assert status == 0
    assert found["faults"] == []
    assert found["duplicates"]["groups"] == []
    assert found["num_readable"] == found["num_examples"] == 40
    assert found["verdict"] == "doubtful"  # as it is not known which cells are of one patient
    assert "Nothing found that invalidates scores, with reservations" in page
    shown = capsys.readouterr().out
    assert "40 of 40 images readable, 2 classes" in shown
    assert "For research, not a diagnosis." in shown


def test_everything_wrong_is_found(clean, tmp_path, capsys):
    dirty(clean)
    status, found, page = run(clean, tmp_path / "run")
    assert status == EXIT_INVALID_SCORES == 1
    assert found["verdict"] == "invalid"
    assert "Scores on these data would be invalid" in page
    files = {kind: [Path(entry["name"]).name for entry in listed] for kind, listed in found["files"].items()}
    assert files == {
        "skipped": ["notes.txt"],
        "unreadable": ["cut.png", "empty.jpg", "page.jpg"],
        "tiny": ["tiny.png"],
        "huge": ["huge.png"],
        "greyscale": ["grey.png"],
        "blank": ["blank.png"],
    }
    assert "Files: 3 unreadable, 1 tiny, 1 huge, 1 greyscale, 1 blank." in found["warnings"]
    reasons = {Path(e["name"]).name: e["reason"] for e in found["files"]["unreadable"]}
    assert "empty file" in reasons["empty.jpg"]
    assert "truncated or damaged" in reasons["cut.png"]
    assert "not a JPEG" in reasons["page.jpg"]
    groups = {frozenset(Path(i["name"]).name for i in g["images"]): g for g in found["duplicates"]["groups"]}
    assert set(groups) == {frozenset({"000.png", "copy.png"}), frozenset({"002.png", "relabelled.jpg"})}
    assert groups[frozenset({"000.png", "copy.png"})]["kind"] == "exact"
    assert groups[frozenset({"002.png", "relabelled.jpg"})]["labels_differ"]
    assert any("under more than one label" in text for text in found["faults"])
    assert "fault: " in capsys.readouterr().out
    for name in ("notes.txt", "cut.png", "relabelled.jpg", "copy.png", "tiny.png"):
        assert name in page


@pytest.mark.parametrize(("parts", "status"), [(("train", "test"), 1), (("train", "train"), 0)])
def test_a_copy_matters_where_it_crosses_the_split(tmp_path, parts, status):
    images = cells(30)
    rows = ["path,label,split"]
    for index, image in enumerate([*images, images[3][:, ::-1].copy()]):
        part = parts[1] if index == 30 else parts[0] if index == 3 else ("train", "test")[index % 3 == 0]
        write(tmp_path / "data" / f"{index}.png", image)
        rows.append(f"{index}.png,{'ab'[index % 2] if index < 30 else 'b'},{part}")
    (tmp_path / "data" / "list.csv").write_text("\n".join(rows) + "\n")
    found_status, found, _ = run(
        tmp_path / "data" / "list.csv", tmp_path / "run", source="csv", validation_fraction=0.0
    )
    assert found_status == status
    (group,) = found["duplicates"]["groups"]
    assert group["kind"] == "near"
    assert group["across_split"] == bool(status)
    assert not group["labels_differ"]


@pytest.mark.parametrize("dropped", [False, True])
def test_what_is_set_aside_for_a_second_test_is_compared_with_the_rest(tmp_path, capsys, dropped):
    """A copy of a training image, a turned one, and a patient of both; the class map renames the class."""
    images = cells(30)
    aside = [images[1], np.rot90(images[2]).copy(), *cells(3, seed=9)]
    parts = ["test" if n % 3 == 0 else "train" for n in range(30)] + ["aside"] * 5
    rows = ["path,label,patient,split"]
    for index, image in enumerate([*images, *aside]):
        write(tmp_path / "data" / f"{index}.png", image)
        label = "old" if index >= 30 else "ab"[index % 2]
        patient = "shared" if index in (1, 34) else f"p{index}"
        rows.append(f"{index}.png,{label},{patient},{parts[index]}")
    (tmp_path / "data" / "list.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "map.csv").write_text(f"from,to\na,a\nb,b\nold,{'' if dropped else 'b'}\n")
    data = {"source": "csv", "validation_fraction": 0.0, "class_map": str(tmp_path / "map.csv")}
    status, found, page = run(tmp_path / "data" / "list.csv", tmp_path / "run", **data)
    assert found["num_examples"] == found["counts"]["per_split"]["total"] == 30
    assert status == (not dropped)
    if dropped:  # nothing of it is ever scored
        assert (found["second_test"], found["duplicates"]["groups"]) == (0, [])
        return
    groups = {tuple(image["name"] for image in g["images"]): g for g in found["duplicates"]["groups"]}
    assert set(groups) == {("1.png", "30.png"), ("2.png", "31.png")}
    assert all(group["across_split"] for group in groups.values())
    assert not groups["1.png", "30.png"]["labels_differ"]
    assert groups["2.png", "31.png"]["labels_differ"]
    assert groups["1.png", "30.png"]["images"][1] == {
        "row": 30,
        "name": "30.png",
        "label": "b",
        "split": "aside",
    }
    assert found["groups_across_split"] == ["shared"]
    assert "2 images are in more than one part of the split" in capsys.readouterr().out
    assert found["second_test"] == 5
    assert "5 images that are set aside for a second test are compared too" in page
    assert '<th scope="col" class="n">aside</th>' in page
    assert "b, aside" in page
    assert "not readable</span>" not in page  # all pictures are found


@pytest.mark.parametrize("own", [False, True])
def test_unreadable_images_of_a_second_test_are_told_apart(tmp_path, capsys, own):
    """They are no images of the data, and nothing is compared with them."""
    rows = ["path,label,patient,split"]
    for index, image in enumerate(cells(23)):
        write(tmp_path / "data" / f"{index}.png", image)
        part = "aside" if index >= 20 else "test" if index % 3 == 0 else "train"
        rows.append(f"{index}.png,{'ab'[index % 2]},p{index},{part}")
    (tmp_path / "data" / "list.csv").write_text("\n".join(rows) + "\n")
    broken = ["21.png", *["4.png"] * own]
    for name in broken:
        (tmp_path / "data" / name).write_bytes(b"")
    given = tmp_path / "data" / "list.csv"
    _, found, page = run(given, tmp_path / "run", source="csv", validation_fraction=0.0)
    assert [image["name"] for image in found["files"]["unreadable"]] == ["4.png"] * own
    assert [image["name"] for image in found["second_test_unreadable"]] == ["21.png"]
    assert found["second_test"] == 2
    assert any("unreadable" in text for text in found["warnings"]) == own
    shown = capsys.readouterr().out
    assert f"{20 - own} of 20 images readable" in shown
    assert "second test: 2 images compared, 1 cannot be read (21.png: " in shown
    assert "2 images that are set aside for a second test are compared too" in page
    assert f"<dt>unreadable files</dt><dd>{int(own)}</dd>" in page
    assert "unreadable or damaged, of the second test" in page


def test_the_split_of_a_run_is_the_one_that_counts(clean, tmp_path):
    names = sorted(path.relative_to(clean).as_posix() for path in clean.rglob("*.png"))
    splits = ["test" if number % 4 == 0 else "train" for number in range(len(names))]
    lines = [f"{n},{n.split('/')[0]},{s}" for n, s in zip(names, splits, strict=True)]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "splits.csv").write_text("\n".join(["name,label,split", *lines]) + "\n")
    _, found, _ = run(clean, tmp_path / "run")
    assert found["counts"]["per_split"] == {"train": 30, "validation": 0, "test": 10, "total": 40}


class _Page(HTMLParser):
    """Collects what a browser would fetch, and whether all elements are closed."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self):
        super().__init__()
        self.fetched, self.tags, self.open = [], set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_nothing_but_itself(clean, tmp_path):
    dirty(clean)
    _, found, page = run(clean, tmp_path / "run")
    parsed = _Page()
    parsed.feed(page)
    assert parsed.open == []
    assert not parsed.tags & {"script", "link", "iframe", "object", "base"}
    assert parsed.fetched
    assert all(
        value.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")) for value in parsed.fetched
    )
    assert not re.search(r"https?://|url\(|@import", page)
    assert "width=device-width" in page
    assert "For research, not a diagnosis." in page
    assert "LYT &amp; &lt;co&gt;" in page
    assert "<co>" not in page
    assert len(found["figures"]) == 3
    assert all((tmp_path / "run" / "audit" / name).is_file() for name in found["figures"])


def test_the_record_has_every_number_of_the_page(clean, tmp_path):
    _, found, _ = run(clean, tmp_path / "run")
    assert set(found) == {
        "schema", "notice", "version", "source", "fingerprint", "num_examples", "num_readable",
        "class_names", "counts", "groups_across_split", "files", "left_out", "duplicates", "distributions",
        "second_test", "second_test_unreadable", "border_shortcut", "balance", "verdict", "faults",
        "warnings", "figures",
    }  # fmt: skip
    assert found["schema"] == 1
    assert found["class_names"] == list(CLASSES)
    assert found["counts"]["per_class"][CLASSES[0]]["total"] == 20
    assert set(found["distributions"]["per_class"]) == set(CLASSES)
    assert found["distributions"]["percentiles"] == [5, 25, 50, 75, 95]
    assert found["distributions"]["all"]["shorter side"] == [64] * 5
    assert 0 <= found["border_shortcut"]["balanced_accuracy"] <= 1
    assert set(found["balance"]["times_seen_per_epoch"]) == set(CLASSES)


@pytest.mark.parametrize("sampler", ["balanced", "weighted", "shuffled"])
def test_how_often_images_are_seen_is_as_the_sampler_has_it(tmp_path, sampler):
    for index, image in enumerate(cells(44)):
        write(tmp_path / "cells" / "AB"[index % 11 == 0] / f"{index:03d}.png", image)
    fractions = {"test_fraction": 0.0, "validation_fraction": 0.0}
    _, found, page = run(tmp_path / "cells", tmp_path / "run", sampler=sampler, **fractions)
    assert found["balance"]["largest_to_smallest"] == 10
    seen = {} if sampler == "shuffled" else {"A": 24 / 40, "B": 24 / 4}  # 6 batches of 8, half of each class
    assert found["balance"]["times_seen_per_epoch"] == seen
    assert ("seen per epoch" in page) == ("Seen per epoch" in page) == bool(seen)
    assert "The largest class has 10.0 times the images" in page
    assert ("with equally many images of each class on average" in page) == (sampler == "weighted")


@pytest.mark.parametrize(
    ("sampler", "devices", "size"),
    [
        ("balanced", 1, 33),
        ("balanced", 8, 24),
        ("shuffled", 1, 32),
        ("shuffled", 5, 30),
        ("shuffled", None, 32),
    ],
)
def test_the_batch_size_is_that_of_training(tmp_path, monkeypatch, sampler, devices, size):
    """Where no device can be used for training (None), as one would."""

    def probe():
        if devices is None:
            raise UserError("no driver")
        return "gpu", devices

    for index, image in enumerate(cells(30)):
        write(tmp_path / "cells" / "ABC"[index % 3] / f"{index:03d}.png", image)
    monkeypatch.setattr(command, "default_workers", lambda: 1)
    monkeypatch.setattr(command.devices, "probe", probe)
    config = config_for(tmp_path / "cells", sampler=sampler)
    config.train.batch_size = 0
    workdir = tmp_path / "run"

    def found():
        audit(config, workdir)
        return json.loads((workdir / "audit" / "audit.json").read_text())["balance"]["batch_size"]

    assert found() == size
    write_sealed_json(workdir / "config.json", copy_with(config, {"train.batch_size": 15}).to_dict())
    assert found() == 15


def test_what_was_left_out_is_told_by_reason_and_is_no_fault_of_files(clean, tmp_path, capsys):
    rows = [f"{p.relative_to(clean).as_posix()},{p.parent.name},yes," for p in sorted(clean.rglob("*.png"))]
    rows[0] = rows[0].replace("yes,", "no,")
    rows[1] = rows[1].replace("yes,", "no,")
    rows[2] = rows[2].replace("yes,", "yes,artefact")
    rows[2] = rows[2].replace(f",{CLASSES[0]},", ",,")
    rows.append(f"gone.png,{CLASSES[0]},yes,")
    (clean / "list.csv").write_text("\n".join(["path,label,seen,reason", *rows]))
    _, found, page = run(clean / "list.csv", tmp_path / "run", source="csv")
    guesses, artefact, gone = found["left_out"]
    assert found["left_out"][guesses] == 2
    assert [artefact, gone] == ["a person left it out: artefact", "missing (No such file or directory)"]
    assert len(found["files"]["skipped"]) == 4
    assert not any(text.startswith("Files:") for text in found["warnings"])
    assert any(
        text.startswith(
            f"Left out before training: {guesses} (2 files), {artefact} (1 file), {gone} (1 file)"
        )
        for text in found["warnings"]
    )
    assert f"<b>2</b> left out before training: {guesses}" in page
    assert f"<b>1</b> left out before training: {artefact}" in page
    assert "<dt>unreadable files</dt><dd>0</dd>" in page
    assert "<dt>left out before training</dt><dd>4</dd>" in page
    assert "no images of a class" not in page
    assert "Every file that is used is a readable image" in page


def test_built_in_cells_have_groups(tmp_path):
    config = base_config()
    config.augment.size = 32
    config.data.update({"num_examples": 70, "stored_size": 32, "workers": 2, "split_by": "image"})
    assert audit(config, tmp_path) == 0
    found = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert len(found["counts"]["per_group"]) > 10
    assert found["groups_across_split"]
    assert any("more than one part of the split" in text for text in found["warnings"])
    assert found["verdict"] == "doubtful"


def test_cells_of_known_patients_apart_are_sound(tmp_path):
    config = base_config()
    config.augment.size = 32
    config.data.update({"num_examples": 70, "stored_size": 32, "workers": 2, "split_by": "group"})
    assert audit(config, tmp_path) == 0
    assert json.loads((tmp_path / "audit" / "audit.json").read_text())["verdict"] == "sound"
    assert 'class="verdict good"' in (tmp_path / "audit" / "index.html").read_text()


def test_classes_are_shown_by_lineage_and_maturity(tmp_path):
    for index, image in enumerate(cells(12)):
        write(tmp_path / "cells" / ("SNE", "MMY", "zzz", "PMY")[index % 4] / f"{index}.png", image)
    own = tmp_path / "own.csv"
    own.write_text("class,name\nPMY,Promyelozyt\nMMY,Metamyelozyt\nSNE,Segmentkerniger\n")
    _, found, page = run(tmp_path / "cells", tmp_path / "run", classes=str(own))
    rows = re.findall(r'<th scope="row">(.*?)</th>', page)
    assert rows[:4] == ["PMY Promyelozyt", "MMY Metamyelozyt", "SNE Segmentkerniger", "zzz"]
    assert found["class_names"] == sorted(found["class_names"])  # the record keeps the data's order


def test_nothing_but_the_audit_folder_is_written(clean, tmp_path):
    before = sorted(clean.rglob("*"))
    run(clean, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["audit"]
    assert sorted(clean.rglob("*")) == before


def test_names_that_are_not_utf8_are_found_again_in_the_record(clean, tmp_path):
    odd = clean / CLASSES[0] / "caf\udce9.png"
    write(odd, cells(2, seed=9)[1][:20, :20])
    _, found, page = run(clean, tmp_path / "run")
    (tiny,) = found["files"]["tiny"]
    assert Path(tiny["name"]).name == odd.name
    assert "caf\ufffd.png" in page


def test_data_that_cannot_be_used_are_the_users_error(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "cells" / name).mkdir(parents=True)
        for file in ("x.png", "y.png"):
            (tmp_path / "cells" / name / file).write_text("no image")
    with pytest.raises(UserError, match=r"none of the 4 images.*not a JPEG"):
        audit(config_for(tmp_path / "cells"), tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "value"),
    [("background", "white"), ("workers", -3), ("split_by", "grup"), ("groups", "patients")],
)
def test_a_setting_that_cannot_work_is_refused(clean, tmp_path, name, value):
    with pytest.raises(UserError, match=f"config.data.{name}={value!r} cannot be used"):
        audit(config_for(clean, **{name: value}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("inside", ["cache", "BLA/cache", "."])
def test_a_cache_among_the_images_is_refused(clean, tmp_path, inside):
    """At the next start it would be a class without images."""
    with pytest.raises(UserError, match=r"--config\.data\.cache_dir=.* lies in the folder of the images"):
        audit(config_for(clean, cache_dir=str(clean / inside)), tmp_path / "run")
    config = config_for(clean, cache_dir=str(tmp_path / "cache"))
    check_apart(tmp_path / "run", config)
    config.data.update({"cache": False, "cache_dir": str(clean / inside)})
    check_apart(tmp_path / "run", config)


def test_a_folder_that_cannot_be_written_is_the_users_error(clean, tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(UserError, match="--workdir=DIR"):
        audit(config_for(clean), tmp_path / "run")


def test_from_the_command_line_and_without_tensorflow(clean, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    arguments = [f"--config={ROOT / 'configs' / 'quickstart.py'}", "--config.data.source=folder"]
    given = [*arguments, f"--config.data.path={clean}", f"--workdir={tmp_path / 'run'}"]
    assert cli.main(["audit", *given]) == 0
    assert "written to" in capsys.readouterr().out
    shutil.copy(clean / CLASSES[0] / "000.png", clean / CLASSES[1] / "again.png")
    assert cli.main(["audit", *given]) == 1
    assert "1 image is under more than one label" in capsys.readouterr().out
    assert cli.main(["audit", *arguments, "--config.data.path=/nowhere"]) == 2
    assert cli.main(["audit", f"--workdir={tmp_path}"]) == 2
    assert "--config=FILE is missing" in capsys.readouterr().err
