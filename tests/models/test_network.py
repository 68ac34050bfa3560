"""The backbone with the layer in it: branches in training, what happens at test, endpoints."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax.errors import UserError
from asae_jax.models import create_model
from asae_jax.models.network import TEST_MODES
from tests.reference import asae as reference

pytestmark = pytest.mark.usefixtures("float64")

CLASSES = 5
RNGS = {"asae": jax.random.key(3)}
MAPS = {"attention", "peaks", "rows", "cols", "mask", "enhancement"}
STAGES = {"layer0", "layer1", "layer2", "layer3", "layer4"}


def _model(**options):
    settings = {"width": 8, "stem": "small", "branching": "asae", "insert_after": "layer2"}
    settings |= {"dtype": jnp.float64, **options}
    return create_model("resnet18", CLASSES, stage_sizes=(1, 1, 1, 1), **settings)


def _images():
    return np.random.default_rng(0).normal(size=(3, 28, 28, 3))


@functools.cache
def _variables():
    """Random values that differ from those of the start, without compiling anything."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda: _model().init(jax.random.key(0), _images(), train=False))

    def draw(path, leaf):
        if leaf.ndim > 1:
            return rng.normal(0, np.sqrt(2 / np.prod(leaf.shape[:-1])), leaf.shape)
        positive = path[-1].key in ("scale", "var")
        return rng.uniform(0.5 if positive else -0.2, 1.5 if positive else 0.2, leaf.shape)

    return jax.tree_util.tree_map_with_path(draw, shapes)


@functools.cache
def _train(**options):
    """((logits, endpoints), updated collections) of a training pass; float32 variables with a `dtype`."""
    variables = jax.tree.map(np.float32, _variables()) if "dtype" in options else _variables()
    return jax.jit(lambda v: _apply_train(_model(**options), v))(variables)


def _apply_train(model, variables):
    return model.apply(
        variables, _images(), train=True, return_endpoints=True, mutable=["batch_stats"], rngs=RNGS
    )


@functools.cache
def _test(**options):
    """(logits, endpoints) of a test pass."""
    apply = functools.partial(_model(**options).apply, train=False, return_endpoints=True)
    return jax.jit(apply)(_variables(), _images())


def _later_stages(model, x, *, train):
    for name in ("layer3", "layer4"):
        x = model.backbone.apply_stage(name, x, train=train)
    return model.backbone.classify(x)


@functools.partial(jax.jit, static_argnames="train")
def _apply_later_stages(variables, x, *, train):
    return _model().apply(variables, x, train=train, mutable=["batch_stats"], method=_later_stages)


def _assert_close(actual, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11), actual, expected)


def test_training_equals_calling_the_later_stages_once_per_branch():
    (logits, endpoints), updated = _train()
    assert logits.shape == (2, 3, CLASSES)
    assert endpoints.keys() == STAGES | MAPS
    assert endpoints["layer2"].shape == (3, 14, 14, 16)
    assert endpoints["layer4"].shape == (2, 3, 4, 4, 64)

    updated = updated["batch_stats"]["backbone"]
    front = {k: updated[k] for k in ("layer0", "layer1", "layer2")}
    stats = _variables()["batch_stats"]["backbone"] | front
    for branch, spatial in enumerate((endpoints["mask"], endpoints["enhancement"])):
        features = endpoints["layer2"] * spatial[..., None]
        state = {"params": _variables()["params"], "batch_stats": {"backbone": stats}}
        expected, new = _apply_later_stages(state, features, train=True)
        _assert_close(logits[branch], expected)
        stats = new["batch_stats"]["backbone"]
    _assert_close(updated, stats)


def test_the_front_runs_once_and_its_statistics_see_plain_features():
    branched, plain = (_train(branching=b)[1]["batch_stats"]["backbone"] for b in ("asae", None))
    for stage in ("layer0", "layer1", "layer2"):
        _assert_close(branched[stage], plain[stage])
    later = [stats["layer3"]["block0"]["bn1"]["var"] for stats in (branched, plain)]
    assert np.abs(later[0] - later[1]).max() > 1e-2


def test_without_a_layer_training_gives_one_set_of_logits():
    (logits, endpoints), _ = _train(branching=None)
    assert logits.shape == (3, CLASSES)
    assert endpoints.keys() == STAGES


def test_joint_statistics_are_not_the_separate_ones():
    separate, joint = (_train(branch_statistics=s)[0][0] for s in ("separate", "joint"))
    assert jnp.abs(separate - joint).max() > 1e-2


def test_by_default_the_layer_is_skipped_at_test_and_not_even_computed():
    np.testing.assert_array_equal(_test()[0], _test(branching=None)[0])
    programs = [
        jax.make_jaxpr(functools.partial(model.apply, train=False))(_variables(), _images())
        for model in (_model(axis_name="device"), _model(branching=None))
    ]
    assert str(programs[0]) == str(programs[1])


def test_what_happens_at_test_changes_nothing_in_training():
    programs = [
        jax.make_jaxpr(functools.partial(_apply_train, _model(test_mode=mode)))(_variables())
        for mode in TEST_MODES
    ]
    assert len(TEST_MODES) == 4
    assert len(set(map(str, programs))) == 1


def test_enhance_keeps_the_enhanced_branch_at_test():
    features = np.asarray(_test(branching=None)[1]["layer2"])
    sigmoid = reference.enhancement_map(features.mean(-1))
    expected, _ = _apply_later_stages(_variables(), features * sigmoid[..., None], train=False)
    _assert_close(_test(test_mode="enhance")[0], expected)


def test_mean_averages_the_branches_with_the_highest_peak_hidden():
    features = np.asarray(_test(branching=None)[1]["layer2"])
    attention = features.mean(-1)
    peaks = [reference.ranked_peaks(a, reference.find_peaks(a, 5))[0] for a in attention]
    masks = [reference.suppression_mask(a, *p, 0.8, 36) for a, p in zip(attention, peaks, strict=True)]
    probabilities = []
    for spatial in (np.stack(masks), reference.enhancement_map(attention)):
        logits, _ = _apply_later_stages(_variables(), features * spatial[..., None], train=False)
        probabilities.append(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))
    _assert_close(_test(test_mode="mean")[0], np.log(np.mean(probabilities, 0)))


@pytest.mark.parametrize("test_mode", ["skip", "enhance", "mean"])
def test_the_maps_are_endpoints_at_test_too(test_mode):
    endpoints = _test(test_mode=test_mode)[1]
    assert endpoints.keys() == STAGES | MAPS
    np.testing.assert_allclose(endpoints["attention"], endpoints["layer2"].mean(-1), rtol=1e-12)
    attention, peaks = np.asarray(endpoints["attention"]), np.asarray(endpoints["peaks"])
    chosen = [reference.ranked_peaks(a, p)[0] for a, p in zip(attention, peaks, strict=True)]
    np.testing.assert_array_equal(np.stack([endpoints["rows"], endpoints["cols"]], 1), chosen)
    assert _test(branching=None)[1].keys() == STAGES


@pytest.mark.parametrize("insert_after", ["layer0", "layer4"])
@pytest.mark.parametrize("name", ["resnet50", "vgg16_bn"])
def test_the_layer_fits_after_any_stage_of_any_backbone(name, insert_after):
    model = create_model(name, CLASSES, width=4, stem="small", branching="asae", insert_after=insert_after)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), _images(), train=False))
    (logits, endpoints), _ = jax.eval_shape(lambda v: _apply_train(model, v), variables)
    assert logits.shape == (2, 3, CLASSES)
    for stage in STAGES:
        assert endpoints[stage].ndim == (5 if stage > insert_after else 4)
    assert endpoints["mask"].shape == endpoints[insert_after].shape[:3]


def test_images_that_vanish_on_the_way_are_refused():
    with pytest.raises(UserError, match="28 x 28 images after layer4"):
        jax.eval_shape(lambda: create_model("vgg16", 5).init(jax.random.key(0), _images(), train=False))


def test_bfloat16_computes_in_it_and_scores_in_float32():
    (logits, endpoints), updated = _train(dtype=jnp.bfloat16)
    assert logits.dtype == jnp.float32
    assert {endpoints[stage].dtype for stage in STAGES} == {jnp.dtype(jnp.bfloat16)}
    assert {endpoints[m].dtype for m in ("attention", "mask", "enhancement")} == {jnp.dtype(jnp.float32)}
    assert {leaf.dtype for leaf in jax.tree.leaves(updated)} == {jnp.dtype(jnp.float32)}
    # The choice of the peak may differ by rounding: compare where it cannot.
    exact = _train(branching=None, dtype=jnp.float32)[0][0]
    assert exact.dtype == jnp.float32
    rounded = _train(branching=None, dtype=jnp.bfloat16)[0][0]
    assert 0 < jnp.abs(rounded - exact).max() < 0.05 * jnp.abs(exact).max()


@pytest.mark.parametrize("norm", ["group", "frozen_batch"])
def test_other_norms_make_training_and_test_agree(norm):
    """Neither depends on the batch, so the plain network gives the same logits in both."""
    (logits, _), updated = _train(branching=None, norm=norm)
    _assert_close(logits, _test(branching=None, norm=norm)[0])
    _assert_close(updated.get("batch_stats", {}), _variables()["batch_stats"])
