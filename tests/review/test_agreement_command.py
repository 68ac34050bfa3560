"""`agreement` by its command line."""

import datetime
import json
import re
import unicodedata

import numpy as np
import pytest

from asae_jax import cli
from asae_jax.evaluation.bootstrap import MIN_GROUPS
from asae_jax.inference.inputs import read_input
from asae_jax.input.sources import configured_index
from asae_jax.review.agreement import alpha, compare
from asae_jax.review.labels import read_labels
from tests.review.made import page_rows, put, put_cells, read_csv, write_csv
from tests.training.tiny import tiny_config


def rows(labels, *, reviewer="", predicted="", group="", start=0):
    """A row for each label, of images 0, 1, ...; `-`: nobody looked, `x`: left out."""
    listed = []
    for number, label in enumerate(labels.split(), start):
        row = {
            "path": f"/cells/{number}.png",
            "label": label.strip("-x"),
            "seen": "yes",
            "content": f"{number:032x}",
        }
        row |= {
            "predicted": predicted.split()[number] if predicted else "",
            "reviewer": reviewer,
            "reason": "",
        }
        if group:
            row["group"] = group.split()[number]
        if label == "-":
            row |= {"label": "A", "seen": "no"}
        if label == "x":
            row["reason"] = "artefact"
        listed.append(row)
    return listed


@pytest.fixture
def run(tmp_path):
    def _run(*files, code=0, workdir=tmp_path / "out", options=()):
        arguments = ["agreement", f"--reviewed={','.join(map(str, files))}", f"--output={workdir}", *options]
        assert cli.main(arguments) == code
        record = workdir / "agreement.json"
        return json.loads(record.read_text()) if code == 0 else None

    return _run


def test_two_people_are_matched_by_what_the_images_hold(tmp_path, run, capsys):
    first = write_csv(tmp_path / "ann.csv", rows("A A B B A -"))
    shifted = [row | {"path": f"/elsewhere/{row['path'][-5:]}"} for row in reversed(rows("A B B B A B A"))]
    second = write_csv(tmp_path / "bob.csv", shifted)
    record = run(first, second)
    pair = record["pairs"][0]
    assert (pair["first"], pair["second"], pair["images"], pair["same"]) == ("ann", "bob", 5, 4)
    assert pair["table"] == [[2, 1], [0, 2]]
    disagreements = read_csv(tmp_path / "out" / "disagreements.csv")
    assert disagreements == [
        {"path": "/cells/1.png", "content": f"{1:032x}", "by ann": "A", "by bob": "B"}
    ]  # fmt: skip
    shown = capsys.readouterr().out
    assert "the same label for 4 of 5 images, 80.0 % [" in shown
    assert "1, nobody looked at its label (seen=no, or predictions without a column seen)" in shown


def test_the_disagreements_can_be_predicted_and_not_trained_on(tmp_path, run, capsys):
    files = put_cells(tmp_path / "cells", ["1.png", "2.png", "3.png"])
    first = write_csv(
        tmp_path / "a.csv", [{"path": str(f), "label": x} for f, x in zip(files, "ABA", strict=True)]
    )
    second = write_csv(tmp_path / "b.csv", [{"path": f"cells/{f.name}", "label": "A"} for f in files])
    run(first, second)
    listed = tmp_path / "out" / "disagreements.csv"
    command = f"asae predict --workdir=RUN --input={listed}"
    assert command in capsys.readouterr().out
    assert command in (tmp_path / "out" / "agreement.html").read_text()
    assert [item.file for item in read_input(str(listed))] == [str(files[1])]
    config = tiny_config(data__source="csv", data__path=str(listed))
    with pytest.raises(Exception, match="column 'label' is missing"):
        configured_index(config.data)


def test_classes_stand_in_the_order_of_maturity_and_what_was_left_out_is_one(tmp_path, run, capsys):
    first = write_csv(tmp_path / "a.csv", rows("SNE BNE MMY MY x"))
    second = write_csv(tmp_path / "b.csv", rows("SNE MMY MMY MMY MY"))
    record = run(first, second)
    assert record["classes"] == ["MY", "MMY", "BNE", "SNE", "(left out)"]
    assert record["pairs"][0]["table"][4] == [1, 0, 0, 0, 0]


def _texts(page, tag):
    """The texts of all elements of this kind, without what is inside of them."""
    found = re.findall(rf"<{tag}[ >].*?</{tag}>", page, flags=re.DOTALL)
    return [re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", one)).strip() for one in found]


def test_the_page_has_tables_kappa_and_the_cells_with_a_picture_each(tmp_path, run, capsys):
    """A picture of something else than was labelled would mislead whoever settles the cell."""
    files = put_cells(tmp_path / "cells", [f"{number}.png" for number in range(4)])
    first = page_rows(files, "SNE")
    first[3]["label"] = "MY"
    second = [row | {"label": label} for row, label in zip(first, ("SNE", "BNE", "BNE", "MY"), strict=True)]
    put(files[2], 99)
    lists = [write_csv(tmp_path / f"{name}.csv", given) for name, given in (("a<b", first), ("bob", second))]
    record = run(*lists)
    page = (tmp_path / "out" / "agreement.html").read_text()
    assert "For research, not a diagnosis." in _texts(page, "p")
    kappa = record["pairs"][0]["cohen_kappa"]
    assert f"{kappa['value']:.2f} [{kappa['low']:.2f}, {kappa['high']:.2f}]" in _texts(page, "td")
    of_both = page.split('id="pair-1"')[1].split('id="pair-2"')[0]
    assert _texts(of_both, "tr") == ["MY BNE SNE all", "MY 1 1", "BNE 0 0", "SNE 2 1 3", "all 1 2 1 4"]
    assert _texts(page, "figcaption") == [
        f"a&lt;b: SNE bob: BNE network: A {number}.png" for number in (1, 2)
    ]  # fmt: skip
    assert page.count('src="data:image/jpeg') == page.count("no picture") == 1
    assert "a<b" not in page
    assert "agreement.html" in capsys.readouterr().out


def test_one_person_is_compared_with_the_network(tmp_path, run, capsys):
    record = run(write_csv(tmp_path / "a.csv", rows("A A B B", predicted="A B B A", reviewer="Ann")))
    pair = record["pairs"][0]
    assert (pair["first"], pair["second"], pair["same"]) == ("Ann", "the network", 2)
    assert pair["cohen_kappa"]["value"] == pytest.approx(0)
    assert len(read_csv(tmp_path / "out" / "disagreements.csv")) == 2
    assert "sees what the network proposes" in capsys.readouterr().out


def test_three_people_in_one_file_and_another(tmp_path, run, capsys):
    both = rows("A A B B C", reviewer="Ann") + rows("A A B C C", reviewer="Bob")
    for number, row in enumerate(both):
        row["path"] = f"/cells/copy{number}.png"
    third = rows("A B B B C", reviewer="Ann")
    record = run(write_csv(tmp_path / "both.csv", both), write_csv(tmp_path / "later.csv", third))
    names = [person["name"] for person in record["people"]]
    assert names == ["Ann (both.csv)", "Bob", "Ann (later.csv)"]
    assert [pair["same"] for pair in record["pairs"]] == [4, 4, 3]
    assert record["krippendorff_alpha"]["images"] == 5
    assert "Krippendorff's alpha" in capsys.readouterr().out


@pytest.mark.parametrize(("reviewer", "names"), [
    ("", ["ann/new_cells_labels", "bob/new_cells_labels"]),
    ("Ann", ["Ann (ann/new_cells_labels.csv)", "Ann (bob/new_cells_labels.csv)"]),
])  # fmt: skip
def test_files_of_one_name_are_not_one_person(tmp_path, run, reviewer, names):
    """The page saves the labels of everybody under one name."""
    given = {"ann": "A A B B", "bob": "A B B A"}
    files = [
        write_csv(tmp_path / folder / "new_cells_labels.csv", rows(labels, reviewer=reviewer))
        for folder, labels in given.items()
    ]
    record = run(*files)
    assert [(person["name"], person["images"]) for person in record["people"]] == [(n, 4) for n in names]
    assert (record["pairs"][0]["images"], record["pairs"][0]["same"]) == (4, 2)


def test_rows_that_nobody_looked_at_are_not_another_person(tmp_path, run):
    mixed = rows("A B - -", reviewer="Ann")
    for row in mixed[2:]:
        row["reviewer"] = ""
    record = run(write_csv(tmp_path / "a.csv", mixed), write_csv(tmp_path / "b.csv", rows("A B A A")))
    assert [person["name"] for person in record["people"]] == ["Ann", "b"]
    assert record["people"][0]["unused"] == {
        "nobody looked at its label (seen=no, or predictions without a column seen)": 2
    }


def test_rows_without_a_name_beside_one_name_are_another_person_s_and_that_is_said(tmp_path, run, capsys):
    """As on the page and in its report: it asks before it signs what somebody else may have said."""
    mixed = rows("A B -", predicted="A A A") + rows("A B", reviewer="Ann", start=3)
    record = run(write_csv(tmp_path / "ann.csv", mixed), write_csv(tmp_path / "b.csv", rows("A A A A A")))
    assert [(person["name"], person["images"]) for person in record["people"]] == [
        ("no name (ann.csv)", 2), ("Ann (ann.csv)", 2), ("b", 5),
    ]  # fmt: skip
    (note,) = record["notes"]
    assert "ann.csv that name no reviewer count as another person's, not for Ann (ann.csv): 2." in note
    assert note in capsys.readouterr().out
    assert note.replace("'", "&#39;") in (tmp_path / "out" / "agreement.html").read_text()


def timed(listed, day):
    """The rows with the time of each label, on a day of January."""
    return [
        row | {"reviewed": f"2026-01-{day:02}T10:{number:02}:00Z" if row["seen"] == "yes" else ""}
        for number, row in enumerate(listed)
    ]


def _numbers(record):
    """Of each two people, and alpha, whatever the order of people and files."""
    pairs = sorted((*sorted((p["first"], p["second"])), p["images"], p["same"]) for p in record["pairs"])
    return pairs, record["krippendorff_alpha"]


@pytest.mark.parametrize("others_first", [False, True])
def test_labels_that_travel_in_the_file_of_another_person_are_no_second_opinion(tmp_path, run, others_first):
    """Bob goes on in Ann's browser, whose page writes her labels too: of 1.png, 3.png and the rest."""
    ann = timed(rows("A A B B A -", reviewer="Ann"), 5)
    anew = timed(rows("B B", reviewer="Bob"), 6)
    bob = [anew[0], ann[1], anew[1] | {"path": ann[2]["path"], "content": ann[2]["content"]}, *ann[3:]]
    cara = timed(rows("A B B B A A", reviewer="Cara"), 7)
    alone = [row for row in bob if row["reviewer"] == "Bob"]
    files = {
        name: write_csv(tmp_path / f"{name}.csv", given)
        for name, given in (("ann", ann), ("bob", bob), ("cara", cara), ("alone", alone))
    }
    without = run(files["ann"], files["alone"], files["cara"], workdir=tmp_path / "without")
    shown = [files["bob"], files["cara"], files["ann"]] if others_first else [*files.values()][:3]
    record = run(*shown)
    assert _numbers(record) == _numbers(without)
    assert sorted((person["name"], person["images"]) for person in record["people"]) == [
        ("Ann", 5), ("Bob", 2), ("Cara", 6),
    ]  # fmt: skip
    (note,) = record["notes"]
    assert note.startswith("Labels of bob.csv that ann.csv has too")
    assert note.endswith("for Ann: 3.")
    by_hand = tmp_path / "out" / "disagreements.csv"
    assert all(row["by Bob"] in ("", "B") for row in read_csv(by_hand))


def test_labels_that_another_person_signed_are_not_compared_with_themselves(tmp_path, run, capsys):
    """Ann gives no name; Bob gives his, and the page signs hers too."""
    ann = timed(rows("A B A", predicted="A A A A"), 5)
    bob = [row | {"reviewer": "Bob"} for row in ann]
    bob += [row | {"reviewed": "2026-01-06T10:00:00+01:00"} for row in rows("B", reviewer="Bob", start=3)]
    record = run(write_csv(tmp_path / "first.csv", ann), write_csv(tmp_path / "second.csv", bob))
    assert [(pair["first"], pair["second"], pair["images"]) for pair in record["pairs"]] == [
        ("first", "the network", 3)
    ]  # fmt: skip
    assert [(person["name"], person["images"]) for person in record["people"]] == [("first", 3), ("Bob", 1)]
    assert "count once, for first: 3." in capsys.readouterr().out


@pytest.mark.parametrize("reviewer", ["", "Ann"])
def test_a_copy_of_a_file_is_nobody_s(tmp_path, run, capsys, reviewer):
    given = timed(rows("A B - A", reviewer=reviewer), 5)
    given[2]["reviewer"] = ""
    files = [write_csv(tmp_path / f"{name}.csv", given) for name in ("a", "copy")]
    run(*files, code=2)
    shown = capsys.readouterr().err
    assert "name the file of a second person" in shown
    assert "Labels of copy.csv that a.csv has too" in shown


def test_the_same_person_who_looks_again_is_compared_with_themselves(tmp_path, run):
    """Of the second time, what was not looked at again is no new decision."""
    monday = timed(rows("A B A B", reviewer="Ann"), 5)
    tuesday = timed(rows("A A", reviewer="Ann"), 6) + monday[2:]
    record = run(write_csv(tmp_path / "monday.csv", monday), write_csv(tmp_path / "tuesday.csv", tuesday))
    (pair,) = record["pairs"]
    assert (pair["first"], pair["second"]) == ("Ann (monday.csv)", "Ann (tuesday.csv)")
    assert (pair["images"], pair["same"]) == (2, 1)


def test_times_of_a_copy_that_was_edited_elsewhere_tell_nothing(tmp_path, run):
    """Bob changes labels in a copy of Ann's table: where he agrees counts as well as where he does not."""
    ann = timed(rows("A B A B", reviewer="Ann"), 5)
    bob = [row | {"reviewer": "Bob"} for row in ann]
    bob[0]["label"] = "B"
    record = run(write_csv(tmp_path / "ann.csv", ann), write_csv(tmp_path / "bob.csv", bob))
    assert [(pair["images"], pair["same"]) for pair in record["pairs"]] == [(4, 3)]
    assert record["notes"] == []


@pytest.mark.parametrize("when", ["2026-01-05", "2026-01-05T16:45", "2026-01-05 00:00:00", "20260105"])
def test_labels_of_one_day_are_opinions_of_two_people(tmp_path, run, when):
    """Whoever types the day only, or the minute, has not the same decision as another of that day."""
    files = [
        write_csv(tmp_path / f"{name}.csv", [r | {"reviewed": when} for r in rows(given, reviewer=name)])
        for name, given in (("Ann", "A A B B"), ("Bob", "A A B A"))
    ]
    record = run(*files)
    assert [(pair["images"], pair["same"]) for pair in record["pairs"]] == [(4, 3)]
    again = write_csv(tmp_path / "Bob.csv", [r | {"reviewed": when} for r in rows("A A B B", reviewer="Bob")])
    assert run(files[0], again)["pairs"][0]["images"] == 4


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("2026-01-31T16:45:30Z", True),
        ("2026-01-31T16:45:30.678+01:00", True),
        ("2026-01-31 16:45:30", True),
        ("20260131T164530", True),
        ("2026-01-31T16:45+01:00", False),
        ("20260131T1645", False),
        ("2026-01-31", False),
        ("2026-01-31T00:00:00", False),
    ],
)
def test_a_moment_has_seconds(tmp_path, text, second):
    listed = [row | {"reviewed": text} for row in rows("A")]
    (label,) = read_labels(write_csv(tmp_path / "a.csv", listed), look=False)
    assert label.moment == (datetime.datetime.fromisoformat(text).astimezone() if second else None)


def test_a_class_in_two_unicode_forms_is_one(tmp_path, run):
    whole, apart = (unicodedata.normalize(form, "Jugendförmig") for form in ("NFC", "NFD"))
    files = [
        write_csv(tmp_path / "ann.csv", rows(f"{whole} B", predicted=f"{apart} B")),
        write_csv(tmp_path / "bob.csv", rows(f"{apart} B")),
    ]
    record = run(*files)
    assert record["classes"] == ["B", whole]
    assert [(pair["images"], pair["same"]) for pair in record["pairs"]] == [(2, 2), (2, 2)]


def test_a_class_in_two_spellings_is_refused_with_the_places(tmp_path, run, capsys):
    files = [write_csv(tmp_path / "ann.csv", rows("B BLA")), write_csv(tmp_path / "bob.csv", rows("Bla B"))]
    run(*files, code=2)
    said = capsys.readouterr().err
    assert "'BLA' (ann.csv, line 3), 'Bla' (bob.csv, line 2) are one class to a reader" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
    run(write_csv(tmp_path / "c.csv", rows("BLA", predicted="bla")), code=2)


def test_one_picture_under_two_names_in_one_file_is_no_repeat(tmp_path, run):
    twice = timed(rows("A A", reviewer="Ann"), 5)
    twice[1] |= {"content": twice[0]["content"], "reviewed": twice[0]["reviewed"]}
    record = run(write_csv(tmp_path / "a.csv", twice), write_csv(tmp_path / "b.csv", rows("A")))
    assert (record["pairs"][0]["images"], record["notes"]) == (1, [])


def test_rows_without_a_name_beside_two_names_are_a_third_person_s(tmp_path, run):
    mixed = rows("A B A") + rows("A B", reviewer="Ann") + rows("A A", reviewer="Bob")
    for number, row in enumerate(mixed):
        row["path"] = f"/cells/copy{number}.png"
    assert [person["name"] for person in run(write_csv(tmp_path / "a.csv", mixed))["people"]] == [
        "a", "Ann", "Bob",
    ]  # fmt: skip


def test_rows_without_a_name_in_a_file_called_as_one_of_its_people_are_another_person_s(tmp_path, run):
    mixed = rows("A B A") + rows("A B", reviewer="ann") + rows("A A", reviewer="bob")
    for number, row in enumerate(mixed):
        row["path"] = f"/cells/copy{number}.png"
    record = run(write_csv(tmp_path / "ann.csv", mixed))
    assert [person["name"] for person in record["people"]] == ["no name (ann.csv)", "ann (ann.csv)", "bob"]
    (row,) = read_csv(tmp_path / "out" / "disagreements.csv")
    assert [row[f"by {name}"] for name in ("no name (ann.csv)", "ann (ann.csv)", "bob")] == ["B", "B", "A"]


def test_people_who_labelled_other_images_each_are_compared_with_the_network(tmp_path, run, capsys):
    first = write_csv(tmp_path / "ann.csv", rows("A B A", predicted="A A A"))
    second = write_csv(tmp_path / "bob.csv", rows("B B", predicted="- - - B A", start=3))
    third = write_csv(tmp_path / "eve.csv", rows("A", start=7))
    record = run(first, second, third)
    assert [(pair["first"], pair["second"], pair["same"]) for pair in record["pairs"]] == [
        ("ann", "the network", 2), ("bob", "the network", 1),
    ]  # fmt: skip
    assert record["krippendorff_alpha"] is None
    listed = read_csv(tmp_path / "out" / "disagreements.csv")
    assert [(row["path"], row["proposed"]) for row in listed] == [
        ("/cells/1.png", "A"), ("/cells/4.png", "A"),
    ]  # fmt: skip
    assert "No image was labelled by two of ann, bob, eve" in capsys.readouterr().out


def test_an_image_under_two_names_and_labels_of_one_person_is_not_used(tmp_path, run):
    twice = rows("A B A")
    twice[2]["content"] = twice[1]["content"]
    record = run(write_csv(tmp_path / "a.csv", twice), write_csv(tmp_path / "b.csv", rows("A B")))
    assert record["pairs"][0]["images"] == 1
    assert record["people"][0]["unused"] == {"labelled in contradicting ways, under several names": 2}


def test_intervals_are_over_patients_where_they_are_known(tmp_path, run, capsys):
    group = "p1 p1 p2 p2 p3 p3 p4 p5"
    first = write_csv(tmp_path / "a.csv", rows("A B A B A B A B", group=group))
    second = write_csv(tmp_path / "b.csv", rows("A A A B A B A B", group=group))
    assert run(first, second)["pairs"][0]["intervals_over"] == "groups"
    assert "intervals over: patients or slides" in capsys.readouterr().out
    assert read_csv(tmp_path / "out" / "disagreements.csv")[0]["group"] == "p1"


def test_one_image_of_no_patient_does_not_make_the_others_independent(tmp_path, run):
    """It is drawn by itself beside whole patients, and the list of disagreements can be predicted again."""
    patients = [f"p{number // 6}" for number in range(6 * MIN_GROUPS)] + ["no group"]
    labels = ["A B B A A " + "B " * 26, "A B B A A " + "A " * 26]
    people = [rows(given, group=" ".join(["-"] * len(patients))) for given in labels]
    for given in people:
        for row, patient in zip(given, patients, strict=True):
            row["group"] = patient
    files = [write_csv(tmp_path / f"{name}.csv", given) for name, given in zip("ab", people, strict=True)]
    (pair,) = run(*files)["pairs"]
    assert pair["intervals_over"] == "groups"
    first, second = ([" AB".index(label) - 1 for label in given.split()] for given in labels)
    drawn = compare(
        np.array(first), np.array(second), 2, resamples=1000,
        groups=np.array([*patients[:-1], "no group: 30"]),
    )  # fmt: skip
    assert (pair["agreement"]["low"], pair["agreement"]["high"]) == (
        drawn.agreement.low,
        drawn.agreement.high,
    )
    assert [item.group for item in read_input(str(tmp_path / "out" / "disagreements.csv"))][-2:] == ["p4", ""]


def test_disagreements_of_slides_name_slides(tmp_path, run):
    """Predicted again they would else be patients; where one file names patients they are."""

    def named(column, label):
        return [{column if name == "group" else name: value for name, value in row.items()}
                for row in rows(f"A {label} A", group="s1 s1 s2")]  # fmt: skip

    first = write_csv(tmp_path / "a.csv", named("slide", "A"))
    listed = tmp_path / "out" / "disagreements.csv"
    for column in ("slide", "patient"):
        second = write_csv(tmp_path / f"{column}.csv", named(column, "B"))
        (tmp_path / "out" / "agreement.json").unlink(missing_ok=True)
        listed.unlink(missing_ok=True)
        (tmp_path / "out" / "agreement.html").unlink(missing_ok=True)
        run(first, second)
        (item,) = read_input(str(listed))
        assert (item.group, item.of_slide) == ("s1", column == "slide")


@pytest.mark.parametrize(
    ("alone", "over"),
    [
        ("- - ", "groups"),  # images that Ann alone labelled, of no patient that anybody named
        ("q1 q2 ", "groups"),  # or of patients of whom nobody else labelled any
    ],
)
def test_alpha_is_over_the_patients_of_the_images_that_two_labelled(tmp_path, run, alone, over):
    patients = [f"p{number // 4}" for number in range(4 * MIN_GROUPS)]
    groups = " ".join(patients) + " " + alone
    shared = 4 * MIN_GROUPS
    ann = rows("A B " * (shared // 2) + "A A", group=groups)
    for row in ann:
        row["group"] = row["group"].replace("-", "no group")
    others = [rows(labels * (shared // 4), group=groups) for labels in ("A B B A ", "A A B B ")]
    files = [write_csv(tmp_path / f"{n}.csv", given) for n, given in zip("abc", (ann, *others), strict=True)]
    record = run(*files)
    found = record["krippendorff_alpha"]
    assert (found["images"], found["intervals_over"]) == (shared, over)
    alone_together = alpha(
        np.stack([[" AB".index(row["label"]) - 1 for row in given[:shared]] for given in (ann, *others)], 1),
        2, groups=np.array(patients), resamples=1000,
    )  # fmt: skip
    assert (found["low"], found["high"]) == (alone_together.low, alone_together.high)


def test_alpha_of_shared_images_of_few_patients_has_no_interval_and_says_so(tmp_path, run, capsys):
    """Ann labelled enough patients, but alone."""
    groups = " ".join(f"p{number}" for number in range(12))
    files = [
        write_csv(tmp_path / f"{name}.csv", rows(labels, group=groups))
        for name, labels in zip("abc", ("A B A B A B A B A B A B", "A B B", "A A B"), strict=True)
    ]
    found = run(*files)["krippendorff_alpha"]
    assert (found["images"], found["low"]) == (3, None)
    few = f"fewer than {MIN_GROUPS} "
    assert found["intervals_over"] == f"none: {few}groups"
    assert f"Alpha has none: {few}patients or slides." in capsys.readouterr().out


@pytest.mark.parametrize("ann_first", [True, False])
def test_disagreements_name_files_that_are_there(tmp_path, run, ann_first):
    """Ann labelled on another computer."""
    files = put_cells(tmp_path / "cells", ["1.png", "2.png"])
    bob = page_rows(files, "A")
    ann = [row | {"path": f"D:\\ann\\{f.name}", "label": "B"} for row, f in zip(bob, files, strict=True)]
    lists = [write_csv(tmp_path / f"{name}.csv", given) for name, given in (("ann", ann), ("bob", bob))]
    run(*(lists if ann_first else lists[::-1]))
    listed = read_csv(tmp_path / "out" / "disagreements.csv")
    assert [row["path"] for row in listed] == [str(file) for file in files]
    assert "no picture" not in (tmp_path / "out" / "agreement.html").read_text()


def test_what_intervals_are_over_is_said_of_each_two(tmp_path, run, capsys):
    """Ann and Bob share two patients, Ann and Eve four images of whom one names none."""
    groups = [f"p{number // 2}" for number in range(2 * MIN_GROUPS)]
    first = write_csv(tmp_path / "ann.csv", rows("A B " * MIN_GROUPS, group=" ".join(groups)))
    second = write_csv(tmp_path / "bob.csv", rows("A A B B", group=" ".join(groups)))
    third = rows("A B B A", predicted="- " * 2 * MIN_GROUPS + "A A A A", start=2 * MIN_GROUPS)
    record = run(first, second, write_csv(tmp_path / "eve.csv", third))
    few = f"none: fewer than {MIN_GROUPS}"
    assert [(pair["second"], pair["intervals_over"]) for pair in record["pairs"]] == [
        ("bob", f"{few} groups"), ("the network", "images"),
    ]  # fmt: skip
    assert record["pairs"][0]["agreement"]["low"] is None
    page = (tmp_path / "out" / "agreement.html").read_text()
    assert {f"{few} patients or slides", "images"} <= set(_texts(page, "td"))
    assert f"intervals over: {few} patients or slides" in capsys.readouterr().out


def test_without_resamples_no_interval_is_said_to_be_over_patients(tmp_path, run):
    options = ["--config.eval.bootstrap=0"]
    people = [rows("A B A B A B"), rows("A B A B A A")]
    files = [write_csv(tmp_path / f"{name}.csv", of) for name, of in zip("ab", people, strict=True)]
    (pair,) = run(*files, options=options)["pairs"]
    assert pair["intervals_over"] == "images, of the share alone (eval.bootstrap=0)"
    assert pair["agreement"]["low"] is not None
    assert pair["cohen_kappa"]["low"] is None
    known = [[row | {"group": row["path"]} for row in of] for of in people]
    files = [write_csv(tmp_path / f"{name}.csv", of) for name, of in zip("cd", known, strict=True)]
    (pair,) = run(*files, options=options, workdir=tmp_path / "known")["pairs"]
    assert pair["intervals_over"] == "none: eval.bootstrap=0"
    assert pair["agreement"]["low"] is None


def test_people_who_agree_leave_no_list(tmp_path, run):
    same = [write_csv(tmp_path / f"{name}.csv", rows("A B A")) for name in "ab"]
    assert run(*same)["disagreements"] == 0
    assert not (tmp_path / "out" / "disagreements.csv").exists()
    page = (tmp_path / "out" / "agreement.html").read_text()
    assert "The same label for every image." in _texts(page, "p")
    assert "None." in _texts(page, "p")


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (rows("A B"), rows("A B", start=7), "no image was labelled by two"),
        (rows("- -"), rows("A B"), "a labelled no image that can be compared (2 nobody looked"),
        (rows("A B"), None, "does not say what a network proposed"),
    ],
)
def test_nothing_to_compare_is_refused(tmp_path, run, capsys, first, second, message):
    files = [write_csv(tmp_path / "a.csv", first)]
    files += [] if second is None else [write_csv(tmp_path / "b.csv", second)]
    run(*files, code=2)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_results_of_other_files_are_not_replaced(tmp_path, run, capsys):
    files = [write_csv(tmp_path / f"{name}.csv", rows("A B A")) for name in "abc"]
    run(*files[:2])
    run(*files[:2])
    run(*files[1:], code=2)
    assert "would be lost: choose another --output=DIR" in capsys.readouterr().err


@pytest.mark.parametrize("others", [[], ["A B A"]])
def test_a_file_without_rows_is_refused(tmp_path, run, capsys, others):
    empty = tmp_path / "empty.csv"
    empty.write_text("path,label,content,predicted\n")
    run(*(write_csv(tmp_path / "a.csv", rows(one, predicted=one)) for one in others), empty, code=2)
    assert f"{empty} has no rows" in capsys.readouterr().err


def test_a_list_in_which_somebody_settled_the_disagreements_is_not_replaced(tmp_path, run, capsys):
    files = [
        write_csv(tmp_path / f"{name}.csv", rows(labels)) for name, labels in (("a", "A B"), ("b", "A A"))
    ]
    run(*files)
    run(*files)
    listed = tmp_path / "out" / "disagreements.csv"
    settled = [row | {"label": "B"} for row in read_csv(listed)]
    write_csv(listed, settled)
    run(*files, code=2)
    assert f"{listed} has changed since it was made, and would be lost" in capsys.readouterr().err
    assert read_csv(listed) == settled
    listed.rename(tmp_path / "settled.csv")
    run(*files)
    record = tmp_path / "out" / "agreement.json"
    before = json.loads(record.read_text())
    del before["list_sha256"]  # as earlier versions recorded it
    record.write_text(json.dumps(before))
    run(*files)


def test_results_are_of_the_same_files_however_those_are_spelled(tmp_path, run):
    files = [write_csv(tmp_path / f"{name}.csv", rows("A B A")) for name in "ab"]
    (tmp_path / "link").symlink_to(tmp_path)
    spelled = [tmp_path / "link" / file.name for file in files]
    run(*files)
    record = run(*spelled)
    assert record["made_from"] == [str(file.resolve()) for file in files]
    record["made_from"] = list(map(str, spelled))  # as earlier versions recorded it
    (tmp_path / "out" / "agreement.json").write_text(json.dumps(record))
    run(*files)


def test_a_setting_that_cannot_work_is_refused(tmp_path, run, capsys):
    files = [write_csv(tmp_path / name, rows("A B A")) for name in ("ann.csv", "bob.csv")]
    run(*files, code=2, options=["--config.eval.bootstrap=-5"])
    assert "config.eval.bootstrap=-5 cannot be used" in capsys.readouterr().err


def test_neither_run_nor_configuration_is_needed_and_files_are(capsys):
    assert cli.main(["agreement"]) == 2
    assert "--reviewed=FILE" in capsys.readouterr().err
    assert cli.parse(["agreement", "--reviewed=a.csv"]).workdir.as_posix() == "runs/agreement"
    assert cli.main(["agreement", "--help"]) == 0
    assert "asae agreement --reviewed=FILES [options]" in capsys.readouterr().out
