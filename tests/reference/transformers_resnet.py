"""Hugging Face transformers' PyTorch ResNets (v1.5), small: an oracle with names of its own."""

import torch
from torch import nn
from transformers import ResNetConfig, ResNetForImageClassification

_SIZES = {"basic": [8, 16, 32, 64], "bottleneck": [32, 64, 128, 256]}


def transformers_resnet(layer, num_classes, *, seed=0):
    """Blocks of ResNet-18 ("basic") or -50 ("bottleneck"), an eighth as wide; no norm as it starts."""
    torch.manual_seed(seed)
    config = ResNetConfig(
        embedding_size=8,
        hidden_sizes=_SIZES[layer],
        depths=[1, 2, 1, 1],
        layer_type=layer,
        num_labels=num_classes,
    )
    model = ResNetForImageClassification(config).eval()
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        with torch.no_grad():
            norm.weight.uniform_(0.5, 1.0)
            norm.bias.normal_(0, 0.1)
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
    return model
