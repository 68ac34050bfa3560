import numpy as np
import pytest

from asae_jax.evaluation.abstention import NEVER, choose_abstention, fewest_images, least_error, risk_coverage

CONFIDENCE = np.array([0.9, 0.2, 0.6, 0.8, 0.4])
CORRECT = np.array([True, False, False, True, True])


def test_the_curve_by_hand():
    curve = risk_coverage(CONFIDENCE, CORRECT)
    np.testing.assert_array_equal(curve.thresholds, [0.9, 0.8, 0.6, 0.4, 0.2])
    np.testing.assert_allclose(curve.coverage, [0.2, 0.4, 0.6, 0.8, 1])
    np.testing.assert_allclose(curve.risk, [0, 0, 1 / 3, 1 / 4, 2 / 5])
    assert curve.area == pytest.approx((1 / 3 + 1 / 4 + 2 / 5) / 5)


def test_equal_confidences_share_one_point_and_count_by_chance():
    curve = risk_coverage(np.array([0.7, 0.7, 0.7, 0.7]), np.array([True, False, True, False]))
    np.testing.assert_allclose(curve.coverage, [1])
    np.testing.assert_allclose(curve.risk, [0.5])
    assert curve.area == pytest.approx(0.5)


def test_equal_confidences_have_the_mean_area_of_all_their_orders():
    rng = np.random.default_rng(0)
    confidence, correct = rng.integers(1, 4, 12) / 4, rng.random(12) < 0.6
    broken = [risk_coverage(confidence + 1e-6 * rng.random(12), correct).area for _ in range(3000)]
    assert risk_coverage(confidence, correct).area == pytest.approx(np.mean(broken), abs=0.003)


@pytest.mark.parametrize(
    ("target", "threshold", "coverage", "error"),
    [(0.0, 0.8, 0.4, 0.0), (0.25, 0.4, 0.8, 0.25), (0.3, 0.4, 0.8, 0.25), (0.5, 0.2, 1.0, 0.4)],
)
def test_the_threshold_labels_as_many_as_the_target_allows(target, threshold, coverage, error):
    """Also where a lower threshold is better than a higher one, as 0.4 is than 0.6 here."""
    chosen = choose_abstention(CONFIDENCE, CORRECT, target_error=target)
    assert (chosen.threshold, chosen.coverage, chosen.error) == pytest.approx((threshold, coverage, error))


def test_a_target_out_of_reach_leaves_everything_to_a_person():
    chosen = choose_abstention(CONFIDENCE, ~CORRECT, target_error=0.1)
    assert (chosen.threshold, chosen.coverage, chosen.error) == (NEVER, 0, 0)
    assert chosen.error_interval == (0, 1)


def _honest(rng, n):
    confidence = rng.uniform(0.3, 1, n)
    return confidence, rng.random(n) < confidence


def test_with_certainty_the_true_error_exceeds_the_target_no_oftener_than_promised():
    """The true error above threshold t is (1 - t) / 2 for these confidences: known without sampling.

    Three in seven of the images could be labelled at an error of 0.15.
    """
    rng, promised, plain = np.random.default_rng(0), [], []
    for _ in range(150):
        sample = _honest(rng, 400)
        for certainty, errors in ((0.8, promised), (0.0, plain)):
            threshold = choose_abstention(*sample, target_error=0.15, certainty=certainty).threshold
            errors.append((1 - min(threshold, 1)) / 2)
    assert np.mean(np.array(promised) > 0.15) <= 0.2
    assert np.mean(np.array(plain) > 0.15) > 0.3  # what choosing on the same images costs
    assert np.mean(promised) > 0.09  # and still most of what is allowed is used


def test_certainty_asks_for_more_images_than_a_handful():
    confidence, correct = np.linspace(0.5, 1, 20), np.full(20, True)
    assert choose_abstention(confidence, correct, target_error=0.05, certainty=0.95).threshold == NEVER
    assert choose_abstention(confidence, correct, target_error=0.05).coverage == 1


@pytest.mark.parametrize(
    ("target", "certainty", "fewest"), [(0.05, 0.8, 32), (0.1, 0.8, 16), (0.05, 0.95, 59), (0.001, 0.5, 693)]
)
def test_the_fewest_images_that_allow_a_promise(target, certainty, fewest):
    assert fewest_images(target, certainty) == fewest
    for count, coverage in ((fewest - 1, 0), (fewest, 1)):
        confidence, correct = np.linspace(0.5, 1, count), np.full(count, True)
        found = choose_abstention(confidence, correct, target_error=target, certainty=certainty)
        assert found.coverage == coverage
    assert fewest_images(target, 0.0) == 1


@pytest.mark.parametrize(("images", "share"), [(1, 0.8), (10, 0.15), (15, 0.11), (16, 0.1), (32, 0.05)])
def test_the_least_error_that_images_allow(images, share):
    assert least_error(images, 0.8) == share
    assert fewest_images(share, 0.8) <= images < fewest_images(share - 0.01, 0.8)


def test_a_promise_of_the_least_error_is_kept_by_that_many_images():
    for certainty in (0.5, 0.8, 0.95, 0.99):
        for images in range(1, 400):
            if least_error(images, certainty) == 1:
                continue
            assert fewest_images(least_error(images, certainty), certainty) <= images
    assert least_error(1, 0.999) == 1
    assert least_error(5, 0.0) == 0.01


def test_a_mistake_among_the_surest_images_does_not_end_the_search():
    """Of 1,000 images the 5th surest is wrong, and every third of the least sure half."""
    correct = np.ones(1000, bool)
    correct[4] = False
    correct[500::3] = False
    found = choose_abstention(np.linspace(1, 0.3, 1000), correct, target_error=0.05, certainty=0.8)
    assert found.coverage == 0.55  # 18 of 550 wrong; of 600 it would be 35
    wrong = 1 + np.ceil((0.55 * 1000 - 500) / 3)
    assert found.error == pytest.approx(wrong / 550)


def test_a_mistake_among_the_surest_of_few_images_does_not_end_the_search():
    """Of 300 images the 10th surest is wrong: the search begins at 60, where one error keeps the bound."""
    correct = np.ones(300, bool)
    correct[9] = False
    found = choose_abstention(np.linspace(1, 0.3, 300), correct, target_error=0.05, certainty=0.8)
    assert (found.coverage, found.error) == (1, pytest.approx(1 / 300))


def test_more_mistakes_among_the_surest_images_do_not_end_it_where_there_are_more_images():
    """Of 1,000 images 4 of the 80 surest are wrong (no bound keeps 5 %), and every second from the 700th."""
    correct = np.ones(1000, bool)
    correct[[2, 29, 51, 77]] = False
    correct[700::2] = False
    found = choose_abstention(np.linspace(1, 0.3, 1000), correct, target_error=0.05, certainty=0.8)
    assert found.coverage == 0.7  # of 750 it would be 29: too many, as a third of the risk is left
    assert found.error == pytest.approx(4 / 700)


def test_who_can_label_the_surest_fifth_alone_is_given_it():
    correct = np.ones(500, bool)
    correct[100::2] = False
    found = choose_abstention(np.linspace(1, 0.3, 500), correct, target_error=0.05, certainty=0.8)
    assert (found.coverage, found.error) == (0.2, 0)


@pytest.mark.parametrize(
    ("total", "surest"), [(60, 0), (250, 0), (400, 0), (400, 100), (1500, 0), (1500, 300)]
)
def test_a_target_that_is_missed_is_found_kept_no_oftener_than_promised(total, surest):
    """All coverages past the surest miss the target of 5 % by a hair: each that is found is a false promise.

    Where every coverage misses it, and where the search comes from some that keep it.
    """
    rng, rounds = np.random.default_rng(0), 2000
    risk = np.full(total, 0.0502)
    risk[:surest] = 0.0502 / 2
    risk[surest : 2 * surest] = 0.0502 * 1.5
    true_risk = np.cumsum(risk) / np.arange(1, total + 1)
    broken = 0
    for wrong in rng.random((rounds, total)) < risk:
        found = choose_abstention(np.linspace(1, 0.3, total), ~wrong, target_error=0.05, certainty=0.8)
        broken += found.coverage > 0 and true_risk[round(found.coverage * total) - 1] > 0.05
    assert broken / rounds <= 0.2 + 3 * np.sqrt(0.2 * 0.8 / rounds)
