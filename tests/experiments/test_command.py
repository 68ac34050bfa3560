"""`reproduce` as a user meets it, on a folder of pictures, with runs that are not trained."""

import errno
import json
import os
import signal
import sys
import time

import cv2
import numpy as np
import pytest

from asae_jax import cli
from asae_jax.errors import UserError
from asae_jax.experiments import runner, unfinished
from asae_jax.experiments.grid import is_finished
from tests.experiments.fakes import FakeProcess, two_slots

ROWS_OF_1 = ("plain", "hue", "baseline")


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Ten small pictures of each of three classes."""
    folder = tmp_path_factory.mktemp("data") / "cells"
    rng = np.random.default_rng(0)
    for name in ("BLA", "LYT", "MON"):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            cv2.imwrite(
                str(folder / name / f"{number}.png"), rng.integers(256, size=(24, 24, 3), dtype=np.uint8)
            )
    return folder


@pytest.fixture
def reproduce(cells, tmp_path, monkeypatch):
    """Runs the command with fake processes; `reproduce.started` has the names of the runs it started."""
    monkeypatch.setattr(unfinished, "choose_slots", lambda jobs: two_slots())
    monkeypatch.setattr(unfinished, "POLL_SECONDS", 0.0)
    monkeypatch.setattr("asae_jax.experiments.results.count_parameters", lambda *_: 1)  # traces a network
    checked = []  # the runs are not of these pictures
    check = lambda folder, _: checked.append(folder.name)  # noqa: E731
    monkeypatch.setattr("asae_jax.experiments.grid.check_same_data", check)

    def run(*options, failing=()):
        run.started = []

        def start(planned, folder, slot, *, kept_open):
            os.fstat(kept_open[0])  # the lock is handed on
            run.started.append(planned.name)
            accuracy = None if planned.row in failing else 0.6
            return FakeProcess(planned, folder, accuracy=accuracy, polls=2)

        monkeypatch.setattr(unfinished, "TrainProcess", start)
        arguments = ["--tables=1", "--seeds=2", "--preset=small", "--config.data.source=folder", *options]
        places = [f"--workdir={run.workdir}", f"--config.data.path={cells}"]
        return cli.main(["reproduce", "--config=default", *places, *arguments])

    run.workdir, run.checked = tmp_path / "grid", checked
    return run


def test_settings_that_do_not_count_for_a_recipe_of_its_own_are_said_before(reproduce, capsys):
    options = ("--tables=recommended", "--seeds=1", "--config.train.epochs=1", "--config.model.width=8")
    assert reproduce(*options, "--config.train.batch_size=6") == 0
    shown = capsys.readouterr().out
    assert "row recommended is trained by its own recipe own_cells_scratch, whatever is given: " in shown
    assert "(not 1)" in shown
    assert "model.width=" in shown
    assert shown.index("own recipe") < shown.index("rows x")


def test_settings_that_the_rows_say_themselves_are_said_before(reproduce, capsys):
    assert reproduce("--seeds=1", "--config.data.sampler=weighted", "--config.loss.name=gce") == 0
    shown = capsys.readouterr().out
    said = "whatever is given: data.sampler (given: weighted), loss.name (given: gce)\n"
    assert said in shown
    assert shown.index(said) < shown.index("rows x")
    assert reproduce("--seeds=1") == 0
    assert "whatever is given" not in capsys.readouterr().out


def test_a_grid_from_its_start_to_its_report_and_again(reproduce, capsys):
    assert reproduce() == 0
    assert reproduce.started == [f"{row}-s{seed}" for seed in (0, 1) for row in ROWS_OF_1]
    names = {path.name for path in reproduce.workdir.iterdir()}
    assert {"report.html", "report.md", "report.json", "results.csv", "runs", "records"} <= names
    said = capsys.readouterr()
    assert "3 rows x 2 seeds: 6 runs, 0 finished" in said.out
    assert "the paper's claims: 2 cannot be decided" in said.out
    assert "plain-s0: test accuracy 0." in said.out + said.err
    before = (reproduce.workdir / "report.md").read_bytes()
    (reproduce.workdir / "report.md").unlink()
    assert reproduce() == 0
    assert reproduce.started == []
    assert (reproduce.workdir / "report.md").read_bytes() == before


def test_more_seeds_and_tables_start_what_is_missing_only(reproduce):
    assert reproduce("--seeds=1") == 0
    assert reproduce("--seeds=2", "--tables=1,4") == 0
    of_4 = ("asae", "asae-gce", "asae-gmmce")
    assert reproduce.started == [f"{row}-s0" for row in of_4] + [f"{row}-s1" for row in ROWS_OF_1 + of_4]


def test_the_batch_size_of_all_rows_fits_balanced_batches(reproduce, capsys):
    assert reproduce("--config.train.batch_size=20", "--seeds=1") == 0
    assert "batches of 18 images in all rows instead of 20" in capsys.readouterr().out
    for row in ROWS_OF_1:
        config = json.loads((reproduce.workdir / "runs" / f"{row}-s0" / "config.json").read_text())
        assert config["train"]["batch_size"] == 18


def test_a_failed_run_leaves_status_1_and_a_report_and_is_tried_again(reproduce, capsys):
    assert reproduce("--seeds=1", failing=("hue",)) == unfinished.EXIT_FAILED
    said = capsys.readouterr()
    assert "hue-s0: failed: the loss is not finite at step 3" in said.out + said.err
    assert "not finite at step 3" in (reproduce.workdir / "report.html").read_text()
    assert reproduce("--seeds=1") == 0
    assert reproduce.started == ["hue-s0"]
    assert "not finite" not in (reproduce.workdir / "report.html").read_text()


def test_images_are_prepared_once_for_each_kind(reproduce):
    assert reproduce("--seeds=1") == 0
    assert len(list((reproduce.workdir / "runs" / "cache").iterdir())) == 2  # with and without the hue


@pytest.mark.usefixtures("usual_signals")
def test_an_interrupted_grid_reports_what_is_done_and_goes_on(reproduce, monkeypatch):
    ended = runner.Progress.ended

    def ended_and_signal(self, run, record):
        ended(self, run, record)
        if run.name == "plain-s0":  # once: a second signal ends the process
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(runner.Progress, "ended", ended_and_signal)
        assert reproduce() == 128 + signal.SIGTERM
    started = list(reproduce.started)
    assert len(started) < 6
    report = json.loads((reproduce.workdir / "report.json").read_text())
    assert 1 <= report["status"]["finished"] < 6
    done = {name for name in started if is_finished(reproduce.workdir, name)}
    assert reproduce() == 0
    assert set(reproduce.started) == {f"{row}-s{s}" for s in (0, 1) for row in ROWS_OF_1} - done


def test_runs_that_are_begun_must_be_of_the_same_images_before_any_other_is_started(reproduce, monkeypatch):
    assert reproduce(failing=("hue",)) == unfinished.EXIT_FAILED
    assert reproduce.checked == []

    def refuse(folder, _):
        raise UserError(f"the images are not those that {folder} was started with")

    with monkeypatch.context() as patch:
        patch.setattr("asae_jax.experiments.grid.check_same_data", refuse)
        assert reproduce() == 2
        assert reproduce.started == []
    assert reproduce() == 0
    assert reproduce.checked == [f"{row}-s{seed}" for seed in (0, 1) for row in ("plain", "baseline")]


def test_a_grid_begun_by_the_version_before_goes_on(reproduce):
    assert reproduce("--seeds=1") == 0
    (reproduce.workdir / "records").rename(reproduce.workdir / "cells")
    assert reproduce("--seeds=2") == 0
    assert reproduce.started == [f"{row}-s1" for row in ROWS_OF_1]


def test_processes_are_looked_at_in_the_given_interval(reproduce, monkeypatch):
    slept = []
    monkeypatch.setattr(unfinished, "POLL_SECONDS", 0.125)
    monkeypatch.setattr(time, "sleep", slept.append)
    assert reproduce("--seeds=1") == 0
    assert 0.125 in slept


def test_a_full_disk_ends_in_one_line(reproduce, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(runner, "write_record", full)
        assert reproduce("--seeds=1") == 2
    assert f"cannot go on in {reproduce.workdir} (No space left on device): " in capsys.readouterr().err
    assert reproduce("--seeds=1") == 0


def test_other_settings_than_those_of_the_grid_are_refused(reproduce, capsys):
    assert reproduce("--seeds=1") == 0
    assert reproduce("--seeds=1", "--config.train.epochs=3") == 2
    assert "train.epochs=3 (there: 12)" in capsys.readouterr().err
    assert reproduce("--seeds=1", "--config.eval.select_by=accuracy") == 2
    assert "eval.select_by='accuracy' (there: 'macro_f1')" in capsys.readouterr().err
    assert reproduce("--seeds=1", "--config.eval.checkpoint=last") == 2
    assert "eval.checkpoint='last' (there: 'best')" in capsys.readouterr().err
    assert reproduce.started == []


def test_a_second_grid_is_kept_out(reproduce, capsys):
    with unfinished.only_one(reproduce.workdir, "reproduce"):
        assert reproduce("--seeds=1") == 2
    assert "is at work in" in capsys.readouterr().err


def test_without_locks_no_descriptor_is_handed_on(tmp_path, monkeypatch):
    """Windows starts no process with one."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with unfinished.only_one(tmp_path, "reproduce") as kept_open:
        assert kept_open == ()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--seeds=0", "config.reproduce.seeds=0 cannot be used: allowed: at least 1"),
        ("--jobs=-1", "config.reproduce.jobs=-1 cannot be used: allowed: at least 0"),
        ("--tables=7", "config.reproduce.tables='7' cannot be used"),
        ("--config.data.test_fraction=0.0", "no test part"),
        ("--config.data.path=nowhere", "nowhere"),
        ("--config.train.max_steps=3", "config.train.max_steps=3 cannot be used: `reproduce` compares runs"),
    ],
)
def test_mistakes_end_in_one_line_before_anything_is_started(reproduce, capsys, option, said):
    assert reproduce(option) == 2
    assert said in capsys.readouterr().err
    assert reproduce.started == []


@pytest.mark.parametrize("inside", ["grid", "BLA/grid"])
def test_a_workdir_among_the_images_is_refused_and_nothing_is_written_there(reproduce, cells, capsys, inside):
    before = sorted(cells.rglob("*"))
    reproduce.workdir = cells / inside
    assert reproduce() == 2
    assert "lies in the folder of the images" in capsys.readouterr().err
    assert sorted(cells.rglob("*")) == before
