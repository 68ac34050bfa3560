"""Small ConvNeXt, EfficientNet and ViT of Hugging Face transformers: PyTorch oracles that others wrote.

An oracle has `endpoints(images)`, the stages as ours are named, and `variables(tensors)`, which turns tensors
named as in its `state_dict()` into our variables.
"""

from functools import partial

import torch
from torch import nn
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    EfficientNetConfig,
    EfficientNetModel,
    ViTConfig,
    ViTModel,
)

from asae_jax.models.backbones.vit import positions
from tests.reference.torch_weights import nested_variables

WIDTH = 16
"""Of our models; the oracles have as many channels."""


class ConvNext(nn.Module):
    stage_sizes = (1, 1, 2, 1)

    def __init__(self, num_classes):
        super().__init__()
        config = ConvNextConfig(
            hidden_sizes=[24, 48, 96, 192],
            depths=list(self.stage_sizes),
            num_labels=num_classes,
            layer_norm_eps=1e-6,  # of the last norm: the authors' and torchvision's, not the default of 1e-12
        )
        self.model = ConvNextForImageClassification(config)

    def endpoints(self, x):
        backbone = self.model.convnext
        out = {"layer0": backbone.embeddings(x)}
        for i, stage in enumerate(backbone.encoder.stages):
            out[f"layer{i + 1}"] = stage(out[f"layer{i}"])
        out["logits"] = self.model.classifier(backbone.layernorm(out["layer4"].mean((2, 3))))
        return out

    def variables(self, tensors):
        return nested_variables(tensors, _convnext_path)


def _convnext_path(module):
    names = {
        "model.convnext.embeddings.patch_embeddings": ("layer0", "conv"),
        "model.convnext.embeddings.layernorm": ("layer0", "norm"),
        "model.convnext.layernorm": ("norm_head",),
        "model.classifier": ("head",),
    }
    if module in names:
        return names[module]
    _, _, _, _, stage, kind, i, *rest = module.split(".")
    stage = f"layer{int(stage) + 1}"
    if kind == "downsampling_layer":
        return stage, ("downsample_norm", "downsample_conv")[int(i)]
    return stage, f"block{i}", *("norm" if name == "layernorm" else name for name in rest)


class EfficientNet(nn.Module):
    repeats = (1, 1, 1, 1, 2, 1, 1)
    # Stage, block within it of every block, from the groups of each stage.
    blocks = tuple(
        (f"layer{stage}", i) for stage, count in enumerate((1, 1, 1, 1 + 2, 1 + 1)) for i in range(count)
    )

    def __init__(self, num_classes, *, tensorflow=False):
        super().__init__()
        torchvision = {
            "batch_norm_eps": 1e-5,
            "depthwise_padding": list(range(len(self.blocks))),  # on both sides
        }
        config = EfficientNetConfig(
            width_coefficient=WIDTH / 64,
            depth_coefficient=1.0,
            num_block_repeats=list(self.repeats),
            hidden_dim=1280 * WIDTH // 64,
            **({} if tensorflow else torchvision),
        )
        self.model = EfficientNetModel(config)
        if not tensorflow:
            self.model.embeddings.padding = nn.ZeroPad2d(1)
        self.fc = nn.Linear(config.hidden_dim, num_classes)

    def endpoints(self, x):
        x, out = self.model.embeddings(x), {}
        for (stage, _), block in zip(self.blocks, self.model.encoder.blocks, strict=True):
            x = out[stage] = block(x)
        encoder = self.model.encoder
        out["layer4"] = encoder.top_activation(encoder.top_bn(encoder.top_conv(x)))
        out["logits"] = self.fc(out["layer4"].mean((2, 3)))
        return out

    def variables(self, tensors):
        return nested_variables(tensors, self._path)

    def _path(self, module):
        names = {
            "model.embeddings.convolution": ("layer0", "stem", "conv"),
            "model.embeddings.batchnorm": ("layer0", "stem", "bn"),
            "model.encoder.top_conv": ("layer4", "last", "conv"),
            "model.encoder.top_bn": ("layer4", "last", "bn"),
            "fc": ("head",),
        }
        if module in names:
            return names[module]
        _, _, _, block, part, leaf = module.split(".")
        stage, i = self.blocks[int(block)]
        parts = {"expansion": "widen", "depthwise_conv": "depthwise", "projection": "narrow"}
        if part == "squeeze_excite":
            return stage, f"block{i}", "se", leaf
        return stage, f"block{i}", parts[part], "conv" if leaf.endswith("conv") else "bn"


class ViT(nn.Module):
    stage_sizes = (1, 1, 1, 1)

    def __init__(self, num_classes):
        super().__init__()
        config = ViTConfig(
            hidden_size=6 * WIDTH,
            num_hidden_layers=sum(self.stage_sizes),
            num_attention_heads=6,
            intermediate_size=24 * WIDTH,
            layer_norm_eps=1e-6,
        )
        self.model = ViTModel(config, add_pooling_layer=False)
        # Ours has neither.
        del self.model.embeddings.cls_token, self.model.embeddings.position_embeddings
        self.fc = nn.Linear(6 * WIDTH, num_classes)

    def endpoints(self, x):
        x = self.model.embeddings.patch_embeddings.projection(x)
        grid = torch.from_numpy(positions(*x.shape[2:], x.shape[1])).permute(2, 0, 1)
        out = {"layer0": x + grid}
        tokens, layers = out["layer0"].flatten(2).transpose(1, 2), iter(self.model.layers)
        for stage, count in enumerate(self.stage_sizes, start=1):
            for _ in range(count):
                tokens = next(layers)(tokens)
            if stage == 4:
                tokens = self.model.layernorm(tokens)
            out[f"layer{stage}"] = tokens.transpose(1, 2).reshape(x.shape)
        out["logits"] = self.fc(tokens.mean(1))
        return out

    def variables(self, tensors):
        return nested_variables(tensors, self._path)

    def _path(self, module):
        names = {
            "model.embeddings.patch_embeddings.projection": ("layer0", "conv"),
            "model.layernorm": ("layer4", "norm"),
            "fc": ("head",),
        }
        if module in names:
            return names[module]
        parts = {
            "attention.q_proj": ("attention", "query"),
            "attention.k_proj": ("attention", "key"),
            "attention.v_proj": ("attention", "value"),
            "attention.o_proj": ("attention", "out"),
            "layernorm_before": ("norm1",),
            "layernorm_after": ("norm2",),
            "mlp.fc1": ("fc1",),
            "mlp.fc2": ("fc2",),
        }
        _, _, layer, part = module.split(".", 3)
        blocks = [
            (f"layer{s}", f"block{i}") for s, n in enumerate(self.stage_sizes, start=1) for i in range(n)
        ]
        return *blocks[int(layer)], *parts[part]


ORACLES = {
    "convnext_tiny": ConvNext,
    "efficientnet_b0": EfficientNet,
    "tf_efficientnet_b0": partial(EfficientNet, tensorflow=True),
    "vit_small": ViT,
}


def make(name, num_classes):
    """An oracle whose parameters and statistics all differ from their start values, as after training."""
    torch.manual_seed(0)
    oracle = ORACLES[name](num_classes)
    with torch.no_grad():
        for path, parameter in oracle.named_parameters():
            if path.endswith("bias"):
                parameter.normal_(0, 0.1)
            elif parameter.ndim == 1:
                parameter.uniform_(0.5, 1.5)
            else:
                nn.init.normal_(parameter, 0, parameter[0].numel() ** -0.5)
    norms = [m for m in oracle.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        oracle.train().endpoints(torch.randn(8, 3, 64, 64))
    return oracle.eval()
