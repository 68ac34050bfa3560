"""EfficientNet-Lite of the package `efficientnet_lite_pytorch`, and its tensors under timm's names."""


def timm_name(name, tensors):
    """What timm calls the tensor `name` of the package, where `tensors` has timm's names of all."""
    first, *rest = name.split(".")
    ends = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    ends["_fc"] = "classifier"
    if first in ends:
        return ".".join([ends[first], *rest])
    blocks = sorted({tuple(map(int, key.split(".")[1:3])) for key in tensors if key.startswith("blocks.")})
    group, inside = blocks[int(rest[0])]
    if group == 0:  # without the convolution that widens
        here = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    else:
        here = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
        here |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
    return ".".join(["blocks", str(group), str(inside), here[rest[1]], *rest[2:]])


def with_timm_tensors(name, tensors, *, num_classes, image_size):
    """The package's network `name`, as `efficientnet_lite0`, with tensors that have timm's names."""
    import efficientnet_lite_pytorch

    network = efficientnet_lite_pytorch.EfficientNet.from_name(
        name.replace("_", "-"), num_classes=num_classes, image_size=image_size
    )
    network.load_state_dict({key: tensors[timm_name(key, tensors)] for key in network.state_dict()})
    return network.eval()
