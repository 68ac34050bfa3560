"""What the page of `explain` answers first, for maps and losses whose answer is known."""

import numpy as np
import pytest

from asae_jax.inference.alignment import Alignment
from asae_jax.inference.explain import answers, report
from asae_jax.inference.explain.explanations import ClassMaps
from asae_jax.inference.explain.faithfulness import Measured
from asae_jax.input.cell_classes import cell_classes
from tests.browser.made_pages import explain_page

CLASSES = ("BLA", "EBO", "LYT")
MAPS = 2 * (Alignment(4, 32, 8, 4),)


def _means(*, counts, peaks, cam):
    return {
        label: ClassMaps(count, np.zeros((32, 32, 3)), np.zeros((4, 4)), peak, cam)
        for label, (count, peak) in enumerate(zip(counts, peaks, strict=True))
    }


def _at(row, col):
    peak = np.zeros((4, 4))
    peak[row, col] = 1
    return peak


def test_where_counts_images_and_not_classes():
    means = _means(counts=(30, 10), peaks=(_at(1, 2), _at(0, 2)), cam=np.ones((4, 4)))
    text = answers.where(means, MAPS, layer=True).replace("\N{NO-BREAK SPACE}", " ")
    assert "In 75 % of 40 images the highest self-attention lies in the middle" in text
    assert "25 % of the map's positions" in text
    assert "Of Grad-CAM's weight 25 % is there, on 25 % of the area." in text


def test_where_a_map_says_nothing_nothing_is_said_of_it():
    means = _means(counts=(2,), peaks=(_at(3, 3),), cam=np.zeros((4, 4)))
    text = answers.where(means, MAPS, layer=False).replace("\N{NO-BREAK SPACE}", " ")
    assert "In 0 % of 2 images the highest activation" in text
    assert "Grad-CAM" not in text


def _report(lost, resamples=200):
    """Of images that lose `lost[class]` of 0.9 by the peak, and nothing at random or in the middle."""
    labels = np.repeat(np.arange(len(lost)), 20)
    noise = np.random.default_rng(0).normal(0, 0.001, len(labels))
    after = np.full((len(labels), 5), 0.9)
    after[:, 0] -= np.array(lost)[labels] + noise
    measured = Measured(
        rows=np.arange(len(labels)),
        labels=labels,
        before=np.full(len(labels), np.log(0.9)),
        after=np.log(after),
        change=np.ones((len(labels), 5)),
        share=np.full((len(labels), 5), 0.1),
    )
    return report.summarise(measured, CLASSES, groups=None, resamples=resamples, seed=0)


@pytest.mark.parametrize(
    ("lost", "colour", "word", "middle"),
    [
        ((0.5,), "good", "Yes", "more than"),
        ((0.0,), "open", "cannot tell", "not surely "),
        ((-0.05,), "bad", "No", "less than"),
    ],
)
def test_whether_it_is_needed_is_read_from_the_interval(lost, colour, word, middle):
    found = _report(lost)
    verdict = answers.is_needed(found)
    assert verdict.colour == colour
    assert word in verdict.text
    assert middle in answers.against_the_middle(found)


def test_few_patients_are_the_reason_where_they_are():
    """And not few images, of which more would not help."""
    few = _report((0.5,)) | {"intervals_over": "none: fewer than 5 groups"}
    few["overall"]["difference"]["probability"]["peak - random"] = {"mean": -0.02, "interval": None}
    assert "fewer than 5 patients or slides" in answers.is_needed(few).text


def test_that_no_intervals_were_asked_for_is_said():
    """And not that the images are too few, or all alike."""
    found = _report((0.5,), resamples=0)
    assert found["intervals_over"] == "none: eval.bootstrap=0"
    assert answers.is_needed(found).text == (
        "These images cannot tell: no intervals were asked for (eval.bootstrap=0)."
    )


@pytest.mark.parametrize(
    ("mean", "interval", "said"),
    [
        (-0.02, None, "less than hiding as much in the middle; there is no interval"),
        (0.02, None, "more than hiding as much in the middle; there is no interval"),
        (0.0, None, "no more than hiding as much in the middle; there is no interval"),
        (-0.02, [-0.05, 0.01], "not surely less than hiding as much in the middle"),
        (0.02, [-0.01, 0.05], "not surely more than hiding as much in the middle"),
        (-0.02, [-0.03, -0.01], "less than hiding as much in the middle"),
        (0.02, [0.01, 0.03], "more than hiding as much in the middle"),
    ],
)
def test_the_middle_is_compared_in_the_direction_that_was_found(mean, interval, said):
    found = _report((0.5,))
    found["overall"]["difference"]["probability"]["peak - centre"] = {"mean": mean, "interval": interval}
    assert answers.against_the_middle(found) == f"That is {said}."


@pytest.mark.parametrize(
    ("peak", "random", "said"),
    [
        (0.0346, 0.0184, "costs the true class 0.035 of its probability, the same region at random 0.018 "
         "(difference before rounding 0.016 [0.010, 0.022])"),
        (0.0346, 0.0176, "0.035 of its probability, the same region at random 0.018 (difference 0.017 [0.0"),
    ],
)  # fmt: skip
def test_a_difference_that_does_not_add_up_as_printed_is_one_before_rounding(peak, random, said):
    found = _report((0.5,))
    loss, difference = (found["overall"][name]["probability"] for name in ("loss", "difference"))
    loss["peak"], loss["random"] = {"mean": peak}, {"mean": random}
    difference["peak - random"] = {"mean": peak - random, "interval": [0.0101, 0.0219]}
    assert said in report.sentence(found)


@pytest.mark.parametrize(("resamples", "interval"), [(50, [0.01, 0.02]), (50, None), (1000, [0.01, 0.02])])
def test_too_few_resamples_are_pointed_out_where_there_is_an_interval(resamples, interval):
    found = _report((0.5,)) | {"resamples": resamples}
    found["overall"]["difference"]["probability"]["peak - random"] = {"mean": 0.015, "interval": interval}
    told = "Only 50 resamples (eval.bootstrap): intervals by bootstrap are too narrow."
    assert (told in report.sentence(found)) == (resamples == 50 and interval is not None)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_few_images_cannot_tell(count):
    labels, before = np.zeros(count, int), np.log(np.full(count, 0.9))
    after = np.log(np.tile([0.1, 0.2, 0.3, 0.8, 0.8], (count, 1)))
    measured = Measured(
        np.arange(count), labels, before, after, change=np.ones((count, 5)), share=np.ones((count, 5))
    )
    found = report.summarise(measured, CLASSES, groups=None, resamples=10, seed=0)
    assert answers.is_needed(found).colour == "open"
    assert [line.verdict.text for line in answers.by_class(found, cell_classes(CLASSES))] == ["no interval"]


def test_classes_that_lose_most_come_first():
    lines = answers.by_class(_report((0.1, 0.6, -0.05)), cell_classes(CLASSES))
    assert [line.title for line in lines] == ["EBO erythroblast", "BLA blast", "LYT lymphocyte"]
    assert [line.verdict.colour for line in lines] == ["good", "good", "bad"]
    np.testing.assert_allclose([line.peak for line in lines], (0.6, 0.1, -0.05), atol=0.002)
    np.testing.assert_allclose([line.random for line in lines], 0, atol=1e-12)


def test_the_page_answers_or_says_why_not(tmp_path):
    page = explain_page(tmp_path).read_text()
    asked = [page.index(f"<h2>{question}") for question in (
        "Where does it look?", "Is that needed?", "On which classes?", "Means of each class")]  # fmt: skip
    assert asked == sorted(asked)
    assert "Yes: hiding it costs" in page
    untested = explain_page(tmp_path, tested=False).read_text()
    assert "Not tested." in untested
    assert "On which classes?" not in untested
    assert "The test in numbers" not in untested


@pytest.mark.parametrize(
    ("value", "text"), [(-0.0004, "0.000"), (0.0, "0.000"), (-0.0006, "-0.001"), (1.5, "1.500")]
)
def test_no_number_is_minus_zero(value, text):
    assert report.three(value) == text
