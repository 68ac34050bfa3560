"""Opening and starting a run: what is refused, and that nothing is written or computed before it must be."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from asae_jax.config import base_config, copy_with, read_run_config
from asae_jax.errors import UserError
from asae_jax.input import folder as folder_source
from asae_jax.input.cell_classes import cell_classes
from asae_jax.input.decode import BadImage
from asae_jax.run import folder, parallel
from asae_jax.run.data import load_index, new_split
from asae_jax.run.epochs import choose_epochs, steps_of
from asae_jax.run.run import NewRun, Run, new_run, open_for_inference, open_run
from tests.edited import edited
from tests.input.drawn_nuclei import crop
from tests.made_runs import untrained_run
from tests.run.test_data import folder_config, put_images
from tests.training.tiny import tiny_config

CLASSES = ("BLA", "EBO", "NGS")


def _config(**changes):
    return tiny_config(augment__size=16, data__hue="none", model__width=4, data__num_examples=140, **changes)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return untrained_run(tmp_path_factory.mktemp("run") / "run", _config(optimizer__ema_decay=0.5), CLASSES)


def test_a_run_is_opened_from_its_folder_alone(workdir):
    run = open_run(workdir)
    assert (run.class_names, run.num_classes, run.step) == (CLASSES, 3, 0)
    images = np.zeros((2, 16, 16, 3), np.float32)
    assert run.network.apply(run.variables, images, train=False).shape == (2, 3)
    assert run.preprocess(np.zeros((2, 36, 36, 3), np.uint8)).shape == (2, 16, 16, 3)
    assert run.preparation(np.zeros((50, 40, 3), np.uint8)).shape == (36, 36, 3)


@pytest.mark.parametrize(("inside", "given"), [("", "first"), ("first", "."), ("first/checkpoints", "..")])
def test_a_run_has_its_folders_name(tmp_path, monkeypatch, inside, given):
    (tmp_path / "first" / "checkpoints").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / inside)
    assert Run(Path(given), tiny_config(), ()).name == "first"


def test_opening_compiles_nothing_and_reads_the_weights_once(workdir):
    """Random initial weights would have to be compiled, and the shapes alone do not."""
    compiled = []

    def note(event, *_, **__):
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        run = open_run(workdir)
        assert run.variables is run.variables
        assert compiled == []
        jax.jit(lambda x: x * 3 + 1)(1.0)  # the listener does hear
        assert compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


def test_weights_of_another_network_are_refused(workdir, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(workdir / "config.json", other)
    with edited(other / "config.json") as content:
        content["model"]["width"] = 8
    (other / "run.json").write_bytes((workdir / "run.json").read_bytes())
    shutil.copytree(workdir / "checkpoints", other / "checkpoints")
    with pytest.raises(UserError, match=r"does not fit these settings: batch_stats.* there and .* here"):
        _ = open_run(other).variables


@pytest.mark.parametrize("there", [False, True])
def test_a_run_without_a_checkpoint_says_so_and_stays_as_it_is(tmp_path, there):
    folder.write(tmp_path, _config(), folder.Record(CLASSES, "no data", {}))
    if there:
        (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="has no checkpoint yet"):
        _ = open_run(tmp_path).variables
    assert (tmp_path / "checkpoints").exists() == there


def test_batch_statistics_of_the_training_images_are_for_evaluate_only(workdir):
    config = _config(optimizer__ema_decay=0.5, eval__batch_statistics="reestimate")
    open_run(workdir, config)
    with pytest.raises(UserError, match="only `evaluate` can do it"):
        open_for_inference(workdir, config)


AUXILIARY = {
    "model__branch_affine": "separate",
    "model__running_statistics": "plain",
    "asae__branches": "plain,suppress",
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__name": "resnet8"}, "model.name='resnet8'"),
        ({"model__insert_after": "layer9"}, "layer9"),
        ({"model__name": "vgg16", "model__norm": "group"}, "vgg16_bn"),
        (
            {"model__name": "vgg16", "eval__batch_statistics": "reestimate"},
            "vgg16 has no batch normalisation",
        ),
        (
            {"model__name": "cell3net", **AUXILIARY},
            "branch_affine='separate' cannot be used: cell3net has no",
        ),
        ({"model__name": "wbcnet", **AUXILIARY}, "insert_after=layer3, use shared"),
        ({"optimizer__warmup_epochs": 2.5}, "warmup_epochs=2.5 cannot be used.*train.epochs=2"),
        ({"train__batch_size": 50}, "14 classes and 8 devices"),
        ({"train__accumulate": 2}, "accumulate=2 cannot be used"),
        ({"loss__name": "gmmce", "loss__label_smoothing": 0.1}, "label_smoothing has no effect on gmmce"),
        ({"data__source": "folder", "data__path": "nowhere"}, "nowhere does not exist"),
        ({"data__class_map": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        new_run(_config(**changes), tmp_path / "run")
    assert not any(tmp_path.iterdir())


def test_what_only_new_runs_are_refused_for_does_not_stop_one_that_was_trained_so(tmp_path):
    config = _config(optimizer__warmup_epochs=2.5, data__cache_dir=str(tmp_path / "cache"))
    folder.write(tmp_path / "run", config, folder.record_of(load_index(config)))
    (tmp_path / "run" / folder.METRICS_FILE).write_text('{"kind": "train", "step": 1}\n')
    assert not new_run(config, tmp_path / "run").is_new
    open_run(tmp_path / "run")


def test_a_folder_with_a_refused_start_is_taken_over(tmp_path):
    """Settings were written, then the process ended before its first result."""
    cache = str(tmp_path / "cache")
    first = new_run(_config(data__cache_dir=cache), tmp_path / "run")
    first.start()
    before = (tmp_path / "run" / "splits.csv").read_text()
    changed = _config(data__cache_dir=cache, data__split_seed=5, optimizer__momentum=0.5)
    second = new_run(changed, tmp_path / "run")
    assert second.is_new
    assert (tmp_path / "run" / "splits.csv").read_text() == before
    second.start()
    assert (tmp_path / "run" / "splits.csv").read_text() != before
    assert open_run(tmp_path / "run").config.optimizer.momentum == 0.5


def test_what_the_classes_are_is_not_taken_over_from_a_refused_start(tmp_path):
    table, cache = tmp_path / "own.csv", str(tmp_path / "cache")
    names = load_index(_config()).class_names
    table.write_text("\n".join(["class,name,lineage", *(f"{name},my {name},lymphoid" for name in names)]))
    new_run(_config(data__cache_dir=cache, data__classes=str(table)), tmp_path / "run").start()
    assert {one.lineage for one in Run(tmp_path / "run", _config(), names).classes} == {"lymphoid"}
    second = new_run(_config(data__cache_dir=cache), tmp_path / "run")
    assert second.is_new
    built_in = [one.lineage for one in cell_classes(names)]
    assert [one.lineage for one in second.classes] == built_in
    second.start()
    assert not (tmp_path / "run" / folder.CLASSES_FILE).exists()
    assert [one.lineage for one in open_run(tmp_path / "run").classes] == built_in


def test_a_table_of_the_user_s_own_in_a_new_folder_stays(tmp_path):
    names = load_index(_config()).class_names
    (tmp_path / "run").mkdir()
    table = tmp_path / "run" / folder.CLASSES_FILE
    table.write_text("\n".join(["class,name,lineage", *(f"{name},my {name},lymphoid" for name in names)]))
    run = new_run(_config(data__cache_dir=str(tmp_path / "cache")), tmp_path / "run")
    assert {one.lineage for one in run.classes} == {"lymphoid"}
    run.start()
    assert table.exists()
    assert {one.lineage for one in open_run(tmp_path / "run").classes} == {"lymphoid"}


def test_what_is_given_too_late_and_not_taken_over_is_said(tmp_path):
    config = _config(data__cache_dir=str(tmp_path / "cache"))
    new_run(config, tmp_path / "run").start()
    (tmp_path / "run" / folder.METRICS_FILE).write_text('{"kind": "train", "step": 1}\n')
    new_run(config, tmp_path / "run").start()
    late = _config(data__cache_dir=str(tmp_path / "cache"), data__specimen="blood")
    with pytest.warns(
        UserWarning, match=r"data\.specimen=blood is not taken over: the run was started with none"
    ):
        new_run(late, tmp_path / "run").start()
    assert open_run(tmp_path / "run").config.data.specimen == ""


def test_a_run_with_results_is_not_taken_over(tmp_path):
    config = _config(data__cache_dir=str(tmp_path / "cache"))
    new_run(config, tmp_path / "run").start()
    (tmp_path / "run" / folder.METRICS_FILE).write_text('{"kind": "train", "step": 1}\n')
    assert not new_run(config, tmp_path / "run").is_new
    with pytest.raises(UserError, match=r"optimizer.momentum=0.5"):
        new_run(_config(optimizer__momentum=0.5), tmp_path / "run")
    with edited(tmp_path / "run" / folder.RUN_FILE) as record:
        record["data_fingerprint"] = "f" * 32
    with pytest.raises(UserError, match="the images are not those"):
        new_run(config, tmp_path / "run")


@pytest.fixture
def drive(tmp_path, monkeypatch):
    """A folder of images, and the names of those that its drive does not give."""
    failing, read = set(), folder_source.read_reduced

    def read_reduced(path, reduction):
        if path.name in failing:
            raise BadImage(str(path), "Input/output error")
        return read(path, reduction)

    monkeypatch.setattr(folder_source, "read_reduced", read_reduced)
    put_images(tmp_path / "cells", {"BLA": 12, "LYT": 12})
    return tmp_path / "cells", failing


@pytest.mark.parametrize("cache", [True, False])
def test_a_run_goes_on_with_the_images_that_it_began_with_only(tmp_path, drive, cache, capsys):
    cells, failing = drive
    settings = {"data__cache": cache, "data__cache_dir": str(tmp_path / "cache"), "train__batch_size": 8}
    config = folder_config(str(cells), **settings)

    def goes_on():
        return new_run(config, tmp_path / "run").data

    failing |= {"3.png"}
    new_run(config, tmp_path / "run").start()
    (tmp_path / "run" / folder.METRICS_FILE).write_text('{"kind": "train", "step": 1}\n')
    before = (tmp_path / "run" / "skipped.csv").read_bytes()
    assert sorted(goes_on().unreadable) == ["BLA/3.png", "LYT/3.png"]
    failing.clear()
    again = goes_on()  # they can be read now
    assert sorted(again.unreadable) == ["BLA/3.png", "LYT/3.png"]
    assert len(again.indices("all")) == 22
    evaluated = Run(tmp_path / "run", config, ("BLA", "LYT")).data
    np.testing.assert_array_equal(evaluated.indices("all"), again.indices("all"))
    assert "BLA/3.png (and 1 more) could not be read when" in capsys.readouterr().out
    assert (tmp_path / "run" / "skipped.csv").read_bytes() == before
    if not cache:  # what is kept need not be read again
        failing |= {"3.png", "5.png"}
        with pytest.raises(UserError, match=r"BLA/5\.png \(and 1 more\) could be read .*Input/output error"):
            goes_on()
        failing.clear()
        failing |= {"3.png"}
        assert sorted(goes_on().unreadable) == ["BLA/3.png", "LYT/3.png"]
        with edited(tmp_path / "run" / folder.RUN_FILE) as record:
            del record["unreadable"]  # as of an earlier version
        failing.clear()
        assert not goes_on().unreadable


@pytest.mark.parametrize(("sampler", "size"), [("balanced", 56), ("shuffled", 32)])
def test_a_batch_size_left_to_be_chosen_fits_and_is_recorded(tmp_path, capsys, sampler, size):
    """14 classes and 8 devices have 56 in common; without balance 8 devices divide 32."""
    config = _config(train__batch_size=0, data__sampler=sampler, data__cache_dir=str(tmp_path / "cache"))
    run = new_run(config, tmp_path / "run")
    assert f"batch size: {size} images" in capsys.readouterr().out
    run.start()
    assert json.loads((tmp_path / "run" / "config.json").read_text())["train"]["batch_size"] == size
    assert run.data.sampler(run.config).batch_size == size
    assert config.train.batch_size == 0


def test_a_run_goes_on_with_the_batch_size_it_began_with(tmp_path, capsys):
    """Also on another machine, and where it had been given."""
    workdir = untrained_run(tmp_path / "run", _config(train__batch_size=112), CLASSES)
    assert open_run(workdir, _config(train__batch_size=0), trains=True).config.train.batch_size == 112
    with pytest.raises(UserError, match=r"train.batch_size=56 \(there: 112\)"):
        open_run(workdir, _config(train__batch_size=56))
    assert "batch size" not in capsys.readouterr().out


def test_idle_cores_are_pointed_out_where_another_batch_size_can_be_chosen(tmp_path, monkeypatch):
    """A balanced batch holds whole classes, and that of a run which goes on is settled."""
    told = []
    monkeypatch.setattr(parallel, "point_out_idle_cores", lambda size, **given: told.append((size, given)))
    new_run(_config(), tmp_path).start()
    (tmp_path / folder.METRICS_FILE).write_text("{}\n")
    new_run(_config(), tmp_path)
    open_run(tmp_path, trains=True)
    assert told == [(56, {"num_classes": 14})]
    open_run(tmp_path)
    assert told[1:] == [(32, {})]


def test_a_run_on_other_devices_is_told_which_ones_share_its_batch(tmp_path, monkeypatch):
    """Another batch size would be refused."""
    new_run(_config(), tmp_path).start()
    (tmp_path / folder.METRICS_FILE).write_text("{}\n")
    monkeypatch.setattr(jax, "device_count", lambda: 3)
    with pytest.raises(UserError, match=r"batch of 56 images .* to 3 devices: go on with 1 or 2 of them"):
        new_run(_config(), tmp_path)


@pytest.mark.parametrize(
    ("images", "trained", "epochs"),
    [(20, True, 60), (160, True, 60), (160, False, 120), (3860, True, 23), (10**6, True, 10)],
)
def test_fewer_images_are_seen_more_often(images, trained, epochs, capsys):
    assert choose_epochs(images, trained=trained) == epochs
    assert f"epochs: {epochs}, for {images:,} training images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("epochs", "steps"),
    [(0.0, 0), (1.5, 30), (0.02, 0), (1e8, 2_000_000_000), (1e9, 2**31 - 1), (1.7e308, 2**31 - 1)],
)
def test_steps_of_epochs_can_be_counted_in_32_bits(epochs, steps):
    assert steps_of(epochs, 20) == steps
    assert steps_of(round(min(epochs, 1e9)), 20) <= 2**31 - 1


def test_epochs_left_to_be_chosen_are_recorded_and_kept(tmp_path, capsys):
    config = _config(train__epochs=0, data__cache_dir=str(tmp_path / "cache"))
    run = new_run(config, tmp_path / "run")
    images = len(run.data.indices("train"))
    said = capsys.readouterr().out
    assert f"epochs: {run.config.train.epochs}, for {images} training images" in said
    assert said.count("split: drawn") == 1
    assert run.config.train.epochs == choose_epochs(images, trained=False)
    capsys.readouterr()
    run.start()
    (tmp_path / "run" / folder.METRICS_FILE).write_text('{"kind": "train", "step": 1}\n')
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["train"]["epochs"]
    assert kept == run.config.train.epochs > 0
    assert new_run(config, tmp_path / "run").config.train.epochs == kept
    assert open_run(tmp_path / "run", config).config.train.epochs == kept
    assert "epochs" not in capsys.readouterr().out


def test_without_a_training_image_it_is_the_data_that_is_refused(tmp_path):
    for number in range(6):
        Image.fromarray(crop(40 + 4 * number)).save(tmp_path / f"{number}.png")
    rows = "".join(f"{number}.png,{'ab'[number % 2]},test\n" for number in range(6))
    (tmp_path / "cells.csv").write_text("path,label,split\n" + rows)
    settings = {"data__source": "csv", "data__path": str(tmp_path / "cells.csv"), "data__hue": "none"}
    settings |= {"data__cache_dir": str(tmp_path / "cache"), "train__batch_size": 16, "train__epochs": 0}
    run = new_run(tiny_config(**settings), tmp_path / "run")
    with pytest.raises(UserError, match="no readable training image"):
        _ = run.data


def test_a_split_that_was_drawn_gives_way_to_that_of_another_start(tmp_path):
    """Somebody else has begun to train in the folder while this start looked at the images."""
    cache = str(tmp_path / "cache")
    config = _config(data__cache_dir=cache, data__split_seed=5)
    new_run(config, tmp_path / "run").start()
    (tmp_path / "run" / folder.METRICS_FILE).write_text('{"kind": "train", "step": 1}\n')
    index = load_index(config)
    other = new_split(_config(data__split_seed=6), index)
    run = NewRun(tmp_path / "run", config, index, other)
    assert not run.is_new
    assert (run.data.splits != other).any()
    assert run.data.splits.tolist() == new_split(config, index).tolist()


@pytest.mark.parametrize(("diameter", "size", "told"), [(20, 24, False), (70, 24, True), (70, 36, False)])
def test_cells_larger_than_what_is_looked_at_are_pointed_out(tmp_path, recwarn, diameter, size, told):
    """Of 36 pixels a side the middle 24 are looked at; a nucleus of 70 % of the side is wider."""
    for number in range(60):
        path = tmp_path / "cells" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(crop(diameter + number % 5)).save(path)
    settings = {"data__source": "folder", "data__path": str(tmp_path / "cells"), "data__hue": "none"}
    settings |= {"augment__size": size, "model__width": 4, "train__batch_size": 16}
    new_run(tiny_config(data__cache_dir=str(tmp_path / "cache"), **settings), tmp_path / "run").start()
    found = [str(one.message) for one in recwarn if "parts of cells are lost" in str(one.message)]
    assert len(found) == told
    if told:
        assert "the middle 67 %" in found[0]
        assert "--config.augment.size=36" in found[0]


def test_what_the_user_says_of_the_classes_stays_with_the_run(tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("class,name,lineage\nPLAS,Plasmazelle,lymphoid\nMYEB,Myeloblast,myeloid\n")
    config = _config(data__cache_dir=str(tmp_path / "cache"), data__classes=str(own))
    new_run(config, tmp_path / "run").start()
    own.unlink()
    told = {one.code: one.name for one in open_run(tmp_path / "run").classes if one.known}
    assert told == {"PLAS": "Plasmazelle", "MYEB": "Myeloblast"}
    kept = tmp_path / "run" / folder.CLASSES_FILE
    kept.write_text(kept.read_text().replace("Plasmazelle", "Plasmazyt"))  # it may be edited
    assert "Plasmazyt" in {one.name for one in open_run(tmp_path / "run").classes}


def test_a_table_of_classes_with_a_fault_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "own.csv").write_text("class,lineage\nPLAS,lymfoid\n")
    with pytest.raises(UserError, match="line 2: unknown lineage 'lymfoid'"):
        new_run(_config(data__classes=str(tmp_path / "own.csv")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_of_somebody_else_does_not_say_where_to_write(workdir, tmp_path):
    received = tmp_path / "run"
    shutil.copytree(workdir, received)
    with edited(received / "config.json") as content:
        content["predict"]["output"] = content["explain"]["output"] = str(tmp_path / "elsewhere.csv")
    config = open_run(received).config
    assert (config.predict.output, config.explain.output) == ("", "")


@pytest.mark.parametrize(
    ("settings", "attention"),
    [
        ({"model.name": "efficientnet_lite0"}, "mean"),
        ({"model.name": "vit_small", "model.branching": "none"}, "auto"),
        ({"model.name": "convnext_tiny", "model.branching": "none", "eval.test_mode": "second_look"}, "mean"),
        ({"model.name": "resnet18"}, "auto"),
    ],
)
def test_a_run_from_before_there_was_a_choice_of_attention_keeps_its_own(tmp_path, settings, attention):
    """`auto` is the mean with ResNets, and where nothing follows the map the better one may be shown."""
    config = copy_with(base_config(), settings)
    del config.asae["attention"]
    (tmp_path / "config.json").write_text(config.to_json())
    assert read_run_config(tmp_path).asae.attention == attention


@pytest.mark.parametrize("section", ["data", "model", "augment"])
def test_settings_without_a_section_are_not_completed_by_defaults(workdir, tmp_path, section):
    received = tmp_path / "run"
    shutil.copytree(workdir, received)
    with edited(received / "config.json") as content:
        del content[section]
    with pytest.raises(UserError, match=f"has no section '{section}'"):
        open_run(received)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"run"'])
def test_settings_that_are_none_are_refused(workdir, tmp_path, text):
    received = tmp_path / "run"
    shutil.copytree(workdir, received)
    (received / "config.json").write_text(text)
    with pytest.raises(UserError, match="is damaged"):
        open_run(received)


def test_reordered_classes_are_refused(workdir, tmp_path):
    """Every cell would get another name."""
    received = tmp_path / "run"
    shutil.copytree(workdir, received)
    with edited(received / folder.RUN_FILE) as record:
        record["class_names"] = record["class_names"][::-1]
    with pytest.raises(UserError, match="is not as training wrote it"):
        open_run(received)


def test_a_run_started_anew_is_not_bound_by_what_was_there(tmp_path):
    """Checkpoints and metrics were deleted, to train again in the same folder."""
    cache = str(tmp_path / "cache")
    workdir = tmp_path / "run"
    untrained_run(workdir, _config(data__cache_dir=cache), CLASSES)
    assert (workdir / "digests.json").exists()
    shutil.rmtree(workdir / "checkpoints")
    new_run(_config(data__cache_dir=cache), workdir).start()
    assert len(open_run(workdir).class_names) == 14


@pytest.mark.parametrize("inside", ["", "runs/mine"])
def test_a_run_among_its_own_images_is_refused(tmp_path, inside):
    for name in ("A/1.png", "B/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    config = _config(data__source="folder", data__path=str(tmp_path))
    with pytest.raises(UserError, match=r"lies in the folder of the images, .*choose another"):
        new_run(config, tmp_path / inside)
