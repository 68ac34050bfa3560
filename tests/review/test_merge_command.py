"""`merge` by its command line: from a run and a page's CSV file to the list that trains the next run."""

import csv
import json
import os
import re
import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image

from asae_jax import cli
from asae_jax.config import base_config
from asae_jax.inference.inputs import read_input
from asae_jax.input.decode import BadImage
from asae_jax.input.run_split import chosen_split
from asae_jax.input.sources import configured_index
from tests.made_runs import random_model
from tests.review.made import content, made_run, page_rows, put, put_cells, read_csv, write_csv
from tests.training.tiny import tiny_config

OLD = [f"{name}/{number:02d}.png" for name in "AB" for number in range(20)]


@pytest.fixture
def old(tmp_path):
    """The folder of a run on class folders, and the images of each of its parts."""
    put_cells(tmp_path / "cells", OLD)
    return made_run(tmp_path / "runs" / "first", data__source="folder", data__path=str(tmp_path / "cells"))


@pytest.fixture
def new(tmp_path):
    return put_cells(tmp_path / "new", [f"{number}.png" for number in range(6)], start=1000)


def parts(workdir):
    return {row["name"]: (row["label"], row["split"]) for row in read_csv(workdir / "splits.csv")}


def merge(workdir, *labels, code=0, **options):
    given = [f"--{name}={value}" for name, value in options.items()]
    arguments = ["merge", f"--workdir={workdir}", f"--reviewed={','.join(map(str, labels))}", *given]
    assert cli.main(arguments) == code


def refused(capsys, workdir, *labels, **options):
    merge(workdir, *labels, code=2, **options)
    return capsys.readouterr().err


def index_of(path):
    config = base_config()
    config.data.source, config.data.path = "csv", str(path)
    return configured_index(config.data), config


def test_the_list_is_read_as_the_old_data_with_the_new_in_training(old, new, tmp_path, capsys):
    labels = write_csv(tmp_path / "labels.csv", page_rows(new[:4], "A") + page_rows(new[4:], "B", seen="no"))
    merge(old, labels)
    index, config = index_of(old / "merged.csv")
    splits = chosen_split(config.data, None, index)
    before = parts(old)
    assert [os.path.relpath(n, tmp_path / "cells") for n in index.names[:40]] == list(before)
    for row, (label, split) in enumerate(before.values()):
        assert (index.class_names[index.labels[row]], splits[row]) == (label, split)
    assert index.names[40:].tolist() == [str(file) for file in new[:4]]
    assert set(splits[40:].tolist()) == {"train"}
    assert np.array_equal(index.read(40), index.read(40))
    shown = capsys.readouterr().out
    assert "added to training: 4 (A 4)" in shown
    assert "2 nobody looked at its label (seen=no, or predictions without a column seen)" in shown


def test_files_of_two_readers_that_are_called_alike_are_told_apart(old, new, tmp_path, capsys):
    files = [
        write_csv(tmp_path / reader / "x_labels.csv", page_rows(new[start : start + 2], "A"))
        for reader, start in (("ann", 0), ("bob", 2))
    ]
    write_csv(files[1], [*page_rows(new[2:4], "A"), *page_rows(new[4:5], "A", seen="no")])
    merge(old, *files)
    assert "labels: 5 rows of ann/x_labels.csv, bob/x_labels.csv" in capsys.readouterr().out
    rows = [row for row in read_csv(old / "merged.csv") if row["origin"].endswith("x_labels.csv")]
    assert [row["origin"] for row in rows] == ["ann/x_labels.csv"] * 2 + ["bob/x_labels.csv"] * 2
    assert [row["file"] for row in read_csv(old / "merged_left_out.csv")] == ["bob/x_labels.csv"]


def test_labels_saved_again_with_semicolons_are_the_same_labels(old, new, tmp_path):
    """As Excel does where the decimal sign is a comma."""
    rows = page_rows(new[:4], "A") + page_rows(new[4:], "B")
    results = []
    for separator, encoding in ((",", "utf-8"), (";", "utf-8-sig")):
        labels = tmp_path / f"labels_{len(results)}.csv"
        with labels.open("w", encoding=encoding, newline="") as file:
            writer = csv.DictWriter(file, rows[0], delimiter=separator)
            writer.writeheader()
            writer.writerows(rows)
        merged = tmp_path / f"merged_{len(results)}.csv"
        merge(old, labels, output=merged)
        results.append([(row["path"], row["label"], row["split"]) for row in read_csv(merged)])
    assert results[0] == results[1]
    assert len(results[1]) == len(OLD) + len(new)


def test_the_counts_of_what_was_left_out_add_up(old, tmp_path, capsys):
    """Each of ten images for a reason of its own."""
    cells = put_cells(tmp_path / "many", [f"{number}.png" for number in range(11)], start=2000)
    rows = [page_rows([file], f"class{number}")[0] for number, file in enumerate(cells[:10])]
    merge(old, write_csv(tmp_path / "labels.csv", [*rows, *page_rows(cells[10:], "A")]), new_classes="drop")
    shown = capsys.readouterr().out
    assert "left out: 10, listed in merged_left_out.csv" in shown
    assert "    2 for other reasons" in shown
    assert sum(int(number) for number in re.findall(r"^    (\d+) ", shown, re.MULTILINE)) == 10


def test_an_image_of_the_test_part_under_another_name_and_format_stays_out(old, tmp_path, capsys):
    name, (label, _) = next((n, v) for n, v in parts(old).items() if v[1] == "test")
    from PIL import Image

    copy = tmp_path / "new" / "copy.tif"
    copy.parent.mkdir()
    Image.open(tmp_path / "cells" / name).save(copy)
    other = put(tmp_path / "new" / "other.png", 5000)
    labels = write_csv(tmp_path / "labels.csv", page_rows([copy, other], "B" if label == "A" else "A"))
    merge(old, labels)
    assert [row["path"] for row in read_csv(old / "merged_left_out.csv")] == [str(copy)]
    listed = read_csv(old / "merged.csv")
    assert str(copy) not in {row["path"] for row in listed}
    assert read_csv(old / "merged_changed.csv")[0]["used"] == label
    assert "1 in the old test part" in capsys.readouterr().out


def test_who_said_so_travels_and_survives_another_round(old, new, tmp_path):
    rows = [
        row
        | {"reviewer": "Dr. Ö, K.", "reviewed": "2026-01-02T03:04:05.678Z", "run": "first", "reason": "page"}
        for row in page_rows(new[:2], "A")
    ]
    merge(old, write_csv(tmp_path / "labels.csv", rows), output=tmp_path / "second.csv")
    row = read_csv(tmp_path / "second.csv")[-1]
    assert row["path"] == "new/1.png"
    assert {name: row[name] for name in ("reviewer", "reviewed", "run", "reason", "predicted", "origin")} == {
        "reviewer": "Dr. Ö, K.", "reviewed": "2026-01-02T03:04:05.678Z", "run": "first", "reason": "page",
        "predicted": "A", "origin": "labels.csv",
    }  # fmt: skip
    second = made_run(tmp_path / "runs" / "b", data__source="csv", data__path=str(tmp_path / "second.csv"))
    merge(second, write_csv(tmp_path / "more.csv", page_rows(new[2:4], "B")), output=tmp_path / "third.csv")
    third = read_csv(tmp_path / "third.csv")
    assert third[:42] == [row | {"reviewed": row["reviewed"]} for row in read_csv(tmp_path / "second.csv")]
    assert [row["origin"] for row in third[-2:]] == ["more.csv", "more.csv"]


def test_a_second_test_of_new_patients_is_a_list_of_its_own_and_stays_one(old, tmp_path, capsys):
    files = put_cells(tmp_path / "new", [f"p{i // 3}/{i}.png" for i in range(12)], start=2000)
    rows = [row | {"group": f"p{i // 3}"} for i, row in enumerate(page_rows(files, "A"))]
    labels = write_csv(tmp_path / "labels.csv", rows)
    merge(old, labels, new_test="p1", output=tmp_path / "second.csv")
    assert [row["path"] for row in read_csv(tmp_path / "second_new_test.csv")] == [
        f"new/p1/{i}.png" for i in (3, 4, 5)
    ]
    assert {row["group"] for row in read_csv(tmp_path / "second_new_test.csv")} == {"p1"}
    index, _ = index_of(tmp_path / "second.csv")
    assert len(index) == 40 + 9
    assert not any("p1/" in name for name in index.names)
    assert sum("set aside as a second test" in reason for _, reason in index.skipped) == 3
    assert len(index_of(tmp_path / "second_new_test.csv")[0]) == 3
    # In the third round somebody labels its cells once more, under other names.
    second = made_run(tmp_path / "runs" / "b", data__source="csv", data__path=str(tmp_path / "second.csv"))
    again = [shutil.copy(file, tmp_path / f"again{i}.png") for i, file in enumerate(files[3:6])]
    more = put_cells(tmp_path / "later", ["1.png"], start=3000)
    merge(
        second,
        write_csv(tmp_path / "more.csv", page_rows([*again, *more], "B")),
        output=tmp_path / "third.csv",
    )
    third = read_csv(tmp_path / "third.csv")
    assert [row["path"] for row in third if row["split"] == "aside"] == [f"new/p1/{i}.png" for i in (3, 4, 5)]
    assert sum(row["path"].startswith("again") for row in third) == 0
    assert "3 in a second test that was set aside before" in capsys.readouterr().out
    assert len(read_csv(tmp_path / "third_new_test.csv")) == 3


@pytest.mark.filterwarnings("ignore:classes ")
def test_a_second_test_that_nobody_can_be_spared_for_is_refused(old, tmp_path, capsys):
    """Each of the two patients has the only new images of a class."""
    files = put_cells(tmp_path / "new", [f"p{i // 2}/{i}.png" for i in range(4)], start=2000)
    rows = [row | {"group": f"p{i // 2}"} for i, row in enumerate(page_rows(files, "A"))]
    rows[3]["label"] = rows[2]["label"] = "B"
    labels = write_csv(tmp_path / "labels.csv", rows)
    said = refused(capsys, old, labels, new_test="0.5", output=tmp_path / "second.csv")
    assert "new_test=0.5: none is drawn" in said
    assert not (tmp_path / "second.csv").exists()


def test_a_second_test_with_some_patients_known_can_be_evaluated(old, tmp_path):
    """The old data name no patients, and of the new images some lie loose."""
    files = put_cells(tmp_path / "new", [*(f"p{i // 3}/{i}.png" for i in range(6)), "a.png", "b.png"], 2000)
    rows = [row | {"group": f.parent.name} for row, f in zip(page_rows(files, "A"), files, strict=True)]
    for row in rows[6:]:
        row["group"] = "no group"  # as the page writes it
    labels = write_csv(tmp_path / "labels.csv", rows)
    merge(old, labels, new_test="0.9", output=tmp_path / "second.csv")
    second = read_csv(tmp_path / "second_new_test.csv")
    assert len(second) == 7
    assert {row["known_group"] for row in second} == {"p0", "p1", ""}
    assert all(row["known_group"] in row["path"] for row in second)
    assert len(index_of(tmp_path / "second_new_test.csv")[0]) == len(second)


def test_moved_images_are_found_by_what_they_hold(old, new, tmp_path, capsys):
    rows = page_rows(new, "A")
    (tmp_path / "moved").mkdir()
    for number, file in enumerate(new):
        shutil.move(file, tmp_path / "moved" / f"renamed{number}.png")
    labels = write_csv(tmp_path / "labels.csv", rows)
    assert "--images=DIR" in refused(capsys, old, labels)
    merge(old, labels, images=tmp_path / "moved", output=tmp_path / "second.csv")
    listed = {row["content"] for row in read_csv(tmp_path / "second.csv")[40:]}
    assert listed == {row["content"] for row in rows}
    assert {row["path"] for row in read_csv(tmp_path / "second.csv")[40:]} == {
        f"moved/renamed{i}.png" for i in range(6)
    }


def test_a_file_that_holds_another_picture_now_is_left_out_or_found_elsewhere(old, new, tmp_path):
    labels = write_csv(tmp_path / "labels.csv", page_rows(new[:2], "A"))
    (tmp_path / "moved").mkdir()
    kept = shutil.copy(new[0], tmp_path / "moved" / "x.png")
    put(new[0], 9999)
    merge(old, labels)
    assert (
        read_csv(old / "merged_left_out.csv")[0]["reason"]
        == "another picture has its name now (column content)"
    )
    merge(old, labels, images=tmp_path / "moved")
    assert str(kept) in {row["path"] for row in read_csv(old / "merged.csv")}
    assert not (old / "merged_left_out.csv").exists()


def test_without_contents_a_name_must_be_there_once(old, new, tmp_path, capsys):
    labels = write_csv(
        tmp_path / "labels.csv", [{"path": "gone/0.png", "label": "A"}, {"path": str(new[1]), "label": "B"}]
    )
    shutil.copytree(tmp_path / "new", tmp_path / "copies" / "a")
    merge(old, labels, images=tmp_path / "copies")
    assert f"{tmp_path}/copies/a/0.png" in {row["path"] for row in read_csv(old / "merged.csv")}
    shutil.copytree(tmp_path / "new", tmp_path / "copies" / "b")
    merge(old, labels, images=tmp_path / "copies", output=tmp_path / "again.csv")
    assert "not found in" in read_csv(tmp_path / "again_left_out.csv")[0]["reason"]


@pytest.mark.parametrize("lists", [1, 2])
def test_a_file_is_not_that_of_several_patients_because_of_its_name(old, tmp_path, lists):
    """Of three images called 001.png one has moved: whose it is cannot be told without contents."""
    put(tmp_path / "moved" / "001.png", 5000)
    put(tmp_path / "moved" / "002.png", 5001)
    rows = [{"path": f"scans/p{i}/001.png", "label": "A", "patient": f"p{i}"} for i in range(3)]
    rows += [{"path": "scans/p1/002.png", "label": "A", "patient": "p1"}]
    parts = [rows] if lists == 1 else [rows[:1] + rows[3:], rows[1:3]]
    files = [write_csv(tmp_path / f"hand{i}.csv", part) for i, part in enumerate(parts)]
    merge(old, *files, images=tmp_path / "moved")
    listed = read_csv(old / "merged.csv")[40:]
    assert [row["path"] for row in listed] == [str(tmp_path / "moved" / "002.png")]
    reasons = [row["reason"] for row in read_csv(old / "merged_left_out.csv")]
    assert len(reasons) == 3
    assert all("by a name that is there once, and in the lists once" in reason for reason in reasons)


def test_two_lists_of_the_same_image_find_it_by_its_name(old, new, tmp_path):
    gone = [{"path": "gone/0.png", "label": "A"}]
    files = [write_csv(tmp_path / f"{name}.csv", gone) for name in ("ann", "bob")]
    merge(old, *files, images=tmp_path / "new")
    assert read_csv(old / "merged.csv")[-1]["path"] == str(new[0])


def test_what_a_person_left_out_is_no_class_and_is_counted(old, new, tmp_path, capsys):
    rows = page_rows(new[:2], "A") + [
        row | {"label": "", "reason": "artefact"} for row in page_rows(new[2:4], "")
    ]
    merge(old, write_csv(tmp_path / "labels.csv", rows))
    assert "2 a person left it out: artefact" in capsys.readouterr().out
    assert len(read_csv(old / "merged.csv")) == 42
    index, _ = index_of(tmp_path / "labels.csv")
    assert (index.class_names, len(index)) == (("A",), 2)
    assert [reason.partition(" (")[0] for _, reason in index.skipped] == [
        "a person left it out: artefact"
    ] * 2


@pytest.mark.parametrize("now", ["there", "gone", "another"])
def test_what_a_person_left_out_counts_whatever_became_of_its_file(old, new, tmp_path, now):
    image = tmp_path / "cells" / next(name for name, (_, split) in parts(old).items() if split == "train")
    copy = shutil.copy(image, tmp_path / "copy.png")
    left_out = [row | {"label": "", "reason": "artefact"} for row in page_rows([copy], "")]
    labels = write_csv(tmp_path / "labels.csv", [*page_rows(new[:1], "A"), *left_out])
    if now == "gone":
        copy.unlink()
    elif now == "another":
        put(copy, 9999)
    merge(old, labels)
    listed = {row["path"] for row in read_csv(old / "merged.csv")}
    assert str(image) not in listed
    assert str(new[0]) in listed


def test_patients_in_folders_of_the_old_data_are_kept_out_of_training(tmp_path, capsys):
    cells = [f"{name}/p{patient}/{i}.png" for name in "AB" for patient in range(8) for i in range(3)]
    put_cells(tmp_path / "cells", cells)
    workdir = made_run(
        tmp_path / "runs" / "first",
        data__source="folder", data__path=str(tmp_path / "cells"), data__groups="folders",
    )  # fmt: skip
    tested = {name.split("/")[1] for name, (_, split) in parts(workdir).items() if split != "train"}
    files = put_cells(tmp_path / "new", [f"p{i}/0.png" for i in range(9)], start=4000)
    rows = [row | {"group": f"p{i}"} for i, row in enumerate(page_rows(files, "A"))]
    merge(workdir, write_csv(tmp_path / "labels.csv", rows))
    index, config = index_of(workdir / "merged.csv")
    splits = chosen_split(config.data, None, index)
    assert set(index.groups[splits == "train"].tolist()).isdisjoint(tested)
    assert set(index.groups[48:].tolist()) == {f"p{i}" for i in range(9)} - tested
    assert "--config.data.groups=given" in capsys.readouterr().out


@pytest.mark.parametrize("typed", ["NFC", "NFD"])
def test_images_of_no_patient_and_unicode_forms_lift_no_protection(tmp_path, capsys, typed):
    """The page writes "no group" beside images of none; folders from a Mac have decomposed names."""
    cells = put_cells(tmp_path / "cells", [f"{n}/{p}ü_{i}.png" for n in "AB" for p in range(8) for i in "12"])
    listed = [{"path": str(f), "label": f.parent.name, "group": f.name[:2]} for f in cells]
    for row in listed:
        row["group"] = "no group" if row["group"] in ("6ü", "7ü") else row["group"]
    list_of_run = write_csv(tmp_path / "old.csv", listed)
    workdir = made_run(tmp_path / "runs" / "first", data__source="csv", data__path=str(list_of_run))
    split = {row["name"]: row["split"] for row in read_csv(workdir / "splits.csv")}
    tested = {row["group"] for row in listed if split[row["path"]] != "train"} - {"no group"}
    assert {split[row["path"]] for row in listed if row["group"] == "no group"} >= {"train", "test"}
    files = put_cells(tmp_path / "new", [f"{p}.png" for p in range(9)], start=4000)
    names = [unicodedata.normalize(typed, f"{p}ü") for p in range(9)]
    rows = [row | {"group": name} for row, name in zip(page_rows(files, "A"), names, strict=True)]
    merge(workdir, write_csv(tmp_path / "labels.csv", rows))
    merged = read_csv(workdir / "merged.csv")
    assert [row["group"] for row in merged[:32]] == [row["group"] for row in listed]
    assert {row["group"] for row in merged[32:]} == {f"{p}ü" for p in range(9)} - tested
    assert "both sides" not in capsys.readouterr().out
    assert (
        index_of(workdir / "merged.csv")[0].groups[:32].tolist() == index_of(list_of_run)[0].groups.tolist()
    )


@pytest.mark.parametrize(
    ("old_column", "new_column"), [("slide", "slide"), ("slide", "patient"), ("case", "slide")]
)
def test_slides_stay_slides_and_patients_patients(tmp_path, capsys, old_column, new_column):
    files = put_cells(tmp_path / "cells", OLD)
    listed = [{"path": str(f), "label": f.parent.name, old_column: f"s{i % 10}"} for i, f in enumerate(files)]
    source = {"data__source": "csv", "data__path": str(write_csv(tmp_path / "old.csv", listed))}
    workdir = made_run(tmp_path / "runs" / "first", **source)
    new = put_cells(tmp_path / "new", [f"{i}.png" for i in range(4)], start=4000)
    rows = [row | {new_column: f"t{i // 2}"} for i, row in enumerate(page_rows(new, "A"))]
    merge(workdir, write_csv(tmp_path / "labels.csv", rows), new_test="t0")
    shown = capsys.readouterr().out
    assert f"set aside as a second test: 2 (A 2), 1 {new_column} (" in shown
    assert ("cannot be told" in shown) == (old_column != new_column)
    for name, count in (("merged", 44), ("merged_new_test", 2)):
        items = read_input(str(workdir / f"{name}.csv"))
        assert len({item.group for item in items}) == (12 if count > 2 else 1)
        assert {item.of_slide for item in items} == {old_column == new_column == "slide"}
    index, _ = index_of(workdir / "merged.csv")
    assert index.groups[-2:].tolist() == ["t1", "t1"]


def test_a_class_map_of_the_run_holds_for_what_people_typed_and_is_not_given_again(tmp_path, capsys):
    put_cells(tmp_path / "cells", [f"{name}/{i}.png" for name in ("A", "B1", "B2") for i in range(10)])
    (tmp_path / "map.csv").write_text("from,to\nA,A\nB1,B\nB2,B\nX,\n")
    workdir = made_run(
        tmp_path / "runs" / "first",
        data__source="folder", data__path=str(tmp_path / "cells"), data__class_map=str(tmp_path / "map.csv"),
    )  # fmt: skip
    files = put_cells(tmp_path / "new", ["1.png", "2.png", "3.png"], start=1000)
    rows = [page_rows([file], name)[0] for file, name in zip(files, ("B2", "B", "X"), strict=True)]
    merge(workdir, write_csv(tmp_path / "labels.csv", rows))
    index, _ = index_of(workdir / "merged.csv")
    assert index.class_names == ("A", "B")
    assert [index.class_names[label] for label in index.labels[30:]] == ["B", "B"]
    shown = capsys.readouterr().out
    assert "--config.data.class_map= " in shown or shown.count("--config.data.class_map=\n")
    assert "1 class X is dropped by the class map" in shown


def test_the_command_that_it_prints_is_understood(old, new, tmp_path, capsys):
    merge(old, write_csv(tmp_path / "labels.csv", page_rows(new, "A")))
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  asae --config"))
    call = cli.parse(line.split()[1:])
    assert call.name == "train"
    assert call.workdir == old.with_name("first-2")
    assert call.config.data.source == "csv"
    assert call.config.model.width == tiny_config().model.width


def test_a_new_class_lets_the_batch_size_be_chosen_anew_and_the_last_layer_is_said_to_start_at_random(
    old, new, tmp_path, capsys
):
    labels = write_csv(tmp_path / "labels.csv", page_rows(new[:5], "A") + page_rows(new[5:], "C"))
    assert "labels.csv, line 7: class 'C' is not one of the run's" in refused(capsys, old, labels)
    merge(old, labels, new_classes="add")
    shown = capsys.readouterr().out
    assert " --config.train.batch_size=0\n" in shown
    assert "the last layer then starts at random" in shown
    assert "new classes: C" in shown


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        (["mine"], "mine-2"),
        (["round1"], "round2"),
        (["mine", "mine-2"], "mine-3"),
        (["round1", "round2"], "round3"),
    ],
)
def test_the_folder_that_it_proposes_is_new(new, tmp_path, capsys, there, wanted):
    put_cells(tmp_path / "cells", OLD)
    for name in there[1:]:
        (tmp_path / "runs" / name).mkdir(parents=True)
    workdir = made_run(
        tmp_path / "runs" / there[0], data__source="folder", data__path=str(tmp_path / "cells")
    )
    merge(workdir, write_csv(tmp_path / "labels.csv", page_rows(new, "A")))
    assert f"--workdir={tmp_path / 'runs' / wanted} " in capsys.readouterr().out


def test_the_same_merge_replaces_its_files_and_another_one_is_refused(old, new, tmp_path, capsys):
    one = write_csv(tmp_path / "one.csv", page_rows(new[:2], "A"))
    other = write_csv(tmp_path / "other.csv", page_rows(new[2:], "B"))
    merge(old, one)
    merge(old, one)
    assert len(read_csv(old / "merged.csv")) == 42
    assert "would be lost" in refused(capsys, old, one, other)
    assert len(read_csv(old / "merged.csv")) == 42
    merge(old, one, other, output=tmp_path / "both.csv")
    assert len(read_csv(tmp_path / "both.csv")) == 46
    assert json.loads((tmp_path / "both.json").read_text())["added"] == {"A": 2, "B": 4}


def test_the_list_that_a_run_was_trained_on_does_not_become_another(old, new, tmp_path, capsys):
    labels = write_csv(tmp_path / "labels.csv", page_rows(new[:3], "A"))
    merge(old, labels, output=tmp_path / "second.csv")
    write_csv(labels, page_rows(new, "A"))  # somebody labels on, under the same name
    before = (tmp_path / "second.csv").read_bytes()
    said = refused(capsys, old, labels, output=tmp_path / "second.csv")
    assert f"{labels} has changed since" in said
    assert "choose another --output=FILE" in said
    assert (tmp_path / "second.csv").read_bytes() == before
    merge(old, labels, output=tmp_path / "third.csv")
    edited = before.replace(b",A,", b",B,", 1)
    (tmp_path / "second.csv").write_bytes(edited)
    write_csv(labels, page_rows(new[:3], "A"))
    assert "second.csv has changed since" in refused(capsys, old, labels, output=tmp_path / "second.csv")
    assert (tmp_path / "second.csv").read_bytes() == edited


@pytest.mark.parametrize("options", [{"new_test": 0.5}, {"prefer": "drop"}])
def test_other_options_make_no_other_list_of_one_that_is_there(old, new, tmp_path, capsys, options):
    one = write_csv(tmp_path / "one.csv", [*page_rows(new[:3], "A"), *page_rows(new[3:5], "B")])
    two = write_csv(tmp_path / "two.csv", page_rows(new[:1], "B"))
    merge(old, one, two)
    before = {path.name: path.read_bytes() for path in old.glob("merged*")}
    said = refused(capsys, old, one, two, **options)
    assert "rows of" in said
    assert "would change or go" in said
    assert "or delete it" in said
    assert {path.name: path.read_bytes() for path in old.glob("merged*")} == before
    (old / "merged.csv").unlink()
    merge(old, one, two, **options)
    assert (old / "merged.csv").read_bytes() != before["merged.csv"]


def test_records_of_earlier_versions_have_no_digests_and_hold(old, new, tmp_path):
    labels = write_csv(tmp_path / "labels.csv", page_rows(new[:3], "A"))
    merge(old, labels)
    record = json.loads((old / "merged.json").read_text())
    del record["made_from"]["sha256"], record["list_sha256"]
    (old / "merged.json").write_text(json.dumps(record))
    write_csv(labels, page_rows(new, "A"))
    merge(old, labels)
    assert len(read_csv(old / "merged.csv")) == 46


@pytest.mark.parametrize("output", [".", "..", "/", "x/.."])
def test_an_output_without_a_name_is_refused_in_a_line(old, new, tmp_path, capsys, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    said = refused(capsys, old, write_csv(tmp_path / "labels.csv", page_rows(new, "A")), output=output)
    assert "is a folder: name a file in it (--output=" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("spelled", [".", "sub/.."])
def test_in_the_run_s_own_folder_the_next_one_lies_beside_it(
    old, new, tmp_path, capsys, monkeypatch, spelled
):
    (old / "sub").mkdir()
    monkeypatch.chdir(old)
    merge(spelled, write_csv(tmp_path / "labels.csv", page_rows(new, "A")))
    assert f"--workdir={tmp_path / 'runs' / 'first-2'} " in capsys.readouterr().out


def test_paths_are_relative_to_a_list_in_a_folder_above(old, new, tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    merge(old, write_csv(tmp_path / "labels.csv", page_rows(new[:1], "A")), output="../second.csv")
    listed = [row["path"] for row in read_csv(tmp_path / "second.csv")]
    assert (listed[0], listed[-1]) == ("cells/A/00.png", "new/0.png")
    (tmp_path / "far" / "folder").mkdir(parents=True)
    (tmp_path / "sub" / "link").symlink_to(tmp_path / "far" / "folder")
    merge(old, tmp_path / "labels.csv", output="link/../linked.csv")
    index, _ = index_of(tmp_path / "far" / "linked.csv")
    assert len(index) == 41


def test_where_a_rule_leaves_all_labels_out_no_folder_is_asked_for(old, new, tmp_path, capsys):
    labels = write_csv(tmp_path / "labels.csv", page_rows(new, "C"))
    said = refused(capsys, old, labels, new_classes="drop")
    assert "class C is not one of the run's. Map it to a class of the run" in said
    assert "--images" not in said
    (tmp_path / "map.csv").write_text("from,to\nC,\n")
    said = refused(capsys, old, labels, class_map=tmp_path / "map.csv")
    assert "class C is dropped by the class map. Map it to a class of the run" in said
    # Ann's label is outvoted by one that is left out too: the reason of that one is told.
    ann = write_csv(tmp_path / "ann.csv", page_rows(new, "A"))
    said = refused(capsys, old, ann, labels, new_classes="drop")
    assert re.search(
        r"labels.csv, line 2, .*: class C is not one of the run's. Map it .*--new_classes=add", said
    )


@pytest.mark.parametrize("by_map", [False, True])
def test_an_old_image_that_is_called_a_dropped_class_leaves_training(old, new, tmp_path, capsys, by_map):
    trained = [name for name, (label, split) in parts(old).items() if (label, split) == ("A", "train")]
    image = tmp_path / "cells" / trained[0]
    (tmp_path / "map.csv").write_text("from,to\nART,\n")
    rule = {"class_map": tmp_path / "map.csv"} if by_map else {"new_classes": "drop"}
    rows = page_rows([image], "ART") + page_rows(new[:1], "A")
    merge(old, write_csv(tmp_path / "labels.csv", rows), **rule)
    listed = {row["path"] for row in read_csv(old / "merged.csv")}
    assert str(image) not in listed
    assert str(new[0]) in listed
    (change,) = read_csv(old / "merged_changed.csv")
    assert [change[name] for name in ("given", "other", "used")] == ["ART", "A", "(left out)"]
    assert change["why"].startswith("class ART is ")


def test_a_second_test_has_the_classes_of_the_run(old, tmp_path, capsys):
    """The run's class map holds for what an earlier round set aside; what it drops stays out of training."""
    new = put_cells(tmp_path / "new", [f"{i}.png" for i in range(8)], start=1000)
    rows = page_rows(new[:4], "A") + page_rows(new[4:], "C")
    rows = [row | {"group": f"P{i // 2}"} for i, row in enumerate(rows)]
    labels = write_csv(tmp_path / "labels.csv", rows)
    merge(old, labels, output=tmp_path / "second.csv", new_test="P0,P2", new_classes="add")
    (tmp_path / "map.csv").write_text("from,to\nA,early\nB,late\nC,\n")
    source = {"data__source": "csv", "data__path": str(tmp_path / "second.csv")}
    second = made_run(tmp_path / "runs" / "b", **source, data__class_map=str(tmp_path / "map.csv"))
    more = put_cells(tmp_path / "more", ["1.png", "2.png", "3.png"], start=3000)
    rows = [r | {"group": g} for r, g in zip(page_rows(more, "early"), ("Q", "P0", "P2"), strict=True)]
    rows += [row | {"group": "P0"} for row in page_rows(new[:1], "early")]
    merge(second, write_csv(tmp_path / "more.csv", rows), output=tmp_path / "third.csv")
    listed = read_csv(tmp_path / "third_new_test.csv")
    assert [(row["path"], row["label"]) for row in listed] == [("new/0.png", "early"), ("new/1.png", "early")]
    assert not (tmp_path / "third_changed.csv").exists()
    assert [row["path"] for row in read_csv(tmp_path / "third.csv")[-3:]][-1:] == ["more/1.png"]
    assert "2 images of the second test are left out: the run's class map drops" in capsys.readouterr().out


def test_a_file_of_the_old_list_that_is_gone_or_another_is_named(old, new, tmp_path, capsys):
    """As docs/second_round.md says; the run's other commands say it alike."""
    labels = write_csv(tmp_path / "one.csv", page_rows(new[:3], "A"))
    merge(old, labels, output=tmp_path / "second.csv")
    second = made_run(tmp_path / "runs" / "b", data__source="csv", data__path=str(tmp_path / "second.csv"))
    more = write_csv(tmp_path / "two.csv", page_rows(new[3:], "B"))
    new[0].unlink()
    assert "removed or changed (new/0.png is gone); restore" in refused(capsys, second, more)
    Image.new("RGB", (40, 40), "white").save(new[0])
    assert "removed or changed (new/0.png was another picture); restore" in refused(capsys, second, more)
    put(new[0], 1000)
    merge(second, more, output=tmp_path / "third.csv")


def test_a_merge_is_the_same_however_its_files_are_spelled(old, new, tmp_path, capsys):
    labels = write_csv(tmp_path / "one.csv", page_rows(new[:2], "A"))
    (tmp_path / "link").symlink_to(tmp_path)
    spelled = tmp_path / "link" / "one.csv"
    merge(old, labels)
    merge(old, spelled)
    record = json.loads((old / "merged.json").read_text())
    record["made_from"]["reviewed"] = [str(spelled)]  # as earlier versions recorded it
    (old / "merged.json").write_text(json.dumps(record))
    merge(old, labels)
    other = write_csv(tmp_path / "other.csv", page_rows(new[2:], "B"))
    assert "was not made from this run and these labels" in refused(capsys, old, other)


def test_neither_labels_nor_the_old_list_are_written_over(old, new, tmp_path, capsys):
    labels = write_csv(tmp_path / "labels.csv", page_rows(new, "A"))
    before = labels.read_bytes()
    assert "is read by this command and would be lost" in refused(capsys, old, labels, output=labels)
    stray = write_csv(tmp_path / "stray.csv", [{"path": "x", "label": "A"}])
    assert "was not made from this run" in refused(capsys, old, labels, output=stray)
    assert labels.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\n", "have no rows"),
        ("path\nx.png\n", "column 'label' is missing"),
        ("path,label,seen\nx.png,A,maybe\n", "line 2: seen is 'maybe'"),
        ("path,label,reviewed\nx.png,A,yesterday\n", "line 2: reviewed is 'yesterday', which is no time"),
        ("path,label,reviewed\nx.png,A,9999-12-31T23:59-12:00\n", "which is no time"),
        ("path,label,reviewed\nx.png,A,0001-01-01T00:00+12:00\n", "which is no time"),
        ("path,label\nx.png,\n", "line 2: empty label"),
        ("path,label,seen\nx.png,A,no\n", "nobody looked at its label"),
        (
            "path,label,split\nx.png,A,train\ny.png,A,Test\n",
            "line 3: split is test, but new images are trained on",
        ),
    ],
)
def test_labels_that_cannot_be_used_are_refused_with_their_line(old, tmp_path, capsys, text, message):
    (tmp_path / "labels.csv").write_text(text)
    said = refused(capsys, old, tmp_path / "labels.csv")
    assert message in said
    assert said.count("\n") == 1
    assert not (old / "merged.csv").exists()


def test_nothing_named_and_what_is_not_there(old, tmp_path, capsys):
    assert "--reviewed=FILE" in refused(capsys, old, "")
    assert "is not there" in refused(capsys, old, tmp_path / "no.csv")
    labels = tmp_path / "a.csv"
    labels.write_text("path,label\n")
    assert "named twice" in refused(capsys, old, labels, labels)
    assert "is no folder" in refused(capsys, old, labels, images=tmp_path / "no")


def test_data_that_have_changed_since_are_refused(old, new, tmp_path, capsys):
    put(tmp_path / "cells" / "A" / "99.png", 77)
    labels = write_csv(tmp_path / "labels.csv", page_rows(new, "A"))
    assert "the images are not those" in refused(capsys, old, labels)


def test_data_that_lie_elsewhere_now_are_named_by_their_setting(old, new, tmp_path):
    shutil.move(tmp_path / "cells", tmp_path / "elsewhere")
    labels = write_csv(tmp_path / "labels.csv", page_rows(new, "A"))
    merge(old, labels, **{"config.data.path": tmp_path / "elsewhere"})
    assert read_csv(old / "merged.csv")[0]["path"] == f"{tmp_path}/elsewhere/A/00.png"


def test_images_that_are_no_files_and_models_are_refused_with_a_remedy(new, tmp_path, capsys):
    labels = write_csv(tmp_path / "labels.csv", page_rows(new, "BLA"))
    drawn = made_run(tmp_path / "runs" / "drawn")
    assert "are not files (data.source=synthetic)" in refused(capsys, drawn, labels)
    random_model(tmp_path / "runs" / "model", tiny_config(), ("A", "B"))
    assert "travels without the images" in refused(capsys, tmp_path / "runs" / "model", labels)


def test_a_run_without_its_split_is_refused(old, new, tmp_path, capsys):
    (old / "splits.csv").unlink()
    labels = write_csv(tmp_path / "labels.csv", page_rows(new, "A"))
    assert "nobody can say what it was tested on" in refused(capsys, old, labels)


def test_an_unreadable_old_image_keeps_its_row(tmp_path, new):
    put_cells(tmp_path / "cells", OLD)
    (tmp_path / "cells" / "A" / "99.png").write_bytes(b"text")
    workdir = made_run(tmp_path / "runs" / "first", data__source="folder", data__path=str(tmp_path / "cells"))
    merge(workdir, write_csv(tmp_path / "labels.csv", page_rows(new, "A")))
    row = next(row for row in read_csv(workdir / "merged.csv") if row["path"].endswith("99.png"))
    assert row["content"] == ""
    other = next(row for row in read_csv(workdir / "merged.csv") if row["path"].endswith("00.png"))
    assert other["content"] == content(tmp_path / "cells" / "A" / "00.png")


@pytest.mark.parametrize("spelled", ["new", "link"])
def test_a_file_that_holds_another_picture_now_keeps_what_was_labelled_in_every_round(
    old, new, tmp_path, capsys, spelled
):
    """Cells are cut again under the names of the first: the old label must not go to the new picture."""
    (tmp_path / "link").symlink_to(tmp_path / "new")
    was = [content(file) for file in new]
    merge(old, write_csv(tmp_path / "one.csv", page_rows(new[:3], "A")), output=tmp_path / "second.csv")
    put(new[0], 7777)
    new[1].write_bytes(b"text")
    second = made_run(tmp_path / "runs" / "b", data__source="csv", data__path=str(tmp_path / "second.csv"))
    capsys.readouterr()
    cut_again = page_rows([tmp_path / spelled / new[0].name], "B")
    merge(second, write_csv(tmp_path / "more.csv", page_rows(new[3:], "B") + cut_again),
          output=tmp_path / "third.csv")  # fmt: skip
    assert "2 files of the old run's list cannot be read or hold another picture" in capsys.readouterr().out
    third = {row["path"]: row for row in read_csv(tmp_path / "third.csv")}
    assert [third[f"new/{number}.png"]["content"] for number in range(3)] == was[:3]
    assert [row["reason"] for row in read_csv(tmp_path / "third_left_out.csv")] == [
        "the old run's list has another picture under its name"
    ]
    index, _ = index_of(tmp_path / "third.csv")
    names = index.names.tolist()
    for number in (0, 1):
        with pytest.raises(BadImage):
            index.read(names.index(f"new/{number}.png"))
    assert index.read(names.index("new/2.png")).shape == (10, 12, 3)
