import errno
import io
import json
import os
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from asae_jax.errors import UserError
from asae_jax.run.folder import METRICS_FILE
from asae_jax.run.metrics_file import read_metrics
from asae_jax.training.metrics_log import MetricsLog


def test_numbers_come_back_by_kind(tmp_path):
    log = MetricsLog(tmp_path)
    log.write("train", 1, {"loss": 2.0})
    log.write("validation", 1, {"accuracy": 0.5})
    log.close()
    assert read_metrics(tmp_path, "train") == [{"kind": "train", "step": 1, "loss": 2.0}]
    assert read_metrics(tmp_path, "validation") == [{"kind": "validation", "step": 1, "accuracy": 0.5}]
    assert read_metrics(tmp_path / "nowhere", "train") == []


def test_resuming_drops_what_will_be_run_again_and_a_line_cut_short(tmp_path):
    lines = [json.dumps({"kind": "train", "step": step, "loss": 1.0}) for step in (1, 2, 3)]
    (tmp_path / METRICS_FILE).write_text("\n".join(lines) + '\n{"kind": "tra')
    log = MetricsLog(tmp_path, start_step=2)
    log.write("train", 3, {"loss": 0.5})
    log.close()
    assert [(r["step"], r["loss"]) for r in read_metrics(tmp_path, "train")] == [(1, 1.0), (2, 1.0), (3, 0.5)]


def test_tensorboard_reads_the_events(tmp_path):
    log = MetricsLog(tmp_path)
    log.write("train", 7, {"loss": 0.25})
    log.close()
    (file,) = (tmp_path / "tensorboard").iterdir()
    events = [event for event in EventFileLoader(str(file)).Load() if event.HasField("summary")]
    assert [event.step for event in events] == [7]
    assert events[0].summary.value[0].tag == "train/loss"


class Small(io.FileIO):
    """A file on a disk with room for 100 bytes: what fits of a write is written."""

    def write(self, data):
        room = 100 - self.tell()
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data[:room])


@pytest.fixture
def small_files(monkeypatch):
    usual = Path.open

    def opened(path, mode="r", buffering=-1, **rest):
        return usual(path, mode, buffering, **rest) if buffering else Small(path, mode)

    monkeypatch.setattr(Path, "open", opened)


def test_a_full_disk_is_one_line_and_the_next_start_goes_on(tmp_path, small_files):
    (tmp_path / "tensorboard").touch()  # so that its events are not what fails
    with pytest.warns(UserWarning, match="TensorBoard's events are not written"):
        log = MetricsLog(tmp_path)
    for step in (1, 2):
        log.write("train", step, {"loss": 2.0})
    with pytest.raises(
        UserError, match=r"cannot write .*metrics\.jsonl \(No space.*goes on from the last checkpoint"
    ):
        log.write("train", 3, {"loss": 2.0})
    log.close()
    assert (tmp_path / METRICS_FILE).stat().st_size == 100
    assert [record["step"] for record in read_metrics(tmp_path, "train")] == [1, 2]


def test_a_run_goes_on_without_tensorboard(tmp_path, small_files):
    log = MetricsLog(tmp_path)
    with pytest.warns(UserWarning, match=r"TensorBoard.*metrics\.jsonl has the same numbers"):
        log.write("train", 1, {"loss": 2.0})
    log.write("train", 2, {"loss": 2.0})
    log.close()
    assert [record["step"] for record in read_metrics(tmp_path, "train")] == [1, 2]
