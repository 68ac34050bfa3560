"""Runs that are not trained, side by side, failing, stopped and resumed; processes."""

import os
import signal
import sys
import time

import pytest

from asae_jax.errors import UserError
from asae_jax.experiments import runner
from asae_jax.experiments.grid import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    PlannedRun,
    is_finished,
    plan,
    read_record,
    run_folder,
    scores_file,
)
from asae_jax.experiments.rows import chosen_tables
from asae_jax.experiments.runner import Progress, TrainProcess, last_line, run_all
from asae_jax.experiments.slots import Slot
from asae_jax.experiments.unfinished import check_same_run
from asae_jax.run import folder
from tests.experiments.fakes import FakeProcess, base_config, two_slots, write_run
from tests.screen import Screen


class Seen:
    """Notes what ended, and asks to stop after some ticks."""

    def __init__(self, stop_after=None):
        self.ended_runs, self.most, self.requested = [], 0, False
        self._left = stop_after

    def tick(self, running):
        self.most = max(self.most, len(running))
        if self._left is not None:
            self._left -= 1
            self.requested = self._left <= 0

    def ended(self, run, record):
        self.ended_runs.append((run.name, record.status))


@pytest.fixture(scope="module")
def runs():
    return plan(base_config(), chosen_tables("1,2").values(), num_seeds=2).runs


def _run(runs, workdir, seen, start, poll_seconds=0.0):
    run_all(runs, two_slots(), workdir, start=start, stop=seen, progress=seen, poll_seconds=poll_seconds)


def test_every_run_is_done_once_two_at_a_time(runs, tmp_path):
    started, seen = [], Seen()

    def start(run, slot):
        started.append((run.name, slot))
        return FakeProcess(run, tmp_path, polls=3)

    _run(runs, tmp_path, seen, start)
    assert [name for name, _ in started] == [run.name for run in runs]
    assert {slot.cores for _, slot in started} == {frozenset({0}), frozenset({1})}
    assert seen.most == 2
    assert all(is_finished(tmp_path, run.name) for run in runs)
    record = read_record(tmp_path, runs[0].name)
    assert (record.status, record.seconds, record.peak_memory, record.jobs) == (FINISHED, 60.0, 2**30, 2)


def test_a_run_that_fails_is_recorded_and_the_rest_goes_on(runs, tmp_path):
    bad = runs[1].name
    seen = Seen()
    _run(runs, tmp_path, seen,
         lambda run, _: FakeProcess(run, tmp_path, accuracy=None if run.name == bad else 0.5))  # fmt: skip
    assert read_record(tmp_path, bad).status == FAILED
    assert read_record(tmp_path, bad).error == "the loss is not finite at step 3"
    assert [run.name for run in runs if not is_finished(tmp_path, run.name)] == [bad]


def test_a_run_that_ends_without_scores_has_failed(runs, tmp_path):
    class Short(FakeProcess):
        def poll(self):
            return 0

    _run(runs[:1], tmp_path, Seen(), lambda run, _: Short(run, tmp_path))
    record = read_record(tmp_path, runs[0].name)
    assert (record.status, record.error) == (FAILED, "it ended without scores of the test part")


def test_a_grid_that_is_stopped_goes_on_where_it_was(runs, tmp_path):
    seen = Seen(stop_after=3)
    _run(runs, tmp_path, seen, lambda run, _: FakeProcess(run, tmp_path, polls=2))
    done = [run.name for run in runs if is_finished(tmp_path, run.name)]
    stopped = [name for name, status in seen.ended_runs if status == INTERRUPTED]
    assert done
    assert stopped
    assert len(done) + len(stopped) < len(runs)
    started = []

    def start(run, _):
        started.append(run.name)
        return FakeProcess(run, tmp_path)

    _run([run for run in runs if not is_finished(tmp_path, run.name)], tmp_path, Seen(), start)
    assert started == [run.name for run in runs if run.name not in done]
    assert all(is_finished(tmp_path, run.name) for run in runs)
    assert read_record(tmp_path, stopped[0]).seconds == 120.0


def test_nothing_is_started_after_a_stop(runs, tmp_path):
    seen = Seen()
    seen.requested = True
    _run(runs, tmp_path, seen, lambda *_: pytest.fail("started"))
    assert seen.ended_runs == []


def test_an_error_leaves_no_run_at_work(runs, tmp_path):
    processes = []

    def start(run, _):
        processes.append(FakeProcess(run, tmp_path, polls=99))
        return processes[-1]

    def broken(running):
        raise KeyboardInterrupt

    seen = Seen()
    seen.tick = broken
    with pytest.raises(KeyboardInterrupt):
        _run(runs, tmp_path, seen, start)
    assert [process.killed for process in processes] == [True, True]


def test_scores_without_a_record_are_of_a_run_that_was_killed_at_its_end(runs, tmp_path):
    write_run(tmp_path, runs[0], accuracy=0.5)
    assert scores_file(tmp_path, runs[0].name).exists()
    assert not is_finished(tmp_path, runs[0].name)


def test_a_record_that_cannot_be_read_is_none(tmp_path):
    path = tmp_path / "records" / "x.json"
    path.parent.mkdir()
    for text in ("", "{", '{"other": 1}', "[]"):
        path.write_text(text)
        assert read_record(tmp_path, "x") is None


def test_processes_are_looked_at_in_the_given_interval(runs, tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    _run(runs[:1], tmp_path, Seen(), lambda run, _: FakeProcess(run, tmp_path, polls=4), poll_seconds=1.5)
    assert slept == [1.5] * 4


def test_the_bar_counts_epochs_as_parts_of_a_run(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stderr", screen := Screen())
    write_run(tmp_path, runs[0], accuracy=0.5)
    scores_file(tmp_path, runs[0].name).unlink()  # at work: epoch 4 of 12
    progress = Progress(runs[:2], 0, tmp_path, title="reproduce", refresh_seconds=0.0)
    progress.tick({runs[0].name: None})
    progress.close()
    assert screen.last().startswith("reproduce:  17%")
    assert "0.3 of 2.0 runs" in screen.last()
    assert runs[0].name in screen.last()


@pytest.fixture
def python(tmp_path, monkeypatch):
    """Runs a piece of Python as if it were a training command; waits for its end where asked."""
    run = PlannedRun("plain", 0, base_config())

    def start(code, *, slot=None, kept_open=(), wait=True):
        monkeypatch.setattr(runner, "command_of", lambda *_: [sys.executable, "-S", "-c", code])
        running = TrainProcess(run, tmp_path, slot or Slot(), kept_open=kept_open)
        return (_wait(running), running) if wait else running

    start.log = tmp_path / "logs" / f"{run.name}.log"
    return start


def _wait(running):
    while (status := running.poll()) is None:
        time.sleep(0.005)
    return status


def test_a_process_that_ends_well(python):
    status, running = python("print('scores')")
    assert status == 0
    assert running.poll() == 0
    assert running.peak_memory() > 2**20
    assert running.seconds() > 0
    assert python.log.read_text() == "scores\n"


def test_the_last_line_says_why_it_failed_whatever_was_printed_before(python):
    code = (
        "import sys; print('greeting'); sys.stderr.write('training: 10%\\rtraining: 20%\\n'); "
        "sys.stderr.write('error: config.x=1 cannot be used.\\n\\n'); sys.exit(2)"
    )
    status, running = python(code)
    assert status == 2
    assert running.error() == "config.x=1 cannot be used."


def test_a_process_that_says_nothing_fails_with_its_status(python):
    assert python("raise SystemExit(7)")[1].error() == "exit status 7"


def test_a_process_that_is_killed_fails_with_the_signal(python):
    status, running = python("import os; os.kill(os.getpid(), 9)")
    assert status == -signal.SIGKILL
    assert "SIGKILL (out of memory?)" in running.error()


def test_interrupting_asks_and_killing_does_not(python):
    polite = python(
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(143)); print('on'); time.sleep(60)",
        wait=False,
    )
    while "on" not in python.log.read_text():
        time.sleep(0.005)
    polite.interrupt()
    assert _wait(polite) == 143
    stubborn = python("import time; time.sleep(60)", wait=False)
    stubborn.kill()
    assert stubborn.poll() == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot pin processes")
def test_a_slot_gives_cores_and_variables(python):
    core = min(os.sched_getaffinity(0))
    slot = Slot(frozenset({core}), {"CUDA_VISIBLE_DEVICES": "3"})
    shown = "print(os.sched_getaffinity(0), os.environ['CUDA_VISIBLE_DEVICES'])"
    python(f"import os, time; time.sleep(0.05); {shown}", slot=slot)
    assert python.log.read_text() == f"{{{core}}} 3\n"


def test_a_file_is_kept_open_as_long_as_the_process_lives(python, tmp_path):
    with (tmp_path / "lock").open("w") as file:
        _, running = python(f"import os; os.fstat({file.fileno()})", kept_open=(file.fileno(),))
        assert running.poll() == 0


def test_the_last_line_of_a_long_log(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"x" * 100_000 + b"\n\xff bad byte\n" + b"done\n  \n")
    assert last_line(path) == "done"
    path.write_bytes(b"")
    assert last_line(path) == ""


def test_a_finished_run_of_another_class_map_is_not_taken_for_this_one(tmp_path):
    """Tables are made without the images, which would tell what the map makes of them."""
    run = PlannedRun("plain", 0, base_config(data__class_map="mine.csv"))
    folder.write(run_folder(tmp_path, run.name), run.config, folder.Record(("A", "B"), "", {}))
    check_same_run(tmp_path, run)
    with pytest.raises(UserError, match=r"other settings: data.class_map='theirs.csv' \(there: 'mine.csv'\)"):
        check_same_run(tmp_path, PlannedRun("plain", 0, base_config(data__class_map="theirs.csv")))
