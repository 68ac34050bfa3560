"""Blood, marrow or not known: what percentages are of, which ratios are given, and what is said of it."""

import csv
import json
import math

import numpy as np
import pytest
from scipy.stats import binom

from asae_jax.config import SPECIMENS as CHOICES
from asae_jax.config import base_config
from asae_jax.inference.predict.count.differential import Counter, sections, shares
from asae_jax.inference.predict.count.intervals import percent, ratio, ratio_text, share
from asae_jax.inference.predict.count.page import count_table
from asae_jax.inference.predict.count.specimen import BLOOD, MARROW, SPECIMENS, UNKNOWN, specimen_of
from asae_jax.inference.predict.count.table import rows, scale
from asae_jax.inference.predict.output import summary, write_differential
from asae_jax.input.cell_classes import CellClass, cell_classes
from tests.inference.predict.made import record

NAMES = ("SNE", "PLATELET", "LY", "ERB", "BLA", "MYO", "unicorn")
CELLS = dict(enumerate((60, 500, 20, 10, 5, 3, 2)))  # 88 white cells and 2 of no known class, 10 red
Z = 1.959963984540054


def _shares(specimen, cells=CELLS):
    return shares(cells, cell_classes(NAMES), specimen)


def test_the_choices_of_the_setting_are_these():
    assert tuple(SPECIMENS) == CHOICES


def test_percentages_of_blood_are_of_the_white_cells_alone():
    found = _shares(BLOOD)
    assert (found.counted, found.white, found.nucleated) == (90, 90, 100)
    by_name = {line.name: line.cells for line in found.classes}
    assert by_name["SNE"].share == 60 / 90
    assert by_name["unicorn"].share == 2 / 90
    assert by_name["ERB"].share is by_name["PLATELET"].share is None
    assert (by_name["ERB"].count, by_name["PLATELET"].count) == (10, 500)
    assert (found.blasts.count, found.blasts.total) == (8, 90)
    assert found.myeloid_erythroid is None
    assert found.red_per_100.value == 100 * 10 / 90
    assert found.sections["erythroid"].share is None


def test_percentages_of_marrow_are_of_all_nucleated_cells():
    found = _shares(MARROW)
    assert found.counted == 100
    by_name = {line.name: line.cells for line in found.classes}
    assert (by_name["ERB"].share, by_name["SNE"].share) == (0.1, 0.6)
    assert by_name["PLATELET"].share is None
    assert found.red_per_100 is None
    assert (found.myeloid_erythroid.above, found.myeloid_erythroid.below) == (63, 10)
    assert found.sections["myeloid"].share == 0.63


def test_an_erythroid_blast_is_a_blast_of_marrow_and_no_white_cell_of_blood():
    classes = (
        CellClass("BLA", blast=True),
        CellClass("PEB", lineage="erythroid", blast=True),
        CellClass("SNE", lineage="myeloid"),
    )
    blood, marrow = (shares({0: 2, 1: 3, 2: 5}, classes, one).blasts for one in (BLOOD, MARROW))
    assert (blood.count, blood.total) == (2, 7)
    assert (marrow.count, marrow.total) == (5, 10)


def test_where_it_is_not_known_both_ratios_are_given_with_a_condition():
    found = _shares(UNKNOWN)
    assert found.counted == 100
    assert found.myeloid_erythroid.value == 6.3
    assert found.red_per_100.value == 100 * 10 / 90
    names = [row.name for row in rows([found], cell_classes(NAMES), UNKNOWN) if row.kind == "line"]
    assert "M:E ratio, if this is marrow" in names
    assert "nucleated red cells per 100 white cells, if this is blood" in names


def test_platelets_never_count_among_white_cells():
    with_them, without = (_shares(BLOOD, CELLS | {1: number}) for number in (500, 0))
    assert with_them.white == without.white
    assert with_them.red_per_100 == without.red_per_100


@pytest.mark.parametrize(("above", "below"), [(10, 90), (1, 200), (30, 10), (3, 5)])
@pytest.mark.parametrize("per", [1, 100])
def test_bounds_of_a_ratio_solve_the_score_equation(above, below, per):
    """(x - n p)^2 = z^2 n p (1 - p) with p = r / (1 + r) and n = x + y is (x - r y)^2 = z^2 n r."""
    found = ratio(above, below, per=per)
    assert found.low < found.value < found.high
    for bound in (found.low, found.high):
        r = bound / per
        assert (above - r * below) ** 2 == pytest.approx(Z**2 * (above + below) * r)


@pytest.mark.parametrize("cells", [50, 500])
def test_intervals_of_a_ratio_cover_the_truth_as_often_as_they_say(cells):
    """Over true ratios from 5 to 400 per 100 white cells, by the probability of every possible count."""
    intervals = [ratio(red, cells - red, per=100) for red in range(cells + 1)]
    covered = []
    for truth in np.geomspace(5, 400, 60):
        holds = [one.low <= truth <= (math.inf if one.high is None else one.high) for one in intervals]
        covered.append(binom.pmf(np.arange(cells + 1), cells, truth / (100 + truth))[holds].sum())
    assert np.mean(covered) == pytest.approx(0.95, abs=0.005)
    assert min(covered) > 0.91


def test_ratios_in_words():
    assert ratio_text(ratio(10, 90, per=100)).startswith("11.1 [")
    assert ratio_text(ratio(10, 90, per=100)).endswith("] (10:90)")
    assert ratio_text(ratio(0, 0)) == "no cell of either kind"
    assert ratio_text(ratio(4, 0, per=100), none_below="no white cell").startswith("no white cell [")
    assert "no upper bound" in ratio_text(ratio(4, 0))


def test_numbers_in_the_middle_are_rounded_up():
    assert ratio_text(ratio(1, 8)).startswith("0.13 [")
    assert percent(share(1, 16)).startswith("6.3 % [")


def test_sections_come_in_the_order_of_lineage_and_what_is_not_counted_last():
    found = sections(cell_classes(NAMES))
    assert list(found) == ["blasts", "myeloid", "erythroid", "lymphoid", "", "none"]
    assert [NAMES[number] for number in found["myeloid"]] == ["MYO", "SNE"]


def test_a_subtotal_is_that_of_its_classes():
    for section in rows([_shares(MARROW)], cell_classes(NAMES), MARROW):
        if section.name == "myeloid":
            assert (section.cells[0].number, section.cells[0].text) == ("63", percent(share(63, 100)))
        elif section.kind == "section":
            assert section.cells[0].number == "", "the sum of one class is that class"


def test_bars_end_where_all_intervals_fit():
    table = rows([_shares(MARROW)], cell_classes(NAMES), MARROW)
    highest = max(cell.bar[2] for row in table for cell in row.cells if cell.bar)
    assert 0.5 < highest < scale(table) == 0.75
    assert scale([]) == 0.1


def _differential(specimen, numbers=(3, 0, 1, 2)):
    classes = cell_classes(("SNE", "PLATELET", "LY", "ERB"))
    counter = Counter(classes, specimen)
    for label, number in enumerate(numbers):
        for _ in range(number):
            counter.add(record(label, of=4))
    return counter.differential()


@pytest.mark.parametrize(("slides", "said"), [
    (False, ["In 25 of 25 groups fewer white cells were counted (12) than"]),
    (True, []),
])  # fmt: skip
def test_fields_of_one_patient_are_counted_together(slides, said):
    """A field has a dozen cells, and 200 are asked for."""
    counter = Counter(cell_classes(("SNE", "LY")), BLOOD, slides=slides)
    for number in range(300):
        counter.add(record(number % 2, of=2, group=f"field {number % 25}"))
    found = counter.differential()
    on_page = count_table(found, uncertainty=False)["notes"]
    for notes in (found.notes, on_page):
        assert [note.partition(" are recommended")[0] for note in notes if "fewer" in note] == said
    assert len(found.groups) == 25


def test_a_count_of_few_cells_says_so():
    blood, marrow = (" ".join(_differential(one).notes) for one in (BLOOD, MARROW))
    assert "Here fewer white cells were counted (4) than are recommended" in blood
    assert "asks for 200 white cells" in blood
    assert "Here fewer nucleated cells were counted (6)" in marrow
    assert "500 nucleated cells of marrow" in marrow
    assert "fewer" not in " ".join(_differential(BLOOD, (150, 0, 50, 0)).notes)
    assert "fewer" not in " ".join(_differential(UNKNOWN).notes)


def test_cells_that_are_left_to_a_person_are_counted_towards_those_that_are_recommended():
    counter = Counter(cell_classes(("SNE", "LY")), BLOOD)
    for number in range(200):
        counter.add(record(number % 2, of=2, abstain=number < 50))
    found = counter.differential()
    assert (found.overall.sure.counted, found.overall.everything.counted) == (150, 200)
    assert not any("fewer" in note for note in found.notes)


def test_what_red_cells_are_part_of_is_said():
    unknown, blood, marrow = (" ".join(_differential(one).notes) for one in (UNKNOWN, BLOOD, MARROW))
    assert "not known whether this is blood or marrow" in unknown
    assert "--specimen=blood or --specimen=marrow" in unknown
    assert "White cells are all cells counted but the nucleated red cells (ERB)" in blood
    assert "Percentages are of all nucleated cells" in marrow


def test_a_run_that_knows_no_red_cells_says_so():
    for specimen, consequence in ((BLOOD, "not given per 100"), (MARROW, "no M:E ratio")):
        counter = Counter(cell_classes(("SNE", "LY")), specimen)
        (note,) = [note for note in counter.differential().notes if "no class of nucleated red cells" in note]
        assert consequence in note


def test_files_say_the_specimen_and_full_names(tmp_path):
    write_differential(_differential(BLOOD), tmp_path / "cells", {})
    assert json.loads((tmp_path / "cells_differential.json").read_text())["specimen"] == "blood"
    with (tmp_path / "cells_differential.csv").open() as file:
        rows = {row["what"]: row for row in csv.DictReader(file)}
    assert [name for name in rows if rows[name]["full_name"]] == ["SNE", "ERB", "LY", "PLATELET"]
    assert rows["SNE"]["full_name"] == "segmented neutrophil"
    assert rows["SNE"]["value"] == "75.00"
    assert (rows["ERB"]["count"], rows["ERB"]["value"]) == ("2", "")
    assert rows["nucleated red cells per 100 white cells"]["value"] == "50.00"
    assert (rows["white cells"]["count"], rows["nucleated cells"]["count"]) == ("4", "6")
    assert "M:E" not in rows


def test_the_terminal_says_what_percentages_are_of():
    assert "blood: cells and percent of the white cells [95 % interval]" in summary(_differential(BLOOD))
    assert "SNE segmented neutrophil" in summary(_differential(MARROW))


def _config(*, run="", command=""):
    config = base_config()
    config.data.specimen, config.predict.specimen = run, command
    return config


@pytest.mark.parametrize(
    ("configs", "expected"),
    [
        ([_config()], UNKNOWN),
        ([_config(run="blood")], BLOOD),
        ([_config(run="blood", command="marrow")], MARROW),
        ([_config(), _config(run="marrow")], MARROW),
        ([_config(run="blood"), _config(run="marrow")], UNKNOWN),
    ],
)
def test_the_command_comes_first_and_runs_that_disagree_say_nothing(configs, expected):
    assert specimen_of(iter(configs)) is expected


def test_classes_of_an_own_table_keep_their_lineage():
    own = (CellClass("red", lineage="erythroid"), CellClass("white", lineage="lymphoid"))
    found = shares({0: 1, 1: 4}, own, BLOOD)
    assert (found.counted, found.red_per_100.value) == (4, 25)
    assert math.isclose(found.classes[1].cells.share, 1)
