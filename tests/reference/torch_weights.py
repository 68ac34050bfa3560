"""Tensors named as in torchvision -> the network's variables, as nested dicts of NumPy arrays."""

import jax.numpy as jnp
import numpy as np

_NORM_LEAVES = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}


def variables_from_torch(name, tensors):
    """`{"params": ..., "batch_stats": ...}` of the model `name`.

    `tensors` is a `state_dict`, or gradients by the same names; VGG's are `features.<i>.*` and `fc.*`.
    """
    modules = _vgg_modules(tensors) if name.startswith("vgg") else _resnet_modules(tensors)
    variables = {}
    for key, tensor in tensors.items():
        torch_module, leaf = key.rsplit(".", 1)
        if leaf == "num_batches_tracked":
            continue
        path, value = modules[torch_module], tensor.detach().numpy()
        if value.ndim == 4:
            collection, leaf, value = "params", "kernel", value.transpose(2, 3, 1, 0)
        elif value.ndim == 2:
            collection, leaf, value = "params", "kernel", value.T
        elif "bn" in path[-1]:
            collection, leaf = _NORM_LEAVES[leaf]
        else:
            collection = "params"
        _put(variables, (collection, "backbone", *path, leaf), np.array(value))
    return variables


def _put(tree, path, value):
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value


def _resnet_modules(tensors):
    modules = {"conv1": ("layer0", "conv1"), "bn1": ("layer0", "bn1"), "fc": ("head",)}
    for module in {key.rsplit(".", 1)[0] for key in tensors} - modules.keys():
        stage, block, *rest = module.split(".")
        if rest[0] == "downsample":
            rest[1] = ("conv", "bn")[int(rest[1])]
        modules[module] = (stage, f"block{block}", *rest)
    return modules


def _vgg_modules(tensors):
    """Positions within `features` depend on whether there are norms: count convolutions instead."""
    modules = {"fc": ("head",)}
    convs = [(f"layer{s}", i) for s, n in enumerate((2, 2, 3, 3, 3)) for i in range(n)]
    stage = None
    for module in dict.fromkeys(key.rsplit(".", 1)[0] for key in tensors if key.startswith("features")):
        if tensors[f"{module}.weight"].ndim == 4:
            stage, i = convs.pop(0)
            modules[module] = (stage, f"conv{i}")
        else:
            modules[module] = (stage, f"bn{i}")
    return modules


def nested_variables(tensors, path):
    """`{"params": ..., "batch_stats": ...}` of any backbone.

    `tensors` is a `state_dict`, or gradients by the same names; `path(module)` is where a torch module's
    parameters lie within our backbone.
    """
    variables = {}
    for key, tensor in tensors.items():
        module, leaf = key.rsplit(".", 1)
        value = tensor.detach().numpy()
        if leaf == "num_batches_tracked":
            continue
        if leaf == "layer_scale_parameter":
            place = ("params", "gamma")
        elif value.ndim > 1:
            place, value = ("params", "kernel"), value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
        else:
            place = _NORM_LEAVES[leaf]
        _put(variables, (place[0], "backbone", *path(module), place[1]), np.array(value))
    return variables


def assert_tensors_equal(found, expected):
    """The arrays `found` have names, shapes, number types and values of the torch tensors `expected`."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].shape == tuple(tensor.shape)
        assert jnp.dtype(found[name].dtype).name == str(tensor.dtype).removeprefix("torch.")
        np.testing.assert_array_equal(found[name].astype(np.float64), tensor.detach().double().numpy())
