import json

import pytest

from asae_jax.errors import UserError
from asae_jax.training import run_folder
from tests.training.tiny import tiny_config

CLASSES = ("BLA", "LYT")


def _open(workdir, config=None, classes=CLASSES, fingerprint="0123456789abcdef"):
    run_folder.open_run(workdir, config or tiny_config(), run_folder.describe(classes, fingerprint))


def test_same_settings_may_go_on_and_are_read_back(tmp_path):
    _open(tmp_path)
    _open(tmp_path)
    assert run_folder.read_config(tmp_path).to_dict() == tiny_config().to_dict()
    info = run_folder.read_info(tmp_path)
    assert info.class_names == CLASSES
    assert info.versions["jax"]


def test_a_changed_setting_is_refused_by_name_with_both_values(tmp_path):
    _open(tmp_path)
    with pytest.raises(UserError, match=r"optimizer.learning_rate=0.5 \(there: 0.05\)"):
        _open(tmp_path, tiny_config(optimizer__learning_rate=0.5))


@pytest.mark.parametrize(
    "change", [{"data__path": "elsewhere"}, {"train__max_steps": 3}, {"eval__test_mode": "enhance"}]
)
def test_settings_that_do_not_change_the_weights_may_differ(tmp_path, change):
    _open(tmp_path)
    _open(tmp_path, tiny_config(**change))


def test_a_setting_that_did_not_exist_then_is_not_compared(tmp_path):
    _open(tmp_path)
    content = json.loads((tmp_path / run_folder.CONFIG_FILE).read_text())
    del content["loss"]["branches"]
    (tmp_path / run_folder.CONFIG_FILE).write_text(json.dumps(content))
    _open(tmp_path)


def test_other_classes_are_refused_by_name(tmp_path):
    _open(tmp_path)
    with pytest.raises(UserError, match=r"missing: \['LYT'\], new: \['MON'\]"):
        _open(tmp_path, classes=("BLA", "MON"))


def test_other_images_are_refused(tmp_path):
    _open(tmp_path)
    with pytest.raises(UserError, match="files were added, removed or changed"):
        _open(tmp_path, fingerprint="f" * 32)


def test_no_run_is_said_in_one_line(tmp_path):
    with pytest.raises(UserError, match="no run in"):
        run_folder.read_config(tmp_path)


def test_a_folder_that_cannot_be_written_names_the_remedy(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UserError, match="--workdir=DIR"):
        _open(file / "run")
