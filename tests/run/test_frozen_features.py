"""Training from kept features of the frozen stages is training with these stages, on the same views."""

import functools
import itertools
import json
import shutil
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from asae_jax import cli, keys
from asae_jax.config import check
from asae_jax.errors import UserError
from asae_jax.input import store
from asae_jax.run import build, frozen_features, parallel, steps
from asae_jax.run.checkpoint import Checkpoints
from asae_jax.run.data import load_data
from asae_jax.run.state import create_state
from asae_jax.training.optimizer import create_optimizer
from tests.made_runs import untrained_run
from tests.quick import quick_options
from tests.training.tiny import BATCH_SIZE, NUM_CLASSES, tiny_config

FREEZE = "layer2"
UNCHANGED = {"augment__size": 36, "augment__scale_min": 1.0, "augment__horizontal_flip": False,
             "augment__vertical_flip": False, "augment__rotation": 0.0, "augment__brightness": 0.0,
             "augment__contrast": 0.0, "augment__saturation": 0.0, "augment__hue": 0.0}  # fmt: skip
"""Every view is the image itself."""


pytestmark = pytest.mark.usefixtures("shallow_networks", "blank_pictures")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def _config(cache, **changes):
    options = {"init__pretrained": "x", "init__freeze": FREEZE, "init__views": 2,
               "init__views_dtype": "float32", "data__cache_dir": str(cache)}  # fmt: skip
    return tiny_config(**options | changes)


def _optimizer(config):
    constant = optax.constant_schedule(0.05)
    frozen_stages = build.create_network(config, NUM_CLASSES).frozen_stages
    return create_optimizer(config.optimizer, constant, frozen=frozen_stages)


@functools.cache
def _first_state(width=8):
    """With running statistics that are not those of any batch."""
    config = tiny_config(init__pretrained="x", init__freeze=FREEZE, model__width=width)
    state = create_state(
        build.create_network(config, NUM_CLASSES), _optimizer(config), jax.random.key(0), image_size=32
    )
    statistics = jax.tree.map(lambda x: x + 0.25, state.batch_stats)
    return jax.tree.map(np.asarray, state.replace(batch_stats=statistics))


def _variables(state=None):
    return dict((state or _first_state()).variables())


@pytest.fixture(scope="module")
def data(cache):
    return load_data(_config(cache), cache / "run")


def _features(config, data, cache, variables=None):
    return frozen_features.front_features(
        config, data, variables or _variables(), cache / "run", progress=False
    )


# The step.


def _float64_steps():
    """The step with the frozen stages, that without, the front's, and the views that all of them are of.

    Narrow, and of images of 24 pixels: in float64 XLA's convolutions are slow.
    """
    options = {"init__pretrained": "x", "init__freeze": FREEZE, "model__insert_after": FREEZE}
    config = tiny_config(model__width=4, augment__size=24, **options)
    draw = build.create_augment(config)

    def views(key, images, first_example=0):
        """Drawn as for view 3 of rows 40, 41, ..., whatever the key."""
        rows = 40 + first_example + jnp.arange(len(images))
        view_keys = keys.view_keys(keys.stream_key(0, "views"), jnp.full(len(images), 3), rows)
        return draw(view_keys, images).astype(jnp.float64)

    network = build.create_network(config, NUM_CLASSES, axis_name=parallel.AXIS)
    network = network.clone(backbone=network.backbone.clone(dtype=jnp.float64))
    common = {"optimizer": _optimizer(config), "loss": build.create_loss(config, NUM_CLASSES), "seed": 0,
              "axis_name": parallel.AXIS, "augment": views}  # fmt: skip
    whole = functools.partial(steps.train_step, network=network, **common)
    rest = functools.partial(steps.train_step, network=network.clone(start_after=FREEZE), **common)
    front = functools.partial(steps.front_step, network=network, augment=views, seed=0, dtype=jnp.float64)
    return whole, rest, front


def _mapped(step, devices):
    """`step(state, batch)` over so many shares of a batch, in one program; the results of the first."""
    mapped = jax.jit(
        jax.vmap(step, axis_name=parallel.AXIS, in_axes=(None, 0), out_axes=0),
        compiler_options=quick_options(),
    )
    split = functools.partial(jax.tree.map, lambda x: x.reshape(devices, -1, *x.shape[1:]))
    return lambda state, batch: mapped(state, split(batch))


def _batch():
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (BATCH_SIZE, 36, 36, 3), np.uint8),
        "label": np.arange(BATCH_SIZE, dtype=np.int32) % NUM_CLASSES,
        "index": 40 + np.arange(BATCH_SIZE, dtype=np.int32),
        "view": np.full(BATCH_SIZE, 3, np.int32),
    }


@pytest.mark.usefixtures("float64")
def test_the_step_from_features_is_the_step_with_the_frozen_stages():
    """Loss, gradient (by its norm and the optimiser's momentum), parameters and statistics; 1 = 2 devices."""
    whole, rest, front = _float64_steps()
    state = jax.tree.map(lambda x: x.astype(np.float64) if x.dtype == np.float32 else x, _first_state(4))
    batch = _batch()
    features = parallel.join(_mapped(front, 1)(dict(state.variables()), batch))
    assert features.shape == (BATCH_SIZE, 12, 12, 8)
    expected, expected_metrics = _mapped(whole, 1)(state, {n: batch[n] for n in ("image", "label")})
    given = {"features": features, "label": batch["label"]}
    for devices in (1, 2):
        found, metrics = _mapped(rest, devices)(state, given)
        for a, b in zip(
            jax.tree.leaves((found, metrics.gradient_norm)),
            jax.tree.leaves((expected, expected_metrics.gradient_norm)),
            strict=True,
        ):
            np.testing.assert_allclose(a[0], b[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(metrics.sums.loss[0], expected_metrics.sums.loss[0], rtol=1e-6)
    moved = jax.tree.map(lambda a, b: not np.array_equal(a[0], b), expected.params, state.params)
    assert moved["backbone"]["head"]["kernel"]
    assert not any(jax.tree.leaves(moved["backbone"][FREEZE]))


def test_the_configured_step_on_kept_features_and_on_images_are_one(cache, tmp_path, monkeypatch):
    """Where every view is the image itself: the steps of the settings, on the run's own batches."""
    monkeypatch.setattr(parallel, "parallel_update", lambda step: _mapped(step, 1))
    config = _config(cache, **UNCHANGED, init__views=1)
    data = load_data(config, tmp_path / "run")
    features = _features(config, data, cache)
    plain = _config(cache, **UNCHANGED, init__views=0)
    kept, images = features.training_batches(data, config), data.training_batches(plain)
    states, losses = [], []
    for settings, batches in ((config, kept), (plain, images)):
        update = build.compiled_train_step(settings, NUM_CLASSES, _optimizer(settings))
        state, metrics = update(_first_state(), next(batches))
        states.append(jax.tree.map(np.asarray, state))
        losses.append((metrics.sums.loss[0], metrics.gradient_norm[0]))
        batches.close()
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    for a, b in zip(jax.tree.leaves(states[0]), jax.tree.leaves(states[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_layer_in_front_of_the_features_is_refused_by_the_network():
    network = build.create_network(tiny_config(model__insert_after="layer1"), NUM_CLASSES)
    with pytest.raises(UserError, match=r"insert_after is 'layer1'.*layer2, layer3, layer4, class_maps"):
        network.clone(start_after="layer2")


# The features.


def test_kept_features_are_the_front_of_the_view_drawn_with_its_own_key(cache, data):
    """One image after another, with keys folded by hand and the endpoints of the network at test."""
    config = _config(cache)
    features = _features(config, data, cache)
    network = build.create_network(config, NUM_CLASSES)
    draw = build.create_augment(config)

    @functools.partial(jax.jit, compiler_options=quick_options())
    def front(key, image):
        views = draw(key[None], image[None])
        return network.apply(_variables(), views, train=False, return_endpoints=True)[1][FREEZE]

    for row, view in itertools.product(map(int, data.indices("train")[[0, 7, 50]]), range(2)):
        key = jax.random.fold_in(jax.random.key(config.seed), zlib.crc32(b"views"))
        key = jax.random.fold_in(jax.random.fold_in(key, view), row)
        kept = features.read_batch(np.array([row * 2 + view]), features.empty(1))
        np.testing.assert_allclose(kept, front(key, data.prepared.read(row)), rtol=1e-5, atol=1e-5)
        assert np.ptp(kept) > 0.1


def test_views_differ_and_float16_keeps_them_to_its_rounding(cache, data):
    exact = _features(_config(cache), data, cache)
    half = _features(_config(cache, init__views_dtype="float16"), data, cache)
    record = np.array([int(data.indices("train")[3]) * 2])
    first, second = (exact.read_batch(record + view, exact.empty(1)) for view in (0, 1))
    assert np.abs(first - second).max() > 0.1
    rounded = half.read_batch(record, half.empty(1))
    assert rounded.dtype == np.float16
    np.testing.assert_array_equal(rounded, first.astype(np.float16))


def test_batches_are_those_of_the_images_and_views_take_turns(cache, data):
    config = _config(cache)
    features = _features(config, data, cache)
    start = 1
    kept = features.training_batches(data, config, start_step=start)
    images = data.training_batches(config, start_step=start)
    seen: dict[int, int] = {}
    for row in data.sampler(config).batch(0):
        row = int(data.indices("train")[row])
        seen[row] = seen.get(row, 0) + 1
    for _ in range(4):
        batch, usual = next(kept), next(images)
        for name in ("label", "index"):
            np.testing.assert_array_equal(batch[name], usual[name])
        for row, found in zip(map(int, batch["index"]), batch["features"], strict=True):
            record = np.array([row * 2 + seen.get(row, 0) % 2])
            np.testing.assert_array_equal(found, features.read_batch(record, features.empty(1))[0])
            seen[row] = seen.get(row, 0) + 1
    kept.close()
    images.close()
    assert max(seen.values()) > 2


# The cache.


@pytest.fixture
def counted(monkeypatch):
    """Rows that were computed, with their view."""
    computed = []
    original = frozen_features._computed

    def count(config, data, variables, step, view, rows, size):
        for row, features in original(config, data, variables, step, view, rows, size):
            computed.append((view, row))
            yield row, features

    monkeypatch.setattr(frozen_features, "_computed", count)
    return computed


def test_what_is_there_is_not_computed_again_and_more_views_are_added(cache, data, counted):
    config = _config(cache)
    config.seed = 5
    _features(config, data, cache)
    train = sorted(map(int, data.indices("train")))
    assert sorted(counted) == [(view, row) for view in (0, 1) for row in train]
    counted.clear()
    _features(config, data, cache)
    assert counted == []
    config.init.views = 3
    _features(config, data, cache)
    assert sorted(counted) == [(2, row) for row in train]


def test_another_split_computes_what_it_alone_has(cache, data, counted, tmp_path):
    config = _config(cache)
    config.seed = 6
    _features(config, data, cache)
    counted.clear()
    config.data.split_seed = 1
    other = load_data(config, tmp_path / "other")
    _features(config, other, cache)
    new = np.setdiff1d(other.indices("train"), data.indices("train"))
    assert len(new)
    assert sorted(counted) == [(view, int(row)) for view in (0, 1) for row in new]


def test_an_interrupted_computation_goes_on_where_it_stopped(cache, data, counted, monkeypatch):
    config = _config(cache)
    config.seed = 7
    whole = _features(config, data, cache)
    records = np.concatenate([data.indices("train") * 2 + view for view in (0, 1)])
    expected = whole.read_batch(records, whole.empty(len(records)))
    shutil.rmtree(whole.stores[0].directory.parent)
    counted.clear()
    monkeypatch.setattr(frozen_features, "MARK_EVERY", 10)
    write, calls = store.RecordStore.write, itertools.count()

    def interrupted(self, index, record):
        if next(calls) == 25:
            raise KeyboardInterrupt
        write(self, index, record)

    with monkeypatch.context() as patch:
        patch.setattr(store.RecordStore, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _features(config, data, cache)
    counted.clear()
    again = _features(config, data, cache)
    assert len(counted) == len(records) - 20
    np.testing.assert_allclose(
        again.read_batch(records, again.empty(len(records))), expected, rtol=1e-5, atol=1e-5
    )


def test_damaged_features_are_refused_and_computed_anew_at_the_next_start(cache, data, counted):
    config = _config(cache)
    features = _features(config, data, cache)
    row = int(data.indices("train")[3])
    record = np.array([2 * row])
    expected = features.read_batch(record, features.empty(1)).copy()
    (file,) = features.stores[0].directory.glob("features.*")
    content = bytearray(file.read_bytes())
    content[row * features.stores[0].record_bytes + 7] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"view00 are damaged: start the same command again"):
        features.read_batch(record, features.empty(1))
    counted.clear()
    again = _features(config, data, cache)
    assert len(counted) == 1
    np.testing.assert_allclose(again.read_batch(record, again.empty(1)), expected, rtol=1e-5, atol=1e-5)


def _changed_weights():
    variables = jax.tree.map(np.array, _variables())
    variables["batch_stats"]["backbone"][FREEZE] = jax.tree.map(
        lambda x: x + 1e-6, variables["batch_stats"]["backbone"][FREEZE]
    )
    return variables


def test_whatever_changes_the_features_has_a_folder_of_its_own(cache, data):
    config = _config(cache)
    known = {frozen_features.fingerprint(config, data, _variables())}
    for changes in ({"augment__hue": 0.1}, {"augment__size": 16}, {"model__dtype": "bfloat16"},
                    {"model__stem": "no_pool"}, {"init__freeze": "layer1"},
                    {"init__views_dtype": "float16"}):  # fmt: skip
        known.add(frozen_features.fingerprint(_config(cache, **changes), data, _variables()))
    reseeded = _config(cache)
    reseeded.seed = 1
    known.add(frozen_features.fingerprint(reseeded, data, _variables()))
    known.add(frozen_features.fingerprint(config, data, _changed_weights()))
    assert len(known) == 9


def test_what_lies_behind_the_frozen_stages_costs_no_new_features(cache, data):
    config = _config(cache)
    found = {frozen_features.fingerprint(config, data, _variables())}
    for changes in ({"model__insert_after": "layer4"}, {"model__branching": "none"}, {"asae__area": 0.5},
                    {"model__branch_affine": "separate"}, {"model__remat": True}, {"init__views": 9},
                    {"loss__name": "ce"}, {"optimizer__learning_rate": 1.0}):  # fmt: skip
        found.add(frozen_features.fingerprint(_config(cache, **changes), data, _variables()))
    other_head = jax.tree.map(np.array, _variables())
    other_head["params"]["backbone"]["head"]["kernel"] += 1
    found.add(frozen_features.fingerprint(config, data, other_head))
    assert len(found) == 1


def test_a_zero_that_a_step_has_given_another_sign_costs_no_new_features(cache, data):
    """What is frozen at -0 is 0 from the first step on."""
    zeros, negative = (
        jax.tree.map(lambda x, sign=sign: np.where(x > 0.25, np.float32(sign * 0.0), x), _variables())
        for sign in (1, -1)
    )
    of_both = [frozen_features.fingerprint(_config(cache), data, v) for v in (zeros, negative)]
    assert of_both[0] == of_both[1]


def test_a_disk_without_room_is_refused_before_anything_is_written(cache, data, tmp_path, monkeypatch):
    config = _config(tmp_path / "small")
    usage = shutil.disk_usage(tmp_path)
    needed = 2 * len(data.indices("train")) * 16 * 16 * 16 * 4
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed - 1))
    with pytest.raises(UserError, match=r"No space left|bytes needed.*fewer views"):
        _features(config, data, tmp_path)
    assert not (tmp_path / "small").exists()


def test_features_beyond_float16_are_refused(cache, data):
    variables = jax.tree.map(np.array, _variables())
    of_stage = variables["params"]["backbone"][FREEZE]
    variables["params"]["backbone"][FREEZE] = jax.tree.map(lambda x: x * 1e6, of_stage)
    with pytest.raises(UserError, match=r"layer2 are not finite as float16.*views_dtype=float32"):
        _features(_config(cache, init__views_dtype="float16"), data, cache, variables)


def test_the_size_is_said_before(cache, data, capsys):
    frozen_features.front_features(_config(cache), data, _variables(), cache / "run")
    images = len(data.indices("train"))
    said = capsys.readouterr().out
    assert f"features after layer2: 2 views of {images} training images" in said
    assert f"{2 * images * 16**3 * 4 / 1e9:.2f} GB in {cache}" in said


# The command.


def _main(workdir, start, cache, *options):
    return cli.main([
        "train", "--config=tests/training/tiny_config_file.py", f"--workdir={workdir}",
        f"--config.data.cache_dir={cache}", f"--config.init.pretrained={start}",
        f"--config.init.freeze={FREEZE}", "--config.init.views=2", "--config.loss.name=ce", *options,
    ])  # fmt: skip


def _final_state(workdir):
    checkpoints = Checkpoints(workdir)
    try:
        return checkpoints.read(checkpoints.newest)
    finally:
        checkpoints.close()


def test_a_resumed_run_ends_as_an_uninterrupted_one_and_can_be_evaluated(cache, tmp_path, monkeypatch):
    start = untrained_run(tmp_path / "start", tiny_config(), tuple("abcdefghijklmn"), score=0.5)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert _main(whole, start, cache) == 0
    assert _main(parts, start, cache, "--config.train.max_steps=3") == 0
    assert _main(parts, start, cache) == 0
    found, expected = _final_state(parts), _final_state(whole)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    scores = [json.loads((run / "evaluation" / "test.json").read_text()) for run in (whole, parts)]
    assert scores[0]["num_examples"] == scores[1]["num_examples"] > 0
    assert scores[0]["accuracy"] == scores[1]["accuracy"]


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"init__freeze": ""}, "init.views=2.*set config.init.freeze too"),
        ({"model__insert_after": "layer1"}, "layer after layer1.*config.model.insert_after=layer2"),
        ({"augment__mix": "cutmix"}, "augment.mix=cutmix mixes images, set it to none"),
        ({"data__cache": False}, "set config.data.cache=True"),
        ({"init__views": -1}, "init.views.*at least 0"),
        ({"init__views_dtype": "float8"}, "init.views_dtype.*float16, float32"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, remedy):
    with pytest.raises(UserError, match=remedy):
        check(_config("x", **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"model__insert_after": FREEZE},
        {"model__insert_after": "class_maps"},
        {"model__insert_after": "layer1", "model__branching": "none"},
    ],
)
def test_settings_that_can_work_are_not(changes):
    check(_config("x", **changes))
