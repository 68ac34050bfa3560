"""The tables are the paper's, whole; every row takes two steps at a tiny size by its registered name."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax import keys
from asae_jax.config import check, flatten, recipe
from asae_jax.errors import UserError
from asae_jax.experiments.rows import PAPER_TABLES, ROWS, TABLES, Comparison, chosen_tables
from asae_jax.experiments.settings import row_config
from asae_jax.run import build, parallel, steps
from asae_jax.run.state import create_state
from asae_jax.training.optimizer import create_optimizer, create_schedule
from tests.experiments.fakes import base_config
from tests.quick import quick_options

PAPER = {
    "1": [72.61, 73.02, 73.53],
    "2": [73.53, 74.03, 74.79, 74.10, 75.11],
    "3": [71.21, 72.03, 72.13, 73.36, 73.53, 75.11],
    "4": [75.11, 76.42, 77.63],
    "5": [69.63, 70.21, 72.61, 73.12, 73.29, 73.84, 77.63],
}


def test_the_papers_tables_are_there_whole():
    assert {name: [entry.paper for entry in TABLES[name].entries] for name in PAPER_TABLES} == PAPER


def test_every_row_has_a_configuration_that_can_be_run():
    for row in ROWS.values():
        config = row_config(base_config(), row, seed=0)
        check(config)
        build.create_network(config, 8)


def test_rows_from_random_weights_start_from_random_weights_whatever_is_given():
    given = base_config(init__pretrained="runs/blood", init__freeze="layer2", init__views=4)
    rows = [row for row in ROWS.values() if "random weights" in row.label.lower()]
    assert len(rows) == 3
    for row in rows:
        config = row_config(given, row, seed=0)
        assert (config.init.pretrained, config.init.freeze, config.init.views) == ("", "", 0), row.label


@pytest.mark.parametrize("recipe_name", ["default", "own_cells", "drawn_cells"])
def test_rows_that_say_adamw_are_trained_with_pytorch_s(recipe_name):
    """Whatever is given: with Nesterov momentum, which many recipes set, it would be NAdam."""
    noted = {name: row for name, row in ROWS.items() if "AdamW" in row.note}
    assert {"convnext", "efficientnet", "vit"} < set(noted)
    for row in noted.values():
        optimizer = row_config(recipe(recipe_name), row, seed=0).optimizer
        assert (optimizer.name, optimizer.nesterov) == ("adamw", False)


def test_only_rows_of_the_table_are_compared_and_each_row_is():
    for name, table in TABLES.items():
        rows = [entry.row for entry in table.entries]
        compared = {row for c in table.comparisons for row in (c.row, c.other)}
        assert len(rows) == len(set(rows)), name
        assert compared == set(rows), name


def test_no_row_is_without_a_table():
    assert set(ROWS) == {entry.row for table in TABLES.values() for entry in table.entries}


def test_the_same_row_has_the_same_number_in_all_of_the_papers_tables():
    numbers = {}
    for name in PAPER_TABLES:
        for entry in TABLES[name].entries:
            assert numbers.setdefault(entry.row, entry.paper) == entry.paper


def test_the_papers_gains_are_those_of_its_text():
    def gain(name, row, other):
        return TABLES[name].paper_gain(Comparison(row, other))

    assert gain("2", "as-layer3", "baseline") == pytest.approx(1.26)
    assert gain("2", "ae-layer3", "baseline") == pytest.approx(0.57)
    assert gain("2", "asae", "as-layer3") == pytest.approx(0.32)
    assert gain("3", "resnet18-asae", "resnet18") == pytest.approx(1.23)
    assert gain("4", "asae-gmmce", "asae") == pytest.approx(2.52)
    assert gain("baselines", "asae", "dropout") is None


def test_tables_are_chosen_by_name_in_their_own_order():
    assert list(chosen_tables("4, 1,baselines")) == ["1", "4", "baselines"]
    assert list(chosen_tables("all")) == [name for name in TABLES if name != "transfer"]


def test_a_table_is_found_by_its_former_name():
    assert list(chosen_tables("rivals")) == ["baselines"]


@pytest.mark.parametrize("names", ["6", "", "1,two", ","])
def test_an_unknown_table_is_refused_with_the_known_ones(names):
    with pytest.raises(UserError, match=r"1, 2, 3, 4, 5, baselines"):
        chosen_tables(names)


NUM_CLASSES = 9  # more than GMMCE keeps
STEPS = 2

_SHALLOW = {
    "resnet18": {"stage_sizes": (1, 1, 1, 1)},
    "se_resnet18": {"stage_sizes": (1, 1, 1, 1)},
    "resnet50": {"stage_sizes": (2, 1, 1, 1)},
    "convnext_tiny": {"stage_sizes": (1, 1, 1, 1)},
    "efficientnet_b0": {"repeats": (1,) * 7},
    "vit_small": {"stage_sizes": (1, 1, 1, 1)},
}
# One block of each kind is enough; all of them took half of this file's time.


def _tiny(name):
    """The row's own settings on a network of width 8 that sees 32 px."""
    config = row_config(base_config(), ROWS[name], seed=0)
    config.data.stored_size, config.augment.size = 36, 32
    config.model.width = 8
    config.model.stem = "small"
    config.optimizer.learning_rate = 0.01
    return config


def _network(config, axis_name=None):
    network = build.create_network(config, NUM_CLASSES, axis_name=axis_name)
    return network.clone(backbone=network.backbone.clone(**_SHALLOW.get(config.model.name, {})))


def _state(config, optimizer):
    """A state with the shapes of a fresh one, filled at random: drawing that one has to be compiled."""
    start = functools.partial(
        create_state,
        _network(config),
        optimizer,
        image_size=config.augment.size,
        with_average=config.optimizer.ema_decay > 0,
    )
    shapes = jax.eval_shape(start, keys.stream_key(0, "init"))
    rng = np.random.default_rng(0)

    def fill(path, leaf):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.zeros(leaf.shape, leaf.dtype)
        if path[-1] == jax.tree_util.DictKey("var"):
            return jnp.ones(leaf.shape, leaf.dtype)
        return jnp.asarray(rng.normal(0, 0.05, leaf.shape), leaf.dtype)

    state = jax.tree_util.tree_map_with_path(fill, shapes)
    return state.replace(opt_state=optimizer.init(state.params))


def _update(config, optimizer):
    """The training step on batches `[1, images, ...]`."""
    update = functools.partial(
        steps.train_step,
        network=_network(config, parallel.AXIS),
        optimizer=optimizer,
        loss=build.create_loss(config, NUM_CLASSES, class_counts=np.arange(1, NUM_CLASSES + 1)),
        augment=build.create_augment(config),
        seed=0,
        axis_name=parallel.AXIS,
        ema_decay=config.optimizer.ema_decay,
        loss_per_branch=config.loss.branches == "mean_loss",
        agreement=config.loss.agreement,
        mix=build.create_mix(config),
    )
    mapped = jax.vmap(update, axis_name=parallel.AXIS, in_axes=(None, 0), out_axes=None)
    return jax.jit(mapped, compiler_options=quick_options())


def _batch():
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(1, NUM_CLASSES, 36, 36, 3), dtype=np.uint8)
    return {"image": jnp.asarray(images), "label": jnp.arange(NUM_CLASSES, dtype=jnp.int32)[None]}


_OF_THE_DATA = ("data.", "reproduce.")
_steps_taken = {}


def _two_steps(name):
    """States and metrics of the steps; rows that differ in their data alone share them."""
    config = _tiny(name)
    same = tuple(f"{n}={v}" for n, v in flatten(config).items() if not n.startswith(_OF_THE_DATA))
    if same not in _steps_taken:
        schedule = create_schedule(config.optimizer, steps_per_epoch=1, epochs=config.train.epochs)
        optimizer = create_optimizer(config.optimizer, schedule)
        states, measured = [_state(config, optimizer)], []
        update, batch = _update(config, optimizer), _batch()
        for _ in range(STEPS):
            state, metrics = update(states[-1], batch)
            states.append(state)
            measured.append(metrics)
        _steps_taken[same] = states, measured
    return _steps_taken[same]


@pytest.mark.parametrize("name", ROWS)
def test_every_row_takes_two_steps(name):
    states, measured = _two_steps(name)
    assert [int(state.step) for state in states] == [0, 1, 2]
    for metrics in measured:
        assert np.isfinite(float(metrics.sums.loss))
        assert float(metrics.gradient_norm) > 0
    before, after = (jax.tree.leaves(state.params) for state in (states[0], states[-1]))
    assert all(np.isfinite(leaf).all() for leaf in after)
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
