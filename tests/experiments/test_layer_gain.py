"""What `benchmarks/layer_gain.py` trains and how it compares."""

import json
from types import SimpleNamespace

import pytest
from scipy import stats

from asae_jax.config import check, copy_with, recipe
from benchmarks import layer_gain


@pytest.mark.parametrize("regime", layer_gain.REGIMES)
@pytest.mark.parametrize("row", [*layer_gain.ROWS, "A3-random", "B5-random"])
def test_the_settings_of_every_row_are_accepted(row, regime):
    settings = layer_gain.settings_of(row, regime)
    base = layer_gain.REGIMES[regime][0]
    config = copy_with(recipe(base), {**settings, "data.source": "csv", "data.path": "cells.csv"})
    check(config)
    assert config.train.epochs == {"small": 8, "paper": 60}[regime]
    assert (settings.get("asae.place") == "random") == (row == "C2" or row.endswith("-random"))


@pytest.mark.parametrize("options", [[], ["--marrow=m.csv"], ["--blood=b.csv", "--start_of_marrow=run"]])
def test_a_target_needs_its_start(options, capsys):
    with pytest.raises(SystemExit):
        layer_gain.main(["choose", "--results=r.jsonl", *options])
    assert "give --blood and --start_of_blood, or --marrow" in capsys.readouterr().err


def test_regimes_are_reported_apart(tmp_path, capsys):
    lines = [_line("P1", "marrow", 0, 0.5), _line("P1", "marrow", 0, 0.25) | {"regime": "paper"}]
    for regime, mean in (("small", "50.0"), ("paper", "25.0")):
        _report(tmp_path, lines, f"--regime={regime}")
        assert f"| P1 | {mean} |" in capsys.readouterr().out


def test_the_first_images_of_each_class_are_trained_on_and_no_test_image_is_in_the_list():
    rows = [
        {"path": f"{part}{n}", "label": "ab"[n % 2], "split": part}
        for part in ("test", "train", "validation")
        for n in range(500)
    ]
    kept = layer_gain.first_of_each_class(rows)
    trained = [row["path"] for row in kept if row["split"] == "train"]
    assert trained == [f"train{n}" for n in range(400)]
    assert sum(row["split"] == "validation" for row in kept) == 500
    assert not any(row["split"] == "test" for row in kept)


def _line(row, target, seed, score, *, part="validation", look=False):
    return {"part": part, "row": row, "look": look, "target": target, "seed": seed,
            "macro_f1": score, "accuracy": score, "nll": 1.0}  # fmt: skip


def _report(tmp_path, lines, *options):
    results = tmp_path / "results.jsonl"
    results.write_text("".join(json.dumps(line) + "\n" for line in lines))
    layer_gain.main(["report", f"--results={results}", *options])


def test_the_report_compares_with_the_better_plain_network_over_pairs(tmp_path, capsys):
    scores = {"P1": 0.5, "P2": 0.6, "A3": 0.7}
    lines = [
        _line(row, target, seed, score + 0.1 * (target == "marrow") + 0.01 * seed * (row == "A3"))
        for row, score in scores.items()
        for target in ("blood", "marrow")
        for seed in (0, 1)
    ]
    _report(tmp_path, lines, f"--figure={tmp_path / 'gain.png'}")
    said = capsys.readouterr().out
    assert "The better plain network: P2." in said
    (row,) = [line for line in said.splitlines() if line.startswith("| A3 ")]
    wanted = stats.ttest_1samp([10, 11, 10, 11], 0.0).confidence_interval(0.95)
    assert f"| 70.5 | 80.5 | P2 | +10.5 [{wanted.low:.1f}, {wanted.high:.1f}] (4) |" in row
    assert "Highest mean difference of the candidates: A3 to P2." in said
    assert (tmp_path / "gain.png").stat().st_size > 1000


def test_a_second_look_is_compared_with_a_second_look(tmp_path, capsys):
    """The plain network gains more by it than the layer does."""
    scores = {("P2", False): 0.80, ("P2", True): 0.84, ("B5", False): 0.81, ("B5", True): 0.832}
    lines = [
        _line(row, target, seed, score + 0.001 * seed, look=look)
        for (row, look), score in scores.items()
        for target in ("blood", "marrow")
        for seed in (0, 1)
    ]
    _report(tmp_path, lines)
    said = capsys.readouterr().out
    assert "| P2+look | -0.8 " in said
    assert "Highest mean difference of the candidates: B5 to P2." in said


def test_the_test_is_of_one_plain_network_and_a_random_place(tmp_path, capsys):
    scores = {"P2": 0.5, "A3": 0.7, "A3-random": 0.65}
    lines = [_line(row, t, 10 + s, score, part="test") for row, score in scores.items()
             for t in ("blood", "marrow") for s in (0, 1)]  # fmt: skip
    answers = {"P2": "aabb", "A3": "abab", "A3-random": "abaa"}
    for line in lines:
        folder = tmp_path / f"{line['row']}-{line['target']}-{line['seed']}" / "evaluation"
        folder.mkdir(parents=True)
        rows = [f"{n}.png,{'abab'[n % 4]},{answers[line['row']][n % 4]}" for n in range(40)]
        (folder / "aside_predictions.csv").write_text("path,true,label\n" + "\n".join(rows) + "\n")
    _report(tmp_path, lines, "--part=test", f"--folder={tmp_path}")
    said = capsys.readouterr().out
    assert "| A3 | 70.0 | 70.0 | P2 | +20.0 " in said
    assert "| A3 | 70.0 | 70.0 | A3-random | +5.0 " in said
    for pair in ("A3 minus P2", "A3-random minus P2", "A3 minus A3-random"):
        (found,) = [line for line in said.splitlines() if line.startswith(f"blood, {pair}, over images: [")]
        low, high = map(float, found.split("[")[1].rstrip("]").split(","))
        assert low < {"A3 minus P2": 50, "A3-random minus P2": 20, "A3 minus A3-random": 27}[pair] < high
        assert low > 0 or pair == "A3-random minus P2"
    with pytest.raises(SystemExit, match="of the test only one"):
        _report(tmp_path, [*lines, _line("P1", "blood", 10, 0.5, part="test")], "--part=test")


def test_the_test_part_is_scored_in_one_way_only():
    ways = (("validation", False), ("test", False), ("test", True))
    choice, test, second = (SimpleNamespace(part=part, look=look, regime="small") for part, look in ways)
    assert [layer_gain.looks(choice, row) for row in ("P1", "A1")] == [[False, True], [False]]
    for row in ("P1", "A1", "A3", "A3-random"):
        assert layer_gain.looks(test, row) == [False]
        assert layer_gain.looks(second, row) == [True]
