"""The differential count of records whose answer is known, and its intervals against their equations."""

import csv
import json
import math
import re

import pytest

from asae_jax.inference.predict.count.differential import Counter
from asae_jax.inference.predict.count.intervals import ratio, share
from asae_jax.inference.predict.output import summary, write_differential
from asae_jax.input.cell_classes import CellClass
from tests.inference.predict.made import record

CLASSES = (
    CellClass("BLA", blast=True),
    CellClass("EBO", lineage="erythroid"),
    CellClass("NGS", lineage="myeloid"),
    CellClass("ART", lineage="none"),
)


def _differential(records, classes=CLASSES):
    counter = Counter(classes)
    for one in records:
        counter.add(one)
    return counter.differential(["first note"])


def _records():
    return [
        *(record(0, of=4, group="b") for _ in range(2)),
        *(record(1, of=4, group="a") for _ in range(3)),
        *(record(2, of=4, group="b") for _ in range(6)),
        record(3, of=4),
        record(2, of=4, group="a", abstain=True),
        record(2, of=4, group="a", is_outlier=True),
        record(None, group="a"),
    ]


def test_counts_of_all_images():
    count = _differential(_records()).overall
    assert (count.images, count.unreadable, count.left_to_person, count.outliers) == (15, 1, 2, 1)


def test_counts_of_the_cells_the_run_is_sure_of():
    sure = _differential(_records()).overall.sure
    assert sure.counted == 11, "neither artefacts nor what is left to a person"
    assert [line.cells.count for line in sure.classes] == [2, 3, 6, 1]
    assert [line.cells.share for line in sure.classes] == [2 / 11, 3 / 11, 6 / 11, None]
    assert (sure.blasts.count, sure.blasts.total) == (2, 11)
    assert (sure.myeloid_erythroid.above, sure.myeloid_erythroid.below) == (6, 3)
    assert sure.myeloid_erythroid.value == 2


def test_where_all_is_left_to_a_person_no_part_is_advised():
    some, every = ([record(2, of=4, abstain=n < all_of) for n in range(1100)] for all_of in (1099, 1100))
    (said,) = [note for note in _differential(some).notes if "left to a person" in note]
    assert said.startswith("1,099 of all 1,100 images are left to a person. They are no random part")
    (said,) = [note for note in _differential(every).notes if "left to a person" in note]
    assert said.startswith("All 1,100 images are left to a person: every percentage is the network's alone")


def test_counts_of_everything_take_the_most_probable_class():
    everything = _differential(_records()).overall.everything
    assert everything.counted == 13
    assert [line.cells.count for line in everything.classes] == [2, 3, 8, 1]
    assert everything.myeloid_erythroid.value == 8 / 3


def test_every_number_of_images_is_accounted_for():
    found = _differential(_records())
    for count in (found.overall, *found.groups):
        assert count.images == (
            count.unreadable + count.left_to_person + sum(line.cells.count for line in count.sure.classes)
        )


def test_groups_come_in_the_order_of_the_input_and_their_own_counts():
    found = _differential(_records())
    assert [count.group for count in found.groups] == ["b", "a"]
    assert [count.images for count in found.groups] == [8, 6]
    assert found.groups[1].sure.myeloid_erythroid.value == 0


def test_what_the_classes_do_not_tell_is_not_there():
    found = _differential(
        [record(0, of=2)], (CellClass("x", known=False), CellClass("NGS", lineage="myeloid"))
    )
    assert found.overall.sure.blasts is None
    assert found.overall.sure.myeloid_erythroid is None
    assert any("No lineage is known for: x" in note for note in found.notes)
    red_alone = (CellClass("EBO", lineage="erythroid"), CellClass("LYT", lineage="lymphoid"))
    assert _differential([record(0, of=2)], red_alone).overall.sure.myeloid_erythroid is None


def test_a_group_is_told_from_the_total_in_a_spreadsheet(tmp_path):
    write_differential(_differential([record(1, group="all images"), record(1)]), tmp_path / "cells", {})
    with (tmp_path / "cells_differential.csv").open() as file:
        images = {row["group"]: row["of"] for row in csv.DictReader(file) if row["what"] == "unreadable"}
    assert images == {"all images (total)": "2", "all images": "1"}


def test_files_for_programs_and_for_a_spreadsheet(tmp_path):
    write_differential(_differential(_records()), tmp_path / "cells", {"made_from": "here"})
    content = json.loads((tmp_path / "cells_differential.json").read_text())
    assert content["overall"]["sure"]["counted"] == 11
    assert content["notes"][0] == "first note"
    assert "not a diagnosis" in content["notice"]
    with (tmp_path / "cells_differential.csv").open() as file:
        rows = {(row["group"], row["what"]): row for row in csv.DictReader(file)}
    assert rows["all images", "NGS"]["value"] == "54.55"
    assert rows["all images", "NGS"]["value_with_unsure"] == "61.54"
    assert rows["all images", "ART"]["of"] == ""
    assert rows["all images", "M:E"]["value"] == "2.00"
    assert rows["a", "left to a person"]["count"] == "2"
    assert rows["b", "M:E"]["high"] == "", "without erythroid cells the ratio has no upper bound"


def test_no_images_at_all_can_be_written(tmp_path):
    write_differential(_differential([]), tmp_path / "none", {})
    assert "0 images" in summary(_differential([]))


def test_summary_says_counts_ratio_and_notes():
    text = summary(_differential(_records()))
    assert "15 images: 2 left to a person (1 of them" in text
    assert "the 11 the run is sure of" in text
    assert "all 13, by their most probable class" in text
    assert re.search(r"M:E ratio, if this is marrow +2\.00 \[", text)
    assert "note: first note" in text
    assert re.search(r"blasts +2  18\.2 % \[.* 2  15\.4 % \[", text)


@pytest.mark.parametrize(("count", "total"), [(1, 7), (50, 100), (499, 500), (3, 100000)])
def test_bounds_of_a_share_are_those_whose_score_test_is_at_its_limit(count, total):
    found = share(count, total)
    assert found.low < found.share < found.high
    for p in (found.low, found.high):
        assert abs(count - total * p) == pytest.approx(1.959963984540054 * math.sqrt(total * p * (1 - p)))


def test_nothing_and_everything():
    assert (share(0, 10).low, share(10, 10).high) == (0, 1)
    assert share(0, 0).share is share(0, 0).low is share(0, 0).high is None


def test_ratio_has_the_odds_of_the_share_and_of_its_bounds():
    found, of_both = ratio(30, 10), share(30, 40)
    assert found.value == 3
    assert found.low == pytest.approx(of_both.low / (1 - of_both.low))
    assert found.high == pytest.approx(of_both.high / (1 - of_both.high))
    swapped = ratio(10, 30)
    assert swapped.low == pytest.approx(1 / found.high)


def test_ratio_without_one_side():
    assert (ratio(0, 0).value, ratio(0, 0).low, ratio(0, 0).high) == (None, None, None)
    assert (ratio(5, 0).value, ratio(5, 0).high) == (None, None)
    assert ratio(5, 0).low > 0
    assert (ratio(0, 5).value, ratio(0, 5).low) == (0, 0)
