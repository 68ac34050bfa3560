"""What is found in made tables: counts, percentiles, balance."""

import math

import numpy as np
import pytest

from asae_jax.audit.findings import balance, count_examples, describe_quantities, groups_across_split
from asae_jax.audit.scan import empty_facts
from asae_jax.input.sampler import BalancedSampler, WeightedSampler
from tests.audit.tables import table_of

SPLITS = np.array(["train", "train", "test", "validation", "train", "test"])
GROUPS = np.array(["s1", "s1", "s1", "s2", "s3", "s3"])


def test_counts_leave_out_what_cannot_be_read():
    table = table_of([None] * 6, [0, 1, 0, 1, 1, 1], groups=GROUPS)
    counts = count_examples(table, np.array([1, 1, 1, 1, 1, 0], bool), SPLITS)
    assert counts["per_split"] == {"train": 3, "validation": 1, "test": 1, "total": 5}
    assert counts["per_class"]["A"] == {"train": 1, "validation": 0, "test": 1, "total": 2}
    assert counts["per_class"]["B"] == {"train": 2, "validation": 1, "test": 0, "total": 3}
    assert list(counts["per_group"]) == ["s1", "s2", "s3"]
    assert groups_across_split(counts["per_group"]) == ["s1"]


def test_without_groups_there_are_none():
    counts = count_examples(table_of([None] * 6), np.ones(6, bool), SPLITS)
    assert counts["per_group"] is None
    assert groups_across_split(None) == []


def test_percentiles_per_class_and_group():
    facts = empty_facts(6)
    facts.readable[:] = True
    facts.size[:] = np.array([[10, 90], [20, 90], [30, 90], [90, 40], [90, 50], [90, 60]])
    facts.colour[:] = np.stack([[140, np.nan, 150, np.nan, np.nan, np.nan], range(6), range(6)], axis=1)
    described = describe_quantities(table_of([None] * 6, [0, 0, 0, 1, 1, 1], groups=GROUPS), facts)
    assert described["per_class"]["A"]["shorter side"] == [11, 15, 20, 25, 29]
    assert described["per_class"]["B"]["shorter side"][2] == 50
    assert described["per_class"]["A"]["hue"][2] == 145
    assert described["per_class"]["B"]["hue"] is None
    assert described["per_group"]["s3"]["brightness"][2] == 4.5
    assert described["all"]["saturation"][2] == 2.5


@pytest.mark.parametrize(("counts", "batch"), [((70, 20, 4), 12), ((5, 5), 4), ((100, 1), 10)])
def test_repeats_are_what_the_sampler_does(counts, batch):
    labels = np.repeat(np.arange(len(counts)), counts)
    order = BalancedSampler(labels, batch, seed=0)
    drawn = np.concatenate([order.batch(step) for step in range(order.steps_per_epoch)])
    expected = np.bincount(labels[drawn]) / counts
    found = balance({str(c): n for c, n in enumerate(counts)}, "balanced", batch)
    np.testing.assert_allclose(list(found["times_seen_per_epoch"].values()), expected)
    assert found["largest_to_smallest"] == max(counts) / min(counts)
    assert found["draws_per_class_and_epoch"] == math.ceil(sum(counts) / batch) * batch / len(counts)


def test_classes_without_training_images_are_no_fault():
    assert balance({"a": 0, "b": 0}, "balanced", 4)["times_seen_per_epoch"] == {}
    assert balance({"a": 0, "b": 8}, "balanced", 4)["times_seen_per_epoch"] == {"b": 1}


def test_weighted_draws_repeat_as_often_on_average():
    counts, batch = (60, 30, 6), 12
    labels = np.repeat(np.arange(len(counts)), counts)
    order = WeightedSampler(labels, batch, seed=0)
    epochs = 200
    drawn = np.concatenate([order.batch(step) for step in range(epochs * order.steps_per_epoch)])
    found = balance({str(c): n for c, n in enumerate(counts)}, "weighted", batch)
    np.testing.assert_allclose(
        list(found["times_seen_per_epoch"].values()), np.bincount(labels[drawn]) / epochs / counts, rtol=0.05
    )


def test_shuffled_batches_show_every_image_equally_often():
    found = balance({"a": 100, "b": 1}, "shuffled", 4)
    assert found["times_seen_per_epoch"] == {}
    assert found["largest_to_smallest"] == 100
