"""What scores were computed from: images are those that the run recorded."""

from types import SimpleNamespace

import numpy as np
import pytest

from asae_jax.config import copy_with
from asae_jax.errors import UserError
from asae_jax.evaluation.provenance import check_name, foreign, own_name, provenance
from asae_jax.evaluation.uncertainty_files import conditions, uncertainty_name
from asae_jax.input.sources import configured_index
from asae_jax.json_files import write_json
from asae_jax.run import folder
from asae_jax.run.run import Run
from tests.training.tiny import tiny_config


@pytest.fixture
def old_run(tmp_path):
    """A run of an earlier version, which knew its images by another fingerprint, and its scores."""
    config = tiny_config(data__num_examples=20)
    table = configured_index(config.data)
    record = folder.Record(table.class_names, "as an earlier version had it", {})
    folder.write(tmp_path, config, record)
    run = Run(tmp_path, config, table.class_names)
    run.step = 3
    data = SimpleNamespace(index=table, splits=np.full(len(table), "test"))
    return run, data, record


def test_a_run_known_by_an_earlier_fingerprint_keeps_its_scores(old_run, tmp_path):
    run, data, record = old_run
    now = provenance(run, data, "test")
    assert now["data_fingerprint"] == record.data_fingerprint
    write_json(tmp_path / "test.json", now | {"class_names": list(run.class_names)})
    check_name(tmp_path, own_name(tmp_path, "test", now), now)
    assert foreign(now | {"class_names": list(run.class_names)}, record, split="test") == ""


def test_another_source_is_known_by_its_own_images(old_run):
    run, data, _ = old_run
    other = {"path": "theirs", "class_map": {}}
    assert provenance(run, data, "all", other)["data_fingerprint"] == data.index.fingerprint(modified=False)


@pytest.mark.parametrize(
    ("there", "mode", "name"),
    [
        ("skip", "skip", "test"),
        ("skip", "skip-tta", "test-tta"),
        ("skip-tta", "skip-tta", "test"),
        ("skip-tta", "skip", "test-one-view"),
        ("enhance", "skip", "test"),  # which `check_name` refuses
    ],
)
def test_means_over_views_and_one_view_stand_beside_each_other(tmp_path, there, mode, name):
    assert own_name(tmp_path, "test", {"test_mode": mode}) == "test"
    write_json(tmp_path / "test.json", {"test_mode": there, "split": "test"})
    assert own_name(tmp_path, "test", {"test_mode": mode}) == name


def test_statistics_over_another_number_of_batches_replace_no_scores_and_no_estimates(old_run, tmp_path):
    recorded, data, record = old_run
    recorded.config = copy_with(recorded.config, {"eval.batch_statistics": "reestimate"})
    folder.write(tmp_path, recorded.config, record)
    write_json(tmp_path / "test.json", now := provenance(recorded, data, "test"))
    assert now["batch_statistics"] == "reestimate"
    check_name(tmp_path, "test", now)
    fewer = Run(tmp_path, copy_with(recorded.config, {"eval.reestimate_batches": 3}), recorded.class_names)
    fewer.step = recorded.step
    with pytest.raises(UserError, match="batch_statistics 'reestimate', not 'reestimate over 3 batches'"):
        check_name(tmp_path, "test", provenance(fewer, data, "test"))
    assert conditions(fewer) != conditions(recorded)
    assert uncertainty_name(recorded) == "uncertainty"
    assert uncertainty_name(fewer) == "uncertainty-reestimate-over-3-batches"
