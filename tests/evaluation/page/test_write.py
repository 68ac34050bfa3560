"""The run's page and that of another laboratory: their numbers are those of the files beside them."""

import csv
import errno
import html.parser
import json
import re
from pathlib import Path

import numpy as np
import pytest

from asae_jax import cli
from asae_jax.evaluation.label_errors import suspected_labels
from asae_jax.evaluation.metrics import wilson_interval
from asae_jax.evaluation.page import gallery, write
from asae_jax.evaluation.predictions import read_predictions
from asae_jax.evaluation.shares import fixed
from asae_jax.run.run import Run, open_run
from tests.edited import edited, unsealed
from tests.evaluation.page.made_run import CLASSES, EACH, STEP, evaluated, evaluated_elsewhere, made_run

ORDER = [2, 1, 0, 3]
"""Of the classes as people look at them: promyelocyte, segmented neutrophil, monocyte, what is unknown."""

pytestmark = pytest.mark.filterwarnings("ignore:left out")


@pytest.fixture(autouse=True)
def _checkpoint(monkeypatch):
    """The made run has none."""
    monkeypatch.setattr(Run, "step", STEP)


class Page(html.parser.HTMLParser):
    """What a reader sees: tables as rows of texts, and the text of each section by its id."""

    def __init__(self, path):
        super().__init__()
        self.text = path.read_text(encoding="utf-8")
        self.tables, self.sections, self._section, self._row = [], {}, "", None
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        if tag == "section":
            self._section = dict(attrs).get("id", "warned")
            self.sections[self._section] = ""
        if tag == "table":
            self.tables.append((self._section, []))
        if tag == "tr":
            self._row = []
            self.tables[-1][1].append(self._row)
        if tag in ("td", "th"):
            self._row.append("")

    def handle_endtag(self, tag):
        if tag == "tr":
            self._row = None

    def handle_data(self, data):
        if self._row:
            self._row[-1] += data
        if self._section:
            self.sections[self._section] += data

    def rows(self, section):
        """Of the table in a section, with white space made one space."""
        table = next(rows for name, rows in self.tables if name == section)
        return [[" ".join(cell.split()) for cell in row] for row in table]

    def said(self, section):
        return " ".join(self.sections[section].split())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("page")
    made_run(place)
    assert evaluated_elsewhere(place) == 0
    return place


@pytest.fixture(scope="module")
def page(place):
    return Page(place / "run" / "index.html")


@pytest.fixture(scope="module")
def theirs(place):
    return Page(place / "run" / "evaluation" / "theirs.html")


def _scores(place, name):
    return json.loads((place / "run" / "evaluation" / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ["test", "theirs"])
def test_the_confusion_matrix_has_counts_and_shares_in_the_order_of_maturity(place, page, theirs, name):
    rows = (page if name == "test" else theirs).rows("confusion")
    counts = np.array(_scores(place, name)["confusion_matrix"])[np.ix_(ORDER, ORDER)]
    assert rows[0][1:] == [*(CLASSES[c] for c in ORDER), "all"]
    assert [row[0] for row in rows[1:]] == [*(CLASSES[c] for c in ORDER), "all"]
    for row, expected, number in zip(rows[1:-1], counts, range(4), strict=True):
        total = expected.sum()
        shares = [fixed(100 * n / max(total, 1), 0) for n in expected]
        shown = [f"{n}{shares[c]} %" if n else "0" * (c == number) for c, n in enumerate(expected)]
        assert row[1:] == [*shown, str(total)]
    assert rows[-1][1:] == [*map(str, counts.sum(0)), str(counts.sum())]


def test_the_scores_of_each_class_are_those_of_the_file_with_intervals(place, page):
    scores = _scores(place, "test")
    counts = np.array(scores["confusion_matrix"])
    for row, c in zip(page.rows("classes")[1:], ORDER, strict=True):
        of_class = scores["per_class"][CLASSES[c]]
        assert row[0].startswith(CLASSES[c])
        assert int(row[1]) == of_class["support"]
        for cell, field, total in (
            (row[2], "recall", counts[c].sum()),
            (row[3], "precision", counts[:, c].sum()),
        ):
            low, high = wilson_interval(counts[c, c], total)
            value, low, high = (fixed(100 * one, 0) for one in (of_class[field], low, high))
            assert cell == f"{value} [{low}, {high}]"
        assert row[4].startswith(f"{fixed(100 * of_class['f1'], 0)} ")
    assert "Intervals follow from the confusion matrix" in page.said("classes")
    assert "is in the files beside this page, or follows from them" in page.text


def test_classes_have_their_full_names(page):
    assert [row[0] for row in page.rows("classes")[1:]] == [
        "PMO promyelocyte", "NGS segmented neutrophil", "MON monocyte", "x<i>y",
    ]  # fmt: skip


def test_the_data_are_counted_as_the_split_says(place, page):
    with (place / "run" / "splits.csv").open() as file:
        recorded = [*csv.DictReader(file)]
    rows = page.rows("data")
    assert rows[0] == ["class", "train", "validation", "test", "total"]
    for row, c in zip(rows[1:5], ORDER, strict=True):
        expected = [
            sum(r["label"] == CLASSES[c] and r["split"] == part for r in recorded) for part in rows[0][1:4]
        ]
        assert row[1:] == [*map(str, expected), str(EACH)]
    assert rows[5][-1] == str(4 * EACH)
    assert "are not known" in page.said("data")


def test_the_summary_is_what_is_printed(place, page, capsys):
    assert evaluated(place) == 0
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if line.startswith("test: "))
    assert line.removeprefix("test") in page.said("short")
    for line in printed.partition("how far to trust it")[2].splitlines()[1:4]:
        assert line.strip()[1:] in page.said("trust")


def test_the_chosen_epoch_is_marked_and_a_spike_does_not_crush_the_curve(page):
    """Step 12 of 4 an epoch is epoch 3. But for the spike losses go from 0.1 to 1."""
    assert "after epoch 3 of 5" in page.said("training")
    assert page.said("curves").count("chosen: epoch 3") == 2
    assert "1 value lies above the axis, drawn as triangles; the highest is 4321, at epoch 2.5" in page.said(
        "curves"
    )
    line = next(re.finditer(r'class="line s1" points="([^"]+)"', page.text))[1]
    heights = [float(point.split(",")[1]) for point in line.split()]
    without = [height for height in heights if height != min(heights)]
    assert max(without) - min(without) > 100  # of 270


def test_suspected_labels_are_listed_for_a_reviewer(place, page):
    parts = {name: read_predictions(place / "run" / "evaluation" / f"{name}_predictions.csv", CLASSES)
             for name in ("validation", "test")}  # fmt: skip
    labels = np.concatenate([part.labels for part in parts.values()])
    probabilities = np.concatenate([part.probabilities for part in parts.values()])
    found = suspected_labels(probabilities, labels)
    names = np.concatenate([part.names for part in parts.values()])
    with (place / "run" / "evaluation" / "suspected_labels.csv").open() as file:
        rows = [*csv.DictReader(file)]
    assert [row["path"] for row in rows] == names[found.rows].tolist()
    assert [row["suggested"] for row in rows] == [CLASSES[c] for c in found.suggested]
    assert [row["label"] for row in rows] == [CLASSES[c] for c in labels[found.rows]]
    assert rows[0]["p_label"] == f"{probabilities[found.rows[0], labels[found.rows[0]]]:.6f}"
    assert {row["split"] for row in rows} == {"validation", "test"}
    assert f"{len(rows)} of {len(labels)} validation and test images" in page.said("labels")


def test_the_surest_mistakes_come_first(place, page):
    test = read_predictions(place / "run" / "evaluation" / "test_predictions.csv", CLASSES)
    wrong = test.predicted != test.labels
    surest = test.names[wrong][np.argmax(test.probabilities.max(1)[wrong])]
    said = page.said("mistakes")
    assert f"{wrong.sum()} of {len(wrong)} test images" in said
    assert min(name for name in test.names[wrong] if name in said)
    assert said.index(surest) == min(said.index(name) for name in test.names[wrong])


def test_pictures_of_the_galleries_are_the_cells(place, page):
    data = open_run(place / "run").data
    uri = re.search(r'<img src="(data:image/jpeg;base64,[^"]+)" alt="cell labelled ([^"]+)"', page.text)
    name = re.search(r'class="path" title="([^"]+)"', page.text[uri.end() :])[1].replace("&lt;b&gt;", "<b>")
    assert gallery.pictures(data.index, [name]) == {name: uri[1]}


def test_the_page_is_self_contained_and_escaped(page, theirs):
    for one in (page, theirs):
        assert "default-src 'none'" in one.text
        assert not re.search(r"<script|https?://", one.text)
        assert "x<i>y" not in one.text
        assert "x&lt;i&gt;y" in one.text
        assert one.text.count("For research, not a diagnosis.") == 2
        assert len(one.text) < 5_000_000


def test_the_commands_are_understood_by_the_command_line(place, page):
    lines = re.findall(r"<pre[^>]*><code>(.+?)</code>", page.text)
    commands = [html.unescape(re.sub("<[^>]+>", "", line)) for line in lines]
    assert [command.split()[1] for command in commands] == ["predict", "explain", "evaluate", "export"]
    for command in commands:
        call = cli.parse(command.split()[1:])
        assert call.workdir == place / "run"
        assert call.config.data.path == str(place / "own")  # taken from the run folder
    assert cli.parse(commands[2].split()[1:]).config.eval.source == "folder"


def test_another_laboratory_is_warned_of_where_its_cells_look_different(place, theirs):
    scores = _scores(place, "theirs")
    assert scores["uncertainty"]["outliers"] == {"count": 60, "of": 60, "share": 1.0,
                                                 "interval": list(wilson_interval(60, 60))}  # fmt: skip
    warned = theirs.said("warned")
    assert "does not know ERB (3)" in warned
    assert "No image of x<i>y here" in warned
    assert "100.0 % of them do, and the limit was set for at most 5.0 % of the run's own validation" in warned
    assert "The threshold does not hold here" in warned
    assert "may be its mistakes" in theirs.said("labels")
    assert [row[1] for row in theirs.rows("data")[1:5]] == ["10", "20", "30", "0"]
    assert (place / "run" / "evaluation" / "theirs_suspected_labels.csv").exists()
    assert theirs.said("data").endswith("3 files were left out, listed in theirs_skipped.csv.")


def test_the_runs_page_lists_other_evaluations_and_they_lead_back(place):
    page, theirs = (
        Page(place / "run" / "index.html"),
        (place / "run" / "evaluation" / "theirs.html").read_text(),
    )
    rows = page.rows("others")
    assert [row[0] for row in rows] == ["name", "theirs"]
    of, step, images = rows[1][1:4]
    assert (of.partition("; ")[0], step, images) == (str(place / "theirs"), str(STEP), "60")
    assert 'href="evaluation/theirs.html"' in page.text
    assert 'href="../index.html"' in theirs


def test_an_evaluation_of_another_name_has_a_page_of_its_own(place, capsys):
    assert evaluated(place, eval__split="train", eval__name="seen") == 0
    page = Page(place / "run" / "evaluation" / "seen.html")
    assert "evaluation/seen.html" in capsys.readouterr().out
    assert "that the run was trained on: new ones do worse" in page.said("warned")
    assert "trained on" not in page.said("short")
    assert "it has learnt the wrong labels too" in page.said("labels")
    assert not (place / "run" / "evaluation" / "seen_suspected_labels.csv").exists()
    assert "seen" in Page(place / "run" / "index.html").said("others")


def test_evaluations_of_another_checkpoint_or_way_of_testing_are_told_apart(place):
    said = "the last checkpoint, mean over 8 views of each image"
    assert evaluated(place, eval__checkpoint="last", eval__tta=True, eval__name="views") == 0
    assert evaluated(place, eval__split="all", eval__name="every") == 0
    rows = {row[0]: row for row in Page(place / "run" / "index.html").rows("others")}
    trained, folder = _scores(place, "every")["num_trained_on"], place / "run" / "evaluation"
    assert rows["views"][1:3] == [f"test; {said}", str(STEP)]
    assert rows["every"][1:3] == [f"all; {trained} trained on", str(STEP)]
    heads = [(folder / f"{name}.html").read_text().partition("</header>")[0] for name in ("views", "every")]
    differs = f", tested otherwise than the run records: {said}"
    assert f"<p>Scores of the weights of step {STEP}{differs}.</p>" in heads[0]
    assert f"<p>Scores of the weights of step {STEP}.</p>" in heads[1]
    for name in ("views", "every"):
        (folder / f"{name}.json").unlink()


@pytest.mark.parametrize("part", ["train", "all"])
def test_images_that_were_trained_on_are_counted_wherever_they_are(place, capsys, part):
    assert evaluated(place, eval__split=part, eval__name="counted") == 0
    printed = capsys.readouterr().out
    page, scores = Page(place / "run" / "evaluation" / "counted.html"), _scores(place, "counted")
    (place / "run" / "evaluation" / "counted.json").unlink()
    with (place / "run" / "splits.csv").open(newline="") as file:
        trained = sum(row["split"] == "train" for row in csv.DictReader(file))
    assert scores["num_trained_on"] == trained
    assert f"{trained} of the images are among those trained on: no measure of new images" in printed
    assert len(re.findall("trained on", page.said("warned") + page.said("short"))) == 1


def _tiles(page):
    """What stands at the head of the page: text -> value."""
    found = re.findall(r"<dt>([^<]+)</dt><dd>([^<]+?) *<", page.text.partition("</dl>")[0])
    return dict(found)


@pytest.mark.parametrize("part", ["validation", "train", "all"])
def test_the_head_of_a_page_says_nothing_of_another_part(place, part):
    """What is labelled by itself is measured on validation and test images, and said of these alone."""
    assert evaluated(place, eval__split=part, eval__name="shown") == 0
    tiles = _tiles(Page(place / "run" / "evaluation" / "shown.html"))
    (place / "run" / "evaluation" / "shown.json").unlink()
    assert f"{part} images" in tiles
    measured = json.loads((place / "run" / "uncertainty.json").read_text())["measured"]
    told = {
        "labelled by itself, percent": "labelled_without_a_person",
        "unlike the training cells, percent": "outliers",
    }
    shares = {text: measured[part][field]["share"] for text, field in told.items() if part in measured}
    assert {text: tiles[text] for text in told if text in tiles} == {
        text: f"{100 * share:.1f}" for text, share in shares.items()
    }


def test_files_of_an_earlier_version_say_what_the_threshold_alone_would_label(place):
    path = place / "run" / "uncertainty.json"
    before = path.read_text()
    assert "labelled by itself, percent" in _tiles(Page(place / "run" / "index.html"))
    content = unsealed(path)
    for part in content["measured"].values():
        del part["labelled_without_a_person"], part["error_without_a_person"]
    path.write_text(json.dumps(content))
    write.write_run_page(open_run(place / "run"))
    page = Page(place / "run" / "index.html")
    path.write_text(before)
    labelled = content["measured"]["test"]["labelled"]["share"]
    assert _tiles(page)["its threshold alone would label, percent"] == f"{100 * labelled:.1f}"
    assert "by itself" not in page.said("short") + page.said("trust")


@pytest.mark.parametrize("order", [("validation", "test"), ("test", "validation")])
def test_the_test_part_is_what_is_shown_whatever_the_order_in_the_file(place, order):
    path = place / "run" / "uncertainty.json"
    before, content = path.read_text(), unsealed(path)
    parts = content["measured"]
    assert parts["test"]["num_images"] != parts["validation"]["num_images"]
    path.write_text(json.dumps(content | {"measured": {name: parts[name] for name in order}}))
    write.write_run_page(open_run(place / "run"))
    page = Page(place / "run" / "index.html")
    path.write_text(before)
    assert f"measured on {parts['test']['num_images']:,} test images" in page.said("trust")
    calibrated = parts["test"]["reliability"]["calibrated"]["ece"]
    assert f"{calibrated:.3f}" in page.said("trust")


def test_a_full_disk_is_one_line_and_ends_nothing(place, monkeypatch):
    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    before = (place / "run" / "index.html").read_bytes()
    monkeypatch.setattr(write, "write_text", full)
    with pytest.warns(UserWarning, match=r"page .*index.html could not be written .*No space left") as told:
        assert evaluated(place) == 0
    assert len(told) == 1
    assert "\n" not in str(told[0].message)
    assert (place / "run" / "index.html").read_bytes() == before


def test_predictions_that_do_not_belong_to_the_scores_are_not_shown(place):
    path = place / "run" / "evaluation" / "test_predictions.csv"
    whole, before = path.read_bytes(), (place / "run" / "index.html").read_bytes()
    for changed in (whole[: whole.rindex(b"\n", 0, -1) + 1], whole.replace(b"0.", b"1.", 1)):
        path.write_bytes(changed)
        with pytest.warns(UserWarning, match=r"test_predictions.csv does not belong to the scores beside it"):
            assert write.write_run_page(open_run(place / "run")) is None
    path.write_bytes(whole)
    assert (place / "run" / "index.html").read_bytes() == before


def test_scores_of_an_earlier_checkpoint_are_not_shown_beside_those_of_this_one(place):
    path, page = place / "run" / "evaluation" / "test.json", place / "run" / "index.html"
    with edited(path) as scores:
        scores["step"] = STEP - 4
    assert write.write_run_page(open_run(place / "run")) == {"validation"}
    assert "test images" not in _tiles(Page(page))
    assert evaluated(place) == 0  # which replaces it
    assert json.loads(path.read_text())["step"] == STEP
    assert "test images" in _tiles(Page(page))


def test_no_label_is_suspected_of_a_cell_that_was_trained_on(place, theirs):
    """Most of their cells are drawn as the run's own, to the byte."""
    with (place / "run" / "splits.csv").open(newline="") as file:
        names = [row["name"] for row in csv.DictReader(file) if row["split"] == "train"]
    trained = {(place / "own" / name).read_bytes() for name in names}
    scores = _scores(place, "theirs")
    assert 0 < scores["num_trained_on"] < scores["num_examples"]
    with (place / "run" / "evaluation" / "theirs_suspected_labels.csv").open(newline="") as file:
        suspected = [row["path"] for row in csv.DictReader(file)]
    assert not [path for path in suspected if (place / "theirs" / path).read_bytes() in trained]
    looked_at = scores["num_examples"] - scores["num_trained_on"]
    assert re.search(rf"\b{looked_at} images (may be labelled wrongly|is suspected)", theirs.said("labels"))


def test_pictures_that_are_gone_and_too_many_to_show(place, monkeypatch, tmp_path):
    run = open_run(place / "run")
    names = run.data.index.names.tolist()
    assert set(gallery.pictures(run.data.index, [names[0], "gone.png", names[1]])) == {*names[:2]}
    monkeypatch.setattr(gallery, "MOST_BYTES", len(gallery.pictures(run.data.index, names[:1])[names[0]]))
    assert list(gallery.pictures(run.data.index, names[:3])) == names[:1]
    monkeypatch.setattr(gallery, "SHOWN", 2)
    write.write_run_page(run)
    page = Page(place / "run" / "index.html")
    count = int(re.match(r"\D+(\d+) of", page.said("mistakes"))[1])
    assert f"And {count - 2} more, in evaluation/test_predictions.csv." in page.said("mistakes")


def test_a_run_without_scores_has_a_page_all_the_same(tmp_path):
    workdir = made_run(tmp_path)
    for path in Path(workdir, "evaluation").iterdir():
        path.unlink()
    write.write_run_page(open_run(workdir))
    page = Page(workdir / "index.html")
    assert "confusion" not in page.sections
    assert "There are no such images here" in page.said("labels")
    assert page.rows("data")[5][-1] == str(4 * EACH)
