"""A grid of two tiny rows for real: interrupted in the middle, and resumed by the same command."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asae_jax.run.folder import METRICS_FILE
from asae_jax.run.metrics_file import read_metrics
from tests.quick import quick_flags

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "tests" / "training" / "tiny_config_file.py"
STEPS = 24  # 8 epochs of 3: enough to be interrupted among
PATIENCE = 200  # seconds, on a machine with other work
PROGRAM = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from asae_jax import cli
from asae_jax.experiments.rows import TABLES, Comparison, Entry, Table
rows = (Entry("plain", "Plain"), Entry("asae", "ASAE"))
TABLES["tiny"] = Table("Two rows", rows, (Comparison("asae", "plain"),))
sys.exit(cli.main())
"""


class Grid:
    """The folder of a grid, and the command that runs it from a place away from the source tree."""

    def __init__(self, folder):
        self.workdir, self.said = folder / "grid", ""
        self._folder = folder

    def run(self, *, meanwhile=lambda process: None):
        """Runs the command, with `meanwhile` beside it; returns the exit status."""
        options = [
            f"--config={CONFIG}",
            f"--workdir={self.workdir}",
            "--tables=tiny",
            "--seeds=1",
            "--config.train.epochs=8",
            "--config.train.log_every=1",
            "--config.data.driver=threads",
        ]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
            "XLA_FLAGS": quick_flags(),
            "JAX_COMPILATION_CACHE_DIR": str(self._folder / "xla"),
        }
        output = self._folder / "output"
        with output.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, "reproduce", *options],
                cwd=self._folder,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            meanwhile(process)
            status = process.wait(PATIENCE)
        finally:
            process.kill()
            self.said = output.read_text()
        return status

    def folder(self, run):
        return self.workdir / "runs" / run

    def log(self, run):
        return self.workdir / "logs" / f"{run}.log"

    def files_of(self, run):
        """Every file that starting the run again would touch, with the time it was written."""
        files = [path for path in self.folder(run).rglob("*") if path.is_file()]
        return {path: path.stat().st_mtime_ns for path in (*files, self.log(run))}

    def report(self):
        return json.loads((self.workdir / "report.json").read_text())


@pytest.fixture
def grid(tmp_path):
    return Grid(tmp_path)


def test_a_grid_is_interrupted_and_resumed_by_the_same_command(grid):
    metrics = grid.folder("asae-s0") / METRICS_FILE

    def interrupt_amid_the_second_run(process):
        end = time.monotonic() + PATIENCE
        while not (metrics.exists() and metrics.stat().st_size):
            assert process.poll() is None, "the grid ended before it was interrupted"
            assert time.monotonic() < end, "the second run took no step"
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)

    assert grid.run(meanwhile=interrupt_amid_the_second_run) == 128 + signal.SIGTERM, grid.said
    assert "interrupted; the same command goes on from there" in grid.said
    status = grid.report()["status"]
    assert (status["runs"], status["finished"], status["not_run"]) == (2, 1, ["asae-s0"])
    stopped_at = read_metrics(grid.folder("asae-s0"), "train")[-1]["step"]
    assert 1 <= stopped_at < STEPS

    finished = grid.files_of("plain-s0")
    assert grid.run() == 0, grid.said
    assert "2 runs, 1 finished" in grid.said
    assert grid.files_of("plain-s0") == finished
    assert f"going on from step {stopped_at}, on " in grid.log("asae-s0").read_text()
    steps = [line["step"] for line in read_metrics(grid.folder("asae-s0"), "train")]
    assert steps == list(range(1, STEPS + 1))

    report = grid.report()
    assert (report["status"]["finished"], report["status"]["failed"]) == (2, {})
    (table,) = report["tables"]
    for entry in table["entries"]:
        scores = json.loads((grid.folder(f"{entry['row']}-s0") / "evaluation" / "test.json").read_text())
        assert entry["test"]["accuracy"]["mean"] == scores["accuracy"]
    assert table["comparisons"][0]["outcome"]["seeds"] == [0]
    assert {"report.html", "report.md", "results.csv"} <= {path.name for path in grid.workdir.iterdir()}
