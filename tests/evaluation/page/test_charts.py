"""Charts: values lie where the axis says, a spike does not stretch it, texts are escaped, XML is sound."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from asae_jax.evaluation.page.charts import Axis, Marks, Series, above, draw, loss_axis
from asae_jax.evaluation.page.curves import chosen_epoch, curves
from tests.training.tiny import tiny_config


def _svg(drawing):
    return ElementTree.fromstring(str(drawing).partition("<ul")[0])


def test_places_on_an_axis():
    linear, log = Axis("", 2.0, 4.0), Axis("", 0.01, 100.0, log=True)
    assert [linear.place(v) for v in (2, 3, 4, 9, -9)] == [0, 0.5, 1, 1, 0]
    assert [log.place(v) for v in (0.01, 1, 10, 1e9)] == pytest.approx([0, 0.5, 0.75, 1])


@pytest.mark.parametrize(
    ("axis", "texts"),
    [
        (Axis("", 0.0, 8.0), ["0", "2", "4", "6", "8"]),
        (Axis("", 0.0, 1.0, percent=True), ["0", "20", "40", "60", "80", "100"]),
        (Axis("", 0.0, 0.0105), ["0", "0.005", "0.01"]),
        (Axis("", 0.05, 2e3, log=True), ["0.1", "1", "10", "100", "1000"]),
        (Axis("", 0.2, 1.6, log=True), ["0.2", "0.5", "1"]),
        (Axis("", 0.9, 1.1, log=True), ["0.9", "0.95", "1", "1.05", "1.1"]),
    ],
)
def test_ticks_are_round(axis, texts):
    assert [text for _, text in axis.ticks()] == texts


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_there_are_a_few_ticks_on_any_axis(seed, log):
    rng = np.random.default_rng(seed)
    low = float(10 ** rng.uniform(-4, 3))
    axis = Axis("", low, low * float(10 ** rng.uniform(0.05, 6)), log=log)
    ticks = [value for value, _ in axis.ticks()]
    assert 2 <= len(ticks) <= 8
    assert axis.low <= ticks[0] < ticks[-1] <= axis.high * (1 + 1e-9)


def test_a_spike_does_not_stretch_the_axis_of_losses():
    falling = (5 * 0.9 ** np.arange(40)).tolist()
    usual = loss_axis("", falling)
    assert usual.log
    assert usual.low < falling[-1]
    assert usual.high > falling[0]
    spiked = [*falling[:20], 1e6, *falling[20:]]
    assert loss_axis("", spiked) == usual
    assert above(usual, Series("", [*range(41)], spiked, 1)) == [(20, 1e6)]


@pytest.mark.parametrize("values", [[0.0, 0.0], [1.0], [-1.0, 2.0], [float("nan"), 1.0], []])
def test_losses_that_a_logarithm_does_not_take(values):
    axis = loss_axis("", values)
    assert axis.low < axis.high
    assert axis.ticks()


def test_what_is_drawn():
    x, y = Axis("x < 1", 0.0, 1.0), Axis("y", 0.0, 10.0)
    series = [
        Series("a & b", [0, 0.5, 1], [0, 5, 50], 1, dots=True, ranges=[(0, 1), (4, 6), (9, 10)]),
        Series("one", [0.5], [5], 2),
    ]
    marks = Marks(upright=(0.5, "here"), level=(5, "five"), diagonal=True, spots=[(1, 0, 2)])
    drawing = draw(x, y, series, marks, said='it says "x"')
    svg = _svg(drawing)
    assert svg.attrib["role"] == "img"
    assert svg.attrib["aria-label"] == 'it says "x"'
    assert "a &amp; b" in drawing
    assert {"x < 1", "y", "here", "five"} <= {text.text for text in svg.iter("text")}
    line = next(svg.iter("polyline")).attrib["points"].split()
    (x0, y0), (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in line)
    assert (x0 + x2) / 2 == pytest.approx(x1, abs=0.1)
    assert (y0 + y2) / 2 == pytest.approx(y1, abs=0.1)  # 50 lies at the end of the axis
    assert len([one for one in svg.iter("circle") if one.attrib["class"] == "dot s1"]) == 3
    assert len([one for one in svg.iter("circle") if one.attrib["class"] == "dot s2"]) == 1
    assert len(re.findall("whisker", drawing)) == 3
    assert len(re.findall(r'class="dot s1" d="M', drawing)) == 1  # the triangle


def _records(kind, steps, **fields):
    return [{"kind": kind, "step": s, "epoch": s / 7, **{k: f(s) for k, f in fields.items()}} for s in steps]


def test_the_epoch_of_a_step():
    training = _records("train", [5, 10, 14])
    assert chosen_epoch(14, training) == 2
    assert chosen_epoch(7, training) == 1
    assert chosen_epoch(9, training) == 1.29
    assert chosen_epoch(7, []) is None


def test_a_training_without_validation_and_one_without_lines():
    training = _records(
        "train", range(2, 20, 2), loss=lambda s: 1 / s, accuracy=lambda s: 0.5, learning_rate=lambda s: 0
    )
    charts = curves(tiny_config(loss__name="focal"), training, [], 2.0)
    assert [chart.title for chart in charts] == ["Loss", "Scores", "Learning rate"]
    assert "training: focal" in charts[0].drawing
    assert "loss, nats (logarithmic)" in charts[0].drawing
    assert "validation" not in charts[0].drawing
    assert "chosen: epoch 2" in charts[0].drawing
    for chart in charts:
        _svg(chart.drawing)
    assert curves(tiny_config(), [], [], None) == []
