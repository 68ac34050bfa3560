"""Batch statistics of other images: a network whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax.config import copy_with
from asae_jax.inference.adapt.cells import scorer
from asae_jax.inference.adapt.statistics import (
    MOST_WEIGHT,
    between,
    drawn_rows,
    estimated_statistics,
    share_of_new,
)
from asae_jax.run.run import Run, open_run
from tests.inference.predict.conftest import _shallow, folder, images, runs

__all__ = ["_shallow", "folder", "images", "runs"]


@pytest.fixture(scope="module")
def cells():
    """uint8 `[16, 20, 20, 3]`, dark enough to be made brighter without being cut off."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(20, 100, (16, 5, 5, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


@pytest.fixture(scope="module")
def run(runs):
    whole = open_run(runs[0])
    return Run(whole.workdir, copy_with(whole.config, {"eval.batch_size": 16}).lock(), whole.class_names)


def _pointwise(variables):
    """The variables with a first convolution that sees one pixel: beyond the border nothing is padded."""

    def centre_only(path, leaf):
        if leaf.ndim != 4 or leaf.shape[2] != 3:
            return leaf
        middle = leaf.shape[0] // 2
        return jnp.zeros_like(leaf).at[middle, middle].set(leaf[middle, middle])

    params = jax.tree_util.tree_map_with_path(centre_only, dict(variables["params"]))
    return {"params": params, "batch_stats": variables["batch_stats"]}


def _adapted(run, variables, images):
    new = estimated_statistics(run, variables, images, [np.arange(len(images))])
    return variables | {"batch_stats": between(variables["batch_stats"], new, 1.0)}


def test_another_light_and_gain_are_undone_exactly(run, cells):
    """Twice as bright and 11 more is a linear change of each channel, which normalisation takes out."""
    variables, score = _pointwise(run.variables), scorer(run)
    other = 2 * cells + 11
    changed = np.abs(score(variables, other)[0] - score(variables, cells)[0]).max()
    at_home, _ = score(_adapted(run, variables, cells), cells)
    elsewhere, _ = score(_adapted(run, variables, other), other)
    np.testing.assert_allclose(elsewhere, at_home, atol=2e-3)
    assert changed > 0.05


def test_statistics_are_those_of_the_images_alone(run, cells):
    """The first normalisation's mean and variance, computed by hand from the convolution in front of it."""
    new = estimated_statistics(run, run.variables, cells, [np.arange(16)])
    flat = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(new)}
    names = [name for name in flat if "layer0" in name]
    mean = flat[next(name for name in names if "'mean'" in name)]
    kernel = run.variables["params"]
    kernels = {jax.tree_util.keystr(p): k for p, k in jax.tree_util.tree_leaves_with_path(kernel)}
    stem = next(k for name, k in kernels.items() if k.ndim == 4 and k.shape[2] == 3)
    inputs = run.preprocess(jnp.asarray(cells))
    made = jax.lax.conv_general_dilated(
        inputs, stem, (1, 1), [(1, 1), (1, 1)] if stem.shape[0] == 3 else "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    np.testing.assert_allclose(mean, np.asarray(made).mean((0, 1, 2)), rtol=2e-3, atol=2e-4)
    variance = flat[next(name for name in names if "'var'" in name)]
    np.testing.assert_allclose(variance, np.asarray(made).var((0, 1, 2), ddof=1), rtol=5e-3, atol=1e-5)


def test_variance_between_batches_belongs_to_the_variance(run, cells):
    """Two batches of other light: at the first normalisation as all images at once."""
    both = np.concatenate([cells, 2 * cells + 11])
    whole = estimated_statistics(run, run.variables, both, [np.arange(32)])
    parts = estimated_statistics(run, run.variables, both, [np.arange(16), np.arange(16, 32)])

    def first(tree):
        leaves = {jax.tree_util.keystr(p): leaf for p, leaf in jax.tree_util.tree_leaves_with_path(tree)}
        return {name: leaf for name, leaf in leaves.items() if "layer0" in name}

    assert first(whole)
    for name, leaf in first(whole).items():
        np.testing.assert_allclose(first(parts)[name], leaf, rtol=1e-2, atol=1e-4, err_msg=name)


def test_the_run_is_not_changed_and_shares_are_between(run, cells):
    before = jax.tree.map(np.array, dict(run.variables))
    new = estimated_statistics(run, run.variables, cells, [np.arange(16)])
    jax.tree.map(np.testing.assert_array_equal, before, dict(run.variables))
    half = between(before["batch_stats"], new, 0.5)
    jax.tree.map(
        lambda a, b, c: np.testing.assert_allclose(c, (a + b) / 2, rtol=1e-5, atol=1e-6),
        before["batch_stats"], new, half,
    )  # fmt: skip
    assert share_of_new(300, 100.0) == 0.75
    assert share_of_new(5, 0.0) == 1


def test_batches_hold_every_image_or_the_wanted_mixture():
    plain = drawn_rows(10, 4, wanted=None, predicted=np.zeros(10, int), seed=0)
    assert [len(rows) for rows in plain] == [4, 4, 4]
    assert set(np.concatenate(plain)) == set(range(10))
    predicted = np.array([0] * 800 + [1] * 200)
    drawn = np.concatenate(drawn_rows(1000, 500, wanted=np.array([0.4, 0.6]), predicted=predicted, seed=0))
    assert abs((predicted[drawn] == 1).mean() - 0.6) < 0.06  # four standard errors of 1,000 draws
    rare = np.array([0] * 990 + [1] * 10)
    drawn = np.concatenate(drawn_rows(1000, 500, wanted=np.array([0.01, 0.99]), predicted=rare, seed=0))
    weight = MOST_WEIGHT * 10 / (MOST_WEIGHT * 10 + 990 * 0.01 / 0.99)
    assert abs((rare[drawn] == 1).mean() - weight) < 0.06
