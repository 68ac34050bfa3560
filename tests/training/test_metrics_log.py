import json

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

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
