"""Files, names and layouts, checked by the tests' own converter; misfits are refused by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from asae_jax.errors import UserError
from asae_jax.models import create_model
from asae_jax.models.weights import from_torch, from_variables, read_tensors, to_torch
from tests.reference import torch_models
from tests.reference.torch_weights import assert_tensors_equal, variables_from_torch
from tests.reference.transformers_resnet import transformers_resnet

CLASSES = 7


def _tensors(name, classes=CLASSES):
    """A state dict of the right names and shapes whose tensors all differ, as do the numbers of each."""
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in torch_models.MODELS[name](classes).state_dict().items()}
    return {
        key: (np.arange(shape.numel(), dtype=np.float32) / 8 + i).reshape(shape)
        for i, (key, shape) in enumerate(shapes.items())
    }


def _reference(name, tensors):
    return variables_from_torch(name, {key: torch.from_numpy(value) for key, value in tensors.items()})


def _assert_same(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.fixture(scope="module")
def resnet18():
    tensors = _tensors("resnet18")
    return tensors, _reference("resnet18", tensors)


@pytest.mark.parametrize("name", torch_models.MODELS)
def test_every_array_is_found_and_comes_back(name):
    """That the tests' converter gives torch's logits is shown in `test_torch_parity`."""
    tensors = _tensors(name)
    variables = _reference(name, tensors)
    weights = from_torch(tensors, variables, name)
    assert weights.missing == weights.unused == ()
    _assert_same(weights.put_into(jax.tree.map(np.zeros_like, variables)), variables)

    back = to_torch(variables["params"], variables.get("batch_stats", {}), name)
    head = "fc." if name.startswith("resnet") else "classifier."
    assert {key.replace(head, "fc.") for key in back} == tensors.keys()
    for key, value in back.items():
        if key.endswith("num_batches_tracked"):
            assert value.dtype == np.int64
        else:
            np.testing.assert_array_equal(value, tensors[key.replace(head, "fc.")])


@pytest.mark.parametrize("prefix", ["module.", "model.backbone.", "encoder_q."])
def test_a_wrapper_s_prefix_does_not_matter(prefix, resnet18):
    tensors, variables = resnet18
    weights = from_torch({prefix + key: value for key, value in tensors.items()}, variables, "resnet18")
    assert weights.unused == ()
    _assert_same(weights.put_into(variables), variables)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("name", "layer"), [("resnet18", "basic"), ("resnet50", "bottleneck")])
def test_hugging_face_s_own_resnets_give_the_same_logits(name, layer):
    oracle = transformers_resnet(layer, CLASSES).double()
    tensors = {key: value.numpy() for key, value in oracle.state_dict().items()}
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3))
    model = create_model(name, CLASSES, width=8, dtype=jnp.float64)
    model = model.clone(backbone=model.backbone.clone(stage_sizes=(1, 2, 1, 1)))
    like = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    weights = from_torch(tensors, like, name)
    assert weights.missing == weights.unused == ()
    variables = jax.tree.map(np.float64, weights.put_into(like))
    logits = jax.jit(lambda v: model.apply(v, images, train=False))(variables)
    with torch.no_grad():
        expected = oracle(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).logits
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-11, rtol=0)


def test_torchvision_s_vgg_gives_its_convolutions_and_its_three_layers_are_reported():
    tensors = _tensors("vgg16")
    variables = _reference("vgg16", tensors)
    del tensors["fc.weight"], tensors["fc.bias"]
    for i, shape in ((0, (16, 8)), (3, (16, 16)), (6, (1000, 16))):
        tensors |= {f"classifier.{i}.weight": np.ones(shape), f"classifier.{i}.bias": np.ones(shape[0])}
    weights = from_torch(tensors, variables, "vgg16")
    assert weights.missing == ("classifier.weight", "classifier.bias")
    assert weights.unused == tuple(f"classifier.{i}.{leaf}" for i in (0, 3, 6) for leaf in ("bias", "weight"))


def test_the_head_stays_as_it_was_where_the_number_of_classes_differs(resnet18):
    _, variables = resnet18
    weights = from_torch(_tensors("resnet18", classes=1000), variables, "resnet18")
    assert weights.missing == ("fc.weight", "fc.bias")
    assert weights.unused == ("fc.bias", "fc.weight")
    put = weights.put_into(variables)
    _assert_same(put["params"]["backbone"]["head"], variables["params"]["backbone"]["head"])


def test_half_precision_becomes_float32(resnet18):
    tensors, variables = resnet18
    half = {key: value.astype(jax.numpy.bfloat16) for key, value in tensors.items()}
    arrays = from_torch(half, variables, "resnet18").arrays.values()
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("layer2.0.bn1.running_var", np.nan, "numbers that are not finite"),
        ("layer2.0.bn1.running_var", -1, "variances below 0"),
        ("layer1.0.conv1.weight", np.inf, "numbers that are not finite"),
        ("layer1.0.conv1.weight", 1e39, "numbers that are not finite"),
    ],
)
def test_weights_that_no_training_mends_are_refused(name, value, fault, resnet18):
    """1e39 is a number in float64, and none in float32. A weight may be below 0."""
    tensors, variables = resnet18
    damaged = tensors[name].astype(np.float64)
    damaged.flat[0] = value
    with pytest.raises(UserError, match=f"^x.pth: {name} holds {fault}"):
        from_torch(tensors | {name: damaged}, variables, "resnet18", origin="x.pth")
    from_torch(tensors | {"layer1.0.conv1.weight": -tensors["layer1.0.conv1.weight"]}, variables, "resnet18")
    ours = jax.tree.map(np.float64, variables)
    ours["batch_stats"]["backbone"]["layer1"]["block0"]["bn1"]["var"][0] = np.nan
    with pytest.raises(UserError, match=r"batch_stats\.backbone\.layer1\.block0\.bn1\.var holds numbers"):
        from_variables(ours, variables, "resnet18")


@pytest.mark.parametrize(
    ("there", "here", "first"),
    [
        ("resnet50", "resnet18", "layer1.0.conv1.weight is 64 x 64 x 1 x 1 there and 64 x 64 x 3 x 3 here"),
        ("resnet18", "resnet34", "layer1.2.conv1.weight is missing there"),
        ("resnet34", "resnet18", "layer1.2.bn1.bias has no place"),
        ("vgg16", "vgg16_bn", "features.1.bias is missing there"),
        ("vgg16_bn", "vgg16", "features.2.weight is missing there"),
        ("vgg16", "resnet18", "conv1.weight is missing there"),
    ],
)
def test_another_architecture_is_refused_with_the_first_difference(there, here, first):
    like = _reference(here, _tensors(here))
    with pytest.raises(UserError, match=f"^x.pth does not fit {here}: {first}"):
        from_torch(_tensors(there), like, here, origin="x.pth")


def test_models_without_torchvision_names_are_refused(resnet18):
    tensors, variables = resnet18
    with pytest.raises(UserError, match="cell3net cannot be exchanged with PyTorch"):
        from_torch(tensors, variables, "cell3net")
    with pytest.raises(UserError, match="cell3net cannot be exchanged with PyTorch"):
        to_torch(variables["params"], variables["batch_stats"], "cell3net")


def test_variables_of_our_own_keep_their_head_only_for_the_same_classes(resnet18):
    _, variables = resnet18
    fresh = jax.tree.map(np.zeros_like, variables)
    whole = from_variables(variables, fresh, "resnet18")
    _assert_same(whole.put_into(fresh), variables)
    without = from_variables(variables, fresh, "resnet18", keep_head=False)
    head = ("params.backbone.head.kernel", "params.backbone.head.bias")
    assert without.missing == without.unused == head
    np.testing.assert_array_equal(without.put_into(fresh)["params"]["backbone"]["head"]["kernel"], 0)


def test_variables_of_another_network_of_ours_are_refused(resnet18):
    _, variables = resnet18
    deeper = _reference("resnet34", _tensors("resnet34"))
    with pytest.raises(UserError, match=r"params\.backbone\.layer1\.block2\.conv1\.kernel has no place"):
        from_variables(deeper, variables, "resnet18")
    with pytest.raises(UserError, match=r"params\.backbone\.layer1\.block2\.conv1\.kernel is missing there"):
        from_variables(variables, deeper, "resnet34")


TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


def test_every_number_type_is_read(tmp_path):
    tensors = {str(kind): torch.tensor([[0, 1, 2], [3, 4, 5]]).to(kind) for kind in TYPES}
    tensors |= {"scalar": torch.tensor(3.0), "empty": torch.zeros(0, 3)}
    save_file(tensors, tmp_path / "w.safetensors")
    assert_tensors_equal(read_tensors(tmp_path / "w.safetensors"), tensors)


def _refusal(path):
    with pytest.raises(UserError) as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_safetensors_are_told_by_their_content(tmp_path):
    """Hugging Face has files of this kind that are called `.bin`."""
    save_file({"a": torch.ones(2)}, tmp_path / "w.bin")
    assert_tensors_equal(read_tensors(tmp_path / "w.bin"), {"a": torch.ones(2)})


def test_every_way_to_cut_a_file_short_ends_in_one_line(tmp_path):
    save_file({"a": torch.arange(6.0), "b": torch.arange(3)}, tmp_path / "w.safetensors")
    whole = (tmp_path / "w.safetensors").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "cut.safetensors").write_bytes(whole[:length])
        assert "holds no weights that can be read" in _refusal(tmp_path / "cut.safetensors")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"", "neither safetensors nor a state dict"),
        (b"Not found", "neither safetensors nor a state dict"),
        (b"\xff\x00\x00\x00\x00\x00\x00\x00{not a header", "eader"),
    ],
)
def test_what_is_not_a_weight_file_is_told_in_one_line(content, reason, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    message = _refusal(path)
    assert message.startswith(f"{path} holds no weights that can be read (")
    assert reason in message


def test_a_missing_file_is_named(tmp_path):
    assert "No such file" in _refusal(tmp_path / "none.pth")
