"""A cell as a real process: what it prints, how it ends, where it runs."""

import os
import signal
import sys
import time

import pytest

from asae_jax.errors import UserError
from asae_jax.experiments import places, process
from asae_jax.experiments.grid import Cell
from asae_jax.experiments.places import Place, choose_places
from asae_jax.experiments.process import TrainProcess, last_line
from tests.experiments.fakes import base_config


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a piece of Python as if it were the training of a cell; waits for its end where asked."""
    cell = Cell("plain", 0, base_config())

    def start(code, *, place=None, kept_open=(), wait=True):
        monkeypatch.setattr(process, "command_of", lambda *_: [sys.executable, "-S", "-c", code])
        running = TrainProcess(cell, tmp_path, place or Place(), kept_open=kept_open)
        return (_wait(running), running) if wait else running

    start.log = tmp_path / "logs" / f"{cell.name}.log"
    return start


def _wait(running):
    while (status := running.poll()) is None:
        time.sleep(0.005)
    return status


def test_a_process_that_ends_well(run):
    status, running = run("print('scores')")
    assert status == 0
    assert running.poll() == 0
    assert running.peak_memory() > 2**20
    assert running.seconds() > 0
    assert run.log.read_text() == "scores\n"


def test_the_last_line_says_why_it_failed_whatever_was_printed_before(run):
    code = (
        "import sys; print('greeting'); sys.stderr.write('training: 10%\\rtraining: 20%\\n'); "
        "sys.stderr.write('error: config.x=1 cannot be used.\\n\\n'); sys.exit(2)"
    )
    status, running = run(code)
    assert status == 2
    assert running.error() == "config.x=1 cannot be used."


def test_a_process_that_says_nothing_fails_with_its_status(run):
    assert run("raise SystemExit(7)")[1].error() == "exit status 7"


def test_a_process_that_is_killed_fails_with_the_signal(run):
    status, running = run("import os; os.kill(os.getpid(), 9)")
    assert status == -signal.SIGKILL
    assert "SIGKILL (out of memory?)" in running.error()


def test_interrupting_asks_and_killing_does_not(run):
    polite = run(
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(143)); print('on'); time.sleep(60)",
        wait=False,
    )
    while "on" not in run.log.read_text():
        time.sleep(0.005)
    polite.interrupt()
    assert _wait(polite) == 143
    stubborn = run("import time; time.sleep(60)", wait=False)
    stubborn.kill()
    assert stubborn.poll() == -signal.SIGKILL


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot pin processes")
def test_a_place_gives_cores_and_variables(run):
    core = min(os.sched_getaffinity(0))
    place = Place(frozenset({core}), {"CUDA_VISIBLE_DEVICES": "3"})
    shown = "print(os.sched_getaffinity(0), os.environ['CUDA_VISIBLE_DEVICES'])"
    run(f"import os, time; time.sleep(0.05); {shown}", place=place)
    assert run.log.read_text() == f"{{{core}}} 3\n"


def test_a_file_is_kept_open_as_long_as_the_process_lives(run, tmp_path):
    with (tmp_path / "lock").open("w") as file:
        _, running = run(f"import os; os.fstat({file.fileno()})", kept_open=(file.fileno(),))
        assert running.poll() == 0


def test_the_last_line_of_a_long_log(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"x" * 100_000 + b"\n\xff bad byte\n" + b"done\n  \n")
    assert last_line(path) == "done"
    path.write_bytes(b"")
    assert last_line(path) == ""


@pytest.fixture
def machine(monkeypatch):
    def has(backend, devices, cores=(0, 1, 2, 3), visible=None):
        monkeypatch.setattr(places, "_devices", lambda: (backend, devices))
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cores), raising=False)
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return has


def test_one_cell_on_a_cpu_has_all_of_it(machine):
    machine("cpu", 1)
    assert choose_places(0) == [Place()]
    assert choose_places(1) == [Place()]


def test_several_cells_on_a_cpu_share_its_cores_out(machine):
    machine("cpu", 1, cores=(2, 3, 5, 7))
    assert [place.cores for place in choose_places(2)] == [{2, 3}, {5, 7}]
    assert [place.cores for place in choose_places(3)] == [{2}, {3}, {5}]
    with pytest.raises(UserError, match=r"config.reproduce.jobs=5 cannot be used: this machine has 4 cores"):
        choose_places(5)


def test_each_gpu_has_a_cell(machine):
    machine("gpu", 2)
    assert [dict(place.environment) for place in choose_places(0)] == [
        {"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"},
    ]  # fmt: skip
    machine("gpu", 2, visible="4,6")
    shared = choose_places(3)
    assert [place.environment["CUDA_VISIBLE_DEVICES"] for place in shared] == ["4", "6", "4"]
    assert all(place.environment["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false" for place in shared)


def test_a_tpu_has_one_cell(machine):
    machine("tpu", 8)
    assert choose_places(0) == [Place()]
