"""The runner with cells that are not trained: side by side, after failures, killed and resumed."""

import pytest

from asae_jax.experiments.grid import plan
from asae_jax.experiments.records import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    is_finished,
    read_record,
    scores_file,
)
from asae_jax.experiments.runner import run_cells
from asae_jax.experiments.tables import chosen_tables
from tests.experiments.fakes import FakeProcess, base_config, two_places, write_run


class Seen:
    """Notes what ended, and asks to stop after some ticks."""

    def __init__(self, stop_after=None):
        self.ended_cells, self.most, self.requested = [], 0, False
        self._left = stop_after

    def tick(self, running):
        self.most = max(self.most, len(running))
        if self._left is not None:
            self._left -= 1
            self.requested = self._left <= 0

    def ended(self, cell, record):
        self.ended_cells.append((cell.name, record.status))


@pytest.fixture(scope="module")
def cells():
    return plan(base_config(), chosen_tables("1,2").values(), num_seeds=2).cells


def _run(cells, workdir, seen, start, places=None):
    run_cells(cells, places or two_places(), workdir, start=start, stop=seen, watcher=seen, poll_seconds=0.0)


def test_every_cell_is_run_once_two_at_a_time(cells, tmp_path):
    started, seen = [], Seen()

    def start(cell, place):
        started.append((cell.name, place))
        return FakeProcess(cell, tmp_path, polls=3)

    _run(cells, tmp_path, seen, start)
    assert [name for name, _ in started] == [cell.name for cell in cells]
    assert {place.cores for _, place in started} == {frozenset({0}), frozenset({1})}
    assert seen.most == 2
    assert all(is_finished(tmp_path, cell.name) for cell in cells)
    record = read_record(tmp_path, cells[0].name)
    assert (record.status, record.seconds, record.peak_memory, record.jobs) == (FINISHED, 60.0, 2**30, 2)


def test_a_cell_that_fails_is_recorded_and_the_rest_goes_on(cells, tmp_path):
    bad = cells[1].name
    seen = Seen()
    _run(cells, tmp_path, seen,
         lambda cell, _: FakeProcess(cell, tmp_path, accuracy=None if cell.name == bad else 0.5))  # fmt: skip
    assert read_record(tmp_path, bad).status == FAILED
    assert read_record(tmp_path, bad).error == "the loss is not finite at step 3"
    assert [cell.name for cell in cells if not is_finished(tmp_path, cell.name)] == [bad]


def test_a_grid_that_is_stopped_goes_on_where_it_was(cells, tmp_path):
    seen = Seen(stop_after=3)
    _run(cells, tmp_path, seen, lambda cell, _: FakeProcess(cell, tmp_path, polls=2))
    done = [cell.name for cell in cells if is_finished(tmp_path, cell.name)]
    stopped = [name for name, status in seen.ended_cells if status == INTERRUPTED]
    assert done
    assert stopped
    assert len(done) + len(stopped) < len(cells)
    started = []

    def start(cell, _):
        started.append(cell.name)
        return FakeProcess(cell, tmp_path)

    _run([cell for cell in cells if not is_finished(tmp_path, cell.name)], tmp_path, Seen(), start)
    assert started == [cell.name for cell in cells if cell.name not in done]
    assert all(is_finished(tmp_path, cell.name) for cell in cells)
    assert read_record(tmp_path, stopped[0]).seconds == 120.0


def test_nothing_is_started_after_a_stop(cells, tmp_path):
    seen = Seen()
    seen.requested = True
    _run(cells, tmp_path, seen, lambda *_: pytest.fail("started"))
    assert seen.ended_cells == []


def test_an_error_leaves_no_cell_at_work(cells, tmp_path):
    processes = []

    def start(cell, _):
        processes.append(FakeProcess(cell, tmp_path, polls=99))
        return processes[-1]

    def broken(running):
        raise KeyboardInterrupt

    seen = Seen()
    seen.tick = broken
    with pytest.raises(KeyboardInterrupt):
        _run(cells, tmp_path, seen, start)
    assert [process.killed for process in processes] == [True, True]


def test_scores_without_a_record_are_of_a_run_that_was_killed_at_its_end(cells, tmp_path):
    write_run(tmp_path, cells[0], accuracy=0.5)
    assert scores_file(tmp_path, cells[0].name).exists()
    assert not is_finished(tmp_path, cells[0].name)


def test_a_record_that_cannot_be_read_is_none(tmp_path):
    path = tmp_path / "cells" / "x.json"
    path.parent.mkdir()
    for text in ("", "{", '{"other": 1}', "[]"):
        path.write_text(text)
        assert read_record(tmp_path, "x") is None
