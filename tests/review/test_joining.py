"""The rules by which labels meet old data, on rows that are made up."""

import collections
import dataclasses
import datetime
import functools
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asae_jax.errors import UserError
from asae_jax.review.joining import Rules, join
from asae_jax.review.labels import Label
from asae_jax.review.run_images import Known

CLASSES = ("A", "B")


def old(content, label="A", split="train", group="", **provenance):
    return Known(f"/old/{content}.png", label, group, split, content, provenance)


OLD = [
    old("o1"),
    old("o2", "B"),
    old("v1", "A", "validation"),
    old("t1", "A", "test"),
    old("t2", "B", "test"),
]


def label(
    content,
    name="A",
    *,
    group="",
    of_slide=False,
    origin="new.csv",
    line=2,
    time=None,
    fault="",
    dropped="",
    **provenance,
):
    when = None if time is None else datetime.datetime.fromisoformat(f"2026-01-{time:02d}T00:00+00:00")
    return Label(
        f"/new/{content}.png", name, group, content, origin, line, f"/new/{origin}", when, provenance,
        of_slide=of_slide, fault=fault, dropped=dropped,
    )  # fmt: skip


def joined(labels, known=OLD, *, grouped=False, slides=False, **rules):
    return join(known, labels, CLASSES, Rules(**rules), grouped=grouped, slides=slides)


def of(result, split):
    return [(row.content, row.label) for row in result.rows if row.split == split]


def test_new_images_go_to_training_behind_the_old_ones_which_keep_their_order():
    result = joined([label("n1", "B"), label("n2", "A")])
    assert [row.content for row in result.rows] == ["o1", "o2", "v1", "t1", "t2", "n1", "n2"]
    assert result.rows[:5] == OLD
    assert of(result, "train")[2:] == [("n1", "B"), ("n2", "A")]


@pytest.mark.parametrize(("content", "part"), [("t1", "test"), ("v1", "validation")])
@pytest.mark.parametrize("prefer", ["newest", "old", "drop"])
def test_no_rule_moves_or_renames_an_image_of_the_old_test_or_validation_part(content, part, prefer):
    result = joined([label(content, "B", time=9)], prefer=prefer)
    assert result.rows == OLD
    assert result.left_out[0][1] == f"in the old {part} part"
    change = result.contradictions[0]
    assert (change.given.label, change.other, change.used) == ("B", "A", "A")


def test_an_image_that_is_in_training_and_in_the_test_part_counts_as_one_of_the_test_part():
    known = [old("t1"), *OLD]
    result = joined([label("t1", "B")], known)
    assert result.rows == known
    assert result.left_out[0][1] == "in the old test part"


@pytest.mark.parametrize(
    ("prefer", "train"),
    [("newest", [("o1", "B"), ("o2", "B")]), ("old", [("o1", "A"), ("o2", "B")]), ("drop", [("o2", "B")])],
)
def test_a_label_that_contradicts_the_old_one(prefer, train):
    result = joined([label("o1", "B", reviewer="me")], prefer=prefer)
    assert of(result, "train") == train
    assert len(result.contradictions) == 1
    assert (len(result.changed), len(result.removed)) == {"newest": (1, 0), "old": (0, 0), "drop": (0, 1)}[
        prefer
    ]
    if prefer == "newest":
        assert result.rows[0].provenance == {"reviewer": "me", "origin": "new.csv"}


def test_an_old_label_that_is_newer_than_the_given_one_stays():
    known = [old("o1", reviewed="2026-01-05T00:00Z"), *OLD[1:]]
    assert of(joined([label("o1", "B", time=4)], known), "train")[0] == ("o1", "A")
    assert of(joined([label("o1", "B", time=6)], known), "train")[0] == ("o1", "B")


def test_a_newer_old_label_is_dropped_like_any_where_contradicting_ones_are():
    known = [old("o1", reviewed="2026-01-05T00:00:00+00:00"), *OLD[1:]]
    result = joined([label("o1", "B", time=4)], known, prefer="drop")
    assert [row.content for row in result.removed] == ["o1"]
    assert "o1" not in [row.content for row in result.rows]


def test_of_equal_times_the_label_that_is_given_now_counts():
    known = [old("o1", reviewed="2026-01-05T00:00:00+00:00"), *OLD[1:]]
    assert joined([label("o1", "B", time=5)], known).rows[0].label == "B"


def test_the_same_label_again_confirms_and_says_who():
    result = joined([label("o1", "A", reviewer="me")])
    assert len(result.confirmed) == 1
    assert result.rows[0].provenance["reviewer"] == "me"
    assert of(result, "train") == [("o1", "A"), ("o2", "B")]


@pytest.mark.parametrize(
    ("before", "time", "who"),
    [
        ({"reviewed": "2026-01-05T00:00Z"}, 4, "Ann"),
        ({"reviewed": "2026-01-05T00:00Z"}, 5, "Ann"),
        ({"reviewed": "2026-01-05T00:00Z"}, 6, "Bob"),
        ({"reviewed": "2026-01-05T00:00Z"}, None, "Ann"),
        ({}, 4, "Bob"),
        ({}, None, "Ann"),
    ],
)
def test_who_confirms_a_label_stands_there_only_if_it_is_the_later_word(before, time, who):
    """Else an outdated confirmation would make the label look old, and an older one would replace it."""
    known = [old("o1", reviewer="Ann", **before), *OLD[1:]]
    dated = {} if time is None else {"reviewed": f"2026-01-{time:02d}T00:00+00:00"}
    result = joined([label("o1", "A", time=time, reviewer="Bob", **dated)], known)
    assert result.rows[0].provenance["reviewer"] == who
    if before:
        assert of(joined([label("o1", "B", time=3)], result.rows), "train")[0] == ("o1", "A")


def test_a_label_of_an_old_image_that_stands_there_twice_changes_both():
    result = joined([label("o1", "B")], [old("o1"), *OLD])
    assert of(result, "train") == [("o1", "B"), ("o1", "B"), ("o2", "B")]


@pytest.mark.parametrize(
    ("prefer", "times", "used"),
    [
        ("newest", (1, 2), "B"),
        ("newest", (2, 1), "A"),
        ("newest", (None, None), "B"),  # the one named last
        ("newest", (2, None), "B"),  # of which one has a time, too
        ("newest", (None, 2), "B"),
        ("old", (2, None), "A"),
        ("old", (1, 2), "A"),
        ("old", (2, 1), "B"),
        ("old", (None, None), "A"),
        ("drop", (1, 2), None),
    ],
)
def test_two_reviewers_of_one_image(prefer, times, used):
    first, second = label("n1", "A", time=times[0]), label("n1", "B", origin="other.csv", time=times[1])
    result = joined([first, second], prefer=prefer)
    assert of(result, "train")[2:] == ([("n1", used)] if used else [])
    assert len(result.contradictions) == (1 if used else 2)
    assert len(result.left_out) == (1 if used else 2)


@pytest.mark.parametrize(
    ("prefer", "listed", "used", "why"),
    [
        ("newest", [("A", None), ("B", 12), ("C", 10)], "B", {"A": "last listed", "C": "newest"}),
        ("newest", [("B", 12), ("C", 10), ("A", None)], "A", {"B": "last listed", "C": "last listed"}),
        ("newest", [("B", 12), ("A", None), ("C", 10)], "B", {"A": "last listed", "C": "newest"}),
        ("newest", [("B", 12), ("C", 12)], "C", {"B": "last listed"}),
        ("old", [("B", 12), ("C", 10), ("A", None)], "C", {"A": "first", "B": "first"}),
        ("old", [("A", None), ("C", 10), ("B", 12)], "A", {"B": "first", "C": "first"}),
    ],
)
def test_labels_with_a_time_keep_its_order_beside_one_without(prefer, listed, used, why):
    labels = [label("n1", name, time=time, origin=f"{name}.csv") for name, time in listed]
    result = joined(labels, prefer=prefer, new_classes="add")
    assert of(result, "train")[2:] == [("n1", used)]
    assert {one.given.label: one.why for one in result.contradictions} == {
        name: f"the {which} label counts" for name, which in why.items()
    }
    assert {one.label: reason for one, reason in result.left_out} == {
        name: f"another label of the image counts, the {which}" for name, which in why.items()
    }


@pytest.mark.parametrize(
    ("prefer", "train", "test"),
    [
        ("newest", [("B", "C", "C"), ("C", "A", "C")], [("B", "C", "A"), ("C", "A", "A")]),
        ("old", [("C", "B", "A"), ("B", "A", "A")], [("C", "B", "A"), ("B", "A", "A")]),
        ("drop", [("B", "C", ""), ("C", "B", "")], [("B", "C", "A"), ("C", "B", "A")]),
    ],
)
def test_two_people_contradict_each_other_on_an_old_image(prefer, train, test):
    """Each contradiction tells the class under which the image stands in the list now."""
    for content, expected in (("o1", train), ("t1", test)):
        labels = [label(content, "B", time=1), label(content, "C", origin="other.csv", time=2)]
        result = joined(labels, prefer=prefer, new_classes="add")
        changes = result.contradictions
        assert [(one.given.label, one.other, one.used) for one in changes] == expected
        left = [row.label for row in result.rows if row.content == content]
        assert left == ([expected[0][2]] if expected[0][2] else [])
        assert result.removed == (OLD[:1] if not left else [])
        assert len(result.left_out) + len(result.changed) == 2


def test_of_labels_that_all_stay_out_the_reason_is_that_of_the_one_that_counts():
    labels = [label("t1", "A", time=1), label("t1", "B", time=2)]
    assert joined(labels).contradictions[0].why == (
        "the newest label would count, but was left out: in the old test part"
    )


def test_an_image_that_stands_in_two_parts_keeps_the_label_of_the_test_part():
    change = joined([label("t1", "B")], [old("t1", "B"), *OLD]).contradictions[0]
    assert (change.other, change.used) == ("A", "A")


def test_two_reviewers_who_agree_are_one_row_and_no_contradiction():
    result = joined([label("n1", "B"), label("n1", "B", origin="other.csv")])
    assert of(result, "train")[2:] == [("n1", "B")]
    assert not result.contradictions
    assert result.left_out[0][1] == "the same image and label are listed again"


def test_classes_that_the_run_does_not_know_are_refused_with_place_and_remedy():
    with pytest.raises(
        UserError, match=r"new.csv, line 7: class 'BB'.*Did you mean B\?.*BB \(2\).*--new_classes=add"
    ):
        joined([label("n0"), label("n1", "BB", line=7), label("n2", "BB")])


def test_or_added_or_dropped():
    labels = [label("n1", "C"), label("n2", "B")]
    added = joined(labels, new_classes="add")
    assert of(added, "train")[2:] == [("n1", "C"), ("n2", "B")]
    assert any("new classes: C" in note for note in added.notes)
    dropped = joined(labels, new_classes="drop")
    assert of(dropped, "train")[2:] == [("n2", "B")]
    assert dropped.left_out[0][1] == "class C is not one of the run's"


@pytest.mark.parametrize("by_map", [False, True])
@pytest.mark.parametrize("prefer", ["newest", "old", "drop"])
def test_an_image_of_a_dropped_class_is_left_out_as_if_a_person_had_said_so(prefer, by_map):
    """Whichever way the class is dropped, the verdict that an image is no A counts by the same rules."""
    why = "class ART is dropped by the class map" if by_map else "class ART is not one of the run's"
    art = functools.partial(label, name="ART", dropped=why * by_map)
    labels = [art("o1"), label("n1", time=10), art("n1", time=11), art("n2"), art("t1"), art("n3")]
    labels += [dataclasses.replace(art("n3"), label="DEB"), label("n4")]
    result = joined(labels, prefer=prefer, new_classes="drop")
    trained = {"newest": ["o2", "n4"], "old": ["o1", "o2", "n1", "n4"], "drop": ["o2", "n4"]}[prefer]
    assert [content for content, _ in of(result, "train")] == trained
    assert of(result, "test") == [("t1", "A"), ("t2", "B")]
    changes = {one.given.content: (one.given.label, one.other, one.used) for one in result.contradictions}
    assert changes["o1"] == ("ART", "A", "A" if prefer == "old" else "")
    assert changes["t1"] == ("ART", "A", "A")
    if prefer == "newest":
        assert changes["n1"] == ("A", "ART", "")
    assert "n3" not in changes  # left out by both
    assert (labels[3].file, why) in [(one.file, reason) for one, reason in result.left_out]


def test_an_old_label_that_is_newer_than_the_word_of_a_dropped_class_stays():
    known = [old("o1", reviewed="2026-01-05T00:00:00+00:00"), *OLD[1:]]
    result = joined([label("o1", "ART", time=4)], known, new_classes="drop")
    assert ("o1", "A") in of(result, "train")
    assert result.contradictions[0].why == "the old label is newer"


@pytest.mark.parametrize("new_classes", ["add", "drop"])
def test_a_new_class_that_is_an_old_one_in_another_spelling_is_refused(new_classes):
    """To drop it would take an image out of training whose label a person has confirmed."""
    with pytest.raises(UserError, match=r"line 2: classes '[Bb]' and '[Bb]' are one to a reader"):
        joined([label("o2", "b")], new_classes=new_classes)


def test_a_told_patient_of_a_test_image_who_is_known_to_be_trained_on_is_not_kept_apart():
    known = [old("o1", group="q"), *OLD[1:]]
    result = joined([label("t1", group="q"), label("n1", group="q")], known)
    assert of(result, "train")[-1] == ("n1", "A")
    assert notes(result, "q: on both sides of the old split")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("typed", ["NFC", "NFD"])
def test_a_class_is_the_run_s_in_any_unicode_form(form, typed):
    """Folders from a Mac have decomposed names; what is typed on the page is composed."""
    name = unicodedata.normalize(form, "jüngere Zelle")
    labels = [label("n1", unicodedata.normalize(typed, name)), label("n2", "A")]
    result = join(OLD, labels, (*CLASSES, name), Rules(), grouped=False)
    assert of(result, "train")[2:] == [("n1", name), ("n2", "A")]


def test_a_new_class_of_a_test_image_needs_no_answer():
    assert joined([label("t1", "artefact"), label("n1")]).contradictions[0].given.label == "artefact"


@pytest.mark.parametrize(("prefer", "stays"), [("newest", False), ("old", True), ("drop", False)])
def test_an_old_training_image_that_a_person_leaves_out(prefer, stays):
    result = joined([label("o1", "", reason="artefact")], prefer=prefer)
    assert (("o1", "A") in of(result, "train")) == stays
    assert len(result.removed) == (not stays)
    assert result.contradictions[0].used == ("A" if stays else "")


def test_a_test_image_that_a_person_leaves_out_stays_and_is_named():
    result = joined([label("t1", "", reason="artefact")])
    assert result.rows == OLD
    assert result.contradictions[0].used == "A"


def test_a_new_image_that_a_person_leaves_out_is_left_out_and_contradicts_who_labelled_it():
    result = joined(
        [label("n1", "", reason="artefact"), label("n2", "A"), label("n2", "", reason="blurred", time=3)]
    )
    assert result.rows == OLD
    assert [reason for _, reason in result.left_out] == [
        "another label of the image counts, the last listed",
        "a person left it out: artefact",
        "a person left it out: blurred",
    ]
    assert len(result.contradictions) == 1


GROUPED = [old("o1", "A", "train", "p1"), old("o2", "B", "train", "p1"), old("v1", "A", "validation", "p2"),
           old("t1", "A", "test", "p3"), old("t2", "B", "test", "p3")]  # fmt: skip


def test_new_images_of_patients_of_the_test_or_validation_part_are_left_out():
    labels = [label(f"n{i}", "A", group=f"p{i}") for i in (1, 2, 3, 4)]
    result = joined(labels, GROUPED, grouped=True)
    assert [row.group for row in result.rows[5:]] == ["p1", "p4"]
    assert [reason for _, reason in result.left_out] == [
        "of patient p2, who is in the old validation part",
        "of patient p3, who is in the old test part",
    ]


def test_unless_they_are_other_patients_of_the_same_name():
    result = joined([label("n3", "A", group="p3")], GROUPED, grouped=True, shared_groups="rename")
    assert result.rows[-1].group == "new: p3"


def test_but_not_where_a_label_says_that_an_image_of_the_test_part_is_the_new_patient_s():
    """The old data name p3 of t1; a label says that t3, which they call p4's, is of the new p3."""
    known = [*GROUPED, old("t3", "A", "test", "p4")]
    labels = [label("t3", "A", group="p3"), label("n3", "A", group="p3")]
    result = joined(labels, known, grouped=True, shared_groups="rename")
    assert result.rows == known
    assert any(
        reason.startswith("of patient p3, who is in the old test part") for _, reason in result.left_out
    )


def test_a_split_that_did_not_keep_patients_apart_leaves_nobody_out_and_says_so():
    known = [*GROUPED, old("o3", "A", "train", "p3")]
    result = joined([label("n3", "A", group="p3")], known, grouped=True)
    assert of(result, "train")[-1] == ("n3", "A")
    assert any("patients on both sides" in note for note in result.notes)
    # Nor a patient of the test part alone: such a split says nothing of who is whose.
    known.append(old("t4", "A", "test", "p4"))
    assert [row.content for row in joined([label("n4", group="p4")], known, grouped=True).rows[7:]] == ["n4"]


MIXED = [old("o1", group="p1"), old("o2", "B"), old("t1", "A", "test", "p2"), old("t2", "B", "test")]
"""Images of no patient on both sides, among others that name theirs."""


def test_images_of_no_patient_do_not_lift_the_protection_of_the_others():
    result = joined([label("n1", group="p2"), label("n2", group="p1")], MIXED, grouped=True)
    assert [row.group for row in result.rows[4:]] == ["p1"]
    assert [reason for _, reason in result.left_out] == ["of patient p2, who is in the old test part"]
    assert notes(result, "1 of the 2 old test images name no patients")
    assert not notes(result, "both sides")


def test_new_images_without_a_patient_are_one_beside_old_ones_of_no_patient_too():
    result = joined([label("n1"), label("n2")], MIXED, grouped=True)
    assert {row.group for row in result.rows[4:]} == {"new: patient not named"}
    assert [row.group for row in result.rows[:4]] == ["p1", "", "p2", ""]


def test_what_a_label_told_of_an_image_of_no_patient_protects_and_is_no_fault_of_the_split():
    """A label calls a training image one of p2's and a test image one of p3's: in this round and the next."""
    told = [label("o2", "B", group="p2"), label("t2", "B", group="p3")]
    new = [label("n1", group="p2"), label("n2", group="p3"), label("n3", group="p4")]
    first = joined([*told, *new], MIXED, grouped=True)
    rows = [old("o2", "B", group="p2", known_group="p2"), old("t2", "B", "test", "p3", known_group="p3")]
    second = joined(new, [MIXED[0], rows[0], MIXED[2], rows[1]], grouped=True)
    for result in (first, second):
        assert [row.group for row in result.rows[4:]] == ["p4"]
        assert [row.group for row in result.rows[:4]] == ["p1", "p2", "p2", "p3"]


def test_where_the_old_data_name_no_patients_each_told_one_stands_for_himself():
    known = [
        old("o1", group="p1"),
        old("o2", "B"),
        old("t1", "A", "test", "p1"),
        old("t2", "B", "test", "p3"),
    ]
    result = joined([label("n1", group="p3"), label("n3", group="p1")], known)
    assert [row.content for row in result.rows[4:]] == ["n3"]
    assert [reason for _, reason in result.left_out] == ["of patient p3, who is in the old test part"]


def test_images_without_a_patient_are_one_where_patients_are_known():
    result = joined([label("n1"), label("n2")], GROUPED, grouped=True)
    assert {row.group for row in result.rows[5:]} == {"new: patient not named"}
    assert any("2 new images of new.csv name no patient" in note for note in result.notes)


def test_names_that_are_made_are_not_those_of_an_earlier_round():
    known = [*GROUPED, old("s1", "A", "aside", "new: patient not named"), old("o9", "A", "train", "new: p3")]
    labels = [label("n1"), label("n2", group="p3")]
    result = joined(labels, known, grouped=True, shared_groups="rename")
    assert [row.group for row in result.rows[-2:]] == ["new 2: patient not named", "new 2: p3"]


def test_a_patient_who_is_known_stays_known_when_the_label_changes():
    known = [old("o1", known_group="p7"), *OLD[1:]]
    assert joined([label("o1", "B")], known).rows[0].provenance["known_group"] == "p7"


@pytest.mark.parametrize("prefer", ["newest", "old", "drop"])
def test_a_patient_is_known_whichever_label_of_the_image_names_him(prefer):
    """Two people settle a label in a list without patients: p3 is in the old test part all the same."""
    ann = label("n1", "A", group="p3", origin="ann.csv", time=1)
    settled = label("n1", "A", origin="settled.csv", time=2)
    for labels in ([ann, settled], [settled, ann]):
        result = joined(labels, GROUPED, grouped=True, prefer=prefer)
        assert result.rows == GROUPED
        assert any(reason.startswith("of patient p3, who is in") for _, reason in result.left_out)


def test_patients_that_contradict_each_other_are_said():
    labels = [label("n1", group="q1", time=1), label("n1", group="q2", time=2), label("n2", group="q1")]
    result = joined(labels, GROUPED, grouped=True)
    assert [row.group for row in result.rows[5:]] == ["q2", "q1"]
    assert any("1 image has labels that name different patients (q1 and q2)" in n for n in result.notes)
    assert not any("different patients" in note for note in joined(labels[1:], GROUPED, grouped=True).notes)


def test_a_patient_who_is_tested_on_is_kept_apart_whatever_a_later_list_calls_him():
    labels = [label("n1", group="p3", time=1), label("n1", group="q9", time=2)]
    result = joined(labels, GROUPED, grouped=True)
    assert result.rows == GROUPED
    assert any(reason.startswith("of patient p3, who is in") for _, reason in result.left_out)
    renamed = joined(labels, GROUPED, grouped=True, shared_groups="rename")
    assert [row.group for row in renamed.rows[5:]] == ["q9"]


def test_patients_of_new_images_only_stand_in_a_column_of_their_own():
    result = joined([label("n1", group="p9")])
    assert result.rows[-1].provenance["known_group"] == "p9"
    assert any("cannot be told" in note for note in result.notes)


def test_patients_called_nearly_the_same_are_named():
    result = joined([label("n1", group="P3")], GROUPED, grouped=True)
    assert any("'P3' and 'p3'" in note or "'p3' and 'P3'" in note for note in result.notes)


def notes(result, words):
    return [note for note in result.notes if words in note]


def test_a_patient_whom_a_label_names_of_an_old_training_image_is_no_new_patient():
    labels = [label("o1", group="r"), label("n1", group="r"), label("n2", "B", group="q")]
    with pytest.raises(UserError, match="'r' too"):
        joined(labels, new_test="r")
    others = [label(f"n{i}", "AB"[i % 2], group="qs"[i // 6]) for i in range(3, 9)]
    result = joined([*labels, *others], new_test="0.5")
    assert len({row.group for row in result.rows if row.split == "aside"} & {"q", "s"}) == 1
    assert "r" not in {row.group for row in result.rows if row.split == "aside"}
    with pytest.raises(UserError, match="'r' too"):  # known in the next round
        joined([label("m1", group="r")], result.rows, new_test="r")


@pytest.mark.parametrize("seen", ["", "nobody looked at its label"])
def test_new_images_of_a_patient_whom_a_label_names_of_a_test_image_are_left_out(seen):
    labels = [label("t1", group="q", fault=seen), label("n1", group="q"), label("n2", group="r")]
    result = joined(labels)
    assert [row.content for row in result.rows] == ["o1", "o2", "v1", "t1", "t2", "n2"]
    assert [reason for _, reason in result.left_out][1] == (
        "of patient q, who is in the old test part, as a label of an image there says"
    )
    assert [(row.label, row.split) for row in result.rows[:5]] == [(row.label, row.split) for row in OLD]
    assert result.rows[3].provenance == {"known_group": "q"}
    later = joined([label("n1", group="q"), label("o1", group="r")], result.rows)
    assert [row.content for row in later.rows] == [row.content for row in result.rows]


@pytest.mark.parametrize(("old_image", "rows"), [("t1", ["n2"]), ("o1", ["n1", "n2"])])
def test_a_label_that_calls_a_patient_otherwise_names_the_same_patient(old_image, rows):
    """Nor do slides contradict patients: s1 is one of p3, or of p1."""
    labels = [label(old_image, group="s1", of_slide=True), label("n1", group="s1"), label("n2", group="s2")]
    result = joined(labels, GROUPED, grouped=True)
    assert [row.content for row in result.rows[5:]] == rows
    assert [row.group for row in result.rows[:5]] == [row.group for row in GROUPED]
    for rename in ("drop", "rename"):
        with pytest.raises(UserError, match=r"no new image is of patient 's1'|'s1' too"):
            joined(labels, GROUPED, grouped=True, new_test="s1", shared_groups=rename)


def test_a_patient_on_both_sides_by_labels_is_trained_on_and_that_is_said():
    result = joined([label("t1", group="q"), label("o1", group="q"), label("n1", group="q")])
    assert of(result, "train")[-1] == ("n1", "A")
    assert notes(result, "q: on both sides of the old split")


@pytest.mark.parametrize("old_slides", [False, True])
@pytest.mark.parametrize("new_slides", [False, True])
def test_slides_are_not_compared_with_patients_without_a_word(old_slides, new_slides):
    labels = [label(f"n{i}", "AB"[i % 2], group=f"s{i // 2}", of_slide=new_slides) for i in range(8)]
    result = joined(labels, GROUPED, grouped=True, slides=old_slides, new_test="0.5")
    assert bool(notes(result, "cannot be told")) == (old_slides != new_slides)
    assert bool(notes(result, "on both sides of the second test")) == new_slides
    by_name = joined(labels, GROUPED, grouped=True, slides=old_slides, new_test="s1")
    assert bool(notes(by_name, "on both sides of the second test")) == new_slides


def test_a_list_of_slides_beside_one_of_patients_is_said_of_a_second_test():
    labels = [label(f"n{i}", group="q") for i in range(2)]
    labels += [label(f"m{i}", group="s", of_slide=True) for i in range(2)]
    assert notes(joined(labels, GROUPED, grouped=True, new_test="q"), "on both sides of the second test")
    assert not notes(joined(labels[:2], GROUPED, grouped=True, new_test="q"), "on both sides")
    some = joined([*labels[:2], label("n9")], new_test="q")
    assert notes(some, "not every new image names a patient")


@pytest.mark.parametrize("first", [0, 1])
def test_of_patient_and_slide_of_an_image_the_patient_counts(first):
    labels = [label("n1", group="q", time=1), label("n1", group="s", of_slide=True, time=2)]
    result = joined([labels[first], labels[1 - first]], GROUPED, grouped=True)
    assert [row.group for row in result.rows[5:]] == ["q"]
    assert not result.added[0].of_slide
    assert not notes(result, "different patients")


def test_another_patient_of_the_same_name_has_one_new_name_whoever_lists_him():
    labels = [
        label("n1", group="p3", origin="ann.csv"),
        label("n2", group="p3", origin="bob.csv"),
        label("n3", group="p1", origin="bob.csv"),
    ]
    result = joined(labels, GROUPED, grouped=True, shared_groups="rename")
    assert [row.group for row in result.rows[5:]] == ["ann: p3", "ann: p3", "p1"]
    with pytest.raises(UserError, match="'p1' too"):
        joined(labels, GROUPED, grouped=True, shared_groups="rename", new_test="p1")


PATIENTS = [label(f"n{i}", "AB"[i % 2], group=f"q{i // 4}") for i in range(40)]


def test_patients_of_a_second_test_are_named():
    result = joined(PATIENTS, GROUPED, grouped=True, new_test="q1, q3")
    aside = [row for row in result.rows if row.split == "aside"]
    assert {row.group for row in aside} == {"q1", "q3"}
    assert len(aside) == len(result.aside) == 8
    assert len(result.added) == 32


def test_or_drawn_whole():
    result = joined(PATIENTS, GROUPED, grouped=True, new_test="0.3")
    aside = {row.group for row in result.rows if row.split == "aside"}
    assert len(aside) == 3
    assert aside.isdisjoint({row.group for row in result.rows if row.split == "train"})


def test_the_seed_decides_which_patients_are_drawn():
    def drawn(seed):
        rows = joined(PATIENTS, GROUPED, grouped=True, new_test="0.3", seed=seed).rows
        return frozenset(row.group for row in rows if row.split == "aside")

    assert drawn(0) == drawn(0)
    assert len({drawn(seed) for seed in range(5)}) > 1


def test_a_patient_who_is_in_the_old_data_is_never_drawn_for_the_second_test():
    labels = [*PATIENTS, label("n99", "A", group="p1")]
    for seed in range(5):
        result = joined(labels, GROUPED, grouped=True, new_test="0.9", seed=seed)
        assert "p1" not in {row.group for row in result.rows if row.split == "aside"}


@pytest.mark.parametrize("wanted", ["0.3", "0.9", "q1"])
def test_images_that_name_no_patient_are_no_patient_of_a_second_test(wanted):
    """They may be of those who are trained on, or of those who are set aside."""
    unnamed = [label(f"u{i}", "AB"[i % 2]) for i in range(4)]
    for seed in range(5):
        result = joined([*PATIENTS[:20], *unnamed], GROUPED, grouped=True, new_test=wanted, seed=seed)
        assert {row.content[0] for row in result.rows if row.split == "aside"} == {"n"}
        assert any("not every new image names a patient: those" in note for note in result.notes)
    with pytest.raises(UserError, match="no new image names a new patient"):
        joined(unnamed, GROUPED, grouped=True, new_test="0.3")
    with pytest.raises(UserError, match="no new image is of patient 'new: patient not named'"):
        joined([*PATIENTS, *unnamed], GROUPED, grouped=True, new_test="new: patient not named")


def test_without_patients_images_are_drawn_and_that_is_said():
    result = joined([label(f"n{i}", "AB"[i % 2]) for i in range(20)], new_test="0.2")
    assert len(result.aside) == 4
    assert any("drawn by image" in note for note in result.notes)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("q1,q33", r"no new image is of patient 'q33'.*Did you mean q3"),
        ("p1", "no new image is of patient 'p1'"),
        ("1.5", "above 0 and below 1"),
        ("0", "above 0 and below 1"),
    ],
)
def test_second_tests_that_cannot_be(wanted, message):
    with pytest.raises(UserError, match=message):
        joined(PATIENTS, GROUPED, grouped=True, new_test=wanted)


def test_a_second_test_on_a_patient_who_is_trained_on_is_refused():
    with pytest.raises(UserError, match="not be on a new patient"):
        joined([label("n1", group="p1")], GROUPED, grouped=True, new_test="p1")


def test_a_second_test_of_one_patient_alone_is_refused_where_a_share_is_asked_for():
    with pytest.raises(UserError, match="the new images name one new patient alone"):
        joined([label("n1", group="q"), label("n2", group="q")], GROUPED, grouped=True, new_test="0.5")


def test_what_an_earlier_round_set_aside_never_enters_training():
    known = [*GROUPED, old("s1", "A", "aside", "s")]
    result = joined([label("s1", "B"), label("n1", "A", group="s")], known, grouped=True)
    assert result.rows == known
    assert [reason for _, reason in result.left_out] == [
        "in a second test that was set aside before",
        "of patient s, who is in a second test that was set aside before",
    ]


CONTENTS = st.sampled_from(["o1", "o2", "o8", "t8", "v1", "t1", "n1", "n2", "n3", "s1"])
LABELS = st.builds(
    label,
    CONTENTS,
    st.sampled_from(["A", "B", "C", ""]),
    group=st.sampled_from(["", "p1", "p2", "p3", "q1", "q2", "s"]),
    time=st.none() | st.integers(1, 28),
    fault=st.sampled_from(["", "", "missing"]),
    origin=st.sampled_from(["new.csv", "other.csv"]),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(LABELS, max_size=12),
    st.sampled_from(["newest", "old", "drop"]),
    st.sampled_from(["drop", "rename"]),
    st.booleans(),
)
def test_whatever_is_given_the_tests_stay_and_every_label_is_counted_once(labels, prefer, shared, grouped):
    known = [*GROUPED, old("s1", "A", "aside", "s"), old("o8"), old("t8", "B", "test")]
    known = known if grouped else [dataclasses.replace(row, group="") for row in known]
    result = joined(labels, known, grouped=grouped, prefer=prefer, shared_groups=shared, new_classes="drop")
    for part in ("validation", "test", "aside"):
        there = [row for row in result.rows if row.split == part]
        there = [  # but for the patient whom a label names
            dataclasses.replace(row, group="", provenance={}) if row.provenance else row for row in there
        ]
        assert there == [row for row in known if row.split == part]
    trained = [row for row in result.rows if row.split == "train"]
    assert {row.content for row in trained}.isdisjoint({"v1", "t1", "t2", "t8", "s1"})
    assert max(collections.Counter(row.content for row in trained).values(), default=0) <= 1
    if grouped:
        named = {row.group for row in trained if row.content != "o8"}
        assert named.isdisjoint({"p2", "p3", "s"})
    became = [
        *result.added,
        *result.aside,
        *result.confirmed,
        *result.changed,
        *(one for one, _ in result.left_out),
    ]
    for change in result.contradictions:
        there = [row.label for row in result.rows if row.content == change.given.content]
        assert there == ([change.used] if change.used else [])
    assert sorted(map(id, became)) == sorted(map(id, _same(labels, became)))
    assert len(became) == len(labels)


def _same(labels, became):
    """`became`, after a check that each is one of `labels`, perhaps with a group of another name."""
    keys = collections.Counter((one.file, one.label, one.origin, one.time, one.fault) for one in labels)
    assert keys == collections.Counter(
        (one.file, one.label, one.origin, one.time, one.fault) for one in became
    )
    return became
