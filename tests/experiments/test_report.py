"""From the files of finished runs to what the report says: grids whose answer is known."""

import csv
import dataclasses
import html
import json
from html.parser import HTMLParser

import numpy as np
import pytest

from asae_jax.config import recipe
from asae_jax.errors import UserError
from asae_jax.evaluation.bootstrap import percentile_interval, resampled_weights
from asae_jax.experiments import report, results
from asae_jax.experiments.grid import FAILED, FINISHED, Record, plan, run_folder, scores_file, write_record
from asae_jax.experiments.pages import write_pages
from asae_jax.experiments.report import build_report, summary
from asae_jax.experiments.results import METRICS, read_results
from asae_jax.experiments.rows import chosen_tables
from asae_jax.input.index import DataIndex
from tests.edited import edited
from tests.experiments.fakes import CLASSES, NUM_IMAGES, base_config, labels, write_run

base_config_of_all = base_config

ACCURACY = {"plain": 0.5, "hue": 0.51, "baseline": 0.7, "asae": 0.7, "asae-gce": 0.4, "asae-gmmce": 0.85}
"""So that of Table 1 the first claim cannot be decided and the second holds, and of Table 4 that of GCE over
CE does not hold."""


class Grid:
    """A grid with its results, report and pages."""

    def __init__(self, workdir, tables, *, seeds, skip=(), failed=None):
        self.tables, self.workdir = chosen_tables(tables), workdir
        self.base = base_config(data__path="/secret/place/cells", data__source="folder")
        self.grid = plan(self.base, self.tables.values(), num_seeds=seeds)
        for run in self.grid.runs:
            if run.name == failed:
                write_record(workdir, run.name, Record(FAILED, 10.0, error="loss <not> finite"))
            elif run.row not in skip:
                write_run(workdir, run, accuracy=ACCURACY[run.row], seed=run.seed)
                write_record(workdir, run.name, Record(FINISHED, 90.0, peak_memory=2**30, jobs=2))
        self.results = read_results(self.grid, workdir, self.base.data)
        self.report = build_report(self.grid, self.tables, self.results, self.base, workdir)
        write_pages(workdir, self.report, self.results)

    def comparison(self, row, other):
        return next(c for table in self.report["tables"] for c in table["comparisons"]
                    if (c["row"], c["other"]) == (row, other))  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return Grid(tmp_path_factory.mktemp("grid"), "1,4", seeds=3)


@pytest.fixture(scope="module")
def partial(tmp_path_factory):
    return Grid(tmp_path_factory.mktemp("part"), "1,4", seeds=1, skip=("asae-gce",), failed="asae-gmmce-s0")


def test_claims_are_sorted_by_what_the_runs_say(done):
    claims = {verdict: [(c["row"], c["other"]) for c in listed]
              for verdict, listed in done.report["summary"]["claims"].items()}  # fmt: skip
    assert claims["holds"] == [("baseline", "hue"), ("asae-gmmce", "asae"), ("asae-gmmce", "asae-gce")]
    assert claims["does not hold"] == [("asae-gce", "asae")]
    assert claims["cannot be decided"] == [("hue", "plain")]
    assert claims["not run"] == []
    assert summary(done.report) == "the paper's claims: 3 holds, 1 does not hold, 1 cannot be decided"


def test_the_numbers_of_a_comparison_are_those_of_the_runs(done):
    runs = {row: done.results.runs[row] for row in ("baseline", "hue")}
    gaps = [a.scores["macro_f1"] - b.scores["macro_f1"]
            for a, b in zip(runs["baseline"], runs["hue"], strict=True)]  # fmt: skip
    found = done.comparison("baseline", "hue")["outcome"]
    assert found["seeds"] == (0, 1, 2)
    assert found["differences"]["macro_f1"]["over_seeds"]["mean"] == pytest.approx(np.mean(gaps))
    low, high = found["differences"]["accuracy"]["over_images"]
    assert low < found["differences"]["accuracy"]["over_seeds"]["mean"] < high
    assert found["images"]["better"] > found["images"]["worse"]
    assert done.comparison("hue", "plain")["because"]


def test_changes_of_recall_weighted_by_support_are_the_change_of_accuracy(done):
    found = done.comparison("asae-gce", "asae")["outcome"]
    support = np.bincount(labels(), minlength=len(CLASSES)) / NUM_IMAGES
    changes = [found["recall_changes"][name]["mean"] for name in CLASSES]
    assert support @ changes == pytest.approx(found["differences"]["accuracy"]["over_seeds"]["mean"])


def test_confusions_are_counted_per_run_and_go_the_right_way(done):
    found = done.comparison("asae-gmmce", "asae")["outcome"]
    first = found["removed"][0]
    number = {name: index for index, name in enumerate(CLASSES)}
    true, predicted = number[first["true"]], number[first["predicted"]]
    for field, row in (("row", "asae-gmmce"), ("other", "asae")):
        runs = done.results.runs[row]
        counts = [np.sum((labels() == true) & (run.predictions == predicted)) for run in runs]
        assert first[field] == pytest.approx(np.mean(counts))
    assert all(x["row"] < x["other"] for x in found["removed"])
    assert all(x["row"] > x["other"] for x in found["added"])
    steps = [x["other"] - x["row"] for x in found["removed"]]
    assert steps == sorted(steps, reverse=True)


def test_p_is_adjusted_for_the_comparisons_of_the_table(done):
    table = done.report["tables"][1]
    for comparison in table["comparisons"]:
        accuracy = comparison["outcome"]["differences"]["accuracy"]
        assert accuracy["p"] <= accuracy["p_holm"] <= min(1, 3 * accuracy["p"])


def test_costs_are_those_of_the_network_and_the_log(done):
    costs = {cost["row"]: cost for cost in done.report["costs"]}
    assert costs["plain"]["parameters"] == costs["asae"]["parameters"]  # the layer has none
    assert costs["plain"]["images_per_second"] == 103.0  # median of 102, 103, 104: the first report compiles
    assert (costs["plain"]["peak_memory"], costs["plain"]["seconds"]) == (2**30, 90.0)


def test_one_line_per_run_in_the_csv(done, partial):
    with (done.workdir / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(done.grid.runs)
    by_run = {(line["row"], line["seed"]): line for line in lines}
    run = done.results.runs["hue"][1]
    for metric in METRICS:
        assert float(by_run["hue", "1"][metric]) == run.scores[metric]
    assert by_run["asae", "0"]["tables"] == "4"
    with (partial.workdir / "results.csv").open() as file:
        states = {line["row"]: (line["status"], line["error"]) for line in csv.DictReader(file)}
    assert states["asae-gce"] == ("not run", "")
    assert states["asae-gmmce"] == ("failed", "loss <not> finite")


def test_what_was_not_run_or_failed_is_said(partial):
    status = partial.report["status"]
    assert status["failed"] == {"asae-gmmce-s0": "loss <not> finite"}
    assert status["not_run"] == ["asae-gce-s0"]
    assert partial.comparison("asae-gce", "asae")["verdict"] == "not run"
    page = (partial.workdir / "report.html").read_text()
    assert "loss &lt;not&gt; finite" in page
    assert "asae-gce-s0" in page


@pytest.fixture(scope="module")
def few_classes(tmp_path_factory):
    """Two seeds, and losses that keep all negative classes: GMMCE is cross entropy, GCE is not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.experiments.test_report.base_config", few_negatives)
        return Grid(tmp_path_factory.mktemp("few"), "4", seeds=3)


def few_negatives(**changes):
    return base_config_of_all(**changes, loss__k_high=1, loss__k_low=len(CLASSES) - 2)


def test_two_names_of_one_method_are_not_better_than_each_other(few_classes):
    """-0.9 points once stood beside `differ by nothing`; here it is 15, and a verdict would be false."""
    comparison = few_classes.comparison("asae-gmmce", "asae")
    assert comparison["outcome"]["differences"]["accuracy"]["over_seeds"]["low"] > 0
    assert comparison["verdict"] == "cannot be decided"
    assert comparison["because"] == "both rows are the same method here: their difference is chance"
    (remark,) = [r for r in few_classes.report["remarks"] if "another name" in r]
    assert "what lies between them is chance" in remark
    assert "nothing" not in remark
    assert few_classes.comparison("asae-gmmce", "asae-gce")["verdict"] == "holds"


def test_two_seeds_give_means_without_intervals(tmp_path):
    found = Grid(tmp_path, "1", seeds=2)
    for table in found.report["tables"]:
        for entry in table["entries"]:
            assert all(e["low"] is None and e["mean"] > 0 for e in entry["test"].values())
        for comparison in table["comparisons"]:
            changes = comparison["outcome"]["recall_changes"].values()
            assert all(change["low"] is None for change in changes)
            assert comparison["outcome"]["differences"]["macro_f1"]["over_seeds"]["low"] is None
    text = (tmp_path / "report.md").read_text()
    assert "±" not in text.partition("## How to read")[0]


def test_what_was_trained_on_is_said_before_the_numbers(done):
    run = next(iter(done.results.runs.values()))[0]
    told = []
    for known in ({}, {"num_trained_on": None, "num_groups_trained_on": 0},
                  {"num_trained_on": 7, "num_groups_trained_on": 3}):  # fmt: skip
        runs = {"plain": (dataclasses.replace(run, scores={**run.scores, **known}),)}
        results = dataclasses.replace(done.results, runs=runs, groups=np.arange(NUM_IMAGES))
        told.append("\n".join(report._remarks_on_images(results)))
    assert "training images" not in told[0]
    assert told[1] == told[0]
    assert f"7 of the {NUM_IMAGES} test images are among those that were trained on" in told[2]
    assert "3 of the slides or patients of the test part have training images too" in told[2]


def test_a_grid_that_went_on_elsewhere_names_all_machines_and_versions(tmp_path):
    grid = Grid(tmp_path, "1", seeds=1)
    assert not any("not all made alike" in remark for remark in grid.report["remarks"])
    path = run_folder(tmp_path, "hue-s0") / "run.json"
    other = {"versions": {"jax": "0.11.2", "flax": "0.12", "device": "1 x NVIDIA H200"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | other))
    found = build_report(grid.grid, grid.tables, grid.results, grid.base, tmp_path)
    assert found["machine"]["machine"].startswith("2 x cpu and 1 x NVIDIA H200; ")
    assert (found["machine"]["jax"], found["machine"]["flax"]) == ("0 and 0.11.2", "0.12")
    (said,) = [remark for remark in found["remarks"] if "not all made alike" in remark]
    assert "(device 2 x cpu and 1 x NVIDIA H200; jax 0 and 0.11.2)" in said


def test_the_interval_over_images_draws_whole_patients(done):
    """Of patients whose images go one way, the interval is that of their resamples, by hand."""
    runs = done.results.runs
    right = {row: [run.predictions == labels() for run in runs[row]] for row in ("baseline", "hue")}
    gap = np.mean(right["baseline"], axis=0) - np.mean(right["hue"], axis=0)
    patients = np.argsort(np.argsort(gap, kind="stable")) // 20
    results = dataclasses.replace(done.results, groups=patients)
    report = build_report(done.grid, done.tables, results, done.base, done.workdir)
    found = next(
        one["outcome"]["differences"]["accuracy"]["over_images"]
        for table in report["tables"]
        for one in table["comparisons"]
        if (one["row"], one["other"]) == ("baseline", "hue")
    )
    weights = [*resampled_weights(NUM_IMAGES, groups=patients, resamples=1000, seed=0)]
    means = np.concatenate([drawn @ gap / drawn.sum(1) for drawn in weights])
    assert found == pytest.approx(percentile_interval(means, patients))


def test_two_groups_of_test_images_decide_nothing(done, tmp_path):
    results = dataclasses.replace(done.results, groups=np.arange(NUM_IMAGES) % 2)
    report = build_report(done.grid, done.tables, results, done.base, done.workdir)
    assert not report["summary"]["claims"]["holds"]
    first = report["tables"][0]["comparisons"][0]["outcome"]["differences"]["accuracy"]
    assert first["over_images"] is None
    assert "fewer than 5 slides or patients" in report["tables"][0]["comparisons"][1]["because"]
    write_pages(tmp_path, report, results)
    for page in ("report.md", "report.html"):
        text = (tmp_path / page).read_text()
        assert "no interval over images" in text
        assert "100.0, " not in text


def test_classes_stand_in_the_order_of_the_runs_own_table(tmp_path):
    chosen, base = chosen_tables("4"), base_config()
    grid = plan(base, chosen.values(), num_seeds=1)
    for run in grid.runs:
        write_run(tmp_path, run, accuracy=0.6, seed=len(run.name))
        write_record(tmp_path, run.name, Record(FINISHED, 1.0))
    order = ["PMO", "MYB", "LYT", "BLA", "EOS", "BAS & <co>", "MON", "EBO"]
    names = "".join(f"{name},{name} cell\n" for name in order)
    (run_folder(tmp_path, grid.runs[0].name) / "classes.csv").write_text(f"class,name\n{names}")
    results = read_results(grid, tmp_path, base.data)
    write_pages(tmp_path, build_report(grid, chosen, results, base, tmp_path), results)
    text = html.unescape((tmp_path / "report.html").read_text())
    header = next(line for line in text.splitlines() if "BAS & <co><br>" in line)
    places = [header.index(f">{name}<br>") for name in order]
    assert places == sorted(places)


def _reported(workdir, given, tables):
    """The report of tables by the recipe `given` of which one run is finished; its pages are written."""
    chosen, base = chosen_tables(tables), recipe(given)
    base.train.batch_size, base.eval.bootstrap = 56, 50
    grid = plan(base, chosen.values(), num_seeds=1)
    write_run(workdir, grid.runs[0], accuracy=0.6)
    write_record(workdir, grid.runs[0].name, Record(FINISHED, 1.0))
    found = read_results(grid, workdir, base.data)
    report = build_report(grid, chosen, found, base, workdir)
    write_pages(workdir, report, found)
    return report


@pytest.mark.parametrize(
    ("given", "tables", "said", "remarked"),
    [
        ("comparison", "1", "Backbone resnet18 (width 32, stem no_pool), 64 px.", True),
        ("comparison", "starts", "Backbone efficientnet_lite0 (width 64), 144 px.", False),
        ("default", "recommended", "Backbone resnet18 (width 32, stem no_pool), 64 px.", False),
        (
            "default",
            "1,recommended",
            "Backbones resnet50 (width 64) and resnet18 (width 32, stem no_pool), 64 and 224 px (see",
            False,
        ),
        (
            "comparison",
            "3",
            "Backbones resnet18 (width 32, stem no_pool), vgg16_bn (width 32, stem no_pool) and "
            "resnet50 (width 32, stem no_pool), 64 px (see",
            False,
        ),
    ],
)
def test_the_head_names_the_networks_that_ran(tmp_path, given, tables, said, remarked):
    """A row with a recipe of its own takes neither backbone nor image size from the given configuration."""
    report = _reported(tmp_path, given, tables)
    for page in ("report.md", "report.html"):
        assert said in (tmp_path / page).read_text()
    assert any("ResNet-50 the backbone is" in remark for remark in report["remarks"]) == remarked


@pytest.mark.parametrize(("given", "small"), [("comparison", True), ("default", False)])
def test_modern_backbones_of_another_size_are_said_to_be_other_networks(tmp_path, given, small):
    _reported(tmp_path, given, "backbones")
    text = (tmp_path / "report.md").read_text()
    assert "ViT-S" not in text  # fixed positions and no class token, whatever its size
    assert ("vit_small (width 32, stem no_pool)" in text) == small
    assert ("width 32, stem no_pool, where the published ones have width 64" in text) == small


def test_rows_that_answer_alike_have_no_interval_over_images(done):
    """The difference is 0 in all resamples, which does not make it certain on other images."""
    runs = {**done.results.runs, "hue": done.results.runs["baseline"]}
    results = dataclasses.replace(done.results, runs=runs)
    report = build_report(done.grid, done.tables, results, done.base, done.workdir)
    found = next(
        one["outcome"]
        for table in report["tables"]
        for one in table["comparisons"]
        if (one["row"], one["other"]) == ("baseline", "hue")
    )
    assert found["differences"]["accuracy"]["over_seeds"]["mean"] == 0
    assert found["differences"]["accuracy"]["over_images"] is None


def test_a_few_seeds_decide_nothing(partial):
    comparison = partial.comparison("baseline", "hue")
    assert comparison["verdict"] == "cannot be decided"
    assert comparison["because"] == "fewer than 3 seeds say too little about other runs"
    assert comparison["outcome"]["differences"]["accuracy"]["p"] is None


def test_the_table_shows_the_papers_number_beside_ours(done):
    text = (done.workdir / "report.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("| GMMCE |"))
    entry = done.report["tables"][1]["entries"][2]
    assert entry["paper"] == 77.63
    assert f"| 77.63 | 3 | {100 * entry['test']['accuracy']['mean']:.1f} ± " in line


def test_markdown_tables_have_as_many_cells_as_columns(done, partial):
    for grid in (done, partial):
        width = None
        for line in (grid.workdir / "report.md").read_text().splitlines():
            if not line.startswith("|"):
                width = None
                continue
            width = width or line.count("|")
            assert line.count("|") == width, line


class Page(HTMLParser):
    """Checks that tags are closed in order and that nothing is fetched."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        assert not {"src", "href"} & {name for name, _ in attributes}, tag
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(done, partial):
    for grid in (done, partial):
        page = Page()
        page.feed((grid.workdir / "report.html").read_text())
        assert page.open == []


@pytest.mark.parametrize("name", ["report.html", "report.md", "report.json"])
def test_every_page_says_what_it_is_not_for_and_names_no_path(done, name):
    text = (done.workdir / name).read_text()
    assert "For research, not a diagnosis." in text
    assert "/secret" not in text
    assert str(done.workdir) not in text
    assert "cells" in text


def test_names_from_the_data_cannot_break_the_page(done):
    assert "BAS &amp; &lt;co&gt;" in (done.workdir / "report.html").read_text()


def test_rows_that_share_their_runs_both_stand_in_the_report(tmp_path):
    tables = chosen_tables("3")
    base = base_config(model__width=8)
    grid = plan(base, tables.values(), num_seeds=1)
    for run in grid.runs[:2]:  # "baseline" and "asae", which are ResNet-18 here
        write_run(tmp_path, run, accuracy=0.6)
        write_record(tmp_path, run.name, Record(FINISHED, 1.0))
    results = read_results(grid, tmp_path, base.data)
    assert [len(results.runs[row]) for row in ("resnet18", "resnet18-asae", "vgg16")] == [1, 1, 0]
    report = build_report(grid, tables, results, base, tmp_path)
    assert report["rows"]["resnet18"]["run_as"] == "baseline"


def test_runs_scored_on_different_images_are_refused(tmp_path):
    grid = plan(base_config(), chosen_tables("1").values(), num_seeds=1)
    for number, run in enumerate(grid.runs[:2]):
        images = [f"{number}-{i}.png" for i in range(NUM_IMAGES)]
        write_run(tmp_path, run, accuracy=0.6, images=images)
        write_record(tmp_path, run.name, Record(FINISHED, 1.0))
    with pytest.raises(UserError, match=r"hue-s0 and plain-s0 were scored on different images"):
        read_results(grid, tmp_path, base_config().data)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"split": "all", "class_map": {}}, "they are of another source"),
        ({"split": "validation"}, "they are of the part validation"),
        ({"data_fingerprint": "x"}, "they are of other images"),
        ({"test_mode": "mean"}, "they were measured with test_mode 'mean', not 'skip'"),
        ({"batch_statistics": "reestimate"}, "batch_statistics 'reestimate', not 'running'"),
        ({"checkpoint": "last"}, "checkpoint 'last', not 'best'"),
    ],
)
def test_scores_of_something_else_are_not_those_of_a_row(tmp_path, said, reason):
    grid = plan(base_config(), chosen_tables("1").values(), num_seeds=1)
    run = grid.runs[0]
    write_run(tmp_path, run, accuracy=0.6)
    write_record(tmp_path, run.name, Record(FINISHED, 1.0))
    assert read_results(grid, tmp_path, base_config().data) is not None
    path = scores_file(tmp_path, run.name)
    path.write_text(json.dumps(json.loads(path.read_text()) | said))
    with pytest.raises(UserError, match=rf"test.json does not hold the scores of .*{reason}.*asae evaluate"):
        read_results(grid, tmp_path, base_config().data)


def test_runs_on_other_pictures_of_the_same_names_are_refused(tmp_path):
    grid = plan(base_config(), chosen_tables("1").values(), num_seeds=1)
    for number, run in enumerate(grid.runs[:2]):
        write_run(tmp_path, run, accuracy=0.6)
        write_record(tmp_path, run.name, Record(FINISHED, 1.0))
        path = run_folder(tmp_path, run.name) / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"data_fingerprint": str(number)}))
    with pytest.raises(UserError, match="were scored on different images"):
        read_results(grid, tmp_path, base_config().data)


def test_groups_are_those_of_the_data_that_the_runs_were_trained_on(tmp_path, monkeypatch):
    """Looked up again for a report: patients that were renamed since, and rows taken out, are refused."""
    names = np.array([f"{i:03d}.png" for i in range(NUM_IMAGES)])
    index = DataIndex("csv", CLASSES, names, labels().astype(np.int32), lambda row: None,
                      groups=np.array([f"p{i % 12}" for i in range(NUM_IMAGES)]))  # fmt: skip
    grid = plan(base_config(), chosen_tables("1").values(), num_seeds=1)
    for run in grid.runs:
        write_run(tmp_path, run, accuracy=0.6)
        write_record(tmp_path, run.name, Record(FINISHED, 1.0))
        path, scores = run_folder(tmp_path, run.name) / "run.json", scores_file(tmp_path, run.name)
        record = {"data_fingerprint": index.fingerprint(modified=False)}
        path.write_text(json.dumps(json.loads(path.read_text()) | record))
        scores.write_text(json.dumps(json.loads(scores.read_text()) | {"intervals_over": "groups"}))
    monkeypatch.setattr(results, "configured_index", lambda _: index)
    assert read_results(grid, tmp_path, base_config().data).groups.tolist() == index.groups.tolist()
    for run in grid.runs:  # scored without intervals, which are over nothing
        with edited(scores_file(tmp_path, run.name)) as said:
            said |= {"intervals_over": "none: eval.bootstrap=0", "num_groups": 12}
    assert read_results(grid, tmp_path, base_config().data).groups.tolist() == index.groups.tolist()
    renamed = dataclasses.replace(index, groups=np.array([f"p{i % 5}" for i in range(NUM_IMAGES)]))
    fewer = index.select(np.arange(NUM_IMAGES - 3))
    for changed in (renamed, fewer):
        monkeypatch.setattr(results, "configured_index", lambda _, changed=changed: changed)
        with pytest.raises(UserError, match=r"the images are not those that .*plain-s0 was started with"):
            read_results(grid, tmp_path, base_config().data)


def test_nothing_finished_is_nothing_to_report(tmp_path):
    grid = plan(base_config(), chosen_tables("1").values(), num_seeds=1)
    assert read_results(grid, tmp_path, base_config().data) is None
