"""JAX functions against ONNX Runtime, for a batch size that was not known when they were translated."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from jax import lax

from asae_jax.errors import UserError
from asae_jax.inference.export.jaxpr_to_onnx import to_onnx
from tests.inference.export import made

SHAPE = (6, 7, 3)
RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(3, 3, 3, 4)).astype(np.float32)
DEPTHWISE = RNG.normal(size=(3, 3, 1, 6)).astype(np.float32)
DENSE = RNG.normal(size=(3, 5)).astype(np.float32)


def _conv(kernel, **options):
    def apply(x):
        return lax.conv_general_dilated(x, kernel, dimension_numbers=("NHWC", "HWIO", "NHWC"), **options)

    return apply


def _pool(x, kind, initial, padding):
    return lax.reduce_window(x, initial, kind, (1, 3, 2, 1), (1, 2, 1, 1), padding)


def _layer_norm(x):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(var + 1e-6)


def _attention(x):
    tokens = x.reshape(x.shape[0], -1, 3)
    weights = jax.nn.softmax(jnp.einsum("bqc,bkc->bqk", tokens, tokens) / 3**0.5)
    return jnp.einsum("bqk,bkc->bqc", weights, tokens)


def _at_highest(x):
    flat = x[..., 0].reshape(x.shape[0], -1)
    values, places = lax.top_k(flat, 3)
    return values + jnp.take_along_axis(flat, places[:, 1:2], axis=1) + (places % 7)


def _own_positions(x):
    """One position of each image, its row counted from the image's own number."""
    number = jnp.arange(x.shape[0])
    return x[number, number % 6, (number + 2) % 7]


FUNCTIONS = {
    "same": lambda x: x,
    "arithmetic": lambda x: (x + 2) * x / 3 - x**2 + jnp.sqrt(jnp.abs(x)) ** 0.5,
    "exponentials": lambda x: jnp.exp(-x) + jnp.log1p(x) + jax.nn.sigmoid(x) + jnp.tanh(x),
    "comparisons": lambda x: jnp.where((x > 0.5) & ~(x >= 0.9) | (x != x), x, -x),
    "minima": lambda x: jnp.clip(jnp.minimum(x, 0.7), 0.2, 0.6) + jnp.maximum(x, 0.1),
    "gelu": lambda x: jax.nn.gelu(x, approximate=False) + jax.nn.gelu(x) + jax.nn.silu(x),
    "not_finite": lambda x: jnp.isfinite(1 / (x - x)).astype(jnp.float32) + jax.scipy.special.erfc(x),
    "sums": lambda x: x.sum((1, 2)) + x.max((1, 2)) - x.min((1, 2)) + x.mean((1, 2)),
    "argmax": lambda x: x[..., 0].argmax(-1),
    "log_softmax": lambda x: jax.nn.log_softmax(x.mean((1, 2))),
    "logsumexp": lambda x: jax.nn.logsumexp(jnp.stack([x, 2 * x]), axis=0),
    "layer_norm": _layer_norm,
    "attention": _attention,
    "dense": lambda x: x @ DENSE,
    "conv": _conv(KERNEL, window_strides=(1, 1), padding="VALID"),
    "conv_strided": _conv(KERNEL, window_strides=(2, 2), padding=[(1, 1), (0, 2)]),
    "conv_dilated": _conv(KERNEL, window_strides=(1, 1), padding="SAME", rhs_dilation=(2, 1)),
    "conv_depthwise": _conv(DEPTHWISE, window_strides=(1, 1), padding="SAME", feature_group_count=3),
    "max_pool": lambda x: _pool(x, lax.max, -jnp.inf, "VALID"),
    "max_pool_padded": lambda x: _pool(x, lax.max, -jnp.inf, [(0, 0), (1, 1), (1, 0), (0, 0)]),
    "max_pool_of_maps": lambda x: lax.reduce_window(
        x[..., 0], jnp.float32(-jnp.inf), lax.max, (1, 3, 3), (1, 1, 1), "SAME"
    ),
    "sum_pool": lambda x: _pool(x, lax.add, 0.0, "VALID"),
    "crop": lambda x: x[:, 1:5, 2:6],
    "strided": lambda x: x[:, ::2, 1::3],
    "sliced": lambda x: lax.slice_in_dim(x, 1, 6, 2, axis=2),
    "reversed_axes": lambda x: x.transpose(0, 3, 2, 1),
    "pixels": lambda x: x[:, [0, 3, 5], [6, 2, 2]],
    "own_positions": _own_positions,
    "highest": _at_highest,
    "pad": lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)), constant_values=2.0),
    "cropping_pad": lambda x: lax.pad(x, jnp.float32(0), [(0, 0, 0), (-1, 2, 0), (1, -2, 0), (0, 0, 0)]),
    "parts": lambda x: jnp.concatenate(jnp.split(x, 3, axis=-1)[::-1], axis=1),
    "merged": lambda x: x.reshape(-1, 3).sum(-1),
    "repeated": lambda x: jnp.broadcast_to(x.mean((1, 2), keepdims=True), (2, *x.shape)),
    "numbered": lambda x: jnp.arange(x.shape[0] * 2).reshape(2, -1),
    "constant": lambda x: jnp.ones((x.shape[0], 2)),
}


def _session(function, **metadata):
    """`function` gets float images within 0..1."""
    model = to_onnx(
        lambda images: {"result": function(images.astype(jnp.float32) / 255)},
        image_shape=SHAPE,
        metadata=metadata,
    )
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_gives_the_same_in_onnx_runtime(name):
    images = RNG.integers(0, 256, (4, *SHAPE), np.uint8)
    (got,) = _session(FUNCTIONS[name]).run(None, {"images": images})
    expected = jax.jit(FUNCTIONS[name])(images.astype(np.float32) / 255)
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    "changes",
    [{"model__norm": "group", "model__stem": "imagenet"}, {"eval__test_mode": "mean"}],
    ids=["group_norm_and_pooling", "both_branches"],
)
def test_a_network_gives_the_same_in_onnx_runtime(changes):
    program = made.program(**changes)
    session = onnxruntime.InferenceSession(to_onnx(program, image_shape=program.image_shape, metadata={}))
    images = made.images(3)
    expected = program.scores(images)
    got = dict(zip(("logits", "probabilities"), session.run(None, {"images": images}), strict=True))
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "width", "size", "depthwise"),
    [("efficientnet_lite0", 8, 32, 16), ("convnext_tiny", 8, 32, 18), ("vit_small14", 64, 28, 0)],
)
def test_every_family_of_networks_gives_the_same_with_convolutions_of_the_runtime(
    name, width, size, depthwise
):
    """A depthwise convolution is one node, also where the machine that exports is a CPU."""
    sizes = {"augment__size": size, "data__stored_size": size, "model__width": width}
    program = made.program(model__name=name, model__branching="none", model__stem="imagenet", **sizes)
    model = to_onnx(program, image_shape=program.image_shape, metadata={})
    groups = [
        attribute.i
        for node in onnx.load_from_string(model).graph.node
        for attribute in node.attribute
        if node.op_type == "Conv" and attribute.name == "group"
    ]
    assert sum(count > 1 for count in groups) == depthwise
    images = RNG.integers(0, 256, (3, *program.image_shape), np.uint8)
    (logits, _) = onnxruntime.InferenceSession(model).run(None, {"images": images})
    expected = program.scores(images)["logits"]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * abs(expected).max())


def test_metadata_and_names_are_in_the_model():
    session = _session(lambda x: x.sum((1, 2)), class_names=("a", "b"), temperature=1.5)
    stored = session.get_modelmeta().custom_metadata_map
    assert {name: json.loads(text) for name, text in stored.items()} == {
        "class_names": ["a", "b"],
        "temperature": 1.5,
    }
    assert [(i.name, i.shape, i.type) for i in session.get_inputs()] == [
        ("images", ["batch", *SHAPE], "tensor(uint8)")
    ]
    assert [(o.name, o.shape) for o in session.get_outputs()] == [("result", ["batch", 3])]


def test_what_no_output_needs_is_left_out():
    model = onnx.load_from_string(
        to_onnx(
            lambda x: {"result": [lax.sort(x, dimension=1), x][1]}, image_shape=SHAPE, metadata={}
        )  # sorting has no translation
    )
    assert [node.op_type for node in model.graph.node] == ["Identity"]


@pytest.mark.parametrize(
    "function",
    [lambda x: lax.sort(x, dimension=1), lambda x: _pool(x, lax.min, jnp.inf, "VALID")],
    ids=["no_such_operation", "not_such_a_window"],
)
def test_what_has_no_translation_is_refused_in_one_line(function):
    with pytest.raises(UserError, match="no ONNX form; choose other --formats"):
        _session(function)
