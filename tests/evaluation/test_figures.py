"""Figures: what is drawn, and that nothing heavy is imported before."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.special import log_softmax

from asae_jax.evaluation import figures, metrics
from asae_jax.evaluation.abstention import NEVER, Abstention
from asae_jax.evaluation.metrics import evaluate_scores

RNG = np.random.default_rng(0)
LOGITS, LABELS = RNG.normal(size=(50, 3)), RNG.integers(3, size=50)


def test_nothing_heavy_is_imported_before_a_figure_is_drawn_or_a_temperature_fitted():
    code = (
        "import sys, asae_jax.evaluation.uncertainty_report\n"
        "assert not {'matplotlib', 'scipy.stats', 'scipy.optimize'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_figure_is_a_png_that_says_what_it_is_not_for(tmp_path, monkeypatch):
    notices = []
    monkeypatch.setattr("matplotlib.figure.Figure.supxlabel", lambda self, text, **_: notices.append(text))
    log_probs = LOGITS - np.log(np.exp(LOGITS).sum(1, keepdims=True))
    scores = evaluate_scores(log_probs, LABELS, ["a", "b", "c"], bootstrap=0)
    records = [
        {"epoch": e, "loss": 1.0, "nll": 1.0, "accuracy": 0.5, "macro_f1": 0.4, "learning_rate": 0.1}
        for e in (1, 2)
    ]
    confidence, correct = np.exp(log_probs).max(1), LOGITS.argmax(1) == LABELS
    figures.plot_confusion(scores, (2, 0, 1), tmp_path / "new" / "confusion.png", title="t")
    figures.plot_per_class(scores, (2, 0, 1), tmp_path / "per_class.png", title="t")
    assert figures.drawn_score("weighted_f1", [{"weighted_f1": 0.5}]) == "weighted_f1"
    assert figures.drawn_score("weighted_f1", [{"macro_f1": 0.5}]) == "macro_f1"
    assert figures.drawn_score("nll", [{"nll": 0.5}]) == "macro_f1"
    figures.plot_curves(records, [], tmp_path / "curves.png")
    figures.plot_reliability(LOGITS, LABELS, 1.5, tmp_path / "reliability.png", title="t")
    for threshold in (0.5, NEVER):
        rule = Abstention(threshold, 0.05, 0.0, 0.5, 0.1, (0.0, 1.0))
        figures.plot_risk_coverage(
            {"validation": (confidence, correct)}, rule, tmp_path / f"risk_{threshold}.png"
        )
    written = [*tmp_path.rglob("*.png")]
    assert len(written) == 6
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
    assert notices == ["For research, not a diagnosis."] * 6
    assert not figures.pyplot().get_fignums()  # each is freed


def test_classes_are_drawn_in_the_order_to_show_them(tmp_path, monkeypatch):
    scores = evaluate_scores(LOGITS - np.log(np.exp(LOGITS).sum(1, keepdims=True)), LABELS, ["a", "b", "c"],
                             bootstrap=0)  # fmt: skip
    order, drawn = (2, 0, 1), {}

    def keep(figure, path):
        (axes,) = figure.axes
        drawn[path.name] = [[text.get_text() for text in axes.get_yticklabels()], axes.images]

    monkeypatch.setattr(figures, "save", keep)
    figures.plot_confusion(scores, order, tmp_path / "confusion", title="t")
    figures.plot_per_class(scores, order, tmp_path / "per_class", title="t")
    names, (picture,) = drawn["confusion"]
    assert names == ["c", "a", "b"]
    counts = np.array(scores["confusion_matrix"], float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    for row, true in enumerate(order):
        for column, predicted in enumerate(order):
            assert picture.get_array()[row, column] == shares[true, predicted]
    assert [name[0] for name in drawn["per_class"][0]] == ["c", "a", "b"]


def test_of_very_many_classes_the_largest_are_drawn(tmp_path, monkeypatch):
    """A matrix of 1,000 classes needs more memory than most machines have."""
    labels, predicted, drawn = [0] + [1] * 4 + [2] * 4, [0, 1, 1, 1, 0, 2, 2, 1, 0], {}
    scores = evaluate_scores(
        np.log(np.eye(3)[predicted] + 1e-9), np.array(labels), ["a", "b", "c"], bootstrap=0
    )
    monkeypatch.setattr(metrics, "SHOWN_CLASSES", 2)
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.update({path.name: figure}))
    figures.plot_confusion(scores, (2, 0, 1), tmp_path / "confusion", title="t")
    figures.plot_per_class(scores, (2, 0, 1), tmp_path / "per_class", title="t")
    (axes,) = drawn["confusion"].axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["c", "b"]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[2 / 4, 1 / 4], [0, 3 / 4]])
    assert drawn["confusion"].get_suptitle() == "t: the 2 largest of 3 classes"
    (axes,) = drawn["per_class"].axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["c (4)", "b (4)"]


@pytest.mark.filterwarnings("ignore:no installed font")
def test_class_names_of_every_kind_are_drawn(tmp_path):
    """Half a formula, Latin-1 bytes, Chinese, 300 letters: as they are, a fault, boxes or no room."""
    names = [r"$\frac{$", b"bl\xe4tt".decode("utf-8", "surrogateescape"), "淋巴细胞", "sehr lang " * 30]
    rng = np.random.default_rng(0)
    log_probs = log_softmax(rng.normal(size=(40, 4)), axis=1)
    scores = evaluate_scores(log_probs, np.arange(40) % 4, names, bootstrap=0)
    for number, plot in enumerate((figures.plot_confusion, figures.plot_per_class)):
        plot(scores, range(4), tmp_path / f"{number}.png", title=f"{names[0]} of {names[1]}")
        with Image.open(tmp_path / f"{number}.png") as picture:
            assert max(picture.size) < 1500
