"""The probe: its classifiers equal scikit-learn's; where there is nothing to learn, it scores chance."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression as Oracle
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from asae_jax.errors import UserError
from asae_jax.inference.classifiers import (
    NEIGHBOURS,
    PENALTIES,
    LogisticRegression,
    choose_penalty,
    fold_masks,
    nearest_labels,
    nearest_rows,
)
from asae_jax.inference.embed.probe import (
    SCORES,
    Labelled,
    compared_classes,
    probe,
    probe_table,
    without_copies,
)

NAMES = np.array(["BLA", "EBO", "NGS"])


def _drawn(count=90, spread=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    centres = 3 * np.eye(3, 6) + 1
    return centres[labels] + spread * rng.normal(size=(count, 6)), labels


def _labelled(features, labels, **changes):
    given = {
        "groups": None,
        "border": np.random.default_rng(9).normal(size=(len(labels), 12)),
        "predicted": NAMES[labels],
        "trained_on": np.zeros(len(labels), bool),
    } | changes
    return Labelled(features, NAMES[labels], **given)


@pytest.mark.parametrize("penalty", [0.3, 0.01])
def test_logistic_regression_equals_scikit_learn(penalty):
    features, labels = _drawn(spread=2.0)
    found = LogisticRegression(penalty).fit(features, labels, 3)
    scaler = StandardScaler().fit(features)
    oracle = Oracle(C=1 / (len(labels) * penalty), tol=1e-8, max_iter=10_000)
    oracle.fit(scaler.transform(features), labels)
    asked, _ = _drawn(seed=1, spread=2.0)
    wanted = oracle.predict_log_proba(scaler.transform(asked))
    np.testing.assert_allclose(found.log_probs(asked), wanted, atol=0.01)
    np.testing.assert_array_equal(found.predict(asked), wanted.argmax(1))


def test_nearest_neighbours_equal_scikit_learn():
    features, labels = _drawn(spread=2.0)
    asked, _ = _drawn(seed=1, spread=2.0)
    oracle = KNeighborsClassifier(NEIGHBOURS, metric="cosine").fit(features, labels)
    rows, cosines = nearest_rows(features, asked, NEIGHBOURS)
    distances, wanted = oracle.kneighbors(asked)
    np.testing.assert_array_equal(rows, wanted)
    np.testing.assert_allclose(1 - cosines, distances, atol=1e-12)
    votes = np.sort(oracle.predict_proba(asked), axis=1)
    clear = votes[:, -1] > votes[:, -2]  # ties are broken in another way
    assert clear.sum() > 60
    np.testing.assert_array_equal(
        nearest_labels(features, labels, asked)[clear], oracle.predict(asked)[clear]
    )


def test_a_tie_goes_to_the_nearer_class():
    known = np.array([[1, 0.01], [1, 0.02], [1, 0.5], [1, 0.6], [0, 1.0]])
    assert nearest_labels(known, np.array([1, 1, 0, 0, 2]), np.array([[1.0, 0.0]])) == [1]


def test_noise_is_given_a_strong_penalty_and_signal_a_weak_one():
    rng = np.random.default_rng(0)
    noise, labels = rng.normal(size=(90, 30)), np.arange(90) % 3
    assert choose_penalty(noise, labels, 3, groups=None, seed=0) == PENALTIES[0]
    clear, labels = _drawn(spread=0.1)
    assert choose_penalty(clear, labels, 3, groups=None, seed=0) < 0.01


def test_classes_that_lie_apart_are_told_apart():
    found = probe(_labelled(*_drawn(spread=0.1)), NAMES, folds=5, resamples=50, seed=0)
    for name in ("logistic regression", "5 nearest neighbours", "the run itself"):
        scores = found["classifiers"][name]
        assert (scores["accuracy"], scores["macro_f1"]) == (1, 1), name
        count = np.sum(scores["confusion_matrix"])
        assert scores["intervals"] == {"accuracy": [pytest.approx(count / (count + 1.959964**2)), 1]}
    assert found["classifiers"]["largest class"]["balanced_accuracy"] == pytest.approx(1 / 3)
    assert found["classifiers"]["border colours alone"]["accuracy"] < 0.6


def test_permuted_labels_give_chance():
    features, labels = _drawn(count=240, spread=0.1)
    labels = np.random.default_rng(2).permutation(labels)
    found = probe(_labelled(features, labels), NAMES, folds=4, resamples=0, seed=0)
    for name in ("logistic regression", "5 nearest neighbours"):
        # Four standard errors of a share of a third of 240.
        assert abs(found["classifiers"][name]["accuracy"] - 1 / 3) < 4 * np.sqrt(2 / 9 / 240), name


def test_features_that_tell_the_patient_only_are_no_use_between_patients():
    """Each patient has one class: by image the probe finds the patient, by group it cannot."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(12), 10)
    features = rng.normal(size=(12, 20))[patients] + 0.01 * rng.normal(size=(120, 20))
    labels = np.repeat(np.arange(12) % 3, 10)
    by_image = probe(_labelled(features, labels), NAMES, folds=5, resamples=0, seed=0)
    groups = patients.astype(str)
    by_group = probe(_labelled(features, labels, groups=groups), NAMES, folds=4, resamples=100, seed=0)
    score = {name: found["classifiers"]["logistic regression"]["accuracy"]
             for name, found in (("image", by_image), ("group", by_group))}  # fmt: skip
    assert score["image"] == 1
    assert score["group"] < 0.8
    assert by_group["split"] == "by group (12 groups)"
    assert "patient may be on both sides" in by_image["caveats"][0]
    assert not by_group["caveats"]


def test_every_image_is_tested_once_and_no_group_is_divided():
    labels, groups = np.arange(60) % 3, np.arange(60) // 6
    masks = fold_masks(labels, groups=groups, folds=5, seed=0)
    np.testing.assert_array_equal(np.sum(masks, axis=0), 1)
    for mask in masks:
        assert not set(groups[mask]) & set(groups[~mask])


@pytest.mark.parametrize(
    ("labels", "groups", "tested"),
    [
        ([0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2], [2, 1, 1, 1, 1]),  # each group alone has a class: images
        ([0, 0, 1, 1, 0, 1], [0, 0, 1, 1, 2, 2], [2, 2, 2]),  # as many folds as groups
        ([0, 0, 1], None, [1, 1]),  # the single image of a class is in none
        ([0, 1, 2], None, [0, 0]),
    ],
)
def test_there_are_as_many_folds_as_can_be_tested(labels, groups, tested):
    groups = None if groups is None else np.array(groups)
    assert [
        int(mask.sum()) for mask in fold_masks(np.array(labels), groups=groups, folds=5, seed=0)
    ] == tested


def test_what_is_not_compared_is_named():
    features, labels = _drawn(count=30)
    rows = np.flatnonzero((labels != 2) | (np.arange(30) < 9))  # three of the third class
    seen = np.cumsum(labels[rows] != 2) <= 7  # of the others, and all three that are not compared
    given = _labelled(features[rows], labels[rows], trained_on=seen | (labels[rows] == 2))
    found = probe(given, NAMES, folds=5, resamples=0, seed=0)
    assert found["left_out"] == {"too_few_images": {"NGS": 3}, "in_one_group": {}}
    assert found["classes"] == {"BLA": 10, "EBO": 10}
    table = probe_table(found)
    assert "too few images to compare: NGS 3" in table
    assert "7 of these images are among those the run was trained on" in table
    unknown = _labelled(features[rows], labels[rows], trained_on=None)
    assert "cannot be told" in probe_table(probe(unknown, NAMES, folds=5, resamples=0, seed=0))


def test_a_class_of_one_patient_is_left_out_for_that_reason():
    features, labels = _drawn(count=60)
    groups = np.where(labels == 2, "p0", np.char.add("p", (np.arange(60) % 12).astype(str)))
    rows = np.arange(60) < 57
    found = probe(_labelled(features[rows], labels[rows], groups=groups[rows]), NAMES, folds=3, resamples=9,
                  seed=0)  # fmt: skip
    assert found["left_out"] == {"too_few_images": {}, "in_one_group": {"NGS": 19}}
    table = probe_table(found)
    assert "note: of one patient or slide only, so not compared: NGS 19" in table
    assert "too few" not in table


@pytest.mark.parametrize(
    ("patients", "resamples", "over", "said"),
    [
        (4, 50, "none: fewer than 5 groups", "Only 4 groups: no intervals, which take 5 or more."),
        (7, 100, "groups", "Only 7 groups: no interval is sure."),
        (12, 100, "groups", ""),
        (12, 99, "groups", "Only 99 resamples (eval.bootstrap): intervals by bootstrap are too narrow."),
        (7, 0, "none: eval.bootstrap=0", ""),
        (None, 100, "images", ""),
        (None, 0, "none: eval.bootstrap=0", ""),
    ],
)
def test_what_the_intervals_are_of_and_worth_is_said(patients, resamples, over, said):
    features, labels = _drawn(spread=2.0)
    groups = None if patients is None else (np.arange(90) // 3 % patients).astype(str)
    given = _labelled(features, labels, groups=groups)
    found = probe(given, NAMES, folds=3, resamples=resamples, seed=0)
    assert found["intervals_over"] == over
    assert [caveat for caveat in found["caveats"] if "Only" in caveat] == ([said] if said else [])
    has = set(found["classifiers"]["logistic regression"]["intervals"])
    assert has == (set() if over.startswith("none") else set(SCORES))
    assert ("95 % intervals" in probe_table(found)) == bool(has)
    assert said in probe_table(found)


def test_patients_that_no_fold_tests_are_counted():
    """Each two of three patients share a class: one of two folds gets two of them, and one has to leave."""
    labels = np.repeat([0, 2, 0, 1, 1, 2], 4)
    features = np.random.default_rng(0).normal(size=(24, 6))
    given = _labelled(features, labels, groups=np.repeat(list("ppqqrr"), 4))
    found = probe(given, NAMES, folds=2, resamples=50, seed=0)
    assert (found["images"], found["tested_in_no_fold"]) == (16, {"images": 8, "groups": 1})
    assert sum(found["classes"].values()) == 16
    assert found["split"] == "by group (2 groups)"
    table = probe_table(found)
    assert (
        "tested in no fold, as without them a class would have nothing to train on: 1, with 8 images" in table
    )
    assert "Only 2 groups: no intervals" in table
    whole = probe(given, NAMES, folds=3, resamples=0, seed=0)  # a fold for each
    assert (whole["images"], whole["tested_in_no_fold"]) == (24, {"images": 0, "groups": 0})
    assert "in no fold" not in probe_table(whole)


@pytest.mark.parametrize(
    ("labels", "groups"),
    [(["a"] * 9, None), (["", ""], None), (["a"] * 5 + ["b"] * 2, None), (["a"] * 5 + ["b"] * 5, ["p"] * 10)],
)
def test_too_little_to_compare_is_refused(labels, groups):
    with pytest.raises(UserError, match="--probe needs two classes of at least 3 labelled images"):
        compared_classes(labels, groups, folds=3)
    assert compared_classes(["a", "b"] * 3, list("ppqqrr"), folds=3) == ["a", "b"]


def test_copies_are_probed_once_and_one_file_under_two_labels_not_at_all():
    contents = np.array([b"a", b"b", b"a", b"c", b"c", b"", b""])
    labels = np.array(["X", "Y", "X", "X", "Y", "X", "X"])
    assert without_copies(contents, labels).tolist() == [True, True, False, False, False, True, True]


def test_how_many_copies_were_left_out_is_said():
    given = _labelled(*_drawn(), copies=3)
    found = probe(given, NAMES.tolist(), folds=3, resamples=0, seed=0)
    (said,) = [sentence for sentence in found["caveats"] if "left out" in sentence]
    assert said.startswith("3 images left out: the same file")
