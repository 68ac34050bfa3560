import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from asae_jax.errors import UserError
from asae_jax.input.split import SPLITS, add_validation, draw_split, most_folds

counts_of_classes = st.lists(st.integers(2, 60), min_size=1, max_size=8)
fractions = st.floats(0, 0.95)


def drawn(labels, *, seed, **options):
    usual = {"groups": None, "test_fraction": 0.2, "validation_fraction": 0.0, "folds": 0, "fold": 0}
    return draw_split(labels, **usual | options, seed=seed)


def labels_of(counts, seed=0):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


def counted(labels, splits, name, classes):
    return np.bincount(labels[splits == name], minlength=classes)


@given(counts_of_classes, fractions, fractions, st.integers(-5, 2**40))
def test_every_class_is_shared_out_within_one_image(counts, test_fraction, validation_fraction, seed):
    labels, counts = labels_of(counts), np.array(counts)
    splits = drawn(labels, test_fraction=test_fraction, validation_fraction=validation_fraction, seed=seed)
    train, validation, test = (counted(labels, splits, name, len(counts)) for name in SPLITS)
    np.testing.assert_array_equal(train + validation + test, counts)
    assert (train >= 1).all()
    assert np.abs(test - counts * test_fraction).max() <= 1
    assert np.abs(validation - (counts - test) * validation_fraction).max() <= 1
    if test_fraction > 0:
        assert (test >= 1).all()
    else:
        assert test.sum() == 0


@given(st.lists(st.integers(10, 60), min_size=1, max_size=8), st.floats(0.1, 0.9))
def test_the_whole_is_shared_out_within_half_an_image(counts, fraction):
    labels = labels_of(counts)
    splits = drawn(labels, test_fraction=fraction, seed=0)
    assert abs(np.sum(splits == "test") - len(labels) * fraction) <= 0.5 + 1e-6


@given(st.lists(st.integers(2, 60), min_size=1, max_size=12), st.floats(0.01, 0.9))
def test_the_whole_is_as_near_its_share_as_a_test_image_of_each_class_allows(counts, fraction):
    counts = np.array(counts)
    exact = counts * fraction
    least = np.clip(np.floor(exact + 1e-9), 1, counts - 1).sum()
    most = np.clip(np.ceil(exact - 1e-9), 1, counts - 1).sum()
    wanted = np.clip(np.floor(exact.sum() + 0.5), least, most)
    assert np.sum(drawn(labels_of(counts), test_fraction=fraction, seed=0) == "test") == wanted


def test_eight_to_two_of_as_many_images_as_the_paper_has():
    counts = [1090] * 13 + [1082]
    assert sum(counts) == 15252
    splits = drawn(labels_of(counts), seed=0)
    assert np.sum(splits == "test") == 3050
    assert np.sum(splits == "train") == 12202


@given(counts_of_classes, st.integers(0, 1000))
def test_the_same_seed_is_the_same_split(counts, seed):
    labels = labels_of(counts)
    first = drawn(labels, validation_fraction=0.2, seed=seed)
    np.testing.assert_array_equal(first, drawn(labels, validation_fraction=0.2, seed=seed))
    assume(len(labels) > 30)
    assert (first != drawn(labels, validation_fraction=0.2, seed=seed + 1)).any()


def test_the_validation_share_leaves_the_test_images_alone():
    labels = labels_of([30, 50])
    without = drawn(labels, seed=4)
    with_validation = drawn(labels, validation_fraction=0.25, seed=4)
    np.testing.assert_array_equal(without == "test", with_validation == "test")


def test_one_class_does_not_move_another():
    small, large = labels_of([30, 50]), labels_of([30, 50])
    extended = np.concatenate([large, np.full(40, 2)])
    np.testing.assert_array_equal(
        drawn(small, test_fraction=0.5, seed=1), drawn(extended, test_fraction=0.5, seed=1)[:80]
    )


def test_a_class_of_one_image_is_trained_on_with_a_warning():
    labels = np.array([0, 1, 1, 1, 1, 1])
    with pytest.warns(UserWarning, match=r"\[0\] have one image each"):
        splits = drawn(labels, seed=0)
    assert splits[0] == "train"
    assert np.sum(splits == "test") == 1


@pytest.mark.parametrize("name", ["test_fraction", "validation_fraction"])
@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_fractions_out_of_range_are_refused(name, value):
    with pytest.raises(UserError, match=name):
        drawn(np.array([0, 0]), seed=0, **{name: value})


def labels_and_groups(seed, groups, classes, examples):
    """Some groups are of one image, some large, some of one class."""
    rng = np.random.default_rng(seed)
    numbers = (groups * rng.random(examples) ** 2).astype(int)
    return rng.integers(0, classes, examples), np.char.add("p", numbers.astype(str))


grouped = st.builds(
    labels_and_groups, st.integers(0, 2**32 - 1), st.integers(1, 25), st.integers(1, 6), st.integers(1, 200)
)
quiet = pytest.mark.filterwarnings("ignore:classes number", "ignore:.*are tested in no fold")


def counts_in(labels, splits, name):
    return {int(label): int(np.sum((labels == label) & (splits == name))) for label in np.unique(labels)}


@quiet
@given(grouped, st.floats(0, 0.9), st.floats(0, 0.5), st.integers(0, 100))
def test_no_group_is_on_two_sides_and_every_class_keeps_a_training_image(data, fraction, validation, seed):
    labels, groups = data
    splits = drawn(labels, groups=groups, test_fraction=fraction, validation_fraction=validation, seed=seed)
    assert set(splits) <= set(SPLITS)
    for group in np.unique(groups):
        assert len(set(splits[groups == group])) == 1
    assert min(counts_in(labels, splits, "train").values()) >= 1
    if fraction == 0:
        assert "test" not in splits
    if validation == 0:
        assert "validation" not in splits


@quiet
@given(grouped, st.integers(0, 100))
def test_every_class_is_tested_unless_that_would_take_the_last_of_a_class(data, seed):
    labels, groups = data
    splits = drawn(labels, groups=groups, seed=seed)
    left = counts_in(labels, splits, "train")
    for label, tested in counts_in(labels, splits, "test").items():
        if tested:
            continue
        for group in np.unique(groups[labels == label]):
            inside = labels[groups == group]
            assert any(np.sum(inside == other) == left[int(other)] for other in np.unique(inside))


def test_shares_of_classes_are_near_what_they_should_be():
    """40 patients of unequal size, each with a class mixture of its own."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), rng.integers(20, 200, 40))
    mixtures = rng.dirichlet(np.ones(6), 40)
    labels = np.array([rng.choice(6, p=mixtures[group]) for group in groups])
    for seed in range(5):
        splits = drawn(labels, groups=groups, validation_fraction=0.1, seed=seed)
        test = counted(labels, splits, "test", 6) / np.bincount(labels)
        assert np.abs(test - 0.2).max() < 0.06
        assert abs(np.mean(splits == "test") - 0.2) < 0.03


def chi_square(labels, test, fraction):
    """The objective as the docstring of the module has it, over train and test."""
    parts = ((~test, 1 - fraction), (test, fraction))
    shares = [((labels == label) & part).sum() / (labels == label).sum() - intended
              for part, intended in parts for label in np.unique(labels)]  # fmt: skip
    shares += [part.mean() - intended for part, intended in parts]
    intended = np.repeat([1 - fraction, fraction], len(np.unique(labels)))
    return np.sum(np.square(shares) / np.concatenate([intended, [1 - fraction, fraction]]))


@pytest.mark.parametrize("seed", range(20))
def test_no_group_on_the_other_side_would_bring_the_shares_nearer(seed):
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 30, 900)
    labels, fraction = (numbers + rng.integers(0, 3, 900)) % 4, rng.choice([0.1, 0.25, 0.5])
    test = drawn(labels, groups=numbers.astype(str), test_fraction=fraction, seed=seed) == "test"
    found = chi_square(labels, test, fraction)
    for group in np.unique(numbers):
        assert chi_square(labels, test ^ (numbers == group), fraction) > found - 1e-12


def test_groups_of_one_image_are_split_as_images_are():
    labels = labels_of([50, 100, 30])
    splits = drawn(labels, groups=np.arange(180), validation_fraction=0.1, seed=0)
    assert counted(labels, splits, "test", 3).tolist() == [10, 20, 6]
    np.testing.assert_allclose(counted(labels, splits, "validation", 3), [4, 8, 2.4], atol=1)


def test_another_seed_is_another_split_of_groups():
    labels, groups = labels_of([300, 200, 100]), np.arange(600) % 48
    first = drawn(labels, groups=groups, validation_fraction=0.1, seed=0)
    np.testing.assert_array_equal(first, drawn(labels, groups=groups, validation_fraction=0.1, seed=0))
    assert (first != drawn(labels, groups=groups, validation_fraction=0.1, seed=1)).any()


def test_a_class_in_one_group_is_trained_on_with_a_warning():
    labels, groups = np.array([0] * 10 + [1] * 10), np.array(["p"] * 10 + list("qrstuvwxyz"))
    with pytest.warns(UserWarning, match=r"\[0\] have one group each: none to test"):
        splits = drawn(labels, groups=groups, seed=0)
    assert set(splits[:10]) == {"train"}


def folds_of(labels, groups, folds, **options):
    return [drawn(labels, groups=groups, folds=folds, fold=i, seed=3, **options) for i in range(folds)]


@given(counts_of_classes, st.integers(2, 6))
def test_folds_are_disjoint_complete_and_stratified_within_one_image(counts, folds):
    labels, counts = labels_of(counts), np.array(counts)
    parts = [splits == "test" for splits in folds_of(labels, None, folds, validation_fraction=0.1)]
    np.testing.assert_array_equal(np.sum(parts, axis=0), 1)
    for part in parts:
        inside = np.bincount(labels[part], minlength=len(counts))
        assert np.abs(inside - counts / folds).max() < 1
        assert abs(part.sum() - len(labels) / folds) < 1


def alone(labels, groups):
    """The groups that have a class which no other has."""
    holders = [np.unique(groups[labels == label]) for label in np.unique(labels)]
    return {groups_of[0] for groups_of in holders if len(groups_of) == 1}


@quiet
@given(grouped, st.integers(2, 5))
def test_folds_of_groups_are_disjoint_complete_but_for_single_groups_and_none_is_empty(data, folds):
    labels, groups = data
    assume(len(np.unique(groups)) - len(alone(labels, groups)) >= folds)
    parts = folds_of(labels, groups, folds, validation_fraction=0.2)
    tested = np.sum([splits == "test" for splits in parts], axis=0)
    assert tested.max() <= 1
    for splits in parts:
        assert "test" in splits
        assert min(counts_in(labels, splits, "train").values()) >= 1
        for group in np.unique(groups):
            assert len(set(splits[groups == group])) == 1
    several = [label for label in np.unique(labels) if len(np.unique(groups[labels == label])) > folds]
    if len(several) == len(np.unique(labels)):
        assert tested.mean() > 0.5


@quiet
@given(grouped, st.integers(2, 5))
def test_as_many_images_are_warned_of_as_no_fold_tests(data, folds):
    """More than those of classes in one group alone: the others of such a group, too."""
    labels, groups = data
    single = alone(labels, groups)
    assume(len(np.unique(groups)) - len(single) >= folds)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parts = folds_of(labels, groups, folds)
    left = np.sum([splits == "test" for splits in parts], axis=0) == 0
    said = {str(one.message).split(":")[0] for one in caught if "no fold" in str(one.message)}
    wanted = f"{left.sum()} images of {len(np.unique(groups[left]))} groups are tested in no fold"
    assert said == ({wanted} if left.any() else set())
    assert single <= set(groups[left])


@quiet
def test_a_group_that_must_be_trained_on_takes_no_other_group_s_fold():
    """Six patients, one with the only cell of a class: the five others are a fold each."""
    labels = np.append(np.tile([0, 0, 1, 1], 6), 2)
    groups = np.append(np.repeat(np.arange(6), 4), 3)
    tested = [set(groups[splits == "test"]) for splits in folds_of(labels, groups, 5)]
    assert sorted(map(sorted, tested)) == [[0], [1], [2], [4], [5]]
    with pytest.raises(UserError, match=r"5 groups cannot make 6 folds \(1 more alone have a class"):
        folds_of(labels, groups, 6)


def test_folds_of_equal_groups_are_equal():
    labels, groups = np.tile([0, 0, 1], 40), np.repeat(np.arange(40), 3)
    for splits in folds_of(labels, groups, 5):
        assert np.sum(splits == "test") == 24
        assert np.sum(labels[splits == "test"]) == 8


def test_a_single_image_is_never_tested_by_any_fold():
    labels = np.array([0] + [1] * 9)
    with pytest.warns(UserWarning, match="one image each"):
        assert all(splits[0] == "train" for splits in folds_of(labels, None, 3))


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (3, 3), (3, -1), (-2, 0)])
def test_folds_out_of_range_are_refused(folds, fold):
    with pytest.raises(UserError, match=rf"fold {fold} of {folds}.*data\.folds"):
        drawn(np.zeros(9, int), folds=folds, fold=fold, seed=0)


def test_fewer_images_than_folds_are_refused():
    with pytest.warns(UserWarning, match="one image each"):
        drawn(np.array([0, 0, 0, 1]), folds=3, fold=2, seed=0)
    with pytest.raises(UserError, match="3 images cannot make 4 folds"):
        drawn(np.array([0, 0, 0, 1]), folds=4, fold=0, seed=0)


def test_fewer_groups_than_folds_are_refused():
    with pytest.raises(UserError, match="2 groups cannot make 3 folds"):
        drawn(np.zeros(9, int), groups=np.arange(9) % 2, folds=3, seed=0)


@pytest.mark.parametrize("patients", [3, 4, 6, 15])
def test_few_patients_still_give_a_validation_part(patients):
    """Half of the patients have the one class, half the other; with three, one has both."""
    groups = np.repeat(np.arange(patients), 10)
    labels = groups % 2
    labels[:5] = 1 - labels[:5]
    for seed in range(10):
        splits = drawn(labels, groups=groups, test_fraction=0.0, validation_fraction=0.1, seed=seed)
        assert (splits == "validation").any()
        assert set(labels[splits == "train"]) == {0, 1}
        for group in range(patients):
            assert len(set(splits[groups == group])) == 1


@pytest.mark.parametrize("by_group", [False, True])
def test_validation_is_taken_from_the_training_part_alone(by_group):
    labels = labels_of([40, 60])
    groups = np.arange(100) // 4 if by_group else None
    own = np.where(np.arange(100) < 80, "train", "test")
    splits = add_validation(own, labels, groups=groups, fraction=0.25, seed=0)
    assert set(splits[80:]) == {"test"}
    assert 15 <= np.sum(splits == "validation") <= 25
    assert (own == np.where(np.arange(100) < 80, "train", "test")).all()
    if by_group:
        assert all(len(set(splits[groups == group])) == 1 for group in range(25))


@pytest.mark.parametrize("given", [False, True])
def test_one_group_in_two_unicode_forms_is_on_one_side(given):
    """Folders from a Mac have decomposed names; what is typed is composed."""
    names = np.array([f"{number}{letter}" for number in range(12) for letter in ("\u00fc", "u\u0308")])
    groups, labels = np.repeat(names, 2), np.tile([0, 1], len(names))
    if given:
        parts = np.full(len(labels), "train")
        splits = add_validation(parts, labels, groups=groups, fraction=0.5, seed=3)
    else:
        splits = drawn(labels, groups=groups, test_fraction=0.5, seed=3)
    assert len(set(splits.tolist())) == 2
    by_form = splits.reshape(12, 2, 2)
    np.testing.assert_array_equal(by_form[:, 0], by_form[:, 1])
    assert most_folds(labels, groups) == 12
