import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from asae_jax.errors import UserError
from asae_jax.input.sampler import (
    BalancedSampler,
    ShuffledSampler,
    WeightedSampler,
    permutation,
    uniforms,
)

label_lists = st.lists(st.integers(0, 5), min_size=1, max_size=60).map(np.array)
seeds = st.integers(-(2**63), 2**63 - 1)


def take(sampler, first, last):
    return [sampler.batch(step) for step in range(first, last)]


@given(st.integers(0, 200), seeds)
def test_permutation_holds_each_number_once(length, seed):
    result = permutation(length, seed, "order", 1, 2)
    assert result.dtype == np.int64
    np.testing.assert_array_equal(np.sort(result), np.arange(length))


def test_permutation_is_fixed_for_ever():
    assert permutation(8, 7, "order", 3, 1).tolist() == [3, 0, 5, 7, 2, 4, 6, 1]


def test_uniforms_are_fixed_for_ever_and_uniform():
    assert (uniforms(3, 7, "order", 3, 1) * 2**53).astype(np.int64).tolist() == [
        2105382121806362,
        6752747993121952,
        3278024439464499,
    ]
    many = uniforms(20_000, 0, "weighted", 0)
    assert many.min() >= 0
    assert many.max() < 1
    assert stats.kstest(many, "uniform").pvalue > 1e-3


def test_permutation_depends_on_every_argument():
    arguments = [(50, 1, "order", 0, 0), (50, 2, "order", 0, 0), (50, 1, "split", 0, 0)]
    arguments += [(50, 1, "order", 1, 0), (50, 1, "order", 0, 1), (50, -1, "order", 0, 0)]
    assert len({tuple(permutation(*each)) for each in arguments}) == len(arguments)


def test_permutations_are_uniform():
    """All 24 orders of 4 are as frequent as chance has it: chi-square, 23 degrees of freedom."""
    counts: dict[tuple, int] = {}
    for number in range(4800):
        key = tuple(permutation(4, 0, "order", 0, number))
        counts[key] = counts.get(key, 0) + 1
    statistic = sum((count - 200) ** 2 / 200 for count in counts.values())
    assert len(counts) == 24
    assert statistic < 49.7  # exceeded once in 1,000 seeds; this seed is fixed


@given(label_lists, st.integers(1, 4), seeds)
def test_each_balanced_batch_holds_its_classes_in_turn(labels, per_class, seed):
    classes = np.unique(labels)
    sampler = BalancedSampler(labels, per_class * len(classes), seed)
    for positions in take(sampler, 0, 5):
        assert positions.dtype == np.int64
        np.testing.assert_array_equal(labels[positions], np.tile(classes, per_class))


@given(label_lists, st.integers(1, 4), seeds)
def test_each_class_is_a_sequence_of_whole_permutations(labels, per_class, seed):
    classes = np.unique(labels)
    sampler = BalancedSampler(labels, per_class * len(classes), seed)
    drawn = np.concatenate(take(sampler, 0, 30))
    for label in classes:
        members = np.flatnonzero(labels == label)
        sequence = drawn[labels[drawn] == label]
        passes = len(sequence) // len(members)
        for one_pass in sequence[: passes * len(members)].reshape(passes, -1):
            np.testing.assert_array_equal(np.sort(one_pass), members)


def test_every_contiguous_part_holds_as_many_of_each_class():
    labels = np.repeat(np.arange(14), 9)
    positions = BalancedSampler(labels, 84, 0).batch(5)
    for part in positions.reshape(6, 14):
        assert labels[part].tolist() == list(range(14))


@given(st.integers(1, 50), st.integers(1, 70), seeds)
def test_shuffled_batches_run_through_whole_permutations(count, batch_size, seed):
    sampler = ShuffledSampler(np.zeros(count, int), batch_size, seed)
    batches = take(sampler, 0, 12)
    assert {len(positions) for positions in batches} == {batch_size}
    drawn = np.concatenate(batches)
    passes = len(drawn) // count
    for one_pass in drawn[: passes * count].reshape(passes, count):
        np.testing.assert_array_equal(np.sort(one_pass), np.arange(count))


@given(label_lists, st.integers(1, 70), seeds)
def test_weighted_batches_hold_positions_of_their_own(labels, batch_size, seed):
    for positions in take(WeightedSampler(labels, batch_size, seed), 0, 4):
        assert positions.dtype == np.int64
        assert positions.shape == (batch_size,)
        assert positions.min() >= 0
        assert positions.max() < len(labels)


def test_weighted_draws_are_independent_with_inverse_class_frequency():
    """Each class a third whatever its size, each member as likely as its fellows, one draw as the next."""
    labels = np.array([4] * 3 + [0] * 40 + [1] * 2 + [0] * 10)
    drawn = np.concatenate(take(WeightedSampler(labels, 60, 3), 0, 200))
    for label in (0, 1, 4):
        members = np.flatnonzero(labels == label)
        counts = np.bincount(drawn, minlength=len(labels))[members]
        # Binomial with p = 1/3: 12,000 draws scatter by 52.
        assert abs(counts.sum() - 4000) < 170
        assert stats.chisquare(counts).pvalue > 1e-3
    pairs = np.zeros((5, 5))
    np.add.at(pairs, (labels[drawn[:-1]], labels[drawn[1:]]), 1)
    assert stats.chi2_contingency(pairs[np.ix_([0, 1, 4], [0, 1, 4])]).pvalue > 1e-3


@pytest.mark.parametrize("kind", [BalancedSampler, ShuffledSampler, WeightedSampler])
def test_any_step_is_the_same_whatever_was_asked_before(kind):
    labels = np.array([0] * 7 + [1] * 23 + [2])
    forward = take(kind(labels, 6, 3), 0, 40)
    sampler = kind(labels, 6, 3)
    for step in (39, 3, 17, 17, 0):
        np.testing.assert_array_equal(sampler.batch(step), forward[step])


@pytest.mark.parametrize("kind", [BalancedSampler, ShuffledSampler, WeightedSampler])
def test_passes_and_seeds_differ(kind):
    labels = np.repeat([0, 1], 20)
    sampler = kind(labels, 40, 0)
    assert sampler.batch(0).tolist() != sampler.batch(1).tolist()
    assert sampler.batch(0).tolist() != kind(labels, 40, 1).batch(0).tolist()


@settings(max_examples=20)
@given(label_lists)
def test_an_epoch_has_as_many_steps_as_hold_every_image(labels):
    size = 2 * len(np.unique(labels))
    assert BalancedSampler(labels, size, 0).steps_per_epoch == math.ceil(len(labels) / size)
    assert ShuffledSampler(labels, size, 0).steps_per_epoch == math.ceil(len(labels) / size)
    assert WeightedSampler(labels, size, 0).steps_per_epoch == math.ceil(len(labels) / size)


@pytest.mark.parametrize(("batch_size", "nearest"), [(64, "56 or 70"), (13, "choose 14 "), (85, "84 or 98")])
def test_a_batch_that_classes_do_not_divide_names_those_that_fit(batch_size, nearest):
    with pytest.raises(UserError, match=f"14 classes.*{nearest}"):
        BalancedSampler(np.repeat(np.arange(14), 3), batch_size, 0)


@pytest.mark.parametrize("kind", [BalancedSampler, ShuffledSampler, WeightedSampler])
def test_nothing_to_train_on_is_an_error(kind):
    with pytest.raises(UserError, match="no images"):
        kind(np.array([], int), 4, 0)
    with pytest.raises(UserError, match="batch size is 0"):
        kind(np.array([1]), 0, 0)


@pytest.mark.parametrize("kind", [BalancedSampler, ShuffledSampler, WeightedSampler])
def test_visits_count_how_often_each_example_was_drawn_before(kind):
    labels = np.array([0] * 3 + [1] * 7 + [2] * 5)
    sampler, seen = kind(labels, 6, 1), np.zeros(15, int)
    for step in range(20):
        for position, visit in zip(sampler.batch(step), sampler.visits(step), strict=True):
            assert visit == seen[position]
            seen[position] += 1
    assert seen.max() > seen.min() > 1 or kind is ShuffledSampler


def test_visits_of_draws_with_replacement_do_not_depend_on_where_one_starts():
    labels, steps = np.array([0, 0, 0, 1]), (7, 2, 8, 0)
    in_order = WeightedSampler(labels, 8, 1)
    expected = [in_order.visits(step) for step in range(9)]
    jumping = WeightedSampler(labels, 8, 1)
    for step in steps:
        np.testing.assert_array_equal(jumping.visits(step), expected[step])


def test_views_of_an_example_drawn_with_replacement_come_in_turns():
    sampler, shown = WeightedSampler(np.repeat([0, 1], [20, 20]), 8, 0), {}
    for step in range(40):
        for position, visit in zip(sampler.batch(step), sampler.visits(step), strict=True):
            shown.setdefault(int(position), []).append(int(visit) % 4)
    assert len(shown) == 40
    for views in shown.values():
        assert views == [number % 4 for number in range(len(views))]


def test_the_order_of_a_class_does_not_depend_on_which_others_there_are():
    """Its random numbers are told by its label, not by its place among the classes that have images."""
    without, with_one_more = np.repeat([0, 2], [5, 7]), np.repeat([0, 2, 1], [5, 7, 6])
    two, three = BalancedSampler(without, 6, seed=3), BalancedSampler(with_one_more, 6, seed=3)
    for number in range(4):
        np.testing.assert_array_equal(two.one_pass(0, number), three.one_pass(0, number))
        np.testing.assert_array_equal(two.one_pass(1, number), three.one_pass(2, number))
