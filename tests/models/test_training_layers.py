"""What all rivals of ASAE have in common: they disturb in training only, per image of the global batch."""

import functools

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from asae_jax.errors import UserError
from asae_jax.models import BRANCHINGS, create_model
from asae_jax.models.backbones.base import Backbone
from asae_jax.models.baselines.drop_layers import STREAM, DiversificationBlock, TrainingLayer
from asae_jax.models.network import Network

RIVALS = {name: layer for name, layer in BRANCHINGS.items() if name != "asae"}
# So that something happens to nearly every image.
OPTIONS = {
    "dropout": {"rate": 0.5},
    "spatial_dropout": {"rate": 0.5},
    "maxdrop": {"rate": 0.5},
    "dropblock": {"rate": 0.5, "block_size": 3},
    "adl": {},
    "diversification": {},
}
KEY = jax.random.key(5)
DEVICES = 4


def _features(batch=8, seed=0):
    features = np.random.default_rng(seed).normal(size=(batch, 9, 8, 6))
    return np.maximum(features, 0).astype(np.float32)


def _layer(name, **options):
    return RIVALS[name](**OPTIONS[name], **options)


def _train(layer, features):
    return layer.apply({}, features, train=True, rngs={STREAM: KEY})


@functools.cache
def _compiled(name):
    return jax.jit(functools.partial(_train, _layer(name)))


@pytest.mark.parametrize("name", RIVALS)
def test_it_has_no_variables_and_is_the_input_itself_at_test(name):
    layer, features = RIVALS[name](), _features()
    assert isinstance(layer, TrainingLayer)
    assert jax.eval_shape(lambda: layer.init({STREAM: KEY}, features, train=True)) == {}
    assert layer.apply({}, features, train=False) is features
    with pytest.raises(flax.errors.InvalidRngError, match=STREAM):
        jax.eval_shape(lambda: layer.apply({}, features, train=True))


@pytest.mark.parametrize("name", RIVALS)
def test_training_disturbs_and_keeps_shape_and_dtype(name):
    features = _features()
    out = np.asarray(_compiled(name)(features))
    assert (out.shape, out.dtype) == (features.shape, features.dtype)
    assert np.isfinite(out).all()
    assert (out != features).any()
    rounded = jax.ShapeDtypeStruct(features.shape, jnp.bfloat16)
    assert jax.eval_shape(functools.partial(_train, _layer(name)), rounded).dtype == jnp.bfloat16


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", RIVALS)
def test_the_result_does_not_depend_on_how_the_batch_is_spread(name):
    features = _features().astype(np.float64)
    spread = jax.pmap(
        functools.partial(_train, _layer(name, axis_name="device")),
        axis_name="device",
        devices=jax.devices()[:DEVICES],
    )(features.reshape(DEVICES, -1, *features.shape[1:]))
    whole = _compiled(name)(features)
    np.testing.assert_allclose(np.asarray(spread).reshape(features.shape), whole, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in RIVALS if name != "dropblock"])
def test_a_part_of_the_batch_is_disturbed_as_within_the_whole(name):
    """DropBlock rescales by the share that is kept of what it sees."""
    part = functools.partial(_layer(name).apply, {}, train=True, first_example=3, rngs={STREAM: KEY})
    np.testing.assert_allclose(jax.jit(part)(_features()[3:]), _compiled(name)(_features())[3:], rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in RIVALS if name != "adl"])
def test_equal_images_of_a_batch_are_disturbed_differently(name):
    out = np.asarray(_compiled(name)(np.repeat(_features(1), 8, axis=0)))
    assert len({image.tobytes() for image in out}) > 4


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dropout", {"rate": 1.0}, "below 1"),
        ("spatial_dropout", {"rate": -0.1}, "at least 0"),
        ("dropblock", {"block_size": 0}, "positions"),
        ("adl", {"threshold": 1.1}, "threshold of ADL"),
        ("diversification", {"factor": 2.0}, "factor of the Diversification Block"),
        ("diversification", {"patch_size": 0}, "patch_size"),
    ],
)
def test_wrong_settings_are_refused_at_once(name, options, message):
    with pytest.raises(UserError, match=message):
        RIVALS[name](**options)


def _model(branching, **options):
    settings = {"stem": "small", "width": 4, "stage_sizes": (1, 1, 1, 1)} | options
    return create_model("resnet18", 5, branching=branching, **settings)


IMAGES = np.zeros((4, 16, 16, 3), np.float32)


def _apply(model, variables):
    return model.apply(
        variables, IMAGES, train=True, return_endpoints=True, mutable=["batch_stats"], rngs={STREAM: KEY}
    )


@pytest.mark.parametrize("insert_after", ["layer1", "layer4", "class_maps"])
@pytest.mark.parametrize("name", RIVALS)
def test_it_fits_after_any_stage_and_leaves_the_network_one_set_of_logits(name, insert_after):
    model = _model(name, insert_after=insert_after)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), IMAGES, train=False))
    plain = jax.eval_shape(lambda: _model(None).init(jax.random.key(0), IMAGES, train=False))
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, plain)
    (logits, endpoints), _ = jax.eval_shape(functools.partial(_apply, model), variables)
    assert logits.shape == (4, 5)
    assert endpoints["layer4"].shape == (4, 2, 2, 32)


def test_at_test_the_network_is_the_plain_backbone():
    model = _model("dropblock", test_mode="mean", axis_name="device")
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), IMAGES, train=False))
    programs = [
        str(jax.make_jaxpr(functools.partial(m.apply, train=False))(variables, IMAGES))
        for m in (model, _model("dropblock").clone(branching=None))
    ]
    assert programs[0] == programs[1]


class _Identity(nn.Module):
    def __call__(self, x, *, train):
        return x


class _OnlyAHead(Backbone):
    """A backbone whose features are the images."""

    stage_names = ("layer0",)
    stems = ("imagenet",)

    def stages(self):
        return (_Identity(),)


def test_class_maps_average_to_the_logits():
    """A block that weakens by the factor 1 changes nothing, so pooling may as well come after the head."""
    model = Network(_OnlyAHead(num_classes=5), DiversificationBlock(factor=1.0), insert_after="class_maps")
    images = np.random.default_rng(1).normal(size=(4, 6, 6, 3)).astype(np.float32)

    @jax.jit
    def both(key):
        variables = model.init(key, images, train=False)
        plain = model.clone(branching=None).apply(variables, images, train=True)
        with_maps = model.apply(variables, images, train=True, return_endpoints=True, rngs={STREAM: key})
        return plain, *with_maps

    plain, logits, endpoints = both(KEY)
    assert endpoints["class_maps"].shape == (4, 6, 6, 5)
    np.testing.assert_allclose(logits, plain, rtol=1e-4, atol=1e-5)
