"""`benchmarks/transfer.py` at a tiny size: every kind of row is made."""

import csv
import json
import sys

import pytest

from benchmarks import transfer
from tests.inference.predict.conftest import CLASS_NAMES, _shallow, folder, images, runs

__all__ = ["_shallow", "folder", "images", "runs"]


@pytest.mark.filterwarnings("ignore:probabilities are not calibrated")
def test_every_row_is_made(runs, folder, tmp_path, monkeypatch):
    files = sorted(folder.glob("*/*.png"))
    with (tmp_path / "cells.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        writer.writerows([f, f"their {CLASS_NAMES[n % 2]}", "train"] for n, f in enumerate(files))
        writer.writerows([f, f"their {CLASS_NAMES[n % 2]}", "test"] for n, f in enumerate(files))
        writer.writerow([files[0], "unknown to the run", "test"])
    with (tmp_path / "map.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("from", "to"), *((f"their {name}", name) for name in CLASS_NAMES[:2])])
    monkeypatch.setattr(transfer, "LABELS", (10,))
    options = [
        f"--workdir={runs[0]}",
        f"--data={tmp_path / 'cells.csv'}",
        f"--class_map={tmp_path / 'map.csv'}",
    ]
    monkeypatch.setattr(
        sys,
        "argv",
        ["transfer", *options, f"--output={tmp_path / 'found'}", "--draws=2", "--appearances=nothing"],
    )
    transfer.main()
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["images"] == {"train": 11, "test": 11}
    names = [row["name"] for row in found["rows"]]
    assert len(names) == 5 * 3 + 2  # five networks, three rows without labels each; of the first two with
    assert "nothing; 10 labels at random" in names
    for row in found["rows"]:
        assert 0 <= row["accuracy"] <= 1
        low, high = row["intervals"]["accuracy"]
        assert low - 1e-9 <= row["accuracy"] <= high + 1e-9
    assert len((tmp_path / "found.md").read_text().splitlines()) == 2 + len(names)
