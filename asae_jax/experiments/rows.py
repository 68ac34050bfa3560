"""Every row of every table: the settings in which it differs from the plain backbone.

A row says only what is compared. Image size, backbone, schedule and everything else come from the
configuration that `reproduce` is given, and are the same in all rows. In `model.name` the word "{main}"
stands for the backbone of that configuration: ResNet-50 in the paper, a smaller one on a CPU.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

Settings = Mapping[str, Any]
"""`section.field` -> value."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
      label: what it is called in reports.
      settings: what differs from `PLAIN`.
      file: name of a file in configs/ that stands in place of the given configuration and of `PLAIN`; the
        data, their split, the batch size and the seed are kept.
      note: what a reader has to know about it.
    """

    label: str
    settings: Settings = dataclasses.field(default_factory=dict)
    file: str = ""
    note: str = ""


PLAIN: Settings = {
    "data.hue": "none",
    "data.stain": "none",
    "data.sampler": "shuffled",
    "augment.mix": "none",
    "model.branching": "none",
    "model.insert_after": "layer3",
    "model.branch_statistics": "separate",
    "model.running_statistics": "all",
    "asae.branches": "suppress,enhance",
    "asae.enhancement": "sigmoid",
    "loss.name": "ce",
    "loss.branches": "mean_probability",
    "loss.agreement": 0.0,
    "loss.label_smoothing": 0.0,
    "eval.test_mode": "skip",
    "eval.batch_statistics": "running",
}
"""Table 1's first row, and where all others start: whatever the given configuration says here is undone."""

_HUE = {"data.hue": "paper"}
_BALANCED = _HUE | {"data.sampler": "balanced"}  # Table 1's last row, the baseline of Tables 2 to 4
_ASAE = _BALANCED | {"model.branching": "asae"}

_ADAMW = {
    "optimizer.name": "adamw",
    "optimizer.learning_rate": 1e-3,
    "optimizer.weight_decay": 0.05,
    "optimizer.decay_all": False,
}

_ABSTRACT = "Reconstructed from the abstract of its paper: no table of its layers is public."
_SHUFFLED = "On shuffled batches: it weighs the classes itself."


def _modern(label: str, name: str, settings: Settings) -> Row:
    """A row of a modern backbone, with the optimiser that ConvNeXt and ViT are usually trained with."""
    note = "Trained with AdamW, rate 0.001 and weight decay 0.05, in the place of the given optimiser."
    return Row(label, {**settings, **_ADAMW, "model.name": name}, note=note)


ROWS: Mapping[str, Row] = {
    "plain": Row("Plain backbone"),
    "hue": Row("+ hue adjustment", _HUE),
    "baseline": Row("+ hue adjustment + balanced sampler", _BALANCED),
    "as-layer4": Row("AS branch after layer4",
                     _ASAE | {"asae.branches": "suppress", "model.insert_after": "layer4"}),
    "as-layer3": Row("AS branch after layer3", _ASAE | {"asae.branches": "suppress"}),
    "ae-layer3": Row("AE branch after layer3", _ASAE | {"asae.branches": "enhance"}),
    "asae": Row("ASAE layer after layer3", _ASAE),
    "asae-gce": Row("ASAE layer, GCE loss", _ASAE | {"loss.name": "gce"}),
    "asae-gmmce": Row("ASAE layer, GMMCE loss: the full method", _ASAE | {"loss.name": "gmmce"}),
    "vgg16": Row("VGG-16", _BALANCED | {"model.name": "vgg16_bn"},
                 note="With batch normalisation: without, it hardly trains from scratch at the common rate."),
    "vgg16-asae": Row("VGG-16 + ASAE layer", _ASAE | {"model.name": "vgg16_bn"}),
    "resnet18": Row("ResNet-18", _BALANCED | {"model.name": "resnet18"}),
    "resnet18-asae": Row("ResNet-18 + ASAE layer", _ASAE | {"model.name": "resnet18"}),
    "resnet50": Row("ResNet-50", _BALANCED | {"model.name": "resnet50"}),
    "resnet50-asae": Row("ResNet-50 + ASAE layer", _ASAE | {"model.name": "resnet50"}),
    "wbcnet": Row("WBCNet", {"model.name": "wbcnet"}, note=_ABSTRACT),
    "cell3net": Row("Cell3Net", {"model.name": "cell3net"}, note=_ABSTRACT),
    "nlnet": Row("NLNet", {"model.name": "nl_{main}"}),
    "senet": Row("SENet", {"model.name": "se_{main}"}),
    "adl": Row("ADL", {"model.name": "adl_{main}"}),
    "dropout": Row("Dropout", _BALANCED | {"model.branching": "dropout"}),
    "spatial-dropout": Row("Spatial Dropout", _BALANCED | {"model.branching": "spatial_dropout"}),
    "maxdrop": Row("MaxDrop", _BALANCED | {"model.branching": "maxdrop"}),
    "dropblock": Row("DropBlock", _BALANCED | {"model.branching": "dropblock", "drop.block_size": 0.5},
                     note="Blocks of half the map's side: 7 cells of 14, as its authors have it."),
    "diversification": Row("Diversification Block", _BALANCED | {"model.branching": "diversification"}),
    "label-smoothing": Row("Label smoothing 0.1", _HUE | {"loss.label_smoothing": 0.1}),
    "focal": Row("Focal loss", _HUE | {"loss.name": "focal"}),
    "class-balanced": Row("Class-balanced cross entropy", _HUE | {"loss.name": "class_balanced"},
                          note=_SHUFFLED),
    "logit-adjusted": Row("Logit-adjusted cross entropy", _HUE | {"loss.name": "logit_adjusted"},
                          note=_SHUFFLED),
    "weighted-sampling": Row("Class-weighted sampling", _HUE | {"data.sampler": "weighted"}),
    "mixup": Row("mixup", _HUE | {"augment.mix": "mixup"}),
    "cutmix": Row("CutMix", _HUE | {"augment.mix": "cutmix"}),
    "gmmce": Row("GMMCE loss without the layer", _BALANCED | {"loss.name": "gmmce"}),
    "convnext": _modern("ConvNeXt-Tiny", "convnext_tiny", _BALANCED),
    "convnext-asae": _modern("ConvNeXt-Tiny + ASAE layer", "convnext_tiny", _ASAE),
    "efficientnet": _modern("EfficientNet-B0", "efficientnet_b0", _BALANCED),
    "efficientnet-asae": _modern("EfficientNet-B0 + ASAE layer", "efficientnet_b0", _ASAE),
    "vit": _modern("ViT-S/16", "vit_small", _BALANCED),
    "vit-asae": _modern("ViT-S/16 + ASAE layer", "vit_small", _ASAE),
    "recommended": Row("Recommended settings", file="own_cells"),
    "recommended-asae": Row("Recommended settings with the layer", file="own_cells_asae"),
}  # fmt: skip
"""Name -> row; the name is that of its run folders. Rows that come to the same settings share their runs."""
