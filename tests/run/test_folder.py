import dataclasses

import numpy as np
import pytest

from asae_jax import config as settings
from asae_jax.errors import UserError
from asae_jax.input.index import DataIndex
from asae_jax.input.run_split import SPLITS_FILE, write_splits
from asae_jax.run import folder
from tests.edited import edited
from tests.training.tiny import tiny_config

CLASSES = ("BLA", "LYT")


def _table(classes=CLASSES, names=("a.png", "b.png")):
    labels = np.arange(len(names), dtype=np.int32) % len(classes)
    return DataIndex("folder", classes, np.array(names), labels, read=lambda row: None)


@pytest.fixture
def workdir(tmp_path):
    folder.write(tmp_path, tiny_config(), folder.record_of(_table()))
    return tmp_path


def test_settings_classes_and_versions_are_read_back(workdir):
    assert settings.read_run_config(workdir).to_dict() == tiny_config().to_dict()
    record = folder.read_record(workdir)
    assert record.class_names == CLASSES
    assert record.versions["jax"]
    folder.check_same_config(workdir, tiny_config())
    folder.check_same_data(workdir, _table())


def test_a_changed_setting_is_refused_by_name_with_both_values(workdir):
    with pytest.raises(UserError, match=r"optimizer.learning_rate=0.5 \(there: 0.05\)"):
        folder.check_same_config(workdir, tiny_config(optimizer__learning_rate=0.5))


@pytest.mark.parametrize(
    "change", [{"data__path": "elsewhere"}, {"train__max_steps": 3}, {"eval__test_mode": "enhance"}]
)
def test_settings_that_do_not_change_the_weights_may_differ(workdir, change):
    folder.check_same_config(workdir, tiny_config(**change))


def test_another_score_that_chooses_the_best_checkpoint_is_refused(workdir):
    with pytest.raises(UserError, match=r"eval.select_by='accuracy' \(there: 'macro_f1'\)"):
        folder.check_same_config(workdir, tiny_config(eval__select_by="accuracy"))


def test_further_settings_can_be_held_to_the_runs(workdir):
    config = tiny_config(eval__test_mode="enhance", eval__look_threshold=0.5)
    with pytest.raises(UserError, match=r"eval.test_mode='enhance' \(there: 'skip'\); give"):
        folder.check_same_config(workdir, config, also=("eval.test_mode",))


def test_a_setting_that_did_not_exist_then_counts_with_its_default(workdir):
    with edited(workdir / settings.CONFIG_FILE) as content:
        del content["loss"]["branches"]
    folder.check_same_config(workdir, tiny_config())
    with pytest.raises(UserError, match=r"loss.branches='mean_loss' .there: 'mean_probability'"):
        folder.check_same_config(workdir, tiny_config(loss__branches="mean_loss"))


def test_a_section_of_the_version_before_is_read_under_its_present_name(workdir):
    with edited(workdir / settings.CONFIG_FILE) as content:
        content["trust"] = content.pop("uncertainty") | {"target_error": 0.125}
        content["gone"] = {"field": 1}
    assert settings.read_run_config(workdir).uncertainty.target_error == 0.125


def test_settings_that_never_existed_are_named_and_removed_ones_are_not(workdir):
    with edited(workdir / settings.CONFIG_FILE) as content:
        content["predict"]["lineages"] = "as.csv"
    folder.check_same_config(workdir, tiny_config())  # warnings are errors
    with edited(workdir / settings.CONFIG_FILE) as content:
        content["data"]["colour_space"] = "bgr"
        content["later"] = {"field": 1}
    with pytest.warns(UserWarning, match=r"config.json has .* not know.*: data.colour_space, later.field;"):
        folder.check_same_config(workdir, tiny_config())


def test_many_unknown_settings_are_one_line(workdir):
    with edited(workdir / settings.CONFIG_FILE) as content:
        content["later"] = {f"field{number}": 1 for number in range(1000)}
    with pytest.warns(UserWarning, match=r"later.field0, .*later.field7 and 992 more;") as said:
        settings.warn_of_unknown(workdir)
    assert len(str(said[0].message)) < 1000


def test_other_classes_are_refused_by_name(workdir):
    with pytest.raises(UserError, match=r"missing: \['LYT'\], new: \['MON'\]"):
        folder.check_same_data(workdir, _table(("BLA", "MON")))


def test_a_run_on_images_that_are_all_of_no_group_is_known(tmp_path):
    """An earlier version took them for one group; now nothing is known of groups."""
    listed = dataclasses.replace(_table(), groups=np.full(2, "no group"))
    folder.write(tmp_path, tiny_config(), folder.record_of(listed))
    folder.check_same_data(tmp_path, _table())
    with pytest.raises(UserError, match="files, labels or groups were added, removed or changed"):
        folder.check_same_data(tmp_path, dataclasses.replace(_table(), groups=np.array(["p1", "p2"])))


def test_other_images_are_refused(workdir):
    with pytest.raises(UserError, match="files, labels or groups were added, removed or changed; restore"):
        folder.check_same_data(workdir, _table(names=("a.png", "c.png")))


def test_other_images_are_named_where_the_split_knows_them(workdir):
    write_splits(workdir / SPLITS_FILE, _table(), np.array(["train", "test"]))
    with pytest.raises(UserError, match=r"changed \(c.png is new; b.png is gone\); restore them"):
        folder.check_same_data(workdir, _table(names=("a.png", "c.png")))
    (workdir / SPLITS_FILE).write_text("nonsense")
    with pytest.raises(UserError, match="removed or changed; restore them"):
        folder.check_same_data(workdir, _table(names=("a.png", "c.png")))


def test_no_run_is_said_in_one_line(tmp_path):
    with pytest.raises(UserError, match="no run in"):
        settings.read_run_config(tmp_path)


@pytest.mark.parametrize("name", [settings.CONFIG_FILE, folder.RUN_FILE])
def test_a_damaged_record_is_one_line_that_names_the_file(workdir, name):
    (workdir / name).write_text('{"seed": ')
    with pytest.raises(UserError, match=f"{name} is damaged"):
        settings.read_run_config(workdir) if name == settings.CONFIG_FILE else folder.read_record(workdir)


@pytest.mark.parametrize("content", ["[]", "{}", '{"class_names": 3}', '{"class_names": ["a"]}'])
def test_a_record_that_is_none_is_one_line(workdir, content):
    (workdir / folder.RUN_FILE).write_text(content)
    with pytest.raises(UserError, match=r"run\.json is damaged.*train the run again"):
        folder.read_record(workdir)


@pytest.mark.parametrize("unreadable", [3, {}, [3], "a.png"])
def test_a_list_of_unreadable_images_that_is_none_is_one_line(workdir, unreadable):
    with edited(workdir / folder.RUN_FILE) as record:
        record["unreadable"] = unreadable
    with pytest.raises(UserError, match=r"run\.json is damaged.*train the run again"):
        folder.read_record(workdir)


@pytest.mark.parametrize("name", [settings.CONFIG_FILE, folder.RUN_FILE])
def test_one_changed_letter_is_noticed(workdir, name):
    text = (workdir / name).read_text()
    (workdir / name).write_text(text.replace("resnet18", "resnet34").replace("LYT", "LYS"))
    with pytest.raises(UserError, match=f"{name} has changed since it was written"):
        settings.read_run_config(workdir) if name == settings.CONFIG_FILE else folder.read_record(workdir)


def test_checkpoints_without_settings_are_not_taken_for_a_new_run(workdir):
    folder.check_settings_are_there(workdir)
    (workdir / settings.CONFIG_FILE).unlink()
    folder.check_settings_are_there(workdir)
    (workdir / "checkpoints" / "5").mkdir(parents=True)
    with pytest.raises(UserError, match=r"has checkpoints, but no config\.json.*restore it.*--workdir=DIR"):
        folder.check_settings_are_there(workdir)


def test_a_folder_that_cannot_be_written_names_the_remedy(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UserError, match="--workdir=DIR"):
        folder.write(file / "run", tiny_config(), folder.record_of(_table()))


def test_only_checkpoints_or_metrics_make_a_run(workdir):
    assert not folder.holds_run(workdir)
    (workdir / folder.METRICS_FILE).write_text("{}\n")
    assert folder.holds_run(workdir)
    (workdir / folder.METRICS_FILE).unlink()
    (workdir / "checkpoints" / "5").mkdir(parents=True)
    assert folder.holds_run(workdir)


@pytest.mark.parametrize(
    ("unreadable", "blasts"), [(None, 3), ((), 3), (("e.png",), 2), (("a.png", "e.png"), 1)]
)
def test_images_that_could_not_be_read_are_in_no_part(tmp_path, unreadable, blasts):
    """What an earlier version did not record cannot be left out."""
    table = _table(names=("a.png", "b.png", "c.png", "d.png", "e.png"))
    folder.write(tmp_path, tiny_config(), folder.record_of(table, unreadable))
    write_splits(tmp_path / SPLITS_FILE, table, np.array(["train", "train", "train", "test", "train"]))
    assert folder.read_counts(tmp_path) == {
        ("BLA", "train"): blasts, ("LYT", "train"): 1, ("LYT", "test"): 1,
    }  # fmt: skip
