import json

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from asae_jax.training.writer import FILE, Writer, read_metrics


def test_numbers_come_back_by_kind(tmp_path):
    writer = Writer(tmp_path)
    writer.write("train", 1, {"loss": 2.0})
    writer.write("validation", 1, {"accuracy": 0.5})
    writer.close()
    assert read_metrics(tmp_path, "train") == [{"kind": "train", "step": 1, "loss": 2.0}]
    assert read_metrics(tmp_path, "validation") == [{"kind": "validation", "step": 1, "accuracy": 0.5}]
    assert read_metrics(tmp_path / "nowhere", "train") == []


def test_resuming_drops_what_will_be_run_again_and_a_line_cut_short(tmp_path):
    lines = [json.dumps({"kind": "train", "step": step, "loss": 1.0}) for step in (1, 2, 3)]
    (tmp_path / FILE).write_text("\n".join(lines) + '\n{"kind": "tra')
    writer = Writer(tmp_path, start_step=2)
    writer.write("train", 3, {"loss": 0.5})
    writer.close()
    assert [(r["step"], r["loss"]) for r in read_metrics(tmp_path, "train")] == [(1, 1.0), (2, 1.0), (3, 0.5)]


def test_tensorboard_reads_the_events(tmp_path):
    writer = Writer(tmp_path)
    writer.write("train", 7, {"loss": 0.25})
    writer.close()
    (file,) = (tmp_path / "tensorboard").iterdir()
    events = [event for event in EventFileLoader(str(file)).Load() if event.HasField("summary")]
    assert [event.step for event in events] == [7]
    assert events[0].summary.value[0].tag == "train/loss"
