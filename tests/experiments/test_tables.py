"""The tables are the paper's, whole, and every row in them can be configured."""

import pytest

from asae_jax.errors import UserError
from asae_jax.experiments.rows import ROWS
from asae_jax.experiments.settings import row_config
from asae_jax.experiments.tables import PAPER_TABLES, TABLES, Comparison, chosen_tables
from asae_jax.training import build
from tests.experiments.fakes import base_config

PAPER = {
    "1": [72.61, 73.02, 73.53],
    "2": [73.53, 74.03, 74.79, 74.10, 75.11],
    "3": [71.21, 72.03, 72.13, 73.36, 73.53, 75.11],
    "4": [75.11, 76.42, 77.63],
    "5": [69.63, 70.21, 72.61, 73.12, 73.29, 73.84, 77.63],
}


def test_the_papers_tables_are_there_whole():
    assert {name: [entry.paper for entry in TABLES[name].entries] for name in PAPER_TABLES} == PAPER


@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_a_table_has_a_configuration_that_can_be_run(name):
    for entry in TABLES[name].entries:
        config = row_config(base_config(), ROWS[entry.row], seed=0)
        build.check(config)
        build.create_network(config, 8)


@pytest.mark.parametrize("name", TABLES)
def test_only_rows_of_the_table_are_compared_and_each_row_is(name):
    rows = [entry.row for entry in TABLES[name].entries]
    compared = {row for c in TABLES[name].comparisons for row in (c.row, c.other)}
    assert len(rows) == len(set(rows))
    assert compared == set(rows)


def test_no_row_is_without_a_table():
    assert set(ROWS) == {entry.row for table in TABLES.values() for entry in table.entries}


def test_the_same_row_has_the_same_number_in_all_of_the_papers_tables():
    numbers = {}
    for name in PAPER_TABLES:
        for entry in TABLES[name].entries:
            assert numbers.setdefault(entry.row, entry.paper) == entry.paper


def test_the_papers_gains_are_those_of_its_text():
    def gain(name, row, other):
        return TABLES[name].paper_gain(Comparison(row, other))

    assert gain("2", "as-layer3", "baseline") == pytest.approx(1.26)
    assert gain("2", "ae-layer3", "baseline") == pytest.approx(0.57)
    assert gain("2", "asae", "as-layer3") == pytest.approx(0.32)
    assert gain("3", "resnet18-asae", "resnet18") == pytest.approx(1.23)
    assert gain("4", "asae-gmmce", "asae") == pytest.approx(2.52)
    assert gain("rivals", "asae", "dropout") is None


def test_tables_are_chosen_by_name_in_their_own_order():
    assert list(chosen_tables("4, 1,rivals")) == ["1", "4", "rivals"]
    assert list(chosen_tables("all")) == list(TABLES)


@pytest.mark.parametrize("names", ["6", "", "1,two", ","])
def test_a_table_that_is_none_is_refused_with_those_that_are(names):
    with pytest.raises(UserError, match=r"1, 2, 3, 4, 5, rivals"):
        chosen_tables(names)
