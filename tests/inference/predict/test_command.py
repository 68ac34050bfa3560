"""`predict` as a user calls it."""

import csv
import json
import shutil

import numpy as np
import pytest

from asae_jax import cli

pytestmark = pytest.mark.filterwarnings(
    "ignore:probabilities are not calibrated", "ignore:left out as no images"
)


def _predict(workdir, *options):
    return cli.main(["predict", f"--workdir={workdir}", *map(str, options)])


def _read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _probabilities(path):
    rows = _read(path)
    return np.array(
        [[float(row[f"p_{name}"]) for name in ("BLA", "EBO", "NGS")] for row in rows if row["label"]]
    )


@pytest.fixture(scope="module")
def alone(runs, folder, tmp_path_factory):
    """Predictions of each run by itself."""
    folder_out = tmp_path_factory.mktemp("alone")
    for number, run in enumerate(runs):
        output = folder_out / f"{number}.csv"
        assert _predict(run, f"--input={folder}", f"--output={output}", "--page_cells=4") == 0
    return folder_out


def test_rows_follow_the_input_and_a_bad_image_does_not_stop_them(alone, folder):
    rows = _read(alone / "0.csv")
    assert [row["path"] for row in rows] == sorted(str(path) for path in folder.glob("*/*.*"))
    assert list(rows[0])[:6] == ["path", "label", "probability", "p_BLA", "p_EBO", "p_NGS"]
    assert [row["path"][-7:] for row in rows if row["error"]] == ["02x.jpg"]
    np.testing.assert_allclose(_probabilities(alone / "0.csv").sum(1), 1, atol=3e-6)
    for row in rows:
        if row["label"]:
            assert row["probability"] == row[f"p_{row['label']}"] == max(row[c] for c in row if c[:2] == "p_")


def test_differential_and_page_lie_beside_them(alone):
    count = json.loads((alone / "0_differential.json").read_text())
    assert count["overall"]["images"] == 12
    assert count["overall"]["unreadable"] == 1
    assert [group["group"] for group in count["groups"]] == ["slide_a", "slide_b"]
    assert _read(alone / "0_differential.csv")[0]["what"] == "BLA"
    page = (alone / "0.html").read_text()
    assert "For research, not a diagnosis" in page
    assert not list(alone.glob("*.part"))


def test_runs_together_average_their_probabilities(alone, runs, folder, tmp_path):
    output = tmp_path / "both.csv"
    assert _predict(
        runs[0], f"--input={folder}", f"--output={output}", f"--ensemble={runs[1]},", "--page=False"
    ) == 0  # fmt: skip
    mean = (_probabilities(alone / "0.csv") + _probabilities(alone / "1.csv")) / 2
    assert np.abs(_probabilities(alone / "0.csv") - mean).max() > 0.01
    np.testing.assert_allclose(_probabilities(output), mean, atol=2e-6)
    assert not output.with_suffix(".html").exists()


def test_a_list_gives_json_lines_named_after_it(runs, folder, tmp_path, capsys):
    (tmp_path / "some.csv").write_text(f"path,group\n{folder}/slide_b/10.png,p7\nmissing.png,p7\n")
    output = tmp_path / "some.jsonl"
    assert _predict(runs[0], f"--input={tmp_path / 'some.csv'}", f"--output={output}", "--nopage") == 0
    good, bad = map(json.loads, output.read_text().splitlines())
    assert good["group"] == "p7"
    assert good["error"] is None
    assert bad["path"] == "missing.png"
    assert bad["error"] == "unreadable (No such file or directory)"
    assert "2 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--input=DIR"),
        (["--input=nowhere"], "does not exist"),
        (["--input={folder}", "--ensemble={tmp}/none"], "no run in"),
        (["--input={tmp}/list.csv", "--output={tmp}/list.csv"], "is the input and would be lost"),
        (["--input={folder}", "--page_cells=-1"], "predict.page_cells=-1"),
    ],
)
def test_mistakes_end_in_one_line(runs, folder, tmp_path, capsys, options, message):
    (tmp_path / "list.csv").write_text("path\nx.png\n")
    assert _predict(runs[0], *(option.format(folder=folder, tmp=tmp_path) for option in options)) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1, error
    assert message in error[0]


def test_a_run_of_other_classes_is_refused(runs, folder, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(runs[1], copy)
    info = json.loads((copy / "run.json").read_text())
    info["class_names"][0] = "BLAST"
    (copy / "run.json").write_text(json.dumps(info))
    assert _predict(runs[0], f"--input={folder}", f"--ensemble={copy}") == 2
    assert "their classes differ in BLA, BLAST" in capsys.readouterr().err
